// SPDX-License-Identifier: MIT
/*
 * Inner loops, compiled with -march= for each instruction set; SNPU_KERNELS names the result.
 * Written for the vectoriser. The build turns contraction off: fused and unfused would differ.
 */
#include <math.h>
#include <string.h>
#include <immintrin.h>

#include "kernels.h"
#include "snpu_hw.h"

static void copy_nt(void *dst, const void *src, size_t bytes)
{
	const uint8_t *s = src;
	uint8_t *d = dst;
	size_t head = -(uintptr_t)d & 63;

	if (bytes < 256) {
		memcpy(d, s, bytes);
		return;
	}
	memcpy(d, s, head);
	d += head;
	s += head;
	bytes -= head;
	for (; bytes >= 256; bytes -= 256, s += 256, d += 256) {
		unsigned int i;

		_mm_prefetch((const char *)s + 1024, _MM_HINT_NTA);
		_mm_prefetch((const char *)s + 1088, _MM_HINT_NTA);
		_mm_prefetch((const char *)s + 1152, _MM_HINT_NTA);
		_mm_prefetch((const char *)s + 1216, _MM_HINT_NTA);
#if defined(__AVX512F__)
		for (i = 0; i < 4; i++)
			_mm512_stream_si512((void *)(d + 64 * i), _mm512_loadu_si512(s + 64 * i));
#elif defined(__AVX__)
		for (i = 0; i < 8; i++)
			_mm256_stream_si256((void *)(d + 32 * i),
					    _mm256_loadu_si256((const void *)(s + 32 * i)));
#else
		for (i = 0; i < 16; i++)
			_mm_stream_si128((void *)(d + 16 * i),
					 _mm_loadu_si128((const void *)(s + 16 * i)));
#endif
	}
	memcpy(d, s, bytes);
}

static inline float bits_f32(uint32_t u)
{
	float f;

	memcpy(&f, &u, sizeof(f));
	return f;
}

static inline uint32_t f32_bits(float f)
{
	uint32_t u;

	memcpy(&u, &f, sizeof(u));
	return u;
}

static inline float one_nan(float f)
{
	return bits_f32(f != f ? SNPU_NAN_F32 : f32_bits(f));
}

static inline uint16_t bf16_of(float f)
{
	uint32_t u = f32_bits(f), nan = (u & 0x7fffffffu) > 0x7f800000u;
	uint32_t r = (u + 0x7fffu + (u >> 16 & 1)) >> 16;

	return (uint16_t)(nan ? SNPU_NAN_BF16 : r);
}

/* Half precision by integer arithmetic: the same bits with and without conversion instructions */
static inline float f32_of_f16(uint16_t h)
{
	uint32_t sign = (uint32_t)(h & 0x8000) << 16, rest = h & 0x7fff;
	uint32_t normal = (rest << 13) + (112u << 23);
	/* subnormals: the value is rest * 2^-24, exact in F32 */
	uint32_t sub = f32_bits((float)(int32_t)rest * 0x1p-24f);
	uint32_t u = rest < 0x400 ? sub : rest >= 0x7c00 ? (rest << 13) | 0x7f800000u : normal;

	/* a signalling NaN becomes quiet, as the conversion instruction makes it */
	u |= rest > 0x7c00 ? 0x400000u : 0;
	return bits_f32(u | sign);
}

static inline uint16_t f16_of(float f)
{
	uint32_t u = f32_bits(f), sign = u >> 16 & 0x8000, a = u & 0x7fffffffu;
	uint32_t normal = (a - (112u << 23) + 0xfff + (a >> 13 & 1)) >> 13;
	/* adding 0.5 puts the units of a half subnormal at the end of the significand */
	uint32_t sub = f32_bits(bits_f32(a) + 0.5f) - f32_bits(0.5f);
	uint32_t r = a < (113u << 23) ? sub : normal;

	r = a >= 0x477ff000u ? 0x7c00 : r;		/* rounds to infinity */
	return (uint16_t)(a > 0x7f800000u ? SNPU_NAN_F16 : r | sign);
}

