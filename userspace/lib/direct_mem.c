// SPDX-License-Identifier: MIT
/*
 * direct transport: HBM and host memory, page tables, sharing.
 *
 * HBM lives until the last mapping of this process is freed. For another process it is a segment
 * of its own, named by a sealed descriptor file, and revoked when the memory is freed. What such a
 * file says is a claim: the token makes it good, at the exporter's NPU on every access.
 */
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "direct.h"

#define DESC_MAGIC	0x326d656d75706e73ull	/* "snpumem2" */

/* What an exported descriptor of HBM holds */
struct desc {
	uint64_t magic;
	uint64_t token;
	uint64_t bytes;
	uint32_t node;
	uint32_t seg;
	uint64_t rsvd[2];	/* zero */
};

/* ---- HBM ---- */

static int scrub(struct dnpu *n, uint64_t offset, uint64_t bytes)
{
	struct snpu_admin_mbox cmd = { .op = SNPU_ADM_SCRUB, .scrub = { offset, bytes } };

	return direct_admin(n, &cmd, NULL);
}

static int hbm_alloc(struct dnpu *n, uint64_t bytes, uint64_t *offset)
{
	uint64_t align = bytes >= SNPU_HUGE_SIZE ? SNPU_HUGE_SIZE : SNPU_PAGE_SIZE;
	int ret;

	pthread_mutex_lock(&n->lock);
	ret = n->lost ? -ENODEV : snpu_va_alloc(&n->hbm_va, bytes, align, offset);
	pthread_mutex_unlock(&n->lock);
	return ret;
}

/* Free HBM is zero: it is scrubbed before it is given back */
static int hbm_free(struct dnpu *n, uint64_t offset, uint64_t bytes)
{
	int ret = scrub(n, offset, bytes);

	/* what could not be scrubbed is not used again */
	if (ret)
		return ret;
	pthread_mutex_lock(&n->lock);
	snpu_va_free(&n->hbm_va, offset, bytes);
	pthread_mutex_unlock(&n->lock);
	return 0;
}

static struct dblock *block_get(struct dblock *b)
{
	pthread_mutex_lock(&b->n->lock);
	b->refs++;
	pthread_mutex_unlock(&b->n->lock);
	return b;
}

/* Ends the access of other processes; later ones fail at the device */
static int block_revoke(struct dblock *b)
{
	struct snpu_admin_mbox cmd = { .op = SNPU_ADM_SEG_REVOKE, .seg_export.seg = b->seg };
	int ret = direct_admin(b->n, &cmd, NULL);

	if (ret)
		return ret;
	pthread_mutex_lock(&b->n->lock);
	b->n->segs[b->seg] = false;
	pthread_mutex_unlock(&b->n->lock);
	return 0;
}

static int block_put(struct dblock *b)
{
	struct dnpu *n = b->n;
	struct dblock **p;
	bool last;
	int ret = 0;

	pthread_mutex_lock(&n->lock);
	last = !--b->refs;
	for (p = &n->exported; last && *p; p = &(*p)->next)
		if (*p == b) {
			*p = b->next;
			break;
		}
	pthread_mutex_unlock(&n->lock);
	if (!last)
		return 0;
	if (b->seg)
		ret = block_revoke(b);
	/* what others may still reach is not used again */
	if (!ret)
		ret = hbm_free(n, b->offset, b->bytes);
	free(b);
	return ret;
}

/* Gives a block an export slot, once */
static int block_export(struct dblock *b)
{
	struct dnpu *n = b->n;
	struct snpu_admin_mbox cmd = { .op = SNPU_ADM_SEG_EXPORT, .seg_export = {
		.access = SNPU_SEG_READ | SNPU_SEG_WRITE,
		.offset = b->offset, .bytes = b->bytes } };
	uint64_t token;
	uint32_t seg = 0;
	int ret = 0;

	pthread_mutex_lock(&n->share);
	if (b->seg)
		goto out;
	ret = direct_token(&token);
	if (ret)
		goto out;
	pthread_mutex_lock(&n->lock);
	for (seg = 1; seg < n->num_segs && n->segs[seg]; seg++)
		;
	if (seg < n->num_segs)
		n->segs[seg] = true;
	pthread_mutex_unlock(&n->lock);
	if (seg == n->num_segs) {
		ret = -ENOSPC;
		goto out;
	}
	cmd.seg_export.seg = seg;
	cmd.seg_export.token = token;
	ret = direct_admin(n, &cmd, NULL);
	pthread_mutex_lock(&n->lock);
	if (ret) {
		n->segs[seg] = false;
	} else {
		b->seg = seg;
		b->token = token;
		b->next = n->exported;
		n->exported = b;
	}
	pthread_mutex_unlock(&n->lock);
out:
	pthread_mutex_unlock(&n->share);
	return ret;
}

