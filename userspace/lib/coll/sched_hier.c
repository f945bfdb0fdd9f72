// SPDX-License-Identifier: MIT
/*
 * Hierarchical: pairwise inside of each host, then pairwise between ranks with the same local
 * number on all hosts; all-gather the other way round. Each rank talks to per_host + hosts - 2
 * others only.
 *
 * A partial sum of host h, for a chunk of local number l, is ((x[l] + x[l-1]) + ...) over local
 * numbers going backwards; the sum is that of host h's, h-1's ... partial sums, from the chunk's
 * own host on.
 */
#include "schedule.h"

struct hier {
	struct coll_prog *p;
	const struct coll_job *j;
	const struct coll_topo *t;
	struct coll_chunks c;
	unsigned int h, l;	/* own host and local number */
	bool by_rank;		/* chunks are in the order of the ranks */
};

static unsigned int at(const struct hier *x, unsigned int host, unsigned int local)
{
	return x->t->at[host * x->t->per_host + local];
}

/* Number of the chunk that ends on that rank: those of one local number stand together */
static unsigned int chunk(const struct hier *x, unsigned int host, unsigned int local)
{
	return x->by_rank ? at(x, host, local) : local * x->t->hosts + host;
}

/* The next run of consecutive chunks of local number @local, from host *@host on; false: no more */
static bool run(const struct hier *x, unsigned int local, unsigned int *host, uint64_t *off,
		uint64_t *len)
{
	unsigned int first, last;

	if (*host == x->t->hosts)
		return false;
	first = last = chunk(x, (*host)++, local);
	while (*host < x->t->hosts && chunk(x, *host, local) == last + 1) {
		last++;
		(*host)++;
	}
	*off = coll_chunk(&x->c, first);
	*len = coll_chunk(&x->c, last + 1) - *off;
	return true;
}

static void scatter(struct hier *x, unsigned int acc)
{
	const unsigned int m = x->t->per_host, hosts = x->t->hosts;
	unsigned int s, k, to, from, src = COLL_SEND;
	uint64_t off, len;

	for (s = 1; s < m; s++) {
		to = (x->l + s) % m;
		from = (x->l + m - s) % m;
		coll_next(x->p);
		for (k = 0; run(x, to, &k, &off, &len); )
			coll_put_send(x->p, at(x, x->h, to), COLL_SEND, off, len);
		for (k = 0; run(x, x->l, &k, &off, &len); )
			coll_put_reduce(x->p, at(x, x->h, from), acc, off, src, off, len);
		src = acc;
	}
	for (s = 1; s < hosts; s++) {
		to = (x->h + s) % hosts;
		from = (x->h + hosts - s) % hosts;
		coll_next(x->p);
		off = coll_chunk(&x->c, chunk(x, to, x->l));
		len = coll_chunk(&x->c, chunk(x, to, x->l) + 1) - off;
		/* the own chunk alone has changed since, and that is never sent */
		coll_put_send(x->p, at(x, to, x->l), m > 1 ? acc : COLL_SEND, off, len);
		off = coll_chunk(&x->c, chunk(x, x->h, x->l));
		len = coll_chunk(&x->c, chunk(x, x->h, x->l) + 1) - off;
		coll_put_reduce(x->p, at(x, from, x->l), acc, off, src, off, len);
		src = acc;
	}
}

static void gather(struct hier *x)
{
	const unsigned int m = x->t->per_host, hosts = x->t->hosts;
	unsigned int s, k, to, from;
	uint64_t off, len;

	for (s = 1; s < hosts; s++) {
		to = (x->h + s) % hosts;
		from = (x->h + hosts - s) % hosts;
		coll_next(x->p);
		off = coll_chunk(&x->c, chunk(x, x->h, x->l));
		len = coll_chunk(&x->c, chunk(x, x->h, x->l) + 1) - off;
		coll_put_send(x->p, at(x, to, x->l), COLL_RECV, off, len);
		off = coll_chunk(&x->c, chunk(x, from, x->l));
		len = coll_chunk(&x->c, chunk(x, from, x->l) + 1) - off;
		coll_put_recv(x->p, at(x, from, x->l), COLL_RECV, off, len);
	}
	for (s = 1; s < m; s++) {
		to = (x->l + s) % m;
		from = (x->l + m - s) % m;
		coll_next(x->p);
		for (k = 0; run(x, x->l, &k, &off, &len); )
			coll_put_send(x->p, at(x, x->h, to), COLL_RECV, off, len);
		for (k = 0; run(x, from, &k, &off, &len); )
			coll_put_recv(x->p, at(x, x->h, from), COLL_RECV, off, len);
	}
}

