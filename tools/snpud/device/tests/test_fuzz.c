// SPDX-License-Identifier: MIT
/*
 * Hostile guest: random registers, admin commands, page tables, packets and doorbells, the same
 * ones every time. Half of its memory has no descriptor, and its client now and then does not
 * answer; it turns bus mastering off and on, and wants more HBM than the computer gives. What is
 * checked is that the device stays inside its memory (sanitizers) and its budget, ends every command
 * in time, works for the next one after a reset, and that meanwhile another NPU makes every one of
 * its steps.
 *
 * As fuzz_device SEED COUNT it does COUNT / 10 rounds with other numbers.
 */
#include "harness.h"

#include <linux/pci_regs.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS	250
#define STEPS	400
#define QUEUES	8
#define BUDGET	(40ull << 20)
#define SLOW	(T_HOST_BYTES / 2)	/* from here on its memory is reached by messages */

static uint64_t seed;
static unsigned int rounds = ROUNDS;
static struct t_drv other;
static struct t_queue victim;
static uint64_t victim_steps;

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
		SNPU_OP_INTERRUPT, SNPU_OP_INDIRECT, SNPU_OP_ATOMIC, SNPU_OP_REDUCE_ADD,
		SNPU_OP_REDUCE_PULL, SNPU_OP_MULTICAST, SNPU_OP_ATTENTION,
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
		p->copy.src = 0x40000000 + rnd(2u << 20);
		p->copy.dst = 0x40000000 + rnd(2u << 20);
		p->copy.bytes = 1 + rnd(1u << 16);
		memset(p->copy.rsvd, 0, sizeof(p->copy.rsvd));
		break;
	case SNPU_OP_SEM_WAIT:
		p->sem.timeout_ns = 1 + rnd(100000);
		/* fall through */
	case SNPU_OP_SEM_SIGNAL:
		p->hdr.arg = (uint32_t)rnd(2);
		p->sem.addr = 0x40000000 + (rnd(2u << 20) & ~7ull);
		memset(p->sem.rsvd, 0, sizeof(p->sem.rsvd));
		break;
	case SNPU_OP_TIMESTAMP:
		p->misc.addr = 0x40000000 + (rnd(2u << 20) & ~7ull);
		break;
	case SNPU_OP_INDIRECT:
		p->misc.addr = 0x40000000 + (rnd(2u << 20) & ~63ull);
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
		d->mb->queue.ring_va = 0x40000000 + (rnd(2u << 20) & ~63ull);
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

static void set_master(struct t_drv *d, bool on)
{
	uint16_t v = PCI_COMMAND_MEMORY | (on ? PCI_COMMAND_MASTER : 0);

	snpu_npu_cfg_write(d->npu, PCI_COMMAND, &v, sizeof(v));
}

/* The other client: a packet, memory that it has not had yet, sometimes a wait for sections */
static void victim_step(void)
{
	union snpu_pkt *p = t_put(&victim, SNPU_OP_FILL);
	uint64_t n = victim_steps++;

	p->hdr.arg = 8;
	p->fill.dst = 0x40000000 + (n * 65536) % (8u << 20);
	p->fill.bytes = 64;
	p->fill.pattern = n;
	t_ring(&victim);
	CHECK(t_drain(&victim), "step %llu of the other NPU: state %u, error %u",
	      (unsigned long long)n, victim.cpl->state, victim.cpl->error);
	if (n % 64 == 0)
		CHECK_EQ(t_inval(&other, 1, 0, 0), SNPU_ADM_S_OK);
	if (n % 512 == 0)
		snpu_npu_bus_changed(other.npu);
}

