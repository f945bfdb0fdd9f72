// SPDX-License-Identifier: MIT
/*
 * direct transport: HBM and host memory, page tables, sharing.
 *
 * HBM that is shared inside the process lives until the last mapping is freed. What is exported to
 * another process is named by a sealed descriptor file: node, offset, length, token.
 */
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "direct.h"

#define DESC_MAGIC	0x316d656d75706e73ull	/* "snpumem1" */

/**
 * struct dblock - a piece of HBM
 * @n: whose
 * @offset: in its HBM
 * @bytes: length
 * @refs: mappings in this process; under n->lock
 */
struct dblock {
	struct dnpu *n;
	uint64_t offset;
	uint64_t bytes;
	unsigned int refs;
};

/**
 * struct dmem - what a snpu_mem maps
 * @block: HBM of an NPU that this set drives
 * @fd: host memory, else -1
 * @iova: its DMA address for the context's NPU
 * @remote: HBM of a peer, reached through an import slot
 * @node: the peer
 * @token: its token
 * @offset: in its HBM
 */
struct dmem {
	struct dblock *block;
	int fd;
	uint64_t iova;
	bool remote;
	uint32_t node;
	uint64_t token;
	uint64_t offset;
};

/* What an exported descriptor of HBM holds */
struct desc {
	uint64_t magic;
	uint64_t token;
	uint64_t offset;
	uint64_t bytes;
	uint64_t block;		/* address of the block, for the process @pid */
	uint32_t node;
	int32_t pid;
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
	ret = snpu_va_alloc(&n->hbm_va, bytes, align, offset);
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

static int block_put(struct dblock *b)
{
	bool last;
	int ret = 0;

	pthread_mutex_lock(&b->n->lock);
	last = !--b->refs;
	pthread_mutex_unlock(&b->n->lock);
	if (last) {
		ret = hbm_free(b->n, b->offset, b->bytes);
		free(b);
	}
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
						m->fd, 0));
	if (ret) {
		pthread_mutex_lock(&n->lock);
		snpu_va_free(&n->iova, m->iova, mem->bytes);
		pthread_mutex_unlock(&n->lock);
	}
	return ret;
}

