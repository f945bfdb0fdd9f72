/* SPDX-License-Identifier: MIT */
/* What the examples share: one way to fail, and the shortest way to a packet. */
#ifndef SNPU_EXAMPLE_H
#define SNPU_EXAMPLE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <snpu/snpu.h>

#define MAX_NPUS	8
#define TEN_SECONDS	(10ull * 1000 * 1000 * 1000)

/* Ends the program with what the library has to say about a call that failed */
#define OK(call) do {									\
	int ok_ret = (call);								\
	if (ok_ret) {									\
		fprintf(stderr, "%s: %s\n  %s\n", #call, strerror(-ok_ret),		\
			snpu_last_error());						\
		exit(1);								\
	}										\
} while (0)

/* The next packet of a queue whose ring is known to be large enough */
static inline union snpu_pkt *next(struct snpu_queue *q)
{
	union snpu_pkt *p = snpu_queue_get(q);

	if (!p) {
		fprintf(stderr, "the ring is full; SNPU_RING_ENTRIES sets its size\n");
		exit(1);
	}
	return p;
}

/* All NPUs there are, but no more than MAX_NPUS */
static inline unsigned int some_npus(const struct snpu *snpu)
{
	unsigned int n = snpu_count(snpu);

	if (!n) {
		fprintf(stderr, "no NPU found\n");
		exit(1);
	}
	return n < MAX_NPUS ? n : MAX_NPUS;
}

/* Waits for all the packets of a queue; names the one that failed, if one did */
static inline void finish(struct snpu_queue *q, uint64_t position)
{
	int ret = snpu_queue_wait(q, position, TEN_SECONDS);
	struct snpu_error err;
	char text[256];

	if (!ret)
		return;
	fprintf(stderr, "NPU %u: %s\n", snpu_ctx_index(snpu_queue_ctx(q)), strerror(-ret));
	if (!snpu_queue_error(q, &err, sizeof(err)) && err.code) {
		snpu_error_format(&err, text, sizeof(text));
		fprintf(stderr, "  %s\n", text);
	}
	exit(1);
}

#endif /* SNPU_EXAMPLE_H */
