// SPDX-License-Identifier: MIT
/*
 * Hierarchical (or, on one host, pairwise) with registered buffers: what others have is read where
 * it is, without a mailbox in between. The same sums in the same order as with mailboxes, so the
 * results are the same bits.
 *
 * Tokens say when something may be read, or written over: a rank posts one to each of its peers,
 * and waits for theirs,
 *   1  to those of its host:     my operand is there
 *   2  to those of other hosts:  my host's partial sums of your chunks are there
 *   3  to those of other hosts:  my chunk is complete, and I need no partial sum of yours any more
 *   4  to those of its host:     all chunks of my number are there, and I need no operand of yours
 *   5  to all of them:           I need nothing of yours any more
 */
#include "schedule.h"

#define PIECE_BYTES	(512u << 10)	/* stays in a cache while all others' are added */

struct pull {
	struct coll_prog *p;
	const struct coll_job *j;
	unsigned int m, hosts;	/* ranks of a host, hosts */
	unsigned int h, l;
	uint64_t piece;
	struct coll_chunks c;
	bool by_rank;
};

static unsigned int at(const struct pull *x, unsigned int host, unsigned int local)
{
	return x->hosts == 1 ? local : x->j->topo->at[host * x->m + local];
}

static unsigned int chunk(const struct pull *x, unsigned int host, unsigned int local)
{
	return x->by_rank ? at(x, host, local) : local * x->hosts + host;
}

static void mates(const struct pull *x, void (*put)(struct coll_prog *, unsigned int))
{
	unsigned int s;

	for (s = 1; s < x->m; s++)
		put(x->p, at(x, x->h, (x->l + s) % x->m));
}

static void others(const struct pull *x, void (*put)(struct coll_prog *, unsigned int))
{
	unsigned int s;

	for (s = 1; s < x->hosts; s++)
		put(x->p, at(x, (x->h + s) % x->hosts, x->l));
}

static void scatter(struct pull *x)
{
	uint64_t off, end, len;
	unsigned int s, src;

	mates(x, coll_put_post);
	mates(x, coll_put_await);
	off = coll_chunk(&x->c, x->l * x->hosts);
	end = coll_chunk(&x->c, (x->l + 1) * x->hosts);
	for (; off < end; off += len) {
		len = end - off < x->piece ? end - off : x->piece;
		for (s = 1, src = COLL_SEND; s < x->m; s++, src = COLL_RECV)
			coll_put_pull(x->p, at(x, x->h, (x->l + x->m - s) % x->m), COLL_SEND, off,
				      COLL_RECV, src, len);
	}
	others(x, coll_put_post);
	others(x, coll_put_await);
	src = x->m > 1 ? COLL_RECV : COLL_SEND;
	off = coll_chunk(&x->c, chunk(x, x->h, x->l));
	end = coll_chunk(&x->c, chunk(x, x->h, x->l) + 1);
	for (; off < end; off += len) {
		len = end - off < x->piece ? end - off : x->piece;
		for (s = 1; s < x->hosts; s++)
			coll_put_pull(x->p, at(x, (x->h + x->hosts - s) % x->hosts, x->l),
				      COLL_RECV, off, COLL_RECV, src, len);
	}
}

/* The chunks of local number @local and hosts @from up to @to; those that are together, together */
static void fetch(struct pull *x, unsigned int peer, unsigned int local, unsigned int from,
		  unsigned int to)
{
	unsigned int first, last;
	uint64_t off;

	while (from < to) {
		first = last = chunk(x, from++, local);
		while (from < to && chunk(x, from, local) == last + 1) {
			last++;
			from++;
		}
		off = coll_chunk(&x->c, first);
		coll_put_fetch(x->p, peer, COLL_RECV, off, coll_chunk(&x->c, last + 1) - off);
	}
}

static void gather(struct pull *x)
{
	unsigned int s, to;

	others(x, coll_put_post);
	others(x, coll_put_await);
	for (s = 1; s < x->hosts; s++) {
		to = (x->h + s) % x->hosts;
		fetch(x, at(x, to, x->l), x->l, to, to + 1);
	}
	mates(x, coll_put_post);
	mates(x, coll_put_await);
	for (s = 1; s < x->m; s++) {
		to = (x->l + s) % x->m;
		fetch(x, at(x, x->h, to), to, 0, x->hosts);
	}
	mates(x, coll_put_post);
	others(x, coll_put_post);
	mates(x, coll_put_await);
	others(x, coll_put_await);
}

bool coll_pull_fits(const struct coll_job *j)
{
	if (j->topo->n < 2 || (j->op != SNPU_COLL_ALL_REDUCE && j->op != SNPU_COLL_ALL_GATHER))
		return false;
	return j->algo == SNPU_COLL_HIER ||
	       (j->algo == SNPU_COLL_PAIRWISE && j->topo->hosts == 1);
}

void coll_pull(struct coll_prog *p, const struct coll_job *j, unsigned int esize)
{
	const bool one = j->topo->hosts == 1;
	struct pull x = {
		.p = p, .j = j, .m = one ? j->topo->n : j->topo->per_host, .hosts = j->topo->hosts,
		.h = j->topo->host[j->rank], .l = j->topo->local[j->rank],
		.piece = PIECE_BYTES / esize,
		.c = { j->count, j->topo->n, j->op == SNPU_COLL_ALL_REDUCE },
		.by_rank = j->op != SNPU_COLL_ALL_REDUCE,
	};
	uint64_t own = coll_chunk(&x.c, chunk(&x, x.h, x.l));

	if (j->op == SNPU_COLL_ALL_REDUCE) {
		scatter(&x);
		coll_put_avg(p, j, COLL_RECV, own,
			     coll_chunk(&x.c, chunk(&x, x.h, x.l) + 1) - own);
	} else if (!j->in_place) {
		coll_put_copy(p, COLL_RECV, own, COLL_SEND, 0, j->count);
	}
	gather(&x);
}
