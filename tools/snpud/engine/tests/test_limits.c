// SPDX-License-Identifier: MIT
/*
 * Where the engine changes its ways: blocks, panels, long rows and copies around the cache must all
 * give the same bits. And what goes wrong: faults of every operand of every op at the exact
 * address, aborts at every checkpoint.
 */
#include <stdlib.h>
#include <string.h>
#include <dnnl.h>

#include "fake.h"
#include "good.h"
#include "range.h"

static struct snpu_engine *eng;
static uint64_t seed = 7;

/* ---- limits ---- */

static void fill_random(struct fake *f, uint64_t va, uint64_t bytes, unsigned int dt)
{
	uint64_t n = bytes / snpu_dt_size(dt), i, s = va ^ bytes;
	uint8_t *buf = malloc(bytes);
	float v;

	for (i = 0; i < n; i++) {
		v = (float)fake_uniform(&s);
		if (dt == SNPU_DT_F32)
			memcpy(buf + i * 4, &v, 4);
		else if (dt == SNPU_DT_BF16)
			memcpy(buf + i * 2, (uint8_t *)&v + 2, 2);
		else if (dt == SNPU_DT_F16)
			*(uint16_t *)(buf + i * 2) = (uint16_t)(0x2000 + (fake_rand(&s) & 0x9fff));
		else
			buf[i] = (uint8_t)fake_rand(&s);
	}
	fake_write(f, va, buf, bytes);
	free(buf);
}

static uint8_t *run(struct fake *f, const union snpu_pkt *p, uint64_t va, uint64_t bytes)
{
	uint8_t *out = malloc(bytes);
	struct snpu_fault fault;
	int err = fake_exec(f, eng, p, &fault);

	CHECK(!err, "op 0x%x: error %d at 0x%llx", p->hdr.op, err, (unsigned long long)fault.va);
	fake_read(f, va, out, bytes);
	return out;
}

static union snpu_pkt matmul(unsigned int dt, unsigned int dc, unsigned int flags, uint32_t m,
			     uint32_t n, uint32_t k, uint32_t gap)
{
	return (union snpu_pkt){ .matmul = {
		.hdr = { SNPU_OP_MATMUL, (uint8_t)flags, (uint8_t)dt, (uint8_t)dc, 0 },
		.a = A(0) + 64, .b = A(8) + 8, .c = A(16) + 4,
		.bias = flags & SNPU_PF_BIAS ? A(24) : 0, .m = m, .n = n, .k = k,
		.lda = (flags & SNPU_PF_TRANS_A ? m : k) + gap,
		.ldb = (flags & SNPU_PF_TRANS_B ? k : n) + gap, .ldc = n + gap } };
}

static const struct { uint8_t dt, dc; } mm_type[] = {
	{ SNPU_DT_F32, SNPU_DT_F32 }, { SNPU_DT_BF16, SNPU_DT_F32 }, { SNPU_DT_BF16, SNPU_DT_BF16 },
	{ SNPU_DT_F16, SNPU_DT_F16 }, { SNPU_DT_I8, SNPU_DT_I32 },
};

/*
 * Results of one block and of many. The same bits with AVX-512. oneDNN's older kernels sum in
 * another order at the edge of a block; since a packet is always cut alike, its result is still
 * always the same.
 */
static bool same_sums(const void *a, const void *b, uint64_t bytes, unsigned int dt)
{
	unsigned int isa = dnnl_get_effective_cpu_isa();
	const float *x = a, *y = b;
	uint64_t i;

	if ((isa & dnnl_cpu_isa_avx512_core) == dnnl_cpu_isa_avx512_core || dt == SNPU_DT_I32)
		return !memcmp(a, b, bytes);
	for (i = 0; dt == SNPU_DT_F32 && i < bytes / 4; i++)
		if (memcmp(x + i, y + i, 4) && !(x[i] - y[i] < 1e-3f && y[i] - x[i] < 1e-3f))
			return false;
	return true;
}

/*
 * The same packet on memory in one piece, on scattered memory, and on memory at another alignment,
 * in one block and in many.
 */
