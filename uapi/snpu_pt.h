/* SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR MIT */
/*
 * snpu page tables: entry encoding, and one builder that the driver and the direct transport share.
 *
 * OS-neutral: tables are reached through struct snpu_pt_ops. Nothing here locks; the caller
 * serialises all calls on one address space, orders its table writes before the TLB_INVAL command,
 * and keeps tables given to ->free unused until that command has returned.
 */
#ifndef _SNPU_PT_H_
#define _SNPU_PT_H_

#include "snpu_hw.h"

#ifdef __KERNEL__
#include <linux/errno.h>
#else
#include <errno.h>
#endif

/**
 * struct snpu_pt_ops - how the builder reaches table memory
 * @read: entry @idx of the table at HBM offset @table
 * @write: sets that entry with one 64-bit store
 * @alloc: HBM offset of a zeroed 4 KiB table; 0 or a negative errno. Called only while mapping, or
 *         to split a 2 MiB leaf; never needs more than snpu_pt_tables_max() says
 * @free: takes a table that is no longer linked
 */
struct snpu_pt_ops {
	__u64 (*read)(void *priv, __u64 table, unsigned int idx);
	void (*write)(void *priv, __u64 table, unsigned int idx, __u64 pte);
	int (*alloc)(void *priv, __u64 *table);
	void (*free)(void *priv, __u64 table);
};

/**
 * snpu_pte_leaf() - encode a leaf
 * @aperture: SNPU_APERTURE_*
 * @addr: HBM offset, DMA address or segment offset, 4 KiB aligned
 * @import: import slot for FABRIC, else 0
 * @access: SNPU_PTE_READ | SNPU_PTE_WRITE
 */
static inline __u64 snpu_pte_leaf(unsigned int aperture, __u64 addr, unsigned int import,
				  __u64 access)
{
	return SNPU_PTE_VALID | SNPU_PTE_LEAF | access |
	       ((__u64)aperture << SNPU_PTE_APERTURE_SHIFT) | (addr & SNPU_PTE_ADDR_MASK) |
	       (((__u64)import << SNPU_PTE_IMPORT_SHIFT) & SNPU_PTE_IMPORT_MASK) |
	       ((__u64)(import >> SNPU_PTE_IMPORT_BITS) << SNPU_PTE_IMPORT_HIGH_SHIFT);
}

/** snpu_pte_import() - import slot of a FABRIC leaf */
static inline unsigned int snpu_pte_import(__u64 pte)
{
	return ((pte & SNPU_PTE_IMPORT_MASK) >> SNPU_PTE_IMPORT_SHIFT) |
	       ((pte & SNPU_PTE_IMPORT_HIGH_MASK) >> SNPU_PTE_IMPORT_HIGH_SHIFT <<
		SNPU_PTE_IMPORT_BITS);
}

/** snpu_pte_table() - encode a link to the next table at HBM offset @table */
static inline __u64 snpu_pte_table(__u64 table)
{
	return SNPU_PTE_VALID | (table & SNPU_PTE_ADDR_MASK);
}

static inline __u64 snpu_pte_addr(__u64 pte)
{
	return pte & SNPU_PTE_ADDR_MASK;
}

/** snpu_pt_shift() - address bits below the index of @level */
static inline unsigned int snpu_pt_shift(unsigned int level)
{
	return SNPU_PAGE_SHIFT + 9 * level;
}

static inline unsigned int snpu_pt_index(__u64 va, unsigned int level)
{
	return (va >> snpu_pt_shift(level)) & (SNPU_PT_ENTRIES - 1);
}

/**
 * snpu_pt_tables_max() - tables that a call on [@va, @va + @bytes) can ask ->alloc for
 * @va: first address
 * @bytes: length, not zero
 *
 * Return: an upper bound for map and for unmap (which may split a leaf at either end).
 */
static inline __u64 snpu_pt_tables_max(__u64 va, __u64 bytes)
{
	__u64 last = va + bytes - 1;
	__u64 n = 0;
	unsigned int level;

	for (level = 1; level < SNPU_PT_LEVELS; level++)
		n += (last >> snpu_pt_shift(level)) - (va >> snpu_pt_shift(level)) + 1;
	return n;
}

/* Finds, or with @create makes, the table of @level that covers @va; *@out 0: there is none */
static inline int snpu_pt_find(const struct snpu_pt_ops *ops, void *priv, __u64 root, __u64 va,
			       unsigned int level, int create, __u64 *out)
{
	__u64 table = root;
	unsigned int l;

	*out = 0;
	for (l = SNPU_PT_LEVELS - 1; l > level; l--) {
		unsigned int idx = snpu_pt_index(va, l);
		__u64 pte = ops->read(priv, table, idx);
		__u64 next;
		int ret;

		if (pte & SNPU_PTE_VALID) {
			unsigned int i;

			next = snpu_pte_addr(pte);
			if (pte & SNPU_PTE_LEAF) {
				if (!create)
					return -EEXIST;
				/* split: the same translation in 512 small leaves, then link */
				pte &= ~SNPU_PTE_ADDR_MASK;
				ret = ops->alloc(priv, &table);
				if (ret)
					return ret;
				for (i = 0; i < SNPU_PT_ENTRIES; i++)
					ops->write(priv, table, i,
						   pte | (next + ((__u64)i << SNPU_PAGE_SHIFT)));
				next = table;
				ret = snpu_pt_find(ops, priv, root, va, l, 0, &table);
				if (ret)
					return ret;
				ops->write(priv, table, idx, snpu_pte_table(next));
			}
		} else {
			int ret2;

			if (!create)
				return 0;
			ret2 = ops->alloc(priv, &next);
			if (ret2)
				return ret2;
			ops->write(priv, table, idx, snpu_pte_table(next));
		}
		table = next;
	}
	*out = table;
	return 0;
}

