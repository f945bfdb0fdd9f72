/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * snpu: the driver's structures and what its files offer each other.
 *
 * Lock order, outermost first:
 *
 *   snpu_fabric_lock	list of devices, import slots of all of them
 *   sdev->bo_lock	list of buffer objects
 *   sdev->vm_lock	list of address spaces, their existence in the device
 *   queue->wait_lock	slots and DMA mappings of a queue
 *   vm->lock		gpuvm tree of one address space; taken by VM_BIND around everything
 *   dma_resv		of BOs, through drm_exec; also what dma-buf calls us under
 *   sdev->table_lock	arena of page tables
 *   sdev->hbm.lock	HBM allocator
 *   vm->pt_lock	page tables of one address space; nothing is allocated under it
 *   sdev->admin.lock	mailbox; nothing is allocated under it, a fence may wait for it
 *   sdev->pool_lock	what clients have of segments and import slots
 *   sdev->queue_lock	(irq) queue numbers and which vector they use
 *   queue->lock	(irq) fences of a queue and its end
 *
 * client->lock (queue ids) is a leaf beside these. mmap_lock is taken before snpu_map.lock, and no
 * other lock is taken in a page fault. Fences are signalled with none of the above held.
 *
 * What a fence waits for may take only the locks from vm->pt_lock down, and allocate nothing: the
 * completion interrupt, the hang worker, and the first half of a function reset
 * (snpu_reset_stop()). Everything else may wait for memory and so for fences.
 */
#ifndef _SNPU_DRV_H_
#define _SNPU_DRV_H_

#include <linux/cgroup_dmem.h>
#include <linux/dma-fence.h>
#include <linux/eventfd.h>
#include <linux/idr.h>
#include <linux/io.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/scatterlist.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

#include <drm/drm_device.h>
#include <drm/drm_drv.h>
#include <drm/drm_file.h>
#include <drm/drm_gem.h>
#include <drm/drm_gpuvm.h>
#include <drm/drm_print.h>

#include <drm/snpu_accel.h>
#include <snpu_hw.h>

#include "snpu_compat.h"

#define SNPU_VA_START		SZ_2M
#define SNPU_VA_END		BIT_ULL(47)	/* above: the kernel's, see SNPU_VA_WAIT */
#define SNPU_VA_WAIT(qno)	(SNPU_VA_END + (u64)(qno) * SNPU_PAGE_SIZE)
#define SNPU_MAX_CLIENT_QUEUES	64

#define SNPU_EVENT_LOG2		8
#define SNPU_ADMIN_TIMEOUT_US	(5 * USEC_PER_SEC)
#define SNPU_RESET_TIMEOUT_US	(5 * USEC_PER_SEC)

struct snpu_client;
struct snpu_device;
struct snpu_queue;
struct snpu_vm;

/* Registers that never change, range-checked once at probe; see snpu_hw.h for each */
struct snpu_facts {
	u32 version;
	u32 caps;
	u32 num_queues;
	u32 num_ctx;
	u32 num_segs;
	u32 num_imports;
	u32 node_id;
	u32 host_slot;
	u64 serial;
	u64 hbm_size;
	char profile[32];
	u64 flops_bf16;
	u64 ops_int8;
	u64 flops_fp32;
	u64 hbm_bw;
	u64 fabric_bw;
	u32 planes;
	u32 dies;
	u32 machine_npus;
	u32 machine_hosts;
};

/* enum snpu_power: what may be asked of the device */
enum snpu_power {
	SNPU_POWER_UP,		/* everything */
	SNPU_POWER_DOWN,	/* being reset, asleep, or not started yet: -EIO for now */
	SNPU_POWER_WEDGED,	/* a reset failed: -EIO until rebound */
};

/**
 * struct snpu_admin - the mailbox
 * @lock: one command at a time
 * @mbox: mailbox in coherent memory
 * @dma: its DMA address
 * @seq: of the last command
 */
struct snpu_admin {
	struct mutex lock;	/* one command at a time */
	struct snpu_admin_mbox *mbox;
	dma_addr_t dma;
	u32 seq;
};

/**
 * struct snpu_hbm - HBM allocator
 * @lock: guards @mm
 * @mm: buddy allocator over all of HBM, 4 KiB granules
 */
