// SPDX-License-Identifier: MIT
/*
 * kmd transport: finding device nodes, facts, counters, contexts.
 */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <grp.h>
#include <xf86drm.h>
#include <drm/snpu_accel.h>

#include "kmd.h"

#define ACCEL_DIR "/dev/accel"

int kmd_ioctl(int fd, unsigned long request, void *arg)
{
	int ret;

	do {
		ret = ioctl(fd, request, arg);
	} while (ret < 0 && (errno == EINTR || errno == EAGAIN));
	return ret < 0 ? -errno : 0;
}

/* The driver behind a node, by sysfs: an NPU that may not be opened is still known for one */
static bool node_is_snpu(const char *name)
{
	char link[96], target[PATH_MAX];
	const char *base;
	ssize_t n;

	snprintf(link, sizeof(link), "/sys/class/accel/%.32s/device/driver", name);
	n = readlink(link, target, sizeof(target) - 1);
	if (n <= 0)
		return false;
	target[n] = '\0';
	base = strrchr(target, '/');
	return !strcmp(base ? base + 1 : target, "snpu");
}

static int by_minor(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/* Minors of the driver's nodes, ascending; the count, or a negative errno with a message */
static int find_minors(int *minors, int max)
{
	DIR *dir = opendir(ACCEL_DIR);
	struct dirent *d;
	int minor, n = 0;
	char end;

	/* without an accel driver there is no such directory */
	if (!dir)
		return errno == ENOENT ? 0 :
		       snpu_fail(-errno, ACCEL_DIR " cannot be read%s", snpu_fd_limit(-errno));
	while (n < max && (d = readdir(dir)))
		if (sscanf(d->d_name, "accel%d%c", &minor, &end) == 1 && node_is_snpu(d->d_name))
			minors[n++] = minor;
	closedir(dir);
	qsort(minors, (size_t)n, sizeof(*minors), by_minor);
	return n;
}

int snpu_kmd_present(void)
{
	int minor;

	return find_minors(&minor, 1);
}

/* Opens a node; a refusal names node and group */
static int open_node(int minor, int *fd)
{
	char path[40];
	struct stat st;
	int err;

	snprintf(path, sizeof(path), ACCEL_DIR "/accel%d", minor);
	*fd = open(path, O_RDWR | O_CLOEXEC);
	if (*fd >= 0)
		return 0;
	err = errno;
	if ((err == EACCES || err == EPERM) && !stat(path, &st)) {
		struct group *g = getgrgid(st.st_gid);

		return snpu_fail(
			-EACCES,
			"%s belongs to group %s, mode %04o: join that group, or run as root", path,
			g ? g->gr_name : "?", st.st_mode & 07777);
	}
	return snpu_fail(-err, "%s cannot be opened%s", path, snpu_fd_limit(-err));
}

static void kmd_close(struct snpu *s)
{
	unsigned int i;

	for (i = 0; i < s->count; i++) {
		struct kmd_npu *n = s->npus[i].priv;

		if (n && n->fd >= 0)
			close(n->fd);
		free(n);
	}
}

static int query(int fd, uint32_t type, void *buf, uint32_t size)
{
	struct drm_snpu_dev_query q = { .type = type, .size = size, .pointer = (uintptr_t)buf };

	return kmd_ioctl(fd, DRM_IOCTL_SNPU_DEV_QUERY, &q);
}

/* Minors are given out in the order of probing, which varies; fabric addresses do not */
static int by_node(const void *a, const void *b)
{
	const struct kmd_npu *x = ((const struct snpu_npu *)a)->priv;
	const struct kmd_npu *y = ((const struct snpu_npu *)b)->priv;

	return x->node < y->node ? -1 : x->node > y->node;
}

/* Asked once: a node's driver does not change while it is open */
static int check_version(struct kmd_npu *k)
{
	drmVersionPtr v = drmGetVersion(k->fd);
	int ret = 0;

	if (!v)
		return snpu_fail(-errno, ACCEL_DIR "/accel%d: version query", k->minor);
	if (v->version_major != DRM_SNPU_DRIVER_MAJOR)
		ret = snpu_fail(-EPROTO, ACCEL_DIR "/accel%d: the driver's ioctl ABI is %d.%d, this "
				"library knows %d.x: %s is too old", k->minor, v->version_major,
				v->version_minor, DRM_SNPU_DRIVER_MAJOR,
				v->version_major < DRM_SNPU_DRIVER_MAJOR ? "snpu.ko" : "libsnpu");
	k->uapi = v->version_minor;
	if (!ret && k->uapi < DRM_SNPU_DRIVER_MINOR)
		snpu_log(1, ACCEL_DIR "/accel%d: the driver's ioctl ABI is %d.%d, older than the "
			 "library's %d.%d: not all calls work", k->minor, v->version_major,
			 k->uapi, DRM_SNPU_DRIVER_MAJOR, DRM_SNPU_DRIVER_MINOR);
	drmFreeVersion(v);
	return ret;
}

int kmd_since(const struct snpu_npu *npu, int uapi, const char *what)
{
	const struct kmd_npu *k = npu->priv;

	if (k->uapi >= uapi)
		return 0;
	return snpu_fail(-EOPNOTSUPP, "%s: " ACCEL_DIR "/accel%d: needs a driver with ioctl ABI "
			 "%d.%d, this one has %d.%d", what, k->minor, DRM_SNPU_DRIVER_MAJOR, uapi,
			 DRM_SNPU_DRIVER_MAJOR, k->uapi);
}

static int open_npu(struct kmd_npu *k)
{
	struct drm_snpu_device_info d = { 0 };
	int ret = open_node(k->minor, &k->fd);

	if (!ret)
		ret = check_version(k);
	if (ret)
		return ret;
	ret = query(k->fd, DRM_SNPU_QUERY_DEVICE, &d, sizeof(d));
	k->node = d.node_id;
	return ret ? snpu_fail(ret, ACCEL_DIR "/accel%d: device query", k->minor) : 0;
}

static int kmd_open(struct snpu *s)
{
	int minors[256], n = find_minors(minors, 256), i, ret = 0;

	if (n < 0)
		return n;
	if (!n)
		return snpu_fail(-ENODEV,
				 ACCEL_DIR " has no node of driver snpu: is snpu.ko loaded?");
	s->npus = calloc((size_t)n, sizeof(*s->npus));
	if (!s->npus)
		return snpu_fail(-ENOMEM, "snpu_open");
	for (i = 0; i < n && !ret; i++) {
		struct kmd_npu *k = calloc(1, sizeof(*k));

		if (!k) {
			ret = snpu_fail(-ENOMEM, "snpu_open");
			break;
		}
		s->npus[i] = (struct snpu_npu){ .snpu = s, .priv = k };
		s->count = (unsigned int)i + 1;
		k->minor = minors[i];
		ret = open_npu(k);
	}
	if (ret) {
		kmd_close(s);
		return ret;
	}
	qsort(s->npus, s->count, sizeof(*s->npus), by_node);
	for (i = 0; i < n; i++)
		s->npus[i].index = (unsigned int)i;
	return 0;
}

static void pci_address(int minor, struct snpu_info *info)
{
	char link[96], target[PATH_MAX];
	const char *base;
	ssize_t n;

	snprintf(link, sizeof(link), "/sys/class/accel/accel%d/device", minor);
	n = readlink(link, target, sizeof(target) - 1);
	target[n > 0 ? n : 0] = '\0';
	base = strrchr(target, '/');
	snprintf(info->pci, sizeof(info->pci), "%.19s", base ? base + 1 : target);
}

static int kmd_info(struct snpu_npu *npu)
{
	struct kmd_npu *k = npu->priv;
	struct drm_snpu_device_info d = { 0 };
	struct snpu_info *i = &npu->info;
	int ret = query(k->fd, DRM_SNPU_QUERY_DEVICE, &d, sizeof(d));

	if (ret)
		return snpu_fail(ret, ACCEL_DIR "/accel%d: device query", k->minor);
	i->node_id = d.node_id;
	i->host = d.host_slot >> 16;
	i->slot = d.host_slot & 0xffff;
	i->numa_node = d.numa_node;
	snprintf(i->path, sizeof(i->path), ACCEL_DIR "/accel%d", k->minor);
	pci_address(k->minor, i);
	i->serial = d.serial;
	i->hbm_bytes = d.hbm_bytes;
	snprintf(i->profile, sizeof(i->profile), "%.31s", d.profile);
	i->flops_bf16 = d.flops_bf16;
	i->ops_int8 = d.ops_int8;
	i->flops_fp32 = d.flops_fp32;
	i->hbm_bw = d.hbm_bw;
	i->fabric_bw = d.fabric_bw;
	i->planes = d.planes;
	i->dies = d.dies;
	i->machine_npus = d.machine_npus;
	i->machine_hosts = d.machine_hosts;
	i->num_queues = d.num_queues;
	i->caps = d.caps;
	return 0;
}

static int kmd_counters(struct snpu_npu *npu, struct snpu_counters *c)
{
	struct kmd_npu *k = npu->priv;
	struct drm_snpu_counters d = { 0 };
	struct drm_snpu_memory_info m = { 0 };
	int ret = query(k->fd, DRM_SNPU_QUERY_COUNTERS, &d, sizeof(d));

	if (!ret)
		ret = query(k->fd, DRM_SNPU_QUERY_MEMORY, &m, sizeof(m));
	if (ret)
		return snpu_fail(ret, ACCEL_DIR "/accel%d: counters", k->minor);
	c->packets = d.packets;
	c->bytes_read = d.bytes_read;
	c->bytes_written = d.bytes_written;
	c->flops = d.flops;
	c->faults = d.faults;
	c->busy_ns = d.busy_ns;
	c->hbm_total = m.hbm_total;
	c->hbm_used = m.hbm_total - m.hbm_free;
	return 0;
}

static int kmd_ports(struct snpu_npu *npu, struct snpu_port *ports, unsigned int n)
{
	struct kmd_npu *k = npu->priv;
	struct drm_snpu_port *p;
	unsigned int i;
	int ret = kmd_since(npu, KMD_UAPI_FABRIC, "snpu_get_ports");

	if (ret)
		return ret;
	p = calloc(n, sizeof(*p));
	if (!p)
		return snpu_fail(-ENOMEM, "snpu_get_ports: out of memory");
	ret = query(k->fd, DRM_SNPU_QUERY_PORTS, p, n * sizeof(*p));
	if (ret)
		snpu_fail(ret, "%s: ports", npu->info.path);
	for (i = 0; i < n && !ret; i++)
		ports[i] = (struct snpu_port){
			.die = p[i].die, .plane = p[i].plane, .state = p[i].state,
			.tx_bytes = p[i].tx_bytes, .rx_bytes = p[i].rx_bytes,
			.dropped = p[i].dropped, .rate = p[i].rate,
			.tx_busy_ns = p[i].tx_busy_ns, .rx_busy_ns = p[i].rx_busy_ns,
		};
	free(p);
	return ret;
}

static int kmd_alive(struct snpu_npu *npu)
{
	struct drm_snpu_device_info d = { 0 };

	return query(((struct kmd_npu *)npu->priv)->fd, DRM_SNPU_QUERY_DEVICE, &d, sizeof(d)) ==
	       -ENODEV ? -ENODEV : 0;
}

static int kmd_ctx_create(struct snpu_ctx *ctx)
{
	struct kmd_npu *k = ctx->npu->priv;
	struct drm_snpu_device_info d = { 0 };
	struct kmd_ctx *c = calloc(1, sizeof(*c));
	int ret;

	if (!c)
		return snpu_fail(-ENOMEM, "snpu_ctx_create");
	ret = open_node(k->minor, &c->fd);
	if (ret)
		goto out_free;
	ret = query(c->fd, DRM_SNPU_QUERY_DEVICE, &d, sizeof(d));
	if (!ret)
		ret = snpu_va_init(&ctx->va, d.va_start, d.va_end);
	if (ret) {
		snpu_fail(ret, "snpu_ctx_create: NPU %u", ctx->npu->index);
		goto out_close;
	}
	pthread_mutex_init(&c->lock, NULL);
	c->va_end = d.va_end;
	ctx->priv = c;
	return 0;

out_close:
	close(c->fd);
out_free:
	free(c);
	return ret;
}

static void kmd_ctx_destroy(struct snpu_ctx *ctx)
{
	struct kmd_ctx *c = ctx->priv;

	close(c->fd);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

const struct snpu_transport snpu_transport_kmd = {
	.size = sizeof(struct snpu_transport),
	.name = "kmd",
	.open = kmd_open,
	.close = kmd_close,
	.info = kmd_info,
	.counters = kmd_counters,
	.ports = kmd_ports,
	.alive = kmd_alive,
	.ctx_create = kmd_ctx_create,
	.ctx_destroy = kmd_ctx_destroy,
	.mem_alloc = kmd_mem_alloc,
	.mem_bind = kmd_mem_bind,
	.mem_free = kmd_mem_free,
	.mem_map = kmd_mem_map,
	.mem_export = kmd_mem_export,
	.mem_import = kmd_mem_import,
	.seg_export = kmd_seg_export,
	.seg_revoke = kmd_seg_revoke,
	.seg_lookup = kmd_seg_lookup,
	.seg_import = kmd_seg_import,
	.queue_fields = SNPU_QUEUE_DIE | SNPU_QUEUE_TIMING,
	.queue_create = kmd_queue_create,
	.queue_destroy = kmd_queue_destroy,
	.queue_wake = kmd_queue_wake,
	.queue_pause = kmd_queue_pause,
	.queue_error = kmd_queue_error,
	.queue_sleep = kmd_queue_sleep,
	.queue_vtime = kmd_queue_vtime,
	.fence_create = kmd_fence_create,
	.fence_destroy = kmd_fence_destroy,
	.fence_wait = kmd_fence_wait,
	.fence_export = kmd_fence_export,
	.fence_import = kmd_fence_import,
	.fence_put = kmd_fence_put,
	.timeline_create = kmd_timeline_create,
	.timeline_destroy = kmd_fence_destroy,
	.timeline_attach = kmd_timeline_attach,
	.timeline_signal = kmd_timeline_signal,
	.timeline_query = kmd_timeline_query,
	.timeline_wait = kmd_timeline_wait,
	.timeline_put = kmd_timeline_put,
	.wait_name = kmd_wait_name,
	.forked = kmd_forked,
	.drop = kmd_drop,
	.drop_ctx = kmd_drop_ctx,
	.drop_mem = kmd_drop_mem,
	.drop_queue = kmd_drop_queue,
};
