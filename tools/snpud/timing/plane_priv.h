/* SPDX-License-Identifier: MIT */
/*
 * Inside of the plane: plane.c takes records, replays and answers; plane_ask.c takes questions.
 */
#ifndef SNPU_TIMING_PLANE_PRIV_H
#define SNPU_TIMING_PLANE_PRIV_H

#include <pthread.h>

#include "plane.h"
#include "timing.h"

#define CHUNK_RECS	512u

/* A piece of the packet log */
struct chunk {
	struct chunk *next;
	size_t n;
	struct snpu_plog_rec rec[CHUNK_RECS];
};

struct change {
	uint32_t link;
	double rate;
	struct change *next;
};

/* Records of one or several rests, then the changes of links that came at the last of them */
struct seg {
	struct chunk *first, **last;
	struct chunk *tail;		/* the last one */
	struct change *changes;
	struct seg *next;
	uint64_t serial;		/* 1 and up */
};

struct key {
	uint32_t node, queue, epoch;
};

/* A question of the host */
struct ask {
	struct key k;
	uint64_t position;
	uint64_t after;			/* needs a rest of a later look */
	bool done;
	int ret;
	struct snpu_plane_span span;
	struct ask *next;
};

/* A TIMESTAMP that a queue stands at */
struct stamp {
	struct key k;
	uint64_t seq;
	uint32_t sub;
	uint64_t after;
	bool done;
	int ret;
	uint64_t time;
	struct stamp *next;
};

enum job_kind {
	JOB_SUMMARY,
	JOB_TRACE,
	JOB_RESET,
};

/* Somebody waits in a call */
struct job {
	enum job_kind kind;
	int fd;				/* TRACE */
	bool counters;
	char *err;
	size_t err_len;
	uint64_t after;
	bool running;
	bool done;
	int ret;
	struct snpu_plane_summary sum;
	struct job *next;
};

/**
 * struct snpu_plane - virtual time
 * @opts: as given
 * @ops: callbacks, @ctx for them
 * @lock: all that follows but @timing, @ran, @held and @stats, which are the thread's
 * @work: for the thread
 * @done: for those who wait in a call
 * @open: records since the last rest
 * @segs: records and changes that the thread has not taken yet
 * @seg_end: end of that list
 * @records: kept in all
 * @overflow: there were too many
 * @looks: how often the device looked whether it is at rest
 * @rests: look that found the machine at rest last
 * @wanted: somebody waits for a rest of a later look than this
 * @wants: so there is one; atomic
 * @asks: questions, oldest first
 * @stamps: queues that stand at a TIMESTAMP
 * @stamp_gen: counts answers to those; atomic
 * @jobs: calls that wait
 * @use: of the links, as of the last replay: busy ns, bytes
 * @serial: of the newest segment
 * @last: of each link, its newest change, which is in segment
 * @last_seg: of that serial; 0: none
 * @rate: of each link now, NAN: as in the topology
 * @timing_err: replaying failed
 * @timing: the replay library
 * @ran: it has replayed all it has
 * @held: records of timestamps that it need not know yet
 * @stats: of the last replay
 */
struct snpu_plane {
	struct snpu_plane_opts opts;
	const struct snpu_plane_ops *ops;
	void *ctx;
	pthread_t thread;
	bool started;

	pthread_mutex_t lock;
	pthread_cond_t work;
	pthread_cond_t done;
	bool stop;
	struct seg open;
	struct seg *segs, *seg_end;
	uint64_t records;
	bool overflow;
	uint64_t looks, rests, wanted;
	uint32_t wants;
	struct ask *asks;
	struct stamp *stamps;
	uint64_t stamp_gen;
	struct job *jobs;
	uint64_t *use;
	uint64_t serial;
	struct change **last;
	uint64_t *last_seg;
	double *rate;
	int timing_err;

	struct snpu_timing *timing;
	bool ran;
	struct seg *held;
	struct snpu_timing_stats stats;
};

/* Caller holds the lock, and kicks when he has given it back */
void snpu_plane_want_rest(struct snpu_plane *p);
void snpu_plane_kick(struct snpu_plane *p);
/* Caller holds the lock */
void snpu_plane_ask_del(struct ask **at);

#endif