static void test_matmul_blocks(void)
{
	static const uint32_t shape[][4] = { { 257, 200, 300, 0 }, { 193, 130, 1030, 17 },
					     { 64, 700, 90, 1 },   { 129, 1, 500, 3 },
					     { 1, 300, 800, 9 },   { 300, 300, 1, 2 } };
	struct snpu_tune keep = snpu_tune;
	unsigned int t, s, flags, i;
	struct fake f[2];

	fake_init(&f[0], false, 1);
	fake_init(&f[1], true, 2);
	for (t = 0; t < 5; t++) {
		for (i = 0; i < 2; i++) {
			fill_random(&f[i], A(0), 2 << 20, mm_type[t].dt);
			fill_random(&f[i], A(8), 2 << 20, mm_type[t].dt);
			fill_random(&f[i], A(24), 8192, SNPU_DT_F32);
		}
		for (s = 0; s < 6; s++)
			for (flags = 0; flags < 8; flags++) {
				union snpu_pkt p = matmul(mm_type[t].dt, mm_type[t].dc, flags,
							  shape[s][0], shape[s][1], shape[s][2],
							  shape[s][3]);
				uint64_t bytes = (uint64_t)p.matmul.m * p.matmul.ldc * 4;
				uint8_t *r[4];

				for (i = 0; i < 2; i++)
					fill_random(&f[i], A(16), bytes + 64, SNPU_DT_I8);
				r[0] = run(&f[0], &p, p.matmul.c, bytes);
				r[1] = run(&f[1], &p, p.matmul.c, bytes);
				snpu_tune.block_flops = 64ull * 2 * p.matmul.n * p.matmul.k;
				snpu_tune.panel_bytes = 64ull * p.matmul.k *
							snpu_dt_size(mm_type[t].dt);
				r[2] = run(&f[0], &p, p.matmul.c, bytes);
				CHECK(s != 1 || f[0].checkpoints >= 3, "%u checkpoints",
				      f[0].checkpoints);
				r[3] = run(&f[1], &p, p.matmul.c, bytes);
				snpu_tune = keep;
				CHECK(!memcmp(r[0], r[1], bytes) && !memcmp(r[2], r[3], bytes),
				      "type %u shape %u flags %x: layout gives other bits", t, s,
				      flags);
				CHECK(same_sums(r[0], r[2], bytes, mm_type[t].dc),
				      "type %u shape %u flags %x: blocks give another result", t, s,
				      flags);
				for (i = 0; i < 4; i++)
					free(r[i]);
			}
	}
	fake_free(&f[0]);
	fake_free(&f[1]);
}

/* Sums beyond 2^24, and beyond 2^31, where they wrap: with and without dot-product instructions */
static void test_matmul_i8_exact(void)
{
	static const uint32_t shape[][3] = { { 5, 9, 4099 },  { 70, 66, 1500 }, { 2, 3, 150001 },
					     { 33, 17, 512 }, { 20, 17, 513 },	{ 9, 40, 1025 } };
	struct snpu_tune keep = snpu_tune;
	unsigned int s, flags, w;
	struct fake f;

	fake_init(&f, false, 1);
	for (s = 0; s < 6; s++)
		for (flags = 0; flags < 16; flags++) {
			uint32_t m = shape[s][0], n = shape[s][1], k = shape[s][2], i, j, l;
			bool ta = flags & SNPU_PF_TRANS_A, tb = flags & SNPU_PF_TRANS_B;
			union snpu_pkt p = matmul(SNPU_DT_I8, SNPU_DT_I32, flags, m, n, k, 0);
			int8_t *a = malloc((uint64_t)m * k), *b = malloc((uint64_t)n * k);
			uint32_t c0[70 * 66], want[70 * 66], bias[66], *r;

			/* near the extremes: the sums grow */
			for (i = 0; i < m * k; i++)
				a[i] = (int8_t)((flags & 8 ? 125 : -128) +
						(int)(fake_rand(&seed) % 3));
			for (i = 0; i < n * k; i++)
				b[i] = (int8_t)(-128 +
						(int)(fake_rand(&seed) % (s == 1 ? 256 : 3)));
			for (i = 0; i < m * n; i++)
				c0[i] = (uint32_t)fake_rand(&seed);
			for (i = 0; i < n; i++)
				bias[i] = (uint32_t)fake_rand(&seed);
			fake_write(&f, p.matmul.a, a, (uint64_t)m * k);
			fake_write(&f, p.matmul.b, b, (uint64_t)n * k);
			fake_write(&f, A(24), bias, n * 4);
			for (i = 0; i < m; i++)
				for (j = 0; j < n; j++) {
					uint32_t u = flags & SNPU_PF_BIAS ? bias[j] : 0;

					u += flags & SNPU_PF_ACCUM ? c0[i * n + j] : 0;
					for (l = 0; l < k; l++)
						u += (uint32_t)(a[ta ? l * m + i : i * k + l] *
								b[tb ? j * k + l : l * n + j]);
					want[i * n + j] = u;
				}
			for (w = 0; w < 2; w++) {
				snpu_tune.no_kernel = w ? 1u << SNPU_DT_I8 : 0;
				fake_write(&f, p.matmul.c, c0, m * n * 4);
				r = (uint32_t *)run(&f, &p, p.matmul.c, m * n * 4);
				for (i = 0; i < m * n; i++)
					CHECK(r[i] == want[i],
					      "%ux%ux%u flags %x way %u: %u, not %u", m, n, k,
					      flags, w, r[i], want[i]);
				free(r);
			}
			free(a);
			free(b);
		}
	snpu_tune = keep;
	fake_free(&f);
}

