// SPDX-License-Identifier: MIT
/*
 * REDUCE_PULL and MULTICAST: sums bit for bit in the order of the list, in every type and however the
 * memory lies; lists that are not what they should be.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fake.h"
#include "kernels.h"
#include "range.h"

#define VA(kib)	(FAKE_BASE + ((uint64_t)(kib) << 10))
#define N	70001u		/* more than a block, and odd */
#define SRCS	11u
#define LIST	VA(0)
#define DST	VA(16)
#define OFFSET	0x1000u

static struct snpu_engine *eng;
static uint64_t seed;

/* 640 KiB apart: 70,001 elements of 8 bytes fit */
static uint64_t operand(unsigned int i)
{
	return VA(1024 + 640 * i);
}

static void put_list(struct fake *f, unsigned int n)
{
	unsigned int i;
	uint64_t va;

	for (i = 0; i < n; i++) {
		va = operand(i) - OFFSET;
		fake_write(f, LIST + i * 8ull, &va, 8);
	}
}

static union snpu_pkt pull(unsigned int dt, unsigned int op, unsigned int num, uint64_t count)
{
	return (union snpu_pkt){ .multi = {
		.hdr = { SNPU_OP_REDUCE_PULL, 0, (uint8_t)dt, 0, op }, .addr = DST, .list = LIST,
		.offset = OFFSET, .count = count, .num = num } };
}

static float value(const void *buf, unsigned int dt, unsigned int i)
{
	uint32_t u;
	float f;

	if (dt == SNPU_DT_F32)
		return ((const float *)buf)[i];
	if (dt == SNPU_DT_F16) {
		snpu_kernels()->load(&f, (const uint16_t *)buf + i, dt, 1);
		return f;
	}
	u = (uint32_t)((const uint16_t *)buf)[i] << 16;
	memcpy(&f, &u, 4);
	return f;
}

/* The definition, one element at a time */
static float fold(float a, float b, unsigned int op)
{
	if (op == SNPU_ELT_ADD)
		return a + b;
	if (op == SNPU_ELT_MUL)
		return a * b;
	if (isnan(a) || isnan(b))
		return NAN;
	return op == SNPU_ELT_MAX ? (a > b ? a : b) : a < b ? a : b;
}

static uint64_t fold_int(uint64_t a, uint64_t b, unsigned int op)
{
	if (op == SNPU_ELT_ADD)
		return a + b;
	if (op == SNPU_ELT_MUL)
		return a * b;
	return op == SNPU_ELT_MAX ? ((int64_t)a > (int64_t)b ? a : b) :
				    ((int64_t)a < (int64_t)b ? a : b);
}

static int64_t int_at(const void *buf, unsigned int dt, unsigned int i)
{
	return dt == SNPU_DT_I8 ? ((const int8_t *)buf)[i] :
	       dt == SNPU_DT_I32 ? ((const int32_t *)buf)[i] : ((const int64_t *)buf)[i];
}

static void fill(void *buf, unsigned int dt, unsigned int op)
{
	unsigned int i;

	for (i = 0; i < N; i++) {
		/* sums in another order would round to something else */
		float v = (float)fake_uniform(&seed) * (i % 3 ? 1.0f : 1000.0f);

		if (op == SNPU_ELT_MUL)
			v = 1 + v / 4096;
		if (op == SNPU_ELT_MAX && fake_rand(&seed) % 64 == 0)
			v = NAN;
		if (dt == SNPU_DT_F32)
			((float *)buf)[i] = v;
		else if (dt == SNPU_DT_BF16 || dt == SNPU_DT_F16)
			snpu_kernels()->store((uint16_t *)buf + i, &v, dt, 1);
		else
			((uint64_t *)buf)[i] = fake_rand(&seed);
	}
}

static void check_result(void *const *src, const void *got, unsigned int dt, unsigned int op)
{
	bool floats = dt <= SNPU_DT_F16;
	unsigned int i, k, bad = 0;

	for (i = 0; i < N; i++) {
		if (floats) {
			float want = value(src[0], dt, i), have = value(got, dt, i);
			uint32_t rounded = 0;

			for (k = 1; k < SRCS; k++)
				want = fold(want, value(src[k], dt, i), op);
			if (dt != SNPU_DT_F32) {
				snpu_kernels()->store(&rounded, &want, dt, 1);
				want = value(&rounded, dt, 0);
			}
			bad += isnan(want) ? !isnan(have) : memcmp(&want, &have, 4) != 0;
		} else {
			uint64_t want = (uint64_t)int_at(src[0], dt, i);

			for (k = 1; k < SRCS; k++)
				want = fold_int(want, (uint64_t)int_at(src[k], dt, i), op);
			bad += dt == SNPU_DT_I8 ? (int8_t)want != int_at(got, dt, i) :
			       dt == SNPU_DT_I32 ? (int32_t)want != int_at(got, dt, i) :
						   (int64_t)want != int_at(got, dt, i);
		}
	}
	CHECK(!bad, "type %u op %u: %u of %u elements wrong", dt, op, bad, N);
}

