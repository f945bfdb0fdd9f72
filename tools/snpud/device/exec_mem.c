// SPDX-License-Identifier: MIT
/*
 * Memory of the packet in hand: addresses of the queue's own space, bytes to and from other NPUs.
 */
#include <string.h>

#include "exec_priv.h"

bool snpu_exec_by_switch(const struct snpu_cur *x)
{
	return x->entry != SNPU_MEM_NO_ENTRY && x->q->npu->m->in_switch;
}

/* Which links a piece takes. With a switch that adds up, or copies, the issuer's only once */
static enum snpu_flow_part part_of(struct snpu_cur *x, bool write)
{
	if (!snpu_exec_by_switch(x))
		return SNPU_FLOW_ALL;
	if (x->shared == SNPU_MEM_NO_ENTRY)
		x->shared = x->entry;
	if (x->shared == x->entry)
		return SNPU_FLOW_ALL;
	return write ? SNPU_FLOW_FROM_SWITCH : SNPU_FLOW_TO_SWITCH;
}

/* A piece of what the packet moves between two NPUs */
unsigned int snpu_exec_move(struct snpu_cur *x, uint64_t va, bool write,
			    const struct snpu_mmu_hit *hit)
{
	struct snpu_queue *q = x->q;
	struct snpu_flow_ends e = { .key = q->head + q->ib_pos, .part = part_of(x, write) };

	if (write) {
		e.src = q->npu->node;
		e.dst = hit->node;
		e.src_die = q->die;
	} else {
		e.src = hit->node;
		e.dst = q->npu->node;
		e.dst_die = q->die;
	}
	return snpu_flow_move(q->npu->m->fabric, &x->flow[write], &e, va, hit->run) ?
	       SNPU_ERR_FABRIC : SNPU_ERR_NONE;
}

/* All of it has moved; what counts is known */
unsigned int snpu_exec_end_flows(struct snpu_cur *x)
{
	struct snpu_fabric *f = x->q->npu->m->fabric;
	unsigned int i, err = SNPU_ERR_NONE;

	for (i = 0; i < 2; i++) {
		if (!x->flow[i].open || !snpu_flow_end(f, &x->flow[i]))
			continue;
		x->fault_va = x->flow[i].va;
		err = SNPU_ERR_FABRIC;
	}
	return err;
}

/*
 * An access to memory that the host has taken away does not fail by itself. The thread that makes
 * it moves bus_gen first, so an access that was not to the host's memory any more is never later
 * than the new value. bus_gen moves for other reasons, too: then nothing of this is lost.
 */
unsigned int snpu_exec_lost(struct snpu_cur *x)
{
	struct snpu_npu *n = x->q->npu;

	/* the access, then the look at bus_gen */
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	if (!x->host_from || snpu_load_acq(&n->bus_gen) == x->q->bus_gen ||
	    !snpu_bus_lost(n, x->host_from, (uint64_t)(x->host_to - x->host_from)))
		return SNPU_ERR_NONE;
	x->fault_va = x->host_va;
	return SNPU_ERR_BUS;
}

unsigned int snpu_exec_resolve(struct snpu_cur *x, uint64_t va, uint64_t len, bool write,
			       struct snpu_mmu_hit *hit)
{
	struct snpu_queue *q = x->q;
	unsigned int err = snpu_mmu_resolve(q, va, len, write, hit);

	/* the issuer's own part passes the switch as well */
	if (!err && ((hit->node != q->npu->node && hit->aperture == SNPU_APERTURE_FABRIC) ||
		     (hit->aperture != SNPU_APERTURE_HOST && snpu_exec_by_switch(x))))
		err = snpu_exec_move(x, va, write, hit);
	if (!err && x->entry != SNPU_MEM_NO_ENTRY)
		x->set[hit->node / 64] |= 1ull << hit->node % 64;
	if (!err && hit->host && hit->aperture == SNPU_APERTURE_HOST)
		snpu_exec_touch(x, hit->host, hit->run, va);
	if (err)
		x->fault_va = va;
	else if (hit->aperture == SNPU_APERTURE_HOST)
		x->host_mem |= write ? SNPU_PLOG_HOST_WRITE : SNPU_PLOG_HOST_READ;
	else if (hit->node != q->npu->node && write)
		x->write_node = hit->node;
	else if (hit->node != q->npu->node)
		x->read_node = hit->node;
	return err;
}

