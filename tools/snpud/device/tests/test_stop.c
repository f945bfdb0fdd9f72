// SPDX-License-Identifier: MIT
/*
 * Everything that stops work, while there is work: on return nothing may be touched any more.
 */
#include "harness.h"

#include <pthread.h>
#include <sched.h>
#include <string.h>

#define VA	0x40000000ull
#define N	(2u << 20)
#define HOST	(VA + (1ull << 30))
#define LIMIT	1000000000ull

static struct snpu_machine *m;
static struct t_drv d;
static uint64_t root, src, dst, host;

static void setup_ctx(void)
{
	root = t_ctx(&d, 1);
	t_map(&d, root, VA, N, T_LEAF_HBM(src));
	t_map(&d, root, VA + N, N, T_LEAF_HBM(dst));
	t_map(&d, root, HOST, N, T_LEAF_HOST(host));
}

static void start(unsigned int workers)
{
	m = t_machine(1, workers, NULL);
	t_drv_init(&d, m, 0);
	src = t_hbm_alloc(&d, N, SNPU_HUGE_SIZE);
	dst = t_hbm_alloc(&d, N, SNPU_HUGE_SIZE);
	host = t_host_alloc(&d, N, SNPU_HUGE_SIZE);
	memset(d.hbm + src, 0x77, N);
	setup_ctx();
}

static void end(void)
{
	t_drv_end(&d);
	t_machine_end(m);
}

static void load(struct t_queue *q, uint64_t to)
{
	unsigned int i;

	for (i = 0; i < 60; i++)
		t_copy(q, VA, to, N);
	t_ring(q);
	CHECK(T_WAIT(snpu_load_acq(&q->cpl->completed) >= 1), "no progress");
}

static bool untouched(const uint8_t *p)
{
	uint64_t i;

	for (i = 0; i < N && !p[i]; i++)
		;
	return i == N;
}

static void destroy_under_load(void)
{
	unsigned int i, workers;

	for (workers = 1; workers <= 3; workers += 2) {
		start(workers);
		for (i = 0; i < 15; i++) {
			struct t_queue q, other;
			uint64_t t0;

			t_queue(&d, &q, 0, 1, root, 6, 1);
			t_queue(&d, &other, 1, 1, root, 6, 1);
			load(&q, VA + N);
			t_nop(&other);
			t_ring(&other);
			t0 = snpu_clock_ns();
			CHECK_EQ(t_queue_op(&q, SNPU_ADM_QUEUE_DESTROY), SNPU_ADM_S_OK);
			CHECK(snpu_clock_ns() - t0 < LIMIT, "slow");
			memset(d.hbm + dst, 0, N);
			CHECK_EQ(q.cpl->state, SNPU_QSTATE_STOPPED);
			CHECK(t_drain(&other), "the other queue");
			CHECK(untouched(d.hbm + dst), "written after destroy");
			CHECK_EQ(t_queue_op(&other, SNPU_ADM_QUEUE_DESTROY), SNPU_ADM_S_OK);
		}
		end();
	}
}

static void suspend_under_load(void)
{
	unsigned int i;

	start(2);
	for (i = 0; i < 10; i++) {
		struct t_queue q;
		uint64_t done;

		t_queue(&d, &q, 0, 1, root, 6, 1);
		load(&q, VA + N);
		CHECK_EQ(t_queue_op(&q, SNPU_ADM_QUEUE_SUSPEND), SNPU_ADM_S_OK);
		done = q.cpl->completed;
		memset(d.hbm + dst, 0, N);
		CHECK_EQ(q.cpl->state, SNPU_QSTATE_SUSPENDED);
		CHECK_EQ(t_inval(&d, 1, 0, 0), SNPU_ADM_S_OK);
		CHECK(untouched(d.hbm + dst), "written while suspended");
		CHECK_EQ(q.cpl->completed, done);
		CHECK_EQ(t_queue_op(&q, SNPU_ADM_QUEUE_RESUME), SNPU_ADM_S_OK);
		CHECK(t_drain(&q), "after resume");
		CHECK(done == 60 || d.hbm[dst + N - 1] == 0x77, "nothing copied");
		CHECK_EQ(t_queue_op(&q, SNPU_ADM_QUEUE_DESTROY), SNPU_ADM_S_OK);
	}
	end();
}

