// SPDX-License-Identifier: MIT
/*
 * The memory budget: an NPU that wants more than there is gets an error, in whatever way it takes
 * it, and the others keep what they have and what is kept for them.
 */
#include "harness.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

#define MIB		(1ull << 20)
#define BUDGET		(32 * MIB)
#define PART		(8 * MIB)	/* kept for each of two NPUs */
#define VA		0x40000000ull
#define BYTES		(60 * MIB)
#define ELSEWHERE	(VA + (1ull << 30))

static struct snpu_machine *m;
static struct snpu_profile *prof;
static struct t_drv hog, other;
static struct t_queue q, victim;
static uint64_t root, other_root, hog_mem, other_mem, left;

static uint64_t memory_left(void)
{
	return snpu_load(&left);
}

static void start(uint64_t budget)
{
	struct snpu_machine_opts o = {
		.npus = 2, .workers = 2, .memory = budget, .memory_left = memory_left,
	};
	char err[256];

	prof = t_profile();
	o.profile = prof;
	left = UINT64_MAX;
	m = snpu_machine_create(&o, err, sizeof(err));
	if (!m) {
		printf("Bail out! %s\n", err);
		exit(1);
	}
	t_drv_init(&hog, m, 0);
	t_drv_init(&other, m, 1);
	root = t_ctx(&hog, 1);
	other_root = t_ctx(&other, 1);
	CHECK_EQ(t_queue(&hog, &q, 0, 1, root, 6, 1), SNPU_ADM_S_OK);
	CHECK_EQ(t_queue(&other, &victim, 0, 1, other_root, 6, 1), SNPU_ADM_S_OK);
	hog_mem = 4 * MIB;
	other_mem = 4 * MIB;
	t_map(&hog, root, VA, BYTES, T_LEAF_HBM(hog_mem));
	t_map(&hog, root, ELSEWHERE, 4096, T_LEAF_HBM(hog_mem));
	t_map(&other, other_root, VA, BYTES, T_LEAF_HBM(other_mem));
}

static void end(void)
{
	t_drv_end(&hog);
	t_drv_end(&other);
	snpu_machine_destroy(m);
	snpu_profile_free(prof);
}

static void fill(struct t_queue *to, uint64_t va, uint64_t bytes)
{
	union snpu_pkt *p = t_put(to, SNPU_OP_FILL);

	p->hdr.arg = 1;
	p->fill.dst = va;
	p->fill.bytes = bytes;
	p->fill.pattern = 0x11;
	t_ring(to);
}

static uint64_t taken(void)
{
	struct snpu_machine_memory mem;

	snpu_machine_get_memory(m, &mem);
	return mem.hbm;
}

/* The victim touches memory of its part that it never had, step by step, and keeps what it has */
static void victim_steps(const char *what)
{
	unsigned int i;

	for (i = 0; i < 4; i++) {
		fill(&victim, VA + i * MIB, MIB);
		if (!t_drain(&victim)) {
			CHECK(false, "%s: step %u of the other NPU: error %u", what, i,
			      victim.cpl->error);
			return;
		}
		CHECK(other.hbm[other_mem + i * MIB] == 0x11, "%s: step %u", what, i);
	}
}

static void refused(const char *what)
{
	CHECK(!t_drain(&q), "%s: all of it was done", what);
	CHECK(q.cpl->error == SNPU_ERR_NOMEM, "%s: error %u", what, q.cpl->error);
	CHECK(taken() <= BUDGET, "%s: %llu MiB are taken", what,
	      (unsigned long long)(taken() / MIB));
}

static void new_queue(void)
{
	CHECK_EQ(t_queue_op(&q, SNPU_ADM_QUEUE_DESTROY), SNPU_ADM_S_OK);
	CHECK_EQ(t_queue(&hog, &q, 0, 1, root, 6, 1), SNPU_ADM_S_OK);
}

static uint32_t scrub(uint64_t off, uint64_t bytes)
{
	hog.mb->scrub.offset = off;
	hog.mb->scrub.bytes = bytes;
	return t_admin(&hog, SNPU_ADM_SCRUB);
}

