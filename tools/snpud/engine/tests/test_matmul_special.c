// SPDX-License-Identifier: MIT
/*
 * MATMUL with NaN, infinities, zeros and subnormals. What an element of C becomes depends on its
 * row of A, its column of B, its bias and its old value alone: everything else (other rows and
 * columns, the gaps between rows, other matrices of the packet, what lies before and after) holds
 * NaN and infinities here. Operands are small integers, so that every order of summation gives the
 * same sum and each result has one right value.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fake.h"
#include "good.h"
#include "range.h"

#define GUARD	256u	/* elements before and after each operand that must not count */
#define GROUPS	3u

static struct snpu_engine *eng;
static uint64_t seed = 11;

static const struct {
	uint8_t dt, dc;
} types[] = {
	{ SNPU_DT_F32, SNPU_DT_F32 },	{ SNPU_DT_BF16, SNPU_DT_F32 },
	{ SNPU_DT_BF16, SNPU_DT_BF16 }, { SNPU_DT_F16, SNPU_DT_F32 },
	{ SNPU_DT_F16, SNPU_DT_F16 },
};

#define NUM_TYPES (sizeof(types) / sizeof(types[0]))

static double f32_of(uint32_t u)
{
	float f;

	memcpy(&f, &u, sizeof(f));
	return f;
}

static double get(const void *buf, unsigned int dt, uint64_t i)
{
	_Float16 h;

	switch (dt) {
	case SNPU_DT_F32:
		return ((const float *)buf)[i];
	case SNPU_DT_BF16:
		return f32_of((uint32_t)((const uint16_t *)buf)[i] << 16);
	default:
		memcpy(&h, (const uint16_t *)buf + i, 2);
		return (double)h;
	}
}

/* Rounds to nearest even, as the device does; NaN becomes the one NaN that it writes */
static uint32_t bits_of(unsigned int dt, double v)
{
	float f = (float)v;
	_Float16 h = (_Float16)v;
	uint16_t half;
	uint32_t u;

	memcpy(&u, &f, 4);
	memcpy(&half, &h, 2);
	switch (dt) {
	case SNPU_DT_F32:
		return v != v ? 0x7fc00000 : u;
	case SNPU_DT_BF16:
		return v != v ? 0x7fc0 : (u + 0x7fff + (u >> 16 & 1)) >> 16;
	default:
		return v != v ? 0x7e00 : half;
	}
}

static void put_bits(void *buf, unsigned int dt, uint64_t i, uint32_t bits)
{
	if (dt == SNPU_DT_F32)
		((uint32_t *)buf)[i] = bits;
	else
		((uint16_t *)buf)[i] = (uint16_t)bits;
}

static uint32_t get_bits(const void *buf, unsigned int dt, uint64_t i)
{
	return dt == SNPU_DT_F32 ? ((const uint32_t *)buf)[i] : ((const uint16_t *)buf)[i];
}

/* NaN of both signs and some payloads, infinities */
static uint32_t poison(unsigned int dt)
{
	static const uint32_t f32[] = { 0x7fc00000, 0xffc00000, 0x7f800000, 0xff800000,
					0x7fa12345, 0xffffffff };
	static const uint32_t bf16[] = { 0x7fc0, 0xffc0, 0x7f80, 0xff80, 0x7fa1, 0xffff };
	static const uint32_t f16[] = { 0x7e00, 0xfe00, 0x7c00, 0xfc00, 0x7d01, 0xffff };
	unsigned int i = (unsigned int)(fake_rand(&seed) % 6);

	return dt == SNPU_DT_F32 ? f32[i] : dt == SNPU_DT_BF16 ? bf16[i] : f16[i];
}

static double small(void)
{
	return (double)(int)(fake_rand(&seed) % 5) - 2;
}

/**
 * struct operand - one matrix of each group, gaps and all
 * @dt: type
 * @rows: rows of one matrix
 * @cols: elements of a row
 * @ld: elements from row to row
 * @va: first element of the first matrix
 * @bytes: of @buf
 * @buf: from GUARD elements before @va to as many after the last matrix
 */
struct operand {
	unsigned int dt;
	uint32_t rows, cols, ld;
	uint64_t va;
	uint64_t bytes;
	uint8_t *buf;
};

static uint64_t at(const struct operand *o, uint32_t g, uint32_t r, uint32_t c)
{
	return GUARD + ((uint64_t)g * o->rows + r) * o->ld + c;
}

