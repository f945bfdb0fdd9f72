// SPDX-License-Identifier: MIT
/*
 * Collectives on NPUs, all ranks in this process: bit for bit what the reference computes, for
 * floats also within the bound of the roundings, for integers what plain loops give.
 */
#include <math.h>
#include <stdio.h>

#include <snpu/coll.h>

#include "tap.h"

#define MAX_RANKS	64
#define NPUS		8

/* struct world - ranks, each with a context, a queue, and a buffer to send and to receive */
struct world {
	unsigned int n;
	uint64_t bytes;
	struct t_dev dev[MAX_RANKS];
	struct snpu_coll *comm[MAX_RANKS];
	uint64_t pos[MAX_RANKS];
	unsigned int hosts[MAX_RANKS];
	uint64_t slot;
	unsigned int slots;
};

static bool world_open(struct world *w, unsigned int n, uint64_t bytes,
		       const struct snpu_coll_params *params)
{
	struct snpu_ctx *ctx[MAX_RANKS];
	struct snpu_info info;
	unsigned int r, npus = snpu_count(t_snpu());

	memset(w, 0, sizeof(*w));
	w->n = n;
	w->bytes = (bytes + 4095) & ~4095ull;
	if (params && params->field_mask & SNPU_COLL_PARAM_SLOT)
		w->slot = params->slot_bytes;
	if (params && params->field_mask & SNPU_COLL_PARAM_SLOTS)
		w->slots = params->slots;
	for (r = 0; r < n; r++) {
		if (t_dev_open(&w->dev[r], r % npus, 2 * w->bytes, SNPU_MEM_HBM))
			return false;
		ctx[r] = w->dev[r].ctx;
		snpu_get_info(t_snpu(), r % npus, &info, sizeof(info));
		w->hosts[r] = info.host;
	}
	if (!snpu_coll_init_all(w->comm, ctx, n, params))
		return true;
	t_fail(__FILE__, __LINE__, "snpu_coll_init_all: %s", snpu_coll_last_error());
	return false;
}

static void world_close(struct world *w)
{
	unsigned int r;

	for (r = 0; r < w->n; r++)
		CHECK_EQ(snpu_coll_destroy(w->comm[r]), 0);
	for (r = 0; r < w->n; r++)
		t_dev_close(&w->dev[r]);
}

static uint64_t send_va(struct world *w, unsigned int r)
{
	return w->dev[r].va;
}

static uint64_t recv_va(struct world *w, unsigned int r)
{
	return w->dev[r].va + w->bytes;
}

/* Submits and waits on all queues: 0 or the first error */
static int world_run(struct world *w)
{
	unsigned int r;
	int ret = 0, ret2;

	for (r = 0; r < w->n; r++) {
		ret2 = snpu_queue_submit(w->dev[r].q, &w->pos[r]);
		ret = ret ? ret : ret2;
	}
	for (r = 0; r < w->n; r++) {
		ret2 = snpu_queue_wait(w->dev[r].q, w->pos[r], T_LONG);
		ret = ret ? ret : ret2;
	}
	return ret;
}

static uint64_t mix(uint64_t x)
{
	x ^= x >> 30;
	x *= 0xbf58476d1ce4e5b9ull;
	x ^= x >> 27;
	return x * 0x94d049bb133111ebull;
}

/* Reals between -1 and 1; for products between 0.5 and 2, so that they stay in range */
static void fill(void *buf, unsigned int dtype, unsigned int redop, unsigned int rank, uint64_t n)
{
	uint64_t i, x;
	uint32_t bits;
	float f;

	for (i = 0; i < n; i++) {
		x = mix(i * 1024 + rank + 1);
		f = (float)((int32_t)(x >> 32)) * 0x1p-31f;
		if (redop == SNPU_COLL_PROD)
			f = exp2f(f);
		bits = snpu_f32_bits(f);
		switch (dtype) {
		case SNPU_DT_F32:
			((float *)buf)[i] = f;
			break;
		case SNPU_DT_BF16:
			((uint16_t *)buf)[i] = (uint16_t)(bits >> 16);
			break;
		case SNPU_DT_F16:
			/* cut off: any value does */
			((uint16_t *)buf)[i] = (uint16_t)(((bits >> 16) & 0x8000) |
				((bits & 0x7fffffff) < 0x38800000 ? 0 :
				 (((bits & 0x7fffffff) - 0x38000000) >> 13)));
			break;
		case SNPU_DT_I8:
			((int8_t *)buf)[i] = (int8_t)(x >> 40);
			break;
		case SNPU_DT_I32:
			((int32_t *)buf)[i] = (int32_t)(x >> 32);
			break;
		default:
			((int64_t *)buf)[i] = (int64_t)x;
		}
	}
}

