// SPDX-License-Identifier: GPL-2.0-only
/*
 * snpu KUnit tests: what can be tested without a device. They run when the module is loaded.
 */
#include <kunit/test.h>

#include "snpu_drv.h"

#include <snpu_pt.h>

/* ---- page tables against a flat shadow ------------------------------------------------------ */

#define PT_TABLES	64
#define PT_PAGES	2048		/* pages of the shadow: four large leaves */
#define PT_VA		(5ull << 30)	/* where they begin */

struct pt_test {
	u64 (*tables)[SNPU_PT_ENTRIES];
	DECLARE_BITMAP(used, PT_TABLES);
	unsigned int allocs;
	int fail_after;
	u64 *shadow;
};

static u64 pt_test_read(void *priv, u64 table, unsigned int idx)
{
	struct pt_test *t = priv;

	return t->tables[table >> SNPU_PAGE_SHIFT][idx];
}

static void pt_test_write(void *priv, u64 table, unsigned int idx, u64 pte)
{
	struct pt_test *t = priv;

	t->tables[table >> SNPU_PAGE_SHIFT][idx] = pte;
}

static int pt_test_alloc(void *priv, u64 *table)
{
	struct pt_test *t = priv;
	unsigned int i = find_first_zero_bit(t->used, PT_TABLES);

	if (i == PT_TABLES || !t->fail_after--)
		return -ENOSPC;
	__set_bit(i, t->used);
	memset(t->tables[i], 0, sizeof(t->tables[i]));
	t->allocs++;
	*table = (u64)i << SNPU_PAGE_SHIFT;
	return 0;
}

static void pt_test_free(void *priv, u64 table)
{
	struct pt_test *t = priv;

	__clear_bit(table >> SNPU_PAGE_SHIFT, t->used);
}

static const struct snpu_pt_ops pt_test_ops = {
	.read = pt_test_read,
	.write = pt_test_write,
	.alloc = pt_test_alloc,
	.free = pt_test_free,
};

/* What the device would find; 0: nothing */
static u64 pt_test_walk(struct pt_test *t, u64 va)
{
	int level = SNPU_PT_LEVELS - 1;
	u64 table = 0;

	for (; level >= 0; level--) {
		u64 pte = pt_test_read(t, table, snpu_pt_index(va, level));

		if (!(pte & SNPU_PTE_VALID))
			return 0;
		if (pte & SNPU_PTE_LEAF)
			return pte + (va & (BIT_ULL(snpu_pt_shift(level)) - 1) &
				      ~(u64)(SNPU_PAGE_SIZE - 1));
		table = snpu_pte_addr(pte);
	}
	return 0;
}

static struct pt_test *pt_test_make(struct kunit *test)
{
	struct pt_test *t = kunit_kzalloc(test, sizeof(*t), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, t);
	t->tables = kunit_kcalloc(test, PT_TABLES, sizeof(*t->tables), GFP_KERNEL);
	t->shadow = kunit_kcalloc(test, PT_PAGES, sizeof(*t->shadow), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, t->tables);
	KUNIT_ASSERT_NOT_NULL(test, t->shadow);
	t->fail_after = -1;
	__set_bit(0, t->used);	/* the root */
	return t;
}

static void pt_test_compare(struct kunit *test, struct pt_test *t)
{
	unsigned int i;

	for (i = 0; i < PT_PAGES; i++)
		KUNIT_ASSERT_EQ_MSG(test, pt_test_walk(t, PT_VA + ((u64)i << SNPU_PAGE_SHIFT)),
				    t->shadow[i], "page %u", i);
}

static u32 pt_test_random(u32 *state)
{
	*state = *state * 1664525 + 1013904223;
	return *state >> 8;
}

static void snpu_test_pte(struct kunit *test)
{
	u64 rw = SNPU_PTE_READ | SNPU_PTE_WRITE;

	KUNIT_EXPECT_EQ(test, snpu_pte_leaf(SNPU_APERTURE_HBM, 0x1000, 0, SNPU_PTE_READ),
			0x100bull);
	KUNIT_EXPECT_EQ(test, snpu_pte_leaf(SNPU_APERTURE_HOST, 0x123456000, 0, rw),
			0x12345601full);
	KUNIT_EXPECT_EQ(test, snpu_pte_leaf(SNPU_APERTURE_FABRIC, 0, 1023, rw),
			0x3ff000000000002full);
	KUNIT_EXPECT_EQ(test, snpu_pte_leaf(SNPU_APERTURE_FABRIC, 0x1000, 1025, rw),
			0x001100000000102full);
	KUNIT_EXPECT_EQ(test, snpu_pte_import(snpu_pte_leaf(SNPU_APERTURE_FABRIC, 0x1000, 16382,
							    rw)), 16382);
	KUNIT_EXPECT_EQ(test, snpu_pte_table(0x7000), 0x7001ull);
	KUNIT_EXPECT_EQ(test, snpu_pte_leaf(SNPU_APERTURE_FABRIC, SNPU_PTE_ADDR_MASK, 16383, rw) &
			SNPU_PTE_RSVD_MASK, 0ull);
}

