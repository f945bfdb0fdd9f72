// SPDX-License-Identifier: MIT
/*
 * direct transport: segments. An export has a slot of its own beside the one of snpu_mem_export(),
 * because it has its own access rights and ends on its own.
 */
#include <stdlib.h>
#include <string.h>

#include "direct.h"

static int slot_get(struct dnpu *n, uint32_t *seg)
{
	uint32_t i;

	pthread_mutex_lock(&n->lock);
	for (i = 1; i < n->num_segs && n->segs[i]; i++)
		;
	if (i < n->num_segs)
		n->segs[i] = true;
	pthread_mutex_unlock(&n->lock);
	*seg = i;
	return i < n->num_segs ? 0 : -ENOSPC;
}

static void slot_put(struct dnpu *n, uint32_t seg)
{
	pthread_mutex_lock(&n->lock);
	n->segs[seg] = false;
	pthread_mutex_unlock(&n->lock);
}

static int revoke(struct dnpu *n, uint32_t seg)
{
	struct snpu_admin_mbox cmd = { .op = SNPU_ADM_SEG_REVOKE, .seg_export.seg = seg };

	return direct_admin(n, &cmd, NULL);
}

static int publish(struct dnpu *n, uint32_t seg, const char *name)
{
	struct snpu_admin_mbox cmd = { .op = SNPU_ADM_DIR_PUBLISH };

	/* its length was checked; the rest of the field is zero */
	memcpy(cmd.dir.name, name, strlen(name));
	cmd.dir.seg = seg;
	return direct_admin(n, &cmd, NULL);
}

int direct_seg_export(struct snpu_mem *mem, unsigned int access, const char *name,
		      struct snpu_seg_handle *handle)
{
	struct dmem *m = mem->priv;
	struct dnpu *n = direct_npu(mem->ctx);
	struct snpu_admin_mbox cmd = { .op = SNPU_ADM_SEG_EXPORT, .seg_export = {
		.access = access, .offset = m->block->offset, .bytes = m->block->bytes } };
	uint64_t token;
	uint32_t seg;
	int ret;

	ret = direct_token(&token);
	if (ret)
		return snpu_fail(ret, "snpu_seg_export: no random numbers");
	ret = slot_get(n, &seg);
	if (ret)
		return snpu_fail(ret, "snpu_seg_export: all %u export slots of NPU %u are in use",
				 n->num_segs - 1, n->npu->index);
	cmd.seg_export.seg = seg;
	cmd.seg_export.token = token;
	ret = direct_admin(n, &cmd, NULL);
	if (ret) {
		slot_put(n, seg);
		return snpu_fail(ret, "snpu_seg_export: NPU %u", n->npu->index);
	}
	ret = name ? publish(n, seg, name) : 0;
	if (ret) {
		/* a slot that the device keeps is not used again */
		if (!revoke(n, seg))
			slot_put(n, seg);
		return snpu_fail(ret, "snpu_seg_export: name %s%s", name,
				 ret == -EEXIST ? ": taken" : "");
	}
	m->export = seg;
	handle->node = n->node;
	handle->seg = seg;
	handle->access = access;
	handle->token = token;
	handle->bytes = mem->bytes;
	return 0;
}

int direct_seg_revoke(struct snpu_mem *mem)
{
	struct dnpu *n = direct_npu(mem->ctx);
	struct dmem *m = mem->priv;
	int ret = revoke(n, m->export);

	if (ret)
		return snpu_fail(ret, "snpu_seg_revoke: NPU %u", n->npu->index);
	slot_put(n, m->export);
	m->export = 0;
	return 0;
}

int direct_seg_lookup(struct snpu_ctx *ctx, const char *name, struct snpu_seg_handle *handle)
{
	struct snpu_admin_mbox cmd = { .op = SNPU_ADM_DIR_LOOKUP };
	uint64_t data[7];
	int ret;

	memcpy(cmd.dir.name, name, strlen(name));
	ret = direct_admin(direct_npu(ctx), &cmd, data);
	if (ret)
		return snpu_fail(ret, "snpu_seg_lookup: %s%s", name,
				 ret == -ENOENT ? ": nobody has published it" : "");
	handle->node = (uint32_t)data[0];
	handle->seg = (uint32_t)data[1];
	handle->token = data[2];
	handle->bytes = data[3];
	handle->access = (uint32_t)data[4];
	return 0;
}

int direct_seg_import(struct snpu_mem *mem, const struct snpu_seg_handle *handle)
{
	struct snpu_admin_mbox cmd = { .op = SNPU_ADM_SEG_QUERY, .import = {
		.node = handle->node, .seg = handle->seg, .token = handle->token } };
	struct dnpu *n = direct_npu(mem->ctx);
	uint64_t data[7];
	struct dmem *m;
	int ret;

	ret = direct_admin(n, &cmd, data);
	if (ret)
		return snpu_fail(ret, "snpu_seg_import: segment %u of node %u: %s", handle->seg,
				 handle->node, ret == -EACCES ? "wrong token" :
				 ret == -ENOENT ? "there is none" :
				 ret == -EHOSTUNREACH ? "no way there" : "NPU failed");
	if (!data[0] || (data[0] & (SNPU_PAGE_SIZE - 1)) || data[0] > 1ull << 46)
		return snpu_fail(-EPROTO, "snpu_seg_import: the NPU says %llu bytes",
				 (unsigned long long)data[0]);
	m = calloc(1, sizeof(*m));
	if (!m)
		return snpu_fail(-ENOMEM, "snpu_seg_import");
	*m = (struct dmem){ .slot = -1, .remote = true, .node = handle->node,
			    .seg = handle->seg, .token = handle->token };
	mem->bytes = data[0];
	/* what may not be written is not mapped so */
	if (!(data[1] & SNPU_SEG_WRITE))
		mem->flags |= SNPU_MEM_READ_ONLY;
	mem->priv = m;
	return 0;
}
