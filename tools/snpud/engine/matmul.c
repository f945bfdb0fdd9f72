// SPDX-License-Identifier: MIT
/*
 * MATMUL by oneDNN. The rows of C are done in blocks, between which there is a checkpoint; kernels are
 * kept by shape. oneDNN runs in the calling thread alone: the device has workers of its own.
 */
#include <stdlib.h>
#include <string.h>
#include <omp.h>
#include <dnnl.h>

#include "kernels.h"
#include "range.h"

#define BLOCK_FLOPS	32000000000ull
#define CACHE_ENTRIES	64

#define SLOT_A		0
#define SLOT_B		1
#define SLOT_C		2
#define SLOT_BIAS	3
#define SLOT_WIDE	4	/* what is multiplied in another type, and integer results */
#define SLOT_WORK	5	/* oneDNN's own scratch */

/**
 * struct gemm_key - what a kernel was made for
 * @dtype: of A and B
 * @dtype_c: of C
 * @flags: SNPU_PF_*
 * @m: rows
 * @n: columns
 * @k: inner dimension
 * @lda: elements from row to row of A at the host
 * @ldb: likewise
 * @ldc: likewise
 */
struct gemm_key {
	uint32_t dtype, dtype_c, flags;
	int64_t m, n, k, lda, ldb, ldc;
};

struct gemm_entry {
	struct gemm_key key;
	dnnl_primitive_t prim;
	dnnl_memory_t mem[5];	/* A, B, bias, C, scratch */
	size_t scratch;
	uint64_t used;
	bool slow;		/* oneDNN only has its reference code for this */
};

struct snpu_gemm {
	dnnl_engine_t eng;
	dnnl_stream_t stream;
	struct gemm_entry cache[CACHE_ENTRIES];
	uint64_t clock;
};

struct snpu_gemm *snpu_gemm_create(void)
{
	struct snpu_gemm *g = calloc(1, sizeof(*g));

	if (!g)
		return NULL;
	if (dnnl_engine_create(&g->eng, dnnl_cpu, 0) != dnnl_success) {
		free(g);
		return NULL;
	}
	if (dnnl_stream_create(&g->stream, g->eng, dnnl_stream_default_flags) != dnnl_success) {
		dnnl_engine_destroy(g->eng);
		free(g);
		return NULL;
	}
	return g;
}

static void entry_drop(struct gemm_entry *e)
{
	unsigned int i;

	for (i = 0; i < 5; i++)
		if (e->mem[i])
			dnnl_memory_destroy(e->mem[i]);
	if (e->prim)
		dnnl_primitive_destroy(e->prim);
	memset(e, 0, sizeof(*e));
}

void snpu_gemm_destroy(struct snpu_gemm *g)
{
	unsigned int i;

	if (!g)
		return;
	for (i = 0; i < CACHE_ENTRIES; i++)
		entry_drop(&g->cache[i]);
	dnnl_stream_destroy(g->stream);
	dnnl_engine_destroy(g->eng);
	free(g);
}

static dnnl_data_type_t dnnl_type(unsigned int dtype)
{
	switch (dtype) {
	case SNPU_DT_BF16:
		return dnnl_bf16;
	case SNPU_DT_F16:
		return dnnl_f16;
	case SNPU_DT_I8:
		return dnnl_s8;
	case SNPU_DT_I32:
		return dnnl_s32;
	default:
		return dnnl_f32;
	}
}

static dnnl_status_t desc(dnnl_memory_desc_t *md, int64_t rows, int64_t cols, unsigned int dtype,
			  int64_t ld, bool trans)
{
	dnnl_dims_t dims = { rows, cols }, strides = { trans ? 1 : ld, trans ? ld : 1 };

	return dnnl_memory_desc_create_with_strides(md, 2, dims, dnnl_type(dtype), strides);
}

