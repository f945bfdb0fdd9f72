// SPDX-License-Identifier: MIT
/*
 * Cost of packets, from the peaks of the profile.
 *
 * Work is spread evenly over the dies that do it. Of a link bundle - all planes of a die, all uplinks
 * of a host - traffic takes what its links give together.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "snpu_hw.h"
#include "timing/cost.h"

#define DEPTH	16u		/* posted transfers of a queue, assumed */
#define ISSUE_PS	50000ull	/* decoding of a packet, assumed */

/* Resources of an endpoint, then of a host */
enum { MATRIX, VECTOR, DMA, HBM, UP, DOWN, DIE, EP_RES };
enum { HOST_UP, HOST_DOWN, HOST_RES };

struct snpu_cost {
	const struct snpu_topo *t;
	bool ideal;
	uint32_t num;
	double *cap;
	double *rate;			/* of links, now */
	uint32_t *link_res;
};

static uint32_t ep_res(uint32_t ep, uint32_t kind)
{
	return ep * EP_RES + kind;
}

static uint32_t host_res(const struct snpu_cost *c, uint32_t host, uint32_t kind)
{
	return c->t->endpoints * EP_RES + host * HOST_RES + kind;
}

static uint32_t res_of_link(const struct snpu_cost *c, const struct snpu_topo_link *l)
{
	bool from_ep = l->from_kind == SNPU_TOPO_DIE || l->from_kind == SNPU_TOPO_CPU;
	bool to_ep = l->to_kind == SNPU_TOPO_DIE || l->to_kind == SNPU_TOPO_CPU;

	if (from_ep && to_ep)
		return ep_res(l->from, DIE);
	if (from_ep)
		return ep_res(l->from, UP);
	if (to_ep)
		return ep_res(l->to, DOWN);
	if (l->from_kind == SNPU_TOPO_L1)
		return host_res(c, c->t->switches[l->from].host, HOST_UP);
	return host_res(c, c->t->switches[l->to].host, HOST_DOWN);
}

void snpu_cost_reset_links(struct snpu_cost *c)
{
	uint32_t i, k;

	for (i = 0; i < c->t->endpoints; i++)
		for (k = UP; k <= DIE; k++)
			c->cap[ep_res(i, k)] = 0;
	for (i = c->t->endpoints * EP_RES; i < c->num; i++)
		c->cap[i] = 0;
	for (i = 0; i < c->t->num_links; i++) {
		c->rate[i] = c->t->links[i].rate;
		c->cap[c->link_res[i]] += c->rate[i];
	}
}

struct snpu_cost *snpu_cost_new(const struct snpu_topo *t, bool ideal, char *err, size_t err_len)
{
	const struct snpu_profile *p = t->profile;
	struct snpu_cost *c = calloc(1, sizeof(*c));
	uint32_t i;