/* ---- host memory ---- */

static int host_attach(struct snpu_mem *mem, struct dmem *m)
{
	struct dnpu *n = direct_npu(mem->ctx);
	uint64_t align = mem->bytes >= SNPU_HUGE_SIZE ? SNPU_HUGE_SIZE : SNPU_PAGE_SIZE;
	int ret;

	pthread_mutex_lock(&n->lock);
	ret = snpu_va_alloc(&n->iova, mem->bytes, align, &m->iova);
	pthread_mutex_unlock(&n->lock);
	if (ret)
		return ret;
	ret = direct_error(n, snpu_vfuc_dma_map(n->c, m->iova, mem->bytes,
						VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
						m->host->fd, m->host->off));
	if (ret) {
		pthread_mutex_lock(&n->lock);
		snpu_va_free(&n->iova, m->iova, mem->bytes);
		pthread_mutex_unlock(&n->lock);
	}
	return ret;
}

static int host_alloc(struct snpu_mem *mem, struct dmem *m)
{
	int ret = direct_host_alloc(mem->ctx->snpu->priv, mem->bytes, &m->host);

	if (ret)
		return ret;
	ret = host_attach(mem, m);
	if (ret)
		direct_host_put(m->host, false);
	return ret;
}

int direct_mem_alloc(struct snpu_mem *mem)
{
	struct dnpu *n = direct_npu(mem->ctx);
	struct dmem *m = calloc(1, sizeof(*m));
	int ret = -ENOMEM;
	uint32_t status;

	if (!m)
		return snpu_fail(-ENOMEM, "snpu_mem_alloc");
	m->slot = -1;
	if (mem->flags & SNPU_MEM_HOST) {
		ret = host_alloc(mem, m);
	} else {
		if (mem->bytes >= SNPU_HUGE_SIZE)
			mem->bytes = (mem->bytes + SNPU_HUGE_SIZE - 1) &
				     ~(uint64_t)(SNPU_HUGE_SIZE - 1);
		/* nothing in here asks the device, which may be gone */
		ret = direct_reg32(n, SNPU_REG_STATUS, &status);
		if (!ret) {
			m->block = calloc(1, sizeof(*m->block));
			ret = -ENOMEM;
		}
		if (m->block)
			ret = hbm_alloc(n, mem->bytes, &m->block->offset);
		if (ret) {
			free(m->block);
		} else {
			m->block->n = n;
			m->block->bytes = mem->bytes;
			m->block->refs = 1;
		}
	}
	if (ret) {
		free(m);
		return snpu_fail(ret, "snpu_mem_alloc: %llu bytes of %s on NPU %u%s",
				 (unsigned long long)mem->bytes,
				 mem->flags & SNPU_MEM_HBM ? "HBM" : "host memory", n->npu->index,
				 snpu_fd_limit(ret));
	}
	mem->priv = m;
	return 0;
}

/* ---- page tables ---- */

struct pt {
	struct dnpu *n;
	struct dctx *c;
};

static uint64_t *entry(struct pt *p, __u64 table, unsigned int idx)
{
	return (uint64_t *)(p->n->hbm + table) + idx;
}

static __u64 pt_read(void *priv, __u64 table, unsigned int idx)
{
	return *(volatile uint64_t *)entry(priv, table, idx);
}

static void pt_write(void *priv, __u64 table, unsigned int idx, __u64 pte)
{
	*(volatile uint64_t *)entry(priv, table, idx) = pte;
}

static int pt_alloc(void *priv, __u64 *table)
{
	struct pt *p = priv;
	uint64_t offset;
	int ret = hbm_alloc(p->n, SNPU_PT_BYTES, &offset);

	if (!ret)
		*table = offset;
	return ret;
}

