// SPDX-License-Identifier: MIT
/*
 * Encodings, page-table walks, the TLB and its invalidation.
 *
 * Probes are semaphore signals: eight bytes written through the MMU, and nothing else.
 */
#include "harness.h"

#include <sched.h>
#include <string.h>

static struct snpu_machine *m;
static struct t_drv d;
static uint64_t root;
static unsigned int next_queue;

static void start(void)
{
	m = t_machine(2, 2, NULL);
	t_drv_init(&d, m, 0);
	root = t_ctx(&d, 1);
	next_queue = 0;
}

static void end(void)
{
	t_drv_end(&d);
	t_machine_end(m);
}

static uint64_t *table(uint64_t off)
{
	return (uint64_t *)(d.hbm + off);
}

static uint64_t new_table(void)
{
	uint64_t off = t_hbm_alloc(&d, 4096, 4096);

	memset(d.hbm + off, 0, 4096);
	return off;
}

/* Writes @val at @va through a queue; the error it faults with, or 0 */
static unsigned int poke(uint64_t va, uint64_t val, bool read)
{
	static struct t_queue q;
	unsigned int err = 0;

	if (!next_queue) {
		CHECK_EQ(t_queue(&d, &q, 0, 1, root, 6, 1), SNPU_ADM_S_OK);
		next_queue = 1;
	}
	if (read)
		t_await(&q, va, SNPU_SEM_GE, 0, 0);
	else
		t_signal(&q, va, SNPU_SEM_SET, val);
	t_ring(&q);
	if (!t_drain(&q)) {
		err = q.cpl->error;
		CHECK_EQ(q.cpl->fault_va, va);
		CHECK_EQ(t_queue_op(&q, SNPU_ADM_QUEUE_DESTROY), SNPU_ADM_S_OK);
		/* same ring, same record, new life */
		d.mb->queue.queue = 0;
		d.mb->queue.ctx = 1;
		d.mb->queue.ring_va = q.ring_va;
		d.mb->queue.cpl_addr = q.cpl_addr;
		d.mb->queue.ring_log2 = 6;
		d.mb->queue.prio = 1;
		d.mb->queue.vector = 1;
		CHECK_EQ(t_admin(&d, SNPU_ADM_QUEUE_CREATE), SNPU_ADM_S_OK);
		q.head = 0;
	}
	return err;
}

static void encodings(void)
{
	uint64_t leaf = snpu_pte_leaf(SNPU_APERTURE_FABRIC, 0x123456789000ull, 0x155,
				      SNPU_PTE_READ);

	CHECK_EQ(leaf & SNPU_PTE_RSVD_MASK, 0);
	CHECK_EQ(snpu_pte_addr(leaf), 0x123456789000ull);
	CHECK_EQ((leaf & SNPU_PTE_IMPORT_MASK) >> SNPU_PTE_IMPORT_SHIFT, 0x155);
	CHECK_EQ(leaf & SNPU_PTE_IMPORT_HIGH_MASK, 0);
	CHECK_EQ(snpu_pte_import(leaf), 0x155);
	leaf = snpu_pte_leaf(SNPU_APERTURE_FABRIC, 0x923456789000ull, 0x2d55, SNPU_PTE_READ);
	CHECK_EQ((leaf & SNPU_PTE_IMPORT_MASK) >> SNPU_PTE_IMPORT_SHIFT, 0x155);
	CHECK_EQ((leaf & SNPU_PTE_IMPORT_HIGH_MASK) >> SNPU_PTE_IMPORT_HIGH_SHIFT, 0xb);
	CHECK_EQ(snpu_pte_import(leaf), 0x2d55);
	CHECK_EQ(leaf & SNPU_PTE_SEG_ADDR_MASK, 0x923456789000ull);
	CHECK_EQ(leaf & SNPU_PTE_RSVD_MASK, 0);
	CHECK_EQ((leaf & SNPU_PTE_APERTURE_MASK) >> SNPU_PTE_APERTURE_SHIFT, 2);
	CHECK_EQ(leaf & 0xf, 0xb);
	CHECK_EQ(snpu_pte_table(0x7000), 0x7001);
	CHECK_EQ(SNPU_PTE_RSVD_MASK, 0xc0000000000000c0ull | 0xf00);
	CHECK_EQ(sizeof(union snpu_pkt), 64);
	CHECK_EQ(offsetof(struct snpu_pkt_sem, timeout_ns), 24);
	CHECK_EQ(offsetof(struct snpu_pkt_misc, count), 16);
	CHECK_EQ(offsetof(struct snpu_pkt_matmul, lda), 52);
	CHECK_EQ(offsetof(struct snpu_cpl, irq_at), 64);
	CHECK_EQ(offsetof(struct snpu_admin_mbox, rsp_seq), 128);
}

