// SPDX-License-Identifier: MIT
/*
 * Executes the packets of one queue: fetch, check, run, retire.
 *
 * The caller owns the queue and is in a section. A packet is copied once and only the copy is used.
 * Data packets are the engine's; what concerns queues and semaphores is done here.
 */
#include <errno.h>
#include <string.h>

#include "engine/engine.h"
#include "fabric/fabric.h"
#include "log/packet_log.h"
#include "npu_priv.h"
#include "timing/plane.h"

#define TURN_NS		2000000u	/* heavy packets of one queue in a row */
#define HANDOVER_BYTES	(256u << 10)	/* longer copies: the leader finds a successor */

/* What the packet in hand needs */
struct exec {
	struct snpu_worker *w;
	struct snpu_queue *q;
	struct snpu_engine *engine;
	union snpu_pkt pkt;
	uint32_t read_node, write_node;		/* other NPUs it touched, for the log */
	uint8_t host_mem;			/* SNPU_PLOG_HOST_* */
	struct snpu_flow flow[2];		/* what it reads from, and writes to, other NPUs */
	uint32_t entry;				/* place of the list at hand, SNPU_MEM_NO_ENTRY: none */
	uint32_t shared;			/* that with which the issuer's link is counted */
	uint64_t set[SNPU_PLOG_SET_WORDS];	/* NPUs of the list */
	struct snpu_mmu_hit sem;
	uint64_t fault_va;
	struct snpu_work work;
	bool cas_failed;		/* the ATOMIC in hand changed nothing */
	uint64_t heavy_since;		/* start of the first heavy packet of the batch */
};

enum step {
	STEP_RETIRED,
	STEP_BLOCKED,
	STEP_LATER,		/* heavy, but this is no time for it */
	STEP_FAULT,
};

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

static bool by_switch(const struct exec *x)
{
	return x->entry != SNPU_MEM_NO_ENTRY && x->q->npu->m->in_switch;
}

/* Which links a piece takes. With a switch that adds up, or copies, the issuer's only once */
static enum snpu_flow_part part_of(struct exec *x, bool write)
{
	if (!by_switch(x))
		return SNPU_FLOW_ALL;
	if (x->shared == SNPU_MEM_NO_ENTRY)
		x->shared = x->entry;
	if (x->shared == x->entry)
		return SNPU_FLOW_ALL;
	return write ? SNPU_FLOW_FROM_SWITCH : SNPU_FLOW_TO_SWITCH;
}

