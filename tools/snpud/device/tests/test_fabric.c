// SPDX-License-Identifier: MIT
/*
 * Segments: token, bounds and permission at every access, revoke, reset of the target, poison.
 */
#include "harness.h"

#include <sched.h>
#include <string.h>

#define VA	0x40000000ull
#define TOKEN	0x1122334455667788ull

static struct snpu_machine *m;
static struct t_drv a, b;
static uint64_t root, mem;

static void start(void)
{
	m = t_machine(3, 2, NULL);
	t_drv_init(&a, m, 0);
	t_drv_init(&b, m, 1);
	root = t_ctx(&a, 1);
	mem = t_hbm_alloc(&b, 4u << 20, SNPU_HUGE_SIZE);
}

static void end(void)
{
	t_drv_end(&a);
	t_drv_end(&b);
	t_machine_end(m);
}

static uint32_t seg_export(uint32_t seg, uint32_t access, uint64_t off, uint64_t bytes,
			   uint64_t token)
{
	b.mb->seg_export.seg = seg;
	b.mb->seg_export.access = access;
	b.mb->seg_export.offset = off;
	b.mb->seg_export.bytes = bytes;
	b.mb->seg_export.token = token;
	return t_admin(&b, SNPU_ADM_SEG_EXPORT);
}

static uint32_t seg_revoke(uint32_t seg)
{
	b.mb->seg_export.seg = seg;
	return t_admin(&b, SNPU_ADM_SEG_REVOKE);
}

static uint32_t seg_import(uint32_t slot, uint32_t node, uint32_t seg, uint64_t token)
{
	a.mb->import.slot = slot;
	a.mb->import.node = node;
	a.mb->import.seg = seg;
	a.mb->import.token = token;
	return t_admin(&a, SNPU_ADM_SEG_IMPORT);
}

static uint32_t seg_unimport(uint32_t slot)
{
	a.mb->import.slot = slot;
	return t_admin(&a, SNPU_ADM_SEG_UNIMPORT);
}

/* One access by a fresh queue; its error */
static unsigned int access_at(uint64_t va, bool write)
{
	struct t_queue q;
	unsigned int err;

	CHECK_EQ(t_queue(&a, &q, 0, 1, root, 4, 1), SNPU_ADM_S_OK);
	if (write)
		t_signal(&q, va, SNPU_SEM_ADD, 1);
	else
		t_await(&q, va, SNPU_SEM_GE, 0, 0);
	t_ring(&q);
	err = t_drain(&q) ? 0 : q.cpl->error;
	CHECK_EQ(t_queue_op(&q, SNPU_ADM_QUEUE_DESTROY), SNPU_ADM_S_OK);
	return err;
}

