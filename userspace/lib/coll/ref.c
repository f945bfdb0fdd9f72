// SPDX-License-Identifier: MIT
/*
 * The schedules of all ranks, run on the CPU: a rank goes on until it waits for a mailbox that is
 * empty, or full, then it is the next one's turn. When nobody can go on, the schedule is wrong.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "coll.h"

#define SLOTS_MAX	8

/* A piece that a rank is going to move, in the order of its program */
struct micro {
	const struct coll_act *a;
	uint64_t off;
	uint64_t count;
};

/* Mailbox of a pair of ranks */
struct box {
	uint64_t sent;
	uint64_t taken;
	uint64_t credit;
	void *piece[SLOTS_MAX];
};

struct sim_rank {
	struct coll_prog prog;
	struct micro *todo;
	uint64_t n, max, pos;
	uint8_t *buf[COLL_BUFS];
};

struct sim {
	const struct snpu_coll_ref *ref;
	struct coll_topo topo;
	struct coll_boxes boxes;
	unsigned int esize;
	struct sim_rank *rank;
	struct box **box;	/* [from * n + to] */
};

static int expand(void *arg, const struct coll_act *a, uint64_t off, uint64_t count)
{
	struct sim_rank *r = arg;

	if (r->n == r->max) {
		uint64_t max = r->max ? r->max * 2 : 64;
		struct micro *m = realloc(r->todo, max * sizeof(*m));

		if (!m)
			return -ENOMEM;
		r->todo = m;
		r->max = max;
	}
	r->todo[r->n++] = (struct micro) { a, off, count };
	return 0;
}

static struct box *box_of(struct sim *s, unsigned int from, unsigned int to)
{
	struct box **b = &s->box[(size_t)from * s->topo.n + to];

	if (!*b)
		*b = calloc(1, sizeof(**b));
	return *b;
}

/* 1: done, 0: has to wait */
static int step(struct sim *s, unsigned int rank)
{
	struct sim_rank *r = &s->rank[rank];
	const struct micro *m = &r->todo[r->pos];
	const struct coll_act *a = m->a;
	uint64_t bytes = m->count * s->esize;
	uint8_t *dst = r->buf[a->dst], *src = r->buf[a->a];
	struct box *b = NULL;
	void **piece;

	/* a rank whose buffer does not count may have none */
	dst = dst ? dst + (a->dst_off + m->off) * s->esize : NULL;
	src = src ? src + (a->a_off + m->off) * s->esize : NULL;
	if (a->kind == COLL_ACT_COPY) {
		if (dst != src)
			memmove(dst, src, bytes);
		return 1;
	}
	if (a->kind == COLL_ACT_AVG) {
		coll_cpu_avg(dst, src, s->ref->dtype, s->topo.n, m->count);
		return 1;
	}
	b = a->kind == COLL_ACT_SEND ? box_of(s, rank, a->peer) : box_of(s, a->peer, rank);
	if (!b)
		return -ENOMEM;
	if (a->kind == COLL_ACT_SEND) {
		if (b->credit < coll_credit_for(&s->boxes, b->sent + 1))
			return 0;
		piece = &b->piece[b->sent++ % s->boxes.slots];
		*piece = malloc(bytes);
		if (!*piece)
			return -ENOMEM;
		memcpy(*piece, src, bytes);
		return 1;
	}
	if (b->taken == b->sent)
		return 0;
	piece = &b->piece[b->taken++ % s->boxes.slots];
	if (a->kind == COLL_ACT_RECV)
		memcpy(dst, *piece, bytes);
	else
		coll_cpu_reduce(dst, src, *piece, s->ref->dtype, s->ref->redop, m->count);
	free(*piece);
	*piece = NULL;
	if (coll_credit_due(&s->boxes, b->taken))
		b->credit = b->taken;
	return 1;
}

static int run(struct sim *s)
{
	unsigned int r, left = 1;
	bool moved = true;
	int ret;

	while (left && moved) {
		moved = false;
		left = 0;
		for (r = 0; r < s->topo.n; r++) {
			struct sim_rank *rank = &s->rank[r];

			for (; rank->pos < rank->n; rank->pos++) {
				ret = step(s, r);
				if (ret < 0)
					return ret;
				if (!ret)
					break;
				moved = true;
			}
			left += rank->pos < rank->n;
		}
	}
	if (!left)
		return 0;
	for (r = 0; s->rank[r].pos == s->rank[r].n; r++)
		;
	return coll_fail(-EDEADLK, "%s of %u ranks, %s: %u ranks wait for ever, the first is %u at "
			 "piece %llu of %llu", snpu_coll_op_name(s->ref->op), s->topo.n,
			 snpu_coll_algo_name(s->ref->algo), left, r,
			 (unsigned long long)s->rank[r].pos, (unsigned long long)s->rank[r].n);
}

