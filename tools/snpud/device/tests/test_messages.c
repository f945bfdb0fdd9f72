// SPDX-License-Identifier: MIT
/*
 * Memory that only messages to the client reach. A client that never answers holds up its own
 * queues, and nothing else: beside it, another NPU makes its steps while the messages wait. A
 * client that answers gets the results of any other memory.
 */
#include "harness.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

#define SLOW	0x40000000ull		/* reached by messages */
#define FAST	0x80000000ull		/* HBM */
#define BYTES	(1u << 20)
#define HOSTS	8u			/* queues of the client that does not answer */
#define STEPS	200u

static struct snpu_machine *m;
static struct t_drv bad, good;
static uint64_t root, good_root, slow, hbm;
static struct t_queue victim;

static void *at(uint64_t va)
{
	return va >= FAST ? (void *)(bad.hbm + hbm + (va - FAST)) :
			    t_host_ptr(&bad, slow + (va - SLOW));
}

static void start(unsigned int workers)
{
	m = t_machine(2, workers, NULL);
	t_drv_init(&bad, m, 0);
	t_drv_init(&good, m, 1);
	hbm = t_hbm_alloc(&bad, BYTES, SNPU_HUGE_SIZE);
	root = t_ctx(&bad, 1);
	good_root = t_ctx(&good, 1);
	t_map(&bad, root, FAST, BYTES, T_LEAF_HBM(hbm));
	CHECK_EQ(t_queue(&good, &victim, 0, 1, good_root, 4, 1), SNPU_ADM_S_OK);
}

/* The last BYTES of the client's memory, from now on, have no descriptor */
static void make_slow(void)
{
	slow = t_host_alloc(&bad, BYTES, SNPU_HUGE_SIZE);
	t_map(&bad, root, SLOW, BYTES, T_LEAF_HOST(slow));
	bad.host.slow_from = (uint32_t)(slow - T_HOST_IOVA);
	snpu_npu_bus_changed(bad.npu);
}

static void end(void)
{
	t_answer(&bad);
	t_drv_end(&bad);
	t_drv_end(&good);
	t_machine_end(m);
}

/* Each step of the other client ends while the messages of the first still wait */
static void victim_steps(const char *what)
{
	struct t_queue q;
	unsigned int i;

	for (i = 0; i < STEPS; i++) {
		t_nop(&victim);
		t_ring(&victim);
		if (!t_drain(&victim)) {
			CHECK(false, "%s: step %u of the other NPU does not end", what, i);
			return;
		}
	}
	/* and what waits for sections */
	CHECK_EQ(t_inval(&good, 1, 0, 0), SNPU_ADM_S_OK);
	CHECK_EQ(t_queue(&good, &q, 1, 1, good_root, 4, 1), SNPU_ADM_S_OK);
	CHECK_EQ(t_queue_op(&q, SNPU_ADM_QUEUE_SUSPEND), SNPU_ADM_S_OK);
	CHECK_EQ(t_queue_op(&q, SNPU_ADM_QUEUE_DESTROY), SNPU_ADM_S_OK);
	snpu_npu_bus_changed(good.npu);
	CHECK(snpu_load(&bad.host.waiting), "%s: no message waits", what);
	CHECK(snpu_load(&bad.host.silent), "%s", what);
}

/* Rings of which nothing can be read */
static void rings(unsigned int workers)
{
	struct t_queue q[HOSTS];
	unsigned int i;

	start(workers);
	for (i = 0; i < HOSTS; i++)
		CHECK_EQ(t_queue(&bad, &q[i], i, 1, root, 4, 1), SNPU_ADM_S_OK);
	make_slow();
	/* the same entries elsewhere: @ring is where the test writes them */
	for (i = 0; i < HOSTS; i++) {
		CHECK_EQ(t_queue_op(&q[i], SNPU_ADM_QUEUE_DESTROY), SNPU_ADM_S_OK);
		bad.mb->queue = (struct snpu_queue_desc){
			.queue = i, .ctx = 1, .ring_va = SLOW + i * SNPU_PAGE_SIZE,
			.cpl_addr = q[i].cpl_addr, .ring_log2 = 4, .prio = (uint8_t)(i % 3),
			.vector = 1,
		};
		CHECK_EQ(t_admin(&bad, SNPU_ADM_QUEUE_CREATE), SNPU_ADM_S_OK);
		q[i].ring = at(SLOW + i * SNPU_PAGE_SIZE);
	}
	bad.host.silent = 1;
	for (i = 0; i < HOSTS; i++) {
		t_signal(&q[i], FAST + 8 * i, SNPU_SEM_SET, i + 1);
		t_nop(&q[i]);
		t_ring(&q[i]);
	}
	CHECK(T_WAIT(snpu_load(&bad.host.waiting)), "no message is sent");
	victim_steps("rings");
	/* no effect on what is not suspended, so RESUME does not wait for the answer either */
	for (i = 0; i < HOSTS; i++)
		CHECK_EQ(t_queue_op(&q[i], SNPU_ADM_QUEUE_RESUME), SNPU_ADM_S_OK);
	CHECK(snpu_load(&bad.host.waiting), "RESUME waited for an answer");
	t_answer(&bad);
	for (i = 0; i < HOSTS; i++) {
		CHECK(t_drain(&q[i]), "queue %u: error %u", i, q[i].cpl->error);
		CHECK_EQ(*(uint64_t *)at(FAST + 8 * i), i + 1);
	}
	end();
}

