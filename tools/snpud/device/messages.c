// SPDX-License-Identifier: MIT
/*
 * Does a data packet touch memory that only messages to the client reach? Every byte that it may
 * touch is looked up before it begins: a worker cannot wait for the client's answer, and a packet
 * that has changed memory cannot begin again elsewhere. NPUs whose client has described no such
 * memory pay one call.
 */
#include <string.h>

#include "exec_priv.h"
#include "engine/range.h"

#define STEPS	512u		/* lookups between two checkpoints */

/**
 * struct block - rows of bytes at equal distances
 * @va: first row
 * @rows: how many
 * @width: bytes of one
 * @pitch: bytes from one to the next
 * @write: they are written
 */
struct block {
	uint64_t va;
	uint64_t rows;
	uint64_t width;
	uint64_t pitch;
	bool write;
};

#define MAX_BLOCKS	6

struct blocks {
	unsigned int n;
	struct block b[MAX_BLOCKS];
};

static void add_rows(struct blocks *l, uint64_t va, uint64_t rows, uint64_t width, uint64_t pitch,
		     bool write)
{
	l->b[l->n++] = (struct block){ va, rows, width, pitch, write };
}

static void add(struct blocks *l, uint64_t va, uint64_t bytes, bool write)
{
	add_rows(l, va, 1, bytes, 0, write);
}

static void add_matmul(struct blocks *l, const struct snpu_pkt_matmul *c)
{
	bool ta = c->hdr.flags & SNPU_PF_TRANS_A, tb = c->hdr.flags & SNPU_PF_TRANS_B;
	uint64_t size = snpu_dt_size(c->hdr.dtype), size_c = snpu_dt_size(c->hdr.dtype2);
	uint64_t groups = c->hdr.arg ? c->hdr.arg : 1;

	add_rows(l, c->a, groups * (ta ? c->k : c->m), size * (ta ? c->m : c->k), size * c->lda,
		 false);
	add_rows(l, c->b, groups * (tb ? c->n : c->k), size * (tb ? c->k : c->n), size * c->ldb,
		 false);
	add_rows(l, c->c, groups * c->m, size_c * c->n, size_c * c->ldc, true);
	if (c->bias)
		add(l, c->bias, groups * c->n * 4, false);
}

static void add_row_op(struct blocks *l, const struct snpu_pkt_rows *c)
{
	bool columns = c->hdr.op == SNPU_OP_REDUCE_SUM && (c->hdr.flags & SNPU_PF_COLUMNS);
	uint64_t size = snpu_dt_size(c->hdr.dtype);

	add_rows(l, c->src, c->rows, size * c->cols, size * c->ld_src, false);
	if (c->ld_dst)
		add_rows(l, c->dst, c->rows, size * c->cols, size * c->ld_dst, true);
	else
		add(l, c->dst, 4ull * (columns ? c->cols : c->rows), true);
	if (c->weight)
		add(l, c->weight, size * c->cols, false);
}

/* What a packet that passed the check may touch; the places of a list come apart */
static void list_blocks(const union snpu_pkt *p, struct blocks *l)
{
	uint64_t size = snpu_dt_size(p->hdr.dtype), size2 = snpu_dt_size(p->hdr.dtype2);

	switch (p->hdr.op) {
	case SNPU_OP_COPY:
		add(l, p->copy.src, p->copy.bytes, false);
		add(l, p->copy.dst, p->copy.bytes, true);
		break;
	case SNPU_OP_COPY2D:
		add_rows(l, p->copy2d.src, p->copy2d.rows, p->copy2d.width, p->copy2d.src_pitch,
			 false);
		add_rows(l, p->copy2d.dst, p->copy2d.rows, p->copy2d.width, p->copy2d.dst_pitch,
			 true);
		break;
	case SNPU_OP_FILL:
		add(l, p->fill.dst, p->fill.bytes, true);
		break;
	case SNPU_OP_REDUCE_ADD:
		/* only HBM can add: any other target is an error on every thread */
		add(l, p->reduce.src, p->reduce.count * size, false);
		break;
	case SNPU_OP_REDUCE_PULL:
		add(l, p->multi.addr, p->multi.count * size, true);
		break;
	case SNPU_OP_MULTICAST:
		add(l, p->multi.addr, p->multi.count, false);
		break;
	case SNPU_OP_MATMUL:
		add_matmul(l, &p->matmul);
		break;
	case SNPU_OP_ELTWISE:
		add(l, p->eltwise.a, p->eltwise.count * size, false);
		if (p->eltwise.b)
			add(l, p->eltwise.b, p->eltwise.count * size, false);
		add(l, p->eltwise.dst, p->eltwise.count * size, true);
		break;
	case SNPU_OP_CONVERT:
		add(l, p->convert.src, p->convert.count * size, false);
		add(l, p->convert.dst, p->convert.count * size2, true);
		break;
	case SNPU_OP_REDUCE_SUM:
	case SNPU_OP_SOFTMAX:
	case SNPU_OP_RMSNORM:
	case SNPU_OP_ARGMAX:
		add_row_op(l, &p->rows);
		break;
	case SNPU_OP_ACT:
		add(l, p->act.src, p->act.count * size, false);
		add(l, p->act.dst, p->act.count * size, true);
		break;
	case SNPU_OP_GATHER:
		add_rows(l, p->gather.table, p->gather.table_rows, size * p->gather.cols,
			 size * p->gather.ld_table, false);
		add(l, p->gather.index, 4ull * p->gather.count, false);
		add_rows(l, p->gather.dst, p->gather.count, size * p->gather.cols,
			 size * p->gather.ld_dst, true);
		break;
	case SNPU_OP_CRC32C:
		add(l, p->crc32c.src, p->crc32c.bytes, false);
		add(l, p->crc32c.dst, 4, true);
		break;
	case SNPU_OP_ATTENTION:
		add(l, p->attention.q, size * p->attention.batch * p->attention.rows *
		    p->attention.dk, false);
		add(l, p->attention.kv, size * p->attention.batch * p->attention.len *
		    p->attention.dk, false);
		add(l, p->attention.out, size * p->attention.batch * p->attention.rows *
		    p->attention.dv, true);
		break;
	}
}

