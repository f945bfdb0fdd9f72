// SPDX-License-Identifier: MIT
/*
 * Fences, timelines, events: inside an NPU and across NPUs.
 */
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include "tap.h"

/* A device whose queue waits for an event */
struct gate {
	struct t_dev d;
	struct snpu_event *ev;
	uint64_t va;
};

static int gate_open(struct gate *g, unsigned int npu)
{
	if (t_dev_open(&g->d, npu, 4096, SNPU_MEM_HBM))
		return -1;
	if (!snpu_event_create(g->d.ctx, &g->ev) && !snpu_event_va(g->ev, g->d.ctx, &g->va))
		return 0;
	t_fail(__FILE__, __LINE__, "%s", snpu_last_error());
	return -1;
}

static void gate_close(struct gate *g)
{
	CHECK_EQ(snpu_event_destroy(g->ev), 0);
	t_dev_close(&g->d);
}

/* Position reached once the event is at least @value */
static uint64_t gate_put(struct gate *g, uint64_t value)
{
	uint64_t pos = 0;

	snpu_prep_wait(t_pkt(g->d.q), g->va, value, SNPU_SEM_GE, 0);
	CHECK_EQ(snpu_queue_submit(g->d.q, &pos), 0);
	return pos;
}

static uint64_t word(const struct t_dev *d)
{
	return *(volatile uint64_t *)(void *)d->p;
}

static void fences(void)
{
	struct snpu_fence *f, *none = NULL;
	uint64_t pos, start;
	struct gate g;

	NEED(!gate_open(&g, 0));
	CHECK_EQ(snpu_fence_create(g.d.q, 0, &none), -EINVAL);
	CHECK_EQ(snpu_fence_create(g.d.q, 1, &none), -EINVAL);
	CHECK(!none);
	pos = gate_put(&g, 1);
	NEED(!snpu_fence_create(g.d.q, pos, &f));
	CHECK_EQ(snpu_close(t_snpu()), -EBUSY);
	CHECK_EQ(snpu_fence_poll(f), 0);
	CHECK_EQ(snpu_fence_wait(f, 0), -ETIME);
	start = t_now();
	CHECK_EQ(snpu_fence_wait(f, 40 * T_MS), -ETIME);
	CHECK(t_now() - start >= 40 * T_MS);
	CHECK_EQ(snpu_event_set(g.ev, 1), 0);
	CHECK_EQ(snpu_fence_wait(f, SNPU_FOREVER), 0);
	CHECK_EQ(snpu_fence_poll(f), 1);
	CHECK_EQ(snpu_fence_destroy(f), 0);
	/* of a position long past */
	NEED(!snpu_fence_create(g.d.q, 1, &f));
	CHECK_EQ(snpu_fence_poll(f), 1);
	CHECK_EQ(snpu_fence_destroy(f), 0);
	gate_close(&g);
}

/* A fence of NPU 0 holds back queues of the same context, of NPU 0 and of NPU 1 */
static void put_fence(void)
{
	struct snpu_queue *q2;
	struct snpu_fence *f;
	struct t_dev same, peer;
	struct snpu_queue *q[3];
	struct t_dev *dev[3];
	struct gate g;
	uint64_t pos[3];
	unsigned int i;

	NEED(!gate_open(&g, 0));
	NEED(!t_dev_open(&same, 0, 4096, SNPU_MEM_HBM));
	NEED(!t_dev_open(&peer, 1, 4096, SNPU_MEM_HBM));
	NEED(!snpu_queue_create(g.d.ctx, NULL, &q2));
	q[0] = q2;
	q[1] = same.q;
	q[2] = peer.q;
	dev[0] = &g.d;
	dev[1] = &same;
	dev[2] = &peer;
	NEED(!snpu_fence_create(g.d.q, gate_put(&g, 1), &f));
	for (i = 0; i < 3; i++) {
		CHECK_EQ(snpu_queue_put_fence(q[i], f), 0);
		snpu_prep_signal(t_pkt(q[i]), dev[i]->va, 5, SNPU_SEM_SET);
		CHECK_EQ(snpu_queue_submit(q[i], &pos[i]), 0);
	}
	t_sleep_ms(50);
	for (i = 0; i < 3; i++)
		CHECK_EQ(snpu_queue_poll(q[i], pos[i]), 0);
	CHECK_EQ(snpu_event_set(g.ev, 1), 0);
	for (i = 0; i < 3; i++) {
		CHECK_EQ(snpu_queue_wait(q[i], pos[i], T_LONG), 0);
		CHECK_EQ(word(dev[i]), 5);
	}
	/* signalled: no packet is needed, or one that passes */
	CHECK_EQ(snpu_queue_put_fence(peer.q, f), 0);
	snpu_prep_nop(t_pkt(peer.q));
	CHECK_EQ(t_run(peer.q), 0);
	CHECK_EQ(snpu_fence_destroy(f), 0);
	CHECK_EQ(snpu_queue_destroy(q2), 0);
	t_dev_close(&same);
	t_dev_close(&peer);
	gate_close(&g);
}

