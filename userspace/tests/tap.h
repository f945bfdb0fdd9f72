/* SPDX-License-Identifier: MIT */
/*
 * What the tests of libsnpu share: TAP output, checks, a set of NPUs, small helpers.
 *
 * A test program is a table of cases. Each runs on the transport that SNPU_TRANSPORT names; one
 * that only makes sense on the other transport is not planned.
 */
#ifndef SNPU_TESTS_TAP_H
#define SNPU_TESTS_TAP_H

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <snpu/snpu.h>

#define T_KMD		1u
#define T_DIRECT	2u
#define T_BOTH		(T_KMD | T_DIRECT)

#define T_MS		1000000ull
#define T_SEC		1000000000ull
#define T_LONG		(60 * T_SEC)	/* for what must come */

/**
 * struct t_case - a test
 * @name: what it shows
 * @fn: does it
 * @on: T_KMD, T_DIRECT: where it runs
 */
struct t_case {
	const char *name;
	void (*fn)(void);
	unsigned int on;
};

/* Runs the cases; the exit code of main() */
int t_main(const struct t_case *cases, size_t count);

void t_fail(const char *file, int line, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Checks that failed in this case: the exit code of a child process depends on it */
unsigned int t_failures(void);

/* A failed check fails the case, and lets it go on */
#define CHECK(cond) \
	((cond) ? (void)0 : t_fail(__FILE__, __LINE__, "%s (%s)", #cond, snpu_last_error()))

#define CHECK_EQ(a, b) do { \
	long long a_ = (long long)(a), b_ = (long long)(b); \
	if (a_ != b_) \
		t_fail(__FILE__, __LINE__, "%s is %lld (0x%llx), not %s = %lld (%s)", #a, a_, \
		       (unsigned long long)a_, #b, b_, snpu_last_error()); \
} while (0)

/* One without which the rest makes no sense */
#define NEED(cond) do { \
	if (!(cond)) { \
		t_fail(__FILE__, __LINE__, "%s (%s)", #cond, snpu_last_error()); \
		return; \
	} \
} while (0)

#define CHECK_TEXT(text, part) do { \
	const char *text_ = (text); \
	if (!strstr(text_, part)) \
		t_fail(__FILE__, __LINE__, "'%s' is not in '%s'", part, text_); \
} while (0)

bool t_direct(void);
/* The set of NPUs, opened once; ends the program when there is none */
struct snpu *t_snpu(void);
/* Gives it back; the next t_snpu() opens it again */
void t_close(void);
uint64_t t_now(void);
/* CPU time of this process, ns */
uint64_t t_cpu(void);
void t_sleep_ms(unsigned int ms);

/* A request to the control socket of snpud, direct only: 0 when it had a result. @params: JSON */
int t_control(const char *method, const char *params);

/**
 * struct t_dev - a context with a queue and memory
 * @ctx: context
 * @q: queue
 * @mem: memory
 * @p: the CPU's view of it
 * @va: its address
 */
struct t_dev {
	struct snpu_ctx *ctx;
	struct snpu_queue *q;
	struct snpu_mem *mem;
	uint8_t *p;
	uint64_t va;
};

/* 0, or -1 with the failure reported; @flags: SNPU_MEM_* */
int t_dev_open(struct t_dev *d, unsigned int npu, uint64_t bytes, unsigned int flags);
void t_dev_close(struct t_dev *d);
/* Submits what was taken from the queue, and waits for it */
int t_run(struct snpu_queue *q);
/* A packet of a queue that is not full: ends the program otherwise */
union snpu_pkt *t_pkt(struct snpu_queue *q);

#endif
