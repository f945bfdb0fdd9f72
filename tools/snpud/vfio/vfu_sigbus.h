/* SPDX-License-Identifier: MIT */
/*
 * Memory of a client that goes away while it is used.
 *
 * A client can shrink the file behind memory that is mapped here. Every later access to what is
 * gone raises SIGBUS, in whichever thread makes it. The handler puts zero pages in the place of the
 * memory, from the page of the access to the end of the mapping, so that the access ends, and notes
 * in the client's struct vfu_lost what is no longer the client's. The device asks for that after it
 * has used memory: what it has read or written there counts for nothing.
 *
 * SIGBUS for memory that is not on the list goes to the handler that had the signal before.
 */
#ifndef SNPU_VFU_SIGBUS_H
#define SNPU_VFU_SIGBUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VFU_LOST_MAX	64u

/**
 * struct vfu_lost_part - memory that is gone
 * @from: first address, 0: not known yet
 * @end: where the mapping ends, 0: this entry is not in use any more
 */
struct vfu_lost_part {
	uintptr_t from;
	uintptr_t end;
};

/**
 * struct vfu_lost - what one client has lost since it connected
 * @n: entries of @part; more than VFU_LOST_MAX: everything counts as lost
 * @part: one for each mapping that had a fault
 * @all: stands for all memory
 * @told: what is in the log: 1: that some is lost, 2: that all is
 * @notify: called at every fault before the memory is replaced, in the thread that made the access
 *	and as part of a signal handler: atomic operations only
 * @priv: its argument
 */
struct vfu_lost {
	unsigned int n;
	struct vfu_lost_part part[VFU_LOST_MAX];
	struct vfu_lost_part all;
	unsigned int told;
	void (*notify)(void *priv);
	void *priv;
};

/**
 * snpu_vfu_sigbus_install() - take the signal; once for the process. Return: 0 or a negative errno.
 */
int snpu_vfu_sigbus_install(void);

/**
 * snpu_vfu_sigbus_add() - guard a mapping
 * @addr: of the mapping
 * @len: its bytes
 * @page: granule of the file: a part can be replaced at multiples of it only
 * @lost: of its client; must stay until snpu_vfu_sigbus_del()
 *
 * Return: a handle, or -ENOMEM.
 */
int snpu_vfu_sigbus_add(void *addr, size_t len, size_t page, struct vfu_lost *lost);

/** snpu_vfu_sigbus_hit() - whether a guarded mapping had a fault */
bool snpu_vfu_sigbus_hit(int handle);

/**
 * snpu_vfu_sigbus_del() - no longer guard a mapping
 * @handle: of snpu_vfu_sigbus_add()
 *
 * Before munmap(), and when no thread touches the memory any more.
 */
void snpu_vfu_sigbus_del(int handle);

/** vfu_lost_reset() - a new client; no thread touches memory of the last one */
void vfu_lost_reset(struct vfu_lost *l);

/**
 * vfu_lost_find() - is some of a range gone?
 * @l: of the client
 * @addr: first address
 * @len: bytes
 * @at: receives the first address that is gone
 *
 * Any thread, no lock. Memory that goes away at the same time may be missed, unless this thread has
 * seen what replaced it.
 *
 * Return: the part; @l->all when there are more than VFU_LOST_MAX; NULL: all of it is there.
 */
struct vfu_lost_part *vfu_lost_find(struct vfu_lost *l, const void *addr, uint64_t len,
				    uintptr_t *at);

#endif
