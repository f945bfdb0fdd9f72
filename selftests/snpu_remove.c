// SPDX-License-Identifier: GPL-2.0-only
/*
 * The device or the driver goes while it is in use: unbind, hot removal, resets, rmmod.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <kselftest_harness.h>

#include "snpu_util.h"

#define DRIVER		"/sys/bus/pci/drivers/snpu"
#define MODULE		"/sys/module/snpu"
#define MAX_NPUS	64

FIXTURE(remove) {
	unsigned int count;	/* NPUs before */
	unsigned int target;	/* the one that goes */
	char pci[32];
};

static bool is_npu(const char *pci)
{
	char path[300], text[16];

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/vendor", pci);
	if (snpu_read_file(path, text, sizeof(text)) <= 0 ||
	    strtoul(text, NULL, 16) != SNPU_PCI_VENDOR_ID)
		return false;
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/device", pci);
	return snpu_read_file(path, text, sizeof(text)) > 0 &&
	       strtoul(text, NULL, 16) == SNPU_PCI_DEVICE_ID;
}

static int unbind(const char *pci)
{
	int ret = snpu_write_file(DRIVER "/unbind", pci);

	if (ret)
		snpu_diag("unbind %s: got %d", pci, ret);
	return ret;
}

static int bind_again(const char *pci)
{
	int ret = snpu_write_file(DRIVER "/bind", pci);

	if (ret)
		snpu_diag("bind %s: got %d", pci, ret);
	return ret;
}

/* Binds what is not bound: the next test, and the next program, want all of them */
static void bind_all(void)
{
	char path[300];
	struct dirent *e;
	struct stat st;
	DIR *dir;

	dir = opendir("/sys/bus/pci/devices");
	if (!dir)
		return;
	while ((e = readdir(dir))) {
		if (e->d_name[0] == '.' || !is_npu(e->d_name))
			continue;
		snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/driver", e->d_name);
		if (stat(path, &st))
			bind_again(e->d_name);
	}
	closedir(dir);
}

/*
 * Probes run on their own when a module is loaded or a bus scanned: until all are there. A node shows
 * up a moment before it can be opened.
 */
static int wait_for_all(unsigned int count)
{
	uint64_t end = snpu_now_ms() + SNPU_WAIT_MS;
	char name[32], path[64];
	unsigned int ready;
	struct stat st;
	int fd;

	do {
		ready = 0;
		for (unsigned int i = 0; snpu_now_ms() < end && i < snpu_count(); i++) {
			char pci[32], dir[96];

			if (snpu_pci_name(i, pci, sizeof(pci)))
				break;
			snprintf(dir, sizeof(dir), "/sys/bus/pci/devices/%s/accel", pci);
			if (stat(dir, &st) || snpu_accel_name(i, name, sizeof(name)))
				break;
			snprintf(path, sizeof(path), "/dev/accel/%s", name);
			fd = open(path, O_RDWR | O_CLOEXEC);
			if (fd < 0)
				break;
			close(fd);
			ready++;
		}
		if (ready == count)
			return 0;
		sched_yield();
	} while (snpu_now_ms() < end);
	snpu_diag("expected %u NPUs, %u came up", count, ready);
	return -ETIME;
}

FIXTURE_SETUP(remove)
{
	self->count = snpu_count();
	SNPU_NEED_NPUS(2);
	self->target = self->count - 1;
	ASSERT_EQ(0, snpu_pci_name(self->target, self->pci, sizeof(self->pci)));
}

FIXTURE_TEARDOWN(remove)
{
	bind_all();
	EXPECT_EQ(0, wait_for_all(self->count));
	for (unsigned int i = 0; i < self->count; i++)
		EXPECT_EQ(0, snpu_works(i));
}

/* ---- load ------------------------------------------------------------------------------------ */

/*
 * Copies, fences, maps and unmaps on the NPU as fast as it can, through whatever happens to it, and
 * opens it anew when it comes back. Ends when it is told to; nothing that goes wrong is a failure
 * but an answer that makes no sense.
 */
static bool is_gone(int ret)
{
	return ret == -ENODEV || ret == -EIO || ret == -ENOENT || ret == -ENXIO || ret == -ETIME ||
	       ret == -ECANCELED;
}

