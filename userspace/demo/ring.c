// SPDX-License-Identifier: MIT
/*
 * Ring all-reduce: n - 1 steps of reduce-scatter, n - 1 of all-gather.
 *
 * The vector is cut into n chunks. In step s NPU r sends chunk r - s (mod n) to its right neighbour
 * and gets chunk r - s - 1 from the left; in the first n - 1 steps that goes into an inbox and is
 * added to the NPU's own, so that afterwards chunk r + 1 is complete on NPU r; in the others it is
 * complete and replaces the NPU's own. What is sent in a step is what came in the step before,
 * therefore a chunk is cut into pieces, and a piece goes on as soon as it is there.
 *
 * Each step has its own slot in the inbox. A slot is used again in the next all-reduce at the
 * earliest, which the left neighbour enters only after it got the chunk that is complete on this
 * NPU: then all slots of this NPU have been read.
 */
#include "demo.h"

#define PIECES	4

/* Elements before chunk @c of @n: whole cache lines, so that no two NPUs write to the same */
static uint64_t chunk_start(uint64_t count, uint64_t esize, unsigned int c, unsigned int n)
{
	uint64_t line = 64 / esize;

	return c == n ? count : count / n * c / line * line;
}

static uint64_t slot_bytes(unsigned int n, uint64_t esize, uint64_t count)
{
	uint64_t last = count - chunk_start(count, esize, n - 1, n);

	return (last * esize + 127) / 64 * 64;
}

/**
 * demo_ring_inbox - size of the inbox that an all-reduce needs on each NPU
 * @n: NPUs
 * @dtype: SNPU_DT_* of the elements
 * @count: elements of the vector
 *
 * Return: bytes, at least 1
 */
uint64_t demo_ring_inbox(unsigned int n, unsigned int dtype, uint64_t count)
{
	if (n < 2)
		return 64;
	return (n - 1) * slot_bytes(n, snpu_dtype_size(dtype), count);
}

/* The packets of NPU @r for piece @p of step @s; the last step only receives */
static void piece(struct demo *d, const struct demo_ring *ring, unsigned int dtype, uint64_t count,
		  unsigned int r, unsigned int s, unsigned int p)
{
	const uint64_t esize = snpu_dtype_size(dtype), slot = slot_bytes(ring->n, esize, count);
	const unsigned int n = ring->n, steps = 2 * (n - 1);
	struct demo_npu *me = &d->npu[r], *right = &d->npu[(r + 1) % n];
	uint64_t start, end, from, len, at, to;
	unsigned int chunk = (r + 2 * n - s) % n;

	start = chunk_start(count, esize, chunk, n);
	end = chunk_start(count, esize, chunk + 1, n);
	from = start + chunk_start(end - start, esize, p, PIECES);
	len = (start + chunk_start(end - start, esize, p + 1, PIECES) - from) * esize;
	at = ring->buf[r] + from * esize;
	if (s > 0)
		snpu_prep_wait(demo_pkt(d, r), me->arrived_va, me->came + (s - 1) * PIECES + p + 1,
			       SNPU_SEM_GE, 0);
	if (s > 0 && s < n && len)
		snpu_prep_eltwise(demo_pkt(d, r), SNPU_ELT_ADD, dtype, at, at,
				  ring->inbox[r] + (s - 1) * slot + (from - start) * esize,
				  len / esize);
	if (s == steps)
		return;
	to = ring->right_inbox[r] + s * slot + (from - start) * esize;
	if (s >= n - 1)
		to = ring->right_buf[r] + from * esize;
	if (len)
		snpu_prep_copy(demo_pkt(d, r), to, at, len);
	snpu_prep_signal(demo_pkt(d, r), ring->right_signal[r], right->came + s * PIECES + p + 1,
			 SNPU_SEM_SET);
}

/**
 * demo_ring_allreduce - records an all-reduce (sum) for all its NPUs
 * @d: state
 * @ring: its members, the first NPUs of @d, and their buffers
 * @dtype: SNPU_DT_F32, BF16, F16, I32
 * @count: elements of the vector
 *
 * With one member there is nothing to do.
 */
void demo_ring_allreduce(struct demo *d, const struct demo_ring *ring, unsigned int dtype,
			 uint64_t count)
{
	unsigned int n = ring->n, r, s, p;

	if (n < 2)
		return;
	for (r = 0; r < n; r++) {
		for (s = 0; s <= 2 * (n - 1); s++) {
			for (p = 0; p < PIECES; p++)
				piece(d, ring, dtype, count, r, s, p);
		}
	}
	for (r = 0; r < n; r++)
		d->npu[r].came += 2 * (n - 1) * PIECES;
}
