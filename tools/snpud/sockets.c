// SPDX-License-Identifier: MIT
/*
 * Puts the device core behind the vfio-user server: one socket for each NPU.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device/npu.h"
#include "log/log.h"
#include "snpud.h"
#include "vfio/vfu_server.h"

struct function {
	struct snpu_npu *npu;
	struct snpu_vfu_dev *dev;
	bool messages;		/* the client has described memory without a descriptor */
};

struct snpud_sockets {
	struct snpu_vfu_server *srv;
	unsigned int n;
	struct function fn[];
};

/* ---- the client's memory and interrupts, for the core ---- */

static int bus_translate(void *priv, uint64_t iova, bool write, void **host, uint64_t *run)
{
	struct function *f = priv;

	return snpu_vfu_dma_translate(f->dev, iova, write, host, run);
}

static int bus_read(void *priv, uint64_t iova, void *buf, size_t len)
{
	struct function *f = priv;

	return snpu_vfu_msg_read(f->dev, iova, buf, len);
}

static int bus_write(void *priv, uint64_t iova, const void *buf, size_t len)
{
	struct function *f = priv;

	return snpu_vfu_msg_write(f->dev, iova, buf, len);
}

static void bus_cancel(void *priv)
{
	struct function *f = priv;

	snpu_vfu_msg_cancel(f->dev);
}

static bool bus_messages(void *priv)
{
	struct function *f = priv;

	return __atomic_load_n(&f->messages, __ATOMIC_RELAXED);
}

/* A client that gave no eventfd gets the message that its guest has put into the MSI-X table */
static void bus_irq(void *priv, unsigned int vector)
{
	struct function *f = priv;
	struct snpu_msi msg;

	if (snpu_vfu_irq_trigger(f->dev, vector) && snpu_npu_msix_raise(f->npu, vector, &msg))
		snpu_vfu_msi_send(f->dev, vector, msg.addr, msg.data);
}

/* A write may have unmasked or enabled what is pending */
static void send_pending(struct function *f)
{
	struct snpu_msi msg;
	int v;

	while ((v = snpu_npu_msix_pending(f->npu, &msg)) >= 0)
		snpu_vfu_msi_send(f->dev, (unsigned int)v, msg.addr, msg.data);
}

static bool bus_lost(void *priv, const void *host, uint64_t len)
{
	struct function *f = priv;

	return snpu_vfu_dma_lost(f->dev, host, len);
}

static const struct snpu_bus_ops bus_ops = {
	.translate = bus_translate,
	.read = bus_read,
	.write = bus_write,
	.cancel = bus_cancel,
	.messages = bus_messages,
	.irq = bus_irq,
	.lost = bus_lost,
};

/* ---- the function, for the client ---- */

static int fn_connect(void *priv)
{
	struct function *f = priv;
	struct snpu_bus bus = { &bus_ops, f };

	__atomic_store_n(&f->messages, false, __ATOMIC_RELAXED);
	snpu_npu_show_msix(f->npu, false);
	snpu_npu_set_bus(f->npu, &bus);
	return 0;
}

static void fn_disconnect(void *priv)
{
	struct function *f = priv;

	snpu_npu_set_bus(f->npu, NULL);
}

/* Before the client is answered: no packet that it submits afterwards can miss it */
static void fn_dma_map(void *priv, uint64_t iova, uint64_t size)
{
	struct function *f = priv;
	void *host;
	uint64_t run;

	(void)size;
	if (snpu_vfu_dma_translate(f->dev, iova, false, &host, &run) == -EOPNOTSUPP ||
	    snpu_vfu_dma_translate(f->dev, iova, true, &host, &run) == -EOPNOTSUPP)
		__atomic_store_n(&f->messages, true, __ATOMIC_RELAXED);
}

static void fn_dma_unmap(void *priv, uint64_t iova, uint64_t size)
{
	struct function *f = priv;

	(void)iova;
	(void)size;
	snpu_npu_bus_changed(f->npu);
}

static void fn_dma_lost(void *priv)
{
	struct function *f = priv;

	snpu_npu_memory_lost(f->npu);
}

static int fn_reset(void *priv)
{
	struct function *f = priv;

	snpu_npu_reset(f->npu);
	/* the client has read the capabilities by now: see device/pci.c */
	snpu_npu_show_msix(f->npu, true);
	return 0;
}

static int fn_read(void *priv, unsigned int region, uint64_t off, void *buf, size_t len)
{
	struct function *f = priv;
	uint64_t v;

	switch (region) {
	case VFIO_PCI_BAR0_REGION_INDEX:
		v = snpu_npu_reg_read(f->npu, off, (unsigned int)len);
		memcpy(buf, &v, len);
		return 0;
	case VFIO_PCI_BAR4_REGION_INDEX:
		snpu_npu_msix_read(f->npu, off, buf, len);
		return 0;
	case VFIO_PCI_CONFIG_REGION_INDEX:
		snpu_npu_cfg_read(f->npu, off, buf, len);
		return 0;
	}
	return -EINVAL;
}

static int fn_write(void *priv, unsigned int region, uint64_t off, const void *buf, size_t len)
{
	struct function *f = priv;
	uint64_t v = 0;

	switch (region) {
	case VFIO_PCI_BAR0_REGION_INDEX:
		memcpy(&v, buf, len);
		snpu_npu_reg_write(f->npu, off, (unsigned int)len, v);
		return 0;
	case VFIO_PCI_BAR4_REGION_INDEX:
		snpu_npu_msix_write(f->npu, off, buf, len);
		send_pending(f);
		return 0;
	case VFIO_PCI_CONFIG_REGION_INDEX:
		snpu_npu_cfg_write(f->npu, off, buf, len);
		send_pending(f);
		return 0;
	}
	return -EINVAL;
}

