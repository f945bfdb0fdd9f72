// SPDX-License-Identifier: MIT
/*
 * tp_block: a transformer block, tensor-parallel over the NPUs.
 *
 * Each NPU holds its heads of the attention and its columns of the MLP. Both halves of the block
 * end in a partial sum on every NPU; the NPUs send these to each other and add them up, without the
 * host. tp_block_cpu.c computes the same block in double precision.
 */
#include "example.h"
#include "tp_block.h"

#include <math.h>

struct npu {
	struct snpu_ctx *ctx;
	struct snpu_queue *q;
	struct snpu_event *arrived;	/* partial sums that came in */
	struct snpu_mem *mem, *peer[MAX_NPUS];
	struct layout *map;
	uint64_t position, sums;
};

#define AT(mem, field)	(snpu_mem_va(mem) + offsetof(struct layout, field))
#define F32		SNPU_DT_F32

/* x += the out of every NPU, in the same order everywhere */
static void add_partials(struct npu *npu, unsigned int r, unsigned int n)
{
	struct npu *me = &npu[r];
	const uint64_t bytes = TOKENS * sizeof(float), slot = me->sums * MAX_NPUS * bytes;
	unsigned int p;
	uint64_t ev;

	for (p = 0; p < n; p++) {
		snpu_prep_copy(next(me->q), AT(me->peer[p], inbox) + slot + r * bytes,
			       AT(me->mem, out), bytes);
		OK(snpu_event_va(npu[p].arrived, me->ctx, &ev));
		snpu_prep_signal(next(me->q), ev, 1, SNPU_SEM_ADD);
	}
	OK(snpu_event_va(me->arrived, me->ctx, &ev));
	snpu_prep_wait(next(me->q), ev, ++me->sums * n, SNPU_SEM_GE, 0);
	for (p = 0; p < n; p++)
		snpu_prep_eltwise(next(me->q), SNPU_ELT_ADD, F32, AT(me->mem, x), AT(me->mem, x),
				  AT(me->mem, inbox) + slot + p * bytes, TOKENS);
}

static void matmul(struct npu *me, uint64_t c, uint64_t a, uint64_t b, uint32_t n, uint32_t k)
{
	snpu_prep_matmul(next(me->q), 0, F32, F32, c, a, b, 0, SEQ, n, k);
}

/* One head, softmax(q k' / sqrt(HEAD)) v: q, k and v are columns of qkv */
static void head(struct npu *me, unsigned int h, uint32_t width)
{
	uint64_t q = AT(me->mem, qkv) + h * HEAD * sizeof(float), s = AT(me->mem, scores);
	uint64_t k = q + width * sizeof(float), v = k + width * sizeof(float);
	union snpu_pkt *p = next(me->q);

	snpu_prep_matmul(p, SNPU_PF_TRANS_B, F32, F32, s, q, k, 0, SEQ, SEQ, HEAD);
	p->matmul.lda = p->matmul.ldb = 3 * width;
	snpu_prep_softmax(next(me->q), SNPU_PF_CAUSAL, F32, s, s, SEQ, SEQ, SEQ,
			  1 / sqrtf(HEAD), 0);
	p = next(me->q);
	snpu_prep_matmul(p, 0, F32, F32, AT(me->mem, att) + h * HEAD * sizeof(float), s, v, 0, SEQ,
			 HEAD, SEQ);
	p->matmul.ldb = 3 * width;
	p->matmul.ldc = width;
}

static void block(struct npu *npu, unsigned int r, unsigned int n)
{
	uint32_t width = DIM / n, ffn = FFN / n, h;
	struct npu *me = &npu[r];
	struct snpu_mem *m = me->mem;

	snpu_prep_rmsnorm(next(me->q), F32, AT(m, norm), AT(m, x), AT(m, ones), SEQ, DIM, EPS);
	matmul(me, AT(m, qkv), AT(m, norm), AT(m, w_qkv), 3 * width, DIM);
	for (h = 0; h < HEADS / n; h++)
		head(me, h, width);
	matmul(me, AT(m, out), AT(m, att), AT(m, w_o), DIM, width);
	add_partials(npu, r, n);
	snpu_prep_rmsnorm(next(me->q), F32, AT(m, norm), AT(m, x), AT(m, ones), SEQ, DIM, EPS);
	matmul(me, AT(m, up), AT(m, norm), AT(m, w_up), ffn, DIM);
	snpu_prep_act(next(me->q), SNPU_ACT_SILU, F32, AT(m, up), AT(m, up), SEQ * ffn);
	matmul(me, AT(m, out), AT(m, up), AT(m, w_down), DIM, ffn);
	add_partials(npu, r, n);
}

static void setup(struct npu *me, struct snpu *snpu, unsigned int r, unsigned int n)
{
	void *map;

	OK(snpu_ctx_create(snpu, r, &me->ctx));
	OK(snpu_queue_create(me->ctx, NULL, &me->q));
	OK(snpu_event_create(me->ctx, &me->arrived));
	OK(snpu_mem_alloc(me->ctx, sizeof(struct layout), SNPU_MEM_HBM, &me->mem));
	OK(snpu_mem_map(me->mem, &map));
	me->map = map;
	tp_block_shard(me->map, r, n);
}

int main(void)
{
	static struct npu npu[MAX_NPUS];
	static double want[TOKENS];
	double worst = 0;
	unsigned int n = 1, r, p, i;
	struct snpu *snpu;

	OK(snpu_open(NULL, &snpu));
	while (2 * n <= some_npus(snpu))
		n *= 2;		/* each gets the same number of heads */
	for (r = 0; r < n; r++)
		setup(&npu[r], snpu, r, n);
	for (r = 0; r < n; r++) {
		for (p = 0; p < n; p++)	/* the memory of NPU p, as NPU r sees it */
			if (p != r)
				OK(snpu_mem_share(npu[r].ctx, npu[p].mem, 0, &npu[r].peer[p]));
		npu[r].peer[r] = npu[r].mem;
	}
	for (r = 0; r < n; r++) {
		block(npu, r, n);
		OK(snpu_queue_submit(npu[r].q, &npu[r].position));
	}
	tp_block_cpu(want);		/* while the NPUs work */
	for (r = 0; r < n; r++) {
		finish(npu[r].q, npu[r].position);
		for (i = 0; i < TOKENS; i++)
			worst = fmax(worst, fabs(npu[r].map->x[i] - want[i]));
	}
	for (r = 0; r < n; r++) {
		OK(snpu_queue_destroy(npu[r].q));
		for (p = 0; p < n; p++)
			if (p != r)
				OK(snpu_mem_free(npu[r].peer[p]));
		/* it is mapped in the contexts of all others */
		OK(snpu_event_destroy(npu[r].arrived));
	}
	for (r = 0; r < n; r++) {
		OK(snpu_mem_free(npu[r].mem));
	}
	for (r = 0; r < n; r++)	/* no semaphore is mapped there any more */
		OK(snpu_ctx_destroy(npu[r].ctx));
	OK(snpu_close(snpu));
	printf("tp_block: %u NPUs, largest error %.2g, bound 1e-5\n", n, worst);
	return worst <= 1e-5 ? 0 : 1;
}