static void put_fence_full_ring(void)
{
	struct snpu_queue_params p = { .field_mask = SNPU_QUEUE_ENTRIES, .entries = 16 };
	struct snpu_queue *q;
	struct snpu_fence *f;
	struct gate g;
	unsigned int i;

	NEED(!gate_open(&g, 0));
	NEED(!snpu_queue_create(g.d.ctx, &p, &q));
	NEED(!snpu_fence_create(g.d.q, gate_put(&g, 1), &f));
	for (i = 0; i < 16; i++)
		snpu_prep_nop(t_pkt(q));
	CHECK_EQ(snpu_queue_put_fence(q, f), -EAGAIN);
	CHECK_EQ(t_run(q), 0);
	CHECK_EQ(snpu_queue_put_fence(q, f), 0);
	CHECK_EQ(snpu_event_set(g.ev, 1), 0);
	CHECK_EQ(t_run(q), 0);
	CHECK_EQ(snpu_fence_destroy(f), 0);
	CHECK_EQ(snpu_queue_destroy(q), 0);
	gate_close(&g);
}

static void fence_outlives_queue(void)
{
	struct snpu_fence *done, *never;
	struct gate g;

	NEED(!gate_open(&g, 0));
	snpu_prep_nop(t_pkt(g.d.q));
	CHECK_EQ(t_run(g.d.q), 0);
	NEED(!snpu_fence_create(g.d.q, 1, &done));
	NEED(!snpu_fence_create(g.d.q, gate_put(&g, 1), &never));
	CHECK_EQ(snpu_queue_destroy(g.d.q), 0);
	g.d.q = NULL;
	CHECK_EQ(snpu_fence_wait(done, T_LONG), 0);
	CHECK_EQ(snpu_fence_wait(never, T_LONG), -EIO);
	CHECK_EQ(snpu_fence_destroy(done), 0);
	CHECK_EQ(snpu_fence_destroy(never), 0);
	gate_close(&g);
}

/* Who waits for a queue that is destroyed goes on */
static void waiter_outlives_queue(void)
{
	struct snpu_fence *f;
	struct t_dev peer;
	struct gate g;
	uint64_t pos;

	NEED(!gate_open(&g, 0) && !t_dev_open(&peer, 1, 4096, SNPU_MEM_HBM));
	NEED(!snpu_fence_create(g.d.q, gate_put(&g, 1), &f));
	CHECK_EQ(snpu_queue_put_fence(peer.q, f), 0);
	snpu_prep_signal(t_pkt(peer.q), peer.va, 3, SNPU_SEM_SET);
	CHECK_EQ(snpu_queue_submit(peer.q, &pos), 0);
	CHECK_EQ(snpu_queue_wait(peer.q, pos, 30 * T_MS), -ETIME);
	CHECK_EQ(snpu_queue_destroy(g.d.q), 0);
	g.d.q = NULL;
	CHECK_EQ(snpu_queue_wait(peer.q, pos, 8 * T_SEC), 0);
	CHECK_EQ(word(&peer), 3);
	CHECK_EQ(snpu_fence_destroy(f), 0);
	t_dev_close(&peer);
	gate_close(&g);
}

