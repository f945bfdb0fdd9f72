/* SPDX-License-Identifier: MIT */
/*
 * Replay of a packet log in virtual time.
 *
 * Records go in, in any order; the run gives each its begin and end. The same records give the same
 * times and the same hash, whatever the order they came in, the numbers of their queues and the
 * addresses of their semaphores.
 */
#ifndef SNPU_TIMING_H
#define SNPU_TIMING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fabric/topo.h"
#include "log/packet_log.h"
#include "snpu_hw.h"

struct snpu_timing;

#define SNPU_TIMING_NEVER	UINT64_MAX	/* ps: the end of a packet that never ends */

/** snpu_timing_ns() - virtual ps of a replay as ns, for the device: never stays never */
static inline uint64_t snpu_timing_ns(uint64_t ps)
{
	return ps == SNPU_TIMING_NEVER ? SNPU_VTIME_NEVER : ps / 1000;
}

/**
 * struct snpu_timing_opts - how to replay
 * @ideal: efficiencies are 1
 * @max_records: more are refused with -ENOSPC; 0: SNPU_TIMING_MAX_RECORDS
 */
struct snpu_timing_opts {
	bool ideal;
	uint64_t max_records;
};

#define SNPU_TIMING_MAX_RECORDS	(16u << 20)

struct snpu_timing *snpu_timing_new(const struct snpu_topo *topo,
				    const struct snpu_timing_opts *opts, char *err, size_t err_len);
void snpu_timing_free(struct snpu_timing *t);

/**
 * snpu_timing_add() - take records
 *
 * Return: 0; -EINVAL: a record is of no such machine, or a CLOCK above SNPU_MAX_CLOCK; -ENOSPC: more
 * than @max_records; -ENOMEM. Nothing was taken then.
 */
int snpu_timing_add(struct snpu_timing *t, const struct snpu_plog_rec *recs, size_t n);

/** snpu_timing_link() - @link gives @rate bytes/s from virtual time @at_ps on; 0: down */
int snpu_timing_link(struct snpu_timing *t, uint64_t at_ps, uint32_t link, double rate);

/** snpu_timing_run() - replay all there is. 0 or negative errno */
int snpu_timing_run(struct snpu_timing *t);

/**
 * struct snpu_timing_span - one packet
 * @begin: virtual ps, or SNPU_TIMING_NEVER
 * @end: virtual ps; of all packets of its queue up to it, or SNPU_TIMING_NEVER
 * @busy: ps that packets of its queue ran, up to its end
 */
struct snpu_timing_span {
	uint64_t begin, end, busy;
};

/**
 * snpu_timing_find() - times of a packet, after a run
 *
 * Return: 0; -ENOENT: not among the records.
 */
int snpu_timing_find(const struct snpu_timing *t, uint32_t node, uint32_t queue, uint32_t epoch,
		     uint64_t seq, uint32_t sub, struct snpu_timing_span *out);

/** snpu_timing_tail() - when all packets of a queue have ended; 0 for a queue without packets */
uint64_t snpu_timing_tail(const struct snpu_timing *t, uint32_t node, uint32_t queue,
			  uint32_t epoch);

/** snpu_timing_link_use() - busy ps and bytes of a link, overhead included, after a run */
void snpu_timing_link_use(const struct snpu_timing *t, uint32_t link, uint64_t *busy_ps,
			  uint64_t *bytes);

/**
 * struct snpu_timing_stats - after a run
 * @now: latest end, ps
 * @records: packets
 * @flows: transfers over the fabric among them
 * @events: of the simulation
 * @freed: waits that no logged signal satisfied: a CPU did
 * @stuck: queues with packets that never end, see Documentation/timing.rst: SNPU_TIMING_NEVER
 * @hash: canonical hash
 * @host_ns: host time that the run took
 */
struct snpu_timing_stats {
	uint64_t now, records, flows, events, freed, stuck, hash, host_ns;
};

void snpu_timing_stats(const struct snpu_timing *t, struct snpu_timing_stats *out);

/**
 * snpu_timing_trace() - write a JSON trace for ui.perfetto.dev to @fd
 * @t: records, after a run
 * @fd: open for writing, stays open
 * @counters: with a track for each resource that says how much of it is taken; takes another replay
 * @err: receives one line on failure
 * @err_len: size of @err
 *
 * Return: 0 or negative errno.
 */
int snpu_timing_trace(const struct snpu_timing *t, int fd, bool counters, char *err,
		      size_t err_len);

#endif
