// SPDX-License-Identifier: MIT
/*
 * Collectives when something goes wrong: a rank that does not come, aborts, stopped queues. All
 * ranks get to know, outstanding operations end, and a new communicator works.
 */
#include <pthread.h>
#include <stdio.h>

#include <snpu/coll.h>

#include "tap.h"

#define RANKS	5
#define COUNT	1000

struct world {
	struct t_dev dev[RANKS];
	struct snpu_coll *comm[RANKS];
	uint64_t pos[RANKS];
};

static bool world_open(struct world *w, uint64_t timeout_ns)
{
	struct snpu_coll_params params = { .field_mask = SNPU_COLL_PARAM_TIMEOUT,
					   .timeout_ns = timeout_ns };
	struct snpu_ctx *ctx[RANKS];
	unsigned int r;

	memset(w, 0, sizeof(*w));
	for (r = 0; r < RANKS; r++) {
		if (t_dev_open(&w->dev[r], r % snpu_count(t_snpu()), 8192, SNPU_MEM_HBM))
			return false;
		ctx[r] = w->dev[r].ctx;
	}
	if (!snpu_coll_init_all(w->comm, ctx, RANKS, &params))
		return true;
	t_fail(__FILE__, __LINE__, "snpu_coll_init_all: %s", snpu_coll_last_error());
	return false;
}

static void world_close(struct world *w)
{
	unsigned int r;

	for (r = 0; r < RANKS; r++)
		CHECK_EQ(snpu_coll_destroy(w->comm[r]), 0);
	for (r = 0; r < RANKS; r++)
		t_dev_close(&w->dev[r]);
}

static int start(struct world *w, unsigned int r)
{
	int ret = snpu_coll_all_reduce(w->comm[r], w->dev[r].q, w->dev[r].va, w->dev[r].va, COUNT,
				       SNPU_DT_I32, SNPU_COLL_SUM);

	return ret ? ret : snpu_queue_submit(w->dev[r].q, &w->pos[r]);
}

/* All ranks get to know within what the header states */
static void all_know(struct world *w, int error)
{
	uint64_t end = t_now() + SNPU_COLL_NOTICE_NS;
	unsigned int r;

	for (r = 0; r < RANKS; r++) {
		while (w->comm[r] && !snpu_coll_async_error(w->comm[r]) && t_now() < end)
			t_sleep_ms(5);
		if (w->comm[r])
			CHECK_EQ(snpu_coll_async_error(w->comm[r]), error);
	}
}

/* Ranks 0, 2, 4 wait for the others when one of them gives up */
static void abort_one(void)
{
	static struct world w;
	struct snpu_error err;
	unsigned int r;
	uint64_t begin;

	NEED(world_open(&w, T_LONG));
	for (r = 0; r < RANKS; r += 2)
		CHECK_EQ(start(&w, r), 0);
	t_sleep_ms(20);
	CHECK_EQ(snpu_queue_poll(w.dev[0].q, w.pos[0]), 0);
	CHECK_EQ(snpu_coll_async_error(w.comm[0]), 0);
	begin = t_now();
	CHECK_EQ(snpu_coll_abort(w.comm[2]), 0);
	all_know(&w, -ECANCELED);
	for (r = 0; r < RANKS; r += 2) {
		CHECK_EQ(snpu_queue_wait(w.dev[r].q, w.pos[r], T_LONG), -EIO);
		CHECK_EQ(snpu_queue_error(w.dev[r].q, &err, sizeof(err)), 0);
		CHECK(err.code == SNPU_ERR_OPCODE || err.code == SNPU_ERR_TIMEOUT);
	}
	CHECK(t_now() - begin < SNPU_COLL_NOTICE_NS);
	/* nothing more can be asked of it, and queues that had nothing go on */
	CHECK_EQ(start(&w, 1), -ECANCELED);
	CHECK_TEXT(snpu_coll_last_error(), "broken");
	snpu_prep_nop(t_pkt(w.dev[1].q));
	CHECK_EQ(t_run(w.dev[1].q), 0);
	world_close(&w);
}

/* Takes all of the HBM; returns how many pieces */
static unsigned int fill(struct snpu_ctx *ctx, struct snpu_mem **mem, unsigned int max)
{
	unsigned int n = 0;
	uint64_t bytes;

	for (bytes = 1ull << 40; bytes >= SNPU_PAGE_SIZE; bytes /= 2)
		while (n < max && !snpu_mem_alloc(ctx, bytes, SNPU_MEM_HBM, &mem[n]))
			n++;
	return n;
}

