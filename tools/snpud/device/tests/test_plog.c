// SPDX-License-Identifier: MIT
/*
 * Packet log: the same programs give the same canonical log, whatever the workers.
 */
#include "harness.h"

#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "log/packet_log.h"

#define NPUS	4
#define VA	0x40000000ull
#define PEER	0x80000000ull
#define BYTES	(1u << 20)
#define TOKEN	99

static int reports;

static void report(const char *msg)
{
	(void)msg;
	reports++;
}

/* A ring of copies, each gated by a semaphore that the NPU before signals, twice around */
static void program(struct snpu_machine *m)
{
	struct t_drv d[NPUS];
	struct t_queue q[NPUS], side[NPUS];
	unsigned int i, k;

	for (i = 0; i < NPUS; i++) {
		uint64_t root, mem, ib;
		union snpu_pkt *p;

		t_drv_init(&d[i], m, i);
		root = t_ctx(&d[i], 1);
		mem = t_hbm_alloc(&d[i], BYTES, SNPU_HUGE_SIZE);
		memset(d[i].hbm + mem, 0, BYTES);
		t_map(&d[i], root, VA, BYTES, T_LEAF_HBM(mem));
		d[i].mb->seg_export.seg = 0;
		d[i].mb->seg_export.access = SNPU_SEG_READ | SNPU_SEG_WRITE;
		d[i].mb->seg_export.offset = mem;
		d[i].mb->seg_export.bytes = BYTES;
		d[i].mb->seg_export.token = TOKEN;
		CHECK_EQ(t_admin(&d[i], SNPU_ADM_SEG_EXPORT), SNPU_ADM_S_OK);
		d[i].mb->import.slot = 5;
		d[i].mb->import.node = (i + 1) % NPUS;
		d[i].mb->import.token = TOKEN;
		CHECK_EQ(t_admin(&d[i], SNPU_ADM_SEG_IMPORT), SNPU_ADM_S_OK);
		t_map(&d[i], root, PEER, BYTES, T_LEAF_FABRIC(5, 0));
		t_queue(&d[i], &q[i], 0, 1, root, 8, 1);
		t_queue(&d[i], &side[i], 1, 1, root, 8, 1);
		ib = t_hbm_alloc(&d[i], 4096, 4096);
		memset(d[i].hbm + ib, 0, 4096);
		t_map(&d[i], root, VA + (4ull << 30), 4096, T_LEAF_HBM(ib));
		p = (union snpu_pkt *)(d[i].hbm + ib);
		for (k = 0; k < 10; k++) {
			p[k].hdr.op = SNPU_OP_SEM_SIGNAL;
			p[k].hdr.arg = SNPU_SEM_ADD;
			p[k].sem.addr = VA + 64;
			p[k].sem.value = k;
		}
	}
	for (k = 1; k <= 4; k++) {
		for (i = 0; i < NPUS; i++) {
			union snpu_pkt *p;

			t_await(&q[i], VA, SNPU_SEM_GE, i ? k : k - 1, 0);
			t_copy(&q[i], VA + 4096, PEER + 4096, k & 1 ? BYTES / 2 : 100);
			t_signal(&q[i], PEER, SNPU_SEM_SET, k);
			p = t_put(&side[i], SNPU_OP_INDIRECT);
			p->misc.addr = VA + (4ull << 30);
			p->misc.count = 10;
			t_nop(&side[i]);
		}
	}
	for (i = 0; i < NPUS; i++) {
		t_ring(&side[i]);
		t_ring(&q[i]);
	}
	for (i = 0; i < NPUS; i++)
		CHECK(t_drain(&q[i]) && t_drain(&side[i]), "NPU %u: error %u", i, q[i].cpl->error);
	/* a queue number that lives twice */
	t_queue_op(&side[0], SNPU_ADM_QUEUE_DESTROY);
	for (i = 0; i < NPUS; i++)
		t_drv_end(&d[i]);
}

static uint64_t run(unsigned int workers, size_t *n)
{
	char path[] = "/tmp/snpu-plog-XXXXXX", err[256];
	struct snpu_plog_rec *recs;
	struct snpu_plog_head head;
	struct snpu_machine *m;
	struct snpu_plog *l;
	uint64_t hash = 0, flow[2] = { 0 };
	size_t i;
	int fd;

	fd = mkstemp(path);
	CHECK(fd >= 0, "mkstemp");
	close(fd);
	l = snpu_plog_open(path, "test", report, err, sizeof(err));
	CHECK(l, "%s", err);
	m = t_machine(NPUS, workers, l);
	program(m);
	t_machine_end(m);
	CHECK_EQ(snpu_plog_close(l), 0);
	CHECK(!snpu_plog_read(path, &head, &recs, n, err, sizeof(err)), "%s", err);
	unlink(path);
	CHECK(!strcmp(head.profile, "test"), "%s", head.profile);
	for (i = 0; recs && i < *n; i++) {
		flow[0] += recs[i].op == SNPU_OP_COPY ? recs[i].bytes_written : 0;
		flow[1] += recs[i].op == SNPU_OP_SEM_SIGNAL && recs[i].write_node ==
			   (recs[i].node + 1) % NPUS;
		if (recs[i].op == SNPU_OP_COPY)
			CHECK_EQ(recs[i].write_node, (recs[i].node + 1) % NPUS);
	}
	CHECK_EQ(flow[0], NPUS * (2 * (BYTES / 2) + 200));
	CHECK_EQ(flow[1], NPUS * 4);
	hash = snpu_plog_hash(recs, *n);
	free(recs);
	return hash;
}

