// SPDX-License-Identifier: MIT
/*
 * Queues and command buffers: rings that wrap and fill up, waiting, suspending, priorities.
 */
#include <pthread.h>

#include "tap.h"

static struct snpu_queue *small_queue(struct snpu_ctx *ctx)
{
	struct snpu_queue_params p = { .field_mask = SNPU_QUEUE_ENTRIES, .entries = 16 };
	struct snpu_queue *q = NULL;

	CHECK_EQ(snpu_queue_create(ctx, &p, &q), 0);
	return q;
}

static void parameters(void)
{
	static const struct snpu_queue_params bad[] = {
		{ .field_mask = 16 }, { .field_mask = 1ull << 63 },
		{ .field_mask = SNPU_QUEUE_DIE, .die = 255 },
		{ .field_mask = SNPU_QUEUE_TIMING, .timing = 2 },
		{ .field_mask = SNPU_QUEUE_ENTRIES },
		{ .field_mask = SNPU_QUEUE_ENTRIES, .entries = 8 },
		{ .field_mask = SNPU_QUEUE_ENTRIES, .entries = 17 },
		{ .field_mask = SNPU_QUEUE_ENTRIES, .entries = 131072 },
		{ .field_mask = SNPU_QUEUE_PRIO, .prio = SNPU_PRIO_MAX + 1 },
	};
	struct snpu_queue_params ok = { .field_mask = SNPU_QUEUE_ENTRIES, .entries = 65536,
					.prio = 99 };
	struct snpu_queue *q = NULL;
	struct t_dev d;
	size_t i;

	NEED(!t_dev_open(&d, 0, 0, 0));
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		CHECK_EQ(snpu_queue_create(d.ctx, &bad[i], &q), -EINVAL);
		CHECK_TEXT(snpu_last_error(), "snpu_queue_create");
	}
	CHECK(!q);
	NEED(!snpu_queue_create(d.ctx, &ok, &q));
	for (i = 0; i < 65536; i++)
		snpu_prep_nop(t_pkt(q));
	CHECK(!snpu_queue_get(q));
	CHECK_EQ(t_run(q), 0);
	CHECK_EQ(snpu_queue_completed(q), 65536);
	CHECK_EQ(snpu_queue_destroy(q), 0);
	t_dev_close(&d);
}

/* 16 entries, 500 packets in batches of all sizes */
static void wrap(void)
{
	unsigned int sent = 0, batch = 1, i;
	struct snpu_queue *q;
	struct t_dev d;
	uint64_t pos = 0;

	NEED(!t_dev_open(&d, 0, 4096, SNPU_MEM_HBM));
	q = small_queue(d.ctx);
	NEED(q);
	while (sent < 500) {
		for (i = 0; i < batch; i++, sent++)
			snpu_prep_signal(t_pkt(q), d.va, 1, SNPU_SEM_ADD);
		CHECK_EQ(snpu_queue_submit(q, &pos), 0);
		CHECK_EQ(pos, sent);
		CHECK_EQ(snpu_queue_wait(q, pos, T_LONG), 0);
		batch = batch % 16 + 1;
	}
	CHECK_EQ(*(uint64_t *)(void *)d.p, sent);
	CHECK_EQ(snpu_queue_completed(q), sent);
	/* nothing new: the same position, at once */
	CHECK_EQ(snpu_queue_submit(q, &pos), 0);
	CHECK_EQ(pos, sent);
	CHECK_EQ(snpu_queue_poll(q, pos), 1);
	CHECK_EQ(snpu_queue_poll(q, 1), 1);
	CHECK_EQ(snpu_queue_wait(q, 0, 0), 0);
	CHECK_EQ(snpu_queue_destroy(q), 0);
	t_dev_close(&d);
}

