// SPDX-License-Identifier: MIT
/*
 * Which algorithm, and the program of a rank for it.
 *
 * The choice is that of the least estimate: a message takes a latency for each of its pieces, and
 * the time of its bytes on the port; those of a rank go one after another. It uses nothing but
 * rank count, hosts, mailboxes and size, so that all ranks choose the same. The constants are
 * about those of a CM384 (paths inside and between hosts).
 */
#include <errno.h>

#include "schedule.h"

#define NEAR_NS		1500.0
#define FAR_NS		2500.0
#define BYTES_NS	150.0	/* bytes in a ns */
#define TOKEN_NS	100.0	/* of many that are sent at a time */

static const uint8_t has[SNPU_COLL_OPS] = {
	[SNPU_COLL_ALL_REDUCE] = 1 << SNPU_COLL_RING | 1 << SNPU_COLL_HD | 1 << SNPU_COLL_TREE |
				 1 << SNPU_COLL_HIER | 1 << SNPU_COLL_PAIRWISE |
				 1 << SNPU_COLL_SWITCH,
	[SNPU_COLL_REDUCE_SCATTER] = 1 << SNPU_COLL_RING | 1 << SNPU_COLL_HD |
				     1 << SNPU_COLL_HIER | 1 << SNPU_COLL_PAIRWISE |
				     1 << SNPU_COLL_SWITCH,
	[SNPU_COLL_ALL_GATHER] = 1 << SNPU_COLL_RING | 1 << SNPU_COLL_HD | 1 << SNPU_COLL_HIER |
				 1 << SNPU_COLL_PAIRWISE | 1 << SNPU_COLL_SWITCH,
	[SNPU_COLL_BROADCAST] = 1 << SNPU_COLL_RING | 1 << SNPU_COLL_TREE | 1 << SNPU_COLL_SWITCH,
	[SNPU_COLL_REDUCE] = 1 << SNPU_COLL_RING | 1 << SNPU_COLL_TREE,
	[SNPU_COLL_ALL_TO_ALL] = 1 << SNPU_COLL_HIER | 1 << SNPU_COLL_PAIRWISE,
	[SNPU_COLL_BARRIER] = 1 << SNPU_COLL_PAIRWISE,
};

