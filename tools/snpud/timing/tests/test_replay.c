// SPDX-License-Identifier: MIT
/*
 * Replay: order, semaphores, sharing, link changes, canonical hash.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "snpu_hw.h"
#include "timing/cost.h"
#include "timing/timing.h"

static int failures, cases;
static const char *name;
static struct snpu_profile *profile;
static struct snpu_topo *topo;

#define CHECK(cond, ...) do { \
	if (!(cond)) { \
		failures++; \
		printf("# %s:%d: %s: %s: ", __FILE__, __LINE__, name, #cond); \
		printf(__VA_ARGS__); \
		printf("\n"); \
	} \
} while (0)

static uint64_t seed = 88172645463325252ull;

static uint32_t rnd(uint32_t n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)((seed >> 20) % n);
}

/* ---- programs ---- */

static struct snpu_plog_rec prog[8192];
static size_t len;

static struct snpu_plog_rec *add(uint32_t node, uint16_t queue, uint8_t op)
{
	struct snpu_plog_rec *r = &prog[len];
	uint64_t seq = 0;
	size_t i;

	for (i = 0; i < len; i++)
		seq += prog[i].node == node && prog[i].queue == queue && prog[i].epoch == 0;
	*r = (struct snpu_plog_rec){
		.node = node, .queue = queue, .op = op, .seq = seq, .sub = SNPU_PLOG_RING,
		.read_node = SNPU_PLOG_NO_NODE, .write_node = SNPU_PLOG_NO_NODE,
		.sem_node = SNPU_PLOG_NO_NODE, .groups = 1,
	};
	len++;
	return r;
}

static struct snpu_plog_rec *copy(uint32_t node, uint16_t queue, uint32_t to, uint64_t bytes)
{
	struct snpu_plog_rec *r = add(node, queue, SNPU_OP_COPY);

	r->bytes_read = bytes;
	r->bytes_written = bytes;
	if (to != node)
		r->write_node = to;
	return r;
}

static void sem(struct snpu_plog_rec *r, uint8_t kind, uint32_t node, uint64_t addr, uint64_t val)
{
	r->sem_kind = kind;
	r->sem_node = node;
	r->sem_addr = addr;
	r->sem_value = val;
}

static struct snpu_plog_rec *wait(uint32_t node, uint16_t queue, uint64_t addr, uint64_t val)
{
	struct snpu_plog_rec *r = add(node, queue, SNPU_OP_SEM_WAIT);

	sem(r, SNPU_PLOG_SEM_GE, node, addr, val);
	return r;
}

static struct snpu_plog_rec *matmul(uint32_t node, uint16_t queue, uint32_t d)
{
	struct snpu_plog_rec *r = add(node, queue, SNPU_OP_MATMUL);

	r->dtype = SNPU_DT_BF16;
	r->dtype2 = SNPU_DT_BF16;
	r->m = d;
	r->n = d;
	r->k = d;
	r->flops = 2ull * d * d * d;
	r->bytes_read = 4ull * d * d;
	r->bytes_written = 2ull * d * d;
	return r;
}

static struct snpu_timing *replay(void)
{
	struct snpu_timing *t;
	char err[256];
	int ret;

	t = snpu_timing_new(topo, NULL, err, sizeof(err));
	CHECK(t, "%s", err);
	if (!t)
		exit(1);
	ret = snpu_timing_add(t, prog, len);
	CHECK(!ret, "%d", ret);
	ret = snpu_timing_run(t);
	CHECK(!ret, "%d", ret);
	return t;
}

static struct snpu_timing_span span(struct snpu_timing *t, const struct snpu_plog_rec *r)
{
	struct snpu_timing_span s = { 0 };
	int ret;

	ret = snpu_timing_find(t, r->node, r->queue, r->epoch, r->seq, r->sub, &s);
	CHECK(!ret, "node %u queue %u seq %" PRIu64 ": %d", r->node, r->queue, r->seq, ret);
	return s;
}

static struct snpu_timing_stats stats(struct snpu_timing *t)
{
	struct snpu_timing_stats s;

	snpu_timing_stats(t, &s);
	return s;
}