static void token_bounds_permission(void)
{
	start();
	CHECK_EQ(seg_export(0, SNPU_SEG_READ | SNPU_SEG_WRITE, mem, 8192, TOKEN), SNPU_ADM_S_OK);
	CHECK_EQ(seg_export(0, SNPU_SEG_READ, mem, 8192, TOKEN), SNPU_ADM_S_EXIST);
	CHECK_EQ(seg_export(1, SNPU_SEG_READ, mem, 8192, TOKEN + 1), SNPU_ADM_S_OK);
	CHECK_EQ(seg_import(0, 1, 0, TOKEN), SNPU_ADM_S_OK);
	CHECK_EQ(seg_import(0, 1, 0, TOKEN), SNPU_ADM_S_EXIST);
	/* wrong token: found out at access */
	CHECK_EQ(seg_import(1, 1, 0, TOKEN + 1), SNPU_ADM_S_OK);
	CHECK_EQ(seg_import(2, 1, 1, TOKEN + 1), SNPU_ADM_S_OK);
	CHECK_EQ(seg_import(3, 77, 0, TOKEN), SNPU_ADM_S_OK);	/* no such node */
	CHECK_EQ(seg_import(4, 1, 9, TOKEN), SNPU_ADM_S_OK);	/* no such segment */
	t_map(&a, root, VA, 3 * 4096, T_LEAF_FABRIC(0, 0));	/* one page too many */
	t_map(&a, root, VA + (1 << 20), 4096, T_LEAF_FABRIC(1, 0));
	t_map(&a, root, VA + (2 << 20), 4096, T_LEAF_FABRIC(2, 0));
	t_map(&a, root, VA + (3 << 20), 4096, T_LEAF_FABRIC(3, 0));
	t_map(&a, root, VA + (4 << 20), 4096, T_LEAF_FABRIC(4, 0));
	t_map(&a, root, VA + (5 << 20), 4096, T_LEAF_FABRIC(0, 0x000ffffffffff000ull));
	CHECK_EQ(access_at(VA, true), 0);
	CHECK_EQ(access_at(VA + 8184, true), 0);
	CHECK_EQ(*(uint64_t *)(b.hbm + mem), 1);
	CHECK_EQ(*(uint64_t *)(b.hbm + mem + 8184), 1);
	CHECK_EQ(access_at(VA + 8192, true), SNPU_ERR_FABRIC);
	CHECK_EQ(access_at(VA + 8192, false), SNPU_ERR_FABRIC);
	CHECK_EQ(access_at(VA + (1 << 20), false), SNPU_ERR_FABRIC);
	CHECK_EQ(access_at(VA + (2 << 20), false), 0);
	CHECK_EQ(access_at(VA + (2 << 20), true), SNPU_ERR_FABRIC);
	CHECK_EQ(access_at(VA + (3 << 20), false), SNPU_ERR_FABRIC);
	CHECK_EQ(access_at(VA + (4 << 20), false), SNPU_ERR_FABRIC);
	CHECK_EQ(access_at(VA + (5 << 20), false), SNPU_ERR_FABRIC);
	/* withdrawn on either side, and given anew with another token */
	CHECK_EQ(seg_revoke(0), SNPU_ADM_S_OK);
	CHECK_EQ(seg_revoke(0), SNPU_ADM_S_NOENT);
	CHECK_EQ(access_at(VA, false), SNPU_ERR_FABRIC);
	CHECK_EQ(seg_export(0, SNPU_SEG_READ | SNPU_SEG_WRITE, mem + 8192, 4096, TOKEN + 5),
		 SNPU_ADM_S_OK);
	CHECK_EQ(access_at(VA, false), SNPU_ERR_FABRIC);
	CHECK_EQ(seg_unimport(0), SNPU_ADM_S_OK);
	CHECK_EQ(seg_unimport(0), SNPU_ADM_S_NOENT);
	CHECK_EQ(access_at(VA, false), SNPU_ERR_FABRIC);
	CHECK_EQ(seg_import(0, 1, 0, TOKEN + 5), SNPU_ADM_S_OK);
	CHECK_EQ(access_at(VA, true), 0);
	CHECK_EQ(*(uint64_t *)(b.hbm + mem + 8192), 1);
	/* reset of the target takes its exports */
	snpu_npu_reg_write(b.npu, SNPU_REG_RESET, 4, SNPU_RESET_MAGIC);
	CHECK_EQ(access_at(VA, true), SNPU_ERR_FABRIC);
	end();
}

