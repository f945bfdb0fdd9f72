// SPDX-License-Identifier: MIT
/*
 * Ports: what they count, and what cannot be asked. What faults do to them is tested where faults
 * can be made, see test_coll_faults.c.
 */
#include "tap.h"

#define BYTES	(1ull << 20)
#define MAX	512

static struct snpu_port before[2][MAX], after[2][MAX];

static void arguments(void)
{
	struct { struct snpu_port p; uint64_t more; } big[4];
	struct snpu_port p[3];
	struct snpu_info info;
	unsigned int i;
	int n;

	NEED(!snpu_get_info(t_snpu(), 0, &info, sizeof(info)));
	n = snpu_get_ports(t_snpu(), 0, NULL, 0, 0);
	CHECK_EQ(n, info.planes * info.dies);
	CHECK_EQ(snpu_get_ports(t_snpu(), 0, NULL, sizeof(p[0]), 1), -EINVAL);
	CHECK_EQ(snpu_get_ports(t_snpu(), 0, p, 0, 1), -EINVAL);
	CHECK_EQ(snpu_get_ports(t_snpu(), snpu_count(t_snpu()), p, sizeof(p[0]), 1), -EINVAL);
	CHECK_TEXT(snpu_last_error(), "is not one of 0 to");
	CHECK_EQ(snpu_get_ports(NULL, 0, p, sizeof(p[0]), 1), -EINVAL);
	/* only what there is room for; callers that are older or newer */
	memset(p, 0xee, sizeof(p));
	CHECK_EQ(snpu_get_ports(t_snpu(), 0, p, sizeof(p[0]), 2), n);
	CHECK_EQ(p[1].plane, 1);
	CHECK_EQ(p[2].plane, 0xeeeeeeee);
	memset(big, 0xee, sizeof(big));
	CHECK_EQ(snpu_get_ports(t_snpu(), 0, &big[0].p, sizeof(big[0]), 4), n);
	for (i = 0; i < 4; i++) {
		CHECK_EQ(big[i].p.plane, i);
		CHECK_EQ(big[i].more, 0);
	}
	memset(p, 0xee, sizeof(p));
	CHECK_EQ(snpu_get_ports(t_snpu(), 0, p, 8, 2), n);
	CHECK_EQ(((uint32_t *)p)[3], 1);
	CHECK_EQ(((uint32_t *)p)[4], 0xeeeeeeee);
}

static int get(struct snpu_port (*p)[MAX])
{
	int n = snpu_get_ports(t_snpu(), 0, p[0], sizeof(p[0][0]), MAX);

	CHECK_EQ(snpu_get_ports(t_snpu(), 1, p[1], sizeof(p[1][0]), MAX), n);
	return n;
}

static void counters(void)
{
	uint64_t tx = 0, rx = 0, rate = 0;
	struct snpu_seg_handle h;
	struct snpu_mem *mem, *far;
	struct snpu_info info;
	struct t_dev a, b;
	int i, n;

	NEED(!t_dev_open(&a, 0, BYTES, SNPU_MEM_HBM));
	NEED(!t_dev_open(&b, 1, BYTES, SNPU_MEM_HBM));
	NEED(!snpu_mem_alloc(b.ctx, BYTES, SNPU_MEM_HBM | SNPU_MEM_CONTIG, &mem));
	NEED(!snpu_seg_export(mem, SNPU_SEG_READ | SNPU_SEG_WRITE, NULL, &h));
	NEED(!snpu_seg_import(a.ctx, &h, 0, &far));
	NEED(!snpu_get_info(t_snpu(), 0, &info, sizeof(info)));
	n = get(before);
	NEED(n > 0 && n <= MAX);
	snpu_prep_copy(t_pkt(a.q), snpu_mem_va(far), a.va, BYTES);
	snpu_prep_copy(t_pkt(a.q), a.va, snpu_mem_va(far), BYTES / 2);
	CHECK_EQ(t_run(a.q), 0);
	CHECK_EQ(get(after), n);
	for (i = 0; i < n; i++) {
		CHECK_EQ(after[0][i].die, i / (int)info.planes);
		CHECK_EQ(after[0][i].plane, i % (int)info.planes);
		CHECK_EQ(after[0][i].state, SNPU_PORT_UP);
		CHECK_EQ(after[0][i].dropped, before[0][i].dropped);
		tx += after[0][i].tx_bytes - before[0][i].tx_bytes;
		rx += after[1][i].rx_bytes - before[1][i].rx_bytes;
		rate += after[0][i].rate;
	}
	CHECK_EQ(tx, rx);
	CHECK_EQ(tx, BYTES);
	/* all ports together are the fabric bandwidth, but for rounding */
	CHECK(rate <= info.fabric_bw && rate + (uint64_t)n >= info.fabric_bw);
	CHECK_EQ(snpu_mem_free(far), 0);
	CHECK_EQ(snpu_mem_free(mem), 0);
	t_dev_close(&a);
	t_dev_close(&b);
}

int main(void)
{
	static const struct t_case cases[] = {
		{ "arguments", arguments, T_BOTH },
		{ "counters", counters, T_BOTH },
	};

	return t_main(cases, sizeof(cases) / sizeof(cases[0]));
}