static void rings_one_worker(void)
{
	rings(1);
}

static void rings_two_workers(void)
{
	rings(2);
}

/* Operands of every kind, one queue each */
static void put_kind(struct t_queue *q, unsigned int kind)
{
	union snpu_pkt *p;

	switch (kind) {
	case 0:
		t_copy(q, SLOW, FAST + 4096, 256 << 10);
		break;
	case 1:
		t_copy(q, FAST, SLOW + 4096, 4096);
		break;
	case 2:
		t_await(q, SLOW + 64, SNPU_SEM_GE, 1, 0);
		break;
	case 3:
		t_signal(q, SLOW + 72, SNPU_SEM_ADD, 1);
		break;
	case 4:
		t_put(q, SNPU_OP_TIMESTAMP)->misc.addr = SLOW + 80;
		break;
	case 5:
		p = t_put(q, SNPU_OP_ATOMIC);
		p->atomic.addr = FAST + 8;
		p->atomic.operand = 1;
		p->atomic.result = SLOW + 88;
		break;
	case 6:
		p = t_put(q, SNPU_OP_INDIRECT);
		p->misc.addr = SLOW + 8192;
		p->misc.count = 3;
		break;
	default:
		t_copy(q, FAST, FAST + 65536, 64);
		p = &q->ring[(q->head - 1) & (q->entries - 1)];
		p->hdr.flags = SNPU_PF_SIGNAL;
		p->hdr.arg = SNPU_SEM_SET;
		p->copy.sem_addr = SLOW + 96;
		p->copy.sem_value = 7;
		break;
	}
}

static void operands(unsigned int workers)
{
	struct t_queue q[HOSTS];
	unsigned int i;

	start(workers);
	for (i = 0; i < HOSTS; i++)
		CHECK_EQ(t_queue(&bad, &q[i], i, 1, root, 4, 1), SNPU_ADM_S_OK);
	make_slow();
	bad.host.silent = 1;
	for (i = 0; i < HOSTS; i++) {
		put_kind(&q[i], i);
		t_ring(&q[i]);
	}
	CHECK(T_WAIT(snpu_load(&bad.host.waiting)), "no message is sent");
	victim_steps("operands");
	/* the queue that waits with an abort: gone at once, whatever the client does */
	CHECK_EQ(t_queue_op(&q[0], SNPU_ADM_QUEUE_DESTROY), SNPU_ADM_S_OK);
	CHECK(snpu_load(&bad.host.silent), "answered");
	CHECK(T_WAIT(snpu_load(&bad.host.waiting)), "the next one does not ask");
	victim_steps("after a destroy");
	t_answer(&bad);
	*(volatile uint64_t *)at(SLOW + 64) = 1;
	snpu_mb();
	snpu_npu_reg_write(bad.npu, SNPU_REG_WAKE, 4, 1);
	for (i = 1; i < HOSTS; i++)
		CHECK(t_drain(&q[i]), "kind %u: state %u, error %u", i, q[i].cpl->state,
		      q[i].cpl->error);
	CHECK_EQ(*(uint64_t *)at(SLOW + 72), 1);
	CHECK(*(uint64_t *)at(SLOW + 80) != 0, "no timestamp");
	CHECK_EQ(*(uint64_t *)at(FAST + 8), 1);
	CHECK_EQ(*(uint64_t *)at(SLOW + 96), 7);
	end();
}

static void operands_one_worker(void)
{
	operands(1);
}

static void operands_two_workers(void)
{
	operands(2);
}

/* The event ring and the mailbox: no thread waits for them, so it is as if they were not there */
static void events_and_mailbox(void)
{
	struct snpu_npu_counters c;
	struct t_queue q;

	start(1);
	CHECK_EQ(t_queue(&bad, &q, 0, 1, root, 4, 1), SNPU_ADM_S_OK);
	make_slow();
	bad.host.silent = 1;
	snpu_npu_reg_write(bad.npu, SNPU_REG_EVENT_ADDR, 8, slow);
	snpu_npu_reg_write(bad.npu, SNPU_REG_EVENT_SIZE, 4, 4);
	t_put(&q, SNPU_OP_INTERRUPT);
	t_ring(&q);
	CHECK(t_drain(&q), "error %u", q.cpl->error);
	snpu_npu_reg_write(bad.npu, SNPU_REG_ADMIN_ADDR, 8, slow + 4096);
	snpu_npu_reg_write(bad.npu, SNPU_REG_ADMIN_DB, 4, 1);
	snpu_npu_get_counters(bad.npu, &c);
	CHECK_EQ(c.events_lost, 1);
	CHECK_EQ(c.admin_errors, 1);
	CHECK_EQ(snpu_load(&bad.host.asked), 0);
	end();
}

