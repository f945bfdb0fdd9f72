// SPDX-License-Identifier: MIT
/*
 * How often the HBM behind a semaphore was made anew. A scrub ends the life of whatever was in it: a
 * semaphore at the same address afterwards is another one, for the replay of the packet log.
 *
 * Whole 2 MiB pieces are counted as such, what is left over by pages; both tables are sparse.
 */
#include <sys/mman.h>

#include "npu_priv.h"

static uint32_t *sparse(uint64_t entries)
{
	void *p = mmap(NULL, entries * sizeof(uint32_t), PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

int snpu_semgen_init(struct snpu_npu *n)
{
	n->gen_huge = sparse((n->hbm_size >> SNPU_HUGE_SHIFT) + 1);
	n->gen_page = sparse((n->hbm_size >> SNPU_PAGE_SHIFT) + 1);
	return n->gen_huge && n->gen_page ? 0 : -1;
}

void snpu_semgen_fini(struct snpu_npu *n)
{
	if (n->gen_huge)
		munmap(n->gen_huge, ((n->hbm_size >> SNPU_HUGE_SHIFT) + 1) * sizeof(uint32_t));
	if (n->gen_page)
		munmap(n->gen_page, ((n->hbm_size >> SNPU_PAGE_SHIFT) + 1) * sizeof(uint32_t));
}

void snpu_semgen_scrub(struct snpu_npu *n, uint64_t off, uint64_t bytes)
{
	uint64_t end = off + bytes;

	if (!n->gen_huge)
		return;
	while (off < end) {
		if (!(off & (SNPU_HUGE_SIZE - 1)) && end - off >= SNPU_HUGE_SIZE) {
			__atomic_fetch_add(&n->gen_huge[off >> SNPU_HUGE_SHIFT], 1,
					   __ATOMIC_RELAXED);
			off += SNPU_HUGE_SIZE;
		} else {
			__atomic_fetch_add(&n->gen_page[off >> SNPU_PAGE_SHIFT], 1,
					   __ATOMIC_RELAXED);
			off += SNPU_PAGE_SIZE;
		}
	}
}

uint32_t snpu_semgen_of(const struct snpu_npu *n, uint64_t off)
{
	if (!n->gen_huge || off >= n->hbm_size)
		return 0;
	return snpu_load(&n->gen_huge[off >> SNPU_HUGE_SHIFT]) +
	       snpu_load(&n->gen_page[off >> SNPU_PAGE_SHIFT]);
}
