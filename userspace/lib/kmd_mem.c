// SPDX-License-Identifier: MIT
/*
 * kmd transport: buffer objects, VM_BIND, PRIME.
 */
#include <fcntl.h>
#include <limits.h>
#include <numa.h>
#include <numaif.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xf86drm.h>
#include <drm/snpu_accel.h>

#include "kmd.h"

#define NODE_BITS	1024
#define WORD_BITS	((int)sizeof(long) * CHAR_BIT)
#define NODE_WORDS	(NODE_BITS / WORD_BITS)

/* Why the driver has no host memory at all */
#define BOUNCED ": the kernel gives devices copies of host memory, in bounce buffers (a " \
		"confidential guest, or swiotlb=force), and an NPU must share it with the CPU"

/* Takes a reference; caller holds the lock */
static int handle_ref(struct kmd_ctx *c, uint32_t handle)
{
	struct kmd_handle *h;

	for (h = c->handles; h && h->handle != handle; h = h->next)
		;
	if (!h) {
		h = calloc(1, sizeof(*h));
		if (!h)
			return -ENOMEM;
		h->handle = handle;
		h->next = c->handles;
		c->handles = h;
	}
	h->refs++;
	return 0;
}

static int handle_put(struct kmd_ctx *c, uint32_t handle)
{
	struct kmd_handle **p, *h;
	int ret = 0;

	pthread_mutex_lock(&c->lock);
	for (p = &c->handles; (h = *p) && h->handle != handle; p = &h->next)
		;
	if (h && !--h->refs) {
		*p = h->next;
		free(h);
		/* under the lock: an import in between would get the same handle */
		ret = kmd_drm(drmCloseBufferHandle(c->fd, handle));
	}
	pthread_mutex_unlock(&c->lock);
	return ret;
}

/*
 * Pages are taken when the driver makes the buffer: while it does, this thread prefers the NPU's
 * node.
 */
static int create_near(struct snpu_mem *mem, struct drm_snpu_bo_create *req)
{
	struct snpu_ctx *ctx = mem->ctx;
	int node = ctx->npu->info.numa_node;
	unsigned long old[NODE_WORDS], near[NODE_WORDS] = { 0 };
	int mode, ret;

	if (!ctx->snpu->cfg.numa || !(mem->flags & SNPU_MEM_HOST) || node < 0 ||
	    numa_available() < 0 || node > numa_max_node() || node >= NODE_BITS ||
	    get_mempolicy(&mode, old, NODE_BITS, NULL, 0))
		return kmd_ioctl(kmd_fd(ctx), DRM_IOCTL_SNPU_BO_CREATE, req);
	near[node / WORD_BITS] = 1ul << (node % WORD_BITS);
	/* a preference only: what goes wrong here costs distance, not the buffer */
	set_mempolicy(MPOL_PREFERRED, near, NODE_BITS);
	ret = kmd_ioctl(kmd_fd(ctx), DRM_IOCTL_SNPU_BO_CREATE, req);
	/* the policy is the program's, which may have one of its own */
	set_mempolicy(mode, old, NODE_BITS);
	return ret;
}


int kmd_mem_alloc(struct snpu_mem *mem)
{
	struct kmd_ctx *c = mem->ctx->priv;
	struct drm_snpu_bo_create req = {
		.size = mem->bytes,
		.flags = (mem->flags & SNPU_MEM_HBM ? DRM_SNPU_BO_HBM : DRM_SNPU_BO_HOST) |
			 (mem->flags & SNPU_MEM_CONTIG ? DRM_SNPU_BO_CONTIG : 0),
	};
	struct kmd_bo *bo = calloc(1, sizeof(*bo));
	int ret;

	if (!bo)
		return snpu_fail(-ENOMEM, "snpu_mem_alloc");
	ret = create_near(mem, &req);
	if (ret) {
		free(bo);
		return snpu_fail(ret, "snpu_mem_alloc: %llu bytes of %s on NPU %u%s",
				 (unsigned long long)mem->bytes,
				 mem->flags & SNPU_MEM_HBM ? "HBM" : "host memory",
				 mem->ctx->npu->index, ret == -EOPNOTSUPP ? BOUNCED : "");
	}
	pthread_mutex_lock(&c->lock);
	ret = handle_ref(c, req.handle);
	pthread_mutex_unlock(&c->lock);
	if (ret) {
		drmCloseBufferHandle(c->fd, req.handle);
		free(bo);
		return snpu_fail(ret, "snpu_mem_alloc");
	}
	bo->handle = req.handle;
	bo->access = DRM_SNPU_BIND_READ | DRM_SNPU_BIND_WRITE;
	bo->mmap_offset = req.mmap_offset;
	mem->bytes = req.size;
	mem->priv = bo;
	return 0;
}

