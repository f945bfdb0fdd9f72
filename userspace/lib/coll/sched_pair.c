// SPDX-License-Identifier: MIT
/*
 * Pairwise: in step s every rank sends to the one s after it and receives from the one s before.
 * All-to-all; reduce-scatter as an all-to-all of operands, all-gather as one of results; barrier.
 *
 * Chunk c of a sum is ((x[c] + x[c-1]) + x[c-2]) + ..., backwards around the ring.
 */
#include "schedule.h"

static void scatter(struct coll_prog *p, const struct coll_job *j, const struct coll_chunks *c,
		    uint64_t dst)
{
	const unsigned int n = j->topo->n, r = j->rank;
	uint64_t own = coll_chunk(c, r), len = coll_chunk(c, r + 1) - own, from;
	unsigned int s, to;

	for (s = 1; s < n; s++) {
		to = (r + s) % n;
		from = coll_chunk(c, to);
		coll_next(p);
		coll_put_send(p, to, COLL_SEND, from, coll_chunk(c, to + 1) - from);
		coll_put_reduce(p, (r + n - s) % n, COLL_RECV, dst, s > 1 ? COLL_RECV : COLL_SEND,
				s > 1 ? dst : own, len);
	}
}

static void gather(struct coll_prog *p, const struct coll_job *j, const struct coll_chunks *c)
{
	const unsigned int n = j->topo->n, r = j->rank;
	uint64_t own = coll_chunk(c, r), from;
	unsigned int s, peer;

	for (s = 1; s < n; s++) {
		peer = (r + n - s) % n;
		from = coll_chunk(c, peer);
		coll_next(p);
		coll_put_send(p, (r + s) % n, COLL_RECV, own, coll_chunk(c, r + 1) - own);
		coll_put_recv(p, peer, COLL_RECV, from, coll_chunk(c, peer + 1) - from);
	}
}

static void exchange(struct coll_prog *p, const struct coll_job *j)
{
	const unsigned int n = j->topo->n, r = j->rank;
	unsigned int s;

	coll_put_copy(p, COLL_RECV, r * j->count, COLL_SEND, r * j->count, j->count);
	for (s = 1; s < n; s++) {
		coll_next(p);
		coll_put_send(p, (r + s) % n, COLL_SEND, (r + s) % n * j->count, j->count);
		coll_put_recv(p, (r + n - s) % n, COLL_RECV, (r + n - s) % n * j->count, j->count);
	}
}

void coll_pairwise(struct coll_prog *p, const struct coll_job *j)
{
	struct coll_chunks c = { j->count, j->topo->n, j->op == SNPU_COLL_ALL_REDUCE };
	uint64_t own = coll_chunk(&c, j->rank);

	switch (j->op) {
	case SNPU_COLL_ALL_REDUCE:
		scatter(p, j, &c, own);
		coll_put_avg(p, j, COLL_RECV, own, coll_chunk(&c, j->rank + 1) - own);
		gather(p, j, &c);
		break;
	case SNPU_COLL_REDUCE_SCATTER:
		/* in place, the result is where the own operand was: nobody else reads that */
		scatter(p, j, &c, 0);
		coll_put_avg(p, j, COLL_RECV, 0, j->count);
		break;
	case SNPU_COLL_ALL_GATHER:
		if (!j->in_place)
			coll_put_copy(p, COLL_RECV, own, COLL_SEND, 0, j->count);
		gather(p, j, &c);
		break;
	default:
		exchange(p, j);
	}
}

/*
 * Dissemination: after step s everyone has heard of the 2^(s+1) - 1 before him. A piece is one byte
 * of the communicator's own.
 */
void coll_barrier(struct coll_prog *p, const struct coll_job *j)
{
	const unsigned int n = j->topo->n, r = j->rank;
	unsigned int d;

	p->tmp = 1;
	for (d = 1; d < n; d *= 2) {
		coll_next(p);
		coll_put_send(p, (r + d) % n, COLL_TMP, 0, 1);
		coll_put_recv(p, (r + n - d) % n, COLL_TMP, 0, 1);
	}
}
