/* SPDX-License-Identifier: MIT */
/*
 * Wire format of vfio-user, as in docs/interop/vfio-user.rst of QEMU. What the protocol shares with
 * the kernel's VFIO comes from <linux/vfio.h>; structs of the latter that have grown since are
 * spelled out here, because the wire keeps their old size.
 */
#ifndef SNPU_VFU_PROTO_H
#define SNPU_VFU_PROTO_H

#include <assert.h>
#include <stdint.h>

#include <linux/vfio.h>

#define SNPU_VFU_MAJOR		0
#define SNPU_VFU_MINOR		1

enum {
	SNPU_VFU_CMD_VERSION = 1,
	SNPU_VFU_CMD_DMA_MAP = 2,
	SNPU_VFU_CMD_DMA_UNMAP = 3,
	SNPU_VFU_CMD_GET_INFO = 4,
	SNPU_VFU_CMD_GET_REGION_INFO = 5,
	SNPU_VFU_CMD_GET_REGION_IO_FDS = 6,
	SNPU_VFU_CMD_GET_IRQ_INFO = 7,
	SNPU_VFU_CMD_SET_IRQS = 8,
	SNPU_VFU_CMD_REGION_READ = 9,
	SNPU_VFU_CMD_REGION_WRITE = 10,
	SNPU_VFU_CMD_DMA_READ = 11,
	SNPU_VFU_CMD_DMA_WRITE = 12,
	SNPU_VFU_CMD_RESET = 13,
	SNPU_VFU_CMD_REGION_WRITE_MULTI = 15,
	SNPU_VFU_CMD_DEVICE_FEATURE = 16,
	SNPU_VFU_CMD_MIG_DATA_READ = 17,
	SNPU_VFU_CMD_MIG_DATA_WRITE = 18,
};

#define SNPU_VFU_F_TYPE		0xfu
#define SNPU_VFU_F_COMMAND	0x0u
#define SNPU_VFU_F_REPLY	0x1u
#define SNPU_VFU_F_NO_REPLY	0x10u
#define SNPU_VFU_F_ERROR	0x20u
#define SNPU_VFU_F_ALL		(SNPU_VFU_F_TYPE | SNPU_VFU_F_NO_REPLY | SNPU_VFU_F_ERROR)

/* Limits of either side */
#define SNPU_VFU_MAX_FDS	8u		/* descriptors in one message */
#define SNPU_VFU_MAX_XFER	(1u << 20)	/* data bytes in one message */
#define SNPU_VFU_MAX_JSON	4096u		/* version data */
#define SNPU_VFU_MAX_MSG	(SNPU_VFU_MAX_XFER + 4096u)
#define SNPU_VFU_PAGE		4096u		/* granule of DMA mappings */
#define SNPU_VFU_DEF_FDS	1u		/* a peer that names no max_msg_fds */

struct snpu_vfu_hdr {
	uint16_t id;
	uint16_t cmd;
	uint32_t size;
	uint32_t flags;
	uint32_t error;
};

struct snpu_vfu_version {
	uint16_t major;
	uint16_t minor;
};

struct snpu_vfu_dma_map {
	uint32_t argsz;
	uint32_t flags;
	uint64_t offset;
	uint64_t iova;
	uint64_t size;
};

struct snpu_vfu_dma_unmap {
	uint32_t argsz;
	uint32_t flags;
	uint64_t iova;
	uint64_t size;
};

struct snpu_vfu_info {
	uint32_t argsz;
	uint32_t flags;
	uint32_t num_regions;
	uint32_t num_irqs;
};

struct snpu_vfu_region_info {
	uint32_t argsz;
	uint32_t flags;
	uint32_t index;
	uint32_t cap_offset;
	uint64_t size;
	uint64_t offset;
};

struct snpu_vfu_sparse_hdr {
	uint16_t id;
	uint16_t version;
	uint32_t next;
	uint32_t nr_areas;
	uint32_t reserved;
};

struct snpu_vfu_area {
	uint64_t offset;
	uint64_t size;
};

struct snpu_vfu_irq_info {
	uint32_t argsz;
	uint32_t flags;
	uint32_t index;
	uint32_t count;
};

struct snpu_vfu_irq_set {
	uint32_t argsz;
	uint32_t flags;
	uint32_t index;
	uint32_t start;
	uint32_t count;
};

struct snpu_vfu_region_rw {
	uint64_t offset;
	uint32_t region;
	uint32_t count;
};

struct snpu_vfu_write_one {
	uint64_t offset;
	uint32_t region;
	uint32_t count;
	uint8_t data[8];
};

struct snpu_vfu_dma_rw {
	uint64_t iova;
	uint64_t count;
};

static_assert(sizeof(struct snpu_vfu_hdr) == 16, "wire");
static_assert(sizeof(struct snpu_vfu_version) == 4, "wire");
static_assert(sizeof(struct snpu_vfu_dma_map) == 32, "wire");
static_assert(sizeof(struct snpu_vfu_dma_unmap) == 24, "wire");
static_assert(sizeof(struct snpu_vfu_info) == 16, "wire");
static_assert(sizeof(struct snpu_vfu_region_info) == sizeof(struct vfio_region_info), "wire");
static_assert(sizeof(struct snpu_vfu_sparse_hdr) ==
	      sizeof(struct vfio_region_info_cap_sparse_mmap), "wire");
static_assert(sizeof(struct snpu_vfu_area) == sizeof(struct vfio_region_sparse_mmap_area), "wire");
static_assert(sizeof(struct snpu_vfu_irq_info) == sizeof(struct vfio_irq_info), "wire");
static_assert(sizeof(struct snpu_vfu_irq_set) == sizeof(struct vfio_irq_set), "wire");
static_assert(sizeof(struct snpu_vfu_region_rw) == 16, "wire");
static_assert(sizeof(struct snpu_vfu_write_one) == 24, "wire");
static_assert(sizeof(struct snpu_vfu_dma_rw) == 16, "wire");

#endif
