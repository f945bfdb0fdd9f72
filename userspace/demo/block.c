// SPDX-License-Identifier: MIT
/*
 * Part 3: a transformer block, on one NPU and tensor-parallel over several, against fp64.
 *
 * Split over n NPUs, each has HEADS / n heads and FFN / n columns of the MLP: its columns of Wqkv,
 * Wg and Wu, its rows of Wo and Wd. Attention and MLP end in a partial sum on every NPU; a ring
 * all-reduce makes it the whole. One submission holds all of it.
 *
 * The bound. A result passes at most R = 13 + 2 (n - 1) roundings to the working type one after the
 * other (two norms, seven products, softmax, silu, two sums with the residual, and the additions of
 * two all-reduces), and five products of up to FFN terms that are summed in fp32. The numbers are
 * scaled so that no step makes its input grow, so to first order each rounding moves an element by
 * at most u times the largest element of the result, and the fp32 sums by sqrt(FFN) 2^-24 each:
 *
 *	|error| <= (R u + 5 sqrt(FFN) 2^-24) max |y|,	u = 2^-24 (fp32), 2^-8 (bf16)
 *
 * Between the split and the whole both may err: twice that.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block.h"
#include "demo.h"

/* struct shape - of a run: n, element type, and where things are in an NPU's memory, in bytes */
struct shape {
	unsigned int n;
	unsigned int dtype;
	uint64_t esize;
	uint32_t width;		/* columns of q, k and v of an NPU */
	uint32_t ffn;		/* its columns of the MLP */
	uint64_t x, norm, qkv, scores, att, out, gate, up;
	uint64_t g1, g2, w_qkv, w_o, w_gate, w_up, w_down;
	uint64_t inbox;
	uint64_t bytes;
};

/* struct block - state of part 3 */
struct block {
	float *src;			/* input and weights, in host memory */
	struct snpu_mem *source;	/* the same in HBM of NPU 0: fp32, then bf16 */
	struct snpu_mem *host[DEMO_MAX_NPUS];	/* results */
	uint64_t source_va[DEMO_MAX_NPUS];
	unsigned int split;		/* NPUs of the split runs */
	unsigned int rows;		/* rows computed in fp64 */
	double *want;			/* those */
	double largest;			/* of |want| */
	float *one;			/* result of one NPU */
};

static void shape_init(struct shape *sh, unsigned int n, unsigned int dtype)
{
	const struct {
		uint64_t *at;
		uint64_t elems;
	} part[] = {
		{ &sh->x, TOKENS }, { &sh->norm, TOKENS }, { &sh->qkv, 3 * TOKENS / n },
		{ &sh->scores, SEQ * SEQ }, { &sh->att, TOKENS / n }, { &sh->out, TOKENS },
		{ &sh->gate, SEQ * FFN / n }, { &sh->up, SEQ * FFN / n }, { &sh->g1, DIM },
		{ &sh->g2, DIM }, { &sh->w_qkv, 3 * DIM * DIM / n }, { &sh->w_o, DIM * DIM / n },
		{ &sh->w_gate, DIM * FFN / n }, { &sh->w_up, DIM * FFN / n },
		{ &sh->w_down, FFN * DIM / n },
	};
	unsigned int i;

	*sh = (struct shape){
		.n = n,
		.dtype = dtype,
		.esize = snpu_dtype_size(dtype),
		.width = DIM / n,
		.ffn = FFN / n,
	};
	for (i = 0; i < sizeof(part) / sizeof(*part); i++) {
		*part[i].at = sh->bytes;
		sh->bytes += (part[i].elems * sh->esize + 63) / 64 * 64;
	}
	sh->inbox = sh->bytes;
	sh->bytes += demo_ring_inbox(n, dtype, TOKENS);
}

/* Columns @col .. @col + @width of a matrix of the source to a matrix with rows of @ld */
static void fetch_columns(struct demo *d, const struct shape *sh, unsigned int r, uint64_t to,
			  uint32_t ld, uint64_t from, uint32_t ld_from, uint32_t col,
			  uint32_t width, uint32_t rows)
{
	snpu_prep_copy2d(demo_pkt(d, r), to, ld * sh->esize, from + col * sh->esize,
			 ld_from * sh->esize, (uint32_t)(width * sh->esize), rows);
}

