// SPDX-License-Identifier: MIT
/*
 * BAR0, page 0: the trapped registers.
 */
#include <string.h>

#include "profiles/profile.h"
#include "npu_priv.h"

static uint64_t reg_profile(struct snpu_npu *n, uint64_t off)
{
	const struct snpu_profile *p = n->m->profile;
	uint64_t v;

	switch (off) {
	case SNPU_REG_FLOPS_BF16:
		return snpu_fig_u64(&p->npu.flops_bf16);
	case SNPU_REG_OPS_INT8:
		return snpu_fig_u64(&p->npu.ops_int8);
	case SNPU_REG_FLOPS_FP32:
		return snpu_fig_u64(&p->npu.flops_fp32);
	case SNPU_REG_HBM_BW:
		return snpu_fig_u64(&p->npu.hbm_bandwidth);
	case SNPU_REG_FABRIC_BW:
		return snpu_fig_u64(&p->fabric.npu_bandwidth);
	}
	if (off >= SNPU_REG_PROFILE_NAME && off < SNPU_REG_PROFILE_NAME + sizeof(p->name) &&
	    !(off & 7)) {
		memcpy(&v, p->name + (off - SNPU_REG_PROFILE_NAME), 8);
		return v;
	}
	return 0;
}

static uint64_t reg_read64(struct snpu_npu *n, uint64_t off)
{
	uint64_t v;

	switch (off) {
	case SNPU_REG_HBM_SIZE:
		return n->hbm_size;
	case SNPU_REG_SERIAL:
		return ((uint64_t)SNPU_PCI_DEVICE_ID << 48) | (n->node + 1);
	case SNPU_REG_ADMIN_ADDR:
		return snpu_load(&n->admin_addr);
	case SNPU_REG_EVENT_ADDR:
		pthread_mutex_lock(&n->ev_lock);
		v = n->ev_addr;
		pthread_mutex_unlock(&n->ev_lock);
		return v;
	case SNPU_REG_TIME_NS:
		return snpu_machine_time(n->m);
	case SNPU_REG_RAS_CE:
		return snpu_load(&n->ras_ce);
	case SNPU_REG_RAS_UE:
		return snpu_load(&n->ras_ue);
	}
	return reg_profile(n, off);
}

static uint32_t reg_read32(struct snpu_npu *n, uint64_t off)
{
	const struct snpu_profile *p = n->m->profile;
	uint32_t v;

	switch (off) {
	case SNPU_REG_MAGIC:
		return SNPU_MAGIC;
	case SNPU_REG_VERSION:
		return SNPU_ABI_MAJOR << 16 | SNPU_ABI_MINOR;
	case SNPU_REG_CAPS:
		return SNPU_CAP_SCRUB | SNPU_CAP_FABRIC | SNPU_CAP_DIRECTORY | SNPU_CAP_ATOMIC |
		       SNPU_CAP_UNTIMED | SNPU_CAP_UNTIMED_ATOMIC |
		       (n->m->plane ? SNPU_CAP_TIMING : 0) |
		       (snpu_multi_works(n->m) ? SNPU_CAP_MULTI : 0) |
		       (snpu_multi_works(n->m) && n->m->in_switch ? SNPU_CAP_IN_SWITCH : 0);
	case SNPU_REG_NUM_QUEUES:
		return n->num_queues;
	case SNPU_REG_NODE_ID:
		return n->node;
	case SNPU_REG_HOST_SLOT:
		return n->host << 16 | n->slot;
	case SNPU_REG_STATUS:
		return snpu_load_acq(&n->status);
	case SNPU_REG_NUM_CTX:
		return n->num_ctx;
	case SNPU_REG_NUM_SEGS:
		return n->num_segs;
	case SNPU_REG_NUM_IMPORTS:
		/* who knows of no more puts no more into a PTE */
		return n->num_imports < 1u << SNPU_PTE_IMPORT_BITS ?
		       n->num_imports : 1u << SNPU_PTE_IMPORT_BITS;
	case SNPU_REG_ALL_IMPORTS:
		return n->num_imports;
	case SNPU_REG_EVENT_SIZE:
		pthread_mutex_lock(&n->ev_lock);
		v = n->ev_log2;
		pthread_mutex_unlock(&n->ev_lock);
		return v;
	case SNPU_REG_RESETS:
		return snpu_load(&n->resets);
	case SNPU_REG_PLANES:
		return (uint32_t)snpu_fig_u64(&p->fabric.planes);
	case SNPU_REG_DIES:
		return (uint32_t)snpu_fig_u64(&p->npu.dies);
	case SNPU_REG_MACHINE_NPUS:
		return snpu_profile_npus(p);
	case SNPU_REG_MACHINE_HOSTS:
		return (uint32_t)snpu_fig_u64(&p->machine.hosts);
	}
	return 0;
}

uint64_t snpu_npu_reg_read(struct snpu_npu *n, uint64_t off, unsigned int width)
{
	if (off & (width - 1))
		return 0;
	if (width == 8)
		return reg_read64(n, off);
	if (width == 4)
		return reg_read32(n, off);
	return 0;
}

static void reg_event(struct snpu_npu *n, uint64_t off, uint64_t val)
{
	pthread_mutex_lock(&n->ev_lock);
	if (off == SNPU_REG_EVENT_ADDR) {
		n->ev_addr = val & ~(uint64_t)(SNPU_PAGE_SIZE - 1);
	} else {
		/* a size that is not allowed turns events off, and reads back as 0 */
		if (val < SNPU_EVENT_LOG2_MIN || val > SNPU_EVENT_LOG2_MAX)
			val = 0;
		n->ev_log2 = (uint32_t)val;
	}
	/* a new ring starts empty */
	n->ev_prod = 0;
	n->ev_lost = 0;
	pthread_mutex_unlock(&n->ev_lock);
}

void snpu_npu_reg_write(struct snpu_npu *n, uint64_t off, unsigned int width, uint64_t val)
{
	if (width == 4) {
		val = (uint32_t)val;
		switch (off) {
		case SNPU_REG_WAKE:
			snpu_sched_kick(n->m);
			return;
		case SNPU_REG_RESET:
			if (val != SNPU_RESET_MAGIC)
				return;
			pthread_mutex_lock(&n->lock);
			snpu_npu_reset_locked(n, false);
			pthread_mutex_unlock(&n->lock);
			return;
		case SNPU_REG_ADMIN_DB:
			pthread_mutex_lock(&n->lock);
			if (snpu_load(&n->status) == SNPU_STATUS_READY)
				snpu_admin_run(n);
			pthread_mutex_unlock(&n->lock);
			return;
		case SNPU_REG_EVENT_SIZE:
			break;
		default:
			return;
		}
	} else if (width == 8) {
		if (off != SNPU_REG_ADMIN_ADDR && off != SNPU_REG_EVENT_ADDR)
			return;
	} else {
		return;
	}
	pthread_mutex_lock(&n->lock);
	if (off == SNPU_REG_ADMIN_ADDR)
		snpu_store(&n->admin_addr, val & ~63ull);
	else
		reg_event(n, off, val);
	pthread_mutex_unlock(&n->lock);
}
