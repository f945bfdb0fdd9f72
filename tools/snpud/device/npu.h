/* SPDX-License-Identifier: MIT */
/*
 * Device core of snpu: what a transport, the control socket and the tests call.
 *
 * The core knows no sockets. A transport gives each NPU a struct snpu_bus and forwards register and
 * config-space accesses; BARs 0 (doorbells) and 2 are shared memory that it hands on as fds.
 *
 * Threads: every function may be called from any thread unless it says otherwise. Workers of the
 * machine call the bus from their own threads.
 */
#ifndef SNPU_DEVICE_NPU_H
#define SNPU_DEVICE_NPU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "snpu_hw.h"

struct snpu_machine;
struct snpu_npu;
struct snpu_profile;
struct snpu_plog;
struct snpu_plane;
struct snpu_fabric;

/**
 * struct snpu_bus_ops - how an NPU reaches the memory and interrupts of its host
 * @translate: finds memory behind a DMA address. 0: *@host points at it and *@run bytes from there
 *	are contiguous; -EOPNOTSUPP: memory that only @read and @write reach, *@run of it;
 *	-EFAULT: nothing there, or not with this access
 * @read: copies out of memory for which @translate says -EOPNOTSUPP, and of no other. May block
 *	for as long as the host takes to answer; called by the NPU's own thread for that. 0; -EAGAIN:
 *	such memory is being taken away, or was; another negative errno. NULL: there is none
 * @write: copies into such memory; likewise
 * @cancel: ends @read and @write under way with -EAGAIN. NULL: they do not block
 * @messages: may there be such memory? Must not block. NULL: there may be
 * @irq: raises an MSI-X vector; must not block. NULL: no interrupts
 * @lost: has the host taken away some of @len bytes at @host, which @translate gave? Then what was
 *	read there is not its memory, and what was written is nowhere. Must not block. NULL: memory
 *	of this bus stays as long as it is translated
 */
struct snpu_bus_ops {
	int (*translate)(void *priv, uint64_t iova, bool write, void **host, uint64_t *run);
	int (*read)(void *priv, uint64_t iova, void *buf, size_t len);
	int (*write)(void *priv, uint64_t iova, const void *buf, size_t len);
	void (*cancel)(void *priv);
	bool (*messages)(void *priv);
	void (*irq)(void *priv, unsigned int vector);
	bool (*lost)(void *priv, const void *host, uint64_t len);
};

struct snpu_bus {
	const struct snpu_bus_ops *ops;
	void *priv;
};

/**
 * struct snpu_machine_opts - what snpu_machine_create() builds
 * @profile: figures; must outlive the machine
 * @npus: NPUs in this process
 * @first_node: fabric address of the first
 * @workers: threads, 0: as many as cores, at most 8
 * @delays: seed: workers pause at random between queues, for tests; 0: they do not
 * @plog: packet log or NULL; must outlive the machine
 * @plane: virtual time, fed by @plog, or NULL; the machine starts and stops it
 * @memory: bytes that HBM of all NPUs, and scratch memory, may take of the computer; what needs
 *	more is refused. 0: no limit
 * @memory_left: bytes that the computer still has, asked before more is taken; or NULL
 */
struct snpu_machine_opts {
	const struct snpu_profile *profile;
	unsigned int npus;
	unsigned int first_node;
	unsigned int workers;
	unsigned int delays;
	struct snpu_plog *plog;
	struct snpu_plane *plane;
	uint64_t memory;
	uint64_t (*memory_left)(void);
};

/**
 * snpu_machine_create() - build the NPUs and start the workers
 * @opts: what to build
 * @err: receives one line on failure
 * @err_len: size of @err
 *
 * Return: the machine or NULL.
 */
struct snpu_machine *snpu_machine_create(const struct snpu_machine_opts *opts, char *err,
					 size_t err_len);

/** snpu_machine_destroy() - reset all NPUs, stop the workers, free; transports must be gone */
void snpu_machine_destroy(struct snpu_machine *m);