static int load_round(struct snpu_proc *p, unsigned int target, int *told)
{
	struct snpu_buf big = { 0 }, host = { 0 };
	struct snpu_queue q = { .eventfd = -1 };
	struct snpu_client c = { .fd = -1 };
	uint64_t end;
	uint32_t obj;
	int ret;

	if (snpu_count() <= target)
		return 0;
	ret = snpu_client_open(&c, target);
	ret = ret ?: snpu_queue_make(&c, &q, 6, SNPU_PRIO_NORMAL, true);
	ret = ret ?: snpu_buf_make(&c, &big, 16 * SNPU_2M, DRM_SNPU_BO_HBM);
	ret = ret ?: snpu_buf_make(&c, &host, SNPU_2M, DRM_SNPU_BO_HOST);
	ret = ret ?: snpu_syncobj_create(c.fd, 0, &obj);
	while (!ret && snpu_wait_readable(p->in, 0) == -ETIME) {
		union snpu_pkt pkt = snpu_pkt_copy(big.va + 8 * SNPU_2M, big.va, 8 * SNPU_2M);

		for (int i = 0; i < 16; i++)
			snpu_put(&q, &pkt);
		pkt = snpu_pkt_copy(host.va, big.va, SNPU_2M);
		snpu_put(&q, &pkt);
		ret = snpu_ring(&q);
		ret = ret ?: snpu_signal(&q, obj, 0, 0);
		ret = ret ?: snpu_unmap(c.fd, 1ull << 40, 4 * SNPU_2M);
		ret = ret ?: snpu_map(c.fd, big.handle, SNPU_4K, 1ull << 40, 4 * SNPU_2M, SNPU_RW);
		ret = ret ?: snpu_syncobj_wait(c.fd, obj, 0, 0, SNPU_WAIT_MS);
		/* the fence may have come with an error; then the queue is dead */
		end = snpu_now_ms() + SNPU_WAIT_MS;
		while (!ret && q.cpl->completed < q.wr) {
			if (q.cpl->state == SNPU_QSTATE_STOPPED ||
			    q.cpl->state == SNPU_QSTATE_FAULT)
				ret = -EIO;
			else if (snpu_now_ms() > end)
				ret = -ETIMEDOUT;
		}
		if (!ret && !*told) {
			*told = 1;
			snpu_say(p, 1);
		}
	}
	/* stores that go nowhere */
	if (ret && q.db)
		snpu_touch(q.db, true);
	if (ret && host.map)
		snpu_touch(host.map, true);
	if (ret && big.map)
		snpu_touch(big.map, true);
	snpu_queue_free(&q);
	snpu_buf_free(&big);
	snpu_buf_free(&host);
	snpu_client_close(&c);
	return is_gone(ret) ? 0 : ret;
}

static int load(struct snpu_proc *p, void *arg)
{
	unsigned int target = *(unsigned int *)arg;
	int told = 0, ret;

	/* what helpers say about failures is not one here */
	if (!freopen("/dev/null", "w", stdout))
		return 1;
	while (snpu_wait_readable(p->in, 0) == -ETIME) {
		ret = load_round(p, target, &told);
		if (ret) {
			fprintf(stderr, "# load on NPU %u: got %d\n", target, ret);
			return 2;
		}
		sched_yield();
	}
	return 0;
}

static int load_start(FIXTURE_DATA(remove) *self, struct snpu_proc *p, int n)
{
	uint64_t word;
	int ret = 0;

	for (int i = 0; i < n && !ret; i++) {
		ret = snpu_proc_start(&p[i], load, &self->target);
		ret = ret ?: snpu_hear(&p[i], &word);
	}
	return ret;
}

static int load_stop(struct snpu_proc *p, int n)
{
	int ret = 0;

	for (int i = 0; i < n; i++)
		snpu_say(&p[i], 1);
	for (int i = 0; i < n; i++) {
		int end = snpu_proc_end(&p[i]);

		if (end)
			snpu_diag("load process %d of %d ended with %d", i, n, end);
		ret = ret ?: end;
	}
	return ret;
}

