/* SPDX-License-Identifier: MIT */
/*
 * vfio-user client: drives a device on a UNIX socket.
 *
 * Every call may be made from any thread, and is a message and its reply: calls on one client take
 * turns. All return 0 or a negative errno: the one that the server gave, or -ENOTCONN once the
 * connection is lost, -ETIMEDOUT if no reply came (the connection is lost with it), -EPROTO if the
 * server does not keep to the protocol (likewise), -EMFILE if a descriptor that it sent found no room
 * in this process (likewise), -ETOOMANYREFS if the kernel carries no more descriptors for this user.
 */
#ifndef SNPU_VFU_CLIENT_H
#define SNPU_VFU_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vfu_proto.h"

struct snpu_vfuc;

#define SNPU_VFUC_MAX_AREAS	16u

/**
 * struct snpu_vfuc_cfg - how to connect
 * @timeout_ms: longest wait for a reply, 0: 5000
 * @dma_read: reads memory that was mapped without a descriptor, for the device; called by a thread
 *	of the client. With it and @dma_write NULL there is no such thread, and no such mapping
 * @dma_write: likewise
 * @ctx: their first argument
 */
struct snpu_vfuc_cfg {
	unsigned int timeout_ms;
	int (*dma_read)(void *ctx, uint64_t iova, void *buf, size_t len);
	int (*dma_write)(void *ctx, uint64_t iova, const void *buf, size_t len);
	void *ctx;
};

/**
 * struct snpu_vfuc_region - a region of the device
 * @size: bytes, 0: there is none
 * @flags: VFIO_REGION_INFO_FLAG_READ, _WRITE, _MMAP
 * @fd: with _MMAP, else -1
 * @fd_offset: where byte 0 of the region is in @fd, modulo 2^64
 * @nr_areas: parts that can be mapped
 * @areas: where they are in the region
 */
struct snpu_vfuc_region {
	uint64_t size;
	uint32_t flags;
	int fd;
	uint64_t fd_offset;
	unsigned int nr_areas;
	struct snpu_vfu_area areas[SNPU_VFUC_MAX_AREAS];
};

/**
 * snpu_vfuc_connect() - connect and agree on the version
 * @path: socket
 * @cfg: copied, or NULL
 * @out: the client
 */
int snpu_vfuc_connect(const char *path, const struct snpu_vfuc_cfg *cfg, struct snpu_vfuc **out);

/** snpu_vfuc_close() - disconnect and free; no call may be under way. NULL does nothing */
void snpu_vfuc_close(struct snpu_vfuc *c);

/**
 * snpu_vfuc_forked() - leave the connection to the parent
 * @c: client that a child of fork() inherited, or NULL
 *
 * Closes the child's descriptor; the server notices nothing. After it only snpu_vfuc_close() may be
 * called. A system call and some stores, so it may run before fork() returns.
 */
void snpu_vfuc_forked(struct snpu_vfuc *c);

/** snpu_vfuc_alive() - 0, or the error for which the connection was given up */
int snpu_vfuc_alive(struct snpu_vfuc *c);

/** snpu_vfuc_info() - what the device has */
int snpu_vfuc_info(struct snpu_vfuc *c, struct snpu_vfu_info *info);

/** snpu_vfuc_region_get() - a region with its descriptor; snpu_vfuc_region_put() it */
int snpu_vfuc_region_get(struct snpu_vfuc *c, unsigned int index, struct snpu_vfuc_region *rg);

/** snpu_vfuc_region_put() - close its descriptor; what is mapped stays */
void snpu_vfuc_region_put(struct snpu_vfuc_region *rg);

/**
 * snpu_vfuc_region_mmap() - map a part of a region
 * @rg: region
 * @off: byte offset in it, page aligned
 * @len: bytes, multiple of the page
 * @out: receives the memory, to be released with munmap()
 *
 * Return: 0; -EINVAL: not within one area that can be mapped; an errno of mmap().
 */
int snpu_vfuc_region_mmap(const struct snpu_vfuc_region *rg, uint64_t off, size_t len, void **out);

/** snpu_vfuc_read() - read of a region, as a message; at most SNPU_VFU_MAX_XFER bytes */
int snpu_vfuc_read(struct snpu_vfuc *c, unsigned int region, uint64_t off, void *buf, size_t len);

/** snpu_vfuc_write() - write to a region, as a message; done when it returns */
int snpu_vfuc_write(struct snpu_vfuc *c, unsigned int region, uint64_t off, const void *buf,
		    size_t len);

/** snpu_vfuc_write_posted() - as snpu_vfuc_write(), but waits for no reply: errors are lost */
int snpu_vfuc_write_posted(struct snpu_vfuc *c, unsigned int region, uint64_t off,
			   const void *buf, size_t len);

/**
 * snpu_vfuc_dma_map() - give the device memory
 * @c: client
 * @iova: DMA address, multiple of 4096
 * @size: bytes, multiple of 4096
 * @flags: VFIO_DMA_MAP_FLAG_READ, _WRITE: what the device may do
 * @fd: the memory, -1: the callbacks reach it
 * @offset: in @fd
 */
int snpu_vfuc_dma_map(struct snpu_vfuc *c, uint64_t iova, uint64_t size, uint32_t flags, int fd,
		      uint64_t offset);

/**
 * snpu_vfuc_dma_unmap() - take back everything within a range
 * @c: client
 * @iova: DMA address, multiple of 4096
 * @size: bytes, multiple of 4096
 *
 * The range may cover many regions, a part of one, or none. On return the device uses no byte of it.
 * -ENOSPC: it cut a region in two, and the server had no room for both: it has dropped the upper one.
 */
int snpu_vfuc_dma_unmap(struct snpu_vfuc *c, uint64_t iova, uint64_t size);

/** snpu_vfuc_dma_unmap_all() - take everything back */
int snpu_vfuc_dma_unmap_all(struct snpu_vfuc *c);

/** snpu_vfuc_irq_count() - interrupts of an index (VFIO_PCI_MSIX_IRQ_INDEX) */
int snpu_vfuc_irq_count(struct snpu_vfuc *c, unsigned int index, unsigned int *count);

/**
 * snpu_vfuc_irq_set() - connect interrupts to eventfds
 * @c: client
 * @index: VFIO_PCI_MSIX_IRQ_INDEX
 * @start: first vector
 * @count: vectors
 * @fds: one each, which stay the caller's; NULL: disconnect. The server makes them non-blocking
 */
int snpu_vfuc_irq_set(struct snpu_vfuc *c, unsigned int index, unsigned int start,
		      unsigned int count, const int *fds);

/** snpu_vfuc_irq_disable() - disconnect all of an index, and forget what is pending */
int snpu_vfuc_irq_disable(struct snpu_vfuc *c, unsigned int index);

/** snpu_vfuc_irq_fire() - have the server raise them, to test the way */
int snpu_vfuc_irq_fire(struct snpu_vfuc *c, unsigned int index, unsigned int start,
		       unsigned int count);

/** snpu_vfuc_reset() - function reset */
int snpu_vfuc_reset(struct snpu_vfuc *c);

#endif