/* Integers in the matrices, poison everywhere else */
static void make(struct operand *o, unsigned int dt, uint32_t rows, uint32_t cols, uint32_t gap,
		 uint64_t va)
{
	uint64_t n, i;
	uint32_t g, r, c;

	*o = (struct operand){ .dt = dt, .rows = rows, .cols = cols, .ld = cols + gap, .va = va };
	n = 2ull * GUARD + (uint64_t)GROUPS * rows * o->ld;
	o->bytes = n * snpu_dt_size(dt);
	o->buf = malloc(o->bytes);
	for (i = 0; i < n; i++)
		put_bits(o->buf, dt, i, poison(dt));
	for (g = 0; g < GROUPS; g++)
		for (r = 0; r < rows; r++)
			for (c = 0; c < cols; c++)
				put_bits(o->buf, dt, at(o, g, r, c), bits_of(dt, small()));
}

static void write_both(struct fake f[2], const struct operand *o)
{
	uint64_t va = o->va - (uint64_t)GUARD * snpu_dt_size(o->dt);

	fake_write(&f[0], va, o->buf, o->bytes);
	fake_write(&f[1], va, o->buf, o->bytes);
}

/*
 * A number that the arithmetic sees: BF16 products count subnormals as zero. Zeros of both signs
 * are equal in what follows.
 */
static double seen(unsigned int dt, double v)
{
	return dt == SNPU_DT_BF16 && fabs(v) < 0x1p-126 ? 0 : v;
}

struct product {
	struct operand a, b, bias, c;
	unsigned int flags;
	uint32_t m, n, k, groups;
};

static double expect(const struct product *p, uint32_t g, uint32_t i, uint32_t j)
{
	bool ta = p->flags & SNPU_PF_TRANS_A, tb = p->flags & SNPU_PF_TRANS_B;
	unsigned int dt = p->a.dt;
	double s = 0;
	uint32_t l;

	for (l = 0; l < p->k; l++)
		s += seen(dt, get(p->a.buf, dt, ta ? at(&p->a, g, l, i) : at(&p->a, g, i, l))) *
		     seen(dt, get(p->b.buf, dt, tb ? at(&p->b, g, j, l) : at(&p->b, g, l, j)));
	if (p->flags & SNPU_PF_BIAS)
		s += seen(dt, get(p->bias.buf, SNPU_DT_F32, at(&p->bias, g, 0, j)));
	if (p->flags & SNPU_PF_ACCUM)
		s += seen(dt, get(p->c.buf, p->c.dt, at(&p->c, g, i, j)));
	return s + 0.0;
}

static void check_product(const struct product *p, const uint8_t *got, int way)
{
	uint64_t left = 2ull * GUARD + (uint64_t)GROUPS * p->c.rows * p->c.ld, e;
	uint32_t g, i, j, bad = 0;

	for (e = 0; e < left; e++) {
		uint64_t in = e - GUARD, row = in / p->c.ld;
		uint32_t want = get_bits(p->c.buf, p->c.dt, e), have = get_bits(got, p->c.dt, e);

		g = (uint32_t)(row / p->m);
		i = (uint32_t)(row % p->m);
		j = (uint32_t)(in % p->c.ld);
		if (e >= GUARD && g < p->groups && j < p->n)
			want = bits_of(p->c.dt, expect(p, g, i, j));
		bad += have != want;
		CHECK(have == want || bad > 3,
		      "types %u %u, %ux%ux%u, ld %u %u %u, flags %x, memory %d, "
		      "group %u [%u, %u]: %08x, expected %08x",
		      p->a.dt, p->c.dt, p->m, p->n, p->k, p->a.ld, p->b.ld, p->c.ld, p->flags, way,
		      g, i, j, have, want);
	}
}

static void run_product(struct fake f[2], const struct product *p)
{
	union snpu_pkt pkt = { .matmul = {
		.hdr = { SNPU_OP_MATMUL, (uint8_t)p->flags, (uint8_t)p->a.dt, (uint8_t)p->c.dt,
			 p->groups },
		.a = p->a.va, .b = p->b.va, .c = p->c.va,
		.bias = p->flags & SNPU_PF_BIAS ? p->bias.va : 0,
		.m = p->m, .n = p->n, .k = p->k,
		.lda = p->a.ld, .ldb = p->b.ld, .ldc = p->c.ld } };
	uint64_t guard = (uint64_t)GUARD * snpu_dt_size(p->c.dt);
	uint8_t *got = malloc(p->c.bytes);
	struct snpu_fault fault;
	int w, err;

	write_both(f, &p->a);
	write_both(f, &p->b);
	write_both(f, &p->bias);
	write_both(f, &p->c);
	for (w = 0; w < 2; w++) {
		err = fake_exec(&f[w], eng, &pkt, &fault);
		CHECK(!err, "fails with %d at 0x%llx", err, (unsigned long long)fault.va);
		fake_read(&f[w], p->c.va - guard, got, p->c.bytes);
		check_product(p, got, w);
	}
	free(got);
}

