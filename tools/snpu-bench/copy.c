// SPDX-License-Identifier: MIT
/* Rows of the copy engine: NPU to NPU, and between host and HBM. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "bench.h"

#define ROUNDS		30
#define WARM_UP		3
#define LIMIT_NS	(20ull * 1000 * 1000 * 1000)

/* One copy, from doorbell to completion: GB/s */
static int copy(struct snpu_queue *q, uint64_t dst, uint64_t src, double *rate)
{
	union snpu_pkt *p = snpu_queue_get(q);
	uint64_t position, start;
	int ret;

	if (!p)
		return -EAGAIN;
	snpu_prep_copy(p, dst, src, BENCH_COPY_BYTES);
	start = bench_now();
	ret = snpu_queue_submit(q, &position);
	if (!ret)
		ret = snpu_queue_wait(q, position, LIMIT_NS);
	*rate = (double)BENCH_COPY_BYTES / (double)(bench_now() - start);
	return ret;
}

/* Best rate of a copy, in turns with the CPU's own copies so that both see the same machine */
static int measure(struct snpu_queue *q, uint64_t dst, uint64_t src, struct bench_copier *c,
		   double *rate)
{
	double sample[ROUNDS];
	unsigned int i;
	int ret = 0;

	for (i = 0; i < WARM_UP && !ret; i++)
		ret = copy(q, dst, src, &sample[0]);
	for (i = 0; i < ROUNDS && !ret; i++) {
		if (c)
			bench_copier_round(c);
		ret = copy(q, dst, src, &sample[i]);
	}
	if (!ret)
		*rate = bench_best(sample, ROUNDS);
	return ret;
}

/* Writes something to memory through its CPU mapping, so that its pages are there */
static int touch(struct snpu_mem *mem, int value)
{
	void *ptr;
	int ret = snpu_mem_map(mem, &ptr);

	if (!ret)
		memset(ptr, value, BENCH_COPY_BYTES);
	return ret;
}

/* Compares where it is cheap: a copy that moved nothing would be fast */
static int arrived(struct snpu_mem *mem, int value)
{
	const unsigned char *p;
	void *ptr;
	size_t i;
	int ret = snpu_mem_map(mem, &ptr);

	if (ret)
		return ret;
	p = ptr;
	for (i = 0; i < BENCH_COPY_BYTES; i += 4095) {
		if (p[i] != value)
			return -EIO;
	}
	return 0;
}

static int peer_copy(struct bench *b, struct bench_copier *c, double *rate)
{
	struct snpu_mem *src = NULL, *dst = NULL, *seen = NULL;
	struct snpu_ctx *ctx[2] = { NULL, NULL };
	struct snpu_queue *q = NULL;
	unsigned int i;
	int ret = 0;

	for (i = 0; i < 2 && !ret; i++)
		ret = snpu_ctx_create(b->snpu, i, &ctx[i]);
	if (!ret)
		ret = snpu_queue_create(ctx[0], NULL, &q);
	if (!ret)
		ret = snpu_mem_alloc(ctx[0], BENCH_COPY_BYTES, SNPU_MEM_HBM, &src);
	if (!ret)
		ret = snpu_mem_alloc(ctx[1], BENCH_COPY_BYTES, SNPU_MEM_HBM, &dst);
	if (!ret)
		ret = snpu_mem_share(ctx[0], dst, 0, &seen);
	if (!ret)
		ret = touch(src, 0x35);
	if (!ret)
		ret = touch(dst, 0);
	if (!ret)
		ret = measure(q, snpu_mem_va(seen), snpu_mem_va(src), c, rate);
	if (!ret)
		ret = arrived(dst, 0x35);
	if (seen)
		snpu_mem_free(seen);
	if (dst)
		snpu_mem_free(dst);
	if (src)
		snpu_mem_free(src);
	if (q)
		snpu_queue_destroy(q);
	for (i = 0; i < 2; i++) {
		if (ctx[i])
			snpu_ctx_destroy(ctx[i]);
	}
	return ret;
}

/**
 * bench_peer_copy - copy of 64 MiB from NPU 0 to NPU 1
 * @b: NPUs and options
 *
 * Return: 0 or a negative errno
 */
int bench_peer_copy(struct bench *b)
{
	const char *name = "peer-copy-direct";
	struct bench_copier *c;
	double rate = NAN;
	int ret;

	if (b->guest)
		return bench_row_missing(name, "not measured: needs the transport direct");
	if (snpu_count(b->snpu) < 2)
		return bench_row_missing(name, "not measured: needs two NPUs");
	ret = bench_copier_create(&c);
	if (ret)
		return bench_row_missing(name, bench_why(ret));
	ret = peer_copy(b, c, &rate);
	if (ret)
		ret = bench_row_missing(name, bench_why(ret));
	else
		ret = bench_row(name, rate, bench_copier_best(c), true, "64 MiB, best of 30");
	bench_copier_destroy(c);
	return ret;
}

static int dma(struct bench *b, struct bench_copier *c, double *to, double *back)
{
	struct snpu_mem *host = NULL, *hbm = NULL;
	struct snpu_queue *q = NULL;
	struct snpu_ctx *ctx;
	int ret;

	ret = snpu_ctx_create(b->snpu, 0, &ctx);
	if (ret)
		return ret;
	ret = snpu_queue_create(ctx, NULL, &q);
	if (!ret)
		ret = snpu_mem_alloc(ctx, BENCH_COPY_BYTES, SNPU_MEM_HOST, &host);
	if (!ret)
		ret = snpu_mem_alloc(ctx, BENCH_COPY_BYTES, SNPU_MEM_HBM, &hbm);
	if (!ret)
		ret = touch(host, 0x53);
	if (!ret)
		ret = touch(hbm, 0);
	if (!ret)
		ret = measure(q, snpu_mem_va(hbm), snpu_mem_va(host), c, to);
	if (!ret)
		ret = arrived(hbm, 0x53);
	if (!ret)
		ret = touch(hbm, 0x35);
	if (!ret)
		ret = measure(q, snpu_mem_va(host), snpu_mem_va(hbm), c, back);
	if (!ret)
		ret = arrived(host, 0x35);
	if (hbm)
		snpu_mem_free(hbm);
	if (host)
		snpu_mem_free(host);
	if (q)
		snpu_queue_destroy(q);
	snpu_ctx_destroy(ctx);
	return ret;
}

/**
 * bench_dma - copies of 64 MiB from host memory to HBM and back
 * @b: NPUs and options
 *
 * Return: 0 or a negative errno
 */
int bench_dma(struct bench *b)
{
	double to = NAN, back = NAN, limit = b->limit;
	struct bench_copier *c = NULL;
	const char *note = "64 MiB, best of 30";
	int ret = 0;

	if (!b->guest)
		note = "64 MiB, best of 30; direct, not a guest";
	if (!limit) {
		ret = bench_copier_create(&c);
		if (b->guest)
			note = "64 MiB, best of 30; limit measured in the guest, give --limit";
	}
	if (!ret)
		ret = dma(b, c, &to, &back);
	if (!ret && c)
		limit = bench_copier_best(c);
	bench_copier_destroy(c);
	if (ret) {
		note = bench_why(ret);
		ret = bench_row_missing("host-to-hbm-guest", note);
		return ret ? ret : bench_row_missing("hbm-to-host-guest", note);
	}
	ret = bench_row("host-to-hbm-guest", to, limit, b->guest, note);
	return ret ? ret : bench_row("hbm-to-host-guest", back, limit, b->guest, note);
}
