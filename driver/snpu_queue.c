// SPDX-License-Identifier: GPL-2.0-only
/*
 * snpu queues: created and destroyed here, filled and rung by userspace. The kernel never looks
 * into a ring.
 */
#include <linux/capability.h>
#include <linux/dma-mapping.h>

#include "snpu_drv.h"
#include "snpu_trace.h"

static void snpu_queue_release(struct kref *ref)
{
	struct snpu_queue *queue = container_of(ref, struct snpu_queue, ref);

	if (queue->cpl_map)
		drm_gem_object_put(&queue->cpl_map->base);
	if (queue->doorbell)
		drm_gem_object_put(&queue->doorbell->base);
	if (queue->eventfd)
		eventfd_ctx_put(queue->eventfd);
	/* as long as somebody holds the queue its number must not name another */
	if (queue->number != U32_MAX)
		ida_free(&queue->sdev->queue_ids, queue->number);
	mutex_destroy(&queue->wait_lock);
	kfree(queue);
}

/** snpu_queue_put() - drop a reference; may be the last, then may sleep */
void snpu_queue_put(struct snpu_queue *queue)
{
	kref_put(&queue->ref, snpu_queue_release);
}

/**
 * snpu_queue_lookup() - find a queue of a client
 * @client: client
 * @id: id
 *
 * Return: the queue with a reference, or NULL.
 */
struct snpu_queue *snpu_queue_lookup(struct snpu_client *client, u32 id)
{
	struct snpu_queue *queue;

	xa_lock(&client->queues);
	queue = xa_load(&client->queues, id);
	if (queue)
		kref_get(&queue->ref);
	xa_unlock(&client->queues);
	return queue;
}

/**
 * snpu_queue_by_number() - find a queue by its number in the device
 * @sdev: device
 * @number: below SNPU_MAX_QUEUES
 *
 * Return: the queue with a reference, or NULL.
 */
struct snpu_queue *snpu_queue_by_number(struct snpu_device *sdev, u32 number)
{
	struct snpu_queue *queue;
	unsigned long flags;

	spin_lock_irqsave(&sdev->queue_lock, flags);
	queue = sdev->queues[number];
	if (queue)
		kref_get(&queue->ref);
	spin_unlock_irqrestore(&sdev->queue_lock, flags);
	return queue;
}

/** snpu_queue_submitted() - packets that the doorbell says are in the ring; the user's word */
u64 snpu_queue_submitted(struct snpu_queue *queue)
{
	struct snpu_device *sdev = queue->sdev;
	u64 ret = 0;
	int idx;

	if (drm_dev_enter(&sdev->drm, &idx)) {
		ret = snpu_read64(sdev, SNPU_DB_OFFSET + queue->number * SNPU_DB_STRIDE);
		drm_dev_exit(idx);
	}
	return ret;
}

/**
 * snpu_queue_wake() - wake the device if it sleeps
 * @queue: queue that got work; a full barrier stands between that and this call
 */
void snpu_queue_wake(struct snpu_queue *queue)
{
	if (READ_ONCE(queue->cpl->need_wake))
		snpu_hw_wake(queue->sdev);
}

static int snpu_queue_map_cpl(struct snpu_queue *queue)
{
	struct device *dev = &queue->sdev->pdev->dev;
	struct page *page = queue->cpl_map->page;

	queue->cpl_dma = dma_map_page_attrs(dev, page, 0, PAGE_SIZE, DMA_BIDIRECTIONAL,
					    DMA_ATTR_SKIP_CPU_SYNC);
	if (dma_mapping_error(dev, queue->cpl_dma)) {
		queue->cpl_dma = 0;
		return -ENOMEM;
	}
	/* the record is polled: memory that needs to be synchronised will not do */
	return dma_need_sync(dev, queue->cpl_dma) ? snpu_host_bounced(queue->sdev) : 0;
}

/* The device has let go of the queue: its record is ours, and who still polls it is told */
static void snpu_queue_stopped(struct snpu_queue *queue)
{
	if (READ_ONCE(queue->cpl->state) == SNPU_QSTATE_FAULT)
		return;
	WRITE_ONCE(queue->cpl->error, SNPU_ERR_ABORTED);
	WRITE_ONCE(queue->cpl->need_wake, 0);
	/* state is what is looked at first: the rest stands before it */
	smp_store_release(&queue->cpl->state, SNPU_QSTATE_STOPPED);
}

