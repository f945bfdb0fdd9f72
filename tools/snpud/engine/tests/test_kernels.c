// SPDX-License-Identifier: MIT
/*
 * Inner loops: those of every instruction set that this CPU has must give the same bits.
 */
#include <stdlib.h>
#include <string.h>

#include "fake.h"
#include "kernels.h"
#include "range.h"

static uint64_t seed = 7;

static void random_floats(float *f, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++) {
		uint32_t u = (uint32_t)fake_rand(&seed);

		/* any bits at all, values of ordinary size, and the special ones */
		if (i % 4)
			f[i] = (float)(fake_uniform(&seed) * (i % 8 == 1 ? 100 : 4));
		else
			memcpy(&f[i], &u, 4);
	}
	for (i = 0; i < 40 && i * 7 < n; i++) {
		static const uint32_t special[] = { 0,		0x80000000, 0x7f800000, 0xff800000,
						    0x7fc00000, 0x7f800001, 0xffc12345, 1,
						    0x80000001, 0x7f7fffff };

		memcpy(&f[i * 7], &special[i % 10], 4);
	}
}

static void same(const void *a, const void *b, size_t bytes, const char *what, unsigned int isa,
		 size_t n)
{
	CHECK(!memcmp(a, b, bytes), "%s of %u differs with instruction set %u", what,
	      (unsigned int)n, isa);
}

static void kernels_one(const struct snpu_kernels *k, unsigned int isa, size_t n)
{
	const struct snpu_kernels *best = snpu_kernels();
	static float a[3000], b[3000], x[3000], y[3000];
	static double dx[3000], dy[3000];
	static uint8_t p[12000], q[12000];
	unsigned int t, op;
	double d, e;
	float f, g;

	random_floats(a, (unsigned int)n);
	random_floats(b, (unsigned int)n);
	for (t = SNPU_DT_F32; t <= SNPU_DT_I32; t++) {
		best->load(x, a, t, n);
		k->load(y, a, t, n);
		same(x, y, n * 4, "load", isa, n);
		if (t > SNPU_DT_F16)
			continue;
		best->store(p, a, t, n);
		k->store(q, a, t, n);
		same(p, q, n * snpu_dt_size(t), "store", isa, n);
		memcpy(p, a, n * snpu_dt_size(t));
		memcpy(q, a, n * snpu_dt_size(t));
		best->settle(p, t, n);
		k->settle(q, t, n);
		same(p, q, n * snpu_dt_size(t), "settle", isa, n);
	}
	best->to_i8((int8_t *)p, a, n);
	k->to_i8((int8_t *)q, a, n);
	same(p, q, n, "to_i8", isa, n);
	best->to_i32((int32_t *)p, a, n);
	k->to_i32((int32_t *)q, a, n);
	same(p, q, n * 4, "to_i32", isa, n);
	for (op = 0; op <= SNPU_ELT_MIN; op++) {
		best->eltwise(x, a, b, op, n);
		k->eltwise(y, a, b, op, n);
		same(x, y, n * 4, "eltwise", isa, n);
		if (op == SNPU_ELT_SCALE)
			continue;
		best->eltwise_int(x, a, b, SNPU_DT_I32, op, 7, n);
		k->eltwise_int(y, a, b, SNPU_DT_I32, op, 7, n);
		same(x, y, n * 4, "eltwise_int i32", isa, n);
		best->eltwise_int(x, a, b, SNPU_DT_I8, op, 7, n);
		k->eltwise_int(y, a, b, SNPU_DT_I8, op, 7, n);
		same(x, y, n, "eltwise_int i8", isa, n);
		best->eltwise_int(x, a, b, SNPU_DT_I64, op, 7, n / 2);
		k->eltwise_int(y, a, b, SNPU_DT_I64, op, 7, n / 2);
		same(x, y, n / 2 * 8, "eltwise_int i64", isa, n);
	}
	for (op = 0; op <= SNPU_ACT_GELU; op++) {
		unsigned int i;

		best->act(x, a, op, n);
		k->act(y, a, op, n);
		for (i = 0; i < n; i++)
			CHECK(!memcmp(&x[i], &y[i], 4) || (x[i] != x[i] && y[i] != y[i]),
			      "act %u of %a with instruction set %u: %a, %a", op, a[i], isa, x[i],
			      y[i]);
	}
	for (t = 0; t < n; t++)
		dx[t] = (double)a[t] * (double)b[t];
	best->narrow_f64(x, dx, n);
	k->narrow_f64(y, dx, n);
	same(x, y, n * 4, "narrow_f64", isa, n);
	best->exp_sub(x, a, 0.7, 3.0, n);
	k->exp_sub(y, a, 0.7, 3.0, n);
	for (t = 0; t < n; t++)
		CHECK(!memcmp(&x[t], &y[t], 4) || (x[t] != x[t] && y[t] != y[t]),
		      "exp of %a: %a, %a", a[t], x[t], y[t]);
	CHECK(best->argmax_f32(a, n) == k->argmax_f32(a, n), "argmax");
	CHECK(best->argmax_i32((int32_t *)a, n) == k->argmax_i32((int32_t *)a, n), "argmax_i32");
	CHECK(best->sum_int(a, SNPU_DT_I8, n) == k->sum_int(a, SNPU_DT_I8, n), "sum of I8");
	CHECK(best->sum_int(a, SNPU_DT_I32, n) == k->sum_int(a, SNPU_DT_I32, n), "sum of I32");
	/* from here on without NaN, whose sums need not have the same bits */
	for (t = 0; t < n; t++)
		a[t] = (float)fake_uniform(&seed);
	d = best->sum(a, n);
	e = k->sum(a, n);
	same(&d, &e, 8, "sum", isa, n);
	d = best->sum_sq(a, n);
	e = k->sum_sq(a, n);
	same(&d, &e, 8, "sum_sq", isa, n);
	f = best->max(a, -1, n);
	g = k->max(a, -1, n);
	same(&f, &g, 4, "max", isa, n);
	best->norm(x, a, a, 0.3, n);
	k->norm(y, a, a, 0.3, n);
	same(x, y, n * 4, "norm", isa, n);
	memset(dx, 0, sizeof(dx));
	memset(dy, 0, sizeof(dy));
	best->add_f64(dx, a, n);
	k->add_f64(dy, a, n);
	same(dx, dy, n * 8, "add_f64", isa, n);
}

