// SPDX-License-Identifier: MIT
/*
 * The program snpud, from outside: command line, sockets, and NPUs driven through vfio-user.
 *
 * argv[1] is the snpud to test.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "device/tests/harness.h"
#include "vfio/vfu_client.h"

#define IOVA		0x100000000ull
#define HOST_BYTES	(8u << 20)
#define VA		0x40000000ull

static const char *snpud;
static char dir[] = "/tmp/snpud-test-XXXXXX";

/* ---- processes ---- */

/* Starts snpud with its output in a pipe */
static pid_t spawn(int *out, const char *const *args)
{
	const char *argv[16] = { snpud };
	int fds[2], i;
	pid_t pid;

	for (i = 0; args[i]; i++)
		argv[i + 1] = args[i];
	if (pipe(fds))
		return -1;
	pid = fork();
	if (!pid) {
		dup2(fds[1], 1);
		dup2(fds[1], 2);
		close(fds[0]);
		close(fds[1]);
		execv(snpud, (char **)argv);
		_exit(127);
	}
	close(fds[1]);
	*out = fds[0];
	return pid;
}

/* Reads until @want shows up, or the end of the output, at most 20 s */
static bool read_until(int fd, char *buf, size_t len, const char *want)
{
	size_t n = 0;

	buf[0] = 0;
	while (n < len - 1) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		ssize_t k;

		if (poll(&p, 1, 20000) <= 0)
			return false;
		k = read(fd, buf + n, len - 1 - n);
		if (k <= 0)
			return false;
		n += (size_t)k;
		buf[n] = 0;
		if (want && strstr(buf, want))
			return true;
	}
	return false;
}

static int end_of(pid_t pid)
{
	int st;

	if (waitpid(pid, &st, 0) != pid)
		return -1;
	return WIFEXITED(st) ? WEXITSTATUS(st) : 1000 + WTERMSIG(st);
}

/* Runs to the end; its exit code */
static int run(const char *const *args, char *buf, size_t len)
{
	pid_t pid;
	int out, ret;

	pid = spawn(&out, args);
	read_until(out, buf, len, NULL);
	ret = end_of(pid);
	close(out);
	return ret;
}

static pid_t serve(int *out, const char *npus)
{
	const char *const args[] = { "--socket-dir", dir, "--npus", npus, NULL };
	char buf[1024];
	pid_t pid;

	pid = spawn(out, args);
	CHECK(read_until(*out, buf, sizeof(buf), "ready"), "%s", buf);
	return pid;
}

static void finish(pid_t pid, int out)
{
	kill(pid, SIGTERM);
	CHECK_EQ(end_of(pid), 0);
	close(out);
}

static bool exists(const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return !access(path, F_OK);
}

#define TEXT_OF(x)	#x
#define ABI_TEXT(major, minor)	"hardware ABI " TEXT_OF(major) "." TEXT_OF(minor)

static void command_line(void)
{
	static const struct {
		const char *args[7];
		int code;
		const char *expect;
	} cases[] = {
		{ { "--help" }, 0, "Exit codes" },
		{ { "--version" }, 0, ABI_TEXT(SNPU_ABI_MAJOR, SNPU_ABI_MINOR) },
		{ { NULL }, 2, "--socket-dir is missing" },
		{ { "--socket-dir", "/tmp/x", "--npus", "0" }, 2, "1 .. 65536" },
		{ { "--socket-dir", "/tmp/x", "--npus", "5x" }, 2, "must be a number" },
		{ { "--socket-dir", "/tmp/x", "--npus", "-1" }, 2, "must be a number" },
		{ { "--socket-dir", "/tmp/x", "--workers", "65" }, 2, "1 .. 64" },
		{ { "--socket-dir", "/tmp/x", "--npus", "385" }, 2, "0 .. 383" },
		{ { "--socket-dir", "/tmp/x", "--npus", "1", "--first-node", "384" }, 2, "383" },
		{ { "--socket-dir", "/tmp/x", "--npus", "8", "--hosts", "1" }, 2, "exclude" },
		{ { "--socket-dir", "/tmp/x", "--profile", "vax" }, 2, "cm384" },
		{ { "--socket-dir", "/tmp/x", "--bogus" }, 2, "snpud --help" },
		{ { "--socket-dir", "/tmp/x", "extra" }, 2, "extra" },
		{ { "--socket-dir", "/nonexistent/x", "--npus", "1" }, 1, "No such file" },
		{ { "--socket-dir", "/dev/null", "--npus", "1" }, 1, "not a directory" },
	};
	char buf[8192];
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int code = run(cases[i].args, buf, sizeof(buf));

		CHECK(code == cases[i].code && strstr(buf, cases[i].expect),
		      "case %zu: exit code %d, expected %d; \"%s\" does not say \"%s\"", i, code,
		      cases[i].code, buf, cases[i].expect);
	}
}

