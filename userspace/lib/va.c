// SPDX-License-Identifier: MIT
/*
 * Address ranges: a sorted list of holes, first fit.
 */
#include <stdlib.h>

#include "internal.h"

struct snpu_va_hole {
	uint64_t start, end;
	struct snpu_va_hole *next;
};

int snpu_va_init(struct snpu_va *va, uint64_t start, uint64_t end)
{
	va->holes = malloc(sizeof(*va->holes));
	if (!va->holes)
		return -ENOMEM;
	*va->holes = (struct snpu_va_hole){ start, end, NULL };
	return 0;
}

void snpu_va_fini(struct snpu_va *va)
{
	while (va->holes) {
		struct snpu_va_hole *h = va->holes;

		va->holes = h->next;
		free(h);
	}
}

int snpu_va_alloc(struct snpu_va *va, uint64_t bytes, uint64_t align, uint64_t *out)
{
	struct snpu_va_hole **p, *h, *rest;
	uint64_t start;

	for (p = &va->holes; (h = *p); p = &h->next) {
		start = (h->start + align - 1) & ~(align - 1);
		if (start < h->start || start > h->end || h->end - start < bytes)
			continue;
		if (start > h->start) {
			/* the gap before it stays a hole of its own */
			rest = malloc(sizeof(*rest));
			if (!rest)
				return -ENOMEM;
			*rest = (struct snpu_va_hole){ start + bytes, h->end, h->next };
			h->end = start;
			h->next = rest;
			p = &h->next;
			h = rest;
		} else {
			h->start += bytes;
		}
		if (h->start == h->end) {
			*p = h->next;
			free(h);
		}
		*out = start;
		return 0;
	}
	return -ENOSPC;
}

void snpu_va_free(struct snpu_va *va, uint64_t addr, uint64_t bytes)
{
	struct snpu_va_hole **p = &va->holes, *prev = NULL, *h;

	while ((h = *p) && h->start < addr) {
		prev = h;
		p = &h->next;
	}
	if (prev && prev->end == addr) {
		prev->end += bytes;
		if (h && h->start == prev->end) {
			prev->end = h->end;
			prev->next = h->next;
			free(h);
		}
		return;
	}
	if (h && h->start == addr + bytes) {
		h->start = addr;
		return;
	}
	h = malloc(sizeof(*h));
	/* without memory for the hole the range is lost, which costs nothing but addresses */
	if (!h)
		return;
	*h = (struct snpu_va_hole){ addr, addr + bytes, *p };
	*p = h;
}

uint64_t snpu_va_free_bytes(const struct snpu_va *va)
{
	const struct snpu_va_hole *h;
	uint64_t n = 0;

	for (h = va->holes; h; h = h->next)
		n += h->end - h->start;
	return n;
}