/* NPU @r fetches its shard from NPU 0 */
static void fetch(struct demo *d, const struct shape *sh, unsigned int r, uint64_t base,
		  uint64_t src)
{
	const uint64_t e = sh->esize;
	const uint32_t w = sh->width, f = sh->ffn;
	unsigned int i;

	snpu_prep_copy(demo_pkt(d, r), base + sh->x, src + AT_X * e, TOKENS * e);
	snpu_prep_copy(demo_pkt(d, r), base + sh->g1, src + AT_G1 * e, DIM * e);
	snpu_prep_copy(demo_pkt(d, r), base + sh->g2, src + AT_G2 * e, DIM * e);
	for (i = 0; i < 3; i++)
		fetch_columns(d, sh, r, base + sh->w_qkv + i * w * e, 3 * w, src + AT_QKV * e,
			      3 * DIM, i * DIM + r * w, w, DIM);
	fetch_columns(d, sh, r, base + sh->w_gate, f, src + AT_GATE * e, FFN, r * f, f, DIM);
	fetch_columns(d, sh, r, base + sh->w_up, f, src + AT_UP * e, FFN, r * f, f, DIM);
	snpu_prep_copy(demo_pkt(d, r), base + sh->w_o, src + (AT_O + (uint64_t)r * w * DIM) * e,
		       (uint64_t)w * DIM * e);
	snpu_prep_copy(demo_pkt(d, r), base + sh->w_down,
		       src + (AT_DOWN + (uint64_t)r * f * DIM) * e, (uint64_t)f * DIM * e);
}

static void multiply(struct demo *d, const struct shape *sh, unsigned int r, uint64_t c, uint64_t a,
		     uint64_t b, uint32_t n, uint32_t k)
{
	snpu_prep_matmul(demo_pkt(d, r), 0, sh->dtype, sh->dtype, c, a, b, 0, SEQ, n, k);
}

/* softmax(q k' / sqrt(HEAD)) v of head @h of the NPU's: q, k, v are columns of qkv */
static void attend(struct demo *d, const struct shape *sh, unsigned int r, uint64_t base,
		   unsigned int h)
{
	uint64_t q = base + sh->qkv + (uint64_t)h * HEAD * sh->esize, scores = base + sh->scores;
	uint64_t k = q + sh->width * sh->esize, v = k + sh->width * sh->esize;
	union snpu_pkt *p = demo_pkt(d, r);

	snpu_prep_matmul(p, SNPU_PF_TRANS_B, sh->dtype, sh->dtype, scores, q, k, 0, SEQ, SEQ, HEAD);
	p->matmul.lda = 3 * sh->width;
	p->matmul.ldb = 3 * sh->width;
	snpu_prep_softmax(demo_pkt(d, r), SNPU_PF_CAUSAL, sh->dtype, scores, scores, SEQ, SEQ, SEQ,
			  1 / sqrtf(HEAD), 0);
	p = demo_pkt(d, r);
	snpu_prep_matmul(p, 0, sh->dtype, sh->dtype,
			 base + sh->att + (uint64_t)h * HEAD * sh->esize, scores, v, 0, SEQ, HEAD,
			 SEQ);
	p->matmul.ldb = 3 * sh->width;
	p->matmul.ldc = sh->width;
}

static void attention(struct demo *d, const struct shape *sh, unsigned int r, uint64_t base)
{
	unsigned int h;

	snpu_prep_rmsnorm(demo_pkt(d, r), sh->dtype, base + sh->norm, base + sh->x, base + sh->g1,
			  SEQ, DIM, BLOCK_EPS);
	multiply(d, sh, r, base + sh->qkv, base + sh->norm, base + sh->w_qkv, 3 * sh->width, DIM);
	for (h = 0; h < HEADS / sh->n; h++)
		attend(d, sh, r, base, h);
	multiply(d, sh, r, base + sh->out, base + sh->att, base + sh->w_o, DIM, sh->width);
}

static void mlp(struct demo *d, const struct shape *sh, unsigned int r, uint64_t base)
{
	const uint64_t count = (uint64_t)SEQ * sh->ffn, gate = base + sh->gate, up = base + sh->up;

	snpu_prep_rmsnorm(demo_pkt(d, r), sh->dtype, base + sh->norm, base + sh->x, base + sh->g2,
			  SEQ, DIM, BLOCK_EPS);
	multiply(d, sh, r, gate, base + sh->norm, base + sh->w_gate, sh->ffn, DIM);
	multiply(d, sh, r, up, base + sh->norm, base + sh->w_up, sh->ffn, DIM);
	snpu_prep_act(demo_pkt(d, r), SNPU_ACT_SILU, sh->dtype, gate, gate, count);
	snpu_prep_eltwise(demo_pkt(d, r), SNPU_ELT_MUL, sh->dtype, gate, gate, up, count);
	multiply(d, sh, r, base + sh->out, gate, base + sh->w_down, DIM, sh->ffn);
}

