// SPDX-License-Identifier: MIT
/*
 * Executes the packets of one queue: fetch, check, run, retire.
 *
 * The caller owns the queue and is in a section. A packet is copied once and only the copy is used.
 * Data packets are the engine's; what concerns queues and semaphores is done here.
 */
#include <errno.h>
#include <string.h>

#include "exec_priv.h"
#include "timing/plane.h"

#define TURN_NS		2000000u	/* heavy packets of one queue in a row */
#define HANDOVER_BYTES	(256u << 10)	/* longer copies: the leader finds a successor */

bool snpu_queue_pending(const struct snpu_queue *q)
{
	uint32_t inject = snpu_load(&q->inject);

	/* it hangs in a packet, and so has nothing to do before there is one */
	return snpu_load(q->db) != snpu_load(&q->head) || (inject && inject != SNPU_INJECT_HANG);
}

bool snpu_multi_works(const struct snpu_machine *m)
{
	return snpu_fabric_topo(m->fabric)->nodes <= SNPU_PLOG_SET_NODES;
}

/* ---- one packet ---- */

static unsigned int fetch(struct snpu_cur *x, uint64_t va)
{
	struct snpu_queue *q = x->q;
	uint64_t page = va & ~(uint64_t)(SNPU_PAGE_SIZE - 1);
	struct snpu_mmu_hit hit;
	unsigned int err;

	if (q->ring_host && q->ring_host_va == page) {
		if (q->ring_is_host)
			snpu_exec_touch(x, q->ring_host + (va - page), sizeof(x->pkt), va);
		memcpy(&x->pkt, q->ring_host + (va - page), sizeof(x->pkt));
		__asm__ volatile("" : : : "memory");
		return snpu_exec_lost(x);
	}
	err = snpu_mmu_resolve(q, va, sizeof(x->pkt), false, &hit);
	if (err) {
		x->fault_va = va;
		return err;
	}
	if (!hit.host && (!x->w || !x->w->aside))
		return SNPU_EXEC_ASIDE;
	if (!hit.host)
		return (unsigned int)snpu_exec_slow(x, va, &x->pkt, sizeof(x->pkt), false);
	if (hit.node != q->npu->node && snpu_exec_move(x, va, false, &hit)) {
		x->fault_va = va;
		return SNPU_ERR_FABRIC;
	}
	if (hit.aperture == SNPU_APERTURE_HOST)
		snpu_exec_touch(x, hit.host, sizeof(x->pkt), va);
	memcpy(&x->pkt, hit.host, sizeof(x->pkt));
	__asm__ volatile("" : : : "memory");
	err = snpu_exec_lost(x);
	if (err)
		return err;
	/* Remote memory is checked at its target every time. With poison about, so is ours. */
	if (hit.node == q->npu->node && hit.aperture != SNPU_APERTURE_FABRIC &&
	    !snpu_load(&q->npu->poisoned)) {
		q->ring_host = hit.host - (va - page);
		q->ring_host_va = page;
		q->ring_is_host = hit.aperture == SNPU_APERTURE_HOST;
	}
	return SNPU_ERR_NONE;
}

static unsigned int indirect(struct snpu_cur *x)
{
	struct snpu_queue *q = x->q;

	if (q->ib_count)
		return SNPU_ERR_NESTING;
	if (x->pkt.misc.addr >> SNPU_VA_BITS ||
	    (uint64_t)x->pkt.misc.count * SNPU_PKT_BYTES >
	    (1ull << SNPU_VA_BITS) - x->pkt.misc.addr) {
		x->fault_va = x->pkt.misc.addr;
		return SNPU_ERR_FIELD;
	}
	q->ib_va = x->pkt.misc.addr;
	q->ib_count = x->pkt.misc.count;
	q->ib_pos = 0;
	return SNPU_ERR_NONE;
}

static unsigned int timestamp(struct snpu_cur *x, uint64_t now)
{
	struct snpu_mmu_hit hit;
	unsigned int err;

	err = snpu_exec_resolve(x, x->pkt.misc.addr, 8, true, &hit);
	if (err)
		return err;
	if (!hit.host && !x->w->aside)
		return SNPU_EXEC_ASIDE;
	if (x->q->nt_stores) {
		snpu_sfence();
		x->q->nt_stores = false;
	}
	x->work.bytes_written = 8;
	if (!hit.host)
		return (unsigned int)snpu_exec_slow(x, x->pkt.misc.addr, &now, 8, true);
	snpu_store_rel((uint64_t *)hit.host, now);
	return SNPU_ERR_NONE;
}