struct snpu_hbm {
	struct mutex lock;	/* guards mm */
	struct gpu_buddy mm;
};

/**
 * struct snpu_vector - one completion vector
 * @sdev: device
 * @queues: queues that use it, guarded by sdev->queue_lock
 * @name: for /proc/interrupts
 */
struct snpu_vector {
	struct snpu_device *sdev;
	struct list_head queues;
	char name[24];
};

/**
 * struct snpu_pool - numbers that all clients of a device draw from
 * @size: how many there are
 * @used: how many are taken, guarded by sdev->pool_lock
 */
struct snpu_pool {
	u32 size;
	u32 used;
};

/**
 * struct snpu_import - import slot that stands for a segment of another NPU
 * @link: in sdev->imports
 * @users: BOs that use the slot
 * @slot: slot number
 * @node: fabric address of the exporter
 * @seg: its segment; 0: all HBM of a peer in this machine
 * @token: its token for that
 */
struct snpu_import {
	struct list_head link;
	unsigned int users;
	u32 slot;
	u32 node;
	u32 seg;
	u64 token;
};

/**
 * struct snpu_device - one NPU
 * @drm: DRM device; open files keep it after the hardware went
 * @pdev: PCI function
 * @regs: BAR 0; registers and doorbells
 * @db_phys: CPU address of the first doorbell page
 * @hbm_phys: CPU address of BAR 2
 * @facts: what the registers say
 * @power: enum snpu_power; written under @admin.lock
 * @generation: function resets and the like since probe: what was made in the device in an older
 *              generation is no longer there
 * @admin: mailbox
 * @hbm: allocator
 * @wq: for hang and reset work: makes progress without memory
 * @table_lock: guards @table_chunks
 * @table_chunks: pieces of HBM that hold page tables
 * @ctx_ida: address-space numbers in use
 * @vm_lock: guards @vms
 * @vms: address spaces
 * @queue_lock: guards @queues and the vectors' lists
 * @queues: queues by number
 * @queue_ids: numbers in use; longer than @queues holds them
 * @bo_lock: guards @bos
 * @bos: BOs that hold DMA mappings or were exported
 * @nvec: vectors the system gave us
 * @event_irq: interrupt of vector 0; pci_irq_vector() takes a lock that a reset must not wait for
 * @vec: completion vectors, 1 .. @nvec - 1; 0 if that is all there is
 * @ring: event ring
 * @ring_dma: its DMA address
 * @ring_cons: events consumed; only the event thread writes it
 * @ring_lost: last value of ring->lost seen
 * @vtime_wait: who waits for virtual times
 * @saved_state: PCI configuration to be restored after a reset
 * @reset_work: function reset
 * @reset_reason: why, for the log
 * @fabric_link: in the list of devices
 * @fabric_token: secret that peers import our HBM with
 * @fabric_up: our HBM is exported
 * @imports: slots in use, guarded by snpu_fabric_lock
 * @import_ida: slot numbers in use
 * @export_ida: segment numbers in use by clients
 * @pool_lock: guards the pools, and what each client has of them
 * @import_pool: import slots
 * @export_pool: segment numbers of clients
 * @port_work: tells userspace that ports changed
 * @port_events: changes reported by events
 * @dmem: device-memory cgroup region of the HBM, or NULL
 * @p2p: p2pdma provider of BAR 2, NULL: none
 * @queue_resets: queues reset because they hung
 * @events_bad: events that made no sense
 * @ecc_ce: corrected errors reported by events
 * @ecc_ue: uncorrected errors reported by events
 */
struct snpu_device {
	struct drm_device drm;
	struct pci_dev *pdev;
	void __iomem *regs;
	phys_addr_t db_phys;
	phys_addr_t hbm_phys;
	struct snpu_facts facts;

	enum snpu_power power;
	u32 generation;
	struct snpu_admin admin;
	struct snpu_hbm hbm;
	struct workqueue_struct *wq;

	struct mutex table_lock;	/* guards table_chunks */
	struct list_head table_chunks;

	struct ida ctx_ida;
	struct mutex vm_lock;		/* guards vms */
	struct list_head vms;

