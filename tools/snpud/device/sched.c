// SPDX-License-Identifier: MIT
/*
 * Workers: one leader scans the doorbells, the others sleep or execute heavy packets.
 *
 * Light packets run on the leader, a batch of each queue in turn. When a heavy packet comes, the
 * leader keeps the queue, and leadership goes to a sleeping follower: at once for compute and long
 * copies, for short ones only if they last. Nobody to hand over to: the leader stays leader and
 * scans for light packets from the checkpoints of the heavy one.
 *
 * A queue that waits for a semaphore is just one more thing the leader looks at.
 *
 * Sleeping (see also hardware.rst): need_wake is published in every queue, then @sleeping, full
 * barrier, then everything is looked at once more. Whoever makes work does the reverse: a store, full
 * barrier, a look; so one of the two sees the other:
 *
 *	doorbell (client)		snpu_mb_wake(), need_wake	look_again(): doorbell
 *	semaphore (client)		snpu_mb_wake(), need_wake	look_again(): semaphore
 *	semaphore (worker)		wake_waiters(), @sleeping	look_again(): semaphore
 *	completed (worker)		snpu_queue_publish(), @sleeping	look_again(): semaphore
 *	owner = 0 (worker)		visit(), @sleeping		look_again(): owner, armed
 *	owner = 0 (admin command)	snpu_sched_kick(): wake_seq	futex: wake_seq
 *
 * A queue that was owned while the others were armed does not ask to be woken: look_again() finds
 * that it is free and not armed, and the leader stays up; or its owner finds @sleeping.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"
#include "log/packet_log.h"
#include "npu_priv.h"
#include "timing/plane.h"

#define SPIN_MIN_NS	200000u
#define SPIN_MAX_NS	1000000u
#define SOON_NS		3000000u	/* woken so soon: better to have kept spinning */
#define HANDOVER_NS	50000u
#define NESTED_NS	15000u
#define FOLLOW_NS	50000u	/* a follower has just worked: leadership often comes so soon */
#define IDLE_CHECK	32u
#define OWNED_NS	1000000u

void snpu_sec_leave(struct snpu_worker *w)
{
	/* full barrier: either the waiter sees the section end, or this sees the waiter */
	(void)snpu_xchg(&w->sec, w->sec + 1);
	if (snpu_load(&w->want)) {
		snpu_store(&w->want, 0);
		snpu_futex_wake(&w->sec, INT_MAX);
	}
}

static void wait_section(struct snpu_worker *w)
{
	uint32_t sec = snpu_load_acq(&w->sec);

	while ((sec & 1) && snpu_load_acq(&w->sec) == sec) {
		(void)snpu_xchg(&w->want, 1);
		snpu_futex_wait(&w->sec, sec, -1);
	}
}

/**
 * snpu_quiesce() - wait until no worker holds what it found before this call
 * @m: machine
 *
 * Context: not a worker. May be called with npu->lock held, not with locks that workers take.
 */
void snpu_quiesce(struct snpu_machine *m)
{
	unsigned int i;

	snpu_mb();
	for (i = 0; i < m->workers; i++)
		wait_section(&m->worker[i]);
	for (i = 0; snpu_load_acq(&m->asides) && i < m->npus; i++) {
		struct snpu_worker *w = snpu_aside_worker(m->npu[i]);

		if (w)
			wait_section(w);
	}
	snpu_mb();
}

/** snpu_sched_kick() - there may be something to do; any thread */
void snpu_sched_kick(struct snpu_machine *m)
{
	(void)snpu_add(&m->wake_seq, 1);
	if (snpu_load(&m->sleeping))
		snpu_futex_wake(&m->wake_seq, INT_MAX);
	snpu_aside_kick_blocked(m);
}

void snpu_sched_handover(struct snpu_worker *w)
{
	struct snpu_machine *m = w->m;

	if (!w->leader || w->nested || !snpu_load(&m->idle) || snpu_load(&m->list)->n < 2)
		return;
	w->leader = false;
	(void)snpu_xchg(&m->lead, 0);
	snpu_futex_wake(&m->lead, 1);
}

