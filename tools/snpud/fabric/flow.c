// SPDX-License-Identifier: MIT
/*
 * Transfers: which lanes they take, what is counted where, and what is lost.
 *
 * Nothing here waits, and nothing depends on time: what a flapping link does is a function of the
 * link and the number of the packet in its queue.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fabric/fabric_priv.h"
#include "snpu_hw.h"

/* Ends of a transfer, with what all its lanes share */
struct way {
	uint32_t src, dst, src_die, dst_die;
	enum snpu_flow_part part;
	uint64_t key;
	uint32_t src_host, dst_host;
};

static struct way way_of(const struct snpu_fabric *f, const struct snpu_flow_ends *e)
{
	return (struct way){
		.src = e->src, .dst = e->dst, .src_die = e->src_die, .dst_die = e->dst_die,
		.part = e->part, .key = e->key, .src_host = e->src / f->topo->npus_per_host,
		.dst_host = e->dst / f->topo->npus_per_host,
	};
}

static uint32_t mix(uint32_t a, uint32_t b)
{
	uint64_t h = ((uint64_t)a << 32 | b) * 0x9e3779b97f4a7c15ull;

	h ^= h >> 32;
	h *= 0xd6e8feb86659fd93ull;
	return (uint32_t)(h >> 32);
}

static bool bit(const uint64_t *set, uint32_t i)
{
	return set[i / 64] >> i % 64 & 1;
}

/* Both directions of a connection flap as one */
static bool flap_down(uint32_t link, uint64_t key)
{
	return (key / SNPU_FABRIC_FLAP + (link >> 1)) & 1;
}

/* The link takes nothing of packet @key. @flaps: those that merely flap count as up */
static bool link_down(const struct snpu_fabric *f, uint32_t link, uint64_t key, bool flaps)
{
	uint32_t state = snpu_fabric_link_state(f, link);

	return state == SNPU_PORT_DOWN ||
	       (state == SNPU_PORT_FLAPPING && !flaps && flap_down(link, key));
}

static void lane_ends(const struct snpu_fabric *f, const struct way *w, uint32_t lane,
		      uint32_t *src, uint32_t *dst, uint32_t *plane)
{
	uint32_t die = lane / f->topo->planes;

	*plane = lane - die * f->topo->planes;
	*src = snpu_topo_die(f->topo, w->src, w->src_die ? w->src_die - 1 : die);
	*dst = snpu_topo_die(f->topo, w->dst, w->dst_die ? w->dst_die - 1 : die);
}

/* Links of a lane: by the hash's L2 chip, or the next one that works. @up: does any? */
static unsigned int lane_route(const struct snpu_fabric *f, const struct way *w, uint32_t lane,
			       bool flaps, uint32_t *links, bool *up)
{
	const struct snpu_topo *t = f->topo;
	uint32_t plane, src, dst, chip, i, k, tries = 1;
	unsigned int hops;

	lane_ends(f, w, lane, &src, &dst, &plane);
	if (w->src_host != w->dst_host && t->l2_per_plane)
		tries = t->l2_per_plane;
	chip = mix(src, dst) % tries;
	for (i = 0; i < tries; i++) {
		hops = snpu_topo_route_hosts(t, src, w->src_host, dst, w->dst_host, plane,
					     (chip + i) % tries, links);
		*up = true;
		if (!__atomic_load_n(&f->bad, __ATOMIC_RELAXED))
			return hops;
		for (k = 0; k < hops && !link_down(f, links[k], w->key, flaps); k++)
			;
		if (k == hops)
			return hops;
	}
	*up = false;
	return snpu_topo_route_hosts(t, src, w->src_host, dst, w->dst_host, plane, chip, links);
}

/* Lanes that are up; returns how many */
static uint32_t lanes_up(const struct snpu_fabric *f, const struct way *w, bool flaps,
			 uint64_t *set)
{
	uint32_t links[SNPU_TOPO_MAX_HOPS], i, n = 0;
	bool up;

	memset(set, 0, (f->num_lanes + 63) / 64 * 8);
	if (!__atomic_load_n(&f->bad, __ATOMIC_RELAXED)) {
		for (i = 0; i < f->num_lanes; i++)
			set[i / 64] |= 1ull << i % 64;
		return f->num_lanes;
	}
	for (i = 0; i < f->num_lanes; i++) {
		lane_route(f, w, i, flaps, links, &up);
		if (up)
			set[i / 64] |= 1ull << i % 64;
		n += up;
	}
	return n;
}

/* ---- counting ---- */

static void pass(struct snpu_fabric *f, uint32_t link, uint64_t bytes, bool lost)
{
	struct fab_link *l = &f->link[link];

	fab_link_lock(l);
	l->c.in += bytes;
	if (lost)
		l->c.dropped += bytes;
	else
		l->c.out += bytes;
	fab_link_unlock(l);
}

