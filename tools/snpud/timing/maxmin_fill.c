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
	return a->bits != b->bits ? a->bits < b->bits : a->id < b->id;
}

/* Shell's way: they are few, and many of them are in order already */
static void sort_levels(struct mm_level *h, uint32_t n)
{
	static const uint32_t gaps[] = { 701, 301, 132, 57, 23, 10, 4, 1 };
	uint32_t g, i, k;

	for (g = 0; g < sizeof(gaps) / sizeof(gaps[0]); g++) {
		uint32_t gap = gaps[g];

		for (i = gap; i < n; i++) {
			struct mm_level l = h[i];

			for (k = i; k >= gap && lower(&l, &h[k - gap]); k -= gap)
				h[k] = h[k - gap];
			h[k] = l;
		}
	}
}

/* The lowest level has become @level, but is still in this bucket */
static void rise(struct snpu_mm *m, double level)
{
	struct mm_level *h = m->levels, l = { bits_of(level), h[m->level].id };
	uint32_t i = m->level;

	for (; i + 1 < m->num_levels && lower(&h[i + 1], &l); i++)
		h[i] = h[i + 1];
	h[i] = l;
}

/* Opens bucket @b: who is still there becomes the list of levels */
static void open_bucket(struct snpu_mm *m, uint32_t b)
{
	uint32_t id, next;

	m->level = 0;
	m->num_levels = 0;
	m->in_use[b / 64] &= ~(1ull << b % 64);
	for (id = m->buckets[b]; id != MM_NONE; id = next) {
		uint32_t to = b;
		double level;

		next = *next_of(m, id);
		if (id < m->num_res) {
			if (!(m->pool[id].weight > 0))
				continue;
			level = level_of(&m->pool[id]);
			to = bucket_of(m, level);
		} else {
			level = m->flows[id - m->num_res].limit;
		}
		if (to > b)
			enter(m, id, to);
		else
			m->levels[m->num_levels++] = (struct mm_level){ bits_of(level), id };
	}
	sort_levels(m->levels, m->num_levels);
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
	m->level = 0;
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
	/* from behind, as the last one that enters comes first */
	for (i = m->num_parts; i-- > 0;) {
		p = &m->pool[m->parts[i]];
		if (p->weight > 0)
			enter(m, m->parts[i], bucket_of(m, level_of(p)));
	}
	for (i = 0; i < n; i++)
		enter(m, m->num_res + lim[i], bucket_of(m, m->flows[lim[i]].limit));
	return 0;
}

/* ---- flows ---- */

static inline void give(struct snpu_mm *m, uint32_t r, double weight, double level,
			const bool all)
{
	m->pool[r].left -= weight * level;
	m->pool[r].weight -= weight;
	/* levels rise: the last one is the fastest */
	if (!all)
		m->fill[r].fastest = level;
}

/* It stops at a rate of its own */
static void stop_alone(struct snpu_mm *m, uint32_t id, double rate, uint32_t rest)
{
	struct mm_flow *f = &m->flows[id];
	struct mm_hot *h = &m->hot[id];
	bool same = h->neck == MM_OWN && f->rest == rest &&
		    fabs(rate - f->rate) <= MM_ROUNDING * f->rate;
	uint32_t i;

	f->next_rate = rate;
	f->to_rest = rest;
	for (i = 0; i < f->live; i++)
		give(m, f->uses[i].res, f->uses[i].weight, rate, false);
	h->stopped = m->round;
	if (!same)
		m->moved[m->num_moved++] = (struct mm_move){ id, MM_OWN };
}

/*
 * Resource @r is full: all of its flows stop here. Returns how many. They are picked first, without
 * branches: whether a flow has stopped already is anybody's guess.
 */