/* A CPU without BF16 kernels: F32 sums in another order, so near and not equal */
static void test_matmul_no_kernel(void)
{
	struct snpu_tune keep = snpu_tune;
	union snpu_pkt p = matmul(SNPU_DT_BF16, SNPU_DT_F32, SNPU_PF_BIAS | SNPU_PF_ACCUM, 70, 90,
				  200, 3);
	uint64_t bytes = (uint64_t)p.matmul.m * p.matmul.ldc * 4;
	float *r[2];
	unsigned int w, i, j;
	struct fake f;

	fake_init(&f, true, 1);
	for (w = 0; w < 2; w++) {
		fill_random(&f, A(0), 1 << 20, SNPU_DT_BF16);
		fill_random(&f, A(8), 1 << 20, SNPU_DT_BF16);
		fill_random(&f, A(16), 1 << 20, SNPU_DT_F32);
		fill_random(&f, A(24), 4096, SNPU_DT_F32);
		snpu_tune.no_kernel = w << SNPU_DT_BF16;
		r[w] = (float *)run(&f, &p, p.matmul.c, bytes);
	}
	snpu_tune = keep;
	for (i = 0; i < p.matmul.m; i++)
		for (j = 0; j < p.matmul.n; j++) {
			float x = r[0][i * p.matmul.ldc + j], y = r[1][i * p.matmul.ldc + j];

			CHECK(x - y < 1e-4f && y - x < 1e-4f, "[%u, %u]: %g, %g", i, j, x, y);
		}
	free(r[0]);
	free(r[1]);
	fake_free(&f);
}

