// SPDX-License-Identifier: MIT
/*
 * Queues whose next packet needs memory that only messages to the client reach.
 *
 * A client may answer late or never, so no worker sends it a message: the worker puts the queue
 * aside, and a thread of the NPU executes the packet. That thread waits for its own client and for
 * no other. It is outside of its section while it waits, so snpu_quiesce() never waits for a client.
 * All that was resolved before is stale after that: so on this thread packets reach the memory of
 * the queue by copies only, and never through a pointer that they keep.
 *
 * States: a worker stores SNPU_RUN_ASIDE and kicks the thread after it has released the queue. The
 * thread executes, then gives the queue back to the workers (READY), or finds that it waits
 * (ASIDE_BLOCKED) and looks again whenever something may have changed: the WAKE register, a packet
 * of the same thread, the end of the wait's own timeout.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"
#include "log/packet_log.h"
#include "npu_priv.h"

#define PIECE_BYTES	(256u << 10)	/* moved between two looks at queue->stop */
#define AGAIN_NS	1000000		/* until the next look at a queue that another thread holds */
#define AGAIN_MAX	2000u		/* such waits for an unmap of the client to end */

/**
 * struct snpu_aside - the thread of an NPU that may wait for its client
 * @w: what it is as a worker: section, engine, log
 * @n: NPU
 * @seq: futex; counts the kicks
 * @sleeping: it waits for @seq, or is about to
 * @blocked: queues in ASIDE_BLOCKED when it last looked
 * @stop: end
 * @rr: where the next look begins
 * @again: times in a row that a message was ended by an unmap
 */
struct snpu_aside {
	struct snpu_worker w;
	struct snpu_npu *n;
	uint32_t seq;
	uint32_t sleeping;
	uint32_t blocked;
	uint32_t stop;
	uint32_t rr;
	uint32_t again;
};

static bool put_aside(uint32_t run)
{
	return run == SNPU_RUN_ASIDE || run == SNPU_RUN_ASIDE_BLOCKED;
}

struct snpu_worker *snpu_aside_worker(const struct snpu_npu *n)
{
	struct snpu_aside *a = snpu_load_acq(&n->aside);

	return a ? &a->w : NULL;
}

void snpu_aside_kick(struct snpu_npu *n)
{
	struct snpu_aside *a = snpu_load_acq(&n->aside);

	if (!a)
		return;
	(void)snpu_add(&a->seq, 1);
	if (snpu_load(&a->sleeping))
		snpu_futex_wake(&a->seq, 1);
}

void snpu_aside_kick_blocked(struct snpu_machine *m)
{
	unsigned int i;

	/* pairs with the barrier in visit(): this sees the queue wait, or the queue sees the change */
	snpu_mb();
	if (!snpu_load(&m->asides))
		return;
	for (i = 0; i < m->npus; i++) {
		struct snpu_aside *a = snpu_load_acq(&m->npu[i]->aside);

		if (a && snpu_load(&a->blocked))
			snpu_aside_kick(m->npu[i]);
	}
}

/* Executes packets of @q; in a section. Returns how long until it is to be looked at again */
static uint64_t visit(struct snpu_aside *a, struct snpu_queue *q)
{
	struct snpu_machine *m = a->n->m;
	uint64_t wait = UINT64_MAX;
	uint32_t run;

	/* its owner is done in a moment, or changes its state */
	if (!snpu_queue_trylock(q))
		return AGAIN_NS;
	snpu_mmu_sync(q);
	if (put_aside(snpu_load(&q->run))) {
		snpu_store(&q->cpl->need_wake, 0);
		(void)snpu_exec_queue(&a->w, q);
		if (snpu_load(&q->run) == SNPU_RUN_ASIDE_BLOCKED) {
			/* as the leader before it sleeps: ask to be woken, then look again */
			snpu_store(&a->blocked, 1);
			snpu_store(&q->cpl->need_wake, 1);
			snpu_mb();
			(void)snpu_exec_queue(&a->w, q);
		}
		run = snpu_load(&q->run);
		if (run == SNPU_RUN_ASIDE_BLOCKED) {
			wait = snpu_exec_deadline(q);
		} else {
			snpu_store(&q->cpl->need_wake, 0);
			if (run == SNPU_RUN_ASIDE)
				snpu_queue_set_state(q, SNPU_RUN_READY);
		}
	}
	if (a->w.plog)
		snpu_plog_flush(a->w.plog);
	/* a full barrier, before the look at @sleeping: pairs with lead_sleep() */
	snpu_queue_unlock(q);
	if (snpu_load(&m->sleeping))
		snpu_sched_kick(m);
	return wait;
}

