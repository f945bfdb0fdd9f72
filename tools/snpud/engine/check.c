// SPDX-License-Identifier: MIT
/*
 * Packet checks. A packet is checked whole, on a private copy, before any memory is touched.
 */
#include <stddef.h>

#include "engine.h"
#include "range.h"

#define VA_END		(1ull << SNPU_VA_BITS)

#define F32		(1u << SNPU_DT_F32)
#define BF16		(1u << SNPU_DT_BF16)
#define F16		(1u << SNPU_DT_F16)
#define I8		(1u << SNPU_DT_I8)
#define I32		(1u << SNPU_DT_I32)
#define I64		(1u << SNPU_DT_I64)
#define FLOATS		(F32 | BF16 | F16)

unsigned int snpu_dt_size(unsigned int dtype)
{
	static const uint8_t size[] = { 0, 4, 2, 2, 1, 4, 8 };

	return dtype <= SNPU_DT_MAX ? size[dtype] : 0;
}

static bool dt_in(unsigned int dtype, unsigned int set)
{
	return dtype <= SNPU_DT_MAX && (set >> dtype & 1);
}

/**
 * struct span - what an operand takes of the address space
 * @va: first byte
 * @bytes: to the last byte, gaps included
 * @pitch: bytes from row to row, 0: it is one row
 * @width: bytes of a row, if there is more than one
 */
struct span {
	uint64_t va;
	uint64_t bytes;
	uint64_t pitch;
	uint64_t width;
};

static bool span_ok(const struct span *s)
{
	return s->bytes && s->va < VA_END && s->bytes <= VA_END - s->va;
}

static bool overlap(const struct span *a, const struct span *b)
{
	return a->va < b->va + b->bytes && b->va < a->va + a->bytes;
}

/*
 * Whether two matrices share a byte. Rows may lie in the gaps of the other: column blocks of one
 * wide matrix are apart although their spans are not. That is looked at for equal pitches, and for
 * a single row beside a matrix; anything else whose spans meet counts as overlap.
 */
static bool mats_overlap(const struct span *a, const struct span *b)
{
	uint64_t pitch = a->pitch ? a->pitch : b->pitch, wide_a, wide_b, off;

	if (!overlap(a, b))
		return false;
	if (!pitch || (a->pitch && b->pitch && a->pitch != b->pitch))
		return true;
	wide_a = a->pitch ? a->width : a->bytes;
	wide_b = b->pitch ? b->width : b->bytes;
	off = b->va > a->va ? (b->va - a->va) % pitch : (pitch - (a->va - b->va) % pitch) % pitch;
	/* where a row of b begins, seen from the row of a before it */
	return off < wide_a || wide_b > pitch - off;
}

/* Bytes from the first element of a matrix to its last; 0: dimensions out of range */
static uint64_t mat_bytes(uint64_t rows, uint64_t cols, uint64_t ld, unsigned int size)
{
	uint64_t elems;

	if (!rows || rows > SNPU_MAX_DIM || !cols || cols > SNPU_MAX_DIM || ld < cols ||
	    ld > SNPU_MAX_LD)
		return 0;
	elems = (rows - 1) * ld + cols;
	return elems <= SNPU_MAX_ELEMS ? elems * size : 0;
}

/* The span of a matrix of elements; bytes 0: dimensions out of range */
static struct span mat_span(uint64_t va, uint64_t rows, uint64_t cols, uint64_t ld,
			    unsigned int size)
{
	return (struct span){ va, mat_bytes(rows, cols, ld, size), rows > 1 ? ld * size : 0,
			      cols * size };
}

static uint64_t vec_bytes(uint64_t count, unsigned int size)
{
	return count && count <= SNPU_MAX_ELEMS ? count * size : 0;
}

static bool all_zero(const __u64 *q, unsigned int n)
{
	__u64 x = 0;

	while (n--)
		x |= *q++;
	return !x;
}

#define RSVD_ZERO(field) all_zero((field), sizeof(field) / sizeof((field)[0]))

static bool hdr_is(const union snpu_pkt *p, unsigned int flags, bool dtype, bool dtype2, bool arg)
{
	return !(p->hdr.flags & ~flags) && (dtype || !p->hdr.dtype) && (dtype2 || !p->hdr.dtype2) &&
	       (arg || !p->hdr.arg);
}

