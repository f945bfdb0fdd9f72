// SPDX-License-Identifier: GPL-2.0-only
/*
 * snpu buffer objects: in HBM, in pinned host memory near the NPU, or somebody else's.
 */
#include <linux/cgroup_dmem.h>
#include <linux/dma-mapping.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/swiotlb.h>
#include <linux/vmalloc.h>

#include <drm/drm_prime.h>

#include "snpu_drv.h"

/* Pieces of host memory that are tried, largest first: what the device maps with one entry */
#define SNPU_HOST_ORDER	(SNPU_HUGE_SHIFT - PAGE_SHIFT)

/**
 * snpu_seg_find() - find the segment that holds an offset
 * @segs: segments in order, without gaps
 * @nsegs: how many
 * @off: offset inside the BO
 *
 * Return: the segment; NULL if there is none.
 */
const struct snpu_seg *snpu_seg_find(const struct snpu_seg *segs, u32 nsegs, u64 off)
{
	u32 low = 0, high = nsegs;

	while (low < high) {
		u32 mid = low + (high - low) / 2;

		if (off < segs[mid].off)
			high = mid;
		else if (off - segs[mid].off >= segs[mid].bytes)
			low = mid + 1;
		else
			return &segs[mid];
	}
	return NULL;
}

/**
 * snpu_segs_from_sgt() - describe a DMA-mapped scatter list as segments
 * @sgt: scatter list
 * @bytes: size of the BO; a list that is shorter, or not made of pages, is refused
 * @segs: array, to be freed with kvfree()
 * @nsegs: its length
 *
 * Return: 0; -ENOMEM; -EINVAL.
 */
int snpu_segs_from_sgt(struct sg_table *sgt, u64 bytes, struct snpu_seg **segs, u32 *nsegs)
{
	struct scatterlist *sg;
	struct snpu_seg *seg;
	u64 off = 0;
	u32 n = 0;
	int i;

	seg = kvmalloc_objs(*seg, max(sgt->nents, 1u));
	if (!seg)
		return -ENOMEM;
	for_each_sgtable_dma_sg(sgt, sg, i) {
		u64 addr = sg_dma_address(sg);
		u64 len = min_t(u64, sg_dma_len(sg), bytes - off);

		if (!len)
			break;
		if (!IS_ALIGNED(addr | len, SNPU_PAGE_SIZE) ||
		    (addr + len - 1) & ~(SNPU_PTE_ADDR_MASK | (SNPU_PAGE_SIZE - 1)))
			goto err;
		if (n && seg[n - 1].addr + seg[n - 1].bytes == addr)
			seg[n - 1].bytes += len;
		else
			seg[n++] = (struct snpu_seg){ .off = off, .addr = addr, .bytes = len };
		off += len;
	}
	if (off != bytes)
		goto err;
	*segs = seg;
	*nsegs = n;
	return 0;
err:
	kvfree(seg);
	return -EINVAL;
}

static void snpu_host_free(struct snpu_bo *bo)
{
	unsigned long i, n = bo->base.size >> PAGE_SHIFT;

	if (!bo->pages)
		return;
	for (i = 0; i < n && bo->pages[i]; i++) {
		__free_page(bo->pages[i]);
		if (!(i % 1024))
			cond_resched();
	}
	kvfree(bo->pages);
	bo->pages = NULL;
}

static int snpu_host_alloc(struct snpu_bo *bo)
{
	unsigned long i = 0, j, n = bo->base.size >> PAGE_SHIFT;
	int node = dev_to_node(&bo->sdev->pdev->dev);
	unsigned int order = SNPU_HOST_ORDER;
	struct page *page;
	gfp_t gfp;

	if (n > totalram_pages())
		return -ENOMEM;
	bo->pages = kvzalloc_objs(*bo->pages, n);
	if (!bo->pages)
		return -ENOMEM;
	while (i < n) {
		while (BIT(order) > n - i)
			order--;
		gfp = GFP_KERNEL_ACCOUNT | __GFP_ZERO | __GFP_NOWARN;
		/* large pieces are a favour to the device's TLB, not worth compaction */
		gfp |= order ? __GFP_NORETRY : __GFP_RETRY_MAYFAIL;
		page = alloc_pages_node(node, gfp, order);
		if (!page) {
			if (!order)
				return -ENOMEM;
			order--;
			continue;
		}
		split_page(page, order);
		for (j = 0; j < BIT(order); j++)
			bo->pages[i++] = page + j;
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	}
	return 0;
}