/* Takes the memory back that the device had: it no longer has the queue */
static void snpu_queue_unmap(struct snpu_queue *queue)
{
	snpu_waits_fini(queue);
	mutex_lock(&queue->wait_lock);
	if (queue->cpl_dma) {
		dma_unmap_page_attrs(&queue->sdev->pdev->dev, queue->cpl_dma, PAGE_SIZE,
				     DMA_BIDIRECTIONAL, DMA_ATTR_SKIP_CPU_SYNC);
		queue->cpl_dma = 0;
		snpu_queue_stopped(queue);
	}
	mutex_unlock(&queue->wait_lock);
}

static int snpu_queue_hw_create(struct snpu_queue *queue)
{
	struct snpu_device *sdev = queue->sdev;
	struct snpu_admin_mbox cmd = {
		.op = SNPU_ADM_QUEUE_CREATE,
		.queue = {
			.queue = queue->number,
			.ctx = queue->vm->ctx,
			.ring_va = queue->ring_va,
			.cpl_addr = queue->cpl_dma,
			.ring_log2 = queue->ring_log2,
			.prio = queue->prio,
			.vector = queue->vector,
			.flags = queue->hw_flags,
		},
	};
	int ret;

	queue->generation = READ_ONCE(sdev->generation);
	/* a reset has just been here, and the address space has not come back yet */
	if (READ_ONCE(queue->vm->generation) != queue->generation)
		return -EIO;
	ret = snpu_admin_exec(sdev, &cmd, NULL);
	if (ret)
		return ret == -EFAULT ? -EIO : ret;
	if (!snpu_is_current(sdev, queue->generation)) {
		/* on which side of the reset it was made, nobody knows */
		snpu_admin_qid(sdev, SNPU_ADM_QUEUE_DESTROY, queue->number);
		return -EIO;
	}
	queue->in_hw = true;
	return 0;
}

static void snpu_queue_publish(struct snpu_queue *queue)
{
	struct snpu_device *sdev = queue->sdev;

	spin_lock_irq(&sdev->queue_lock);
	sdev->queues[queue->number] = queue;
	list_add(&queue->vec_link, &sdev->vec[queue->vector].queues);
	spin_unlock_irq(&sdev->queue_lock);
	/* a reset that ran before that has not seen the queue */
	if (!snpu_is_current(sdev, queue->generation))
		snpu_queue_fail(queue, -ENODEV, DRM_SNPU_QUEUE_LOST);
}

static void snpu_queue_hw_destroy(struct snpu_queue *queue)
{
	struct snpu_device *sdev = queue->sdev;
	int ret;

	if (!READ_ONCE(queue->in_hw) || !snpu_is_current(sdev, queue->generation))
		return;
	ret = snpu_admin_qid(sdev, SNPU_ADM_QUEUE_DESTROY, queue->number);
	WRITE_ONCE(queue->in_hw, false);
	if (!ret || ret == -ENODEV || !snpu_is_current(sdev, queue->generation))
		return;
	/* the device keeps our memory: only a reset takes it back */
	snpu_reset_schedule(sdev, "queue cannot be destroyed");
	flush_work(&sdev->reset_work);
}

/* Ends a queue that nobody can look up any more, and drops the owner's reference */
static void snpu_queue_kill(struct snpu_queue *queue)
{
	struct snpu_device *sdev = queue->sdev;

	trace_snpu_queue_destroy(queue, READ_ONCE(queue->cpl->completed));
	/* no new fences; those there are wait until the device has let go of memory */
	spin_lock_irq(&queue->lock);
	if (!queue->dead)
		queue->dead = -ECANCELED;
	spin_unlock_irq(&queue->lock);
	cancel_delayed_work_sync(&queue->hang_work);

	snpu_map_kill(queue->doorbell, queue->client->file);
	snpu_map_kill(queue->cpl_map, queue->client->file);
	snpu_queue_hw_destroy(queue);

	spin_lock_irq(&sdev->queue_lock);
	if (!list_empty(&queue->vec_link))
		list_del_init(&queue->vec_link);
	spin_unlock_irq(&sdev->queue_lock);
	snpu_queue_fail(queue, -ECANCELED, 0);
	snpu_queue_unmap(queue);

	/* last, so that who removes the device finds all queues with DMA mappings here */
	spin_lock_irq(&sdev->queue_lock);
	if (sdev->queues[queue->number] == queue)
		sdev->queues[queue->number] = NULL;
	spin_unlock_irq(&sdev->queue_lock);

	mutex_lock(&queue->client->lock);
	queue->client->nqueues--;
	mutex_unlock(&queue->client->lock);
	snpu_queue_put(queue);
}

