// SPDX-License-Identifier: MIT
/*
 * Max-min sharing: filling.
 *
 * Levels rise together; the resource that is full first stops its flows, and so on. Levels wait in
 * buckets, by value: they only rise while others fill, so one that has risen moves on to its bucket
 * when its old one is opened, and only those of one bucket are put in order.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "timing/maxmin_priv.h"

static double level_of(const struct mm_pool *p)
{
	return p->left > 0 ? p->left / p->weight : 0;
}

/* ---- levels ---- */

/* Of positive numbers, larger ones have larger bits */
static uint64_t bits_of(double level)
{
	uint64_t bits;

	memcpy(&bits, &level, sizeof(bits));
	return bits;
}

static uint32_t bucket_of(const struct snpu_mm *m, double level)
{
	uint64_t bits = bits_of(level), b = bits > m->low ? (bits - m->low) >> m->shift : 0;

	return b < MM_BUCKETS - 1 ? (uint32_t)b : MM_BUCKETS - 1;
}

static uint32_t *next_of(struct snpu_mm *m, uint32_t id)
{
	return id < m->num_res ? &m->fill[id].next : &m->next[id - m->num_res];
}

static void enter(struct snpu_mm *m, uint32_t id, uint32_t b)
{
	*next_of(m, id) = m->in_use[b / 64] >> b % 64 & 1 ? m->buckets[b] : MM_NONE;
	m->buckets[b] = id;
	m->in_use[b / 64] |= 1ull << b % 64;
}

static bool lower(const struct mm_level *a, const struct mm_level *b)
{
	return a->level != b->level ? a->level < b->level : a->id < b->id;
}