/* Makes the kernel of @e->key; md: A, B, bias, C */
static dnnl_status_t entry_build(struct snpu_gemm *g, struct gemm_entry *e, dnnl_memory_desc_t *md,
				 dnnl_primitive_attr_t *attr, dnnl_post_ops_t *ops,
				 dnnl_primitive_desc_t *pd)
{
	const struct gemm_key *k = &e->key;
	const_dnnl_memory_desc_t scratch;
	const char *impl = NULL;
	dnnl_status_t st;
	unsigned int i;

	st = desc(&md[0], k->m, k->k, k->dtype, k->lda, k->flags & SNPU_PF_TRANS_A);
	if (!st)
		st = desc(&md[1], k->k, k->n, k->dtype, k->ldb, k->flags & SNPU_PF_TRANS_B);
	if (!st && (k->flags & SNPU_PF_BIAS))
		st = desc(&md[2], 1, k->n, SNPU_DT_F32, k->n, false);
	if (!st)
		st = desc(&md[3], k->m, k->n, k->dtype_c, k->ldc, false);
	if (!st)
		st = dnnl_primitive_attr_create(attr);
	if (!st)
		st = dnnl_primitive_attr_set_scratchpad_mode(*attr, dnnl_scratchpad_mode_user);
	if (!st && (k->flags & SNPU_PF_ACCUM)) {
		st = dnnl_post_ops_create(ops);
		if (!st)
			st = dnnl_post_ops_append_sum(*ops, 1.0f, 0, dnnl_data_type_undef);
		if (!st)
			st = dnnl_primitive_attr_set_post_ops(*attr, *ops);
	}
	if (!st)
		st = dnnl_matmul_primitive_desc_create(pd, g->eng, md[0], md[1], md[2], md[3], *attr);
	if (!st)
		st = dnnl_primitive_desc_query(*pd, dnnl_query_impl_info_str, 0, &impl);
	if (!st)
		st = dnnl_primitive_create(&e->prim, *pd);
	if (st)
		return st;
	e->slow = impl && strstr(impl, "ref");
	scratch = dnnl_primitive_desc_query_md(*pd, dnnl_query_scratchpad_md, 0);
	e->scratch = dnnl_memory_desc_get_size(scratch);
	for (i = 0; i < 5 && !st; i++) {
		if (i == 4 ? !e->scratch : !md[i])
			continue;
		st = dnnl_memory_create(&e->mem[i], i == 4 ? scratch : md[i], g->eng,
					DNNL_MEMORY_NONE);
	}
	return st;
}

static struct gemm_entry *entry_get(struct snpu_gemm *g, const struct gemm_key *key)
{
	struct gemm_entry *e, *victim = &g->cache[0];
	dnnl_memory_desc_t md[4] = { NULL };
	dnnl_primitive_attr_t attr = NULL;
	dnnl_primitive_desc_t pd = NULL;
	dnnl_post_ops_t ops = NULL;
	dnnl_status_t st;
	unsigned int i;

	for (e = g->cache; e < g->cache + CACHE_ENTRIES; e++) {
		if (e->prim && !memcmp(&e->key, key, sizeof(*key))) {
			e->used = ++g->clock;
			return e;
		}
		if (e->used < victim->used)
			victim = e;
	}
	e = victim;
	entry_drop(e);
	e->key = *key;
	st = entry_build(g, e, md, &attr, &ops, &pd);
	if (pd)
		dnnl_primitive_desc_destroy(pd);
	if (ops)
		dnnl_post_ops_destroy(ops);
	if (attr)
		dnnl_primitive_attr_destroy(attr);
	for (i = 0; i < 4; i++)
		if (md[i])
			dnnl_memory_desc_destroy(md[i]);
	if (st) {
		entry_drop(e);
		return NULL;
	}
	e->used = ++g->clock;
	return e;
}

static int gemm_run(struct snpu_exec *x, struct snpu_gemm *g, struct gemm_entry *e, const void *a,
		    const void *b, const void *bias, void *c)
{
	static const int arg[5] = { DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_BIAS, DNNL_ARG_DST,
				    DNNL_ARG_SCRATCHPAD };
	const void *ptr[5] = { a, b, bias, c, NULL };
	dnnl_exec_arg_t args[5];
	int i, n = 0;

	if (e->scratch) {
		ptr[4] = snpu_scratch(x->e, SLOT_WORK, e->scratch);
		if (!ptr[4])
			return SNPU_ERR_INTERNAL;
	}
	for (i = 0; i < 5; i++) {
		if (!e->mem[i])
			continue;
		if (dnnl_memory_set_data_handle(e->mem[i], (void *)ptr[i]) != dnnl_success)
			return SNPU_ERR_INTERNAL;
		args[n].arg = arg[i];
		args[n++].memory = e->mem[i];
	}
	if (dnnl_primitive_execute(e->prim, g->stream, n, args) != dnnl_success ||
	    dnnl_stream_wait(g->stream) != dnnl_success)
		return SNPU_ERR_INTERNAL;
	return SNPU_ERR_NONE;
}

/* Without dot-product instructions oneDNN's s8 products can saturate; these loops cannot */
static void gemm_i8(const union snpu_pkt *p, const int8_t *a, int64_t lda, const int8_t *b,
		    int64_t ldb, int32_t *c, int64_t ldc, int64_t m)
{
	bool ta = p->hdr.flags & SNPU_PF_TRANS_A, tb = p->hdr.flags & SNPU_PF_TRANS_B;
	int64_t i, j, l, n = p->matmul.n, k = p->matmul.k;

	for (i = 0; i < m; i++) {
		memset(c + i * ldc, 0, (size_t)n * 4);
		for (l = 0; l < k; l++) {
			int32_t v = ta ? a[l * lda + i] : a[i * lda + l];

			for (j = 0; j < n; j++)
				c[i * ldc + j] += v * (tb ? b[j * ldb + l] : b[l * ldb + j]);
		}
	}
}

