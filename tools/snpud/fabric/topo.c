// SPDX-License-Identifier: MIT
/*
 * Builds the topology and finds routes and names in it.
 *
 * Ids are laid out so that most lookups are arithmetic: link 2i and 2i + 1 are the directions of
 * connection i, and connections come as endpoint x plane, then host x plane x L2 switch, then dies of
 * a package; switches as L1 (host x plane, or plane), then L2 (plane x chip).
 */
#include "fabric/topo.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint32_t fig(const struct snpu_fig *f)
{
	return (uint32_t)snpu_fig_u64(f);
}

static uint32_t l1_id(const struct snpu_topo *t, uint32_t host, uint32_t plane)
{
	return t->l2_per_plane ? host * t->planes + plane : plane;
}

static uint32_t l2_id(const struct snpu_topo *t, uint32_t plane, uint32_t chip)
{
	return t->hosts * t->planes + plane * t->l2_per_plane + chip;
}

/* Adds a connection; returns the direction that leaves @a. Both ends get it, so both are const */
static uint32_t connect_ends(struct snpu_topo *t, unsigned int a_kind, uint32_t a,
			     unsigned int b_kind, uint32_t b, uint32_t plane, double rate)
{
	uint32_t id = t->num_links;

	t->links[id] = (struct snpu_topo_link){
		.from_kind = (uint8_t)a_kind, .from = a, .to_kind = (uint8_t)b_kind, .to = b,
		.plane = plane, .reverse = id + 1, .rate = rate,
	};
	t->links[id + 1] = (struct snpu_topo_link){
		.from_kind = (uint8_t)b_kind, .from = b, .to_kind = (uint8_t)a_kind, .to = a,
		.plane = plane, .reverse = id, .rate = rate,
	};
	t->num_links += 2;
	return id;
}

static void make_switches(struct snpu_topo *t)
{
	uint32_t h, p, c, l1_hosts = t->l2_per_plane ? t->hosts : 1;

	for (h = 0; h < l1_hosts; h++)
		for (p = 0; p < t->planes; p++)
			t->switches[t->num_switches++] = (struct snpu_topo_switch){
				.level = 1, .plane = p,
				.host = t->l2_per_plane ? h : SNPU_TOPO_NONE,
			};
	for (p = 0; p < t->planes; p++)
		for (c = 0; c < t->l2_per_plane; c++)
			t->switches[t->num_switches++] = (struct snpu_topo_switch){
				.level = 2, .plane = p, .host = SNPU_TOPO_NONE, .index = c,
			};
}

static void make_links(struct snpu_topo *t)
{
	const struct snpu_profile *pr = t->profile;
	uint32_t dies = t->nodes * t->dies, ep, h, p, c, n, d, conns;
	double die_rate = pr->fabric.npu_bandwidth.value / t->dies / t->planes, cpu_rate, up_rate;
	double cpus = pr->machine.cpus_per_host.value;

	cpu_rate = pr->fabric.cpu_bandwidth.value * (cpus ? cpus : 1) / t->planes;
	for (ep = 0; ep < t->endpoints; ep++)
		for (p = 0; p < t->planes; p++)
			t->ep_up[ep * t->planes + p] = connect_ends(t,
				ep < dies ? SNPU_TOPO_DIE : SNPU_TOPO_CPU, ep, SNPU_TOPO_L1,
				l1_id(t, snpu_topo_ep_host(t, ep), p), p,
				ep < dies ? die_rate : cpu_rate);
	up_rate = t->l2_per_plane ? pr->fabric.link_bandwidth.value *
		  pr->fabric.l1_uplink_links.value / t->l2_per_plane : 0;
	for (h = 0; h < t->hosts && t->l2_per_plane; h++)
		for (p = 0; p < t->planes; p++)
			for (c = 0; c < t->l2_per_plane; c++)
				t->l1_up[(h * t->planes + p) * t->l2_per_plane + c] =
					connect_ends(t, SNPU_TOPO_L1, l1_id(t, h, p), SNPU_TOPO_L2,
						     l2_id(t, p, c), p, up_rate);
	for (ep = 0; ep < t->endpoints; ep++)
		t->die_link[ep] = SNPU_TOPO_NONE;
	if (pr->npu.die_link_bandwidth.tag == SNPU_FIG_ABSENT || t->dies < 2)
		return;
	/* a ring of the package's dies, which for two of them is one connection */
	conns = t->dies == 2 ? 1 : t->dies;
	for (n = 0; n < t->nodes; n++) {
		for (d = 0; d < conns; d++) {
			ep = snpu_topo_die(t, n, d);
			t->die_link[ep] = connect_ends(t, SNPU_TOPO_DIE, ep, SNPU_TOPO_DIE,
				snpu_topo_die(t, n, (d + 1) % t->dies), SNPU_TOPO_NONE,
				pr->npu.die_link_bandwidth.value);
		}
		if (t->dies == 2)
			t->die_link[ep + 1] = t->links[t->die_link[ep]].reverse;
	}
}