static void sync_file(void)
{
	struct snpu_fence *f, *copy;
	struct t_dev peer;
	struct gate g;
	uint64_t pos;
	int fd = -1;

	NEED(!gate_open(&g, 0) && !t_dev_open(&peer, 1, 4096, SNPU_MEM_HBM));
	NEED(!snpu_fence_create(g.d.q, gate_put(&g, 1), &f));
	CHECK_EQ(snpu_fence_export(f, &fd), 0);
	NEED(fd >= 0);
	CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	NEED(!snpu_fence_import(t_snpu(), fd, &copy));
	close(fd);
	CHECK_EQ(snpu_fence_destroy(f), 0);
	CHECK_EQ(snpu_fence_poll(copy), 0);
	CHECK_EQ(snpu_queue_put_fence(peer.q, copy), 0);
	snpu_prep_signal(t_pkt(peer.q), peer.va, 9, SNPU_SEM_SET);
	CHECK_EQ(snpu_queue_submit(peer.q, &pos), 0);
	CHECK_EQ(snpu_queue_wait(peer.q, pos, 30 * T_MS), -ETIME);
	CHECK_EQ(snpu_event_set(g.ev, 1), 0);
	CHECK_EQ(snpu_fence_wait(copy, T_LONG), 0);
	CHECK_EQ(snpu_queue_wait(peer.q, pos, T_LONG), 0);
	CHECK_EQ(word(&peer), 9);
	CHECK_EQ(snpu_fence_destroy(copy), 0);
	/* what is no sync_file */
	CHECK(snpu_fence_import(t_snpu(), 0, &f) < 0);
	CHECK(snpu_fence_import(t_snpu(), -1, &f) < 0);
	t_dev_close(&peer);
	gate_close(&g);
}

static void no_sync_file(void)
{
	struct snpu_fence *f, *none = NULL;
	struct t_dev d;
	int fd = -1;

	NEED(!t_dev_open(&d, 0, 0, 0));
	snpu_prep_nop(t_pkt(d.q));
	CHECK_EQ(t_run(d.q), 0);
	NEED(!snpu_fence_create(d.q, 1, &f));
	CHECK_EQ(snpu_fence_export(f, &fd), -EOPNOTSUPP);
	CHECK_TEXT(snpu_last_error(), "kmd");
	CHECK_EQ(snpu_fence_import(t_snpu(), 0, &none), -EOPNOTSUPP);
	CHECK(!none && fd == -1);
	CHECK_EQ(snpu_fence_destroy(f), 0);
	t_dev_close(&d);
}

/* ---- timelines ---- */

