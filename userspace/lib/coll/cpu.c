// SPDX-License-Identifier: MIT
/*
 * The arithmetic of ELTWISE on the CPU: floats in fp32, rounded once to nearest even; integers
 * wrap. Written from the hardware manual, not shared with the model.
 */
#include <string.h>

#include "schedule.h"

#define TILE	512

/* The vectoriser is what makes a reference for 384 ranks affordable */
#define FAST	__attribute__((optimize("O3")))

static inline float float_of(uint32_t u)
{
	float f;

	memcpy(&f, &u, sizeof(f));
	return f;
}

static inline uint16_t bf16_of(float f)
{
	uint32_t u = snpu_f32_bits(f), up = 0x7fff + (u >> 16 & 1);

	return (uint16_t)((u & 0x7fffffff) > 0x7f800000 ? u >> 16 | 0x40 : (u + up) >> 16);
}

static float f16_value(uint16_t h)
{
	uint32_t sign = (uint32_t)(h >> 15) << 31, exp = h >> 10 & 31, frac = h & 0x3ff;

	if (exp == 31)
		return float_of(sign | 0x7f800000 | frac << 13 | (frac ? 0x400000 : 0));
	if (!exp)
		return float_of(sign | snpu_f32_bits((float)frac * 0x1p-24f));
	return float_of(sign | (exp + 112) << 23 | frac << 13);
}

static uint16_t f16_of(float f)
{
	uint32_t u = snpu_f32_bits(f), a = u & 0x7fffffff, sign = u >> 16 & 0x8000, q, rest, half;
	unsigned int shift;

	if (a > 0x7f800000)
		return (uint16_t)(sign | 0x7e00 | (a >> 13 & 0x3ff));
	if (a >= 0x47800000)
		return (uint16_t)(sign | 0x7c00);
	if (a >= 0x38800000) {
		q = a - 0x38000000;
		shift = 13;
	} else {
		/* in units of 2^-24; what is below a quarter of one rounds to nothing */
		if (a < 0x32800000)
			return (uint16_t)sign;
		q = (a & 0x7fffff) | 0x800000;
		shift = 126 - (a >> 23);
	}
	rest = q & ((1u << shift) - 1);
	half = 1u << (shift - 1);
	q >>= shift;
	/* a carry out of the fraction is one more in the exponent, as it should be */
	q += rest > half || (rest == half && (q & 1));
	return (uint16_t)(sign | q);
}

static FAST void load(float *restrict t, const void *src, unsigned int dtype, uint64_t n)
{
	const uint16_t *h = src;
	uint64_t i;

	if (dtype == SNPU_DT_BF16)
		for (i = 0; i < n; i++)
			t[i] = float_of((uint32_t)h[i] << 16);
	else
		for (i = 0; i < n; i++)
			t[i] = f16_value(h[i]);
}

static FAST void store(void *dst, const float *restrict t, unsigned int dtype, uint64_t n)
{
	uint16_t *h = dst;
	uint64_t i;

	if (dtype == SNPU_DT_BF16)
		for (i = 0; i < n; i++)
			h[i] = bf16_of(t[i]);
	else
		for (i = 0; i < n; i++)
			h[i] = f16_of(t[i]);
}

static FAST void reduce_f32(float *dst, const float *a, const float *b, unsigned int redop,
			    uint64_t n)
{
	uint64_t i;

	switch (redop) {
	case SNPU_COLL_PROD:
		for (i = 0; i < n; i++)
			dst[i] = a[i] * b[i];
		break;
	case SNPU_COLL_MIN:
		for (i = 0; i < n; i++)
			dst[i] = a[i] != a[i] || a[i] < b[i] ? a[i] : b[i];
		break;
	case SNPU_COLL_MAX:
		for (i = 0; i < n; i++)
			dst[i] = a[i] != a[i] || a[i] > b[i] ? a[i] : b[i];
		break;
	default:
		for (i = 0; i < n; i++)
			dst[i] = a[i] + b[i];
	}
}

