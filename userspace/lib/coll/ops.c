// SPDX-License-Identifier: MIT
/* The operations: arguments, the rank's program, its packets. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "coll.h"

#define SWITCH_PIECE	(256ull << 10)	/* bytes, by default */

/* What the call was, for messages and for the generators */
struct op {
	unsigned int op;
	uint64_t send;
	uint64_t recv;
	uint64_t count;
	unsigned int dtype;
	unsigned int redop;
	unsigned int root;
};

static int usable(struct snpu_coll *c, struct snpu_queue *q, const char *what)
{
	char call[48];
	int err;

	if (!c || !q)
		return coll_fail(-EINVAL, "snpu_coll_%s: communicator or queue is NULL", what);
	if (coll_forked(c)) {
		snprintf(call, sizeof(call), "snpu_coll_%s", what);
		return coll_own(c, call);
	}
	if (snpu_queue_ctx(q) != c->ctx)
		return coll_fail(-EINVAL, "snpu_coll_%s: the queue is not of rank %u's context",
				 what, c->rank);
	err = snpu_coll_async_error(c);
	if (err)
		return coll_fail(err, "snpu_coll_%s: rank %u: the communicator is broken: %s", what,
				 c->rank, strerror(-err));
	return 0;
}

/* The same for an operation that all ranks call */
static int usable_by_all(struct snpu_coll *c, struct snpu_queue *q, const char *what)
{
	int ret = usable(c, q, what);

	if (ret || !coll_left_early(c, c->colls + 1))
		return ret;
	coll_break(c, -ECONNRESET);
	return coll_fail(-ECONNRESET, "snpu_coll_%s: rank %u: a rank was destroyed after fewer "
			 "operations than the %llu of this one", what, c->rank,
			 (unsigned long long)c->colls + 1);
}

/*
 * Such an operation was recorded. A rank that leaves sets its mark and then reads the count, here
 * the count is set before the mark is read: one of the two finds out that the other goes without.
 */
static void called(struct snpu_coll *c)
{
	__atomic_store_n(&c->head->colls, ++c->colls, __ATOMIC_SEQ_CST);
	if (coll_left_early(c, c->colls))
		coll_break(c, -ECONNRESET);
}

static int aligned(const struct snpu_coll *c, const struct op *o, unsigned int esize)
{
	if ((o->send | o->recv) & (esize - 1))
		return coll_fail(-EINVAL, "snpu_coll_%s: rank %u: buffers 0x%llx, 0x%llx: not "
				 "aligned to %u", snpu_coll_op_name(o->op), c->rank,
				 (unsigned long long)o->send, (unsigned long long)o->recv, esize);
	return 0;
}

/* Is the send buffer the part of the receive buffer (or the other way round) that is its own? */
static bool in_place(const struct snpu_coll *c, const struct op *o, unsigned int esize)
{
	uint64_t own = c->rank * o->count * esize;

	switch (o->op) {
	case SNPU_COLL_REDUCE_SCATTER:
		return o->recv == o->send + own;
	case SNPU_COLL_ALL_GATHER:
		return o->send == o->recv + own;
	default:
		return o->send == o->recv;
	}
}

/* Are the buffers registered that others read or write? What is gathered from is copied first */
static bool windows(struct snpu_coll *c, const struct op *o, unsigned int esize,
		    struct coll_reg *reg)
{
	uint64_t bytes = coll_bytes(o->op, c->topo.n, o->count, esize);

	reg[COLL_RECV].win = coll_window_of(c, o->recv, bytes, &reg[COLL_RECV].off);
	if (o->op == SNPU_COLL_ALL_GATHER || o->op == SNPU_COLL_BROADCAST)
		return reg[COLL_RECV].win;
	reg[COLL_SEND].win = coll_window_of(c, o->send, bytes, &reg[COLL_SEND].off);
	return reg[COLL_SEND].win && (reg[COLL_RECV].win || o->op == SNPU_COLL_REDUCE_SCATTER);
}