struct snpu_topo *snpu_topo_new(const struct snpu_profile *p, char *err, size_t err_len)
{
	struct snpu_topo *t;
	const char *key;
	char why[256];
	size_t links;

	if (snpu_profile_check(p, &key, why, sizeof(why))) {
		snprintf(err, err_len, "profile %s: %s: %s", p->name, key, why);
		return NULL;
	}
	if (fig(&p->fabric.planes) > SNPU_TOPO_MAX_PLANES) {
		snprintf(err, err_len, "profile %s: fabric.planes: %u, allowed 1 .. %u", p->name,
			 fig(&p->fabric.planes), SNPU_TOPO_MAX_PLANES);
		return NULL;
	}
	t = calloc(1, sizeof(*t));
	if (!t)
		goto no_memory;
	t->profile = p;
	t->hosts = fig(&p->machine.hosts);
	t->npus_per_host = fig(&p->machine.npus_per_host);
	t->nodes = t->hosts * t->npus_per_host;
	t->dies = fig(&p->npu.dies);
	t->planes = fig(&p->fabric.planes);
	t->l2_per_plane = fig(&p->fabric.l2_switches_per_plane);
	t->cpus = p->fabric.cpu_bandwidth.tag == SNPU_FIG_ABSENT ? 0 : t->hosts;
	t->endpoints = t->nodes * t->dies + t->cpus;
	links = 2 * ((size_t)t->endpoints * t->planes +
		     (size_t)t->hosts * t->planes * t->l2_per_plane + t->endpoints);
	t->links = calloc(links, sizeof(*t->links));
	t->switches = calloc((size_t)t->planes * (t->hosts + t->l2_per_plane),
			     sizeof(*t->switches));
	t->ep_up = calloc((size_t)t->endpoints * t->planes, sizeof(*t->ep_up));
	t->l1_up = calloc((size_t)t->hosts * t->planes * t->l2_per_plane + 1, sizeof(*t->l1_up));
	t->die_link = calloc(t->endpoints, sizeof(*t->die_link));
	if (!t->links || !t->switches || !t->ep_up || !t->l1_up || !t->die_link)
		goto no_memory;
	make_switches(t);
	make_links(t);
	return t;

no_memory:
	snprintf(err, err_len, "profile %s: out of memory for its topology", p->name);
	snpu_topo_free(t);
	return NULL;
}

void snpu_topo_free(struct snpu_topo *t)
{
	if (!t)
		return;
	free(t->links);
	free(t->switches);
	free(t->ep_up);
	free(t->l1_up);
	free(t->die_link);
	free(t);
}

uint32_t snpu_topo_ep_host(const struct snpu_topo *t, uint32_t ep)
{
	uint32_t dies = t->nodes * t->dies;

	return ep < dies ? ep / t->dies / t->npus_per_host : ep - dies;
}

unsigned int snpu_topo_l2_hops(const struct snpu_topo *t, uint32_t src, uint32_t dst)
{
	return t->l2_per_plane && snpu_topo_ep_host(t, src) != snpu_topo_ep_host(t, dst);
}

