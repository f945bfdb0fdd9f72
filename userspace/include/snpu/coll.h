/* SPDX-License-Identifier: MIT */
/*
 * libsnpu_coll: collective operations of many NPUs, in one process, in many, in many guests.
 *
 * A communicator (struct snpu_coll) is one rank of a group; each rank is one context (struct
 * snpu_ctx). An operation is called by every rank of the communicator, in the same order, with the
 * same count, type and redop. It records packets and puts them into the caller's queue, behind
 * what is there and before what comes later, and returns: snpu_queue_submit() launches them, and
 * from then on no host takes part. A position or a fence of the queue tells when the rank's part
 * is done, as for any other packet. Buffers are addresses in the rank's context, aligned to the
 * element; send and receive buffer may be the same where the operation's description says so, and
 * must not overlap otherwise.
 *
 * What is computed. Every algorithm is a schedule: a list of transfers and two-operand reductions
 * for each rank, a function of algorithm, rank count, hosts of the ranks, count and type alone. So
 * the order of additions never depends on timing, and each addition in a 16-bit float type is made
 * in fp32 and rounded once to nearest even (by SNPU_COLL_SWITCH: once at the end): results are the
 * same bits in every run, on all ranks. snpu_coll_reference() computes the same on the CPU.
 *
 * Conventions are those of snpu.h: 0 or a negative errno, snpu_coll_last_error() says what, where
 * and which values are allowed. One thread at a time uses a communicator; any thread may call
 * snpu_coll_async_error() and snpu_coll_abort().
 */
#ifndef SNPU_COLL_H
#define SNPU_COLL_H

#include <snpu/snpu.h>