static double number(const void *buf, unsigned int dtype, uint64_t i)
{
	uint16_t h = ((const uint16_t *)buf)[dtype == SNPU_DT_F32 ? 0 : i];
	uint32_t u = (uint32_t)h << 16;
	float f;

	if (dtype == SNPU_DT_F32)
		return ((const float *)buf)[i];
	if (dtype == SNPU_DT_BF16) {
		memcpy(&f, &u, sizeof(f));
		return f;
	}
	f = ldexpf((float)((h & 0x3ff) | (h & 0x7c00 ? 0x400 : 0)),
		   (h >> 10 & 31 ? h >> 10 & 31 : 1) - 25);
	return h & 0x8000 ? -f : f;
}

/* struct job - an operation */
struct job {
	unsigned int op, algo, dtype, redop, root;
	uint64_t count;
	bool in_place;
};

static bool is_int(unsigned int dtype)
{
	return dtype == SNPU_DT_I8 || dtype == SNPU_DT_I32 || dtype == SNPU_DT_I64;
}

static uint64_t elems_in(const struct job *j, unsigned int n)
{
	return j->count * (j->op == SNPU_COLL_REDUCE_SCATTER || j->op == SNPU_COLL_ALL_TO_ALL ?
			   n : 1);
}

static uint64_t elems_out(const struct job *j, unsigned int n)
{
	return j->count * (j->op == SNPU_COLL_ALL_GATHER || j->op == SNPU_COLL_ALL_TO_ALL ? n : 1);
}

static int call(struct world *w, unsigned int r, const struct job *j, uint64_t send, uint64_t recv)
{
	struct snpu_coll *c = w->comm[r];
	struct snpu_queue *q = w->dev[r].q;

	switch (j->op) {
	case SNPU_COLL_ALL_REDUCE:
		return snpu_coll_all_reduce(c, q, send, recv, j->count, j->dtype, j->redop);
	case SNPU_COLL_REDUCE_SCATTER:
		return snpu_coll_reduce_scatter(c, q, send, recv, j->count, j->dtype, j->redop);
	case SNPU_COLL_ALL_GATHER:
		return snpu_coll_all_gather(c, q, send, recv, j->count, j->dtype);
	case SNPU_COLL_BROADCAST:
		return snpu_coll_broadcast(c, q, send, recv, j->count, j->dtype, j->root);
	case SNPU_COLL_REDUCE:
		return snpu_coll_reduce(c, q, send, recv, j->count, j->dtype, j->redop, j->root);
	default:
		return snpu_coll_all_to_all(c, q, send, recv, j->count, j->dtype);
	}
}

static int64_t integer(const void *buf, unsigned int dtype, uint64_t i)
{
	return dtype == SNPU_DT_I8 ? ((const int8_t *)buf)[i] :
	       dtype == SNPU_DT_I32 ? ((const int32_t *)buf)[i] : ((const int64_t *)buf)[i];
}

static int64_t wrapped(uint64_t v, unsigned int dtype)
{
	return dtype == SNPU_DT_I8 ? (int8_t)v : dtype == SNPU_DT_I32 ? (int32_t)v : (int64_t)v;
}

/* Is element @i of the reduction of @in what it may be, whatever the order of operations? */
static bool plausible(void **in, unsigned int n, const struct job *j, uint64_t i, const void *out,
		      uint64_t at)
{
	double u = j->dtype == SNPU_DT_F32 ? 0x1p-24 : j->dtype == SNPU_DT_F16 ? 0x1p-11 : 0x1p-8;
	double sum = 0, mag = 0, x, y;
	unsigned int r;
	int64_t v = 0, e;

	for (r = 0; r < n; r++) {
		if (is_int(j->dtype)) {
			e = integer(in[r], j->dtype, i);
			if (!r)
				v = e;
			else if (j->redop == SNPU_COLL_PROD)
				v = wrapped((uint64_t)v * (uint64_t)e, j->dtype);
			else if (j->redop == SNPU_COLL_MIN)
				v = e < v ? e : v;
			else if (j->redop == SNPU_COLL_MAX)
				v = e > v ? e : v;
			else
				v = wrapped((uint64_t)v + (uint64_t)e, j->dtype);
			continue;
		}
		x = number(in[r], j->dtype, i);
		if (!r)
			sum = x;
		else if (j->redop == SNPU_COLL_PROD)
			sum *= x;
		else if (j->redop == SNPU_COLL_MIN)
			sum = x < sum ? x : sum;
		else if (j->redop == SNPU_COLL_MAX)
			sum = x > sum ? x : sum;
		else
			sum += x;
		mag += fabs(x);
	}
	if (is_int(j->dtype)) {
		v = j->redop == SNPU_COLL_AVG ? v / (int64_t)n : v;
		return v == integer(out, j->dtype, at);
	}
	y = number(out, j->dtype, at);
	if (j->redop == SNPU_COLL_MIN || j->redop == SNPU_COLL_MAX)
		return y == sum;
	/* n roundings, one more for the average; subnormals of fp16 lose up to their last bit */
	mag = j->redop == SNPU_COLL_PROD ? fabs(sum) : mag;
	if (j->redop == SNPU_COLL_AVG) {
		sum /= n;
		mag /= n;
	}
	u *= n + 1;
	return fabs(y - sum) <= mag * u / (1 - u) + n * (j->dtype == SNPU_DT_F16 ? 0x1p-25 : 0);
}

