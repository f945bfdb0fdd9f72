// SPDX-License-Identifier: MIT
/*
 * The border: every field that is out of range, every reserved bit, every type that an op does not
 * take must be refused, and the good packet beside it must not.
 */
#include <string.h>

#include "fake.h"
#include "good.h"

_Static_assert(GOOD_BASE == FAKE_BASE, "good packets lie in the fake address space");

static void expect(const union snpu_pkt *p, unsigned int want, const char *what, unsigned int at)
{
	unsigned int got = snpu_pkt_check(p);

	CHECK(got == want, "op 0x%02x, %s %u: %u, expected %u", p->hdr.op, what, at, got, want);
}

static void test_good(void)
{
	unsigned int i;

	for (i = 0; i < NUM_GOOD; i++)
		expect(&good[i], SNPU_ERR_NONE, "good packet", i);
}

static void test_opcodes(void)
{
	unsigned int op, i, known;

	for (op = 0; op < 256; op++) {
		union snpu_pkt p = { .hdr.op = (uint8_t)op };

		for (known = 0, i = 0; i < NUM_GOOD; i++)
			known |= good[i].hdr.op == op;
		if (!known)
			expect(&p, SNPU_ERR_OPCODE, "opcode", op);
		else
			CHECK(snpu_pkt_check(&p) != SNPU_ERR_OPCODE, "opcode 0x%x is unknown", op);
	}
}

/* Bytes that the op documents as reserved: each of their bits */
static void test_reserved(void)
{
	static const struct { uint8_t op, from, to;
	} rsvd[] = {
		{ SNPU_OP_NOP, 1, 64 },		{ SNPU_OP_BARRIER, 1, 64 },
		{ SNPU_OP_TIMESTAMP, 2, 8 },	{ SNPU_OP_TIMESTAMP, 16, 64 },
		{ SNPU_OP_INTERRUPT, 1, 4 },	{ SNPU_OP_INTERRUPT, 8, 64 },
		{ SNPU_OP_INDIRECT, 1, 8 },	{ SNPU_OP_INDIRECT, 20, 64 },
		{ SNPU_OP_SEM_SIGNAL, 1, 4 },	{ SNPU_OP_SEM_SIGNAL, 24, 64 },
		{ SNPU_OP_SEM_WAIT, 1, 4 },	{ SNPU_OP_SEM_WAIT, 32, 64 },
		{ SNPU_OP_COPY, 2, 8 },		{ SNPU_OP_COPY, 32, 64 },
		{ SNPU_OP_COPY2D, 1, 8 },	{ SNPU_OP_COPY2D, 48, 64 },
		{ SNPU_OP_FILL, 1, 4 },		{ SNPU_OP_FILL, 28, 64 },
		{ SNPU_OP_MATMUL, 32, 40 },	{ SNPU_OP_CLOCK, 1, 8 },
		{ SNPU_OP_ELTWISE, 1, 2 },	{ SNPU_OP_ELTWISE, 3, 4 },
		{ SNPU_OP_ELTWISE, 40, 64 },	{ SNPU_OP_CONVERT, 1, 2 },
		{ SNPU_OP_CONVERT, 4, 8 },	{ SNPU_OP_CONVERT, 36, 64 },
		{ SNPU_OP_REDUCE_SUM, 4, 8 },	{ SNPU_OP_REDUCE_SUM, 24, 32 },
		{ SNPU_OP_REDUCE_SUM, 44, 64 }, { SNPU_OP_SOFTMAX, 3, 8 },
		{ SNPU_OP_SOFTMAX, 24, 32 },	{ SNPU_OP_SOFTMAX, 56, 64 },
		{ SNPU_OP_RMSNORM, 1, 2 },	{ SNPU_OP_RMSNORM, 3, 8 },
		{ SNPU_OP_RMSNORM, 52, 64 },	{ SNPU_OP_ARGMAX, 1, 2 },
		{ SNPU_OP_ARGMAX, 3, 8 },	{ SNPU_OP_ARGMAX, 24, 32 },
		{ SNPU_OP_ARGMAX, 44, 64 },	{ SNPU_OP_ACT, 1, 2 },
		{ SNPU_OP_ACT, 3, 4 },		{ SNPU_OP_ACT, 32, 64 },
		{ SNPU_OP_GATHER, 1, 2 },	{ SNPU_OP_GATHER, 3, 8 },
		{ SNPU_OP_GATHER, 52, 64 },	{ SNPU_OP_CRC32C, 1, 4 },
		{ SNPU_OP_CRC32C, 32, 64 },	{ SNPU_OP_CLOCK, 16, 64 },
		{ SNPU_OP_REDUCE_ADD, 3, 8 },	{ SNPU_OP_REDUCE_ADD, 32, 64 },
		{ SNPU_OP_ATOMIC, 1, 4 },	{ SNPU_OP_ATOMIC, 24, 32 },
		{ SNPU_OP_ATOMIC, 40, 64 },	{ SNPU_OP_ATTENTION, 3, 8 },
		{ SNPU_OP_ATTENTION, 56, 64 },	{ SNPU_OP_REDUCE_PULL, 1, 2 },
		{ SNPU_OP_REDUCE_PULL, 3, 4 },	{ SNPU_OP_REDUCE_PULL, 44, 64 },
		{ SNPU_OP_MULTICAST, 1, 8 },	{ SNPU_OP_MULTICAST, 44, 64 },
	};
	unsigned int r, i, bit;

	for (r = 0; r < sizeof(rsvd) / sizeof(rsvd[0]); r++)
		for (i = 0; i < NUM_GOOD; i++)
			for (bit = rsvd[r].from * 8u; bit < rsvd[r].to * 8u; bit++) {
				union snpu_pkt p = good[i];

				if (p.hdr.op != rsvd[r].op ||
				    ((p.hdr.op == SNPU_OP_SEM_SIGNAL ||
				      p.hdr.op == SNPU_OP_ATOMIC) && bit == 15 /* UNTIMED */))
					continue;
				((uint8_t *)&p)[bit / 8] ^= (uint8_t)(1u << bit % 8);
				expect(&p, SNPU_ERR_FIELD, "reserved bit", bit);
			}
}