static void snpu_test_pt_random(struct kunit *test)
{
	struct pt_test *t = pt_test_make(test);
	u32 state = 1;
	int round;

	for (round = 0; round < 400; round++) {
		u32 first = pt_test_random(&state) % PT_PAGES;
		u32 n = 1 + pt_test_random(&state) % (PT_PAGES - first);
		u64 va = PT_VA + ((u64)first << SNPU_PAGE_SHIFT);
		u64 bytes = (u64)n << SNPU_PAGE_SHIFT;
		u64 addr = (u64)pt_test_random(&state) << SNPU_PAGE_SHIFT;
		u64 leaf;
		u32 i;

		if (round & 1)	/* so that large leaves come about */
			addr = (addr & ~(u64)(SNPU_HUGE_SIZE - 1)) | (va & (SNPU_HUGE_SIZE - 1));
		leaf = snpu_pte_leaf(SNPU_APERTURE_HOST, addr, 0, SNPU_PTE_READ);
		t->allocs = 0;
		KUNIT_ASSERT_EQ(test, 0, snpu_pt_unmap(&pt_test_ops, t, 0, va, bytes));
		KUNIT_EXPECT_LE(test, t->allocs, 2);
		if (round % 3)
			KUNIT_ASSERT_EQ(test, 0, snpu_pt_map(&pt_test_ops, t, 0, va, bytes, leaf));
		KUNIT_EXPECT_LE(test, (u64)t->allocs, snpu_pt_tables_max(va, bytes) + 2);
		for (i = 0; i < n; i++)
			t->shadow[first + i] = round % 3 ? leaf + ((u64)i << SNPU_PAGE_SHIFT) : 0;
		pt_test_compare(test, t);
	}
	snpu_pt_destroy(&pt_test_ops, t, 0);
	KUNIT_EXPECT_EQ(test, bitmap_weight(t->used, PT_TABLES), 1);
}

static void snpu_test_pt_exist(struct kunit *test)
{
	struct pt_test *t = pt_test_make(test);
	u64 leaf = snpu_pte_leaf(SNPU_APERTURE_HBM, 0, 0, SNPU_PTE_READ);

	KUNIT_ASSERT_EQ(test, 0, snpu_pt_map(&pt_test_ops, t, 0, PT_VA, SNPU_HUGE_SIZE, leaf));
	/* to take a page out of a large leaf takes a table */
	t->fail_after = 0;
	KUNIT_EXPECT_EQ(test, -ENOSPC,
			snpu_pt_unmap(&pt_test_ops, t, 0, PT_VA, SNPU_PAGE_SIZE));
	KUNIT_EXPECT_NE(test, pt_test_walk(t, PT_VA), 0ull);
	t->fail_after = -1;
	KUNIT_EXPECT_EQ(test, -EEXIST,
			snpu_pt_map(&pt_test_ops, t, 0, PT_VA, SNPU_HUGE_SIZE, leaf));
}