static void test_pull(void)
{
	static const uint8_t ops[] = { SNPU_ELT_ADD, SNPU_ELT_MUL, SNPU_ELT_MAX, SNPU_ELT_MIN };
	void *src[SRCS], *got = malloc(N * 8);
	struct snpu_fault fault;
	unsigned int scatter, dt, op, i;
	struct fake f;

	for (i = 0; i < SRCS; i++)
		src[i] = malloc(N * 8);
	for (scatter = 0; scatter < 2; scatter++) {
		fake_init(&f, scatter, 5);
		put_list(&f, SRCS);
		for (dt = SNPU_DT_F32; dt <= SNPU_DT_MAX; dt++)
			for (op = 0; op < 4; op++) {
				union snpu_pkt p = pull(dt, ops[op], SRCS, N);

				for (i = 0; i < SRCS; i++) {
					fill(src[i], dt, ops[op]);
					fake_write(&f, operand(i), src[i],
						   N * snpu_dt_size(dt));
				}
				CHECK(!fake_exec(&f, eng, &p, &fault), "type %u op %u: %u at 0x%llx",
				      dt, ops[op], fault.error, (unsigned long long)fault.va);
				fake_read(&f, DST, got, N * snpu_dt_size(dt));
				check_result(src, got, dt, ops[op]);
			}
		fake_free(&f);
	}
	for (i = 0; i < SRCS; i++)
		free(src[i]);
	free(got);
}

/* The result takes the place of an operand */
static void test_in_place(void)
{
	union snpu_pkt p = pull(SNPU_DT_I32, SNPU_ELT_ADD, 3, N);
	int32_t *v = malloc(N * 4);
	struct snpu_fault fault;
	unsigned int i, k, bad = 0;
	struct fake f;

	fake_init(&f, true, 6);
	put_list(&f, 3);
	for (k = 0; k < 3; k++) {
		for (i = 0; i < N; i++)
			v[i] = (int32_t)(i * (k + 1));
		fake_write(&f, operand(k), v, N * 4);
	}
	p.multi.addr = operand(1);
	CHECK(!fake_exec(&f, eng, &p, &fault), "fails with %u", fault.error);
	fake_read(&f, operand(1), v, N * 4);
	for (i = 0; i < N; i++)
		bad += v[i] != (int32_t)(i * 6);
	CHECK(!bad, "%u elements wrong", bad);
	p.multi.addr = operand(1) + 4;
	CHECK(fake_exec(&f, eng, &p, &fault) == SNPU_ERR_FIELD && fault.va == LIST + 8,
	      "in part: %u at 0x%llx", fault.error, (unsigned long long)fault.va);
	fake_free(&f);
	free(v);
}

static void test_multicast(void)
{
	const uint64_t bytes = 300001;
	uint8_t *src = malloc(bytes), *got = malloc(bytes + 2), guard[2] = { 0x77, 0x77 };
	union snpu_pkt p = { .multi = { .hdr.op = SNPU_OP_MULTICAST, .addr = VA(64) + 3,
					.list = LIST, .offset = OFFSET + 5, .count = bytes,
					.num = SRCS } };
	struct snpu_fault fault;
	unsigned int scatter, i;
	struct fake f;
	uint64_t k;

	for (k = 0; k < bytes; k++)
		src[k] = (uint8_t)fake_rand(&seed);
	for (scatter = 0; scatter < 2; scatter++) {
		fake_init(&f, scatter, 7);
		put_list(&f, SRCS);
		fake_write(&f, p.multi.addr, src, bytes);
		for (i = 0; i < SRCS; i++) {
			fake_write(&f, operand(i) + 4, guard, 1);
			fake_write(&f, operand(i) + 5 + bytes, guard, 1);
		}
		CHECK(!fake_exec(&f, eng, &p, &fault), "fails with %u", fault.error);
		for (i = 0; i < SRCS; i++) {
			fake_read(&f, operand(i) + 4, got, bytes + 2);
			CHECK(!memcmp(got + 1, src, bytes), "copy %u", i);
			CHECK(got[0] == 0x77 && got[bytes + 1] == 0x77, "beside copy %u", i);
		}
		fake_free(&f);
	}
	free(src);
	free(got);
}

