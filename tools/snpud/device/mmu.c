// SPDX-License-Identifier: MIT
/*
 * Device MMU: walks the page tables in HBM, and a TLB for each queue.
 *
 * The TLB belongs to the owner of the queue, so looking something up takes no lock. Invalidations
 * are left in the context (or, for DMA mappings, as a generation in the NPU); the owner applies
 * them in snpu_mmu_sync(), at the start of every stay in a section. Who invalidates waits until all
 * sections that began before have ended, so an old entry is never used after that.
 *
 * Guests may write the tables at any time: each entry is read once, and what was read is checked.
 */
#include <errno.h>
#include <string.h>

#include "npu_priv.h"
#include "snpu_pt.h"

/* Up to how many equal, consecutive 4 KiB leaves one entry of the TLB may span */
#define COALESCE	32

static void tlb_drop(struct snpu_tlb *t, uint64_t start, uint64_t end)
{
	unsigned int i;

	for (i = 0; i < SNPU_TLB_SMALL; i++)
		if (t->small[i].va < end && t->small[i].end > start)
			t->small[i].end = 0;
	for (i = 0; i < SNPU_TLB_HUGE; i++)
		if (t->huge[i].va < end && t->huge[i].end > start)
			t->huge[i].end = 0;
}

void snpu_mmu_flush(struct snpu_queue *q)
{
	tlb_drop(&q->tlb, 0, UINT64_MAX);
	q->ring_host = NULL;
}

/* The completion record moved or vanished with a change of DMA mappings */
static void cpl_sync(struct snpu_queue *q)
{
	uint8_t *p;
	uint64_t run;
	int ret;

	ret = snpu_bus_translate(q->npu, q->cpl_addr, true, &p, &run);
	if (!ret && run >= sizeof(struct snpu_cpl)) {
		q->cpl = (struct snpu_cpl *)p;
		return;
	}
	q->dead_cpl = (struct snpu_cpl) { 0 };
	q->cpl = &q->dead_cpl;
	if (snpu_load(&q->run) != SNPU_RUN_FAULT && snpu_load(&q->run) != SNPU_RUN_STOPPED)
		snpu_queue_fault(q, SNPU_ERR_BUS, 0, q->cpl_addr, true);
}

/**
 * snpu_mmu_sync() - apply invalidations that came since the last call
 * @q: queue, owned; the worker is in a section
 */
void snpu_mmu_sync(struct snpu_queue *q)
{
	struct snpu_ctx *ctx = q->ctx;
	uint64_t gen = snpu_load_acq(&ctx->gen);
	uint64_t bus_gen = snpu_load_acq(&q->npu->bus_gen);

	if (bus_gen != q->bus_gen) {
		q->bus_gen = bus_gen;
		snpu_mmu_flush(q);
		cpl_sync(q);
	}
	if (gen == q->ctx_gen)
		return;
	if (gen - q->ctx_gen >= SNPU_INVAL_LOG) {
		snpu_mmu_flush(q);
	} else {
		for (; q->ctx_gen != gen; q->ctx_gen++) {
			const struct snpu_range *r = &ctx->inval[q->ctx_gen % SNPU_INVAL_LOG];

			tlb_drop(&q->tlb, r->start, r->end);
		}
		q->ring_host = NULL;
	}
	q->ctx_gen = gen;
}

static unsigned int pte_load(struct snpu_npu *n, uint64_t table, unsigned int idx, uint64_t *pte)
{
	uint64_t off = table + idx * 8ull;

	if (table > n->hbm_size - SNPU_PT_BYTES)
		return SNPU_ERR_PTE;
	/* reading a hole fills it */
	if (!snpu_mem_ok(n, off, sizeof(*pte)))
		return SNPU_ERR_NOMEM;
	if (snpu_load(&n->poisoned) && snpu_ras_hit(n, off))
		return SNPU_ERR_POISON;
	/* acquire: a table linked here was filled before the link was stored */
	*pte = snpu_load_acq((uint64_t *)(n->hbm + off));
	if ((*pte & SNPU_PTE_VALID) && (*pte & SNPU_PTE_RSVD_MASK))
		return SNPU_ERR_PTE;
	return SNPU_ERR_NONE;
}