	spinlock_t queue_lock;		/* guards queues and the vectors' lists */
	struct snpu_queue *queues[SNPU_MAX_QUEUES];
	struct ida queue_ids;

	struct mutex bo_lock;		/* guards bos */
	struct list_head bos;

	int nvec;
	int event_irq;
	struct snpu_vector vec[SNPU_MSIX_VECTORS];
	struct snpu_event_ring *ring;
	dma_addr_t ring_dma;
	u64 ring_cons;
	u64 ring_lost;
	wait_queue_head_t vtime_wait;

	struct pci_saved_state *saved_state;
	struct work_struct reset_work;
	const char *reset_reason;

	struct list_head fabric_link;
	u64 fabric_token;
	bool fabric_up;
	struct list_head imports;
	struct ida import_ida;
	struct ida export_ida;
	spinlock_t pool_lock;		/* guards the pools and the clients' shares */
	struct snpu_pool import_pool;
	struct snpu_pool export_pool;
	struct work_struct port_work;
	atomic64_t port_events;

	struct dmem_cgroup_region *dmem;
	struct p2pdma_provider *p2p;

	atomic64_t queue_resets;
	atomic64_t events_bad;
	atomic64_t ecc_ce;
	atomic64_t ecc_ue;
};

static inline struct snpu_device *to_snpu_device(struct drm_device *drm)
{
	return container_of(drm, struct snpu_device, drm);
}

/**
 * struct snpu_client - one open file
 * @ref: references: the file's, and those of BOs that stand for segments, which may outlive it
 * @sdev: device
 * @file: DRM file
 * @vm: its address space
 * @lock: guards @nqueues and removal from @queues
 * @queues: queues by id
 * @nqueues: how many
 * @exports: segments of this NPU that it opened, by number
 * @nexports: how many, guarded by sdev->pool_lock
 * @imports: uses of import slots by slot, guarded by snpu_fabric_lock
 * @nimports: slots that it uses, guarded by sdev->pool_lock
 */
struct snpu_client {
	struct kref ref;
	struct snpu_device *sdev;
	struct drm_file *file;
	struct snpu_vm *vm;
	struct mutex lock;		/* guards nqueues */
	struct xarray queues;
	unsigned int nqueues;
	struct xarray exports;
	u32 nexports;
	struct xarray imports;
	u32 nimports;
};

void snpu_client_get(struct snpu_client *client);
void snpu_client_put(struct snpu_client *client);

/* ---- snpu_hw.c: registers, mailbox ---------------------------------------------------------- */

static inline u32 snpu_read32(struct snpu_device *sdev, u32 reg)
{
	return readl(sdev->regs + reg);
}

static inline u64 snpu_read64(struct snpu_device *sdev, u32 reg)
{
	return readq(sdev->regs + reg);
}

static inline void snpu_write32(struct snpu_device *sdev, u32 reg, u32 val)
{
	writel(val, sdev->regs + reg);
}

static inline void snpu_write64(struct snpu_device *sdev, u32 reg, u64 val)
{
	writeq(val, sdev->regs + reg);
}

static inline bool snpu_is_current(struct snpu_device *sdev, u32 generation)
{
	/* false: the device has stopped, and what it did before is done */
	return smp_load_acquire(&sdev->generation) == generation;
}

int snpu_facts_read(struct snpu_device *sdev, struct snpu_facts *facts);
int snpu_hw_init(struct snpu_device *sdev);
int snpu_hw_reset(struct snpu_device *sdev);
int snpu_hw_start(struct snpu_device *sdev);
void snpu_hw_halt(struct snpu_device *sdev, enum snpu_power power);
void snpu_hw_set_up(struct snpu_device *sdev);
void snpu_hw_wake(struct snpu_device *sdev);

int snpu_admin_exec(struct snpu_device *sdev, const struct snpu_admin_mbox *cmd, u64 data[7]);
int snpu_admin_qid(struct snpu_device *sdev, u16 op, u32 queue);
int snpu_admin_ctx(struct snpu_device *sdev, u16 op, u32 ctx, u64 root);
int snpu_admin_scrub(struct snpu_device *sdev, u64 offset, u64 bytes);
int snpu_admin_tlb_inval(struct snpu_device *sdev, u32 ctx, u64 va, u64 bytes);
#if IS_ENABLED(CONFIG_FAULT_INJECTION_DEBUG_FS)
extern struct fault_attr snpu_fail_admin;
#endif

