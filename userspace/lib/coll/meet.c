// SPDX-License-Identifier: MIT
/*
 * How ranks of different processes and guests find each other, with nothing but the fabric.
 *
 * Rank 0 makes a meeting place: a segment with a table of entries, entered into the directory under
 * a name made from the communicator's id. Every other rank looks the name up and takes its seat: it
 * compares rank count and settings with those of the place, and changes the word of its seat from 0
 * to 1 by an atomic compare-and-swap. So a rank that is given twice, or has other numbers, gets an
 * error, and leaves the others alone. Then every rank writes its entry by a packet, counts up a
 * counter by another, waits for the counter to reach the rank count, and fetches the table. There
 * are two tables, since where ranks are decides how large their segments are. The place is taken
 * down when all ranks have fetched the second one.
 *
 * An id may be used again as soon as a rank has left its communicator. Rank 0 may then still have
 * the place of the last meeting. Such a place is full: all ranks have come there, so it is not for
 * the one that looks. It pauses and looks again. Each meeting has a number of its own, which goes
 * into the id, so that communicators made one after the other with one id are never mixed up.
 *
 * Reading the place and taking a seat depend on which rank comes first, so they are no part of
 * virtual time.
 */
#include "meet.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define PAUSE_MIN_NS	1000000u
#define PAUSE_MAX_NS	100000000u
#define GRACE_NS	1000000000u	/* for the answer to a packet that waits until the end */
#define PLACE_NAME	"snucoll"	/* and the version, a digit; the last byte of the word is 0 */
#define PLACE_VERSION	3

/**
 * struct coll_place - first page of a meeting place
 * @magic: PLACE_NAME and PLACE_VERSION
 * @nranks: ranks
 * @came_v2: libraries of version 2 do not look at @magic; they count up here, and nothing waits
 *	for that
 * @left_v2: likewise
 * @nonce: number of this meeting
 * @slots: settings that must be the same on all ranks
 * @slot_bytes: likewise
 * @algo: likewise
 * @came: entries in each table
 * @left: ranks that need the place no more
 * @refused: a rank that was turned away: (rank + 1) << 32 | its rank count; 0: none
 *
 * Behind the first page there is room where version 2 has its entries, then a word for each seat,
 * then the tables.
 */
struct coll_place {
	uint64_t magic;
	uint64_t nranks;
	uint64_t came_v2[2];
	uint64_t left_v2;
	uint64_t nonce[2];
	uint64_t slots;
	uint64_t slot_bytes;
	uint64_t algo;
	uint64_t came[COLL_MEET_ROUNDS];
	uint64_t left;
	uint64_t refused;
};
_Static_assert(sizeof(struct coll_place) <= SNPU_PAGE_SIZE, "place");

static uint64_t magic_of(unsigned int version)
{
	uint64_t word = 0;

	memcpy(&word, PLACE_NAME, sizeof(PLACE_NAME) - 1);
	return word | (uint64_t)('0' + version) << 56;
}

static void place_name(const struct snpu_coll_uid *uid, char name[SNPU_DIR_NAME_MAX])
{
	uint64_t d[2];

	coll_digest(uid->bytes, sizeof(uid->bytes), d);
	snprintf(name, SNPU_DIR_NAME_MAX, "coll-%016llx%016llx", (unsigned long long)d[0],
		 (unsigned long long)d[1]);
}

static uint64_t seats_at(const struct snpu_coll *c)
{
	return SNPU_PAGE_SIZE + (uint64_t)c->topo.n * sizeof(struct coll_entry);
}

static uint64_t table_at(const struct snpu_coll *c, unsigned int round)
{
	const uint64_t n = c->topo.n;

	return seats_at(c) + n * sizeof(uint64_t) + round * n * sizeof(struct coll_entry);
}

/* ---- packets ---- */

/* Runs what is in the queue: 0, or an error without a text */
static int run(struct coll_meet *m)
{
	uint64_t left = coll_left(m->end), pos;
	int ret = snpu_queue_submit(m->q, &pos);

	left = left < SNPU_FOREVER - GRACE_NS ? left + GRACE_NS : SNPU_FOREVER;
	return ret ? ret : snpu_queue_wait(m->q, pos, left);
}

