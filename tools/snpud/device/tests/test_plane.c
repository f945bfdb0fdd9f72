// SPDX-License-Identifier: MIT
/*
 * Virtual time on the device: questions, queues that stand at a timestamp while something happens to
 * them, queues that only cost time, limits.
 */
#include "harness.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"
#include "engine/tests/good.h"
#include "fabric/topo.h"
#include "log/packet_log.h"
#include "timing/plane.h"

#define VA	GOOD_BASE
#define BYTES	(8u << 20)
#define BIG	0x100000000ull	/* matrices of a product that takes a while */
#define DIM	1536u
#define STAMP	(VA + BYTES - 4096)
#define TOKEN	77
#define WAIT_NS	10000000000ull

static struct snpu_profile *small;
static struct snpu_topo *topo;
static struct snpu_plane *plane;
static struct snpu_plog *plog;
static struct snpu_machine *m;
static struct snpu_plog_rec kept[4096];
static uint32_t num_kept;
static uint32_t reports;

static void report(const char *msg)
{
	(void)msg;
	(void)snpu_add(&reports, 1);
}

/* Also for us */
static void sink(void *ctx, const struct snpu_plog_rec *recs, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		uint32_t at = snpu_add(&num_kept, 1) - 1;

		if (at < sizeof(kept) / sizeof(kept[0]))
			kept[at] = recs[i];
	}
	snpu_plane_sink(ctx, recs, n);
}

static void start(unsigned int npus, unsigned int workers, uint64_t max)
{
	struct snpu_plane_opts o = { .max_records = max, .report = report };
	struct snpu_machine_opts mo = { .npus = npus, .workers = workers };
	char err[256] = "";

	num_kept = 0;
	reports = 0;
	small = t_profile();
	topo = snpu_topo_new(small, err, sizeof(err));
	o.topo = topo;
	plane = topo ? snpu_plane_new(&o, err, sizeof(err)) : NULL;
	plog = plane ? snpu_plog_new(NULL, "test", sink, plane, report, err, sizeof(err)) : NULL;
	mo.profile = small;
	mo.plane = plane;
	mo.plog = plog;
	m = plog ? snpu_machine_create(&mo, err, sizeof(err)) : NULL;
	if (!m) {
		printf("Bail out! %s\n", err);
		exit(1);
	}
}

static void end(void)
{
	snpu_machine_destroy(m);
	CHECK_EQ(snpu_plog_close(plog), 0);
	snpu_plane_free(plane);
	snpu_topo_free(topo);
	snpu_profile_free(small);
}

/* An NPU with memory at VA */
static uint64_t npu(struct t_drv *d, unsigned int i)
{
	uint64_t root, mem;

	t_drv_init(d, m, i);
	root = t_ctx(d, 1);
	mem = t_hbm_alloc(d, BYTES, SNPU_HUGE_SIZE);
	memset(d->hbm + mem, 0, BYTES);
	t_map(d, root, VA, BYTES, T_LEAF_HBM(mem));
	return root;
}

static uint32_t timed_queue(struct t_drv *d, struct t_queue *q, uint32_t id, uint64_t root)
{
	uint32_t ret;

	d->mb->queue.flags = SNPU_QF_TIMING;
	ret = t_queue(d, q, id, 1, root, 8, 1);
	return ret;
}

static uint32_t ask(struct t_drv *d, uint32_t qid, uint64_t position)
{
	d->mb->vtime.qid = qid;
	d->mb->vtime.position = position;
	return t_admin(d, SNPU_ADM_VTIME);
}

/* Until it is known */
static uint32_t vtime(struct t_drv *d, uint32_t qid, uint64_t position)
{
	uint32_t ret = SNPU_ADM_S_BUSY;

	(void)T_WAIT((ret = ask(d, qid, position)) != SNPU_ADM_S_BUSY);
	return ret;
}

