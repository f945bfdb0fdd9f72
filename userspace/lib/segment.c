// SPDX-License-Identifier: MIT
/*
 * Segments: memory that other NPUs of the machine reach, in any process and guest.
 */
#include <stdlib.h>

#include "internal.h"

static int check_name(const char *what, const char *name)
{
	const char *c;

	for (c = name; *c > ' ' && *c <= '~'; c++)
		;
	if (*c || c == name || c - name >= SNPU_DIR_NAME_MAX)
		return snpu_fail(-EINVAL, "%s: a name has 1 to %u printable characters, no blanks",
				 what, SNPU_DIR_NAME_MAX - 1);
	return 0;
}

static int unsupported(const char *what, const struct snpu_ctx *ctx)
{
	return snpu_fail(-EOPNOTSUPP, "%s: transport %s has no segments", what, ctx->snpu->t->name);
}

/**
 * snpu_seg_export() - open memory to other NPUs of the machine
 * @mem: HBM allocated with SNPU_MEM_CONTIG, not imported
 * @access: SNPU_SEG_READ, SNPU_SEG_WRITE or both
 * @name: name in the machine's directory, or NULL
 * @handle: receives the handle; may be NULL if @name is not
 *
 * Return: 0; -EINVAL; -EEXIST: the name is taken, or @mem exported already; -ENOSPC, -EMFILE: no
 * export slot (for us); -EOPNOTSUPP; -ENODEV. Thread-safe.
 */
SNPU_EXPORT int snpu_seg_export(struct snpu_mem *mem, unsigned int access, const char *name,
				struct snpu_seg_handle *handle)
{
	struct snpu_seg_handle h = { .version = SNPU_SEG_HANDLE_VERSION };
	int ret;

	if (!mem || (!handle && !name))
		return snpu_fail(-EINVAL, "snpu_seg_export: mem is NULL, or handle and name are");
	if (snpu_obj_dead(&mem->obj, "snpu_seg_export"))
		return -EINVAL;
	if (!access || (access & ~(SNPU_SEG_READ | SNPU_SEG_WRITE)))
		return snpu_fail(-EINVAL, "snpu_seg_export: access 0x%x: SNPU_SEG_READ, WRITE",
				 access);
	if (mem->imported || !(mem->flags & SNPU_MEM_CONTIG))
		return snpu_fail(-EINVAL,
				 "snpu_seg_export: only HBM allocated with SNPU_MEM_CONTIG can be exported");
	ret = name ? check_name("snpu_seg_export", name) : 0;
	if (!ret)
		ret = snpu_own(mem->ctx->snpu, "snpu_seg_export");
	if (ret)
		return ret;
	if (!mem->ctx->snpu->t->seg_export)
		return unsupported("snpu_seg_export", mem->ctx);
	pthread_mutex_lock(&mem->ctx->lock);
	if (mem->exported)
		ret = snpu_fail(-EEXIST, "snpu_seg_export: this memory is exported already");
	else
		ret = mem->ctx->snpu->t->seg_export(mem, access, name, &h);
	mem->exported |= !ret;
	pthread_mutex_unlock(&mem->ctx->lock);
	if (!ret && handle)
		*handle = h;
	return ret ? snpu_fail_in("snpu_seg_export", ret) : 0;
}

int snpu_seg_end(struct snpu_mem *mem)
{
	int ret = 0;

	pthread_mutex_lock(&mem->ctx->lock);
	if (mem->exported)
		ret = mem->ctx->snpu->t->seg_revoke(mem);
	mem->exported = mem->exported && ret;
	pthread_mutex_unlock(&mem->ctx->lock);
	return ret;
}

/**
 * snpu_seg_revoke() - end an export; its name goes too
 * @mem: memory that was exported
 *
 * Return: 0, and nobody is reaching it any more; -ENOENT: it is not exported; -ENODEV. Thread-safe.
 */
SNPU_EXPORT int snpu_seg_revoke(struct snpu_mem *mem)
{
	int ret;

	if (!mem)
		return snpu_fail(-EINVAL, "snpu_seg_revoke: mem is NULL");
	if (snpu_obj_dead(&mem->obj, "snpu_seg_revoke"))
		return -EINVAL;
	ret = snpu_own(mem->ctx->snpu, "snpu_seg_revoke");
	if (ret)
		return ret;
	if (!mem->exported)
		return snpu_fail(-ENOENT, "snpu_seg_revoke: this memory is not exported");
	ret = snpu_seg_end(mem);
	return ret ? snpu_fail_in("snpu_seg_revoke", ret) : 0;
}

