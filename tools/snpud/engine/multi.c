// SPDX-License-Identifier: MIT
/*
 * REDUCE_PULL, MULTICAST: one operand here, many at the addresses of a list.
 *
 * The list is read once, into scratch memory that keeps it over checkpoints; what comes of it is
 * checked before anything is touched. A block of the result is made of all operands in the order of
 * the list before the next one is looked at, so sums do not depend on anything else.
 */
#include <string.h>

#include "kernels.h"
#include "range.h"

#define SLOT_LIST	0
#define SLOT_ACC	1
#define SLOT_TMP	2
#define BLOCK		(64u << 10)	/* elements added up at a time */
#define COPY_MIN	(64u << 10)	/* bytes copied at a time, at least */

struct fold {
	struct snpu_exec *x;
	const struct snpu_kernels *k;
	unsigned int dt, op, size;
	bool ints;
	uint8_t *acc;		/* F32, or integers of the type */
};

static int bad_entry(struct snpu_exec *x, const struct snpu_pkt_multi *c, uint32_t i, int err)
{
	x->fault_va = c->list + i * 8ull;
	return err;
}

int snpu_multi_list(struct snpu_exec *x, const union snpu_pkt *p, const uint64_t **out)
{
	const struct snpu_pkt_multi *c = &p->multi;
	const bool pull = c->hdr.op == SNPU_OP_REDUCE_PULL;
	const uint64_t end = 1ull << SNPU_VA_BITS;
	uint64_t size = pull ? snpu_dt_size(c->hdr.dtype) : 1, bytes = c->count * size;
	uint64_t *list = snpu_scratch(x->e, SLOT_LIST, c->num * 8ull);
	uint32_t i;
	int err;

	if (!list)
		return SNPU_ERR_INTERNAL;
	err = snpu_mem_in(x, c->list, list, c->num * 8ull);
	for (i = 0; !err && i < c->num; i++) {
		uint64_t va;

		/* the check has bounded offset and bytes */
		if (__builtin_add_overflow(list[i], c->offset, &va) || va >= end ||
		    bytes > end - va)
			return bad_entry(x, c, i, SNPU_ERR_FIELD);
		if (va < c->addr + bytes && c->addr < va + bytes && !(pull && va == c->addr))
			return bad_entry(x, c, i, SNPU_ERR_FIELD);
		if (va % size)
			return bad_entry(x, c, i, SNPU_ERR_ALIGN);
		list[i] = va;
	}
	*out = list;
	return err;
}

/* What is resolved from now on belongs to place @i of the list */
static void entry(struct snpu_exec *x, uint32_t i)
{
	if (x->ops->entry)
		x->ops->entry(x->ctx, i);
}

/* Elements of one operand join what is in the accumulator from @at on */
static void join(const struct fold *f, uint64_t at, const uint8_t *src, uint64_t n, bool first)
{
	uint8_t *acc = f->acc + at * (f->ints ? f->size : sizeof(float));
	float t[SNPU_TILE];
	uint64_t i, m;

	if (f->ints && first) {
		memcpy(acc, src, n * f->size);
	} else if (f->ints) {
		f->k->eltwise_int(acc, acc, src, f->dt, f->op, 0, n);
	} else if (first) {
		f->k->load((float *)acc, src, f->dt, n);
	} else {
		for (i = 0; i < n; i += m) {
			float *a = (float *)acc + i;

			m = n - i < SNPU_TILE ? n - i : SNPU_TILE;
			f->k->load(t, src + i * f->size, f->dt, m);
			f->k->eltwise(a, a, t, f->op, m);
		}
	}
}