#define REDUCE_INT(name, type, utype)								\
static FAST void name(type *dst, const type *a, const type *b, unsigned int redop, uint64_t n)	\
{												\
	uint64_t i;										\
												\
	switch (redop) {									\
	case SNPU_COLL_PROD:									\
		for (i = 0; i < n; i++)								\
			dst[i] = (type)(utype)((utype)a[i] * (utype)b[i]);			\
		break;										\
	case SNPU_COLL_MIN:									\
		for (i = 0; i < n; i++)								\
			dst[i] = a[i] < b[i] ? a[i] : b[i];					\
		break;										\
	case SNPU_COLL_MAX:									\
		for (i = 0; i < n; i++)								\
			dst[i] = a[i] > b[i] ? a[i] : b[i];					\
		break;										\
	default:										\
		for (i = 0; i < n; i++)								\
			dst[i] = (type)(utype)((utype)a[i] + (utype)b[i]);			\
	}											\
}

REDUCE_INT(reduce_i8, int8_t, uint8_t)
REDUCE_INT(reduce_i32, int32_t, uint32_t)
REDUCE_INT(reduce_i64, int64_t, uint64_t)

void coll_cpu_reduce(void *dst, const void *a, const void *b, unsigned int dtype,
		     unsigned int redop, uint64_t count)
{
	float ta[TILE], tb[TILE];
	uint64_t i, n;

	switch (dtype) {
	case SNPU_DT_F32:
		reduce_f32(dst, a, b, redop, count);
		return;
	case SNPU_DT_I8:
		reduce_i8(dst, a, b, redop, count);
		return;
	case SNPU_DT_I32:
		reduce_i32(dst, a, b, redop, count);
		return;
	case SNPU_DT_I64:
		reduce_i64(dst, a, b, redop, count);
		return;
	}
	for (i = 0; i < count; i += n) {
		n = count - i < TILE ? count - i : TILE;
		load(ta, (const uint16_t *)a + i, dtype, n);
		load(tb, (const uint16_t *)b + i, dtype, n);
		reduce_f32(ta, ta, tb, redop, n);
		store((uint16_t *)dst + i, ta, dtype, n);
	}
}

void coll_cpu_fold(void *dst, const void *const *a, uint64_t off, unsigned int n,
		   unsigned int dtype, unsigned int redop, uint64_t count)
{
	const bool half = dtype == SNPU_DT_BF16 || dtype == SNPU_DT_F16;
	float sum[TILE], t[TILE];
	uint64_t i, m;
	unsigned int r;

	if (!half) {
		memmove(dst, (const char *)a[0] + off, count * snpu_dtype_size(dtype));
		for (r = 1; r < n; r++)
			coll_cpu_reduce(dst, dst, (const char *)a[r] + off, dtype, redop, count);
		return;
	}
	for (i = 0; i < count; i += m) {
		m = count - i < TILE ? count - i : TILE;
		for (r = 0; r < n; r++) {
			load(r ? t : sum, (const uint16_t *)((const char *)a[r] + off) + i, dtype,
			     m);
			if (r)
				reduce_f32(sum, sum, t, redop, m);
		}
		store((uint16_t *)dst + i, sum, dtype, m);
	}
}

void coll_cpu_avg(void *dst, const void *a, unsigned int dtype, unsigned int ranks, uint64_t count)
{
	const float factor = 1.0f / (float)ranks;
	uint64_t i;
	float t;

	for (i = 0; i < count; i++) {
		switch (dtype) {
		case SNPU_DT_F32:
			((float *)dst)[i] = ((const float *)a)[i] * factor;
			break;
		case SNPU_DT_I8:
			((int8_t *)dst)[i] = (int8_t)(((const int8_t *)a)[i] / (int)ranks);
			break;
		case SNPU_DT_I32:
			((int32_t *)dst)[i] = ((const int32_t *)a)[i] / (int)ranks;
			break;
		case SNPU_DT_I64:
			((int64_t *)dst)[i] = ((const int64_t *)a)[i] / (int)ranks;
			break;
		default:
			load(&t, (const uint16_t *)a + i, dtype, 1);
			t *= factor;
			store((uint16_t *)dst + i, &t, dtype, 1);
		}
	}
}
