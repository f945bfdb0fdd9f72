/* SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR MIT */
/*
 * snpu hardware ABI: what a driver, a runtime and the device model agree on.
 *
 * This is the only definition of registers, doorbells, page-table entries, queues, packets, events
 * and error codes. Documentation/hardware.rst is the programming manual that goes with it. All
 * memory structures are little-endian. Fields named "rsvd" must be zero; the device checks them.
 */
#ifndef _SNPU_HW_H_
#define _SNPU_HW_H_

#include <linux/types.h>

/* ---- PCI identity ------------------------------------------------------------------------- */

#define SNPU_PCI_VENDOR_ID	0x5350
#define SNPU_PCI_DEVICE_ID	0x0384
#define SNPU_PCI_CLASS		0x120000	/* processing accelerator */

#define SNPU_BAR_REGS		0		/* registers, then doorbell pages */
#define SNPU_BAR_HBM		2		/* window on all of HBM, 64-bit prefetchable */
#define SNPU_BAR_MSIX		4		/* MSI-X table at 0, PBA at SNPU_MSIX_PBA_OFFSET */

#define SNPU_BAR_REGS_SIZE	0x200000u
#define SNPU_BAR_MSIX_SIZE	0x1000u
#define SNPU_MSIX_PBA_OFFSET	0x800u
#define SNPU_MSIX_VECTORS	17		/* 0: events; any: queue completions */

/* ---- BAR0, page 0: trapped registers ------------------------------------------------------ */
/*
 * Every access here leaves the guest: none belongs on a data path. 64-bit registers take one
 * aligned 64-bit access; an access of another width, or to an offset not listed, reads as zero
 * and is ignored when written.
 */
#define SNPU_REG_MAGIC		0x000	/* RO 32: SNPU_MAGIC */
#define SNPU_REG_VERSION	0x004	/* RO 32: major << 16 | minor of this ABI */
#define SNPU_REG_CAPS		0x008	/* RO 32: SNPU_CAP_* */
#define SNPU_REG_NUM_QUEUES	0x00c	/* RO 32: queues, at most SNPU_MAX_QUEUES */
#define SNPU_REG_HBM_SIZE	0x010	/* RO 64: bytes of HBM, at most the size of BAR2 */
#define SNPU_REG_NODE_ID	0x018	/* RO 32: address of this NPU on the fabric */
#define SNPU_REG_HOST_SLOT	0x01c	/* RO 32: host number << 16 | slot in that host */
#define SNPU_REG_SERIAL		0x020	/* RO 64: serial number, unique in the machine */
#define SNPU_REG_STATUS		0x028	/* RO 32: SNPU_STATUS_* */
#define SNPU_REG_NUM_CTX	0x02c	/* RO 32: address spaces, ids 1 .. NUM_CTX - 1 */
#define SNPU_REG_NUM_SEGS	0x030	/* RO 32: export slots, ids 0 .. NUM_SEGS - 1 */
#define SNPU_REG_NUM_IMPORTS	0x034	/* RO 32: import slots, ids 0 .. NUM_IMPORTS - 1, at
					 * most 1024; see ALL_IMPORTS
					 */
#define SNPU_REG_RESET		0x038	/* WO 32: SNPU_RESET_MAGIC resets the function */
#define SNPU_REG_WAKE		0x03c	/* WO 32: any value: poll the doorbells again */
#define SNPU_REG_ADMIN_ADDR	0x040	/* RW 64: DMA address of struct snpu_admin_mbox */
#define SNPU_REG_ADMIN_DB	0x048	/* WO 32: any value: run the command in the mailbox */
#define SNPU_REG_EVENT_SIZE	0x04c	/* RW 32: log2 of the entries, 0: events off */
#define SNPU_REG_EVENT_ADDR	0x050	/* RW 64: DMA address of struct snpu_event_ring */
#define SNPU_REG_TIME_NS	0x058	/* RO 64: device time, ns; never goes back */
#define SNPU_REG_RAS_CE		0x060	/* RO 64: corrected HBM errors since power on */
#define SNPU_REG_RAS_UE		0x068	/* RO 64: uncorrected HBM errors since power on */
#define SNPU_REG_RESETS		0x070	/* RO 32: function resets since power on */
#define SNPU_REG_ALL_IMPORTS	0x074	/* RO 32: import slots for who uses all bits of the slot in
					 * a PTE; 0: as NUM_IMPORTS; minor 3
					 */
/* Facts of the machine profile the function was built from */
#define SNPU_REG_PROFILE_NAME	0x100	/* RO 4 x 64: NUL-padded ASCII, 32 bytes */
#define SNPU_REG_FLOPS_BF16	0x120	/* RO 64: dense bf16 flop/s */
#define SNPU_REG_OPS_INT8	0x128	/* RO 64: dense int8 op/s */
#define SNPU_REG_FLOPS_FP32	0x130	/* RO 64: fp32 flop/s, 0: not stated by the profile */
#define SNPU_REG_HBM_BW		0x138	/* RO 64: HBM bytes/s */
#define SNPU_REG_FABRIC_BW	0x140	/* RO 64: fabric bytes/s, one way */
#define SNPU_REG_PLANES		0x148	/* RO 32: fabric planes */
#define SNPU_REG_DIES		0x14c	/* RO 32: dies in the package */
#define SNPU_REG_MACHINE_NPUS	0x150	/* RO 32: NPUs in the whole machine */
#define SNPU_REG_MACHINE_HOSTS	0x154	/* RO 32: hosts in the whole machine */

#define SNPU_MAGIC		0x55504e53u	/* "SNPU" */
#define SNPU_ABI_MAJOR		1
#define SNPU_ABI_MINOR		6
#define SNPU_ABI_VECTOR_0	2		/* minor since which queues may use vector 0 */
#define SNPU_RESET_MAGIC	0x52455345u

#define SNPU_CAP_SCRUB		(1u << 0)	/* ADM_SCRUB zeroes HBM */
#define SNPU_CAP_FABRIC		(1u << 1)	/* segments can be exported and imported */
#define SNPU_CAP_DIRECTORY	(1u << 2)	/* DIR_*, SEG_QUERY, FABRIC_PORT; minor 1 */
#define SNPU_CAP_ATOMIC		(1u << 3)	/* ATOMIC, REDUCE_ADD, PF_SIGNAL; minor 1 */
#define SNPU_CAP_TIMING		(1u << 4)	/* virtual time is kept: VTIME, timing-only queues,
						 * PF_VIRTUAL
						 */
#define SNPU_CAP_MULTI		(1u << 5)	/* REDUCE_PULL, MULTICAST; minor 4 */
#define SNPU_CAP_IN_SWITCH	(1u << 6)	/* the switches add up and copy for these: operands
						 * and copies do not share the issuer's links
						 */
#define SNPU_CAP_UNTIMED	(1u << 7)	/* PF_UNTIMED; minor 5 */
#define SNPU_CAP_UNTIMED_ATOMIC	(1u << 8)	/* PF_UNTIMED of ATOMIC; minor 6 */

