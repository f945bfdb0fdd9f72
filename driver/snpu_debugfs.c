// SPDX-License-Identifier: GPL-2.0-only
/*
 * snpu debugfs: state of device, clients and queues.
 */
#include <linux/debugfs.h>
#include <linux/fault-inject.h>
#include <linux/seq_file.h>

#include <drm/drm_debugfs.h>

#include "snpu_drv.h"

static const char * const snpu_power_names[] = {
	[SNPU_POWER_UP] = "up",
	[SNPU_POWER_DOWN] = "down",
	[SNPU_POWER_WEDGED] = "wedged",
};

static int snpu_show_state(struct seq_file *m, void *data)
{
	struct drm_debugfs_entry *entry = m->private;
	struct snpu_device *sdev = to_snpu_device(entry->dev);
	const struct snpu_facts *facts = &sdev->facts;
	u64 total, free;

	snpu_hbm_usage(sdev, &total, &free);
	seq_printf(m, "power: %s\ngeneration: %u\nprofile: %s\nnode: %u\nserial: %016llx\n",
		   snpu_power_names[READ_ONCE(sdev->power)], READ_ONCE(sdev->generation),
		   facts->profile, facts->node_id, facts->serial);
	seq_printf(m, "hbm_total: %llu\nhbm_free: %llu\nvectors: %d\nfabric: %s\np2p: %s\n", total,
		   free, sdev->nvec, sdev->fabric_up ? "up" : "none", sdev->p2p ? "yes" : "no");
	seq_printf(m, "queue_resets: %lld\nevents_bad: %lld\nevents_lost: %llu\necc_ce: %lld\necc_ue: %lld\n",
		   atomic64_read(&sdev->queue_resets), atomic64_read(&sdev->events_bad),
		   READ_ONCE(sdev->ring_lost), atomic64_read(&sdev->ecc_ce),
		   atomic64_read(&sdev->ecc_ue));
	return 0;
}

static int snpu_show_queues(struct seq_file *m, void *data)
{
	struct drm_debugfs_entry *entry = m->private;
	struct snpu_device *sdev = to_snpu_device(entry->dev);
	u32 i;

	seq_puts(m, "queue vector prio state completed submitted irq_at need_wake dead flags ring\n");
	for (i = 0; i < sdev->facts.num_queues; i++) {
		struct snpu_queue *queue = snpu_queue_by_number(sdev, i);
		struct snpu_cpl *cpl;

		if (!queue)
			continue;
		cpl = queue->cpl;
		seq_printf(m, "%u %u %u %u %llu %llu %llu %u %d %#x %#llx+%lu\n", i, queue->vector,
			   queue->prio, READ_ONCE(cpl->state), READ_ONCE(cpl->completed),
			   snpu_queue_submitted(queue), READ_ONCE(cpl->irq_at),
			   READ_ONCE(cpl->need_wake), READ_ONCE(queue->dead),
			   READ_ONCE(queue->flags), queue->ring_va, BIT(queue->ring_log2));
		snpu_queue_put(queue);
	}
	return 0;
}

static int snpu_show_clients(struct seq_file *m, void *data)
{
	struct drm_debugfs_entry *entry = m->private;
	struct drm_file *file;

	seq_puts(m, "client ctx generation queues exports imports\n");
	mutex_lock(&entry->dev->filelist_mutex);
	list_for_each_entry(file, &entry->dev->filelist, lhead) {
		struct snpu_client *client = file->driver_priv;

		seq_printf(m, "%llu %u %u %u %u %u\n", file->client_id, client->vm->ctx,
			   READ_ONCE(client->vm->generation), READ_ONCE(client->nqueues),
			   READ_ONCE(client->nexports), READ_ONCE(client->nimports));
	}
	mutex_unlock(&entry->dev->filelist_mutex);
	return 0;
}

static int snpu_show_buddy(struct seq_file *m, void *data)
{
	struct drm_debugfs_entry *entry = m->private;
	struct snpu_device *sdev = to_snpu_device(entry->dev);
	struct gpu_buddy *mm = &sdev->hbm.mm;

	mutex_lock(&sdev->hbm.lock);
	seq_printf(m, "granule: %llu\nsize: %llu\nfree: %llu\nfree_clean: %llu\n", mm->chunk_size,
		   mm->size, mm->avail, mm->clear_avail);
	mutex_unlock(&sdev->hbm.lock);
	return 0;
}

static const struct drm_debugfs_info snpu_debugfs_files[] = {
	{ "snpu_state", snpu_show_state, 0, NULL },
	{ "snpu_queues", snpu_show_queues, 0, NULL },
	{ "snpu_clients", snpu_show_clients, 0, NULL },
	{ "snpu_hbm", snpu_show_buddy, 0, NULL },
};

static int snpu_reset_set(void *data, u64 val)
{
	snpu_reset_schedule(data, "asked for in debugfs");
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(snpu_reset_fops, NULL, snpu_reset_set, "%llu\n");

/** snpu_debugfs_init() - make the files of a device; before it is registered */
void snpu_debugfs_init(struct snpu_device *sdev)
{
	drm_debugfs_add_files(&sdev->drm, snpu_debugfs_files, ARRAY_SIZE(snpu_debugfs_files));
	debugfs_create_file("snpu_reset", 0200, sdev->drm.debugfs_root, sdev, &snpu_reset_fops);
#if IS_ENABLED(CONFIG_FAULT_INJECTION_DEBUG_FS)
	fault_create_debugfs_attr("snpu_fail_admin", sdev->drm.debugfs_root, &snpu_fail_admin);
#endif
}
