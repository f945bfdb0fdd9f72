/* SPDX-License-Identifier: MIT */
/*
 * Packet encoders: each fills one ring or command-buffer entry, whose 64 bytes it overwrites whole.
 * No checks here: the device validates every packet and faults the queue with the reason.
 */
#ifndef SNPU_SNPU_PREP_H
#define SNPU_SNPU_PREP_H

#include <stdint.h>
#include <string.h>

#include <snpu/snpu_hw.h>

#ifdef __cplusplus
extern "C" {
#endif

/* libsnpu exports each function below under the same name too, for bindings of other languages */
#ifndef SNPU_INLINE
#define SNPU_INLINE static inline
#endif

SNPU_INLINE void snpu_prep_hdr(union snpu_pkt *p, unsigned int op, unsigned int flags,
			       unsigned int dtype, unsigned int dtype2, uint32_t arg)
{
	memset(p, 0, sizeof(*p));
	p->hdr.op = (uint8_t)op;
	p->hdr.flags = (uint8_t)flags;
	p->hdr.dtype = (uint8_t)dtype;
	p->hdr.dtype2 = (uint8_t)dtype2;
	p->hdr.arg = arg;
}

SNPU_INLINE uint32_t snpu_f32_bits(float f)
{
	uint32_t u;

	memcpy(&u, &f, sizeof(u));
	return u;
}

SNPU_INLINE void snpu_prep_nop(union snpu_pkt *p)
{
	snpu_prep_hdr(p, SNPU_OP_NOP, 0, 0, 0, 0);
}

SNPU_INLINE void snpu_prep_copy(union snpu_pkt *p, uint64_t dst, uint64_t src, uint64_t bytes)
{
	snpu_prep_hdr(p, SNPU_OP_COPY, 0, 0, 0, 0);
	p->copy.src = src;
	p->copy.dst = dst;
	p->copy.bytes = bytes;
}

/* Copies, then signals the semaphore at @sem: @how: SNPU_SEM_SET, ADD. Both may be remote. */
SNPU_INLINE void snpu_prep_copy_signal(union snpu_pkt *p, uint64_t dst, uint64_t src,
				       uint64_t bytes, uint64_t sem, uint64_t value,
				       unsigned int how)
{
	snpu_prep_hdr(p, SNPU_OP_COPY, SNPU_PF_SIGNAL, 0, 0, how);
	p->copy.src = src;
	p->copy.dst = dst;
	p->copy.bytes = bytes;
	p->copy.sem_addr = sem;
	p->copy.sem_value = value;
}

/* dst[i] += src[i], atomically at the target; @dtype: F32, BF16, I32 */
SNPU_INLINE void snpu_prep_reduce_add(union snpu_pkt *p, unsigned int dtype, uint64_t dst,
				      uint64_t src, uint64_t count)
{
	snpu_prep_hdr(p, SNPU_OP_REDUCE_ADD, 0, dtype, 0, 0);
	p->reduce.src = src;
	p->reduce.dst = dst;
	p->reduce.count = count;
}

SNPU_INLINE void snpu_prep_reduce_add_signal(union snpu_pkt *p, unsigned int dtype, uint64_t dst,
					     uint64_t src, uint64_t count, uint64_t sem,
					     uint64_t value, unsigned int how)
{
	snpu_prep_hdr(p, SNPU_OP_REDUCE_ADD, SNPU_PF_SIGNAL, dtype, 0, how);
	p->reduce.src = src;
	p->reduce.dst = dst;
	p->reduce.count = count;
	p->reduce.sem_addr = sem;
	p->reduce.sem_value = value;
}

/*
 * dst = list[0] op list[1] op ..., in this order, in F32, rounded once; @op: SNPU_ELT_ADD, MUL, MAX,
 * MIN; @list: address of @num addresses, to each of which @offset is added. SNPU_CAP_MULTI
 */
SNPU_INLINE void snpu_prep_reduce_pull(union snpu_pkt *p, unsigned int op, unsigned int dtype,
				       uint64_t dst, uint64_t list, uint32_t num, uint64_t offset,
				       uint64_t count)
{
	snpu_prep_hdr(p, SNPU_OP_REDUCE_PULL, 0, dtype, 0, op);
	p->multi.addr = dst;
	p->multi.list = list;
	p->multi.offset = offset;
	p->multi.count = count;
	p->multi.num = num;
}

/* Every list[i] + @offset = @src. SNPU_CAP_MULTI */
SNPU_INLINE void snpu_prep_multicast(union snpu_pkt *p, uint64_t list, uint32_t num,
				     uint64_t offset, uint64_t src, uint64_t bytes)
{
	snpu_prep_hdr(p, SNPU_OP_MULTICAST, 0, 0, 0, 0);
	p->multi.addr = src;
	p->multi.list = list;
	p->multi.offset = offset;
	p->multi.count = bytes;
	p->multi.num = num;
}

/* @how: SNPU_ATOMIC_ADD, CAS (then @compare), SWAP; the old value goes to @result unless it is 0 */
SNPU_INLINE void snpu_prep_atomic(union snpu_pkt *p, unsigned int how, uint64_t addr,
				  uint64_t operand, uint64_t compare, uint64_t result)
{
	snpu_prep_hdr(p, SNPU_OP_ATOMIC, 0, 0, 0, how);
	p->atomic.addr = addr;
	p->atomic.operand = operand;
	p->atomic.compare = compare;
	p->atomic.result = result;
}

SNPU_INLINE void snpu_prep_copy2d(union snpu_pkt *p, uint64_t dst, uint64_t dst_pitch,
				  uint64_t src, uint64_t src_pitch, uint32_t width, uint32_t rows)
{
	snpu_prep_hdr(p, SNPU_OP_COPY2D, 0, 0, 0, 0);
	p->copy2d.src = src;
	p->copy2d.dst = dst;
	p->copy2d.src_pitch = src_pitch;
	p->copy2d.dst_pitch = dst_pitch;
	p->copy2d.width = width;
	p->copy2d.rows = rows;
}

/* @pattern_size: 1, 2, 4 or 8 */
SNPU_INLINE void snpu_prep_fill(union snpu_pkt *p, uint64_t dst, uint64_t bytes, uint64_t pattern,
				uint32_t pattern_size)
{
	snpu_prep_hdr(p, SNPU_OP_FILL, 0, 0, 0, pattern_size);
	p->fill.dst = dst;
	p->fill.bytes = bytes;
	p->fill.pattern = pattern;
}

/*
 * Dense row-major C[m x n] = A[m x k] * B[k x n]; leading dimensions follow from @flags
 * (SNPU_PF_TRANS_A, TRANS_B, BIAS, ACCUM); change p->matmul.ld* afterwards for others.
 */
SNPU_INLINE void snpu_prep_matmul(union snpu_pkt *p, unsigned int flags, unsigned int dtype,
				  unsigned int dtype_c, uint64_t c, uint64_t a, uint64_t b,
				  uint64_t bias, uint32_t m, uint32_t n, uint32_t k)
{
	snpu_prep_hdr(p, SNPU_OP_MATMUL, flags, dtype, dtype_c, 0);
	p->matmul.a = a;
	p->matmul.b = b;
	p->matmul.c = c;
	p->matmul.bias = bias;
	p->matmul.m = m;
	p->matmul.n = n;
	p->matmul.k = k;
	p->matmul.lda = flags & SNPU_PF_TRANS_A ? m : k;
	p->matmul.ldb = flags & SNPU_PF_TRANS_B ? k : n;
	p->matmul.ldc = n;
}

/* @groups products one after the other, all matrices dense and back to back */
SNPU_INLINE void snpu_prep_matmul_grouped(union snpu_pkt *p, unsigned int flags,
					  unsigned int dtype, unsigned int dtype_c, uint64_t c,
					  uint64_t a, uint64_t b, uint32_t groups, uint32_t m,
					  uint32_t n, uint32_t k)
{
	snpu_prep_matmul(p, flags, dtype, dtype_c, c, a, b, 0, m, n, k);
	p->hdr.arg = groups;
}

/* out = softmax(scale * Q * K^T) * V; V is the first @dv columns of the keys */
SNPU_INLINE void snpu_prep_attention(union snpu_pkt *p, unsigned int dtype, uint64_t out,
				     uint64_t q, uint64_t kv, uint32_t batch, uint32_t rows,
				     uint32_t len, uint32_t dk, uint32_t dv, float scale)
{
	snpu_prep_hdr(p, SNPU_OP_ATTENTION, 0, dtype, 0, 0);
	p->attention.q = q;
	p->attention.kv = kv;
	p->attention.out = out;
	p->attention.batch = batch;
	p->attention.rows = rows;
	p->attention.len = len;
	p->attention.dk = dk;
	p->attention.dv = dv;
	p->attention.scale = snpu_f32_bits(scale);
}

/* @op: SNPU_ELT_ADD, MUL, MAX, MIN */
SNPU_INLINE void snpu_prep_eltwise(union snpu_pkt *p, unsigned int op, unsigned int dtype,
				   uint64_t dst, uint64_t a, uint64_t b, uint64_t count)
{
	snpu_prep_hdr(p, SNPU_OP_ELTWISE, 0, dtype, 0, op);
	p->eltwise.a = a;
	p->eltwise.b = b;
	p->eltwise.dst = dst;
	p->eltwise.count = count;
}

SNPU_INLINE void snpu_prep_scale(union snpu_pkt *p, unsigned int dtype, uint64_t dst, uint64_t a,
				 float scalar, uint64_t count)
{
	snpu_prep_eltwise(p, SNPU_ELT_SCALE, dtype, dst, a, 0, count);
	p->eltwise.scalar = snpu_f32_bits(scalar);
}

/* Integer division by @divisor, toward zero; @dtype: I8, I32, I64 */
SNPU_INLINE void snpu_prep_div(union snpu_pkt *p, unsigned int dtype, uint64_t dst, uint64_t a,
			       uint32_t divisor, uint64_t count)
{
	snpu_prep_eltwise(p, SNPU_ELT_DIV, dtype, dst, a, 0, count);
	p->eltwise.scalar = divisor;
}

/* @scale: factor before the conversion, 1.0f: none */
SNPU_INLINE void snpu_prep_convert(union snpu_pkt *p, uint64_t dst, unsigned int dst_dtype,
				   uint64_t src, unsigned int src_dtype, uint64_t count,
				   float scale)
{
	snpu_prep_hdr(p, SNPU_OP_CONVERT, 0, src_dtype, dst_dtype, 0);
	p->convert.src = src;
	p->convert.dst = dst;
	p->convert.count = count;
	p->convert.scale = snpu_f32_bits(scale);
}

/* @flags: 0 or SNPU_PF_COLUMNS; @dst_dtype: F32 or I32 */
SNPU_INLINE void snpu_prep_reduce_sum(union snpu_pkt *p, unsigned int flags, unsigned int dtype,
				      unsigned int dst_dtype, uint64_t dst, uint64_t src,
				      uint32_t rows, uint32_t cols, uint32_t ld)
{
	snpu_prep_hdr(p, SNPU_OP_REDUCE_SUM, flags, dtype, dst_dtype, 0);
	p->rows.src = src;
	p->rows.dst = dst;
	p->rows.rows = rows;
	p->rows.cols = cols;
	p->rows.ld_src = ld;
}

/* @flags: 0 or SNPU_PF_CAUSAL, then @offset counts */
SNPU_INLINE void snpu_prep_softmax(union snpu_pkt *p, unsigned int flags, unsigned int dtype,
				   uint64_t dst, uint64_t src, uint32_t rows, uint32_t cols,
				   uint32_t ld, float scale, int32_t offset)
{
	snpu_prep_hdr(p, SNPU_OP_SOFTMAX, flags, dtype, 0, 0);
	p->rows.src = src;
	p->rows.dst = dst;
	p->rows.rows = rows;
	p->rows.cols = cols;
	p->rows.ld_src = ld;
	p->rows.ld_dst = ld;
	p->rows.param = snpu_f32_bits(scale);
	p->rows.offset = offset;
}

SNPU_INLINE void snpu_prep_rmsnorm(union snpu_pkt *p, unsigned int dtype, uint64_t dst,
				   uint64_t src, uint64_t weight, uint32_t rows, uint32_t cols,
				   float eps)
{
	snpu_prep_hdr(p, SNPU_OP_RMSNORM, 0, dtype, 0, 0);
	p->rows.src = src;
	p->rows.dst = dst;
	p->rows.weight = weight;
	p->rows.rows = rows;
	p->rows.cols = cols;
	p->rows.ld_src = cols;
	p->rows.ld_dst = cols;
	p->rows.param = snpu_f32_bits(eps);
}

/* @act: SNPU_ACT_SILU, GELU */
SNPU_INLINE void snpu_prep_act(union snpu_pkt *p, unsigned int act, unsigned int dtype,
			       uint64_t dst, uint64_t src, uint64_t count)
{
	snpu_prep_hdr(p, SNPU_OP_ACT, 0, dtype, 0, act);
	p->act.src = src;
	p->act.dst = dst;
	p->act.count = count;
}

SNPU_INLINE void snpu_prep_gather(union snpu_pkt *p, unsigned int dtype, uint64_t dst,
				  uint64_t table, uint32_t table_rows, uint64_t index,
				  uint32_t count, uint32_t cols)
{
	snpu_prep_hdr(p, SNPU_OP_GATHER, 0, dtype, 0, 0);
	p->gather.table = table;
	p->gather.index = index;
	p->gather.dst = dst;
	p->gather.count = count;
	p->gather.cols = cols;
	p->gather.table_rows = table_rows;
	p->gather.ld_table = cols;
	p->gather.ld_dst = cols;
}

SNPU_INLINE void snpu_prep_argmax(union snpu_pkt *p, unsigned int dtype, uint64_t dst,
				  uint64_t src, uint32_t rows, uint32_t cols, uint32_t ld)
{
	snpu_prep_hdr(p, SNPU_OP_ARGMAX, 0, dtype, 0, 0);
	p->rows.src = src;
	p->rows.dst = dst;
	p->rows.rows = rows;
	p->rows.cols = cols;
	p->rows.ld_src = ld;
}

SNPU_INLINE void snpu_prep_crc32c(union snpu_pkt *p, uint64_t dst, uint64_t src, uint64_t bytes,
				  uint32_t seed)
{
	snpu_prep_hdr(p, SNPU_OP_CRC32C, 0, 0, 0, seed);
	p->crc32c.src = src;
	p->crc32c.bytes = bytes;
	p->crc32c.dst = dst;
}

/* @how: SNPU_SEM_SET, ADD */
SNPU_INLINE void snpu_prep_signal(union snpu_pkt *p, uint64_t addr, uint64_t value,
				  unsigned int how)
{
	snpu_prep_hdr(p, SNPU_OP_SEM_SIGNAL, 0, 0, 0, how);
	p->sem.addr = addr;
	p->sem.value = value;
}

/* @how: SNPU_SEM_GE, EQ; @timeout_ns: 0: never */
SNPU_INLINE void snpu_prep_wait(union snpu_pkt *p, uint64_t addr, uint64_t value,
				unsigned int how, uint64_t timeout_ns)
{
	snpu_prep_hdr(p, SNPU_OP_SEM_WAIT, 0, 0, 0, how);
	p->sem.addr = addr;
	p->sem.value = value;
	p->sem.timeout_ns = timeout_ns;
}

SNPU_INLINE void snpu_prep_barrier(union snpu_pkt *p)
{
	snpu_prep_hdr(p, SNPU_OP_BARRIER, 0, 0, 0, 0);
}

SNPU_INLINE void snpu_prep_timestamp(union snpu_pkt *p, uint64_t addr)
{
	snpu_prep_hdr(p, SNPU_OP_TIMESTAMP, 0, 0, 0, 0);
	p->misc.addr = addr;
}

/* Virtual time; the queue waits there until it is known */
SNPU_INLINE void snpu_prep_vtimestamp(union snpu_pkt *p, uint64_t addr)
{
	snpu_prep_hdr(p, SNPU_OP_TIMESTAMP, SNPU_PF_VIRTUAL, 0, 0, 0);
	p->misc.addr = addr;
}

/* Later packets of the queue begin at virtual time @vtime_ns, 0 .. SNPU_MAX_CLOCK, or after */
SNPU_INLINE void snpu_prep_clock(union snpu_pkt *p, uint64_t vtime_ns)
{
	snpu_prep_hdr(p, SNPU_OP_CLOCK, 0, 0, 0, 0);
	p->misc.addr = vtime_ns;
}

SNPU_INLINE void snpu_prep_interrupt(union snpu_pkt *p, uint32_t cookie)
{
	snpu_prep_hdr(p, SNPU_OP_INTERRUPT, 0, 0, 0, cookie);
}

SNPU_INLINE void snpu_prep_indirect(union snpu_pkt *p, uint64_t addr, uint32_t count)
{
	snpu_prep_hdr(p, SNPU_OP_INDIRECT, 0, 0, 0, 0);
	p->misc.addr = addr;
	p->misc.count = count;
}

#ifdef __cplusplus
}
#endif

#endif /* SNPU_SNPU_PREP_H */
