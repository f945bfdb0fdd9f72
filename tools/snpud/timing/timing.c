// SPDX-License-Identifier: MIT
/*
 * Replay of a packet log in virtual time.
 *
 * Every run starts over: records are sorted, queues get canonical names, and a discrete-event
 * simulation gives each packet its begin and end. Events of one instant are taken in the order
 * (class, node, canonical queue, packet); rates of flows are settled once per instant.
 *
 * A queue issues its packets in order. One that is not a posted transfer begins when all before it
 * have ended, and the next begins when it has ended. Posted transfers of one direction (writes to
 * other NPUs, reads from them) follow each other without waiting, as far as the queue's depth goes;
 * signals follow anything. They take effect in order all the same: a signal releases what its queue
 * did before. A wait holds up what comes behind it, and nothing else.
 */
#include "timing/timing.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "snpu_hw.h"
#include "timing/timing_priv.h"

static uint64_t host_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

struct snpu_timing *snpu_timing_new(const struct snpu_topo *topo,
				    const struct snpu_timing_opts *opts, char *err, size_t err_len)
{
	struct snpu_timing *t = calloc(1, sizeof(*t));

	if (!t) {
		snprintf(err, err_len, "no memory for the timing plane");
		return NULL;
	}
	t->topo = topo;
	t->max_records = opts && opts->max_records ? opts->max_records : SNPU_TIMING_MAX_RECORDS;
	t->cost = snpu_cost_new(topo, opts && opts->ideal, err, err_len);
	if (!t->cost) {
		free(t);
		return NULL;
	}
	return t;
}

void snpu_timing_free(struct snpu_timing *t)
{
	if (!t)
		return;
	snpu_timing_forget(t);
	snpu_cost_free(t->cost);
	free(t->recs);
	free(t->changes);
	free(t);
}

int snpu_timing_add(struct snpu_timing *t, const struct snpu_plog_rec *recs, size_t n)
{
	struct snpu_activity a;
	size_t i, room;
	void *p;

	for (i = 0; i < n; i++)
		if (snpu_cost_packet(t->cost, &recs[i], &a) ||
		    (recs[i].op == SNPU_OP_CLOCK && recs[i].clock > SNPU_MAX_CLOCK))
			return -EINVAL;
	if (n > t->max_records - t->num)
		return -ENOSPC;
	if (t->num + n > t->room) {
		room = 2 * t->room > t->num + n ? 2 * t->room : t->num + n + 1024;
		p = realloc(t->recs, room * sizeof(*t->recs));
		if (!p)
			return -ENOMEM;
		t->recs = p;
		t->room = room;
	}
	if (n)
		memcpy(t->recs + t->num, recs, n * sizeof(*recs));
	t->num += n;
	t->ran = false;
	return 0;
}

int snpu_timing_link(struct snpu_timing *t, uint64_t at_ps, uint32_t link, double rate)
{
	struct snpu_timing_change *c;
	size_t i;

	if (link >= t->topo->num_links || !(rate >= 0))
		return -EINVAL;
	c = t->changes;
	/* a plane that goes down is thousands of changes */
	if (t->num_changes == t->room_changes) {
		size_t room = t->room_changes ? 2 * t->room_changes : 64;

		c = realloc(t->changes, room * sizeof(*c));
		if (!c)
			return -ENOMEM;
		t->changes = c;
		t->room_changes = room;
	}
	/* by time; of one time in the order they were said */
	for (i = t->num_changes++; i && c[i - 1].at > at_ps; i--)
		c[i] = c[i - 1];
	c[i] = (struct snpu_timing_change){ at_ps, link, rate };
	t->ran = false;
	return 0;
}

/* What a run made */
void snpu_timing_forget(struct snpu_timing *t)
{
	free(t->queues);
	free(t->begin);
	free(t->end);
	free(t->busy);
	free(t->link_busy);
	free(t->link_bytes);
	t->queues = NULL;
	t->num_queues = 0;
	t->begin = NULL;
	t->end = NULL;
	t->busy = NULL;
	t->link_busy = NULL;
	t->link_bytes = NULL;
	t->ran = false;
}

/* Times of a queue as its owner sees them: in order */
static void in_order(struct snpu_timing *t)
{
	uint32_t q;
	size_t i;

	for (q = 0; q < t->num_queues; q++) {
		const struct snpu_tq *tq = &t->queues[q];

		for (i = tq->first + 1; i < tq->first + tq->n; i++) {
			if (t->end[i] < t->end[i - 1])
				t->end[i] = t->end[i - 1];
			if (t->busy[i] < t->busy[i - 1])
				t->busy[i] = t->busy[i - 1];
		}
	}
}

