// SPDX-License-Identifier: MIT
/*
 * By packets with lists, on registered buffers: each rank adds up its chunk of all ranks' operands,
 * and copies it to all, with one packet for each piece. Where switches do that, each operand and
 * each result passes a rank's link once, however many ranks there are.
 *
 * Sums are in rank order for every chunk: x[0] + x[1] + ..., in fp32, rounded once.
 *
 * The next piece is added up while the one before is on its way to the others.
 *
 * Tokens: before, "my operand is there, and my result may be written over"; after, "I need nothing of
 * yours any more, and all that I had for you is there".
 */
#include "schedule.h"

static void all(struct coll_prog *p, const struct coll_job *j,
		void (*put)(struct coll_prog *, unsigned int))
{
	unsigned int s;

	for (s = 1; s < j->topo->n; s++)
		put(p, (j->rank + s) % j->topo->n);
}

static void meet(struct coll_prog *p, const struct coll_job *j)
{
	all(p, j, coll_put_post);
	all(p, j, coll_put_await);
}

/* Elements @from up to @end of all, to @dst here, and from there to where the others have it */
static void reduce(struct coll_prog *p, const struct coll_job *j, uint64_t from, uint64_t end,
		   uint64_t dst, bool spread)
{
	uint64_t len;

	for (; from < end; from += len, dst += len) {
		len = end - from < j->switch_piece ? end - from : j->switch_piece;
		coll_put_fold(p, COLL_RECV, dst, COLL_SEND, from, len);
		coll_put_avg(p, j, COLL_RECV, dst, len);
		if (spread)
			coll_put_spread(p, COLL_RECV, dst, COLL_RECV, dst, len);
	}
}

static void spread(struct coll_prog *p, const struct coll_job *j, unsigned int buf, uint64_t from,
		   uint64_t dst, uint64_t count)
{
	uint64_t off, len;

	for (off = 0; off < count; off += len) {
		len = count - off < j->switch_piece ? count - off : j->switch_piece;
		coll_put_spread(p, COLL_RECV, dst + off, buf, from + off, len);
	}
}

static void broadcast(struct coll_prog *p, const struct coll_job *j)
{
	if (j->rank != j->root) {
		coll_put_post(p, j->root);
		coll_put_await(p, j->root);
		return;
	}
	all(p, j, coll_put_await);
	if (!j->in_place)
		coll_put_copy(p, COLL_RECV, 0, COLL_SEND, 0, j->count);
	spread(p, j, COLL_RECV, 0, 0, j->count);
	all(p, j, coll_put_post);
}

bool coll_switch_has(unsigned int op)
{
	return op == SNPU_COLL_ALL_REDUCE || op == SNPU_COLL_REDUCE_SCATTER ||
	       op == SNPU_COLL_ALL_GATHER || op == SNPU_COLL_BROADCAST;
}

void coll_switch(struct coll_prog *p, const struct coll_job *j)
{
	const struct coll_chunks c = { j->count, j->topo->n, j->op == SNPU_COLL_ALL_REDUCE };
	uint64_t own = coll_chunk(&c, j->rank), end = coll_chunk(&c, j->rank + 1);

	if (j->op == SNPU_COLL_BROADCAST) {
		broadcast(p, j);
		return;
	}
	/* the own part needs nobody's leave */
	if (j->op == SNPU_COLL_ALL_GATHER && !j->in_place)
		coll_put_copy(p, COLL_RECV, own, COLL_SEND, 0, j->count);
	meet(p, j);
	if (j->op == SNPU_COLL_ALL_REDUCE)
		reduce(p, j, own, end, own, true);
	else if (j->op == SNPU_COLL_REDUCE_SCATTER)
		reduce(p, j, own, end, 0, false);
	else
		spread(p, j, COLL_RECV, own, own, j->count);
	meet(p, j);
}