static unsigned int fault_of(const struct coll_meet *m)
{
	struct snpu_error err = { 0 };

	return snpu_queue_error(m->q, &err, sizeof(err)) ? SNPU_ERR_NONE : err.code;
}

static int new_queue(struct coll_meet *m)
{
	struct snpu_queue_params params = { .field_mask = SNPU_QUEUE_ENTRIES, .entries = 16 };
	int ret;

	snpu_queue_destroy(m->q);
	m->q = NULL;
	ret = snpu_queue_create(m->c->ctx, &params, &m->q);
	return ret ? coll_fail_snpu(ret, "rank %u: queue for the meeting", m->c->rank) : 0;
}

/* Fetches @bytes of the place from @off on into the own memory; no part of virtual time */
static int fetch(struct coll_meet *m, uint64_t off, uint64_t bytes)
{
	union snpu_pkt *p = snpu_queue_get(m->q);

	snpu_prep_copy(p, snpu_mem_va(m->local), m->va + off, bytes);
	p->hdr.flags |= m->c->untimed;
	return run(m);
}

/* ---- errors ---- */

/* "missing: 2, 5": ranks whose seats are free, as many as there is room for */
static void missing(const uint64_t *seat, unsigned int n, char *text, size_t len)
{
	unsigned int i, named = 0;
	size_t at = 0;

	*text = 0;
	for (i = 0; i < n; i++) {
		if (seat[i])
			continue;
		if (named++ < 8)
			at += (size_t)snprintf(text + at, len - at, "%s%u",
					       named > 1 ? ", " : "; missing: ", i);
	}
	if (named > 8)
		snprintf(text + at, len - at, " and %u more", named - 8);
}

/* Not all ranks came in time: which ones did not, if that can still be found out */
static int too_late(struct coll_meet *m, unsigned int round)
{
	const unsigned int n = m->c->topo.n;
	struct coll_place head = { 0 };
	char who[128] = "", note[96] = "";

	if (m->head) {
		head = *m->head;
		missing((uint64_t *)((uint8_t *)m->head + seats_at(m->c)), n, who, sizeof(who));
	} else if (!new_queue(m)) {
		m->end = coll_deadline(GRACE_NS);
		if (!fetch(m, 0, sizeof(head)))
			memcpy(&head, m->ptr, sizeof(head));
		if (head.magic && !fetch(m, seats_at(m->c), n * sizeof(uint64_t)))
			missing((uint64_t *)m->ptr, n, who, sizeof(who));
	}
	if (head.came_v2[0])
		snprintf(note, sizeof(note), "; %" PRIu64 " came with an older libsnpu_coll",
			 head.came_v2[0]);
	else if (head.refused)
		snprintf(note, sizeof(note), "; rank %u of %u was turned away",
			 (unsigned int)(head.refused >> 32) - 1, (unsigned int)head.refused);
	if (!head.magic)
		return coll_fail(-ETIMEDOUT, "rank %u of %u: not all ranks came", m->c->rank, n);
	return coll_fail(-ETIMEDOUT, "rank %u of %u: %" PRIu64 " of %u ranks came%s%s", m->c->rank, n,
			 head.came[round], n, who, note);
}

/* What stopped the meeting */
static int meet_error(struct coll_meet *m, int ret, unsigned int round)
{
	struct snpu_error err = { 0 };
	char text[160];

	if (ret == -ETIME || (ret == -EIO && fault_of(m) == SNPU_ERR_TIMEOUT))
		return too_late(m, round);
	if (ret != -EIO || snpu_queue_error(m->q, &err, sizeof(err)))
		return coll_fail_snpu(ret, "rank %u of %u: meeting place", m->c->rank,
				      m->c->topo.n);
	snpu_error_format(&err, text, sizeof(text));
	if (err.code == SNPU_ERR_FABRIC)
		return coll_fail(-ECONNRESET, "rank %u of %u: rank 0 has gone: meeting place: %s",
				 m->c->rank, m->c->topo.n, text);
	return coll_fail(ret, "rank %u of %u: meeting place: %s", m->c->rank, m->c->topo.n, text);
}

