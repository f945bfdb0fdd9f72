// SPDX-License-Identifier: MIT
/*
 * Do the figures of a profile add up? Each alone is in its range by now; here they are compared:
 * who edits one and forgets another that follows from it gets a message, not another machine.
 */
#include "profiles/profile.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>

struct check {
	const char **key;
	char *err;
	size_t err_len;
};

__attribute__((format(printf, 3, 4)))
static int bad(struct check *c, const char *key, const char *fmt, ...)
{
	va_list ap;

	*c->key = key;
	va_start(ap, fmt);
	vsnprintf(c->err, c->err_len, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

static int has(const struct snpu_fig *f)
{
	return f->tag != SNPU_FIG_ABSENT;
}

/* Rates are written with few digits: what differs by less is the same */
static int same(double a, double b)
{
	return fabs(a - b) <= 1e-6 * fmax(fabs(a), fabs(b));
}

static int check_npu(struct check *c, const struct snpu_profile *p)
{
	double dies = p->npu.dies.value, bytes = p->npu.hbm_bytes.value;
	double npus = p->machine.hosts.value * p->machine.npus_per_host.value;

	if (npus > SNPU_PROFILE_MAX_NPUS)
		return bad(c, "machine.hosts", "%.0f hosts x %.0f NPUs are %.0f, allowed 1 .. %u",
			   p->machine.hosts.value, p->machine.npus_per_host.value, npus,
			   SNPU_PROFILE_MAX_NPUS);
	if (fmod(bytes, 2097152 * dies))
		return bad(c, "npu.hbm_bytes", "%.0f B: must be a multiple of %.0f: 2097152 for "
			   "each of npu.dies %.0f", bytes, 2097152 * dies, dies);
	if (fmod(p->npu.matrix_cores.value, dies))
		return bad(c, "npu.matrix_cores", "%.0f: must be a multiple of npu.dies %.0f",
			   p->npu.matrix_cores.value, dies);
	if (fmod(p->npu.vector_cores.value, dies))
		return bad(c, "npu.vector_cores", "%.0f: must be a multiple of npu.dies %.0f",
			   p->npu.vector_cores.value, dies);
	if (has(&p->npu.die_link_bandwidth) && dies < 2)
		return bad(c, "npu.die_link_bandwidth", "%g B/s: a link between dies, but npu.dies "
			   "is 1: leave it out, or let npu.dies be 2 .. 16",
			   p->npu.die_link_bandwidth.value);
	if (has(&p->npu.die_link_latency) && !has(&p->npu.die_link_bandwidth))
		return bad(c, "npu.die_link_latency", "%g s: needs npu.die_link_bandwidth too",
			   p->npu.die_link_latency.value);
	return 0;
}

static int check_links(struct check *c, const struct snpu_profile *p)
{
	double dies = p->npu.dies.value, planes = p->fabric.planes.value;
	double links = p->fabric.links_per_die.value, rate = p->fabric.link_bandwidth.value;
	double sum = dies * links * rate;

	if (has(&p->fabric.links_per_die) && !has(&p->fabric.link_bandwidth))
		return bad(c, "fabric.links_per_die", "%.0f: needs fabric.link_bandwidth too, the "
			   "rate of each", links);
	if (has(&p->fabric.link_bandwidth) && !has(&p->fabric.links_per_die))
		return bad(c, "fabric.link_bandwidth", "%g B/s: needs fabric.links_per_die too, "
			   "their number", rate);
	if (!has(&p->fabric.links_per_die))
		return 0;
	if (fmod(links, planes))
		return bad(c, "fabric.links_per_die", "%.0f: must be a multiple of fabric.planes "
			   "%.0f, as many links to each", links, planes);
	if (!same(sum, p->fabric.npu_bandwidth.value))
		return bad(c, "fabric.link_bandwidth", "%g B/s: %.0f dies x %.0f links make %g B/s, "
			   "but fabric.npu_bandwidth says %g: change one of them", rate, dies,
			   links, sum, p->fabric.npu_bandwidth.value);
	return 0;
}

static int check_switches(struct check *c, const struct snpu_profile *p)
{
	double hosts = p->machine.hosts.value, planes = p->fabric.planes.value;
	double l1 = p->fabric.l1_switches_per_host.value, up = p->fabric.l1_uplink_links.value;
	double l2 = p->fabric.l2_switches_per_plane.value;
	double ports = p->fabric.l2_switch_ports.value;

	if (has(&p->fabric.l1_uplink_links) && !l2)
		return bad(c, "fabric.l1_uplink_links", "%.0f: needs fabric.l2_switches_per_plane "
			   "too, where they lead", up);
	if (l2 && !has(&p->fabric.l1_uplink_links))
		return bad(c, "fabric.l2_switches_per_plane", "%.0f: needs fabric.l1_uplink_links "
			   "too, the links to them", l2);
	if (l2 && !has(&p->fabric.link_bandwidth))
		return bad(c, "fabric.l1_uplink_links", "%.0f: needs fabric.link_bandwidth too, the "
			   "rate of each", up);
	if (l2 && fmod(up, l2))
		return bad(c, "fabric.l1_uplink_links", "%.0f: must be a multiple of "
			   "fabric.l2_switches_per_plane %.0f, as many links to each", up, l2);
	if (l1 && !l2 && hosts > 1)
		return bad(c, "fabric.l1_switches_per_host", "%.0f: %.0f hosts without "
			   "fabric.l2_switches_per_plane share one switch of each plane: leave it "
			   "out, or state the L2 switches", l1, hosts);
	if (l1 && l1 != planes)
		return bad(c, "fabric.l1_switches_per_host", "%.0f: must be fabric.planes %.0f, one "
			   "of each plane", l1, planes);
	if (p->fabric.in_switch.value && l2)
		return bad(c, "fabric.in_switch", "1: what switches add up and copy is modelled for "
			   "one level of them, but there are fabric.l2_switches_per_plane %.0f", l2);
	if (ports && !l2)
		return bad(c, "fabric.l2_switch_ports", "%.0f: needs fabric.l2_switches_per_plane "
			   "too", ports);
	if (ports && hosts * up / l2 > ports)
		return bad(c, "fabric.l2_switch_ports", "%.0f: %.0f hosts with %.0f links to each L2 "
			   "switch need %.0f", ports, hosts, up / l2, hosts * up / l2);
	return 0;
}

/* No path can be faster than what it goes over; figures of paths are per die */
static int check_paths(struct check *c, const struct snpu_profile *p)
{
	static const char *const names[][SNPU_PATHS] = {
		{ "fabric.intra_bandwidth_read", "fabric.intra_bandwidth_write" },
		{ "fabric.inter_bandwidth_read", "fabric.inter_bandwidth_write" },
		{ "fabric.cpu_intra_bandwidth_read", "fabric.cpu_intra_bandwidth_write" },
		{ "fabric.cpu_inter_bandwidth_read", "fabric.cpu_inter_bandwidth_write" },
	};
	const struct snpu_fig *const figs[] = {
		p->fabric.intra_bandwidth, p->fabric.inter_bandwidth,
		p->fabric.cpu_intra_bandwidth, p->fabric.cpu_inter_bandwidth,
	};
	double dies = p->npu.dies.value, die = p->fabric.npu_bandwidth.value / dies;
	double hbm = p->npu.hbm_bandwidth.value / dies;
	double cpus = has(&p->machine.cpus_per_host) ? p->machine.cpus_per_host.value : 1;
	double cpu = p->fabric.cpu_bandwidth.value * cpus;
	unsigned int i, k;

	for (i = 0; i < sizeof(figs) / sizeof(figs[0]); i++)
		for (k = 0; k < SNPU_PATHS; k++) {
			double v = figs[i][k].value;

			if (v > die * (1 + 1e-6))
				return bad(c, names[i][k], "%g B/s: the links of a die carry %g "
					   "(fabric.npu_bandwidth %g over npu.dies %.0f): lower "
					   "it, or leave it out", v, die,
					   p->fabric.npu_bandwidth.value, dies);
			if (v > hbm * (1 + 1e-6))
				return bad(c, names[i][k], "%g B/s: the memory of a die gives %g "
					   "(npu.hbm_bandwidth over npu.dies): lower it, or leave "
					   "it out", v, hbm);
			if (i >= 2 && has(&p->fabric.cpu_bandwidth) && v > cpu * (1 + 1e-6))
				return bad(c, names[i][k], "%g B/s: the CPUs of a host carry %g "
					   "(fabric.cpu_bandwidth x machine.cpus_per_host): lower "
					   "it, or leave it out", v, cpu);
		}
	if (has(&p->machine.cpus_per_host) && !has(&p->fabric.cpu_bandwidth))
		return bad(c, "machine.cpus_per_host", "%.0f: needs fabric.cpu_bandwidth too, the "
			   "rate of each", p->machine.cpus_per_host.value);
	return 0;
}

static int check_size(struct check *c, const struct snpu_profile *p)
{
	double hosts = p->machine.hosts.value, planes = p->fabric.planes.value;
	double eps = hosts * p->machine.npus_per_host.value * p->npu.dies.value;
	double links;

	if (has(&p->fabric.cpu_bandwidth))
		eps += hosts;
	links = 2 * planes * (eps + hosts * p->fabric.l2_switches_per_plane.value);
	if (has(&p->npu.die_link_bandwidth))
		links += 2 * eps;
	if (links > SNPU_PROFILE_MAX_LINKS)
		return bad(c, "fabric.planes", "%.0f: NPUs, planes and L2 switches make %.0f links, "
			   "allowed 1 .. %u", planes, links, SNPU_PROFILE_MAX_LINKS);
	return 0;
}

int snpu_profile_check(const struct snpu_profile *p, const char **key, char *err, size_t err_len)
{
	struct check c = { key, err, err_len };
	int ret;

	ret = check_npu(&c, p);
	if (!ret)
		ret = check_links(&c, p);
	if (!ret)
		ret = check_switches(&c, p);
	if (!ret)
		ret = check_paths(&c, p);
	return ret ? ret : check_size(&c, p);
}