/* The queue stands here until the machine has come to rest, and then until it is its turn */
static enum snpu_step virtual_timestamp(struct snpu_cur *x, unsigned int *err)
{
	struct snpu_queue *q = x->q;
	struct snpu_plane *p = q->npu->m->plane;
	struct snpu_mmu_hit hit;
	uint64_t time, gen;
	int ret;

	/* no virtual time is kept: SNPU_CAP_TIMING is not set */
	*err = p ? snpu_exec_resolve(x, x->pkt.misc.addr, 8, true, &hit) : SNPU_ERR_FIELD;
	if (*err)
		return STEP_FAULT;
	if (!hit.host && !x->w->aside)
		return STEP_ASIDE;
	/* an answer that comes between the two is seen the next time */
	gen = snpu_plane_stamps(p);
	if (q->stamped && q->stamp_gen == gen)
		return STEP_BLOCKED;
	q->stamp_gen = gen;
	ret = snpu_plane_stamp(p, q->npu->node, q->id, q->epoch, q->head,
			       q->ib_count ? q->ib_pos : SNPU_PLOG_RING, &time);
	q->stamped = ret == -EAGAIN;
	if (q->stamped)
		return STEP_BLOCKED;
	*err = ret ? SNPU_ERR_INTERNAL : timestamp(x, time);
	return *err ? STEP_FAULT : STEP_RETIRED;
}

/* A queue that stood at a timestamp, but the program has put another packet into its place */
static void stamp_check(struct snpu_cur *x, unsigned int err)
{
	struct snpu_queue *q = x->q;

	if (!err && x->pkt.hdr.op == SNPU_OP_TIMESTAMP && (x->pkt.hdr.flags & SNPU_PF_VIRTUAL))
		return;
	snpu_plane_unstamp(q->npu->m->plane, q->npu->node, q->id, q->epoch);
	q->stamped = false;
}

/* What a packet did; its signal goes last */
static enum snpu_step data_done(struct snpu_cur *x, unsigned int *err)
{
	/* a signal tells that the data has arrived */
	*err = snpu_exec_lost(x);
	if (!*err)
		*err = snpu_exec_end_flows(x);
	if (*err)
		return STEP_FAULT;
	if (!snpu_exec_signals(&x->pkt))
		return STEP_RETIRED;
	/* REDUCE_ADD has the fields at the same place */
	*err = snpu_exec_signal(x, x->pkt.copy.sem_addr, x->pkt.copy.sem_value, x->pkt.hdr.arg);
	/* the data has moved: too late to do it elsewhere */
	if (*err == SNPU_EXEC_ASIDE)
		*err = SNPU_ERR_BUS;
	return *err ? STEP_FAULT : STEP_RETIRED;
}

/* Places of a list, when only time counts: the list is real, what it names is not touched */
static unsigned int time_list(struct snpu_cur *x)
{
	const bool write = x->pkt.hdr.op == SNPU_OP_MULTICAST;
	const uint64_t *list;
	struct snpu_fault fault;
	struct snpu_work work;
	struct snpu_mmu_hit hit;
	unsigned int err;

	snpu_pkt_work(&x->pkt, &work);
	err = (unsigned int)snpu_engine_list(x->engine, &x->pkt, &snpu_exec_mem_ops, x, &fault,
					     &list);
	x->fault_va = fault.va;
	for (x->entry = 0; !err && x->entry < x->pkt.multi.num; x->entry++) {
		err = snpu_exec_resolve(x, list[x->entry], 1, write, &hit);
		if (err && err != SNPU_ERR_FABRIC) {
			/* not mapped: as if it were here */
			hit = (struct snpu_mmu_hit){ .node = x->q->npu->node, .run = 1 };
			x->set[hit.node / 64] |= 1ull << hit.node % 64;
			err = snpu_exec_by_switch(x) ?
			      snpu_exec_move(x, list[x->entry], write, &hit) : SNPU_ERR_NONE;
		}
		if (!err && (snpu_exec_by_switch(x) || hit.node != x->q->npu->node))
			snpu_flow_piece(&x->flow[write], write ? work.bytes_read :
					work.bytes_written);
	}
	x->entry = SNPU_MEM_NO_ENTRY;
	return err;
}