unsigned int snpu_machine_npus(const struct snpu_machine *m);
unsigned int snpu_machine_workers(const struct snpu_machine *m);
const struct snpu_profile *snpu_machine_profile(const struct snpu_machine *m);

/** snpu_machine_fabric() - links and switches, of the whole machine of the profile */
struct snpu_fabric *snpu_machine_fabric(const struct snpu_machine *m);

/**
 * struct snpu_machine_memory - what the machine takes of the computer's memory
 * @limit: the budget, 0: none
 * @hbm: HBM that exists, of all NPUs
 * @scratch: of the engines
 * @refused: accesses that found no room, counted at most once a millisecond and NPU
 */
struct snpu_machine_memory {
	uint64_t limit, hbm, scratch, refused;
};

/** snpu_machine_get_memory() - count it */
void snpu_machine_get_memory(struct snpu_machine *m, struct snpu_machine_memory *mem);

/** snpu_machine_npu() - NPU number @i, counted from 0 in this process, or NULL */
struct snpu_npu *snpu_machine_npu(struct snpu_machine *m, unsigned int i);

/** snpu_machine_sleeping() - the scanning worker sleeps: nothing uses the CPU */
bool snpu_machine_sleeping(const struct snpu_machine *m);

/** snpu_machine_wake() - as a write to SNPU_REG_WAKE */
void snpu_machine_wake(struct snpu_machine *m);

/* ---- transport side ---- */

/**
 * snpu_npu_set_bus() - attach a host, or detach it with @bus NULL
 * @n: NPU
 * @bus: copied
 *
 * Resets the function. On return nothing calls the old bus any more. Not from a bus callback.
 */
void snpu_npu_set_bus(struct snpu_npu *n, const struct snpu_bus *bus);

/**
 * snpu_npu_bus_changed() - DMA mappings went away
 * @n: NPU
 *
 * Call it after the mappings are out of what ->translate answers from, and before the memory is
 * unmapped: on return no worker uses a translation made earlier. Takes well under a second. Not
 * from a bus callback.
 */
void snpu_npu_bus_changed(struct snpu_npu *n);

/**
 * snpu_npu_memory_lost() - the host has taken away memory that is translated
 * @n: NPU
 *
 * From now on ->translate does not find it and ->lost knows it. The packets that have used it end
 * with SNPU_ERR_BUS. May be called in a signal handler, and by a worker.
 */
void snpu_npu_memory_lost(struct snpu_npu *n);

/**
 * snpu_npu_reg_read() - read of BAR0 page 0
 * @n: NPU
 * @off: byte offset
 * @width: bytes, 1, 2, 4 or 8
 *
 * Return: the value; 0 for anything that is not a register of that width.
 */
uint64_t snpu_npu_reg_read(struct snpu_npu *n, uint64_t off, unsigned int width);

/** snpu_npu_reg_write() - write to BAR0 page 0; see snpu_npu_reg_read(). Runs admin commands */
void snpu_npu_reg_write(struct snpu_npu *n, uint64_t off, unsigned int width, uint64_t val);

#define SNPU_CFG_BYTES	4096u

/** snpu_npu_cfg_read() - read config space; bytes outside of it read as all ones */
void snpu_npu_cfg_read(struct snpu_npu *n, uint64_t off, void *buf, size_t len);

/** snpu_npu_cfg_write() - write config space; bits that are not writable stay. May reset (FLR) */
void snpu_npu_cfg_write(struct snpu_npu *n, uint64_t off, const void *buf, size_t len);

/** struct snpu_msi - what a function writes to memory to raise an interrupt: @data to @addr */
struct snpu_msi {
	uint64_t addr;
	uint32_t data;
};

/**
 * snpu_npu_show_msix() - have config space show the MSI-X capability, or a Null Capability
 * @n: NPU
 * @shown: whether it does
 *
 * It does not until it is shown for the first time. Resets leave it as it is.
 */
void snpu_npu_show_msix(struct snpu_npu *n, bool shown);

/**
 * snpu_npu_msix_raise() - raise a vector by the MSI-X table
 * @n: NPU
 * @vector: below SNPU_MSIX_VECTORS
 * @msg: receives the message
 *
 * Return: true: send the message; false: MSI-X is off, masked or the function is no bus master, so
 * the vector is pending.
 */