static unsigned int leaf_check(const struct snpu_npu *n, uint64_t pte, unsigned int level)
{
	uint64_t addr = pte & SNPU_PTE_ADDR_MASK;	/* FABRIC: slot bits do no harm */
	uint64_t size = 1ull << (SNPU_PAGE_SHIFT + 9 * level);
	unsigned int ap = (pte & SNPU_PTE_APERTURE_MASK) >> SNPU_PTE_APERTURE_SHIFT;

	if (level > 1 || (addr & (size - 1)) || ap > SNPU_APERTURE_FABRIC)
		return SNPU_ERR_PTE;
	if (ap != SNPU_APERTURE_FABRIC && (pte & SNPU_PTE_IMPORT_MASK))
		return SNPU_ERR_PTE;
	if (ap == SNPU_APERTURE_HBM && (addr >= n->hbm_size || n->hbm_size - addr < size))
		return SNPU_ERR_PTE;
	return SNPU_ERR_NONE;
}

/* Walks to the leaf of @va; @table and @level say where it stands */
static unsigned int walk(struct snpu_npu *n, uint64_t root, uint64_t va, uint64_t *pte,
			 uint64_t *table, unsigned int *level)
{
	unsigned int l, err;
	uint64_t t = root;

	for (l = SNPU_PT_LEVELS - 1; ; l--) {
		unsigned int idx = (va >> (SNPU_PAGE_SHIFT + 9 * l)) & (SNPU_PT_ENTRIES - 1);

		err = pte_load(n, t, idx, pte);
		if (err)
			return err;
		if (!(*pte & SNPU_PTE_VALID))
			return SNPU_ERR_UNMAPPED;
		if (*pte & SNPU_PTE_LEAF)
			break;
		if (!l || (*pte & ~(SNPU_PTE_VALID | SNPU_PTE_ADDR_MASK)))
			return SNPU_ERR_PTE;
		t = *pte & SNPU_PTE_ADDR_MASK;
	}
	*table = t;
	*level = l;
	return leaf_check(n, *pte, l);
}

/* Fills @e for @va from the tables */
static unsigned int tlb_fill(struct snpu_queue *q, uint64_t va, bool write, struct snpu_tlbe *e)
{
	struct snpu_npu *n = q->npu;
	uint64_t pte, table, size, next, run;
	unsigned int level, err, idx, i;
	uint8_t *host;
	int ret;

	err = walk(n, q->ctx->root, va, &pte, &table, &level);
	if (err)
		return err;
	size = 1ull << (SNPU_PAGE_SHIFT + 9 * level);
	e->va = va & ~(size - 1);
	e->access = pte & (SNPU_PTE_READ | SNPU_PTE_WRITE);
	e->aperture = (pte & SNPU_PTE_APERTURE_MASK) >> SNPU_PTE_APERTURE_SHIFT;
	if (e->aperture == SNPU_APERTURE_FABRIC) {
		e->addr = pte & SNPU_PTE_SEG_ADDR_MASK;
		e->import = (uint16_t)snpu_pte_import(pte);
	} else {
		e->addr = pte & SNPU_PTE_ADDR_MASK;
		e->import = 0;
	}
	e->host = NULL;
	if (!level) {
		/* neighbours that continue this leaf join it: long runs make fast copies */
		idx = (va >> SNPU_PAGE_SHIFT) & (SNPU_PT_ENTRIES - 1);
		for (i = 1; i < COALESCE && idx + i < SNPU_PT_ENTRIES; i++) {
			if (pte_load(n, table, idx + i, &next) ||
			    next != pte + ((uint64_t)i << SNPU_PAGE_SHIFT) ||
			    leaf_check(n, next, 0))
				break;
		}
		size = (uint64_t)i << SNPU_PAGE_SHIFT;
	}
	if (e->aperture == SNPU_APERTURE_HBM) {
		e->host = n->hbm + e->addr;
	} else if (e->aperture == SNPU_APERTURE_HOST) {
		/* of the page that holds va: the others of a 2 MiB leaf may be elsewhere */
		uint64_t skip = (va & ~(uint64_t)(SNPU_PAGE_SIZE - 1)) - e->va;

		e->va += skip;
		e->addr += skip;
		size -= skip;
		ret = snpu_bus_translate(n, e->addr, write, &host, &run);
		if (ret && ret != -EOPNOTSUPP)
			return SNPU_ERR_BUS;
		run &= ~(uint64_t)(SNPU_PAGE_SIZE - 1);
		if (!run)
			return SNPU_ERR_BUS;
		if (!ret)
			e->host = host;
		/* the host may know the memory read-only: then this entry is, too */
		if (!write)
			e->access &= ~SNPU_PTE_WRITE;
		size = snpu_min64(size, run);
	}
	e->end = e->va + size;
	return SNPU_ERR_NONE;
}