static void timelines(void)
{
	struct snpu_timeline *tl;
	struct t_dev peer;
	struct gate g;
	uint64_t pos, pos2, v = 99, start;

	NEED(!gate_open(&g, 0) && !t_dev_open(&peer, 1, 4096, SNPU_MEM_HBM));
	NEED(!snpu_timeline_create(t_snpu(), &tl));
	CHECK_EQ(snpu_timeline_query(tl, &v), 0);
	CHECK_EQ(v, 0);
	CHECK_EQ(snpu_timeline_wait(tl, 0, 0), 0);
	CHECK_EQ(snpu_queue_put_timeline(peer.q, tl, 0), 0);
	CHECK_EQ(snpu_timeline_wait(tl, 1, 0), -ETIME);
	CHECK_EQ(snpu_queue_put_timeline(peer.q, tl, 1), -EINVAL);
	CHECK_EQ(snpu_timeline_signal(tl, 0), -EINVAL);
	CHECK_EQ(snpu_timeline_signal(tl, 2), 0);
	CHECK_EQ(snpu_timeline_query(tl, &v), 0);
	CHECK_EQ(v, 2);
	CHECK_EQ(snpu_timeline_wait(tl, 1, 0), 0);
	CHECK_EQ(snpu_timeline_wait(tl, 2, 0), 0);
	start = t_now();
	CHECK_EQ(snpu_timeline_wait(tl, 3, 30 * T_MS), -ETIME);
	CHECK(t_now() - start >= 30 * T_MS);
	pos = gate_put(&g, 1);
	pos2 = gate_put(&g, 2);
	CHECK_EQ(snpu_timeline_attach(tl, 0, g.d.q, pos), -EINVAL);
	CHECK_EQ(snpu_timeline_attach(tl, 3, g.d.q, 0), -EINVAL);
	CHECK_EQ(snpu_timeline_attach(tl, 3, g.d.q, pos2 + 1), -EINVAL);
	CHECK_EQ(snpu_timeline_attach(tl, 10, g.d.q, pos), 0);
	/* out of order */
	CHECK_EQ(snpu_timeline_attach(tl, 10, g.d.q, pos2), -EINVAL);
	CHECK_TEXT(snpu_last_error(), "10");
	CHECK_EQ(snpu_timeline_attach(tl, 9, g.d.q, pos2), -EINVAL);
	CHECK_EQ(snpu_timeline_signal(tl, 2), -EINVAL);
	CHECK_EQ(snpu_timeline_signal(tl, 10), -EINVAL);
	CHECK_EQ(snpu_timeline_attach(tl, 20, g.d.q, pos2), 0);
	CHECK_EQ(snpu_timeline_query(tl, &v), 0);
	CHECK_EQ(v, 2);
	CHECK_EQ(snpu_timeline_wait(tl, 10, 20 * T_MS), -ETIME);
	/* NPU 1 waits for point 15: for 20, that is */
	CHECK_EQ(snpu_queue_put_timeline(peer.q, tl, 21), -EINVAL);
	CHECK_EQ(snpu_queue_put_timeline(peer.q, tl, 2), 0);
	CHECK_EQ(snpu_queue_put_timeline(peer.q, tl, 15), 0);
	snpu_prep_signal(t_pkt(peer.q), peer.va, 4, SNPU_SEM_SET);
	CHECK_EQ(snpu_queue_submit(peer.q, &pos), 0);
	CHECK_EQ(snpu_event_set(g.ev, 1), 0);
	CHECK_EQ(snpu_timeline_wait(tl, 10, T_LONG), 0);
	CHECK_EQ(snpu_timeline_query(tl, &v), 0);
	CHECK_EQ(v, 10);
	CHECK_EQ(snpu_timeline_wait(tl, 11, 20 * T_MS), -ETIME);
	CHECK_EQ(snpu_queue_poll(peer.q, pos), 0);
	CHECK_EQ(word(&peer), 0);
	CHECK_EQ(snpu_event_set(g.ev, 2), 0);
	CHECK_EQ(snpu_timeline_wait(tl, 20, T_LONG), 0);
	CHECK_EQ(snpu_queue_wait(peer.q, pos, T_LONG), 0);
	CHECK_EQ(word(&peer), 4);
	CHECK_EQ(snpu_timeline_query(tl, &v), 0);
	CHECK_EQ(v, 20);
	CHECK_EQ(snpu_timeline_destroy(tl), 0);
	t_dev_close(&peer);
	gate_close(&g);
}

struct tl_wait {
	struct snpu_timeline *tl;
	uint64_t point;
	int ret;
};

static void *tl_wait_thread(void *arg)
{
	struct tl_wait *w = arg;

	w->ret = snpu_timeline_wait(w->tl, w->point, T_LONG);
	return NULL;
}

