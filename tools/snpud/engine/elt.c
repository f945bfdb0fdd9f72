// SPDX-License-Identifier: MIT
/*
 * ELTWISE, CONVERT, ACT: one result element for each element. Work goes in blocks, between which
 * there is a checkpoint, and inside a block in tiles of F32.
 */
#include <string.h>

#include "kernels.h"
#include "range.h"

#define BLOCK	(1ull << 20)	/* elements between two checkpoints */

static float f32(uint32_t bits)
{
	float f;

	memcpy(&f, &bits, sizeof(f));
	return f;
}

static void eltwise_block(const union snpu_pkt *p, uint8_t *dst, const uint8_t *a, const uint8_t *b,
			  uint64_t n)
{
	const struct snpu_kernels *k = snpu_kernels();
	unsigned int dt = p->hdr.dtype, op = p->hdr.arg, size = snpu_dt_size(dt);
	float ta[SNPU_TILE], tb[SNPU_TILE], s = f32(p->eltwise.scalar);
	uint64_t i, m;

	if (dt == SNPU_DT_I8 || dt == SNPU_DT_I32 || dt == SNPU_DT_I64) {
		k->eltwise_int(dst, a, b, dt, op, (int32_t)p->eltwise.scalar, n);
		return;
	}
	if (dt == SNPU_DT_F32) {
		k->eltwise((float *)dst, (const float *)a, b ? (const float *)b : &s, op, n);
		return;
	}
	for (i = 0; i < n; i += m) {
		m = n - i < SNPU_TILE ? n - i : SNPU_TILE;
		k->load(ta, a + i * size, dt, m);
		if (b)
			k->load(tb, b + i * size, dt, m);
		k->eltwise(ta, ta, b ? tb : &s, op, m);
		k->store(dst + i * size, ta, dt, m);
	}
}

int snpu_op_eltwise(struct snpu_exec *x, const union snpu_pkt *p)
{
	const struct snpu_pkt_eltwise *c = &p->eltwise;
	uint64_t size = snpu_dt_size(c->hdr.dtype), i, n;
	bool two = c->hdr.arg != SNPU_ELT_SCALE && c->hdr.arg != SNPU_ELT_DIV;
	struct snpu_mat a, b, d;
	int err;

	b.ptr = NULL;
	for (i = 0; i < c->count; i += n) {
		n = c->count - i < BLOCK ? c->count - i : BLOCK;
		err = i ? snpu_checkpoint(x) : SNPU_ERR_NONE;
		if (!err)
			err = snpu_vec_get(x, &a, 0, SNPU_MEM_READ, c->a + i * size, n * size);
		if (!err && two)
			err = snpu_vec_get(x, &b, 1, SNPU_MEM_READ, c->b + i * size, n * size);
		if (!err)
			err = snpu_vec_get(x, &d, 2, SNPU_MEM_WRITE, c->dst + i * size, n * size);
		if (err)
			return err;
		eltwise_block(p, d.ptr, a.ptr, b.ptr, n);
		err = snpu_mat_put(x, &d);
		if (err)
			return err;
	}
	return SNPU_ERR_NONE;
}

/* I8 and I32 to each other without a factor never pass through F32, which has 24 bits only */
static void convert_ints(int32_t *d32, int8_t *d8, const int8_t *s8, const int32_t *s32, uint64_t n)
{
	uint64_t i;

	for (i = 0; i < n; i++) {
		if (d32)
			d32[i] = s8[i];
		else
			d8[i] = (int8_t)(s32[i] > 127 ? 127 : s32[i] < -128 ? -128 : s32[i]);
	}
}

static void convert_block(const union snpu_pkt *p, uint8_t *dst, const uint8_t *src, uint64_t n)
{
	const struct snpu_kernels *k = snpu_kernels();
	unsigned int from = p->hdr.dtype, to = p->hdr.dtype2;
	unsigned int size = snpu_dt_size(from), size2 = snpu_dt_size(to);
	float t[SNPU_TILE];
	uint64_t i, m;

	if (!p->convert.scale && from == SNPU_DT_I8 && to == SNPU_DT_I32) {
		convert_ints((int32_t *)dst, NULL, (const int8_t *)src, NULL, n);
		return;
	}
	if (!p->convert.scale && from == SNPU_DT_I32 && to == SNPU_DT_I8) {
		convert_ints(NULL, (int8_t *)dst, NULL, (const int32_t *)src, n);
		return;
	}
	for (i = 0; i < n; i += m) {
		m = n - i < SNPU_TILE ? n - i : SNPU_TILE;
		k->load(t, src + i * size, from, m);
		if (p->convert.scale)
			k->scale(t, t, f32(p->convert.scale), m);
		if (to == SNPU_DT_I8)
			k->to_i8((int8_t *)dst + i, t, m);
		else if (to == SNPU_DT_I32)
			k->to_i32((int32_t *)dst + i, t, m);
		else
			k->store(dst + i * size2, t, to, m);
	}
}

int snpu_op_convert(struct snpu_exec *x, const union snpu_pkt *p)
{
	const struct snpu_pkt_convert *c = &p->convert;
	uint64_t size = snpu_dt_size(c->hdr.dtype), size2 = snpu_dt_size(c->hdr.dtype2), i, n;
	struct snpu_mat s, d;
	int err;

	for (i = 0; i < c->count; i += n) {
		n = c->count - i < BLOCK ? c->count - i : BLOCK;
		err = i ? snpu_checkpoint(x) : SNPU_ERR_NONE;
		if (!err)
			err = snpu_vec_get(x, &s, 0, SNPU_MEM_READ, c->src + i * size, n * size);
		if (!err)
			err = snpu_vec_get(x, &d, 1, SNPU_MEM_WRITE, c->dst + i * size2, n * size2);
		if (err)
			return err;
		convert_block(p, d.ptr, s.ptr, n);
		err = snpu_mat_put(x, &d);
		if (err)
			return err;
	}
	return SNPU_ERR_NONE;
}

int snpu_op_act(struct snpu_exec *x, const union snpu_pkt *p)
{
	const struct snpu_kernels *k = snpu_kernels();
	const struct snpu_pkt_act *c = &p->act;
	uint64_t size = snpu_dt_size(c->hdr.dtype), block = BLOCK / 8, i, j, m, n;
	struct snpu_mat s, d;
	float t[SNPU_TILE];
	int err;

	for (i = 0; i < c->count; i += n) {
		n = c->count - i < block ? c->count - i : block;
		err = i ? snpu_checkpoint(x) : SNPU_ERR_NONE;
		if (!err)
			err = snpu_vec_get(x, &s, 0, SNPU_MEM_READ, c->src + i * size, n * size);
		if (!err)
			err = snpu_vec_get(x, &d, 1, SNPU_MEM_WRITE, c->dst + i * size, n * size);
		if (err)
			return err;
		for (j = 0; j < n; j += m) {
			m = n - j < SNPU_TILE ? n - j : SNPU_TILE;
			k->load(t, s.ptr + j * size, c->hdr.dtype, m);
			k->act(t, t, c->hdr.arg, m);
			k->store(d.ptr + j * size, t, c->hdr.dtype, m);
		}
		err = snpu_mat_put(x, &d);
		if (err)
			return err;
	}
	return SNPU_ERR_NONE;
}
