// SPDX-License-Identifier: MIT
/*
 * fork(): what a process opened is its own. The child shares memory and connections with its
 * parent, and the NPU's side of both belongs to the parent. So in the child
 *
 *  - every call on a handle from before the fork is -ESTALE, and destroying one frees the child's
 *    copies and nothing else;
 *  - rings and command buffers become private pages, so that a packet pointer from before the fork
 *    writes to nothing that an NPU reads;
 *  - queues look full and stopped. That sends snpu_queue_get() and snpu_queue_submit() where they
 *    report errors, without a check on the way of a packet;
 *  - connections and device nodes are closed, so that the death of the parent is seen although a
 *    child lives on.
 *
 * Locks may be held by threads that the child does not have, and lists behind them be half
 * changed. So the child takes none of them. What the handlers walk (sets, contexts, queues, command
 * buffers) changes under one lock that is held across the fork.
 */
#include <sys/mman.h>
#include <unistd.h>

#include "check.h"
#include "internal.h"

unsigned int snpu_forks;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int registered;
static struct snpu *sets;

/* Completion record and doorbell of queues that are the parent's */
static const struct snpu_cpl stopped = { .state = SNPU_QSTATE_STOPPED };
static uint64_t no_doorbell;

void snpu_fork_lock(void)
{
	pthread_mutex_lock(&lock);
}

void snpu_fork_unlock(void)
{
	pthread_mutex_unlock(&lock);
}

void snpu_mem_private(struct snpu_mem *mem)
{
	if (!mem->ptr)
		return;
	if (mmap(mem->ptr, mem->bytes, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED)
		return;
	/* no memory for pages of its own: then none, for the library does not touch them either */
	munmap(mem->ptr, mem->bytes);
	mem->ptr = NULL;
}

static void queue_forked(struct snpu_queue *q)
{
	snpu_mem_private(q->ring_mem);
	q->cpl = &stopped;
	q->doorbell = &no_doorbell;
	/* one entry, which was submitted and never retires */
	q->mask = 0;
	q->submitted = q->submitted ? q->submitted : 1;
	q->head = q->submitted;
}

/* Between fork() and its return in the child: system calls and stores, no lock, no allocation */
static void child(void)
{
	unsigned int forks = snpu_forks++;
	struct snpu_queue *q;
	struct snpu_ctx *ctx;
	struct snpu *s;

	for (s = sets; s; s = s->next) {
		/* of a grandparent: the parent has done it */
		if (s->forks != forks)
			continue;
		for (ctx = s->ctxs; ctx; ctx = ctx->next) {
			for (q = ctx->queues; q; q = q->next)
				queue_forked(q);
			snpu_cmdbufs_forked(ctx->cmdbufs);
		}
		s->t->forked(s);
	}
	snpu_check_forked();
	snpu_fork_unlock();
}

static void init(void)
{
	registered = -pthread_atfork(snpu_fork_lock, snpu_fork_unlock, child);
}

int snpu_fork_add(struct snpu *s)
{
	pthread_once(&once, init);
	if (registered)
		return snpu_fail(registered, "snpu_open: pthread_atfork()");
	s->pid = getpid();
	snpu_fork_lock();
	s->forks = snpu_forks;
	s->next = sets;
	sets = s;
	snpu_fork_unlock();
	return 0;
}

void snpu_fork_del(struct snpu *s)
{
	struct snpu **p;

	snpu_fork_lock();
	for (p = &sets; *p != s; p = &(*p)->next)
		;
	*p = s->next;
	snpu_fork_unlock();
}

int snpu_fail_forked(const struct snpu *s, const char *call)
{
	return snpu_fail(-ESTALE, "%s: the handle belongs to process %d, which forked this one: "
			 "call snpu_open() after fork()", call, (int)s->pid);
}