static int keep_link_use(struct snpu_timing *t, const struct snpu_replay *r)
{
	uint32_t i;

	t->link_busy = calloc(t->topo->num_links + 1, sizeof(*t->link_busy));
	t->link_bytes = calloc(t->topo->num_links + 1, sizeof(*t->link_bytes));
	if (!t->link_busy || !t->link_bytes)
		return -ENOMEM;
	for (i = 0; i < t->topo->num_links; i++)
		snpu_replay_link_use(r, i, &t->link_busy[i], &t->link_bytes[i]);
	return 0;
}

int snpu_timing_run(struct snpu_timing *t)
{
	uint64_t start = host_ns();
	struct snpu_replay *r = NULL;
	int rc;

	if (t->ran)
		return 0;
	snpu_timing_forget(t);
	memset(&t->stats, 0, sizeof(t->stats));
	if (t->num > t->sorted) {
		snpu_plog_sort_more(t->recs, t->sorted, t->num);
		t->sorted = t->num;
	}
	rc = snpu_canon_queues(t);
	if (!rc) {
		t->begin = calloc(t->num + 1, sizeof(*t->begin));
		t->end = calloc(t->num + 1, sizeof(*t->end));
		t->busy = calloc(t->num + 1, sizeof(*t->busy));
		rc = t->begin && t->end && t->busy ? 0 : -ENOMEM;
	}
	if (!rc) {
		r = snpu_replay_new(t);
		rc = r ? snpu_replay_run(r) : -ENOMEM;
	}
	if (!rc)
		rc = keep_link_use(t, r);
	snpu_replay_free(r);
	if (rc) {
		snpu_timing_forget(t);
		return rc;
	}
	in_order(t);
	t->stats.records = t->num;
	t->stats.hash = snpu_canon_hash(t);
	t->stats.host_ns = host_ns() - start;
	t->ran = true;
	return 0;
}

/* ---- answers ---- */

/* Order of the log within one queue: the INDIRECT packet itself stands behind its buffer */
static int cmp_pos(const struct snpu_plog_rec *r, uint32_t node, uint32_t queue, uint32_t epoch,
		   uint64_t seq, uint32_t sub)
{
	if (r->node != node)
		return r->node < node ? -1 : 1;
	if (r->queue != queue)
		return r->queue < queue ? -1 : 1;
	if (r->epoch != epoch)
		return r->epoch < epoch ? -1 : 1;
	if (r->seq != seq)
		return r->seq < seq ? -1 : 1;
	if (r->sub != sub)
		return r->sub < sub ? -1 : 1;
	return 0;
}

/* First record that is not before the position */
static size_t lower_bound(const struct snpu_timing *t, uint32_t node, uint32_t queue,
			  uint32_t epoch, uint64_t seq, uint32_t sub)
{
	size_t lo = 0, hi = t->num;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (cmp_pos(&t->recs[mid], node, queue, epoch, seq, sub) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

int snpu_timing_find(const struct snpu_timing *t, uint32_t node, uint32_t queue, uint32_t epoch,
		     uint64_t seq, uint32_t sub, struct snpu_timing_span *out)
{
	size_t i, j;

	if (!t->ran)
		return -ENOENT;
	i = lower_bound(t, node, queue, epoch, seq, sub);
	if (i == t->num || cmp_pos(&t->recs[i], node, queue, epoch, seq, sub))
		return -ENOENT;
	*out = (struct snpu_timing_span){ t->begin[i], t->end[i], t->busy[i] };
	/* an indirect packet begins with its buffer */
	for (j = i; sub == SNPU_PLOG_RING && j && t->recs[j - 1].node == node &&
	     t->recs[j - 1].queue == queue && t->recs[j - 1].epoch == epoch &&
	     t->recs[j - 1].seq == seq; j--)
		out->begin = t->begin[j - 1];
	return 0;
}

uint64_t snpu_timing_tail(const struct snpu_timing *t, uint32_t node, uint32_t queue,
			  uint32_t epoch)
{
	size_t i;

	if (!t->ran)
		return 0;
	i = lower_bound(t, node, queue, epoch + 1, 0, 0);
	if (!i || t->recs[i - 1].node != node || t->recs[i - 1].queue != queue ||
	    t->recs[i - 1].epoch != epoch)
		return 0;
	return t->end[i - 1];
}

void snpu_timing_link_use(const struct snpu_timing *t, uint32_t link, uint64_t *busy_ps,
			  uint64_t *bytes)
{
	*busy_ps = 0;
	*bytes = 0;
	if (!t->ran || link >= t->topo->num_links)
		return;
	*busy_ps = t->link_busy[link];
	*bytes = t->link_bytes[link];
}

void snpu_timing_stats(const struct snpu_timing *t, struct snpu_timing_stats *out)
{
	*out = t->stats;
}