static void instances(void)
{
	const char *const again[] = { "--socket-dir", dir, "--npus", "1", NULL };
	char buf[1024], path[128];
	struct stat st;
	int out, out2, fd;
	pid_t pid;

	pid = serve(&out, "3");
	snprintf(path, sizeof(path), "%s/npu2.sock", dir);
	CHECK(!stat(path, &st) && S_ISSOCK(st.st_mode) && (st.st_mode & 0777) == 0600, "%s", path);
	CHECK(exists("control.sock") && !exists("npu3.sock"), "sockets");
	CHECK_EQ(run(again, buf, sizeof(buf)), 3);
	CHECK(strstr(buf, "another snpud"), "%s", buf);
	CHECK(exists("npu2.sock") && exists("control.sock"), "sockets of the first are gone");
	/* killed: what it left is in nobody's way */
	kill(pid, SIGKILL);
	CHECK_EQ(end_of(pid), 1000 + SIGKILL);
	close(out);
	CHECK(exists("npu2.sock"), "no stale socket to test with");
	pid = serve(&out, "3");
	finish(pid, out);
	CHECK(!exists("npu0.sock") && !exists("npu2.sock") && !exists("control.sock"),
	      "left behind");
	/* what is no socket is not taken away */
	snprintf(path, sizeof(path), "%s/npu0.sock", dir);
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	close(fd);
	CHECK_EQ(run(again, buf, sizeof(buf)), 1);
	CHECK(exists("npu0.sock"), "a file was removed");
	unlink(path);
	pid = serve(&out2, "1");
	kill(pid, SIGINT);
	CHECK_EQ(end_of(pid), 0);
	close(out2);
}

/* ---- a driver on vfio-user ---- */

struct wire {
	struct snpu_vfuc *c;
	uint8_t *hbm;
	uint64_t *doorbells;
	uint8_t *host;
	int host_fd;
	struct snpu_admin_mbox *mb;
	uint64_t tables;
	uint32_t seq;
};

static uint64_t reg_read(struct wire *w, uint64_t off, size_t len)
{
	uint64_t v = 0;

	CHECK(!snpu_vfuc_read(w->c, 0, off, &v, len), "register 0x%llx", (unsigned long long)off);
	return v;
}

static void reg_write(struct wire *w, uint64_t off, uint64_t v, size_t len)
{
	CHECK(!snpu_vfuc_write(w->c, 0, off, &v, len), "register 0x%llx", (unsigned long long)off);
}

static uint32_t admin(struct wire *w, unsigned int op)
{
	uint32_t status;

	w->mb->op = (uint16_t)op;
	w->mb->seq = ++w->seq;
	reg_write(w, SNPU_REG_ADMIN_DB, 1, 4);
	status = w->mb->rsp_seq == w->seq ? w->mb->rsp_status : ~0u;
	memset(w->mb, 0, sizeof(*w->mb));
	return status;
}

static __u64 w_read(void *priv, __u64 table, unsigned int idx)
{
	return ((uint64_t *)(((struct wire *)priv)->hbm + table))[idx];
}

static void w_write(void *priv, __u64 table, unsigned int idx, __u64 pte)
{
	snpu_store_rel(&((uint64_t *)(((struct wire *)priv)->hbm + table))[idx], pte);
}

