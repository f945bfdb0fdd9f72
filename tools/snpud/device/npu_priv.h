/* SPDX-License-Identifier: MIT */
/*
 * Inside of the device core.
 *
 * Ownership and locks
 *
 * queue->owner
 *	The running state of a queue (second half of struct snpu_queue, TLB, completion
 *	record) belongs to who holds @owner: a worker that executes it, or an admin command that
 *	stops it. A futex word; never held while waiting for another.
 * worker->sec
 *	RCU-like section: odd while the worker may hold pointers that came out of page tables,
 *	export slots, queue lists or the bus. Who takes such a thing away hides it, then
 *	calls snpu_quiesce(), which waits until every worker has left, or passed a checkpoint of,
 *	the section it was in. A worker in a section takes only @ev_lock, @ras_lock, @mem_lock and
 *	the bus's own locks, and waits for no one else. The threads of aside.c, which wait for
 *	clients, have sections too, and leave them meanwhile.
 * npu->lock
 *	One admin command, register write or reset at a time; never taken by workers.
 * npu->bus_lock
 *	Held by threads that are not workers while they use the bus.
 * machine->list_lock
 *	Writers of the scan list.
 * fabric
 *	Has its own locks: workers read states of links without one, and hold a link's for a
 *	few instructions while they count. Changes of states call back
 *	with the fabric's lock held, which takes npu->bus_lock; so no one changes states under
 *	a lock of an NPU.
 *
 * Order: npu->lock, npu->bus_lock, machine->list_lock, npu->ev_lock, npu->ras_lock. Nothing is
 * taken under npu->cfg_lock, machine->mem_lock and machine->aside_lock.
 *
 * The leader is the one worker that scans doorbells. machine->lead is the token.
 */
#ifndef SNPU_DEVICE_NPU_PRIV_H
#define SNPU_DEVICE_NPU_PRIV_H

#include <pthread.h>
#include <signal.h>

#include "npu.h"
#include "sync.h"

#define SNPU_TLB_SMALL		64	/* direct-mapped entries for 4 KiB leaves */
#define SNPU_TLB_HUGE		32	/* and for 2 MiB leaves */
#define SNPU_TLB_MRU		4
#define SNPU_INVAL_LOG		16	/* ranges a queue may lag behind */
#define SNPU_BATCH		64	/* packets of one queue before others get a look */
#define SNPU_PUBLISH		16	/* light packets between two stores to completed */
#define SNPU_MAX_WORKERS	64
#define SNPU_MAX_POISON		4096

#define SNPU_ALIGNED		__attribute__((aligned(64)))

/* One translation: [va, end) to consecutive addresses */
struct snpu_tlbe {
	uint64_t va;
	uint64_t end;		/* 0: empty */
	uint64_t addr;		/* of va: HBM offset, DMA address, segment offset */
	uint8_t *host;		/* of va: HBM and directly reachable host memory; else NULL */
	uint32_t access;	/* SNPU_PTE_READ | WRITE */
	uint16_t import;
	uint8_t aperture;
};

struct snpu_tlb {
	struct snpu_tlbe small[SNPU_TLB_SMALL];
	struct snpu_tlbe huge[SNPU_TLB_HUGE];
	struct snpu_tlbe *mru[SNPU_TLB_MRU];
	unsigned int mru_next;
};

struct snpu_range {
	uint64_t start;
	uint64_t end;
};

struct snpu_ctx {
	uint64_t root;
	uint32_t id;
	uint32_t queues;	/* npu->lock */
	/* Ranges invalidated; gen counts them. Written under npu->lock, read in sections: an
	 * invalidation quiesces before the next one, so at most one entry changes meanwhile.
	 */
	uint64_t gen;
	struct snpu_range inval[SNPU_INVAL_LOG];
};

struct snpu_export {
	uint32_t valid;		/* release-stored last */
	uint32_t access;
	uint32_t named;		/* the directory may hold it; npu->lock */
	uint64_t offset;
	uint64_t bytes;
	uint64_t token;
};

struct snpu_import {
	uint32_t valid;		/* release-stored last */
	uint32_t node;
	uint32_t seg;
	uint64_t token;
};

