// SPDX-License-Identifier: MIT
/*
 * Queues: life cycle, order, priorities, doorbells, semaphores, indirect buffers, completion.
 */
#include "harness.h"

#include <sched.h>
#include <string.h>

#define VA	0x10000000ull

static struct snpu_machine *m;
static struct t_drv d, e;

static uint64_t start(unsigned int npus, unsigned int workers, uint64_t *mem)
{
	uint64_t root;

	m = t_machine(npus, workers, NULL);
	t_drv_init(&d, m, 0);
	root = t_ctx(&d, 1);
	*mem = t_hbm_alloc(&d, 1u << 20, SNPU_HUGE_SIZE);
	memset(d.hbm + *mem, 0, 1u << 20);
	t_map(&d, root, VA, 1u << 20, T_LEAF_HBM(*mem));
	return root;
}

static void end(void)
{
	t_drv_end(&d);
	t_machine_end(m);
}

static void life_cycle(void)
{
	uint64_t mem, root = start(1, 2, &mem);
	struct t_queue q;
	int i;

	for (i = 0; i < 50; i++) {
		unsigned int k;

		CHECK_EQ(t_queue(&d, &q, 3, 1, root, 4 + i % 3, 1), SNPU_ADM_S_OK);
		CHECK_EQ(q.cpl->state, SNPU_QSTATE_RUN);
		for (k = 0; k < 3 * q.entries; k++) {
			t_nop(&q);
			if (k % q.entries == q.entries - 1) {
				t_ring(&q);
				CHECK(t_drain(&q), "round %d", i);
			}
		}
		CHECK_EQ(q.cpl->completed, q.head);
		CHECK(q.cpl->time_ns != 0, "no time");
		CHECK_EQ(t_queue_op(&q, SNPU_ADM_QUEUE_DESTROY), SNPU_ADM_S_OK);
		CHECK_EQ(q.cpl->state, SNPU_QSTATE_STOPPED);
		CHECK_EQ(t_queue_op(&q, SNPU_ADM_QUEUE_DESTROY), SNPU_ADM_S_NOENT);
		/* the same addresses again would be mapped twice */
		d.mb->ctx.ctx = 1;
		CHECK_EQ(t_admin(&d, SNPU_ADM_CTX_DESTROY), SNPU_ADM_S_OK);
		root = t_ctx(&d, 1);
	}
	end();
}

static void suspend_resume(void)
{
	uint64_t mem, root = start(1, 2, &mem);
	struct t_queue q;

	t_queue(&d, &q, 0, 1, root, 6, 1);
	CHECK_EQ(t_queue_op(&q, SNPU_ADM_QUEUE_SUSPEND), SNPU_ADM_S_OK);
	CHECK_EQ(q.cpl->state, SNPU_QSTATE_SUSPENDED);
	t_signal(&q, VA, SNPU_SEM_SET, 7);
	t_ring(&q);
	snpu_npu_reg_write(d.npu, SNPU_REG_WAKE, 4, 1);
	CHECK_EQ(t_queue_op(&q, SNPU_ADM_QUEUE_SUSPEND), SNPU_ADM_S_OK);
	CHECK_EQ(q.cpl->completed, 0);
	CHECK_EQ(*(uint64_t *)(d.hbm + mem), 0);
	CHECK_EQ(t_queue_op(&q, SNPU_ADM_QUEUE_RESUME), SNPU_ADM_S_OK);
	CHECK(t_drain(&q), "after resume");
	CHECK_EQ(*(uint64_t *)(d.hbm + mem), 7);
	/* a wait that is suspended goes on afterwards */
	t_await(&q, VA + 8, SNPU_SEM_EQ, 1, 0);
	t_ring(&q);
	CHECK(T_WAIT(q.cpl->state == SNPU_QSTATE_BLOCKED), "state %u", q.cpl->state);
	CHECK_EQ(t_queue_op(&q, SNPU_ADM_QUEUE_SUSPEND), SNPU_ADM_S_OK);
	*(uint64_t *)(d.hbm + mem + 8) = 1;
	CHECK_EQ(t_queue_op(&q, SNPU_ADM_QUEUE_RESUME), SNPU_ADM_S_OK);
	CHECK(t_drain(&q), "wait after resume");
	end();
}

