// SPDX-License-Identifier: MIT
/*
 * The engine: scratch memory, operand access, dispatch.
 */
#include <stdlib.h>
#include <string.h>
#include <xmmintrin.h>

#include "engine.h"
#include "range.h"

#define SCRATCH_KEEP	(64ull << 20)	/* a larger scratch buffer is given back after the packet */

struct snpu_tune snpu_tune = {
	.block_flops = 20000000000ull,
	.panel_bytes = 64ull << 20,
	.row_bytes = 4ull << 20,
};

struct snpu_engine {
	struct {
		void *ptr;
		uint64_t bytes;
	} scratch[SNPU_NUM_SCRATCH];
	struct snpu_gemm *gemm;
	snpu_scratch_fn account;
	void *account_ctx;
	int64_t scratch_all;
	bool no_room;		/* the packet in hand needed more scratch than there is */
};

struct snpu_engine *snpu_engine_create(void)
{
	return calloc(1, sizeof(struct snpu_engine));
}

void snpu_engine_account(struct snpu_engine *e, snpu_scratch_fn fn, void *ctx)
{
	if (!e)
		return;
	e->account = fn;
	e->account_ctx = ctx;
}

/* Shrinking always succeeds */
static bool account(struct snpu_engine *e, int64_t bytes)
{
	if (e->account && bytes && !e->account(e->account_ctx, bytes, e->scratch_all + bytes))
		return false;
	e->scratch_all += bytes;
	return true;
}

static void scratch_free(struct snpu_engine *e, unsigned int slot)
{
	free(e->scratch[slot].ptr);
	(void)account(e, -(int64_t)e->scratch[slot].bytes);
	e->scratch[slot].ptr = NULL;
	e->scratch[slot].bytes = 0;
}

void snpu_engine_destroy(struct snpu_engine *e)
{
	unsigned int i;

	if (!e)
		return;
	for (i = 0; i < SNPU_NUM_SCRATCH; i++)
		scratch_free(e, i);
	snpu_gemm_destroy(e->gemm);
	free(e);
}

/* Made when first needed: most engines never multiply */
struct snpu_gemm *snpu_engine_gemm(struct snpu_engine *e)
{
	if (!e->gemm)
		e->gemm = snpu_gemm_create();
	return e->gemm;
}

void *snpu_scratch(struct snpu_engine *e, unsigned int slot, uint64_t bytes)
{
	uint64_t size = (bytes + 4095) & ~4095ull;

	if (e->scratch[slot].bytes < size) {
		scratch_free(e, slot);
		if (account(e, (int64_t)size)) {
			e->scratch[slot].ptr = aligned_alloc(4096, size);
			if (!e->scratch[slot].ptr)
				(void)account(e, -(int64_t)size);
		}
		e->no_room |= !e->scratch[slot].ptr;
		if (!e->scratch[slot].ptr)
			return NULL;
		e->scratch[slot].bytes = size;
	}
	return e->scratch[slot].ptr;
}

static void scratch_trim(struct snpu_engine *e)
{
	unsigned int i;

	for (i = 0; i < SNPU_NUM_SCRATCH; i++) {
		if (e->scratch[i].bytes <= SCRATCH_KEEP)
			continue;
		scratch_free(e, i);
	}
}

/* A missing scratch buffer is an internal error to the ops */
static int whose_fault(struct snpu_engine *e, int err)
{
	if (err == SNPU_ERR_INTERNAL && e->no_room)
		err = SNPU_ERR_NOMEM;
	e->no_room = false;
	return err;
}

/* One piece through the slow path */
static int slow(struct snpu_exec *x, uint64_t va, uint8_t *buf, uint64_t bytes, unsigned int access)
{
	return access & SNPU_MEM_WRITE ? x->ops->slow_write(x->ctx, va, buf, bytes) :
					 x->ops->slow_read(x->ctx, va, buf, bytes);
}

/* The slow path does not say how far it came: finds the page that fails. Repeating is harmless. */
static int slow_fault(struct snpu_exec *x, uint64_t va, uint8_t *buf, uint64_t bytes,
		      unsigned int access, int err)
{
	uint64_t done = 0, n;
	int again;

	while (done < bytes) {
		n = SNPU_PAGE_SIZE - (va + done) % SNPU_PAGE_SIZE;
		n = n < bytes - done ? n : bytes - done;
		again = slow(x, va + done, buf + done, n, access);
		if (again) {
			x->fault_va = va + done;
			return again;
		}
		done += n;
	}
	x->fault_va = va;
	return err;
}