static void full(void)
{
	struct snpu_event *ev;
	struct snpu_queue *q;
	uint64_t va, pos;
	struct t_dev d;
	unsigned int i;

	NEED(!t_dev_open(&d, 0, 4096, SNPU_MEM_HBM));
	q = small_queue(d.ctx);
	NEED(q && !snpu_event_create(d.ctx, &ev) && !snpu_event_va(ev, d.ctx, &va));
	snpu_prep_wait(t_pkt(q), va, 1, SNPU_SEM_GE, 0);
	for (i = 0; i < 15; i++)
		snpu_prep_signal(t_pkt(q), d.va, 1, SNPU_SEM_ADD);
	/* full before and after the doorbell */
	CHECK(!snpu_queue_get(q));
	CHECK_EQ(snpu_queue_submit(q, &pos), 0);
	CHECK_EQ(pos, 16);
	CHECK(!snpu_queue_get(q));
	CHECK_EQ(snpu_queue_poll(q, 1), 0);
	CHECK_EQ(snpu_queue_completed(q), 0);
	CHECK_EQ(snpu_event_set(ev, 1), 0);
	CHECK_EQ(snpu_queue_wait(q, 1, T_LONG), 0);
	CHECK(snpu_queue_get(q));
	snpu_prep_nop(t_pkt(q));
	CHECK_EQ(snpu_queue_wait(q, pos, T_LONG), 0);
	CHECK_EQ(*(uint64_t *)(void *)d.p, 15);
	CHECK_EQ(t_run(q), 0);
	CHECK_EQ(snpu_queue_destroy(q), 0);
	CHECK_EQ(snpu_event_destroy(ev), 0);
	t_dev_close(&d);
}

static void timeouts(void)
{
	static const unsigned int ms[] = { 0, 1, 30, 200 };
	uint64_t va, pos, start, took;
	struct snpu_event *ev;
	struct t_dev d;
	size_t i;

	NEED(!t_dev_open(&d, 0, 0, 0));
	NEED(!snpu_event_create(d.ctx, &ev) && !snpu_event_va(ev, d.ctx, &va));
	snpu_prep_wait(t_pkt(d.q), va, 1, SNPU_SEM_GE, 0);
	NEED(!snpu_queue_submit(d.q, &pos));
	CHECK_EQ(snpu_queue_wait(d.q, pos + 1, 0), -EINVAL);
	CHECK_TEXT(snpu_last_error(), "snpu_queue_wait");
	for (i = 0; i < sizeof(ms) / sizeof(ms[0]); i++) {
		start = t_now();
		CHECK_EQ(snpu_queue_wait(d.q, pos, ms[i] * T_MS), -ETIME);
		took = t_now() - start;
		/* never early; late only by what a loaded machine takes */
		CHECK(took >= ms[i] * T_MS && took < ms[i] * T_MS + 3 * T_SEC);
	}
	CHECK_EQ(snpu_event_set(ev, 1), 0);
	CHECK_EQ(snpu_queue_wait(d.q, pos, SNPU_FOREVER), 0);
	CHECK_EQ(snpu_event_destroy(ev), 0);
	t_dev_close(&d);
}

struct later {
	struct snpu_event *ev;
	unsigned int ms;
};

static void *set_later(void *arg)
{
	struct later *l = arg;

	t_sleep_ms(l->ms);
	CHECK_EQ(snpu_event_set(l->ev, 1), 0);
	return NULL;
}

/* A long wait takes no CPU, and ends when it is over */
static void wait_sleeps(void)
{
	uint64_t va, pos, start, took, cpu;
	struct later l = { .ms = 600 };
	pthread_t th;
	struct t_dev d;

	NEED(!t_dev_open(&d, 0, 0, 0));
	NEED(!snpu_event_create(d.ctx, &l.ev) && !snpu_event_va(l.ev, d.ctx, &va));
	snpu_prep_wait(t_pkt(d.q), va, 1, SNPU_SEM_GE, 0);
	NEED(!snpu_queue_submit(d.q, &pos));
	start = t_now();
	cpu = t_cpu();
	NEED(!pthread_create(&th, NULL, set_later, &l));
	CHECK_EQ(snpu_queue_wait(d.q, pos, T_LONG), 0);
	took = t_now() - start;
	cpu = t_cpu() - cpu;
	pthread_join(th, NULL);
	CHECK(took >= 600 * T_MS && took < 10 * T_SEC);
	if (cpu > 200 * T_MS)
		t_fail(__FILE__, __LINE__, "waited %llu ms with %llu ms of CPU time",
		       (unsigned long long)(took / T_MS), (unsigned long long)(cpu / T_MS));
	CHECK_EQ(snpu_event_destroy(l.ev), 0);
	t_dev_close(&d);
}