#define SNPU_STATUS_READY	(1u << 0)	/* commands are accepted */
#define SNPU_STATUS_FATAL	(1u << 1)	/* only a reset helps */

/* ---- BAR0: doorbell pages ----------------------------------------------------------------- */
/*
 * Page of queue q: BAR0 + SNPU_DB_OFFSET + q * SNPU_DB_STRIDE: plain shared memory, never trapped.
 * The first 64-bit word is the write index: packets ever put into the ring. The device reads it
 * once per look, and faults the queue when it goes back or runs more than a ring ahead.
 */
#define SNPU_DB_OFFSET		0x100000u
#define SNPU_DB_STRIDE		0x1000u
#define SNPU_MAX_QUEUES		256		/* what the layout has room for; see NUM_QUEUES */

/* ---- address spaces ----------------------------------------------------------------------- */
/*
 * Four levels of 512 64-bit entries in HBM, 48-bit addresses: bits 47..39 index the root (level 3),
 * then 38..30, 29..21, 20..12. A leaf stands at level 0 (4 KiB) or level 1 (2 MiB, aligned).
 * The device never caches an entry that is not valid: making one valid needs no invalidation, any
 * other change does.
 */
#define SNPU_VA_BITS		48
#define SNPU_PT_LEVELS		4
#define SNPU_PT_ENTRIES		512
#define SNPU_PT_BYTES		4096u
#define SNPU_PAGE_SHIFT		12
#define SNPU_PAGE_SIZE		(1u << SNPU_PAGE_SHIFT)
#define SNPU_HUGE_SHIFT		21
#define SNPU_HUGE_SIZE		(1u << SNPU_HUGE_SHIFT)

#define SNPU_PTE_VALID		(1ull << 0)
#define SNPU_PTE_READ		(1ull << 1)	/* leaf only */
#define SNPU_PTE_WRITE		(1ull << 2)	/* leaf only */
#define SNPU_PTE_LEAF		(1ull << 3)	/* clear: ADDR is the next table */
#define SNPU_PTE_APERTURE_SHIFT	4
#define SNPU_PTE_APERTURE_MASK	(3ull << SNPU_PTE_APERTURE_SHIFT)
#define SNPU_PTE_ADDR_MASK	0x000ffffffffff000ull	/* bits 51..12 */
/*
 * FABRIC only: the import slot. Bits 61..52 are its bits 9..0. Bits 51..48 are its bits 13..10,
 * since minor version 3; a segment is smaller than 2^48, so that they are no part of its ADDR.
 */
#define SNPU_PTE_IMPORT_SHIFT	52
#define SNPU_PTE_IMPORT_BITS	10
#define SNPU_PTE_IMPORT_MASK	(0x3ffull << SNPU_PTE_IMPORT_SHIFT)
#define SNPU_PTE_IMPORT_HIGH_SHIFT	48
#define SNPU_PTE_IMPORT_HIGH_MASK	(0xfull << SNPU_PTE_IMPORT_HIGH_SHIFT)
#define SNPU_PTE_SEG_ADDR_MASK	(SNPU_PTE_ADDR_MASK & ~SNPU_PTE_IMPORT_HIGH_MASK)
#define SNPU_MAX_IMPORTS	16384
#define SNPU_PTE_RSVD_MASK	(~(SNPU_PTE_VALID | SNPU_PTE_READ | SNPU_PTE_WRITE | \
				   SNPU_PTE_LEAF | SNPU_PTE_APERTURE_MASK | \
				   SNPU_PTE_ADDR_MASK | SNPU_PTE_IMPORT_MASK))

/* Where a leaf's ADDR points */
#define SNPU_APERTURE_HBM	0	/* offset in this NPU's HBM */
#define SNPU_APERTURE_HOST	1	/* DMA address */
#define SNPU_APERTURE_FABRIC	2	/* offset in the segment of the import slot */

/* ---- queues ------------------------------------------------------------------------------- */

#define SNPU_PKT_BYTES		64u
#define SNPU_RING_LOG2_MIN	4	/* ring entries: 16 ... */
#define SNPU_RING_LOG2_MAX	16	/* ... 65,536 */

#define SNPU_PRIO_LOW		0
#define SNPU_PRIO_NORMAL	1
#define SNPU_PRIO_HIGH		2	/* runs before lower ones whenever it has work */
#define SNPU_PRIO_MAX		SNPU_PRIO_HIGH

/* flags of struct snpu_queue_desc */
/*
 * TIMING: data packets move nothing and need no memory: only what they cost counts. Semaphores,
 * timestamps, interrupts and indirect buffers are real. Needs CAP_TIMING.
 * DIE, bits 15..8: 0: the work of the packets is spread over all dies; n: die n - 1 does it.
 */
#define SNPU_QF_TIMING		(1u << 0)
#define SNPU_QF_DIE_SHIFT	8
#define SNPU_QF_DIE_MASK	(0xffu << SNPU_QF_DIE_SHIFT)
#define SNPU_QF_MASK		(SNPU_QF_TIMING | SNPU_QF_DIE_MASK)

/**
 * struct snpu_queue_desc - argument of SNPU_ADM_QUEUE_CREATE
 * @queue: queue number, below NUM_QUEUES, not in use
 * @ctx: address space that ring and packets are translated by
 * @ring_va: address of entry 0 in @ctx, aligned to 64; readable
 * @cpl_addr: DMA address of a struct snpu_cpl, aligned to 128
 * @ring_log2: log2 of the entries, SNPU_RING_LOG2_MIN .. MAX
 * @prio: SNPU_PRIO_*
 * @vector: MSI-X vector of completion interrupts, 0 .. SNPU_MSIX_VECTORS - 1; 0, which events raise
 *          too, since minor version SNPU_ABI_VECTOR_0
 * @flags: SNPU_QF_*
 * @rsvd: must be zero
 */
struct snpu_queue_desc {
	__u32 queue;
	__u32 ctx;
	__u64 ring_va;
	__u64 cpl_addr;
	__u8 ring_log2;
	__u8 prio;
	__u16 vector;
	__u32 flags;
	__u64 rsvd[4];
};

/* enum snpu_queue_state: what struct snpu_cpl.state holds */
#define SNPU_QSTATE_NONE	0	/* not created */
#define SNPU_QSTATE_RUN		1	/* takes packets */
#define SNPU_QSTATE_BLOCKED	2	/* its next packet waits for a semaphore */
#define SNPU_QSTATE_SUSPENDED	3	/* by ADM_QUEUE_SUSPEND */
#define SNPU_QSTATE_FAULT	4	/* stopped at packet @fault_index; only destroy helps */
#define SNPU_QSTATE_STOPPED	5	/* destroyed */

