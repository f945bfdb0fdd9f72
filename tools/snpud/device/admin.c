// SPDX-License-Identifier: MIT
/*
 * Admin mailbox. The command is copied once and only the copy is looked at.
 */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "fabric/fabric.h"
#include "npu_priv.h"
#include "profiles/profile.h"
#include "timing/plane.h"

#define ARG_OFF		offsetof(struct snpu_admin_mbox, raw)
#define ARG_BYTES	sizeof(((struct snpu_admin_mbox *)0)->raw)
#define FIELD(arg, f)	(ARG_OFF + offsetof(struct arg, f))

struct adm {
	struct snpu_npu *n;
	struct snpu_admin_mbox mb;
	uint64_t data[7];
};

static int bad(struct adm *a, size_t off)
{
	a->data[0] = off;
	return SNPU_ADM_S_BAD_ARG;
}

static int status_of(int ret)
{
	switch (ret) {
	case 0:
		return SNPU_ADM_S_OK;
	case -ENOENT:
		return SNPU_ADM_S_NOENT;
	case -EEXIST:
		return SNPU_ADM_S_EXIST;
	case -EBUSY:
		return SNPU_ADM_S_BUSY;
	case -EFAULT:
		return SNPU_ADM_S_DMA;
	case -EACCES:
		return SNPU_ADM_S_PERM;
	case -EHOSTUNREACH:
		return SNPU_ADM_S_UNREACH;
	default:
		return SNPU_ADM_S_NOMEM;
	}
}

static bool hbm_range_ok(const struct snpu_npu *n, uint64_t off, uint64_t bytes)
{
	return off <= n->hbm_size && bytes <= n->hbm_size - off;
}

static bool page_aligned(uint64_t v)
{
	return !(v & (SNPU_PAGE_SIZE - 1));
}

static int ctx_find(struct adm *a, uint32_t id, size_t field, struct snpu_ctx **ctx)
{
	if (!id || id >= a->n->num_ctx)
		return bad(a, field);
	*ctx = a->n->ctxs[id];
	return *ctx ? SNPU_ADM_S_OK : SNPU_ADM_S_NOENT;
}

static int ctx_create(struct adm *a)
{
	const struct snpu_adm_ctx *c = &a->mb.ctx;
	struct snpu_npu *n = a->n;
	struct snpu_ctx *ctx;

	if (!c->ctx || c->ctx >= n->num_ctx)
		return bad(a, FIELD(snpu_adm_ctx, ctx));
	if (c->rsvd)
		return bad(a, FIELD(snpu_adm_ctx, rsvd));
	if (!page_aligned(c->root) || !hbm_range_ok(n, c->root, SNPU_PT_BYTES))
		return bad(a, FIELD(snpu_adm_ctx, root));
	if (n->ctxs[c->ctx])
		return SNPU_ADM_S_EXIST;
	ctx = calloc(1, sizeof(*ctx));
	if (!ctx)
		return SNPU_ADM_S_NOMEM;
	ctx->id = c->ctx;
	ctx->root = c->root;
	n->ctxs[c->ctx] = ctx;
	return SNPU_ADM_S_OK;
}

static int ctx_destroy(struct adm *a)
{
	struct snpu_ctx *ctx;
	int ret;

	if (a->mb.ctx.rsvd)
		return bad(a, FIELD(snpu_adm_ctx, rsvd));
	if (a->mb.ctx.root)
		return bad(a, FIELD(snpu_adm_ctx, root));
	ret = ctx_find(a, a->mb.ctx.ctx, FIELD(snpu_adm_ctx, ctx), &ctx);
	if (ret)
		return ret;
	if (ctx->queues)
		return SNPU_ADM_S_BUSY;
	a->n->ctxs[ctx->id] = NULL;
	free(ctx);
	return SNPU_ADM_S_OK;
}