static void make_product(struct product *p, unsigned int type, unsigned int flags, uint32_t m,
			 uint32_t n, uint32_t k, uint32_t gap)
{
	unsigned int dt = types[type].dt, dc = types[type].dc, size = snpu_dt_size(dt);
	bool ta = flags & SNPU_PF_TRANS_A, tb = flags & SNPU_PF_TRANS_B;

	p->flags = dc == SNPU_DT_F32 ? flags : flags & ~SNPU_PF_ACCUM;
	p->m = m;
	p->n = n;
	p->k = k;
	p->groups = GROUPS - 1;
	make(&p->a, dt, ta ? k : m, ta ? m : k, gap, A(2) + 8 * size);
	make(&p->b, dt, tb ? n : k, tb ? k : n, gap, A(8) + size);
	make(&p->bias, SNPU_DT_F32, 1, n, 0, A(28));
	make(&p->c, dc, m, n, gap, A(16) + 4);
}

static void free_product(struct product *p)
{
	free(p->a.buf);
	free(p->b.buf);
	free(p->bias.buf);
	free(p->c.buf);
}

/* Row @i of A (or column @i of B) gets @count special values at random places */
static void spoil_line(struct operand *o, bool across, uint32_t g, uint32_t i, uint32_t k,
		       uint32_t count)
{
	while (count--) {
		uint32_t l = (uint32_t)(fake_rand(&seed) % k);

		put_bits(o->buf, o->dt, across ? at(o, g, l, i) : at(o, g, i, l), poison(o->dt));
	}
}

/*
 * Special beside what is around the matrices, by @how: 0 single elements in every other row of A
 * and third column of B; 1 all rows of A but one, whole; 2 all columns of B but one, whole
 */
static void spoil(struct product *p, unsigned int how)
{
	bool ta = p->flags & SNPU_PF_TRANS_A, tb = p->flags & SNPU_PF_TRANS_B;
	uint32_t g, i, l, keep;

	for (g = 0; g < p->groups; g++) {
		keep = (uint32_t)(fake_rand(&seed) % p->m);
		for (i = 0; how == 1 && i < p->m; i++)
			for (l = 0; i != keep && l < p->k; l++)
				put_bits(p->a.buf, p->a.dt,
					 ta ? at(&p->a, g, l, i) : at(&p->a, g, i, l),
					 poison(p->a.dt));
		keep = (uint32_t)(fake_rand(&seed) % p->n);
		for (i = 0; how == 2 && i < p->n; i++)
			for (l = 0; i != keep && l < p->k; l++)
				put_bits(p->b.buf, p->b.dt,
					 tb ? at(&p->b, g, i, l) : at(&p->b, g, l, i),
					 poison(p->b.dt));
		for (i = 1; !how && i < p->m; i += 2)
			spoil_line(&p->a, ta, g, i, p->k, 1);
		for (i = 1; !how && i < p->n; i += 3)
			spoil_line(&p->b, !tb, g, i, p->k, 1);
	}
}

static void test_neighbours(void)
{
	static const uint32_t shape[][3] = {
		{ 1, 1, 1 },	 { 1, 64, 33 },	 { 2, 3, 5 },	 { 17, 64, 33 },  { 16, 16, 31 },
		{ 33, 17, 34 },	 { 64, 65, 47 }, { 17, 1, 63 },	 { 18, 31, 65 },  { 5, 48, 97 },
		{ 64, 33, 1 },	 { 49, 15, 2 },	 { 40, 100, 95 }, { 65, 32, 129 }, { 130, 2, 161 },
		{ 32, 64, 64 },	 { 20, 70, 255 },
	};
	unsigned int t, s, trans, gap, how, n = 0;
	struct product p;
	struct fake f[2];

	fake_init(&f[0], false, 1);
	fake_init(&f[1], true, 2);
	for (t = 0; t < NUM_TYPES; t++)
		for (s = 0; s < sizeof(shape) / sizeof(shape[0]); s++)
			for (trans = 0; trans < 4; trans++)
				for (gap = 0; gap < 2; gap++, n++)
					for (how = 0; how < 3; how++) {
						make_product(&p, t, trans | (n / 3 % 4) << 2,
							     shape[s][0], shape[s][1], shape[s][2],
							     gap ? (n % 3) * 15 + 1 : 0);
						spoil(&p, how);
						run_product(f, &p);
						free_product(&p);
					}
	fake_free(&f[0]);
	fake_free(&f[1]);
}

