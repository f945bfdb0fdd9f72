// SPDX-License-Identifier: MIT
/* snpu-bench gemm: matrix products in virtual time, on one die and on every NPU. */
#include <errno.h>
#include <getopt.h>
#include <string.h>

#include "bench.h"
#include "model.h"

#define PAPER	"arXiv 2506.12708"
#define BIG	16384u

static const char help[] =
"usage: snpu-bench gemm [OPTIONS]\n"
"\n"
"Matrix products, executed on timing-only queues: utilisation of a die by grouped INT8 products and\n"
"by MLA, and the rate of all NPUs together with bf16: at engine peak, and sustained.\n"
"\n"
"  -s, --shape G,M,N,K      one grouped product instead (more than one: repeat it)\n"
"  -t, --type NAME          of the shapes: int8 (default) or bf16\n"
"  -n, --npus N             NPUs for the bf16 rate (default: all of the machine)\n"
"  -w, --what LIST          int8, mla, bf16 (default: all)\n";

struct gemm {
	double shape[16][5];
	int shapes;
	bool bf16;
	unsigned int npus;
	const char *what;
};

struct known {
	double shape[4], util;
};

/* Per die */
static const struct known published[] = {
	{ { 4, 7168, 4096, 4096 }, 79.4 },
	{ { 4, 2048, 7168, 4096 }, 77.4 },
	{ { 4, 2048, 7168, 8192 }, 81.1 },
};

static int take(void *ctx, int c, const char *arg)
{
	struct gemm *g = ctx;
	double v[2];
	int n;

	switch (c) {
	case 's':
		if (g->shapes == 16) {
			fprintf(stderr, "snpu-bench: --shape: at most 16\n");
			return -EINVAL;
		}
		n = model_list("--shape", arg, 1, 1 << 20, g->shape[g->shapes], 5);
		if (n >= 0 && n != 4)
			fprintf(stderr, "snpu-bench: --shape: '%s': groups, M, N, K\n", arg);
		if (n == 4 && g->shape[g->shapes][0] > SNPU_MAX_GROUPS) {
			fprintf(stderr, "snpu-bench: --shape: '%s': at most %u groups\n", arg,
				SNPU_MAX_GROUPS);
			n = -EINVAL;
		}
		g->shapes += n == 4;
		return n == 4 ? 0 : -EINVAL;
	case 't':
		g->bf16 = !strcmp(arg, "bf16");
		if (g->bf16 || !strcmp(arg, "int8"))
			return 0;
		fprintf(stderr, "snpu-bench: --type: '%s': int8 or bf16\n", arg);
		return -EINVAL;
	case 'n':
		n = model_list("--npus", arg, 1, 1024, v, 2);
		g->npus = n > 0 ? (unsigned int)v[0] : 0;
		return n < 0 ? n : 0;
	default:
		g->what = arg;
		return 0;
	}
}

static void put(union snpu_pkt *p, bool bf16, const double *s)
{
	snpu_prep_matmul_grouped(p, 0, bf16 ? SNPU_DT_BF16 : SNPU_DT_I8,
				 bf16 ? SNPU_DT_BF16 : SNPU_DT_I32, MODEL_LOCAL(0),
				 MODEL_LOCAL(1), MODEL_LOCAL(2), (uint32_t)s[0], (uint32_t)s[1],
				 (uint32_t)s[2], (uint32_t)s[3]);
}

/* Seconds of what @fill puts into a queue of one die */
static int on_die(const struct model_opts *o, void (*fill)(union snpu_pkt *p, const void *ctx),
		  const void *ctx, struct snpu_info *info, double *seconds)
{
	struct model_cfg cfg = { .npus = 1, .by_die = true, .queues = 1 };
	uint64_t end;
	struct model *m;
	int ret;

	ret = model_open(&m, o, &cfg);
	if (ret)
		return ret;
	fill(model_pkt(m, 0, 0, 0), ctx);
	ret = model_run(m, &end);
	*info = m->info;
	*seconds = (double)end * 1e-9;
	model_close(m);
	return ret;
}

static void fill_int8(union snpu_pkt *p, const void *ctx)
{
	put(p, false, ctx);
}

static void fill_bf16(union snpu_pkt *p, const void *ctx)
{
	put(p, true, ctx);
}

static int shape(const struct model_opts *o, const struct gemm *g, const double *s, double known)
{
	double flops = 2 * s[0] * s[1] * s[2] * s[3], sec;
	struct model_row r = {
		.unit = "%", .published = known, .points = true, .bar = 2, .source = PAPER,
	};
	struct snpu_info info;
	double peak;
	int ret;

	if (s[0] * s[1] * s[2] * s[3] > (double)SNPU_MAX_MACS) {
		fprintf(stderr, "snpu-bench: gemm: %g x %g x %g x %g: larger than a packet can be\n",
			s[0], s[1], s[2], s[3]);
		return -EINVAL;
	}
	ret = on_die(o, g->bf16 ? fill_bf16 : fill_int8, s, &info, &sec);
	if (ret)
		return ret;
	peak = (double)(g->bf16 ? info.flops_bf16 : info.ops_int8) / info.dies;
	snprintf(r.name, sizeof(r.name), "%s %.0f x %.0f x %.0f x %.0f, one die",
		 g->bf16 ? "bf16" : "int8", s[0], s[1], s[2], s[3]);
	r.value = 100 * flops / sec / peak;
	model_row(&r);
	return 0;
}

