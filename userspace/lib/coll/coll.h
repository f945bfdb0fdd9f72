/* SPDX-License-Identifier: MIT */
/*
 * Inside of libsnpu_coll: communicators, segments, packets.
 *
 * Each rank has a segment in its HBM that the other ranks map: a page with the abort word, then
 * for each peer a pair of counters and a mailbox. Who sends writes a piece into the mailbox that
 * the receiver keeps for him, and sets the receiver's counter "came" to the number of the piece;
 * who has taken pieces sets the sender's counter "taken". Counters only grow, over all operations,
 * so there is nothing to reset, and both sides know from their own calls which number comes next.
 */
#ifndef SNPU_COLL_COLL_H
#define SNPU_COLL_COLL_H

#include <pthread.h>

#include "schedule.h"

#define COLL_EXPORT	__attribute__((visibility("default")))

/* ---- errors and settings (config.c) ---- */

int coll_fail(int err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The same after a call of libsnpu failed: adds what that says */
int coll_fail_snpu(int err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Puts "@call: " before the message of a step of that call that failed; returns @err */
int coll_fail_in(const char *call, int err);
/* Completes @p from the environment and the defaults */
int coll_params(struct snpu_coll_params *out, const struct snpu_coll_params *p);
/* Are the arguments of an operation in range? The message lacks the name of the call */
int coll_check(unsigned int op, unsigned int dtype, unsigned int redop, unsigned int n,
	       unsigned int root, uint64_t count);
/* Bytes of the larger buffer */
uint64_t coll_bytes(unsigned int op, unsigned int n, uint64_t count, unsigned int esize);

/* ---- deadlines (clock.c) ---- */

#define COLL_NEVER	UINT64_MAX

/* CLOCK_MONOTONIC, ns */
uint64_t coll_now(void);
/* When a timeout that starts now is over; COLL_NEVER for 0, SNPU_FOREVER and what does not fit */
uint64_t coll_deadline(uint64_t timeout_ns);
/* What is left until then, for calls of libsnpu: SNPU_FOREVER, or 0 when it is over */
uint64_t coll_left(uint64_t deadline);
/* The same for SEM_WAIT: 0 is for ever, and 1 is for over */
uint64_t coll_packet_timeout(uint64_t deadline);

/* ---- fork() (fork.c) ---- */

struct snpu_coll;

/* Notes whose the communicator is; 0 or a negative errno */
int coll_fork_add(struct snpu_coll *c);
/* Is it the parent's? Then the process is a child that inherited it */
bool coll_forked(const struct snpu_coll *c);
/* 0, or -ESTALE with a message that names @call in such a child */
int coll_own(const struct snpu_coll *c, const char *call);
/* In a child, before fork() returns: locks and lists as they are at the start */
void coll_comm_forked(void);
void coll_watch_forked(void);
void coll_windows_forked(void);

/* ---- segments ---- */

/* Counters of a peer; the page of the header comes first */
struct coll_pair {
	uint64_t came;		/* pieces it has sent here */
	uint64_t taken;		/* pieces from here that it has taken */
	uint64_t left;		/* 0, or 1 + operations of all it had called when it left */
};

/**
 * struct coll_head - first page of a segment
 * @abort: 0, or errno of what broke the communicator
 * @done: operations completed by the rank itself
 * @beat: probed by others
 * @colls: operations of all ranks that this one has called
 */
struct coll_head {
	uint64_t abort;
	uint64_t done;
	uint64_t beat;
	uint64_t colls;
};

#define COLL_HEAD_BYTES	4096u
#define COLL_BEAT_OFF	(COLL_HEAD_BYTES - 64)	/* where probed words go */
#define COLL_COLLS_OFF	(COLL_HEAD_BYTES - 56)	/* where another's @colls goes */

/**
 * struct coll_entry - what ranks tell each other when they meet; 128 bytes
 * @seg: their segment
 * @host: host number in the machine
 * @slot: slot there
 * @node: fabric address
 * @color: of a split
 * @key: likewise
 * @rsvd: zero
 */
struct coll_entry {
	struct snpu_seg_handle seg;
	uint32_t host;
	uint32_t slot;
	uint32_t node;
	int32_t color;
	int32_t key;
	uint32_t rsvd[11];
};
_Static_assert(sizeof(struct coll_entry) == 128, "entry");

/**
 * struct coll_peer - another rank, as seen from here
 * @entry: who it is
 * @near: it is of this process, made by init_all; else NULL
 * @near_mem: its segment then
 * @mem: its segment, mapped here; NULL: not needed yet
 * @va: address of that
 * @box: offset of our mailbox there
 * @pair: offset of our counters there
 * @sent: pieces sent to it, ever
 * @got: pieces received from it
 */
struct coll_peer {
	struct coll_entry entry;
	struct snpu_coll *near;
	struct snpu_mem *near_mem;
	struct snpu_mem *mem;
	uint64_t va;
	uint64_t box;
	uint64_t pair;
	uint64_t sent;
	uint64_t got;
};

struct coll_block;

/**
 * struct coll_win - a registered buffer
 * @mem: the memory
 * @number: which of the communicator's
 * @entries: handles of the others', NULL when all are of this process
 * @exported: @mem was
 * @list: addresses of all ranks' in rank order, then of all others' again, for packets; NULL: not
 *	needed yet
 * @peer: the others', mapped here as needed
 * @next: next one
 */
struct coll_win {
	struct snpu_mem *mem;
	unsigned int number;
	struct coll_entry *entries;
	bool exported;
	struct snpu_mem *list;
	struct {
		struct snpu_mem *mem;
		uint64_t va;
	} *peer;
	struct coll_win *next;
};

/* Where a buffer of an operation is in a window */
struct coll_reg {
	struct coll_win *win;
	uint64_t off;
};

/**
 * struct snpu_coll - one rank
 * @ctx: its context
 * @rank: which
 * @topo: all ranks
 * @params: complete
 * @boxes: sizes of mailboxes
 * @uid: of the communicator
 * @children: splits and shrinks made from it, so that their names differ
 * @seg: own segment
 * @seg_bytes: its size
 * @head: the CPU's view of it
 * @va: address of it
 * @box: offset of the mailbox from each peer
 * @peer: the ranks
 * @tmp: memory for COLL_TMP
 * @old_tmp: those outgrown, still used by packets
 * @ops: operations recorded
 * @colls: those of them that all ranks call
 * @last_q: queue of the last one
 * @blocks: packet memory
 * @wins: registered buffers
 * @num_wins: how many there ever were
 * @all_near: all ranks are of this process, made by init_all
 * @fused: the device signals with its copies
 * @lists: COLL_HAS_LISTS, and COLL_HAS_SWITCHES, as its device has them
 * @untimed: flag for packets that come or not as other ranks happen to be
 * @untimed_atomic: the same for ATOMIC
 * @error: what broke it, atomic
 * @lock: queues in use, error text
 * @pid: process that made it
 * @forks: forks before that, see fork.c
 * @next: of those watched
 */
struct snpu_coll {
	struct snpu_coll *next;		/* of the communicators of this process, see comm.c */
	struct snpu_ctx *ctx;
	unsigned int rank;
	struct coll_topo topo;
	struct snpu_coll_params params;
	struct coll_boxes boxes;
	struct snpu_coll_uid uid;
	unsigned int children;
	struct snpu_mem *seg;
	uint64_t seg_bytes;
	struct coll_head *head;
	uint64_t va;
	uint64_t *box;
	struct coll_peer *peer;
	struct snpu_mem *tmp;
	struct coll_old *old_tmp;
	uint64_t ops;
	uint64_t colls;
	struct snpu_queue *last_q;
	struct coll_block *blocks;
	struct coll_win *wins;
	unsigned int num_wins;
	bool all_near;
	bool fused;
	unsigned int lists;
	uint8_t untimed;
	uint8_t untimed_atomic;
	int error;
	struct coll_watch *watch;
	pid_t pid;
	unsigned int forks;
};

/* Memory that packets may still use: freed with the communicator */
struct coll_old {
	struct snpu_mem *mem;
	struct coll_old *next;
};

static inline struct coll_pair *coll_pairs(struct snpu_coll *c)
{
	return (struct coll_pair *)((char *)c->head + COLL_HEAD_BYTES);
}

static inline uint64_t coll_pair_va(const struct snpu_coll *c, unsigned int peer)
{
	return c->va + COLL_HEAD_BYTES + peer * sizeof(struct coll_pair);
}

/* comm.c */
int coll_new(struct snpu_coll **out, struct snpu_ctx *ctx, unsigned int n, unsigned int rank,
	     const struct snpu_coll_uid *uid, const struct snpu_coll_params *params);
/* The segment, when @entries say where all ranks are; exported into @e unless that is NULL */
int coll_entry_fill(struct snpu_coll *c, struct coll_entry *e);
int coll_seg_create(struct snpu_coll *c, const struct coll_entry *entries, struct coll_entry *e);
/* @entries of all ranks are in: from here on the communicator works */
int coll_ready(struct snpu_coll *c, const struct coll_entry *entries);
void coll_free(struct snpu_coll *c);
int coll_connect(struct snpu_coll *c, unsigned int peer);
/* A rank of this process is about to go: its memory is not mapped any more from now on */
void coll_forget(struct snpu_coll *c, unsigned int peer);

/* bootstrap.c: all ranks of @c give @mine and get everybody's; @what tells such meetings apart */
int coll_meet_once(struct snpu_coll *c, unsigned int what, const struct coll_entry *mine,
		   struct coll_entry *entries);

/* window.c */
void coll_windows_free(struct snpu_coll *c);
/* The window that holds the range, and where in it; NULL: none */
struct coll_win *coll_window_of(struct snpu_coll *c, uint64_t va, uint64_t bytes, uint64_t *off);
/* All ranks' are mapped, and in the window's list */
int coll_window_list(struct snpu_coll *c, struct coll_win *w);
/* COLL_HAS_* of the communicator as it is */
unsigned int coll_with(const struct snpu_coll *c);
int coll_window_connect(struct snpu_coll *c, struct coll_win *w, unsigned int peer);

/* emit.c */
int coll_emit(struct snpu_coll *c, struct snpu_queue *q, struct coll_prog *p,
	      const uint64_t *va, const struct coll_reg *reg, unsigned int dtype,
	      unsigned int esize, unsigned int redop);
void coll_blocks_free(struct snpu_coll *c);
void coll_blocks_withdraw(struct snpu_coll *c);
/* Room for @elems of COLL_TMP */
int coll_tmp(struct snpu_coll *c, uint64_t bytes, uint64_t *va);

/* watch.c */
int coll_watch_add(struct snpu_coll *c);
void coll_watch_del(struct snpu_coll *c);
/* In a child, which has no such thread: frees the child's memory alone */
void coll_watch_drop(struct snpu_coll *c);
/* There is work outstanding in @q */
void coll_watch_kick(struct snpu_coll *c, struct snpu_queue *q);
void coll_break(struct snpu_coll *c, int error);
/* A queue for a few packets that may fault; NULL: there is none to be had */
struct snpu_queue *coll_small_queue(struct snpu_coll *c);
/* Breaks it, and tells others before returning */
void coll_break_now(struct snpu_coll *c, int error);
/* The same, and waits until the queues that hold its operations have stopped */
void coll_break_and_stop(struct snpu_coll *c, int error);
/*
 * @rank has left with @value: sets that for @to, if that is a rank of this process that stays; all
 * of them for COLL_ALL. Is there such a rank?
 */
#define COLL_ALL	(~0u)
bool coll_watch_left(struct snpu_coll *c, unsigned int to, unsigned int rank, uint64_t value);
/* From now on others do not take the rank for one that stays */
void coll_watch_gone(struct snpu_coll *c);

/* leave.c */

/* Tells that the rank goes, so that its silence is no death. It has nothing outstanding */
void coll_leave(struct snpu_coll *c);
/* Has a rank left that has not called as many operations of all as @colls? */
bool coll_left_early(struct snpu_coll *c, uint64_t colls);
/* The rank after this one that has not left; this one: there is none */
unsigned int coll_next_rank(struct snpu_coll *c);

static inline bool coll_has_left(struct snpu_coll *c, unsigned int rank)
{
	return __atomic_load_n(&coll_pairs(c)[rank].left, __ATOMIC_ACQUIRE);
}

/* ops.c, group.c */

/**
 * struct coll_p2p - a send or receive
 * @c: communicator
 * @q: queue
 * @send: it is a send
 * @peer: rank
 * @buf: address
 * @bytes: length
 */
struct coll_p2p {
	struct snpu_coll *c;
	struct snpu_queue *q;
	bool send;
	unsigned int peer;
	uint64_t buf;
	uint64_t bytes;
};

/* All of one communicator and queue, side by side */
int coll_p2p_run(const struct coll_p2p *x, size_t n);
/* Between group_start and group_end */
bool coll_grouped(void);
int coll_group_p2p(const struct coll_p2p *x);
/* Has @fn(arg) called at the end of the group, in a thread of its own; @arg is freed then */
int coll_group_call(int (*fn)(void *arg), void *arg);

#endif /* SNPU_COLL_COLL_H */