static void doorbell(uint64_t first, uint64_t second)
{
	uint64_t mem, root = start(1, 1, &mem);
	const struct snpu_event_entry *ev;
	struct t_queue q;
	unsigned int i;

	t_queue(&d, &q, 1, 1, root, 4, 1);
	for (i = 0; i < first; i++)
		t_nop(&q);
	t_ring(&q);
	CHECK(t_drain(&q), "first");
	q.head = second;
	t_ring(&q);
	CHECK(T_WAIT(snpu_load_acq(&q.cpl->state) == SNPU_QSTATE_FAULT), "state %u", q.cpl->state);
	CHECK_EQ(q.cpl->error, SNPU_ERR_DOORBELL);
	CHECK_EQ(q.cpl->completed, first);
	CHECK_EQ(q.cpl->fault_index, first);
	CHECK(T_WAIT(snpu_load_acq(&d.ev->prod)), "no event");
	ev = t_event(&d);
	CHECK(ev && ev->type == SNPU_EVT_QUEUE_FAULT && ev->queue == 1 &&
	      ev->code == SNPU_ERR_DOORBELL, "event");
	end();
}

static void doorbell_garbage(void)
{
	doorbell(5, 4);		/* goes back */
	doorbell(5, 5 + 17);	/* more than a ring ahead */
	doorbell(0, ~0ull);
	doorbell(3, 1ull << 63);
}

static void faults_stop_one_queue(void)
{
	static const struct {
		unsigned int op;
		uint64_t addr;
		unsigned int err;
	} cases[] = {
		{ 0xff, 0, SNPU_ERR_OPCODE },
		{ SNPU_OP_SEM_SIGNAL, VA + 4, SNPU_ERR_ALIGN },
		{ SNPU_OP_SEM_SIGNAL, 0x5000, SNPU_ERR_UNMAPPED },
		{ SNPU_OP_SEM_WAIT, 1ull << 48, SNPU_ERR_FIELD },
		{ SNPU_OP_TIMESTAMP, VA + (1 << 20), SNPU_ERR_UNMAPPED },
	};
	uint64_t mem, root = start(1, 2, &mem);
	struct t_queue good, q;
	unsigned int i;

	t_queue(&d, &good, 0, 1, root, 6, 1);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		union snpu_pkt *p;

		t_queue(&d, &q, 1 + i, 1, root, 6, 1);
		t_nop(&q);
		t_nop(&q);
		p = t_put(&q, cases[i].op);
		p->q[1] = cases[i].addr;
		t_nop(&q);
		t_ring(&q);
		CHECK(!t_drain(&q), "case %u went through", i);
		CHECK_EQ(q.cpl->state, SNPU_QSTATE_FAULT);
		CHECK_EQ(q.cpl->error, cases[i].err);
		CHECK_EQ(q.cpl->error_aux, cases[i].op);
		CHECK_EQ(q.cpl->completed, 2);
		CHECK_EQ(q.cpl->fault_index, 2);
		if (cases[i].err == SNPU_ERR_UNMAPPED)
			CHECK_EQ(q.cpl->fault_va, cases[i].addr);
		t_nop(&good);
		t_ring(&good);
		CHECK(t_drain(&good), "the other queue, case %u", i);
		CHECK_EQ(t_queue_op(&q, SNPU_ADM_QUEUE_DESTROY), SNPU_ADM_S_OK);
	}
	end();
}

