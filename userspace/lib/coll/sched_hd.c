// SPDX-License-Identifier: MIT
/*
 * Recursive halving (reduce-scatter) and doubling (all-gather).
 *
 * p, the largest power of two not above n, virtual ranks take part. With n > p the first n - p of
 * them stand for two ranks each, 2v and 2v + 1: the even one gives its vector to the odd one,
 * which acts for both, and gets its part of the result in the end. So virtual rank v stands for
 * the chunks first(v) up to first(v + 1), and any range of virtual ranks for consecutive chunks.
 *
 * A sum of virtual ranks is the sum over the distances p/2, p/4 ... 1 in turn: partial sums of the
 * own half as first operand, those of the partner as second.
 */
#include "schedule.h"

struct hd {
	struct coll_prog *p;
	const struct coll_job *j;
	struct coll_chunks c;
	unsigned int pow;	/* virtual ranks */
	unsigned int pairs;	/* of which so many stand for two */
	unsigned int v;		/* own virtual rank */
	bool acts;		/* acts for it */
};

static unsigned int first(const struct hd *h, unsigned int v)
{
	return v < h->pairs ? 2 * v : v + h->pairs;
}

static unsigned int rank_of(const struct hd *h, unsigned int v)
{
	return v < h->pairs ? 2 * v + 1 : v + h->pairs;
}

static void init(struct hd *h, struct coll_prog *p, const struct coll_job *j)
{
	unsigned int n = j->topo->n;

	h->p = p;
	h->j = j;
	h->c = (struct coll_chunks) { j->count, n, j->op == SNPU_COLL_ALL_REDUCE };
	for (h->pow = 1; h->pow * 2 <= n; h->pow *= 2)
		;
	h->pairs = n - h->pow;
	h->v = j->rank < 2 * h->pairs ? j->rank / 2 : j->rank - h->pairs;
	h->acts = rank_of(h, h->v) == j->rank;
}

/* Chunks of virtual ranks @from up to @to: first element */
static uint64_t range(const struct hd *h, unsigned int from, unsigned int to, uint64_t *len)
{
	uint64_t start = coll_chunk(&h->c, first(h, from));

	*len = coll_chunk(&h->c, first(h, to)) - start;
	return start;
}

/* Leaves the chunks of the own virtual rank in @acc; offsets are those of the vector */
static void halving(struct hd *h, unsigned int acc)
{
	uint64_t all = coll_chunk(&h->c, h->j->topo->n), at, len;
	unsigned int src = COLL_SEND, lo = 0, d, base;

	coll_next(h->p);
	if (!h->acts) {
		coll_put_send(h->p, h->j->rank + 1, COLL_SEND, 0, all);
		return;
	}
	if (h->v < h->pairs) {
		coll_put_reduce(h->p, h->j->rank - 1, acc, 0, COLL_SEND, 0, all);
		src = acc;
	}
	for (d = h->pow / 2; d; d /= 2) {
		base = h->v & d ? lo : lo + d;
		lo = h->v & d ? lo + d : lo;
		coll_next(h->p);
		at = range(h, base, base + d, &len);
		coll_put_send(h->p, rank_of(h, h->v ^ d), src, at, len);
		at = range(h, lo, lo + d, &len);
		coll_put_reduce(h->p, rank_of(h, h->v ^ d), acc, at, src, at, len);
		src = acc;
	}
}

static void doubling(struct hd *h)
{
	unsigned int lo, d;
	uint64_t at, len;

	if (!h->acts)
		return;
	for (d = 1; d < h->pow; d *= 2) {
		lo = h->v & ~(d - 1);
		coll_next(h->p);
		at = range(h, lo, lo + d, &len);
		coll_put_send(h->p, rank_of(h, h->v ^ d), COLL_RECV, at, len);
		at = range(h, lo ^ d, (lo ^ d) + d, &len);
		coll_put_recv(h->p, rank_of(h, h->v ^ d), COLL_RECV, at, len);
	}
}

/* Between the two ranks that one virtual rank stands for: part of the result, or all of it */
static void give_back(struct hd *h, unsigned int from, uint64_t from_off, uint64_t to_off,
		      uint64_t len)
{
	coll_next(h->p);
	if (!h->acts)
		coll_put_recv(h->p, h->j->rank + 1, COLL_RECV, to_off, len);
	else if (h->v < h->pairs)
		coll_put_send(h->p, h->j->rank - 1, from, from_off, len);
}

static void all_reduce(struct hd *h)
{
	uint64_t at, len;

	halving(h, COLL_RECV);
	if (h->acts) {
		at = range(h, h->v, h->v + 1, &len);
		coll_put_avg(h->p, h->j, COLL_RECV, at, len);
	}
	doubling(h);
	give_back(h, COLL_RECV, 0, 0, h->j->count);
}

static void reduce_scatter(struct hd *h)
{
	uint64_t own = coll_chunk(&h->c, h->j->rank);

	halving(h, COLL_TMP);
	h->p->tmp = coll_chunk(&h->c, h->j->topo->n);
	if (h->acts)
		coll_put_copy(h->p, COLL_RECV, 0, COLL_TMP, own, h->j->count);
	give_back(h, COLL_TMP, own - h->j->count * !!h->j->rank, 0, h->j->count);
	coll_put_avg(h->p, h->j, COLL_RECV, 0, h->j->count);
}

static void all_gather(struct hd *h)
{
	uint64_t own = coll_chunk(&h->c, h->j->rank), count = h->j->count;

	if (!h->j->in_place)
		coll_put_copy(h->p, COLL_RECV, own, COLL_SEND, 0, count);
	coll_next(h->p);
	if (!h->acts)
		coll_put_send(h->p, h->j->rank + 1, COLL_RECV, own, count);
	else if (h->v < h->pairs)
		coll_put_recv(h->p, h->j->rank - 1, COLL_RECV, own - count, count);
	doubling(h);
	give_back(h, COLL_RECV, 0, 0, coll_chunk(&h->c, h->j->topo->n));
}

void coll_hd(struct coll_prog *p, const struct coll_job *j)
{
	struct hd h;

	init(&h, p, j);
	if (j->op == SNPU_COLL_ALL_REDUCE)
		all_reduce(&h);
	else if (j->op == SNPU_COLL_REDUCE_SCATTER)
		reduce_scatter(&h);
	else
		all_gather(&h);
}
