// SPDX-License-Identifier: MIT
/*
 * Programs as packets. They go into packet memory of the communicator, in HBM, and one INDIRECT
 * packet in the caller's queue runs them: an operation takes one ring entry.
 *
 * The last packet of an operation counts the operations done. Before it, a wait that times out at
 * once when the communicator is broken: whatever was mapped or raised meanwhile, a broken operation
 * is never counted.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "coll.h"

#define BLOCK_PKTS	512u
#define FRAME_PKTS	4u	/* around the pieces */
#define WITHDRAWN	0xffull	/* a header with an op that there is not */

/**
 * struct coll_block - packet memory, used by one operation at a time
 * @mem: the memory
 * @pkt: the CPU's view of it
 * @max: packets it has room for
 * @op: operation that uses it, done or not
 * @next: next block of the communicator
 */
struct coll_block {
	struct snpu_mem *mem;
	union snpu_pkt *pkt;
	uint64_t max;
	uint64_t op;
	struct coll_block *next;
};

struct emit {
	struct snpu_coll *c;
	union snpu_pkt *at;
	const uint64_t *va;
	const struct coll_reg *reg;
	unsigned int dtype;
	unsigned int esize;
	unsigned int redop;
	uint64_t pkts;		/* while counting */
};

static void block_free(struct coll_block *b)
{
	snpu_mem_free(b->mem);
	free(b);
}

void coll_blocks_free(struct snpu_coll *c)
{
	struct coll_block *b;

	while ((b = c->blocks)) {
		c->blocks = b->next;
		block_free(b);
	}
}

/*
 * No packet of the communicator is executed any more: every one that has not been yet becomes one
 * that stops its queue. One store each, so that a packet is read as it was or as it is now. Any
 * thread, while the owner may be recording.
 */