static void vstamp(struct t_queue *q, uint64_t addr)
{
	union snpu_pkt *p = t_put(q, SNPU_OP_TIMESTAMP);

	p->hdr.flags = SNPU_PF_VIRTUAL;
	p->misc.addr = addr;
}

static void questions(void)
{
	struct t_queue q;
	struct t_drv d;
	uint64_t root, irqs, begin;
	unsigned int i;

	start(1, 2, 0);
	root = npu(&d, 0);
	CHECK(snpu_npu_reg_read(d.npu, SNPU_REG_CAPS, 4) & SNPU_CAP_TIMING, "no capability");
	CHECK_EQ(t_queue(&d, &q, 3, 1, root, 8, 1), SNPU_ADM_S_OK);
	CHECK_EQ(ask(&d, 3, 1), SNPU_ADM_S_BUSY);
	t_copy(&q, VA, VA + BYTES / 2, 4096);
	t_copy(&q, VA, VA + BYTES / 2, BYTES / 4);
	t_ring(&q);
	CHECK(t_drain(&q), "drain");
	irqs = snpu_load(&d.host.irqs[4]);
	CHECK_EQ(ask(&d, 3, 2), SNPU_ADM_S_BUSY);
	/* the queue's vector says that the answer is there */
	CHECK(T_WAIT(snpu_load(&d.host.irqs[4]) > irqs), "no interrupt");
	CHECK_EQ(ask(&d, 3, 2), SNPU_ADM_S_OK);
	CHECK(d.data[0] > d.data[1] && d.data[2] <= d.data[0], "%llu .. %llu",
	      (unsigned long long)d.data[1], (unsigned long long)d.data[0]);
	begin = d.data[1];
	CHECK_EQ(vtime(&d, 3, 1), SNPU_ADM_S_OK);
	CHECK(d.data[1] <= begin && d.data[0] > d.data[1], "first packet");
	/* wrong ones */
	CHECK_EQ(ask(&d, 3, 3), SNPU_ADM_S_BUSY);
	CHECK_EQ(ask(&d, 3, 0), SNPU_ADM_S_BAD_ARG);
	CHECK_EQ(d.data[0], offsetof(struct snpu_admin_mbox, vtime.position));
	CHECK_EQ(ask(&d, 4, 1), SNPU_ADM_S_NOENT);
	CHECK_EQ(ask(&d, 32, 1), SNPU_ADM_S_BAD_ARG);
	CHECK_EQ(d.data[0], offsetof(struct snpu_admin_mbox, vtime.qid));
	d.mb->vtime.rsvd = 1;
	CHECK_EQ(ask(&d, 3, 1), SNPU_ADM_S_BAD_ARG);
	/* more questions than are kept, none of which anybody comes back for */
	for (i = 0; i < 300; i++)
		t_nop(&q), t_ring(&q), t_drain(&q);
	for (i = 1; i <= 300; i++)
		(void)ask(&d, 3, i);
	CHECK_EQ(vtime(&d, 3, 300), SNPU_ADM_S_OK);
	/* virtual time starts anew: what was is not known any more */
	CHECK_EQ(snpu_plane_reset(plane, WAIT_NS), 0);
	CHECK_EQ(vtime(&d, 3, 1), SNPU_ADM_S_NOENT);
	t_nop(&q);
	t_ring(&q);
	CHECK(t_drain(&q), "drain");
	CHECK_EQ(vtime(&d, 3, q.head), SNPU_ADM_S_OK);
	t_drv_end(&d);
	end();
}