/* The device may still walk it: it is freed after the next invalidation */
static void pt_free(void *priv, __u64 table)
{
	struct dctx *c = ((struct pt *)priv)->c;

	if (c->nfreed == c->maxfreed) {
		size_t max = c->maxfreed ? 2 * c->maxfreed : 64;
		uint64_t *f = realloc(c->freed, max * sizeof(*f));

		/* the table is lost, which costs 4 KiB of HBM until the NPU is closed */
		if (!f)
			return;
		c->freed = f;
		c->maxfreed = max;
	}
	c->freed[c->nfreed++] = table;
}

static const struct snpu_pt_ops pt_ops = {
	.read = pt_read, .write = pt_write, .alloc = pt_alloc, .free = pt_free,
};

static int invalidate(struct dnpu *n, struct dctx *c, uint64_t va, uint64_t bytes)
{
	struct snpu_admin_mbox cmd = { .op = SNPU_ADM_TLB_INVAL, .tlb = { c->id, 0, va, bytes } };
	int ret;

	/* the tables before the command */
	atomic_thread_fence(memory_order_seq_cst);
	ret = direct_admin(n, &cmd, NULL);
	while (!ret && c->nfreed)
		hbm_free(n, c->freed[--c->nfreed], SNPU_PT_BYTES);
	return ret;
}

static int unmap(struct snpu_ctx *ctx, uint64_t va, uint64_t bytes)
{
	struct pt p = { direct_npu(ctx), ctx->priv };
	int ret;

	pthread_mutex_lock(&ctx->lock);
	ret = snpu_pt_unmap(&pt_ops, &p, p.c->root, va, bytes);
	if (!ret)
		ret = invalidate(p.n, p.c, va, bytes);
	pthread_mutex_unlock(&ctx->lock);
	return ret;
}

/* Import slot for what @m is; mappings of the same segment have it in common */
static int import_get(struct dnpu *n, struct dmem *m)
{
	struct snpu_admin_mbox cmd = { .op = SNPU_ADM_SEG_IMPORT };
	unsigned int i, slot, top;
	int ret = 0;

	pthread_mutex_lock(&n->share);
	slot = top = n->imports_top;
	for (i = 0; i < top; i++) {
		const struct dimport *im = &n->imports[i];

		if (!im->refs)
			slot = slot == top ? i : slot;
		else if (im->node == m->node && im->seg == m->seg && im->token == m->token)
			break;
	}
	if (i == top && slot == n->num_imports) {
		ret = -ENOSPC;
	} else if (i == top) {
		cmd.import.slot = i = slot;
		cmd.import.node = m->node;
		cmd.import.seg = m->seg;
		cmd.import.token = m->token;
		ret = direct_admin(n, &cmd, NULL);
		if (!ret) {
			n->imports[i] = (struct dimport){ m->node, m->seg, m->token, 0 };
			n->imports_top += i == top;
		}
	}
	if (!ret) {
		n->imports[i].refs++;
		m->slot = (int)i;
	}
	pthread_mutex_unlock(&n->share);
	return ret;
}

/* No entry of a page table names the slot for @m any more */
static int import_put(struct dnpu *n, struct dmem *m)
{
	struct snpu_admin_mbox cmd = { .op = SNPU_ADM_SEG_UNIMPORT };
	struct dimport *im = &n->imports[m->slot];
	int ret = 0;

	pthread_mutex_lock(&n->share);
	if (im->refs == 1) {
		cmd.import.slot = (uint32_t)m->slot;
		ret = direct_admin(n, &cmd, NULL);
	}
	/* a slot that the device keeps stays as it is, and can serve again */
	if (!ret)
		im->refs--;
	pthread_mutex_unlock(&n->share);
	m->slot = -1;
	return ret;
}

