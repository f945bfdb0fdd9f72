// SPDX-License-Identifier: MIT
/*
 * Collectives of 384 ranks, one on each NPU of 48 hosts, in bf16: every element of every rank bit
 * for bit that of the reference, and near the exact sum. In a guest, of one rank on each NPU it has.
 */
#include <math.h>
#include <stdio.h>

#include <snpu/coll.h>

#include "tap.h"

#define RANKS	384
#define COUNT	10007		/* not a multiple of anything */
#define PERIOD	4093		/* operands are cut from one table */
#define BYTES	(64u << 10)

static unsigned int ranks = RANKS;
static struct t_dev dev[RANKS];
static struct snpu_coll *comm[RANKS];
static uint16_t table[PERIOD + COUNT];
static uint16_t result[RANKS][COUNT];
static const void *in[RANKS];
static void *out[RANKS];
static unsigned int hosts[RANKS];

static float value(uint16_t h)
{
	uint32_t u = (uint32_t)h << 16;
	float f;

	memcpy(&f, &u, sizeof(f));
	return f;
}

static bool make(unsigned int algo)
{
	struct snpu_coll_params p = { .field_mask = SNPU_COLL_PARAM_ALGO, .algo = algo };
	struct snpu_ctx *ctx[RANKS];
	unsigned int r;

	for (r = 0; r < ranks; r++)
		ctx[r] = dev[r].ctx;
	if (!snpu_coll_init_all(comm, ctx, ranks, &p))
		return true;
	t_fail(__FILE__, __LINE__, "%s", snpu_coll_last_error());
	return false;
}

static void unmake(void)
{
	unsigned int r;

	for (r = 0; r < ranks; r++)
		CHECK_EQ(snpu_coll_destroy(comm[r]), 0);
}

static void open_all(void)
{
	struct snpu_info info;
	unsigned int r, i;
	uint64_t x = 88172645463325252ull;

	if (!t_direct() && snpu_count(t_snpu()) < RANKS)
		ranks = snpu_count(t_snpu());
	NEED(snpu_count(t_snpu()) >= ranks && ranks > 1);
	for (i = 0; i < PERIOD + COUNT; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		table[i] = i < PERIOD ? (uint16_t)(snpu_f32_bits((float)(int32_t)(x >> 32) *
								 0x1p-31f) >> 16) :
					table[i - PERIOD];
	}
	for (r = 0; r < ranks; r++) {
		NEED(!t_dev_open(&dev[r], r, BYTES, SNPU_MEM_HBM));
		NEED(!snpu_get_info(t_snpu(), r, &info, sizeof(info)));
		hosts[r] = info.host;
		in[r] = table + r * 997 % PERIOD;
		out[r] = result[r];
	}
}

static void close_all(void)
{
	unsigned int r;

	for (r = 0; r < ranks; r++)
		t_dev_close(&dev[r]);
}

/*
 * Largest error of the sums, as part of a tenth of the sum of magnitudes. The proven bound for 383
 * roundings to 8 bits in a row says nothing (it is above that sum); no order of additions that
 * loses or repeats an operand of average size would be seen by it, but bit equality sees all.
 */
static double worst(void)
{
	double most = 0, sum, mag, err;
	unsigned int i, r;

	for (i = 0; i < COUNT; i++) {
		for (sum = mag = 0, r = 0; r < ranks; r++) {
			sum += value(((const uint16_t *)in[r])[i]);
			mag += fabs(value(((const uint16_t *)in[r])[i]));
		}
		err = fabs(value(result[0][i]) - sum) / (mag * 0.1);
		most = err > most || isnan(err) ? err : most;
	}
	return most;
}

static void sum(unsigned int algo, bool reg)
{
	struct snpu_coll_ref ref = {
		.op = SNPU_COLL_ALL_REDUCE, .algo = algo, .dtype = SNPU_DT_BF16, .nranks = ranks,
		.hosts = hosts, .count = COUNT, .send = in, .recv = out,
	};
	uint64_t pos[RANKS], bad = 0, begin = t_now(), start;
	unsigned int r;
	double err;

	NEED(make(algo));
	for (r = 0; r < ranks; r++) {
		if (reg)
			CHECK_EQ(snpu_coll_register(comm[r], dev[r].mem), 0);
		memcpy(dev[r].p, in[r], COUNT * 2);
	}
	start = t_now();
	for (r = 0; r < ranks; r++) {
		CHECK_EQ(snpu_coll_all_reduce(comm[r], dev[r].q, dev[r].va, dev[r].va + BYTES / 2,
					      COUNT, SNPU_DT_BF16, SNPU_COLL_SUM), 0);
		CHECK_EQ(snpu_queue_submit(dev[r].q, &pos[r]), 0);
	}
	for (r = 0; r < ranks; r++)
		CHECK_EQ(snpu_queue_wait(dev[r].q, pos[r], T_LONG), 0);
	printf("# %s%s: set up in %.2f s, %u x %u bf16 in %.3f s\n", snpu_coll_algo_name(algo),
	       reg ? ", registered" : "", (double)(start - begin) / 1e9, ranks, COUNT,
	       (double)(t_now() - start) / 1e9);
	CHECK_EQ(snpu_coll_reference(&ref), 0);
	for (r = 0; r < ranks; r++)
		bad += !!memcmp(dev[r].p + BYTES / 2, result[r], COUNT * 2);
	CHECK_EQ(bad, 0);
	err = worst();
	if (!(err < 1))
		t_fail(__FILE__, __LINE__, "an error of %g of the sum of magnitudes", err / 10);
	unmake();
}

static void ring(void)
{
	sum(SNPU_COLL_RING, false);
}

static void hd(void)
{
	sum(SNPU_COLL_HD, false);
}

static void tree(void)
{
	sum(SNPU_COLL_TREE, false);
}

static void hier(void)
{
	sum(SNPU_COLL_HIER, false);
}

static void registered(void)
{
	sum(SNPU_COLL_HIER, true);
}

static void exchange(void)
{
	uint64_t pos[RANKS], bad = 0;
	unsigned int r, s;

	NEED(make(SNPU_COLL_HIER));
	for (r = 0; r < ranks; r++) {
		for (s = 0; s < ranks; s++)
			((uint32_t *)dev[r].p)[s] = r << 16 | s;
		CHECK_EQ(snpu_coll_all_to_all(comm[r], dev[r].q, dev[r].va, dev[r].va + BYTES / 2,
					      1, SNPU_DT_I32), 0);
		CHECK_EQ(snpu_queue_submit(dev[r].q, &pos[r]), 0);
	}
	for (r = 0; r < ranks; r++)
		CHECK_EQ(snpu_queue_wait(dev[r].q, pos[r], T_LONG), 0);
	for (r = 0; r < ranks; r++) {
		for (s = 0; s < ranks; s++)
			bad += ((uint32_t *)(dev[r].p + BYTES / 2))[s] != (s << 16 | r);
	}
	CHECK_EQ(bad, 0);
	unmake();
}

int main(void)
{
	static const struct t_case cases[] = {
		{ "an NPU for each rank", open_all, T_BOTH },
		{ "all-reduce: ring", ring, T_BOTH },
		{ "all-reduce: halving and doubling", hd, T_BOTH },
		{ "all-reduce: double binary tree", tree, T_BOTH },
		{ "all-reduce: hierarchical", hier, T_BOTH },
		{ "all-reduce: hierarchical, registered buffers", registered, T_BOTH },
		{ "all-to-all: hierarchical", exchange, T_BOTH },
		{ "and close", close_all, T_BOTH },
	};

	return t_main(cases, sizeof(cases) / sizeof(*cases));
}
