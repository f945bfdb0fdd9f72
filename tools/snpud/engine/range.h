/* SPDX-License-Identifier: MIT */
/*
 * Operands: a range or a matrix of the queue's address space as one host pointer. Memory that is
 * contiguous on the host is used in place; anything else goes through scratch memory.
 */
#ifndef SNPU_ENGINE_RANGE_H
#define SNPU_ENGINE_RANGE_H

#include <stddef.h>
#include "engine.h"

#define SNPU_NUM_SCRATCH	7	/* operands, then room for the ops themselves */
#define SNPU_CHUNK		(1ull << 20)	/* bytes moved between two checkpoints */

/**
 * struct snpu_tune - sizes at which the engine changes its ways; the tests lower them
 * @copy_nt: bytes above which copies go around the cache, 0: half of the last-level cache
 * @block_flops: arithmetic of MATMUL between two checkpoints, about
 * @panel_bytes: bytes of each operand of a MATMUL that are worked on at a time
 * @row_bytes: a row longer than this is worked on in pieces
 * @no_kernel: mask of 1 << SNPU_DT_*: do as if this CPU could not multiply the type
 */
struct snpu_tune {
	uint64_t copy_nt;
	uint64_t block_flops;
	uint64_t panel_bytes;
	uint64_t row_bytes;
	unsigned int no_kernel;
};

extern struct snpu_tune snpu_tune;

/**
 * struct snpu_exec - one packet in execution
 * @e: engine
 * @ops: memory
 * @ctx: for @ops
 * @fault_va: address of the last failed access
 * @checkpoints: made so far: a pointer that was resolved before the last one is not valid any more
 */
struct snpu_exec {
	struct snpu_engine *e;
	const struct snpu_mem_ops *ops;
	void *ctx;
	uint64_t fault_va;
	uint64_t checkpoints;
};

/**
 * struct snpu_mat - a matrix operand that was made reachable
 * @ptr: first element
 * @pitch: bytes from row to row at @ptr
 * @va: address
 * @va_pitch: bytes from row to row there
 * @rows: rows
 * @row_bytes: bytes of a row
 * @bounced: @ptr is scratch: a result must be written back
 * @dense: the caller needs @pitch to be @row_bytes
 * @keep: the caller needs @pitch to be @va_pitch
 * @pad: the caller needs each row at @ptr to go on with zeros up to a multiple of 64 bytes
 * @may_wait: the caller holds no pointers: checkpoints are allowed while a large matrix is gathered
 */
struct snpu_mat {
	uint8_t *ptr;
	uint64_t pitch;
	uint64_t va;
	uint64_t va_pitch;
	uint64_t rows;
	uint64_t row_bytes;
	bool bounced;
	bool dense;
	bool keep;
	bool pad;
	bool may_wait;
};

unsigned int snpu_dt_size(unsigned int dtype);

/**
 * snpu_scratch() - scratch memory of the engine
 * @e: engine
 * @slot: which, below SNPU_NUM_SCRATCH; asking again for a slot gives up its content
 * @bytes: at least so much, 64-byte aligned
 *
 * Return: the memory or NULL.
 */
void *snpu_scratch(struct snpu_engine *e, unsigned int slot, uint64_t bytes);

/**
 * snpu_mat_get() - make a matrix reachable
 * @x: execution
 * @m: operand; @m->va, va_pitch, rows, row_bytes are set
 * @slot: scratch slot for it
 * @access: SNPU_MEM_*
 *
 * The pointer is good until the next checkpoint; a bounced one until the slot is used again. What
 * must be written is probed here, so that such a fault shows before anything is computed.
 *
 * Return: SNPU_ERR_*, with @x->fault_va.
 */
int snpu_mat_get(struct snpu_exec *x, struct snpu_mat *m, unsigned int slot, unsigned int access);

/** snpu_mat_put() - write a result back; to be called before the next checkpoint */
int snpu_mat_put(struct snpu_exec *x, struct snpu_mat *m);

/** snpu_vec_get() - as snpu_mat_get(), one row of @bytes at @va */
int snpu_vec_get(struct snpu_exec *x, struct snpu_mat *m, unsigned int slot, unsigned int access,
		 uint64_t va, uint64_t bytes);

/** snpu_mem_in() - copy out of the address space, whatever it is made of */
int snpu_mem_in(struct snpu_exec *x, uint64_t va, void *buf, uint64_t bytes);

/** snpu_mem_out() - copy into the address space */
int snpu_mem_out(struct snpu_exec *x, uint64_t va, const void *buf, uint64_t bytes);

/** snpu_mem_probe() - see whether a range can be accessed; @access: SNPU_MEM_READ or WRITE */
int snpu_mem_probe(struct snpu_exec *x, uint64_t va, uint64_t bytes, unsigned int access);

/** snpu_mem_in_long() - as snpu_mem_in(), with checkpoints: no pointer survives it */
int snpu_mem_in_long(struct snpu_exec *x, uint64_t va, void *buf, uint64_t bytes);

/** snpu_mem_out_long() - as snpu_mem_out(), with checkpoints: no pointer survives it */
int snpu_mem_out_long(struct snpu_exec *x, uint64_t va, const void *buf, uint64_t bytes);

static inline int snpu_checkpoint(struct snpu_exec *x)
{
	x->checkpoints++;
	return x->ops->checkpoint(x->ctx);
}

/* The ops; each returns SNPU_ERR_* */
int snpu_op_copy(struct snpu_exec *x, const union snpu_pkt *p);
int snpu_op_copy2d(struct snpu_exec *x, const union snpu_pkt *p);
int snpu_op_fill(struct snpu_exec *x, const union snpu_pkt *p);
int snpu_op_crc32c(struct snpu_exec *x, const union snpu_pkt *p);
int snpu_op_gather(struct snpu_exec *x, const union snpu_pkt *p);
int snpu_op_eltwise(struct snpu_exec *x, const union snpu_pkt *p);
int snpu_op_convert(struct snpu_exec *x, const union snpu_pkt *p);
int snpu_op_act(struct snpu_exec *x, const union snpu_pkt *p);
int snpu_op_rows(struct snpu_exec *x, const union snpu_pkt *p);
int snpu_op_matmul(struct snpu_exec *x, const union snpu_pkt *p);
int snpu_op_attention(struct snpu_exec *x, const union snpu_pkt *p);
int snpu_op_reduce_add(struct snpu_exec *x, const union snpu_pkt *p);
int snpu_op_reduce_pull(struct snpu_exec *x, const union snpu_pkt *p);
int snpu_op_multicast(struct snpu_exec *x, const union snpu_pkt *p);
/* multi.c: reads and checks the list of a packet; the addresses are in scratch memory */
int snpu_multi_list(struct snpu_exec *x, const union snpu_pkt *p, const uint64_t **list);

struct snpu_gemm;
struct snpu_gemm *snpu_engine_gemm(struct snpu_engine *e);
struct snpu_gemm *snpu_gemm_create(void);
void snpu_gemm_destroy(struct snpu_gemm *g);

#endif