/* ---- cases ---- */

static void t_order(void)
{
	struct snpu_plog_rec *a = matmul(0, 0, 1024), *b = matmul(0, 0, 1024);
	struct snpu_timing *t = replay();

	CHECK(span(t, a).end > 0, "no time");
	CHECK(span(t, b).begin >= span(t, a).end, "%" PRIu64 " before %" PRIu64, span(t, b).begin,
	      span(t, a).end);
	CHECK(span(t, b).busy <= span(t, b).end, "busier than time went by");
	CHECK(snpu_timing_tail(t, 0, 0, 0) == span(t, b).end, "tail");
	CHECK(!snpu_timing_tail(t, 0, 1, 0), "a queue that is not there");
	snpu_timing_free(t);
}

/* A signal from another NPU lets a wait go when it arrives, not before */
static void t_semaphore(void)
{
	struct snpu_plog_rec *a = matmul(0, 0, 2048), *c = copy(0, 0, 9, 1 << 20);
	struct snpu_plog_rec *w = wait(9, 3, 4096, 1), *m = matmul(9, 3, 256);
	struct snpu_timing *t;

	sem(c, SNPU_PLOG_SEM_ADD, 9, 4096, 1);
	c->flags = SNPU_PF_SIGNAL;
	t = replay();
	CHECK(span(t, c).begin >= span(t, a).end, "copy before product");
	CHECK(span(t, w).end == span(t, c).end, "%" PRIu64 " %" PRIu64, span(t, w).end,
	      span(t, c).end);
	CHECK(span(t, m).begin >= span(t, w).end, "went on before");
	CHECK(!stats(t).freed && !stats(t).stuck, "freed");
	snpu_timing_free(t);

	/* memory that was made anew is another semaphore: a CPU has let that wait go */
	w->sem_gen = 1;
	t = replay();
	CHECK(stats(t).freed == 1 && !span(t, w).end, "another generation");
	snpu_timing_free(t);
}

/* Two that wait for each other, with a CPU's store in between: nothing hangs */
static void t_freed(void)
{
	struct snpu_timing *t;

	wait(0, 0, 64, 1);
	sem(add(0, 0, SNPU_OP_SEM_SIGNAL), SNPU_PLOG_SEM_SET, 1, 64, 1);
	wait(1, 0, 64, 1);
	sem(add(1, 0, SNPU_OP_SEM_SIGNAL), SNPU_PLOG_SEM_SET, 0, 64, 1);
	t = replay();
	CHECK(stats(t).freed == 1 && !stats(t).stuck, "%" PRIu64 " %" PRIu64, stats(t).freed,
	      stats(t).stuck);
	snpu_timing_free(t);
}

/* Two transfers into one NPU take about twice as long as one */
static void t_sharing(void)
{
	struct snpu_plog_rec *a = copy(0, 0, 8, 256 << 20), *b;
	struct snpu_timing *t = replay();
	double one = (double)span(t, a).end, two;

	snpu_timing_free(t);
	b = copy(16, 0, 8, 256 << 20);
	t = replay();
	two = (double)span(t, b).end;
	CHECK(span(t, a).end == span(t, b).end, "not fair");
	CHECK(two > 1.3 * one && two < 2.05 * one, "%g %g", one, two);
	snpu_timing_free(t);
	a->die = 0;
}

