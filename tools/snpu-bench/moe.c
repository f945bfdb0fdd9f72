// SPDX-License-Identifier: MIT
/*
 * Dispatch and combine of a mixture of experts.
 *
 * Dispatch: quantise the tokens; write their rows into messages, one for each peer; send them; wait for
 * each peer's message, and take its count of rows; bring what came into the order of experts.
 * Combine: send the results back, wait for all, add up those of each token.
 */
#include "moe.h"

static unsigned int groups(const struct moe *e)
{
	return (e->ranks + e->group - 1) / e->group;
}

/* A rank has a semaphore for each peer group, and one for combine */
static uint64_t sem_off(const struct moe *e, unsigned int die, unsigned int from)
{
	return 8ull * ((e->slot * e->m->dies + die) * (groups(e) + 1ull) + from);
}

uint64_t moe_window(const struct moe *e, unsigned int slots)
{
	struct moe last = *e;

	last.slot = slots;
	return sem_off(&last, 0, 0);
}

static union snpu_pkt *pkt(const struct moe *e, unsigned int rank)
{
	return model_pkt(e->m, rank / e->m->dies, rank % e->m->dies, e->queue);
}

/* Signals to expect from each group, or of all groups, in a round */
static void send(const struct moe *e, unsigned int rank, uint64_t row, unsigned int tokens,
		 bool combine)
{
	unsigned int dies = e->m->dies, n = groups(e), node = rank / dies, own = rank / e->group;
	uint64_t total = (uint64_t)tokens * MOE_TOP * (row + MOE_HEAD);
	unsigned int i, k, to;
	union snpu_pkt *p;
	uint64_t sem;

	/* it begins with the peer behind itself, so that not all begin with the same */
	for (i = 1; i <= n; i++) {
		k = (own + i) % n;
		/* the rank there that has the same place in its group */
		to = k * e->group + rank % e->group;
		if (to >= e->ranks)
			to = k * e->group;
		sem = model_va(e->m, node, to / dies,
			       sem_off(e, to % dies, combine ? n : own));
		p = pkt(e, rank);
		if (to / dies == node)
			snpu_prep_copy_signal(p, MODEL_LOCAL(10), MODEL_LOCAL(11), total / n, sem,
					      1, SNPU_SEM_ADD);
		else
			snpu_prep_copy_signal(p, model_va(e->m, node, to / dies, 0),
					      MODEL_LOCAL(11), total / n, sem, 1, SNPU_SEM_ADD);
	}
}

void moe_dispatch(const struct moe *e, unsigned int tokens)
{
	unsigned int r, i, n = groups(e);

	for (r = 0; r < e->ranks; r++) {
		unsigned int dies = e->m->dies, node = r / dies;

		snpu_prep_convert(pkt(e, r), MODEL_LOCAL(0), SNPU_DT_I8, MODEL_LOCAL(1),
				  SNPU_DT_BF16, (uint64_t)tokens * MOE_HIDDEN, 1);
		snpu_prep_gather(pkt(e, r), SNPU_DT_I8, MODEL_LOCAL(2), MODEL_LOCAL(0), tokens,
				 MODEL_LOCAL(3), tokens * MOE_TOP, MOE_HIDDEN);
		send(e, r, MOE_HIDDEN, tokens, false);
		for (i = 0; i < n; i++) {
			snpu_prep_wait(pkt(e, r),
				       model_va(e->m, node, node, sem_off(e, r % dies, i)),
				       e->round + 1, SNPU_SEM_GE, 0);
			snpu_prep_copy(pkt(e, r), MODEL_LOCAL(4), MODEL_LOCAL(5), 64);
		}
		snpu_prep_gather(pkt(e, r), SNPU_DT_I8, MODEL_LOCAL(6), MODEL_LOCAL(2),
				 tokens * MOE_TOP, MODEL_LOCAL(3), tokens * MOE_TOP, MOE_HIDDEN);
	}
}

void moe_combine(const struct moe *e, unsigned int tokens)
{
	unsigned int r, n = groups(e);

	for (r = 0; r < e->ranks; r++) {
		unsigned int dies = e->m->dies, node = r / dies;

		send(e, r, 2 * MOE_HIDDEN, tokens, true);
		snpu_prep_wait(pkt(e, r), model_va(e->m, node, node, sem_off(e, r % dies, n)),
			       (e->round + 1) * n, SNPU_SEM_GE, 0);
		snpu_prep_reduce_sum(pkt(e, r), 0, SNPU_DT_BF16, SNPU_DT_F32, MODEL_LOCAL(7),
				     MODEL_LOCAL(8), tokens * MOE_TOP, MOE_HIDDEN, MOE_HIDDEN);
	}
}