/* What a packet signals when it is done: COPY and REDUCE_ADD have the same fields for it */
static unsigned int check_signal(const union snpu_pkt *p)
{
	const struct snpu_pkt_copy *c = &p->copy;
	struct span s = { .va = c->sem_addr, .bytes = 8 };

	_Static_assert(offsetof(struct snpu_pkt_copy, sem_addr) ==
		       offsetof(struct snpu_pkt_reduce, sem_addr), "signal");
	if (!(c->hdr.flags & SNPU_PF_SIGNAL))
		return c->hdr.arg || c->sem_addr || c->sem_value ? SNPU_ERR_FIELD : SNPU_ERR_NONE;
	if (c->hdr.arg > SNPU_SEM_ADD || !span_ok(&s))
		return SNPU_ERR_FIELD;
	return c->sem_addr % 8 ? SNPU_ERR_ALIGN : SNPU_ERR_NONE;
}

static unsigned int check_copy(const union snpu_pkt *p)
{
	const struct snpu_pkt_copy *c = &p->copy;
	struct span s = { .va = c->src, .bytes = c->bytes },
		    d = { .va = c->dst, .bytes = c->bytes };

	if (!hdr_is(p, SNPU_PF_SIGNAL | SNPU_PF_UNTIMED, false, false, true) ||
	    !RSVD_ZERO(c->rsvd) || c->bytes > SNPU_MAX_BYTES || !span_ok(&s) || !span_ok(&d) ||
	    overlap(&s, &d))
		return SNPU_ERR_FIELD;
	return check_signal(p);
}

static unsigned int check_reduce(const union snpu_pkt *p)
{
	const struct snpu_pkt_reduce *c = &p->reduce;
	unsigned int size = snpu_dt_size(c->hdr.dtype), err;
	struct span s = { .va = c->src, .bytes = vec_bytes(c->count, size) };
	struct span d = { .va = c->dst, .bytes = s.bytes };

	if (!hdr_is(p, SNPU_PF_SIGNAL, true, false, true) || !RSVD_ZERO(c->rsvd) ||
	    !dt_in(c->hdr.dtype, F32 | BF16 | I32) || !span_ok(&s) || !span_ok(&d) ||
	    overlap(&s, &d))
		return SNPU_ERR_FIELD;
	err = check_signal(p);
	if (err)
		return err;
	return c->src % size || c->dst % size ? SNPU_ERR_ALIGN : SNPU_ERR_NONE;
}

/* The list itself is the engine's to check, once it has read it */
static unsigned int check_multi(const union snpu_pkt *p)
{
	const struct snpu_pkt_multi *c = &p->multi;
	const bool pull = c->hdr.op == SNPU_OP_REDUCE_PULL;
	unsigned int size = pull ? snpu_dt_size(c->hdr.dtype) : 1;
	struct span s = { .va = c->addr }, l = { .va = c->list, .bytes = c->num * 8ull };

	if (!hdr_is(p, 0, pull, false, pull) || c->rsvd0 || !RSVD_ZERO(c->rsvd) ||
	    c->num > SNPU_MAX_LIST || c->offset >= VA_END || !span_ok(&l))
		return SNPU_ERR_FIELD;
	if (pull && (!dt_in(c->hdr.dtype, FLOATS | I8 | I32 | I64) || c->hdr.arg > SNPU_ELT_MIN ||
		     c->hdr.arg == SNPU_ELT_SCALE))
		return SNPU_ERR_FIELD;
	s.bytes = pull ? vec_bytes(c->count, size) : c->count <= SNPU_MAX_BYTES ? c->count : 0;
	if (!span_ok(&s))
		return SNPU_ERR_FIELD;
	return c->addr % size || c->list % 8 ? SNPU_ERR_ALIGN : SNPU_ERR_NONE;
}

