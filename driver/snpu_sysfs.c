// SPDX-License-Identifier: GPL-2.0-only
/*
 * snpu attributes of the PCI device: what tells one NPU from another.
 */
#include <linux/sysfs.h>

#include "snpu_drv.h"

static ssize_t serial_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct snpu_device *sdev = dev_get_drvdata(dev);

	return sysfs_emit(buf, "%016llx\n", sdev->facts.serial);
}
static DEVICE_ATTR_RO(serial);

static ssize_t node_id_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct snpu_device *sdev = dev_get_drvdata(dev);

	return sysfs_emit(buf, "%u\n", sdev->facts.node_id);
}
static DEVICE_ATTR_RO(node_id);

static ssize_t profile_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct snpu_device *sdev = dev_get_drvdata(dev);

	return sysfs_emit(buf, "%s\n", sdev->facts.profile);
}
static DEVICE_ATTR_RO(profile);

static ssize_t hbm_bytes_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct snpu_device *sdev = dev_get_drvdata(dev);

	return sysfs_emit(buf, "%llu\n", sdev->facts.hbm_size);
}
static DEVICE_ATTR_RO(hbm_bytes);

static ssize_t port_events_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct snpu_device *sdev = dev_get_drvdata(dev);

	return sysfs_emit(buf, "%lld\n", atomic64_read(&sdev->port_events));
}
static DEVICE_ATTR_RO(port_events);

static struct attribute *snpu_dev_attrs[] = {
	&dev_attr_serial.attr,
	&dev_attr_node_id.attr,
	&dev_attr_profile.attr,
	&dev_attr_hbm_bytes.attr,
	&dev_attr_port_events.attr,
	NULL
};

static const struct attribute_group snpu_dev_group = {
	.attrs = snpu_dev_attrs,
};

const struct attribute_group *snpu_dev_groups[] = {
	&snpu_dev_group,
	NULL
};