static void reset_under_load(void)
{
	unsigned int i;

	start(2);
	for (i = 0; i < 10; i++) {
		const uint32_t flr = 0x8000;
		struct t_queue q[4];
		unsigned int k;
		uint64_t t0;

		for (k = 0; k < 4; k++)
			t_queue(&d, &q[k], k, 1, root, 6, k % 3);
		for (k = 0; k < 4; k++)
			load(&q[k], k & 1 ? VA + N : HOST);
		t0 = snpu_clock_ns();
		if (i & 1)
			snpu_npu_reg_write(d.npu, SNPU_REG_RESET, 4, SNPU_RESET_MAGIC);
		else
			snpu_npu_cfg_write(d.npu, 0x58, &flr, 2);
		CHECK(snpu_clock_ns() - t0 < LIMIT, "slow");
		CHECK_EQ(snpu_npu_reg_read(d.npu, SNPU_REG_STATUS, 4), SNPU_STATUS_READY);
		CHECK_EQ(snpu_npu_reg_read(d.npu, SNPU_REG_ADMIN_ADDR, 8), 0);
		memset(d.hbm + dst, 0, N);
		memset(t_host_ptr(&d, host), 0, N);
		for (k = 0; k < 4; k++) {
			CHECK_EQ(q[k].cpl->state, SNPU_QSTATE_STOPPED);
			CHECK_EQ(q[k].cpl->error, SNPU_ERR_ABORTED);
		}
		/* a command without a mailbox goes nowhere, and then all starts anew */
		d.mb->seq = 4711;
		snpu_npu_reg_write(d.npu, SNPU_REG_ADMIN_DB, 4, 1);
		CHECK(d.mb->rsp_seq != 4711, "answered without an address");
		CHECK(untouched(d.hbm + dst) && untouched(t_host_ptr(&d, host)),
		      "written after reset");
		t_drv_setup(&d);
		setup_ctx();
	}
	/* one for the attach and one for each round */
	CHECK_EQ(snpu_npu_reg_read(d.npu, SNPU_REG_RESETS, 4), 11);
	end();
}

static void unmap_under_load(void)
{
	unsigned int i;

	start(3);
	for (i = 0; i < 15; i++) {
		struct snpu_queue_info info = { 0 };
		struct snpu_cpl cpl;
		struct t_queue q;
		uint64_t t0;

		t_queue(&d, &q, 0, 1, root, 6, 1);
		load(&q, HOST);
		snpu_store_rel(&d.host.mapped, 0);
		t0 = snpu_clock_ns();
		snpu_npu_bus_changed(d.npu);
		CHECK(snpu_clock_ns() - t0 < LIMIT, "slow");
		memset(t_host_ptr(&d, host), 0, N);
		memcpy(&cpl, (void *)q.cpl, sizeof(cpl));
		/* the copies before the unmap may all have been done */
		CHECK(T_WAIT(snpu_npu_get_queues(d.npu, &info, 1) == 1 &&
			     (info.state == SNPU_QSTATE_FAULT || info.completed == 60)),
		      "state %u, completed %llu", info.state, (unsigned long long)info.completed);
		if (info.completed < 60)
			CHECK_EQ(info.error, SNPU_ERR_BUS);
		CHECK(untouched(t_host_ptr(&d, host)), "written after unmap");
		CHECK(!memcmp(&cpl, (void *)q.cpl, sizeof(cpl)),
		      "told through memory that is gone");
		snpu_store_rel(&d.host.mapped, 1);
		CHECK_EQ(t_queue_op(&q, SNPU_ADM_QUEUE_DESTROY), SNPU_ADM_S_OK);
	}
	end();
}

static void hang_and_fatal(void)
{
	struct t_queue q, r;
	const struct snpu_event_entry *ev;

	start(2);
	t_queue(&d, &q, 0, 1, root, 6, 1);
	t_queue(&d, &r, 1, 1, root, 6, 1);
	CHECK_EQ(snpu_npu_inject_hang(d.npu, 0), 0);
	CHECK_EQ(snpu_npu_inject_hang(d.npu, 9), -ENOENT);
	CHECK_EQ(snpu_npu_inject_fault(d.npu, 9, 1), -ENOENT);
	CHECK_EQ(snpu_npu_inject_fault(d.npu, 0, 99), -EINVAL);
	t_nop(&q);
	t_ring(&q);
	t_nop(&r);
	t_ring(&r);
	CHECK(t_drain(&r), "the other queue");
	CHECK(T_WAIT(snpu_machine_sleeping(m)), "a hung queue keeps a worker busy");
	CHECK_EQ(q.cpl->completed, 0);
	CHECK_EQ(q.cpl->state, SNPU_QSTATE_RUN);
	CHECK_EQ(t_queue_op(&q, SNPU_ADM_QUEUE_SUSPEND), SNPU_ADM_S_BUSY);
	CHECK_EQ(t_queue_op(&q, SNPU_ADM_QUEUE_DESTROY), SNPU_ADM_S_OK);
	CHECK_EQ(snpu_npu_inject_fault(d.npu, 1, SNPU_ERR_INDEX), 0);
	CHECK(T_WAIT(snpu_load_acq(&r.cpl->state) == SNPU_QSTATE_FAULT), "not injected");
	CHECK_EQ(r.cpl->error, SNPU_ERR_INDEX);
	t_queue(&d, &q, 0, 1, root, 6, 1);
	load(&q, VA + N);
	snpu_npu_inject_fatal(d.npu, 7);
	CHECK_EQ(snpu_npu_reg_read(d.npu, SNPU_REG_STATUS, 4), SNPU_STATUS_FATAL);
	CHECK_EQ(t_admin(&d, SNPU_ADM_NOP), ~0u);
	CHECK_EQ(q.cpl->state, SNPU_QSTATE_FAULT);
	CHECK_EQ(q.cpl->error, SNPU_ERR_ABORTED);
	while ((ev = t_event(&d)) && ev->type != SNPU_EVT_FATAL)
		;
	CHECK(ev && ev->code == 7 && ev->queue == SNPU_EVT_NO_QUEUE, "no event");
	snpu_npu_reset(d.npu);
	CHECK_EQ(snpu_npu_reg_read(d.npu, SNPU_REG_STATUS, 4), SNPU_STATUS_READY);
	end();
}