static unsigned int check_atomic(const union snpu_pkt *p)
{
	const struct snpu_pkt_atomic *c = &p->atomic;
	struct span s = { .va = c->addr, .bytes = 8 }, r = { .va = c->result, .bytes = 8 };

	if (!hdr_is(p, SNPU_PF_UNTIMED, false, false, true) || !RSVD_ZERO(c->rsvd) ||
	    c->hdr.arg > SNPU_ATOMIC_SWAP || (c->compare && c->hdr.arg != SNPU_ATOMIC_CAS) ||
	    !span_ok(&s) || !span_ok(&r) || (c->result && overlap(&s, &r)))
		return SNPU_ERR_FIELD;
	return c->addr % 8 || c->result % 8 ? SNPU_ERR_ALIGN : SNPU_ERR_NONE;
}

static unsigned int check_copy2d(const union snpu_pkt *p)
{
	const struct snpu_pkt_copy2d *c = &p->copy2d;
	struct span s, d;

	if (!hdr_is(p, 0, false, false, false) || !RSVD_ZERO(c->rsvd) || !c->width || !c->rows ||
	    c->rows > SNPU_MAX_DIM || c->src_pitch < c->width || c->dst_pitch < c->width)
		return SNPU_ERR_FIELD;
	/* the products stay below 2^72: divide instead */
	if ((c->rows > 1) && (VA_END / (c->rows - 1) < c->src_pitch ||
			      VA_END / (c->rows - 1) < c->dst_pitch))
		return SNPU_ERR_FIELD;
	s = (struct span){ c->src, (c->rows - 1) * c->src_pitch + c->width,
			   c->rows > 1 ? c->src_pitch : 0, c->width };
	d = (struct span){ c->dst, (c->rows - 1) * c->dst_pitch + c->width,
			   c->rows > 1 ? c->dst_pitch : 0, c->width };
	if (!span_ok(&s) || !span_ok(&d) || mats_overlap(&s, &d))
		return SNPU_ERR_FIELD;
	return SNPU_ERR_NONE;
}

static unsigned int check_fill(const union snpu_pkt *p)
{
	const struct snpu_pkt_fill *c = &p->fill;
	struct span d = { .va = c->dst, .bytes = c->bytes };
	uint32_t size = c->hdr.arg;

	if (!hdr_is(p, 0, false, false, true) || !RSVD_ZERO(c->rsvd) ||
	    (size != 1 && size != 2 && size != 4 && size != 8) || c->bytes > SNPU_MAX_BYTES ||
	    c->bytes % size || (size < 8 && c->pattern >> (8 * size)) || !span_ok(&d))
		return SNPU_ERR_FIELD;
	return c->dst % size ? SNPU_ERR_ALIGN : SNPU_ERR_NONE;
}

/* All matrices of a group, back to back; false: more than there are addresses */
static bool group_span(struct span *s, uint64_t groups, uint64_t rows, uint64_t ld,
		       unsigned int size)
{
	uint64_t stride = rows * ld * size, all;

	if (groups == 1)
		return true;
	/* a span that has bytes has rows and ld in range: the stride is below 2^56 */
	if (!s->bytes || __builtin_mul_overflow(stride, groups - 1, &all) || all > VA_END)
		return false;
	s->bytes += all;
	s->width = s->bytes;
	s->pitch = 0;
	return true;
}

