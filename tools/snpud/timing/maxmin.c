// SPDX-License-Identifier: MIT
/*
 * Max-min fair sharing, of flows that a change concerns.
 *
 * Rates are max-min fair exactly when every flow is at its limit or has a bottleneck: a resource
 * that is full and on which no flow is faster. So after a change only some flows are filled anew,
 * the rates of all others held: at first those that began, and those whose bottleneck changed. Then
 * the others are looked at, where they share a resource with these: who has lost its bottleneck, or
 * is in the way of one that has a right to more, is taken in, and all of them are filled again. When
 * nobody has to be taken in, the rates are those that filling everybody would have given.
 */
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "timing/maxmin.h"

#define NONE	0xffffffffu
#define EPS	1e-9		/* relative; what is closer is the same */

struct ref {
	uint32_t flow, use;
};

/* A resource that bounds what flows take of another one: @ratio times its own capacity */
struct cover {
	uint32_t res, count;
	double ratio;
};

struct res {
	double cap;
	double load;			/* taken by all flows */
	double level;			/* rate of flows that have their bottleneck here */
	uint32_t bound;			/* number of these flows */
	double left, weight;		/* while filling: not given yet, of flows not settled yet */
	double held, fastest;		/* taken by flows that are not filled; fastest that is */
	struct cover *covers;
	uint32_t num_covers, room_covers;
	uint32_t open;			/* flows without a cover */
	double most;			/* that flows with a cover can take */
	uint64_t stamp;			/* the flow that is looked at uses this, with @stamp_weight */
	double stamp_weight;
	uint32_t held_bound;		/* flows that are not filled and have their bottleneck here */
	double new_level;		/* of the round in which it became full */
	uint32_t filled;		/* that round */
	struct ref *flows;
	uint32_t num, room;
	uint32_t mark;
	bool dirty, changed;		/* flows came or went; its capacity is another */
	uint64_t since, busy;		/* busy since, if num; before that */
	double amount;
};

struct use {
	double weight;
	uint32_t res;
	uint32_t at;			/* index in the resource's list */
	uint32_t cover;			/* of the resource, or NONE */
};

struct flow {
	double work, left, rate, limit;
	uint64_t at, end;		/* @left is as of @at */
	uint64_t cookie;
	uint64_t order;			/* of starts: settles ties */
	struct use *uses;
	uint32_t n, room;
	uint32_t heap;			/* position, NONE: not in it */
	uint32_t neck;			/* bottleneck; NONE: its limit, or it has just begun */
	uint32_t mark, settled, place;
};

struct level {
	double level;
	uint32_t id;			/* resource, or resources + flow for its limit */
};

struct snpu_mm {
	struct res *res;
	uint32_t num_res;
	struct flow *flows;
	uint32_t num_flows, room_flows;
	uint32_t *idle, num_idle;	/* flow slots to reuse; room_flows entries */
	uint32_t *heap, num_heap;	/* by end; room_flows entries */
	uint32_t *dirty, num_dirty;	/* resources */
	uint32_t *fresh, num_fresh;	/* new flows; room_flows entries */
	uint32_t *set, num_set;		/* flows that are filled; room_flows entries */
	uint32_t *todo, num_todo;	/* resources that these use */
	double *want;			/* new rates, by place in @set; room_flows entries */
	uint32_t *necks;		/* and new bottlenecks */
	struct level *levels;
	uint32_t num_levels, room_levels;
	uint32_t mark, round;
	bool recheck;			/* of what covers are worth */
	uint64_t order, solved;
};

struct snpu_mm *snpu_mm_new(uint32_t n)
{
	struct snpu_mm *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->num_res = n;
	m->res = calloc(n + 1, sizeof(*m->res));
	m->dirty = calloc(n + 1, sizeof(*m->dirty));
	m->todo = calloc(n + 1, sizeof(*m->todo));
	if (!m->res || !m->dirty || !m->todo) {
		snpu_mm_free(m);
		return NULL;
	}
	return m;
}

void snpu_mm_free(struct snpu_mm *m)
{
	uint32_t i;

	if (!m)
		return;
	for (i = 0; m->res && i < m->num_res; i++) {
		free(m->res[i].flows);
		free(m->res[i].covers);
	}
	for (i = 0; i < m->num_flows; i++)
		free(m->flows[i].uses);
	free(m->res);
	free(m->flows);
	free(m->idle);
	free(m->heap);
	free(m->dirty);
	free(m->fresh);
	free(m->set);
	free(m->want);
	free(m->necks);
	free(m->todo);
	free(m->levels);
	free(m);
}