bool snpu_npu_msix_raise(struct snpu_npu *n, unsigned int vector, struct snpu_msi *msg);

/**
 * snpu_npu_msix_pending() - take a pending vector whose message may leave now
 * @n: NPU
 * @msg: receives the message
 *
 * Return: the vector, or -1 if there is none.
 */
int snpu_npu_msix_pending(struct snpu_npu *n, struct snpu_msi *msg);

/** snpu_npu_msix_read() - read of BAR4 */
void snpu_npu_msix_read(struct snpu_npu *n, uint64_t off, void *buf, size_t len);

/** snpu_npu_msix_write() - write to BAR4; only the table is writable */
void snpu_npu_msix_write(struct snpu_npu *n, uint64_t off, const void *buf, size_t len);

/** snpu_npu_reset() - function-level reset; config space is as after power on, too */
void snpu_npu_reset(struct snpu_npu *n);

int snpu_npu_hbm_fd(const struct snpu_npu *n);
uint64_t snpu_npu_hbm_size(const struct snpu_npu *n);
/** snpu_npu_bar2_size() - HBM size rounded up to a power of two; the HBM fd is as large */
uint64_t snpu_npu_bar2_size(const struct snpu_npu *n);
uint8_t *snpu_npu_hbm(const struct snpu_npu *n);
/** snpu_npu_doorbell_fd() - memory of the doorbell pages, at SNPU_DB_OFFSET of BAR0 */
int snpu_npu_doorbell_fd(const struct snpu_npu *n);
uint64_t snpu_npu_doorbell_size(void);

/* ---- control side ---- */

struct snpu_npu_counters {
	uint64_t packets, bytes_read, bytes_written, flops, faults, busy_ns;
	uint64_t events, events_lost, events_merged, irqs;
	uint64_t ras_ce, ras_ue, resets, admin_cmds, admin_errors;
	uint64_t hbm_resident;
};

struct snpu_npu_info {
	uint32_t index, node, host, slot, status;
	uint32_t queues, contexts, segs, imports;
	uint64_t serial, hbm_bytes;
	bool attached;
};

struct snpu_queue_info {
	uint32_t queue, ctx, prio, vector, ring_entries, state, error, error_aux;
	uint64_t completed, doorbell, fault_index, fault_va, packets;
};

void snpu_npu_get_info(struct snpu_npu *n, struct snpu_npu_info *info);
void snpu_npu_get_counters(struct snpu_npu *n, struct snpu_npu_counters *c);

/**
 * snpu_npu_get_queues() - queues that exist
 * @n: NPU
 * @info: room for @max
 * @max: entries
 *
 * Return: their number, at most @max.
 */
unsigned int snpu_npu_get_queues(struct snpu_npu *n, struct snpu_queue_info *info,
				 unsigned int max);

/** snpu_npu_inject_ce() - a corrected memory error at an HBM offset. 0 or -ERANGE */
int snpu_npu_inject_ce(struct snpu_npu *n, uint64_t offset);

/** snpu_npu_inject_ue() - poison the 4 KiB page at an HBM offset. 0, -ERANGE, -ENOSPC */
int snpu_npu_inject_ue(struct snpu_npu *n, uint64_t offset);

/** snpu_npu_inject_fault() - stop a queue at its next packet. 0, -ENOENT, -EINVAL (@code) */
int snpu_npu_inject_fault(struct snpu_npu *n, unsigned int queue, unsigned int code);

/** snpu_npu_inject_hang() - the next packet of a queue never finishes. 0 or -ENOENT */
int snpu_npu_inject_hang(struct snpu_npu *n, unsigned int queue);

/** snpu_npu_inject_fatal() - the function stops until it is reset */
void snpu_npu_inject_fatal(struct snpu_npu *n, unsigned int reason);

/** snpu_npu_index() - its number in the process */
unsigned int snpu_npu_index(const struct snpu_npu *n);

const char *snpu_qstate_name(unsigned int state);
const char *snpu_err_name(unsigned int err);

#endif
