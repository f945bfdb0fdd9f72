// SPDX-License-Identifier: GPL-2.0-only
/*
 * snpu: accel driver of the snpu neural processing unit: module, files, table of ioctls.
 */
#include <linux/compat.h>
#include <linux/module.h>
#include <linux/nospec.h>
#include <linux/uaccess.h>

#include <drm/drm_accel.h>
#include <drm/drm_ioctl.h>

#include "snpu_drv.h"

unsigned int snpu_hang_ms = 10000;

static int snpu_hang_ms_set(const char *val, const struct kernel_param *kp)
{
	return param_set_uint_minmax(val, kp, 100, 3600000);
}

static const struct kernel_param_ops snpu_hang_ms_ops = {
	.set = snpu_hang_ms_set,
	.get = param_get_uint,
};
module_param_cb(hang_ms, &snpu_hang_ms_ops, &snpu_hang_ms, 0644);
MODULE_PARM_DESC(hang_ms,
		 "time without progress after which a queue with pending fences is reset, ms (100..3600000, default 10000)");

/*
 * Each ioctl of ours runs with the device bound: who removes it waits for those under way. None
 * of them waits for userspace or for a fence, but for QUEUE_VTIME, which the end of the device's
 * generation wakes.
 */
#define SNPU_IOCTL_ENTER(name, wedged)					\
static int snpu_enter_##name(struct drm_device *drm, void *data, struct drm_file *file)	\
{									\
	int idx, ret;							\
									\
	if (!drm_dev_enter(drm, &idx))					\
		return -ENODEV;						\
	ret = !(wedged) && READ_ONCE(to_snpu_device(drm)->power) == SNPU_POWER_WEDGED ? -EIO : \
	      snpu_ioctl_##name(drm, data, file);			\
	drm_dev_exit(idx);						\
	return ret;							\
}

#define SNPU_IOCTL(name)	SNPU_IOCTL_ENTER(name, false)
/* On a wedged device, too: a client must be able to learn what became of it, and to give back */
#define SNPU_IOCTL_WEDGED(name)	SNPU_IOCTL_ENTER(name, true)

SNPU_IOCTL(dev_query)
SNPU_IOCTL(bo_create)
SNPU_IOCTL(bo_info)
SNPU_IOCTL_WEDGED(vm_bind)
SNPU_IOCTL(queue_create)
SNPU_IOCTL_WEDGED(queue_destroy)
SNPU_IOCTL_WEDGED(queue_query)
SNPU_IOCTL(queue_ctrl)
SNPU_IOCTL(queue_signal)
SNPU_IOCTL(queue_wait)
SNPU_IOCTL(seg_export)
SNPU_IOCTL_WEDGED(seg_revoke)
SNPU_IOCTL(seg_lookup)
SNPU_IOCTL(seg_import)
SNPU_IOCTL(queue_vtime)

static const struct drm_ioctl_desc snpu_ioctls[] = {
	DRM_IOCTL_DEF_DRV(SNPU_DEV_QUERY, snpu_enter_dev_query, 0),
	DRM_IOCTL_DEF_DRV(SNPU_BO_CREATE, snpu_enter_bo_create, 0),
	DRM_IOCTL_DEF_DRV(SNPU_BO_INFO, snpu_enter_bo_info, 0),
	DRM_IOCTL_DEF_DRV(SNPU_VM_BIND, snpu_enter_vm_bind, 0),
	DRM_IOCTL_DEF_DRV(SNPU_QUEUE_CREATE, snpu_enter_queue_create, 0),
	DRM_IOCTL_DEF_DRV(SNPU_QUEUE_DESTROY, snpu_enter_queue_destroy, 0),
	DRM_IOCTL_DEF_DRV(SNPU_QUEUE_QUERY, snpu_enter_queue_query, 0),
	DRM_IOCTL_DEF_DRV(SNPU_QUEUE_CTRL, snpu_enter_queue_ctrl, 0),
	DRM_IOCTL_DEF_DRV(SNPU_QUEUE_SIGNAL, snpu_enter_queue_signal, 0),
	DRM_IOCTL_DEF_DRV(SNPU_QUEUE_WAIT, snpu_enter_queue_wait, 0),
	DRM_IOCTL_DEF_DRV(SNPU_SEG_EXPORT, snpu_enter_seg_export, 0),
	DRM_IOCTL_DEF_DRV(SNPU_SEG_REVOKE, snpu_enter_seg_revoke, 0),
	DRM_IOCTL_DEF_DRV(SNPU_SEG_LOOKUP, snpu_enter_seg_lookup, 0),
	DRM_IOCTL_DEF_DRV(SNPU_SEG_IMPORT, snpu_enter_seg_import, 0),
	DRM_IOCTL_DEF_DRV(SNPU_QUEUE_VTIME, snpu_enter_queue_vtime, 0),
};

/*
 * A struct may be longer than this driver knows: what it has more must be zero, or it asks for
 * something that would not happen. The DRM core cuts it off without a look.
 */
