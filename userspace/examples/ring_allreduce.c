// SPDX-License-Identifier: MIT
/*
 * ring_allreduce: every NPU ends with the sum of all NPUs' vectors.
 *
 * The vector is cut into n chunks. In n - 1 steps of reduce-scatter NPU r sends a chunk to the
 * inbox of NPU r + 1, which adds it to its own; then NPU r holds the whole sum of one chunk. In
 * n - 1 steps of all-gather the sums go round. Semaphores keep the order: the host submits all
 * packets of all NPUs and waits.
 */
#include "example.h"

#define COUNT	(1u << 20)		/* floats a NPU */

struct npu {
	struct snpu_ctx *ctx;
	struct snpu_queue *q;
	struct snpu_event *arrived;	/* chunks that came from the left neighbour */
	struct snpu_mem *buf;		/* the vector, then an inbox for each step */
	struct snpu_mem *right;		/* the same of the right neighbour */
	uint64_t position;
};

/* Small integers: their sums are exact, whatever the order */
static float value(unsigned int npu, unsigned int i)
{
	return (float)((int)((i * 2654435761u + npu * 40503u) >> 20) - 2048);
}

static unsigned int chunk_start(unsigned int chunk, unsigned int n)
{
	return (unsigned int)((uint64_t)COUNT * chunk / n);
}

/* Packets of NPU @r for step @s of 2 (@n - 1) */
static void step(struct npu *me, struct npu *right, unsigned int r, unsigned int s, unsigned int n)
{
	const uint64_t inbox = COUNT * sizeof(float), slot = (COUNT / n + 1) * sizeof(float);
	unsigned int send = (r + 2 * n - s) % n, take = (send + n - 1) % n, first, count;
	uint64_t buf = snpu_mem_va(me->buf), there = snpu_mem_va(me->right), ev;
	bool gather = s >= n - 1;	/* the sums go round; nothing is added any more */

	first = chunk_start(send, n);
	count = chunk_start(send + 1, n) - first;
	snpu_prep_copy(next(me->q),
		       gather ? there + first * sizeof(float) : there + inbox + s * slot,
		       buf + first * sizeof(float), count * sizeof(float));
	OK(snpu_event_va(right->arrived, me->ctx, &ev));
	snpu_prep_signal(next(me->q), ev, s + 1, SNPU_SEM_SET);

	OK(snpu_event_va(me->arrived, me->ctx, &ev));
	snpu_prep_wait(next(me->q), ev, s + 1, SNPU_SEM_GE, 0);
	if (gather)
		return;
	first = chunk_start(take, n);
	count = chunk_start(take + 1, n) - first;
	snpu_prep_eltwise(next(me->q), SNPU_ELT_ADD, SNPU_DT_F32, buf + first * sizeof(float),
			  buf + first * sizeof(float), buf + inbox + s * slot, count);
}

int main(void)
{
	struct npu npu[MAX_NPUS];
	unsigned int n, r, s, i;
	struct snpu *snpu;
	float *x, want;
	void *ptr;

	OK(snpu_open(NULL, &snpu));
	n = some_npus(snpu);
	for (r = 0; r < n; r++) {
		OK(snpu_ctx_create(snpu, r, &npu[r].ctx));
		OK(snpu_queue_create(npu[r].ctx, NULL, &npu[r].q));
		OK(snpu_event_create(npu[r].ctx, &npu[r].arrived));
		OK(snpu_mem_alloc(npu[r].ctx, (2ull * COUNT + n) * sizeof(float), SNPU_MEM_HBM,
				  &npu[r].buf));
		OK(snpu_mem_map(npu[r].buf, &ptr));
		x = ptr;
		for (i = 0; i < COUNT; i++)
			x[i] = value(r, i);
	}
	for (r = 0; r < n && n > 1; r++)
		OK(snpu_mem_share(npu[r].ctx, npu[(r + 1) % n].buf, 0, &npu[r].right));

	for (r = 0; r < n; r++) {
		for (s = 0; s < 2 * (n - 1); s++)
			step(&npu[r], &npu[(r + 1) % n], r, s, n);
		OK(snpu_queue_submit(npu[r].q, &npu[r].position));
	}
	for (r = 0; r < n; r++)
		finish(npu[r].q, npu[r].position);

	for (r = 0; r < n; r++) {
		OK(snpu_mem_map(npu[r].buf, &ptr));
		x = ptr;
		for (i = 0; i < COUNT; i++) {
			for (want = 0, s = 0; s < n; s++)
				want += value(s, i);
			if (x[i] != want) {
				fprintf(stderr, "NPU %u element %u: %g, not %g\n", r, i, x[i],
					want);
				return 1;
			}
		}
	}
	for (r = 0; r < n; r++) {
		if (n > 1)
			OK(snpu_mem_free(npu[r].right));
		OK(snpu_queue_destroy(npu[r].q));
	}
	for (r = 0; r < n; r++) {
		OK(snpu_event_destroy(npu[r].arrived));
		OK(snpu_mem_free(npu[r].buf));
	}
	for (r = 0; r < n; r++)
		OK(snpu_ctx_destroy(npu[r].ctx));
	OK(snpu_close(snpu));
	printf("ring_allreduce: %u floats on %u NPUs, every sum exact\n", COUNT, n);
	return 0;
}
