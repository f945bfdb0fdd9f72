// SPDX-License-Identifier: MIT
/*
 * The register of live objects: a table of chains by address. Looking for an address never reads
 * what is there, so that a stale pointer does no harm.
 */
#include <stdlib.h>

#include "check.h"
#include "internal.h"

#define BUCKETS	1024u

static struct snpu_obj *table[BUCKETS];
/* recursive: what looks at one object may have to find another */
static pthread_mutex_t lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;

static const char *const kind_names[] = {
	[SNPU_KIND_SET] = "set of NPUs",	[SNPU_KIND_CTX] = "context",
	[SNPU_KIND_MEM] = "memory",		[SNPU_KIND_QUEUE] = "queue",
	[SNPU_KIND_CMDBUF] = "command buffer",	[SNPU_KIND_FENCE] = "fence",
	[SNPU_KIND_TIMELINE] = "timeline",	[SNPU_KIND_EVENT] = "event",
};

static struct snpu_obj **bucket(const void *o)
{
	/* allocations lie on 16 bytes */
	return &table[((uintptr_t)o >> 4) * 0x9e3779b97f4a7c15ull >> 54];
}

/* A child of fork() must find the lock free, whatever other threads did */
static void fork_prepare(void)
{
	pthread_mutex_lock(&lock);
}

static void fork_parent(void)
{
	pthread_mutex_unlock(&lock);
}

static void fork_child(void)
{
	/* the thread that took it has another number here */
	lock = (pthread_mutex_t)PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
}

static void once(void)
{
	pthread_atfork(fork_prepare, fork_parent, fork_child);
}

void snpu_obj_add(struct snpu_obj *o, enum snpu_kind kind, bool check)
{
	static pthread_once_t first = PTHREAD_ONCE_INIT;

	pthread_once(&first, once);
	o->kind = kind;
	o->check = check;
	if (check)
		snpu_check_made(o);
	snpu_obj_untake(o);
}

void snpu_obj_untake(struct snpu_obj *o)
{
	struct snpu_obj **b = bucket(o);

	pthread_mutex_lock(&lock);
	o->gone = false;
	o->next = *b;
	*b = o;
	pthread_mutex_unlock(&lock);
}

int snpu_obj_take(void *o, enum snpu_kind kind, const char *call)
{
	struct snpu_obj **p, *found = NULL;

	pthread_mutex_lock(&lock);
	for (p = bucket(o); *p && !found; p = found ? p : &(*p)->next)
		if (*p == o && (*p)->kind == kind)
			found = *p;
	if (found) {
		*p = found->next;
		found->gone = true;
	}
	pthread_mutex_unlock(&lock);
	if (!found)
		return snpu_check_again(o, kind, kind_names[kind], call);
	if (found->check)
		snpu_check_gone(found);
	return 0;
}

void snpu_obj_free(struct snpu_obj *o)
{
	if (o->check)
		snpu_check_keep(o);
	else
		free(o);
}

void snpu_obj_each(enum snpu_kind kind, bool (*fn)(struct snpu_obj *o, void *arg), void *arg)
{
	struct snpu_obj *o;
	bool more = true;
	size_t i;

	pthread_mutex_lock(&lock);
	for (i = 0; more && i < BUCKETS; i++)
		for (o = table[i]; more && o; o = o->next)
			more = o->kind != kind || fn(o, arg);
	pthread_mutex_unlock(&lock);
}

struct at {
	const struct snpu_ctx *ctx;
	uint64_t va;
	void (*fn)(struct snpu_mem *mem, void *arg);
	void *arg;
	bool found;
};

static bool mem_at(struct snpu_obj *o, void *arg)
{
	struct snpu_mem *mem = (struct snpu_mem *)o;
	struct at *at = arg;

	if (mem->ctx != at->ctx || at->va - mem->va >= mem->bytes)
		return true;
	at->fn(mem, at->arg);
	at->found = true;
	return false;
}

bool snpu_obj_mem_at(const struct snpu_ctx *ctx, uint64_t va,
		     void (*fn)(struct snpu_mem *mem, void *arg), void *arg)
{
	struct at at = { ctx, va, fn, arg, false };

	snpu_obj_each(SNPU_KIND_MEM, mem_at, &at);
	return at.found;
}

static int mem_name(const struct snpu_mem *m, char *buf, size_t len)
{
	const char *where = m->imported ? "imported memory" :
			    m->flags & SNPU_MEM_HBM ? "HBM" : "host memory";

	return snprintf(buf, len, "%s%s%llu bytes of %s at 0x%llx, NPU %u", m->what ? m->what : "",
			m->what ? ": " : "", (unsigned long long)m->bytes, where,
			(unsigned long long)m->va, m->ctx->npu->index);
}

int snpu_obj_name(const struct snpu_obj *o, char *buf, size_t len)
{
	const struct snpu_queue *q = (const struct snpu_queue *)o;
	const struct snpu_fence *f = (const struct snpu_fence *)o;

	switch (o->kind) {
	case SNPU_KIND_MEM:
		return mem_name((const struct snpu_mem *)o, buf, len);
	case SNPU_KIND_QUEUE:
		return snprintf(buf, len, "queue %u of NPU %u", q->number, q->ctx->npu->index);
	case SNPU_KIND_FENCE:
		if (!f->position)
			return snprintf(buf, len, "imported fence");
		return snprintf(buf, len, "fence of position %llu of queue %u, NPU %u",
				(unsigned long long)f->position, f->number, f->npu);
	case SNPU_KIND_CTX:
		return snprintf(buf, len, "context of NPU %u",
				((const struct snpu_ctx *)o)->npu->index);
	default:
		return snprintf(buf, len, "%s", kind_names[o->kind]);
	}
}