static int snpu_ioctl_check_size(unsigned int cmd, unsigned long arg)
{
	unsigned int nr = _IOC_NR(cmd) - DRM_COMMAND_BASE;
	size_t known, size = _IOC_SIZE(cmd);
	int ret;

	if (_IOC_NR(cmd) < DRM_COMMAND_BASE || nr >= ARRAY_SIZE(snpu_ioctls))
		return 0;
	known = _IOC_SIZE(snpu_ioctls[array_index_nospec(nr, ARRAY_SIZE(snpu_ioctls))].cmd);
	if (!(cmd & IOC_IN) || size <= known)
		return 0;
	ret = check_zeroed_user((void __user *)(arg + known), size - known);
	if (ret < 0)
		return ret;
	return ret ? 0 : -E2BIG;
}

static long snpu_ioctl(struct file *filp, unsigned int cmd, unsigned long arg)
{
	int ret = snpu_ioctl_check_size(cmd, arg);

	return ret ?: drm_ioctl(filp, cmd, arg);
}

#ifdef CONFIG_COMPAT
static long snpu_compat_ioctl(struct file *filp, unsigned int cmd, unsigned long arg)
{
	int ret = snpu_ioctl_check_size(cmd, (unsigned long)compat_ptr(arg));

	return ret ?: drm_compat_ioctl(filp, cmd, arg);
}
#else
#define snpu_compat_ioctl NULL
#endif

static void snpu_client_release(struct kref *ref)
{
	struct snpu_client *client = container_of(ref, struct snpu_client, ref);

	xa_destroy(&client->imports);
	kfree(client);
}

/** snpu_client_get() - take a reference of a client's accounts */
void snpu_client_get(struct snpu_client *client)
{
	kref_get(&client->ref);
}

/** snpu_client_put() - drop a reference of a client's accounts */
void snpu_client_put(struct snpu_client *client)
{
	kref_put(&client->ref, snpu_client_release);
}

static int snpu_open(struct drm_device *drm, struct drm_file *file)
{
	struct snpu_device *sdev = to_snpu_device(drm);
	struct snpu_client *client;
	int idx, ret = 0;

	if (!drm_dev_enter(drm, &idx))
		return -ENODEV;
	client = kzalloc_obj(*client, GFP_KERNEL_ACCOUNT);
	if (!client) {
		ret = -ENOMEM;
		goto out;
	}
	kref_init(&client->ref);
	client->sdev = sdev;
	client->file = file;
	mutex_init(&client->lock);
	xa_init_flags(&client->queues, XA_FLAGS_ALLOC1);
	xa_init(&client->exports);
	xa_init(&client->imports);
	client->vm = snpu_vm_create(sdev);
	if (IS_ERR(client->vm)) {
		ret = PTR_ERR(client->vm);
		mutex_destroy(&client->lock);
		kfree(client);
		goto out;
	}
	file->driver_priv = client;
out:
	drm_dev_exit(idx);
	return ret;
}

static void snpu_postclose(struct drm_device *drm, struct drm_file *file)
{
	struct snpu_client *client = file->driver_priv;

	/* first what runs, then what it runs on */
	snpu_queues_kill(client);
	snpu_exports_close(client);
	snpu_vm_destroy(client->vm);
	xa_destroy(&client->queues);
	xa_destroy(&client->exports);
	mutex_destroy(&client->lock);
	snpu_client_put(client);
}

static const struct file_operations snpu_fops = {
	.owner = THIS_MODULE,
	.open = accel_open,
	.release = drm_release,
	.unlocked_ioctl = snpu_ioctl,
	.compat_ioctl = snpu_compat_ioctl,
	.poll = drm_poll,
	.read = drm_read,
	.llseek = noop_llseek,
	.mmap = drm_gem_mmap,
	.fop_flags = FOP_UNSIGNED_OFFSET,
	.show_fdinfo = drm_show_fdinfo,
};

const struct drm_driver snpu_drm_driver = {
	.driver_features = DRIVER_GEM | DRIVER_COMPUTE_ACCEL | DRIVER_SYNCOBJ |
			   DRIVER_SYNCOBJ_TIMELINE,
	.open = snpu_open,
	.postclose = snpu_postclose,
	.gem_prime_import = snpu_prime_import,
	.show_fdinfo = snpu_show_fdinfo,
	.ioctls = snpu_ioctls,
	.num_ioctls = ARRAY_SIZE(snpu_ioctls),
	.fops = &snpu_fops,
	.name = "snpu",
	.desc = "snpu supernode NPU",
	.major = DRM_SNPU_DRIVER_MAJOR,
	.minor = DRM_SNPU_DRIVER_MINOR,
};

unsigned int snpu_max_vectors;

static int snpu_max_vectors_set(const char *val, const struct kernel_param *kp)
{
	return param_set_uint_minmax(val, kp, 0, SNPU_MSIX_VECTORS);
}

static const struct kernel_param_ops snpu_max_vectors_ops = {
	.set = snpu_max_vectors_set,
	.get = param_get_uint,
};
module_param_cb(max_vectors, &snpu_max_vectors_ops, &snpu_max_vectors, 0644);
MODULE_PARM_DESC(max_vectors,
		 "interrupt vectors that an NPU bound from now on takes at most (1..17; default 0: one more than there are CPUs)");

static int __init snpu_init(void)
{
	return pci_register_driver(&snpu_pci_driver);
}
module_init(snpu_init);

static void __exit snpu_exit(void)
{
	pci_unregister_driver(&snpu_pci_driver);
}
module_exit(snpu_exit);

MODULE_DESCRIPTION("snpu supernode NPU");
MODULE_LICENSE("GPL");