/* Products that keep a worker until they are stopped: the machine does not come to rest */
static void keep_busy(struct t_drv *d, uint64_t root, struct t_queue *q)
{
	static const uint64_t step = 16u << 20;
	union snpu_pkt *p;
	uint64_t mem = t_hbm_alloc(d, 3 * step, SNPU_HUGE_SIZE);
	unsigned int i;

	t_map(d, root, BIG, 3 * step, T_LEAF_HBM(mem));
	t_queue(d, q, 0, 1, root, 8, 1);
	for (i = 0; i < 200; i++) {
		p = t_put(q, SNPU_OP_MATMUL);
		p->hdr.dtype = SNPU_DT_F32;
		p->hdr.dtype2 = SNPU_DT_F32;
		p->matmul.a = BIG;
		p->matmul.b = BIG + step;
		p->matmul.c = BIG + 2 * step;
		p->matmul.m = p->matmul.n = p->matmul.k = DIM;
		p->matmul.lda = p->matmul.ldb = p->matmul.ldc = DIM;
	}
	t_ring(q);
}

static bool stands(struct t_queue *q)
{
	return T_WAIT(snpu_load(&q->cpl->state) == SNPU_QSTATE_BLOCKED);
}

/* What happens to a queue that stands at a timestamp */
static void standing(void)
{
	struct t_queue busy, q[5];
	uint64_t root, root2;
	struct t_drv d, d2;
	unsigned int i;

	start(2, 2, 0);
	root = npu(&d, 0);
	root2 = npu(&d2, 1);
	for (i = 0; i < 4; i++)
		CHECK_EQ(t_queue(&d, &q[i], 1 + i, 1, root, 8, 1), SNPU_ADM_S_OK);
	CHECK_EQ(t_queue(&d2, &q[4], 1, 1, root2, 8, 1), SNPU_ADM_S_OK);
	keep_busy(&d, root, &busy);
	for (i = 0; i < 5; i++) {
		t_copy(&q[i], VA, VA + 65536, 4096);
		vstamp(&q[i], STAMP + 8 * i);
		t_ring(&q[i]);
		CHECK(stands(&q[i]), "queue %u is %s", i, snpu_qstate_name(q[i].cpl->state));
	}
	/* suspended, and goes on later; destroyed; changed into a NOP; with a fault; reset */
	CHECK_EQ(t_queue_op(&q[0], SNPU_ADM_QUEUE_SUSPEND), SNPU_ADM_S_OK);
	CHECK_EQ(t_queue_op(&q[1], SNPU_ADM_QUEUE_DESTROY), SNPU_ADM_S_OK);
	memset(&q[2].ring[1], 0, sizeof(q[2].ring[1]));
	snpu_npu_reg_write(d.npu, SNPU_REG_WAKE, 4, 1);
	CHECK(t_drain(&q[2]), "changed packet");
	CHECK_EQ(snpu_npu_inject_fault(d.npu, 4, SNPU_ERR_POISON), 0);
	CHECK(T_WAIT(snpu_load(&q[3].cpl->state) == SNPU_QSTATE_FAULT), "no fault");
	snpu_npu_reset(d2.npu);
	CHECK_EQ(q[4].cpl->state, SNPU_QSTATE_STOPPED);
	CHECK_EQ(t_queue_op(&busy, SNPU_ADM_QUEUE_DESTROY), SNPU_ADM_S_OK);
	/* all of them are out of the way of those that come now */
	vstamp(&q[2], STAMP + 64);
	t_ring(&q[2]);
	CHECK(t_drain(&q[2]), "stamp beside a suspended queue");
	CHECK_EQ(t_queue_op(&q[0], SNPU_ADM_QUEUE_RESUME), SNPU_ADM_S_OK);
	CHECK(t_drain(&q[0]), "resumed");
	CHECK_EQ(vtime(&d, 3, 3), SNPU_ADM_S_OK);
	t_drv_end(&d);
	t_drv_end(&d2);
	end();
}