	if (c) {
		c->t = t;
		c->ideal = ideal;
		c->num = t->endpoints * EP_RES + t->hosts * HOST_RES;
		c->cap = calloc(c->num + 1, sizeof(*c->cap));
		c->rate = calloc(t->num_links + 1, sizeof(*c->rate));
		c->link_res = calloc(t->num_links + 1, sizeof(*c->link_res));
	}
	if (!c || !c->cap || !c->rate || !c->link_res) {
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
	for (i = 0; i < t->num_links; i++)
		c->link_res[i] = res_of_link(c, &t->links[i]);
	snpu_cost_reset_links(c);
	for (i = 0; i < t->endpoints; i++) {
		double hbm = p->npu.hbm_bandwidth.value / t->dies;

		/* engines are counted in seconds of work a second */
		c->cap[ep_res(i, MATRIX)] = 1;
		c->cap[ep_res(i, VECTOR)] = 1;
		c->cap[ep_res(i, DMA)] = hbm / 2;
		c->cap[ep_res(i, HBM)] = hbm;
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
	for (i = 0; i < c->t->num_links; i++)
		if (c->link_res[i] == r)
			c->cap[r] += c->rate[i];
	return r;
}

const char *snpu_cost_name(const struct snpu_cost *c, uint32_t res, char *buf, size_t len)
{
	static const char *const ep_names[] = { "matrix", "vector", "dma", "hbm", "up", "down",
						"die" };
	uint32_t dies = c->t->nodes * c->t->dies, ep = res / EP_RES, h;

	if (ep >= c->t->endpoints) {
		h = res - c->t->endpoints * EP_RES;
		snprintf(buf, len, "host%u %s", h / HOST_RES, h % HOST_RES ? "down" : "up");
	} else if (ep >= dies) {
		snprintf(buf, len, "cpu%u %s", ep - dies, ep_names[res % EP_RES]);
	} else {
		snprintf(buf, len, "npu%u.%u %s", ep / c->t->dies, ep % c->t->dies,
			 ep_names[res % EP_RES]);
	}
	return buf;
}

/* ---- packets ---- */

static void use(struct snpu_activity *a, uint32_t res, double weight)
{
	uint32_t i;

	for (i = 0; i < a->num_uses; i++) {
		if (a->uses[i].res == res) {
			a->uses[i].weight += weight;
			return;
		}
	}
	if (weight > 0)
		a->uses[a->num_uses++] = (struct snpu_mm_use){ res, weight };
}

/* @weight of the work takes @kind of @node; @die: 0: all dies, n: die n - 1 */
static void use_node(const struct snpu_cost *c, struct snpu_activity *a, uint32_t node,
		     uint32_t die, uint32_t kind, double weight)
{
	uint32_t d;

	for (d = 0; d < c->t->dies; d++) {
		if (!die)
			use(a, ep_res(snpu_topo_die(c->t, node, d), kind), weight / c->t->dies);
		else if (d == die - 1)
			use(a, ep_res(snpu_topo_die(c->t, node, d), kind), weight);
	}
}

static uint64_t ps(double s)
{
	return (uint64_t)llround(s * 1e12);
}

static void transfer(const struct snpu_cost *c, const struct snpu_plog_rec *r, uint32_t path,
		     struct snpu_activity *a)
{
	uint32_t src = r->read_node != SNPU_PLOG_NO_NODE ? r->read_node : r->node;
	uint32_t dst = r->write_node != SNPU_PLOG_NO_NODE ? r->write_node : r->node;
	const struct snpu_profile *p = c->t->profile;
	bool inter = src / c->t->npus_per_host != dst / c->t->npus_per_host;
	const struct snpu_fig *bw = inter ? p->fabric.inter_bandwidth : p->fabric.intra_bandwidth;
	const struct snpu_fig *lat = inter ? p->fabric.inter_latency : p->fabric.intra_latency;
	uint32_t src_die = src == r->node ? r->die : 0, dst_die = dst == r->node ? r->die : 0;
	double dies = r->die ? 1 : c->t->dies;

	use_node(c, a, src, src_die, UP, 1);
	use_node(c, a, dst, dst_die, DOWN, 1);
	if (src != r->node)
		use_node(c, a, src, 0, HBM, 1);
	if (dst != r->node)
		use_node(c, a, dst, 0, HBM, 1);
	if (inter && c->t->l2_per_plane) {
		use(a, host_res(c, src / c->t->npus_per_host, HOST_UP), 1);
		use(a, host_res(c, dst / c->t->npus_per_host, HOST_DOWN), 1);
	}
	if (bw[path].value > 0 && !c->ideal)
		a->limit = bw[path].value * dies;
	if (path == SNPU_PATH_READ)
		a->before += ps(lat[path].value);
	else
		a->after += ps(lat[path].value);
}

static double peak(const struct snpu_cost *c, unsigned int dtype)
{
	const struct snpu_profile *p = c->t->profile;

	if (dtype == SNPU_DT_I8 && p->npu.ops_int8.value > 0)
		return p->npu.ops_int8.value;
	if (dtype == SNPU_DT_F32 && p->npu.flops_fp32.value > 0)
		return p->npu.flops_fp32.value;
	return dtype == SNPU_DT_F32 ? p->npu.flops_bf16.value / 4 : p->npu.flops_bf16.value;
}

int snpu_cost_packet(const struct snpu_cost *c, const struct snpu_plog_rec *r,
		     struct snpu_activity *a)
{
	bool matrix = r->op == SNPU_OP_MATMUL || r->op == SNPU_OP_ATTENTION;
	bool data = (r->op >= SNPU_OP_COPY && r->op <= SNPU_OP_ATTENTION) &&
		    r->op != SNPU_OP_ATOMIC;
	bool copy = r->op == SNPU_OP_COPY || r->op == SNPU_OP_COPY2D ||
		    r->op == SNPU_OP_REDUCE_ADD;
	bool reads = r->read_node != SNPU_PLOG_NO_NODE && r->read_node != r->node;
	bool writes = r->write_node != SNPU_PLOG_NO_NODE && r->write_node != r->node;
	uint32_t n = c->t->nodes;
	double bytes, local, s, dies;

	if (r->node >= n || (reads && r->read_node >= n) || (writes && r->write_node >= n) ||
	    r->die > c->t->dies || (r->sem_kind && r->sem_node >= n))
		return -EINVAL;
	*a = (struct snpu_activity){ .issue = ISSUE_PS, .limit = INFINITY };
	if (r->op == SNPU_OP_CLOCK || r->op == SNPU_OP_INDIRECT || r->op == SNPU_OP_SEM_WAIT)
		a->issue = 0;
	a->async = copy || r->op == SNPU_OP_SEM_SIGNAL;
	if ((r->op == SNPU_OP_SEM_SIGNAL || r->op == SNPU_OP_ATOMIC) && r->sem_kind &&
	    r->sem_node != r->node) {
		const struct snpu_profile *p = c->t->profile;

		a->after = ps(r->sem_node / c->t->npus_per_host == r->node / c->t->npus_per_host ?
			      p->fabric.intra_latency[SNPU_PATH_WRITE].value :
			      p->fabric.inter_latency[SNPU_PATH_WRITE].value);
	}
	if (!data)
		return 0;
	a->before = ISSUE_PS;
	bytes = (double)(r->bytes_read > r->bytes_written ? r->bytes_read : r->bytes_written);
	local = (reads ? 0 : (double)r->bytes_read) + (writes ? 0 : (double)r->bytes_written);
	dies = r->die ? 1 : c->t->dies;
	s = (double)r->flops / (matrix ? peak(c, r->dtype) : peak(c, SNPU_DT_BF16) / 16) *
	    c->t->dies / dies;
	/* bytes are the unit of work; a packet without any counts its operations */
	a->work = bytes > 0 ? bytes : (double)r->flops;
	if (a->work <= 0)
		return 0;
	if (local > 0)
		use_node(c, a, r->node, r->die, HBM, local / a->work);
	if (copy || r->op == SNPU_OP_FILL)
		use_node(c, a, r->node, r->die, DMA, 1);
	else if (s > 0)
		use_node(c, a, r->node, r->die, matrix ? MATRIX : VECTOR, s * dies / a->work);
	if (reads || writes) {
		a->bytes = (uint64_t)bytes;
		transfer(c, r, writes ? SNPU_PATH_WRITE : SNPU_PATH_READ, a);
	}
	if (!a->num_uses)
		a->work = 0;
	return 0;
}
