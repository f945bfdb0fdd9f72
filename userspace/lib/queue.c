// SPDX-License-Identifier: MIT
/*
 * Queues: taking ring entries, the doorbell, polling, waiting, errors. The way from
 * snpu_queue_get() to snpu_queue_poll() makes no system call while the device is awake.
 */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "internal.h"
#include "report.h"

/* Where the work goes, and whether it is done at all */
static int queue_flags(struct snpu_ctx *ctx, const struct snpu_queue_params *p, uint32_t *flags)
{
	const struct snpu_info *info = &ctx->npu->info;
	uint64_t given = p->field_mask & (SNPU_QUEUE_DIE | SNPU_QUEUE_TIMING);

	if ((given & SNPU_QUEUE_DIE) && (p->die >= info->dies || p->die >= 255))
		return snpu_fail(-EINVAL, "snpu_queue_create: die %u: NPU %u has %u, 0 to %d",
				 p->die, ctx->npu->index, info->dies, (int)info->dies - 1);
	if ((given & SNPU_QUEUE_TIMING) && p->timing > 1)
		return snpu_fail(-EINVAL, "snpu_queue_create: timing %u is not 0 or 1", p->timing);
	if ((given & SNPU_QUEUE_TIMING) && p->timing && !(info->caps & SNPU_CAP_TIMING))
		return snpu_fail(-EOPNOTSUPP,
				 "snpu_queue_create: timing-only: NPU %u keeps no virtual time",
				 ctx->npu->index);
	if (given & ~ctx->snpu->t->queue_fields)
		return snpu_fail(-EOPNOTSUPP,
				 "snpu_queue_create: transport %s has no die or timing-only queues",
				 ctx->snpu->t->name);
	if (given & SNPU_QUEUE_DIE)
		*flags |= (p->die + 1) << SNPU_QF_DIE_SHIFT;
	if ((given & SNPU_QUEUE_TIMING) && p->timing)
		*flags |= SNPU_QF_TIMING;
	return 0;
}

static int queue_params(struct snpu_ctx *ctx, const struct snpu_queue_params *p, uint64_t *entries,
			unsigned int *prio, uint32_t *flags)
{
	const uint64_t known = SNPU_QUEUE_ENTRIES | SNPU_QUEUE_PRIO | SNPU_QUEUE_DIE |
			       SNPU_QUEUE_TIMING;

	*entries = ctx->snpu->cfg.ring_entries;
	*prio = SNPU_PRIO_NORMAL;
	if (!p)
		return 0;
	if (p->field_mask & ~known)
		return snpu_fail(-EINVAL, "snpu_queue_create: field_mask has unknown bits 0x%llx",
				 (unsigned long long)p->field_mask);
	if (p->field_mask & SNPU_QUEUE_ENTRIES)
		*entries = p->entries;
	if (p->field_mask & SNPU_QUEUE_PRIO)
		*prio = p->prio;
	if (*entries < 1u << SNPU_RING_LOG2_MIN || *entries > 1u << SNPU_RING_LOG2_MAX ||
	    (*entries & (*entries - 1)))
		return snpu_fail(-EINVAL,
				 "snpu_queue_create: %llu entries: a power of two, %u to %u",
				 (unsigned long long)*entries, 1u << SNPU_RING_LOG2_MIN,
				 1u << SNPU_RING_LOG2_MAX);
	if (*prio > SNPU_PRIO_MAX)
		return snpu_fail(-EINVAL, "snpu_queue_create: priority %u is not 0 to %u", *prio,
				 SNPU_PRIO_MAX);
	return queue_flags(ctx, p, flags);
}

/**
 * snpu_queue_create() - a command queue
 * @ctx: context; packets use its addresses
 * @params: entries, priority, die, timing-only, or NULL for the defaults
 * @out: receives the queue
 *
 * Return: 0; -EINVAL; -EACCES for priority HIGH without CAP_SYS_NICE; -ENOSPC when the NPU has no
 * queue left; -EOPNOTSUPP for a timing-only queue of a machine that keeps no virtual time; -ENOMEM;
 * -ENODEV. Thread-safe.
 */
