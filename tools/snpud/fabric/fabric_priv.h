/* SPDX-License-Identifier: MIT */
/* Inside of the fabric manager: fabric.c has the states, flow.c the transfers. */
#ifndef SNPU_FABRIC_PRIV_H
#define SNPU_FABRIC_PRIV_H

#include <pthread.h>
#include <sched.h>

#include "fabric/fabric.h"

/* A fault as it was set; zero: none */
struct fab_own {
	uint32_t state;
	double share;
};

struct fab_link {
	uint32_t held;			/* spin lock of @c, for a few instructions */
	uint32_t state;			/* SNPU_PORT_*, all that bears on it */
	double rate;
	struct snpu_fabric_counters c;
} __attribute__((aligned(64)));

struct snpu_fabric {
	struct snpu_topo *topo;
	bool round_robin;
	uint32_t num_lanes;
	struct fab_link *link;
	uint64_t **rows;		/* [src][dst]: bytes; a row is made when it is needed */
	uint32_t bad;			/* links that are not up: 0 makes looking at them needless */
	uint32_t gen;			/* changes */
	pthread_mutex_t lock;		/* own_*, apply() */
	struct fab_own *own_link, *own_switch, *own_plane;
	snpu_fabric_change_fn change;
	void *change_ctx;
};

static inline void fab_link_lock(struct fab_link *l)
{
	unsigned int spins = 0;

	while (__atomic_exchange_n(&l->held, 1, __ATOMIC_ACQUIRE))
		if (++spins % 64 == 0)
			sched_yield();
}

static inline void fab_link_unlock(struct fab_link *l)
{
	__atomic_store_n(&l->held, 0, __ATOMIC_RELEASE);
}

/* The link has gone down once more */
static inline void fab_link_fell(struct snpu_fabric *f, uint32_t link)
{
	fab_link_lock(&f->link[link]);
	f->link[link].c.downs++;
	fab_link_unlock(&f->link[link]);
}

#endif
