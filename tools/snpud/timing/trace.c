// SPDX-License-Identifier: MIT
/*
 * A replay as JSON for ui.perfetto.dev: one process for each NPU with a track for each queue, and one
 * for the fabric and the engines with a track for each resource that was used. Packets stand on
 * their queue; a transfer, or the work of an engine, on every resource it used. On request a counter
 * for each resource shows how much of it is taken. Times are virtual.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "snpu_hw.h"
#include "timing/timing_priv.h"

#define PID_RES		1000000u	/* above all nodes */

struct out {
	FILE *f;
	int fd;
	int error;		/* the first of a write; stdio keeps only that there was one */
	uint64_t id;		/* of the packet; counts them in canonical order */
	bool first;
	const struct snpu_timing *t;
};

static const char *op_name(unsigned int op)
{
	static const char *const names[] = {
#define SNPU_OP(name)	[SNPU_OP_##name] = #name,
#include "snpu_ops.h"
	};

	return op < sizeof(names) / sizeof(names[0]) && names[op] ? names[op] : "?";
}

static void sep(struct out *o)
{
	fputs(o->first ? "\n" : ",\n", o->f);
	o->first = false;
}

/* Microseconds with all digits of picoseconds */
static void put_us(struct out *o, const char *key, uint64_t ps)
{
	fprintf(o->f, ",\"%s\":%" PRIu64 ".%06" PRIu64, key, ps / 1000000, ps % 1000000);
}

static void put_name(struct out *o, const char *what, uint32_t pid, uint64_t tid, const char *name)
{
	sep(o);
	fprintf(o->f, "{\"ph\":\"M\",\"name\":\"%s\",\"pid\":%u,\"tid\":%" PRIu64
		",\"args\":{\"name\":\"%s\"}}", what, pid, tid, name);
}

static void put_packet(struct out *o, const struct snpu_timing *t, size_t i, uint64_t tid)
{
	const struct snpu_plog_rec *r = &t->recs[i];

	sep(o);
	/* packets of a queue may overlap: async events, which a track stacks */
	fprintf(o->f, "{\"ph\":\"b\",\"cat\":\"queue %" PRIu64 "\",\"name\":\"%s\",\"id\":%" PRIu64
		",\"pid\":%u,\"tid\":%" PRIu64, tid, op_name(r->op), o->id, r->node, tid);
	put_us(o, "ts", t->begin[i]);
	fprintf(o->f, ",\"args\":{\"seq\":%" PRIu64 ",\"read\":%" PRIu64 ",\"written\":%" PRIu64
		",\"flops\":%" PRIu64, r->seq, r->bytes_read, r->bytes_written, r->flops);
	if (r->read_node != SNPU_PLOG_NO_NODE)
		fprintf(o->f, ",\"from\":%u", r->read_node);
	if (r->write_node != SNPU_PLOG_NO_NODE)
		fprintf(o->f, ",\"to\":%u", r->write_node);
	fputs("}}", o->f);
	sep(o);
	fprintf(o->f, "{\"ph\":\"e\",\"cat\":\"queue %" PRIu64 "\",\"name\":\"%s\",\"id\":%" PRIu64
		",\"pid\":%u,\"tid\":%" PRIu64, tid, op_name(r->op), o->id, r->node, tid);
	put_us(o, "ts", t->end[i]);
	fputc('}', o->f);
}

/* The same span on every resource that the packet used */
static void put_uses(struct out *o, const struct snpu_timing *t, size_t i, uint8_t *named)
{
	const struct snpu_plog_rec *r = &t->recs[i];
	const struct snpu_mm_use *uses;
	struct snpu_activity a;
	char name[64];
	uint32_t k, n;
	int e;

	if (snpu_cost_packet(t->cost, r, &a) || a.work <= 0)
		return;
	n = snpu_cost_uses(t->cost, r, &a, &uses);
	for (k = 0; k < n; k++) {
		uint32_t res = uses[k].res;

		if (!named[res]) {
			named[res] = 1;
			put_name(o, "thread_name", PID_RES, res,
				 snpu_cost_name(t->cost, res, name, sizeof(name)));
		}
		for (e = 0; e < 2; e++) {
			sep(o);
			fprintf(o->f, "{\"ph\":\"%c\",\"cat\":\"%s\",\"name\":\"%s npu%u\","
				"\"id\":%" PRIu64 ",\"pid\":%u,\"tid\":%u", e ? 'e' : 'b',
				snpu_cost_name(t->cost, res, name, sizeof(name)), op_name(r->op),
				r->node, o->id, PID_RES, res);
			put_us(o, "ts", e ? t->end[i] : t->begin[i]);
			fputc('}', o->f);
		}
	}
}

