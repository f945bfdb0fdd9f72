// SPDX-License-Identifier: MIT
/*
 * ATTENTION against a reference in fp64, grouped MATMUL against the single products; on memory in
 * one piece and on scattered memory, which must give the same bits.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fake.h"
#include "range.h"

#define VA(mib)	(FAKE_BASE + ((uint64_t)(mib) << 20))

static uint64_t seed = 1;
static struct snpu_engine *eng;

static void both(struct fake f[2])
{
	fake_init(&f[0], false, 1);
	fake_init(&f[1], true, 2);
}

static void run(struct fake f[2], const union snpu_pkt *p)
{
	struct snpu_fault fault;
	int i, err;

	for (i = 0; i < 2; i++) {
		err = fake_exec(&f[i], eng, p, &fault);
		CHECK(!err, "op 0x%x fails with %d at 0x%llx, memory %d", p->hdr.op, err,
		      (unsigned long long)fault.va, i);
	}
}

/* What is at @va, having compared the two memories */
static void *fetch(struct fake f[2], uint64_t va, uint64_t bytes)
{
	void *a = malloc(bytes), *b = malloc(bytes);

	fake_read(&f[0], va, a, bytes);
	fake_read(&f[1], va, b, bytes);
	CHECK(!memcmp(a, b, bytes), "scattered memory gives other bits");
	free(b);
	return a;
}

static float *floats(struct fake f[2], uint64_t va, uint64_t n)
{
	float *buf = malloc(n * 4);
	uint64_t i;

	for (i = 0; i < n; i++)
		buf[i] = (float)fake_uniform(&seed);
	fake_write(&f[0], va, buf, n * 4);
	fake_write(&f[1], va, buf, n * 4);
	return buf;
}

static double dot(const float *a, const float *b, uint32_t n)
{
	double s = 0;
	uint32_t i;

	for (i = 0; i < n; i++)
		s += (double)a[i] * (double)b[i];
	return s;
}

/* One query row */
static void reference(double *out, const float *q, const float *kv,
		      const struct snpu_pkt_attention *c, float scale)
{
	double *p = malloc(c->len * sizeof(*p)), max = -INFINITY, sum = 0;
	uint32_t i, j;

	for (i = 0; i < c->len; i++) {
		p[i] = (double)scale * dot(q, kv + (uint64_t)i * c->dk, c->dk);
		max = p[i] > max ? p[i] : max;
	}
	for (i = 0; i < c->len; i++)
		sum += p[i] = exp(p[i] - max);
	for (j = 0; j < c->dv; j++) {
		out[j] = 0;
		for (i = 0; i < c->len; i++)
			out[j] += p[i] / sum * (double)kv[(uint64_t)i * c->dk + j];
	}
	free(p);
}

static void test_attention(void)
{
	static const struct { uint32_t batch, rows, len, dk, dv; float scale; } shape[] = {
		{ 1, 1, 1, 1, 1, 1 }, { 1, 3, 65, 8, 8, 0.5f }, { 3, 5, 200, 48, 32, -1 },
		{ 2, 16, 130, 576, 512, 0.04f }, { 1, 2, 3000, 64, 1, 0 },
	};
	struct fake f[2];
	unsigned int s;

	both(f);
	for (s = 0; s < sizeof(shape) / sizeof(shape[0]); s++) {
		union snpu_pkt p = { .attention = {
			.hdr = { SNPU_OP_ATTENTION, 0, SNPU_DT_F32, 0, 0 }, .q = VA(0),
			.kv = VA(8) + 4, .out = VA(16), .batch = shape[s].batch,
			.rows = shape[s].rows, .len = shape[s].len, .dk = shape[s].dk,
			.dv = shape[s].dv } };
		const struct snpu_pkt_attention *c = &p.attention;
		uint64_t n = (uint64_t)c->batch * c->rows, r, j;
		double *want = malloc(c->dv * sizeof(*want));
		float *q, *kv, *got;

		memcpy(&p.attention.scale, &shape[s].scale, 4);
		q = floats(f, c->q, n * c->dk);
		kv = floats(f, c->kv, (uint64_t)c->batch * c->len * c->dk);
		run(f, &p);
		got = fetch(f, c->out, n * c->dv * 4);
		for (r = 0; r < n; r++) {
			reference(want, q + r * c->dk, kv + r / c->rows * c->len * c->dk, c,
				  shape[s].scale);
			for (j = 0; j < c->dv; j++)
				CHECK(fabs((double)got[r * c->dv + j] - want[j]) < 4e-6,
				      "shape %u row %llu column %llu: %g, expected %g", s,
				      (unsigned long long)r, (unsigned long long)j,
				      (double)got[r * c->dv + j], want[j]);
		}
		free(want);
		free(q);
		free(kv);
		free(got);
	}
	fake_free(&f[0]);
	fake_free(&f[1]);
}