/**
 * struct snpu_cpl - completion record of a queue, in memory the user can read but not write
 * @completed: packets retired; all their effects are visible before it counts them
 * @progress: counts up while a packet is executed, so that long is not taken for hung
 * @state: SNPU_QSTATE_*
 * @need_wake: 1: the device sleeps; after ringing the doorbell and a full barrier, read this and
 *             write SNPU_REG_WAKE if it is set. The device sets it, full barrier, looks once more.
 * @error: SNPU_ERR_* once @state is FAULT
 * @error_aux: op code of the failing packet | index inside an indirect buffer << 8
 * @fault_index: index of the failing packet, counted like @completed
 * @fault_va: address at fault, for the memory errors
 * @time_ns: device time when @completed was written last
 * @rsvd0: zero
 * @irq_at: written by the driver: raise the queue's vector once when @completed reaches it; 0: off.
 *          The driver writes it, full barrier, reads @completed again; the device does the reverse,
 *          so one of the two sees the other. The device raises the vector for a given value once.
 * @rsvd1: zero
 *
 * The first 64 bytes are written by the device only, the second 64 by the driver only.
 */
struct snpu_cpl {
	__u64 completed;
	__u64 progress;
	__u32 state;
	__u32 need_wake;
	__u32 error;
	__u32 error_aux;
	__u64 fault_index;
	__u64 fault_va;
	__u64 time_ns;
	__u64 rsvd0;
	__u64 irq_at;
	__u64 rsvd1[7];
};

/* ---- admin mailbox ------------------------------------------------------------------------ */
/*
 * One command at a time: fill the command, write barrier, write SNPU_REG_ADMIN_DB. The response is
 * in the mailbox before that write is acknowledged (before any later register read returns).
 * Commands that stop work return when the packet in flight has let go of all memory.
 */
#define SNPU_ADM_NOP		0x00	/* response data[0] = the command's nonce */
#define SNPU_ADM_CTX_CREATE	0x01	/* ctx: new address space */
#define SNPU_ADM_CTX_DESTROY	0x02	/* ctx: -> BUSY while a queue uses it */
#define SNPU_ADM_TLB_INVAL	0x03	/* tlb: on return nothing uses the old entries any more */
#define SNPU_ADM_QUEUE_CREATE	0x04	/* queue: zeroes doorbell and completion record, starts */
#define SNPU_ADM_QUEUE_DESTROY	0x05	/* qid: aborts the packet in flight, frees the number */
#define SNPU_ADM_QUEUE_SUSPEND	0x06	/* qid: returns between two packets; BUSY, and no
					 * change, when one takes over 800 ms
					 */
#define SNPU_ADM_QUEUE_RESUME	0x07	/* qid */
#define SNPU_ADM_SCRUB		0x08	/* scrub: zeroes a page-aligned range of HBM */
#define SNPU_ADM_SEG_EXPORT	0x09	/* export: opens a range of HBM to holders of the token */
#define SNPU_ADM_SEG_REVOKE	0x0a	/* export.seg: later accesses fail, earlier ones are done */
#define SNPU_ADM_SEG_IMPORT	0x0b	/* import: names a remote segment for fabric PTEs */
#define SNPU_ADM_SEG_UNIMPORT	0x0c	/* import.slot */
#define SNPU_ADM_COUNTERS	0x0d	/* data[]: packets, bytes read, bytes written, flops,
					 * faults, busy ns, of the whole NPU since power on
					 */
#define SNPU_ADM_SEG_QUERY	0x0e	/* import (slot unused): asks the exporter: data[]: bytes,
					 * access. NOENT: no such segment, PERM: wrong token,
					 * UNREACH: no route
					 */
#define SNPU_ADM_DIR_PUBLISH	0x0f	/* dir: a name for a segment of this NPU; EXIST: taken */
#define SNPU_ADM_DIR_LOOKUP	0x10	/* dir.name: data[]: node, segment, token, bytes, access */
#define SNPU_ADM_DIR_REMOVE	0x11	/* dir.name: PERM unless this NPU published it */
#define SNPU_ADM_VTIME		0x12	/* vtime: data[]: see there; BUSY: not known yet */
#define SNPU_ADM_FABRIC_PORT	0x13	/* port: data[]: see there */
#define SNPU_ADM_OP_MAX		0x13

/**
 * struct snpu_adm_ctx - argument of CTX_CREATE, CTX_DESTROY
 * @ctx: address space, 1 .. NUM_CTX - 1
 * @rsvd: must be zero
 * @root: HBM offset of the root table, 4 KiB aligned (CREATE)
 */
struct snpu_adm_ctx {
	__u32 ctx;
	__u32 rsvd;
	__u64 root;
};

/**
 * struct snpu_adm_tlb - argument of TLB_INVAL
 * @ctx: address space
 * @rsvd: must be zero
 * @va: first address, 4 KiB aligned
 * @bytes: length, 4 KiB aligned; 0: the whole address space
 */
struct snpu_adm_tlb {
	__u32 ctx;
	__u32 rsvd;
	__u64 va;
	__u64 bytes;
};

/**
 * struct snpu_adm_scrub - argument of SCRUB
 * @offset: HBM offset, 4 KiB aligned
 * @bytes: length, 4 KiB aligned, not zero
 */
struct snpu_adm_scrub {
	__u64 offset;
	__u64 bytes;
};

#define SNPU_SEG_READ		(1u << 0)
#define SNPU_SEG_WRITE		(1u << 1)

/**
 * struct snpu_adm_export - argument of SEG_EXPORT, SEG_REVOKE
 * @seg: export slot
 * @access: SNPU_SEG_* (EXPORT)
 * @offset: HBM offset of the segment, 4 KiB aligned (EXPORT)
 * @bytes: length, 4 KiB aligned, not zero (EXPORT)
 * @token: secret that an importer must hold, not zero (EXPORT)
 */
struct snpu_adm_export {
	__u32 seg;
	__u32 access;
	__u64 offset;
	__u64 bytes;
	__u64 token;
};

/**
 * struct snpu_adm_import - argument of SEG_IMPORT, SEG_UNIMPORT
 * @slot: import slot; fabric PTEs name it
 * @node: fabric address of the exporter, may be this NPU (IMPORT)
 * @seg: its export slot (IMPORT)
 * @rsvd: must be zero
 * @token: must equal the exporter's, which is checked there on every access (IMPORT)
 */
struct snpu_adm_import {
	__u32 slot;
	__u32 node;
	__u32 seg;
	__u32 rsvd;
	__u64 token;
};

#define SNPU_DIR_NAME_MAX	56	/* bytes of a name with its NUL */

/**
 * struct snpu_adm_dir - argument of DIR_PUBLISH, DIR_LOOKUP, DIR_REMOVE
 * @name: printable ASCII without blanks, NUL-padded, at least one character. Names live in the
 *        whole machine; revoking the segment or resetting the NPU removes them
 * @seg: export slot (PUBLISH), else 0
 * @rsvd: must be zero
 */
struct snpu_adm_dir {
	char name[SNPU_DIR_NAME_MAX];
	__u32 seg;
	__u32 rsvd;
};

