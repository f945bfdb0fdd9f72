// SPDX-License-Identifier: MIT
/*
 * Max-min fair sharing, of flows that a change concerns.
 *
 * Rates are max-min fair exactly when every flow is at its limit or has a bottleneck: a resource
 * that is full and on which no flow is faster. So after a change only some flows are filled anew,
 * the rates of all others held: at first those that began, and those whose bottleneck changed. Then
 * the others are looked at, where they share a resource with these: who has lost its bottleneck, or
 * is in the way of one that has a right to more, is taken in, and all of them are filled again.
 * When nobody has to be taken in, the rates are those that filling everybody would have given.
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
	double load;			/* taken by all flows; not kept while covered */
	double level;			/* rate of flows that have their bottleneck here */
	uint32_t bound;			/* number of these flows */
	struct cover *covers;
	uint32_t num_covers, room_covers;
	uint32_t open;			/* flows without a cover */
	double most;			/* that flows with a cover can take */
	uint64_t stamp;			/* the flow that is looked at uses this, with @stamp_weight */
	double stamp_weight;
	uint32_t part;			/* place among the parts of this @mark */
	struct ref *flows;
	uint32_t num, room;
	uint32_t mark;
	bool dirty, changed;		/* flows came or went; its capacity is another */
	uint64_t since, busy;		/* busy since, if num; before that */
	double amount;
};

/* A resource that flows of the set use, while they are filled */
struct part {
	double cap, held;		/* @held: taken by flows that are not in the set */
	double left, weight;		/* not given yet; of flows not settled yet */
	double fastest;			/* flow of the set */
	double level;			/* at which it became full in round @filled */
	uint32_t res, filled;
	uint32_t held_bound;		/* flows not in the set that have their bottleneck here */
};

/* A use of a part by a flow of the set */
struct need {
	double weight;
	uint32_t part;
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
	bool limited;			/* its limit may be what bounds it */
	size_t need, num_need;		/* of this @mark */
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
	uint8_t *active;		/* [resource]: 0: covered, see set_active() */
	uint32_t *dirty, num_dirty;	/* resources */
	uint32_t *fresh, num_fresh;	/* new flows; room_flows entries */
	uint32_t *set, num_set;		/* flows that are filled; room_flows entries */
	struct part *parts;		/* of resources that these use */
	uint32_t num_parts;
	struct need *needs;
	size_t num_needs, room_needs;
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
	m->active = calloc(n + 1, 1);
	m->dirty = calloc(n + 1, sizeof(*m->dirty));
	m->parts = calloc(n + 1, sizeof(*m->parts));
	if (!m->res || !m->active || !m->dirty || !m->parts) {
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
	free(m->active);
	free(m->dirty);
	free(m->fresh);
	free(m->set);
	free(m->want);
	free(m->necks);
	free(m->parts);
	free(m->needs);
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

/*
 * A resource that cannot become full before others that its flows use is covered, and left alone.
 * When it no longer is, what its flows take is summed.
 */
static void set_active(struct snpu_mm *m, uint32_t r)
{
	struct res *res = &m->res[r];
	bool on = res->open || res->bound || res->most > res->cap * (1 + EPS);
	uint32_t i;

	if (on && !m->active[r]) {
		res->load = 0;
		for (i = 0; i < res->num; i++) {
			const struct flow *f = &m->flows[res->flows[i].flow];

			res->load += f->uses[res->flows[i].use].weight * f->rate;
		}
	}
	m->active[r] = on;
}

/* What all covers of @r that are in use let pass */
static void set_most(struct snpu_mm *m, uint32_t r)
{
	struct res *res = &m->res[r];
	uint32_t i;

	res->most = 0;
	for (i = 0; i < res->num_covers; i++)
		if (res->covers[i].count)
			res->most += res->covers[i].ratio * m->res[res->covers[i].res].cap;
	set_active(m, r);
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
			if (!r->open++)
				set_active(m, u->res);
			continue;
		}
		u->cover = k;
		ratio = u->weight / m->res[r->covers[k].res].stamp_weight;
		if (!r->covers[k].count++ || ratio > r->covers[k].ratio) {
			r->covers[k].ratio = ratio;
			set_most(m, u->res);
		}
	}
}