int direct_mem_bind(struct snpu_mem *mem)
{
	struct pt p = { direct_npu(mem->ctx), mem->ctx->priv };
	uint64_t access = SNPU_PTE_READ | (mem->flags & SNPU_MEM_READ_ONLY ? 0 : SNPU_PTE_WRITE);
	struct dmem *m = mem->priv;
	uint64_t leaf = 0;
	int ret = 0;

	if (m->host) {
		leaf = snpu_pte_leaf(SNPU_APERTURE_HOST, m->iova, 0, access);
	} else if (m->remote) {
		ret = import_get(p.n, m);
		if (!ret)
			leaf = snpu_pte_leaf(SNPU_APERTURE_FABRIC, m->offset,
					     (unsigned int)m->slot, access);
	} else {
		leaf = snpu_pte_leaf(SNPU_APERTURE_HBM, m->block->offset, 0, access);
	}
	if (!ret) {
		pthread_mutex_lock(&mem->ctx->lock);
		ret = snpu_pt_map(&pt_ops, &p, p.c->root, mem->va, mem->bytes, leaf);
		/* half a mapping is taken back */
		if (ret) {
			snpu_pt_unmap(&pt_ops, &p, p.c->root, mem->va, mem->bytes);
			invalidate(p.n, p.c, mem->va, mem->bytes);
		}
		/* the tables before any doorbell */
		atomic_thread_fence(memory_order_seq_cst);
		pthread_mutex_unlock(&mem->ctx->lock);
	}
	return ret ? snpu_fail(ret, "mapping %llu bytes at 0x%llx on NPU %u",
			       (unsigned long long)mem->bytes, (unsigned long long)mem->va,
			       p.n->npu->index) : 0;
}

int direct_mem_free(struct snpu_mem *mem, bool bound)
{
	struct dnpu *n = direct_npu(mem->ctx);
	struct dmem *m = mem->priv;
	int ret = bound ? unmap(mem->ctx, mem->va, mem->bytes) : 0, ret2 = 0, ret3 = 0;

	/* HBM is a view of the whole window, host memory and tables of descriptors are mappings */
	if (mem->ptr && m->host)
		munmap(mem->ptr, mem->bytes);
	if (m->host) {
		ret2 = direct_error(n, snpu_vfuc_dma_unmap(n->c, m->iova, mem->bytes));
		if (!ret2) {
			pthread_mutex_lock(&n->lock);
			snpu_va_free(&n->iova, m->iova, mem->bytes);
			pthread_mutex_unlock(&n->lock);
		}
		direct_host_put(m->host, ret2 != 0);
	}
	/* a slot that may still be in a page table is not given up */
	if (m->slot >= 0 && !ret)
		ret2 = import_put(n, m);
	if (m->block)
		ret3 = block_put(m->block);
	free(m);
	ret = ret ? ret : ret2 ? ret2 : ret3;
	return ret ? snpu_fail(ret, "snpu_mem_free: NPU %u", n->npu->index) : 0;
}

int direct_mem_map(struct snpu_mem *mem, void **ptr)
{
	struct dmem *m = mem->priv;
	void *p;

	if (m->block && mem->obj.check) {
		/* a view of its own, which can be taken away: that of the whole HBM stays */
		p = mremap(m->block->n->hbm + m->block->offset, 0, mem->bytes, MREMAP_MAYMOVE);
		if (p == MAP_FAILED)
			return snpu_fail(-errno, "snpu_mem_map: %llu bytes",
					 (unsigned long long)mem->bytes);
		*ptr = p;
		return 0;
	}
	if (m->block) {
		*ptr = m->block->n->hbm + m->block->offset;
		/* a buffer that large starts at a huge page; advice that is refused does no harm */
		if (mem->bytes >= SNPU_HUGE_SIZE)
			madvise(*ptr, mem->bytes & ~(SNPU_HUGE_SIZE - 1), MADV_HUGEPAGE);
		return 0;
	}
	if (m->remote)
		return snpu_fail(-EOPNOTSUPP, "snpu_mem_map: HBM of another process's NPU");
	p = mmap(NULL, mem->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, m->host->fd,
		 (off_t)m->host->off);
	if (p == MAP_FAILED)
		return snpu_fail(-errno, "snpu_mem_map: %llu bytes",
				 (unsigned long long)mem->bytes);
	*ptr = p;
	return 0;
}

/* ---- sharing ---- */

static int fail_export(const struct snpu_mem *mem, int err)
{
	const struct dmem *m = mem->priv;
	const struct dnpu *n = m->block ? m->block->n : direct_npu(mem->ctx);

	if (m->host && m->host->arena)
		return snpu_fail(err, "snpu_mem_export: the buffer has no file of its own, because "
				 "too many had one when it was allocated%s", snpu_fd_limit(err));
	if (err == -ENOSPC)
		return snpu_fail(err, "snpu_mem_export: all %u export slots of NPU %u are in use",
				 n->num_segs - 1, n->npu->index);
	return snpu_fail(err, "snpu_mem_export: NPU %u%s", n->npu->index, snpu_fd_limit(err));
}

