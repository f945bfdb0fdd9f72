// SPDX-License-Identifier: MIT
/*
 * Life cycle of queues, and what is published in their completion records.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "npu_priv.h"
#include "timing/plane.h"

/* A packet in flight may take this long to reach its end before SUSPEND reports BUSY */
#define SUSPEND_WAIT_NS	800000000ull
/* How often a message that the packet in flight waits for is ended; one may begin between two */
#define CANCEL_NS	10000000ull

bool snpu_queue_trylock(struct snpu_queue *q)
{
	return !snpu_load(&q->owner) && snpu_cas(&q->owner, 0, SNPU_OWNED);
}

int snpu_queue_lock_timeout(struct snpu_queue *q, uint64_t timeout_ns)
{
	uint64_t end = timeout_ns ? snpu_clock_ns() + timeout_ns : 0;

	for (;;) {
		uint32_t o = snpu_load(&q->owner);
		int64_t left = -1;

		if (!o && snpu_cas(&q->owner, 0, SNPU_OWNED))
			return 0;
		if (end) {
			uint64_t now = snpu_clock_ns();

			if (now >= end)
				return -ETIMEDOUT;
			left = (int64_t)(end - now);
		}
		if (!o)
			continue;
		if (o == SNPU_OWNED && !snpu_cas(&q->owner, o, SNPU_OWNED | SNPU_OWNER_WAITED))
			continue;
		snpu_futex_wait(&q->owner, SNPU_OWNED | SNPU_OWNER_WAITED, left);
	}
}

void snpu_queue_lock(struct snpu_queue *q)
{
	(void)snpu_queue_lock_timeout(q, 0);
}

/* As snpu_queue_lock(), after SNPU_STOP_ABORT: it does not wait for the client's answers */
void snpu_queue_lock_abort(struct snpu_queue *q)
{
	while (snpu_queue_lock_timeout(q, CANCEL_NS))
		snpu_aside_cancel(q);
}

/* Workers call it inside their section: once it ends, they touch @q no more */
void snpu_queue_unlock(struct snpu_queue *q)
{
	if (snpu_xchg(&q->owner, 0) & SNPU_OWNER_WAITED)
		snpu_futex_wake(&q->owner, INT_MAX);
}

/**
 * snpu_queue_publish() - make retired packets visible
 * @q: owned queue; worker in a section
 *
 * Effects, then the count, then a look at irq_at: the driver does the last two the other way round.
 */
void snpu_queue_publish(struct snpu_queue *q)
{
	uint64_t irq_at;

	if (q->published == q->head)
		return;
	if (q->nt_stores) {
		snpu_sfence();
		q->nt_stores = false;
	}
	snpu_store(&q->cpl->time_ns, snpu_machine_time(q->npu->m));
	snpu_store_rel(&q->cpl->completed, q->head);
	q->published = q->head;
	/* pairs with who asks for an interrupt, and with the leader that goes to sleep */
	snpu_mb();
	/* a queue may wait for this index, and the batch may take long: not only when it ends */
	if (snpu_load(&q->npu->m->sleeping) == SNPU_SLEEPS_INDEX)
		snpu_sched_kick(q->npu->m);
	irq_at = snpu_load(&q->cpl->irq_at);
	if (irq_at && irq_at != q->irq_done && q->head >= irq_at) {
		q->irq_done = irq_at;
		snpu_npu_irq(q->npu, q->vector);
	}
}

/* READY and BLOCKED change often and are written only when they change */
void snpu_queue_set_state(struct snpu_queue *q, uint32_t run)
{
	static const uint32_t pub[] = {
		[SNPU_RUN_STOPPED] = SNPU_QSTATE_STOPPED,
		[SNPU_RUN_READY] = SNPU_QSTATE_RUN,
		[SNPU_RUN_BLOCKED] = SNPU_QSTATE_BLOCKED,
		[SNPU_RUN_SUSPENDED] = SNPU_QSTATE_SUSPENDED,
		[SNPU_RUN_FAULT] = SNPU_QSTATE_FAULT,
		[SNPU_RUN_HUNG] = SNPU_QSTATE_RUN,
		[SNPU_RUN_ASIDE] = SNPU_QSTATE_RUN,
		[SNPU_RUN_ASIDE_BLOCKED] = SNPU_QSTATE_BLOCKED,
	};

	if (snpu_load(&q->run) == run)
		return;
	snpu_store(&q->run, run);
	snpu_store_rel(&q->cpl->state, pub[run]);
}