static int tlb_inval(struct adm *a)
{
	const struct snpu_adm_tlb *t = &a->mb.tlb;
	struct snpu_range *r;
	struct snpu_ctx *ctx;
	int ret;

	if (t->rsvd)
		return bad(a, FIELD(snpu_adm_tlb, rsvd));
	if (!page_aligned(t->va) || t->va >> SNPU_VA_BITS)
		return bad(a, FIELD(snpu_adm_tlb, va));
	if (!page_aligned(t->bytes) || t->bytes > (1ull << SNPU_VA_BITS) - t->va)
		return bad(a, FIELD(snpu_adm_tlb, bytes));
	ret = ctx_find(a, t->ctx, FIELD(snpu_adm_tlb, ctx), &ctx);
	if (ret)
		return ret;
	r = &ctx->inval[ctx->gen % SNPU_INVAL_LOG];
	r->start = t->bytes ? t->va : 0;
	r->end = t->bytes ? t->va + t->bytes : UINT64_MAX;
	snpu_store_rel(&ctx->gen, ctx->gen + 1);
	snpu_quiesce(a->n->m);
	return SNPU_ADM_S_OK;
}

static int queue_create(struct adm *a)
{
	const struct snpu_queue_desc *d = &a->mb.queue;
	struct snpu_npu *n = a->n;
	struct snpu_ctx *ctx;
	unsigned int i;
	int ret;

	if (d->queue >= n->num_queues)
		return bad(a, FIELD(snpu_queue_desc, queue));
	if (d->ring_log2 < SNPU_RING_LOG2_MIN || d->ring_log2 > SNPU_RING_LOG2_MAX)
		return bad(a, FIELD(snpu_queue_desc, ring_log2));
	if ((d->ring_va & (SNPU_PKT_BYTES - 1)) || d->ring_va >> SNPU_VA_BITS ||
	    ((uint64_t)SNPU_PKT_BYTES << d->ring_log2) > (1ull << SNPU_VA_BITS) - d->ring_va)
		return bad(a, FIELD(snpu_queue_desc, ring_va));
	if (d->cpl_addr & (sizeof(struct snpu_cpl) - 1))
		return bad(a, FIELD(snpu_queue_desc, cpl_addr));
	if (d->prio > SNPU_PRIO_MAX)
		return bad(a, FIELD(snpu_queue_desc, prio));
	if (d->vector >= SNPU_MSIX_VECTORS)
		return bad(a, FIELD(snpu_queue_desc, vector));
	/* where no virtual time is kept, no queue can be for nothing else */
	if ((d->flags & ~SNPU_QF_MASK) || ((d->flags & SNPU_QF_TIMING) && !n->m->plane) ||
	    d->flags >> SNPU_QF_DIE_SHIFT > snpu_fig_u64(&n->m->profile->npu.dies))
		return bad(a, FIELD(snpu_queue_desc, flags));
	for (i = 0; i < sizeof(d->rsvd) / sizeof(d->rsvd[0]); i++)
		if (d->rsvd[i])
			return bad(a, FIELD(snpu_queue_desc, rsvd) + i * sizeof(d->rsvd[0]));
	ret = ctx_find(a, d->ctx, FIELD(snpu_queue_desc, ctx), &ctx);
	if (ret)
		return ret;
	if (n->queues[d->queue])
		return SNPU_ADM_S_EXIST;
	return status_of(snpu_queue_create(n, d));
}

static int queue_op(struct adm *a)
{
	uint32_t id = a->mb.qid;

	if (id >= a->n->num_queues)
		return bad(a, ARG_OFF);
	switch (a->mb.op) {
	case SNPU_ADM_QUEUE_DESTROY:
		return status_of(snpu_queue_destroy(a->n, id, SNPU_ERR_NONE));
	case SNPU_ADM_QUEUE_SUSPEND:
		return status_of(snpu_queue_suspend(a->n, id));
	default:
		return status_of(snpu_queue_resume(a->n, id));
	}
}

static int scrub(struct adm *a)
{
	const struct snpu_adm_scrub *s = &a->mb.scrub;
	struct snpu_npu *n = a->n;

	if (!page_aligned(s->offset) || s->offset >= n->hbm_size)
		return bad(a, FIELD(snpu_adm_scrub, offset));
	if (!s->bytes || !page_aligned(s->bytes) || !hbm_range_ok(n, s->offset, s->bytes))
		return bad(a, FIELD(snpu_adm_scrub, bytes));
	snpu_mem_scrub(n, s->offset, s->bytes);
	/* a hole reads as zero and costs nothing */
	if (fallocate(n->hbm_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)s->offset,
		      (off_t)s->bytes))
		return SNPU_ADM_S_NOMEM;
	snpu_ras_clear(n, s->offset, s->bytes);
	snpu_semgen_scrub(n, s->offset, s->bytes);
	return SNPU_ADM_S_OK;
}