static void sink(struct snpu_mm *m, uint32_t pos)
{
	struct mm_level *h = m->levels, l = h[pos];
	uint32_t n = m->num_levels, c;

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

static void drop_top(struct snpu_mm *m)
{
	m->levels[0] = m->levels[--m->num_levels];
	if (m->num_levels)
		sink(m, 0);
}

/* Opens bucket @b: who is still there becomes the heap of levels */
static void open_bucket(struct snpu_mm *m, uint32_t b)
{
	uint32_t id, next;

	m->in_use[b / 64] &= ~(1ull << b % 64);
	for (id = m->buckets[b]; id != MM_NONE; id = next) {
		struct mm_level l = { .id = id };
		uint32_t to = b;

		next = *next_of(m, id);
		if (id < m->num_res) {
			if (!(m->pool[id].weight > 0))
				continue;
			l.level = level_of(&m->pool[id]);
			to = bucket_of(m, l.level);
		} else {
			l.level = m->flows[id - m->num_res].limit;
		}
		if (to > b)
			enter(m, id, to);
		else
			m->levels[m->num_levels++] = l;
	}
	for (id = m->num_levels / 2; id-- > 0;)
		sink(m, id);
}

/* The lowest bucket that holds somebody, or MM_NONE */
static uint32_t next_bucket(const struct snpu_mm *m, uint32_t from)
{
	uint64_t bits = m->in_use[from / 64] & ~0ull << from % 64;
	uint32_t i = from / 64;

	while (!bits && ++i < MM_BUCKETS / 64)
		bits = m->in_use[i];
	return bits ? i * 64 + (uint32_t)__builtin_ctzll(bits) : MM_NONE;
}

/* Puts the levels of all parts, and the limits of @n flows @lim, into buckets */
static int start(struct snpu_mm *m, const uint32_t *lim, uint32_t n)
{
	double low = INFINITY, high = 0, level;
	uint32_t room = 2 * (m->num_parts + n), i;
	struct mm_pool *p;

	if (m->room_levels < m->num_parts + n) {
		void *q = realloc(m->levels, room * sizeof(*m->levels));

		if (!q)
			return -ENOMEM;
		m->levels = q;
		m->room_levels = room;
	}
	m->round++;
	m->num_moved = 0;
	m->num_levels = 0;
	for (i = 0; i < m->num_parts; i++) {
		p = &m->pool[m->parts[i]];
		p->left = m->fill[m->parts[i]].avail;
		p->weight = m->fill[m->parts[i]].total;
		m->fill[m->parts[i]].fastest = 0;
		if (!(p->weight > 0))
			continue;
		level = level_of(p);
		low = level < low ? level : low;
		high = level > high ? level : high;
	}
	for (i = 0; i < n; i++) {
		level = m->flows[lim[i]].limit;
		low = level < low ? level : low;
		high = level > high ? level : high;
	}
	m->low = bits_of(low);
	m->shift = 0;
	/* half of the buckets for those that rise above what is the highest now */
	while (high > low && (bits_of(high) - m->low) >> m->shift >= MM_BUCKETS / 2)
		m->shift++;
	for (i = 0; i < m->num_parts; i++) {
		p = &m->pool[m->parts[i]];
		if (p->weight > 0)
			enter(m, m->parts[i], bucket_of(m, level_of(p)));
	}
	for (i = 0; i < n; i++)
		enter(m, m->num_res + lim[i], bucket_of(m, m->flows[lim[i]].limit));
	return 0;
}

/* ---- flows ---- */

static inline void stop(struct snpu_mm *m, uint32_t id, double level, uint32_t neck,
			const bool all)
{
	struct mm_hot *h = &m->hot[id];
	uint32_t live = h->live, i;

	for (i = 0; i < live; i++) {
		double weight = i < MM_NEEDS ? h->needs[i].weight : h->uses[i].weight;
		uint32_t r = i < MM_NEEDS ? h->needs[i].res : h->uses[i].res;

		m->pool[r].left -= weight * level;
		m->pool[r].weight -= weight;
		/* levels rise: the last one is the fastest */
		if (!all)
			m->fill[r].fastest = level;
	}
	m->stopped[id] = m->round;
	h->to = neck;
	if (h->neck != neck)
		m->moved[m->num_moved++] = id;
}

/* It stops at a rate of its own */
static void stop_alone(struct snpu_mm *m, uint32_t id, double rate, uint32_t rest)
{
	struct mm_flow *f = &m->flows[id];
	bool same = m->hot[id].neck == MM_OWN && f->rest == rest &&
		    fabs(rate - f->rate) <= MM_ROUNDING * f->rate;

	f->next_rate = rate;
	f->to_rest = rest;
	stop(m, id, rate, MM_OWN, false);
	if (m->hot[id].neck == MM_OWN && !same)
		m->moved[m->num_moved++] = id;
}

/*
 * Resource @r is full: all of its flows stop here. Returns how many. They are picked first, without
 * branches: whether a flow has stopped already is anybody's guess.
 */
static inline uint32_t stop_at(struct snpu_mm *m, uint32_t r, double level, const bool all)
{
	const struct mm_res *res = &m->res[r];
	uint32_t *pick = m->picked, round = m->round, i, n = 0;

	for (i = 0; i < res->num; i++) {
		uint32_t id = res->users[i];

		__builtin_prefetch(&m->hot[id], 1);
		pick[n] = id;
		n += (m->stopped[id] != round) & (all || m->hot[id].mark == m->mark);
	}
	for (i = 0; i < n; i++)
		stop(m, pick[i], level, r, all);
	if (n) {
		m->fill[r].filled = round;
		m->fill[r].level = level;
	}
	return n;
}

static void take_rest(struct snpu_mm *m, uint32_t id)
{
	const struct mm_hot *h = &m->hot[id];
	double rate = m->flows[id].limit;
	uint32_t i, neck = MM_NONE;

	for (i = 0; i < h->live; i++) {
		const struct mm_pool *p = &m->pool[h->uses[i].res];
		double most = fmax(p->left, 0) / h->uses[i].weight;

		if (most < rate) {
			rate = most;
			neck = h->uses[i].res;
		}
	}
	stop_alone(m, id, rate, neck);
}

/* What a flow needs of a part can be so little that it is lost in the sum: it takes what is left */
static void fill_rest(struct snpu_mm *m, const bool all)
{
	uint32_t i, k;

	for (i = 0; !all && i < m->num_set; i++)
		if (m->stopped[m->set[i]] != m->round)
			take_rest(m, m->set[i]);
	for (i = 0; all && i < m->num_parts; i++) {
		const struct mm_res *r = &m->res[m->parts[i]];

		for (k = 0; k < r->num; k++)
			if (m->stopped[r->users[k]] != m->round)
				take_rest(m, r->users[k]);
	}
}

/* @todo flows are filled */
static inline void fill(struct snpu_mm *m, uint32_t todo, const bool all)
{
	uint32_t b = 0;

	while (todo) {
		struct mm_level top;
		struct mm_pool *p;
		double level;

		if (!m->num_levels) {
			b = next_bucket(m, b);
			if (b == MM_NONE)
				break;
			open_bucket(m, b);
			continue;
		}
		top = m->levels[0];
		if (top.id >= m->num_res) {
			if (m->stopped[top.id - m->num_res] != m->round) {
				stop_alone(m, top.id - m->num_res, top.level, MM_NONE);
				todo--;
			}
			drop_top(m);
			continue;
		}
		p = &m->pool[top.id];
		if (p->weight > 0) {
			/* it only rises while others fill: look whether it has */
			level = level_of(p);
			if (level > top.level * (1 + MM_ROUNDING)) {
				if (bucket_of(m, level) > b) {
					drop_top(m);
					enter(m, top.id, bucket_of(m, level));
				} else {
					m->levels[0].level = level;
					sink(m, 0);
				}
				continue;
			}
			todo -= stop_at(m, top.id, top.level, all);
		}
		drop_top(m);
	}
	memset(m->in_use, 0, sizeof(m->in_use));
	if (todo)
		fill_rest(m, all);
}

static void weigh(struct mm_res *r)
{
	uint32_t i;

	r->weight = 0;
	for (i = 0; i < r->num; i++)
		r->weight += r->refs[i].weight;
	r->weigh = false;
}

int snpu_mm_fill_all(struct snpu_mm *m)
{
	uint32_t i;
	int rc;

	m->num_parts = 0;
	for (i = 0; i < m->num_used; i++) {
		struct mm_res *r = &m->res[m->used[i]];
		struct mm_fill *p = &m->fill[m->used[i]];

		if (!m->active[m->used[i]])
			continue;
		if (r->weigh)
			weigh(r);
		p->avail = r->cap;
		p->total = r->weight;
		p->held = 0;
		m->parts[m->num_parts++] = m->used[i];
	}
	rc = start(m, m->lim, m->num_lim);
	if (rc)
		return rc;
	m->solved += m->running;
	fill(m, m->running, true);
	return 0;
}

int snpu_mm_fill_set(struct snpu_mm *m)
{
	uint32_t i, n = 0;
	int rc;

	for (i = 0; i < m->num_set; i++)
		if (m->flows[m->set[i]].lim != MM_NONE)
			m->limits[n++] = m->set[i];
	rc = start(m, m->limits, n);
	if (rc)
		return rc;
	m->solved += m->num_set;
	fill(m, m->num_set, false);
	return 0;
}
