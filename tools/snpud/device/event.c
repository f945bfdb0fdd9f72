// SPDX-License-Identifier: MIT
/*
 * The event ring in host memory. The device keeps its own index and reads only @cons, once for each
 * event; a value that makes no sense costs the guest events and nobody else anything.
 */
#include <stddef.h>
#include <string.h>

#include "npu_priv.h"

static uint64_t ring_at(const struct snpu_npu *n, uint64_t index)
{
	return n->ev_addr + sizeof(struct snpu_event_ring) +
	       (index & ((1ull << n->ev_log2) - 1)) * sizeof(struct snpu_event_entry);
}

/* @cons as a number of events; ev_lock held */
static int ring_cons(struct snpu_npu *n, uint64_t *cons)
{
	if (snpu_bus_read(n, n->ev_addr + offsetof(struct snpu_event_ring, cons), cons,
			  sizeof(*cons)))
		return -1;
	if (*cons > n->ev_prod)
		*cons = n->ev_prod;
	return 0;
}

static void ring_put(struct snpu_npu *n, uint32_t type, uint32_t queue, uint32_t code,
		     uint64_t data)
{
	struct snpu_event_entry ev = {
		.type = type, .queue = queue, .code = code, .data = data,
		.time_ns = snpu_machine_time(n->m),
	};
	uint32_t seq = (uint32_t)n->ev_prod + 1;
	uint64_t at = ring_at(n, n->ev_prod);

	/* the entry is written with a seq that cannot be taken for the right one */
	ev.seq = (uint32_t)n->ev_prod;
	snpu_bus_write(n, at, &ev, sizeof(ev));
	__atomic_thread_fence(__ATOMIC_RELEASE);
	snpu_bus_write(n, at + offsetof(struct snpu_event_entry, seq), &seq, sizeof(seq));
	n->ev_prod++;
	__atomic_thread_fence(__ATOMIC_RELEASE);
	snpu_bus_write(n, n->ev_addr + offsetof(struct snpu_event_ring, prod), &n->ev_prod,
		       sizeof(n->ev_prod));
	__atomic_fetch_add(&n->cnt_events, 1, __ATOMIC_RELAXED);
}

/*
 * Updates the unconsumed INTERRUPT event of @q. The driver moves @cons before it acts on an event;
 * so when @cons has not moved after the update, it will act on what was there before this call at
 * the earliest now. When it has moved, the event may have been acted on too early: false, and the
 * caller produces a new one.
 */
static bool ring_merge(struct snpu_npu *n, struct snpu_queue *q, uint32_t code, uint64_t data)
{
	uint64_t idx = q->int_event - 1, cons, at = ring_at(n, idx);

	if (idx >= n->ev_prod || ring_cons(n, &cons) || cons > idx)
		return false;
	snpu_bus_write(n, at + offsetof(struct snpu_event_entry, code), &code, sizeof(code));
	snpu_bus_write(n, at + offsetof(struct snpu_event_entry, data), &data, sizeof(data));
	snpu_mb();
	if (ring_cons(n, &cons) || cons > idx)
		return false;
	__atomic_fetch_add(&n->cnt_merged, 1, __ATOMIC_RELAXED);
	return true;
}

/**
 * snpu_event_emit() - produce an event
 * @n: NPU
 * @q: queue it is about, or NULL
 * @type: SNPU_EVT_*
 * @code: see SNPU_EVT_*
 * @data: see SNPU_EVT_*
 *
 * Context: worker in a section, or holder of bus_lock.
 */
void snpu_event_emit(struct snpu_npu *n, struct snpu_queue *q, uint32_t type, uint32_t code,
		     uint64_t data)
{
	uint64_t cons;

	pthread_mutex_lock(&n->ev_lock);
	if (!n->ev_log2 || !n->ev_addr) {
		pthread_mutex_unlock(&n->ev_lock);
		return;
	}
	if (type == SNPU_EVT_INTERRUPT && q->int_event && ring_merge(n, q, code, data))
		goto irq;
	if (ring_cons(n, &cons)) {
		/* the ring is not there any more: nobody can be told */
		snpu_add(&n->ev_lost, 1);
		pthread_mutex_unlock(&n->ev_lock);
		return;
	}
	if (n->ev_prod - cons >= 1ull << n->ev_log2) {
		snpu_store(&n->ev_lost, n->ev_lost + 1);
		snpu_bus_write(n, n->ev_addr + offsetof(struct snpu_event_ring, lost),
			       &n->ev_lost, sizeof(n->ev_lost));
		goto irq;
	}
	ring_put(n, type, q ? q->id : SNPU_EVT_NO_QUEUE, code, data);
	if (type == SNPU_EVT_INTERRUPT)
		q->int_event = n->ev_prod;
irq:
	pthread_mutex_unlock(&n->ev_lock);
	snpu_npu_irq(n, 0);
}

/** snpu_event_emit_ext() - snpu_event_emit() for threads that are not workers */
void snpu_event_emit_ext(struct snpu_npu *n, uint32_t type, uint32_t code, uint64_t data)
{
	pthread_mutex_lock(&n->bus_lock);
	snpu_event_emit(n, NULL, type, code, data);
	pthread_mutex_unlock(&n->bus_lock);
}

void snpu_event_reset(struct snpu_npu *n)
{
	pthread_mutex_lock(&n->ev_lock);
	n->ev_addr = 0;
	n->ev_log2 = 0;
	n->ev_prod = 0;
	n->ev_lost = 0;
	pthread_mutex_unlock(&n->ev_lock);
}