static int seg_export(struct adm *a)
{
	const struct snpu_adm_export *e = &a->mb.seg_export;
	struct snpu_npu *n = a->n;

	if (e->seg >= n->num_segs)
		return bad(a, FIELD(snpu_adm_export, seg));
	if (!e->access || (e->access & ~(SNPU_SEG_READ | SNPU_SEG_WRITE)))
		return bad(a, FIELD(snpu_adm_export, access));
	if (!page_aligned(e->offset) || e->offset >= n->hbm_size)
		return bad(a, FIELD(snpu_adm_export, offset));
	if (!e->bytes || !page_aligned(e->bytes) || !hbm_range_ok(n, e->offset, e->bytes))
		return bad(a, FIELD(snpu_adm_export, bytes));
	if (!e->token)
		return bad(a, FIELD(snpu_adm_export, token));
	return status_of(snpu_fabric_export(n, e));
}

static int seg_revoke(struct adm *a)
{
	const struct snpu_adm_export *e = &a->mb.seg_export;

	if (e->seg >= a->n->num_segs)
		return bad(a, FIELD(snpu_adm_export, seg));
	if (e->access)
		return bad(a, FIELD(snpu_adm_export, access));
	return status_of(snpu_fabric_revoke(a->n, e->seg));
}

static int seg_import(struct adm *a)
{
	const struct snpu_adm_import *i = &a->mb.import;

	if (i->slot >= a->n->num_imports)
		return bad(a, FIELD(snpu_adm_import, slot));
	if (i->rsvd)
		return bad(a, FIELD(snpu_adm_import, rsvd));
	return status_of(snpu_fabric_import(a->n, i));
}

static int seg_unimport(struct adm *a)
{
	const struct snpu_adm_import *i = &a->mb.import;

	if (i->slot >= a->n->num_imports)
		return bad(a, FIELD(snpu_adm_import, slot));
	return status_of(snpu_fabric_unimport(a->n, i->slot));
}

static int seg_query(struct adm *a)
{
	const struct snpu_adm_import *i = &a->mb.import;
	uint64_t token = i->token;
	struct snpu_export e;
	int ret;

	if (i->slot)
		return bad(a, FIELD(snpu_adm_import, slot));
	if (i->rsvd)
		return bad(a, FIELD(snpu_adm_import, rsvd));
	ret = snpu_fabric_query(a->n, i->node, i->seg, &token, &e);
	if (ret)
		return status_of(ret);
	a->data[0] = e.bytes;
	a->data[1] = e.access;
	return SNPU_ADM_S_OK;
}

static int dir_publish(struct adm *a)
{
	const struct snpu_adm_dir *d = &a->mb.dir;
	struct snpu_npu *n = a->n;
	int ret;

	if (!snpu_directory_name_ok(d->name))
		return bad(a, FIELD(snpu_adm_dir, name));
	if (d->seg >= n->num_segs)
		return bad(a, FIELD(snpu_adm_dir, seg));
	if (d->rsvd)
		return bad(a, FIELD(snpu_adm_dir, rsvd));
	if (!n->exports || !n->exports[d->seg].valid)
		return SNPU_ADM_S_NOENT;
	ret = snpu_directory_publish(n->m->dir, d->name, n->node, d->seg);
	if (!ret)
		n->exports[d->seg].named = 1;
	return status_of(ret);
}

static int dir_name_only(struct adm *a)
{
	const struct snpu_adm_dir *d = &a->mb.dir;

	if (!snpu_directory_name_ok(d->name))
		return bad(a, FIELD(snpu_adm_dir, name));
	if (d->seg)
		return bad(a, FIELD(snpu_adm_dir, seg));
	if (d->rsvd)
		return bad(a, FIELD(snpu_adm_dir, rsvd));
	return SNPU_ADM_S_OK;
}

static int dir_lookup(struct adm *a)
{
	uint32_t node = 0, seg = 0;
	struct snpu_export e;
	int ret = dir_name_only(a);

	if (ret)
		return ret;
	ret = snpu_directory_lookup(a->n->m->dir, a->mb.dir.name, &node, &seg);
	if (!ret)
		ret = snpu_fabric_query(a->n, node, seg, NULL, &e);
	if (ret)
		return status_of(ret);
	a->data[0] = node;
	a->data[1] = seg;
	a->data[2] = e.token;
	a->data[3] = e.bytes;
	a->data[4] = e.access;
	return SNPU_ADM_S_OK;
}