static void limits(void)
{
	struct snpu_plane_summary s;
	struct t_queue q, q2;
	struct t_drv d;
	uint64_t root;
	unsigned int i;

	start(1, 1, 100);
	root = npu(&d, 0);
	CHECK_EQ(t_queue(&d, &q, 0, 1, root, 8, 1), SNPU_ADM_S_OK);
	CHECK_EQ(t_queue(&d, &q2, 1, 1, root, 8, 1), SNPU_ADM_S_OK);
	for (i = 0; i < 101; i++)
		t_nop(&q);
	t_ring(&q);
	CHECK(t_drain(&q), "drain");
	CHECK_EQ(vtime(&d, 0, 1), SNPU_ADM_S_NOMEM);
	CHECK(T_WAIT(snpu_load(&reports) == 1), "not told");
	vstamp(&q, STAMP);
	t_ring(&q);
	CHECK(!t_drain(&q), "a time that is not known");
	CHECK_EQ(q.cpl->error, SNPU_ERR_INTERNAL);
	CHECK_EQ(-snpu_plane_summary(plane, WAIT_NS, &s), ENOSPC);
	CHECK_EQ(snpu_plane_reset(plane, WAIT_NS), 0);
	vstamp(&q2, STAMP);
	t_ring(&q2);
	CHECK(t_drain(&q2), "after a reset");
	CHECK_EQ(snpu_plane_summary(plane, WAIT_NS, &s), 0);
	CHECK_EQ(s.records, 1);
	CHECK_EQ(reports, 1);
	t_drv_end(&d);
	end();
}

static bool is_data(const union snpu_pkt *p)
{
	return p->hdr.op >= SNPU_OP_COPY && p->hdr.op <= SNPU_OP_ATTENTION &&
	       p->hdr.op != SNPU_OP_ATOMIC;
}

/* What the good packets with lists have at A(1) */
static const uint64_t good_list[] = { A(2) - 64, A(3) - 64, A(2) + 64 };

/* A queue that only costs time logs what another one does, and touches nothing */
static void same_log(bool far)
{
	struct t_queue real, timed;
	struct t_drv d, d2;
	unsigned int i, k = 0, n = 0;
	uint64_t root, mem, root2;
	uint8_t *p;

	start(2, 1, 0);
	root2 = npu(&d2, 1);
	(void)root2;
	t_drv_init(&d, m, 0);
	root = t_ctx(&d, 1);
	mem = t_hbm_alloc(&d, BYTES, SNPU_HUGE_SIZE);
	t_map(&d, root, VA, BYTES, T_LEAF_HBM(mem));
	p = d.hbm + mem;
	if (far) {
		/* results go to the other NPU */
		uint64_t there = t_hbm_alloc(&d2, BYTES, SNPU_HUGE_SIZE);

		d2.mb->seg_export = (struct snpu_adm_export){
			.seg = 0, .access = SNPU_SEG_READ | SNPU_SEG_WRITE, .offset = there,
			.bytes = BYTES, .token = TOKEN,
		};
		CHECK_EQ(t_admin(&d2, SNPU_ADM_SEG_EXPORT), SNPU_ADM_S_OK);
		d.mb->import.slot = 1;
		d.mb->import.node = 1;
		d.mb->import.token = TOKEN;
		CHECK_EQ(t_admin(&d, SNPU_ADM_SEG_IMPORT), SNPU_ADM_S_OK);
		root = t_ctx(&d, 2);
		t_map(&d, root, VA, 1u << 20, T_LEAF_HBM(mem));
		t_map(&d, root, VA + (1u << 20), BYTES - (1u << 20), T_LEAF_FABRIC(1, 1u << 20));
		p = d2.hbm + there;
		d.mb->queue.flags = SNPU_QF_TIMING;
		CHECK_EQ(t_queue(&d, &timed, 1, 2, root, 8, 1), SNPU_ADM_S_OK);
		CHECK_EQ(t_queue(&d, &real, 0, 2, root, 8, 1), SNPU_ADM_S_OK);
	} else {
		CHECK_EQ(timed_queue(&d, &timed, 1, root), SNPU_ADM_S_OK);
		CHECK_EQ(t_queue(&d, &real, 0, 1, root, 8, 1), SNPU_ADM_S_OK);
	}
	for (i = 0; i < NUM_GOOD; i++)
		if (is_data(&good[i]))
			*t_put(&timed, 0) = good[i];
	memset(p, 0, BYTES);
	memset(p + (1u << 20), 0x11, BYTES - (1u << 20));
	memcpy(p + (1u << 20), good_list, sizeof(good_list));
	t_ring(&timed);
	CHECK(t_drain(&timed), "timed: error %u at %llu", timed.cpl->error,
	      (unsigned long long)timed.cpl->fault_index);
	CHECK(!memcmp(p + (1u << 20), good_list, sizeof(good_list)), "list");
	for (i = (1u << 20) + sizeof(good_list); i < BYTES && p[i] == 0x11; i++)
		;
	CHECK_EQ(i, BYTES);
	for (i = 0; i < NUM_GOOD; i++) {
		if (!is_data(&good[i]))
			continue;
		/* zeros are good indices */
		memset(d.hbm + mem, 0, BYTES);
		memset(p, 0, BYTES);
		if (snpu_pkt_is_multi(&good[i]))
			memcpy(p + (1u << 20), good_list, sizeof(good_list));
		*t_put(&real, 0) = good[i];
		n++;
		t_ring(&real);
		CHECK(t_drain(&real), "op %u: error %u", good[i].hdr.op, real.cpl->error);
	}
	CHECK_EQ(snpu_plane_replay(plane, WAIT_NS), 0);
	CHECK_EQ(num_kept, 2 * n);
	snpu_plog_sort(kept, num_kept);
	for (i = 0; i < n; i++) {
		struct snpu_plog_rec *a = &kept[i], *b = &kept[n + i];

		CHECK(!a->timing_only && b->timing_only && a->queue == 0 && b->queue == 1, "order");
		b->timing_only = 0;
		b->queue = 0;
		k += far && a->write_node == 1;
		CHECK(!memcmp(a, b, sizeof(*a)),
		      "op %u: read %llu/%llu written %llu/%llu flops %llu/%llu nodes %d/%d %d/%d",
		      a->op, (unsigned long long)a->bytes_read, (unsigned long long)b->bytes_read,
		      (unsigned long long)a->bytes_written, (unsigned long long)b->bytes_written,
		      (unsigned long long)a->flops, (unsigned long long)b->flops,
		      (int)a->read_node, (int)b->read_node, (int)a->write_node,
		      (int)b->write_node);
	}
	CHECK(!far || k > n / 2, "only %u of %u wrote there", k, n);
	t_drv_end(&d);
	t_drv_end(&d2);
	end();
}

