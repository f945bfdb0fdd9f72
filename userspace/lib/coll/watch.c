// SPDX-License-Identifier: MIT
/*
 * What breaks a communicator, and how everyone gets to know.
 *
 * A thread of the process looks after all communicators with work outstanding: is the abort word
 * set, has a queue stopped, and, when nothing moves for a while, does the next rank's segment still
 * answer (a rank that died takes its segment along, so a read of it faults; one that was destroyed
 * has left a mark, see leave.c). What it finds it tells ranks at distances of powers of two in both
 * directions, whose threads do the same: after a few hops all know, though some of them may be dead.
 *
 * Outstanding packets of a broken communicator are withdrawn: they become packets that stop the
 * queue. One that waits for a counter already is let go by raising all counters of the own segment
 * to the highest value. In this order, so that no rank goes on with what never came, and passes it
 * to others as a result.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "coll.h"

#define TICK_NS		100000000ull	/* with work outstanding */
#define FAST_NS		10000000ull	/* while letting packets go ... */
#define FAST_ROUNDS	100		/* ... and how often: a peer may still set a counter back */
#define PROBE_NS	1000000000ull	/* no progress for so long: is the next one there? */
#define TELL_NS		300000000ull	/* for telling all others */
#define QUEUES		8

/**
 * struct coll_watch - a communicator as the thread sees it
 * @c: communicator
 * @q: queues with operations outstanding, oldest first
 * @num_q: how many
 * @seen: operations done when last looked
 * @moved: when that changed, ns
 * @probe_q: for looking at the next rank
 * @probe_pos: of the probe under way, 0: none
 * @probed: the rank looked at
 * @wake: event whose setting wakes the NPU
 * @told: others were told
 * @gone: the rank is about to go, and has passed on what it knew
 * @rounds: how often packets were let go
 * @next: next one
 */
struct coll_watch {
	struct snpu_coll *c;
	struct snpu_queue *q[QUEUES];
	unsigned int num_q;
	uint64_t seen;
	uint64_t moved;
	struct snpu_queue *probe_q;
	uint64_t probe_pos;
	unsigned int probed;
	struct snpu_event *wake;
	bool told;
	bool gone;
	unsigned int rounds;
	struct coll_watch *next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t work;		/* something is outstanding, or the thread is to end */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct coll_watch *all;
static pthread_t thread;
static bool running;
static bool idle;

static void init(void)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&work, &attr);
	pthread_condattr_destroy(&attr);
}

void coll_watch_forked(void)
{
	pthread_mutex_init(&lock, NULL);
	init();
	all = NULL;
	running = false;
	idle = false;
}

static bool outstanding(const struct snpu_coll *c)
{
	return __atomic_load_n(&c->head->done, __ATOMIC_ACQUIRE) <
	       __atomic_load_n(&c->ops, __ATOMIC_RELAXED);
}

static int error_of(struct snpu_coll *c)
{
	return __atomic_load_n(&c->error, __ATOMIC_ACQUIRE);
}

/* Lets waiting packets of the rank go; the NPU may sleep */
static void release(struct coll_watch *w)
{
	struct snpu_coll *c = w->c;
	struct coll_pair *pair = coll_pairs(c);
	unsigned int i;

	coll_blocks_withdraw(c);
	for (i = 0; i < c->topo.n; i++) {
		__atomic_store_n(&pair[i].came, UINT64_MAX, __ATOMIC_RELAXED);
		__atomic_store_n(&pair[i].taken, UINT64_MAX, __ATOMIC_RELAXED);
	}
	/* a full barrier, and a wake-up if any queue of the context needs it */
	snpu_event_set(w->wake, snpu_event_read(w->wake) + 1);
}

