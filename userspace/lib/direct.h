/* SPDX-License-Identifier: MIT */
/*
 * The direct transport: drives model NPUs over their vfio-user sockets and plays the driver's part.
 *
 * Locks nest: struct direct.lock, dnpu.share, dnpu.admin, dnpu.lock. Nobody holds dnpu.lock while
 * he talks to the device: a connection that turns out to be lost is noted under it.
 */
#ifndef SNPU_DIRECT_H
#define SNPU_DIRECT_H

#include "internal.h"
#include <snpu/snpu_pt.h>
#include "vfu_client.h"

#define DIRECT_EVENTS_LOG2	6
#define DIRECT_MAX_QUEUES	SNPU_MAX_QUEUES

/* Memory that a set shares with each NPU: mailbox, event ring, completion records */
#define DIRECT_EVENTS_OFF	SNPU_PAGE_SIZE
#define DIRECT_CPL_OFF		(2ull * SNPU_PAGE_SIZE)
#define DIRECT_SHARED_BYTES \
	((DIRECT_CPL_OFF + DIRECT_MAX_QUEUES * sizeof(struct snpu_cpl) + SNPU_PAGE_SIZE - 1) & \
	 ~(uint64_t)(SNPU_PAGE_SIZE - 1))

struct darena;
struct dqueue;

/**
 * struct dimport - an import slot
 * @node: exporter
 * @seg: its export slot
 * @token: that slot's token
 * @refs: mappings that use it, 0: free
 */
struct dimport {
	uint32_t node;
	uint32_t seg;
	uint64_t token;
	unsigned int refs;
};

/**
 * struct dblock - a piece of HBM; under n->lock
 * @n: whose
 * @offset: in its HBM
 * @bytes: length
 * @refs: mappings in this process
 * @seg: export slot, 0: not exported to other processes
 * @token: of that slot
 * @next: next block of the NPU that is exported
 */
struct dblock {
	struct dnpu *n;
	uint64_t offset;
	uint64_t bytes;
	unsigned int refs;
	uint32_t seg;
	uint64_t token;
	struct dblock *next;
};

/**
 * struct dhost - a piece of host memory, which mappings have in common
 * @d: set
 * @arena: that it is a part of, NULL: it has a file of its own
 * @fd: its file, or the arena's
 * @off: in the file
 * @bytes: length
 * @refs: mappings
 * @reachable: an NPU may still reach it
 */
struct dhost {
	struct direct *d;
	struct darena *arena;
	int fd;
	uint64_t off;
	uint64_t bytes;
	atomic_uint refs;
	atomic_bool reachable;
};

/**
 * struct dmem - what a snpu_mem maps
 * @block: HBM of an NPU that this set drives
 * @host: host memory, else NULL
 * @iova: its DMA address for the context's NPU
 * @remote: HBM of a peer, reached through an import slot
 * @node: the peer
 * @seg: its export slot
 * @token: that slot's token
 * @offset: in the segment
 * @slot: import slot while bound, else -1
 * @export: export slot of snpu_seg_export(), 0: none; under share
 */
struct dmem {
	struct dblock *block;
	struct dhost *host;
	uint64_t iova;
	bool remote;
	uint32_t node;
	uint32_t seg;
	uint64_t token;
	uint64_t offset;
	int slot;
	uint32_t export;
};

/**
 * struct dnpu - one NPU
 * @npu: back pointer
 * @path: socket
 * @up: connected and initialised; under direct.lock
 * @c: connection
 * @lock: allocators, ids, waiters
 * @admin: one command at a time
 * @cond: something happened: completion, event, loss
 * @lost: the connection is gone
 * @seq: of admin commands
 * @num_queues: of the device
 * @num_ctx: of the device
 * @num_segs: of the device
 * @num_imports: of the device
 * @node: fabric address
 * @hbm_bytes: HBM
 * @hbm: mapped
 * @hbm_map: bytes mapped
 * @db: doorbell pages
 * @shared_fd: memory of mailbox, event ring and completion records
 * @mbox: mailbox
 * @ring: event ring
 * @cpl: completion records, by queue number
 * @cpl_off: where they are in @shared_fd
 * @iova: free DMA addresses
 * @hbm_va: free HBM
 * @hbm_total: HBM that can be allocated
 * @token: of the export of all HBM, slot 0
 * @ctx_used: address spaces in use
 * @queues: by number
 * @share: export and import slots; taken before lock and admin
 * @segs: export slots in use; slot 0 is all HBM, for this process only
 * @imports: import slots
 * @imports_top: slots from here on were never used
 * @exported: blocks with an export slot; under lock
 * @irqs: interrupts taken; under lock
 * @evfd: events (0), completions (1)
 */
