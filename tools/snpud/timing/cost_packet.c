// SPDX-License-Identifier: MIT
/* Cost of packets: which resources each takes, and how much. */
#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "snpu_hw.h"
#include "timing/cost_priv.h"

#define VECTOR_SHARE	16.0	/* vector units, of the bf16 matrix rate; assumed */

void snpu_cost_use(struct snpu_activity *a, uint32_t res, double weight)
{
	uint32_t i;

	for (i = 0; i < a->num_uses; i++) {
		if (a->uses[i].res == res) {
			a->uses[i].weight += weight;
			return;
		}
	}
	if (weight > 0)
		a->uses[a->num_uses++] = (struct snpu_mm_use){ res, weight };
}

/* @weight of the work takes @kind of @node; @die: 0: all dies, n: die n - 1 */
void snpu_cost_use_node(const struct snpu_cost *c, struct snpu_activity *a, uint32_t node,
			uint32_t die, uint32_t kind, double weight)
{
	uint32_t d;

	for (d = 0; d < c->t->dies; d++) {
		if (!die)
			snpu_cost_use(a, ep_res(c, snpu_topo_die(c->t, node, d), kind),
				      weight / c->t->dies);
		else if (d == die - 1)
			snpu_cost_use(a, ep_res(c, snpu_topo_die(c->t, node, d), kind), weight);
	}
}

/* Rows that a row operation handles one by one, 0: it is none */
static double rows_of(const struct snpu_plog_rec *r)
{
	switch (r->op) {
	case SNPU_OP_REDUCE_SUM:
	case SNPU_OP_SOFTMAX:
	case SNPU_OP_RMSNORM:
	case SNPU_OP_ARGMAX:
		return r->m;
	case SNPU_OP_GATHER:
		/* it reads an index of 4 bytes for each row beside what it writes */
		return r->bytes_read > r->bytes_written ?
		       (double)(r->bytes_read - r->bytes_written) / 4 : 0;
	default:
		return 0;
	}
}

/* Seconds of the vector cores of @dies dies */
static double vector_time(const struct snpu_cost *c, const struct snpu_plog_rec *r, double dies)
{
	double share = dies / c->t->dies, cores = c->t->profile->npu.vector_cores.value * share;
	double s = (double)r->flops * VECTOR_SHARE / (snpu_cost_peak(c, SNPU_DT_BF16) * share);

	return cores > 0 ? s + rows_of(r) * c->p.row / cores : s;
}

static double matrix_time(const struct snpu_cost *c, const struct snpu_plog_rec *r, double dies)
{
	if (r->op == SNPU_OP_ATTENTION)
		return (double)r->flops * c->t->dies /
		       (snpu_cost_peak(c, r->dtype) * dies * c->p.attention_eff);
	return snpu_cost_matmul(c, r->dtype, r->m, r->n, r->k, r->groups, dies);
}

int snpu_cost_packet(const struct snpu_cost *c, const struct snpu_plog_rec *r,
		     struct snpu_activity *a)
{
	bool matrix = r->op == SNPU_OP_MATMUL || r->op == SNPU_OP_ATTENTION;
	bool copy = r->op == SNPU_OP_COPY || r->op == SNPU_OP_COPY2D ||
		    r->op == SNPU_OP_REDUCE_ADD;
	bool data = copy || r->op == SNPU_OP_FILL ||
		    (r->op >= SNPU_OP_MATMUL && r->op <= SNPU_OP_ATTENTION);
	bool reads = r->read_node != SNPU_PLOG_NO_NODE && r->read_node != r->node;
	bool writes = r->write_node != SNPU_PLOG_NO_NODE && r->write_node != r->node;
	bool src_far = reads || (r->host_mem & SNPU_PLOG_HOST_READ);
	bool dst_far = writes || (r->host_mem & SNPU_PLOG_HOST_WRITE);
	uint32_t n = c->t->nodes;
	bool multi = snpu_cost_is_multi(r);
	double bytes, local, s, dies;

	if (multi ? !snpu_cost_multi_ok(c, r) : r->sem_kind && r->sem_node >= n)
		return -EINVAL;
	if (r->node >= n || (reads && r->read_node >= n) || (writes && r->write_node >= n) ||
	    r->die > c->t->dies)
		return -EINVAL;
	/* uses have room for the worst packet: most take few of them, so they are left as they are */
	memset(a, 0, offsetof(struct snpu_activity, uses));
	a->issue = snpu_cost_ps(c->p.issue);
	a->limit = INFINITY;
	if (r->op == SNPU_OP_CLOCK || r->op == SNPU_OP_INDIRECT || r->op == SNPU_OP_SEM_WAIT)
		a->issue = 0;
	a->async = copy || r->op == SNPU_OP_SEM_SIGNAL;
	if ((r->op == SNPU_OP_SEM_SIGNAL || r->op == SNPU_OP_ATOMIC) && r->sem_kind &&
	    (r->sem_node != r->node || r->sem_host))
		a->after = snpu_cost_ps(snpu_cost_latency(c, r->node, r->sem_node,
							  SNPU_PATH_WRITE, r->sem_host));
	if (multi)
		snpu_cost_multi(c, r, a, NULL);
	if (!data)
		return 0;
	a->before = copy || r->op == SNPU_OP_FILL ? snpu_cost_ps(c->p.issue) :
		    snpu_cost_ps(c->p.launch);
	bytes = (double)(r->bytes_read > r->bytes_written ? r->bytes_read : r->bytes_written);
	local = (src_far ? 0 : (double)r->bytes_read) + (dst_far ? 0 : (double)r->bytes_written);
	dies = r->die ? 1 : c->t->dies;
	/* bytes are the unit of work; a packet without any counts its operations */
	a->work = bytes > 0 ? bytes : (double)r->flops;
	if (a->work <= 0)
		return 0;
	if (local > 0)
		snpu_cost_use_node(c, a, r->node, r->die, HBM, local / a->work);
	if (copy || r->op == SNPU_OP_FILL) {
		snpu_cost_use_node(c, a, r->node, r->die, DMA, 1);
	} else {
		s = matrix ? matrix_time(c, r, dies) : vector_time(c, r, dies);
		if (s > 0)
			snpu_cost_use_node(c, a, r->node, r->die, matrix ? MATRIX : VECTOR,
					   s * dies / a->work);
	}
	if (src_far || dst_far) {
		a->bytes = (uint64_t)bytes;
		snpu_cost_transfer(c, r, a);
	}
	if (!a->num_uses)
		a->work = 0;
	return 0;
}
