/* SPDX-License-Identifier: MIT */
/* snpu-bench coll: what its parts share. */
#ifndef SNPU_BENCH_COLL_H
#define SNPU_BENCH_COLL_H

#include <snpu/coll.h>

#include "bench.h"

/**
 * struct coll_opts - the command line
 * @min: smallest size, bytes
 * @max: largest
 * @factor: from one to the next
 * @iters: operations that are measured, one behind the other
 * @warmup: operations before
 * @check: compare results
 * @ops: bit n: operation n, SNPU_COLL_ALL_REDUCE...
 * @dtype: SNPU_DT_*
 * @redop: SNPU_COLL_SUM...
 * @root: of broadcast and reduce
 * @algo: SNPU_COLL_*
 * @ranks: ranks of this process, 0: one for each NPU
 * @hosts: NPUs of so many hosts only, 0: all
 * @slot: largest piece, bytes, 0: default
 * @timeout_s: longest wait for another rank
 * @in_place: result where the operand was
 * @reg: register the buffers
 * @timing: timing-only queues
 * @base: rank number of this process's first, with @name
 * @total: ranks of all processes
 * @name: they find each other by it; NULL: all ranks are here
 * @json: file for results, or NULL
 * @lines: JSON lines on stdout instead of the table
 */
struct coll_opts {
	uint64_t min, max;
	double factor;
	unsigned int iters, warmup;
	bool check;
	unsigned int ops, dtype, redop, root, algo;
	unsigned int ranks, hosts;
	uint64_t slot;
	unsigned int timeout_s;
	bool in_place;
	bool reg;
	bool timing;
	unsigned int base, total;
	const char *name;
	const char *json;
	bool lines;
};

/**
 * struct coll_rank - a rank of this process
 * @ctx: its context
 * @q: its queue
 * @mem: its buffers: what is sent, what is received
 * @ptr: the CPU's view of them
 * @comm: its communicator
 * @wrong: wrong elements of the last operation
 */
struct coll_rank {
	struct snpu_ctx *ctx;
	struct snpu_queue *q;
	struct snpu_mem *mem[2];
	uint8_t *ptr[2];
	struct snpu_coll *comm;
	uint64_t first, last;
	uint64_t wrong;
};

/**
 * struct coll_world - ranks of this process, and what all of them have
 * @o: options
 * @snpu: NPUs
 * @n: ranks here
 * @total: ranks in all
 * @rank: those here
 * @bytes: of each buffer
 * @table: inputs: that of rank r begins at entry r * COLL_SHIFT (mod COLL_PERIOD)
 * @setup_ns: time it took to set up
 */
struct coll_world {
	struct coll_opts *o;
	struct snpu *snpu;
	unsigned int n, total;
	struct coll_rank *rank;
	uint64_t bytes;
	uint8_t *table;
	uint64_t setup_ns;
};

/**
 * struct coll_case - a line of the table
 * @op: SNPU_COLL_ALL_REDUCE...
 * @count: elements, as in the call
 * @size: bytes of the larger buffer
 * @wall_ns: time of one operation
 * @virt_ns: virtual time of one, 0: not kept
 * @wrong: wrong elements of all ranks here; UINT64_MAX: not checked
 */
struct coll_case {
	unsigned int op;
	uint64_t count;
	uint64_t size;
	double wall_ns;
	double virt_ns;
	uint64_t wrong;
};

#define COLL_PERIOD	65521u
#define COLL_SHIFT	8191u

/* coll_world.c */
int coll_world_open(struct coll_world *w);
void coll_world_close(struct coll_world *w);
int coll_fail_why(int ret, const char *what);

/* coll_run.c */
int coll_run(struct coll_world *w, struct coll_case *c);
uint64_t coll_elems(const struct coll_world *w, unsigned int op, uint64_t count, bool out);

/* coll_check.c */
int coll_table_fill(struct coll_world *w);
const void *coll_input(const struct coll_world *w, unsigned int rank);
int coll_check_results(struct coll_world *w, struct coll_case *c);

#endif
