// SPDX-License-Identifier: MIT
/*
 * Virtual time in a running snpud.
 *
 * Records come in while packets run (@open); at a rest they are closed, and become what the next
 * replay adds (@segs). One thread replays and answers. Everything that waits for an answer notes
 * how many rests there have been, and is served after a replay that follows a later one.
 */
#include "plane_priv.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "snpu_hw.h"

/* ---- records ---- */

static void seg_init(struct seg *s)
{
	s->first = NULL;
	s->last = &s->first;
	s->tail = NULL;
	s->changes = NULL;
	s->next = NULL;
}

static void chunk_append(struct seg *s, struct chunk *c)
{
	c->next = NULL;
	*s->last = c;
	s->last = &c->next;
	s->tail = c;
}

static void seg_clear(struct seg *s)
{
	struct change *ch;
	struct chunk *c;

	while ((c = s->first)) {
		s->first = c->next;
		free(c);
	}
	while ((ch = s->changes)) {
		s->changes = ch->next;
		free(ch);
	}
	seg_init(s);
}

static void segs_free(struct seg *s)
{
	while (s) {
		struct seg *next = s->next;

		seg_clear(s);
		free(s);
		s = next;
	}
}

/* The last segment, or a new one; NULL: out of memory */
static struct seg *seg_last(struct snpu_plane *p, bool fresh)
{
	struct seg *s = p->seg_end;

	if (s && !(fresh && s->changes))
		return s;
	s = malloc(sizeof(*s));
	if (!s)
		return NULL;
	seg_init(s);
	s->serial = ++p->serial;
	if (p->seg_end)
		p->seg_end->next = s;
	else
		p->segs = s;
	p->seg_end = s;
	return s;
}

/* Forgets all records; caller holds the lock and tells with what is returned, if anything */
static const char *overflow(struct snpu_plane *p, char *msg, size_t len, bool memory)
{
	if (p->overflow)
		return NULL;
	p->overflow = true;
	if (memory)
		snprintf(msg, len, "virtual time is lost: no memory for more packets");
	else
		snprintf(msg, len, "virtual time is lost: more than %llu packets; start it anew "
			 "with timing.reset", (unsigned long long)p->opts.max_records);
	seg_clear(&p->open);
	segs_free(p->segs);
	p->segs = NULL;
	p->seg_end = NULL;
	p->records = 0;
	/* it drops what it has */
	pthread_cond_signal(&p->work);
	return msg;
}

void snpu_plane_sink(void *ctx, const struct snpu_plog_rec *recs, size_t n)
{
	struct snpu_plane *p = ctx;
	const char *tell = NULL;
	char msg[160];

	pthread_mutex_lock(&p->lock);
	if (p->overflow || p->stop)
		n = 0;
	if (n > p->opts.max_records - p->records) {
		tell = overflow(p, msg, sizeof(msg), false);
		n = 0;
	}
	p->records += n;
	while (n) {
		struct chunk *c = p->open.tail;
		size_t k;

		if (!c || c->n == CHUNK_RECS) {
			c = malloc(sizeof(*c));
			if (!c) {
				tell = overflow(p, msg, sizeof(msg), true);
				break;
			}
			c->n = 0;
			chunk_append(&p->open, c);
		}
		k = n < CHUNK_RECS - c->n ? n : CHUNK_RECS - c->n;
		memcpy(&c->rec[c->n], recs, k * sizeof(*recs));
		c->n += k;
		recs += k;
		n -= k;
	}
	pthread_mutex_unlock(&p->lock);
	if (tell && p->opts.report)
		p->opts.report(tell);
}

/* Joins what @s had with what came since */
static void seg_join(struct seg *s, struct seg *open)
{
	struct chunk *c = open->first;

	/* rests after few packets each do not leave a chunk each behind */
	if (c && s->tail && c->n <= CHUNK_RECS - s->tail->n) {
		memcpy(&s->tail->rec[s->tail->n], c->rec, c->n * sizeof(c->rec[0]));
		s->tail->n += c->n;
		open->first = c->next;
		free(c);
	}
	while ((c = open->first)) {
		open->first = c->next;
		chunk_append(s, c);
	}
	seg_init(open);
}