SNPU_EXPORT int snpu_queue_create(struct snpu_ctx *ctx, const struct snpu_queue_params *params,
				  struct snpu_queue **out)
{
	struct snpu_queue *q;
	uint64_t entries;
	void *ring;
	int ret;

	if (!ctx || !out)
		return snpu_fail(-EINVAL, "snpu_queue_create: ctx or out is NULL");
	if (snpu_obj_dead(&ctx->obj, "snpu_queue_create"))
		return -EINVAL;
	ret = snpu_own(ctx->snpu, "snpu_queue_create");
	if (ret)
		return ret;
	q = calloc(1, sizeof(*q));
	if (!q)
		return snpu_fail(-ENOMEM, "snpu_queue_create");
	q->ctx = ctx;
	ret = queue_params(ctx, params, &entries, &q->prio, &q->flags);
	if (ret)
		goto out_free;
	q->mask = entries - 1;
	ret = snpu_mem_alloc_as(ctx, entries * SNPU_PKT_BYTES, SNPU_MEM_HOST | SNPU_MEM_READ_ONLY,
				"ring of a queue", &q->ring_mem);
	if (ret)
		goto out_free;
	ret = snpu_mem_map(q->ring_mem, &ring);
	if (!ret) {
		q->ring = ring;
		q->number = atomic_fetch_add(&ctx->next_queue, 1);
		ret = ctx->snpu->t->queue_create(q);
	}
	if (ret) {
		snpu_mem_free(q->ring_mem);
		goto out_free;
	}
	snpu_obj_add(&q->obj, SNPU_KIND_QUEUE, ctx->obj.check);
	pthread_mutex_lock(&ctx->lock);
	snpu_fork_lock();
	q->next = ctx->queues;
	ctx->queues = q;
	snpu_fork_unlock();
	pthread_mutex_unlock(&ctx->lock);
	atomic_fetch_add(&ctx->children, 1);
	*out = q;
	return 0;

out_free:
	free(q);
	return snpu_fail_in("snpu_queue_create", ret);
}

/**
 * snpu_queue_destroy() - stop a queue and free it
 * @q: queue, or NULL; a packet in flight is aborted, the rest is dropped
 *
 * Return: 0; -EINVAL when it was destroyed before; an error of the device: the queue is gone then,
 * too.
 */
SNPU_EXPORT int snpu_queue_destroy(struct snpu_queue *q)
{
	struct snpu_queue **p;
	struct snpu_fence *f;
	int ret, ret2;

	if (!q)
		return 0;
	ret = snpu_obj_take(q, SNPU_KIND_QUEUE, "snpu_queue_destroy");
	if (ret)
		return ret;
	if (snpu_forked(q->ctx->snpu)) {
		q->ctx->snpu->t->drop_queue(q);
		snpu_mem_free(q->ring_mem);
		atomic_fetch_sub(&q->ctx->children, 1);
		snpu_obj_free(&q->obj);
		return 0;
	}
	/* they live on, but have no virtual time any more */
	pthread_mutex_lock(&q->ctx->snpu->lock);
	for (f = q->fences; f; f = f->next)
		f->q = NULL;
	pthread_mutex_unlock(&q->ctx->snpu->lock);
	pthread_mutex_lock(&q->ctx->lock);
	snpu_fork_lock();
	for (p = &q->ctx->queues; *p != q; p = &(*p)->next)
		;
	*p = q->next;
	snpu_fork_unlock();
	pthread_mutex_unlock(&q->ctx->lock);
	ret = q->ctx->snpu->t->queue_destroy(q);
	ret2 = snpu_mem_free(q->ring_mem);
	atomic_fetch_sub(&q->ctx->children, 1);
	snpu_obj_free(&q->obj);
	return ret ? ret : ret2 ? snpu_fail_in("snpu_queue_destroy", ret2) : 0;
}