/* Rows in one go and in pieces, copies through the cache and around it */
static void test_pieces(void)
{
	enum { ROWS = 3, COLS = 700001 };
	static const struct snpu_pkt_hdr hdr[] = {
		HDR(SNPU_OP_REDUCE_SUM, 0, SNPU_DT_F32, SNPU_DT_F32, 0),
		HDR(SNPU_OP_REDUCE_SUM, SNPU_PF_COLUMNS, SNPU_DT_F32, SNPU_DT_F32, 0),
		HDR(SNPU_OP_REDUCE_SUM, SNPU_PF_COLUMNS, SNPU_DT_I32, SNPU_DT_I32, 0),
		HDR(SNPU_OP_REDUCE_SUM, 0, SNPU_DT_I32, SNPU_DT_I32, 0),
		HDR(SNPU_OP_SOFTMAX, SNPU_PF_CAUSAL, SNPU_DT_F32, 0, 0),
		HDR(SNPU_OP_RMSNORM, 0, SNPU_DT_F32, 0, 0),
		HDR(SNPU_OP_ARGMAX, 0, SNPU_DT_F32, 0, 0),
		HDR(SNPU_OP_ARGMAX, 0, SNPU_DT_I32, 0, 0),
	};
	struct snpu_tune keep = snpu_tune;
	struct fake f;
	unsigned int i;

	fake_init(&f, true, 3);
	fill_random(&f, A(0), ROWS * COLS * 4ull + 4, SNPU_DT_F32);
	fill_random(&f, A(26), COLS * 4ull, SNPU_DT_F32);
	for (i = 0; i < sizeof(hdr) / sizeof(hdr[0]); i++) {
		bool matrix = hdr[i].op == SNPU_OP_SOFTMAX || hdr[i].op == SNPU_OP_RMSNORM;
		union snpu_pkt p = { .rows = { .hdr = hdr[i],
					       .src = A(0),
					       .dst = A(10),
					       .rows = ROWS,
					       .cols = COLS,
					       .ld_src = COLS,
					       .ld_dst = matrix ? COLS : 0,
					       .weight = hdr[i].op == SNPU_OP_RMSNORM ? A(26) : 0,
					       .offset = hdr[i].op == SNPU_OP_SOFTMAX ? 600000 :
											0 } };
		uint64_t bytes = matrix	      ? ROWS * COLS * 4ull :
				 hdr[i].flags ? COLS * 4ull :
						ROWS * 4ull;
		uint8_t *r[2];

		r[0] = run(&f, &p, A(10), bytes);
		snpu_tune.row_bytes = 1 << 20;
		r[1] = run(&f, &p, A(10), bytes);
		CHECK(f.checkpoints >= ROWS * 2, "%u checkpoints", f.checkpoints);
		snpu_tune = keep;
		CHECK(!memcmp(r[0], r[1], bytes), "op 0x%x type %u: pieces give other bits",
		      hdr[i].op, hdr[i].dtype);
		free(r[0]);
		free(r[1]);
	}
	for (i = 0; i < 4; i++) {
		union snpu_pkt p = i < 2 ? (union snpu_pkt){ .copy = { .hdr.op = SNPU_OP_COPY,
								       .src = A(0) + 5,
								       .dst = A(10) + 41,
								       .bytes = (3 << 20) + 77 } } :
					   (union snpu_pkt){ .copy2d = { .hdr.op = SNPU_OP_COPY2D,
									 .src = A(0) + 3,
									 .dst = A(10) + 41,
									 .src_pitch = 5000,
									 .dst_pitch = 5555,
									 .width = 5000,
									 .rows = 300 } };
		uint64_t bytes = i < 2 ? p.copy.bytes : 299 * 5555 + 5000, row;
		uint8_t *src = malloc(bytes), *dst;

		snpu_tune.copy_nt = i % 2 ? 1 << 20 : 1ull << 40;
		dst = run(&f, &p, A(10) + 41, bytes);
		fake_read(&f, p.copy.src, src, i < 2 ? bytes : 300 * 5000);
		if (i < 2)
			CHECK(!memcmp(src, dst, bytes), "copy, way %u", i);
		for (row = 0; i >= 2 && row < 300; row++)
			CHECK(!memcmp(src + row * 5000, dst + row * 5555, 5000), "row %u, way %u",
			      (unsigned int)row, i);
		free(src);
		free(dst);
	}
	snpu_tune = keep;
	fake_free(&f);
}

/* ---- what goes wrong ---- */

