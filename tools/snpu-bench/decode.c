// SPDX-License-Identifier: MIT
/*
 * snpu-bench decode: one decode step of a 671B-parameter mixture of experts (DeepSeek-R1), executed
 * on timing-only queues of all ranks.
 *
 * A rank is a die: its own requests in attention (data-parallel), one expert in the mixture
 * (expert-parallel). Requests are cut into microbatches, each with a queue of its own, so that
 * one's exchange goes on beside another's kernels. Every layer's kernels are packets with the shapes
 * of the model; the exchanges are those of snpu-bench ep.
 */
#include <errno.h>
#include <getopt.h>
#include <string.h>

#include "bench.h"
#include "moe.h"

#define PAPER		"arXiv 2506.12708"

/* The model: public configuration */
#define LAYERS		61u
#define HEADS		128u
#define Q_RANK		1536u
#define KV_RANK		512u
#define ROPE		64u
#define HEAD_QK		(128u + ROPE)
#define HEAD_V		128u
#define EXPERTS		256u
#define EXPERT_DIM	2048u
#define VOCAB		129280u
#define WEIGHTS		6.57e11	/* bytes of all experts in INT8 */
#define OWN_WEIGHTS	1.4e10	/* and of the rest, which every rank has */
#define TWO_FROM	8u	/* requests of a die: below, a second pass over all weights costs too much */
#define ACCEPT		0.7	/* of the token that multi-token prediction guesses */

static const char help[] =
"usage: snpu-bench decode [OPTIONS]\n"
"\n"
"Decode of DeepSeek-R1 (671B): time of an output token and tokens/s of an NPU. Every kernel and exchange\n"
"of a step is executed on every rank, in virtual time.\n"
"\n"
"  -n, --batch LIST         requests of an NPU (default 8,24,96)\n"
"  -C, --context LIST       tokens in the KV cache (default 4096)\n"
"  -e, --ep N               ranks: dies (default 320, or all dies of a smaller machine)\n"
"  -M, --no-mtp             no multi-token prediction\n"
"  -u, --microbatches N     1 or 2 (default 2; 1 below 8 requests a die)\n"
"  -L, --layers N           layers that are executed (default 61); time is for 61\n"
"  -U, --step-us US         host's part of a step: scheduling (default 1000)\n"
"  -R, --request-us US      and of each request in it: sampling, tables (default 21)\n";

struct decode {
	double batch[16], context[16];
	int batches, contexts;
	unsigned int ep, micro, layers;
	double step_us, request_us;
	bool mtp;
};

/* @layer_us: of a layer, 0: not published; the rows without MTP have only that */
static const struct point {
	const char *profile;
	bool mtp;
	double batch, context, ms, layer_us;
} published[] = {
	{ "cm384", true, 8, 4096, 14.9, 0 },
	{ "cm384", true, 24, 4096, 24.6, 0 },
	{ "cm384", true, 96, 4096, 49.4, 1260 },
	{ "cm384", false, 96, 4096, NAN, 874 },
};

static int one_number(const char *opt, const char *arg, double min, double max, unsigned int *out)
{
	double v[2];
	int n = model_list(opt, arg, min, max, v, 2);

	*out = n > 0 ? (unsigned int)v[0] : 0;
	return n < 0 ? n : 0;
}

static int take(void *ctx, int c, const char *arg)
{
	struct decode *d = ctx;
	unsigned int v;
	int ret;

	switch (c) {
	case 'n':
		d->batches = model_list("--batch", arg, 1, 4096, d->batch, 16);
		return d->batches < 0 ? d->batches : 0;
	case 'C':
		d->contexts = model_list("--context", arg, 1, 1 << 20, d->context, 16);
		return d->contexts < 0 ? d->contexts : 0;
	case 'e':
		return one_number("--ep", arg, 2, 2048, &d->ep);
	case 'u':
		return one_number("--microbatches", arg, 1, 2, &d->micro);
	case 'L':
		return one_number("--layers", arg, 1, LAYERS, &d->layers);
	case 'U':
		ret = one_number("--step-us", arg, 0, 1e6, &v);
		d->step_us = v;
		return ret;
	case 'R':
		ret = one_number("--request-us", arg, 0, 1e6, &v);
		d->request_us = v;
		return ret;
	default:
		d->mtp = false;
		return 0;
	}
}