static void test_kernels(void)
{
	static const size_t sizes[] = { 1, 7, 16, 31, 64, 100, 1023, 3000 };
	const struct snpu_kernels *k;
	unsigned int isa, s;

	for (isa = 0; (k = snpu_kernels_all(isa)); isa++)
		for (s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++)
			kernels_one(k, isa, sizes[s]);
	CHECK(isa >= 1, "no kernels at all");
}

static void test_copy_nt(void)
{
	enum { ROOM = 8192 };
	uint8_t *src = malloc(ROOM), *dst = malloc(ROOM), *want = malloc(ROOM);
	const struct snpu_kernels *k;
	unsigned int isa, i, n;

	for (i = 0; i < ROOM; i++)
		src[i] = (uint8_t)fake_rand(&seed);
	for (isa = 0; (k = snpu_kernels_all(isa)); isa++)
		for (i = 0; i < 4000; i++) {
			unsigned int s = (unsigned int)fake_rand(&seed) % 80;
			unsigned int d = (unsigned int)fake_rand(&seed) % 80;

			n = (unsigned int)fake_rand(&seed) % (i % 2 ? 700 : ROOM - 160);
			memset(dst, 0xee, ROOM);
			memset(want, 0xee, ROOM);
			memcpy(want + d, src + s, n);
			k->copy_nt(dst + d, src + s, n);
			__builtin_ia32_sfence();
			CHECK(!memcmp(dst, want, ROOM),
			      "%u bytes from %u to %u, instruction set %u", n, s, d, isa);
		}
	free(src);
	free(dst);
	free(want);
}

static uint32_t crc_bits(uint32_t crc, const uint8_t *p, size_t n)
{
	unsigned int i;

	for (crc = ~crc; n; n--)
		for (crc ^= *p++, i = 0; i < 8; i++)
			crc = crc >> 1 ^ (0x82f63b78u & -(crc & 1));
	return ~crc;
}

static void test_crc(void)
{
	static const size_t edge[] = { 0,   1,	  7,	 8,	9,     255,   256,   767,  768,
				       769, 8192, 24575, 24576, 24577, 49152, 50000, 99991 };
	uint8_t *buf = malloc(100016);
	unsigned int i, j;

	for (i = 0; i < 100016; i++)
		buf[i] = (uint8_t)fake_rand(&seed);
	for (i = 0; i < sizeof(edge) / sizeof(edge[0]); i++)
		for (j = 0; j < 9; j += 4) {
			uint32_t begin = j ? (uint32_t)fake_rand(&seed) : 0;
			uint32_t want = crc_bits(begin, buf + j, edge[i]);

			CHECK(snpu_crc32c(begin, buf + j, edge[i]) == want, "%u bytes at %u",
			      (unsigned int)edge[i], j);
			CHECK(snpu_crc32c_table(begin, buf + j, edge[i]) == want,
			      "table: %u bytes at %u", (unsigned int)edge[i], j);
		}
	free(buf);
}

int main(int argc, char **argv)
{
	static const struct fake_case cases[] = {
		{ "kernels", test_kernels },
		{ "copy_nt", test_copy_nt },
		{ "crc", test_crc },
	};

	return fake_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
}