/* queue->owner */
#define SNPU_OWNED		1u
#define SNPU_OWNER_WAITED	2u	/* someone sleeps until it is released */

/* queue->run: what the scanner does with it */
enum snpu_run {
	SNPU_RUN_STOPPED,
	SNPU_RUN_READY,
	SNPU_RUN_BLOCKED,
	SNPU_RUN_SUSPENDED,
	SNPU_RUN_FAULT,
	SNPU_RUN_HUNG,
	SNPU_RUN_ASIDE,		/* its next packet needs messages: the workers leave it alone */
	SNPU_RUN_ASIDE_BLOCKED,	/* and it waits for a semaphore */
};

/* queue->stop */
#define SNPU_STOP_SUSPEND	1u	/* between two packets */
#define SNPU_STOP_ABORT		2u	/* at the next checkpoint */

struct snpu_queue {
	/* what the scanner looks at */
	const uint64_t *db SNPU_ALIGNED;
	uint64_t head;		/* packets retired */
	uint32_t owner;
	uint32_t run;
	uint32_t stop;
	uint32_t inject;	/* INJECT_HANG or error code of a fault to make */
	uint32_t armed;		/* need_wake was published */
	uint32_t prio;
	struct snpu_npu *npu;
	/* fixed */
	struct snpu_ctx *ctx;
	uint64_t ring_va;
	uint64_t cpl_addr;
	uint32_t id;
	uint32_t ring_entries;
	uint32_t vector;
	uint32_t epoch;
	/* owner */
	struct snpu_cpl *cpl SNPU_ALIGNED;
	uint64_t tail;		/* doorbell value last seen */
	uint64_t published;
	uint64_t progress;
	uint64_t irq_done;
	uint64_t bus_gen;
	uint64_t ctx_gen;
	const uint8_t *ring_host;	/* of ring_host_va, one page; NULL: look up */
	uint64_t ring_host_va;
	bool ring_is_host;		/* it is memory of the host, which can take it away */
	uint64_t ib_va;
	uint32_t ib_count;	/* 0: not inside an indirect buffer */
	uint32_t ib_pos;
	bool waiting;		/* the next packet is a wait that has begun */
	bool aside_poll;	/* ASIDE_BLOCKED: what it waits for changes with no kick */
	bool waits_host;	/* and its semaphore is in host memory: perhaps a completion index */
	uint64_t deadline;	/* of that wait, 0: none */
	uint64_t packets;
	uint8_t die;		/* 0: all, n: die n - 1; fixed */
	bool timing;		/* data packets only cost time; fixed */
	bool stamped;		/* the next packet is a TIMESTAMP that waits for virtual time */
	uint64_t stamp_gen;	/* snpu_plane_stamps() when it asked last */
	bool nt_stores;		/* a packet since the last sfence may have used them */
	uint32_t error;
	uint32_t error_aux;
	uint64_t fault_va;
	/* ev_lock */
	uint64_t int_event;	/* index + 1 of the newest INTERRUPT event, 0: none */
	struct snpu_cpl dead_cpl SNPU_ALIGNED;	/* stands in when the real one was unmapped */
	struct snpu_tlb tlb;
};

#define SNPU_INJECT_HANG	0x80000000u

/* machine->sleeping */
enum snpu_sleeps {
	SNPU_AWAKE,
	SNPU_SLEEPS,
	SNPU_SLEEPS_INDEX,	/* and a queue may wait for the completion index of another */
};

struct snpu_npu {
	struct snpu_machine *m;
	uint32_t index;
	uint32_t node;
	uint32_t host;
	uint32_t slot;
	uint32_t num_queues, num_ctx, num_segs, num_imports;
	uint64_t hbm_size;
	uint64_t bar2_size;
	uint8_t *hbm;
	uint64_t *doorbells;
	int hbm_fd;
	int db_fd;

	/* Read in sections or under bus_lock; written under both locks. @bus is @host_bus, or NULL
	 * while the function may not master the bus
	 */
	const struct snpu_bus *bus;
	const struct snpu_bus *host_bus;
	uint32_t attached;
	struct snpu_bus bus_store[2];
	uint64_t bus_gen;
	struct snpu_aside *aside;	/* made when first needed */