/* ---- unbind ---------------------------------------------------------------------------------- */

/* Every ioctl of a file whose device has gone */
static int all_enodev(struct snpu_client *c, struct snpu_queue *q, uint32_t handle, uint32_t obj)
{
	struct drm_snpu_memory_info m;
	struct drm_snpu_queue_query info;
	struct drm_snpu_bo_info bo = { .handle = handle };
	struct drm_snpu_dev_query query = {
		.type = DRM_SNPU_QUERY_MEMORY, .size = sizeof(m), .pointer = (uintptr_t)&m,
	};
	struct drm_snpu_queue_create create = { .ring_va = q->ring.va, .ring_log2 = 4 };
	uint32_t new_handle;
	uint64_t va, value;
	const struct {
		const char *name;
		int got;
	} call[] = {
		{ "DEV_QUERY", snpu_ioctl(c->fd, DRM_IOCTL_SNPU_DEV_QUERY, &query) },
		{ "BO_CREATE HBM", snpu_bo_create(c->fd, SNPU_4K, DRM_SNPU_BO_HBM, &new_handle,
						  NULL) },
		{ "BO_CREATE HOST", snpu_bo_create(c->fd, SNPU_4K, DRM_SNPU_BO_HOST, &new_handle,
						   NULL) },
		{ "BO_INFO", snpu_ioctl(c->fd, DRM_IOCTL_SNPU_BO_INFO, &bo) },
		{ "VM_BIND map", snpu_map(c->fd, handle, 0, 1ull << 40, SNPU_4K, SNPU_RW) },
		{ "VM_BIND unmap", snpu_unmap(c->fd, 1ull << 40, SNPU_4K) },
		{ "QUEUE_CREATE", snpu_ioctl(c->fd, DRM_IOCTL_SNPU_QUEUE_CREATE, &create) },
		{ "QUEUE_QUERY", snpu_queue_info(q, &info) },
		{ "QUEUE_CTRL wake", snpu_ctrl(q, DRM_SNPU_CTRL_WAKE) },
		{ "QUEUE_CTRL suspend", snpu_ctrl(q, DRM_SNPU_CTRL_SUSPEND) },
		{ "QUEUE_SIGNAL", snpu_signal(q, obj, 0, 0) },
		{ "QUEUE_WAIT", snpu_wait_for(q, obj, 0, &va, &value) },
	};
	int bad = 0;

	for (size_t i = 0; i < ARRAY_SIZE(call); i++) {
		if (call[i].got == -ENODEV)
			continue;
		snpu_diag("%s after removal: expected -ENODEV, got %d", call[i].name, call[i].got);
		bad = -EPROTO;
	}
	return bad;
}

/* Everything a process can hold of an NPU */
struct held {
	struct snpu_client c;
	struct snpu_queue q;
	struct snpu_buf host;
	struct snpu_buf hbm;
	uint32_t obj;
	int sync_file;
	int dmabuf;
};

static int hold(struct held *h, unsigned int target)
{
	union snpu_pkt pkt;
	int ret;

	ret = snpu_client_open(&h->c, target);
	ret = ret ?: snpu_queue_make(&h->c, &h->q, 6, SNPU_PRIO_NORMAL, true);
	ret = ret ?: snpu_buf_make(&h->c, &h->host, SNPU_2M, DRM_SNPU_BO_HOST);
	ret = ret ?: snpu_buf_make(&h->c, &h->hbm, SNPU_2M, DRM_SNPU_BO_HBM);
	ret = ret ?: snpu_copy(&h->q, h->hbm.va, h->host.va, SNPU_2M);
	ret = ret ?: snpu_syncobj_create(h->c.fd, 0, &h->obj);
	if (ret)
		return ret;
	/* faulted in, so that there is something to take away */
	snpu_touch(h->hbm.map, true);
	snpu_touch(h->host.map, true);
	pkt = snpu_pkt_sem_wait(h->host.va + SNPU_4K, 1, 0);
	snpu_put(&h->q, &pkt);
	ret = snpu_ring(&h->q);
	ret = ret ?: snpu_signal(&h->q, h->obj, 0, 0);
	if (ret)
		return ret;
	h->sync_file = snpu_syncobj_export(h->c.fd, h->obj, 0);
	h->dmabuf = snpu_prime_export(h->c.fd, h->hbm.handle);
	return h->sync_file < 0 ? h->sync_file : h->dmabuf < 0 ? h->dmabuf : 0;
}