unsigned int snpu_topo_route_hosts(const struct snpu_topo *t, uint32_t src, uint32_t src_host,
				   uint32_t dst, uint32_t dst_host, uint32_t plane, uint32_t chip,
				   uint32_t *links)
{
	unsigned int n = 0;
	uint32_t sh, dh;

	links[n++] = t->ep_up[src * t->planes + plane];
	if (src_host != dst_host && t->l2_per_plane) {
		sh = src_host * t->planes + plane;
		dh = dst_host * t->planes + plane;
		links[n++] = t->l1_up[sh * t->l2_per_plane + chip];
		links[n++] = t->links[t->l1_up[dh * t->l2_per_plane + chip]].reverse;
	}
	links[n++] = t->links[t->ep_up[dst * t->planes + plane]].reverse;
	return n;
}

unsigned int snpu_topo_route(const struct snpu_topo *t, uint32_t src, uint32_t dst, uint32_t plane,
			     uint32_t chip, uint32_t *links)
{
	if (src == dst)
		return 0;
	return snpu_topo_route_hosts(t, src, snpu_topo_ep_host(t, src), dst,
				     snpu_topo_ep_host(t, dst), plane,
				     t->l2_per_plane ? chip % t->l2_per_plane : 0, links);
}

uint32_t snpu_topo_die_link(const struct snpu_topo *t, uint32_t src, uint32_t dst)
{
	uint32_t l;

	l = src < t->endpoints ? t->die_link[src] : SNPU_TOPO_NONE;
	if (l != SNPU_TOPO_NONE && t->links[l].to == dst)
		return l;
	l = dst < t->endpoints ? t->die_link[dst] : SNPU_TOPO_NONE;
	if (l != SNPU_TOPO_NONE && t->links[l].to == src)
		return t->links[l].reverse;
	return SNPU_TOPO_NONE;
}

double snpu_topo_bisection(const struct snpu_topo *t)
{
	uint32_t half = t->hosts / 2;
	double inject, up = 0;

	if (t->hosts < 2)
		return t->nodes / 2 * t->profile->fabric.npu_bandwidth.value;
	inject = half * t->npus_per_host * t->profile->fabric.npu_bandwidth.value;
	if (!t->l2_per_plane)
		return inject;
	up = (double)half * t->planes * t->l2_per_plane * t->links[t->l1_up[0]].rate;
	return fmin(up, inject);
}

/* ---- names ---- */

const char *snpu_topo_switch_name(const struct snpu_topo *t, uint32_t sw, char *buf, size_t len)
{
	const struct snpu_topo_switch *s = &t->switches[sw];

	if (s->level == 2)
		snprintf(buf, len, "l2.%u.%u", s->plane, s->index);
	else if (s->host == SNPU_TOPO_NONE)
		snprintf(buf, len, "l1.%u", s->plane);
	else
		snprintf(buf, len, "l1.%u.%u", s->host, s->plane);
	return buf;
}

static void end_name(const struct snpu_topo *t, unsigned int kind, uint32_t id, char *buf,
		     size_t len)
{
	if (kind == SNPU_TOPO_DIE)
		snprintf(buf, len, "npu%u.%u", id / t->dies, id % t->dies);
	else if (kind == SNPU_TOPO_CPU)
		snprintf(buf, len, "cpu%u", id - t->nodes * t->dies);
	else
		snpu_topo_switch_name(t, id, buf, len);
}

const char *snpu_topo_link_name(const struct snpu_topo *t, uint32_t link, char *buf, size_t len)
{
	const struct snpu_topo_link *l = &t->links[link];
	char from[32], to[32];

	end_name(t, l->from_kind, l->from, from, sizeof(from));
	end_name(t, l->to_kind, l->to, to, sizeof(to));
	snprintf(buf, len, "%s>%s", from, to);
	return buf;
}

/* A number below @limit as the names have it, without leading zeros; moves *@s behind it */
static int name_number(const char **s, uint32_t limit, uint32_t *out)
{
	const char *p = *s;
	uint64_t v = 0;

	if (*p < '0' || *p > '9' || (*p == '0' && p[1] >= '0' && p[1] <= '9'))
		return -1;
	for (; *p >= '0' && *p <= '9'; p++) {
		v = v * 10 + (uint64_t)(*p - '0');
		if (v >= limit)
			return -1;
	}
	*out = (uint32_t)v;
	*s = p;
	return 0;
}

