// SPDX-License-Identifier: MIT
/*
 * NaN, infinities, zeros and subnormals in every packet but MATMUL: operands and results as bits.
 * The caller's MXCSR, whatever it says, has no effect.
 */
#include <stdlib.h>
#include <string.h>
#include <pmmintrin.h>

#include "fake.h"
#include "good.h"
#include "range.h"

#define ELEMS	6u

static struct snpu_engine *eng;

#define F32	SNPU_DT_F32
#define BF16	SNPU_DT_BF16
#define F16	SNPU_DT_F16

/**
 * struct special - a packet on a few elements
 * @name: of the test
 * @hdr: op, flags, types, arg
 * @n: elements of @a
 * @param: SCALE, CONVERT: factor; SOFTMAX: scale; RMSNORM: eps; ATTENTION: scale
 * @a: first operand, row
 * @b: second operand, weight, keys
 * @want: result
 */
struct special {
	const char *name;
	struct snpu_pkt_hdr hdr;
	uint32_t n, param;
	uint32_t a[ELEMS], b[ELEMS], want[ELEMS];
};

#define ONE	0x3f800000u
#define TWO	0x40000000u
#define INF	0x7f800000u
#define NEG	0x80000000u
#define MAX	0x7f7fffffu
#define NAN0	0x7fc00000u