/* Allocates the memory of a run, wires the ring of its NPUs and brings them their shards */
static int prepare(struct demo *d, struct block *b, const struct shape *sh, struct demo_ring *ring,
		   uint64_t *base)
{
	struct snpu_mem *mem[DEMO_MAX_NPUS], *right;
	uint64_t src, ns;
	unsigned int r;
	int ret = 0;

	for (r = 0; r < sh->n && !ret; r++) {
		ret = demo_alloc(d, r, sh->bytes, SNPU_MEM_HBM, &mem[r]);
		if (!ret)
			base[r] = snpu_mem_va(mem[r]);
	}
	ring->n = sh->n;
	for (r = 0; r < sh->n && !ret; r++) {
		ret = demo_share(d, r, mem[(r + 1) % sh->n], &right);
		if (ret)
			break;
		ring->buf[r] = base[r] + sh->out;
		ring->inbox[r] = base[r] + sh->inbox;
		ring->right_buf[r] = snpu_mem_va(right) + sh->out;
		ring->right_inbox[r] = snpu_mem_va(right) + sh->inbox;
		ret = demo_signal_va(d, r, (r + 1) % sh->n, &ring->right_signal[r]);
	}
	if (ret)
		return ret;
	demo_begin(d);
	for (r = 0; r < sh->n; r++) {
		demo_touch(d, r, base[r], (sh->bytes + 7) / 8 * 8);
		src = b->source_va[r];
		if (sh->dtype != SNPU_DT_F32)
			src += SOURCE_ELEMS * sizeof(float);
		fetch(d, sh, r, base[r], src);
	}
	return demo_run(d, &ns);
}

/* Result of NPU @r, element @i, as a number */
static float element(const void *y, unsigned int dtype, unsigned int i)
{
	uint32_t bits;
	float f;

	if (dtype == SNPU_DT_F32)
		return ((const float *)y)[i];
	bits = (uint32_t)((const uint16_t *)y)[i] << 16;
	memcpy(&f, &bits, sizeof(f));
	return f;
}

static int check(struct block *b, const struct shape *sh, struct demo_row *row)
{
	const double u = sh->dtype == SNPU_DT_F32 ? 0x1p-24 : 0x1p-8;
	const double bound = (13 + 2 * (sh->n - 1)) * u + 5 * sqrt(FFN) * 0x1p-24;
	double err, worst = 0, to_one = 0;
	unsigned int i, r, same = 1;
	void *y, *other;
	int ret;

	ret = demo_map(b->host[0], &y);
	if (ret)
		return ret;
	for (r = 1; r < sh->n; r++) {
		ret = demo_map(b->host[r], &other);
		if (ret)
			return ret;
		same += !memcmp(y, other, TOKENS * sh->esize);
	}
	/* fmax() would pass over a NaN */
	for (i = 0; i < b->rows * DIM; i++) {
		err = fabs(element(y, sh->dtype, block_row(i / DIM, b->rows) * DIM + i % DIM) -
			   b->want[i]);
		worst = err <= worst ? worst : err;
	}
	for (i = 0; i < TOKENS; i++) {
		if (sh->n == 1)
			b->one[i] = element(y, sh->dtype, i);
		err = fabs(element(y, sh->dtype, i) - b->one[i]);
		to_one = err <= to_one ? to_one : err;
	}
	row->ok = worst <= bound * b->largest && to_one <= 2 * bound * b->largest && same == sh->n;
	if (same < sh->n)
		snprintf(row->check, sizeof(row->check), "%u of %u NPUs differ from NPU 0",
			 sh->n - same, sh->n);
	else if (sh->n > 1)
		snprintf(row->check, sizeof(row->check), "abs %.1e rel %.1e of %.1e, to 1 NPU %.1e",
			 worst, worst / b->largest, bound, to_one / b->largest);
	else
		snprintf(row->check, sizeof(row->check), "abs %.1e rel %.1e of %.1e", worst,
			 worst / b->largest, bound);
	return 0;
}