static int run_op(struct snpu_coll *c, struct snpu_queue *q, const struct op *o, const char *name)
{
	unsigned int esize = (unsigned int)snpu_dtype_size(o->dtype);
	uint64_t va[COLL_BUFS] = { o->send, o->recv };
	struct coll_reg reg[COLL_BUFS] = { { 0 } };
	struct coll_prog prog = { 0 };
	struct coll_job j;
	bool registered;
	int ret;

	ret = usable_by_all(c, q, name);
	if (!ret)
		ret = coll_check(o->op, o->dtype, o->redop, c->topo.n, o->root, o->count);
	if (!ret && o->op != SNPU_COLL_BARRIER)
		ret = aligned(c, o, esize);
	if (ret)
		return ret;
	if (o->op == SNPU_COLL_BARRIER)
		esize = 1;
	j = (struct coll_job) {
		.topo = &c->topo, .rank = c->rank, .op = o->op, .redop = o->redop, .root = o->root,
		.count = o->count, .piece = coll_piece_both(&c->boxes) / esize,
		.switch_piece = (c->params.slot_bytes ? c->params.slot_bytes : SWITCH_PIECE) /
				esize,
		.in_place = in_place(c, o, esize),
	};
	registered = c->wins && windows(c, o, esize, reg);
	j.algo = coll_choose(&c->topo, &c->boxes, o->op, c->params.algo,
			     coll_bytes(o->op, c->topo.n, o->count, esize),
			     registered ? coll_with(c) : c->wins ? COLL_HAS_WINDOWS : 0);
	if (coll_pull_fits(&j) && registered)
		coll_pull(&prog, &j, esize);
	else
		coll_build(&prog, &j);
	ret = prog.oom ? -ENOMEM : 0;
	if (ret)
		coll_fail(ret, "snpu_coll_%s: program of rank %u", name, c->rank);
	else
		ret = coll_emit(c, q, &prog, va, reg, o->dtype, esize, o->redop);
	if (!ret)
		called(c);
	coll_prog_free(&prog);
	return ret;
}

static int run(struct snpu_coll *c, struct snpu_queue *q, const struct op *o)
{
	const char *name = snpu_coll_op_name(o->op);
	int ret = run_op(c, q, o, name);
	char call[40];

	if (!ret)
		return 0;
	snprintf(call, sizeof(call), "snpu_coll_%s", name);
	return coll_fail_in(call, ret);
}

/**
 * snpu_coll_all_reduce() - everyone gets the reduction of all vectors
 * @c: communicator
 * @q: queue of its context
 * @send: own vector
 * @recv: result, may be @send
 * @count: elements
 * @dtype: SNPU_DT_*
 * @redop: SNPU_COLL_SUM...
 *
 * Return: 0; -EINVAL; -EAGAIN; -ENOMEM; what snpu_coll_async_error() gives.
 */
COLL_EXPORT int snpu_coll_all_reduce(struct snpu_coll *c, struct snpu_queue *q, uint64_t send,
				     uint64_t recv, uint64_t count, unsigned int dtype,
				     unsigned int redop)
{
	struct op o = { SNPU_COLL_ALL_REDUCE, send, recv, count, dtype, redop, 0 };

	return run(c, q, &o);
}

/**
 * snpu_coll_reduce_scatter() - everyone gets his part of the reduction of all vectors
 * @c: communicator
 * @q: queue of its context
 * @send: own vector, @count elements for each rank
 * @recv: result, @count elements, may be the own part of @send
 * @count: elements of a part
 * @dtype: SNPU_DT_*
 * @redop: SNPU_COLL_SUM...
 *
 * Return: as snpu_coll_all_reduce().
 */
COLL_EXPORT int snpu_coll_reduce_scatter(struct snpu_coll *c, struct snpu_queue *q, uint64_t send,
					 uint64_t recv, uint64_t count, unsigned int dtype,
					 unsigned int redop)
{
	struct op o = { SNPU_COLL_REDUCE_SCATTER, send, recv, count, dtype, redop, 0 };

	return run(c, q, &o);
}

/**
 * snpu_coll_all_gather() - everyone gets the vectors of all, by rank
 * @c: communicator
 * @q: queue of its context
 * @send: own vector, may be its place in @recv
 * @recv: result, @count elements of each rank
 * @count: elements of a vector
 * @dtype: SNPU_DT_*
 *
 * Return: as snpu_coll_all_reduce().
 */
COLL_EXPORT int snpu_coll_all_gather(struct snpu_coll *c, struct snpu_queue *q, uint64_t send,
				     uint64_t recv, uint64_t count, unsigned int dtype)
{
	struct op o = { SNPU_COLL_ALL_GATHER, send, recv, count, dtype, 0, 0 };

	return run(c, q, &o);
}

/**
 * snpu_coll_broadcast() - everyone gets the root's vector
 * @c: communicator
 * @q: queue of its context
 * @send: the root's vector; of others, not used
 * @recv: result, may be @send
 * @count: elements
 * @dtype: SNPU_DT_*
 * @root: rank
 *
 * Return: as snpu_coll_all_reduce().
 */
COLL_EXPORT int snpu_coll_broadcast(struct snpu_coll *c, struct snpu_queue *q, uint64_t send,
				    uint64_t recv, uint64_t count, unsigned int dtype,
				    unsigned int root)
{
	struct op o = { SNPU_COLL_BROADCAST, send, recv, count, dtype, 0, root };

	return run(c, q, &o);
}