static void walks(void)
{
	uint64_t mem, huge, i;

	start();
	mem = t_hbm_alloc(&d, 16 * 4096, 4096);
	huge = t_hbm_alloc(&d, 4u << 20, SNPU_HUGE_SIZE);
	/* small pages, each elsewhere and in reverse order */
	for (i = 0; i < 16; i++)
		t_map(&d, root, 0x40000000ull + i * 4096, 4096, T_LEAF_HBM(mem + (15 - i) * 4096));
	/* two huge pages, swapped, right behind a small one */
	t_map(&d, root, 0x80000000ull, SNPU_HUGE_SIZE, T_LEAF_HBM(huge + SNPU_HUGE_SIZE));
	t_map(&d, root, 0x80000000ull + SNPU_HUGE_SIZE, SNPU_HUGE_SIZE, T_LEAF_HBM(huge));
	/* top of the address space */
	t_map(&d, root, (1ull << 48) - 4096, 4096, T_LEAF_HBM(mem));
	for (i = 0; i < 16; i++) {
		CHECK_EQ(poke(0x40000000ull + i * 4096 + 8 * i, 100 + i, false), 0);
		CHECK_EQ(*table(mem + (15 - i) * 4096 + 8 * i), 100 + i);
	}
	CHECK_EQ(poke(0x80000000ull + SNPU_HUGE_SIZE - 8, 1, false), 0);
	CHECK_EQ(poke(0x80000000ull + SNPU_HUGE_SIZE, 2, false), 0);
	CHECK_EQ(*table(huge + 2 * SNPU_HUGE_SIZE - 8), 1);
	CHECK_EQ(*table(huge), 2);
	CHECK_EQ(poke((1ull << 48) - 8, 3, false), 0);
	CHECK_EQ(*table(mem + 4088), 3);
	end();
}

