// SPDX-License-Identifier: MIT
/*
 * Host buffers by the thousand: more than the process may open files, each with memory of its own,
 * zeroed, shared and freed in any order.
 */
#include <sys/resource.h>
#include <unistd.h>

#include "tap.h"

#define COUNT	20000u
#define BYTES	4096u
#define BATCH	64u

static struct snpu_mem *m[COUNT];

/* NPU 0 writes the number of each buffer into all of it */
static void fill(struct t_dev *d, unsigned int from, unsigned int step, uint32_t add)
{
	unsigned int i, n = 0;

	for (i = from; i < COUNT; i += step) {
		snpu_prep_fill(t_pkt(d->q), snpu_mem_va(m[i]), BYTES, i + add, 4);
		if (++n % BATCH == 0)
			CHECK_EQ(t_run(d->q), 0);
	}
	CHECK_EQ(t_run(d->q), 0);
}

/* Buffers whose words are not all @add more than their number, or not all zero */
static unsigned int wrong(unsigned int from, unsigned int step, uint32_t add, bool zero)
{
	unsigned int i, k, bad = 0;

	for (i = from; i < COUNT; i += step) {
		const uint32_t *w;
		void *p = NULL;

		if (snpu_mem_map(m[i], &p)) {
			bad++;
			continue;
		}
		w = p;
		for (k = 0; k < BYTES / 4; k++)
			if (w[k] != (zero ? 0 : i + add))
				break;
		bad += k < BYTES / 4;
	}
	return bad;
}

static void many(void)
{
	struct snpu_mem *far;
	struct t_dev d, peer;
	unsigned int i, k;
	void *p;
	int fd;

	NEED(!t_dev_open(&d, 0, BYTES, SNPU_MEM_HOST));
	NEED(!t_dev_open(&peer, 1, BYTES, SNPU_MEM_HBM));
	for (i = 0; i < COUNT; i++)
		NEED(!snpu_mem_alloc(d.ctx, BYTES, SNPU_MEM_HOST, &m[i]));
	CHECK_EQ(wrong(0, 1, 0, true), 0);
	fill(&d, 0, 1, 1);
	CHECK_EQ(wrong(0, 1, 1, false), 0);
	/* another NPU reaches one of the last, and one of the first; each keeps its neighbours */
	for (k = 0; k < 2; k++) {
		i = k ? 1 : COUNT - 2;
		NEED(!snpu_mem_share(peer.ctx, m[i], 0, &far));
		snpu_prep_fill(t_pkt(peer.q), snpu_mem_va(far), BYTES, i + 5, 4);
		CHECK_EQ(t_run(peer.q), 0);
		CHECK(!snpu_mem_map(m[i], &p) && *(uint32_t *)p == i + 5);
		snpu_prep_fill(t_pkt(peer.q), snpu_mem_va(far), BYTES, i + 1, 4);
		CHECK_EQ(t_run(peer.q), 0);
		CHECK_EQ(snpu_mem_free(far), 0);
	}
	CHECK_EQ(wrong(0, 1, 1, false), 0);
	/* one that is freed while another NPU maps it stays that NPU's */
	NEED(!snpu_mem_share(peer.ctx, m[COUNT - 1], 0, &far));
	CHECK_EQ(snpu_mem_free(m[COUNT - 1]), 0);
	NEED(!snpu_mem_alloc(d.ctx, BYTES, SNPU_MEM_HOST, &m[COUNT - 1]));
	fill(&d, COUNT - 1, 1, 1);
	CHECK(!snpu_mem_map(far, &p) && *(uint32_t *)p == COUNT);
	snpu_prep_fill(t_pkt(peer.q), snpu_mem_va(far), BYTES, 0, 4);
	CHECK_EQ(t_run(peer.q), 0);
	CHECK_EQ(wrong(COUNT - 1, 1, 1, false), 0);
	CHECK_EQ(snpu_mem_free(far), 0);
	/* every third goes and comes back, zeroed; the others have not noticed */
	for (i = 0; i < COUNT; i += 3)
		CHECK_EQ(snpu_mem_free(m[i]), 0);
	for (i = 0; i < COUNT; i += 3)
		NEED(!snpu_mem_alloc(d.ctx, BYTES, SNPU_MEM_HOST, &m[i]));
	CHECK_EQ(wrong(0, 3, 0, true), 0);
	fill(&d, 0, 3, 9);
	CHECK_EQ(wrong(0, 3, 9, false), 0);
	CHECK_EQ(wrong(1, 3, 1, false), 0);
	CHECK_EQ(wrong(2, 3, 1, false), 0);
	/* the first ones have a descriptor; one that has none says so, and why */
	CHECK_EQ(snpu_mem_export(m[1], &fd), 0);
	close(fd);
	CHECK_EQ(snpu_mem_export(m[COUNT - 2], &fd), -EMFILE);
	CHECK_TEXT(snpu_last_error(), "no file of its own");
	CHECK_TEXT(snpu_last_error(), "ulimit -n");
	for (i = 0; i < COUNT; i++)
		CHECK_EQ(snpu_mem_free(m[i]), 0);
	t_dev_close(&peer);
	t_dev_close(&d);
}

static const struct t_case cases[] = {
	{ "20000 host buffers, 256 files", many, T_DIRECT },
};

int main(void)
{
	const struct rlimit r = { .rlim_cur = 256, .rlim_max = 256 };

	/* the transport kmd needs none for a buffer */
	if (setrlimit(RLIMIT_NOFILE, &r))
		return 1;
	return t_main(cases, sizeof(cases) / sizeof(cases[0]));
}
