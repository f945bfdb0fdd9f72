// SPDX-License-Identifier: MIT
/*
 * direct transport in a child of fork(): the NPUs stay with the parent. Sockets, event descriptors
 * and the epoll set are the same objects in both processes, so the child closes its descriptors and
 * does nothing else with them: no shutdown(), no epoll_ctl(), no write to an eventfd.
 */
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "direct.h"

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void direct_forked(struct snpu *s)
{
	struct direct *d = s->priv;
	unsigned int i;

	for (i = 0; i < s->count; i++) {
		struct dnpu *n = s->npus[i].priv;

		snpu_vfuc_forked(n->c);
		close_fd(&n->evfd[0]);
		close_fd(&n->evfd[1]);
		close_fd(&n->shared_fd);
		if (n->db)
			munmap(n->db, (size_t)n->num_queues * SNPU_DB_STRIDE);
		if (n->mbox)
			munmap(n->mbox, DIRECT_SHARED_BYTES);
		n->db = NULL;
		n->mbox = NULL;
		n->cpl = NULL;
	}
	close_fd(&d->epoll);
	close_fd(&d->quit);
	d->running = false;
}

void direct_drop(struct snpu *s)
{
	struct direct *d = s->priv;
	unsigned int i;

	for (i = 0; i < s->count; i++) {
		struct dnpu *n = s->npus[i].priv;

		if (n->hbm)
			munmap(n->hbm, n->hbm_map);
		snpu_vfuc_close(n->c);
		direct_npu_free(n);
		free(n);
	}
	direct_host_end(d);
	free(d);
}

void direct_drop_ctx(struct snpu_ctx *ctx)
{
	struct dctx *c = ctx->priv;
	struct dcpl_map *m;

	while ((m = c->cpls)) {
		c->cpls = m->next;
		/* not one of the program's, so it was not counted */
		atomic_fetch_add(&ctx->children, 1);
		snpu_mem_free(m->mem);
		free(m);
	}
	/* c->freed stays: a thread of the parent may have been about to move it */
	free(c);
}

void direct_drop_mem(struct snpu_mem *mem)
{
	struct dmem *m = mem->priv;

	if (m->host) {
		if (mem->ptr)
			munmap(mem->ptr, mem->bytes);
		direct_host_drop(m->host);
	}
	if (m->block && !__atomic_sub_fetch(&m->block->refs, 1, __ATOMIC_ACQ_REL))
		free(m->block);
	free(m);
}
