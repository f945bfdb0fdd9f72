// SPDX-License-Identifier: MIT
/*
 * Faults: what stopped the queue, where, in words; and that nobody else notices.
 */
#include "tap.h"

#define NOWHERE	0x3ffffff00000ull	/* an address where nothing is mapped */

static struct t_dev d;		/* the neighbour: same context, never at fault */
static struct snpu_mem *ro;
static uint64_t ro_va;

enum { DATA = 0, SECRET = 4096, BYTES = 65536 };

/**
 * struct fault - a packet that fails
 * @name: of the case
 * @make: encodes it
 * @code: SNPU_ERR_* expected
 * @op: SNPU_OP_* expected
 * @va: address expected, 0: none
 */
struct fault {
	const char *name;
	void (*make)(union snpu_pkt *p);
	unsigned int code, op;
	uint64_t va;
};

static void bad_op(union snpu_pkt *p)
{
	snpu_prep_hdr(p, 0x7f, 0, 0, 0, 0);
}

static void bad_reserved(union snpu_pkt *p)
{
	snpu_prep_copy(p, d.va, d.va + 4096, 64);
	p->copy.rsvd[1] = 1;
}

static void bad_flag(union snpu_pkt *p)
{
	snpu_prep_nop(p);
	p->hdr.flags = 0x80;
}

static void bad_length(union snpu_pkt *p)
{
	snpu_prep_fill(p, d.va, 0, 0, 1);
}

static void bad_overlap(union snpu_pkt *p)
{
	snpu_prep_copy(p, d.va, d.va + 32, 64);
}

static void bad_align(union snpu_pkt *p)
{
	snpu_prep_signal(p, d.va + 4, 1, SNPU_SEM_SET);
}

static void bad_src(union snpu_pkt *p)
{
	snpu_prep_copy(p, d.va, NOWHERE, 64);
}

static void bad_dst(union snpu_pkt *p)
{
	snpu_prep_fill(p, NOWHERE + 0x2000, 4096, 1, 1);
}

static void null_pointer(union snpu_pkt *p)
{
	snpu_prep_copy(p, d.va, 0, 8);
}

static void bad_sem(union snpu_pkt *p)
{
	snpu_prep_wait(p, NOWHERE + 8, 1, SNPU_SEM_GE, 0);
}

static void read_only(union snpu_pkt *p)
{
	snpu_prep_fill(p, ro_va + 4096, 16, 1, 1);
}

static void sem_timeout(union snpu_pkt *p)
{
	snpu_prep_wait(p, d.va + SECRET, 1ull << 63, SNPU_SEM_GE, 1000000);
}

static void bad_index(union snpu_pkt *p)
{
	/* the index is 0x5a5a5a5a */
	snpu_prep_gather(p, SNPU_DT_F32, d.va + 16384, d.va, 4, d.va + SECRET, 1, 4);
}

/* What cannot be read counts as NOP */
static void bad_ib(union snpu_pkt *p)
{
	snpu_prep_indirect(p, NOWHERE + 4096, 1);
}

static void bad_ib_count(union snpu_pkt *p)
{
	snpu_prep_indirect(p, d.va, SNPU_MAX_IB_PKTS + 1);
}

/* Addresses that depend on @ro and @d are filled in by the setup */
static struct fault faults[] = {
	{ "OPCODE", bad_op, SNPU_ERR_OPCODE, 0x7f, 0 },
	{ "FIELD: reserved field", bad_reserved, SNPU_ERR_FIELD, SNPU_OP_COPY, 0 },
	{ "FIELD: unknown flag", bad_flag, SNPU_ERR_FIELD, SNPU_OP_NOP, 0 },
	{ "FIELD: length 0", bad_length, SNPU_ERR_FIELD, SNPU_OP_FILL, 0 },
	{ "FIELD: ranges overlap", bad_overlap, SNPU_ERR_FIELD, SNPU_OP_COPY, 0 },
	{ "FIELD: indirect count", bad_ib_count, SNPU_ERR_FIELD, SNPU_OP_INDIRECT, 0 },
	{ "ALIGN", bad_align, SNPU_ERR_ALIGN, SNPU_OP_SEM_SIGNAL, 0 },
	{ "UNMAPPED: source", bad_src, SNPU_ERR_UNMAPPED, SNPU_OP_COPY, NOWHERE },
	{ "UNMAPPED: destination", bad_dst, SNPU_ERR_UNMAPPED, SNPU_OP_FILL, NOWHERE + 0x2000 },
	{ "UNMAPPED: semaphore", bad_sem, SNPU_ERR_UNMAPPED, SNPU_OP_SEM_WAIT, NOWHERE + 8 },
	{ "UNMAPPED: indirect buffer", bad_ib, SNPU_ERR_UNMAPPED, SNPU_OP_NOP, NOWHERE + 4096 },
	{ "UNMAPPED: address 0", null_pointer, SNPU_ERR_UNMAPPED, SNPU_OP_COPY, 0 },
	{ "PERM", read_only, SNPU_ERR_PERM, SNPU_OP_FILL, 0 },
	{ "TIMEOUT", sem_timeout, SNPU_ERR_TIMEOUT, SNPU_OP_SEM_WAIT, 0 },
	{ "INDEX", bad_index, SNPU_ERR_INDEX, SNPU_OP_GATHER, 0 },
};