/* Operand addresses that are unaligned, leave the address space, or wrap */
static void test_addresses(void)
{
	static const struct { uint8_t op, word, align;
	} addr[] = {
		{ SNPU_OP_REDUCE_PULL, 1, 2 }, { SNPU_OP_REDUCE_PULL, 2, 8 },
		{ SNPU_OP_MULTICAST, 1, 1 },  { SNPU_OP_MULTICAST, 2, 8 },
		{ SNPU_OP_TIMESTAMP, 1, 8 },  { SNPU_OP_INDIRECT, 1, 64 },
		{ SNPU_OP_SEM_SIGNAL, 1, 8 }, { SNPU_OP_SEM_WAIT, 1, 8 },
		{ SNPU_OP_COPY, 1, 1 },	      { SNPU_OP_COPY, 2, 1 },
		{ SNPU_OP_COPY2D, 1, 1 },     { SNPU_OP_COPY2D, 2, 1 },
		{ SNPU_OP_FILL, 1, 4 },	      { SNPU_OP_MATMUL, 1, 4 },
		{ SNPU_OP_MATMUL, 2, 4 },     { SNPU_OP_MATMUL, 3, 4 },
		{ SNPU_OP_ELTWISE, 1, 4 },    { SNPU_OP_ELTWISE, 2, 4 },
		{ SNPU_OP_ELTWISE, 3, 4 },    { SNPU_OP_CONVERT, 1, 4 },
		{ SNPU_OP_CONVERT, 2, 1 },    { SNPU_OP_REDUCE_SUM, 1, 4 },
		{ SNPU_OP_REDUCE_SUM, 2, 4 }, { SNPU_OP_SOFTMAX, 1, 4 },
		{ SNPU_OP_SOFTMAX, 2, 4 },    { SNPU_OP_RMSNORM, 1, 4 },
		{ SNPU_OP_RMSNORM, 2, 4 },    { SNPU_OP_RMSNORM, 3, 4 },
		{ SNPU_OP_ARGMAX, 1, 4 },     { SNPU_OP_ARGMAX, 2, 4 },
		{ SNPU_OP_ACT, 1, 4 },	      { SNPU_OP_ACT, 2, 4 },
		{ SNPU_OP_GATHER, 1, 4 },     { SNPU_OP_GATHER, 2, 4 },
		{ SNPU_OP_GATHER, 3, 4 },     { SNPU_OP_CRC32C, 1, 1 },
		{ SNPU_OP_CRC32C, 3, 4 },
	};
	unsigned int r, i;

	for (r = 0; r < sizeof(addr) / sizeof(addr[0]); r++)
		for (i = 0; i < NUM_GOOD; i++) {
			union snpu_pkt p = good[i];

			if (p.hdr.op != addr[r].op)
				continue;
			p.q[addr[r].word] = good[i].q[addr[r].word] + 1;
			expect(&p, addr[r].align > 1 ? SNPU_ERR_ALIGN : SNPU_ERR_NONE, "word + 1",
			       addr[r].word);
			p.q[addr[r].word] = 1ull << 48;
			expect(&p, SNPU_ERR_FIELD, "2^48 in word", addr[r].word);
			p.q[addr[r].word] = ~63ull;
			expect(&p, SNPU_ERR_FIELD, "2^64 - 64 in word", addr[r].word);
		}
}