static void writes(void)
{
	start(BUDGET);
	fill(&q, VA, BYTES);
	refused("a fill");
	CHECK(q.cpl->fault_va >= VA && q.cpl->fault_va < VA + BYTES, "at 0x%llx",
	      (unsigned long long)q.cpl->fault_va);
	/* it got most of the budget that is not reserved for the other NPU */
	CHECK(taken() >= BUDGET - PART - 6 * MIB, "%llu MiB", (unsigned long long)(taken() / MIB));
	victim_steps("writes");
	/* a small piece is refused too, and no one else notices */
	new_queue();
	fill(&q, VA + BYTES - MIB, 4096);
	refused("4 KiB");
	victim_steps("more writes");
	/* what is given back can be taken again, somewhere else */
	CHECK_EQ(scrub(hog_mem, 16 * MIB), SNPU_ADM_S_OK);
	new_queue();
	fill(&q, VA + 40 * MIB, 8 * MIB);
	CHECK(t_drain(&q), "after a scrub: error %u", q.cpl->error);
	end();
}

/* Reading a hole of the file makes a page, too */
static void reads(void)
{
	union snpu_pkt *p;

	start(BUDGET);
	p = t_put(&q, SNPU_OP_CRC32C);
	p->crc32c.src = VA;
	p->crc32c.bytes = BYTES;
	p->crc32c.dst = ELSEWHERE;
	t_ring(&q);
	refused("reading");
	victim_steps("reads");
	end();
}

/* Tables wherever the guest says: walks through holes */
static void walks(void)
{
	uint64_t i;

	start(BUDGET);
	for (i = 0; i < 512; i++) {
		uint64_t *pte = (uint64_t *)(hog.hbm + root) + 1 + i % 500;

		snpu_store_rel(pte, snpu_pte_table((4 + i % 56) * MIB + i / 56 * 4096));
	}
	for (i = 0; i < 500 && q.cpl->state != SNPU_QSTATE_FAULT; i++) {
		fill(&q, (1 + i) << 39 & ((1ull << 48) - 1), 64);
		(void)t_drain(&q);
		CHECK(taken() <= BUDGET, "%llu MiB", (unsigned long long)(taken() / MIB));
		new_queue();
	}
	victim_steps("walks");
	end();
}

/* What a client writes through BAR 2 cannot be refused, but it counts */
static void bar_writes(void)
{
	start(BUDGET);
	memset(hog.hbm + hog_mem, 1, 28 * MIB);
	fill(&q, VA + 40 * MIB, 8 * MIB);
	CHECK(!t_drain(&q) && q.cpl->error == SNPU_ERR_NOMEM, "error %u", q.cpl->error);
	/* it leaves: its memory goes with it */
	t_drv_end(&hog);
	CHECK(taken() < 4 * MIB, "%llu MiB", (unsigned long long)(taken() / MIB));
	t_drv_init(&hog, m, 0);
	CHECK(hog.hbm[hog_mem] == 0, "the next client finds it");
	victim_steps("bar writes");
	end();
}

/* The computer runs out before the budget does */
static void computer(void)
{
	start(1ull << 40);
	t_nop(&victim);
	t_ring(&victim);
	CHECK(t_drain(&victim), "error %u", victim.cpl->error);
	snpu_store(&left, 16 * MIB);
	fill(&q, VA, BYTES);
	while (q.cpl->completed == 0 && q.cpl->state != SNPU_QSTATE_FAULT && taken() < 8 * MIB)
		sched_yield();
	snpu_store(&left, 0);
	CHECK(!t_drain(&q) && q.cpl->error == SNPU_ERR_NOMEM, "error %u", q.cpl->error);
	t_nop(&victim);
	t_ring(&victim);
	CHECK(t_drain(&victim), "a packet that needs nothing");
	end();
}

/* A packet that wants scratch memory beyond the budget; nothing is left of it afterwards */
static void scratch(void)
{
	struct snpu_machine_memory mem;
	union snpu_pkt *p;

	start(BUDGET);
	p = t_put(&q, SNPU_OP_SOFTMAX);
	p->hdr.dtype = SNPU_DT_F32;
	p->rows.src = VA;
	p->rows.dst = VA;
	p->rows.rows = 1;
	p->rows.cols = 12u << 20;
	p->rows.ld_src = p->rows.ld_dst = 12u << 20;
	t_ring(&q);
	refused("scratch");
	snpu_machine_get_memory(m, &mem);
	CHECK(mem.scratch <= BUDGET, "%llu MiB", (unsigned long long)(mem.scratch / MIB));
	victim_steps("scratch");
	end();
}

int main(int argc, char **argv)
{
	static const struct t_case cases[] = {
		{ "writes", writes },
		{ "reads", reads },
		{ "walks", walks },
		{ "bar_writes", bar_writes },
		{ "computer", computer },
		{ "scratch", scratch },
	};

	return t_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
}
