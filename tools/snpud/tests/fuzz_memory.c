// SPDX-License-Identifier: MIT
/*
 * A client that maps, unmaps and truncates its memory at random while its NPU works on it:
 * fuzz_memory [SEED [ROUNDS]]. A packet retires, or its queue faults with BUS; the NPU of another
 * client takes a step every few rounds; snpud lives.
 *
 * The snpud under test lies beside this program.
 */
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "wire.h"

#define WINDOW_IOVA	0x200000000ull
#define WINDOW_VA	(VA + (16u << 20))
#define PAGES		1024u			/* of the window */
#define FILES		3u
#define PAGE		4096ull
#define RW		(VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE)

static uint64_t seed;
static int files[FILES];
static unsigned long retired, faulted;

static uint64_t rnd(uint64_t n)
{
	return t_rand(&seed) % n;
}

/* An address in the window with room for @bytes */
static uint64_t window(uint64_t bytes)
{
	return WINDOW_VA + (rnd(PAGES * PAGE - bytes) & ~63ull);
}

static union snpu_pkt packet(void)
{
	static const uint64_t sizes[] = { 64, 4096, 65536, 1u << 20 };
	uint64_t bytes = sizes[rnd(4)], hbm = VA + (1u << 20);
	union snpu_pkt p = { .q = { 0 } };

	switch (rnd(8)) {
	case 0:
		p.copy = (struct snpu_pkt_copy) { { SNPU_OP_COPY }, window(bytes), hbm, bytes };
		break;
	case 1:
		p.copy = (struct snpu_pkt_copy) { { SNPU_OP_COPY }, hbm, window(bytes), bytes };
		break;
	case 2:
		p.fill = (struct snpu_pkt_fill) { { SNPU_OP_FILL, .arg = 1 }, window(bytes), bytes,
						  rnd(256) };
		break;
	case 3:
		p.crc32c = (struct snpu_pkt_crc32c) { { SNPU_OP_CRC32C }, window(bytes), bytes, hbm };
		break;
	case 4:
		p.eltwise = (struct snpu_pkt_eltwise) { { SNPU_OP_ELTWISE, 0, SNPU_DT_F32 },
							window(bytes), hbm, VA, bytes / 4 };
		break;
	case 5:
		p.sem = (struct snpu_pkt_sem) { { SNPU_OP_SEM_SIGNAL, .arg = rnd(2) & 1 },
						window(64), 1 };
		break;
	case 6:
		p.atomic = (struct snpu_pkt_atomic) { { SNPU_OP_ATOMIC }, VA, 1,
						      .result = window(64) };
		break;
	default:
		p.misc = (struct snpu_pkt_misc) { { SNPU_OP_TIMESTAMP }, window(64) };
	}
	return p;
}

/* Something happens to the memory */
static void disturb(struct wire *w)
{
	uint64_t n = 1 + rnd(rnd(2) ? 4 : 256), at = rnd(PAGES - n), from = rnd(PAGES - n);
	int fd = files[rnd(FILES)], ret;

	switch (rnd(6)) {
	case 0:
	case 1:
		ret = snpu_vfuc_dma_unmap(w->c, WINDOW_IOVA + at * PAGE, n * PAGE);
		CHECK(!ret, "unmap: %d", ret);
		break;
	case 2:
		CHECK(!ftruncate(fd, (off_t)(rnd(PAGES + 1) * PAGE)), "truncate");
		break;
	case 3:
		CHECK(!ftruncate(fd, PAGES * PAGE), "grow");
		break;
	default:
		/* over what is there, or of what the file does not have, it fails */
		ret = snpu_vfuc_dma_map(w->c, WINDOW_IOVA + at * PAGE, n * PAGE, RW, fd,
					from * PAGE);
		CHECK(!ret || ret == -EEXIST || ret == -EINVAL, "map: %d", ret);
	}
}

static volatile struct snpu_cpl *again(struct wire *w)
{
	w->mb->qid = 0;
	CHECK_EQ(wire_admin(w, SNPU_ADM_QUEUE_DESTROY), SNPU_ADM_S_OK);
	w->mb->queue = (struct snpu_queue_desc) {
		.queue = 0, .ctx = 1, .ring_va = VA + (8u << 20), .cpl_addr = IOVA + 4096,
		.ring_log2 = 8, .prio = 1,
	};
	CHECK_EQ(wire_admin(w, SNPU_ADM_QUEUE_CREATE), SNPU_ADM_S_OK);
	return (volatile struct snpu_cpl *)(w->host + 4096);
}

