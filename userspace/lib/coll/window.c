// SPDX-License-Identifier: MIT
/*
 * Windows: buffers that the other ranks may read, and write results to, where they are. Ranks
 * register them in the same order; window number k of one rank belongs to number k of the others.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "coll.h"

/* Ranks of this process look at each other's list */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void coll_windows_forked(void)
{
	pthread_mutex_init(&lock, NULL);
}

static void win_free(struct snpu_coll *c, struct coll_win *w)
{
	unsigned int i;

	for (i = 0; w->peer && i < c->topo.n; i++)
		snpu_mem_free(w->peer[i].mem);
	if (w->exported)
		snpu_seg_revoke(w->mem);
	snpu_mem_free(w->list);
	free(w->peer);
	free(w->entries);
	free(w);
}

unsigned int coll_with(const struct snpu_coll *c)
{
	return c->wins ? COLL_HAS_WINDOWS | c->lists : 0;
}

void coll_windows_free(struct snpu_coll *c)
{
	struct coll_win *w;

	while ((w = c->wins)) {
		pthread_mutex_lock(&lock);
		c->wins = w->next;
		pthread_mutex_unlock(&lock);
		win_free(c, w);
	}
}

struct coll_win *coll_window_of(struct snpu_coll *c, uint64_t va, uint64_t bytes, uint64_t *off)
{
	struct coll_win *w;

	for (w = c->wins; w; w = w->next) {
		*off = va - snpu_mem_va(w->mem);
		if (va >= snpu_mem_va(w->mem) && *off <= snpu_mem_size(w->mem) &&
		    bytes <= snpu_mem_size(w->mem) - *off)
			return w;
	}
	return NULL;
}

int coll_window_connect(struct snpu_coll *c, struct coll_win *w, unsigned int peer)
{
	struct snpu_coll *near = c->peer[peer].near;
	struct coll_win *other;
	int ret = -ENOENT;

	if (w->peer[peer].va)
		return 0;
	pthread_mutex_lock(&lock);
	for (other = near ? near->wins : NULL; other && other->number != w->number; )
		other = other->next;
	if (near && other && snpu_mem_size(other->mem) == snpu_mem_size(w->mem))
		ret = snpu_mem_share(c->ctx, other->mem, 0, &w->peer[peer].mem);
	else if (!near && w->entries)
		ret = snpu_seg_import(c->ctx, &w->entries[peer].seg, 0, &w->peer[peer].mem);
	pthread_mutex_unlock(&lock);
	if (ret == -ENOENT)
		return coll_fail(ret, "rank %u: rank %u has no window %u of %llu bytes", c->rank,
				 peer, w->number, (unsigned long long)snpu_mem_size(w->mem));
	if (ret)
		return coll_fail_snpu(ret, "rank %u: window %u of rank %u", c->rank, w->number,
				      peer);
	w->peer[peer].va = snpu_mem_va(w->peer[peer].mem);
	return 0;
}

int coll_window_list(struct snpu_coll *c, struct coll_win *w)
{
	const unsigned int n = c->topo.n;
	uint64_t *list;
	unsigned int i, k;
	void *ptr;
	int ret = 0;

	if (w->list)
		return 0;
	for (i = 0; i < n && !ret; i++)
		ret = i == c->rank ? 0 : coll_window_connect(c, w, i);
	if (ret)
		return ret;
	ret = snpu_mem_alloc(c->ctx, 2ull * n * sizeof(*list), SNPU_MEM_HBM, &w->list);
	if (!ret)
		ret = snpu_mem_map(w->list, &ptr);
	if (ret) {
		snpu_mem_free(w->list);
		w->list = NULL;
		return coll_fail_snpu(ret, "rank %u: list of window %u", c->rank, w->number);
	}
	list = ptr;
	for (i = 0, k = n; i < n; i++) {
		list[i] = i == c->rank ? snpu_mem_va(w->mem) : w->peer[i].va;
		if (i != c->rank)
			list[k++] = list[i];
	}
	return 0;
}

