/* SPDX-License-Identifier: MIT */
/*
 * Max-min sharing: what its parts share.
 *
 * A flow runs at the level of its bottleneck, its neck, so all flows that have theirs on one
 * resource run alike: the resource keeps a clock of the work that each of them has done, and a flow
 * is done when this clock shows a value that is known when it comes. A level that changes, changes
 * the end of the first of them only. Flows that a limit of their own bounds have ends of their own.
 */
#ifndef SNPU_MAXMIN_PRIV_H
#define SNPU_MAXMIN_PRIV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "timing/maxmin.h"

#define MM_NONE		0xffffffffu
#define MM_OWN		0xfffffffeu	/* &mm_hot.neck: none, it has a rate of its own */
#define MM_EPS		1e-9		/* relative; what is closer is the same */
#define MM_ROUNDING	1e-12		/* and this is no change at all */
#define MM_BUCKETS	8192u
#define MM_WORDS(n)	(((n) + 63) / 64)

/*
 * A flow that uses a resource. Mostly just one other resource that it uses is looked at: then all
 * that filling needs of it is here, in the order in which it is needed.
 */
struct mm_user {
	uint32_t flow;
	uint32_t other;		/* the other one, &snpu_mm.num_res: there is none; MM_NONE: several */
	double weight;		/* taken of that */
};

/* Which use of a flow it is, and its weight */
struct mm_ref {
	double weight;
	uint32_t use;
};

/* A resource that bounds what flows take of another one: @ratio times its own capacity */
struct mm_cover {
	uint32_t res, count;
	double ratio;
};

/* A flow that runs at the level of a resource, and is done when its clock shows @done */
struct mm_bound {
	double done;
	uint32_t flow;
};

/**
 * struct mm_res - a resource
 * @cap: capacity
 * @load: taken by all flows; not kept while covered
 * @level: rate of flows that have their neck here
 * @clock: work that each of them has done since it was 0, at @clock_at
 * @bounds: heap of them; all but those with rates of their own
 * @num_bounds: and their number
 * @bound: number of flows that have their neck here
 * @covers: resources that may bound this one
 * @open: flows without a cover
 * @most: that flows with a cover can take
 * @stamp: the flow that is looked at uses this, with @stamp_weight
 * @listed: flows that use it are listed
 * @users: which they are; apart from @refs, as filling looks at all of them
 * @num: how many use it, with room for @room in the lists
 * @refs: and how
 * @weight: of all of them; summed anew when @weigh says so
 * @mark: it is part of the fill of this number
 * @dirty: flows came or went since rates were settled
 * @changed: its capacity is another
 * @since: busy since, if @num
 * @busy: and before that
 * @amount: taken by flows that have ended
 */
struct mm_res {
	/* of covered ones, flows that come and go touch this line alone; */
	uint32_t num, open;
	struct mm_cover *covers;
	uint32_t num_covers, room_covers;
	uint64_t stamp;
	double stamp_weight, amount;
	uint32_t bound, mark;
	bool listed, dirty, changed, weigh;
	uint32_t room;
	/* this is for filling, */
	struct mm_user *users;
	struct mm_ref *refs;
	double cap, load, level, weight;
	struct mm_bound *bounds;
	uint32_t num_bounds, room_bounds;
	/* and this for settling */
	double clock;
	uint64_t clock_at;
	double most;
	uint64_t since, busy;
} __attribute__((aligned(64)));

/* A resource while flows are filled: not given yet, and weight of flows that go on */
struct mm_pool {
	double left, weight;
};

/**
 * struct mm_fill - more of it
 * @level: at which it became full, in round @filled
 * @filled: round, 0: not full
 * @next: in its bucket
 * @avail: what the flows that are filled can take of it
 * @total: their weight
 * @fastest: of them; not kept when all are filled
 * @held: number of flows that are not filled and have their neck here
 */
struct mm_fill {
	double level;
	uint32_t filled, next;
	double avail, total, fastest;
	uint32_t held;
};

struct mm_use {
	double weight;
	uint32_t res;
	uint32_t at;		/* index in the resource's list */
	uint32_t cover;		/* of the resource, or MM_NONE */
};

/* What is looked at of a flow again and again */
struct mm_hot {
	uint32_t stopped;	/* it has, in the round of this number */
	uint32_t neck;		/* resource, MM_OWN, or MM_NONE: it has just begun */
};

/* A flow that gets another neck */
struct mm_move {
	uint32_t flow, to;
};

/**
 * struct mm_flow - a flow
 * @work: amount
 * @left: with a rate of its own: not done as of @at
 * @rate: of its own
 * @next_rate: and the next one
 * @rest: it got what a resource had left over, and waits for more of it; MM_NONE: no
 * @to_rest: the same, after this round
 * @uses: first those of resources that are looked at, @live
 * @mark: it is filled in the fill of this number
 * @runs: it does; else the slot is idle
 * @n: length of @uses, with room for @room
 * @pos: in the heap of its neck
 * @lim: place in the list of those that have a limit that may bound them, or MM_NONE
 */
struct mm_flow {
	double work, left, rate, next_rate, limit;
	uint64_t at, cookie;
	uint32_t rest, to_rest;
	struct mm_use *uses;
	uint32_t live, mark;
	bool runs;
	uint32_t n, room;
	uint32_t pos, lim;
};

/* The end of a flow with a rate of its own, or of the first one of a resource */
struct mm_end {
	uint64_t at;
	uint32_t item;		/* resource, or resources + flow */
};