/**
 * snpu_host_bounced() - refuse host memory that the device would only see a copy of
 * @sdev: device
 *
 * Return: -EOPNOTSUPP; the kernel log has the reason, once.
 */
int snpu_host_bounced(struct snpu_device *sdev)
{
	drm_warn_once(&sdev->drm,
		      "host memory goes through bounce buffers (a confidential guest, or swiotlb=force), and the NPU must share it with the CPU: no queue can be made\n");
	return -EOPNOTSUPP;
}

static int snpu_host_map(struct snpu_bo *bo)
{
	struct device *dev = &bo->sdev->pdev->dev;
	struct sg_table *sgt;
	int ret;

	/* larger buffers would fail to map first, with an error that says nothing */
	if (is_swiotlb_force_bounce(dev))
		return snpu_host_bounced(bo->sdev);
	sgt = drm_prime_pages_to_sg(&bo->sdev->drm, bo->pages, bo->base.size >> PAGE_SHIFT);
	if (IS_ERR(sgt))
		return PTR_ERR(sgt);
	ret = dma_map_sgtable(dev, sgt, DMA_BIDIRECTIONAL, DMA_ATTR_SKIP_CPU_SYNC);
	if (ret)
		goto err_sgt;
	/* NPU and CPU see the memory at the same time: it has to be coherent */
	if (dma_need_sync(dev, sg_dma_address(sgt->sgl))) {
		ret = snpu_host_bounced(bo->sdev);
		goto err_map;
	}
	ret = snpu_segs_from_sgt(sgt, bo->base.size, &bo->segs, &bo->nsegs);
	if (ret)
		goto err_map;
	bo->sgt = sgt;
	return 0;
err_map:
	dma_unmap_sgtable(dev, sgt, DMA_BIDIRECTIONAL, DMA_ATTR_SKIP_CPU_SYNC);
err_sgt:
	sg_free_table(sgt);
	kfree(sgt);
	return ret;
}

static void snpu_host_unmap(struct snpu_bo *bo)
{
	lockdep_assert_held(&bo->sdev->bo_lock);
	if (!bo->sgt)
		return;
	dma_unmap_sgtable(&bo->sdev->pdev->dev, bo->sgt, DMA_BIDIRECTIONAL,
			  DMA_ATTR_SKIP_CPU_SYNC);
	sg_free_table(bo->sgt);
	kfree(bo->sgt);
	bo->sgt = NULL;
}

static void snpu_bo_free(struct drm_gem_object *obj)
{
	struct snpu_bo *bo = to_snpu_bo(obj);
	struct snpu_device *sdev = bo->sdev;

	mutex_lock(&sdev->bo_lock);
	list_del_init(&bo->link);
	if (bo->kind == SNPU_BO_KIND_HOST)
		snpu_host_unmap(bo);
	else if (bo->kind == SNPU_BO_KIND_IMPORT)
		snpu_prime_unmap_import(bo);
	mutex_unlock(&sdev->bo_lock);
	if (bo->kind == SNPU_BO_KIND_IMPORT || bo->kind == SNPU_BO_KIND_PEER) {
		snpu_prime_detach(bo);
	} else if (bo->kind == SNPU_BO_KIND_HBM) {
		snpu_hbm_free(sdev, &bo->blocks);
		dmem_cgroup_uncharge(bo->charge, obj->size);
	} else if (bo->kind == SNPU_BO_KIND_SEGMENT && bo->import) {
		snpu_import_put(sdev, bo->importer, bo->import);
		snpu_client_put(bo->importer);
	}
	drm_gem_object_release(obj);
	snpu_host_free(bo);
	kvfree(bo->segs);
	kfree(bo);
}