static void arguments(void)
{
	start();
	CHECK_EQ(seg_export(16, 1, 0, 4096, 1), SNPU_ADM_S_BAD_ARG);
	CHECK_EQ(seg_export(0, 0, 0, 4096, 1), SNPU_ADM_S_BAD_ARG);
	CHECK_EQ(seg_export(0, 4, 0, 4096, 1), SNPU_ADM_S_BAD_ARG);
	CHECK_EQ(seg_export(0, 1, 1, 4096, 1), SNPU_ADM_S_BAD_ARG);
	CHECK_EQ(seg_export(0, 1, 0, 4095, 1), SNPU_ADM_S_BAD_ARG);
	CHECK_EQ(seg_export(0, 1, 0, 0, 1), SNPU_ADM_S_BAD_ARG);
	CHECK_EQ(seg_export(0, 1, 0, 4096, 0), SNPU_ADM_S_BAD_ARG);
	CHECK_EQ(seg_export(0, 1, 64u << 20, 4096, 1), SNPU_ADM_S_BAD_ARG);
	CHECK_EQ(seg_export(0, 1, 4096, ~4095ull, 1), SNPU_ADM_S_BAD_ARG);
	CHECK_EQ(b.data[0], 16 + 16);
	CHECK_EQ(seg_import(16, 0, 0, 1), SNPU_ADM_S_BAD_ARG);
	CHECK_EQ(seg_revoke(16), SNPU_ADM_S_BAD_ARG);
	CHECK_EQ(seg_revoke(3), SNPU_ADM_S_NOENT);
	CHECK_EQ(seg_unimport(16), SNPU_ADM_S_BAD_ARG);
	CHECK_EQ(seg_unimport(2), SNPU_ADM_S_NOENT);
	end();
}

/* After REVOKE has returned, not one byte of the segment changes any more */
static void revoke_under_load(void)
{
	const uint64_t n = 2u << 20;
	uint64_t src;
	unsigned int i;

	start();
	src = t_hbm_alloc(&a, n, SNPU_HUGE_SIZE);
	t_map(&a, root, VA, n, T_LEAF_HBM(src));
	t_map(&a, root, VA + (1ull << 30), n, T_LEAF_FABRIC(0, 0));
	memset(a.hbm + src, 0x5a, n);
	CHECK_EQ(seg_import(0, 1, 0, TOKEN), SNPU_ADM_S_OK);
	for (i = 0; i < 20; i++) {
		struct t_queue q;
		uint64_t t0, k;

		CHECK_EQ(seg_export(0, SNPU_SEG_READ | SNPU_SEG_WRITE, mem, n, TOKEN),
			 SNPU_ADM_S_OK);
		CHECK_EQ(t_queue(&a, &q, i, 1, root, 6, 1), SNPU_ADM_S_OK);
		for (k = 0; k < 60; k++)
			t_copy(&q, VA, VA + (1ull << 30), n);
		t_ring(&q);
		CHECK(T_WAIT(snpu_load_acq(&q.cpl->completed) >= 1 + i % 3), "no progress");
		t0 = snpu_clock_ns();
		CHECK_EQ(seg_revoke(0), SNPU_ADM_S_OK);
		t0 = snpu_clock_ns() - t0;
		memset(b.hbm + mem, 0, n);
		CHECK(t0 < 1000000000, "revoke took %llu ms", (unsigned long long)t0 / 1000000);
		if (!t_drain(&q))
			CHECK_EQ(q.cpl->error, SNPU_ERR_FABRIC);
		for (k = 0; k < n && !b.hbm[mem + k]; k++)
			;
		CHECK(k == n, "round %u: byte %llu written after revoke", i,
		      (unsigned long long)k);
		CHECK_EQ(t_queue_op(&q, SNPU_ADM_QUEUE_DESTROY), SNPU_ADM_S_OK);
	}
	end();
}

/* A queue that waits for a word of the segment, with all workers asleep, has a fault at once */
static void revoke_under_wait(void)
{
	struct t_queue q;

	start();
	CHECK_EQ(seg_export(0, SNPU_SEG_READ, mem, 4096, TOKEN), SNPU_ADM_S_OK);
	CHECK_EQ(seg_import(0, 1, 0, TOKEN), SNPU_ADM_S_OK);
	t_map(&a, root, VA, 4096, T_LEAF_FABRIC(0, 0));
	CHECK_EQ(t_queue(&a, &q, 1, 1, root, 4, 1), SNPU_ADM_S_OK);
	t_await(&q, VA, SNPU_SEM_GE, 1, 0);
	t_ring(&q);
	CHECK(T_WAIT(snpu_machine_sleeping(m)), "no sleep");
	CHECK_EQ(seg_revoke(0), SNPU_ADM_S_OK);
	CHECK(T_WAIT(q.cpl->state == SNPU_QSTATE_FAULT), "still waits");
	CHECK_EQ(q.cpl->error, SNPU_ERR_FABRIC);
	end();
}