/* ---- heap of ends ---- */

static bool sooner(const struct snpu_mm *m, uint32_t a, uint32_t b)
{
	const struct flow *x = &m->flows[a], *y = &m->flows[b];

	return x->end != y->end ? x->end < y->end : x->order < y->order;
}

static void heap_put(struct snpu_mm *m, uint32_t pos, uint32_t f)
{
	m->heap[pos] = f;
	m->flows[f].heap = pos;
}

static void heap_fix(struct snpu_mm *m, uint32_t pos)
{
	uint32_t f = m->heap[pos], c;

	while (pos && sooner(m, f, m->heap[(pos - 1) / 2])) {
		heap_put(m, pos, m->heap[(pos - 1) / 2]);
		pos = (pos - 1) / 2;
	}
	while ((c = 2 * pos + 1) < m->num_heap) {
		if (c + 1 < m->num_heap && sooner(m, m->heap[c + 1], m->heap[c]))
			c++;
		if (!sooner(m, m->heap[c], f))
			break;
		heap_put(m, pos, m->heap[c]);
		pos = c;
	}
	heap_put(m, pos, f);
}

static void heap_add(struct snpu_mm *m, uint32_t f)
{
	heap_put(m, m->num_heap, f);
	heap_fix(m, m->num_heap++);
}

static void heap_del(struct snpu_mm *m, uint32_t f)
{
	uint32_t pos = m->flows[f].heap, last = m->heap[--m->num_heap];

	m->flows[f].heap = NONE;
	if (last == f)
		return;
	heap_put(m, pos, last);
	heap_fix(m, pos);
}

/* ---- flows ---- */

static void set_dirty(struct snpu_mm *m, uint32_t r)
{
	if (!m->res[r].dirty) {
		m->res[r].dirty = true;
		m->dirty[m->num_dirty++] = r;
	}
}

void snpu_mm_capacity(struct snpu_mm *m, uint64_t now, uint32_t r, double cap)
{
	(void)now;
	m->res[r].cap = cap;
	m->res[r].changed = true;
	m->recheck = true;
	set_dirty(m, r);
}

static bool grow(void **p, uint32_t n, size_t size)
{
	void *q = realloc(*p, n * size);

	if (q)
		*p = q;
	return q;
}

/* ---- covers ---- */

int snpu_mm_cover(struct snpu_mm *m, uint32_t r, uint32_t by)
{
	struct res *res = &m->res[r];
	uint32_t room = res->room_covers ? 2 * res->room_covers : 4;

	if (res->num_covers == res->room_covers) {
		if (!grow((void **)&res->covers, room, sizeof(*res->covers)))
			return -ENOMEM;
		res->room_covers = room;
	}
	res->covers[res->num_covers++] = (struct cover){ .res = by };
	return 0;
}

/* What all covers of @r that are in use let pass */
static void set_most(struct snpu_mm *m, struct res *r)
{
	uint32_t i;

	r->most = 0;
	for (i = 0; i < r->num_covers; i++)
		if (r->covers[i].count)
			r->most += r->covers[i].ratio * m->res[r->covers[i].res].cap;
}

/* It cannot become full before others that its flows use are */
static bool covered(const struct res *r)
{
	return !r->open && !r->bound && r->most <= r->cap * (1 + EPS);
}

static void add_covers(struct snpu_mm *m, struct flow *f, uint64_t stamp)
{
	uint32_t i, k;

	for (i = 0; i < f->n; i++) {
		m->res[f->uses[i].res].stamp = stamp;
		m->res[f->uses[i].res].stamp_weight = f->uses[i].weight;
	}
	for (i = 0; i < f->n; i++) {
		struct use *u = &f->uses[i];
		struct res *r = &m->res[u->res];
		double ratio;

		for (k = 0; k < r->num_covers; k++)
			if (m->res[r->covers[k].res].stamp == stamp)
				break;
		if (k == r->num_covers) {
			u->cover = NONE;
			r->open++;
			continue;
		}
		u->cover = k;
		ratio = u->weight / m->res[r->covers[k].res].stamp_weight;
		if (!r->covers[k].count++ || ratio > r->covers[k].ratio) {
			r->covers[k].ratio = ratio;
			set_most(m, r);
		}
	}
}

