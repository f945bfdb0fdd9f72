// SPDX-License-Identifier: MIT
/*
 * Random packets on a small address space with holes: nothing may crash, hang or touch memory
 * outside. usage: fuzz_engine SEED COUNT; the same seed gives the same packets.
 */
#include <stdlib.h>
#include <string.h>

#include "fake.h"
#include "good.h"
#include "range.h"

static uint64_t place(uint64_t *s)
{
	return FAKE_BASE + (fake_rand(s) % (FAKE_PAGES * 4096ull) & ~63ull);
}

static uint32_t dim(uint64_t *s)
{
	uint32_t max = fake_rand(s) % 4 ? 40 : 300;

	return 1 + (uint32_t)(fake_rand(s) % max);
}

/* New places and sizes for a good packet */
static void vary(union snpu_pkt *p, uint64_t *s)
{
	uint32_t m = dim(s), n = dim(s), k = dim(s);

	switch (p->hdr.op) {
	case SNPU_OP_COPY2D:
		p->copy2d.width = n;
		p->copy2d.rows = m;
		p->copy2d.src_pitch = n + k;
		p->copy2d.dst_pitch = n + m;
		break;
	case SNPU_OP_COPY:
	case SNPU_OP_FILL:
		p->copy.bytes = (uint64_t)m * n * 64;
		p->q[2] = p->hdr.op == SNPU_OP_FILL ? p->copy.bytes : place(s);
		p->q[3] = p->hdr.op == SNPU_OP_FILL ? m : p->copy.bytes;
		p->q[1] = place(s);
		return;
	case SNPU_OP_CRC32C:
		p->crc32c.src = place(s);
		p->crc32c.bytes = (uint64_t)m * n * 10;
		p->crc32c.dst = place(s);
		return;
	case SNPU_OP_MATMUL:
		p->matmul.c = place(s);
		p->matmul.m = m;
		p->matmul.n = n;
		p->matmul.k = k;
		p->matmul.lda = p->matmul.ldb = p->matmul.ldc = 300;
		p->hdr.flags = (uint8_t)(fake_rand(s) % 16 & ~SNPU_PF_BIAS);
		p->hdr.dtype = (uint8_t)(1 + fake_rand(s) % 4);
		p->hdr.dtype2 = p->hdr.dtype == SNPU_DT_I8 ? SNPU_DT_I32 : SNPU_DT_F32;
		break;
	case SNPU_OP_ELTWISE:
	case SNPU_OP_CONVERT:
	case SNPU_OP_ACT:
		p->q[4] = p->q[3] = (uint64_t)m * n;
		if (p->hdr.op == SNPU_OP_ELTWISE)
			p->q[3] = place(s);
		else
			p->q[4] = 0;
		break;
	case SNPU_OP_GATHER:
		p->gather.dst = place(s);
		p->gather.count = m;
		p->gather.cols = n;
		p->gather.table_rows = 1 << 20;
		p->gather.ld_table = p->gather.ld_dst = n;
		break;
	case SNPU_OP_REDUCE_PULL:
	case SNPU_OP_MULTICAST:
		p->multi.addr = place(s);
		p->multi.list = place(s);
		p->multi.offset = fake_rand(s) % 4 ? 64 : fake_rand(s);
		p->multi.count = (uint64_t)m * n * 4;
		p->multi.num = 1 + (uint32_t)(fake_rand(s) % (fake_rand(s) % 4 ? 8 :
							      SNPU_MAX_LIST));
		if (p->hdr.op == SNPU_OP_REDUCE_PULL)
			p->hdr.dtype = (uint8_t)(1 + fake_rand(s) % SNPU_DT_MAX);
		return;
	default:
		p->rows.rows = m;
		p->rows.cols = n;
		p->rows.ld_src = n + k;
		if (p->rows.ld_dst)
			p->rows.ld_dst = n + k;
		if (p->rows.weight)
			p->rows.weight = place(s);
	}
	p->q[1] = place(s);
	p->q[2] = place(s);
}

/* Addresses where a packet has its list: most of them good */
static void put_list(struct fake *f, const union snpu_pkt *p, uint64_t *s)
{
	uint32_t i;
	uint64_t va;

	for (i = 0; i < p->multi.num; i++) {
		va = fake_rand(s) % 64 ? place(s) - (p->multi.offset & ~7ull) : fake_rand(s);
		if (p->multi.list + i * 8ull + 8 <= FAKE_BASE + FAKE_PAGES * 4096ull)
			fake_write(f, p->multi.list + i * 8ull, &va, 8);
	}
}

int main(int argc, char **argv)
{
	uint64_t s = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
	unsigned long count = argc > 2 ? strtoul(argv[2], NULL, 0) : 20000, i, ran = 0, done = 0;
	struct snpu_engine *e = snpu_engine_create();
	const struct snpu_tune keep = snpu_tune;
	struct fake f;
	unsigned int j;

	fake_init(&f, true, s);
	for (j = 0; j < FAKE_PAGES; j++)
		if (fake_rand(&s) % 64 == 0)
			f.kind[j] = (uint8_t[]){ FAKE_NONE, FAKE_RO, FAKE_BUS }[fake_rand(&s) % 3];
	/* a fuzzer whose packets are all refused tests nothing: on until enough of them went far */
	for (i = 0; i < count || ((ran < count / 4 || done < count / 20) && i < 100 * count); i++) {
		union snpu_pkt p = good[fake_rand(&s) % NUM_GOOD];
		struct snpu_fault fault;
		int err;

		if (p.hdr.op < SNPU_OP_COPY || p.hdr.op > SNPU_OP_ATTENTION ||
		    p.hdr.op == SNPU_OP_ATOMIC)
			continue;
		vary(&p, &s);
		if (snpu_pkt_is_multi(&p))
			put_list(&f, &p, &s);
		for (j = fake_rand(&s) % 3; j; j--)
			((uint8_t *)&p)[fake_rand(&s) % 64] ^= (uint8_t)(1u << fake_rand(&s) % 8);
		/* one flipped bit makes a size that is allowed and would take minutes */
		f.abort_after = fake_rand(&s) % 8 ? 20 : 1;
		/* every way of the engine, whatever the sizes */
		snpu_tune.copy_nt = fake_rand(&s) % 2 ? 4096 : 1ull << 40;
		snpu_tune.block_flops = fake_rand(&s) % 2 ? 100000 : keep.block_flops;
		snpu_tune.panel_bytes = fake_rand(&s) % 2 ? 8192 : keep.panel_bytes;
		snpu_tune.row_bytes = fake_rand(&s) % 2 ? 256 : keep.row_bytes;
		snpu_tune.no_kernel = (unsigned int)fake_rand(&s) % 64;
		err = fake_exec(&f, e, &p, &fault);
		ran += !snpu_pkt_check(&p);
		done += !err;
		if (err < 0 || err > SNPU_ERR_MAX) {
			printf("packet %lu: error %d is none\n", i, err);
			return 1;
		}
	}
	printf("%lu packets, %lu passed the check, %lu completed\n", i, ran, done);
	if (ran < count / 4 || done < count / 20) {
		printf("too few packets passed the check\n");
		return 1;
	}
	snpu_engine_destroy(e);
	fake_free(&f);
	return 0;
}
