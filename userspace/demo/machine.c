// SPDX-License-Identifier: MIT
/* NPUs, memory and the running of a step. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "demo.h"

/* All packets of a step are in the ring before the first runs: room for 64 NPUs' all-reduce */
#define RING_ENTRIES	8192

#define RUN_LIMIT_NS	(60ull * 1000 * 1000 * 1000)

uint64_t demo_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* Says on stderr what failed and what the library knows about it; returns @ret */
int demo_fail(int ret, const char *fmt, ...)
{
	const char *why = snpu_last_error();
	va_list ap;

	fputs("snpu-demo: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, ": %s\n", strerror(-ret));
	if (*why)
		fprintf(stderr, "  %s\n", why);
	return ret;
}

static int npu_open(struct demo *d, unsigned int r)
{
	struct snpu_queue_params params = {
		.field_mask = SNPU_QUEUE_ENTRIES,
		.entries = RING_ENTRIES,
	};
	struct demo_npu *npu = &d->npu[r];
	int ret;

	ret = snpu_ctx_create(d->snpu, r, &npu->ctx);
	if (ret)
		return demo_fail(ret, "NPU %u: cannot create a context", r);
	ret = snpu_queue_create(npu->ctx, &params, &npu->q);
	if (ret)
		return demo_fail(ret, "NPU %u: cannot create a queue", r);
	ret = snpu_event_create(npu->ctx, &npu->arrived);
	if (ret)
		return demo_fail(ret, "NPU %u: cannot create a semaphore", r);
	return 0;
}

static int npu_wire(struct demo *d, unsigned int r)
{
	struct demo_npu *npu = &d->npu[r];
	int ret;

	ret = snpu_event_va(npu->arrived, npu->ctx, &npu->arrived_va);
	if (!ret)
		ret = snpu_event_va(d->go, npu->ctx, &npu->go_va);
	if (ret)
		return demo_fail(ret, "NPU %u: cannot map the semaphores", r);
	return 0;
}

/**
 * demo_open - opens the NPUs
 * @d: state; its options are set
 *
 * Return: 0 or a negative errno, said on stderr
 */
int demo_open(struct demo *d)
{
	struct snpu_open_params params = {
		.transport = d->opts.transport,
		.socket_dir = d->opts.socket_dir,
	};
	unsigned int r, found;
	int ret;

	if (params.transport)
		params.field_mask |= SNPU_OPEN_TRANSPORT;
	if (params.socket_dir)
		params.field_mask |= SNPU_OPEN_SOCKET_DIR;
	ret = snpu_open(&params, &d->snpu);
	if (ret)
		return demo_fail(ret, "cannot open NPUs");
	found = snpu_count(d->snpu);
	if (!found || d->opts.npus > found) {
		fprintf(stderr, "snpu-demo: %u NPUs found over %s, %u needed\n", found,
			snpu_transport(d->snpu), d->opts.npus ? d->opts.npus : 1);
		return -ENODEV;
	}
	d->n = d->opts.npus ? d->opts.npus : found < 8 ? found : 8;
	for (r = 0; r < d->n; r++) {
		ret = npu_open(d, r);
		if (ret)
			return ret;
	}
	ret = snpu_event_create(d->npu[0].ctx, &d->go);
	if (ret)
		return demo_fail(ret, "NPU 0: cannot create the go semaphore");
	for (r = 0; r < d->n; r++) {
		ret = npu_wire(d, r);
		if (ret)
			return ret;
	}
	return 0;
}

/* Nothing to say about an NPU that is gone: what noticed that first has */
static void check_destroy(int ret, const char *what)
{
	if (ret && ret != -ENODEV)
		demo_fail(ret, "cannot destroy a %s", what);
}

/**
 * demo_close - undoes demo_open(), however far it came
 * @d: state
 */
void demo_close(struct demo *d)
{
	unsigned int r;

	/* a queue that waits for ever must be gone before what it waits for */
	for (r = 0; r < DEMO_MAX_NPUS; r++) {
		if (d->npu[r].q)
			check_destroy(snpu_queue_destroy(d->npu[r].q), "queue");
	}
	demo_release(d, 0);
	if (d->go)
		check_destroy(snpu_event_destroy(d->go), "semaphore");
	for (r = 0; r < DEMO_MAX_NPUS; r++) {
		if (d->npu[r].arrived)
			check_destroy(snpu_event_destroy(d->npu[r].arrived), "semaphore");
	}
	for (r = 0; r < DEMO_MAX_NPUS; r++) {
		if (d->npu[r].ctx)
			check_destroy(snpu_ctx_destroy(d->npu[r].ctx), "context");
	}
	if (d->snpu)
		check_destroy(snpu_close(d->snpu), "set of NPUs");
	d->snpu = NULL;
}

static int mem_keep(struct demo *d, struct snpu_mem *mem)
{
	if (d->num_mems == DEMO_MAX_MEMS) {
		snpu_mem_free(mem);
		return demo_fail(-ENOSPC, "more than %u pieces of memory", DEMO_MAX_MEMS);
	}
	d->mems[d->num_mems++] = mem;
	return 0;
}

/**
 * demo_alloc - memory that demo_release() frees
 * @d: state
 * @npu: NPU whose context gets it
 * @bytes: size
 * @flags: SNPU_MEM_*
 * @mem: the memory
 *
 * Return: 0 or a negative errno, said on stderr
 */
int demo_alloc(struct demo *d, unsigned int npu, uint64_t bytes, unsigned int flags,
	       struct snpu_mem **mem)
{
	int ret = snpu_mem_alloc(d->npu[npu].ctx, bytes, flags, mem);

	if (ret)
		return demo_fail(ret, "NPU %u: cannot allocate %llu bytes of %s", npu,
				 (unsigned long long)bytes,
				 flags & SNPU_MEM_HOST ? "host memory" : "HBM");
	return mem_keep(d, *mem);
}

/**
 * demo_share - maps memory of one NPU's context into that of another
 * @d: state
 * @npu: the other
 * @mem: the memory
 * @out: the same, as @npu sees it
 *
 * Return: 0 or a negative errno, said on stderr
 */
int demo_share(struct demo *d, unsigned int npu, struct snpu_mem *mem, struct snpu_mem **out)
{
	int ret;

	/* its own context has it already; not to be freed twice */
	if (snpu_mem_ctx(mem) == d->npu[npu].ctx) {
		*out = mem;
		return 0;
	}
	ret = snpu_mem_share(d->npu[npu].ctx, mem, 0, out);
	if (ret)
		return demo_fail(ret, "NPU %u: cannot map memory of NPU %u", npu,
				 snpu_ctx_index(snpu_mem_ctx(mem)));
	return mem_keep(d, *out);
}

/**
 * demo_signal_va - address of one NPU's arrived semaphore, for another
 * @d: state
 * @from: NPU that signals
 * @to: NPU whose semaphore it is
 * @va: address in the context of @from
 *
 * Return: 0 or a negative errno, said on stderr
 */
int demo_signal_va(struct demo *d, unsigned int from, unsigned int to, uint64_t *va)
{
	int ret = snpu_event_va(d->npu[to].arrived, d->npu[from].ctx, va);

	if (ret)
		return demo_fail(ret, "NPU %u: cannot map the semaphore of NPU %u", from, to);
	return 0;
}

/**
 * demo_map - maps memory for the CPU
 * @mem: the memory
 * @ptr: where the CPU finds it
 *
 * Return: 0 or a negative errno, said on stderr
 */
int demo_map(struct snpu_mem *mem, void **ptr)
{
	int ret = snpu_mem_map(mem, ptr);

	if (ret)
		return demo_fail(ret, "NPU %u: cannot map memory for the CPU",
				 snpu_ctx_index(snpu_mem_ctx(mem)));
	return 0;
}

/**
 * demo_release - frees the memory that was allocated last
 * @d: state
 * @mark: num_mems of @d as it was before those allocations
 */
void demo_release(struct demo *d, unsigned int mark)
{
	while (d->num_mems > mark) {
		d->num_mems--;
		check_destroy(snpu_mem_free(d->mems[d->num_mems]), "piece of memory");
	}
}

/**
 * demo_begin - starts to record a step: all queues wait for the go semaphore
 * @d: state
 */
void demo_begin(struct demo *d)
{
	unsigned int r;

	d->go_value++;
	for (r = 0; r < d->n; r++)
		snpu_prep_wait(demo_pkt(d, r), d->npu[r].go_va, d->go_value, SNPU_SEM_GE, 0);
}

/**
 * demo_pkt - next packet of an NPU
 * @d: state
 * @npu: the NPU
 *
 * Return: a packet, never NULL: when the ring is full, demo_run() says so
 */
union snpu_pkt *demo_pkt(struct demo *d, unsigned int npu)
{
	union snpu_pkt *p = snpu_queue_get(d->npu[npu].q);

	if (p)
		return p;
	d->ring_full = true;
	return &d->spare;
}

/**
 * demo_touch - writes zeros, so that a measurement finds memory that is there
 * @d: state
 * @npu: the NPU
 * @va: address in its context
 * @bytes: how many, multiple of 8
 *
 * The model backs HBM with memory of this computer only when it is written for the first time,
 * which takes ten times as long as writing it.
 */
void demo_touch(struct demo *d, unsigned int npu, uint64_t va, uint64_t bytes)
{
	snpu_prep_fill(demo_pkt(d, npu), va, bytes, 0, 8);
}

/* Names every queue that stopped: one that faults leaves the others waiting */
static void say_errors(struct demo *d)
{
	struct snpu_error err;
	char text[256];
	unsigned int r;

	for (r = 0; r < d->n; r++) {
		if (snpu_queue_error(d->npu[r].q, &err, sizeof(err)) || err.code == SNPU_ERR_NONE)
			continue;
		snpu_error_format(&err, text, sizeof(text));
		fprintf(stderr, "  %s\n", text);
	}
}

/**
 * demo_run - hands over what was recorded since demo_begin(), and measures it
 * @d: state
 * @ns: time from the go to the end of the last queue
 *
 * Return: 0 or a negative errno, said on stderr
 */
int demo_run(struct demo *d, uint64_t *ns)
{
	uint64_t position[DEMO_MAX_NPUS], start, now;
	unsigned int r;
	int ret;

	if (d->ring_full)
		return demo_fail(-ENOSPC, "a step needs more than %u packets a queue",
				 RING_ENTRIES);
	for (r = 0; r < d->n; r++) {
		ret = snpu_queue_submit(d->npu[r].q, &position[r]);
		if (ret) {
			demo_fail(ret, "NPU %u: cannot submit", r);
			goto bad;
		}
	}
	start = demo_now();
	ret = snpu_event_set(d->go, d->go_value);
	if (ret)
		return demo_fail(ret, "cannot set the go semaphore");
	for (r = 0; r < d->n; r++) {
		now = demo_now() - start;
		ret = snpu_queue_wait(d->npu[r].q, position[r],
				      now < RUN_LIMIT_NS ? RUN_LIMIT_NS - now : 0);
		if (ret) {
			demo_fail(ret, "NPU %u: its packets did not all run", r);
			goto bad;
		}
	}
	*ns = demo_now() - start;
	if (!*ns)
		*ns = 1;
	return 0;
bad:
	say_errors(d);
	return ret;
}