static bool has_dot_product(void)
{
	return __builtin_cpu_supports("avx512vnni") || __builtin_cpu_supports("avxvnni");
}

/**
 * struct block - one block of rows, as the host sees it
 * @a: rows of A (columns, if it is transposed)
 * @b: B
 * @c: rows of C
 * @bias: bias or NULL pointer
 * @m: rows
 */
struct block {
	struct snpu_mat a, b, c, bias;
	int64_t m;
};

static struct gemm_key block_key(const union snpu_pkt *p, const struct block *k)
{
	unsigned int size = snpu_dt_size(p->hdr.dtype), size_c = snpu_dt_size(p->hdr.dtype2);
	struct gemm_key key;

	/* compared as bytes: no padding may be left unset */
	memset(&key, 0, sizeof(key));
	key.dtype = p->hdr.dtype;
	key.dtype_c = p->hdr.dtype2;
	key.flags = p->hdr.flags;
	key.m = k->m;
	key.n = p->matmul.n;
	key.k = p->matmul.k;
	key.lda = (int64_t)(k->a.pitch / size);
	key.ldb = (int64_t)(k->b.pitch / size);
	key.ldc = (int64_t)(k->c.pitch / size_c);
	return key;
}

/* Integers: bias and C are added here, since oneDNN adds them in F32 */
static int block_i8(struct snpu_exec *x, const union snpu_pkt *p, struct block *k)
{
	bool add = p->hdr.flags & (SNPU_PF_BIAS | SNPU_PF_ACCUM);
	int64_t i, j, n = p->matmul.n, ldc = (int64_t)k->c.pitch / 4;
	struct gemm_key key = block_key(p, k);
	int32_t *c = (int32_t *)k->c.ptr;
	int err = SNPU_ERR_NONE;

	key.flags &= ~(SNPU_PF_BIAS | SNPU_PF_ACCUM);
	if (add) {
		c = snpu_scratch(x->e, SLOT_WIDE, (uint64_t)(k->m * n) * 4);
		if (!c)
			return SNPU_ERR_INTERNAL;
		key.ldc = ldc = n;
	}
	if (has_dot_product()) {
		struct snpu_gemm *g = snpu_engine_gemm(x->e);
		struct gemm_entry *e = g ? entry_get(g, &key) : NULL;

		err = e ? gemm_run(x, g, e, k->a.ptr, k->b.ptr, NULL, c) : SNPU_ERR_INTERNAL;
	} else {
		gemm_i8(p, (const int8_t *)k->a.ptr, key.lda, (const int8_t *)k->b.ptr, key.ldb, c,
			ldc, k->m);
	}
	for (i = 0; !err && add && i < k->m; i++) {
		int32_t *row = (int32_t *)(k->c.ptr + (uint64_t)i * k->c.pitch);

		for (j = 0; j < n; j++) {
			uint32_t v = (uint32_t)c[i * n + j];

			if (p->hdr.flags & SNPU_PF_BIAS)
				v += (uint32_t)((const int32_t *)k->bias.ptr)[j];
			if (p->hdr.flags & SNPU_PF_ACCUM)
				v += (uint32_t)row[j];
			row[j] = (int32_t)v;
		}
	}
	return err;
}

static void widen(float *dst, const struct snpu_mat *m, unsigned int dtype, uint64_t cols)
{
	uint64_t i;

	for (i = 0; i < m->rows; i++)
		snpu_kernels()->load(dst + i * cols, m->ptr + i * m->pitch, dtype, cols);
}