/* A packet that only costs time: where its operands are decides how much. Unmapped ones are here */
static enum snpu_step time_data(struct snpu_cur *x, unsigned int *err)
{
	struct snpu_operand o[SNPU_MAX_OPERANDS];
	unsigned int i, n = snpu_pkt_operands(&x->pkt, o);
	struct snpu_mmu_hit hit;

	if (snpu_exec_needs_messages(x))
		return STEP_ASIDE;
	for (i = 0; i < n; i++) {
		*err = snpu_exec_resolve(x, o[i].va, 1, o[i].write, &hit);
		if (*err == SNPU_ERR_FABRIC)
			return STEP_FAULT;
	}
	*err = SNPU_ERR_NONE;
	x->fault_va = 0;
	snpu_pkt_work(&x->pkt, &x->work);
	snpu_flow_exact(&x->flow[0], x->work.bytes_read);
	snpu_flow_exact(&x->flow[1], x->work.bytes_written);
	if (snpu_pkt_is_multi(&x->pkt))
		*err = time_list(x);
	if (*err)
		return STEP_FAULT;
	return data_done(x, err);
}

static enum snpu_step run_data(struct snpu_cur *x, unsigned int *err)
{
	bool heavy = snpu_pkt_is_heavy(&x->pkt);
	struct snpu_worker *w = x->w;
	struct snpu_queue *q = x->q;
	struct snpu_fault fault = { 0 };
	struct snpu_work work = { 0 };

	if (heavy && w->nested)
		return STEP_LATER;
	if (snpu_exec_needs_messages(x))
		return STEP_ASIDE;
	if (heavy) {
		/* it takes a while: what is done may be seen */
		snpu_queue_publish(q);
		w->heavy_start = snpu_clock_ns();
		w->last_scan = w->heavy_start;
		if (!x->heavy_since)
			x->heavy_since = w->heavy_start;
		/* short ones are over before a follower would have woken up */
		snpu_pkt_work(&x->pkt, &work);
		if (x->pkt.hdr.op >= SNPU_OP_MATMUL ||
		    work.bytes_read + work.bytes_written > HANDOVER_BYTES)
			snpu_sched_handover(w);
		snpu_store(&q->cpl->progress, ++q->progress);
	}
	x->fault_va = 0;
	*err = (unsigned int)snpu_engine_exec(x->engine, &x->pkt, &snpu_exec_mem_ops, x, &fault,
					      &x->work);
	q->nt_stores = true;
	if (*err) {
		/* a checkpoint knows of an address what the engine does not */
		if (fault.va || *err != SNPU_ERR_BUS)
			x->fault_va = fault.va;
		return STEP_FAULT;
	}
	return data_done(x, err);
}

static enum snpu_step run_packet(struct snpu_cur *x, unsigned int *err)
{
	struct snpu_queue *q = x->q;

	switch (x->pkt.hdr.op) {
	case SNPU_OP_NOP:
		return STEP_RETIRED;
	case SNPU_OP_SEM_SIGNAL:
		*err = snpu_exec_signal(x, x->pkt.sem.addr, x->pkt.sem.value, x->pkt.hdr.arg);
		x->work.bytes_written = 8;
		break;
	case SNPU_OP_ATOMIC:
		*err = snpu_exec_atomic(x);
		break;
	case SNPU_OP_CLOCK:
		break;		/* for the log */
	case SNPU_OP_SEM_WAIT:
		return snpu_exec_wait(x, err);
	case SNPU_OP_BARRIER:
		snpu_sfence();
		q->nt_stores = false;
		snpu_mb();
		break;
	case SNPU_OP_TIMESTAMP:
		if (x->pkt.hdr.flags & SNPU_PF_VIRTUAL)
			return virtual_timestamp(x, err);
		*err = timestamp(x, snpu_machine_time(q->npu->m));
		break;
	case SNPU_OP_INTERRUPT:
		/* whoever the event wakes finds what came before it counted */
		snpu_queue_publish(q);
		if (q->nt_stores)
			snpu_sfence();
		snpu_event_emit(q->npu, q, SNPU_EVT_INTERRUPT, x->pkt.hdr.arg, q->head);
		break;
	case SNPU_OP_INDIRECT:
		*err = indirect(x);
		break;
	default:
		return q->timing ? time_data(x, err) : run_data(x, err);
	}
	if (*err == SNPU_EXEC_ASIDE)
		return STEP_ASIDE;
	return *err ? STEP_FAULT : STEP_RETIRED;
}

