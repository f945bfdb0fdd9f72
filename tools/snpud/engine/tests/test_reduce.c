// SPDX-License-Identifier: MIT
/*
 * REDUCE_ADD, also from several threads at once, and the integer element-wise operations: exact.
 */
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "fake.h"
#include "range.h"

#define VA(mib)	(FAKE_BASE + ((uint64_t)(mib) << 20))
#define N	10000u
#define THREADS	4
#define ROUNDS	25

static struct snpu_engine *eng;

static float bf16_f32(uint16_t h)
{
	uint32_t u = (uint32_t)h << 16;
	float f;

	memcpy(&f, &u, 4);
	return f;
}

static void test_types(void)
{
	static const uint8_t types[] = { SNPU_DT_F32, SNPU_DT_BF16, SNPU_DT_I32 };
	uint32_t *src = malloc(N * 4), *dst = malloc(N * 4), *got = malloc(N * 4);
	uint64_t seed = 3;
	struct snpu_fault fault;
	struct fake f;
	unsigned int t, i;

	fake_init(&f, false, 1);
	for (t = 0; t < 3; t++) {
		unsigned int size = snpu_dt_size(types[t]), bytes = N * size;
		/* neither end on a page */
		union snpu_pkt p = { .reduce = {
			.hdr = { SNPU_OP_REDUCE_ADD, 0, types[t], 0, 0 }, .src = VA(0) + 12,
			.dst = VA(4) + 2000, .count = N } };

		for (i = 0; i < N; i++) {
			float a = (float)(int)(fake_rand(&seed) % 100), b = (float)(int)(i % 100);

			memcpy(&src[i], &a, 4);
			memcpy(&dst[i], &b, 4);
		}
		if (size == 2)
			for (i = 0; i < N; i++) {
				((uint16_t *)src)[i] = (uint16_t)(src[i] >> 16);
				((uint16_t *)dst)[i] = (uint16_t)(dst[i] >> 16);
			}
		fake_write(&f, p.reduce.src, src, bytes);
		fake_write(&f, p.reduce.dst, dst, bytes);
		CHECK(!snpu_pkt_check(&p), "type %u: refused", types[t]);
		CHECK(!fake_exec(&f, eng, &p, &fault), "type %u: fails with %u", types[t],
		      fault.error);
		fake_read(&f, p.reduce.dst, got, bytes);
		for (i = 0; i < N; i++) {
			float a, b, c;

			if (types[t] == SNPU_DT_I32) {
				CHECK(got[i] == src[i] + dst[i], "element %u", i);
				continue;
			}
			memcpy(&a, &src[i], 4);
			memcpy(&b, &dst[i], 4);
			memcpy(&c, &got[i], 4);
			if (types[t] == SNPU_DT_BF16) {
				a = bf16_f32(((uint16_t *)src)[i]);
				b = bf16_f32(((uint16_t *)dst)[i]);
				c = bf16_f32(((uint16_t *)got)[i]);
			}
			/* small integers: exact in all types */
			CHECK(a + b == c, "type %u element %u: %g + %g = %g", types[t], i,
			      (double)a, (double)b, (double)c);
		}
	}
	/* memory that only messages reach has nobody who could add there */
	f.kind[(4u << 20) / FAKE_PAGE] = FAKE_SLOW;
	{
		union snpu_pkt p = { .reduce = {
			.hdr = { SNPU_OP_REDUCE_ADD, 0, SNPU_DT_I32, 0, 0 }, .src = VA(0),
			.dst = VA(4), .count = 4 } };
		int err = fake_exec(&f, eng, &p, &fault);

		CHECK(err == SNPU_ERR_BUS && fault.va == VA(4), "%d at 0x%llx", err,
		      (unsigned long long)fault.va);
	}
	fake_free(&f);
	free(src);
	free(dst);
	free(got);
}

/* Plain shared memory, as all workers see HBM */
static uint32_t shared[2][N];

static int shared_resolve(void *ctx, uint64_t va, uint64_t len, unsigned int access, void **host,
			  uint64_t *run)
{
	(void)ctx;
	(void)access;
	*host = (uint8_t *)shared + va;
	*run = len;
	return SNPU_ERR_NONE;
}

static int shared_checkpoint(void *ctx)
{
	(void)ctx;
	return SNPU_ERR_NONE;
}

static void *adder(void *arg)
{
	static const struct snpu_mem_ops ops = { .resolve = shared_resolve,
						 .checkpoint = shared_checkpoint };
	union snpu_pkt p = { .reduce = { .hdr = { SNPU_OP_REDUCE_ADD, 0, SNPU_DT_I32, 0, 0 },
					 .src = 0, .dst = sizeof(shared[0]), .count = N } };
	struct snpu_engine *e = snpu_engine_create();
	struct snpu_fault fault;
	struct snpu_work work;
	int i, err;

	(void)arg;
	for (i = 0; i < ROUNDS; i++) {
		err = snpu_engine_exec(e, &p, &ops, NULL, &fault, &work);
		CHECK(!err, "fails with %d", err);
	}
	snpu_engine_destroy(e);
	return NULL;
}

