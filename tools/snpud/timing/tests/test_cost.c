// SPDX-License-Identifier: MIT
/*
 * Cost model: the calibration rows of single packets within their bars, and answers to edited
 * profiles that follow from the edit.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "snpu_hw.h"
#include "timing/cost.h"
#include "timing/timing.h"

static int failures, cases;
static const char *name;

#define CHECK(cond, ...) do { \
	if (!(cond)) { \
		failures++; \
		printf("# %s:%d: %s: %s: ", __FILE__, __LINE__, name, #cond); \
		printf(__VA_ARGS__); \
		printf("\n"); \
	} \
} while (0)

static struct snpu_profile *load(const char *profile)
{
	struct snpu_profile *p;
	char err[512];

	p = snpu_profile_load(profile, err, sizeof(err));
	if (!p) {
		printf("Bail out! %s\n", err);
		exit(1);
	}
	return p;
}

/* Seconds that @r takes, alone on the machine of @p */
static double alone(struct snpu_profile *p, const struct snpu_plog_rec *r, bool ideal)
{
	struct snpu_timing_opts o = { .ideal = ideal };
	struct snpu_timing_stats st;
	struct snpu_timing *t;
	struct snpu_topo *topo;
	char err[512];

	topo = snpu_topo_new(p, err, sizeof(err));
	t = topo ? snpu_timing_new(topo, &o, err, sizeof(err)) : NULL;
	if (!t) {
		printf("Bail out! %s\n", err);
		exit(1);
	}
	CHECK(!snpu_timing_add(t, r, 1), "record refused");
	CHECK(!snpu_timing_run(t), "run");
	snpu_timing_stats(t, &st);
	snpu_timing_free(t);
	snpu_topo_free(topo);
	return (double)st.now * 1e-12;
}

static struct snpu_plog_rec rec(uint8_t op, uint8_t dtype)
{
	return (struct snpu_plog_rec){
		.op = op, .dtype = dtype, .die = 1, .sub = SNPU_PLOG_RING, .groups = 1,
		.read_node = SNPU_PLOG_NO_NODE, .write_node = SNPU_PLOG_NO_NODE,
		.sem_node = SNPU_PLOG_NO_NODE,
	};
}

struct path {
	const char *what;
	uint32_t peer;		/* node 0 accesses it */
	bool write, cpu;
	double gbps, us;
};

/* arXiv 2506.12708 v2: per die, one way; latency at 512 bytes */
static const struct path paths[] = {
	{ "NPU read between hosts", 8, false, false, 164, 1.9 },
	{ "NPU read within a host", 1, false, false, 167, 1.2 },
	{ "NPU write between hosts", 8, true, false, 135, 2.1 },
	{ "NPU write within a host", 1, true, false, 137, 1.3 },
	{ "CPU read between hosts", 8, false, true, 147, 1.7 },
	{ "CPU read within a host", 0, false, true, 151, 1.0 },
	{ "CPU write between hosts", 8, true, true, 107, 1.9 },
	{ "CPU write within a host", 0, true, true, 110, 1.1 },
};

static double access(struct snpu_profile *p, const struct path *w, uint64_t bytes)
{
	struct snpu_plog_rec r = rec(SNPU_OP_COPY, 0);

	r.bytes_read = bytes;
	r.bytes_written = bytes;
	if (w->write)
		r.write_node = w->peer;
	else
		r.read_node = w->peer;
	if (w->cpu)
		r.host_mem = w->write ? SNPU_PLOG_HOST_WRITE : SNPU_PLOG_HOST_READ;
	return alone(p, &r, false);
}

#define BIG	(1ull << 30)

static double rate(struct snpu_profile *p, const struct path *w)
{
	return (double)BIG / access(p, w, BIG) / 1e9;
}

