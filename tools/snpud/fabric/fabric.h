/* SPDX-License-Identifier: MIT */
/*
 * The fabric manager: states and counters of all links, and the way of transfers over them.
 *
 * A transfer is what one packet moves between one pair of NPUs. It is striped, in pieces of 4 KiB
 * or more, over its lanes: a lane is one plane between one die of either side. Workers follow
 * transfers with a struct snpu_flow: they read states without a lock, and lock a link for the
 * moment in which it is counted. States are changed by the control socket, one at a time.
 *
 * Bytes that entered a link = bytes that left it + bytes that were lost in it, whenever it is
 * looked at.
 */
#ifndef SNPU_FABRIC_FABRIC_H
#define SNPU_FABRIC_FABRIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fabric/topo.h"

#define SNPU_FABRIC_STRIPE	4096u	/* a transfer up to here takes one lane */
#define SNPU_FABRIC_MAX_LANES	512u
#define SNPU_FABRIC_FLAP	8u	/* packets of a queue for which a link is up, or down */

struct snpu_fabric;

enum snpu_fabric_kind {
	SNPU_FABRIC_LINK,	/* id: link of the topology */
	SNPU_FABRIC_SWITCH,	/* id: switch */
	SNPU_FABRIC_PLANE,	/* id: plane */
};

/**
 * struct snpu_fabric_fault - what is wrong with a link, a switch or a plane
 * @kind: what @id is
 * @id: which one
 * @state: SNPU_PORT_*; UP: nothing is
 * @share: DEGRADED: part of its rate that a link has left, more than 0, less than 1; a switch or
 *	plane means all its links
 */
struct snpu_fabric_fault {
	enum snpu_fabric_kind kind;
	uint32_t id;
	uint32_t state;
	double share;
};

/**
 * struct snpu_fabric_counters - what went over a link
 * @in: bytes that entered
 * @out: bytes that left
 * @dropped: bytes that were lost: @in is always @out + @dropped
 * @downs: how often it went down: by a fault that was set, and flapping, under a packet
 */
struct snpu_fabric_counters {
	uint64_t in, out, dropped, downs;
};

/**
 * snpu_fabric_change_fn - a link's state or rate is another one now
 * @ctx: from snpu_fabric_watch()
 * @link: link of the topology
 * @state: SNPU_PORT_*
 * @rate: bytes/s it gives, 0: down
 *
 * Called by whoever changed it, one at a time, after workers can see the change. Must not change
 * states.
 */
typedef void (*snpu_fabric_change_fn)(void *ctx, uint32_t link, uint32_t state, double rate);

/**
 * snpu_fabric_new() - all links up
 * @p: profile, must outlive the fabric
 * @err: receives one line on failure
 * @err_len: size of @err
 */
struct snpu_fabric *snpu_fabric_new(const struct snpu_profile *p, char *err, size_t err_len);
void snpu_fabric_free(struct snpu_fabric *f);
const struct snpu_topo *snpu_fabric_topo(const struct snpu_fabric *f);
/** snpu_fabric_watch() - before the first change */
void snpu_fabric_watch(struct snpu_fabric *f, snpu_fabric_change_fn fn, void *ctx);

/* ---- states ---- */

/**
 * snpu_fabric_set() - inject a fault, or with SNPU_PORT_UP end one
 * @f: fabric
 * @fault: what; replaces the one that this link, switch or plane had
 *
 * A link is as bad as the worst of itself, the switches at its ends, and its plane. Return: 0;
 * -EINVAL: no such id, state or share, or a link between two dies of a package, which no transfer
 * takes.
 */
int snpu_fabric_set(struct snpu_fabric *f, const struct snpu_fabric_fault *fault);

/** snpu_fabric_clear() - end all faults; returns how many there were */
unsigned int snpu_fabric_clear(struct snpu_fabric *f);

/** snpu_fabric_faults() - up to @max faults that are set; returns how many there are */
unsigned int snpu_fabric_faults(struct snpu_fabric *f, struct snpu_fabric_fault *faults,
				unsigned int max);

/** snpu_fabric_link_state() - SNPU_PORT_*, with all that bears on it */
uint32_t snpu_fabric_link_state(const struct snpu_fabric *f, uint32_t link);
/** snpu_fabric_link_rate() - bytes/s it gives now; a flapping one half its rate */
double snpu_fabric_link_rate(const struct snpu_fabric *f, uint32_t link);
void snpu_fabric_link_counters(struct snpu_fabric *f, uint32_t link,
			       struct snpu_fabric_counters *c);

