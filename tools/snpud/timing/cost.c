// SPDX-License-Identifier: MIT
/*
 * Cost model: resources and constants.
 *
 * Work is spread evenly over the dies that do it. Of a link bundle - all planes of a die, all uplinks
 * of a host - traffic takes what its links give together.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "timing/cost_priv.h"

/* For profiles that do not say; all assumed */
#define DEPTH		16u	/* posted transfers of a queue */
#define ISSUE		50e-9	/* decoding of a packet */

static uint32_t res_of_link(const struct snpu_cost *c, const struct snpu_topo_link *l)
{
	bool from_ep = l->from_kind == SNPU_TOPO_DIE || l->from_kind == SNPU_TOPO_CPU;
	bool to_ep = l->to_kind == SNPU_TOPO_DIE || l->to_kind == SNPU_TOPO_CPU;

	if (from_ep && to_ep)
		return ep_res(c, l->from, DIE);
	if (from_ep)
		return ep_res(c, l->from, UP);
	if (to_ep)
		return ep_res(c, l->to, DOWN);
	if (l->from_kind == SNPU_TOPO_L1)
		return host_res(c, c->t->switches[l->from].host, HOST_UP);
	return host_res(c, c->t->switches[l->to].host, HOST_DOWN);
}

void snpu_cost_reset_links(struct snpu_cost *c)
{
	uint32_t i, k;

	for (i = 0; i < c->t->endpoints; i++)
		for (k = UP; k <= DIE; k++)
			c->cap[ep_res(c, i, k)] = 0;
	for (i = c->t->endpoints * EP_RES; i < c->num; i++)
		c->cap[i] = 0;
	for (i = 0; i < c->t->num_links; i++) {
		c->rate[i] = c->t->links[i].rate;
		c->cap[c->link_res[i]] += c->rate[i];
	}
}

static double fig(const struct snpu_fig *f, double absent)
{
	return f->tag == SNPU_FIG_ABSENT ? absent : f->value;
}

/* What the paths of the profile say, where its section "timing" says nothing */
static double path_eff(const struct snpu_fig *path, double rate)
{
	return path->tag == SNPU_FIG_ABSENT || rate <= 0 ? 1 : fmin(path->value / rate, 1);
}

static void set_fabric(struct snpu_cost_params *m, const struct snpu_profile *p, bool ideal)
{
	const struct snpu_fig *eff[] = { &p->timing.link_efficiency_read,
					 &p->timing.link_efficiency_write };
	const struct snpu_fig *cpu[] = { &p->timing.cpu_efficiency_read,
					 &p->timing.cpu_efficiency_write };
	const struct snpu_fig *lat[] = { &p->timing.read_latency, &p->timing.write_latency };
	double intra, inter;
	unsigned int i;

	m->die_rate = p->fabric.npu_bandwidth.value / p->npu.dies.value;
	m->cpu_rate = p->fabric.cpu_bandwidth.value;
	for (i = 0; i < SNPU_PATHS; i++) {
		intra = path_eff(&p->fabric.intra_bandwidth[i], m->die_rate);
		inter = path_eff(&p->fabric.inter_bandwidth[i], m->die_rate * intra);
		m->link_eff[i] = ideal ? 1 : fig(eff[i], intra);
		m->l2_eff[i] = ideal ? 1 : fig(&p->timing.l2_efficiency, inter);
		m->cpu_eff[i] = ideal ? 1 : fig(cpu[i],
			path_eff(&p->fabric.cpu_intra_bandwidth[i], m->cpu_rate));
		m->latency[i] = fig(lat[i], p->fabric.intra_latency[i].value - m->issue);
		m->latency[i] = fmax(m->latency[i], 0);
	}
	m->hop = fig(&p->timing.hop_latency, p->fabric.inter_latency[SNPU_PATH_WRITE].value -
		     p->fabric.intra_latency[SNPU_PATH_WRITE].value);
	m->hop = fmax(m->hop, 0);
	m->hbm = fig(&p->timing.hbm_latency, 0);
	m->switch_eff = ideal ? 1 : fig(&p->timing.switch_efficiency, 1);
	m->switch_lat = fig(&p->timing.switch_latency, 0);
}

static void set_params(struct snpu_cost_params *m, const struct snpu_profile *p, bool ideal)
{
	m->matmul_eff = ideal ? 1 : fig(&p->timing.matmul_efficiency, 1);
	m->tile = ideal ? 0 : p->timing.matmul_tile.value;
	m->fill = ideal ? 0 : p->timing.matmul_fill.value;
	m->attention_eff = ideal ? 1 : fig(&p->timing.attention_efficiency, m->matmul_eff);
	m->hbm_eff = ideal ? 1 : fig(&p->timing.hbm_efficiency, 1);
	m->issue = fig(&p->timing.packet_issue, ISSUE);
	m->launch = fig(&p->timing.kernel_launch, m->issue);
	m->row = ideal ? 0 : p->timing.row_cost.value;
	set_fabric(m, p, ideal);
}

