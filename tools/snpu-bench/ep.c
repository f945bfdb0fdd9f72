// SPDX-License-Identifier: MIT
/* snpu-bench ep: dispatch and combine of a mixture of experts, by degree of expert parallelism. */
#include <errno.h>
#include <getopt.h>
#include <string.h>

#include "bench.h"
#include "moe.h"

#define PAPER	"arXiv 2506.12708"

static const char help[] =
"usage: snpu-bench ep [OPTIONS]\n"
"\n"
"Dispatch and combine of a mixture of experts: hidden size 7168, 8 experts a token, dispatch in INT8\n"
"and combine in bf16, each rank a die with its own messages to all others.\n"
"\n"
"  -e, --ep LIST            degrees: ranks (default 8,16,32,64,128,256, as far as dies go)\n"
"  -n, --batch N            tokens of a rank (default 128)\n";

struct ep {
	double degree[33];
	int degrees;
	bool given;
	unsigned int batch;
};

static const struct {
	const char *profile;
	unsigned int degree;
	double us[2];
} published[] = {
	{ "cm384", 8, { 116, 118 } },
	{ "cm384", 32, { 133, 146 } },
	{ "cm384", 128, { 152, 150 } },
	{ "hgx-h800", 8, { 163, 318 } },
};

static int take(void *ctx, int c, const char *arg)
{
	struct ep *e = ctx;
	double v[2];
	int i, n;

	if (c == 'e') {
		e->degrees = model_list("--ep", arg, 2, 2048, e->degree, 33);
		e->given = true;
		for (i = 0; i < e->degrees; i++)
			e->degree[i] = (unsigned int)e->degree[i];
		return e->degrees < 0 ? e->degrees : 0;
	}
	n = model_list("--batch", arg, 1, 65536, v, 2);
	e->batch = n > 0 ? (unsigned int)v[0] : 0;
	return n < 0 ? n : 0;
}

static double known(const struct model_opts *o, const struct ep *e, unsigned int degree,
		    bool combine)
{
	size_t i;

	for (i = 0; i < sizeof(published) / sizeof(*published) && e->batch == 128; i++)
		if (!strcmp(published[i].profile, o->profile) && published[i].degree == degree)
			return published[i].us[combine];
	return NAN;
}

static int one(const struct model_opts *o, const struct ep *e, unsigned int dies,
	       unsigned int degree, bool combine)
{
	struct model_cfg cfg = {
		.npus = (degree + dies - 1) / dies, .by_die = true, .queues = 1,
	};
	struct moe x = { .ranks = degree, .group = 1 };
	struct model_row r = { .unit = "us", .bar = 10, .source = PAPER };
	struct model shape = { .dies = dies };
	uint64_t end;
	int ret;

	x.m = &shape;
	cfg.bytes = moe_window(&x, 1);
	ret = model_open(&x.m, o, &cfg);
	if (ret)
		return ret;
	if (combine)
		moe_combine(&x, e->batch);
	else
		moe_dispatch(&x, e->batch);
	ret = model_run(x.m, &end);
	model_close(x.m);
	if (ret)
		return ret;
	snprintf(r.name, sizeof(r.name), "%s, EP%u, %u tokens", combine ? "combine" : "dispatch",
		 degree, e->batch);
	r.value = (double)end / 1000;
	r.published = known(o, e, degree, combine);
	model_row(&r);
	snprintf(r.name, sizeof(r.name), "  per rank");
	r.unit = "GB/s";
	r.value = (double)e->batch * MOE_TOP * (MOE_HIDDEN * (combine ? 2 : 1) + MOE_HEAD) /
		  (double)end;
	r.published = NAN;
	model_row(&r);
	return 0;
}

int bench_ep(int argc, char **argv)
{
	static const struct option own[] = {
		{ "ep", required_argument, NULL, 'e' },
		{ "batch", required_argument, NULL, 'n' },
		{ NULL, 0, NULL, 0 },
	};
	struct ep e = { .batch = 128, .degrees = 6, .degree = { 8, 16, 32, 64, 128, 256 } };
	struct model_opts o = { 0 };
	struct snpu_info info;
	int i, ret, rc;

	ret = model_options(argc, argv, help, own, take, &e, &o);
	if (!ret)
		ret = model_facts(&o, &info);
	if (!ret)
		ret = model_rows_open(&o, "Dispatch and combine");
	if (ret)
		return ret > 0 ? 0 : ret;
	for (i = 0; i < e.degrees && !ret; i++) {
		unsigned int d = (unsigned int)e.degree[i], have = info.machine_npus * info.dies;

		if (d > have) {
			if (!e.given)
				continue;
			fprintf(stderr, "snpu-bench: ep: %u ranks, but the machine has %u dies\n", d,
				have);
			ret = -EINVAL;
			break;
		}
		ret = one(&o, &e, info.dies, d, false);
		if (!ret)
			ret = one(&o, &e, info.dies, d, true);
	}
	rc = model_rows_close(&o, ret ? NULL : "ep-cm384");
	return ret ? ret : rc;
}