static unsigned int check_matmul(const union snpu_pkt *p)
{
	const struct snpu_pkt_matmul *c = &p->matmul;
	unsigned int dt = c->hdr.dtype, dc = c->hdr.dtype2;
	bool ta = c->hdr.flags & SNPU_PF_TRANS_A, tb = c->hdr.flags & SNPU_PF_TRANS_B;
	bool bias = c->hdr.flags & SNPU_PF_BIAS;
	unsigned int size = snpu_dt_size(dt), size_c = snpu_dt_size(dc);
	uint64_t groups = c->hdr.arg ? c->hdr.arg : 1;
	struct span a, b, d, r;

	if (!hdr_is(p, SNPU_PF_TRANS_A | SNPU_PF_TRANS_B | SNPU_PF_BIAS | SNPU_PF_ACCUM, true, true,
		    true) || groups > SNPU_MAX_GROUPS)
		return SNPU_ERR_FIELD;
	if (!(dt_in(dt, FLOATS) && (dc == dt || dc == SNPU_DT_F32)) &&
	    !(dt == SNPU_DT_I8 && dc == SNPU_DT_I32))
		return SNPU_ERR_FIELD;
	if ((c->hdr.flags & SNPU_PF_ACCUM) && !dt_in(dc, F32 | I32))
		return SNPU_ERR_FIELD;
	a = mat_span(c->a, ta ? c->k : c->m, ta ? c->m : c->k, c->lda, size);
	b = mat_span(c->b, tb ? c->n : c->k, tb ? c->k : c->n, c->ldb, size);
	d = mat_span(c->c, c->m, c->n, c->ldc, size_c);
	r = (struct span){ .va = c->bias, .bytes = bias ? c->n * 4ull * groups : 0 };
	if (!group_span(&a, groups, ta ? c->k : c->m, c->lda, size) ||
	    !group_span(&b, groups, tb ? c->n : c->k, c->ldb, size) ||
	    !group_span(&d, groups, c->m, c->ldc, size_c))
		return SNPU_ERR_FIELD;
	if (!span_ok(&a) || !span_ok(&b) || !span_ok(&d) ||
	    mats_overlap(&a, &d) || mats_overlap(&b, &d))
		return SNPU_ERR_FIELD;
	if (bias ? !span_ok(&r) || mats_overlap(&r, &d) : c->bias != 0)
		return SNPU_ERR_FIELD;
	/* m * n * groups is at most 2^60, so the product cannot wrap once it is bounded */
	if ((uint64_t)c->m * c->n * groups > SNPU_MAX_MACS / c->k)
		return SNPU_ERR_FIELD;
	if (c->a % size || c->b % size || c->c % size_c || (bias && c->bias % 4))
		return SNPU_ERR_ALIGN;
	return SNPU_ERR_NONE;
}

/* An in-place result is allowed, one that overlaps in part is not */
static bool aliases_badly(const struct span *src, const struct span *dst)
{
	return overlap(src, dst) && src->va != dst->va;
}

static bool is_finite_bits(uint32_t f32)
{
	return (f32 & 0x7f800000u) != 0x7f800000u;
}

static unsigned int check_eltwise(const union snpu_pkt *p)
{
	const struct snpu_pkt_eltwise *c = &p->eltwise;
	bool scale = c->hdr.arg == SNPU_ELT_SCALE, div = c->hdr.arg == SNPU_ELT_DIV;
	unsigned int allowed = scale ? FLOATS : div ? I8 | I32 | I64 : FLOATS | I8 | I32 | I64;
	unsigned int size = snpu_dt_size(c->hdr.dtype);
	uint64_t bytes = vec_bytes(c->count, size);
	struct span a = { .va = c->a, .bytes = bytes }, b = { .va = c->b, .bytes = bytes },
		    d = { .va = c->dst, .bytes = bytes };

	if (!hdr_is(p, 0, true, false, true) || !RSVD_ZERO(c->rsvd) || c->rsvd0 ||
	    c->hdr.arg > SNPU_ELT_DIV || !dt_in(c->hdr.dtype, allowed) ||
	    !span_ok(&a) || !span_ok(&d) || aliases_badly(&a, &d))
		return SNPU_ERR_FIELD;
	if (scale || div ? c->b != 0 : c->scalar || !span_ok(&b) || aliases_badly(&b, &d))
		return SNPU_ERR_FIELD;
	if (div && (!c->scalar || c->scalar > INT32_MAX))
		return SNPU_ERR_FIELD;
	if (c->a % size || c->b % size || c->dst % size)
		return SNPU_ERR_ALIGN;
	return SNPU_ERR_NONE;
}

static unsigned int check_convert(const union snpu_pkt *p)
{
	const struct snpu_pkt_convert *c = &p->convert;
	unsigned int from = c->hdr.dtype, to = c->hdr.dtype2;
	unsigned int size = snpu_dt_size(from), size2 = snpu_dt_size(to);
	struct span s = { .va = c->src, .bytes = vec_bytes(c->count, size) };
	struct span d = { .va = c->dst, .bytes = vec_bytes(c->count, size2) };

	if (!hdr_is(p, 0, true, true, false) || !RSVD_ZERO(c->rsvd) || c->rsvd0 || !size ||
	    !size2 || from == SNPU_DT_I64 || to == SNPU_DT_I64 || (from == to && !(from == SNPU_DT_F32 && c->scale)) || !span_ok(&s) ||
	    !span_ok(&d) || overlap(&s, &d))
		return SNPU_ERR_FIELD;
	return c->src % size || c->dst % size2 ? SNPU_ERR_ALIGN : SNPU_ERR_NONE;
}