static void timing_only(void)
{
	same_log(false);
}

static void timing_only_far(void)
{
	same_log(true);
}

/* Packets are checked, signals are real, and a segment that is gone is noticed */
static void timing_only_real(void)
{
	struct t_queue q;
	union snpu_pkt *p;
	struct t_drv d;
	uint64_t root;

	start(1, 1, 0);
	root = npu(&d, 0);
	CHECK_EQ(timed_queue(&d, &q, 1, root), SNPU_ADM_S_OK);
	p = t_put(&q, SNPU_OP_COPY);
	p->hdr.flags = SNPU_PF_SIGNAL;
	p->copy.src = 0x500000000000ull;
	p->copy.dst = 0x600000000000ull;
	p->copy.bytes = 1ull << 34;
	p->copy.sem_addr = VA;
	p->copy.sem_value = 5;
	t_await(&q, VA, SNPU_SEM_GE, 5, 0);
	t_ring(&q);
	CHECK(t_drain(&q), "signal of a copy: error %u", q.cpl->error);
	CHECK_EQ(vtime(&d, 1, 2), SNPU_ADM_S_OK);
	/* 16 GiB at 1 TB/s, read and written */
	CHECK(d.data[0] > 30000000, "%llu ns", (unsigned long long)d.data[0]);
	p = t_put(&q, SNPU_OP_COPY);
	p->copy.src = VA;
	p->copy.dst = VA + 8;
	p->copy.bytes = 64;
	t_ring(&q);
	CHECK(!t_drain(&q), "overlap");
	CHECK_EQ(q.cpl->error, SNPU_ERR_FIELD);
	d.mb->queue.flags = 1u << 1;
	CHECK_EQ(t_queue(&d, &q, 2, 1, root, 8, 1), SNPU_ADM_S_BAD_ARG);
	d.mb->queue.flags = 3u << SNPU_QF_DIE_SHIFT;
	CHECK_EQ(t_queue(&d, &q, 2, 1, root, 8, 1), SNPU_ADM_S_BAD_ARG);
	d.mb->queue.flags = 2u << SNPU_QF_DIE_SHIFT | SNPU_QF_TIMING;
	CHECK_EQ(t_queue(&d, &q, 2, 1, root, 8, 1), SNPU_ADM_S_OK);
	t_drv_end(&d);
	end();
}

