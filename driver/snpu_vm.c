// SPDX-License-Identifier: GPL-2.0-only
/*
 * snpu address spaces: page tables and their invalidation. What is mapped where is in the gpuvm
 * (snpu_vm_bind.c); this file makes the device see it.
 *
 * Tables come from vm->spare, which is filled before anything is changed, so that a change cannot
 * fail half way. Tables and BOs that a change takes away wait in vm->limbo and vm->dead until the
 * device has been told (snpu_vm_flush()).
 */
#include "snpu_drv.h"

#include <snpu_pt.h>

/* Cleared tables that an address space keeps */
#define SNPU_VM_SPARE	16

static struct snpu_table *snpu_vm_table(struct snpu_vm *vm, u64 base)
{
	if (!vm->last || vm->last->base != base)
		vm->last = xa_load(&vm->tables, base >> SNPU_PAGE_SHIFT);
	return vm->last;
}

static __u64 snpu_vm_pt_read(void *priv, __u64 table, unsigned int idx)
{
	struct snpu_table *t = snpu_vm_table(priv, table);

	return t->shadow[idx];
}

static void snpu_vm_pt_write(void *priv, __u64 table, unsigned int idx, __u64 pte)
{
	struct snpu_vm *vm = priv;
	struct snpu_table *t = snpu_vm_table(vm, table);

	if (t->shadow[idx] & SNPU_PTE_VALID)
		vm->changed = true;
	t->shadow[idx] = pte;
	writeq(pte, t->io + idx * sizeof(u64));
}

static int snpu_vm_pt_alloc(void *priv, __u64 *table)
{
	struct snpu_vm *vm = priv;
	struct snpu_table *t;

	if (drm_WARN_ON_ONCE(&vm->sdev->drm, list_empty(&vm->spare)))
		return -ENOSPC;
	t = list_first_entry(&vm->spare, struct snpu_table, link);
	list_del_init(&t->link);
	vm->nspare--;
	*table = t->base;
	return 0;
}

static void snpu_vm_pt_free(void *priv, __u64 table)
{
	struct snpu_vm *vm = priv;

	list_add(&snpu_vm_table(vm, table)->link, &vm->limbo);
}

static const struct snpu_pt_ops snpu_vm_pt_ops = {
	.read = snpu_vm_pt_read,
	.write = snpu_vm_pt_write,
	.alloc = snpu_vm_pt_alloc,
	.free = snpu_vm_pt_free,
};

/**
 * snpu_vm_reserve() - have tables ready
 * @vm: address space; its lock is held
 * @tables: how many the next change may take
 *
 * Return: 0; -ENOMEM; -ENOSPC; -EIO; -ENODEV.
 */
int snpu_vm_reserve(struct snpu_vm *vm, u64 tables)
{
	struct snpu_table *table;
	int ret;

	lockdep_assert_held(&vm->lock);
	/* others can only add to the spare tables while vm->lock is ours */
	while (READ_ONCE(vm->nspare) < tables) {
		table = snpu_table_alloc(vm->sdev);
		if (IS_ERR(table))
			return PTR_ERR(table);
		ret = xa_insert(&vm->tables, table->base >> SNPU_PAGE_SHIFT, table,
				GFP_KERNEL_ACCOUNT);
		if (ret) {
			snpu_table_free(vm->sdev, table);
			return ret;
		}
		mutex_lock(&vm->pt_lock);
		list_add(&table->link, &vm->spare);
		vm->nspare++;
		mutex_unlock(&vm->pt_lock);
		if (fatal_signal_pending(current))
			return -EINTR;
	}
	return 0;
}

static void snpu_vm_trim(struct snpu_vm *vm)
{
	struct snpu_table *table, *next;
	LIST_HEAD(surplus);

	lockdep_assert_held(&vm->lock);
	mutex_lock(&vm->pt_lock);
	while (vm->nspare > SNPU_VM_SPARE) {
		table = list_first_entry(&vm->spare, struct snpu_table, link);
		list_move(&table->link, &surplus);
		vm->nspare--;
		if (vm->last == table)
			vm->last = NULL;
		xa_erase(&vm->tables, table->base >> SNPU_PAGE_SHIFT);
	}
	mutex_unlock(&vm->pt_lock);
	list_for_each_entry_safe(table, next, &surplus, link)
		snpu_table_free(vm->sdev, table);
}

