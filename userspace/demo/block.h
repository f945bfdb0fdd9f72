/* SPDX-License-Identifier: MIT */
/*
 * The transformer block of part 3:
 *
 *	h = x + attention(rmsnorm(x, g1)) Wo
 *	y = h + (silu(rmsnorm(h, g2) Wg) * (rmsnorm(h, g2) Wu)) Wd
 *
 * with causal attention of HEADS heads; q, k and v are the column blocks of rmsnorm(x, g1) Wqkv.
 * All matrices are row-major, tokens are rows.
 */
#ifndef SNPU_DEMO_BLOCK_H
#define SNPU_DEMO_BLOCK_H

enum { SEQ = 128, DIM = 1024, HEADS = 16, HEAD = DIM / HEADS, FFN = 4096, TOKENS = SEQ * DIM };

#define BLOCK_EPS	1e-5f

/* Where input and weights stand in the source, in elements */
enum {
	AT_X = 0,
	AT_G1 = AT_X + TOKENS,
	AT_G2 = AT_G1 + DIM,
	AT_QKV = AT_G2 + DIM,
	AT_O = AT_QKV + 3 * DIM * DIM,
	AT_GATE = AT_O + DIM * DIM,
	AT_UP = AT_GATE + DIM * FFN,
	AT_DOWN = AT_UP + DIM * FFN,
	SOURCE_ELEMS = AT_DOWN + FFN * DIM,
};

/* Fills the source with numbers that bf16 holds exactly, so that all types compute the same */
void block_source(float *src);

/* @rows rows of y in double precision; block_row() says which; 0 or -ENOMEM */
int block_cpu(const float *src, unsigned int rows, double *y);

/* The rows that are computed are spread evenly, the last is one of them */
static inline unsigned int block_row(unsigned int i, unsigned int rows)
{
	return (i + 1) * SEQ / rows - 1;
}

#endif /* SNPU_DEMO_BLOCK_H */