/* ---- snpu_pci.c ----------------------------------------------------------------------------- */

extern struct pci_driver snpu_pci_driver;
extern unsigned int snpu_hang_ms;
extern const struct drm_driver snpu_drm_driver;

/* ---- snpu_irq.c, snpu_event.c --------------------------------------------------------------- */

extern unsigned int snpu_max_vectors;
int snpu_irq_init(struct snpu_device *sdev);
void snpu_irq_fini(struct snpu_device *sdev);
u32 snpu_irq_vector(const struct snpu_device *sdev, u32 queue);

/**
 * struct snpu_event_cursor - where a reader of an event ring stands
 * @cons: events consumed
 * @log2: log2 of the entries
 * @num_queues: events may name queues below this
 */
struct snpu_event_cursor {
	u64 cons;
	u32 log2;
	u32 num_queues;
};

int snpu_event_ring_init(struct snpu_device *sdev);
int snpu_event_check(const struct snpu_event_cursor *cur, u64 prod);
int snpu_event_next(const struct snpu_event_cursor *cur, const struct snpu_event_entry *entry,
		    struct snpu_event_entry *ev);
void snpu_events_handle(struct snpu_device *sdev);

/* ---- snpu_hbm.c ----------------------------------------------------------------------------- */

/**
 * struct snpu_seg - contiguous piece of a BO as the device addresses it
 * @off: offset in the BO
 * @addr: HBM offset or DMA address
 * @bytes: length
 */
struct snpu_seg {
	u64 off;
	u64 addr;
	u64 bytes;
};

int snpu_hbm_init(struct snpu_device *sdev);
int snpu_hbm_alloc(struct snpu_device *sdev, u64 bytes, u64 align, bool contig,
		   struct list_head *blocks);
void snpu_hbm_free(struct snpu_device *sdev, struct list_head *blocks);
int snpu_hbm_segs(struct snpu_device *sdev, struct list_head *blocks, struct snpu_seg **segs,
		  u32 *nsegs);
void snpu_hbm_usage(struct snpu_device *sdev, u64 *total, u64 *free);

/* ---- snpu_bo.c, snpu_bo_info.c, snpu_prime.c ------------------------------------------------ */

/* enum snpu_bo_kind: where the memory of a BO is */
enum snpu_bo_kind {
	SNPU_BO_KIND_HBM,
	SNPU_BO_KIND_HOST,
	SNPU_BO_KIND_IMPORT,	/* a foreign dma-buf's */
	SNPU_BO_KIND_PEER,	/* HBM of another NPU */
	SNPU_BO_KIND_SEGMENT,	/* another NPU's export */
};

/**
 * struct snpu_bo - buffer object
 * @base: GEM object
 * @sdev: device
 * @kind: enum snpu_bo_kind
 * @flags: DRM_SNPU_BO_* as the user sees them
 * @segs: its memory, in order; NULL once revoked (IMPORT: guarded by dma_resv)
 * @nsegs: how many
 * @blocks: HBM: buddy blocks
 * @pages: HOST: its pages
 * @sgt: HOST: DMA mapping, guarded by sdev->bo_lock; IMPORT: guarded by dma_resv
 * @dmabuf: IMPORT, PEER: whose memory it is, with a reference; HBM: its export, guarded by
 *          dma_resv, NULL: none
 * @attach: IMPORT: attachment
 * @pinned: IMPORT: the exporter keeps the memory in place
 * @import: PEER, SEGMENT: import slot
 * @importer: SEGMENT: on whose account, with a reference
 * @access: SEGMENT: DRM_SNPU_SEG_* that the exporter allows
 * @revoked: HBM: exports are over, guarded by dma_resv
 * @p2p_maps: HBM: DMA mappings that foreign importers hold
 * @vmap: kernel mapping, guarded by dma_resv
 * @vmap_users: users of @vmap
 * @charge: accounting against the device-memory cgroup
 * @link: in sdev->bos
 */