static const union snpu_pkt *find(unsigned int op)
{
	unsigned int i;

	for (i = 0; good[i].hdr.op != op; i++)
		;
	return &good[i];
}

#define BAD(op_, field, value) do { \
	union snpu_pkt p_ = *find(op_); \
	p_.field = (value); \
	expect(&p_, SNPU_ERR_FIELD, #field, (unsigned int)(value)); \
} while (0)

static void test_ranges(void)
{
	unsigned int dt;

	BAD(SNPU_OP_COPY, copy.bytes, 0);
	BAD(SNPU_OP_COPY, copy.bytes, SNPU_MAX_BYTES + 1);
	BAD(SNPU_OP_COPY, copy.dst, A(0) + 99);
	BAD(SNPU_OP_COPY2D, copy2d.width, 65);
	BAD(SNPU_OP_COPY2D, copy2d.width, 0);
	BAD(SNPU_OP_COPY2D, copy2d.rows, 0);
	BAD(SNPU_OP_COPY2D, copy2d.rows, SNPU_MAX_DIM + 1);
	BAD(SNPU_OP_COPY2D, copy2d.src_pitch, ~0ull);
	BAD(SNPU_OP_COPY2D, copy2d.dst_pitch, 1ull << 47);
	BAD(SNPU_OP_FILL, hdr.arg, 3);
	BAD(SNPU_OP_FILL, hdr.arg, 0);
	BAD(SNPU_OP_FILL, fill.bytes, 0);
	BAD(SNPU_OP_FILL, fill.bytes, 62);
	BAD(SNPU_OP_FILL, fill.pattern, 1ull << 32);
	BAD(SNPU_OP_MATMUL, matmul.m, 0);
	BAD(SNPU_OP_MATMUL, matmul.n, SNPU_MAX_DIM + 1);
	BAD(SNPU_OP_MATMUL, matmul.k, 0);
	BAD(SNPU_OP_MATMUL, matmul.lda, 3);
	BAD(SNPU_OP_MATMUL, matmul.ldb, 3);
	BAD(SNPU_OP_MATMUL, matmul.ldc, SNPU_MAX_LD + 1);
	BAD(SNPU_OP_MATMUL, matmul.c, A(0) + 4);
	BAD(SNPU_OP_MATMUL, matmul.bias, A(4));
	BAD(SNPU_OP_MATMUL, hdr.flags, 0x10);
	BAD(SNPU_OP_ELTWISE, eltwise.count, 0);
	BAD(SNPU_OP_ELTWISE, eltwise.count, SNPU_MAX_ELEMS + 1);
	BAD(SNPU_OP_ELTWISE, hdr.arg, SNPU_ELT_SCALE);		/* b is set */
	BAD(SNPU_OP_ELTWISE, eltwise.dst, A(0) + 4);
	BAD(SNPU_OP_ELTWISE, eltwise.scalar, 1);
	BAD(SNPU_OP_CONVERT, hdr.dtype2, SNPU_DT_F32);
	BAD(SNPU_OP_CONVERT, convert.dst, A(0));
	BAD(SNPU_OP_REDUCE_SUM, hdr.dtype2, SNPU_DT_I32);
	BAD(SNPU_OP_REDUCE_SUM, rows.ld_dst, 4);
	BAD(SNPU_OP_SOFTMAX, rows.ld_dst, 3);
	BAD(SNPU_OP_SOFTMAX, hdr.flags, 0);			/* offset without the mask */
	BAD(SNPU_OP_RMSNORM, rows.param, 0xbf800000);
	BAD(SNPU_OP_RMSNORM, rows.param, 0x7f800000);
	BAD(SNPU_OP_RMSNORM, rows.param, 0x7fc00000);
	BAD(SNPU_OP_RMSNORM, rows.weight, A(1));
	BAD(SNPU_OP_ARGMAX, hdr.dtype, SNPU_DT_I8);
	BAD(SNPU_OP_ACT, hdr.arg, SNPU_ACT_GELU + 1);
	BAD(SNPU_OP_ACT, act.dst, A(0) + 4);
	BAD(SNPU_OP_GATHER, gather.table_rows, 0);
	BAD(SNPU_OP_GATHER, gather.count, 0);
	BAD(SNPU_OP_GATHER, gather.dst, A(0));
	BAD(SNPU_OP_CRC32C, crc32c.bytes, 0);
	BAD(SNPU_OP_CRC32C, crc32c.dst, A(0) + 8);
	BAD(SNPU_OP_SEM_WAIT, hdr.arg, 2);
	BAD(SNPU_OP_MATMUL, hdr.arg, SNPU_MAX_GROUPS + 1);
	BAD(SNPU_OP_ELTWISE, hdr.arg, SNPU_ELT_DIV + 1);
	BAD(SNPU_OP_ELTWISE, hdr.arg, SNPU_ELT_DIV);	/* of a float */
	BAD(SNPU_OP_COPY, copy.sem_addr, A(3));		/* without the flag */
	BAD(SNPU_OP_COPY, copy.sem_value, 1);
	BAD(SNPU_OP_COPY, hdr.arg, SNPU_SEM_ADD);
	BAD(SNPU_OP_REDUCE_ADD, hdr.dtype, SNPU_DT_F16);
	BAD(SNPU_OP_REDUCE_ADD, reduce.count, 0);
	BAD(SNPU_OP_REDUCE_ADD, reduce.dst, A(0) + 8);
	BAD(SNPU_OP_REDUCE_PULL, hdr.dtype, SNPU_DT_NONE);
	BAD(SNPU_OP_REDUCE_PULL, hdr.arg, SNPU_ELT_SCALE);
	BAD(SNPU_OP_REDUCE_PULL, hdr.arg, SNPU_ELT_DIV);
	BAD(SNPU_OP_REDUCE_PULL, multi.count, 0);
	BAD(SNPU_OP_REDUCE_PULL, multi.count, SNPU_MAX_ELEMS + 1);
	BAD(SNPU_OP_REDUCE_PULL, multi.num, 0);
	BAD(SNPU_OP_REDUCE_PULL, multi.num, SNPU_MAX_LIST + 1);
	BAD(SNPU_OP_REDUCE_PULL, multi.num, UINT32_MAX);
	BAD(SNPU_OP_REDUCE_PULL, multi.offset, (1ull << SNPU_VA_BITS));
	BAD(SNPU_OP_REDUCE_PULL, multi.list, (1ull << SNPU_VA_BITS) - 16);	/* three addresses */
	BAD(SNPU_OP_MULTICAST, multi.count, 0);
	BAD(SNPU_OP_MULTICAST, multi.count, SNPU_MAX_BYTES + 1);
	BAD(SNPU_OP_MULTICAST, multi.num, SNPU_MAX_LIST + 1);
	BAD(SNPU_OP_MULTICAST, multi.addr, (1ull << SNPU_VA_BITS) - 15);
	BAD(SNPU_OP_ATOMIC, hdr.arg, SNPU_ATOMIC_SWAP + 1);
	BAD(SNPU_OP_ATOMIC, atomic.compare, 1);
	BAD(SNPU_OP_ATOMIC, atomic.result, A(0));
	BAD(SNPU_OP_CLOCK, misc.addr, SNPU_MAX_CLOCK + 1);
	BAD(SNPU_OP_ATTENTION, attention.batch, 0);
	BAD(SNPU_OP_ATTENTION, attention.batch, SNPU_MAX_GROUPS + 1);
	BAD(SNPU_OP_ATTENTION, attention.rows, 0);
	BAD(SNPU_OP_ATTENTION, attention.rows, SNPU_MAX_ROWS + 1);
	BAD(SNPU_OP_ATTENTION, attention.len, 0);
	BAD(SNPU_OP_ATTENTION, attention.len, SNPU_MAX_DIM + 1);
	BAD(SNPU_OP_ATTENTION, attention.dk, 0);
	BAD(SNPU_OP_ATTENTION, attention.dk, SNPU_MAX_DK + 1);
	BAD(SNPU_OP_ATTENTION, attention.dv, 0);
	BAD(SNPU_OP_ATTENTION, attention.dv, 9);
	BAD(SNPU_OP_ATTENTION, attention.scale, 0x7f800000);
	BAD(SNPU_OP_ATTENTION, attention.out, A(1));
	BAD(SNPU_OP_INDIRECT, misc.count, 0);
	BAD(SNPU_OP_INDIRECT, misc.count, SNPU_MAX_IB_PKTS + 1);
	for (dt = SNPU_DT_MAX + 1; dt < 256; dt++) {
		BAD(SNPU_OP_MATMUL, hdr.dtype, (uint8_t)dt);
		BAD(SNPU_OP_CONVERT, hdr.dtype2, (uint8_t)dt);
		BAD(SNPU_OP_GATHER, hdr.dtype, (uint8_t)dt);
		BAD(SNPU_OP_SOFTMAX, hdr.dtype, (uint8_t)dt);
	}
	/* each dimension alone is fine, their product is not */
	{
		union snpu_pkt p = *find(SNPU_OP_MATMUL);

		p.matmul.m = p.matmul.n = p.matmul.k = 1 << 16;
		p.matmul.lda = p.matmul.ldb = p.matmul.ldc = 1 << 16;
		p.matmul.b = 1ull << 40;
		p.matmul.c = 2ull << 40;
		expect(&p, SNPU_ERR_FIELD, "product of 2^16", 3);
		p.matmul.k = 1 << 14;
		expect(&p, SNPU_ERR_NONE, "product of 2^16, 2^16, 2^14", 3);
	}
}

