// SPDX-License-Identifier: MIT
/*
 * Collectives while the fabric fails: planes that go down are of no consequence, an NPU that is cut
 * off is an error for all ranks, and the others go on without it. Faults go through the control
 * socket.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include <snpu/coll.h>

#include "tap.h"

#define RANKS	16
#define COUNT	65536
#define BYTES	(COUNT * 4ull)
#define LOST	5

static struct t_dev dev[RANKS];
static struct snpu_coll *comm[RANKS];
static uint64_t pos[RANKS];

static int plane(unsigned int p, const char *state)
{
	char params[128];

	snprintf(params, sizeof(params), "{\"kind\":\"plane\",\"name\":\"%u\",\"state\":\"%s\"}", p,
		 state);
	return t_control("fabric.fault", params);
}

/* All ports of an NPU of the second half: host 0 has ranks 0 to 7 */
static int cut(unsigned int node)
{
	unsigned int die, p;
	char params[160];
	int ret = 0;

	for (die = 0; die < 2; die++) {
		for (p = 0; p < 7; p++) {
			snprintf(params, sizeof(params),
				 "{\"kind\":\"link\",\"name\":\"npu%u.%u-l1.%u.%u\","
				 "\"state\":\"down\"}", node, die, node / 8, p);
			ret |= t_control("fabric.fault", params);
		}
	}
	return ret;
}

static bool open_all(void)
{
	struct snpu_ctx *ctx[RANKS];
	unsigned int r;

	for (r = 0; r < RANKS; r++) {
		if (t_dev_open(&dev[r], r, BYTES, SNPU_MEM_HBM))
			return false;
		ctx[r] = dev[r].ctx;
	}
	if (!snpu_coll_init_all(comm, ctx, RANKS, NULL))
		return true;
	t_fail(__FILE__, __LINE__, "snpu_coll_init_all: %s", snpu_coll_last_error());
	return false;
}

static void close_all(void)
{
	unsigned int r;

	for (r = 0; r < RANKS; r++) {
		CHECK_EQ(snpu_coll_destroy(comm[r]), 0);
		comm[r] = NULL;
	}
	for (r = 0; r < RANKS; r++)
		t_dev_close(&dev[r]);
}

static void fill(unsigned int round)
{
	unsigned int r, i;

	for (r = 0; r < RANKS; r++)
		for (i = 0; i < COUNT; i++)
			((int32_t *)dev[r].p)[i] = (int32_t)(i * (r + 1) + round);
}

static unsigned int wrong(unsigned int r, unsigned int round, unsigned int without)
{
	unsigned int i, k, bad = 0, sum = 0, ranks = RANKS;

	for (k = 0; k < RANKS; k++)
		sum += k + 1;
	if (without < RANKS) {
		sum -= without + 1;
		ranks--;
	}
	for (i = 0; i < COUNT; i++)
		bad += ((int32_t *)dev[r].p)[i] != (int32_t)(i * sum + round * ranks);
	return bad;
}

static int start(struct snpu_coll *c, unsigned int r)
{
	int ret = snpu_coll_all_reduce(c, dev[r].q, dev[r].va, dev[r].va, COUNT, SNPU_DT_I32,
				       SNPU_COLL_SUM);

	return ret ? ret : snpu_queue_submit(dev[r].q, &pos[r]);
}

static atomic_bool done;

/* Up to six of seven planes at a time; the last one always stays */
static void *storm(void *arg)
{
	static const char *const states[] = { "down", "up", "flapping", "down", "up" };
	unsigned int i;
	intptr_t bad = 0;

	(void)arg;
	for (i = 0; !atomic_load(&done); i++)
		bad |= plane(i % 6, states[i % 5]);
	return (void *)bad;
}

static void planes(void)
{
	unsigned int r, round, bad = 0;
	pthread_t th;
	void *ret;

	NEED(open_all());
	/* one that is down from the begin */
	CHECK_EQ(plane(3, "down"), 0);
	atomic_store(&done, false);
	for (round = 0; round < 12; round++) {
		fill(round);
		if (round == 1)
			NEED(!pthread_create(&th, NULL, storm, NULL));
		for (r = 0; r < RANKS; r++)
			CHECK_EQ(start(comm[r], r), 0);
		for (r = 0; r < RANKS; r++)
			CHECK_EQ(snpu_queue_wait(dev[r].q, pos[r], T_LONG), 0);
		for (r = 0; r < RANKS; r++)
			bad += wrong(r, round, RANKS);
	}
	atomic_store(&done, true);
	pthread_join(th, &ret);
	CHECK(!ret);
	CHECK_EQ(bad, 0);
	for (r = 0; r < RANKS; r++)
		CHECK_EQ(snpu_coll_async_error(comm[r]), 0);
	CHECK_EQ(t_control("fabric.clear", "{}"), 0);
	close_all();
}

