// SPDX-License-Identifier: MIT
/*
 * Memory errors. Poison is kept by 4 KiB page in a small unsorted table; as long as it is empty,
 * all that an access pays is one load.
 */
#include <errno.h>
#include <stdlib.h>

#include "npu_priv.h"

bool snpu_ras_hit(struct snpu_npu *n, uint64_t off)
{
	uint64_t page = off >> SNPU_PAGE_SHIFT;
	bool hit = false;
	uint32_t i;

	pthread_mutex_lock(&n->ras_lock);
	for (i = 0; i < n->poisoned && !hit; i++)
		hit = n->poison[i] == page;
	pthread_mutex_unlock(&n->ras_lock);
	return hit;
}

/* Takes pages that [off, off + len) covers whole out of the table; ras_lock held */
static void clear_locked(struct snpu_npu *n, uint64_t off, uint64_t len)
{
	uint32_t i, k = n->poisoned;

	for (i = 0; i < k; ) {
		uint64_t start = n->poison[i] << SNPU_PAGE_SHIFT;

		if (start >= off && start + SNPU_PAGE_SIZE <= off + len)
			n->poison[i] = n->poison[--k];
		else
			i++;
	}
	snpu_store(&n->poisoned, k);
}

void snpu_ras_clear(struct snpu_npu *n, uint64_t off, uint64_t len)
{
	pthread_mutex_lock(&n->ras_lock);
	clear_locked(n, off, len);
	pthread_mutex_unlock(&n->ras_lock);
}

/**
 * snpu_ras_check() - an access to HBM that has poison somewhere
 * @n: NPU that holds the memory
 * @off: HBM offset
 * @len: bytes the packet means to access from there on
 * @write: a write of a whole page takes its poison away
 * @run: bytes accessed now; a read is cut before the next poisoned page
 *
 * Return: SNPU_ERR_POISON for a read that begins in poison, else SNPU_ERR_NONE.
 */
unsigned int snpu_ras_check(struct snpu_npu *n, uint64_t off, uint64_t len, bool write,
			    uint64_t *run)
{
	unsigned int err = SNPU_ERR_NONE;
	uint32_t i;

	pthread_mutex_lock(&n->ras_lock);
	if (write) {
		clear_locked(n, off, snpu_min64(*run, len));
	} else {
		for (i = 0; i < n->poisoned; i++) {
			uint64_t start = n->poison[i] << SNPU_PAGE_SHIFT;

			if (off >= start + SNPU_PAGE_SIZE || start >= off + *run)
				continue;
			if (off >= start)
				err = SNPU_ERR_POISON;
			else
				*run = start - off;
		}
	}
	pthread_mutex_unlock(&n->ras_lock);
	return err;
}

int snpu_npu_inject_ce(struct snpu_npu *n, uint64_t offset)
{
	if (offset >= n->hbm_size)
		return -ERANGE;
	snpu_add(&n->ras_ce, 1);
	snpu_event_emit_ext(n, SNPU_EVT_ECC_CE, 0, offset);
	return 0;
}

int snpu_npu_inject_ue(struct snpu_npu *n, uint64_t offset)
{
	uint64_t page = offset >> SNPU_PAGE_SHIFT;
	uint32_t i;
	int ret = 0;

	if (offset >= n->hbm_size)
		return -ERANGE;
	pthread_mutex_lock(&n->ras_lock);
	if (!n->poison)
		n->poison = calloc(SNPU_MAX_POISON, sizeof(*n->poison));
	for (i = 0; n->poison && i < n->poisoned && n->poison[i] != page; i++)
		;
	if (!n->poison) {
		ret = -ENOMEM;
	} else if (i == n->poisoned) {
		if (i == SNPU_MAX_POISON) {
			ret = -ENOSPC;
		} else {
			n->poison[i] = page;
			snpu_store(&n->poisoned, i + 1);
		}
	}
	pthread_mutex_unlock(&n->ras_lock);
	if (ret)
		return ret;
	snpu_add(&n->ras_ue, 1);
	/* rings that are read through a cached pointer look again */
	snpu_npu_bus_changed(n);
	snpu_event_emit_ext(n, SNPU_EVT_ECC_UE, 0, offset);
	return 0;
}

int snpu_npu_inject_fault(struct snpu_npu *n, unsigned int queue, unsigned int code)
{
	int ret = -ENOENT;

	if (!code || code > SNPU_ERR_MAX)
		return -EINVAL;
	pthread_mutex_lock(&n->lock);
	if (queue < n->num_queues && n->queues[queue]) {
		snpu_store(&n->queues[queue]->inject, code);
		ret = 0;
	}
	pthread_mutex_unlock(&n->lock);
	snpu_sched_kick(n->m);
	return ret;
}

int snpu_npu_inject_hang(struct snpu_npu *n, unsigned int queue)
{
	int ret = -ENOENT;

	pthread_mutex_lock(&n->lock);
	if (queue < n->num_queues && n->queues[queue]) {
		snpu_store(&n->queues[queue]->inject, SNPU_INJECT_HANG);
		ret = 0;
	}
	pthread_mutex_unlock(&n->lock);
	snpu_sched_kick(n->m);
	return ret;
}

void snpu_npu_inject_fatal(struct snpu_npu *n, unsigned int reason)
{
	uint32_t i;

	pthread_mutex_lock(&n->lock);
	snpu_store_rel(&n->status, SNPU_STATUS_FATAL);
	for (i = 0; i < n->num_queues; i++) {
		struct snpu_queue *q = n->queues[i];

		if (!q)
			continue;
		snpu_or(&q->stop, SNPU_STOP_ABORT);
		snpu_queue_lock_abort(q);
		pthread_mutex_lock(&n->bus_lock);
		snpu_mmu_sync(q);
		if (snpu_load(&q->run) != SNPU_RUN_FAULT)
			snpu_queue_fault(q, SNPU_ERR_ABORTED, 0, 0, false);
		pthread_mutex_unlock(&n->bus_lock);
		snpu_queue_unlock(q);
	}
	pthread_mutex_unlock(&n->lock);
	snpu_event_emit_ext(n, SNPU_EVT_FATAL, reason, 0);
}
