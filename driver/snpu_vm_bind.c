// SPDX-License-Identifier: GPL-2.0-only
/*
 * snpu VM_BIND: changes of an address space, carried out before the ioctl returns.
 */
#include <linux/dma-resv.h>
#include <linux/uaccess.h>

#include <drm/drm_exec.h>

#include "snpu_drv.h"
#include "snpu_trace.h"

/* A change makes at most this many new mappings: itself, and what is left before and behind it */
#define SNPU_BIND_VAS	3

/**
 * struct snpu_bind - one change under way
 * @vm: address space
 * @access: SNPU_PTE_* of the new mapping
 * @vm_bo: of the new mapping, or NULL
 * @spare: mappings allocated before the change began
 */
struct snpu_bind {
	struct snpu_vm *vm;
	u64 access;
	struct drm_gpuvm_bo *vm_bo;
	struct snpu_va *spare[SNPU_BIND_VAS];
};

static struct snpu_va *snpu_bind_take_va(struct snpu_bind *bind)
{
	unsigned int i;

	for (i = 0; i < SNPU_BIND_VAS; i++)
		if (bind->spare[i])
			return no_free_ptr(bind->spare[i]);
	drm_WARN_ON_ONCE(&bind->vm->sdev->drm, 1);
	return NULL;
}

/* The device may use what is behind a mapping until the flush: the BO stays that long */
static void snpu_bind_retire(struct snpu_vm *vm, struct snpu_va *va)
{
	va->keep = va->base.gem.obj;
	drm_gem_object_get(va->keep);
	drm_gpuva_unlink(&va->base);
	list_add(&va->link, &vm->dead);
}

static int snpu_step_map(struct drm_gpuva_op *op, void *priv)
{
	struct snpu_bind *bind = priv;
	struct snpu_va *va;
	int ret;

	ret = snpu_vm_bind_bo(bind->vm, op->map.va.addr, op->map.va.range,
			      to_snpu_bo(op->map.gem.obj), op->map.gem.offset, bind->access);
	if (ret)
		return ret;
	va = snpu_bind_take_va(bind);
	va->access = bind->access;
	drm_gpuva_map(&bind->vm->base, &va->base, &op->map);
	drm_gpuva_link(&va->base, bind->vm_bo);
	return 0;
}

static int snpu_step_unmap(struct drm_gpuva_op *op, void *priv)
{
	struct snpu_va *va = to_snpu_va(op->unmap.va);
	struct snpu_bind *bind = priv;
	int ret;

	ret = snpu_vm_pt_unmap(bind->vm, va->base.va.addr, va->base.va.range);
	if (ret)
		return ret;
	drm_gpuva_unmap(&op->unmap);
	snpu_bind_retire(bind->vm, va);
	return 0;
}

static int snpu_step_remap(struct drm_gpuva_op *op, void *priv)
{
	struct snpu_va *va = to_snpu_va(op->remap.unmap->va);
	struct drm_gpuvm_bo *vm_bo = va->base.vm_bo;
	struct snpu_va *prev = NULL, *next = NULL;
	struct snpu_bind *bind = priv;
	u64 start, range;
	int ret;

	/* only what goes is touched: accesses to the rest must not notice */
	drm_gpuva_op_remap_to_unmap_range(&op->remap, &start, &range);
	ret = snpu_vm_pt_unmap(bind->vm, start, range);
	if (ret)
		return ret;
	if (op->remap.prev) {
		prev = snpu_bind_take_va(bind);
		prev->access = va->access;
	}
	if (op->remap.next) {
		next = snpu_bind_take_va(bind);
		next->access = va->access;
	}
	drm_gpuva_remap(prev ? &prev->base : NULL, next ? &next->base : NULL, &op->remap);
	if (prev)
		drm_gpuva_link(&prev->base, vm_bo);
	if (next)
		drm_gpuva_link(&next->base, vm_bo);
	snpu_bind_retire(bind->vm, va);
	return 0;
}

static void snpu_vm_free(struct drm_gpuvm *gpuvm)
{
	struct snpu_vm *vm = to_snpu_vm(gpuvm);

	mutex_destroy(&vm->pt_lock);
	mutex_destroy(&vm->lock);
	kfree(vm);
}

const struct drm_gpuvm_ops snpu_vm_ops = {
	.vm_free = snpu_vm_free,
	.sm_step_map = snpu_step_map,
	.sm_step_remap = snpu_step_remap,
	.sm_step_unmap = snpu_step_unmap,
};

