/* SPDX-License-Identifier: MIT */
/* snpu-bench: the exchange of a mixture of experts, for ep and decode. */
#ifndef SNPU_BENCH_MOE_H
#define SNPU_BENCH_MOE_H

#include "model.h"

#define MOE_HIDDEN	7168u
#define MOE_TOP		8u
/* Beside a row: scale of its quantisation, source and expert, alignment to 256 bytes; assumed */
#define MOE_HEAD	768u

/**
 * struct moe - ranks are dies: rank r is die r % dies of NPU r / dies
 * @m: machine
 * @ranks: how many
 * @queue: queue of each die
 * @group: ranks that a message goes to together: it is sent to one of their NPUs; a divisor of
 *	@ranks. 1: each rank
 * @slot: of semaphores in the window, so that exchanges may overlap
 * @round: how often this slot was used before
 */
struct moe {
	struct model *m;
	unsigned int ranks, queue, group, slot;
	uint64_t round;
};

/* Bytes of the window that @slots exchanges need */
uint64_t moe_window(const struct moe *e, unsigned int slots);
/* Each of @ranks sends @rows rows of its tokens to their experts, and goes on with what it got */
void moe_dispatch(const struct moe *e, unsigned int tokens);
/* and back */
void moe_combine(const struct moe *e, unsigned int tokens);

#endif