static void t_links(void)
{
	struct snpu_plog_rec *a = copy(0, 0, 8, 256 << 20);
	struct snpu_timing *t = replay();
	uint64_t one = span(t, a).end, busy, bytes, sum = 0;
	double wire = profile->timing.link_efficiency_write.value *
		      profile->timing.l2_efficiency.value;
	uint32_t i;

	for (i = 0; i < topo->num_links; i++) {
		const struct snpu_topo_link *l = &topo->links[i];

		snpu_timing_link_use(t, i, &busy, &bytes);
		if (l->from_kind == SNPU_TOPO_DIE && l->from < topo->dies)
			sum += bytes;
	}
	/* with what the links carry beside payload */
	CHECK((double)sum * wire > (256 << 20) - 64 && (double)sum * wire < (256 << 20) + 64,
	      "%" PRIu64 " bytes left", sum);
	/* all links of the sender down for a while in the middle: that much longer */
	for (i = 0; i < topo->num_links; i++) {
		const struct snpu_topo_link *l = &topo->links[i];

		if (l->from_kind != SNPU_TOPO_DIE || l->from >= topo->dies)
			continue;
		CHECK(!snpu_timing_link(t, one / 2, i, 0), "down");
		CHECK(!snpu_timing_link(t, one / 2 + 1000000000, i, l->rate), "up");
	}
	CHECK(!snpu_timing_run(t), "run");
	CHECK(span(t, a).end - one >= 999999000 && span(t, a).end - one <= 1000001000,
	      "%" PRIu64 " longer", span(t, a).end - one);
	for (i = 0; i < topo->num_links; i++)
		if (topo->links[i].from_kind == SNPU_TOPO_DIE && topo->links[i].from < topo->dies)
			CHECK(!snpu_timing_link(t, 2 * one, i, 0), "down");
	snpu_timing_free(t);

	/* down for good: it never ends, and that is said */
	t = replay();
	for (i = 0; i < topo->num_links; i++)
		if (topo->links[i].from_kind == SNPU_TOPO_DIE && topo->links[i].from < topo->dies)
			CHECK(!snpu_timing_link(t, one / 2, i, 0), "down");
	CHECK(!snpu_timing_run(t), "run");
	CHECK(stats(t).stuck == 1 && span(t, a).end == UINT64_MAX, "%" PRIu64, stats(t).stuck);
	CHECK(snpu_timing_link(t, 0, topo->num_links, 1) == -EINVAL, "no such link");
	snpu_timing_free(t);
}

static void t_clock(void)
{
	struct snpu_plog_rec *c = add(0, 0, SNPU_OP_CLOCK), *m = matmul(0, 0, 64);
	struct snpu_timing *t;

	/* far more than the packet takes with any constants */
	c->clock = 5000000;
	t = replay();
	CHECK(span(t, m).begin == 5000000000, "%" PRIu64, span(t, m).begin);
	CHECK(span(t, m).busy < 5000000000, "waiting is not work");
	snpu_timing_free(t);
}