/*
 * One number in A, at the beginning of each row, beside zeros; one number in all of B: the result
 * is their product, with bias and old value, in every element.
 */
struct value {
	uint8_t dt, dc;
	double a, b, bias, old, want;
};

#define F32	SNPU_DT_F32
#define BF16	SNPU_DT_BF16
#define F16	SNPU_DT_F16

/* Not part of the sum */
#define NO	0x1p1000

static const struct value values[] = {
	/* subnormal operands, products, bias, old value: zero for BF16 alone */
	{ F32, F32, 0x1p-130, 0x1p127, NO, NO, 0.125 },
	{ F32, F32, 0x1p-149, -1, NO, NO, -0x1p-149 },
	{ F32, F32, 0x1p-70, 0x1p-60, NO, NO, 0x1p-130 },
	{ F32, F32, 0, 1, 0x1p-140, NO, 0x1p-140 },
	{ F32, F32, 0, 1, NO, -0x1p-140, -0x1p-140 },
	{ F32, F32, 0x1p-140, 1, 0x1p-140, 0x1p-139, 0x1p-138 },
	{ BF16, F32, 0x1p-130, 0x1p127, NO, NO, 0 },
	{ BF16, BF16, 0x1p-130, 0x1p127, NO, NO, 0 },
	{ BF16, F32, 0x1p127, -0x1p-127, NO, NO, 0 },
	{ BF16, F32, 0x1p-126, 0x1p126, NO, NO, 1 },
	{ BF16, F32, 0x1p-70, 0x1p-60, NO, NO, 0 },
	{ BF16, F32, 0x1p-70, -0x1p-57, NO, NO, 0 },
	{ BF16, F32, 0x1p-63, -0x1p-63, NO, NO, -0x1p-126 },
	{ BF16, BF16, 0x1p-63, 0x1p-63, NO, NO, 0x1p-126 },
	{ BF16, F32, 0, 1, 0x1p-140, NO, 0 },
	{ BF16, BF16, 0, 1, -0x1p-130, NO, 0 },
	{ BF16, F32, 0, 1, NO, 0x1p-140, 0 },
	{ BF16, F32, 0x1p-126, 1, NO, -0x1.8p-126, 0 },
	{ BF16, F32, 1, 1, 0x1p-130, 0x1p-130, 1 },
	{ F16, F32, 0x1p-20, 0x1p15, NO, NO, 0x1p-5 },
	{ F16, F32, 0x1p-24, 0x1p-24, NO, NO, 0x1p-48 },
	{ F16, F16, 0x1p-20, 0x1p-3, NO, NO, 0x1p-23 },
	{ F16, F16, 0x1p-20, -0x1p-20, NO, NO, 0 },
	{ F16, F32, 0, 1, 0x1p-140, NO, 0x1p-140 },
	{ F16, F32, 0, 1, NO, 0x1p-140, 0x1p-140 },
	/* a zero is +0 */
	{ F32, F32, -1, 0, NO, NO, 0 },
	{ F32, F32, -0x1p-100, 0x1p-100, NO, NO, 0 },
	{ F32, F32, -0.0, 1, -0.0, -0.0, 0 },
	{ BF16, F32, -0x1p-100, 0x1p-100, -0.0, -0.0, 0 },
	{ BF16, BF16, -1, 0, -0.0, NO, 0 },
	{ F16, F16, -1, 0, -0.0, NO, 0 },
	{ F32, F32, 3, 5, -15, NO, 0 },
	/* infinities and NaN */
	{ F32, F32, INFINITY, 0, NO, NO, NAN },
	{ F32, F32, INFINITY, -2, NO, NO, -INFINITY },
	{ F32, F32, INFINITY, 1, -INFINITY, NO, NAN },
	{ F32, F32, INFINITY, 1, NO, -INFINITY, NAN },
	{ F32, F32, 0, 1, -INFINITY, NO, -INFINITY },
	{ F32, F32, 0, NAN, NO, NO, NAN },
	{ F32, F32, 0, 1, NAN, NO, NAN },
	{ F32, F32, 0, 1, NO, NAN, NAN },
	{ BF16, F32, INFINITY, 0, NO, NO, NAN },
	{ BF16, F32, INFINITY, 0x1p-130, NO, NO, NAN },
	{ BF16, BF16, INFINITY, -2, NO, NO, -INFINITY },
	{ BF16, BF16, INFINITY, 1, -INFINITY, NO, NAN },
	{ BF16, F32, 0, NAN, NO, NO, NAN },
	{ BF16, F32, 0, 1, NO, NAN, NAN },
	{ F16, F16, INFINITY, 0, NO, NO, NAN },
	{ F16, F32, INFINITY, -0x1p-24, NO, NO, -INFINITY },
	{ F16, F16, 0, 1, NAN, NO, NAN },
	{ F16, F16, NAN, 0, NO, NO, NAN },
	/* beyond the largest number */
	{ F32, F32, 0x1p127, 2, NO, NO, INFINITY },
	{ BF16, BF16, 0x1p127, -2, NO, NO, -INFINITY },
	{ BF16, BF16, 0x1.fep127, 1, 0x1p119, NO, INFINITY },
	{ BF16, BF16, 0x1.fep127, 1, 0x1p118, NO, 0x1.fep127 },
	{ F16, F16, 256, 256, NO, NO, INFINITY },
	{ F16, F16, 65504, 1, 16, NO, INFINITY },
	{ F16, F16, 65504, 1, 15, NO, 65504 },
	{ F16, F32, 65504, 65504, NO, NO, 65504.0 * 65504.0 },
};

