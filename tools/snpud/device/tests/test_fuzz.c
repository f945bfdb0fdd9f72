// SPDX-License-Identifier: MIT
/*
 * Hostile guest: random registers, admin commands, page tables, packets and doorbells, the same
 * ones every time. What is checked is that the device stays inside its memory (sanitizers), ends
 * every command in time, and works for the next one after a reset.
 */
#include "harness.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS	250
#define STEPS	400
#define QUEUES	8

static uint64_t seed;

static uint64_t rnd(uint64_t n)
{
	return t_rand(&seed) % n;
}

/* Numbers that like to be near borders */
static uint64_t odd_number(void)
{
	static const uint64_t edges[] = {
		0, 1, 4095, 4096, 64, 63, 1ull << 20, 64ull << 20, (64ull << 20) - 4096,
		1ull << 47, 1ull << 48, (1ull << 48) - 64, T_HOST_IOVA, T_HOST_IOVA + T_HOST_BYTES,
		T_HOST_IOVA + T_HOST_BYTES - 64, ~0ull, ~63ull, 1ull << 63, UINT32_MAX,
	};

	switch (rnd(4)) {
	case 0:
		return edges[rnd(sizeof(edges) / sizeof(edges[0]))];
	case 1:
		return rnd(64);
	case 2:
		return rnd(64ull << 20) & ~7ull;
	default:
		return t_rand(&seed) >> rnd(64);
	}
}

static uint64_t odd_pte(void)
{
	uint64_t pte;

	switch (rnd(6)) {
	case 0:
		return t_rand(&seed);
	case 1:
		return snpu_pte_table(rnd(80ull << 20));
	case 2:
		return T_LEAF_FABRIC(rnd(20), rnd(1ull << 22));
	case 3:
		return T_LEAF_HOST(T_HOST_IOVA + rnd(T_HOST_BYTES + (1u << 20)));
	default:
		pte = T_LEAF_HBM(rnd(66ull << 20));
		return rnd(10) ? pte : pte ^ (1ull << rnd(64));
	}
}

static void odd_packet(union snpu_pkt *p)
{
	static const uint8_t ops[] = {
		SNPU_OP_NOP, SNPU_OP_COPY, SNPU_OP_COPY2D, SNPU_OP_FILL, SNPU_OP_MATMUL,
		SNPU_OP_ELTWISE, SNPU_OP_CONVERT, SNPU_OP_REDUCE_SUM, SNPU_OP_SOFTMAX,
		SNPU_OP_RMSNORM, SNPU_OP_ACT, SNPU_OP_GATHER, SNPU_OP_ARGMAX, SNPU_OP_CRC32C,
		SNPU_OP_SEM_SIGNAL, SNPU_OP_SEM_WAIT, SNPU_OP_BARRIER, SNPU_OP_TIMESTAMP,
		SNPU_OP_INTERRUPT, SNPU_OP_INDIRECT,
	};
	unsigned int i;
	bool tame;

	memset(p, 0, sizeof(*p));
	p->hdr.op = rnd(40) ? ops[rnd(sizeof(ops))] : (uint8_t)rnd(256);
	/* many that run, or a queue would never get to its second packet */
	tame = rnd(8);
	if (tame && p->hdr.op >= SNPU_OP_COPY2D && p->hdr.op < SNPU_OP_SEM_SIGNAL)
		p->hdr.op = SNPU_OP_NOP;
	for (i = 1; i < 8 && !tame; i++)
		if (!rnd(3))
			p->q[i] = odd_number();
	switch (p->hdr.op) {
	case SNPU_OP_COPY:
		p->copy.src = 0x40000000 + rnd(1u << 20);
		p->copy.dst = 0x40000000 + rnd(1u << 20);
		p->copy.bytes = 1 + rnd(1u << 16);
		memset(p->copy.rsvd, 0, sizeof(p->copy.rsvd));
		break;
	case SNPU_OP_SEM_WAIT:
		p->sem.timeout_ns = 1 + rnd(100000);
		/* fall through */
	case SNPU_OP_SEM_SIGNAL:
		p->hdr.arg = (uint32_t)rnd(2);
		p->sem.addr = 0x40000000 + (rnd(1u << 20) & ~7ull);
		memset(p->sem.rsvd, 0, sizeof(p->sem.rsvd));
		break;
	case SNPU_OP_TIMESTAMP:
		p->misc.addr = 0x40000000 + (rnd(1u << 20) & ~7ull);
		break;
	case SNPU_OP_INDIRECT:
		p->misc.addr = 0x40000000 + (rnd(1u << 20) & ~63ull);
		p->misc.count = (uint32_t)(1 + rnd(300));
		p->misc.rsvd0 = 0;
		memset(p->misc.rsvd, 0, sizeof(p->misc.rsvd));
		break;
	}
	if (!rnd(60))
		p->q[rnd(8)] ^= 1ull << rnd(64);
}

