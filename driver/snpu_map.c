// SPDX-License-Identifier: GPL-2.0-only
/*
 * snpu maps: the doorbell page and the completion page of a queue in userspace.
 *
 * Both outlive queue and device, so that a process that lost its NPU is told so rather than killed:
 * the completion page is the kernel's own and stays as it was last; in place of the doorbell a page
 * appears that nobody looks at.
 */
#include <linux/mm.h>

#include "snpu_drv.h"

static inline struct snpu_map *to_snpu_map(struct drm_gem_object *obj)
{
	return container_of(obj, struct snpu_map, base);
}

static vm_fault_t snpu_map_fault(struct vm_fault *vmf)
{
	struct vm_area_struct *vma = vmf->vma;
	struct snpu_map *map = to_snpu_map(vma->vm_private_data);
	vm_fault_t ret;
	int idx;

	mutex_lock(&map->lock);
	if (map->phys && !map->dead && drm_dev_enter(map->base.dev, &idx)) {
		ret = vmf_insert_pfn(vma, vmf->address, PHYS_PFN(map->phys));
		drm_dev_exit(idx);
	} else {
		ret = vmf_insert_pfn_prot(vma, vmf->address, page_to_pfn(map->page),
					  vm_get_page_prot(vma->vm_flags));
	}
	mutex_unlock(&map->lock);
	return ret;
}

static const struct vm_operations_struct snpu_map_vm_ops = {
	.open = drm_gem_vm_open,
	.close = drm_gem_vm_close,
	.fault = snpu_map_fault,
};

static int snpu_map_mmap(struct drm_gem_object *obj, struct vm_area_struct *vma)
{
	struct snpu_map *map = to_snpu_map(obj);

	if (!(vma->vm_flags & VM_SHARED))
		return -EINVAL;
	if (!map->phys) {
		if (vma->vm_flags & VM_WRITE)
			return -EACCES;
		vm_flags_clear(vma, VM_MAYWRITE);
	} else {
		vma->vm_page_prot = pgprot_noncached(vm_get_page_prot(vma->vm_flags));
		vm_flags_set(vma, VM_IO);
	}
	/* a child has the file, but the queue is its parent's */
	vm_flags_set(vma, VM_PFNMAP | VM_DONTEXPAND | VM_DONTDUMP | VM_DONTCOPY);
	return 0;
}

static void snpu_map_free(struct drm_gem_object *obj)
{
	struct snpu_map *map = to_snpu_map(obj);

	drm_gem_object_release(obj);
	if (map->page)
		__free_page(map->page);
	mutex_destroy(&map->lock);
	kfree(map);
}

static const struct drm_gem_object_funcs snpu_map_funcs = {
	.free = snpu_map_free,
	.mmap = snpu_map_mmap,
	.vm_ops = &snpu_map_vm_ops,
};

/**
 * snpu_map_create() - make a page that @file can map
 * @sdev: device
 * @file: who may map it
 * @phys: CPU address of a doorbell page; 0: a fresh page that is read-only to the user
 *
 * Return: the map, to be given to snpu_map_kill() and then to drm_gem_object_put(); ERR_PTR.
 */
struct snpu_map *snpu_map_create(struct snpu_device *sdev, struct drm_file *file, phys_addr_t phys)
{
	struct snpu_map *map;
	int ret;

	map = kzalloc_obj(*map);
	if (!map)
		return ERR_PTR(-ENOMEM);
	map->phys = phys;
	mutex_init(&map->lock);
	map->base.funcs = &snpu_map_funcs;
	drm_gem_private_object_init(&sdev->drm, &map->base, PAGE_SIZE);
	ret = -ENOMEM;
	map->page = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	if (!map->page)
		goto err;
	ret = drm_gem_create_mmap_offset(&map->base);
	if (ret)
		goto err;
	ret = drm_vma_node_allow(&map->base.vma_node, file);
	if (ret)
		goto err;
	return map;
err:
	drm_gem_object_put(&map->base);
	return ERR_PTR(ret);
}

/**
 * snpu_map_kill() - take a map from its user
 * @map: map
 * @file: whom it was made for
 *
 * It cannot be mapped again. On return nobody has a doorbell page in sight.
 */
void snpu_map_kill(struct snpu_map *map, struct drm_file *file)
{
	drm_vma_node_revoke(&map->base.vma_node, file);
	if (!map->phys)
		return;
	mutex_lock(&map->lock);
	map->dead = true;
	mutex_unlock(&map->lock);
	/* faults that come now find it dead */
	drm_vma_node_unmap(&map->base.vma_node, map->base.dev->anon_inode->i_mapping);
}

/** snpu_map_offset() - offset for mmap() */
u64 snpu_map_offset(struct snpu_map *map)
{
	return drm_vma_node_offset_addr(&map->base.vma_node);
}