/* A thread waits for points that nobody attached yet */
static void timeline_wait_first(void)
{
	struct tl_wait w[2] = { { .point = 5, .ret = 1 }, { .point = 7, .ret = 1 } };
	struct snpu_timeline *tl;
	pthread_t th[2];
	struct gate g;
	unsigned int i;

	NEED(!gate_open(&g, 0) && !snpu_timeline_create(t_snpu(), &tl));
	for (i = 0; i < 2; i++) {
		w[i].tl = tl;
		NEED(!pthread_create(&th[i], NULL, tl_wait_thread, &w[i]));
	}
	t_sleep_ms(50);
	CHECK_EQ(snpu_timeline_attach(tl, 5, g.d.q, gate_put(&g, 1)), 0);
	CHECK_EQ(snpu_event_set(g.ev, 1), 0);
	pthread_join(th[0], NULL);
	CHECK_EQ(w[0].ret, 0);
	CHECK_EQ(snpu_timeline_signal(tl, 8), 0);
	pthread_join(th[1], NULL);
	CHECK_EQ(w[1].ret, 0);
	CHECK_EQ(snpu_timeline_destroy(tl), 0);
	gate_close(&g);
}

static void timeline_many(void)
{
	struct snpu_timeline *tl;
	struct t_dev d;
	uint64_t pos, i, v;

	NEED(!t_dev_open(&d, 0, 0, 0) && !snpu_timeline_create(t_snpu(), &tl));
	for (i = 1; i <= 300; i++) {
		snpu_prep_nop(t_pkt(d.q));
		CHECK_EQ(snpu_queue_submit(d.q, &pos), 0);
		CHECK_EQ(snpu_timeline_attach(tl, 3 * i, d.q, pos), 0);
	}
	CHECK_EQ(snpu_timeline_wait(tl, 900, T_LONG), 0);
	CHECK_EQ(snpu_timeline_query(tl, &v), 0);
	CHECK_EQ(v, 900);
	/* points long past */
	CHECK_EQ(snpu_timeline_wait(tl, 1, 0), 0);
	CHECK_EQ(snpu_timeline_wait(tl, 450, 0), 0);
	CHECK_EQ(snpu_queue_put_timeline(d.q, tl, 450), 0);
	CHECK_EQ(snpu_timeline_destroy(tl), 0);
	t_dev_close(&d);
}

/* ---- events ---- */

/* Two NPUs pass a ball without the CPU */
static void event_ping_pong(void)
{
	enum { ROUNDS = 50 };
	uint64_t va_a, va_b, pos;
	struct snpu_event *ping, *pong;
	struct t_dev a, b;
	unsigned int i;

	NEED(!t_dev_open(&a, 0, 4096, SNPU_MEM_HBM) && !t_dev_open(&b, 1, 4096, SNPU_MEM_HBM));
	NEED(!snpu_event_create(a.ctx, &ping) && !snpu_event_create(b.ctx, &pong));
	for (i = 1; i <= ROUNDS; i++) {
		CHECK_EQ(snpu_event_va(ping, a.ctx, &va_a), 0);
		CHECK_EQ(snpu_event_va(pong, a.ctx, &va_b), 0);
		snpu_prep_signal(t_pkt(a.q), va_a, i, SNPU_SEM_SET);
		snpu_prep_wait(t_pkt(a.q), va_b, i, SNPU_SEM_GE, 0);
		CHECK_EQ(snpu_event_va(ping, b.ctx, &va_a), 0);
		CHECK_EQ(snpu_event_va(pong, b.ctx, &va_b), 0);
		snpu_prep_wait(t_pkt(b.q), va_a, i, SNPU_SEM_GE, 0);
		snpu_prep_signal(t_pkt(b.q), va_b, 1, SNPU_SEM_ADD);
	}
	CHECK_EQ(snpu_queue_submit(b.q, &pos), 0);
	CHECK_EQ(snpu_queue_wait(b.q, pos, 30 * T_MS), -ETIME);
	CHECK_EQ(t_run(a.q), 0);
	CHECK_EQ(snpu_queue_wait(b.q, pos, T_LONG), 0);
	CHECK_EQ(snpu_event_read(ping), ROUNDS);
	CHECK_EQ(snpu_event_read(pong), ROUNDS);
	CHECK_EQ(snpu_event_destroy(ping), 0);
	CHECK_EQ(snpu_event_destroy(pong), 0);
	t_dev_close(&a);
	t_dev_close(&b);
}

