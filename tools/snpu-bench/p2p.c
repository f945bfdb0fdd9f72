// SPDX-License-Identifier: MIT
/* snpu-bench p2p: latency and bandwidth of peers in virtual time. */
#include <errno.h>
#include <getopt.h>
#include <string.h>

#include "bench.h"
#include "model.h"

#define PAPER	"arXiv 2506.12708"

static const char help[] =
"usage: snpu-bench p2p [OPTIONS]\n"
"\n"
"One die reads from and writes to another NPU, in its host and in another, and the memory of its\n"
"host: latency of a small access, bandwidth of a large one. Also many to one, and one to many.\n"
"\n"
"  -l, --latency-bytes N    size of the small access (default 512)\n"
"  -m, --bytes N            size of the large one (default 268435456)\n";

struct p2p {
	double small, big;
};

static int take(void *ctx, int c, const char *arg)
{
	struct p2p *p = ctx;
	double v[2];
	int n = model_list(c == 'l' ? "--latency-bytes" : "--bytes", arg, 1, 1e11, v, 2);

	if (n < 0)
		return n;
	*(c == 'l' ? &p->small : &p->big) = v[0];
	return 0;
}

enum where { INTRA, INTER, HOST };

struct path {
	const char *name;
	enum where where;
	bool write;
	double gbps, us;	/* published for cm384 */
};

static const struct path paths[] = {
	{ "NPU-NPU read, other host", INTER, false, 164, 1.9 },
	{ "NPU-NPU read, same host", INTRA, false, 167, 1.2 },
	{ "NPU-NPU write, other host", INTER, true, 135, 2.1 },
	{ "NPU-NPU write, same host", INTRA, true, 137, 1.3 },
	{ "NPU-CPU read, same host", HOST, false, 151, 1.0 },
	{ "NPU-CPU write, same host", HOST, true, 110, 1.1 },
};

/* ns that a copy of @bytes over @p takes */
static int one(const struct model_opts *o, const struct path *p, uint64_t bytes, double *ns)
{
	struct model_cfg cfg = { .by_die = true, .queues = 1, .bytes = 1 << 20 };
	uint64_t end, far = 0, near = MODEL_LOCAL(0);
	struct snpu_mem *host = NULL;
	struct snpu_info info;
	unsigned int per_host;
	struct model *m;
	int ret;

	ret = model_facts(o, &info);
	if (ret)
		return ret;
	per_host = info.machine_npus / info.machine_hosts;
	if (p->where == INTER && info.machine_hosts < 2)
		return 1;
	if (p->where == INTRA && per_host < 2)
		return 1;
	cfg.npus = p->where == INTER ? per_host + 1 : p->where == INTRA ? 2 : 1;
	ret = model_open(&m, o, &cfg);
	if (ret)
		return ret;
	if (p->where == HOST) {
		ret = snpu_mem_alloc(m->node[0].ctx, 1 << 20, SNPU_MEM_HOST, &host);
		if (ret)
			bench_fail(ret, "p2p: host memory");
		else
			far = snpu_mem_va(host);
	} else {
		far = model_va(m, 0, cfg.npus - 1, 0);
	}
	if (!ret) {
		snpu_prep_copy(model_pkt(m, 0, 0, 0), p->write ? far : near,
			       p->write ? near : far, bytes);
		ret = model_run(m, &end);
		*ns = (double)end;
	}
	snpu_mem_free(host);
	model_close(m);
	return ret;
}

static int path(const struct model_opts *o, const struct p2p *opt, const struct path *p)
{
	bool known = !strcmp(o->profile, "cm384");
	struct model_row r = { .bar = 5, .source = PAPER };
	double ns;
	int ret;

	ret = one(o, p, (uint64_t)opt->big, &ns);
	if (ret)
		return ret > 0 ? 0 : ret;
	snprintf(r.name, sizeof(r.name), "%s", p->name);
	r.unit = "GB/s";
	r.value = opt->big / ns;
	r.published = known ? p->gbps : NAN;
	model_row(&r);
	ret = one(o, p, (uint64_t)opt->small, &ns);
	if (ret)
		return ret;
	snprintf(r.name, sizeof(r.name), "%s, %g bytes", p->name, opt->small);
	r.unit = "us";
	r.value = ns / 1000;
	r.published = known && opt->small == 512 ? p->us : NAN;
	model_row(&r);
	return 0;
}

/* All other NPUs of host 0 write to the first, or it to them: links are shared */
static int many(const struct model_opts *o, const struct p2p *opt, bool to_one)
{
	struct model_cfg cfg = { .queues = 1, .bytes = 1 << 20 };
	struct model_row r = { .unit = "GB/s", .published = NAN };
	struct snpu_info info;
	uint64_t end;
	unsigned int i, n;
	struct model *m;
	int ret;

	ret = model_facts(o, &info);
	if (ret)
		return ret;
	n = info.machine_npus / info.machine_hosts;
	if (n < 3)
		return 0;
	cfg.npus = n;
	ret = model_open(&m, o, &cfg);
	if (ret)
		return ret;
	for (i = 1; i < n; i++)
		snpu_prep_copy(model_pkt(m, to_one ? i : 0, 0, 0),
			       model_va(m, to_one ? i : 0, to_one ? 0 : i, 0), MODEL_LOCAL(0),
			       (uint64_t)opt->big);
	ret = model_run(m, &end);
	if (!ret) {
		snprintf(r.name, sizeof(r.name), to_one ? "%u NPUs to one, all dies" :
			 "one NPU to %u, all dies", n - 1);
		r.value = (n - 1) * opt->big / (double)end;
		model_row(&r);
	}
	model_close(m);
	return ret;
}

int bench_p2p(int argc, char **argv)
{
	static const struct option own[] = {
		{ "latency-bytes", required_argument, NULL, 'l' },
		{ "bytes", required_argument, NULL, 'm' },
		{ NULL, 0, NULL, 0 },
	};
	struct p2p p = { .small = 512, .big = 256 << 20 };
	struct model_opts o = { 0 };
	size_t i;
	int ret, rc;

	ret = model_options(argc, argv, help, own, take, &p, &o);
	if (!ret)
		ret = model_rows_open(&o, "Peers, per die, one way");
	if (ret)
		return ret > 0 ? 0 : ret;
	for (i = 0; i < sizeof(paths) / sizeof(*paths) && !ret; i++)
		ret = path(&o, &p, &paths[i]);
	if (!ret)
		ret = many(&o, &p, true);
	if (!ret)
		ret = many(&o, &p, false);
	rc = model_rows_close(&o, ret ? NULL : "p2p-cm384");
	return ret ? ret : rc;
}
