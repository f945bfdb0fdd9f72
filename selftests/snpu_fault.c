// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the driver shows of itself (fdinfo, debugfs, tracepoints), and what it does when any single
 * allocation, user copy or command fails.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <kselftest_harness.h>

#include "snpu_util.h"

#define DEBUGFS		"/sys/kernel/debug"
#define TRACEFS		"/sys/kernel/tracing"
#define FAIL_NTH	"/proc/thread-self/fail-nth"

#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT SNPU_TEST_S

/* ---- fdinfo ---------------------------------------------------------------------------------- */

/* The value of a line "key:\tvalue [unit]" in bytes, or -1 */
static int64_t fdinfo_value(const char *text, const char *key)
{
	unsigned long long value;
	char line[64], unit[8] = "";
	const char *at;

	snprintf(line, sizeof(line), "\n%s:", key);
	at = strstr(text, line);
	if (!at || sscanf(at + strlen(line), " %llu %7s", &value, unit) < 1)
		return -1;
	if (!strcmp(unit, "KiB"))
		value <<= 10;
	else if (!strcmp(unit, "MiB"))
		value <<= 20;
	return (int64_t)value;
}

static int read_fdinfo(int fd, char *text, size_t size)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	return snpu_read_file(path, text, size);
}

TEST(fdinfo)
{
	char text[4096], pci[32], line[96];
	struct snpu_client c, other;
	struct snpu_queue q;
	struct snpu_buf b;
	uint32_t handle;
	int64_t id;
	int fd;

	ASSERT_EQ(0, snpu_client_open(&c, 0));
	ASSERT_EQ(0, snpu_pci_name(0, pci, sizeof(pci)));
	ASSERT_LT(0, read_fdinfo(c.fd, text, sizeof(text)));
	EXPECT_NE(NULL, strstr(text, "\ndrm-driver:\tsnpu\n"));
	snprintf(line, sizeof(line), "\ndrm-pdev:\t%s\n", pci);
	EXPECT_NE(NULL, strstr(text, line));
	id = fdinfo_value(text, "drm-client-id");
	EXPECT_LE(0, id);
	EXPECT_EQ(0, fdinfo_value(text, "drm-total-hbm"));
	EXPECT_EQ(0, fdinfo_value(text, "drm-total-system"));

	ASSERT_EQ(0, snpu_bo_create(c.fd, 64ull << 20, DRM_SNPU_BO_HBM, &handle, NULL));
	ASSERT_EQ(0, snpu_buf_make(&c, &b, 8 << 20, DRM_SNPU_BO_HOST));
	ASSERT_EQ(0, snpu_queue_make(&c, &q, 4, SNPU_PRIO_NORMAL, false));
	ASSERT_LT(0, read_fdinfo(c.fd, text, sizeof(text)));
	EXPECT_EQ(64 << 20, fdinfo_value(text, "drm-total-hbm"));
	EXPECT_EQ(64 << 20, fdinfo_value(text, "drm-resident-hbm"));
	EXPECT_EQ(0, fdinfo_value(text, "drm-shared-hbm"));
	/* and the ring */
	EXPECT_EQ((8 << 20) + SNPU_4K, (uint64_t)fdinfo_value(text, "drm-total-system"));
	EXPECT_EQ(1, fdinfo_value(text, "snpu-queues"));
	EXPECT_EQ(id, fdinfo_value(text, "drm-client-id"));

	/* shared is what two clients have */
	fd = snpu_prime_export(c.fd, handle);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, snpu_client_open(&other, 0));
	ASSERT_EQ(0, snpu_prime_import(other.fd, fd, &handle));
	ASSERT_LT(0, read_fdinfo(c.fd, text, sizeof(text)));
	EXPECT_EQ(64 << 20, fdinfo_value(text, "drm-shared-hbm"));
	ASSERT_LT(0, read_fdinfo(other.fd, text, sizeof(text)));
	EXPECT_NE(id, fdinfo_value(text, "drm-client-id"));
	EXPECT_EQ(64 << 20, fdinfo_value(text, "drm-shared-hbm"));
	close(fd);
	snpu_client_close(&other);
	snpu_queue_free(&q);
	snpu_buf_free(&b);
	snpu_client_close(&c);
}