	pthread_mutex_t lock;
	pthread_mutex_t bus_lock;
	uint32_t status;
	uint64_t admin_addr;
	struct snpu_queue **queues;	/* [num_queues]; written under lock; freed ones under
					 * bus_lock too, and not before sections have ended
					 */
	struct snpu_ctx **ctxs;		/* [num_ctx]; lock */
	uint32_t *epochs;		/* [num_queues]; lock */
	struct snpu_export *exports;	/* allocated at first use, then stays */
	struct snpu_import *imports;
	uint32_t prio_queues[SNPU_PRIO_MAX + 1];	/* how many exist; lock */

	pthread_mutex_t ev_lock;
	uint64_t ev_addr;
	uint32_t ev_log2;
	uint64_t ev_prod;
	uint64_t ev_lost;

	pthread_mutex_t ras_lock;
	uint32_t poisoned;		/* pages in poison[]; looked at without the lock */
	uint64_t *poison;		/* page numbers */
	uint64_t ras_ce, ras_ue;

	uint32_t *gen_huge, *gen_page;	/* see semgen.c; NULL: nothing is logged */

	uint8_t *marks;			/* see memory.c; NULL: no budget */
	int64_t credit;
	uint64_t refused_at;		/* mem_lock */
	uint64_t mem_refused;		/* written under mem_lock */

	uint8_t *cfg;			/* SNPU_CFG_BYTES */
	uint8_t *msix;			/* SNPU_BAR_MSIX_SIZE */
	bool msix_shown;		/* config space has an MSI-X capability */
	pthread_mutex_t cfg_lock;
	bool cmd_written;		/* the client knows of the PCI command register; cfg_lock */
	uint32_t resets;
	/* atomic */
	uint64_t cnt_packets, cnt_read, cnt_written, cnt_flops, cnt_faults, cnt_busy_ticks;
	uint64_t busy_ns;		/* the most that was reported for cnt_busy_ticks */
	uint64_t cnt_events, cnt_merged, cnt_irqs, cnt_admin, cnt_admin_errors;
};

struct snpu_scan_list {
	unsigned int n;
	struct snpu_queue *q[];
};

struct snpu_engine;
struct snpu_plog_buf;

struct snpu_worker {
	uint32_t sec SNPU_ALIGNED;
	uint32_t want;		/* someone waits for the section to end */
	bool leader;		/* own thread only */
	bool nested;		/* scanning from inside a heavy packet */
	bool aside;		/* it may wait for a client: see aside.c */
	struct snpu_machine *m;
	struct snpu_engine *engine;
	struct snpu_engine *engine_nested;	/* for light packets while @engine is in use */
	struct snpu_plog_buf *plog;
	uint64_t last_scan;
	uint64_t heavy_start;
	uint64_t rnd;			/* of --test-delays */
	pthread_t thread;
	bool started;
};

struct snpu_machine {
	const struct snpu_profile *profile;
	unsigned int npus;
	unsigned int first_node;
	bool in_switch;			/* switches add up and copy */
	struct snpu_npu **npu;
	uint64_t t0;
	uint64_t ticks0;
	struct snpu_plog *plog;
	struct snpu_plane *plane;	/* virtual time, NULL: none is kept */
	struct snpu_directory *dir;
	struct snpu_fabric *fabric;
	uint8_t *port_state;		/* [link that leaves a die]: as its NPU was told */
	uint64_t serial_base;

	unsigned int workers;
	unsigned int delays;		/* seed, 0: none */
	struct snpu_worker *worker;
	uint32_t stop;

	uint32_t lead SNPU_ALIGNED;	/* 1: there is a leader */
	uint32_t idle;			/* followers that sleep */
	uint32_t sleeping SNPU_ALIGNED;	/* the leader sleeps or is about to: enum snpu_sleeps */
	uint32_t wake_seq;		/* its futex; every kick counts */
	unsigned int rr;		/* leader: where the next scan starts */
	uint64_t spin_ns;		/* leader: how long to spin without work */