/** snpu_queues_kill() - end all queues of a client that is being closed */
void snpu_queues_kill(struct snpu_client *client)
{
	struct snpu_queue *queue;
	unsigned long id;

	xa_for_each(&client->queues, id, queue) {
		xa_erase(&client->queues, id);
		snpu_queue_kill(queue);
	}
}

static void snpu_queues_for_each(struct snpu_device *sdev, void (*fn)(struct snpu_queue *queue))
{
	struct snpu_queue *queue;
	u32 i;

	for (i = 0; i < sdev->facts.num_queues; i++) {
		queue = snpu_queue_by_number(sdev, i);
		if (!queue)
			continue;
		fn(queue);
		snpu_queue_put(queue);
	}
}

static void snpu_queue_lost(struct snpu_queue *queue)
{
	if (snpu_is_current(queue->sdev, queue->generation))
		return;
	WRITE_ONCE(queue->in_hw, false);
	spin_lock_irq(&queue->lock);
	if (queue->fault.state == SNPU_QSTATE_NONE) {
		queue->fault.state = SNPU_QSTATE_STOPPED;
		queue->fault.error = SNPU_ERR_ABORTED;
		queue->fault.fault_index = READ_ONCE(queue->cpl->completed);
	}
	spin_unlock_irq(&queue->lock);
	snpu_queue_stopped(queue);
	snpu_queue_fail(queue, -ENODEV, DRM_SNPU_QUEUE_LOST);
	if (queue->eventfd)
		eventfd_signal(queue->eventfd);
}

/**
 * snpu_queues_lost() - end the queues of earlier generations
 * @sdev: device, which runs none of them any more
 *
 * Context: may sleep; allocates nothing, fences wait for it.
 */
void snpu_queues_lost(struct snpu_device *sdev)
{
	snpu_queues_for_each(sdev, snpu_queue_lost);
}

/** snpu_queues_detach() - take all DMA mappings back; the device is being removed */
void snpu_queues_detach(struct snpu_device *sdev)
{
	snpu_queues_for_each(sdev, snpu_queue_unmap);
}

static void snpu_queue_check(struct snpu_queue *queue)
{
	snpu_queue_check_fault(queue);
	if (queue->eventfd)
		eventfd_signal(queue->eventfd);
}

/** snpu_queues_check() - look at every queue: events were lost */
void snpu_queues_check(struct snpu_device *sdev)
{
	snpu_queues_for_each(sdev, snpu_queue_check);
}

static int snpu_queue_args_check(struct drm_device *drm, const struct drm_snpu_queue_create *args)
{
	const struct snpu_facts *facts = &to_snpu_device(drm)->facts;
	const u32 flags = DRM_SNPU_QUEUE_EVENTFD | DRM_SNPU_QUEUE_TIMING;
	u64 bytes, end;

	if (args->flags & ~flags) {
		drm_dbg(drm, "flags %#x: allowed are %#x\n", args->flags, flags);
		return -EINVAL;
	}
	if (!(args->flags & DRM_SNPU_QUEUE_EVENTFD) && args->eventfd)
		return -EINVAL;
	if (args->die > min(facts->dies, SNPU_QF_DIE_MASK >> SNPU_QF_DIE_SHIFT)) {
		drm_dbg(drm, "die %u: allowed are 0 to %u\n", args->die, facts->dies);
		return -EINVAL;
	}
	if (args->prio > SNPU_PRIO_MAX) {
		drm_dbg(drm, "prio %u: allowed are 0 to %u\n", args->prio, SNPU_PRIO_MAX);
		return -EINVAL;
	}
	if (args->ring_log2 < SNPU_RING_LOG2_MIN || args->ring_log2 > SNPU_RING_LOG2_MAX) {
		drm_dbg(drm, "ring_log2 %u: allowed are %u to %u\n", args->ring_log2,
			SNPU_RING_LOG2_MIN, SNPU_RING_LOG2_MAX);
		return -EINVAL;
	}
	bytes = (u64)SNPU_PKT_BYTES << args->ring_log2;
	if (!IS_ALIGNED(args->ring_va, SNPU_PKT_BYTES) || args->ring_va < SNPU_VA_START ||
	    check_add_overflow(args->ring_va, bytes, &end) || end > SNPU_VA_END) {
		drm_dbg(drm, "ring_va %#llx: must be a multiple of %u in %#x to %#llx\n",
			args->ring_va, SNPU_PKT_BYTES, SNPU_VA_START, SNPU_VA_END - bytes);
		return -EINVAL;
	}
	if (args->prio == SNPU_PRIO_HIGH && !capable(CAP_SYS_NICE))
		return -EACCES;
	if (args->flags & DRM_SNPU_QUEUE_TIMING && !(facts->caps & SNPU_CAP_TIMING))
		return -EOPNOTSUPP;
	return 0;
}