/* The one packet that is not worth a call */
static bool is_plain_nop(const union snpu_pkt *p)
{
	return !(p->q[0] | p->q[1] | p->q[2] | p->q[3] | p->q[4] | p->q[5] | p->q[6] | p->q[7]);
}

/* Reads the doorbell; false: there is nothing to do, or the queue faulted */
static bool look_at_doorbell(struct snpu_queue *q)
{
	uint64_t db = snpu_load_acq(q->db);

	if (db < q->tail || db - q->head > q->ring_entries) {
		snpu_queue_fault(q, SNPU_ERR_DOORBELL, 0, 0, true);
		return false;
	}
	q->tail = db;
	return db != q->head;
}

static bool take_injection(struct snpu_queue *q)
{
	uint32_t what = snpu_load(&q->inject);

	if (!what)
		return false;
	if (what == SNPU_INJECT_HANG && q->tail == q->head && !look_at_doorbell(q))
		return true;
	snpu_store(&q->inject, 0);
	if (what == SNPU_INJECT_HANG)
		snpu_queue_set_state(q, SNPU_RUN_HUNG);
	else
		snpu_queue_fault(q, what, 0, 0, true);
	return true;
}

/* Counts a packet as done. Returns true when the ring moved on */
static bool retire(struct snpu_cur *x, bool in_ib)
{
	struct snpu_queue *q = x->q;

	q->packets++;
	if (in_ib) {
		if (x->w->plog)
			snpu_exec_log(x, q->ib_pos);
		if (++q->ib_pos < q->ib_count)
			return false;
		q->ib_count = 0;
	} else if (q->ib_count) {
		/* the INDIRECT packet itself: it is done when its buffer is */
		if (x->w->plog)
			snpu_exec_log(x, SNPU_PLOG_RING);
		return false;
	} else if (x->w->plog) {
		snpu_exec_log(x, SNPU_PLOG_RING);
	}
	snpu_store(&q->head, q->head + 1);
	return true;
}

/* After heavy packets: is it time for others, and are there any? */
static bool turn_over(struct snpu_cur *x)
{
	uint64_t now = snpu_clock_ns();

	if (now - x->heavy_since < TURN_NS)
		return false;
	x->heavy_since = now;
	return snpu_others_pending(x->q);
}

uint64_t snpu_exec_deadline(const struct snpu_queue *q)
{
	uint64_t now;

	if (q->aside_poll)
		return SNPU_ASIDE_POLL_NS;
	if (!q->waiting || !q->deadline)
		return UINT64_MAX;
	now = snpu_machine_time(q->npu->m);
	return q->deadline > now ? q->deadline - now : 0;
}

uint64_t snpu_exec_poll_wait(struct snpu_queue *q, uint64_t now)
{
	struct snpu_cur x;

	if (q->stamped)
		return q->stamp_gen == snpu_plane_stamps(q->npu->m->plane) ? UINT64_MAX : 0;
	if (!q->waiting)
		return 0;
	memset(&x, 0, sizeof(x));
	x.q = q;
	x.entry = SNPU_MEM_NO_ENTRY;
	if (fetch(&x, q->ib_count ? q->ib_va + (uint64_t)q->ib_pos * SNPU_PKT_BYTES :
		  q->ring_va + (q->head & (q->ring_entries - 1)) * SNPU_PKT_BYTES) ||
	    x.pkt.hdr.op != SNPU_OP_SEM_WAIT || (x.pkt.sem.addr & 7) || !snpu_exec_waits(&x) ||
	    snpu_exec_lost(&x))
		return 0;
	if (!q->deadline)
		return UINT64_MAX;
	return q->deadline > now ? q->deadline - now : 0;
}

/**
 * snpu_exec_queue() - execute up to a batch of packets
 * @w: worker, in a section
 * @q: queue, owned and in step with invalidations; READY or BLOCKED
 *
 * Return: packets executed.
 */