static void load(float *restrict dst, const void *src, unsigned int dtype, size_t n)
{
	const uint16_t *h = src;
	const int8_t *b = src;
	const int32_t *w = src;
	size_t i;

	switch (dtype) {
	case SNPU_DT_F32:
		memcpy(dst, src, n * sizeof(*dst));
		break;
	case SNPU_DT_BF16:
		for (i = 0; i < n; i++)
			dst[i] = bits_f32((uint32_t)h[i] << 16);
		break;
	case SNPU_DT_F16:
		for (i = 0; i < n; i++)
			dst[i] = f32_of_f16(h[i]);
		break;
	case SNPU_DT_I8:
		for (i = 0; i < n; i++)
			dst[i] = b[i];
		break;
	case SNPU_DT_I32:
		for (i = 0; i < n; i++)
			dst[i] = (float)w[i];
		break;
	}
}

static void store(void *dst, const float *restrict src, unsigned int dtype, size_t n)
{
	uint16_t *h = dst;
	float *f = dst;
	size_t i;

	switch (dtype) {
	case SNPU_DT_F32:
		for (i = 0; i < n; i++)
			f[i] = one_nan(src[i]);
		break;
	case SNPU_DT_BF16:
		for (i = 0; i < n; i++)
			h[i] = bf16_of(src[i]);
		break;
	case SNPU_DT_F16:
		for (i = 0; i < n; i++)
			h[i] = f16_of(src[i]);
		break;
	}
}

/*
 * Rows that need no change, nearly all, are only read. Adding the distance from infinity to the end
 * of the range flips the sign bit of a NaN alone; subtracting 1 clears that of -0 alone.
 */
#define SETTLE(type, sign)									\
static void settle_##type(type *x, type infinity, type nan, size_t n)				\
{												\
	type beyond = (type)(sign - 1 - infinity), any = 0;					\
	size_t i;										\
												\
	for (i = 0; i < n; i++)									\
		any |= (type)((x[i] ^ (type)(x[i] + beyond)) | (x[i] & ~(type)(x[i] - 1)));	\
	for (i = 0; (any & sign) && i < n; i++)							\
		x[i] = (x[i] & (sign - 1)) > infinity ? nan : x[i] == sign ? 0 : x[i];		\
}

SETTLE(uint16_t, 0x8000u)
SETTLE(uint32_t, 0x80000000u)

static void settle(void *row, unsigned int dtype, size_t n)
{
	switch (dtype) {
	case SNPU_DT_F32:
		settle_uint32_t(row, 0x7f800000, SNPU_NAN_F32, n);
		break;
	case SNPU_DT_BF16:
		settle_uint16_t(row, 0x7f80, SNPU_NAN_BF16, n);
		break;
	case SNPU_DT_F16:
		settle_uint16_t(row, 0x7c00, SNPU_NAN_F16, n);
		break;
	}
}

static void to_i8(int8_t *restrict dst, const float *restrict src, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		float f = src[i] == src[i] ? src[i] : 0.0f;

		f = f > 127.0f ? 127.0f : f < -128.0f ? -128.0f : f;
		dst[i] = (int8_t)(int32_t)rintf(f);
	}
}

static void to_i32(int32_t *restrict dst, const float *restrict src, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		float f = src[i] == src[i] ? src[i] : 0.0f;
		/* 2^31 itself is no int32_t: the largest F32 below it is */
		float c = f > 2147483520.0f ? 2147483520.0f : f < -0x1p31f ? -0x1p31f : f;
		int32_t v = (int32_t)rintf(c);

		dst[i] = f > 2147483520.0f ? INT32_MAX : v;
	}
}

static void eltwise(float *dst, const float *a, const float *b, unsigned int op, size_t n)
{
	float s = op == SNPU_ELT_SCALE ? b[0] : 0;
	size_t i;

	switch (op) {
	case SNPU_ELT_ADD:
		for (i = 0; i < n; i++)
			dst[i] = one_nan(a[i] + b[i]);
		break;
	case SNPU_ELT_MUL:
		for (i = 0; i < n; i++)
			dst[i] = one_nan(a[i] * b[i]);
		break;
	case SNPU_ELT_SCALE:
		for (i = 0; i < n; i++)
			dst[i] = one_nan(a[i] * s);
		break;
	case SNPU_ELT_MAX:
		for (i = 0; i < n; i++) {
			uint32_t u = f32_bits(a[i]), v = f32_bits(b[i]), m;

			m = a[i] > b[i] ? u : a[i] < b[i] ? v : u & v;
			dst[i] = bits_f32((a[i] != a[i]) | (b[i] != b[i]) ? SNPU_NAN_F32 : m);
		}
		break;
	case SNPU_ELT_MIN:
		for (i = 0; i < n; i++) {
			uint32_t u = f32_bits(a[i]), v = f32_bits(b[i]), m;

			m = a[i] < b[i] ? u : a[i] > b[i] ? v : u | v;
			dst[i] = bits_f32((a[i] != a[i]) | (b[i] != b[i]) ? SNPU_NAN_F32 : m);
		}
		break;
	}
}

