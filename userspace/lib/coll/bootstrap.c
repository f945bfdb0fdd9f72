// SPDX-License-Identifier: MIT
/*
 * How ranks of different processes and guests find each other, with nothing but the fabric.
 *
 * Rank 0 makes a meeting place: a segment with a table of entries, entered into the directory under
 * a name made from the communicator's id. Every rank writes its entry there by a packet, counts up
 * a counter by another, waits for the counter to reach the rank count, and fetches the table. There
 * are two tables, since where ranks are decides how large their segments are. The place is taken
 * down when everybody has fetched the second one.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "coll.h"

#define ROUNDS		2
#define PAUSE_MIN_NS	1000000u
#define PAUSE_MAX_NS	100000000u
#define PLACE_MAGIC	0x326c6c6f63756e73ull	/* "snucoll2" */

/* First page of a meeting place; the tables follow */
struct place {
	uint64_t magic;
	uint64_t nranks;
	uint64_t came[ROUNDS];		/* entries in each table */
	uint64_t left;			/* ranks that need it no more */
};

/**
 * struct meet - a rank at the meeting place
 * @c: its communicator
 * @q: queue for this
 * @place: the place, own or imported
 * @va: its address
 * @own: it is own
 * @head: the CPU's view, if it is own
 * @local: memory for the own entry, and for the table
 * @ptr: the CPU's view
 * @end: CLOCK_MONOTONIC time when patience ends, ns
 */
