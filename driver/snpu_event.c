// SPDX-License-Identifier: GPL-2.0-only
/*
 * snpu events: the ring that the device reports faults, interrupts and memory errors in. Nothing in
 * it is believed: every index is checked, every entry is read once.
 */
#include <linux/dma-mapping.h>

#include "snpu_drv.h"
#include "snpu_trace.h"

/**
 * snpu_event_ring_init() - allocate the ring
 * @sdev: device
 *
 * Return: 0 or -ENOMEM.
 */
int snpu_event_ring_init(struct snpu_device *sdev)
{
	size_t bytes = sizeof(*sdev->ring) + (sizeof(struct snpu_event_entry) << SNPU_EVENT_LOG2);

	sdev->ring = dmam_alloc_coherent(&sdev->pdev->dev, PAGE_ALIGN(bytes), &sdev->ring_dma,
					 GFP_KERNEL);
	return sdev->ring ? 0 : -ENOMEM;
}

/**
 * snpu_event_check() - check a producer index
 * @cur: reader
 * @prod: what the device wrote, read once
 *
 * Return: how many events there are, at most the size of the ring; -EPROTO if @prod cannot be.
 */
int snpu_event_check(const struct snpu_event_cursor *cur, u64 prod)
{
	u64 n = prod - cur->cons;

	return n <= BIT_ULL(cur->log2) ? (int)n : -EPROTO;
}

/**
 * snpu_event_next() - copy and check one entry
 * @cur: reader; the entry has index @cur->cons
 * @entry: entry in the ring
 * @ev: where the copy goes
 *
 * Return: 0; -EPROTO if the entry is not this index's; -EINVAL if it makes no sense.
 */
int snpu_event_next(const struct snpu_event_cursor *cur, const struct snpu_event_entry *entry,
		    struct snpu_event_entry *ev)
{
	ev->type = READ_ONCE(entry->type);
	ev->queue = READ_ONCE(entry->queue);
	ev->seq = READ_ONCE(entry->seq);
	ev->code = READ_ONCE(entry->code);
	ev->data = READ_ONCE(entry->data);
	ev->time_ns = READ_ONCE(entry->time_ns);

	if (ev->seq != (u32)(cur->cons + 1))
		return -EPROTO;
	if (ev->type == SNPU_EVT_NONE || ev->type > SNPU_EVT_MAX)
		return -EINVAL;
	switch (ev->type) {
	case SNPU_EVT_QUEUE_FAULT:
	case SNPU_EVT_INTERRUPT:
		return ev->queue < cur->num_queues ? 0 : -EINVAL;
	default:
		return 0;
	}
}

static void snpu_event_queue(struct snpu_device *sdev, const struct snpu_event_entry *ev)
{
	struct snpu_queue *queue = snpu_queue_by_number(sdev, ev->queue);

	if (!queue)	/* destroyed since */
		return;
	if (ev->type == SNPU_EVT_QUEUE_FAULT)
		snpu_queue_check_fault(queue);
	else if (queue->eventfd)
		eventfd_signal(queue->eventfd);
	snpu_queue_put(queue);
}

static void snpu_event_handle(struct snpu_device *sdev, const struct snpu_event_entry *ev)
{
	trace_snpu_event(sdev, ev);
	switch (ev->type) {
	case SNPU_EVT_QUEUE_FAULT:
	case SNPU_EVT_INTERRUPT:
		snpu_event_queue(sdev, ev);
		break;
	case SNPU_EVT_ECC_CE:
		atomic64_inc(&sdev->ecc_ce);
		dev_dbg(sdev->drm.dev, "corrected memory error at HBM offset %#llx\n", ev->data);
		break;
	case SNPU_EVT_ECC_UE:
		atomic64_inc(&sdev->ecc_ue);
		dev_warn_ratelimited(sdev->drm.dev,
				     "uncorrected memory error at HBM offset %#llx\n", ev->data);
		break;
	case SNPU_EVT_FABRIC:
		snpu_port_event(sdev, ev);
		break;
	case SNPU_EVT_FATAL:
		drm_err_ratelimited(&sdev->drm, "fatal device error, reason %u\n", ev->code);
		snpu_reset_schedule(sdev, "fatal device error");
		break;
	}
}

/**
 * snpu_events_handle() - take the events out of the ring
 * @sdev: device
 *
 * Context: the thread of vector 0. Takes at most what is there when it begins; what comes later
 * raises the vector again.
 */
void snpu_events_handle(struct snpu_device *sdev)
{
	struct snpu_event_cursor cur = {
		.cons = sdev->ring_cons,
		.log2 = SNPU_EVENT_LOG2,
		.num_queues = sdev->facts.num_queues,
	};
	struct snpu_event_ring *ring = sdev->ring;
	struct snpu_event_entry ev;
	u64 lost;
	int n, ret;

	if (READ_ONCE(sdev->power) != SNPU_POWER_UP)
		return;
	n = snpu_event_check(&cur, READ_ONCE(ring->prod));
	if (n < 0)
		goto broken;
	/* prod before the entries that it counts */
	rmb();
	while (n--) {
		ret = snpu_event_next(&cur, &ring->ev[cur.cons & (BIT(cur.log2) - 1)], &ev);
		if (ret == -EPROTO)
			goto broken;
		/*
		 * The entry was read before the device may write over it; and it is consumed
		 * before it is acted on, since until then the device merges a further interrupt
		 * of the queue into it.
		 */
		mb();
		sdev->ring_cons = ++cur.cons;
		WRITE_ONCE(ring->cons, cur.cons);
		/* pairs with the device, which merges, then looks at cons once more */
		mb();
		if (ret) {
			atomic64_inc(&sdev->events_bad);
			drm_err_ratelimited(&sdev->drm, "event of type %u for queue %u ignored\n",
					    ev.type, ev.queue);
		} else {
			snpu_event_handle(sdev, &ev);
		}
	}

	lost = READ_ONCE(ring->lost);
	if (lost != sdev->ring_lost) {
		sdev->ring_lost = lost;
		snpu_queues_check(sdev);
	}
	return;
broken:
	atomic64_inc(&sdev->events_bad);
	drm_err_ratelimited(&sdev->drm, "event ring is broken: consumed %llu, produced %llu\n",
			    cur.cons, READ_ONCE(ring->prod));
	snpu_reset_schedule(sdev, "event ring is broken");
}
