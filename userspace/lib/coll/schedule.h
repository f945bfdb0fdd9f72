/* SPDX-License-Identifier: MIT */
/*
 * Schedules: what each rank does in a collective operation, and nothing about how.
 *
 * A rank's program is a list of rounds. The transfers of one round happen side by side: cut into
 * pieces, first the sends of pieces 0 and 1 to every rank, then the receives of piece 0, then the
 * sends of piece 2 and the receives of piece 1, and so on. A round with
 * local acts has no transfers. Sender and receiver agree on the order and size of all that is
 * between them; mailboxes hold at least two pieces. snpu_coll_reference() shows for a schedule that
 * nothing waits in a circle.
 *
 * Two back ends walk a program in the same order: coll_emit() makes packets, the reference runs it
 * on the CPU.
 */
#ifndef SNPU_COLL_SCHEDULE_H
#define SNPU_COLL_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

#include <snpu/coll.h>

/* Buffers a program works on, all of one rank */
enum coll_buf {
	COLL_SEND,
	COLL_RECV,
	COLL_TMP,	/* belongs to the communicator */
	COLL_BUFS,
};

enum coll_kind {
	COLL_ACT_SEND,		/* @a to @peer */
	COLL_ACT_RECV,		/* from @peer into @dst */
	COLL_ACT_REDUCE,	/* @dst = @a op what comes from @peer */
	COLL_ACT_COPY,		/* @dst = @a; local */
	COLL_ACT_AVG,		/* @dst = @a / ranks; local */
	COLL_ACT_FETCH,		/* @dst = @a of @peer; registered buffers only, as the next one */
	COLL_ACT_PULL,		/* @dst = @own op @a of @peer */
	COLL_ACT_FOLD,		/* @dst = the reduction of @a of all ranks, in rank order */
	COLL_ACT_SPREAD,	/* @dst of all others = @a */
	COLL_ACT_POST,		/* a token to @peer: no data, but it counts as a piece */
	COLL_ACT_AWAIT,		/* a token from @peer */
};

/**
 * struct coll_act - a step of a rank; offsets and counts are elements
 * @kind: enum coll_kind
 * @dst: enum coll_buf
 * @a: enum coll_buf
 * @own: enum coll_buf, first operand of PULL, at @dst_off
 * @peer: rank
 * @round: number of its round
 * @dst_off: in @dst
 * @a_off: in @a
 * @count: elements, never 0
 * @first: number of its first piece in the round, among those to or from the same rank
 */
struct coll_act {
	uint8_t kind;
	uint8_t dst;
	uint8_t a;
	uint8_t own;
	uint32_t peer;
	uint32_t round;
	uint64_t dst_off;
	uint64_t a_off;
	uint64_t count;
	uint64_t first;
};

/**
 * struct coll_prog - program of a rank
 * @act: its acts, by round
 * @n: how many
 * @max: room
 * @round: the current one
 * @tmp: elements of COLL_TMP that it needs
 * @oom: an act was lost
 */
struct coll_prog {
	struct coll_act *act;
	uint32_t n, max;
	uint32_t round;
	uint64_t tmp;
	bool oom;
};

/**
 * struct coll_topo - where the ranks are
 * @n: ranks
 * @host: host of each rank, counted from 0 in order of first appearance
 * @local: number of the rank among those of its host
 * @hosts: hosts
 * @per_host: ranks on each host, 0: they differ
 * @at: rank number [host * per_host + local] when @per_host
 */
struct coll_topo {
	unsigned int n;
	unsigned int *host;
	unsigned int *local;
	unsigned int hosts;
	unsigned int per_host;
	unsigned int *at;
};

int coll_topo_init(struct coll_topo *t, unsigned int n, const unsigned int *hosts);
void coll_topo_fini(struct coll_topo *t);

/**
 * struct coll_job - an operation as the generators see it
 * @topo: ranks
 * @rank: whose program
 * @op: SNPU_COLL_ALL_REDUCE...
 * @algo: SNPU_COLL_RING...
 * @redop: SNPU_COLL_SUM...
 * @root: of broadcast and reduce
 * @count: elements, as in the call
 * @piece: elements of a piece that every pair of ranks takes whole
 * @switch_piece: elements that SWITCH handles with one packet
 * @in_place: the send buffer is where the result of the rank begins
 */
struct coll_job {
	const struct coll_topo *topo;
	unsigned int rank;
	unsigned int op;
	unsigned int algo;
	unsigned int redop;
	unsigned int root;
	uint64_t count;
	uint64_t piece;
	uint64_t switch_piece;
	bool in_place;
};

/* Adds acts; a count of 0 adds nothing. coll_next(): what follows is another round */
void coll_next(struct coll_prog *p);
void coll_put_send(struct coll_prog *p, unsigned int peer, unsigned int a, uint64_t a_off,
		   uint64_t count);
void coll_put_recv(struct coll_prog *p, unsigned int peer, unsigned int dst, uint64_t dst_off,
		   uint64_t count);
void coll_put_reduce(struct coll_prog *p, unsigned int peer, unsigned int dst, uint64_t dst_off,
		     unsigned int a, uint64_t a_off, uint64_t count);
void coll_put_copy(struct coll_prog *p, unsigned int dst, uint64_t dst_off, unsigned int a,
		   uint64_t a_off, uint64_t count);
/* The last step of a reduction on the rank that has it whole; nothing unless it is an average */
void coll_put_avg(struct coll_prog *p, const struct coll_job *j, unsigned int buf, uint64_t off,
		  uint64_t count);
