// SPDX-License-Identifier: MIT
/*
 * One NPU: its memory, reset, interrupts, and what the control socket asks for.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "profiles/profile.h"
#include "npu_priv.h"

static uint64_t round_up_pow2(uint64_t v)
{
	uint64_t p = 1;

	while (p < v)
		p <<= 1;
	return p;
}

/* A sparse, shared piece of memory: pages exist once touched, whatever the size */
static int shared_mem(const char *name, uint64_t bytes, int *fd, void **map, char *err,
		      size_t err_len)
{
	*fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (*fd < 0) {
		snprintf(err, err_len, "%s: memfd_create: %s", name, strerror(errno));
		return -errno;
	}
	/* sealed against truncation: a client that holds the fd could make our loads fault */
	if (ftruncate(*fd, (off_t)bytes) ||
	    fcntl(*fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)) {
		snprintf(err, err_len, "%s: %llu bytes: %s", name, (unsigned long long)bytes,
			 strerror(errno));
		return -errno;
	}
	*map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, *fd, 0);
	if (*map == MAP_FAILED) {
		*map = NULL;
		snprintf(err, err_len,
			 "%s: mapping %llu bytes: %s (address space limit, or vm.overcommit?)",
			 name, (unsigned long long)bytes, strerror(errno));
		return -errno;
	}
	return 0;
}

struct snpu_npu *snpu_npu_create(struct snpu_machine *m, unsigned int index, char *err,
				 size_t err_len)
{
	const struct snpu_profile *p = m->profile;
	unsigned int per_host = (unsigned int)snpu_fig_u64(&p->machine.npus_per_host);
	struct snpu_npu *n;
	char name[32];
	void *map;

	n = calloc(1, sizeof(*n));
	if (!n) {
		snprintf(err, err_len, "out of memory");
		return NULL;
	}
	n->m = m;
	n->index = index;
	n->node = m->first_node + index;
	n->host = n->node / per_host;
	n->slot = n->node % per_host;
	n->num_queues = (uint32_t)snpu_fig_u64(&p->device.queues);
	n->num_ctx = (uint32_t)snpu_fig_u64(&p->device.contexts);
	n->num_segs = (uint32_t)snpu_fig_u64(&p->device.segments);
	n->num_imports = (uint32_t)snpu_fig_u64(&p->device.imports);
	n->hbm_size = snpu_fig_u64(&p->npu.hbm_bytes);
	n->bar2_size = round_up_pow2(n->hbm_size);
	n->hbm_fd = -1;
	n->db_fd = -1;
	n->status = SNPU_STATUS_READY;
	pthread_mutex_init(&n->lock, NULL);
	pthread_mutex_init(&n->bus_lock, NULL);
	pthread_mutex_init(&n->ev_lock, NULL);
	pthread_mutex_init(&n->ras_lock, NULL);
	pthread_mutex_init(&n->cfg_lock, NULL);

	snprintf(name, sizeof(name), "snpu%u-hbm", n->node);
	if (shared_mem(name, n->bar2_size, &n->hbm_fd, &map, err, err_len))
		goto fail;
	n->hbm = map;
	snprintf(name, sizeof(name), "snpu%u-doorbells", n->node);
	if (shared_mem(name, snpu_npu_doorbell_size(), &n->db_fd, &map, err, err_len))
		goto fail;
	n->doorbells = map;

	n->queues = calloc(n->num_queues, sizeof(*n->queues));
	n->ctxs = calloc(n->num_ctx, sizeof(*n->ctxs));
	n->epochs = calloc(n->num_queues, sizeof(*n->epochs));
	n->cfg = calloc(1, SNPU_CFG_BYTES);
	n->msix = calloc(1, SNPU_BAR_MSIX_SIZE);
	if (!n->queues || !n->ctxs || !n->epochs || !n->cfg || !n->msix ||
	    (m->plog && snpu_semgen_init(n)) || snpu_mem_init(n)) {
		snprintf(err, err_len, "out of memory");
		goto fail;
	}
	snpu_pci_init(n);
	return n;
fail:
	snpu_npu_destroy(n);
	return NULL;
}

void snpu_npu_destroy(struct snpu_npu *n)
{
	if (!n)
		return;
	if (n->hbm)
		munmap(n->hbm, n->bar2_size);
	if (n->doorbells)
		munmap(n->doorbells, snpu_npu_doorbell_size());
	if (n->hbm_fd >= 0)
		close(n->hbm_fd);
	if (n->db_fd >= 0)
		close(n->db_fd);
	snpu_semgen_fini(n);
	free(n->marks);
	free(n->queues);
	free(n->ctxs);
	free(n->epochs);
	free(n->exports);
	free(n->imports);
	free(n->poison);
	free(n->cfg);
	free(n->msix);
	pthread_mutex_destroy(&n->lock);
	pthread_mutex_destroy(&n->bus_lock);
	pthread_mutex_destroy(&n->ev_lock);
	pthread_mutex_destroy(&n->ras_lock);
	pthread_mutex_destroy(&n->cfg_lock);
	free(n);
}