/**
 * snpu_coll_reduce() - the root gets the reduction of all vectors
 * @c: communicator
 * @q: queue of its context
 * @send: own vector
 * @recv: result on the root, may be @send; of others, not used
 * @count: elements
 * @dtype: SNPU_DT_*
 * @redop: SNPU_COLL_SUM...
 * @root: rank
 *
 * Return: as snpu_coll_all_reduce().
 */
COLL_EXPORT int snpu_coll_reduce(struct snpu_coll *c, struct snpu_queue *q, uint64_t send,
				 uint64_t recv, uint64_t count, unsigned int dtype,
				 unsigned int redop, unsigned int root)
{
	struct op o = { SNPU_COLL_REDUCE, send, recv, count, dtype, redop, root };

	return run(c, q, &o);
}

/**
 * snpu_coll_all_to_all() - part s of rank r's vector becomes part r of rank s's
 * @c: communicator
 * @q: queue of its context
 * @send: own vector, @count elements for each rank
 * @recv: result, @count elements of each rank
 * @count: elements of a part
 * @dtype: SNPU_DT_*
 *
 * Return: as snpu_coll_all_reduce().
 */
COLL_EXPORT int snpu_coll_all_to_all(struct snpu_coll *c, struct snpu_queue *q, uint64_t send,
				     uint64_t recv, uint64_t count, unsigned int dtype)
{
	struct op o = { SNPU_COLL_ALL_TO_ALL, send, recv, count, dtype, 0, 0 };

	if (send == recv && count)
		return coll_fail(-EINVAL, "snpu_coll_all_to_all: not in place");
	return run(c, q, &o);
}

/**
 * snpu_coll_barrier() - later packets run when everyone has come here
 * @c: communicator
 * @q: queue of its context
 *
 * Return: as snpu_coll_all_reduce().
 */
COLL_EXPORT int snpu_coll_barrier(struct snpu_coll *c, struct snpu_queue *q)
{
	struct op o = { .op = SNPU_COLL_BARRIER };

	return run(c, q, &o);
}

/* ---- what need not be the same on all ranks: counted in bytes, offsets are addresses ---- */

static int run_bytes(struct snpu_coll *c, struct snpu_queue *q, struct coll_prog *p,
		     const char *name)
{
	const uint64_t va[COLL_BUFS] = { 0 };
	int ret;

	ret = p->oom ? coll_fail(-ENOMEM, "snpu_coll_%s", name) :
		       coll_emit(c, q, p, va, NULL, SNPU_DT_I8, 1, 0);
	coll_prog_free(p);
	return ret;
}

/* A part of a vector, whose end must be an address */
static int check_part(const struct snpu_coll *c, const char *what, unsigned int peer,
		      uint64_t count, uint64_t displ, uint64_t esize)
{
	const uint64_t most = (1ull << SNPU_VA_BITS) / esize;

	if (count > SNPU_MAX_ELEMS)
		return coll_fail(-EINVAL, "snpu_coll_all_to_allv: rank %u: %s_counts[%u] is %llu: "
				 "0 to %llu elements", c->rank, what, peer,
				 (unsigned long long)count, (unsigned long long)SNPU_MAX_ELEMS);
	if (displ > most - count)
		return coll_fail(-EINVAL, "snpu_coll_all_to_allv: rank %u: %s_displs[%u] is %llu: "
				 "0 to %llu elements", c->rank, what, peer,
				 (unsigned long long)displ, (unsigned long long)(most - count));
	return 0;
}

/**
 * snpu_coll_all_to_allv() - all-to-all with parts of any size
 * @c: communicator
 * @q: queue of its context
 * @send: own vector
 * @send_counts: elements for each rank, up to SNPU_MAX_ELEMS
 * @send_displs: where in @send they begin, elements; up to the end of the address space
 * @recv: result
 * @recv_counts: elements from each rank: what that has in its @send_counts for this one
 * @recv_displs: where in @recv they go
 * @dtype: SNPU_DT_*
 *
 * Return: as snpu_coll_all_reduce(). The arrays are not needed any more on return.
 */