/* Local acts on registered buffers of a peer; offsets are the same there and here */
void coll_put_fetch(struct coll_prog *p, unsigned int peer, unsigned int buf, uint64_t off,
		    uint64_t count);
void coll_put_pull(struct coll_prog *p, unsigned int peer, unsigned int a, uint64_t off,
		   unsigned int dst, unsigned int own, uint64_t count);
void coll_put_fold(struct coll_prog *p, unsigned int dst, uint64_t dst_off, unsigned int a,
		   uint64_t a_off, uint64_t count);
void coll_put_spread(struct coll_prog *p, unsigned int dst, uint64_t dst_off, unsigned int a,
		     uint64_t a_off, uint64_t count);
void coll_put_post(struct coll_prog *p, unsigned int peer);
void coll_put_await(struct coll_prog *p, unsigned int peer);
void coll_prog_free(struct coll_prog *p);

/* The chunks that a vector is cut into, one for each rank: first element of chunk @c */
struct coll_chunks {
	uint64_t count;		/* elements of a chunk, or of the whole vector */
	unsigned int n;		/* chunks */
	bool whole;		/* @count is that of the whole vector */
};

static inline uint64_t coll_chunk(const struct coll_chunks *c, unsigned int i)
{
	/* 128-bit: 2^40 bytes times 1,024 ranks would do without, but cost nothing */
	return c->whole ? (uint64_t)((unsigned __int128)c->count * i / c->n) : c->count * i;
}

/* sched_ring.c, sched_hd.c, sched_tree.c, sched_hier.c, sched_pair.c: each for the ops it has */
void coll_ring(struct coll_prog *p, const struct coll_job *j);
void coll_hd(struct coll_prog *p, const struct coll_job *j);
void coll_tree(struct coll_prog *p, const struct coll_job *j);
void coll_hier(struct coll_prog *p, const struct coll_job *j);
void coll_pairwise(struct coll_prog *p, const struct coll_job *j);
void coll_barrier(struct coll_prog *p, const struct coll_job *j);
/* sched_pull.c: with registered buffers */
bool coll_pull_fits(const struct coll_job *j);
void coll_pull(struct coll_prog *p, const struct coll_job *j, unsigned int esize);

/* sched_switch.c: with registered buffers and packets that have lists */
bool coll_switch_has(unsigned int op);
void coll_switch(struct coll_prog *p, const struct coll_job *j);

/* choose.c */
int coll_build(struct coll_prog *p, const struct coll_job *j);

/* ---- mailboxes ---- */

/**
 * struct coll_boxes - sizes of the mailboxes between ranks; powers of two
 * @slots: pieces in each
 * @near: bytes of a piece between ranks of one host
 * @far: and of different hosts
 */
struct coll_boxes {
	unsigned int slots;
	uint64_t near;
	uint64_t far;
};

void coll_boxes_init(struct coll_boxes *b, const struct coll_topo *t, uint64_t slot_bytes,
		     unsigned int slots);

/* What every pair of ranks takes whole */
static inline uint64_t coll_piece_both(const struct coll_boxes *b)
{
	return b->near < b->far ? b->near : b->far;
}

/* What an operation has beside mailboxes */
#define COLL_HAS_WINDOWS	1u	/* registered buffers */
#define COLL_HAS_LISTS		2u	/* and packets with lists */
#define COLL_HAS_SWITCHES	4u	/* which the switches execute */

/* choose.c: the algorithm; @algo if the operation has it */
unsigned int coll_choose(const struct coll_topo *t, const struct coll_boxes *b, unsigned int op,
			 unsigned int algo, uint64_t bytes, unsigned int with);

static inline uint64_t coll_piece(const struct coll_boxes *b, const struct coll_topo *t,
				  unsigned int x, unsigned int y)
{
	return t->host[x] == t->host[y] ? b->near : b->far;
}

/* A piece with number @seq (from 1) may be sent when so many have been acknowledged */
static inline uint64_t coll_credit_for(const struct coll_boxes *b, uint64_t seq)
{
	const uint64_t half = b->slots / 2;

	/* acknowledgements come for each half of the mailbox */
	return seq <= b->slots ? 0 : (seq - b->slots + half - 1) / half * half;
}

static inline bool coll_credit_due(const struct coll_boxes *b, uint64_t seq)
{
	return seq % (b->slots / 2) == 0;
}

/* Calls @fn for each piece in order; stops when it does not return 0 */
int coll_walk(struct coll_prog *p, const struct coll_boxes *b, const struct coll_topo *t,
	      unsigned int rank, unsigned int esize,
	      int (*fn)(void *arg, const struct coll_act *a, uint64_t off, uint64_t count),
	      void *arg);

/* ---- arithmetic of the NPUs, on the CPU (cpu.c) ---- */

void coll_cpu_reduce(void *dst, const void *a, const void *b, unsigned int dtype,
		     unsigned int redop, uint64_t count);
/* The reduction of @n operands @a[i] + @off bytes, in order; floats rounded once */
void coll_cpu_fold(void *dst, const void *const *a, uint64_t off, unsigned int n,
		   unsigned int dtype, unsigned int redop, uint64_t count);
void coll_cpu_avg(void *dst, const void *a, unsigned int dtype, unsigned int n, uint64_t count);

#endif /* SNPU_COLL_SCHEDULE_H */
