// SPDX-License-Identifier: MIT
/*
 * kmd transport: fences and timelines are syncobjs of NPU 0's file. For an ioctl on a context's own
 * file they are lent to it: a handle of one file means nothing in another.
 */
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <linux/sync_file.h>
#include <xf86drm.h>
#include <drm/snpu_accel.h>

#include "kmd.h"

static int home(struct snpu *s)
{
	return ((struct kmd_npu *)s->npus[0].priv)->fd;
}

int kmd_syncobj_wait(int fd, uint32_t handle, uint64_t point, uint64_t deadline)
{
	int ret;

	do {
		if (point)
			ret = drmSyncobjTimelineWait(fd, &handle, &point, 1, (int64_t)deadline,
						     DRM_SYNCOBJ_WAIT_FLAGS_WAIT_FOR_SUBMIT, NULL);
		else
			ret = drmSyncobjWait(fd, &handle, 1, (int64_t)deadline, 0, NULL);
	} while (ret == -ETIME && snpu_now_ns() < deadline);
	return ret;
}

static uint32_t handle_of(void *priv)
{
	return (uint32_t)(uintptr_t)priv;
}

/* A handle of the same syncobj in the context's file */
static int lend(struct snpu_ctx *ctx, uint32_t handle, uint32_t *out)
{
	int fd, ret = kmd_drm(drmSyncobjHandleToFD(home(ctx->snpu), handle, &fd));

	if (ret)
		return ret;
	ret = kmd_drm(drmSyncobjFDToHandle(kmd_fd(ctx), fd, out));
	close(fd);
	return ret;
}

static int signal_at(struct snpu_queue *q, uint32_t handle, uint64_t point, uint64_t position)
{
	struct drm_snpu_queue_signal req = {
		.queue_id = kmd_queue_id(q), .point = point, .position = position,
	};
	int ret = lend(q->ctx, handle, &req.syncobj);

	if (ret)
		return ret;
	ret = kmd_ioctl(kmd_fd(q->ctx), DRM_IOCTL_SNPU_QUEUE_SIGNAL, &req);
	drmSyncobjDestroy(kmd_fd(q->ctx), req.syncobj);
	return ret;
}

int kmd_fence_create(struct snpu_queue *q, uint64_t position, void **priv)
{
	struct snpu *s = q->ctx->snpu;
	uint32_t handle;
	int ret = kmd_drm(drmSyncobjCreate(home(s), 0, &handle));

	if (!ret) {
		ret = signal_at(q, handle, 0, position);
		if (ret)
			drmSyncobjDestroy(home(s), handle);
	}
	if (ret)
		return snpu_fail(ret, "snpu_fence_create: queue %u, NPU %u%s", q->number,
				 q->ctx->npu->index, snpu_fd_limit(ret));
	*priv = (void *)(uintptr_t)handle;
	return 0;
}

void kmd_fence_destroy(struct snpu *s, void *priv)
{
	drmSyncobjDestroy(home(s), handle_of(priv));
}

/*
 * What a signalled fence ended with: 0 or its error, in @status. Return: 0, or why that cannot be
 * found out
 */
static int fence_status(struct snpu *s, uint32_t handle, uint64_t point, int *status)
{
	struct sync_file_info info = { 0 };
	uint32_t tmp = 0;
	int fd, ret;

	if (point) {
		ret = kmd_drm(drmSyncobjCreate(home(s), 0, &tmp));
		if (!ret)
			ret = kmd_drm(drmSyncobjTransfer(home(s), tmp, 0, handle, point, 0));
		handle = tmp;
	} else {
		ret = 0;
	}
	if (!ret)
		ret = kmd_drm(drmSyncobjExportSyncFile(home(s), handle, &fd));
	if (!ret) {
		if (ioctl(fd, SYNC_IOC_FILE_INFO, &info))
			ret = -errno;
		else
			*status = info.status < 0 ? info.status : 0;
		close(fd);
	}
	if (tmp)
		drmSyncobjDestroy(home(s), tmp);
	return ret;
}

/* What a wait returns: the caller says for what it was */
static int wait_result(int ret)
{
	return !ret || ret == -ETIME || ret == -ENODEV ? ret : -EIO;
}

static int end_status(struct snpu *s, uint32_t handle, uint64_t point, const char *what)
{
	int status = 0, ret = fence_status(s, handle, point, &status);

	if (ret)
		return snpu_fail(ret, "%s: asking how it ended%s", what, snpu_fd_limit(ret));
	/* one that ended with -ETIME is a hung queue, not a wait that ran out */
	return wait_result(status == -ETIME ? -EIO : status);
}

