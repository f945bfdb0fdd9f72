// SPDX-License-Identifier: MIT
/*
 * What is given back and used again while somebody still counts on the old: queue numbers, export
 * and import slots.
 */
#include <unistd.h>

#include "tap.h"

/*
 * A queue has a wait for another in its ring, but does not come to it before the other has retired
 * the position, is destroyed, and its number may belong to a new queue.
 */
static void number_awaited(void)
{
	struct snpu_queue *first, *next;
	struct snpu_event *ev;
	struct snpu_fence *f;
	uint64_t va, peer_va, pos, last;
	struct t_dev a, b;
	unsigned int i;

	NEED(!t_dev_open(&a, 0, 0, 0) && !t_dev_open(&b, 1, 0, 0));
	NEED(!snpu_event_create(a.ctx, &ev) && !snpu_event_va(ev, a.ctx, &va) &&
	     !snpu_event_va(ev, b.ctx, &peer_va));
	NEED(!snpu_queue_create(a.ctx, NULL, &first));
	for (i = 0; i < 9; i++)
		snpu_prep_nop(t_pkt(first));
	snpu_prep_wait(t_pkt(first), va, 1, SNPU_SEM_GE, 0);
	NEED(!snpu_queue_submit(first, &pos) && !snpu_fence_create(first, pos, &f));
	snpu_prep_wait(t_pkt(b.q), peer_va, 2, SNPU_SEM_GE, 0);
	CHECK_EQ(snpu_queue_put_fence(b.q, f), 0);
	snpu_prep_nop(t_pkt(b.q));
	CHECK_EQ(snpu_queue_submit(b.q, &last), 0);
	CHECK_EQ(snpu_event_set(ev, 1), 0);
	CHECK_EQ(snpu_queue_wait(first, pos, T_LONG), 0);
	CHECK_EQ(snpu_queue_destroy(first), 0);
	CHECK_EQ(snpu_fence_destroy(f), 0);
	NEED(!snpu_queue_create(a.ctx, NULL, &next));
	CHECK_EQ(snpu_queue_poll(b.q, last), 0);
	CHECK_EQ(snpu_event_set(ev, 2), 0);
	CHECK_EQ(snpu_queue_wait(b.q, last, 8 * T_SEC), 0);
	CHECK_EQ(snpu_queue_destroy(next), 0);
	CHECK_EQ(snpu_event_destroy(ev), 0);
	t_dev_close(&b);
	t_dev_close(&a);
}

/* Shares and exports come and go, more often than there are slots for them */
static void slots(void)
{
	enum { ROUNDS = 1100 };
	struct snpu_mem *mem, *peer;
	struct t_dev a, b;
	unsigned int i;
	int fd, ret = 0;

	NEED(!t_dev_open(&a, 0, 0, 0) && !t_dev_open(&b, 1, 4096, SNPU_MEM_HBM));
	for (i = 0; i < ROUNDS && !ret; i++) {
		ret = snpu_mem_alloc(a.ctx, 4096, SNPU_MEM_HBM, &mem);
		if (ret)
			break;
		ret = snpu_mem_export(mem, &fd);
		if (!ret) {
			ret = snpu_mem_import(b.ctx, fd, 0, &peer);
			close(fd);
			if (!ret)
				ret = snpu_mem_free(peer);
		}
		snpu_mem_free(mem);
	}
	CHECK_EQ(ret, 0);
	CHECK_EQ(i, ROUNDS);
	NEED(!snpu_mem_alloc(a.ctx, 4096, SNPU_MEM_HBM, &mem) &&
	     !snpu_mem_share(b.ctx, mem, 0, &peer));
	snpu_prep_fill(t_pkt(b.q), snpu_mem_va(peer), 4096, 0x3c, 1);
	CHECK_EQ(t_run(b.q), 0);
	CHECK_EQ(snpu_mem_free(peer), 0);
	CHECK_EQ(snpu_mem_free(mem), 0);
	t_dev_close(&b);
	t_dev_close(&a);
}

static const struct t_case cases[] = {
	{ "a queue's number while another waits at its record", number_awaited, T_BOTH },
	{ "export and import slots", slots, T_BOTH },
};

int main(void)
{
	return t_main(cases, sizeof(cases) / sizeof(cases[0]));
}