static unsigned int check_rows(const union snpu_pkt *p)
{
	const struct snpu_pkt_rows *c = &p->rows;
	unsigned int dt = c->hdr.dtype, size = snpu_dt_size(dt), out = size;
	struct span s = mat_span(c->src, c->rows, c->cols, c->ld_src, size);
	struct span d = { .va = c->dst }, w = { .va = c->weight };
	bool inplace = false;

	if (c->rsvd || !span_ok(&s))
		return SNPU_ERR_FIELD;
	switch (c->hdr.op) {
	case SNPU_OP_REDUCE_SUM:
		if (!hdr_is(p, SNPU_PF_COLUMNS, true, true, false) || c->ld_dst || c->param ||
		    c->offset || c->weight || !dt_in(dt, FLOATS | I8 | I32) ||
		    c->hdr.dtype2 != (dt_in(dt, FLOATS) ? SNPU_DT_F32 : SNPU_DT_I32))
			return SNPU_ERR_FIELD;
		out = 4;
		d.bytes = (c->hdr.flags & SNPU_PF_COLUMNS ? c->cols : c->rows) * 4ull;
		break;
	case SNPU_OP_ARGMAX:
		if (!hdr_is(p, 0, true, false, false) || c->ld_dst || c->param || c->offset ||
		    c->weight || !dt_in(dt, FLOATS | I32))
			return SNPU_ERR_FIELD;
		out = 4;
		d.bytes = c->rows * 4ull;
		break;
	case SNPU_OP_SOFTMAX:
		if (!hdr_is(p, SNPU_PF_CAUSAL, true, false, false) || c->weight ||
		    !dt_in(dt, FLOATS) || (c->offset && !(c->hdr.flags & SNPU_PF_CAUSAL)))
			return SNPU_ERR_FIELD;
		inplace = true;
		break;
	default: /* RMSNORM */
		if (!hdr_is(p, 0, true, false, false) || c->offset || !dt_in(dt, FLOATS) ||
		    !is_finite_bits(c->param) || c->param > 0x80000000u)
			return SNPU_ERR_FIELD;
		w.bytes = (uint64_t)c->cols * size;
		inplace = true;
	}
	if (inplace)
		d = mat_span(c->dst, c->rows, c->cols, c->ld_dst, size);
	if (!span_ok(&d))
		return SNPU_ERR_FIELD;
	if (mats_overlap(&s, &d) && !(inplace && c->src == c->dst && c->ld_src == c->ld_dst))
		return SNPU_ERR_FIELD;
	if (w.bytes && (!span_ok(&w) || mats_overlap(&w, &d)))
		return SNPU_ERR_FIELD;
	if (c->src % size || c->dst % out || c->weight % size)
		return SNPU_ERR_ALIGN;
	return SNPU_ERR_NONE;
}

static unsigned int check_act(const union snpu_pkt *p)
{
	const struct snpu_pkt_act *c = &p->act;
	unsigned int size = snpu_dt_size(c->hdr.dtype);
	uint64_t bytes = vec_bytes(c->count, size);
	struct span s = { .va = c->src, .bytes = bytes }, d = { .va = c->dst, .bytes = bytes };

	if (!hdr_is(p, 0, true, false, true) || !RSVD_ZERO(c->rsvd) || c->hdr.arg > SNPU_ACT_GELU ||
	    !dt_in(c->hdr.dtype, FLOATS) || !span_ok(&s) || !span_ok(&d) || aliases_badly(&s, &d))
		return SNPU_ERR_FIELD;
	return c->src % size || c->dst % size ? SNPU_ERR_ALIGN : SNPU_ERR_NONE;
}