/**
 * struct snpu_adm_vtime - argument of VTIME
 * @qid: queue
 * @rsvd: must be zero
 * @position: packets of the ring, counted like the completion index, 1 or more; at most what has
 *            retired, BUSY above
 *
 * Response data: [0] virtual ns at which packet @position - 1 ended, [1] virtual ns at which it
 * began, [2] virtual ns the queue was busy up to there. After BUSY for a packet that has retired,
 * the queue's vector is raised when it is worth asking again. NOENT: no such queue, or virtual time
 * was started anew since; NOMEM: more packets than the machine keeps. Virtual time begins with 0
 * when the machine is switched on, and is a function of the programs and the machine profile alone.
 * SNPU_VTIME_NEVER: the packet never ends, or never begins.
 */
struct snpu_adm_vtime {
	__u32 qid;
	__u32 rsvd;
	__u64 position;
};

#define SNPU_PORT_UP		0
#define SNPU_PORT_DEGRADED	1	/* below its rate */
#define SNPU_PORT_FLAPPING	2	/* goes up and down */
#define SNPU_PORT_DOWN		3

/**
 * struct snpu_adm_port - argument of FABRIC_PORT
 * @plane: plane
 * @die: die
 *
 * Response data: [0] SNPU_PORT_*, [1] bytes sent, [2] received, [3] dropped, [4] bytes/s that are
 * possible now, [5] virtual busy ns sending, [6] receiving.
 */
struct snpu_adm_port {
	__u32 plane;
	__u32 die;
};

/**
 * struct snpu_admin_mbox - command and response
 * @op: SNPU_ADM_*
 * @flags: must be zero
 * @seq: number of the driver's choice, given back in @rsp_seq
 * @rsvd: must be zero
 * @ctx: see SNPU_ADM_*
 * @tlb: see SNPU_ADM_*
 * @queue: see SNPU_ADM_*
 * @qid: queue number, for the commands that take just that
 * @scrub: see SNPU_ADM_*
 * @seg_export: see SNPU_ADM_*
 * @export: older name of @seg_export; a keyword in C++, so only C has it
 * @import: see SNPU_ADM_*
 * @dir: see SNPU_ADM_*
 * @vtime: see SNPU_ADM_*
 * @port: see SNPU_ADM_*
 * @nonce: for NOP
 * @raw: room of all arguments; what the command does not use must be zero
 * @rsp_seq: copy of @seq, written last
 * @rsp_status: SNPU_ADM_S_*
 * @rsp_data: results
 */
struct snpu_admin_mbox {
	__u16 op;
	__u16 flags;
	__u32 seq;
	__u64 rsvd;
	union {
		struct snpu_adm_ctx ctx;
		struct snpu_adm_tlb tlb;
		struct snpu_queue_desc queue;
		__u32 qid;
		struct snpu_adm_scrub scrub;
		struct snpu_adm_export seg_export;
#ifndef __cplusplus
		struct snpu_adm_export export;
#endif
		struct snpu_adm_import import;
		struct snpu_adm_dir dir;
		struct snpu_adm_vtime vtime;
		struct snpu_adm_port port;
		__u64 nonce;
		__u64 raw[14];
	};
	__u32 rsp_seq;
	__u32 rsp_status;
	__u64 rsp_data[7];
};

#define SNPU_ADM_S_OK		0
#define SNPU_ADM_S_BAD_OP	1	/* unknown command */
#define SNPU_ADM_S_BAD_ARG	2	/* data[0]: byte offset of the field that is wrong */
#define SNPU_ADM_S_BUSY		3	/* in use; destroy the user first */
#define SNPU_ADM_S_NOENT	4	/* no such queue, address space, segment */
#define SNPU_ADM_S_EXIST	5	/* number already in use */
#define SNPU_ADM_S_DMA		6	/* a DMA address given cannot be reached */
#define SNPU_ADM_S_NOMEM	7	/* the device ran out of resources */
#define SNPU_ADM_S_PERM		8	/* wrong token, or another NPU's */
#define SNPU_ADM_S_UNREACH	9	/* no route, or the other NPU does not answer */

/* ---- packets ------------------------------------------------------------------------------ */
/*
 * Packets of one queue execute in order; all effects of a packet are visible to the later ones of
 * its queue. Other observers may rely on them once the completion index counts the packet, or once
 * they see a semaphore, timestamp or interrupt that a later packet of the queue produced.
 */
#define SNPU_OP_NOP		0x00
#define SNPU_OP_COPY		0x01
#define SNPU_OP_COPY2D		0x02
#define SNPU_OP_FILL		0x03
#define SNPU_OP_ATOMIC		0x04
#define SNPU_OP_REDUCE_ADD	0x05
#define SNPU_OP_REDUCE_PULL	0x06
#define SNPU_OP_MULTICAST	0x07
#define SNPU_OP_MATMUL		0x10
#define SNPU_OP_ELTWISE		0x11
#define SNPU_OP_CONVERT		0x12
#define SNPU_OP_REDUCE_SUM	0x13
#define SNPU_OP_SOFTMAX		0x14
#define SNPU_OP_RMSNORM		0x15
#define SNPU_OP_ACT		0x16
#define SNPU_OP_GATHER		0x17
#define SNPU_OP_ARGMAX		0x18
#define SNPU_OP_CRC32C		0x19
#define SNPU_OP_ATTENTION	0x1a
#define SNPU_OP_SEM_SIGNAL	0x20
#define SNPU_OP_SEM_WAIT	0x21
#define SNPU_OP_BARRIER		0x22
#define SNPU_OP_TIMESTAMP	0x23
#define SNPU_OP_INTERRUPT	0x24
#define SNPU_OP_INDIRECT	0x25
#define SNPU_OP_CLOCK		0x26

/* Element types; all in natural alignment */
#define SNPU_DT_NONE		0
#define SNPU_DT_F32		1
#define SNPU_DT_BF16		2
#define SNPU_DT_F16		3
#define SNPU_DT_I8		4
#define SNPU_DT_I32		5
#define SNPU_DT_I64		6	/* ELTWISE, REDUCE_PULL only */
#define SNPU_DT_MAX		6

/* Limits */
#define SNPU_MAX_GROUPS		4096u		/* MATMUL arg, batch of ATTENTION */
#define SNPU_MAX_BYTES		(1ull << 40)	/* COPY, FILL, CRC32C, MULTICAST */
#define SNPU_MAX_DIM		(1u << 24)	/* each of rows, cols, M, N, K */
#define SNPU_MAX_LD		(1u << 28)	/* leading dimension, elements */
#define SNPU_MAX_ELEMS		(1ull << 32)	/* elements of one operand, gaps included */
#define SNPU_MAX_MACS		(1ull << 46)	/* M * N * K * groups */
#define SNPU_MAX_IB_PKTS	65536u
#define SNPU_MAX_ROWS		65536u		/* ATTENTION: query rows */
#define SNPU_MAX_DK		4096u		/* ATTENTION: dk */
#define SNPU_MAX_LIST		512u		/* addresses of REDUCE_PULL, MULTICAST */

