// SPDX-License-Identifier: MIT
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "toy.h"

struct toy_log toy_log = { .lock = PTHREAD_MUTEX_INITIALIZER };

__attribute__((format(printf, 3, 4)))
static void log_line(void *ctx, int level, const char *fmt, ...)
{
	struct toy_log *l = ctx;
	va_list ap;

	if (level > SNPU_VFU_LOG_WARN)
		return;
	pthread_mutex_lock(&l->lock);
	va_start(ap, fmt);
	vsnprintf(l->last, sizeof(l->last), fmt, ap);
	va_end(ap);
	l->lines++;
	if (getenv("TOY_VERBOSE"))
		fprintf(stderr, "# %s\n", l->last);
	pthread_mutex_unlock(&l->lock);
}

struct snpu_vfu_server *toy_server_cfg(struct snpu_vfu_server_cfg cfg)
{
	struct snpu_vfu_server *s;

	cfg.log = log_line;
	cfg.log_ctx = &toy_log;
	return snpu_vfu_server_create(&cfg, &s) ? NULL : s;
}

struct snpu_vfu_server *toy_server(unsigned int timeout_ms, unsigned int max_maps)
{
	return toy_server_cfg((struct snpu_vfu_server_cfg){
		.dma_timeout_ms = timeout_ms, .max_dma_maps = max_maps, .dma_file_pool = 4096 });
}

unsigned int toy_lines(void)
{
	unsigned int n;

	pthread_mutex_lock(&toy_log.lock);
	n = toy_log.lines;
	pthread_mutex_unlock(&toy_log.lock);
	return n;
}

bool toy_said(const char *what)
{
	bool ret;

	pthread_mutex_lock(&toy_log.lock);
	ret = strstr(toy_log.last, what) != NULL;
	pthread_mutex_unlock(&toy_log.lock);
	return ret;
}

unsigned int toy_count(struct toy *t, const unsigned int *c)
{
	unsigned int n;

	pthread_mutex_lock(&t->lock);
	n = *c;
	pthread_mutex_unlock(&t->lock);
	return n;
}

static char dir[64];

static void drop_dir(void)
{
	rmdir(dir);
}

const char *toy_dir(void)
{
	if (!dir[0]) {
		strcpy(dir, "/tmp/snpu-vfu-XXXXXX");
		if (!mkdtemp(dir)) {
			perror(dir);
			exit(1);
		}
		atexit(drop_dir);
	}
	return dir;
}

