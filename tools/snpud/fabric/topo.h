/* SPDX-License-Identifier: MIT */
/*
 * Topology of the machine: what a profile says, as nodes, dies, switches and directed links.
 *
 * Immutable once made, the same for the fabric (which keeps states and counters per link) and the
 * timing plane (which keeps rates). A link here is one direction of one plane's connection between
 * two ends; where the profile has several lanes between them (links_per_die > planes), they are one
 * link of their common rate.
 *
 * Endpoints are the dies of all NPUs of the machine, in order of node and die, and then one CPU
 * complex per host if the profile states cpu_bandwidth. With L2 switches, every host has one L1
 * switch per plane and every L1 switch has one link to every L2 switch of its plane; without them,
 * each plane is one switch for the whole machine. Two dies of a package also have a direct link.
 *
 * The order of links, and so their ids, is a function of the profile alone.
 */
#ifndef SNPU_FABRIC_TOPO_H
#define SNPU_FABRIC_TOPO_H

#include <stddef.h>
#include <stdint.h>

#include "profiles/profile.h"

#define SNPU_TOPO_MAX_PLANES	32u
#define SNPU_TOPO_MAX_HOPS	4u	/* links of a route */
#define SNPU_TOPO_NONE		0xffffffffu

enum snpu_topo_kind {
	SNPU_TOPO_DIE,		/* id: endpoint */
	SNPU_TOPO_CPU,		/* id: endpoint */
	SNPU_TOPO_L1,		/* id: switch */
	SNPU_TOPO_L2,		/* id: switch */
};

/**
 * struct snpu_topo_link - one direction of a connection
 * @from_kind: what it leaves
 * @to_kind: what it enters
 * @from: id of that kind
 * @to: id of that kind
 * @plane: plane, SNPU_TOPO_NONE for the link between two dies
 * @reverse: id of the other direction
 * @rate: bytes/s of payload and overhead together
 */
struct snpu_topo_link {
	uint8_t from_kind;
	uint8_t to_kind;
	uint32_t from;
	uint32_t to;
	uint32_t plane;
	uint32_t reverse;
	double rate;
};

/**
 * struct snpu_topo_switch - one switch chip
 * @level: 1 or 2
 * @plane: its plane
 * @host: its host, SNPU_TOPO_NONE: serves the whole machine
 * @index: among the switches of that level, plane and host
 */
struct snpu_topo_switch {
	uint32_t level;
	uint32_t plane;
	uint32_t host;
	uint32_t index;
};

/**
 * struct snpu_topo - the machine
 * @profile: where it comes from; must outlive this
 * @hosts: hosts
 * @npus_per_host: NPUs of each
 * @nodes: NPUs in all; node n is slot n % npus_per_host of host n / npus_per_host
 * @dies: dies of an NPU
 * @planes: planes
 * @l2_per_plane: L2 switches of a plane, 0: one level only
 * @cpus: CPU endpoints: hosts, or 0
 * @endpoints: nodes * dies + cpus
 * @num_switches: length of @switches
 * @num_links: length of @links
 * @switches: all of them
 * @links: all of them
 */
struct snpu_topo {
	const struct snpu_profile *profile;
	uint32_t hosts, npus_per_host, nodes, dies, planes, l2_per_plane, cpus;
	uint32_t endpoints, num_switches, num_links;
	struct snpu_topo_switch *switches;
	struct snpu_topo_link *links;
	/* lookup, by topo.c only */
	uint32_t *ep_up;	/* [endpoint * planes + plane]: link from it; the reverse enters it */
	uint32_t *l1_up;	/* [(host * planes + plane) * l2_per_plane + chip] */
	uint32_t *die_link;	/* [endpoint]: to the next die of the package, or NONE */
};

/**
 * snpu_topo_new() - build the topology
 * @p: a profile that was loaded, so its figures are in range
 * @err: receives one line when the figures do not add up (say, L1 uplinks that are no multiple of
 *	the L2 switches), with the keys concerned
 * @err_len: size of @err
 *
 * Return: the topology, for snpu_topo_free(), or NULL.
 */
struct snpu_topo *snpu_topo_new(const struct snpu_profile *p, char *err, size_t err_len);
void snpu_topo_free(struct snpu_topo *t);

/** snpu_topo_die() - endpoint of a die */
static inline uint32_t snpu_topo_die(const struct snpu_topo *t, uint32_t node, uint32_t die)
{
	return node * t->dies + die;
}

/** snpu_topo_cpu() - endpoint of a host's CPUs, SNPU_TOPO_NONE: the profile has none */
static inline uint32_t snpu_topo_cpu(const struct snpu_topo *t, uint32_t host)
{
	return t->cpus ? t->nodes * t->dies + host : SNPU_TOPO_NONE;
}

/** snpu_topo_ep_host() - host that an endpoint is in */
uint32_t snpu_topo_ep_host(const struct snpu_topo *t, uint32_t ep);

/**
 * snpu_topo_route() - the links from one endpoint to another in one plane
 * @t: topology
 * @src: endpoint
 * @dst: another endpoint
 * @plane: plane
 * @chip: which L2 switch, taken modulo their number; without meaning inside a host
 * @links: receives up to SNPU_TOPO_MAX_HOPS link ids, in order
 *
 * Return: number of links; 0 when @src and @dst are the same.
 */
unsigned int snpu_topo_route(const struct snpu_topo *t, uint32_t src, uint32_t dst, uint32_t plane,
			     uint32_t chip, uint32_t *links);

/** snpu_topo_route_hosts() - for who knows the hosts; @chip: below l2_per_plane */
unsigned int snpu_topo_route_hosts(const struct snpu_topo *t, uint32_t src, uint32_t src_host,
				   uint32_t dst, uint32_t dst_host, uint32_t plane, uint32_t chip,
				   uint32_t *links);

/** snpu_topo_l2_hops() - 1: a route between the two passes an L2 switch, 0: it does not */
unsigned int snpu_topo_l2_hops(const struct snpu_topo *t, uint32_t src, uint32_t dst);

/** snpu_topo_die_link() - direct link between two dies of one package, or SNPU_TOPO_NONE */
uint32_t snpu_topo_die_link(const struct snpu_topo *t, uint32_t src, uint32_t dst);

/**
 * snpu_topo_bisection() - bytes/s, one way, between two halves of the machine
 *
 * Halves are of whole hosts, or of one host's NPUs if there is but one; CPUs do not count.
 */
double snpu_topo_bisection(const struct snpu_topo *t);

/**
 * snpu_topo_link_name() - "npu12.1>l1.1.3": die 1 of node 12 to plane 3's switch of host 1
 *
 * Ends are "npu<node>.<die>", "cpu<host>", "l1.<host>.<plane>" (one level: "l1.<plane>") and
 * "l2.<plane>.<chip>". Return: @buf.
 */
const char *snpu_topo_link_name(const struct snpu_topo *t, uint32_t link, char *buf, size_t len);

/** snpu_topo_link_find() - link of that name; a name with "-" for ">" means both directions
 * and gives the first. Return: id or SNPU_TOPO_NONE.
 */
uint32_t snpu_topo_link_find(const struct snpu_topo *t, const char *name);

/** snpu_topo_switch_name() - "l1.1.3", "l2.3.15". Return: @buf */
const char *snpu_topo_switch_name(const struct snpu_topo *t, uint32_t sw, char *buf, size_t len);

/** snpu_topo_switch_find() - switch of that name, or SNPU_TOPO_NONE */
uint32_t snpu_topo_switch_find(const struct snpu_topo *t, const char *name);

#endif
