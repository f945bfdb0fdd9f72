// SPDX-License-Identifier: MIT
/*
 * Which addresses a data packet works on: for queues that only cost time, where the memory itself is
 * not touched but its place decides what a packet costs.
 */
#include "npu_priv.h"

static unsigned int put(struct snpu_operand *o, unsigned int n, uint64_t va, bool write)
{
	o[n] = (struct snpu_operand){ va, write };
	return n + 1;
}

/* Two sources, of which the second may be 0, and a destination */
static unsigned int put3(struct snpu_operand *o, uint64_t a, uint64_t b, uint64_t dst)
{
	unsigned int n = put(o, 0, a, false);

	if (b)
		n = put(o, n, b, false);
	return put(o, n, dst, true);
}

unsigned int snpu_pkt_operands(const union snpu_pkt *p, struct snpu_operand *o)
{
	unsigned int n;

	switch (p->hdr.op) {
	case SNPU_OP_COPY:
		return put3(o, p->copy.src, 0, p->copy.dst);
	case SNPU_OP_COPY2D:
		return put3(o, p->copy2d.src, 0, p->copy2d.dst);
	case SNPU_OP_REDUCE_ADD:
		return put3(o, p->reduce.src, 0, p->reduce.dst);
	case SNPU_OP_REDUCE_PULL:
		return put(o, 0, p->multi.addr, true);	/* the list comes apart from these */
	case SNPU_OP_MULTICAST:
		return put(o, 0, p->multi.addr, false);
	case SNPU_OP_FILL:
		return put(o, 0, p->fill.dst, true);
	case SNPU_OP_MATMUL:
		n = put3(o, p->matmul.a, p->matmul.b, p->matmul.c);
		return p->matmul.bias ? put(o, n, p->matmul.bias, false) : n;
	case SNPU_OP_ELTWISE:
		return put3(o, p->eltwise.a, p->eltwise.b, p->eltwise.dst);
	case SNPU_OP_CONVERT:
		return put3(o, p->convert.src, 0, p->convert.dst);
	case SNPU_OP_REDUCE_SUM:
	case SNPU_OP_SOFTMAX:
	case SNPU_OP_RMSNORM:
	case SNPU_OP_ARGMAX:
		return put3(o, p->rows.src, p->rows.weight, p->rows.dst);
	case SNPU_OP_ACT:
		return put3(o, p->act.src, 0, p->act.dst);
	case SNPU_OP_GATHER:
		return put3(o, p->gather.table, p->gather.index, p->gather.dst);
	case SNPU_OP_CRC32C:
		return put3(o, p->crc32c.src, 0, p->crc32c.dst);
	case SNPU_OP_ATTENTION:
		return put3(o, p->attention.q, p->attention.kv, p->attention.out);
	default:
		return 0;
	}
}