static void drop_cover(struct snpu_mm *m, struct res *r, uint32_t cover)
{
	if (cover == NONE)
		r->open--;
	else if (!--r->covers[cover].count)
		set_most(m, r);
}

static uint32_t new_slot(struct snpu_mm *m)
{
	uint32_t n = m->room_flows ? 2 * m->room_flows : 256;

	if (m->num_idle)
		return m->idle[--m->num_idle];
	if (m->num_flows == m->room_flows) {
		if (!grow((void **)&m->flows, n, sizeof(*m->flows)) ||
		    !grow((void **)&m->idle, n, sizeof(*m->idle)) ||
		    !grow((void **)&m->heap, n, sizeof(*m->heap)) ||
		    !grow((void **)&m->fresh, n, sizeof(*m->fresh)) ||
		    !grow((void **)&m->set, n, sizeof(*m->set)) ||
		    !grow((void **)&m->want, n, sizeof(*m->want)) ||
		    !grow((void **)&m->necks, n, sizeof(*m->necks)))
			return NONE;
		m->room_flows = n;
	}
	memset(&m->flows[m->num_flows], 0, sizeof(*m->flows));
	return m->num_flows++;
}

int64_t snpu_mm_start(struct snpu_mm *m, uint64_t now, double work, double limit,
		      const struct snpu_mm_use *uses, uint32_t n, uint64_t cookie)
{
	uint32_t id, i;
	struct flow *f;

	for (i = 0; i < n; i++) {
		struct res *r = &m->res[uses[i].res];
		uint32_t room = r->room ? 2 * r->room : 8;

		if (r->num < r->room)
			continue;
		if (!grow((void **)&r->flows, room, sizeof(*r->flows)))
			return -ENOMEM;
		r->room = room;
	}
	id = new_slot(m);
	if (id == NONE)
		return -ENOMEM;
	f = &m->flows[id];
	if (f->room < n) {
		if (!grow((void **)&f->uses, n, sizeof(*f->uses))) {
			m->idle[m->num_idle++] = id;
			return -ENOMEM;
		}
		f->room = n;
	}
	f->work = work;
	f->left = work;
	f->rate = 0;
	f->limit = limit;
	f->at = now;
	f->end = SNPU_MM_NEVER;
	f->cookie = cookie;
	f->order = m->order++;
	f->n = n;
	f->neck = NONE;
	f->mark = 0;
	f->settled = 0;
	for (i = 0; i < n; i++) {
		struct res *r = &m->res[uses[i].res];

		f->uses[i] = (struct use){ uses[i].weight, uses[i].res, r->num, NONE };
		if (!r->num)
			r->since = now;
		r->flows[r->num++] = (struct ref){ id, i };
		if (r->bound)
			set_dirty(m, uses[i].res);
	}
	add_covers(m, f, m->order);
	m->fresh[m->num_fresh++] = id;
	heap_add(m, id);
	return id;
}

static void drop(struct snpu_mm *m, uint64_t now, uint32_t id)
{
	struct flow *f = &m->flows[id];
	uint32_t i;

	heap_del(m, id);
	if (f->neck != NONE)
		m->res[f->neck].bound--;
	for (i = 0; i < f->n; i++) {
		struct use *u = &f->uses[i];
		struct res *r = &m->res[u->res];
		struct ref last = r->flows[--r->num];

		/* nothing of rounding is left on a resource that nobody uses */
		r->load = r->num ? r->load - u->weight * f->rate : 0;

		r->flows[u->at] = last;
		m->flows[last.flow].uses[last.use].at = u->at;
		drop_cover(m, r, u->cover);
		r->amount += u->weight * f->work;
		if (!r->num)
			r->busy += now - r->since;
		if (r->bound)
			set_dirty(m, u->res);
	}
	m->idle[m->num_idle++] = id;
}

uint64_t snpu_mm_next(const struct snpu_mm *m)
{
	return m->num_heap ? m->flows[m->heap[0]].end : SNPU_MM_NEVER;
}

int snpu_mm_end(struct snpu_mm *m, uint64_t now, uint64_t *cookie)
{
	uint32_t f;

	if (!m->num_heap || m->flows[m->heap[0]].end > now)
		return 0;
	f = m->heap[0];
	*cookie = m->flows[f].cookie;
	drop(m, now, f);
	return 1;
}