/* ---- the place of another rank ---- */

/* Tells rank 0 that this one was turned away, for its message; it may be gone, which is no matter */
static void refuse(struct coll_meet *m)
{
	union snpu_pkt *p = snpu_queue_get(m->q);

	snpu_prep_signal(p, m->va + offsetof(struct coll_place, refused),
			 (uint64_t)(m->c->rank + 1) << 32 | m->c->topo.n, SNPU_SEM_SET);
	p->hdr.flags |= m->c->untimed;
	run(m);
}

/* Is it a place for this rank? 0; -EAGAIN: no, one of an earlier meeting; or what is wrong */
static int compare(struct coll_meet *m, const struct coll_place *head)
{
	const struct snpu_coll *c = m->c;
	const struct snpu_coll_params *p = &c->params;

	if ((head->magic ^ magic_of(0)) << 8)
		return coll_fail(-EPROTO, "rank %u of %u: the segment of that name is no meeting "
				 "place", c->rank, c->topo.n);
	if (head->magic != magic_of(PLACE_VERSION))
		return coll_fail(-EPROTO, "rank %u of %u: rank 0 has another libsnpu_coll: meetings "
				 "of version %c, here %u", c->rank, c->topo.n,
				 (int)(head->magic >> 56), PLACE_VERSION);
	m->full = head->came[0] >= head->nranks;
	if (m->full)
		return -EAGAIN;
	if (head->nranks != c->topo.n) {
		refuse(m);
		return coll_fail(-EINVAL, "rank %u of %u beside a communicator of %" PRIu64
				 ": all ranks must be given one rank count", c->rank, c->topo.n,
				 head->nranks);
	}
	if (head->slots != p->slots || head->slot_bytes != p->slot_bytes ||
	    head->algo != p->algo) {
		refuse(m);
		return coll_fail(-EINVAL, "rank %u of %u: algo %u, %u slots of %" PRIu64 " bytes, "
				 "but rank 0 has algo %" PRIu64 ", %" PRIu64 " slots of %" PRIu64
				 ": they must be the same", c->rank, c->topo.n, p->algo, p->slots,
				 p->slot_bytes, head->algo, head->slots, head->slot_bytes);
	}
	return 0;
}

/* A place that goes away while it is looked at is one of an earlier meeting */
static int look_error(struct coll_meet *m, int ret)
{
	return ret == -EIO && fault_of(m) == SNPU_ERR_FABRIC ? -EAGAIN : meet_error(m, ret, 0);
}

/* Reads the place that is mapped. As compare() */
static int look(struct coll_meet *m, struct coll_place *head)
{
	int ret = fetch(m, 0, sizeof(*head));

	if (ret)
		return look_error(m, ret);
	memcpy(head, m->ptr, sizeof(*head));
	return compare(m, head);
}

/* 0: the seat is this rank's; -EAGAIN: the place is none for it; or an error */
static int take_seat(struct coll_meet *m)
{
	const uint64_t seat = m->va + seats_at(m->c) + m->c->rank * sizeof(uint64_t);
	struct coll_place head;
	union snpu_pkt *p;
	int ret = look(m, &head);

	/* a device without ATOMIC: ranks that are given twice are not found out */
	if (!ret && m->c->fused) {
		p = snpu_queue_get(m->q);
		snpu_prep_atomic(p, SNPU_ATOMIC_CAS, seat, 1, 0, snpu_mem_va(m->local));
		p->hdr.flags |= m->c->untimed_atomic;
		ret = run(m);
		if (ret)
			return look_error(m, ret);
		if (__atomic_load_n((uint64_t *)m->ptr, __ATOMIC_ACQUIRE))
			return coll_fail(-EEXIST, "rank %u of %u has come already: each rank is "
					 "given once", m->c->rank, m->c->topo.n);
	}
	if (!ret)
		coll_uid_derive(&m->c->uid, &m->c->uid, head.nonce, sizeof(head.nonce));
	return ret;
}

