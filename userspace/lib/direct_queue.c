// SPDX-License-Identifier: MIT
/*
 * direct transport: queues, interrupts, sleeping.
 */
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "direct.h"

#define ALIVE_NS	500000000ull	/* a sleeper asks so often whether snpud is there */

struct waiter {
	uint64_t position;
	struct waiter *next;
};

/**
 * struct awaiting - a wait for another queue that was put into a ring
 * @n: NPU of that queue
 * @id: its number
 * @until: the wait is over when so many packets of the own queue retired
 * @next: next
 */
struct awaiting {
	struct dnpu *n;
	uint32_t id;
	uint64_t until;
	struct awaiting *next;
};

/**
 * struct dqueue - a queue, for as long as the queue or a fence of it lives
 * @n: NPU
 * @id: queue number
 * @refs: queue and fences; under n->lock
 * @cpl: completion record
 * @dead: the queue is destroyed
 * @final: packets it had retired then
 * @waiters: who sleeps, and for what
 * @q: the queue, until it is destroyed
 * @awaited: highest position that another queue waits for, in the completion record
 * @copy: of the completion record, once that was given to those who wait
 * @awaiting: what it waits for itself
 */
struct dqueue {
	struct dnpu *n;
	uint32_t id;
	unsigned int refs;
	struct snpu_cpl *cpl;
	bool dead;
	uint64_t final;
	struct waiter *waiters;
	struct snpu_queue *q;
	uint64_t awaited;
	struct snpu_cpl copy;
	struct awaiting *awaiting;
};

/* In the place of a queue that the device did not give up */
static struct dqueue given_up;

struct dqueue *direct_queue_ref(struct dqueue *dq)
{
	pthread_mutex_lock(&dq->n->lock);
	dq->refs++;
	pthread_mutex_unlock(&dq->n->lock);
	return dq;
}

void direct_queue_unref(struct dqueue *dq)
{
	struct dnpu *n = dq->n;
	bool last;

	pthread_mutex_lock(&n->lock);
	last = !--dq->refs;
	pthread_mutex_unlock(&n->lock);
	if (last)
		free(dq);
}

void direct_queue_drop(struct dqueue *dq)
{
	if (!__atomic_sub_fetch(&dq->refs, 1, __ATOMIC_ACQ_REL))
		free(dq);
}

void direct_drop_queue(struct snpu_queue *q)
{
	struct dqueue *dq = q->priv;
	struct awaiting *a;

	while ((a = dq->awaiting)) {
		dq->awaiting = a->next;
		free(a);
	}
	direct_queue_drop(dq);
}

struct dnpu *direct_dqueue_npu(struct dqueue *dq)
{
	return dq->n;
}

void direct_queue_name(struct dnpu *n, unsigned int id, char *buf, size_t len)
{
	struct dqueue *dq = id < n->num_queues ? n->queues[id] : NULL;

	if (dq && dq->q)
		snprintf(buf, len, "packets that queue %u, NPU %u, has retired", dq->q->number,
			 n->npu->index);
	else
		snprintf(buf, len, "packets that a queue of NPU %u had retired", n->npu->index);
}

uint64_t direct_dqueue_cpl_off(struct dqueue *dq)
{
	return dq->n->cpl_off + dq->id * sizeof(struct snpu_cpl);
}

/* Caller holds n->lock */
static int dqueue_state(struct dqueue *dq, uint64_t position)
{
	const volatile struct snpu_cpl *cpl = dq->cpl;
	uint32_t state;

	if (dq->dead)
		return dq->final >= position ? 1 : -EIO;
	if (cpl->completed >= position) {
		snpu_rmb_complete();
		return 1;
	}
	if (dq->n->lost)
		return -ENODEV;
	state = cpl->state;
	if (state == SNPU_QSTATE_FAULT || state == SNPU_QSTATE_STOPPED ||
	    state == SNPU_QSTATE_NONE) {
		snpu_rmb_complete();
		return cpl->completed >= position ? 1 : -EIO;
	}
	return 0;
}

int direct_dqueue_state(struct dqueue *dq, uint64_t position)
{
	int ret;

	pthread_mutex_lock(&dq->n->lock);
	ret = dqueue_state(dq, position);
	pthread_mutex_unlock(&dq->n->lock);
	return ret;
}