/* The quotient of the smallest number and 1 is the only one at an end of the range: none wraps */
#define ELTWISE_INT(type, utype)								\
static void eltwise_##type(type *dst, const type *a, const type *b, unsigned int op,		\
			   int32_t scalar, size_t n)						\
{												\
	size_t i;										\
												\
	switch (op) {										\
	case SNPU_ELT_ADD:									\
		for (i = 0; i < n; i++)								\
			dst[i] = (type)(utype)((utype)a[i] + (utype)b[i]);			\
		break;										\
	case SNPU_ELT_MUL:									\
		for (i = 0; i < n; i++)								\
			dst[i] = (type)(utype)((utype)a[i] * (utype)b[i]);			\
		break;										\
	case SNPU_ELT_MAX:									\
		for (i = 0; i < n; i++)								\
			dst[i] = a[i] > b[i] ? a[i] : b[i];					\
		break;										\
	case SNPU_ELT_MIN:									\
		for (i = 0; i < n; i++)								\
			dst[i] = a[i] < b[i] ? a[i] : b[i];					\
		break;										\
	case SNPU_ELT_DIV:									\
		for (i = 0; i < n; i++)								\
			dst[i] = (type)(a[i] / scalar);						\
		break;										\
	}											\
}

ELTWISE_INT(int8_t, uint8_t)
ELTWISE_INT(int32_t, uint32_t)
ELTWISE_INT(int64_t, uint64_t)

static void eltwise_int(void *dst, const void *a, const void *b, unsigned int dtype,
			unsigned int op, int32_t scalar, size_t n)
{
	switch (dtype) {
	case SNPU_DT_I8:
		eltwise_int8_t(dst, a, b, op, scalar, n);
		break;
	case SNPU_DT_I32:
		eltwise_int32_t(dst, a, b, op, scalar, n);
		break;
	case SNPU_DT_I64:
		eltwise_int64_t(dst, a, b, op, scalar, n);
		break;
	}
}

static void scale(float *dst, const float *src, float factor, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		dst[i] = src[i] * factor;
}

/* e^r * 2^k for |r| <= ln 2 / 2 and k in -127 .. 128 */
static inline float exp_core(float r, int32_t k)
{
	float p = 1.38145393e-3f;
	int32_t half = k >> 1;

	p = p * r + 8.36874512e-3f;
	p = p * r + 4.16683908e-2f;
	p = p * r + 1.66665204e-1f;
	p = p * r + 4.99999934e-1f;
	p = p * r * r + r + 1.0f;
	/* in two steps: neither 2^128 nor 2^-127 is a normal number */
	return p * bits_f32((uint32_t)(half + 127) << 23) *
	       bits_f32((uint32_t)(k - half + 127) << 23);
}

#define EXP_MAX		88.7228390	/* above it: infinity */
#define EXP_MIN		-87.3365447	/* below it: flushed, the result is no normal number */
#define ROUND_F64	0x1.8p52	/* adding and taking it away rounds to an integer */
#define ROUND_F32	0x1.8p23f

/* e^x of an argument that is better than an F32: in a sum or product of it nothing is lost */
static inline float exp_f64(double x)
{
	double c = x > -88.0 ? x : -88.0, n;
	float p;

	c = c < 88.8 ? c : 88.8;
	n = c * 1.4426950408889634 + ROUND_F64 - ROUND_F64;
	p = exp_core((float)(c - n * 0.6931471805599453), (int32_t)n);
	p = x > EXP_MAX ? INFINITY : p;
	p = x < EXP_MIN ? 0.0f : p;
	return x != x ? (float)x : p;
}

static inline float exp_f32(float x)
{
	float c = x > -88.0f ? x : -88.0f, n, r, p;

	c = c < 88.8f ? c : 88.8f;
	n = c * 1.44269504f + ROUND_F32 - ROUND_F32;
	/* ln 2 in two parts, of which the first is short enough for an exact product */
	r = c - n * 0x1.62ep-1f;
	r = r - n * 0x1.0bfbe8p-15f;
	p = exp_core(r, (int32_t)n);
	p = x > (float)EXP_MAX ? INFINITY : p;
	p = x < (float)EXP_MIN ? 0.0f : p;
	return x != x ? x : p;
}