/** snpu_fabric_bytes() - bytes that went from NPU @src to NPU @dst, resent ones once */
uint64_t snpu_fabric_bytes(const struct snpu_fabric *f, uint32_t src, uint32_t dst);

/** snpu_fabric_reachable() - a transfer from @src to @dst could begin now */
bool snpu_fabric_reachable(const struct snpu_fabric *f, uint32_t src, uint32_t dst);

/**
 * struct snpu_fabric_lane - one way between two NPUs
 * @plane: plane
 * @src: endpoint it begins at
 * @dst: endpoint it ends at
 * @hops: length of @links
 * @links: its links, in order; when it is down, those it would take
 * @down: no transfer takes it now
 */
struct snpu_fabric_lane {
	uint32_t plane, src, dst, hops;
	uint32_t links[SNPU_TOPO_MAX_HOPS];
	bool down;
};

/** snpu_fabric_lanes() - number of lanes of a pair: planes * dies */
unsigned int snpu_fabric_lanes(const struct snpu_fabric *f);
/** snpu_fabric_lane() - lane @i between two different nodes, as a bulk transfer sees it */
void snpu_fabric_lane(const struct snpu_fabric *f, uint32_t src, uint32_t dst, unsigned int i,
		      struct snpu_fabric_lane *lane);

/* ---- transfers: by workers ---- */

/* The links of its way that a transfer takes: not all, where a switch adds up or copies */
enum snpu_flow_part {
	SNPU_FLOW_ALL,
	SNPU_FLOW_TO_SWITCH,	/* up to the last switch */
	SNPU_FLOW_FROM_SWITCH,	/* the link behind it */
};

/**
 * struct snpu_flow - one transfer under way; zero: none
 *
 * Private to fabric.c; the owner of a packet keeps one for each direction.
 */
struct snpu_flow {
	bool open;
	uint32_t gen;			/* of the states in @lanes */
	uint32_t src, dst, src_die, dst_die;
	enum snpu_flow_part part;
	uint64_t key;
	uint64_t va, run;		/* piece that is moving now */
	uint64_t bytes;			/* of earlier pieces that took @lanes */
	uint64_t lanes[SNPU_FABRIC_MAX_LANES / 64];
};

/**
 * struct snpu_flow_ends - between which NPUs
 * @src: node that the bytes leave
 * @dst: another node; the same one for what a switch adds up or copies, of one level of switches
 * @src_die: 0: all its dies take part, n: die n - 1
 * @dst_die: likewise
 * @part: links it takes
 * @key: number of the packet in its queue: what flapping links and routing in turns go by
 */
struct snpu_flow_ends {
	uint32_t src, dst, src_die, dst_die;
	enum snpu_flow_part part;
	uint64_t key;
};

/**
 * snpu_flow_move() - a piece of a transfer is about to move
 * @f: fabric
 * @flow: the transfer; a piece between other ends ends it and begins a new one
 * @ends: where
 * @va: address in the issuer's address space: a next piece that begins inside of this one says how
 *	much of this one was really moved
 * @bytes: length of the piece
 *
 * When lanes went down since the last piece, that piece's part on them was lost and goes over the
 * others again.
 *
 * Return: 0; -EHOSTUNREACH: no lane is up, the transfer is over.
 */
int snpu_flow_move(struct snpu_fabric *f, struct snpu_flow *flow,
		   const struct snpu_flow_ends *ends, uint64_t va, uint64_t bytes);

/**
 * snpu_flow_end() - the last piece has moved: count it all
 *
 * Return: 0, also when there was no transfer; -EHOSTUNREACH: all its lanes went down meanwhile.
 */
int snpu_flow_end(struct snpu_fabric *f, struct snpu_flow *flow);

/** snpu_flow_exact() - bytes of the transfer are known from the packet: count these */
static inline void snpu_flow_exact(struct snpu_flow *flow, uint64_t bytes)
{
	if (!flow->open)
		return;
	flow->bytes = 0;
	flow->run = bytes;
}

/** snpu_flow_piece() - the piece that is about to move is of another length than was said */
static inline void snpu_flow_piece(struct snpu_flow *flow, uint64_t bytes)
{
	if (flow->open)
		flow->run = bytes;
}

/** snpu_flow_drop() - forget it, nothing is counted: the packet will be tried anew */
static inline void snpu_flow_drop(struct snpu_flow *flow)
{
	flow->open = false;
}

#endif