/* A type without a fast kernel on this CPU is multiplied as F32 and rounded once: the same result */
static int block_wide(struct snpu_exec *x, const union snpu_pkt *p, struct block *k)
{
	unsigned int dt = p->hdr.dtype, dc = p->hdr.dtype2, size = snpu_dt_size(dt);
	uint64_t cols_a = k->a.row_bytes / size, cols_b = k->b.row_bytes / size, n = p->matmul.n;
	uint64_t elems_a = k->a.rows * cols_a, elems_b = k->b.rows * cols_b, i;
	bool narrow = dc != SNPU_DT_F32;
	struct snpu_gemm *g = snpu_engine_gemm(x->e);
	struct gemm_key key = block_key(p, k);
	struct gemm_entry *e;
	float *a, *b, *c;
	int err;

	a = snpu_scratch(x->e, SLOT_WIDE,
			 (elems_a + elems_b + (narrow ? (uint64_t)k->m * n : 0)) * 4);
	if (!a)
		return SNPU_ERR_INTERNAL;
	b = a + elems_a;
	c = narrow ? b + elems_b : (float *)k->c.ptr;
	widen(a, &k->a, dt, cols_a);
	widen(b, &k->b, dt, cols_b);
	key.dtype = key.dtype_c = SNPU_DT_F32;
	key.lda = (int64_t)cols_a;
	key.ldb = (int64_t)cols_b;
	if (narrow)
		key.ldc = (int64_t)n;
	e = entry_get(g, &key);
	err = e ? gemm_run(x, g, e, a, b, k->bias.ptr, c) : SNPU_ERR_INTERNAL;
	for (i = 0; !err && narrow && i < (uint64_t)k->m; i++)
		snpu_kernels()->store(k->c.ptr + i * k->c.pitch, c + i * n, dc, n);
	return err;
}

static int block_float(struct snpu_exec *x, const union snpu_pkt *p, struct block *k)
{
	struct snpu_gemm *g = snpu_engine_gemm(x->e);
	struct gemm_key key = block_key(p, k);
	struct gemm_entry *e = g ? entry_get(g, &key) : NULL;

	if (!g)
		return SNPU_ERR_INTERNAL;
	if (p->hdr.dtype != SNPU_DT_F32 && (!e || e->slow))
		return block_wide(x, p, k);
	if (!e)
		return SNPU_ERR_INTERNAL;
	return gemm_run(x, g, e, k->a.ptr, k->b.ptr, k->bias.ptr, k->c.ptr);
}

static int block_get(struct snpu_exec *x, const struct snpu_pkt_matmul *c, struct block *k,
		     uint64_t row)
{
	uint64_t size = snpu_dt_size(c->hdr.dtype), size_c = snpu_dt_size(c->hdr.dtype2);
	bool ta = c->hdr.flags & SNPU_PF_TRANS_A, tb = c->hdr.flags & SNPU_PF_TRANS_B;
	uint64_t m = (uint64_t)k->m;
	unsigned int acc = SNPU_MEM_WRITE;
	int err;

	if (c->hdr.flags & SNPU_PF_ACCUM)
		acc |= SNPU_MEM_READ;
	k->a = (struct snpu_mat){ .va = c->a + (ta ? row : row * c->lda) * size,
				  .va_pitch = c->lda * size, .rows = ta ? c->k : m,
				  .row_bytes = (ta ? m : c->k) * size };
	k->b = (struct snpu_mat){ .va = c->b, .va_pitch = c->ldb * size, .rows = tb ? c->n : c->k,
				  .row_bytes = (tb ? c->k : c->n) * size };
	k->c = (struct snpu_mat){ .va = c->c + row * c->ldc * size_c, .va_pitch = c->ldc * size_c,
				  .rows = m, .row_bytes = c->n * size_c };
	k->bias.ptr = NULL;
	/* oneDNN takes a matrix of one row or column for dense, whatever its strides say */
	k->a.dense = m == 1 || c->k == 1;
	k->b.dense = c->k == 1 || c->n == 1;
	k->c.dense = m == 1 || c->n == 1;
	err = snpu_mat_get(x, &k->a, SLOT_A, SNPU_MEM_READ);
	if (!err)
		err = snpu_mat_get(x, &k->b, SLOT_B, SNPU_MEM_READ);
	if (!err && (c->hdr.flags & SNPU_PF_BIAS))
		err = snpu_vec_get(x, &k->bias, SLOT_BIAS, SNPU_MEM_READ, c->bias, c->n * 4ull);
	if (!err)
		err = snpu_mat_get(x, &k->c, SLOT_C, acc);
	return err;
}

int snpu_op_matmul(struct snpu_exec *x, const union snpu_pkt *p)
{
	static __thread bool one_thread;
	const struct snpu_pkt_matmul *c = &p->matmul;
	uint64_t row, m, block = BLOCK_FLOPS / (2ull * c->n * c->k);
	struct block k;
	int err = SNPU_ERR_NONE;

	if (!one_thread) {
		omp_set_num_threads(1);
		one_thread = true;
	}
	block = block < 64 ? (block ? block : 1) : block & ~63ull;
	for (row = 0; !err && row < c->m; row += m) {
		m = c->m - row < block ? c->m - row : block;
		if (row)
			err = snpu_checkpoint(x);
		k.m = (int64_t)m;
		if (!err)
			err = block_get(x, c, &k, row);
		if (!err)
			err = c->hdr.dtype == SNPU_DT_I8 ? block_i8(x, p, &k) : block_float(x, p, &k);
		if (!err)
			err = snpu_mat_put(x, &k.c);
	}
	return err;
}
