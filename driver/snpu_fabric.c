// SPDX-License-Identifier: GPL-2.0-only
/*
 * snpu fabric inside one guest: every NPU exports all of its HBM as segment 0 under a token that
 * only this driver knows; a peer imports that once, on first use, and reaches through it just what
 * its page tables say. Which BO may be mapped is decided by who holds its dma-buf. Between guests
 * see snpu_segment.c, which imports through the same slots.
 */
#include <linux/random.h>

#include "snpu_drv.h"

static DEFINE_MUTEX(snpu_fabric_lock);
static LIST_HEAD(snpu_fabric_devices);

static int snpu_segment_export(struct snpu_device *sdev)
{
	struct snpu_admin_mbox cmd = {
		.op = SNPU_ADM_SEG_EXPORT,
		.seg_export = {
			.seg = 0,
			.access = SNPU_SEG_READ | SNPU_SEG_WRITE,
			.offset = 0,
			.bytes = sdev->facts.hbm_size,
			.token = sdev->fabric_token,
		},
	};

	return snpu_admin_exec(sdev, &cmd, NULL);
}

static int snpu_segment_import(struct snpu_device *sdev, const struct snpu_import *imp)
{
	struct snpu_admin_mbox cmd = {
		.op = SNPU_ADM_SEG_IMPORT,
		.import = {
			.slot = imp->slot,
			.node = imp->node,
			.seg = imp->seg,
			.token = imp->token,
		},
	};

	return snpu_admin_exec(sdev, &cmd, NULL);
}

/**
 * snpu_fabric_join() - become a peer of the other NPUs
 * @sdev: device, SNPU_POWER_UP
 *
 * An NPU that cannot is of use without.
 */
void snpu_fabric_join(struct snpu_device *sdev)
{
	int ret;

	mutex_lock(&snpu_fabric_lock);
	if (sdev->facts.caps & SNPU_CAP_FABRIC) {
		do
			sdev->fabric_token = get_random_u64();
		while (!sdev->fabric_token);
		ret = snpu_segment_export(sdev);
		sdev->fabric_up = !ret;
		if (ret)
			drm_err(&sdev->drm, "cannot export HBM to peers: %pe\n", ERR_PTR(ret));
	}
	list_add_tail(&sdev->fabric_link, &snpu_fabric_devices);
	mutex_unlock(&snpu_fabric_lock);
}

/**
 * snpu_fabric_leave() - no longer be a peer
 * @sdev: device that is about to be reset for good, which revokes its segment: accesses of peers
 *        then fault
 */
void snpu_fabric_leave(struct snpu_device *sdev)
{
	mutex_lock(&snpu_fabric_lock);
	sdev->fabric_up = false;
	list_del_init(&sdev->fabric_link);
	mutex_unlock(&snpu_fabric_lock);
}

/**
 * snpu_fabric_restore() - export and import again what a function reset took
 * @sdev: device, SNPU_POWER_UP
 *
 * The token stays the same, so that peers need not know.
 *
 * Return: 0 or the error of the first command that failed; the others are carried out.
 */
int snpu_fabric_restore(struct snpu_device *sdev)
{
	struct snpu_import *imp;
	int ret = 0, err;

	mutex_lock(&snpu_fabric_lock);
	if (sdev->fabric_up)
		ret = snpu_segment_export(sdev);
	list_for_each_entry(imp, &sdev->imports, link) {
		err = snpu_segment_import(sdev, imp);
		/* made since the reset: it is there */
		if (err != -EEXIST)
			ret = ret ?: err;
	}
	mutex_unlock(&snpu_fabric_lock);
	return ret;
}

/**
 * snpu_pool_take() - take one of the numbers that clients share
 * @pool: pool; the caller holds the lock that guards it
 * @mine: how many the client has, to be counted up; NULL: it is the driver that takes it
 *
 * The last eighth of a pool is for clients that have less than an eighth of it: no client takes
 * all, and one that comes late finds some. Who gives back counts both down.
 *
 * Return: 0; -ENOSPC: there is none left; -EMFILE: there is none left for this client.
 */
int snpu_pool_take(struct snpu_pool *pool, u32 *mine)
{
	u32 eighth = pool->size / 8;

	if (pool->used >= pool->size)
		return -ENOSPC;
	if (mine && *mine >= eighth && pool->size - pool->used <= eighth)
		return -EMFILE;
	pool->used++;
	if (mine)
		++*mine;
	return 0;
}

