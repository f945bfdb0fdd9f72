// SPDX-License-Identifier: MIT
/*
 * SNPU_CHECK. What is destroyed is kept in two rings, of objects and of addresses of freed memory;
 * what falls out of a ring may be used again, and is not found out any more.
 */
#include <dlfcn.h>
#include <execinfo.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "check.h"
#include "internal.h"

#define KEEP_OBJECTS	16384u
#define KEEP_RANGES	4096u
#define FRAMES		3	/* callers that are remembered */
#define STACK		16	/* frames looked at to find them */
#define TEXT		400	/* what a freed object was, with its sites */

/**
 * struct snpu_site - who called the library
 * @frame: return addresses outside of it, innermost first
 * @tid: thread
 */
struct snpu_site {
	void *frame[FRAMES];
	pid_t tid;
};

/**
 * struct snpu_trail - what is known of an object
 * @made: where it was allocated
 * @gone: where it was destroyed
 * @name: what it was then
 */
struct snpu_trail {
	struct snpu_site made, gone;
	char name[112];
};

/**
 * struct range - addresses of freed memory
 * @ctx: context, NULL: it is gone
 * @va: address there
 * @bytes: size
 * @span: addresses that it takes
 * @ptr: the CPU's view, which nothing maps; NULL: there was none. The handler does not lock
 * @text: what it was, where it was allocated and freed
 */
