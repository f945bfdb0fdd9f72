// SPDX-License-Identifier: MIT
/*
 * Each call that fails leaves a message that begins with its name and holds the value at fault, and
 * changes nothing else: no answer, no position, no count.
 */
#include <fcntl.h>
#include <unistd.h>

#include "tap.h"

#define MARK	0x5eed5eed5eed5eedull	/* in each place for an answer */
#define PMARK	((void *)(uintptr_t)MARK)

/*
 * The message must be of this call: that of another one stands there before. @part: what else it
 * says
 */
#define FAILS(call, err, part) do { \
	const char *name_ = #call; \
	snpu_time_sync(NULL, 1); \
	CHECK_EQ(call, err); \
	if (strncmp(snpu_last_error(), name_, strcspn(name_, "(")) || \
	    !strstr(snpu_last_error(), part)) \
		t_fail(__FILE__, __LINE__, "%s: no '%s' in '%s'", name_, part, \
		       snpu_last_error()); \
} while (0)

static struct t_dev d, full;

static void setup(void)
{
	NEED(!t_dev_open(&d, 0, 65536, SNPU_MEM_HBM));
	NEED(!t_dev_open(&full, 0, 0, 0));
}

static void set_and_context(void)
{
	struct snpu_open_params p = { .field_mask = SNPU_OPEN_TRANSPORT, .transport = "pigeon" };
	struct snpu *s = t_snpu(), *out = PMARK;
	struct snpu_info info = { .serial = MARK };
	struct snpu_counters c = { .packets = MARK };
	struct snpu_port port = { .rate = MARK };
	struct snpu_ctx *ctx = PMARK;

	FAILS(snpu_open(&p, &out), -EINVAL, "'pigeon' is not one of auto, kmd, direct");
	p.field_mask = 1ull << 40;
	FAILS(snpu_open(&p, &out), -EINVAL, "unknown bits 0x10000000000");
	setenv("SNPU_SPIN_US", "soon", 1);
	FAILS(snpu_open(NULL, &out), -EINVAL, "SNPU_SPIN_US: 'soon' is not a number from 0 to");
	unsetenv("SNPU_SPIN_US");
	CHECK(out == PMARK);
	FAILS(snpu_get_info(s, 9999, &info, sizeof(info)), -EINVAL, "NPU 9999 is not one of 0 to ");
	CHECK_EQ(info.serial, MARK);
	FAILS(snpu_get_counters(s, 9999, &c, sizeof(c)), -EINVAL, "NPU 9999");
	CHECK_EQ(c.packets, MARK);
	FAILS(snpu_get_ports(s, 9999, &port, sizeof(port), 1), -EINVAL, "NPU 9999");
	CHECK_EQ(port.rate, MARK);
	FAILS(snpu_ctx_create(s, 9999, &ctx), -EINVAL, "NPU 9999");
	CHECK(ctx == PMARK);
	FAILS(snpu_time_sync(s, ~0ull - 1), -EINVAL, "virtual time 18446744073709551614 ns: 0 .. ");
}