/* The end of virtual time: of a queue, of what waits for it, and of nothing else */
static void t_end(void)
{
	struct snpu_plog_rec *clock = add(0, 0, SNPU_OP_CLOCK), *late = matmul(0, 0, 64);
	struct snpu_plog_rec *huge = NULL, *next, *held, *far, *freed, *other;
	struct snpu_timing *t;
	char err[256];
	unsigned int i;

	clock->clock = SNPU_MAX_CLOCK;
	for (i = 0; i < 8; i++)
		huge = copy(0, 0, 8, 1ull << 60);
	next = add(0, 0, SNPU_OP_NOP);
	sem(add(0, 0, SNPU_OP_SEM_SIGNAL), SNPU_PLOG_SEM_SET, 1, 64, 1);
	/* one hop, and another one */
	wait(1, 0, 64, 1);
	held = matmul(1, 0, 64);
	sem(add(1, 0, SNPU_OP_SEM_SIGNAL), SNPU_PLOG_SEM_SET, 2, 64, 1);
	wait(2, 0, 64, 1);
	far = matmul(2, 0, 64);
	/* two that wait for each other, and a CPU */
	wait(3, 0, 64, 1);
	sem(add(3, 0, SNPU_OP_SEM_SIGNAL), SNPU_PLOG_SEM_SET, 4, 64, 1);
	wait(4, 0, 64, 1);
	sem(add(4, 0, SNPU_OP_SEM_SIGNAL), SNPU_PLOG_SEM_SET, 3, 64, 1);
	freed = matmul(4, 0, 64);
	other = matmul(5, 0, 64);
	t = replay();
	CHECK(span(t, late).begin == SNPU_MAX_CLOCK * 1000, "%" PRIu64, span(t, late).begin);
	CHECK(span(t, late).end < SNPU_VTIME_END * 1000, "%" PRIu64, span(t, late).end);
	CHECK(span(t, huge).end == SNPU_TIMING_NEVER, "%" PRIu64, span(t, huge).end);
	CHECK(span(t, next).begin == SNPU_TIMING_NEVER, "%" PRIu64, span(t, next).begin);
	CHECK(span(t, held).begin == SNPU_TIMING_NEVER &&
	      span(t, held).end == SNPU_TIMING_NEVER, "%" PRIu64, span(t, held).end);
	CHECK(span(t, far).end == SNPU_TIMING_NEVER, "%" PRIu64, span(t, far).end);
	/* a CPU does so when nothing else can go on, which is after the CLOCK */
	CHECK(span(t, freed).end < SNPU_VTIME_END * 1000, "%" PRIu64, span(t, freed).end);
	CHECK(span(t, other).end < 1000000000ull, "%" PRIu64, span(t, other).end);
	CHECK(stats(t).stuck == 3 && stats(t).freed == 1, "%" PRIu64 " %" PRIu64, stats(t).stuck,
	      stats(t).freed);
	CHECK(stats(t).now < SNPU_VTIME_END * 1000, "%" PRIu64, stats(t).now);
	CHECK(snpu_timing_ns(span(t, far).end) == SNPU_VTIME_NEVER && snpu_timing_ns(1999) == 1,
	      "ns");
	snpu_timing_free(t);

	/* a link of 1 byte an hour, which comes back */
	len = 0;
	huge = copy(0, 0, 8, 4 << 20);
	other = copy(16, 0, 24, 4 << 20);
	t = replay();
	for (i = 0; i < topo->num_links; i++)
		if (topo->links[i].from_kind == SNPU_TOPO_DIE && topo->links[i].from < topo->dies)
			CHECK(!snpu_timing_link(t, 0, i, 1 / 3600.0), "slow");
	CHECK(!snpu_timing_run(t), "run");
	CHECK(span(t, huge).end == SNPU_TIMING_NEVER && stats(t).stuck == 1, "%" PRIu64,
	      span(t, huge).end);
	CHECK(span(t, other).end < 1000000000ull, "%" PRIu64, span(t, other).end);
	for (i = 0; i < topo->num_links; i++)
		if (topo->links[i].from_kind == SNPU_TOPO_DIE && topo->links[i].from < topo->dies)
			CHECK(!snpu_timing_link(t, 1000000000000ull, i, topo->links[i].rate), "up");
	CHECK(!snpu_timing_run(t), "run");
	CHECK(span(t, huge).end > 1000000000000ull && span(t, huge).end < 1001000000000ull,
	      "%" PRIu64, span(t, huge).end);
	snpu_timing_free(t);

	/* more than a CLOCK may say is an error of the record, not of the number of records */
	len = 0;
	clock = add(0, 0, SNPU_OP_CLOCK);
	clock->clock = SNPU_MAX_CLOCK + 1;
	t = snpu_timing_new(topo, NULL, err, sizeof(err));
	CHECK(snpu_timing_add(t, prog, len) == -EINVAL, "CLOCK");
	clock->clock = UINT64_MAX;
	CHECK(snpu_timing_add(t, prog, len) == -EINVAL, "CLOCK");
	snpu_timing_free(t);
}

static void t_refused(void)
{
	struct snpu_timing_opts o = { .max_records = 2 };
	struct snpu_timing *t;
	char err[256];

	copy(0, 0, 1, 64);
	t = snpu_timing_new(topo, &o, err, sizeof(err));
	CHECK(!snpu_timing_add(t, prog, 1), "good one");
	prog[0].node = topo->nodes;
	CHECK(snpu_timing_add(t, prog, 1) == -EINVAL, "node");
	prog[0].node = 0;
	prog[0].write_node = topo->nodes;
	CHECK(snpu_timing_add(t, prog, 1) == -EINVAL, "target");
	prog[0].write_node = 1;
	prog[0].die = (uint8_t)(topo->dies + 1);
	CHECK(snpu_timing_add(t, prog, 1) == -EINVAL, "die");
	prog[0].die = 0;
	prog[0].seq = 1;
	CHECK(!snpu_timing_add(t, prog, 1), "second");
	prog[0].seq = 2;
	CHECK(snpu_timing_add(t, prog, 1) == -ENOSPC, "limit");
	CHECK(!snpu_timing_run(t), "run");
	CHECK(stats(t).records == 2, "records");
	snpu_timing_free(t);
}