/* Results of rank @r that are wrong: against the reference, and on their own */
static uint64_t wrong(struct world *w, unsigned int r, const struct job *j, void **in,
		      const void *ref, const void *got)
{
	const unsigned int esize = (unsigned int)snpu_dtype_size(j->dtype);
	bool reduces = j->op == SNPU_COLL_ALL_REDUCE || j->op == SNPU_COLL_REDUCE ||
		       j->op == SNPU_COLL_REDUCE_SCATTER;
	uint64_t i, bad = 0, out = elems_out(j, w->n);

	if (j->op == SNPU_COLL_REDUCE && r != j->root)
		return 0;
	for (i = 0; i < out; i++) {
		bad += memcmp((const char *)ref + i * esize, (const char *)got + i * esize,
			      esize) ||
		       (reduces && !plausible(in, w->n, j,
					      i + (j->op == SNPU_COLL_REDUCE_SCATTER ?
						   r * j->count : 0), got, i));
	}
	/* and nothing behind it was touched */
	for (i = out * esize; i < out * esize + 64 && i < w->bytes && !j->in_place; i++)
		bad += ((const uint8_t *)got)[i] != 0x77;
	return bad;
}

static void run_job(struct world *w, const struct job *j)
{
	const unsigned int esize = (unsigned int)snpu_dtype_size(j->dtype);
	struct snpu_coll_ref ref = {
		.op = j->op, .algo = j->algo, .redop = j->redop, .dtype = j->dtype, .nranks = w->n,
		.root = j->root, .hosts = w->hosts, .count = j->count, .slot_bytes = w->slot,
		.slots = w->slots,
	};
	const uint64_t in_bytes = elems_in(j, w->n) * esize, out_bytes = elems_out(j, w->n) * esize;
	uint64_t own, bad;
	void *in[MAX_RANKS], *out[MAX_RANKS];
	uint64_t send, recv;
	unsigned int r;
	int ret = 0;

	for (r = 0; r < w->n; r++) {
		in[r] = malloc(in_bytes + 1);
		out[r] = malloc(out_bytes + 1);
		fill(in[r], j->dtype, j->redop, r, elems_in(j, w->n));
		own = r * j->count * esize;
		send = 0;
		recv = w->bytes;
		if (j->in_place) {
			recv = j->op == SNPU_COLL_REDUCE_SCATTER ? own : 0;
			send = j->op == SNPU_COLL_ALL_GATHER ? own : 0;
		}
		memset(w->dev[r].p, 0x77, 2 * w->bytes);
		memcpy(w->dev[r].p + send, in[r], in_bytes);
		ret = ret ? ret : call(w, r, j, w->dev[r].va + send, w->dev[r].va + recv);
		if (ret) {
			t_fail(__FILE__, __LINE__, "rank %u: %s", r, snpu_coll_last_error());
			return;
		}
	}
	ref.send = (const void *const *)in;
	ref.recv = (void *const *)out;
	CHECK_EQ(world_run(w), 0);
	ret = snpu_coll_reference(&ref);
	if (ret)
		t_fail(__FILE__, __LINE__, "reference: %s", snpu_coll_last_error());
	for (r = 0; r < w->n; r++) {
		own = r * j->count * esize;
		recv = !j->in_place ? w->bytes : j->op == SNPU_COLL_REDUCE_SCATTER ? own : 0;
		bad = wrong(w, r, j, in, out[r], w->dev[r].p + recv);
		if (bad)
			t_fail(__FILE__, __LINE__, "%s %s %s %s of %u ranks, root %u, %llu "
			       "elements%s: %llu wrong on rank %u", snpu_coll_op_name(j->op),
			       snpu_coll_algo_name(j->algo), snpu_coll_dtype_name(j->dtype),
			       snpu_coll_redop_name(j->redop), w->n, j->root,
			       (unsigned long long)j->count, j->in_place ? ", in place" : "",
			       (unsigned long long)bad, r);
	}
	for (r = 0; r < w->n; r++) {
		free(in[r]);
		free(out[r]);
	}
}

