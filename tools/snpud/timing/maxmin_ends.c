// SPDX-License-Identifier: MIT
/*
 * Max-min sharing: when flows end.
 *
 * One heap holds the next end of each resource, and those of flows with rates of their own; each
 * resource has a heap of its flows, by what its clock shows at their ends.
 */
#include <errno.h>
#include <stdlib.h>

#include "snpu_hw.h"
#include "timing/maxmin_priv.h"

#define END_PS	((double)SNPU_VTIME_END * 1000)

/* ---- heap of ends ---- */

/* Without a branch: which of two is sooner is anybody's guess */
static uint32_t sooner(const struct mm_end *a, const struct mm_end *b)
{
	return (a->at < b->at) | ((a->at == b->at) & (a->item < b->item));
}

static void put(struct snpu_mm *m, uint32_t pos, struct mm_end e)
{
	m->ends[pos] = e;
	m->end_pos[e.item] = pos;
}

static void sink(struct snpu_mm *m, uint32_t pos)
{
	struct mm_end e = m->ends[pos];
	uint32_t c;

	while ((c = 2 * pos + 1) < m->num_ends) {
		if (c + 1 < m->num_ends)
			c += sooner(&m->ends[c + 1], &m->ends[c]);
		if (!sooner(&m->ends[c], &e))
			break;
		put(m, pos, m->ends[c]);
		pos = c;
	}
	put(m, pos, e);
}

static void fix(struct snpu_mm *m, uint32_t pos)
{
	struct mm_end e = m->ends[pos];

	while (pos && sooner(&e, &m->ends[(pos - 1) / 2])) {
		put(m, pos, m->ends[(pos - 1) / 2]);
		pos = (pos - 1) / 2;
	}
	put(m, pos, e);
	sink(m, pos);
}

static void set_end(struct snpu_mm *m, uint32_t item, uint64_t at)
{
	uint32_t pos = m->end_pos[item];

	if (pos == MM_NONE) {
		if (at == SNPU_MM_NEVER)
			return;
		pos = m->num_ends++;
	} else if (at == SNPU_MM_NEVER) {
		m->end_pos[item] = MM_NONE;
		if (pos == --m->num_ends)
			return;
		put(m, pos, m->ends[m->num_ends]);
		if (!m->ends_loose)
			fix(m, pos);
		return;
	} else if (m->ends[pos].at == at) {
		return;
	}
	put(m, pos, (struct mm_end){ at, item });
	if (!m->ends_loose)
		fix(m, pos);
}

void snpu_mm_loosen(struct snpu_mm *m)
{
	m->ends_loose = true;
}

void snpu_mm_tighten(struct snpu_mm *m)
{
	uint32_t i;

	m->ends_loose = false;
	for (i = m->num_ends / 2; i-- > 0;)
		sink(m, i);
}

uint64_t snpu_mm_next(const struct snpu_mm *m)
{
	uint64_t at = m->num_ends ? m->ends[0].at : SNPU_MM_NEVER;

	/*
	 * A flow that was done before is to end at the next grain. When that becomes finer, this is
	 * found to be over already.
	 */
	return at > m->now ? at : m->now;
}

uint32_t snpu_mm_first(const struct snpu_mm *m)
{
	uint32_t item = m->ends[0].item;

	return item < m->num_res ? m->res[item].bounds[0].flow : item - m->num_res;
}

/* ---- flows of a resource ---- */

static void put_bound(struct snpu_mm *m, struct mm_res *r, uint32_t pos, struct mm_bound b)
{
	r->bounds[pos] = b;
	m->flows[b.flow].pos = pos;
}

static void fix_bound(struct snpu_mm *m, struct mm_res *r, uint32_t pos)
{
	struct mm_bound b = r->bounds[pos];
	uint32_t c;

	while (pos && b.done < r->bounds[(pos - 1) / 2].done) {
		put_bound(m, r, pos, r->bounds[(pos - 1) / 2]);
		pos = (pos - 1) / 2;
	}
	while ((c = 2 * pos + 1) < r->num_bounds) {
		if (c + 1 < r->num_bounds)
			c += r->bounds[c + 1].done < r->bounds[c].done;
		if (r->bounds[c].done >= b.done)
			break;
		put_bound(m, r, pos, r->bounds[c]);
		pos = c;
	}
	put_bound(m, r, pos, b);
}

static double clock_of(const struct mm_res *r, uint64_t now)
{
	return r->clock + r->level * ((double)(now - r->clock_at) * 1e-12);
}

