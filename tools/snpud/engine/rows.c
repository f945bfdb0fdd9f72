// SPDX-License-Identifier: MIT
/*
 * REDUCE_SUM, SOFTMAX, RMSNORM, ARGMAX: matrices row by row, in blocks of rows. A row is worked on
 * as F32 in scratch memory, so that neither type nor layout changes the order of a sum. Rows too
 * long for that between two checkpoints are copied in and out in pieces; the arithmetic is the
 * same.
 */
#include <math.h>
#include <string.h>

#include "kernels.h"
#include "range.h"

#define BLOCK_BYTES	(4ull << 20)
#define SLOT_SRC	0
#define SLOT_DST	1
#define SLOT_ROW	3
#define SLOT_WEIGHT	4
#define SLOT_ACC	5

/**
 * struct rows - state of one packet
 * @x: execution
 * @c: packet
 * @size: bytes of an element
 * @columns: REDUCE_SUM by columns
 * @matrix: the result is a matrix
 * @pieces: rows are long: no pointer is held while one is worked on
 * @t: a row as F32
 * @weight: RMSNORM: weights as F32
 * @acc: REDUCE_SUM by columns: sums so far, double or uint32_t
 */
struct rows {
	struct snpu_exec *x;
	const struct snpu_pkt_rows *c;
	uint64_t size;
	bool columns;
	bool matrix;
	bool pieces;
	float *t;
	float *weight;
	void *acc;
};

static float f32(uint32_t bits)
{
	float f;

	memcpy(&f, &bits, sizeof(f));
	return f;
}

static int pause_if_long(struct rows *r)
{
	return r->pieces ? snpu_checkpoint(r->x) : SNPU_ERR_NONE;
}

static int softmax_row(struct rows *r, uint64_t row)
{
	const struct snpu_kernels *k = snpu_kernels();
	const struct snpu_pkt_rows *c = r->c;
	double scale = c->param ? (double)f32(c->param) : 1.0, sum;
	int64_t seen = c->cols;
	int err = SNPU_ERR_NONE;

	if (c->hdr.flags & SNPU_PF_CAUSAL) {
		seen = (int64_t)row + c->offset + 1;
		seen = seen < 0 ? 0 : seen > (int64_t)c->cols ? (int64_t)c->cols : seen;
	}
	if (seen) {
		double max = (double)k->max(r->t, scale < 0 ? -1.0f : 1.0f, (uint64_t)seen);

		err = pause_if_long(r);
		/* products of two F32 are exact in a double */
		k->exp_sub(r->t, r->t, scale, fabs(scale) * max, (uint64_t)seen);
		if (!err)
			err = pause_if_long(r);
		sum = k->sum(r->t, (uint64_t)seen);
		k->scale(r->t, r->t, (float)(1.0 / sum), (uint64_t)seen);
	}
	memset(r->t + seen, 0, (c->cols - (uint64_t)seen) * sizeof(*r->t));
	return err;
}

static void columns_row(struct rows *r, const void *src)
{
	const struct snpu_kernels *k = snpu_kernels();

	if (r->c->hdr.dtype2 == SNPU_DT_F32) {
		k->load(r->t, src, r->c->hdr.dtype, r->c->cols);
		k->add_f64(r->acc, r->t, r->c->cols);
	} else {
		k->add_int(r->acc, src, r->c->hdr.dtype, r->c->cols);
	}
}

/* One row; @dst: the result row (SOFTMAX, RMSNORM), or the result element */
static int do_row(struct rows *r, void *dst, const void *src, uint64_t row)
{
	const struct snpu_kernels *k = snpu_kernels();
	const struct snpu_pkt_rows *c = r->c;
	unsigned int dt = c->hdr.dtype;
	int err = SNPU_ERR_NONE;
	uint32_t i;
	double d;
	float f;

	if (r->columns) {
		columns_row(r, src);
		return SNPU_ERR_NONE;
	}
	if (dt != SNPU_DT_I8 && dt != SNPU_DT_I32)
		k->load(r->t, src, dt, c->cols);
	switch (c->hdr.op) {
	case SNPU_OP_REDUCE_SUM:
		if (c->hdr.dtype2 == SNPU_DT_F32) {
			d = k->sum(r->t, c->cols);
			k->narrow_f64(&f, &d, 1);
			memcpy(dst, &f, 4);
		} else {
			i = k->sum_int(src, dt, c->cols);
			memcpy(dst, &i, 4);
		}
		break;
	case SNPU_OP_ARGMAX:
		i = (uint32_t)(dt == SNPU_DT_I32 ? k->argmax_i32(src, c->cols) :
						   k->argmax_f32(r->t, c->cols));
		memcpy(dst, &i, 4);
		break;
	case SNPU_OP_SOFTMAX:
		err = softmax_row(r, row);
		k->store(dst, r->t, dt, c->cols);
		break;
	case SNPU_OP_RMSNORM:
		d = k->sum_sq(r->t, c->cols) / c->cols + (double)f32(c->param);
		err = pause_if_long(r);
		k->norm(r->t, r->t, r->weight, 1.0 / sqrt(d), c->cols);
		k->store(dst, r->t, dt, c->cols);
		break;
	}
	return err;
}