/* Looks at all queues once. Returns how long nothing is to be done */
static uint64_t look(struct snpu_aside *a)
{
	struct snpu_npu *n = a->n;
	uint64_t wait = UINT64_MAX;
	uint32_t i, k, blocked = 0;

	k = a->rr;
	for (i = 0; i < n->num_queues && !snpu_load(&a->stop); i++) {
		struct snpu_queue *q;

		k = k + 1 < n->num_queues ? k + 1 : 0;
		snpu_sec_enter(&a->w);
		q = snpu_load_acq(&n->queues[k]);
		if (q && put_aside(snpu_load(&q->run))) {
			a->rr = k;
			wait = snpu_min64(wait, visit(a, q));
			blocked |= snpu_load(&q->run) == SNPU_RUN_ASIDE_BLOCKED;
		}
		snpu_sec_leave(&a->w);
	}
	snpu_store(&a->blocked, blocked);
	return wait;
}

static void *aside_main(void *arg)
{
	struct snpu_aside *a = arg;

	while (!snpu_load(&a->stop)) {
		uint32_t seq = snpu_load_acq(&a->seq);
		uint64_t wait = look(a);

		snpu_store(&a->sleeping, 1);
		/* pairs with snpu_aside_kick(): @seq moved, or the kick finds @sleeping */
		snpu_mb();
		if (wait && !snpu_load(&a->stop))
			snpu_futex_wait(&a->seq, seq, wait > INT64_MAX ? -1 : (int64_t)wait);
		snpu_store(&a->sleeping, 0);
	}
	return NULL;
}

static void aside_free(struct snpu_aside *a)
{
	snpu_engine_destroy(a->w.engine);
	if (a->w.plog)
		snpu_plog_buf_free(a->w.plog);
	free(a);
}

static struct snpu_aside *aside_new(struct snpu_npu *n)
{
	struct snpu_machine *m = n->m;
	size_t bytes = (sizeof(struct snpu_aside) + 63) & ~(size_t)63;
	struct snpu_aside *a = aligned_alloc(64, bytes);
	sigset_t all, old;
	int ret;

