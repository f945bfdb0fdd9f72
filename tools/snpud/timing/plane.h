/* SPDX-License-Identifier: MIT */
/*
 * Virtual time in a running snpud: between the device, which retires packets, and the timing
 * library, which replays them.
 *
 * Records arrive through the packet log's sink while packets run. Nothing is replayed until somebody
 * asks for a virtual time; then the plane waits for the machine to be at rest (no queue can go on by
 * itself: all are empty, stopped, or wait for a semaphore, for the host, or for virtual time),
 * replays what was recorded and answers. So the functional plane never waits for virtual time, but
 * for the queues that asked for it.
 *
 * Who asks, waits: for a rest that begins after the question was put. So an answer covers all that
 * was submitted before the question, whatever the threads of the machine do.
 *
 * Order at a rest: first the earliest TIMESTAMP that a queue stands at (and all of the same time),
 * because what comes behind it may take part in what others ask about; questions only when no queue
 * stands at one.
 *
 * Locks: the plane's own one is a leaf: anybody may call in with any locks of his. Callbacks are
 * made without it.
 */
#ifndef SNPU_TIMING_PLANE_H
#define SNPU_TIMING_PLANE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fabric/topo.h"
#include "log/packet_log.h"

struct snpu_plane;

/**
 * struct snpu_plane_ops - what the plane needs of the device
 * @kick: look at all queues again: something that one waited for has come, or a rest is wanted.
 *	Any thread; never waits
 * @answered: snpu_plane_ask() has an answer now; by the plane's thread
 */
struct snpu_plane_ops {
	void (*kick)(void *ctx);
	void (*answered)(void *ctx, uint32_t node, uint32_t queue);
};

/**
 * struct snpu_plane_opts - how to keep virtual time
 * @topo: the machine
 * @ideal: efficiencies are 1, see Documentation/timing.rst
 * @max_records: packets kept for replay, 0: SNPU_PLANE_MAX_RECORDS. Above it virtual time is no
 *	longer known: all are forgotten, and every question gets -ENOSPC until snpu_plane_reset()
 * @report: told once, with a message, when that happens
 */
struct snpu_plane_opts {
	const struct snpu_topo *topo;
	bool ideal;
	uint64_t max_records;
	void (*report)(const char *msg);
};

#define SNPU_PLANE_MAX_RECORDS	(4u << 20)

struct snpu_plane *snpu_plane_new(const struct snpu_plane_opts *opts, char *err, size_t err_len);
/** snpu_plane_start() - @ops and @ctx: the device; called once, before the first packet */
int snpu_plane_start(struct snpu_plane *p, const struct snpu_plane_ops *ops, void *ctx);
/** snpu_plane_stop() - ends the thread; questions get -ECANCELED from here on */
void snpu_plane_stop(struct snpu_plane *p);
void snpu_plane_free(struct snpu_plane *p);

/** snpu_plane_sink() - a snpu_plog_sink_fn; @ctx is the struct snpu_plane */
void snpu_plane_sink(void *ctx, const struct snpu_plog_rec *recs, size_t n);

/**
 * snpu_plane_look() - the device is about to look whether it is at rest
 * @p: plane
 *
 * Return: a number for snpu_plane_rest(). Who asks after this call is not served by that rest.
 */
uint64_t snpu_plane_look(struct snpu_plane *p);

/**
 * snpu_plane_rest() - the machine is at rest, and all records have been through the sink
 * @p: plane
 * @look: from the snpu_plane_look() before
 *
 * Called by the device whenever it comes to rest (the last worker goes to sleep); cheap when nobody
 * has asked anything. One thread at a time.
 */
void snpu_plane_rest(struct snpu_plane *p, uint64_t look);

/** snpu_plane_wants_rest() - somebody waits for a rest; no lock is taken */
bool snpu_plane_wants_rest(const struct snpu_plane *p);

/**
 * struct snpu_plane_span - times of a packet of a ring
 * @end: virtual ns at which it ended, or SNPU_VTIME_NEVER
 * @begin: virtual ns at which it began, or SNPU_VTIME_NEVER
 * @busy: virtual ns that its queue was busy up to there
 */
struct snpu_plane_span {
	uint64_t end, begin, busy;
};

