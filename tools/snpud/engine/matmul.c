// SPDX-License-Identifier: MIT
/*
 * MATMUL by oneDNN, in panels of columns and blocks of rows, between which there is a checkpoint;
 * kernels are kept by shape. oneDNN runs in the calling thread alone: the device has workers of its
 * own.
 */
#include <stdlib.h>
#include <string.h>
#include <omp.h>
#include <pmmintrin.h>
#include <dnnl.h>

#include "kernels.h"
#include "range.h"

#define CACHE_ENTRIES	64
#define SPAN_MAX (256ull << 20) /* bytes of an operand, gaps included, that keeps its layout */
#define PART_MIN	16u		/* rows or columns worked on at a time at least */
#define MAX_ROWS	65536u		/* and at most */
#define S8_K		512u		/* 255 * 128 * S8_K is below 2^24 */
#define EXACT_K		1024u		/* products of two I8 whose sum an F32 holds exactly */

#define SLOT_A		0
#define SLOT_B		1
#define SLOT_C		2
#define SLOT_BIAS	3
#define SLOT_WIDE	4	/* what is multiplied in another type, and integer results */
#define SLOT_WORK	5	/* oneDNN's own scratch */
#define SLOT_SUMS	6	/* of the columns of B */

#define DT_U8		(SNPU_DT_MAX + 1)	/* A, beside a B of I8 */

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
	dnnl_primitive_t prim;	/* NULL: oneDNN has none */
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
	case DT_U8:
		return dnnl_u8;
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
		st = desc(&md[1], k->k, k->n, k->dtype == DT_U8 ? SNPU_DT_I8 : k->dtype, k->ldb,
			  k->flags & SNPU_PF_TRANS_B);
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
		st = dnnl_matmul_primitive_desc_create(pd, g->eng, md[0], md[1], md[2], md[3],
						       *attr);
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

/* The kernel of a shape; NULL: out of memory */
static struct gemm_entry *entry_get(struct snpu_exec *x, const struct gemm_key *key)
{
	struct snpu_gemm *g = snpu_engine_gemm(x->e);
	struct gemm_entry *e, *victim;
	dnnl_memory_desc_t md[4] = { NULL };
	dnnl_primitive_attr_t attr = NULL;
	dnnl_primitive_desc_t pd = NULL;
	dnnl_post_ops_t ops = NULL;
	dnnl_status_t st;
	unsigned int i;

