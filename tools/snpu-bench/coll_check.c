// SPDX-License-Identifier: MIT
/*
 * snpu-bench coll: operands, and results compared bit for bit with the reference.
 *
 * Operands are cut from one table, for each rank from another place on, so that no two ranks have
 * the same and no rank's operand needs memory of its own.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coll.h"

/* Reals between -1 and 1; for products 0.5 to 2, so that they stay in range; any integers */
static void element(void *p, unsigned int dtype, unsigned int redop, uint64_t x)
{
	float f = (float)(int32_t)(x >> 32) * 0x1p-31f;
	uint32_t bits, a;
	uint16_t h;

	f = redop == SNPU_COLL_PROD ? exp2f(f) : f;
	bits = snpu_f32_bits(f);
	a = bits & 0x7fffffff;
	switch (dtype) {
	case SNPU_DT_F32:
		memcpy(p, &f, 4);
		break;
	case SNPU_DT_BF16:
		h = (uint16_t)(bits >> 16);
		memcpy(p, &h, 2);
		break;
	case SNPU_DT_F16:
		h = (uint16_t)((bits >> 16 & 0x8000) |
			       (a < 0x38800000 ? 0 : (a - 0x38000000) >> 13));
		memcpy(p, &h, 2);
		break;
	default:
		memcpy(p, &x, snpu_dtype_size(dtype));
	}
}

/**
 * coll_table_fill - makes the table of operands
 * @w: world
 *
 * Return: 0 or a negative errno, said on stderr
 */
int coll_table_fill(struct coll_world *w)
{
	const unsigned int esize = (unsigned int)snpu_dtype_size(w->o->dtype);
	const uint64_t period = (uint64_t)COLL_PERIOD * esize, bytes = 2 * period + w->bytes;
	uint64_t x = 0x9e3779b97f4a7c15ull, at;
	unsigned int i;

	w->table = malloc(bytes);
	if (!w->table)
		return bench_fail(-ENOMEM, "coll: table of operands");
	for (i = 0; i < COLL_PERIOD; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		element(w->table + i * esize, w->o->dtype, w->o->redop, x);
	}
	for (at = period; at < bytes; at += period)
		memcpy(w->table + at, w->table, bytes - at < period ? bytes - at : period);
	return 0;
}

/* What rank @rank sends */
const void *coll_input(const struct coll_world *w, unsigned int rank)
{
	return w->table + (uint64_t)rank * COLL_SHIFT % COLL_PERIOD * snpu_dtype_size(w->o->dtype);
}

static uint64_t differ(const uint8_t *a, const uint8_t *b, uint64_t n, unsigned int esize)
{
	uint64_t i, bad = 0;

	if (!memcmp(a, b, n * esize))
		return 0;
	for (i = 0; i < n; i++)
		bad += !!memcmp(a + i * esize, b + i * esize, esize);
	return bad;
}

static bool reduces(unsigned int op)
{
	return op == SNPU_COLL_ALL_REDUCE || op == SNPU_COLL_REDUCE || op == SNPU_COLL_REDUCE_SCATTER;
}

/* What only moves is what its senders had, whatever way it took */
static void moved(const struct coll_world *w, const struct coll_case *c, unsigned int rank,
		  uint8_t *out)
{
	const uint64_t bytes = c->count * snpu_dtype_size(w->o->dtype);
	unsigned int r;

	if (c->op == SNPU_COLL_BROADCAST) {
		memcpy(out, coll_input(w, w->o->root), bytes);
		return;
	}
	for (r = 0; r < w->total; r++) {
		const uint8_t *in = coll_input(w, r);

		memcpy(out + r * bytes, c->op == SNPU_COLL_ALL_TO_ALL ? in + rank * bytes : in,
		       bytes);
	}
}

static int reference(struct coll_world *w, const struct coll_case *c, void **recv)
{
	struct snpu_coll_ref ref = {
		.op = c->op, .redop = w->o->redop, .dtype = w->o->dtype, .nranks = w->total,
		.root = w->o->root, .count = c->count, .recv = recv,
	};
	const void **send = calloc(w->total, sizeof(*send));
	unsigned int *hosts = calloc(w->total, sizeof(*hosts)), r;
	int ret = send && hosts ? 0 : -ENOMEM;

	for (r = 0; r < w->total && !ret; r++) {
		send[r] = coll_input(w, r);
		hosts[r] = (unsigned int)snpu_coll_host_of(w->rank[0].comm, r);
	}
	ref.send = send;
	ref.hosts = hosts;
	ref.algo = (unsigned int)snpu_coll_algo_of(w->rank[0].comm, c->op, c->size);
	if (!ret)
		ret = snpu_coll_reference(&ref);
	free(send);
	free(hosts);
	return ret ? coll_fail_why(ret, "reference") : 0;
}

/* The results of all ranks here, by the reference's schedule; entries of others stay NULL if @op moves */
static int expected(struct coll_world *w, const struct coll_case *c, uint64_t bytes, void **recv)
{
	unsigned int r, first = reduces(c->op) ? 0 : w->o->base;
	unsigned int end = reduces(c->op) ? w->total : w->o->base + w->n;

	for (r = first; r < end; r++) {
		recv[r] = malloc(bytes + 1);
		if (!recv[r])
			return bench_fail(-ENOMEM, "coll: results to compare with");
		if (!reduces(c->op))
			moved(w, c, r, recv[r]);
	}
	return reduces(c->op) ? reference(w, c, recv) : 0;
}

/**
 * coll_check_results - counts the wrong elements of every rank here
 * @w: world
 * @c: what was done; receives the sum
 *
 * Return: 0 or a negative errno, said on stderr
 */
int coll_check_results(struct coll_world *w, struct coll_case *c)
{
	const unsigned int esize = (unsigned int)snpu_dtype_size(w->o->dtype);
	const uint64_t out = coll_elems(w, c->op, c->count, true);
	void **recv = calloc(w->total, sizeof(*recv));
	unsigned int r, i;
	int ret = recv ? expected(w, c, out * esize, recv) : -ENOMEM;

	c->wrong = 0;
	for (i = 0; i < w->n && !ret; i++) {
		const uint8_t *got = w->rank[i].ptr[!w->o->in_place];

		r = w->o->base + i;
		w->rank[i].wrong = 0;
		if (c->op == SNPU_COLL_REDUCE && r != w->o->root)
			continue;
		if (w->o->in_place && c->op == SNPU_COLL_REDUCE_SCATTER)
			got += r * c->count * esize;
		w->rank[i].wrong = differ(got, recv[r], out, esize);
		c->wrong += w->rank[i].wrong;
	}
	for (r = 0; recv && r < w->total; r++)
		free(recv[r]);
	free(recv);
	return ret;
}