/* The driver's bound must hold, or VM_BIND fails half way */
static void snpu_test_table_bound(struct kunit *test)
{
	struct pt_test *t = pt_test_make(test);
	struct snpu_seg *segs = kunit_kcalloc(test, 64, sizeof(*segs), GFP_KERNEL);
	u32 state = 7;
	int round;

	KUNIT_ASSERT_NOT_NULL(test, segs);
	for (round = 0; round < 300; round++) {
		u64 off = 0, skip, va, bytes, bound;
		const struct snpu_seg *seg;
		u32 n = 0;

		while (off < 6 * SNPU_HUGE_SIZE && n < 64) {
			u64 len = (1 + pt_test_random(&state) % 700) * SNPU_PAGE_SIZE;
			u64 addr = (u64)pt_test_random(&state) << SNPU_PAGE_SHIFT;

			if (round % 3 == 0) {
				len = SNPU_HUGE_SIZE;
				addr &= ~(u64)(SNPU_HUGE_SIZE - 1);
			}
			segs[n++] = (struct snpu_seg){ off, addr, len };
			off += len;
		}
		skip = pt_test_random(&state) % (off >> SNPU_PAGE_SHIFT) << SNPU_PAGE_SHIFT;
		bytes = (1 + pt_test_random(&state) % ((off - skip) >> SNPU_PAGE_SHIFT)) <<
			SNPU_PAGE_SHIFT;
		va = PT_VA + (pt_test_random(&state) % 1024 << SNPU_PAGE_SHIFT);
		if (round & 1)
			va = (va & ~(u64)(SNPU_HUGE_SIZE - 1)) | (skip & (SNPU_HUGE_SIZE - 1));
		bound = snpu_vm_tables(segs, n, va, bytes, skip);
		t->allocs = 0;
		for (seg = snpu_seg_find(segs, n, skip); bytes; seg++) {
			u64 in = skip - seg->off;
			u64 len = min(seg->bytes - in, bytes);

			KUNIT_ASSERT_EQ(test, 0, snpu_pt_map(&pt_test_ops, t, 0, va, len,
							     snpu_pte_leaf(0, seg->addr + in, 0,
									   SNPU_PTE_READ)));
			va += len;
			skip += len;
			bytes -= len;
		}
		KUNIT_EXPECT_LE_MSG(test, (u64)t->allocs + 2, bound, "round %d", round);
		snpu_pt_destroy(&pt_test_ops, t, 0);
	}
}

/* ---- segments ------------------------------------------------------------------------------- */

static void snpu_test_seg_find(struct kunit *test)
{
	static const struct snpu_seg segs[] = {
		{ 0x0000, 0x9000, 0x1000 }, { 0x1000, 0x5000, 0x3000 }, { 0x4000, 0x0000, 0x1000 },
	};

	KUNIT_EXPECT_PTR_EQ(test, snpu_seg_find(segs, 3, 0), &segs[0]);
	KUNIT_EXPECT_PTR_EQ(test, snpu_seg_find(segs, 3, 0x1000), &segs[1]);
	KUNIT_EXPECT_PTR_EQ(test, snpu_seg_find(segs, 3, 0x3fff), &segs[1]);
	KUNIT_EXPECT_PTR_EQ(test, snpu_seg_find(segs, 3, 0x4fff), &segs[2]);
	KUNIT_EXPECT_NULL(test, snpu_seg_find(segs, 3, 0x5000));
	KUNIT_EXPECT_NULL(test, snpu_seg_find(segs, 0, 0));
}

/* ---- events --------------------------------------------------------------------------------- */

static void snpu_test_event_check(struct kunit *test)
{
	struct snpu_event_cursor cur = { .cons = 100, .log2 = 4, .num_queues = 8 };

	KUNIT_EXPECT_EQ(test, 0, snpu_event_check(&cur, 100));
	KUNIT_EXPECT_EQ(test, 16, snpu_event_check(&cur, 116));
	KUNIT_EXPECT_EQ(test, -EPROTO, snpu_event_check(&cur, 117));
	KUNIT_EXPECT_EQ(test, -EPROTO, snpu_event_check(&cur, 99));
	KUNIT_EXPECT_EQ(test, -EPROTO, snpu_event_check(&cur, 0));
	cur.cons = U64_MAX;
	KUNIT_EXPECT_EQ(test, 3, snpu_event_check(&cur, 2));
}

static void snpu_test_event_next(struct kunit *test)
{
	struct snpu_event_cursor cur = { .cons = 0xffffffff, .log2 = 4, .num_queues = 8 };
	struct snpu_event_entry in = { .type = SNPU_EVT_QUEUE_FAULT, .queue = 7, .code = 4 };
	struct snpu_event_entry out;

	/* the sequence number wraps with the index */
	KUNIT_EXPECT_EQ(test, 0, snpu_event_next(&cur, &in, &out));
	KUNIT_EXPECT_EQ(test, out.code, 4u);
	in.seq = 1;
	KUNIT_EXPECT_EQ(test, -EPROTO, snpu_event_next(&cur, &in, &out));
	in.seq = 0;
	in.queue = 8;
	KUNIT_EXPECT_EQ(test, -EINVAL, snpu_event_next(&cur, &in, &out));
	in.queue = SNPU_EVT_NO_QUEUE;
	KUNIT_EXPECT_EQ(test, -EINVAL, snpu_event_next(&cur, &in, &out));
	in.type = SNPU_EVT_ECC_CE;
	KUNIT_EXPECT_EQ(test, 0, snpu_event_next(&cur, &in, &out));
	in.type = SNPU_EVT_NONE;
	KUNIT_EXPECT_EQ(test, -EINVAL, snpu_event_next(&cur, &in, &out));
	in.type = SNPU_EVT_MAX + 1;
	KUNIT_EXPECT_EQ(test, -EINVAL, snpu_event_next(&cur, &in, &out));
}

