// SPDX-License-Identifier: MIT
/*
 * Memory: allocation, mapping, export and import.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "internal.h"

#define MAX_BYTES	(1ull << 46)

struct snpu_mem *snpu_mem_new(struct snpu_ctx *ctx, unsigned int flags)
{
	struct snpu_mem *mem = calloc(1, sizeof(*mem));

	if (mem) {
		mem->ctx = ctx;
		mem->flags = flags;
	}
	return mem;
}

/*
 * Addresses that a buffer takes: after it come the guard pages, which nothing maps. Every other
 * buffer has its own behind it, so there are some on both sides.
 */
static uint64_t mem_span(const struct snpu_mem *mem)
{
	return mem->bytes + mem->ctx->snpu->cfg.guard_pages * SNPU_PAGE_SIZE;
}

/*
 * Large buffers lie on 2 MiB, so that large page-table entries serve them. What the guard pages
 * then leave free up to the next 2 MiB is for small buffers.
 */
static int mem_place(struct snpu_mem *mem)
{
	struct snpu_ctx *ctx = mem->ctx;
	uint64_t align = mem->bytes >= SNPU_HUGE_SIZE ? SNPU_HUGE_SIZE : SNPU_PAGE_SIZE;
	int ret;

	do {
		pthread_mutex_lock(&ctx->lock);
		ret = snpu_va_alloc(&ctx->va, mem_span(mem), align, &mem->va);
		pthread_mutex_unlock(&ctx->lock);
	} while (ret == -ENOSPC && ctx->obj.check && snpu_check_release(ctx));
	if (ret)
		return snpu_fail(ret, "no address range of %llu bytes is free in the context",
				 (unsigned long long)mem->bytes);
	ret = ctx->snpu->t->mem_bind(mem);
	if (ret) {
		pthread_mutex_lock(&ctx->lock);
		snpu_va_free(&ctx->va, mem->va, mem_span(mem));
		pthread_mutex_unlock(&ctx->lock);
	}
	return ret;
}

int snpu_mem_finish(struct snpu_mem *mem, struct snpu_mem **out)
{
	int ret = mem_place(mem);

	if (ret) {
		mem->ctx->snpu->t->mem_free(mem, false);
		free(mem);
		return ret;
	}
	atomic_fetch_add(&mem->ctx->children, 1);
	snpu_obj_add(&mem->obj, SNPU_KIND_MEM, mem->ctx->obj.check);
	*out = mem;
	return 0;
}

/* Completes the message of an allocation that failed with what the NPU has left */
static int alloc_failed(struct snpu_ctx *ctx, uint64_t bytes, unsigned int flags, int err)
{
	unsigned long long asked = bytes, left;
	struct snpu_counters c = { 0 };

	if (err != -ENOSPC || !(flags & SNPU_MEM_HBM))
		return snpu_fail_in("snpu_mem_alloc", err);
	if (ctx->snpu->t->counters(ctx->npu, &c))
		return snpu_fail(err, "snpu_mem_alloc: %llu bytes of HBM on NPU %u", asked,
				 ctx->npu->index);
	left = c.hbm_total - c.hbm_used;
	return snpu_fail(err, "snpu_mem_alloc: %llu bytes of HBM on NPU %u: %llu of %llu are free%s",
			 asked, ctx->npu->index, left, (unsigned long long)c.hbm_total,
			 left >= asked ? ", in smaller pieces" : "");
}

int snpu_mem_alloc_as(struct snpu_ctx *ctx, uint64_t bytes, unsigned int flags, const char *what,
		      struct snpu_mem **out)
{
	static atomic_ullong origin;
	struct snpu_mem *mem = snpu_mem_new(ctx, flags);
	int ret;

	if (!mem)
		return snpu_fail(-ENOMEM, "snpu_mem_alloc");
	mem->what = what;
	mem->origin = atomic_fetch_add(&origin, 1) + 1;
	mem->bytes = (bytes + SNPU_PAGE_SIZE - 1) & ~(uint64_t)(SNPU_PAGE_SIZE - 1);
	ret = ctx->snpu->t->mem_alloc(mem);
	/* what the driver answers to more than there is at all */
	if (ret == -EINVAL && (flags & SNPU_MEM_HBM) && mem->bytes > ctx->npu->info.hbm_bytes)
		ret = -ENOSPC;
	if (ret) {
		free(mem);
		return alloc_failed(ctx, bytes, flags, ret);
	}
	ret = snpu_mem_finish(mem, out);
	return ret ? snpu_fail_in("snpu_mem_alloc", ret) : 0;
}

/**
 * snpu_mem_alloc() - zeroed memory, mapped into a context
 * @ctx: context
 * @bytes: size, 1 .. 2^46; rounded up to 4 KiB
 * @flags: SNPU_MEM_HBM or SNPU_MEM_HOST, with CONTIG (HBM only), READ_ONLY
 * @out: receives the memory
 *
 * Return: 0; -EINVAL; -ENOSPC when HBM is used up; -ENOMEM; -ENODEV. Thread-safe.
 */