static bool fits(const struct coll_topo *t, unsigned int op, unsigned int algo, unsigned int with)
{
	if (algo == SNPU_COLL_SWITCH &&
	    (!(with & COLL_HAS_LISTS) || t->n < 2 || t->n > SNPU_MAX_LIST))
		return false;
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

/* A message inside of a host, or between hosts */
static double msg(const struct coll_boxes *b, bool near, double bytes)
{
	const double piece = (double)(near ? b->near : b->far);
	double pieces = 1;

	if (bytes > piece)
		pieces = (double)(uint64_t)(bytes / piece + 0.999);
	return pieces * (near ? NEAR_NS : FAR_NS) + bytes / BYTES_NS;
}

static double halves(const struct coll_topo *t, const struct coll_boxes *b, double bytes)
{
	unsigned int d, pow = 1;
	double sum = 0;

	while (pow * 2 <= t->n)
		pow *= 2;
	for (d = pow / 2; d; d /= 2) {
		bytes /= 2;
		sum += msg(b, t->hosts == 1 || (t->per_host && d < t->per_host), bytes);
	}
	return sum;
}

/* ns that it takes, about; @size: bytes of the larger buffer */
static double estimate(const struct coll_topo *t, const struct coll_boxes *b, unsigned int op,
		       unsigned int algo, uint64_t size)
{
	const double n = t->n, bytes = (double)size, both = op == SNPU_COLL_ALL_REDUCE ? 2 : 1;
	const double piece = (double)coll_piece_both(b);
	const bool near = t->hosts == 1, power = !(t->n & (t->n - 1));
	double steps, far;

	switch (algo) {
	case SNPU_COLL_RING:
		/* most steps are inside of a host, but the slowest sets the pace */
		if (op != SNPU_COLL_BROADCAST && op != SNPU_COLL_REDUCE)
			return both * (n - 1) * msg(b, near, bytes / n);
		return (n - 2) * msg(b, near, bytes < piece ? bytes : piece) + msg(b, near, bytes);
	case SNPU_COLL_HD:
		/* the odd ones go in and out whole */
		return both * halves(t, b, bytes) + (power ? 0 : both * msg(b, near, bytes));
	case SNPU_COLL_TREE:
		/* an inner rank passes a piece to its parent, or to two children, of both trees */
		steps = bytes / 2 < piece ? 1 : bytes / 2 / piece;
		far = msg(b, near, bytes / 2 < piece ? bytes / 2 : piece);
		return both * (log2_up(t->n) + steps * (op == SNPU_COLL_REDUCE ? 1 : 2)) * far;
	case SNPU_COLL_HIER:
		if (op == SNPU_COLL_ALL_TO_ALL)
			return (t->per_host - 1) * t->hosts * msg(b, true, bytes / n) +
			       (t->hosts - 1) * msg(b, false, bytes / t->hosts);
		return both * ((t->per_host - 1) * msg(b, true, bytes / t->per_host) +
			       (t->hosts - 1) * msg(b, false, bytes / n));
	default:
		/* as the ring's, but that so many ways are open at once is not free */
		return both * (n - 1) * msg(b, near, bytes / n) * 1.01;
	}
}

/* The same with registered buffers, by the algorithm that can make use of them */
static double estimate_pull(const struct coll_topo *t, unsigned int op, uint64_t size)
{
	const double both = op == SNPU_COLL_ALL_REDUCE ? 2 : 1, m = t->hosts == 1 ? t->n :
			    t->per_host, hosts = t->hosts, wire = (double)size / BYTES_NS;

	/* tokens go to all of them first */
	return (both * (m - 1) + m) * NEAR_NS +
	       (hosts > 1 ? both * (hosts - 1) + hosts : 0) * FAR_NS +
	       both * wire * (t->n - 1) / t->n;
}

/* Each byte passes a link once, for an all-reduce as part of an operand and of the result at a time */
static double estimate_switch(const struct coll_topo *t, unsigned int op, uint64_t size)
{
	return 2 * (t->n * TOKEN_NS + NEAR_NS) + NEAR_NS +
	       (double)size / BYTES_NS * (op == SNPU_COLL_ALL_REDUCE ? 1 + 1.0 / t->n : 1);
}

unsigned int coll_choose(const struct coll_topo *t, const struct coll_boxes *b, unsigned int op,
			 unsigned int algo, uint64_t bytes, unsigned int with)
{
	const unsigned int pull = t->hosts == 1 ? SNPU_COLL_PAIRWISE : SNPU_COLL_HIER;
	unsigned int i, best = 0;
	double ns, least = 0;

	if (algo && fits(t, op, algo, with))
		return algo;
	for (i = 1; i < SNPU_COLL_ALGOS; i++) {
		if (!fits(t, op, i, with) ||
		    (i == SNPU_COLL_SWITCH && !(with & COLL_HAS_SWITCHES)))
			continue;
		ns = estimate(t, b, op, i, bytes);
		if (i == SNPU_COLL_SWITCH)
			ns = estimate_switch(t, op, bytes);
		if (with & COLL_HAS_WINDOWS && i == pull &&
		    (op == SNPU_COLL_ALL_REDUCE || op == SNPU_COLL_ALL_GATHER))
			ns = estimate_pull(t, op, bytes);
		if (!best || ns < least) {
			best = i;
			least = ns;
		}
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
		[SNPU_COLL_SWITCH] = coll_switch,
	};

	if (j->op == SNPU_COLL_BARRIER)
		coll_barrier(p, j);
	else if (j->topo->n > 1)
		make[j->algo](p, j);
	else if (!j->in_place)
		coll_put_copy(p, COLL_RECV, 0, COLL_SEND, 0, j->count);
	return p->oom ? -ENOMEM : 0;
}