/*
 * Forgets waits that are over: all of them with @all, or when the queue has stopped. Caller holds
 * the lock of the queue's NPU.
 */
static void awaiting_prune(struct dqueue *dq, bool all)
{
	const volatile struct snpu_cpl *cpl = dq->cpl;
	uint64_t done = cpl->completed;
	struct awaiting **p = &dq->awaiting, *a;

	all |= cpl->state == SNPU_QSTATE_FAULT || cpl->state == SNPU_QSTATE_STOPPED;
	while ((a = *p)) {
		if (all || a->until <= done) {
			*p = a->next;
			free(a);
		} else {
			p = &a->next;
		}
	}
}

/*
 * Does any queue of the set still wait at the record of a number that is free? It looks there only
 * when it comes to that packet, and must not find the record of the next queue.
 */
static bool still_awaited(struct dnpu *n, uint32_t id)
{
	struct snpu *s = n->npu->snpu;
	bool found = false;
	unsigned int i, k;

	for (i = 0; !found && i < s->count; i++) {
		struct dnpu *o = s->npus[i].priv;

		if (!__atomic_load_n(&o->up, __ATOMIC_ACQUIRE))
			continue;
		pthread_mutex_lock(&o->lock);
		for (k = 0; !found && k < o->num_queues; k++) {
			const struct awaiting *a;

			if (!o->queues[k] || !o->queues[k]->awaiting)
				continue;
			awaiting_prune(o->queues[k], false);
			for (a = o->queues[k]->awaiting; a && !found; a = a->next)
				found = a->n == n && a->id == id;
		}
		pthread_mutex_unlock(&o->lock);
	}
	return found;
}

/* Takes a free number for @dq, or gives num_queues */
static uint32_t number_get(struct dnpu *n, struct dqueue *dq)
{
	uint32_t id = 0;

	pthread_mutex_lock(&n->lock);
	for (;; id++) {
		while (id < n->num_queues && n->queues[id])
			id++;
		if (id == n->num_queues)
			break;
		n->queues[id] = dq;
		pthread_mutex_unlock(&n->lock);
		if (!still_awaited(n, id))
			return id;
		pthread_mutex_lock(&n->lock);
		n->queues[id] = NULL;
	}
	pthread_mutex_unlock(&n->lock);
	return id;
}

int direct_dqueue_await(struct dqueue *dq, uint64_t position, struct snpu_queue *by)
{
	struct awaiting *a = malloc(sizeof(*a));
	struct dqueue *own = by->priv;
	int ret;

	if (!a)
		return -ENOMEM;
	/* known before the state is looked at: who destroys the queue after that finds it */
	*a = (struct awaiting){ dq->n, dq->id, by->head + 1, NULL };
	pthread_mutex_lock(&own->n->lock);
	awaiting_prune(own, false);
	a->next = own->awaiting;
	own->awaiting = a;
	pthread_mutex_unlock(&own->n->lock);
	pthread_mutex_lock(&dq->n->lock);
	ret = dqueue_state(dq, position);
	if (!ret && position > dq->awaited)
		dq->awaited = position;
	pthread_mutex_unlock(&dq->n->lock);
	return ret;
}

/*
 * Lets queues go on that wait for what a stopped queue never reaches, as the kernel's fences do.
 * They look at the index in its record: that runs away, and the queue itself goes on with a copy.
 * Caller holds n->lock, and wakes the devices if it is true.
 */
static bool release(struct dqueue *dq)
{
	struct snpu_cpl *cpl = dq->cpl;

	if (cpl == &dq->copy || dq->awaited <= cpl->completed)
		return false;
	dq->copy = *cpl;
	dq->cpl = &dq->copy;
	if (dq->q)
		__atomic_store_n(&dq->q->cpl, (const volatile struct snpu_cpl *)dq->cpl,
				 __ATOMIC_RELEASE);
	__atomic_store_n(&cpl->completed, SNPU_CPL_RELEASED, __ATOMIC_SEQ_CST);
	return true;
}