/* Has a queue of higher priority of the same NPU something to run now? */
bool snpu_higher_pending(const struct snpu_queue *q)
{
	struct snpu_npu *n = q->npu;
	uint32_t p, i, left = 0;

	for (p = q->prio + 1; p <= SNPU_PRIO_MAX; p++)
		left += snpu_load(&n->prio_queues[p]);
	for (i = 0; left && i < n->num_queues; i++) {
		const struct snpu_queue *h = snpu_load_acq(&n->queues[i]);

		if (!h || h->prio <= q->prio)
			continue;
		left--;
		if (snpu_load(&h->run) == SNPU_RUN_READY && !snpu_load(&h->owner) &&
		    snpu_queue_pending(h))
			return true;
	}
	return false;
}

/** snpu_others_pending() - does any other queue wait for a worker? In a section */
bool snpu_others_pending(const struct snpu_queue *q)
{
	const struct snpu_scan_list *list = snpu_load_acq(&q->npu->m->list);
	unsigned int i;

	for (i = 0; i < snpu_load_acq(&list->n); i++) {
		const struct snpu_queue *o = snpu_load_acq(&list->q[i]);

		if (o != q && snpu_load(&o->run) == SNPU_RUN_READY && !snpu_load(&o->owner) &&
		    snpu_queue_pending(o))
			return true;
	}
	return false;
}

/* Now and then a pause of up to 60 us: another order of queues, which must not show in any result */
static void test_delay(struct snpu_worker *w)
{
	struct timespec ts = { 0 };

	w->rnd ^= w->rnd << 13;
	w->rnd ^= w->rnd >> 7;
	w->rnd ^= w->rnd << 17;
	if (w->rnd & 0x700)
		return;
	ts.tv_nsec = (long)(w->rnd >> 16 & 0xffff);
	nanosleep(&ts, NULL);
}

/* Executes some packets of a queue; in a section */
static unsigned int visit(struct snpu_worker *w, struct snpu_queue *q)
{
	struct snpu_machine *m = w->m;
	unsigned int n = 0;
	uint32_t run;

	if (m->delays)
		test_delay(w);
	if (!snpu_queue_trylock(q))
		return 0;
	snpu_mmu_sync(q);
	run = snpu_load(&q->run);
	if (run == SNPU_RUN_READY || run == SNPU_RUN_BLOCKED) {
		if (q->armed) {
			snpu_store(&q->armed, 0);
			snpu_store(&q->cpl->need_wake, 0);
		}
		n = snpu_exec_queue(w, q);
	}
	/* a full barrier, before the look at @sleeping: pairs with lead_sleep() */
	snpu_queue_unlock(q);
	if (snpu_load(&q->run) == SNPU_RUN_ASIDE)
		snpu_aside_kick(q->npu);
	/* the leader may have looked at this queue while it was owned, and gone to sleep */
	if (!w->leader && !w->nested && snpu_load(&m->sleeping))
		snpu_sched_kick(m);
	return n;
}

/* One pass over all queues; returns packets executed */
static unsigned int scan(struct snpu_worker *w)
{
	struct snpu_machine *m = w->m;
	const struct snpu_scan_list *list;
	unsigned int i, k, len, n = 0;
	uint32_t sec = w->sec;

	list = snpu_load_acq(&m->list);
	len = snpu_load_acq(&list->n);
	k = m->rr < len ? m->rr : 0;
	for (i = 0; i < len; i++) {
		struct snpu_queue *q = snpu_load_acq(&list->q[k]);
		uint32_t run = snpu_load(&q->run);

		if (++k >= len)
			k = 0;
		if (run != SNPU_RUN_BLOCKED && (run != SNPU_RUN_READY || !snpu_queue_pending(q)))
			continue;
		if (snpu_load(&q->owner) || (q->prio < SNPU_PRIO_MAX && snpu_higher_pending(q)))
			continue;
		m->rr = k;
		n += visit(w, q);
		/* no longer leader: the list is another one's business. Someone waits for the
		 * section, or a checkpoint ended it: the list may be gone. The next pass begins
		 * at rr
		 */
		if (!w->leader || w->sec != sec || snpu_load(&w->want))
			break;
	}
	return n;
}