static void cut_off(void)
{
	const unsigned int excluded[] = { LOST };
	struct snpu_coll *small[RANKS] = { NULL };
	bool started[RANKS] = { false };
	struct snpu_port port;
	unsigned int r, bad = 0;
	uint64_t begin;
	int ret;

	NEED(open_all());
	for (r = 0; r < RANKS; r++)
		CHECK_EQ(r == 2 ? 0 : start(comm[r], r), 0);
	t_sleep_ms(20);
	/* all wait for rank 2 now, which comes when rank 5 has gone */
	CHECK_EQ(cut(LOST), 0);
	CHECK(snpu_get_ports(t_snpu(), LOST, &port, sizeof(port), 1) > 0);
	CHECK_EQ(port.state, SNPU_PORT_DOWN);
	CHECK_EQ(port.rate, 0);
	begin = t_now();
	ret = start(comm[2], 2);
	CHECK(!ret || ret == -EIO);
	started[2] = !ret;
	for (r = 0; r < RANKS; r++) {
		while (!snpu_coll_async_error(comm[r]) && t_now() < begin + SNPU_COLL_NOTICE_NS)
			t_sleep_ms(5);
		CHECK(snpu_coll_async_error(comm[r]) != 0);
	}
	printf("# all know after %llu ms\n", (unsigned long long)((t_now() - begin) / T_MS));
	for (r = 0; r < RANKS; r++)
		if (r != 2 || started[2])
			CHECK_EQ(snpu_queue_wait(dev[r].q, pos[r], T_LONG), -EIO);
	/* the others go on without it */
	for (r = 0; r < RANKS; r++) {
		CHECK_EQ(snpu_queue_destroy(dev[r].q), 0);
		dev[r].q = NULL;
		NEED(!snpu_queue_create(dev[r].ctx, NULL, &dev[r].q));
	}
	CHECK_EQ(snpu_coll_group_start(), 0);
	for (r = 0; r < RANKS; r++)
		if (r != LOST)
			CHECK_EQ(snpu_coll_shrink(comm[r], excluded, 1, &small[r], NULL), 0);
	ret = snpu_coll_group_end();
	if (ret)
		t_fail(__FILE__, __LINE__, "shrink: %d: %s", ret, snpu_coll_last_error());
	NEED(!ret);
	fill(7);
	for (r = 0; r < RANKS; r++)
		if (r != LOST)
			CHECK_EQ(start(small[r], r), 0);
	for (r = 0; r < RANKS; r++) {
		if (r == LOST)
			continue;
		CHECK_EQ(snpu_queue_wait(dev[r].q, pos[r], T_LONG), 0);
		bad += wrong(r, 7, LOST);
	}
	CHECK_EQ(bad, 0);
	for (r = 0; r < RANKS; r++)
		if (r != LOST)
			CHECK_EQ(snpu_coll_destroy(small[r]), 0);
	CHECK_EQ(t_control("fabric.clear", "{}"), 0);
	close_all();
}

/* When it is back, all 16 make a communicator again */
static void back(void)
{
	unsigned int r, bad = 0;

	NEED(open_all());
	fill(1);
	for (r = 0; r < RANKS; r++)
		CHECK_EQ(start(comm[r], r), 0);
	for (r = 0; r < RANKS; r++) {
		CHECK_EQ(snpu_queue_wait(dev[r].q, pos[r], T_LONG), 0);
		bad += wrong(r, 1, RANKS);
	}
	CHECK_EQ(bad, 0);
	close_all();
}

int main(void)
{
	static const struct t_case cases[] = {
		{ "planes go down and come back during all-reduces", planes, T_DIRECT },
		{ "an NPU is cut off: all know, the others go on", cut_off, T_DIRECT },
		{ "it is back", back, T_DIRECT },
	};

	return t_main(cases, sizeof(cases) / sizeof(*cases));
}