/* ---- debugfs --------------------------------------------------------------------------------- */

static int debugfs_dir(unsigned int index, char *path, size_t size)
{
	char pci[32], accel[32];
	struct stat st;

	if (snpu_pci_name(index, pci, sizeof(pci)) || snpu_accel_name(index, accel, sizeof(accel)))
		return -ENODEV;
	snprintf(path, size, DEBUGFS "/accel/%s", accel + strlen("accel"));
	if (!stat(path, &st))
		return 0;
	snprintf(path, size, DEBUGFS "/accel/%s", pci);
	if (!stat(path, &st))
		return 0;
	snpu_diag("no directory of NPU %u (%s, %s) in " DEBUGFS "/accel", index, pci, accel);
	return -ENOENT;
}

static int count_lines(const char *text)
{
	int n = 0;

	while ((text = strchr(text, '\n'))) {
		text++;
		n++;
	}
	return n;
}

TEST(debugfs)
{
	static char text[65536];
	char dir[128], path[512];
	unsigned int files = 0;
	struct snpu_client c;
	struct snpu_queue q;
	int clients, queues;
	struct dirent *e;
	struct stat st;
	DIR *d;

	if (stat(DEBUGFS "/accel", &st))
		SKIP(return, "no " DEBUGFS "/accel: needs CONFIG_DEBUG_FS");
	ASSERT_EQ(0, debugfs_dir(0, dir, sizeof(dir)));
	snprintf(path, sizeof(path), "%s/snpu_queues", dir);
	ASSERT_LT(0, snpu_read_file(path, text, sizeof(text)));
	queues = count_lines(text);
	snprintf(path, sizeof(path), "%s/snpu_clients", dir);
	ASSERT_LT(0, snpu_read_file(path, text, sizeof(text)));
	clients = count_lines(text);

	ASSERT_EQ(0, snpu_client_open(&c, 0));
	ASSERT_EQ(0, snpu_queue_make(&c, &q, 4, SNPU_PRIO_NORMAL, false));
	ASSERT_LT(0, snpu_read_file(path, text, sizeof(text)));
	EXPECT_EQ(clients + 1, count_lines(text));
	snprintf(path, sizeof(path), "%s/snpu_queues", dir);
	ASSERT_LT(0, snpu_read_file(path, text, sizeof(text)));
	EXPECT_EQ(queues + 1, count_lines(text));

	/* every file there is can be read, while something runs */
	d = opendir(dir);
	ASSERT_NE(NULL, d);
	while ((e = readdir(d))) {
		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		if (stat(path, &st) || !S_ISREG(st.st_mode) || !(st.st_mode & 0400))
			continue;
		files++;
		EXPECT_LE(0, snpu_read_file(path, text, sizeof(text))) {
			TH_LOG("%s cannot be read", path);
		}
	}
	closedir(d);
	EXPECT_LE(4, files);
	snprintf(path, sizeof(path), "%s/snpu_state", dir);
	ASSERT_LT(0, snpu_read_file(path, text, sizeof(text)));
	EXPECT_NE(NULL, strstr(text, "power: up\n"));
	snpu_queue_free(&q);
	snpu_client_close(&c);
}

/* ---- tracepoints ----------------------------------------------------------------------------- */

