/* SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR MIT */
/*
 * Names of the operations: each SNPU_OP_* of snpu_hw.h once, for programs that print them.
 *
 * SNPU_OPS(X) expands X(NAME) for every operation, without the prefix SNPU_OP_.
 */
#ifndef _SNPU_OPS_H_
#define _SNPU_OPS_H_

#define SNPU_OPS(X) \
	X(NOP) X(COPY) X(COPY2D) X(FILL) X(ATOMIC) X(REDUCE_ADD) X(REDUCE_PULL) X(MULTICAST) \
	X(MATMUL) X(ELTWISE) X(CONVERT) X(REDUCE_SUM) X(SOFTMAX) X(RMSNORM) X(ACT) X(GATHER) \
	X(ARGMAX) X(CRC32C) X(ATTENTION) \
	X(SEM_SIGNAL) X(SEM_WAIT) X(BARRIER) X(TIMESTAMP) X(INTERRUPT) X(INDIRECT) X(CLOCK)

/* An entry of a table of names, indexed by SNPU_OP_* */
#define SNPU_OP_NAME_ENTRY(name)	[SNPU_OP_##name] = #name,

#endif /* _SNPU_OPS_H_ */