static void faults(void)
{
	const uint64_t va = 0x40000000ull, rw = SNPU_PTE_READ | SNPU_PTE_WRITE;
	uint64_t l2, l1, l0, mem, ok, bad;
	unsigned int i;
	struct {
		const char *what;
		uint64_t pte;
		unsigned int err;
	} leaf[] = {
		{ "invalid", 0, SNPU_ERR_UNMAPPED },
		{ "invalid but filled", T_LEAF_HBM(0x4000) & ~SNPU_PTE_VALID, SNPU_ERR_UNMAPPED },
		{ "read only", snpu_pte_leaf(0, 0x4000, 0, SNPU_PTE_READ), SNPU_ERR_PERM },
		{ "no rights", snpu_pte_leaf(0, 0x4000, 0, 0), SNPU_ERR_PERM },
		{ "reserved bit 6", T_LEAF_HBM(0x4000) | 1 << 6, SNPU_ERR_PTE },
		{ "reserved bit 11", T_LEAF_HBM(0x4000) | 1 << 11, SNPU_ERR_PTE },
		{ "reserved bit 63", T_LEAF_HBM(0x4000) | 1ull << 63, SNPU_ERR_PTE },
		{ "aperture 3", snpu_pte_leaf(3, 0x4000, 0, rw), SNPU_ERR_PTE },
		{ "import on HBM", snpu_pte_leaf(0, 0x4000, 5, rw), SNPU_ERR_PTE },
		{ "beyond HBM", T_LEAF_HBM(64u << 20), SNPU_ERR_PTE },
		{ "far beyond HBM", T_LEAF_HBM(SNPU_PTE_ADDR_MASK), SNPU_ERR_PTE },
		{ "link at level 0", snpu_pte_table(0x4000), SNPU_ERR_PTE },
		{ "no DMA there", T_LEAF_HOST(0x1000), SNPU_ERR_BUS },
		{ "no such import", T_LEAF_FABRIC(3, 0), SNPU_ERR_FABRIC },
		{ "import out of range", T_LEAF_FABRIC(1023, 0), SNPU_ERR_FABRIC },
	}, link[] = {
		{ "link with READ", SNPU_PTE_READ, SNPU_ERR_PTE },
		{ "link with aperture", 1 << SNPU_PTE_APERTURE_SHIFT, SNPU_ERR_PTE },
		{ "link with import", 1ull << SNPU_PTE_IMPORT_SHIFT, SNPU_ERR_PTE },
		{ "link with reserved bit", 1 << 8, SNPU_ERR_PTE },
	};

	start();
	l2 = new_table();
	l1 = new_table();
	l0 = new_table();
	mem = t_hbm_alloc(&d, 4096, 4096);
	table(root)[0] = snpu_pte_table(l2);
	table(l2)[1] = snpu_pte_table(l1);
	table(l1)[0] = snpu_pte_table(l0);
	ok = T_LEAF_HBM(mem);
	for (i = 0; i < sizeof(leaf) / sizeof(leaf[0]); i++) {
		table(l0)[0] = leaf[i].pte;
		t_inval(&d, 1, va, 4096);
		bad = poke(va, 1, false);
		CHECK(bad == leaf[i].err, "%s: error %llu, expected %u", leaf[i].what,
		      (unsigned long long)bad, leaf[i].err);
	}
	table(l0)[0] = snpu_pte_leaf(0, mem, 0, SNPU_PTE_WRITE);
	t_inval(&d, 1, va, 4096);
	CHECK_EQ(poke(va, 0, true), SNPU_ERR_PERM);
	table(l0)[0] = ok;
	t_inval(&d, 1, va, 4096);
	CHECK_EQ(poke(va, 1, false), 0);
	for (i = 0; i < sizeof(link) / sizeof(link[0]); i++) {
		table(l1)[0] = snpu_pte_table(l0) | link[i].pte;
		t_inval(&d, 1, 0, 0);
		bad = poke(va, 1, false);
		CHECK(bad == link[i].err, "%s: error %llu", link[i].what,
		      (unsigned long long)bad);
	}
	/* tables outside of HBM */
	table(l1)[0] = snpu_pte_table(64u << 20);
	t_inval(&d, 1, 0, 0);
	CHECK_EQ(poke(va, 1, false), SNPU_ERR_PTE);
	table(l1)[0] = snpu_pte_table(SNPU_PTE_ADDR_MASK);
	CHECK_EQ(poke(va, 1, false), SNPU_ERR_PTE);
	/* huge leaves: unaligned, or too high up */
	table(l1)[0] = T_LEAF_HBM(0x1000);
	CHECK_EQ(poke(va, 1, false), SNPU_ERR_PTE);
	table(l1)[0] = T_LEAF_HBM(64u << 20);
	CHECK_EQ(poke(va, 1, false), SNPU_ERR_PTE);
	table(l1)[0] = snpu_pte_table(l0);
	table(l2)[1] = T_LEAF_HBM(0);
	CHECK_EQ(poke(va, 1, false), SNPU_ERR_PTE);
	/* a table that is its own parent ends at level 0 */
	table(l2)[1] = snpu_pte_table(l2);
	table(l2)[0] = snpu_pte_table(l2);
	CHECK_EQ(poke(va, 1, false), SNPU_ERR_PTE);
	end();
}