static void victim_start(struct snpu_machine *m)
{
	uint64_t root, mem;

	t_drv_init(&other, m, 1);
	root = t_ctx(&other, 1);
	mem = t_hbm_alloc(&other, 8u << 20, SNPU_HUGE_SIZE);
	t_map(&other, root, 0x40000000, 8u << 20, T_LEAF_HBM(mem));
	CHECK_EQ(t_queue(&other, &victim, 0, 1, root, 4, 1), SNPU_ADM_S_OK);
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
	struct snpu_machine_memory used;
	unsigned int i, k, silent = 0;
	uint64_t *db;

	root = t_ctx(d, 1);
	tables = t_hbm_alloc(d, 16 * 4096, 4096);
	mem = t_hbm_alloc(d, 1u << 20, 4096);
	t_map(d, root, 0x40000000, 1u << 20, T_LEAF_HBM(mem));
	t_map(d, root, 0x40100000, 1u << 20, T_LEAF_HOST(T_HOST_IOVA + SLOW));
	for (i = 0; i < (1u << 20) / 64; i++)
		odd_packet((union snpu_pkt *)(d->hbm + mem) + i);
	for (i = 0; i < 16 * 512; i++)
		((uint64_t *)(d->hbm + tables))[i] =
			rnd(3) ? snpu_pte_table(tables + rnd(16) * 4096) : odd_pte();
	((uint64_t *)(d->hbm + root))[1] = snpu_pte_table(tables);
	for (i = 0; i < STEPS && !t_failures; i++) {
		/* for a few steps its client says nothing */
		if (silent && !--silent) {
			t_answer(d);
		} else if (!silent && !rnd(40)) {
			silent = 1 + (unsigned int)rnd(6);
			snpu_store_rel(&d->host.silent, 1);
		}
		if (!rnd(20))
			victim_step();
		if (!rnd(100)) {
			set_master(d, false);
			victim_step();
			set_master(d, true);
		}
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
	t_answer(d);
	snpu_npu_get_counters(d->npu, &c);
	CHECK(c.admin_cmds > c.admin_errors, "no command was ever right");
	snpu_machine_get_memory(m, &used);
	CHECK(used.hbm + used.scratch <= BUDGET, "HBM %llu, scratch %llu",
	      (unsigned long long)used.hbm, (unsigned long long)used.scratch);
	d->mb->scrub.offset = 0;
	d->mb->scrub.bytes = 64u << 20;
	CHECK_EQ(t_admin(d, SNPU_ADM_SCRUB), SNPU_ADM_S_OK);
	/* whatever happened, a reset makes it new */
	snpu_npu_reset(d->npu);
	set_master(d, true);
	d->hbm_next = SNPU_PAGE_SIZE;
	d->host.next = 1u << 20;
	t_drv_setup(d);
	root = t_ctx(d, 1);
	CHECK_EQ(t_queue(d, &good, 0, 1, root, 4, 1), SNPU_ADM_S_OK);
	t_nop(&good);
	t_ring(&good);
	CHECK(t_drain(&good), "round %u: a fresh queue does not run", round);
	snpu_npu_reset(d->npu);
	set_master(d, true);
	t_drv_setup(d);
	victim_step();
}

static void hostile_guest(void)
{
	struct snpu_profile *prof = t_profile();
	struct snpu_machine_opts o = {
		.profile = prof, .npus = 2, .workers = 1 + (unsigned int)(seed % 3),
		.memory = BUDGET,
	};
	struct snpu_npu_counters c;
	struct snpu_machine *m;
	struct t_drv d;
	unsigned int i;
	char err[256];

	m = snpu_machine_create(&o, err, sizeof(err));
	CHECK(m, "%s", err);
	if (!m)
		return;
	victim_start(m);
	t_drv_init(&d, m, 0);
	d.host.slow_from = SLOW;
	for (i = 0; i < rounds && !t_failures; i++) {
		d.hbm_next = SNPU_PAGE_SIZE;
		d.host.next = 1u << 20;
		one_round(m, &d, i);
	}
	snpu_npu_get_counters(d.npu, &c);
	printf("# %llu commands, %llu refused; %llu packets, %llu faults, %llu events\n",
	       (unsigned long long)c.admin_cmds, (unsigned long long)c.admin_errors,
	       (unsigned long long)c.packets, (unsigned long long)c.faults,
	       (unsigned long long)c.events);
	printf("# %llu steps of the other NPU, %u messages\n", (unsigned long long)victim_steps,
	       snpu_load(&d.host.asked));
	CHECK(rounds < 50 || (c.packets > 100 && c.faults > 10), "hardly anything ran");
	t_drv_end(&d);
	t_drv_end(&other);
	snpu_machine_destroy(m);
	snpu_profile_free(prof);
}

int main(int argc, char **argv)
{
	static const struct t_case cases[] = {
		{ "hostile_guest", hostile_guest },
	};

	seed = 0x9e3779b97f4a7c15ull;
	if (argc > 1 && *argv[1] >= '0' && *argv[1] <= '9') {
		seed = (strtoull(argv[1], NULL, 10) + 1) * 0x9e3779b97f4a7c15ull;
		rounds = argc > 2 ? (unsigned int)strtoul(argv[2], NULL, 10) / 10 + 1 : ROUNDS;
		argc = 1;
	}
	return t_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
}
