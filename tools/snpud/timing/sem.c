// SPDX-License-Identifier: MIT
/*
 * Semaphores of a packet log. One is named by where it is and by how often that memory was made
 * anew before; here they get numbers.
 */
#include <stdlib.h>
#include <string.h>

#include "timing/timing_priv.h"

struct sem {
	uint64_t addr;
	uint32_t node, gen;
	uint8_t host;
	uint64_t value;
	uint64_t reach;		/* the largest value that logged signals can bring it to */
};

struct snpu_sems {
	struct sem *sem;
	uint32_t num;
	uint32_t *of;		/* [record] */
};

struct key {
	struct sem s;
	size_t rec;
};

static int cmp_sem(const struct sem *a, const struct sem *b)
{
	if (a->node != b->node)
		return a->node < b->node ? -1 : 1;
	if (a->host != b->host)
		return a->host < b->host ? -1 : 1;
	if (a->addr != b->addr)
		return a->addr < b->addr ? -1 : 1;
	if (a->gen != b->gen)
		return a->gen < b->gen ? -1 : 1;
	return 0;
}

static int cmp_key(const void *pa, const void *pb)
{
	const struct key *a = pa, *b = pb;
	int c = cmp_sem(&a->s, &b->s);

	return c ? c : (a->rec > b->rec) - (a->rec < b->rec);
}

static bool is_wait(const struct snpu_plog_rec *r)
{
	return r->sem_kind == SNPU_PLOG_SEM_GE || r->sem_kind == SNPU_PLOG_SEM_EQ;
}

static uint64_t add_sat(uint64_t a, uint64_t b)
{
	return a + b < a ? UINT64_MAX : a + b;
}

static uint64_t largest_set(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

struct snpu_sems *snpu_sems_new(const struct snpu_plog_rec *recs, size_t n)
{
	struct snpu_sems *s = calloc(1, sizeof(*s));
	uint64_t set = 0, sum = 0;
	struct key *keys = NULL;
	size_t i, k = 0;

	if (!s)
		return NULL;
	for (i = 0; i < n; i++)
		k += recs[i].sem_kind != SNPU_PLOG_SEM_NONE;
	s->of = malloc((n + 1) * sizeof(*s->of));
	s->sem = calloc(k + 1, sizeof(*s->sem));
	keys = malloc((k + 1) * sizeof(*keys));
	if (!s->of || !s->sem || !keys) {
		free(keys);
		snpu_sems_free(s);
		return NULL;
	}
	memset(s->of, 0xff, (n + 1) * sizeof(*s->of));
	for (i = 0, k = 0; i < n; i++) {
		if (recs[i].sem_kind == SNPU_PLOG_SEM_NONE)
			continue;
		keys[k++] = (struct key){ .rec = i, .s = {
			.addr = recs[i].sem_addr, .node = recs[i].sem_node,
			.host = recs[i].sem_host, .gen = recs[i].sem_gen } };
	}
	qsort(keys, k, sizeof(*keys), cmp_key);
	for (i = 0; i < k; i++) {
		const struct snpu_plog_rec *r = &recs[keys[i].rec];

		if (!i || cmp_sem(&keys[i].s, &keys[i - 1].s)) {
			s->sem[s->num++] = keys[i].s;
			set = 0;
			sum = 0;
		}
		s->of[keys[i].rec] = s->num - 1;
		if (r->sem_kind == SNPU_PLOG_SEM_SET)
			set = largest_set(set, r->sem_value);
		else if (!is_wait(r))
			sum = add_sat(sum, r->sem_value);
		s->sem[s->num - 1].reach = add_sat(set, sum);
	}
	free(keys);
	return s;
}

void snpu_sems_free(struct snpu_sems *s)
{
	if (!s)
		return;
	free(s->sem);
	free(s->of);
	free(s);
}

uint32_t snpu_sems_of(const struct snpu_sems *s, size_t rec)
{
	return s->of[rec];
}

uint32_t snpu_sems_count(const struct snpu_sems *s)
{
	return s->num;
}

void snpu_sems_signal(struct snpu_sems *s, const struct snpu_plog_rec *r, uint32_t sem)
{
	if (r->sem_kind == SNPU_PLOG_SEM_SET)
		s->sem[sem].value = r->sem_value;
	else if (r->sem_kind == SNPU_PLOG_SEM_ADD)
		s->sem[sem].value += r->sem_value;
}

bool snpu_sems_met(const struct snpu_sems *s, const struct snpu_plog_rec *r, uint32_t sem)
{
	uint64_t v = s->sem[sem].value;

	return r->sem_kind == SNPU_PLOG_SEM_EQ ? v == r->sem_value : v >= r->sem_value;
}

bool snpu_sems_within(const struct snpu_sems *s, const struct snpu_plog_rec *r, uint32_t sem)
{
	return r->sem_value <= s->sem[sem].reach;
}
