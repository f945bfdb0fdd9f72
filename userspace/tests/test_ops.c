// SPDX-License-Identifier: MIT
/*
 * Every op once, from the encoder to the result.
 */
#include <math.h>

#include "tap.h"

#define A	0x0000
#define B	0x4000
#define C	0x8000
#define D	0xc000
#define BYTES	0x10000

static struct t_dev d;

#define F(off)	((float *)(void *)(d.p + (off)))
#define I(off)	((int32_t *)(void *)(d.p + (off)))
#define I8(off)	((int8_t *)(void *)(d.p + (off)))
#define U16(off) ((uint16_t *)(void *)(d.p + (off)))
#define U64(off) ((uint64_t *)(void *)(d.p + (off)))

static bool fresh(void)
{
	if (!d.ctx && t_dev_open(&d, 0, BYTES, SNPU_MEM_HBM))
		return false;
	memset(d.p, 0, BYTES);
	return true;
}

/* The last case closes it */
static void finish(void)
{
	t_dev_close(&d);
}

static void op_nop(void)
{
	uint64_t before;

	NEED(fresh());
	before = snpu_queue_completed(d.q);
	snpu_prep_nop(t_pkt(d.q));
	snpu_prep_barrier(t_pkt(d.q));
	snpu_prep_interrupt(t_pkt(d.q), 77);
	CHECK_EQ(t_run(d.q), 0);
	CHECK_EQ(snpu_queue_completed(d.q), before + 3);
}

static void op_copy(void)
{
	unsigned int i, bad = 0;

	NEED(fresh());
	for (i = 0; i < 5000; i++)
		d.p[A + i] = (uint8_t)(i * 7 + 1);
	snpu_prep_copy(t_pkt(d.q), d.va + B + 3, d.va + A, 5000);
	CHECK_EQ(t_run(d.q), 0);
	for (i = 0; i < 5000; i++)
		bad += d.p[B + 3 + i] != (uint8_t)(i * 7 + 1);
	CHECK_EQ(bad, 0);
	CHECK_EQ(d.p[B + 2], 0);
	CHECK_EQ(d.p[B + 5003], 0);
}

static void op_copy2d(void)
{
	unsigned int r, c, bad = 0;

	NEED(fresh());
	for (r = 0; r < 16; r++)
		for (c = 0; c < 64; c++)
			d.p[A + r * 64 + c] = (uint8_t)(r * 16 + c);
	snpu_prep_copy2d(t_pkt(d.q), d.va + B, 100, d.va + A + 5, 64, 20, 16);
	CHECK_EQ(t_run(d.q), 0);
	for (r = 0; r < 16; r++)
		for (c = 0; c < 100; c++)
			bad += d.p[B + r * 100 + c] != (c < 20 ? (uint8_t)(r * 16 + c + 5) : 0);
	CHECK_EQ(bad, 0);
}

static void op_fill(void)
{
	unsigned int i, bad = 0;

	NEED(fresh());
	snpu_prep_fill(t_pkt(d.q), d.va + A + 1, 99, 0xab, 1);
	snpu_prep_fill(t_pkt(d.q), d.va + B, 64, 0x1234, 2);
	snpu_prep_fill(t_pkt(d.q), d.va + C, 64, 0xdeadbeef, 4);
	snpu_prep_fill(t_pkt(d.q), d.va + D, 64, 0x0123456789abcdefull, 8);
	CHECK_EQ(t_run(d.q), 0);
	for (i = 0; i < 110; i++)
		bad += d.p[A + i] != (i >= 1 && i < 100 ? 0xab : 0);
	for (i = 0; i < 40; i++)
		bad += U16(B)[i] != (i < 32 ? 0x1234 : 0);
	for (i = 0; i < 20; i++)
		bad += I(C)[i] != (i < 16 ? (int32_t)0xdeadbeef : 0);
	for (i = 0; i < 10; i++)
		bad += U64(D)[i] != (i < 8 ? 0x0123456789abcdefull : 0);
	CHECK_EQ(bad, 0);
}

#define M 5
#define N 7
#define K 9