COLL_EXPORT int snpu_coll_all_to_allv(struct snpu_coll *c, struct snpu_queue *q, uint64_t send,
				      const uint64_t *send_counts, const uint64_t *send_displs,
				      uint64_t recv, const uint64_t *recv_counts,
				      const uint64_t *recv_displs, unsigned int dtype)
{
	struct coll_prog p = { 0 };
	unsigned int s, to, from;
	uint64_t e;
	int ret;

	ret = usable_by_all(c, q, "all_to_allv");
	if (ret)
		return ret;
	if (!send_counts || !send_displs || !recv_counts || !recv_displs)
		return coll_fail(-EINVAL, "snpu_coll_all_to_allv: an array is NULL");
	ret = coll_check(SNPU_COLL_ALL_TO_ALL, dtype, 0, c->topo.n, 0, 0);
	if (ret)
		return coll_fail_in("snpu_coll_all_to_allv", ret);
	e = snpu_dtype_size(dtype);
	for (s = 0; s < c->topo.n && !ret; s++) {
		ret = check_part(c, "send", s, send_counts[s], send_displs[s], e);
		if (!ret)
			ret = check_part(c, "recv", s, recv_counts[s], recv_displs[s], e);
	}
	if (ret)
		return ret;
	if (send_counts[c->rank] != recv_counts[c->rank])
		return coll_fail(-EINVAL, "snpu_coll_all_to_allv: rank %u sends itself %llu "
				 "elements, but expects %llu", c->rank,
				 (unsigned long long)send_counts[c->rank],
				 (unsigned long long)recv_counts[c->rank]);
	coll_put_copy(&p, COLL_RECV, recv + recv_displs[c->rank] * e, COLL_SEND,
		      send + send_displs[c->rank] * e, send_counts[c->rank] * e);
	for (s = 1; s < c->topo.n; s++) {
		to = (c->rank + s) % c->topo.n;
		from = (c->rank + c->topo.n - s) % c->topo.n;
		coll_next(&p);
		coll_put_send(&p, to, COLL_SEND, send + send_displs[to] * e, send_counts[to] * e);
		coll_put_recv(&p, from, COLL_RECV, recv + recv_displs[from] * e,
			      recv_counts[from] * e);
	}
	ret = run_bytes(c, q, &p, "all_to_allv");
	if (!ret)
		called(c);
	return ret ? coll_fail_in("snpu_coll_all_to_allv", ret) : 0;
}

static int p2p(struct snpu_coll *c, struct snpu_queue *q, bool send, uint64_t buf, uint64_t count,
	       unsigned int dtype, unsigned int peer)
{
	const char *call = send ? "snpu_coll_send" : "snpu_coll_recv";
	struct coll_p2p x = { c, q, send, peer, buf, 0 };
	int ret;

	ret = usable(c, q, send ? "send" : "recv");
	if (ret)
		return ret;
	if (peer >= c->topo.n)
		return coll_fail(-EINVAL, "%s: rank %u: peer %u is not 0 to %u", call, c->rank, peer,
				 c->topo.n - 1);
	ret = coll_check(SNPU_COLL_BROADCAST, dtype, 0, c->topo.n, peer, count);
	if (ret)
		return coll_fail_in(call, ret);
	x.bytes = count * snpu_dtype_size(dtype);
	ret = coll_grouped() ? coll_group_p2p(&x) : coll_p2p_run(&x, 1);
	return ret ? coll_fail_in(call, ret) : 0;
}

int coll_p2p_run(const struct coll_p2p *x, size_t n)
{
	struct coll_prog p = { 0 };
	size_t i;
	int ret = coll_own(x->c, "snpu_coll_group_end");

	if (ret)
		return ret;
	for (i = 0; i < n; i++) {
		if (x[i].send)
			coll_put_send(&p, x[i].peer, COLL_SEND, x[i].buf, x[i].bytes);
		else
			coll_put_recv(&p, x[i].peer, COLL_RECV, x[i].buf, x[i].bytes);
	}
	return run_bytes(x->c, x->q, &p, "group_end");
}

/**
 * snpu_coll_send() - to one rank, which calls snpu_coll_recv()
 * @c: communicator
 * @q: queue of its context
 * @buf: data
 * @count: elements
 * @dtype: SNPU_DT_*
 * @peer: rank
 *
 * Return: as snpu_coll_all_reduce().
 */
COLL_EXPORT int snpu_coll_send(struct snpu_coll *c, struct snpu_queue *q, uint64_t buf,
			       uint64_t count, unsigned int dtype, unsigned int peer)
{
	return p2p(c, q, true, buf, count, dtype, peer);
}

/**
 * snpu_coll_recv() - from one rank, which calls snpu_coll_send()
 * @c: communicator
 * @q: queue of its context
 * @buf: where it goes
 * @count: elements: as many as are sent
 * @dtype: SNPU_DT_*
 * @peer: rank
 *
 * Return: as snpu_coll_all_reduce().
 */
COLL_EXPORT int snpu_coll_recv(struct snpu_coll *c, struct snpu_queue *q, uint64_t buf,
			       uint64_t count, unsigned int dtype, unsigned int peer)
{
	return p2p(c, q, false, buf, count, dtype, peer);
}