static void let_go(struct held *h)
{
	close(h->sync_file);
	close(h->dmabuf);
	snpu_queue_free(&h->q);
	snpu_buf_free(&h->host);
	snpu_buf_free(&h->hbm);
	snpu_client_close(&h->c);
}

TEST_F_TIMEOUT(remove, unbind_under_load, SNPU_TEST_S)
{
	struct snpu_queue pq;
	struct snpu_client peer;
	struct snpu_buf local;
	struct snpu_proc p[2];
	union snpu_pkt pkt;
	struct held h;
	uint32_t handle;
	uint64_t va, count;
	int status;

	ASSERT_EQ(0, hold(&h, self->target));
	/* another NPU that reaches into this one's HBM */
	ASSERT_EQ(0, snpu_client_open(&peer, 0));
	ASSERT_EQ(0, snpu_queue_make(&peer, &pq, 4, SNPU_PRIO_NORMAL, false));
	ASSERT_EQ(0, snpu_buf_make(&peer, &local, SNPU_2M, DRM_SNPU_BO_HBM));
	va = snpu_va_alloc(&peer, SNPU_2M);
	ASSERT_EQ(0, snpu_prime_import(peer.fd, h.dmabuf, &handle));
	ASSERT_EQ(0, snpu_map(peer.fd, handle, 0, va, SNPU_2M, SNPU_RW));
	ASSERT_EQ(0, snpu_copy(&pq, local.va, va, SNPU_2M));
	ASSERT_EQ(0, load_start(self, p, 2));

	ASSERT_EQ(0, unbind(self->pci));
	EXPECT_EQ(self->count - 1, snpu_count());
	EXPECT_EQ(0, all_enodev(&h.c, &h.q, h.hbm.handle, h.obj));
	/* the fence, the completion page, the eventfd: they all tell */
	ASSERT_EQ(0, snpu_wait_readable(h.sync_file, SNPU_WAIT_MS));
	ASSERT_EQ(0, snpu_sync_file_status(h.sync_file, &status));
	EXPECT_EQ(-ENODEV, status);
	EXPECT_EQ(SNPU_QSTATE_STOPPED, h.q.cpl->state);
	EXPECT_EQ(1, h.q.cpl->completed);
	EXPECT_EQ(0, snpu_wait_readable(h.q.eventfd, SNPU_WAIT_MS));
	EXPECT_EQ(8, read(h.q.eventfd, &count, 8));
	/* stores to the doorbell do no harm, host memory is there, HBM is not */
	EXPECT_EQ(0, snpu_touch(h.q.db, true));
	EXPECT_EQ(0, snpu_touch(h.q.db, false));
	EXPECT_EQ(0, snpu_touch(h.host.map, true));
	EXPECT_EQ(0, snpu_touch(h.host.map, false));
	EXPECT_EQ(SIGBUS, snpu_touch(h.hbm.map, true));
	EXPECT_EQ(SIGBUS, snpu_touch(h.hbm.map, false));
	/* new mappings of the old file: the doorbell would be a dummy, HBM is no more */
	void *map = mmap(NULL, SNPU_2M, PROT_READ, MAP_SHARED, h.c.fd, (off_t)h.hbm.offset);

	if (map != MAP_FAILED) {
		EXPECT_EQ(SIGBUS, snpu_touch(map, false));
		munmap(map, SNPU_2M);
	}
	/* the peer is told, too, and harmed no further */
	pkt = snpu_pkt_copy(local.va, va, 64);
	snpu_put(&pq, &pkt);
	ASSERT_EQ(0, snpu_ring(&pq));
	EXPECT_EQ(0, snpu_want_fault(&pq, SNPU_ERR_FABRIC, 1, va));
	snpu_queue_free(&pq);
	ASSERT_EQ(0, snpu_queue_make(&peer, &pq, 4, SNPU_PRIO_NORMAL, false));
	EXPECT_EQ(0, snpu_copy(&pq, local.va + SNPU_4K, local.va, SNPU_4K));

	/* back again: a new device, of which the old file has nothing */
	ASSERT_EQ(0, bind_again(self->pci));
	EXPECT_EQ(self->count, snpu_count());
	EXPECT_EQ(0, snpu_works(self->target));
	EXPECT_EQ(0, all_enodev(&h.c, &h.q, h.hbm.handle, h.obj));
	EXPECT_EQ(SIGBUS, snpu_touch(h.hbm.map, false));
	EXPECT_EQ(0, snpu_touch(h.q.db, true));
	/* nor has the peer: what is in that memory now is somebody else's */
	pkt = snpu_pkt_copy(local.va, va, 64);
	snpu_put(&pq, &pkt);
	ASSERT_EQ(0, snpu_ring(&pq));
	EXPECT_EQ(0, snpu_want_fault(&pq, SNPU_ERR_FABRIC, 1, va));
	EXPECT_EQ(0, load_stop(p, 2));
	let_go(&h);
	EXPECT_EQ(0, snpu_works(self->target));
	snpu_queue_free(&pq);
	snpu_buf_free(&local);
	snpu_client_close(&peer);
	EXPECT_EQ(0, snpu_works(0));
}