struct dnpu {
	struct snpu_npu *npu;
	char path[108];
	bool up;
	struct snpu_vfuc *c;
	pthread_mutex_t lock;
	pthread_mutex_t admin;
	pthread_cond_t cond;
	bool lost;
	uint32_t seq;
	uint32_t num_queues;
	uint32_t num_ctx;
	uint32_t num_segs;
	uint32_t num_imports;
	uint32_t node;
	uint64_t hbm_bytes;
	uint8_t *hbm;
	uint64_t hbm_map;
	uint8_t *db;
	int shared_fd;
	struct snpu_admin_mbox *mbox;
	struct snpu_event_ring *ring;
	struct snpu_cpl *cpl;
	uint64_t cpl_off;
	struct snpu_va iova;
	struct snpu_va hbm_va;
	uint64_t hbm_total;
	uint64_t token;
	bool *ctx_used;
	struct dqueue *queues[DIRECT_MAX_QUEUES];
	pthread_mutex_t share;
	bool *segs;
	struct dimport *imports;
	uint32_t imports_top;
	struct dblock *exported;
	uint64_t irqs;
	int evfd[2];
};

/**
 * struct direct - a set of NPUs
 * @snpu: the set
 * @lock: bringing NPUs up
 * @epoll: eventfds of the NPUs that are up
 * @quit: eventfd that ends the thread
 * @thread: takes interrupts
 * @running: @thread was started
 * @host_lock: the rest; taken after all others
 * @arenas: files that host buffers share
 * @host_files: host buffers with a file of their own
 */
struct direct {
	struct snpu *snpu;
	pthread_mutex_t lock;
	int epoll;
	int quit;
	pthread_t thread;
	bool running;
	pthread_mutex_t host_lock;
	struct darena *arenas;
	unsigned int host_files;
};

/**
 * struct dctx - an address space
 * @id: its number
 * @root: HBM offset of the root table
 * @freed: tables to be freed after the next invalidation
 * @nfreed: how many
 * @maxfreed: room
 * @cpls: mappings of completion records of NPUs, for waiting on their queues
 */
struct dctx {
	uint32_t id;
	uint64_t root;
	uint64_t *freed;
	size_t nfreed, maxfreed;
	struct dcpl_map *cpls;
};

struct dcpl_map {
	struct dnpu *of;
	struct snpu_mem *mem;
	struct dcpl_map *next;
};

static inline struct dnpu *direct_npu(const struct snpu_ctx *ctx)
{
	return ctx->npu->priv;
}

/* direct.c */
int direct_reg32(struct dnpu *n, uint32_t off, uint32_t *v);
/* Runs the command that @fill sets up; 0 or a negative errno; @data (7 words) may be NULL */
int direct_admin(struct dnpu *n, const struct snpu_admin_mbox *cmd, uint64_t *data);
/* A secret that is not zero */
int direct_token(uint64_t *token);
/* Translates errors of the connection, and marks the NPU lost */
int direct_error(struct dnpu *n, int ret);

/* What a connection leaves in memory: allocators, tables */
void direct_npu_free(struct dnpu *n);

/* The descriptor, which the field forgets */
static inline int direct_take_fd(int *fd)
{
	return __atomic_exchange_n(fd, -1, __ATOMIC_SEQ_CST);
}

/* direct_fork.c */
void direct_forked(struct snpu *snpu);
void direct_drop(struct snpu *snpu);
void direct_drop_ctx(struct snpu_ctx *ctx);
void direct_drop_mem(struct snpu_mem *mem);

/* direct_mem.c */
int direct_mem_alloc(struct snpu_mem *mem);
int direct_mem_bind(struct snpu_mem *mem);
int direct_mem_free(struct snpu_mem *mem, bool bound);
int direct_mem_map(struct snpu_mem *mem, void **ptr);
int direct_mem_export(struct snpu_mem *mem, int *fd);
int direct_mem_import(struct snpu_mem *mem, int fd);
int direct_mem_share(struct snpu_mem *mem, struct snpu_mem *from);
int direct_ctx_create(struct snpu_ctx *ctx);
void direct_ctx_destroy(struct snpu_ctx *ctx);