/* A further use of a slot that is there, on a client's account */
static int snpu_import_charge(struct snpu_client *client, struct snpu_import *imp)
{
	struct snpu_device *sdev = client->sdev;
	void *uses = xa_load(&client->imports, imp->slot);
	int ret;

	lockdep_assert_held(&snpu_fabric_lock);
	ret = xa_err(xa_store(&client->imports, imp->slot,
			      xa_mk_value(uses ? xa_to_value(uses) + 1 : 1), GFP_KERNEL_ACCOUNT));
	if (ret || uses)
		return ret;
	spin_lock(&sdev->pool_lock);
	client->nimports++;
	spin_unlock(&sdev->pool_lock);
	return 0;
}

static void snpu_import_uncharge(struct snpu_client *client, struct snpu_import *imp)
{
	unsigned long uses = xa_to_value(xa_load(&client->imports, imp->slot));
	struct snpu_device *sdev = client->sdev;

	lockdep_assert_held(&snpu_fabric_lock);
	if (uses > 1) {
		/* cannot fail, the entry is there */
		xa_store(&client->imports, imp->slot, xa_mk_value(uses - 1), GFP_KERNEL_ACCOUNT);
		return;
	}
	xa_erase(&client->imports, imp->slot);
	spin_lock(&sdev->pool_lock);
	client->nimports--;
	spin_unlock(&sdev->pool_lock);
}

/* A slot number, if the client may have one more; it is on its account once the slot is */
static int snpu_import_number(struct snpu_device *sdev, struct snpu_client *client)
{
	u32 mine;
	int ret;

	spin_lock(&sdev->pool_lock);
	mine = client ? client->nimports : 0;
	ret = snpu_pool_take(&sdev->import_pool, client ? &mine : NULL);
	spin_unlock(&sdev->pool_lock);
	if (ret)
		return ret;
	ret = ida_alloc_max(&sdev->import_ida, sdev->import_pool.size - 1, GFP_KERNEL);
	if (ret >= 0)
		return ret;
	spin_lock(&sdev->pool_lock);
	sdev->import_pool.used--;
	spin_unlock(&sdev->pool_lock);
	return ret;
}

static void snpu_import_number_free(struct snpu_device *sdev, u32 slot)
{
	ida_free(&sdev->import_ida, slot);
	spin_lock(&sdev->pool_lock);
	sdev->import_pool.used--;
	spin_unlock(&sdev->pool_lock);
}

static struct snpu_import *snpu_import_get_locked(struct snpu_device *sdev,
						  struct snpu_client *client, u32 node, u32 seg,
						  u64 token)
{
	struct snpu_import *imp;
	int ret;

	lockdep_assert_held(&snpu_fabric_lock);
	list_for_each_entry(imp, &sdev->imports, link)
		if (imp->node == node && imp->seg == seg && imp->token == token)
			goto found;
	imp = kzalloc_obj(*imp);
	if (!imp)
		return ERR_PTR(-ENOMEM);
	ret = snpu_import_number(sdev, client);
	if (ret < 0)
		goto err_free;
	imp->slot = ret;
	imp->node = node;
	imp->seg = seg;
	imp->token = token;
	ret = snpu_segment_import(sdev, imp);
	if (ret)
		goto err_slot;
	list_add(&imp->link, &sdev->imports);
found:
	imp->users++;
	return imp;

err_slot:
	snpu_import_number_free(sdev, imp->slot);
err_free:
	kfree(imp);
	return ERR_PTR(ret);
}

static void snpu_import_free(struct snpu_device *sdev, struct snpu_import *imp)
{
	list_del(&imp->link);
	snpu_import_number_free(sdev, imp->slot);
	kfree(imp);
}

static void snpu_import_drop(struct snpu_device *sdev, struct snpu_import *imp)
{
	struct snpu_admin_mbox cmd = {
		.op = SNPU_ADM_SEG_UNIMPORT,
		.import = { .slot = imp->slot },
	};
	u32 generation = READ_ONCE(sdev->generation);
	int ret;

	lockdep_assert_held(&snpu_fabric_lock);
	if (--imp->users)
		return;
	ret = snpu_admin_exec(sdev, &cmd, NULL);
	if (ret && ret != -ENODEV && snpu_is_current(sdev, generation)) {
		/* the device keeps the slot, and so do we: the next user of the peer finds it */
		drm_dbg(&sdev->drm, "import slot %u stays: %pe\n", imp->slot, ERR_PTR(ret));
		return;
	}
	snpu_import_free(sdev, imp);
}