/* The first link of @hops that the transfer takes, and the end of them */
static unsigned int part_begin(const struct way *w, unsigned int hops)
{
	return w->part == SNPU_FLOW_FROM_SWITCH ? hops - 1 : 0;
}

static unsigned int part_end(const struct way *w, unsigned int hops)
{
	return w->part == SNPU_FLOW_TO_SWITCH ? hops - 1 : hops;
}

static void lane_pass(struct snpu_fabric *f, const struct way *w, uint32_t lane,
		      uint64_t bytes)
{
	uint32_t links[SNPU_TOPO_MAX_HOPS];
	unsigned int hops, k;
	bool up;

	hops = lane_route(f, w, lane, false, links, &up);
	for (k = part_begin(w, hops); k < part_end(w, hops); k++)
		pass(f, links[k], bytes, false);
}

/* Up to the first link that is down; where all are up again, in the last one */
static void lane_lose(struct snpu_fabric *f, const struct way *w, uint32_t lane,
		      uint64_t bytes)
{
	uint32_t links[SNPU_TOPO_MAX_HOPS];
	unsigned int hops, end, k;
	bool up;

	hops = lane_route(f, w, lane, false, links, &up);
	end = part_end(w, hops);
	for (k = part_begin(w, hops); k + 1 < end && (up || !link_down(f, links[k], w->key, false)); k++)
		pass(f, links[k], bytes, false);
	pass(f, links[k], bytes, true);
	/* the packet at which a bad phase begins: the link has just gone down, both ways */
	if (snpu_fabric_link_state(f, links[k]) == SNPU_PORT_FLAPPING &&
	    w->key % SNPU_FABRIC_FLAP == 0 && flap_down(links[k], w->key)) {
		fab_link_fell(f, links[k]);
		fab_link_fell(f, f->topo->links[links[k]].reverse);
	}
}

/*
 * Stripes @bytes over the lanes of @set; those that are in @lost, too, lose theirs. Returns bytes
 * lost.
 */
static uint64_t spread(struct snpu_fabric *f, const struct way *w, const uint64_t *set,
		       const uint64_t *lost, uint64_t bytes)
{
	uint64_t want = (bytes + SNPU_FABRIC_STRIPE - 1) / SNPU_FABRIC_STRIPE;
	uint64_t gone = 0, share, n = 0;
	uint32_t i, lane, start;

	for (i = 0; i < f->num_lanes; i++)
		n += bit(set, i);
	if (!n || !bytes)
		return 0;
	want = want < n ? want : n;
	start = f->round_robin ? (uint32_t)(w->key % f->num_lanes) :
		mix(w->src, w->dst) % f->num_lanes;
	for (i = 0; i < f->num_lanes && want; i++) {
		lane = (start + i) % f->num_lanes;
		if (!bit(set, lane))
			continue;
		share = bytes / want;
		bytes -= share;
		want--;
		if (lost && bit(lost, lane)) {
			lane_lose(f, w, lane, share);
			gone += share;
		} else {
			lane_pass(f, w, lane, share);
		}
	}
	return gone;
}