static void work(struct wire *w, unsigned long rounds)
{
	volatile struct snpu_cpl *cpl = wire_queue(w);
	union snpu_pkt *ring = (union snpu_pkt *)(w->host + (1u << 20));
	uint64_t head = 0;
	unsigned int i;

	wire_map(w, WINDOW_VA, PAGES * PAGE, T_LEAF_HOST(WINDOW_IOVA));
	CHECK(!ftruncate(files[0], PAGES * PAGE), "grow");
	CHECK(!snpu_vfuc_dma_map(w->c, WINDOW_IOVA, PAGES * PAGE, RW, files[0], 0), "map");
	while (rounds-- && !t_failures) {
		uint64_t n = 1 + rnd(8);

		for (i = 0; i < n; i++)
			ring[(head + i) & 255] = packet();
		head += n;
		wire_ring(w, cpl, head);
		for (i = 0; i < 4; i++)
			disturb(w);
		CHECK(T_WAIT(snpu_load_acq(&cpl->completed) == head ||
			     snpu_load_acq(&cpl->state) == SNPU_QSTATE_FAULT),
		      "state %u, %llu of %llu", cpl->state, (unsigned long long)cpl->completed,
		      (unsigned long long)head);
		retired += n;
		if (snpu_load_acq(&cpl->state) != SNPU_QSTATE_FAULT)
			continue;
		CHECK(cpl->error == SNPU_ERR_BUS, "error %u, aux 0x%x, va 0x%llx", cpl->error,
		      cpl->error_aux, (unsigned long long)cpl->fault_va);
		faulted++;
		cpl = again(w);
		head = 0;
	}
}

int main(int argc, char **argv)
{
	unsigned long rounds = argc > 2 ? strtoul(argv[2], NULL, 0) : 1000, i;
	static char exe[PATH_MAX + 8];
	volatile struct snpu_cpl *cpl;
	struct wire victim, w;
	uint64_t step = 0;
	char path[128];
	ssize_t len;
	pid_t pid;
	int out;

	seed = (argc > 1 ? strtoull(argv[1], NULL, 0) : 1) * 0x9e3779b97f4a7c15u | 1;
	t_name = "fuzz_memory";
	alarm(280);
	len = readlink("/proc/self/exe", exe, PATH_MAX);
	if (len < 0 || !mkdtemp(wire_dir))
		return 2;
	exe[len] = 0;
	strcpy(strrchr(exe, '/'), "/snpud");
	wire_snpud = exe;
	/* it says more of such a client than a pipe that is not read can hold */
	pid = wire_spawn(&out, (const char *const []){ "--socket-dir", wire_dir, "--npus", "2",
						       "--log", "/dev/null", NULL });
	CHECK(wire_read_until(out, path, sizeof(path), "ready"), "snpud is not ready");
	for (i = 0; i < FILES; i++) {
		files[i] = memfd_create("fuzz", MFD_CLOEXEC);
		CHECK(files[i] >= 0 && !ftruncate(files[i], PAGES * PAGE), "memfd");
	}
	if (!wire_dial(&victim, 1))
		return 1;
	cpl = wire_queue(&victim);
	for (i = 0; i < rounds && !t_failures; i += 20) {
		if (!wire_dial(&w, 0))
			break;
		work(&w, 20);
		wire_hang_up(&w);
		/* the ring is all NOP */
		wire_ring(&victim, cpl, ++step);
		CHECK(T_WAIT(snpu_load_acq(&cpl->completed) == step), "the other client's NPU");
	}
	wire_hang_up(&victim);
	CHECK(!kill(pid, 0), "snpud has died");
	wire_finish(pid, out);
	printf("# %lu packets, %lu faults\n", retired, faulted);
	printf("1..1\n%sok 1 - memory that comes and goes\n", t_failures ? "not " : "");
	snprintf(path, sizeof(path), "%s/snpud.lock", wire_dir);
	unlink(path);
	rmdir(wire_dir);
	return t_failures ? 1 : 0;
}