/**
 * snpu_import_get() - get the import slot for a segment
 * @client: importing client
 * @node: fabric address of the exporter
 * @seg: its segment
 * @token: its token for that
 *
 * All BOs of the segment on the device share a slot.
 *
 * Return: the slot, for snpu_import_put(); ERR_PTR of -EMFILE (the client's slots), -ENOSPC
 * (everybody's), -ENOMEM, or what the device says.
 */
struct snpu_import *snpu_import_get(struct snpu_client *client, u32 node, u32 seg, u64 token)
{
	struct snpu_device *sdev = client->sdev;
	struct snpu_import *imp;
	int ret;

	mutex_lock(&snpu_fabric_lock);
	imp = snpu_import_get_locked(sdev, client, node, seg, token);
	if (!IS_ERR(imp)) {
		ret = snpu_import_charge(client, imp);
		if (ret) {
			snpu_import_drop(sdev, imp);
			imp = ERR_PTR(ret);
		}
	}
	mutex_unlock(&snpu_fabric_lock);
	return imp;
}

/**
 * snpu_import_get_peer() - get the import slot for all HBM of a peer
 * @sdev: importing device
 * @peer: exporting device
 *
 * Return: as snpu_import_get(); ERR_PTR(-EOPNOTSUPP): no fabric between the two.
 */
struct snpu_import *snpu_import_get_peer(struct snpu_device *sdev, struct snpu_device *peer)
{
	struct snpu_import *imp = ERR_PTR(-EOPNOTSUPP);

	mutex_lock(&snpu_fabric_lock);
	if (sdev->fabric_up && peer->fabric_up)
		imp = snpu_import_get_locked(sdev, NULL, peer->facts.node_id, 0,
					     peer->fabric_token);
	mutex_unlock(&snpu_fabric_lock);
	return imp;
}

/**
 * snpu_imports_fini() - free the slots that the device kept
 * @sdev: device that is gone, as are all BOs
 */
void snpu_imports_fini(struct snpu_device *sdev)
{
	struct snpu_import *imp, *next;

	list_for_each_entry_safe(imp, next, &sdev->imports, link)
		snpu_import_free(sdev, imp);
}

/**
 * snpu_import_put() - drop a use of an import slot
 * @sdev: importing device
 * @client: on whose account the use was; NULL: on nobody's
 * @imp: slot; no page table names it for this user any more
 */
void snpu_import_put(struct snpu_device *sdev, struct snpu_client *client,
		     struct snpu_import *imp)
{
	mutex_lock(&snpu_fabric_lock);
	if (client)
		snpu_import_uncharge(client, imp);
	snpu_import_drop(sdev, imp);
	mutex_unlock(&snpu_fabric_lock);
}

/**
 * snpu_fabric_peers() - list the NPUs that a device can reach
 * @sdev: device
 * @peers: array, to be freed with kvfree(); NULL if there is none
 * @count: its length
 *
 * Return: 0 or -ENOMEM.
 */
int snpu_fabric_peers(struct snpu_device *sdev, struct drm_snpu_peer **peers, u32 *count)
{
	struct snpu_device *pos;
	struct drm_snpu_peer *p;
	u32 n = 0;
	int ret = 0;

	*peers = NULL;
	*count = 0;
	mutex_lock(&snpu_fabric_lock);
	if (!sdev->fabric_up)
		goto out;
	list_for_each_entry(pos, &snpu_fabric_devices, fabric_link)
		n += pos != sdev && pos->fabric_up;
	if (!n)
		goto out;
	ret = -ENOMEM;
	p = kvzalloc_objs(*p, n);
	if (!p)
		goto out;
	ret = 0;
	*peers = p;
	*count = n;
	list_for_each_entry(pos, &snpu_fabric_devices, fabric_link) {
		if (pos == sdev || !pos->fabric_up)
			continue;
		p->node_id = pos->facts.node_id;
		p->minor = pos->drm.accel->index;
		p->pci_domain = pci_domain_nr(pos->pdev->bus);
		p->pci_bdf = PCI_DEVID(pos->pdev->bus->number, pos->pdev->devfn);
		p++;
	}
out:
	mutex_unlock(&snpu_fabric_lock);
	return ret;
}