/* ---- fences --------------------------------------------------------------------------------- */

static void snpu_test_fence_order(struct kunit *test)
{
	static const u64 order[] = { 5, 1, 9, 5, 3, 7, 2 };
	struct snpu_fence *fences = kunit_kcalloc(test, ARRAY_SIZE(order), sizeof(*fences),
						  GFP_KERNEL);
	struct snpu_fence *pos;
	LIST_HEAD(list);
	LIST_HEAD(done);
	u64 last = 0;
	size_t i;

	KUNIT_ASSERT_NOT_NULL(test, fences);
	for (i = 0; i < ARRAY_SIZE(order); i++) {
		fences[i].position = order[i];
		snpu_fence_insert(&list, &fences[i]);
	}
	snpu_fences_take(&list, 0, &done);
	KUNIT_EXPECT_TRUE(test, list_empty(&done));
	snpu_fences_take(&list, 5, &done);
	KUNIT_EXPECT_EQ(test, list_count_nodes(&done), 5);
	KUNIT_EXPECT_EQ(test, list_first_entry(&list, struct snpu_fence, link)->position, 7ull);
	snpu_fences_take(&list, U64_MAX, &done);
	KUNIT_EXPECT_TRUE(test, list_empty(&list));
	list_for_each_entry(pos, &done, link) {
		KUNIT_EXPECT_GE(test, pos->position, last);
		last = pos->position;
	}
	/* equals in the order they were made */
	KUNIT_EXPECT_PTR_EQ(test, list_next_entry(&fences[0], link), &fences[3]);
}

/* ---- numbers that clients share -------------------------------------------------------------- */

static u32 snpu_test_pool_fill(struct snpu_pool *pool, u32 *mine, int *why)
{
	u32 n = 0;

	while (!(*why = snpu_pool_take(pool, mine)))
		n++;
	return n;
}

static void snpu_test_pool(struct kunit *test)
{
	static const u32 sizes[] = { 0, 1, 7, 8, 9, 63, 1023, 1024 };
	size_t i;
	int why;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct snpu_pool pool = { .size = sizes[i] };
		u32 eighth = sizes[i] / 8, first = 0, late = 0, third = 0;

		snpu_test_pool_fill(&pool, &first, &why);
		KUNIT_EXPECT_EQ(test, first, sizes[i] - eighth);
		KUNIT_EXPECT_EQ(test, why, eighth ? -EMFILE : -ENOSPC);
		/* the driver is nobody's client */
		if (eighth > 1)
			KUNIT_EXPECT_EQ(test, snpu_pool_take(&pool, NULL), 0);
		KUNIT_EXPECT_EQ(test, snpu_test_pool_fill(&pool, &late, &why),
				eighth > 1 ? eighth - 1 : eighth);
		KUNIT_EXPECT_EQ(test, why, -ENOSPC);
		KUNIT_EXPECT_EQ(test, pool.used, sizes[i]);
		KUNIT_EXPECT_EQ(test, snpu_test_pool_fill(&pool, &third, &why), 0);
	}
}

static struct kunit_case snpu_kunit_cases[] = {
	KUNIT_CASE(snpu_test_pte),
	KUNIT_CASE(snpu_test_pt_random),
	KUNIT_CASE(snpu_test_pt_exist),
	KUNIT_CASE(snpu_test_table_bound),
	KUNIT_CASE(snpu_test_seg_find),
	KUNIT_CASE(snpu_test_event_check),
	KUNIT_CASE(snpu_test_event_next),
	KUNIT_CASE(snpu_test_fence_order),
	KUNIT_CASE(snpu_test_pool),
	{ }
};

static struct kunit_suite snpu_kunit_suite = {
	.name = "snpu",
	.test_cases = snpu_kunit_cases,
};

kunit_test_suite(snpu_kunit_suite);
