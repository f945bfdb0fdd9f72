/* SPDX-License-Identifier: MIT */
/*
 * libsnpu: C runtime of the snpu NPUs.
 *
 * One API, two transports: "kmd" goes through /dev/accel/accelN of snpu.ko; "direct" drives a model
 * NPU over its vfio-user socket with no kernel in between. SNPU_TRANSPORT or snpu_open_params
 * choose; by default kmd is taken when there is an snpu device node.
 *
 * Conventions. Calls return 0 or a negative errno; snpu_last_error() then says what, where and
 * which values are allowed. NULL for an object, or for where an answer goes, is -EINVAL; getters
 * give 0 or NULL then, and destroying NULL is no error. Sizes are bytes, times are nanoseconds.
 * Calls are thread-safe unless they say otherwise; a queue is filled by one thread at a time.
 * Objects are destroyed children first: mems, queues and events before their context, contexts
 * before the snpu they came from (-EBUSY otherwise).
 *
 * After fork() handles stay with the parent: in the child every call on them is -ESTALE (NULL for
 * ring and command buffer entries), and destroying them frees the child's memory alone. The child
 * may call snpu_open() for itself.
 */
#ifndef SNPU_SNPU_H
#define SNPU_SNPU_H

#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <snpu/snpu_hw.h>