static const struct special specials[] = {
	{ "add", HDR(SNPU_OP_ELTWISE, 0, F32, 0, SNPU_ELT_ADD), 6, 0,
	  { INF, 0xffc12345, NEG, 0, 1, MAX }, { INF | NEG, ONE, NEG, NEG, 2, MAX },
	  { NAN0, NAN0, NEG, 0, 3, INF } },
	{ "mul", HDR(SNPU_OP_ELTWISE, 0, F32, 0, SNPU_ELT_MUL), 6, 0,
	  { INF, 0x7f800001, NEG, 0x0d800000, 0x00080000, ONE },
	  { NEG, ONE, ONE, 0x30800000, 0x7f000000, 0xffffffff },
	  { NAN0, NAN0, NEG, 0x00080000, 0x3e000000, NAN0 } },
	{ "scale", HDR(SNPU_OP_ELTWISE, 0, F32, 0, SNPU_ELT_SCALE), 5, 0x3f000000,
	  { NAN0 | NEG, INF | NEG, NEG, 0x00800000, 3 }, { 0 },
	  { NAN0, INF | NEG, NEG, 0x00400000, 2 } },
	{ "max", HDR(SNPU_OP_ELTWISE, 0, F32, 0, SNPU_ELT_MAX), 6, 0,
	  { 0, NEG, NEG, 0xffc00001, ONE, INF | NEG }, { NEG, 0, NEG, INF, 0x7fc00001, MAX | NEG },
	  { 0, 0, NEG, NAN0, NAN0, MAX | NEG } },
	{ "min", HDR(SNPU_OP_ELTWISE, 0, F32, 0, SNPU_ELT_MIN), 6, 0,
	  { 0, NEG, 0, 0xffc00001, ONE, INF }, { NEG, 0, 0, INF, 0x7fc00001, 1 },
	  { NEG, NEG, 0, NAN0, NAN0, 1 } },
	{ "add bf16", HDR(SNPU_OP_ELTWISE, 0, BF16, 0, SNPU_ELT_ADD), 6, 0,
	  { 0x7f80, 0xffc1, 0x8000, 0x0001, 0x7f7f, 0xff81 },
	  { 0xff80, 0x3f80, 0x8000, 0x0002, 0x7f7f, 0 },
	  { 0x7fc0, 0x7fc0, 0x8000, 0x0003, 0x7f80, 0x7fc0 } },
	{ "max bf16", HDR(SNPU_OP_ELTWISE, 0, BF16, 0, SNPU_ELT_MAX), 3, 0,
	  { 0x0000, 0xffff, 0x8001 }, { 0x8000, 0x3f80, 0x8002 }, { 0x0000, 0x7fc0, 0x8001 } },
	{ "mul f16", HDR(SNPU_OP_ELTWISE, 0, F16, 0, SNPU_ELT_MUL), 6, 0,
	  { 0x7c00, 0xfe01, 0x8000, 0x0010, 0x7bff, 0x7c01 },
	  { 0x0000, 0x3c00, 0x3c00, 0x3800, 0x4000, 0x3c00 },
	  { 0x7e00, 0x7e00, 0x8000, 0x0008, 0x7c00, 0x7e00 } },
	{ "to bf16", HDR(SNPU_OP_CONVERT, 0, F32, BF16, 0), 6, 0,
	  { MAX, 0xffc12345, 0x00018000, 0x00008000, 0x80000001, 0x7f800001 }, { 0 },
	  { 0x7f80, 0x7fc0, 0x0002, 0x0000, 0x8000, 0x7fc0 } },
	{ "to f16", HDR(SNPU_OP_CONVERT, 0, F32, F16, 0), 6, 0,
	  { 0x477ff000, 0xffc12345, 0x33800000, 0x33000000, 0x80000001, 0x477fefff }, { 0 },
	  { 0x7c00, 0x7e00, 0x0001, 0x0000, 0x8000, 0x7bff } },
	{ "from bf16", HDR(SNPU_OP_CONVERT, 0, BF16, F32, 0), 4, 0,
	  { 0xffff, 0x0001, 0x8000, 0xff80 }, { 0 }, { NAN0, 0x00010000, NEG, INF | NEG } },
	{ "from f16", HDR(SNPU_OP_CONVERT, 0, F16, F32, 0), 4, 0,
	  { 0x7d00, 0x0001, 0x8000, 0xfc00 }, { 0 }, { NAN0, 0x33800000, NEG, INF | NEG } },
	{ "to i32", HDR(SNPU_OP_CONVERT, 0, F32, SNPU_DT_I32, 0), 6, 0,
	  { NAN0, INF, INF | NEG, NEG, 1, 0x4f000000 }, { 0 },
	  { 0, 0x7fffffff, 0x80000000, 0, 0, 0x7fffffff } },
	{ "factor", HDR(SNPU_OP_CONVERT, 0, F32, F32, 0), 4, 0x3f000000,
	  { 0xffc00001, 0x00800000, INF | NEG, NEG }, { 0 }, { NAN0, 0x00400000, INF | NEG, NEG } },
	{ "sum of infinities", HDR(SNPU_OP_REDUCE_SUM, 0, F32, F32, 0), 3, 0,
	  { INF, ONE, INF | NEG }, { 0 }, { NAN0 } },
	{ "sum with NaN", HDR(SNPU_OP_REDUCE_SUM, 0, F32, F32, 0), 3, 0,
	  { INF, 0xffffffff, 0 }, { 0 }, { NAN0 } },
	{ "sum of -0", HDR(SNPU_OP_REDUCE_SUM, 0, F32, F32, 0), 2, 0, { NEG, NEG }, { 0 }, { 0 } },
	{ "sum of subnormals", HDR(SNPU_OP_REDUCE_SUM, 0, F32, F32, 0), 3, 0,
	  { 1, 2, NEG | 1 }, { 0 }, { 2 } },
	{ "sum that comes back", HDR(SNPU_OP_REDUCE_SUM, 0, F32, F32, 0), 3, 0,
	  { MAX, MAX, MAX | NEG }, { 0 }, { MAX } },
	{ "sum of columns", HDR(SNPU_OP_REDUCE_SUM, SNPU_PF_COLUMNS, F32, F32, 0), 4, 0,
	  { INF | NEG, 0xffc00007, NEG, 1 }, { 0 }, { INF | NEG, NAN0, 0, 1 } },
	{ "softmax of -Inf", HDR(SNPU_OP_SOFTMAX, 0, F32, 0, 0), 2, 0,
	  { INF | NEG, INF | NEG }, { 0 }, { NAN0, NAN0 } },
	{ "softmax with -Inf", HDR(SNPU_OP_SOFTMAX, 0, F32, 0, 0), 3, 0,
	  { INF | NEG, ONE, ONE }, { 0 }, { 0, 0x3f000000, 0x3f000000 } },
	{ "softmax with Inf", HDR(SNPU_OP_SOFTMAX, 0, F32, 0, 0), 2, 0, { INF, ONE }, { 0 },
	  { NAN0, NAN0 } },
	{ "softmax with NaN", HDR(SNPU_OP_SOFTMAX, 0, F32, 0, 0), 3, 0,
	  { 0xffffffff, ONE, 0 }, { 0 },
	  { NAN0, NAN0, NAN0 } },
	{ "softmax by 0", HDR(SNPU_OP_SOFTMAX, 0, F32, 0, 0), 2, NEG, { INF, ONE }, { 0 },
	  { NAN0, NAN0 } },
	{ "softmax behind the mask", HDR(SNPU_OP_SOFTMAX, SNPU_PF_CAUSAL, F32, 0, 0), 3, 0,
	  { ONE, NAN0, INF }, { 0 }, { ONE, 0, 0 } },
	{ "softmax bf16", HDR(SNPU_OP_SOFTMAX, 0, BF16, 0, 0), 2, 0, { 0xff80, 0xff80 }, { 0 },
	  { 0x7fc0, 0x7fc0 } },
	{ "rmsnorm with NaN", HDR(SNPU_OP_RMSNORM, 0, F32, 0, 0), 2, 0, { 0xffc00001, ONE },
	  { ONE, ONE }, { NAN0, NAN0 } },
	{ "rmsnorm with Inf", HDR(SNPU_OP_RMSNORM, 0, F32, 0, 0), 3, 0, { INF, ONE, 0xbf800000 },
	  { ONE, ONE, ONE }, { NAN0, 0, NEG } },
	{ "rmsnorm of zeros", HDR(SNPU_OP_RMSNORM, 0, F32, 0, 0), 2, 0, { 0, NEG }, { ONE, ONE },
	  { NAN0, NAN0 } },
	{ "rmsnorm of zeros with eps", HDR(SNPU_OP_RMSNORM, 0, F32, 0, 0), 2, ONE, { 0, NEG },
	  { ONE, ONE }, { 0, NEG } },
	{ "rmsnorm with a weight", HDR(SNPU_OP_RMSNORM, 0, F32, 0, 0), 2, 0, { ONE, ONE },
	  { 0xffc00001, ONE }, { NAN0, ONE } },
	{ "silu", HDR(SNPU_OP_ACT, 0, F32, 0, SNPU_ACT_SILU), 5, 0,
	  { 0xffc00001, INF, INF | NEG, NEG, 0xc2c80000 }, { 0 }, { NAN0, INF, 0, NEG, 0 } },
	{ "gelu", HDR(SNPU_OP_ACT, 0, F32, 0, SNPU_ACT_GELU), 5, 0,
	  { 0xffc00001, INF, INF | NEG, NEG, 0xc1700000 }, { 0 }, { NAN0, INF, 0, NEG, 0 } },
	{ "argmax", HDR(SNPU_OP_ARGMAX, 0, F32, 0, 0), 4, 0, { NAN0, NEG, 0, INF | NEG }, { 0 },
	  { 1 } },
	{ "argmax of NaN", HDR(SNPU_OP_ARGMAX, 0, F32, 0, 0), 2, 0, { NAN0, 0xffffffff }, { 0 },
	  { 0 } },
	{ "reduce add", HDR(SNPU_OP_REDUCE_ADD, 0, F32, 0, 0), 5, 0,
	  { INF, 0xffc00001, NEG, 1, MAX }, { INF | NEG, ONE, NEG, 1, MAX },
	  { NAN0, NAN0, NEG, 2, INF } },
	{ "reduce add bf16", HDR(SNPU_OP_REDUCE_ADD, 0, BF16, 0, 0), 3, 0,
	  { 0x7f80, 0xffc1, 0x0001 }, { 0xff80, 0x3f80, 0x0001 }, { 0x7fc0, 0x7fc0, 0x0002 } },
	{ "pull add", HDR(SNPU_OP_REDUCE_PULL, 0, F32, 0, SNPU_ELT_ADD), 5, 0,
	  { INF, 0xffc00001, NEG, 1, MAX }, { INF | NEG, ONE, NEG, 1, MAX },
	  { NAN0, NAN0, NEG, 2, INF } },
	{ "pull max f16", HDR(SNPU_OP_REDUCE_PULL, 0, F16, 0, SNPU_ELT_MAX), 4, 0,
	  { 0x0000, 0x8000, 0xfe01, 0x0001 }, { 0x8000, 0x0000, 0x7c00, 0x0002 },
	  { 0x0000, 0x0000, 0x7e00, 0x0002 } },
	{ "pull min", HDR(SNPU_OP_REDUCE_PULL, 0, F32, 0, SNPU_ELT_MIN), 3, 0,
	  { 0, ONE, 1 }, { NEG, 0x7f800001, 0 }, { NEG, NAN0, 0 } },
	/* two keys, the first of which has weight 0 */
	{ "attention", HDR(SNPU_OP_ATTENTION, 0, F32, 0, 0), 2, ONE, { ONE, 0 },
	  { 0xff7fffff, 0x40a00000, ONE, TWO }, { ONE, TWO } },
	{ "attention with Inf", HDR(SNPU_OP_ATTENTION, 0, F32, 0, 0), 2, ONE, { ONE, ONE },
	  { INF | NEG, 0x40a00000, ONE, TWO }, { NAN0, TWO } },
	{ "attention with NaN", HDR(SNPU_OP_ATTENTION, 0, F32, 0, 0), 2, ONE, { ONE, ONE },
	  { 0xffc00001, 0x40a00000, ONE, TWO }, { NAN0, NAN0 } },
	/* what moves data keeps bits */
	{ "gather", HDR(SNPU_OP_GATHER, 0, F32, 0, 0), 5, 0,
	  { 0x7f800001, 0xffc00001, NEG, 1, INF }, { 0 }, { 0x7f800001, 0xffc00001, NEG, 1, INF } },
	{ "copy", HDR(SNPU_OP_COPY, 0, 0, 0, 0), 5, 0,
	  { 0x7f800001, 0xffc00001, NEG, 1, INF }, { 0 }, { 0x7f800001, 0xffc00001, NEG, 1, INF } },
};