/*
 * Everything the function was given is gone on return; called with n->lock held. The register keeps
 * config space: a driver that resets its function so expects it to decode addresses afterwards.
 */
void snpu_npu_reset_locked(struct snpu_npu *n, bool config)
{
	uint32_t i;

	snpu_store(&n->status, 0);
	for (i = 0; i < n->num_queues; i++)
		if (n->queues[i])
			(void)snpu_queue_destroy(n, i, SNPU_ERR_ABORTED);
	snpu_fabric_reset(n);
	for (i = 0; i < n->num_ctx; i++) {
		free(n->ctxs[i]);
		n->ctxs[i] = NULL;
	}
	n->admin_addr = 0;
	snpu_event_reset(n);
	if (config) {
		snpu_pci_reset(n);
		snpu_npu_master_changed(n);
	} else {
		snpu_pci_mask(n);
	}
	snpu_add(&n->resets, 1);
	snpu_store_rel(&n->status, SNPU_STATUS_READY);
}

void snpu_npu_reset(struct snpu_npu *n)
{
	pthread_mutex_lock(&n->lock);
	snpu_npu_reset_locked(n, true);
	pthread_mutex_unlock(&n->lock);
}

void snpu_npu_set_bus(struct snpu_npu *n, const struct snpu_bus *bus)
{
	struct snpu_bus *store;

	pthread_mutex_lock(&n->lock);
	snpu_npu_reset_locked(n, true);
	pthread_mutex_lock(&n->bus_lock);
	snpu_pci_connect(n);
	/* workers may read the old one until the quiesce, so the new one goes to another place */
	store = n->host_bus == &n->bus_store[0] ? &n->bus_store[1] : &n->bus_store[0];
	if (bus)
		*store = *bus;
	n->host_bus = bus ? store : NULL;
	snpu_store(&n->attached, bus != NULL);
	snpu_store_rel(&n->bus, snpu_pci_masters(n) ? n->host_bus : NULL);
	snpu_add(&n->bus_gen, 1);
	pthread_mutex_unlock(&n->bus_lock);
	snpu_quiesce(n->m);
	/* nothing reaches it any more: neither the next client nor the budget is to find it */
	if (!bus) {
		snpu_mem_scrub(n, 0, n->bar2_size);
		(void)fallocate(n->hbm_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
				(off_t)n->bar2_size);
	}
	pthread_mutex_unlock(&n->lock);
}

void snpu_npu_master_changed(struct snpu_npu *n)
{
	const struct snpu_bus *bus;

	pthread_mutex_lock(&n->bus_lock);
	bus = snpu_pci_masters(n) ? n->host_bus : NULL;
	if (bus == n->bus) {
		pthread_mutex_unlock(&n->bus_lock);
		return;
	}
	snpu_store_rel(&n->bus, bus);
	snpu_add(&n->bus_gen, 1);
	pthread_mutex_unlock(&n->bus_lock);
	snpu_quiesce(n->m);
}

void snpu_npu_bus_changed(struct snpu_npu *n)
{
	pthread_mutex_lock(&n->bus_lock);
	snpu_add(&n->bus_gen, 1);
	pthread_mutex_unlock(&n->bus_lock);
	snpu_quiesce(n->m);
}

void snpu_npu_memory_lost(struct snpu_npu *n)
{
	/* each queue compares it before it believes what it has read, see snpu_exec_lost() */
	snpu_add(&n->bus_gen, 1);
}

/* Worker in a section, or holder of bus_lock */
void snpu_npu_irq(struct snpu_npu *n, unsigned int vector)
{
	const struct snpu_bus *bus = snpu_load_acq(&n->bus);

	if (!bus || !bus->ops->irq || vector >= SNPU_MSIX_VECTORS)
		return;
	__atomic_fetch_add(&n->cnt_irqs, 1, __ATOMIC_RELAXED);
	bus->ops->irq(bus->priv, vector);
}

int snpu_npu_hbm_fd(const struct snpu_npu *n)
{
	return n->hbm_fd;
}

uint64_t snpu_npu_hbm_size(const struct snpu_npu *n)
{
	return n->hbm_size;
}

uint64_t snpu_npu_bar2_size(const struct snpu_npu *n)
{
	return n->bar2_size;
}

uint8_t *snpu_npu_hbm(const struct snpu_npu *n)
{
	return n->hbm;
}

int snpu_npu_doorbell_fd(const struct snpu_npu *n)
{
	return n->db_fd;
}

uint64_t snpu_npu_doorbell_size(void)
{
	return (uint64_t)SNPU_MAX_QUEUES * SNPU_DB_STRIDE;
}

unsigned int snpu_npu_index(const struct snpu_npu *n)
{
	return n->index;
}

