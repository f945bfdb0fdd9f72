// SPDX-License-Identifier: GPL-2.0-only
/*
 * snpu waits: foreign fences as semaphores that a queue's SEM_WAIT packets watch.
 *
 * Each queue has a page of slots, mapped read-only for the device above what VM_BIND takes. A slot
 * counts up: each use waits for a value one higher than the last, so that a slot can be used again
 * as soon as its fence has signalled, whether or not the packet has looked.
 */
#include <linux/dma-mapping.h>

#include <drm/drm_syncobj.h>

#include "snpu_drv.h"
#include "snpu_trace.h"

static void snpu_wait_signalled(struct dma_fence *fence, struct dma_fence_cb *cb)
{
	struct snpu_wait *wait = container_of(cb, struct snpu_wait, cb);
	struct snpu_queue *queue = wait->queue;

	/* from here on the slot may be used again: @wait is not ours any more */
	smp_store_release(&queue->wait_page[wait - queue->waits], wait->value);
	/* the semaphore before the look at need_wake */
	mb();
	snpu_queue_wake(queue);
}

static void snpu_wait_clear(struct snpu_wait *wait)
{
	if (!wait->fence)
		return;
	/* takes the fence's lock: a callback that is running has ended afterwards */
	dma_fence_remove_callback(wait->fence, &wait->cb);
	dma_fence_put(wait->fence);
	wait->fence = NULL;
}

static int snpu_wait_page_make(struct snpu_queue *queue)
{
	struct device *dev = &queue->sdev->pdev->dev;
	u64 *page;
	int ret;

	lockdep_assert_held(&queue->wait_lock);
	if (queue->wait_page)
		return 0;
	page = (u64 *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (!page)
		return -ENOMEM;
	queue->wait_dma = dma_map_single_attrs(dev, page, PAGE_SIZE, DMA_TO_DEVICE,
					       DMA_ATTR_SKIP_CPU_SYNC);
	if (dma_mapping_error(dev, queue->wait_dma)) {
		ret = -ENOMEM;
		goto err_page;
	}
	ret = -EOPNOTSUPP;
	if (dma_need_sync(dev, queue->wait_dma))
		goto err_dma;
	ret = snpu_vm_map_page(queue->vm, SNPU_VA_WAIT(queue->number), queue->wait_dma);
	if (ret)
		goto err_dma;
	queue->wait_page = page;
	return 0;

err_dma:
	dma_unmap_single_attrs(dev, queue->wait_dma, PAGE_SIZE, DMA_TO_DEVICE,
			       DMA_ATTR_SKIP_CPU_SYNC);
err_page:
	queue->wait_dma = 0;
	free_page((unsigned long)page);
	return ret;
}

/**
 * snpu_waits_fini() - let go of all fences and of the page
 * @queue: queue that the device no longer runs
 *
 * Called when the queue ends, and before that when the device goes; the second call does nothing
 * but what the first left.
 */
void snpu_waits_fini(struct snpu_queue *queue)
{
	unsigned int i;

	mutex_lock(&queue->wait_lock);
	for (i = 0; i < ARRAY_SIZE(queue->waits); i++)
		snpu_wait_clear(&queue->waits[i]);
	if (queue->wait_page) {
		snpu_vm_unmap_page(queue->vm, SNPU_VA_WAIT(queue->number));
		dma_unmap_single_attrs(&queue->sdev->pdev->dev, queue->wait_dma, PAGE_SIZE,
				       DMA_TO_DEVICE, DMA_ATTR_SKIP_CPU_SYNC);
		free_page((unsigned long)queue->wait_page);
		queue->wait_page = NULL;
	}
	mutex_unlock(&queue->wait_lock);
}

static int snpu_wait_add(struct snpu_queue *queue, struct dma_fence *fence, u64 *va, u64 *value)
{
	struct snpu_wait *wait = NULL;
	unsigned int i;
	int ret;

	lockdep_assert_held(&queue->wait_lock);
	if (READ_ONCE(queue->dead))
		return READ_ONCE(queue->dead);
	ret = snpu_wait_page_make(queue);
	if (ret)
		return ret;
	for (i = 0; i < ARRAY_SIZE(queue->waits); i++) {
		wait = &queue->waits[i];
		if (!wait->fence || READ_ONCE(queue->wait_page[i]) == wait->value)
			break;
	}
	if (i == ARRAY_SIZE(queue->waits)) {
		drm_dbg(&queue->sdev->drm, "queue %u: %u waits are pending already\n",
			queue->number, i);
		return -EBUSY;
	}
	snpu_wait_clear(wait);
	wait->queue = queue;
	wait->value++;
	wait->fence = dma_fence_get(fence);
	ret = dma_fence_add_callback(fence, &wait->cb, snpu_wait_signalled);
	if (ret) {	/* signalled meanwhile */
		wait->value--;
		dma_fence_put(wait->fence);
		wait->fence = NULL;
		return ret == -ENOENT ? 0 : ret;
	}
	trace_snpu_queue_wait(queue, i);
	*va = SNPU_VA_WAIT(queue->number) + i * sizeof(u64);
	*value = wait->value;
	return 0;
}

/**
 * snpu_ioctl_queue_wait() - DRM_IOCTL_SNPU_QUEUE_WAIT: make a semaphore of a fence
 * @drm: device
 * @data: struct drm_snpu_queue_wait
 * @file: client
 *
 * Context: process; the device is bound until it returns.
 *
 * Return: 0; -EINVAL (no fence), -ENOENT, -EBUSY (slots), -ENOMEM, -ENOSPC, the error that ended
 * the queue.
 */
int snpu_ioctl_queue_wait(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct drm_snpu_queue_wait *args = data;
	struct snpu_queue *queue;
	struct dma_fence *fence;
	int ret;

	args->sem_va = 0;
	args->sem_value = 0;
	queue = snpu_queue_lookup(file->driver_priv, args->queue_id);
	if (!queue)
		return -ENOENT;
	ret = drm_syncobj_find_fence(file, args->syncobj, args->point, 0, &fence);
	if (ret)
		goto out;
	if (!dma_fence_is_signaled(fence)) {
		mutex_lock(&queue->wait_lock);
		ret = snpu_wait_add(queue, fence, &args->sem_va, &args->sem_value);
		mutex_unlock(&queue->wait_lock);
	}
	dma_fence_put(fence);
out:
	snpu_queue_put(queue);
	return ret;
}