uint64_t snpu_plane_look(struct snpu_plane *p)
{
	uint64_t look;

	pthread_mutex_lock(&p->lock);
	look = ++p->looks;
	pthread_mutex_unlock(&p->lock);
	return look;
}

void snpu_plane_rest(struct snpu_plane *p, uint64_t look)
{
	const char *tell = NULL;
	struct seg *s;
	char msg[160];

	pthread_mutex_lock(&p->lock);
	p->rests = look;
	if (p->open.first) {
		s = seg_last(p, true);
		if (s)
			seg_join(s, &p->open);
		else
			tell = overflow(p, msg, sizeof(msg), true);
	}
	if (p->wants) {
		__atomic_store_n(&p->wants, p->wanted >= look, __ATOMIC_RELAXED);
		pthread_cond_signal(&p->work);
	}
	pthread_mutex_unlock(&p->lock);
	if (tell && p->opts.report)
		p->opts.report(tell);
}

bool snpu_plane_wants_rest(const struct snpu_plane *p)
{
	return __atomic_load_n(&p->wants, __ATOMIC_RELAXED);
}

uint64_t snpu_plane_stamps(const struct snpu_plane *p)
{
	return __atomic_load_n(&p->stamp_gen, __ATOMIC_ACQUIRE);
}

/* Caller holds the lock, and kicks when he has given it back */
void snpu_plane_want_rest(struct snpu_plane *p)
{
	p->wanted = p->looks;
	__atomic_store_n(&p->wants, 1, __ATOMIC_RELAXED);
}

void snpu_plane_kick(struct snpu_plane *p)
{
	if (p->ops)
		p->ops->kick(p->ctx);
}

void snpu_plane_link(struct snpu_plane *p, uint32_t link, double rate)
{
	struct change *c;
	struct seg *s;

	if (link >= p->opts.topo->num_links)
		return;
	pthread_mutex_lock(&p->lock);
	s = seg_last(p, false);
	c = s && p->last_seg[link] == s->serial ? p->last[link] : NULL;
	if (!c && s) {
		c = malloc(sizeof(*c));
		if (c) {
			c->link = link;
			c->next = s->changes;
			s->changes = c;
			p->last[link] = c;
			p->last_seg[link] = s->serial;
		}
	}
	if (c)
		c->rate = rate;
	p->rate[link] = rate;
	pthread_mutex_unlock(&p->lock);
	if (!c && p->opts.report)
		p->opts.report("virtual time: no memory to note that a link changed");
}

/* ---- replay: the thread ---- */

static struct snpu_timing *timing_make(struct snpu_plane *p, char *err, size_t err_len)
{
	struct snpu_timing_opts o = {
		.ideal = p->opts.ideal, .max_records = p->opts.max_records,
	};
	struct snpu_timing *t = snpu_timing_new(p->opts.topo, &o, err, err_len);
	uint32_t i;

	pthread_mutex_lock(&p->lock);
	for (i = 0; t && i < p->opts.topo->num_links; i++)
		if (!isnan(p->rate[i]))
			(void)snpu_timing_link(t, 0, i, p->rate[i]);
	pthread_mutex_unlock(&p->lock);
	return t;
}

/* Adds records and runs, without the lock. 0 or a negative errno */
static int replay(struct snpu_plane *p, struct seg *segs)
{
	struct snpu_timing_stats stats;
	struct change *ch;
	struct chunk *c;
	bool dirty = false;
	struct seg *s;
	int ret = 0;

	for (s = segs; s && !ret; s = s->next) {
		for (c = s->first; c && !ret; c = c->next) {
			ret = snpu_timing_add(p->timing, c->rec, c->n);
			dirty = true;
		}
		if (ret || !s->changes)
			continue;
		/* they happen when everything before them has ended */
		if (dirty)
			ret = snpu_timing_run(p->timing);
		if (ret)
			break;
		snpu_timing_stats(p->timing, &stats);
		for (ch = s->changes; ch && !ret; ch = ch->next)
			ret = snpu_timing_link(p->timing, stats.now, ch->link, ch->rate);
		dirty = true;
	}
	if (!ret && dirty)
		ret = snpu_timing_run(p->timing);
	if (!ret)
		snpu_timing_stats(p->timing, &p->stats);
	return ret;
}

