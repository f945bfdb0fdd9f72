// SPDX-License-Identifier: MIT
/*
 * Virtual time: when packets ran on the modelled machine, and what the host knew when it submitted.
 */
#include <string.h>

#include "internal.h"

static int check(const char *call, const struct snpu *s, const struct snpu_vtime *vt, size_t size)
{
	int ret;

	if (!vt || !size)
		return snpu_fail(-EINVAL, "%s: vt is NULL or size is 0", call);
	ret = snpu_own(s, call);
	if (ret)
		return ret;
	if (!s->t->queue_vtime)
		return snpu_fail(-EOPNOTSUPP, "%s: transport %s has no virtual time", call,
				 s->t->name);
	return 0;
}

static int ask(struct snpu_queue *q, uint64_t position, uint64_t deadline, struct snpu_vtime *vt,
	       size_t size)
{
	struct snpu_vtime full = { 0 };
	int ret = q->ctx->snpu->t->queue_vtime(q, position, deadline, &full);

	if (ret)
		return ret;
	memset(vt, 0, size);
	memcpy(vt, &full, size < sizeof(full) ? size : sizeof(full));
	return 0;
}

/**
 * snpu_queue_vtime() - virtual time of a packet
 * @q: queue
 * @position: from snpu_queue_submit(): the packet before it is meant
 * @timeout_ns: nanoseconds for the packet to retire and its time to become known, SNPU_FOREVER
 * @vt: receives begin, end, and how long the queue was busy
 * @size: sizeof(struct snpu_vtime) as the caller knows it
 *
 * A time is known once all queues of the machine have nothing to do, or wait. Return: 0; -EINVAL;
 * -ETIME; -EIO when the queue has stopped before; -EOPNOTSUPP when the machine keeps no virtual
 * time; -ENOSPC when it has run more packets than it keeps; -ENOENT when virtual time was started
 * anew since; -ENODEV. Any thread.
 */
SNPU_EXPORT int snpu_queue_vtime(struct snpu_queue *q, uint64_t position, uint64_t timeout_ns,
				 struct snpu_vtime *vt, size_t size)
{
	uint64_t deadline = snpu_deadline(timeout_ns);
	int ret;

	if (!q || !position)
		return snpu_fail(-EINVAL,
				 "snpu_queue_vtime: no queue, or position 0: they begin at 1");
	if (snpu_obj_dead(&q->obj, "snpu_queue_vtime"))
		return -EINVAL;
	ret = check("snpu_queue_vtime", q->ctx->snpu, vt, size);
	if (!ret)
		ret = snpu_queue_wait(q, position, timeout_ns);
	if (!ret)
		ret = ask(q, position, deadline, vt, size);
	return ret ? snpu_fail_in("snpu_queue_vtime", ret) : 0;
}

/**
 * snpu_fence_vtime() - virtual time of the packet that a fence stands for
 * @f: from snpu_fence_create(); its queue still exists and is not destroyed meanwhile
 * @timeout_ns: nanoseconds, SNPU_FOREVER
 * @vt: receives begin, end, and how long the queue was busy
 * @size: sizeof(struct snpu_vtime) as the caller knows it
 *
 * Return: as snpu_queue_vtime(); -EINVAL for a fence that was imported, or whose queue is gone. Any
 * thread.
 */
SNPU_EXPORT int snpu_fence_vtime(struct snpu_fence *f, uint64_t timeout_ns, struct snpu_vtime *vt,
				 size_t size)
{
	uint64_t deadline = snpu_deadline(timeout_ns);
	struct snpu_queue *q;
	int ret;

	if (!f)
		return snpu_fail(-EINVAL, "snpu_fence_vtime: fence is NULL");
	if (snpu_obj_dead(&f->obj, "snpu_fence_vtime"))
		return -EINVAL;
	ret = check("snpu_fence_vtime", f->snpu, vt, size);
	if (!ret)
		ret = snpu_fence_wait(f, timeout_ns);
	if (ret)
		return snpu_fail_in("snpu_fence_vtime", ret);
	pthread_mutex_lock(&f->snpu->lock);
	q = f->q;
	pthread_mutex_unlock(&f->snpu->lock);
	if (!q)
		return snpu_fail(-EINVAL,
				 "snpu_fence_vtime: the fence is imported, or its queue is gone");
	ret = ask(q, f->position, deadline, vt, size);
	return ret ? snpu_fail_in("snpu_fence_vtime", ret) : 0;
}

/**
 * snpu_time_sync() - declare what the host knew
 * @s: set
 * @vtime_ns: virtual time up to which it knew of everything, 0 .. SNPU_MAX_CLOCK
 *
 * Later packets of all queues of @s begin no earlier: each queue gets a CLOCK packet in front of
 * the next that is put into it. Return: 0; -EINVAL; -EOPNOTSUPP. Thread-safe.
 */
SNPU_EXPORT int snpu_time_sync(struct snpu *s, uint64_t vtime_ns)
{
	bool without = false;
	uint64_t old;
	unsigned int i;
	int ret;

	if (!s)
		return snpu_fail(-EINVAL, "snpu_time_sync: snpu is NULL");
	if (snpu_obj_dead(&s->obj, "snpu_time_sync"))
		return -EINVAL;
	ret = snpu_own(s, "snpu_time_sync");
	if (ret)
		return ret;
	if (vtime_ns > SNPU_MAX_CLOCK)
		return snpu_fail(-EINVAL, "snpu_time_sync: virtual time %llu ns: 0 .. %llu%s",
				 (unsigned long long)vtime_ns, SNPU_MAX_CLOCK,
				 vtime_ns == SNPU_VTIME_NEVER ? "; this packet never ends" : "");
	pthread_mutex_lock(&s->lock);
	for (i = 0; i < s->count && !without; i++)
		without = s->npus[i].known && !(s->npus[i].info.caps & SNPU_CAP_TIMING);
	pthread_mutex_unlock(&s->lock);
	if (without || !s->t->queue_vtime)
		return snpu_fail(-EOPNOTSUPP, "snpu_time_sync: the machine keeps no virtual time");
	old = __atomic_load_n(&s->clock, __ATOMIC_RELAXED);
	while (old < vtime_ns && !__atomic_compare_exchange_n(&s->clock, &old, vtime_ns, true,
							      __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
	return 0;
}