/** snpu_queue_ctx() - context of a queue */
SNPU_EXPORT struct snpu_ctx *snpu_queue_ctx(const struct snpu_queue *q)
{
	return q && !snpu_obj_dead(&q->obj, "snpu_queue_ctx") ? q->ctx : NULL;
}

/* Rings of a parent look full in a child */
static int ring_full(const struct snpu_queue *q, const char *call)
{
	int ret = snpu_own(q->ctx->snpu, call);

	if (ret)
		return ret;
	return snpu_fail_quiet(-EAGAIN,
			       "%s: queue %u, NPU %u: the ring is full: %llu packets are not retired",
			       call, q->number, q->ctx->npu->index,
			       (unsigned long long)(q->mask + 1));
}

static inline int next_entry(struct snpu_queue *q, const char *call, union snpu_pkt **out)
{
	if (q->head - snpu_cpl_completed(q) > q->mask || !snpu_queue_put_clock(q))
		return ring_full(q, call);
	/* the device has read the entry that is written over now */
	snpu_rmb_complete();
	*out = memset(&q->ring[q->head++ & q->mask], 0, sizeof(**out));
	return 0;
}

static int next_checked(struct snpu_queue *q, const char *call, union snpu_pkt **out)
{
	int ret = snpu_check_dead(&q->obj, call) ? -EINVAL : snpu_check_enter(q, call);

	if (ret)
		return ret;
	ret = next_entry(q, call, out);
	snpu_check_leave(q);
	return ret;
}

int snpu_queue_next(struct snpu_queue *q, const char *call, union snpu_pkt **out)
{
	return __builtin_expect(q->obj.check, 0) ? next_checked(q, call, out) :
						   next_entry(q, call, out);
}

int snpu_queue_room(struct snpu_queue *q, const char *call)
{
	if (q->head - snpu_cpl_completed(q) > q->mask || !snpu_queue_put_clock(q))
		return ring_full(q, call);
	return 0;
}

/**
 * snpu_queue_get() - the next free ring entry
 * @q: queue
 *
 * Return: a zeroed entry to be filled by one snpu_prep_*() before snpu_queue_submit(); NULL when
 * the ring is full, with a message in snpu_last_error(). One thread at a time; no system call.
 */
SNPU_EXPORT union snpu_pkt *snpu_queue_get(struct snpu_queue *q)
{
	union snpu_pkt *p = NULL;

	if (!q)
		snpu_fail(-EINVAL, "snpu_queue_get: queue is NULL");
	else
		snpu_queue_next(q, "snpu_queue_get", &p);
	return p;
}

bool snpu_queue_put_clock(struct snpu_queue *q)
{
	uint64_t clock = __atomic_load_n(&q->ctx->snpu->clock, __ATOMIC_RELAXED);

	if (__builtin_expect(q->clock == clock, 1))
		return true;
	if (q->head - snpu_cpl_completed(q) >= q->mask)
		return false;
	snpu_rmb_complete();
	snpu_prep_clock(&q->ring[q->head++ & q->mask], clock);
	q->clock = clock;
	return true;
}

int snpu_queue_kick(struct snpu_queue *q)
{
	snpu_mb_wake();
	return q->cpl->need_wake ? q->ctx->snpu->t->queue_wake(q) : 0;
}

int snpu_ctx_wake(struct snpu_ctx *ctx)
{
	struct snpu_queue *q;
	int ret = 0;

	pthread_mutex_lock(&ctx->lock);
	for (q = ctx->queues; q && !q->cpl->need_wake; q = q->next)
		;
	/* one wake-up is for the whole device */
	if (q)
		ret = ctx->snpu->t->queue_wake(q);
	pthread_mutex_unlock(&ctx->lock);
	return ret;
}