static int bind_one(struct snpu_mem *mem, struct drm_snpu_bind_op *op)
{
	struct drm_snpu_vm_bind bind = {
		.ops = { .stride = sizeof(*op), .count = 1, .array = (uintptr_t)op },
	};

	return kmd_ioctl(kmd_fd(mem->ctx), DRM_IOCTL_SNPU_VM_BIND, &bind);
}

int kmd_mem_bind(struct snpu_mem *mem)
{
	struct kmd_bo *bo = mem->priv;
	struct drm_snpu_bind_op op = {
		.op = DRM_SNPU_BIND_MAP,
		.flags = mem->flags & SNPU_MEM_READ_ONLY ? DRM_SNPU_BIND_READ : bo->access,
		.handle = bo->handle, .va = mem->va, .size = mem->bytes,
	};
	int ret = bind_one(mem, &op);

	return ret ? snpu_fail(ret, "mapping %llu bytes at 0x%llx on NPU %u",
			       (unsigned long long)mem->bytes, (unsigned long long)mem->va,
			       mem->ctx->npu->index) : 0;
}

int kmd_mem_free(struct snpu_mem *mem, bool bound)
{
	struct drm_snpu_bind_op op = {
		.op = DRM_SNPU_BIND_UNMAP, .va = mem->va, .size = mem->bytes,
	};
	struct kmd_bo *bo = mem->priv;
	int ret = bound ? bind_one(mem, &op) : 0, ret2;

	if (mem->ptr)
		munmap(mem->ptr, mem->bytes);
	ret2 = handle_put(mem->ctx->priv, bo->handle);
	free(bo);
	ret = ret ? ret : ret2;
	return ret ? snpu_fail(ret, "snpu_mem_free: NPU %u", mem->ctx->npu->index) : 0;
}

int kmd_mem_map(struct snpu_mem *mem, void **ptr)
{
	struct kmd_bo *bo = mem->priv;
	void *p;

	if (!bo->mmap_offset)
		return snpu_fail(-EOPNOTSUPP, "snpu_mem_map: this memory cannot be mapped here");
	p = mmap(NULL, mem->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, kmd_fd(mem->ctx),
		 (off_t)bo->mmap_offset);
	if (p == MAP_FAILED)
		return snpu_fail(-errno, "snpu_mem_map: %llu bytes",
				 (unsigned long long)mem->bytes);
	*ptr = p;
	return 0;
}

int kmd_mem_export(struct snpu_mem *mem, int *fd)
{
	struct kmd_bo *bo = mem->priv;

	if (drmPrimeHandleToFD(kmd_fd(mem->ctx), bo->handle, DRM_CLOEXEC | DRM_RDWR, fd))
		return snpu_fail(-errno, "snpu_mem_export: NPU %u%s", mem->ctx->npu->index,
				 snpu_fd_limit(-errno));
	return 0;
}

int kmd_mem_import(struct snpu_mem *mem, int fd)
{
	struct kmd_ctx *c = mem->ctx->priv;
	struct drm_snpu_bo_info info = { 0 };
	struct kmd_bo *bo = calloc(1, sizeof(*bo));
	int ret;

	if (!bo)
		return snpu_fail(-ENOMEM, "snpu_mem_import");
	pthread_mutex_lock(&c->lock);
	ret = drmPrimeFDToHandle(c->fd, fd, &bo->handle) ? -errno : 0;
	if (!ret) {
		ret = handle_ref(c, bo->handle);
		if (ret)
			drmCloseBufferHandle(c->fd, bo->handle);
	}
	pthread_mutex_unlock(&c->lock);
	if (ret) {
		free(bo);
		return snpu_fail(ret, "snpu_mem_import: descriptor %d", fd);
	}
	info.handle = bo->handle;
	ret = kmd_ioctl(c->fd, DRM_IOCTL_SNPU_BO_INFO, &info);
	if (ret) {
		handle_put(c, bo->handle);
		free(bo);
		return snpu_fail(ret, "snpu_mem_import: descriptor %d", fd);
	}
	bo->access = DRM_SNPU_BIND_READ | DRM_SNPU_BIND_WRITE;
	bo->mmap_offset = info.mmap_offset;
	mem->bytes = info.size;
	mem->priv = bo;
	return 0;
}

int kmd_mem_adopt(struct snpu_mem *mem, uint32_t handle, uint32_t access)
{
	struct kmd_ctx *c = mem->ctx->priv;
	struct kmd_bo *bo = calloc(1, sizeof(*bo));
	int ret = -ENOMEM;

	if (bo) {
		pthread_mutex_lock(&c->lock);
		ret = handle_ref(c, handle);
		pthread_mutex_unlock(&c->lock);
	}
	if (ret) {
		drmCloseBufferHandle(c->fd, handle);
		free(bo);
		return ret;
	}
	bo->handle = handle;
	bo->access = access;
	mem->priv = bo;
	return 0;
}