static void t_paths(void)
{
	struct snpu_profile *p = load("cm384");
	size_t i;

	for (i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
		double g = rate(p, &paths[i]), us = access(p, &paths[i], 512) * 1e6;

		printf("# %-24s %6.1f GB/s (%+.1f %%) %5.2f us (%+.1f %%)\n", paths[i].what, g,
		       100 * (g / paths[i].gbps - 1), us, 100 * (us / paths[i].us - 1));
		CHECK(fabs(g / paths[i].gbps - 1) < 0.05, "%s: %g GB/s", paths[i].what, g);
		CHECK(fabs(us / paths[i].us - 1) < 0.05, "%s: %g us", paths[i].what, us);
	}
	snpu_profile_free(p);
}

/* Variants have what their papers measured */
static void t_variants(void)
{
	static const char *const names[] = { "cm384-ubep", "cm384-stratacl" };
	static const double inter[] = { 2.5, 2.1 }, intra[] = { 0.929, 0.7 };
	size_t i, k;

	for (i = 0; i < 2; i++) {
		struct snpu_profile *p = load(names[i]);

		for (k = 0; k < 4; k++) {
			double us = access(p, &paths[k], 512) * 1e6;
			double want = k & 1 ? intra[i] : inter[i];

			CHECK(fabs(us / want - 1) < 0.05, "%s, %s: %g us", names[i],
			      paths[k].what, us);
		}
		snpu_profile_free(p);
	}
	{
		struct snpu_profile *p = load("cm384-stratacl");

		CHECK(fabs(rate(p, &paths[1]) / 170 - 1) < 0.02, "%g", rate(p, &paths[1]));
		CHECK(fabs(rate(p, &paths[0]) / 150 - 1) < 0.02, "%g", rate(p, &paths[0]));
		snpu_profile_free(p);
	}
}

/* As if null in the file */
static void no_paths(struct snpu_profile *p)
{
	struct snpu_fig none = { 0 };
	int i;

	for (i = 0; i < SNPU_PATHS; i++) {
		struct snpu_fig *f[] = {
			&p->fabric.intra_bandwidth[i], &p->fabric.inter_bandwidth[i],
			&p->fabric.cpu_intra_bandwidth[i], &p->fabric.cpu_inter_bandwidth[i],
		};
		size_t k;

		for (k = 0; k < sizeof(f) / sizeof(*f); k++) {
			free(f[k]->source);
			*f[k] = none;
		}
	}
}

static void t_edits(void)
{
	struct snpu_profile *p = load("cm384");
	double full = rate(p, &paths[2]), us = access(p, &paths[2], 512), r;

	no_paths(p);
	CHECK(fabs(rate(p, &paths[2]) / full - 1) < 1e-6, "paths are not what counts");
	p->fabric.link_bandwidth.value /= 2;
	p->fabric.npu_bandwidth.value /= 2;
	r = rate(p, &paths[2]);
	CHECK(fabs(r / full - 0.5) < 0.01, "half the link rate: %g of %g", r, full);
	CHECK(fabs(access(p, &paths[2], 512) / us - 1) < 0.01, "latency of half the rate");
	p->fabric.link_bandwidth.value *= 2;
	p->fabric.npu_bandwidth.value *= 2;
	p->fabric.planes.value = 6;
	p->fabric.links_per_die.value = 6;
	p->fabric.l1_switches_per_host.value = 6;
	p->fabric.npu_bandwidth.value *= 6. / 7;
	r = rate(p, &paths[2]);
	CHECK(fabs(r / full - 6. / 7) < 0.01, "a plane less: %g of %g", r, full);
	snpu_profile_free(p);
}

static struct snpu_plog_rec matmul(uint8_t dtype, uint32_t groups, uint32_t m, uint32_t n,
				   uint32_t k)
{
	struct snpu_plog_rec r = rec(SNPU_OP_MATMUL, dtype);
	uint64_t size = dtype == SNPU_DT_I8 ? 1 : 2;

	r.m = m;
	r.n = n;
	r.k = k;
	r.groups = groups;
	r.flops = 2ull * groups * m * n * k;
	r.bytes_read = size * groups * ((uint64_t)m * k + (uint64_t)k * n);
	r.bytes_written = (dtype == SNPU_DT_I8 ? 4ull : 2ull) * groups * m * n;
	return r;
}

