/* SPDX-License-Identifier: MIT */
/*
 * Shared resources in virtual time: flows that progress at max-min fair rates.
 *
 * A flow has an amount of work and progresses at a rate (work/s). At rate x it takes weight * x of
 * every resource it uses. Rates are the max-min fair ones: they rise together until a resource is
 * full or a flow is at its own limit. Virtual time is in picoseconds. Only flows whose rates a begin,
 * an end or a change can have touched are looked at again.
 *
 * Results depend on the order of calls alone (in the last bits), never on addresses or clocks.
 */
#ifndef SNPU_MAXMIN_H
#define SNPU_MAXMIN_H

#include <stdbool.h>
#include <stdint.h>

#define SNPU_MM_NEVER	UINT64_MAX

struct snpu_mm;

/**
 * struct snpu_mm_use - a flow's use of a resource
 * @res: resource
 * @weight: taken of it for each unit of work, > 0
 */
struct snpu_mm_use {
	uint32_t res;
	double weight;
};

/** snpu_mm_new() - @n resources of capacity 0. Return: NULL without memory */
struct snpu_mm *snpu_mm_new(uint32_t n);
void snpu_mm_free(struct snpu_mm *m);

/**
 * snpu_mm_set_grain() - settle rates less often while many flows run
 * @m: solver
 * @ps: for each flow that runs; 0, as it is at first: every ps counts
 * @most: of all together
 *
 * Settling takes as long as flows are many, and the more there are, the longer each of them takes.
 * With a grain their ends are rounded up to the largest power of two that is not above @ps times
 * their number, nor above @most, so that many of them end at once.
 */
void snpu_mm_set_grain(struct snpu_mm *m, uint32_t ps, uint32_t most);
/** snpu_mm_round() - @at, rounded up as the end of a flow would be now */
uint64_t snpu_mm_round(const struct snpu_mm *m, uint64_t at);

/** snpu_mm_capacity() - capacity of a resource from @now on; 0: its flows stand still */
void snpu_mm_capacity(struct snpu_mm *m, uint64_t now, uint32_t res, double cap);

/**
 * snpu_mm_cover() - who uses @res mostly uses @by, too
 *
 * A hint that saves work and changes no rate: as long as all flows of a resource also use one of its
 * covers, and what these let pass is not above its capacity, it is not looked at. Relations make no
 * circle. Before the first flow. 0 or -ENOMEM.
 */
int snpu_mm_cover(struct snpu_mm *m, uint32_t res, uint32_t by);

/**
 * snpu_mm_start() - a flow begins
 * @m: solver
 * @now: virtual time
 * @work: amount, > 0
 * @limit: largest rate; INFINITY: none
 * @uses: what it uses; no resource twice
 * @n: their number; with none, @limit must be finite
 * @cookie: given back when it ends
 *
 * Return: id of the flow, reused after its end, or -ENOMEM.
 */
int64_t snpu_mm_start(struct snpu_mm *m, uint64_t now, double work, double limit,
		      const struct snpu_mm_use *uses, uint32_t n, uint64_t cookie);

/** snpu_mm_solve() - settle rates after starts, ends and changes at @now. 0 or -ENOMEM */
int snpu_mm_solve(struct snpu_mm *m, uint64_t now);

/** snpu_mm_next() - when the next flow ends, not in the past; SNPU_MM_NEVER: none; after a solve */
uint64_t snpu_mm_next(const struct snpu_mm *m);

/**
 * snpu_mm_end() - take one flow that has ended by @now
 * @cookie: receives its cookie
 *
 * Return: 1, or 0 when there is none left.
 */
int snpu_mm_end(struct snpu_mm *m, uint64_t now, uint64_t *cookie);

/** snpu_mm_rate() - rate of a flow that runs */
double snpu_mm_rate(const struct snpu_mm *m, int64_t flow);

/** snpu_mm_use_of() - busy ps and amount taken of a resource by flows that have ended */
void snpu_mm_use_of(const struct snpu_mm *m, uint64_t now, uint32_t res, uint64_t *busy,
		    double *amount);

/*
 * ---- for who shows what is taken of resources over time ----
 */

/** snpu_mm_note() - keep it from here on; before the first flow, once. 0 or -ENOMEM */
int snpu_mm_note(struct snpu_mm *m);
/** snpu_mm_noted() - the @i-th resource that changed since snpu_mm_note_clear(), each once; UINT32_MAX: no more */
uint32_t snpu_mm_noted(const struct snpu_mm *m, uint32_t i);
void snpu_mm_note_clear(struct snpu_mm *m);
/** snpu_mm_taken() - what all flows take of a resource now; after snpu_mm_solve() */
double snpu_mm_taken(const struct snpu_mm *m, uint32_t res);

/** snpu_mm_solved() - flows looked at so far, a measure of effort */
uint64_t snpu_mm_solved(const struct snpu_mm *m);

/** snpu_mm_fills() - how often all flows were filled at once (@all), or some of them */
uint64_t snpu_mm_fills(const struct snpu_mm *m, bool all);

#endif