struct snpu_bo {
	struct drm_gem_object base;
	struct snpu_device *sdev;
	enum snpu_bo_kind kind;
	u32 flags;
	struct snpu_seg *segs;
	u32 nsegs;
	struct list_head blocks;
	struct page **pages;
	struct sg_table *sgt;
	struct dma_buf *dmabuf;
	struct dma_buf_attachment *attach;
	bool pinned;
	struct snpu_import *import;
	struct snpu_client *importer;
	u32 access;
	bool revoked;
	atomic_t p2p_maps;
	void *vmap;
	unsigned int vmap_users;
	struct dmem_cgroup_pool_state *charge;
	struct list_head link;
};

static inline struct snpu_bo *to_snpu_bo(struct drm_gem_object *obj)
{
	return container_of(obj, struct snpu_bo, base);
}

extern const struct drm_gem_object_funcs snpu_bo_funcs;
extern const struct vm_operations_struct snpu_bo_vm_ops;

struct snpu_bo *snpu_bo_alloc(struct snpu_device *sdev, enum snpu_bo_kind kind, u64 bytes,
			      u32 flags);
const struct snpu_seg *snpu_seg_find(const struct snpu_seg *segs, u32 nsegs, u64 off);
int snpu_host_bounced(struct snpu_device *sdev);
int snpu_segs_from_sgt(struct sg_table *sgt, u64 bytes, struct snpu_seg **segs, u32 *nsegs);
void snpu_bos_detach(struct snpu_device *sdev);
int snpu_bo_mmap(struct drm_gem_object *obj, struct vm_area_struct *vma);
int snpu_ioctl_bo_create(struct drm_device *drm, void *data, struct drm_file *file);
int snpu_ioctl_bo_info(struct drm_device *drm, void *data, struct drm_file *file);

struct dma_buf *snpu_prime_export(struct drm_gem_object *obj, int flags);
struct drm_gem_object *snpu_prime_import(struct drm_device *drm, struct dma_buf *dmabuf);
void snpu_prime_revoke(struct snpu_bo *bo);
void snpu_prime_detach(struct snpu_bo *bo);
void snpu_prime_unmap_import(struct snpu_bo *bo);

/* ---- snpu_fabric.c -------------------------------------------------------------------------- */

void snpu_fabric_join(struct snpu_device *sdev);
void snpu_fabric_leave(struct snpu_device *sdev);
int snpu_fabric_restore(struct snpu_device *sdev);
int snpu_pool_take(struct snpu_pool *pool, u32 *mine);
struct snpu_import *snpu_import_get(struct snpu_client *client, u32 node, u32 seg, u64 token);
struct snpu_import *snpu_import_get_peer(struct snpu_device *sdev, struct snpu_device *peer);
void snpu_import_put(struct snpu_device *sdev, struct snpu_client *client,
		     struct snpu_import *imp);
void snpu_imports_fini(struct snpu_device *sdev);
int snpu_fabric_peers(struct snpu_device *sdev, struct drm_snpu_peer **peers, u32 *count);

/* ---- snpu_port.c ---------------------------------------------------------------------------- */

void snpu_ports_init(struct snpu_device *sdev);
void snpu_port_event(struct snpu_device *sdev, const struct snpu_event_entry *ev);
int snpu_query_ports(struct snpu_device *sdev, struct drm_snpu_dev_query *args);

/* ---- snpu_segment.c ------------------------------------------------------------------------- */

/**
 * struct snpu_export - memory opened to the machine
 * @bo: whose memory it is, with a reference
 * @seg: number
 * @generation: in which it was opened
 */
struct snpu_export {
	struct snpu_bo *bo;
	u32 seg;
	u32 generation;
};

void snpu_exports_close(struct snpu_client *client);
int snpu_ioctl_seg_export(struct drm_device *drm, void *data, struct drm_file *file);
int snpu_ioctl_seg_revoke(struct drm_device *drm, void *data, struct drm_file *file);
int snpu_ioctl_seg_lookup(struct drm_device *drm, void *data, struct drm_file *file);
int snpu_ioctl_seg_import(struct drm_device *drm, void *data, struct drm_file *file);