struct meet {
	struct snpu_coll *c;
	struct snpu_queue *q;
	struct snpu_mem *place;
	uint64_t va;
	bool own;
	struct snpu_mem *local;
	uint8_t *ptr;
	uint64_t end;
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* 128 bits of FNV-1a from two starting points: names, not secrets */
static void digest(const void *data, size_t n, uint64_t out[2])
{
	const unsigned char *p = data;
	size_t i;

	out[0] = 0xcbf29ce484222325ull;
	out[1] = 0x6c62272e07bb0142ull;
	for (i = 0; i < n; i++) {
		out[0] = (out[0] ^ p[i]) * 0x100000001b3ull;
		out[1] = (out[1] ^ (p[i] + 0x9eu)) * 0x100000001b3ull;
		out[1] ^= out[1] >> 29;
	}
}

/**
 * snpu_coll_get_uid() - an id for a new communicator
 * @uid: receives it
 *
 * Return: 0; -EINVAL; an error of getrandom().
 */
COLL_EXPORT int snpu_coll_get_uid(struct snpu_coll_uid *uid)
{
	if (!uid)
		return coll_fail(-EINVAL, "snpu_coll_get_uid: uid is NULL");
	if (getrandom(uid->bytes, sizeof(uid->bytes), 0) != sizeof(uid->bytes))
		return coll_fail(-errno, "snpu_coll_get_uid: no random numbers");
	return 0;
}

/* An id that follows from another and some data */
static void derive(struct snpu_coll_uid *out, const struct snpu_coll_uid *from, const void *data,
		   size_t n)
{
	uint64_t d[2], all[3];

	if (from)
		digest(from->bytes, sizeof(from->bytes), d);
	else
		memset(d, 0, sizeof(d));
	memset(out, 0, sizeof(*out));
	memcpy(out->bytes + 16, d, sizeof(d));
	digest(data, n, all);
	all[2] = n;
	memcpy(out->bytes + 32, all, sizeof(all));
	digest(out->bytes, sizeof(out->bytes), d);
	memcpy(out->bytes, d, sizeof(d));
}

/**
 * snpu_coll_uid_of_name() - the id that belongs to a name
 * @name: 1 to 1,000 characters
 * @uid: receives it
 *
 * Two communicators of one name at the same time find -EEXIST. Return: 0; -EINVAL.
 */
COLL_EXPORT int snpu_coll_uid_of_name(const char *name, struct snpu_coll_uid *uid)
{
	if (!name || !uid || !*name || strlen(name) > 1000)
		return coll_fail(-EINVAL, "snpu_coll_uid_of_name: a name of 1 to 1,000 characters");
	derive(uid, NULL, name, strlen(name));
	return 0;
}

static void place_name(const struct snpu_coll_uid *uid, char name[SNPU_DIR_NAME_MAX])
{
	uint64_t d[2];

	digest(uid->bytes, sizeof(uid->bytes), d);
	snprintf(name, SNPU_DIR_NAME_MAX, "coll-%016llx%016llx", (unsigned long long)d[0],
		 (unsigned long long)d[1]);
}

static uint64_t table_at(const struct snpu_coll *c, unsigned int round)
{
	return SNPU_PAGE_SIZE + (uint64_t)round * c->topo.n * sizeof(struct coll_entry);
}

/* ---- at the place ---- */

static int open_place(struct meet *m)
{
	const unsigned int n = m->c->topo.n;
	struct place *head;
	char name[SNPU_DIR_NAME_MAX];
	void *ptr;
	int ret;

	place_name(&m->c->uid, name);
	ret = snpu_mem_alloc(m->c->ctx, table_at(m->c, ROUNDS), SNPU_MEM_HBM | SNPU_MEM_CONTIG,
			     &m->place);
	if (!ret)
		ret = snpu_mem_map(m->place, &ptr);
	if (ret)
		return coll_fail_snpu(ret, "meeting place of %u ranks", n);
	m->own = true;
	m->va = snpu_mem_va(m->place);
	head = ptr;
	head->magic = PLACE_MAGIC;
	head->nranks = n;
	ret = snpu_seg_export(m->place, SNPU_SEG_READ | SNPU_SEG_WRITE, name, NULL);
	return ret ? coll_fail_snpu(ret, "meeting place %s", name) : 0;
}

/* Rank 0 may come later than the others */
static int find_place(struct meet *m)
{
	uint64_t pause = PAUSE_MIN_NS;
	char name[SNPU_DIR_NAME_MAX];
	struct timespec ts = { 0 };
	int ret;

	place_name(&m->c->uid, name);
	while ((ret = snpu_seg_import_name(m->c->ctx, name, 0, &m->place)) == -ENOENT &&
	       now_ns() < m->end) {
		ts.tv_nsec = (long)pause;
		nanosleep(&ts, NULL);
		pause = pause * 2 < PAUSE_MAX_NS ? pause * 2 : PAUSE_MAX_NS;
	}
	if (ret == -ENOENT)
		return coll_fail(-ETIMEDOUT, "rank %u of %u: rank 0 did not come: nobody published "
				 "%s", m->c->rank, m->c->topo.n, name);
	if (ret)
		return coll_fail_snpu(ret, "rank %u: meeting place %s", m->c->rank, name);
	m->va = snpu_mem_va(m->place);
	return 0;
}

static uint64_t left_ns(const struct meet *m)
{
	uint64_t now = now_ns();

	return now < m->end ? m->end - now : 1;
}

/* What stopped a queue of the meeting */
static int meet_error(struct meet *m, int ret, unsigned int round)
{
	struct snpu_error err = { 0 };
	struct place head = { 0 };
	char text[160];

	if (ret == -ETIME || (ret == -EIO && !snpu_queue_error(m->q, &err, sizeof(err)) &&
			      err.code == SNPU_ERR_TIMEOUT)) {
		if (m->own) {
			void *ptr;

			snpu_mem_map(m->place, &ptr);
			memcpy(&head, ptr, sizeof(head));
			return coll_fail(-ETIMEDOUT, "rank %u of %u: only %llu ranks came",
					 m->c->rank, m->c->topo.n,
					 (unsigned long long)head.came[round]);
		}
		return coll_fail(-ETIMEDOUT, "rank %u of %u: not all ranks came", m->c->rank,
				 m->c->topo.n);
	}
	snpu_error_format(&err, text, sizeof(text));
	return coll_fail(err.code == SNPU_ERR_FABRIC ? -ECONNRESET : ret,
			 "rank %u of %u: meeting place: %s", m->c->rank, m->c->topo.n, text);
}

static int run(struct meet *m, unsigned int round)
{
	uint64_t pos;
	int ret = snpu_queue_submit(m->q, &pos);

	if (!ret)
		ret = snpu_queue_wait(m->q, pos, left_ns(m) + 1000000000u);
	return ret ? meet_error(m, ret, round) : 0;
}

/* Gives @mine, gets those of all ranks */
static int exchange(struct meet *m, unsigned int round, const struct coll_entry *mine,
		    struct coll_entry *entries)
{
	const unsigned int n = m->c->topo.n;
	const uint64_t local = snpu_mem_va(m->local), bytes = n * sizeof(*entries);
	const uint64_t came = m->va + offsetof(struct place, came) + 8 * round;
	int ret;