static void odd_admin(struct t_drv *d, uint64_t cpl)
{
	unsigned int op = (unsigned int)(rnd(30) ? rnd(SNPU_ADM_OP_MAX + 1) : rnd(65536));
	uint64_t t0;
	unsigned int i;

	if (!rnd(4))
		op = SNPU_ADM_QUEUE_CREATE;
	switch (op) {
	case SNPU_ADM_QUEUE_CREATE:
		d->mb->queue.queue = (uint32_t)rnd(QUEUES + 1);
		d->mb->queue.ctx = rnd(8) ? 1 : (uint32_t)rnd(17);
		d->mb->queue.ring_va = 0x40000000 + (rnd(1u << 20) & ~63ull);
		d->mb->queue.cpl_addr = rnd(8) ? cpl + rnd(16) * 128 : odd_number();
		d->mb->queue.ring_log2 = (uint8_t)(rnd(10) ? 4 + rnd(8) : rnd(256));
		d->mb->queue.prio = (uint8_t)(rnd(10) ? rnd(3) : rnd(256));
		d->mb->queue.vector = (uint16_t)(rnd(10) ? 1 + rnd(16) : rnd(65536));
		break;
	case SNPU_ADM_QUEUE_DESTROY:
	case SNPU_ADM_QUEUE_SUSPEND:
	case SNPU_ADM_QUEUE_RESUME:
		d->mb->qid = (uint32_t)rnd(QUEUES + 1);
		break;
	case SNPU_ADM_CTX_CREATE:
		d->mb->ctx.root = rnd(65ull << 20) & ~4095ull;
		/* fall through */
	case SNPU_ADM_CTX_DESTROY:
		d->mb->ctx.ctx = (uint32_t)rnd(17);
		break;
	case SNPU_ADM_SEG_EXPORT:
	case SNPU_ADM_SEG_IMPORT:
	case SNPU_ADM_SEG_REVOKE:
	case SNPU_ADM_SEG_UNIMPORT:
		d->mb->seg_export.seg = (uint32_t)rnd(17);
		d->mb->seg_export.access = (uint32_t)rnd(5);
		d->mb->seg_export.offset = rnd(65ull << 20) & ~4095ull;
		d->mb->seg_export.bytes = rnd(65ull << 20) & ~4095ull;
		d->mb->seg_export.token = rnd(3);
		break;
	case SNPU_ADM_SCRUB:
		d->mb->scrub.offset = rnd(64ull << 20) & ~4095ull;
		d->mb->scrub.bytes = 4096 * (1 + rnd(4));
		break;
	default:
		for (i = 0; i < 5; i++)
			d->mb->raw[i] = odd_number();
	}
	if (!rnd(10))
		d->mb->raw[rnd(14)] = odd_number();
	t0 = snpu_clock_ns();
	CHECK(t_admin(d, op) <= SNPU_ADM_S_NOMEM, "command 0x%x was not answered", op);
	t0 = snpu_clock_ns() - t0;
	CHECK(t0 < 3000000000ull, "command 0x%x took %llu ms", op,
	      (unsigned long long)t0 / 1000000);
}

/* Until the device has counted something, or for a short while */
static void settle(struct t_drv *d)
{
	uint64_t end = snpu_clock_ns() + 100000;
	struct snpu_npu_counters a, b;

	snpu_npu_get_counters(d->npu, &a);
	do {
		snpu_npu_get_counters(d->npu, &b);
	} while (a.packets == b.packets && a.faults == b.faults && snpu_clock_ns() < end);
}

