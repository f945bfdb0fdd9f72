// SPDX-License-Identifier: MIT
/* snpu-bench coll: one size of one operation, in wall-clock and virtual time. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "coll.h"

#define LIMIT_NS	(600ull * 1000 * 1000 * 1000)

/* Elements of a rank's buffer */
uint64_t coll_elems(const struct coll_world *w, unsigned int op, uint64_t count, bool out)
{
	bool all = op == SNPU_COLL_ALL_TO_ALL ||
		   op == (out ? SNPU_COLL_ALL_GATHER : SNPU_COLL_REDUCE_SCATTER);

	return count * (all ? w->total : 1);
}

static int record(struct coll_world *w, struct coll_rank *r, const struct coll_case *c)
{
	const struct coll_opts *o = w->o;
	const uint64_t own = snpu_coll_rank(r->comm) * c->count * snpu_dtype_size(o->dtype);
	uint64_t send = snpu_mem_va(r->mem[0]);
	uint64_t recv = snpu_mem_va(o->in_place ? r->mem[0] : r->mem[1]);

	switch (c->op) {
	case SNPU_COLL_ALL_REDUCE:
		return snpu_coll_all_reduce(r->comm, r->q, send, recv, c->count, o->dtype,
					    o->redop);
	case SNPU_COLL_REDUCE_SCATTER:
		return snpu_coll_reduce_scatter(r->comm, r->q, send, recv + o->in_place * own,
						c->count, o->dtype, o->redop);
	case SNPU_COLL_ALL_GATHER:
		return snpu_coll_all_gather(r->comm, r->q, send + o->in_place * own, recv,
					    c->count, o->dtype);
	case SNPU_COLL_BROADCAST:
		return snpu_coll_broadcast(r->comm, r->q, send, recv, c->count, o->dtype, o->root);
	case SNPU_COLL_REDUCE:
		return snpu_coll_reduce(r->comm, r->q, send, recv, c->count, o->dtype, o->redop,
					o->root);
	case SNPU_COLL_ALL_TO_ALL:
		return snpu_coll_all_to_all(r->comm, r->q, send, recv, c->count, o->dtype);
	default:
		return snpu_coll_barrier(r->comm, r->q);
	}
}

/* Why a queue does not go on: that of the rank, or what broke the communicator */
static int say(struct coll_world *w, unsigned int i, int ret)
{
	int err = snpu_coll_async_error(w->rank[i].comm);

	fprintf(stderr, "snpu-bench: coll: rank %u: %s\n  %s\n", w->o->base + i,
		strerror(err ? -err : -ret), snpu_last_error());
	return ret;
}

/* @n operations, one behind the other */
static int batch(struct coll_world *w, const struct coll_case *c, unsigned int n, uint64_t *ns)
{
	uint64_t start = bench_now();
	unsigned int i, k;
	int ret;

	for (k = 0; k < n; k++) {
		for (i = 0; i < w->n; i++) {
			struct coll_rank *r = &w->rank[i];

			ret = record(w, r, c);
			if (ret)
				return coll_fail_why(ret, snpu_coll_op_name(c->op));
			ret = snpu_queue_submit(r->q, &r->last);
			if (ret)
				return say(w, i, ret);
			if (!k)
				r->first = r->last;
		}
	}
	for (i = 0; i < w->n; i++) {
		ret = snpu_queue_wait(w->rank[i].q, w->rank[i].last, LIMIT_NS);
		if (ret)
			return say(w, i, ret);
	}
	*ns = bench_now() - start;
	return 0;
}

/* From the first operation's begin to the last one's end; 0: the machine keeps no virtual time */
static int virtual_ns(struct coll_world *w, double *ns)
{
	uint64_t begin = UINT64_MAX, end = 0;
	struct snpu_vtime vt;
	unsigned int i;
	int ret = 0;

	*ns = 0;
	for (i = 0; i < w->n && !ret; i++) {
		struct coll_rank *r = &w->rank[i];

		ret = snpu_queue_vtime(r->q, r->first, LIMIT_NS, &vt, sizeof(vt));
		if (ret)
			break;
		begin = vt.begin < begin ? vt.begin : begin;
		ret = snpu_queue_vtime(r->q, r->last, LIMIT_NS, &vt, sizeof(vt));
		end = vt.end > end ? vt.end : end;
	}
	if (ret == -EOPNOTSUPP && !w->o->timing)
		return 0;
	if (ret)
		return bench_fail(ret, "coll: virtual time");
	if (end == SNPU_VTIME_NEVER)
		return bench_fail(-ERANGE, "coll: an operation never ends in virtual time");
	*ns = (double)(end - begin);
	return 0;
}

/* Operands, and results that are none */
static void prepare(struct coll_world *w, const struct coll_case *c)
{
	const unsigned int esize = (unsigned int)snpu_dtype_size(w->o->dtype);
	const uint64_t in = coll_elems(w, c->op, c->count, false) * esize;
	const uint64_t out = coll_elems(w, c->op, c->count, true) * esize;
	unsigned int i;

	for (i = 0; i < w->n; i++) {
		unsigned int rank = w->o->base + i;
		uint64_t at = w->o->in_place && c->op == SNPU_COLL_ALL_GATHER ? rank * in : 0;

		if (!w->o->in_place)
			memset(w->rank[i].ptr[1], 0x5a, out);
		memcpy(w->rank[i].ptr[0] + at, coll_input(w, rank), in);
	}
}

/**
 * coll_run - measures one size of one operation, and checks its results
 * @w: ranks
 * @c: operation, count and size; receives times and wrong elements
 *
 * Return: 0 or a negative errno, said on stderr
 */
int coll_run(struct coll_world *w, struct coll_case *c)
{
	const struct coll_case barrier = { .op = SNPU_COLL_BARRIER };
	const bool data = !w->o->timing && c->op != SNPU_COLL_BARRIER;
	uint64_t ns;
	int ret;

	if (data)
		prepare(w, c);
	ret = w->o->warmup ? batch(w, c, w->o->warmup, &ns) : 0;
	/* nobody begins early */
	if (!ret)
		ret = batch(w, &barrier, 1, &ns);
	if (!ret)
		ret = batch(w, c, w->o->iters, &ns);
	if (ret)
		return ret;
	c->wall_ns = (double)ns / w->o->iters;
	ret = virtual_ns(w, &c->virt_ns);
	c->virt_ns /= w->o->iters;
	c->wrong = UINT64_MAX;
	if (ret || !data || !w->o->check)
		return ret;
	/* in place, what was measured has gone over its own results */
	if (w->o->in_place) {
		prepare(w, c);
		ret = batch(w, c, 1, &ns);
	}
	return ret ? ret : coll_check_results(w, c);
}