static int rows_begin(struct rows *r)
{
	const struct snpu_pkt_rows *c = r->c;
	struct snpu_exec *x = r->x;
	struct snpu_mat w;
	uint64_t i, n;
	int err;

	r->t = snpu_scratch(x->e, SLOT_ROW, c->cols * 4ull);
	if (!r->t)
		return SNPU_ERR_INTERNAL;
	if (r->columns) {
		r->acc = snpu_scratch(x->e, SLOT_ACC, c->cols * 8ull);
		if (!r->acc)
			return SNPU_ERR_INTERNAL;
		memset(r->acc, 0, c->cols * 8ull);
		return snpu_mem_probe(x, c->dst, c->cols * 4ull, SNPU_MEM_WRITE);
	}
	if (c->hdr.op != SNPU_OP_RMSNORM)
		return SNPU_ERR_NONE;
	r->weight = snpu_scratch(x->e, SLOT_WEIGHT, c->cols * 4ull);
	if (!r->weight)
		return SNPU_ERR_INTERNAL;
	for (i = 0; i < c->cols; i += n) {
		n = c->cols - i < SNPU_CHUNK ? c->cols - i : SNPU_CHUNK;
		err = i ? snpu_checkpoint(x) : SNPU_ERR_NONE;
		if (!err)
			err = snpu_vec_get(x, &w, SLOT_SRC, SNPU_MEM_READ, c->weight + i * r->size,
					   n * r->size);
		if (err)
			return err;
		snpu_kernels()->load(r->weight + i, w.ptr, c->hdr.dtype, n);
	}
	return SNPU_ERR_NONE;
}

/* @n rows from @row on, in place as far as memory allows */
static int do_block(struct rows *r, uint64_t row, uint64_t n)
{
	const struct snpu_pkt_rows *c = r->c;
	struct snpu_exec *x = r->x;
	struct snpu_mat s = {
		.va = c->src + row * c->ld_src * r->size, .va_pitch = c->ld_src * r->size,
		.rows = n, .row_bytes = c->cols * r->size,
	}, d = {
		.va = c->dst + row * c->ld_dst * r->size, .va_pitch = c->ld_dst * r->size,
		.rows = n, .row_bytes = c->cols * r->size,
	};
	uint64_t i;
	int err;

	err = snpu_mat_get(x, &s, SLOT_SRC, SNPU_MEM_READ);
	if (!err && r->matrix)
		err = snpu_mat_get(x, &d, SLOT_DST, SNPU_MEM_WRITE);
	else if (!err && !r->columns)
		err = snpu_vec_get(x, &d, SLOT_DST, SNPU_MEM_WRITE, c->dst + row * 4, n * 4);
	for (i = 0; !err && i < n; i++)
		err = do_row(r, d.ptr + i * (r->matrix ? d.pitch : 4), s.ptr + i * s.pitch,
			     row + i);
	return err || r->columns ? err : snpu_mat_put(x, &d);
}

/* One long row, by way of scratch memory */
static int do_pieces(struct rows *r, uint64_t row)
{
	const struct snpu_pkt_rows *c = r->c;
	uint64_t bytes = c->cols * r->size, out = r->matrix ? bytes : 4;
	uint64_t dst = c->dst + row * (r->matrix ? c->ld_dst * r->size : 4);
	struct snpu_exec *x = r->x;
	void *s, *d;
	int err;

	s = snpu_scratch(x->e, SLOT_SRC, bytes);
	d = snpu_scratch(x->e, SLOT_DST, out);
	if (!s || !d)
		return SNPU_ERR_INTERNAL;
	err = snpu_mem_in_long(x, c->src + row * c->ld_src * r->size, s, bytes);
	if (!err && !r->columns)
		err = snpu_mem_probe(x, dst, out, SNPU_MEM_WRITE);
	if (!err)
		err = do_row(r, d, s, row);
	if (!err)
		err = snpu_checkpoint(x);
	return err || r->columns ? err : snpu_mem_out_long(x, dst, d, out);
}

int snpu_op_rows(struct snpu_exec *x, const union snpu_pkt *p)
{
	const struct snpu_pkt_rows *c = &p->rows;
	struct rows r = {
		.x = x, .c = c, .size = snpu_dt_size(c->hdr.dtype), .matrix = c->ld_dst,
		.columns = c->hdr.op == SNPU_OP_REDUCE_SUM && (c->hdr.flags & SNPU_PF_COLUMNS),
	};
	uint64_t row_bytes = c->cols * r.size, block = BLOCK_BYTES / (row_bytes + 64), row, n;
	int err;

	r.pieces = row_bytes > snpu_tune.row_bytes;
	block = r.pieces || !block ? 1 : block;
	err = rows_begin(&r);
	for (row = 0; !err && row < c->rows; row += n) {
		n = c->rows - row < block ? c->rows - row : block;
		err = row ? snpu_checkpoint(x) : SNPU_ERR_NONE;
		if (!err)
			err = r.pieces ? do_pieces(&r, row) : do_block(&r, row, n);
	}
	if (err || !r.columns)
		return err;
	if (c->hdr.dtype2 == SNPU_DT_F32) {
		snpu_kernels()->narrow_f64(r.t, r.acc, c->cols);
		r.acc = r.t;
	}
	return snpu_mem_out_long(x, c->dst, r.acc, c->cols * 4ull);
}
