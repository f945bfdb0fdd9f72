// SPDX-License-Identifier: MIT
/*
 * Sets of NPUs, their facts, and contexts.
 */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "internal.h"
#include "report.h"

static int choose_transport(struct snpu *s)
{
	const char *name = s->cfg.transport;
	int ret;

	if (!strcmp(name, "auto")) {
		ret = snpu_kmd_present();
		if (ret < 0)
			return ret;
		name = ret ? "kmd" : "direct";
	}
	if (!strcmp(name, "kmd"))
		s->t = &snpu_transport_kmd;
	else if (!strcmp(name, "direct"))
		s->t = &snpu_transport_direct;
	else
		return snpu_fail(-EINVAL, "transport: '%.40s' is not one of auto, kmd, direct",
				 name);
	if (s->t->size != sizeof(*s->t))
		return snpu_fail(-EINVAL, "transport %s was built for another library", s->t->name);
	return 0;
}

static int apply_params(struct snpu_config *cfg, const struct snpu_open_params *p)
{
	if (!p)
		return 0;
	if (p->field_mask &
	    ~(uint64_t)(SNPU_OPEN_TRANSPORT | SNPU_OPEN_SOCKET_DIR | SNPU_OPEN_CHECK))
		return snpu_fail(-EINVAL, "snpu_open: field_mask has unknown bits 0x%llx",
				 (unsigned long long)p->field_mask);
	if (p->field_mask & SNPU_OPEN_TRANSPORT) {
		if (!p->transport || strlen(p->transport) >= sizeof(cfg->transport))
			return snpu_fail(-EINVAL,
					 "snpu_open: transport is not one of auto, kmd, direct");
		strcpy(cfg->transport, p->transport);
	}
	if (p->field_mask & SNPU_OPEN_SOCKET_DIR) {
		if (!p->socket_dir || !*p->socket_dir ||
		    strlen(p->socket_dir) >= sizeof(cfg->socket_dir))
			return snpu_fail(-EINVAL,
					 "snpu_open: socket_dir must be 1 to %zu characters long",
					 sizeof(cfg->socket_dir) - 1);
		strcpy(cfg->socket_dir, p->socket_dir);
	}
	if (p->field_mask & SNPU_OPEN_CHECK) {
		if (p->check > 1)
			return snpu_fail(-EINVAL, "snpu_open: check %u is not 0 or 1", p->check);
		cfg->check = p->check;
	}
	return 0;
}

/**
 * snpu_open() - find the NPUs
 * @params: where to look, or NULL
 * @out: receives the set
 *
 * Return: 0; -EINVAL for a bad parameter or variable; -ENODEV when there is no NPU; -EACCES when
 * the device nodes may not be opened; -EMFILE, -ENFILE when file descriptors run out; -EPROTO when
 * the driver speaks another major version of its ioctls; -ENOMEM. Thread-safe.
 */
SNPU_EXPORT int snpu_open(const struct snpu_open_params *params, struct snpu **out)
{
	struct snpu *s;
	int ret;

	if (!out)
		return snpu_fail(-EINVAL, "snpu_open: out is NULL");
	s = calloc(1, sizeof(*s));
	if (!s)
		return snpu_fail(-ENOMEM, "snpu_open");
	ret = snpu_config_load(&s->cfg);
	if (!ret)
		ret = apply_params(&s->cfg, params);
	if (!ret)
		ret = choose_transport(s);
	if (ret) {
		free(s);
		return snpu_fail_in("snpu_open", ret);
	}
	pthread_mutex_init(&s->lock, NULL);
	ret = s->t->open(s);
	if (!ret) {
		ret = snpu_fork_add(s);
		if (ret)
			s->t->close(s);
	}
	if (ret) {
		pthread_mutex_destroy(&s->lock);
		free(s->npus);
		free(s);
		return snpu_fail_in("snpu_open", ret);
	}
	if (s->cfg.check)
		snpu_check_init();
	snpu_obj_add(&s->obj, SNPU_KIND_SET, s->cfg.check);
	snpu_log(2, "%u NPUs over %s", s->count, s->t->name);
	*out = s;
	return 0;
}

/**
 * snpu_close() - give a set back
 * @s: set, or NULL
 *
 * Return: 0; -EBUSY while contexts, fences or timelines of it exist; -EINVAL when it was closed
 * before. No other call on @s may run.
 */
SNPU_EXPORT int snpu_close(struct snpu *s)
{
	char left[400];
	int ret;

	if (!s)
		return 0;
	ret = snpu_obj_take(s, SNPU_KIND_SET, "snpu_close");
	if (ret)
		return ret;
	if (atomic_load(&s->children)) {
		snpu_report_left(s, NULL, left, sizeof(left));
		snpu_obj_untake(&s->obj);
		return snpu_fail(-EBUSY, "snpu_close: left are %s", left);
	}
	snpu_fork_del(s);
	if (snpu_forked(s)) {
		s->t->drop(s);
	} else {
		s->t->close(s);
		pthread_mutex_destroy(&s->lock);
	}
	free(s->npus);
	snpu_obj_free(&s->obj);
	return 0;
}