/* Operands of the good packets: word of the address, bytes, whether it is written */
static const struct { uint8_t op, word; bool write; uint32_t bytes;
} operand[] = {
	{ SNPU_OP_COPY, 1, false, 100 },     { SNPU_OP_COPY, 2, true, 100 },
	{ SNPU_OP_COPY2D, 1, false, 256 },   { SNPU_OP_COPY2D, 2, true, 256 },
	{ SNPU_OP_FILL, 1, true, 64 },	     { SNPU_OP_MATMUL, 1, false, 64 },
	{ SNPU_OP_MATMUL, 2, false, 64 },    { SNPU_OP_MATMUL, 3, true, 64 },
	{ SNPU_OP_ELTWISE, 1, false, 64 },   { SNPU_OP_ELTWISE, 2, false, 64 },
	{ SNPU_OP_ELTWISE, 3, true, 64 },    { SNPU_OP_CONVERT, 1, false, 64 },
	{ SNPU_OP_CONVERT, 2, true, 16 },    { SNPU_OP_REDUCE_SUM, 1, false, 64 },
	{ SNPU_OP_REDUCE_SUM, 2, true, 16 }, { SNPU_OP_SOFTMAX, 1, false, 64 },
	{ SNPU_OP_SOFTMAX, 2, true, 64 },    { SNPU_OP_RMSNORM, 1, false, 64 },
	{ SNPU_OP_RMSNORM, 2, true, 64 },    { SNPU_OP_RMSNORM, 3, false, 16 },
	{ SNPU_OP_ARGMAX, 1, false, 64 },    { SNPU_OP_ARGMAX, 2, true, 16 },
	{ SNPU_OP_ACT, 1, false, 64 },	     { SNPU_OP_ACT, 2, true, 64 },
	{ SNPU_OP_GATHER, 2, false, 8 },     { SNPU_OP_GATHER, 3, true, 32 },
	{ SNPU_OP_CRC32C, 1, false, 10 },    { SNPU_OP_CRC32C, 3, true, 4 },
};

/* The operand stands across a page border, and the second page is broken in every way there is */
static void test_fault_address(void)
{
	static const struct { enum fake_kind kind; int read, write; } how[] = {
		{ FAKE_NONE, SNPU_ERR_UNMAPPED, SNPU_ERR_UNMAPPED }, { FAKE_RO, 0, SNPU_ERR_PERM },
		{ FAKE_BUS, SNPU_ERR_BUS, SNPU_ERR_BUS },
	};
	struct snpu_fault fault;
	unsigned int o, h, first;
	struct fake f;

	fake_init(&f, false, 1);
	for (o = 0; o < sizeof(operand) / sizeof(operand[0]); o++)
		for (h = 0; h < 3; h++)
			for (first = 0; first < 2; first++) {
				uint64_t edge = A(20) + FAKE_PAGE,
					 page = (edge - FAKE_BASE) / FAKE_PAGE;
				int want = operand[o].write ? how[h].write : how[h].read, err;
				union snpu_pkt p;
				unsigned int i;

				for (i = 0; good[i].hdr.op != operand[o].op; i++)
					;
				p = good[i];
				/* half of it, or all of it, is on the broken page */
				p.q[operand[o].word] = edge -
						       (first ? 0 : operand[o].bytes / 8 * 4);
				/* a byte that cannot be cut stands on the broken page whole */
				if (operand[o].bytes < 8)
					p.q[operand[o].word] = edge;
				f.kind[page] = (uint8_t)how[h].kind;
				/* the slow path gives one piece across the border */
				if (how[h].kind == FAKE_BUS)
					f.kind[page - 1] = FAKE_SLOW;
				err = fake_exec(&f, eng, &p, &fault);
				CHECK(err == want, "op 0x%x word %u kind %u: %d, expected %d",
				      p.hdr.op, operand[o].word, how[h].kind, err, want);
				CHECK(!want || fault.va == edge,
				      "op 0x%x word %u kind %u: at 0x%llx, not 0x%llx", p.hdr.op,
				      operand[o].word, how[h].kind, (unsigned long long)fault.va,
				      (unsigned long long)edge);
				CHECK((int)fault.error == want, "fault holds %u", fault.error);
				f.kind[page] = f.kind[page - 1] = FAKE_RW;
			}
	fake_free(&f);
}

