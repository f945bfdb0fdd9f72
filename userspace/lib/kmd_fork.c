// SPDX-License-Identifier: MIT
/*
 * kmd transport in a child of fork(): the files of the device nodes are the parent's, and so is what
 * the kernel keeps for them. An ioctl of the child would change it. The child closes its
 * descriptors, so that the kernel frees everything when the parent ends. Fences and timelines are
 * numbers in those files: of them there is nothing to free.
 */
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kmd.h"

void kmd_forked(struct snpu *s)
{
	struct snpu_ctx *ctx;
	unsigned int i;

	for (ctx = s->ctxs; ctx; ctx = ctx->next) {
		struct kmd_ctx *c = ctx->priv;

		close(c->fd);
		c->fd = -1;
	}
	for (i = 0; i < s->count; i++) {
		struct kmd_npu *n = s->npus[i].priv;

		close(n->fd);
		n->fd = -1;
	}
}

void kmd_drop(struct snpu *s)
{
	unsigned int i;

	for (i = 0; i < s->count; i++)
		free(s->npus[i].priv);
}

void kmd_drop_ctx(struct snpu_ctx *ctx)
{
	struct kmd_ctx *c = ctx->priv;
	struct kmd_handle *h;

	while ((h = c->handles)) {
		c->handles = h->next;
		free(h);
	}
	free(c);
}

void kmd_drop_mem(struct snpu_mem *mem)
{
	if (mem->ptr)
		munmap(mem->ptr, mem->bytes);
	free(mem->priv);
}

/* Doorbell and completion page: the driver does not let a child inherit them */
void kmd_drop_queue(struct snpu_queue *q)
{
	free(q->priv);
}