/*
 * Virtual time, ns. CLOCK takes up to SNPU_MAX_CLOCK, 104 days. Packets may run on from there to
 * SNPU_VTIME_END, so a program that begins at the limit has as much again before it. A packet that
 * would end at SNPU_VTIME_END or later never ends: its end reads SNPU_VTIME_NEVER, and so does the
 * end of all that waits for it. Both limits fit into 64 bits as picoseconds, with room for one more
 * packet.
 */
#define SNPU_MAX_CLOCK		(1ull << 53)
#define SNPU_VTIME_END		(1ull << 54)
#define SNPU_VTIME_NEVER	(~0ull)

/**
 * struct snpu_pkt_hdr - first 8 bytes of every packet
 * @op: SNPU_OP_*
 * @flags: SNPU_PF_* of that op; others must be zero
 * @dtype: SNPU_DT_* of the source, NONE where the op has none
 * @dtype2: SNPU_DT_* of the result where the op lets it differ, else NONE
 * @arg: small argument of the op, else zero
 */
struct snpu_pkt_hdr {
	__u8 op;
	__u8 flags;
	__u8 dtype;
	__u8 dtype2;
	__u32 arg;
};

#define SNPU_PF_SIGNAL		(1u << 0)	/* COPY, REDUCE_ADD: signal @sem_addr afterwards */
/*
 * COPY, SEM_SIGNAL, ATOMIC: takes no virtual time and is no part of its trace: housekeeping, of
 * which a wall clock decides when and whether. ATOMIC: needs SNPU_CAP_UNTIMED_ATOMIC
 */
#define SNPU_PF_UNTIMED		(1u << 7)

/**
 * struct snpu_pkt_copy - COPY: @bytes from @src to @dst, any alignment, ranges must not overlap
 * @hdr: header; with PF_SIGNAL arg: SNPU_SEM_SET or ADD
 * @src: source address
 * @dst: destination address
 * @bytes: 1 .. SNPU_MAX_BYTES
 * @sem_addr: with PF_SIGNAL: semaphore, aligned to 8, in any memory; signalled when @dst is
 *            written, as by SEM_SIGNAL but with no trip of its own; else 0
 * @sem_value: with PF_SIGNAL: operand, else 0
 * @rsvd: must be zero
 */
struct snpu_pkt_copy {
	struct snpu_pkt_hdr hdr;
	__u64 src;
	__u64 dst;
	__u64 bytes;
	__u64 sem_addr;
	__u64 sem_value;
	__u64 rsvd[2];
};

/**
 * struct snpu_pkt_reduce - REDUCE_ADD: dst[i] += src[i], each element atomically at the target
 * @hdr: header; dtype F32, BF16, I32; with PF_SIGNAL arg: SNPU_SEM_SET or ADD. Floats: one addition
 *       in F32, rounded to nearest even; I32 wraps. Elements of concurrent packets meet in any
 *       order.
 * @src: operand, aligned to the element
 * @dst: where it is added, aligned to the element, in HBM of any NPU; must not overlap @src
 * @count: elements, 1 .. SNPU_MAX_ELEMS
 * @sem_addr: as in COPY
 * @sem_value: as in COPY
 * @rsvd: must be zero
 */
struct snpu_pkt_reduce {
	struct snpu_pkt_hdr hdr;
	__u64 src;
	__u64 dst;
	__u64 count;
	__u64 sem_addr;
	__u64 sem_value;
	__u64 rsvd[2];
};

/**
 * struct snpu_pkt_multi - REDUCE_PULL, MULTICAST: one operand here, many at the addresses of a list
 * @hdr: header.
 *       REDUCE_PULL: dtype F32, BF16, F16, I8, I32, I64; arg: SNPU_ELT_ADD, MUL, MAX, MIN:
 *       addr[i] = list[0][i] op list[1][i] op ... in the order of the list, whatever arrives first.
 *       Floats: in F32, rounded once to nearest even at the end; integers wrap.
 *       MULTICAST: every list[k] = addr, bytes.
 * @addr: result, or what is copied
 * @list: @num addresses of 64 bits, aligned to 8, readable; read once, before anything is touched
 * @offset: added to each address of the list
 * @count: REDUCE_PULL: elements, 1 .. SNPU_MAX_ELEMS; MULTICAST: bytes, 1 .. SNPU_MAX_BYTES
 * @num: addresses, 1 .. SNPU_MAX_LIST
 * @rsvd0: must be zero
 * @rsvd: must be zero
 *
 * REDUCE_PULL: all aligned to the element; the result may be one of the operands, at the same
 * address, and must not overlap one in part. MULTICAST: any alignment, no overlap with @addr.
 * An address of the list, with the offset, that is out of range is FIELD or ALIGN, with where it
 * stands in the list as fault_va. Each is translated like any other operand.
 */
struct snpu_pkt_multi {
	struct snpu_pkt_hdr hdr;
	__u64 addr;
	__u64 list;
	__u64 offset;
	__u64 count;
	__u32 num;
	__u32 rsvd0;
	__u64 rsvd[2];
};

#define SNPU_ATOMIC_ADD		0	/* *addr += operand */
#define SNPU_ATOMIC_CAS		1	/* if (*addr == compare) *addr = operand */
#define SNPU_ATOMIC_SWAP	2	/* *addr = operand */

/**
 * struct snpu_pkt_atomic - ATOMIC on a 64-bit word in any mapped memory
 * @hdr: header; arg: SNPU_ATOMIC_*; flags: 0 or SNPU_PF_UNTIMED
 * @addr: the word, aligned to 8; it also counts as a semaphore and releases those who wait for it
 * @operand: see SNPU_ATOMIC_*
 * @compare: CAS: see there, else 0
 * @result: where the old value goes, aligned to 8, or 0
 * @rsvd: must be zero
 *
 * Orders like SEM_SIGNAL. Atomic to all NPUs, and to CPUs that use 64-bit atomics on HBM through
 * BAR2 or on host memory.
 */
struct snpu_pkt_atomic {
	struct snpu_pkt_hdr hdr;
	__u64 addr;
	__u64 operand;
	__u64 compare;
	__u64 result;
	__u64 rsvd[3];
};

/**
 * struct snpu_pkt_copy2d - COPY2D: @rows rows of @width bytes
 * @hdr: header
 * @src: source address of row 0
 * @dst: destination address of row 0
 * @src_pitch: bytes from row to row, at least @width
 * @dst_pitch: bytes from row to row, at least @width
 * @width: bytes of a row, 1 .. 2^32 - 1
 * @rows: 1 .. SNPU_MAX_DIM
 * @rsvd: must be zero
 */
struct snpu_pkt_copy2d {
	struct snpu_pkt_hdr hdr;
	__u64 src;
	__u64 dst;
	__u64 src_pitch;
	__u64 dst_pitch;
	__u32 width;
	__u32 rows;
	__u64 rsvd[2];
};

