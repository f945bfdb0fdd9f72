// SPDX-License-Identifier: MIT
/*
 * The memory budget: what HBM may take of the computer.
 *
 * HBM is sparse, and any access of a packet may make a page exist. So each NPU keeps a mark for
 * every 2 MiB of its HBM that was touched, and a credit of what it may touch before it counts again.
 * An access to marked memory costs one load. The first to unmarked memory takes 2 MiB of the credit,
 * whatever it needs; when the credit is used up, the files behind HBM say what is really taken, by
 * packets and by what clients wrote through BAR 2, and the credit is filled again as far as the
 * budget allows. A scrub takes the marks away.
 *
 * Half of the budget goes to the NPUs that ask first; the other half is kept in equal parts for
 * NPUs that have less than their part, so that one that takes all it can get leaves the others
 * theirs.
 */
#include <stdlib.h>
#include <sys/stat.h>

#include "engine/engine.h"
#include "log/log.h"
#include "npu_priv.h"

#define PIECE		SNPU_HUGE_SIZE		/* what one mark stands for */
#define MAX_GRANT	(256ull << 20)
#define AGAIN_NS	1000000ull		/* no second count so soon after a refusal */
#define SMALL_SCRATCH	(4ll << 20)		/* scratch of an engine that is always there */

static uint64_t resident(const struct snpu_npu *n)
{
	struct stat st;

	return fstat(n->hbm_fd, &st) ? 0 : (uint64_t)st.st_blocks * 512;
}

static uint64_t credit_of(const struct snpu_npu *n)
{
	int64_t c = snpu_load(&n->credit);

	return c > 0 ? (uint64_t)c : 0;
}

static uint64_t less(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

/* What @n, or with NULL an engine, may still take. mem_lock held */
static uint64_t room_for(struct snpu_machine *m, const struct snpu_npu *n)
{
	uint64_t part = m->memory / 2 / m->npus, used = 0, promised = 0, kept = 0, room;
	unsigned int i;

	for (i = 0; i < m->npus; i++) {
		uint64_t r = resident(m->npu[i]), c = credit_of(m->npu[i]);

		used += r;
		promised += c;
		if (m->npu[i] != n)
			kept += less(part, r + c);
	}
	used += (uint64_t)snpu_load(&m->scratch);
	snpu_store(&m->mem_used, used);
	room = less(m->memory, used + promised + kept);
	if (m->memory_left)
		room = snpu_min64(room, less(m->memory_left(), promised));
	return room;
}

/* More credit for @n. false: there is none */
static bool fill(struct snpu_npu *n)
{
	struct snpu_machine *m = n->m;
	uint64_t room, now;
	bool ok;

	pthread_mutex_lock(&m->mem_lock);
	now = snpu_clock_ns();
	if (credit_of(n) >= PIECE) {
		ok = true;	/* another thread has just done it */
	} else if (n->refused_at && now - n->refused_at < AGAIN_NS) {
		ok = false;
	} else {
		room = room_for(m, n);
		ok = room >= PIECE;
		if (ok)
			(void)snpu_add(&n->credit, (int64_t)(snpu_min64(room / 8, MAX_GRANT) +
							     PIECE));
		n->refused_at = ok ? 0 : now;
		if (!ok && !n->mem_refused++)
			snpu_log(SNPU_LOG_ERR, "npu%u: no memory for more of its HBM: the machine "
				 "uses %llu MiB, allowed %llu MiB (--memory)", n->index,
				 (unsigned long long)(snpu_load(&m->mem_used) >> 20),
				 (unsigned long long)(m->memory >> 20));
	}
	pthread_mutex_unlock(&m->mem_lock);
	return ok;
}

static bool take(struct snpu_npu *n, uint8_t *mark)
{
	while (!snpu_load(mark)) {
		if (snpu_add(&n->credit, -(int64_t)PIECE) >= 0) {
			/* two threads may both pay: the next count knows better */
			snpu_store(mark, 1);
			return true;
		}
		(void)snpu_add(&n->credit, (int64_t)PIECE);
		if (!fill(n))
			return false;
	}
	return true;
}

bool snpu_mem_touch(struct snpu_npu *n, uint64_t off, uint64_t len)
{
	uint64_t i, last = (off + len - 1) / PIECE;

	for (i = off / PIECE; i <= last; i++)
		if (!take(n, &n->marks[i]))
			return false;
	return true;
}

void snpu_mem_scrub(struct snpu_npu *n, uint64_t off, uint64_t len)
{
	uint64_t i, last = (off + len - 1) / PIECE;

	for (i = off / PIECE; n->marks && i <= last; i++)
		snpu_store(&n->marks[i], 0);
}

bool snpu_mem_scratch(void *ctx, int64_t bytes, int64_t all)
{
	struct snpu_machine *m = ctx;
	bool ok = true;

	if (bytes > 0 && m->memory && all > SMALL_SCRATCH) {
		pthread_mutex_lock(&m->mem_lock);
		ok = room_for(m, NULL) >= (uint64_t)bytes;
		if (ok)
			(void)snpu_add(&m->scratch, bytes);
		pthread_mutex_unlock(&m->mem_lock);
	} else {
		(void)snpu_add(&m->scratch, bytes);
	}
	return ok;
}

void snpu_machine_get_memory(struct snpu_machine *m, struct snpu_machine_memory *mem)
{
	unsigned int i;

	*mem = (struct snpu_machine_memory) { .limit = m->memory };
	for (i = 0; i < m->npus; i++) {
		mem->hbm += resident(m->npu[i]);
		mem->refused += snpu_load(&m->npu[i]->mem_refused);
	}
	mem->scratch = (uint64_t)snpu_load(&m->scratch);
}

int snpu_mem_init(struct snpu_npu *n)
{
	if (!n->m->memory)
		return 0;
	n->marks = calloc(n->bar2_size / PIECE + 1, 1);
	return n->marks ? 0 : -1;
}