/* ---- snpu_table.c: page-table memory -------------------------------------------------------- */

/**
 * struct snpu_table - one page table
 * @link: in a list of the address space, while it is not in use
 * @base: HBM offset
 * @shadow: what it holds; the driver reads this and never HBM, which the device can write
 * @io: the table in HBM
 * @chunk: where it came from
 */
struct snpu_table {
	struct list_head link;
	u64 base;
	u64 *shadow;
	void __iomem *io;
	struct snpu_table_chunk *chunk;
};

struct snpu_table *snpu_table_alloc(struct snpu_device *sdev);
void snpu_table_free(struct snpu_device *sdev, struct snpu_table *table);
void snpu_table_clear(struct snpu_table *table);
void snpu_tables_fini(struct snpu_device *sdev);

/* ---- snpu_vm.c, snpu_vm_bind.c -------------------------------------------------------------- */

/**
 * struct snpu_vm - address space of a client
 * @base: its mappings
 * @sdev: device
 * @ctx: number in the device
 * @generation: in which @ctx was made, 0: in none
 * @link: in sdev->vms
 * @lock: guards the gpuvm tree, @dead and growth of @spare
 * @pt_lock: guards the tables and what follows
 * @tables: all tables by HBM offset / 4 KiB, those in @spare and @limbo too
 * @root: root table
 * @last: table used last
 * @changed: an entry that was valid was written
 * @spare: cleared tables; VM_BIND puts what it may need here before it begins
 * @nspare: how many
 * @limbo: tables that the device may still look at, until the next invalidation
 * @inval_start: lowest address changed since the last invalidation
 * @inval_end: end of the highest
 * @dead: mappings whose BO must stay until the next invalidation, guarded by @lock
 */
struct snpu_vm {
	struct drm_gpuvm base;
	struct snpu_device *sdev;
	u32 ctx;
	u32 generation;
	struct list_head link;
	struct mutex lock;		/* guards the gpuvm tree, dead, growth of spare */
	struct mutex pt_lock;		/* guards the tables and what follows */
	struct xarray tables;
	struct snpu_table *root;
	struct snpu_table *last;
	bool changed;
	struct list_head spare;
	unsigned int nspare;
	struct list_head limbo;
	u64 inval_start;
	u64 inval_end;
	struct list_head dead;
};

static inline struct snpu_vm *to_snpu_vm(struct drm_gpuvm *gpuvm)
{
	return container_of(gpuvm, struct snpu_vm, base);
}

/**
 * struct snpu_va - a mapping
 * @base: range and BO
 * @access: SNPU_PTE_READ | WRITE
 * @keep: BO reference until the device has forgotten the mapping
 * @link: in vm->dead
 */
struct snpu_va {
	struct drm_gpuva base;
	u64 access;
	struct drm_gem_object *keep;
	struct list_head link;
};

static inline struct snpu_va *to_snpu_va(struct drm_gpuva *va)
{
	return container_of(va, struct snpu_va, base);
}

extern const struct drm_gpuvm_ops snpu_vm_ops;

struct snpu_vm *snpu_vm_create(struct snpu_device *sdev);
void snpu_vm_destroy(struct snpu_vm *vm);
void snpu_vms_restore(struct snpu_device *sdev);
int snpu_vm_reserve(struct snpu_vm *vm, u64 tables);
int snpu_vm_pt_map(struct snpu_vm *vm, u64 va, u64 bytes, u64 leaf);
int snpu_vm_pt_unmap(struct snpu_vm *vm, u64 va, u64 bytes);
void snpu_vm_flush(struct snpu_vm *vm);
void snpu_vm_revoke_bo(struct snpu_bo *bo);
int snpu_vm_bind_bo(struct snpu_vm *vm, u64 va, u64 bytes, struct snpu_bo *bo, u64 offset,
		    u64 access);
u64 snpu_vm_tables(const struct snpu_seg *segs, u32 nsegs, u64 va, u64 bytes, u64 offset);
int snpu_vm_map_page(struct snpu_vm *vm, u64 va, dma_addr_t addr);
void snpu_vm_unmap_page(struct snpu_vm *vm, u64 va);
int snpu_ioctl_vm_bind(struct drm_device *drm, void *data, struct drm_file *file);