	memcpy(m->ptr + bytes, mine, sizeof(*mine));
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	snpu_prep_copy(snpu_queue_get(m->q), m->va + table_at(m->c, round) +
		       m->c->rank * sizeof(*mine), local + bytes, sizeof(*mine));
	snpu_prep_signal(snpu_queue_get(m->q), came, 1, SNPU_SEM_ADD);
	snpu_prep_wait(snpu_queue_get(m->q), came, n, SNPU_SEM_GE, left_ns(m));
	snpu_prep_copy(snpu_queue_get(m->q), local, m->va + table_at(m->c, round), bytes);
	ret = run(m, round);
	if (!ret)
		memcpy(entries, m->ptr, bytes);
	return ret;
}

/* Rank 0 stays until the others have what they need */
static int leave(struct meet *m)
{
	const uint64_t left = m->va + offsetof(struct place, left);

	if (m->own)
		snpu_prep_wait(snpu_queue_get(m->q), left, m->c->topo.n - 1, SNPU_SEM_GE,
			       left_ns(m));
	else
		snpu_prep_signal(snpu_queue_get(m->q), left, 1, SNPU_SEM_ADD);
	return run(m, ROUNDS - 1);
}

static int meet_open(struct meet *m)
{
	struct snpu_queue_params params = { .field_mask = SNPU_QUEUE_ENTRIES, .entries = 16 };
	struct snpu_coll *c = m->c;
	uint64_t bytes = (c->topo.n + 1) * sizeof(struct coll_entry);
	void *ptr;
	int ret;

	m->end = now_ns() + (c->params.timeout_ns ? c->params.timeout_ns : UINT64_MAX / 4);
	ret = snpu_queue_create(c->ctx, &params, &m->q);
	if (!ret)
		ret = snpu_mem_alloc(c->ctx, bytes, SNPU_MEM_HBM, &m->local);
	if (!ret)
		ret = snpu_mem_map(m->local, &ptr);
	if (ret)
		return coll_fail_snpu(ret, "rank %u", c->rank);
	m->ptr = ptr;
	return c->rank ? find_place(m) : open_place(m);
}

static void meet_close(struct meet *m)
{
	snpu_queue_destroy(m->q);
	snpu_mem_free(m->place);
	snpu_mem_free(m->local);
}

/* From an empty communicator to one that works */
static int join(struct snpu_coll *c)
{
	struct meet m = { .c = c };
	struct coll_entry mine, *entries = calloc(c->topo.n, sizeof(*entries));
	int ret = entries ? coll_entry_fill(c, &mine) : coll_fail(-ENOMEM, "communicator");

	if (!ret)
		ret = meet_open(&m);
	if (!ret)
		ret = exchange(&m, 0, &mine, entries);
	if (!ret)
		ret = coll_seg_create(c, entries, &mine);
	if (!ret)
		ret = exchange(&m, 1, &mine, entries);
	if (!ret)
		ret = coll_ready(c, entries);
	if (!ret)
		ret = leave(&m);
	meet_close(&m);
	free(entries);
	return ret;
}

/* ---- calls that wait for other ranks; in a group, each in a thread of its own ---- */

struct joining {
	struct snpu_coll **out;
	struct snpu_coll *c;
};

static int join_call(void *arg)
{
	struct joining *j = arg;
	int ret = join(j->c);

	if (ret) {
		coll_watch_del(j->c);
		coll_free(j->c);
	} else {
		*j->out = j->c;
	}
	return ret;
}

static int join_or_defer(struct snpu_coll **out, struct snpu_coll *c)
{
	struct joining j = { out, c }, *arg;

	*out = NULL;
	if (!coll_grouped())
		return join_call(&j);
	arg = malloc(sizeof(*arg));
	if (!arg) {
		coll_free(c);
		return coll_fail(-ENOMEM, "group");
	}
	*arg = j;
	return coll_group_call(join_call, arg);
}

/**
 * snpu_coll_init_rank() - join a communicator
 * @out: receives it; in a group, at its end
 * @ctx: context of the rank
 * @nranks: ranks
 * @uid: the same for all
 * @rank: which this is
 * @params: the same for all, or NULL
 *
 * Return: 0; -ETIMEDOUT when not all came; -EEXIST when rank 0 finds the id in use; -ECONNRESET;
 * -EINVAL; -ENOMEM; -ENOSPC; -ENODEV.
 */
COLL_EXPORT int snpu_coll_init_rank(struct snpu_coll **out, struct snpu_ctx *ctx,
				    unsigned int nranks, const struct snpu_coll_uid *uid,
				    unsigned int rank, const struct snpu_coll_params *params)
{
	struct snpu_coll *c;
	int ret;

	if (!out || !uid)
		return coll_fail(-EINVAL, "snpu_coll_init_rank: out or uid is NULL");
	ret = coll_new(&c, ctx, nranks, rank, uid, params);
	return ret ? ret : join_or_defer(out, c);
}

/**
 * snpu_coll_shrink() - a communicator without some ranks
 * @comm: communicator, may be broken
 * @excluded: ranks to leave out, in any order
 * @n: how many
 * @out: receives it; in a group, at its end
 * @params: the same for all, or NULL
 *
 * Return: as snpu_coll_init_rank(); -EINVAL also when @excluded has a rank twice, or this one.
 */
COLL_EXPORT int snpu_coll_shrink(struct snpu_coll *comm, const unsigned int *excluded,
				 unsigned int n, struct snpu_coll **out,
				 const struct snpu_coll_params *params)
{
	unsigned int i, rank, *list, kept = 0;
	struct snpu_coll_uid uid;
	struct snpu_coll *c;
	int ret;

	if (!comm || !out || (n && !excluded))
		return coll_fail(-EINVAL, "snpu_coll_shrink: comm, excluded or out is NULL");
	list = calloc(comm->topo.n + 1, sizeof(*list));
	if (!list)
		return coll_fail(-ENOMEM, "snpu_coll_shrink");
	for (i = 0; i < n; i++) {
		if (excluded[i] >= comm->topo.n || excluded[i] == comm->rank ||
		    list[excluded[i]]++) {
			free(list);
			return coll_fail(-EINVAL, "snpu_coll_shrink: rank %u of %u excludes %u",
					 comm->rank, comm->topo.n, excluded[i]);
		}
	}
	for (i = rank = 0; i < comm->topo.n; i++) {
		rank += i < comm->rank && !list[i];
		kept += !list[i];
	}
	list[comm->topo.n] = ++comm->children;
	derive(&uid, &comm->uid, list, (comm->topo.n + 1) * sizeof(*list));
	free(list);
	ret = coll_new(&c, comm->ctx, kept, rank, &uid, params ? params : &comm->params);
	return ret ? ret : join_or_defer(out, c);
}

int coll_meet_once(struct snpu_coll *comm, unsigned int what, const struct coll_entry *mine,
		   struct coll_entry *entries)
{
	struct snpu_coll_uid uid;
	struct meet m = { 0 };
	struct snpu_coll *c;
	int ret;