/* Destroys @q after it failed as told, and checks that everybody else is well */
static void expect(struct snpu_queue *q, unsigned int code, unsigned int op, uint64_t index,
		   unsigned int ib_index, const uint64_t *va)
{
	struct snpu_error err, part;
	char text[200], want[200];
	uint64_t pos;
	int n;

	memset(&err, 0xee, sizeof(err));
	CHECK_EQ(snpu_queue_error(q, &err, sizeof(err)), 0);
	CHECK_EQ(err.code, code);
	CHECK_EQ(err.state, SNPU_QSTATE_FAULT);
	CHECK_EQ(err.op, op);
	CHECK_EQ(err.index, index);
	CHECK_EQ(err.ib_index, ib_index);
	CHECK_EQ(err.npu, 0);
	CHECK(!err.hung && !err.lost);
	if (va)
		CHECK_EQ(err.va, *va);
	CHECK_EQ(snpu_queue_completed(q), index);
	memset(&part, 0xee, sizeof(part));
	CHECK_EQ(snpu_queue_error(q, &part, 8), 0);
	CHECK_EQ(part.code, code);
	CHECK_EQ(part.op, 0xeeeeeeee);

	/* in words */
	n = snprintf(want, sizeof(want), "NPU 0 queue %u packet %llu (%s", err.queue,
		     (unsigned long long)index, snpu_op_name(op));
	if (ib_index)
		n += snprintf(want + n, sizeof(want) - (size_t)n,
			      ", packet %u of its command buffer", ib_index);
	n += snprintf(want + n, sizeof(want) - (size_t)n, "): %s", snpu_error_name(code));
	if (va)
		n += snprintf(want + n, sizeof(want) - (size_t)n, " at 0x%llx",
			      (unsigned long long)*va);
	CHECK_EQ(snpu_error_format(&err, text, sizeof(text)), n);
	if (strcmp(text, want))
		t_fail(__FILE__, __LINE__, "'%s', not '%s'", text, want);
	CHECK_EQ(snpu_error_format(&err, text, 5), n);
	CHECK_EQ(strlen(text), 4);
	CHECK_EQ(snpu_error_format(&err, NULL, 0), n);

	/* the queue stays stopped */
	CHECK_EQ(snpu_queue_poll(q, index + 1), -EIO);
	if (index)
		CHECK_EQ(snpu_queue_poll(q, index), 1);
	snpu_prep_nop(t_pkt(q));
	CHECK_EQ(snpu_queue_submit(q, &pos), -EIO);
	CHECK_TEXT(snpu_last_error(), want);
	CHECK_EQ(snpu_queue_suspend(q) < 0, 1);
	CHECK_EQ(snpu_queue_destroy(q), 0);
	/* the neighbour in the same context does not */
	snpu_prep_nop(t_pkt(d.q));
	CHECK_EQ(t_run(d.q), 0);
}