/* The importer goes, the exporter stays */
TEST_F_TIMEOUT(remove, unbind_importer, SNPU_TEST_S)
{
	struct snpu_client user;
	struct snpu_queue uq;
	struct held h;
	uint32_t handle;
	uint64_t va;

	ASSERT_EQ(0, hold(&h, 0));
	ASSERT_EQ(0, snpu_client_open(&user, self->target));
	ASSERT_EQ(0, snpu_queue_make(&user, &uq, 6, SNPU_PRIO_NORMAL, false));
	va = snpu_va_alloc(&user, SNPU_2M);
	ASSERT_EQ(0, snpu_prime_import(user.fd, h.dmabuf, &handle));
	ASSERT_EQ(0, snpu_map(user.fd, handle, 0, va, SNPU_2M, SNPU_RW));
	for (int i = 0; i < 32; i++) {
		union snpu_pkt pkt = snpu_pkt_fill(va, SNPU_2M, i);

		snpu_put(&uq, &pkt);
	}
	ASSERT_EQ(0, snpu_ring(&uq));
	ASSERT_EQ(0, snpu_wait(&uq, 1));
	ASSERT_EQ(0, unbind(self->pci));
	/* nothing writes there any more */
	memset(h.hbm.map, 0x99, SNPU_2M);
	EXPECT_EQ(0, snpu_works(0));
	EXPECT_EQ(0, snpu_cmp_byte("memory the importer had", 0x99, h.hbm.map, SNPU_2M));
	ASSERT_EQ(0, bind_again(self->pci));
	snpu_queue_free(&uq);
	snpu_client_close(&user);
	let_go(&h);
}

/* Everything is let go of before the device comes back */
TEST_F_TIMEOUT(remove, close_while_unbound, SNPU_TEST_S)
{
	struct held h;

	for (int i = 0; i < 3; i++) {
		ASSERT_EQ(0, hold(&h, self->target));
		ASSERT_EQ(0, unbind(self->pci));
		let_go(&h);
		ASSERT_EQ(0, bind_again(self->pci));
		ASSERT_EQ(0, snpu_works(self->target));
	}
}

TEST_F_TIMEOUT(remove, bind_unbind_10x, SNPU_TEST_S)
{
	struct snpu_proc p[2];

	ASSERT_EQ(0, load_start(self, p, 2));
	for (int i = 0; i < 10; i++) {
		ASSERT_EQ(0, unbind(self->pci)) {
			TH_LOG("round %d", i);
		}
		ASSERT_EQ(0, bind_again(self->pci)) {
			TH_LOG("round %d", i);
		}
		ASSERT_EQ(0, snpu_works(self->target)) {
			TH_LOG("round %d", i);
		}
	}
	EXPECT_EQ(0, load_stop(p, 2));
}

