// SPDX-License-Identifier: MIT
/*
 * Deadlines. A timeout may have any value: a deadline that does not fit never comes.
 */
#include <time.h>

#include "coll.h"

uint64_t coll_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

uint64_t coll_deadline(uint64_t timeout_ns)
{
	uint64_t now = coll_now();

	return timeout_ns && timeout_ns < COLL_NEVER - now ? now + timeout_ns : COLL_NEVER;
}

uint64_t coll_left(uint64_t deadline)
{
	uint64_t now = coll_now();

	if (deadline == COLL_NEVER)
		return SNPU_FOREVER;
	return now < deadline ? deadline - now : 0;
}

uint64_t coll_packet_timeout(uint64_t deadline)
{
	uint64_t left = coll_left(deadline);

	if (left == SNPU_FOREVER)
		return 0;
	return left ? left : 1;
}