/* Kernels of a queue of a rank, each with operands of its own */
struct rank {
	const struct moe *e;
	unsigned int rank;
	unsigned int next;
};

static union snpu_pkt *pkt(struct rank *r)
{
	unsigned int dies = r->e->m->dies;

	return model_pkt(r->e->m, r->rank / dies, r->rank % dies, r->e->queue);
}

static void matmul(struct rank *r, bool int8, unsigned int groups, unsigned int m, unsigned int n,
		   unsigned int k)
{
	snpu_prep_matmul_grouped(pkt(r), 0, int8 ? SNPU_DT_I8 : SNPU_DT_BF16,
				 int8 ? SNPU_DT_I32 : SNPU_DT_BF16, MODEL_LOCAL(0),
				 MODEL_LOCAL(1), MODEL_LOCAL(2), groups, m, n, k);
}

static void norm(struct rank *r, unsigned int rows, unsigned int cols)
{
	snpu_prep_rmsnorm(pkt(r), SNPU_DT_BF16, MODEL_LOCAL(3), MODEL_LOCAL(4), MODEL_LOCAL(5),
			  rows, cols, 1e-6f);
}

static void quantise(struct rank *r, unsigned int rows, unsigned int cols)
{
	snpu_prep_convert(pkt(r), MODEL_LOCAL(6), SNPU_DT_I8, MODEL_LOCAL(7), SNPU_DT_BF16,
			  (uint64_t)rows * cols, 1);
}

static void add(struct rank *r, uint64_t count)
{
	snpu_prep_eltwise(pkt(r), SNPU_ELT_ADD, SNPU_DT_BF16, MODEL_LOCAL(8), MODEL_LOCAL(8),
			  MODEL_LOCAL(9), count);
}

/* Latent attention with absorbed projections: the cache is read once for all heads */
static void attention(struct rank *r, unsigned int requests, unsigned int tokens,
		      unsigned int context)
{
	unsigned int t = requests * tokens;

	norm(r, t, MOE_HIDDEN);
	quantise(r, t, MOE_HIDDEN);
	matmul(r, true, 1, t, Q_RANK + KV_RANK + ROPE, MOE_HIDDEN);
	norm(r, t, Q_RANK);
	matmul(r, true, 1, t, HEADS * HEAD_QK, Q_RANK);
	matmul(r, false, HEADS, t, KV_RANK, HEAD_V);
	snpu_prep_attention(pkt(r), SNPU_DT_BF16, MODEL_LOCAL(0), MODEL_LOCAL(1), MODEL_LOCAL(2),
			    requests, HEADS * tokens, context, KV_RANK + ROPE, KV_RANK, 1);
	matmul(r, false, HEADS, t, HEAD_V, KV_RANK);
	quantise(r, t, HEADS * HEAD_V);
	matmul(r, true, 1, t, MOE_HIDDEN, HEADS * HEAD_V);
	add(r, (uint64_t)t * MOE_HIDDEN);
	norm(r, t, MOE_HIDDEN);
}

static void gate(struct rank *r, unsigned int t)
{
	matmul(r, false, 1, t, EXPERTS, MOE_HIDDEN);
	snpu_prep_softmax(pkt(r), 0, SNPU_DT_BF16, MODEL_LOCAL(0), MODEL_LOCAL(0), t, EXPERTS,
			  EXPERTS, 1, 0);
}

/*
 * All ranks' tokens meet at their experts, 8 and the shared one for each, evenly: with fewer ranks than
 * experts a rank has several, and reads the weights of all of them
 */
