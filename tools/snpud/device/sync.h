/* SPDX-License-Identifier: MIT */
/*
 * Atomics and futexes of the device core.
 *
 * Every access to memory that another thread, a guest or a client may write at the same time goes
 * through these, so that the compiler reads it exactly once.
 */
#ifndef SNPU_DEVICE_SYNC_H
#define SNPU_DEVICE_SYNC_H

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define snpu_load(p)		__atomic_load_n((p), __ATOMIC_RELAXED)
#define snpu_load_acq(p)	__atomic_load_n((p), __ATOMIC_ACQUIRE)
#define snpu_store(p, v)	__atomic_store_n((p), (v), __ATOMIC_RELAXED)
#define snpu_store_rel(p, v)	__atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define snpu_xchg(p, v)		__atomic_exchange_n((p), (v), __ATOMIC_SEQ_CST)
#define snpu_add(p, v)		__atomic_add_fetch((p), (v), __ATOMIC_SEQ_CST)
#define snpu_or(p, v)		__atomic_fetch_or((p), (v), __ATOMIC_SEQ_CST)
#define snpu_mb()		__atomic_thread_fence(__ATOMIC_SEQ_CST)

static inline int snpu_cas(uint32_t *p, uint32_t old, uint32_t val)
{
	return __atomic_compare_exchange_n(p, &old, val, 0, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
}

static inline void snpu_pause(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#endif
}

/* Orders non-temporal stores, which x86 leaves out of its ordinary store order */
static inline void snpu_sfence(void)
{
#if defined(__x86_64__)
	__builtin_ia32_sfence();
#else
	snpu_mb();
#endif
}

/**
 * snpu_futex_wait() - sleep while a word holds a value
 * @w: word
 * @val: value
 * @timeout_ns: longest sleep, negative: no limit
 *
 * May return early; the caller looks at the word again.
 */
static inline void snpu_futex_wait(uint32_t *w, uint32_t val, int64_t timeout_ns)
{
	struct timespec ts = { timeout_ns / 1000000000, timeout_ns % 1000000000 };

	syscall(SYS_futex, w, FUTEX_WAIT_PRIVATE, val, timeout_ns < 0 ? NULL : &ts, NULL, 0);
}

static inline void snpu_futex_wake(uint32_t *w, int n)
{
	syscall(SYS_futex, w, FUTEX_WAKE_PRIVATE, n, NULL, NULL, 0);
}

static inline uint64_t snpu_clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

#endif
