// SPDX-License-Identifier: MIT
/*
 * Memory: sizes, zeroes, limits, reuse, exhaustion.
 */
#include "tap.h"

#define MIB	(1ull << 20)
#define GIB	(1ull << 30)

static uint64_t nonzero(const uint8_t *p, uint64_t bytes)
{
	uint64_t n = 0, i;

	for (i = 0; i < bytes; i++)
		n += !!p[i];
	return n;
}

static void sizes(void)
{
	static const uint64_t size[] = {
		1, 4095, 4096, 4097, 65536, 2 * MIB - 1, 2 * MIB + 1, 5 * MIB,
	};
	struct snpu_mem *m[2 * sizeof(size) / sizeof(size[0])];
	unsigned int i, k, n = sizeof(m) / sizeof(m[0]);
	struct snpu_ctx *ctx;
	void *p, *again;

	NEED(!snpu_ctx_create(t_snpu(), 0, &ctx));
	for (i = 0; i < n; i++) {
		NEED(!snpu_mem_alloc(ctx, size[i / 2], i % 2 ? SNPU_MEM_HBM : SNPU_MEM_HOST,
				     &m[i]));
		CHECK(snpu_mem_size(m[i]) >= size[i / 2] && !(snpu_mem_size(m[i]) & 4095));
		CHECK(!(snpu_mem_va(m[i]) & 4095) && snpu_mem_va(m[i]));
		for (k = 0; k < i; k++)
			CHECK(snpu_mem_va(m[i]) + snpu_mem_size(m[i]) <= snpu_mem_va(m[k]) ||
			      snpu_mem_va(m[k]) + snpu_mem_size(m[k]) <= snpu_mem_va(m[i]));
		CHECK_EQ(snpu_mem_map(m[i], &p), 0);
		CHECK_EQ(snpu_mem_map(m[i], &again), 0);
		CHECK(p && p == again);
		CHECK_EQ(nonzero(p, size[i / 2]), 0);
		memset(p, 0xa5, size[i / 2]);
	}
	for (i = 0; i < n; i++)
		CHECK_EQ(snpu_mem_free(m[i]), 0);
	CHECK_EQ(snpu_ctx_destroy(ctx), 0);
}

static void bad_arguments(void)
{
	static const struct {
		uint64_t bytes;
		unsigned int flags;
	} bad[] = {
		{ 0, SNPU_MEM_HBM }, { (1ull << 46) + 1, SNPU_MEM_HBM },
		{ UINT64_MAX, SNPU_MEM_HOST },
		{ 4096, 0 }, { 4096, SNPU_MEM_HBM | SNPU_MEM_HOST }, { 4096, SNPU_MEM_CONTIG },
		{ 4096, SNPU_MEM_HOST | SNPU_MEM_CONTIG }, { 4096, SNPU_MEM_READ_ONLY },
		{ 4096, SNPU_MEM_HBM | 1u << 4 }, { 4096, SNPU_MEM_HOST | 1u << 31 },
	};
	struct snpu_mem *m = NULL;
	struct snpu_ctx *ctx;
	size_t i;

	NEED(!snpu_ctx_create(t_snpu(), 0, &ctx));
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		CHECK_EQ(snpu_mem_alloc(ctx, bad[i].bytes, bad[i].flags, &m), -EINVAL);
		CHECK_TEXT(snpu_last_error(), "snpu_mem_alloc");
	}
	CHECK(!m);
	CHECK_EQ(snpu_mem_import(ctx, -1, 0, &m), -EBADF);
	CHECK_EQ(snpu_mem_import(ctx, 0, SNPU_MEM_HBM, &m), -EINVAL);
	CHECK(snpu_mem_import(ctx, 0, 0, &m) < 0);
	CHECK(!m);
	CHECK_EQ(snpu_ctx_destroy(ctx), 0);
}

static void round_trip(unsigned int from, unsigned int to, uint64_t bytes)
{
	struct snpu_mem *m;
	struct t_dev d;
	void *p;
	uint64_t i, bad = 0;

	NEED(!t_dev_open(&d, 0, bytes, from));
	NEED(!snpu_mem_alloc(d.ctx, bytes, to, &m) && !snpu_mem_map(m, &p));
	for (i = 0; i < bytes; i++)
		d.p[i] = (uint8_t)(i * 131 + (i >> 11));
	snpu_prep_copy(t_pkt(d.q), snpu_mem_va(m) + 1, d.va, bytes - 1);
	CHECK_EQ(t_run(d.q), 0);
	for (i = 0; i + 1 < bytes; i++)
		bad += ((uint8_t *)p)[i + 1] != (uint8_t)(i * 131 + (i >> 11));
	CHECK_EQ(bad, 0);
	CHECK_EQ(*(uint8_t *)p, 0);
	CHECK_EQ(snpu_mem_free(m), 0);
	t_dev_close(&d);
}

static void copies(void)
{
	round_trip(SNPU_MEM_HOST, SNPU_MEM_HBM, 3 * MIB + 777);
	round_trip(SNPU_MEM_HBM, SNPU_MEM_HOST, 10000);
	round_trip(SNPU_MEM_HOST, SNPU_MEM_HOST, 2 * MIB);
	round_trip(SNPU_MEM_HBM, SNPU_MEM_HBM | SNPU_MEM_CONTIG, 4 * MIB);
}