/* The CPU sets an event that a device which sleeps waits for: its own, and a peer's */
static void event_wakes(void)
{
	struct snpu_event *ev;
	struct t_dev a, b;
	uint64_t va, pa, pb;
	unsigned int i;

	NEED(!t_dev_open(&a, 0, 0, 0) && !t_dev_open(&b, 1, 0, 0));
	NEED(!snpu_event_create(a.ctx, &ev));
	for (i = 1; i <= 4; i++) {
		CHECK_EQ(snpu_event_va(ev, a.ctx, &va), 0);
		snpu_prep_wait(t_pkt(a.q), va, i, SNPU_SEM_GE, 0);
		CHECK_EQ(snpu_queue_submit(a.q, &pa), 0);
		CHECK_EQ(snpu_event_va(ev, b.ctx, &va), 0);
		snpu_prep_wait(t_pkt(b.q), va, i, SNPU_SEM_EQ, 0);
		CHECK_EQ(snpu_queue_submit(b.q, &pb), 0);
		/* long enough for both to fall asleep */
		t_sleep_ms(200);
		CHECK_EQ(snpu_queue_poll(a.q, pa), 0);
		CHECK_EQ(snpu_queue_poll(b.q, pb), 0);
		CHECK_EQ(snpu_event_set(ev, i), 0);
		CHECK_EQ(snpu_queue_wait(a.q, pa, 5 * T_SEC), 0);
		CHECK_EQ(snpu_queue_wait(b.q, pb, 5 * T_SEC), 0);
	}
	CHECK_EQ(snpu_event_destroy(ev), 0);
	t_dev_close(&a);
	t_dev_close(&b);
}

static void event_cpu_waits(void)
{
	struct snpu_event *ev;
	struct t_dev a, b;
	uint64_t va, start;

	NEED(!t_dev_open(&a, 0, 0, 0) && !t_dev_open(&b, 1, 0, 0));
	NEED(!snpu_event_create(a.ctx, &ev));
	CHECK_EQ(snpu_event_read(ev), 0);
	CHECK_EQ(snpu_event_wait(ev, 0, 0), 0);
	start = t_now();
	CHECK_EQ(snpu_event_wait(ev, 1, 30 * T_MS), -ETIME);
	CHECK(t_now() - start >= 30 * T_MS);
	CHECK_TEXT(snpu_last_error(), "snpu_event_wait");
	CHECK_EQ(snpu_event_va(ev, b.ctx, &va), 0);
	snpu_prep_signal(t_pkt(b.q), va, 3, SNPU_SEM_SET);
	CHECK_EQ(snpu_queue_submit(b.q, NULL), 0);
	CHECK_EQ(snpu_event_wait(ev, 3, T_LONG), 0);
	CHECK_EQ(snpu_event_read(ev), 3);
	CHECK_EQ(snpu_event_wait(ev, 2, 0), 0);
	CHECK_EQ(snpu_event_destroy(ev), 0);
	t_dev_close(&a);
	t_dev_close(&b);
}

static const struct t_case cases[] = {
	{ "fences: create, poll, wait, time out", fences, T_BOTH },
	{ "queues of context, NPU and peer wait for a fence", put_fence, T_BOTH },
	{ "a full ring takes no fence", put_fence_full_ring, T_BOTH },
	{ "fences of a queue that is destroyed", fence_outlives_queue, T_BOTH },
	{ "a queue waits for one that is destroyed", waiter_outlives_queue, T_BOTH },
	{ "a fence through a sync_file", sync_file, T_KMD },
	{ "no sync_file without a kernel", no_sync_file, T_DIRECT },
	{ "timelines: signal, attach, query, wait, put", timelines, T_BOTH },
	{ "threads wait before points are attached", timeline_wait_first, T_BOTH },
	{ "300 points of a timeline", timeline_many, T_BOTH },
	{ "two NPUs signal each other", event_ping_pong, T_BOTH },
	{ "the CPU wakes sleeping NPUs", event_wakes, T_BOTH },
	{ "the CPU waits for an NPU", event_cpu_waits, T_BOTH },
};

int main(void)
{
	return t_main(cases, sizeof(cases) / sizeof(cases[0]));
}
