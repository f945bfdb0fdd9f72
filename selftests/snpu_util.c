// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the snpu selftests share; see snpu_util.h.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "snpu_util.h"

#define DRIVER_DIR	"/sys/bus/pci/drivers/snpu"
#define MAX_NPUS	64

/* ---- messages, time, memory ----------------------------------------------------------------- */

/** snpu_diag() - print a TAP comment */
void snpu_diag(const char *fmt, ...)
{
	int saved = errno;
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	/* one write, so that two processes do not mix their lines */
	printf("# %s\n", text);
	fflush(stdout);
	errno = saved;
}

uint64_t snpu_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/** snpu_random() - next number of a sequence (splitmix64) */
uint64_t snpu_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ull;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

/** snpu_pattern() - fill memory with what @seed gives; @bytes is a multiple of 8 */
void snpu_pattern(void *buf, size_t bytes, uint64_t seed)
{
	uint64_t *word = buf;
	size_t i;

	for (i = 0; i < bytes / sizeof(*word); i++)
		word[i] = snpu_random(&seed);
}

/** snpu_cmp() - compare memory, print the first byte that differs and how many do */
int snpu_cmp(const char *what, const void *want, const void *got, size_t bytes)
{
	const uint8_t *w = want, *g = got;
	size_t i, first = 0, bad = 0;

	if (!memcmp(want, got, bytes))
		return 0;
	for (i = bytes; i-- > 0;) {
		if (w[i] != g[i]) {
			first = i;
			bad++;
		}
	}
	snpu_diag("%s: %zu of %zu bytes differ, the first at %#zx: expected %#x, got %#x", what,
		  bad, bytes, first, w[first], g[first]);
	return -EILSEQ;
}

/** snpu_cmp_byte() - compare memory with one byte repeated */
int snpu_cmp_byte(const char *what, uint8_t want, const void *got, size_t bytes)
{
	const uint8_t *g = got;

	if (!bytes || (g[0] == want && !memcmp(g, g + 1, bytes - 1)))
		return 0;
	for (size_t i = 0; i < bytes; i++) {
		if (g[i] == want)
			continue;
		snpu_diag("%s: byte %#zx of %#zx: expected %#x, got %#x", what, i, bytes, want,
			  g[i]);
		return -EILSEQ;
	}
	snpu_diag("%s: changed while it was looked at", what);
	return -EILSEQ;
}