static unsigned int size_in(const struct special *s)
{
	return s->hdr.dtype ? snpu_dt_size(s->hdr.dtype) : 4;
}

static unsigned int size_out(const struct special *s)
{
	return s->hdr.op == SNPU_OP_ARGMAX ? 4 :
	       s->hdr.dtype2 ? snpu_dt_size(s->hdr.dtype2) : size_in(s);
}

static uint32_t results(const struct special *s)
{
	bool rows = s->hdr.op == SNPU_OP_ARGMAX ||
		    (s->hdr.op == SNPU_OP_REDUCE_SUM && !s->hdr.flags);

	return rows ? 1 : s->n;
}

/* a at A(0), b at A(1), result at A(2), addresses at A(3) */
static union snpu_pkt packet(const struct special *s)
{
	union snpu_pkt p = { .hdr = s->hdr };
	bool two = s->hdr.arg != SNPU_ELT_SCALE;

	switch (s->hdr.op) {
	case SNPU_OP_ELTWISE:
		p.eltwise = (struct snpu_pkt_eltwise){ .hdr = s->hdr, .a = A(0),
						       .b = two ? A(1) : 0,
						       .dst = A(2), .count = s->n,
						       .scalar = s->param };
		break;
	case SNPU_OP_CONVERT:
		p.convert = (struct snpu_pkt_convert){ .hdr = s->hdr, .src = A(0), .dst = A(2),
						       .count = s->n, .scale = s->param };
		break;
	case SNPU_OP_ACT:
		p.act = (struct snpu_pkt_act){ .hdr = s->hdr, .src = A(0), .dst = A(2),
					       .count = s->n };
		break;
	case SNPU_OP_REDUCE_ADD:
		p.reduce = (struct snpu_pkt_reduce){ .hdr = s->hdr, .src = A(0), .dst = A(2),
						     .count = s->n };
		break;
	case SNPU_OP_REDUCE_PULL:
		p.multi = (struct snpu_pkt_multi){ .hdr = s->hdr, .addr = A(2), .list = A(3),
						   .count = s->n, .num = 2 };
		break;
	case SNPU_OP_ATTENTION:
		p.attention = (struct snpu_pkt_attention){ .hdr = s->hdr, .q = A(0), .kv = A(1),
							   .out = A(2), .batch = 1, .rows = 1,
							   .len = 2, .dk = s->n, .dv = s->n,
							   .scale = s->param };
		break;
	case SNPU_OP_GATHER:
		p.gather = (struct snpu_pkt_gather){ .hdr = s->hdr, .table = A(0), .index = A(4),
						     .dst = A(2), .count = 1, .cols = s->n,
						     .table_rows = 1, .ld_table = s->n,
						     .ld_dst = s->n };
		break;
	case SNPU_OP_COPY:
		p.copy = (struct snpu_pkt_copy){ .hdr = s->hdr, .src = A(0), .dst = A(2),
						 .bytes = s->n * 4ull };
		break;
	default:
		p.rows = (struct snpu_pkt_rows){ .hdr = s->hdr, .src = A(0), .dst = A(2), .rows = 1,
						 .cols = s->n, .ld_src = s->n, .param = s->param };
		if (s->hdr.op == SNPU_OP_SOFTMAX || s->hdr.op == SNPU_OP_RMSNORM)
			p.rows.ld_dst = s->n;
		if (s->hdr.op == SNPU_OP_RMSNORM)
			p.rows.weight = A(1);
	}
	return p;
}