/* What keeps a context or a set from being closed has names */
static void what_is_left(void)
{
	struct snpu_timeline *tl;
	struct snpu_cmdbuf *cb;
	struct snpu_event *ev;
	struct snpu_queue *q;
	struct snpu_fence *f;
	struct snpu_ctx *ctx;
	struct snpu_mem *m;
	uint64_t pos;

	NEED(!snpu_ctx_create(t_snpu(), 0, &ctx) && !snpu_queue_create(ctx, NULL, &q));
	FAILS(snpu_ctx_destroy(ctx), -EBUSY, "left are queue 0 of NPU 0 (");
	NEED(!snpu_mem_alloc(ctx, 8192, SNPU_MEM_HOST, &m) && !snpu_event_create(ctx, &ev));
	NEED(!snpu_cmdbuf_create(ctx, 4, &cb));
	FAILS(snpu_ctx_destroy(ctx), -EBUSY, "8192 bytes of host memory at 0x");
	CHECK_TEXT(snpu_last_error(), "queue 0 of NPU 0");
	CHECK_TEXT(snpu_last_error(), "event: 4096 bytes of HBM at 0x");
	CHECK_TEXT(snpu_last_error(), "command buffer: ");
	CHECK(!strstr(snpu_last_error(), "more"));
	NEED(!snpu_timeline_create(t_snpu(), &tl));
	snpu_prep_nop(t_pkt(q));
	NEED(!snpu_queue_submit(q, &pos) && !snpu_fence_create(q, pos, &f));
	FAILS(snpu_close(t_snpu()), -EBUSY, "left are context of NPU 0; context of NPU 0");
	CHECK_TEXT(snpu_last_error(), "and 1 more");
	t_dev_close(&d);
	t_dev_close(&full);
	FAILS(snpu_close(t_snpu()), -EBUSY, "fence of position 1 of queue 0, NPU 0; timeline");
	CHECK_EQ(snpu_fence_destroy(f), 0);
	CHECK_EQ(snpu_timeline_destroy(tl), 0);
	CHECK_EQ(snpu_queue_destroy(q), 0);
	CHECK_EQ(snpu_event_destroy(ev), 0);
	CHECK_EQ(snpu_cmdbuf_destroy(cb), 0);
	CHECK_EQ(snpu_mem_free(m), 0);
	CHECK_EQ(snpu_ctx_destroy(ctx), 0);
	setup();
}

/* Without SNPU_CHECK too, as long as nothing new lies there */
static void destroyed_twice(void)
{
	struct snpu_timeline *tl;
	struct snpu_cmdbuf *cb;
	struct snpu_queue *q;
	struct snpu_event *ev;
	struct snpu_fence *f;
	struct snpu_ctx *ctx;
	struct snpu_mem *m;
	uint64_t pos;

	NEED(!snpu_ctx_create(t_snpu(), 0, &ctx) && !snpu_queue_create(ctx, NULL, &q));
	NEED(!snpu_mem_alloc(ctx, 4096, SNPU_MEM_HBM, &m) && !snpu_event_create(ctx, &ev));
	NEED(!snpu_timeline_create(t_snpu(), &tl) && !snpu_cmdbuf_create(ctx, 1, &cb));
	snpu_prep_nop(t_pkt(q));
	NEED(!snpu_queue_submit(q, &pos) && !snpu_fence_create(q, pos, &f));
	CHECK_EQ(snpu_fence_destroy(f), 0);
	FAILS(snpu_fence_destroy(f), -EINVAL, "no live fence");
	CHECK_EQ(snpu_timeline_destroy(tl), 0);
	FAILS(snpu_timeline_destroy(tl), -EINVAL, "no live timeline");
	CHECK_EQ(snpu_cmdbuf_destroy(cb), 0);
	FAILS(snpu_cmdbuf_destroy(cb), -EINVAL, "no live command buffer");
	CHECK_EQ(snpu_event_destroy(ev), 0);
	FAILS(snpu_event_destroy(ev), -EINVAL, "no live event");
	CHECK_EQ(snpu_mem_free(m), 0);
	FAILS(snpu_mem_free(m), -EINVAL, "no live memory");
	CHECK_EQ(snpu_queue_destroy(q), 0);
	FAILS(snpu_queue_destroy(q), -EINVAL, "no live queue");
	CHECK_EQ(snpu_ctx_destroy(ctx), 0);
	FAILS(snpu_ctx_destroy(ctx), -EINVAL, "no live context");
	/* one of another kind is not it either */
	FAILS(snpu_mem_free((void *)d.q), -EINVAL, "no live memory");
}

