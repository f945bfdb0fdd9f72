// SPDX-License-Identifier: MIT
/*
 * Transfers between NPUs, and between NPUs and the memory of hosts.
 *
 * A byte of payload takes more than a byte of every link it passes: headers, acknowledgements and
 * flow control are the rest, and writes need more of them than reads. What passes an L2 switch
 * needs more still.
 */
#include <math.h>

#include "snpu_hw.h"
#include "timing/cost_priv.h"

static uint32_t host_of(const struct snpu_cost *c, uint32_t node)
{
	return node / c->t->npus_per_host;
}

/* Seconds from the issue of an access by @from until its first byte arrives */
double snpu_cost_latency(const struct snpu_cost *c, uint32_t from, uint32_t to, uint32_t path,
			 bool host_mem)
{
	bool inter = host_of(c, from) != host_of(c, to);

	return c->p.latency[path] + (inter ? c->p.hop : 0) + (host_mem ? 0 : c->p.hbm);
}

/* A CPU's port in the way: weight of a byte, and no more than one port gives */
static void cpu_port(const struct snpu_cost *c, struct snpu_activity *a, uint32_t node,
		     uint32_t kind, uint32_t path, double share)
{
	uint32_t cpu = snpu_topo_cpu(c->t, host_of(c, node));

	if (cpu == SNPU_TOPO_NONE)
		return;
	snpu_cost_use(a, ep_res(c, cpu, kind), 1 / (c->p.cpu_eff[path] * share));
	a->limit = fmin(a->limit, c->p.cpu_rate * c->p.cpu_eff[path] * share);
}

void snpu_cost_transfer(const struct snpu_cost *c, const struct snpu_plog_rec *r,
			struct snpu_activity *a)
{
	bool reads = r->read_node != SNPU_PLOG_NO_NODE && r->read_node != r->node;
	uint32_t src = r->read_node != SNPU_PLOG_NO_NODE ? r->read_node : r->node;
	uint32_t dst = r->write_node != SNPU_PLOG_NO_NODE ? r->write_node : r->node;
	bool src_host = r->host_mem & SNPU_PLOG_HOST_READ;
	bool dst_host = r->host_mem & SNPU_PLOG_HOST_WRITE;
	bool inter = host_of(c, src) != host_of(c, dst);
	bool read = (reads || src_host) && !(dst != r->node || dst_host);
	uint32_t path = read ? SNPU_PATH_READ : SNPU_PATH_WRITE;
	uint32_t src_die = src == r->node ? r->die : 0, dst_die = dst == r->node ? r->die : 0;
	double share = inter ? c->p.l2_eff[path] : 1, w = 1 / (c->p.link_eff[path] * share);
	double dies = r->die ? 1 : c->t->dies, latency;

	/*
	 * The dies of the issuing NPU take part as its queue says; at the far end memory is
	 * interleaved over all of them.
	 */
	if (src_host) {
		cpu_port(c, a, src, UP, path, share);
	} else {
		snpu_cost_use_node(c, a, src, src_die, UP, w);
		if (src != r->node)
			snpu_cost_use_node(c, a, src, 0, HBM, 1);
	}
	if (dst_host) {
		cpu_port(c, a, dst, DOWN, path, share);
	} else {
		snpu_cost_use_node(c, a, dst, dst_die, DOWN, w);
		if (dst != r->node)
			snpu_cost_use_node(c, a, dst, 0, HBM, 1);
	}
	if (inter && c->t->l2_per_plane) {
		snpu_cost_use(a, host_res(c, host_of(c, src), HOST_UP), w);
		snpu_cost_use(a, host_res(c, host_of(c, dst), HOST_DOWN), w);
	}
	/* one engine keeps so much on its way, also when more of the far end is free */
	a->limit = fmin(a->limit, c->p.die_rate * dies / w);
	latency = snpu_cost_latency(c, r->node, src == r->node ? dst : src, path,
				    read ? src_host : dst_host);
	if (read)
		a->before += snpu_cost_ps(latency);
	else
		a->after += snpu_cost_ps(latency);
}