/* Every operation, type and reduction with @n ranks; counts and algorithms by turns */
static void everything(unsigned int n)
{
	static const unsigned int types[] = {
		SNPU_DT_F32, SNPU_DT_F16, SNPU_DT_BF16, SNPU_DT_I8, SNPU_DT_I32, SNPU_DT_I64,
	};
	static const uint64_t counts[] = { 1, 7, 0, 64, 1001, 4099 };
	static struct world w;
	struct job j = { 0 };
	unsigned int k = 0, t;

	NEED(world_open(&w, n, 4099 * 8 * n, NULL));
	for (j.op = 0; j.op < SNPU_COLL_BARRIER; j.op++) {
		bool reduces = j.op == SNPU_COLL_ALL_REDUCE || j.op == SNPU_COLL_REDUCE ||
			       j.op == SNPU_COLL_REDUCE_SCATTER;

		for (t = 0; t < 6; t++) {
			for (j.redop = 0; j.redop < (reduces ? SNPU_COLL_REDOPS : 1); j.redop++) {
				j.dtype = types[t];
				j.count = counts[k % 6];
				j.root = k % n;
				j.in_place = k++ % 5 == 0 && j.op != SNPU_COLL_ALL_TO_ALL;
				run_job(&w, &j);
			}
		}
	}
	world_close(&w);
}

static void ranks_1(void) { everything(1); }
static void ranks_2(void) { everything(2); }
static void ranks_3(void) { everything(3); }
static void ranks_5(void) { everything(5); }
static void ranks_8(void) { everything(8); }
static void ranks_13(void) { everything(13); }

/* Every algorithm for every operation, odd rank count, pieces smaller than the vectors */
static void algorithms(void)
{
	struct snpu_coll_params params = {
		.field_mask = SNPU_COLL_PARAM_ALGO | SNPU_COLL_PARAM_SLOT | SNPU_COLL_PARAM_SLOTS,
		.slot_bytes = 4096, .slots = 2,
	};
	static const unsigned int ranks[] = { 7, 8, 12, 16 };
	static struct world w;
	struct job j;
	unsigned int i;

	/* SWITCH needs registered buffers: see below */
	for (params.algo = 1; params.algo < SNPU_COLL_SWITCH; params.algo++) {
		for (i = 0; i < 4; i++) {
			NEED(world_open(&w, ranks[i], 40000 * 16, &params));
			for (j.op = 0; j.op < SNPU_COLL_BARRIER; j.op++) {
				j = (struct job) { j.op, params.algo, SNPU_DT_F16, SNPU_COLL_SUM,
						   i, 19999, false };
				run_job(&w, &j);
				j.dtype = SNPU_DT_F32;
				j.redop = SNPU_COLL_AVG;
				j.count = 9001;
				j.in_place = j.op != SNPU_COLL_ALL_TO_ALL;
				run_job(&w, &j);
			}
			world_close(&w);
		}
	}
}

/* Buffers that others read in place: the same bits, out of place and in place */
static void windows(void)
{
	static const unsigned int ranks[] = { 2, 5, 8, 16 };
	struct snpu_coll_params params = { .field_mask = SNPU_COLL_PARAM_ALGO };
	static struct world w;
	struct job j = { 0 };
	unsigned int i, k, r;

	for (i = 0; i < 4; i++) {
		/* 16 are on two hosts */
		params.algo = ranks[i] == 16 && snpu_count(t_snpu()) >= 16 ? SNPU_COLL_HIER :
									     SNPU_COLL_PAIRWISE;
		NEED(world_open(&w, ranks[i], 70000 * 4, &params));
		for (r = 0; r < ranks[i]; r++) {
			CHECK_EQ(snpu_coll_register(w.comm[r], w.dev[r].mem), 0);
			CHECK_EQ(snpu_coll_register(w.comm[r], w.dev[r].mem), -EEXIST);
		}
		for (k = 0; k < 12; k++) {
			j = (struct job) { k & 1 ? SNPU_COLL_ALL_GATHER : SNPU_COLL_ALL_REDUCE,
					   params.algo, k & 2 ? SNPU_DT_F32 : SNPU_DT_BF16,
					   k % SNPU_COLL_REDOPS, 0, k & 1 ? 3001 : 70000 - k,
					   k >= 6 };
			run_job(&w, &j);
		}
		CHECK_EQ(snpu_coll_unregister(w.comm[0], w.dev[1].mem), -ENOENT);
		for (r = 0; r < ranks[i]; r++)
			CHECK_EQ(snpu_coll_unregister(w.comm[r], w.dev[r].mem), 0);
		run_job(&w, &j);
		world_close(&w);
	}
}

