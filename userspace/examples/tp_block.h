/* SPDX-License-Identifier: MIT */
/* Shape of the transformer block of tp_block.c, and what its check needs to know. */
#ifndef TP_BLOCK_H
#define TP_BLOCK_H

#include "example.h"

enum { SEQ = 32, DIM = 128, HEADS = 8, HEAD = DIM / HEADS, FFN = 256, TOKENS = SEQ * DIM };

#define EPS	1e-5f

/* Matrices, row-major: the input, then the weights */
enum { M_X, M_Q, M_K, M_V, M_O, M_UP, M_DOWN };

/* Element of a matrix: small numbers that look random */
static inline float element(unsigned int m, unsigned int row, unsigned int col)
{
	unsigned int h = ((m * 977 + row) * 1543 + col) * 2654435761u;

	h = (h ^ h >> 15) * 2246822519u;
	return ((float)(h >> 16) / 65536.0f - 0.5f) * (m == M_X ? 2.0f : 0.25f);
}

struct layout {		/* of the memory of an NPU; the largest shard is the whole */
	float x[TOKENS], norm[TOKENS], out[TOKENS], inbox[2][MAX_NPUS][TOKENS], ones[DIM];
	float qkv[3 * TOKENS], scores[SEQ * SEQ], att[TOKENS], up[SEQ * FFN];
	float w_qkv[3 * DIM * DIM], w_o[DIM * DIM], w_up[DIM * FFN], w_down[FFN * DIM];
};

/* Puts the input, and the part of the weights that NPU @r of @n holds, where the layout has them */
void tp_block_shard(struct layout *to, unsigned int r, unsigned int n);

/* The block on the CPU in double precision: y has TOKENS elements */
void tp_block_cpu(double *y);

#endif /* TP_BLOCK_H */
