/* SPDX-License-Identifier: MIT */
/* Execution of packets: what its parts share. Who calls owns the queue, and is in a section. */
#ifndef SNPU_DEVICE_EXEC_PRIV_H
#define SNPU_DEVICE_EXEC_PRIV_H

#include "engine/engine.h"
#include "fabric/fabric.h"
#include "log/packet_log.h"
#include "npu_priv.h"

/* What the packet in hand needs */
struct snpu_cur {
	struct snpu_worker *w;
	struct snpu_queue *q;
	struct snpu_engine *engine;
	union snpu_pkt pkt;
	uint32_t read_node, write_node;		/* other NPUs it touched, for the log */
	uint8_t host_mem;			/* SNPU_PLOG_HOST_* */
	const uint8_t *host_from, *host_to;	/* of the host, used since the last checkpoint */
	uint64_t host_va;			/* the last piece of that */
	struct snpu_flow flow[2];		/* what it reads from, and writes to, other NPUs */
	uint32_t entry;				/* place of the list at hand, SNPU_MEM_NO_ENTRY: none */
	uint32_t shared;			/* that with which the issuer's link is counted */
	uint64_t set[SNPU_PLOG_SET_WORDS];	/* NPUs of the list */
	struct snpu_mmu_hit sem;
	uint64_t fault_va;
	struct snpu_work work;
	bool cas_failed;		/* the ATOMIC in hand changed nothing */
	bool messages;			/* the client was asked for memory */
	uint64_t heavy_since;		/* start of the first heavy packet of the batch */
};

enum snpu_step {
	STEP_RETIRED,
	STEP_BLOCKED,
	STEP_LATER,		/* heavy, but this is no time for it */
	STEP_FAULT,
	STEP_ASIDE,		/* it needs memory that only messages reach: not on a worker */
};

/* As an SNPU_ERR_*, internally: STEP_ASIDE, with nothing done yet */
#define SNPU_EXEC_ASIDE		0x100u

static inline bool snpu_exec_signals(const union snpu_pkt *p)
{
	return (p->hdr.op == SNPU_OP_COPY || p->hdr.op == SNPU_OP_REDUCE_ADD) &&
	       (p->hdr.flags & SNPU_PF_SIGNAL);
}

/* exec_mem.c; errors are SNPU_ERR_*, with @fault_va set */
/** snpu_exec_resolve() - as snpu_mmu_resolve(), and notes which NPU it is, for links and log */
unsigned int snpu_exec_resolve(struct snpu_cur *x, uint64_t va, uint64_t len, bool write,
			       struct snpu_mmu_hit *hit);
/** snpu_exec_move() - a piece of what the packet moves between two NPUs */
unsigned int snpu_exec_move(struct snpu_cur *x, uint64_t va, bool write,
			    const struct snpu_mmu_hit *hit);
/** snpu_exec_end_flows() - all of it has moved; what counts is known */
unsigned int snpu_exec_end_flows(struct snpu_cur *x);
/**
 * snpu_exec_slow() - read or write any memory, also what only messages reach
 *
 * Those are sent by the thread of snpu_aside_put() only: pointers are stale on return there. On a
 * worker such memory is SNPU_ERR_BUS.
 */
int snpu_exec_slow(struct snpu_cur *x, uint64_t va, void *buf, uint64_t len, bool write);
/** snpu_exec_by_switch() - whether the switches do what the list at hand asks for */
bool snpu_exec_by_switch(const struct snpu_cur *x);
/**
 * snpu_exec_needs_messages() - has the packet an operand, list or semaphore in memory that only
 * messages reach? Asked before the packet begins, as it cannot move to another thread in the middle
 */
bool snpu_exec_needs_messages(struct snpu_cur *x);
/**
 * snpu_exec_touch() - memory of the host is about to be used
 * @x: packet
 * @host: where
 * @len: bytes
 * @va: its address in the queue's address space
 */
static inline void snpu_exec_touch(struct snpu_cur *x, const uint8_t *host, uint64_t len,
				   uint64_t va)
{
	if (!x->host_from || host < x->host_from)
		x->host_from = host;
	if (host + len > x->host_to)
		x->host_to = host + len;
	x->host_va = va;
}

/**
 * snpu_exec_lost() - has the host taken away memory that was used since the last checkpoint?
 * @x: packet, or what looks at one
 *
 * Return: SNPU_ERR_NONE; SNPU_ERR_BUS, with @x->fault_va set.
 */
unsigned int snpu_exec_lost(struct snpu_cur *x);
/* memory of the engine; its context is the struct snpu_cur */
extern const struct snpu_mem_ops snpu_exec_mem_ops;

/* exec_sem.c */
/** snpu_exec_signal() - @how: SNPU_SEM_SET or SNPU_SEM_ADD. Return: SNPU_ERR_* */
unsigned int snpu_exec_signal(struct snpu_cur *x, uint64_t addr, uint64_t value, uint32_t how);
/** snpu_exec_atomic() - ATOMIC. Return: SNPU_ERR_* */
unsigned int snpu_exec_atomic(struct snpu_cur *x);
/** snpu_exec_wait() - SEM_WAIT: whether it is over; with STEP_FAULT, @err says why */
enum snpu_step snpu_exec_wait(struct snpu_cur *x, unsigned int *err);
/** snpu_exec_waits() - whether the SEM_WAIT in hand would wait now; it need not have begun */
bool snpu_exec_waits(struct snpu_cur *x);

/* exec_log.c */
/** snpu_exec_log() - log what was executed; @sub: SNPU_PLOG_RING, or its place in a buffer */
void snpu_exec_log(struct snpu_cur *x, uint32_t sub);

#endif
