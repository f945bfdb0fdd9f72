// SPDX-License-Identifier: MIT
/*
 * Fences and timelines: checks and objects; the transports do the rest.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "check.h"
#include "internal.h"
#include "report.h"

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

	if (!q || !out)
		return snpu_fail(-EINVAL, "snpu_fence_create: queue or out is NULL");
	if (snpu_obj_dead(&q->obj, "snpu_fence_create"))
		return -EINVAL;
	if (!position || position > q->submitted)
		return snpu_fail(-EINVAL, "snpu_fence_create: position %llu is not 1 to %llu",
				 (unsigned long long)position, (unsigned long long)q->submitted);
	ret = snpu_own(q->ctx->snpu, "snpu_fence_create");
	if (ret)
		return ret;
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
	f->number = q->number;
	f->npu = q->ctx->npu->index;
	snpu_obj_add(&f->obj, SNPU_KIND_FENCE, f->snpu->obj.check);
	pthread_mutex_lock(&f->snpu->lock);
	f->q = q;
	f->next = q->fences;
	q->fences = f;
	pthread_mutex_unlock(&f->snpu->lock);
	*out = f;
	return 0;
}

static void unlink_fence(struct snpu_fence *f)
{
	struct snpu_fence **p;

	pthread_mutex_lock(&f->snpu->lock);
	if (f->q) {
		for (p = &f->q->fences; *p != f; p = &(*p)->next)
			;
		*p = f->next;
	}
	pthread_mutex_unlock(&f->snpu->lock);
}

/** snpu_fence_destroy() - free a fence, signalled or not; 0, -EINVAL: destroyed before */
SNPU_EXPORT int snpu_fence_destroy(struct snpu_fence *f)
{
	int ret;

	if (!f)
		return 0;
	ret = snpu_obj_take(f, SNPU_KIND_FENCE, "snpu_fence_destroy");
	if (ret)
		return ret;
	if (snpu_forked(f->snpu)) {
		if (f->snpu->t->drop_fence)
			f->snpu->t->drop_fence(f->priv);
	} else {
		unlink_fence(f);
		f->snpu->t->fence_destroy(f->snpu, f->priv);
	}
	atomic_fetch_sub(&f->snpu->children, 1);
	snpu_obj_free(&f->obj);
	return 0;
}

