// SPDX-License-Identifier: GPL-2.0-only
/*
 * snpu dma-buf: export of our BOs, import of everybody's.
 *
 * HBM goes to other devices peer to peer or not at all, and only to importers that give it back
 * when they are told to. Another snpu maps it over the fabric instead, without any attachment.
 */
#include <linux/dma-buf.h>
#include <linux/dma-buf-mapping.h>
#include <linux/dma-mapping.h>
#include <linux/dma-resv.h>
#include <linux/wait_bit.h>

#include <drm/drm_prime.h>

#include "snpu_drv.h"

MODULE_IMPORT_NS("DMA_BUF");

#define SNPU_REVOKE_TIMEOUT	(10 * HZ)

static int snpu_dmabuf_attach(struct dma_buf *dmabuf, struct dma_buf_attachment *attach)
{
	struct snpu_bo *bo = to_snpu_bo(dmabuf->priv);

	if (bo->kind == SNPU_BO_KIND_HOST)
		return 0;
	if (READ_ONCE(bo->revoked))
		return -ENODEV;
	if (!bo->sdev->p2p || !attach->peer2peer || !dma_buf_attach_revocable(attach))
		return -EOPNOTSUPP;
	if (pci_p2pdma_distance(bo->sdev->pdev, attach->dev, false) < 0)
		return -EOPNOTSUPP;
	return 0;
}

static struct sg_table *snpu_dmabuf_map_host(struct dma_buf_attachment *attach, struct snpu_bo *bo,
					     enum dma_data_direction dir)
{
	struct sg_table *sgt;
	int ret;

	sgt = drm_prime_pages_to_sg(NULL, bo->pages, bo->base.size >> PAGE_SHIFT);
	if (IS_ERR(sgt))
		return sgt;
	ret = dma_map_sgtable(attach->dev, sgt, dir, DMA_ATTR_SKIP_CPU_SYNC);
	if (ret) {
		sg_free_table(sgt);
		kfree(sgt);
		return ERR_PTR(ret);
	}
	return sgt;
}

static struct sg_table *snpu_dmabuf_map(struct dma_buf_attachment *attach,
					enum dma_data_direction dir)
{
	struct snpu_bo *bo = to_snpu_bo(attach->dmabuf->priv);
	struct phys_vec *vec;
	struct sg_table *sgt;
	u32 i;

	dma_resv_assert_held(attach->dmabuf->resv);
	if (bo->kind == SNPU_BO_KIND_HOST)
		return snpu_dmabuf_map_host(attach, bo, dir);
	if (bo->revoked)
		return ERR_PTR(-ENODEV);
	vec = kvmalloc_objs(*vec, bo->nsegs);
	if (!vec)
		return ERR_PTR(-ENOMEM);
	for (i = 0; i < bo->nsegs; i++) {
		vec[i].paddr = bo->sdev->hbm_phys + bo->segs[i].addr;
		vec[i].len = bo->segs[i].bytes;
	}
	sgt = dma_buf_phys_vec_to_sgt(attach, bo->sdev->p2p, vec, bo->nsegs, bo->base.size, dir);
	kvfree(vec);
	if (!IS_ERR(sgt))
		atomic_inc(&bo->p2p_maps);
	return sgt;
}

static void snpu_dmabuf_unmap(struct dma_buf_attachment *attach, struct sg_table *sgt,
			      enum dma_data_direction dir)
{
	struct snpu_bo *bo = to_snpu_bo(attach->dmabuf->priv);

	if (bo->kind == SNPU_BO_KIND_HOST) {
		dma_unmap_sgtable(attach->dev, sgt, dir, DMA_ATTR_SKIP_CPU_SYNC);
		sg_free_table(sgt);
		kfree(sgt);
		return;
	}
	dma_buf_free_sgt(attach, sgt, dir);
	if (atomic_dec_and_test(&bo->p2p_maps))
		wake_up_var(&bo->p2p_maps);
}

static void snpu_dmabuf_release(struct dma_buf *dmabuf)
{
	struct snpu_bo *bo = to_snpu_bo(dmabuf->priv);

	dma_resv_lock(bo->base.resv, NULL);
	bo->dmabuf = NULL;
	dma_resv_unlock(bo->base.resv);
	drm_gem_dmabuf_release(dmabuf);
}

static const struct dma_buf_ops snpu_dmabuf_ops = {
	.attach = snpu_dmabuf_attach,
	.map_dma_buf = snpu_dmabuf_map,
	.unmap_dma_buf = snpu_dmabuf_unmap,
	.release = snpu_dmabuf_release,
	.mmap = drm_gem_dmabuf_mmap,
	.vmap = drm_gem_dmabuf_vmap,
	.vunmap = drm_gem_dmabuf_vunmap,
};