/* ---- filling ---- */

/* Sets @f's rate from @now on */
static void settle(struct snpu_mm *m, uint64_t now, uint32_t id, double rate)
{
	struct flow *f = &m->flows[id];
	uint32_t i;
	double ps;

	/* rounding alone is no change: its end stays what it was, to the last bit */
	if (fabs(rate - f->rate) <= 1e-12 * f->rate)
		return;
	for (i = 0; i < f->n; i++)
		m->res[f->uses[i].res].load += f->uses[i].weight * (rate - f->rate);
	f->left -= f->rate * ((double)(now - f->at) * 1e-12);
	if (f->left < 0)
		f->left = 0;
	f->at = now;
	f->rate = rate;
	ps = rate > 0 ? ceil(f->left / rate * 1e12) : INFINITY;
	f->end = ps < 9e18 ? now + (uint64_t)ps : SNPU_MM_NEVER;
	heap_fix(m, f->heap);
}

static bool lower(const struct level *a, const struct level *b)
{
	return a->level != b->level ? a->level < b->level : a->id < b->id;
}

static void level_down(struct level *h, uint32_t n, uint32_t pos)
{
	struct level l = h[pos];
	uint32_t c;

	while ((c = 2 * pos + 1) < n) {
		if (c + 1 < n && lower(&h[c + 1], &h[c]))
			c++;
		if (!lower(&h[c], &l))
			break;
		h[pos] = h[c];
		pos = c;
	}
	h[pos] = l;
}

static double level_of(const struct res *r)
{
	return r->left > 0 ? r->left / r->weight : 0;
}

/* Flow @id is filled, too */
static void take(struct snpu_mm *m, uint32_t id)
{
	struct flow *f = &m->flows[id];
	uint32_t i;

	if (f->mark == m->mark)
		return;
	f->mark = m->mark;
	m->set[m->num_set++] = id;
	for (i = 0; i < f->n; i++) {
		struct res *r = &m->res[f->uses[i].res];

		if (covered(r))
			continue;
		if (r->mark != m->mark) {
			r->mark = m->mark;
			r->held = r->load;
			r->held_bound = r->bound;
			m->todo[m->num_todo++] = f->uses[i].res;
		}
		r->held -= f->uses[i].weight * f->rate;
	}
	if (f->neck != NONE)
		m->res[f->neck].held_bound--;
}

/* Flows of @r that are faster than @rate, and if @bound those that have their bottleneck there */
static void take_of(struct snpu_mm *m, uint32_t r, double rate, bool bound)
{
	const struct res *res = &m->res[r];
	uint32_t i;

	for (i = 0; i < res->num; i++) {
		const struct flow *f = &m->flows[res->flows[i].flow];

		if (f->rate > rate || (bound && f->neck == r))
			take(m, res->flows[i].flow);
	}
}

static void want(struct snpu_mm *m, uint32_t id, double level, uint32_t neck, uint32_t *todo)
{
	struct flow *f = &m->flows[id];
	uint32_t i;

	for (i = 0; i < f->n; i++) {
		struct res *r = &m->res[f->uses[i].res];

		if (r->mark != m->mark)
			continue;
		r->left -= f->uses[i].weight * level;
		r->weight -= f->uses[i].weight;
		if (level > r->fastest)
			r->fastest = level;
	}
	f->settled = m->round;
	m->want[f->place] = level;
	m->necks[f->place] = neck;
	--*todo;
}

