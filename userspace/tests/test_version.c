// SPDX-License-Identifier: MIT
/*
 * Drivers and NPUs that are older than the library, or of another major version. There is no such
 * driver to run against: this program has functions of libc's names that play one, which libsnpu
 * finds before libc's. The NPU is a function served here that has nothing but two registers.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <drm.h>
#include <drm/snpu_accel.h>

#include <snpu/snpu_hw.h>

#include "tap.h"
#include "vfu_server.h"

#define DRIVER_MEM	(1 << 20)
#define CPL_AT		65536
#define DB_AT		69632
#define BO_AT		131072

/* ---- the driver ---- */

static struct {
	int major, minor;
	char dir[64];
	unsigned int busy;	/* QUEUE_VTIME calls answered with EBUSY first */
	unsigned int vtimes;	/* calls of it */
	unsigned int others;	/* ioctls that an old driver does not know */
	int64_t deadline;	/* of the last one */
} drv;

DIR *opendir(const char *name)
{
	DIR *(*next)(const char *) = (DIR *(*)(const char *))dlsym(RTLD_NEXT, "opendir");

	return next(strcmp(name, "/dev/accel") ? name : drv.dir);
}

ssize_t readlink(const char *path, char *buf, size_t size)
{
	ssize_t (*next)(const char *, char *, size_t) =
		(ssize_t (*)(const char *, char *, size_t))dlsym(RTLD_NEXT, "readlink");

	if (strncmp(path, "/sys/class/accel/", 17))
		return next(path, buf, size);
	return snprintf(buf, size, "../bus/pci/drivers/snpu");
}

int open(const char *path, int flags, ...)
{
	int (*next)(const char *, int, ...) = (int (*)(const char *, int, ...))
		dlsym(RTLD_NEXT, sizeof(off_t) == 8 ? "open64" : "open");
	char own[128];
	va_list ap;
	int mode;

	va_start(ap, flags);
	mode = flags & O_CREAT ? va_arg(ap, int) : 0;
	va_end(ap);
	if (!strncmp(path, "/dev/accel/", 11)) {
		snprintf(own, sizeof(own), "%s/%s", drv.dir, path + 11);
		path = own;
	}
	return next(path, flags, mode);
}

static int version(struct drm_version *v)
{
	v->version_major = drv.major;
	v->version_minor = drv.minor;
	v->version_patchlevel = 0;
	/* asked first without buffers; libdrm before 2.4.117 needs a text in each */
	if (v->name)
		*v->name = 's';
	if (v->date)
		*v->date = '0';
	if (v->desc)
		*v->desc = 's';
	v->name_len = v->date_len = v->desc_len = 1;
	return 0;
}

static int dev_query(struct drm_snpu_dev_query *q)
{
	struct drm_snpu_device_info info = {
		.caps = SNPU_CAP_TIMING, .dies = 2, .planes = 7, .va_start = 1 << 20,
		.va_end = 1ull << 40, .num_queues = 8, .numa_node = -1,
	};

	if (q->type != DRM_SNPU_QUERY_DEVICE)
		return EINVAL;
	memcpy((void *)(uintptr_t)q->pointer, &info,
	       q->size < sizeof(info) ? q->size : sizeof(info));
	return 0;
}

static int queue_vtime(struct drm_snpu_queue_vtime *v)
{
	drv.vtimes++;
	drv.deadline = v->deadline;
	/* one that waits is asked once */
	if (drv.vtimes <= drv.busy)
		return EBUSY;
	v->begin = 5;
	v->end = 7;
	return 0;
}

int ioctl(int fd, unsigned long request, ...)
{
	va_list ap;
	void *arg;
	int err = 0;

	(void)fd;
	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);
	switch (request) {
	case DRM_IOCTL_VERSION:
		err = version(arg);
		break;
	case DRM_IOCTL_SNPU_DEV_QUERY:
		err = dev_query(arg);
		break;
	case DRM_IOCTL_SNPU_BO_CREATE:
		((struct drm_snpu_bo_create *)arg)->handle = 1;
		((struct drm_snpu_bo_create *)arg)->mmap_offset = BO_AT;
		break;
	case DRM_IOCTL_SNPU_QUEUE_CREATE:
		((struct drm_snpu_queue_create *)arg)->queue_id = 1;
		((struct drm_snpu_queue_create *)arg)->doorbell_offset = DB_AT;
		((struct drm_snpu_queue_create *)arg)->cpl_offset = CPL_AT;
		break;
	case DRM_IOCTL_SNPU_QUEUE_VTIME:
		err = queue_vtime(arg);
		break;
	case DRM_IOCTL_SNPU_VM_BIND:
	case DRM_IOCTL_SNPU_QUEUE_DESTROY:
	case DRM_IOCTL_GEM_CLOSE:
	case DRM_IOCTL_SYNCOBJ_CREATE:
	case DRM_IOCTL_SYNCOBJ_DESTROY:
		break;
	default:
		drv.others++;
		err = EINVAL;
	}
	errno = err;
	return err ? -1 : 0;
}