unsigned int snpu_exec_queue(struct snpu_worker *w, struct snpu_queue *q)
{
	struct snpu_npu *n = q->npu;
	struct snpu_cur x = { .w = w, .q = q, .engine = w->nested ? w->engine_nested : w->engine };
	uint64_t start = snpu_ticks(), rd = 0, wr = 0, flops = 0;
	unsigned int done = 0, unpublished = 0;

	while (done < SNPU_BATCH && !snpu_load(&q->stop)) {
		bool in_ib = q->ib_count;
		unsigned int err;
		enum snpu_step step;
		uint64_t va;

		if (take_injection(q))
			break;
		if (q->head == q->tail && !look_at_doorbell(q))
			break;
		va = in_ib ? q->ib_va + (uint64_t)q->ib_pos * SNPU_PKT_BYTES :
		     q->ring_va + (q->head & (q->ring_entries - 1)) * SNPU_PKT_BYTES;
		x.read_node = SNPU_PLOG_NO_NODE;
		x.write_node = SNPU_PLOG_NO_NODE;
		x.host_mem = 0;
		x.host_from = NULL;
		x.host_to = NULL;
		x.entry = SNPU_MEM_NO_ENTRY;
		x.shared = SNPU_MEM_NO_ENTRY;
		x.flow[0].open = false;
		x.flow[1].open = false;
		x.work = (struct snpu_work) { 0 };
		x.fault_va = 0;
		x.messages = false;
		step = STEP_FAULT;
		err = fetch(&x, va);
		if (err == SNPU_EXEC_ASIDE)
			step = STEP_ASIDE;
		else if (err)
			memset(&x.pkt, 0, sizeof(x.pkt));
		else if (!is_plain_nop(&x.pkt))
			err = snpu_pkt_check(&x.pkt);
		if (!err && snpu_pkt_is_multi(&x.pkt)) {
			memset(x.set, 0, sizeof(x.set));
			err = snpu_multi_works(n->m) ? SNPU_ERR_NONE : SNPU_ERR_OPCODE;
		}
		if (q->stamped && step != STEP_ASIDE)
			stamp_check(&x, err);
		if (!err)
			step = run_packet(&x, &err);
		if (step == STEP_LATER)
			break;
		if (step == STEP_ASIDE) {
			snpu_queue_publish(q);
			if (!snpu_aside_put(q))
				snpu_queue_fault(q, SNPU_ERR_INTERNAL, x.pkt.hdr.op, 0, true);
			break;
		}
		if (step != STEP_FAULT) {
			err = snpu_exec_lost(&x);
			step = err ? STEP_FAULT : step;
		}
		/* a wait counts when it is over: how often it looked is no one's business */
		va = x.fault_va;
		if (step != STEP_BLOCKED)
			(void)snpu_exec_end_flows(&x);
		x.fault_va = va;
		if (step == STEP_BLOCKED) {
			snpu_queue_publish(q);
			/* workers look at what they can look at without asking the client */
			snpu_queue_set_state(q, x.messages ? SNPU_RUN_ASIDE_BLOCKED :
					     SNPU_RUN_BLOCKED);
			q->aside_poll = x.messages && !q->stamped && x.sem.host;
			break;
		}
		/* the completion record may have gone while the packet ran */
		if (snpu_load(&q->run) == SNPU_RUN_FAULT)
			break;
		if (step == STEP_FAULT) {
			snpu_queue_fault(q, err,
					 x.pkt.hdr.op | (in_ib ? q->ib_pos << 8 : 0),
					 x.fault_va, true);
			break;
		}
		if (snpu_load(&q->run) == SNPU_RUN_BLOCKED)
			snpu_queue_set_state(q, SNPU_RUN_READY);
		else if (snpu_load(&q->run) == SNPU_RUN_ASIDE_BLOCKED)
			snpu_queue_set_state(q, SNPU_RUN_ASIDE);
		rd += x.work.bytes_read;
		wr += x.work.bytes_written;
		flops += x.work.flops;
		done++;
		if (retire(&x, in_ib) && ++unpublished >= SNPU_PUBLISH) {
			snpu_queue_publish(q);
			unpublished = 0;
			if (q->prio < SNPU_PRIO_MAX && snpu_higher_pending(q))
				break;
		}
		if (x.heavy_since && turn_over(&x))
			break;
		/* the workers' again */
		if (w->aside && !x.messages)
			break;
	}
	snpu_queue_publish(q);
	if (!done)
		return 0;
	__atomic_fetch_add(&n->cnt_packets, done, __ATOMIC_RELAXED);
	__atomic_fetch_add(&n->cnt_busy_ticks, snpu_ticks() - start, __ATOMIC_RELAXED);
	if (rd | wr | flops) {
		__atomic_fetch_add(&n->cnt_read, rd, __ATOMIC_RELAXED);
		__atomic_fetch_add(&n->cnt_written, wr, __ATOMIC_RELAXED);
		__atomic_fetch_add(&n->cnt_flops, flops, __ATOMIC_RELAXED);
	}
	return done;
}