/* Fills the flows of the set; the others keep what they have */
static int fill(struct snpu_mm *m)
{
	uint32_t todo = m->num_set, n = 0, i, k;
	struct level *h;

	if (m->room_levels < m->num_todo + todo) {
		if (!grow((void **)&m->levels, 2 * (m->num_todo + todo), sizeof(*m->levels)))
			return -ENOMEM;
		m->room_levels = 2 * (m->num_todo + todo);
	}
	h = m->levels;
	m->round++;
	m->solved += todo;
	for (i = 0; i < m->num_todo; i++) {
		struct res *r = &m->res[m->todo[i]];

		r->left = r->cap - r->held;
		r->weight = 0;
		r->fastest = 0;
	}
	for (i = 0; i < todo; i++) {
		struct flow *f = &m->flows[m->set[i]];

		f->place = i;
		for (k = 0; k < f->n; k++)
			m->res[f->uses[k].res].weight += f->uses[k].weight;
		if (isfinite(f->limit))
			h[n++] = (struct level){ f->limit, m->num_res + m->set[i] };
	}
	for (i = 0; i < m->num_todo; i++)
		h[n++] = (struct level){ level_of(&m->res[m->todo[i]]), m->todo[i] };
	for (i = n / 2; i-- > 0;)
		level_down(h, n, i);
	while (todo && n) {
		struct level top = h[0];
		struct res *r;
		double level;

		if (top.id >= m->num_res) {
			if (m->flows[top.id - m->num_res].settled != m->round)
				want(m, top.id - m->num_res, top.level, NONE, &todo);
			h[0] = h[--n];
			level_down(h, n, 0);
			continue;
		}
		r = &m->res[top.id];
		/* a resource's level only rises while others fill: look whether this one has */
		level = level_of(r);
		if (level > top.level * (1 + 1e-12) && r->weight > 0) {
			h[0].level = level;
			level_down(h, n, 0);
			continue;
		}
		for (i = 0; i < r->num; i++) {
			const struct flow *f = &m->flows[r->flows[i].flow];

			if (f->mark != m->mark || f->settled == m->round)
				continue;
			r->filled = m->round;
			want(m, r->flows[i].flow, top.level, top.id, &todo);
		}
		if (r->filled == m->round)
			r->new_level = top.level;
		h[0] = h[--n];
		level_down(h, n, 0);
	}
	return 0;
}

/* Takes in flows that cannot keep what they have. false: there is none */
static bool spread(struct snpu_mm *m)
{
	uint32_t num = m->num_set, resources = m->num_todo, i;

	for (i = 0; i < resources; i++) {
		const struct res *r = &m->res[m->todo[i]];

		if (r->filled == m->round) {
			/* faster ones give way; slower ones that are bound to this have a right to more */
			take_of(m, m->todo[i], r->new_level * (1 + EPS),
				r->held_bound && r->level < r->new_level * (1 - EPS));
		} else if (r->held_bound && (r->left > EPS * r->cap ||
					     r->fastest > r->level * (1 + EPS))) {
			take_of(m, m->todo[i], INFINITY, true);
		}
	}
	return m->num_set > num;
}

static void keep(struct snpu_mm *m, uint64_t now)
{
	uint32_t i;

	for (i = 0; i < m->num_set; i++) {
		struct flow *f = &m->flows[m->set[i]];

		if (f->neck != NONE)
			m->res[f->neck].bound--;
		f->neck = m->necks[i];
		if (f->neck != NONE) {
			m->res[f->neck].bound++;
			m->res[f->neck].level = m->want[i];
		}
		settle(m, now, m->set[i], m->want[i]);
	}
}

int snpu_mm_solve(struct snpu_mm *m, uint64_t now)
{
	uint32_t i;
	int rc;

	m->mark++;
	m->num_set = 0;
	m->num_todo = 0;
	for (i = 0; m->recheck && i < m->num_res; i++)
		set_most(m, &m->res[i]);
	m->recheck = false;
	/* one that has ended again was given its slot back, or another has it now: once, then */
	for (i = 0; i < m->num_fresh; i++)
		if (m->flows[m->fresh[i]].heap != NONE)
			take(m, m->fresh[i]);
	for (i = 0; i < m->num_dirty; i++)
		take_of(m, m->dirty[i], m->res[m->dirty[i]].changed ? -1 : INFINITY, true);
	do {
		rc = fill(m);
	} while (!rc && spread(m));
	if (rc)
		return rc;
	keep(m, now);
	m->num_fresh = 0;
	for (i = 0; i < m->num_dirty; i++) {
		m->res[m->dirty[i]].dirty = false;
		m->res[m->dirty[i]].changed = false;
	}
	m->num_dirty = 0;
	return 0;
}

double snpu_mm_rate(const struct snpu_mm *m, int64_t flow)
{
	return m->flows[flow].rate;
}

void snpu_mm_use_of(const struct snpu_mm *m, uint64_t now, uint32_t r, uint64_t *busy,
		    double *amount)
{
	*busy = m->res[r].busy + (m->res[r].num ? now - m->res[r].since : 0);
	*amount = m->res[r].amount;
}

uint64_t snpu_mm_solved(const struct snpu_mm *m)
{
	return m->solved;
}
