// SPDX-License-Identifier: MIT
/*
 * Fences and timelines: checks and objects; the transports do the rest.
 */
#include <stdlib.h>

#include "internal.h"

/**
 * struct snpu_timeline - a timeline
 * @snpu: its set
 * @lock: points are added one by one; protects @last
 * @last: highest point added; the kernel would take lower ones, too
 * @priv: of the transport
 */
struct snpu_timeline {
	struct snpu *snpu;
	pthread_mutex_t lock;
	uint64_t last;
	void *priv;
};

/**
 * snpu_fence_create() - a fence of a queue position
 * @q: queue
 * @position: from snpu_queue_submit()
 * @out: receives the fence; on direct it does not outlive the queue
 *
 * Return: 0; -EINVAL when @position was not submitted; -ENOMEM; -ENODEV.
 */
SNPU_EXPORT int snpu_fence_create(struct snpu_queue *q, uint64_t position, struct snpu_fence **out)
{
	struct snpu_fence *f;
	int ret;

	if (!q || !out || !position || position > q->submitted)
		return snpu_fail(-EINVAL, "snpu_fence_create: position %llu is not 1 to %llu",
				 (unsigned long long)position,
				 (unsigned long long)(q ? q->submitted : 0));
	f = calloc(1, sizeof(*f));
	if (!f)
		return snpu_fail(-ENOMEM, "snpu_fence_create");
	f->snpu = q->ctx->snpu;
	ret = f->snpu->t->fence_create(q, position, &f->priv);
	if (ret) {
		free(f);
		return ret;
	}
	atomic_fetch_add(&f->snpu->children, 1);
	f->position = position;
	pthread_mutex_lock(&f->snpu->lock);
	f->q = q;
	f->next = q->fences;
	q->fences = f;
	pthread_mutex_unlock(&f->snpu->lock);
	*out = f;
	return 0;
}

/** snpu_fence_destroy() - free a fence, signalled or not; returns 0 */
SNPU_EXPORT int snpu_fence_destroy(struct snpu_fence *f)
{
	struct snpu_fence **p;

	if (!f)
		return 0;
	pthread_mutex_lock(&f->snpu->lock);
	if (f->q) {
		for (p = &f->q->fences; *p != f; p = &(*p)->next)
			;
		*p = f->next;
	}
	pthread_mutex_unlock(&f->snpu->lock);
	f->snpu->t->fence_destroy(f->snpu, f->priv);
	atomic_fetch_sub(&f->snpu->children, 1);
	free(f);
	return 0;
}

/**
 * snpu_fence_poll() - has it signalled?
 * @f: fence
 *
 * Return: 1; 0 for not yet; -EIO, -ENODEV when its queue failed.
 */
SNPU_EXPORT int snpu_fence_poll(struct snpu_fence *f)
{
	int ret;

	if (!f)
		return snpu_fail(-EINVAL, "snpu_fence_poll: fence is NULL");
	ret = f->snpu->t->fence_wait(f->snpu, f->priv, 0);
	return ret == -ETIME ? 0 : ret ? ret : 1;
}

/**
 * snpu_fence_wait() - wait for a fence
 * @f: fence
 * @timeout_ns: nanoseconds, SNPU_FOREVER
 *
 * Return: 0; -ETIME; -EIO, -ENODEV when its queue failed. Any thread.
 */
SNPU_EXPORT int snpu_fence_wait(struct snpu_fence *f, uint64_t timeout_ns)
{
	if (!f)
		return snpu_fail(-EINVAL, "snpu_fence_wait: fence is NULL");
	return f->snpu->t->fence_wait(f->snpu, f->priv, snpu_deadline(timeout_ns));
}

/**
 * snpu_fence_export() - a sync_file of the fence
 * @f: fence
 * @fd: receives it; the caller closes it
 *
 * Return: 0; -EOPNOTSUPP on direct; -EMFILE.
 */
