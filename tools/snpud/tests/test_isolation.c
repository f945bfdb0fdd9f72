// SPDX-License-Identifier: MIT
/*
 * The program snpud under a client that means no good, from outside: another client's NPU makes its
 * steps meanwhile.
 *
 * argv[1] is the snpud to test.
 */
#include "wire.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MIB		(1ull << 20)
#define SILENT_IOVA	0x800000000ull
#define SILENT_VA	(VA + 64 * MIB)
#define BIG_VA		(VA + 1024 * MIB)
#define BIG_HBM		(1024 * MIB)

static struct wire bad, good;
static volatile struct snpu_cpl *bad_cpl, *good_cpl;
static uint64_t good_head;

static uint32_t answers = 1, asked;

/* What the device asks of the first client: it has no time while @answers is 0 */
static int dma_read(void *ctx, uint64_t iova, void *buf, size_t len)
{
	(void)ctx;
	(void)iova;
	(void)snpu_add(&asked, 1);
	while (!snpu_load_acq(&answers))
		snpu_futex_wait(&answers, 0, -1);
	memset(buf, 0, len);
	return 0;
}

static bool start(void)
{
	static const struct snpu_vfuc_cfg silent_one = { .dma_read = dma_read };
	bool ok;

	wire_client = &silent_one;
	ok = wire_dial(&bad, 0);
	wire_client = NULL;
	if (!ok || !wire_dial(&good, 1))
		return false;
	bad_cpl = wire_queue(&bad);
	good_cpl = wire_queue(&good);
	good_head = 0;
	return true;
}

static void end(void)
{
	wire_hang_up(&bad);
	wire_hang_up(&good);
}

static union snpu_pkt *ring_of(struct wire *w)
{
	return (union snpu_pkt *)(w->host + MIB);
}

/* One packet of the other client, that writes memory */
static bool step(void)
{
	ring_of(&good)[good_head % 256].fill = (struct snpu_pkt_fill) {
		.hdr = { .op = SNPU_OP_FILL, .arg = 8 }, .dst = VA + good_head % 256 * 4096,
		.bytes = 4096, .pattern = good_head,
	};
	wire_ring(&good, good_cpl, ++good_head);
	return T_WAIT(snpu_load_acq(&good_cpl->completed) == good_head);
}

static void silent(void)
{
	unsigned int steps = 0;
	uint64_t until;

	if (!start())
		return;
	CHECK(!snpu_vfuc_dma_map(bad.c, SILENT_IOVA, MIB, 3, -1, 0), "a region with no descriptor");
	wire_map(&bad, SILENT_VA, MIB, T_LEAF_HOST(SILENT_IOVA));
	ring_of(&bad)[0].copy = (struct snpu_pkt_copy) {
		.hdr.op = SNPU_OP_COPY, .src = SILENT_VA, .dst = VA, .bytes = MIB,
	};
	snpu_store_rel(&answers, 0);
	wire_ring(&bad, bad_cpl, 1);
	/* until the device gives up on the client: how many steps that takes depends on the machine */
	until = snpu_clock_ns() + 60000000000ull;
	while (snpu_load_acq(&bad_cpl->state) != SNPU_QSTATE_FAULT && snpu_clock_ns() < until) {
		if (!step()) {
			CHECK(false, "step %u beside a silent client", steps);
			break;
		}
		steps++;
	}
	printf("# %u steps beside a message without an answer\n", steps);
	CHECK(snpu_load(&asked), "nothing was asked");
	CHECK(steps > 20, "the other client had to wait");
	CHECK_EQ(bad_cpl->error, SNPU_ERR_BUS);
	snpu_store_rel(&answers, 1);
	snpu_futex_wake(&answers, 1);
	end();
}

static void memory(void)
{
	unsigned int i;

	if (!start())
		return;
	wire_map(&bad, BIG_VA, 256 * MIB, T_LEAF_HBM(BIG_HBM));
	ring_of(&bad)[0].fill = (struct snpu_pkt_fill) {
		.hdr = { .op = SNPU_OP_FILL, .arg = 8 }, .dst = BIG_VA, .bytes = 256 * MIB,
		.pattern = 1,
	};
	wire_ring(&bad, bad_cpl, 1);
	CHECK(T_WAIT(snpu_load_acq(&bad_cpl->state) == SNPU_QSTATE_FAULT), "all of it was written");
	CHECK_EQ(bad_cpl->error, SNPU_ERR_NOMEM);
	for (i = 0; i < 100; i++)
		if (!step()) {
			CHECK(false, "step %u: state %u, error %u", i, good_cpl->state,
			      good_cpl->error);
			break;
		}
	end();
}

int main(int argc, char **argv)
{
	static const struct t_case cases[] = {
		{ "silent", silent },
		{ "memory", memory },
	};
	const char *args[] = { "--socket-dir", wire_dir, "--npus", "2", "--workers", "1",
			       "--memory", "128M", NULL };
	char buf[1024], path[128];
	pid_t pid;
	int ret, out;

	if (argc < 2) {
		printf("Bail out! usage: test_isolation SNPUD [CASE]\n");
		return 2;
	}
	wire_snpud = argv[1];
	if (!mkdtemp(wire_dir))
		return 2;
	pid = wire_spawn(&out, args);
	if (!wire_read_until(out, buf, sizeof(buf), "ready")) {
		printf("Bail out! %s\n", buf);
		return 2;
	}
	ret = t_main(argc - 1, argv + 1, cases, sizeof(cases) / sizeof(cases[0]));
	wire_finish(pid, out);
	ret |= t_failures != 0;
	snprintf(path, sizeof(path), "%s/snpud.lock", wire_dir);
	unlink(path);
	rmdir(wire_dir);
	return ret;
}