/* A random program of ring steps, with copies, products and semaphores */
static void random_program(uint32_t n)
{
	uint32_t i, q, steps = 3 + rnd(6);
	uint64_t s;

	for (i = 0; i < n; i++) {
		uint32_t to = (i + 1) % n * 5 % topo->nodes, me = i * 5 % topo->nodes;

		for (s = 1; s <= steps; s++) {
			for (q = rnd(4); q; q--)
				copy(me, 0, rnd(2) ? me : rnd(topo->nodes), 1 + rnd(1 << 20));
			sem(copy(me, 0, to, 4096 + rnd(4) * 65536), SNPU_PLOG_SEM_SET, to,
			    128, s);
			wait(me, 0, 128, s);
			if (rnd(2))
				matmul(me, 1, 64 + rnd(512));
		}
	}
}

/* The same program in another order, with other queue numbers, epochs and addresses */
static void t_canonical(void)
{
	uint16_t names[2];
	struct snpu_timing *t;
	int i, k;

	for (i = 0; i < 20; i++) {
		struct snpu_timing_stats a, b;
		size_t j;

		len = 0;
		random_program(2 + rnd(20));
		t = replay();
		a = stats(t);
		CHECK(!a.stuck && !a.freed, "stuck %" PRIu64, a.stuck);
		snpu_timing_free(t);
		for (k = 0; k < 3; k++) {
			names[0] = (uint16_t)rnd(1000);
			names[1] = (uint16_t)(names[0] + 1 + rnd(5));
			if (k == 1)
				names[1] = names[0] ? names[0] - 1 : names[1];
			for (j = 0; j < len; j++) {
				prog[j].queue = names[prog[j].op == SNPU_OP_MATMUL];
				prog[j].epoch = (uint32_t)k;
				if (prog[j].sem_kind)
					prog[j].sem_addr = 64 * (prog[j].sem_node + 7 * (uint32_t)k + 1);
			}
			for (j = len; j > 1; j--) {
				struct snpu_plog_rec tmp = prog[j - 1];
				size_t with = rnd((uint32_t)j);

				prog[j - 1] = prog[with];
				prog[with] = tmp;
			}
			t = replay();
			b = stats(t);
			CHECK(a.hash == b.hash && a.now == b.now, "%016" PRIx64 " %016" PRIx64
			      ", %" PRIu64 " %" PRIu64, a.hash, b.hash, a.now, b.now);
			snpu_timing_free(t);
		}
		/* another program has another hash */
		for (j = 0; j < len; j++)
			if (prog[j].op == SNPU_OP_COPY)
				break;
		prog[j].bytes_read++;
		t = replay();
		CHECK(stats(t).hash != a.hash, "hash of another program");
		snpu_timing_free(t);
	}
}

/* Records that come in pieces, with a replay after each, in any order: the same as all at once */
static void t_pieces(void)
{
	struct snpu_timing *t;
	char err[256];
	size_t at, n, j;
	uint64_t hash;
	int i;

	for (i = 0; i < 20; i++) {
		random_program(2 + rnd(20));
		t = replay();
		hash = stats(t).hash;
		snpu_timing_free(t);
		for (j = len; i % 2 && j > 1; j--) {
			struct snpu_plog_rec tmp = prog[j - 1];
			size_t with = rnd((uint32_t)j);

			prog[j - 1] = prog[with];
			prog[with] = tmp;
		}
		t = snpu_timing_new(topo, NULL, err, sizeof(err));
		CHECK(t, "%s", err);
		for (at = 0; t && at < len; at += n) {
			n = 1 + rnd((uint32_t)(len - at));
			CHECK(!snpu_timing_add(t, prog + at, n) && !snpu_timing_run(t), "%zu", at);
		}
		CHECK(t && stats(t).hash == hash && stats(t).records == len, "another hash");
		snpu_timing_free(t);
	}
}