static int dir_remove(struct adm *a)
{
	int ret = dir_name_only(a);

	return ret ? ret : status_of(snpu_directory_remove(a->n->m->dir, a->mb.dir.name,
							   a->n->node));
}

static int vtime(struct adm *a)
{
	const struct snpu_adm_vtime *v = &a->mb.vtime;
	struct snpu_plane *p = a->n->m->plane;
	struct snpu_plane_span span;
	struct snpu_queue *q;
	int ret;

	if (!p)
		return SNPU_ADM_S_BAD_OP;
	if (v->qid >= a->n->num_queues)
		return bad(a, FIELD(snpu_adm_vtime, qid));
	if (v->rsvd)
		return bad(a, FIELD(snpu_adm_vtime, rsvd));
	if (!v->position)
		return bad(a, FIELD(snpu_adm_vtime, position));
	q = a->n->queues[v->qid];
	if (!q)
		return SNPU_ADM_S_NOENT;
	if (v->position > snpu_load(&q->head))
		return SNPU_ADM_S_BUSY;
	ret = snpu_plane_ask(p, a->n->node, v->qid, q->epoch, v->position, &span);
	if (ret)
		return status_of(ret == -EAGAIN ? -EBUSY : ret);
	a->data[0] = span.end;
	a->data[1] = span.begin;
	a->data[2] = span.busy;
	return SNPU_ADM_S_OK;
}

static int fabric_port(struct adm *a)
{
	const struct snpu_adm_port *p = &a->mb.port;
	struct snpu_machine *m = a->n->m;
	const struct snpu_topo *t = snpu_fabric_topo(m->fabric);
	struct snpu_fabric_counters tx, rx;
	uint64_t busy[2] = { 0 }, bytes;
	uint32_t out, in, s_out, s_in;
	double r_out, r_in;

	if (p->plane >= t->planes)
		return bad(a, FIELD(snpu_adm_port, plane));
	if (p->die >= t->dies)
		return bad(a, FIELD(snpu_adm_port, die));
	out = t->ep_up[snpu_topo_die(t, a->n->node, p->die) * t->planes + p->plane];
	in = t->links[out].reverse;
	snpu_fabric_link_counters(m->fabric, out, &tx);
	snpu_fabric_link_counters(m->fabric, in, &rx);
	s_out = snpu_fabric_link_state(m->fabric, out);
	s_in = snpu_fabric_link_state(m->fabric, in);
	r_out = snpu_fabric_link_rate(m->fabric, out);
	r_in = snpu_fabric_link_rate(m->fabric, in);
	if (m->plane) {
		snpu_plane_link_use(m->plane, out, &busy[0], &bytes);
		snpu_plane_link_use(m->plane, in, &busy[1], &bytes);
	}
	a->data[0] = s_out > s_in ? s_out : s_in;
	a->data[1] = tx.in;
	a->data[2] = rx.out;
	a->data[3] = tx.dropped + rx.dropped;
	a->data[4] = (uint64_t)(r_out < r_in ? r_out : r_in);
	a->data[5] = busy[0];
	a->data[6] = busy[1];
	return SNPU_ADM_S_OK;
}

static int counters(struct adm *a)
{
	struct snpu_npu_counters c;

	snpu_npu_get_counters(a->n, &c);
	a->data[0] = c.packets;
	a->data[1] = c.bytes_read;
	a->data[2] = c.bytes_written;
	a->data[3] = c.flops;
	a->data[4] = c.faults;
	a->data[5] = c.busy_ns;
	return SNPU_ADM_S_OK;
}

static int nop(struct adm *a)
{
	a->data[0] = a->mb.nonce;
	return SNPU_ADM_S_OK;
}