/* Several threads wait for several positions of one queue */
struct waiter {
	struct snpu_queue *q;
	uint64_t pos;
	int ret;
};

static void *wait_thread(void *arg)
{
	struct waiter *w = arg;

	w->ret = snpu_queue_wait(w->q, w->pos, T_LONG);
	return NULL;
}

static void many_waiters(void)
{
	enum { N = 4 };
	struct waiter w[N];
	struct snpu_event *ev;
	pthread_t th[N];
	struct t_dev d;
	unsigned int i;
	uint64_t va;

	NEED(!t_dev_open(&d, 0, 0, 0));
	NEED(!snpu_event_create(d.ctx, &ev) && !snpu_event_va(ev, d.ctx, &va));
	for (i = 0; i < N; i++) {
		snpu_prep_wait(t_pkt(d.q), va, i + 1, SNPU_SEM_GE, 0);
		w[i] = (struct waiter){ .q = d.q, .ret = 1 };
		NEED(!snpu_queue_submit(d.q, &w[i].pos));
	}
	for (i = 0; i < N; i++)
		NEED(!pthread_create(&th[i], NULL, wait_thread, &w[N - 1 - i]));
	t_sleep_ms(50);
	for (i = 0; i < N; i++) {
		CHECK_EQ(snpu_event_set(ev, i + 1), 0);
		CHECK_EQ(snpu_queue_wait(d.q, w[i].pos, T_LONG), 0);
		if (i + 1 < N)
			CHECK_EQ(snpu_queue_poll(d.q, w[i + 1].pos), 0);
	}
	for (i = 0; i < N; i++)
		pthread_join(th[i], NULL);
	for (i = 0; i < N; i++)
		CHECK_EQ(w[i].ret, 0);
	CHECK_EQ(snpu_event_destroy(ev), 0);
	t_dev_close(&d);
}

static void suspend(void)
{
	struct snpu_error err;
	uint64_t pos;
	struct t_dev d;

	NEED(!t_dev_open(&d, 0, 4096, SNPU_MEM_HBM));
	snpu_prep_signal(t_pkt(d.q), d.va, 1, SNPU_SEM_SET);
	CHECK_EQ(t_run(d.q), 0);
	CHECK_EQ(snpu_queue_suspend(d.q), 0);
	snpu_prep_signal(t_pkt(d.q), d.va, 2, SNPU_SEM_SET);
	CHECK_EQ(snpu_queue_submit(d.q, &pos), 0);
	CHECK_EQ(snpu_queue_wait(d.q, pos, 100 * T_MS), -ETIME);
	CHECK_EQ(snpu_queue_poll(d.q, pos), 0);
	CHECK_EQ(*(uint64_t *)(void *)d.p, 1);
	CHECK_EQ(snpu_queue_error(d.q, &err, sizeof(err)), 0);
	CHECK_EQ(err.code, SNPU_ERR_NONE);
	CHECK_EQ(err.state, SNPU_QSTATE_SUSPENDED);
	CHECK_EQ(snpu_queue_resume(d.q), 0);
	CHECK_EQ(snpu_queue_wait(d.q, pos, T_LONG), 0);
	CHECK_EQ(*(uint64_t *)(void *)d.p, 2);
	/* and one that is destroyed suspended */
	CHECK_EQ(snpu_queue_suspend(d.q), 0);
	t_dev_close(&d);
}

