// SPDX-License-Identifier: MIT
/*
 * kmd transport: queues.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <xf86drm.h>
#include <drm/snpu_accel.h>

#include "kmd.h"

#define VTIME_PAUSE_MIN_NS	100000u
#define VTIME_PAUSE_MAX_NS	10000000u

/**
 * struct kmd_queue - a queue of the driver
 * @id: its number in the client
 * @lock: protects @syncobj, which one sleeper at a time uses
 * @syncobj: for sleeping
 */
struct kmd_queue {
	uint32_t id;
	pthread_mutex_t lock;
	uint32_t syncobj;
};

uint32_t kmd_queue_id(const struct snpu_queue *q)
{
	return ((const struct kmd_queue *)q->priv)->id;
}

static int destroy_id(struct snpu_queue *q, uint32_t id)
{
	struct drm_snpu_queue_destroy req = { .queue_id = id };

	return kmd_ioctl(kmd_fd(q->ctx), DRM_IOCTL_SNPU_QUEUE_DESTROY, &req);
}

int kmd_queue_create(struct snpu_queue *q)
{
	struct drm_snpu_queue_create req = {
		.prio = q->prio, .ring_va = q->ring_mem->va,
		.ring_log2 = (uint32_t)__builtin_ctzll(q->mask + 1),
		.flags = q->flags & SNPU_QF_TIMING ? DRM_SNPU_QUEUE_TIMING : 0,
		.die = (q->flags & SNPU_QF_DIE_MASK) >> SNPU_QF_DIE_SHIFT,
	};
	int fd = kmd_fd(q->ctx), ret = 0;
	struct kmd_queue *k;
	void *db, *cpl;

	if (req.flags || req.die)
		ret = kmd_since(q->ctx->npu, KMD_UAPI_FABRIC, "snpu_queue_create: die, timing-only");
	if (ret)
		return ret;
	k = calloc(1, sizeof(*k));
	if (!k)
		return snpu_fail(-ENOMEM, "snpu_queue_create");
	ret = kmd_ioctl(fd, DRM_IOCTL_SNPU_QUEUE_CREATE, &req);
	if (ret) {
		free(k);
		return snpu_fail(ret, "snpu_queue_create: NPU %u%s", q->ctx->npu->index,
				 ret == -EACCES ? ": priority HIGH needs CAP_SYS_NICE" : "");
	}
	k->id = req.queue_id;
	db = mmap(NULL, SNPU_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		  (off_t)req.doorbell_offset);
	if (db == MAP_FAILED) {
		ret = -errno;
		goto out_destroy;
	}
	cpl = mmap(NULL, SNPU_PAGE_SIZE, PROT_READ, MAP_SHARED, fd, (off_t)req.cpl_offset);
	if (cpl == MAP_FAILED) {
		ret = -errno;
		goto out_unmap;
	}
	ret = kmd_drm(drmSyncobjCreate(fd, 0, &k->syncobj));
	if (ret)
		goto out_unmap_cpl;
	pthread_mutex_init(&k->lock, NULL);
	q->doorbell = db;
	q->cpl = cpl;
	q->priv = k;
	return 0;

out_unmap_cpl:
	munmap(cpl, SNPU_PAGE_SIZE);
out_unmap:
	munmap(db, SNPU_PAGE_SIZE);
out_destroy:
	destroy_id(q, k->id);
	free(k);
	return snpu_fail(ret, "snpu_queue_create: mapping doorbell and completion page");
}

int kmd_queue_destroy(struct snpu_queue *q)
{
	struct kmd_queue *k = q->priv;
	int ret = destroy_id(q, k->id);

	munmap((void *)q->doorbell, SNPU_PAGE_SIZE);
	munmap((void *)q->cpl, SNPU_PAGE_SIZE);
	drmSyncobjDestroy(kmd_fd(q->ctx), k->syncobj);
	pthread_mutex_destroy(&k->lock);
	free(k);
	return ret ? snpu_fail(ret, "snpu_queue_destroy: queue %u, NPU %u", q->number,
			       q->ctx->npu->index) : 0;
}

static int ctrl(struct snpu_queue *q, uint32_t op, const char *what)
{
	struct drm_snpu_queue_ctrl req = { .queue_id = kmd_queue_id(q), .op = op };
	int ret = kmd_ioctl(kmd_fd(q->ctx), DRM_IOCTL_SNPU_QUEUE_CTRL, &req);

	return ret ? snpu_fail(ret, "%s: queue %u, NPU %u", what, q->number, q->ctx->npu->index) :
		     0;
}

int kmd_queue_wake(struct snpu_queue *q)
{
	return ctrl(q, DRM_SNPU_CTRL_WAKE, "waking the device");
}

int kmd_queue_pause(struct snpu_queue *q, bool pause)
{
	return pause ? ctrl(q, DRM_SNPU_CTRL_SUSPEND, "snpu_queue_suspend") :
		       ctrl(q, DRM_SNPU_CTRL_RESUME, "snpu_queue_resume");
}