/* Wakes the NPUs that sleep, after a store that some queue may wait for */
static void wake_all(struct snpu *s)
{
	uint32_t one = 1, k;
	unsigned int i;

	for (i = 0; i < s->count; i++) {
		struct dnpu *n = s->npus[i].priv;
		bool asleep = false;

		if (!__atomic_load_n(&n->up, __ATOMIC_ACQUIRE))
			continue;
		pthread_mutex_lock(&n->lock);
		for (k = 0; !asleep && !n->lost && k < n->num_queues; k++)
			asleep = n->queues[k] && *(volatile __u32 *)&n->cpl[k].need_wake;
		pthread_mutex_unlock(&n->lock);
		if (asleep)
			direct_error(n, snpu_vfuc_write_posted(n->c, SNPU_BAR_REGS, SNPU_REG_WAKE,
							       &one, sizeof(one)));
	}
}

/*
 * Asks for an interrupt at the lowest position that anybody waits for; caller holds n->lock. The
 * device writes completed, then reads irq_at; here it is the other way round, so that one sees the
 * other.
 */
static void arm(struct dqueue *dq)
{
	volatile struct snpu_cpl *cpl = dq->cpl;
	uint64_t min = 0;
	struct waiter *w;

	for (w = dq->waiters; w; w = w->next)
		min = !min || w->position < min ? w->position : min;
	if (dq->dead || cpl->irq_at == min)
		return;
	cpl->irq_at = min;
	atomic_thread_fence(memory_order_seq_cst);
	if (min && cpl->completed >= min)
		pthread_cond_broadcast(&dq->n->cond);
}

static void ask_alive(struct dnpu *n)
{
	uint32_t status;

	/* a lost connection is noticed in there, and everybody told */
	direct_reg32(n, SNPU_REG_STATUS, &status);
}

int direct_dqueue_sleep(struct dqueue *dq, uint64_t position, uint64_t deadline)
{
	struct waiter me = { .position = position }, **p;
	struct dnpu *n = dq->n;
	int ret = 0;

	pthread_mutex_lock(&n->lock);
	me.next = dq->waiters;
	dq->waiters = &me;
	arm(dq);
	while (!dqueue_state(dq, position)) {
		uint64_t now = snpu_now_ns(), until = now + ALIVE_NS;
		struct timespec ts;

		if (now >= deadline) {
			ret = -ETIME;
			break;
		}
		until = until < deadline ? until : deadline;
		ts.tv_sec = (time_t)(until / 1000000000ull);
		ts.tv_nsec = (long)(until % 1000000000ull);
		if (pthread_cond_timedwait(&n->cond, &n->lock, &ts) == ETIMEDOUT &&
		    until < deadline) {
			pthread_mutex_unlock(&n->lock);
			ask_alive(n);
			pthread_mutex_lock(&n->lock);
		}
	}
	for (p = &dq->waiters; *p != &me; p = &(*p)->next)
		;
	*p = me.next;
	arm(dq);
	pthread_mutex_unlock(&n->lock);
	return ret;
}

int direct_queue_sleep(struct snpu_queue *q, uint64_t position, uint64_t deadline)
{
	int ret = direct_dqueue_sleep(q->priv, position, deadline);

	if (!ret && direct_dqueue_state(q->priv, position) == -ENODEV)
		return snpu_fail(-ENODEV, "snpu_queue_wait: snpud of NPU %u is gone",
				 q->ctx->npu->index);
	return ret;
}

/* Events are not looked at one by one: completion records say all that matters here */
static void drain_events(struct dnpu *n)
{
	volatile struct snpu_event_ring *r = n->ring;
	bool released = false;
	uint32_t i;

	pthread_mutex_lock(&n->lock);
	n->irqs++;
	for (i = 0; i < n->num_queues; i++) {
		struct dqueue *dq = n->queues[i];

		if (dq && dq->awaited && *(volatile __u32 *)&dq->cpl->state == SNPU_QSTATE_FAULT) {
			snpu_rmb_complete();
			released |= release(dq);
		}
	}
	if (n->ring)
		r->cons = r->prod;
	pthread_cond_broadcast(&n->cond);
	pthread_mutex_unlock(&n->lock);
	if (released)
		wake_all(n->npu->snpu);
}

/* Has work that is not done? The doorbell says what is submitted */
static bool npu_busy(struct dnpu *n)
{
	bool busy = false;
	uint32_t i;

	pthread_mutex_lock(&n->lock);
	for (i = 0; !busy && !n->lost && i < n->num_queues; i++)
		busy = n->queues[i] && n->cpl[i].state != SNPU_QSTATE_FAULT &&
		       *(volatile uint64_t *)(n->db + (size_t)i * SNPU_DB_STRIDE) >
		       *(volatile __u64 *)&n->cpl[i].completed;
	pthread_mutex_unlock(&n->lock);
	return busy;
}