static void drop_cover(struct snpu_mm *m, const struct use *u)
{
	struct res *r = &m->res[u->res];

	if (u->cover == NONE) {
		if (!--r->open)
			set_active(m, u->res);
	} else if (!--r->covers[u->cover].count) {
		set_most(m, u->res);
	}
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
	if (f->neck != NONE && !--m->res[f->neck].bound)
		set_active(m, f->neck);
	for (i = 0; i < f->n; i++) {
		struct use *u = &f->uses[i];
		struct res *r = &m->res[u->res];
		struct ref last = r->flows[--r->num];

		/* nothing of rounding is left on a resource that nobody uses */
		r->load = r->num ? r->load - u->weight * f->rate : 0;

		r->flows[u->at] = last;
		m->flows[last.flow].uses[last.use].at = u->at;
		drop_cover(m, u);
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
	double ps;
	size_t k;

	/* rounding alone is no change: its end stays what it was, to the last bit */
	if (fabs(rate - f->rate) <= 1e-12 * f->rate)
		return;
	for (k = f->need; k < f->need + f->num_need; k++)
		m->res[m->parts[m->needs[k].part].res].load += m->needs[k].weight * (rate - f->rate);
	f->left -= f->rate * ((double)(now - f->at) * 1e-12);
	if (f->left < 0)
		f->left = 0;
	f->at = now;
	f->rate = rate;
	ps = rate > 0 ? ceil(f->left / rate * 1e12) : INFINITY;
	f->end = (double)now + ps < 9e18 ? now + (uint64_t)ps : SNPU_MM_NEVER;
	heap_fix(m, f->heap);
}

/* Without branches: levels are often alike, and nobody can guess how it comes out */
static bool lower(const struct level *a, const struct level *b)
{
	return (a->level < b->level) | ((a->level == b->level) & (a->id < b->id));
}

static void level_down(struct level *h, uint32_t n, uint32_t pos)
{
	struct level l = h[pos];
	uint32_t c;

	while ((c = 2 * pos + 2) < n) {
		c -= lower(&h[c - 1], &h[c]);
		if (!lower(&h[c], &l))
			goto out;
		h[pos] = h[c];
		pos = c;
	}
	if (--c < n && lower(&h[c], &l)) {
		h[pos] = h[c];
		pos = c;
	}
out:
	h[pos] = l;
}

static double level_of(const struct part *r)
{
	return r->left > 0 ? r->left / r->weight : 0;
}

static uint32_t part_of(struct snpu_mm *m, uint32_t res)
{
	struct res *r = &m->res[res];

	if (r->mark != m->mark) {
		r->mark = m->mark;
		r->part = m->num_parts++;
		m->parts[r->part] = (struct part){
			.cap = r->cap, .held = r->load, .res = res, .held_bound = r->bound,
		};
	}
	return r->part;
}

/* Flow @id is filled, too */
static int take(struct snpu_mm *m, uint32_t id)
{
	struct flow *f = &m->flows[id];
	double most = INFINITY;
	uint32_t i;

	if (f->mark == m->mark)
		return 0;
	if (m->room_needs < m->num_needs + f->n) {
		size_t room = 2 * (m->num_needs + f->n);
		void *p = realloc(m->needs, room * sizeof(*m->needs));

		if (!p)
			return -ENOMEM;
		m->needs = p;
		m->room_needs = room;
	}
	f->mark = m->mark;
	f->place = m->num_set;
	f->need = m->num_needs;
	m->set[m->num_set++] = id;
	for (i = 0; i < f->n; i++) {
		const struct use *u = &f->uses[i];
		uint32_t p;

		if (!m->active[u->res])
			continue;
		p = part_of(m, u->res);
		m->parts[p].held -= u->weight * f->rate;
		most = fmin(most, m->parts[p].cap / u->weight);
		m->needs[m->num_needs++] = (struct need){ u->weight, p };
	}
	f->num_need = m->num_needs - f->need;
	f->limited = f->limit * (1 + EPS) < most;
	if (f->neck != NONE)
		m->parts[part_of(m, f->neck)].held_bound--;
	return 0;
}

/* Flows of @r that are faster than @rate, and if @bound those that have their bottleneck there */
static int take_of(struct snpu_mm *m, uint32_t r, double rate, bool bound)
{
	const struct res *res = &m->res[r];
	uint32_t i;
	int rc = 0;

	for (i = 0; i < res->num && !rc; i++) {
		const struct flow *f = &m->flows[res->flows[i].flow];

		if (f->rate > rate || (bound && f->neck == r))
			rc = take(m, res->flows[i].flow);
	}
	return rc;
}

static void want(struct snpu_mm *m, struct flow *f, double level, uint32_t neck, uint32_t *todo)
{
	const struct need *n = &m->needs[f->need];
	size_t i;

	for (i = 0; i < f->num_need; i++) {
		struct part *r = &m->parts[n[i].part];

		r->left -= n[i].weight * level;
		r->weight -= n[i].weight;
		if (level > r->fastest)
			r->fastest = level;
	}
	f->settled = m->round;
	m->want[f->place] = level;
	m->necks[f->place] = neck;
	--*todo;
}

/* All levels there are, as a heap; returns their number */
static uint32_t start_levels(struct snpu_mm *m)
{
	struct level *h = m->levels;
	uint32_t n = 0, i;
	size_t k;

	for (i = 0; i < m->num_parts; i++) {
		m->parts[i].left = m->parts[i].cap - m->parts[i].held;
		m->parts[i].weight = 0;
		m->parts[i].fastest = 0;
	}
	for (k = 0; k < m->num_needs; k++)
		m->parts[m->needs[k].part].weight += m->needs[k].weight;
	for (i = 0; i < m->num_parts; i++)
		if (m->parts[i].weight > 0)
			h[n++] = (struct level){ level_of(&m->parts[i]), i };
	for (i = 0; i < m->num_set; i++)
		if (m->flows[m->set[i]].limited)
			h[n++] = (struct level){ m->flows[m->set[i]].limit, m->num_res + i };
	for (i = n / 2; i-- > 0;)
		level_down(h, n, i);
	return n;
}

/* Part @p is full: all of its flows stop here */
static void stop_at(struct snpu_mm *m, uint32_t p, double level, uint32_t *todo)
{
	struct part *part = &m->parts[p];
	const struct res *r = &m->res[part->res];
	uint32_t i;

	for (i = 0; i < r->num; i++) {
		struct flow *f = &m->flows[r->flows[i].flow];

		if (f->mark != m->mark || f->settled == m->round)
			continue;
		part->filled = m->round;
		part->level = level;
		want(m, f, level, part->res, todo);
	}
}

/* What a flow needs of a part can be so little that it is lost in the sum: it takes what is left */
static void fill_rest(struct snpu_mm *m, uint32_t *todo)
{
	uint32_t i, neck;
	size_t k;

	for (i = 0; i < m->num_set && *todo; i++) {
		struct flow *f = &m->flows[m->set[i]];
		double level = f->limit;

		if (f->settled == m->round)
			continue;
		for (k = f->need, neck = NONE; k < f->need + f->num_need; k++) {
			const struct part *p = &m->parts[m->needs[k].part];
			double most = fmax(p->left, 0) / m->needs[k].weight;

			if (most < level) {
				level = most;
				neck = p->res;
			}
		}
		want(m, f, level, neck, todo);
	}
}

/* Fills the flows of the set; the others keep what they have */
static int fill(struct snpu_mm *m)
{
	uint32_t todo = m->num_set, n;
	struct level *h;

	if (m->room_levels < m->num_parts + todo) {
		if (!grow((void **)&m->levels, 2 * (m->num_parts + todo), sizeof(*m->levels)))
			return -ENOMEM;
		m->room_levels = 2 * (m->num_parts + todo);
	}
	h = m->levels;
	m->round++;
	m->solved += todo;
	n = start_levels(m);
	while (todo && n) {
		struct level top = h[0];
		double level;

		if (top.id >= m->num_res) {
			struct flow *f = &m->flows[m->set[top.id - m->num_res]];

			if (f->settled != m->round)
				want(m, f, top.level, NONE, &todo);
		} else if (m->parts[top.id].weight > 0) {
			/* it only rises while others fill: look whether it has */
			level = level_of(&m->parts[top.id]);
			if (level > top.level * (1 + 1e-12)) {
				h[0].level = level;
				level_down(h, n, 0);
				continue;
			}
			stop_at(m, top.id, top.level, &todo);
		}
		h[0] = h[--n];
		level_down(h, n, 0);
	}
	if (todo)
		fill_rest(m, &todo);
	return 0;
}

/* Takes in flows that cannot keep what they have: 1; 0: there is none; or -ENOMEM */
static int spread(struct snpu_mm *m)
{
	uint32_t num = m->num_set, parts = m->num_parts, i;
	int rc = 0;

	for (i = 0; i < parts && !rc; i++) {
		const struct part *p = &m->parts[i];
		double level = m->res[p->res].level;

		/* faster ones give way; slower ones that are bound to this have a right to more */
		if (p->filled == m->round)
			rc = take_of(m, p->res, p->level * (1 + EPS),
				     p->held_bound && level < p->level * (1 - EPS));
		else if (p->held_bound && (p->left > EPS * p->cap ||
					   p->fastest > level * (1 + EPS)))
			rc = take_of(m, p->res, INFINITY, true);
	}
	return rc ? rc : m->num_set > num;
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
	for (i = 0; i < m->num_parts; i++)
		set_active(m, m->parts[i].res);
}

int snpu_mm_solve(struct snpu_mm *m, uint64_t now)
{
	uint32_t i;
	int rc = 0;

	m->mark++;
	m->num_set = 0;
	m->num_parts = 0;
	m->num_needs = 0;
	for (i = 0; m->recheck && i < m->num_res; i++)
		set_most(m, i);
	m->recheck = false;
	/* one that has ended again was given its slot back, or another has it now: once, then */
	for (i = 0; i < m->num_fresh && !rc; i++)
		if (m->flows[m->fresh[i]].heap != NONE)
			rc = take(m, m->fresh[i]);
	for (i = 0; i < m->num_dirty && !rc; i++)
		rc = take_of(m, m->dirty[i], m->res[m->dirty[i]].changed ? -1 : INFINITY, true);
	if (rc)
		return rc;
	do {
		rc = fill(m);
		if (!rc)
			rc = spread(m);
	} while (rc > 0);
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
