// SPDX-License-Identifier: GPL-2.0-only
/*
 * snpu queries: facts, memory, counters, peers; and what fdinfo shows of a client. For ports see
 * snpu_port.c.
 */
#include <linux/uaccess.h>

#include "snpu_drv.h"

/**
 * snpu_query_give() - hand out an answer
 * @args: query
 * @answer: answer
 * @bytes: its size
 *
 * Return: 0 or -EFAULT.
 */
int snpu_query_give(struct drm_snpu_dev_query *args, const void *answer, size_t bytes)
{
	if (args->pointer && copy_to_user(u64_to_user_ptr(args->pointer), answer,
					  min_t(size_t, args->size, bytes)))
		return -EFAULT;
	args->size = bytes;
	return 0;
}

static int snpu_query_device(struct snpu_device *sdev, struct drm_snpu_dev_query *args)
{
	const struct snpu_facts *facts = &sdev->facts;
	struct drm_snpu_device_info info = {
		.hw_version = facts->version,
		.caps = facts->caps,
		.node_id = facts->node_id,
		.host_slot = facts->host_slot,
		.serial = facts->serial,
		.hbm_bytes = facts->hbm_size,
		.flops_bf16 = facts->flops_bf16,
		.ops_int8 = facts->ops_int8,
		.flops_fp32 = facts->flops_fp32,
		.hbm_bw = facts->hbm_bw,
		.fabric_bw = facts->fabric_bw,
		.planes = facts->planes,
		.dies = facts->dies,
		.machine_npus = facts->machine_npus,
		.machine_hosts = facts->machine_hosts,
		.va_start = SNPU_VA_START,
		.va_end = SNPU_VA_END,
		.num_queues = facts->num_queues,
		.max_queues_client = min_t(u32, facts->num_queues, SNPU_MAX_CLIENT_QUEUES),
		.ring_log2_min = SNPU_RING_LOG2_MIN,
		.ring_log2_max = SNPU_RING_LOG2_MAX,
		.numa_node = dev_to_node(&sdev->pdev->dev),
		.hang_ms = READ_ONCE(snpu_hang_ms),
	};

	static_assert(sizeof(info.profile) == sizeof(facts->profile));
	memcpy(info.profile, facts->profile, sizeof(info.profile));
	return snpu_query_give(args, &info, sizeof(info));
}

struct snpu_client_usage {
	struct drm_memory_stats hbm;
	struct drm_memory_stats host;
};

static void snpu_client_usage(struct drm_file *file, struct snpu_client_usage *usage)
{
	struct drm_gem_object *obj;
	int id;

	spin_lock(&file->table_lock);
	idr_for_each_entry(&file->object_idr, obj, id) {
		struct drm_memory_stats *stats;

		switch (obj ? to_snpu_bo(obj)->kind : SNPU_BO_KIND_PEER) {
		case SNPU_BO_KIND_HBM:
			stats = &usage->hbm;
			break;
		case SNPU_BO_KIND_HOST:
			stats = &usage->host;
			break;
		default:	/* others account for theirs */
			continue;
		}
		if (drm_gem_object_is_shared_for_memory_stats(obj))
			stats->shared += obj->size;
		else
			stats->private += obj->size;
		stats->resident += obj->size;
	}
	spin_unlock(&file->table_lock);
}

static int snpu_query_memory(struct snpu_device *sdev, struct drm_snpu_dev_query *args,
			     struct drm_file *file)
{
	struct drm_snpu_memory_info info = {};
	struct snpu_client_usage usage = {};

	snpu_hbm_usage(sdev, &info.hbm_total, &info.hbm_free);
	snpu_client_usage(file, &usage);
	info.client_hbm = usage.hbm.resident;
	info.client_host = usage.host.resident;
	return snpu_query_give(args, &info, sizeof(info));
}

static int snpu_query_counters(struct snpu_device *sdev, struct drm_snpu_dev_query *args)
{
	struct snpu_admin_mbox cmd = { .op = SNPU_ADM_COUNTERS };
	struct drm_snpu_counters counters = {};
	u64 data[7];
	int ret;

	if (args->pointer) {
		ret = snpu_admin_exec(sdev, &cmd, data);
		if (ret)
			return ret;
		counters.packets = data[0];
		counters.bytes_read = data[1];
		counters.bytes_written = data[2];
		counters.flops = data[3];
		counters.faults = data[4];
		counters.busy_ns = data[5];
		counters.ecc_ce = snpu_read64(sdev, SNPU_REG_RAS_CE);
		counters.ecc_ue = snpu_read64(sdev, SNPU_REG_RAS_UE);
		counters.resets = snpu_read32(sdev, SNPU_REG_RESETS);
		counters.queue_resets = atomic64_read(&sdev->queue_resets);
		counters.time_ns = snpu_read64(sdev, SNPU_REG_TIME_NS);
	}
	return snpu_query_give(args, &counters, sizeof(counters));
}

static int snpu_query_peers(struct snpu_device *sdev, struct drm_snpu_dev_query *args)
{
	struct drm_snpu_peer *peers;
	u32 count;
	int ret;

	ret = snpu_fabric_peers(sdev, &peers, &count);
	if (ret)
		return ret;
	ret = snpu_query_give(args, peers, count * sizeof(*peers));
	kvfree(peers);
	return ret;
}

/**
 * snpu_ioctl_dev_query() - DRM_IOCTL_SNPU_DEV_QUERY: answer a query
 * @drm: device
 * @data: struct drm_snpu_dev_query
 * @file: client
 *
 * Context: process; the device is bound until it returns.
 *
 * Return: 0; -EINVAL, -EFAULT, -ENOMEM, -EOPNOTSUPP (ports), -EIO, -ENODEV.
 */
int snpu_ioctl_dev_query(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct snpu_device *sdev = to_snpu_device(drm);
	struct drm_snpu_dev_query *args = data;

	switch (args->type) {
	case DRM_SNPU_QUERY_DEVICE:
		return snpu_query_device(sdev, args);
	case DRM_SNPU_QUERY_MEMORY:
		return snpu_query_memory(sdev, args, file);
	case DRM_SNPU_QUERY_COUNTERS:
		return snpu_query_counters(sdev, args);
	case DRM_SNPU_QUERY_PEERS:
		return snpu_query_peers(sdev, args);
	case DRM_SNPU_QUERY_PORTS:
		return snpu_query_ports(sdev, args);
	default:
		drm_dbg(drm, "type %u: allowed are 0 to %u\n", args->type, DRM_SNPU_QUERY_PORTS);
		return -EINVAL;
	}
}

/**
 * snpu_show_fdinfo() - drm_driver.show_fdinfo: see Documentation/gpu/drm-usage-stats.rst
 * @p: printer
 * @file: client
 */
void snpu_show_fdinfo(struct drm_printer *p, struct drm_file *file)
{
	struct snpu_client *client = file->driver_priv;
	struct snpu_client_usage usage = {};

	snpu_client_usage(file, &usage);
	drm_print_memory_stats(p, &usage.hbm, DRM_GEM_OBJECT_RESIDENT, "hbm");
	drm_print_memory_stats(p, &usage.host, DRM_GEM_OBJECT_RESIDENT, "system");
	drm_printf(p, "snpu-queues:\t%u\n", READ_ONCE(client->nqueues));
}