struct mm_level {
	uint64_t bits;		/* of the level: these numbers are positive, so they compare alike */
	uint32_t id;		/* resource, or resources + flow for its limit */
};

struct snpu_mm {
	struct mm_res *res;
	uint8_t *active;		/* [resource] 0: covered, see snpu_mm_set_active() */
	struct mm_pool *pool;		/* [resource], and one for no resource */
	struct mm_fill *fill;		/* the same */
	uint32_t num_res;
	uint64_t *looked_at;		/* bit of a resource: it has flows, and is active */
	struct mm_flow *flows;
	struct mm_hot *hot;		/* [flow] */
	uint32_t num_flows, room_flows, running;
	uint32_t grain, most_grain;	/* see snpu_mm_set_grain() */
	uint64_t now;			/* of the last call */
	uint32_t *idle, num_idle;	/* flow slots to reuse; this and what follows: room_flows */
	uint32_t *lim, num_lim;		/* flows that their limit may bound */
	uint32_t *limits;		/* those of the set */
	uint32_t *fresh, num_fresh;	/* new flows */
	uint32_t *set, num_set;		/* flows that are filled; not used when all are */
	struct mm_move *moved;		/* of them */
	uint32_t num_moved;
	uint32_t *picked;		/* those that stop at a resource */
	uint32_t *next;			/* [flow]: in the bucket of its limit */
	struct mm_end *ends;		/* heap; num_res more */
	uint32_t num_ends, *end_pos;	/* [item], MM_NONE: not there; num_res more */
	bool ends_loose;		/* it is no heap now */
	uint32_t *dirty, num_dirty;	/* resources */
	uint32_t *parts, num_parts;	/* resources of the fill */
	uint32_t *again, room_again;	/* scratch of snpu_mm_start() */
	struct mm_level *levels;	/* of the lowest bucket, in order: from @level on */
	uint32_t level, num_levels, room_levels;
	uint32_t buckets[MM_BUCKETS];
	uint64_t in_use[MM_BUCKETS / 64];
	uint64_t low;			/* where buckets begin */
	unsigned int shift;
	uint32_t mark, round;
	uint32_t wide, vain;		/* see snpu_mm_solve() */
	bool recheck;			/* of what covers are worth, and of limits */
	bool failed;			/* no memory for lists: it cannot go on */
	uint64_t order, solved;
	uint64_t fills[2];		/* of some flows; of all */
	struct mm_note *note;		/* mostly NULL */
};

/* Resource whose bottleneck the flow has, MM_NONE: its limit, or it has just begun */
static inline uint32_t snpu_mm_neck(const struct snpu_mm *m, uint32_t id)
{
	return m->hot[id].neck < MM_OWN ? m->hot[id].neck : m->flows[id].rest;
}

static inline double snpu_mm_rate_of(const struct snpu_mm *m, uint32_t id)
{
	uint32_t neck = m->hot[id].neck;

	return neck < MM_OWN ? m->res[neck].level : neck == MM_OWN ? m->flows[id].rate : 0;
}

/* maxmin_note.c */
/** snpu_mm_note_solved() - rates of all flows, or of those in the set, are settled. 0 or -ENOMEM */
int snpu_mm_note_solved(struct snpu_mm *m, bool all);
/** snpu_mm_note_drop() - a flow is gone, its uses are still there */
void snpu_mm_note_drop(struct snpu_mm *m, uint32_t id);
void snpu_mm_note_free(struct snpu_mm *m);

/* maxmin.c */
void snpu_mm_turn(struct snpu_mm *m, uint32_t r, bool on);
void snpu_mm_set_most(struct snpu_mm *m, uint32_t r);
void snpu_mm_set_limited(struct snpu_mm *m, uint32_t id);

/* Whether a resource is looked at, see snpu_mm_turn() */
static inline void snpu_mm_set_active(struct snpu_mm *m, uint32_t r)
{
	const struct mm_res *res = &m->res[r];
	bool on = res->open || res->bound || res->most > res->cap * (1 + MM_EPS);

	if (on != m->active[r])
		snpu_mm_turn(m, r, on);
}

/* maxmin_ends.c */
/** snpu_mm_set_level() - flows that have their neck on @r run at @level from @now on */
void snpu_mm_set_level(struct snpu_mm *m, uint64_t now, uint32_t r, double level);
/** snpu_mm_move() - a flow gets another neck. 0, or -ENOMEM: nothing has changed */
int snpu_mm_move(struct snpu_mm *m, uint64_t now, struct mm_move move);
/** snpu_mm_leave() - a flow has no end any more */
void snpu_mm_leave(struct snpu_mm *m, uint32_t id);
/** snpu_mm_reckon() - end of the first flow of @r, after its level or its flows changed */
void snpu_mm_reckon(struct snpu_mm *m, uint32_t r);
/** snpu_mm_loosen() - many ends change: order is restored by snpu_mm_tighten() */
void snpu_mm_loosen(struct snpu_mm *m);
void snpu_mm_tighten(struct snpu_mm *m);
/** snpu_mm_first() - the flow that ends first; there must be one */
uint32_t snpu_mm_first(const struct snpu_mm *m);

/* maxmin_fill.c */
/** snpu_mm_fill_all() - fills all flows there are. 0 or -ENOMEM */
int snpu_mm_fill_all(struct snpu_mm *m);
/** snpu_mm_fill_set() - fills the flows of the set; the others keep what they have. 0 or -ENOMEM */
int snpu_mm_fill_set(struct snpu_mm *m);

#endif