TEST(tracepoints)
{
	static const char * const want[] = {
		"snpu_queue_create: ", "snpu_queue_destroy: ", "snpu_bind: ", "snpu_admin: ",
		"snpu_queue_signal: ", "snpu_queue_fault: ",
	};
	union snpu_pkt bad = snpu_pkt_fill(SNPU_NOWHERE, 8, 0);
	struct snpu_client c;
	struct snpu_queue q;
	const size_t size = 1 << 20;
	struct stat st;
	uint32_t obj;
	char *text;

	if (stat(TRACEFS "/events", &st))
		SKIP(return, "no " TRACEFS "/events: needs CONFIG_FTRACE");
	ASSERT_EQ(0, stat(TRACEFS "/events/snpu", &st));
	ASSERT_EQ(0, snpu_write_file(TRACEFS "/trace", "\n"));
	ASSERT_EQ(0, snpu_write_file(TRACEFS "/events/snpu/enable", "1"));
	ASSERT_EQ(0, snpu_client_open(&c, 0));
	ASSERT_EQ(0, snpu_queue_make(&c, &q, 4, SNPU_PRIO_NORMAL, false));
	ASSERT_EQ(0, snpu_syncobj_create(c.fd, 0, &obj));
	snpu_put(&q, &bad);
	ASSERT_EQ(0, snpu_ring(&q));
	ASSERT_EQ(0, snpu_signal(&q, obj, 0, 0));
	ASSERT_EQ(0, snpu_want_fault(&q, SNPU_ERR_UNMAPPED, 0, SNPU_NOWHERE));
	snpu_queue_free(&q);
	snpu_client_close(&c);
	ASSERT_EQ(0, snpu_write_file(TRACEFS "/events/snpu/enable", "0"));
	text = malloc(size);
	ASSERT_NE(NULL, text);
	ASSERT_LT(0, snpu_read_file(TRACEFS "/trace", text, size));
	for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
		EXPECT_NE(NULL, strstr(text, want[i])) {
			TH_LOG("no '%s' in the trace", want[i]);
		}
	}
	free(text);
}

/* ---- failures, one by one -------------------------------------------------------------------- */

FIXTURE(inject) {
	char node[48];
	struct snpu_client c;
	struct snpu_queue q;
	struct snpu_buf b;
	uint32_t obj;
	int dmabuf;
};

/* What is injected: allocations that may sleep too, and not a word in the log */
static const char * const knobs[][2] = {
	{ "failslab/ignore-gfp-wait", "N" },
	{ "failslab/verbose", "0" },
	{ "fail_page_alloc/ignore-gfp-wait", "N" },
	{ "fail_page_alloc/ignore-gfp-highmem", "N" },
	{ "fail_page_alloc/min-order", "0" },
	{ "fail_page_alloc/verbose", "0" },
	{ "fail_usercopy/verbose", "0" },
};

FIXTURE_SETUP(inject)
{
	char path[128], name[32];

	self->c.fd = -1;
	/* found before anything is made to fail: only the open itself is */
	ASSERT_EQ(0, snpu_accel_name(0, name, sizeof(name)));
	snprintf(self->node, sizeof(self->node), "/dev/accel/%s", name);
	self->dmabuf = -1;
	if (access(FAIL_NTH, W_OK))
		SKIP(return, "no " FAIL_NTH ": needs CONFIG_FAULT_INJECTION");
	if (access(DEBUGFS "/failslab", X_OK))
		SKIP(return, "no " DEBUGFS "/failslab: needs CONFIG_FAILSLAB");
	for (size_t i = 0; i < ARRAY_SIZE(knobs); i++) {
		snprintf(path, sizeof(path), DEBUGFS "/%s", knobs[i][0]);
		if (!access(path, W_OK))
			ASSERT_EQ(0, snpu_write_file(path, knobs[i][1]));
	}
	if (!debugfs_dir(0, path, sizeof(path) - 32)) {
		strcat(path, "/snpu_fail_admin/verbose");
		if (!access(path, W_OK))
			ASSERT_EQ(0, snpu_write_file(path, "0"));
	}
}

FIXTURE_TEARDOWN(inject)
{
}

static int nth_fd = -1;

/* From here on the @nth chance to fail is taken */
static int arm(unsigned int nth)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%u", nth);

	if (nth_fd < 0)
		nth_fd = open(FAIL_NTH, O_RDWR | O_CLOEXEC);
	return pwrite(nth_fd, text, len, 0) == len ? 0 : -errno;
}

/* Was it taken? */
static bool disarm(void)
{
	char text[16] = "";
	bool taken;

	taken = pread(nth_fd, text, sizeof(text) - 1, 0) > 0 && atoi(text) == 0;
	pwrite(nth_fd, "0", 1, 0);
	return taken;
}

struct step {
	const char *name;
	int (*fn)(FIXTURE_DATA(inject) *self);
};