/*
 * All-to-all. First everyone gives each rank of his host what is for the ranks with its local
 * number on all hosts; COLL_TMP holds that by host, then by local number of the sender. Then what
 * is for a host goes there in one message.
 */
static void exchange(struct hier *x)
{
	const uint64_t m = x->t->per_host, hosts = x->t->hosts, count = x->j->count;
	unsigned int s, k, to, from, i;

	x->p->tmp = m * hosts * count;
	for (k = 0; k < hosts; k++)
		coll_put_copy(x->p, COLL_TMP, (k * m + x->l) * count, COLL_SEND,
			      at(x, k, x->l) * count, count);
	for (s = 1; s < m; s++) {
		to = (unsigned int)((x->l + s) % m);
		from = (unsigned int)((x->l + m - s) % m);
		coll_next(x->p);
		for (k = 0; k < hosts; k++) {
			coll_put_send(x->p, at(x, x->h, to), COLL_SEND, at(x, k, to) * count,
				      count);
			coll_put_recv(x->p, at(x, x->h, from), COLL_TMP, (k * m + from) * count,
				      count);
		}
	}
	for (i = 0; i < m; i++)
		coll_put_copy(x->p, COLL_RECV, at(x, x->h, i) * count, COLL_TMP,
			      (x->h * m + i) * count, count);
	for (s = 1; s < hosts; s++) {
		to = (x->h + s) % hosts;
		from = (x->h + hosts - s) % hosts;
		coll_next(x->p);
		/* in one piece where ranks of the sending host follow each other */
		if (at(x, x->h, m - 1) - at(x, x->h, 0) == m - 1) {
			coll_put_send(x->p, at(x, to, x->l), COLL_TMP, to * m * count,
				      m * count);
		} else {
			for (i = 0; i < m; i++)
				coll_put_send(x->p, at(x, to, x->l), COLL_TMP, (to * m + i) * count,
					      count);
		}
		if (at(x, from, m - 1) - at(x, from, 0) == m - 1) {
			coll_put_recv(x->p, at(x, from, x->l), COLL_RECV, at(x, from, 0) * count,
				      m * count);
		} else {
			for (i = 0; i < m; i++)
				coll_put_recv(x->p, at(x, from, x->l), COLL_RECV,
					      at(x, from, i) * count, count);
		}
	}
}

void coll_hier(struct coll_prog *p, const struct coll_job *j)
{
	struct hier x = { p, j, j->topo, { j->count, j->topo->n, j->op == SNPU_COLL_ALL_REDUCE },
			  j->topo->host[j->rank], j->topo->local[j->rank],
			  j->op != SNPU_COLL_ALL_REDUCE };
	uint64_t own = coll_chunk(&x.c, chunk(&x, x.h, x.l));

	switch (j->op) {
	case SNPU_COLL_ALL_REDUCE:
		scatter(&x, COLL_RECV);
		coll_put_avg(p, j, COLL_RECV, own,
			     coll_chunk(&x.c, chunk(&x, x.h, x.l) + 1) - own);
		gather(&x);
		break;
	case SNPU_COLL_REDUCE_SCATTER:
		scatter(&x, COLL_TMP);
		p->tmp = coll_chunk(&x.c, x.c.n);
		coll_put_copy(p, COLL_RECV, 0, COLL_TMP, own, j->count);
		coll_put_avg(p, j, COLL_RECV, 0, j->count);
		break;
	case SNPU_COLL_ALL_GATHER:
		if (!j->in_place)
			coll_put_copy(p, COLL_RECV, own, COLL_SEND, 0, j->count);
		gather(&x);
		break;
	default:
		exchange(&x);
	}
}