static void put_share(void *ctx, uint64_t at, uint32_t res, double share)
{
	struct out *o = ctx;
	char name[64];

	sep(o);
	fprintf(o->f, "{\"ph\":\"C\",\"name\":\"%s %%\",\"pid\":%u",
		snpu_cost_name(o->t->cost, res, name, sizeof(name)), PID_RES);
	put_us(o, "ts", at);
	fprintf(o->f, ",\"args\":{\"taken\":%.6g}}", share * 100);
}

static int write_trace(struct out *o, const struct snpu_timing *t, const struct snpu_tq **order,
		       bool counters)
{
	uint8_t *named = calloc(snpu_cost_resources(t->cost) + 1, 1);
	uint32_t q, node = SNPU_PLOG_NO_NODE;
	uint64_t tid = 0;
	char name[64];
	int rc = 0;
	size_t i;

	if (!named)
		return -ENOMEM;
	fputs("{\"displayTimeUnit\":\"ns\",\"traceEvents\":[", o->f);
	put_name(o, "process_name", PID_RES, 0, "engines and links");
	for (q = 0; q < t->num_queues && !ferror(o->f); q++) {
		const struct snpu_tq *tq = order[q];

		if (tq->node != node) {
			node = tq->node;
			tid = 0;
			snprintf(name, sizeof(name), "npu%u", node);
			put_name(o, "process_name", node, 0, name);
		}
		snprintf(name, sizeof(name), "queue %" PRIu64, tid);
		put_name(o, "thread_name", node, tid, name);
		for (i = tq->first; i < tq->first + tq->n; i++) {
			if (t->end[i] == SNPU_TIMING_NEVER)
				continue;
			put_packet(o, t, i, tid);
			put_uses(o, t, i, named);
			o->id++;
		}
		tid++;
	}
	if (counters)
		rc = snpu_trace_counters(t, put_share, o);
	fputs("\n]}\n", o->f);
	free(named);
	return rc;
}

static ssize_t trace_write(void *cookie, const char *buf, size_t len)
{
	struct out *o = cookie;
	ssize_t n;

	do
		n = write(o->fd, buf, len);
	while (n < 0 && errno == EINTR);
	if (n < 0 && !o->error)
		o->error = errno;
	return n < 0 ? 0 : n;
}

static int trace_close(void *cookie)
{
	struct out *o = cookie;

	if (!close(o->fd))
		return 0;
	if (!o->error)
		o->error = errno;
	return -1;
}

int snpu_timing_trace(const struct snpu_timing *t, int fd, bool counters, char *err,
		      size_t err_len)
{
	const struct snpu_tq **order;
	struct out o = { .first = true, .t = t };
	uint32_t q;
	static const cookie_io_functions_t io = { .write = trace_write, .close = trace_close };
	int rc;

	if (!t->ran) {
		snprintf(err, err_len, "nothing was replayed");
		return -ENODATA;
	}
	order = calloc(t->num_queues + 1, sizeof(struct snpu_tq *));
	o.fd = order ? fcntl(fd, F_DUPFD_CLOEXEC, 3) : -1;
	o.f = o.fd < 0 ? NULL : fopencookie(&o, "w", io);
	if (!o.f) {
		rc = order ? -errno : -ENOMEM;
		snprintf(err, err_len, "trace: %s", strerror(-rc));
		if (o.fd >= 0)
			close(o.fd);
		free(order);
		return rc;
	}
	for (q = 0; q < t->num_queues; q++)
		order[t->queues[q].rank] = &t->queues[q];
	rc = write_trace(&o, t, order, counters);
	if (fclose(o.f) && !rc)
		rc = -EIO;
	if (o.error)
		rc = -o.error;
	if (rc)
		snprintf(err, err_len, "trace: %s", strerror(-rc));
	free(order);
	return rc;
}
