// SPDX-License-Identifier: MIT
/*
 * Every packet against a reference in fp64, on memory in one piece and on scattered memory, which
 * must give the same bits. Bounds, with u = 2^-24 (F32), 2^-8 (BF16), 2^-11 (F16) and e = 2^-23,
 * beside the smallest normal number of the type (half the smallest number of all for F16):
 *
 *   MATMUL      (k + 2) * e * sum |a||b| + u * |exact|, for BF16 plus (k + 2) * 2^-126; I8: none
 *   ELTWISE     (u + 2^-24) * |exact|: rounded to F32, then to the type; I32: none
 *   CONVERT     u * |exact|, of the product in F32 if there is a factor; for I32 plus 2^-24 *
 *               |exact|, because it passes through F32
 *   REDUCE_SUM  n * e * sum |x|; integers: none
 *   SOFTMAX     16 * e * (1 + |scaled argument - largest|) * exact + u * exact
 *   RMSNORM     (n + 8) * e * |exact| + u * |exact|
 *   ACT         8 * e * (|x| + |exact|) + u * |exact|
 *   others      none
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fake.h"
#include "range.h"

#define E	0x1p-23
#define VA(mib)	(FAKE_BASE + ((uint64_t)(mib) << 20))

static uint64_t seed = 1;
static struct snpu_engine *eng;

static const unsigned int float_types[] = { SNPU_DT_F32, SNPU_DT_BF16, SNPU_DT_F16 };

static double unit(unsigned int dt)
{
	return dt == SNPU_DT_BF16 ? 0x1p-8 : dt == SNPU_DT_F16 ? 0x1p-11 : 0x1p-24;
}

/* What is below the normal numbers has no relative error bound */
static double tiny(unsigned int dt)
{
	return dt == SNPU_DT_F16 ? 0x1p-25 : 0x1p-126;
}