static int snpu_bo_vmap(struct drm_gem_object *obj, struct iosys_map *map)
{
	struct snpu_bo *bo = to_snpu_bo(obj);
	int idx;

	dma_resv_assert_held(obj->resv);
	if (bo->vmap_users) {
		bo->vmap_users++;
		goto out;
	}
	switch (bo->kind) {
	case SNPU_BO_KIND_HOST:
		bo->vmap = vmap(bo->pages, obj->size >> PAGE_SHIFT, VM_MAP, PAGE_KERNEL);
		break;
	case SNPU_BO_KIND_HBM:
		/* a mapping of scattered pieces of a BAR would need more than its few users do */
		if (bo->nsegs != 1)
			return -EOPNOTSUPP;
		if (!drm_dev_enter(obj->dev, &idx))
			return -ENODEV;
		bo->vmap = (void __force *)ioremap_wc(bo->sdev->hbm_phys + bo->segs[0].addr,
						      obj->size);
		drm_dev_exit(idx);
		break;
	case SNPU_BO_KIND_IMPORT:
	case SNPU_BO_KIND_PEER:
		return dma_buf_vmap(bo->dmabuf, map);
	case SNPU_BO_KIND_SEGMENT:
		return -EOPNOTSUPP;
	}
	if (!bo->vmap)
		return -ENOMEM;
	bo->vmap_users = 1;
out:
	if (bo->kind == SNPU_BO_KIND_HBM)
		iosys_map_set_vaddr_iomem(map, (void __iomem __force *)bo->vmap);
	else
		iosys_map_set_vaddr(map, bo->vmap);
	return 0;
}

static void snpu_bo_vunmap(struct drm_gem_object *obj, struct iosys_map *map)
{
	struct snpu_bo *bo = to_snpu_bo(obj);

	dma_resv_assert_held(obj->resv);
	if (bo->kind == SNPU_BO_KIND_IMPORT || bo->kind == SNPU_BO_KIND_PEER) {
		dma_buf_vunmap(bo->dmabuf, map);
		return;
	}
	if (--bo->vmap_users)
		return;
	if (bo->kind == SNPU_BO_KIND_HOST)
		vunmap(bo->vmap);
	else
		iounmap((void __iomem __force *)bo->vmap);
	bo->vmap = NULL;
}

static enum drm_gem_object_status snpu_bo_status(struct drm_gem_object *obj)
{
	return DRM_GEM_OBJECT_RESIDENT;
}

const struct drm_gem_object_funcs snpu_bo_funcs = {
	.free = snpu_bo_free,
	.export = snpu_prime_export,
	.vmap = snpu_bo_vmap,
	.vunmap = snpu_bo_vunmap,
	.mmap = snpu_bo_mmap,
	.status = snpu_bo_status,
	.vm_ops = &snpu_bo_vm_ops,
};

/**
 * snpu_bo_alloc() - make a BO without memory
 * @sdev: device
 * @kind: enum snpu_bo_kind
 * @bytes: size, multiple of 4 KiB
 * @flags: DRM_SNPU_BO_* that userspace sees
 *
 * drm_gem_object_put() frees it, in whatever state it is then.
 *
 * Return: the BO or ERR_PTR(-ENOMEM).
 */
struct snpu_bo *snpu_bo_alloc(struct snpu_device *sdev, enum snpu_bo_kind kind, u64 bytes,
			      u32 flags)
{
	struct snpu_bo *bo;

	bo = kzalloc_obj(*bo, GFP_KERNEL_ACCOUNT);
	if (!bo)
		return ERR_PTR(-ENOMEM);
	bo->sdev = sdev;
	bo->kind = kind;
	bo->flags = flags;
	INIT_LIST_HEAD(&bo->blocks);
	INIT_LIST_HEAD(&bo->link);
	bo->base.funcs = &snpu_bo_funcs;
	drm_gem_private_object_init(&sdev->drm, &bo->base, bytes);
	return bo;
}

static int snpu_hbm_bo_init(struct snpu_bo *bo)
{
	struct snpu_device *sdev = bo->sdev;
	u64 bytes = bo->base.size;
	u64 align = bytes >= SNPU_HUGE_SIZE ? SNPU_HUGE_SIZE : SNPU_PAGE_SIZE;
	int ret = 0;

	if (sdev->dmem)
		ret = dmem_cgroup_try_charge(sdev->dmem, bytes, &bo->charge, NULL);
	if (ret)
		return ret == -EAGAIN ? -ENOSPC : ret;
	ret = snpu_hbm_alloc(sdev, bytes, align, bo->flags & DRM_SNPU_BO_CONTIG, &bo->blocks);
	if (ret)
		return ret;
	return snpu_hbm_segs(sdev, &bo->blocks, &bo->segs, &bo->nsegs);
}