/* Small integers: exact in every order of summation */
static void op_matmul_f32(void)
{
	unsigned int i, j, k, bad = 0;

	NEED(fresh());
	for (i = 0; i < M * K; i++)
		F(A)[i] = (float)(i % 5) - 2;
	for (i = 0; i < K * N; i++)
		F(B)[i] = (float)(i % 7) - 3;
	for (i = 0; i < N; i++)
		F(D)[i] = (float)i;
	snpu_prep_matmul(t_pkt(d.q), SNPU_PF_BIAS, SNPU_DT_F32, SNPU_DT_F32, d.va + C, d.va + A,
			 d.va + B, d.va + D, M, N, K);
	/* and once more on top, without the bias */
	snpu_prep_matmul(t_pkt(d.q), SNPU_PF_ACCUM, SNPU_DT_F32, SNPU_DT_F32, d.va + C, d.va + A,
			 d.va + B, 0, M, N, K);
	CHECK_EQ(t_run(d.q), 0);
	for (i = 0; i < M; i++)
		for (j = 0; j < N; j++) {
			float sum = 0;

			for (k = 0; k < K; k++)
				sum += F(A)[i * K + k] * F(B)[k * N + j];
			bad += F(C)[i * N + j] != 2 * sum + (float)j;
		}
	CHECK_EQ(bad, 0);
}

static void op_matmul_i8(void)
{
	unsigned int i, j, k, bad = 0;

	NEED(fresh());
	for (i = 0; i < M * K; i++)
		I8(A)[i] = (int8_t)(i * 37);
	for (i = 0; i < K * N; i++)
		I8(B)[i] = (int8_t)(i * 91 + 5);
	/* A as K x M, B as N x K */
	snpu_prep_matmul(t_pkt(d.q), SNPU_PF_TRANS_A | SNPU_PF_TRANS_B, SNPU_DT_I8, SNPU_DT_I32,
			 d.va + C, d.va + A, d.va + B, 0, M, N, K);
	CHECK_EQ(t_run(d.q), 0);
	for (i = 0; i < M; i++)
		for (j = 0; j < N; j++) {
			int32_t sum = 0;

			for (k = 0; k < K; k++)
				sum += I8(A)[k * M + i] * I8(B)[j * K + k];
			bad += I(C)[i * N + j] != sum;
		}
	CHECK_EQ(bad, 0);
}

/* A row of C is what the same row of A makes it: row 1 of A is NaN, rows 0 and 2 to 16 are ones */
static void op_matmul_nan(void)
{
	enum { ROWS = 17, COLS = 64, DEPTH = 33 };
	unsigned int i, bad = 0;

	NEED(fresh());
	for (i = 0; i < ROWS * DEPTH; i++)
		U16(A)[i] = i / DEPTH == 1 ? 0xffff : 0x3f80;
	for (i = 0; i < DEPTH * COLS; i++)
		U16(B)[i] = 0x3f80;
	snpu_prep_matmul(t_pkt(d.q), 0, SNPU_DT_BF16, SNPU_DT_F32, d.va + C, d.va + A, d.va + B, 0,
			 ROWS, COLS, DEPTH);
	CHECK_EQ(t_run(d.q), 0);
	for (i = 0; i < ROWS * COLS; i++)
		bad += i / COLS == 1 ? I(C)[i] != 0x7fc00000 : F(C)[i] != DEPTH;
	CHECK_EQ(bad, 0);
}

/* Subnormal times large: an ordinary number, but for BF16, whose subnormals count as zero */
static void op_matmul_subnormal(void)
{
	static const struct {
		unsigned int dtype;
		uint32_t small, large;
		float product;
	} type[] = {
		{ SNPU_DT_F32, 0x00080000, 0x7f000000, 0.125f },
		{ SNPU_DT_BF16, 0x0008, 0x7f00, 0 },
		{ SNPU_DT_F16, 0x0010, 0x7800, 0x1p-5f },
	};
	static const uint32_t dim[][3] = {
		{ 1, 1, 1 }, { 16, 16, 16 }, { 17, 32, 33 }, { 33, 5, 7 }
	};
	unsigned int t, s, i, bad = 0;

	for (t = 0; t < 3; t++)
		for (s = 0; s < 4; s++) {
			uint32_t rows = dim[s][0], cols = dim[s][1], depth = dim[s][2];
			bool wide = type[t].dtype == SNPU_DT_F32;

			NEED(fresh());
			for (i = 0; i < rows; i++)
				if (wide)
					I(A)[i * depth] = (int32_t)type[t].small;
				else
					U16(A)[i * depth] = (uint16_t)type[t].small;
			for (i = 0; i < depth * cols; i++)
				if (wide)
					I(B)[i] = (int32_t)type[t].large;
				else
					U16(B)[i] = (uint16_t)type[t].large;
			snpu_prep_matmul(t_pkt(d.q), 0, type[t].dtype, SNPU_DT_F32, d.va + C,
					 d.va + A, d.va + B, 0, rows, cols, depth);
			CHECK_EQ(t_run(d.q), 0);
			for (i = 0; i < rows * cols; i++)
				bad += F(C)[i] != type[t].product;
		}
	CHECK_EQ(bad, 0);
}

