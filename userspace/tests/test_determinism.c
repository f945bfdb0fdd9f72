// SPDX-License-Identifier: MIT
/*
 * A program of several NPUs for virtual time: copies, matrices, semaphores between NPUs, a command
 * buffer, collectives, timestamps. Prints every time it is told, which must not depend on anything
 * but the program: test_determinism.sh compares. SNPU_TEST_SEED: it sleeps at random places.
 */
#include <stdio.h>
#include <time.h>

#include <snpu/coll.h>

#include "tap.h"

#define NPUS	8u
#define BYTES	(8u << 20)
#define PART	(1u << 20)
#define ROUNDS	3u
#define DIM	256u

static struct t_dev dev[NPUS];
static struct snpu_queue *side[NPUS];
static struct snpu_event *ready[NPUS];
static struct snpu_mem *peer[NPUS];
static struct snpu_coll *comm[NPUS];
static unsigned int npus;
static uint64_t seed;

/* Doorbells are late now and then */
static void delay(void)
{
	struct timespec ts = { 0 };

	if (!seed)
		return;
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	ts.tv_nsec = (long)(seed >> 20) % 3000000;
	if (!(seed & 3) && ts.tv_nsec > 0)
		nanosleep(&ts, NULL);
}

static uint64_t submit(struct snpu_queue *q)
{
	uint64_t pos = 0;

	delay();
	CHECK_EQ(snpu_queue_submit(q, &pos), 0);
	return pos;
}

static void tell(const char *what, unsigned int npu, struct snpu_queue *q, uint64_t pos)
{
	struct snpu_vtime vt = { 0 };

	CHECK_EQ(snpu_queue_vtime(q, pos, T_LONG, &vt, sizeof(vt)), 0);
	printf("# time %s %u: %llu %llu %llu\n", what, npu, (unsigned long long)vt.begin,
	       (unsigned long long)vt.end, (unsigned long long)vt.busy);
}

/* Each NPU computes, waits for the one before, and gives the next one its part; all at once */
static void ring(void)
{
	uint64_t pos[NPUS], pos2[NPUS], va, wait;
	struct snpu_cmdbuf *cb[NPUS];
	unsigned int i, r, next;

	for (i = 0; i < npus; i++) {
		CHECK_EQ(snpu_event_create(dev[i].ctx, &ready[i]), 0);
		CHECK_EQ(snpu_mem_share(dev[i].ctx, dev[(i + 1) % npus].mem, 0, &peer[i]), 0);
		CHECK_EQ(snpu_queue_create(dev[i].ctx, NULL, &side[i]), 0);
		CHECK_EQ(snpu_cmdbuf_create(dev[i].ctx, 8, &cb[i]), 0);
		snpu_prep_matmul(snpu_cmdbuf_get(cb[i]), 0, SNPU_DT_F32, SNPU_DT_F32,
				 dev[i].va + 6 * PART, dev[i].va + 4 * PART, dev[i].va + 5 * PART, 0,
				 DIM, DIM, DIM);
		snpu_prep_fill(snpu_cmdbuf_get(cb[i]), dev[i].va + 7 * PART, PART, i, 4);
	}
	for (r = 1; r <= ROUNDS; r++) {
		for (i = 0; i < npus; i++) {
			next = (i + 1) % npus;
			CHECK_EQ(snpu_event_va(ready[i], dev[i].ctx, &wait), 0);
			CHECK_EQ(snpu_event_va(ready[next], dev[i].ctx, &va), 0);
			CHECK_EQ(snpu_queue_put_cmdbuf(side[i], cb[i]), 0);
			/* the ring starts at NPU 0 */
			snpu_prep_wait(t_pkt(dev[i].q), wait, i ? r : r - 1, SNPU_SEM_GE, 0);
			snpu_prep_copy_signal(t_pkt(dev[i].q), snpu_mem_va(peer[i]) + PART,
					      dev[i].va, PART, va, 1, SNPU_SEM_ADD);
			snpu_prep_eltwise(t_pkt(dev[i].q), SNPU_ELT_ADD, SNPU_DT_F32,
					  dev[i].va + 3 * PART, dev[i].va + 2 * PART,
					  dev[i].va + 3 * PART, PART / 4);
			pos[i] = submit(dev[i].q);
			pos2[i] = submit(side[i]);
		}
	}
	for (i = 0; i < npus; i++) {
		CHECK_EQ(snpu_queue_wait(dev[i].q, pos[i], T_LONG), 0);
		CHECK_EQ(snpu_queue_wait(side[i], pos2[i], T_LONG), 0);
	}
	for (i = 0; i < npus; i++) {
		tell("ring", i, dev[i].q, pos[i]);
		tell("side", i, side[i], pos2[i]);
	}
	for (i = 0; i < npus; i++) {
		CHECK_EQ(snpu_cmdbuf_destroy(cb[i]), 0);
		CHECK_EQ(snpu_queue_destroy(side[i]), 0);
	}
}