/* An NPU with memory at VA; @there: a segment of the other NPU is at BIG, too */
static uint8_t *far_npu(struct t_drv *d, unsigned int i, struct t_drv *there, uint64_t *root)
{
	uint64_t mem;

	t_drv_init(d, m, i);
	*root = t_ctx(d, 1);
	mem = t_hbm_alloc(d, BYTES, SNPU_HUGE_SIZE);
	memset(d->hbm + mem, 0, BYTES);
	t_map(d, *root, VA, BYTES, T_LEAF_HBM(mem));
	if (!there)
		return d->hbm + mem;
	there->mb->export = (struct snpu_adm_export){
		.seg = 0, .access = SNPU_SEG_READ | SNPU_SEG_WRITE,
		.offset = t_hbm_alloc(there, SNPU_HUGE_SIZE, SNPU_HUGE_SIZE),
		.bytes = SNPU_HUGE_SIZE, .token = TOKEN,
	};
	CHECK_EQ(t_admin(there, SNPU_ADM_SEG_EXPORT), SNPU_ADM_S_OK);
	d->mb->import.slot = 1;
	d->mb->import.node = 1;
	d->mb->import.token = TOKEN;
	CHECK_EQ(t_admin(d, SNPU_ADM_SEG_IMPORT), SNPU_ADM_S_OK);
	t_map(d, *root, BIG, SNPU_HUGE_SIZE, T_LEAF_FABRIC(1, 0));
	return d->hbm + mem;
}