static uint16_t bf16(float f)
{
	uint32_t u;

	memcpy(&u, &f, 4);
	return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

static void put(void *buf, unsigned int dt, uint64_t i, double v)
{
	_Float16 h = (_Float16)v;
	float f = (float)v;
	uint16_t b = bf16(f);

	switch (dt) {
	case SNPU_DT_F32:
		memcpy((uint8_t *)buf + i * 4, &f, 4);
		break;
	case SNPU_DT_BF16:
		memcpy((uint8_t *)buf + i * 2, &b, 2);
		break;
	case SNPU_DT_F16:
		memcpy((uint8_t *)buf + i * 2, &h, 2);
		break;
	case SNPU_DT_I8:
		((int8_t *)buf)[i] = (int8_t)v;
		break;
	default:
		((int32_t *)buf)[i] = (int32_t)v;
	}
}

static double get(const void *buf, unsigned int dt, uint64_t i)
{
	const uint8_t *p = buf;
	_Float16 h;
	uint16_t b;
	uint32_t u;
	float f;

	switch (dt) {
	case SNPU_DT_F32:
		memcpy(&f, p + i * 4, 4);
		return f;
	case SNPU_DT_BF16:
		memcpy(&b, p + i * 2, 2);
		u = (uint32_t)b << 16;
		memcpy(&f, &u, 4);
		return f;
	case SNPU_DT_F16:
		memcpy(&h, p + i * 2, 2);
		return (double)h;
	case SNPU_DT_I8:
		return ((const int8_t *)buf)[i];
	default:
		return ((const int32_t *)buf)[i];
	}
}

/* Random operand at @va in both address spaces; its values stay in the returned buffer */
static void *operand(struct fake f[2], uint64_t va, unsigned int dt, uint64_t n, double range)
{
	unsigned int size = snpu_dt_size(dt);
	void *buf = malloc(n * size + 1);
	uint64_t i;

	for (i = 0; i < n; i++)
		put(buf, dt, i, dt == SNPU_DT_I8 ? (double)(int8_t)fake_rand(&seed) :
				dt == SNPU_DT_I32 ? (double)(int32_t)fake_rand(&seed) :
				fake_uniform(&seed) * range);
	fake_write(&f[0], va, buf, n * size);
	fake_write(&f[1], va, buf, n * size);
	return buf;
}

/* Runs on both; returns the result of the first, having compared it with the second */
static void *result(struct fake f[2], const union snpu_pkt *p, uint64_t va, uint64_t bytes)
{
	void *a = malloc(bytes + 1), *b = malloc(bytes + 1);
	struct snpu_fault fault;
	int i, err;

	for (i = 0; i < 2; i++) {
		err = fake_exec(&f[i], eng, p, &fault);
		CHECK(!err, "op 0x%x fails with %d at 0x%llx, memory %d", p->hdr.op, err,
		      (unsigned long long)fault.va, i);
	}
	fake_read(&f[0], va, a, bytes);
	fake_read(&f[1], va, b, bytes);
	CHECK(!memcmp(a, b, bytes), "op 0x%x: scattered memory gives other bits", p->hdr.op);
	free(b);
	return a;
}

static void both(struct fake f[2])
{
	fake_init(&f[0], false, 1);
	fake_init(&f[1], true, 2);
}

static void near(const char *what, unsigned int dt, uint64_t i, double got, double want,
		 double bound)
{
	CHECK(fabs(got - want) <= bound + tiny(dt),
	      "%s type %u element %llu: %.9g, expected %.9g, off by %.3g, bound %.3g", what, dt,
	      (unsigned long long)i, got, want, fabs(got - want), bound);
}

static void matmul_one(struct fake f[2], unsigned int dt, unsigned int dc, unsigned int flags,
		       uint32_t m, uint32_t n, uint32_t k, uint32_t gap)
{
	bool ta = flags & SNPU_PF_TRANS_A, tb = flags & SNPU_PF_TRANS_B;
	uint32_t lda = (ta ? m : k) + gap, ldb = (tb ? k : n) + gap, ldc = n + gap;
	uint64_t na = (uint64_t)(ta ? k : m) * lda, nb = (uint64_t)(tb ? n : k) * ldb;
	bool ints = dt == SNPU_DT_I8;
	unsigned int tbias = ints ? SNPU_DT_I32 : SNPU_DT_F32;
	union snpu_pkt p = { .matmul = {
		.hdr = { SNPU_OP_MATMUL, (uint8_t)flags, (uint8_t)dt, (uint8_t)dc, 0 },
		.a = VA(0) + 64, .b = VA(8) + 4, .c = VA(16) + 8,
		.bias = flags & SNPU_PF_BIAS ? VA(24) : 0,
		.m = m, .n = n, .k = k, .lda = lda, .ldb = ldb, .ldc = ldc } };
	void *a = operand(f, p.matmul.a, dt, na, 1), *b = operand(f, p.matmul.b, dt, nb, 1);
	void *c0 = operand(f, p.matmul.c, dc, (uint64_t)m * ldc, 1);
	void *bias = operand(f, VA(24), tbias, n, 1);
	void *c = result(f, &p, p.matmul.c, (uint64_t)m * ldc * snpu_dt_size(dc));
	uint32_t i, j, l;

	for (i = 0; i < m; i++) {
		for (j = 0; j < ldc; j++) {
			double s = 0, mag = 0;
			uint32_t u = 0;

			if (j >= n) {
				CHECK(get(c, dc, (uint64_t)i * ldc + j) ==
				      get(c0, dc, (uint64_t)i * ldc + j), "matmul writes a gap");
				continue;
			}
			for (l = 0; l < k; l++) {
				double x = get(a, dt,
					       ta ? (uint64_t)l * lda + i : (uint64_t)i * lda + l);
				double y = get(b, dt,
					       tb ? (uint64_t)j * ldb + l : (uint64_t)l * ldb + j);

				s += x * y;
				mag += fabs(x * y);
				u += (uint32_t)((int32_t)x * (int32_t)y * (ints ? 1 : 0));
			}
			if (flags & SNPU_PF_BIAS) {
				s += get(bias, tbias, j);
				mag += fabs(get(bias, tbias, j));
				u += (uint32_t)((int32_t *)bias)[j];
			}
			if (flags & SNPU_PF_ACCUM) {
				s += get(c0, dc, (uint64_t)i * ldc + j);
				mag += fabs(get(c0, dc, (uint64_t)i * ldc + j));
				u += (uint32_t)((int32_t *)c0)[ints ? (uint64_t)i * ldc + j : 0];
			}
			if (ints)
				CHECK(((uint32_t *)c)[(uint64_t)i * ldc + j] == u,
				      "int8 %ux%ux%u flags %x [%u,%u]: %d, expected %d", m, n, k,
				      flags, i, j, ((int32_t *)c)[(uint64_t)i * ldc + j],
				      (int32_t)u);
			else
				near("matmul", dc, j, get(c, dc, (uint64_t)i * ldc + j), s,
				     (k + 2) * E * mag + unit(dc) * fabs(s));
		}
	}
	free(a);
	free(b);
	free(c0);
	free(bias);
	free(c);
}

static void test_matmul(void)
{
	static const uint32_t shape[][3] = {
		{ 1, 1, 1 },	 { 3, 5, 7 },	  { 64, 64, 64 },
		{ 1, 127, 300 }, { 65, 33, 129 }, { 100, 1, 50 },
	};
	static const unsigned int type[][2] = {
		{ SNPU_DT_F32, SNPU_DT_F32 },	{ SNPU_DT_BF16, SNPU_DT_F32 },
		{ SNPU_DT_BF16, SNPU_DT_BF16 }, { SNPU_DT_F16, SNPU_DT_F32 },
		{ SNPU_DT_F16, SNPU_DT_F16 },	{ SNPU_DT_I8, SNPU_DT_I32 },
	};
	struct fake f[2];
	unsigned int s, t, flags;

	both(f);
	for (t = 0; t < 6; t++)
		for (s = 0; s < 6; s++)
			for (flags = 0; flags < 16; flags++)
				if (!(flags & SNPU_PF_ACCUM) || type[t][1] == SNPU_DT_F32 ||
				    type[t][1] == SNPU_DT_I32)
					matmul_one(f, type[t][0], type[t][1], flags, shape[s][0],
						   shape[s][1], shape[s][2], s % 2 ? 3 : 0);
	fake_free(&f[0]);
	fake_free(&f[1]);
}

/* The extremes of int8 in a long sum: saturating products would show */
static void test_matmul_i8_extremes(void)
{
	enum { M = 17, N = 33, K = 1000 };
	int8_t *a = malloc(M * K), *b = malloc(K * N);
	union snpu_pkt p = { .matmul = {
		.hdr = { SNPU_OP_MATMUL, 0, SNPU_DT_I8, SNPU_DT_I32, 0 }, .a = VA(0), .b = VA(8),
		.c = VA(16), .m = M, .n = N, .k = K, .lda = K, .ldb = N, .ldc = N } };
	struct fake f[2];
	int32_t *c;
	int i;

	both(f);
	memset(a, -128, M * K);
	memset(b, -128, K * N);
	for (i = 0; i < 2; i++) {
		fake_write(&f[i], VA(0), a, M * K);
		fake_write(&f[i], VA(8), b, K * N);
	}
	c = result(f, &p, VA(16), M * N * 4);
	for (i = 0; i < M * N; i++)
		CHECK(c[i] == 128 * 128 * K, "element %d: %d", i, c[i]);
	free(a);
	free(b);
	free(c);
	fake_free(&f[0]);
	fake_free(&f[1]);
}

static void test_eltwise(void)
{
	static const uint64_t counts[] = { 1, 7, 2049, 70001 };
	unsigned int t, op, c;
	struct fake f[2];

	both(f);
	for (t = 0; t < 4; t++)
		for (op = 0; op <= SNPU_ELT_MAX; op++)
			for (c = 0; c < 4; c++) {
				unsigned int dt = t < 3 ? float_types[t] : SNPU_DT_I32;
				uint64_t n = counts[c], i, size = snpu_dt_size(dt);
				bool scale = op == SNPU_ELT_SCALE;
				union snpu_pkt p = { .eltwise = {
							     .hdr = { SNPU_OP_ELTWISE, 0,
								      (uint8_t)dt, 0, op },
							     .a = VA(0) + size,
							     .b = scale ? 0 : VA(8),
							     .dst = c % 2 ? VA(0) + size : VA(16),
							     .count = n,
							     .scalar = scale ? 0x40490fdb : 0 } };
				void *a, *b, *r;

				if (scale && t == 3)
					continue;
				a = operand(f, p.eltwise.a, dt, n, 10);
				b = operand(f, VA(8), dt, n, 10);
				r = result(f, &p, p.eltwise.dst, n * size);
				for (i = 0; i < n; i++) {
					double x = get(a, dt, i), y = scale ? (double)3.14159274f :
									     get(b, dt, i);
					double want = op == SNPU_ELT_ADD ? x + y :
						      op == SNPU_ELT_MAX ? fmax(x, y) : x * y;

					if (dt == SNPU_DT_I32)
						want = op == SNPU_ELT_MAX ? want :
						       (int32_t)(op == SNPU_ELT_ADD ?
						       (uint32_t)(int32_t)x + (uint32_t)(int32_t)y :
						       (uint32_t)(int32_t)x * (uint32_t)(int32_t)y);
					near("eltwise", dt, i, get(r, dt, i), want,
					     dt == SNPU_DT_I32 ? 0 :
								 (unit(dt) + 0x1p-24) * fabs(want));
				}
				free(a);
				free(b);
				free(r);
			}
	fake_free(&f[0]);
	fake_free(&f[1]);
}

static double saturate(double v, double lo, double hi)
{
	return isnan(v) ? 0 : v < lo ? lo : v > hi ? hi : nearbyint(v);
}

static void test_convert(void)
{
	enum { N = 5000 };
	unsigned int from, to, s;
	struct fake f[2];

	both(f);
	for (from = 1; from <= SNPU_DT_I32; from++)
		for (to = 1; to <= SNPU_DT_I32; to++)
			for (s = 0; s < 2; s++) {
				union snpu_pkt p = { .convert = { .hdr = { SNPU_OP_CONVERT, 0,
									   (uint8_t)from,
									   (uint8_t)to, 0 },
								  .src = VA(0),
								  .dst = VA(8),
								  .count = N,
								  .scale = s ? 0x3f000000 : 0 } };
				void *a, *r;
				uint32_t i;

				if (from == to && !(from == SNPU_DT_F32 && s))
					continue;
				a = operand(f, VA(0), from, N, 300);
				r = result(f, &p, VA(8), N * snpu_dt_size(to));
				for (i = 0; i < N; i++) {
					double x = get(a, from, i),
					       want = s ? (double)((float)x * 0.5f) : x;
					double bound = unit(to) * fabs(want), got = get(r, to, i);

					/* an I32 has more bits than the F32 it may pass through */
					if (from == SNPU_DT_I32 && (s || to != SNPU_DT_I8))
						bound += 0x1p-24 * fabs(want);
					if (to == SNPU_DT_I8)
						want = saturate(want, -128, 127), bound = 0;
					if (to == SNPU_DT_I32)
						want = saturate(want, -2147483648.0, 2147483647.0),
						bound = 0;
					if (to == SNPU_DT_F16 && fabs(want) >= 65520)
						CHECK(isinf(got), "f16 of %g is %g", want, got);
					else
						near("convert", to, i, got, want, bound);
				}
				free(a);
				free(r);
			}
	fake_free(&f[0]);
	fake_free(&f[1]);
}

/* All 65,536 halves and bfloats there and back, and the edges of rounding */
static void test_convert_exhaustive(void)
{
	struct snpu_fault fault;
	unsigned int t;
	struct fake f;

	fake_init(&f, false, 1);
	for (t = 1; t < 3; t++) {
		uint16_t h[65536], back[65536];
		unsigned int i, dt = float_types[t];
		union snpu_pkt p = { .convert = {
			.hdr = { SNPU_OP_CONVERT, 0, (uint8_t)dt, SNPU_DT_F32, 0 }, .src = VA(0),
			.dst = VA(8), .count = 65536 } };
		float w[65536];

		for (i = 0; i < 65536; i++)
			h[i] = (uint16_t)i;
		fake_write(&f, VA(0), h, sizeof(h));
		CHECK(!fake_exec(&f, eng, &p, &fault), "fault %u", fault.error);
		fake_read(&f, VA(8), w, sizeof(w));
		p.convert.hdr.dtype = SNPU_DT_F32;
		p.convert.hdr.dtype2 = (uint8_t)dt;
		p.convert.src = VA(8);
		p.convert.dst = VA(16);
		CHECK(!fake_exec(&f, eng, &p, &fault), "fault %u", fault.error);
		fake_read(&f, VA(16), back, sizeof(back));
		for (i = 0; i < 65536; i++) {
			double want = get(h, dt, i);

			CHECK(isnan(want) ? isnan(w[i]) : w[i] == (float)want, "%04x: %g", i, w[i]);
			CHECK(isnan(want) ? isnan(get(back, dt, i)) : back[i] == h[i], "%04x: %04x",
			      i, back[i]);
		}
		/* values between two neighbours: the compiler's conversion is the reference */
		for (i = 0; i < 65536; i++) {
			uint32_t u = (uint32_t)fake_rand(&seed);

			if (i % 2)	/* close to a tie of halves */
				u = (u & ~0x1fffu) | (0xfff + i / 2 % 3);
			u = (u & ~(0xffu << 23)) | ((100u + i % 45) << 23);
			memcpy(&w[i], &u, 4);
		}
		fake_write(&f, VA(8), w, sizeof(w));
		CHECK(!fake_exec(&f, eng, &p, &fault), "fault %u", fault.error);
		fake_read(&f, VA(16), back, sizeof(back));
		for (i = 0; i < 65536; i++) {
			put(h, dt, 0, w[i]);
			CHECK(back[i] == h[0], "%a: %04x, expected %04x", w[i], back[i], h[0]);
		}
	}
	fake_free(&f);
}

static void rows_one(struct fake f[2], unsigned int op, unsigned int flags, unsigned int dt,
		     uint32_t rows, uint32_t cols, uint32_t gap)
{
	bool ints = dt == SNPU_DT_I8 || dt == SNPU_DT_I32,
	     columns = op == SNPU_OP_REDUCE_SUM && flags;
	bool matrix = op == SNPU_OP_SOFTMAX || op == SNPU_OP_RMSNORM;
	uint32_t ld = cols + gap, i, j;
	unsigned int td = op == SNPU_OP_ARGMAX || ints ? SNPU_DT_I32 :
			  op == SNPU_OP_REDUCE_SUM ? SNPU_DT_F32 : dt;
	float param = op == SNPU_OP_SOFTMAX ? 0.5f : op == SNPU_OP_RMSNORM ? 1e-5f : 0;
	union snpu_pkt p = { .rows = {
		.hdr = { (uint8_t)op, (uint8_t)flags, (uint8_t)dt,
			 op == SNPU_OP_REDUCE_SUM ? (uint8_t)td : 0, 0 },
		.src = VA(0) + 8, .dst = VA(8) + 4, .weight = op == SNPU_OP_RMSNORM ? VA(24) : 0,
		.rows = rows, .cols = cols, .ld_src = ld, .ld_dst = matrix ? ld : 0,
		.offset = op == SNPU_OP_SOFTMAX && flags ? -1 : 0 } };
	uint64_t out = matrix ? (uint64_t)(rows - 1) * ld + cols : columns ? cols : rows;
	void *s = operand(f, p.rows.src, dt, (uint64_t)rows * ld, 8), *r;
	void *w = operand(f, VA(24), dt, cols, 2);

	memcpy(&p.rows.param, &param, 4);
	r = result(f, &p, p.rows.dst, out * snpu_dt_size(td));
	for (i = 0; i < (columns ? cols : rows); i++) {
		double sum = 0, mag = 0, sq = 0, max = -INFINITY;
		uint32_t n = columns ? rows : cols, best = 0, u = 0, seen = n;

		if (op == SNPU_OP_SOFTMAX && flags)
			seen = i < cols ? i : cols;
		for (j = 0; j < n; j++) {
			double x = get(s, dt,
				       columns ? (uint64_t)j * ld + i : (uint64_t)i * ld + j);

			sum += x;
			mag += fabs(x);
			sq += x * x;
			u += (uint32_t)(int32_t)(ints ? x : 0);
			if (x > max && j < seen) {
				max = x;
				best = j;
			}
		}
		if (op == SNPU_OP_ARGMAX) {
			CHECK(((uint32_t *)r)[i] == best, "argmax row %u: %u, expected %u", i,
			      ((uint32_t *)r)[i], best);
		} else if (op == SNPU_OP_REDUCE_SUM && ints) {
			CHECK(((uint32_t *)r)[i] == u, "sum %u: %u, expected %u", i,
			      ((uint32_t *)r)[i], u);
		} else if (op == SNPU_OP_REDUCE_SUM) {
			near("sum", td, i, get(r, td, i), sum, n * E * mag);
		} else {
			double den = 0, rms = 1 / sqrt(sq / cols + (double)param);

			for (j = 0; j < seen; j++)
				den += exp((get(s, dt, (uint64_t)i * ld + j) - max) * 0.5);
			for (j = 0; j < cols; j++) {
				double x = get(s, dt, (uint64_t)i * ld + j), want, bound;
				double arg = (x - max) * 0.5;

				if (op == SNPU_OP_SOFTMAX) {
					want = j < seen ? exp(arg) / den : 0;
					bound = j < seen ? 16 * E * (1 + fabs(arg)) * want +
							   unit(dt) * want : 0;
				} else {
					want = x * rms * get(w, dt, j);
					bound = ((cols + 8) * E + unit(dt)) * fabs(want);
				}
				near(op == SNPU_OP_SOFTMAX ? "softmax" : "rmsnorm", dt, j,
				     get(r, dt, (uint64_t)i * ld + j), want, bound);
			}
		}
	}
	free(s);
	free(w);
	free(r);
}

static void test_rows(void)
{
	static const uint32_t shape[][2] = {
		{ 1, 1 }, { 3, 17 }, { 40, 1000 }, { 7, 4099 }, { 900, 3 }
	};
	unsigned int s, t, flags;
	struct fake f[2];

	both(f);
	for (s = 0; s < 5; s++)
		for (t = 0; t < 5; t++) {
			unsigned int dt = t < 3	 ? float_types[t] :
					  t == 3 ? SNPU_DT_I8 :
						   SNPU_DT_I32;
			uint32_t r = shape[s][0], c = shape[s][1], gap = s % 2 ? 5 : 0;

			for (flags = 0; flags < 2; flags++) {
				rows_one(f, SNPU_OP_REDUCE_SUM, flags, dt, r, c, gap);
				if (t < 3)
					rows_one(f, SNPU_OP_SOFTMAX, flags, dt, r, c, gap);
			}
			if (t < 3)
				rows_one(f, SNPU_OP_RMSNORM, 0, dt, r, c, gap);
			if (dt != SNPU_DT_I8)
				rows_one(f, SNPU_OP_ARGMAX, 0, dt, r, c, gap);
		}
	fake_free(&f[0]);
	fake_free(&f[1]);
}

static void test_act(void)
{
	enum { N = 20000 };
	unsigned int t, act, i;
	struct fake f[2];

	both(f);
	for (t = 0; t < 3; t++)
		for (act = 0; act < 2; act++) {
			unsigned int dt = float_types[t];
			union snpu_pkt p = { .act = {
				.hdr = { SNPU_OP_ACT, 0, (uint8_t)dt, 0, act }, .src = VA(0),
				.dst = act ? VA(0) : VA(8), .count = N } };
			void *a = operand(f, VA(0), dt, N, 20), *r;

			r = result(f, &p, p.act.dst, N * snpu_dt_size(dt));
			for (i = 0; i < N; i++) {
				double x = get(a, dt, i);
				double want = act ? x / 2 * erfc(-x / sqrt(2)) : x / (1 + exp(-x));

				near("act", dt, i, get(r, dt, i), want,
				     8 * E * (fabs(x) + fabs(want)) + unit(dt) * fabs(want));
			}
			free(a);
			free(r);
		}
	fake_free(&f[0]);
	fake_free(&f[1]);
}

static void test_act_edges(void)
{
	static const float in[] = { INFINITY, -INFINITY, 0, -0.0f, -100, 100, -1e30f, 1e30f };
	static const float want[] = { INFINITY, 0, 0, 0, 0, 100, 0, 1e30f };
	struct snpu_fault fault;
	unsigned int act, i;
	struct fake f;
	float r[8];

	fake_init(&f, false, 1);
	for (act = 0; act < 2; act++) {
		union snpu_pkt p = { .act = { .hdr = { SNPU_OP_ACT, 0, SNPU_DT_F32, 0, act },
					      .src = VA(0), .dst = VA(8), .count = 8 } };

		fake_write(&f, VA(0), in, sizeof(in));
		CHECK(!fake_exec(&f, eng, &p, &fault), "fault %u", fault.error);
		fake_read(&f, VA(8), r, sizeof(r));
		for (i = 0; i < 8; i++)
			CHECK(r[i] == want[i], "act %u of %g: %g, expected %g", act, in[i], r[i],
			      want[i]);
	}
	fake_free(&f);
}

static void test_moves(void)
{
	uint64_t n = 5 << 20, w = 1000, rows = 700, i;
	union snpu_pkt copy = {
		.copy = { .hdr.op = SNPU_OP_COPY, .src = VA(0) + 3, .dst = VA(8) + 77, .bytes = n }
	};
	union snpu_pkt c2d = { .copy2d = { .hdr.op = SNPU_OP_COPY2D,
					   .src = VA(0) + 1,
					   .dst = VA(8) + 5,
					   .src_pitch = 1001,
					   .dst_pitch = 4097,
					   .width = 1000,
					   .rows = 700 } };
	union snpu_pkt crc = { .crc32c = { .hdr.op = SNPU_OP_CRC32C, .src = VA(0), .bytes = 9,
					   .dst = VA(16) } };
	uint8_t *src, *dst;
	struct fake f[2];
	uint32_t *sum;

	both(f);
	src = operand(f, VA(0), SNPU_DT_I8, n + 4096, 1);
	dst = result(f, &copy, VA(8) + 77, n);
	CHECK(!memcmp(dst, src + 3, n), "copy differs");
	free(dst);
	dst = result(f, &c2d, VA(8) + 5, rows * 4097);
	for (i = 0; i < rows; i++)
		CHECK(!memcmp(dst + i * 4097, src + 1 + i * 1001, w), "copy2d row %d", (int)i);
	free(dst);
	for (i = 1; i <= 8; i *= 2) {
		union snpu_pkt fill = { .fill = { .hdr = { SNPU_OP_FILL, 0, 0, 0, (uint32_t)i },
						  .dst = VA(8) + i,
						  .bytes = (2 << 20) + i * 3,
						  .pattern = 0x1122334455667788ull >>
							     (64 - 8 * i) } };
		uint64_t j;

		dst = result(f, &fill, fill.fill.dst, fill.fill.bytes);
		for (j = 0; j < fill.fill.bytes; j++)
			if (dst[j] != (uint8_t)(fill.fill.pattern >> (8 * (j % i))))
				break;
		CHECK(j == fill.fill.bytes, "fill of %d: byte %d", (int)i, (int)j);
		free(dst);
	}
	/* the check value of the CRC catalogue, and a range in two parts */
	for (i = 0; i < 2; i++)
		fake_write(&f[i], VA(0), "123456789", 9);
	sum = result(f, &crc, VA(16), 4);
	CHECK(*sum == 0xe3069283u, "crc32c is %08x", *sum);
	crc.crc32c.bytes = 4;
	free(sum);
	sum = result(f, &crc, VA(16), 4);
	crc.hdr.arg = *sum;
	crc.crc32c.src += 4;
	crc.crc32c.bytes = 5;
	free(sum);
	sum = result(f, &crc, VA(16), 4);
	CHECK(*sum == 0xe3069283u, "crc32c in two parts is %08x", *sum);
	free(sum);
	free(src);
	fake_free(&f[0]);
	fake_free(&f[1]);
}

static void test_gather(void)
{
	enum { COUNT = 500, COLS = 129, ROWS = 77 };
	union snpu_pkt p = { .gather = { .hdr = { SNPU_OP_GATHER, 0, SNPU_DT_F32, 0, 0 },
					 .table = VA(0),
					 .index = VA(8),
					 .dst = VA(16),
					 .count = COUNT,
					 .cols = COLS,
					 .table_rows = ROWS,
					 .ld_table = COLS + 1,
					 .ld_dst = COLS } };
	int32_t index[COUNT], bad = ROWS;
	struct snpu_fault fault;
	float *table, *r;
	struct fake f[2];
	int i, err;

	both(f);
	table = operand(f, VA(0), SNPU_DT_F32, ROWS * (COLS + 1), 1);
	for (i = 0; i < COUNT; i++)
		index[i] = (int32_t)(fake_rand(&seed) % ROWS);
	for (i = 0; i < 2; i++)
		fake_write(&f[i], VA(8), index, sizeof(index));
	r = result(f, &p, VA(16), COUNT * COLS * 4);
	for (i = 0; i < COUNT; i++)
		CHECK(!memcmp(r + i * COLS, table + index[i] * (COLS + 1), COLS * 4), "row %d", i);
	fake_write(&f[0], VA(8) + 40, &bad, 4);
	err = fake_exec(&f[0], eng, &p, &fault);
	CHECK(err == SNPU_ERR_INDEX && fault.va == VA(8) + 40, "index out of range: %d at 0x%llx",
	      err, (unsigned long long)fault.va);
	free(table);
	free(r);
	fake_free(&f[0]);
	fake_free(&f[1]);
}

/* Faults name the first byte that could not be reached */
static void test_faults(void)
{
	union snpu_pkt copy = { .copy = { .hdr.op = SNPU_OP_COPY, .src = VA(0) + 100, .dst = VA(8),
					  .bytes = 3 << 20 } };
	union snpu_pkt mm = { .matmul = {
		.hdr = { SNPU_OP_MATMUL, 0, SNPU_DT_F32, SNPU_DT_F32, 0 }, .a = VA(0), .b = VA(8),
		.c = VA(16), .m = 64, .n = 64, .k = 64, .lda = 64, .ldb = 64, .ldc = 64 } };
	struct snpu_fault fault;
	struct fake f;
	int err;

	fake_init(&f, false, 1);
	f.kind[300] = FAKE_NONE;
	err = fake_exec(&f, eng, &copy, &fault);
	CHECK(err == SNPU_ERR_UNMAPPED && fault.va == FAKE_BASE + 300 * 4096, "%d at 0x%llx", err,
	      (unsigned long long)fault.va);
	f.kind[300] = FAKE_RW;
	f.kind[2048 + 5] = FAKE_RO;
	err = fake_exec(&f, eng, &copy, &fault);
	CHECK(err == SNPU_ERR_PERM && fault.va == VA(8) + 5 * 4096, "%d at 0x%llx", err,
	      (unsigned long long)fault.va);
	f.kind[4096 + 2] = FAKE_NONE;
	err = fake_exec(&f, eng, &mm, &fault);
	CHECK(err == SNPU_ERR_UNMAPPED && fault.va == VA(16) + 2 * 4096, "%d at 0x%llx", err,
	      (unsigned long long)fault.va);
	/* a gap between rows need not be mapped */
	f.kind[4096 + 2] = FAKE_RW;
	f.kind[4096 + 1] = FAKE_NONE;
	mm.matmul.m = 3;
	mm.matmul.ldc = 2048;
	err = fake_exec(&f, eng, &mm, &fault);
	CHECK(!err, "a hole in a gap faults: %d at 0x%llx", err, (unsigned long long)fault.va);
	f.kind[2048 + 5] = FAKE_RW;
	f.abort_after = 2;
	err = fake_exec(&f, eng, &copy, &fault);
	CHECK(err == SNPU_ERR_ABORTED && f.checkpoints == 2, "abort: %d", err);
	fake_free(&f);
}

int main(int argc, char **argv)
{
	static const struct fake_case cases[] = {
		{ "moves", test_moves },
		{ "matmul", test_matmul },
		{ "matmul_i8_extremes", test_matmul_i8_extremes },
		{ "eltwise", test_eltwise },
		{ "convert", test_convert },
		{ "convert_exhaustive", test_convert_exhaustive },
		{ "rows", test_rows },
		{ "act", test_act },
		{ "act_edges", test_act_edges },
		{ "gather", test_gather },
		{ "faults", test_faults },
	};
	int ret;

	eng = snpu_engine_create();
	ret = fake_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
	snpu_engine_destroy(eng);
	return ret;
}