/**
 * snpu_prime_export() - drm_gem_object_funcs.export
 * @obj: BO in HBM or host memory
 * @flags: of the file
 *
 * Return: the dma-buf or an ERR_PTR; -EOPNOTSUPP: a segment, which its exporter hands out.
 */
struct dma_buf *snpu_prime_export(struct drm_gem_object *obj, int flags)
{
	struct snpu_bo *bo = to_snpu_bo(obj);
	DEFINE_DMA_BUF_EXPORT_INFO(info);
	struct dma_buf *dmabuf;

	if (bo->kind == SNPU_BO_KIND_SEGMENT)
		return ERR_PTR(-EOPNOTSUPP);
	info.ops = &snpu_dmabuf_ops;
	info.size = obj->size;
	info.flags = flags;
	info.priv = obj;
	info.resv = obj->resv;
	dmabuf = drm_gem_dmabuf_export(obj->dev, &info);
	if (IS_ERR(dmabuf))
		return dmabuf;
	dma_resv_lock(obj->resv, NULL);
	bo->dmabuf = dmabuf;
	dma_resv_unlock(obj->resv);
	return dmabuf;
}

/**
 * snpu_prime_revoke() - take exported HBM back
 * @bo: BO in HBM of a device that is being removed
 *
 * Context: may sleep; sdev->bo_lock is held.
 */
void snpu_prime_revoke(struct snpu_bo *bo)
{
	dma_resv_lock(bo->base.resv, NULL);
	bo->revoked = true;
	if (bo->dmabuf)
		dma_buf_invalidate_mappings(bo->dmabuf);
	dma_resv_wait_timeout(bo->base.resv, DMA_RESV_USAGE_BOOKKEEP, false, SNPU_REVOKE_TIMEOUT);
	dma_resv_unlock(bo->base.resv);
	if (!wait_var_event_timeout(&bo->p2p_maps, !atomic_read(&bo->p2p_maps),
				    SNPU_REVOKE_TIMEOUT))
		drm_err(bo->base.dev, "an importer of HBM does not give it back\n");
}

static void snpu_import_invalidate(struct dma_buf_attachment *attach)
{
	struct snpu_bo *bo = attach->importer_priv;

	dma_resv_assert_held(attach->dmabuf->resv);
	if (!bo->sgt)
		return;
	drm_dbg(bo->base.dev, "an imported buffer of %zu bytes was revoked\n", bo->base.size);
	snpu_vm_revoke_bo(bo);
	dma_buf_unmap_attachment(attach, bo->sgt, DMA_BIDIRECTIONAL);
	bo->sgt = NULL;
}

static const struct dma_buf_attach_ops snpu_attach_ops = {
	.allow_peer2peer = true,
	.SNPU_COMPAT_ATTACH_NOTIFY = snpu_import_invalidate,
};

/** snpu_prime_unmap_import() - end the DMA mapping of a foreign buffer that nothing uses */
void snpu_prime_unmap_import(struct snpu_bo *bo)
{
	if (!bo->attach)
		return;
	dma_resv_lock(bo->base.resv, NULL);
	if (bo->sgt) {
		dma_buf_unmap_attachment(bo->attach, bo->sgt, DMA_BIDIRECTIONAL);
		bo->sgt = NULL;
	}
	dma_resv_unlock(bo->base.resv);
}

/** snpu_prime_detach() - let go of an imported buffer, whose BO is being freed */
void snpu_prime_detach(struct snpu_bo *bo)
{
	if (bo->attach) {
		if (bo->pinned) {
			dma_resv_lock(bo->dmabuf->resv, NULL);
			dma_buf_unpin(bo->attach);
			dma_resv_unlock(bo->dmabuf->resv);
		}
		dma_buf_detach(bo->dmabuf, bo->attach);
	}
	if (bo->import)
		snpu_import_put(bo->sdev, NULL, bo->import);
	/* our reservation object is the dma-buf's, and goes with it */
	bo->base.resv = &bo->base._resv;
	if (bo->dmabuf)
		dma_buf_put(bo->dmabuf);
}

static struct snpu_bo *snpu_import_bo(struct snpu_device *sdev, enum snpu_bo_kind kind,
				      struct dma_buf *dmabuf, u32 flags)
{
	struct snpu_bo *bo;