/* direct_host.c */
/* Zeroed memory */
int direct_host_alloc(struct direct *d, uint64_t bytes, struct dhost **out);
/* Memory of a descriptor, which stays the caller's */
int direct_host_import(struct direct *d, int fd, uint64_t bytes, struct dhost **out);
/* A descriptor of it, or -EMFILE when it has no file of its own, or another errno */
int direct_host_export(const struct dhost *h);
struct dhost *direct_host_get(struct dhost *h);
/* @reachable: the NPU may still reach it, so its place is not used again */
void direct_host_put(struct dhost *h, bool reachable);
/* In a child of fork(): one mapping less of the child's. The file's content is the parent's */
void direct_host_drop(struct dhost *h);
/* All mappings are gone */
void direct_host_end(struct direct *d);

/* direct_segment.c */
int direct_seg_export(struct snpu_mem *mem, unsigned int access, const char *name,
		      struct snpu_seg_handle *handle);
int direct_seg_revoke(struct snpu_mem *mem);
int direct_seg_lookup(struct snpu_ctx *ctx, const char *name, struct snpu_seg_handle *handle);
int direct_seg_import(struct snpu_mem *mem, const struct snpu_seg_handle *handle);

/* direct_queue.c */
int direct_queue_create(struct snpu_queue *q);
int direct_queue_destroy(struct snpu_queue *q);
int direct_queue_wake(struct snpu_queue *q);
int direct_queue_pause(struct snpu_queue *q, bool pause);
int direct_queue_error(struct snpu_queue *q, struct snpu_error *err);
int direct_queue_sleep(struct snpu_queue *q, uint64_t position, uint64_t deadline);
int direct_queue_vtime(struct snpu_queue *q, uint64_t position, uint64_t deadline,
		       struct snpu_vtime *vt);
void *direct_irq_thread(void *arg);
void direct_drop_queue(struct snpu_queue *q);
/* In a child, without locks: one user less of the child's copy */
void direct_queue_drop(struct dqueue *dq);
/* A queue as fences see it: outlives the queue itself */
struct dqueue *direct_queue_ref(struct dqueue *dq);
void direct_queue_unref(struct dqueue *dq);
/* 1 retired, 0 pending, -EIO or -ENODEV: never */
int direct_dqueue_state(struct dqueue *dq, uint64_t position);
/* The same; a queue that waits for @position in the completion record is going to be let go */
int direct_dqueue_await(struct dqueue *dq, uint64_t position, struct snpu_queue *by);
int direct_dqueue_sleep(struct dqueue *dq, uint64_t position, uint64_t deadline);
struct dnpu *direct_dqueue_npu(struct dqueue *dq);
/* "packets that queue 3, NPU 1, has retired"; caller holds n->lock */
void direct_queue_name(struct dnpu *n, unsigned int id, char *buf, size_t len);
/* Where the completion index of the queue lies in the NPU's completion records */
uint64_t direct_dqueue_cpl_off(struct dqueue *dq);

/* direct_sync.c */
int direct_fence_create(struct snpu_queue *q, uint64_t position, void **priv);
void direct_fence_destroy(struct snpu *snpu, void *priv);
int direct_fence_wait(struct snpu *snpu, void *priv, uint64_t deadline);
int direct_fence_export(struct snpu *snpu, void *priv, int *fd);
int direct_fence_import(struct snpu *snpu, int fd, void **priv);
int direct_fence_put(struct snpu_queue *q, void *priv);
int direct_timeline_create(struct snpu *snpu, void **priv);
void direct_timeline_destroy(struct snpu *snpu, void *priv);
int direct_timeline_attach(struct snpu *snpu, void *priv, uint64_t point, struct snpu_queue *q,
			   uint64_t position);
int direct_timeline_signal(struct snpu *snpu, void *priv, uint64_t point);
int direct_timeline_query(struct snpu *snpu, void *priv, uint64_t *point);
int direct_timeline_wait(struct snpu *snpu, void *priv, uint64_t point, uint64_t deadline);
int direct_timeline_put(struct snpu_queue *q, void *priv, uint64_t point);
void direct_wait_name(struct snpu_ctx *ctx, uint64_t va, char *buf, size_t len);
void direct_drop_fence(void *priv);
void direct_drop_timeline(void *priv);

#endif