/*
 * A TIMESTAMP that was answered is a packet like others, but takes nothing that other queues need:
 * their times are the same without it. So it does not take a replay for each of many queues that
 * do nothing else before the next one is told.
 */
static bool only_stamps(const struct seg *s)
{
	const struct chunk *c;
	size_t i;

	for (; s; s = s->next) {
		if (s->changes)
			return false;
		for (c = s->first; c; c = c->next)
			for (i = 0; i < c->n; i++)
				if (c->rec[i].op != SNPU_OP_TIMESTAMP)
					return false;
	}
	return true;
}

static bool is_held(const struct snpu_plane *p, const struct key *k)
{
	const struct chunk *c;
	const struct seg *s;
	size_t i;

	for (s = p->held; s; s = s->next)
		for (c = s->first; c; c = c->next)
			for (i = 0; i < c->n; i++)
				if (c->rec[i].node == k->node && c->rec[i].queue == k->queue &&
				    c->rec[i].epoch == k->epoch)
					return true;
	return false;
}

static uint64_t tail_of(const struct snpu_plane *p, const struct stamp *s)
{
	return snpu_timing_ns(snpu_timing_tail(p->timing, s->k.node, s->k.queue, s->k.epoch));
}

/* With the lock: may the earliest be a queue of which a record is held back? */
static bool earliest_held(const struct snpu_plane *p, uint64_t rest)
{
	uint64_t min = UINT64_MAX, t;
	const struct stamp *s;
	bool held = false;

	for (s = p->stamps; s; s = s->next) {
		if (s->done || s->after >= rest)
			continue;
		t = tail_of(p, s);
		held = t < min ? is_held(p, &s->k) : held || (t == min && is_held(p, &s->k));
		min = t < min ? t : min;
	}
	return held;
}

/* With the lock: does a queue stand at a TIMESTAMP that @rest may answer? */
static bool standing(const struct snpu_plane *p, uint64_t rest)
{
	const struct stamp *s;

	for (s = p->stamps; s && (s->done || s->after >= rest); s = s->next)
		;
	return s;
}

/* Answers the earliest of the queues that stand at a TIMESTAMP; false: there is none */
static bool answer_stamps(struct snpu_plane *p, uint64_t rest)
{
	uint64_t min = SNPU_VTIME_NEVER;
	struct stamp *s;
	bool any = false, told = false;
	int ret = p->timing_err ? p->timing_err : p->overflow ? -ENOSPC : 0;

	for (s = p->stamps; s; s = s->next) {
		if (s->done)
			continue;
		any = true;
		if (s->after >= rest)
			continue;
		s->ret = ret;
		s->time = ret ? 0 : tail_of(p, s);
		min = s->time < min ? s->time : min;
	}
	for (s = p->stamps; s; s = s->next) {
		if (s->done)
			continue;
		/* those behind a packet that never ends come last */
		if (s->after < rest && s->time == min)
			s->done = told = true;
		else
			s->after = p->looks;
	}
	if (told)
		__atomic_fetch_add(&p->stamp_gen, 1, __ATOMIC_RELEASE);
	return any;
}

static void answer_ask(struct snpu_plane *p, struct ask *a)
{
	struct snpu_timing_span span;

	a->done = true;
	a->ret = p->timing_err ? p->timing_err : p->overflow ? -ENOSPC :
		 snpu_timing_find(p->timing, a->k.node, a->k.queue, a->k.epoch, a->position - 1,
				  SNPU_PLOG_RING, &span);
	if (!a->ret)
		a->span = (struct snpu_plane_span){
			.end = snpu_timing_ns(span.end), .begin = snpu_timing_ns(span.begin),
			.busy = span.busy / 1000,
		};
}