static void op_eltwise(void)
{
	unsigned int i, bad = 0;

	NEED(fresh());
	for (i = 0; i < 100; i++) {
		F(A)[i] = (float)i;
		F(B)[i] = 50;
		I(A + 0x1000)[i] = INT32_MAX;
		I(B + 0x1000)[i] = (int32_t)i;
	}
	snpu_prep_eltwise(t_pkt(d.q), SNPU_ELT_ADD, SNPU_DT_F32, d.va + C, d.va + A, d.va + B, 100);
	snpu_prep_eltwise(t_pkt(d.q), SNPU_ELT_MUL, SNPU_DT_F32, d.va + C + 0x400, d.va + A,
			  d.va + B, 100);
	snpu_prep_eltwise(t_pkt(d.q), SNPU_ELT_MAX, SNPU_DT_F32, d.va + C + 0x800, d.va + A,
			  d.va + B, 100);
	snpu_prep_scale(t_pkt(d.q), SNPU_DT_F32, d.va + C + 0xc00, d.va + A, -0.5f, 100);
	snpu_prep_eltwise(t_pkt(d.q), SNPU_ELT_ADD, SNPU_DT_I32, d.va + D, d.va + A + 0x1000,
			  d.va + B + 0x1000, 100);
	CHECK_EQ(t_run(d.q), 0);
	for (i = 0; i < 100; i++) {
		bad += F(C)[i] != (float)i + 50;
		bad += F(C + 0x400)[i] != (float)i * 50;
		bad += F(C + 0x800)[i] != (float)(i > 50 ? i : 50);
		bad += F(C + 0xc00)[i] != (float)i * -0.5f;
		bad += I(D)[i] != (int32_t)((uint32_t)INT32_MAX + i);
	}
	CHECK_EQ(bad, 0);
}

static void op_convert(void)
{
	NEED(fresh());
	F(A)[0] = 1.5f;
	F(A)[1] = -2.5f;
	F(A)[2] = 300;
	F(A)[3] = NAN;
	snpu_prep_convert(t_pkt(d.q), d.va + B, SNPU_DT_I8, d.va + A, SNPU_DT_F32, 4, 1.0f);
	snpu_prep_convert(t_pkt(d.q), d.va + B + 64, SNPU_DT_BF16, d.va + A, SNPU_DT_F32, 3, 1.0f);
	snpu_prep_convert(t_pkt(d.q), d.va + B + 128, SNPU_DT_F16, d.va + A, SNPU_DT_F32, 3, 2.0f);
	snpu_prep_convert(t_pkt(d.q), d.va + C, SNPU_DT_F32, d.va + B + 64, SNPU_DT_BF16, 3, 1.0f);
	CHECK_EQ(t_run(d.q), 0);
	CHECK_EQ(I8(B)[0], 2);
	CHECK_EQ(I8(B)[1], -2);
	CHECK_EQ(I8(B)[2], 127);
	CHECK_EQ(I8(B)[3], 0);
	CHECK_EQ(U16(B + 64)[0], 0x3fc0);
	CHECK_EQ(U16(B + 128)[0], 0x4200);
	CHECK_EQ(U16(B + 128)[1], 0xc500);
	CHECK(F(C)[0] == 1.5f && F(C)[1] == -2.5f && F(C)[2] == 300);
}