/* By packets that take all ranks: every operation that has it, types, reductions, pieces */
static void by_switch(void)
{
	static const unsigned int ranks[] = { 2, 3, 8, 13, 16 };
	static const unsigned int ops[] = { SNPU_COLL_ALL_REDUCE, SNPU_COLL_REDUCE_SCATTER,
					    SNPU_COLL_ALL_GATHER, SNPU_COLL_BROADCAST };
	struct snpu_coll_params params = {
		.field_mask = SNPU_COLL_PARAM_ALGO | SNPU_COLL_PARAM_SLOT, .algo = SNPU_COLL_SWITCH,
	};
	static struct world w;
	unsigned int i, k, r;
	struct job j;

	for (i = 0; i < 5; i++) {
		params.slot_bytes = i & 1 ? 0 : 2048;
		NEED(world_open(&w, ranks[i], 20000 * 8, &params));
		/* nobody can reach the buffers yet */
		CHECK(snpu_coll_algo_of(w.comm[0], SNPU_COLL_ALL_REDUCE, 4096) != SNPU_COLL_SWITCH);
		j = (struct job) { SNPU_COLL_ALL_REDUCE, 0, SNPU_DT_BF16, SNPU_COLL_MAX, 0, 999,
				   false };
		run_job(&w, &j);
		for (r = 0; r < ranks[i]; r++)
			CHECK_EQ(snpu_coll_register(w.comm[r], w.dev[r].mem), 0);
		CHECK_EQ(snpu_coll_algo_of(w.comm[0], SNPU_COLL_BROADCAST, 4096), SNPU_COLL_SWITCH);
		CHECK(snpu_coll_algo_of(w.comm[0], SNPU_COLL_ALL_TO_ALL, 4096) != SNPU_COLL_SWITCH);
		for (k = 0; k < 4 * SNPU_DT_MAX; k++) {
			unsigned int op = ops[k % 4], dtype = 1 + k / 4 % SNPU_DT_MAX;
			bool all = op == SNPU_COLL_ALL_REDUCE || op == SNPU_COLL_BROADCAST;

			j = (struct job) { op, SNPU_COLL_SWITCH, dtype, k / 4 % SNPU_COLL_REDOPS,
					   k % ranks[i], (all ? 20000 : 20000 / ranks[i]) - k,
					   (k / 4 + i) & 1 };
			CHECK_EQ(snpu_coll_algo_of(w.comm[0], op, 100), SNPU_COLL_SWITCH);
			run_job(&w, &j);
		}
		/* fewer elements than ranks */
		j = (struct job) { SNPU_COLL_ALL_REDUCE, SNPU_COLL_SWITCH, SNPU_DT_F16,
				   SNPU_COLL_AVG, 0, 1, false };
		run_job(&w, &j);
		world_close(&w);
	}
}

static void ranks_64(void)
{
	static struct world w;
	struct job j = { SNPU_COLL_ALL_REDUCE, 0, SNPU_DT_BF16, SNPU_COLL_SUM, 0, 30000, false };
	unsigned int r;

	NEED(world_open(&w, 64, 65536, NULL));
	run_job(&w, &j);
	j.op = SNPU_COLL_ALL_TO_ALL;
	j.count = 500;
	run_job(&w, &j);
	for (r = 0; r < 64; r++)
		CHECK_EQ(snpu_coll_barrier(w.comm[r], w.dev[r].q), 0);
	CHECK_EQ(world_run(&w), 0);
	world_close(&w);
}

/* The same input gives the same bits every time, however the ranks are delayed */
static void reproducible(void)
{
	static uint16_t first[5000];
	static struct world w;
	unsigned int r, k, turn;
	uint64_t pos;

	NEED(world_open(&w, 7, 16384, NULL));
	for (turn = 0; turn < 6; turn++) {
		for (k = 0; k < 7; k++) {
			/* begins with another rank each time, some of them later */
			r = (k * 3 + turn) % 7;
			fill(w.dev[r].p, SNPU_DT_BF16, 0, r, 5000);
			CHECK_EQ(snpu_coll_all_reduce(w.comm[r], w.dev[r].q, send_va(&w, r),
						      recv_va(&w, r), 5000, SNPU_DT_BF16,
						      SNPU_COLL_SUM), 0);
			CHECK_EQ(snpu_queue_submit(w.dev[r].q, &pos), 0);
			if (turn & 1)
				t_sleep_ms(k);
		}
		CHECK_EQ(world_run(&w), 0);
		if (!turn)
			memcpy(first, w.dev[0].p + w.bytes, sizeof(first));
		for (r = 0; r < 7; r++)
			CHECK(!memcmp(first, w.dev[r].p + w.bytes, sizeof(first)));
	}
	world_close(&w);
}

/* Rank r to rank s: 37 * ((r * 5 + s * 3) % 4) elements */
static uint64_t part(unsigned int from, unsigned int to)
{
	return 37 * ((from * 5 + to * 3) % 4);
}

