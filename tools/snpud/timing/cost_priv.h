/* SPDX-License-Identifier: MIT */
/* Cost model: what its parts share. */
#ifndef SNPU_TIMING_COST_PRIV_H
#define SNPU_TIMING_COST_PRIV_H

#include "timing/cost.h"

/* Resources of an endpoint, then of a host */
enum { MATRIX, VECTOR, DMA, HBM, UP, DOWN, DIE, EP_RES };
enum { HOST_UP, HOST_DOWN, HOST_RES };

/**
 * struct snpu_cost_params - section "timing" with defaults, in seconds and shares
 * @matmul_eff: rate of a matrix core inside a tile, of its peak
 * @tile: rows and columns of a full tile
 * @fill: steps of the inner dimension that filling and draining a full tile take
 * @attention_eff: rate of attention, of the peak
 * @hbm_eff: HBM bandwidth that engines get, of the peak
 * @link_eff: payload of what a link carries, by path
 * @l2_eff: factor for what passes an L2 switch, by path
 * @switch_eff: factor for what a switch adds up or copies, on the links between it and the list
 * @switch_lat: more for that
 * @cpu_eff: payload of what a CPU's port carries, by path
 * @latency: from issue to the first byte, inside a host, by path
 * @hop: more for what passes an L2 switch
 * @hbm: more when the far end is HBM and not host memory
 * @issue: of a packet
 * @launch: of a kernel on matrix or vector cores
 * @row: core seconds for a row of a row operation
 * @die_rate: bytes/s of all links of a die, as the profile says
 * @cpu_rate: bytes/s of one CPU's port, 0: none
 */
struct snpu_cost_params {
	double matmul_eff, tile, fill, attention_eff, hbm_eff;
	double link_eff[SNPU_PATHS], l2_eff[SNPU_PATHS], cpu_eff[SNPU_PATHS];
	double latency[SNPU_PATHS], hop, hbm, issue, launch, row;
	double switch_eff, switch_lat;
	double die_rate, cpu_rate;
};

/* What a list uses; as long as the longest can be */
struct snpu_uses {
	uint32_t num;
	struct snpu_mm_use use[];
};

struct snpu_cost {
	const struct snpu_topo *t;
	struct snpu_cost_params p;
	uint32_t num;
	double *cap;
	double *rate;			/* of links, now */
	uint32_t *link_res;
	uint32_t *res_link;		/* first link of each resource, in order of numbers, */
	uint32_t *link_next;		/* and the next one; SNPU_TOPO_NONE: no more */
	struct snpu_uses *many;		/* of snpu_cost_uses() */
};

/* By kind first: sharing looks at links of all endpoints again and again, and hardly at the rest */
static inline uint32_t ep_res(const struct snpu_cost *c, uint32_t ep, uint32_t kind)
{
	return kind * c->t->endpoints + ep;
}

static inline uint32_t host_res(const struct snpu_cost *c, uint32_t host, uint32_t kind)
{
	return c->t->endpoints * EP_RES + host * HOST_RES + kind;
}

/* cost_fabric.c */
double snpu_cost_latency(const struct snpu_cost *c, uint32_t from, uint32_t to, uint32_t path,
			 bool host_mem);
void snpu_cost_transfer(const struct snpu_cost *c, const struct snpu_plog_rec *r,
			struct snpu_activity *a);

/* cost_gemm.c */
double snpu_cost_matmul(const struct snpu_cost *c, uint32_t dtype, double m, double n, double k,
			double groups, double dies);
double snpu_cost_peak(const struct snpu_cost *c, uint32_t dtype);

/* cost_multi.c */
bool snpu_cost_is_multi(const struct snpu_plog_rec *r);
bool snpu_cost_multi_ok(const struct snpu_cost *c, const struct snpu_plog_rec *r);
void snpu_cost_multi(const struct snpu_cost *c, const struct snpu_plog_rec *r,
		     struct snpu_activity *a, struct snpu_uses *many);

/* cost_packet.c */
void snpu_cost_use(struct snpu_activity *a, uint32_t res, double weight);
void snpu_cost_use_node(const struct snpu_cost *c, struct snpu_activity *a, uint32_t node,
			uint32_t die, uint32_t kind, double weight);

static inline uint64_t snpu_cost_ps(double s)
{
	return s > 0 ? (uint64_t)(s * 1e12 + 0.5) : 0;
}

#endif
