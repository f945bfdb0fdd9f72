// SPDX-License-Identifier: MIT
/*
 * No wake-up is lost: whoever rings, or moves on what another queue waits for, finds the device awake
 * or wakes it.
 */
#include "harness.h"

#include <sched.h>
#include <stddef.h>

#define VA	0x40000000ull
#define N	(8u << 20)
#define HOST	(VA + (1ull << 30))
#define QUEUES	32u

static struct snpu_machine *m;
static struct t_drv d;
static uint64_t root;

static void start(unsigned int workers, unsigned int delays)
{
	uint64_t src, dst;

	m = t_machine_delays(1, workers, delays);
	t_drv_init(&d, m, 0);
	src = t_hbm_alloc(&d, N, SNPU_HUGE_SIZE);
	dst = t_hbm_alloc(&d, N, SNPU_HUGE_SIZE);
	root = t_ctx(&d, 1);
	t_map(&d, root, VA, N, T_LEAF_HBM(src));
	t_map(&d, root, VA + N, N, T_LEAF_HBM(dst));
}

static void end(void)
{
	t_drv_end(&d);
	t_machine_end(m);
}

/*
 * The leader goes to sleep while another worker is about to release a queue. It did not ask to be
 * woken for that queue, and the worker did not see it sleep: so it must not.
 */
static void released_while_arming(void)
{
	struct t_queue q[QUEUES];
	uint64_t rnd = 1;
	unsigned int i;

	start(2, 1);
	for (i = 0; i < QUEUES; i++)
		CHECK_EQ(t_queue(&d, &q[i], i, 1, root, 6, 1), SNPU_ADM_S_OK);
	for (i = 0; i < 400; i++) {
		t_copy(&q[0], VA, VA + N, N / 16 + t_rand(&rnd) % (N - N / 16));
		t_ring(&q[0]);
		if (!t_drain(&q[0])) {
			CHECK(false, "round %u: the copy does not run", i);
			break;
		}
		CHECK(T_WAIT(snpu_load(&q[1].cpl->need_wake)), "does not go to sleep");
		t_nop(&q[0]);
		t_ring(&q[0]);
		if (!t_drain(&q[0])) {
			CHECK(false, "round %u: the device sleeps, and was not woken", i);
			break;
		}
	}
	end();
}

/* A queue that waits for the completion index of another goes on when that is there */
static void index_of_a_long_batch(void)
{
	struct t_queue a, b;
	uint64_t done;
	unsigned int i;

	start(2, 0);
	CHECK_EQ(t_queue(&d, &a, 0, 1, root, 6, 1), SNPU_ADM_S_OK);
	CHECK_EQ(t_queue(&d, &b, 1, 1, root, 6, 1), SNPU_ADM_S_OK);
	t_map(&d, root, HOST, SNPU_PAGE_SIZE,
	      T_LEAF_HOST(a.cpl_addr & ~(uint64_t)(SNPU_PAGE_SIZE - 1)));
	t_await(&b, HOST + (a.cpl_addr & (SNPU_PAGE_SIZE - 1)) + offsetof(struct snpu_cpl, completed),
		SNPU_SEM_GE, 20, 0);
	t_ring(&b);
	CHECK(T_WAIT(snpu_load(&b.cpl->state) == SNPU_QSTATE_BLOCKED), "does not wait");
	for (i = 0; i < 60; i++)
		t_copy(&a, VA, VA + N, N);
	t_ring(&a);
	CHECK(t_drain(&b), "not woken at all");
	done = snpu_load_acq(&a.cpl->completed);
	CHECK(done >= 20 && done < 60, "woken when %llu of 60 packets were done",
	      (unsigned long long)done);
	CHECK(t_drain(&a), "the copies");
	end();
}

int main(int argc, char **argv)
{
	static const struct t_case cases[] = {
		{ "released_while_arming", released_while_arming },
		{ "index_of_a_long_batch", index_of_a_long_batch },
	};

	return t_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
}
