// SPDX-License-Identifier: MIT
/*
 * The discrete-event simulation of one run. See timing.c for the rules.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "snpu_hw.h"
#include "timing/timing_priv.h"

#define NEVER	SNPU_TIMING_NEVER
#define END_PS	(SNPU_VTIME_END * 1000)
#define NONE	0xffffffffu

/*
 * Begins and ends of flows are rounded up to 2 ps for each that runs: to 8 ns from 4096
 * flows on, a hundredth of the shortest latency. See Documentation/timing.rst.
 */
#define GRAIN_PS	2u
#define MOST_GRAIN_PS	8192u

/* Classes of events of one instant, in this order */
enum { EV_ARRIVE, EV_FLOW, EV_STEP };

struct event {
	uint64_t at;
	uint64_t order;		/* class, then rank of the queue */
	uint64_t rec;
	uint32_t q;
	uint32_t act;		/* of EV_FLOW: what it is */
};

enum state {
	ST_IDLE,		/* a step is due, or nothing is left */
	ST_BUSY,		/* a packet runs that nothing may pass */
	ST_DRAIN,		/* the next one begins when all before have ended */
	ST_FULL,		/* the next one begins when one has ended */
	ST_WAIT,		/* at a semaphore */
};

/* What may follow without waiting for the end of what was before */
enum { DIR_NONE, DIR_WRITE, DIR_READ, DIR_ANY };

struct rq {
	size_t next;		/* to be issued */
	size_t tail;		/* oldest that has not retired */
	size_t stop;
	uint64_t ready;		/* the next is not issued before */
	uint64_t clock;
	uint64_t step_at;	/* of the step that is due, NEVER: none */
	uint64_t busy, busy_since;
	uint64_t waits_since;
	uint32_t active;	/* issued, not ended */
	size_t runs;		/* ST_BUSY: the record that runs */
	uint32_t sem_next;	/* list of those who wait at the same semaphore */
	uint8_t state, dir;
	bool lost;		/* one of its packets never ends, see find_lost() */
};

struct snpu_replay {
	struct snpu_timing *t;
	struct snpu_mm *mm;
	struct snpu_sems *sems;
	uint32_t *sem_first;	/* [semaphore]: queues that wait, NONE */
	uint8_t *sem_lost;	/* [semaphore]: a lost queue has signals left for it */
	bool lost_stale;	/* a queue that was found lost has gone on */
	struct rq *q;
	uint8_t *ended;		/* [record] */
	struct event *heap;
	size_t num, room;
	struct snpu_activity *acts;	/* of packets that are issued, their flows not begun */
	uint32_t *idle_acts;
	uint32_t num_idle, room_acts;
	uint64_t now;
	uint32_t depth;
	uint32_t left;		/* queues that have something to issue or to end */
	snpu_replay_fn settled;
	void *settled_ctx;
	int rc;
};

/* ---- events ---- */

/* A time as it counts: what is beyond the end of virtual time never comes */
static uint64_t in_time(uint64_t at)
{
	return at < END_PS ? at : NEVER;
}

/* Without a branch: which of two comes first is anybody's guess */
static bool before(const struct event *a, const struct event *b)
{
	return (a->at < b->at) |
	       ((a->at == b->at) & ((a->order < b->order) |
				    ((a->order == b->order) & (a->rec < b->rec))));
}