SNPU_EXPORT int snpu_fence_export(struct snpu_fence *f, int *fd)
{
	if (!f || !fd)
		return snpu_fail(-EINVAL, "snpu_fence_export: fence or fd is NULL");
	return f->snpu->t->fence_export(f->snpu, f->priv, fd);
}

/**
 * snpu_fence_import() - a fence of a sync_file
 * @snpu: set
 * @fd: sync_file of any driver; stays the caller's
 * @out: receives the fence
 *
 * Return: 0; -EOPNOTSUPP on direct; -EINVAL when @fd is no sync_file; -ENOMEM.
 */
SNPU_EXPORT int snpu_fence_import(struct snpu *snpu, int fd, struct snpu_fence **out)
{
	struct snpu_fence *f;
	int ret;

	if (!snpu || !out)
		return snpu_fail(-EINVAL, "snpu_fence_import: snpu or out is NULL");
	f = calloc(1, sizeof(*f));
	if (!f)
		return snpu_fail(-ENOMEM, "snpu_fence_import");
	f->snpu = snpu;
	ret = snpu->t->fence_import(snpu, fd, &f->priv);
	if (ret) {
		free(f);
		return ret;
	}
	atomic_fetch_add(&snpu->children, 1);
	*out = f;
	return 0;
}

/**
 * snpu_queue_put_fence() - later packets of a queue wait for a fence
 * @q: queue
 * @f: fence, of any queue of the same set
 *
 * Return: 0; -EAGAIN when the ring is full; -EBUSY when too many waits are pending.
 */
SNPU_EXPORT int snpu_queue_put_fence(struct snpu_queue *q, struct snpu_fence *f)
{
	if (!q || !f)
		return snpu_fail(-EINVAL, "snpu_queue_put_fence: queue or fence is NULL");
	if (q->ctx->snpu != f->snpu)
		return snpu_fail(-EINVAL, "snpu_queue_put_fence: the fence is of another set");
	return q->ctx->snpu->t->fence_put(q, f->priv);
}

/**
 * snpu_timeline_create() - a counter of fences
 * @snpu: set
 * @out: receives the timeline, at point 0
 *
 * Return: 0; -ENOMEM; -ENODEV.
 */
SNPU_EXPORT int snpu_timeline_create(struct snpu *snpu, struct snpu_timeline **out)
{
	struct snpu_timeline *tl;
	int ret;

	if (!snpu || !out)
		return snpu_fail(-EINVAL, "snpu_timeline_create: snpu or out is NULL");
	tl = calloc(1, sizeof(*tl));
	if (!tl)
		return snpu_fail(-ENOMEM, "snpu_timeline_create");
	tl->snpu = snpu;
	ret = snpu->t->timeline_create(snpu, &tl->priv);
	if (ret) {
		free(tl);
		return ret;
	}
	pthread_mutex_init(&tl->lock, NULL);
	atomic_fetch_add(&snpu->children, 1);
	*out = tl;
	return 0;
}

/** snpu_timeline_destroy() - free a timeline; returns 0 */
SNPU_EXPORT int snpu_timeline_destroy(struct snpu_timeline *tl)
{
	if (!tl)
		return 0;
	tl->snpu->t->timeline_destroy(tl->snpu, tl->priv);
	atomic_fetch_sub(&tl->snpu->children, 1);
	pthread_mutex_destroy(&tl->lock);
	free(tl);
	return 0;
}

/* Adds a point: of a queue position, or (@q NULL) reached now */
static int add_point(struct snpu_timeline *tl, uint64_t point, struct snpu_queue *q,
		     uint64_t position, const char *call)
{
	const struct snpu_transport *t = tl->snpu->t;
	int ret;

	pthread_mutex_lock(&tl->lock);
	if (point <= tl->last)
		ret = snpu_fail(-EINVAL, "%s: point %llu is not above %llu", call,
				(unsigned long long)point, (unsigned long long)tl->last);
	else if (q)
		ret = t->timeline_attach(tl->snpu, tl->priv, point, q, position);
	else
		ret = t->timeline_signal(tl->snpu, tl->priv, point);
	if (!ret)
		tl->last = point;
	pthread_mutex_unlock(&tl->lock);
	return ret;
}

