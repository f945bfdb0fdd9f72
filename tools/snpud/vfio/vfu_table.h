/* SPDX-License-Identifier: MIT */
/*
 * Table of DMA regions: they do not overlap, and are found by address.
 *
 * One thread writes; any thread may look up meanwhile and takes no lock. Lookups take O(log n),
 * changes O(log n) and a few kilobytes of moving, and memory is linear in the regions that there
 * are.
 */
#ifndef SNPU_VFU_TABLE_H
#define SNPU_VFU_TABLE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct vfu_mem;
struct vfu_chunk;

/**
 * struct vfu_map - a DMA region
 * @iova: first address
 * @size: bytes
 * @host: where it is mapped, NULL: it came without a descriptor
 * @mem: what @host points into
 * @prot: VFIO_DMA_MAP_FLAG_*
 */
struct vfu_map {
	uint64_t iova;
	uint64_t size;
	uint8_t *host;
	struct vfu_mem *mem;
	uint32_t prot;
};

struct vfu_dir {
	uint64_t first;		/* address of the first region in the chunk */
	uint32_t chunk;
};

/**
 * struct vfu_table - regions in chunks, and a directory of the chunks by address
 * @lock: held by the writer, and by a reader that would otherwise wait for it in vain
 * @seq: odd while the writer is at work
 * @nr: regions
 * @max: most regions there may be
 * @nr_dir: chunks in use
 * @max_dir: room for chunks
 * @dir: the directory
 * @chunks: the chunks; which of them are in use is up to the directory
 * @top: chunks from here on have never been used
 * @nr_spare: chunks below @top that are not in use
 * @spare: their numbers
 */
struct vfu_table {
	pthread_mutex_t lock;
	unsigned int seq;
	unsigned int nr;
	unsigned int max;
	unsigned int nr_dir;
	unsigned int max_dir;
	struct vfu_dir *dir;
	struct vfu_chunk *chunks;
	unsigned int top;
	unsigned int nr_spare;
	uint32_t *spare;
};

/** vfu_table_init() - an empty table of at most @max regions. 0 or -ENOMEM */
int vfu_table_init(struct vfu_table *t, unsigned int max);

void vfu_table_fini(struct vfu_table *t);

/** vfu_table_find() - the region that holds @iova, copied. Any thread */
bool vfu_table_find(struct vfu_table *t, uint64_t iova, struct vfu_map *out);

/** vfu_table_first() - the first region with a byte in [@iova, @last], copied. Writer only */
bool vfu_table_first(struct vfu_table *t, uint64_t iova, uint64_t last, struct vfu_map *out);

/** vfu_table_add() - add a region that overlaps none. 0, or -ENOSPC: there are @max. Writer only */
int vfu_table_add(struct vfu_table *t, const struct vfu_map *m);

/**
 * vfu_table_cut() - take [@iova, @last] out of the table
 * @t: table
 * @iova: first address
 * @last: last address
 * @gone: called for each region of which nothing is left, and with a region of which two parts are
 *	left, as @more
 * @ctx: for @gone
 * @cut: set to whether anything was in the range
 *
 * Regions that the range cuts keep the rest. Writer only.
 *
 * Return: 0; -ENOSPC: it cut a region in two, and there was no room for the upper part, which is
 * gone too.
 */
int vfu_table_cut(struct vfu_table *t, uint64_t iova, uint64_t last,
		  void (*gone)(void *ctx, const struct vfu_map *m, bool more), void *ctx,
		  bool *cut);

/** vfu_table_clear() - take all regions out, without a word of each. Writer only */
void vfu_table_clear(struct vfu_table *t);

#endif
