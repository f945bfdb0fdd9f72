/* SPDX-License-Identifier: MIT */
/*
 * Inner loops. Compiled once for each instruction set; all give the same bits (no contraction,
 * fixed order of sums), so it does not matter which machine a result comes from.
 */
#ifndef SNPU_ENGINE_KERNELS_H
#define SNPU_ENGINE_KERNELS_H

#include <stdbool.h>
#include <stdint.h>
#include <stddef.h>

#define SNPU_TILE	2048u	/* elements that are worked on in F32 at a time */

/*
 * The NaN that arithmetic packets write. Which of two NaN an instruction passes on, and with which
 * sign it makes one, depends on the CPU and on how the compiler orders operands.
 */
#define SNPU_NAN_F32	0x7fc00000u
#define SNPU_NAN_BF16	0x7fc0u
#define SNPU_NAN_F16	0x7e00u

/**
 * struct snpu_kernels - inner loops of one instruction set
 * @add_row: dst = src + add (+ dst, if @accum), integers, wraps; dst may be src
 * @flip: dst = src + 128, bytes
 * @copy_nt: memcpy() around the cache; the caller fences
 * @load: @n elements of a float type, or I8, I32, as F32
 * @store: @n F32 as elements of a float type, one rounding to nearest even; a NaN as SNPU_NAN_*
 * @settle: in @n results of a float type every NaN becomes SNPU_NAN_*, every -0 becomes +0
 * @to_i8: nearest even, saturated, NaN gives 0
 * @to_i32: likewise
 * @eltwise: F32: @op is SNPU_ELT_*; SCALE takes b[0]; for MAX and MIN -0 is below +0; NaN as @store
 * @eltwise_int: I8, I32, I64: ADD, MUL wrap; MAX, MIN; DIV by @scalar, toward zero
 * @scale: @n values times a factor
 * @act: SNPU_ACT_*
 * @sum: sum in sixteen lanes of doubles, then pairwise
 * @sum_sq: sum of squares likewise
 * @dot: sum of products, in sixteen lanes of doubles, then pairwise
 * @axpy: adds @n products to doubles
 * @sum_int: sum of I8 or I32, wraps
 * @add_f64: adds @n F32 to doubles
 * @add_int: adds @n I8 or I32, wraps
 * @narrow_f64: doubles to F32, one rounding; a NaN as @store
 * @max: largest of src * sign (1 or -1), NaN if there is one
 * @exp_sub: dst = exp(src * scale - max), the argument in double
 * @norm: dst = src * factor * weight, one rounding
 * @argmax_f32: lowest index of the largest value; NaN is below everything
 * @argmax_i32: lowest index of the largest value; below @n even if the row changes meanwhile
 */
struct snpu_kernels {
	void (*add_row)(uint32_t *dst, const uint32_t *src, const uint32_t *add, bool accum,
			size_t n);
	void (*flip)(uint8_t *dst, const uint8_t *src, size_t n);
	void (*copy_nt)(void *dst, const void *src, size_t bytes);
	void (*load)(float *dst, const void *src, unsigned int dtype, size_t n);
	void (*store)(void *dst, const float *src, unsigned int dtype, size_t n);
	void (*settle)(void *row, unsigned int dtype, size_t n);
	void (*to_i8)(int8_t *dst, const float *src, size_t n);
	void (*to_i32)(int32_t *dst, const float *src, size_t n);
	void (*eltwise)(float *dst, const float *a, const float *b, unsigned int op, size_t n);
	void (*eltwise_int)(void *dst, const void *a, const void *b, unsigned int dtype,
			    unsigned int op, int32_t scalar, size_t n);
	double (*dot)(const float *a, const float *b, size_t n);
	void (*axpy)(double *acc, const float *src, float factor, size_t n);
	void (*scale)(float *dst, const float *src, float factor, size_t n);
	void (*act)(float *dst, const float *src, unsigned int act, size_t n);
	double (*sum)(const float *src, size_t n);
	double (*sum_sq)(const float *src, size_t n);
	uint32_t (*sum_int)(const void *src, unsigned int dtype, size_t n);
	void (*add_f64)(double *acc, const float *src, size_t n);
	void (*add_int)(uint32_t *acc, const void *src, unsigned int dtype, size_t n);
	void (*narrow_f64)(float *dst, const double *src, size_t n);
	float (*max)(const float *src, float sign, size_t n);
	void (*exp_sub)(float *dst, const float *src, double scale, double max, size_t n);
	void (*norm)(float *dst, const float *src, const float *weight, double factor, size_t n);
	size_t (*argmax_f32)(const float *src, size_t n);
	size_t (*argmax_i32)(const int32_t *src, size_t n);
};

/** snpu_kernels() - the loops for this CPU */
const struct snpu_kernels *snpu_kernels(void);

/** snpu_kernels_all() - the loops that this CPU can run, best first; NULL beyond the last */
const struct snpu_kernels *snpu_kernels_all(unsigned int i);

extern const struct snpu_kernels snpu_kernels_base, snpu_kernels_v3, snpu_kernels_v4;

/** snpu_crc32c() - continue a CRC32C; 0 begins */
uint32_t snpu_crc32c(uint32_t crc, const void *buf, size_t bytes);

/** snpu_crc32c_table() - the same without instructions for it */
uint32_t snpu_crc32c_table(uint32_t crc, const void *buf, size_t bytes);

#endif