/*
 * erfc(z) for z >= 0, z = |x| / sqrt(2): t * e^(-z^2) * P(t) with t = 1 / (1 + 0.35 z). The
 * polynomial is a minimax fit of the scaled function; its relative error is 7e-9.
 */
static inline float erfc_of(float x)
{
	float ax = x < 0 ? -x : x, t = 1.0f / (1.0f + 0.247487373f * ax), p;

	p = 3.8098231e-2f;
	p = p * t - 1.57229611e-1f;
	p = p * t + 1.7732184e-1f;
	p = p * t - 2.19639697e-2f;
	p = p * t + 8.20314258e-2f;
	p = p * t + 1.48850609e-1f;
	p = p * t + 1.50162687e-1f;
	p = p * t + 1.88134821e-1f;
	p = p * t + 1.97108553e-1f;
	p = p * t + 1.97485421e-1f;
	return t * p * exp_f64(-0.5 * ((double)x * (double)x));
}

static inline float gelu(float x)
{
	float q = erfc_of(x), neg = 0.5f * x * q;

	/* the limit, where the product would be -inf * 0 */
	neg = x < -14.0f ? 0.0f : neg;
	return x < 0 ? neg : x * (1.0f - 0.5f * q);
}

static inline float silu(float x)
{
	float e = exp_f32(-x);

	/* -inf: 0, as the limit is, not -inf / inf */
	return e == INFINITY ? 0.0f : x / (1.0f + e);
}

static void act(float *dst, const float *src, unsigned int act, size_t n)
{
	size_t i;

	if (act == SNPU_ACT_SILU)
		for (i = 0; i < n; i++)
			dst[i] = silu(src[i]);
	else
		for (i = 0; i < n; i++)
			dst[i] = gelu(src[i]);
}

#define LANES 16

static double fold(const double *lane)
{
	double t[LANES];
	unsigned int i, w;

	memcpy(t, lane, sizeof(t));
	for (w = LANES / 2; w; w /= 2)
		for (i = 0; i < w; i++)
			t[i] += t[i + w];
	return t[0];
}

static double sum(const float *src, size_t n)
{
	double lane[LANES] = { 0 };
	size_t i, j;

	for (i = 0; i + LANES <= n; i += LANES)
		for (j = 0; j < LANES; j++)
			lane[j] += (double)src[i + j];
	for (j = 0; i + j < n; j++)
		lane[j] += (double)src[i + j];
	return fold(lane);
}

static double sum_sq(const float *src, size_t n)
{
	double lane[LANES] = { 0 };
	size_t i, j;

	for (i = 0; i + LANES <= n; i += LANES)
		for (j = 0; j < LANES; j++)
			lane[j] += (double)src[i + j] * (double)src[i + j];
	for (j = 0; i + j < n; j++)
		lane[j] += (double)src[i + j] * (double)src[i + j];
	return fold(lane);
}

static double dot(const float *a, const float *b, size_t n)
{
	double lane[LANES] = { 0 };
	size_t i, j;

	for (i = 0; i + LANES <= n; i += LANES)
		for (j = 0; j < LANES; j++)
			lane[j] += (double)a[i + j] * (double)b[i + j];
	for (j = 0; i + j < n; j++)
		lane[j] += (double)a[i + j] * (double)b[i + j];
	return fold(lane);
}

static void axpy(double *restrict acc, const float *restrict src, float factor, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		acc[i] += (double)src[i] * (double)factor;
}

static uint32_t sum_int(const void *src, unsigned int dtype, size_t n)
{
	const int32_t *w = src;
	const int8_t *b = src;
	uint32_t s = 0;
	size_t i;

	if (dtype == SNPU_DT_I8)
		for (i = 0; i < n; i++)
			s += (uint32_t)b[i];
	else
		for (i = 0; i < n; i++)
			s += (uint32_t)w[i];
	return s;
}

static void add_row(uint32_t *dst, const uint32_t *src, const uint32_t *add, bool accum, size_t n)
{
	size_t i;

	if (accum)
		for (i = 0; i < n; i++)
			dst[i] += src[i] + add[i];
	else
		for (i = 0; i < n; i++)
			dst[i] = src[i] + add[i];
}