/* A piece of what the packet moves between two NPUs */
static unsigned int over_fabric(struct exec *x, uint64_t va, bool write,
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
static unsigned int end_flows(struct exec *x)
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

static unsigned int resolve(struct exec *x, uint64_t va, uint64_t len, bool write,
			    struct snpu_mmu_hit *hit)
{
	struct snpu_queue *q = x->q;
	unsigned int err = snpu_mmu_resolve(q, va, len, write, hit);

	/* the issuer's own part passes the switch as well */
	if (!err && ((hit->node != q->npu->node && hit->aperture == SNPU_APERTURE_FABRIC) ||
		     (hit->aperture != SNPU_APERTURE_HOST && by_switch(x))))
		err = over_fabric(x, va, write, hit);
	if (!err && x->entry != SNPU_MEM_NO_ENTRY)
		x->set[hit->node / 64] |= 1ull << hit->node % 64;
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
	struct snpu_mmu_hit hit;
	unsigned int err;

	err = resolve(ctx, va, len, access & SNPU_MEM_WRITE, &hit);
	if (err)
		return (int)err;
	*host = hit.host;
	*run = hit.run;
	return SNPU_ERR_NONE;
}

static int mem_slow(struct exec *x, uint64_t va, void *buf, uint64_t len, bool write)
{
	struct snpu_mmu_hit hit;
	uint8_t *b = buf;

	while (len) {
		unsigned int err = resolve(x, va, len, write, &hit);
		int ret = 0;

		if (err)
			return (int)err;
		if (hit.host && write)
			memcpy(hit.host, b, hit.run);
		else if (hit.host)
			memcpy(b, hit.host, hit.run);
		else if (write)
			ret = snpu_bus_write(x->q->npu, hit.iova, b, hit.run);
		else
			ret = snpu_bus_read(x->q->npu, hit.iova, b, hit.run);
		if (ret) {
			x->fault_va = va;
			return SNPU_ERR_BUS;
		}
		va += hit.run;
		b += hit.run;
		len -= hit.run;
	}
	return SNPU_ERR_NONE;
}

static int mem_slow_read(void *ctx, uint64_t va, void *buf, uint64_t len)
{
	return mem_slow(ctx, va, buf, len, false);
}

static int mem_slow_write(void *ctx, uint64_t va, const void *buf, uint64_t len)
{
	return mem_slow(ctx, va, (void *)buf, len, true);
}

static int mem_checkpoint(void *ctx)
{
	struct exec *x = ctx;
	struct snpu_queue *q = x->q;

	if (!x->w->nested) {
		snpu_sched_checkpoint(x->w);
		snpu_mmu_sync(q);
	}
	snpu_store(&q->cpl->progress, ++q->progress);
	if ((snpu_load(&q->stop) & SNPU_STOP_ABORT) || snpu_load(&q->run) == SNPU_RUN_FAULT)
		return SNPU_ERR_ABORTED;
	return SNPU_ERR_NONE;
}

static void mem_entry(void *ctx, uint32_t i)
{
	struct exec *x = ctx;

	x->entry = i;
}

static const struct snpu_mem_ops mem_ops = {
	.resolve = mem_resolve,
	.slow_read = mem_slow_read,
	.slow_write = mem_slow_write,
	.checkpoint = mem_checkpoint,
	.entry = mem_entry,
};

/* ---- semaphores ---- */

static unsigned int sem_load(struct exec *x, uint64_t *val)
{
	unsigned int err = resolve(x, x->pkt.sem.addr, 8, false, &x->sem);

	if (err)
		return err;
	if (x->sem.host) {
		*val = snpu_load_acq((uint64_t *)x->sem.host);
		return SNPU_ERR_NONE;
	}
	return (unsigned int)mem_slow(x, x->pkt.sem.addr, val, 8, false);
}

static bool sem_met(const union snpu_pkt *p, uint64_t val)
{
	return p->hdr.arg == SNPU_SEM_EQ ? val == p->sem.value : val >= p->sem.value;
}

/* only memory reached by messages needs it: nothing else can change words there atomically */
static pthread_mutex_t slow_lock = PTHREAD_MUTEX_INITIALIZER;

/* What the queue did before is visible before the word that is about to change */
static void release_stores(struct snpu_queue *q)
{
	if (q->nt_stores) {
		snpu_sfence();
		q->nt_stores = false;
	}
}

/* A leader that went to sleep meanwhile has seen either the new value, or is seen here */
static void wake_waiters(struct exec *x)
{
	if (!x->w->leader) {
		snpu_mb();
		if (snpu_load(&x->q->npu->m->sleeping))
			snpu_sched_kick(x->q->npu->m);
	}
}

static unsigned int sem_signal(struct exec *x, uint64_t addr, uint64_t value, uint32_t how)
{
	unsigned int err = resolve(x, addr, 8, true, &x->sem);
	uint64_t val = value;

	if (err)
		return err;
	release_stores(x->q);
	if (!x->sem.host) {
		pthread_mutex_lock(&slow_lock);
		if (how == SNPU_SEM_ADD) {
			err = (unsigned int)mem_slow(x, addr, &val, 8, false);
			val += value;
		}
		if (!err)
			err = (unsigned int)mem_slow(x, addr, &val, 8, true);
		pthread_mutex_unlock(&slow_lock);
	} else if (how == SNPU_SEM_ADD) {
		(void)snpu_add((uint64_t *)x->sem.host, value);
	} else {
		snpu_store_rel((uint64_t *)x->sem.host, value);
	}
	wake_waiters(x);
	return err;
}

/* The new value of a word by ATOMIC; false: CAS found another one */
static bool atomic_next(const struct snpu_pkt_atomic *a, uint64_t old, uint64_t *val)
{
	*val = a->hdr.arg == SNPU_ATOMIC_ADD ? old + a->operand : a->operand;
	return a->hdr.arg != SNPU_ATOMIC_CAS || old == a->compare;
}

static unsigned int atomic_slow(struct exec *x, uint64_t *old)
{
	const struct snpu_pkt_atomic *a = &x->pkt.atomic;
	uint64_t val;
	int err;

	pthread_mutex_lock(&slow_lock);
	err = mem_slow(x, a->addr, old, 8, false);
	if (!err && atomic_next(a, *old, &val))
		err = mem_slow(x, a->addr, &val, 8, true);
	pthread_mutex_unlock(&slow_lock);
	return (unsigned int)err;
}

static unsigned int atomic(struct exec *x)
{
	const struct snpu_pkt_atomic *a = &x->pkt.atomic;
	struct snpu_mmu_hit res;
	uint64_t old = 0, val, *word;
	unsigned int err;

	/* the result's place first: a word that was changed cannot be changed back */
	err = a->result ? resolve(x, a->result, 8, true, &res) : SNPU_ERR_NONE;
	if (!err)
		err = resolve(x, a->addr, 8, false, &x->sem);
	if (!err)
		err = resolve(x, a->addr, 8, true, &x->sem);
	if (err)
		return err;
	release_stores(x->q);
	word = (uint64_t *)x->sem.host;
	if (!word) {
		err = atomic_slow(x, &old);
	} else {
		old = snpu_load_acq(word);
		while (atomic_next(a, old, &val) &&
		       !__atomic_compare_exchange_n(word, &old, val, false, __ATOMIC_ACQ_REL,
						    __ATOMIC_ACQUIRE))
			;
	}
	if (err)
		return err;
	wake_waiters(x);
	x->cas_failed = !atomic_next(a, old, &val);
	x->work.bytes_read = 8;
	x->work.bytes_written = a->result ? 16 : 8;
	if (!a->result)
		return SNPU_ERR_NONE;
	if (!res.host)
		return (unsigned int)mem_slow(x, a->result, &old, 8, true);
	snpu_store_rel((uint64_t *)res.host, old);
	return SNPU_ERR_NONE;
}

static enum step sem_wait(struct exec *x, unsigned int *err)
{
	struct snpu_queue *q = x->q;
	const struct snpu_pkt_sem *s = &x->pkt.sem;
	uint64_t val, now;

	*err = sem_load(x, &val);
	if (*err)
		return STEP_FAULT;
	x->work.bytes_read = 8;
	if (sem_met(&x->pkt, val)) {
		q->waiting = false;
		return STEP_RETIRED;
	}
	if (!q->waiting || q->deadline) {
		now = snpu_machine_time(q->npu->m);
		if (!q->waiting) {
			q->waiting = true;
			q->waits_host = x->sem.aperture == SNPU_APERTURE_HOST;
			q->deadline = 0;
			if (s->timeout_ns)
				q->deadline = s->timeout_ns < UINT64_MAX - now ?
					      now + s->timeout_ns : UINT64_MAX;
		} else if (now >= q->deadline) {
			x->fault_va = s->addr;
			*err = SNPU_ERR_TIMEOUT;
			return STEP_FAULT;
		}
	}
	return STEP_BLOCKED;
}

/* ---- one packet ---- */

static unsigned int fetch(struct exec *x, uint64_t va)
{
	struct snpu_queue *q = x->q;
	uint64_t page = va & ~(uint64_t)(SNPU_PAGE_SIZE - 1);
	struct snpu_mmu_hit hit;
	unsigned int err;

	if (q->ring_host && q->ring_host_va == page) {
		memcpy(&x->pkt, q->ring_host + (va - page), sizeof(x->pkt));
		__asm__ volatile("" : : : "memory");
		return SNPU_ERR_NONE;
	}
	err = snpu_mmu_resolve(q, va, sizeof(x->pkt), false, &hit);
	if (err) {
		x->fault_va = va;
		return err;
	}
	if (!hit.host)
		return (unsigned int)mem_slow(x, va, &x->pkt, sizeof(x->pkt), false);
	if (hit.node != q->npu->node && over_fabric(x, va, false, &hit)) {
		x->fault_va = va;
		return SNPU_ERR_FABRIC;
	}
	memcpy(&x->pkt, hit.host, sizeof(x->pkt));
	__asm__ volatile("" : : : "memory");
	/* Remote memory is checked at its target every time. With poison about, so is ours. */
	if (hit.node == q->npu->node && hit.aperture != SNPU_APERTURE_FABRIC &&
	    !snpu_load(&q->npu->poisoned)) {
		q->ring_host = hit.host - (va - page);
		q->ring_host_va = page;
	}
	return SNPU_ERR_NONE;
}

static unsigned int indirect(struct exec *x)
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

static unsigned int timestamp(struct exec *x, uint64_t now)
{
	struct snpu_mmu_hit hit;
	unsigned int err;

	err = resolve(x, x->pkt.misc.addr, 8, true, &hit);
	if (err)
		return err;
	if (x->q->nt_stores) {
		snpu_sfence();
		x->q->nt_stores = false;
	}
	x->work.bytes_written = 8;
	if (!hit.host)
		return (unsigned int)mem_slow(x, x->pkt.misc.addr, &now, 8, true);
	snpu_store_rel((uint64_t *)hit.host, now);
	return SNPU_ERR_NONE;
}

/* The queue stands here until the machine has come to rest, and then until it is its turn */
static enum step virtual_timestamp(struct exec *x, unsigned int *err)
{
	struct snpu_queue *q = x->q;
	struct snpu_plane *p = q->npu->m->plane;
	struct snpu_mmu_hit hit;
	uint64_t time, gen;
	int ret;

	/* no virtual time is kept: SNPU_CAP_TIMING is not set */
	*err = p ? resolve(x, x->pkt.misc.addr, 8, true, &hit) : SNPU_ERR_FIELD;
	if (*err)
		return STEP_FAULT;
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
static void stamp_check(struct exec *x, unsigned int err)
{
	struct snpu_queue *q = x->q;

	if (!err && x->pkt.hdr.op == SNPU_OP_TIMESTAMP && (x->pkt.hdr.flags & SNPU_PF_VIRTUAL))
		return;
	snpu_plane_unstamp(q->npu->m->plane, q->npu->node, q->id, q->epoch);
	q->stamped = false;
}

static bool signals(const union snpu_pkt *p)
{
	return (p->hdr.op == SNPU_OP_COPY || p->hdr.op == SNPU_OP_REDUCE_ADD) &&
	       (p->hdr.flags & SNPU_PF_SIGNAL);
}

/* What a packet did; its signal goes last */
static enum step data_done(struct exec *x, unsigned int *err)
{
	/* a signal tells that the data has arrived */
	*err = end_flows(x);
	if (*err)
		return STEP_FAULT;
	if (!signals(&x->pkt))
		return STEP_RETIRED;
	/* REDUCE_ADD has the fields at the same place */
	*err = sem_signal(x, x->pkt.copy.sem_addr, x->pkt.copy.sem_value, x->pkt.hdr.arg);
	return *err ? STEP_FAULT : STEP_RETIRED;
}

/* Places of a list, of a packet that only costs time: the list is real, what it names is not touched */
static unsigned int time_list(struct exec *x)
{
	const bool write = x->pkt.hdr.op == SNPU_OP_MULTICAST;
	const uint64_t *list;
	struct snpu_fault fault;
	struct snpu_work work;
	struct snpu_mmu_hit hit;
	unsigned int err;

	snpu_pkt_work(&x->pkt, &work);
	err = (unsigned int)snpu_engine_list(x->engine, &x->pkt, &mem_ops, x, &fault, &list);
	x->fault_va = fault.va;
	for (x->entry = 0; !err && x->entry < x->pkt.multi.num; x->entry++) {
		err = resolve(x, list[x->entry], 1, write, &hit);
		if (err && err != SNPU_ERR_FABRIC) {
			/* not mapped: as if it were here */
			hit = (struct snpu_mmu_hit){ .node = x->q->npu->node, .run = 1 };
			x->set[hit.node / 64] |= 1ull << hit.node % 64;
			err = by_switch(x) ? over_fabric(x, list[x->entry], write, &hit) : 0;
		}
		if (!err && (by_switch(x) || hit.node != x->q->npu->node))
			snpu_flow_piece(&x->flow[write], write ? work.bytes_read :
					work.bytes_written);
	}
	x->entry = SNPU_MEM_NO_ENTRY;
	return err;
}

/* A packet that only costs time: where its operands are decides how much. Unmapped ones are here */
static enum step time_data(struct exec *x, unsigned int *err)
{
	struct snpu_operand o[SNPU_MAX_OPERANDS];
	unsigned int i, n = snpu_pkt_operands(&x->pkt, o);
	struct snpu_mmu_hit hit;

	for (i = 0; i < n; i++) {
		*err = resolve(x, o[i].va, 1, o[i].write, &hit);
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

static enum step run_data(struct exec *x, unsigned int *err)
{
	bool heavy = snpu_pkt_is_heavy(&x->pkt);
	struct snpu_worker *w = x->w;
	struct snpu_queue *q = x->q;
	struct snpu_fault fault = { 0 };
	struct snpu_work work = { 0 };

	if (heavy) {
		if (w->nested)
			return STEP_LATER;
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
	*err = (unsigned int)snpu_engine_exec(x->engine, &x->pkt, &mem_ops, x, &fault, &x->work);
	q->nt_stores = true;
	if (*err) {
		x->fault_va = fault.va;
		return STEP_FAULT;
	}
	return data_done(x, err);
}

static enum step run_packet(struct exec *x, unsigned int *err)
{
	struct snpu_queue *q = x->q;

	switch (x->pkt.hdr.op) {
	case SNPU_OP_NOP:
		return STEP_RETIRED;
	case SNPU_OP_SEM_SIGNAL:
		*err = sem_signal(x, x->pkt.sem.addr, x->pkt.sem.value, x->pkt.hdr.arg);
		x->work.bytes_written = 8;
		break;
	case SNPU_OP_ATOMIC:
		*err = atomic(x);
		break;
	case SNPU_OP_CLOCK:
		break;		/* for the log */
	case SNPU_OP_SEM_WAIT:
		return sem_wait(x, err);
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
	return *err ? STEP_FAULT : STEP_RETIRED;
}

static uint32_t saturated(uint64_t v)
{
	return v < UINT32_MAX ? (uint32_t)v : UINT32_MAX;
}

/* What the cost of a packet depends on beside its bytes */
static void log_shape(struct snpu_plog_rec *r, const struct exec *x)
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

static void log_packet(struct exec *x, uint32_t sub)
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
	} else if (signals(&x->pkt)) {
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
static bool retire(struct exec *x, bool in_ib)
{
	struct snpu_queue *q = x->q;

	q->packets++;
	if (in_ib) {
		if (x->w->plog)
			log_packet(x, q->ib_pos);
		if (++q->ib_pos < q->ib_count)
			return false;
		q->ib_count = 0;
	} else if (q->ib_count) {
		/* the INDIRECT packet itself: it is done when its buffer is */
		if (x->w->plog)
			log_packet(x, SNPU_PLOG_RING);
		return false;
	} else if (x->w->plog) {
		log_packet(x, SNPU_PLOG_RING);
	}
	snpu_store(&q->head, q->head + 1);
	return true;
}

/* After heavy packets: is it time for others, and are there any? */
static bool turn_over(struct exec *x)
{
	uint64_t now = snpu_clock_ns();

	if (now - x->heavy_since < TURN_NS)
		return false;
	x->heavy_since = now;
	return snpu_others_pending(x->q);
}

uint64_t snpu_exec_poll_wait(struct snpu_queue *q, uint64_t now)
{
	struct exec x;
	uint64_t val;

	if (q->stamped)
		return q->stamp_gen == snpu_plane_stamps(q->npu->m->plane) ? UINT64_MAX : 0;
	if (!q->waiting)
		return 0;
	memset(&x, 0, sizeof(x));
	x.q = q;
	x.entry = SNPU_MEM_NO_ENTRY;
	if (fetch(&x, q->ib_count ? q->ib_va + (uint64_t)q->ib_pos * SNPU_PKT_BYTES :
		  q->ring_va + (q->head & (q->ring_entries - 1)) * SNPU_PKT_BYTES) ||
	    x.pkt.hdr.op != SNPU_OP_SEM_WAIT || (x.pkt.sem.addr & 7) || sem_load(&x, &val) ||
	    sem_met(&x.pkt, val))
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
	struct exec x = { .w = w, .q = q, .engine = w->nested ? w->engine_nested : w->engine };
	uint64_t start = snpu_ticks(), rd = 0, wr = 0, flops = 0;
	unsigned int done = 0, unpublished = 0;

	while (done < SNPU_BATCH && !snpu_load(&q->stop)) {
		bool in_ib = q->ib_count;
		unsigned int err;
		enum step step;
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
		x.entry = SNPU_MEM_NO_ENTRY;
		x.shared = SNPU_MEM_NO_ENTRY;
		x.flow[0].open = false;
		x.flow[1].open = false;
		x.work = (struct snpu_work) { 0 };
		x.fault_va = 0;
		step = STEP_FAULT;
		err = fetch(&x, va);
		if (err)
			memset(&x.pkt, 0, sizeof(x.pkt));
		else if (!is_plain_nop(&x.pkt))
			err = snpu_pkt_check(&x.pkt);
		if (!err && snpu_pkt_is_multi(&x.pkt)) {
			memset(x.set, 0, sizeof(x.set));
			err = snpu_multi_works(n->m) ? SNPU_ERR_NONE : SNPU_ERR_OPCODE;
		}
		if (q->stamped)
			stamp_check(&x, err);
		if (!err)
			step = run_packet(&x, &err);
		if (step == STEP_LATER)
			break;
		/* a wait counts when it is over: how often it looked is no one's business */
		va = x.fault_va;
		if (step != STEP_BLOCKED)
			(void)end_flows(&x);
		x.fault_va = va;
		if (step == STEP_BLOCKED) {
			snpu_queue_publish(q);
			snpu_queue_set_state(q, SNPU_RUN_BLOCKED);
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
