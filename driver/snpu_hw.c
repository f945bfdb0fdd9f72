// SPDX-License-Identifier: GPL-2.0-only
/*
 * snpu hardware: identity registers, reset and start, the admin mailbox.
 */
#include <linux/ctype.h>
#include <linux/dma-mapping.h>
#include <linux/fault-inject.h>
#include <linux/iopoll.h>

#include <snpu_admin.h>

#include "snpu_drv.h"
#include "snpu_trace.h"

#if IS_ENABLED(CONFIG_FAULT_INJECTION_DEBUG_FS)
DECLARE_FAULT_ATTR(snpu_fail_admin);

static bool snpu_admin_injected(void)
{
	return should_fail(&snpu_fail_admin, 1);
}
#else
static bool snpu_admin_injected(void)
{
	return false;
}
#endif

static int snpu_fact_check(struct snpu_device *sdev, const char *what, u64 val, u64 min, u64 max)
{
	if (val >= min && val <= max)
		return 0;
	drm_err(&sdev->drm, "%s register holds %#llx, allowed are %#llx to %#llx\n", what, val,
		min, max);
	return -EINVAL;
}

/**
 * snpu_facts_read() - read and check the registers that never change
 * @sdev: device, with BAR 0 mapped
 * @facts: where they go
 *
 * The device is not trusted: whatever bounds a loop or an array later is checked here, once.
 *
 * Return: 0; -ENODEV if the function is not an snpu or another ABI's; -EINVAL if it contradicts
 * itself.
 */
int snpu_facts_read(struct snpu_device *sdev, struct snpu_facts *facts)
{
	u64 window = pci_resource_len(sdev->pdev, SNPU_BAR_HBM);
	u32 magic = snpu_read32(sdev, SNPU_REG_MAGIC);
	unsigned int i;
	int ret;

	if (magic != SNPU_MAGIC) {
		drm_err(&sdev->drm, "magic is %#x, not %#x\n", magic, SNPU_MAGIC);
		return -ENODEV;
	}
	facts->version = snpu_read32(sdev, SNPU_REG_VERSION);
	if (facts->version >> 16 != SNPU_ABI_MAJOR) {
		drm_err(&sdev->drm, "hardware ABI %u.%u, this driver speaks %u.x\n",
			facts->version >> 16, facts->version & 0xffff, SNPU_ABI_MAJOR);
		return -ENODEV;
	}
	facts->caps = snpu_read32(sdev, SNPU_REG_CAPS);
	facts->num_queues = snpu_read32(sdev, SNPU_REG_NUM_QUEUES);
	facts->hbm_size = snpu_read64(sdev, SNPU_REG_HBM_SIZE);
	facts->node_id = snpu_read32(sdev, SNPU_REG_NODE_ID);
	facts->host_slot = snpu_read32(sdev, SNPU_REG_HOST_SLOT);
	facts->serial = snpu_read64(sdev, SNPU_REG_SERIAL);
	facts->num_ctx = snpu_read32(sdev, SNPU_REG_NUM_CTX);
	facts->num_segs = snpu_read32(sdev, SNPU_REG_NUM_SEGS);
	/* 0 on a device before minor version 3 */
	facts->num_imports = snpu_read32(sdev, SNPU_REG_ALL_IMPORTS) ?:
			     snpu_read32(sdev, SNPU_REG_NUM_IMPORTS);

	ret = snpu_fact_check(sdev, "NUM_QUEUES", facts->num_queues, 1, SNPU_MAX_QUEUES);
	ret = ret ?: snpu_fact_check(sdev, "HBM_SIZE", facts->hbm_size, SZ_4M, window);
	ret = ret ?: snpu_fact_check(sdev, "NUM_CTX", facts->num_ctx, 2, SZ_1M);
	ret = ret ?: snpu_fact_check(sdev, "NUM_IMPORTS", facts->num_imports, 0,
				     SNPU_MAX_IMPORTS);
	if (ret)
		return ret;
	if (!IS_ALIGNED(facts->hbm_size, SNPU_PAGE_SIZE)) {
		drm_err(&sdev->drm, "HBM_SIZE %#llx is not a multiple of %#x\n", facts->hbm_size,
			SNPU_PAGE_SIZE);
		return -EINVAL;
	}
	if (!(facts->caps & SNPU_CAP_SCRUB)) {
		drm_err(&sdev->drm, "device cannot scrub HBM, and so cannot isolate clients\n");
		return -ENODEV;
	}
	if (!facts->num_segs || !facts->num_imports)
		facts->caps &= ~SNPU_CAP_FABRIC;

	for (i = 0; i < sizeof(facts->profile) / sizeof(u64); i++) {
		u64 word = snpu_read64(sdev, SNPU_REG_PROFILE_NAME + i * sizeof(u64));

		memcpy(facts->profile + i * sizeof(u64), &word, sizeof(word));
	}
	facts->profile[sizeof(facts->profile) - 1] = '\0';
	for (i = 0; facts->profile[i]; i++)
		if (!isascii(facts->profile[i]) || !isprint(facts->profile[i]))
			facts->profile[i] = '?';
	/* the rest is shown to people only */
	facts->flops_bf16 = snpu_read64(sdev, SNPU_REG_FLOPS_BF16);
	facts->ops_int8 = snpu_read64(sdev, SNPU_REG_OPS_INT8);
	facts->flops_fp32 = snpu_read64(sdev, SNPU_REG_FLOPS_FP32);
	facts->hbm_bw = snpu_read64(sdev, SNPU_REG_HBM_BW);
	facts->fabric_bw = snpu_read64(sdev, SNPU_REG_FABRIC_BW);
	facts->planes = snpu_read32(sdev, SNPU_REG_PLANES);
	facts->dies = snpu_read32(sdev, SNPU_REG_DIES);
	facts->machine_npus = snpu_read32(sdev, SNPU_REG_MACHINE_NPUS);
	facts->machine_hosts = snpu_read32(sdev, SNPU_REG_MACHINE_HOSTS);
	return 0;
}