/**
 * snpu_timeline_attach() - let a queue position signal a point
 * @tl: timeline
 * @point: above all points so far
 * @q: queue
 * @position: from snpu_queue_submit()
 *
 * Return: 0; -EINVAL; -ENOMEM; -ENODEV.
 */
SNPU_EXPORT int snpu_timeline_attach(struct snpu_timeline *tl, uint64_t point, struct snpu_queue *q,
				     uint64_t position)
{
	if (!tl || !q)
		return snpu_fail(-EINVAL, "snpu_timeline_attach: timeline or queue is NULL");
	if (q->ctx->snpu != tl->snpu)
		return snpu_fail(-EINVAL, "snpu_timeline_attach: the queue is of another set");
	if (!point || !position || position > q->submitted)
		return snpu_fail(-EINVAL,
				 "snpu_timeline_attach: point 0, or position %llu not 1 to %llu",
				 (unsigned long long)position, (unsigned long long)q->submitted);
	return add_point(tl, point, q, position, "snpu_timeline_attach");
}

/** snpu_timeline_signal() - signal @point (above all so far) by the CPU; 0, -EINVAL, -ENOMEM */
SNPU_EXPORT int snpu_timeline_signal(struct snpu_timeline *tl, uint64_t point)
{
	if (!tl || !point)
		return snpu_fail(-EINVAL,
				 "snpu_timeline_signal: no timeline, or point 0: they begin at 1");
	return add_point(tl, point, NULL, 0, "snpu_timeline_signal");
}

/** snpu_timeline_query() - the highest point that has signalled */
SNPU_EXPORT int snpu_timeline_query(struct snpu_timeline *tl, uint64_t *point)
{
	if (!tl || !point)
		return snpu_fail(-EINVAL, "snpu_timeline_query: timeline or point is NULL");
	return tl->snpu->t->timeline_query(tl->snpu, tl->priv, point);
}

/**
 * snpu_timeline_wait() - wait for a point, also one that nobody attached yet
 * @tl: timeline
 * @point: point
 * @timeout_ns: nanoseconds, SNPU_FOREVER
 *
 * Return: 0; -ETIME; -EIO, -ENODEV when the queue that was to signal it failed. Any thread.
 */
SNPU_EXPORT int snpu_timeline_wait(struct snpu_timeline *tl, uint64_t point, uint64_t timeout_ns)
{
	if (!tl)
		return snpu_fail(-EINVAL, "snpu_timeline_wait: timeline is NULL");
	/* where it begins */
	if (!point)
		return 0;
	return tl->snpu->t->timeline_wait(tl->snpu, tl->priv, point, snpu_deadline(timeout_ns));
}

/**
 * snpu_queue_put_timeline() - later packets of a queue wait for a point
 * @q: queue
 * @tl: timeline of the same set
 * @point: attached or signalled already (-EINVAL otherwise: submit first)
 *
 * Return: 0; -EINVAL; -EAGAIN when the ring is full.
 */
SNPU_EXPORT int snpu_queue_put_timeline(struct snpu_queue *q, struct snpu_timeline *tl,
					uint64_t point)
{
	if (!q || !tl)
		return snpu_fail(-EINVAL, "snpu_queue_put_timeline: queue or timeline is NULL");
	if (q->ctx->snpu != tl->snpu)
		return snpu_fail(-EINVAL,
				 "snpu_queue_put_timeline: the timeline is of another set");
	if (!point)
		return 0;
	return q->ctx->snpu->t->timeline_put(q, tl->priv, point);
}