static void t_gemm(void)
{
	static const struct {
		uint32_t groups, m, n, k;
		double published;
	} rows[] = {
		{ 4, 7168, 4096, 4096, 79.4 },
		{ 4, 2048, 7168, 4096, 77.4 },
		{ 4, 2048, 7168, 8192, 81.1 },
	};
	struct snpu_profile *p = load("cm384");
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct snpu_plog_rec r = matmul(SNPU_DT_I8, rows[i].groups, rows[i].m, rows[i].n,
						rows[i].k);
		double u = 100 * (double)r.flops / alone(p, &r, false) /
			   (p->npu.ops_int8.value / p->npu.dies.value);

		printf("# int8 %u x %u x %u x %u: %.1f %% (%+.1f points)\n", rows[i].groups,
		       rows[i].m, rows[i].n, rows[i].k, u, u - rows[i].published);
		CHECK(fabs(u - rows[i].published) < 2, "%g", u);
	}
	snpu_profile_free(p);
}

static void t_mla(void)
{
	struct snpu_profile *p = load("cm384");
	struct snpu_plog_rec r = rec(SNPU_OP_ATTENTION, SNPU_DT_BF16);
	double u;
	int memory;

	for (memory = 0; memory < 2; memory++) {
		r.groups = 256;
		r.m = memory ? 16 : 256;
		r.n = 8192;
		r.k = 576;
		r.aux = 512;
		r.bytes_read = 2ull * r.groups * (r.m + r.n) * r.k;
		r.bytes_written = 2ull * r.groups * r.m * r.aux;
		r.flops = 2ull * r.groups * r.m * r.n * (r.k + r.aux);
		u = 100 / alone(p, &r, false);
		u = memory ? u * (double)(r.bytes_read + r.bytes_written) /
			     (p->npu.hbm_bandwidth.value / 2) :
			     u * (double)r.flops / (p->npu.flops_bf16.value / 2);
		printf("# MLA: %.1f %% of %s\n", u, memory ? "HBM" : "compute");
		CHECK(fabs(u - (memory ? 84.1 : 65.4)) < 2, "%g", u);
	}
	snpu_profile_free(p);
}

static void t_ideal(void)
{
	struct snpu_plog_rec r = matmul(SNPU_DT_BF16, 1, 16384, 16384, 16384);
	static const char *const names[] = { "cm384-781", "nvl72" };
	static const double pflops[] = { 300, 180 };
	size_t i;

	r.die = 0;
	for (i = 0; i < 2; i++) {
		struct snpu_profile *p = load(names[i]);
		double peak = (double)r.flops / alone(p, &r, true) * snpu_profile_npus(p) / 1e15;
		double real = (double)r.flops / alone(p, &r, false) * snpu_profile_npus(p) / 1e15;

		printf("# %s: %.1f PFLOPS ideal, %.1f sustained\n", names[i], peak, real);
		CHECK(fabs(peak / pflops[i] - 1) < 0.01, "%s: %g", names[i], peak);
		CHECK(real < peak && real > peak / 2, "%s: %g", names[i], real);
		snpu_profile_free(p);
	}
}

/* Cost is issue, before, work over the narrowest resource, after; no profile makes it odd */
static void t_sane(void)
{
	static const char *const names[] = { "pair", "host8", "hgx-h100", "hgx-h800", "nvl72",
					     "cm384" };
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(*names); i++) {
		struct snpu_profile *p = load(names[i]);
		struct path w = { .peer = 1, .write = true };
		struct snpu_plog_rec small = matmul(SNPU_DT_I8, 1, 1, 1, 1);
		double a = access(p, &w, 1), b = access(p, &w, 1 << 20);
		double peak = p->fabric.npu_bandwidth.value / p->npu.dies.value;

		CHECK(a > 0 && a < 1e-5, "%s: a byte takes %g s", names[i], a);
		CHECK(b > (double)(1 << 20) / peak, "%s: faster than its links", names[i]);
		CHECK(alone(p, &small, false) < 1e-4, "%s: small product", names[i]);
		snpu_profile_free(p);
	}
}

