// SPDX-License-Identifier: MIT
/* Max-min sharing: resources and flows. How they are filled: maxmin_solve.c, maxmin_fill.c. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "timing/maxmin_priv.h"

struct snpu_mm *snpu_mm_new(uint32_t n)
{
	struct snpu_mm *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->num_res = n;
	m->res = aligned_alloc(_Alignof(struct mm_res), (n + 1) * sizeof(*m->res));
	if (m->res)
		memset(m->res, 0, (n + 1) * sizeof(*m->res));
	m->active = calloc(n + 1, 1);
	m->pool = calloc(n + 1, sizeof(*m->pool));
	m->fill = calloc(n + 1, sizeof(*m->fill));
	m->looked_at = calloc(MM_WORDS(n) + 1, sizeof(*m->looked_at));
	m->dirty = calloc(n + 1, sizeof(*m->dirty));
	m->parts = calloc(n + 1, sizeof(*m->parts));
	m->ends = calloc(n + 1, sizeof(*m->ends));
	m->end_pos = malloc((n + 1) * sizeof(*m->end_pos));
	if (!m->res || !m->active || !m->pool || !m->fill || !m->looked_at || !m->dirty ||
	    !m->parts || !m->ends || !m->end_pos) {
		snpu_mm_free(m);
		return NULL;
	}
	memset(m->end_pos, 0xff, n * sizeof(*m->end_pos));
	return m;
}

void snpu_mm_free(struct snpu_mm *m)
{
	uint32_t i;

	if (!m)
		return;
	for (i = 0; m->res && i < m->num_res; i++) {
		free(m->res[i].users);
		free(m->res[i].refs);
		free(m->res[i].bounds);
		free(m->res[i].covers);
	}
	for (i = 0; i < m->num_flows; i++)
		free(m->flows[i].uses);
	free(m->res);
	free(m->active);
	free(m->pool);
	free(m->fill);
	free(m->looked_at);
	free(m->flows);
	free(m->hot);
	free(m->idle);
	free(m->lim);
	free(m->limits);
	free(m->fresh);
	free(m->set);
	free(m->moved);
	free(m->picked);
	free(m->next);
	free(m->ends);
	free(m->end_pos);
	free(m->dirty);
	free(m->parts);
	free(m->again);
	free(m->levels);
	snpu_mm_note_free(m);
	free(m);
}

static void set_dirty(struct snpu_mm *m, uint32_t r)
{
	if (!m->res[r].dirty) {
		m->res[r].dirty = true;
		m->dirty[m->num_dirty++] = r;
	}
}

static bool grow(void **p, size_t n, size_t size)
{
	void *q = realloc(*p, n * size);

	if (q)
		*p = q;
	return q;
}

/* ---- limits ---- */

static void forget_limit(struct snpu_mm *m, uint32_t id)
{
	struct mm_flow *f = &m->flows[id];

	if (f->lim == MM_NONE)
		return;
	m->lim[f->lim] = m->lim[--m->num_lim];
	m->flows[m->lim[f->lim]].lim = f->lim;
	f->lim = MM_NONE;
}

/*
 * Whether a flow's limit may bound it: no resource it uses does so by itself. Those that are not
 * looked at let pass whatever their covers do.
 */