/* HIGH finishes all its packets before LOW begins; equals take turns */
static void priorities(void)
{
	const unsigned int n = 1024;
	uint64_t mem, root = start(1, 1, &mem), lo_first, hi_last;
	struct t_queue lo, hi, peer;
	uint64_t *ts = (uint64_t *)(d.hbm + mem);
	unsigned int i;

	t_queue(&d, &lo, 0, 1, root, 11, SNPU_PRIO_LOW);
	t_queue(&d, &hi, 1, 1, root, 11, SNPU_PRIO_HIGH);
	t_queue(&d, &peer, 2, 1, root, 11, SNPU_PRIO_LOW);
	CHECK(T_WAIT(snpu_machine_sleeping(m)), "does not sleep");
	for (i = 0; i < n; i++) {
		t_put(&lo, SNPU_OP_TIMESTAMP)->misc.addr = VA + i * 8;
		t_put(&hi, SNPU_OP_TIMESTAMP)->misc.addr = VA + (n + i) * 8;
		t_put(&peer, SNPU_OP_TIMESTAMP)->misc.addr = VA + (2 * n + i) * 8;
	}
	/* HIGH first: the device may be about to wake up by itself */
	snpu_store_rel(hi.db, hi.head);
	snpu_store_rel(lo.db, lo.head);
	snpu_store_rel(peer.db, peer.head);
	snpu_npu_reg_write(d.npu, SNPU_REG_WAKE, 4, 1);
	CHECK(t_drain(&lo) && t_drain(&hi) && t_drain(&peer), "drain");
	lo_first = ts[0];
	hi_last = ts[2 * n - 1];
	CHECK(hi_last <= lo_first, "HIGH ended %llu ns after LOW began",
	      (unsigned long long)(hi_last - lo_first));
	/* in turns: neither ends before the other has done most of its work */
	CHECK(ts[n - 1] > ts[2 * n + n / 2] && ts[3 * n - 1] > ts[n / 2], "no round robin");
	end();
}

static void semaphores(void)
{
	uint64_t mem, root = start(2, 2, &mem), iova, root2, mem2;
	struct t_queue a, b;
	uint64_t *sem;

	t_drv_init(&e, m, 1);
	root2 = t_ctx(&e, 1);
	mem2 = t_hbm_alloc(&e, 4096, 4096);
	t_map(&e, root2, VA, 4096, T_LEAF_HBM(mem2));
	/* semaphores in host memory of NPU 0, which NPU 1 reaches by its own host: shared here */
	iova = t_host_alloc(&d, 4096, 4096);
	sem = t_host_ptr(&d, iova);
	t_map(&d, root, VA + (2u << 20), 4096, T_LEAF_HOST(iova));
	t_queue(&d, &a, 0, 1, root, 6, 1);
	t_queue(&d, &b, 1, 1, root, 6, 1);
	/* ping-pong between two queues, one semaphore each way */
	for (int i = 1; i <= 20; i++) {
		t_await(&a, VA, SNPU_SEM_GE, i, 0);
		t_signal(&a, VA + 8, SNPU_SEM_ADD, 1);
		t_signal(&b, VA, SNPU_SEM_SET, i);
		t_await(&b, VA + 8, SNPU_SEM_EQ, i, 0);
	}
	t_ring(&a);
	t_ring(&b);
	CHECK(t_drain(&a) && t_drain(&b), "ping-pong");
	CHECK_EQ(((uint64_t *)(d.hbm + mem))[1], 20);
	/* the CPU signals a sleeping device */
	t_await(&a, VA + (2u << 20), SNPU_SEM_GE, 5, 0);
	t_ring(&a);
	CHECK(T_WAIT(snpu_load(&a.cpl->state) == SNPU_QSTATE_BLOCKED), "state %u", a.cpl->state);
	CHECK(T_WAIT(snpu_machine_sleeping(m)), "a waiting queue keeps the device awake");
	CHECK_EQ(a.cpl->need_wake, 1);
	snpu_store_rel(sem, 5);
	snpu_mb();
	if (snpu_load(&a.cpl->need_wake))
		snpu_npu_reg_write(d.npu, SNPU_REG_WAKE, 4, 1);
	CHECK(t_drain(&a), "CPU signal");
	CHECK_EQ(a.cpl->state, SNPU_QSTATE_RUN);
	t_drv_end(&e);
	end();
}

static void sem_timeout(void)
{
	uint64_t mem, root = start(1, 2, &mem), t0;
	struct t_queue a, b;

	t_queue(&d, &a, 0, 1, root, 6, 1);
	t_queue(&d, &b, 1, 1, root, 6, 1);
	t_nop(&a);
	t_await(&a, VA + 16, SNPU_SEM_EQ, 1, 20000000);
	t0 = snpu_clock_ns();
	t_ring(&a);
	CHECK(!t_drain(&a), "went through");
	CHECK_EQ(a.cpl->state, SNPU_QSTATE_FAULT);
	CHECK_EQ(a.cpl->error, SNPU_ERR_TIMEOUT);
	CHECK_EQ(a.cpl->fault_va, VA + 16);
	CHECK_EQ(a.cpl->completed, 1);
	CHECK(snpu_clock_ns() - t0 >= 20000000, "too early");
	CHECK(snpu_clock_ns() - t0 < 3000000000ull, "%llu ms late",
	      (unsigned long long)(snpu_clock_ns() - t0) / 1000000);
	/* one that is met in time leaves no timer behind */
	t_await(&b, VA + 24, SNPU_SEM_EQ, 1, 10000000000ull);
	t_await(&b, VA + 32, SNPU_SEM_EQ, 1, UINT64_MAX);
	t_ring(&b);
	*(volatile uint64_t *)(d.hbm + mem + 24) = 1;
	*(volatile uint64_t *)(d.hbm + mem + 32) = 1;
	snpu_npu_reg_write(d.npu, SNPU_REG_WAKE, 4, 1);
	CHECK(t_drain(&b), "in time");
	end();
}