/** snpu_transport() - "kmd" or "direct" */
SNPU_EXPORT const char *snpu_transport(const struct snpu *s)
{
	return s && !snpu_obj_dead(&s->obj, "snpu_transport") ? s->t->name : "";
}

/** snpu_count() - NPUs in a set; their indices are 0 .. count - 1 */
SNPU_EXPORT unsigned int snpu_count(const struct snpu *s)
{
	return s && !snpu_obj_dead(&s->obj, "snpu_count") ? s->count : 0;
}

static int npu_get(struct snpu *s, unsigned int index, const char *call, struct snpu_npu **out)
{
	int ret;

	if (!s)
		return snpu_fail(-EINVAL, "%s: set of NPUs is NULL", call);
	if (snpu_obj_dead(&s->obj, call))
		return -EINVAL;
	if (index >= s->count)
		return snpu_fail(-EINVAL, "%s: NPU %u is not one of 0 to %u", call, index,
				 s->count - 1);
	ret = snpu_own(s, call);
	if (ret)
		return ret;
	*out = &s->npus[index];
	pthread_mutex_lock(&s->lock);
	if (!(*out)->known) {
		ret = s->t->info(*out);
		(*out)->known = !ret;
		if (!ret)
			snpu_log(2, "NPU %u is %s", index, (*out)->info.path);
	}
	pthread_mutex_unlock(&s->lock);
	return ret ? snpu_fail_in(call, ret) : 0;
}

/**
 * snpu_get_info() - facts of one NPU
 * @s: set
 * @index: NPU
 * @info: receives them
 * @size: sizeof(struct snpu_info) as the caller knows it; a longer one is zero-filled
 *
 * Return: 0; -EINVAL; -ENODEV when the NPU is gone. Thread-safe.
 */
SNPU_EXPORT int snpu_get_info(struct snpu *s, unsigned int index, struct snpu_info *info,
			      size_t size)
{
	struct snpu_npu *npu;
	int ret;

	if (!info || !size)
		return snpu_fail(-EINVAL, "snpu_get_info: info is NULL or size is 0");
	ret = npu_get(s, index, "snpu_get_info", &npu);
	if (ret)
		return ret;
	memset(info, 0, size);
	memcpy(info, &npu->info, size < sizeof(*info) ? size : sizeof(*info));
	return 0;
}

/**
 * snpu_get_counters() - counters of one NPU
 * @s: set
 * @index: NPU
 * @c: receives them
 * @size: sizeof(struct snpu_counters) as the caller knows it
 *
 * Return: 0; -EINVAL; -ENODEV. Thread-safe. Takes a system call or a trapped access.
 */
SNPU_EXPORT int snpu_get_counters(struct snpu *s, unsigned int index, struct snpu_counters *c,
				  size_t size)
{
	struct snpu_counters full = { 0 };
	struct snpu_npu *npu;
	int ret;

	if (!c || !size)
		return snpu_fail(-EINVAL, "snpu_get_counters: c is NULL or size is 0");
	ret = npu_get(s, index, "snpu_get_counters", &npu);
	if (!ret)
		ret = s->t->counters(npu, &full);
	if (ret)
		return snpu_fail_in("snpu_get_counters", ret);
	memset(c, 0, size);
	memcpy(c, &full, size < sizeof(full) ? size : sizeof(full));
	return 0;
}

/**
 * snpu_get_ports() - ports of an NPU on the fabric
 * @s: set
 * @index: NPU
 * @ports: receives the first @max of them, those of die 0 first; NULL when @max is 0
 * @stride: sizeof(struct snpu_port) as the caller knows it
 * @max: room, in ports
 *
 * Return: how many there are, one for each die and plane; -EINVAL; -EOPNOTSUPP when the device does
 * not know its ports; -ENOMEM; -ENODEV. Thread-safe. Takes a command of the device for each port.
 */