/* Large enough that each op must offer checkpoints; stopping at any of the first five works */
static void test_abort(void)
{
	static const union snpu_pkt big[] = {
		{ .copy = { .hdr.op = SNPU_OP_COPY, .src = A(0), .dst = A(12), .bytes = 9 << 20 } },
		{ .copy2d = { .hdr.op = SNPU_OP_COPY2D,
			      .src = A(0),
			      .dst = A(12),
			      .src_pitch = 128,
			      .dst_pitch = 128,
			      .width = 100,
			      .rows = 50000 } },
		{ .fill = { .hdr = HDR(SNPU_OP_FILL, 0, 0, 0, 1), .dst = A(0), .bytes = 9 << 20 } },
		{ .matmul = { .hdr = HDR(SNPU_OP_MATMUL, 0, SNPU_DT_F32, SNPU_DT_F32, 0),
			      .a = A(0),
			      .b = A(8),
			      .c = A(16),
			      .m = 640,
			      .n = 64,
			      .k = 64,
			      .lda = 64,
			      .ldb = 64,
			      .ldc = 64 } },
		{ .eltwise = { .hdr = HDR(SNPU_OP_ELTWISE, 0, SNPU_DT_I32, 0, SNPU_ELT_ADD),
			       .a = A(0),
			       .b = A(0),
			       .dst = A(0),
			       .count = 6 << 20 } },
		{ .convert = { .hdr = HDR(SNPU_OP_CONVERT, 0, SNPU_DT_I8, SNPU_DT_BF16, 0),
			       .src = A(0),
			       .dst = A(12),
			       .count = 6 << 20 } },
		{ .act = { .hdr = HDR(SNPU_OP_ACT, 0, SNPU_DT_F32, 0, SNPU_ACT_GELU),
			   .src = A(0),
			   .dst = A(12),
			   .count = 1 << 20 } },
		{ .rows = { .hdr = HDR(SNPU_OP_REDUCE_SUM, 0, SNPU_DT_I8, SNPU_DT_I32, 0),
			    .src = A(0),
			    .dst = A(25),
			    .rows = 3000,
			    .cols = 8000,
			    .ld_src = 8000 } },
		{ .rows = { .hdr = HDR(SNPU_OP_REDUCE_SUM, 1, SNPU_DT_F32, SNPU_DT_F32, 0),
			    .src = A(0),
			    .dst = A(25),
			    .rows = 1,
			    .cols = 1 << 20,
			    .ld_src = 1 << 20 } },
		{ .rows = { .hdr = HDR(SNPU_OP_SOFTMAX, 0, SNPU_DT_F32, 0, 0),
			    .src = A(0),
			    .dst = A(12),
			    .rows = 1,
			    .cols = 2 << 20,
			    .ld_src = 2 << 20,
			    .ld_dst = 2 << 20 } },
		{ .rows = { .hdr = HDR(SNPU_OP_RMSNORM, 0, SNPU_DT_BF16, 0, 0),
			    .src = A(0),
			    .dst = A(0),
			    .weight = A(16),
			    .rows = 2,
			    .cols = 3 << 20,
			    .ld_src = 3 << 20,
			    .ld_dst = 3 << 20 } },
		{ .rows = { .hdr = HDR(SNPU_OP_ARGMAX, 0, SNPU_DT_F32, 0, 0),
			    .src = A(0),
			    .dst = A(25),
			    .rows = 6,
			    .cols = 1 << 20,
			    .ld_src = 1 << 20 } },
		{ .gather = { .hdr = HDR(SNPU_OP_GATHER, 0, SNPU_DT_I8, 0, 0),
			      .table = A(0),
			      .index = A(30),
			      .dst = A(16),
			      .count = 30000,
			      .cols = 100,
			      .table_rows = 1,
			      .ld_table = 100,
			      .ld_dst = 100 } },
		{ .crc32c = { .hdr.op = SNPU_OP_CRC32C,
			      .src = A(0),
			      .bytes = 9 << 20,
			      .dst = A(16) } },
	};
	struct snpu_tune keep = snpu_tune;
	struct snpu_fault fault;
	unsigned int i, n;
	struct fake f;
	int err;

	fake_init(&f, false, 1);
	snpu_tune.block_flops = 64 * 64 * 64 * 2;
	snpu_tune.row_bytes = 1 << 20;
	for (i = 0; i < sizeof(big) / sizeof(big[0]); i++) {
		for (n = 1; n <= 5; n++) {
			f.abort_after = n;
			err = fake_exec(&f, eng, &big[i], &fault);
			CHECK(err == SNPU_ERR_ABORTED && f.checkpoints == n,
			      "op 0x%x: %d after %u checkpoints of %u", big[i].hdr.op, err,
			      f.checkpoints, n);
		}
		f.abort_after = 0;
		err = fake_exec(&f, eng, &big[i], &fault);
		CHECK(!err, "op 0x%x: %d at 0x%llx", big[i].hdr.op, err,
		      (unsigned long long)fault.va);
	}
	snpu_tune = keep;
	fake_free(&f);
}

