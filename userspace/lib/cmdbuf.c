// SPDX-License-Identifier: MIT
/*
 * Command buffers: packets recorded once, run by one INDIRECT packet.
 */
#include <stdlib.h>
#include <string.h>

#include "internal.h"

/**
 * struct snpu_cmdbuf - a command buffer
 * @mem: its memory
 * @pkts: the CPU's view
 * @count: packets recorded
 * @max: room
 * @next: next one of the context; under snpu_fork_lock()
 */
struct snpu_cmdbuf {
	struct snpu_obj obj;
	struct snpu_mem *mem;
	union snpu_pkt *pkts;
	uint32_t count;
	uint32_t max;
	struct snpu_cmdbuf *next;
};

void snpu_cmdbufs_forked(struct snpu_cmdbuf *cb)
{
	for (; cb; cb = cb->next) {
		snpu_mem_private(cb->mem);
		cb->max = 0;
		cb->count = 0;
	}
}

static void unlink_cmdbuf(struct snpu_cmdbuf *cb)
{
	struct snpu_cmdbuf **p;

	snpu_fork_lock();
	for (p = &cb->mem->ctx->cmdbufs; *p != cb; p = &(*p)->next)
		;
	*p = cb->next;
	snpu_fork_unlock();
}

/**
 * snpu_cmdbuf_create() - room for recorded packets
 * @ctx: context whose queues are going to run them
 * @packets: 1 .. SNPU_MAX_IB_PKTS
 * @out: receives the command buffer
 *
 * Return: 0; -EINVAL; -ENOMEM; -ENODEV.
 */
SNPU_EXPORT int snpu_cmdbuf_create(struct snpu_ctx *ctx, unsigned int packets,
				   struct snpu_cmdbuf **out)
{
	struct snpu_cmdbuf *cb;
	void *ptr;
	int ret;

	if (!ctx || !out)
		return snpu_fail(-EINVAL, "snpu_cmdbuf_create: ctx or out is NULL");
	if (snpu_obj_dead(&ctx->obj, "snpu_cmdbuf_create"))
		return -EINVAL;
	if (!packets || packets > SNPU_MAX_IB_PKTS)
		return snpu_fail(-EINVAL, "snpu_cmdbuf_create: %u packets is not 1 to %u", packets,
				 SNPU_MAX_IB_PKTS);
	ret = snpu_own(ctx->snpu, "snpu_cmdbuf_create");
	if (ret)
		return ret;
	cb = calloc(1, sizeof(*cb));
	if (!cb)
		return snpu_fail(-ENOMEM, "snpu_cmdbuf_create");
	cb->max = packets;
	ret = snpu_mem_alloc_as(ctx, (uint64_t)packets * SNPU_PKT_BYTES,
				SNPU_MEM_HOST | SNPU_MEM_READ_ONLY, "command buffer", &cb->mem);
	if (!ret) {
		ret = snpu_mem_map(cb->mem, &ptr);
		if (ret)
			snpu_mem_free(cb->mem);
	}
	if (ret) {
		free(cb);
		return snpu_fail_in("snpu_cmdbuf_create", ret);
	}
	cb->pkts = ptr;
	snpu_obj_add(&cb->obj, SNPU_KIND_CMDBUF, ctx->obj.check);
	snpu_fork_lock();
	cb->next = ctx->cmdbufs;
	ctx->cmdbufs = cb;
	snpu_fork_unlock();
	*out = cb;
	return 0;
}

/**
 * snpu_cmdbuf_destroy() - free a command buffer that no queue runs any more
 * @cb: command buffer, or NULL
 *
 * Return: 0; -EINVAL when it was destroyed before; the error of snpu_mem_free().
 */
SNPU_EXPORT int snpu_cmdbuf_destroy(struct snpu_cmdbuf *cb)
{
	int ret;

	if (!cb)
		return 0;
	ret = snpu_obj_take(cb, SNPU_KIND_CMDBUF, "snpu_cmdbuf_destroy");
	if (ret)
		return ret;
	if (!snpu_forked(cb->mem->ctx->snpu))
		unlink_cmdbuf(cb);
	ret = snpu_mem_free(cb->mem);
	snpu_obj_free(&cb->obj);
	return ret ? snpu_fail_in("snpu_cmdbuf_destroy", ret) : 0;
}

/**
 * snpu_cmdbuf_get() - the next entry, zeroed, for one snpu_prep_*()
 * @cb: command buffer
 *
 * Return: the entry; NULL when it is full, with a message in snpu_last_error(). One thread at a
 * time.
 */
SNPU_EXPORT union snpu_pkt *snpu_cmdbuf_get(struct snpu_cmdbuf *cb)
{
	if (!cb) {
		snpu_fail(-EINVAL, "snpu_cmdbuf_get: buffer is NULL");
		return NULL;
	}
	if (snpu_obj_dead(&cb->obj, "snpu_cmdbuf_get"))
		return NULL;
	if (cb->count == cb->max) {
		if (snpu_own(cb->mem->ctx->snpu, "snpu_cmdbuf_get"))
			return NULL;
		snpu_fail_quiet(-ENOSPC, "snpu_cmdbuf_get: all %u packets are recorded", cb->max);
		return NULL;
	}
	return memset(&cb->pkts[cb->count++], 0, sizeof(*cb->pkts));
}

/** snpu_cmdbuf_reset() - forget what is recorded; no queue may be running it */
SNPU_EXPORT void snpu_cmdbuf_reset(struct snpu_cmdbuf *cb)
{
	if (cb && !snpu_obj_dead(&cb->obj, "snpu_cmdbuf_reset"))
		cb->count = 0;
}

/**
 * snpu_queue_put_cmdbuf() - put a packet that runs a command buffer into a queue
 * @q: queue of the command buffer's context
 * @cb: command buffer; keep it until that packet has retired
 *
 * Return: 0; -EINVAL when it is empty or of another context; -EAGAIN when the ring is full.
 */
SNPU_EXPORT int snpu_queue_put_cmdbuf(struct snpu_queue *q, struct snpu_cmdbuf *cb)
{
	union snpu_pkt *p;
	int ret;

	if (!q || !cb)
		return snpu_fail(-EINVAL, "snpu_queue_put_cmdbuf: queue or buffer is NULL");
	if (snpu_obj_dead(&q->obj, "snpu_queue_put_cmdbuf") ||
	    snpu_obj_dead(&cb->obj, "snpu_queue_put_cmdbuf"))
		return -EINVAL;
	ret = snpu_own(q->ctx->snpu, "snpu_queue_put_cmdbuf");
	if (ret)
		return ret;
	if (!cb->count)
		return snpu_fail(-EINVAL, "snpu_queue_put_cmdbuf: nothing is recorded");
	if (snpu_mem_ctx(cb->mem) != q->ctx)
		return snpu_fail(-EINVAL,
				 "snpu_queue_put_cmdbuf: queue and buffer differ in context");
	ret = snpu_queue_next(q, "snpu_queue_put_cmdbuf", &p);
	if (ret)
		return ret;
	snpu_prep_indirect(p, snpu_mem_va(cb->mem), cb->count);
	return 0;
}