static int snpu_client_queue_charge(struct snpu_client *client)
{
	int ret = -ENOSPC;

	mutex_lock(&client->lock);
	if (client->nqueues < SNPU_MAX_CLIENT_QUEUES) {
		client->nqueues++;
		ret = 0;
	}
	mutex_unlock(&client->lock);
	return ret;
}

static int snpu_queue_setup(struct snpu_queue *queue, const struct drm_snpu_queue_create *args)
{
	struct snpu_device *sdev = queue->sdev;
	struct drm_file *file = queue->client->file;
	struct snpu_map *map;
	int ret;

	if (args->flags & DRM_SNPU_QUEUE_EVENTFD) {
		struct eventfd_ctx *ctx = eventfd_ctx_fdget(args->eventfd);

		if (IS_ERR(ctx))
			return PTR_ERR(ctx);
		queue->eventfd = ctx;
	}
	map = snpu_map_create(sdev, file, 0);
	if (IS_ERR(map))
		return PTR_ERR(map);
	queue->cpl_map = map;
	queue->cpl = page_address(map->page);
	map = snpu_map_create(sdev, file, sdev->db_phys + queue->number * SNPU_DB_STRIDE);
	if (IS_ERR(map))
		return PTR_ERR(map);
	queue->doorbell = map;
	ret = snpu_queue_map_cpl(queue);
	if (ret)
		return ret;
	return snpu_queue_hw_create(queue);
}

/**
 * snpu_ioctl_queue_create() - DRM_IOCTL_SNPU_QUEUE_CREATE: make a queue
 * @drm: device
 * @data: struct drm_snpu_queue_create
 * @file: client
 *
 * Context: process; the device is bound until it returns.
 *
 * Return: 0; -EINVAL, -EACCES (priority), -EOPNOTSUPP (timing-only), -ENOSPC (queues), -EBADF
 * (eventfd), -ENOMEM, -EIO, -ENODEV.
 */
int snpu_ioctl_queue_create(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct snpu_device *sdev = to_snpu_device(drm);
	struct snpu_client *client = file->driver_priv;
	struct drm_snpu_queue_create *args = data;
	struct snpu_queue *queue;
	int ret;

	ret = snpu_queue_args_check(drm, args);
	if (ret)
		return ret;
	ret = snpu_client_queue_charge(client);
	if (ret)
		return ret;
	ret = -ENOMEM;
	queue = kzalloc_obj(*queue, GFP_KERNEL_ACCOUNT);
	if (!queue)
		goto err_charge;
	kref_init(&queue->ref);
	queue->sdev = sdev;
	queue->number = U32_MAX;
	queue->client = client;
	queue->vm = client->vm;
	queue->ring_va = args->ring_va;
	queue->ring_log2 = args->ring_log2;
	queue->prio = args->prio;
	queue->hw_flags = args->die << SNPU_QF_DIE_SHIFT;
	if (args->flags & DRM_SNPU_QUEUE_TIMING)
		queue->hw_flags |= SNPU_QF_TIMING;
	queue->fence_context = dma_fence_context_alloc(1);
	spin_lock_init(&queue->lock);
	mutex_init(&queue->wait_lock);
	INIT_LIST_HEAD(&queue->fences);
	INIT_LIST_HEAD(&queue->vtimes);
	INIT_LIST_HEAD(&queue->vec_link);
	snpu_hang_init(queue);

	ret = ida_alloc_max(&sdev->queue_ids, sdev->facts.num_queues - 1, GFP_KERNEL);
	if (ret < 0)
		goto err_queue;
	queue->number = ret;
	queue->vector = snpu_irq_vector(sdev, queue->number);
	ret = snpu_queue_setup(queue, args);
	if (ret)
		goto err_setup;
	/* reserve the id; the queue appears under it when it is whole */
	ret = xa_alloc(&client->queues, &queue->id, NULL, xa_limit_31b, GFP_KERNEL_ACCOUNT);
	if (ret)
		goto err_setup;
	snpu_queue_publish(queue);
	trace_snpu_queue_create(queue, BIT(queue->ring_log2));

	args->queue_id = queue->id;
	args->doorbell_offset = snpu_map_offset(queue->doorbell);
	args->cpl_offset = snpu_map_offset(queue->cpl_map);
	/* cannot fail, the entry is there */
	xa_store(&client->queues, queue->id, queue, GFP_KERNEL_ACCOUNT);
	return 0;

err_setup:
	snpu_queue_hw_destroy(queue);
	if (queue->doorbell)
		snpu_map_kill(queue->doorbell, file);
	if (queue->cpl_map) {
		snpu_map_kill(queue->cpl_map, file);
		snpu_queue_unmap(queue);
	}
err_queue:
	snpu_queue_put(queue);
err_charge:
	mutex_lock(&client->lock);
	client->nqueues--;
	mutex_unlock(&client->lock);
	return ret;
}