/**
 * struct snpu_pkt_fill - FILL: repeats a pattern
 * @hdr: header; arg: size of the pattern in bytes: 1, 2, 4 or 8
 * @dst: destination, aligned to the size of the pattern
 * @bytes: 1 .. SNPU_MAX_BYTES, multiple of the size of the pattern
 * @pattern: in its low bytes; the others must be zero
 * @rsvd: must be zero
 */
struct snpu_pkt_fill {
	struct snpu_pkt_hdr hdr;
	__u64 dst;
	__u64 bytes;
	__u64 pattern;
	__u64 rsvd[4];
};

#define SNPU_PF_TRANS_A		(1u << 0)	/* A is stored K x M */
#define SNPU_PF_TRANS_B		(1u << 1)	/* B is stored N x K */
#define SNPU_PF_BIAS		(1u << 2)	/* add bias[N]: F32 for float inputs, I32 for I8 */
#define SNPU_PF_ACCUM		(1u << 3)	/* C += A * B; C must be F32 or I32 */

/**
 * struct snpu_pkt_matmul - MATMUL: C[M x N] = A[M x K] * B[K x N] (+ bias), row-major
 * @hdr: header; dtype F32, BF16, F16 -> dtype2 F32 or the same; dtype I8 -> dtype2 I32.
 *       Accumulates in F32 (I32), rounds once to nearest even. arg: how many such products, 0 and
 *       1 are one, at most SNPU_MAX_GROUPS: the matrices of the next follow those of the one before
 *       without a gap (stored rows times leading dimension, @n for the bias).
 * @a: address of A
 * @b: address of B
 * @c: address of C, must not overlap the others
 * @bias: address of the bias row, 0 without PF_BIAS
 * @m: rows of C
 * @n: columns of C
 * @k: inner dimension
 * @lda: elements from stored row to stored row of A, at least its stored columns
 * @ldb: the same for B
 * @ldc: the same for C
 */
struct snpu_pkt_matmul {
	struct snpu_pkt_hdr hdr;
	__u64 a;
	__u64 b;
	__u64 c;
	__u64 bias;
	__u32 m;
	__u32 n;
	__u32 k;
	__u32 lda;
	__u32 ldb;
	__u32 ldc;
};

#define SNPU_ELT_ADD		0	/* dst = a + b */
#define SNPU_ELT_MUL		1	/* dst = a * b */
#define SNPU_ELT_SCALE		2	/* dst = a * scalar; b must be 0; float types */
#define SNPU_ELT_MAX		3	/* dst = max(a, b); NaN in either gives NaN */
#define SNPU_ELT_MIN		4	/* dst = min(a, b); NaN in either gives NaN */
#define SNPU_ELT_DIV		5	/* dst = a / scalar, toward zero; b must be 0; integers */

/**
 * struct snpu_pkt_eltwise - ELTWISE on @count elements
 * @hdr: header; dtype F32, BF16, F16, I8, I32, I64; arg: SNPU_ELT_*. Floats: computed in F32,
 *       rounded once to nearest even; integers wrap.
 * @a: first operand
 * @b: second operand
 * @dst: result: may be @a or @b itself, must not overlap them in part
 * @count: 1 .. SNPU_MAX_ELEMS
 * @scalar: SCALE: F32 bits; DIV: 1 .. 2^31 - 1 as an integer; else 0
 * @rsvd0: must be zero
 * @rsvd: must be zero
 */
struct snpu_pkt_eltwise {
	struct snpu_pkt_hdr hdr;
	__u64 a;
	__u64 b;
	__u64 dst;
	__u64 count;
	__u32 scalar;
	__u32 rsvd0;
	__u64 rsvd[2];
};

/**
 * struct snpu_pkt_convert - CONVERT @count elements from dtype to dtype2
 * @hdr: header; any two types but I64 that differ (or F32 to F32 with a scale)
 * @src: source
 * @dst: result, must not overlap @src
 * @count: 1 .. SNPU_MAX_ELEMS
 * @scale: F32 bits: factor applied in F32 before the conversion; 0 bits mean 1.0. To integers:
 *         nearest even, saturated, NaN gives 0.
 * @rsvd0: must be zero
 * @rsvd: must be zero
 */
struct snpu_pkt_convert {
	struct snpu_pkt_hdr hdr;
	__u64 src;
	__u64 dst;
	__u64 count;
	__u32 scale;
	__u32 rsvd0;
	__u64 rsvd[3];
};

#define SNPU_PF_COLUMNS		(1u << 0)	/* REDUCE_SUM: dst[col] = sum over rows */
#define SNPU_PF_CAUSAL		(1u << 0)	/* SOFTMAX: row r sees columns <= r + offset */

/**
 * struct snpu_pkt_rows - REDUCE_SUM, SOFTMAX, RMSNORM, ARGMAX: row operations on a matrix
 * @hdr: header.
 *       REDUCE_SUM: dtype F32, BF16, F16 -> dtype2 F32; I8, I32 -> I32 (wraps); dst[row], or
 *       dst[col] with PF_COLUMNS.
 *       SOFTMAX: dtype F32, BF16, F16, result the same; exp(scale * x) / sum; @param: scale, F32
 *       bits, 0 bits mean 1.0; @offset with PF_CAUSAL; columns not seen become 0.
 *       RMSNORM: dtype F32, BF16, F16, result and @weight the same; x / sqrt(mean(x^2) + eps) *
 *       weight; @param: eps, F32 bits, finite and >= 0.
 *       ARGMAX: dtype F32, BF16, F16, I32 -> dst[row] is I32: lowest index of the largest value;
 *       NaN is below everything.
 * @src: matrix, row-major
 * @dst: result; SOFTMAX and RMSNORM: may be @src itself with the same ld, else no overlap
 * @weight: RMSNORM: row of @cols, else 0
 * @rows: 1 .. SNPU_MAX_DIM
 * @cols: 1 .. SNPU_MAX_DIM
 * @ld_src: elements from row to row, at least @cols
 * @ld_dst: the same for a result that is a matrix, else 0
 * @param: see above, else 0
 * @offset: SOFTMAX with PF_CAUSAL: signed offset of the diagonal, else 0. A row that sees no
 *          column becomes all 0.
 * @rsvd: must be zero
 */
struct snpu_pkt_rows {
	struct snpu_pkt_hdr hdr;
	__u64 src;
	__u64 dst;
	__u64 weight;
	__u32 rows;
	__u32 cols;
	__u32 ld_src;
	__u32 ld_dst;
	__u32 param;
	__s32 offset;
	__u64 rsvd;
};

#define SNPU_ACT_SILU		0	/* x / (1 + exp(-x)) */
#define SNPU_ACT_GELU		1	/* x / 2 * (1 + erf(x / sqrt(2))) */