static void test_threads(void)
{
	pthread_t t[THREADS];
	unsigned int i;

	for (i = 0; i < N; i++) {
		shared[0][i] = i + 1;
		shared[1][i] = 0;
	}
	for (i = 0; i < THREADS; i++)
		pthread_create(&t[i], NULL, adder, NULL);
	for (i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	for (i = 0; i < N; i++)
		CHECK(shared[1][i] == (i + 1) * THREADS * ROUNDS, "element %u: %u, expected %u", i,
		      shared[1][i], (i + 1) * THREADS * ROUNDS);
}

static int64_t int_at(const void *buf, unsigned int dt, unsigned int i)
{
	return dt == SNPU_DT_I8 ? ((const int8_t *)buf)[i] :
	       dt == SNPU_DT_I32 ? ((const int32_t *)buf)[i] : ((const int64_t *)buf)[i];
}

static int64_t wrap(uint64_t v, unsigned int dt)
{
	return dt == SNPU_DT_I8 ? (int8_t)v : dt == SNPU_DT_I32 ? (int32_t)v : (int64_t)v;
}

static void test_integers(void)
{
	static const uint8_t types[] = { SNPU_DT_I8, SNPU_DT_I32, SNPU_DT_I64 };
	int64_t *a = malloc(N * 8), *b = malloc(N * 8), *got = malloc(N * 8);
	unsigned int t, op, i;
	uint64_t seed = 9;
	struct snpu_fault fault;
	struct fake f;

	fake_init(&f, true, 1);
	for (i = 0; i < N; i++) {
		a[i] = (int64_t)fake_rand(&seed);
		b[i] = (int64_t)fake_rand(&seed);
	}
	a[0] = INT64_MIN;
	for (t = 0; t < 3; t++)
		for (op = 0; op <= SNPU_ELT_DIV; op++) {
			unsigned int dt = types[t], size = snpu_dt_size(dt);
			bool div = op == SNPU_ELT_DIV;
			union snpu_pkt p = { .eltwise = {
				.hdr = { SNPU_OP_ELTWISE, 0, (uint8_t)dt, 0, op }, .a = VA(0),
				.b = div ? 0 : VA(4), .dst = VA(8), .count = N,
				.scalar = div ? 3 : 0 } };

			if (op == SNPU_ELT_SCALE)
				continue;
			fake_write(&f, VA(0), a, N * size);
			fake_write(&f, VA(4), b, N * size);
			CHECK(!snpu_pkt_check(&p), "type %u op %u: refused", dt, op);
			CHECK(!fake_exec(&f, eng, &p, &fault), "type %u op %u fails", dt, op);
			fake_read(&f, VA(8), got, N * size);
			for (i = 0; i < N; i++) {
				int64_t x = int_at(a, dt, i), y = int_at(b, dt, i);
				int64_t want = op == SNPU_ELT_ADD ?
					       wrap((uint64_t)x + (uint64_t)y, dt) :
					       op == SNPU_ELT_MUL ?
					       wrap((uint64_t)x * (uint64_t)y, dt) :
					       op == SNPU_ELT_MAX ? (x > y ? x : y) :
					       op == SNPU_ELT_MIN ? (x < y ? x : y) : x / 3;

				CHECK(int_at(got, dt, i) == want,
				      "type %u op %u element %u: %lld of %lld, %lld", dt, op, i,
				      (long long)int_at(got, dt, i), (long long)x, (long long)y);
			}
		}
	fake_free(&f);
	free(a);
	free(b);
	free(got);
}

static void test_min(void)
{
	static const float a[] = { 1, -2, NAN, 4, INFINITY, NAN },
			   b[] = { 2, -3, 5, NAN, -INFINITY, NAN },
			   want[] = { 1, -3, NAN, NAN, -INFINITY, NAN };
	union snpu_pkt p = { .eltwise = { .hdr = { SNPU_OP_ELTWISE, 0, SNPU_DT_F32, 0, SNPU_ELT_MIN },
					  .a = VA(0), .b = VA(4), .dst = VA(8), .count = 6 } };
	struct snpu_fault fault;
	struct fake f;
	float got[6];
	unsigned int i;

	fake_init(&f, false, 1);
	fake_write(&f, VA(0), a, sizeof(a));
	fake_write(&f, VA(4), b, sizeof(b));
	CHECK(!fake_exec(&f, eng, &p, &fault), "fails with %u", fault.error);
	fake_read(&f, VA(8), got, sizeof(got));
	for (i = 0; i < 6; i++)
		CHECK(got[i] == want[i] || (isnan(got[i]) && isnan(want[i])), "min(%g, %g) is %g",
		      (double)a[i], (double)b[i], (double)got[i]);
	fake_free(&f);
}

int main(int argc, char **argv)
{
	static const struct fake_case cases[] = {
		{ "types", test_types },
		{ "threads", test_threads },
		{ "integers", test_integers },
		{ "min", test_min },
	};
	int ret;

	eng = snpu_engine_create();
	ret = fake_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
	snpu_engine_destroy(eng);
	return ret;
}