/* Nobody interrupts when snpud dies: NPUs with work are asked, for those who only poll */
static void ask_busy(struct direct *d)
{
	unsigned int i;

	for (i = 0; i < d->snpu->count; i++) {
		struct dnpu *n = d->snpu->npus[i].priv;

		if (n && __atomic_load_n(&n->up, __ATOMIC_ACQUIRE) && npu_busy(n))
			ask_alive(n);
	}
}

void *direct_irq_thread(void *arg)
{
	struct direct *d = arg;
	struct epoll_event ev[16];
	uint64_t ask = snpu_now_ns() + ALIVE_NS;
	int i, n;

	for (;;) {
		n = epoll_wait(d->epoll, ev, 16, (int)(ALIVE_NS / 1000000));
		if (snpu_now_ns() >= ask) {
			ask_busy(d);
			ask = snpu_now_ns() + ALIVE_NS;
		}
		for (i = 0; i < n; i++) {
			struct dnpu *npu = ev[i].data.ptr;
			uint64_t count;
			int k;

			if (!npu)
				return NULL;
			for (k = 0; k < 2; k++)
				while (read(npu->evfd[k], &count, sizeof(count)) > 0)
					;
			drain_events(npu);
		}
	}
}

int direct_queue_create(struct snpu_queue *q)
{
	struct dnpu *n = direct_npu(q->ctx);
	struct dctx *c = q->ctx->priv;
	struct dqueue *dq = calloc(1, sizeof(*dq));
	struct snpu_admin_mbox cmd = { .op = SNPU_ADM_QUEUE_CREATE };
	uint64_t iova;
	uint32_t id;
	int ret;

	if (!dq)
		return snpu_fail(-ENOMEM, "snpu_queue_create");
	id = number_get(n, dq);
	if (id == n->num_queues) {
		free(dq);
		return snpu_fail(-ENOSPC, "snpu_queue_create: all %u queues of NPU %u are in use",
				 n->num_queues, n->npu->index);
	}
	dq->n = n;
	dq->q = q;
	dq->id = id;
	dq->refs = 1;
	dq->cpl = &n->cpl[id];
	/* the shared memory was the first to get a DMA address */
	iova = 0x100000000ull + n->cpl_off + id * sizeof(struct snpu_cpl);
	memset(dq->cpl, 0, sizeof(*dq->cpl));
	cmd.queue = (struct snpu_queue_desc){
		.queue = id, .ctx = c->id, .ring_va = q->ring_mem->va, .cpl_addr = iova,
		.ring_log2 = (uint8_t)__builtin_ctzll(q->mask + 1), .prio = (uint8_t)q->prio,
		.vector = (uint16_t)(1 + id % (SNPU_MSIX_VECTORS - 1)), .flags = q->flags,
	};
	ret = direct_admin(n, &cmd, NULL);
	if (ret) {
		pthread_mutex_lock(&n->lock);
		n->queues[id] = NULL;
		pthread_mutex_unlock(&n->lock);
		free(dq);
		return snpu_fail(ret, "snpu_queue_create: queue %u of NPU %u", id, n->npu->index);
	}
	q->doorbell = (volatile uint64_t *)(n->db + (size_t)id * SNPU_DB_STRIDE);
	q->cpl = dq->cpl;
	q->priv = dq;
	return 0;
}

int direct_queue_destroy(struct snpu_queue *q)
{
	struct dqueue *dq = q->priv;
	struct dnpu *n = dq->n;
	struct snpu_admin_mbox cmd = { .op = SNPU_ADM_QUEUE_DESTROY, .qid = dq->id };
	int ret = direct_admin(n, &cmd, NULL);
	bool released;

	pthread_mutex_lock(&n->lock);
	dq->final = dq->cpl->completed;
	dq->dead = true;
	dq->q = NULL;
	awaiting_prune(dq, true);
	released = release(dq);
	/* a number that the device did not give up is not used again */
	n->queues[dq->id] = ret ? &given_up : NULL;
	pthread_cond_broadcast(&n->cond);
	pthread_mutex_unlock(&n->lock);
	if (released)
		wake_all(n->npu->snpu);
	direct_queue_unref(dq);
	return ret ? snpu_fail(ret, "snpu_queue_destroy: queue %u, NPU %u", q->number,
			       n->npu->index) : 0;
}