/* A place that is none for this rank: forgets it, and waits a little. False: patience is over */
static bool again(struct coll_meet *m, uint64_t *pause)
{
	struct timespec ts = { 0 };

	snpu_mem_free(m->place);
	m->place = NULL;
	if (!coll_left(m->end))
		return false;
	ts.tv_nsec = (long)*pause;
	nanosleep(&ts, NULL);
	*pause = *pause * 2 < PAUSE_MAX_NS ? *pause * 2 : PAUSE_MAX_NS;
	return true;
}

/* Rank 0 may come later than the others, and have the place of an earlier meeting before that */
static int find_place(struct coll_meet *m)
{
	const struct snpu_coll *c = m->c;
	uint64_t pause = PAUSE_MIN_NS;
	char name[SNPU_DIR_NAME_MAX];
	int ret;

	place_name(&c->uid, name);
	do {
		/* the place was withdrawn and made again, with another token, between lookup and import */
		ret = snpu_seg_import_name(c->ctx, name, 0, &m->place);
		if (ret == -ENOENT || ret == -EACCES)
			continue;
		if (ret)
			return coll_fail_snpu(ret, "rank %u: meeting place %s", c->rank, name);
		m->va = snpu_mem_va(m->place);
		ret = take_seat(m);
		if (ret != -EAGAIN)
			return ret;
		/* its queue may have stopped */
		ret = new_queue(m);
		if (ret)
			return ret;
	} while (again(m, &pause));
	if (m->full)
		return coll_fail(-ETIMEDOUT, "rank %u of %u: all ranks of %s have come, and rank 0 "
				 "began no other meeting", c->rank, c->topo.n, name);
	return coll_fail(-ETIMEDOUT, "rank %u of %u: rank 0 did not come: no rank published %s",
			 c->rank, c->topo.n, name);
}

/* ---- the place of rank 0 ---- */

/* The name of the place is taken. 0: by an earlier meeting, which is over soon; or an error */
static int name_taken(struct coll_meet *m, const char *name)
{
	struct coll_meet other = { .c = m->c, .q = m->q, .local = m->local, .ptr = m->ptr,
				   .end = m->end };
	struct coll_place head;
	int ret = snpu_seg_import_name(m->c->ctx, name, 0, &other.place);

	if (ret == -ENOENT || ret == -EACCES)
		return 0;
	if (ret)
		return coll_fail_snpu(ret, "rank 0 of %u: meeting place %s", m->c->topo.n, name);
	other.va = snpu_mem_va(other.place);
	ret = look(&other, &head);
	snpu_mem_free(other.place);
	m->q = other.q;
	if (ret == -EAGAIN)
		return new_queue(m);
	return coll_fail(-EEXIST, "rank 0 of %u has come already, or another communicator has this "
			 "id: %s is published", m->c->topo.n, name);
}