static void collectives(void)
{
	struct snpu_ctx *ctx[NPUS];
	uint64_t pos[NPUS];
	unsigned int i;

	for (i = 0; i < npus; i++)
		ctx[i] = dev[i].ctx;
	CHECK_EQ(snpu_coll_init_all(comm, ctx, npus, NULL), 0);
	for (i = 0; i < npus; i++) {
		CHECK_EQ(snpu_coll_all_reduce(comm[i], dev[i].q, dev[i].va, dev[i].va + 4 * PART,
					      PART / 4, SNPU_DT_F32, SNPU_COLL_SUM), 0);
		pos[i] = submit(dev[i].q);
	}
	for (i = 0; i < npus; i++)
		CHECK_EQ(snpu_queue_wait(dev[i].q, pos[i], T_LONG), 0);
	for (i = 0; i < npus; i++) {
		CHECK_EQ(snpu_coll_all_to_all(comm[i], dev[i].q, dev[i].va, dev[i].va + 4 * PART,
					      4096, SNPU_DT_F32), 0);
		pos[i] = submit(dev[i].q);
	}
	for (i = 0; i < npus; i++)
		CHECK_EQ(snpu_queue_wait(dev[i].q, pos[i], T_LONG), 0);
	for (i = 0; i < npus; i++)
		tell("coll", i, dev[i].q, pos[i]);
	for (i = 0; i < npus; i++)
		CHECK_EQ(snpu_coll_destroy(comm[i]), 0);
}

/* Packets with lists: flows that have an end on every NPU */
static void lists(void)
{
	struct snpu_coll_params params = {
		.field_mask = SNPU_COLL_PARAM_ALGO | SNPU_COLL_PARAM_SLOT,
		.algo = SNPU_COLL_SWITCH, .slot_bytes = 16384,
	};
	struct snpu_ctx *ctx[NPUS];
	uint64_t pos[NPUS];
	unsigned int i;

	for (i = 0; i < npus; i++)
		ctx[i] = dev[i].ctx;
	CHECK_EQ(snpu_coll_init_all(comm, ctx, npus, &params), 0);
	for (i = 0; i < npus; i++)
		CHECK_EQ(snpu_coll_register(comm[i], dev[i].mem), 0);
	for (i = 0; i < npus; i++) {
		CHECK_EQ(snpu_coll_all_reduce(comm[i], dev[i].q, dev[i].va, dev[i].va + 4 * PART,
					      PART / 4, SNPU_DT_BF16, SNPU_COLL_SUM), 0);
		pos[i] = submit(dev[i].q);
	}
	for (i = 0; i < npus; i++)
		CHECK_EQ(snpu_queue_wait(dev[i].q, pos[i], T_LONG), 0);
	for (i = 0; i < npus; i++)
		tell("lists", i, dev[i].q, pos[i]);
	for (i = 0; i < npus; i++)
		CHECK_EQ(snpu_coll_destroy(comm[i]), 0);
}

