// SPDX-License-Identifier: GPL-2.0-only
/*
 * snpu fences: positions of a queue as DMA fences.
 *
 * A queue keeps its fences sorted by position and has the device raise an interrupt at the lowest.
 * A fence signals in bounded time whatever userspace does: the packets before its position were all
 * submitted when it was made, and a queue that stops making progress is reset (snpu_hang.c).
 */
#include <linux/dma-fence-chain.h>

#include <drm/drm_syncobj.h>

#include "snpu_drv.h"
#include "snpu_trace.h"

/* dma_fence_free() frees the whole, perhaps after this module has gone */
static_assert(offsetof(struct snpu_fence, base) == 0);

static const char *snpu_fence_driver_name(struct dma_fence *fence)
{
	return "snpu";
}

static const char *snpu_fence_timeline_name(struct dma_fence *fence)
{
	return "snpu-queue";
}

static const struct dma_fence_ops snpu_fence_ops = {
	.get_driver_name = snpu_fence_driver_name,
	.get_timeline_name = snpu_fence_timeline_name,
};

/**
 * snpu_fence_insert() - insert a fence by position
 * @fences: sorted list
 * @fence: goes behind its equals
 *
 * Positions mostly come in order, so the search begins at the end.
 */
void snpu_fence_insert(struct list_head *fences, struct snpu_fence *fence)
{
	struct snpu_fence *pos;

	list_for_each_entry_reverse(pos, fences, link)
		if (pos->position <= fence->position)
			break;
	list_add(&fence->link, &pos->link);
}

/**
 * snpu_fences_take() - move the fences that were reached
 * @fences: sorted list
 * @completed: packets retired
 * @done: list that they are appended to
 */
void snpu_fences_take(struct list_head *fences, u64 completed, struct list_head *done)
{
	struct snpu_fence *fence, *next;

	list_for_each_entry_safe(fence, next, fences, link) {
		if (fence->position > completed)
			break;
		list_move_tail(&fence->link, done);
	}
}

/**
 * snpu_fences_signal() - signal fences and drop the list's references
 * @done: fences; empty on return
 * @error: 0 or the error they get
 *
 * Context: any; no lock of this driver is held, callbacks may do what they like.
 */
void snpu_fences_signal(struct list_head *done, int error)
{
	struct snpu_fence *fence, *next;
	bool cookie;

	if (list_empty(done))
		return;
	cookie = dma_fence_begin_signalling();
	list_for_each_entry_safe(fence, next, done, link) {
		list_del(&fence->link);
		if (error)
			dma_fence_set_error(&fence->base, error);
		dma_fence_signal(&fence->base);
		dma_fence_put(&fence->base);
	}
	dma_fence_end_signalling(cookie);
}

/**
 * snpu_queue_advance() - take the fences that were reached, ask for the next interrupt
 * @queue: queue; its lock is held
 * @done: list that gets the fences, to be signalled when the lock is not held
 */
void snpu_queue_advance(struct snpu_queue *queue, struct list_head *done)
{
	struct snpu_cpl *cpl = queue->cpl;
	u64 completed = READ_ONCE(cpl->completed);
	u64 next;

	lockdep_assert_held(&queue->lock);
	do {
		/* the index before what it says is there */
		dma_rmb();
		snpu_fences_take(&queue->fences, completed, done);
		next = snpu_vtime_next(queue, completed);
		if (!list_empty(&queue->fences))
			next = min(next, list_first_entry(&queue->fences, struct snpu_fence,
							  link)->position);
		if (next == U64_MAX)
			next = 0;
		WRITE_ONCE(cpl->irq_at, next);
		/* the device writes completed, then reads irq_at: one of us sees the other */
		mb();
		completed = READ_ONCE(cpl->completed);
	} while (next && completed >= next);
}

/**
 * snpu_queue_fail() - end a queue's fences
 * @queue: queue whose packets no longer touch memory, or never will complete
 * @error: what fences get that were not reached, and those made later
 * @flags: DRM_SNPU_QUEUE_* to be set
 *
 * The first error of a queue stays.
 */
void snpu_queue_fail(struct snpu_queue *queue, int error, u32 flags)
{
	unsigned long irqflags;
	LIST_HEAD(failed);
	LIST_HEAD(done);

	spin_lock_irqsave(&queue->lock, irqflags);
	snpu_queue_advance(queue, &done);
	if (!queue->dead)
		queue->dead = error;
	error = queue->dead;
	queue->flags |= flags;
	list_splice_init(&queue->fences, &failed);
	WRITE_ONCE(queue->cpl->irq_at, 0);
	WRITE_ONCE(queue->news, queue->news + 1);
	spin_unlock_irqrestore(&queue->lock, irqflags);

	snpu_fences_signal(&done, 0);
	snpu_fences_signal(&failed, error);
	snpu_vtime_wake(queue->sdev);
}

