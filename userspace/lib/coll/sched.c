// SPDX-License-Identifier: MIT
/* Programs and their pieces, ranks and hosts, sizes of mailboxes. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "schedule.h"

#define PIECE_MAX	(1ull << 20)	/* by default */
#define PIECE_MIN	1024ull
#define NEAR_BYTES	(512ull << 20)	/* mailboxes inside of hosts, of all ranks together */
#define FAR_BYTES	(6ull << 30)	/* and between hosts, most of which are never used */

int coll_topo_init(struct coll_topo *t, unsigned int n, const unsigned int *hosts)
{
	unsigned int i, j, *count;

	*t = (struct coll_topo) { .n = n };
	t->host = calloc(n, sizeof(*t->host));
	t->local = calloc(n, sizeof(*t->local));
	t->at = calloc(n, sizeof(*t->at));
	count = calloc(n, sizeof(*count));
	if (!t->host || !t->local || !t->at || !count) {
		free(count);
		coll_topo_fini(t);
		return -ENOMEM;
	}
	for (i = 0; i < n; i++) {
		t->host[i] = t->hosts;
		for (j = 0; hosts && j < i; j++) {
			if (hosts[j] == hosts[i]) {
				t->host[i] = t->host[j];
				break;
			}
		}
		if (!hosts)
			t->host[i] = 0;
		if (t->host[i] == t->hosts || !i)
			t->hosts = t->host[i] + 1;
		t->local[i] = count[t->host[i]]++;
	}
	t->per_host = count[0];
	for (i = 1; i < t->hosts; i++) {
		if (count[i] != count[0])
			t->per_host = 0;
	}
	for (i = 0; t->per_host && i < n; i++)
		t->at[t->host[i] * t->per_host + t->local[i]] = i;
	free(count);
	return 0;
}

void coll_topo_fini(struct coll_topo *t)
{
	free(t->host);
	free(t->local);
	free(t->at);
	*t = (struct coll_topo) { 0 };
}

static uint64_t power_below(uint64_t v)
{
	while (v & (v - 1))
		v &= v - 1;
	return v;
}

static uint64_t piece_of(uint64_t bytes)
{
	bytes = power_below(bytes);
	return bytes > PIECE_MAX ? PIECE_MAX : bytes < PIECE_MIN ? PIECE_MIN : bytes;
}

/* The more ranks, the less of each: what all of them keep together does not grow */
void coll_boxes_init(struct coll_boxes *b, const struct coll_topo *t, uint64_t slot_bytes,
		     unsigned int slots)
{
	uint64_t mates = t->per_host ? t->per_host : t->n, n = t->n;

	b->slots = slots ? slots : 4;
	b->near = slot_bytes ? slot_bytes : piece_of(NEAR_BYTES / n / mates / b->slots);
	b->far = slot_bytes ? slot_bytes : piece_of(FAR_BYTES / n / n / b->slots);
}

/* ---- acts ---- */

static struct coll_act *put(struct coll_prog *p, unsigned int kind, uint64_t count)
{
	struct coll_act *a;

	if (!count)
		return NULL;
	if (p->n == p->max) {
		uint32_t max = p->max ? p->max * 2 : 64;

		a = realloc(p->act, max * sizeof(*a));
		if (!a) {
			p->oom = true;
			return NULL;
		}
		p->act = a;
		p->max = max;
	}
	a = &p->act[p->n++];
	*a = (struct coll_act) { .kind = (uint8_t)kind, .round = p->round, .count = count };
	return a;
}

void coll_next(struct coll_prog *p)
{
	p->round++;
}

void coll_put_send(struct coll_prog *p, unsigned int peer, unsigned int a, uint64_t a_off,
		   uint64_t count)
{
	struct coll_act *act = put(p, COLL_ACT_SEND, count);

	if (!act)
		return;
	act->peer = peer;
	act->a = (uint8_t)a;
	act->a_off = a_off;
}

void coll_put_recv(struct coll_prog *p, unsigned int peer, unsigned int dst, uint64_t dst_off,
		   uint64_t count)
{
	struct coll_act *act = put(p, COLL_ACT_RECV, count);

	if (!act)
		return;
	act->peer = peer;
	act->dst = (uint8_t)dst;
	act->dst_off = dst_off;
}

void coll_put_reduce(struct coll_prog *p, unsigned int peer, unsigned int dst, uint64_t dst_off,
		     unsigned int a, uint64_t a_off, uint64_t count)
{
	struct coll_act *act = put(p, COLL_ACT_REDUCE, count);

	if (!act)
		return;
	act->peer = peer;
	act->dst = (uint8_t)dst;
	act->dst_off = dst_off;
	act->a = (uint8_t)a;
	act->a_off = a_off;
}

static void put_local(struct coll_prog *p, unsigned int kind, unsigned int dst, uint64_t dst_off,
		      unsigned int a, uint64_t a_off, uint64_t count)
{
	struct coll_act *act;

	coll_next(p);
	act = put(p, kind, count);
	if (act) {
		act->dst = (uint8_t)dst;
		act->dst_off = dst_off;
		act->a = (uint8_t)a;
		act->a_off = a_off;
	}
	coll_next(p);
}

