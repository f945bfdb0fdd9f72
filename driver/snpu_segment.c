// SPDX-License-Identifier: GPL-2.0-only
/*
 * snpu segments: memory that other NPUs of the machine reach, in this guest and in others.
 *
 * An export belongs to the client that made it and keeps the BO. The device forgets exports in a
 * function reset; the client finds that out when it revokes. An import is a BO without memory of
 * its own: what its import slot names is checked by the exporter on every access.
 */
#include <linux/random.h>

#include "snpu_drv.h"

static_assert(DRM_SNPU_SEG_READ == SNPU_SEG_READ && DRM_SNPU_SEG_WRITE == SNPU_SEG_WRITE);
static_assert(DRM_SNPU_SEG_NAME_MAX == SNPU_DIR_NAME_MAX);

#define SNPU_SEG_ACCESS	(DRM_SNPU_SEG_READ | DRM_SNPU_SEG_WRITE)

static int snpu_seg_supported(struct snpu_device *sdev)
{
	u32 need = SNPU_CAP_FABRIC | SNPU_CAP_DIRECTORY;

	return (sdev->facts.caps & need) == need ? 0 : -EOPNOTSUPP;
}

/* Length of a name, 0 if there is none; -EINVAL: not of printable characters, or no zeros behind */
static int snpu_seg_name_check(struct drm_device *drm, const char name[DRM_SNPU_SEG_NAME_MAX])
{
	size_t len = strnlen(name, DRM_SNPU_SEG_NAME_MAX);
	size_t i;

	if (len == DRM_SNPU_SEG_NAME_MAX || memchr_inv(name + len, 0, DRM_SNPU_SEG_NAME_MAX - len))
		goto bad;
	for (i = 0; i < len; i++)
		if (name[i] <= ' ' || name[i] > '~')
			goto bad;
	return len;
bad:
	drm_dbg(drm, "name: at most %d printable characters, no blanks, and zeros behind\n",
		DRM_SNPU_SEG_NAME_MAX - 1);
	return -EINVAL;
}

static int snpu_seg_hw_revoke(struct snpu_device *sdev, u32 seg)
{
	struct snpu_admin_mbox cmd = { .op = SNPU_ADM_SEG_REVOKE, .seg_export = { .seg = seg } };

	return snpu_admin_exec(sdev, &cmd, NULL);
}

static int snpu_seg_hw_publish(struct snpu_device *sdev, u32 seg, const char *name)
{
	struct snpu_admin_mbox cmd = { .op = SNPU_ADM_DIR_PUBLISH, .dir = { .seg = seg } };

	memcpy(cmd.dir.name, name, sizeof(cmd.dir.name));
	return snpu_admin_exec(sdev, &cmd, NULL);
}

/*
 * Closes the segment in the device: on return nobody reaches the memory. -ESTALE: a reset has done
 * it, before or because the device would not.
 */
static int snpu_seg_close(struct snpu_device *sdev, u32 seg, u32 generation)
{
	int ret;

	if (!snpu_is_current(sdev, generation))
		return -ESTALE;
	ret = snpu_seg_hw_revoke(sdev, seg);
	if (!ret || ret == -ENODEV)
		return ret;
	if (ret != -ENOENT && snpu_is_current(sdev, generation)) {
		/* others would go on reaching memory that is about to be somebody else's */
		snpu_reset_schedule(sdev, "segment cannot be revoked");
		flush_work(&sdev->reset_work);
	}
	return -ESTALE;
}

static int snpu_seg_open(struct snpu_device *sdev, struct snpu_export *exp,
			 struct drm_snpu_seg_export *args)
{
	struct snpu_admin_mbox cmd = {
		.op = SNPU_ADM_SEG_EXPORT,
		.seg_export = {
			.seg = exp->seg,
			.access = args->access,
			.offset = exp->bo->segs[0].addr,
			.bytes = exp->bo->base.size,
			.token = args->token,
		},
	};
	int ret;

	exp->generation = READ_ONCE(sdev->generation);
	ret = snpu_admin_exec(sdev, &cmd, NULL);
	if (ret == -EEXIST) {
		/* the number was free: the device is confused, and the caller's name not taken */
		drm_err_ratelimited(&sdev->drm, "device holds segment %u as in use\n", exp->seg);
		return -EIO;
	}
	if (ret)
		return ret;
	if (args->name[0])
		ret = snpu_seg_hw_publish(sdev, exp->seg, args->name);
	/* on which side of a reset it was opened, nobody knows */
	if (!ret && !snpu_is_current(sdev, exp->generation)) {
		exp->generation = READ_ONCE(sdev->generation);
		ret = -EIO;
	}
	if (ret)
		snpu_seg_close(sdev, exp->seg, exp->generation);
	return ret;
}

static int snpu_seg_export_check(struct drm_device *drm, const struct drm_snpu_seg_export *args)
{
	int len = snpu_seg_name_check(drm, args->name);

	if (len < 0)
		return len;
	if (!args->access || args->access & ~SNPU_SEG_ACCESS) {
		drm_dbg(drm, "access %#x: READ, WRITE or both are allowed\n", args->access);
		return -EINVAL;
	}
	return 0;
}