static int host_alloc(struct snpu_mem *mem, struct dmem *m)
{
	int ret;

	m->fd = memfd_create("snpu-host", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (m->fd < 0)
		return -errno;
	/* the device maps it: it must not shrink under its feet */
	if (ftruncate(m->fd, (off_t)mem->bytes) ||
	    fcntl(m->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW))
		ret = -errno;
	else
		ret = host_attach(mem, m);
	if (ret)
		close(m->fd);
	return ret;
}

int direct_mem_alloc(struct snpu_mem *mem)
{
	struct dnpu *n = direct_npu(mem->ctx);
	struct dmem *m = calloc(1, sizeof(*m));
	int ret = -ENOMEM;

	if (!m)
		return snpu_fail(-ENOMEM, "snpu_mem_alloc");
	m->fd = -1;
	if (mem->flags & SNPU_MEM_HOST) {
		ret = host_alloc(mem, m);
	} else {
		if (mem->bytes >= SNPU_HUGE_SIZE)
			mem->bytes = (mem->bytes + SNPU_HUGE_SIZE - 1) & ~(uint64_t)(SNPU_HUGE_SIZE - 1);
		m->block = calloc(1, sizeof(*m->block));
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
		return snpu_fail(ret, "snpu_mem_alloc: %llu bytes of %s on NPU %u",
				 (unsigned long long)mem->bytes,
				 mem->flags & SNPU_MEM_HBM ? "HBM" : "host memory", n->npu->index);
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

/* Import slot for a peer's HBM; slots stay until the NPU is closed */
static int import_slot(struct dnpu *n, uint32_t node, uint64_t token, unsigned int *slot)
{
	struct snpu_admin_mbox cmd = { .op = SNPU_ADM_SEG_IMPORT };
	unsigned int i;
	int ret = 0;

	pthread_mutex_lock(&n->lock);
	for (i = 0; i < n->imports_used; i++)
		if (n->imports[i].node == node && n->imports[i].token == token)
			break;
	if (i == n->num_imports) {
		ret = -ENOSPC;
	} else if (i == n->imports_used) {
		cmd.import.slot = i;
		cmd.import.node = node;
		cmd.import.token = token;
		ret = direct_admin(n, &cmd, NULL);
		if (!ret)
			n->imports[n->imports_used++] = (struct dimport){ node, token };
	}
	pthread_mutex_unlock(&n->lock);
	*slot = i;
	return ret;
}

int direct_mem_bind(struct snpu_mem *mem)
{
	struct pt p = { direct_npu(mem->ctx), mem->ctx->priv };
	uint64_t access = SNPU_PTE_READ | (mem->flags & SNPU_MEM_READ_ONLY ? 0 : SNPU_PTE_WRITE);
	struct dmem *m = mem->priv;
	unsigned int slot = 0;
	uint64_t leaf;
	int ret = 0;

	if (m->fd >= 0) {
		leaf = snpu_pte_leaf(SNPU_APERTURE_HOST, m->iova, 0, access);
	} else if (m->remote) {
		ret = import_slot(p.n, m->node, m->token, &slot);
		leaf = snpu_pte_leaf(SNPU_APERTURE_FABRIC, m->offset, slot, access);
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
	int ret = bound ? unmap(mem->ctx, mem->va, mem->bytes) : 0, ret2 = 0;

	/* HBM is a view of the whole window, host memory and tables of descriptors are mappings */
	if (mem->ptr && m->fd >= 0)
		munmap(mem->ptr, mem->bytes);
	if (m->fd >= 0) {
		ret2 = direct_error(n, snpu_vfuc_dma_unmap(n->c, m->iova, mem->bytes));
		if (!ret2) {
			pthread_mutex_lock(&n->lock);
			snpu_va_free(&n->iova, m->iova, mem->bytes);
			pthread_mutex_unlock(&n->lock);
		}
		close(m->fd);
	}
	if (m->block)
		ret2 = block_put(m->block);
	free(m);
	ret = ret ? ret : ret2;
	return ret ? snpu_fail(ret, "snpu_mem_free: NPU %u", n->npu->index) : 0;
}

int direct_mem_map(struct snpu_mem *mem, void **ptr)
{
	struct dmem *m = mem->priv;
	void *p;

	if (m->block) {
		*ptr = m->block->n->hbm + m->block->offset;
		return 0;
	}
	if (m->remote)
		return snpu_fail(-EOPNOTSUPP, "snpu_mem_map: HBM of another process's NPU");
	p = mmap(NULL, mem->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, m->fd, 0);
	if (p == MAP_FAILED)
		return snpu_fail(-errno, "snpu_mem_map: %llu bytes", (unsigned long long)mem->bytes);
	*ptr = p;
	return 0;
}

/* ---- sharing ---- */

int direct_mem_export(struct snpu_mem *mem, int *out)
{
	struct dmem *m = mem->priv;
	struct desc d = {
		.magic = DESC_MAGIC, .bytes = mem->bytes, .pid = getpid(),
		.token = m->token, .node = m->node, .offset = m->offset,
	};
	int fd;

	if (m->fd >= 0) {
		fd = fcntl(m->fd, F_DUPFD_CLOEXEC, 0);
		if (fd < 0)
			return snpu_fail(-errno, "snpu_mem_export");
		*out = fd;
		return 0;
	}
	if (m->block) {
		d.token = m->block->n->token;
		d.node = m->block->n->node;
		d.offset = m->block->offset;
		d.block = (uintptr_t)m->block;
	}
	fd = memfd_create("snpu-hbm", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return snpu_fail(-errno, "snpu_mem_export");
	if (pwrite(fd, &d, sizeof(d), 0) != sizeof(d) ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL)) {
		int err = errno;

		close(fd);
		return snpu_fail(-err, "snpu_mem_export");
	}
	*out = fd;
	return 0;
}

/* The block that a descriptor of this process names, if it is still there */
static struct dblock *find_block(struct snpu *s, const struct desc *d)
{
	unsigned int i;

	if (d->pid != getpid() || !d->block)
		return NULL;
	for (i = 0; i < s->count; i++) {
		struct dnpu *n = s->npus[i].priv;

		if (n->up && n->node == d->node && n->token == d->token)
			return (struct dblock *)(uintptr_t)d->block;
	}
	return NULL;
}

static int import_hbm(struct snpu_mem *mem, struct dmem *m, const struct desc *d)
{
	struct dnpu *n = direct_npu(mem->ctx);
	struct dblock *b = find_block(mem->ctx->snpu, d);

	if (!d->bytes || ((d->bytes | d->offset) & (SNPU_PAGE_SIZE - 1)) ||
	    d->bytes > 1ull << 46 || d->offset > 1ull << 46)
		return -EINVAL;
	mem->bytes = d->bytes;
	m->token = d->token;
	m->node = d->node;
	m->offset = d->offset;
	m->remote = !(n->node == d->node && n->token == d->token);
	/* a mapping in the process that owns the memory keeps it alive */
	if (b) {
		pthread_mutex_lock(&b->n->lock);
		b->refs++;
		pthread_mutex_unlock(&b->n->lock);
		m->block = b;
	}
	return !m->remote && !b ? -EINVAL : 0;
}

int direct_mem_import(struct snpu_mem *mem, int fd)
{
	struct dmem *m = calloc(1, sizeof(*m));
	struct desc d = { 0 };
	struct stat st;
	int seals, ret = 0;

	if (!m)
		return snpu_fail(-ENOMEM, "snpu_mem_import");
	m->fd = -1;
	seals = fcntl(fd, F_GET_SEALS);
	if (seals < 0 || fstat(fd, &st)) {
		ret = errno == EBADF ? -EBADF : -EINVAL;
	} else if (seals & F_SEAL_WRITE) {
		if (pread(fd, &d, sizeof(d), 0) != sizeof(d) || d.magic != DESC_MAGIC)
			ret = -EINVAL;
		else
			ret = import_hbm(mem, m, &d);
	} else if (st.st_size <= 0 || st.st_size % SNPU_PAGE_SIZE) {
		ret = -EINVAL;
	} else {
		mem->bytes = (uint64_t)st.st_size;
		m->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
		ret = m->fd < 0 ? -errno : host_attach(mem, m);
		if (ret && m->fd >= 0)
			close(m->fd);
	}
	if (ret) {
		free(m);
		return snpu_fail(ret, "snpu_mem_import: descriptor %d was not made by snpu_mem_export()",
				 fd);
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
	return snpu_fail(ret, "snpu_ctx_create: NPU %u has %u address spaces", n->npu->index,
			 n->num_ctx - 1);
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
