// SPDX-License-Identifier: MIT
/*
 * Commands: which there are, how long they may be, and the short ones.
 */
#include <errno.h>
#include <string.h>

#include "vfu_priv.h"

static int cmd_version(struct snpu_vfu_dev *d, struct vfu_req *q, struct vfu_reply *r)
{
	struct snpu_vfu_caps ours = {
		.max_fds = SNPU_VFU_MAX_FDS,
		.max_xfer = SNPU_VFU_MAX_XFER,
		.pgsizes = SNPU_VFU_PAGE,
		.max_maps = d->srv->cfg.max_dma_maps,
		.multi = true,
	};
	struct snpu_vfu_version v;
	uint8_t *out;
	char err[160];
	int ret;

	if (d->versioned) {
		vfu_complain(d, "client closed: a second VERSION");
		return VFU_CLOSE;
	}
	memcpy(&v, q->data, sizeof(v));
	if (v.major != SNPU_VFU_MAJOR) {
		vfu_complain(d, "client closed: it speaks version %u.%u, allowed %u.x", v.major,
			     v.minor, SNPU_VFU_MAJOR);
		return VFU_CLOSE;
	}
	ret = snpu_vfu_caps_parse((const char *)q->data + sizeof(v), q->len - sizeof(v), &d->peer,
				  err, sizeof(err));
	if (ret) {
		vfu_complain(d, "client closed: %s", ret == -EINVAL ? err : strerror(-ret));
		return VFU_CLOSE;
	}

	ret = d->ops->connect ? d->ops->connect(d->priv) : 0;
	if (ret) {
		vfu_complain(d, "client closed: the device does not take it: %s", strerror(-ret));
		return VFU_CLOSE;
	}
	d->versioned = true;
	vfu_dma_begin(d, d->peer.max_xfer);
	pthread_mutex_lock(&d->lock);
	d->connected = true;
	pthread_mutex_unlock(&d->lock);

	out = vfu_buf_get(&d->out, sizeof(v) + SNPU_VFU_MAX_JSON);
	if (!out)
		return VFU_CLOSE;
	v.minor = v.minor < SNPU_VFU_MINOR ? v.minor : SNPU_VFU_MINOR;
	memcpy(out, &v, sizeof(v));
	/* a subset of what the client has named, by the rules; QEMU takes no larger number of maps
	 * than its own, and sends more all the same if its guest has a vIOMMU
	 */
	ours.named = d->peer.named;
	if (ours.max_maps > d->peer.max_maps)
		ours.max_maps = d->peer.max_maps;
	ret = snpu_vfu_caps_print(&ours, (char *)out + sizeof(v), SNPU_VFU_MAX_JSON);
	if (ret < 0)
		return VFU_CLOSE;
	r->iov[0] = (struct iovec){ .iov_base = out, .iov_len = sizeof(v) + (size_t)ret };
	r->n = 1;
	return 0;
}

static int cmd_info(struct snpu_vfu_dev *d, struct vfu_req *q, struct vfu_reply *r)
{
	struct snpu_vfu_info *out, in;

	memcpy(&in, q->data, sizeof(in));
	if (in.argsz < sizeof(in)) {
		vfu_complain(d, "GET_INFO: argsz %u, allowed from %zu", in.argsz, sizeof(in));
		return -EINVAL;
	}
	out = (struct snpu_vfu_info *)vfu_buf_get(&d->out, sizeof(*out));
	if (!out)
		return -ENOMEM;
	*out = (struct snpu_vfu_info){
		.argsz = sizeof(*out),
		.flags = VFIO_DEVICE_FLAGS_PCI | (d->ops->reset ? VFIO_DEVICE_FLAGS_RESET : 0),
		.num_regions = SNPU_VFU_REGIONS,
		.num_irqs = SNPU_VFU_IRQS,
	};
	r->iov[0] = (struct iovec){ .iov_base = out, .iov_len = sizeof(*out) };
	r->n = 1;
	return 0;
}

static int cmd_reset(struct snpu_vfu_dev *d, struct vfu_req *q, struct vfu_reply *r)
{
	int ret;

	(void)q;
	(void)r;
	if (!d->ops->reset) {
		vfu_complain(d, "RESET: this device has none, as GET_INFO says");
		return -ENOTSUP;
	}
	vfu_dma_gate(d, true);
	ret = d->ops->reset(d->priv);
	vfu_dma_gate(d, false);
	vfu_irq_clear(d, false);
	vfu_msi_clear(d, false);
	return ret;
}

#define ANY	(SNPU_VFU_MAX_MSG - sizeof(struct snpu_vfu_hdr))