/* A number of the client's own; 0 is the driver's */
static int snpu_export_number(struct snpu_client *client, struct snpu_export *exp)
{
	struct snpu_device *sdev = client->sdev;
	int ret;

	spin_lock(&sdev->pool_lock);
	ret = snpu_pool_take(&sdev->export_pool, &client->nexports);
	spin_unlock(&sdev->pool_lock);
	if (ret)
		return ret;
	ret = ida_alloc_range(&sdev->export_ida, 1, sdev->export_pool.size, GFP_KERNEL);
	if (ret > 0) {
		exp->seg = ret;
		return 0;
	}
	spin_lock(&sdev->pool_lock);
	sdev->export_pool.used--;
	client->nexports--;
	spin_unlock(&sdev->pool_lock);
	return ret;
}

static void snpu_export_free(struct snpu_client *client, struct snpu_export *exp)
{
	struct snpu_device *sdev = client->sdev;

	if (exp->seg) {
		ida_free(&sdev->export_ida, exp->seg);
		/* after the number: who finds room finds a number, too */
		spin_lock(&sdev->pool_lock);
		sdev->export_pool.used--;
		client->nexports--;
		spin_unlock(&sdev->pool_lock);
	}
	drm_gem_object_put(&exp->bo->base);
	kfree(exp);
}

/**
 * snpu_ioctl_seg_export() - DRM_IOCTL_SNPU_SEG_EXPORT: open memory to the machine
 * @drm: device
 * @data: struct drm_snpu_seg_export
 * @file: client
 *
 * Context: process; the device is bound until it returns.
 *
 * Return: 0; -EINVAL, -ENOENT (handle), -EEXIST (name), -EMFILE (the client's segments), -ENOSPC
 * (everybody's), -ENOMEM, -EOPNOTSUPP, -EIO, -ENODEV.
 */
int snpu_ioctl_seg_export(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct snpu_device *sdev = to_snpu_device(drm);
	struct snpu_client *client = file->driver_priv;
	struct drm_snpu_seg_export *args = data;
	struct drm_gem_object *obj;
	struct snpu_export *exp;
	struct snpu_bo *bo;
	int ret;

	ret = snpu_seg_supported(sdev) ?: snpu_seg_export_check(drm, args);
	if (ret)
		return ret;
	obj = drm_gem_object_lookup(file, args->handle);
	if (!obj)
		return -ENOENT;
	bo = to_snpu_bo(obj);
	if (bo->kind != SNPU_BO_KIND_HBM || !(bo->flags & DRM_SNPU_BO_CONTIG) || bo->nsegs != 1) {
		drm_dbg(drm, "handle %u: only a BO made with HBM | CONTIG can be exported\n",
			args->handle);
		drm_gem_object_put(obj);
		return -EINVAL;
	}
	exp = kzalloc_obj(*exp, GFP_KERNEL_ACCOUNT);
	if (!exp) {
		drm_gem_object_put(obj);
		return -ENOMEM;
	}
	exp->bo = bo;
	ret = snpu_export_number(client, exp);
	if (ret)
		goto err;
	/* reserved: what follows the opening cannot fail, and nobody finds it before */
	ret = xa_insert(&client->exports, exp->seg, NULL, GFP_KERNEL_ACCOUNT);
	if (ret)
		goto err;
	do
		args->token = get_random_u64();
	while (!args->token);
	ret = snpu_seg_open(sdev, exp, args);
	if (ret)
		goto err_reserved;
	args->node = sdev->facts.node_id;
	args->seg = exp->seg;
	xa_store(&client->exports, exp->seg, exp, GFP_KERNEL_ACCOUNT);
	return 0;

err_reserved:
	xa_release(&client->exports, exp->seg);
err:
	args->token = 0;
	snpu_export_free(client, exp);
	return ret;
}

/**
 * snpu_ioctl_seg_revoke() - DRM_IOCTL_SNPU_SEG_REVOKE: end an export
 * @drm: device
 * @data: struct drm_snpu_seg_revoke
 * @file: client
 *
 * Context: process; the device is bound until it returns.
 *
 * Return: 0; -EINVAL, -ENOENT, -ESTALE (ended by a reset), -ENODEV.
 */
int snpu_ioctl_seg_revoke(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct snpu_device *sdev = to_snpu_device(drm);
	struct snpu_client *client = file->driver_priv;
	struct drm_snpu_seg_revoke *args = data;
	struct snpu_export *exp;
	int ret;

	if (args->pad)
		return -EINVAL;
	/* one that is only reserved yet must stay so: its creator stores into it */
	xa_lock(&client->exports);
	exp = xa_load(&client->exports, args->seg);
	if (exp)
		__xa_erase(&client->exports, args->seg);
	xa_unlock(&client->exports);
	if (!exp)
		return -ENOENT;
	ret = snpu_seg_close(sdev, exp->seg, exp->generation);
	snpu_export_free(client, exp);
	return ret;
}