/**
 * snpu_sched_checkpoint() - a heavy packet takes a breath
 * @w: worker that executes it
 *
 * Pointers of the packet are stale on return: the section may have ended and begun anew.
 */
void snpu_sched_checkpoint(struct snpu_worker *w)
{
	uint64_t now;

	if (snpu_load(&w->want)) {
		snpu_sec_leave(w);
		snpu_sec_enter(w);
	}
	if (!w->leader || w->nested)
		return;
	now = snpu_clock_ns();
	if (now - w->last_scan < NESTED_NS)
		return;
	if (now - w->heavy_start > HANDOVER_NS) {
		snpu_sched_handover(w);
		if (!w->leader)
			return;
	}
	w->nested = true;
	(void)scan(w);
	w->nested = false;
	w->last_scan = snpu_clock_ns();
}

/*
 * Publishes need_wake in all queues that anyone might ring. Returns what @sleeping shall be: any queue
 * that begins to wait after this is one whose owner finds @sleeping when it releases it.
 */
static uint32_t arm(struct snpu_worker *w)
{
	const struct snpu_scan_list *list;
	uint32_t how = SNPU_SLEEPS;
	unsigned int i;

	snpu_sec_enter(w);
	list = snpu_load_acq(&w->m->list);
	for (i = 0; i < snpu_load_acq(&list->n); i++) {
		struct snpu_queue *q = snpu_load_acq(&list->q[i]);

		if (w->m->delays)
			test_delay(w);
		/* its own thread asks to be woken for it */
		if (snpu_load(&q->run) == SNPU_RUN_ASIDE ||
		    snpu_load(&q->run) == SNPU_RUN_ASIDE_BLOCKED)
			continue;
		/* one that is owned now makes its owner kick us */
		if (!snpu_queue_trylock(q))
			continue;
		snpu_mmu_sync(q);
		snpu_store(&q->armed, 1);
		snpu_store(&q->cpl->need_wake, 1);
		if (snpu_load(&q->run) == SNPU_RUN_BLOCKED && q->waits_host)
			how = SNPU_SLEEPS_INDEX;
		snpu_queue_unlock(q);
	}
	snpu_sec_leave(w);
	return how;
}

static void disarm(struct snpu_worker *w)
{
	const struct snpu_scan_list *list;
	unsigned int i;

	snpu_sec_enter(w);
	list = snpu_load_acq(&w->m->list);
	for (i = 0; i < snpu_load_acq(&list->n); i++) {
		struct snpu_queue *q = snpu_load_acq(&list->q[i]);

		if (!snpu_load(&q->armed) || !snpu_queue_trylock(q))
			continue;
		snpu_mmu_sync(q);
		snpu_store(&q->armed, 0);
		snpu_store(&q->cpl->need_wake, 0);
		snpu_queue_unlock(q);
	}
	snpu_sec_leave(w);
}

/*
 * Time until something is to be done without being told: 0 now, UINT64_MAX never. @owned: somebody
 * holds a queue, so nothing can be said of it
 */
static uint64_t look_again(struct snpu_worker *w, bool *owned)
{
	struct snpu_machine *m = w->m;
	const struct snpu_scan_list *list;
	uint64_t now = snpu_machine_time(m), wait = UINT64_MAX;
	unsigned int i;

	*owned = false;
	snpu_sec_enter(w);
	list = snpu_load_acq(&m->list);
	for (i = 0; i < snpu_load_acq(&list->n) && wait; i++) {
		struct snpu_queue *q = snpu_load_acq(&list->q[i]);
		/* after @sleeping was stored; acquire: with what its last owner did */
		bool free = !snpu_load_acq(&q->owner);
		uint32_t run = snpu_load(&q->run);
		bool runs = run == SNPU_RUN_READY || run == SNPU_RUN_BLOCKED;

		*owned |= !free || run == SNPU_RUN_ASIDE;
		/* released since arm() went by: nobody would wake us for it */
		if (runs && free && !snpu_load(&q->armed)) {
			wait = 0;
		} else if (run == SNPU_RUN_READY && free && snpu_queue_pending(q)) {
			wait = 0;
		} else if (run == SNPU_RUN_BLOCKED && snpu_queue_trylock(q)) {
			snpu_mmu_sync(q);
			if (snpu_load(&q->run) == SNPU_RUN_BLOCKED)
				wait = snpu_min64(wait, snpu_exec_poll_wait(q, now));
			snpu_queue_unlock(q);
		}
	}
	snpu_sec_leave(w);
	return wait;
}

