// SPDX-License-Identifier: MIT
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "vfu_sigbus.h"

#define CHUNK		256
#define CHUNKS		1024

/*
 * The handler reads slots in any thread at any time: chunks are never freed, and @seq is odd while
 * a slot changes, so that none is taken half from one mapping and half from the next. @len 0: free.
 */
struct slot {
	unsigned int seq;
	uintptr_t addr;
	size_t len;
	size_t page;
	int sock;
	int hit;
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
		out->sock = __atomic_load_n(&s->sock, __ATOMIC_RELAXED);
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

static void set(struct slot *s, uintptr_t addr, size_t len, size_t page, int sock)
{
	__atomic_store_n(&s->seq, s->seq + 1, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_RELEASE);
	__atomic_store_n(&s->addr, addr, __ATOMIC_RELAXED);
	__atomic_store_n(&s->len, len, __ATOMIC_RELAXED);
	__atomic_store_n(&s->page, page, __ATOMIC_RELAXED);
	__atomic_store_n(&s->sock, sock, __ATOMIC_RELAXED);
	__atomic_store_n(&s->hit, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&s->seq, s->seq + 1, __ATOMIC_RELEASE);
}

/* Async-signal context: system calls and loads only */
static void on_sigbus(int sig, siginfo_t *si, void *uc)
{
	int saved = errno;
	uintptr_t at = (uintptr_t)si->si_addr;
	/* negative codes are signals that somebody sent: no memory is behind them */
	struct slot m;
	struct slot *s = si->si_code > 0 ? find(at, &m) : NULL;

	if (s) {
		/* All that follows in the file is gone too: replacing it at one go takes one fault
		 * and one mapping, however much the device still goes on to touch.
		 */
		uintptr_t from = at - (at - m.addr) % m.page;
		void *p = mmap((void *)from, m.len - (from - m.addr), PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);

		if (p != MAP_FAILED) {
			if (!__atomic_exchange_n(&s->hit, 1, __ATOMIC_ACQ_REL))
				shutdown(m.sock, SHUT_RDWR);
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

int snpu_vfu_sigbus_add(void *addr, size_t len, size_t page, int sock)
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
			set(&s[i], (uintptr_t)addr, len, page, sock);
			handle = (int)(c * CHUNK + i);
			hint = c;
			break;
		}
	}
	pthread_mutex_unlock(&lock);
	return handle;
}

int snpu_vfu_sigbus_del(int handle)
{
	struct slot *s;
	int hit;

	if (handle < 0)
		return 0;
	pthread_mutex_lock(&lock);
	s = &chunks[handle / CHUNK][handle % CHUNK];
	hit = __atomic_load_n(&s->hit, __ATOMIC_ACQUIRE);
	set(s, 0, 0, 0, -1);
	if ((unsigned int)handle / CHUNK < hint)
		hint = (unsigned int)handle / CHUNK;
	pthread_mutex_unlock(&lock);
	return hit;
}