int direct_queue_wake(struct snpu_queue *q)
{
	struct dnpu *n = direct_npu(q->ctx);
	uint32_t one = 1;
	int ret = direct_error(n, snpu_vfuc_write_posted(n->c, SNPU_BAR_REGS, SNPU_REG_WAKE, &one,
							 sizeof(one)));

	return ret ? snpu_fail(ret, "waking NPU %u", n->npu->index) : 0;
}

int direct_queue_pause(struct snpu_queue *q, bool pause)
{
	struct dqueue *dq = q->priv;
	struct snpu_admin_mbox cmd = {
		.op = pause ? SNPU_ADM_QUEUE_SUSPEND : SNPU_ADM_QUEUE_RESUME, .qid = dq->id,
	};
	int ret = direct_admin(dq->n, &cmd, NULL);

	return ret ? snpu_fail(ret, "snpu_queue_%s: queue %u, NPU %u", pause ? "suspend" : "resume",
			       q->number, dq->n->npu->index) : 0;
}

/* Sleeps until @n interrupts for the first time after @irqs; -ETIME */
static int wait_irq(struct dnpu *n, uint64_t irqs, uint64_t deadline)
{
	int ret = 0;

	pthread_mutex_lock(&n->lock);
	if (n->irqs == irqs && !n->lost) {
		uint64_t now = snpu_now_ns(), until = now + ALIVE_NS;
		struct timespec ts;

		until = until < deadline ? until : deadline;
		ts.tv_sec = (time_t)(until / 1000000000ull);
		ts.tv_nsec = (long)(until % 1000000000ull);
		if (now >= deadline)
			ret = -ETIME;
		else
			pthread_cond_timedwait(&n->cond, &n->lock, &ts);
	}
	pthread_mutex_unlock(&n->lock);
	return ret;
}

int direct_queue_vtime(struct snpu_queue *q, uint64_t position, uint64_t deadline,
		       struct snpu_vtime *vt)
{
	struct dqueue *dq = q->priv;
	struct dnpu *n = dq->n;
	struct snpu_admin_mbox cmd = {
		.op = SNPU_ADM_VTIME, .vtime = { .qid = dq->id, .position = position },
	};
	uint64_t data[7], irqs;
	int ret;

	/* not known yet: the NPU interrupts when it may be */
	do {
		pthread_mutex_lock(&n->lock);
		irqs = n->irqs;
		pthread_mutex_unlock(&n->lock);
		ret = direct_admin(n, &cmd, data);
	} while (ret == -EBUSY && !(ret = wait_irq(n, irqs, deadline)));
	if (ret)
		return snpu_fail(ret, "snpu_queue_vtime: position %llu of queue %u, NPU %u: %s",
				 (unsigned long long)position, q->number, n->npu->index,
				 ret == -ETIME ? "not known in time" :
				 ret == -EOPNOTSUPP ? "the machine keeps no virtual time" :
				 ret == -ENOSPC ? "virtual time is lost: more packets than snpud keeps" :
				 ret == -ENOENT ? "no such packet" : strerror(-ret));
	vt->end = data[0];
	vt->begin = data[1];
	vt->busy = data[2];
	return 0;
}

int direct_queue_error(struct snpu_queue *q, struct snpu_error *err)
{
	const volatile struct snpu_cpl *cpl = q->cpl;
	struct dqueue *dq = q->priv;

	err->state = cpl->state;
	snpu_rmb_complete();
	pthread_mutex_lock(&dq->n->lock);
	err->lost = dq->n->lost || err->state == SNPU_QSTATE_STOPPED;
	pthread_mutex_unlock(&dq->n->lock);
	if (err->state == SNPU_QSTATE_FAULT) {
		err->code = cpl->error;
		err->op = cpl->error_aux & 0xff;
		err->ib_index = cpl->error_aux >> 8;
		err->index = cpl->fault_index;
		err->va = cpl->fault_va;
	} else if (err->lost) {
		err->code = SNPU_ERR_ABORTED;
		err->index = cpl->completed;
	}
	return 0;
}
