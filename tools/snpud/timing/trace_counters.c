// SPDX-License-Identifier: MIT
/*
 * How much of each resource is taken, over time.
 *
 * A run keeps begin and end of packets, not the rates in between, which are many and which mostly
 * nobody asks for. So the records are replayed once more, into results of their own, and what
 * changes is told on the way. Both replays are the same function of the same records.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "timing/timing_priv.h"

#define SAME	1e-9		/* of the capacity: rounding of sums, no change */

struct watch {
	const struct snpu_timing *t;
	double *share;		/* [resource]: as told last */
	snpu_trace_fn fn;
	void *ctx;
};

static void settled(void *ctx, uint64_t now, struct snpu_mm *mm)
{
	struct watch *w = ctx;
	double cap, share;
	uint32_t i, res;

	for (i = 0; (res = snpu_mm_noted(mm, i)) != UINT32_MAX; i++) {
		cap = snpu_cost_capacity(w->t->cost, res);
		share = cap > 0 ? snpu_mm_taken(mm, res) / cap : 0;
		if (fabs(share - w->share[res]) <= SAME)
			continue;
		w->share[res] = share;
		w->fn(w->ctx, now, res, share);
	}
	snpu_mm_note_clear(mm);
}

int snpu_trace_counters(const struct snpu_timing *t, snpu_trace_fn fn, void *ctx)
{
	struct watch w = { .t = t, .fn = fn, .ctx = ctx };
	struct snpu_timing copy = *t;
	struct snpu_replay *r = NULL;
	int rc = -ENOMEM;

	copy.begin = calloc(t->num + 1, sizeof(*copy.begin));
	copy.end = calloc(t->num + 1, sizeof(*copy.end));
	copy.busy = calloc(t->num + 1, sizeof(*copy.busy));
	w.share = calloc(snpu_cost_resources(t->cost) + 1, sizeof(*w.share));
	if (copy.begin && copy.end && copy.busy && w.share)
		r = snpu_replay_new(&copy);
	if (r)
		rc = snpu_replay_watch(r, settled, &w);
	if (!rc)
		rc = snpu_replay_run(r);
	snpu_replay_free(r);
	free(copy.begin);
	free(copy.end);
	free(copy.busy);
	free(w.share);
	return rc;
}