static void one_round(struct snpu_machine *m, struct t_drv *d, unsigned int round)
{
	uint64_t root, tables, mem, cpl = t_host_alloc(d, 17 * 128, 128);
	struct snpu_npu_counters c;
	struct t_queue good;
	unsigned int i, k;
	uint64_t *db;

	(void)m;
	root = t_ctx(d, 1);
	tables = t_hbm_alloc(d, 16 * 4096, 4096);
	mem = t_hbm_alloc(d, 1u << 20, 4096);
	t_map(d, root, 0x40000000, 1u << 20, T_LEAF_HBM(mem));
	for (i = 0; i < (1u << 20) / 64; i++)
		odd_packet((union snpu_pkt *)(d->hbm + mem) + i);
	for (i = 0; i < 16 * 512; i++)
		((uint64_t *)(d->hbm + tables))[i] =
			rnd(3) ? snpu_pte_table(tables + rnd(16) * 4096) : odd_pte();
	((uint64_t *)(d->hbm + root))[1] = snpu_pte_table(tables);
	for (i = 0; i < STEPS && !t_failures; i++) {
		switch (rnd(8)) {
		case 0:
			snpu_npu_reg_read(d->npu, rnd(0x1000), 1u << rnd(4));
			break;
		case 1:
			k = (unsigned int)(rnd(0x1000) & ~3ull);
			/* the mailbox stays where it is, so that answers can be checked */
			if (k != SNPU_REG_ADMIN_ADDR && k != SNPU_REG_RESET)
				snpu_npu_reg_write(d->npu, k, 4u << rnd(2), odd_number());
			break;
		case 2:
			db = &d->doorbells[rnd(QUEUES) * 512];
			snpu_store_rel(db, rnd(15) ? *db + rnd(17) : odd_number());
			snpu_npu_reg_write(d->npu, SNPU_REG_WAKE, 4, 1);
			/* now and then the device gets time to act on it */
			if (!rnd(3))
				settle(d);
			break;
		case 3:
			snpu_store(&((uint64_t *)(d->hbm + tables))[rnd(16 * 512)], odd_pte());
			break;
		case 4:
			odd_packet((union snpu_pkt *)(d->hbm + mem) + rnd((1u << 20) / 64));
			break;
		case 5:
			snpu_store(&d->ev->cons, odd_number());
			((uint64_t *)t_host_ptr(d, cpl))[rnd(16 * 16)] = odd_number();
			break;
		default:
			odd_admin(d, cpl);
		}
	}
	snpu_npu_get_counters(d->npu, &c);
	CHECK(c.admin_cmds > c.admin_errors, "no command was ever right");
	/* whatever happened, a reset makes it new */
	snpu_npu_reset(d->npu);
	d->hbm_next = SNPU_PAGE_SIZE;
	d->host.next = 1u << 20;
	t_drv_setup(d);
	root = t_ctx(d, 1);
	CHECK_EQ(t_queue(d, &good, 0, 1, root, 4, 1), SNPU_ADM_S_OK);
	t_nop(&good);
	t_ring(&good);
	CHECK(t_drain(&good), "round %u: a fresh queue does not run", round);
	snpu_npu_reset(d->npu);
	t_drv_setup(d);
}

static void hostile_guest(void)
{
	struct snpu_machine *m = t_machine(2, 3, NULL);
	struct snpu_npu_counters c;
	struct t_drv d;
	unsigned int i;

	seed = 0x9e3779b97f4a7c15ull;
	t_drv_init(&d, m, 0);
	for (i = 0; i < ROUNDS && !t_failures; i++) {
		d.hbm_next = SNPU_PAGE_SIZE;
		d.host.next = 1u << 20;
		one_round(m, &d, i);
	}
	snpu_npu_get_counters(d.npu, &c);
	printf("# %llu commands, %llu refused; %llu packets, %llu faults, %llu events\n",
	       (unsigned long long)c.admin_cmds, (unsigned long long)c.admin_errors,
	       (unsigned long long)c.packets, (unsigned long long)c.faults,
	       (unsigned long long)c.events);
	CHECK(c.packets > 100 && c.faults > 10, "hardly anything ran");
	t_drv_end(&d);
	t_machine_end(m);
}

int main(int argc, char **argv)
{
	static const struct t_case cases[] = {
		{ "hostile_guest", hostile_guest },
	};

	return t_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
}