static int snpu_host_bo_init(struct snpu_bo *bo)
{
	int ret = snpu_host_alloc(bo);

	return ret ?: snpu_host_map(bo);
}

static int snpu_bo_args_check(struct snpu_device *sdev, const struct drm_snpu_bo_create *args)
{
	u32 where = args->flags & (DRM_SNPU_BO_HBM | DRM_SNPU_BO_HOST);

	if (args->flags & ~(DRM_SNPU_BO_HBM | DRM_SNPU_BO_HOST | DRM_SNPU_BO_CONTIG) ||
	    (where != DRM_SNPU_BO_HBM && where != DRM_SNPU_BO_HOST) ||
	    (where == DRM_SNPU_BO_HOST && args->flags & DRM_SNPU_BO_CONTIG)) {
		drm_dbg(&sdev->drm, "flags %#x: HOST, HBM, or HBM | CONTIG is allowed\n",
			args->flags);
		return -EINVAL;
	}
	if (!args->size || args->size > SZ_1T) {
		drm_dbg(&sdev->drm, "size %#llx: allowed are 1 to %#llx\n", args->size,
			(u64)SZ_1T);
		return -EINVAL;
	}
	return 0;
}

/**
 * snpu_ioctl_bo_create() - DRM_IOCTL_SNPU_BO_CREATE: make a buffer object
 * @drm: device
 * @data: struct drm_snpu_bo_create
 * @file: client
 *
 * Context: process; the device is bound until it returns.
 *
 * Return: 0; -EINVAL, -ENOSPC (HBM), -ENOMEM, -EIO, -ENODEV, -EOPNOTSUPP (host memory that is
 * not coherent for the device).
 */
int snpu_ioctl_bo_create(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct snpu_device *sdev = to_snpu_device(drm);
	struct drm_snpu_bo_create *args = data;
	struct snpu_bo *bo;
	bool hbm;
	u64 size;
	int ret;

	ret = snpu_bo_args_check(sdev, args);
	if (ret)
		return ret;
	hbm = args->flags & DRM_SNPU_BO_HBM;
	size = round_up(args->size, hbm && args->size >= SNPU_HUGE_SIZE ? SNPU_HUGE_SIZE :
			PAGE_SIZE);
	bo = snpu_bo_alloc(sdev, hbm ? SNPU_BO_KIND_HBM : SNPU_BO_KIND_HOST, size, args->flags);
	if (IS_ERR(bo))
		return PTR_ERR(bo);
	ret = hbm ? snpu_hbm_bo_init(bo) : snpu_host_bo_init(bo);
	if (ret)
		goto out;
	ret = drm_gem_create_mmap_offset(&bo->base);
	if (ret)
		goto out;
	mutex_lock(&sdev->bo_lock);
	list_add(&bo->link, &sdev->bos);
	mutex_unlock(&sdev->bo_lock);
	/* last: from here on userspace can find it */
	ret = drm_gem_handle_create(file, &bo->base, &args->handle);
	if (ret)
		goto out;
	args->size = size;
	args->mmap_offset = drm_vma_node_offset_addr(&bo->base.vma_node);
out:
	drm_gem_object_put(&bo->base);
	return ret;
}

/**
 * snpu_bos_detach() - take all DMA mappings back; the device is being removed
 * @sdev: device, which is off
 */
void snpu_bos_detach(struct snpu_device *sdev)
{
	struct snpu_bo *bo;

	mutex_lock(&sdev->bo_lock);
	list_for_each_entry(bo, &sdev->bos, link) {
		switch (bo->kind) {
		case SNPU_BO_KIND_HOST:
			snpu_host_unmap(bo);
			break;
		case SNPU_BO_KIND_IMPORT:
			snpu_prime_unmap_import(bo);
			break;
		case SNPU_BO_KIND_HBM:
			snpu_prime_revoke(bo);
			break;
		case SNPU_BO_KIND_PEER:
		case SNPU_BO_KIND_SEGMENT:
			break;
		}
	}
	mutex_unlock(&sdev->bo_lock);
}