/* ---- lists ---- */

/* What a packet takes of "up", "down", ... of an NPU or host, in bytes of a link */
static double taken(const struct snpu_cost *c, const struct snpu_plog_rec *r,
		    const struct snpu_activity *a, const char *what)
{
	const struct snpu_mm_use *uses;
	uint32_t i, n = snpu_cost_uses(c, r, a, &uses);
	char buf[64];
	double sum = 0;

	for (i = 0; i < n; i++)
		if (!strcmp(snpu_cost_name(c, uses[i].res, buf, sizeof(buf)), what))
			sum += uses[i].weight * a->work;
	return sum;
}

static bool near(double a, double b)
{
	return fabs(a - b) <= 1e-9 * fmax(fabs(a), fabs(b));
}

static struct snpu_plog_rec multi(uint8_t op, uint32_t node, uint32_t nodes, uint64_t bytes)
{
	struct snpu_plog_rec r = rec(op, op == SNPU_OP_REDUCE_PULL ? SNPU_DT_BF16 : 0);
	uint32_t i;

	r.node = node;
	r.arg = nodes;
	r.die = 0;
	memset(r.set, 0, sizeof(r.set));
	for (i = 0; i < nodes; i++)
		r.set[i / 64] |= 1ull << i % 64;
	r.bytes_read = op == SNPU_OP_REDUCE_PULL ? nodes * bytes : bytes;
	r.bytes_written = op == SNPU_OP_REDUCE_PULL ? bytes : nodes * bytes;
	return r;
}

static struct snpu_cost *cost_of(struct snpu_profile *p, struct snpu_topo **topo)
{
	char err[512];
	struct snpu_cost *c;

	*topo = snpu_topo_new(p, err, sizeof(err));
	c = *topo ? snpu_cost_new(*topo, false, err, sizeof(err)) : NULL;
	if (!c) {
		printf("Bail out! %s\n", err);
		exit(1);
	}
	return c;
}

/* 8 operands, or copies, with the switches' help and without */
static void t_lists(void)
{
	struct snpu_activity a;
	const double bytes = 1 << 20;
	struct snpu_topo *topo;
	struct snpu_cost *c;
	uint32_t sw, op, i;
	char what[32];

	for (sw = 0; sw < 2; sw++) {
		struct snpu_profile *p = load("hgx-h100");
		double link = p->timing.link_efficiency_read.value;
		double in = link * p->timing.switch_efficiency.value;

		p->fabric.in_switch.value = sw;
		c = cost_of(p, &topo);
		for (op = 0; op < 2; op++) {
			struct snpu_plog_rec r = multi(op ? SNPU_OP_MULTICAST : SNPU_OP_REDUCE_PULL,
						       2, 8, 1 << 20);
			const char *here = op ? "npu2.0 up" : "npu2.0 down";
			const char *own = op ? "npu2.0 down" : "npu2.0 up";

			CHECK(!snpu_cost_packet(c, &r, &a), "refused");
			CHECK(near(taken(c, &r, &a, here), (sw ? 1 : 7) * bytes / link),
			      "issuer, %u %u: %g", sw, op, taken(c, &r, &a, here));
			CHECK(near(taken(c, &r, &a, own), sw ? bytes / in : 0), "own part, %u %u: %g",
			      sw, op, taken(c, &r, &a, own));
			for (i = 0; i < 8; i++) {
				if (i == 2)
					continue;
				snprintf(what, sizeof(what), "npu%u.0 %s", i, op ? "down" : "up");
				CHECK(near(taken(c, &r, &a, what), bytes / (sw ? in : link)),
				      "%s, %u %u: %g", what, sw, op, taken(c, &r, &a, what));
				snprintf(what, sizeof(what), "npu%u.0 %s", i, op ? "up" : "down");
				CHECK(!taken(c, &r, &a, what), "%s, %u %u", what, sw, op);
				snprintf(what, sizeof(what), "npu%u.0 hbm", i);
				CHECK(near(taken(c, &r, &a, what), bytes), "%s", what);
			}
			/* two addresses of each NPU: twice as much of theirs, and of the issuer's */
			r.arg = 16;
			r.bytes_read *= op ? 1 : 2;
			r.bytes_written *= op ? 2 : 1;
			CHECK(!snpu_cost_packet(c, &r, &a), "refused");
			CHECK(near(taken(c, &r, &a, here), (sw ? 1 : 14) * bytes / link), "twice");
			r.set[0] = 0;
			CHECK(snpu_cost_packet(c, &r, &a) == -EINVAL, "a list of nobody");
			r.set[0] = 1 << 8;
			CHECK(snpu_cost_packet(c, &r, &a) == -EINVAL, "an NPU that is not there");
			r.set[0] = 1;
			r.arg = SNPU_MAX_LIST + 1;
			CHECK(snpu_cost_packet(c, &r, &a) == -EINVAL, "too long");
		}
		snpu_cost_free(c);
		snpu_topo_free(topo);
		snpu_profile_free(p);
	}
}