/* Under the lock. All ranks of this process are told at once */
static void mark(struct snpu_coll *c, int error)
{
	struct coll_watch *w;
	int none;

	for (w = all; w; w = w->next) {
		if (memcmp(&w->c->uid, &c->uid, sizeof(c->uid)))
			continue;
		none = 0;
		if (!__atomic_compare_exchange_n(&w->c->error, &none, error, false,
						 __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
			continue;
		__atomic_store_n(&w->c->head->abort, (uint64_t)-error, __ATOMIC_RELEASE);
		/* a queue that stopped may be destroyed by its owner any time */
		w->num_q = 0;
		release(w);
	}
}

static bool is_local(struct snpu_coll *c, unsigned int rank)
{
	struct coll_watch *w;

	for (w = all; w; w = w->next) {
		if (w->c->rank == rank && !memcmp(&w->c->uid, &c->uid, sizeof(c->uid)))
			return true;
	}
	return false;
}

struct snpu_queue *coll_small_queue(struct snpu_coll *c)
{
	struct snpu_queue_params p = { .field_mask = SNPU_QUEUE_ENTRIES, .entries = 16 };
	struct snpu_queue *q;

	return snpu_queue_create(c->ctx, &p, &q) ? NULL : q;
}

static struct snpu_queue *tell(struct snpu_coll *c, unsigned int rank)
{
	struct snpu_queue *q = NULL;
	union snpu_pkt *p;

	if (coll_connect(c, rank))
		return NULL;
	q = coll_small_queue(c);
	p = snpu_queue_get(q);
	if (p) {
		snpu_prep_signal(p, c->peer[rank].va + offsetof(struct coll_head, abort),
				 (uint64_t)-error_of(c), SNPU_SEM_SET);
		snpu_queue_submit(q, NULL);
	}
	return q;
}

/* Ranks at distances of powers of two that are not of this process. Without the lock */
static void tell_others(struct snpu_coll *c, const bool *local)
{
	struct snpu_queue *q[32] = { NULL };
	uint64_t end = coll_now() + TELL_NS;
	unsigned int n = c->topo.n, d, i, count = 0;

	for (d = 1; d < n && count < 30; d *= 2) {
		unsigned int rank[2] = { (c->rank + d) % n, (c->rank + n - d) % n };

		for (i = 0; i < 2; i++) {
			if (!local[rank[i]] && (!i || rank[0] != rank[1]))
				q[count++] = tell(c, rank[i]);
		}
	}
	for (i = 0; i < count; i++) {
		uint64_t now = coll_now();

		/* a fault is an answer, too */
		if (q[i])
			snpu_queue_wait(q[i], 1, now < end ? end - now : 0);
		snpu_queue_destroy(q[i]);
	}
}

/* Under the lock, which nobody needs who is told */
static void tell_from(struct snpu_coll *c)
{
	bool *local = calloc(c->topo.n, sizeof(*local));
	unsigned int i;

	for (i = 0; local && i < c->topo.n; i++)
		local[i] = is_local(c, i);
	if (local)
		tell_others(c, local);
	free(local);
}

/* What the stop of a queue means */
static int stopped(struct snpu_queue *q)
{
	struct snpu_error err;

	if (snpu_queue_error(q, &err, sizeof(err)))
		return -EIO;
	switch (err.code) {
	case SNPU_ERR_TIMEOUT:
		return -ETIMEDOUT;
	case SNPU_ERR_FABRIC:
		return -ECONNRESET;
	default:
		return -EIO;
	}
}

/* A probe found nobody: whoever left set its mark before its segment went */
static int silent(struct coll_watch *w, int error)
{
	if (!coll_has_left(w->c, w->probed))
		return error;
	snpu_queue_destroy(w->probe_q);
	w->probe_q = NULL;
	return 0;
}

/* Is the next rank there? 0, or what is wrong. One probe at a time, which is not waited for */
static int probe(struct coll_watch *w)
{
	struct snpu_coll *c = w->c;
	union snpu_pkt *p;
	int ret;

	if (w->probe_pos) {
		ret = snpu_queue_poll(w->probe_q, w->probe_pos);
		if (!ret)
			return 0;
		w->probe_pos = 0;
		return ret < 0 ? silent(w, stopped(w->probe_q)) : 0;
	}
	w->probed = coll_next_rank(c);
	if (w->probed == c->rank)
		return 0;
	/* the segment is gone already */
	if (coll_connect(c, w->probed))
		return silent(w, -ECONNRESET);
	if (!w->probe_q)
		w->probe_q = coll_small_queue(c);
	p = w->probe_q ? snpu_queue_get(w->probe_q) : NULL;
	if (!p)
		return 0;
	snpu_prep_copy(p, c->va + COLL_BEAT_OFF,
		       c->peer[w->probed].va + offsetof(struct coll_head, beat), 8);
	p->hdr.flags |= c->untimed;
	if (snpu_queue_submit(w->probe_q, &w->probe_pos))
		w->probe_pos = 0;
	return 0;
}

/* Under the lock: has anything happened to the communicator? */
static int look(struct coll_watch *w, bool ask)
{
	struct snpu_coll *c = w->c;
	uint64_t word = __atomic_load_n(&c->head->abort, __ATOMIC_ACQUIRE), done, now;
	unsigned int i;
	int ret;

	if (word)
		return word < 4096 ? -(int)word : -EPROTO;
	if (coll_left_early(c, __atomic_load_n(&c->head->colls, __ATOMIC_RELAXED)))
		return -ECONNRESET;
	if (!outstanding(c)) {
		w->num_q = 0;
		w->moved = 0;
		return 0;
	}
	for (i = 0; i < w->num_q; i++) {
		if (snpu_queue_poll(w->q[i], UINT64_MAX) < 0)
			return stopped(w->q[i]);
	}
	if (!ask)
		return 0;
	now = coll_now();
	done = __atomic_load_n(&c->head->done, __ATOMIC_RELAXED);
	if (!w->moved || done != w->seen) {
		w->seen = done;
		w->moved = now;
	}
	if (now - w->moved < PROBE_NS && !w->probe_pos)
		return 0;
	ret = probe(w);
	/* the next probe is due when this one has been answered, and some time after that */
	if (!ret && !w->probe_pos)
		w->moved = now;
	return ret;
}

/* One pass; returns ns until the next, 0: nothing is outstanding */
static uint64_t pass(void)
{
	struct coll_watch *w;
	uint64_t wait = 0;
	int ret;

	for (w = all; w; w = w->next) {
		struct snpu_coll *c = w->c;

		if (!error_of(c)) {
			ret = look(w, true);
			if (ret)
				mark(c, ret);
		}
		if (!outstanding(c) && !error_of(c))
			continue;
		if (error_of(c) && w->rounds < FAST_ROUNDS && outstanding(c)) {
			w->rounds++;
			release(w);
			wait = FAST_NS;
		}
		if (!error_of(c))
			wait = wait ? wait : TICK_NS;
		if (error_of(c) && !w->told) {
			w->told = true;
			tell_from(c);
		}
	}
	return wait;
}

static void *watch(void *arg)
{
	struct timespec ts;
	uint64_t wait;

	(void)arg;
	pthread_mutex_lock(&lock);
	while (all) {
		wait = pass();
		if (!all)
			break;
		idle = !wait;
		if (wait) {
			wait += coll_now();
			ts.tv_sec = (time_t)(wait / 1000000000);
			ts.tv_nsec = (long)(wait % 1000000000);
			pthread_cond_timedwait(&work, &lock, &ts);
		} else {
			pthread_cond_wait(&work, &lock);
		}
		idle = false;
	}
	running = false;
	pthread_mutex_unlock(&lock);
	return NULL;
}

int coll_watch_add(struct snpu_coll *c)
{
	struct coll_watch *w = calloc(1, sizeof(*w));
	int ret = 0;

	if (!w)
		return coll_fail(-ENOMEM, "communicator");
	/* who lets packets go must not need memory for it */
	ret = snpu_event_create(c->ctx, &w->wake);
	if (ret) {
		free(w);
		return coll_fail_snpu(ret, "communicator: its event");
	}
	pthread_once(&once, init);
	w->c = c;
	c->watch = w;
	pthread_mutex_lock(&lock);
	w->next = all;
	all = w;
	if (!running) {
		ret = -pthread_create(&thread, NULL, watch, NULL);
		running = !ret;
		if (!ret)
			pthread_detach(thread);
	}
	pthread_mutex_unlock(&lock);
	return ret ? coll_fail(ret, "communicator: its thread") : 0;
}

void coll_watch_del(struct snpu_coll *c)
{
	struct coll_watch *w = c->watch, **p, *other;

	if (!w)
		return;
	pthread_mutex_lock(&lock);
	for (other = all; other; other = other->next) {
		if (other != w && !memcmp(&other->c->uid, &c->uid, sizeof(c->uid)))
			coll_forget(other->c, c->rank);
	}
	for (p = &all; *p != w; p = &(*p)->next)
		;
	*p = w->next;
	if (!all)
		pthread_cond_signal(&work);
	pthread_mutex_unlock(&lock);
	snpu_queue_destroy(w->probe_q);
	snpu_event_destroy(w->wake);
	free(w);
	c->watch = NULL;
}

void coll_watch_drop(struct snpu_coll *c)
{
	if (!c->watch)
		return;
	snpu_queue_destroy(c->watch->probe_q);
	snpu_event_destroy(c->watch->wake);
	free(c->watch);
}

void coll_watch_kick(struct snpu_coll *c, struct snpu_queue *q)
{
	struct coll_watch *w = c->watch;
	unsigned int i;

	pthread_mutex_lock(&lock);
	for (i = 0; i < w->num_q && w->q[i] != q; i++)
		;
	if (i == w->num_q && i == QUEUES) {
		memmove(w->q, w->q + 1, (QUEUES - 1) * sizeof(*w->q));
		i--;
	}
	w->q[i] = q;
	w->num_q = i == w->num_q ? i + 1 : w->num_q;
	/* it broke while the packets were recorded */
	if (error_of(c))
		release(w);
	if (idle)
		pthread_cond_signal(&work);
	idle = false;
	pthread_mutex_unlock(&lock);
}

void coll_break(struct snpu_coll *c, int error)
{
	pthread_mutex_lock(&lock);
	mark(c, error);
	pthread_cond_signal(&work);
	pthread_mutex_unlock(&lock);
}

void coll_break_now(struct snpu_coll *c, int error)
{
	pthread_mutex_lock(&lock);
	mark(c, error);
	if (c->watch && !c->watch->told) {
		c->watch->told = true;
		tell_from(c);
	}
	pthread_cond_signal(&work);
	pthread_mutex_unlock(&lock);
}

void coll_break_and_stop(struct snpu_coll *c, int error)
{
	struct snpu_queue *q[QUEUES];
	struct timespec nap = { 0, 50000 };
	uint64_t end = coll_deadline(TELL_NS);
	unsigned int i, n;

	/* the owner is in this process and keeps its queues until the communicator is broken */
	pthread_mutex_lock(&lock);
	n = error_of(c) ? 0 : c->watch->num_q;
	memcpy(q, c->watch->q, sizeof(q));
	pthread_mutex_unlock(&lock);
	coll_break_now(c, error);
	for (i = 0; i < n; i++)
		while (!snpu_queue_poll(q[i], UINT64_MAX) && coll_left(end))
			nanosleep(&nap, NULL);
}

bool coll_watch_left(struct snpu_coll *c, unsigned int to, unsigned int rank, uint64_t value)
{
	struct coll_watch *w;
	bool found = false;

	pthread_mutex_lock(&lock);
	for (w = all; w; w = w->next) {
		if (w->c == c || w->gone || (to != COLL_ALL && w->c->rank != to) ||
		    memcmp(&w->c->uid, &c->uid, sizeof(c->uid)))
			continue;
		__atomic_store_n(&coll_pairs(w->c)[rank].left, value, __ATOMIC_SEQ_CST);
		found = true;
		/* it may sleep, with an operation that the one who leaves has no part in */
		if (value - 1 < __atomic_load_n(&w->c->head->colls, __ATOMIC_SEQ_CST))
			mark(w->c, -ECONNRESET);
	}
	pthread_cond_signal(&work);
	pthread_mutex_unlock(&lock);
	return found;
}

void coll_watch_gone(struct snpu_coll *c)
{
	pthread_mutex_lock(&lock);
	c->watch->gone = true;
	pthread_mutex_unlock(&lock);
}

/**
 * snpu_coll_async_error() - is the communicator broken?
 * @c: communicator
 *
 * Return: 0; -ECONNRESET, -EIO, -ETIMEDOUT, -ECANCELED; -EINVAL. Any thread.
 */
COLL_EXPORT int snpu_coll_async_error(struct snpu_coll *c)
{
	int ret;

	if (!c)
		return coll_fail(-EINVAL, "snpu_coll_async_error: communicator is NULL");
	ret = coll_own(c, "snpu_coll_async_error");
	if (ret)
		return ret;
	ret = error_of(c);
	if (ret || !c->watch)
		return ret;
	pthread_mutex_lock(&lock);
	ret = look(c->watch, false);
	if (ret) {
		mark(c, ret);
		pthread_cond_signal(&work);
	}
	pthread_mutex_unlock(&lock);
	return error_of(c);
}

/**
 * snpu_coll_abort() - break a communicator
 * @c: communicator
 *
 * All its ranks are told. Return: 0; -EINVAL. Any thread.
 */
COLL_EXPORT int snpu_coll_abort(struct snpu_coll *c)
{
	int ret;

	if (!c)
		return coll_fail(-EINVAL, "snpu_coll_abort: communicator is NULL");
	ret = coll_own(c, "snpu_coll_abort");
	if (!ret)
		coll_break(c, -ECANCELED);
	return ret;
}