/**
 * snpu_queue_fault() - stop a queue at its next packet
 * @q: owned queue
 * @error: SNPU_ERR_*
 * @aux: op | index in the indirect buffer << 8
 * @va: address, for the memory errors
 * @event: produce QUEUE_FAULT
 *
 * Context: worker in a section, or holder of bus_lock.
 */
void snpu_queue_fault(struct snpu_queue *q, unsigned int error, uint32_t aux, uint64_t va,
		      bool event)
{
	struct snpu_npu *n = q->npu;

	/* what was retired before is published; then the reason, then the state that tells */
	snpu_queue_publish(q);
	snpu_store(&q->error, error);
	snpu_store(&q->error_aux, aux);
	snpu_store(&q->fault_va, va);
	snpu_store(&q->cpl->error, error);
	snpu_store(&q->cpl->error_aux, aux);
	snpu_store(&q->cpl->fault_index, q->head);
	snpu_store(&q->cpl->fault_va, va);
	q->ib_count = 0;
	q->waiting = false;
	if (q->stamped)
		snpu_plane_unstamp(n->m->plane, n->node, q->id, q->epoch);
	q->stamped = false;
	snpu_queue_set_state(q, SNPU_RUN_FAULT);
	__atomic_fetch_add(&n->cnt_faults, 1, __ATOMIC_RELAXED);
	if (event)
		snpu_event_emit(n, q, SNPU_EVT_QUEUE_FAULT, error, va);
}

/**
 * snpu_queue_create() - argument checked by the caller
 * @n: NPU, locked
 * @d: description
 *
 * Return: 0, -EFAULT: no memory behind cpl_addr, -ENOMEM.
 */
int snpu_queue_create(struct snpu_npu *n, const struct snpu_queue_desc *d)
{
	uint64_t *db = n->doorbells + (uint64_t)d->queue * (SNPU_DB_STRIDE / sizeof(uint64_t));
	struct snpu_queue *q;
	uint8_t *p = NULL;
	uint64_t run = 0;
	int ret;

	q = aligned_alloc(64, (sizeof(*q) + 63) & ~(size_t)63);
	if (!q)
		return -ENOMEM;
	memset(q, 0, sizeof(*q));
	q->db = db;
	q->npu = n;
	q->ctx = n->ctxs[d->ctx];
	q->die = (uint8_t)(d->flags >> SNPU_QF_DIE_SHIFT);
	q->timing = d->flags & SNPU_QF_TIMING;
	q->ring_va = d->ring_va;
	q->cpl_addr = d->cpl_addr;
	q->id = d->queue;
	q->ring_entries = 1u << d->ring_log2;
	q->vector = d->vector;
	q->prio = d->prio;
	q->epoch = n->epochs[d->queue];
	q->ctx_gen = q->ctx->gen;

	pthread_mutex_lock(&n->bus_lock);
	q->bus_gen = snpu_load(&n->bus_gen);
	ret = snpu_bus_translate(n, d->cpl_addr, true, &p, &run);
	if (ret || run < sizeof(struct snpu_cpl)) {
		/* memory that only messages reach cannot hold a record that is polled */
		pthread_mutex_unlock(&n->bus_lock);
		free(q);
		return -EFAULT;
	}
	q->cpl = (struct snpu_cpl *)p;
	memset(q->cpl, 0, sizeof(*q->cpl));
	snpu_store(db, 0);
	snpu_store_rel(&q->cpl->state, SNPU_QSTATE_RUN);
	ret = snpu_bus_lost(n, q->cpl, sizeof(*q->cpl)) ? -EFAULT : 0;
	pthread_mutex_unlock(&n->bus_lock);
	if (ret) {
		free(q);
		return ret;
	}

	q->run = SNPU_RUN_READY;
	snpu_store_rel(&n->queues[d->queue], q);
	ret = snpu_list_add(n->m, q);
	if (ret) {
		snpu_store_rel(&n->queues[d->queue], NULL);
		snpu_quiesce(n->m);
		free(q);
		return ret;
	}
	n->epochs[d->queue]++;
	snpu_store(&n->prio_queues[q->prio], n->prio_queues[q->prio] + 1);
	q->ctx->queues++;
	return 0;
}