static void uneven(void)
{
	uint64_t sc[5], sd[5], rc[5], rd[5];
	static struct world w;
	unsigned int r, s;
	uint64_t i, at;

	NEED(world_open(&w, 5, 65536, NULL));
	for (r = 0; r < 5; r++) {
		at = 0;
		for (s = 0; s < 5; s++) {
			sc[s] = part(r, s);
			sd[s] = at;
			rc[s] = part(s, r);
			/* with gaps, and from the back */
			rd[s] = (4 - s) * 200;
			for (i = 0; i < sc[s]; i++)
				((int32_t *)w.dev[r].p)[at++] = (int32_t)(r * 1000000 + s * 1000 +
									  i);
		}
		CHECK_EQ(snpu_coll_all_to_allv(w.comm[r], w.dev[r].q, send_va(&w, r), sc, sd,
					       recv_va(&w, r), rc, rd, SNPU_DT_I32), 0);
	}
	CHECK_EQ(world_run(&w), 0);
	for (r = 0; r < 5; r++) {
		for (s = 0; s < 5; s++) {
			const int32_t *all = (const int32_t *)(w.dev[r].p + w.bytes);
			const int32_t *got = all + (4 - s) * 200;
			uint64_t bad = 0;

			for (i = 0; i < part(s, r); i++)
				bad += got[i] != (int32_t)(s * 1000000 + r * 1000 + i);
			CHECK_EQ(bad, 0);
			CHECK_EQ(got[part(s, r)], 0);
		}
	}
	sc[0] = 1;
	CHECK_EQ(snpu_coll_all_to_allv(w.comm[0], w.dev[0].q, send_va(&w, 0), sc, sd,
				       recv_va(&w, 0), rc, rd, SNPU_DT_I32), -EINVAL);
	/* a displacement whose bytes overflow */
	rd[1] = UINT64_MAX / 4 + 1;
	CHECK_EQ(snpu_coll_all_to_allv(w.comm[0], w.dev[0].q, send_va(&w, 0), sc, sd,
				       recv_va(&w, 0), rc, rd, SNPU_DT_I32), -EINVAL);
	CHECK_TEXT(snpu_coll_last_error(), "recv_displs[1] is 4611686018427387904: 0 to ");
	world_close(&w);
}

/* Everyone swaps long messages with everyone in one group, several with each */
static void groups(void)
{
	const uint64_t len = 3000;
	static struct world w;
	unsigned int r, s, k;
	uint64_t bad, i;
	struct snpu_coll_params params = { SNPU_COLL_PARAM_SLOT, 0, 0, 1024, 0 };

	NEED(world_open(&w, 4, 8 * len * 4, &params));
	for (r = 0; r < 4; r++) {
		for (i = 0; i < 8 * len; i++)
			((uint32_t *)w.dev[r].p)[i] = (uint32_t)(r << 24 | i);
		CHECK_EQ(snpu_coll_group_start(), 0);
		for (k = 0; k < 2; k++) {
			for (s = 0; s < 4; s++)
				CHECK_EQ(snpu_coll_send(w.comm[r], w.dev[r].q,
							send_va(&w, r) + (k * 4 + s) * len * 4, len,
							SNPU_DT_I32, s), 0);
		}
		for (s = 4; s-- > 0; ) {
			for (k = 0; k < 2; k++)
				CHECK_EQ(snpu_coll_recv(w.comm[r], w.dev[r].q,
							recv_va(&w, r) + (k * 4 + s) * len * 4, len,
							SNPU_DT_F32, s), 0);
		}
		CHECK_EQ(snpu_coll_group_end(), 0);
	}
	CHECK_EQ(world_run(&w), 0);
	for (r = 0; r < 4; r++) {
		const uint32_t *got = (const uint32_t *)(w.dev[r].p + w.bytes);

		for (bad = 0, i = 0; i < 8 * len; i++) {
			s = (unsigned int)(i / len % 4);
			bad += got[i] != (s << 24 | ((i / len / 4 * 4 + r) * len + i % len));
		}
		CHECK_EQ(bad, 0);
	}
	/* one after the other, without a group: what fits into the mailbox does not wait */
	CHECK_EQ(snpu_coll_send(w.comm[0], w.dev[0].q, send_va(&w, 0), 100, SNPU_DT_I8, 3), 0);
	CHECK_EQ(snpu_coll_send(w.comm[0], w.dev[0].q, send_va(&w, 0) + 100, 1, SNPU_DT_I8, 3), 0);
	CHECK_EQ(snpu_coll_recv(w.comm[3], w.dev[3].q, recv_va(&w, 3), 100, SNPU_DT_I8, 0), 0);
	CHECK_EQ(snpu_coll_recv(w.comm[3], w.dev[3].q, recv_va(&w, 3) + 100, 1, SNPU_DT_I8, 0), 0);
	CHECK_EQ(world_run(&w), 0);
	CHECK(!memcmp(w.dev[3].p + w.bytes, w.dev[0].p, 101));
	CHECK_EQ(snpu_coll_group_end(), -EINVAL);
	world_close(&w);
}

