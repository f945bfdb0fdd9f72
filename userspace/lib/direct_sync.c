// SPDX-License-Identifier: MIT
/*
 * direct transport: fences are queue positions, timelines lists of them. A queue waits for
 * another's position by a SEM_WAIT on its completion index, which is mapped read-only for that.
 */
#include <stdlib.h>

#include "direct.h"

/* A queue position */
struct dfence {
	struct dqueue *dq;
	uint64_t position;
};

struct dpoint {
	uint64_t point;
	struct dfence fence;	/* dq NULL: signalled by the CPU */
	struct dpoint *next;
};

/**
 * struct dtimeline - a timeline
 * @lock: protects the rest
 * @cond: a point was added
 * @points: ascending, without those that were reached before the last was added
 * @reached: highest of those
 * @waiters: who walks along @points; as long as there are any, none is dropped
 * @last: highest point
 */
struct dtimeline {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	struct dpoint *points;
	uint64_t reached;
	unsigned int waiters;
	uint64_t last;
};

int direct_fence_create(struct snpu_queue *q, uint64_t position, void **priv)
{
	struct dfence *f = calloc(1, sizeof(*f));

	if (!f)
		return snpu_fail(-ENOMEM, "snpu_fence_create");
	f->dq = direct_queue_ref(q->priv);
	f->position = position;
	*priv = f;
	return 0;
}

void direct_fence_destroy(struct snpu *s, void *priv)
{
	struct dfence *f = priv;

	(void)s;
	direct_queue_unref(f->dq);
	free(f);
}

void direct_drop_fence(void *priv)
{
	struct dfence *f = priv;

	direct_queue_drop(f->dq);
	free(f);
}

static int wait_fence(const struct dfence *f, uint64_t deadline)
{
	int ret = direct_dqueue_state(f->dq, f->position);

	if (!ret && !deadline)
		return -ETIME;
	if (!ret) {
		ret = direct_dqueue_sleep(f->dq, f->position, deadline);
		if (ret == -ETIME)
			return ret;
		ret = direct_dqueue_state(f->dq, f->position);
	}
	if (ret == 1)
		return 0;
	/* the caller says for what it waited */
	return ret ? ret : -EIO;
}

int direct_fence_wait(struct snpu *s, void *priv, uint64_t deadline)
{
	(void)s;
	return wait_fence(priv, deadline);
}

int direct_fence_export(struct snpu *s, void *priv, int *fd)
{
	(void)s;
	(void)priv;
	(void)fd;
	return snpu_fail(-EOPNOTSUPP,
			 "snpu_fence_export: a sync_file needs the kernel: transport kmd");
}

int direct_fence_import(struct snpu *s, int fd, void **priv)
{
	(void)s;
	(void)fd;
	(void)priv;
	return snpu_fail(-EOPNOTSUPP,
			 "snpu_fence_import: a sync_file needs the kernel: transport kmd");
}

/* Address in @ctx of the completion records of @n */
static int map_cpl(struct snpu_ctx *ctx, struct dnpu *n, uint64_t *va)
{
	struct dctx *c = ctx->priv;
	struct dcpl_map *m;
	struct snpu_mem *mem;
	int ret;

	pthread_mutex_lock(&ctx->lock);
	for (m = c->cpls; m && m->of != n; m = m->next)
		;
	pthread_mutex_unlock(&ctx->lock);
	if (!m) {
		ret = snpu_mem_import(ctx, n->shared_fd, SNPU_MEM_READ_ONLY, &mem);
		if (ret)
			return ret;
		m = calloc(1, sizeof(*m));
		if (!m) {
			snpu_mem_free(mem);
			return snpu_fail(-ENOMEM, "waiting for a fence");
		}
		/* the context frees it, not the program: it does not count as a child */
		atomic_fetch_sub(&ctx->children, 1);
		mem->what = "completion records";
		m->of = n;
		m->mem = mem;
		pthread_mutex_lock(&ctx->lock);
		m->next = c->cpls;
		c->cpls = m;
		pthread_mutex_unlock(&ctx->lock);
	}
	*va = m->mem->va;
	return 0;
}

