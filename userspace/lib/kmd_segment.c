// SPDX-License-Identifier: MIT
/*
 * kmd transport: segments.
 */
#include <string.h>
#include <drm/snpu_accel.h>

#include "kmd.h"

_Static_assert(DRM_SNPU_SEG_NAME_MAX == SNPU_DIR_NAME_MAX, "names");
_Static_assert(DRM_SNPU_SEG_READ == SNPU_SEG_READ && DRM_SNPU_SEG_WRITE == SNPU_SEG_WRITE, "access");
_Static_assert(DRM_SNPU_SEG_READ == DRM_SNPU_BIND_READ &&
	       DRM_SNPU_SEG_WRITE == DRM_SNPU_BIND_WRITE, "access of a mapping");

int kmd_seg_export(struct snpu_mem *mem, unsigned int access, const char *name,
		   struct snpu_seg_handle *handle)
{
	struct kmd_bo *bo = mem->priv;
	struct drm_snpu_seg_export req = { .handle = bo->handle, .access = access };
	int ret = kmd_since(mem->ctx->npu, KMD_UAPI_FABRIC, "snpu_seg_export");

	if (ret)
		return ret;
	/* its length was checked; the rest of the field is zero */
	if (name)
		memcpy(req.name, name, strlen(name));
	ret = kmd_ioctl(kmd_fd(mem->ctx), DRM_IOCTL_SNPU_SEG_EXPORT, &req);
	if (ret)
		return snpu_fail(ret, "snpu_seg_export: NPU %u%s%s%s", mem->ctx->npu->index,
				 name ? ", name " : "", name ? name : "",
				 ret == -EEXIST ? ": taken" :
				 ret == -ENOSPC ? ": no export slot is free" :
				 ret == -EMFILE ? ": the other export slots are for others" : "");
	bo->seg = req.seg;
	handle->node = req.node;
	handle->seg = req.seg;
	handle->access = access;
	handle->token = req.token;
	handle->bytes = mem->bytes;
	return 0;
}

int kmd_seg_revoke(struct snpu_mem *mem)
{
	struct kmd_bo *bo = mem->priv;
	struct drm_snpu_seg_revoke req = { .seg = bo->seg };
	int ret = kmd_ioctl(kmd_fd(mem->ctx), DRM_IOCTL_SNPU_SEG_REVOKE, &req);

	/* a reset, or the end of the NPU, has done it */
	if (ret == -ESTALE || ret == -ENODEV)
		ret = 0;
	if (ret)
		return snpu_fail(ret, "snpu_seg_revoke: NPU %u", mem->ctx->npu->index);
	bo->seg = 0;
	return 0;
}

int kmd_seg_lookup(struct snpu_ctx *ctx, const char *name, struct snpu_seg_handle *handle)
{
	struct drm_snpu_seg_lookup req = { 0 };
	int ret = kmd_since(ctx->npu, KMD_UAPI_FABRIC, "snpu_seg_lookup");

	if (ret)
		return ret;
	memcpy(req.name, name, strlen(name));
	ret = kmd_ioctl(kmd_fd(ctx), DRM_IOCTL_SNPU_SEG_LOOKUP, &req);
	if (ret)
		return snpu_fail(ret, "snpu_seg_lookup: %s%s", name,
				 ret == -ENOENT ? ": nobody has published it" : "");
	handle->node = req.node;
	handle->seg = req.seg;
	handle->token = req.token;
	handle->bytes = req.size;
	handle->access = req.access;
	return 0;
}

int kmd_seg_import(struct snpu_mem *mem, const struct snpu_seg_handle *handle)
{
	struct drm_snpu_seg_import req = {
		.node = handle->node, .seg = handle->seg, .token = handle->token,
	};
	int ret = kmd_since(mem->ctx->npu, KMD_UAPI_FABRIC, "snpu_seg_import");

	if (ret)
		return ret;
	ret = kmd_ioctl(kmd_fd(mem->ctx), DRM_IOCTL_SNPU_SEG_IMPORT, &req);
	if (ret)
		return snpu_fail(ret, "snpu_seg_import: segment %u of node %u: %s", handle->seg,
				 handle->node, ret == -EACCES ? "wrong token" :
				 ret == -ENOENT ? "there is none" :
				 ret == -EHOSTUNREACH ? "no way there" :
				 ret == -ENOSPC ? "no import slot is free" :
				 ret == -EMFILE ? "the other import slots are for others" :
				 "NPU failed");
	ret = kmd_mem_adopt(mem, req.handle, req.access);
	if (ret)
		return snpu_fail(ret, "snpu_seg_import");
	mem->bytes = req.size;
	/* what may not be written is not mapped so */
	if (!(req.access & DRM_SNPU_SEG_WRITE))
		mem->flags |= SNPU_MEM_READ_ONLY;
	return 0;
}