static void one_fault(const struct fault *f)
{
	bool memory = f->code == SNPU_ERR_UNMAPPED || f->code == SNPU_ERR_PERM;
	uint64_t va = f->code == SNPU_ERR_PERM ? ro_va + 4096 : f->va, pos;
	uint64_t before = *(uint64_t *)(void *)(d.p + 8192);
	struct snpu_queue *q;
	struct snpu_counters a, b;

	NEED(!snpu_queue_create(d.ctx, NULL, &q));
	CHECK_EQ(snpu_get_counters(t_snpu(), 0, &a, sizeof(a)), 0);
	snpu_prep_nop(t_pkt(q));
	snpu_prep_nop(t_pkt(q));
	f->make(t_pkt(q));
	/* this one must not run */
	snpu_prep_signal(t_pkt(q), d.va + 8192, 1, SNPU_SEM_ADD);
	NEED(!snpu_queue_submit(q, &pos));
	CHECK_EQ(snpu_queue_wait(q, 2, T_LONG), 0);
	if (snpu_queue_wait(q, pos, T_LONG) != -EIO)
		t_fail(__FILE__, __LINE__, "%s: no fault", f->name);
	CHECK_TEXT(snpu_last_error(), snpu_error_name(f->code));
	CHECK_EQ(*(uint64_t *)(void *)(d.p + 8192), before);
	CHECK_EQ(snpu_get_counters(t_snpu(), 0, &b, sizeof(b)), 0);
	CHECK_EQ(b.faults - a.faults, 1);
	if (f->code == SNPU_ERR_INDEX || f->code == SNPU_ERR_TIMEOUT) {
		uint64_t at = d.va + SECRET;

		expect(q, f->code, f->op, 2, 0, &at);
	} else {
		expect(q, f->code, f->op, 2, 0, memory ? &va : NULL);
	}
}

static void setup(void)
{
	struct snpu_error err;
	char text[100];

	NEED(!t_dev_open(&d, 0, BYTES, SNPU_MEM_HBM));
	memset(d.p + SECRET, 0x5a, 4096);
	NEED(!snpu_mem_alloc(d.ctx, 8192, SNPU_MEM_HBM | SNPU_MEM_READ_ONLY, &ro));
	ro_va = snpu_mem_va(ro);
	CHECK_EQ(snpu_queue_error(d.q, &err, sizeof(err)), 0);
	CHECK_EQ(err.code, SNPU_ERR_NONE);
	CHECK(snpu_error_format(&err, text, sizeof(text)) > 0);
	CHECK_TEXT(text, "no error");
}

static void all_faults(void)
{
	size_t i;

	NEED(d.ctx);
	for (i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		printf("# %s\n", faults[i].name);
		one_fault(&faults[i]);
	}
}

static void in_cmdbuf(void)
{
	uint64_t va = NOWHERE + 0x5000;
	struct snpu_cmdbuf *cb;
	struct snpu_queue *q;
	unsigned int i;

	NEED(d.ctx);
	NEED(!snpu_cmdbuf_create(d.ctx, 10, &cb));
	for (i = 0; i < 10; i++) {
		if (i == 6)
			snpu_prep_copy(snpu_cmdbuf_get(cb), va, d.va, 8);
		else
			snpu_prep_signal(snpu_cmdbuf_get(cb), d.va + 12288, 1, SNPU_SEM_ADD);
	}
	NEED(!snpu_queue_create(d.ctx, NULL, &q));
	snpu_prep_nop(t_pkt(q));
	CHECK_EQ(snpu_queue_put_cmdbuf(q, cb), 0);
	CHECK_EQ(t_run(q), -EIO);
	CHECK_EQ(*(uint64_t *)(void *)(d.p + 12288), 6);
	expect(q, SNPU_ERR_UNMAPPED, SNPU_OP_COPY, 1, 6, &va);

	snpu_cmdbuf_reset(cb);
	for (i = 0; i < 3; i++)
		snpu_prep_nop(snpu_cmdbuf_get(cb));
	snpu_prep_indirect(snpu_cmdbuf_get(cb), d.va, 1);
	NEED(!snpu_queue_create(d.ctx, NULL, &q));
	CHECK_EQ(snpu_queue_put_cmdbuf(q, cb), 0);
	CHECK_EQ(t_run(q), -EIO);
	expect(q, SNPU_ERR_NESTING, SNPU_OP_INDIRECT, 0, 3, NULL);
	CHECK_EQ(snpu_cmdbuf_destroy(cb), 0);
}

/* Freed memory is gone for the device at once; a range that runs into it stops at its first byte */
static void freed(void)
{
	struct snpu_mem *m[3];
	struct snpu_queue *q;
	uint64_t va;
	unsigned int i;

	NEED(d.ctx);
	for (i = 0; i < 3; i++)
		NEED(!snpu_mem_alloc(d.ctx, 4096, SNPU_MEM_HBM, &m[i]));
	va = snpu_mem_va(m[1]);
	CHECK_EQ(snpu_mem_free(m[1]), 0);
	NEED(!snpu_queue_create(d.ctx, NULL, &q));
	va = snpu_mem_va(m[0]) + 4096 == va ? snpu_mem_va(m[0]) + 4096 : va;
	/* neighbours in the address space or not: begin in the hole, or before it */
	snpu_prep_fill(t_pkt(q), snpu_mem_va(m[0]) + 4096 == va ? va - 4096 : va, 4100, 1, 1);
	CHECK_EQ(t_run(q), -EIO);
	expect(q, SNPU_ERR_UNMAPPED, SNPU_OP_FILL, 0, 0, &va);
	CHECK_EQ(snpu_mem_free(m[0]), 0);
	CHECK_EQ(snpu_mem_free(m[2]), 0);
}