/* All of them at once, as a driver change would */
TEST_F_TIMEOUT(remove, unbind_all, SNPU_TEST_S)
{
	char pci[MAX_NPUS][32];

	ASSERT_GE(MAX_NPUS, self->count);
	for (unsigned int i = 0; i < self->count; i++)
		ASSERT_EQ(0, snpu_pci_name(i, pci[i], sizeof(pci[i])));
	for (unsigned int i = 0; i < self->count; i++)
		ASSERT_EQ(0, unbind(pci[i]));
	EXPECT_EQ(0, snpu_count());
	for (unsigned int i = self->count; i-- > 0;)
		ASSERT_EQ(0, bind_again(pci[i]));
	for (unsigned int i = 0; i < self->count; i++)
		EXPECT_EQ(0, snpu_works(i));
}

/* Hot removal, and the bus finds it again */
TEST_F_TIMEOUT(remove, pci_remove_rescan, SNPU_TEST_S)
{
	struct snpu_proc p[1];
	char path[128];
	struct held h;

	ASSERT_EQ(0, hold(&h, self->target));
	ASSERT_EQ(0, load_start(self, p, 1));
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/remove", self->pci);
	ASSERT_EQ(0, snpu_write_file(path, "1"));
	EXPECT_EQ(self->count - 1, snpu_count());
	EXPECT_EQ(0, all_enodev(&h.c, &h.q, h.hbm.handle, h.obj));
	EXPECT_EQ(0, snpu_touch(h.q.db, true));
	EXPECT_EQ(SIGBUS, snpu_touch(h.hbm.map, true));
	ASSERT_EQ(0, snpu_write_file("/sys/bus/pci/rescan", "1"));
	ASSERT_EQ(0, wait_for_all(self->count));
	EXPECT_EQ(0, snpu_works(self->target));
	EXPECT_EQ(0, load_stop(p, 1));
	let_go(&h);
	EXPECT_EQ(0, snpu_works(self->target));
}

/* ---- resets ---------------------------------------------------------------------------------- */

static int after_reset(struct held *h, bool later)
{
	uint64_t end = snpu_now_ms() + SNPU_WAIT_MS;
	struct drm_snpu_counters m;
	struct drm_snpu_dev_query query = {
		.type = DRM_SNPU_QUERY_COUNTERS, .size = sizeof(m), .pointer = (uintptr_t)&m,
	};
	struct drm_snpu_queue_query info;
	struct snpu_queue q;
	int status, ret;

	ret = snpu_wait_readable(h->sync_file, SNPU_WAIT_MS);
	ret = ret ?: snpu_sync_file_status(h->sync_file, &status);
	if (ret || status != -ENODEV) {
		snpu_diag("fence after a reset: expected status %d, got %d (%d)", -ENODEV, status,
			  ret);
		return -EPROTO;
	}
	ret = snpu_wait_state(&h->q, SNPU_QSTATE_STOPPED);
	ret = ret ?: snpu_queue_info(&h->q, &info);
	if (ret || info.flags != DRM_SNPU_QUEUE_LOST || info.state != SNPU_QSTATE_STOPPED) {
		snpu_diag("queue after a reset: expected flags %#x state %u, got %#x %u (%d)",
			  DRM_SNPU_QUEUE_LOST, SNPU_QSTATE_STOPPED, info.flags, info.state, ret);
		return -EPROTO;
	}
	if (snpu_touch(h->q.db, true) || snpu_touch(h->host.map, true)) {
		snpu_diag("doorbell or host memory went with the reset");
		return -EPROTO;
	}
	/* what the driver does on its own may take longer than its news of it */
	do {
		ret = snpu_ioctl(h->c.fd, DRM_IOCTL_SNPU_DEV_QUERY, &query);
	} while (later && ret == -EIO && snpu_now_ms() < end);
	if (ret) {
		snpu_diag("DEV_QUERY after a reset: expected 0, got %d", ret);
		return ret;
	}
	/* the file stays usable, with its buffers and mappings */
	ret = snpu_queue_make(&h->c, &q, 4, SNPU_PRIO_NORMAL, false);
	if (ret)
		return ret;
	snpu_pattern(h->host.map, SNPU_2M / 2, 17);
	ret = snpu_copy(&q, h->hbm.va, h->host.va, SNPU_2M / 2);
	ret = ret ?: snpu_copy(&q, h->host.va + SNPU_2M / 2, h->hbm.va, SNPU_2M / 2);
	ret = ret ?: snpu_cmp("by the mappings of before", h->host.map, h->host.map + SNPU_2M / 2,
			      SNPU_2M / 2);
	ret = ret ?: snpu_cmp("HBM seen by the CPU", h->host.map, h->hbm.map, SNPU_2M / 2);
	snpu_queue_free(&q);
	return ret;
}

