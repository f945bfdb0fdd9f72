// SPDX-License-Identifier: MIT
/* Communicators: segments, who is mapped where, all ranks of one process. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "coll.h"

#define DRAIN_GRACE_NS	1000000000u	/* for the end of a wait to become known */

static void set_caps(struct snpu_coll *c, uint32_t caps)
{
	c->fused = caps & SNPU_CAP_ATOMIC;
	c->untimed = caps & SNPU_CAP_UNTIMED ? SNPU_PF_UNTIMED : 0;
	c->untimed_atomic = caps & SNPU_CAP_UNTIMED_ATOMIC ? SNPU_PF_UNTIMED : 0;
	if (caps & SNPU_CAP_MULTI)
		c->lists = COLL_HAS_LISTS | (caps & SNPU_CAP_IN_SWITCH ? COLL_HAS_SWITCHES : 0);
}

/*
 * Communicators that exist, so that a handle that was destroyed is recognised. Adding and removing
 * are one store each: a child of fork() finds the list whole whatever its parent was doing.
 */
static pthread_mutex_t all_lock = PTHREAD_MUTEX_INITIALIZER;
static struct snpu_coll *all;

static void list_add(struct snpu_coll *c)
{
	pthread_mutex_lock(&all_lock);
	c->next = all;
	__atomic_store_n(&all, c, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&all_lock);
}

/* Removes @c, of which nothing is read if it is not there. Return: whether it was there */
static bool list_del(const struct snpu_coll *c)
{
	struct snpu_coll **p;
	bool found;

	pthread_mutex_lock(&all_lock);
	for (p = &all; *p && *p != c; p = &(*p)->next)
		;
	found = *p;
	if (found)
		__atomic_store_n(p, c->next, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&all_lock);
	return found;
}

int coll_new(struct snpu_coll **out, struct snpu_ctx *ctx, unsigned int n, unsigned int rank,
	     const struct snpu_coll_uid *uid, const struct snpu_coll_params *params)
{
	struct snpu_info info;
	struct snpu_coll *c;
	int ret;

	if (!out || !ctx)
		return coll_fail(-EINVAL, "communicator: context, or where to put it, is NULL");
	if (!n || n > SNPU_COLL_MAX_RANKS || rank >= n)
		return coll_fail(-EINVAL, "communicator: rank %u of %u: 0 to %u of 1 to %u", rank,
				 n, n ? n - 1 : 0, SNPU_COLL_MAX_RANKS);
	c = calloc(1, sizeof(*c));
	if (!c)
		return coll_fail(-ENOMEM, "communicator");
	c->ctx = ctx;
	c->rank = rank;
	c->topo.n = n;
	c->uid = *uid;
	c->peer = calloc(n, sizeof(*c->peer));
	c->box = calloc(n, sizeof(*c->box));
	ret = coll_fork_add(c);
	if (!ret)
		ret = c->peer && c->box ? coll_params(&c->params, params) :
				  coll_fail(-ENOMEM, "communicator of %u ranks", n);
	if (!ret) {
		ret = snpu_get_info(snpu_ctx_snpu(ctx), snpu_ctx_index(ctx), &info, sizeof(info));
		if (ret)
			coll_fail_snpu(ret, "rank %u", rank);
		else
			set_caps(c, info.caps);
	}
	if (ret) {
		coll_free(c);
		return ret;
	}
	list_add(c);
	*out = c;
	return 0;
}

int coll_entry_fill(struct snpu_coll *c, struct coll_entry *e)
{
	struct snpu_info info;
	int ret = snpu_get_info(snpu_ctx_snpu(c->ctx), snpu_ctx_index(c->ctx), &info, sizeof(info));

	if (ret)
		return coll_fail_snpu(ret, "rank %u", c->rank);
	*e = (struct coll_entry) { .host = info.host, .slot = info.slot, .node = info.node_id };
	return 0;
}

/* Where the mailbox from @from begins in the segment of @to; the end: @from is the rank count */
static uint64_t box_offset(const struct snpu_coll *c, unsigned int to, unsigned int from)
{
	uint64_t at = COLL_HEAD_BYTES + c->topo.n * sizeof(struct coll_pair);
	unsigned int i;

	at = (at + 4095) & ~4095ull;
	for (i = 0; i < from; i++)
		at += c->boxes.slots * coll_piece(&c->boxes, &c->topo, to, i);
	return at;
}