static int run(struct demo *d, struct block *b, unsigned int n, unsigned int dtype)
{
	const double flops = 2.0 * SEQ * (4.0 * DIM * DIM + 3.0 * DIM * FFN) + 4.0 * SEQ * TOKENS;
	unsigned int r, mark = d->num_mems;
	uint64_t base[DEMO_MAX_NPUS];
	struct demo_ring ring;
	struct shape sh;
	char name[64];
	int ret;
	struct demo_row row = {
		.step = name,
		.npus = n,
		.unit = "Gflop/s",
	};

	shape_init(&sh, n, dtype);
	row.bytes = SOURCE_ELEMS * sh.esize;
	ret = prepare(d, b, &sh, &ring, base);
	if (ret)
		goto out;
	demo_begin(d);
	for (r = 0; r < n; r++)
		attention(d, &sh, r, base[r]);
	demo_ring_allreduce(d, &ring, dtype, TOKENS);
	for (r = 0; r < n; r++) {
		snpu_prep_eltwise(demo_pkt(d, r), SNPU_ELT_ADD, dtype, base[r] + sh.x,
				  base[r] + sh.x, base[r] + sh.out, TOKENS);
		mlp(d, &sh, r, base[r]);
	}
	demo_ring_allreduce(d, &ring, dtype, TOKENS);
	for (r = 0; r < n; r++) {
		snpu_prep_eltwise(demo_pkt(d, r), SNPU_ELT_ADD, dtype, base[r] + sh.x,
				  base[r] + sh.x, base[r] + sh.out, TOKENS);
		snpu_prep_copy(demo_pkt(d, r), snpu_mem_va(b->host[r]), base[r] + sh.x,
			       TOKENS * sh.esize);
	}
	ret = demo_run(d, &row.ns);
	if (ret)
		goto out;
	snprintf(name, sizeof(name), "%s, %s", dtype == SNPU_DT_F32 ? "fp32" : "bf16",
		 n > 1 ? "tensor-parallel" : "one NPU");
	row.rate = flops / (double)row.ns;
	ret = check(b, &sh, &row);
	if (!ret)
		demo_report_row(&row);
out:
	demo_release(d, mark);
	return ret;
}

/* Source to NPU 0 by DMA, there to bf16 too, and into sight of all NPUs of the split */
static int setup(struct demo *d, struct block *b)
{
	const uint64_t bytes = SOURCE_ELEMS * sizeof(float);
	struct snpu_mem *host, *mem;
	unsigned int r;
	uint64_t ns;
	void *ptr;
	int ret;

	ret = demo_alloc(d, 0, bytes, SNPU_MEM_HOST, &host);
	if (!ret)
		ret = demo_map(host, &ptr);
	if (!ret)
		ret = demo_alloc(d, 0, bytes + bytes / 2, SNPU_MEM_HBM, &b->source);
	for (r = 0; r < b->split && !ret; r++) {
		ret = demo_alloc(d, r, TOKENS * sizeof(float), SNPU_MEM_HOST, &b->host[r]);
		if (!ret)
			ret = demo_share(d, r, b->source, &mem);
		if (!ret)
			b->source_va[r] = snpu_mem_va(mem);
	}
	if (ret)
		return ret;
	b->src = ptr;
	block_source(b->src);
	demo_begin(d);
	snpu_prep_copy(demo_pkt(d, 0), b->source_va[0], snpu_mem_va(host), bytes);
	snpu_prep_convert(demo_pkt(d, 0), b->source_va[0] + bytes, SNPU_DT_BF16, b->source_va[0],
			  SNPU_DT_F32, SOURCE_ELEMS, 1.0f);
	return demo_run(d, &ns);
}

/**
 * demo_block - part 3
 * @d: state
 *
 * Return: 0 when it was run, whatever the checks said; or a negative errno, said on stderr
 */
int demo_block(struct demo *d)
{
	static const unsigned int dtypes[] = { SNPU_DT_F32, SNPU_DT_BF16 };
	unsigned int i, mark = d->num_mems;
	struct block b = { .split = 1 };
	char title[128];
	int ret;

	while (2 * b.split <= d->n && 2 * b.split <= HEADS)
		b.split *= 2;
	b.rows = d->opts.rows;
	if (!b.rows)
		b.rows = strcmp(snpu_transport(d->snpu), "kmd") ? SEQ : 8;
	snprintf(title, sizeof(title),
		 "3 transformer block, %d tokens, %d heads of %d, MLP %d (%u rows against fp64)",
		 SEQ, HEADS, HEAD, FFN, b.rows);
	demo_report_part(title);
	b.want = calloc((size_t)b.rows * DIM, sizeof(*b.want));
	b.one = calloc(TOKENS, sizeof(*b.one));
	if (!b.want || !b.one) {
		ret = -ENOMEM;
		fprintf(stderr, "snpu-demo: no memory for the reference\n");
		goto out;
	}
	ret = setup(d, &b);
	if (ret)
		goto out;
	ret = block_cpu(b.src, b.rows, b.want);
	if (ret) {
		fprintf(stderr, "snpu-demo: no memory for the reference\n");
		goto out;
	}
	for (i = 0; i < b.rows * DIM; i++)
		b.largest = fmax(b.largest, fabs(b.want[i]));
	for (i = 0; i < 2 && !ret; i++) {
		ret = run(d, &b, 1, dtypes[i]);
		if (!ret && b.split > 1)
			ret = run(d, &b, b.split, dtypes[i]);
	}
out:
	demo_release(d, mark);
	free(b.want);
	free(b.one);
	return ret;
}
