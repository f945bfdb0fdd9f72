// SPDX-License-Identifier: MIT
/*
 * vector_add: the smallest program that makes an NPU compute.
 *
 * c = a + b on a million floats: the operands go from host memory to HBM by DMA, the NPU adds them,
 * the sum comes back by DMA, and the CPU checks it. All three packets are handed over at once.
 */
#include "example.h"

#define COUNT	1000000u
#define BYTES	(COUNT * sizeof(float))

int main(void)
{
	struct snpu_mem *host, *hbm;
	struct snpu_queue *q;
	struct snpu_ctx *ctx;
	uint64_t h, d, position;
	struct snpu *snpu;
	unsigned int i;
	float *a, *b, *c;
	void *ptr;

	OK(snpu_open(NULL, &snpu));
	some_npus(snpu);		/* at least one, or it ends here */
	/* A context is an address space: all that its packets can reach is mapped there */
	OK(snpu_ctx_create(snpu, 0, &ctx));
	OK(snpu_queue_create(ctx, NULL, &q));
	OK(snpu_mem_alloc(ctx, 3 * BYTES, SNPU_MEM_HOST, &host));
	OK(snpu_mem_alloc(ctx, 3 * BYTES, SNPU_MEM_HBM, &hbm));
	OK(snpu_mem_map(host, &ptr));
	a = ptr;
	b = a + COUNT;
	c = b + COUNT;
	for (i = 0; i < COUNT; i++) {
		a[i] = (float)i;
		b[i] = 0.5f * (float)(i % 1000);
	}

	h = snpu_mem_va(host);
	d = snpu_mem_va(hbm);
	snpu_prep_copy(next(q), d, h, 2 * BYTES);
	snpu_prep_eltwise(next(q), SNPU_ELT_ADD, SNPU_DT_F32, d + 2 * BYTES, d, d + BYTES, COUNT);
	snpu_prep_copy(next(q), h + 2 * BYTES, d + 2 * BYTES, BYTES);
	OK(snpu_queue_submit(q, &position));	/* a store to the doorbell, no system call */
	finish(q, position);

	for (i = 0; i < COUNT; i++) {
		if (c[i] != a[i] + b[i]) {
			fprintf(stderr, "element %u: %g + %g gave %g\n", i, a[i], b[i], c[i]);
			return 1;
		}
	}
	OK(snpu_queue_destroy(q));
	OK(snpu_mem_free(hbm));
	OK(snpu_mem_free(host));
	OK(snpu_ctx_destroy(ctx));
	OK(snpu_close(snpu));
	printf("vector_add: %u sums on one NPU, all right\n", COUNT);
	return 0;
}