/* What hosts the ranks are on is known: sizes of everything */
static int layout(struct snpu_coll *c, const struct coll_entry *entries)
{
	const unsigned int n = c->topo.n;
	unsigned int i, *hosts = calloc(n, sizeof(*hosts));
	uint64_t at;
	int ret;

	if (!hosts)
		return coll_fail(-ENOMEM, "communicator of %u ranks", n);
	for (i = 0; i < n; i++)
		hosts[i] = entries[i].host;
	ret = coll_topo_init(&c->topo, n, hosts);
	free(hosts);
	if (ret) {
		c->topo.n = n;
		return coll_fail(ret, "communicator of %u ranks", n);
	}
	coll_boxes_init(&c->boxes, &c->topo, c->params.slot_bytes, c->params.slots);
	at = box_offset(c, c->rank, 0);
	for (i = 0; i < n; i++) {
		c->box[i] = at;
		at += c->boxes.slots * coll_piece(&c->boxes, &c->topo, c->rank, i);
	}
	c->seg_bytes = at;
	return 0;
}

int coll_seg_create(struct snpu_coll *c, const struct coll_entry *entries, struct coll_entry *e)
{
	void *ptr;
	int ret;

	ret = layout(c, entries);
	if (ret)
		return ret;
	ret = snpu_mem_alloc(c->ctx, c->seg_bytes, SNPU_MEM_HBM | SNPU_MEM_CONTIG, &c->seg);
	if (!ret)
		ret = snpu_mem_map(c->seg, &ptr);
	if (ret)
		return coll_fail_snpu(ret, "rank %u: segment of %llu bytes", c->rank,
				      (unsigned long long)c->seg_bytes);
	c->head = ptr;
	c->va = snpu_mem_va(c->seg);
	if (!e)
		return 0;
	ret = snpu_seg_export(c->seg, SNPU_SEG_READ | SNPU_SEG_WRITE, NULL, &e->seg);
	return ret ? coll_fail_snpu(ret, "rank %u: segment", c->rank) : 0;
}

int coll_ready(struct snpu_coll *c, const struct coll_entry *entries)
{
	unsigned int i;

	for (i = 0; i < c->topo.n; i++) {
		struct coll_peer *p = &c->peer[i];

		p->entry = entries[i];
		p->pair = COLL_HEAD_BYTES + c->rank * sizeof(struct coll_pair);
	}
	return coll_watch_add(c);
}

/* Ranks of this process know each other's memory; the thread that watches connects, too */
static pthread_mutex_t connecting = PTHREAD_MUTEX_INITIALIZER;

void coll_comm_forked(void)
{
	pthread_mutex_init(&connecting, NULL);
	pthread_mutex_init(&all_lock, NULL);
}

static int connect_locked(struct snpu_coll *c, unsigned int peer)
{
	struct coll_peer *p = &c->peer[peer];
	int ret;

	if (p->va)
		return 0;
	if (p->near_mem)
		ret = snpu_mem_share(c->ctx, p->near_mem, 0, &p->mem);
	else if (p->entry.seg.version)
		ret = snpu_seg_import(c->ctx, &p->entry.seg, 0, &p->mem);
	else
		return coll_fail(-ECONNRESET, "rank %u: rank %u is gone", c->rank, peer);
	if (ret)
		return coll_fail_snpu(ret, "rank %u: segment of rank %u (NPU %u)", c->rank, peer,
				      p->entry.node);
	p->box = box_offset(c, peer, c->rank);
	p->va = snpu_mem_va(p->mem);
	return 0;
}

int coll_connect(struct snpu_coll *c, unsigned int peer)
{
	struct coll_peer *p = &c->peer[peer];
	int ret;

	if (peer == c->rank) {
		p->va = c->va;
		p->box = c->box[peer];
		return 0;
	}
	pthread_mutex_lock(&connecting);
	ret = connect_locked(c, peer);
	pthread_mutex_unlock(&connecting);
	return ret;
}

void coll_forget(struct snpu_coll *c, unsigned int peer)
{
	pthread_mutex_lock(&connecting);
	c->peer[peer].near = NULL;
	c->peer[peer].near_mem = NULL;
	pthread_mutex_unlock(&connecting);
}