/**
 * snpu_plane_ask() - times of a retired packet
 * @p: plane
 * @node: NPU
 * @queue: queue number
 * @epoch: as in the log
 * @position: packets of the ring, 1 and up
 * @out: receives them
 *
 * Return: 0; -EAGAIN: not known yet: the question is noted, and answered() tells when the same call
 * will have the answer; -ENOENT: no such packet; -ENOSPC: too many records; -EIO: replay failed;
 * -ECANCELED: the plane has been stopped. Never blocks.
 */
int snpu_plane_ask(struct snpu_plane *p, uint32_t node, uint32_t queue, uint32_t epoch,
		   uint64_t position, struct snpu_plane_span *out);

/**
 * snpu_plane_stamp() - virtual time of a TIMESTAMP with PF_VIRTUAL that a queue stands at
 * @p: plane
 * @node: NPU
 * @queue: queue number
 * @epoch: as in the log
 * @seq: index of the packet in the ring
 * @sub: as in the log
 * @time: receives the time at which all packets before it have ended, or SNPU_VTIME_NEVER
 *
 * The packet itself has not been logged. Of several that wait, the earliest is answered first, and
 * the machine comes to rest again before the next.
 *
 * Return: 0; -EAGAIN: not known yet, the queue is kicked when it is; another error: it never will
 * be. Never blocks.
 */
int snpu_plane_stamp(struct snpu_plane *p, uint32_t node, uint32_t queue, uint32_t epoch,
		     uint64_t seq, uint32_t sub, uint64_t *time);

/** snpu_plane_stamps() - changes when snpu_plane_stamp() may have an answer; no lock is taken */
uint64_t snpu_plane_stamps(const struct snpu_plane *p);

/** snpu_plane_unstamp() - the queue that stood at a TIMESTAMP was stopped */
void snpu_plane_unstamp(struct snpu_plane *p, uint32_t node, uint32_t queue, uint32_t epoch);

/**
 * snpu_plane_queue_gone() - a queue was destroyed: its questions go, its records stay
 */
void snpu_plane_queue_gone(struct snpu_plane *p, uint32_t node, uint32_t queue, uint32_t epoch);

/**
 * snpu_plane_link() - a link's rate changes from the virtual present on
 * @p: plane
 * @link: link of the topology
 * @rate: bytes/s it gives now; 0: down
 *
 * The virtual present is the latest end of any packet that had retired when the machine last came
 * to rest, so a fault that is injected at rest lands at the same virtual time in every run. Of
 * several changes of a link between two rests the last one counts.
 */
void snpu_plane_link(struct snpu_plane *p, uint32_t link, double rate);

/*
 * ---- for the control socket; these block until the machine is at rest: -ETIMEDOUT after
 * @timeout_ns, -ECANCELED: stopped; -ENOSPC, -EIO as above ----
 */

/**
 * struct snpu_plane_summary - where virtual time stands
 * @now: latest end of any packet that ends
 * @records: packets replayed
 * @flows: transfers between two ends of the fabric among them
 * @hash: canonical hash of the trace
 * @freed: waits that nothing in the records satisfied: a CPU did
 * @stuck: queues with a packet that never ends
 * @solve_ns: host time that the last replay took
 */
struct snpu_plane_summary {
	uint64_t now, records, flows, hash, freed, stuck, solve_ns;
};

int snpu_plane_summary(struct snpu_plane *p, uint64_t timeout_ns, struct snpu_plane_summary *out);
/** snpu_plane_trace() - write a Perfetto-readable trace of everything kept to @fd */
int snpu_plane_trace(struct snpu_plane *p, int fd, bool counters, uint64_t timeout_ns, char *err,
		     size_t err_len);
/** snpu_plane_reset() - virtual time starts again at 0, with no records */
int snpu_plane_reset(struct snpu_plane *p, uint64_t timeout_ns);
/** snpu_plane_replay() - bring snpu_plane_link_use() up to date */
int snpu_plane_replay(struct snpu_plane *p, uint64_t timeout_ns);

/** snpu_plane_link_use() - virtual busy ns and bytes of a link, as of the last replay. Never blocks */
void snpu_plane_link_use(struct snpu_plane *p, uint32_t link, uint64_t *busy_ns, uint64_t *bytes);

#endif