static void indirect(void)
{
	uint64_t mem, root = start(1, 2, &mem);
	union snpu_pkt *ib = (union snpu_pkt *)(d.hbm + mem + 0x10000), *p;
	uint64_t *sem = (uint64_t *)(d.hbm + mem);
	struct t_queue q, r;
	unsigned int i;

	t_queue(&d, &q, 0, 1, root, 6, 1);
	memset(ib, 0, 0x40000);
	for (i = 0; i < 1000; i++) {
		ib[i].hdr.op = SNPU_OP_SEM_SIGNAL;
		ib[i].hdr.arg = SNPU_SEM_ADD;
		ib[i].sem.addr = VA;
		ib[i].sem.value = 1;
	}
	ib[500].hdr.op = SNPU_OP_SEM_WAIT;
	ib[500].hdr.arg = SNPU_SEM_GE;
	ib[500].sem.addr = VA + 64;
	p = t_put(&q, SNPU_OP_INDIRECT);
	p->misc.addr = VA + 0x10000;
	p->misc.count = 1000;
	t_nop(&q);
	t_ring(&q);
	CHECK(T_WAIT(snpu_load_acq(&q.cpl->state) == SNPU_QSTATE_BLOCKED), "does not wait");
	CHECK_EQ(q.cpl->completed, 0);
	CHECK_EQ(sem[0], 500);
	snpu_store_rel(&sem[8], 1);
	snpu_npu_reg_write(d.npu, SNPU_REG_WAKE, 4, 1);
	CHECK(t_drain(&q), "drain");
	CHECK_EQ(sem[0], 999);
	/* a fault inside names the place */
	ib[37].hdr.op = SNPU_OP_INDIRECT;
	ib[37].q[1] = VA + 0x10000;
	ib[37].q[2] = 1;
	ib[37].q[0] = SNPU_OP_INDIRECT;
	p = t_put(&q, SNPU_OP_INDIRECT);
	p->misc.addr = VA + 0x10000;
	p->misc.count = 40;
	t_ring(&q);
	CHECK(!t_drain(&q), "nesting went through");
	CHECK_EQ(q.cpl->error, SNPU_ERR_NESTING);
	CHECK_EQ(q.cpl->error_aux, SNPU_OP_INDIRECT | 37 << 8);
	CHECK_EQ(q.cpl->completed, 2);
	/* beyond the end of what is mapped */
	t_queue(&d, &r, 1, 1, root, 6, 1);
	p = t_put(&r, SNPU_OP_INDIRECT);
	p->misc.addr = VA + (1u << 20) - 64;
	p->misc.count = 2;
	t_ring(&r);
	CHECK(!t_drain(&r), "unmapped buffer went through");
	CHECK_EQ(r.cpl->error, SNPU_ERR_UNMAPPED);
	CHECK_EQ(r.cpl->fault_va, VA + (1u << 20));
	end();
}