/* The trace as text, to be freed */
static char *trace_text(struct snpu_timing *t, bool counters)
{
	FILE *f = tmpfile();
	char err[256] = "", *text = NULL;
	long n;

	CHECK(f, "%s", strerror(errno));
	if (!f)
		exit(1);
	CHECK(!snpu_timing_trace(t, fileno(f), counters, err, sizeof(err)), "%s", err);
	fseek(f, 0, SEEK_END);
	n = ftell(f);
	rewind(f);
	text = calloc(1, (size_t)n + 1);
	CHECK(text && fread(text, 1, (size_t)n, f) == (size_t)n, "read");
	fclose(f);
	return text;
}

static const char *text_of(struct json_object *o, const char *key)
{
	return json_object_get_string(json_object_object_get(o, key));
}

/* It is JSON; every begin is followed by its end, not earlier; every packet is there once */
static void check_trace(const char *text)
{
	struct json_object *root = json_tokener_parse(text), *events = NULL, *b = NULL;
	size_t i, n, queue = 0, res = 0;

	CHECK(root && json_object_object_get_ex(root, "traceEvents", &events), "no JSON");
	n = events ? json_object_array_length(events) : 0;
	for (i = 0; i < n; i++) {
		struct json_object *e = json_object_array_get_idx(events, i);
		const char *ph = text_of(e, "ph"), *cat = text_of(e, "cat");

		if (!strcmp(ph, "b")) {
			CHECK(!b, "event %zu: begins inside another", i);
			b = e;
		} else if (!strcmp(ph, "e")) {
			CHECK(b && !strcmp(cat, text_of(b, "cat")) &&
			      !strcmp(text_of(e, "id"), text_of(b, "id")) &&
			      json_object_get_double(json_object_object_get(e, "ts")) >=
			      json_object_get_double(json_object_object_get(b, "ts")),
			      "event %zu: is not the end of the one before", i);
			b = NULL;
			*(strncmp(cat, "queue", 5) ? &res : &queue) += 1;
		} else {
			CHECK(!strcmp(ph, "M"), "event %zu: kind %s", i, ph);
		}
	}
	CHECK(!b, "one never ends");
	CHECK(queue == len && res >= len / 4, "%zu of %zu packets, %zu spans of resources", queue,
	      len, res);
	json_object_put(root);
}

static double number_of(struct json_object *o, const char *key)
{
	return json_object_get_double(json_object_object_get(o, key));
}

/* One resource's counter: its area is what the resource gave, and it ends at nothing */
struct track {
	char name[64];
	double at, share, area, cap, most;
	size_t samples;
};

static void check_track(const struct track *k, struct snpu_timing *t, const struct snpu_cost *cost)
{
	uint64_t busy, bytes;
	double share, amount = 0;
	uint32_t i, links = 0;
	char buf[64];

	CHECK(k->share == 0 && k->samples > 1, "%s: ends at %g", k->name, k->share);
	CHECK(k->most <= 100.001, "%s: %g %%", k->name, k->most);
	for (i = 0; i < topo->num_links; i++) {
		uint32_t res = snpu_cost_link_resource(cost, i, &share);

		if (topo->links[i].plane == SNPU_TOPO_NONE ||
		    strcmp(snpu_cost_name(cost, res, buf, sizeof(buf)), k->name))
			continue;
		snpu_timing_link_use(t, i, &busy, &bytes);
		amount += (double)bytes;
		links++;
	}
	/* of each link less than a byte is missing, and ends are a picosecond late */
	if (links)
		CHECK(k->area * k->cap > amount * 0.9999 - 64 && k->area * k->cap <
		      amount * 1.0001 + 64 + links, "%s: area %.9g, links %.9g", k->name,
		      k->area * k->cap, amount);
}

