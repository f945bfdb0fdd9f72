/* SPDX-License-Identifier: MIT */
/* Test Anything Protocol: each test is a function, each check in it counts. */
#ifndef SNPU_VFU_TAP_H
#define SNPU_VFU_TAP_H

#include <stdio.h>
#include <stdlib.h>

static int tap_bad, tap_failed, tap_run;

#define CHECK(cond)							\
	do {								\
		if (!(cond)) {						\
			printf("# %s:%d: %s\n", __FILE__, __LINE__, #cond); \
			tap_bad++;					\
		}							\
	} while (0)

/* Both as long long; shown if they differ */
#define CHECK_EQ(a, b)							\
	do {								\
		long long a_ = (long long)(a), b_ = (long long)(b);	\
		if (a_ != b_) {						\
			printf("# %s:%d: %s is %lld, not %lld\n", __FILE__, __LINE__, #a, \
			       a_, b_);					\
			tap_bad++;					\
		}							\
	} while (0)

/* For what nothing can go on without */
#define NEED(cond)							\
	do {								\
		if (!(cond)) {						\
			printf("Bail out! %s:%d: %s\n", __FILE__, __LINE__, #cond); \
			exit(1);					\
		}							\
	} while (0)

#define RUN(fn)								\
	do {								\
		tap_bad = 0;						\
		fn();							\
		if (tap_bad)						\
			tap_failed++;					\
		printf("%sok %d - %s\n", tap_bad ? "not " : "", ++tap_run, #fn); \
		fflush(stdout);						\
	} while (0)

static inline int tap_end(void)
{
	printf("1..%d\n", tap_run);
	return tap_failed ? 1 : 0;
}

#endif
