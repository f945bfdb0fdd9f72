// SPDX-License-Identifier: MIT
/*
 * ATTENTION on a latent cache: scores of a group of query rows, softmax, weighted sum of the values.
 * Keys come in blocks that are worked on as F32; sums are doubles in an order that follows from the
 * packet alone.
 */
#include <string.h>

#include "kernels.h"
#include "range.h"

#define KEYS		64u		/* keys of a block */
#define SCORE_BYTES	(8ull << 20)	/* scores of a group of rows, unless a row has more */
#define SLOT_IN		0
#define SLOT_OUT	2
#define SLOT_KEYS	3
#define SLOT_SCORES	4
#define SLOT_ACC	5
#define SLOT_Q		6

/**
 * struct att - one group of query rows of one batch entry
 * @x: execution
 * @c: packet
 * @size: bytes of an element
 * @kv: address of the entry's keys
 * @rows: rows of the group
 * @q: queries as F32
 * @keys: block of keys as F32
 * @score: scores, rows x len
 * @acc: sums, rows x dv
 */
struct att {
	struct snpu_exec *x;
	const struct snpu_pkt_attention *c;
	uint64_t size;
	uint64_t kv;
	uint64_t rows;
	float *q;
	float *keys;
	float *score;
	double *acc;
};

static float f32(uint32_t bits)
{
	float f;

	memcpy(&f, &bits, sizeof(f));
	return f;
}

/* @rows rows of @dk elements as F32; may pause, so no pointer is held across it */
static int load_rows(struct att *t, float *dst, uint64_t va, uint64_t rows)
{
	struct snpu_mat m;
	uint64_t n = rows * t->c->dk;
	int err;

	err = snpu_vec_get(t->x, &m, SLOT_IN, SNPU_MEM_READ, va, n * t->size);
	if (!err)
		snpu_kernels()->load(dst, m.ptr, t->c->hdr.dtype, n);
	return err ? err : snpu_checkpoint(t->x);
}

static int for_keys(struct att *t, void (*fn)(struct att *t, uint64_t key, uint64_t n))
{
	const struct snpu_pkt_attention *c = t->c;
	uint64_t i, n;
	int err = SNPU_ERR_NONE;

	for (i = 0; !err && i < c->len; i += n) {
		n = c->len - i < KEYS ? c->len - i : KEYS;
		err = load_rows(t, t->keys, t->kv + i * c->dk * t->size, n);
		if (!err)
			fn(t, i, n);
	}
	return err;
}

static void scores(struct att *t, uint64_t key, uint64_t n)
{
	const struct snpu_kernels *k = snpu_kernels();
	uint64_t r, i;

	for (r = 0; r < t->rows; r++)
		for (i = 0; i < n; i++)
			t->score[r * t->c->len + key + i] =
				(float)k->dot(t->q + r * t->c->dk, t->keys + i * t->c->dk,
					      t->c->dk);
}

static void values(struct att *t, uint64_t key, uint64_t n)
{
	const struct snpu_kernels *k = snpu_kernels();
	uint64_t r, i;

	for (r = 0; r < t->rows; r++)
		for (i = 0; i < n; i++)
			k->axpy(t->acc + r * t->c->dv, t->keys + i * t->c->dk,
				t->score[r * t->c->len + key + i], t->c->dv);
}

static int softmax(struct att *t)
{
	const struct snpu_kernels *k = snpu_kernels();
	double scale = (double)f32(t->c->scale);
	uint64_t r, len = t->c->len;
	int err = SNPU_ERR_NONE;

	for (r = 0; !err && r < t->rows; r++) {
		float *row = t->score + r * len;
		double max = (double)k->max(row, scale < 0 ? -1.0f : 1.0f, len);

		k->exp_sub(row, row, scale, (scale < 0 ? -scale : scale) * max, len);
		k->scale(row, row, (float)(1.0 / k->sum(row, len)), len);
		err = snpu_checkpoint(t->x);
	}
	return err;
}

static int put(struct att *t, uint64_t va)
{
	const struct snpu_kernels *k = snpu_kernels();
	uint64_t n = t->rows * t->c->dv;
	struct snpu_mat m;
	int err;

	/* the scores are used up: they have room for a row of results each */
	k->narrow_f64(t->score, t->acc, n);
	err = snpu_vec_get(t->x, &m, SLOT_OUT, SNPU_MEM_WRITE, va, n * t->size);
	if (err)
		return err;
	k->store(m.ptr, t->score, t->c->hdr.dtype, n);
	return snpu_mat_put(t->x, &m);
}

int snpu_op_attention(struct snpu_exec *x, const union snpu_pkt *p)
{
	const struct snpu_pkt_attention *c = &p->attention;
	struct att t = { .x = x, .c = c, .size = snpu_dt_size(c->hdr.dtype) };
	uint64_t width = c->len > c->dk ? c->len : c->dk, group, b, r;
	int err = SNPU_ERR_NONE;

	group = SCORE_BYTES / (width * 4);
	group = group < 1 ? 1 : group < c->rows ? group : c->rows;
	t.q = snpu_scratch(x->e, SLOT_Q, group * c->dk * 4);
	t.keys = snpu_scratch(x->e, SLOT_KEYS, (uint64_t)KEYS * c->dk * 4);
	t.score = snpu_scratch(x->e, SLOT_SCORES, group * width * 4);
	t.acc = snpu_scratch(x->e, SLOT_ACC, group * c->dv * 8);
	if (!t.q || !t.keys || !t.score || !t.acc)
		return SNPU_ERR_INTERNAL;
	for (b = 0; !err && b < c->batch; b++) {
		t.kv = c->kv + b * c->len * c->dk * t.size;
		for (r = 0; !err && r < c->rows; r += t.rows) {
			uint64_t row = b * c->rows + r;

			t.rows = c->rows - r < group ? c->rows - r : group;
			memset(t.acc, 0, t.rows * c->dv * 8);
			err = load_rows(&t, t.q, c->q + row * c->dk * t.size, t.rows);
			if (!err)
				err = for_keys(&t, scores);
			if (!err)
				err = softmax(&t);
			if (!err)
				err = for_keys(&t, values);
			if (!err)
				err = put(&t, c->out + row * c->dv * t.size);
		}
	}
	return err;
}