int direct_mem_export(struct snpu_mem *mem, int *out)
{
	struct dmem *m = mem->priv;
	struct desc d = {
		.magic = DESC_MAGIC, .bytes = mem->bytes,
		.token = m->token, .node = m->node, .seg = m->seg,
	};
	int fd, ret;

	if (m->host) {
		fd = direct_host_export(m->host);
		if (fd < 0)
			return fail_export(mem, fd);
		*out = fd;
		return 0;
	}
	if (m->block) {
		ret = block_export(m->block);
		if (ret)
			return fail_export(mem, ret);
		d.token = m->block->token;
		d.node = m->block->n->node;
		d.seg = m->block->seg;
	}
	fd = memfd_create("snpu-hbm", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return fail_export(mem, -errno);
	if (pwrite(fd, &d, sizeof(d), 0) != sizeof(d) ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL)) {
		int err = errno;

		close(fd);
		return fail_export(mem, -err);
	}
	*out = fd;
	return 0;
}

/*
 * The block that a descriptor names, with a reference, if an NPU of this set holds it; @ours: the
 * NPU is of this set
 */
static struct dblock *find_block(struct snpu *s, const struct desc *d, bool *ours)
{
	struct direct *set = s->priv;
	struct dblock *b = NULL;
	unsigned int i;

	*ours = false;
	pthread_mutex_lock(&set->lock);
	for (i = 0; i < s->count && !b; i++) {
		struct dnpu *n = s->npus[i].priv;

		if (!n->up || n->node != d->node)
			continue;
		*ours = true;
		pthread_mutex_lock(&n->lock);
		for (b = n->exported; b; b = b->next)
			if (b->seg == d->seg && b->token == d->token && b->bytes == d->bytes)
				break;
		if (b)
			b->refs++;
		pthread_mutex_unlock(&n->lock);
	}
	pthread_mutex_unlock(&set->lock);
	return b;
}

/* Maps a block of this process, whose reference it takes over */
static void use_block(struct snpu_mem *mem, struct dmem *m, struct dblock *b)
{
	mem->bytes = b->bytes;
	m->block = b;
	m->remote = b->n != direct_npu(mem->ctx);
	m->node = b->n->node;
	m->seg = 0;
	m->token = b->n->token;
	m->offset = b->offset;
}

static int import_hbm(struct snpu_mem *mem, struct dmem *m, const struct desc *d)
{
	struct dblock *b;
	bool ours;

	if (!d->bytes || (d->bytes & (SNPU_PAGE_SIZE - 1)) || d->bytes > 1ull << 46 ||
	    !d->token || d->node >= mem->ctx->npu->info.machine_npus || d->rsvd[0] || d->rsvd[1])
		return -EINVAL;
	b = find_block(mem->ctx->snpu, d, &ours);
	if (b) {
		use_block(mem, m, b);
		return 0;
	}
	/* the memory was freed, or never was */
	if (ours)
		return -EINVAL;
	mem->bytes = d->bytes;
	m->remote = true;
	m->node = d->node;
	m->seg = d->seg;
	m->token = d->token;
	return 0;
}

static int import_host(struct snpu_mem *mem, struct dmem *m, int fd)
{
	int ret;

	ret = direct_host_import(mem->ctx->snpu->priv, fd, mem->bytes, &m->host);
	if (ret)
		return ret;
	ret = host_attach(mem, m);
	if (ret)
		direct_host_put(m->host, false);
	return ret;
}

int direct_mem_share(struct snpu_mem *mem, struct snpu_mem *from)
{
	const struct dmem *f = from->priv;
	struct dmem *m = calloc(1, sizeof(*m));
	int ret = 0;

	if (!m)
		return snpu_fail(-ENOMEM, "snpu_mem_share");
	*m = (struct dmem){ .slot = -1 };
	mem->bytes = from->bytes;
	if (f->host) {
		m->host = direct_host_get(f->host);
		ret = host_attach(mem, m);
		if (ret)
			direct_host_put(m->host, false);
	} else if (f->block) {
		use_block(mem, m, block_get(f->block));
	} else {
		m->remote = true;
		m->node = f->node;
		m->seg = f->seg;
		m->token = f->token;
	}
	if (ret) {
		free(m);
		return snpu_fail(ret, "snpu_mem_share: with NPU %u%s", mem->ctx->npu->index,
				 snpu_fd_limit(ret));
	}
	mem->priv = m;
	return 0;
}

