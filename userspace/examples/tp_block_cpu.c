// SPDX-License-Identifier: MIT
/* The transformer block of tp_block.c on the CPU, in double precision: plain, slow and sure. */
#include <math.h>
#include <string.h>

#include "tp_block.h"

/* out[SEQ x cols] = in[SEQ x rows] * weight matrix @m */
static void project(double *out, const double *in, unsigned int m, int rows, int cols)
{
	int s, i, j;

	memset(out, 0, sizeof(*out) * SEQ * cols);
	for (i = 0; i < rows; i++) {
		for (j = 0; j < cols; j++) {
			double w = element(m, i, j);

			for (s = 0; s < SEQ; s++)
				out[s * cols + j] += in[s * rows + i] * w;
		}
	}
}

static void norm(double *out, const double *in)
{
	double sum;
	int s, i;

	for (s = 0; s < SEQ; s++) {
		for (sum = 0, i = 0; i < DIM; i++)
			sum += in[s * DIM + i] * in[s * DIM + i];
		for (i = 0; i < DIM; i++)
			out[s * DIM + i] = in[s * DIM + i] / sqrt(sum / DIM + EPS);
	}
}

/* Causal attention of one row and head: looks at rows 0 .. @s */
static void attend(double *out, const double *q, const double *k, const double *v, int s, int head)
{
	double score[SEQ], sum = 0, max = -INFINITY;
	int t, i, at = head * HEAD;

	for (t = 0; t <= s; t++) {
		score[t] = 0;
		for (i = at; i < at + HEAD; i++)
			score[t] += q[s * DIM + i] * k[t * DIM + i] / sqrt(HEAD);
		max = fmax(max, score[t]);
	}
	for (t = 0; t <= s; t++)
		sum += score[t] = exp(score[t] - max);
	for (i = at; i < at + HEAD; i++) {
		out[s * DIM + i] = 0;
		for (t = 0; t <= s; t++)
			out[s * DIM + i] += score[t] / sum * v[t * DIM + i];
	}
}

void tp_block_cpu(double *y)
{
	static double a[TOKENS], q[TOKENS], k[TOKENS], v[TOKENS], att[TOKENS], up[SEQ * FFN];
	int s, i;

	for (i = 0; i < TOKENS; i++)
		y[i] = element(M_X, i / DIM, i % DIM);
	norm(a, y);
	project(q, a, M_Q, DIM, DIM);
	project(k, a, M_K, DIM, DIM);
	project(v, a, M_V, DIM, DIM);
	for (s = 0; s < SEQ; s++) {
		for (i = 0; i < HEADS; i++)
			attend(att, q, k, v, s, i);
	}
	project(a, att, M_O, DIM, DIM);
	for (i = 0; i < TOKENS; i++)
		y[i] += a[i];
	norm(a, y);
	project(up, a, M_UP, DIM, FFN);
	for (i = 0; i < SEQ * FFN; i++)
		up[i] /= 1 + exp(-up[i]);
	project(a, up, M_DOWN, FFN, DIM);
	for (i = 0; i < TOKENS; i++)
		y[i] += a[i];
}

/* Rows and columns of matrix @m to @to, whose rows are @ld apart */
static void cut(float *to, unsigned int ld, unsigned int m, unsigned int row, unsigned int rows,
		unsigned int col, unsigned int cols)
{
	unsigned int i;

	for (i = 0; i < rows * cols; i++)
		to[i / cols * ld + i % cols] = element(m, row + i / cols, col + i % cols);
}

void tp_block_shard(struct layout *to, unsigned int r, unsigned int n)
{
	unsigned int w = DIM / n, f = FFN / n, i;

	cut(to->x, DIM, M_X, 0, SEQ, 0, DIM);
	for (i = 0; i < 3; i++)
		cut(to->w_qkv + i * w, 3 * w, M_Q + i, 0, DIM, r * w, w);
	cut(to->w_o, DIM, M_O, r * w, w, 0, DIM);
	cut(to->w_up, f, M_UP, 0, DIM, r * f, f);
	cut(to->w_down, DIM, M_DOWN, r * f, f, 0, DIM);
	for (i = 0; i < DIM; i++)
		to->ones[i] = 1;
}