/* Two heavy queues, and a third one that must not notice them */
static void heavy_does_not_stall_light(void)
{
	unsigned int workers;

	for (workers = 1; workers <= 2; workers++) {
		struct t_queue a, b, c;
		uint64_t worst = 0;
		unsigned int i;

		start(workers);
		t_queue(&d, &a, 0, 1, root, 6, 1);
		t_queue(&d, &b, 1, 1, root, 6, 1);
		t_queue(&d, &c, 2, 1, root, 6, 1);
		for (i = 0; i < 60; i++) {
			t_copy(&a, VA, VA + N, N);
			t_copy(&b, VA, HOST, N);
		}
		t_ring(&a);
		t_ring(&b);
		for (i = 0; i < 20; i++) {
			uint64_t t0 = snpu_clock_ns();

			t_nop(&c);
			t_ring(&c);
			CHECK(t_drain(&c), "light");
			t0 = snpu_clock_ns() - t0;
			worst = t0 > worst ? t0 : worst;
		}
		printf("# %u workers: slowest nop beside two copies %llu us\n", workers,
		       (unsigned long long)worst / 1000);
		CHECK(worst < LIMIT, "stalled");
		CHECK(t_drain(&a) && t_drain(&b), "heavy");
		end();
	}
}

struct churn {
	uint32_t stop;
	uint64_t rounds;
};

static void *invalidator(void *arg)
{
	struct churn *c = arg;

	while (!snpu_load(&c->stop)) {
		snpu_npu_bus_changed(d.npu);
		(void)snpu_add(&c->rounds, 1);
	}
	return NULL;
}

/* Quiescing all the time, from another thread, while everything else goes on */
static void churn(void)
{
	struct churn c = { 0 };
	struct t_queue q[3];
	unsigned int i, k;
	pthread_t t;

	start(3);
	for (k = 0; k < 3; k++)
		t_queue(&d, &q[k], k, 1, root, 6, k);
	CHECK(!pthread_create(&t, NULL, invalidator, &c), "thread");
	for (i = 0; (i < 30 || snpu_load(&c.rounds) < 200) && i < 20000 && !t_failures; i++) {
		for (k = 0; k < 3; k++) {
			t_copy(&q[k], VA, k == 1 ? HOST : VA + N, 200000);
			t_signal(&q[k], HOST + N - 64 + 8 * k, SNPU_SEM_SET, i);
			t_await(&q[k], HOST + N - 64 + 8 * ((k + 1) % 3), SNPU_SEM_GE, i, 0);
			t_ring(&q[k]);
		}
		for (k = 0; k < 3; k++)
			CHECK(t_drain(&q[k]), "round %u queue %u", i, k);
		CHECK_EQ(t_inval(&d, 1, VA, N), SNPU_ADM_S_OK);
	}
	snpu_store(&c.stop, 1);
	pthread_join(t, NULL);
	printf("# %llu invalidations in %u rounds\n", (unsigned long long)c.rounds, i);
	CHECK(c.rounds >= 200, "%llu", (unsigned long long)c.rounds);
	end();
}

int main(int argc, char **argv)
{
	static const struct t_case cases[] = {
		{ "destroy_under_load", destroy_under_load },
		{ "suspend_under_load", suspend_under_load },
		{ "reset_under_load", reset_under_load },
		{ "unmap_under_load", unmap_under_load },
		{ "hang_and_fatal", hang_and_fatal },
		{ "heavy_does_not_stall_light", heavy_does_not_stall_light },
		{ "churn", churn },
	};

	return t_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
}