void coll_blocks_withdraw(struct snpu_coll *c)
{
	struct coll_block *b = __atomic_load_n(&c->blocks, __ATOMIC_ACQUIRE);
	uint64_t i;

	for (; b; b = b->next) {
		for (i = 0; i < b->max; i++)
			__atomic_store_n(&b->pkt[i].q[0], WITHDRAWN, __ATOMIC_RELAXED);
	}
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* A block with room for @pkts that no packet uses any more; the smallest that there is */
static int block_get(struct snpu_coll *c, uint64_t pkts, struct coll_block **out)
{
	uint64_t done = __atomic_load_n(&c->head->done, __ATOMIC_ACQUIRE), max = BLOCK_PKTS;
	struct coll_block *b, *best = NULL;
	void *ptr;
	int ret;

	for (b = c->blocks; b; b = b->next) {
		if (b->op <= done && b->max >= pkts && (!best || b->max < best->max))
			best = b;
	}
	*out = best;
	if (best)
		return 0;
	b = calloc(1, sizeof(*b));
	if (!b)
		return coll_fail(-ENOMEM, "packet memory");
	while (max < pkts)
		max *= 2;
	b->max = max;
	ret = snpu_mem_alloc(c->ctx, max * SNPU_PKT_BYTES, SNPU_MEM_HBM, &b->mem);
	if (!ret)
		ret = snpu_mem_map(b->mem, &ptr);
	if (ret) {
		coll_fail_snpu(ret, "memory for %llu packets", (unsigned long long)max);
		block_free(b);
		return ret;
	}
	b->pkt = ptr;
	b->next = c->blocks;
	__atomic_store_n(&c->blocks, b, __ATOMIC_RELEASE);
	*out = b;
	return 0;
}

int coll_tmp(struct snpu_coll *c, uint64_t bytes, uint64_t *va)
{
	struct coll_old *old;
	struct snpu_mem *mem;
	int ret;

	if (c->tmp && snpu_mem_size(c->tmp) >= bytes) {
		*va = snpu_mem_va(c->tmp);
		return 0;
	}
	old = calloc(1, sizeof(*old));
	if (!old)
		return coll_fail(-ENOMEM, "temporary memory");
	/* at least twice what it was: all that were outgrown are no larger than the last one */
	if (c->tmp && bytes < 2 * snpu_mem_size(c->tmp))
		bytes = 2 * snpu_mem_size(c->tmp);
	ret = snpu_mem_alloc(c->ctx, bytes, SNPU_MEM_HBM, &mem);
	if (ret) {
		free(old);
		return coll_fail_snpu(ret, "%llu bytes of temporary memory",
				      (unsigned long long)bytes);
	}
	if (c->tmp) {
		old->mem = c->tmp;
		old->next = c->old_tmp;
		c->old_tmp = old;
	} else {
		free(old);
	}
	c->tmp = mem;
	*va = snpu_mem_va(mem);
	return 0;
}

/* ---- packets ---- */

static int count_piece(void *arg, const struct coll_act *a, uint64_t off, uint64_t count)
{
	struct emit *e = arg;

	(void)off;
	(void)count;
	e->pkts += a->kind >= COLL_ACT_COPY && a->kind <= COLL_ACT_SPREAD ? 1 : 3;
	return 0;
}

static void wait_for(struct emit *e, uint64_t va, uint64_t value)
{
	snpu_prep_wait(e->at++, va, value, SNPU_SEM_GE, e->c->params.timeout_ns);
}

static void send_piece(struct emit *e, const struct coll_act *a, uint64_t src, uint64_t bytes)
{
	struct snpu_coll *c = e->c;
	struct coll_peer *peer = &c->peer[a->peer];
	uint64_t seq = ++peer->sent, need = coll_credit_for(&c->boxes, seq);
	uint64_t slot = coll_piece(&c->boxes, &c->topo, c->rank, a->peer);
	uint64_t dst = peer->va + peer->box + (seq - 1) % c->boxes.slots * slot;
	uint64_t came = peer->va + peer->pair + offsetof(struct coll_pair, came);

	if (need)
		wait_for(e, coll_pair_va(c, a->peer) + offsetof(struct coll_pair, taken), need);
	if (c->fused) {
		snpu_prep_copy_signal(e->at++, dst, src, bytes, came, seq, SNPU_SEM_SET);
		return;
	}
	snpu_prep_copy(e->at++, dst, src, bytes);
	snpu_prep_signal(e->at++, came, seq, SNPU_SEM_SET);
}

static const uint8_t elt_of[SNPU_COLL_REDOPS] = {
	SNPU_ELT_ADD, SNPU_ELT_MUL, SNPU_ELT_MIN, SNPU_ELT_MAX, SNPU_ELT_ADD,
};

static void post(struct emit *e, unsigned int rank)
{
	struct coll_peer *peer = &e->c->peer[rank];
	uint64_t seq = ++peer->sent, need = coll_credit_for(&e->c->boxes, seq);

	if (need)
		wait_for(e, coll_pair_va(e->c, rank) + offsetof(struct coll_pair, taken), need);
	snpu_prep_signal(e->at++, peer->va + peer->pair + offsetof(struct coll_pair, came), seq,
			 SNPU_SEM_SET);
}

/* The piece @seq of @rank has been taken */
static void acknowledge(struct emit *e, struct coll_peer *peer, uint64_t seq)
{
	if (coll_credit_due(&e->c->boxes, seq))
		snpu_prep_signal(e->at++, peer->va + peer->pair + offsetof(struct coll_pair, taken),
				 seq, SNPU_SEM_SET);
}

static void await(struct emit *e, unsigned int rank)
{
	struct coll_peer *peer = &e->c->peer[rank];
	uint64_t seq = ++peer->got;

	wait_for(e, coll_pair_va(e->c, rank) + offsetof(struct coll_pair, came), seq);
	acknowledge(e, peer, seq);
}

/* Registered memory of a peer: where that has what @a is here */
static uint64_t there(struct emit *e, const struct coll_act *a)
{
	const struct coll_reg *r = &e->reg[a->a];

	return r->win->peer[a->peer].va + r->off + a->a_off * e->esize;
}

/* @a of all ranks, or @dst of all others, is in a window at the same place: base and offset */
static void fold(struct emit *e, const struct coll_act *a, uint64_t dst, uint64_t count)
{
	const struct coll_reg *r = &e->reg[a->a];

	snpu_prep_reduce_pull(e->at++, elt_of[e->redop], e->dtype, dst, snpu_mem_va(r->win->list),
			      e->c->topo.n, r->off + a->a_off * e->esize, count);
}

static void spread(struct emit *e, const struct coll_act *a, uint64_t src, uint64_t bytes)
{
	const struct coll_reg *r = &e->reg[a->dst];
	unsigned int n = e->c->topo.n;

	snpu_prep_multicast(e->at++, snpu_mem_va(r->win->list) + n * sizeof(uint64_t), n - 1,
			    r->off + a->dst_off * e->esize, src, bytes);
}

static void take_piece(struct emit *e, const struct coll_act *a, uint64_t dst, uint64_t src,
		       uint64_t count)
{
	struct snpu_coll *c = e->c;
	struct coll_peer *peer = &c->peer[a->peer];
	uint64_t seq = ++peer->got;
	uint64_t slot = coll_piece(&c->boxes, &c->topo, c->rank, a->peer);
	uint64_t from = c->va + c->box[a->peer] + (seq - 1) % c->boxes.slots * slot;

	wait_for(e, coll_pair_va(c, a->peer) + offsetof(struct coll_pair, came), seq);
	if (a->kind == COLL_ACT_RECV)
		snpu_prep_copy(e->at++, dst, from, count * e->esize);
	else
		snpu_prep_eltwise(e->at++, elt_of[e->redop], e->dtype, dst, src, from, count);
	acknowledge(e, peer, seq);
}

static void average(struct emit *e, uint64_t dst, uint64_t src, uint64_t count)
{
	unsigned int n = e->c->topo.n;

	if (e->dtype == SNPU_DT_I8 || e->dtype == SNPU_DT_I32 || e->dtype == SNPU_DT_I64)
		snpu_prep_div(e->at++, e->dtype, dst, src, n, count);
	else
		snpu_prep_scale(e->at++, e->dtype, dst, src, 1.0f / (float)n, count);
}

static int emit_piece(void *arg, const struct coll_act *a, uint64_t off, uint64_t count)
{
	struct emit *e = arg;
	uint64_t dst = e->va[a->dst] + (a->dst_off + off) * e->esize;
	uint64_t src = e->va[a->a] + (a->a_off + off) * e->esize;

	switch (a->kind) {
	case COLL_ACT_SEND:
		send_piece(e, a, src, count * e->esize);
		break;
	case COLL_ACT_COPY:
		if (dst == src)
			snpu_prep_nop(e->at++);
		else
			snpu_prep_copy(e->at++, dst, src, count * e->esize);
		break;
	case COLL_ACT_AVG:
		average(e, dst, src, count);
		break;
	case COLL_ACT_FETCH:
		snpu_prep_copy(e->at++, dst, there(e, a), count * e->esize);
		break;
	case COLL_ACT_PULL:
		snpu_prep_eltwise(e->at++, elt_of[e->redop], e->dtype, dst,
				  e->va[a->own] + a->dst_off * e->esize, there(e, a), count);
		break;
	case COLL_ACT_FOLD:
		fold(e, a, dst, count);
		break;
	case COLL_ACT_SPREAD:
		spread(e, a, src, count * e->esize);
		break;
	case COLL_ACT_POST:
		post(e, a->peer);
		break;
	case COLL_ACT_AWAIT:
		await(e, a->peer);
		break;
	default:
		take_piece(e, a, dst, src, count);
	}
	return 0;
}

/* Another ring entry: for programs longer than what one INDIRECT packet runs */
static int more(struct snpu_coll *c, struct snpu_queue *q, union snpu_pkt **p)
{
	const uint64_t limit = c->params.timeout_ns ? c->params.timeout_ns : SNPU_FOREVER;
	uint64_t position;
	int ret = 0;

	while (!ret && !(*p = snpu_queue_get(q))) {
		ret = snpu_queue_submit(q, &position);
		if (!ret)
			ret = snpu_queue_wait(q, snpu_queue_completed(q) + 1, limit);
	}
	return ret ? coll_fail_snpu(ret, "rank %u: ring entries", c->rank) : 0;
}

/* Has the queue run @n recorded packets, the first of them by its packet @p */
static int put(struct snpu_coll *c, struct snpu_queue *q, union snpu_pkt *p,
	       const struct coll_block *b, uint64_t n)
{
	uint64_t from, len;
	int ret;

	for (from = 0; from < n; from += len) {
		len = n - from < SNPU_MAX_IB_PKTS ? n - from : SNPU_MAX_IB_PKTS;
		ret = from ? more(c, q, &p) : 0;
		if (ret)
			return ret;
		snpu_prep_indirect(p, snpu_mem_va(b->mem) + from * SNPU_PKT_BYTES, (uint32_t)len);
	}
	return 0;
}

static int connect_all(struct snpu_coll *c, const struct coll_prog *p, const struct coll_reg *reg)
{
	uint32_t i;
	int ret = 0;

	for (i = 0; i < p->n && !ret; i++) {
		const struct coll_act *a = &p->act[i];

		if (a->kind == COLL_ACT_FETCH || a->kind == COLL_ACT_PULL)
			ret = coll_window_connect(c, reg[a->a].win, a->peer);
		else if (a->kind == COLL_ACT_FOLD)
			ret = coll_window_list(c, reg[a->a].win);
		else if (a->kind == COLL_ACT_SPREAD)
			ret = coll_window_list(c, reg[a->dst].win);
		else if (a->kind != COLL_ACT_COPY && a->kind != COLL_ACT_AVG)
			ret = coll_connect(c, a->peer);
	}
	return ret;
}

int coll_emit(struct snpu_coll *c, struct snpu_queue *q, struct coll_prog *p,
	      const uint64_t *va, const struct coll_reg *reg, unsigned int dtype,
	      unsigned int esize, unsigned int redop)
{
	struct emit e = { .c = c, .reg = reg, .dtype = dtype, .esize = esize, .redop = redop };
	uint64_t own[COLL_BUFS] = { va[COLL_SEND], va[COLL_RECV] };
	struct coll_block *b;
	union snpu_pkt *first;
	int ret;

	if (!p->n)
		return 0;
	ret = connect_all(c, p, reg);
	if (!ret && p->tmp)
		ret = coll_tmp(c, p->tmp * esize, &own[COLL_TMP]);
	if (ret)
		return ret;
	e.va = own;
	coll_walk(p, &c->boxes, &c->topo, c->rank, esize, count_piece, &e);
	ret = block_get(c, e.pkts + FRAME_PKTS, &b);
	if (ret)
		return ret;
	first = snpu_queue_get(q);
	if (!first)
		return coll_fail(-EAGAIN, "rank %u: the ring of the queue is full", c->rank);
	/* nothing fails from here on: the peers count on these pieces */
	e.at = b->pkt;
	if (c->last_q && c->last_q != q)
		wait_for(&e, c->va + offsetof(struct coll_head, done), c->ops);
	coll_walk(p, &c->boxes, &c->topo, c->rank, esize, emit_piece, &e);
	snpu_prep_wait(e.at++, c->va + offsetof(struct coll_head, abort), 0, SNPU_SEM_EQ, 1);
	b->op = ++c->ops;
	snpu_prep_signal(e.at++, c->va + offsetof(struct coll_head, done), c->ops, SNPU_SEM_SET);
	c->last_q = q;
	ret = put(c, q, first, b, (uint64_t)(e.at - b->pkt));
	if (!ret)
		coll_watch_kick(c, q);
	return ret;
}