/**
 * snpu_seg_lookup() - handle of a name in the machine's directory
 * @ctx: any context of this machine
 * @name: name
 * @handle: receives the handle
 *
 * Return: 0; -ENOENT: nobody has published it; -EINVAL; -EOPNOTSUPP; -ENODEV. Thread-safe.
 */
SNPU_EXPORT int snpu_seg_lookup(struct snpu_ctx *ctx, const char *name,
				struct snpu_seg_handle *handle)
{
	struct snpu_seg_handle h = { .version = SNPU_SEG_HANDLE_VERSION };
	int ret;

	if (!ctx || !name || !handle)
		return snpu_fail(-EINVAL, "snpu_seg_lookup: ctx, name or handle is NULL");
	if (snpu_obj_dead(&ctx->obj, "snpu_seg_lookup"))
		return -EINVAL;
	ret = check_name("snpu_seg_lookup", name);
	if (!ret)
		ret = snpu_own(ctx->snpu, "snpu_seg_lookup");
	if (ret)
		return ret;
	if (!ctx->snpu->t->seg_lookup)
		return unsupported("snpu_seg_lookup", ctx);
	ret = ctx->snpu->t->seg_lookup(ctx, name, &h);
	if (ret)
		return snpu_fail_in("snpu_seg_lookup", ret);
	*handle = h;
	return 0;
}

/**
 * snpu_seg_import() - map an exported segment
 * @ctx: context that is going to use it
 * @handle: from snpu_seg_export() or snpu_seg_lookup(), of any process and guest
 * @flags: 0 or SNPU_MEM_READ_ONLY
 * @out: receives the memory; the CPU cannot map it
 *
 * Return: 0; -EINVAL; -EACCES: wrong token; -ENOENT: no such segment; -EHOSTUNREACH: no way to its
 * NPU; -ENOSPC, -EMFILE: no import slot (for us); -EOPNOTSUPP; -ENODEV. Thread-safe.
 */
SNPU_EXPORT int snpu_seg_import(struct snpu_ctx *ctx, const struct snpu_seg_handle *handle,
				unsigned int flags, struct snpu_mem **out)
{
	struct snpu_mem *mem;
	int ret;

	if (!ctx || !handle || !out)
		return snpu_fail(-EINVAL, "snpu_seg_import: ctx, handle or out is NULL");
	if (snpu_obj_dead(&ctx->obj, "snpu_seg_import"))
		return -EINVAL;
	if (flags & ~SNPU_MEM_READ_ONLY)
		return snpu_fail(-EINVAL, "snpu_seg_import: flags 0x%x: only READ_ONLY is allowed",
				 flags);
	if (handle->version != SNPU_SEG_HANDLE_VERSION || !handle->token || handle->rsvd[0] ||
	    handle->rsvd[1] || handle->rsvd[2] || handle->rsvd[3])
		return snpu_fail(-EINVAL, "snpu_seg_import: this is no handle of version %u",
				 SNPU_SEG_HANDLE_VERSION);
	ret = snpu_own(ctx->snpu, "snpu_seg_import");
	if (ret)
		return ret;
	if (!ctx->snpu->t->seg_import)
		return unsupported("snpu_seg_import", ctx);
	mem = snpu_mem_new(ctx, flags);
	if (!mem)
		return snpu_fail(-ENOMEM, "snpu_seg_import");
	mem->imported = true;
	ret = ctx->snpu->t->seg_import(mem, handle);
	if (ret) {
		free(mem);
		return snpu_fail_in("snpu_seg_import", ret);
	}
	ret = snpu_mem_finish(mem, out);
	return ret ? snpu_fail_in("snpu_seg_import", ret) : 0;
}

/**
 * snpu_seg_import_name() - snpu_seg_lookup() and snpu_seg_import()
 * @ctx: context
 * @name: name in the machine's directory
 * @flags: 0 or SNPU_MEM_READ_ONLY
 * @out: receives the memory
 *
 * Return: as those two.
 */
SNPU_EXPORT int snpu_seg_import_name(struct snpu_ctx *ctx, const char *name, unsigned int flags,
				     struct snpu_mem **out)
{
	struct snpu_seg_handle h;
	int ret;

	if (!ctx || !name || !out)
		return snpu_fail(-EINVAL, "snpu_seg_import_name: ctx, name or out is NULL");
	ret = snpu_seg_lookup(ctx, name, &h);
	if (!ret)
		ret = snpu_seg_import(ctx, &h, flags, out);
	return ret ? snpu_fail_in("snpu_seg_import_name", ret) : 0;
}