static void deterministic(void)
{
	uint64_t first = 0, hash;
	unsigned int i;
	size_t n;

	for (i = 0; i < 6; i++) {
		hash = run(i & 1 ? 4 : 1, &n);
		printf("# %u workers: %zu records, hash %016llx\n", i & 1 ? 4 : 1, n,
		       (unsigned long long)hash);
		CHECK_EQ(n, NPUS * (4 * 3 + 4 * (10 + 1 + 1)));
		if (!i)
			first = hash;
		CHECK_EQ(hash, first);
	}
}

static void disk_full(void)
{
	char path[] = "/tmp/snpu-plog-XXXXXX";
	struct rlimit old, small;
	struct snpu_plog_buf *b;
	struct snpu_plog *l;
	char err[256];
	unsigned int i;

	reports = 0;
	close(mkstemp(path));
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	small = old;
	small.rlim_cur = sizeof(struct snpu_plog_head);
	l = snpu_plog_open("/dev/full", "test", report, err, sizeof(err));
	CHECK(!l && strstr(err, "/dev/full"), "opened a full disk");
	l = snpu_plog_open("/nonexistent/x", "test", report, err, sizeof(err));
	CHECK(!l && strstr(err, "No such file"), "%s", err);
	/* full later on: the header fits, records do not */
	l = snpu_plog_open(path, "test", report, err, sizeof(err));
	CHECK(l, "%s", err);
	b = snpu_plog_buf_new(l);
	for (i = 0; i < 10; i++)
		snpu_plog_add(b)->seq = i;
	CHECK_EQ(snpu_plog_lost(l), 0);
	CHECK(!setrlimit(RLIMIT_FSIZE, &small), "limit");
	snpu_plog_flush(b);
	setrlimit(RLIMIT_FSIZE, &old);
	CHECK_EQ(snpu_plog_lost(l), 10);
	CHECK_EQ(reports, 1);
	for (i = 0; i < 5000; i++)
		snpu_plog_add(b)->seq = i;
	snpu_plog_buf_free(b);
	CHECK_EQ(reports, 1);
	CHECK_EQ(snpu_plog_close(l), 5010);
	unlink(path);
}

static void damaged(void)
{
	char path[] = "/tmp/snpu-plog-XXXXXX", err[256];
	struct snpu_plog_head head;
	struct snpu_plog_rec *recs;
	struct snpu_plog_buf *b;
	struct snpu_plog *l;
	size_t n;
	int fd;

	fd = mkstemp(path);
	l = snpu_plog_open(path, "test", report, err, sizeof(err));
	b = snpu_plog_buf_new(l);
	snpu_plog_add(b)->seq = 2;
	snpu_plog_add(b)->seq = 1;
	snpu_plog_buf_free(b);
	snpu_plog_close(l);
	CHECK(!ftruncate(fd, sizeof(head) + 2 * sizeof(*recs) - 1), "truncate");
	CHECK_EQ(-snpu_plog_read(path, &head, &recs, &n, err, sizeof(err)), ENODATA);
	CHECK_EQ(n, 1);
	free(recs);
	/* a time that no device takes */
	l = snpu_plog_open(path, "test", report, err, sizeof(err));
	b = snpu_plog_buf_new(l);
	for (n = 0; n < 2; n++) {
		struct snpu_plog_rec *r = snpu_plog_add(b);

		r->op = SNPU_OP_CLOCK;
		r->clock = SNPU_MAX_CLOCK + n;
	}
	snpu_plog_buf_free(b);
	snpu_plog_close(l);
	CHECK_EQ(-snpu_plog_read(path, &head, &recs, &n, err, sizeof(err)), EINVAL);
	CHECK(!recs && strstr(err, "record 1: CLOCK of 9007199254740993 ns: 0 .. 90071"), "%s",
	      err);
	CHECK(!ftruncate(fd, 10), "truncate");
	CHECK_EQ(-snpu_plog_read(path, &head, &recs, &n, err, sizeof(err)), EINVAL);
	CHECK(!recs && strstr(err, "not a packet log"), "%s", err);
	close(fd);
	unlink(path);
}

int main(int argc, char **argv)
{
	static const struct t_case cases[] = {
		{ "deterministic", deterministic },
		{ "disk_full", disk_full },
		{ "damaged", damaged },
	};

	return t_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
}
