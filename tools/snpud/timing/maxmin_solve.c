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
 *
 * Where changes go everywhere, as in an all-to-all, all flows are filled at once: that is less work
 * than to find out again and again that nobody can be held.
 */
#include <errno.h>
#include <math.h>

#include "timing/maxmin_priv.h"

#define FEW	64u	/* flows: whatever the share of all that they are */
#define WIDE	256u	/* times, at most, that all are filled before some are tried again */

static struct mm_fill *part_of(struct snpu_mm *m, uint32_t r)
{
	struct mm_res *res = &m->res[r];

	if (res->mark != m->mark) {
		res->mark = m->mark;
		m->parts[m->num_parts++] = r;
		m->fill[r].avail = res->cap - res->load;
		m->fill[r].total = 0;
		m->fill[r].held = res->bound;
	}
	return &m->fill[r];
}

/* Flow @id is filled, too */
static void take(struct snpu_mm *m, uint32_t id)
{
	struct mm_flow *f = &m->flows[id];
	const struct mm_use *u = f->uses;
	uint32_t neck = snpu_mm_neck(m, id), i;
	double rate;

	if (f->mark == m->mark)
		return;
	f->mark = m->mark;
	m->set[m->num_set++] = id;
	rate = snpu_mm_rate_of(m, id);
	for (i = 0; i < f->live; i++) {
		struct mm_fill *p = part_of(m, u[i].res);

		p->avail += u[i].weight * rate;
		p->total += u[i].weight;
	}
	if (neck != MM_NONE)
		part_of(m, neck)->held--;
}

/* Flows of @r that are faster than @rate, and if @bound those that have their bottleneck there */
static void take_of(struct snpu_mm *m, uint32_t r, double rate, bool bound)
{
	const struct mm_res *res = &m->res[r];
	uint32_t i;

	for (i = 0; i < res->num; i++) {
		uint32_t id = res->users[i].flow;

		if ((bound && snpu_mm_neck(m, id) == r) || snpu_mm_rate_of(m, id) > rate)
			take(m, id);
	}
}

/* Takes in flows that cannot keep what they have. false: there is none */
static bool spread(struct snpu_mm *m)
{
	uint32_t num = m->num_set, parts = m->num_parts, i;

	for (i = 0; i < parts; i++) {
		uint32_t r = m->parts[i];
		const struct mm_fill *p = &m->fill[r];
		double level = m->res[r].level;

		/* faster ones give way; slower ones that are bound to this have a right to more */
		if (p->filled == m->round)
			take_of(m, r, p->level * (1 + MM_EPS),
				p->held && level < p->level * (1 - MM_EPS));
		else if (p->held && (m->pool[r].left > MM_EPS * m->res[r].cap ||
				     p->fastest > level * (1 + MM_EPS)))
			take_of(m, r, INFINITY, true);
	}
	return m->num_set > num;
}

/* Flows that were held run at @more more, as @r's level has become another: others see it */
static void raise_held(struct snpu_mm *m, uint32_t r, double more)
{
	const struct mm_res *res = &m->res[r];
	uint32_t i, k;

	for (i = 0; i < res->num; i++) {
		const struct mm_flow *f = &m->flows[res->users[i].flow];

		if (m->hot[res->users[i].flow].neck != r || f->mark == m->mark)
			continue;
		for (k = 0; k < f->live; k++)
			m->res[f->uses[k].res].load += f->uses[k].weight * more;
	}
}

static int keep(struct snpu_mm *m, uint64_t now, bool all)
{
	uint32_t i;
	int rc = 0;

	if (all)
		snpu_mm_loosen(m);
	for (i = 0; i < m->num_parts; i++)
		m->res[m->parts[i]].load = m->res[m->parts[i]].cap - m->pool[m->parts[i]].left;
	for (i = 0; i < m->num_parts; i++) {
		struct mm_res *r = &m->res[m->parts[i]];
		const struct mm_fill *p = &m->fill[m->parts[i]];
		double more = p->level - r->level;

		/* rounding alone is no change: ends stay what they were, to the last bit */
		if (p->filled != m->round ||
		    (r->num_bounds && fabs(more) <= MM_ROUNDING * r->level))
			continue;
		if (!all && p->held)
			raise_held(m, m->parts[i], more);
		snpu_mm_set_level(m, now, m->parts[i], p->level);
	}
	for (i = 0; i < m->num_moved && !rc; i++)
		rc = snpu_mm_move(m, now, m->moved[i]);
	for (i = 0; i < m->num_parts; i++) {
		snpu_mm_reckon(m, m->parts[i]);
		snpu_mm_set_active(m, m->parts[i]);
	}
	if (all)
		snpu_mm_tighten(m);
	return rc;
}

/* Fills those that have to be. 1: they are so many that all should be */
static int fill_some(struct snpu_mm *m)
{
	uint32_t i;
	int rc = 0;

	m->mark++;
	m->num_set = 0;
	m->num_parts = 0;
	for (i = 0; i < m->num_fresh; i++)
		take(m, m->fresh[i]);
	for (i = 0; i < m->num_dirty; i++)
		if (m->active[m->dirty[i]])
			take_of(m, m->dirty[i], m->res[m->dirty[i]].changed ? -1 : INFINITY, true);
	do {
		if (m->num_set > FEW && m->num_set > m->running / 4)
			return 1;
		rc = snpu_mm_fill_set(m);
	} while (!rc && spread(m));
	return rc;
}

int snpu_mm_solve(struct snpu_mm *m, uint64_t now)
{
	bool all = m->wide;
	uint32_t i;
	int rc = 0;

	m->now = now;
	for (i = 0; m->recheck && i < m->num_res; i++)
		snpu_mm_set_most(m, i);
	for (i = 0; m->recheck && i < m->num_flows; i++)
		if (m->flows[i].runs)
			snpu_mm_set_limited(m, i);
	m->recheck = false;
	if (m->failed)
		return -ENOMEM;
	if (!m->num_fresh && !m->num_dirty)
		return 0;
	if (m->wide) {
		m->wide--;
	} else {
		rc = fill_some(m);
		if (rc < 0)
			return rc;
		all = rc;
		/* the more often it was in vain, the longer until it is tried again */
		m->vain = !all ? 0 : m->vain < WIDE ? 2 * m->vain + 1 : m->vain;
		m->wide = m->vain;
	}
	if (all)
		rc = snpu_mm_fill_all(m);
	if (!rc)
		rc = keep(m, now, all);
	if (!rc && m->note)
		rc = snpu_mm_note_solved(m, all);
	if (rc)
		return rc;
	m->num_fresh = 0;
	for (i = 0; i < m->num_dirty; i++) {
		m->res[m->dirty[i]].dirty = false;
		m->res[m->dirty[i]].changed = false;
	}
	m->num_dirty = 0;
	return 0;
}

uint64_t snpu_mm_solved(const struct snpu_mm *m)
{
	return m->solved;
}

uint64_t snpu_mm_fills(const struct snpu_mm *m, bool all)
{
	return m->fills[all];
}