/* The same with no memory left: it must not take any to wake an NPU that sleeps */
static void abort_full(void)
{
	static struct snpu_mem *mem[RANKS][256];
	unsigned int n[RANKS], r, i;
	static struct world w;
	uint64_t begin;

	NEED(world_open(&w, T_LONG));
	for (r = 0; r < RANKS; r += 2)
		CHECK_EQ(start(&w, r), 0);
	for (r = 0; r < RANKS; r++)
		n[r] = fill(w.dev[r].ctx, mem[r], 256);
	/* the NPUs go to sleep within a millisecond or two */
	t_sleep_ms(50);
	begin = t_now();
	CHECK_EQ(snpu_coll_abort(w.comm[2]), 0);
	for (r = 0; r < RANKS; r += 2)
		CHECK_EQ(snpu_queue_wait(w.dev[r].q, w.pos[r], T_LONG), -EIO);
	CHECK(t_now() - begin < SNPU_COLL_NOTICE_NS);
	for (r = 0; r < RANKS; r++)
		for (i = 0; i < n[r]; i++)
			CHECK_EQ(snpu_mem_free(mem[r][i]), 0);
	world_close(&w);
}

/* A rank never comes: the wait of another runs out, and all know */
static void late(void)
{
	static struct world w;
	unsigned int r;

	NEED(world_open(&w, 200 * T_MS));
	for (r = 0; r < RANKS - 1; r++)
		CHECK_EQ(start(&w, r), 0);
	for (r = 0; r < RANKS - 1; r++)
		CHECK_EQ(snpu_queue_wait(w.dev[r].q, w.pos[r], T_LONG), -EIO);
	all_know(&w, -ETIMEDOUT);
	world_close(&w);
}

/* A rank's queue faults in front of the operation */
static void fault(void)
{
	bool started[RANKS] = { false };
	static struct world w;
	unsigned int r;

	NEED(world_open(&w, T_LONG));
	snpu_prep_copy(t_pkt(w.dev[3].q), 1ull << 46, w.dev[3].va, 64);
	for (r = 0; r < RANKS; r++) {
		int ret = start(&w, r);

		/* whoever comes late may have been told already */
		CHECK(!ret || ret == -EIO);
		started[r] = !ret;
	}
	all_know(&w, -EIO);
	CHECK(started[0]);
	for (r = 0; r < RANKS; r++) {
		if (started[r] && snpu_queue_wait(w.dev[r].q, w.pos[r], T_LONG) != -EIO)
			t_fail(__FILE__, __LINE__, "rank %u ended without an error", r);
	}
	world_close(&w);
}

/* A rank is destroyed, with its memory, in the middle of an operation of the others */
static void vanish(void)
{
	static struct world w;
	unsigned int r;

	NEED(world_open(&w, T_LONG));
	for (r = 1; r < RANKS; r++)
		CHECK_EQ(start(&w, r), 0);
	t_sleep_ms(20);
	CHECK_EQ(snpu_coll_abort(w.comm[0]), 0);
	CHECK_EQ(snpu_coll_destroy(w.comm[0]), 0);
	w.comm[0] = NULL;
	all_know(&w, -ECANCELED);
	for (r = 1; r < RANKS; r++)
		CHECK_EQ(snpu_queue_wait(w.dev[r].q, w.pos[r], T_LONG), -EIO);
	world_close(&w);
}

