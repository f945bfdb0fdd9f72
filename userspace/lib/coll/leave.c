// SPDX-License-Identifier: MIT
/*
 * A rank that is destroyed tells so, for others look whether their neighbour lives (watch.c).
 *
 * Each rank keeps a word for every other one, which is set when that leaves. A rank that leaves
 * sets it at the nearest ranks before and after it that stay: the one before is who probes it. They
 * may be leaving, too, and nobody waits for anybody. So each
 *  1. sets its own mark at its neighbours,
 *  2. withdraws its segment, after which nobody can set marks in it, and turns to the next one,
 *  3. passes on the marks in it of the ranks that left on its other side.
 * A mark gets lost at no step: it was set before 2, and is passed on by 3, or it could not be set,
 * and who sets it goes on to the next neighbour. Dead ranks are passed over, but never marked, so
 * the one before still finds out.
 *
 * A mark is a number: of the operations of all ranks that the rank has called, plus 1. Who called
 * more can never finish them.
 *
 * Who is told, and by how many packets, depends on who leaves first, so they are no part of virtual
 * time.
 */
#include <errno.h>

#include "coll.h"

#define TELL_NS		300000000ull
#define BATCH		12u	/* packets at a time, in a queue of 16 */

unsigned int coll_next_rank(struct snpu_coll *c)
{
	unsigned int n = c->topo.n, d = 1;

	while (d < n && coll_has_left(c, (c->rank + d) % n))
		d++;
	return (c->rank + d) % n;
}

/* Of the ranks that left right after this one (@step 1), or before it (n - 1) */
static bool early(struct snpu_coll *c, unsigned int step, uint64_t colls)
{
	unsigned int n = c->topo.n, r = (c->rank + step) % n;
	uint64_t value;

	for (; r != c->rank; r = (r + step) % n) {
		value = __atomic_load_n(&coll_pairs(c)[r].left, __ATOMIC_SEQ_CST);
		if (!value)
			return false;
		if (value - 1 < colls)
			return true;
	}
	return false;
}

bool coll_left_early(struct snpu_coll *c, uint64_t colls)
{
	return early(c, 1, colls) || early(c, c->topo.n - 1, colls);
}

/* What was put into the queue: was it done? A queue that stopped is of no more use */
static bool run(struct snpu_queue **q)
{
	uint64_t position;
	bool ok = !snpu_queue_submit(*q, &position) && !snpu_queue_wait(*q, position, TELL_NS);

	if (!ok) {
		snpu_queue_destroy(*q);
		*q = NULL;
	}
	return ok;
}

static bool queue(struct snpu_coll *c, struct snpu_queue **q)
{
	if (!*q)
		*q = coll_small_queue(c);
	return *q;
}

static void put_mark(struct snpu_coll *c, struct snpu_queue *q, unsigned int to, unsigned int rank,
		     uint64_t value)
{
	union snpu_pkt *p = snpu_queue_get(q);

	snpu_prep_signal(p, c->peer[to].va + COLL_HEAD_BYTES + rank * sizeof(struct coll_pair) +
			 offsetof(struct coll_pair, left), value, SNPU_SEM_SET);
	p->hdr.flags |= c->untimed;
}

/* The own mark at @to; false: that is gone */
static bool announce(struct snpu_coll *c, struct snpu_queue **q, unsigned int to)
{
	const uint64_t value = c->colls + 1;
	union snpu_pkt *p;
	uint64_t theirs;

	/* those of this process know already */
	if (coll_watch_left(c, to, c->rank, value))
		return true;
	if (coll_connect(c, to) || !queue(c, q))
		return false;
	put_mark(c, *q, to, c->rank, value);
	p = snpu_queue_get(*q);
	snpu_prep_copy(p, c->va + COLL_COLLS_OFF,
		       c->peer[to].va + offsetof(struct coll_head, colls), sizeof(theirs));
	p->hdr.flags |= c->untimed;
	if (!run(q))
		return false;
	theirs = __atomic_load_n((uint64_t *)((char *)c->head + COLL_COLLS_OFF), __ATOMIC_ACQUIRE);
	/* it may sleep by now: others wait for this one */
	if (theirs > c->colls)
		coll_break_now(c, -ECONNRESET);
	return true;
}

/* Marks of the ranks that left, from this one on by @step, at @to; false: that is gone */
static bool pass_on(struct snpu_coll *c, struct snpu_queue **q, unsigned int to, unsigned int step)
{
	unsigned int n = c->topo.n, r = (c->rank + step) % n, count = 0;
	uint64_t value;

	for (; r != c->rank && r != to; r = (r + step) % n) {
		value = __atomic_load_n(&coll_pairs(c)[r].left, __ATOMIC_ACQUIRE);
		if (!value)
			break;
		if (coll_watch_left(c, to, r, value))
			continue;
		if (!count && (coll_connect(c, to) || !queue(c, q)))
			return false;
		put_mark(c, *q, to, r, value);
		if (++count < BATCH)
			continue;
		if (!run(q))
			return false;
		count = 0;
	}
	return !count || run(q);
}

/* The first rank by @step, from @from on, that takes the own mark, or those of others */
static unsigned int neighbour(struct snpu_coll *c, struct snpu_queue **q, unsigned int from,
			      unsigned int step, bool own)
{
	unsigned int n = c->topo.n, to;

	for (to = from; to != c->rank; to = (to + step) % n) {
		if (coll_has_left(c, to))
			continue;
		if (own ? announce(c, q, to) : pass_on(c, q, to, n - step))
			break;
	}
	return to;
}

void coll_leave(struct snpu_coll *c)
{
	unsigned int n = c->topo.n, step[2] = { n - 1, 1 }, at[2], i;
	struct snpu_queue *q = NULL;

	if (n == 1 || snpu_coll_async_error(c))
		return;
	coll_watch_left(c, COLL_ALL, c->rank, c->colls + 1);
	if (c->all_near)
		return;
	for (i = 0; i < 2; i++)
		at[i] = neighbour(c, &q, (c->rank + step[i]) % n, step[i], true);
	coll_watch_gone(c);
	snpu_seg_revoke(c->seg);
	for (i = 0; i < 2; i++)
		neighbour(c, &q, at[i], step[i], false);
	snpu_queue_destroy(q);
}