static unsigned int check_gather(const union snpu_pkt *p)
{
	const struct snpu_pkt_gather *c = &p->gather;
	unsigned int size = snpu_dt_size(c->hdr.dtype);
	struct span t = mat_span(c->table, c->table_rows, c->cols, c->ld_table, size);
	struct span d = mat_span(c->dst, c->count, c->cols, c->ld_dst, size);
	struct span i = { .va = c->index, .bytes = c->count * 4ull };

	if (!hdr_is(p, 0, true, false, false) || c->rsvd || c->rsvd0 || !span_ok(&t) ||
	    c->hdr.dtype == SNPU_DT_I64 || !span_ok(&d) || !span_ok(&i) || mats_overlap(&t, &d) || mats_overlap(&i, &d))
		return SNPU_ERR_FIELD;
	return c->table % size || c->dst % size || c->index % 4 ? SNPU_ERR_ALIGN : SNPU_ERR_NONE;
}

static unsigned int check_attention(const union snpu_pkt *p)
{
	const struct snpu_pkt_attention *c = &p->attention;
	unsigned int size = snpu_dt_size(c->hdr.dtype);
	struct span q, kv, d;

	if (!hdr_is(p, 0, true, false, false) || c->rsvd || !dt_in(c->hdr.dtype, FLOATS) ||
	    !c->batch || c->batch > SNPU_MAX_GROUPS || !c->rows || c->rows > SNPU_MAX_ROWS ||
	    !c->len || c->len > SNPU_MAX_DIM || !c->dk || c->dk > SNPU_MAX_DK || !c->dv ||
	    c->dv > c->dk || !is_finite_bits(c->scale))
		return SNPU_ERR_FIELD;
	/* factors of at most 12, 16, 24, 12 and 3 bits: below 2^64 */
	q = (struct span){ .va = c->q, .bytes = (uint64_t)c->batch * c->rows * c->dk * size };
	kv = (struct span){ .va = c->kv, .bytes = (uint64_t)c->batch * c->len * c->dk * size };
	d = (struct span){ .va = c->out, .bytes = (uint64_t)c->batch * c->rows * c->dv * size };
	if (!span_ok(&q) || !span_ok(&kv) || !span_ok(&d) || overlap(&q, &d) || overlap(&kv, &d) ||
	    (uint64_t)c->batch * c->rows * c->len > SNPU_MAX_MACS / (c->dk + c->dv))
		return SNPU_ERR_FIELD;
	return c->q % size || c->kv % size || c->out % size ? SNPU_ERR_ALIGN : SNPU_ERR_NONE;
}

static unsigned int check_crc32c(const union snpu_pkt *p)
{
	const struct snpu_pkt_crc32c *c = &p->crc32c;
	struct span s = { .va = c->src, .bytes = c->bytes }, d = { .va = c->dst, .bytes = 4 };

	if (!hdr_is(p, 0, false, false, true) || !RSVD_ZERO(c->rsvd) || c->bytes > SNPU_MAX_BYTES ||
	    !span_ok(&s) || !span_ok(&d) || overlap(&s, &d))
		return SNPU_ERR_FIELD;
	return c->dst % 4 ? SNPU_ERR_ALIGN : SNPU_ERR_NONE;
}

static unsigned int check_sem(const union snpu_pkt *p)
{
	const struct snpu_pkt_sem *c = &p->sem;
	struct span s = { .va = c->addr, .bytes = 8 };

	if (!hdr_is(p, c->hdr.op == SNPU_OP_SEM_SIGNAL ? SNPU_PF_UNTIMED : 0, false, false, true) ||
	    !RSVD_ZERO(c->rsvd) || c->hdr.arg > SNPU_SEM_ADD || !span_ok(&s) ||
	    (c->hdr.op == SNPU_OP_SEM_SIGNAL && c->timeout_ns))
		return SNPU_ERR_FIELD;
	return c->addr % 8 ? SNPU_ERR_ALIGN : SNPU_ERR_NONE;
}