static void matrix_add(struct snpu_fabric *f, uint32_t src, uint32_t dst, uint64_t bytes)
{
	uint64_t *row = __atomic_load_n(&f->rows[src], __ATOMIC_ACQUIRE);
	uint64_t *none = NULL;

	if (src == dst)
		return;		/* to its switch and back */
	if (!row) {
		row = calloc(f->topo->nodes, sizeof(*row));
		if (!row)
			return;		/* a picture lacks something; no reason to fail a transfer */
		if (!__atomic_compare_exchange_n(&f->rows[src], &none, row, false,
						 __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
			free(row);
			row = none;
		}
	}
	__atomic_fetch_add(&row[dst], bytes, __ATOMIC_RELAXED);
}

/* ---- flows ---- */

static struct way flow_way(const struct snpu_fabric *f, const struct snpu_flow *fl)
{
	const struct snpu_flow_ends e = { fl->src, fl->dst, fl->src_die, fl->dst_die, fl->part,
					  fl->key };

	return way_of(f, &e);
}

static void begin(struct snpu_fabric *f, struct snpu_flow *fl, const struct snpu_flow_ends *e)
{
	fl->open = true;
	fl->src = e->src;
	fl->dst = e->dst;
	fl->src_die = e->src_die;
	fl->dst_die = e->dst_die;
	fl->part = e->part;
	fl->key = e->key;
	fl->bytes = 0;
	fl->run = 0;
	fl->gen = __atomic_load_n(&f->gen, __ATOMIC_ACQUIRE);
}

/* Counts what has moved so far over the lanes it took */
static void settle(struct snpu_fabric *f, struct snpu_flow *fl)
{
	uint64_t all[SNPU_FABRIC_MAX_LANES / 64], lost[SNPU_FABRIC_MAX_LANES / 64];
	uint64_t now[SNPU_FABRIC_MAX_LANES / 64], gone;
	struct way w = flow_way(f, fl);
	uint32_t i;

	if (!fl->bytes)
		return;
	matrix_add(f, fl->src, fl->dst, fl->bytes);
	/* the first packet of a phase is on its way when a flapping link goes down */
	if (__atomic_load_n(&f->bad, __ATOMIC_RELAXED) && fl->key % SNPU_FABRIC_FLAP == 0) {
		lanes_up(f, &w, true, all);
		lanes_up(f, &w, false, now);
		for (i = 0; i < (f->num_lanes + 63) / 64; i++) {
			lost[i] = all[i] & ~now[i] & ~fl->lanes[i];
			all[i] = fl->lanes[i] | lost[i];
		}
		gone = spread(f, &w, all, lost, fl->bytes);
		spread(f, &w, fl->lanes, NULL, gone);
	} else {
		spread(f, &w, fl->lanes, NULL, fl->bytes);
	}
	fl->bytes = 0;
}

/* States have changed while a piece of @moving bytes was on its way */
static int reroute(struct snpu_fabric *f, struct snpu_flow *fl, uint64_t moving)
{
	uint64_t now[SNPU_FABRIC_MAX_LANES / 64], lost[SNPU_FABRIC_MAX_LANES / 64];
	struct way w = flow_way(f, fl);
	uint32_t i, up;
	uint64_t gone;

	fl->gen = __atomic_load_n(&f->gen, __ATOMIC_ACQUIRE);
	up = lanes_up(f, &w, false, now);
	for (i = 0; i < (f->num_lanes + 63) / 64; i++)
		lost[i] = fl->lanes[i] & ~now[i];
	settle(f, fl);
	gone = spread(f, &w, fl->lanes, lost, moving);
	memcpy(fl->lanes, now, (f->num_lanes + 63) / 64 * 8);
	if (!up) {
		fl->open = false;
		return -EHOSTUNREACH;
	}
	spread(f, &w, fl->lanes, NULL, gone);
	matrix_add(f, fl->src, fl->dst, moving);
	return 0;
}

/* The piece at hand has moved: @moved bytes of it */
static int piece_done(struct snpu_fabric *f, struct snpu_flow *fl, uint64_t moved)
{
	fl->run = 0;
	if (__atomic_load_n(&f->gen, __ATOMIC_ACQUIRE) != fl->gen)
		return reroute(f, fl, moved);
	fl->bytes += moved;
	return 0;
}

int snpu_flow_end(struct snpu_fabric *f, struct snpu_flow *fl)
{
	if (!fl->open)
		return 0;
	if (piece_done(f, fl, fl->run))
		return -EHOSTUNREACH;
	settle(f, fl);
	fl->open = false;
	return 0;
}

int snpu_flow_move(struct snpu_fabric *f, struct snpu_flow *fl, const struct snpu_flow_ends *e,
		   uint64_t va, uint64_t bytes)
{
	uint64_t moved = fl->run;
	int ret;

	if (fl->open && (fl->src != e->src || fl->dst != e->dst || fl->part != e->part)) {
		ret = snpu_flow_end(f, fl);
		if (ret)
			return ret;
	}
	if (!fl->open) {
		struct way w = way_of(f, e);

		begin(f, fl, e);
		if (!lanes_up(f, &w, false, fl->lanes)) {
			fl->open = false;
			return -EHOSTUNREACH;
		}
	} else {
		if (va > fl->va && va - fl->va < moved)
			moved = va - fl->va;
		ret = piece_done(f, fl, moved);
		if (ret)
			return ret;
	}
	fl->va = va;
	fl->run = bytes;
	return 0;
}

/* ---- for those who ask ---- */

bool snpu_fabric_reachable(const struct snpu_fabric *f, uint32_t src, uint32_t dst)
{
	const struct snpu_flow_ends e = { .src = src, .dst = dst };
	struct way w = way_of(f, &e);
	uint64_t set[SNPU_FABRIC_MAX_LANES / 64];

	return src == dst || lanes_up(f, &w, true, set);
}

unsigned int snpu_fabric_lanes(const struct snpu_fabric *f)
{
	return f->num_lanes;
}

void snpu_fabric_lane(const struct snpu_fabric *f, uint32_t src, uint32_t dst, unsigned int i,
		      struct snpu_fabric_lane *lane)
{
	const struct snpu_flow_ends e = { .src = src, .dst = dst };
	struct way w = way_of(f, &e);
	bool up;

	lane_ends(f, &w, i, &lane->src, &lane->dst, &lane->plane);
	lane->hops = lane_route(f, &w, i, true, lane->links, &up);
	lane->down = !up;
}
