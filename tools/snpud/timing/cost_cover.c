// SPDX-License-Identifier: MIT
/*
 * Which resources bound others: what leaves or enters a die goes over its links, whatever else it
 * uses, and what uses all dies of an NPU loads them alike.
 */
#include "timing/cost_priv.h"

static int die_covers(const struct snpu_cost *c, struct snpu_mm *m, uint32_t ep)
{
	static const uint32_t behind_links[] = { DMA, HBM };
	uint32_t die = ep % c->t->dies, first = ep - die, k;
	int rc = 0;

	for (k = 0; !rc && die && k < DIE; k++)
		rc = snpu_mm_cover(m, ep_res(c, ep, k), ep_res(c, first, k));
	for (k = 0; !rc && k < 2; k++) {
		rc = snpu_mm_cover(m, ep_res(c, ep, behind_links[k]), ep_res(c, ep, UP));
		if (!rc)
			rc = snpu_mm_cover(m, ep_res(c, ep, behind_links[k]), ep_res(c, ep, DOWN));
	}
	return rc;
}

int snpu_cost_covers(const struct snpu_cost *c, struct snpu_mm *m)
{
	uint32_t dies = c->t->nodes * c->t->dies, ep, host;
	int rc = 0;

	for (ep = 0; !rc && ep < dies; ep++) {
		rc = die_covers(c, m, ep);
		host = snpu_topo_ep_host(c->t, ep);
		if (!rc)
			rc = snpu_mm_cover(m, host_res(c, host, HOST_UP), ep_res(c, ep, UP));
		if (!rc)
			rc = snpu_mm_cover(m, host_res(c, host, HOST_DOWN), ep_res(c, ep, DOWN));
	}
	return rc;
}
