// SPDX-License-Identifier: MIT
/*
 * Canonical names of queues, and the hash of a replay.
 *
 * The same program gets other queue numbers, epochs and addresses through another transport, or when
 * several processes race for them. So a queue is named by what it does: its packets, and for each
 * semaphore what all the queues that use it do there. Two rounds of that tell queues of an NPU apart
 * unless they are interchangeable.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "snpu_hw.h"
#include "timing/timing_priv.h"

/* A packet without what another run may choose otherwise */
static uint64_t content(uint64_t h, const struct snpu_plog_rec *r)
{
	unsigned int i;

	h = snpu_mix(h, r->op | (uint64_t)r->flags << 8 | (uint64_t)r->dtype << 16 |
		     (uint64_t)r->dtype2 << 24 | (uint64_t)r->sem_kind << 32 |
		     (uint64_t)r->sem_host << 40 | (uint64_t)r->die << 48 |
		     (uint64_t)r->timing_only << 56);
	h = snpu_mix(h, (uint64_t)r->read_node << 32 | r->write_node);
	h = snpu_mix(h, (uint64_t)r->sem_node << 32 | r->sub);
	h = snpu_mix(h, r->bytes_read);
	h = snpu_mix(h, r->bytes_written);
	h = snpu_mix(h, r->flops);
	h = snpu_mix(h, r->sem_value);
	h = snpu_mix(h, (uint64_t)r->m << 32 | r->n);
	h = snpu_mix(h, (uint64_t)r->k << 32 | r->groups);
	h = snpu_mix(h, r->clock);
	for (i = 0; i < SNPU_PLOG_SET_WORDS && (r->op == SNPU_OP_REDUCE_PULL ||
						r->op == SNPU_OP_MULTICAST); i++)
		h = snpu_mix(h, r->set[i]);
	return snpu_mix(h, (uint64_t)r->aux << 32 | r->host_mem);
}

static bool same_queue(const struct snpu_plog_rec *a, const struct snpu_plog_rec *b)
{
	return a->node == b->node && a->queue == b->queue && a->epoch == b->epoch;
}

static int find_queues(struct snpu_timing *t)
{
	uint32_t n = 0;
	size_t i;

	for (i = 0; i < t->num; i++)
		n += !i || !same_queue(&t->recs[i], &t->recs[i - 1]);
	t->queues = calloc(n + 1, sizeof(*t->queues));
	if (!t->queues)
		return -1;
	for (i = 0; i < t->num; i++) {
		if (!i || !same_queue(&t->recs[i], &t->recs[i - 1])) {
			t->queues[t->num_queues].first = i;
			t->queues[t->num_queues++].node = t->recs[i].node;
		}
		t->queues[t->num_queues - 1].n++;
	}
	return 0;
}

/* One round: semaphores are named by who uses them, then queues by their packets and semaphores */
static void name_round(struct snpu_timing *t, const struct snpu_sems *s, uint64_t *sem_name)
{
	uint32_t q, sem;
	size_t i;

	memset(sem_name, 0, ((size_t)snpu_sems_count(s) + 1) * sizeof(*sem_name));
	for (q = 0; q < t->num_queues; q++)
		for (i = 0; i < t->queues[q].n; i++) {
			sem = snpu_sems_of(s, t->queues[q].first + i);
			/* a sum: who comes first does not matter */
			if (sem != SNPU_SEMS_NONE)
				sem_name[sem] += snpu_mix(t->queues[q].name, i);
		}
	for (q = 0; q < t->num_queues; q++) {
		uint64_t h = snpu_mix(0x736e7075, t->queues[q].node);

		for (i = 0; i < t->queues[q].n; i++) {
			h = content(h, &t->recs[t->queues[q].first + i]);
			sem = snpu_sems_of(s, t->queues[q].first + i);
			if (sem != SNPU_SEMS_NONE)
				h = snpu_mix(h, sem_name[sem]);
		}
		t->queues[q].name = h;
	}
}

static int by_name(const void *pa, const void *pb)
{
	const struct snpu_tq *a = *(const struct snpu_tq *const *)pa;
	const struct snpu_tq *b = *(const struct snpu_tq *const *)pb;

	if (a->node != b->node)
		return a->node < b->node ? -1 : 1;
	if (a->name != b->name)
		return a->name < b->name ? -1 : 1;
	return (a->first > b->first) - (a->first < b->first);
}

int snpu_canon_queues(struct snpu_timing *t)
{
	struct snpu_sems *s = snpu_sems_new(t->recs, t->num);
	struct snpu_tq **order = NULL;
	uint64_t *sem_name = NULL;
	int round, rc = -ENOMEM;
	uint32_t q;

	if (!s || find_queues(t))
		goto out;
	order = malloc((t->num_queues + 1) * sizeof(struct snpu_tq *));
	sem_name = malloc(((size_t)snpu_sems_count(s) + 1) * sizeof(*sem_name));
	if (!order || !sem_name)
		goto out;
	for (round = 0; round < 3; round++)
		name_round(t, s, sem_name);
	for (q = 0; q < t->num_queues; q++)
		order[q] = &t->queues[q];
	qsort(order, t->num_queues, sizeof(struct snpu_tq *), by_name);
	for (q = 0; q < t->num_queues; q++)
		order[q]->rank = q;
	rc = 0;
out:
	free(order);
	free(sem_name);
	snpu_sems_free(s);
	return rc;
}

uint64_t snpu_canon_hash(const struct snpu_timing *t)
{
	uint64_t sum = 0, xor = 0, h;
	uint32_t q;
	size_t i;

	for (q = 0; q < t->num_queues; q++) {
		const struct snpu_tq *tq = &t->queues[q];

		h = tq->name;
		for (i = tq->first; i < tq->first + tq->n; i++) {
			h = snpu_mix(h, t->begin[i]);
			h = snpu_mix(h, t->end[i]);
		}
		sum += h;
		xor ^= snpu_mix(h, 1);
	}
	return snpu_mix(snpu_mix(sum, xor), t->num);
}