/* By one method of sysfs ("flr", "bus", "pm"), or by the one the kernel prefers (NULL) */
static int reset_by(FIXTURE_DATA(remove) *self, const char *method)
{
	char path[128], reset[128];
	struct held h;
	int ret;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/reset_method", self->pci);
	snprintf(reset, sizeof(reset), "/sys/bus/pci/devices/%s/reset", self->pci);
	for (int i = 0; i < 3; i++) {
		ret = hold(&h, self->target);
		if (!ret && method)
			ret = snpu_write_file(path, method);
		ret = ret ?: snpu_write_file(reset, "1");
		if (ret)
			snpu_diag("reset by %s: got %d", method ?: "default", ret);
		ret = ret ?: after_reset(&h, false);
		let_go(&h);
		if (method)
			snpu_write_file(path, "default");
		if (ret)
			return ret;
	}
	return snpu_works(self->target);
}

TEST_F_TIMEOUT(remove, reset_methods, SNPU_TEST_S)
{
	char path[128], text[128], *method, *rest = text;
	unsigned int n = 0;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/reset_method", self->pci);
	ASSERT_LT(0, snpu_read_file(path, text, sizeof(text)));
	text[strcspn(text, "\n")] = '\0';
	ASSERT_NE(NULL, strstr(text, "flr")) {
		TH_LOG("reset methods: %s", text);
	}
	while ((method = strsep(&rest, " "))) {
		if (!*method)
			continue;
		EXPECT_EQ(0, reset_by(self, method)) {
			TH_LOG("reset method %s", method);
		}
		n++;
	}
	EXPECT_LE(1, n);
}

TEST_F_TIMEOUT(remove, reset_under_load, SNPU_TEST_S)
{
	struct snpu_proc p[2];

	ASSERT_EQ(0, load_start(self, p, 2));
	EXPECT_EQ(0, reset_by(self, NULL));
	EXPECT_EQ(0, load_stop(p, 2));
	EXPECT_EQ(0, snpu_works(self->target));
}

/* One that is asked for in debugfs takes the way of errors that the driver itself finds */
TEST_F_TIMEOUT(remove, reset_by_driver, SNPU_TEST_S)
{
	struct drm_snpu_counters before, after;
	char path[160], accel[32];
	struct stat st;
	struct held h;

	if (stat("/sys/kernel/debug/accel", &st))
		SKIP(return, "no /sys/kernel/debug/accel: needs CONFIG_DEBUG_FS");
	ASSERT_EQ(0, snpu_accel_name(self->target, accel, sizeof(accel)));
	snprintf(path, sizeof(path), "/sys/kernel/debug/accel/%s/snpu_reset",
		 accel + strlen("accel"));
	if (stat(path, &st))
		snprintf(path, sizeof(path), "/sys/kernel/debug/accel/%s/snpu_reset", self->pci);
	for (int i = 0; i < 5; i++) {
		ASSERT_EQ(0, hold(&h, self->target));
		ASSERT_EQ(0, snpu_query(h.c.fd, DRM_SNPU_QUERY_COUNTERS, &before, sizeof(before)));
		ASSERT_EQ(0, snpu_write_file(path, "1"));
		EXPECT_EQ(0, after_reset(&h, true));
		ASSERT_EQ(0, snpu_query(h.c.fd, DRM_SNPU_QUERY_COUNTERS, &after, sizeof(after)));
		EXPECT_LT(before.resets, after.resets);
		EXPECT_LE(before.packets, after.packets);
		EXPECT_LT(before.time_ns, after.time_ns);
		let_go(&h);
	}
}