/* Many operations before the first is launched; then by turns on two queues of a rank */
static void queues(void)
{
	static struct world w;
	struct snpu_queue *q2[3];
	unsigned int r, k;
	uint64_t pos;

	NEED(world_open(&w, 3, 4096, NULL));
	for (r = 0; r < 3; r++) {
		NEED(!snpu_queue_create(w.dev[r].ctx, NULL, &q2[r]));
		for (k = 0; k < 256; k++)
			((int32_t *)w.dev[r].p)[k] = 1;
		for (k = 0; k < 10; k++)
			CHECK_EQ(snpu_coll_all_reduce(w.comm[r], w.dev[r].q, send_va(&w, r),
						      send_va(&w, r), 256, SNPU_DT_I32,
						      SNPU_COLL_SUM), 0);
	}
	CHECK_EQ(world_run(&w), 0);
	for (k = 0; k < 256; k++)
		CHECK_EQ(((int32_t *)w.dev[1].p)[k], 59049);
	for (r = 0; r < 3; r++) {
		for (k = 0; k < 4; k++) {
			struct snpu_queue *q = k & 1 ? q2[r] : w.dev[r].q;

			CHECK_EQ(snpu_coll_all_reduce(w.comm[r], q, send_va(&w, r), send_va(&w, r),
						      256, SNPU_DT_I32, SNPU_COLL_SUM), 0);
		}
		/* the second first: it has to wait for the other queue's */
		CHECK_EQ(snpu_queue_submit(q2[r], &pos), 0);
	}
	CHECK_EQ(world_run(&w), 0);
	for (r = 0; r < 3; r++) {
		CHECK_EQ(snpu_queue_wait(q2[r], 2, T_LONG), 0);
		CHECK_EQ(((int32_t *)w.dev[r].p)[255], 4782969);
	}
	CHECK_EQ(snpu_coll_destroy(w.comm[2]), 0);
	CHECK_EQ(snpu_coll_destroy(w.comm[2]), -EINVAL);
	w.comm[2] = NULL;
	for (r = 0; r < 3; r++)
		CHECK_EQ(snpu_queue_destroy(q2[r]), 0);
	world_close(&w);
}

/* The message must be this call's own, so that of another one stands there before */
#define IS_EINVAL(call) do { \
	const char *name_ = #call; \
	if (strncmp(name_, "snpu_coll_abort", 15)) \
		snpu_coll_abort(NULL); \
	CHECK_EQ(call, -EINVAL); \
	if (strncmp(snpu_coll_last_error(), name_, strcspn(name_, "("))) \
		t_fail(__FILE__, __LINE__, "%s: '%s'", name_, snpu_coll_last_error()); \
} while (0)