/* Every pair of types: exactly those that the header lists are taken */
static void test_types(void)
{
	enum { F32 = SNPU_DT_F32, BF16 = SNPU_DT_BF16, F16 = SNPU_DT_F16, I8 = SNPU_DT_I8,
	       I32 = SNPU_DT_I32 };
	static const struct { uint8_t op, n, pair[8][2]; } legal[] = {
		{ SNPU_OP_MATMUL, 6, { { F32, F32 }, { BF16, F32 }, { BF16, BF16 }, { F16, F32 },
				       { F16, F16 }, { I8, I32 } } },
		{ SNPU_OP_ELTWISE, 6, { { F32 }, { BF16 }, { F16 }, { I8 }, { I32 },
					{ SNPU_DT_I64 } } },
		{ SNPU_OP_REDUCE_SUM, 5, { { F32, F32 }, { BF16, F32 }, { F16, F32 }, { I8, I32 },
					   { I32, I32 } } },
		{ SNPU_OP_SOFTMAX, 3, { { F32 }, { BF16 }, { F16 } } },
		{ SNPU_OP_RMSNORM, 3, { { F32 }, { BF16 }, { F16 } } },
		{ SNPU_OP_ACT, 3, { { F32 }, { BF16 }, { F16 } } },
		{ SNPU_OP_GATHER, 5, { { F32 }, { BF16 }, { F16 }, { I8 }, { I32 } } },
		{ SNPU_OP_ARGMAX, 4, { { F32 }, { BF16 }, { F16 }, { I32 } } },
		{ SNPU_OP_COPY, 1, { { 0 } } }, { SNPU_OP_COPY2D, 1, { { 0 } } },
		{ SNPU_OP_FILL, 1, { { 0 } } }, { SNPU_OP_CRC32C, 1, { { 0 } } },
		{ SNPU_OP_NOP, 1, { { 0 } } }, { SNPU_OP_SEM_WAIT, 1, { { 0 } } },
		{ SNPU_OP_INDIRECT, 1, { { 0 } } },
	};
	unsigned int l, i, a, b;

	for (l = 0; l < sizeof(legal) / sizeof(legal[0]); l++)
		for (a = 0; a <= SNPU_DT_MAX + 1; a++)
			for (b = 0; b <= SNPU_DT_MAX + 1; b++) {
				union snpu_pkt p = *find(legal[l].op);
				bool ok = false;

				for (i = 0; i < legal[l].n; i++)
					ok |= legal[l].pair[i][0] == a && legal[l].pair[i][1] == b;
				p.hdr.dtype = (uint8_t)a;
				p.hdr.dtype2 = (uint8_t)b;
				expect(&p, ok ? SNPU_ERR_NONE : SNPU_ERR_FIELD, "types",
				       a * 10 + b);
			}
	for (a = 0; a <= SNPU_DT_MAX + 1; a++)
		for (b = 0; b <= SNPU_DT_MAX + 1; b++) {
			union snpu_pkt p = *find(SNPU_OP_CONVERT);
			bool known = a && b && a <= SNPU_DT_I32 && b <= SNPU_DT_I32;

			p.hdr.dtype = (uint8_t)a;
			p.hdr.dtype2 = (uint8_t)b;
			expect(&p, known && a != b ? SNPU_ERR_NONE : SNPU_ERR_FIELD, "convert",
			       a * 10 + b);
			p.convert.scale = 0x40000000;
			expect(&p, known && (a != b || a == F32) ? SNPU_ERR_NONE : SNPU_ERR_FIELD,
			       "convert with a factor", a * 10 + b);
		}
	for (a = 0; a < 2; a++) {
		union snpu_pkt p = *find(SNPU_OP_MATMUL);

		p.hdr.dtype = SNPU_DT_BF16;
		p.hdr.dtype2 = a ? SNPU_DT_BF16 : SNPU_DT_F32;
		p.hdr.flags = SNPU_PF_ACCUM;
		expect(&p, a ? SNPU_ERR_FIELD : SNPU_ERR_NONE, "accumulate into type",
		       p.hdr.dtype2);
		p = *find(SNPU_OP_ELTWISE);
		p.hdr.arg = SNPU_ELT_SCALE;
		p.eltwise.b = 0;
		p.hdr.dtype = a ? SNPU_DT_I32 : SNPU_DT_F32;
		expect(&p, a ? SNPU_ERR_FIELD : SNPU_ERR_NONE, "scale of type", p.hdr.dtype);
	}
}