/* Frees everything below entry @idx of @table, which is at @level, and the tables it hung on */
static inline void snpu_pt_prune(const struct snpu_pt_ops *ops, void *priv, __u64 table,
				 unsigned int idx, unsigned int level)
{
	__u64 pte = ops->read(priv, table, idx);
	unsigned int i;

	if (!(pte & SNPU_PTE_VALID))
		return;
	ops->write(priv, table, idx, 0);
	if ((pte & SNPU_PTE_LEAF) || !level)
		return;
	for (i = 0; i < SNPU_PT_ENTRIES && level > 1; i++)
		snpu_pt_prune(ops, priv, snpu_pte_addr(pte), i, level - 1);
	ops->free(priv, snpu_pte_addr(pte));
}

/**
 * snpu_pt_unmap() - take all translations of a range away
 * @ops: table access
 * @priv: for @ops
 * @root: HBM offset of the root table
 * @va: first address, 4 KiB aligned
 * @bytes: length, 4 KiB aligned, not zero, inside the address space
 *
 * Splits 2 MiB leaves that the range covers in part. Return: 0, or the error of ->alloc, in which
 * case what stands before the failing leaf is unmapped and the call may be repeated.
 */
static inline int snpu_pt_unmap(const struct snpu_pt_ops *ops, void *priv, __u64 root, __u64 va,
				__u64 bytes)
{
	__u64 end = va + bytes;

	while (va < end) {
		unsigned int level = SNPU_PT_LEVELS - 1;
		__u64 table = root;
		__u64 span = 1ull << snpu_pt_shift(level);

		/* down to where the entry is wholly inside the range, or there is nothing below */
		while ((va & (span - 1)) || end - va < span) {
			__u64 pte = ops->read(priv, table, snpu_pt_index(va, level));
			int ret;

			if (!(pte & SNPU_PTE_VALID))
				break;
			if (pte & SNPU_PTE_LEAF) {
				ret = snpu_pt_find(ops, priv, root, va, level - 1, 1, &table);
				if (ret)
					return ret;
			} else {
				table = snpu_pte_addr(pte);
			}
			level--;
			span = 1ull << snpu_pt_shift(level);
		}
		if (!(va & (span - 1)) && end - va >= span)
			snpu_pt_prune(ops, priv, table, snpu_pt_index(va, level), level);
		va = (va & ~(span - 1)) + span;
	}
	return 0;
}

/**
 * snpu_pt_map() - map a contiguous piece of one aperture
 * @ops: table access
 * @priv: for @ops
 * @root: HBM offset of the root table
 * @va: first address, 4 KiB aligned
 * @bytes: length, 4 KiB aligned, not zero, inside the address space
 * @leaf: snpu_pte_leaf() of the first page
 *
 * The range must be unmapped. Uses 2 MiB leaves where @va and the target allow. Return: 0, -EEXIST
 * where something is mapped already, or the error of ->alloc; the caller then unmaps the range.
 */
static inline int snpu_pt_map(const struct snpu_pt_ops *ops, void *priv, __u64 root, __u64 va,
			      __u64 bytes, __u64 leaf)
{
	__u64 end = va + bytes;

	while (va < end) {
		unsigned int level = 0;
		unsigned int idx;
		__u64 table, step;
		int ret;

		if (!((va | snpu_pte_addr(leaf)) & (SNPU_HUGE_SIZE - 1)) &&
		    end - va >= SNPU_HUGE_SIZE) {
			ret = snpu_pt_find(ops, priv, root, va, 1, 1, &table);
			if (ret)
				return ret;
			/* an old, empty table may hang here: then its small leaves serve */
			if (!(ops->read(priv, table, snpu_pt_index(va, 1)) & SNPU_PTE_VALID))
				level = 1;
		}
		if (!level) {
			ret = snpu_pt_find(ops, priv, root, va, 0, 1, &table);
			if (ret)
				return ret;
		}
		step = 1ull << snpu_pt_shift(level);
		do {
			idx = snpu_pt_index(va, level);
			if (ops->read(priv, table, idx) & SNPU_PTE_VALID)
				return -EEXIST;
			ops->write(priv, table, idx, leaf);
			leaf += step;
			va += step;
		} while (!level && va < end && snpu_pt_index(va, 0));
	}
	return 0;
}

/**
 * snpu_pt_destroy() - free every table below the root
 * @ops: table access
 * @priv: for @ops
 * @root: HBM offset of the root table, which itself is not freed
 */
static inline void snpu_pt_destroy(const struct snpu_pt_ops *ops, void *priv, __u64 root)
{
	unsigned int i;

	for (i = 0; i < SNPU_PT_ENTRIES; i++)
		snpu_pt_prune(ops, priv, root, i, SNPU_PT_LEVELS - 1);
}

#endif /* _SNPU_PT_H_ */
