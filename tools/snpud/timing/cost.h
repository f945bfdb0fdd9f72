/* SPDX-License-Identifier: MIT */
/*
 * What a packet costs: from a record of the log and the profile to the resources it needs.
 *
 * The cost model owns the list of resources: engines, memory and links of dies, uplinks of hosts.
 * The simulation knows them by number only.
 */
#ifndef SNPU_TIMING_COST_H
#define SNPU_TIMING_COST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fabric/topo.h"
#include "log/packet_log.h"
#include "timing/maxmin.h"

#define SNPU_COST_MAX_USES	48u

struct snpu_cost;

/**
 * struct snpu_activity - what a packet does, in order: @before, the work, @after
 * @issue: ps that its queue is taken by issuing it; with @async, all it is taken
 * @before: ps from its begin to the first byte
 * @after: ps from the last byte to the arrival: then its signal takes effect
 * @async: the packets behind it may begin before it has ended, see Documentation/timing.rst
 * @work: amount, in the unit of @weight and @limit; 0: none
 * @limit: largest rate in work/s, INFINITY: what the resources give
 * @bytes: payload that crosses the fabric, 0: none
 * @num_uses: length of @uses
 * @uses: shared resources, none twice; of a packet with a list, only the issuer's, see snpu_cost_uses()
 */
struct snpu_activity {
	uint64_t issue, before, after;
	bool async;
	double work, limit;
	uint64_t bytes;
	uint32_t num_uses;
	struct snpu_mm_use uses[SNPU_COST_MAX_USES];
};

/** snpu_cost_new() - @ideal: efficiencies are 1. Return: model, or NULL with @err set */
struct snpu_cost *snpu_cost_new(const struct snpu_topo *t, bool ideal, char *err, size_t err_len);
void snpu_cost_free(struct snpu_cost *c);

/** snpu_cost_packet() - 0, or -EINVAL: a record that no machine of this topology can have made */
int snpu_cost_packet(const struct snpu_cost *c, const struct snpu_plog_rec *r,
		     struct snpu_activity *out);

/**
 * snpu_cost_uses() - all resources that a packet uses, none twice
 * @c: cost model
 * @r: record
 * @a: what snpu_cost_packet() made of it
 * @uses: receives them; valid as long as @a, and until the next call
 *
 * Return: their number.
 */
uint32_t snpu_cost_uses(const struct snpu_cost *c, const struct snpu_plog_rec *r,
			const struct snpu_activity *a, const struct snpu_mm_use **uses);

/** snpu_cost_depth() - posted transfers of a queue that are on their way at a time */
uint32_t snpu_cost_depth(const struct snpu_cost *c);

/** snpu_cost_resources() - their number */
uint32_t snpu_cost_resources(const struct snpu_cost *c);
/** snpu_cost_capacity() - of a resource, with the present rates of links */
double snpu_cost_capacity(const struct snpu_cost *c, uint32_t res);
/** snpu_cost_name() - "npu3.1 up": name of a resource. Return: @buf */
const char *snpu_cost_name(const struct snpu_cost *c, uint32_t res, char *buf, size_t len);
/** snpu_cost_link_resource() - resource a link is part of, and the link's share of it, 0..1 */
uint32_t snpu_cost_link_resource(const struct snpu_cost *c, uint32_t link, double *share);
/** snpu_cost_set_link() - a link's rate is another now. Return: resource that changed */
uint32_t snpu_cost_set_link(struct snpu_cost *c, uint32_t link, double rate);
/** snpu_cost_covers() - tell @m which resources bound others, see snpu_mm_cover(). 0 or -ENOMEM */
int snpu_cost_covers(const struct snpu_cost *c, struct snpu_mm *m);
/** snpu_cost_reset_links() - all links are as the topology says */
void snpu_cost_reset_links(struct snpu_cost *c);

#endif