static inline uint32_t stop_at(struct snpu_mm *m, uint32_t r, double level, const bool all)
{
	const struct mm_user *users = m->res[r].users;
	uint32_t num = m->res[r].num, round = m->round, mark = m->mark;
	uint32_t num_moved = m->num_moved, *pick = m->picked, i, k, n = 0;
	struct mm_move *moved = m->moved;
	struct mm_hot *hot = m->hot;

	for (i = 0; i < num; i++) {
		uint32_t id = users[i].flow;

		pick[n] = i;
		n += (hot[id].stopped != round) & (all || m->flows[id].mark == mark);
	}
	/* what @r itself gives is told below, for all of them */
	for (i = 0; i < n; i++) {
		const struct mm_user *user = &users[pick[i]];
		uint32_t id = user->flow;

		if (user->other != MM_NONE) {
			give(m, user->other, user->weight, level, all);
		} else {
			const struct mm_flow *f = &m->flows[id];

			for (k = 0; k < f->live; k++)
				if (f->uses[k].res != r)
					give(m, f->uses[k].res, f->uses[k].weight, level, all);
		}
		hot[id].stopped = round;
		moved[num_moved] = (struct mm_move){ id, r };
		num_moved += hot[id].neck != r;
	}
	m->num_moved = num_moved;
	give(m, r, m->pool[r].weight, level, all);
	if (n) {
		m->fill[r].filled = round;
		m->fill[r].level = level;
	}
	return n;
}

static void take_rest(struct snpu_mm *m, uint32_t id)
{
	const struct mm_use *u = m->flows[id].uses;
	double rate = m->flows[id].limit;
	uint32_t i, neck = MM_NONE;

	for (i = 0; i < m->flows[id].live; i++) {
		const struct mm_pool *p = &m->pool[u[i].res];
		double most = fmax(p->left, 0) / u[i].weight;

		if (most < rate) {
			rate = most;
			neck = u[i].res;
		}
	}
	stop_alone(m, id, rate, neck);
}

/* What a flow needs of a part can be so little that it is lost in the sum: it takes what is left */
static void fill_rest(struct snpu_mm *m, const bool all)
{
	uint32_t i, k;

	for (i = 0; !all && i < m->num_set; i++)
		if (m->hot[m->set[i]].stopped != m->round)
			take_rest(m, m->set[i]);
	for (i = 0; all && i < m->num_parts; i++) {
		const struct mm_res *r = &m->res[m->parts[i]];

		for (k = 0; k < r->num; k++)
			if (m->hot[r->users[k].flow].stopped != m->round)
				take_rest(m, r->users[k].flow);
	}
}

static inline void prefetch_users(const struct snpu_mm *m, uint32_t pos)
{
	if (pos < m->num_levels && m->levels[pos].id < m->num_res)
		__builtin_prefetch(m->res[m->levels[pos].id].users);
}

/* @todo flows are filled */
static inline void fill(struct snpu_mm *m, uint32_t todo, const bool all)
{
	uint32_t b = 0;

	while (todo) {
		double level, top_level;
		struct mm_level top;
		struct mm_pool *p;

		if (m->level == m->num_levels) {
			b = next_bucket(m, b);
			if (b == MM_NONE)
				break;
			open_bucket(m, b);
			continue;
		}
		top = m->levels[m->level];
		prefetch_users(m, m->level + 2);
		if (top.id >= m->num_res) {
			if (m->hot[top.id - m->num_res].stopped != m->round) {
				stop_alone(m, top.id - m->num_res,
					   m->flows[top.id - m->num_res].limit, MM_NONE);
				todo--;
			}
			m->level++;
			continue;
		}
		p = &m->pool[top.id];
		if (p->weight > 0) {
			/* it only rises while others fill: look whether it has */
			level = level_of(p);
			memcpy(&top_level, &top.bits, sizeof(top_level));
			if (level > top_level * (1 + MM_ROUNDING)) {
				if (bucket_of(m, level) > b) {
					m->level++;
					enter(m, top.id, bucket_of(m, level));
				} else {
					rise(m, level);
				}
				continue;
			}
			todo -= stop_at(m, top.id, top_level, all);
		}
		m->level++;
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
	uint32_t i, r;
	uint64_t bits;
	int rc;

	m->num_parts = 0;
	for (i = 0; i < MM_WORDS(m->num_res); i++) {
		for (bits = m->looked_at[i]; bits; bits &= bits - 1) {
			r = i * 64 + (uint32_t)__builtin_ctzll(bits);
			if (m->res[r].weigh)
				weigh(&m->res[r]);
			m->fill[r].avail = m->res[r].cap;
			m->fill[r].total = m->res[r].weight;
			m->fill[r].held = 0;
			m->parts[m->num_parts++] = r;
		}
	}
	rc = start(m, m->lim, m->num_lim);
	if (rc)
		return rc;
	m->solved += m->running;
	m->fills[1]++;
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
	m->fills[0]++;
	fill(m, m->num_set, false);
	return 0;
}