struct range {
	struct snpu_ctx *ctx;
	uint64_t va, bytes, span;
	uint8_t *ptr;
	char text[TEXT];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct snpu_obj *kept[KEEP_OBJECTS];
static struct range *ranges[KEEP_RANGES];
static unsigned int next_kept, next_range;
static struct sigaction old_segv;
static void *self_base, *libc_base;

static pid_t thread_id(void)
{
	static __thread pid_t tid;

	return tid ? tid : (tid = gettid());
}

/* ---- callers ---- */

static void *base_of(const void *pc)
{
	Dl_info info;

	return dladdr(pc, &info) ? info.dli_fbase : NULL;
}

static void site_take(struct snpu_site *s)
{
	void *stack[STACK];
	int i, n = backtrace(stack, STACK), k = 0;

	/* a sanitizer's own backtrace() comes before the frames of the library */
	for (i = 0; i < n && base_of(stack[i]) != self_base; i++)
		;
	for (; i < n && base_of(stack[i]) == self_base; i++)
		;
	memset(s, 0, sizeof(*s));
	/* up to main() or the thread's function; the call is before its return address */
	for (; i < n && k < FRAMES && base_of(stack[i]) != libc_base; i++)
		s->frame[k++] = (char *)stack[i] - 1;
	s->tid = thread_id();
}

/* "prog+0x1234 < prog+0x1300 (thread 55)" */
static int site_print(const struct snpu_site *s, char *buf, size_t len)
{
	size_t n = 0;
	int i;

	buf[0] = '\0';
	for (i = 0; i < FRAMES && s->frame[i] && n < len; i++) {
		const char *base;
		Dl_info info;

		if (!dladdr(s->frame[i], &info) || !info.dli_fname)
			break;
		base = strrchr(info.dli_fname, '/');
		n += (size_t)snprintf(buf + n, len - n, "%s%s+0x%tx", i ? " < " : "",
				      base ? base + 1 : info.dli_fname,
				      (char *)s->frame[i] - (char *)info.dli_fbase);
	}
	if (n < len)
		n += (size_t)snprintf(buf + n, len - n, " (thread %d)", s->tid);
	return (int)n;
}

/* What an object was, and its sites */
static void trail_print(const struct snpu_trail *t, char *buf, size_t len)
{
	char made[120], gone[120];

	site_print(&t->made, made, sizeof(made));
	site_print(&t->gone, gone, sizeof(gone));
	snprintf(buf, len, "%s, allocated at %s, freed at %s", t->name, made, gone);
}

void snpu_check_made(struct snpu_obj *o)
{
	o->trail = calloc(1, sizeof(*o->trail));
	/* without memory it has no history: the rest works */
	if (o->trail)
		site_take(&o->trail->made);
}

void snpu_check_gone(struct snpu_obj *o)
{
	if (!o->trail)
		return;
	site_take(&o->trail->gone);
	snpu_obj_name(o, o->trail->name, sizeof(o->trail->name));
}

/* ---- objects ---- */

void snpu_check_keep(struct snpu_obj *o)
{
	struct snpu_obj *old;

	pthread_mutex_lock(&lock);
	old = kept[next_kept];
	kept[next_kept] = o;
	next_kept = (next_kept + 1) % KEEP_OBJECTS;
	pthread_mutex_unlock(&lock);
	if (old)
		free(old->trail);
	free(old);
}

static int report(int err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* A finding is always written: that is what the mode is for */
static int report(int err, const char *fmt, ...)
{
	char text[TEXT + 80];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	snpu_log(0, "SNPU_CHECK: %s", text);
	return snpu_fail_quiet(err, "%s", text);
}

bool snpu_check_dead(const struct snpu_obj *o, const char *call)
{
	char text[TEXT] = "";

	if (!o->gone)
		return false;
	if (o->trail)
		trail_print(o->trail, text, sizeof(text));
	report(-EINVAL, "%s: use after free of %s", call, text);
	return true;
}

int snpu_check_again(const void *o, enum snpu_kind kind, const char *name, const char *call)
{
	char text[TEXT] = "";
	unsigned int i;

	pthread_mutex_lock(&lock);
	for (i = 0; i < KEEP_OBJECTS && !text[0]; i++)
		if (kept[i] == o && kept[i]->kind == kind && kept[i]->trail)
			trail_print(kept[i]->trail, text, sizeof(text));
	pthread_mutex_unlock(&lock);
	if (text[0])
		return report(-EINVAL, "%s: double free of %s", call, text);
	return snpu_fail(-EINVAL,
			 "%s: %p is no live %s: destroyed before, or not from this library", call,
			 o, name);
}

/* ---- addresses ---- */

void snpu_check_forked(void)
{
	unsigned int i;

	pthread_mutex_init(&lock, NULL);
	/* contexts of the parent: their addresses are of no more use here */
	for (i = 0; i < KEEP_RANGES; i++)
		if (ranges[i])
			ranges[i]->ctx = NULL;
}

/* Lets go of a range; caller holds the lock */
static void range_drop(struct range *r)
{
	if (!r)
		return;
	if (r->ptr)
		munmap(r->ptr, r->bytes);
	if (r->ctx) {
		pthread_mutex_lock(&r->ctx->lock);
		snpu_va_free(&r->ctx->va, r->va, r->span);
		pthread_mutex_unlock(&r->ctx->lock);
	}
	free(r);
}

void snpu_check_freeing(struct snpu_mem *mem, uint64_t span)
{
	struct range *r = calloc(1, sizeof(*r)), *old;

	if (r && mem->ptr &&
	    mmap(mem->ptr, mem->bytes, PROT_NONE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) != MAP_FAILED) {
		r->ptr = mem->ptr;
		/* the transport has nothing left to unmap */
		mem->ptr = NULL;
	}
	if (!r) {
		pthread_mutex_lock(&mem->ctx->lock);
		snpu_va_free(&mem->ctx->va, mem->va, span);
		pthread_mutex_unlock(&mem->ctx->lock);
		return;
	}
	r->ctx = mem->ctx;
	r->va = mem->va;
	r->bytes = mem->bytes;
	r->span = span;
	if (mem->obj.trail)
		trail_print(mem->obj.trail, r->text, sizeof(r->text));
	pthread_mutex_lock(&lock);
	old = ranges[next_range];
	__atomic_store_n(&ranges[next_range], r, __ATOMIC_RELEASE);
	next_range = (next_range + 1) % KEEP_RANGES;
	range_drop(old);
	pthread_mutex_unlock(&lock);
}

bool snpu_check_release(struct snpu_ctx *ctx)
{
	bool found = false;
	unsigned int i;

	pthread_mutex_lock(&lock);
	for (i = 0; i < KEEP_RANGES; i++)
		if (ranges[i] && ranges[i]->ctx == ctx) {
			struct range *r = ranges[i];

			__atomic_store_n(&ranges[i], NULL, __ATOMIC_RELEASE);
			range_drop(r);
			found = true;
		}
	pthread_mutex_unlock(&lock);
	return found;
}

void snpu_check_forget(struct snpu_ctx *ctx)
{
	unsigned int i;

	pthread_mutex_lock(&lock);
	for (i = 0; i < KEEP_RANGES; i++)
		if (ranges[i] && ranges[i]->ctx == ctx)
			ranges[i]->ctx = NULL;
	pthread_mutex_unlock(&lock);
}

int snpu_check_where(const struct snpu_ctx *ctx, uint64_t va, char *buf, size_t len)
{
	unsigned int i, n = 0;

	buf[0] = '\0';
	pthread_mutex_lock(&lock);
	for (i = 0; i < KEEP_RANGES && !n; i++) {
		const struct range *r = ranges[(next_range + KEEP_RANGES - 1 - i) % KEEP_RANGES];

		if (r && r->ctx == ctx && va - r->va < r->bytes)
			n = (unsigned int)snprintf(buf, len,
						   ": use after free, %" PRIu64 " bytes into %s",
						   va - r->va, r->text);
	}
	pthread_mutex_unlock(&lock);
	return (int)n;
}

/*
 * An access by the CPU to memory that was freed. Nothing here allocates or locks; the process ends
 * by the same signal afterwards, unless its own handler knows better.
 */
static void on_segv(int sig, siginfo_t *si, void *uc)
{
	const uint8_t *at = si->si_addr;
	char text[TEXT + 80];
	unsigned int i;

	for (i = 0; i < KEEP_RANGES; i++) {
		const struct range *r = __atomic_load_n(&ranges[i], __ATOMIC_ACQUIRE);
		int n;

		if (!r || !r->ptr || at < r->ptr || (uint64_t)(at - r->ptr) >= r->bytes)
			continue;
		n = snprintf(text, sizeof(text), "libsnpu: SNPU_CHECK: use after free by the CPU, "
			     "at %p, %td bytes into %s\n", (const void *)at, at - r->ptr, r->text);
		n = n < (int)sizeof(text) ? n : (int)sizeof(text) - 1;
		/* nothing can be done about a standard error that takes nothing */
		if (write(STDERR_FILENO, text, (size_t)n) < 0)
			break;
		break;
	}
	if (old_segv.sa_flags & SA_SIGINFO)
		old_segv.sa_sigaction(sig, si, uc);
	else if (old_segv.sa_handler != SIG_DFL && old_segv.sa_handler != SIG_IGN)
		old_segv.sa_handler(sig);
	else
		/* the access is repeated, and ends the process where it stands */
		sigaction(SIGSEGV, &old_segv, NULL);
}

static void init_once(void)
{
	struct sigaction sa = { .sa_sigaction = on_segv, .sa_flags = SA_SIGINFO | SA_ONSTACK };
	void *stack[1];

	self_base = base_of((void *)init_once);
	libc_base = base_of((void *)gettid);
	/* the first call loads a library, which must not happen in the middle of something */
	backtrace(stack, 1);
	sigemptyset(&sa.sa_mask);
	sigaction(SIGSEGV, &sa, &old_segv);
}

void snpu_check_init(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, init_once);
}

/* ---- queues ---- */

void snpu_check_tell(struct snpu_queue *q, const char *text)
{
	/* a program that tries again would repeat it without end */
	if (!__atomic_exchange_n(&q->told, true, __ATOMIC_RELAXED))
		snpu_log(0, "SNPU_CHECK: %s", text);
}

int snpu_check_enter(struct snpu_queue *q, const char *call)
{
	pid_t me = thread_id(), other = 0;
	uint64_t taken = q->head - q->submitted;
	char text[64], line[200];

	if (!__atomic_compare_exchange_n(&q->filling, &other, me, false, __ATOMIC_ACQ_REL,
					 __ATOMIC_ACQUIRE)) {
		snprintf(text, sizeof(text), "is in a call");
	} else {
		other = q->owner;
		if (!taken || other == me) {
			q->owner = me;
			return 0;
		}
		snprintf(text, sizeof(text), "has %" PRIu64 " packets taken and not submitted",
			 taken);
		snpu_check_leave(q);
	}
	snprintf(line, sizeof(line), "%s: queue %u, NPU %u: two threads fill it: thread %d calls "
		 "while thread %d %s", call, q->number, q->ctx->npu->index, me, other, text);
	snpu_check_tell(q, line);
	return snpu_fail_quiet(-EBUSY, "%s", line);
}

void snpu_check_leave(struct snpu_queue *q)
{
	__atomic_store_n(&q->filling, 0, __ATOMIC_RELEASE);
}