/* Walks a range piece by piece; @buf NULL: only checks that it can be accessed */
static int walk(struct snpu_exec *x, uint64_t va, uint8_t *buf, uint64_t bytes, unsigned int access)
{
	while (bytes) {
		void *host = NULL;
		uint64_t run = 0;
		int err = x->ops->resolve(x->ctx, va, bytes, access, &host, &run);

		if (err) {
			x->fault_va = va;
			return err;
		}
		if (buf && host && (access & SNPU_MEM_WRITE)) {
			memcpy(host, buf, run);
		} else if (buf && host) {
			memcpy(buf, host, run);
		} else if (buf) {
			err = slow(x, va, buf, run, access);
			if (err)
				return slow_fault(x, va, buf, run, access, err);
		}
		va += run;
		bytes -= run;
		if (buf)
			buf += run;
	}
	return SNPU_ERR_NONE;
}

int snpu_mem_in(struct snpu_exec *x, uint64_t va, void *buf, uint64_t bytes)
{
	return walk(x, va, buf, bytes, SNPU_MEM_READ);
}

int snpu_mem_out(struct snpu_exec *x, uint64_t va, const void *buf, uint64_t bytes)
{
	return walk(x, va, (uint8_t *)buf, bytes, SNPU_MEM_WRITE);
}

int snpu_mem_probe(struct snpu_exec *x, uint64_t va, uint64_t bytes, unsigned int access)
{
	return walk(x, va, NULL, bytes, access);
}

static int walk_long(struct snpu_exec *x, uint64_t va, uint8_t *buf, uint64_t bytes,
		     unsigned int access)
{
	uint64_t done, n;
	int err = SNPU_ERR_NONE;

	for (done = 0; !err && done < bytes; done += n) {
		n = bytes - done < SNPU_CHUNK ? bytes - done : SNPU_CHUNK;
		err = walk(x, va + done, buf + done, n, access);
		if (!err)
			err = snpu_checkpoint(x);
	}
	return err;
}

int snpu_mem_in_long(struct snpu_exec *x, uint64_t va, void *buf, uint64_t bytes)
{
	return walk_long(x, va, buf, bytes, SNPU_MEM_READ);
}

int snpu_mem_out_long(struct snpu_exec *x, uint64_t va, const void *buf, uint64_t bytes)
{
	return walk_long(x, va, (uint8_t *)buf, bytes, SNPU_MEM_WRITE);
}

/* The host pointer of a range if it is in one piece, gaps included; NULL: it is not */
static uint8_t *in_one_piece(struct snpu_exec *x, uint64_t va, uint64_t bytes, unsigned int access)
{
	uint8_t *first = NULL;
	uint64_t done = 0;

	while (done < bytes) {
		void *host = NULL;
		uint64_t run = 0;

		if (x->ops->resolve(x->ctx, va + done, bytes - done, access, &host, &run) || !host)
			return NULL;
		if (!first)
			first = host;
		else if (first + done != host)
			return NULL;
		done += run;
	}
	return first;
}

static uint8_t *in_place(struct snpu_exec *x, const struct snpu_mat *m, unsigned int access)
{
	uint64_t bytes = (m->rows - 1) * m->va_pitch + m->row_bytes;
	uint8_t *ptr;

	if (m->pad || (m->dense && m->rows > 1 && m->va_pitch != m->row_bytes))
		return NULL;
	ptr = in_one_piece(x, m->va, bytes, access & SNPU_MEM_WRITE ? SNPU_MEM_WRITE :
								      SNPU_MEM_READ);
	/* two accesses may not resolve alike: a result that is also read needs both */
	if (ptr && access == (SNPU_MEM_READ | SNPU_MEM_WRITE) &&
	    in_one_piece(x, m->va, bytes, SNPU_MEM_READ) != ptr)
		return NULL;
	return ptr;
}