static const struct {
	int (*run)(struct adm *a);
	size_t used;		/* bytes of the argument; the rest must be zero */
} commands[] = {
	[SNPU_ADM_NOP] = { nop, 8 },
	[SNPU_ADM_CTX_CREATE] = { ctx_create, sizeof(struct snpu_adm_ctx) },
	[SNPU_ADM_CTX_DESTROY] = { ctx_destroy, sizeof(struct snpu_adm_ctx) },
	[SNPU_ADM_TLB_INVAL] = { tlb_inval, sizeof(struct snpu_adm_tlb) },
	[SNPU_ADM_QUEUE_CREATE] = { queue_create, sizeof(struct snpu_queue_desc) },
	[SNPU_ADM_QUEUE_DESTROY] = { queue_op, 4 },
	[SNPU_ADM_QUEUE_SUSPEND] = { queue_op, 4 },
	[SNPU_ADM_QUEUE_RESUME] = { queue_op, 4 },
	[SNPU_ADM_SCRUB] = { scrub, sizeof(struct snpu_adm_scrub) },
	[SNPU_ADM_SEG_EXPORT] = { seg_export, sizeof(struct snpu_adm_export) },
	[SNPU_ADM_SEG_REVOKE] = { seg_revoke, 8 },
	[SNPU_ADM_SEG_IMPORT] = { seg_import, sizeof(struct snpu_adm_import) },
	[SNPU_ADM_SEG_UNIMPORT] = { seg_unimport, 4 },
	[SNPU_ADM_COUNTERS] = { counters, 0 },
	[SNPU_ADM_SEG_QUERY] = { seg_query, sizeof(struct snpu_adm_import) },
	[SNPU_ADM_DIR_PUBLISH] = { dir_publish, sizeof(struct snpu_adm_dir) },
	[SNPU_ADM_DIR_LOOKUP] = { dir_lookup, sizeof(struct snpu_adm_dir) },
	[SNPU_ADM_DIR_REMOVE] = { dir_remove, sizeof(struct snpu_adm_dir) },
	[SNPU_ADM_VTIME] = { vtime, sizeof(struct snpu_adm_vtime) },
	[SNPU_ADM_FABRIC_PORT] = { fabric_port, sizeof(struct snpu_adm_port) },
};

static int run(struct adm *a)
{
	const uint8_t *arg = (const uint8_t *)a->mb.raw;
	size_t i;

	if (a->mb.op > SNPU_ADM_OP_MAX || !commands[a->mb.op].run)
		return SNPU_ADM_S_BAD_OP;
	if (a->mb.flags)
		return bad(a, offsetof(struct snpu_admin_mbox, flags));
	if (a->mb.rsvd)
		return bad(a, offsetof(struct snpu_admin_mbox, rsvd));
	for (i = commands[a->mb.op].used; i < ARG_BYTES; i++)
		if (arg[i])
			return bad(a, ARG_OFF + i);
	return commands[a->mb.op].run(a);
}

/** snpu_admin_run() - run the command in the mailbox; @n is locked */
void snpu_admin_run(struct snpu_npu *n)
{
	const size_t rsp = offsetof(struct snpu_admin_mbox, rsp_seq);
	struct adm a = { .n = n };
	uint64_t addr = n->admin_addr;
	uint32_t status;
	int ret;

	if (!addr)
		return;
	snpu_add(&n->cnt_admin, 1);
	pthread_mutex_lock(&n->bus_lock);
	ret = snpu_bus_read(n, addr, &a.mb, rsp);
	pthread_mutex_unlock(&n->bus_lock);
	if (ret) {
		snpu_add(&n->cnt_admin_errors, 1);
		return;
	}
	status = (uint32_t)run(&a);
	if (status)
		snpu_add(&n->cnt_admin_errors, 1);
	a.mb.rsp_status = status;
	memcpy(a.mb.rsp_data, a.data, sizeof(a.mb.rsp_data));
	a.mb.rsp_seq = a.mb.seq;
	pthread_mutex_lock(&n->bus_lock);
	/* the sequence number last: it tells the driver that the rest is there */
	ret = snpu_bus_write(n, addr + rsp + 4, &a.mb.rsp_status,
			     sizeof(a.mb) - rsp - sizeof(a.mb.rsp_seq));
	__atomic_thread_fence(__ATOMIC_RELEASE);
	if (!ret)
		ret = snpu_bus_write(n, addr + rsp, &a.mb.rsp_seq, sizeof(a.mb.rsp_seq));
	pthread_mutex_unlock(&n->bus_lock);
	if (ret)
		snpu_add(&n->cnt_admin_errors, 1);
}