/**
 * snpu_hw_reset() - reset the function and wait until it takes commands
 * @sdev: device
 *
 * On success the device touches no memory that it was given before. Context: may sleep; allocates
 * nothing.
 *
 * Return: 0; -ENODEV if the function no longer answers; -ETIMEDOUT.
 */
int snpu_hw_reset(struct snpu_device *sdev)
{
	u32 status;
	int ret;

	snpu_write32(sdev, SNPU_REG_RESET, SNPU_RESET_MAGIC);
	ret = read_poll_timeout(snpu_read32, status,
				(status & (SNPU_STATUS_READY | SNPU_STATUS_FATAL)) ==
				SNPU_STATUS_READY || status == ~0u,
				100, SNPU_RESET_TIMEOUT_US, false, sdev, SNPU_REG_STATUS);
	if (status == ~0u)
		return -ENODEV;
	return ret;
}

static int snpu_admin_run(struct snpu_device *sdev, const struct snpu_admin_mbox *cmd, u64 data[7])
{
	struct snpu_admin_mbox *mbox = sdev->admin.mbox;
	u32 seq, status, reg;
	unsigned int i;
	int ret;

	lockdep_assert_held(&sdev->admin.lock);

	seq = ++sdev->admin.seq;
	memset(mbox, 0, sizeof(*mbox));
	mbox->op = cmd->op;
	mbox->seq = seq;
	memcpy(mbox->raw, cmd->raw, sizeof(mbox->raw));
	mbox->rsp_seq = ~seq;
	/* the command before the doorbell, and page tables in write-combined memory too */
	wmb();
	snpu_write32(sdev, SNPU_REG_ADMIN_DB, 1);
	/*
	 * The register read returns after the command has run. A device that keeps to that needs
	 * one turn; the others get a while.
	 */
	ret = read_poll_timeout(snpu_read32, reg, reg == ~0u || READ_ONCE(mbox->rsp_seq) == seq,
				100, SNPU_ADMIN_TIMEOUT_US, false, sdev, SNPU_REG_STATUS);
	if (reg == ~0u)
		ret = -ENODEV;
	if (ret) {
		trace_snpu_admin(sdev, cmd->op, ret, 0);
		return ret;
	}
	/* rsp_seq, which is written last, before the rest */
	rmb();
	status = READ_ONCE(mbox->rsp_status);
	if (data)
		for (i = 0; i < ARRAY_SIZE(mbox->rsp_data); i++)
			data[i] = READ_ONCE(mbox->rsp_data[i]);
	ret = snpu_admin_errno(status);
	trace_snpu_admin(sdev, cmd->op, ret, status);
	if (ret == -EPROTO)
		drm_err_ratelimited(&sdev->drm, "admin command %#x: unknown status %u\n", cmd->op,
				    status);
	else if (ret == -EINVAL)
		drm_dbg(&sdev->drm, "admin command %#x: field at byte %llu is wrong\n", cmd->op,
			READ_ONCE(mbox->rsp_data[0]));
	return ret;
}