	if (!dmabuf->size || !IS_ALIGNED(dmabuf->size, SNPU_PAGE_SIZE)) {
		drm_dbg(&sdev->drm, "dma-buf of %zu bytes: must be a multiple of %u\n",
			dmabuf->size, SNPU_PAGE_SIZE);
		return ERR_PTR(-EINVAL);
	}
	bo = snpu_bo_alloc(sdev, kind, dmabuf->size, flags);
	if (IS_ERR(bo))
		return bo;
	get_dma_buf(dmabuf);
	bo->dmabuf = dmabuf;
	bo->base.resv = dmabuf->resv;
	return bo;
}

static struct drm_gem_object *snpu_import_foreign(struct snpu_device *sdev, struct dma_buf *dmabuf)
{
	struct dma_buf_attachment *attach;
	struct sg_table *sgt;
	struct snpu_bo *bo;
	int ret;

	bo = snpu_import_bo(sdev, SNPU_BO_KIND_IMPORT, dmabuf, DRM_SNPU_BO_IMPORTED);
	if (IS_ERR(bo))
		return ERR_CAST(bo);
	attach = dma_buf_dynamic_attach(dmabuf, &sdev->pdev->dev, &snpu_attach_ops, bo);
	if (IS_ERR(attach)) {
		ret = PTR_ERR(attach);
		goto err;
	}
	bo->attach = attach;
	dma_resv_lock(dmabuf->resv, NULL);
	ret = dma_buf_pin(attach);
	if (ret)
		goto err_unlock;
	bo->pinned = true;
	sgt = dma_buf_map_attachment(attach, DMA_BIDIRECTIONAL);
	if (IS_ERR(sgt)) {
		ret = PTR_ERR(sgt);
		goto err_unlock;
	}
	bo->sgt = sgt;
	ret = snpu_segs_from_sgt(sgt, bo->base.size, &bo->segs, &bo->nsegs);
	if (ret) {
		drm_dbg(&sdev->drm, "dma-buf is not made of whole pages that the NPU can reach\n");
		goto err_unlock;
	}
	dma_resv_unlock(dmabuf->resv);
	mutex_lock(&sdev->bo_lock);
	list_add(&bo->link, &sdev->bos);
	mutex_unlock(&sdev->bo_lock);
	bo->base.import_attach = attach;
	return &bo->base;

err_unlock:
	dma_resv_unlock(dmabuf->resv);
err:
	drm_gem_object_put(&bo->base);
	return ERR_PTR(ret);
}

static struct drm_gem_object *snpu_import_peer(struct snpu_device *sdev, struct dma_buf *dmabuf)
{
	struct snpu_bo *theirs = to_snpu_bo(dmabuf->priv);
	struct snpu_import *imp;
	struct snpu_bo *bo;

	imp = snpu_import_get_peer(sdev, theirs->sdev);
	if (IS_ERR(imp))
		return ERR_CAST(imp);
	bo = snpu_import_bo(sdev, SNPU_BO_KIND_PEER, dmabuf, DRM_SNPU_BO_PEER);
	if (IS_ERR(bo)) {
		snpu_import_put(sdev, NULL, imp);
		return ERR_CAST(bo);
	}
	bo->import = imp;
	/* segment 0 of a peer is all of its HBM: offsets there are offsets in the segment */
	bo->nsegs = theirs->nsegs;
	bo->segs = kvmemdup(theirs->segs, theirs->nsegs * sizeof(*theirs->segs), GFP_KERNEL);
	if (!bo->segs) {
		drm_gem_object_put(&bo->base);
		return ERR_PTR(-ENOMEM);
	}
	return &bo->base;
}

/**
 * snpu_prime_import() - drm_driver.gem_prime_import
 * @drm: importing device
 * @dmabuf: anybody's buffer
 *
 * Return: a BO with a reference, or an ERR_PTR.
 */
struct drm_gem_object *snpu_prime_import(struct drm_device *drm, struct dma_buf *dmabuf)
{
	struct snpu_device *sdev = to_snpu_device(drm);
	struct drm_gem_object *obj;
	int idx;

	if (dmabuf->ops == &snpu_dmabuf_ops) {
		obj = dmabuf->priv;
		if (obj->dev == drm) {
			drm_gem_object_get(obj);
			return obj;
		}
	}
	if (!drm_dev_enter(drm, &idx))
		return ERR_PTR(-ENODEV);
	obj = ERR_PTR(-EOPNOTSUPP);
	if (dmabuf->ops == &snpu_dmabuf_ops &&
	    to_snpu_bo(dmabuf->priv)->kind == SNPU_BO_KIND_HBM)
		obj = snpu_import_peer(sdev, dmabuf);
	if (obj == ERR_PTR(-EOPNOTSUPP))
		obj = snpu_import_foreign(sdev, dmabuf);
	drm_dev_exit(idx);
	return obj;
}