void coll_free(struct snpu_coll *c)
{
	struct coll_old *old;
	unsigned int i;

	list_del(c);
	coll_windows_free(c);
	for (i = 0; c->peer && i < c->topo.n; i++)
		snpu_mem_free(c->peer[i].mem);
	while ((old = c->old_tmp)) {
		c->old_tmp = old->next;
		snpu_mem_free(old->mem);
		free(old);
	}
	coll_blocks_free(c);
	snpu_mem_free(c->tmp);
	snpu_mem_free(c->seg);
	coll_topo_fini(&c->topo);
	free(c->peer);
	free(c->box);
	free(c);
}

/* ---- all ranks in one process ---- */

static int all_of_them(struct snpu_coll **comms, struct coll_entry *e, unsigned int n)
{
	unsigned int i, k;
	int ret = 0;

	for (i = 0; i < n && !ret; i++)
		ret = coll_seg_create(comms[i], e, NULL);
	for (i = 0; i < n && !ret; i++) {
		comms[i]->all_near = true;
		for (k = 0; k < n; k++) {
			comms[i]->peer[k].near = comms[k];
			comms[i]->peer[k].near_mem = comms[k]->seg;
		}
		ret = coll_ready(comms[i], e);
	}
	return ret;
}

/**
 * snpu_coll_init_all() - a communicator of contexts of this process
 * @comms: receives @n communicators
 * @ctxs: contexts of one struct snpu, rank r is ctxs[r]
 * @n: ranks
 * @params: settings, or NULL
 *
 * Return: 0; -EINVAL; -ENOMEM; -ENOSPC; -ENODEV.
 */
COLL_EXPORT int snpu_coll_init_all(struct snpu_coll **comms, struct snpu_ctx *const *ctxs,
				   unsigned int n, const struct snpu_coll_params *params)
{
	struct snpu_coll_uid uid;
	struct coll_entry *e;
	unsigned int i;
	int ret;

	if (!comms || !ctxs || !n || n > SNPU_COLL_MAX_RANKS)
		return coll_fail(-EINVAL, "snpu_coll_init_all: comms or ctxs is NULL, or %u ranks: "
				 "1 to %u", n, SNPU_COLL_MAX_RANKS);
	memset(comms, 0, n * sizeof(*comms));
	ret = snpu_coll_get_uid(&uid);
	if (ret)
		return ret;
	e = calloc(n, sizeof(*e));
	if (!e)
		return coll_fail(-ENOMEM, "snpu_coll_init_all: %u ranks", n);
	for (i = 0; i < n && !ret; i++) {
		if (ctxs[i] && snpu_ctx_snpu(ctxs[i]) != snpu_ctx_snpu(ctxs[0]))
			ret = coll_fail(-EINVAL, "snpu_coll_init_all: rank %u is of another snpu",
					i);
		if (!ret)
			ret = coll_new(&comms[i], ctxs[i], n, i, &uid, params);
		if (!ret)
			ret = coll_entry_fill(comms[i], &e[i]);
	}
	if (!ret)
		ret = all_of_them(comms, e, n);
	free(e);
	for (i = 0; ret && i < n && comms[i]; i++) {
		coll_watch_del(comms[i]);
		coll_free(comms[i]);
		comms[i] = NULL;
	}
	return ret ? coll_fail_in("snpu_coll_init_all", ret) : 0;
}

/*
 * A peer may still be about to acknowledge what was sent last, though all results are here: the
 * segment must not go before, or its queue faults at the end of an operation that succeeded.
 */
static bool acknowledged(struct snpu_coll *c)
{
	const uint64_t half = c->boxes.slots / 2;
	struct coll_pair *pair = coll_pairs(c);
	unsigned int i;

	for (i = 0; i < c->topo.n; i++)
		if (__atomic_load_n(&pair[i].taken, __ATOMIC_ACQUIRE) <
		    c->peer[i].sent / half * half)
			return false;
	return true;
}

static bool pause_until(struct snpu_coll *c, uint64_t end)
{
	struct timespec nap = { 0, 50000 };

	if (!coll_left(end) || snpu_coll_async_error(c))
		return false;
	nanosleep(&nap, NULL);
	return true;
}

/* Changes whenever an operation moves on */
static uint64_t progress(struct snpu_coll *c)
{
	uint64_t sum = __atomic_load_n(&c->head->done, __ATOMIC_ACQUIRE);
	unsigned int i;

	for (i = 0; i < c->topo.n; i++)
		sum += coll_pairs(c)[i].came + coll_pairs(c)[i].taken;
	return sum;
}