static void flip(uint8_t *restrict dst, const uint8_t *restrict src, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		dst[i] = src[i] ^ 0x80;
}

static void add_f64(double *restrict acc, const float *restrict src, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		acc[i] += (double)src[i];
}

static void add_int(uint32_t *restrict acc, const void *src, unsigned int dtype, size_t n)
{
	const int32_t *w = src;
	const int8_t *b = src;
	size_t i;

	if (dtype == SNPU_DT_I8)
		for (i = 0; i < n; i++)
			acc[i] += (uint32_t)b[i];
	else
		for (i = 0; i < n; i++)
			acc[i] += (uint32_t)w[i];
}

static void narrow_f64(float *restrict dst, const double *restrict src, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		dst[i] = one_nan((float)src[i]);
}

/* F32 bits as an integer of the same order; a NaN is next to the infinity of its sign, beyond it */
static inline int32_t ordered(uint32_t u)
{
	return (int32_t)(u ^ (-(u >> 31) & 0x7fffffffu));
}

/* Maxima of integers, because those of floats have an order that stops the vectoriser */
static float max(const float *src, float sign, size_t n)
{
	uint32_t flip = f32_bits(sign) & 0x80000000u;
	int32_t m = INT32_MIN, nan = 0;
	size_t i;

	for (i = 0; i < n; i++) {
		uint32_t u = f32_bits(src[i]) ^ flip;
		int32_t v = ordered(u);

		m = v > m ? v : m;
		nan |= (u & 0x7fffffffu) > 0x7f800000u;
	}
	return nan ? NAN : bits_f32((uint32_t)ordered((uint32_t)m));
}

static void exp_sub(float *dst, const float *src, double scale, double max, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		dst[i] = exp_f64((double)src[i] * scale - max);
}

static void norm(float *dst, const float *src, const float *weight, double factor, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		dst[i] = (float)((double)src[i] * factor * (double)weight[i]);
}

typedef int32_t __attribute__((may_alias)) any32;

/* Index of the first element that is @a or @b, else 0. Whole blocks first: they vectorise */
static inline size_t find_i32(const any32 *src, int32_t a, int32_t b, size_t n)
{
	size_t i, j;

	for (i = 0; i + 64 <= n; i += 64) {
		int32_t hit = 0;

		for (j = 0; j < 64; j++)
			hit |= (src[i + j] == a) | (src[i + j] == b);
		if (hit)
			break;
	}
	for (; i < n; i++)
		if (src[i] == a || src[i] == b)
			return i;
	return 0;
}

static size_t argmax_f32(const float *src, size_t n)
{
	int32_t m = INT32_MIN;
	uint32_t best;
	size_t i;

	for (i = 0; i < n; i++) {
		uint32_t u = f32_bits(src[i]), nan = -(uint32_t)(u << 1 > 0xff000000u);
		int32_t v = (int32_t)(((uint32_t)ordered(u) & ~nan) | (nan & 0x80000000u));

		m = v > m ? v : m;
	}
	if (m == INT32_MIN)
		return 0;	/* nothing but NaN */
	best = (uint32_t)ordered((uint32_t)m);
	/* the two zeros are equal */
	return find_i32((const any32 *)src, (int32_t)best,
			(int32_t)(best << 1 ? best : best ^ 0x80000000u), n);
}

static size_t argmax_i32(const int32_t *src, size_t n)
{
	int32_t m = INT32_MIN;
	size_t i;

	for (i = 0; i < n; i++)
		m = src[i] > m ? src[i] : m;
	return find_i32(src, m, m, n);
}

const struct snpu_kernels SNPU_KERNELS = {
	.add_row = add_row,
	.flip = flip,
	.copy_nt = copy_nt,
	.load = load,
	.store = store,
	.settle = settle,
	.to_i8 = to_i8,
	.to_i32 = to_i32,
	.eltwise = eltwise,
	.eltwise_int = eltwise_int,
	.dot = dot,
	.axpy = axpy,
	.scale = scale,
	.act = act,
	.sum = sum,
	.sum_sq = sum_sq,
	.sum_int = sum_int,
	.add_f64 = add_f64,
	.add_int = add_int,
	.narrow_f64 = narrow_f64,
	.max = max,
	.exp_sub = exp_sub,
	.norm = norm,
	.argmax_f32 = argmax_f32,
	.argmax_i32 = argmax_i32,
};
