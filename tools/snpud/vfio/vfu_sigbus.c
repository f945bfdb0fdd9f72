// SPDX-License-Identifier: MIT
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "vfu_sigbus.h"

#define CHUNK		256
#define CHUNKS		1024

/*
 * The handler reads slots in any thread at any time: chunks are never freed, and @seq is odd while
 * a slot changes, so that none is taken half from one mapping and half from the next. @len 0: free.
 * @from is where the memory that is gone begins, and only falls; 0: all is there. @part is the
 * entry of the client's list + 1, 0: none yet.
 */
struct slot {
	unsigned int seq;
	uintptr_t addr;
	size_t len;
	size_t page;
	struct vfu_lost *lost;
	uintptr_t from;
	unsigned int part;
};

static struct slot *chunks[CHUNKS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct sigaction before;
static bool installed;
/* lowest chunk that may have room */
static unsigned int hint;

static bool covers(const struct slot *s, uintptr_t a, struct slot *out)
{
	unsigned int seq;

	do {
		seq = __atomic_load_n(&s->seq, __ATOMIC_ACQUIRE);
		/* changing: not the one of an access that is under way */
		if (seq & 1)
			return false;
		out->addr = __atomic_load_n(&s->addr, __ATOMIC_RELAXED);
		out->len = __atomic_load_n(&s->len, __ATOMIC_RELAXED);
		out->page = __atomic_load_n(&s->page, __ATOMIC_RELAXED);
		out->lost = __atomic_load_n(&s->lost, __ATOMIC_RELAXED);
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
	} while (__atomic_load_n(&s->seq, __ATOMIC_RELAXED) != seq);
	return out->len && a - out->addr < out->len;
}

static struct slot *find(uintptr_t a, struct slot *out)
{
	unsigned int c, i;

	for (c = 0; c < CHUNKS; c++) {
		struct slot *s = __atomic_load_n(&chunks[c], __ATOMIC_ACQUIRE);

		if (!s)
			break;
		for (i = 0; i < CHUNK; i++)
			if (covers(&s[i], a, out))
				return &s[i];
	}
	return NULL;
}

static void set(struct slot *s, uintptr_t addr, size_t len, size_t page, struct vfu_lost *lost)
{
	__atomic_store_n(&s->seq, s->seq + 1, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_RELEASE);
	__atomic_store_n(&s->addr, addr, __ATOMIC_RELAXED);
	__atomic_store_n(&s->len, len, __ATOMIC_RELAXED);
	__atomic_store_n(&s->page, page, __ATOMIC_RELAXED);
	__atomic_store_n(&s->lost, lost, __ATOMIC_RELAXED);
	__atomic_store_n(&s->from, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&s->part, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&s->seq, s->seq + 1, __ATOMIC_RELEASE);
}

/*
 * The first fault takes what follows it, the second one the whole mapping: a mapping is never in
 * more than two pieces, of which the process may have a limited number. Return: where it begins.
 */
static uintptr_t lower(struct slot *s, const struct slot *m, uintptr_t at)
{
	uintptr_t from = at - (at - m->addr) % m->page;
	uintptr_t old = 0;

	while (!__atomic_compare_exchange_n(&s->from, &old, from, false, __ATOMIC_ACQ_REL,
					    __ATOMIC_ACQUIRE)) {
		/* another thread has lowered it, and may not have replaced the memory yet */
		if (at >= old)
			return old;
		from = m->addr;
	}
	return from;
}

/* Publishes what is gone in the list of the client */
static void publish(struct slot *s, const struct slot *m, uintptr_t from)
{
	unsigned int i = __atomic_load_n(&s->part, __ATOMIC_ACQUIRE), none = 0;
	struct vfu_lost_part *p;
	uintptr_t old;

	if (!i) {
		i = __atomic_add_fetch(&m->lost->n, 1, __ATOMIC_ACQ_REL);
		/* of two that get here at once, one entry stays empty */
		if (!__atomic_compare_exchange_n(&s->part, &none, i, false, __ATOMIC_ACQ_REL,
						 __ATOMIC_ACQUIRE))
			i = none;
	}
	/* the list is full: its length says that all is lost, and is kept from coming round */
	if (i > VFU_LOST_MAX) {
		__atomic_store_n(&m->lost->n, VFU_LOST_MAX + 1, __ATOMIC_RELEASE);
		return;
	}
	p = &m->lost->part[i - 1];
	__atomic_store_n(&p->end, m->addr + m->len, __ATOMIC_RELAXED);
	old = __atomic_load_n(&p->from, __ATOMIC_ACQUIRE);
	while ((!old || from < old) &&
	       !__atomic_compare_exchange_n(&p->from, &old, from, false, __ATOMIC_ACQ_REL,
					    __ATOMIC_ACQUIRE))
		;
}

/* Async-signal context: system calls, loads and atomic operations only */
static void on_sigbus(int sig, siginfo_t *si, void *uc)
{
	int saved = errno;
	uintptr_t at = (uintptr_t)si->si_addr;
	struct slot m;
	/* negative codes are signals that a process sent: no memory is behind them */
	struct slot *s = si->si_code > 0 ? find(at, &m) : NULL;

	if (s) {
		uintptr_t from = lower(s, &m, at);
		void *p;

		/* a thread that gets at the new pages can know that they are not the client's */
		publish(s, &m, from);
		m.lost->notify(m.lost->priv);
		p = mmap((void *)from, m.addr + m.len - from, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
		if (p != MAP_FAILED) {
			errno = saved;
			return;
		}
	}

	errno = saved;
	if (before.sa_flags & SA_SIGINFO) {
		before.sa_sigaction(sig, si, uc);
	} else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) {
		before.sa_handler(sig);
	} else {
		/* the access is repeated on return, and ends the process as it should */
		signal(SIGBUS, SIG_DFL);
		if (si->si_code <= 0)
			raise(SIGBUS);
	}
}

int snpu_vfu_sigbus_install(void)
{
	struct sigaction sa = { .sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO | SA_RESTART };
	int ret = 0;

	pthread_mutex_lock(&lock);
	if (!installed) {
		sigemptyset(&sa.sa_mask);
		/* first what the handler reads, then the handler */
		if (sigaction(SIGBUS, NULL, &before) || sigaction(SIGBUS, &sa, NULL))
			ret = -errno;
		else
			installed = true;
	}
	pthread_mutex_unlock(&lock);
	return ret;
}

int snpu_vfu_sigbus_add(void *addr, size_t len, size_t page, struct vfu_lost *lost)
{
	int handle = -ENOMEM;
	unsigned int c, i;

	pthread_mutex_lock(&lock);
	for (c = hint; c < CHUNKS && handle < 0; c++) {
		struct slot *s = chunks[c];

		if (!s) {
			s = calloc(CHUNK, sizeof(*s));
			if (!s)
				break;
			__atomic_store_n(&chunks[c], s, __ATOMIC_RELEASE);
		}
		for (i = 0; i < CHUNK; i++) {
			if (s[i].len)
				continue;
			set(&s[i], (uintptr_t)addr, len, page, lost);
			handle = (int)(c * CHUNK + i);
			hint = c;
			break;
		}
	}
	pthread_mutex_unlock(&lock);
	return handle;
}

bool snpu_vfu_sigbus_hit(int handle)
{
	return __atomic_load_n(&chunks[handle / CHUNK][handle % CHUNK].from, __ATOMIC_ACQUIRE);
}

void snpu_vfu_sigbus_del(int handle)
{
	struct slot *s = &chunks[handle / CHUNK][handle % CHUNK];
	unsigned int i;

	pthread_mutex_lock(&lock);
	/* the address may soon be another mapping's */
	i = __atomic_load_n(&s->part, __ATOMIC_ACQUIRE);
	if (i && i <= VFU_LOST_MAX)
		__atomic_store_n(&s->lost->part[i - 1].end, 0, __ATOMIC_RELEASE);
	set(s, 0, 0, 0, NULL);
	if ((unsigned int)handle / CHUNK < hint)
		hint = (unsigned int)handle / CHUNK;
	pthread_mutex_unlock(&lock);
}

void vfu_lost_reset(struct vfu_lost *l)
{
	memset(l->part, 0, sizeof(l->part));
	l->told = 0;
	__atomic_store_n(&l->n, 0, __ATOMIC_RELEASE);
}

struct vfu_lost_part *vfu_lost_find(struct vfu_lost *l, const void *addr, uint64_t len,
				    uintptr_t *at)
{
	uintptr_t a = (uintptr_t)addr;
	unsigned int i, n;

	*at = a;
	/* the access of the caller comes before this look */
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	n = __atomic_load_n(&l->n, __ATOMIC_ACQUIRE);
	if (n > VFU_LOST_MAX)
		return &l->all;
	for (i = 0; i < n; i++) {
		struct vfu_lost_part *p = &l->part[i];
		uintptr_t from = __atomic_load_n(&p->from, __ATOMIC_ACQUIRE);
		uintptr_t end = __atomic_load_n(&p->end, __ATOMIC_ACQUIRE);

		if (!from || a >= end || (a < from && from - a >= len))
			continue;
		*at = a > from ? a : from;
		return p;
	}
	return NULL;
}
