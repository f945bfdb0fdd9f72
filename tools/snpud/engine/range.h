/* SPDX-License-Identifier: MIT */
/*
 * Operands: a range or a matrix of the queue's address space as one host pointer. Memory that is
 * contiguous on the host is used in place; anything else goes through scratch memory.
 */
#ifndef SNPU_ENGINE_RANGE_H
#define SNPU_ENGINE_RANGE_H

#include <stddef.h>
#include "engine.h"

#define SNPU_NUM_SCRATCH	6	/* operands, then room for the ops themselves */

/**
 * struct snpu_exec - one packet in execution
 * @e: engine
 * @ops: memory
 * @ctx: for @ops
 * @fault_va: address of the last failed access
 */
struct snpu_exec {
	struct snpu_engine *e;
	const struct snpu_mem_ops *ops;
	void *ctx;
	uint64_t fault_va;
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
 * The pointer is good until the next checkpoint. Return: SNPU_ERR_*, with @x->fault_va.
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

static inline int snpu_checkpoint(struct snpu_exec *x)
{
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

struct snpu_gemm;
struct snpu_gemm *snpu_engine_gemm(struct snpu_engine *e);
struct snpu_gemm *snpu_gemm_create(void);
void snpu_gemm_destroy(struct snpu_gemm *g);

#endif