static bool state_stopped(uint32_t state)
{
	return state == SNPU_QSTATE_FAULT || state == SNPU_QSTATE_STOPPED ||
	       state == SNPU_QSTATE_NONE;
}

int snpu_queue_state(const struct snpu_queue *q, uint64_t position)
{
	uint32_t state;

	if (snpu_cpl_completed(q) >= position) {
		snpu_rmb_complete();
		return 1;
	}
	state = q->cpl->state;
	if (!state_stopped(state))
		return 0;
	/* it may have retired the position just before it stopped */
	snpu_rmb_complete();
	return snpu_cpl_completed(q) >= position ? 1 : -EIO;
}

/* Why a queue does not get on, with what its packet waits for or where its address lies */
static int fail_stopped(struct snpu_queue *q, const char *call)
{
	char text[160], more[480];
	struct snpu_error err;
	int ret = snpu_own(q->ctx->snpu, call);

	if (ret)
		return ret;
	ret = snpu_queue_error(q, &err, sizeof(err));
	if (ret)
		return snpu_fail_in(call, ret);
	snpu_error_format(&err, text, sizeof(text));
	snpu_report_error(q, &err, more, sizeof(more));
	ret = snpu_fail(err.lost ? -ENODEV : -EIO, "%s: %s%s", call, text, more);
	if (q->obj.check && err.code == SNPU_ERR_UNMAPPED)
		snpu_check_tell(q, snpu_last_error());
	return ret;
}

static int submit(struct snpu_queue *q, uint64_t *position)
{
	int ret = 0;

	if (state_stopped(q->cpl->state))
		return fail_stopped(q, "snpu_queue_submit");
	if (q->submitted != q->head) {
		q->submitted = q->head;
		snpu_wmb_doorbell();
		snpu_doorbell_write(q->doorbell, q->head);
		ret = snpu_queue_kick(q);
		if (ret)
			return snpu_fail_in("snpu_queue_submit", ret);
	}
	if (position)
		*position = q->head;
	return 0;
}

static int submit_checked(struct snpu_queue *q, uint64_t *position)
{
	int ret = snpu_check_dead(&q->obj, "snpu_queue_submit") ? -EINVAL :
		  snpu_check_enter(q, "snpu_queue_submit");

	if (ret)
		return ret;
	ret = submit(q, position);
	snpu_check_leave(q);
	return ret;
}

/**
 * snpu_queue_submit() - hand over all entries taken since the last call
 * @q: queue
 * @position: receives what snpu_queue_wait() takes, or NULL; unchanged when the call fails
 *
 * A store barrier and a doorbell; a sleeping device is woken. Return: 0; -EIO when the queue has
 * stopped, -ENODEV when the device is gone (see snpu_queue_error()). One thread at a time.
 */
SNPU_EXPORT int snpu_queue_submit(struct snpu_queue *q, uint64_t *position)
{
	if (!q)
		return snpu_fail(-EINVAL, "snpu_queue_submit: queue is NULL");
	return __builtin_expect(q->obj.check, 0) ? submit_checked(q, position) :
						   submit(q, position);
}

/** snpu_queue_completed() - packets retired; what they did is visible */
SNPU_EXPORT uint64_t snpu_queue_completed(const struct snpu_queue *q)
{
	uint64_t n;

	if (!q || snpu_obj_dead(&q->obj, "snpu_queue_completed"))
		return 0;
	n = snpu_cpl_completed(q);
	snpu_rmb_complete();
	return n;
}

/**
 * snpu_queue_poll() - has a position retired?
 * @q: queue
 * @position: from snpu_queue_submit()
 *
 * Return: 1, 0 for not yet, -EIO when it never will, with the reason in snpu_last_error(). No
 * system call unless it fails; any thread.
 */
