// SPDX-License-Identifier: MIT
/*
 * Command buffers: packets recorded once, run by one INDIRECT packet.
 */
#include <stdlib.h>
#include <string.h>

#include "internal.h"

struct snpu_cmdbuf {
	struct snpu_mem *mem;
	union snpu_pkt *pkts;
	uint32_t count;
	uint32_t max;
};

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

	if (!ctx || !out || !packets || packets > SNPU_MAX_IB_PKTS)
		return snpu_fail(-EINVAL, "snpu_cmdbuf_create: %u packets is not 1 to %u", packets,
				 SNPU_MAX_IB_PKTS);
	cb = calloc(1, sizeof(*cb));
	if (!cb)
		return snpu_fail(-ENOMEM, "snpu_cmdbuf_create");
	cb->max = packets;
	ret = snpu_mem_alloc(ctx, (uint64_t)packets * SNPU_PKT_BYTES,
			     SNPU_MEM_HOST | SNPU_MEM_READ_ONLY, &cb->mem);
	if (!ret) {
		ret = snpu_mem_map(cb->mem, &ptr);
		if (ret)
			snpu_mem_free(cb->mem);
	}
	if (ret) {
		free(cb);
		return ret;
	}
	cb->pkts = ptr;
	*out = cb;
	return 0;
}

/**
 * snpu_cmdbuf_destroy() - free a command buffer that no queue runs any more
 * @cb: command buffer, or NULL
 *
 * Return: 0 or the error of snpu_mem_free().
 */
SNPU_EXPORT int snpu_cmdbuf_destroy(struct snpu_cmdbuf *cb)
{
	int ret;

	if (!cb)
		return 0;
	ret = snpu_mem_free(cb->mem);
	free(cb);
	return ret;
}

/** snpu_cmdbuf_get() - the next entry, zeroed, for one snpu_prep_*(); NULL: full. One thread */
SNPU_EXPORT union snpu_pkt *snpu_cmdbuf_get(struct snpu_cmdbuf *cb)
{
	if (!cb || cb->count == cb->max)
		return NULL;
	return memset(&cb->pkts[cb->count++], 0, sizeof(*cb->pkts));
}

/** snpu_cmdbuf_reset() - forget what is recorded; no queue may be running it */
SNPU_EXPORT void snpu_cmdbuf_reset(struct snpu_cmdbuf *cb)
{
	if (cb)
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

	if (!q || !cb)
		return snpu_fail(-EINVAL, "snpu_queue_put_cmdbuf: queue or buffer is NULL");
	if (!cb->count)
		return snpu_fail(-EINVAL, "snpu_queue_put_cmdbuf: nothing is recorded");
	if (snpu_mem_ctx(cb->mem) != q->ctx)
		return snpu_fail(-EINVAL,
				 "snpu_queue_put_cmdbuf: queue and buffer differ in context");
	p = snpu_queue_get(q);
	if (!p)
		return snpu_fail(-EAGAIN, "snpu_queue_put_cmdbuf: the ring is full");
	snpu_prep_indirect(p, snpu_mem_va(cb->mem), cb->count);
	return 0;
}