int kmd_fence_wait(struct snpu *s, void *priv, uint64_t deadline)
{
	uint32_t handle = handle_of(priv);
	int ret = kmd_syncobj_wait(home(s), handle, 0, deadline);

	return ret ? wait_result(ret) : end_status(s, handle, 0, "fence");
}

int kmd_fence_export(struct snpu *s, void *priv, int *fd)
{
	int ret = kmd_drm(drmSyncobjExportSyncFile(home(s), handle_of(priv), fd));

	return ret ? snpu_fail(ret, "snpu_fence_export%s", snpu_fd_limit(ret)) : 0;
}

int kmd_fence_import(struct snpu *s, int fd, void **priv)
{
	uint32_t handle;
	int ret = kmd_drm(drmSyncobjCreate(home(s), 0, &handle));

	if (!ret) {
		ret = kmd_drm(drmSyncobjImportSyncFile(home(s), handle, fd));
		if (ret)
			drmSyncobjDestroy(home(s), handle);
	}
	if (ret)
		return snpu_fail(ret, "snpu_fence_import: descriptor %d", fd);
	*priv = (void *)(uintptr_t)handle;
	return 0;
}

static int put_wait(struct snpu_queue *q, uint32_t handle, uint64_t point, const char *call)
{
	struct drm_snpu_queue_wait req = { .queue_id = kmd_queue_id(q), .point = point };
	union snpu_pkt *p;
	int ret;

	/* an entry must be free before the kernel takes a slot for the wait */
	ret = snpu_queue_room(q, call);
	if (ret)
		return ret;
	ret = lend(q->ctx, handle, &req.syncobj);
	if (!ret) {
		ret = kmd_ioctl(kmd_fd(q->ctx), DRM_IOCTL_SNPU_QUEUE_WAIT, &req);
		drmSyncobjDestroy(kmd_fd(q->ctx), req.syncobj);
	}
	if (ret)
		return snpu_fail(ret, "%s: queue %u, NPU %u%s", call, q->number,
				 q->ctx->npu->index, snpu_fd_limit(ret));
	if (!req.sem_value)
		return 0;
	ret = snpu_queue_next(q, call, &p);
	if (ret)
		return ret;
	snpu_prep_wait(p, req.sem_va, req.sem_value, SNPU_SEM_GE, 0);
	return 0;
}

/* The kernel's semaphores lie above all addresses that the library gives out */
void kmd_wait_name(struct snpu_ctx *ctx, uint64_t va, char *buf, size_t len)
{
	if (va >= ((struct kmd_ctx *)ctx->priv)->va_end)
		snprintf(buf, len, "a fence or timeline point that was put into the queue");
}

int kmd_fence_put(struct snpu_queue *q, void *priv)
{
	return put_wait(q, handle_of(priv), 0, "snpu_queue_put_fence");
}

int kmd_timeline_create(struct snpu *s, void **priv)
{
	uint32_t handle;
	int ret = kmd_drm(drmSyncobjCreate(home(s), 0, &handle));

	if (ret)
		return snpu_fail(ret, "snpu_timeline_create");
	*priv = (void *)(uintptr_t)handle;
	return 0;
}

int kmd_timeline_attach(struct snpu *s, void *priv, uint64_t point, struct snpu_queue *q,
			uint64_t position)
{
	int ret = signal_at(q, handle_of(priv), point, position);

	(void)s;
	return ret ? snpu_fail(ret, "snpu_timeline_attach: point %llu%s", (unsigned long long)point,
			       snpu_fd_limit(ret)) : 0;
}

int kmd_timeline_signal(struct snpu *s, void *priv, uint64_t point)
{
	uint32_t handle = handle_of(priv);
	int ret = kmd_drm(drmSyncobjTimelineSignal(home(s), &handle, &point, 1));

	return ret ? snpu_fail(ret, "snpu_timeline_signal: point %llu", (unsigned long long)point) :
		     0;
}

int kmd_timeline_query(struct snpu *s, void *priv, uint64_t *point)
{
	uint32_t handle = handle_of(priv);
	int ret = kmd_drm(drmSyncobjQuery(home(s), &handle, point, 1));

	return ret ? snpu_fail(ret, "snpu_timeline_query") : 0;
}

int kmd_timeline_wait(struct snpu *s, void *priv, uint64_t point, uint64_t deadline)
{
	uint32_t handle = handle_of(priv);
	int ret = kmd_syncobj_wait(home(s), handle, point, deadline);

	return ret ? wait_result(ret) : end_status(s, handle, point, "timeline");
}

int kmd_timeline_put(struct snpu_queue *q, void *priv, uint64_t point)
{
	return put_wait(q, handle_of(priv), point, "snpu_queue_put_timeline");
}
