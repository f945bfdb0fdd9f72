// SPDX-License-Identifier: MIT
/*
 * Many threads, all NPUs.
 */
#include <pthread.h>

#include "tap.h"

enum { THREADS = 8 };

struct job {
	struct snpu_ctx *ctx;
	unsigned int n;
	uint64_t bad;
};

/* A queue of its own in a context of all: allocates, computes, frees */
static void *own_queue(void *arg)
{
	struct job *j = arg;
	struct snpu_queue *q;
	struct snpu_mem *m;
	unsigned int i, k;
	uint64_t va;
	void *p;

	if (snpu_queue_create(j->ctx, NULL, &q)) {
		j->bad = 1;
		return NULL;
	}
	for (i = 0; i < 12; i++) {
		uint64_t bytes = 4096u << (i % 4);

		if (snpu_mem_alloc(j->ctx, bytes, i & 1 ? SNPU_MEM_HOST : SNPU_MEM_HBM, &m) ||
		    snpu_mem_map(m, &p)) {
			j->bad += 1000;
			break;
		}
		va = snpu_mem_va(m);
		for (k = 0; k < 20; k++)
			snpu_prep_fill(t_pkt(q), va, bytes, (j->n << 4) | (k & 15), 1);
		snpu_prep_fill(t_pkt(q), va, bytes, 0x100 * j->n + i, 4);
		j->bad += !!t_run(q);
		for (k = 0; k < bytes / 4; k++)
			j->bad += ((uint32_t *)p)[k] != 0x100 * j->n + i;
		j->bad += !!snpu_mem_free(m);
	}
	j->bad += !!snpu_queue_destroy(q);
	return NULL;
}

static void run_jobs(struct job *j, unsigned int n, void *(*fn)(void *))
{
	pthread_t th[64];
	unsigned int i;

	for (i = 0; i < n; i++)
		NEED(!pthread_create(&th[i], NULL, fn, &j[i]));
	for (i = 0; i < n; i++) {
		pthread_join(th[i], NULL);
		CHECK_EQ(j[i].bad, 0);
	}
}

static void one_context(void)
{
	struct job j[THREADS];
	struct snpu_ctx *ctx;
	unsigned int i;

	NEED(!snpu_ctx_create(t_snpu(), 0, &ctx));
	for (i = 0; i < THREADS; i++)
		j[i] = (struct job){ .ctx = ctx, .n = i };
	run_jobs(j, THREADS, own_queue);
	CHECK_EQ(snpu_ctx_destroy(ctx), 0);
}

/* Contexts come and go; last_error is each thread's own */
static void *own_context(void *arg)
{
	struct job *j = arg;
	struct snpu_info info;
	struct snpu_ctx *ctx;
	unsigned int i;
	char want[32];

	snprintf(want, sizeof(want), "NPU %u is", 1000 + j->n);
	for (i = 0; i < 5; i++) {
		if (snpu_ctx_create(t_snpu(), j->n % 2, &ctx)) {
			j->bad++;
			continue;
		}
		j->ctx = ctx;
		j->bad += snpu_get_info(t_snpu(), 1000 + j->n, &info, 8) != -EINVAL;
		if (i == 2)
			own_queue(j);
		j->bad += i != 2 && !strstr(snpu_last_error(), want);
		j->bad += !!snpu_ctx_destroy(ctx);
	}
	return NULL;
}

static void contexts(void)
{
	struct job j[THREADS] = { 0 };
	unsigned int i;

	t_snpu();
	for (i = 0; i < THREADS; i++)
		j[i].n = i;
	run_jobs(j, THREADS, own_context);
}

/* The first use of each NPU, by threads that race for it */
static void *first_use(void *arg)
{
	struct job *j = arg;
	struct snpu_info info;
	unsigned int i;

	for (i = 0; i < snpu_count(t_snpu()); i++)
		j->bad += !!snpu_get_info(t_snpu(), i, &info, sizeof(info));
	return NULL;
}

static void race_to_open(void)
{
	struct job j[4] = { 0 };

	t_close();
	t_snpu();
	run_jobs(j, 4, first_use);
}

/* A ring over all NPUs at once: each copies from its neighbour, in steps, by events only */
static void all_npus(void)
{
	struct snpu *s = t_snpu();
	unsigned int n = snpu_count(s), i, r, bad = 0;
	static struct t_dev d[64];
	static struct snpu_event *ev[64];
	static struct snpu_mem *left[64];
	uint64_t pos[64], va;

	NEED(n >= 2 && n <= 64);
	for (i = 0; i < n; i++) {
		NEED(!t_dev_open(&d[i], i, 65536, SNPU_MEM_HBM));
		NEED(!snpu_event_create(d[i].ctx, &ev[i]));
		*(uint32_t *)(void *)d[i].p = i + 1;
	}
	for (i = 0; i < n; i++)
		NEED(!snpu_mem_share(d[i].ctx, d[(i + n - 1) % n].mem, 0, &left[i]));
	for (r = 0; r + 1 < n; r++)
		for (i = 0; i < n; i++) {
			unsigned int l = (i + n - 1) % n;

			/* the left neighbour has its block of this round */
			CHECK_EQ(snpu_event_va(ev[l], d[i].ctx, &va), 0);
			snpu_prep_wait(t_pkt(d[i].q), va, r, SNPU_SEM_GE, 0);
			snpu_prep_copy(t_pkt(d[i].q), d[i].va + (r + 1) * 4,
				       snpu_mem_va(left[i]) + r * 4, 4);
			CHECK_EQ(snpu_event_va(ev[i], d[i].ctx, &va), 0);
			snpu_prep_signal(t_pkt(d[i].q), va, r + 1, SNPU_SEM_SET);
		}
	for (i = 0; i < n; i++)
		CHECK_EQ(snpu_queue_submit(d[i].q, &pos[i]), 0);
	for (i = 0; i < n; i++)
		CHECK_EQ(snpu_queue_wait(d[i].q, pos[i], T_LONG), 0);
	for (i = 0; i < n; i++)
		for (r = 0; r < n; r++)
			bad += ((uint32_t *)(void *)d[i].p)[r] != (i + n - r) % n + 1;
	CHECK_EQ(bad, 0);
	for (i = 0; i < n; i++) {
		CHECK_EQ(snpu_mem_free(left[i]), 0);
		CHECK_EQ(snpu_event_destroy(ev[i]), 0);
	}
	for (i = 0; i < n; i++)
		t_dev_close(&d[i]);
}

static const struct t_case cases[] = {
	{ "8 threads, each with a queue of one context", one_context, T_BOTH },
	{ "8 threads with contexts of their own", contexts, T_BOTH },
	{ "threads race for the first use", race_to_open, T_BOTH },
	{ "a ring over all NPUs", all_npus, T_BOTH },
};

int main(void)
{
	return t_main(cases, sizeof(cases) / sizeof(cases[0]));
}
