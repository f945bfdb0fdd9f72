// SPDX-License-Identifier: MIT
/*
 * Max-min fair sharing by progressive filling, on the component that changed.
 */
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "timing/maxmin.h"

#define NONE	0xffffffffu

struct ref {
	uint32_t flow, use;
};

struct res {
	double cap;
	double left, weight;		/* while filling: not given yet, of flows not settled yet */
	struct ref *flows;
	uint32_t num, room;
	uint32_t mark;
	bool dirty;
	uint64_t since, busy;		/* busy since, if num; before that */
	double amount;
};

struct use {
	double weight;
	uint32_t res;
	uint32_t at;			/* index in the resource's list */
};

struct flow {
	double work, left, rate, limit;
	uint64_t at, end;		/* @left is as of @at */
	uint64_t cookie;
	uint64_t order;			/* of starts: settles ties */
	struct use *uses;
	uint32_t n, room;
	uint32_t heap;			/* position, NONE: not in it */
	uint32_t mark, settled;
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
	uint32_t *alone, num_alone;	/* new flows without resources; room_flows entries */
	uint32_t *comp, num_comp;	/* flows of the component; room_flows entries */
	uint32_t *todo;			/* resources of the component */
	struct level *levels;
	uint32_t num_levels, room_levels;
	uint32_t mark;
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
	for (i = 0; m->res && i < m->num_res; i++)
		free(m->res[i].flows);
	for (i = 0; i < m->num_flows; i++)
		free(m->flows[i].uses);
	free(m->res);
	free(m->flows);
	free(m->idle);
	free(m->heap);
	free(m->dirty);
	free(m->alone);
	free(m->comp);
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
	set_dirty(m, r);
}

static bool grow(void **p, uint32_t n, size_t size)
{
	void *q = realloc(*p, n * size);

	if (q)
		*p = q;
	return q;
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
		    !grow((void **)&m->alone, n, sizeof(*m->alone)) ||
		    !grow((void **)&m->comp, n, sizeof(*m->comp)))
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
	f->mark = 0;
	f->settled = 0;
	for (i = 0; i < n; i++) {
		struct res *r = &m->res[uses[i].res];

		f->uses[i] = (struct use){ uses[i].weight, uses[i].res, r->num };
		if (!r->num)
			r->since = now;
		r->flows[r->num++] = (struct ref){ id, i };
		set_dirty(m, uses[i].res);
	}
	if (!n)
		m->alone[m->num_alone++] = id;
	heap_add(m, id);
	return id;
}

static void drop(struct snpu_mm *m, uint64_t now, uint32_t id)
{
	struct flow *f = &m->flows[id];
	uint32_t i;

	heap_del(m, id);
	for (i = 0; i < f->n; i++) {
		struct use *u = &f->uses[i];
		struct res *r = &m->res[u->res];
		struct ref last = r->flows[--r->num];

		r->flows[u->at] = last;
		m->flows[last.flow].uses[last.use].at = u->at;
		r->amount += u->weight * f->work;
		if (!r->num)
			r->busy += now - r->since;
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

	f->settled = m->mark;
	if (rate == f->rate)
		return;			/* and so its end stays what it was, to the last bit */
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

static void settle_at(struct snpu_mm *m, uint64_t now, uint32_t id, double level,
		      uint32_t *todo)
{
	struct flow *f = &m->flows[id];
	uint32_t i;

	for (i = 0; i < f->n; i++) {
		struct res *r = &m->res[f->uses[i].res];

		r->left -= f->uses[i].weight * level;
		r->weight -= f->uses[i].weight;
	}
	settle(m, now, id, level);
	--*todo;
}

static void reach(struct snpu_mm *m, uint32_t *tail, uint32_t r)
{
	struct res *res = &m->res[r];

	if (res->mark == m->mark || !res->num)
		return;
	res->mark = m->mark;
	res->left = res->cap;
	res->weight = 0;
	m->todo[(*tail)++] = r;
}

/* All flows and resources that are coupled to dirty resource @r; returns number of resources */
static uint32_t component(struct snpu_mm *m, uint32_t r)
{
	uint32_t head, tail = 0, i, j;

	m->num_comp = 0;
	reach(m, &tail, r);
	for (head = 0; head < tail; head++) {
		struct res *res = &m->res[m->todo[head]];

		for (i = 0; i < res->num; i++) {
			struct flow *f = &m->flows[res->flows[i].flow];

			res->weight += f->uses[res->flows[i].use].weight;
			if (f->mark == m->mark)
				continue;
			f->mark = m->mark;
			m->comp[m->num_comp++] = res->flows[i].flow;
			for (j = 0; j < f->n; j++)
				reach(m, &tail, f->uses[j].res);
		}
	}
	return tail;
}

static int fill(struct snpu_mm *m, uint64_t now, uint32_t num_res)
{
	uint32_t todo = m->num_comp, n = 0, i;
	struct level *h;

	if (m->room_levels < num_res + todo) {
		if (!grow((void **)&m->levels, 2 * (num_res + todo), sizeof(*m->levels)))
			return -ENOMEM;
		m->room_levels = 2 * (num_res + todo);
	}
	h = m->levels;
	for (i = 0; i < num_res; i++)
		h[n++] = (struct level){ level_of(&m->res[m->todo[i]]), m->todo[i] };
	for (i = 0; i < todo; i++)
		if (isfinite(m->flows[m->comp[i]].limit))
			h[n++] = (struct level){ m->flows[m->comp[i]].limit, m->num_res + m->comp[i] };
	for (i = n / 2; i-- > 0;)
		level_down(h, n, i);
	m->solved += todo;
	while (todo && n) {
		struct level top = h[0];
		struct res *r;
		double level;

		if (top.id >= m->num_res) {
			if (m->flows[top.id - m->num_res].settled != m->mark)
				settle_at(m, now, top.id - m->num_res, top.level, &todo);
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
		for (i = 0; i < r->num; i++)
			if (m->flows[r->flows[i].flow].settled != m->mark)
				settle_at(m, now, r->flows[i].flow, top.level, &todo);
		h[0] = h[--n];
		level_down(h, n, 0);
	}
	return 0;
}

int snpu_mm_solve(struct snpu_mm *m, uint64_t now)
{
	uint32_t i, n;
	int rc = 0;

	/* marks of one solve are one component's: a resource that was reached is not dirty any more */
	for (i = 0; i < m->num_alone; i++) {
		m->mark++;
		settle(m, now, m->alone[i], m->flows[m->alone[i]].limit);
	}
	m->num_alone = 0;
	for (i = 0; i < m->num_dirty && !rc; i++) {
		struct res *r = &m->res[m->dirty[i]];

		if (!r->dirty)
			continue;
		m->mark++;
		n = component(m, m->dirty[i]);
		r->dirty = false;
		if (n)
			rc = fill(m, now, n);
		while (n--)
			m->res[m->todo[n]].dirty = false;
	}
	m->num_dirty = 0;
	return rc;
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
