// SPDX-License-Identifier: MIT
/*
 * Events: 64-bit semaphores in HBM that contexts of several NPUs map.
 */
#include <stdlib.h>
#include <time.h>

#include "check.h"
#include "internal.h"

#define ALIVE_NS	250000000ull	/* a waiter asks so often whether the NPU is there */

struct event_map {
	struct snpu_mem *mem;
	struct event_map *next;
};

/**
 * struct snpu_event - a semaphore
 * @obj: as an object
 * @mem: where it lives
 * @value: the CPU's view of it
 * @lock: protects @maps
 * @maps: its mappings in other contexts
 */
struct snpu_event {
	struct snpu_obj obj;
	struct snpu_mem *mem;
	volatile uint64_t *value;
	pthread_mutex_t lock;
	struct event_map *maps;
};

/**
 * snpu_event_create() - a semaphore with value 0
 * @ctx: context in whose HBM it lives
 * @out: receives the event
 *
 * Return: 0; -ENOSPC; -ENOMEM; -ENODEV.
 */
SNPU_EXPORT int snpu_event_create(struct snpu_ctx *ctx, struct snpu_event **out)
{
	struct snpu_event *ev;
	void *ptr;
	int ret;

	if (!ctx || !out)
		return snpu_fail(-EINVAL, "snpu_event_create: ctx or out is NULL");
	if (snpu_obj_dead(&ctx->obj, "snpu_event_create"))
		return -EINVAL;
	ret = snpu_own(ctx->snpu, "snpu_event_create");
	if (ret)
		return ret;
	ev = calloc(1, sizeof(*ev));
	if (!ev)
		return snpu_fail(-ENOMEM, "snpu_event_create");
	ret = snpu_mem_alloc_as(ctx, SNPU_PAGE_SIZE, SNPU_MEM_HBM, "event", &ev->mem);
	if (!ret) {
		ret = snpu_mem_map(ev->mem, &ptr);
		if (ret)
			snpu_mem_free(ev->mem);
	}
	if (ret) {
		free(ev);
		return snpu_fail_in("snpu_event_create", ret);
	}
	ev->value = ptr;
	pthread_mutex_init(&ev->lock, NULL);
	snpu_obj_add(&ev->obj, SNPU_KIND_EVENT, ctx->obj.check);
	*out = ev;
	return 0;
}

/**
 * snpu_event_destroy() - free an event that no packet uses any more
 * @ev: event, or NULL; before the contexts that map it
 *
 * Return: 0; -EINVAL when it was destroyed before; the error of snpu_mem_free().
 */
SNPU_EXPORT int snpu_event_destroy(struct snpu_event *ev)
{
	int ret, ret2;

	if (!ev)
		return 0;
	ret = snpu_obj_take(ev, SNPU_KIND_EVENT, "snpu_event_destroy");
	if (ret)
		return ret;
	while (ev->maps) {
		struct event_map *m = ev->maps;

		ev->maps = m->next;
		ret2 = snpu_mem_free(m->mem);
		ret = ret ? ret : ret2;
		free(m);
	}
	ret2 = snpu_mem_free(ev->mem);
	pthread_mutex_destroy(&ev->lock);
	snpu_obj_free(&ev->obj);
	ret = ret ? ret : ret2;
	return ret ? snpu_fail_in("snpu_event_destroy", ret) : 0;
}

/**
 * snpu_event_va() - address of an event in a context
 * @ev: event
 * @ctx: context, of any NPU of the set; the first call maps the event there
 * @va: receives the address for SEM_SIGNAL and SEM_WAIT packets
 *
 * Return: 0; errors of snpu_mem_share(). Thread-safe.
 */
SNPU_EXPORT int snpu_event_va(struct snpu_event *ev, struct snpu_ctx *ctx, uint64_t *va)
{
	struct event_map *m;
	int ret;

	if (!ev || !ctx || !va)
		return snpu_fail(-EINVAL, "snpu_event_va: ev, ctx or va is NULL");
	if (snpu_obj_dead(&ev->obj, "snpu_event_va") || snpu_obj_dead(&ctx->obj, "snpu_event_va"))
		return -EINVAL;
	ret = snpu_own(ev->mem->ctx->snpu, "snpu_event_va");
	if (ret)
		return ret;
	if (ctx == ev->mem->ctx) {
		*va = ev->mem->va;
		return 0;
	}
	pthread_mutex_lock(&ev->lock);
	for (m = ev->maps; m && m->mem->ctx != ctx; m = m->next)
		;
	if (!m) {
		m = calloc(1, sizeof(*m));
		ret = m ? snpu_mem_share(ctx, ev->mem, 0, &m->mem) :
			  snpu_fail(-ENOMEM, "snpu_event_va");
		if (ret) {
			free(m);
		} else {
			m->mem->what = "event";
			m->next = ev->maps;
			ev->maps = m;
		}
	}
	if (!ret)
		*va = m->mem->va;
	pthread_mutex_unlock(&ev->lock);
	return ret ? snpu_fail_in("snpu_event_va", ret) : 0;
}

