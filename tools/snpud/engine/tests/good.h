/* SPDX-License-Identifier: MIT */
/* One packet of each op that every check passes: what the tests spoil one field of */
#ifndef SNPU_ENGINE_GOOD_H
#define SNPU_ENGINE_GOOD_H

#include "fake.h"

#define A(n)	(FAKE_BASE + (uint64_t)(n) * 0x100000)

#define HDR(op, flags, dt, dt2, arg) { op, flags, dt, dt2, arg }

static const union snpu_pkt good[] = {
	{ .misc = { .hdr.op = SNPU_OP_NOP } },
	{ .misc = { .hdr.op = SNPU_OP_BARRIER } },
	{ .misc = { .hdr.op = SNPU_OP_TIMESTAMP, .addr = A(0) } },
	{ .misc = { .hdr = HDR(SNPU_OP_INTERRUPT, 0, 0, 0, 7) } },
	{ .misc = { .hdr.op = SNPU_OP_INDIRECT, .addr = A(0), .count = 3 } },
	{ .sem = { .hdr = HDR(SNPU_OP_SEM_SIGNAL, 0, 0, 0, SNPU_SEM_ADD), .addr = A(0), .value = 1 } },
	{ .sem = { .hdr = HDR(SNPU_OP_SEM_WAIT, 0, 0, 0, SNPU_SEM_EQ), .addr = A(0), .value = 1,
		   .timeout_ns = 5 } },
	{ .copy = { .hdr.op = SNPU_OP_COPY, .src = A(0), .dst = A(1), .bytes = 100 } },
	{ .copy2d = { .hdr.op = SNPU_OP_COPY2D, .src = A(0), .dst = A(1), .src_pitch = 64,
		      .dst_pitch = 64, .width = 64, .rows = 4 } },
	{ .fill = { .hdr = HDR(SNPU_OP_FILL, 0, 0, 0, 4), .dst = A(0), .bytes = 64, .pattern = 9 } },
	{ .matmul = { .hdr = HDR(SNPU_OP_MATMUL, 0, SNPU_DT_F32, SNPU_DT_F32, 0), .a = A(0), .b = A(1),
		      .c = A(2), .m = 4, .n = 4, .k = 4, .lda = 4, .ldb = 4, .ldc = 4 } },
	{ .eltwise = { .hdr = HDR(SNPU_OP_ELTWISE, 0, SNPU_DT_F32, 0, SNPU_ELT_ADD), .a = A(0),
		       .b = A(1), .dst = A(2), .count = 16 } },
	{ .convert = { .hdr = HDR(SNPU_OP_CONVERT, 0, SNPU_DT_F32, SNPU_DT_I8, 0), .src = A(0),
		       .dst = A(1), .count = 16 } },
	{ .rows = { .hdr = HDR(SNPU_OP_REDUCE_SUM, 0, SNPU_DT_F32, SNPU_DT_F32, 0), .src = A(0),
		    .dst = A(1), .rows = 4, .cols = 4, .ld_src = 4 } },
	{ .rows = { .hdr = HDR(SNPU_OP_SOFTMAX, SNPU_PF_CAUSAL, SNPU_DT_F32, 0, 0), .src = A(0),
		    .dst = A(1), .rows = 4, .cols = 4, .ld_src = 4, .ld_dst = 4, .offset = 1 } },
	{ .rows = { .hdr = HDR(SNPU_OP_RMSNORM, 0, SNPU_DT_F32, 0, 0), .src = A(0), .dst = A(1),
		    .weight = A(2), .rows = 4, .cols = 4, .ld_src = 4, .ld_dst = 4 } },
	{ .rows = { .hdr = HDR(SNPU_OP_ARGMAX, 0, SNPU_DT_F32, 0, 0), .src = A(0), .dst = A(1),
		    .rows = 4, .cols = 4, .ld_src = 4 } },
	{ .act = { .hdr = HDR(SNPU_OP_ACT, 0, SNPU_DT_F32, 0, SNPU_ACT_GELU), .src = A(0), .dst = A(1),
		   .count = 16 } },
	{ .gather = { .hdr = HDR(SNPU_OP_GATHER, 0, SNPU_DT_F32, 0, 0), .table = A(0), .index = A(1),
		      .dst = A(2), .count = 2, .cols = 4, .table_rows = 4, .ld_table = 4,
		      .ld_dst = 4 } },
	{ .crc32c = { .hdr.op = SNPU_OP_CRC32C, .src = A(0), .bytes = 10, .dst = A(1) } },
};

#define NUM_GOOD (sizeof(good) / sizeof(good[0]))

#endif