static struct snpu_tlbe *tlb_find(struct snpu_tlb *t, uint64_t va)
{
	struct snpu_tlbe *e;
	unsigned int i;

	for (i = 0; i < SNPU_TLB_MRU; i++) {
		e = t->mru[i];
		if (e && va >= e->va && va < e->end)
			return e;
	}
	e = &t->huge[(va >> SNPU_HUGE_SHIFT) % SNPU_TLB_HUGE];
	if (va < e->va || va >= e->end) {
		e = &t->small[(va >> SNPU_PAGE_SHIFT) % SNPU_TLB_SMALL];
		if (va < e->va || va >= e->end)
			return NULL;
	}
	t->mru[t->mru_next++ % SNPU_TLB_MRU] = e;
	return e;
}

static struct snpu_tlbe *tlb_insert(struct snpu_tlb *t, uint64_t va, const struct snpu_tlbe *new)
{
	struct snpu_tlbe *e;

	if (new->end - new->va > COALESCE * SNPU_PAGE_SIZE)
		e = &t->huge[(va >> SNPU_HUGE_SHIFT) % SNPU_TLB_HUGE];
	else
		e = &t->small[(va >> SNPU_PAGE_SHIFT) % SNPU_TLB_SMALL];
	*e = *new;
	t->mru[t->mru_next++ % SNPU_TLB_MRU] = e;
	return e;
}

unsigned int snpu_mmu_resolve(struct snpu_queue *q, uint64_t va, uint64_t len, bool write,
			      struct snpu_mmu_hit *hit)
{
	uint32_t need = write ? SNPU_PTE_WRITE : SNPU_PTE_READ;
	struct snpu_npu *n = q->npu;
	struct snpu_tlbe *e, new;
	uint64_t skip, off;
	unsigned int err;

	if (va >> SNPU_VA_BITS)
		return SNPU_ERR_UNMAPPED;
	e = tlb_find(&q->tlb, va);
	if (!e || !(e->access & need)) {
		/* a cached entry without the right may be a host entry filled for the other
		 * access, so the tables decide
		 */
		err = tlb_fill(q, va, write, &new);
		if (err)
			return err;
		if (!(new.access & need))
			return SNPU_ERR_PERM;
		e = tlb_insert(&q->tlb, va, &new);
	}
	skip = va - e->va;
	hit->run = snpu_min64(e->end - va, len);
	hit->host = e->host ? e->host + skip : NULL;
	hit->iova = 0;
	hit->node = n->node;
	hit->addr = e->addr + skip;
	hit->aperture = e->aperture;
	switch (e->aperture) {
	case SNPU_APERTURE_HOST:
		hit->iova = hit->addr;
		return SNPU_ERR_NONE;
	case SNPU_APERTURE_FABRIC:
		/* the target decides anew on every access */
		err = snpu_fabric_resolve(n, e->import, e->addr + skip, write, &n, &off,
					  &hit->run);
		if (err)
			return err;
		hit->host = n->hbm + off;
		hit->node = n->node;
		hit->addr = off;
		break;
	default:
		break;
	}
	if (!snpu_mem_ok(n, hit->addr, hit->run))
		return SNPU_ERR_NOMEM;
	if (snpu_load(&n->poisoned))
		return snpu_ras_check(n, hit->addr, len, write, &hit->run);
	return SNPU_ERR_NONE;
}

bool snpu_mmu_needs_message(struct snpu_queue *q, uint64_t va, uint64_t len, bool write,
			    uint64_t *run)
{
	struct snpu_tlbe *e, new;

	*run = 0;
	if (va >> SNPU_VA_BITS)
		return false;
	e = tlb_find(&q->tlb, va);
	if (!e) {
		if (tlb_fill(q, va, write, &new))
			return false;
		e = tlb_insert(&q->tlb, va, &new);
	}
	*run = snpu_min64(e->end - va, len);
	return e->aperture == SNPU_APERTURE_HOST && !e->host;
}