static void push_act(struct snpu_replay *r, uint64_t at, uint32_t class, uint32_t q, uint64_t rec,
		     uint32_t act)
{
	struct event e = { at, (uint64_t)class << 32 | r->t->queues[q].rank, rec, q, act };
	size_t i = r->num;

	if (at == NEVER)
		return;
	if (r->num == r->room) {
		size_t room = r->room ? 2 * r->room : 1024;
		void *p = realloc(r->heap, room * sizeof(*r->heap));

		if (!p) {
			r->rc = -ENOMEM;
			return;
		}
		r->heap = p;
		r->room = room;
	}
	r->num++;
	while (i && before(&e, &r->heap[(i - 1) / 2])) {
		r->heap[i] = r->heap[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	r->heap[i] = e;
}

static void push(struct snpu_replay *r, uint64_t at, uint32_t class, uint32_t q, uint64_t rec)
{
	push_act(r, at, class, q, rec, NONE);
}

static struct event pop(struct snpu_replay *r)
{
	struct event top = r->heap[0], e = r->heap[--r->num];
	size_t i = 0, c;

	while ((c = 2 * i + 1) < r->num) {
		if (c + 1 < r->num)
			c += before(&r->heap[c + 1], &r->heap[c]);
		if (!before(&r->heap[c], &e))
			break;
		r->heap[i] = r->heap[c];
		i = c;
	}
	if (r->num)
		r->heap[i] = e;
	return top;
}

static void step_at(struct snpu_replay *r, uint32_t q, uint64_t at)
{
	struct rq *rq = &r->q[q];

	at = in_time(at);
	if (rq->step_at <= at)
		return;
	rq->step_at = at;
	push(r, at, EV_STEP, q, 0);
}

/* ---- packets ---- */

/* A place for an activity, NONE without memory */
static uint32_t new_act(struct snpu_replay *r)
{
	uint32_t room = r->room_acts ? 2 * r->room_acts : 64, i;
	void *p;

	if (!r->num_idle) {
		p = realloc(r->acts, room * sizeof(*r->acts));
		if (p)
			r->acts = p;
		if (p)
			p = realloc(r->idle_acts, room * sizeof(*r->idle_acts));
		if (!p) {
			r->rc = -ENOMEM;
			return NONE;
		}
		r->idle_acts = p;
		for (i = room; i-- > r->room_acts;)
			r->idle_acts[r->num_idle++] = i;
		r->room_acts = room;
	}
	return r->idle_acts[--r->num_idle];
}

static void put_act(struct snpu_replay *r, uint32_t act)
{
	r->idle_acts[r->num_idle++] = act;
}

static uint32_t direction(const struct snpu_plog_rec *p)
{
	bool reads = p->read_node != SNPU_PLOG_NO_NODE && p->read_node != p->node;
	bool writes = p->write_node != SNPU_PLOG_NO_NODE && p->write_node != p->node;

	if (p->op == SNPU_OP_SEM_SIGNAL)
		return DIR_ANY;
	if (reads == writes)
		return DIR_NONE;
	return reads ? DIR_READ : DIR_WRITE;
}

static void retire(struct snpu_replay *r, uint32_t q);

/* The packet that queue @q stands at, a wait or one that takes no time, is over */
static void pass(struct snpu_replay *r, uint32_t q)
{
	struct rq *rq = &r->q[q];

	rq->state = ST_IDLE;
	r->lost_stale |= rq->lost;
	r->t->end[rq->next] = r->now;
	r->t->busy[rq->next] = rq->busy + (rq->active ? r->now - rq->busy_since : 0);
	r->ended[rq->next++] = 1;
	retire(r, q);
}

/*
 * Kernels and local copies do not wait for writes to other NPUs that are on their way: those have
 * their effect elsewhere, and the engine has fetched what it sends, or holds up who would change it.
 * REDUCE_PULL neither: its reads push the writes of the same links before them.
 */
static bool passes_writes(const struct snpu_plog_rec *p)
{
	return p->op == SNPU_OP_COPY || p->op == SNPU_OP_COPY2D || p->op == SNPU_OP_FILL ||
	       p->op == SNPU_OP_REDUCE_PULL ||
	       (p->op >= SNPU_OP_MATMUL && p->op <= SNPU_OP_ATTENTION);
}

static void wake_waiters(struct snpu_replay *r, uint32_t sem)
{
	uint32_t *at = &r->sem_first[sem], q;

	while ((q = *at) != NONE) {
		if (!snpu_sems_met(r->sems, &r->t->recs[r->q[q].next], sem)) {
			at = &r->q[q].sem_next;
			continue;
		}
		*at = r->q[q].sem_next;
		pass(r, q);
		step_at(r, q, r->now);
	}
}

/*
 * Packets retire in order, and then their signals take effect. It calls itself for queues that a
 * signal lets go, once: all that such a queue has issued was before its wait.
 */
static void retire(struct snpu_replay *r, uint32_t q)
{
	struct rq *rq = &r->q[q];

	while (rq->tail < rq->next && r->ended[rq->tail]) {
		const struct snpu_plog_rec *p = &r->t->recs[rq->tail];
		uint32_t sem = snpu_sems_of(r->sems, rq->tail);

		rq->tail++;
		if (p->sem_kind != SNPU_PLOG_SEM_SET && p->sem_kind != SNPU_PLOG_SEM_ADD)
			continue;
		snpu_sems_signal(r->sems, p, sem);
		wake_waiters(r, sem);
	}
	if (rq->tail == rq->stop)
		r->left--;
}

static void arrive(struct snpu_replay *r, uint32_t q, size_t rec)
{
	struct rq *rq = &r->q[q];

	r->t->end[rec] = r->now;
	r->ended[rec] = 1;
	if (!--rq->active)
		rq->busy += r->now - rq->busy_since;
	r->t->busy[rec] = rq->busy + (rq->active ? r->now - rq->busy_since : 0);
	retire(r, q);
	if ((rq->state == ST_BUSY && rq->runs == rec) || rq->state == ST_FULL ||
	    (rq->state == ST_DRAIN && !rq->active)) {
		rq->state = ST_IDLE;
		step_at(r, q, r->now > rq->ready ? r->now : rq->ready);
	}
}

static void start_flow(struct snpu_replay *r, uint32_t q, size_t rec, uint32_t act)
{
	const struct snpu_activity *a = &r->acts[act];
	const struct snpu_mm_use *uses;
	uint32_t n = snpu_cost_uses(r->t->cost, &r->t->recs[rec], a, &uses);
	int64_t f;

	f = snpu_mm_start(r->mm, r->now, a->work, a->limit, uses, n,
			  (uint64_t)q << 40 | (rec - r->t->queues[q].first));
	if (f < 0)
		r->rc = (int)f;
	/* until it arrives: what it takes from the last byte to that */
	r->t->end[rec] = a->after;
	r->t->stats.flows += a->bytes != 0;
	put_act(r, act);
}

/* Begins the next packet, which is activity @act. false: it has to wait for those before it */
static bool begin(struct snpu_replay *r, uint32_t q, uint32_t act)
{
	const struct snpu_activity *a = &r->acts[act];
	struct rq *rq = &r->q[q];
	size_t rec = rq->next;
	const struct snpu_plog_rec *p = &r->t->recs[rec];
	uint32_t dir = a->async ? direction(p) : DIR_NONE;
	uint64_t at;

	if (rq->active && dir != DIR_ANY && (dir == DIR_NONE || dir != rq->dir) &&
	    !(dir == DIR_NONE && passes_writes(p) && rq->dir != DIR_READ)) {
		rq->state = ST_DRAIN;
		put_act(r, act);
		return false;
	}
	r->t->begin[rec] = r->now;
	rq->next++;
	if (!rq->active++)
		rq->busy_since = r->now;
	/* what runs beside writes leaves them what they are: it has ended before anything follows */
	if (dir != DIR_ANY && !(dir == DIR_NONE && rq->active > 1))
		rq->dir = (uint8_t)dir;
	else if (rq->active == 1)
		rq->dir = DIR_ANY;
	if (dir == DIR_NONE) {
		rq->state = ST_BUSY;
		rq->runs = rec;
	} else {
		rq->ready = r->now + a->issue;
	}
	at = r->now + (dir == DIR_NONE ? a->issue : 0) + a->before;
	if (a->work > 0 && in_time(at) != NEVER) {
		push_act(r, snpu_mm_round(r->mm, at), EV_FLOW, q, rec, act);
	} else {
		at += (dir == DIR_NONE ? 0 : a->issue) + a->after;
		push(r, in_time(at), EV_ARRIVE, q, rec);
		put_act(r, act);
	}
	return dir != DIR_NONE;
}

/* The same. false: nothing more can be issued now */
static bool issue(struct snpu_replay *r, uint32_t q)
{
	struct rq *rq = &r->q[q];
	uint32_t act;

	/* first, as it is what most packets meet: they are looked at again when one has ended */
	if (rq->active >= r->depth) {
		rq->state = ST_FULL;
		return false;
	}
	act = new_act(r);
	if (act == NONE)
		return false;
	/* checked when it was added */
	(void)snpu_cost_packet(r->t->cost, &r->t->recs[rq->next], &r->acts[act]);
	return begin(r, q, act);
}

/* At a semaphore. false: it waits */
static bool wait(struct snpu_replay *r, uint32_t q)
{
	struct rq *rq = &r->q[q];
	const struct snpu_plog_rec *p = &r->t->recs[rq->next];
	uint32_t sem = snpu_sems_of(r->sems, rq->next), *at;

	r->t->begin[rq->next] = r->now;
	if (sem == SNPU_SEMS_NONE || !snpu_sems_within(r->sems, p, sem)) {
		r->t->stats.freed++;
	} else if (!snpu_sems_met(r->sems, p, sem)) {
		rq->state = ST_WAIT;
		rq->waits_since = r->now;
		/* in canonical order: those who are let go at one time go in that order */
		at = &r->sem_first[sem];
		while (*at != NONE && r->t->queues[*at].rank < r->t->queues[q].rank)
			at = &r->q[*at].sem_next;
		rq->sem_next = *at;
		*at = q;
		return false;
	}
	pass(r, q);
	return true;
}

static void step(struct snpu_replay *r, uint32_t q)
{
	struct rq *rq = &r->q[q];

	while (rq->next < rq->stop) {
		const struct snpu_plog_rec *p = &r->t->recs[rq->next];
		uint64_t at = rq->ready > rq->clock ? rq->ready : rq->clock;

		if (at > r->now) {
			step_at(r, q, at);
			return;
		}
		if (p->op == SNPU_OP_SEM_WAIT) {
			if (!wait(r, q))
				return;
		} else if (p->op == SNPU_OP_CLOCK || p->op == SNPU_OP_INDIRECT) {
			if (p->op == SNPU_OP_CLOCK && p->clock * 1000 > rq->clock)
				rq->clock = p->clock * 1000;
			r->t->begin[rq->next] = r->now;
			pass(r, q);
		} else if (!issue(r, q)) {
			return;
		}
	}
}

/* ---- the run ---- */

static void flow_ended(struct snpu_replay *r, uint64_t cookie)
{
	uint32_t q = (uint32_t)(cookie >> 40);
	size_t rec = r->t->queues[q].first + (cookie & ((1ull << 40) - 1));

	push(r, in_time(r->now + r->t->end[rec]), EV_ARRIVE, q, rec);
}

/* The signals that queue @q has left never take effect */
static void lose(struct snpu_replay *r, uint32_t q)
{
	uint32_t sem;
	size_t i;

	r->q[q].lost = true;
	for (i = r->q[q].tail; i < r->q[q].stop; i++) {
		const struct snpu_plog_rec *p = &r->t->recs[i];

		sem = snpu_sems_of(r->sems, i);
		if (p->sem_kind == SNPU_PLOG_SEM_SET || p->sem_kind == SNPU_PLOG_SEM_ADD)
			r->sem_lost[sem] = 1;
	}
}

/*
 * Nothing moves. A queue that does not wait, or has packets on their way, has one that never ends:
 * a link stays down, or the end would be beyond END_PS. What waits for a signal behind such a packet
 * never ends either: it was that signal, and no CPU, which the wait was for.
 */
static void find_lost(struct snpu_replay *r)
{
	bool more = true;
	uint32_t q;

	if (r->lost_stale) {
		memset(r->sem_lost, 0, snpu_sems_count(r->sems));
		for (q = 0; q < r->t->num_queues; q++)
			r->q[q].lost = false;
		r->lost_stale = false;
	}
	while (more) {
		more = false;
		for (q = 0; q < r->t->num_queues; q++) {
			const struct rq *rq = &r->q[q];

			if (rq->lost || rq->tail == rq->stop ||
			    (rq->state == ST_WAIT && !rq->active &&
			     !r->sem_lost[snpu_sems_of(r->sems, rq->next)]))
				continue;
			lose(r, q);
			more = true;
		}
	}
}

/*
 * Nothing moves, but queues wait: a CPU let them go, and the log does not say when. It did so after
 * what it had seen, so the one that has waited longest goes on now.
 */
static bool free_one(struct snpu_replay *r)
{
	uint32_t q, best = NONE, sem, *at;

	find_lost(r);
	for (q = 0; q < r->t->num_queues; q++) {
		if (r->q[q].state != ST_WAIT || r->q[q].lost)
			continue;
		if (best == NONE || r->q[q].waits_since < r->q[best].waits_since ||
		    (r->q[q].waits_since == r->q[best].waits_since &&
		     r->t->queues[q].rank < r->t->queues[best].rank))
			best = q;
	}
	if (best == NONE)
		return false;
	sem = snpu_sems_of(r->sems, r->q[best].next);
	for (at = &r->sem_first[sem]; *at != best; at = &r->q[*at].sem_next)
		;
	*at = r->q[best].sem_next;
	r->t->stats.freed++;
	pass(r, best);
	step_at(r, best, r->now);
	return true;
}

static void change_links(struct snpu_replay *r, size_t *next)
{
	const struct snpu_timing *t = r->t;

	for (; *next < t->num_changes && t->changes[*next].at <= r->now; (*next)++) {
		const struct snpu_timing_change *c = &t->changes[*next];
		uint32_t res = snpu_cost_set_link(t->cost, c->link, c->rate);

		snpu_mm_capacity(r->mm, r->now, res, snpu_cost_capacity(t->cost, res));
	}
}

/* Everything that happens now. Rates are settled when nothing more does */
static void instant(struct snpu_replay *r)
{
	uint64_t cookie;
	bool more = true;

	while (more && !r->rc) {
		more = false;
		while (snpu_mm_end(r->mm, r->now, &cookie)) {
			flow_ended(r, cookie);
			more = true;
		}
		while (r->num && r->heap[0].at <= r->now && !r->rc) {
			struct event e = pop(r);

			r->t->stats.events++;
			more = true;
			if (e.order >> 32 == EV_ARRIVE) {
				arrive(r, e.q, e.rec);
			} else if (e.order >> 32 == EV_FLOW) {
				start_flow(r, e.q, e.rec, e.act);
			} else if (r->q[e.q].step_at == e.at) {
				r->q[e.q].step_at = NEVER;
				if (r->q[e.q].state == ST_IDLE)
					step(r, e.q);
			}
		}
	}
}

int snpu_replay_run(struct snpu_replay *r)
{
	size_t change = 0;
	uint64_t next, at;
	uint32_t i;

	snpu_cost_reset_links(r->t->cost);
	for (i = 0; i < snpu_cost_resources(r->t->cost); i++)
		snpu_mm_capacity(r->mm, 0, i, snpu_cost_capacity(r->t->cost, i));
	for (i = 0; i < r->t->num_queues; i++)
		step_at(r, i, 0);
	while (!r->rc) {
		change_links(r, &change);
		instant(r);
		if (!r->rc)
			r->rc = snpu_mm_solve(r->mm, r->now);
		if (r->rc)
			break;
		if (r->settled)
			r->settled(r->settled_ctx, r->now, r->mm);
		next = snpu_mm_next(r->mm);
		at = r->num ? r->heap[0].at : NEVER;
		if (at < next)
			next = at;
		at = change < r->t->num_changes ? r->t->changes[change].at : NEVER;
		if (r->left && at < next)
			next = at;
		if (next == NEVER && free_one(r))
			next = r->now;
		if (next == NEVER)
			break;
		r->now = next;
	}
	if (r->rc)
		return r->rc;
	/* packets that never end, and what is behind them or waits for them */
	r->t->stats.stuck = r->left;
	for (i = 0; i < r->t->num_queues; i++) {
		size_t k;

		for (k = r->t->queues[i].first; k < r->q[i].stop; k++) {
			if (!r->ended[k]) {
				r->t->end[k] = NEVER;
				if (k >= r->q[i].next)
					r->t->begin[k] = NEVER;
			} else if (r->t->end[k] > r->t->stats.now) {
				r->t->stats.now = r->t->end[k];
			}
		}
	}
	return 0;
}

struct snpu_replay *snpu_replay_new(struct snpu_timing *t)
{
	struct snpu_replay *r = calloc(1, sizeof(*r));
	uint32_t i;

	if (!r)
		return NULL;
	r->t = t;
	r->depth = snpu_cost_depth(t->cost);
	r->mm = snpu_mm_new(snpu_cost_resources(t->cost));
	r->sems = snpu_sems_new(t->recs, t->num);
	r->q = calloc(t->num_queues + 1, sizeof(*r->q));
	r->ended = calloc(t->num + 1, 1);
	if (r->sems) {
		r->sem_first = malloc(((size_t)snpu_sems_count(r->sems) + 1) * sizeof(uint32_t));
		r->sem_lost = calloc((size_t)snpu_sems_count(r->sems) + 1, 1);
	}
	if (r->mm)
		snpu_mm_set_grain(r->mm, GRAIN_PS, MOST_GRAIN_PS);
	if (!r->mm || snpu_cost_covers(t->cost, r->mm) || !r->sems || !r->q || !r->ended ||
	    !r->sem_first || !r->sem_lost) {
		snpu_replay_free(r);
		return NULL;
	}
	memset(r->sem_first, 0xff, ((size_t)snpu_sems_count(r->sems) + 1) * sizeof(uint32_t));
	for (i = 0; i < t->num_queues; i++) {
		r->q[i].next = t->queues[i].first;
		r->q[i].tail = t->queues[i].first;
		r->q[i].stop = t->queues[i].first + t->queues[i].n;
		r->q[i].step_at = NEVER;
		r->q[i].sem_next = NONE;
	}
	r->left = t->num_queues;
	return r;
}

int snpu_replay_watch(struct snpu_replay *r, snpu_replay_fn settled, void *ctx)
{
	r->settled = settled;
	r->settled_ctx = ctx;
	return snpu_mm_note(r->mm);
}

void snpu_replay_free(struct snpu_replay *r)
{
	if (!r)
		return;
	snpu_mm_free(r->mm);
	snpu_sems_free(r->sems);
	free(r->sem_first);
	free(r->sem_lost);
	free(r->q);
	free(r->ended);
	free(r->heap);
	free(r->acts);
	free(r->idle_acts);
	free(r);
}

void snpu_replay_link_use(const struct snpu_replay *r, uint32_t link, uint64_t *busy_ps,
			  uint64_t *bytes)
{
	double share, amount;
	uint32_t res = snpu_cost_link_resource(r->t->cost, link, &share);

	snpu_mm_use_of(r->mm, r->now, res, busy_ps, &amount);
	*bytes = (uint64_t)(amount * share);
}
