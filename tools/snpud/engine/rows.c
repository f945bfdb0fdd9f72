// SPDX-License-Identifier: MIT
/*
 * REDUCE_SUM, SOFTMAX, RMSNORM, ARGMAX: matrices row by row, in blocks of rows. A row is worked on as
 * F32 in scratch memory, so that neither type nor layout changes the order of a sum.
 */
#include <math.h>
#include <string.h>

#include "kernels.h"
#include "range.h"

#define BLOCK_BYTES	(4ull << 20)
#define SLOT_ROW	3
#define SLOT_WEIGHT	4
#define SLOT_ACC	5

static float f32(uint32_t bits)
{
	float f;

	memcpy(&f, &bits, sizeof(f));
	return f;
}

static int32_t sum_i32(const void *row, unsigned int dtype, uint64_t n)
{
	const int32_t *w = row;
	const int8_t *b = row;
	uint32_t s = 0;
	uint64_t i;

	for (i = 0; i < n; i++)
		s += (uint32_t)(dtype == SNPU_DT_I8 ? b[i] : w[i]);
	return (int32_t)s;
}

static int32_t argmax_i32(const int32_t *row, uint64_t n)
{
	uint64_t i, best = 0;

	for (i = 1; i < n; i++)
		best = row[i] > row[best] ? i : best;
	return (int32_t)best;
}

static int32_t argmax_f32(const float *row, uint64_t n)
{
	uint64_t i, best = 0;

	for (i = 1; i < n; i++)
		if (row[i] > row[best] || (row[best] != row[best] && row[i] == row[i]))
			best = i;
	return (int32_t)best;
}

static void softmax_row(const struct snpu_pkt_rows *c, float *t, uint64_t row)
{
	const struct snpu_kernels *k = snpu_kernels();
	float scale = c->param ? f32(c->param) : 1.0f;
	int64_t seen = c->cols;

	if (c->hdr.flags & SNPU_PF_CAUSAL) {
		seen = (int64_t)row + c->offset + 1;
		seen = seen < 0 ? 0 : seen > (int64_t)c->cols ? (int64_t)c->cols : seen;
	}
	if (seen) {
		float max = k->max(t, scale, (uint64_t)seen);

		k->exp_sub(t, t, scale, max, (uint64_t)seen);
		k->scale(t, t, 1.0f / k->sum(t, (uint64_t)seen), (uint64_t)seen);
	}
	memset(t + seen, 0, (c->cols - (uint64_t)seen) * sizeof(*t));
}

/**
 * struct rows - state of one packet
 * @c: packet
 * @t: a row as F32
 * @weight: RMSNORM: weights as F32
 * @acc: REDUCE_SUM by columns: sums so far, F32 or I32
 */
struct rows {
	const struct snpu_pkt_rows *c;
	float *t;
	float *weight;
	void *acc;
};

static void columns_row(struct rows *r, const void *src)
{
	const struct snpu_kernels *k = snpu_kernels();
	uint32_t i, cols = r->c->cols;
	const int8_t *b = src;
	int32_t *acc = r->acc;

	if (r->c->hdr.dtype2 == SNPU_DT_F32) {
		k->load(r->t, src, r->c->hdr.dtype, cols);
		k->eltwise(r->acc, r->acc, r->t, SNPU_ELT_ADD, cols);
	} else if (r->c->hdr.dtype == SNPU_DT_I32) {
		k->eltwise_i32(acc, acc, src, SNPU_ELT_ADD, cols);
	} else {
		for (i = 0; i < cols; i++)
			acc[i] = (int32_t)((uint32_t)acc[i] + (uint32_t)b[i]);
	}
}

