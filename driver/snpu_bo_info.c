// SPDX-License-Identifier: GPL-2.0-only
/*
 * snpu buffer objects as userspace sees them: information and mappings.
 */
#include <linux/mm.h>

#include "snpu_drv.h"

/*
 * What a fault maps at once. Memory does not move, so more than was asked for is only kind; 2 MiB
 * cost little more than a page and save 511 faults.
 */
#define SNPU_FAULT_BYTES	SZ_2M

static unsigned long snpu_bo_pfn(struct snpu_bo *bo, u64 off)
{
	const struct snpu_seg *seg;

	if (bo->kind == SNPU_BO_KIND_HOST)
		return page_to_pfn(bo->pages[off >> PAGE_SHIFT]);
	seg = snpu_seg_find(bo->segs, bo->nsegs, off);
	return PHYS_PFN(bo->sdev->hbm_phys + seg->addr + (off - seg->off));
}

static vm_fault_t snpu_bo_fault_range(struct vm_fault *vmf, struct snpu_bo *bo)
{
	struct vm_area_struct *vma = vmf->vma;
	/* offset in the BO that vma->vm_start shows */
	u64 base = (u64)(vma->vm_pgoff - drm_vma_node_start(&bo->base.vma_node)) << PAGE_SHIFT;
	unsigned long addr = vmf->address & PAGE_MASK;
	unsigned long first = max(ALIGN_DOWN(addr, SNPU_FAULT_BYTES), vma->vm_start);
	unsigned long last = min(ALIGN_DOWN(addr, SNPU_FAULT_BYTES) + SNPU_FAULT_BYTES,
				 vma->vm_end);
	vm_fault_t ret;

	if (base + (addr - vma->vm_start) >= bo->base.size)
		return VM_FAULT_SIGBUS;
	/* what was asked for decides; around it as far as it goes */
	ret = vmf_insert_pfn(vma, addr, snpu_bo_pfn(bo, base + (addr - vma->vm_start)));
	if (ret != VM_FAULT_NOPAGE)
		return ret;
	for (; first < last && base + (first - vma->vm_start) < bo->base.size; first += PAGE_SIZE)
		if (vmf_insert_pfn(vma, first, snpu_bo_pfn(bo, base + (first - vma->vm_start))) !=
		    VM_FAULT_NOPAGE)
			break;
	return VM_FAULT_NOPAGE;
}

static vm_fault_t snpu_bo_fault(struct vm_fault *vmf)
{
	struct snpu_bo *bo = to_snpu_bo(vmf->vma->vm_private_data);
	vm_fault_t ret;
	int idx;

	/* host memory is still there when the device has gone */
	if (bo->kind == SNPU_BO_KIND_HOST)
		return snpu_bo_fault_range(vmf, bo);
	if (!drm_dev_enter(bo->base.dev, &idx))
		return VM_FAULT_SIGBUS;
	ret = snpu_bo_fault_range(vmf, bo);
	drm_dev_exit(idx);
	return ret;
}

const struct vm_operations_struct snpu_bo_vm_ops = {
	.open = drm_gem_vm_open,
	.close = drm_gem_vm_close,
	.fault = snpu_bo_fault,
};

/**
 * snpu_bo_mmap() - drm_gem_object_funcs.mmap
 * @obj: BO
 * @vma: mapping to be set up
 *
 * Return: 0; -EINVAL (private mapping); -EOPNOTSUPP (memory of others).
 */
int snpu_bo_mmap(struct drm_gem_object *obj, struct vm_area_struct *vma)
{
	struct snpu_bo *bo = to_snpu_bo(obj);

	if (bo->kind != SNPU_BO_KIND_HOST && bo->kind != SNPU_BO_KIND_HBM)
		return -EOPNOTSUPP;
	/* there is no page to copy */
	if (!(vma->vm_flags & VM_SHARED))
		return -EINVAL;
	vm_flags_set(vma, VM_PFNMAP | VM_DONTEXPAND | VM_DONTDUMP);
	if (bo->kind == SNPU_BO_KIND_HBM) {
		vm_flags_set(vma, VM_IO);
		vma->vm_page_prot = pgprot_writecombine(vm_get_page_prot(vma->vm_flags));
	}
	return 0;
}

/**
 * snpu_ioctl_bo_info() - DRM_IOCTL_SNPU_BO_INFO: tell about a buffer object
 * @drm: device
 * @data: struct drm_snpu_bo_info
 * @file: client
 *
 * Context: process; the device is bound until it returns.
 *
 * Return: 0; -EINVAL, -ENOENT.
 */
int snpu_ioctl_bo_info(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct snpu_device *sdev = to_snpu_device(drm);
	struct drm_snpu_bo_info *args = data;
	struct drm_gem_object *obj;
	struct snpu_bo *bo;

	if (args->pad)
		return -EINVAL;
	obj = drm_gem_object_lookup(file, args->handle);
	if (!obj)
		return -ENOENT;
	bo = to_snpu_bo(obj);
	args->flags = bo->flags;
	args->size = obj->size;
	args->mmap_offset = 0;
	args->node_id = ~0u;
	switch (bo->kind) {
	case SNPU_BO_KIND_HBM:
		args->node_id = sdev->facts.node_id;
		fallthrough;
	case SNPU_BO_KIND_HOST:
		args->mmap_offset = drm_vma_node_offset_addr(&obj->vma_node);
		break;
	case SNPU_BO_KIND_PEER:
	case SNPU_BO_KIND_SEGMENT:
		args->node_id = bo->import->node;
		break;
	case SNPU_BO_KIND_IMPORT:
		break;
	}
	drm_gem_object_put(obj);
	return 0;
}