static void expert(struct rank *r, unsigned int t)
{
	unsigned int own = (EXPERTS + r->e->ranks - 1) / r->e->ranks;
	unsigned int each = (t * (MOE_TOP + 1) + own - 1) / own, rows = own * each;

	matmul(r, true, own, each, 2 * EXPERT_DIM, MOE_HIDDEN);
	snpu_prep_act(pkt(r), SNPU_ACT_SILU, SNPU_DT_BF16, MODEL_LOCAL(3), MODEL_LOCAL(4),
		      (uint64_t)rows * EXPERT_DIM);
	snpu_prep_eltwise(pkt(r), SNPU_ELT_MUL, SNPU_DT_BF16, MODEL_LOCAL(8), MODEL_LOCAL(8),
			  MODEL_LOCAL(9), (uint64_t)rows * EXPERT_DIM);
	quantise(r, rows, EXPERT_DIM);
	matmul(r, true, own, each, MOE_HIDDEN, EXPERT_DIM);
}

/* What each of two microbatches of all ranks does in a layer */
static void layer(struct moe *e, const struct decode *d, unsigned int requests,
		  unsigned int context)
{
	unsigned int tokens = d->mtp ? 2 : 1, t = requests * tokens, i;
	struct rank r = { .e = e };

	for (i = 0; i < e->ranks; i++) {
		r.rank = i;
		attention(&r, requests, tokens, context);
		gate(&r, t);
	}
	moe_dispatch(e, t);
	for (i = 0; i < e->ranks; i++) {
		r.rank = i;
		expert(&r, t);
	}
	moe_combine(e, t);
	for (i = 0; i < e->ranks; i++) {
		r.rank = i;
		add(&r, (uint64_t)t * MOE_HIDDEN);
	}
	e->round++;
}

/* The head, sharded over the ranks of a host: every rank does its share for all of them */
static void head(struct moe *e, unsigned int t, unsigned int shards)
{
	struct rank r = { .e = e };
	unsigned int i;

	for (i = 0; i < e->ranks; i++) {
		r.rank = i;
		norm(&r, t, MOE_HIDDEN);
		matmul(&r, false, 1, t * shards, VOCAB / shards, MOE_HIDDEN);
	}
}

/* A message to each fifth of the ranks, or as near as their number can be divided evenly */
static unsigned int group_of(unsigned int ranks)
{
	unsigned int n = ranks < 5 ? ranks : 5;

	while (ranks % n)
		n++;
	return ranks / n;
}

/* ns of a step of @layers layers */
static int step(const struct model_opts *o, const struct decode *d, unsigned int dies,
		unsigned int batch, unsigned int context, double *ns)
{
	unsigned int ranks = d->ep, per_die = (batch + dies - 1) / dies, l, u;
	unsigned int micro = d->micro ? d->micro : per_die < TWO_FROM ? 1 : 2;
	struct model_cfg cfg = {
		.npus = (ranks + dies - 1) / dies, .by_die = true, .queues = micro,
	};
	struct model shape = { .dies = dies };
	struct moe e = { .m = &shape, .ranks = ranks, .group = group_of(ranks) }, x[2];
	uint64_t end;
	int ret;

	micro = micro > per_die ? per_die : micro;
	cfg.bytes = moe_window(&e, 2);
	ret = model_open(&e.m, o, &cfg);
	if (ret)
		return ret;
	for (u = 0; u < micro; u++) {
		x[u] = e;
		x[u].queue = u;
		x[u].slot = u;
	}
	/* multi-token prediction is one layer more */
	for (l = 0; l < d->layers + d->mtp; l++)
		for (u = 0; u < micro; u++)
			layer(&x[u], d, (per_die + u) / micro, context);
	for (u = 0; u < micro; u++)
		head(&x[u], (per_die + u) / micro * (1 + d->mtp), 2 * dies * 4);
	ret = model_run(e.m, &end);
	model_close(e.m);
	*ns = (double)end * (LAYERS + d->mtp) / (d->layers + d->mtp);
	return ret;
}