/* A cached entry is used until it is invalidated, and not one packet longer */
static void invalidation(void)
{
	const uint64_t va = 0x40000000ull;
	uint64_t a, b, l0 = 0, i;

	start();
	a = t_hbm_alloc(&d, SNPU_HUGE_SIZE, SNPU_HUGE_SIZE);
	b = t_hbm_alloc(&d, SNPU_HUGE_SIZE, SNPU_HUGE_SIZE);
	t_map(&d, root, va, 64 * 4096, T_LEAF_HBM(a));
	/* the builder made the tables: find the last one */
	l0 = snpu_pte_addr(table(snpu_pte_addr(table(snpu_pte_addr(table(root)[0]))[1]))[0]);
	for (i = 0; i < 64; i++)
		CHECK_EQ(poke(va + i * 4096, i, false), 0);
	for (i = 0; i < 64; i++)
		table(l0)[i] = T_LEAF_HBM(b + i * 4096);
	/* precisely one page */
	CHECK_EQ(t_inval(&d, 1, va + 7 * 4096, 4096), SNPU_ADM_S_OK);
	CHECK_EQ(poke(va + 7 * 4096, 77, false), 0);
	CHECK_EQ(*table(b + 7 * 4096), 77);
	CHECK_EQ(*table(a + 7 * 4096), 7);
	/* more ranges than the log keeps */
	for (i = 0; i < 64; i++)
		CHECK_EQ(t_inval(&d, 1, va + i * 4096, 4096), SNPU_ADM_S_OK);
	for (i = 0; i < 64; i++) {
		CHECK_EQ(poke(va + i * 4096, 1000 + i, false), 0);
		CHECK_EQ(*table(b + i * 4096), 1000 + i);
	}
	/* one page of a huge leaf takes the leaf away */
	t_map(&d, root, va + (1ull << 30), SNPU_HUGE_SIZE, T_LEAF_HBM(a));
	CHECK_EQ(poke(va + (1ull << 30) + 4096, 5, false), 0);
	table(snpu_pte_addr(table(snpu_pte_addr(table(root)[0]))[2]))[0] = 0;
	CHECK_EQ(t_inval(&d, 1, va + (1ull << 30) + 10 * 4096, 4096), SNPU_ADM_S_OK);
	CHECK_EQ(poke(va + (1ull << 30) + 4096, 5, false), SNPU_ERR_UNMAPPED);
	/* making an entry valid needs none */
	CHECK_EQ(poke(va + (5ull << 30), 5, false), SNPU_ERR_UNMAPPED);
	t_map(&d, root, va + (5ull << 30), 4096, T_LEAF_HBM(a));
	CHECK_EQ(poke(va + (5ull << 30), 5, false), 0);
	/* arguments */
	CHECK_EQ(t_inval(&d, 1, 1, 4096), SNPU_ADM_S_BAD_ARG);
	CHECK_EQ(d.data[0], 24);
	CHECK_EQ(t_inval(&d, 1, 4096, (1ull << 48)), SNPU_ADM_S_BAD_ARG);
	CHECK_EQ(t_inval(&d, 2, 4096, 4096), SNPU_ADM_S_NOENT);
	CHECK_EQ(t_inval(&d, 99, 4096, 4096), SNPU_ADM_S_BAD_ARG);
	end();
}

