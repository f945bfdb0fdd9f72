// SPDX-License-Identifier: MIT
/*
 * Which algorithm, and the program of a rank for it.
 *
 * The choice is that of the least estimate: messages one after another times what one costs, plus
 * bytes that pass a rank's port. It uses nothing but rank count, hosts and size, so that all ranks
 * choose the same. The constants are about those of a CM384 (paths inside and between hosts).
 */
#include <errno.h>

#include "schedule.h"

#define NEAR_NS		1500.0
#define FAR_NS		2500.0
#define BYTES_NS	150.0	/* bytes in a ns */

static const uint8_t has[SNPU_COLL_OPS] = {
	[SNPU_COLL_ALL_REDUCE] = 1 << SNPU_COLL_RING | 1 << SNPU_COLL_HD | 1 << SNPU_COLL_TREE |
				 1 << SNPU_COLL_HIER | 1 << SNPU_COLL_PAIRWISE,
	[SNPU_COLL_REDUCE_SCATTER] = 1 << SNPU_COLL_RING | 1 << SNPU_COLL_HD |
				     1 << SNPU_COLL_HIER | 1 << SNPU_COLL_PAIRWISE,
	[SNPU_COLL_ALL_GATHER] = 1 << SNPU_COLL_RING | 1 << SNPU_COLL_HD | 1 << SNPU_COLL_HIER |
				 1 << SNPU_COLL_PAIRWISE,
	[SNPU_COLL_BROADCAST] = 1 << SNPU_COLL_RING | 1 << SNPU_COLL_TREE,
	[SNPU_COLL_REDUCE] = 1 << SNPU_COLL_RING | 1 << SNPU_COLL_TREE,
	[SNPU_COLL_ALL_TO_ALL] = 1 << SNPU_COLL_HIER | 1 << SNPU_COLL_PAIRWISE,
	[SNPU_COLL_BARRIER] = 1 << SNPU_COLL_PAIRWISE,
};

static bool fits(const struct coll_topo *t, unsigned int op, unsigned int algo)
{
	if (algo == SNPU_COLL_HIER && (!t->per_host || t->hosts == 1 || t->per_host == 1))
		return false;
	return has[op] >> algo & 1;
}

static double log2_up(unsigned int n)
{
	double l = 0;

	while (n > 1) {
		n = (n + 1) / 2;
		l++;
	}
	return l;
}

/* ns that it takes, about; @bytes is the size of the larger buffer */
static double estimate(const struct coll_topo *t, unsigned int op, unsigned int algo,
		       uint64_t bytes)
{
	const double n = t->n, step = t->hosts > 1 ? FAR_NS : NEAR_NS, wire = bytes / BYTES_NS;
	const double both = op == SNPU_COLL_ALL_REDUCE ? 2 : 1, levels = log2_up(t->n);
	const bool power = !(t->n & (t->n - 1));

	switch (algo) {
	case SNPU_COLL_RING:
		if (op == SNPU_COLL_BROADCAST || op == SNPU_COLL_REDUCE)
			return (n - 1) * step + wire;
		/* most steps are inside of a host, but the slowest sets the pace */
		return both * ((n - 1) * step + wire * (n - 1) / n);
	case SNPU_COLL_HD:
		/* the odd ones go in and out whole */
		return both * (levels * step + wire * (n - 1) / n) +
		       (power ? 0 : both * (step + wire));
	case SNPU_COLL_TREE:
		return both * (levels * step + 1.5 * wire) + step;
	case SNPU_COLL_HIER:
		if (op == SNPU_COLL_ALL_TO_ALL)
			return (t->per_host - 1) * NEAR_NS + (t->hosts - 1) * FAR_NS + 2 * wire;
		return both * ((t->per_host - 1) * NEAR_NS + (t->hosts - 1) * FAR_NS +
			       wire * (n - 1) / n);
	default:
		/* as the ring's, but that so many ways are open at once is not free */
		return both * ((n - 1) * step * 1.01 + wire * (n - 1) / n);
	}
}

unsigned int coll_choose(const struct coll_topo *t, unsigned int op, unsigned int algo,
			 uint64_t bytes)
{
	unsigned int i, best = 0;

	if (algo && fits(t, op, algo))
		return algo;
	for (i = 1; i < SNPU_COLL_ALGOS; i++) {
		if (fits(t, op, i) &&
		    (!best || estimate(t, op, i, bytes) < estimate(t, op, best, bytes)))
			best = i;
	}
	return best;
}

/**
 * coll_build() - the program of a rank
 * @p: receives it; empty before
 * @j: operation, with an algorithm that coll_choose() gave
 *
 * Return: 0 or -ENOMEM.
 */
int coll_build(struct coll_prog *p, const struct coll_job *j)
{
	static void (*const make[SNPU_COLL_ALGOS])(struct coll_prog *, const struct coll_job *) = {
		[SNPU_COLL_RING] = coll_ring,
		[SNPU_COLL_HD] = coll_hd,
		[SNPU_COLL_TREE] = coll_tree,
		[SNPU_COLL_HIER] = coll_hier,
		[SNPU_COLL_PAIRWISE] = coll_pairwise,
	};

	if (j->op == SNPU_COLL_BARRIER)
		coll_barrier(p, j);
	else if (j->topo->n > 1)
		make[j->algo](p, j);
	else if (!j->in_place)
		coll_put_copy(p, COLL_RECV, 0, COLL_SEND, 0, j->count);
	return p->oom ? -ENOMEM : 0;
}