/* false: the packet is to stop, or is at its end anyway */
static bool breath(struct snpu_cur *x, unsigned int *steps)
{
	if (++*steps % STEPS)
		return true;
	if (!x->w->nested) {
		snpu_sched_checkpoint(x->w);
		snpu_mmu_sync(x->q);
	}
	return !snpu_load(&x->q->stop) && snpu_load(&x->q->run) != SNPU_RUN_FAULT;
}

static bool block_needs(struct snpu_cur *x, const struct block *b, unsigned int *steps)
{
	uint64_t end = b->va + (b->rows - 1) * b->pitch + b->width, va = b->va, row, run;

	while (va < end) {
		if (snpu_mmu_needs_message(x->q, va, end - va, b->write, &run))
			return true;
		/* the packet will not get further than to here */
		if (!run || !breath(x, steps))
			return false;
		va += run;
		/* in the gap between two rows: on to the next */
		row = b->pitch ? (va - b->va) / b->pitch : 0;
		if (b->pitch && va - b->va - row * b->pitch >= b->width)
			va = b->va + (row + 1) * b->pitch;
	}
	return false;
}

static bool blocks_need(struct snpu_cur *x, const struct blocks *l, unsigned int *steps)
{
	unsigned int i;

	for (i = 0; i < l->n; i++)
		if (l->b[i].width && block_needs(x, &l->b[i], steps))
			return true;
	return false;
}

/* The list of a packet, and what it names. It is read again, and checked, when the packet runs */
static bool list_needs(struct snpu_cur *x, unsigned int *steps)
{
	const struct snpu_pkt_multi *c = &x->pkt.multi;
	bool pull = c->hdr.op == SNPU_OP_REDUCE_PULL;
	uint64_t bytes = c->count * (pull ? snpu_dt_size(c->hdr.dtype) : 1), entry;
	struct blocks l = { 0 };
	struct snpu_mmu_hit hit;
	uint32_t i;

	add(&l, c->list, c->num * 8ull, false);
	if (blocks_need(x, &l, steps))
		return true;
	for (i = 0; !x->q->timing && i < c->num; i++) {
		if (snpu_mmu_resolve(x->q, c->list + i * 8ull, 8, false, &hit) || !hit.host)
			return false;
		memcpy(&entry, hit.host, sizeof(entry));
		l.n = 0;
		add(&l, entry + c->offset, bytes, !pull);
		if (l.b[0].va >> SNPU_VA_BITS || bytes >> SNPU_VA_BITS)
			return false;
		if (blocks_need(x, &l, steps))
			return true;
	}
	return false;
}

bool snpu_exec_needs_messages(struct snpu_cur *x)
{
	const struct snpu_bus *bus = snpu_load_acq(&x->q->npu->bus);
	struct blocks l = { 0 };
	unsigned int steps = 0;

	/* the thread that may wait takes all as it comes */
	if (x->w->aside || !bus || (bus->ops->messages && !bus->ops->messages(bus->priv)))
		return false;
	if (snpu_exec_signals(&x->pkt))
		add(&l, x->pkt.copy.sem_addr, 8, true);
	/* only what a timing-only packet costs counts: its operands are not touched */
	if (!x->q->timing)
		list_blocks(&x->pkt, &l);
	return blocks_need(x, &l, &steps) || (snpu_pkt_is_multi(&x->pkt) && list_needs(x, &steps));
}