static const struct point *known(const struct model_opts *o, const struct decode *d,
				 double batch, double context)
{
	size_t i;

	for (i = 0; i < sizeof(published) / sizeof(*published); i++)
		if (!strcmp(published[i].profile, o->profile) && published[i].mtp == d->mtp &&
		    published[i].batch == batch && published[i].context == context)
			return &published[i];
	return NULL;
}

static int point(const struct model_opts *o, const struct decode *d, const struct snpu_info *info,
		 double batch, double context)
{
	const struct point *k = known(o, d, batch, context);
	struct model_row r = { .unit = "ms", .bar = 10, .source = PAPER };
	double ns, tpot;
	int ret;

	ret = step(o, d, info->dies, (unsigned int)batch, (unsigned int)context, &ns);
	if (ret)
		return ret;
	tpot = (ns / 1e6 + (d->step_us + batch * d->request_us) / 1e3) / (d->mtp ? 1 + ACCEPT : 1);
	snprintf(r.name, sizeof(r.name), "batch %.0f, context %.0f: an output token", batch,
		 context);
	r.value = tpot;
	r.published = k ? k->ms : NAN;
	model_row(&r);
	snprintf(r.name, sizeof(r.name), "  tokens/s of an NPU");
	r.unit = "";
	r.value = batch / tpot * 1000;
	r.published = isfinite(r.published) && batch == 96 ? 1920 : NAN;
	r.at_least = tpot <= 50;
	r.source = "press headline";
	model_row(&r);
	snprintf(r.name, sizeof(r.name), "  a layer");
	r.unit = "us";
	r.value = ns / 1e3 / (LAYERS + d->mtp);
	r.published = k && k->layer_us ? k->layer_us : NAN;
	r.at_least = false;
	r.source = PAPER;
	model_row(&r);
	return 0;
}

int bench_decode(int argc, char **argv)
{
	static const struct option own[] = {
		{ "batch", required_argument, NULL, 'n' },
		{ "context", required_argument, NULL, 'C' },
		{ "ep", required_argument, NULL, 'e' },
		{ "no-mtp", no_argument, NULL, 'M' },
		{ "microbatches", required_argument, NULL, 'u' },
		{ "layers", required_argument, NULL, 'L' },
		{ "step-us", required_argument, NULL, 'U' },
		{ "request-us", required_argument, NULL, 'R' },
		{ NULL, 0, NULL, 0 },
	};
	struct decode d = {
		.batch = { 8, 24, 96 }, .batches = 3, .context = { 4096 }, .contexts = 1,
		.layers = LAYERS, .step_us = 1000, .request_us = 21,
		.mtp = true,
	};
	struct model_opts o = { 0 };
	struct snpu_info info;
	unsigned int have;
	int i, k, ret, rc;

	ret = model_options(argc, argv, help, own, take, &d, &o);
	if (!ret)
		ret = model_facts(&o, &info);
	if (!ret)
		ret = model_rows_open(&o, "Decode of DeepSeek-R1");
	if (ret)
		return ret > 0 ? 0 : ret;
	have = info.machine_npus * info.dies;
	if (d.ep > have) {
		fprintf(stderr, "snpu-bench: decode: --ep %u: the machine has %u dies\n", d.ep, have);
		ret = -EINVAL;
	}
	d.ep = d.ep ? d.ep : have < 320 ? have : 320;
	if (!ret && WEIGHTS / d.ep + OWN_WEIGHTS > (double)info.hbm_bytes / info.dies)
		fprintf(stderr, "snpu-bench: decode: %u ranks: %.0f GB of weights for each, but %.0f GB of HBM: "
			"it would not fit\n", d.ep, (WEIGHTS / d.ep + OWN_WEIGHTS) / 1e9,
			(double)info.hbm_bytes / info.dies / 1e9);
	for (i = 0; i < d.batches && !ret; i++)
		for (k = 0; k < d.contexts && !ret; k++)
			ret = point(&o, &d, &info, d.batch[i], d.context[k]);
	rc = model_rows_close(&o, ret ? NULL : "decode-cm384");
	return ret ? ret : rc;
}