/* With the lock; without it while the work is done */
static void run_job(struct snpu_plane *p, struct job *j)
{
	char err[160];

	j->running = true;
	j->ret = p->timing_err ? p->timing_err : p->overflow ? -ENOSPC : 0;
	if (j->kind == JOB_RESET) {
		pthread_mutex_unlock(&p->lock);
		snpu_timing_free(p->timing);
		p->timing = timing_make(p, err, sizeof(err));
		p->ran = false;
		memset(&p->stats, 0, sizeof(p->stats));
		pthread_mutex_lock(&p->lock);
		p->timing_err = p->timing ? 0 : -ENOMEM;
		j->ret = p->timing_err;
		/* what ran since the rest stays: it is of the new time */
		p->records = 0;
		for (struct chunk *c = p->open.first; c; c = c->next)
			p->records += c->n;
		for (struct seg *s = p->segs; s; s = s->next)
			for (struct chunk *c = s->first; c; c = c->next)
				p->records += c->n;
		p->overflow = false;
		memset(p->use, 0, 2 * sizeof(*p->use) * p->opts.topo->num_links);
	} else if (!j->ret && j->kind == JOB_SUMMARY) {
		j->sum = (struct snpu_plane_summary){
			.now = p->stats.now / 1000, .records = p->stats.records,
			.flows = p->stats.flows, .hash = p->stats.hash, .freed = p->stats.freed,
			.stuck = p->stats.stuck, .solve_ns = p->stats.host_ns,
		};
	} else if (!j->ret && j->kind == JOB_TRACE) {
		pthread_mutex_unlock(&p->lock);
		j->ret = snpu_timing_trace(p->timing, j->fd, j->counters, j->err, j->err_len);
		pthread_mutex_lock(&p->lock);
	}
	j->done = true;
	pthread_cond_broadcast(&p->done);
}

/* Caller holds the lock */
static bool work_waits(const struct snpu_plane *p)
{
	const struct stamp *s;
	const struct ask *a;
	const struct job *j;

	for (s = p->stamps; s; s = s->next)
		if (!s->done && s->after < p->rests)
			return true;
	for (a = p->asks; a; a = a->next)
		if (!a->done && a->after < p->rests)
			return true;
	for (j = p->jobs; j; j = j->next)
		if (!j->done && !j->running && j->after < p->rests)
			return true;
	return p->overflow && p->timing;
}

/* Who is not served yet needs another rest, after what is answered now has had its effect */
static void postpone(struct snpu_plane *p)
{
	struct ask *a;
	struct job *j;

	for (a = p->asks; a; a = a->next)
		a->after = p->looks;
	for (j = p->jobs; j; j = j->next)
		j->after = p->looks;
}

/* Tells the device of questions that have an answer; the lock is given back for it */
static void tell_answered(struct snpu_plane *p, uint64_t rest)
{
	struct key *keys;
	struct ask *a;
	size_t n = 0, i;

	for (a = p->asks; a; a = a->next)
		n++;
	keys = malloc((n ? n : 1) * sizeof(*keys));
	for (n = 0, a = p->asks; a; a = a->next) {
		if (a->done || a->after >= rest)
			continue;
		answer_ask(p, a);
		/* who is not told asks again by himself */
		if (keys && (!n || memcmp(&keys[n - 1], &a->k, sizeof(a->k))))
			keys[n++] = a->k;
	}
	pthread_mutex_unlock(&p->lock);
	for (i = 0; i < n; i++)
		p->ops->answered(p->ctx, keys[i].node, keys[i].queue);
	free(keys);
	pthread_mutex_lock(&p->lock);
}

/* Without the lock: replays what there is */
static void catch_up(struct snpu_plane *p, int *ret)
{
	char msg[160];

	*ret = replay(p, p->held);
	segs_free(p->held);
	p->held = NULL;
	p->ran = !*ret;
	if (!*ret)
		return;
	snprintf(msg, sizeof(msg), "virtual time is lost: replay: %s", strerror(-*ret));
	if (p->opts.report)
		p->opts.report(msg);
}