int toy_memfd(uint64_t size)
{
	int fd = memfd_create("toy", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd >= 0 && ftruncate(fd, (off_t)size)) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static void on_lost(void *priv)
{
	struct toy *t = priv;

	__atomic_fetch_add(&t->losses, 1, __ATOMIC_RELAXED);
}

static void count(struct toy *t, unsigned int *c)
{
	pthread_mutex_lock(&t->lock);
	(*c)++;
	pthread_cond_broadcast(&t->cond);
	pthread_mutex_unlock(&t->lock);
}

bool toy_wait(struct toy *t, const unsigned int *c, unsigned int n)
{
	struct timespec end;
	bool ret;

	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += 10;
	pthread_mutex_lock(&t->lock);
	while (*c < n && !pthread_cond_timedwait(&t->cond, &t->lock, &end))
		;
	ret = *c >= n;
	pthread_mutex_unlock(&t->lock);
	return ret;
}

static int on_connect(void *priv)
{
	struct toy *t = priv;
	int refuse = __atomic_load_n(&t->refuse, __ATOMIC_RELAXED);

	if (refuse)
		return refuse;
	count(t, &t->connects);
	return 0;
}

static void settle(struct toy *t)
{
	pthread_rwlock_wrlock(&t->use);
	pthread_rwlock_unlock(&t->use);
}

static void on_disconnect(void *priv)
{
	struct toy *t = priv;

	settle(t);
	count(t, &t->disconnects);
}

static void on_map(void *priv, uint64_t iova, uint64_t size)
{
	struct toy *t = priv;

	(void)iova;
	(void)size;
	count(t, &t->maps);
}

static void on_unmap(void *priv, uint64_t iova, uint64_t size)
{
	struct toy *t = priv;

	(void)iova;
	(void)size;
	settle(t);
	count(t, &t->unmaps);
}

static int on_reset(void *priv)
{
	struct toy *t = priv;

	t->scratch = 0;
	count(t, &t->resets);
	return 0;
}

static int on_read(void *priv, unsigned int region, uint64_t off, void *buf, size_t len)
{
	struct toy *t = priv;
	uint64_t v = 0;

	switch (region) {
	case VFIO_PCI_CONFIG_REGION_INDEX:
		memcpy(buf, t->cfg + off, len);
		return 0;
	case VFIO_PCI_BAR4_REGION_INDEX:
		memcpy(buf, t->msix + off, len);
		return 0;
	case VFIO_PCI_BAR0_REGION_INDEX:
		if (off + len <= 8)
			memcpy(buf, (uint8_t *)&t->scratch + off, len);
		else if (off == TOY_EPERM)
			return -EPERM;
		else
			memcpy(buf, (v = off == TOY_ID ? TOY_ID_VALUE : 0, &v), len);
		return 0;
	}
	return -EINVAL;
}

static int on_write(void *priv, unsigned int region, uint64_t off, const void *buf, size_t len)
{
	struct toy *t = priv;
	uint64_t v = 0;

	switch (region) {
	case VFIO_PCI_CONFIG_REGION_INDEX:
		memcpy(t->cfg + off, buf, len);
		return 0;
	case VFIO_PCI_BAR4_REGION_INDEX:
		memcpy(t->msix + off, buf, len);
		return 0;
	case VFIO_PCI_BAR0_REGION_INDEX:
		memcpy(&v, buf, len);
		if (off + len <= 8)
			memcpy((uint8_t *)&t->scratch + off, buf, len);
		else if (off == TOY_EPERM)
			return -EPERM;
		else if (off == TOY_IRQ)
			return snpu_vfu_irq_trigger(t->dev, (unsigned int)v) < 0 ? -ERANGE : 0;
		return 0;
	}
	return -EINVAL;
}

static const struct snpu_vfu_ops toy_ops = {
	.connect = on_connect,
	.region_read = on_read,
	.region_write = on_write,
	.dma_map = on_map,
	.dma_unmap = on_unmap,
	.dma_lost = on_lost,
	.reset = on_reset,
	.disconnect = on_disconnect,
};

static void put32(uint8_t *p, uint32_t v)
{
	memcpy(p, &v, 4);
}

static void fill_cfg(uint8_t *c)
{
	put32(c, 0x00011234);
	put32(c + PCI_COMMAND, PCI_STATUS_CAP_LIST << 16);
	put32(c + PCI_CLASS_REVISION, 0x12000001);
	put32(c + PCI_BASE_ADDRESS_2, PCI_BASE_ADDRESS_MEM_TYPE_64 | PCI_BASE_ADDRESS_MEM_PREFETCH);
	c[PCI_CAPABILITY_LIST] = 0x40;
	put32(c + 0x40, PCI_CAP_ID_MSIX | (TOY_VECTORS - 1) << 16);
	put32(c + 0x44, 4);
	put32(c + 0x48, 0x800 | 4);
}

int toy_add(struct snpu_vfu_server *s, struct toy *t, const char *name)
{
	const uint32_t rw = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
	const struct snpu_vfu_area db = { TOY_DB, TOY_DB_SIZE };
	struct snpu_vfu_dev_cfg cfg = {
		.name = name,
		.path = t->path,
		.ops = &toy_ops,
		.priv = t,
		.nr_vectors = TOY_VECTORS,
		.req_irq = true,
	};

	memset(t, 0, sizeof(*t));
	snprintf(t->path, sizeof(t->path), "%s/%s", toy_dir(), name);
	fill_cfg(t->cfg);
	pthread_rwlock_init(&t->use, NULL);
	pthread_mutex_init(&t->lock, NULL);
	pthread_cond_init(&t->cond, NULL);
	t->db = toy_memfd(TOY_DB_SIZE);
	t->mem = toy_memfd(TOY_BAR2);
	/* the doorbells lie at 0 in their file, so the region begins before it */
	cfg.regions[0] = (struct snpu_vfu_region){
		.size = TOY_BAR0, .flags = rw | VFIO_REGION_INFO_FLAG_MMAP, .fd = t->db,
		.fd_offset = -(uint64_t)TOY_DB, .areas = &db, .nr_areas = 1,
	};
	cfg.regions[2] = (struct snpu_vfu_region){
		.size = TOY_BAR2, .flags = rw | VFIO_REGION_INFO_FLAG_MMAP, .fd = t->mem,
	};
	cfg.regions[4] = (struct snpu_vfu_region){ .size = 4096, .flags = rw };
	cfg.regions[VFIO_PCI_CONFIG_REGION_INDEX] =
		(struct snpu_vfu_region){ .size = 4096, .flags = rw };
	return snpu_vfu_dev_create(s, &cfg, &t->dev);
}

void toy_free(struct toy *t)
{
	close(t->db);
	close(t->mem);
	pthread_cond_destroy(&t->cond);
	pthread_mutex_destroy(&t->lock);
	pthread_rwlock_destroy(&t->use);
}

unsigned int toy_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned int n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

unsigned int toy_mappings(void)
{
	FILE *f = fopen("/proc/self/maps", "re");
	unsigned int n = 0;
	int c;

	while ((c = getc(f)) != EOF)
		n += c == '\n';
	fclose(f);
	return n;
}

int raw_connect(const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa))) {
		close(fd);
		return -1;
	}
	snpu_vfu_recv_timeout(fd, 10000);
	return fd;
}