static const struct cmd {
	const char *name;
	int (*run)(struct snpu_vfu_dev *d, struct vfu_req *q, struct vfu_reply *r);
	size_t min, max;
	unsigned int fds;
} cmds[] = {
	[SNPU_VFU_CMD_VERSION] = { "VERSION", cmd_version, sizeof(struct snpu_vfu_version),
		sizeof(struct snpu_vfu_version) + SNPU_VFU_MAX_JSON, 0 },
	[SNPU_VFU_CMD_DMA_MAP] = { "DMA_MAP", vfu_cmd_dma_map, sizeof(struct snpu_vfu_dma_map),
		sizeof(struct snpu_vfu_dma_map), 1 },
	[SNPU_VFU_CMD_DMA_UNMAP] = { "DMA_UNMAP", vfu_cmd_dma_unmap,
		sizeof(struct snpu_vfu_dma_unmap), sizeof(struct snpu_vfu_dma_unmap), 0 },
	[SNPU_VFU_CMD_GET_INFO] = { "GET_INFO", cmd_info, sizeof(struct snpu_vfu_info),
		sizeof(struct snpu_vfu_info), 0 },
	[SNPU_VFU_CMD_GET_REGION_INFO] = { "GET_REGION_INFO", vfu_cmd_region_info,
		sizeof(struct snpu_vfu_region_info), sizeof(struct snpu_vfu_region_info), 0 },
	[SNPU_VFU_CMD_GET_REGION_IO_FDS] = { "GET_REGION_IO_FDS", NULL, 0, ANY, 0 },
	[SNPU_VFU_CMD_GET_IRQ_INFO] = { "GET_IRQ_INFO", vfu_cmd_irq_info,
		sizeof(struct snpu_vfu_irq_info), sizeof(struct snpu_vfu_irq_info), 0 },
	[SNPU_VFU_CMD_SET_IRQS] = { "SET_IRQS", vfu_cmd_set_irqs, sizeof(struct snpu_vfu_irq_set),
		sizeof(struct snpu_vfu_irq_set) + 4 * SNPU_VFU_MAX_VECTORS, SNPU_VFU_MAX_FDS },
	[SNPU_VFU_CMD_REGION_READ] = { "REGION_READ", vfu_cmd_region_read,
		sizeof(struct snpu_vfu_region_rw), sizeof(struct snpu_vfu_region_rw), 0 },
	[SNPU_VFU_CMD_REGION_WRITE] = { "REGION_WRITE", vfu_cmd_region_write,
		sizeof(struct snpu_vfu_region_rw),
		sizeof(struct snpu_vfu_region_rw) + SNPU_VFU_MAX_XFER, 0 },
	[SNPU_VFU_CMD_DMA_READ] = { "DMA_READ", NULL, 0, ANY, 0 },
	[SNPU_VFU_CMD_DMA_WRITE] = { "DMA_WRITE", NULL, 0, ANY, 0 },
	[SNPU_VFU_CMD_RESET] = { "RESET", cmd_reset, 0, 0, 0 },
	[SNPU_VFU_CMD_REGION_WRITE_MULTI] = { "REGION_WRITE_MULTI", vfu_cmd_region_write_multi,
		sizeof(uint64_t), sizeof(uint64_t) + SNPU_VFU_MAX_XFER, 0 },
	[SNPU_VFU_CMD_DEVICE_FEATURE] = { "DEVICE_FEATURE", NULL, 0, ANY, 0 },
	[SNPU_VFU_CMD_MIG_DATA_READ] = { "MIG_DATA_READ", NULL, 0, ANY, 0 },
	[SNPU_VFU_CMD_MIG_DATA_WRITE] = { "MIG_DATA_WRITE", NULL, 0, ANY, 0 },
};

#define CMDS	(sizeof(cmds) / sizeof(cmds[0]))

const char *vfu_cmd_name(unsigned int cmd)
{
	return cmd < CMDS && cmds[cmd].name ? cmds[cmd].name : "unknown";
}

int vfu_cmd_run(struct snpu_vfu_dev *d, struct vfu_req *q, struct vfu_reply *r)
{
	const struct cmd *c;

	if (q->hdr.cmd >= CMDS || !cmds[q->hdr.cmd].run) {
		/* optional ones that a client tries are no error of its */
		if (vfu_cmd_name(q->hdr.cmd)[0] == 'u')
			vfu_complain(d, "message %u: command %u is unknown, allowed 1..%zu",
				     q->hdr.id, q->hdr.cmd, CMDS - 1);
		return -ENOTSUP;
	}
	c = &cmds[q->hdr.cmd];
	if (q->len < c->min || q->len > c->max) {
		vfu_complain(d, "message %u (%s): payload %zu bytes, allowed %zu..%zu", q->hdr.id,
			     c->name, q->len, c->min, c->max);
		/* no common ground without it */
		return q->hdr.cmd == SNPU_VFU_CMD_VERSION ? VFU_CLOSE : -EINVAL;
	}
	if (q->fds.n > c->fds) {
		vfu_complain(d, "message %u (%s): %u file descriptors, allowed 0..%u", q->hdr.id,
			     c->name, q->fds.n, c->fds);
		return q->hdr.cmd == SNPU_VFU_CMD_VERSION ? VFU_CLOSE : -EINVAL;
	}
	return c->run(d, q, r);
}