static int do_open(FIXTURE_DATA(inject) *self)
{
	int fd = open(self->node, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

static int do_query(FIXTURE_DATA(inject) *self)
{
	struct drm_snpu_peer peer[64];

	for (uint32_t type = DRM_SNPU_QUERY_DEVICE; type <= DRM_SNPU_QUERY_PEERS; type++) {
		struct drm_snpu_dev_query a = {
			.type = type, .size = sizeof(peer), .pointer = (uintptr_t)peer,
		};
		int ret = snpu_ioctl(self->c.fd, DRM_IOCTL_SNPU_DEV_QUERY, &a);

		if (ret)
			return ret;
	}
	return 0;
}

static int create_close(FIXTURE_DATA(inject) *self, uint64_t size, uint32_t flags)
{
	uint32_t handle;
	int ret = snpu_bo_create(self->c.fd, size, flags, &handle, NULL);

	if (!ret)
		snpu_bo_close(self->c.fd, handle);
	return ret;
}

static int do_create_hbm(FIXTURE_DATA(inject) *self)
{
	return create_close(self, 3 * SNPU_2M + SNPU_4K, DRM_SNPU_BO_HBM);
}

static int do_create_host(FIXTURE_DATA(inject) *self)
{
	return create_close(self, 9 * SNPU_4K, DRM_SNPU_BO_HOST);
}

static int do_info(FIXTURE_DATA(inject) *self)
{
	struct drm_snpu_bo_info a = { .handle = self->b.handle };

	return snpu_ioctl(self->c.fd, DRM_IOCTL_SNPU_BO_INFO, &a);
}

static int do_bind(FIXTURE_DATA(inject) *self)
{
	uint64_t va = 1ull << 45;
	struct drm_snpu_bind_op op[] = {
		{ .op = DRM_SNPU_BIND_MAP, .flags = SNPU_RW, .handle = self->b.handle, .va = va,
		  .size = 2 * SNPU_2M },
		{ .op = DRM_SNPU_BIND_UNMAP, .va = va + SNPU_4K, .size = SNPU_4K },
		{ .op = DRM_SNPU_BIND_MAP, .flags = SNPU_RW, .handle = self->b.handle,
		  .va = va + SNPU_2M - SNPU_4K, .size = 2 * SNPU_4K },
		{ .op = DRM_SNPU_BIND_UNMAP, .va = va, .size = 4 * SNPU_2M },
	};
	uint32_t done = 0;
	int ret = snpu_bind(self->c.fd, op, ARRAY_SIZE(op), &done);

	if (!ret && done != ARRAY_SIZE(op))
		return -EPROTO;
	return ret;
}

static int do_queue(FIXTURE_DATA(inject) *self)
{
	struct drm_snpu_queue_create a = {
		.ring_va = self->q.ring.va, .ring_log2 = 4, .flags = DRM_SNPU_QUEUE_EVENTFD,
		.eventfd = self->q.eventfd,
	};
	int ret = snpu_ioctl(self->c.fd, DRM_IOCTL_SNPU_QUEUE_CREATE, &a);

	return ret ?: snpu_queue_destroy(&self->c, a.queue_id);
}

static int do_queue_misc(FIXTURE_DATA(inject) *self)
{
	struct drm_snpu_queue_query info;
	int ret = snpu_queue_info(&self->q, &info);

	ret = ret ?: snpu_ctrl(&self->q, DRM_SNPU_CTRL_SUSPEND);
	ret = ret ?: snpu_ctrl(&self->q, DRM_SNPU_CTRL_RESUME);
	return ret ?: snpu_ctrl(&self->q, DRM_SNPU_CTRL_WAKE);
}

static int do_signal(FIXTURE_DATA(inject) *self)
{
	int ret = snpu_signal(&self->q, self->obj, 0, 0);

	return ret ?: snpu_signal(&self->q, self->obj, 7, 0);
}

static int do_wait(FIXTURE_DATA(inject) *self)
{
	union snpu_pkt pkt = snpu_pkt_sem_wait(self->b.va, 1, 0);
	uint64_t va, value;
	int ret;

	/* behind a packet that waits, so that the fence is pending */
	snpu_put(&self->q, &pkt);
	snpu_ring(&self->q);
	ret = snpu_signal(&self->q, self->obj, 0, 0);
	return ret ?: snpu_wait_for(&self->q, self->obj, 0, &va, &value);
}

static int do_export(FIXTURE_DATA(inject) *self)
{
	int fd = snpu_prime_export(self->c.fd, self->b.handle);

	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

static int do_import(FIXTURE_DATA(inject) *self)
{
	uint32_t handle;
	int ret = snpu_prime_import(self->c.fd, self->dmabuf, &handle);

	ret = ret ?: snpu_map(self->c.fd, handle, 0, 1ull << 44, SNPU_2M, SNPU_RW);
	return ret ?: snpu_bo_close(self->c.fd, handle);
}

static int do_mmap(FIXTURE_DATA(inject) *self)
{
	void *p = mmap(NULL, self->b.size, PROT_READ | PROT_WRITE, MAP_SHARED, self->c.fd,
		       (off_t)self->b.offset);

	if (p == MAP_FAILED)
		return -errno;
	munmap(p, self->b.size);
	return 0;
}

static int do_segment(FIXTURE_DATA(inject) *self)
{
	struct drm_snpu_seg_export e = { .access = DRM_SNPU_SEG_READ, .name = "kself-inject" };
	struct drm_snpu_seg_lookup l = { .name = "kself-inject" };
	struct drm_snpu_seg_import i = { 0 };
	struct drm_snpu_seg_revoke r = { 0 };
	int ret;

	ret = snpu_bo_create(self->c.fd, SNPU_2M, DRM_SNPU_BO_HBM | DRM_SNPU_BO_CONTIG, &e.handle,
			     NULL);
	ret = ret ?: snpu_ioctl(self->c.fd, DRM_IOCTL_SNPU_SEG_EXPORT, &e);
	ret = ret ?: snpu_ioctl(self->c.fd, DRM_IOCTL_SNPU_SEG_LOOKUP, &l);
	if (ret)
		return ret;
	i.node = l.node;
	i.seg = l.seg;
	i.token = l.token;
	ret = snpu_ioctl(self->c.fd, DRM_IOCTL_SNPU_SEG_IMPORT, &i);
	ret = ret ?: snpu_map(self->c.fd, i.handle, 0, 1ull << 44, SNPU_2M, DRM_SNPU_BIND_READ);
	ret = ret ?: snpu_bo_close(self->c.fd, i.handle);
	r.seg = e.seg;
	ret = ret ?: snpu_ioctl(self->c.fd, DRM_IOCTL_SNPU_SEG_REVOKE, &r);
	/* a command that the device was kept from made a reset necessary, which ended the segment */
	return ret == -ESTALE ? -EIO : ret;
}

/* Without virtual time there is nothing in it that fails but the copy of the argument */
static int do_vtime(FIXTURE_DATA(inject) *self)
{
	struct drm_snpu_queue_vtime a = { .queue_id = self->q.id, .position = 1 };
	int ret = snpu_ioctl(self->c.fd, DRM_IOCTL_SNPU_QUEUE_VTIME, &a);

	return ret == -EBUSY || ret == -EOPNOTSUPP ? 0 : ret;
}

static int do_close(FIXTURE_DATA(inject) *self)
{
	munmap((void *)self->q.db, SNPU_4K);
	munmap((void *)self->q.cpl, SNPU_4K);
	munmap(self->q.ring.map, self->q.ring.size);
	munmap(self->b.map, self->b.size);
	self->q.db = NULL;
	self->q.cpl = NULL;
	self->q.ring.c = NULL;
	self->b.c = NULL;
	self->q.id = 0;
	snpu_client_close(&self->c);
	return 0;
}

/* Everything a step needs, made without failures. A reset may be under way: until it is over. */
static int set_up(FIXTURE_DATA(inject) *self, int peer)
{
	uint64_t end = snpu_now_ms() + SNPU_WAIT_MS;
	int ret;

	do {
		ret = snpu_client_open(&self->c, 0);
		if (ret)
			continue;
		ret = snpu_queue_make(&self->c, &self->q, 6, SNPU_PRIO_NORMAL, true);
		ret = ret ?: snpu_buf_make(&self->c, &self->b, 3 * SNPU_2M, DRM_SNPU_BO_HOST);
		ret = ret ?: snpu_syncobj_create(self->c.fd, 0, &self->obj);
		if (!ret)
			break;
		snpu_queue_free(&self->q);
		snpu_buf_free(&self->b);
		snpu_client_close(&self->c);
	} while (ret == -EIO && snpu_now_ms() < end);
	self->dmabuf = peer;
	return ret;
}

static void tear_down(FIXTURE_DATA(inject) *self)
{
	snpu_queue_free(&self->q);
	snpu_buf_free(&self->b);
	snpu_client_close(&self->c);
}

/*
 * Lets each chance to fail inside @fn be taken once. It may come through all the same, or say what
 * failed; afterwards nothing is lost, and the device works.
 */
static int try_all(FIXTURE_DATA(inject) *self, const char *name,
		   int (*fn)(FIXTURE_DATA(inject) *self), int peer)
{
	struct drm_snpu_memory_info m;
	unsigned int failed = 0, nth;
	uint64_t first_free = 0;
	bool taken = true;
	int ret, got;

	for (nth = 1; taken && nth < 1000; nth++) {
		ret = set_up(self, peer);
		if (ret)
			return ret;
		ret = arm(nth);
		if (ret)
			return ret;
		got = fn(self);
		taken = disarm();
		if (got && got != -ENOMEM && got != -EFAULT && got != -EIO) {
			snpu_diag("%s, failure %u: expected 0, -ENOMEM, -EFAULT or -EIO, got %d",
				  name, nth, got);
			return -EPROTO;
		}
		if (!taken && got) {
			snpu_diag("%s: got %d though nothing failed (chance %u)", name, got, nth);
			return -EPROTO;
		}
		failed += !!got;
		tear_down(self);
	}
	if (taken) {
		snpu_diag("%s: still failing after %u chances", name, nth);
		return -EPROTO;
	}
	snpu_diag("%s: %u chances to fail, %u failed", name, nth - 2, failed);
	/* all of it once more, for the leak that each round would add to */
	for (int round = 0; round < 2; round++) {
		for (unsigned int n = 1; round && n < nth; n++) {
			ret = set_up(self, peer);
			ret = ret ?: arm(n);
			if (ret)
				return ret;
			fn(self);
			disarm();
			tear_down(self);
		}
		ret = set_up(self, peer);
		ret = ret ?: snpu_query(self->c.fd, DRM_SNPU_QUERY_MEMORY, &m, sizeof(m));
		tear_down(self);
		if (ret)
			return ret;
		if (!round)
			first_free = m.hbm_free;
	}
	if (m.hbm_free != first_free) {
		snpu_diag("%s: HBM free was %llu, is %llu", name, (unsigned long long)first_free,
			  (unsigned long long)m.hbm_free);
		return -EPROTO;
	}
	return snpu_works(0);
}

#define INJECT(what)						\
TEST_F_TIMEOUT(inject, what, 5 * SNPU_TEST_S)			\
{								\
	EXPECT_EQ(0, try_all(self, #what, do_##what, -1));	\
}

INJECT(open)
INJECT(query)
INJECT(create_hbm)
INJECT(create_host)
INJECT(info)
INJECT(bind)
INJECT(queue)
INJECT(queue_misc)
INJECT(signal)
INJECT(wait)
INJECT(export)
INJECT(mmap)
INJECT(segment)
INJECT(vtime)
INJECT(close)

static int inject_import(FIXTURE_DATA(inject) *self, unsigned int index, uint32_t flags)
{
	struct snpu_client peer;
	uint32_t handle;
	int fd, ret;

	ret = snpu_client_open(&peer, index);
	ret = ret ?: snpu_bo_create(peer.fd, SNPU_2M, flags, &handle, NULL);
	if (ret)
		return ret;
	fd = snpu_prime_export(peer.fd, handle);
	if (fd < 0)
		return fd;
	ret = try_all(self, "import", do_import, fd);
	close(fd);
	snpu_client_close(&peer);
	return ret;
}

TEST_F_TIMEOUT(inject, import_peer, 5 * SNPU_TEST_S)
{
	SNPU_NEED_NPUS(2);
	EXPECT_EQ(0, inject_import(self, 1, DRM_SNPU_BO_HBM));
}

TEST_F_TIMEOUT(inject, import_host, 5 * SNPU_TEST_S)
{
	SNPU_NEED_NPUS(2);
	EXPECT_EQ(0, inject_import(self, 1, DRM_SNPU_BO_HOST));
}

TEST_HARNESS_MAIN