/* A lower queue full of work does not keep a higher one from its own */
static void priorities(void)
{
	static const unsigned int prio[] = { SNPU_PRIO_LOW, SNPU_PRIO_NORMAL, SNPU_PRIO_HIGH };
	struct snpu_queue *q[3];
	uint64_t pos[3];
	unsigned int i, k;
	struct t_dev d;

	NEED(!t_dev_open(&d, 0, 3 << 20, SNPU_MEM_HBM));
	for (i = 0; i < 3; i++) {
		struct snpu_queue_params p = { .field_mask = SNPU_QUEUE_PRIO, .prio = prio[i] };

		NEED(!snpu_queue_create(d.ctx, &p, &q[i]));
		for (k = 0; k < (i == 2 ? 1 : 50); k++)
			snpu_prep_fill(t_pkt(q[i]), d.va + ((uint64_t)i << 20), 1 << 20, i + 1, 1);
		CHECK_EQ(snpu_queue_submit(q[i], &pos[i]), 0);
	}
	CHECK_EQ(snpu_queue_wait(q[2], pos[2], T_LONG), 0);
	for (i = 0; i < 3; i++) {
		CHECK_EQ(snpu_queue_wait(q[i], pos[i], T_LONG), 0);
		CHECK_EQ(d.p[(uint64_t)i << 20], i + 1);
		CHECK_EQ(d.p[((uint64_t)(i + 1) << 20) - 1], i + 1);
	}
	for (i = 0; i < 3; i++)
		CHECK_EQ(snpu_queue_destroy(q[i]), 0);
	t_dev_close(&d);
}

static void many_queues(void)
{
	static struct snpu_queue *q[SNPU_MAX_QUEUES + 1];
	struct t_dev d;
	unsigned int n = 0, i, round;
	int ret;

	NEED(!t_dev_open(&d, 0, 4096, SNPU_MEM_HBM));
	for (round = 0; round < 2; round++) {
		for (n = 0, ret = 0; !ret && n <= SNPU_MAX_QUEUES; n += !ret)
			ret = snpu_queue_create(d.ctx, NULL, &q[n]);
		CHECK_EQ(ret, -ENOSPC);
		CHECK(n >= 8);
		for (i = 0; i < n; i++) {
			snpu_prep_signal(t_pkt(q[i]), d.va, 1, SNPU_SEM_ADD);
			CHECK_EQ(snpu_queue_submit(q[i], NULL), 0);
		}
		for (i = 0; i < n; i++)
			CHECK_EQ(t_run(q[i]), 0);
		CHECK_EQ(*(uint64_t *)(void *)d.p, n * (round + 1));
		for (i = 0; i < n; i++)
			CHECK_EQ(snpu_queue_destroy(q[i]), 0);
	}
	t_dev_close(&d);
}

/* What is not done is dropped; the address space lives on */
static void destroy_busy(void)
{
	struct snpu_event *ev;
	uint64_t va;
	struct snpu_queue *q;
	struct t_dev d;
	unsigned int i;

	NEED(!t_dev_open(&d, 0, 4096, SNPU_MEM_HBM));
	NEED(!snpu_event_create(d.ctx, &ev) && !snpu_event_va(ev, d.ctx, &va));
	for (i = 0; i < 5; i++) {
		q = small_queue(d.ctx);
		NEED(q);
		snpu_prep_wait(t_pkt(q), va, 1, SNPU_SEM_GE, 0);
		snpu_prep_signal(t_pkt(q), d.va, 1, SNPU_SEM_ADD);
		CHECK_EQ(snpu_queue_submit(q, NULL), 0);
		CHECK_EQ(snpu_queue_destroy(q), 0);
	}
	CHECK_EQ(snpu_event_set(ev, 1), 0);
	snpu_prep_nop(t_pkt(d.q));
	CHECK_EQ(t_run(d.q), 0);
	CHECK_EQ(*(uint64_t *)(void *)d.p, 0);
	CHECK_EQ(snpu_event_destroy(ev), 0);
	t_dev_close(&d);
}

/* ---- command buffers ---- */