	uint64_t memory;		/* budget of memory.c, 0: none */
	uint64_t (*memory_left)(void);	/* or NULL */
	uint64_t mem_used;		/* when it was counted last */
	int64_t scratch;		/* of all engines */
	pthread_mutex_t mem_lock;	/* counting; a leaf */

	pthread_mutex_t aside_lock;	/* making a thread of aside.c */
	uint32_t asides;		/* how many there are */

	pthread_mutex_t list_lock;
	struct snpu_scan_list *list;	/* read in sections */
};

/* machine.c */
struct snpu_npu *snpu_machine_node(struct snpu_machine *m, uint32_t node);
uint64_t snpu_machine_time(const struct snpu_machine *m);
uint64_t snpu_machine_ticks_ns(const struct snpu_machine *m, uint64_t ticks);
int snpu_list_add(struct snpu_machine *m, struct snpu_queue *q);
void snpu_list_del(struct snpu_machine *m, struct snpu_queue *q);

/* npu.c */
struct snpu_npu *snpu_npu_create(struct snpu_machine *m, unsigned int index, char *err,
				 size_t err_len);
void snpu_npu_destroy(struct snpu_npu *n);
void snpu_npu_reset_locked(struct snpu_npu *n, bool config);
void snpu_npu_irq(struct snpu_npu *n, unsigned int vector);
/* snpu_pci_masters() may have changed; not with bus_lock held */
void snpu_npu_master_changed(struct snpu_npu *n);

/* bus.c: for workers in a section, or holders of bus_lock */
int snpu_bus_translate(struct snpu_npu *n, uint64_t iova, bool write, uint8_t **host,
		       uint64_t *run);
int snpu_bus_read(struct snpu_npu *n, uint64_t iova, void *buf, size_t len);
int snpu_bus_write(struct snpu_npu *n, uint64_t iova, const void *buf, size_t len);
/* Has the host taken away some of what is at @host? As for struct snpu_bus_ops */
bool snpu_bus_lost(struct snpu_npu *n, const void *host, uint64_t len);

/* admin.c */
void snpu_admin_run(struct snpu_npu *n);

/* pci.c */
void snpu_pci_init(struct snpu_npu *n);
void snpu_pci_reset(struct snpu_npu *n);
void snpu_pci_mask(struct snpu_npu *n);
/* a client comes, or goes */
void snpu_pci_connect(struct snpu_npu *n);
/* may the function read and write memory, and interrupt? */
bool snpu_pci_masters(struct snpu_npu *n);

/* mmu.c */

/**
 * struct snpu_mmu_hit - result of a translation
 * @host: memory, NULL: only the bus's read and write reach it, at @iova
 * @iova: DMA address when @host is NULL
 * @run: bytes from there on that belong to the same piece
 * @node: where the memory is (semaphore identity in the log)
 * @addr: HBM offset or DMA address there
 * @aperture: SNPU_APERTURE_*, FABRIC resolved to the remote end
 */
struct snpu_mmu_hit {
	uint8_t *host;
	uint64_t iova;
	uint64_t run;
	uint32_t node;
	uint64_t addr;
	uint32_t aperture;
};

/* SNPU_ERR_*; owner of the queue, in a section */
/* Does only a message reach the memory at @va? *@run: bytes for which that holds; 0: unknown */
bool snpu_mmu_needs_message(struct snpu_queue *q, uint64_t va, uint64_t len, bool write,
			    uint64_t *run);
unsigned int snpu_mmu_resolve(struct snpu_queue *q, uint64_t va, uint64_t len, bool write,
			      struct snpu_mmu_hit *hit);
void snpu_mmu_sync(struct snpu_queue *q);
void snpu_mmu_flush(struct snpu_queue *q);

/* fabric.c */
unsigned int snpu_fabric_resolve(struct snpu_npu *n, uint32_t slot, uint64_t off, bool write,
				 struct snpu_npu **target, uint64_t *hbm_off, uint64_t *run);