/* All NPUs of a machine whose switches do nothing of it: what enters hosts is what leaves others */
static void t_long_list(void)
{
	struct snpu_activity a;
	struct snpu_profile *p = load("cm384");
	struct snpu_plog_rec r = multi(SNPU_OP_REDUCE_PULL, 9, 384, 1 << 20);
	double in, out = 0, one;
	struct snpu_topo *topo;
	struct snpu_cost *c = cost_of(p, &topo);
	const struct snpu_mm_use *uses;
	uint8_t *seen;
	uint32_t i, n;
	char what[32];

	seen = calloc(snpu_cost_resources(c), 1);
	CHECK(!snpu_cost_packet(c, &r, &a), "refused");
	n = snpu_cost_uses(c, &r, &a, &uses);
	for (i = 0; i < n; i++) {
		CHECK(!seen[uses[i].res]++, "resource %u twice", uses[i].res);
		CHECK(uses[i].weight > 0, "resource %u", uses[i].res);
	}
	in = taken(c, &r, &a, "host1 down");
	one = taken(c, &r, &a, "host0 up") / 8;
	for (i = 0; i < 48; i++) {
		snprintf(what, sizeof(what), "host%u up", i);
		out += taken(c, &r, &a, what);
	}
	CHECK(near(in, out) && near(in, 376 * one), "%g in, %g out, %g of an NPU", in, out, one);
	CHECK(near(taken(c, &r, &a, "npu9.0 down") + taken(c, &r, &a, "npu9.1 down"),
		   in + 7 * (1 << 20) / p->timing.link_efficiency_read.value), "own links");
	free(seen);
	snpu_cost_free(c);
	snpu_topo_free(topo);
	snpu_profile_free(p);
}

/* A switch that adds up makes it faster by what the issuer's links no longer carry */
static void t_in_switch(void)
{
	struct snpu_profile *p = load("nvl72");
	struct snpu_plog_rec r = multi(SNPU_OP_REDUCE_PULL, 0, 72, 1 << 24);
	double with, without;

	with = alone(p, &r, false);
	p->fabric.in_switch.value = 0;
	without = alone(p, &r, false);
	CHECK(without > 71 * 16777216 / 9e11 && without < 71 * 16777216 / 7e11, "%g s", without);
	CHECK(with > 16777216 / 9e11 && with < without / 30, "%g s, %g without", with, without);
	snpu_profile_free(p);
}

int main(void)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} all[] = {
		{ "paths", t_paths }, { "variants", t_variants }, { "edits", t_edits },
		{ "gemm", t_gemm }, { "mla", t_mla }, { "ideal", t_ideal }, { "sane", t_sane },
		{ "lists", t_lists }, { "long_list", t_long_list }, { "in_switch", t_in_switch },
	};
	size_t i;

	printf("1..%zu\n", sizeof(all) / sizeof(all[0]));
	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		int before = failures;

		name = all[i].name;
		all[i].run();
		printf("%sok %d - %s\n", failures == before ? "" : "not ", ++cases, name);
		fflush(stdout);
	}
	return failures != 0;
}