static void write_bits(struct fake *f, uint64_t va, const uint32_t *bits, unsigned int size)
{
	unsigned int i;

	for (i = 0; i < ELEMS; i++)
		fake_write(f, va + i * size, &bits[i], size);
}

static void check_special(struct fake *f, const struct special *s, unsigned int mxcsr)
{
	static const uint64_t list[] = { A(0), A(1) };
	static const uint32_t index;
	unsigned int size = size_out(s), keep = _mm_getcsr(), i;
	union snpu_pkt p = packet(s);
	struct snpu_fault fault;
	int err;

	write_bits(f, A(0), s->a, size_in(s));
	write_bits(f, A(1), s->b, size_in(s));
	/* REDUCE_ADD adds to it */
	write_bits(f, A(2), s->b, size);
	fake_write(f, A(3), list, sizeof(list));
	fake_write(f, A(4), &index, sizeof(index));
	_mm_setcsr(mxcsr);
	err = fake_exec(f, eng, &p, &fault);
	CHECK((_mm_getcsr() & ~_MM_EXCEPT_MASK) == mxcsr, "%s: MXCSR has changed", s->name);
	_mm_setcsr(keep);
	CHECK(!err, "%s: error %d", s->name, err);
	for (i = 0; i < results(s); i++) {
		uint32_t got = 0;

		fake_read(f, A(2) + i * size, &got, size);
		CHECK(got == s->want[i], "%s, MXCSR %x: element %u is %08x, not %08x", s->name,
		      mxcsr, i, got, s->want[i]);
	}
}

static void test_specials(void)
{
	static const unsigned int mxcsr[] = {
		_MM_MASK_MASK,
		_MM_MASK_MASK | _MM_FLUSH_ZERO_ON | _MM_DENORMALS_ZERO_ON,
		_MM_MASK_MASK | _MM_ROUND_UP,
	};
	unsigned int s, m;
	struct fake f;

	fake_init(&f, false, 1);
	for (s = 0; s < sizeof(specials) / sizeof(specials[0]); s++)
		for (m = 0; m < 3; m++)
			check_special(&f, &specials[s], mxcsr[m]);
	fake_free(&f);
}

int main(int argc, char **argv)
{
	static const struct fake_case cases[] = {
		{ "specials", test_specials },
	};
	int ret;

	eng = snpu_engine_create();
	ret = fake_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
	snpu_engine_destroy(eng);
	return ret;
}