static void driver(int major, int minor)
{
	char path[128];
	int fd;

	drv.major = major;
	drv.minor = minor;
	drv.busy = drv.vtimes = drv.others = 0;
	snprintf(path, sizeof(path), "%s/accel0", drv.dir);
	fd = open(path, O_CREAT | O_RDWR | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, DRIVER_MEM))
		t_fail(__FILE__, __LINE__, "%s", path);
	close(fd);
}

static const struct snpu_open_params kmd = {
	.field_mask = SNPU_OPEN_TRANSPORT, .transport = "kmd",
};

static void other_major(void)
{
	struct snpu *s;

	driver(DRM_SNPU_DRIVER_MAJOR + 1, 0);
	CHECK_EQ(snpu_open(&kmd, &s), -EPROTO);
	CHECK_TEXT(snpu_last_error(), "accel0: the driver's ioctl ABI is 2.0");
	CHECK_TEXT(snpu_last_error(), "libsnpu is too old");
	driver(DRM_SNPU_DRIVER_MAJOR - 1, 9);
	CHECK_EQ(snpu_open(&kmd, &s), -EPROTO);
	CHECK_TEXT(snpu_last_error(), "snpu.ko is too old");
}

/* A queue of a driver of minor version @minor, whose first packet has retired */
static struct snpu_queue *old_queue(int minor, struct snpu **s, struct snpu_ctx **ctx)
{
	struct snpu_queue *q = NULL;
	struct snpu_cpl *cpl;
	int fd;

	driver(DRM_SNPU_DRIVER_MAJOR, minor);
	if (snpu_open(&kmd, s) || snpu_ctx_create(*s, 0, ctx) || snpu_queue_create(*ctx, NULL, &q))
		t_fail(__FILE__, __LINE__, "%s", snpu_last_error());
	fd = open("/dev/accel/accel0", O_RDWR | O_CLOEXEC);
	cpl = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, CPL_AT);
	close(fd);
	if (cpl == MAP_FAILED)
		return NULL;
	cpl->state = SNPU_QSTATE_RUN;
	snpu_prep_nop(t_pkt(q));
	if (snpu_queue_submit(q, NULL))
		t_fail(__FILE__, __LINE__, "%s", snpu_last_error());
	cpl->completed = 1;
	munmap(cpl, 4096);
	return q;
}

static void old_close(struct snpu *s, struct snpu_ctx *ctx, struct snpu_queue *q)
{
	CHECK_EQ(snpu_queue_destroy(q), 0);
	CHECK_EQ(snpu_ctx_destroy(ctx), 0);
	CHECK_EQ(snpu_close(s), 0);
}

/* It does not wait: is asked until it knows, or time is up */
static void no_deadline(void)
{
	struct snpu_vtime vt;
	struct snpu_queue *q;
	struct snpu_ctx *ctx;
	struct snpu *s;
	uint64_t begin;

	q = old_queue(1, &s, &ctx);
	NEED(q);
	drv.busy = 5;
	CHECK_EQ(snpu_queue_vtime(q, 1, 10 * T_SEC, &vt, sizeof(vt)), 0);
	CHECK_EQ(vt.begin, 5);
	CHECK_EQ(vt.end, 7);
	CHECK_EQ(drv.vtimes, 6);
	CHECK_EQ(drv.deadline, 0);
	drv.busy = ~0u;
	begin = t_now();
	CHECK_EQ(snpu_queue_vtime(q, 1, 50 * T_MS, &vt, sizeof(vt)), -ETIME);
	CHECK(t_now() - begin >= 50 * T_MS);
	old_close(s, ctx, q);
	/* one that waits gets the deadline, and is asked once */
	q = old_queue(2, &s, &ctx);
	NEED(q);
	begin = t_now();
	CHECK_EQ(snpu_queue_vtime(q, 1, 10 * T_SEC, &vt, sizeof(vt)), 0);
	CHECK_EQ(drv.vtimes, 1);
	CHECK(drv.deadline >= (int64_t)(begin + 10 * T_SEC));
	old_close(s, ctx, q);
	/* nor does a newer one matter */
	q = old_queue(99, &s, &ctx);
	NEED(q);
	CHECK_EQ(snpu_queue_vtime(q, 1, T_SEC, &vt, sizeof(vt)), 0);
	old_close(s, ctx, q);
}