SNPU_EXPORT int snpu_get_ports(struct snpu *s, unsigned int index, struct snpu_port *ports,
			       size_t stride, unsigned int max)
{
	unsigned int i, n, count;
	struct snpu_npu *npu;
	struct snpu_port *p;
	int ret;

	if (max && (!ports || !stride))
		return snpu_fail(-EINVAL,
				 "snpu_get_ports: ports is NULL or stride is 0, and max is %u",
				 max);
	ret = npu_get(s, index, "snpu_get_ports", &npu);
	if (ret)
		return ret;
	if (!s->t->ports)
		return snpu_fail(-EOPNOTSUPP, "snpu_get_ports: transport %s has none", s->t->name);
	count = npu->info.planes * (npu->info.dies ? npu->info.dies : 1);
	n = max < count ? max : count;
	if (!n)
		return (int)count;
	p = calloc(n, sizeof(*p));
	if (!p)
		return snpu_fail(-ENOMEM, "snpu_get_ports: out of memory");
	ret = s->t->ports(npu, p, n);
	for (i = 0; i < n && !ret; i++) {
		void *to = (uint8_t *)ports + i * stride;

		memset(to, 0, stride);
		memcpy(to, &p[i], stride < sizeof(*p) ? stride : sizeof(*p));
	}
	free(p);
	return ret ? snpu_fail_in("snpu_get_ports", ret) : (int)count;
}

/**
 * snpu_ctx_create() - an address space on an NPU
 * @s: set
 * @index: NPU
 * @out: receives the context
 *
 * Return: 0; -EINVAL; -ENODEV; -ENOSPC when the NPU has no more; -EBUSY when another program drives
 * it (direct); -EMFILE, -ENFILE when file descriptors run out; -ENOMEM. Thread-safe.
 */
SNPU_EXPORT int snpu_ctx_create(struct snpu *s, unsigned int index, struct snpu_ctx **out)
{
	struct snpu_ctx *ctx;
	struct snpu_npu *npu;
	int ret;

	if (!out)
		return snpu_fail(-EINVAL, "snpu_ctx_create: out is NULL");
	ret = npu_get(s, index, "snpu_ctx_create", &npu);
	if (ret)
		return ret;
	ctx = calloc(1, sizeof(*ctx));
	if (!ctx)
		return snpu_fail(-ENOMEM, "snpu_ctx_create");
	ctx->snpu = s;
	ctx->npu = npu;
	pthread_mutex_init(&ctx->lock, NULL);
	ret = s->t->ctx_create(ctx);
	if (ret) {
		snpu_va_fini(&ctx->va);
		pthread_mutex_destroy(&ctx->lock);
		free(ctx);
		return snpu_fail_in("snpu_ctx_create", ret);
	}
	atomic_fetch_add(&s->children, 1);
	snpu_obj_add(&ctx->obj, SNPU_KIND_CTX, s->obj.check);
	snpu_fork_lock();
	ctx->next = s->ctxs;
	s->ctxs = ctx;
	snpu_fork_unlock();
	*out = ctx;
	return 0;
}

static void unlink_ctx(struct snpu_ctx *ctx)
{
	struct snpu_ctx **p;

	snpu_fork_lock();
	for (p = &ctx->snpu->ctxs; *p != ctx; p = &(*p)->next)
		;
	*p = ctx->next;
	snpu_fork_unlock();
}

/**
 * snpu_ctx_destroy() - give an address space back
 * @ctx: context, or NULL
 *
 * Return: 0; -EBUSY while memory, queues, command buffers or events of it exist; -EINVAL when it
 * was destroyed before.
 */
SNPU_EXPORT int snpu_ctx_destroy(struct snpu_ctx *ctx)
{
	char left[440];
	int ret;

	if (!ctx)
		return 0;
	ret = snpu_obj_take(ctx, SNPU_KIND_CTX, "snpu_ctx_destroy");
	if (ret)
		return ret;
	if (atomic_load(&ctx->children)) {
		snpu_report_left(ctx->snpu, ctx, left, sizeof(left));
		snpu_obj_untake(&ctx->obj);
		return snpu_fail(-EBUSY, "snpu_ctx_destroy: left are %s", left);
	}
	if (snpu_forked(ctx->snpu)) {
		ctx->snpu->t->drop_ctx(ctx);
	} else {
		unlink_ctx(ctx);
		ctx->snpu->t->ctx_destroy(ctx);
		if (ctx->obj.check)
			snpu_check_forget(ctx);
		pthread_mutex_destroy(&ctx->lock);
	}
	snpu_va_fini(&ctx->va);
	atomic_fetch_sub(&ctx->snpu->children, 1);
	snpu_obj_free(&ctx->obj);
	return 0;
}

/** snpu_ctx_index() - NPU of a context */
SNPU_EXPORT unsigned int snpu_ctx_index(const struct snpu_ctx *ctx)
{
	return ctx && !snpu_obj_dead(&ctx->obj, "snpu_ctx_index") ? ctx->npu->index : ~0u;
}

/** snpu_ctx_snpu() - set of a context */
SNPU_EXPORT struct snpu *snpu_ctx_snpu(const struct snpu_ctx *ctx)
{
	return ctx && !snpu_obj_dead(&ctx->obj, "snpu_ctx_snpu") ? ctx->snpu : NULL;
}