/**
 * snpu_vm_pt_unmap() - take translations away; to be followed by a flush
 * @vm: address space; pt_lock is held
 * @va: first address
 * @bytes: length
 *
 * Return: 0, or -ENOSPC if tables were not reserved.
 */
int snpu_vm_pt_unmap(struct snpu_vm *vm, u64 va, u64 bytes)
{
	int ret;

	lockdep_assert_held(&vm->pt_lock);
	vm->changed = false;
	ret = snpu_pt_unmap(&snpu_vm_pt_ops, vm, vm->root->base, va, bytes);
	if (vm->changed) {
		/* a large leaf that was split at an end was cached as a whole */
		vm->inval_start = min(vm->inval_start, ALIGN_DOWN(va, SNPU_HUGE_SIZE));
		vm->inval_end = max(vm->inval_end, ALIGN(va + bytes, SNPU_HUGE_SIZE));
	}
	return ret;
}

/**
 * snpu_vm_pt_map() - map a contiguous piece
 * @vm: address space; pt_lock is held
 * @va: first address
 * @bytes: length
 * @leaf: snpu_pte_leaf() of the first page
 *
 * Return: 0; -EEXIST; -ENOSPC if tables were not reserved.
 */
int snpu_vm_pt_map(struct snpu_vm *vm, u64 va, u64 bytes, u64 leaf)
{
	lockdep_assert_held(&vm->pt_lock);
	return snpu_pt_map(&snpu_vm_pt_ops, vm, vm->root->base, va, bytes, leaf);
}

/**
 * snpu_vm_tables() - bound for the tables that mapping part of a BO takes
 * @segs: the BO's memory
 * @nsegs: how many pieces
 * @va: first address
 * @bytes: length, not zero
 * @offset: offset in the BO
 *
 * Counts, unlike snpu_pt_tables_max(), no small tables where large leaves fit.
 *
 * Return: the bound, with two for large leaves split at the ends of what was there before.
 */
u64 snpu_vm_tables(const struct snpu_seg *segs, u32 nsegs, u64 va, u64 bytes, u64 offset)
{
	const struct snpu_seg *seg = snpu_seg_find(segs, nsegs, offset);
	u64 end = va + bytes;
	u64 next = 0;	/* region of 2 MiB behind those counted */
	u64 n = 2;
	unsigned int level;

	for (level = 2; level < SNPU_PT_LEVELS; level++)
		n += ((end - 1) >> snpu_pt_shift(level)) - (va >> snpu_pt_shift(level)) + 1;
	for (; va < end; seg++) {
		u64 skip = offset - seg->off;
		u64 len = min(seg->bytes - skip, end - va);
		u64 first = va >> SNPU_HUGE_SHIFT;
		u64 last = (va + len - 1) >> SNPU_HUGE_SHIFT;
		u64 r;

		if ((va ^ (seg->addr + skip)) & (SNPU_HUGE_SIZE - 1)) {
			/* small leaves throughout */
			r = max(first, next);
			if (last >= r)
				n += last - r + 1;
		} else {
			/* small leaves at ends that are not aligned */
			if ((va & (SNPU_HUGE_SIZE - 1) || len < SNPU_HUGE_SIZE) && first >= next)
				n++;
			if ((va + len) & (SNPU_HUGE_SIZE - 1) && last >= next && last != first)
				n++;
		}
		next = max(next, last + 1);
		va += len;
		offset += len;
	}
	return n;
}

/**
 * snpu_vm_bind_bo() - map part of a BO
 * @vm: address space; pt_lock is held
 * @va: first address
 * @bytes: length
 * @bo: BO that covers @offset + @bytes; its dma_resv is held
 * @offset: offset in the BO
 * @access: SNPU_PTE_READ | WRITE
 *
 * Return: 0 or the error of snpu_vm_pt_map(), with nothing mapped.
 */