	derive(&uid, &comm->uid, &what, sizeof(what));
	ret = coll_new(&c, comm->ctx, comm->topo.n, comm->rank, &uid, &comm->params);
	if (ret)
		return ret;
	m.c = c;
	ret = meet_open(&m);
	if (!ret)
		ret = exchange(&m, 0, mine, entries);
	if (!ret)
		ret = leave(&m);
	meet_close(&m);
	coll_free(c);
	return ret;
}

struct splitting {
	struct snpu_coll *comm;
	struct snpu_coll **out;
	struct snpu_coll_params params;
	int color, key;
};

/* The ranks of one color: their number, and which this one is */
static unsigned int members(const struct snpu_coll *comm, const struct coll_entry *e,
			    unsigned int *rank)
{
	const struct coll_entry *me = &e[comm->rank];
	unsigned int i, n = 0;

	*rank = 0;
	for (i = 0; i < comm->topo.n; i++) {
		if (e[i].color != me->color)
			continue;
		n++;
		*rank += e[i].key < me->key || (e[i].key == me->key && i < comm->rank);
	}
	return n;
}

static int split_call(void *arg)
{
	struct splitting *s = arg;
	struct snpu_coll *comm = s->comm, *c;
	const unsigned int n = comm->topo.n;
	struct coll_entry *e = calloc(n, sizeof(*e));
	struct coll_entry mine = { .color = s->color, .key = s->key };
	struct snpu_coll_uid uid;
	struct { unsigned int child; int color; } what = { 0 };
	unsigned int count, rank;
	int ret;

	if (!e)
		return coll_fail(-ENOMEM, "snpu_coll_split");
	/* who is which color is found out at a meeting of all */
	what.child = ++comm->children;
	ret = coll_meet_once(comm, 0x73706c69u + what.child, &mine, e);
	if (!ret && s->color >= 0) {
		count = members(comm, e, &rank);
		what.color = s->color;
		derive(&uid, &comm->uid, &what, sizeof(what));
		ret = coll_new(&c, comm->ctx, count, rank, &uid, &s->params);
		if (!ret) {
			struct joining j = { s->out, c };

			ret = join_call(&j);
		}
	}
	free(e);
	return ret;
}

/**
 * snpu_coll_split() - communicators of parts of the ranks
 * @comm: communicator
 * @color: ranks with the same one come together; negative: joins none
 * @key: order among them, then by rank
 * @out: receives it, NULL for a negative @color; in a group, at its end
 * @params: the same for all of a color, or NULL: those of @comm
 *
 * Return: as snpu_coll_init_rank().
 */
COLL_EXPORT int snpu_coll_split(struct snpu_coll *comm, int color, int key, struct snpu_coll **out,
				const struct snpu_coll_params *params)
{
	struct splitting s = { comm, out, { 0 }, color, key }, *arg;

	if (!comm || !out)
		return coll_fail(-EINVAL, "snpu_coll_split: comm or out is NULL");
	*out = NULL;
	s.params = params ? *params : comm->params;
	if (!coll_grouped())
		return split_call(&s);
	arg = malloc(sizeof(*arg));
	if (!arg)
		return coll_fail(-ENOMEM, "snpu_coll_split");
	*arg = s;
	return coll_group_call(split_call, arg);
}