static void check_value(struct fake *f, const struct value *v, const uint32_t dim[3], bool known)
{
	uint32_t m = dim[0], n = dim[1], k = dim[2], i;
	unsigned int flags = (v->bias != NO ? SNPU_PF_BIAS : 0) |
			     (v->old != NO ? SNPU_PF_ACCUM : 0);
	unsigned int size = snpu_dt_size(v->dt), size_c = snpu_dt_size(v->dc);
	union snpu_pkt p = { .matmul = {
		.hdr = { SNPU_OP_MATMUL, (uint8_t)flags, v->dt, v->dc, 0 },
		.a = A(0), .b = A(8), .c = A(16), .bias = v->bias != NO ? A(24) : 0,
		.m = m, .n = n, .k = k, .lda = k, .ldb = n, .ldc = n } };
	uint8_t *a = calloc((size_t)m * k, 4), *b = malloc((size_t)k * n * 4);
	uint8_t *c = malloc((size_t)m * n * 4), *bias = malloc(n * 4ul);
	struct snpu_fault fault;

	for (i = 0; i < m; i++)
		put_bits(a, v->dt, (uint64_t)i * k, bits_of(v->dt, v->a));
	for (i = 0; i < k * n; i++)
		put_bits(b, v->dt, i, bits_of(v->dt, i < n ? v->b : 1));
	for (i = 0; i < n; i++)
		put_bits(bias, F32, i, bits_of(F32, v->bias));
	for (i = 0; i < m * n; i++)
		put_bits(c, v->dc, i, bits_of(v->dc, v->old));
	fake_write(f, A(0), a, (uint64_t)m * k * size);
	fake_write(f, A(8), b, (uint64_t)k * n * size);
	fake_write(f, A(16), c, (uint64_t)m * n * size_c);
	fake_write(f, A(24), bias, n * 4ull);
	snpu_tune.no_kernel = known ? 0 : ~0u;
	CHECK(!fake_exec(f, eng, &p, &fault), "fault %u", fault.error);
	snpu_tune.no_kernel = 0;
	fake_read(f, A(16), c, (uint64_t)m * n * size_c);
	for (i = 0; i < m * n; i++)
		if (get_bits(c, v->dc, i) != bits_of(v->dc, v->want))
			break;
	CHECK(i == m * n,
	      "types %u %u, %ux%ux%u, kernel %d: %a * %a, bias %a, old %a: [%u] is %08x, not %08x",
	      v->dt, v->dc, m, n, k, known, v->a, v->b, v->bias, v->old, i, get_bits(c, v->dc, i),
	      bits_of(v->dc, v->want));
	free(a);
	free(b);
	free(c);
	free(bias);
}

static void test_values(void)
{
	static const uint32_t dim[][3] = { { 1, 1, 1 },	  { 1, 64, 64 }, { 16, 16, 16 },
					   { 17, 64, 64 }, { 33, 5, 7 },  { 64, 70, 129 } };
	unsigned int v, d;
	struct fake f;

	fake_init(&f, false, 1);
	for (v = 0; v < sizeof(values) / sizeof(values[0]); v++)
		for (d = 0; d < sizeof(dim) / sizeof(dim[0]); d++) {
			check_value(&f, &values[v], dim[d], true);
			check_value(&f, &values[v], dim[d], false);
		}
	fake_free(&f);
}

int main(int argc, char **argv)
{
	static const struct fake_case cases[] = {
		{ "neighbours", test_neighbours },
		{ "values", test_values },
	};
	int ret;

	eng = snpu_engine_create();
	ret = fake_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
	snpu_engine_destroy(eng);
	return ret;
}