/* A packet that never ends: its queue says so, a TIMESTAMP too, and all others go on */
static void never(void)
{
	struct t_queue clock, beyond, slow, other;
	struct snpu_plane_summary sum;
	struct t_drv a, b;
	uint64_t root_a, root_b;
	uint8_t *mem_a, *mem_b;
	uint32_t i;

	start(2, 2, 0);
	mem_b = far_npu(&b, 1, NULL, &root_b);
	mem_a = far_npu(&a, 0, &b, &root_a);
	CHECK_EQ(t_queue(&a, &clock, 1, 1, root_a, 8, 1), SNPU_ADM_S_OK);
	CHECK_EQ(t_queue(&a, &beyond, 2, 1, root_a, 8, 1), SNPU_ADM_S_OK);
	CHECK_EQ(t_queue(&a, &slow, 3, 1, root_a, 8, 1), SNPU_ADM_S_OK);
	CHECK_EQ(t_queue(&b, &other, 1, 1, root_b, 8, 1), SNPU_ADM_S_OK);
	for (i = 0; i < topo->num_links; i++)
		snpu_plane_link(plane, i, 1e-6);
	t_copy(&slow, VA, BIG, 4096);
	vstamp(&slow, STAMP);
	t_ring(&slow);
	t_copy(&other, VA, VA + BYTES / 2, 4096);
	vstamp(&other, STAMP);
	t_ring(&other);
	CHECK(t_drain(&slow) && t_drain(&other), "drain");
	CHECK_EQ(*(uint64_t *)(mem_a + (STAMP - VA)), SNPU_VTIME_NEVER);
	CHECK(*(uint64_t *)(mem_b + (STAMP - VA)) < SNPU_VTIME_END, "other NPU");
	/* CLOCK up to its limit; above it that queue alone */
	t_put(&clock, SNPU_OP_CLOCK)->misc.addr = SNPU_MAX_CLOCK;
	t_copy(&clock, VA, VA + BYTES / 2, 4096);
	t_ring(&clock);
	t_put(&beyond, SNPU_OP_CLOCK)->misc.addr = SNPU_MAX_CLOCK + 1;
	t_ring(&beyond);
	CHECK(t_drain(&clock), "drain");
	CHECK(T_WAIT(beyond.cpl->state == SNPU_QSTATE_FAULT), "no fault");
	CHECK_EQ(beyond.cpl->error, SNPU_ERR_FIELD);
	CHECK_EQ(vtime(&a, 1, 2), SNPU_ADM_S_OK);
	CHECK(a.data[1] == SNPU_MAX_CLOCK && a.data[0] > a.data[1] && a.data[0] < SNPU_VTIME_END,
	      "%llu", (unsigned long long)a.data[0]);
	CHECK_EQ(vtime(&a, 3, 1), SNPU_ADM_S_OK);
	CHECK_EQ(a.data[0], SNPU_VTIME_NEVER);
	CHECK_EQ(vtime(&b, 1, 1), SNPU_ADM_S_OK);
	CHECK(b.data[0] > 0 && b.data[0] < 1000000000, "%llu", (unsigned long long)b.data[0]);
	CHECK_EQ(snpu_plane_summary(plane, WAIT_NS, &sum), 0);
	CHECK_EQ(sum.stuck, 1);
	CHECK_EQ(reports, 0);
	t_drv_end(&a);
	t_drv_end(&b);
	end();
}

/* A semaphore in memory that was zeroed meanwhile is another one */
static void generations(void)
{
	struct t_queue q;
	struct t_drv d;
	uint64_t root, mem;
	uint32_t i, gen[3];

	start(1, 1, 0);
	t_drv_init(&d, m, 0);
	root = t_ctx(&d, 1);
	mem = t_hbm_alloc(&d, BYTES, SNPU_HUGE_SIZE);
	t_map(&d, root, VA, BYTES, T_LEAF_HBM(mem));
	t_queue(&d, &q, 0, 1, root, 8, 1);
	for (i = 0; i < 3; i++) {
		d.mb->scrub.offset = i == 1 ? mem : mem + 4096;
		d.mb->scrub.bytes = i == 1 ? BYTES : 4096;
		CHECK_EQ(t_admin(&d, SNPU_ADM_SCRUB), SNPU_ADM_S_OK);
		t_signal(&q, VA + 4096, SNPU_SEM_ADD, 1);
		t_signal(&q, VA + 8192, SNPU_SEM_ADD, 1);
		t_ring(&q);
		CHECK(t_drain(&q), "drain");
	}
	CHECK_EQ(snpu_plane_replay(plane, WAIT_NS), 0);
	CHECK_EQ(num_kept, 6);
	for (i = 0; i < 3; i++)
		gen[i] = kept[2 * i].sem_gen;
	CHECK(gen[0] != gen[1] && gen[1] != gen[2] && gen[0] != gen[2], "%u %u %u", gen[0],
	      gen[1], gen[2]);
	CHECK(kept[1].sem_gen != kept[3].sem_gen && kept[3].sem_gen == kept[5].sem_gen,
	      "%u %u %u", kept[1].sem_gen, kept[3].sem_gen, kept[5].sem_gen);
	t_drv_end(&d);
	end();
}

int main(int argc, char **argv)
{
	static const struct t_case cases[] = {
		{ "questions", questions },
		{ "standing", standing },
		{ "limits", limits },
		{ "timing_only", timing_only },
		{ "timing_only_far", timing_only_far },
		{ "timing_only_real", timing_only_real },
		{ "never", never },
		{ "generations", generations },
	};

	return t_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
}