/* Before segments and virtual time: calls fail by name, and never reach the driver */
static void oldest(void)
{
	struct snpu_queue_params p = { .field_mask = SNPU_QUEUE_DIE, .die = 1 };
	struct snpu_queue *q, *q2;
	struct snpu_seg_handle h;
	struct snpu_port port;
	struct snpu_vtime vt;
	struct snpu_ctx *ctx;
	struct snpu_mem *mem;
	struct snpu *s;

	q = old_queue(0, &s, &ctx);
	NEED(q);
	CHECK_EQ(snpu_queue_vtime(q, 1, T_SEC, &vt, sizeof(vt)), -EOPNOTSUPP);
	CHECK_TEXT(snpu_last_error(), "needs a driver with ioctl ABI 1.1, this one has 1.0");
	CHECK_EQ(snpu_seg_import_name(ctx, "name", 0, &mem), -EOPNOTSUPP);
	CHECK_EQ(snpu_get_ports(s, 0, &port, sizeof(port), 1), -EOPNOTSUPP);
	CHECK_EQ(snpu_queue_create(ctx, &p, &q2), -EOPNOTSUPP);
	NEED(!snpu_mem_alloc(ctx, 4096, SNPU_MEM_HBM | SNPU_MEM_CONTIG, &mem));
	CHECK_EQ(snpu_seg_export(mem, SNPU_SEG_READ, NULL, &h), -EOPNOTSUPP);
	CHECK_EQ(snpu_mem_free(mem), 0);
	CHECK_EQ(drv.vtimes, 0);
	CHECK_EQ(drv.others, 0);
	old_close(s, ctx, q);
}

/* ---- the NPU ---- */

static uint32_t regs[2];

static int npu_connect(void *priv)
{
	(void)priv;
	return 0;
}

static int npu_read(void *priv, unsigned int region, uint64_t off, void *buf, size_t len)
{
	(void)priv;
	memset(buf, 0, len);
	if (region == SNPU_BAR_REGS && off + len <= sizeof(regs))
		memcpy(buf, (uint8_t *)regs + off, len);
	return 0;
}

static int npu_write(void *priv, unsigned int region, uint64_t off, const void *buf, size_t len)
{
	(void)priv, (void)region, (void)off, (void)buf, (void)len;
	return 0;
}

static void npu_unmap(void *priv, uint64_t iova, uint64_t size)
{
	(void)priv, (void)iova, (void)size;
}

static int npu_reset(void *priv)
{
	(void)priv;
	return 0;
}

static void npu_disconnect(void *priv)
{
	(void)priv;
}

static void npus(void)
{
	static const struct snpu_vfu_ops ops = {
		.connect = npu_connect, .region_read = npu_read, .region_write = npu_write,
		.dma_unmap = npu_unmap, .reset = npu_reset, .disconnect = npu_disconnect,
	};
	static const struct { uint32_t magic, version; const char *text; } bad[] = {
		{ SNPU_MAGIC, 2 << 16, "hardware ABI is 2.0, this library knows 1.x: libsnpu" },
		{ SNPU_MAGIC, 7, "hardware ABI is 0.7, this library knows 1.x: snpud" },
		{ 0x1234, 1 << 16, "magic 0x1234" },
		/* an older minor version is taken, and stopped by sizes that are 0 */
		{ SNPU_MAGIC, 1 << 16, "a size register is out of its range" },
	};
	char path[96];
	struct snpu_open_params p = {
		.field_mask = SNPU_OPEN_TRANSPORT | SNPU_OPEN_SOCKET_DIR,
		.transport = "direct", .socket_dir = drv.dir,
	};
	struct snpu_vfu_dev_cfg cfg = { .path = path, .name = "npu", .ops = &ops,
					.nr_vectors = SNPU_MSIX_VECTORS };
	struct snpu_vfu_server_cfg scfg = { 0 };
	struct snpu_vfu_server *srv;
	struct snpu_vfu_dev *dev;
	struct snpu_ctx *ctx;
	struct snpu *s;
	unsigned int i;

	snprintf(path, sizeof(path), "%s/npu0.sock", drv.dir);
	cfg.regions[SNPU_BAR_REGS] = (struct snpu_vfu_region){
		.size = SNPU_BAR_REGS_SIZE,
		.flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE, .fd = -1,
	};
	cfg.regions[VFIO_PCI_CONFIG_REGION_INDEX] = (struct snpu_vfu_region){
		.size = 4096, .flags = VFIO_REGION_INFO_FLAG_READ, .fd = -1,
	};
	NEED(!snpu_vfu_server_create(&scfg, &srv));
	NEED(!snpu_vfu_dev_create(srv, &cfg, &dev));
	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		regs[0] = bad[i].magic;
		regs[1] = bad[i].version;
		NEED(!snpu_open(&p, &s));
		CHECK(snpu_ctx_create(s, 0, &ctx) < 0);
		CHECK_TEXT(snpu_last_error(), bad[i].text);
		CHECK_EQ(snpu_close(s), 0);
	}
	snpu_vfu_server_destroy(srv);
}

int main(void)
{
	static const struct t_case cases[] = {
		{ "a driver of another major version is refused", other_major, T_BOTH },
		{ "a driver that does not wait for virtual time", no_deadline, T_BOTH },
		{ "a driver without segments and virtual time", oldest, T_BOTH },
		{ "NPUs of other versions", npus, T_BOTH },
	};
	char path[128];
	int ret;

	strcpy(drv.dir, "/tmp/snpu-test-XXXXXX");
	if (!mkdtemp(drv.dir))
		return 1;
	ret = t_main(cases, sizeof(cases) / sizeof(*cases));
	snprintf(path, sizeof(path), "%s/accel0", drv.dir);
	unlink(path);
	rmdir(drv.dir);
	return ret;
}