/* Why a fence failed or did not signal: what its queue says */
static int fence_failed(struct snpu_fence *f, int err, const char *call)
{
	char name[80], why[400] = "";
	struct snpu_error e;

	/* how the fence ended could not be asked */
	if (err != -ETIME && err != -EIO && err != -ENODEV)
		return snpu_fail_in(call, err);
	snpu_obj_name(&f->obj, name, sizeof(name));
	/* its queue stays as long as the lock is held */
	pthread_mutex_lock(&f->snpu->lock);
	if (f->q && err == -ETIME) {
		snpu_report_wait(f->q, why, sizeof(why));
	} else if (f->q && !snpu_queue_error(f->q, &e, sizeof(e))) {
		int n = snpu_error_format(&e, why, sizeof(why));

		snpu_report_error(f->q, &e, why + n, sizeof(why) - (size_t)n);
	} else if (f->position && !f->q) {
		snprintf(why, sizeof(why), "its queue was destroyed");
	}
	pthread_mutex_unlock(&f->snpu->lock);
	return snpu_fail(err, "%s: %s %s%s%s", call, name, err == -ETIME ? "has not signalled" :
			 "failed", why[0] ? ": " : "", why);
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
	if (snpu_obj_dead(&f->obj, "snpu_fence_poll"))
		return -EINVAL;
	ret = snpu_own(f->snpu, "snpu_fence_poll");
	if (ret)
		return ret;
	ret = f->snpu->t->fence_wait(f->snpu, f->priv, 0);
	return ret == -ETIME ? 0 : ret ? fence_failed(f, ret, "snpu_fence_poll") : 1;
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
	uint64_t deadline = snpu_deadline(timeout_ns), patience;
	int ret;

	if (!f)
		return snpu_fail(-EINVAL, "snpu_fence_wait: fence is NULL");
	if (snpu_obj_dead(&f->obj, "snpu_fence_wait"))
		return -EINVAL;
	ret = snpu_own(f->snpu, "snpu_fence_wait");
	if (ret)
		return ret;
	ret = -ETIME;
	patience = snpu_now_ns() + SNPU_CHECK_PATIENCE_NS;
	if (f->obj.check && patience < deadline) {
		ret = f->snpu->t->fence_wait(f->snpu, f->priv, patience);
		pthread_mutex_lock(&f->snpu->lock);
		if (ret == -ETIME && f->q)
			snpu_report_waiting(f->q, "snpu_fence_wait");
		pthread_mutex_unlock(&f->snpu->lock);
	}
	if (ret == -ETIME)
		ret = f->snpu->t->fence_wait(f->snpu, f->priv, deadline);
	return ret ? fence_failed(f, ret, "snpu_fence_wait") : 0;
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
	int ret;

	if (!f || !fd)
		return snpu_fail(-EINVAL, "snpu_fence_export: fence or fd is NULL");
	if (snpu_obj_dead(&f->obj, "snpu_fence_export"))
		return -EINVAL;
	ret = snpu_own(f->snpu, "snpu_fence_export");
	return ret ? ret : f->snpu->t->fence_export(f->snpu, f->priv, fd);
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
	if (snpu_obj_dead(&snpu->obj, "snpu_fence_import"))
		return -EINVAL;
	ret = snpu_own(snpu, "snpu_fence_import");
	if (ret)
		return ret;
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
	snpu_obj_add(&f->obj, SNPU_KIND_FENCE, snpu->obj.check);
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
	int ret;

	if (!q || !f)
		return snpu_fail(-EINVAL, "snpu_queue_put_fence: queue or fence is NULL");
	if (snpu_obj_dead(&q->obj, "snpu_queue_put_fence") ||
	    snpu_obj_dead(&f->obj, "snpu_queue_put_fence"))
		return -EINVAL;
	if (q->ctx->snpu != f->snpu)
		return snpu_fail(-EINVAL, "snpu_queue_put_fence: the fence is of another set");
	ret = snpu_own(f->snpu, "snpu_queue_put_fence");
	return ret ? ret : q->ctx->snpu->t->fence_put(q, f->priv);
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
	if (snpu_obj_dead(&snpu->obj, "snpu_timeline_create"))
		return -EINVAL;
	ret = snpu_own(snpu, "snpu_timeline_create");
	if (ret)
		return ret;
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
	snpu_obj_add(&tl->obj, SNPU_KIND_TIMELINE, snpu->obj.check);
	*out = tl;
	return 0;
}

/** snpu_timeline_destroy() - free a timeline; 0, -EINVAL: destroyed before */
SNPU_EXPORT int snpu_timeline_destroy(struct snpu_timeline *tl)
{
	int ret;

	if (!tl)
		return 0;
	ret = snpu_obj_take(tl, SNPU_KIND_TIMELINE, "snpu_timeline_destroy");
	if (ret)
		return ret;
	if (snpu_forked(tl->snpu)) {
		if (tl->snpu->t->drop_timeline)
			tl->snpu->t->drop_timeline(tl->priv);
	} else {
		tl->snpu->t->timeline_destroy(tl->snpu, tl->priv);
		pthread_mutex_destroy(&tl->lock);
	}
	atomic_fetch_sub(&tl->snpu->children, 1);
	snpu_obj_free(&tl->obj);
	return 0;
}

/* Adds a point: of a queue position, or (@q NULL) reached now */
static int add_point(struct snpu_timeline *tl, uint64_t point, struct snpu_queue *q,
		     uint64_t position, const char *call)
{
	const struct snpu_transport *t = tl->snpu->t;
	int ret = snpu_own(tl->snpu, call);

	if (ret)
		return ret;
	pthread_mutex_lock(&tl->lock);
	if (point <= tl->last)
		ret = snpu_fail(-EINVAL, "%s: point %llu is not above %llu", call,
				(unsigned long long)point, (unsigned long long)tl->last);
	else if (q)
		ret = t->timeline_attach(tl->snpu, tl->priv, point, q, position);
	else
		ret = t->timeline_signal(tl->snpu, tl->priv, point);
	if (!ret) {
		unsigned int i = tl->next++ % (sizeof(tl->points) / sizeof(tl->points[0]));

		tl->last = point;
		tl->points[i].point = point;
		tl->points[i].position = position;
		tl->points[i].number = q ? q->number : 0;
		tl->points[i].npu = q ? q->ctx->npu->index : 0;
	}
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
	if (snpu_obj_dead(&tl->obj, "snpu_timeline_attach") ||
	    snpu_obj_dead(&q->obj, "snpu_timeline_attach"))
		return -EINVAL;
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
	if (snpu_obj_dead(&tl->obj, "snpu_timeline_signal"))
		return -EINVAL;
	return add_point(tl, point, NULL, 0, "snpu_timeline_signal");
}