int snpu_fabric_export(struct snpu_npu *n, const struct snpu_adm_export *a);
int snpu_fabric_revoke(struct snpu_npu *n, uint32_t seg);
int snpu_fabric_import(struct snpu_npu *n, const struct snpu_adm_import *a);
int snpu_fabric_unimport(struct snpu_npu *n, uint32_t slot);
void snpu_fabric_reset(struct snpu_npu *n);

/**
 * snpu_fabric_query() - what an importer would get
 * @n: importer
 * @node: exporter
 * @seg: its export slot
 * @token: secret, NULL: whoever asks has been told by the directory
 * @out: receives a copy of the slot, with its token
 *
 * Return: 0; -ENOENT: no such segment; -EACCES: wrong token; -EHOSTUNREACH: no such NPU, or it is
 * not ready.
 */
int snpu_fabric_query(struct snpu_npu *n, uint32_t node, uint32_t seg, const uint64_t *token,
		      struct snpu_export *out);

/* directory.c */
struct snpu_directory;
#define SNPU_DIR_ALL	0xffffffffu

/* @max_names: of one NPU */
struct snpu_directory *snpu_directory_new(unsigned int npus, uint32_t first_node,
					  unsigned int max_names);
void snpu_directory_free(struct snpu_directory *d);
/* 1 .. 55 printable characters without blanks, then NUL bytes to the end */
bool snpu_directory_name_ok(const char *name);
/* 0, -EEXIST, -ENOMEM, -ENOSPC: the NPU has all the names it may have; @name is ok */
int snpu_directory_publish(struct snpu_directory *d, const char *name, uint32_t node, uint32_t seg);
/* 0 or -ENOENT */
int snpu_directory_lookup(struct snpu_directory *d, const char *name, uint32_t *node,
			  uint32_t *seg);
/* 0, -ENOENT, -EACCES: another NPU's */
int snpu_directory_remove(struct snpu_directory *d, const char *name, uint32_t node);
/* Names of one segment, or with SNPU_DIR_ALL of all segments of an NPU */
void snpu_directory_drop(struct snpu_directory *d, uint32_t node, uint32_t seg);

/* memory.c */
int snpu_mem_init(struct snpu_npu *n);
bool snpu_mem_touch(struct snpu_npu *n, uint64_t off, uint64_t len);
/* the range has become a hole, or is about to */
void snpu_mem_scrub(struct snpu_npu *n, uint64_t off, uint64_t len);
/* for engines: scratch grows by @bytes, to @all; false: there is no room */
bool snpu_mem_scratch(void *m, int64_t bytes, int64_t all);

/* May the device access this HBM, though a page may come into being by it? @len: 1 .. 2 MiB */
static inline bool snpu_mem_ok(struct snpu_npu *n, uint64_t off, uint64_t len)
{
	const uint8_t *marks = n->marks;

	if (!marks || (snpu_load(&marks[off >> SNPU_HUGE_SHIFT]) &
		       snpu_load(&marks[(off + len - 1) >> SNPU_HUGE_SHIFT])))
		return true;
	return snpu_mem_touch(n, off, len);
}

/* ras.c */
unsigned int snpu_ras_check(struct snpu_npu *n, uint64_t off, uint64_t len, bool write,
			    uint64_t *run);
void snpu_ras_clear(struct snpu_npu *n, uint64_t off, uint64_t len);
bool snpu_ras_hit(struct snpu_npu *n, uint64_t off);

/* event.c */
void snpu_event_emit(struct snpu_npu *n, struct snpu_queue *q, uint32_t type, uint32_t code,
		     uint64_t data);
void snpu_event_emit_ext(struct snpu_npu *n, uint32_t type, uint32_t code, uint64_t data);
void snpu_event_reset(struct snpu_npu *n);

