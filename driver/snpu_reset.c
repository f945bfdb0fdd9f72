// SPDX-License-Identifier: GPL-2.0-only
/*
 * snpu function reset: after a fatal error, or when the device does not do as it is told.
 *
 * Queues are lost, and say so; files, BOs and mappings stay, with HBM content undefined. A reset
 * that fails leaves the device wedged, with bus mastering off, until it is bound again.
 */
#include <linux/interrupt.h>

#include "snpu_drv.h"
#include "snpu_trace.h"

/**
 * snpu_reset_stop() - stop the device and end everything that waits for it
 * @sdev: device
 *
 * On return the device touches no memory and all fences have signalled. Context: may sleep;
 * allocates nothing, fences wait for it.
 */
void snpu_reset_stop(struct snpu_device *sdev)
{
	bool cookie = dma_fence_begin_signalling();

	snpu_hw_halt(sdev, SNPU_POWER_DOWN);
	/* the ring begins anew */
	if (sdev->nvec)
		synchronize_irq(sdev->event_irq);
	snpu_queues_lost(sdev);
	dma_fence_end_signalling(cookie);
}

/*
 * Documentation/gpu/drm-uapi.rst, "Device Wedging". drm_dev_wedged_event() takes it for granted
 * that a device has a primary minor, which accel devices have not.
 */
static void snpu_reset_uevent(struct snpu_device *sdev, char *what)
{
	char *env[2] = { what };

	if (sdev->drm.registered)
		kobject_uevent_env(&sdev->drm.accel->kdev->kobj, KOBJ_CHANGE, env);
}

/**
 * snpu_reset_start() - take a device into service that was stopped
 * @sdev: device after snpu_reset_stop()
 *
 * Context: may sleep and allocate.
 *
 * Return: 0, or -EIO; then the device is wedged.
 */
int snpu_reset_start(struct snpu_device *sdev)
{
	int ret;

	/* interrupt vectors were masked and bus mastering was off */
	if (sdev->saved_state && !pci_load_saved_state(sdev->pdev, sdev->saved_state))
		pci_restore_state(sdev->pdev);
	ret = snpu_hw_start(sdev);
	if (!ret) {
		snpu_hw_set_up(sdev);
		snpu_vms_restore(sdev);
		ret = snpu_fabric_restore(sdev);
		if (ret)
			drm_err(&sdev->drm, "fabric is down: %pe\n", ERR_PTR(ret));
		return 0;
	}
	snpu_hw_halt(sdev, SNPU_POWER_WEDGED);
	drm_err(&sdev->drm, "device is wedged; unbind and bind it to try again\n");
	snpu_reset_uevent(sdev, "WEDGED=rebind,bus-reset");
	return -EIO;
}

static void snpu_reset_work(struct work_struct *work)
{
	struct snpu_device *sdev = container_of(work, struct snpu_device, reset_work);
	const char *reason = READ_ONCE(sdev->reset_reason);
	int idx, ret;

	if (!drm_dev_enter(&sdev->drm, &idx))
		return;
	if (READ_ONCE(sdev->power) != SNPU_POWER_WEDGED) {
		dev_info_ratelimited(sdev->drm.dev, "resetting: %s\n", reason);
		snpu_reset_stop(sdev);
		ret = snpu_reset_start(sdev);
		trace_snpu_reset(sdev, reason, ret);
		if (!ret)
			snpu_reset_uevent(sdev, "WEDGED=none");
	}
	drm_dev_exit(idx);
}

/** snpu_reset_init() - prepare a new device */
void snpu_reset_init(struct snpu_device *sdev)
{
	INIT_WORK(&sdev->reset_work, snpu_reset_work);
}

/**
 * snpu_reset_schedule() - have the device reset soon
 * @sdev: device
 * @reason: constant string for the log
 *
 * Context: any. flush_work(&sdev->reset_work) waits for it.
 */
void snpu_reset_schedule(struct snpu_device *sdev, const char *reason)
{
	int idx;

	if (!drm_dev_enter(&sdev->drm, &idx))
		return;
	WRITE_ONCE(sdev->reset_reason, reason);
	queue_work(sdev->wq, &sdev->reset_work);
	drm_dev_exit(idx);
}