/** snpu_timeline_query() - the highest point that has signalled */
SNPU_EXPORT int snpu_timeline_query(struct snpu_timeline *tl, uint64_t *point)
{
	uint64_t p = 0;
	int ret;

	if (!tl || !point)
		return snpu_fail(-EINVAL, "snpu_timeline_query: timeline or point is NULL");
	if (snpu_obj_dead(&tl->obj, "snpu_timeline_query"))
		return -EINVAL;
	ret = snpu_own(tl->snpu, "snpu_timeline_query");
	if (!ret)
		ret = tl->snpu->t->timeline_query(tl->snpu, tl->priv, &p);
	if (!ret)
		*point = p;
	return ret;
}

/* Why a point failed or is not reached: where the timeline stands, and what should signal next */
static int point_failed(struct snpu_timeline *tl, uint64_t point, int err)
{
	const unsigned int max = sizeof(tl->points) / sizeof(tl->points[0]);
	unsigned int i, first = max;
	uint64_t reached = 0, last;
	char next[96] = "";

	if (err != -ETIME && err != -EIO && err != -ENODEV)
		return snpu_fail_in("snpu_timeline_wait", err);
	if (tl->snpu->t->timeline_query(tl->snpu, tl->priv, &reached))
		reached = 0;
	pthread_mutex_lock(&tl->lock);
	last = tl->last;
	for (i = 0; i < max; i++)
		if (tl->points[i].position && tl->points[i].point > reached &&
		    (first == max || tl->points[i].point < tl->points[first].point))
			first = i;
	if (first < max && err == -ETIME)
		snprintf(next, sizeof(next), "; point %" PRIu64 " waits for position %" PRIu64
			 " of queue %u, NPU %u", tl->points[first].point,
			 tl->points[first].position, tl->points[first].number,
			 tl->points[first].npu);
	pthread_mutex_unlock(&tl->lock);
	if (err != -ETIME)
		return snpu_fail(err, "snpu_timeline_wait: point %" PRIu64
				 ": a queue that was to signal it or one before failed", point);
	if (point > last)
		return snpu_fail(err, "snpu_timeline_wait: point %" PRIu64
				 " was not attached or signalled: the last is %" PRIu64, point,
				 last);
	return snpu_fail(err, "snpu_timeline_wait: point %" PRIu64
			 " not reached: the timeline is at %" PRIu64 "%s", point, reached, next);
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
	int ret;

	if (!tl)
		return snpu_fail(-EINVAL, "snpu_timeline_wait: timeline is NULL");
	if (snpu_obj_dead(&tl->obj, "snpu_timeline_wait"))
		return -EINVAL;
	ret = snpu_own(tl->snpu, "snpu_timeline_wait");
	if (ret)
		return ret;
	/* where it begins */
	if (!point)
		return 0;
	ret = tl->snpu->t->timeline_wait(tl->snpu, tl->priv, point, snpu_deadline(timeout_ns));
	return ret ? point_failed(tl, point, ret) : 0;
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
	int ret;

	if (!q || !tl)
		return snpu_fail(-EINVAL, "snpu_queue_put_timeline: queue or timeline is NULL");
	if (snpu_obj_dead(&q->obj, "snpu_queue_put_timeline") ||
	    snpu_obj_dead(&tl->obj, "snpu_queue_put_timeline"))
		return -EINVAL;
	if (q->ctx->snpu != tl->snpu)
		return snpu_fail(-EINVAL,
				 "snpu_queue_put_timeline: the timeline is of another set");
	ret = snpu_own(tl->snpu, "snpu_queue_put_timeline");
	if (ret || !point)
		return ret;
	return q->ctx->snpu->t->timeline_put(q, tl->priv, point);
}