/* "<a>.<b>" */
static int name_pair(const char **s, uint32_t a_limit, uint32_t b_limit, uint32_t *a, uint32_t *b)
{
	if (name_number(s, a_limit, a) || **s != '.')
		return -1;
	(*s)++;
	return name_number(s, b_limit, b);
}

/* One end of a link; moves *@s behind it */
static int parse_end(const struct snpu_topo *t, const char **s, unsigned int *kind, uint32_t *id)
{
	uint32_t a, b;

	if (!strncmp(*s, "npu", 3)) {
		*s += 3;
		*kind = SNPU_TOPO_DIE;
		if (name_pair(s, t->nodes, t->dies, &a, &b))
			return -1;
		*id = snpu_topo_die(t, a, b);
		return 0;
	}
	if (!strncmp(*s, "cpu", 3)) {
		*s += 3;
		*kind = SNPU_TOPO_CPU;
		if (name_number(s, t->cpus, &a))
			return -1;
		*id = snpu_topo_cpu(t, a);
		return 0;
	}
	if (!strncmp(*s, "l1.", 3)) {
		*s += 3;
		*kind = SNPU_TOPO_L1;
		if (!t->l2_per_plane)
			return name_number(s, t->planes, id);
		if (name_pair(s, t->hosts, t->planes, &a, &b))
			return -1;
		*id = l1_id(t, a, b);
		return 0;
	}
	if (!strncmp(*s, "l2.", 3)) {
		*s += 3;
		*kind = SNPU_TOPO_L2;
		if (name_pair(s, t->planes, t->l2_per_plane, &a, &b))
			return -1;
		*id = l2_id(t, a, b);
		return 0;
	}
	return -1;
}

uint32_t snpu_topo_switch_find(const struct snpu_topo *t, const char *name)
{
	unsigned int kind;
	uint32_t id;

	if (parse_end(t, &name, &kind, &id) || *name ||
	    (kind != SNPU_TOPO_L1 && kind != SNPU_TOPO_L2))
		return SNPU_TOPO_NONE;
	return id;
}

/* The direction that leaves the end further from the top, or a die's link to another die */
static uint32_t find_up(const struct snpu_topo *t, unsigned int kind, uint32_t from, uint32_t to)
{
	uint32_t chip;

	if (kind == SNPU_TOPO_DIE || kind == SNPU_TOPO_CPU)
		return t->ep_up[from * t->planes + t->switches[to].plane];
	if (t->switches[from].plane != t->switches[to].plane)
		return SNPU_TOPO_NONE;
	chip = t->switches[to].index;
	return t->l1_up[from * t->l2_per_plane + chip];
}

uint32_t snpu_topo_link_find(const struct snpu_topo *t, const char *name)
{
	unsigned int a_kind, b_kind;
	uint32_t a, b, l;

	if (parse_end(t, &name, &a_kind, &a) || (*name != '>' && *name != '-'))
		return SNPU_TOPO_NONE;
	name++;
	if (parse_end(t, &name, &b_kind, &b) || *name)
		return SNPU_TOPO_NONE;
	if (a_kind == SNPU_TOPO_DIE && b_kind == SNPU_TOPO_DIE)
		return snpu_topo_die_link(t, a, b);
	if (b_kind == SNPU_TOPO_L1 && a_kind <= SNPU_TOPO_CPU) {
		l = find_up(t, a_kind, a, b);
	} else if (a_kind == SNPU_TOPO_L1 && b_kind <= SNPU_TOPO_CPU) {
		l = t->links[find_up(t, b_kind, b, a)].reverse;
	} else if (a_kind == SNPU_TOPO_L1 && b_kind == SNPU_TOPO_L2) {
		l = find_up(t, a_kind, a, b);
	} else if (a_kind == SNPU_TOPO_L2 && b_kind == SNPU_TOPO_L1) {
		l = find_up(t, b_kind, b, a);
		l = l == SNPU_TOPO_NONE ? l : t->links[l].reverse;
	} else {
		return SNPU_TOPO_NONE;
	}
	/* an end's switch of the plane may be another host's */
	if (l == SNPU_TOPO_NONE || t->links[l].from != a || t->links[l].to != b)
		return SNPU_TOPO_NONE;
	return l;
}