SNPU_EXPORT int snpu_mem_alloc(struct snpu_ctx *ctx, uint64_t bytes, unsigned int flags,
			       struct snpu_mem **out)
{
	unsigned int where = flags & (SNPU_MEM_HBM | SNPU_MEM_HOST);
	int ret;

	if (!ctx || !out)
		return snpu_fail(-EINVAL, "snpu_mem_alloc: ctx or out is NULL");
	if (snpu_obj_dead(&ctx->obj, "snpu_mem_alloc"))
		return -EINVAL;
	if (!bytes || bytes > MAX_BYTES)
		return snpu_fail(-EINVAL, "snpu_mem_alloc: %llu bytes is not 1 to 2^46",
				 (unsigned long long)bytes);
	if ((where != SNPU_MEM_HBM && where != SNPU_MEM_HOST) ||
	    (flags & ~(where | SNPU_MEM_CONTIG | SNPU_MEM_READ_ONLY)) ||
	    ((flags & SNPU_MEM_CONTIG) && where != SNPU_MEM_HBM))
		return snpu_fail(
			-EINVAL,
			"snpu_mem_alloc: flags 0x%x: one of HBM, HOST; CONTIG only with HBM",
			flags);
	ret = snpu_own(ctx->snpu, "snpu_mem_alloc");
	return ret ? ret : snpu_mem_alloc_as(ctx, bytes, flags, NULL, out);
}

/**
 * snpu_mem_free() - unmap memory and give it back
 * @mem: memory, or NULL. No packet may use it any more: one that does faults its queue
 *
 * Return: 0; -EINVAL when it was freed before; an error of the device if the mapping could not be
 * taken away in order.
 */
SNPU_EXPORT int snpu_mem_free(struct snpu_mem *mem)
{
	struct snpu_ctx *ctx;
	uint64_t va, span;
	int ret, ret2;

	if (!mem)
		return 0;
	ret = snpu_obj_take(mem, SNPU_KIND_MEM, "snpu_mem_free");
	if (ret)
		return ret;
	ctx = mem->ctx;
	if (snpu_forked(ctx->snpu)) {
		ctx->snpu->t->drop_mem(mem);
		atomic_fetch_sub(&ctx->children, 1);
		snpu_obj_free(&mem->obj);
		return 0;
	}
	va = mem->va;
	span = mem_span(mem);
	/* others must not reach what is going to be somebody else's */
	ret2 = snpu_seg_end(mem);
	if (mem->obj.check)
		snpu_check_freeing(mem, span);
	ret = ctx->snpu->t->mem_free(mem, true);
	ret = ret ? ret : ret2;
	if (!mem->obj.check) {
		pthread_mutex_lock(&ctx->lock);
		snpu_va_free(&ctx->va, va, span);
		pthread_mutex_unlock(&ctx->lock);
	}
	atomic_fetch_sub(&ctx->children, 1);
	snpu_obj_free(&mem->obj);
	return ret;
}

/** snpu_mem_va() - address for packets of the memory's context */
SNPU_EXPORT uint64_t snpu_mem_va(const struct snpu_mem *mem)
{
	return mem && !snpu_obj_dead(&mem->obj, "snpu_mem_va") ? mem->va : 0;
}

/** snpu_mem_size() - bytes, rounded up to pages */
SNPU_EXPORT uint64_t snpu_mem_size(const struct snpu_mem *mem)
{
	return mem && !snpu_obj_dead(&mem->obj, "snpu_mem_size") ? mem->bytes : 0;
}

/** snpu_mem_ctx() - context of the memory */
SNPU_EXPORT struct snpu_ctx *snpu_mem_ctx(const struct snpu_mem *mem)
{
	return mem && !snpu_obj_dead(&mem->obj, "snpu_mem_ctx") ? mem->ctx : NULL;
}

/**
 * snpu_mem_map() - the CPU's view
 * @mem: memory
 * @ptr: receives the pointer, good until snpu_mem_free()
 *
 * Return: 0; -EOPNOTSUPP for memory of a peer; -ENOMEM; -ENODEV. Thread-safe; the second call gives
 * the same pointer.
 */
SNPU_EXPORT int snpu_mem_map(struct snpu_mem *mem, void **ptr)
{
	int ret;

	if (!mem || !ptr)
		return snpu_fail(-EINVAL, "snpu_mem_map: mem or ptr is NULL");
	if (snpu_obj_dead(&mem->obj, "snpu_mem_map"))
		return -EINVAL;
	ret = snpu_own(mem->ctx->snpu, "snpu_mem_map");
	if (ret)
		return ret;
	pthread_mutex_lock(&mem->ctx->lock);
	if (!mem->ptr)
		ret = mem->ctx->snpu->t->mem_map(mem, &mem->ptr);
	if (!ret)
		*ptr = mem->ptr;
	pthread_mutex_unlock(&mem->ctx->lock);
	return ret;
}