/* ---- snpu_map.c: pages of a queue in userspace ---------------------------------------------- */

/**
 * struct snpu_map - page that userspace can map
 * @base: GEM object without a handle, for the mmap offset
 * @lock: guards @dead against page faults
 * @phys: doorbell: CPU address of the page in BAR 0; 0: the page is @page
 * @page: completion page; or what a doorbell mapping shows when the doorbell has gone
 * @dead: the doorbell is gone
 */
struct snpu_map {
	struct drm_gem_object base;
	struct mutex lock;		/* guards dead */
	phys_addr_t phys;
	struct page *page;
	bool dead;
};

struct snpu_map *snpu_map_create(struct snpu_device *sdev, struct drm_file *file, phys_addr_t phys);
void snpu_map_kill(struct snpu_map *map, struct drm_file *file);
u64 snpu_map_offset(struct snpu_map *map);

/* ---- snpu_queue.c --------------------------------------------------------------------------- */

/**
 * struct snpu_wait - slot that a SEM_WAIT packet of the queue watches
 * @cb: on @fence
 * @fence: foreign fence, NULL: none
 * @queue: queue
 * @value: value stored when @fence signals
 */
struct snpu_wait {
	struct dma_fence_cb cb;
	struct dma_fence *fence;
	struct snpu_queue *queue;
	u64 value;
};

/**
 * struct snpu_fault - first error of a queue
 * @state: SNPU_QSTATE_*
 * @error: SNPU_ERR_*
 * @error_aux: see struct snpu_cpl
 * @fault_index: see struct snpu_cpl
 * @fault_va: see struct snpu_cpl
 */
struct snpu_fault {
	u32 state;
	u32 error;
	u32 error_aux;
	u64 fault_index;
	u64 fault_va;
};

/**
 * struct snpu_queue - user queue
 * @ref: references
 * @sdev: device
 * @client: owner; valid until the queue was killed
 * @vm: address space; valid as long as @client
 * @id: for ioctls
 * @number: in the device
 * @vector: completion vector
 * @generation: in which it was made
 * @in_hw: the device has it
 * @ring_va: ring
 * @ring_log2: log2 of its entries
 * @prio: SNPU_PRIO_*
 * @hw_flags: SNPU_QF_*
 * @eventfd: signalled on INTERRUPT packets, faults, resets; or NULL
 * @doorbell: mapping of the doorbell page
 * @cpl_map: mapping of the completion page
 * @cpl: completion record
 * @cpl_dma: its DMA address
 * @vec_link: in the vector's list, guarded by sdev->queue_lock
 * @lock: guards what follows
 * @fences: fences not signalled, by position
 * @vtimes: who waits for virtual times
 * @news: counts interrupts, and the end: who waits for virtual times asks again
 * @fence_context: of its fences
 * @dead: 0, or the error that fences get from now on
 * @flags: DRM_SNPU_QUEUE_HUNG, LOST
 * @fault: how it ended
 * @hang_work: looks for progress while fences are pending
 * @hang_completed: completed when progress was seen last
 * @hang_progress: progress then
 * @hang_since: jiffies then
 * @wait_lock: guards the slots
 * @wait_page: slots, NULL: none yet
 * @wait_dma: its DMA address
 * @waits: slots
 */
struct snpu_queue {
	struct kref ref;
	struct snpu_device *sdev;
	struct snpu_client *client;
	struct snpu_vm *vm;
	u32 id;
	u32 number;
	u32 vector;
	u32 generation;
	bool in_hw;
	u64 ring_va;
	u32 ring_log2;
	u32 prio;
	u32 hw_flags;
	struct eventfd_ctx *eventfd;
	struct snpu_map *doorbell;
	struct snpu_map *cpl_map;
	struct snpu_cpl *cpl;
	dma_addr_t cpl_dma;
	struct list_head vec_link;

	spinlock_t lock;		/* guards what follows */
	struct list_head fences;
	struct list_head vtimes;
	u32 news;
	u64 fence_context;
	int dead;
	u32 flags;
	struct snpu_fault fault;