	if (!a)
		return NULL;
	memset(a, 0, bytes);
	a->n = n;
	a->w.m = m;
	a->w.aside = true;
	a->w.rnd = 1;
	a->w.engine = snpu_engine_create();
	snpu_engine_account(a->w.engine, snpu_mem_scratch, m);
	if (m->plog)
		a->w.plog = snpu_plog_buf_new(m->plog);
	if (!a->w.engine || (m->plog && !a->w.plog))
		goto fail;
	snpu_sched_signals(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	ret = pthread_create(&a->w.thread, NULL, aside_main, a);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (ret)
		goto fail;
	return a;
fail:
	aside_free(a);
	return NULL;
}

/**
 * snpu_aside_put() - a queue's next packet needs messages
 * @q: owned queue, READY or BLOCKED; worker in a section
 *
 * The caller kicks the thread once it has released the queue. Return: false when there is no thread
 * and none can be made.
 */
bool snpu_aside_put(struct snpu_queue *q)
{
	struct snpu_npu *n = q->npu;

	if (!snpu_load_acq(&n->aside)) {
		struct snpu_aside *a;

		pthread_mutex_lock(&n->m->aside_lock);
		a = n->aside;
		if (!a) {
			a = aside_new(n);
			if (a) {
				snpu_store_rel(&n->aside, a);
				(void)snpu_add(&n->m->asides, 1);
			}
		}
		pthread_mutex_unlock(&n->m->aside_lock);
		if (!a)
			return false;
	}
	snpu_queue_set_state(q, SNPU_RUN_ASIDE);
	return true;
}

/** snpu_aside_cancel() - end the message under way, if @q waits for one; any thread */
void snpu_aside_cancel(struct snpu_queue *q)
{
	struct snpu_npu *n = q->npu;
	const struct snpu_bus *bus;

	if (!snpu_load_acq(&n->aside))
		return;
	pthread_mutex_lock(&n->bus_lock);
	bus = n->host_bus;
	if (bus && bus->ops->cancel)
		bus->ops->cancel(bus->priv);
	pthread_mutex_unlock(&n->bus_lock);
}

/** snpu_aside_end() - end the thread of @n; all its queues are gone */
void snpu_aside_end(struct snpu_npu *n)
{
	struct snpu_aside *a = n->aside;

	if (!a)
		return;
	snpu_store(&a->stop, 1);
	snpu_aside_kick(n);
	pthread_join(a->w.thread, NULL);
	n->aside = NULL;
	aside_free(a);
}

/*
 * A message of at most PIECE_BYTES, outside of the section. @bus is a copy; what is behind it lives
 * until set_bus() has destroyed all queues, and this thread owns one of them.
 */
static int message(struct snpu_worker *w, const struct snpu_bus *bus, uint64_t iova, void *buf,
		   uint64_t len, bool write)
{
	int ret;

	snpu_sec_leave(w);
	if (write)
		ret = bus->ops->write ? bus->ops->write(bus->priv, iova, buf, len) : -EFAULT;
	else
		ret = bus->ops->read ? bus->ops->read(bus->priv, iova, buf, len) : -EFAULT;
	snpu_sec_enter(w);
	return ret;
}

/**
 * snpu_aside_move() - copy from or to memory that only messages reach
 * @w: the thread of the NPU, in a section; another one on return: pointers are stale
 * @q: queue, owned
 * @iova: DMA address
 * @buf: private memory
 * @len: bytes wanted; receives bytes done, which may be fewer: resolve the rest again
 * @write: from @buf to there
 *
 * Return: SNPU_ERR_*.
 */
unsigned int snpu_aside_move(struct snpu_worker *w, struct snpu_queue *q, uint64_t iova, void *buf,
			     uint64_t *len, bool write)
{
	struct snpu_aside *a = q->npu->aside;
	const struct snpu_bus *p = snpu_load_acq(&q->npu->bus);
	struct snpu_bus bus;
	int ret;

	if (!p)
		return SNPU_ERR_BUS;
	bus = *p;
	*len = snpu_min64(*len, PIECE_BYTES);
	ret = message(w, &bus, iova, buf, *len, write);
	snpu_mmu_sync(q);
	if ((snpu_load(&q->stop) & SNPU_STOP_ABORT) || snpu_load(&q->run) == SNPU_RUN_FAULT)
		return SNPU_ERR_ABORTED;
	if (ret == -EAGAIN && a->again++ < AGAIN_MAX) {
		/* the client takes memory away, maybe this; a moment later that is known */
		*len = 0;
		snpu_sec_leave(w);
		snpu_futex_wait(&a->seq, snpu_load(&a->seq), AGAIN_NS);
		snpu_sec_enter(w);
		snpu_mmu_sync(q);
		return SNPU_ERR_NONE;
	}
	a->again = 0;
	/* another queue of the same thread may wait for what was written */
	if (write && !ret)
		(void)snpu_add(&a->seq, 1);
	return ret ? SNPU_ERR_BUS : SNPU_ERR_NONE;
}
