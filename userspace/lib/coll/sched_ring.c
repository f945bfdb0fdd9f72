// SPDX-License-Identifier: MIT
/*
 * Ring: n - 1 steps of reduce-scatter, n - 1 of all-gather; chains for broadcast and reduce.
 *
 * Chunk c of a sum is ((x[c+1] + x[c+2]) + ...) + x[c], in the order of the ring (mod n): each rank
 * adds what came from its left to its own, as second operand.
 */
#include "schedule.h"

/*
 * Reduce-scatter of the chunks @c: rank r ends with chunk r. Step s: chunk r - 1 - s goes right,
 * chunk r - 2 - s comes. Partial sums of chunk i are kept in @acc at acc_off(i).
 */
static void scatter(struct coll_prog *p, const struct coll_job *j, const struct coll_chunks *c,
		    bool own_tmp)
{
	const unsigned int n = j->topo->n, r = j->rank, right = (r + 1) % n, left = (r + n - 1) % n;
	unsigned int s, out, in;
	uint64_t from, to;

	for (s = 0; s < n - 1; s++) {
		out = (r + 2 * n - 1 - s) % n;
		in = (r + 2 * n - 2 - s) % n;
		coll_next(p);
		from = coll_chunk(c, out);
		to = coll_chunk(c, out + 1);
		if (!s)
			coll_put_send(p, right, COLL_SEND, from, to - from);
		else if (own_tmp)
			/* two places by turns: one is sent while the other is filled */
			coll_put_send(p, right, COLL_TMP, (s - 1) % 2 * c->count, to - from);
		else
			coll_put_send(p, right, COLL_RECV, from, to - from);
		from = coll_chunk(c, in);
		to = coll_chunk(c, in + 1);
		if (!own_tmp)
			coll_put_reduce(p, left, COLL_RECV, from, COLL_SEND, from, to - from);
		else if (s < n - 2)
			coll_put_reduce(p, left, COLL_TMP, s % 2 * c->count, COLL_SEND, from,
					to - from);
		else
			coll_put_reduce(p, left, COLL_RECV, 0, COLL_SEND, from, to - from);
	}
	if (own_tmp)
		p->tmp = 2 * c->count;
}

static void gather(struct coll_prog *p, const struct coll_job *j, const struct coll_chunks *c)
{
	const unsigned int n = j->topo->n, r = j->rank, right = (r + 1) % n, left = (r + n - 1) % n;
	unsigned int s, out, in;

	for (s = 0; s < n - 1; s++) {
		out = (r + n - s) % n;
		in = (r + 2 * n - 1 - s) % n;
		coll_next(p);
		coll_put_send(p, right, COLL_RECV, coll_chunk(c, out),
			      coll_chunk(c, out + 1) - coll_chunk(c, out));
		coll_put_recv(p, left, COLL_RECV, coll_chunk(c, in),
			      coll_chunk(c, in + 1) - coll_chunk(c, in));
	}
}

/* From the root along the ring, or to it, piece by piece */
static void chain(struct coll_prog *p, const struct coll_job *j)
{
	const unsigned int n = j->topo->n, at = (j->rank + n - j->root) % n;
	const unsigned int right = (j->rank + 1) % n, left = (j->rank + n - 1) % n;
	uint64_t off, len;

	for (off = 0; off < j->count; off += len) {
		len = j->count - off < j->piece ? j->count - off : j->piece;
		if (j->op == SNPU_COLL_BROADCAST) {
			coll_next(p);
			if (at)
				coll_put_recv(p, left, COLL_RECV, off, len);
			coll_next(p);
			if (at != n - 1)
				coll_put_send(p, right, at ? COLL_RECV : COLL_SEND, off, len);
			continue;
		}
		/* root + 1 begins, the root comes last */
		coll_next(p);
		if (at == 1) {
			coll_put_send(p, right, COLL_SEND, off, len);
		} else if (!at) {
			coll_put_reduce(p, left, COLL_RECV, off, COLL_SEND, off, len);
		} else {
			coll_put_reduce(p, left, COLL_TMP, 0, COLL_SEND, off, len);
			coll_next(p);
			coll_put_send(p, right, COLL_TMP, 0, len);
			p->tmp = j->piece;
		}
	}
	if (j->op == SNPU_COLL_REDUCE && !at)
		coll_put_avg(p, j, COLL_RECV, 0, j->count);
}

void coll_ring(struct coll_prog *p, const struct coll_job *j)
{
	struct coll_chunks c = { j->count, j->topo->n, j->op == SNPU_COLL_ALL_REDUCE };
	uint64_t own = coll_chunk(&c, j->rank);

	switch (j->op) {
	case SNPU_COLL_ALL_REDUCE:
		scatter(p, j, &c, false);
		coll_put_avg(p, j, COLL_RECV, own, coll_chunk(&c, j->rank + 1) - own);
		gather(p, j, &c);
		break;
	case SNPU_COLL_REDUCE_SCATTER:
		scatter(p, j, &c, true);
		coll_put_avg(p, j, COLL_RECV, 0, j->count);
		break;
	case SNPU_COLL_ALL_GATHER:
		if (!j->in_place)
			coll_put_copy(p, COLL_RECV, own, COLL_SEND, 0, j->count);
		gather(p, j, &c);
		break;
	default:
		if (j->op == SNPU_COLL_BROADCAST && j->rank == j->root && !j->in_place)
			coll_put_copy(p, COLL_RECV, 0, COLL_SEND, 0, j->count);
		chain(p, j);
	}
}