#define VA_END (1ull << 48)

/* The last byte of the address space may be used, the one after it may not */
static void test_space_end(void)
{
	static const struct { uint8_t op, word; uint32_t bytes;
	} end[] = {
		{ SNPU_OP_TIMESTAMP, 1, 8 },   { SNPU_OP_INDIRECT, 1, 192 },
		{ SNPU_OP_SEM_SIGNAL, 1, 8 },  { SNPU_OP_COPY, 1, 100 },
		{ SNPU_OP_COPY, 2, 100 },      { SNPU_OP_COPY2D, 1, 256 },
		{ SNPU_OP_COPY2D, 2, 256 },    { SNPU_OP_FILL, 1, 64 },
		{ SNPU_OP_MATMUL, 1, 64 },     { SNPU_OP_MATMUL, 2, 64 },
		{ SNPU_OP_MATMUL, 3, 64 },     { SNPU_OP_ELTWISE, 1, 64 },
		{ SNPU_OP_ELTWISE, 2, 64 },    { SNPU_OP_ELTWISE, 3, 64 },
		{ SNPU_OP_CONVERT, 1, 64 },    { SNPU_OP_CONVERT, 2, 16 },
		{ SNPU_OP_REDUCE_SUM, 1, 64 }, { SNPU_OP_REDUCE_SUM, 2, 16 },
		{ SNPU_OP_SOFTMAX, 1, 64 },    { SNPU_OP_SOFTMAX, 2, 64 },
		{ SNPU_OP_RMSNORM, 3, 16 },    { SNPU_OP_ARGMAX, 2, 16 },
		{ SNPU_OP_ACT, 1, 64 },	       { SNPU_OP_ACT, 2, 64 },
		{ SNPU_OP_GATHER, 1, 64 },     { SNPU_OP_GATHER, 2, 8 },
		{ SNPU_OP_GATHER, 3, 32 },     { SNPU_OP_CRC32C, 1, 10 },
		{ SNPU_OP_CRC32C, 3, 4 },      { SNPU_OP_ATOMIC, 1, 8 },
		{ SNPU_OP_ATOMIC, 4, 8 },      { SNPU_OP_REDUCE_ADD, 1, 64 },
		{ SNPU_OP_REDUCE_ADD, 2, 64 }, { SNPU_OP_ATTENTION, 1, 64 },
		{ SNPU_OP_ATTENTION, 2, 64 },  { SNPU_OP_ATTENTION, 3, 32 },
		{ SNPU_OP_REDUCE_PULL, 1, 64 },
	};
	static const uint64_t far[] = { VA_END, VA_END + 64, 1ull << 63, ~63ull };
	unsigned int r, i;

	for (r = 0; r < sizeof(end) / sizeof(end[0]); r++) {
		union snpu_pkt p = *find(end[r].op);

		p.q[end[r].word] = VA_END - end[r].bytes;
		expect(&p, SNPU_ERR_NONE, "up to the end, word", end[r].word);
		p.q[end[r].word] = VA_END - end[r].bytes + 64;
		expect(&p, SNPU_ERR_FIELD, "beyond the end, word", end[r].word);
		for (i = 0; i < 4; i++) {
			p.q[end[r].word] = far[i];
			expect(&p, SNPU_ERR_FIELD, "far away, word", end[r].word);
		}
	}
	for (i = 0; i < 2; i++) {
		union snpu_pkt p = *find(SNPU_OP_COPY2D);

		/* 2^40 * (2^24 - 1) wraps nowhere, 2^63 * 3 does */
		p.copy2d.src_pitch = i ? 1ull << 63 : 1ull << 40;
		p.copy2d.rows = i ? 4 : SNPU_MAX_DIM;
		expect(&p, SNPU_ERR_FIELD, "pitch", i);
		p.copy2d.rows = 1;
		expect(&p, SNPU_ERR_NONE, "pitch of the only row", i);
	}
}