static int setup(struct sim *s, unsigned int algo)
{
	const struct snpu_coll_ref *ref = s->ref;
	struct coll_job j = {
		.topo = &s->topo, .op = ref->op, .algo = algo, .redop = ref->redop,
		.root = ref->root, .count = ref->count,
		.piece = coll_piece_both(&s->boxes) / s->esize,
	};
	unsigned int r;
	int ret;

	for (r = 0; r < s->topo.n; r++) {
		struct sim_rank *rank = &s->rank[r];

		j.rank = r;
		ret = coll_build(&rank->prog, &j);
		if (!ret)
			ret = coll_walk(&rank->prog, &s->boxes, &s->topo, r, s->esize, expand,
					rank);
		if (ret)
			return ret;
		/* nothing is written to the send buffer */
		rank->buf[COLL_SEND] = ref->send ? (uint8_t *)ref->send[r] : NULL;
		rank->buf[COLL_RECV] = ref->recv ? ref->recv[r] : NULL;
		rank->buf[COLL_TMP] = calloc(rank->prog.tmp + 1, s->esize);
		if (!rank->buf[COLL_TMP])
			return -ENOMEM;
	}
	return 0;
}

/* SWITCH: what only moves data gives the same by any schedule */
static bool by_switch(const struct snpu_coll_ref *ref)
{
	return ref->algo == SNPU_COLL_SWITCH && ref->nranks > 1 && ref->nranks <= SNPU_MAX_LIST &&
	       (ref->op == SNPU_COLL_ALL_REDUCE || ref->op == SNPU_COLL_REDUCE_SCATTER);
}

/* All operands in rank order; each rank gets all, or its part */
static int folded(struct sim *s)
{
	const struct snpu_coll_ref *ref = s->ref;
	const bool all = ref->op == SNPU_COLL_ALL_REDUCE;
	const uint64_t bytes = ref->count * s->esize;
	void *sum = malloc(bytes + 1);
	unsigned int r;

	for (r = 0; sum && r < s->topo.n; r++) {
		if (!all || !r) {
			coll_cpu_fold(sum, ref->send, all ? 0 : r * bytes, s->topo.n, ref->dtype,
				      ref->redop, ref->count);
			if (ref->redop == SNPU_COLL_AVG)
				coll_cpu_avg(sum, sum, ref->dtype, s->topo.n, ref->count);
		}
		if (ref->recv[r])
			memcpy(ref->recv[r], sum, bytes);
	}
	free(sum);
	return sum ? 0 : -ENOMEM;
}

static void cleanup(struct sim *s)
{
	size_t i, n = s->topo.n;
	unsigned int k;

	for (i = 0; s->rank && i < n; i++) {
		coll_prog_free(&s->rank[i].prog);
		free(s->rank[i].todo);
		free(s->rank[i].buf[COLL_TMP]);
	}
	for (i = 0; s->box && i < n * n; i++) {
		for (k = 0; s->box[i] && k < SLOTS_MAX; k++)
			free(s->box[i]->piece[k]);
		free(s->box[i]);
	}
	free(s->rank);
	free(s->box);
	coll_topo_fini(&s->topo);
}

/**
 * snpu_coll_reference() - compute an operation on the CPU
 * @ref: the operation
 *
 * Return: 0; -EINVAL; -ENOMEM; -EDEADLK when the schedule is wrong.
 */
COLL_EXPORT int snpu_coll_reference(const struct snpu_coll_ref *ref)
{
	struct sim s = { .ref = ref };
	uint64_t big;
	int ret;

	if (!ref)
		return coll_fail(-EINVAL, "snpu_coll_reference: ref is NULL");
	ret = coll_check(ref->op, ref->dtype, ref->redop, ref->nranks, ref->root, ref->count);
	if (ret)
		return coll_fail_in("snpu_coll_reference", ret);
	if (ref->slots > SLOTS_MAX)
		return coll_fail(-EINVAL, "snpu_coll_reference: %u slots, 2, 4 or 8", ref->slots);
	s.esize = ref->op == SNPU_COLL_BARRIER ? 1 : (unsigned int)snpu_dtype_size(ref->dtype);
	ret = coll_topo_init(&s.topo, ref->nranks, ref->hosts);
	if (ret)
		return coll_fail(ret, "snpu_coll_reference");
	coll_boxes_init(&s.boxes, &s.topo, ref->slot_bytes, ref->slots);
	s.rank = calloc(s.topo.n, sizeof(*s.rank));
	s.box = calloc((size_t)s.topo.n * s.topo.n, sizeof(*s.box));
	ret = s.rank && s.box ? 0 : -ENOMEM;
	big = coll_bytes(ref->op, s.topo.n, ref->count, s.esize);
	if (!ret && by_switch(ref))
		ret = folded(&s);
	else if (!ret)
		ret = setup(&s, coll_choose(&s.topo, &s.boxes, ref->op, ref->algo, big, 0));
	if (!ret && !by_switch(ref))
		ret = run(&s);
	if (ret == -ENOMEM)
		coll_fail(ret, "snpu_coll_reference: %u ranks", s.topo.n);
	cleanup(&s);
	return ret ? coll_fail_in("snpu_coll_reference", ret) : 0;
}