int raw_send(int fd, uint16_t id, uint16_t cmd, uint32_t flags, uint32_t size, const void *data,
	     size_t len, const int *fds, unsigned int nfds)
{
	struct snpu_vfu_hdr h = {
		.id = id,
		.cmd = cmd,
		.flags = flags,
		.size = size ? size : (uint32_t)(sizeof(h) + len),
	};
	union {
		char buf[CMSG_SPACE(sizeof(int) * 64)];
		struct cmsghdr align;
	} ctl;
	struct iovec iov[2] = {
		{ .iov_base = &h, .iov_len = sizeof(h) },
		{ .iov_base = (void *)data, .iov_len = len },
	};
	struct msghdr m = { .msg_iov = iov, .msg_iovlen = len ? 2 : 1 };
	ssize_t k;

	if (nfds) {
		struct cmsghdr *c;

		memset(&ctl, 0, sizeof(ctl));
		m.msg_control = ctl.buf;
		m.msg_controllen = CMSG_SPACE(sizeof(int) * nfds);
		c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * nfds);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * nfds);
	}
	k = sendmsg(fd, &m, MSG_NOSIGNAL);
	return k == (ssize_t)(sizeof(h) + len) ? 0 : -1;
}

int raw_recv(int fd, struct snpu_vfu_hdr *h, void *data, size_t max, int *got_fd)
{
	struct snpu_vfu_fds fds;
	uint8_t *buf;
	size_t len;
	int ret;

	ret = snpu_vfu_recv_hdr(fd, h, &fds, NULL);
	if (ret <= 0)
		return ret == -ETIMEDOUT ? RAW_SILENT : RAW_CLOSED;
	if (got_fd)
		*got_fd = fds.n ? fds.fd[0] : -1;
	else
		snpu_vfu_fds_close(&fds);
	len = h->size - sizeof(*h);
	buf = malloc(len + 1);
	ret = snpu_vfu_recv_all(fd, buf, len, NULL);
	if (!ret && max)
		memcpy(data, buf, len < max ? len : max);
	free(buf);
	return ret ? RAW_CLOSED : (int)len;
}

int raw_call(int fd, uint16_t cmd, const void *data, size_t len, const int *fds,
	     unsigned int nfds, void *out, size_t max, int *got_fd)
{
	static uint16_t ids;
	uint16_t id = ++ids;
	struct snpu_vfu_hdr h;
	int ret;

	if (raw_send(fd, id, cmd, 0, 0, data, len, fds, nfds))
		return RAW_CLOSED;
	ret = raw_recv(fd, &h, out, max, got_fd);
	if (ret < 0)
		return ret;
	if (h.id != id || h.cmd != cmd || (h.flags & SNPU_VFU_F_TYPE) != SNPU_VFU_F_REPLY)
		return RAW_SILENT;
	if (h.flags & SNPU_VFU_F_ERROR)
		return -(int)h.error;
	return ret;
}

int raw_hello(const char *path)
{
	int fd = raw_connect(path);
	int k;

	if (fd < 0)
		return -1;
	k = raw_call(fd, SNPU_VFU_CMD_VERSION, "\0\0\0\0", 4, NULL, 0, NULL, 0, NULL);
	if (k < 4) {
		close(fd);
		return -1;
	}
	return fd;
}

bool raw_gone(int fd)
{
	char buf[4096];
	ssize_t k;

	while ((k = recv(fd, buf, sizeof(buf), 0)) > 0)
		;
	return !k || errno == ECONNRESET;
}