static void op_reduce_sum(void)
{
	unsigned int i;

	NEED(fresh());
	for (i = 0; i < 12; i++)
		F(A)[i] = (float)i;
	for (i = 0; i < 12; i++)
		I8(B)[i] = (int8_t)(100 + i);
	snpu_prep_reduce_sum(t_pkt(d.q), 0, SNPU_DT_F32, SNPU_DT_F32, d.va + C, d.va + A, 3, 4, 4);
	snpu_prep_reduce_sum(t_pkt(d.q), SNPU_PF_COLUMNS, SNPU_DT_F32, SNPU_DT_F32, d.va + C + 64,
			     d.va + A, 3, 4, 4);
	snpu_prep_reduce_sum(t_pkt(d.q), 0, SNPU_DT_I8, SNPU_DT_I32, d.va + D, d.va + B, 3, 3, 4);
	CHECK_EQ(t_run(d.q), 0);
	CHECK(F(C)[0] == 6 && F(C)[1] == 22 && F(C)[2] == 38);
	CHECK(F(C + 64)[0] == 12 && F(C + 64)[1] == 15 && F(C + 64)[3] == 21);
	CHECK(I(D)[0] == 303 && I(D)[1] == 315 && I(D)[2] == 327);
}

static void op_softmax(void)
{
	float e = expf(1);

	NEED(fresh());
	F(A)[0] = F(A)[1] = F(A)[3] = 0;
	F(A)[2] = F(A)[4] = 1;
	snpu_prep_softmax(t_pkt(d.q), 0, SNPU_DT_F32, d.va + C, d.va + A, 2, 2, 2, 1.0f, 0);
	snpu_prep_softmax(t_pkt(d.q), SNPU_PF_CAUSAL, SNPU_DT_F32, d.va + D, d.va + A, 2, 2, 2,
			  1.0f, 0);
	CHECK_EQ(t_run(d.q), 0);
	CHECK(F(C)[0] == 0.5f && F(C)[1] == 0.5f);
	CHECK(fabsf(F(C)[2] - e / (e + 1)) < 1e-6f && fabsf(F(C)[3] - 1 / (e + 1)) < 1e-6f);
	CHECK(F(D)[0] == 1 && F(D)[1] == 0);
	CHECK(fabsf(F(D)[2] - e / (e + 1)) < 1e-6f);
}

static void op_rmsnorm(void)
{
	NEED(fresh());
	F(A)[0] = 3;
	F(A)[1] = 4;
	F(B)[0] = 1;
	F(B)[1] = 10;
	snpu_prep_rmsnorm(t_pkt(d.q), SNPU_DT_F32, d.va + C, d.va + A, d.va + B, 1, 2, 0);
	CHECK_EQ(t_run(d.q), 0);
	CHECK(fabsf(F(C)[0] - 3 / sqrtf(12.5f)) < 1e-6f);
	CHECK(fabsf(F(C)[1] - 40 / sqrtf(12.5f)) < 1e-5f);
}

static void op_act(void)
{
	NEED(fresh());
	F(A)[0] = 0;
	F(A)[1] = 1;
	F(A)[2] = -2;
	snpu_prep_act(t_pkt(d.q), SNPU_ACT_SILU, SNPU_DT_F32, d.va + C, d.va + A, 3);
	snpu_prep_act(t_pkt(d.q), SNPU_ACT_GELU, SNPU_DT_F32, d.va + D, d.va + A, 3);
	CHECK_EQ(t_run(d.q), 0);
	CHECK(F(C)[0] == 0 && fabsf(F(C)[1] - 1 / (1 + expf(-1))) < 1e-6f);
	CHECK(fabsf(F(C)[2] + 2 / (1 + expf(2))) < 1e-6f);
	CHECK(F(D)[0] == 0 && fabsf(F(D)[1] - 0.5f * (1 + erff(sqrtf(0.5f)))) < 1e-6f);
	CHECK(fabsf(F(D)[2] + 1 + erff(-sqrtf(2.0f))) < 1e-6f);
}

static void op_gather(void)
{
	unsigned int i;

	NEED(fresh());
	for (i = 0; i < 40; i++)
		U16(A)[i] = (uint16_t)i;
	I(B)[0] = 9;
	I(B)[1] = 0;
	I(B)[2] = 9;
	snpu_prep_gather(t_pkt(d.q), SNPU_DT_BF16, d.va + C, d.va + A, 10, d.va + B, 3, 4);
	CHECK_EQ(t_run(d.q), 0);
	CHECK(U16(C)[0] == 36 && U16(C)[3] == 39 && U16(C)[4] == 0 && U16(C)[7] == 3);
	CHECK(U16(C)[8] == 36 && U16(C)[12] == 0);
}