/*
 * Is the machine at rest, for virtual time? Then nothing goes on by itself, and all that ran is in
 * the log. Returns how long the leader may sleep.
 */
static uint64_t tell_rest(struct snpu_machine *m, uint64_t look, uint64_t wait, bool owned)
{
	if (!m->plane || !wait)
		return wait;
	/* whoever holds a queue is done in a moment, and does not say so */
	if (owned && snpu_plane_wants_rest(m->plane))
		return snpu_min64(wait, OWNED_NS);
	/* a follower that is not idle yet kicks the leader when it is */
	if (!owned && snpu_load_acq(&m->idle) == m->workers - 1)
		snpu_plane_rest(m->plane, look);
	return wait;
}

static void lead_sleep(struct snpu_worker *w)
{
	struct snpu_machine *m = w->m;
	uint32_t seq = snpu_load_acq(&m->wake_seq);
	uint64_t start, wait, look = 0;
	uint32_t how;
	bool owned;

	if (w->plog)
		snpu_plog_flush(w->plog);
	if (m->plane)
		look = snpu_plane_look(m->plane);
	how = arm(w);
	snpu_store(&m->sleeping, how);
	/* pairs with the barriers of all who make work, see the top of this file */
	snpu_mb();
	wait = look_again(w, &owned);
	wait = tell_rest(m, look, wait, owned);
	start = snpu_clock_ns();
	if (wait && !snpu_load(&m->stop))
		snpu_futex_wait(&m->wake_seq, seq, wait > INT64_MAX ? -1 : (int64_t)wait);
	snpu_store(&m->sleeping, 0);
	snpu_mb();
	disarm(w);
	if (snpu_clock_ns() - start < SOON_NS)
		m->spin_ns = snpu_min64(m->spin_ns * 2, SPIN_MAX_NS);
	else
		m->spin_ns = m->spin_ns / 2 > SPIN_MIN_NS ? m->spin_ns / 2 : SPIN_MIN_NS;
}

static void lead(struct snpu_worker *w)
{
	struct snpu_machine *m = w->m;
	uint64_t idle_since = 0;
	unsigned int empty = 0;

	while (!snpu_load(&m->stop)) {
		uint64_t now;
		unsigned int n;

		snpu_sec_enter(w);
		n = scan(w);
		snpu_sec_leave(w);
		if (!w->leader)
			return;
		if (n) {
			empty = 0;
			idle_since = 0;
			continue;
		}
		snpu_pause();
		if (++empty % IDLE_CHECK)
			continue;
		now = snpu_clock_ns();
		if (!idle_since) {
			idle_since = now;
		} else if (now - idle_since > m->spin_ns ||
			   (m->plane && snpu_plane_wants_rest(m->plane))) {
			lead_sleep(w);
			idle_since = 0;
			empty = 0;
		}
	}
	w->leader = false;
	(void)snpu_xchg(&m->lead, 0);
	snpu_futex_wake(&m->lead, INT_MAX);
}

/* Waits for leadership to be free, for some time without sleeping: waking up takes long */
static void follow(struct snpu_machine *m)
{
	uint64_t end = snpu_clock_ns() + FOLLOW_NS;
	unsigned int i;

	do {
		for (i = 0; i < IDLE_CHECK; i++) {
			if (!snpu_load(&m->lead) || snpu_load(&m->stop))
				return;
			snpu_pause();
		}
	} while (snpu_clock_ns() < end);
	/* stop is set before lead changes for the last time */
	if (!snpu_load(&m->stop))
		snpu_futex_wait(&m->lead, 1, -1);
}