/**
 * snpu_ioctl_queue_destroy() - DRM_IOCTL_SNPU_QUEUE_DESTROY: end a queue
 * @drm: device
 * @data: struct drm_snpu_queue_destroy
 * @file: client
 *
 * Context: process; the device is bound until it returns.
 *
 * Return: 0; -EINVAL, -ENOENT.
 */
int snpu_ioctl_queue_destroy(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct snpu_client *client = file->driver_priv;
	struct drm_snpu_queue_destroy *args = data;
	struct snpu_queue *queue;

	if (args->pad)
		return -EINVAL;
	/* an id that is only reserved yet must stay so: its creator stores into it */
	xa_lock(&client->queues);
	queue = xa_load(&client->queues, args->queue_id);
	if (queue)
		__xa_erase(&client->queues, args->queue_id);
	xa_unlock(&client->queues);
	if (!queue)
		return -ENOENT;
	snpu_queue_kill(queue);
	return 0;
}

/**
 * snpu_ioctl_queue_query() - DRM_IOCTL_SNPU_QUEUE_QUERY: tell how a queue is
 * @drm: device
 * @data: struct drm_snpu_queue_query
 * @file: client
 *
 * Context: process; the device is bound until it returns.
 *
 * Return: 0; -EINVAL, -ENOENT.
 */
int snpu_ioctl_queue_query(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct drm_snpu_queue_query *args = data;
	struct snpu_queue *queue;
	struct snpu_fault fault;

	if (args->pad)
		return -EINVAL;
	queue = snpu_queue_lookup(file->driver_priv, args->queue_id);
	if (!queue)
		return -ENOENT;
	/* the event may still be on its way */
	snpu_queue_check_fault(queue);
	spin_lock_irq(&queue->lock);
	fault = queue->fault;
	args->flags = queue->flags;
	spin_unlock_irq(&queue->lock);
	if (fault.state == SNPU_QSTATE_NONE)
		fault.state = READ_ONCE(queue->cpl->state);
	args->state = fault.state;
	args->error = fault.error;
	args->error_aux = fault.error_aux;
	args->fault_index = fault.fault_index;
	args->fault_va = fault.fault_va;
	args->completed = READ_ONCE(queue->cpl->completed);
	snpu_queue_put(queue);
	return 0;
}

/**
 * snpu_ioctl_queue_ctrl() - DRM_IOCTL_SNPU_QUEUE_CTRL: wake the device, suspend or resume a queue
 * @drm: device
 * @data: struct drm_snpu_queue_ctrl
 * @file: client
 *
 * Context: process; the device is bound until it returns.
 *
 * Return: 0; -EINVAL, -ENOENT, the error that ended the queue, -EIO, -ENODEV.
 */
int snpu_ioctl_queue_ctrl(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct snpu_device *sdev = to_snpu_device(drm);
	struct drm_snpu_queue_ctrl *args = data;
	struct snpu_queue *queue;
	int ret;

	queue = snpu_queue_lookup(file->driver_priv, args->queue_id);
	if (!queue)
		return -ENOENT;
	switch (args->op) {
	case DRM_SNPU_CTRL_WAKE:
		snpu_hw_wake(sdev);
		ret = 0;
		break;
	case DRM_SNPU_CTRL_SUSPEND:
	case DRM_SNPU_CTRL_RESUME:
		/* our reference keeps the number from being given to another */
		ret = READ_ONCE(queue->dead);
		if (!ret)
			ret = snpu_admin_qid(sdev, args->op == DRM_SNPU_CTRL_SUSPEND ?
					     SNPU_ADM_QUEUE_SUSPEND : SNPU_ADM_QUEUE_RESUME,
					     queue->number);
		break;
	default:
		drm_dbg(drm, "op %u: allowed are 0 to %u\n", args->op, DRM_SNPU_CTRL_RESUME);
		ret = -EINVAL;
		break;
	}
	snpu_queue_put(queue);
	return ret;
}