void snpu_mm_set_limited(struct snpu_mm *m, uint32_t id)
{
	struct mm_flow *f = &m->flows[id];
	bool limited = true;
	uint32_t i;

	for (i = 0; i < f->live; i++)
		limited &= f->limit * (1 + MM_EPS) * f->uses[i].weight < m->res[f->uses[i].res].cap;
	if (!limited) {
		forget_limit(m, id);
	} else if (f->lim == MM_NONE) {
		f->lim = m->num_lim;
		m->lim[m->num_lim++] = id;
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

/* ---- covers ---- */

int snpu_mm_cover(struct snpu_mm *m, uint32_t r, uint32_t by)
{
	struct mm_res *res = &m->res[r];
	uint32_t room = res->room_covers ? 2 * res->room_covers : 4;

	if (res->num_covers == res->room_covers) {
		if (!grow((void **)&res->covers, room, sizeof(*res->covers)))
			return -ENOMEM;
		res->room_covers = room;
	}
	res->covers[res->num_covers++] = (struct mm_cover){ .res = by };
	return 0;
}

/* Uses @i and @k of flow @id change places */
static void swap_uses(struct snpu_mm *m, uint32_t id, uint32_t i, uint32_t k)
{
	struct mm_use *u = m->flows[id].uses, tmp = u[i];

	u[i] = u[k];
	u[k] = tmp;
	if (u[i].at != MM_NONE)
		m->res[u[i].res].refs[u[i].at].use = i;
	if (u[k].at != MM_NONE)
		m->res[u[k].res].refs[u[k].at].use = k;
}

/* Tells the resources that are looked at which the others are, after these have changed */
static void tell_others(struct snpu_mm *m, uint32_t id)
{
	const struct mm_use *u = m->flows[id].uses;
	uint32_t live = m->flows[id].live, i;

	for (i = 0; i < live; i++) {
		struct mm_user *user = &m->res[u[i].res].users[u[i].at];

		user->other = live > 2 ? MM_NONE : live == 2 ? u[1 - i].res : m->num_res;
		user->weight = live == 2 ? u[1 - i].weight : 0;
	}
}

/* Sets what filling all looks at. An active resource has no flows for a while */
static void look_at(struct snpu_mm *m, uint32_t r)
{
	uint64_t bit = 1ull << r % 64;

	if (m->active[r] && m->res[r].num)
		m->looked_at[r / 64] |= bit;
	else
		m->looked_at[r / 64] &= ~bit;
}

static int make_lists(struct mm_res *r, uint32_t room)
{
	if (!grow((void **)&r->users, room, sizeof(*r->users)) ||
	    !grow((void **)&r->refs, room, sizeof(*r->refs)))
		return -ENOMEM;
	r->room = room;
	return 0;
}

/*
 * Most of what flows use is covered from begin to end, so the flows of a resource are listed from
 * when it is first looked at. All are searched for them, but that is once for each resource.
 */
static int list_users(struct snpu_mm *m, uint32_t r)
{
	struct mm_res *res = &m->res[r];
	uint32_t id, i, n = 0;

	if (make_lists(res, 2 * res->num + 16))
		return -ENOMEM;
	for (id = 0; id < m->num_flows; id++) {
		struct mm_flow *f = &m->flows[id];

		for (i = 0; f->runs && i < f->n; i++) {
			if (f->uses[i].res != r)
				continue;
			f->uses[i].at = n;
			res->users[n] = (struct mm_user){ .flow = id, .other = MM_NONE };
			res->refs[n++] = (struct mm_ref){ f->uses[i].weight, i };
		}
	}
	res->listed = true;
	res->weigh = true;
	return 0;
}

/*
 * A resource that cannot become full before others that its flows use is covered, and left alone.
 * When it no longer is, what its flows take is summed.
 */
void snpu_mm_turn(struct snpu_mm *m, uint32_t r, bool on)
{
	struct mm_res *res = &m->res[r];
	uint32_t i;

	/* snpu_mm_solve() tells */
	if (!res->listed && list_users(m, r)) {
		m->failed = true;
		return;
	}
	m->active[r] = on;
	look_at(m, r);
	res->load = 0;
	for (i = 0; i < res->num; i++) {
		const struct mm_ref *f = &res->refs[i];
		uint32_t id = res->users[i].flow;

		res->load += f->weight * snpu_mm_rate_of(m, id);
		if (on)
			swap_uses(m, id, f->use, m->flows[id].live++);
		else
			swap_uses(m, id, f->use, --m->flows[id].live);
		tell_others(m, id);
	}
}

/* What all covers of @r that are in use let pass */
void snpu_mm_set_most(struct snpu_mm *m, uint32_t r)
{
	struct mm_res *res = &m->res[r];
	uint32_t i;

	res->most = 0;
	for (i = 0; i < res->num_covers; i++)
		if (res->covers[i].count)
			res->most += res->covers[i].ratio * m->res[res->covers[i].res].cap;
	snpu_mm_set_active(m, r);
}

/* Finds covers of what a new flow uses. Room of @again is for all its uses */
static void add_covers(struct snpu_mm *m, uint32_t id, uint64_t stamp)
{
	uint32_t n = m->flows[id].n, num = 0, i, k;
	struct mm_use *uses = m->flows[id].uses;

	for (i = 0; i < n; i++) {
		m->res[uses[i].res].stamp = stamp;
		m->res[uses[i].res].stamp_weight = uses[i].weight;
	}
	for (i = 0; i < n; i++) {
		struct mm_use *u = &uses[i];
		struct mm_res *r = &m->res[u->res];
		double ratio;

		for (k = 0; k < r->num_covers; k++)
			if (m->res[r->covers[k].res].stamp == stamp)
				break;
		if (k == r->num_covers) {
			u->cover = MM_NONE;
			if (!r->open++)
				m->again[num++] = u->res;
			continue;
		}
		u->cover = k;
		ratio = u->weight / m->res[r->covers[k].res].stamp_weight;
		if (!r->covers[k].count++ || ratio > r->covers[k].ratio) {
			r->covers[k].ratio = ratio;
			m->again[num++] = u->res;
		}
	}
	/* not before: it changes the order of uses */
	for (i = 0; i < num; i++)
		snpu_mm_set_most(m, m->again[i]);
}

static void drop_cover(struct snpu_mm *m, uint32_t res, uint32_t cover)
{
	struct mm_res *r = &m->res[res];

	if (cover == MM_NONE) {
		if (!--r->open)
			snpu_mm_set_active(m, res);
	} else if (!--r->covers[cover].count) {
		snpu_mm_set_most(m, res);
	}
}

/* ---- flows ---- */

static uint32_t new_slot(struct snpu_mm *m)
{
	uint32_t n = m->room_flows ? 2 * m->room_flows : 256, i;
	size_t items = (size_t)m->num_res + n;

	if (m->num_idle)
		return m->idle[--m->num_idle];
	if (m->num_flows == m->room_flows) {
		if (!grow((void **)&m->flows, n, sizeof(*m->flows)) ||
		    !grow((void **)&m->hot, n, sizeof(*m->hot)) ||
		    !grow((void **)&m->idle, n, sizeof(*m->idle)) ||
		    !grow((void **)&m->lim, n, sizeof(*m->lim)) ||
		    !grow((void **)&m->limits, n, sizeof(*m->limits)) ||
		    !grow((void **)&m->fresh, n, sizeof(*m->fresh)) ||
		    !grow((void **)&m->set, n, sizeof(*m->set)) ||
		    !grow((void **)&m->moved, n, sizeof(*m->moved)) ||
		    !grow((void **)&m->picked, n, sizeof(*m->picked)) ||
		    !grow((void **)&m->next, n, sizeof(*m->next)) ||
		    !grow((void **)&m->ends, items, sizeof(*m->ends)) ||
		    !grow((void **)&m->end_pos, items, sizeof(*m->end_pos)))
			return MM_NONE;
		for (i = m->room_flows; i < n; i++)
			m->end_pos[m->num_res + i] = MM_NONE;
		m->room_flows = n;
	}
	memset(&m->flows[m->num_flows], 0, sizeof(*m->flows));
	memset(&m->hot[m->num_flows], 0, sizeof(*m->hot));
	return m->num_flows++;
}

/* Room for @n uses, and for one more flow of each */
static int make_room(struct snpu_mm *m, const struct snpu_mm_use *uses, uint32_t n)
{
	uint32_t i;

	if (m->room_again < n) {
		if (!grow((void **)&m->again, n, sizeof(*m->again)))
			return -ENOMEM;
		m->room_again = n;
	}
	for (i = 0; i < n; i++) {
		struct mm_res *r = &m->res[uses[i].res];

		/* without a cover it is looked at in any case */
		if (!r->num_covers)
			r->listed = true;
		if (r->listed && r->num >= r->room && make_lists(r, r->room ? 2 * r->room : 16))
			return -ENOMEM;
	}
	return 0;
}

static void add_use(struct snpu_mm *m, uint64_t now, uint32_t id, uint32_t i,
		    const struct snpu_mm_use *use)
{
	struct mm_res *r = &m->res[use->res];

	m->flows[id].uses[i] = (struct mm_use){ use->weight, use->res,
						r->listed ? r->num : MM_NONE, MM_NONE };
	if (!r->num)
		r->since = now;
	if (r->listed) {
		r->refs[r->num] = (struct mm_ref){ use->weight, i };
		r->users[r->num] = (struct mm_user){ .flow = id, .other = MM_NONE };
		r->weigh = true;
	}
	r->num++;
	if (m->active[use->res]) {
		look_at(m, use->res);
		swap_uses(m, id, i, m->flows[id].live++);
	}
	if (r->bound)
		set_dirty(m, use->res);
}

int64_t snpu_mm_start(struct snpu_mm *m, uint64_t now, double work, double limit,
		      const struct snpu_mm_use *uses, uint32_t n, uint64_t cookie)
{
	struct mm_use *room;
	struct mm_flow *f;
	uint32_t id, i;

	m->now = now;
	if (make_room(m, uses, n))
		return -ENOMEM;
	id = new_slot(m);
	if (id == MM_NONE)
		return -ENOMEM;
	f = &m->flows[id];
	if (f->room < n) {
		room = realloc(f->uses, n * sizeof(*room));
		if (!room) {
			m->idle[m->num_idle++] = id;
			return -ENOMEM;
		}
		f->uses = room;
		f->room = n;
	}
	f->work = work;
	f->limit = limit;
	f->cookie = cookie;
	f->n = n;
	f->rest = MM_NONE;
	f->lim = MM_NONE;
	m->hot[id].neck = MM_NONE;
	f->live = 0;
	for (i = 0; i < n; i++)
		add_use(m, now, id, i, &uses[i]);
	f->runs = true;
	add_covers(m, id, ++m->order);
	tell_others(m, id);
	snpu_mm_set_limited(m, id);
	m->fresh[m->num_fresh++] = id;
	m->running++;
	return id;
}

static void drop_use(struct snpu_mm *m, uint64_t now, const struct mm_use *u, double work,
		     double rate)
{
	struct mm_res *r = &m->res[u->res];
	uint32_t last = --r->num;

	r->amount += u->weight * work;
	if (u->at != MM_NONE) {
		/* nothing of rounding is left on a resource that nobody uses */
		r->load = last ? r->load - u->weight * rate : 0;
		r->refs[u->at] = r->refs[last];
		r->users[u->at] = r->users[last];
		m->flows[r->users[last].flow].uses[r->refs[last].use].at = u->at;
		r->weigh = true;
	}
	if (!last) {
		look_at(m, u->res);
		r->busy += now - r->since;
	}
	drop_cover(m, u->res, u->cover);
	if (r->bound)
		set_dirty(m, u->res);
}

static void drop(struct snpu_mm *m, uint64_t now, uint32_t id)
{
	struct mm_flow *f = &m->flows[id];
	uint32_t neck = snpu_mm_neck(m, id), i;
	double rate = snpu_mm_rate_of(m, id);

	snpu_mm_leave(m, id);
	if (neck != MM_NONE) {
		snpu_mm_reckon(m, neck);
		snpu_mm_set_active(m, neck);
	}
	for (i = 0; i < f->n; i++)
		drop_use(m, now, &f->uses[i], f->work, rate);
	if (m->note)
		snpu_mm_note_drop(m, id);
	forget_limit(m, id);
	f->runs = false;
	m->idle[m->num_idle++] = id;
	m->running--;
}

int snpu_mm_end(struct snpu_mm *m, uint64_t now, uint64_t *cookie)
{
	uint32_t id;

	m->now = now;
	if (snpu_mm_next(m) > now)
		return 0;
	id = snpu_mm_first(m);
	*cookie = m->flows[id].cookie;
	drop(m, now, id);
	return 1;
}

double snpu_mm_rate(const struct snpu_mm *m, int64_t flow)
{
	return snpu_mm_rate_of(m, (uint32_t)flow);
}

void snpu_mm_use_of(const struct snpu_mm *m, uint64_t now, uint32_t r, uint64_t *busy,
		    double *amount)
{
	*busy = m->res[r].busy + (m->res[r].num ? now - m->res[r].since : 0);
	*amount = m->res[r].amount;
}