struct snpu_cost *snpu_cost_new(const struct snpu_topo *t, bool ideal, char *err, size_t err_len)
{
	const struct snpu_profile *p = t->profile;
	struct snpu_cost *c = calloc(1, sizeof(*c));
	uint32_t i;

	if (c) {
		c->t = t;
		set_params(&c->p, p, ideal);
		c->num = t->endpoints * EP_RES + t->hosts * HOST_RES;
		c->cap = calloc(c->num + 1, sizeof(*c->cap));
		c->rate = calloc(t->num_links + 1, sizeof(*c->rate));
		c->link_res = calloc(t->num_links + 1, sizeof(*c->link_res));
		c->res_link = malloc((c->num + 1) * sizeof(*c->res_link));
		c->link_next = calloc(t->num_links + 1, sizeof(*c->link_next));
		/* links and memory of all dies, and what the issuer has beside */
		c->many = malloc(sizeof(*c->many) + ((size_t)t->nodes * t->dies * 2 + t->hosts +
						     SNPU_COST_MAX_USES) * sizeof(*c->many->use));
	}
	if (!c || !c->cap || !c->rate || !c->link_res || !c->res_link || !c->link_next ||
	    !c->many) {
		snprintf(err, err_len, "no memory for the cost model of %u NPUs", t->nodes);
		snpu_cost_free(c);
		return NULL;
	}
	if (4 * t->dies * 2 + 4 > SNPU_COST_MAX_USES) {
		snprintf(err, err_len, "npu.dies: %u, virtual time is kept for at most %u", t->dies,
			 (SNPU_COST_MAX_USES - 4) / 8);
		snpu_cost_free(c);
		return NULL;
	}
	for (i = 0; i < c->num; i++)
		c->res_link[i] = SNPU_TOPO_NONE;
	for (i = t->num_links; i--; ) {
		c->link_res[i] = res_of_link(c, &t->links[i]);
		c->link_next[i] = c->res_link[c->link_res[i]];
		c->res_link[c->link_res[i]] = i;
	}
	snpu_cost_reset_links(c);
	for (i = 0; i < t->endpoints; i++) {
		double hbm = p->npu.hbm_bandwidth.value / t->dies * c->p.hbm_eff;

		/* engines are counted in seconds of work a second */
		c->cap[ep_res(c, i, MATRIX)] = 1;
		c->cap[ep_res(c, i, VECTOR)] = 1;
		c->cap[ep_res(c, i, DMA)] = hbm / 2;
		c->cap[ep_res(c, i, HBM)] = hbm;
	}
	return c;
}

void snpu_cost_free(struct snpu_cost *c)
{
	if (!c)
		return;
	free(c->cap);
	free(c->rate);
	free(c->link_res);
	free(c->res_link);
	free(c->link_next);
	free(c->many);
	free(c);
}

uint32_t snpu_cost_depth(const struct snpu_cost *c)
{
	const struct snpu_fig *f = &c->t->profile->timing.queue_depth;

	return f->tag == SNPU_FIG_ABSENT ? DEPTH : (uint32_t)snpu_fig_u64(f);
}

uint32_t snpu_cost_resources(const struct snpu_cost *c)
{
	return c->num;
}

double snpu_cost_capacity(const struct snpu_cost *c, uint32_t res)
{
	return c->cap[res];
}

uint32_t snpu_cost_link_resource(const struct snpu_cost *c, uint32_t link, double *share)
{
	uint32_t r = c->link_res[link];

	*share = c->cap[r] > 0 ? c->rate[link] / c->cap[r] : 0;
	return r;
}

uint32_t snpu_cost_set_link(struct snpu_cost *c, uint32_t link, double rate)
{
	uint32_t r = c->link_res[link], i;

	c->rate[link] = rate;
	/* summed anew: a link that went down and came back leaves no rounding behind */
	c->cap[r] = 0;
	for (i = c->res_link[r]; i != SNPU_TOPO_NONE; i = c->link_next[i])
		c->cap[r] += c->rate[i];
	return r;
}

const char *snpu_cost_name(const struct snpu_cost *c, uint32_t res, char *buf, size_t len)
{
	static const char *const ep_names[] = { "matrix", "vector", "dma", "hbm", "up", "down",
						"die" };
	uint32_t dies = c->t->nodes * c->t->dies, ep = res % c->t->endpoints, h;

	if (res >= c->t->endpoints * EP_RES) {
		h = res - c->t->endpoints * EP_RES;
		snprintf(buf, len, "host%u %s", h / HOST_RES, h % HOST_RES ? "down" : "up");
	} else if (ep >= dies) {
		snprintf(buf, len, "cpu%u %s", ep - dies, ep_names[res / c->t->endpoints]);
	} else {
		snprintf(buf, len, "npu%u.%u %s", ep / c->t->dies, ep % c->t->dies,
			 ep_names[res / c->t->endpoints]);
	}
	return buf;
}
