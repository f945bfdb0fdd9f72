/* SPDX-License-Identifier: MIT */
/*
 * Packet engine: executes one data packet on memory that the caller resolves.
 *
 * Knows nothing of queues, transports or time. Same packet and same memory give the same bits,
 * whatever the thread and however the memory is scattered.
 */
#ifndef SNPU_ENGINE_ENGINE_H
#define SNPU_ENGINE_ENGINE_H

#include <stdbool.h>
#include <stdint.h>

#include "snpu_hw.h"

#define SNPU_MEM_READ	1u
#define SNPU_MEM_WRITE	2u

/**
 * struct snpu_mem_ops - memory as the packet's queue sees it
 * @resolve: finds the longest contiguous piece at @va, at most @len bytes. Returns SNPU_ERR_*; sets
 *	*@run (1 .. @len) and *@host. *@host NULL: only @slow_read and @slow_write reach it.
 *	Pointers stay valid until the next @checkpoint or the end of the engine call
 * @slow_read: copies @len bytes out; SNPU_ERR_*
 * @slow_write: copies @len bytes in; SNPU_ERR_*
 * @checkpoint: called every few milliseconds of work. Nonzero aborts with that SNPU_ERR_*
 * @entry: what is resolved from now on belongs to this place of the packet's list, or, with
 *	SNPU_MEM_NO_ENTRY, to none; may be NULL
 */
struct snpu_mem_ops {
	int (*resolve)(void *ctx, uint64_t va, uint64_t len, unsigned int access, void **host,
		       uint64_t *run);
	int (*slow_read)(void *ctx, uint64_t va, void *buf, uint64_t len);
	int (*slow_write)(void *ctx, uint64_t va, const void *buf, uint64_t len);
	int (*checkpoint)(void *ctx);
	void (*entry)(void *ctx, uint32_t i);
};

#define SNPU_MEM_NO_ENTRY	0xffffffffu

/**
 * struct snpu_fault - why a packet failed
 * @error: SNPU_ERR_*
 * @va: first byte that could not be accessed, for the memory errors, else 0
 */
struct snpu_fault {
	uint32_t error;
	uint64_t va;
};

/**
 * struct snpu_work - what a packet did
 * @bytes_read: operand bytes
 * @bytes_written: result bytes
 * @flops: arithmetic operations
 */
struct snpu_work {
	uint64_t bytes_read;
	uint64_t bytes_written;
	uint64_t flops;
};

struct snpu_engine;

/**
 * snpu_engine_create() - scratch memory and matmul kernels of one worker
 *
 * Return: the engine or NULL. One thread at a time may use it.
 */
struct snpu_engine *snpu_engine_create(void);

void snpu_engine_destroy(struct snpu_engine *e);

/**
 * snpu_scratch_fn - scratch memory of an engine is about to grow, or has shrunk
 * @ctx: context
 * @bytes: by how much
 * @all: what the engine has then
 *
 * Return: false: it must not grow; the packet fails with SNPU_ERR_NOMEM.
 */
typedef bool (*snpu_scratch_fn)(void *ctx, int64_t bytes, int64_t all);

/** snpu_engine_account() - ask @fn for scratch memory from now on; @e may be NULL */
void snpu_engine_account(struct snpu_engine *e, snpu_scratch_fn fn, void *ctx);

/**
 * snpu_pkt_check() - check every field of a packet, of any op
 * @p: a private copy of the packet
 *
 * Return: SNPU_ERR_NONE, OPCODE, FIELD or ALIGN. Takes a few nanoseconds.
 */
unsigned int snpu_pkt_check(const union snpu_pkt *p);

/**
 * snpu_pkt_work() - operand bytes, result bytes and arithmetic of a packet that passed the check
 * @p: packet
 * @w: receives the answer
 */
void snpu_pkt_work(const union snpu_pkt *p, struct snpu_work *w);

/**
 * snpu_pkt_cost() - about how long a checked packet keeps a worker
 * @p: packet
 *
 * Return: nanoseconds on a present-day core; 0 for the ops that are not the engine's.
 */
uint64_t snpu_pkt_cost(const union snpu_pkt *p);

/** snpu_pkt_is_heavy() - true if a checked packet is likely to run for more than about 20 us */
bool snpu_pkt_is_heavy(const union snpu_pkt *p);

/** snpu_pkt_is_multi() - has the packet a list of addresses? */
static inline bool snpu_pkt_is_multi(const union snpu_pkt *p)
{
	return p->hdr.op == SNPU_OP_REDUCE_PULL || p->hdr.op == SNPU_OP_MULTICAST;
}

/**
 * snpu_engine_list() - read and check the list of a packet, for who does not execute it
 * @e: engine of this thread
 * @p: packet with a list, that snpu_pkt_check() passed
 * @ops: memory
 * @ctx: for @ops
 * @fault: receives error and address on failure
 * @list: receives p->multi.num addresses, offset and all, good until @e is used again
 *
 * Return: SNPU_ERR_*, the same as @fault->error.
 */
int snpu_engine_list(struct snpu_engine *e, const union snpu_pkt *p, const struct snpu_mem_ops *ops,
		     void *ctx, struct snpu_fault *fault, const uint64_t **list);

/**
 * snpu_engine_exec() - execute a data packet (COPY .. CRC32C)
 * @e: engine of this thread
 * @p: packet that snpu_pkt_check() passed
 * @ops: memory
 * @ctx: for @ops
 * @fault: receives error and address on failure
 * @work: receives what was done
 *
 * Results are in memory on return, but stores may still be in write-combining buffers: the caller
 * issues a store fence before it tells anyone.
 *
 * Return: SNPU_ERR_*, the same as @fault->error.
 */
int snpu_engine_exec(struct snpu_engine *e, const union snpu_pkt *p, const struct snpu_mem_ops *ops,
		     void *ctx, struct snpu_fault *fault, struct snpu_work *work);

#endif
