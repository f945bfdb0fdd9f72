// SPDX-License-Identifier: GPL-2.0-only
/*
 * snpu page-table memory: 2 MiB pieces of HBM, mapped write-combined through BAR 2 and cut into
 * tables. Each table has a shadow in host memory that the driver reads instead: reads from the
 * window are slow, the device can write to HBM, and a reset may have lost what was there.
 */
#include <linux/bitmap.h>

#include "snpu_drv.h"

#define SNPU_CHUNK_TABLES	(SNPU_HUGE_SIZE / SNPU_PT_BYTES)

/**
 * struct snpu_table_chunk - piece of HBM that holds tables
 * @link: in sdev->table_chunks
 * @blocks: its HBM
 * @base: HBM offset
 * @io: its mapping
 * @used: tables in use
 * @nused: how many
 */
struct snpu_table_chunk {
	struct list_head link;
	struct list_head blocks;
	u64 base;
	void __iomem *io;
	DECLARE_BITMAP(used, SNPU_CHUNK_TABLES);
	unsigned int nused;
};

static void snpu_chunk_free(struct snpu_device *sdev, struct snpu_table_chunk *chunk)
{
	if (chunk->io)
		iounmap(chunk->io);
	snpu_hbm_free(sdev, &chunk->blocks);
	kfree(chunk);
}

static struct snpu_table_chunk *snpu_chunk_alloc(struct snpu_device *sdev)
{
	struct snpu_table_chunk *chunk;
	int ret;

	chunk = kzalloc_obj(*chunk);
	if (!chunk)
		return ERR_PTR(-ENOMEM);
	INIT_LIST_HEAD(&chunk->blocks);
	ret = snpu_hbm_alloc(sdev, SNPU_HUGE_SIZE, SNPU_HUGE_SIZE, true, &chunk->blocks);
	if (ret)
		goto err;
	chunk->base = gpu_buddy_block_offset(list_first_entry(&chunk->blocks,
							      struct gpu_buddy_block, link));
	chunk->io = ioremap_wc(sdev->hbm_phys + chunk->base, SNPU_HUGE_SIZE);
	ret = -ENOMEM;
	if (!chunk->io)
		goto err;
	list_add(&chunk->link, &sdev->table_chunks);
	return chunk;
err:
	snpu_chunk_free(sdev, chunk);
	return ERR_PTR(ret);
}

/**
 * snpu_table_clear() - make a table empty
 * @table: table that the device does not look at
 */
void snpu_table_clear(struct snpu_table *table)
{
	memset(table->shadow, 0, SNPU_PT_BYTES);
	memset_io(table->io, 0, SNPU_PT_BYTES);
}

/**
 * snpu_table_alloc() - allocate an empty page table
 * @sdev: device
 *
 * Context: may sleep and allocate.
 *
 * Return: the table; ERR_PTR of -ENOMEM, -ENOSPC (HBM), -EIO or -ENODEV.
 */
struct snpu_table *snpu_table_alloc(struct snpu_device *sdev)
{
	struct snpu_table_chunk *chunk;
	struct snpu_table *table;
	unsigned int i;
	int idx;

	table = kzalloc_obj(*table);
	if (!table)
		return ERR_PTR(-ENOMEM);
	table->shadow = (u64 *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (!table->shadow) {
		kfree(table);
		return ERR_PTR(-ENOMEM);
	}
	if (!drm_dev_enter(&sdev->drm, &idx)) {
		chunk = ERR_PTR(-ENODEV);
		goto err;
	}
	mutex_lock(&sdev->table_lock);
	list_for_each_entry(chunk, &sdev->table_chunks, link)
		if (chunk->nused < SNPU_CHUNK_TABLES)
			goto found;
	chunk = snpu_chunk_alloc(sdev);
	if (IS_ERR(chunk)) {
		mutex_unlock(&sdev->table_lock);
		drm_dev_exit(idx);
		goto err;
	}
found:
	i = find_first_zero_bit(chunk->used, SNPU_CHUNK_TABLES);
	__set_bit(i, chunk->used);
	chunk->nused++;
	table->chunk = chunk;
	table->base = chunk->base + i * SNPU_PT_BYTES;
	table->io = chunk->io + i * SNPU_PT_BYTES;
	mutex_unlock(&sdev->table_lock);
	memset_io(table->io, 0, SNPU_PT_BYTES);
	drm_dev_exit(idx);
	return table;
err:
	free_page((unsigned long)table->shadow);
	kfree(table);
	return ERR_CAST(chunk);
}

/**
 * snpu_table_free() - free a page table
 * @sdev: device
 * @table: table that the device does not look at
 *
 * Context: may sleep.
 */
void snpu_table_free(struct snpu_device *sdev, struct snpu_table *table)
{
	struct snpu_table_chunk *chunk = table->chunk;

	mutex_lock(&sdev->table_lock);
	__clear_bit((table->base - chunk->base) / SNPU_PT_BYTES, chunk->used);
	/* one empty chunk stays for the next client */
	if (!--chunk->nused && !list_is_singular(&sdev->table_chunks)) {
		list_del(&chunk->link);
		snpu_chunk_free(sdev, chunk);
	}
	mutex_unlock(&sdev->table_lock);
	free_page((unsigned long)table->shadow);
	kfree(table);
}

/** snpu_tables_fini() - free what is left of the arena; all tables are free */
void snpu_tables_fini(struct snpu_device *sdev)
{
	struct snpu_table_chunk *chunk, *next;

	mutex_lock(&sdev->table_lock);
	list_for_each_entry_safe(chunk, next, &sdev->table_chunks, link) {
		drm_WARN_ON(&sdev->drm, chunk->nused);
		list_del(&chunk->link);
		snpu_chunk_free(sdev, chunk);
	}
	mutex_unlock(&sdev->table_lock);
}