static void irq_at(void)
{
	uint64_t mem, root = start(1, 1, &mem), *irqs = d.host.irqs;
	struct t_queue q;
	int i;

	t_queue(&d, &q, 4, 1, root, 6, 1);
	((struct snpu_cpl *)q.cpl)->irq_at = 3;
	snpu_mb();
	for (i = 0; i < 2; i++)
		t_nop(&q);
	t_ring(&q);
	t_drain(&q);
	CHECK_EQ(snpu_load(&irqs[5]), 0);
	t_nop(&q);
	t_ring(&q);
	CHECK(t_drain(&q) && T_WAIT(snpu_load(&irqs[5]) == 1), "vector not raised");
	for (i = 0; i < 10; i++)
		t_nop(&q);
	t_ring(&q);
	t_drain(&q);
	CHECK_EQ(snpu_load(&irqs[5]), 1);
	snpu_store_rel(&((struct snpu_cpl *)q.cpl)->irq_at, 14);
	snpu_mb();
	t_nop(&q);
	t_ring(&q);
	CHECK(t_drain(&q) && T_WAIT(snpu_load(&irqs[5]) == 2), "second value not raised");
	/* the vector of the events, for who has no other */
	t_queue_op(&q, SNPU_ADM_QUEUE_DESTROY);
	d.mb->queue = (struct snpu_queue_desc){
		.queue = q.id, .ctx = 1, .ring_va = q.ring_va, .cpl_addr = q.cpl_addr,
		.ring_log2 = 6, .prio = 1, .vector = 0,
	};
	CHECK_EQ(t_admin(&d, SNPU_ADM_QUEUE_CREATE), SNPU_ADM_S_OK);
	q.head = 0;
	snpu_store_rel(&((struct snpu_cpl *)q.cpl)->irq_at, 1);
	snpu_mb();
	t_nop(&q);
	t_ring(&q);
	CHECK(t_drain(&q) && T_WAIT(snpu_load(&irqs[0]) == 1), "vector 0 not raised");
	CHECK_EQ(snpu_load(&irqs[5]), 2);
	end();
}

/* Many short sleeps: no doorbell and no signal may be lost */
static void sleep_race(void)
{
	uint64_t mem, root = start(1, 2, &mem), seed = 88172645463325252ull;
	struct t_queue a, b;
	unsigned int i;

	t_queue(&d, &a, 0, 1, root, 6, 1);
	t_queue(&d, &b, 1, 1, root, 6, 1);
	for (i = 1; i <= 1500; i++) {
		uint64_t until = snpu_clock_ns() + t_rand(&seed) % 500000;

		t_await(&a, VA, SNPU_SEM_GE, i, 0);
		t_ring(&a);
		while (snpu_clock_ns() < until)
			snpu_pause();
		t_signal(&b, VA, SNPU_SEM_SET, i);
		t_ring(&b);
		if (!t_drain(&a) || !t_drain(&b)) {
			CHECK(0, "round %u: sleeping %d need_wake %u %u", i,
			      snpu_machine_sleeping(m), a.cpl->need_wake, b.cpl->need_wake);
			break;
		}
	}
	end();
}

/* The time that an idle NPU was busy must not go back, by rounding either */
static void busy_stands_still(void)
{
	struct snpu_npu_counters c;
	uint64_t mem, root = start(1, 1, &mem), last;
	struct t_queue q;
	unsigned int i;

	t_queue(&d, &q, 0, 1, root, 8, 1);
	/* much of the time since start: the same share of the rate's error shows in the counter */
	for (i = 0; i < 200; i++) {
		union snpu_pkt *p = t_put(&q, SNPU_OP_FILL);

		p->hdr.arg = 1;
		p->fill.dst = VA;
		p->fill.bytes = 1u << 20;
	}
	t_ring(&q);
	CHECK(t_drain(&q), "drain");
	snpu_npu_get_counters(d.npu, &c);
	CHECK(c.busy_ns, "not busy at all");
	for (i = 0, last = 0; i < 10000 && c.busy_ns >= last; i++) {
		last = c.busy_ns;
		snpu_npu_get_counters(d.npu, &c);
	}
	CHECK(c.busy_ns >= last, "busy %llu ns, then %llu ns", (unsigned long long)last,
	      (unsigned long long)c.busy_ns);
	end();
}

int main(int argc, char **argv)
{
	static const struct t_case cases[] = {
		{ "life_cycle", life_cycle },
		{ "suspend_resume", suspend_resume },
		{ "doorbell_garbage", doorbell_garbage },
		{ "faults_stop_one_queue", faults_stop_one_queue },
		{ "priorities", priorities },
		{ "semaphores", semaphores },
		{ "sem_timeout", sem_timeout },
		{ "indirect", indirect },
		{ "irq_at", irq_at },
		{ "sleep_race", sleep_race },
		{ "busy_stands_still", busy_stands_still },
	};

	return t_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
}