/** snpu_exports_close() - end all exports of a client that is being closed */
void snpu_exports_close(struct snpu_client *client)
{
	struct snpu_export *exp;
	unsigned long seg;

	xa_for_each(&client->exports, seg, exp) {
		xa_erase(&client->exports, seg);
		snpu_seg_close(client->sdev, exp->seg, exp->generation);
		snpu_export_free(client, exp);
	}
}

/* What an exporter says of its segment goes into page tables */
static int snpu_seg_answer_check(struct snpu_device *sdev, u64 bytes, u64 access)
{
	if (bytes && IS_ALIGNED(bytes, SNPU_PAGE_SIZE) && bytes <= SNPU_PTE_SEG_ADDR_MASK &&
	    access && !(access & ~SNPU_SEG_ACCESS))
		return 0;
	drm_err_ratelimited(&sdev->drm, "segment of %#llx bytes, access %#llx: cannot be\n", bytes,
			    access);
	return -EIO;
}

/**
 * snpu_ioctl_seg_lookup() - DRM_IOCTL_SNPU_SEG_LOOKUP: find a segment by name
 * @drm: device
 * @data: struct drm_snpu_seg_lookup
 * @file: client
 *
 * Context: process; the device is bound until it returns.
 *
 * Return: 0; -EINVAL, -ENOENT, -EHOSTUNREACH, -EOPNOTSUPP, -EIO, -ENODEV.
 */
int snpu_ioctl_seg_lookup(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct snpu_admin_mbox cmd = { .op = SNPU_ADM_DIR_LOOKUP };
	struct snpu_device *sdev = to_snpu_device(drm);
	struct drm_snpu_seg_lookup *args = data;
	u64 answer[7];
	int ret;

	ret = snpu_seg_supported(sdev);
	if (ret)
		return ret;
	ret = snpu_seg_name_check(drm, args->name);
	if (ret <= 0 || args->pad)
		return -EINVAL;
	memcpy(cmd.dir.name, args->name, sizeof(cmd.dir.name));
	ret = snpu_admin_exec(sdev, &cmd, answer);
	ret = ret ?: snpu_seg_answer_check(sdev, answer[3], answer[4]);
	if (ret)
		return ret;
	args->node = answer[0];
	args->seg = answer[1];
	args->token = answer[2];
	args->size = answer[3];
	args->access = answer[4];
	return 0;
}

static int snpu_seg_ask(struct snpu_device *sdev, struct drm_snpu_seg_import *args)
{
	struct snpu_admin_mbox cmd = {
		.op = SNPU_ADM_SEG_QUERY,
		.import = { .node = args->node, .seg = args->seg, .token = args->token },
	};
	u64 answer[7];
	int ret;

	ret = snpu_admin_exec(sdev, &cmd, answer);
	ret = ret ?: snpu_seg_answer_check(sdev, answer[0], answer[1]);
	if (ret)
		return ret;
	args->size = answer[0];
	args->access = answer[1];
	return 0;
}

/**
 * snpu_ioctl_seg_import() - DRM_IOCTL_SNPU_SEG_IMPORT: make a BO of another NPU's segment
 * @drm: device
 * @data: struct drm_snpu_seg_import
 * @file: client
 *
 * Context: process; the device is bound until it returns.
 *
 * Return: 0; -EINVAL, -EACCES (token), -ENOENT, -EHOSTUNREACH, -EMFILE (the client's import slots),
 * -ENOSPC (everybody's), -ENOMEM, -EOPNOTSUPP, -EIO, -ENODEV.
 */
int snpu_ioctl_seg_import(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct snpu_device *sdev = to_snpu_device(drm);
	struct snpu_client *client = file->driver_priv;
	struct drm_snpu_seg_import *args = data;
	struct snpu_import *imp;
	struct snpu_bo *bo;
	int ret;

	ret = snpu_seg_supported(sdev);
	if (ret)
		return ret;
	if (!args->token)
		return -EINVAL;
	ret = snpu_seg_ask(sdev, args);
	if (ret)
		return ret;
	bo = snpu_bo_alloc(sdev, SNPU_BO_KIND_SEGMENT, args->size, DRM_SNPU_BO_SEGMENT);
	if (IS_ERR(bo))
		return PTR_ERR(bo);
	ret = -ENOMEM;
	bo->segs = kvzalloc_objs(*bo->segs, 1);
	if (!bo->segs)
		goto out;
	bo->segs[0].bytes = args->size;
	bo->nsegs = 1;
	bo->access = args->access;
	imp = snpu_import_get(client, args->node, args->seg, args->token);
	ret = PTR_ERR_OR_ZERO(imp);
	if (ret)
		goto out;
	bo->import = imp;
	snpu_client_get(client);
	bo->importer = client;
	ret = drm_gem_handle_create(file, &bo->base, &args->handle);
out:
	drm_gem_object_put(&bo->base);
	return ret;
}