static void memory(void)
{
	struct snpu_mem *m = PMARK;
	struct snpu_counters c;
	int fd = 12345, null;
	uint64_t old = snpu_mem_size(d.mem);
	char text[80];

	NEED(d.ctx);
	FAILS(snpu_mem_alloc(d.ctx, 0, SNPU_MEM_HBM, &m), -EINVAL, "0 bytes is not 1 to 2^46");
	FAILS(snpu_mem_alloc(d.ctx, 1, 0x77, &m), -EINVAL, "flags 0x77");
	/* how much there is, and how much was asked for */
	CHECK_EQ(snpu_get_counters(t_snpu(), 0, &c, sizeof(c)), 0);
	FAILS(snpu_mem_alloc(d.ctx, 1ull << 45, SNPU_MEM_HBM, &m), -ENOSPC,
	      "35184372088832 bytes of HBM on NPU 0: ");
	snprintf(text, sizeof(text), "%llu of %llu are free",
		 (unsigned long long)(c.hbm_total - c.hbm_used), (unsigned long long)c.hbm_total);
	CHECK_TEXT(snpu_last_error(), text);
	FAILS(snpu_mem_import(d.ctx, -1, 0, &m), -EBADF, "descriptor -1");
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	FAILS(snpu_mem_import(d.ctx, null, 0, &m), -EINVAL, "descriptor ");
	close(null);
	FAILS(snpu_mem_import(d.ctx, 0, 0x40, &m), -EINVAL, "flags 0x40");
	FAILS(snpu_mem_share(d.ctx, d.mem, 0x40, &m), -EINVAL, "flags 0x40");
	CHECK(m == PMARK);
	FAILS(snpu_mem_export(NULL, &fd), -EINVAL, "NULL");
	CHECK_EQ(fd, 12345);
	CHECK_EQ(snpu_mem_size(d.mem), old);
}

static void segments(void)
{
	struct snpu_seg_handle h = { .token = MARK };
	struct snpu_mem *m = PMARK, *c;
	void *p = PMARK;

	NEED(d.ctx && !snpu_mem_alloc(d.ctx, 4096, SNPU_MEM_HBM | SNPU_MEM_CONTIG, &c));
	FAILS(snpu_seg_export(d.mem, SNPU_SEG_READ, NULL, &h), -EINVAL, "SNPU_MEM_CONTIG");
	FAILS(snpu_seg_export(c, 0x70, NULL, &h), -EINVAL, "access 0x70");
	FAILS(snpu_seg_export(c, SNPU_SEG_READ, "a b", &h), -EINVAL, "no blanks");
	FAILS(snpu_seg_lookup(d.ctx, "message-none", &h), -ENOENT, "message-none");
	CHECK_EQ(h.token, MARK);
	FAILS(snpu_seg_revoke(c), -ENOENT, "not exported");
	FAILS(snpu_seg_import(d.ctx, &h, 0, &m), -EINVAL, "no handle of version 1");
	h.version = SNPU_SEG_HANDLE_VERSION;
	FAILS(snpu_seg_import(d.ctx, &h, 0x40, &m), -EINVAL, "flags 0x40");
	CHECK(snpu_seg_import(d.ctx, &h, 0, &m) < 0);
	CHECK_TEXT(snpu_last_error(), "snpu_seg_import: ");
	FAILS(snpu_seg_import_name(d.ctx, "message-none", 0, &m), -ENOENT, "message-none");
	CHECK(m == PMARK && p == PMARK);
	/* exported twice: the first handle stays as it is */
	h.token = 0;
	CHECK_EQ(snpu_seg_export(c, SNPU_SEG_READ, NULL, &h), 0);
	CHECK(h.token != 0);
	h.token = MARK;
	FAILS(snpu_seg_export(c, SNPU_SEG_READ, NULL, &h), -EEXIST, "exported already");
	CHECK_EQ(h.token, MARK);
	CHECK_EQ(snpu_mem_free(c), 0);
}