/* Only the last events are counters; without them the trace is as without being asked for */
static size_t check_counters(struct snpu_timing *t, const char *with, const char *without)
{
	struct json_object *root = json_tokener_parse(with), *events = NULL;
	static struct track track[512];
	struct snpu_cost *cost;
	size_t i, k, n, tracks = 0, links = 0, all = 0;
	double last = 0;
	char err[256], name_of[64];
	uint32_t res;

	cost = snpu_cost_new(topo, false, err, sizeof(err));
	CHECK(cost, "%s", err);
	memset(track, 0, sizeof(track));
	CHECK(!strncmp(with, without, strlen(without) - 5), "events other than counters");
	CHECK(root && json_object_object_get_ex(root, "traceEvents", &events), "no JSON");
	n = events ? json_object_array_length(events) : 0;
	for (i = 0; i < n; i++) {
		struct json_object *e = json_object_array_get_idx(events, i);
		double ts = number_of(e, "ts");
		double share = number_of(json_object_object_get(e, "args"), "taken");
		struct track *c;

		if (strcmp(text_of(e, "ph"), "C"))
			continue;
		all++;
		CHECK(ts >= last, "sample %zu: %g after %g", i, ts, last);
		last = ts;
		snprintf(name_of, sizeof(name_of), "%s", text_of(e, "name"));
		name_of[strlen(name_of) - 2] = '\0';
		for (k = 0; k < tracks && strcmp(track[k].name, name_of); k++)
			;
		if (k == 512)
			break;
		c = &track[k];
		if (k == tracks) {
			tracks++;
			strcpy(c->name, name_of);
			for (res = 0; res < snpu_cost_resources(cost); res++)
				if (!strcmp(snpu_cost_name(cost, res, err, 64), name_of))
					c->cap = snpu_cost_capacity(cost, res);
		}
		c->area += c->share / 100 * (ts - c->at) * 1e-6;
		c->most = c->most > share ? c->most : share;
		c->at = ts;
		c->share = share;
		c->samples++;
	}
	for (k = 0; k < tracks; k++) {
		check_track(&track[k], t, cost);
		links += strstr(track[k].name, " up") != NULL;
	}
	/* resources of hosts are the last ones */
	res = snpu_cost_resources(cost) - 1;
	CHECK(!strcmp(snpu_cost_name(cost, res, err, 64), "host47 down"), "%s", err);
	CHECK(tracks > 4 && links, "%zu tracks, %zu of links", tracks, links);
	json_object_put(root);
	snpu_cost_free(cost);
	return all;
}

static void t_counters(void)
{
	struct snpu_timing *t;
	char *a, *b, *c;
	uint64_t hash;
	size_t n;

	random_program(8);
	t = replay();
	hash = stats(t).hash;
	a = trace_text(t, false);
	b = trace_text(t, true);
	n = check_counters(t, b, a);
	printf("# %zu packets, %zu samples, %zu and %zu bytes\n", len, n, strlen(a), strlen(b));
	/* they change nothing of the run, and are the same again */
	CHECK(stats(t).hash == hash, "hash");
	c = trace_text(t, true);
	CHECK(!strcmp(b, c), "other counters");
	free(c);
	c = trace_text(t, false);
	CHECK(!strcmp(a, c), "another trace");
	snpu_timing_free(t);
	free(a);
	free(b);
	free(c);
}

static void t_trace(void)
{
	struct snpu_timing *t;
	char *a, *b, err[256] = "";
	int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
	size_t i;

	random_program(8);
	t = snpu_timing_new(topo, NULL, err, sizeof(err));
	CHECK(snpu_timing_trace(t, 1, false, err, sizeof(err)) == -ENODATA, "before a run");
	snpu_timing_free(t);
	t = replay();
	a = trace_text(t, false);
	check_trace(a);
	/* a disk that is full is said */
	err[0] = 0;
	CHECK(full < 0 || snpu_timing_trace(t, full, true, err, sizeof(err)) < 0, "/dev/full");
	CHECK(full < 0 || err[0], "no message");
	snpu_timing_free(t);
	/* other numbers and addresses, the same bytes */
	for (i = 0; i < len; i++) {
		prog[i].queue = (uint16_t)(900 - prog[i].queue);
		prog[i].epoch += 3;
		prog[i].sem_addr += prog[i].sem_kind ? 4096 : 0;
	}
	t = replay();
	b = trace_text(t, false);
	CHECK(!strcmp(a, b), "another trace");
	snpu_timing_free(t);
	free(a);
	free(b);
	if (full >= 0)
		close(full);
}