/**
 * struct snpu_pkt_act - ACT: activation function
 * @hdr: header; dtype F32, BF16, F16; arg: SNPU_ACT_*
 * @src: source
 * @dst: result, may be @src itself, else no overlap
 * @count: 1 .. SNPU_MAX_ELEMS
 * @rsvd: must be zero
 */
struct snpu_pkt_act {
	struct snpu_pkt_hdr hdr;
	__u64 src;
	__u64 dst;
	__u64 count;
	__u64 rsvd[4];
};

/**
 * struct snpu_pkt_gather - GATHER: dst[i] = table[index[i]], rows of @cols elements
 * @hdr: header; any dtype but I64
 * @table: matrix of @table_rows rows
 * @index: @count I32 values, each 0 .. @table_rows - 1, otherwise SNPU_ERR_INDEX
 * @dst: result, no overlap with the others
 * @count: 1 .. SNPU_MAX_DIM
 * @cols: 1 .. SNPU_MAX_DIM
 * @table_rows: 1 .. SNPU_MAX_DIM
 * @ld_table: elements from row to row of the table
 * @ld_dst: elements from row to row of the result
 * @rsvd0: must be zero
 * @rsvd: must be zero
 */
struct snpu_pkt_gather {
	struct snpu_pkt_hdr hdr;
	__u64 table;
	__u64 index;
	__u64 dst;
	__u32 count;
	__u32 cols;
	__u32 table_rows;
	__u32 ld_table;
	__u32 ld_dst;
	__u32 rsvd0;
	__u64 rsvd;
};

/**
 * struct snpu_pkt_crc32c - CRC32C (Castagnoli, as iSCSI and SSE 4.2) of a range
 * @hdr: header; arg: result of the preceding range, 0 to begin
 * @src: source, any alignment
 * @bytes: 1 .. SNPU_MAX_BYTES
 * @dst: where the 32-bit result goes, aligned to 4
 * @rsvd: must be zero
 */
struct snpu_pkt_crc32c {
	struct snpu_pkt_hdr hdr;
	__u64 src;
	__u64 bytes;
	__u64 dst;
	__u64 rsvd[4];
};

/**
 * struct snpu_pkt_attention - ATTENTION: out = softmax(scale * Q * K^T) * V, for each batch entry
 * @hdr: header; dtype F32, BF16, F16: of all operands; computed in F32 or better, rounded once
 * @q: Q, @batch x @rows x @dk, dense
 * @kv: K, @batch x @len x @dk, dense; V is the first @dv columns of it (a latent cache, as in MLA)
 * @out: @batch x @rows x @dv, dense, no overlap with the others
 * @batch: 1 .. SNPU_MAX_GROUPS
 * @rows: query rows of one entry: heads times tokens, 1 .. SNPU_MAX_ROWS
 * @len: keys of one entry, 1 .. SNPU_MAX_DIM
 * @dk: 1 .. SNPU_MAX_DK
 * @dv: 1 .. @dk
 * @scale: F32 bits, finite
 * @rsvd: must be zero
 */
struct snpu_pkt_attention {
	struct snpu_pkt_hdr hdr;
	__u64 q;
	__u64 kv;
	__u64 out;
	__u32 batch;
	__u32 rows;
	__u32 len;
	__u32 dk;
	__u32 dv;
	__u32 scale;
	__u64 rsvd;
};

#define SNPU_SEM_SET		0	/* SIGNAL: *addr = value */
#define SNPU_SEM_ADD		1	/* SIGNAL: *addr += value, atomic */
#define SNPU_SEM_GE		0	/* WAIT: until *addr >= value, unsigned */
#define SNPU_SEM_EQ		1	/* WAIT: until *addr == value */

/**
 * struct snpu_pkt_sem - SEM_SIGNAL, SEM_WAIT on a 64-bit semaphore in any mapped memory
 * @hdr: header; arg: SNPU_SEM_*
 * @addr: semaphore, aligned to 8
 * @value: operand
 * @timeout_ns: WAIT: SNPU_ERR_TIMEOUT after so much device time, 0: never; SIGNAL: 0
 * @rsvd: must be zero
 *
 * A signal releases everything its queue did before; a wait acquires what the signal released. A
 * CPU that stores into a semaphore issues a full barrier and then writes SNPU_REG_WAKE if the
 * need_wake of the waiting queue is set.
 */
struct snpu_pkt_sem {
	struct snpu_pkt_hdr hdr;
	__u64 addr;
	__u64 value;
	__u64 timeout_ns;
	__u64 rsvd[4];
};

/* TIMESTAMP: virtual time; the queue waits here until all queues have come to rest. CAP_TIMING */
#define SNPU_PF_VIRTUAL		(1u << 0)

/**
 * struct snpu_pkt_misc - NOP, BARRIER, TIMESTAMP, INTERRUPT, INDIRECT, CLOCK
 * @hdr: header; INTERRUPT: arg goes into the event as its cookie
 * @addr: TIMESTAMP: where the 64-bit device time goes, aligned to 8; INDIRECT: first packet,
 *        aligned to 64; CLOCK: virtual ns before which no later packet of the queue begins, 0 ..
 *        SNPU_MAX_CLOCK (the host's own clock: it knew of everything up to there when it
 *        submitted them); else 0
 * @count: INDIRECT: packets, 1 .. SNPU_MAX_IB_PKTS; they count as one packet of the ring, and may
 *         not contain INDIRECT; else 0
 * @rsvd0: must be zero
 * @rsvd: must be zero
 */
struct snpu_pkt_misc {
	struct snpu_pkt_hdr hdr;
	__u64 addr;
	__u32 count;
	__u32 rsvd0;
	__u64 rsvd[5];
};

/**
 * union snpu_pkt - one ring entry
 * @hdr: header common to all
 * @copy: COPY
 * @copy2d: COPY2D
 * @fill: FILL
 * @matmul: MATMUL
 * @eltwise: ELTWISE
 * @convert: CONVERT
 * @rows: REDUCE_SUM, SOFTMAX, RMSNORM, ARGMAX
 * @act: ACT
 * @gather: GATHER
 * @crc32c: CRC32C
 * @sem: SEM_SIGNAL, SEM_WAIT
 * @reduce: REDUCE_ADD
 * @multi: REDUCE_PULL, MULTICAST
 * @atomic: ATOMIC
 * @attention: ATTENTION
 * @misc: NOP, BARRIER, TIMESTAMP, INTERRUPT, INDIRECT, CLOCK
 * @q: as words
 */
union snpu_pkt {
	struct snpu_pkt_hdr hdr;
	struct snpu_pkt_copy copy;
	struct snpu_pkt_copy2d copy2d;
	struct snpu_pkt_fill fill;
	struct snpu_pkt_matmul matmul;
	struct snpu_pkt_eltwise eltwise;
	struct snpu_pkt_convert convert;
	struct snpu_pkt_rows rows;
	struct snpu_pkt_act act;
	struct snpu_pkt_gather gather;
	struct snpu_pkt_crc32c crc32c;
	struct snpu_pkt_sem sem;
	struct snpu_pkt_reduce reduce;
	struct snpu_pkt_multi multi;
	struct snpu_pkt_atomic atomic;
	struct snpu_pkt_attention attention;
	struct snpu_pkt_misc misc;
	__u64 q[8];
};