/* An address of one context means nothing in another, of the same NPU */
static void isolation(void)
{
	struct snpu_mem *m[8];
	struct snpu_error err;
	struct t_dev o;
	uint64_t va;
	unsigned int i;

	NEED(d.ctx);
	NEED(!t_dev_open(&o, 0, 4096, SNPU_MEM_HBM));
	for (i = 0; i < 8; i++)
		NEED(!snpu_mem_alloc(d.ctx, 1 << 20, SNPU_MEM_HBM, &m[i]));
	va = snpu_mem_va(m[7]) + 512;
	snpu_prep_copy(t_pkt(o.q), o.va, va, 64);
	CHECK_EQ(t_run(o.q), -EIO);
	CHECK_EQ(snpu_queue_error(o.q, &err, sizeof(err)), 0);
	CHECK_EQ(err.code, SNPU_ERR_UNMAPPED);
	CHECK_EQ(err.va, va);
	snpu_prep_fill(t_pkt(d.q), va, 64, 1, 1);
	CHECK_EQ(t_run(d.q), 0);
	for (i = 0; i < 8; i++)
		CHECK_EQ(snpu_mem_free(m[i]), 0);
	t_dev_close(&o);
}

/* The same address in two contexts is two pieces of memory */
static void two_contexts(void)
{
	struct t_dev a, b;

	NEED(!t_dev_open(&a, 1, 4096, SNPU_MEM_HBM));
	NEED(!t_dev_open(&b, 1, 4096, SNPU_MEM_HBM));
	snpu_prep_fill(t_pkt(a.q), a.va, 4096, 0xaa, 1);
	CHECK_EQ(t_run(a.q), 0);
	CHECK_EQ(b.p[0], 0);
	snpu_prep_fill(t_pkt(b.q), b.va, 4096, 0xbb, 1);
	CHECK_EQ(t_run(b.q), 0);
	CHECK_EQ(a.p[0], 0xaa);
	CHECK_EQ(b.p[4095], 0xbb);
	CHECK_EQ(a.va, b.va);
	t_dev_close(&a);
	t_dev_close(&b);
}

static void fence_of_faulted(void)
{
	struct snpu_timeline *tl;
	struct snpu_fence *f;
	struct snpu_event *ev;
	struct snpu_queue *q;
	uint64_t pos, va;

	NEED(d.ctx);
	NEED(!snpu_queue_create(d.ctx, NULL, &q) && !snpu_timeline_create(t_snpu(), &tl));
	NEED(!snpu_event_create(d.ctx, &ev) && !snpu_event_va(ev, d.ctx, &va));
	snpu_prep_wait(t_pkt(q), va, 1, SNPU_SEM_GE, 0);
	bad_src(t_pkt(q));
	NEED(!snpu_queue_submit(q, &pos));
	CHECK_EQ(snpu_fence_create(q, pos, &f), 0);
	CHECK_EQ(snpu_timeline_attach(tl, 1, q, pos), 0);
	CHECK_EQ(snpu_fence_poll(f), 0);
	CHECK_EQ(snpu_event_set(ev, 1), 0);
	CHECK_EQ(snpu_fence_wait(f, T_LONG), -EIO);
	CHECK_EQ(snpu_fence_poll(f), -EIO);
	CHECK_EQ(snpu_queue_destroy(q), 0);
	CHECK_EQ(snpu_fence_destroy(f), 0);
	CHECK_EQ(snpu_timeline_destroy(tl), 0);
	CHECK_EQ(snpu_event_destroy(ev), 0);
}