/* The longest and the largest there can be: no end of the world, and order stays */
static void t_huge(void)
{
	struct snpu_plog_rec *a = copy(0, 0, 8, UINT64_MAX), *m, *z;
	struct snpu_timing *t;
	struct snpu_timing_stats s;
	int i;

	m = add(1, 0, SNPU_OP_MATMUL);
	m->dtype = SNPU_DT_BF16;
	m->m = UINT32_MAX;
	m->n = UINT32_MAX;
	m->k = UINT32_MAX;
	m->groups = UINT32_MAX;
	m->flops = UINT64_MAX;
	z = copy(2, 0, 3, 0);
	sem(add(2, 0, SNPU_OP_SEM_SIGNAL), SNPU_PLOG_SEM_ADD, 2, 64, UINT64_MAX);
	sem(add(2, 0, SNPU_OP_SEM_SIGNAL), SNPU_PLOG_SEM_ADD, 2, 64, 2);
	wait(2, 1, 64, 1);
	for (i = 0; i < 10; i++)
		copy(4, 0, 4, 3000000000000000000);
	t = replay();
	s = stats(t);
	/* one after the other, until there is no more time: the last ones never end */
	CHECK(span(t, &prog[len - 10]).end < UINT64_MAX && span(t, &prog[len - 1]).end == UINT64_MAX,
	      "%" PRIu64 " %" PRIu64, span(t, &prog[len - 10]).end, span(t, &prog[len - 1]).end);
	CHECK(span(t, a).end >= span(t, a).begin && span(t, m).end >= span(t, m).begin, "order");
	CHECK(span(t, z).end < 1000000000, "nothing takes %" PRIu64, span(t, z).end);
	CHECK(s.records == len, "%" PRIu64, s.records);
	snpu_timing_free(t);
}

/* 384 x 383 copies into everybody: counts, no more */
static void t_all_to_all(void)
{
	uint32_t n = topo->nodes, i, k;
	struct snpu_plog_rec *recs = calloc((size_t)n * n, sizeof(*recs));
	struct snpu_timing *t;
	struct snpu_timing_stats s;
	char err[256];
	size_t m = 0;

	for (i = 0; i < n; i++)
		for (k = 1; k < n; k++) {
			len = 0;
			recs[m] = *copy(i, 0, (i + k) % n, 65536);
			recs[m++].seq = k - 1;
		}
	t = snpu_timing_new(topo, NULL, err, sizeof(err));
	CHECK(!snpu_timing_add(t, recs, m), "add");
	CHECK(!snpu_timing_run(t), "run");
	s = stats(t);
	CHECK(s.flows == m && !s.stuck, "%" PRIu64 " flows", s.flows);
	printf("# all-to-all: %" PRIu64 " flows, %.3f ms virtual, %.3f s here\n", s.flows,
	       (double)s.now / 1e9, (double)s.host_ns / 1e9);
	snpu_timing_free(t);
	free(recs);
}

int main(void)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} all[] = {
		{ "order", t_order }, { "semaphore", t_semaphore }, { "freed", t_freed },
		{ "sharing", t_sharing }, { "links", t_links }, { "clock", t_clock },
		{ "end", t_end },
		{ "refused", t_refused }, { "canonical", t_canonical },
		{ "pieces", t_pieces }, { "trace", t_trace }, { "counters", t_counters },
		{ "huge", t_huge }, { "all-to-all", t_all_to_all },
	};
	char err[512];
	size_t i;

	profile = snpu_profile_load("cm384", err, sizeof(err));
	topo = profile ? snpu_topo_new(profile, err, sizeof(err)) : NULL;
	if (!topo) {
		printf("Bail out! %s\n", err);
		return 1;
	}
	printf("1..%zu\n", sizeof(all) / sizeof(all[0]));
	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		int before = failures;

		name = all[i].name;
		len = 0;
		all[i].run();
		printf("%sok %d - %s\n", failures == before ? "" : "not ", ++cases, name);
		fflush(stdout);
	}
	snpu_topo_free(topo);
	snpu_profile_free(profile);
	return failures != 0;
}