SNPU_EXPORT int snpu_queue_poll(struct snpu_queue *q, uint64_t position)
{
	int ret;

	if (!q)
		return snpu_fail(-EINVAL, "snpu_queue_poll: queue is NULL");
	if (snpu_obj_dead(&q->obj, "snpu_queue_poll"))
		return -EINVAL;
	ret = snpu_own(q->ctx->snpu, "snpu_queue_poll");
	if (ret)
		return ret;
	ret = snpu_queue_state(q, position);
	if (ret < 0)
		fail_stopped(q, "snpu_queue_poll");
	return ret;
}

/*
 * Sleeps until @position has retired, or @deadline. With SNPU_CHECK a queue that waits for a
 * semaphore for long is reported once: the signal may never come.
 */
static int sleep_until(struct snpu_queue *q, uint64_t position, uint64_t deadline)
{
	uint64_t patience = snpu_now_ns() + SNPU_CHECK_PATIENCE_NS;
	int ret;

	if (q->obj.check && patience < deadline) {
		ret = q->ctx->snpu->t->queue_sleep(q, position, patience);
		if (ret != -ETIME)
			return ret;
		snpu_report_waiting(q, "snpu_queue_wait");
	}
	return q->ctx->snpu->t->queue_sleep(q, position, deadline);
}

/**
 * snpu_queue_wait() - wait until a position has retired
 * @q: queue
 * @position: from snpu_queue_submit()
 * @timeout_ns: nanoseconds, SNPU_FOREVER
 *
 * Spins SNPU_SPIN_US, then sleeps until the device interrupts. On kmd the kernel resets a queue
 * that makes no progress for hang_ms while a call sleeps here, whatever the timeout; on direct a wait
 * lasts as long as @timeout_ns says. Return: 0; -EINVAL when @position was not submitted; -ETIME;
 * -EIO when the queue has stopped, -ENODEV when the device is gone. Any thread.
 */
SNPU_EXPORT int snpu_queue_wait(struct snpu_queue *q, uint64_t position, uint64_t timeout_ns)
{
	uint64_t now = snpu_now_ns(), deadline = snpu_deadline(timeout_ns), spin_end;
	unsigned int i;
	int ret;

	if (!q)
		return snpu_fail(-EINVAL, "snpu_queue_wait: queue is NULL");
	if (snpu_obj_dead(&q->obj, "snpu_queue_wait"))
		return -EINVAL;
	ret = snpu_own(q->ctx->snpu, "snpu_queue_wait");
	if (ret)
		return ret;
	if (position > q->submitted)
		return snpu_fail(-EINVAL,
				 "snpu_queue_wait: position %llu, but only %llu are submitted",
				 (unsigned long long)position, (unsigned long long)q->submitted);
	spin_end = now + q->ctx->snpu->cfg.spin_us * 1000;
	spin_end = spin_end < deadline ? spin_end : deadline;
	do {
		for (i = 0; i < 64; i++) {
			ret = snpu_queue_state(q, position);
			if (ret == 1)
				return 0;
			if (ret)
				return fail_stopped(q, "snpu_queue_wait");
			snpu_cpu_relax();
		}
	} while (snpu_now_ns() < spin_end);
	ret = sleep_until(q, position, deadline);
	if (ret == -ETIME) {
		char why[520];

		snpu_report_wait(q, why, sizeof(why));
		return snpu_fail(-ETIME, "snpu_queue_wait: position %llu not reached in %.3f s: %s",
				 (unsigned long long)position, (double)timeout_ns / 1e9, why);
	}
	if (ret)
		return ret;
	ret = snpu_queue_state(q, position);
	return ret == 1 ? 0 : fail_stopped(q, "snpu_queue_wait");
}

static int queue_pause(struct snpu_queue *q, bool pause, const char *call)
{
	if (!q)
		return snpu_fail(-EINVAL, "%s: queue is NULL", call);
	if (snpu_obj_dead(&q->obj, call))
		return -EINVAL;
	if (state_stopped(q->cpl->state))
		return fail_stopped(q, call);
	return q->ctx->snpu->t->queue_pause(q, pause);
}