/* Reset, or the client leaving, while a message waits */
static void reset_while_waiting(void)
{
	struct t_queue q;

	start(2);
	CHECK_EQ(t_queue(&bad, &q, 0, 1, root, 4, 1), SNPU_ADM_S_OK);
	make_slow();
	bad.host.silent = 1;
	t_copy(&q, SLOW, FAST, 65536);
	t_ring(&q);
	CHECK(T_WAIT(snpu_load(&bad.host.waiting)), "no message is sent");
	snpu_npu_reset(bad.npu);
	CHECK_EQ(snpu_load(&bad.host.waiting), 0);
	CHECK_EQ(q.cpl->state, SNPU_QSTATE_STOPPED);
	CHECK(snpu_load(&bad.host.silent), "answered");
	end();
}

/* The same packet on memory of both kinds, with the same result, and done once */
static void mixed_results(void)
{
	uint32_t *a = NULL, i, n = 3000;
	union snpu_pkt *p;
	struct t_queue q;
	uint64_t *list;

	start(2);
	CHECK_EQ(t_queue(&bad, &q, 0, 1, root, 6, 1), SNPU_ADM_S_OK);
	make_slow();
	/* in place, the second half by messages: a packet that began twice would add twice */
	t_map(&bad, root, FAST + BYTES, 4096, T_LEAF_HOST(slow));
	for (i = 0; i < 2048; i++) {
		a = at(i < 1024 ? FAST + BYTES - 4096 : SLOW);
		a[i % 1024] = i;
	}
	for (i = 0; i < n; i++)
		((uint32_t *)at(FAST))[i] = 5;
	p = t_put(&q, SNPU_OP_ELTWISE);
	p->hdr.dtype = SNPU_DT_I32;
	p->hdr.arg = SNPU_ELT_ADD;
	p->eltwise.a = FAST + BYTES - 4096;
	p->eltwise.b = FAST;
	p->eltwise.dst = FAST + BYTES - 4096;
	p->eltwise.count = 2048;
	/* added to HBM, from messages */
	p = t_put(&q, SNPU_OP_REDUCE_ADD);
	p->hdr.dtype = SNPU_DT_I32;
	p->reduce.src = SLOW + 8;
	p->reduce.dst = FAST + 32768;
	p->reduce.count = 1000;
	/* one place of the list by messages */
	list = at(FAST + 65536);
	list[0] = FAST;
	list[1] = SLOW;
	p = t_put(&q, SNPU_OP_REDUCE_PULL);
	p->hdr.dtype = SNPU_DT_I32;
	p->hdr.arg = SNPU_ELT_ADD;
	p->multi.addr = FAST + 131072;
	p->multi.list = FAST + 65536;
	p->multi.count = 1024;
	p->multi.num = 2;
	/* a product of ones of I8 */
	memset(at(SLOW + 65536), 1, 64 * 64);
	memset(at(FAST + 196608), 2, 64 * 64);
	p = t_put(&q, SNPU_OP_MATMUL);
	p->hdr.dtype = SNPU_DT_I8;
	p->hdr.dtype2 = SNPU_DT_I32;
	p->matmul.a = SLOW + 65536;
	p->matmul.b = FAST + 196608;
	p->matmul.c = FAST + 262144;
	p->matmul.m = p->matmul.n = p->matmul.k = 64;
	p->matmul.lda = p->matmul.ldb = p->matmul.ldc = 64;
	t_ring(&q);
	CHECK(t_drain(&q), "packet %llu: error %u va 0x%llx",
	      (unsigned long long)q.cpl->fault_index, q.cpl->error,
	      (unsigned long long)q.cpl->fault_va);
	CHECK(snpu_load(&bad.host.asked) > 0, "no messages");
	for (i = 0; i < 2048; i++) {
		a = at(i < 1024 ? FAST + BYTES - 4096 : SLOW);
		if (a[i % 1024] != i + 5)
			break;
	}
	CHECK_EQ(i, 2048);
	for (i = 0; i < 1000 && ((uint32_t *)at(FAST + 32768))[i] == i + 1024 + 2 + 5; i++)
		;
	CHECK_EQ(i, 1000);
	for (i = 0; i < 1024 && ((uint32_t *)at(FAST + 131072))[i] == i + 1024 + 10; i++)
		;
	CHECK_EQ(i, 1024);
	for (i = 0; i < 64 * 64 && ((uint32_t *)at(FAST + 262144))[i] == 128; i++)
		;
	CHECK_EQ(i, 64 * 64);
	end();
}

int main(int argc, char **argv)
{
	static const struct t_case cases[] = {
		{ "rings_one_worker", rings_one_worker },
		{ "rings_two_workers", rings_two_workers },
		{ "operands_one_worker", operands_one_worker },
		{ "operands_two_workers", operands_two_workers },
		{ "events_and_mailbox", events_and_mailbox },
		{ "reset_while_waiting", reset_while_waiting },
		{ "mixed_results", mixed_results },
	};

	return t_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
}