static void arguments(void)
{
	struct snpu_coll_params params = { .field_mask = 1u << 9 };
	static struct world w, other;
	struct snpu_coll_uid uid;
	struct snpu_coll *c = (void *)&uid;
	const unsigned int own = 0;

	NEED(world_open(&w, 2, 4096, NULL));
	CHECK_EQ(snpu_coll_count(w.comm[1]), 2);
	CHECK_EQ(snpu_coll_rank(w.comm[1]), 1);
	CHECK(snpu_coll_ctx(w.comm[1]) == w.dev[1].ctx);
	CHECK_EQ(snpu_coll_hosts(w.comm[0]), 1);
	CHECK(snpu_coll_algo_of(w.comm[0], SNPU_COLL_ALL_REDUCE, 1 << 20) > 0);
	IS_EINVAL(snpu_coll_algo_of(w.comm[0], 99, 0));
	CHECK_EQ(snpu_coll_async_error(w.comm[0]), 0);
	IS_EINVAL(snpu_coll_async_error(NULL));
	IS_EINVAL(snpu_coll_abort(NULL));
	IS_EINVAL(snpu_coll_get_uid(NULL));
	IS_EINVAL(snpu_coll_uid_of_name("", &uid));
	IS_EINVAL(snpu_coll_uid_of_name(NULL, &uid));
	IS_EINVAL(snpu_coll_init_rank(&c, w.dev[0].ctx, 2, NULL, 0, NULL));
	IS_EINVAL(snpu_coll_init_rank(&c, w.dev[0].ctx, 2, &uid, 2, NULL));
	CHECK_TEXT(snpu_coll_last_error(), "rank 2 of 2");
	IS_EINVAL(snpu_coll_init_rank(&c, NULL, 2, &uid, 0, NULL));
	IS_EINVAL(snpu_coll_split(NULL, 0, 0, &c, NULL));
	IS_EINVAL(snpu_coll_shrink(w.comm[0], &own, 1, &c, NULL));
	CHECK_TEXT(snpu_coll_last_error(), "rank 0 of 2 excludes 0: each once, 0 to 1");
	CHECK(c == (void *)&uid);
	IS_EINVAL(snpu_coll_register(w.comm[0], NULL));
	IS_EINVAL(snpu_coll_unregister(w.comm[0], NULL));
	IS_EINVAL(snpu_coll_host_of(w.comm[0], 2));
	CHECK_TEXT(snpu_coll_last_error(), "rank 2 is not 0 to 1");
	IS_EINVAL(snpu_coll_reference(NULL));
	IS_EINVAL(snpu_coll_group_end());
	IS_EINVAL(snpu_coll_barrier(w.comm[0], NULL));
	IS_EINVAL(snpu_coll_reduce(w.comm[0], w.dev[0].q, 0, 0, 1, SNPU_DT_F32, 99, 0));
	CHECK_TEXT(snpu_coll_last_error(), "reduction 99 is not 0 to 4");
	IS_EINVAL(snpu_coll_reduce_scatter(w.comm[0], w.dev[0].q, 0, 0, 1ull << 62, SNPU_DT_F32, 0));
	CHECK_TEXT(snpu_coll_last_error(), "4611686018427387904 elements on each of 2 ranks");
	IS_EINVAL(snpu_coll_all_gather(w.comm[0], w.dev[0].q, 0, 0, 1, 77));
	CHECK_TEXT(snpu_coll_last_error(), "type 77");
	IS_EINVAL(snpu_coll_all_to_allv(w.comm[0], w.dev[0].q, 0, NULL, NULL, 0, NULL, NULL,
					SNPU_DT_F32));
	IS_EINVAL(snpu_coll_recv(w.comm[0], w.dev[0].q, 0, 1, SNPU_DT_I8, 9));
	CHECK_TEXT(snpu_coll_last_error(), "peer 9 is not 0 to 1");
	CHECK_EQ(snpu_coll_destroy(NULL), 0);
	/* never made; one that was destroyed is the same to the library */
	IS_EINVAL(snpu_coll_destroy((struct snpu_coll *)&uid));
	CHECK_TEXT(snpu_coll_last_error(), "is no live communicator");
	IS_EINVAL(snpu_coll_all_reduce(w.comm[0], w.dev[1].q, 0, 0, 0, SNPU_DT_F32, 0));
	CHECK_TEXT(snpu_coll_last_error(), "not of rank 0's context");
	IS_EINVAL(snpu_coll_all_reduce(w.comm[0], w.dev[0].q, send_va(&w, 0) + 2, recv_va(&w, 0), 1,
				      SNPU_DT_F32, 0));
	CHECK_TEXT(snpu_coll_last_error(), "aligned to 4");
	IS_EINVAL(snpu_coll_all_reduce(w.comm[0], w.dev[0].q, 0, 0, 1, 77, 0));
	IS_EINVAL(snpu_coll_broadcast(w.comm[0], w.dev[0].q, 0, 0, 1, SNPU_DT_I8, 2));
	IS_EINVAL(snpu_coll_all_to_all(w.comm[0], w.dev[0].q, 64, 64, 1, SNPU_DT_I8));
	IS_EINVAL(snpu_coll_send(w.comm[0], w.dev[0].q, 0, 1, SNPU_DT_I8, 2));
	IS_EINVAL(snpu_coll_init_all(&c, &w.dev[0].ctx, 0, NULL));
	IS_EINVAL(snpu_coll_init_all(&c, &w.dev[0].ctx, 1, &params));
	params = (struct snpu_coll_params) { .field_mask = SNPU_COLL_PARAM_SLOTS, .slots = 3 };
	IS_EINVAL(snpu_coll_init_all(&c, &w.dev[0].ctx, 1, &params));
	CHECK_TEXT(snpu_coll_last_error(), "2, 4 or 8");
	setenv("SNPU_COLL_ALGO", "ringg", 1);
	IS_EINVAL(snpu_coll_init_all(&c, &w.dev[0].ctx, 1, NULL));
	setenv("SNPU_COLL_ALGO", "hd", 1);
	if (world_open(&other, 2, 4096, NULL)) {
		CHECK_EQ(snpu_coll_algo_of(other.comm[0], SNPU_COLL_ALL_REDUCE, 1), SNPU_COLL_HD);
		world_close(&other);
	}
	unsetenv("SNPU_COLL_ALGO");
	world_close(&w);
}

int main(void)
{
	static const struct t_case cases[] = {
		{ "arguments", arguments, T_BOTH },
		{ "1 rank: every operation, type and reduction", ranks_1, T_BOTH },
		{ "2 ranks", ranks_2, T_BOTH },
		{ "3 ranks", ranks_3, T_BOTH },
		{ "5 ranks", ranks_5, T_BOTH },
		{ "8 ranks", ranks_8, T_BOTH },
		{ "13 ranks", ranks_13, T_DIRECT },
		{ "every algorithm for every operation", algorithms, T_DIRECT },
		{ "registered buffers", windows, T_DIRECT },
		{ "by packets that take all ranks", by_switch, T_DIRECT },
		{ "64 ranks", ranks_64, T_DIRECT },
		{ "the same bits every time", reproducible, T_BOTH },
		{ "all-to-all with uneven parts", uneven, T_BOTH },
		{ "groups of sends and receives", groups, T_BOTH },
		{ "many operations, two queues", queues, T_BOTH },
	};

	return t_main(cases, sizeof(cases) / sizeof(*cases));
}
