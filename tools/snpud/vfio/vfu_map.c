// SPDX-License-Identifier: MIT
/*
 * The DMA table: regions of the client's memory, sorted by address.
 *
 * Workers of the device look addresses up all the time and a client changes the table seldom, so
 * readers take no lock: @map_seq is odd while the table changes, and who finds that it moved looks
 * again. The array never moves and every field is read and written whole, so a reader that loses
 * the race sees nonsense, but never anything outside.
 */
#include <errno.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "vfu_priv.h"
#include "vfu_sigbus.h"

#define TRIES	64

#define get(p)		__atomic_load_n(&(p), __ATOMIC_RELAXED)
#define put(p, v)	__atomic_store_n(&(p), v, __ATOMIC_RELAXED)

static size_t table_bytes(const struct snpu_vfu_dev *d)
{
	return (size_t)d->srv->cfg.max_dma_maps * sizeof(struct vfu_map);
}

int vfu_maps_init(struct snpu_vfu_dev *d)
{
	void *p = mmap(NULL, table_bytes(d), PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	pthread_mutex_init(&d->map_lock, NULL);
	if (p == MAP_FAILED)
		return -ENOMEM;
	d->maps = p;
	return 0;
}

void vfu_maps_free(struct snpu_vfu_dev *d)
{
	if (d->maps)
		munmap(d->maps, table_bytes(d));
	pthread_mutex_destroy(&d->map_lock);
}

/* Number of regions that begin at or before @iova */
static unsigned int upper(struct snpu_vfu_dev *d, uint64_t iova)
{
	unsigned int lo = 0, hi = get(d->nr_maps);

	while (lo < hi) {
		unsigned int mid = lo + (hi - lo) / 2;

		if (get(d->maps[mid].iova) <= iova)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static bool lookup(struct snpu_vfu_dev *d, uint64_t iova, struct vfu_map *out)
{
	unsigned int i = upper(d, iova);
	struct vfu_map *m;

	if (!i)
		return false;
	m = &d->maps[i - 1];
	out->iova = get(m->iova);
	out->size = get(m->size);
	out->host = get(m->host);
	out->prot = get(m->prot);
	out->mem = get(m->mem);
	return iova - out->iova < out->size;
}

bool vfu_map_find(struct snpu_vfu_dev *d, uint64_t iova, struct vfu_map *out)
{
	bool ret;
	int i;

	for (i = 0; i < TRIES; i++) {
		unsigned int seq = __atomic_load_n(&d->map_seq, __ATOMIC_ACQUIRE);

		if (seq & 1) {
			sched_yield();
			continue;
		}
		ret = lookup(d, iova, out);
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (get(d->map_seq) == seq)
			return ret;
	}
	/* the writer may be off the CPU in the middle of it */
	pthread_mutex_lock(&d->map_lock);
	ret = lookup(d, iova, out);
	pthread_mutex_unlock(&d->map_lock);
	return ret;
}

static void change_begin(struct snpu_vfu_dev *d)
{
	pthread_mutex_lock(&d->map_lock);
	put(d->map_seq, d->map_seq + 1);
	__atomic_thread_fence(__ATOMIC_RELEASE);
}

static void change_end(struct snpu_vfu_dev *d)
{
	__atomic_store_n(&d->map_seq, d->map_seq + 1, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&d->map_lock);
}

static void put_map(struct vfu_map *to, const struct vfu_map *m)
{
	put(to->iova, m->iova);
	put(to->size, m->size);
	put(to->host, m->host);
	put(to->prot, m->prot);
	put(to->mem, m->mem);
}

/* Replaces the regions @at .. @at + @old - 1 by the @new ones of @m; only this thread writes */
static void replace(struct snpu_vfu_dev *d, unsigned int at, unsigned int old,
		    const struct vfu_map *m, unsigned int new)
{
	unsigned int i, n = d->nr_maps;

	change_begin(d);
	if (new > old)
		for (i = n; i > at + old; i--)
			put_map(&d->maps[i - 1 + new - old], &d->maps[i - 1]);
	else if (new < old)
		for (i = at + old; i < n; i++)
			put_map(&d->maps[i - (old - new)], &d->maps[i]);
	for (i = 0; i < new; i++)
		put_map(&d->maps[at + i], &m[i]);
	put(d->nr_maps, n + new - old);
	change_end(d);
}

/* A region is gone, and no thread uses it any more */
static void release(struct snpu_vfu_dev *d, const struct vfu_map *m)
{
	struct vfu_mem *mem = m->mem;

	if (!mem || --mem->refs)
		return;
	if (snpu_vfu_sigbus_del(mem->guard))
		vfu_log(d->srv, SNPU_VFU_LOG_WARN,
			"%s: client closed: it shrank the file behind DMA memory %#" PRIx64
			"..%#" PRIx64,
			d->name, m->iova, m->iova + m->size - 1);
	munmap(mem->host, mem->size);
	free(mem);
}

static int map_fd(struct snpu_vfu_dev *d, const struct snpu_vfu_dma_map *a, int fd,
		  struct vfu_map *m)
{
	size_t page = SNPU_VFU_PAGE;
	struct statfs fs;
	struct stat st;
	int prot = 0, guard;
	void *p;

	if (fstat(fd, &st) || fstatfs(fd, &fs))
		return -errno;
	if (!S_ISREG(st.st_mode)) {
		vfu_complain(d, "DMA_MAP: the descriptor is not a file of memory (mode %#o)",
			     st.st_mode);
		return -EINVAL;
	}
	if (a->offset > (uint64_t)st.st_size || a->size > (uint64_t)st.st_size - a->offset) {
		vfu_complain(d, "DMA_MAP: offset %#" PRIx64 ", size %#" PRIx64
			     ", but the file has %#jx bytes",
			     a->offset, a->size, (uintmax_t)st.st_size);
		return -EINVAL;
	}
	if (fs.f_type == HUGETLBFS_MAGIC)
		page = (size_t)fs.f_bsize;
	if (a->flags & VFIO_DMA_MAP_FLAG_READ)
		prot |= PROT_READ;
	if (a->flags & VFIO_DMA_MAP_FLAG_WRITE)
		prot |= PROT_WRITE;
	p = mmap(NULL, a->size, prot, MAP_SHARED | MAP_NORESERVE, fd, (off_t)a->offset);
	if (p == MAP_FAILED) {
		int ret = -errno;

		vfu_complain(d, "DMA_MAP: %#" PRIx64 " bytes cannot be mapped: %s", a->size,
			     strerror(-ret));
		return ret;
	}
	m->mem = malloc(sizeof(*m->mem));
	guard = m->mem ? snpu_vfu_sigbus_add(p, a->size, page, d->sock) : -1;
	if (guard < 0) {
		free(m->mem);
		munmap(p, a->size);
		return -ENOMEM;
	}
	*m->mem = (struct vfu_mem){ .host = p, .size = a->size, .refs = 1, .guard = guard };
	m->host = p;
	return 0;
}

int vfu_cmd_dma_map(struct snpu_vfu_dev *d, struct vfu_req *q, struct vfu_reply *r)
{
	struct snpu_vfu_dma_map a;
	struct vfu_map m, old;
	unsigned int at;
	int ret;

	(void)r;
	memcpy(&a, q->data, sizeof(a));
	if (a.argsz != sizeof(a)) {
		vfu_complain(d, "DMA_MAP: argsz %u, allowed %zu", a.argsz, sizeof(a));
		return -EINVAL;
	}
	if (!a.flags || (a.flags & ~(VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE))) {
		vfu_complain(d, "DMA_MAP: flags %#x, allowed 1..3", a.flags);
		return -EINVAL;
	}
	if (!a.size || (a.iova | a.size | a.offset) % SNPU_VFU_PAGE ||
	    a.iova + (a.size - 1) < a.iova || a.size > INT64_MAX || a.offset > INT64_MAX) {
		vfu_complain(d, "DMA_MAP: address %#" PRIx64 ", size %#" PRIx64 ", offset %#" PRIx64
			     ": not multiples of 4096, or beyond 64 bits",
			     a.iova, a.size, a.offset);
		return -EINVAL;
	}
	at = upper(d, a.iova + (a.size - 1));
	if (at && (old = d->maps[at - 1], old.iova + (old.size - 1) >= a.iova)) {
		vfu_complain(d, "DMA_MAP: %#" PRIx64 "..%#" PRIx64 " overlaps %#" PRIx64
			     "..%#" PRIx64,
			     a.iova, a.iova + (a.size - 1), old.iova, old.iova + (old.size - 1));
		return -EEXIST;
	}
	if (d->nr_maps >= d->srv->cfg.max_dma_maps) {
		vfu_complain(d, "DMA_MAP: %u regions are the limit", d->nr_maps);
		return -ENOSPC;
	}
	m = (struct vfu_map){ .iova = a.iova, .size = a.size, .prot = a.flags };
	if (q->fds.n) {
		ret = map_fd(d, &a, q->fds.fd[0], &m);
		if (ret)
			return ret;
	}

	replace(d, at, 0, &m, 1);
	if (d->ops->dma_map)
		d->ops->dma_map(d->priv, m.iova, m.size);
	return 0;
}

/* Empties the table in readers' eyes; the entries stay, for release() */
static unsigned int empty(struct snpu_vfu_dev *d)
{
	unsigned int n = d->nr_maps;

	change_begin(d);
	put(d->nr_maps, 0);
	change_end(d);
	return n;
}

void vfu_maps_drop(struct snpu_vfu_dev *d, void (*quiesce)(struct snpu_vfu_dev *d))
{
	unsigned int i, n = empty(d);

	quiesce(d);
	for (i = 0; i < n; i++)
		release(d, &d->maps[i]);
}

static void unmap_all_cb(struct snpu_vfu_dev *d)
{
	if (d->ops->dma_unmap)
		d->ops->dma_unmap(d->priv, 0, 0);
}

/*
 * Takes [@iova, @last] out of the table. A region that the range cuts keeps the rest: what the
 * client takes back must not stay reachable, and what it has not taken back stays. A rest that has
 * no room in the table goes as well, so that later accesses fail rather than go astray.
 */
static int unmap_range(struct snpu_vfu_dev *d, uint64_t iova, uint64_t last)
{
	unsigned int i, at = upper(d, iova), end = upper(d, last), n, rests = 0;
	struct vfu_map *gone, rest[2];
	int ret = 0;

	if (at && d->maps[at - 1].iova + (d->maps[at - 1].size - 1) >= iova)
		at--;
	n = end - at;
	/* nothing there: no worker has to be waited for */
	if (!n)
		return 0;
	gone = malloc(n * sizeof(*gone));
	if (!gone)
		return -ENOMEM;
	memcpy(gone, &d->maps[at], n * sizeof(*gone));
	if (gone[0].iova < iova) {
		rest[rests] = gone[0];
		rest[rests++].size = iova - gone[0].iova;
	}
	if (gone[n - 1].iova + (gone[n - 1].size - 1) > last) {
		uint64_t skip = last + 1 - gone[n - 1].iova;

		rest[rests] = gone[n - 1];
		rest[rests].iova += skip;
		rest[rests].size -= skip;
		if (rest[rests].host)
			rest[rests].host += skip;
		rests++;
	}
	for (i = 0; i < rests; i++)
		if (rest[i].mem)
			rest[i].mem->refs++;
	if (d->nr_maps + rests - n > d->srv->cfg.max_dma_maps) {
		vfu_complain(d, "DMA_UNMAP: %#" PRIx64 "..%#" PRIx64 " cuts a region in two, and "
			     "%u regions are the limit: what lies above is unmapped too",
			     iova, last, d->srv->cfg.max_dma_maps);
		if (rest[--rests].mem)
			rest[rests].mem->refs--;
		ret = -ENOSPC;
	}
	replace(d, at, n, rest, rests);

	vfu_dma_gate(d, true);
	if (d->ops->dma_unmap)
		d->ops->dma_unmap(d->priv, iova, last - iova + 1);
	vfu_dma_gate(d, false);
	for (i = 0; i < n; i++)
		release(d, &gone[i]);
	free(gone);
	return ret;
}

int vfu_cmd_dma_unmap(struct snpu_vfu_dev *d, struct vfu_req *q, struct vfu_reply *r)
{
	struct snpu_vfu_dma_unmap a;

	memcpy(&a, q->data, sizeof(a));
	if (a.argsz < sizeof(a)) {
		vfu_complain(d, "DMA_UNMAP: argsz %u, allowed from %zu", a.argsz, sizeof(a));
		return -EINVAL;
	}
	if (a.flags & ~VFIO_DMA_UNMAP_FLAG_ALL) {
		vfu_complain(d, "DMA_UNMAP: flags %#x, allowed 0 or %#x", a.flags,
			     VFIO_DMA_UNMAP_FLAG_ALL);
		return -EINVAL;
	}
	r->iov[0] = (struct iovec){ .iov_base = (void *)q->data, .iov_len = sizeof(a) };
	r->n = 1;
	if (a.flags) {
		if (!d->nr_maps)
			return 0;
		vfu_dma_gate(d, true);
		vfu_maps_drop(d, unmap_all_cb);
		vfu_dma_gate(d, false);
		return 0;
	}

	if (!a.size || (a.iova | a.size) % SNPU_VFU_PAGE || a.iova + (a.size - 1) < a.iova) {
		vfu_complain(d, "DMA_UNMAP: address %#" PRIx64 ", size %#" PRIx64
			     ": not multiples of 4096, size 0, or beyond 64 bits",
			     a.iova, a.size);
		return -EINVAL;
	}
	return unmap_range(d, a.iova, a.iova + (a.size - 1));
}

int snpu_vfu_dma_translate(struct snpu_vfu_dev *d, uint64_t iova, bool write, void **host,
			   uint64_t *run)
{
	struct vfu_map m;

	if (!vfu_map_find(d, iova, &m) ||
	    !(m.prot & (write ? VFIO_DMA_MAP_FLAG_WRITE : VFIO_DMA_MAP_FLAG_READ)))
		return -EFAULT;
	*run = m.size - (iova - m.iova);
	if (!m.host) {
		*host = NULL;
		return -EOPNOTSUPP;
	}
	*host = m.host + (iova - m.iova);
	return 0;
}