/* ---- values out of the ordinary ---- */

static void test_special(void)
{
	static const uint32_t in[][8] = {
		/* argmax, softmax input: rows of 8 */
		{ 0x7fc00000, 0x3f800000, 0x40000000, 0x40000000, 0xffc00000, 0xff800000, 0,
		  0x80000000 },
		{ 0x7fc00000, 0xffffffff, 0x7fffffff, 0xffffffff, 0x7fc00000, 0xffc00000,
		  0x7fc00001, 0x7fc00000 },
		{ 0x80000000, 0, 0xbf800000, 0x80000000, 0, 0xff800000, 0xbf800000, 0 },
		{ 0x7fc00000, 0xff800000, 0xff800000, 0x7fc00000, 0xff800000, 0xff800000,
		  0xff800000, 0xff800000 },
		{ 0xbf800000, 0x7f800000, 0x7f800000, 0x7f7fffff, 0, 0, 0, 0 },
	};
	static const int32_t want[] = { 2, 0, 0, 1, 1 };
	union snpu_pkt p = { .rows = { .hdr = HDR(SNPU_OP_ARGMAX, 0, SNPU_DT_F32, 0, 0),
				       .src = A(0),
				       .dst = A(1),
				       .rows = 5,
				       .cols = 8,
				       .ld_src = 8 } };
	static const float row[] = { 1, 2, 3, 4 };
	static const int32_t diag[] = { -5, -1, 0, 2, 100, INT32_MAX, INT32_MIN };
	uint8_t *out;
	unsigned int i, j, r;
	struct fake f;

	fake_init(&f, false, 1);
	fake_write(&f, A(0), in, sizeof(in));
	out = run(&f, &p, A(1), 20);
	for (i = 0; i < 5; i++)
		CHECK(((int32_t *)out)[i] == want[i], "argmax of row %u: %d, expected %d", i,
		      ((int32_t *)out)[i], want[i]);
	free(out);
	/* the mask hides everything, something, nothing */
	for (i = 0; i < sizeof(diag) / sizeof(diag[0]); i++) {
		float *o;

		p = (union snpu_pkt){ .rows = { .hdr = HDR(SNPU_OP_SOFTMAX, SNPU_PF_CAUSAL,
							   SNPU_DT_F32, 0, 0),
						.src = A(2),
						.dst = A(3),
						.rows = 3,
						.cols = 4,
						.ld_src = 4,
						.ld_dst = 4,
						.offset = diag[i] } };
		for (r = 0; r < 3; r++)
			fake_write(&f, A(2) + r * 16, row, 16);
		o = (float *)run(&f, &p, A(3), 48);
		for (r = 0; r < 3; r++) {
			int64_t seen = (int64_t)r + diag[i] + 1;
			double sum = 0;

			seen = seen < 0 ? 0 : seen > 4 ? 4 : seen;
			for (j = 0; j < 4; j++) {
				CHECK((o[r * 4 + j] > 0) == (j < seen),
				      "offset %d row %u column %u: %g", diag[i], r, j,
				      o[r * 4 + j]);
				sum += (double)o[r * 4 + j];
			}
			CHECK(seen ? sum > 0.999999 && sum < 1.000001 : sum == 0,
			      "sum of row %u: %g", r, sum);
		}
		free(o);
	}
	/* large arguments that cancel, a negative factor, and a row with NaN that stays alone */
	{
		static const float x[] = { 1000, 999, 998, -3e38f, 1, 2, 3, 4, 0, 0, 0, 0 };
		float sc = -1, *o;

		p = (union snpu_pkt){ .rows = { .hdr = HDR(SNPU_OP_SOFTMAX, 0, SNPU_DT_F32, 0, 0),
						.src = A(2), .dst = A(3), .rows = 3, .cols = 4,
						.ld_src = 4, .ld_dst = 4 } };
		fake_write(&f, A(2), x, sizeof(x));
		fake_write(&f, A(2) + 32, in[0], 4);
		o = (float *)run(&f, &p, A(3), 48);
		CHECK(o[0] > 0.66524f && o[0] < 0.66525f && o[3] == 0, "%g %g", o[0], o[3]);
		CHECK(o[8] != o[8] && o[11] != o[11] && o[4] == o[4], "NaN goes astray");
		free(o);
		memcpy(&p.rows.param, &sc, 4);
		o = (float *)run(&f, &p, A(3), 48);
		CHECK(o[3] == 1 && o[0] == 0, "scale -1: %g %g", o[0], o[3]);
		CHECK(o[4] > 0.6439f && o[4] < 0.6440f, "scale -1: %g", o[4]);
		free(o);
	}
	/* max: NaN in either; a factor; conversion of what no integer holds */
	{
		static const uint32_t a[] = { 0x7fc00000, 0x3f800000, 0x7f800000, 0xff800000 };
		static const uint32_t b[] = { 0x3f800000, 0xffc00000, 0, 0x7fc00001 };
		static const float c[] = { 2147483648.0f, -2147483904.0f, 2147483520.0f, 0.5f, 1.5f,
					   -0.5f, 127.5f, -128.5f };
		static const int32_t i32[] = {
			INT32_MAX, INT32_MIN, 2147483520, 0, 2, 0, 128, -128
		};
		static const int8_t i8[] = { 127, -128, 127, 0, 2, 0, 127, -128 };
		uint32_t *o;

		p = (union snpu_pkt){ .eltwise = { .hdr = HDR(SNPU_OP_ELTWISE, 0, SNPU_DT_F32, 0,
							      SNPU_ELT_MAX), .a = A(2), .b = A(3),
						   .dst = A(4), .count = 4 } };
		fake_write(&f, A(2), a, sizeof(a));
		fake_write(&f, A(3), b, sizeof(b));
		o = (uint32_t *)run(&f, &p, A(4), 16);
		for (i = 0; i < 4; i++)
			CHECK(i == 2 ? o[i] == a[2] : (o[i] & 0x7fffffff) > 0x7f800000,
			      "max %u: %08x", i, o[i]);
		free(o);
		p = (union snpu_pkt){ .convert = { .hdr = HDR(SNPU_OP_CONVERT, 0, SNPU_DT_F32,
							      SNPU_DT_I32, 0),
						   .src = A(2),
						   .dst = A(4),
						   .count = 9 } };
		fake_write(&f, A(2), c, sizeof(c));
		fake_write(&f, A(2) + 32, a, 4);
		out = run(&f, &p, A(4), 36);
		CHECK(!memcmp(out, i32, 32) && !((int32_t *)out)[8],
		      "to I32: %d %d %d %d %d %d %d %d %d", ((int32_t *)out)[0],
		      ((int32_t *)out)[1], ((int32_t *)out)[2], ((int32_t *)out)[3],
		      ((int32_t *)out)[4], ((int32_t *)out)[5], ((int32_t *)out)[6],
		      ((int32_t *)out)[7], ((int32_t *)out)[8]);
		free(out);
		p.hdr.dtype2 = SNPU_DT_I8;
		out = run(&f, &p, A(4), 9);
		CHECK(!memcmp(out, i8, 8) && !out[8], "to I8");
		free(out);
	}
	fake_free(&f);
}

int main(int argc, char **argv)
{
	static const struct fake_case cases[] = {
		{ "matmul_blocks", test_matmul_blocks },
		{ "matmul_i8_exact", test_matmul_i8_exact },
		{ "matmul_no_kernel", test_matmul_no_kernel },
		{ "pieces", test_pieces },
		{ "fault_address", test_fault_address },
		{ "abort", test_abort },
		{ "special", test_special },
	};
	int ret;

	eng = snpu_engine_create();
	ret = fake_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
	snpu_engine_destroy(eng);
	return ret;
}