int direct_mem_import(struct snpu_mem *mem, int fd)
{
	struct dmem *m = calloc(1, sizeof(*m));
	struct desc d = { 0 };
	struct stat st;
	int seals, ret = 0;

	if (!m)
		return snpu_fail(-ENOMEM, "snpu_mem_import");
	m->slot = -1;
	seals = fcntl(fd, F_GET_SEALS);
	if (seals < 0 || fstat(fd, &st)) {
		ret = errno == EBADF ? -EBADF : -EINVAL;
	} else if (seals & F_SEAL_WRITE) {
		if (st.st_size != sizeof(d) || pread(fd, &d, sizeof(d), 0) != sizeof(d) ||
		    d.magic != DESC_MAGIC)
			ret = -EINVAL;
		else
			ret = import_hbm(mem, m, &d);
	} else if (!(seals & F_SEAL_SHRINK) || st.st_size <= 0 || st.st_size % SNPU_PAGE_SIZE) {
		/* one that can shrink would be a trap for whoever touches it */
		ret = -EINVAL;
	} else {
		mem->bytes = (uint64_t)st.st_size;
		ret = import_host(mem, m, fd);
	}
	if (ret) {
		free(m);
		return snpu_fail(ret, "snpu_mem_import: descriptor %d%s%s", fd,
				 ret == -EINVAL || ret == -EBADF ?
				 " was not made by snpu_mem_export()" : "", snpu_fd_limit(ret));
	}
	mem->priv = m;
	return 0;
}

/* ---- address spaces ---- */

int direct_ctx_create(struct snpu_ctx *ctx)
{
	struct snpu_admin_mbox cmd = { .op = SNPU_ADM_CTX_CREATE };
	struct dnpu *n = direct_npu(ctx);
	struct dctx *c = calloc(1, sizeof(*c));
	uint32_t id;
	int ret;

	if (!c)
		return snpu_fail(-ENOMEM, "snpu_ctx_create");
	pthread_mutex_lock(&n->lock);
	for (id = 1; id < n->num_ctx && n->ctx_used[id]; id++)
		;
	if (id < n->num_ctx)
		n->ctx_used[id] = true;
	pthread_mutex_unlock(&n->lock);
	ret = id < n->num_ctx ? hbm_alloc(n, SNPU_PT_BYTES, &c->root) : -ENOSPC;
	if (ret)
		goto out_id;
	cmd.ctx.ctx = c->id = id;
	cmd.ctx.root = c->root;
	ret = direct_admin(n, &cmd, NULL);
	if (!ret)
		ret = snpu_va_init(&ctx->va, SNPU_HUGE_SIZE, 1ull << 47);
	if (ret)
		goto out_root;
	ctx->priv = c;
	return 0;

out_root:
	hbm_free(n, c->root, SNPU_PT_BYTES);
out_id:
	if (id < n->num_ctx) {
		pthread_mutex_lock(&n->lock);
		n->ctx_used[id] = false;
		pthread_mutex_unlock(&n->lock);
	}
	free(c);
	if (id == n->num_ctx)
		return snpu_fail(ret, "snpu_ctx_create: all %u address spaces of NPU %u are in use",
				 n->num_ctx - 1, n->npu->index);
	return snpu_fail(ret, "snpu_ctx_create: NPU %u%s", n->npu->index,
			 ret == -ENOSPC ? ": no HBM is left for its page table" : "");
}

void direct_ctx_destroy(struct snpu_ctx *ctx)
{
	struct pt p = { direct_npu(ctx), ctx->priv };
	struct snpu_admin_mbox cmd = { .op = SNPU_ADM_CTX_DESTROY, .ctx.ctx = p.c->id };

	while (p.c->cpls) {
		struct dcpl_map *m = p.c->cpls;

		p.c->cpls = m->next;
		atomic_fetch_add(&ctx->children, 1);
		snpu_mem_free(m->mem);
		free(m);
	}
	snpu_pt_destroy(&pt_ops, &p, p.c->root);
	invalidate(p.n, p.c, 0, 0);
	/* an address space that is not given up is not used again either */
	if (!direct_admin(p.n, &cmd, NULL)) {
		hbm_free(p.n, p.c->root, SNPU_PT_BYTES);
		pthread_mutex_lock(&p.n->lock);
		p.n->ctx_used[p.c->id] = false;
		pthread_mutex_unlock(&p.n->lock);
	}
	free(p.c->freed);
	free(p.c);
}