/* A rank is done and leaves, while one that probes it waits for another for some seconds */
static void leave(void)
{
	static struct world w;
	unsigned int r;

	NEED(world_open(&w, T_LONG));
	for (r = 0; r < RANKS; r++)
		CHECK_EQ(start(&w, r), 0);
	for (r = 0; r < RANKS; r++)
		CHECK_EQ(snpu_queue_wait(w.dev[r].q, w.pos[r], T_LONG), 0);
	CHECK_EQ(snpu_coll_recv(w.comm[1], w.dev[1].q, w.dev[1].va, COUNT, SNPU_DT_I32, 0), 0);
	CHECK_EQ(snpu_queue_submit(w.dev[1].q, &w.pos[1]), 0);
	for (r = 3; r > 1; r--) {
		CHECK_EQ(snpu_coll_destroy(w.comm[r]), 0);
		w.comm[r] = NULL;
	}
	t_sleep_ms(2500);
	CHECK_EQ(snpu_coll_async_error(w.comm[1]), 0);
	CHECK_EQ(snpu_queue_poll(w.dev[1].q, w.pos[1]), 0);
	CHECK_EQ(snpu_coll_send(w.comm[0], w.dev[0].q, w.dev[0].va, COUNT, SNPU_DT_I32, 1), 0);
	CHECK_EQ(snpu_queue_submit(w.dev[0].q, &w.pos[0]), 0);
	for (r = 0; r < 2; r++)
		CHECK_EQ(snpu_queue_wait(w.dev[r].q, w.pos[r], T_LONG), 0);
	/* an operation of all needs those that left */
	CHECK_EQ(start(&w, 4), -ECONNRESET);
	CHECK_TEXT(snpu_coll_last_error(), "destroyed after fewer operations");
	all_know(&w, -ECONNRESET);
	world_close(&w);
}

/* A rank leaves without the operation that another has called */
static void early(void)
{
	static struct world w;

	NEED(world_open(&w, T_LONG));
	CHECK_EQ(start(&w, 1), 0);
	CHECK_EQ(snpu_coll_destroy(w.comm[3]), 0);
	w.comm[3] = NULL;
	all_know(&w, -ECONNRESET);
	CHECK_EQ(snpu_queue_wait(w.dev[1].q, w.pos[1], T_LONG), -EIO);
	world_close(&w);
}

/* The same contexts make a new communicator after that, with new queues */
static void again(void)
{
	struct snpu_ctx *ctx[RANKS - 1];
	struct snpu_coll *comm[RANKS - 1];
	static struct world w;
	unsigned int r, i;

	NEED(world_open(&w, T_LONG));
	for (r = 0; r < RANKS; r++)
		CHECK_EQ(r == 2 ? 0 : start(&w, r), 0);
	CHECK_EQ(snpu_coll_abort(w.comm[1]), 0);
	all_know(&w, -ECANCELED);
	for (r = i = 0; r < RANKS; r++) {
		if (r == 2)
			continue;
		CHECK_EQ(snpu_queue_destroy(w.dev[r].q), 0);
		w.dev[r].q = NULL;
		CHECK_EQ(snpu_coll_destroy(w.comm[r]), 0);
		w.comm[r] = NULL;
		NEED(!snpu_queue_create(w.dev[r].ctx, NULL, &w.dev[r].q));
		ctx[i++] = w.dev[r].ctx;
		for (uint64_t k = 0; k < COUNT; k++)
			((int32_t *)w.dev[r].p)[k] = (int32_t)(k + r);
	}
	NEED(!snpu_coll_init_all(comm, ctx, RANKS - 1, NULL));
	for (r = i = 0; r < RANKS; r++) {
		if (r == 2)
			continue;
		CHECK_EQ(snpu_coll_all_reduce(comm[i++], w.dev[r].q, w.dev[r].va, w.dev[r].va,
					      COUNT, SNPU_DT_I32, SNPU_COLL_SUM), 0);
		CHECK_EQ(snpu_queue_submit(w.dev[r].q, &w.pos[r]), 0);
	}
	for (r = 0; r < RANKS; r++) {
		if (r == 2)
			continue;
		CHECK_EQ(snpu_queue_wait(w.dev[r].q, w.pos[r], T_LONG), 0);
		CHECK_EQ(((int32_t *)w.dev[r].p)[COUNT - 1], 4 * (COUNT - 1) + 8);
	}
	for (i = 0; i < RANKS - 1; i++)
		CHECK_EQ(snpu_coll_destroy(comm[i]), 0);
	world_close(&w);
}

int main(void)
{
	static const struct t_case cases[] = {
		{ "an abort reaches all ranks and ends what is outstanding", abort_one, T_BOTH },
		{ "an abort wakes NPUs that sleep, and needs no memory for it", abort_full, T_DIRECT },
		{ "a rank that does not come in time", late, T_BOTH },
		{ "a queue that faults", fault, T_BOTH },
		{ "a rank that vanishes", vanish, T_BOTH },
		{ "a rank that leaves is not dead", leave, T_BOTH },
		{ "a rank that leaves too early", early, T_BOTH },
		{ "a new communicator without one rank", again, T_BOTH },
	};

	return t_main(cases, sizeof(cases) / sizeof(*cases));
}