#ifdef __cplusplus
extern "C" {
#endif

struct snpu;		/* a set of NPUs behind one transport */
struct snpu_ctx;	/* an address space on one NPU */
struct snpu_mem;	/* memory mapped into one context */
struct snpu_queue;	/* a command queue of one context */
struct snpu_cmdbuf;	/* a recorded list of packets */
struct snpu_fence;	/* a point of a queue's past or future */
struct snpu_timeline;	/* growing 64-bit counter of fences */
struct snpu_event;	/* 64-bit semaphore that contexts of several NPUs share */

/* ---- library ------------------------------------------------------------------------------ */

const char *snpu_version(void);
const char *snpu_last_error(void);			/* of this thread, never NULL */
const char *snpu_error_name(unsigned int code);		/* SNPU_ERR_* -> "UNMAPPED" */
const char *snpu_op_name(unsigned int op);		/* SNPU_OP_* -> "MATMUL" */
size_t snpu_dtype_size(unsigned int dtype);		/* bytes of an SNPU_DT_*, 0: unknown */
void snpu_config_print(FILE *out);			/* every SNPU_* variable: value, help */

/* ---- NPUs --------------------------------------------------------------------------------- */

/* Which fields of struct snpu_open_params are given */
#define SNPU_OPEN_TRANSPORT	(1u << 0)
#define SNPU_OPEN_SOCKET_DIR	(1u << 1)
#define SNPU_OPEN_CHECK		(1u << 2)

/**
 * struct snpu_open_params - how to find NPUs
 * @field_mask: SNPU_OPEN_*; the environment or the default counts for the others
 * @transport: "kmd", "direct" or "auto"
 * @socket_dir: direct: directory with npu<K>.sock of snpud
 * @check: 1: find use after free and other errors of the program, see SNPU_CHECK in snpu(7)
 */
struct snpu_open_params {
	uint64_t field_mask;
	const char *transport;
	const char *socket_dir;
	uint32_t check;
};

int snpu_open(const struct snpu_open_params *params, struct snpu **out); /* params may be NULL */
int snpu_close(struct snpu *snpu);
const char *snpu_transport(const struct snpu *snpu);
unsigned int snpu_count(const struct snpu *snpu);

/**
 * struct snpu_info - facts of one NPU
 * @node_id: address on the fabric
 * @host: host number in the machine
 * @slot: slot in that host
 * @numa_node: NUMA node it hangs on, -1: none or unknown
 * @path: device node or socket
 * @pci: PCI address "dddd:bb:dd.f", empty on direct
 * @serial: unique in the machine
 * @hbm_bytes: HBM in all
 * @profile: name of the machine profile
 * @flops_bf16: dense bf16 flop/s
 * @ops_int8: dense int8 op/s
 * @flops_fp32: fp32 flop/s, 0: not stated
 * @hbm_bw: HBM bytes/s
 * @fabric_bw: fabric bytes/s, one way
 * @planes: fabric planes
 * @dies: dies in the package
 * @machine_npus: NPUs in the machine
 * @machine_hosts: hosts in the machine
 * @num_queues: queues of the device
 * @caps: SNPU_CAP_*
 */
struct snpu_info {
	uint32_t node_id;
	uint32_t host;
	uint32_t slot;
	int32_t numa_node;
	char path[108];
	char pci[20];
	uint64_t serial;
	uint64_t hbm_bytes;
	char profile[32];
	uint64_t flops_bf16;
	uint64_t ops_int8;
	uint64_t flops_fp32;
	uint64_t hbm_bw;
	uint64_t fabric_bw;
	uint32_t planes;
	uint32_t dies;
	uint32_t machine_npus;
	uint32_t machine_hosts;
	uint32_t num_queues;
	uint32_t caps;
};

/* @size: sizeof(struct snpu_info) as the caller knows it */
int snpu_get_info(struct snpu *snpu, unsigned int index, struct snpu_info *info, size_t size);

/**
 * struct snpu_counters - counters of one NPU since power on
 * @packets: packets retired
 * @bytes_read: bytes read by packets
 * @bytes_written: bytes written by packets
 * @flops: arithmetic operations
 * @faults: queue faults
 * @busy_ns: time with at least one packet in execution
 * @hbm_used: HBM in use, bytes
 * @hbm_total: HBM that can be allocated, bytes
 */
struct snpu_counters {
	uint64_t packets;
	uint64_t bytes_read;
	uint64_t bytes_written;
	uint64_t flops;
	uint64_t faults;
	uint64_t busy_ns;
	uint64_t hbm_used;
	uint64_t hbm_total;
};

int snpu_get_counters(struct snpu *snpu, unsigned int index, struct snpu_counters *c, size_t size);

/* ---- contexts ----------------------------------------------------------------------------- */

int snpu_ctx_create(struct snpu *snpu, unsigned int index, struct snpu_ctx **out);
int snpu_ctx_destroy(struct snpu_ctx *ctx);
unsigned int snpu_ctx_index(const struct snpu_ctx *ctx);
struct snpu *snpu_ctx_snpu(const struct snpu_ctx *ctx);

/* ---- memory ------------------------------------------------------------------------------- */

#define SNPU_MEM_HBM		(1u << 0)	/* exactly one of HBM and HOST */
#define SNPU_MEM_HOST		(1u << 1)	/* pinned, on the NPU's NUMA node where possible */
#define SNPU_MEM_CONTIG		(1u << 2)	/* HBM in one piece */
#define SNPU_MEM_READ_ONLY	(1u << 3)	/* the device may only read it */

/* Zeroed memory of @bytes (rounded up to 4 KiB), mapped into the context's address space */
int snpu_mem_alloc(struct snpu_ctx *ctx, uint64_t bytes, unsigned int flags, struct snpu_mem **out);
int snpu_mem_free(struct snpu_mem *mem);
uint64_t snpu_mem_va(const struct snpu_mem *mem);	/* address for packets of its context */
uint64_t snpu_mem_size(const struct snpu_mem *mem);
struct snpu_ctx *snpu_mem_ctx(const struct snpu_mem *mem);
int snpu_mem_map(struct snpu_mem *mem, void **ptr);	/* for the CPU; stays until mem_free */
int snpu_mem_export(struct snpu_mem *mem, int *fd); /* dma-buf; direct: a descriptor of its own */
/* Maps an exported buffer; @flags: 0 or SNPU_MEM_READ_ONLY. The fd stays the caller's. */
int snpu_mem_import(struct snpu_ctx *ctx, int fd, unsigned int flags, struct snpu_mem **out);
/* Maps memory of another context, of the same or another NPU, into @ctx: export and import */
int snpu_mem_share(struct snpu_ctx *ctx, struct snpu_mem *mem, unsigned int flags,
		   struct snpu_mem **out);

/* ---- segments: memory of other NPUs, in any guest ----------------------------------------- */

/**
 * struct snpu_seg_handle - names exported memory machine-wide; send it by any means
 * @version: SNPU_SEG_HANDLE_VERSION
 * @node: fabric address of the exporter
 * @seg: segment there
 * @access: SNPU_SEG_READ, WRITE: what the exporter allows
 * @token: secret: who knows it has the access
 * @bytes: size
 * @rsvd: zero
 */
struct snpu_seg_handle {
	uint32_t version;
	uint32_t node;
	uint32_t seg;
	uint32_t access;
	uint64_t token;
	uint64_t bytes;
	uint64_t rsvd[4];
};
#define SNPU_SEG_HANDLE_VERSION	1

/*
 * Opens memory (HBM, allocated with SNPU_MEM_CONTIG, not imported) to other NPUs of the machine, in
 * any process and guest, until snpu_seg_revoke() or snpu_mem_free(). @access: SNPU_SEG_READ, WRITE.
 * @name: also enter it into the machine's directory (1 .. 55 printable characters without blanks);
 * may be NULL. @handle may be NULL if @name is not. -EEXIST: name taken, or @mem exported already.
 */
int snpu_seg_export(struct snpu_mem *mem, unsigned int access, const char *name,
		    struct snpu_seg_handle *handle);
int snpu_seg_revoke(struct snpu_mem *mem);	/* on return nobody is reaching it any more */
/* -ENOENT: nobody has published that name (yet) */
int snpu_seg_lookup(struct snpu_ctx *ctx, const char *name, struct snpu_seg_handle *handle);
/*
 * Maps an exported segment into @ctx. No CPU mapping. @flags: 0 or SNPU_MEM_READ_ONLY. -EACCES:
 * wrong token; -ENOENT: no such segment; -EHOSTUNREACH: no way to it; -ENOSPC: no import slot. When
 * the exporter is gone later, packets that touch it fault their queue with SNPU_ERR_FABRIC.
 */
int snpu_seg_import(struct snpu_ctx *ctx, const struct snpu_seg_handle *handle, unsigned int flags,
		    struct snpu_mem **out);
int snpu_seg_import_name(struct snpu_ctx *ctx, const char *name, unsigned int flags,
			 struct snpu_mem **out);

/**
 * struct snpu_port - one port of an NPU on the fabric
 * @die: die
 * @plane: plane
 * @state: SNPU_PORT_*
 * @tx_bytes: sent since the machine was switched on
 * @rx_bytes: received
 * @dropped: lost on the way, and sent again where that was possible
 * @rate: bytes/s one way now, 0: down
 * @tx_busy_ns: virtual time spent sending, 0: no virtual time is kept
 * @rx_busy_ns: and receiving
 */
struct snpu_port {
	uint32_t die;
	uint32_t plane;
	uint32_t state;
	uint64_t tx_bytes;
	uint64_t rx_bytes;
	uint64_t dropped;
	uint64_t rate;
	uint64_t tx_busy_ns;
	uint64_t rx_busy_ns;
};

/* Ports of NPU @index, up to @max, @stride: sizeof(struct snpu_port). Returns how many there are */
int snpu_get_ports(struct snpu *snpu, unsigned int index, struct snpu_port *ports, size_t stride,
		   unsigned int max);

/* ---- queues ------------------------------------------------------------------------------- */

#define SNPU_QUEUE_ENTRIES	(1u << 0)
#define SNPU_QUEUE_PRIO		(1u << 1)
#define SNPU_QUEUE_DIE		(1u << 2)
#define SNPU_QUEUE_TIMING	(1u << 3)

/**
 * struct snpu_queue_params - how a queue is made
 * @field_mask: SNPU_QUEUE_*; others get their default
 * @entries: packets in the ring: a power of two, 16 .. 65,536; default SNPU_RING_ENTRIES or 1,024
 * @prio: SNPU_PRIO_*, default NORMAL
 * @die: die that does the work, 0 .. dies - 1; by default it is spread over all dies
 * @timing: 1: timing-only: data packets touch no data, but cost virtual time (SNPU_QF_TIMING);
 *	-EOPNOTSUPP when the machine keeps no virtual time
 */
struct snpu_queue_params {
	uint64_t field_mask;
	uint32_t entries;
	uint32_t prio;
	uint32_t die;
	uint32_t timing;
};

int snpu_queue_create(struct snpu_ctx *ctx, const struct snpu_queue_params *params,
		      struct snpu_queue **out);				/* params may be NULL */
int snpu_queue_destroy(struct snpu_queue *q);
struct snpu_ctx *snpu_queue_ctx(const struct snpu_queue *q);

/*
 * The next free ring entry, zeroed, to be filled by one snpu_prep_*(); NULL: the ring is full, wait
 * for a position. Never enters the kernel. One thread at a time: from the first entry that is taken
 * to the snpu_queue_submit() that hands it over.
 */
union snpu_pkt *snpu_queue_get(struct snpu_queue *q);
/*
 * Hands all entries taken since the last call to the device: a store barrier and a doorbell, plus a
 * wake-up when the device sleeps. @position (may be NULL): what to wait for; unchanged when the
 * call fails. One thread at a time. -EIO: the queue has faulted or was reset, see snpu_queue_error().
 */
int snpu_queue_submit(struct snpu_queue *q, uint64_t *position);
uint64_t snpu_queue_completed(const struct snpu_queue *q);	/* packets retired */
/* 1: @position has retired, 0: not yet, -EIO: it never will */
int snpu_queue_poll(struct snpu_queue *q, uint64_t position);
#define SNPU_FOREVER	UINT64_MAX
/*
 * Spins SNPU_SPIN_US, then sleeps. -ETIME: @timeout_ns is over, snpu_last_error() then says at
 * which packet the queue is and what that waits for; -EIO: see snpu_queue_error().
 *
 * SNPU_FOREVER: on direct the call waits until the queue gets there or stops. On kmd the kernel
 * watches a queue that a call sleeps on, or that has a pending fence: one that makes no progress
 * for the module's hang_ms (10 s), also because it waits for a semaphore, is reset, and the call ends
 * with -EIO.
 */
int snpu_queue_wait(struct snpu_queue *q, uint64_t position, uint64_t timeout_ns);
int snpu_queue_suspend(struct snpu_queue *q);
int snpu_queue_resume(struct snpu_queue *q);

/**
 * struct snpu_error - why a queue stopped
 * @code: SNPU_ERR_*; NONE: it has not
 * @state: SNPU_QSTATE_*
 * @op: SNPU_OP_* of the packet, ~0: the queue was lost with no packet in it
 * @ib_index: its index in the command buffer, if it was in one
 * @index: index of the packet in the queue, 0 is the first ever
 * @va: address at fault, for memory errors; of the semaphore, for a wait that hung
 * @npu: index of the NPU
 * @queue: number of the queue, counted from 0 in its context
 * @hung: the queue was reset because it made no progress
 * @lost: the device was reset or removed
 */
struct snpu_error {
	uint32_t code;
	uint32_t state;
	uint32_t op;
	uint32_t ib_index;
	uint64_t index;
	uint64_t va;
	uint32_t npu;
	uint32_t queue;
	uint8_t hung;
	uint8_t lost;
};

int snpu_queue_error(struct snpu_queue *q, struct snpu_error *err, size_t size);
/* "NPU 3 queue 1 packet 17 (COPY): UNMAPPED at 0x7f0000201000"; returns what snprintf() would */
int snpu_error_format(const struct snpu_error *err, char *buf, size_t len);

/* ---- command buffers ---------------------------------------------------------------------- */

int snpu_cmdbuf_create(struct snpu_ctx *ctx, unsigned int packets, struct snpu_cmdbuf **out);
int snpu_cmdbuf_destroy(struct snpu_cmdbuf *cb);
union snpu_pkt *snpu_cmdbuf_get(struct snpu_cmdbuf *cb);	/* NULL: full */
void snpu_cmdbuf_reset(struct snpu_cmdbuf *cb);
/* Puts an INDIRECT packet that runs @cb into @q; -EAGAIN: ring full. Keep @cb until it retired. */
int snpu_queue_put_cmdbuf(struct snpu_queue *q, struct snpu_cmdbuf *cb);

/* ---- fences ------------------------------------------------------------------------------- */

int snpu_fence_create(struct snpu_queue *q, uint64_t position, struct snpu_fence **out);
int snpu_fence_destroy(struct snpu_fence *fence);
int snpu_fence_poll(struct snpu_fence *fence);		/* 1, 0, negative: it failed */
int snpu_fence_wait(struct snpu_fence *fence, uint64_t timeout_ns);
int snpu_fence_export(struct snpu_fence *fence, int *fd);	/* sync_file; direct: -EOPNOTSUPP */
int snpu_fence_import(struct snpu *snpu, int fd, struct snpu_fence **out);
/* Later packets of @q wait for @fence; takes at most one ring entry, -EAGAIN: ring full */
int snpu_queue_put_fence(struct snpu_queue *q, struct snpu_fence *fence);

/* ---- virtual time ------------------------------------------------------------------------- */
/*
 * What the modelled machine's clock would show: a function of the programs and the machine profile
 * alone. Known when the machine has come to rest after the packets in question; -EOPNOTSUPP when it
 * keeps none (snpud without --timing).
 */

/**
 * struct snpu_vtime - a packet in virtual time, ns since the machine was switched on
 * @begin: it began, or SNPU_VTIME_NEVER
 * @end: it ended; SNPU_VTIME_NEVER: it never does, as a link it needs stays down, what it waits for
 *	never ends, or it would end at SNPU_VTIME_END or later
 * @busy: time its queue was busy up to then
 */
struct snpu_vtime {
	uint64_t begin;
	uint64_t end;
	uint64_t busy;
};

/* Of the packet before @position; waits for it to retire and to be timed. -ETIME, -EIO */
int snpu_queue_vtime(struct snpu_queue *q, uint64_t position, uint64_t timeout_ns,
		     struct snpu_vtime *vt, size_t size);
/* The same for a fence that snpu_fence_create() made, while its queue exists */
int snpu_fence_vtime(struct snpu_fence *fence, uint64_t timeout_ns, struct snpu_vtime *vt,
		     size_t size);
/*
 * Declares that this host knew of everything up to virtual time @vtime_ns before it submits
 * anything more: later packets of all queues of @snpu begin no earlier. Call it after waiting, with
 * the end that snpu_queue_vtime() gave; without it the host's part of a program takes no time. Each
 * queue gets a CLOCK packet in front of its next one. A time below an earlier one changes nothing;
 * one above SNPU_MAX_CLOCK is -EINVAL.
 */
int snpu_time_sync(struct snpu *snpu, uint64_t vtime_ns);

/* ---- timelines ---------------------------------------------------------------------------- */

int snpu_timeline_create(struct snpu *snpu, struct snpu_timeline **out);
int snpu_timeline_destroy(struct snpu_timeline *tl);
/* Point @point (above all earlier ones) signals when @q retires @position */
int snpu_timeline_attach(struct snpu_timeline *tl, uint64_t point, struct snpu_queue *q,
			 uint64_t position);
int snpu_timeline_signal(struct snpu_timeline *tl, uint64_t point);	/* by the CPU, now */
int snpu_timeline_query(struct snpu_timeline *tl, uint64_t *point);
int snpu_timeline_wait(struct snpu_timeline *tl, uint64_t point, uint64_t timeout_ns);
int snpu_queue_put_timeline(struct snpu_queue *q, struct snpu_timeline *tl, uint64_t point);

/* ---- events: semaphores across NPUs ------------------------------------------------------- */

int snpu_event_create(struct snpu_ctx *ctx, struct snpu_event **out);	/* lives in ctx's HBM, 0 */
int snpu_event_destroy(struct snpu_event *ev);
/* Address of the event in @ctx, for SEM packets; maps it there the first time */
int snpu_event_va(struct snpu_event *ev, struct snpu_ctx *ctx, uint64_t *va);
uint64_t snpu_event_read(struct snpu_event *ev);
int snpu_event_set(struct snpu_event *ev, uint64_t value);	/* by the CPU; wakes waiting NPUs */
int snpu_event_wait(struct snpu_event *ev, uint64_t value, uint64_t timeout_ns);	/* >= */

#ifdef __cplusplus
}
#endif

#include <snpu/snpu_prep.h>

#endif /* SNPU_SNPU_H */