/**
 * snpu_queue_destroy() - stop, forget
 * @n: NPU, locked
 * @id: below num_queues
 * @error: SNPU_ERR_ABORTED when it was not the driver's wish, else 0
 *
 * Return: 0 or -ENOENT.
 */
int snpu_queue_destroy(struct snpu_npu *n, uint32_t id, unsigned int error)
{
	struct snpu_queue *q = n->queues[id];

	if (!q)
		return -ENOENT;
	snpu_or(&q->stop, SNPU_STOP_ABORT);
	snpu_queue_lock_abort(q);
	pthread_mutex_lock(&n->bus_lock);
	snpu_store(&q->run, SNPU_RUN_STOPPED);
	snpu_mmu_sync(q);
	snpu_queue_publish(q);
	if (error && !q->error)
		snpu_store(&q->cpl->error, error);
	snpu_store_rel(&q->cpl->state, SNPU_QSTATE_STOPPED);
	/* the owner word stays taken: nobody runs it any more */
	snpu_store_rel(&n->queues[id], NULL);
	pthread_mutex_unlock(&n->bus_lock);
	snpu_list_del(n->m, q);
	snpu_store(&n->prio_queues[q->prio], n->prio_queues[q->prio] - 1);
	q->ctx->queues--;
	if (n->m->plane)
		snpu_plane_queue_gone(n->m->plane, n->node, id, q->epoch);
	free(q);
	return 0;
}

/**
 * snpu_queue_suspend() - stop a queue between two packets
 * @n: NPU, locked
 * @id: below num_queues
 *
 * Return: 0, -ENOENT, or -EBUSY when the packet in flight did not end in time; then the queue goes
 * on as before.
 */
int snpu_queue_suspend(struct snpu_npu *n, uint32_t id)
{
	struct snpu_queue *q = n->queues[id];
	int ret = 0;

	if (!q)
		return -ENOENT;
	snpu_or(&q->stop, SNPU_STOP_SUSPEND);
	if (snpu_queue_lock_timeout(q, SUSPEND_WAIT_NS)) {
		__atomic_fetch_and(&q->stop, ~SNPU_STOP_SUSPEND, __ATOMIC_SEQ_CST);
		snpu_sched_kick(n->m);
		return -EBUSY;
	}
	pthread_mutex_lock(&n->bus_lock);
	snpu_mmu_sync(q);
	if (snpu_load(&q->run) == SNPU_RUN_HUNG)
		ret = -EBUSY;
	else if (snpu_load(&q->run) != SNPU_RUN_FAULT)
		snpu_queue_set_state(q, SNPU_RUN_SUSPENDED);
	pthread_mutex_unlock(&n->bus_lock);
	__atomic_fetch_and(&q->stop, ~SNPU_STOP_SUSPEND, __ATOMIC_SEQ_CST);
	snpu_queue_unlock(q);
	return ret;
}

/** snpu_queue_resume() - undo snpu_queue_suspend(). 0 or -ENOENT */
int snpu_queue_resume(struct snpu_npu *n, uint32_t id)
{
	struct snpu_queue *q = n->queues[id];

	if (!q)
		return -ENOENT;
	/* Only SUSPEND, which n->lock keeps out, suspends; a packet in flight may take minutes */
	if (snpu_load(&q->run) != SNPU_RUN_SUSPENDED)
		return 0;
	snpu_queue_lock(q);
	pthread_mutex_lock(&n->bus_lock);
	snpu_mmu_sync(q);
	if (snpu_load(&q->run) == SNPU_RUN_SUSPENDED)
		snpu_queue_set_state(q, SNPU_RUN_READY);
	pthread_mutex_unlock(&n->bus_lock);
	snpu_queue_unlock(q);
	snpu_sched_kick(n->m);
	return 0;
}