/* Lists with one bad entry: the error, where, and nothing touched */
static void test_lists(void)
{
	static const struct { uint64_t va; int err;
	} bad[] = {
		{ 1ull << 48, SNPU_ERR_FIELD },
		{ (1ull << 48) - OFFSET, SNPU_ERR_FIELD },
		{ (1ull << 48) - OFFSET - 1024, SNPU_ERR_FIELD },	/* ends beyond */
		{ UINT64_MAX, SNPU_ERR_FIELD },				/* wraps with the offset */
		{ UINT64_MAX - OFFSET + 1, SNPU_ERR_FIELD },		/* to 0 */
		{ DST - OFFSET + 4, SNPU_ERR_FIELD },			/* overlaps the result */
		{ FAKE_BASE + (2u << 20) + 2 - OFFSET, SNPU_ERR_ALIGN },
		{ FAKE_BASE + FAKE_PAGES * 4096ull - OFFSET, SNPU_ERR_UNMAPPED },
	};
	union snpu_pkt p = pull(SNPU_DT_F32, SNPU_ELT_ADD, SRCS, 2000);
	uint32_t mark[2000], got[2000];
	struct snpu_fault fault;
	struct fake f;
	unsigned int i, at;
	int err, want;

	fake_init(&f, false, 8);
	memset(mark, 0x5a, sizeof(mark));
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		for (at = 0; at < SRCS; at += SRCS - 1) {
			put_list(&f, SRCS);
			fake_write(&f, LIST + at * 8ull, &bad[i].va, 8);
			fake_write(&f, DST, mark, sizeof(mark));
			err = fake_exec(&f, eng, &p, &fault);
			want = bad[i].err;
			CHECK(err == want, "list %u, entry %u: error %d", i, at, err);
			CHECK(fault.va == (want == SNPU_ERR_UNMAPPED ? bad[i].va + OFFSET :
					   LIST + at * 8ull), "list %u: at 0x%llx", i,
			      (unsigned long long)fault.va);
			fake_read(&f, DST, got, sizeof(got));
			CHECK(!memcmp(got, mark, sizeof(got)), "list %u: result was touched", i);
		}
	/* a list that cannot be read, and one that ends where memory does */
	p.multi.list = FAKE_BASE + FAKE_PAGES * 4096ull - 8;
	put_list(&f, SRCS);
	err = fake_exec(&f, eng, &p, &fault);
	CHECK(err == SNPU_ERR_UNMAPPED && fault.va == FAKE_BASE + FAKE_PAGES * 4096ull,
	      "%d at 0x%llx", err, (unsigned long long)fault.va);
	/* an operand that may only be read is good enough, a place to copy to must be writable */
	f.kind[(operand(2) - FAKE_BASE) / FAKE_PAGE] = FAKE_RO;
	p.multi.list = LIST;
	CHECK(!fake_exec(&f, eng, &p, &fault), "read-only operand: %u", fault.error);
	p = (union snpu_pkt){ .multi = { .hdr.op = SNPU_OP_MULTICAST, .addr = DST, .list = LIST,
					 .offset = OFFSET, .count = 1000, .num = SRCS } };
	err = fake_exec(&f, eng, &p, &fault);
	CHECK(err == SNPU_ERR_PERM && fault.va == operand(2), "%d at 0x%llx", err,
	      (unsigned long long)fault.va);
	fake_free(&f);
}

/* As many addresses as there may be, and one more */
static void test_longest(void)
{
	union snpu_pkt p = pull(SNPU_DT_I64, SNPU_ELT_ADD, SNPU_MAX_LIST, 16);
	int64_t v[16], got[16];
	struct snpu_fault fault;
	struct fake f;
	unsigned int i;
	uint64_t va = operand(0) - OFFSET;

	fake_init(&f, true, 9);
	for (i = 0; i < SNPU_MAX_LIST; i++)
		fake_write(&f, LIST + i * 8ull, &va, 8);
	for (i = 0; i < 16; i++)
		v[i] = (int64_t)fake_rand(&seed);
	fake_write(&f, operand(0), v, sizeof(v));
	CHECK(!fake_exec(&f, eng, &p, &fault), "fails with %u", fault.error);
	fake_read(&f, DST, got, sizeof(got));
	for (i = 0; i < 16; i++)
		CHECK((uint64_t)got[i] == (uint64_t)v[i] * SNPU_MAX_LIST, "element %u", i);
	p.multi.num++;
	CHECK(fake_exec(&f, eng, &p, &fault) == SNPU_ERR_FIELD, "513 addresses");
	p.multi.num = 0;
	CHECK(fake_exec(&f, eng, &p, &fault) == SNPU_ERR_FIELD, "none");
	/* a long one stops when it is told to */
	p = pull(SNPU_DT_BF16, SNPU_ELT_ADD, SNPU_MAX_LIST, N);
	f.abort_after = 3;
	CHECK(fake_exec(&f, eng, &p, &fault) == SNPU_ERR_ABORTED && f.checkpoints == 3,
	      "%u after %u checkpoints", fault.error, f.checkpoints);
	fake_free(&f);
}

int main(int argc, char **argv)
{
	static const struct fake_case cases[] = {
		{ "pull", test_pull },
		{ "in place", test_in_place },
		{ "multicast", test_multicast },
		{ "lists", test_lists },
		{ "longest", test_longest },
	};
	int ret;

	seed = 11;
	eng = snpu_engine_create();
	ret = fake_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
	snpu_engine_destroy(eng);
	return ret;
}