static unsigned int check_misc(const union snpu_pkt *p)
{
	const struct snpu_pkt_misc *c = &p->misc;
	struct span s = { .va = c->addr, .bytes = 8 };

	if (!hdr_is(p, c->hdr.op == SNPU_OP_TIMESTAMP ? SNPU_PF_VIRTUAL : 0, false, false,
		    c->hdr.op == SNPU_OP_INTERRUPT) || !RSVD_ZERO(c->rsvd) || c->rsvd0)
		return SNPU_ERR_FIELD;
	switch (c->hdr.op) {
	case SNPU_OP_TIMESTAMP:
		if (c->count || !span_ok(&s))
			return SNPU_ERR_FIELD;
		return c->addr % 8 ? SNPU_ERR_ALIGN : SNPU_ERR_NONE;
	case SNPU_OP_INDIRECT:
		s.bytes = (uint64_t)c->count * SNPU_PKT_BYTES;
		if (c->count > SNPU_MAX_IB_PKTS || !span_ok(&s))
			return SNPU_ERR_FIELD;
		return c->addr % SNPU_PKT_BYTES ? SNPU_ERR_ALIGN : SNPU_ERR_NONE;
	case SNPU_OP_CLOCK:
		return c->count || c->addr > SNPU_MAX_CLOCK ? SNPU_ERR_FIELD : SNPU_ERR_NONE;
	default:
		return c->addr || c->count ? SNPU_ERR_FIELD : SNPU_ERR_NONE;
	}
}

unsigned int snpu_pkt_check(const union snpu_pkt *p)
{
	switch (p->hdr.op) {
	case SNPU_OP_NOP:
	case SNPU_OP_BARRIER:
	case SNPU_OP_TIMESTAMP:
	case SNPU_OP_INTERRUPT:
	case SNPU_OP_INDIRECT:
	case SNPU_OP_CLOCK:
		return check_misc(p);
	case SNPU_OP_SEM_SIGNAL:
	case SNPU_OP_SEM_WAIT:
		return check_sem(p);
	case SNPU_OP_COPY:
		return check_copy(p);
	case SNPU_OP_COPY2D:
		return check_copy2d(p);
	case SNPU_OP_FILL:
		return check_fill(p);
	case SNPU_OP_ATOMIC:
		return check_atomic(p);
	case SNPU_OP_REDUCE_ADD:
		return check_reduce(p);
	case SNPU_OP_REDUCE_PULL:
	case SNPU_OP_MULTICAST:
		return check_multi(p);
	case SNPU_OP_MATMUL:
		return check_matmul(p);
	case SNPU_OP_ELTWISE:
		return check_eltwise(p);
	case SNPU_OP_CONVERT:
		return check_convert(p);
	case SNPU_OP_REDUCE_SUM:
	case SNPU_OP_SOFTMAX:
	case SNPU_OP_RMSNORM:
	case SNPU_OP_ARGMAX:
		return check_rows(p);
	case SNPU_OP_ACT:
		return check_act(p);
	case SNPU_OP_GATHER:
		return check_gather(p);
	case SNPU_OP_CRC32C:
		return check_crc32c(p);
	case SNPU_OP_ATTENTION:
		return check_attention(p);
	default:
		return SNPU_ERR_OPCODE;
	}
}

