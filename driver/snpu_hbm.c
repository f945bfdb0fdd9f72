// SPDX-License-Identifier: GPL-2.0-only
/*
 * snpu HBM: a buddy allocator over all of it. Memory is zeroed when it is freed rather than when it
 * is handed out: that costs nobody who waits, and lets the machine that backs HBM have it back.
 */
#include <drm/drm_managed.h>

#include "snpu_drv.h"

static void snpu_hbm_fini(struct drm_device *drm, void *arg)
{
	struct snpu_device *sdev = arg;

	mutex_lock(&sdev->hbm.lock);
	gpu_buddy_fini(&sdev->hbm.mm);
	mutex_unlock(&sdev->hbm.lock);
}

/**
 * snpu_hbm_init() - make the allocator, with all of HBM free and zero
 * @sdev: device, SNPU_POWER_UP
 *
 * Return: 0, -ENOMEM, or the error of the scrub.
 */
int snpu_hbm_init(struct snpu_device *sdev)
{
	int ret;

	ret = snpu_admin_scrub(sdev, 0, sdev->facts.hbm_size);
	if (ret)
		return ret;
	ret = gpu_buddy_init(&sdev->hbm.mm, sdev->facts.hbm_size, SNPU_PAGE_SIZE);
	if (ret)
		return ret;
	gpu_buddy_driver_set_lock(&sdev->hbm.mm, &sdev->hbm.lock);
	mutex_lock(&sdev->hbm.lock);
	gpu_buddy_reset_clear(&sdev->hbm.mm, true);
	mutex_unlock(&sdev->hbm.lock);
	return drmm_add_action_or_reset(&sdev->drm, snpu_hbm_fini, sdev);
}

static int snpu_hbm_scrub_dirty(struct snpu_device *sdev, struct list_head *blocks)
{
	struct gpu_buddy_block *block;
	int ret;

	list_for_each_entry(block, blocks, link) {
		if (gpu_buddy_block_is_clear(block))
			continue;
		ret = snpu_admin_scrub(sdev, gpu_buddy_block_offset(block),
				       gpu_buddy_block_size(&sdev->hbm.mm, block));
		if (ret)
			return ret;
	}
	return 0;
}

/**
 * snpu_hbm_alloc() - allocate zeroed HBM
 * @sdev: device
 * @bytes: multiple of 4 KiB
 * @align: alignment and least size of a piece, a power of two; a smaller one is used when HBM is
 *         too fragmented, unless @contig
 * @contig: one piece
 * @blocks: empty list that takes the blocks
 *
 * Return: 0; -ENOSPC; -ENOMEM; -EIO or -ENODEV if the device cannot scrub.
 */
int snpu_hbm_alloc(struct snpu_device *sdev, u64 bytes, u64 align, bool contig,
		   struct list_head *blocks)
{
	unsigned long flags = GPU_BUDDY_CLEAR_ALLOCATION;
	struct gpu_buddy *mm = &sdev->hbm.mm;
	int ret;

	if (contig)
		flags |= GPU_BUDDY_CONTIGUOUS_ALLOCATION;
	mutex_lock(&sdev->hbm.lock);
	/* page tables and small pieces at one end, big ones at the other */
	if (align < SNPU_HUGE_SIZE)
		flags |= GPU_BUDDY_TOPDOWN_ALLOCATION;
	ret = bytes <= mm->avail ? 0 : -ENOSPC;
	if (!ret)
		ret = gpu_buddy_alloc_blocks(mm, 0, mm->size, bytes, align, blocks, flags);
	if (ret && ret != -ENOMEM && !contig && bytes <= mm->avail && align > SNPU_PAGE_SIZE)
		ret = gpu_buddy_alloc_blocks(mm, 0, mm->size, bytes, SNPU_PAGE_SIZE, blocks,
					     flags);
	mutex_unlock(&sdev->hbm.lock);
	if (ret == -EINVAL)	/* what the buddy allocator says to more than it has */
		ret = -ENOSPC;
	if (ret)
		return ret;
	ret = snpu_hbm_scrub_dirty(sdev, blocks);
	if (ret) {
		mutex_lock(&sdev->hbm.lock);
		gpu_buddy_free_list(mm, blocks, 0);
		mutex_unlock(&sdev->hbm.lock);
	}
	return ret;
}

/**
 * snpu_hbm_free() - zero and free HBM
 * @sdev: device
 * @blocks: from snpu_hbm_alloc(); empty on return
 *
 * What a dead device cannot zero now is zeroed before it is handed out again.
 */
void snpu_hbm_free(struct snpu_device *sdev, struct list_head *blocks)
{
	struct gpu_buddy *mm = &sdev->hbm.mm;
	struct gpu_buddy_block *block;
	u64 start = 0, end = 0;
	bool clean = true;

	if (list_empty(blocks))
		return;
	/* neighbours go in one command: each is an exit from the guest */
	list_for_each_entry(block, blocks, link) {
		u64 offset = gpu_buddy_block_offset(block);

		if (offset != end) {
			if (end && snpu_admin_scrub(sdev, start, end - start))
				clean = false;
			start = offset;
		}
		end = offset + gpu_buddy_block_size(mm, block);
	}
	if (snpu_admin_scrub(sdev, start, end - start))
		clean = false;

	mutex_lock(&sdev->hbm.lock);
	gpu_buddy_free_list(mm, blocks, clean ? GPU_BUDDY_CLEARED : 0);
	mutex_unlock(&sdev->hbm.lock);
}

/**
 * snpu_hbm_segs() - describe blocks as segments, neighbours joined
 * @sdev: device
 * @blocks: blocks in the order of the BO
 * @segs: array, to be freed with kvfree()
 * @nsegs: its length
 *
 * Return: 0 or -ENOMEM.
 */
int snpu_hbm_segs(struct snpu_device *sdev, struct list_head *blocks, struct snpu_seg **segs,
		  u32 *nsegs)
{
	struct gpu_buddy_block *block;
	struct snpu_seg *seg;
	u64 off = 0;
	u32 n = 0;

	seg = kvmalloc_objs(*seg, list_count_nodes(blocks));
	if (!seg)
		return -ENOMEM;
	list_for_each_entry(block, blocks, link) {
		u64 addr = gpu_buddy_block_offset(block);
		u64 bytes = gpu_buddy_block_size(&sdev->hbm.mm, block);

		if (n && seg[n - 1].addr + seg[n - 1].bytes == addr)
			seg[n - 1].bytes += bytes;
		else
			seg[n++] = (struct snpu_seg){ .off = off, .addr = addr, .bytes = bytes };
		off += bytes;
	}
	*segs = seg;
	*nsegs = n;
	return 0;
}

/** snpu_hbm_usage() - bytes managed and bytes free */
void snpu_hbm_usage(struct snpu_device *sdev, u64 *total, u64 *free)
{
	mutex_lock(&sdev->hbm.lock);
	*total = sdev->hbm.mm.size;
	*free = sdev->hbm.mm.avail;
	mutex_unlock(&sdev->hbm.lock);
}