/* Copies across borders of pages, apertures and page sizes, against memcpy */
static void boundaries(void)
{
	const uint64_t va = 0x7ffff000000ull, n = 6u << 20;
	uint64_t hbm, host, from_host, seed = 42, i;
	static uint8_t want[6u << 20];
	struct t_queue q;
	uint8_t *src;

	start();
	hbm = t_hbm_alloc(&d, 8u << 20, SNPU_HUGE_SIZE);
	host = t_host_alloc(&d, 4u << 20, SNPU_HUGE_SIZE);
	/* 1 MiB HBM in small pages, 1 MiB host, 2 MiB HBM huge, 2 MiB host in a huge leaf */
	for (i = 0; i < 256; i++)
		t_map(&d, root, va + i * 4096, 4096, T_LEAF_HBM(hbm + (i ^ 1) * 4096));
	t_map(&d, root, va + (1u << 20), 1u << 20, T_LEAF_HOST(host + (3u << 20)));
	t_map(&d, root, va + (2u << 20), 2u << 20, T_LEAF_HBM(hbm + (2u << 20)));
	t_map(&d, root, va + (4u << 20), 2u << 20, T_LEAF_HOST(host));
	from_host = t_host_alloc(&d, n, SNPU_HUGE_SIZE);
	src = t_host_ptr(&d, from_host);
	t_map(&d, root, va + (1ull << 30), n, T_LEAF_HOST(from_host));
	t_queue(&d, &q, 0, 1, root, 8, 1);
	for (i = 0; i < n; i++)
		want[i] = (uint8_t)t_rand(&seed);
	memcpy(src, want, n);
	t_copy(&q, va + (1ull << 30), va, n);
	for (i = 0; i < 100; i++) {
		uint64_t len = 1 + t_rand(&seed) % 200000;
		uint64_t from = t_rand(&seed) % (n - len), to = t_rand(&seed) % (n - len);

		if (from < to + len && to < from + len)
			continue;
		t_copy(&q, va + from, va + to, len);
		memcpy(want + to, want + from, len);
	}
	t_copy(&q, va, va + (1ull << 30), n);
	t_ring(&q);
	CHECK(t_drain(&q), "copies: error %u va 0x%llx", q.cpl->error,
	      (unsigned long long)q.cpl->fault_va);
	for (i = 0; i < n && src[i] == want[i]; i++)
		;
	CHECK(i == n, "byte %llu differs", (unsigned long long)i);
	/* the last byte decides */
	t_copy(&q, va + (1ull << 30), va + (5u << 20), (1u << 20) + 1);
	t_ring(&q);
	CHECK(!t_drain(&q), "copy past the end");
	CHECK_EQ(q.cpl->error, SNPU_ERR_UNMAPPED);
	CHECK_EQ(q.cpl->fault_va, va + n);
	end();
}

/* Memory without a descriptor: reached through the bus's own functions */
static void slow_memory(void)
{
	uint64_t host, hbm;
	struct t_queue q;
	uint64_t *p;

	start();
	hbm = t_hbm_alloc(&d, 1u << 20, 4096);
	t_queue(&d, &q, 0, 1, root, 6, 1);
	host = t_host_alloc(&d, 1u << 20, 4096);
	d.host.slow_from = (uint32_t)(host - T_HOST_IOVA);
	snpu_npu_bus_changed(d.npu);
	t_map(&d, root, 0x40000000, 1u << 20, T_LEAF_HOST(host));
	t_map(&d, root, 0x80000000, 1u << 20, T_LEAF_HBM(hbm));
	p = t_host_ptr(&d, host);
	p[0] = 5;
	memset(p + 512, 0xab, 8192);
	t_await(&q, 0x40000000, SNPU_SEM_EQ, 5, 0);
	t_signal(&q, 0x40000000, SNPU_SEM_ADD, 6);
	t_signal(&q, 0x40000008, SNPU_SEM_SET, 9);
	t_copy(&q, 0x40001000, 0x80000003, 8192);
	t_copy(&q, 0x80000003, 0x40010001, 8192);
	t_put(&q, SNPU_OP_TIMESTAMP)->misc.addr = 0x40000010;
	t_ring(&q);
	CHECK(t_drain(&q), "error %u va 0x%llx", q.cpl->error,
	      (unsigned long long)q.cpl->fault_va);
	CHECK_EQ(p[0], 11);
	CHECK_EQ(p[1], 9);
	CHECK(p[2] != 0, "no timestamp");
	CHECK(!memcmp((uint8_t *)p + 0x10001, p + 512, 8192), "copies differ");
	/* a completion record cannot live there */
	d.mb->queue.queue = 5;
	d.mb->queue.ctx = 1;
	d.mb->queue.cpl_addr = host;
	d.mb->queue.ring_log2 = 4;
	d.mb->queue.vector = 1;
	CHECK_EQ(t_admin(&d, SNPU_ADM_QUEUE_CREATE), SNPU_ADM_S_DMA);
	end();
}

int main(int argc, char **argv)
{
	static const struct t_case cases[] = {
		{ "encodings", encodings },
		{ "walks", walks },
		{ "faults", faults },
		{ "invalidation", invalidation },
		{ "boundaries", boundaries },
		{ "slow_memory", slow_memory },
	};

	return t_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
}