int snpu_vm_bind_bo(struct snpu_vm *vm, u64 va, u64 bytes, struct snpu_bo *bo, u64 offset,
		    u64 access)
{
	static const u8 apertures[] = {
		[SNPU_BO_KIND_HBM] = SNPU_APERTURE_HBM,
		[SNPU_BO_KIND_HOST] = SNPU_APERTURE_HOST,
		[SNPU_BO_KIND_IMPORT] = SNPU_APERTURE_HOST,
		[SNPU_BO_KIND_PEER] = SNPU_APERTURE_FABRIC,
		[SNPU_BO_KIND_SEGMENT] = SNPU_APERTURE_FABRIC,
	};
	const struct snpu_seg *seg = snpu_seg_find(bo->segs, bo->nsegs, offset);
	unsigned int slot = bo->import ? bo->import->slot : 0;
	u64 start = va, end = va + bytes;
	int ret;

	for (; va < end; seg++) {
		u64 skip = offset - seg->off;
		u64 len = min(seg->bytes - skip, end - va);

		ret = snpu_vm_pt_map(vm, va, len, snpu_pte_leaf(apertures[bo->kind],
								seg->addr + skip, slot, access));
		if (ret) {
			snpu_vm_pt_unmap(vm, start, bytes);
			return ret;
		}
		va += len;
		offset += len;
	}
	return 0;
}

/* The device looks at nothing any more that was taken away: it can be used again */
static void snpu_vm_flushed(struct snpu_vm *vm)
{
	struct snpu_table *table, *next;

	vm->inval_start = U64_MAX;
	vm->inval_end = 0;
	list_for_each_entry_safe(table, next, &vm->limbo, link) {
		snpu_table_clear(table);
		list_move(&table->link, &vm->spare);
		vm->nspare++;
	}
}

static int snpu_vm_flush_once(struct snpu_vm *vm)
{
	struct snpu_device *sdev = vm->sdev;
	int idx, ret = 0;

	lockdep_assert_held(&vm->pt_lock);
	/* new entries before whatever makes the device look at them */
	wmb();
	if (vm->inval_start >= vm->inval_end)
		return 0;
	if (snpu_is_current(sdev, vm->generation)) {
		ret = snpu_admin_tlb_inval(sdev, vm->ctx, vm->inval_start,
					   vm->inval_end - vm->inval_start);
		/* a reset invalidates, too */
		if (!snpu_is_current(sdev, vm->generation))
			ret = 0;
	}
	if (!drm_dev_enter(&sdev->drm, &idx))
		return 0;
	if (!ret)
		snpu_vm_flushed(vm);
	drm_dev_exit(idx);
	return ret;
}

static void snpu_vm_flush_tables(struct snpu_vm *vm)
{
	struct snpu_device *sdev = vm->sdev;
	int ret;

	mutex_lock(&vm->pt_lock);
	ret = snpu_vm_flush_once(vm);
	mutex_unlock(&vm->pt_lock);
	if (!ret || ret == -ENODEV)
		return;
	/* what the device does not forget when told to, it forgets in a reset */
	snpu_reset_schedule(sdev, "address translations cannot be invalidated");
	flush_work(&sdev->reset_work);
	mutex_lock(&vm->pt_lock);
	snpu_vm_flush_once(vm);
	mutex_unlock(&vm->pt_lock);
}

/**
 * snpu_vm_flush() - make the device use the present state
 * @vm: address space; its lock is held
 *
 * Afterwards what was unmapped is no longer used, and its BOs are let go.
 */
void snpu_vm_flush(struct snpu_vm *vm)
{
	struct snpu_va *va, *next;

	lockdep_assert_held(&vm->lock);
	snpu_vm_flush_tables(vm);
	list_for_each_entry_safe(va, next, &vm->dead, link) {
		list_del(&va->link);
		drm_gem_object_put(va->keep);
		kfree(va);
	}
	snpu_vm_trim(vm);
}

/**
 * snpu_vm_revoke_bo() - unmap a BO from all address spaces
 * @bo: BO; its dma_resv is held
 *
 * The mappings stay in the gpuvm, with nothing behind them: accesses fault.
 */