static void cmdbuf(void)
{
	struct snpu_cmdbuf *cb, *none = NULL;
	struct snpu_queue *q;
	struct t_dev d, other;
	unsigned int i;

	NEED(!t_dev_open(&d, 0, 8192, SNPU_MEM_HBM));
	CHECK_EQ(snpu_cmdbuf_create(d.ctx, 0, &none), -EINVAL);
	CHECK_EQ(snpu_cmdbuf_create(d.ctx, SNPU_MAX_IB_PKTS + 1, &none), -EINVAL);
	CHECK(!none);
	NEED(!snpu_cmdbuf_create(d.ctx, 10, &cb));
	CHECK_EQ(snpu_queue_put_cmdbuf(d.q, cb), -EINVAL);
	for (i = 0; i < 10; i++)
		snpu_prep_signal(snpu_cmdbuf_get(cb), d.va, 1, SNPU_SEM_ADD);
	CHECK(!snpu_cmdbuf_get(cb));
	for (i = 0; i < 3; i++)
		CHECK_EQ(snpu_queue_put_cmdbuf(d.q, cb), 0);
	CHECK_EQ(t_run(d.q), 0);
	CHECK_EQ(*(uint64_t *)(void *)d.p, 30);
	/* they count as one packet each */
	CHECK_EQ(snpu_queue_completed(d.q), 3);
	snpu_cmdbuf_reset(cb);
	CHECK_EQ(snpu_queue_put_cmdbuf(d.q, cb), -EINVAL);
	snpu_prep_fill(snpu_cmdbuf_get(cb), d.va + 4096, 8, 5, 8);
	CHECK_EQ(snpu_queue_put_cmdbuf(d.q, cb), 0);
	CHECK_EQ(t_run(d.q), 0);
	CHECK_EQ(*(uint64_t *)(void *)(d.p + 4096), 5);
	CHECK_EQ(*(uint64_t *)(void *)d.p, 30);

	NEED(!t_dev_open(&other, 0, 0, 0));
	CHECK_EQ(snpu_queue_put_cmdbuf(other.q, cb), -EINVAL);
	CHECK_TEXT(snpu_last_error(), "context");
	t_dev_close(&other);

	q = small_queue(d.ctx);
	NEED(q);
	for (i = 0; i < 16; i++)
		snpu_prep_nop(t_pkt(q));
	CHECK_EQ(snpu_queue_put_cmdbuf(q, cb), -EAGAIN);
	CHECK_EQ(t_run(q), 0);
	CHECK_EQ(snpu_queue_put_cmdbuf(q, cb), 0);
	CHECK_EQ(t_run(q), 0);
	CHECK_EQ(snpu_queue_destroy(q), 0);
	CHECK_EQ(snpu_cmdbuf_destroy(cb), 0);
	t_dev_close(&d);
}

static void cmdbuf_large(void)
{
	struct snpu_cmdbuf *cb;
	struct t_dev d;
	unsigned int i;

	NEED(!t_dev_open(&d, 0, 4096, SNPU_MEM_HOST));
	NEED(!snpu_cmdbuf_create(d.ctx, SNPU_MAX_IB_PKTS, &cb));
	for (i = 0; i < SNPU_MAX_IB_PKTS; i++)
		snpu_prep_signal(snpu_cmdbuf_get(cb), d.va, 1, SNPU_SEM_ADD);
	CHECK_EQ(snpu_queue_put_cmdbuf(d.q, cb), 0);
	CHECK_EQ(t_run(d.q), 0);
	CHECK_EQ(*(uint64_t *)(void *)d.p, SNPU_MAX_IB_PKTS);
	CHECK_EQ(snpu_cmdbuf_destroy(cb), 0);
	t_dev_close(&d);
}

static const struct t_case cases[] = {
	{ "parameters; the largest ring", parameters, T_BOTH },
	{ "a ring of 16 wraps", wrap, T_BOTH },
	{ "a full ring gives no entry until one retires", full, T_BOTH },
	{ "a wait ends with -ETIME, never early", timeouts, T_BOTH },
	{ "a long wait sleeps, and is woken", wait_sleeps, T_BOTH },
	{ "threads wait for several positions", many_waiters, T_BOTH },
	{ "suspend, resume", suspend, T_BOTH },
	{ "priorities", priorities, T_BOTH },
	{ "queues up to the limit, twice", many_queues, T_BOTH },
	{ "a queue destroyed with work left", destroy_busy, T_BOTH },
	{ "command buffers", cmdbuf, T_BOTH },
	{ "the largest command buffer", cmdbuf_large, T_BOTH },
};

int main(void)
{
	return t_main(cases, sizeof(cases) / sizeof(cases[0]));
}