static int w_alloc(void *priv, __u64 *table)
{
	struct wire *w = priv;

	*table = w->tables;
	w->tables += SNPU_PT_BYTES;
	memset(w->hbm + *table, 0, SNPU_PT_BYTES);
	return 0;
}

static void w_free(void *priv, __u64 table)
{
	(void)priv;
	(void)table;
}

static const struct snpu_pt_ops w_ops = { w_read, w_write, w_alloc, w_free };

static bool dial(struct wire *w, unsigned int npu)
{
	struct snpu_vfuc_region rg;
	void *p = NULL;
	char path[128];
	int ret;

	memset(w, 0, sizeof(*w));
	snprintf(path, sizeof(path), "%s/npu%u.sock", dir, npu);
	ret = snpu_vfuc_connect(path, NULL, &w->c);
	CHECK(!ret, "%s: %s", path, strerror(-ret));
	if (ret)
		return false;
	w->host_fd = memfd_create("host", MFD_CLOEXEC);
	CHECK(!ftruncate(w->host_fd, HOST_BYTES), "ftruncate");
	w->host = mmap(NULL, HOST_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, w->host_fd, 0);
	CHECK(!snpu_vfuc_dma_map(w->c, IOVA, HOST_BYTES, VFIO_DMA_MAP_FLAG_READ |
				 VFIO_DMA_MAP_FLAG_WRITE, w->host_fd, 0), "dma_map");
	CHECK(!snpu_vfuc_region_get(w->c, 0, &rg), "BAR0");
	CHECK_EQ(rg.size, SNPU_BAR_REGS_SIZE);
	CHECK(!snpu_vfuc_region_mmap(&rg, SNPU_DB_OFFSET, 16 * SNPU_DB_STRIDE, &p), "doorbells");
	snpu_vfuc_region_put(&rg);
	w->doorbells = p;
	CHECK(!snpu_vfuc_region_get(w->c, 2, &rg), "BAR2");
	CHECK_EQ(rg.size, 128ull << 30);
	CHECK(!snpu_vfuc_region_mmap(&rg, 0, 64u << 20, &p), "HBM");
	snpu_vfuc_region_put(&rg);
	w->hbm = p;
	w->tables = 32u << 20;
	w->mb = (struct snpu_admin_mbox *)w->host;
	CHECK_EQ(reg_read(w, SNPU_REG_MAGIC, 4), SNPU_MAGIC);
	reg_write(w, SNPU_REG_ADMIN_ADDR, IOVA, 8);
	return true;
}

static void hang_up(struct wire *w)
{
	snpu_vfuc_close(w->c);
	munmap(w->host, HOST_BYTES);
	munmap(w->hbm, 64u << 20);
	munmap(w->doorbells, 16 * SNPU_DB_STRIDE);
	close(w->host_fd);
}

/* Ring at 1 MiB, completion record at 4 KiB of host memory; 2 MiB of HBM and of host mapped */
static volatile struct snpu_cpl *queue(struct wire *w)
{
	__u64 root;

	w_alloc(w, &root);
	CHECK(!snpu_pt_map(&w_ops, w, root, VA, 2u << 20, T_LEAF_HBM(0)) &&
	      !snpu_pt_map(&w_ops, w, root, VA + (4u << 20), 2u << 20,
			   T_LEAF_HOST(IOVA + (2u << 20))) &&
	      !snpu_pt_map(&w_ops, w, root, VA + (8u << 20), 1u << 20,
			   T_LEAF_HOST(IOVA + (1u << 20))), "map");
	w->mb->ctx.ctx = 1;
	w->mb->ctx.root = root;
	CHECK_EQ(admin(w, SNPU_ADM_CTX_CREATE), SNPU_ADM_S_OK);
	w->mb->queue.queue = 0;
	w->mb->queue.ctx = 1;
	w->mb->queue.ring_va = VA + (8u << 20);
	w->mb->queue.cpl_addr = IOVA + 4096;
	w->mb->queue.ring_log2 = 8;
	w->mb->queue.prio = 1;
	w->mb->queue.vector = 2;
	CHECK_EQ(admin(w, SNPU_ADM_QUEUE_CREATE), SNPU_ADM_S_OK);
	return (volatile struct snpu_cpl *)(w->host + 4096);
}

