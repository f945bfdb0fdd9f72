// SPDX-License-Identifier: MIT
/*
 * Communicators whose ranks have to meet: ids, joining, splitting, shrinking. How they meet: meet.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "meet.h"

void coll_digest(const void *data, size_t n, uint64_t out[2])
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

void coll_uid_derive(struct snpu_coll_uid *out, const struct snpu_coll_uid *from, const void *data,
		     size_t n)
{
	uint64_t d[2], all[3];

	if (from)
		coll_digest(from->bytes, sizeof(from->bytes), d);
	else
		memset(d, 0, sizeof(d));
	memset(out, 0, sizeof(*out));
	memcpy(out->bytes + 16, d, sizeof(d));
	coll_digest(data, n, all);
	all[2] = n;
	memcpy(out->bytes + 32, all, sizeof(all));
	coll_digest(out->bytes, sizeof(out->bytes), d);
	memcpy(out->bytes, d, sizeof(d));
}

/**
 * snpu_coll_uid_of_name() - the id that belongs to a name
 * @name: 1 to 1,000 characters
 * @uid: receives it
 *
 * Two communicators of one name that are made at the same time find -EEXIST. The name may be used
 * again when the communicator is destroyed. Return: 0; -EINVAL.
 */
COLL_EXPORT int snpu_coll_uid_of_name(const char *name, struct snpu_coll_uid *uid)
{
	if (!name || !uid || !*name || strlen(name) > 1000)
		return coll_fail(-EINVAL, "snpu_coll_uid_of_name: a name of 1 to 1,000 characters");
	coll_uid_derive(uid, NULL, name, strlen(name));
	return 0;
}

/* From an empty communicator to one that works */
static int join(struct snpu_coll *c)
{
	struct coll_meet m = { .c = c };
	struct coll_entry mine, *entries = calloc(c->topo.n, sizeof(*entries));
	int ret = entries ? coll_entry_fill(c, &mine) : coll_fail(-ENOMEM, "communicator");

	if (!ret)
		ret = coll_meet_open(&m);
	if (!ret)
		ret = coll_meet_exchange(&m, 0, &mine, entries);
	if (!ret)
		ret = coll_seg_create(c, entries, &mine);
	if (!ret)
		ret = coll_meet_exchange(&m, 1, &mine, entries);
	if (!ret)
		ret = coll_ready(c, entries);
	if (!ret)
		ret = coll_meet_leave(&m);
	coll_meet_close(&m);
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
 * @nranks: ranks, 1 .. SNPU_COLL_MAX_RANKS
 * @uid: the same for all
 * @rank: which this is, 0 .. @nranks - 1, each once
 * @params: the same for all but @timeout_ns, or NULL
 *
 * Return: 0; -ETIMEDOUT when not all came; -EEXIST when this rank has come already, or rank 0 finds
 * the id in use; -EINVAL also when rank count or settings are not those of rank 0; -EPROTO when rank
 * 0 has a libsnpu_coll of another version; -ECONNRESET when rank 0 is gone; -ENOMEM; -ENOSPC;
 * -ENODEV.
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
	if (!ret)
		ret = join_or_defer(out, c);
	return ret ? coll_fail_in("snpu_coll_init_rank", ret) : 0;
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
	ret = coll_own(comm, "snpu_coll_shrink");
	if (ret)
		return ret;
	list = calloc(comm->topo.n + 1, sizeof(*list));
	if (!list)
		return coll_fail(-ENOMEM, "snpu_coll_shrink");
	for (i = 0; i < n; i++) {
		if (excluded[i] >= comm->topo.n || excluded[i] == comm->rank ||
		    list[excluded[i]]++) {
			free(list);
			return coll_fail(-EINVAL, "snpu_coll_shrink: rank %u of %u excludes %u: "
					 "each once, 0 to %u, not itself", comm->rank,
					 comm->topo.n, excluded[i], comm->topo.n - 1);
		}
	}
	for (i = rank = 0; i < comm->topo.n; i++) {
		rank += i < comm->rank && !list[i];
		kept += !list[i];
	}
	list[comm->topo.n] = ++comm->children;
	coll_uid_derive(&uid, &comm->uid, list, (comm->topo.n + 1) * sizeof(*list));
	free(list);
	ret = coll_new(&c, comm->ctx, kept, rank, &uid, params ? params : &comm->params);
	if (!ret)
		ret = join_or_defer(out, c);
	return ret ? coll_fail_in("snpu_coll_shrink", ret) : 0;
}

int coll_meet_once(struct snpu_coll *comm, unsigned int what, const struct coll_entry *mine,
		   struct coll_entry *entries)
{
	struct snpu_coll_uid uid;
	struct coll_meet m = { 0 };
	struct snpu_coll *c;
	int ret;

	coll_uid_derive(&uid, &comm->uid, &what, sizeof(what));
	ret = coll_new(&c, comm->ctx, comm->topo.n, comm->rank, &uid, &comm->params);
	if (ret)
		return ret;
	m.c = c;
	ret = coll_meet_open(&m);
	if (!ret)
		ret = coll_meet_exchange(&m, 0, mine, entries);
	if (!ret)
		ret = coll_meet_leave(&m);
	coll_meet_close(&m);
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
		coll_uid_derive(&uid, &comm->uid, &what, sizeof(what));
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
	int ret;

	if (!comm || !out)
		return coll_fail(-EINVAL, "snpu_coll_split: comm or out is NULL");
	ret = coll_own(comm, "snpu_coll_split");
	if (ret)
		return ret;
	*out = NULL;
	s.params = params ? *params : comm->params;
	if (!coll_grouped()) {
		ret = split_call(&s);
		return ret ? coll_fail_in("snpu_coll_split", ret) : 0;
	}
	arg = malloc(sizeof(*arg));
	if (!arg)
		return coll_fail(-ENOMEM, "snpu_coll_split");
	*arg = s;
	return coll_group_call(split_call, arg);
}