/**
 * snpu_admin_exec() - run one command in the mailbox
 * @sdev: device
 * @cmd: op and argument; the rest is ignored
 * @data: results, or NULL
 *
 * A device that does not answer is reset. Context: may sleep; allocates nothing, so that fences may
 * wait for it.
 *
 * Return: 0; -ENODEV the device is gone; -EIO it is being reset, or wedged, or did not answer;
 * otherwise what the device said: -EINVAL, -EBUSY, -ENOENT, -EEXIST, -EFAULT (a DMA address),
 * -ENOSPC, -EOPNOTSUPP, -EPROTO.
 */
int snpu_admin_exec(struct snpu_device *sdev, const struct snpu_admin_mbox *cmd, u64 data[7])
{
	int idx, ret;

	if (!drm_dev_enter(&sdev->drm, &idx))
		return -ENODEV;
	mutex_lock(&sdev->admin.lock);
	if (sdev->power != SNPU_POWER_UP) {
		ret = -EIO;
	} else if (snpu_admin_injected()) {
		ret = -EIO;
	} else {
		ret = snpu_admin_run(sdev, cmd, data);
		if (ret == -ENODEV || ret == -ETIMEDOUT) {
			/* the next one need not wait as long to learn the same */
			WRITE_ONCE(sdev->power, SNPU_POWER_DOWN);
			drm_err(&sdev->drm, "admin command %#x was not answered\n", cmd->op);
			snpu_reset_schedule(sdev, "admin command not answered");
			ret = -EIO;
		}
	}
	mutex_unlock(&sdev->admin.lock);
	drm_dev_exit(idx);
	return ret;
}

/** snpu_admin_qid() - run a command that takes just a queue number */
int snpu_admin_qid(struct snpu_device *sdev, u16 op, u32 queue)
{
	struct snpu_admin_mbox cmd = { .op = op, .qid = queue };

	return snpu_admin_exec(sdev, &cmd, NULL);
}

/** snpu_admin_ctx() - run CTX_CREATE or CTX_DESTROY (@root 0) */
int snpu_admin_ctx(struct snpu_device *sdev, u16 op, u32 ctx, u64 root)
{
	struct snpu_admin_mbox cmd = { .op = op, .ctx = { .ctx = ctx, .root = root } };

	return snpu_admin_exec(sdev, &cmd, NULL);
}

/** snpu_admin_scrub() - zero a range of HBM */
int snpu_admin_scrub(struct snpu_device *sdev, u64 offset, u64 bytes)
{
	struct snpu_admin_mbox cmd = {
		.op = SNPU_ADM_SCRUB, .scrub = { .offset = offset, .bytes = bytes },
	};

	return snpu_admin_exec(sdev, &cmd, NULL);
}

/** snpu_admin_tlb_inval() - make the device forget a range, or with @bytes 0 everything */
int snpu_admin_tlb_inval(struct snpu_device *sdev, u32 ctx, u64 va, u64 bytes)
{
	struct snpu_admin_mbox cmd = {
		.op = SNPU_ADM_TLB_INVAL, .tlb = { .ctx = ctx, .va = va, .bytes = bytes },
	};

	return snpu_admin_exec(sdev, &cmd, NULL);
}