/* ---- rmmod ----------------------------------------------------------------------------------- */

static int rmmod(void)
{
	return syscall(SYS_delete_module, "snpu", O_NONBLOCK) ? -errno : 0;
}

static bool refused(int ret)
{
	return ret == -EBUSY || ret == -EWOULDBLOCK;
}

static int modprobe(void)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		execlp("modprobe", "modprobe", "snpu", NULL);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return -ECHILD;
	if (WEXITSTATUS(status))
		snpu_diag("modprobe snpu: exit code %d", WEXITSTATUS(status));
	return -WEXITSTATUS(status);
}

static bool can_unload(void)
{
	struct stat st;

	return !stat(MODULE "/initstate", &st) && !stat(MODULE "/refcnt", &st);
}

#define NEEDS_RMMOD "cannot be unloaded: needs CONFIG_DRM_ACCEL_SNPU=m, CONFIG_MODULE_UNLOAD"

TEST_F_TIMEOUT(remove, rmmod_in_use, SNPU_TEST_S)
{
	struct snpu_proc p[1];
	struct held h;

	if (!can_unload())
		SKIP(return, NEEDS_RMMOD);
	ASSERT_EQ(0, hold(&h, self->target));
	ASSERT_EQ(0, load_start(self, p, 1));
	EXPECT_TRUE(refused(rmmod()));
	EXPECT_EQ(0, load_stop(p, 1));
	EXPECT_TRUE(refused(rmmod()));
	/* only the mappings are left, then only the dma-buf */
	snpu_client_close(&h.c);
	EXPECT_TRUE(refused(rmmod()));
	munmap(h.host.map, h.host.size);
	munmap((void *)h.q.db, SNPU_4K);
	munmap((void *)h.q.cpl, SNPU_4K);
	munmap(h.q.ring.map, h.q.ring.size);
	munmap(h.hbm.map, h.hbm.size);
	EXPECT_TRUE(refused(rmmod()));
	EXPECT_EQ(self->count, snpu_count());
	close(h.dmabuf);
	close(h.sync_file);
	close(h.q.eventfd);
}

/* Unbound, but still open: the code must stay */
TEST_F_TIMEOUT(remove, rmmod_while_unbound, SNPU_TEST_S)
{
	struct held h;

	if (!can_unload())
		SKIP(return, NEEDS_RMMOD);
	ASSERT_EQ(0, hold(&h, self->target));
	ASSERT_EQ(0, unbind(self->pci));
	EXPECT_TRUE(refused(rmmod()));
	let_go(&h);
	ASSERT_EQ(0, bind_again(self->pci));
}

/* A fence outlives the module that made it */
TEST_F_TIMEOUT(remove, rmmod_and_back, SNPU_TEST_S)
{
	char hang_ms[16];
	struct held h;
	int status;

	if (!can_unload())
		SKIP(return, NEEDS_RMMOD);
	ASSERT_LT(0, snpu_read_file(MODULE "/parameters/hang_ms", hang_ms, sizeof(hang_ms)));
	for (int i = 0; i < 2; i++) {
		ASSERT_EQ(0, hold(&h, self->target));
		close(h.dmabuf);
		h.dmabuf = -1;
		snpu_queue_free(&h.q);
		snpu_buf_free(&h.host);
		snpu_buf_free(&h.hbm);
		snpu_client_close(&h.c);
		ASSERT_EQ(0, rmmod()) {
			char refs[16] = "";

			snpu_read_file(MODULE "/refcnt", refs, sizeof(refs));
			TH_LOG("module references: %s", refs);
		}
		EXPECT_EQ(0, snpu_wait_readable(h.sync_file, 0));
		EXPECT_EQ(0, snpu_sync_file_status(h.sync_file, &status));
		EXPECT_EQ(-ECANCELED, status);
		close(h.sync_file);
		ASSERT_EQ(0, modprobe());
		ASSERT_EQ(0, wait_for_all(self->count));
		for (unsigned int k = 0; k < self->count; k++)
			EXPECT_EQ(0, snpu_works(k));
	}
	snpu_write_file(MODULE "/parameters/hang_ms", hang_ms);
}

TEST_HARNESS_MAIN
