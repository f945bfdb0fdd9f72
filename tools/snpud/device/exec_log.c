// SPDX-License-Identifier: MIT
/* What the packet log gets to know of a packet that was executed. */
#include <string.h>

#include "exec_priv.h"

static uint32_t saturated(uint64_t v)
{
	return v < UINT32_MAX ? (uint32_t)v : UINT32_MAX;
}

/* What the cost of a packet depends on beside its bytes */
static void log_shape(struct snpu_plog_rec *r, const struct snpu_cur *x)
{
	const union snpu_pkt *p = &x->pkt;

	r->die = x->q->die;
	r->timing_only = x->q->timing;
	r->arg = p->hdr.arg;
	r->host_mem = x->host_mem;
	r->groups = 1;
	switch (p->hdr.op) {
	case SNPU_OP_MATMUL:
		r->m = p->matmul.m;
		r->n = p->matmul.n;
		r->k = p->matmul.k;
		r->groups = p->hdr.arg ? p->hdr.arg : 1;
		break;
	case SNPU_OP_ATTENTION:
		r->m = p->attention.rows;
		r->n = p->attention.len;
		r->k = p->attention.dk;
		r->groups = p->attention.batch;
		r->aux = p->attention.dv;
		break;
	case SNPU_OP_REDUCE_SUM:
	case SNPU_OP_SOFTMAX:
	case SNPU_OP_RMSNORM:
	case SNPU_OP_ARGMAX:
		r->m = p->rows.rows;
		r->n = p->rows.cols;
		break;
	case SNPU_OP_ELTWISE:
		r->m = saturated(p->eltwise.count);
		break;
	case SNPU_OP_CONVERT:
		r->m = saturated(p->convert.count);
		break;
	case SNPU_OP_ACT:
		r->m = saturated(p->act.count);
		break;
	case SNPU_OP_CLOCK:
		r->clock = p->misc.addr;
		break;
	case SNPU_OP_REDUCE_PULL:
	case SNPU_OP_MULTICAST:
		memcpy(r->set, x->set, sizeof(r->set));
		r->arg = p->multi.num;
		break;
	}
}

void snpu_exec_log(struct snpu_cur *x, uint32_t sub)
{
	static const uint8_t kinds[2][2] = {
		{ SNPU_PLOG_SEM_SET, SNPU_PLOG_SEM_ADD },
		{ SNPU_PLOG_SEM_GE, SNPU_PLOG_SEM_EQ },
	};
	const struct snpu_pkt_hdr *h = &x->pkt.hdr;
	struct snpu_queue *q = x->q;
	struct snpu_plog_rec *r;

	/* no other op may have this flag */
	if (h->flags & SNPU_PF_UNTIMED)
		return;
	r = snpu_plog_add(x->w->plog);
	r->node = q->npu->node;
	r->queue = (uint16_t)q->id;
	r->op = h->op;
	r->flags = h->flags;
	r->epoch = q->epoch;
	r->sub = sub;
	r->seq = q->head;
	r->dtype = h->dtype;
	r->dtype2 = h->dtype2;
	r->read_node = x->read_node;
	r->write_node = x->write_node;
	r->sem_node = SNPU_PLOG_NO_NODE;
	r->bytes_read = x->work.bytes_read;
	r->bytes_written = x->work.bytes_written;
	r->flops = x->work.flops;
	if (h->op == SNPU_OP_SEM_SIGNAL || h->op == SNPU_OP_SEM_WAIT) {
		r->sem_kind = kinds[h->op == SNPU_OP_SEM_WAIT][h->arg & 1];
		r->sem_host = x->sem.aperture == SNPU_APERTURE_HOST;
		r->sem_node = x->sem.node;
		r->sem_addr = x->sem.addr;
		r->sem_value = x->pkt.sem.value;
	} else if (snpu_exec_signals(&x->pkt)) {
		r->sem_kind = kinds[0][h->arg & 1];
		r->sem_host = x->sem.aperture == SNPU_APERTURE_HOST;
		r->sem_node = x->sem.node;
		r->sem_addr = x->sem.addr;
		r->sem_value = x->pkt.copy.sem_value;
	} else if (h->op == SNPU_OP_ATOMIC) {
		r->sem_kind = x->cas_failed ? SNPU_PLOG_SEM_NONE :
			      kinds[0][h->arg == SNPU_ATOMIC_ADD];
		r->sem_host = x->sem.aperture == SNPU_APERTURE_HOST;
		r->sem_node = x->sem.node;
		r->sem_addr = x->sem.addr;
		r->sem_value = x->pkt.atomic.operand;
	}
	if (r->sem_kind && !r->sem_host)
		r->sem_gen = snpu_semgen_of(snpu_machine_node(q->npu->m, r->sem_node),
					    r->sem_addr);
	log_shape(r, x);
}