int kmd_queue_error(struct snpu_queue *q, struct snpu_error *err)
{
	struct drm_snpu_queue_query req = { .queue_id = kmd_queue_id(q) };
	int ret = kmd_ioctl(kmd_fd(q->ctx), DRM_IOCTL_SNPU_QUEUE_QUERY, &req);

	if (ret == -ENODEV || ret == -EIO) {
		/* the device is unbound, or wedged: that is the answer */
		err->lost = 1;
		err->code = SNPU_ERR_ABORTED;
		return 0;
	}
	if (ret)
		return snpu_fail(ret, "snpu_queue_error: queue %u, NPU %u", q->number,
				 q->ctx->npu->index);
	err->code = req.error;
	err->state = req.state;
	err->op = req.error_aux & 0xff;
	err->ib_index = req.error_aux >> 8;
	err->index = req.fault_index;
	err->va = req.fault_va;
	err->hung = !!(req.flags & DRM_SNPU_QUEUE_HUNG);
	err->lost = !!(req.flags & DRM_SNPU_QUEUE_LOST);
	return 0;
}

int kmd_queue_sleep(struct snpu_queue *q, uint64_t position, uint64_t deadline)
{
	struct kmd_queue *k = q->priv;
	struct drm_snpu_queue_signal req = { .queue_id = k->id, .position = position };
	int fd = kmd_fd(q->ctx), ret;
	uint32_t handle;

	/* a second sleeper on the queue brings its own syncobj */
	if (!pthread_mutex_trylock(&k->lock)) {
		handle = k->syncobj;
		drmSyncobjReset(fd, &handle, 1);
	} else {
		ret = kmd_drm(drmSyncobjCreate(fd, 0, &handle));
		if (ret)
			return snpu_fail(ret, "snpu_queue_wait");
	}
	req.syncobj = handle;
	ret = kmd_ioctl(fd, DRM_IOCTL_SNPU_QUEUE_SIGNAL, &req);
	if (!ret)
		ret = kmd_syncobj_wait(fd, handle, 0, deadline);
	if (handle == k->syncobj)
		pthread_mutex_unlock(&k->lock);
	else
		drmSyncobjDestroy(fd, handle);
	/* a stopped queue takes no fence; the caller finds out why */
	if (!ret || ret == -ETIME || snpu_queue_state(q, position))
		return ret == -ETIME ? ret : 0;
	return snpu_fail(ret, "snpu_queue_wait: queue %u, NPU %u", q->number, q->ctx->npu->index);
}

/* A driver before DEADLINE answers at once, and has no event to wait for: it is asked again */
static int ask_vtime(struct snpu_queue *q, struct drm_snpu_queue_vtime *req, uint64_t deadline)
{
	const struct kmd_npu *k = q->ctx->npu->priv;
	uint64_t now, pause = VTIME_PAUSE_MIN_NS;
	struct timespec ts = { 0 };
	int ret;

	if (k->uapi >= KMD_UAPI_DEADLINE) {
		req->deadline = deadline < INT64_MAX ? (int64_t)deadline : INT64_MAX;
		return kmd_ioctl(kmd_fd(q->ctx), DRM_IOCTL_SNPU_QUEUE_VTIME, req);
	}
	for (;;) {
		ret = kmd_ioctl(kmd_fd(q->ctx), DRM_IOCTL_SNPU_QUEUE_VTIME, req);
		now = snpu_now_ns();
		if (ret != -EBUSY || now >= deadline)
			return ret;
		pause = pause < deadline - now ? pause : deadline - now;
		ts.tv_nsec = (long)pause;
		nanosleep(&ts, NULL);
		pause = pause * 2 < VTIME_PAUSE_MAX_NS ? pause * 2 : VTIME_PAUSE_MAX_NS;
	}
}

int kmd_queue_vtime(struct snpu_queue *q, uint64_t position, uint64_t deadline,
		    struct snpu_vtime *vt)
{
	struct drm_snpu_queue_vtime req = {
		.queue_id = kmd_queue_id(q), .position = position,
	};
	int ret = kmd_since(q->ctx->npu, KMD_UAPI_FABRIC, "snpu_queue_vtime");

	if (ret)
		return ret;
	ret = ask_vtime(q, &req, deadline);
	if (ret == -EBUSY)
		ret = -ETIME;
	if (ret)
		return snpu_fail(ret, "snpu_queue_vtime: position %llu of queue %u, NPU %u: %s",
				 (unsigned long long)position, q->number, q->ctx->npu->index,
				 ret == -ETIME ? "not known in time" :
				 ret == -EOPNOTSUPP ? "the machine keeps no virtual time" :
				 ret == -ENOSPC ? "virtual time is lost: more packets than snpud keeps" :
				 ret == -ENOENT ? "no such packet" : strerror(-ret));
	vt->end = req.end;
	vt->begin = req.begin;
	vt->busy = req.busy;
	return 0;
}