struct registering {
	struct snpu_coll *c;
	struct coll_win *w;
};

static int register_call(void *arg)
{
	struct registering *r = arg;
	struct snpu_coll *c = r->c;
	struct coll_win *w = r->w;
	struct coll_entry mine = { 0 };
	int ret;

	w->entries = calloc(c->topo.n, sizeof(*w->entries));
	if (!w->entries)
		return coll_fail(-ENOMEM, "snpu_coll_register");
	ret = snpu_seg_export(w->mem, SNPU_SEG_READ | SNPU_SEG_WRITE, NULL, &mine.seg);
	if (ret)
		return coll_fail_snpu(ret, "snpu_coll_register: rank %u", c->rank);
	w->exported = true;
	return coll_meet_once(c, 0x77696e00u + w->number, &mine, w->entries);
}

/**
 * snpu_coll_register() - let the other ranks read a buffer in place, and write results to it
 * @c: communicator
 * @mem: memory of its context, in HBM; stays until snpu_coll_unregister() or _destroy()
 *
 * Return: 0; -EINVAL; -EEXIST when it is registered; as snpu_coll_init_rank().
 */
COLL_EXPORT int snpu_coll_register(struct snpu_coll *c, struct snpu_mem *mem)
{
	struct registering r, *arg;
	struct coll_win *w;
	uint64_t off;
	int ret;

	if (!c || !mem || snpu_mem_ctx(mem) != c->ctx)
		return coll_fail(-EINVAL, "snpu_coll_register: comm or mem is NULL, or mem is not "
				 "of the communicator's context");
	ret = coll_own(c, "snpu_coll_register");
	if (ret)
		return ret;
	if (coll_window_of(c, snpu_mem_va(mem), 1, &off))
		return coll_fail(-EEXIST, "snpu_coll_register: rank %u: the memory at 0x%llx "
				 "is registered", c->rank, (unsigned long long)snpu_mem_va(mem));
	w = calloc(1, sizeof(*w));
	if (w)
		w->peer = calloc(c->topo.n, sizeof(*w->peer));
	if (!w || !w->peer) {
		free(w);
		return coll_fail(-ENOMEM, "snpu_coll_register");
	}
	w->mem = mem;
	w->number = c->num_wins++;
	pthread_mutex_lock(&lock);
	w->next = c->wins;
	c->wins = w;
	pthread_mutex_unlock(&lock);
	/* all of one process find each other when they need to */
	if (c->all_near)
		return 0;
	r = (struct registering) { c, w };
	if (!coll_grouped()) {
		ret = register_call(&r);
		return ret ? coll_fail_in("snpu_coll_register", ret) : 0;
	}
	arg = malloc(sizeof(*arg));
	if (!arg)
		return coll_fail(-ENOMEM, "snpu_coll_register");
	*arg = r;
	return coll_group_call(register_call, arg);
}

/**
 * snpu_coll_unregister() - nobody reads a buffer any more
 * @c: communicator, whose operations on the buffer are done on all ranks
 * @mem: memory that was registered
 *
 * Return: 0; -EINVAL; -ENOENT.
 */
COLL_EXPORT int snpu_coll_unregister(struct snpu_coll *c, struct snpu_mem *mem)
{
	struct coll_win **p, *w;
	int ret;

	if (!c || !mem)
		return coll_fail(-EINVAL, "snpu_coll_unregister: comm or mem is NULL");
	ret = coll_own(c, "snpu_coll_unregister");
	if (ret)
		return ret;
	pthread_mutex_lock(&lock);
	for (p = &c->wins; *p && (*p)->mem != mem; p = &(*p)->next)
		;
	w = *p;
	if (w)
		*p = w->next;
	pthread_mutex_unlock(&lock);
	if (!w)
		return coll_fail(-ENOENT, "snpu_coll_unregister: rank %u: the memory at 0x%llx is "
				 "not registered", c->rank, (unsigned long long)snpu_mem_va(mem));
	win_free(c, w);
	return 0;
}