/* Latent attention: 256 query rows make it compute-bound, 16 memory-bound */
static void fill_mla(union snpu_pkt *p, const void *ctx)
{
	snpu_prep_attention(p, SNPU_DT_BF16, MODEL_LOCAL(0), MODEL_LOCAL(1), MODEL_LOCAL(2), 256,
			    *(const uint32_t *)ctx, 8192, 576, 512, 1);
}

static int mla(const struct model_opts *o, bool cm384)
{
	static const uint32_t rows[] = { 256, 16 };
	static const double known[] = { 65.4, 84.1 };
	struct snpu_info info;
	double sec, v;
	int i, ret = 0;

	for (i = 0; i < 2 && !ret; i++) {
		struct model_row r = {
			.unit = "%", .published = cm384 ? known[i] : NAN, .points = true,
			.bar = 2, .source = PAPER,
		};

		ret = on_die(o, fill_mla, &rows[i], &info, &sec);
		if (ret)
			break;
		v = i ? 2. * 256 * ((rows[i] + 8192.) * 576 + rows[i] * 512.) /
			((double)info.hbm_bw / info.dies) :
		    2. * 256 * rows[i] * 8192. * (576 + 512) /
			((double)info.flops_bf16 / info.dies);
		snprintf(r.name, sizeof(r.name), "MLA, share of %s", i ? "HBM bandwidth" :
			 "compute");
		r.value = 100 * v / sec;
		model_row(&r);
	}
	return ret;
}

/* One product on each NPU, by all its dies; the rate is of all, until the last has ended */
static int aggregate(const struct model_opts *o, unsigned int npus, bool ideal)
{
	struct model_cfg cfg = { .npus = npus, .queues = 1, .ideal = ideal };
	static const double cube[] = { 1, BIG, BIG, BIG };
	struct model_row r = {
		.unit = "PFLOPS", .published = NAN, .bar = 1, .source = "press, vendor",
	};
	uint64_t end;
	unsigned int i;
	struct model *m;
	int ret;

	ret = model_open(&m, o, &cfg);
	if (ret)
		return ret;
	for (i = 0; i < m->nodes; i++)
		put(model_pkt(m, i, 0, 0), true, cube);
	ret = model_run(m, &end);
	if (!ret) {
		r.value = m->nodes * 2. * BIG * BIG * BIG / (double)end / 1e6;
		if (ideal && m->nodes == m->info.machine_npus)
			r.published = !strcmp(m->info.profile, "cm384-781") ? 300 :
				      !strcmp(m->info.profile, "nvl72") ? 180 : NAN;
		snprintf(r.name, sizeof(r.name), "bf16 on %u NPUs, %s", m->nodes,
			 ideal ? "engine peak" : "sustained");
		model_row(&r);
	}
	model_close(m);
	return ret;
}

int bench_gemm(int argc, char **argv)
{
	static const struct option own[] = {
		{ "shape", required_argument, NULL, 's' },
		{ "type", required_argument, NULL, 't' },
		{ "npus", required_argument, NULL, 'n' },
		{ "what", required_argument, NULL, 'w' },
		{ NULL, 0, NULL, 0 },
	};
	struct gemm g = { .what = "int8,mla,bf16" };
	const char *row = "gemm-int8";
	struct model_opts o = { 0 };
	bool cm384;
	size_t i;
	int ret, rc;

	ret = model_options(argc, argv, help, own, take, &g, &o);
	if (!ret)
		ret = model_rows_open(&o, "Matrix products");
	if (ret)
		return ret > 0 ? 0 : ret;
	cm384 = !strncmp(o.profile, "cm384", 5);
	for (i = 0; i < (size_t)g.shapes && !ret; i++)
		ret = shape(&o, &g, g.shape[i], NAN);
	if (!g.shapes && strstr(g.what, "int8"))
		for (i = 0; i < sizeof(published) / sizeof(*published) && !ret; i++)
			ret = shape(&o, &g, published[i].shape,
				    cm384 && !g.bf16 ? published[i].util : NAN);
	if (!ret && !g.shapes && strstr(g.what, "mla"))
		ret = mla(&o, cm384);
	if (!ret && !g.shapes && strstr(g.what, "bf16"))
		ret = aggregate(&o, g.npus, true);
	if (!ret && !g.shapes && strstr(g.what, "bf16"))
		ret = aggregate(&o, g.npus, false);
	if (!strcmp(g.what, "bf16"))
		row = !strcmp(o.profile, "nvl72") ? "gemm-bf16-nvl72" : "gemm-bf16-cm384-781";
	rc = model_rows_close(&o, ret ? NULL : row);
	return ret ? ret : rc;
}
