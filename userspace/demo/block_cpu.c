// SPDX-License-Identifier: MIT
/* The transformer block on the CPU, in double precision, on all cores. */
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "block.h"

#define MAX_THREADS	16
#define COLS		128	/* columns that a thread does at a time: they fit its cache */

/**
 * block_source - input and weights
 * @src: SOURCE_ELEMS elements
 *
 * Multiples of 2^-7 in [-1, 1) times a power of two, which keeps each product at about the size of
 * its input; the weights of the norms are from 0.5 to 1.5.
 */
void block_source(float *src)
{
	static const struct {
		unsigned int start;
		float scale;
		float offset;
	} part[] = {
		{ AT_X, 2.0f, 0 }, { AT_G1, 0.5f, 1 }, { AT_QKV, 0x1p-4f, 0 },
		{ AT_DOWN, 0x1p-5f, 0 }, { SOURCE_ELEMS, 0, 0 },
	};
	uint64_t seed = 0x243f6a8885a308d3ull;
	unsigned int p, i;

	for (p = 0; part[p].start < SOURCE_ELEMS; p++) {
		for (i = part[p].start; i < part[p + 1].start; i++) {
			if (i % 8 == 0) {
				seed ^= seed << 13;
				seed ^= seed >> 7;
				seed ^= seed << 17;
			}
			src[i] = part[p].offset + part[p].scale *
				 (float)(int8_t)(seed >> (i % 8 * 8)) * 0x1p-7f;
		}
	}
}

/* struct product - out[rows x cols] = in[rows x k] * w[k x cols]; rows of w are ldw apart */
struct product {
	double *out;
	const double *in;
	const float *w;
	unsigned int rows;
	unsigned int k;
	unsigned int cols;
	unsigned int ldw;
	atomic_uint next;	/* block of columns that is not taken yet */
};

static void *work(void *arg)
{
	struct product *p = arg;
	unsigned int at, s, i, j;
	double w[COLS], *o, x;

	while ((at = atomic_fetch_add(&p->next, 1) * COLS) < p->cols) {
		for (s = 0; s < p->rows; s++)
			memset(p->out + (size_t)s * p->cols + at, 0, sizeof(w));
		for (i = 0; i < p->k; i++) {
			for (j = 0; j < COLS; j++)
				w[j] = p->w[(size_t)i * p->ldw + at + j];
			for (s = 0; s < p->rows; s++) {
				o = p->out + (size_t)s * p->cols + at;
				x = p->in[(size_t)s * p->k + i];
				for (j = 0; j < COLS; j++)
					o[j] += x * w[j];
			}
		}
	}
	return NULL;
}

static void multiply(double *out, const double *in, const float *w, unsigned int rows,
		     unsigned int k, unsigned int cols, unsigned int ldw)
{
	struct product p = {
		.out = out, .in = in, .w = w, .rows = rows, .k = k, .cols = cols, .ldw = ldw,
	};
	long threads = sysconf(_SC_NPROCESSORS_ONLN);
	pthread_t thread[MAX_THREADS];
	unsigned int started = 0, i;

	/* fewer threads than cores is slower, not wrong: this one does what is left */
	while (started < MAX_THREADS && (long)started + 1 < threads) {
		if (pthread_create(&thread[started], NULL, work, &p))
			break;
		started++;
	}
	work(&p);
	for (i = 0; i < started; i++)
		pthread_join(thread[i], NULL);
}

static void norm(double *out, const double *in, const float *weight, unsigned int rows)
{
	unsigned int s, i;
	double sum;

	for (s = 0; s < rows; s++, in += DIM, out += DIM) {
		for (sum = 0, i = 0; i < DIM; i++)
			sum += in[i] * in[i];
		sum = 1 / sqrt(sum / DIM + (double)BLOCK_EPS);
		for (i = 0; i < DIM; i++)
			out[i] = in[i] * sum * weight[i];
	}
}

/* One token and head: q looks at tokens 0 .. @last; rows of k and v are 2 * DIM apart */
static void attend(double *out, const double *q, const double *k, const double *v,
		   unsigned int last)
{
	double score[SEQ], max = -INFINITY, sum = 0;
	unsigned int t, i;

	for (t = 0; t <= last; t++) {
		for (score[t] = 0, i = 0; i < HEAD; i++)
			score[t] += q[i] * k[t * 2 * DIM + i];
		score[t] /= sqrt(HEAD);
		max = fmax(max, score[t]);
	}
	for (t = 0; t <= last; t++) {
		score[t] = exp(score[t] - max);
		sum += score[t];
	}
	memset(out, 0, HEAD * sizeof(*out));
	for (t = 0; t <= last; t++) {
		for (i = 0; i < HEAD; i++)
			out[i] += score[t] / sum * v[t * 2 * DIM + i];
	}
}

/**
 * block_cpu - rows of the block's result
 * @src: input and weights
 * @rows: how many rows, 1 .. SEQ; see block_row()
 * @y: the result, @rows * DIM
 *
 * Return: 0 or -ENOMEM
 */
int block_cpu(const float *src, unsigned int rows, double *y)
{
	double *x = calloc((size_t)TOKENS * 4, sizeof(*x));
	double *some = calloc((size_t)rows * (3 * DIM + 2 * FFN), sizeof(*some));
	double *n = x + TOKENS, *kv = n + TOKENS, *xs, *q, *att, *gate, *up;
	unsigned int i, h, s;

	if (!x || !some) {
		free(x);
		free(some);
		return -ENOMEM;
	}
	xs = some;
	q = xs + rows * DIM;
	att = q + rows * DIM;
	gate = att + rows * DIM;
	up = gate + rows * FFN;
	for (i = 0; i < TOKENS; i++)
		x[i] = src[AT_X + i];
	norm(n, x, src + AT_G1, SEQ);
	for (i = 0; i < rows; i++)
		memcpy(xs + i * DIM, n + block_row(i, rows) * DIM, DIM * sizeof(*n));
	/* every token's k and v, but q and all that follows only for the chosen rows */
	multiply(kv, n, src + AT_QKV + DIM, SEQ, DIM, 2 * DIM, 3 * DIM);
	multiply(q, xs, src + AT_QKV, rows, DIM, DIM, 3 * DIM);
	for (i = 0; i < rows; i++) {
		for (h = 0; h < HEADS; h++) {
			s = h * HEAD;
			attend(att + i * DIM + s, q + i * DIM + s, kv + s, kv + DIM + s,
			       block_row(i, rows));
		}
	}
	multiply(xs, att, src + AT_O, rows, DIM, DIM, DIM);
	for (i = 0; i < rows * DIM; i++)
		xs[i] += x[block_row(i / DIM, rows) * DIM + i % DIM];
	norm(q, xs, src + AT_G2, rows);
	multiply(gate, q, src + AT_GATE, rows, DIM, FFN, FFN);
	multiply(up, q, src + AT_UP, rows, DIM, FFN, FFN);
	for (i = 0; i < rows * FFN; i++)
		gate[i] *= up[i] / (1 + exp(-gate[i]));
	multiply(y, gate, src + AT_DOWN, rows, FFN, DIM, DIM);
	for (i = 0; i < rows * DIM; i++)
		y[i] += xs[i];
	free(x);
	free(some);
	return 0;
}