#ifdef __cplusplus
extern "C" {
#endif

struct snpu_coll;	/* one rank of a communicator */

#define SNPU_COLL_MAX_RANKS	1024

/* Reductions */
#define SNPU_COLL_SUM	0	/* integers wrap */
#define SNPU_COLL_PROD	1
#define SNPU_COLL_MIN	2	/* a NaN gives NaN */
#define SNPU_COLL_MAX	3
#define SNPU_COLL_AVG	4	/* the sum, then times 1 / ranks in fp32, or divided toward zero */
#define SNPU_COLL_REDOPS	5

/* Operations, for snpu_coll_reference() and snpu_coll_algo_of() */
#define SNPU_COLL_ALL_REDUCE		0
#define SNPU_COLL_REDUCE_SCATTER	1
#define SNPU_COLL_ALL_GATHER		2
#define SNPU_COLL_BROADCAST		3
#define SNPU_COLL_REDUCE		4
#define SNPU_COLL_ALL_TO_ALL		5
#define SNPU_COLL_BARRIER		6
#define SNPU_COLL_OPS			7

/* Algorithms. One that an operation has not got is taken as AUTO there */
#define SNPU_COLL_AUTO		0	/* the cheapest by size, rank count and hosts */
#define SNPU_COLL_RING		1	/* all but all-to-all; a chain for broadcast and reduce */
#define SNPU_COLL_HD		2	/* recursive halving and doubling, any rank count */
#define SNPU_COLL_TREE		3	/* double binary tree: all-reduce, broadcast, reduce */
#define SNPU_COLL_HIER		4	/* inside each host, then between hosts; wants the same
					 * number of ranks on every host, else it is AUTO
					 */
#define SNPU_COLL_PAIRWISE	5	/* everyone with everyone, in rank order */
#define SNPU_COLL_SWITCH	6	/* packets that take all ranks at once, which the switches
					 * execute where they can; registered buffers only, else
					 * AUTO. All-reduce, reduce-scatter, all-gather, broadcast.
					 * Sums in rank order, in fp32, rounded once
					 */
#define SNPU_COLL_ALGOS		7

const char *snpu_coll_last_error(void);		/* of this thread, never NULL */
const char *snpu_coll_op_name(unsigned int op);		/* "all_reduce", NULL: unknown */
const char *snpu_coll_redop_name(unsigned int redop);	/* "sum" */
const char *snpu_coll_algo_name(unsigned int algo);	/* "ring" */
const char *snpu_coll_dtype_name(unsigned int dtype);	/* "bf16" */

/* ---- making communicators ----------------------------------------------------------------- */

#define SNPU_COLL_UID_BYTES	128

/**
 * struct snpu_coll_uid - names a communicator that is about to be made
 * @bytes: random, or derived from a name
 *
 * One rank makes it, and gives it to the others by any means.
 */
struct snpu_coll_uid {
	unsigned char bytes[SNPU_COLL_UID_BYTES];
};

int snpu_coll_get_uid(struct snpu_coll_uid *uid);
/* The same for everyone who knows @name: for ranks with no other way to agree */
int snpu_coll_uid_of_name(const char *name, struct snpu_coll_uid *uid);

/* Which fields of struct snpu_coll_params are given */
#define SNPU_COLL_PARAM_ALGO	(1u << 0)
#define SNPU_COLL_PARAM_TIMEOUT	(1u << 1)
#define SNPU_COLL_PARAM_SLOT	(1u << 2)
#define SNPU_COLL_PARAM_SLOTS	(1u << 3)

/**
 * struct snpu_coll_params - how a communicator works; the same on all its ranks
 * @field_mask: SNPU_COLL_PARAM_*; the environment (SNPU_COLL_ALGO, SNPU_COLL_TIMEOUT_MS,
 *	SNPU_COLL_SLOT, SNPU_COLL_SLOTS) or the default counts for the others
 * @algo: SNPU_COLL_AUTO, RING...
 * @slots: pieces that may be on the way from one rank to another: 2, 4 or 8; default 4
 * @slot_bytes: largest piece, a power of two from 1 KiB to 4 MiB; by default from the rank count
 * @timeout_ns: longest wait for another rank, any value; 0 and SNPU_FOREVER: without end; default
 *	60 s. It may differ between ranks
 */
struct snpu_coll_params {
	uint64_t field_mask;
	uint32_t algo;
	uint32_t slots;
	uint64_t slot_bytes;
	uint64_t timeout_ns;
};

/*
 * Joins the communicator @uid as @rank of @nranks; returns when all have come, or -ETIMEDOUT. Ranks
 * find each other through the fabric's directory. Several ranks in one thread: between
 * snpu_coll_group_start() and _end(). A rank that has come already gets -EEXIST; one with another
 * rank count or other settings than rank 0 gets -EINVAL, with both numbers in the message; the
 * others go on waiting for the right one. @uid may be used again after snpu_coll_destroy(), by each
 * rank as soon as its own has returned.
 */
int snpu_coll_init_rank(struct snpu_coll **out, struct snpu_ctx *ctx, unsigned int nranks,
			const struct snpu_coll_uid *uid, unsigned int rank,
			const struct snpu_coll_params *params);
/* A communicator of contexts of this process, of one struct snpu; rank r is ctxs[r] */
int snpu_coll_init_all(struct snpu_coll **comms, struct snpu_ctx *const *ctxs, unsigned int n,
		       const struct snpu_coll_params *params);
/*
 * Ranks with the same @color become a communicator, ordered by @key, then by rank; a negative
 * @color joins none and gets NULL. Every rank calls it, and it waits for all of them.
 */
int snpu_coll_split(struct snpu_coll *comm, int color, int key, struct snpu_coll **out,
		    const struct snpu_coll_params *params);
/*
 * A communicator without the ranks @excluded, in the old order. Works after an abort, and needs
 * nothing from those left out. Every remaining rank calls it with the same list.
 */
int snpu_coll_shrink(struct snpu_coll *comm, const unsigned int *excluded, unsigned int n,
		     struct snpu_coll **out, const struct snpu_coll_params *params);
/* Frees a rank; waits for what it has outstanding. NULL is no error; -EINVAL: destroyed before */
int snpu_coll_destroy(struct snpu_coll *comm);

/*
 * Lets the other ranks read @mem (HBM of the communicator's context; in other processes also
 * CONTIG) where it is. All-reduce and all-gather by HIER, or by PAIRWISE on one host, then need no
 * mailboxes when all their buffers are in registered memory; SWITCH is for such buffers alone, and
 * has the others write results to them. Every rank registers memory of the
 * same size, in the same order, and uses the same place in it. Waits for all ranks, unless
 * init_all made them.
 */
int snpu_coll_register(struct snpu_coll *comm, struct snpu_mem *mem);
int snpu_coll_unregister(struct snpu_coll *comm, struct snpu_mem *mem);

unsigned int snpu_coll_count(const struct snpu_coll *comm);
unsigned int snpu_coll_rank(const struct snpu_coll *comm);
struct snpu_ctx *snpu_coll_ctx(const struct snpu_coll *comm);
unsigned int snpu_coll_hosts(const struct snpu_coll *comm);	/* hosts that its ranks are on */
/* Number of the host of @rank among those; ranks with the same one share a host */
int snpu_coll_host_of(const struct snpu_coll *comm, unsigned int rank);
/* The algorithm an operation of @bytes (of the larger buffer) would take; SNPU_COLL_* */
int snpu_coll_algo_of(const struct snpu_coll *comm, unsigned int op, uint64_t bytes);

/* ---- failure ------------------------------------------------------------------------------ */

/*
 * 0, or why the communicator is broken: -ECONNRESET: a rank is gone or cannot be reached, -EIO: a
 * queue faulted, -ETIMEDOUT: a rank did not come in time, -ECANCELED: snpu_coll_abort() of any
 * rank. When one rank is broken, all are within SNPU_COLL_NOTICE_NS.
 */
int snpu_coll_async_error(struct snpu_coll *comm);
/*
 * Breaks the communicator, on all ranks. Outstanding operations end: their packets are withdrawn,
 * and the queues that hold them stop with SNPU_ERR_OPCODE (or TIMEOUT), if not with what was the
 * cause.
 */
int snpu_coll_abort(struct snpu_coll *comm);
#define SNPU_COLL_NOTICE_NS	5000000000ull

/* ---- operations --------------------------------------------------------------------------- */
/*
 * @dtype: SNPU_DT_F32, F16, BF16, I8, I32, I64. @redop: SNPU_COLL_SUM... -EAGAIN: @q has no room,
 * submit and wait; nothing was recorded. A count of 0 is a barrier of sorts: no data moves.
 */

/* @recv = reduction of all @send, @count elements; in place: @send == @recv */
int snpu_coll_all_reduce(struct snpu_coll *comm, struct snpu_queue *q, uint64_t send, uint64_t recv,
			 uint64_t count, unsigned int dtype, unsigned int redop);
/* Rank r gets elements r * @count... of the reduction; in place: @recv == @send + rank * @count */
int snpu_coll_reduce_scatter(struct snpu_coll *comm, struct snpu_queue *q, uint64_t send,
			     uint64_t recv, uint64_t count, unsigned int dtype, unsigned int redop);
/* @recv[r * @count...] = @send of rank r; in place: @send == @recv + rank * @count */
int snpu_coll_all_gather(struct snpu_coll *comm, struct snpu_queue *q, uint64_t send, uint64_t recv,
			 uint64_t count, unsigned int dtype);
/* @recv = @send of rank @root, whose @send alone counts; in place: @send == @recv */
int snpu_coll_broadcast(struct snpu_coll *comm, struct snpu_queue *q, uint64_t send, uint64_t recv,
			uint64_t count, unsigned int dtype, unsigned int root);
/* The same as all_reduce, but only @root's @recv counts; others may pass 0; in place at the root */
int snpu_coll_reduce(struct snpu_coll *comm, struct snpu_queue *q, uint64_t send, uint64_t recv,
		     uint64_t count, unsigned int dtype, unsigned int redop, unsigned int root);
/* @recv[r * @count...] = rank r's @send[my rank * @count...]; never in place */
int snpu_coll_all_to_all(struct snpu_coll *comm, struct snpu_queue *q, uint64_t send, uint64_t recv,
			 uint64_t count, unsigned int dtype);
/*
 * With counts and displacements (elements) for each rank; what r sends to s must be what s expects
 * from r. Never in place.
 */
int snpu_coll_all_to_allv(struct snpu_coll *comm, struct snpu_queue *q, uint64_t send,
			  const uint64_t *send_counts, const uint64_t *send_displs, uint64_t recv,
			  const uint64_t *recv_counts, const uint64_t *recv_displs,
			  unsigned int dtype);
/*
 * Point to point. A send waits until its peer has received all but the last few pieces: what is to
 * go on at the same time belongs between group_start and group_end, which takes sends and receives
 * of a communicator and queue piece by piece in turn.
 */
int snpu_coll_send(struct snpu_coll *comm, struct snpu_queue *q, uint64_t buf, uint64_t count,
		   unsigned int dtype, unsigned int peer);
int snpu_coll_recv(struct snpu_coll *comm, struct snpu_queue *q, uint64_t buf, uint64_t count,
		   unsigned int dtype, unsigned int peer);
/* Later packets of @q run when all ranks have come here */
int snpu_coll_barrier(struct snpu_coll *comm, struct snpu_queue *q);

/*
 * What this thread calls between the two is done at the outermost _end(): init_rank, split and
 * shrink side by side, sends and receives merged. The first error is returned there.
 */
int snpu_coll_group_start(void);
int snpu_coll_group_end(void);

/* ---- reference ---------------------------------------------------------------------------- */

/**
 * struct snpu_coll_ref - an operation to be computed on the CPU
 * @op: SNPU_COLL_ALL_REDUCE...
 * @algo: SNPU_COLL_RING...; AUTO: what a communicator of these ranks would choose
 * @redop: SNPU_COLL_SUM...
 * @dtype: SNPU_DT_*
 * @nranks: ranks
 * @root: of broadcast and reduce
 * @hosts: host of each rank, NULL: all on one
 * @count: as in the call
 * @slot_bytes: as in struct snpu_coll_params, 0: the default
 * @slots: likewise
 * @send: send buffer of each rank
 * @recv: receive buffer of each rank
 */
struct snpu_coll_ref {
	unsigned int op;
	unsigned int algo;
	unsigned int redop;
	unsigned int dtype;
	unsigned int nranks;
	unsigned int root;
	const unsigned int *hosts;
	uint64_t count;
	uint64_t slot_bytes;
	unsigned int slots;
	const void *const *send;
	void *const *recv;
};

/*
 * Runs the schedules of all ranks on the CPU: what the NPUs compute, bit for bit. -EDEADLK: the
 * schedule waits for ever, which is a bug.
 */
int snpu_coll_reference(const struct snpu_coll_ref *ref);

#ifdef __cplusplus
}
#endif

#endif /* SNPU_COLL_H */
