/* SPDX-License-Identifier: MIT */
/*
 * The kmd transport: /dev/accel/accelN of snpu.ko.
 */
#ifndef SNPU_KMD_H
#define SNPU_KMD_H

#include "internal.h"

/**
 * struct kmd_npu - an NPU's device node
 * @fd: opened for queries; that of NPU 0 also holds the set's fences and timelines
 * @minor: N of accelN
 * @node: fabric address
 * @uapi: minor version of the driver's ioctl ABI
 */
struct kmd_npu {
	int fd;
	int minor;
	uint32_t node;
	int uapi;
};

/* Minor versions of the ioctl ABI that brought something */
#define KMD_UAPI_FABRIC		1	/* segments, ports, virtual time, dies, timing-only queues */
#define KMD_UAPI_DEADLINE	2	/* QUEUE_VTIME waits */

/* A GEM handle of a context; importing the same memory twice gives the same handle */
struct kmd_handle {
	uint32_t handle;
	unsigned int refs;
	struct kmd_handle *next;
};

/**
 * struct kmd_ctx - a client of the driver
 * @fd: file of its own, so an address space of its own
 * @lock: protects @handles and the handles' life
 * @handles: handles in use
 * @va_end: first address that the kernel keeps for itself
 */
struct kmd_ctx {
	int fd;
	pthread_mutex_t lock;
	struct kmd_handle *handles;
	uint64_t va_end;
};

/**
 * struct kmd_bo - what a snpu_mem maps
 * @handle: GEM handle
 * @access: DRM_SNPU_BIND_* that it can be mapped with
 * @mmap_offset: for mmap(), 0: cannot
 * @seg: segment of snpu_seg_export(), 0: none; under ctx.lock
 */
struct kmd_bo {
	uint32_t handle;
	uint32_t access;
	uint64_t mmap_offset;
	uint32_t seg;
};

static inline int kmd_fd(const struct snpu_ctx *ctx)
{
	return ((const struct kmd_ctx *)ctx->priv)->fd;
}

/* ioctl() that repeats when interrupted; 0 or a negative errno */
int kmd_ioctl(int fd, unsigned long request, void *arg);

/* 0, or -EOPNOTSUPP and a message when the driver of @npu is older than @uapi */
int kmd_since(const struct snpu_npu *npu, int uapi, const char *what);

/* What a call of libdrm that sets errno returned, as 0 or a negative errno */
static inline int kmd_drm(int ret)
{
	return ret ? -errno : 0;
}

/*
 * Waits for a syncobj (@point 0) or a point of it that may still have to be added. The kernel counts in
 * jiffies and may give up a part of one early: not so this. 0; -ETIME, not before @deadline
 */
int kmd_syncobj_wait(int fd, uint32_t handle, uint64_t point, uint64_t deadline);

/* kmd_fork.c */
void kmd_forked(struct snpu *snpu);
void kmd_drop(struct snpu *snpu);
void kmd_drop_ctx(struct snpu_ctx *ctx);
void kmd_drop_mem(struct snpu_mem *mem);
void kmd_drop_queue(struct snpu_queue *q);

/* kmd_mem.c */
int kmd_mem_alloc(struct snpu_mem *mem);
int kmd_mem_bind(struct snpu_mem *mem);
int kmd_mem_free(struct snpu_mem *mem, bool bound);
int kmd_mem_map(struct snpu_mem *mem, void **ptr);
int kmd_mem_export(struct snpu_mem *mem, int *fd);
int kmd_mem_import(struct snpu_mem *mem, int fd);
/* Makes @mem of a handle that nobody else has; on failure the handle is closed. 0 or -ENOMEM */
int kmd_mem_adopt(struct snpu_mem *mem, uint32_t handle, uint32_t access);

/* kmd_segment.c */
int kmd_seg_export(struct snpu_mem *mem, unsigned int access, const char *name,
		   struct snpu_seg_handle *handle);
int kmd_seg_revoke(struct snpu_mem *mem);
int kmd_seg_lookup(struct snpu_ctx *ctx, const char *name, struct snpu_seg_handle *handle);
int kmd_seg_import(struct snpu_mem *mem, const struct snpu_seg_handle *handle);

/* kmd_queue.c */
int kmd_queue_create(struct snpu_queue *q);
int kmd_queue_destroy(struct snpu_queue *q);
int kmd_queue_wake(struct snpu_queue *q);
int kmd_queue_pause(struct snpu_queue *q, bool pause);
int kmd_queue_error(struct snpu_queue *q, struct snpu_error *err);
int kmd_queue_sleep(struct snpu_queue *q, uint64_t position, uint64_t deadline);
int kmd_queue_vtime(struct snpu_queue *q, uint64_t position, uint64_t deadline,
		    struct snpu_vtime *vt);
uint32_t kmd_queue_id(const struct snpu_queue *q);

/* kmd_sync.c */
int kmd_fence_create(struct snpu_queue *q, uint64_t position, void **priv);
void kmd_fence_destroy(struct snpu *snpu, void *priv);
int kmd_fence_wait(struct snpu *snpu, void *priv, uint64_t deadline);
int kmd_fence_export(struct snpu *snpu, void *priv, int *fd);
int kmd_fence_import(struct snpu *snpu, int fd, void **priv);
int kmd_fence_put(struct snpu_queue *q, void *priv);
int kmd_timeline_create(struct snpu *snpu, void **priv);
int kmd_timeline_attach(struct snpu *snpu, void *priv, uint64_t point, struct snpu_queue *q,
			uint64_t position);
int kmd_timeline_signal(struct snpu *snpu, void *priv, uint64_t point);
int kmd_timeline_query(struct snpu *snpu, void *priv, uint64_t *point);
int kmd_timeline_wait(struct snpu *snpu, void *priv, uint64_t point, uint64_t deadline);
int kmd_timeline_put(struct snpu_queue *q, void *priv, uint64_t point);
void kmd_wait_name(struct snpu_ctx *ctx, uint64_t va, char *buf, size_t len);

#endif