/** snpu_crc32c() - Castagnoli CRC, bit by bit: slow, and written without a look at the device's */
uint32_t snpu_crc32c(uint32_t crc, const void *buf, size_t bytes)
{
	const uint8_t *p = buf;

	crc = ~crc;
	while (bytes--) {
		crc ^= *p++;
		for (int i = 0; i < 8; i++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
	}
	return ~crc;
}

static sigjmp_buf touch_jmp;

static void touch_handler(int sig)
{
	siglongjmp(touch_jmp, sig);
}

/**
 * snpu_touch() - access memory that may not be there
 * @p: 64-bit word
 * @write: store to it, else load
 *
 * Return: 0 or the signal that it raised.
 */
int snpu_touch(volatile void *p, bool write)
{
	struct sigaction act = { .sa_handler = touch_handler }, segv, bus;
	volatile uint64_t *word = p;
	int sig;

	sigaction(SIGSEGV, &act, &segv);
	sigaction(SIGBUS, &act, &bus);
	sig = sigsetjmp(touch_jmp, 1);
	if (!sig) {
		if (write)
			*word = 0x0123456789abcdefull;
		else
			(void)*word;
	}
	sigaction(SIGSEGV, &segv, NULL);
	sigaction(SIGBUS, &bus, NULL);
	return sig;
}

/* ---- files ---------------------------------------------------------------------------------- */

/** snpu_ioctl() - ioctl that returns a negative errno and is repeated when interrupted */
int snpu_ioctl(int fd, unsigned long req, void *arg)
{
	int ret;

	do {
		ret = ioctl(fd, req, arg);
	} while (ret < 0 && (errno == EINTR || errno == EAGAIN));
	return ret < 0 ? -errno : ret;
}

static int name_order(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* The PCI names of the bound functions, in order: minors change when a function is bound again */
static unsigned int list_npus(char name[MAX_NPUS][32])
{
	unsigned int n = 0;
	struct dirent *e;
	DIR *dir;

	dir = opendir(DRIVER_DIR);
	if (!dir) {
		snpu_diag("%s: %s: is snpu.ko loaded?", DRIVER_DIR, strerror(errno));
		return 0;
	}
	while ((e = readdir(dir))) {
		if (!strchr(e->d_name, ':') || strlen(e->d_name) > 31 || n == MAX_NPUS)
			continue;
		snprintf(name[n++], 32, "%.31s", e->d_name);
	}
	closedir(dir);
	qsort(name, n, 32, name_order);
	return n;
}

/** snpu_count() - NPUs bound to the driver */
unsigned int snpu_count(void)
{
	char name[MAX_NPUS][32];

	return list_npus(name);
}

/** snpu_pci_name() - PCI name of the NPU @index */
int snpu_pci_name(unsigned int index, char *buf, size_t size)
{
	char name[MAX_NPUS][32];
	unsigned int n = list_npus(name);

	if (index >= n) {
		snpu_diag("NPU %u: expected at least %u NPUs, found %u", index, index + 1, n);
		return -ENODEV;
	}
	snprintf(buf, size, "%s", name[index]);
	return 0;
}

/** snpu_accel_name() - name of the accel minor of the NPU @index, as in "accel3" */
int snpu_accel_name(unsigned int index, char *buf, size_t size)
{
	char path[128], pci[32];
	struct dirent *e;
	int ret;
	DIR *dir;

	ret = snpu_pci_name(index, pci, sizeof(pci));
	if (ret)
		return ret;
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/accel", pci);
	dir = opendir(path);
	if (!dir) {
		ret = -errno;
		snpu_diag("%s: %s", path, strerror(errno));
		return ret;
	}
	ret = -ENOENT;
	while ((e = readdir(dir))) {
		if (strncmp(e->d_name, "accel", 5))
			continue;
		snprintf(buf, size, "%s", e->d_name);
		ret = 0;
	}
	closedir(dir);
	if (ret)
		snpu_diag("%s: no accel minor in it", path);
	return ret;
}

/** snpu_open() - open the NPU @index: file descriptor or negative errno */
int snpu_open(unsigned int index)
{
	char path[64] = "/dev/accel/", name[32];
	struct drm_version v = { 0 };
	char driver[16] = "";
	int fd, ret;

	ret = snpu_accel_name(index, name, sizeof(name));
	if (ret)
		return ret;
	strncat(path, name, sizeof(path) - strlen(path) - 1);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0) {
		ret = -errno;
		snpu_diag("open %s: %s", path, strerror(errno));
		return ret;
	}
	v.name = driver;
	v.name_len = sizeof(driver) - 1;
	ret = snpu_ioctl(fd, DRM_IOCTL_VERSION, &v);
	if (ret || strcmp(driver, "snpu")) {
		snpu_diag("%s: expected driver snpu, got '%s' (%d)", path, driver, ret);
		close(fd);
		return ret ?: -ENODEV;
	}
	return fd;
}

/** snpu_query() - DEV_QUERY; @size is at most the kernel's */
int snpu_query(int fd, uint32_t type, void *buf, uint32_t size)
{
	struct drm_snpu_dev_query q = { .type = type, .size = size, .pointer = (uintptr_t)buf };
	int ret;

	ret = snpu_ioctl(fd, DRM_IOCTL_SNPU_DEV_QUERY, &q);
	if (ret)
		snpu_diag("DEV_QUERY type %u size %u: expected 0, got %d", type, size, ret);
	return ret;
}

/** snpu_client_init() - make a client of an open file */
int snpu_client_init(struct snpu_client *c, int fd, unsigned int index)
{
	*c = (struct snpu_client){ .fd = fd, .index = index, .next_va = 1ull << 32 };
	return snpu_query(fd, DRM_SNPU_QUERY_DEVICE, &c->info, sizeof(c->info));
}

/** snpu_client_open() - open the NPU @index */
int snpu_client_open(struct snpu_client *c, unsigned int index)
{
	int fd = snpu_open(index);

	if (fd < 0)
		return fd;
	return snpu_client_init(c, fd, index);
}

void snpu_client_close(struct snpu_client *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
}

/** snpu_write_file() - write a text to a file of sysfs or the like */
int snpu_write_file(const char *path, const char *text)
{
	size_t len = strlen(text);
	int fd, ret = 0;

	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (write(fd, text, len) != (ssize_t)len)
		ret = -errno;
	close(fd);
	return ret;
}

/** snpu_read_file() - read a file into a NUL-terminated text: its length or a negative errno */
int snpu_read_file(const char *path, char *buf, size_t size)
{
	size_t len = 0;
	ssize_t n = 0;
	int fd;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	while (len < size - 1 && (n = read(fd, buf + len, size - 1 - len)) > 0)
		len += (size_t)n;
	buf[len] = '\0';
	if (n < 0)
		n = -errno;
	close(fd);
	return n < 0 ? (int)n : (int)len;
}

/** snpu_wait_readable() - 0, or -ETIME when @fd did not become readable in time */
int snpu_wait_readable(int fd, int timeout_ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	uint64_t end = snpu_now_ms() + (uint64_t)timeout_ms;
	uint64_t now;
	int ret;

	do {
		now = snpu_now_ms();
		ret = poll(&p, 1, now < end ? (int)(end - now) : 0);
	} while (ret < 0 && errno == EINTR);
	if (ret < 0)
		return -errno;
	return ret ? 0 : -ETIME;
}

/* ---- memory of the NPU ---------------------------------------------------------------------- */

int snpu_bo_create(int fd, uint64_t size, uint32_t flags, uint32_t *handle, uint64_t *offset)
{
	struct drm_snpu_bo_create a = { .size = size, .flags = flags };
	int ret;

	ret = snpu_ioctl(fd, DRM_IOCTL_SNPU_BO_CREATE, &a);
	if (ret)
		return ret;
	if (handle)
		*handle = a.handle;
	if (offset)
		*offset = a.mmap_offset;
	return 0;
}

int snpu_bo_close(int fd, uint32_t handle)
{
	struct drm_gem_close a = { .handle = handle };

	return snpu_ioctl(fd, DRM_IOCTL_GEM_CLOSE, &a);
}

int snpu_bind(int fd, struct drm_snpu_bind_op *ops, uint32_t count, uint32_t *done)
{
	struct drm_snpu_vm_bind a = {
		.ops = { .stride = sizeof(*ops), .count = count, .array = (uintptr_t)ops },
	};
	int ret;

	ret = snpu_ioctl(fd, DRM_IOCTL_SNPU_VM_BIND, &a);
	if (done)
		*done = a.done;
	return ret;
}

int snpu_map(int fd, uint32_t handle, uint64_t offset, uint64_t va, uint64_t size, uint32_t access)
{
	struct drm_snpu_bind_op op = {
		.op = DRM_SNPU_BIND_MAP, .flags = access, .handle = handle, .offset = offset,
		.va = va, .size = size,
	};

	return snpu_bind(fd, &op, 1, NULL);
}

int snpu_unmap(int fd, uint64_t va, uint64_t size)
{
	struct drm_snpu_bind_op op = { .op = DRM_SNPU_BIND_UNMAP, .va = va, .size = size };

	return snpu_bind(fd, &op, 1, NULL);
}

/** snpu_va_alloc() - addresses that nothing else of the client uses, with a hole behind them */
uint64_t snpu_va_alloc(struct snpu_client *c, uint64_t size)
{
	uint64_t va = c->next_va;

	c->next_va += ((size + SNPU_2M - 1) & ~(SNPU_2M - 1)) + SNPU_2M;
	return va;
}

/** snpu_buf_make() - create a BO, bind all of it read-write, map it */
int snpu_buf_make(struct snpu_client *c, struct snpu_buf *b, uint64_t size, uint32_t flags)
{
	struct drm_snpu_bo_create a = { .size = size, .flags = flags };
	int ret;

	*b = (struct snpu_buf){ .c = c, .flags = flags };
	ret = snpu_ioctl(c->fd, DRM_IOCTL_SNPU_BO_CREATE, &a);
	if (ret) {
		snpu_diag("BO_CREATE size %#llx flags %#x: expected 0, got %d",
			  (unsigned long long)size, flags, ret);
		return ret;
	}
	b->handle = a.handle;
	b->size = a.size;
	b->offset = a.mmap_offset;
	b->va = snpu_va_alloc(c, b->size);
	ret = snpu_map(c->fd, b->handle, 0, b->va, b->size, SNPU_RW);
	if (ret) {
		snpu_diag("VM_BIND %#llx bytes at %#llx: expected 0, got %d",
			  (unsigned long long)b->size, (unsigned long long)b->va, ret);
		snpu_bo_close(c->fd, b->handle);
		return ret;
	}
	b->map = mmap(NULL, b->size, PROT_READ | PROT_WRITE, MAP_SHARED, c->fd, (off_t)b->offset);
	if (b->map == MAP_FAILED) {
		ret = -errno;
		snpu_diag("mmap of %#llx bytes, flags %#x: %s", (unsigned long long)b->size, flags,
			  strerror(errno));
		snpu_bo_close(c->fd, b->handle);
		b->map = NULL;
		return ret;
	}
	return 0;
}

void snpu_buf_free(struct snpu_buf *b)
{
	if (!b->c)
		return;
	if (b->map)
		munmap(b->map, b->size);
	snpu_unmap(b->c->fd, b->va, b->size);
	snpu_bo_close(b->c->fd, b->handle);
	*b = (struct snpu_buf){ 0 };
}

/** snpu_prime_export() - dma-buf of a handle, or a negative errno */
int snpu_prime_export(int fd, uint32_t handle)
{
	struct drm_prime_handle a = { .handle = handle, .flags = DRM_CLOEXEC | DRM_RDWR, .fd = -1 };
	int ret = snpu_ioctl(fd, DRM_IOCTL_PRIME_HANDLE_TO_FD, &a);

	return ret ?: a.fd;
}

int snpu_prime_import(int fd, int dmabuf, uint32_t *handle)
{
	struct drm_prime_handle a = { .fd = dmabuf };
	int ret = snpu_ioctl(fd, DRM_IOCTL_PRIME_FD_TO_HANDLE, &a);

	*handle = a.handle;
	return ret;
}