/* What the host was told goes back into the machine */
static void host_loop(void)
{
	struct snpu_vtime vt;
	unsigned int i, r;
	uint64_t pos = 0;

	for (r = 0; r < ROUNDS; r++) {
		for (i = 0; i < npus; i++) {
			snpu_prep_copy(t_pkt(dev[i].q), snpu_mem_va(peer[i]), dev[i].va, PART >> r);
			pos = submit(dev[i].q);
		}
		CHECK_EQ(snpu_queue_vtime(dev[npus - 1].q, pos, T_LONG, &vt, sizeof(vt)), 0);
		tell("host", r, dev[npus - 1].q, pos);
		CHECK_EQ(snpu_time_sync(t_snpu(), vt.end + 1000 * r), 0);
	}
}

/* Every queue is complete before the last one lets all go: whatever the delays, they stand together */
static void stamps(void)
{
	struct snpu_event *go;
	uint64_t va, pos[NPUS];
	unsigned int i;

	CHECK_EQ(snpu_event_create(dev[0].ctx, &go), 0);
	for (i = 0; i < npus; i++) {
		CHECK_EQ(snpu_event_va(go, dev[i].ctx, &va), 0);
		if (i == npus - 1)
			snpu_prep_signal(t_pkt(dev[i].q), va, 1, SNPU_SEM_SET);
		snpu_prep_wait(t_pkt(dev[i].q), va, 1, SNPU_SEM_GE, 0);
		snpu_prep_copy(t_pkt(dev[i].q), snpu_mem_va(peer[i]) + PART, dev[i].va,
			       PART >> (i % 3));
		snpu_prep_vtimestamp(t_pkt(dev[i].q), dev[i].va);
		snpu_prep_copy(t_pkt(dev[i].q), snpu_mem_va(peer[i]) + PART, dev[i].va, PART);
		snpu_prep_vtimestamp(t_pkt(dev[i].q), dev[i].va + 8);
		pos[i] = submit(dev[i].q);
	}
	for (i = 0; i < npus; i++) {
		CHECK_EQ(snpu_queue_wait(dev[i].q, pos[i], T_LONG), 0);
		printf("# time stamp %u: %llu %llu\n", i,
		       (unsigned long long)((uint64_t *)dev[i].p)[0],
		       (unsigned long long)((uint64_t *)dev[i].p)[1]);
	}
	CHECK_EQ(snpu_event_destroy(go), 0);
}

static void all(void)
{
	unsigned int i;

	for (i = 0; i < npus; i++)
		NEED(!t_dev_open(&dev[i], i, BYTES, SNPU_MEM_HBM));
	ring();
	collectives();
	lists();
	host_loop();
	stamps();
	for (i = 0; i < npus; i++) {
		CHECK_EQ(snpu_mem_free(peer[i]), 0);
		CHECK_EQ(snpu_event_destroy(ready[i]), 0);
	}
	for (i = 0; i < npus; i++)
		t_dev_close(&dev[i]);
}

int main(void)
{
	static const struct t_case cases[] = {
		{ "a program in virtual time", all, T_BOTH },
	};
	const char *s = getenv("SNPU_TEST_SEED");
	struct snpu_info info;

	seed = s ? strtoull(s, NULL, 0) * 0x9e3779b97f4a7c15ull : 0;
	npus = snpu_count(t_snpu());
	npus = npus < NPUS ? npus : NPUS;
	if (snpu_get_info(t_snpu(), 0, &info, sizeof(info)) || !(info.caps & SNPU_CAP_TIMING)) {
		printf("Bail out! the machine keeps no virtual time: snpud --timing\n");
		return 1;
	}
	return t_main(cases, sizeof(cases) / sizeof(cases[0]));
}