void snpu_mm_set_grain(struct snpu_mm *m, uint32_t ps, uint32_t most)
{
	m->grain = ps;
	m->most_grain = most;
}

uint64_t snpu_mm_round(const struct snpu_mm *m, uint64_t at)
{
	uint64_t grain = (uint64_t)m->grain * m->running, mask;

	grain = grain < m->most_grain ? grain : m->most_grain;
	if (grain < 2)
		return at;
	mask = (1ull << (63 - __builtin_clzll(grain))) - 1;
	return at <= UINT64_MAX - mask ? (at + mask) & ~mask : at;
}

/* @work at @rate, from @at on */
static uint64_t end_of(const struct snpu_mm *m, uint64_t at, double work, double rate)
{
	double ps;

	if (work <= 0)
		return rate > 0 ? snpu_mm_round(m, at) : SNPU_MM_NEVER;
	ps = work / rate * 1e12;
	if (!((double)at + ps < END_PS))
		return SNPU_MM_NEVER;
	/* up, to a whole ps at least */
	return snpu_mm_round(m, at + (uint64_t)ps + ((double)(uint64_t)ps < ps));
}

void snpu_mm_reckon(struct snpu_mm *m, uint32_t id)
{
	const struct mm_res *r = &m->res[id];

	set_end(m, id, !r->num_bounds ? SNPU_MM_NEVER :
		end_of(m, r->clock_at, r->bounds[0].done - r->clock, r->level));
}

void snpu_mm_set_level(struct snpu_mm *m, uint64_t now, uint32_t id, double level)
{
	struct mm_res *r = &m->res[id];

	r->clock = r->num_bounds ? clock_of(r, now) : 0;
	r->clock_at = now;
	r->level = level;
}

/* What is left of it to do */
static double left_of(const struct snpu_mm *m, uint64_t now, uint32_t id)
{
	const struct mm_flow *f = &m->flows[id];
	uint32_t neck = m->hot[id].neck;
	double left = f->work;

	if (neck == MM_OWN)
		left = f->left - f->rate * ((double)(now - f->at) * 1e-12);
	else if (neck != MM_NONE)
		left = m->res[neck].bounds[f->pos].done - clock_of(&m->res[neck], now);
	return left > 0 ? left : 0;
}

void snpu_mm_leave(struct snpu_mm *m, uint32_t id)
{
	struct mm_flow *f = &m->flows[id];
	uint32_t neck = m->hot[id].neck;
	struct mm_bound last;
	struct mm_res *r;

	m->hot[id].neck = MM_NONE;
	if (neck == MM_OWN) {
		set_end(m, m->num_res + id, SNPU_MM_NEVER);
		if (f->rest != MM_NONE)
			m->res[f->rest].bound--;
		f->rest = MM_NONE;
		return;
	}
	if (neck == MM_NONE)
		return;
	r = &m->res[neck];
	r->bound--;
	last = r->bounds[--r->num_bounds];
	if (last.flow != id) {
		put_bound(m, r, f->pos, last);
		fix_bound(m, r, f->pos);
	}
}

int snpu_mm_move(struct snpu_mm *m, uint64_t now, struct mm_move move)
{
	uint32_t id = move.flow, to = move.to, room;
	struct mm_flow *f = &m->flows[id];
	double left = left_of(m, now, id);
	struct mm_res *r = to < MM_OWN ? &m->res[to] : NULL;

	if (r && r->num_bounds == r->room_bounds) {
		void *p;

		room = r->room_bounds ? 2 * r->room_bounds : 8;
		p = realloc(r->bounds, room * sizeof(*r->bounds));
		if (!p)
			return -ENOMEM;
		r->bounds = p;
		r->room_bounds = room;
	}
	snpu_mm_leave(m, id);
	m->hot[id].neck = to;
	if (!r) {
		f->left = left;
		f->at = now;
		f->rate = f->next_rate;
		f->rest = f->to_rest;
		if (f->rest != MM_NONE)
			m->res[f->rest].bound++;
		set_end(m, m->num_res + id, end_of(m, now, left, f->rate));
		return 0;
	}
	/* nobody else: the clock begins anew, so that it stays short and exact */
	if (!r->num_bounds) {
		r->clock = 0;
		r->clock_at = now;
	}
	r->bound++;
	put_bound(m, r, r->num_bounds, (struct mm_bound){ clock_of(r, now) + left, id });
	fix_bound(m, r, r->num_bounds++);
	return 0;
}