void coll_put_copy(struct coll_prog *p, unsigned int dst, uint64_t dst_off, unsigned int a,
		   uint64_t a_off, uint64_t count)
{
	put_local(p, COLL_ACT_COPY, dst, dst_off, a, a_off, count);
}

void coll_put_avg(struct coll_prog *p, const struct coll_job *j, unsigned int buf, uint64_t off,
		  uint64_t count)
{
	if (j->redop == SNPU_COLL_AVG)
		put_local(p, COLL_ACT_AVG, buf, off, buf, off, count);
}

void coll_put_fetch(struct coll_prog *p, unsigned int peer, unsigned int buf, uint64_t off,
		    uint64_t count)
{
	struct coll_act *act = put(p, COLL_ACT_FETCH, count);

	if (!act)
		return;
	act->peer = peer;
	act->a = act->dst = (uint8_t)buf;
	act->a_off = act->dst_off = off;
}

void coll_put_pull(struct coll_prog *p, unsigned int peer, unsigned int a, uint64_t off,
		   unsigned int dst, unsigned int own, uint64_t count)
{
	struct coll_act *act = put(p, COLL_ACT_PULL, count);

	if (!act)
		return;
	act->peer = peer;
	act->a = (uint8_t)a;
	act->dst = (uint8_t)dst;
	act->own = (uint8_t)own;
	act->a_off = act->dst_off = off;
}

void coll_put_fold(struct coll_prog *p, unsigned int dst, uint64_t dst_off, unsigned int a,
		   uint64_t a_off, uint64_t count)
{
	put_local(p, COLL_ACT_FOLD, dst, dst_off, a, a_off, count);
}

void coll_put_spread(struct coll_prog *p, unsigned int dst, uint64_t dst_off, unsigned int a,
		     uint64_t a_off, uint64_t count)
{
	put_local(p, COLL_ACT_SPREAD, dst, dst_off, a, a_off, count);
}

void coll_put_post(struct coll_prog *p, unsigned int peer)
{
	struct coll_act *act = put(p, COLL_ACT_POST, 1);

	if (act)
		act->peer = peer;
}

void coll_put_await(struct coll_prog *p, unsigned int peer)
{
	struct coll_act *act = put(p, COLL_ACT_AWAIT, 1);

	if (act)
		act->peer = peer;
}

void coll_prog_free(struct coll_prog *p)
{
	free(p->act);
	*p = (struct coll_prog) { 0 };
}

/* ---- pieces ---- */

static uint64_t pieces_of(const struct coll_act *a, const struct coll_boxes *b,
			  const struct coll_topo *t, unsigned int rank, unsigned int esize)
{
	uint64_t piece = coll_piece(b, t, rank, a->peer) / esize;

	return (a->count + piece - 1) / piece;
}

/*
 * Numbers the pieces of a round: those of one direction of one pair of ranks follow each other,
 * all the others are side by side. Returns the largest number of pieces in one.
 */
static uint64_t number(struct coll_prog *p, uint32_t from, uint32_t to, const struct coll_boxes *b,
		       const struct coll_topo *t, unsigned int rank, unsigned int esize)
{
	uint64_t most = 0, end;
	uint32_t i, k;

	for (i = from; i < to; i++) {
		struct coll_act *a = &p->act[i];

		a->first = 0;
		for (k = i; k-- > from; ) {
			const struct coll_act *e = &p->act[k];

			if (e->peer == a->peer &&
			    (e->kind == COLL_ACT_SEND) == (a->kind == COLL_ACT_SEND)) {
				a->first = e->first + pieces_of(e, b, t, rank, esize);
				break;
			}
		}
		end = a->first + pieces_of(a, b, t, rank, esize);
		most = end > most ? end : most;
	}
	return most;
}

int coll_walk(struct coll_prog *p, const struct coll_boxes *b, const struct coll_topo *t,
	      unsigned int rank, unsigned int esize,
	      int (*fn)(void *arg, const struct coll_act *a, uint64_t off, uint64_t count),
	      void *arg)
{
	uint32_t from, to, i;
	uint64_t k, step, most;
	unsigned int recv;
	int ret = 0;

	for (from = 0; from < p->n && !ret; from = to) {
		if (p->act[from].kind >= COLL_ACT_COPY) {
			ret = fn(arg, &p->act[from], 0, p->act[from].count);
			to = from + 1;
			continue;
		}
		for (to = from; to < p->n && p->act[to].round == p->act[from].round; to++)
			;
		most = number(p, from, to, b, t, rank, esize);
		/* sends are a piece ahead: one is on its way while the one before is reduced */
		for (step = 0; step <= most; step++) {
			for (recv = 0; recv < 2; recv++) {
				if (recv ? !step : step == most)
					continue;
				k = step - recv;
				for (i = from; i < to && !ret; i++) {
					const struct coll_act *a = &p->act[i];
					uint64_t piece = coll_piece(b, t, rank, a->peer) / esize;
					uint64_t off = (k - a->first) * piece;

					if ((a->kind != COLL_ACT_SEND) != recv || k < a->first ||
					    off >= a->count)
						continue;
					ret = fn(arg, a, off, a->count - off < piece ?
						 a->count - off : piece);
				}
			}
		}
	}
	return ret;
}
