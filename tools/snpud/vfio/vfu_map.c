// SPDX-License-Identifier: MIT
/*
 * DMA_MAP, DMA_UNMAP, and what the device sees of the client's memory.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "vfu_priv.h"

static void notify(void *priv)
{
	struct snpu_vfu_dev *d = priv;

	if (d->ops->dma_lost)
		d->ops->dma_lost(d->priv);
}

int vfu_maps_init(struct snpu_vfu_dev *d)
{
	d->lost.notify = notify;
	d->lost.priv = d;
	return vfu_table_init(&d->table, d->srv->cfg.max_dma_maps);
}

void vfu_maps_free(struct snpu_vfu_dev *d)
{
	vfu_table_fini(&d->table);
}

int vfu_cmd_dma_map(struct snpu_vfu_dev *d, struct vfu_req *q, struct vfu_reply *r)
{
	struct snpu_vfu_dma_map a;
	struct vfu_map m;
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
	if (vfu_table_first(&d->table, a.iova, a.iova + (a.size - 1), &m)) {
		vfu_complain(d, "DMA_MAP: %#" PRIx64 "..%#" PRIx64 " overlaps %#" PRIx64
			     "..%#" PRIx64,
			     a.iova, a.iova + (a.size - 1), m.iova, m.iova + (m.size - 1));
		return -EEXIST;
	}
	if (d->table.nr >= d->table.max) {
		vfu_complain(d, "DMA_MAP: %u regions are the limit", d->table.max);
		return -ENOSPC;
	}
	m = (struct vfu_map){ .iova = a.iova, .size = a.size, .prot = a.flags };
	if (q->fds.n) {
		ret = vfu_mem_get(d, q->fds.fd[0], a.offset, a.size,
				  a.flags & VFIO_DMA_MAP_FLAG_WRITE, &m.mem);
		if (ret)
			return ret;
		m.host = m.mem->host + (a.offset - m.mem->off);
	}
	ret = vfu_table_add(&d->table, &m);
	if (!ret && d->ops->dma_map)
		d->ops->dma_map(d->priv, m.iova, m.size);
	return ret;
}

void vfu_maps_drop(struct snpu_vfu_dev *d, void (*quiesce)(struct snpu_vfu_dev *d))
{
	vfu_table_clear(&d->table);
	vfu_mem_put_all(d);
	quiesce(d);
	vfu_mem_reap(d);
}

static void unmap_all_cb(struct snpu_vfu_dev *d)
{
	if (d->ops->dma_unmap)
		d->ops->dma_unmap(d->priv, 0, 0);
}

/* A region is gone, or with @more there is one more of the same memory */
static void count_region(void *ctx, const struct vfu_map *m, bool more)
{
	if (m->mem && more)
		m->mem->refs++;
	else if (m->mem)
		vfu_mem_put(ctx, m->mem);
}

/*
 * Takes [@iova, @last] out of the table. A region that the range cuts keeps the rest: what the
 * client takes back must not stay reachable, and what it has not taken back stays. A rest that has
 * no room in the table goes as well, so that later accesses fail rather than go astray.
 */
static int unmap_range(struct snpu_vfu_dev *d, uint64_t iova, uint64_t last)
{
	bool cut;
	int ret = vfu_table_cut(&d->table, iova, last, count_region, d, &cut);

	if (ret)
		vfu_complain(d, "DMA_UNMAP: %#" PRIx64 "..%#" PRIx64 " cuts a region in two, and "
			     "%u regions are the limit: the part above is unmapped too",
			     iova, last, d->table.max);
	/* nothing was there: no worker has to be waited for */
	if (!cut)
		return ret;
	vfu_dma_gate(d, true);
	if (d->ops->dma_unmap)
		d->ops->dma_unmap(d->priv, iova, last - iova + 1);
	vfu_dma_gate(d, false);
	vfu_mem_reap(d);
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
		if (!d->table.nr)
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

/* Is some of [@host, @host + @len) gone? @at: the first byte that is. Logs it once a connection */
static bool lost(struct snpu_vfu_dev *d, const void *host, uint64_t len, uintptr_t *at)
{
	struct vfu_lost_part *p = vfu_lost_find(&d->lost, host, len, at);
	unsigned int what = p == &d->lost.all ? 2 : 1;

	if (!p || (__atomic_fetch_or(&d->lost.told, what, __ATOMIC_RELAXED) & what))
		return p;
	if (what == 2)
		vfu_log(d->srv, SNPU_VFU_LOG_WARN,
			"%s: the client has shrunk more than %u files that it gave as DMA memory: "
			"the NPU reaches none of its memory until it connects again", d->name,
			VFU_LOST_MAX);
	else
		vfu_log(d->srv, SNPU_VFU_LOG_WARN,
			"%s: the client has shrunk a file that it gave as DMA memory (or the "
			"memory failed): the NPU cannot reach it any more", d->name);
	return p;
}

int snpu_vfu_dma_translate(struct snpu_vfu_dev *d, uint64_t iova, bool write, void **host,
			   uint64_t *run)
{
	struct vfu_map m;
	uintptr_t at;

	if (!vfu_table_find(&d->table, iova, &m) ||
	    !(m.prot & (write ? VFIO_DMA_MAP_FLAG_WRITE : VFIO_DMA_MAP_FLAG_READ)))
		return -EFAULT;
	*run = m.size - (iova - m.iova);
	if (!m.host) {
		*host = NULL;
		return -EOPNOTSUPP;
	}
	*host = m.host + (iova - m.iova);
	/* up to what the client has taken away */
	if (lost(d, *host, *run, &at)) {
		*run = at - (uintptr_t)*host;
		return *run ? 0 : -EFAULT;
	}
	return 0;
}

bool snpu_vfu_dma_lost(struct snpu_vfu_dev *d, const void *host, uint64_t len)
{
	uintptr_t at;

	return lost(d, host, len, &at);
}