static void op_argmax(void)
{
	NEED(fresh());
	F(A)[0] = -5;
	F(A)[1] = -1;
	F(A)[2] = -1;
	F(A)[3] = 7;
	F(A)[4] = NAN;
	F(A)[5] = 6;
	I(B)[0] = -1;
	snpu_prep_argmax(t_pkt(d.q), SNPU_DT_F32, d.va + C, d.va + A, 2, 3, 3);
	CHECK_EQ(t_run(d.q), 0);
	CHECK_EQ(I(C)[0], 1);
	CHECK_EQ(I(C)[1], 0);
}

static void op_crc32c(void)
{
	NEED(fresh());
	memcpy(d.p + A, "123456789", 9);
	snpu_prep_crc32c(t_pkt(d.q), d.va + C, d.va + A, 9, 0);
	snpu_prep_crc32c(t_pkt(d.q), d.va + C + 4, d.va + A, 4, 0);
	CHECK_EQ(t_run(d.q), 0);
	CHECK_EQ(I(C)[0], (int32_t)0xe3069283);
	/* the rest, begun with the result of the first part */
	snpu_prep_crc32c(t_pkt(d.q), d.va + C + 8, d.va + A + 4, 5, (uint32_t)I(C)[1]);
	CHECK_EQ(t_run(d.q), 0);
	CHECK_EQ(I(C)[2], (int32_t)0xe3069283);
}

static void op_sem(void)
{
	NEED(fresh());
	snpu_prep_signal(t_pkt(d.q), d.va + A, 40, SNPU_SEM_SET);
	snpu_prep_signal(t_pkt(d.q), d.va + A, 2, SNPU_SEM_ADD);
	snpu_prep_wait(t_pkt(d.q), d.va + A, 42, SNPU_SEM_EQ, 0);
	snpu_prep_wait(t_pkt(d.q), d.va + A, 7, SNPU_SEM_GE, 1000000);
	CHECK_EQ(t_run(d.q), 0);
	CHECK_EQ(U64(A)[0], 42);
}

static void op_timestamp(void)
{
	NEED(fresh());
	snpu_prep_timestamp(t_pkt(d.q), d.va + A);
	snpu_prep_fill(t_pkt(d.q), d.va + B, 0x4000, 1, 1);
	snpu_prep_timestamp(t_pkt(d.q), d.va + A + 8);
	CHECK_EQ(t_run(d.q), 0);
	CHECK(U64(A)[0] && U64(A)[1] >= U64(A)[0]);
}

static const struct t_case cases[] = {
	{ "NOP, BARRIER, INTERRUPT", op_nop, T_BOTH },
	{ "COPY", op_copy, T_BOTH },
	{ "COPY2D", op_copy2d, T_BOTH },
	{ "FILL with every pattern size", op_fill, T_BOTH },
	{ "MATMUL fp32 with bias and accumulation", op_matmul_f32, T_BOTH },
	{ "MATMUL int8 of transposed matrices", op_matmul_i8, T_BOTH },
	{ "MATMUL keeps a NaN in its row", op_matmul_nan, T_BOTH },
	{ "MATMUL of subnormals", op_matmul_subnormal, T_BOTH },
	{ "ELTWISE", op_eltwise, T_BOTH },
	{ "CONVERT", op_convert, T_BOTH },
	{ "REDUCE_SUM", op_reduce_sum, T_BOTH },
	{ "SOFTMAX", op_softmax, T_BOTH },
	{ "RMSNORM", op_rmsnorm, T_BOTH },
	{ "ACT", op_act, T_BOTH },
	{ "GATHER", op_gather, T_BOTH },
	{ "ARGMAX", op_argmax, T_BOTH },
	{ "CRC32C", op_crc32c, T_BOTH },
	{ "SEM_SIGNAL, SEM_WAIT", op_sem, T_BOTH },
	{ "TIMESTAMP", op_timestamp, T_BOTH },
	{ "all is given back", finish, T_BOTH },
};

int main(void)
{
	return t_main(cases, sizeof(cases) / sizeof(cases[0]));
}