/**
 * snpu_queue_check_fault() - see whether the device stopped a queue
 * @queue: queue
 *
 * Context: may sleep or not.
 *
 * Return: true if the queue has faulted, now or earlier.
 */
bool snpu_queue_check_fault(struct snpu_queue *queue)
{
	struct snpu_cpl *cpl = queue->cpl;
	unsigned long irqflags;
	bool first;

	if (READ_ONCE(cpl->state) != SNPU_QSTATE_FAULT)
		return false;
	/* state is written after the rest */
	dma_rmb();
	spin_lock_irqsave(&queue->lock, irqflags);
	first = queue->fault.state == SNPU_QSTATE_NONE;
	if (first)
		queue->fault = (struct snpu_fault){
			.state = SNPU_QSTATE_FAULT,
			.error = READ_ONCE(cpl->error),
			.error_aux = READ_ONCE(cpl->error_aux),
			.fault_index = READ_ONCE(cpl->fault_index),
			.fault_va = READ_ONCE(cpl->fault_va),
		};
	spin_unlock_irqrestore(&queue->lock, irqflags);
	if (!first)
		return true;

	trace_snpu_queue_fault(queue, queue->fault.error);
	drm_dbg(&queue->sdev->drm, "queue %u: error %u at packet %llu, address %#llx\n",
		queue->number, queue->fault.error, queue->fault.fault_index, queue->fault.fault_va);
	snpu_queue_fail(queue, -EIO, 0);
	if (queue->eventfd)
		eventfd_signal(queue->eventfd);
	return true;
}

/**
 * snpu_ioctl_queue_signal() - DRM_IOCTL_SNPU_QUEUE_SIGNAL: make a fence of a queue's position
 * @drm: device
 * @data: struct drm_snpu_queue_signal
 * @file: client
 *
 * Context: process; the device is bound until it returns.
 *
 * Return: 0; -EINVAL (position not submitted), -ENOENT, -ENOMEM.
 */
int snpu_ioctl_queue_signal(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct drm_snpu_queue_signal *args = data;
	struct dma_fence_chain *chain = NULL;
	struct drm_syncobj *syncobj;
	struct snpu_queue *queue;
	struct snpu_fence *fence;
	u64 submitted, position;
	LIST_HEAD(done);
	int error = 0;
	int ret;

	queue = snpu_queue_lookup(file->driver_priv, args->queue_id);
	if (!queue)
		return -ENOENT;
	syncobj = drm_syncobj_find(file, args->syncobj);
	if (!syncobj) {
		ret = -ENOENT;
		goto out_queue;
	}
	submitted = snpu_queue_submitted(queue);
	position = args->position ?: submitted;
	if (position > submitted) {
		drm_dbg(drm, "position %llu: only %llu packets were submitted\n", position,
			submitted);
		ret = -EINVAL;
		goto out_syncobj;
	}
	/* nothing below allocates: the fence must not wait for memory once somebody sees it */
	ret = -ENOMEM;
	fence = kzalloc_obj(*fence);
	if (!fence)
		goto out_syncobj;
	if (args->point) {
		chain = dma_fence_chain_alloc();
		if (!chain) {
			kfree(fence);
			goto out_syncobj;
		}
	}
	/*
	 * The position serves as sequence number: of two fences of a queue the one with the higher
	 * position never signals first, in whatever order they were made.
	 */
	fence->position = position;
	dma_fence_init64(&fence->base, &snpu_fence_ops, NULL, queue->fence_context, position);
	dma_fence_get(&fence->base);
	trace_snpu_queue_signal(queue, position);

	spin_lock_irq(&queue->lock);
	if (READ_ONCE(queue->cpl->completed) >= position) {
		list_add(&fence->link, &done);
	} else if (queue->dead) {
		list_add(&fence->link, &done);
		error = queue->dead;
	} else {
		snpu_hang_arm(queue);
		snpu_fence_insert(&queue->fences, fence);
		snpu_queue_advance(queue, &done);
	}
	spin_unlock_irq(&queue->lock);
	snpu_fences_signal(&done, error);
	/* a fault that came before this fence raised its event before it, too */
	if (!error)
		snpu_queue_check_fault(queue);

	if (chain)
		drm_syncobj_add_point(syncobj, chain, &fence->base, args->point);
	else
		drm_syncobj_replace_fence(syncobj, &fence->base);
	dma_fence_put(&fence->base);
	ret = 0;
out_syncobj:
	drm_syncobj_put(syncobj);
out_queue:
	snpu_queue_put(queue);
	return ret;
}
