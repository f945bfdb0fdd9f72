// SPDX-License-Identifier: MIT
/*
 * REDUCE_ADD: adds to memory that others add to at the same time. Page by page of the target, each
 * under a lock that its host address picks, so that all workers that meet at a page meet at a lock.
 */
#include <pthread.h>
#include <string.h>

#include "kernels.h"
#include "range.h"

#define STRIPES		256u
#define SLOT_SRC	0

static pthread_mutex_t stripe[STRIPES] = { [0 ... STRIPES - 1] = PTHREAD_MUTEX_INITIALIZER };

static pthread_mutex_t *stripe_of(const void *host)
{
	uintptr_t page = (uintptr_t)host / SNPU_PAGE_SIZE;

	return &stripe[(page ^ page >> 8 ^ page >> 17) % STRIPES];
}

static void add(uint8_t *dst, const uint8_t *src, unsigned int dtype, uint64_t n)
{
	const struct snpu_kernels *k = snpu_kernels();
	float a[SNPU_TILE], b[SNPU_TILE];

	if (dtype == SNPU_DT_I32) {
		k->eltwise_int(dst, dst, src, dtype, SNPU_ELT_ADD, 0, n);
		return;
	}
	/* a page has at most SNPU_TILE elements of two bytes */
	k->load(a, dst, dtype, n);
	k->load(b, src, dtype, n);
	k->eltwise(a, a, b, SNPU_ELT_ADD, n);
	k->store(dst, a, dtype, n);
}

static int add_page(struct snpu_exec *x, const struct snpu_pkt_reduce *c, uint64_t src,
		    uint64_t dst, uint64_t bytes)
{
	unsigned int size = snpu_dt_size(c->hdr.dtype);
	pthread_mutex_t *lock;
	struct snpu_mat s;
	uint64_t run = 0;
	void *host = NULL;
	int err;

	err = snpu_vec_get(x, &s, SLOT_SRC, SNPU_MEM_READ, src, bytes);
	if (err)
		return err;
	err = x->ops->resolve(x->ctx, dst, bytes, SNPU_MEM_WRITE, &host, &run);
	if (!err && (!host || run < bytes))
		err = SNPU_ERR_BUS;	/* not HBM: nothing there can add */
	if (err) {
		x->fault_va = dst;
		return err;
	}
	lock = stripe_of(host);
	pthread_mutex_lock(lock);
	add(host, s.ptr, c->hdr.dtype, bytes / size);
	pthread_mutex_unlock(lock);
	return SNPU_ERR_NONE;
}

int snpu_op_reduce_add(struct snpu_exec *x, const union snpu_pkt *p)
{
	const struct snpu_pkt_reduce *c = &p->reduce;
	uint64_t bytes = c->count * snpu_dt_size(c->hdr.dtype), done, n, since = 0;
	int err = SNPU_ERR_NONE;

	_Static_assert(SNPU_TILE * 2 >= SNPU_PAGE_SIZE, "a page fits into a tile");
	for (done = 0; !err && done < bytes; done += n) {
		n = SNPU_PAGE_SIZE - (c->dst + done) % SNPU_PAGE_SIZE;
		n = n < bytes - done ? n : bytes - done;
		if (since >= SNPU_CHUNK) {
			since = 0;
			err = snpu_checkpoint(x);
		}
		if (!err)
			err = add_page(x, c, c->src + done, c->dst + done, n);
		since += n;
	}
	return err;
}
