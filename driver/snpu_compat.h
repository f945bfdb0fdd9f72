/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What differs between the kernels that snpu builds for. Written for Linux 7.3; every call whose
 * form is known to have changed since 6.12 is made through a wrapper here, and nowhere else.
 */
#ifndef _SNPU_COMPAT_H_
#define _SNPU_COMPAT_H_

#include <linux/dma-buf.h>
#include <linux/gpu_buddy.h>
#include <linux/pci-p2pdma.h>
#include <linux/workqueue.h>

#include <drm/drm_gpuvm.h>

static inline int snpu_compat_sm_map(struct drm_gpuvm *gpuvm, void *priv, u64 va, u64 bytes,
				     struct drm_gem_object *obj, u64 offset)
{
	struct drm_gpuvm_map_req req = {
		.map.va.addr = va,
		.map.va.range = bytes,
		.map.gem.obj = obj,
		.map.gem.offset = offset,
	};

	return drm_gpuvm_sm_map(gpuvm, priv, &req);
}

/* Locks the BOs that a change of the range will touch */
static inline int snpu_compat_sm_map_lock(struct drm_gpuvm *gpuvm, struct drm_exec *exec, u64 va,
					  u64 bytes, struct drm_gem_object *obj, u64 offset)
{
	struct drm_gpuvm_map_req req = {
		.map.va.addr = va,
		.map.va.range = bytes,
		.map.gem.obj = obj,
		.map.gem.offset = offset,
	};

	return drm_gpuvm_sm_map_exec_lock(gpuvm, exec, 1, &req);
}

static inline int snpu_compat_sm_unmap_lock(struct drm_gpuvm *gpuvm, struct drm_exec *exec, u64 va,
					    u64 bytes)
{
	return drm_gpuvm_sm_unmap_exec_lock(gpuvm, exec, va, bytes);
}

static inline struct drm_gpuvm_bo *snpu_compat_vm_bo_obtain(struct drm_gpuvm *gpuvm,
							    struct drm_gem_object *obj)
{
	return drm_gpuvm_bo_obtain_locked(gpuvm, obj);
}

/* The importer's notice that a dma-buf moves or goes */
#define SNPU_COMPAT_ATTACH_NOTIFY	invalidate_mappings

#define snpu_compat_unbound_wq		system_dfl_wq

#endif /* _SNPU_COMPAT_H_ */
