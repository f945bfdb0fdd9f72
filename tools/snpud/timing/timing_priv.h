/* SPDX-License-Identifier: MIT */
/*
 * Inside of the replay.
 */
#ifndef SNPU_TIMING_PRIV_H
#define SNPU_TIMING_PRIV_H

#include "timing/cost.h"
#include "timing/timing.h"

/**
 * struct snpu_timing_change - a link's rate is another from @at on
 * @at: virtual ps
 * @link: link of the topology
 * @rate: bytes/s
 */
struct snpu_timing_change {
	uint64_t at;
	uint32_t link;
	double rate;
};

/**
 * struct snpu_tq - one queue of the log
 * @first: index of its first record
 * @n: records
 * @node: NPU
 * @name: hash of what it does, without numbers and addresses that another run may choose otherwise
 * @rank: its place in canonical order
 */
struct snpu_tq {
	size_t first, n;
	uint32_t node;
	uint64_t name;
	uint32_t rank;
};

/**
 * struct snpu_timing - records, and what the last run made of them
 * @recs: sorted as the log's canonical form, up to @sorted
 * @queues: by (node, queue, epoch)
 * @begin: of each record, ps
 * @end: of each record, ps
 * @busy: ps that its queue ran up to its end
 * @ran: results are those of @recs
 */
struct snpu_timing {
	const struct snpu_topo *topo;
	struct snpu_cost *cost;
	struct snpu_plog_rec *recs;
	size_t num, room, sorted;
	uint64_t max_records;
	struct snpu_timing_change *changes;
	size_t num_changes, room_changes;
	struct snpu_tq *queues;
	uint32_t num_queues;
	uint64_t *begin, *end, *busy;
	uint64_t *link_busy, *link_bytes;
	struct snpu_timing_stats stats;
	bool ran;
};

void snpu_timing_forget(struct snpu_timing *t);

/* canon.c */

/** snpu_canon_queues() - find the queues of sorted records, name and rank them. 0 or -ENOMEM */
int snpu_canon_queues(struct snpu_timing *t);
/** snpu_canon_hash() - of all packets and their times */
uint64_t snpu_canon_hash(const struct snpu_timing *t);

/* sem.c: semaphores of the log, by number */

struct snpu_sems;

/** snpu_sems_new() - find all semaphores of @n records. NULL without memory */
struct snpu_sems *snpu_sems_new(const struct snpu_plog_rec *recs, size_t n);
void snpu_sems_free(struct snpu_sems *s);
/** snpu_sems_of() - number of a record's semaphore, or SNPU_SEMS_NONE */
uint32_t snpu_sems_of(const struct snpu_sems *s, size_t rec);
#define SNPU_SEMS_NONE	0xffffffffu
uint32_t snpu_sems_count(const struct snpu_sems *s);
/** snpu_sems_signal() - a signal takes effect */
void snpu_sems_signal(struct snpu_sems *s, const struct snpu_plog_rec *r, uint32_t sem);
/** snpu_sems_met() - does the semaphore have what the wait wants? */
bool snpu_sems_met(const struct snpu_sems *s, const struct snpu_plog_rec *r, uint32_t sem);
/** snpu_sems_within() - can logged signals bring the semaphore there? false: a CPU did */
bool snpu_sems_within(const struct snpu_sems *s, const struct snpu_plog_rec *r, uint32_t sem);

/* replay.c */

struct snpu_replay;

struct snpu_replay *snpu_replay_new(struct snpu_timing *t);
void snpu_replay_free(struct snpu_replay *r);
/** snpu_replay_run() - fills in begin, end and busy of @t, and statistics. 0 or negative errno */
int snpu_replay_run(struct snpu_replay *r);
/** snpu_replay_fn - rates of flows are settled for @now */
typedef void (*snpu_replay_fn)(void *ctx, uint64_t now, struct snpu_mm *mm);
/** snpu_replay_watch() - before the run: call @settled after each instant. 0 or -ENOMEM */
int snpu_replay_watch(struct snpu_replay *r, snpu_replay_fn settled, void *ctx);
void snpu_replay_link_use(const struct snpu_replay *r, uint32_t link, uint64_t *busy_ps,
			  uint64_t *bytes);

/* trace_counters.c */

/**
 * snpu_trace_fn - the share of a resource that is taken is another from @at on
 * @at: virtual ps; never less than the one before
 * @share: of its capacity, 0..1
 */
typedef void (*snpu_trace_fn)(void *ctx, uint64_t at, uint32_t res, double share);
/** snpu_trace_counters() - replays once more, and tells of all changes. 0 or negative errno */
int snpu_trace_counters(const struct snpu_timing *t, snpu_trace_fn fn, void *ctx);

static inline uint64_t snpu_mix(uint64_t h, uint64_t v)
{
	h = (h ^ v) * 0x9e3779b97f4a7c15ull;
	h ^= h >> 32;
	h *= 0xd6e8feb86659fd93ull;
	return h ^ (h >> 32);
}

#endif