/* What one user wrote the next does not see */
static void reuse_is_zeroed(void)
{
	struct snpu_mem *m;
	unsigned int i;
	struct t_dev d;
	void *p;

	NEED(!t_dev_open(&d, 0, MIB, SNPU_MEM_HOST));
	for (i = 0; i < 6; i++) {
		unsigned int where = i & 1 ? SNPU_MEM_HOST : SNPU_MEM_HBM;

		NEED(!snpu_mem_alloc(d.ctx, MIB, where, &m) && !snpu_mem_map(m, &p));
		memset(d.p, 0xff, MIB);
		/* as the device sees it */
		snpu_prep_copy(t_pkt(d.q), d.va, snpu_mem_va(m), MIB);
		CHECK_EQ(t_run(d.q), 0);
		CHECK_EQ(nonzero(d.p, MIB), 0);
		CHECK_EQ(nonzero(p, MIB), 0);
		snpu_prep_fill(t_pkt(d.q), snpu_mem_va(m), MIB, 0xee, 1);
		CHECK_EQ(t_run(d.q), 0);
		CHECK_EQ(nonzero(p, MIB), MIB);
		CHECK_EQ(snpu_mem_free(m), 0);
	}
	t_dev_close(&d);
}

static uint64_t hbm_used(void)
{
	struct snpu_counters c = { 0 };

	CHECK_EQ(snpu_get_counters(t_snpu(), 0, &c, sizeof(c)), 0);
	return c.hbm_used;
}

static void exhaustion(void)
{
	static const uint64_t step[] = { 16 * GIB, GIB, 64 * MIB, 2 * MIB };
	static struct snpu_mem *m[256];
	struct snpu_counters c;
	unsigned int n = 0, i;
	uint64_t before, sum;
	struct snpu_ctx *ctx;
	int ret, round;
	void *p;

	NEED(!snpu_ctx_create(t_snpu(), 0, &ctx));
	before = hbm_used();
	for (round = 0; round < 2; round++) {
		for (i = 0, n = 0, sum = 0; i < sizeof(step) / sizeof(step[0]); i++) {
			for (ret = 0; !ret && n < 256;) {
				ret = snpu_mem_alloc(ctx, step[i], SNPU_MEM_HBM, &m[n]);
				if (!ret) {
					sum += snpu_mem_size(m[n]);
					n++;
				}
			}
			CHECK_EQ(ret, -ENOSPC);
			CHECK_TEXT(snpu_last_error(), "HBM");
		}
		NEED(!snpu_get_counters(t_snpu(), 0, &c, sizeof(c)));
		CHECK(sum <= c.hbm_total && sum + 8 * MIB > c.hbm_total - before - 64 * MIB);
		/* the last piece works like the first */
		NEED(n && !snpu_mem_map(m[n - 1], &p));
		memset(p, 1, 4096);
		for (i = 0; i < n; i++)
			CHECK_EQ(snpu_mem_free(m[i]), 0);
		CHECK(hbm_used() <= before + MIB);
	}
	CHECK_EQ(snpu_ctx_destroy(ctx), 0);
	/* too much at once leaves nothing behind */
	NEED(!snpu_ctx_create(t_snpu(), 0, &ctx));
	before = hbm_used();
	CHECK_EQ(snpu_mem_alloc(ctx, c.hbm_total + 4096, SNPU_MEM_HBM, &m[0]), -ENOSPC);
	CHECK_EQ(hbm_used(), before);
	CHECK_EQ(snpu_ctx_destroy(ctx), 0);
}

/* Holes are used again, and neighbours merge */
static void fragments(void)
{
	enum { N = 64 };
	struct snpu_mem *m[N], *big;
	uint64_t before;
	struct snpu_ctx *ctx;
	unsigned int i;
	void *p;

	NEED(!snpu_ctx_create(t_snpu(), 0, &ctx));
	before = hbm_used();
	for (i = 0; i < N; i++) {
		NEED(!snpu_mem_alloc(ctx, (1 + i % 3) * 4096, SNPU_MEM_HBM, &m[i]));
		NEED(!snpu_mem_map(m[i], &p));
		memset(p, (int)i + 1, (1 + i % 3) * 4096);
	}
	for (i = 0; i < N; i += 2)
		CHECK_EQ(snpu_mem_free(m[i]), 0);
	for (i = 0; i < N; i += 2) {
		NEED(!snpu_mem_alloc(ctx, 4096 + (i % 4) * 4096, SNPU_MEM_HBM, &m[i]));
		NEED(!snpu_mem_map(m[i], &p));
		CHECK_EQ(nonzero(p, snpu_mem_size(m[i])), 0);
	}
	for (i = 1; i < N; i += 2) {
		NEED(!snpu_mem_map(m[i], &p));
		CHECK_EQ(*(uint8_t *)p, i + 1);
		CHECK_EQ(((uint8_t *)p)[snpu_mem_size(m[i]) - 1], i + 1);
	}
	for (i = 0; i < N; i++)
		CHECK_EQ(snpu_mem_free(m[i]), 0);
	NEED(!snpu_mem_alloc(ctx, 8 * MIB, SNPU_MEM_HBM | SNPU_MEM_CONTIG, &big));
	CHECK_EQ(snpu_mem_free(big), 0);
	CHECK(hbm_used() <= before + MIB);
	CHECK_EQ(snpu_ctx_destroy(ctx), 0);
}

static const struct t_case cases[] = {
	{ "sizes, alignment, zeroes", sizes, T_BOTH },
	{ "bad sizes, flags, descriptors", bad_arguments, T_BOTH },
	{ "copies between host memory and HBM", copies, T_BOTH },
	{ "memory used again is zero", reuse_is_zeroed, T_BOTH },
	{ "HBM is used up, twice", exhaustion, T_BOTH },
	{ "holes are used again", fragments, T_BOTH },
};

int main(void)
{
	return t_main(cases, sizeof(cases) / sizeof(cases[0]));
}