	if (!g)
		return NULL;
	victim = g->cache;
	for (e = g->cache; e < g->cache + CACHE_ENTRIES; e++) {
		if (e->used && !memcmp(&e->key, key, sizeof(*key))) {
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
		if (st != dnnl_unimplemented)
			return NULL;
		/* remember that too: finding out takes long */
		e->key = *key;
	}
	e->used = ++g->clock;
	return e;
}

static int gemm_run(struct snpu_exec *x, struct gemm_entry *e, const void *a, const void *b,
		    const void *bias, void *c)
{
	static const int arg[5] = { DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_BIAS, DNNL_ARG_DST,
				    DNNL_ARG_SCRATCHPAD };
	const void *ptr[5] = { a, b, bias, c, NULL };
	dnnl_stream_t stream;
	dnnl_exec_arg_t args[5];
	int i, n = 0;

	if (!e || !e->prim)
		return SNPU_ERR_INTERNAL;
	stream = snpu_engine_gemm(x->e)->stream;
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
	if (dnnl_primitive_execute(e->prim, stream, n, args) != dnnl_success ||
	    dnnl_stream_wait(stream) != dnnl_success)
		return SNPU_ERR_INTERNAL;
	return SNPU_ERR_NONE;
}

/*
 * Whether oneDNN has dot products to use, which is not always what the CPU has, and whether they
 * are exact: its kernels for AVX2 pass sums of u8 by s8 through F32 too.
 */
static bool native_i8(uint64_t depth)
{
	unsigned int isa = dnnl_get_effective_cpu_isa();
	unsigned int wide = dnnl_cpu_isa_avx512_core_vnni, narrow = dnnl_cpu_isa_avx2_vnni;

	return !(snpu_tune.no_kernel >> SNPU_DT_I8 & 1) &&
	       ((isa & wide) == wide || ((isa & narrow) == narrow && depth <= S8_K));
}

/**
 * struct block - one block of rows of a panel of columns, as the host sees it
 * @a: rows of A (columns, if it is transposed)
 * @b: columns of B (rows, if it is transposed)
 * @c: rows of C
 * @bias: bias or NULL pointer
 * @m: rows
 * @n: columns
 * @row: first row
 * @col: first column
 * @sums: I8: sums of the columns of B, once the first block of rows is done
 */
struct block {
	struct snpu_mat a, b, c, bias;
	int64_t m, n;
	uint64_t row, col;
	uint32_t *sums;
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
	key.n = k->n;
	key.k = p->matmul.k;
	key.lda = (int64_t)(k->a.pitch / size);
	key.ldb = (int64_t)(k->b.pitch / size);
	key.ldc = (int64_t)(k->c.pitch / size_c);
	return key;
}

/* c[m x n] = a * b of a type without a fast kernel, by way of F32: for floats the same sums */
static int gemm_wide(struct snpu_exec *x, const union snpu_pkt *p, struct block *k)
{
	unsigned int dt = p->hdr.dtype, dc = p->hdr.dtype2, size = snpu_dt_size(dt);
	uint64_t cols_a = k->a.row_bytes / size, cols_b = k->b.row_bytes / size, i;
	uint64_t elems_a = k->a.rows * cols_a, elems_b = k->b.rows * cols_b, n = (uint64_t)k->n;
	bool narrow = dc != SNPU_DT_F32;
	struct gemm_key key = block_key(p, k);
	float *a, *b, *c;
	int err;

	a = snpu_scratch(x->e, SLOT_WIDE,
			 (elems_a + elems_b + (narrow ? (uint64_t)k->m * n : 0)) * 4);
	if (!a)
		return SNPU_ERR_INTERNAL;
	b = a + elems_a;
	c = narrow ? b + elems_b : (float *)k->c.ptr;
	for (i = 0; i < k->a.rows; i++)
		snpu_kernels()->load(a + i * cols_a, k->a.ptr + i * k->a.pitch, dt, cols_a);
	for (i = 0; i < k->b.rows; i++)
		snpu_kernels()->load(b + i * cols_b, k->b.ptr + i * k->b.pitch, dt, cols_b);
	key.dtype = key.dtype_c = SNPU_DT_F32;
	key.lda = (int64_t)cols_a;
	key.ldb = (int64_t)cols_b;
	if (narrow)
		key.ldc = (int64_t)n;
	err = gemm_run(x, entry_get(x, &key), a, b, k->bias.ptr, c);
	for (i = 0; !err && narrow && i < (uint64_t)k->m; i++)
		snpu_kernels()->store(k->c.ptr + i * k->c.pitch, c + i * n, dc, n);
	return err;
}

/*
 * Integers without dot-product instructions: oneDNN's s8 products would saturate. As F32 they do
 * not, and a sum of EXACT_K products stays below 2^24, so it is exact; longer sums are added as
 * integers.
 */
static int gemm_i8_wide(struct snpu_exec *x, const union snpu_pkt *p, struct block *k,
			int32_t *dst, float *a)
{
	bool ta = p->hdr.flags & SNPU_PF_TRANS_A, tb = p->hdr.flags & SNPU_PF_TRANS_B;
	uint64_t m = (uint64_t)k->m, n = (uint64_t)k->n, all = p->matmul.k, l, kk, i;
	float *b = a + m * EXACT_K, *c = b + EXACT_K * n;
	struct gemm_key key = block_key(p, k);
	int err = SNPU_ERR_NONE;

	memset(dst, 0, m * n * 4);
	key.dtype = key.dtype_c = SNPU_DT_F32;
	key.flags &= ~(SNPU_PF_BIAS | SNPU_PF_ACCUM);
	key.ldc = k->n;
	for (l = 0; !err && l < all; l += kk) {
		uint64_t rows_a, cols_a, rows_b, cols_b;

		kk = all - l < EXACT_K ? all - l : EXACT_K;
		rows_a = ta ? kk : m;
		cols_a = ta ? m : kk;
		rows_b = tb ? n : kk;
		cols_b = tb ? kk : n;
		for (i = 0; i < rows_a; i++)
			snpu_kernels()->load(a + i * cols_a, ta ? k->a.ptr + (l + i) * k->a.pitch :
					     k->a.ptr + i * k->a.pitch + l, SNPU_DT_I8, cols_a);
		for (i = 0; i < rows_b; i++)
			snpu_kernels()->load(b + i * cols_b, tb ? k->b.ptr + i * k->b.pitch + l :
					     k->b.ptr + (l + i) * k->b.pitch, SNPU_DT_I8, cols_b);
		key.k = (int64_t)kk;
		key.lda = (int64_t)cols_a;
		key.ldb = (int64_t)cols_b;
		err = gemm_run(x, entry_get(x, &key), a, b, NULL, c);
		for (i = 0; !err && i < m * n; i++)
			dst[i] = (int32_t)((uint32_t)dst[i] + (uint32_t)(int32_t)c[i]);
	}
	return err;
}

/*
 * Integers with dot-product instructions. oneDNN's sums of s8 products pass through F32, and are
 * exact up to S8_K of them; those of u8 and s8 stay integers. So A goes in as A + 128, and 128
 * times the sum of each column of B is taken away from the result. Returns that factor, or 0, in
 * @times.
 */
static int gemm_i8(struct snpu_exec *x, const union snpu_pkt *p, struct block *k, int32_t *dst,
		   int64_t ldc, uint8_t *a, uint32_t *times)
{
	const struct snpu_kernels *f = snpu_kernels();
	struct gemm_key key = block_key(p, k);
	uint32_t *sums = k->sums;
	uint64_t i;

	key.flags &= ~(SNPU_PF_BIAS | SNPU_PF_ACCUM);
	key.ldc = ldc;
	if (p->matmul.k <= S8_K)
		return gemm_run(x, entry_get(x, &key), k->a.ptr, k->b.ptr, NULL, dst);
	for (i = 0; i < k->a.rows; i++)
		f->flip(a + i * k->a.row_bytes, k->a.ptr + i * k->a.pitch, k->a.row_bytes);
	if (!k->row && !(p->hdr.flags & SNPU_PF_TRANS_B))
		memset(sums, 0, (uint64_t)k->n * 4);
	for (i = 0; !k->row && i < k->b.rows; i++) {
		if (p->hdr.flags & SNPU_PF_TRANS_B)
			sums[i] = f->sum_int(k->b.ptr + i * k->b.pitch, SNPU_DT_I8, p->matmul.k);
		else
			f->add_int(sums, k->b.ptr + i * k->b.pitch, SNPU_DT_I8, (uint64_t)k->n);
	}
	key.dtype = DT_U8;
	key.lda = (int64_t)k->a.row_bytes;
	*times = 128;
	return gemm_run(x, entry_get(x, &key), a, k->b.ptr, NULL, dst);
}

/* Bias and C are added here: oneDNN adds them in F32 */
static int block_i8(struct snpu_exec *x, const union snpu_pkt *p, struct block *k)
{
	uint64_t m = (uint64_t)k->m, n = (uint64_t)k->n, depth = p->matmul.k, put, room, i, j;
	bool accum = p->hdr.flags & SNPU_PF_ACCUM, native = native_i8(depth);
	const uint32_t *bias = (const uint32_t *)k->bias.ptr;
	bool aside = bias || accum || !native;
	int32_t *c = (int32_t *)k->c.ptr, *tmp;
	int64_t ldc = (int64_t)k->c.pitch / 4;
	uint32_t times = 0, *add;
	int err;

	room = native ? (depth > S8_K ? m * depth : 0) : (m * EXACT_K + EXACT_K * n + m * n) * 4;
	put = aside ? m * n : 0;
	tmp = snpu_scratch(x->e, SLOT_WIDE, put * 4 + room + 1);
	k->sums = snpu_scratch(x->e, SLOT_SUMS, n * 8);
	if (!tmp || !k->sums)
		return SNPU_ERR_INTERNAL;
	add = k->sums + n;
	if (aside) {
		c = tmp;
		ldc = k->n;
	}
	if (native)
		err = gemm_i8(x, p, k, c, ldc, (uint8_t *)(tmp + put), &times);
	else
		err = gemm_i8_wide(x, p, k, c, (float *)tmp + put);
	if (err || (!aside && !times))
		return err;
	/* what every row gets: the bias, less 128 times the sums */
	for (j = 0; j < n; j++)
		add[j] = (bias ? bias[j] : 0) - times * (times ? k->sums[j] : 0);
	for (i = 0; i < m; i++)
		snpu_kernels()->add_row((uint32_t *)(k->c.ptr + i * k->c.pitch),
					(const uint32_t *)c + i * (uint64_t)ldc, add, accum, n);
	return SNPU_ERR_NONE;
}

/* Without instructions for BF16 oneDNN emulates them, and makes NaN of infinities on the way */
static bool native_float(unsigned int dtype)
{
	unsigned int isa = dnnl_get_effective_cpu_isa();
	unsigned int wide = dnnl_cpu_isa_avx512_core_bf16, narrow = dnnl_cpu_isa_avx2_vnni_2;

	return !(snpu_tune.no_kernel >> dtype & 1) &&
	       (dtype != SNPU_DT_BF16 || (isa & wide) == wide || (isa & narrow) == narrow);
}

static int product_float(struct snpu_exec *x, const union snpu_pkt *p, struct block *k)
{
	struct gemm_key key = block_key(p, k);
	struct gemm_entry *e;

	if (!native_float(p->hdr.dtype))
		return gemm_wide(x, p, k);
	e = entry_get(x, &key);
	if (p->hdr.dtype != SNPU_DT_F32 && e && (!e->prim || e->slow))
		return gemm_wide(x, p, k);
	return gemm_run(x, e, k->a.ptr, k->b.ptr, k->bias.ptr, k->c.ptr);
}

/*
 * The dot products of BF16 that AMX and AVX512_BF16 have take subnormals for zeros, whatever MXCSR
 * says. MXCSR makes all other instructions do so too.
 */
static int block_float(struct snpu_exec *x, const union snpu_pkt *p, struct block *k)
{
	bool flush = p->hdr.dtype == SNPU_DT_BF16;
	uint64_t rows = (uint64_t)k->m, n = (uint64_t)k->n, i;
	unsigned int mxcsr = _mm_getcsr();
	int err;

	if (flush)
		_mm_setcsr(mxcsr | _MM_FLUSH_ZERO_ON | _MM_DENORMALS_ZERO_ON);
	err = product_float(x, p, k);
	_mm_setcsr(mxcsr);
	/* rows without gaps are as good as one */
	if (k->c.pitch == k->c.row_bytes) {
		n *= rows;
		rows = 1;
	}
	for (i = 0; !err && i < rows; i++)
		snpu_kernels()->settle(k->c.ptr + i * k->c.pitch, p->hdr.dtype2, n);
	return err;
}

/*
 * How an operand is laid out for oneDNN may decide in which order it sums, so it follows from the
 * packet alone: rows are where the packet has them, or packed if that takes too much room, no
 * matter whether the memory could be used in place. One row or column is dense for oneDNN anyway.
 */
static void set_layout(struct snpu_mat *m, bool line)
{
	m->dense = line || m->rows * m->va_pitch > SPAN_MAX;
	m->keep = !m->dense;
}

static int block_get(struct snpu_exec *x, const struct snpu_pkt_matmul *c, struct block *k)
{
	uint64_t size = snpu_dt_size(c->hdr.dtype), size_c = snpu_dt_size(c->hdr.dtype2);
	bool ta = c->hdr.flags & SNPU_PF_TRANS_A, tb = c->hdr.flags & SNPU_PF_TRANS_B;
	uint64_t m = (uint64_t)k->m, n = (uint64_t)k->n, row = k->row, col = k->col, seen;
	unsigned int acc = SNPU_MEM_WRITE;
	int err = SNPU_ERR_NONE;

	if (c->hdr.flags & SNPU_PF_ACCUM)
		acc |= SNPU_MEM_READ;
	k->a = (struct snpu_mat){ .va = c->a + (ta ? row : row * c->lda) * size,
				  .va_pitch = c->lda * size, .rows = ta ? c->k : m,
				  .row_bytes = (ta ? m : c->k) * size, .may_wait = true };
	k->c = (struct snpu_mat){ .va = c->c + (row * c->ldc + col) * size_c,
				  .va_pitch = c->ldc * size_c, .rows = m, .row_bytes = n * size_c };
	set_layout(&k->a, m == 1 || c->k == 1);
	/*
	 * oneDNN 3.7 multiplies BF16 with AMX in steps of 64 bytes of A by a B that it extends with
	 * zeros. So the bytes after a row of A, of the next row or of a gap, must not be a NaN.
	 */
	k->a.pad = !ta && size == 2 && c->k > 1 && k->a.row_bytes % 64;
	set_layout(&k->c, m == 1 || n == 1);
	/* a panel of B that was gathered serves all rows; a pointer does not survive a checkpoint
	 */
	if (!row || !k->b.bounced) {
		k->b = (struct snpu_mat){ .va = c->b + (tb ? col * c->ldb : col) * size,
					  .va_pitch = c->ldb * size, .rows = tb ? n : c->k,
					  .row_bytes = (tb ? c->k : n) * size, .may_wait = true };
		set_layout(&k->b, c->k == 1 || n == 1);
		err = snpu_mat_get(x, &k->b, SLOT_B, SNPU_MEM_READ);
	}
	seen = x->checkpoints;
	if (!err)
		err = snpu_mat_get(x, &k->a, SLOT_A, SNPU_MEM_READ);
	if (!err && seen != x->checkpoints && !k->b.bounced) {
		k->b.may_wait = false;
		err = snpu_mat_get(x, &k->b, SLOT_B, SNPU_MEM_READ);
	}
	k->bias.ptr = NULL;
	if (!err && (c->hdr.flags & SNPU_PF_BIAS))
		err = snpu_vec_get(x, &k->bias, SLOT_BIAS, SNPU_MEM_READ, c->bias + col * 4, n * 4);
	if (!err)
		err = snpu_mat_get(x, &k->c, SLOT_C, acc);
	return err;
}

/*
 * Columns of B in a panel, and rows in a block: what is worked on at a time stays small enough, and
 * no part gets so small that oneDNN would take it for something else (a vector). Depends on the
 * packet only, so that results do too.
 */
static uint64_t panel_cols(const struct snpu_pkt_matmul *c)
{
	uint64_t n = snpu_tune.panel_bytes / ((uint64_t)c->k * snpu_dt_size(c->hdr.dtype));

	return n < 64 ? PART_MIN : n & ~63ull;
}

static uint64_t block_rows(const struct snpu_pkt_matmul *c, uint64_t n)
{
	uint64_t size = snpu_dt_size(c->hdr.dtype), size_c = snpu_dt_size(c->hdr.dtype2);
	/* F32 keeps subnormals, with which a product may take 150 times as long */
	uint64_t flops = snpu_tune.block_flops / (c->hdr.dtype == SNPU_DT_F32 ? 5 : 1);
	uint64_t m = flops / (2 * n * c->k), limit;

	limit = snpu_tune.panel_bytes / (c->k * size);
	m = m < limit ? m : limit;
	limit = snpu_tune.panel_bytes / (n * size_c);
	m = m < limit ? m : limit;
	m = m < MAX_ROWS ? m : MAX_ROWS;
	return m < 64 ? PART_MIN : m & ~63ull;
}

/* What is left at the end goes with the part before it, if it is small */
static uint64_t part(uint64_t left, uint64_t size)
{
	return left < size + (size < 64 ? size : 64) ? left : size;
}

static int one_product(struct snpu_exec *x, const union snpu_pkt *p)
{
	const struct snpu_pkt_matmul *c = &p->matmul;
	uint64_t panel = panel_cols(c), m, n;
	struct block k = { 0 };
	int err = SNPU_ERR_NONE;

	for (k.col = 0; !err && k.col < c->n; k.col += n) {
		n = part(c->n - k.col, panel);
		k.n = (int64_t)n;
		for (k.row = 0; !err && k.row < c->m; k.row += m) {
			m = part(c->m - k.row, block_rows(c, n));
			k.m = (int64_t)m;
			if (k.row || k.col)
				err = snpu_checkpoint(x);
			if (!err)
				err = block_get(x, c, &k);
			if (!err && c->hdr.dtype == SNPU_DT_I8)
				err = block_i8(x, p, &k);
			else if (!err)
				err = block_float(x, p, &k);
			if (!err)
				err = snpu_mat_put(x, &k.c);
		}
	}
	return err;
}

int snpu_op_matmul(struct snpu_exec *x, const union snpu_pkt *p)
{
	static __thread bool one_thread;
	const struct snpu_pkt_matmul *c = &p->matmul;
	uint64_t size = snpu_dt_size(c->hdr.dtype), size_c = snpu_dt_size(c->hdr.dtype2);
	uint64_t rows_a = c->hdr.flags & SNPU_PF_TRANS_A ? c->k : c->m;
	uint64_t rows_b = c->hdr.flags & SNPU_PF_TRANS_B ? c->n : c->k;
	uint32_t groups = c->hdr.arg ? c->hdr.arg : 1, g;
	union snpu_pkt one = *p;
	int err = SNPU_ERR_NONE;

	if (!one_thread) {
		omp_set_num_threads(1);
		one_thread = true;
	}
	one.hdr.arg = 0;
	for (g = 0; !err && g < groups; g++) {
		if (g)
			err = snpu_checkpoint(x);
		if (!err)
			err = one_product(x, &one);
		one.matmul.a += rows_a * c->lda * size;
		one.matmul.b += rows_b * c->ldb * size;
		one.matmul.c += (uint64_t)c->m * c->ldc * size_c;
		if (c->hdr.flags & SNPU_PF_BIAS)
			one.matmul.bias += c->n * 4ull;
	}
	return err;
}