/* queue.c */
int snpu_queue_create(struct snpu_npu *n, const struct snpu_queue_desc *d);
int snpu_queue_destroy(struct snpu_npu *n, uint32_t id, unsigned int error);
int snpu_queue_suspend(struct snpu_npu *n, uint32_t id);
int snpu_queue_resume(struct snpu_npu *n, uint32_t id);
bool snpu_queue_trylock(struct snpu_queue *q);
void snpu_queue_lock(struct snpu_queue *q);
int snpu_queue_lock_timeout(struct snpu_queue *q, uint64_t timeout_ns);
void snpu_queue_lock_abort(struct snpu_queue *q);
void snpu_queue_unlock(struct snpu_queue *q);
void snpu_queue_publish(struct snpu_queue *q);
void snpu_queue_set_state(struct snpu_queue *q, uint32_t run);
void snpu_queue_fault(struct snpu_queue *q, unsigned int error, uint32_t aux, uint64_t va,
		      bool event);

/* operands.c */

/**
 * struct snpu_operand - an address a packet works on
 * @va: address
 * @write: it is written there
 */
struct snpu_operand {
	uint64_t va;
	bool write;
};

#define SNPU_MAX_OPERANDS	4
/* Operands of a data packet; returns their number. @o: room for SNPU_MAX_OPERANDS */
unsigned int snpu_pkt_operands(const union snpu_pkt *p, struct snpu_operand *o);

/* semgen.c */
int snpu_semgen_init(struct snpu_npu *n);
void snpu_semgen_fini(struct snpu_npu *n);
void snpu_semgen_scrub(struct snpu_npu *n, uint64_t off, uint64_t bytes);
uint32_t snpu_semgen_of(const struct snpu_npu *n, uint64_t off);

/* exec.c */
/* Are there REDUCE_PULL and MULTICAST? The log has no room for sets of more NPUs */
bool snpu_multi_works(const struct snpu_machine *m);
bool snpu_queue_pending(const struct snpu_queue *q);
unsigned int snpu_exec_queue(struct snpu_worker *w, struct snpu_queue *q);
/* ns until the wait of a blocked queue ends: 0 now, UINT64_MAX never; owner, in a section */
uint64_t snpu_exec_poll_wait(struct snpu_queue *q, uint64_t now);

/* ns until a queue in ASIDE_BLOCKED is to be looked at with no kick; owner */
uint64_t snpu_exec_deadline(const struct snpu_queue *q);

/* aside.c */
#define SNPU_ASIDE_POLL_NS	1000000u
bool snpu_aside_put(struct snpu_queue *q);
void snpu_aside_cancel(struct snpu_queue *q);
void snpu_aside_end(struct snpu_npu *n);
unsigned int snpu_aside_move(struct snpu_worker *w, struct snpu_queue *q, uint64_t iova, void *buf,
			     uint64_t *len, bool write);
/* a queue of the NPU was put aside, and released */
void snpu_aside_kick(struct snpu_npu *n);
/* what queues that were put aside wait for may have changed */
void snpu_aside_kick_blocked(struct snpu_machine *m);
/* the thread as a worker, or NULL */
struct snpu_worker *snpu_aside_worker(const struct snpu_npu *n);

/* sched.c */
int snpu_sched_start(struct snpu_machine *m, unsigned int workers, char *err, size_t err_len);
void snpu_sched_stop(struct snpu_machine *m);
void snpu_sched_kick(struct snpu_machine *m);
/* What a thread that executes packets blocks */
void snpu_sched_signals(sigset_t *set);
void snpu_quiesce(struct snpu_machine *m);
bool snpu_higher_pending(const struct snpu_queue *q);
bool snpu_others_pending(const struct snpu_queue *q);
/* from inside a heavy packet: lets waiters in, and keeps the doorbells served */
void snpu_sched_checkpoint(struct snpu_worker *w);
void snpu_sched_handover(struct snpu_worker *w);

static inline void snpu_sec_enter(struct snpu_worker *w)
{
	/* full barrier: what is read in the section is read after the section is visible */
	(void)snpu_xchg(&w->sec, w->sec + 1);
}

void snpu_sec_leave(struct snpu_worker *w);

/* A clock that costs next to nothing; its rate is found by comparing with the real one */
static inline uint64_t snpu_ticks(void)
{
#if defined(__x86_64__)
	return __builtin_ia32_rdtsc();
#else
	return snpu_clock_ns();
#endif
}

static inline uint64_t snpu_min64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

#endif
