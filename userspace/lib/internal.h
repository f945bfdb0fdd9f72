/* SPDX-License-Identifier: MIT */
/*
 * Inside of libsnpu: objects, the transport interface, and the ordering primitives.
 *
 * Locks, in the order in which they nest: snpu.lock (contexts, peers), ctx.lock (address space,
 * children), transport locks; snpu_fork_lock() comes last. Queues have none: one thread at a time
 * fills a queue.
 */
#ifndef SNPU_INTERNAL_H
#define SNPU_INTERNAL_H

#include <errno.h>
#include <sys/types.h>
#include <pthread.h>
#include <stdatomic.h>

#include <snpu/snpu.h>

#include "object.h"

#define SNPU_EXPORT	__attribute__((visibility("default")))
#define SNPU_MAX_NPUS	1024u

/* ---- errors and settings (log.c, config.c) ---- */

/**
 * snpu_fail() - remember why a call fails
 * @err: negative errno
 * @fmt: what, where, allowed range
 *
 * Return: @err, with the message in snpu_last_error().
 */
int snpu_fail(int err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* For a message: the limit of open files, if @err is -EMFILE, else "" */
const char *snpu_fd_limit(int err);
/* The same without a line in the log: what programs run into on purpose, as a full ring */
int snpu_fail_quiet(int err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Puts "@call: " before the message of a step of that call that failed; returns @err */
int snpu_fail_in(const char *call, int err);
/* A line on standard error, if SNPU_LOG_LEVEL of the latest snpu_open() is @level or above */
void snpu_log(unsigned int level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void snpu_log_set(unsigned int level);

/**
 * struct snpu_config - values of the SNPU_* variables
 * @transport: SNPU_TRANSPORT
 * @socket_dir: SNPU_SOCKET_DIR
 * @spin_us: SNPU_SPIN_US
 * @ring_entries: SNPU_RING_ENTRIES
 * @numa: SNPU_NUMA
 * @guard_pages: SNPU_GUARD_PAGES
 * @log_level: SNPU_LOG_LEVEL
 * @check: SNPU_CHECK
 */
struct snpu_config {
	char transport[16];
	char socket_dir[80];
	uint64_t spin_us;
	uint64_t ring_entries;
	uint64_t numa;
	uint64_t guard_pages;
	uint64_t log_level;
	uint64_t check;
};

/* Reads the environment; 0 or -EINVAL with snpu_last_error() */
int snpu_config_load(struct snpu_config *cfg);

/* ---- fork() (fork.c) ---- */

struct snpu;
struct snpu_mem;

/* How many forks this process is away from the first one that used the library */
extern unsigned int snpu_forks;

/*
 * Taken alone, around changes of what a child walks: sets, their contexts, queues and command
 * buffers. Short, for every fork() of the process waits for it
 */
void snpu_fork_lock(void);
void snpu_fork_unlock(void);
/* The set has been opened; 0 or a negative errno */
int snpu_fork_add(struct snpu *s);
void snpu_fork_del(struct snpu *s);
/* In a child: pages of its own where the memory was mapped */
void snpu_mem_private(struct snpu_mem *mem);
/* -ESTALE, with a message that names @call */
int snpu_fail_forked(const struct snpu *s, const char *call);

/* ---- address allocation (va.c) ---- */

struct snpu_va_hole;

/**
 * struct snpu_va - free ranges of an address space; the owner locks
 * @holes: sorted by address
 */
struct snpu_va {
	struct snpu_va_hole *holes;
};

int snpu_va_init(struct snpu_va *va, uint64_t start, uint64_t end);
void snpu_va_fini(struct snpu_va *va);
/* Lowest free range of @bytes aligned to @align; -ENOSPC or -ENOMEM */
int snpu_va_alloc(struct snpu_va *va, uint64_t bytes, uint64_t align, uint64_t *out);
void snpu_va_free(struct snpu_va *va, uint64_t addr, uint64_t bytes);
uint64_t snpu_va_free_bytes(const struct snpu_va *va);

/* ---- objects ---- */

struct snpu_transport;

/**
 * struct snpu_npu - one NPU
 * @snpu: its set
 * @index: its number there
 * @info: facts, valid once @known
 * @known: facts were read; under snpu.lock
 * @priv: of the transport
 */
struct snpu_npu {
	struct snpu *snpu;
	unsigned int index;
	struct snpu_info info;
	bool known;
	void *priv;
};

struct snpu {
	struct snpu_obj obj;
	const struct snpu_transport *t;
	struct snpu_config cfg;
	unsigned int count;
	struct snpu_npu *npus;
	pthread_mutex_t lock;
	atomic_uint children;	/* contexts and timelines */
	uint64_t clock;		/* of snpu_time_sync(); atomic, grows */
	pid_t pid;		/* of the process that opened it */
	unsigned int forks;	/* snpu_forks then */
	struct snpu_ctx *ctxs;	/* under snpu_fork_lock() */
	struct snpu *next;	/* likewise */
	void *priv;
};

/* Is the set the parent's? Then the process is a child that inherited it */
static inline bool snpu_forked(const struct snpu *s)
{
	return __builtin_expect(s->forks != snpu_forks, 0);
}

/* 0, or -ESTALE with a message in a child that inherited the set */
static inline int snpu_own(const struct snpu *s, const char *call)
{
	return snpu_forked(s) ? snpu_fail_forked(s, call) : 0;
}

struct snpu_ctx {
	struct snpu_obj obj;
	struct snpu *snpu;
	struct snpu_npu *npu;
	pthread_mutex_t lock;	/* va, queues */
	struct snpu_va va;
	atomic_uint children;	/* mems, queues, events */
	atomic_uint next_queue;	/* numbers in error messages */
	struct snpu_queue *queues;	/* changed under snpu_fork_lock(), too */
	struct snpu_cmdbuf *cmdbufs;	/* under snpu_fork_lock() */
	struct snpu_ctx *next;		/* of the set; likewise */
	void *priv;
};

/**
 * struct snpu_mem - memory mapped into a context
 * @obj: as an object
 * @ctx: where
 * @flags: SNPU_MEM_*
 * @bytes: rounded up to pages
 * @va: address there
 * @ptr: CPU's view, NULL: not mapped yet; under ctx.lock
 * @imported: @bytes and the memory come from elsewhere
 * @exported: snpu_seg_export() opened it to others; under ctx.lock
 * @what: "event": the library's own use of it, NULL: the program's
 * @origin: the same for all mappings of one allocation that this process made, 0: unknown
 * @priv: of the transport
 */
struct snpu_mem {
	struct snpu_obj obj;
	struct snpu_ctx *ctx;
	unsigned int flags;
	uint64_t bytes;
	uint64_t va;
	void *ptr;
	bool imported;
	bool exported;
	const char *what;
	uint64_t origin;
	void *priv;
};

/**
 * struct snpu_queue - a command queue
 * @obj: as an object
 * @ctx: context
 * @ring_mem: memory of the ring
 * @ring: the ring
 * @mask: entries - 1
 * @head: packets taken by snpu_queue_get()
 * @submitted: packets handed over
 * @doorbell: first word of the doorbell page
 * @cpl: completion record; not written here
 * @number: for error messages, counted per context
 * @prio: SNPU_PRIO_*
 * @flags: SNPU_QF_*
 * @clock: virtual time that its last CLOCK packet gave
 * @fences: those of its positions; under snpu.lock
 * @next: next queue of the context; under ctx.lock
 * @owner: SNPU_CHECK: thread that took the packets not submitted yet
 * @filling: SNPU_CHECK: thread in a call that fills it, atomic
 * @told: SNPU_CHECK: a finding was written, atomic
 * @priv: of the transport
 */
struct snpu_queue {
	struct snpu_obj obj;
	struct snpu_ctx *ctx;
	struct snpu_mem *ring_mem;
	union snpu_pkt *ring;
	uint64_t mask;
	uint64_t head;
	uint64_t submitted;
	volatile uint64_t *doorbell;
	const volatile struct snpu_cpl *cpl;
	unsigned int number;
	unsigned int prio;
	uint32_t flags;
	uint64_t clock;
	struct snpu_fence *fences;
	struct snpu_queue *next;
	pid_t owner;
	pid_t filling;
	bool told;
	void *priv;
};

/**
 * struct snpu_fence - a fence
 * @obj: as an object
 * @snpu: its set
 * @q: queue, NULL: imported, or the queue is gone; under snpu.lock
 * @position: of the queue, 0: imported
 * @number: of the queue
 * @npu: its NPU
 * @next: next fence of the queue; under snpu.lock
 * @priv: of the transport
 */
struct snpu_fence {
	struct snpu_obj obj;
	struct snpu *snpu;
	struct snpu_queue *q;
	uint64_t position;
	unsigned int number;
	unsigned int npu;
	struct snpu_fence *next;
	void *priv;
};

/**
 * struct snpu_timeline - a timeline
 * @obj: as an object
 * @snpu: its set
 * @lock: points are added one by one; protects @last and @points
 * @last: highest point added; the kernel would take lower ones, too
 * @points: the latest that queues signal, for messages; @point 0: none
 * @next: place of the next of those
 * @priv: of the transport
 */
struct snpu_timeline {
	struct snpu_obj obj;
	struct snpu *snpu;
	pthread_mutex_t lock;
	uint64_t last;
	struct {
		uint64_t point;
		uint64_t position;
		unsigned int number;
		unsigned int npu;
	} points[16];
	unsigned int next;
	void *priv;
};

/**
 * struct snpu_transport - what the two transports implement
 * @size: sizeof(struct snpu_transport), so that a stale object is noticed
 * @name: "kmd", "direct"
 * @open: finds the NPUs: sets snpu->npus and count
 * @close: undoes it; no contexts are left
 * @info: fills npu->info
 * @counters: reads counters and memory use
 * @alive: 0, or -ENODEV when the NPU is gone
 * @ctx_create: an address space; initialises ctx->va
 * @ctx_destroy: undoes it
 * @mem_alloc: memory for mem->bytes (which it may round up) and mem->flags
 * @mem_bind: maps it at mem->va
 * @mem_free: unmaps (if @bound) and frees
 * @mem_map: the CPU's view
 * @mem_export: a descriptor of it
 * @mem_import: memory behind a descriptor; sets mem->bytes
 * @mem_share: maps what another mem of the set is; sets mem->bytes. NULL: by export and import
 * @seg_export: opens memory to the machine, under a name unless that is NULL; NULL: cannot
 * @seg_revoke: ends that
 * @seg_lookup: handle of a name
 * @seg_import: memory behind a handle; sets mem->bytes
 * @queue_fields: SNPU_QUEUE_* of struct snpu_queue_params beside ENTRIES and PRIO that it takes
 * @queue_create: sets doorbell, cpl and priv, from ring_mem, mask, prio and flags
 * @queue_destroy: stops and frees
 * @ports: states and counters of ports 0 .. n - 1, plane by plane of the first die, then the next.
 *	NULL: cannot
 * @queue_wake: the device sleeps and has work
 * @queue_pause: suspend or resume
 * @queue_error: fills code, state, op, ib_index, index, va, hung, lost
 * @queue_sleep: blocks until @position retired or the queue stopped (0), or -ETIME at @deadline
 *	(CLOCK_MONOTONIC, ns)
 * @queue_vtime: virtual time of the packet before a position that has retired; waits until it is
 *	known, or -ETIME at @deadline. NULL: cannot
 * @fence_create: of a queue position; sets *priv
 * @fence_destroy: undoes it
 * @fence_wait: 0; -ETIME at @deadline (0: poll); another error: the fence failed
 * @fence_export: sync_file
 * @fence_import: from a sync_file
 * @fence_put: puts a wait for it into a queue, -EAGAIN: ring full
 * @timeline_create: sets *priv
 * @timeline_destroy: undoes it
 * @timeline_attach: point from a queue position
 * @timeline_signal: point by the CPU
 * @timeline_query: highest point reached
 * @timeline_wait: like @fence_wait
 * @timeline_put: like @fence_put
 * @wait_name: what a wait of a queue is for, if the transport put it there, else "". NULL: none
 * @forked: in a child, before fork() returns: closes descriptors that keep the parent's NPUs, and
 *	unmaps what only the library uses. No locks, no allocation
 * @drop: in a child: frees its copy of the set; nothing that the parent or an NPU can notice. The
 *	following likewise
 * @drop_ctx: of a context
 * @drop_mem: of memory
 * @drop_queue: of a queue
 * @drop_fence: of a fence; NULL: there is none
 * @drop_timeline: of a timeline; NULL: there is none
 */
struct snpu_transport {
	size_t size;
	const char *name;
	int (*open)(struct snpu *snpu);
	void (*close)(struct snpu *snpu);
	int (*info)(struct snpu_npu *npu);
	int (*counters)(struct snpu_npu *npu, struct snpu_counters *c);
	int (*ports)(struct snpu_npu *npu, struct snpu_port *ports, unsigned int n);
	int (*alive)(struct snpu_npu *npu);
	int (*ctx_create)(struct snpu_ctx *ctx);
	void (*ctx_destroy)(struct snpu_ctx *ctx);
	int (*mem_alloc)(struct snpu_mem *mem);
	int (*mem_bind)(struct snpu_mem *mem);
	int (*mem_free)(struct snpu_mem *mem, bool bound);
	int (*mem_map)(struct snpu_mem *mem, void **ptr);
	int (*mem_export)(struct snpu_mem *mem, int *fd);
	int (*mem_import)(struct snpu_mem *mem, int fd);
	int (*mem_share)(struct snpu_mem *mem, struct snpu_mem *from);
	int (*seg_export)(struct snpu_mem *mem, unsigned int access, const char *name,
			  struct snpu_seg_handle *handle);
	int (*seg_revoke)(struct snpu_mem *mem);
	int (*seg_lookup)(struct snpu_ctx *ctx, const char *name, struct snpu_seg_handle *handle);
	int (*seg_import)(struct snpu_mem *mem, const struct snpu_seg_handle *handle);
	uint64_t queue_fields;
	int (*queue_create)(struct snpu_queue *q);
	int (*queue_destroy)(struct snpu_queue *q);
	int (*queue_wake)(struct snpu_queue *q);
	int (*queue_pause)(struct snpu_queue *q, bool pause);
	int (*queue_error)(struct snpu_queue *q, struct snpu_error *err);
	int (*queue_sleep)(struct snpu_queue *q, uint64_t position, uint64_t deadline);
	int (*queue_vtime)(struct snpu_queue *q, uint64_t position, uint64_t deadline,
			   struct snpu_vtime *vt);
	int (*fence_create)(struct snpu_queue *q, uint64_t position, void **priv);
	void (*fence_destroy)(struct snpu *snpu, void *priv);
	int (*fence_wait)(struct snpu *snpu, void *priv, uint64_t deadline);
	int (*fence_export)(struct snpu *snpu, void *priv, int *fd);
	int (*fence_import)(struct snpu *snpu, int fd, void **priv);
	int (*fence_put)(struct snpu_queue *q, void *priv);
	int (*timeline_create)(struct snpu *snpu, void **priv);
	void (*timeline_destroy)(struct snpu *snpu, void *priv);
	int (*timeline_attach)(struct snpu *snpu, void *priv, uint64_t point, struct snpu_queue *q,
			       uint64_t position);
	int (*timeline_signal)(struct snpu *snpu, void *priv, uint64_t point);
	int (*timeline_query)(struct snpu *snpu, void *priv, uint64_t *point);
	int (*timeline_wait)(struct snpu *snpu, void *priv, uint64_t point, uint64_t deadline);
	int (*timeline_put)(struct snpu_queue *q, void *priv, uint64_t point);
	void (*wait_name)(struct snpu_ctx *ctx, uint64_t va, char *buf, size_t len);
	void (*forked)(struct snpu *snpu);
	void (*drop)(struct snpu *snpu);
	void (*drop_ctx)(struct snpu_ctx *ctx);
	void (*drop_mem)(struct snpu_mem *mem);
	void (*drop_queue)(struct snpu_queue *q);
	void (*drop_fence)(void *priv);
	void (*drop_timeline)(void *priv);
};

extern const struct snpu_transport snpu_transport_kmd;
extern const struct snpu_transport snpu_transport_direct;

/* Is there a device node of the driver? 1, 0, or a negative errno with a message */
int snpu_kmd_present(void);

/* ---- shared helpers ---- */

/* In a child: no command buffer of the list takes packets any more; for fork.c */
void snpu_cmdbufs_forked(struct snpu_cmdbuf *list);
/* Memory that an import is about to fill; NULL: out of memory */
struct snpu_mem *snpu_mem_new(struct snpu_ctx *ctx, unsigned int flags);
/* snpu_mem_alloc() without its checks; @what: see struct snpu_mem */
int snpu_mem_alloc_as(struct snpu_ctx *ctx, uint64_t bytes, unsigned int flags, const char *what,
		      struct snpu_mem **out);
/* Places and binds it; what fails is freed */
int snpu_mem_finish(struct snpu_mem *mem, struct snpu_mem **out);
/* Ends an export, if there is one; for snpu_mem_free() */
int snpu_seg_end(struct snpu_mem *mem);

uint64_t snpu_now_ns(void);
/* CLOCK_MONOTONIC time at which a timeout that starts now is over; UINT64_MAX: never */
uint64_t snpu_deadline(uint64_t timeout_ns);
/* 1: @position retired, 0: not yet, -EIO: the queue stopped before, -ENODEV: device gone */
int snpu_queue_state(const struct snpu_queue *q, uint64_t position);
/* What the record of a stopped queue says when its index was given to those who wait for it */
#define SNPU_CPL_RELEASED	((uint64_t)INT64_MAX)

/* Packets retired */
static inline uint64_t snpu_cpl_completed(const struct snpu_queue *q)
{
	uint64_t n = q->cpl->completed;

	/* q->cpl was changed before that */
	return n != SNPU_CPL_RELEASED ? n :
	       __atomic_load_n(&q->cpl, __ATOMIC_ACQUIRE)->completed;
}

/*
 * The next free entry of a ring, zeroed. 0; -EAGAIN: full; -EBUSY, -EINVAL: see SNPU_CHECK; with a
 * message
 */
int snpu_queue_next(struct snpu_queue *q, const char *call, union snpu_pkt **out);
/* Is there a free entry? 0, or -EAGAIN with a message */
int snpu_queue_room(struct snpu_queue *q, const char *call);
/* Puts a CLOCK packet if snpu_time_sync() asks for one. False: no room for it and one more */
bool snpu_queue_put_clock(struct snpu_queue *q);
/* Wakes the device if it sleeps; after the stores that it is to see */
int snpu_queue_kick(struct snpu_queue *q);
/* The same for a store into a semaphore that queues of the context may wait for */
int snpu_ctx_wake(struct snpu_ctx *ctx);

/* ---- ordering: named for what they buy; see Documentation/hardware.rst, "Memory ordering" ---- */

/* Ring entries become visible before the doorbell store that follows */
static inline void snpu_wmb_doorbell(void)
{
	atomic_thread_fence(memory_order_release);
}

/*
 * The doorbell (or semaphore) store is visible before need_wake is read; pairs with the barrier of the
 * device that goes to sleep. On x86 compilers make a locked instruction of such a fence, which QEMU's
 * TCG takes for a plain one in a guest of one CPU: nothing there runs at the same time, but the device
 * does. It honours mfence.
 */
static inline void snpu_mb_wake(void)
{
#if defined(__x86_64__)
	__asm__ volatile("mfence" : : : "memory");
#else
	atomic_thread_fence(memory_order_seq_cst);
#endif
}

/* Effects of a packet are read after the completion index that counts it */
static inline void snpu_rmb_complete(void)
{
	atomic_thread_fence(memory_order_acquire);
}

/* The doorbell itself: one 64-bit store */
static inline void snpu_doorbell_write(volatile uint64_t *db, uint64_t index)
{
	*db = index;
}

static inline void snpu_cpu_relax(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#else
	atomic_signal_fence(memory_order_seq_cst);
#endif
}

#endif