static void test_overlap(void)
{
	union snpu_pkt p = *find(SNPU_OP_COPY);
	unsigned int i;

	p.copy.dst = A(0) + 100;
	expect(&p, SNPU_ERR_NONE, "copy right behind", 0);
	p.copy.dst = A(0) + 99;
	expect(&p, SNPU_ERR_FIELD, "copy by one byte", 0);
	p.copy.src = A(0) + 198;
	expect(&p, SNPU_ERR_FIELD, "copy by one byte, other end", 0);
	p.copy.src = A(0) + 199;
	expect(&p, SNPU_ERR_NONE, "copy right before", 0);

	/* column blocks of one wide matrix */
	p = *find(SNPU_OP_COPY2D);
	p.copy2d.src_pitch = p.copy2d.dst_pitch = 256;
	for (i = 0; i < 512; i++) {
		p.copy2d.dst = A(0) + i;
		expect(&p, i % 256 >= 64 && i % 256 <= 192 ? SNPU_ERR_NONE : SNPU_ERR_FIELD,
		       "copy2d beside itself at", i);
		p.copy2d.dst = A(0) - i;
		expect(&p, i % 256 >= 64 && i % 256 <= 192 ? SNPU_ERR_NONE : SNPU_ERR_FIELD,
		       "copy2d beside itself before", i);
	}
	p.copy2d.dst = A(0) + 128;
	p.copy2d.dst_pitch = 512;
	expect(&p, SNPU_ERR_FIELD, "copy2d with other pitch inside the span", 512);

	p = *find(SNPU_OP_MATMUL);
	p.matmul.lda = p.matmul.ldb = p.matmul.ldc = 16;
	for (i = 0; i < 16; i++) {
		p.matmul.a = A(2) + i * 4;
		p.matmul.b = A(1);
		expect(&p, i >= 4 && i <= 12 ? SNPU_ERR_NONE : SNPU_ERR_FIELD, "A beside C at", i);
		p.matmul.b = A(2) + i * 4;
		p.matmul.a = A(1);
		expect(&p, i >= 4 && i <= 12 ? SNPU_ERR_NONE : SNPU_ERR_FIELD, "B beside C at", i);
		p.matmul.b = A(0);
		p.hdr.flags = SNPU_PF_BIAS;
		p.matmul.bias = A(2) + i * 4;
		expect(&p, i >= 4 && i <= 12 ? SNPU_ERR_NONE : SNPU_ERR_FIELD, "bias in a gap at",
		       i);
		p.hdr.flags = 0;
		p.matmul.bias = 0;
	}
	p.matmul.a = p.matmul.b = A(5);
	expect(&p, SNPU_ERR_NONE, "A is B", 0);

	/* in place, and by one element */
	p = *find(SNPU_OP_ELTWISE);
	p.eltwise.dst = A(1);
	expect(&p, SNPU_ERR_NONE, "eltwise in place", 0);
	p.eltwise.dst = A(1) + 60;
	expect(&p, SNPU_ERR_FIELD, "eltwise over the last element", 0);
	p.eltwise.dst = A(1) + 64;
	expect(&p, SNPU_ERR_NONE, "eltwise behind the last element", 0);
	p = *find(SNPU_OP_SOFTMAX);
	p.rows.dst = A(0);
	expect(&p, SNPU_ERR_NONE, "softmax in place", 0);
	p.rows.ld_dst = 5;
	expect(&p, SNPU_ERR_FIELD, "softmax in place with another ld", 0);
	p = *find(SNPU_OP_REDUCE_SUM);
	p.rows.dst = A(0);
	expect(&p, SNPU_ERR_FIELD, "sum over its source", 0);
	p = *find(SNPU_OP_GATHER);
	p.gather.dst = A(1) + 4;
	expect(&p, SNPU_ERR_FIELD, "gather over the index", 0);
}

static void test_heavy(void)
{
	union snpu_pkt p = *find(SNPU_OP_COPY);

	CHECK(!snpu_pkt_is_heavy(&p), "100 bytes are heavy");
	CHECK(!snpu_pkt_is_heavy(find(SNPU_OP_NOP)), "nop is heavy");
	p.copy.bytes = 1 << 20;
	CHECK(snpu_pkt_is_heavy(&p), "1 MiB is not heavy");
	p = *find(SNPU_OP_COPY2D);
	p.copy2d.width = p.copy2d.src_pitch = p.copy2d.dst_pitch = 1;
	p.copy2d.rows = 4096;
	CHECK(snpu_pkt_is_heavy(&p), "4,096 rows of a byte are not heavy");
}

int main(int argc, char **argv)
{
	static const struct fake_case cases[] = {
		{ "good", test_good },
		{ "opcodes", test_opcodes },
		{ "reserved", test_reserved },
		{ "addresses", test_addresses },
		{ "ranges", test_ranges },
		{ "types", test_types },
		{ "space_end", test_space_end },
		{ "overlap", test_overlap },
		{ "heavy", test_heavy },
	};

	return fake_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
}