/**
 * snpu_queue_suspend() - stop taking packets
 * @q: queue
 *
 * Return: 0 when the packet in flight, if any, has retired; -EIO; -ENODEV.
 */
SNPU_EXPORT int snpu_queue_suspend(struct snpu_queue *q)
{
	return queue_pause(q, true, "snpu_queue_suspend");
}

/**
 * snpu_queue_resume() - take packets again
 * @q: queue
 *
 * Return: 0; -EIO; -ENODEV.
 */
SNPU_EXPORT int snpu_queue_resume(struct snpu_queue *q)
{
	return queue_pause(q, false, "snpu_queue_resume");
}

/**
 * snpu_queue_error() - why a queue stopped
 * @q: queue
 * @err: receives code, packet and address; code NONE when it has not stopped
 * @size: sizeof(struct snpu_error) as the caller knows it
 *
 * Return: 0; -EINVAL; -ENODEV when not even that can be asked.
 */
SNPU_EXPORT int snpu_queue_error(struct snpu_queue *q, struct snpu_error *err, size_t size)
{
	struct snpu_error full = { 0 };
	int ret;

	if (!q || !err || !size)
		return snpu_fail(-EINVAL, "snpu_queue_error: queue or err is NULL, or size is 0");
	if (snpu_obj_dead(&q->obj, "snpu_queue_error"))
		return -EINVAL;
	ret = snpu_own(q->ctx->snpu, "snpu_queue_error");
	if (ret)
		return ret;
	full.npu = q->ctx->npu->index;
	ret = q->ctx->snpu->t->queue_error(q, &full);
	if (ret)
		return ret;
	full.queue = q->number;
	if (full.hung || full.lost)
		snpu_report_packet(q, &full);
	memset(err, 0, size);
	memcpy(err, &full, size < sizeof(full) ? size : sizeof(full));
	return 0;
}

/**
 * snpu_error_format() - an error as one line of text
 * @err: from snpu_queue_error()
 * @buf: receives the text
 * @len: its size
 *
 * Return: what snprintf() returns; -EINVAL without @err, or without @buf for a @len above 0.
 */
SNPU_EXPORT int snpu_error_format(const struct snpu_error *err, char *buf, size_t len)
{
	char where[64] = "", at[48] = "";
	const char *why;
	bool memory, waits;

	if (!err || (!buf && len))
		return snpu_fail(-EINVAL, "snpu_error_format: err or buf is NULL");
	why = snpu_error_name(err->code);
	memory = err->code >= SNPU_ERR_UNMAPPED && err->code <= SNPU_ERR_POISON;
	/* a wait whose packet was in a ring: see snpu_queue_error() */
	waits = err->hung && err->op == SNPU_OP_SEM_WAIT;
	if (!err->code && !err->lost && !err->hung)
		return snprintf(buf, len, "NPU %u queue %u: no error", err->npu, err->queue);
	if (err->lost && err->op > SNPU_OP_CLOCK)
		return snprintf(buf, len, "NPU %u queue %u: the device was reset or removed",
				err->npu, err->queue);
	if (err->lost)
		why = "the device was reset or removed";
	else if (err->hung)
		why = waits ? "was BLOCKED" : "made no progress and was reset";
	if (err->ib_index)
		snprintf(where, sizeof(where), ", packet %u of its command buffer", err->ib_index);
	if (memory || waits || err->code == SNPU_ERR_INDEX || err->code == SNPU_ERR_TIMEOUT)
		snprintf(at, sizeof(at), " at 0x%llx%s", (unsigned long long)err->va,
			 waits ? ", made no progress and was reset" : "");
	return snprintf(buf, len, "NPU %u queue %u packet %llu (%s%s): %s%s", err->npu, err->queue,
			(unsigned long long)err->index, snpu_op_name(err->op), where, why, at);
}