/* With the lock: one round of replay and answers. True: queues may go on, or a rest is wanted */
static bool serve(struct snpu_plane *p)
{
	uint64_t rest = p->rests;
	bool lost = p->overflow || p->timing_err || !p->timing, hold = standing(p, rest);
	struct seg **end;
	struct job *j;
	uint32_t i;
	int ret = p->timing_err;

	for (end = &p->held; *end; end = &(*end)->next)
		;
	*end = p->segs;
	p->segs = NULL;
	p->seg_end = NULL;
	pthread_mutex_unlock(&p->lock);
	if (lost) {
		segs_free(p->held);
		p->held = NULL;
		snpu_timing_free(p->timing);
		p->timing = NULL;
	} else if (!hold || !p->ran || !only_stamps(p->held)) {
		catch_up(p, &ret);
	}
	pthread_mutex_lock(&p->lock);
	if (p->held && earliest_held(p, rest)) {
		pthread_mutex_unlock(&p->lock);
		catch_up(p, &ret);
		pthread_mutex_lock(&p->lock);
	}
	if (ret)
		p->timing_err = ret == -ENOSPC ? -ENOSPC : -EIO;
	for (i = 0; !ret && p->timing && i < p->opts.topo->num_links; i++) {
		snpu_timing_link_use(p->timing, i, &p->use[2 * i], &p->use[2 * i + 1]);
		p->use[2 * i] /= 1000;
	}
	if (answer_stamps(p, rest)) {
		postpone(p);
		snpu_plane_want_rest(p);
		return true;
	}
	tell_answered(p, rest);
	/* the list may change while the lock is away */
	do {
		for (j = p->jobs; j && (j->done || j->running || j->after >= rest); j = j->next)
			;
		if (j)
			run_job(p, j);
	} while (j);
	return p->wants;
}

static void *plane_thread(void *arg)
{
	struct snpu_plane *p = arg;

	pthread_mutex_lock(&p->lock);
	while (!p->stop) {
		if (!work_waits(p)) {
			pthread_cond_wait(&p->work, &p->lock);
			continue;
		}
		if (!serve(p))
			continue;
		pthread_mutex_unlock(&p->lock);
		snpu_plane_kick(p);
		pthread_mutex_lock(&p->lock);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

/* ---- life ---- */

struct snpu_plane *snpu_plane_new(const struct snpu_plane_opts *opts, char *err, size_t err_len)
{
	uint32_t links = opts->topo->num_links, i;
	struct snpu_plane *p = calloc(1, sizeof(*p));
	pthread_condattr_t attr;

	if (!p) {
		snprintf(err, err_len, "out of memory");
		return NULL;
	}
	p->opts = *opts;
	if (!p->opts.max_records)
		p->opts.max_records = SNPU_PLANE_MAX_RECORDS;
	seg_init(&p->open);
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->work, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&p->done, &attr);
	pthread_condattr_destroy(&attr);
	p->use = calloc(links ? links : 1, 2 * sizeof(*p->use));
	p->rate = malloc((links ? links : 1) * sizeof(*p->rate));
	p->last = calloc(links ? links : 1, sizeof(*p->last));
	p->last_seg = calloc(links ? links : 1, sizeof(*p->last_seg));
	if (!p->use || !p->rate || !p->last || !p->last_seg) {
		snprintf(err, err_len, "out of memory");
		snpu_plane_free(p);
		return NULL;
	}
	for (i = 0; i < links; i++)
		p->rate[i] = NAN;
	p->timing = timing_make(p, err, err_len);
	if (!p->timing) {
		snpu_plane_free(p);
		return NULL;
	}
	return p;
}

int snpu_plane_start(struct snpu_plane *p, const struct snpu_plane_ops *ops, void *ctx)
{
	int ret;

	p->ops = ops;
	p->ctx = ctx;
	ret = -pthread_create(&p->thread, NULL, plane_thread, p);
	p->started = !ret;
	return ret;
}

void snpu_plane_stop(struct snpu_plane *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	p->stop = true;
	pthread_cond_signal(&p->work);
	pthread_cond_broadcast(&p->done);
	pthread_mutex_unlock(&p->lock);
	if (p->started)
		pthread_join(p->thread, NULL);
	p->started = false;
}

void snpu_plane_free(struct snpu_plane *p)
{
	struct stamp *s;

	if (!p)
		return;
	while (p->asks)
		snpu_plane_ask_del(&p->asks);
	while ((s = p->stamps)) {
		p->stamps = s->next;
		free(s);
	}
	seg_clear(&p->open);
	segs_free(p->segs);
	segs_free(p->held);
	snpu_timing_free(p->timing);
	pthread_mutex_destroy(&p->lock);
	pthread_cond_destroy(&p->work);
	pthread_cond_destroy(&p->done);
	free(p->use);
	free(p->rate);
	free(p->last);
	free(p->last_seg);
	free(p);
}