/* ---- memory of the engine ---- */

static int mem_resolve(void *ctx, uint64_t va, uint64_t len, unsigned int access, void **host,
		       uint64_t *run)
{
	struct snpu_cur *x = ctx;
	bool write = access & SNPU_MEM_WRITE;
	struct snpu_mmu_hit hit;
	unsigned int err;

	/* A message ends the section, and with it every pointer that the packet holds: so it gets
	 * none. Only what REDUCE_ADD adds to is used at once, after its operand was copied.
	 */
	if (x->w->aside && !(write && x->pkt.hdr.op == SNPU_OP_REDUCE_ADD)) {
		err = snpu_mmu_resolve(x->q, va, len, write, &hit);
		hit.host = NULL;
	} else {
		err = snpu_exec_resolve(x, va, len, write, &hit);
	}
	if (err)
		return (int)err;
	*host = hit.host;
	*run = hit.run;
	return SNPU_ERR_NONE;
}

/* A message; no pointer survives it, so what was used before has its last chance to be found lost */
static unsigned int move(struct snpu_cur *x, const struct snpu_mmu_hit *hit, void *buf,
			 uint64_t *len, bool write)
{
	if (snpu_exec_lost(x))
		return SNPU_ERR_BUS;
	x->host_from = NULL;
	x->host_to = NULL;
	x->messages = true;
	return snpu_aside_move(x->w, x->q, hit->iova, buf, len, write);
}

int snpu_exec_slow(struct snpu_cur *x, uint64_t va, void *buf, uint64_t len, bool write)
{
	struct snpu_mmu_hit hit;
	uint8_t *b = buf;

	while (len) {
		unsigned int err = snpu_exec_resolve(x, va, len, write, &hit);

		if (err)
			return (int)err;
		if (hit.host && write) {
			memcpy(hit.host, b, hit.run);
		} else if (hit.host) {
			memcpy(b, hit.host, hit.run);
		} else if (x->w->aside) {
			err = move(x, &hit, b, &hit.run, write);
		} else {
			/* it was not there when the packet began: see snpu_exec_needs_messages() */
			err = SNPU_ERR_BUS;
		}
		if (err) {
			x->fault_va = va;
			return (int)err;
		}
		va += hit.run;
		b += hit.run;
		len -= hit.run;
	}
	return SNPU_ERR_NONE;
}

static int mem_slow_read(void *ctx, uint64_t va, void *buf, uint64_t len)
{
	return snpu_exec_slow(ctx, va, buf, len, false);
}

static int mem_slow_write(void *ctx, uint64_t va, const void *buf, uint64_t len)
{
	return snpu_exec_slow(ctx, va, (void *)buf, len, true);
}

static int mem_checkpoint(void *ctx)
{
	struct snpu_cur *x = ctx;
	struct snpu_queue *q = x->q;

	if (snpu_exec_lost(x))
		return SNPU_ERR_BUS;
	if (!x->w->nested) {
		snpu_sched_checkpoint(x->w);
		snpu_mmu_sync(q);
		/* no pointer is used on */
		x->host_from = NULL;
		x->host_to = NULL;
	}
	snpu_store(&q->cpl->progress, ++q->progress);
	if ((snpu_load(&q->stop) & SNPU_STOP_ABORT) || snpu_load(&q->run) == SNPU_RUN_FAULT)
		return SNPU_ERR_ABORTED;
	return SNPU_ERR_NONE;
}

static void mem_entry(void *ctx, uint32_t i)
{
	struct snpu_cur *x = ctx;

	x->entry = i;
}

const struct snpu_mem_ops snpu_exec_mem_ops = {
	.resolve = mem_resolve,
	.slow_read = mem_slow_read,
	.slow_write = mem_slow_write,
	.checkpoint = mem_checkpoint,
	.entry = mem_entry,
};