static const struct snpu_vfu_ops fn_ops = {
	.connect = fn_connect,
	.region_read = fn_read,
	.region_write = fn_write,
	.dma_map = fn_dma_map,
	.dma_unmap = fn_dma_unmap,
	.dma_lost = fn_dma_lost,
	.reset = fn_reset,
	.disconnect = fn_disconnect,
};

__attribute__((format(printf, 3, 4)))
static void vfu_log(void *ctx, int level, const char *fmt, ...)
{
	char line[512];
	va_list ap;

	(void)ctx;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	snpu_log(level <= SNPU_VFU_LOG_WARN ? SNPU_LOG_ERR :
		 level == SNPU_VFU_LOG_INFO ? SNPU_LOG_INFO : SNPU_LOG_DEBUG, "%s", line);
}

static int function_create(struct snpud_sockets *s, unsigned int i, const char *dir, char *path,
			   size_t path_len)
{
	const uint32_t rw = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
	const struct snpu_vfu_area doorbells = {
		.offset = SNPU_DB_OFFSET,
		.size = snpu_npu_doorbell_size(),
	};
	struct function *f = &s->fn[i];
	char name[16];
	struct snpu_vfu_dev_cfg cfg = {
		.path = path,
		.name = name,
		.ops = &fn_ops,
		.priv = f,
		.nr_vectors = SNPU_MSIX_VECTORS,
		.regions = {
			[VFIO_PCI_BAR0_REGION_INDEX] = {
				.size = SNPU_BAR_REGS_SIZE,
				.flags = rw | VFIO_REGION_INFO_FLAG_MMAP,
				.fd = snpu_npu_doorbell_fd(f->npu),
				.fd_offset = -(uint64_t)SNPU_DB_OFFSET,
				.areas = &doorbells,
				.nr_areas = 1,
			},
			[VFIO_PCI_BAR2_REGION_INDEX] = {
				.size = snpu_npu_bar2_size(f->npu),
				.flags = rw | VFIO_REGION_INFO_FLAG_MMAP,
				.fd = snpu_npu_hbm_fd(f->npu),
			},
			[VFIO_PCI_BAR4_REGION_INDEX] = {
				.size = SNPU_BAR_MSIX_SIZE,
				.flags = rw,
				.fd = -1,
			},
			[VFIO_PCI_CONFIG_REGION_INDEX] = {
				.size = SNPU_CFG_BYTES,
				.flags = rw,
				.fd = -1,
			},
		},
	};

	snprintf(name, sizeof(name), "npu%u", i);
	if (snprintf(path, path_len, "%s/npu%u.sock", dir, i) >= (int)path_len)
		return -ENAMETOOLONG;
	return snpu_vfu_dev_create(s->srv, &cfg, &f->dev);
}

/*
 * How much of the process a client may have. The kernel gives it vm.max_map_count mappings; a
 * quarter is kept for snpud itself, a mapping of a client can become two (see vfu_sigbus.h), and a
 * half of the rest is each client's for sure. Of 128 TiB of address space 16 are kept, and HBM
 * takes some.
 */
static void client_limits(struct snpu_machine *m, struct snpu_vfu_server_cfg *cfg)
{
	unsigned int i, n = snpu_machine_npus(m), maps = 65530;
	uint64_t room = 112ull << 40, hbm = 0;
	FILE *f = fopen("/proc/sys/vm/max_map_count", "re");

	if (f) {
		if (fscanf(f, "%u", &maps) != 1)
			maps = 65530;
		fclose(f);
	}
	maps = maps / 4 * 3 / 2;
	cfg->dma_files = maps / 2 / n > 4 ? maps / 2 / n : 4;
	cfg->dma_file_pool = maps > cfg->dma_files * n ? maps - cfg->dma_files * n : 0;
	for (i = 0; i < n; i++)
		hbm += snpu_npu_bar2_size(snpu_machine_npu(m, i));
	room -= hbm < room / 4 * 3 ? hbm : room / 4 * 3;
	cfg->max_dma_bytes = room / n;
}

struct snpud_sockets *snpud_sockets_create(const char *dir, struct snpu_machine *m, char *err,
					   size_t err_len)
{
	struct snpu_vfu_server_cfg cfg = { .log = vfu_log };
	unsigned int i, n = snpu_machine_npus(m);
	struct snpud_sockets *s;
	char path[256];
	int ret;

	s = calloc(1, sizeof(*s) + n * sizeof(s->fn[0]));
	if (!s) {
		snprintf(err, err_len, "out of memory");
		return NULL;
	}
	client_limits(m, &cfg);
	ret = snpu_vfu_server_create(&cfg, &s->srv);
	if (ret) {
		snprintf(err, err_len, "vfio-user server: %s", strerror(-ret));
		free(s);
		return NULL;
	}
	for (i = 0; i < n; i++) {
		s->fn[i].npu = snpu_machine_npu(m, i);
		ret = function_create(s, i, dir, path, sizeof(path));
		if (ret) {
			snprintf(err, err_len, "%s: %s%s", path, strerror(-ret),
				 ret == -EMFILE ? " (raise the limit: ulimit -Hn)" : "");
			snpud_sockets_destroy(s);
			return NULL;
		}
		s->n++;
	}
	return s;
}

void snpud_sockets_destroy(struct snpud_sockets *s)
{
	if (!s)
		return;
	snpu_vfu_server_destroy(s->srv);
	free(s);
}