/* A group gives the bits of its products one by one */
static void test_groups(void)
{
	static const uint8_t types[][2] = { { SNPU_DT_F32, SNPU_DT_F32 },
					    { SNPU_DT_BF16, SNPU_DT_F32 },
					    { SNPU_DT_I8, SNPU_DT_I32 } };
	unsigned int t, flags, g;
	struct fake f[2];

	both(f);
	free(floats(f, VA(0), 1 << 18));
	free(floats(f, VA(4), 1 << 18));
	free(floats(f, VA(8), 1 << 12));
	for (t = 0; t < 3; t++)
		for (flags = 0; flags < 16; flags++) {
			union snpu_pkt p = { .matmul = {
				.hdr = { SNPU_OP_MATMUL, (uint8_t)flags, types[t][0], types[t][1], 5 },
				.a = VA(0), .b = VA(4), .c = VA(12), .m = 9, .n = 20, .k = 33,
				.lda = flags & SNPU_PF_TRANS_A ? 9 : 40,
				.ldb = flags & SNPU_PF_TRANS_B ? 33 : 24, .ldc = 21,
				.bias = flags & SNPU_PF_BIAS ? VA(8) : 0 } };
			uint64_t size = snpu_dt_size(types[t][0]), bytes = 5ull * 9 * 21 * 4;
			uint64_t sa = size * p.matmul.lda * (flags & SNPU_PF_TRANS_A ? 33 : 9);
			uint64_t sb = size * p.matmul.ldb * (flags & SNPU_PF_TRANS_B ? 20 : 33);
			void *all, *single, *zero = calloc(1, bytes);

			CHECK(!snpu_pkt_check(&p), "type %u flags %u: refused", t, flags);
			for (g = 0; g < 2; g++)
				fake_write(&f[g], VA(12), zero, bytes);
			run(f, &p);
			all = fetch(f, VA(12), bytes);
			for (g = 0; g < 2; g++)
				fake_write(&f[g], VA(12), zero, bytes);
			p.hdr.arg = 1;
			for (g = 0; g < 5; g++) {
				run(f, &p);
				p.matmul.a += sa;
				p.matmul.b += sb;
				p.matmul.c += 9 * 21 * 4;
				if (flags & SNPU_PF_BIAS)
					p.matmul.bias += 20 * 4;
			}
			single = fetch(f, VA(12), bytes);
			CHECK(!memcmp(all, single, bytes), "type %u flags %u: other bits", t, flags);
			CHECK(memcmp(all, zero, bytes), "type %u flags %u: nothing there", t, flags);
			free(all);
			free(single);
			free(zero);
		}
	fake_free(&f[0]);
	fake_free(&f[1]);
}

int main(int argc, char **argv)
{
	static const struct fake_case cases[] = {
		{ "attention", test_attention },
		{ "groups", test_groups },
	};
	int ret;

	eng = snpu_engine_create();
	ret = fake_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
	snpu_engine_destroy(eng);
	return ret;
}
