// SPDX-License-Identifier: GPL-2.0-only
/*
 * snpu virtual time: when a packet ran, and waiting until the device knows.
 */
#include <drm/drm_utils.h>

#include "snpu_drv.h"

/* A device may forget a question that nobody came back for, and says so to nobody */
#define SNPU_VTIME_AGAIN	(HZ / 2)

static int snpu_vtime_ask(struct snpu_queue *queue, struct drm_snpu_queue_vtime *args)
{
	struct snpu_device *sdev = queue->sdev;
	struct snpu_admin_mbox cmd = {
		.op = SNPU_ADM_VTIME,
		.vtime = { .qid = queue->number, .position = args->position },
	};
	u64 answer[7];
	int ret;

	if (!snpu_is_current(sdev, queue->generation))
		return -EIO;
	ret = snpu_admin_exec(sdev, &cmd, answer);
	if (ret)
		return ret;
	args->end = answer[0];
	args->begin = answer[1];
	args->busy = answer[2];
	return 0;
}

static bool snpu_vtime_news(struct snpu_queue *queue, u32 news)
{
	return READ_ONCE(queue->news) != news ||
	       !snpu_is_current(queue->sdev, queue->generation);
}

static int snpu_vtime_wait(struct snpu_queue *queue, struct drm_snpu_queue_vtime *args)
{
	long left;
	u32 news;
	int ret;

	for (;;) {
		/* before the question: what comes after its answer must not be missed */
		news = READ_ONCE(queue->news);
		/* what a queue that has ended did not complete it never will */
		if (smp_load_acquire(&queue->dead) &&
		    READ_ONCE(queue->cpl->completed) < args->position)
			return -EIO;
		ret = snpu_vtime_ask(queue, args);
		if (ret != -EBUSY)
			return ret;
		left = drm_timeout_abs_to_jiffies(args->deadline);
		if (!left)
			return -EBUSY;
		left = min_t(long, left, SNPU_VTIME_AGAIN);
		left = wait_event_interruptible_timeout(queue->sdev->vtime_wait,
							snpu_vtime_news(queue, news), left);
		if (left < 0)
			return left;
	}
}

/**
 * snpu_vtime_next() - find the lowest position that a waiter has yet to see
 * @queue: queue; its lock is held
 * @completed: packets retired
 *
 * Return: a position above @completed; U64_MAX: there is none.
 */
u64 snpu_vtime_next(struct snpu_queue *queue, u64 completed)
{
	struct snpu_vtime_waiter *w;
	u64 next = U64_MAX;

	lockdep_assert_held(&queue->lock);
	list_for_each_entry(w, &queue->vtimes, link)
		if (w->position > completed)
			next = min(next, w->position);
	return next;
}

/**
 * snpu_vtime_wake() - have waiters look at what has become of their queues
 * @sdev: device, one of whose queues has news, or whose generation has ended
 *
 * Context: any.
 */
void snpu_vtime_wake(struct snpu_device *sdev)
{
	/* has a barrier: who is not seen here has not looked yet */
	if (wq_has_sleeper(&sdev->vtime_wait))
		wake_up_all(&sdev->vtime_wait);
}

/**
 * snpu_ioctl_queue_vtime() - DRM_IOCTL_SNPU_QUEUE_VTIME: tell when a packet ran in virtual time
 * @drm: device
 * @data: struct drm_snpu_queue_vtime
 * @file: client
 *
 * Context: process; the device is bound until it returns, and the end of its generation wakes who
 * waits.
 *
 * Return: 0; -EBUSY (not known yet), -EINVAL, -ENOENT, -EOPNOTSUPP, -ENOSPC, -EIO, -ENODEV,
 * -ERESTARTSYS.
 */
int snpu_ioctl_queue_vtime(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct snpu_device *sdev = to_snpu_device(drm);
	struct drm_snpu_queue_vtime *args = data;
	struct snpu_vtime_waiter waiter;
	struct snpu_queue *queue;
	LIST_HEAD(done);
	int ret;

	if (args->pad || !args->position)
		return -EINVAL;
	if (!(sdev->facts.caps & SNPU_CAP_TIMING))
		return -EOPNOTSUPP;
	/* held, so that the number names no other queue meanwhile */
	queue = snpu_queue_lookup(file->driver_priv, args->queue_id);
	if (!queue)
		return -ENOENT;
	if (!args->deadline) {
		ret = snpu_vtime_ask(queue, args);
		goto out;
	}
	waiter.position = args->position;
	spin_lock_irq(&queue->lock);
	list_add(&waiter.link, &queue->vtimes);
	/* an interrupt when the packet retires: until then the device has no answer, and no news */
	if (!queue->dead)
		snpu_queue_advance(queue, &done);
	spin_unlock_irq(&queue->lock);
	snpu_fences_signal(&done, 0);
	ret = snpu_vtime_wait(queue, args);
	spin_lock_irq(&queue->lock);
	list_del(&waiter.link);
	spin_unlock_irq(&queue->lock);
out:
	snpu_queue_put(queue);
	return ret;
}