/**
 * snpu_mem_export() - a file descriptor of the memory, for other contexts and processes
 * @mem: memory
 * @fd: receives it; the caller closes it. kmd: a dma-buf; direct: understood by libsnpu only
 *
 * Return: 0; -EMFILE; -ENODEV. Thread-safe.
 */
SNPU_EXPORT int snpu_mem_export(struct snpu_mem *mem, int *fd)
{
	int ret;

	if (!mem || !fd)
		return snpu_fail(-EINVAL, "snpu_mem_export: mem or fd is NULL");
	if (snpu_obj_dead(&mem->obj, "snpu_mem_export"))
		return -EINVAL;
	ret = snpu_own(mem->ctx->snpu, "snpu_mem_export");
	return ret ? ret : mem->ctx->snpu->t->mem_export(mem, fd);
}

/**
 * snpu_mem_import() - map exported memory into a context
 * @ctx: context
 * @fd: from snpu_mem_export(), or on kmd any dma-buf; stays the caller's
 * @flags: 0 or SNPU_MEM_READ_ONLY
 * @out: receives the memory
 *
 * Return: 0; -EBADF or -EINVAL when @fd is not such a descriptor; -EOPNOTSUPP; -ENOMEM.
 * Thread-safe.
 */
SNPU_EXPORT int snpu_mem_import(struct snpu_ctx *ctx, int fd, unsigned int flags,
				struct snpu_mem **out)
{
	struct snpu_mem *mem;
	int ret;

	if (!ctx || !out)
		return snpu_fail(-EINVAL, "snpu_mem_import: ctx or out is NULL");
	if (snpu_obj_dead(&ctx->obj, "snpu_mem_import"))
		return -EINVAL;
	if (flags & ~SNPU_MEM_READ_ONLY)
		return snpu_fail(-EINVAL, "snpu_mem_import: flags 0x%x: only READ_ONLY is allowed",
				 flags);
	ret = snpu_own(ctx->snpu, "snpu_mem_import");
	if (ret)
		return ret;
	mem = snpu_mem_new(ctx, flags);
	if (!mem)
		return snpu_fail(-ENOMEM, "snpu_mem_import");
	mem->imported = true;
	ret = ctx->snpu->t->mem_import(mem, fd);
	if (ret) {
		free(mem);
		return ret;
	}
	ret = snpu_mem_finish(mem, out);
	return ret ? snpu_fail_in("snpu_mem_import", ret) : 0;
}

/**
 * snpu_mem_share() - map memory of another context, of the same or another NPU
 * @ctx: context that is going to use it
 * @mem: memory; may be freed before the new mapping, which keeps it alive
 * @flags: 0 or SNPU_MEM_READ_ONLY
 * @out: receives the mapping, an object of its own
 *
 * Return: as snpu_mem_export() and snpu_mem_import(). Thread-safe.
 */
SNPU_EXPORT int snpu_mem_share(struct snpu_ctx *ctx, struct snpu_mem *mem, unsigned int flags,
			       struct snpu_mem **out)
{
	struct snpu_mem *new;
	int fd, ret;

	if (!ctx || !mem || !out)
		return snpu_fail(-EINVAL, "snpu_mem_share: ctx, mem or out is NULL");
	if (snpu_obj_dead(&ctx->obj, "snpu_mem_share") ||
	    snpu_obj_dead(&mem->obj, "snpu_mem_share"))
		return -EINVAL;
	if (flags & ~SNPU_MEM_READ_ONLY)
		return snpu_fail(-EINVAL, "snpu_mem_share: flags 0x%x: only READ_ONLY is allowed",
				 flags);
	ret = snpu_own(ctx->snpu, "snpu_mem_share");
	if (!ret)
		ret = snpu_own(mem->ctx->snpu, "snpu_mem_share");
	if (ret)
		return ret;
	if (ctx->snpu == mem->ctx->snpu && ctx->snpu->t->mem_share) {
		new = snpu_mem_new(ctx, flags);
		if (!new)
			return snpu_fail(-ENOMEM, "snpu_mem_share");
		new->imported = true;
		new->origin = mem->origin;
		ret = ctx->snpu->t->mem_share(new, mem);
		if (ret) {
			free(new);
			return ret;
		}
		ret = snpu_mem_finish(new, out);
		return ret ? snpu_fail_in("snpu_mem_share", ret) : 0;
	}
	ret = snpu_mem_export(mem, &fd);
	if (ret)
		return snpu_fail_in("snpu_mem_share", ret);
	ret = snpu_mem_import(ctx, fd, flags, &new);
	close(fd);
	if (ret)
		return snpu_fail_in("snpu_mem_share", ret);
	new->origin = mem->origin;
	*out = new;
	return 0;
}