static void poison(void)
{
	uint64_t own;
	struct t_queue q;

	start();
	own = t_hbm_alloc(&a, 16384, 4096);
	t_map(&a, root, VA, 16384, T_LEAF_HBM(own));
	t_map(&a, root, VA + (1 << 20), 16384, T_LEAF_FABRIC(0, 0));
	CHECK_EQ(seg_export(0, SNPU_SEG_READ | SNPU_SEG_WRITE, mem, 16384, TOKEN), SNPU_ADM_S_OK);
	CHECK_EQ(seg_import(0, 1, 0, TOKEN), SNPU_ADM_S_OK);
	CHECK_EQ(snpu_npu_inject_ue(a.npu, own + 4096 + 17), 0);
	CHECK_EQ(snpu_npu_inject_ue(a.npu, 64u << 20), -ERANGE);
	CHECK_EQ(snpu_npu_inject_ue(b.npu, mem + 8192), 0);
	CHECK_EQ(snpu_npu_reg_read(a.npu, SNPU_REG_RAS_UE, 8), 1);
	CHECK_EQ(access_at(VA + 4088, false), 0);
	CHECK_EQ(access_at(VA + 4096, false), SNPU_ERR_POISON);
	CHECK_EQ(access_at(VA + 8184, false), SNPU_ERR_POISON);
	CHECK_EQ(access_at(VA + 8192, false), 0);
	CHECK_EQ(access_at(VA + (1 << 20) + 4096, false), 0);
	CHECK_EQ(access_at(VA + (1 << 20) + 8192, false), SNPU_ERR_POISON);
	/* a copy faults where the poison begins */
	t_queue(&a, &q, 31, 1, root, 4, 1);
	t_copy(&q, VA, VA + (1 << 20), 8192);
	t_ring(&q);
	CHECK(!t_drain(&q), "copy out of poison");
	CHECK_EQ(q.cpl->error, SNPU_ERR_POISON);
	CHECK_EQ(q.cpl->fault_va, VA + 4096);
	t_queue_op(&q, SNPU_ADM_QUEUE_DESTROY);
	/* writing a part does not help, writing the page does; scrub does, too */
	CHECK_EQ(access_at(VA + 4096, true), 0);
	CHECK_EQ(access_at(VA + 4096, false), SNPU_ERR_POISON);
	a.mb->scrub.offset = own + 4096;
	a.mb->scrub.bytes = 4096;
	CHECK_EQ(t_admin(&a, SNPU_ADM_SCRUB), SNPU_ADM_S_OK);
	CHECK_EQ(access_at(VA + 4096, false), 0);
	CHECK_EQ(*(uint64_t *)(a.hbm + own + 4096), 0);
	t_queue(&a, &q, 30, 1, root, 4, 1);
	t_copy(&q, VA, VA + (1 << 20) + 8192, 4096);
	t_await(&q, VA + (1 << 20) + 8192, SNPU_SEM_GE, 0, 0);
	t_ring(&q);
	CHECK(t_drain(&q), "a full write heals: error %u", q.cpl->error);
	CHECK_EQ(snpu_npu_inject_ce(a.npu, 4096), 0);
	CHECK_EQ(snpu_npu_reg_read(a.npu, SNPU_REG_RAS_CE, 8), 1);
	end();
}

int main(int argc, char **argv)
{
	static const struct t_case cases[] = {
		{ "token_bounds_permission", token_bounds_permission },
		{ "arguments", arguments },
		{ "revoke_under_load", revoke_under_load },
		{ "revoke_under_wait", revoke_under_wait },
		{ "poison", poison },
	};

	return t_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
}
