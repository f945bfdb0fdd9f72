/* SPDX-License-Identifier: MIT */
/*
 * Fake address space for the engine's tests: pages of 4 KiB in any order, holes, read-only pages,
 * pages that only the slow path reaches, or not even it; and checks that print what they saw.
 */
#ifndef SNPU_ENGINE_FAKE_H
#define SNPU_ENGINE_FAKE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "engine.h"

#define FAKE_BASE	0x10000000ull
#define FAKE_PAGES	8192u
#define FAKE_PAGE	4096u

enum fake_kind { FAKE_NONE, FAKE_RW, FAKE_RO, FAKE_SLOW, FAKE_BUS };

/**
 * struct fake - one address space at FAKE_BASE
 * @mem: backing memory, surrounded by guard pages; for the test
 * @view: the same memory twice, for the engine: each checkpoint takes one away and shows the other
 * @now: the one that is shown
 * @page: backing page of each page
 * @kind: how it is mapped
 * @abort_after: checkpoints until SNPU_ERR_ABORTED, 0: never
 * @checkpoints: seen so far
 */
struct fake {
	uint8_t *mem;
	uint8_t *view[2];
	unsigned int now;
	uint32_t page[FAKE_PAGES];
	uint8_t kind[FAKE_PAGES];
	unsigned int abort_after;
	unsigned int checkpoints;
};

/* @scatter: pages in random order, one in eight reached by the slow path only */
void fake_init(struct fake *f, bool scatter, uint64_t seed);
void fake_free(struct fake *f);
void fake_write(struct fake *f, uint64_t va, const void *buf, uint64_t len);
void fake_read(struct fake *f, uint64_t va, void *buf, uint64_t len);
int fake_exec(struct fake *f, struct snpu_engine *e, const union snpu_pkt *p,
	      struct snpu_fault *fault);

uint64_t fake_rand(uint64_t *state);
double fake_uniform(uint64_t *state);	/* -1 .. 1 */

extern unsigned int fake_failures;

#define CHECK(cond, ...) do { \
	if (!(cond)) { \
		fake_failures++; \
		printf("# %s:%d: %s: ", __FILE__, __LINE__, #cond); \
		printf(__VA_ARGS__); \
		printf("\n"); \
	} \
} while (0)

struct fake_case {
	const char *name;
	void (*run)(void);
};

/* Runs all cases, or the one that argv[1] names; TAP on stdout; exit status for main */
int fake_main(int argc, char **argv, const struct fake_case *cases, unsigned int n);

#endif