static void ring(struct wire *w, volatile struct snpu_cpl *cpl, uint64_t head)
{
	snpu_store_rel(&w->doorbells[0], head);
	snpu_mb();
	if (snpu_load(&cpl->need_wake))
		reg_write(w, SNPU_REG_WAKE, 1, 4);
}

static int cmp64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void over_the_wire(void)
{
	static uint64_t lat[20000];
	volatile struct snpu_cpl *cpl;
	int out, efd[4];
	union snpu_pkt *pkt;
	uint64_t head = 0, t0, irqs = 0;
	struct pollfd pfd;
	unsigned int i;
	struct wire w;
	pid_t pid;

	pid = serve(&out, "2");
	if (!dial(&w, 1))
		goto out;
	CHECK_EQ(reg_read(&w, SNPU_REG_NODE_ID, 4), 1);
	cpl = queue(&w);
	pkt = (union snpu_pkt *)(w.host + (1u << 20));
	/* bytes through both apertures */
	for (i = 0; i < 2u << 20; i++)
		w.host[(2u << 20) + i] = (uint8_t)(i * 7);
	pkt[head].copy = (struct snpu_pkt_copy) { .hdr.op = SNPU_OP_COPY, .src = VA + (4u << 20),
						  .dst = VA, .bytes = 2u << 20 };
	ring(&w, cpl, ++head);
	CHECK(T_WAIT(snpu_load_acq(&cpl->completed) == head), "copy: state %u error %u", cpl->state,
	      cpl->error);
	CHECK(!memcmp(w.hbm, w.host + (2u << 20), 2u << 20), "bytes differ");
	/* latency and rate, awake */
	memset(pkt, 0, 256 * 64);
	for (i = 0; i < 20000; i++) {
		t0 = snpu_clock_ns();
		ring(&w, cpl, ++head);
		while (snpu_load_acq(&cpl->completed) != head &&
		       snpu_clock_ns() - t0 < 5000000000ull)
			snpu_pause();
		lat[i] = snpu_clock_ns() - t0;
	}
	CHECK_EQ(cpl->completed, head);
	qsort(lat, 20000, sizeof(lat[0]), cmp64);
	t0 = snpu_clock_ns();
	for (i = 0; i < 20000; i++) {
		head += 64;
		ring(&w, cpl, head);
		if (!T_WAIT(snpu_load_acq(&cpl->completed) + 128 >= head))
			break;
	}
	CHECK(T_WAIT(snpu_load_acq(&cpl->completed) == head), "batches");
	t0 = snpu_clock_ns() - t0;
	printf("# nop: median %llu ns, 99 %% below %llu ns; batches of 64: %.1f M/s\n",
	       (unsigned long long)lat[10000], (unsigned long long)lat[19800],
	       20000 * 64 * 1e3 / (double)t0);
	/* completion interrupt */
	for (i = 0; i < 4; i++)
		efd[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	CHECK(!snpu_vfuc_irq_set(w.c, VFIO_PCI_MSIX_IRQ_INDEX, 0, 4, efd), "eventfds");
	snpu_store_rel(&((struct snpu_cpl *)cpl)->irq_at, head + 1);
	snpu_mb();
	ring(&w, cpl, ++head);
	pfd = (struct pollfd) { .fd = efd[2], .events = POLLIN };
	CHECK(poll(&pfd, 1, 10000) == 1 && read(efd[2], &irqs, 8) == 8 && irqs == 1,
	      "no interrupt");
	/* gone in the middle of work; the next client finds a clean device */
	for (i = 0; i < 100; i++) {
		pkt[(head + i) & 255].copy = (struct snpu_pkt_copy) {
			.hdr.op = SNPU_OP_COPY, .src = VA + (4u << 20), .dst = VA,
			.bytes = 2u << 20 };
	}
	head += 100;
	ring(&w, cpl, head);
	hang_up(&w);
	for (i = 0; i < 4; i++)
		close(efd[i]);
	for (i = 0; i < 20 && !dial(&w, 1); i++)
		;
	cpl = queue(&w);
	ring(&w, cpl, 1);
	CHECK(T_WAIT(snpu_load_acq(&cpl->completed) == 1), "after reconnection: error %u",
	      cpl->error);
	/* memory taken away under load: the call returns, and nobody writes there any more */
	pkt = (union snpu_pkt *)(w.host + (1u << 20));
	for (i = 1; i < 100; i++)
		pkt[i].copy = (struct snpu_pkt_copy) { .hdr.op = SNPU_OP_COPY, .src = VA,
						       .dst = VA + (4u << 20), .bytes = 2u << 20 };
	ring(&w, cpl, 100);
	CHECK(T_WAIT(snpu_load_acq(&cpl->completed) > 1), "no progress");
	CHECK(!snpu_vfuc_dma_unmap(w.c, IOVA, HOST_BYTES), "unmap");
	memset(w.host, 0, HOST_BYTES);
	for (i = 0; i < 1000; i++)
		sched_yield();
	for (i = 0; i < HOST_BYTES && !w.host[i]; i++)
		;
	CHECK(i == HOST_BYTES, "byte %u written after unmap", i);
	CHECK(!snpu_vfuc_reset(w.c), "reset");
	CHECK_EQ(reg_read(&w, SNPU_REG_STATUS, 4), SNPU_STATUS_READY);
	hang_up(&w);
out:
	finish(pid, out);
}

static unsigned long cpu_ticks(pid_t pid)
{
	unsigned long u = 0, s = 0;
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	f = fopen(path, "re");
	if (f) {
		if (fscanf(f, "%*d %*s %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &u,
			   &s) != 2)
			u = 0;
		fclose(f);
	}
	return u + s;
}

/* Eight NPUs with clients and queues that have nothing to do use no CPU */
static void idle(void)
{
	struct timespec second = { .tv_sec = 1 };
	volatile struct snpu_cpl *cpl[8];
	unsigned long before, used;
	struct wire w[8];
	unsigned int i;
	pid_t pid;
	int out;

	pid = serve(&out, "8");
	for (i = 0; i < 8; i++) {
		if (!dial(&w[i], i))
			goto out;
		cpl[i] = queue(&w[i]);
		ring(&w[i], cpl[i], 1);
		CHECK(T_WAIT(snpu_load_acq(&cpl[i]->completed) == 1), "NPU %u", i);
	}
	CHECK(T_WAIT(snpu_load(&cpl[0]->need_wake)), "does not go to sleep");
	before = cpu_ticks(pid);
	nanosleep(&second, NULL);
	used = cpu_ticks(pid) - before;
	CHECK(used <= 1, "%lu ticks of %ld a second", used, sysconf(_SC_CLK_TCK));
	for (i = 0; i < 8; i++) {
		ring(&w[i], cpl[i], 2);
		CHECK(T_WAIT(snpu_load_acq(&cpl[i]->completed) == 2), "NPU %u asleep", i);
		hang_up(&w[i]);
	}
out:
	finish(pid, out);
}

int main(int argc, char **argv)
{
	static const struct t_case cases[] = {
		{ "command_line", command_line },
		{ "instances", instances },
		{ "over_the_wire", over_the_wire },
		{ "idle", idle },
	};
	char path[128];
	int ret;

	if (argc < 2) {
		printf("Bail out! usage: test_snpud SNPUD [CASE]\n");
		return 2;
	}
	snpud = argv[1];
	if (!mkdtemp(dir))
		return 2;
	ret = t_main(argc - 1, argv + 1, cases, sizeof(cases) / sizeof(cases[0]));
	snprintf(path, sizeof(path), "%s/snpud.lock", dir);
	unlink(path);
	rmdir(dir);
	return ret;
}
