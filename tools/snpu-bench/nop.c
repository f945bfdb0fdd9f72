// SPDX-License-Identifier: MIT
/* Rows of the queue: latency and throughput of packets that do nothing. */
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench.h"

#define SAMPLES_MAX	200000u
#define WARM_UP		2000u
#define RING		16384u	/* entries: enough when the scheduler lets one side run at a time */
#define SLICES		10u	/* of a measurement */

/* struct latency - what the measuring thread gets and gives */
struct latency {
	struct snpu_queue *q;
	double seconds;
	bool count;		/* count system calls */
	double *sample;		/* us */
	unsigned int total;
	double best;		/* median of the best slice, for the note */
	unsigned int woke;	/* packets left out, since the device slept */
	int wakes_ret;
	struct bench_wakes *counter;
	int ret;
};

/* One packet: from before its doorbell to its completion seen */
static int once(struct snpu_queue *q, double *us)
{
	uint64_t start = bench_now(), position;
	union snpu_pkt *p;
	int ret;

	p = snpu_queue_get(q);
	if (!p)
		return -EAGAIN;
	snpu_prep_nop(p);
	ret = snpu_queue_submit(q, &position);
	if (ret)
		return ret;
	do {
		ret = snpu_queue_poll(q, position);
	} while (!ret);
	*us = (double)(bench_now() - start) / 1000;
	return ret < 0 ? ret : 0;
}

/* Packets one at a time for a tenth of the time; one that found the device asleep is left out */
static int slice(struct latency *l)
{
	uint64_t end = bench_now() + (uint64_t)(l->seconds * 1e9 / SLICES), before;
	unsigned int tries = 0, first = l->total;
	double us, median;
	int ret;

	while (tries++ < SAMPLES_MAX && (l->total - first < 100 || bench_now() < end)) {
		before = l->counter ? bench_wakes_count(l->counter) : 0;
		ret = once(l->q, &us);
		if (ret)
			return ret;
		if (l->counter && bench_wakes_count(l->counter) != before)
			l->woke++;
		else
			l->sample[l->total++] = us;
	}
	/* sorts them; the whole is sorted once more in the end */
	median = bench_median(l->sample + first, l->total - first);
	if (!(l->best <= median))
		l->best = median;
	return 0;
}

static void *measure(void *arg)
{
	struct latency *l = arg;
	unsigned int i;
	double us;

	for (i = 0; i < WARM_UP && !l->ret; i++)
		l->ret = once(l->q, &us);
	if (l->count)
		l->wakes_ret = bench_wakes_start(&l->counter);
	for (i = 0; i < SLICES && !l->ret; i++)
		l->ret = slice(l);
	return NULL;
}

static int queue(struct bench *b, struct snpu_ctx **ctx, struct snpu_queue **q)
{
	struct snpu_queue_params params = { .field_mask = SNPU_QUEUE_ENTRIES, .entries = RING };
	int ret = snpu_ctx_create(b->snpu, 0, ctx);

	if (ret)
		return ret;
	ret = snpu_queue_create(*ctx, &params, q);
	if (ret)
		snpu_ctx_destroy(*ctx);
	return ret;
}

static int latency(struct bench *b, struct latency *l)
{
	struct snpu_ctx *ctx;
	pthread_t thread;
	int ret;

	l->sample = malloc(SLICES * SAMPLES_MAX * sizeof(*l->sample));
	if (!l->sample)
		return -ENOMEM;
	ret = queue(b, &ctx, &l->q);
	if (ret)
		return ret;
	/* a thread of its own: what counts its system calls ends with it */
	ret = -pthread_create(&thread, NULL, measure, l);
	if (!ret) {
		pthread_join(thread, NULL);
		ret = l->ret;
	}
	if (l->counter)
		bench_wakes_stop(l->counter);
	snpu_queue_destroy(l->q);
	snpu_ctx_destroy(ctx);
	return ret;
}

/**
 * bench_nop - latency of one packet at a time
 * @b: NPUs and options
 *
 * Return: 0 or a negative errno
 */
int bench_nop(struct bench *b)
{
	const char *name = b->guest ? "nop-latency-guest" : "nop-latency-direct";
	struct latency l = { .seconds = b->seconds, .count = b->guest, .best = NAN };
	double hop = NAN;
	char note[128];
	int ret;

	ret = bench_limit_hop(&hop);
	if (!ret)
		ret = latency(b, &l);
	if (ret) {
		free(l.sample);
		return bench_row_missing(name, bench_why(ret));
	}
	if (!b->guest)
		snprintf(note, sizeof(note), "median of %u; of the best tenth %.2f", l.total,
			 l.best);
	else if (l.wakes_ret)
		snprintf(note, sizeof(note), "system calls could not be counted: %s",
			 bench_why(l.wakes_ret));
	else
		snprintf(note, sizeof(note),
			 "median of %u without a system call, of the best tenth %.2f; %u with one",
			 l.total, l.best, l.woke);
	/* the figure is that of a device that is awake: it must have been most of the time */
	ret = bench_row(name, bench_median(l.sample, l.total), hop,
			!b->guest || (!l.wakes_ret && l.woke < l.total), note);
	free(l.sample);
	return ret;
}

/* Packets in batches, the ring kept full: million a second, the median of some slices */
static int throughput(struct snpu_queue *q, double seconds, double *mpps)
{
	uint64_t start = bench_now(), now, position = 0, done = 0, put = 0;
	double rate[SLICES + 1];
	unsigned int i, n = 0;
	union snpu_pkt *p;
	int ret;

	while (n <= SLICES) {
		for (i = 0; i < BENCH_BATCH; i++) {
			while (!(p = snpu_queue_get(q))) {
				ret = snpu_queue_poll(q, position);
				if (ret < 0)
					return ret;
			}
			snpu_prep_nop(p);
		}
		ret = snpu_queue_submit(q, &position);
		if (ret)
			return ret;
		if (++put % 256)
			continue;
		now = bench_now();
		if ((double)(now - start) < seconds * 1e9 / SLICES)
			continue;
		rate[n++] = (double)(snpu_queue_completed(q) - done) * 1000 / (double)(now - start);
		done = snpu_queue_completed(q);
		start = now;
	}
	*mpps = bench_median(rate + 1, SLICES);	/* the first is for warming up */
	return snpu_queue_wait(q, position, 10ull * 1000 * 1000 * 1000);
}

/**
 * bench_throughput - packets a second through one queue
 * @b: NPUs and options
 *
 * Return: 0 or a negative errno
 */
int bench_throughput(struct bench *b)
{
	const char *name = "nop-throughput-direct";
	double limit = NAN, mpps = NAN;
	struct snpu_queue *q;
	struct snpu_ctx *ctx;
	int ret;

	if (b->guest)
		return bench_row_missing(name, "not measured: needs the transport direct");
	ret = bench_limit_ring(&limit);
	if (!ret)
		ret = queue(b, &ctx, &q);
	if (!ret) {
		ret = throughput(q, b->seconds, &mpps);
		snpu_queue_destroy(q);
		snpu_ctx_destroy(ctx);
	}
	if (ret)
		return bench_row_missing(name, bench_why(ret));
	return bench_row(name, mpps, limit, true, "batches of 64, median of ten");
}