int snpu_mat_get(struct snpu_exec *x, struct snpu_mat *m, unsigned int slot, unsigned int access)
{
	uint64_t i, since = 0, gap = 0;
	int err = SNPU_ERR_NONE;

	m->pitch = m->dense ? m->row_bytes : m->va_pitch;
	m->ptr = in_place(x, m, access);
	m->bounced = !m->ptr;
	if (m->ptr)
		return SNPU_ERR_NONE;

	if (m->pad || (!m->dense && !m->keep))
		m->pitch = (m->row_bytes + 63) & ~63ull;
	if (m->pad)
		gap = m->pitch - m->row_bytes;
	m->ptr = snpu_scratch(x->e, slot, (m->rows - 1) * m->pitch + m->row_bytes + gap);
	if (!m->ptr)
		return SNPU_ERR_INTERNAL;
	for (i = 0; !err && i < m->rows; i++) {
		uint64_t va = m->va + i * m->va_pitch;

		if (access & SNPU_MEM_WRITE)
			err = snpu_mem_probe(x, va, m->row_bytes, SNPU_MEM_WRITE);
		if (!err && (access & SNPU_MEM_READ))
			err = snpu_mem_in(x, va, m->ptr + i * m->pitch, m->row_bytes);
		memset(m->ptr + i * m->pitch + m->row_bytes, 0, gap);
		since += m->row_bytes + 256;
		if (!err && m->may_wait && since >= 4 * SNPU_CHUNK) {
			since = 0;
			err = snpu_checkpoint(x);
		}
	}
	return err;
}

int snpu_mat_put(struct snpu_exec *x, struct snpu_mat *m)
{
	uint64_t i;

	for (i = 0; m->bounced && i < m->rows; i++) {
		int err = snpu_mem_out(x, m->va + i * m->va_pitch, m->ptr + i * m->pitch,
				       m->row_bytes);

		if (err)
			return err;
	}
	return SNPU_ERR_NONE;
}

int snpu_vec_get(struct snpu_exec *x, struct snpu_mat *m, unsigned int slot, unsigned int access,
		 uint64_t va, uint64_t bytes)
{
	*m = (struct snpu_mat){ .va = va, .va_pitch = bytes, .rows = 1, .row_bytes = bytes };
	return snpu_mat_get(x, m, slot, access);
}

static int dispatch(struct snpu_exec *x, const union snpu_pkt *p)
{
	switch (p->hdr.op) {
	case SNPU_OP_COPY:
		return snpu_op_copy(x, p);
	case SNPU_OP_COPY2D:
		return snpu_op_copy2d(x, p);
	case SNPU_OP_FILL:
		return snpu_op_fill(x, p);
	case SNPU_OP_MATMUL:
		return snpu_op_matmul(x, p);
	case SNPU_OP_ELTWISE:
		return snpu_op_eltwise(x, p);
	case SNPU_OP_CONVERT:
		return snpu_op_convert(x, p);
	case SNPU_OP_REDUCE_SUM:
	case SNPU_OP_SOFTMAX:
	case SNPU_OP_RMSNORM:
	case SNPU_OP_ARGMAX:
		return snpu_op_rows(x, p);
	case SNPU_OP_ACT:
		return snpu_op_act(x, p);
	case SNPU_OP_GATHER:
		return snpu_op_gather(x, p);
	case SNPU_OP_CRC32C:
		return snpu_op_crc32c(x, p);
	case SNPU_OP_ATTENTION:
		return snpu_op_attention(x, p);
	case SNPU_OP_REDUCE_ADD:
		return snpu_op_reduce_add(x, p);
	case SNPU_OP_REDUCE_PULL:
		return snpu_op_reduce_pull(x, p);
	case SNPU_OP_MULTICAST:
		return snpu_op_multicast(x, p);
	default:
		return SNPU_ERR_OPCODE;
	}
}

int snpu_engine_list(struct snpu_engine *e, const union snpu_pkt *p, const struct snpu_mem_ops *ops,
		     void *ctx, struct snpu_fault *fault, const uint64_t **list)
{
	struct snpu_exec x = { .e = e, .ops = ops, .ctx = ctx };
	int err = whose_fault(e, snpu_multi_list(&x, p, list));

	*fault = (struct snpu_fault){ 0 };
	if (err) {
		fault->error = (uint32_t)err;
		fault->va = x.fault_va;
	}
	return err;
}

int snpu_engine_exec(struct snpu_engine *e, const union snpu_pkt *p, const struct snpu_mem_ops *ops,
		     void *ctx, struct snpu_fault *fault, struct snpu_work *work)
{
	struct snpu_exec x = { .e = e, .ops = ops, .ctx = ctx };
	unsigned int mxcsr = _mm_getcsr();
	int err;

	/* nearest even, with subnormals, whatever a library has set in this thread */
	_mm_setcsr(_MM_MASK_MASK);
	err = whose_fault(e, dispatch(&x, p));
	_mm_setcsr(mxcsr);
	scratch_trim(e);
	*fault = (struct snpu_fault){ 0 };
	*work = (struct snpu_work){ 0 };
	if (err) {
		fault->error = (uint32_t)err;
		fault->va = x.fault_va;
	} else {
		snpu_pkt_work(p, work);
	}
	return err;
}