static void *worker_main(void *arg)
{
	struct snpu_worker *w = arg;
	struct snpu_machine *m = w->m;

	while (!snpu_load(&m->stop)) {
		if (snpu_cas(&m->lead, 0, 1)) {
			w->leader = true;
			lead(w);
			continue;
		}
		if (w->plog)
			snpu_plog_flush(w->plog);
		(void)snpu_add(&m->idle, 1);
		if (m->plane && snpu_plane_wants_rest(m->plane))
			snpu_sched_kick(m);
		follow(m);
		(void)snpu_add(&m->idle, -1);
	}
	return NULL;
}

static void worker_free(struct snpu_worker *w)
{
	snpu_engine_destroy(w->engine);
	snpu_engine_destroy(w->engine_nested);
	if (w->plog)
		snpu_plog_buf_free(w->plog);
}

/*
 * Signals are the main thread's, except those that an access of the thread itself raises: a client can
 * take its memory away under a worker, and a blocked SIGBUS ends the process.
 */
void snpu_sched_signals(sigset_t *set)
{
	sigfillset(set);
	sigdelset(set, SIGBUS);
	sigdelset(set, SIGSEGV);
	sigdelset(set, SIGFPE);
	sigdelset(set, SIGILL);
}

/**
 * snpu_sched_start() - start the workers
 * @m: machine with its NPUs
 * @workers: threads
 * @err: receives a message
 * @err_len: size of @err
 */
int snpu_sched_start(struct snpu_machine *m, unsigned int workers, char *err, size_t err_len)
{
	size_t bytes = workers * sizeof(struct snpu_worker);
	sigset_t all, old;
	unsigned int i;
	int ret = 0;

	m->worker = aligned_alloc(64, (bytes + 63) & ~(size_t)63);
	if (!m->worker) {
		snprintf(err, err_len, "out of memory");
		return -ENOMEM;
	}
	memset(m->worker, 0, bytes);
	m->spin_ns = SPIN_MIN_NS;
	m->workers = workers;
	snpu_sched_signals(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	for (i = 0; i < workers && !ret; i++) {
		struct snpu_worker *w = &m->worker[i];

		w->m = m;
		w->rnd = 0x9e3779b97f4a7c15ull * (m->delays + i + 1);
		w->engine = snpu_engine_create();
		w->engine_nested = snpu_engine_create();
		snpu_engine_account(w->engine, snpu_mem_scratch, m);
		snpu_engine_account(w->engine_nested, snpu_mem_scratch, m);
		if (m->plog)
			w->plog = snpu_plog_buf_new(m->plog);
		if (!w->engine || !w->engine_nested || (m->plog && !w->plog))
			ret = -ENOMEM;
		else
			ret = -pthread_create(&w->thread, NULL, worker_main, w);
		w->started = !ret;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (ret) {
		snprintf(err, err_len, "worker %u: %s", i - 1, strerror(-ret));
		snpu_sched_stop(m);
	}
	return ret;
}

/** snpu_sched_stop() - end all workers; all queues are gone already */
void snpu_sched_stop(struct snpu_machine *m)
{
	unsigned int i;

	snpu_store_rel(&m->stop, 1);
	snpu_mb();
	snpu_sched_kick(m);
	for (i = 0; i < m->workers; i++) {
		struct snpu_worker *w = &m->worker[i];

		while (w->started) {
			struct timespec ts;

			/* a follower between its look at stop and its futex call misses one
			 * wake-up, so they repeat until all have gone
			 */
			snpu_futex_wake(&m->lead, INT_MAX);
			clock_gettime(CLOCK_REALTIME, &ts);
			ts.tv_nsec += 1000000;
			if (ts.tv_nsec >= 1000000000) {
				ts.tv_nsec -= 1000000000;
				ts.tv_sec++;
			}
			if (!pthread_timedjoin_np(w->thread, NULL, &ts))
				w->started = false;
		}
	}
	for (i = 0; i < m->workers; i++)
		worker_free(&m->worker[i]);
	free(m->worker);
	m->worker = NULL;
	m->workers = 0;
}