static void queues(void)
{
	struct snpu_queue_params p = { .field_mask = SNPU_QUEUE_ENTRIES, .entries = 100 };
	struct snpu_vtime vt = { .end = MARK };
	struct snpu_error err = { .va = MARK };
	struct snpu_queue *q = PMARK;
	struct snpu_cmdbuf *cb = PMARK;
	unsigned int i;

	NEED(d.ctx);
	FAILS(snpu_queue_create(d.ctx, &p, &q), -EINVAL, "100 entries");
	p = (struct snpu_queue_params){ .field_mask = SNPU_QUEUE_PRIO, .prio = 9 };
	FAILS(snpu_queue_create(d.ctx, &p, &q), -EINVAL, "priority 9");
	p = (struct snpu_queue_params){ .field_mask = SNPU_QUEUE_DIE, .die = 200 };
	FAILS(snpu_queue_create(d.ctx, &p, &q), -EINVAL, "die 200");
	p = (struct snpu_queue_params){ .field_mask = 1u << 20 };
	FAILS(snpu_queue_create(d.ctx, &p, &q), -EINVAL, "0x100000");
	CHECK(q == PMARK);
	FAILS(snpu_queue_wait(d.q, 1000, 0), -EINVAL, "position 1000, but only 0");
	FAILS(snpu_queue_vtime(d.q, 0, 0, &vt, sizeof(vt)), -EINVAL, "position 0");
	FAILS(snpu_queue_vtime(d.q, 1000, 0, &vt, sizeof(vt)), -EINVAL, "position 1000");
	CHECK_EQ(vt.end, MARK);
	FAILS(snpu_queue_error(d.q, &err, 0), -EINVAL, "size is 0");
	CHECK_EQ(err.va, MARK);
	FAILS(snpu_cmdbuf_create(d.ctx, 0, &cb), -EINVAL, "0 packets");
	CHECK(cb == PMARK);
	NEED(!snpu_cmdbuf_create(d.ctx, 1, &cb));
	FAILS(snpu_queue_put_cmdbuf(d.q, cb), -EINVAL, "nothing is recorded");
	snpu_prep_nop(snpu_cmdbuf_get(cb));
	CHECK(!snpu_cmdbuf_get(cb));
	CHECK_TEXT(snpu_last_error(), "snpu_cmdbuf_get: all 1 packets are recorded");
	FAILS(snpu_queue_put_cmdbuf(full.q, cb), -EINVAL, "differ in context");

	/* a ring that is full */
	for (i = 0; i < 1024; i++)
		snpu_prep_nop(t_pkt(d.q));
	snpu_time_sync(NULL, 1);
	CHECK(!snpu_queue_get(d.q));
	CHECK_TEXT(snpu_last_error(), "snpu_queue_get: queue 0, NPU 0: the ring is full: 1024 ");
	FAILS(snpu_queue_put_cmdbuf(d.q, cb), -EAGAIN, "the ring is full");
	CHECK_EQ(t_run(d.q), 0);
	CHECK_EQ(snpu_queue_completed(d.q), 1024);
	CHECK_EQ(snpu_cmdbuf_destroy(cb), 0);
}

static void fences(void)
{
	struct snpu_fence *f = PMARK;
	struct snpu_vtime vt = { .end = MARK };
	struct snpu_timeline *tl;
	struct snpu_event *ev;
	uint64_t pos, va, v = MARK;
	int fd = 12345;

	NEED(d.ctx && !snpu_timeline_create(t_snpu(), &tl) && !snpu_event_create(d.ctx, &ev));
	FAILS(snpu_fence_create(d.q, 0, &f), -EINVAL, "position 0 is not 1 to 1024");
	FAILS(snpu_fence_create(d.q, 5000, &f), -EINVAL, "position 5000");
	CHECK(snpu_fence_import(t_snpu(), -1, &f) < 0);
	CHECK_TEXT(snpu_last_error(), "snpu_fence_import: ");
	CHECK(f == PMARK);
	FAILS(snpu_timeline_signal(tl, 0), -EINVAL, "point 0");
	FAILS(snpu_timeline_attach(tl, 1, d.q, 5000), -EINVAL, "position 5000");
	FAILS(snpu_queue_put_timeline(d.q, tl, 3), -EINVAL, "");
	FAILS(snpu_timeline_wait(tl, 3, T_MS), -ETIME,
	      "point 3 was not attached or signalled: the last is 0");
	CHECK_EQ(snpu_timeline_signal(tl, 5), 0);
	FAILS(snpu_timeline_signal(tl, 4), -EINVAL, "point 4 is not above 5");
	CHECK_EQ(snpu_timeline_query(tl, &v), 0);
	CHECK_EQ(v, 5);

	/* one that does not signal: what its queue waits for */
	NEED(!snpu_event_va(ev, d.ctx, &va));
	snpu_prep_wait(t_pkt(d.q), va, 2, SNPU_SEM_GE, 0);
	NEED(!snpu_queue_submit(d.q, &pos) && !snpu_fence_create(d.q, pos, &f));
	CHECK_EQ(snpu_timeline_attach(tl, 6, d.q, pos), 0);
	FAILS(snpu_fence_wait(f, 10 * T_MS), -ETIME,
	      "fence of position 1025 of queue 0, NPU 0 has not signalled: ");
	CHECK_TEXT(snpu_last_error(), "packet 1024 (SEM_WAIT) is BLOCKED at 0x");
	CHECK_TEXT(snpu_last_error(), "waits for at least 2, there is 0 (event: ");
	FAILS(snpu_timeline_wait(tl, 6, 10 * T_MS), -ETIME,
	      "point 6 not reached: the timeline is at 5; point 6 waits for position 1025 of queue 0");
	FAILS(snpu_queue_wait(d.q, pos, 10 * T_MS), -ETIME,
	      "position 1025 not reached in 0.010 s: queue 0, NPU 0: 1024 of 1025 retired");
	CHECK_TEXT(snpu_last_error(), "waits for at least 2, there is 0 (event: ");
	FAILS(snpu_event_wait(ev, 7, T_MS), -ETIME, "waits for at least 7, there is 0 (event at 0x");
	CHECK_EQ(snpu_event_set(ev, 2), 0);
	CHECK_EQ(snpu_fence_wait(f, T_LONG), 0);
	FAILS(snpu_fence_vtime(f, 0, &vt, 0), -EINVAL, "size is 0");
	CHECK_EQ(vt.end, MARK);
	if (t_direct()) {
		FAILS(snpu_fence_export(f, &fd), -EOPNOTSUPP, "sync_file");
		CHECK_EQ(fd, 12345);
	}
	v = MARK;
	FAILS(snpu_event_va(ev, NULL, &v), -EINVAL, "NULL");
	CHECK_EQ(v, MARK);
	CHECK_EQ(snpu_fence_destroy(f), 0);
	CHECK_EQ(snpu_timeline_destroy(tl), 0);
	CHECK_EQ(snpu_event_destroy(ev), 0);
}