/* Who waits for a queue that fails is let go, as by the kernel's fences */
static void waiter_of_faulted(void)
{
	struct snpu_fence *f;
	struct snpu_event *ev;
	struct snpu_queue *q;
	uint64_t pos, va;

	NEED(d.ctx);
	NEED(!snpu_queue_create(d.ctx, NULL, &q));
	NEED(!snpu_event_create(d.ctx, &ev) && !snpu_event_va(ev, d.ctx, &va));
	snpu_prep_wait(t_pkt(q), va, 1, SNPU_SEM_GE, 0);
	bad_src(t_pkt(q));
	NEED(!snpu_queue_submit(q, &pos));
	NEED(!snpu_fence_create(q, pos, &f));
	CHECK_EQ(snpu_queue_put_fence(d.q, f), 0);
	snpu_prep_nop(t_pkt(d.q));
	NEED(!snpu_queue_submit(d.q, &pos));
	CHECK_EQ(snpu_queue_poll(d.q, pos), 0);
	CHECK_EQ(snpu_event_set(ev, 1), 0);
	CHECK_EQ(snpu_queue_wait(d.q, pos, 8 * T_SEC), 0);
	CHECK_EQ(snpu_queue_destroy(q), 0);
	CHECK_EQ(snpu_fence_destroy(f), 0);
	CHECK_EQ(snpu_event_destroy(ev), 0);
}

#define HANG_MS	"/sys/module/snpu/parameters/hang_ms"

/* The old value, or 0 */
static unsigned int set_hang_ms(unsigned int ms)
{
	unsigned int old = 0;
	FILE *f = fopen(HANG_MS, "r+");

	if (!f)
		return 0;
	if (fscanf(f, "%u", &old) != 1)
		old = 0;
	rewind(f);
	fprintf(f, "%u\n", ms);
	return fclose(f) ? 0 : old;
}

/* The kernel resets a queue that somebody sleeps on and that gets nowhere */
static void hung(void)
{
	unsigned int old = set_hang_ms(700);
	struct snpu_error err = { 0 };
	struct snpu_event *ev;
	struct snpu_queue *q;
	uint64_t pos, va;
	char text[160], want[160];

	NEED(old && d.ctx);
	NEED(!snpu_queue_create(d.ctx, NULL, &q));
	NEED(!snpu_event_create(d.ctx, &ev) && !snpu_event_va(ev, d.ctx, &va));
	snpu_prep_nop(t_pkt(q));
	snpu_prep_wait(t_pkt(q), va, 1, SNPU_SEM_GE, 0);
	NEED(!snpu_queue_submit(q, &pos));
	/* the packet that hangs, not the one before it; and what it waits for */
	snprintf(want, sizeof(want),
		 "packet 1 (SEM_WAIT): was BLOCKED at 0x%llx, made no progress and was reset",
		 (unsigned long long)va);
	CHECK_EQ(snpu_queue_wait(q, pos, SNPU_FOREVER), -EIO);
	CHECK_TEXT(snpu_last_error(), want);
	CHECK_TEXT(snpu_last_error(), ": it waits for at least 1, there is 0 (event: ");
	CHECK_EQ(snpu_queue_error(q, &err, sizeof(err)), 0);
	CHECK_EQ(err.hung, 1);
	CHECK_EQ(err.lost, 0);
	CHECK_EQ(err.index, 1);
	CHECK_EQ(err.op, SNPU_OP_SEM_WAIT);
	CHECK_EQ(err.va, va);
	CHECK(snpu_error_format(&err, text, sizeof(text)) > 0);
	CHECK_TEXT(text, want);
	CHECK_EQ(snpu_queue_destroy(q), 0);
	CHECK_EQ(set_hang_ms(old), 700);
	snpu_prep_nop(t_pkt(d.q));
	CHECK_EQ(t_run(d.q), 0);
	CHECK_EQ(snpu_event_destroy(ev), 0);
}

static void teardown(void)
{
	NEED(d.ctx);
	CHECK_EQ(snpu_mem_free(ro), 0);
	t_dev_close(&d);
}

static const struct t_case cases[] = {
	{ "a queue without error", setup, T_BOTH },
	{ "each fault: code, packet, address, text, neighbours", all_faults, T_BOTH },
	{ "faults inside command buffers", in_cmdbuf, T_BOTH },
	{ "memory just freed", freed, T_BOTH },
	{ "an address of another context", isolation, T_BOTH },
	{ "one address, two contexts", two_contexts, T_BOTH },
	{ "fences of a queue that faults", fence_of_faulted, T_BOTH },
	{ "a queue that waits for one that faults", waiter_of_faulted, T_BOTH },
	{ "a queue that hangs", hung, T_KMD },
	{ "all is given back", teardown, T_BOTH },
};

int main(void)
{
	return t_main(cases, sizeof(cases) / sizeof(cases[0]));
}