	struct delayed_work hang_work;
	u64 hang_completed;
	u64 hang_progress;
	unsigned long hang_since;

	struct mutex wait_lock;		/* guards the slots and the DMA mappings */
	u64 *wait_page;
	dma_addr_t wait_dma;
	struct snpu_wait waits[DRM_SNPU_MAX_WAITS];
};

struct snpu_queue *snpu_queue_lookup(struct snpu_client *client, u32 id);
void snpu_queue_put(struct snpu_queue *queue);
void snpu_queues_kill(struct snpu_client *client);
void snpu_queues_lost(struct snpu_device *sdev);
void snpu_queues_detach(struct snpu_device *sdev);
void snpu_queues_check(struct snpu_device *sdev);
struct snpu_queue *snpu_queue_by_number(struct snpu_device *sdev, u32 number);
u64 snpu_queue_submitted(struct snpu_queue *queue);
void snpu_queue_wake(struct snpu_queue *queue);
int snpu_ioctl_queue_create(struct drm_device *drm, void *data, struct drm_file *file);
int snpu_ioctl_queue_destroy(struct drm_device *drm, void *data, struct drm_file *file);
int snpu_ioctl_queue_query(struct drm_device *drm, void *data, struct drm_file *file);
int snpu_ioctl_queue_ctrl(struct drm_device *drm, void *data, struct drm_file *file);

/* ---- snpu_vtime.c --------------------------------------------------------------------------- */

/**
 * struct snpu_vtime_waiter - somebody waits for the virtual time of a packet
 * @link: in queue->vtimes
 * @position: packets
 */
struct snpu_vtime_waiter {
	struct list_head link;
	u64 position;
};

u64 snpu_vtime_next(struct snpu_queue *queue, u64 completed);
void snpu_vtime_wake(struct snpu_device *sdev);
int snpu_ioctl_queue_vtime(struct drm_device *drm, void *data, struct drm_file *file);

/* ---- snpu_fence.c, snpu_wait.c, snpu_hang.c ------------------------------------------------- */

/**
 * struct snpu_fence - signals when a queue has retired @position packets
 * @base: must come first: it is freed as such after the module may be gone
 * @link: in queue->fences
 * @position: packets
 */
struct snpu_fence {
	struct dma_fence base;
	struct list_head link;
	u64 position;
};

void snpu_fence_insert(struct list_head *fences, struct snpu_fence *fence);
void snpu_fences_take(struct list_head *fences, u64 completed, struct list_head *done);
void snpu_fences_signal(struct list_head *done, int error);
void snpu_queue_advance(struct snpu_queue *queue, struct list_head *done);
void snpu_queue_fail(struct snpu_queue *queue, int error, u32 flags);
bool snpu_queue_check_fault(struct snpu_queue *queue);
int snpu_ioctl_queue_signal(struct drm_device *drm, void *data, struct drm_file *file);

int snpu_ioctl_queue_wait(struct drm_device *drm, void *data, struct drm_file *file);
void snpu_waits_fini(struct snpu_queue *queue);

void snpu_hang_init(struct snpu_queue *queue);
void snpu_hang_arm(struct snpu_queue *queue);

/* ---- snpu_reset.c --------------------------------------------------------------------------- */

void snpu_reset_init(struct snpu_device *sdev);
void snpu_reset_schedule(struct snpu_device *sdev, const char *reason);
void snpu_reset_stop(struct snpu_device *sdev);
int snpu_reset_start(struct snpu_device *sdev);

/* ---- snpu_query.c, snpu_debugfs.c, snpu_sysfs.c --------------------------------------------- */

int snpu_query_give(struct drm_snpu_dev_query *args, const void *answer, size_t bytes);
int snpu_ioctl_dev_query(struct drm_device *drm, void *data, struct drm_file *file);
void snpu_show_fdinfo(struct drm_printer *p, struct drm_file *file);
extern const struct attribute_group *snpu_dev_groups[];

#ifdef CONFIG_DEBUG_FS
void snpu_debugfs_init(struct snpu_device *sdev);
#else
static inline void snpu_debugfs_init(struct snpu_device *sdev)
{
}
#endif

#endif /* _SNPU_DRV_H_ */