/* A wait inside a command buffer, for another queue, for exactly a value */
static void blocked(void)
{
	struct snpu_queue *a, *b;
	struct snpu_cmdbuf *cb;
	struct snpu_event *ev;
	struct snpu_fence *f;
	uint64_t pos, pos_a, va;

	NEED(d.ctx && !snpu_event_create(d.ctx, &ev) && !snpu_event_va(ev, d.ctx, &va));
	NEED(!snpu_queue_create(d.ctx, NULL, &a) && !snpu_queue_create(d.ctx, NULL, &b));
	NEED(!snpu_cmdbuf_create(d.ctx, 3, &cb));
	snpu_prep_nop(snpu_cmdbuf_get(cb));
	snpu_prep_wait(snpu_cmdbuf_get(cb), va, 0, SNPU_SEM_GE, 0);
	snpu_prep_wait(snpu_cmdbuf_get(cb), va, 9, SNPU_SEM_EQ, 0);
	snpu_prep_nop(t_pkt(a));
	CHECK_EQ(snpu_queue_put_cmdbuf(a, cb), 0);
	NEED(!snpu_queue_submit(a, &pos_a) && !snpu_fence_create(a, pos_a, &f));
	NEED(!snpu_queue_wait(a, 1, T_LONG));
	FAILS(snpu_queue_wait(a, pos_a, 10 * T_MS), -ETIME,
	      "packet 1 (SEM_WAIT, packet 2 of its command buffer) is BLOCKED at 0x");
	CHECK_TEXT(snpu_last_error(), "waits for 9, there is 0 (event: ");
	CHECK_EQ(snpu_queue_put_fence(b, f), 0);
	NEED(!snpu_queue_submit(b, &pos));
	FAILS(snpu_queue_wait(b, pos, 10 * T_MS), -ETIME, "packet 0 (SEM_WAIT) is BLOCKED at 0x");
	CHECK_TEXT(snpu_last_error(), t_direct() ?
		   "there is 1 (packets that queue 1, NPU 0, has retired)" :
		   "(a fence or timeline point that was put into the queue)");
	CHECK_EQ(snpu_event_set(ev, 9), 0);
	CHECK_EQ(snpu_queue_wait(b, pos, T_LONG), 0);
	CHECK_EQ(snpu_fence_destroy(f), 0);
	CHECK_EQ(snpu_queue_destroy(a), 0);
	CHECK_EQ(snpu_queue_destroy(b), 0);
	CHECK_EQ(snpu_cmdbuf_destroy(cb), 0);
	CHECK_EQ(snpu_event_destroy(ev), 0);
}