/* When an operation that does not move from now on has outlasted its waits */
static uint64_t drain_end(const struct snpu_coll *c)
{
	uint64_t timeout = c->params.timeout_ns;

	if (timeout && timeout < SNPU_FOREVER - DRAIN_GRACE_NS)
		timeout += DRAIN_GRACE_NS;
	return coll_deadline(timeout);
}

/*
 * Until its last operation is done; a broken communicator has none that matters. An operation that
 * was submitted ends by itself: each of its waits has an end. One that has not moved for longer than
 * that was not submitted, and never ends: the communicator is broken, so that the queue does not run
 * on into memory that is freed.
 */
static void drain(struct snpu_coll *c)
{
	uint64_t seen = progress(c), now, end = drain_end(c);

	while (__atomic_load_n(&c->head->done, __ATOMIC_ACQUIRE) < c->ops) {
		if (!pause_until(c, end)) {
			if (!snpu_coll_async_error(c))
				coll_break_and_stop(c, -ETIMEDOUT);
			return;
		}
		now = progress(c);
		if (now == seen)
			continue;
		seen = now;
		end = drain_end(c);
	}
	/* a peer that died meanwhile acknowledges nothing */
	end = coll_deadline(SNPU_COLL_NOTICE_NS);
	while (!acknowledged(c) && pause_until(c, end))
		;
}

/**
 * snpu_coll_destroy() - free a rank
 * @c: communicator, or NULL; its operations were submitted, or it is broken
 *
 * Waits for outstanding operations of this rank, and until the other ranks have taken what it sent;
 * tells its neighbours that it leaves. An operation that was not submitted, and has not moved for
 * @timeout_ns, breaks the communicator: -ETIMEDOUT. An operation of all ranks that it has not called, when
 * another has or will, breaks the communicator: -ECONNRESET. Return: 0; -EINVAL: it was destroyed
 * before.
 */
COLL_EXPORT int snpu_coll_destroy(struct snpu_coll *c)
{
	if (!c)
		return 0;
	if (!list_del(c))
		return coll_fail(-EINVAL, "snpu_coll_destroy: %p is no live communicator: destroyed "
				 "before, or not from this library", (void *)c);
	if (coll_forked(c)) {
		coll_watch_drop(c);
		coll_free(c);
		return 0;
	}
	drain(c);
	if (c->watch)
		coll_leave(c);
	coll_watch_del(c);
	coll_free(c);
	return 0;
}

/** snpu_coll_count() - ranks */
COLL_EXPORT unsigned int snpu_coll_count(const struct snpu_coll *c)
{
	return c ? c->topo.n : 0;
}

/** snpu_coll_rank() - which of them this is */
COLL_EXPORT unsigned int snpu_coll_rank(const struct snpu_coll *c)
{
	return c ? c->rank : 0;
}

/** snpu_coll_ctx() - its context */
COLL_EXPORT struct snpu_ctx *snpu_coll_ctx(const struct snpu_coll *c)
{
	return c ? c->ctx : NULL;
}

/** snpu_coll_hosts() - hosts that the ranks are on */
COLL_EXPORT unsigned int snpu_coll_hosts(const struct snpu_coll *c)
{
	return c ? c->topo.hosts : 0;
}

/**
 * snpu_coll_host_of() - which host a rank is on
 * @c: communicator
 * @rank: rank
 *
 * Return: 0 .. snpu_coll_hosts() - 1, in order of their first rank; -EINVAL.
 */
COLL_EXPORT int snpu_coll_host_of(const struct snpu_coll *c, unsigned int rank)
{
	if (!c || rank >= c->topo.n)
		return coll_fail(-EINVAL, "snpu_coll_host_of: comm is NULL, or rank %u is not 0 to %d",
				 rank, c ? (int)c->topo.n - 1 : -1);
	return (int)c->topo.host[rank];
}

/**
 * snpu_coll_algo_of() - what an operation would be done by
 * @c: communicator
 * @op: SNPU_COLL_ALL_REDUCE...
 * @bytes: of the larger buffer
 *
 * Return: SNPU_COLL_RING...; -EINVAL.
 */
COLL_EXPORT int snpu_coll_algo_of(const struct snpu_coll *c, unsigned int op, uint64_t bytes)
{
	if (!c || op >= SNPU_COLL_OPS)
		return coll_fail(-EINVAL,
				 "snpu_coll_algo_of: comm is NULL, or operation %u is not 0 to %u",
				 op, SNPU_COLL_OPS - 1);
	return (int)coll_choose(&c->topo, &c->boxes, op, c->params.algo, bytes,
				coll_with(c));
}
