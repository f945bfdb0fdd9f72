// SPDX-License-Identifier: GPL-2.0-only
/*
 * snpu on the PCI bus: probe, removal at any moment, errors, sleep.
 */
#include <linux/dma-mapping.h>
#include <linux/module.h>
#include <linux/pci-p2pdma.h>
#include <linux/sched/mm.h>

#include <drm/drm_managed.h>

#include "snpu_drv.h"

static int snpu_pci_map(struct snpu_device *sdev)
{
	struct pci_dev *pdev = sdev->pdev;
	int ret;

	if (!(pci_resource_flags(pdev, SNPU_BAR_REGS) & IORESOURCE_MEM) ||
	    pci_resource_len(pdev, SNPU_BAR_REGS) != SNPU_BAR_REGS_SIZE) {
		drm_err(&sdev->drm, "BAR %d is %pR, not %#x bytes of memory\n", SNPU_BAR_REGS,
			&pdev->resource[SNPU_BAR_REGS], SNPU_BAR_REGS_SIZE);
		return -ENODEV;
	}
	if (!(pci_resource_flags(pdev, SNPU_BAR_HBM) & IORESOURCE_MEM) ||
	    !pci_resource_len(pdev, SNPU_BAR_HBM)) {
		drm_err(&sdev->drm, "BAR %d has no memory: the system gave the HBM window no room\n",
			SNPU_BAR_HBM);
		return -ENODEV;
	}
	sdev->regs = pcim_iomap_region(pdev, SNPU_BAR_REGS, "snpu");
	if (IS_ERR(sdev->regs))
		return PTR_ERR(sdev->regs);
	ret = pcim_request_region(pdev, SNPU_BAR_HBM, "snpu-hbm");
	if (ret)
		return ret;
	sdev->db_phys = pci_resource_start(pdev, SNPU_BAR_REGS) + SNPU_DB_OFFSET;
	sdev->hbm_phys = pci_resource_start(pdev, SNPU_BAR_HBM);
	/* without it mappings of the window into userspace are uncached */
	ret = devm_arch_io_reserve_memtype_wc(&pdev->dev, sdev->hbm_phys,
					      pci_resource_len(pdev, SNPU_BAR_HBM));
	if (ret)
		drm_dbg(&sdev->drm, "HBM window is not write-combined: %pe\n", ERR_PTR(ret));
	return 0;
}

static void snpu_p2p_init(struct snpu_device *sdev)
{
	int ret = pcim_p2pdma_init(sdev->pdev);

	if (!ret)
		sdev->p2p = pcim_p2pdma_provider(sdev->pdev, SNPU_BAR_HBM);
	if (!sdev->p2p)
		drm_dbg(&sdev->drm, "HBM is not exported to other devices: %pe\n", ERR_PTR(ret));
}

static void snpu_wq_release(struct drm_device *drm, void *arg)
{
	destroy_workqueue(arg);
}

static void snpu_ida_release(struct drm_device *drm, void *arg)
{
	struct snpu_device *sdev = arg;

	snpu_imports_fini(sdev);
	ida_destroy(&sdev->ctx_ida);
	ida_destroy(&sdev->queue_ids);
	ida_destroy(&sdev->import_ida);
	ida_destroy(&sdev->export_ida);
}

static void snpu_tables_release(struct drm_device *drm, void *arg)
{
	snpu_tables_fini(arg);
}

/* Reclaim may wait for a fence, and a fence for these: nothing is allocated under them */
static void snpu_prime_lockdep(struct snpu_device *sdev)
{
	if (!IS_ENABLED(CONFIG_LOCKDEP))
		return;
	fs_reclaim_acquire(GFP_KERNEL);
	might_lock(&sdev->admin.lock);
	fs_reclaim_release(GFP_KERNEL);
}

static int snpu_device_init(struct snpu_device *sdev)
{
	int ret;

	sdev->generation = 1;
	sdev->power = SNPU_POWER_DOWN;
	spin_lock_init(&sdev->queue_lock);
	INIT_LIST_HEAD(&sdev->table_chunks);
	INIT_LIST_HEAD(&sdev->vms);
	INIT_LIST_HEAD(&sdev->bos);
	INIT_LIST_HEAD(&sdev->imports);
	INIT_LIST_HEAD(&sdev->fabric_link);
	ida_init(&sdev->ctx_ida);
	ida_init(&sdev->queue_ids);
	ida_init(&sdev->import_ida);
	ida_init(&sdev->export_ida);
	spin_lock_init(&sdev->pool_lock);
	init_waitqueue_head(&sdev->vtime_wait);
	snpu_reset_init(sdev);
	snpu_ports_init(sdev);

	ret = drmm_add_action_or_reset(&sdev->drm, snpu_ida_release, sdev);
	ret = ret ?: drmm_mutex_init(&sdev->drm, &sdev->admin.lock);
	ret = ret ?: drmm_mutex_init(&sdev->drm, &sdev->hbm.lock);
	ret = ret ?: drmm_mutex_init(&sdev->drm, &sdev->table_lock);
	ret = ret ?: drmm_mutex_init(&sdev->drm, &sdev->vm_lock);
	ret = ret ?: drmm_mutex_init(&sdev->drm, &sdev->bo_lock);
	if (ret)
		return ret;
	snpu_prime_lockdep(sdev);

	sdev->wq = alloc_workqueue("snpu-%s", WQ_UNBOUND | WQ_MEM_RECLAIM, 0,
				   pci_name(sdev->pdev));
	if (!sdev->wq)
		return -ENOMEM;
	return drmm_add_action_or_reset(&sdev->drm, snpu_wq_release, sdev->wq);
}

