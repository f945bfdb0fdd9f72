// SPDX-License-Identifier: GPL-2.0-only
/*
 * A good packet of each op, for tests that spoil it; see snpu_util.h.
 */
#include <string.h>

#include "snpu_util.h"

#define F32		SNPU_DT_F32
#define AT(type, field) offsetof(struct snpu_pkt_##type, field)

/**
 * snpu_op_cases() - make a good packet of each op
 * @base: address of 256 KiB that the device may read and write
 * @op: where they go
 *
 * All results go to @base + SNPU_OP_RESULT.
 */
void snpu_op_cases(uint64_t base, struct snpu_op_case op[SNPU_NUM_OPS])
{
	uint64_t a = base, b = a + (64 << 10), d = a + SNPU_OP_RESULT, w = a + (192 << 10);
	const struct snpu_op_case all[SNPU_NUM_OPS] = {
		{ "COPY", { .copy = { { SNPU_OP_COPY }, .src = a, .dst = d, .bytes = 64 } },
		  { AT(copy, src), AT(copy, dst) } },
		{ "COPY2D", { .copy2d = { { SNPU_OP_COPY2D }, a, d, 64, 64, 16, 4 } },
		  { AT(copy2d, src), AT(copy2d, dst) } },
		{ "FILL", { .fill = { { SNPU_OP_FILL, .arg = 4 }, .dst = d, .bytes = 64 } },
		  { AT(fill, dst) } },
		{ "MATMUL", { .matmul = { { SNPU_OP_MATMUL, SNPU_PF_BIAS, F32, F32 },
					  a, b, d, w, 8, 8, 8, 8, 8, 8 } },
		  { AT(matmul, a), AT(matmul, b), AT(matmul, c), AT(matmul, bias) } },
		{ "MATMUL i8", { .matmul = { { SNPU_OP_MATMUL, 0, SNPU_DT_I8, SNPU_DT_I32 },
					     a, b, d, 0, 8, 8, 8, 8, 8, 8 } },
		  { AT(matmul, a), AT(matmul, b), AT(matmul, c) } },
		{ "ELTWISE", { .eltwise = { { SNPU_OP_ELTWISE, .dtype = F32 }, a, b, d, 16 } },
		  { AT(eltwise, a), AT(eltwise, b), AT(eltwise, dst) } },
		{ "CONVERT", { .convert = { { SNPU_OP_CONVERT, 0, F32, SNPU_DT_BF16 },
					    a, d, 16 } },
		  { AT(convert, src), AT(convert, dst) } },
		{ "REDUCE_SUM", { .rows = { { SNPU_OP_REDUCE_SUM, 0, F32, F32 },
					    a, d, 0, 4, 8, 8 } },
		  { AT(rows, src), AT(rows, dst) } },
		{ "SOFTMAX", { .rows = { { SNPU_OP_SOFTMAX, .dtype = F32 }, a, d, 0, 4, 8, 8,
					 8 } },
		  { AT(rows, src), AT(rows, dst) } },
		{ "RMSNORM", { .rows = { { SNPU_OP_RMSNORM, .dtype = F32 }, a, d, w, 4, 8, 8,
					 8 } },
		  { AT(rows, src), AT(rows, dst), AT(rows, weight) } },
		{ "ACT", { .act = { { SNPU_OP_ACT, .dtype = F32 }, a, d, 16 } },
		  { AT(act, src), AT(act, dst) } },
		{ "GATHER", { .gather = { { SNPU_OP_GATHER, .dtype = F32 }, a, b, d, 4, 8, 16,
					  8, 8 } },
		  { AT(gather, table), AT(gather, index), AT(gather, dst) } },
		{ "ARGMAX", { .rows = { { SNPU_OP_ARGMAX, .dtype = F32 }, a, d, 0, 4, 8, 8 } },
		  { AT(rows, src), AT(rows, dst) } },
		{ "CRC32C", { .crc32c = { { SNPU_OP_CRC32C }, a, 64, d } },
		  { AT(crc32c, src), AT(crc32c, dst) } },
		{ "SEM_SIGNAL", { .sem = { { SNPU_OP_SEM_SIGNAL }, d, 1 } }, { AT(sem, addr) } },
		{ "SEM_WAIT", { .sem = { { SNPU_OP_SEM_WAIT }, d, 0 } }, { AT(sem, addr) } },
		{ "TIMESTAMP", { .misc = { { SNPU_OP_TIMESTAMP }, d } }, { AT(misc, addr) } },
		{ "INDIRECT", { .misc = { { SNPU_OP_INDIRECT }, a, 2 } }, { AT(misc, addr) } },
	};

	memcpy(op, all, sizeof(all));
}