void snpu_pkt_work(const union snpu_pkt *p, struct snpu_work *w)
{
	uint64_t size = snpu_dt_size(p->hdr.dtype), size2 = snpu_dt_size(p->hdr.dtype2);
	uint64_t cells = (uint64_t)p->rows.rows * p->rows.cols;
	uint64_t groups = p->hdr.arg ? p->hdr.arg : 1;
	const struct snpu_pkt_attention *t = &p->attention;

	*w = (struct snpu_work){ 0 };
	switch (p->hdr.op) {
	case SNPU_OP_COPY:
		w->bytes_read = w->bytes_written = p->copy.bytes;
		break;
	case SNPU_OP_COPY2D:
		w->bytes_read = w->bytes_written = (uint64_t)p->copy2d.width * p->copy2d.rows;
		break;
	case SNPU_OP_FILL:
		w->bytes_written = p->fill.bytes;
		break;
	case SNPU_OP_MATMUL:
		w->bytes_written = (uint64_t)p->matmul.m * p->matmul.n * size2 * groups;
		w->bytes_read = ((uint64_t)p->matmul.m * p->matmul.k +
				 (uint64_t)p->matmul.k * p->matmul.n) * size * groups;
		if (p->hdr.flags & SNPU_PF_ACCUM)
			w->bytes_read += w->bytes_written;
		if (p->hdr.flags & SNPU_PF_BIAS)
			w->bytes_read += p->matmul.n * 4ull * groups;
		w->flops = 2ull * p->matmul.m * p->matmul.n * p->matmul.k * groups;
		break;
	case SNPU_OP_ELTWISE:
		w->bytes_written = p->eltwise.count * size;
		w->bytes_read = w->bytes_written * (p->hdr.arg == SNPU_ELT_SCALE ||
						       p->hdr.arg == SNPU_ELT_DIV ? 1 : 2);
		w->flops = p->eltwise.count;
		break;
	case SNPU_OP_CONVERT:
		w->bytes_read = p->convert.count * size;
		w->bytes_written = p->convert.count * size2;
		w->flops = p->convert.count;
		break;
	case SNPU_OP_REDUCE_SUM:
		w->bytes_read = cells * size;
		w->bytes_written = (p->hdr.flags & SNPU_PF_COLUMNS ? p->rows.cols : p->rows.rows) *
				   4ull;
		w->flops = cells;
		break;
	case SNPU_OP_ARGMAX:
		w->bytes_read = cells * size;
		w->bytes_written = p->rows.rows * 4ull;
		w->flops = cells;
		break;
	case SNPU_OP_SOFTMAX:
	case SNPU_OP_RMSNORM:
		w->bytes_read = w->bytes_written = cells * size;
		w->flops = cells * 4;
		break;
	case SNPU_OP_ACT:
		w->bytes_read = w->bytes_written = p->act.count * size;
		w->flops = p->act.count * 8;
		break;
	case SNPU_OP_GATHER:
		w->bytes_written = (uint64_t)p->gather.count * p->gather.cols * size;
		w->bytes_read = w->bytes_written + p->gather.count * 4ull;
		break;
	case SNPU_OP_REDUCE_ADD:
		w->bytes_read = w->bytes_written = p->reduce.count * size;
		w->flops = p->reduce.count;
		break;
	case SNPU_OP_REDUCE_PULL:
		w->bytes_written = p->multi.count * size;
		w->bytes_read = w->bytes_written * p->multi.num;
		w->flops = p->multi.count * (p->multi.num - 1);
		break;
	case SNPU_OP_MULTICAST:
		w->bytes_read = p->multi.count;
		w->bytes_written = w->bytes_read * p->multi.num;
		break;
	case SNPU_OP_ATTENTION:
		w->bytes_read = ((uint64_t)t->rows + t->len) * t->batch * t->dk * size;
		w->bytes_written = (uint64_t)t->rows * t->batch * t->dv * size;
		w->flops = 2ull * t->batch * t->rows * t->len * (t->dk + t->dv);
		break;
	case SNPU_OP_CRC32C:
		w->bytes_read = p->crc32c.bytes;
		w->bytes_written = 4;
		break;
	default:
		break;
	}
}

uint64_t snpu_pkt_cost(const union snpu_pkt *p)
{
	struct snpu_work w;
	uint64_t ns;

	if (p->hdr.op < SNPU_OP_COPY || p->hdr.op > SNPU_OP_ATTENTION ||
	    p->hdr.op == SNPU_OP_ATOMIC)
		return 0;
	snpu_pkt_work(p, &w);
	/* scattered memory copied at 6 GB/s; a row of its own costs more than its bytes */
	ns = (w.bytes_read + w.bytes_written) / 6;
	switch (p->hdr.op) {
	case SNPU_OP_COPY2D:
		return ns + p->copy2d.rows * 50ull;
	case SNPU_OP_GATHER:
		return ns + p->gather.count * 100ull;
	case SNPU_OP_REDUCE_ADD:
		return ns + p->reduce.count / 2;
	case SNPU_OP_MATMUL:
		return ns + w.flops / 50;
	case SNPU_OP_REDUCE_SUM:
	case SNPU_OP_SOFTMAX:
	case SNPU_OP_RMSNORM:
	case SNPU_OP_ARGMAX:
		return ns + p->rows.rows * 50ull + w.flops / 2;
	default:
		return ns + w.flops / 4;
	}
}

bool snpu_pkt_is_heavy(const union snpu_pkt *p)
{
	return snpu_pkt_cost(p) > 20000;
}