void snpu_vm_revoke_bo(struct snpu_bo *bo)
{
	struct drm_gpuvm_bo *vm_bo;
	struct drm_gpuva *va;
	int idx;

	dma_resv_assert_held(bo->base.resv);
	if (!drm_dev_enter(&bo->sdev->drm, &idx))
		return;
	drm_gem_for_each_gpuvm_bo(vm_bo, &bo->base) {
		struct snpu_vm *vm = to_snpu_vm(vm_bo->vm);

		mutex_lock(&vm->pt_lock);
		/* no leaf reaches over the end of a mapping: nothing needs to be split */
		drm_gpuvm_bo_for_each_va(va, vm_bo)
			snpu_vm_pt_unmap(vm, va->va.addr, va->va.range);
		mutex_unlock(&vm->pt_lock);
		snpu_vm_flush_tables(vm);
	}
	drm_dev_exit(idx);
}

/**
 * snpu_vm_map_page() - map a page of the kernel's, read-only, above what VM_BIND takes
 * @vm: address space
 * @va: address
 * @addr: DMA address
 *
 * Return: 0 or a negative errno.
 */
int snpu_vm_map_page(struct snpu_vm *vm, u64 va, dma_addr_t addr)
{
	int ret;

	mutex_lock(&vm->lock);
	ret = snpu_vm_reserve(vm, snpu_pt_tables_max(va, SNPU_PAGE_SIZE));
	if (!ret) {
		mutex_lock(&vm->pt_lock);
		ret = snpu_vm_pt_map(vm, va, SNPU_PAGE_SIZE,
				     snpu_pte_leaf(SNPU_APERTURE_HOST, addr, 0, SNPU_PTE_READ));
		mutex_unlock(&vm->pt_lock);
		snpu_vm_flush(vm);
	}
	mutex_unlock(&vm->lock);
	return ret;
}

/** snpu_vm_unmap_page() - undo snpu_vm_map_page(); the device no longer uses the page */
void snpu_vm_unmap_page(struct snpu_vm *vm, u64 va)
{
	int idx;

	/* with the device its window is gone, too */
	if (!drm_dev_enter(&vm->sdev->drm, &idx))
		return;
	mutex_lock(&vm->lock);
	mutex_lock(&vm->pt_lock);
	snpu_vm_pt_unmap(vm, va, SNPU_PAGE_SIZE);
	mutex_unlock(&vm->pt_lock);
	snpu_vm_flush(vm);
	mutex_unlock(&vm->lock);
	drm_dev_exit(idx);
}

/**
 * snpu_vms_restore() - make all address spaces again after a function reset
 * @sdev: device, SNPU_POWER_UP
 *
 * One that cannot be made stays away; its owner's queues cannot be created then.
 */
void snpu_vms_restore(struct snpu_device *sdev)
{
	struct snpu_table *table;
	struct snpu_vm *vm;
	unsigned long i;
	int ret;

	mutex_lock(&sdev->vm_lock);
	list_for_each_entry(vm, &sdev->vms, link) {
		mutex_lock(&vm->pt_lock);
		snpu_vm_flushed(vm);
		/* HBM may have suffered in whatever made the reset necessary */
		xa_for_each(&vm->tables, i, table)
			memcpy_toio(table->io, table->shadow, SNPU_PT_BYTES);
		ret = snpu_admin_ctx(sdev, SNPU_ADM_CTX_CREATE, vm->ctx, vm->root->base);
		if (!ret)
			WRITE_ONCE(vm->generation, READ_ONCE(sdev->generation));
		mutex_unlock(&vm->pt_lock);
		if (ret)
			drm_err(&sdev->drm, "address space %u is lost: %pe\n", vm->ctx,
				ERR_PTR(ret));
	}
	mutex_unlock(&sdev->vm_lock);
}

static int snpu_vm_hw_create(struct snpu_vm *vm)
{
	struct snpu_device *sdev = vm->sdev;
	int ret;

	lockdep_assert_held(&sdev->vm_lock);
	ret = snpu_admin_ctx(sdev, SNPU_ADM_CTX_CREATE, vm->ctx, vm->root->base);
	/* in the middle of a reset it is made with the others, at the end of that */
	if (ret == -EIO && READ_ONCE(sdev->power) == SNPU_POWER_DOWN)
		ret = 0;
	else if (!ret)
		WRITE_ONCE(vm->generation, READ_ONCE(sdev->generation));
	if (!ret)
		list_add(&vm->link, &sdev->vms);
	return ret;
}