/* A queue that stopped: nothing moves any more, and each call says why */
static void stopped(void)
{
	uint64_t pos = MARK, va = snpu_mem_va(d.mem) + 65536;
	struct snpu_queue *q, *q2;
	struct snpu_fence *f;

	NEED(d.ctx && !snpu_queue_create(d.ctx, NULL, &q));
	snpu_prep_fill(t_pkt(q), va, 64, 1, 1);
	NEED(!snpu_queue_submit(q, &pos) && !snpu_fence_create(q, pos, &f));
	FAILS(snpu_queue_wait(q, pos, T_LONG), -EIO, "packet 0 (FILL): UNMAPPED at 0x");
	/* the buffer that the access ran over */
	CHECK_TEXT(snpu_last_error(), ": 0 bytes behind the end of 65536 bytes of HBM at 0x");
	NEED(!snpu_queue_create(d.ctx, NULL, &q2));
	snpu_prep_fill(t_pkt(q2), snpu_mem_va(d.mem) - 64, 32, 1, 1);
	CHECK_EQ(t_run(q2), -EIO);
	CHECK_TEXT(snpu_last_error(), ": 64 bytes before the start of 65536 bytes of HBM at 0x");
	CHECK_EQ(snpu_queue_destroy(q2), 0);
	snpu_prep_nop(t_pkt(q));
	pos = MARK;
	FAILS(snpu_queue_submit(q, &pos), -EIO, "packet 0 (FILL)");
	CHECK_EQ(pos, MARK);
	FAILS(snpu_queue_poll(q, 1), -EIO, "packet 0 (FILL)");
	FAILS(snpu_queue_suspend(q), -EIO, "packet 0 (FILL)");
	FAILS(snpu_queue_resume(q), -EIO, "packet 0 (FILL)");
	FAILS(snpu_fence_poll(f), -EIO, "fence of position 1 of queue");
	FAILS(snpu_fence_wait(f, T_LONG), -EIO, "failed: NPU 0 queue");
	CHECK_TEXT(snpu_last_error(), "packet 0 (FILL): UNMAPPED at 0x");
	CHECK_EQ(snpu_queue_destroy(q), 0);
	FAILS(snpu_fence_wait(f, T_LONG), -EIO, "its queue was destroyed");
	CHECK_EQ(snpu_fence_destroy(f), 0);
}

static void names(void)
{
	CHECK(!strcmp(snpu_op_name(SNPU_OP_ATTENTION), "ATTENTION"));
	CHECK(!strcmp(snpu_op_name(SNPU_OP_CLOCK), "CLOCK"));
	CHECK(!strcmp(snpu_op_name(0xff), "?"));
	CHECK(!strcmp(snpu_error_name(SNPU_ERR_INTERNAL), "INTERNAL"));
	CHECK(!strcmp(snpu_error_name(SNPU_ERR_MAX + 1), "?"));
	CHECK(*snpu_version());
	CHECK_EQ(snpu_dtype_size(SNPU_DT_MAX + 1), 0);
}

static void teardown(void)
{
	t_dev_close(&d);
	t_dev_close(&full);
}

static const struct t_case cases[] = {
	{ "setup", setup, T_BOTH },
	{ "sets and contexts", set_and_context, T_BOTH },
	{ "what is left of a context or set", what_is_left, T_BOTH },
	{ "destroying twice", destroyed_twice, T_BOTH },
	{ "memory", memory, T_BOTH },
	{ "segments", segments, T_BOTH },
	{ "queues and command buffers", queues, T_BOTH },
	{ "fences, timelines, events", fences, T_BOTH },
	{ "what a queue waits for", blocked, T_BOTH },
	{ "a queue that stopped", stopped, T_BOTH },
	{ "names", names, T_BOTH },
	{ "all is given back", teardown, T_BOTH },
};

int main(void)
{
	/* it has messages of its own: test_check.c */
	unsetenv("SNPU_CHECK");
	return t_main(cases, sizeof(cases) / sizeof(cases[0]));
}
