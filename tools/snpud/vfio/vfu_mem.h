/* SPDX-License-Identifier: MIT */
/*
 * Files of a client's memory, mapped here.
 *
 * Regions are many, and the kernel gives a process few mappings (vm.max_map_count); so regions of
 * one file have a mapping in common, as large as the file where that can be. Connection thread
 * only.
 */
#ifndef SNPU_VFU_MEM_H
#define SNPU_VFU_MEM_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct snpu_vfu_dev;

#define VFU_MEM_BUCKETS	256u

/**
 * struct vfu_mem - a part of a file that is mapped
 * @next: in the bucket, or of those that have no region any more
 * @dev: file system
 * @ino: file
 * @off: in the file
 * @size: bytes
 * @host: where it is mapped
 * @write: mapped for writing too
 * @refs: regions that lie in it
 * @guard: of the SIGBUS guard
 * @pooled: counted in the server's pool
 */
struct vfu_mem {
	struct vfu_mem *next;
	dev_t dev;
	ino_t ino;
	uint64_t off;
	uint64_t size;
	uint8_t *host;
	bool write;
	unsigned int refs;
	int guard;
	bool pooled;
};

/**
 * struct vfu_mems - what is mapped of a client's memory
 * @bucket: by file
 * @idle: without regions: unmapped once no thread uses them any more
 * @n: mappings
 * @bytes: of all of them
 */
struct vfu_mems {
	struct vfu_mem *bucket[VFU_MEM_BUCKETS];
	struct vfu_mem *idle;
	unsigned int n;
	uint64_t bytes;
};

/**
 * vfu_mem_get() - map a part of a file, or find it mapped
 * @d: device
 * @fd: descriptor; the caller closes it
 * @off: in the file, page aligned
 * @size: bytes
 * @write: also for writing
 * @out: with a reference for a region
 *
 * Return: 0; -EOPNOTSUPP: no memory whose page faults always end; -EINVAL: not a file, or it is
 * shorter; -EACCES: the descriptor does not allow it; -ENOSPC: a limit; another errno of mmap().
 * What is wrong is logged.
 */
int vfu_mem_get(struct snpu_vfu_dev *d, int fd, uint64_t off, uint64_t size, bool write,
		struct vfu_mem **out);

/** vfu_mem_put() - a region is gone; vfu_mem_reap() unmaps what was the last one's */
void vfu_mem_put(struct snpu_vfu_dev *d, struct vfu_mem *m);

/** vfu_mem_put_all() - all regions are gone */
void vfu_mem_put_all(struct snpu_vfu_dev *d);

/** vfu_mem_reap() - unmap what has no region; no thread uses it */
void vfu_mem_reap(struct snpu_vfu_dev *d);

#endif