static int snpu_hw_up(struct snpu_device *sdev)
{
	struct pci_dev *pdev = sdev->pdev;
	int ret;

	/* what an earlier owner left is gone afterwards; the PCI command register may be, too */
	pci_save_state(pdev);
	ret = snpu_hw_reset(sdev);
	pci_restore_state(pdev);
	if (ret)
		return dev_err_probe(&pdev->dev, ret, "device does not become ready\n");
	ret = dma_set_mask_and_coherent(&pdev->dev, DMA_BIT_MASK(64));
	if (ret)
		return dev_err_probe(&pdev->dev, ret, "no 64-bit DMA\n");
	dma_set_max_seg_size(&pdev->dev, UINT_MAX);
	ret = snpu_hw_init(sdev);
	if (ret)
		return ret;
	ret = snpu_irq_init(sdev);
	if (ret)
		return ret;
	ret = snpu_hw_start(sdev);
	if (ret)
		return ret;
	snpu_hw_set_up(sdev);
	ret = snpu_hbm_init(sdev);
	if (ret)
		return dev_err_probe(&pdev->dev, ret, "cannot take HBM into use\n");
	return drmm_add_action_or_reset(&sdev->drm, snpu_tables_release, sdev);
}

static void snpu_dmem_init(struct snpu_device *sdev)
{
	struct dmem_cgroup_init init = { .size = sdev->facts.hbm_size };
	struct dmem_cgroup_region *region;

	region = drmm_cgroup_register_region(&sdev->drm, "hbm", &init);
	if (IS_ERR(region))
		drm_dbg(&sdev->drm, "HBM is not accounted to cgroups: %pe\n", region);
	else
		sdev->dmem = region;
}

/* Turns the device off; what waits for it is told */
static void snpu_hw_down(struct snpu_device *sdev)
{
	snpu_hw_halt(sdev, SNPU_POWER_WEDGED);
	snpu_irq_fini(sdev);
	/* no event schedules it any more */
	cancel_work_sync(&sdev->port_work);
	snpu_queues_lost(sdev);
}

static int snpu_pci_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct snpu_device *sdev;
	int ret;

	sdev = devm_drm_dev_alloc(&pdev->dev, &snpu_drm_driver, struct snpu_device, drm);
	if (IS_ERR(sdev))
		return PTR_ERR(sdev);
	sdev->pdev = pdev;
	pci_set_drvdata(pdev, sdev);
	ret = snpu_device_init(sdev);
	if (ret)
		return ret;
	ret = pcim_enable_device(pdev);
	if (ret)
		return dev_err_probe(&pdev->dev, ret, "cannot enable the function\n");
	ret = snpu_pci_map(sdev);
	if (ret)
		return ret;
	ret = snpu_facts_read(sdev, &sdev->facts);
	if (ret)
		return ret;
	sdev->import_pool.size = sdev->facts.num_imports;
	/* segment 0 is the driver's own */
	sdev->export_pool.size = sdev->facts.num_segs ? sdev->facts.num_segs - 1 : 0;
	ret = snpu_hw_up(sdev);
	if (ret)
		goto err_down;
	snpu_p2p_init(sdev);
	snpu_dmem_init(sdev);
	pci_save_state(pdev);
	sdev->saved_state = pci_store_saved_state(pdev);
	snpu_debugfs_init(sdev);
	ret = drm_dev_register(&sdev->drm, 0);
	if (ret)
		goto err_saved;
	/* peers may look at us only now that there is a minor */
	snpu_fabric_join(sdev);
	drm_info(&sdev->drm, "%s: node %u, serial %llx, %llu GiB HBM, %u queues\n",
		 sdev->facts.profile, sdev->facts.node_id, sdev->facts.serial,
		 sdev->facts.hbm_size >> 30, sdev->facts.num_queues);
	return 0;