/* @n elements of the operand at @va */
static int join_operand(const struct fold *f, uint64_t va, uint64_t n, bool first)
{
	struct snpu_exec *x = f->x;
	uint64_t at, m;

	for (at = 0; at < n; at += m) {
		uint64_t run = 0, from = va + at * f->size;
		void *host = NULL;
		int err = x->ops->resolve(x->ctx, from, (n - at) * f->size, SNPU_MEM_READ, &host,
					  &run);

		if (err) {
			x->fault_va = from;
			return err;
		}
		m = run / f->size;
		if (!host || !m) {
			m = m ? m : 1;
			host = snpu_scratch(x->e, SLOT_TMP, m * f->size);
			err = host ? snpu_mem_in(x, from, host, m * f->size) : SNPU_ERR_INTERNAL;
			if (err)
				return err;
		}
		join(f, at, host, m, first);
	}
	return SNPU_ERR_NONE;
}

static int put_result(const struct fold *f, uint64_t va, uint64_t n)
{
	uint8_t *out = f->acc;

	if (!f->ints) {
		out = snpu_scratch(f->x->e, SLOT_TMP, n * f->size);
		if (!out)
			return SNPU_ERR_INTERNAL;
		f->k->store(out, (const float *)f->acc, f->dt, n);
	}
	return snpu_mem_out(f->x, va, out, n * f->size);
}

int snpu_op_reduce_pull(struct snpu_exec *x, const union snpu_pkt *p)
{
	const struct snpu_pkt_multi *c = &p->multi;
	struct fold f = {
		.x = x, .k = snpu_kernels(), .dt = c->hdr.dtype, .op = c->hdr.arg,
		.size = snpu_dt_size(c->hdr.dtype),
	};
	uint64_t done, n, since = 0;
	const uint64_t *list;
	uint32_t i;
	int err;

	f.ints = f.dt == SNPU_DT_I8 || f.dt == SNPU_DT_I32 || f.dt == SNPU_DT_I64;
	err = snpu_multi_list(x, p, &list);
	if (err)
		return err;
	n = c->count < BLOCK ? c->count : BLOCK;
	f.acc = snpu_scratch(x->e, SLOT_ACC, n * (f.ints ? f.size : sizeof(float)));
	if (!f.acc)
		return SNPU_ERR_INTERNAL;
	for (done = 0; done < c->count; done += n) {
		n = c->count - done < BLOCK ? c->count - done : BLOCK;
		for (i = 0; i < c->num; i++) {
			entry(x, i);
			err = join_operand(&f, list[i] + done * f.size, n, !i);
			entry(x, SNPU_MEM_NO_ENTRY);
			since += n * f.size;
			if (!err && since >= SNPU_CHUNK) {
				since = 0;
				err = snpu_checkpoint(x);
			}
			if (err)
				return err;
		}
		err = put_result(&f, c->addr + done * f.size, n);
		if (err)
			return err;
	}
	return SNPU_ERR_NONE;
}

int snpu_op_multicast(struct snpu_exec *x, const union snpu_pkt *p)
{
	const struct snpu_pkt_multi *c = &p->multi;
	uint64_t done, n, chunk = SNPU_CHUNK / c->num, run;
	const uint64_t *list;
	uint32_t i;
	int err;

	err = snpu_multi_list(x, p, &list);
	if (err)
		return err;
	chunk = chunk < COPY_MIN ? COPY_MIN : chunk;
	for (done = 0; done < c->count; done += n) {
		void *src = NULL;

		n = c->count - done < chunk ? c->count - done : chunk;
		err = done ? snpu_checkpoint(x) : SNPU_ERR_NONE;
		if (!err)
			err = x->ops->resolve(x->ctx, c->addr + done, n, SNPU_MEM_READ, &src, &run);
		if (err) {
			x->fault_va = c->addr + done;
			return err;
		}
		n = run;
		if (!src) {
			src = snpu_scratch(x->e, SLOT_TMP, n);
			err = src ? snpu_mem_in(x, c->addr + done, src, n) : SNPU_ERR_INTERNAL;
		}
		for (i = 0; !err && i < c->num; i++) {
			entry(x, i);
			err = snpu_mem_out(x, list[i] + done, src, n);
			entry(x, SNPU_MEM_NO_ENTRY);
		}
		if (err)
			return err;
	}
	return SNPU_ERR_NONE;
}
