// SPDX-License-Identifier: GPL-2.0-only
/*
 * snpu hang detection: a queue with pending fences that makes no progress is taken from the device,
 * so that its fences signal. A queue without fences may wait as long as it likes.
 */
#include <linux/devcoredump.h>
#include <linux/vmalloc.h>

#include "snpu_drv.h"
#include "snpu_trace.h"

#define SNPU_DUMP_BYTES	SZ_1K

static unsigned long snpu_hang_period(void)
{
	/* fine enough to be late by a quarter at most */
	return max(msecs_to_jiffies(READ_ONCE(snpu_hang_ms) / 4), 1ul);
}

static void snpu_hang_dump(struct snpu_queue *queue, const struct snpu_cpl *cpl)
{
	struct snpu_device *sdev = queue->sdev;
	char *text;
	int len;

	text = vmalloc(SNPU_DUMP_BYTES);
	if (!text)
		return;
	len = scnprintf(text, SNPU_DUMP_BYTES,
			"driver: snpu\ndevice: %s\nserial: %016llx\nreason: queue made no progress for %u ms\n"
			"queue: %u\nring_va: %#llx\nring_entries: %lu\nprio: %u\nsubmitted: %llu\n"
			"completed: %llu\nprogress: %llu\nstate: %u\nneed_wake: %u\nerror: %u\n"
			"error_aux: %#x\nfault_index: %llu\nfault_va: %#llx\ntime_ns: %llu\n",
			dev_name(sdev->drm.dev), sdev->facts.serial, READ_ONCE(snpu_hang_ms),
			queue->number, queue->ring_va, BIT(queue->ring_log2), queue->prio,
			snpu_queue_submitted(queue), cpl->completed, cpl->progress, cpl->state,
			cpl->need_wake, cpl->error, cpl->error_aux, cpl->fault_index, cpl->fault_va,
			cpl->time_ns);
	/* takes the text */
	dev_coredumpv(sdev->drm.dev, text, len, GFP_KERNEL);
}

static void snpu_hang_reset(struct snpu_queue *queue)
{
	struct snpu_device *sdev = queue->sdev;
	int ret = 0;

	if (READ_ONCE(queue->in_hw) && snpu_is_current(sdev, queue->generation)) {
		ret = snpu_admin_qid(sdev, SNPU_ADM_QUEUE_DESTROY, queue->number);
		if (!ret)
			WRITE_ONCE(queue->in_hw, false);
	}
	atomic64_inc(&sdev->queue_resets);
	spin_lock_irq(&queue->lock);
	queue->flags |= DRM_SNPU_QUEUE_HUNG;
	if (!queue->dead)
		queue->dead = -ETIME;
	if (queue->fault.state == SNPU_QSTATE_NONE) {
		queue->fault.state = SNPU_QSTATE_STOPPED;
		queue->fault.error = SNPU_ERR_ABORTED;
		queue->fault.fault_index = READ_ONCE(queue->cpl->completed);
	}
	spin_unlock_irq(&queue->lock);
	if (ret) {
		/* the device still runs it: the fences end when the function was reset */
		snpu_reset_schedule(sdev, "hung queue cannot be destroyed");
		return;
	}
	snpu_queue_fail(queue, -ETIME, DRM_SNPU_QUEUE_HUNG);
	if (queue->eventfd)
		eventfd_signal(queue->eventfd);
}

static void snpu_hang_work(struct work_struct *work)
{
	struct snpu_queue *queue = container_of(work, struct snpu_queue, hang_work.work);
	bool hung = false, again = false;
	struct snpu_cpl cpl;
	LIST_HEAD(done);
	bool cookie;

	/* from here to the end of the fences nothing is allocated */
	cookie = dma_fence_begin_signalling();
	memcpy(&cpl, queue->cpl, sizeof(cpl));
	spin_lock_irq(&queue->lock);
	/* an interrupt may have been lost, too */
	snpu_queue_advance(queue, &done);
	if (!list_empty(&queue->fences) && !queue->dead) {
		if (cpl.completed != queue->hang_completed ||
		    cpl.progress != queue->hang_progress) {
			queue->hang_completed = cpl.completed;
			queue->hang_progress = cpl.progress;
			queue->hang_since = jiffies;
		}
		hung = time_after_eq(jiffies, queue->hang_since +
				     msecs_to_jiffies(READ_ONCE(snpu_hang_ms)));
		again = !hung;
	}
	spin_unlock_irq(&queue->lock);
	snpu_fences_signal(&done, 0);

	if (snpu_queue_check_fault(queue))
		hung = false;
	else if (again)
		queue_delayed_work(queue->sdev->wq, &queue->hang_work, snpu_hang_period());
	if (hung) {
		trace_snpu_queue_hang(queue, cpl.completed);
		dev_info_ratelimited(queue->sdev->drm.dev,
				     "queue %u hangs at packet %llu and is reset\n", queue->number,
				     cpl.completed);
		snpu_hang_reset(queue);
	}
	dma_fence_end_signalling(cookie);
	if (hung)
		snpu_hang_dump(queue, &cpl);
}

/** snpu_hang_init() - prepare a new queue */
void snpu_hang_init(struct snpu_queue *queue)
{
	INIT_DELAYED_WORK(&queue->hang_work, snpu_hang_work);
}

/**
 * snpu_hang_arm() - watch a queue that is about to get a fence
 * @queue: queue that is not dead; its lock is held
 */
void snpu_hang_arm(struct snpu_queue *queue)
{
	lockdep_assert_held(&queue->lock);
	if (list_empty(&queue->fences)) {
		queue->hang_completed = READ_ONCE(queue->cpl->completed);
		queue->hang_progress = READ_ONCE(queue->cpl->progress);
		queue->hang_since = jiffies;
	}
	queue_delayed_work(queue->sdev->wq, &queue->hang_work, snpu_hang_period());
}
