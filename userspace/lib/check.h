/* SPDX-License-Identifier: MIT */
/*
 * SNPU_CHECK: finds use after free, double free, two threads that fill one queue, lost signals.
 *
 * Destroyed objects and the addresses of freed memory are kept for a while before they are used
 * again. A call on such an object fails; a packet faults at such an address, and a store by the CPU
 * gets SIGSEGV; each is reported with what was there and where it was allocated and freed.
 */
#ifndef SNPU_CHECK_H
#define SNPU_CHECK_H

#include "object.h"

struct snpu_queue;

/* How long a wait may last before SNPU_CHECK says what it waits for */
#define SNPU_CHECK_PATIENCE_NS	2000000000ull

/* Makes the mode ready when the first set with SNPU_CHECK is opened */
void snpu_check_init(void);

/* In a child, before fork() returns: the lock is free, and freed memory of the parent is forgotten */
void snpu_check_forked(void);

/* ---- for object.c ---- */

/* A new object: remembers the caller of the library */
void snpu_check_made(struct snpu_obj *o);
/* An object about to be destroyed: remembers its name and the caller */
void snpu_check_gone(struct snpu_obj *o);
/* The object was destroyed; its memory is kept for a while */
void snpu_check_keep(struct snpu_obj *o);
/* The message for an object that is not in the register; -EINVAL */
int snpu_check_again(const void *o, enum snpu_kind kind, const char *name, const char *call);

/* ---- freed memory ---- */

/*
 * Keeps the addresses of @mem, whose memory is being freed: the CPU's are unmapped now, those of
 * the NPU (@span from mem->va) are given back to the context later. Before the transport frees it.
 */
void snpu_check_freeing(struct snpu_mem *mem, uint64_t span);
/* Gives back what is kept of @ctx, for lack of addresses. False: nothing was */
bool snpu_check_release(struct snpu_ctx *ctx);
/* The same for a context that ends; its address space goes with it */
void snpu_check_forget(struct snpu_ctx *ctx);
/* ": 64 bytes into freed memory ...", or empty; what snprintf() returns */
int snpu_check_where(const struct snpu_ctx *ctx, uint64_t va, char *buf, size_t len);

/* ---- queues ---- */

/* A finding about a queue as a line of the log: the first one of each queue */
void snpu_check_tell(struct snpu_queue *q, const char *text);

/* Around a call that fills a queue: 0, or -EBUSY with a message */
int snpu_check_enter(struct snpu_queue *q, const char *call);
void snpu_check_leave(struct snpu_queue *q);

#endif
