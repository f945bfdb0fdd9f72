/* SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR MIT */
/*
 * snpu ioctl ABI: /dev/accel/accelN of driver "snpu".
 *
 * Rules. Every struct may grow at its end: an older kernel refuses a larger struct whose new part
 * is not zero (-E2BIG) and a newer kernel takes a shorter one as if zero-filled. Every flags field
 * is checked, every pad must be zero (-EINVAL). Pointers are __u64. The layout is the same for
 * 32-bit and 64-bit processes.
 *
 * An open file is one client: it has one address space of its own on the NPU, and owns its BOs,
 * mappings and queues. Closing it stops its queues and frees everything. Commands never pass the
 * kernel: a queue's ring lives in a BO of the client, its doorbell page is mapped into the process.
 *
 * Common errors: -EINVAL a field outside its range; -ENOENT no such handle or queue; -EFAULT a bad
 * pointer; -ENOMEM host memory; -ENOSPC HBM or another device resource is used up; -ENODEV the
 * device is gone or lost; -EIO the device is wedged, a reset is needed.
 */
#ifndef _SNPU_ACCEL_H_
#define _SNPU_ACCEL_H_

#include "drm.h"

#if defined(__cplusplus)
extern "C" {
#endif

#define DRM_SNPU_DRIVER_MAJOR	1
#define DRM_SNPU_DRIVER_MINOR	2

#define DRM_SNPU_DEV_QUERY	0x00
#define DRM_SNPU_BO_CREATE	0x01
#define DRM_SNPU_BO_INFO	0x02
#define DRM_SNPU_VM_BIND	0x03
#define DRM_SNPU_QUEUE_CREATE	0x04
#define DRM_SNPU_QUEUE_DESTROY	0x05
#define DRM_SNPU_QUEUE_QUERY	0x06
#define DRM_SNPU_QUEUE_CTRL	0x07
#define DRM_SNPU_QUEUE_SIGNAL	0x08
#define DRM_SNPU_QUEUE_WAIT	0x09
/* since minor 1 */
#define DRM_SNPU_SEG_EXPORT	0x0a
#define DRM_SNPU_SEG_REVOKE	0x0b
#define DRM_SNPU_SEG_LOOKUP	0x0c
#define DRM_SNPU_SEG_IMPORT	0x0d
#define DRM_SNPU_QUEUE_VTIME	0x0e

/**
 * struct drm_snpu_obj_array - array of structs that may grow
 * @stride: size of one element as userspace knows it
 * @count: elements
 * @array: pointer to the first
 */
struct drm_snpu_obj_array {
	__u32 stride;
	__u32 count;
	__u64 array;
};

/* What DEV_QUERY can be asked for */
#define DRM_SNPU_QUERY_DEVICE	0	/* struct drm_snpu_device_info */
#define DRM_SNPU_QUERY_MEMORY	1	/* struct drm_snpu_memory_info */
#define DRM_SNPU_QUERY_COUNTERS	2	/* struct drm_snpu_counters */
#define DRM_SNPU_QUERY_PEERS	3	/* array of struct drm_snpu_peer, one per reachable NPU */
#define DRM_SNPU_QUERY_PORTS	4	/* array of struct drm_snpu_port, one per die and plane */

/**
 * struct drm_snpu_dev_query - DRM_IOCTL_SNPU_DEV_QUERY
 * @type: DRM_SNPU_QUERY_*
 * @size: in: bytes at @pointer; out: bytes that the kernel has to give
 * @pointer: where the answer goes; 0: only @size is written. A shorter buffer gets the first part.
 */
struct drm_snpu_dev_query {
	__u32 type;
	__u32 size;
	__u64 pointer;
};

/**
 * struct drm_snpu_device_info - facts that do not change while the device is bound
 * @hw_version: SNPU_REG_VERSION
 * @caps: SNPU_CAP_*
 * @node_id: address on the fabric
 * @host_slot: host number << 16 | slot
 * @serial: unique in the machine
 * @hbm_bytes: HBM in all
 * @profile: name of the machine profile, NUL-terminated
 * @flops_bf16: dense bf16 flop/s
 * @ops_int8: dense int8 op/s
 * @flops_fp32: fp32 flop/s, 0: not stated
 * @hbm_bw: HBM bytes/s
 * @fabric_bw: fabric bytes/s, one way
 * @planes: fabric planes
 * @dies: dies in the package
 * @machine_npus: NPUs in the machine
 * @machine_hosts: hosts in the machine
 * @va_start: lowest address VM_BIND takes
 * @va_end: first address above what VM_BIND takes; the kernel keeps the rest
 * @num_queues: queues of the device
 * @max_queues_client: queues that one client may have
 * @ring_log2_min: smallest ring, log2 of entries
 * @ring_log2_max: largest ring
 * @numa_node: NUMA node the device hangs on, -1: none
 * @hang_ms: time without progress after which a queue is reset
 */
struct drm_snpu_device_info {
	__u32 hw_version;
	__u32 caps;
	__u32 node_id;
	__u32 host_slot;
	__u64 serial;
	__u64 hbm_bytes;
	char profile[32];
	__u64 flops_bf16;
	__u64 ops_int8;
	__u64 flops_fp32;
	__u64 hbm_bw;
	__u64 fabric_bw;
	__u32 planes;
	__u32 dies;
	__u32 machine_npus;
	__u32 machine_hosts;
	__u64 va_start;
	__u64 va_end;
	__u32 num_queues;
	__u32 max_queues_client;
	__u32 ring_log2_min;
	__u32 ring_log2_max;
	__s32 numa_node;
	__u32 hang_ms;
};

/**
 * struct drm_snpu_memory_info - use of memory at this moment
 * @hbm_total: bytes the allocator manages
 * @hbm_free: bytes free
 * @client_hbm: HBM held by this client
 * @client_host: host memory held by this client
 */
struct drm_snpu_memory_info {
	__u64 hbm_total;
	__u64 hbm_free;
	__u64 client_hbm;
	__u64 client_host;
};

/**
 * struct drm_snpu_counters - counters of the whole NPU since power on
 * @packets: packets retired
 * @bytes_read: bytes read by packets
 * @bytes_written: bytes written by packets
 * @flops: arithmetic operations
 * @faults: queue faults
 * @busy_ns: time with at least one packet in execution
 * @ecc_ce: corrected memory errors
 * @ecc_ue: uncorrected memory errors
 * @resets: function resets
 * @queue_resets: queues that were reset because they hung
 * @time_ns: device time of this reading
 */
struct drm_snpu_counters {
	__u64 packets;
	__u64 bytes_read;
	__u64 bytes_written;
	__u64 flops;
	__u64 faults;
	__u64 busy_ns;
	__u64 ecc_ce;
	__u64 ecc_ue;
	__u64 resets;
	__u64 queue_resets;
	__u64 time_ns;
};

/**
 * struct drm_snpu_peer - an NPU whose exported BOs this one can map over the fabric
 * @node_id: its fabric address
 * @minor: its accel minor (N of /dev/accel/accelN)
 * @pci_domain: its PCI domain
 * @pci_bdf: its bus << 8 | devfn
 */
struct drm_snpu_peer {
	__u32 node_id;
	__u32 minor;
	__u32 pci_domain;
	__u32 pci_bdf;
};

/**
 * struct drm_snpu_port - one port of the NPU on the fabric
 * @die: die
 * @plane: plane
 * @state: SNPU_PORT_*
 * @pad: zero
 * @tx_bytes: sent since power on
 * @rx_bytes: received
 * @dropped: bytes of either direction that were lost with the transfer they belonged to
 * @rate: bytes/s one way at this moment, 0: down
 * @tx_busy_ns: virtual time spent sending, 0: the device keeps no virtual time
 * @rx_busy_ns: the same for receiving
 */
struct drm_snpu_port {
	__u32 die;
	__u32 plane;
	__u32 state;
	__u32 pad;
	__u64 tx_bytes;
	__u64 rx_bytes;
	__u64 dropped;
	__u64 rate;
	__u64 tx_busy_ns;
	__u64 rx_busy_ns;
};

#define DRM_SNPU_BO_HBM		(1u << 0)	/* in HBM, zeroed; exactly one of HBM and HOST */
#define DRM_SNPU_BO_HOST	(1u << 1)	/* in host memory, zeroed, pinned */
#define DRM_SNPU_BO_CONTIG	(1u << 2)	/* HBM: one piece, -ENOSPC if there is none */

/**
 * struct drm_snpu_bo_create - DRM_IOCTL_SNPU_BO_CREATE
 * @size: in: bytes, not zero; out: rounded up to 4 KiB (HBM of 2 MiB and more: to 2 MiB)
 * @flags: DRM_SNPU_BO_*
 * @handle: out: GEM handle; free with DRM_IOCTL_GEM_CLOSE, export with PRIME_HANDLE_TO_FD
 * @mmap_offset: out: offset for mmap() of this file
 */
struct drm_snpu_bo_create {
	__u64 size;
	__u32 flags;
	__u32 handle;
	__u64 mmap_offset;
};

#define DRM_SNPU_BO_IMPORTED	(1u << 16)	/* a foreign dma-buf */
#define DRM_SNPU_BO_PEER	(1u << 17)	/* HBM of another NPU, reached over the fabric */
#define DRM_SNPU_BO_SEGMENT	(1u << 18)	/* from SEG_IMPORT: no mmap(), no PRIME export */

/**
 * struct drm_snpu_bo_info - DRM_IOCTL_SNPU_BO_INFO
 * @handle: in: GEM handle
 * @flags: out: DRM_SNPU_BO_* as created, with IMPORTED, PEER, SEGMENT
 * @size: out: bytes
 * @mmap_offset: out: offset for mmap(), 0: cannot be mapped here
 * @node_id: out: NPU that holds the memory, ~0: host memory
 * @pad: must be zero
 */
struct drm_snpu_bo_info {
	__u32 handle;
	__u32 flags;
	__u64 size;
	__u64 mmap_offset;
	__u32 node_id;
	__u32 pad;
};

#define DRM_SNPU_BIND_MAP	0
#define DRM_SNPU_BIND_UNMAP	1

#define DRM_SNPU_BIND_READ	(1u << 0)
#define DRM_SNPU_BIND_WRITE	(1u << 1)

/**
 * struct drm_snpu_bind_op - one change of the client's address space
 * @op: DRM_SNPU_BIND_*
 * @flags: MAP: DRM_SNPU_BIND_READ | WRITE, at least one; UNMAP: 0
 * @handle: MAP: BO; UNMAP: 0
 * @pad: must be zero
 * @offset: MAP: offset in the BO, 4 KiB aligned; UNMAP: 0
 * @va: address, 4 KiB aligned, inside va_start .. va_end
 * @size: bytes, 4 KiB aligned, not zero. MAP replaces what the range held; UNMAP may cover any
 *        number of mappings, whole or in part, or none.
 */
struct drm_snpu_bind_op {
	__u32 op;
	__u32 flags;
	__u32 handle;
	__u32 pad;
	__u64 offset;
	__u64 va;
	__u64 size;
};

#define DRM_SNPU_MAX_BIND_OPS	1024

/**
 * struct drm_snpu_vm_bind - DRM_IOCTL_SNPU_VM_BIND
 * @flags: must be zero
 * @done: out: operations carried out; below ops.count only together with an error
 * @ops: struct drm_snpu_bind_op, at most DRM_SNPU_MAX_BIND_OPS
 *
 * Synchronous and in order; stops at the first operation that fails. All operations are checked
 * before the first is carried out. On return the device uses the new state.
 */
struct drm_snpu_vm_bind {
	__u32 flags;
	__u32 done;
	struct drm_snpu_obj_array ops;
};

#define DRM_SNPU_QUEUE_EVENTFD	(1u << 0)	/* @eventfd is valid */
#define DRM_SNPU_QUEUE_TIMING	(1u << 1)	/* timing-only, see SNPU_QF_TIMING; -EOPNOTSUPP: the
						 * device keeps no virtual time
						 */

/**
 * struct drm_snpu_queue_create - DRM_IOCTL_SNPU_QUEUE_CREATE
 * @flags: DRM_SNPU_QUEUE_*
 * @prio: SNPU_PRIO_*; HIGH needs CAP_SYS_NICE (-EACCES)
 * @ring_va: address of the ring in the client's address space, aligned to 64
 * @ring_log2: log2 of its entries
 * @eventfd: with QUEUE_EVENTFD: signalled on INTERRUPT packets, faults and resets of the queue;
 *           else 0
 * @queue_id: out: id for the other ioctls, never 0
 * @die: 0: work is spread over all dies, n: die n - 1 does it, at most drm_snpu_device_info.dies
 * @doorbell_offset: out: mmap offset of the doorbell page (4 KiB, shared, read-write). The mapping
 *                   outlives queue and device: then it is a dummy page.
 * @cpl_offset: out: mmap offset of the page whose first 128 bytes are struct snpu_cpl (4 KiB,
 *              shared, read-only; PROT_WRITE is refused with -EACCES)
 */
struct drm_snpu_queue_create {
	__u32 flags;
	__u32 prio;
	__u64 ring_va;
	__u32 ring_log2;
	__s32 eventfd;
	__u32 queue_id;
	__u32 die;
	__u64 doorbell_offset;
	__u64 cpl_offset;
};

/**
 * struct drm_snpu_queue_destroy - DRM_IOCTL_SNPU_QUEUE_DESTROY
 * @queue_id: queue
 * @pad: must be zero
 *
 * Aborts the packet in flight. Fences on positions not reached signal with -ECANCELED.
 */
struct drm_snpu_queue_destroy {
	__u32 queue_id;
	__u32 pad;
};

#define DRM_SNPU_QUEUE_HUNG	(1u << 0)	/* reset by hang detection */
#define DRM_SNPU_QUEUE_LOST	(1u << 1)	/* stopped by a function reset or removal */

/**
 * struct drm_snpu_queue_query - DRM_IOCTL_SNPU_QUEUE_QUERY
 * @queue_id: in: queue
 * @state: out: SNPU_QSTATE_*
 * @error: out: SNPU_ERR_*
 * @error_aux: out: as in struct snpu_cpl
 * @fault_index: out: packet that failed
 * @fault_va: out: address at fault
 * @completed: out: packets retired
 * @flags: out: DRM_SNPU_QUEUE_HUNG, LOST
 * @pad: must be zero
 */
struct drm_snpu_queue_query {
	__u32 queue_id;
	__u32 state;
	__u32 error;
	__u32 error_aux;
	__u64 fault_index;
	__u64 fault_va;
	__u64 completed;
	__u32 flags;
	__u32 pad;
};

#define DRM_SNPU_CTRL_WAKE	0	/* the device sleeps (need_wake) and has work */
#define DRM_SNPU_CTRL_SUSPEND	1	/* returns between two packets */
#define DRM_SNPU_CTRL_RESUME	2

/**
 * struct drm_snpu_queue_ctrl - DRM_IOCTL_SNPU_QUEUE_CTRL
 * @queue_id: queue
 * @op: DRM_SNPU_CTRL_*
 */
struct drm_snpu_queue_ctrl {
	__u32 queue_id;
	__u32 op;
};

/**
 * struct drm_snpu_queue_signal - DRM_IOCTL_SNPU_QUEUE_SIGNAL
 * @queue_id: queue
 * @syncobj: syncobj that gets the fence
 * @point: timeline point, 0: binary syncobj
 * @position: signal when this many packets have retired; at most what the doorbell says is
 *            submitted (-EINVAL above); 0: what is submitted now
 *
 * A queue with such a fence pending is reset when it makes no progress for hang_ms: the fence then
 * signals with -ETIME; with -EIO on a fault, -ECANCELED on destruction, -ENODEV on removal.
 * A binary syncobj keeps that error; the links of a timeline are not told it, by the nature of
 * dma_fence_chain: there QUEUE_QUERY has it.
 */
struct drm_snpu_queue_signal {
	__u32 queue_id;
	__u32 syncobj;
	__u64 point;
	__u64 position;
};

/**
 * struct drm_snpu_queue_wait - DRM_IOCTL_SNPU_QUEUE_WAIT
 * @queue_id: queue that is going to wait
 * @syncobj: syncobj to wait for; must have a fence for @point (-EINVAL: submit first)
 * @point: timeline point, 0: binary syncobj
 * @sem_va: out: address, readable by the device, for a SEM_WAIT packet with SNPU_SEM_GE
 * @sem_value: out: value for that packet. 0: the fence has signalled, no packet is needed.
 *
 * When the fence signals, with or without error, the kernel stores @sem_value there and wakes the
 * device. The slot belongs to the queue; at most DRM_SNPU_MAX_WAITS of a queue can be pending
 * (-EBUSY above).
 */
struct drm_snpu_queue_wait {
	__u32 queue_id;
	__u32 syncobj;
	__u64 point;
	__u64 sem_va;
	__u64 sem_value;
};

#define DRM_SNPU_MAX_WAITS	64

#define DRM_SNPU_SEG_READ	(1u << 0)
#define DRM_SNPU_SEG_WRITE	(1u << 1)
#define DRM_SNPU_SEG_NAME_MAX	56	/* bytes of a name, with its NUL */

/**
 * struct drm_snpu_seg_export - DRM_IOCTL_SNPU_SEG_EXPORT
 * @handle: BO in HBM of this NPU, of one piece (DRM_SNPU_BO_CONTIG)
 * @access: DRM_SNPU_SEG_*, at least one: what holders of the token may do
 * @name: printable ASCII without blanks, NUL-padded: also enter it into the directory of the
 *        machine under this name; empty: do not
 * @node: out: fabric address of this NPU
 * @seg: out: segment number there
 * @token: out: secret that an importer must show
 *
 * Opens the memory to whoever knows node, segment and token, on any NPU of the machine and in any
 * guest. The segment keeps the BO, even without a handle; it ends with SEG_REVOKE, with the client,
 * and with a function reset of the NPU. -EEXIST: the name is taken; -ENOSPC: no segment or
 * directory entry is free; -EMFILE: the last eighth of the NPU's segments is for clients that have
 * less than an eighth of them; -EOPNOTSUPP: no fabric.
 */
struct drm_snpu_seg_export {
	__u32 handle;
	__u32 access;
	char name[DRM_SNPU_SEG_NAME_MAX];
	__u32 node;
	__u32 seg;
	__u64 token;
};

/**
 * struct drm_snpu_seg_revoke - DRM_IOCTL_SNPU_SEG_REVOKE
 * @seg: a segment that this client exported (-ENOENT otherwise)
 * @pad: must be zero
 *
 * On return no access is under way any more; later ones fault the queue that tries. -ESTALE: a
 * function reset had ended the segment already; its number is free now, too.
 */
struct drm_snpu_seg_revoke {
	__u32 seg;
	__u32 pad;
};

/**
 * struct drm_snpu_seg_lookup - DRM_IOCTL_SNPU_SEG_LOOKUP
 * @name: in: name in the directory, as in SEG_EXPORT, not empty (-ENOENT: nobody has published it;
 *        -EHOSTUNREACH: no way to who has)
 * @node: out: fabric address of the exporter
 * @seg: out: its segment
 * @token: out: secret
 * @size: out: bytes
 * @access: out: DRM_SNPU_SEG_*
 * @pad: must be zero
 */
struct drm_snpu_seg_lookup {
	char name[DRM_SNPU_SEG_NAME_MAX];
	__u32 node;
	__u32 seg;
	__u64 token;
	__u64 size;
	__u32 access;
	__u32 pad;
};

/**
 * struct drm_snpu_seg_import - DRM_IOCTL_SNPU_SEG_IMPORT
 * @node: fabric address of the exporter
 * @seg: its segment
 * @token: secret
 * @handle: out: GEM handle, for BO_INFO, GEM_CLOSE and VM_BIND, which refuses to map more than the
 *          exporter allows (-EACCES)
 * @access: out: DRM_SNPU_SEG_* the exporter allows
 * @size: out: bytes
 *
 * -EACCES: wrong token; -ENOENT: no such segment; -EHOSTUNREACH: no way to the exporter; -ENOSPC:
 * no import slot is free; -EMFILE: the last eighth of the NPU's slots is for clients that use less
 * than an eighth of them (BOs of one segment share a slot). What the exporter decides later is
 * found out by the packets: they fault.
 */
struct drm_snpu_seg_import {
	__u32 node;
	__u32 seg;
	__u64 token;
	__u32 handle;
	__u32 access;
	__u64 size;
};

/**
 * struct drm_snpu_queue_vtime - DRM_IOCTL_SNPU_QUEUE_VTIME
 * @queue_id: queue
 * @pad: must be zero
 * @position: packets, counted like the completion index, 1 and up
 * @end: out: virtual ns at which packet @position - 1 ended; all bits set: it never ends
 * @begin: out: virtual ns at which it began; all bits set: it never begins
 * @busy: out: virtual ns that the queue was busy up to there
 * @deadline: CLOCK_MONOTONIC ns until when to wait for it; 0: do not. Since version 1.2
 *
 * -EBUSY: not retired, or not known yet: it will be once the machine has come to rest; ask again
 * later.
 * -EOPNOTSUPP: the device keeps no virtual time; -EIO: the queue was lost in a reset, or it stopped
 * before a @position that is waited for; -ENOENT: no such queue, or virtual time was started anew
 * since; -ENOSPC: the device no longer kept it.
 */
struct drm_snpu_queue_vtime {
	__u32 queue_id;
	__u32 pad;
	__u64 position;
	__u64 end;
	__u64 begin;
	__u64 busy;
	__s64 deadline;
};

#define DRM_IOCTL_SNPU(dir, name, type) \
	DRM_##dir(DRM_COMMAND_BASE + DRM_SNPU_##name, struct type)

#define DRM_IOCTL_SNPU_DEV_QUERY	DRM_IOCTL_SNPU(IOWR, DEV_QUERY, drm_snpu_dev_query)
#define DRM_IOCTL_SNPU_BO_CREATE	DRM_IOCTL_SNPU(IOWR, BO_CREATE, drm_snpu_bo_create)
#define DRM_IOCTL_SNPU_BO_INFO		DRM_IOCTL_SNPU(IOWR, BO_INFO, drm_snpu_bo_info)
#define DRM_IOCTL_SNPU_VM_BIND		DRM_IOCTL_SNPU(IOWR, VM_BIND, drm_snpu_vm_bind)
#define DRM_IOCTL_SNPU_QUEUE_CREATE	DRM_IOCTL_SNPU(IOWR, QUEUE_CREATE, drm_snpu_queue_create)
#define DRM_IOCTL_SNPU_QUEUE_DESTROY	DRM_IOCTL_SNPU(IOW, QUEUE_DESTROY, drm_snpu_queue_destroy)
#define DRM_IOCTL_SNPU_QUEUE_QUERY	DRM_IOCTL_SNPU(IOWR, QUEUE_QUERY, drm_snpu_queue_query)
#define DRM_IOCTL_SNPU_QUEUE_CTRL	DRM_IOCTL_SNPU(IOW, QUEUE_CTRL, drm_snpu_queue_ctrl)
#define DRM_IOCTL_SNPU_QUEUE_SIGNAL	DRM_IOCTL_SNPU(IOW, QUEUE_SIGNAL, drm_snpu_queue_signal)
#define DRM_IOCTL_SNPU_QUEUE_WAIT	DRM_IOCTL_SNPU(IOWR, QUEUE_WAIT, drm_snpu_queue_wait)
#define DRM_IOCTL_SNPU_SEG_EXPORT	DRM_IOCTL_SNPU(IOWR, SEG_EXPORT, drm_snpu_seg_export)
#define DRM_IOCTL_SNPU_SEG_REVOKE	DRM_IOCTL_SNPU(IOW, SEG_REVOKE, drm_snpu_seg_revoke)
#define DRM_IOCTL_SNPU_SEG_LOOKUP	DRM_IOCTL_SNPU(IOWR, SEG_LOOKUP, drm_snpu_seg_lookup)
#define DRM_IOCTL_SNPU_SEG_IMPORT	DRM_IOCTL_SNPU(IOWR, SEG_IMPORT, drm_snpu_seg_import)
#define DRM_IOCTL_SNPU_QUEUE_VTIME	DRM_IOCTL_SNPU(IOWR, QUEUE_VTIME, drm_snpu_queue_vtime)

/* Layout, the same for 32 and 64 bit */
#ifdef __cplusplus
#define DRM_SNPU_ASSERT(type, size)	static_assert(sizeof(struct type) == (size), #type)
#else
#define DRM_SNPU_ASSERT(type, size)	_Static_assert(sizeof(struct type) == (size), #type)
#endif
DRM_SNPU_ASSERT(drm_snpu_obj_array, 16);
DRM_SNPU_ASSERT(drm_snpu_dev_query, 16);
DRM_SNPU_ASSERT(drm_snpu_device_info, 160);
DRM_SNPU_ASSERT(drm_snpu_memory_info, 32);
DRM_SNPU_ASSERT(drm_snpu_counters, 88);
DRM_SNPU_ASSERT(drm_snpu_peer, 16);
DRM_SNPU_ASSERT(drm_snpu_bo_create, 24);
DRM_SNPU_ASSERT(drm_snpu_bo_info, 32);
DRM_SNPU_ASSERT(drm_snpu_bind_op, 40);
DRM_SNPU_ASSERT(drm_snpu_vm_bind, 24);
DRM_SNPU_ASSERT(drm_snpu_queue_create, 48);
DRM_SNPU_ASSERT(drm_snpu_queue_destroy, 8);
DRM_SNPU_ASSERT(drm_snpu_queue_query, 48);
DRM_SNPU_ASSERT(drm_snpu_queue_ctrl, 8);
DRM_SNPU_ASSERT(drm_snpu_queue_signal, 24);
DRM_SNPU_ASSERT(drm_snpu_queue_wait, 32);
DRM_SNPU_ASSERT(drm_snpu_port, 64);
DRM_SNPU_ASSERT(drm_snpu_seg_export, 80);
DRM_SNPU_ASSERT(drm_snpu_seg_revoke, 8);
DRM_SNPU_ASSERT(drm_snpu_seg_lookup, 88);
DRM_SNPU_ASSERT(drm_snpu_seg_import, 32);
DRM_SNPU_ASSERT(drm_snpu_queue_vtime, 48);

#if defined(__cplusplus)
}
#endif

#endif /* _SNPU_ACCEL_H_ */