static int snpu_bind_lock(struct snpu_vm *vm, struct drm_exec *exec,
			  const struct drm_snpu_bind_op *op, struct drm_gem_object *obj)
{
	int ret;

	drm_exec_until_all_locked(exec) {
		if (obj)
			ret = snpu_compat_sm_map_lock(&vm->base, exec, op->va, op->size, obj,
						      op->offset);
		else
			ret = snpu_compat_sm_unmap_lock(&vm->base, exec, op->va, op->size);
		drm_exec_retry_on_contention(exec);
		if (ret)
			return ret;
	}
	return 0;
}

static int snpu_bind_locked(struct snpu_bind *bind, const struct drm_snpu_bind_op *op,
			    struct drm_gem_object *obj)
{
	struct snpu_vm *vm = bind->vm;
	int ret;

	if (obj) {
		struct snpu_bo *bo = to_snpu_bo(obj);

		if (bo->kind == SNPU_BO_KIND_IMPORT && !bo->sgt)
			return -ENODEV;
		bind->vm_bo = snpu_compat_vm_bo_obtain(&vm->base, obj);
		if (IS_ERR(bind->vm_bo))
			return PTR_ERR(bind->vm_bo);
	}
	mutex_lock(&vm->pt_lock);
	if (obj)
		ret = snpu_compat_sm_map(&vm->base, bind, op->va, op->size, obj, op->offset);
	else
		ret = drm_gpuvm_sm_unmap(&vm->base, bind, op->va, op->size);
	mutex_unlock(&vm->pt_lock);
	if (bind->vm_bo)
		drm_gpuvm_bo_put(bind->vm_bo);
	return ret;
}

static int snpu_bind_op(struct snpu_vm *vm, const struct drm_snpu_bind_op *op,
			struct drm_gem_object *obj)
{
	struct snpu_bind bind = { .vm = vm };
	struct drm_exec exec;
	/* a large leaf may be split at either end */
	u64 tables = 2;
	unsigned int i;
	int ret;

	lockdep_assert_held(&vm->lock);
	if (op->flags & DRM_SNPU_BIND_READ)
		bind.access |= SNPU_PTE_READ;
	if (op->flags & DRM_SNPU_BIND_WRITE)
		bind.access |= SNPU_PTE_WRITE;

	ret = -ENOMEM;
	for (i = 0; i < SNPU_BIND_VAS; i++) {
		bind.spare[i] = kzalloc_obj(*bind.spare[i], GFP_KERNEL_ACCOUNT);
		if (!bind.spare[i])
			goto out;
	}
	if (obj)
		tables = snpu_vm_tables(to_snpu_bo(obj)->segs, to_snpu_bo(obj)->nsegs, op->va,
					op->size, op->offset);
	ret = snpu_vm_reserve(vm, tables);
	if (ret)
		goto out;
	/* duplicates: one BO may be mapped many times in the range */
	drm_exec_init(&exec, DRM_EXEC_INTERRUPTIBLE_WAIT | DRM_EXEC_IGNORE_DUPLICATES, 0);
	ret = snpu_bind_lock(vm, &exec, op, obj);
	if (!ret)
		ret = snpu_bind_locked(&bind, op, obj);
	drm_exec_fini(&exec);
out:
	for (i = 0; i < SNPU_BIND_VAS; i++)
		kfree(bind.spare[i]);
	trace_snpu_bind(vm->sdev, vm->ctx, op->op, op->va, op->size, ret);
	return ret;
}

/* The exporter would refuse such packets one by one: say so here */
static int snpu_bind_check_access(struct drm_device *drm, const struct snpu_bo *bo, u32 flags)
{
	if (bo->kind != SNPU_BO_KIND_SEGMENT ||
	    ((!(flags & DRM_SNPU_BIND_READ) || bo->access & DRM_SNPU_SEG_READ) &&
	     (!(flags & DRM_SNPU_BIND_WRITE) || bo->access & DRM_SNPU_SEG_WRITE)))
		return 0;
	drm_dbg(drm, "flags %#x: the exporter allows access %#x\n", flags, bo->access);
	return -EACCES;
}

static int snpu_bind_check(struct drm_file *file, const struct drm_snpu_bind_op *op,
			   struct drm_gem_object **obj)
{
	struct drm_device *drm = file->minor->dev;
	u64 end;

