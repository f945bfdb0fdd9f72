// SPDX-License-Identifier: MIT
/*
 * Max-min sharing: what is taken of each resource, for who shows it over time. Kept only when that
 * is asked for: from the rates of flows, as the solver does not look at every resource.
 */
#include <errno.h>
#include <stdlib.h>

#include "timing/maxmin_priv.h"

/**
 * struct mm_note - kept on request
 * @taken: [resource]
 * @rate: [flow] that @taken has; room for @room
 * @is_noted: [resource] it is in @noted
 * @noted: resources of which something else is taken since the list was cleared
 */
struct mm_note {
	double *taken, *rate;
	uint32_t room;
	uint8_t *is_noted;
	uint32_t *noted, num;
};

int snpu_mm_note(struct snpu_mm *m)
{
	struct mm_note *n = calloc(1, sizeof(*n));

	m->note = n;
	if (!n)
		return -ENOMEM;
	n->taken = calloc(m->num_res + 1, sizeof(*n->taken));
	n->is_noted = calloc(m->num_res + 1, 1);
	n->noted = calloc(m->num_res + 1, sizeof(*n->noted));
	return n->taken && n->is_noted && n->noted ? 0 : -ENOMEM;
}

void snpu_mm_note_free(struct snpu_mm *m)
{
	if (!m->note)
		return;
	free(m->note->taken);
	free(m->note->rate);
	free(m->note->is_noted);
	free(m->note->noted);
	free(m->note);
}

static void note_rate(struct snpu_mm *m, uint32_t id, double rate)
{
	const struct mm_flow *f = &m->flows[id];
	struct mm_note *n = m->note;
	double more = rate - n->rate[id];
	uint32_t i, r;

	if (more == 0)
		return;
	n->rate[id] = rate;
	for (i = 0; i < f->n; i++) {
		r = f->uses[i].res;
		/* nothing of rounding is left on a resource that nobody uses */
		n->taken[r] = m->res[r].num ? n->taken[r] + f->uses[i].weight * more : 0;
		if (n->is_noted[r])
			continue;
		n->is_noted[r] = 1;
		n->noted[n->num++] = r;
	}
}

void snpu_mm_note_drop(struct snpu_mm *m, uint32_t id)
{
	if (id < m->note->room)
		note_rate(m, id, 0);
}

int snpu_mm_note_solved(struct snpu_mm *m, bool all)
{
	struct mm_note *n = m->note;
	uint32_t i;

	if (n->room < m->room_flows) {
		double *rate = realloc(n->rate, m->room_flows * sizeof(*rate));

		if (!rate)
			return -ENOMEM;
		for (i = n->room; i < m->room_flows; i++)
			rate[i] = 0;
		n->rate = rate;
		n->room = m->room_flows;
	}
	for (i = 0; all && i < m->num_flows; i++)
		if (m->flows[i].runs)
			note_rate(m, i, snpu_mm_rate_of(m, i));
	for (i = 0; !all && i < m->num_set; i++)
		note_rate(m, m->set[i], snpu_mm_rate_of(m, m->set[i]));
	return 0;
}

uint32_t snpu_mm_noted(const struct snpu_mm *m, uint32_t i)
{
	return i < m->note->num ? m->note->noted[i] : MM_NONE;
}

void snpu_mm_note_clear(struct snpu_mm *m)
{
	struct mm_note *n = m->note;

	while (n->num)
		n->is_noted[n->noted[--n->num]] = 0;
}

double snpu_mm_taken(const struct snpu_mm *m, uint32_t r)
{
	return m->note->taken[r] > 0 ? m->note->taken[r] : 0;
}
