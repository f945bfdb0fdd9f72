// SPDX-License-Identifier: MIT
/*
 * direct transport: host memory.
 *
 * A buffer is a memfd, which the NPU's model maps. A file for each would end at the limit of open
 * files, so small buffers share files, arenas, once DIRECT_FILES buffers have one of their own. A
 * buffer in an arena cannot be exported: the descriptor would be one of its neighbours, too.
 *
 * Free memory of an arena is a hole: it reads as zero, and costs nothing.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "direct.h"

#define ARENA_BYTES	(64u << 20)	/* sparse */
#define SMALL_BYTES	SNPU_HUGE_SIZE	/* a buffer of that size or more has a file of its own */
#define DIRECT_FILES	1024u

/**
 * struct darena - a file that buffers share; under direct.host_lock
 * @next: of the set
 * @fd: the file
 * @va: what is free in it
 * @used: buffers
 */
struct darena {
	struct darena *next;
	int fd;
	struct snpu_va va;
	unsigned int used;
};

/* Buffers with a file of their own: a quarter of the descriptors that the process may open */
static unsigned int max_files(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) || rl.rlim_cur / 4 > DIRECT_FILES)
		return DIRECT_FILES;
	return (unsigned int)(rl.rlim_cur / 4);
}

/* The NPU's model maps it: sealed, it cannot shrink under the model */
static int new_file(uint64_t bytes)
{
	int fd = memfd_create("snpu-host", MFD_CLOEXEC | MFD_ALLOW_SEALING), ret;

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)bytes) || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW)) {
		ret = -errno;
		close(fd);
		return ret;
	}
	return fd;
}

static int arena_new(struct direct *d, struct darena **out)
{
	struct darena *a = calloc(1, sizeof(*a));
	int ret;

	if (!a)
		return -ENOMEM;
	a->fd = new_file(ARENA_BYTES);
	ret = a->fd < 0 ? a->fd : snpu_va_init(&a->va, 0, ARENA_BYTES);
	if (ret) {
		if (a->fd >= 0)
			close(a->fd);
		free(a);
		return ret;
	}
	a->next = d->arenas;
	d->arenas = a;
	*out = a;
	return 0;
}

static void arena_free(struct direct *d, struct darena *a)
{
	struct darena **p;

	for (p = &d->arenas; *p != a; p = &(*p)->next)
		;
	*p = a->next;
	close(a->fd);
	snpu_va_fini(&a->va);
	free(a);
}

/* A place in an arena; host_lock held */
static int arena_take(struct direct *d, struct dhost *h)
{
	struct darena *a;
	int ret = -ENOSPC;

	for (a = d->arenas; a; a = a->next) {
		ret = snpu_va_alloc(&a->va, h->bytes, SNPU_PAGE_SIZE, &h->off);
		if (ret != -ENOSPC)
			break;
	}
	if (ret == -ENOSPC) {
		ret = arena_new(d, &a);
		if (!ret)
			ret = snpu_va_alloc(&a->va, h->bytes, SNPU_PAGE_SIZE, &h->off);
	}
	if (ret)
		return ret;
	a->used++;
	h->arena = a;
	h->fd = a->fd;
	return 0;
}

static struct dhost *host_new(struct direct *d, uint64_t bytes)
{
	struct dhost *h = calloc(1, sizeof(*h));

	if (h) {
		h->d = d;
		h->bytes = bytes;
		h->fd = -1;
		atomic_init(&h->refs, 1);
	}
	return h;
}

int direct_host_alloc(struct direct *d, uint64_t bytes, struct dhost **out)
{
	struct dhost *h = host_new(d, bytes);
	int ret = 0;

	if (!h)
		return -ENOMEM;
	pthread_mutex_lock(&d->host_lock);
	if (bytes < SMALL_BYTES && d->host_files >= max_files()) {
		ret = arena_take(d, h);
	} else {
		h->fd = new_file(bytes);
		if (h->fd < 0)
			ret = h->fd;
		else
			d->host_files++;
	}
	pthread_mutex_unlock(&d->host_lock);
	if (ret) {
		free(h);
		return ret;
	}
	*out = h;
	return 0;
}

int direct_host_import(struct direct *d, int fd, uint64_t bytes, struct dhost **out)
{
	struct dhost *h = host_new(d, bytes);
	int ret = 0;

	if (!h)
		return -ENOMEM;
	h->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (h->fd < 0) {
		ret = -errno;
		free(h);
		return ret;
	}
	pthread_mutex_lock(&d->host_lock);
	d->host_files++;
	pthread_mutex_unlock(&d->host_lock);
	*out = h;
	return 0;
}

int direct_host_export(const struct dhost *h)
{
	int fd;

	if (h->arena)
		return -EMFILE;
	fd = fcntl(h->fd, F_DUPFD_CLOEXEC, 0);
	return fd < 0 ? -errno : fd;
}

struct dhost *direct_host_get(struct dhost *h)
{
	atomic_fetch_add(&h->refs, 1);
	return h;
}

void direct_host_put(struct dhost *h, bool reachable)
{
	struct direct *d = h->d;

	if (reachable)
		atomic_store(&h->reachable, true);
	if (atomic_fetch_sub(&h->refs, 1) != 1)
		return;
	pthread_mutex_lock(&d->host_lock);
	if (!h->arena) {
		close(h->fd);
		d->host_files--;
	} else if (!atomic_load(&h->reachable) &&
		   !fallocate(h->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)h->off,
			      (off_t)h->bytes)) {
		snpu_va_free(&h->arena->va, h->off, h->bytes);
		if (!--h->arena->used)
			arena_free(d, h->arena);
	}
	pthread_mutex_unlock(&d->host_lock);
	free(h);
}

void direct_host_drop(struct dhost *h)
{
	if (atomic_fetch_sub(&h->refs, 1) != 1)
		return;
	if (!h->arena)
		close(h->fd);
	free(h);
}

void direct_host_end(struct direct *d)
{
	/* what is left holds memory that an NPU may reach */
	while (d->arenas)
		arena_free(d, d->arenas);
}