static int put_wait(struct snpu_queue *q, const struct dfence *f, const char *call)
{
	union snpu_pkt *p;
	uint64_t va = 0;
	int ret;

	ret = snpu_queue_room(q, call);
	if (ret)
		return ret;
	ret = direct_dqueue_await(f->dq, f->position, q);

	/* like the kernel's: one that failed lets the waiter go on */
	if (ret)
		return ret == -ENOMEM ? snpu_fail(ret, "%s", call) : 0;
	ret = map_cpl(q->ctx, direct_dqueue_npu(f->dq), &va);
	if (ret)
		return snpu_fail_in(call, ret);
	ret = snpu_queue_next(q, call, &p);
	if (ret)
		return ret;
	snpu_prep_wait(p, va + direct_dqueue_cpl_off(f->dq) + offsetof(struct snpu_cpl, completed),
		       f->position, SNPU_SEM_GE, 0);
	return 0;
}

void direct_wait_name(struct snpu_ctx *ctx, uint64_t va, char *buf, size_t len)
{
	struct dctx *c = ctx->priv;
	const struct dcpl_map *m;
	unsigned int i;

	pthread_mutex_lock(&ctx->lock);
	for (m = c->cpls; m && va - m->mem->va >= m->mem->bytes; m = m->next)
		;
	pthread_mutex_unlock(&ctx->lock);
	if (!m)
		return;
	i = (unsigned int)((va - m->mem->va - m->of->cpl_off) / sizeof(struct snpu_cpl));
	pthread_mutex_lock(&m->of->lock);
	direct_queue_name(m->of, i, buf, len);
	pthread_mutex_unlock(&m->of->lock);
}

int direct_fence_put(struct snpu_queue *q, void *priv)
{
	return put_wait(q, priv, "snpu_queue_put_fence");
}

int direct_timeline_create(struct snpu *s, void **priv)
{
	struct dtimeline *tl = calloc(1, sizeof(*tl));
	pthread_condattr_t attr;

	(void)s;
	if (!tl)
		return snpu_fail(-ENOMEM, "snpu_timeline_create");
	pthread_mutex_init(&tl->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&tl->cond, &attr);
	pthread_condattr_destroy(&attr);
	*priv = tl;
	return 0;
}

void direct_timeline_destroy(struct snpu *s, void *priv)
{
	struct dtimeline *tl = priv;

	(void)s;
	while (tl->points) {
		struct dpoint *p = tl->points;

		tl->points = p->next;
		if (p->fence.dq)
			direct_queue_unref(p->fence.dq);
		free(p);
	}
	pthread_cond_destroy(&tl->cond);
	pthread_mutex_destroy(&tl->lock);
	free(tl);
}

void direct_drop_timeline(void *priv)
{
	struct dtimeline *tl = priv;
	struct dpoint *p;

	while ((p = tl->points)) {
		tl->points = p->next;
		if (p->fence.dq)
			direct_queue_drop(p->fence.dq);
		free(p);
	}
	free(tl);
}

/* Forgets what is reached: a timeline may have any number of points. Caller holds the lock */
static void drop_reached(struct dtimeline *tl)
{
	struct dpoint *p;

	while (!tl->waiters && (p = tl->points)) {
		if (p->fence.dq && direct_dqueue_state(p->fence.dq, p->fence.position) != 1)
			return;
		tl->reached = p->point;
		tl->points = p->next;
		if (p->fence.dq)
			direct_queue_unref(p->fence.dq);
		free(p);
	}
}