	if (op->pad)
		return -EINVAL;
	if (!op->size || !IS_ALIGNED(op->va | op->size | op->offset, SNPU_PAGE_SIZE) ||
	    op->va < SNPU_VA_START || check_add_overflow(op->va, op->size, &end) ||
	    end > SNPU_VA_END) {
		drm_dbg(drm, "va %#llx size %#llx offset %#llx: multiples of %u inside %#x..%#llx\n",
			op->va, op->size, op->offset, SNPU_PAGE_SIZE, SNPU_VA_START, SNPU_VA_END);
		return -EINVAL;
	}
	switch (op->op) {
	case DRM_SNPU_BIND_UNMAP:
		return op->flags || op->handle || op->offset ? -EINVAL : 0;
	case DRM_SNPU_BIND_MAP:
		break;
	default:
		drm_dbg(drm, "op %u: allowed are 0 and %u\n", op->op, DRM_SNPU_BIND_UNMAP);
		return -EINVAL;
	}
	if (!op->flags || op->flags & ~(DRM_SNPU_BIND_READ | DRM_SNPU_BIND_WRITE)) {
		drm_dbg(drm, "flags %#x: READ, WRITE or both are allowed\n", op->flags);
		return -EINVAL;
	}
	*obj = drm_gem_object_lookup(file, op->handle);
	if (!*obj)
		return -ENOENT;
	if (op->offset > (*obj)->size || op->size > (*obj)->size - op->offset) {
		drm_dbg(drm, "offset %#llx size %#llx: the BO has %#zx bytes\n", op->offset,
			op->size, (*obj)->size);
		return -EINVAL;
	}
	return snpu_bind_check_access(drm, to_snpu_bo(*obj), op->flags);
}

/**
 * snpu_ioctl_vm_bind() - DRM_IOCTL_SNPU_VM_BIND: change the client's address space
 * @drm: device
 * @data: struct drm_snpu_vm_bind
 * @file: client
 *
 * Context: process; the device is bound until it returns.
 *
 * Return: 0; what the first operation that failed got: -EINVAL, -ENOENT, -EFAULT, -E2BIG,
 * -ENOMEM, -ENOSPC, -EACCES (a segment), -ENODEV (a revoked import), -EIO, -EINTR.
 */
int snpu_ioctl_vm_bind(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct snpu_client *client = file->driver_priv;
	struct drm_snpu_vm_bind *args = data;
	struct drm_gem_object **objs = NULL;
	struct drm_snpu_bind_op *ops = NULL;
	struct snpu_vm *vm = client->vm;
	u32 i, n = args->ops.count;
	int ret;

	args->done = 0;
	if (args->flags || n > DRM_SNPU_MAX_BIND_OPS || args->ops.stride < sizeof(*ops) ||
	    args->ops.stride > PAGE_SIZE) {
		drm_dbg(drm, "flags %#x, %u ops of %u bytes: allowed are 0, %u, %zu to %lu\n",
			args->flags, n, args->ops.stride, DRM_SNPU_MAX_BIND_OPS, sizeof(*ops),
			PAGE_SIZE);
		return -EINVAL;
	}
	if (!n)
		return 0;
	ops = kvmalloc_objs(*ops, n, GFP_KERNEL_ACCOUNT);
	objs = kvzalloc_objs(*objs, n, GFP_KERNEL_ACCOUNT);
	ret = -ENOMEM;
	if (!ops || !objs)
		goto out;
	for (i = 0; i < n; i++) {
		const void __user *from = u64_to_user_ptr(args->ops.array) +
					  (size_t)i * args->ops.stride;

		ret = copy_struct_from_user(&ops[i], sizeof(ops[i]), from, args->ops.stride);
		if (!ret)
			ret = snpu_bind_check(file, &ops[i], &objs[i]);
		if (ret)
			goto out;
	}

	ret = mutex_lock_interruptible(&vm->lock);
	if (ret)
		goto out;
	for (i = 0; i < n && !ret; i++) {
		ret = snpu_bind_op(vm, &ops[i], objs[i]);
		if (!ret)
			args->done++;
	}
	snpu_vm_flush(vm);
	mutex_unlock(&vm->lock);
out:
	if (objs)
		for (i = 0; i < n; i++)
			drm_gem_object_put(objs[i]);
	kvfree(objs);
	kvfree(ops);
	return ret;
}