err_saved:
	kfree(sdev->saved_state);
err_down:
	snpu_hw_down(sdev);
	return ret;
}

static void snpu_pci_remove(struct pci_dev *pdev)
{
	struct snpu_device *sdev = pci_get_drvdata(pdev);

	snpu_fabric_leave(sdev);
	disable_work_sync(&sdev->reset_work);
	/*
	 * Before anybody is told that the device is gone: who is told takes it for granted that it
	 * no longer touches memory, and frees.
	 */
	snpu_hw_halt(sdev, SNPU_POWER_WEDGED);
	/* on return no ioctl, page fault or command is under way, and none can begin */
	drm_dev_unplug(&sdev->drm);
	snpu_hw_down(sdev);
	/* doorbells turn into dummies, HBM into SIGBUS */
	unmap_mapping_range(sdev->drm.anon_inode->i_mapping, 0, 0, 1);
	snpu_queues_detach(sdev);
	snpu_bos_detach(sdev);
	kfree(sdev->saved_state);
	sdev->saved_state = NULL;
}

static void snpu_pci_shutdown(struct pci_dev *pdev)
{
	struct snpu_device *sdev = pci_get_drvdata(pdev);

	disable_work_sync(&sdev->reset_work);
	snpu_reset_stop(sdev);
}

static int snpu_pci_suspend(struct device *dev)
{
	struct snpu_device *sdev = dev_get_drvdata(dev);

	disable_work_sync(&sdev->reset_work);
	snpu_reset_stop(sdev);
	return 0;
}

static int snpu_pci_resume(struct device *dev)
{
	struct snpu_device *sdev = dev_get_drvdata(dev);
	int ret;

	ret = snpu_hw_reset(sdev);
	if (!ret)
		ret = snpu_reset_start(sdev);
	enable_work(&sdev->reset_work);
	return ret;
}

static DEFINE_SIMPLE_DEV_PM_OPS(snpu_pm_ops, snpu_pci_suspend, snpu_pci_resume);

static pci_ers_result_t snpu_pci_error_detected(struct pci_dev *pdev, pci_channel_state_t state)
{
	struct snpu_device *sdev = pci_get_drvdata(pdev);

	disable_work_sync(&sdev->reset_work);
	snpu_reset_stop(sdev);
	return state == pci_channel_io_perm_failure ? PCI_ERS_RESULT_DISCONNECT :
						      PCI_ERS_RESULT_NEED_RESET;
}

static pci_ers_result_t snpu_pci_slot_reset(struct pci_dev *pdev)
{
	struct snpu_device *sdev = pci_get_drvdata(pdev);

	return snpu_hw_reset(sdev) || snpu_reset_start(sdev) ? PCI_ERS_RESULT_DISCONNECT :
							       PCI_ERS_RESULT_RECOVERED;
}

static void snpu_pci_error_resume(struct pci_dev *pdev)
{
	struct snpu_device *sdev = pci_get_drvdata(pdev);

	enable_work(&sdev->reset_work);
}

static void snpu_pci_reset_prepare(struct pci_dev *pdev)
{
	struct snpu_device *sdev = pci_get_drvdata(pdev);

	disable_work_sync(&sdev->reset_work);
	snpu_reset_stop(sdev);
}

static void snpu_pci_reset_done(struct pci_dev *pdev)
{
	struct snpu_device *sdev = pci_get_drvdata(pdev);

	if (!snpu_hw_reset(sdev))
		snpu_reset_start(sdev);
	enable_work(&sdev->reset_work);
}

static const struct pci_error_handlers snpu_pci_errors = {
	.error_detected = snpu_pci_error_detected,
	.slot_reset = snpu_pci_slot_reset,
	.resume = snpu_pci_error_resume,
	.reset_prepare = snpu_pci_reset_prepare,
	.reset_done = snpu_pci_reset_done,
};

static const struct pci_device_id snpu_pci_ids[] = {
	{ PCI_DEVICE(SNPU_PCI_VENDOR_ID, SNPU_PCI_DEVICE_ID) },
	{ }
};
MODULE_DEVICE_TABLE(pci, snpu_pci_ids);

struct pci_driver snpu_pci_driver = {
	.name = "snpu",
	.id_table = snpu_pci_ids,
	.probe = snpu_pci_probe,
	.remove = snpu_pci_remove,
	.shutdown = snpu_pci_shutdown,
	.err_handler = &snpu_pci_errors,
	/* not in .driver: there the PCI core puts it */
	.dev_groups = snpu_dev_groups,
	.driver = {
		.pm = pm_sleep_ptr(&snpu_pm_ops),
		/* each device takes a while, and none depends on another */
		.probe_type = PROBE_PREFER_ASYNCHRONOUS,
	},
};