void snpu_npu_get_info(struct snpu_npu *n, struct snpu_npu_info *info)
{
	*info = (struct snpu_npu_info) {
		.index = n->index,
		.node = n->node,
		.host = n->host,
		.slot = n->slot,
		.status = snpu_load(&n->status),
		.segs = n->num_segs,
		.imports = n->num_imports,
		.queues = n->num_queues,
		.contexts = n->num_ctx,
		.serial = snpu_npu_reg_read(n, SNPU_REG_SERIAL, 8),
		.hbm_bytes = n->hbm_size,
		.attached = snpu_load(&n->attached),
	};
}

/*
 * The rate of ticks is measured again for each report, so the same number of ticks gives a few ns
 * more or less. A reader takes a counter that goes back for one that was reset: never go back.
 */
static uint64_t busy_ns(struct snpu_npu *n)
{
	uint64_t ns = snpu_machine_ticks_ns(n->m, snpu_load(&n->cnt_busy_ticks));
	uint64_t last = snpu_load(&n->busy_ns);

	while (ns > last)
		if (__atomic_compare_exchange_n(&n->busy_ns, &last, ns, true, __ATOMIC_RELAXED,
						__ATOMIC_RELAXED))
			return ns;
	return last;
}

void snpu_npu_get_counters(struct snpu_npu *n, struct snpu_npu_counters *c)
{
	struct stat st;

	*c = (struct snpu_npu_counters) {
		.packets = snpu_load(&n->cnt_packets),
		.bytes_read = snpu_load(&n->cnt_read),
		.bytes_written = snpu_load(&n->cnt_written),
		.flops = snpu_load(&n->cnt_flops),
		.faults = snpu_load(&n->cnt_faults),
		.busy_ns = busy_ns(n),
		.events = snpu_load(&n->cnt_events),
		.events_lost = snpu_load(&n->ev_lost),
		.events_merged = snpu_load(&n->cnt_merged),
		.irqs = snpu_load(&n->cnt_irqs),
		.ras_ce = snpu_load(&n->ras_ce),
		.ras_ue = snpu_load(&n->ras_ue),
		.resets = snpu_load(&n->resets),
		.admin_cmds = snpu_load(&n->cnt_admin),
		.admin_errors = snpu_load(&n->cnt_admin_errors),
	};
	if (!fstat(n->hbm_fd, &st))
		c->hbm_resident = (uint64_t)st.st_blocks * 512;
}

unsigned int snpu_npu_get_queues(struct snpu_npu *n, struct snpu_queue_info *info,
				 unsigned int max)
{
	static const uint32_t pub[] = {
		[SNPU_RUN_STOPPED] = SNPU_QSTATE_STOPPED,
		[SNPU_RUN_READY] = SNPU_QSTATE_RUN,
		[SNPU_RUN_BLOCKED] = SNPU_QSTATE_BLOCKED,
		[SNPU_RUN_SUSPENDED] = SNPU_QSTATE_SUSPENDED,
		[SNPU_RUN_FAULT] = SNPU_QSTATE_FAULT,
		[SNPU_RUN_HUNG] = SNPU_QSTATE_RUN,
		[SNPU_RUN_ASIDE] = SNPU_QSTATE_RUN,
		[SNPU_RUN_ASIDE_BLOCKED] = SNPU_QSTATE_BLOCKED,
	};
	unsigned int i, k = 0;

	pthread_mutex_lock(&n->lock);
	for (i = 0; i < n->num_queues && k < max; i++) {
		struct snpu_queue *q = n->queues[i];

		if (!q)
			continue;
		info[k++] = (struct snpu_queue_info) {
			.queue = q->id,
			.ctx = q->ctx->id,
			.prio = q->prio,
			.vector = q->vector,
			.ring_entries = q->ring_entries,
			.state = pub[snpu_load(&q->run)],
			.error = snpu_load(&q->error),
			.error_aux = snpu_load(&q->error_aux),
			.completed = snpu_load(&q->head),
			.doorbell = snpu_load(q->db),
			.fault_index = snpu_load(&q->error) ? snpu_load(&q->head) : 0,
			.fault_va = snpu_load(&q->fault_va),
			.packets = snpu_load(&q->packets),
		};
	}
	pthread_mutex_unlock(&n->lock);
	return k;
}

const char *snpu_qstate_name(unsigned int state)
{
	static const char *const names[] = {
		"none", "run", "blocked", "suspended", "fault", "stopped",
	};

	return state < sizeof(names) / sizeof(names[0]) ? names[state] : "?";
}

const char *snpu_err_name(unsigned int err)
{
	static const char *const names[] = {
		"none", "opcode", "field", "align", "unmapped", "perm", "pte", "bus", "fabric",
		"poison", "timeout", "doorbell", "nesting", "index", "aborted", "internal",
		"nomem",
	};

	return err < sizeof(names) / sizeof(names[0]) ? names[err] : "?";
}