static int add_point(struct dtimeline *tl, uint64_t point, struct dqueue *dq, uint64_t position,
		     const char *call)
{
	struct dpoint *p = calloc(1, sizeof(*p)), **end;
	uint64_t last;

	if (!p)
		return snpu_fail(-ENOMEM, "%s", call);
	p->point = point;
	p->fence.position = position;
	pthread_mutex_lock(&tl->lock);
	last = tl->last;
	if (point > last) {
		drop_reached(tl);
		p->fence.dq = dq ? direct_queue_ref(dq) : NULL;
		for (end = &tl->points; *end; end = &(*end)->next)
			;
		*end = p;
		tl->last = point;
		pthread_cond_broadcast(&tl->cond);
	}
	pthread_mutex_unlock(&tl->lock);
	if (point > last)
		return 0;
	free(p);
	return snpu_fail(-EINVAL, "%s: point %llu is not above %llu", call,
			 (unsigned long long)point, (unsigned long long)last);
}

int direct_timeline_attach(struct snpu *s, void *priv, uint64_t point, struct snpu_queue *q,
			   uint64_t position)
{
	(void)s;
	return add_point(priv, point, q->priv, position, "snpu_timeline_attach");
}

int direct_timeline_signal(struct snpu *s, void *priv, uint64_t point)
{
	(void)s;
	return add_point(priv, point, NULL, 0, "snpu_timeline_signal");
}

/* First point that is not reached, and the last that is; a point needs all before it */
static struct dpoint *first_pending(struct dtimeline *tl, uint64_t *reached, int *err)
{
	struct dpoint *p;
	int state;

	*err = 0;
	for (p = tl->points; p; p = p->next) {
		state = p->fence.dq ? direct_dqueue_state(p->fence.dq, p->fence.position) : 1;
		if (!state)
			return p;
		if (state < 0 && !*err)
			*err = state;
		*reached = p->point;
	}
	return NULL;
}

int direct_timeline_query(struct snpu *s, void *priv, uint64_t *point)
{
	struct dtimeline *tl = priv;
	int err;

	(void)s;
	pthread_mutex_lock(&tl->lock);
	*point = tl->reached;
	first_pending(tl, point, &err);
	pthread_mutex_unlock(&tl->lock);
	return 0;
}

int direct_timeline_wait(struct snpu *s, void *priv, uint64_t point, uint64_t deadline)
{
	struct timespec ts = {
		(time_t)(deadline / 1000000000ull), (long)(deadline % 1000000000ull)
	};
	struct dtimeline *tl = priv;
	struct dfence f;
	struct dpoint *p;
	int ret = 0, err = 0;

	(void)s;
	pthread_mutex_lock(&tl->lock);
	while (!ret && tl->last < point)
		ret = -pthread_cond_timedwait(&tl->cond, &tl->lock, &ts);
	tl->waiters++;
	/* one after the other up to the point; the list only grows while we sleep */
	for (p = point > tl->reached ? tl->points : NULL; !ret && p; p = p->next) {
		if (p->fence.dq) {
			f.dq = direct_queue_ref(p->fence.dq);
			f.position = p->fence.position;
			pthread_mutex_unlock(&tl->lock);
			ret = wait_fence(&f, deadline);
			direct_queue_unref(f.dq);
			pthread_mutex_lock(&tl->lock);
			if (ret == -EIO || ret == -ENODEV) {
				err = ret;
				ret = 0;
			}
		}
		if (p->point >= point)
			break;
	}
	tl->waiters--;
	pthread_mutex_unlock(&tl->lock);
	return ret == -ETIMEDOUT ? -ETIME : ret ? ret : err;
}

int direct_timeline_put(struct snpu_queue *q, void *priv, uint64_t point)
{
	struct dtimeline *tl = priv;
	struct dpoint *p;
	int ret = 0;

	pthread_mutex_lock(&tl->lock);
	if (tl->last < point)
		ret = snpu_fail(-EINVAL,
				"snpu_queue_put_timeline: point %llu has nothing to signal it",
				(unsigned long long)point);
	for (p = point > tl->reached ? tl->points : NULL; !ret && p; p = p->next) {
		if (p->fence.dq)
			ret = put_wait(q, &p->fence, "snpu_queue_put_timeline");
		if (p->point >= point)
			break;
	}
	pthread_mutex_unlock(&tl->lock);
	return ret;
}