/** snpu_event_read() - the value; what its signaller did before is visible */
SNPU_EXPORT uint64_t snpu_event_read(struct snpu_event *ev)
{
	uint64_t v;

	if (!ev || snpu_obj_dead(&ev->obj, "snpu_event_read"))
		return 0;
	v = *ev->value;
	snpu_rmb_complete();
	return v;
}

/**
 * snpu_event_set() - store a value by the CPU
 * @ev: event
 * @value: value; what the CPU stored before is visible to packets that wait for it
 *
 * Wakes the NPUs of the contexts that map the event, should they sleep. Return: 0; -ENODEV.
 */
SNPU_EXPORT int snpu_event_set(struct snpu_event *ev, uint64_t value)
{
	struct event_map *m;
	int ret, ret2;

	if (!ev)
		return snpu_fail(-EINVAL, "snpu_event_set: event is NULL");
	if (snpu_obj_dead(&ev->obj, "snpu_event_set"))
		return -EINVAL;
	ret = snpu_own(ev->mem->ctx->snpu, "snpu_event_set");
	if (ret)
		return ret;
	snpu_wmb_doorbell();
	*ev->value = value;
	snpu_mb_wake();
	ret = snpu_ctx_wake(ev->mem->ctx);
	pthread_mutex_lock(&ev->lock);
	for (m = ev->maps; m; m = m->next) {
		ret2 = snpu_ctx_wake(m->mem->ctx);
		ret = ret ? ret : ret2;
	}
	pthread_mutex_unlock(&ev->lock);
	return ret ? snpu_fail_in("snpu_event_set", ret) : 0;
}

/* What a message says of an event that is waited for */
static void event_state(struct snpu_event *ev, uint64_t value, char *buf, size_t len)
{
	snprintf(buf, len, "waits for at least %llu, there is %llu (event at 0x%llx, NPU %u)",
		 (unsigned long long)value, (unsigned long long)*ev->value,
		 (unsigned long long)ev->mem->va, ev->mem->ctx->npu->index);
}

/**
 * snpu_event_wait() - wait by the CPU until the value is at least @value
 * @ev: event
 * @value: value
 * @timeout_ns: nanoseconds, SNPU_FOREVER
 *
 * Spins SNPU_SPIN_US, then looks at growing intervals of up to a millisecond: an event has no
 * interrupt. To sleep until a queue gets somewhere use snpu_queue_wait(). Return: 0;
 * -ETIME; -ENODEV.
 */
SNPU_EXPORT int snpu_event_wait(struct snpu_event *ev, uint64_t value, uint64_t timeout_ns)
{
	uint64_t deadline = snpu_deadline(timeout_ns), now = snpu_now_ns(), spin_end, ask;
	uint64_t patience = now + SNPU_CHECK_PATIENCE_NS;
	struct timespec ts = { 0, 20000 };
	struct snpu_npu *npu;
	char state[120];
	int ret;

	if (!ev)
		return snpu_fail(-EINVAL, "snpu_event_wait: event is NULL");
	if (snpu_obj_dead(&ev->obj, "snpu_event_wait"))
		return -EINVAL;
	ret = snpu_own(ev->mem->ctx->snpu, "snpu_event_wait");
	if (ret)
		return ret;
	npu = ev->mem->ctx->npu;
	spin_end = now + npu->snpu->cfg.spin_us * 1000;
	ask = now + ALIVE_NS;

	while (snpu_event_read(ev) < value) {
		now = snpu_now_ns();
		if (now >= deadline) {
			event_state(ev, value, state, sizeof(state));
			return snpu_fail(-ETIME, "snpu_event_wait: not reached in %.3f s: %s",
					 (double)timeout_ns / 1e9, state);
		}
		if (ev->obj.check && now >= patience) {
			event_state(ev, value, state, sizeof(state));
			snpu_log(0, "SNPU_CHECK: snpu_event_wait: a lost signal? For %.1f s: %s",
				 SNPU_CHECK_PATIENCE_NS / 1e9, state);
			patience = UINT64_MAX;
		}
		if (now < spin_end) {
			snpu_cpu_relax();
			continue;
		}
		/* the memory of an NPU that is gone never changes */
		if (now >= ask) {
			ret = npu->snpu->t->alive(npu);
			if (ret)
				return snpu_fail(ret, "snpu_event_wait: NPU %u is gone",
						 npu->index);
			ask = now + ALIVE_NS;
		}
		nanosleep(&ts, NULL);
		ts.tv_nsec = ts.tv_nsec < 500000 ? ts.tv_nsec * 2 : 1000000;
	}
	return 0;
}