/* ---- errors ------------------------------------------------------------------------------- */

#define SNPU_ERR_NONE		0
#define SNPU_ERR_OPCODE		1	/* unknown op */
#define SNPU_ERR_FIELD		2	/* reserved field set, or value out of its range */
#define SNPU_ERR_ALIGN		3	/* address not aligned as the op asks */
#define SNPU_ERR_UNMAPPED	4	/* no valid entry for fault_va */
#define SNPU_ERR_PERM		5	/* entry lacks READ or WRITE */
#define SNPU_ERR_PTE		6	/* malformed entry or table outside HBM */
#define SNPU_ERR_BUS		7	/* DMA address does not answer */
#define SNPU_ERR_FABRIC		8	/* remote end refused or cannot be reached */
#define SNPU_ERR_POISON		9	/* uncorrectable memory error */
#define SNPU_ERR_TIMEOUT	10	/* semaphore wait ran out */
#define SNPU_ERR_DOORBELL	11	/* write index went back or ran over the ring */
#define SNPU_ERR_NESTING	12	/* INDIRECT inside INDIRECT */
#define SNPU_ERR_INDEX		13	/* gather index out of range */
#define SNPU_ERR_ABORTED	14	/* stopped by the driver or a reset */
#define SNPU_ERR_INTERNAL	15	/* the device's own fault */
#define SNPU_ERR_NOMEM		16	/* no memory left in the machine behind fault_va; minor 6 */
#define SNPU_ERR_MAX		16

/* ---- events ------------------------------------------------------------------------------- */

#define SNPU_EVT_NONE		0
#define SNPU_EVT_QUEUE_FAULT	1	/* queue; code: SNPU_ERR_*; data: fault_va */
#define SNPU_EVT_INTERRUPT	2	/* queue; code: the packet's cookie; data: packet index */
#define SNPU_EVT_ECC_CE		3	/* corrected; data: HBM offset */
#define SNPU_EVT_ECC_UE		4	/* uncorrected, memory is poisoned; data: HBM offset */
#define SNPU_EVT_FABRIC		5	/* code: plane; data: SNPU_PORT_* | die << 8 */
#define SNPU_EVT_FATAL		6	/* code: reason; the function needs a reset */
#define SNPU_EVT_MAX		6

#define SNPU_EVT_NO_QUEUE	0xffffffffu

/**
 * struct snpu_event_entry - one entry of the event ring
 * @type: SNPU_EVT_*
 * @queue: queue number or SNPU_EVT_NO_QUEUE
 * @seq: low 32 bits of the entry's index + 1, written last
 * @code: see SNPU_EVT_*
 * @data: see SNPU_EVT_*
 * @time_ns: device time
 */
struct snpu_event_entry {
	__u32 type;
	__u32 queue;
	__u32 seq;
	__u32 code;
	__u64 data;
	__u64 time_ns;
};

#define SNPU_EVENT_LOG2_MIN	4
#define SNPU_EVENT_LOG2_MAX	12

/**
 * struct snpu_event_ring - at SNPU_REG_EVENT_ADDR, 4 KiB aligned
 * @prod: written by the device: events ever produced
 * @lost: written by the device: events dropped because the ring was full
 * @rsvd0: zero
 * @cons: written by the driver: events consumed
 * @rsvd1: zero
 * @ev: the entries
 *
 * Vector 0 is raised after @prod moved. A queue has at most one unconsumed INTERRUPT event; more
 * are merged into it, so that user packets cannot push other events out: its code and data are
 * updated in place. So the driver copies an entry, moves @cons past it, full barrier, and only then
 * acts on it. When @lost moved, the driver looks at every queue's completion record.
 */
struct snpu_event_ring {
	__u64 prod;
	__u64 lost;
	__u64 rsvd0[6];
	__u64 cons;
	__u64 rsvd1[7];
	struct snpu_event_entry ev[];
};

/* ---- layout ------------------------------------------------------------------------------- */

#ifdef __cplusplus
#define SNPU_HW_ASSERT(cond, what)	static_assert(cond, what)
#else
#define SNPU_HW_ASSERT(cond, what)	_Static_assert(cond, what)
#endif

SNPU_HW_ASSERT(sizeof(struct snpu_queue_desc) == 64, "queue descriptor");
SNPU_HW_ASSERT(sizeof(struct snpu_cpl) == 128, "completion record");
SNPU_HW_ASSERT(sizeof(struct snpu_admin_mbox) == 192, "admin mailbox");
SNPU_HW_ASSERT(sizeof(struct snpu_pkt_hdr) == 8, "packet header");
SNPU_HW_ASSERT(sizeof(struct snpu_pkt_copy) == 64, "copy");
SNPU_HW_ASSERT(sizeof(struct snpu_pkt_copy2d) == 64, "copy2d");
SNPU_HW_ASSERT(sizeof(struct snpu_pkt_fill) == 64, "fill");
SNPU_HW_ASSERT(sizeof(struct snpu_pkt_matmul) == 64, "matmul");
SNPU_HW_ASSERT(sizeof(struct snpu_pkt_eltwise) == 64, "eltwise");
SNPU_HW_ASSERT(sizeof(struct snpu_pkt_convert) == 64, "convert");
SNPU_HW_ASSERT(sizeof(struct snpu_pkt_rows) == 64, "rows");
SNPU_HW_ASSERT(sizeof(struct snpu_pkt_act) == 64, "act");
SNPU_HW_ASSERT(sizeof(struct snpu_pkt_gather) == 64, "gather");
SNPU_HW_ASSERT(sizeof(struct snpu_pkt_crc32c) == 64, "crc32c");
SNPU_HW_ASSERT(sizeof(struct snpu_pkt_sem) == 64, "sem");
SNPU_HW_ASSERT(sizeof(struct snpu_pkt_reduce) == 64, "reduce");
SNPU_HW_ASSERT(sizeof(struct snpu_pkt_atomic) == 64, "atomic");
SNPU_HW_ASSERT(sizeof(struct snpu_pkt_multi) == 64, "multi");
SNPU_HW_ASSERT(sizeof(struct snpu_pkt_attention) == 64, "attention");
SNPU_HW_ASSERT(sizeof(struct snpu_adm_dir) == 64, "directory entry");
SNPU_HW_ASSERT(sizeof(struct snpu_pkt_misc) == 64, "misc");
SNPU_HW_ASSERT(sizeof(union snpu_pkt) == 64, "packet");
SNPU_HW_ASSERT(sizeof(struct snpu_event_entry) == 32, "event");
SNPU_HW_ASSERT(sizeof(struct snpu_event_ring) == 128, "event ring");

#endif /* _SNPU_HW_H_ */