/* One row; @dst: the result row (SOFTMAX, RMSNORM), or the result element */
static void do_row(struct rows *r, void *dst, const void *src, uint64_t row)
{
	const struct snpu_kernels *k = snpu_kernels();
	const struct snpu_pkt_rows *c = r->c;
	unsigned int dt = c->hdr.dtype;
	int32_t i;
	float f;

	if (dt != SNPU_DT_I8 && dt != SNPU_DT_I32)
		k->load(r->t, src, dt, c->cols);
	switch (c->hdr.op) {
	case SNPU_OP_REDUCE_SUM:
		if (c->hdr.dtype2 == SNPU_DT_F32) {
			f = k->sum(r->t, c->cols);
			memcpy(dst, &f, 4);
		} else {
			i = sum_i32(src, dt, c->cols);
			memcpy(dst, &i, 4);
		}
		break;
	case SNPU_OP_ARGMAX:
		i = dt == SNPU_DT_I32 ? argmax_i32(src, c->cols) : argmax_f32(r->t, c->cols);
		memcpy(dst, &i, 4);
		break;
	case SNPU_OP_SOFTMAX:
		softmax_row(c, r->t, row);
		k->store(dst, r->t, dt, c->cols);
		break;
	case SNPU_OP_RMSNORM:
		f = k->sum_sq(r->t, c->cols) / (float)c->cols + f32(c->param);
		k->norm(r->t, r->t, r->weight, 1.0f / sqrtf(f), c->cols);
		k->store(dst, r->t, dt, c->cols);
		break;
	}
}

static int rows_begin(struct snpu_exec *x, struct rows *r, bool columns)
{
	const struct snpu_pkt_rows *c = r->c;
	struct snpu_mat w;
	int err;

	r->t = snpu_scratch(x->e, SLOT_ROW, c->cols * 4ull);
	if (!r->t)
		return SNPU_ERR_INTERNAL;
	if (columns) {
		r->acc = snpu_scratch(x->e, SLOT_ACC, c->cols * 4ull);
		if (!r->acc)
			return SNPU_ERR_INTERNAL;
		memset(r->acc, 0, c->cols * 4ull);
	}
	if (c->hdr.op == SNPU_OP_RMSNORM) {
		unsigned int size = snpu_dt_size(c->hdr.dtype);

		r->weight = snpu_scratch(x->e, SLOT_WEIGHT, c->cols * 4ull);
		if (!r->weight)
			return SNPU_ERR_INTERNAL;
		err = snpu_vec_get(x, &w, 0, SNPU_MEM_READ, c->weight, (uint64_t)c->cols * size);
		if (err)
			return err;
		snpu_kernels()->load(r->weight, w.ptr, c->hdr.dtype, c->cols);
	}
	return SNPU_ERR_NONE;
}

int snpu_op_rows(struct snpu_exec *x, const union snpu_pkt *p)
{
	const struct snpu_pkt_rows *c = &p->rows;
	bool columns = c->hdr.op == SNPU_OP_REDUCE_SUM && (c->hdr.flags & SNPU_PF_COLUMNS);
	uint64_t size = snpu_dt_size(c->hdr.dtype), row_bytes = c->cols * size, row, n, i;
	uint64_t block = BLOCK_BYTES / row_bytes ? BLOCK_BYTES / row_bytes : 1;
	bool matrix = c->ld_dst;
	struct rows r = { .c = c };
	int err = rows_begin(x, &r, columns);

	for (row = 0; !err && row < c->rows; row += n) {
		struct snpu_mat s = {
			.va = c->src + row * c->ld_src * size, .va_pitch = c->ld_src * size,
			.row_bytes = row_bytes,
		}, d = {
			.va = c->dst + row * c->ld_dst * size, .va_pitch = c->ld_dst * size,
			.row_bytes = row_bytes,
		};

		n = c->rows - row < block ? c->rows - row : block;
		s.rows = d.rows = n;
		if (row)
			err = snpu_checkpoint(x);
		if (!err)
			err = snpu_mat_get(x, &s, 0, SNPU_MEM_READ);
		if (!err && matrix)
			err = snpu_mat_get(x, &d, 1, SNPU_MEM_WRITE);
		else if (!err && !columns)
			err = snpu_vec_get(x, &d, 1, SNPU_MEM_WRITE, c->dst + row * 4, n * 4);
		if (err)
			break;
		for (i = 0; i < n; i++) {
			const uint8_t *src = s.ptr + i * s.pitch;

			if (columns)
				columns_row(&r, src);
			else
				do_row(&r, d.ptr + i * (matrix ? d.pitch : 4), src, row + i);
		}
		if (!columns)
			err = snpu_mat_put(x, &d);
	}
	if (!err && columns)
		err = snpu_mem_out(x, c->dst, r.acc, c->cols * 4ull);
	return err;
}