/**
 * snpu_hw_wake() - make a sleeping device look at its doorbells
 * @sdev: device
 *
 * Context: any but NMI.
 */
void snpu_hw_wake(struct snpu_device *sdev)
{
	int idx;

	if (!drm_dev_enter(&sdev->drm, &idx))
		return;
	snpu_write32(sdev, SNPU_REG_WAKE, 1);
	drm_dev_exit(idx);
}

/**
 * snpu_hw_set_up() - let commands through
 * @sdev: device that was started
 *
 * Context: may sleep; allocates nothing.
 */
void snpu_hw_set_up(struct snpu_device *sdev)
{
	mutex_lock(&sdev->admin.lock);
	WRITE_ONCE(sdev->power, SNPU_POWER_UP);
	mutex_unlock(&sdev->admin.lock);
}

/**
 * snpu_hw_start() - give a function that was reset its mailbox and event ring
 * @sdev: device, not SNPU_POWER_UP
 *
 * Context: may sleep; allocates nothing.
 *
 * Return: 0; -EIO if the device does not answer as it should.
 */
int snpu_hw_start(struct snpu_device *sdev)
{
	struct snpu_admin_mbox cmd = { .op = SNPU_ADM_NOP, .nonce = 0x736e7075736e7075ull };
	u64 data[7];
	int ret;

	pci_set_master(sdev->pdev);
	mutex_lock(&sdev->admin.lock);
	memset(sdev->ring, 0, sizeof(*sdev->ring) +
	       (sizeof(struct snpu_event_entry) << SNPU_EVENT_LOG2));
	sdev->ring_cons = 0;
	sdev->ring_lost = 0;
	snpu_write64(sdev, SNPU_REG_ADMIN_ADDR, sdev->admin.dma);
	snpu_write64(sdev, SNPU_REG_EVENT_ADDR, sdev->ring_dma);
	snpu_write32(sdev, SNPU_REG_EVENT_SIZE, SNPU_EVENT_LOG2);
	cmd.nonce ^= sdev->admin.dma;
	ret = snpu_admin_run(sdev, &cmd, data);
	if (!ret && data[0] != cmd.nonce)
		ret = -EPROTO;
	mutex_unlock(&sdev->admin.lock);
	if (ret) {
		drm_err(&sdev->drm, "mailbox does not work: %pe\n", ERR_PTR(ret));
		return -EIO;
	}
	return 0;
}

/**
 * snpu_hw_halt() - make sure that the device touches no memory any more
 * @sdev: device
 * @power: SNPU_POWER_DOWN or SNPU_POWER_WEDGED
 *
 * Works, as far as anything can, on a device that no longer answers. Ends the generation, but only
 * when the device has stopped: who finds it over frees what the device had. Until then commands
 * wait for the mailbox, and fail afterwards. Context: may sleep; allocates nothing.
 */
void snpu_hw_halt(struct snpu_device *sdev, enum snpu_power power)
{
	int ret;

	mutex_lock(&sdev->admin.lock);
	WRITE_ONCE(sdev->power, power);
	ret = snpu_hw_reset(sdev);
	pci_clear_master(sdev->pdev);
	/* the device has stopped before anybody sees the generation end */
	smp_store_release(&sdev->generation, sdev->generation + 1);
	mutex_unlock(&sdev->admin.lock);
	snpu_vtime_wake(sdev);
	if (ret && ret != -ENODEV)
		drm_err(&sdev->drm, "reset failed, bus mastering is off: %pe\n", ERR_PTR(ret));
}

/**
 * snpu_hw_init() - allocate mailbox and event ring
 * @sdev: device
 *
 * Return: 0 or -ENOMEM.
 */
int snpu_hw_init(struct snpu_device *sdev)
{
	sdev->admin.mbox = dmam_alloc_coherent(&sdev->pdev->dev, sizeof(*sdev->admin.mbox),
					       &sdev->admin.dma, GFP_KERNEL);
	if (!sdev->admin.mbox)
		return -ENOMEM;
	return snpu_event_ring_init(sdev);
}