/**
 * snpu_vm_create() - make an empty address space
 * @sdev: device
 *
 * Return: the address space; ERR_PTR of -ENOMEM, -ENOSPC, -EIO, -ENODEV.
 */
struct snpu_vm *snpu_vm_create(struct snpu_device *sdev)
{
	struct drm_gem_object *r_obj;
	struct snpu_vm *vm;
	int ret;

	vm = kzalloc_obj(*vm, GFP_KERNEL_ACCOUNT);
	if (!vm)
		return ERR_PTR(-ENOMEM);
	r_obj = drm_gpuvm_resv_object_alloc(&sdev->drm);
	if (!r_obj) {
		kfree(vm);
		return ERR_PTR(-ENOMEM);
	}
	vm->sdev = sdev;
	mutex_init(&vm->lock);
	mutex_init(&vm->pt_lock);
	xa_init(&vm->tables);
	INIT_LIST_HEAD(&vm->link);
	INIT_LIST_HEAD(&vm->spare);
	INIT_LIST_HEAD(&vm->limbo);
	INIT_LIST_HEAD(&vm->dead);
	snpu_vm_flushed(vm);
	drm_gpuvm_init(&vm->base, "snpu", 0, &sdev->drm, r_obj, SNPU_VA_START,
		       SNPU_VA_END - SNPU_VA_START, 0, 0, &snpu_vm_ops);
	drm_gem_object_put(r_obj);

	ret = ida_alloc_range(&sdev->ctx_ida, 1, sdev->facts.num_ctx - 1, GFP_KERNEL);
	if (ret < 0)
		goto err;
	vm->ctx = ret;
	mutex_lock(&vm->lock);
	ret = snpu_vm_reserve(vm, 1);
	if (!ret) {
		vm->root = list_first_entry(&vm->spare, struct snpu_table, link);
		list_del_init(&vm->root->link);
		vm->nspare--;
	}
	mutex_unlock(&vm->lock);
	if (ret)
		goto err;
	mutex_lock(&sdev->vm_lock);
	ret = snpu_vm_hw_create(vm);
	mutex_unlock(&sdev->vm_lock);
	if (ret)
		goto err;
	return vm;
err:
	snpu_vm_destroy(vm);
	return ERR_PTR(ret);
}

static void snpu_vm_hw_destroy(struct snpu_vm *vm)
{
	struct snpu_device *sdev = vm->sdev;
	int ret;

	mutex_lock(&sdev->vm_lock);
	list_del_init(&vm->link);
	mutex_unlock(&sdev->vm_lock);
	if (!vm->generation || !snpu_is_current(sdev, vm->generation))
		return;
	ret = snpu_admin_ctx(sdev, SNPU_ADM_CTX_DESTROY, vm->ctx, 0);
	if (!ret || ret == -ENODEV || !snpu_is_current(sdev, vm->generation))
		return;
	snpu_reset_schedule(sdev, "address space cannot be destroyed");
	flush_work(&sdev->reset_work);
}

/**
 * snpu_vm_destroy() - end an address space and let go of its BOs
 * @vm: address space whose queues are gone
 */
void snpu_vm_destroy(struct snpu_vm *vm)
{
	struct snpu_device *sdev = vm->sdev;
	struct drm_gpuva *va, *next;
	struct drm_gem_object *obj;
	struct snpu_table *table;
	unsigned long i;

	snpu_vm_hw_destroy(vm);
	mutex_lock(&vm->lock);
	drm_gpuvm_for_each_va_safe(va, next, &vm->base) {
		obj = va->gem.obj;
		/* not a kernel-internal mapping */
		if (!obj)
			continue;
		drm_gem_object_get(obj);
		dma_resv_lock(obj->resv, NULL);
		drm_gpuva_remove(va);
		drm_gpuva_unlink(va);
		dma_resv_unlock(obj->resv);
		drm_gem_object_put(obj);
		kfree(to_snpu_va(va));
	}
	vm->last = NULL;
	xa_for_each(&vm->tables, i, table)
		snpu_table_free(sdev, table);
	xa_destroy(&vm->tables);
	mutex_unlock(&vm->lock);
	if (vm->ctx)
		ida_free(&sdev->ctx_ida, vm->ctx);
	drm_gpuvm_put(&vm->base);
}