static int open_place(struct coll_meet *m)
{
	struct snpu_coll *c = m->c;
	uint64_t pause = PAUSE_MIN_NS;
	char name[SNPU_DIR_NAME_MAX];
	struct coll_place *head;
	struct timespec ts = { 0 };
	void *ptr;
	int ret;

	place_name(&c->uid, name);
	ret = snpu_mem_alloc(c->ctx, table_at(c, COLL_MEET_ROUNDS), SNPU_MEM_HBM | SNPU_MEM_CONTIG,
			     &m->place);
	if (!ret)
		ret = snpu_mem_map(m->place, &ptr);
	if (ret)
		return coll_fail_snpu(ret, "meeting place of %u ranks", c->topo.n);
	m->va = snpu_mem_va(m->place);
	head = ptr;
	m->head = head;
	head->nranks = c->topo.n;
	head->slots = c->params.slots;
	head->slot_bytes = c->params.slot_bytes;
	head->algo = c->params.algo;
	if (getrandom(head->nonce, sizeof(head->nonce), 0) != sizeof(head->nonce))
		return coll_fail(-errno, "meeting place: no random numbers");
	*(uint64_t *)((uint8_t *)ptr + seats_at(c)) = 1;
	head->magic = magic_of(PLACE_VERSION);
	for (;;) {
		ret = snpu_seg_export(m->place, SNPU_SEG_READ | SNPU_SEG_WRITE, name, NULL);
		if (ret != -EEXIST)
			break;
		ret = name_taken(m, name);
		if (ret)
			return ret;
		if (!coll_left(m->end))
			return coll_fail(-EEXIST, "rank 0 of %u: the last meeting of this id does "
					 "not end: %s is published", c->topo.n, name);
		ts.tv_nsec = (long)pause;
		nanosleep(&ts, NULL);
		pause = pause * 2 < PAUSE_MAX_NS ? pause * 2 : PAUSE_MAX_NS;
	}
	if (ret)
		return coll_fail_snpu(ret, "meeting place %s", name);
	coll_uid_derive(&c->uid, &c->uid, head->nonce, sizeof(head->nonce));
	return 0;
}

/* ---- for all ranks ---- */

int coll_meet_open(struct coll_meet *m)
{
	struct snpu_coll *c = m->c;
	/* the table and the own entry; or the seats, or the head */
	uint64_t bytes = (c->topo.n + 1) * sizeof(struct coll_entry);
	void *ptr;
	int ret;

	_Static_assert(sizeof(struct coll_place) <= 2 * sizeof(struct coll_entry), "local memory");
	m->end = coll_deadline(c->params.timeout_ns);
	ret = new_queue(m);
	if (ret)
		return ret;
	ret = snpu_mem_alloc(c->ctx, bytes, SNPU_MEM_HBM, &m->local);
	if (!ret)
		ret = snpu_mem_map(m->local, &ptr);
	if (ret)
		return coll_fail_snpu(ret, "rank %u", c->rank);
	m->ptr = ptr;
	return c->rank ? find_place(m) : open_place(m);
}

int coll_meet_exchange(struct coll_meet *m, unsigned int round, const struct coll_entry *mine,
		       struct coll_entry *entries)
{
	const unsigned int n = m->c->topo.n;
	const uint64_t local = snpu_mem_va(m->local), bytes = n * sizeof(*entries);
	const uint64_t came = m->va + offsetof(struct coll_place, came) + 8 * round;
	int ret;

	memcpy(m->ptr + bytes, mine, sizeof(*mine));
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	snpu_prep_copy(snpu_queue_get(m->q), m->va + table_at(m->c, round) +
		       m->c->rank * sizeof(*mine), local + bytes, sizeof(*mine));
	snpu_prep_signal(snpu_queue_get(m->q), came, 1, SNPU_SEM_ADD);
	snpu_prep_wait(snpu_queue_get(m->q), came, n, SNPU_SEM_GE, coll_packet_timeout(m->end));
	snpu_prep_copy(snpu_queue_get(m->q), local, m->va + table_at(m->c, round), bytes);
	ret = run(m);
	if (ret)
		return meet_error(m, ret, round);
	memcpy(entries, m->ptr, bytes);
	return 0;
}

int coll_meet_leave(struct coll_meet *m)
{
	const uint64_t left = m->va + offsetof(struct coll_place, left);
	int ret;

	if (m->head)
		snpu_prep_wait(snpu_queue_get(m->q), left, m->c->topo.n - 1, SNPU_SEM_GE,
			       coll_packet_timeout(m->end));
	else
		snpu_prep_signal(snpu_queue_get(m->q), left, 1, SNPU_SEM_ADD);
	ret = run(m);
	return ret ? meet_error(m, ret, COLL_MEET_ROUNDS - 1) : 0;
}

void coll_meet_close(struct coll_meet *m)
{
	snpu_queue_destroy(m->q);
	snpu_mem_free(m->place);
	snpu_mem_free(m->local);
}
