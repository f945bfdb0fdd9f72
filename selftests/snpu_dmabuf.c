// SPDX-License-Identifier: GPL-2.0-only
/*
 * dma-buf: to the same NPU, to a peer over the fabric, from other drivers; lifetimes.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/dma-buf.h>
#include <linux/dma-heap.h>
#include <linux/udmabuf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <kselftest_harness.h>

#include "snpu_util.h"

#define BYTES	(SNPU_2M + 9 * SNPU_4K)

FIXTURE(dmabuf) {
	struct snpu_client c[2];	/* of NPU 0 and NPU 1 */
	struct snpu_queue q[2];
	struct snpu_buf host[2];
};

FIXTURE_SETUP(dmabuf)
{
	SNPU_NEED_NPUS(2);
	for (int i = 0; i < 2; i++) {
		ASSERT_EQ(0, snpu_client_open(&self->c[i], i));
		ASSERT_EQ(0, snpu_queue_make(&self->c[i], &self->q[i], 6, SNPU_PRIO_NORMAL, false));
		ASSERT_EQ(0, snpu_buf_make(&self->c[i], &self->host[i], 2 * SNPU_2M,
					   DRM_SNPU_BO_HOST));
	}
}

FIXTURE_TEARDOWN(dmabuf)
{
	for (int i = 0; i < 2; i++) {
		snpu_queue_free(&self->q[i]);
		snpu_buf_free(&self->host[i]);
		snpu_client_close(&self->c[i]);
	}
}

/* Imports and binds: the address, or 0 */
static uint64_t import_at(struct snpu_client *c, int dmabuf, uint64_t bytes, uint32_t access,
			  uint32_t *handle)
{
	uint64_t va = snpu_va_alloc(c, bytes);
	int ret;

	ret = snpu_prime_import(c->fd, dmabuf, handle);
	if (ret) {
		snpu_diag("import by NPU %u: expected 0, got %d", c->index, ret);
		return 0;
	}
	ret = snpu_map(c->fd, *handle, 0, va, bytes, access);
	if (ret) {
		snpu_diag("VM_BIND of the import by NPU %u: expected 0, got %d", c->index, ret);
		return 0;
	}
	return va;
}

static int bo_info(struct snpu_client *c, uint32_t handle, struct drm_snpu_bo_info *info)
{
	*info = (struct drm_snpu_bo_info){ .handle = handle };
	return snpu_ioctl(c->fd, DRM_IOCTL_SNPU_BO_INFO, info);
}

/* Sends a pattern to @va and fetches it back, by NPU @i */
static int round_trip(FIXTURE_DATA(dmabuf) *self, int i, uint64_t va, uint64_t bytes, uint64_t seed)
{
	uint8_t *host = self->host[i].map;
	int ret = 0;

	for (uint64_t at = 0; at < bytes && !ret; at += SNPU_2M) {
		uint64_t n = bytes - at < SNPU_2M ? bytes - at : SNPU_2M;

		snpu_pattern(host, n, seed + at);
		ret = snpu_copy(&self->q[i], va + at, self->host[i].va, n);
		ret = ret ?: snpu_copy(&self->q[i], self->host[i].va + SNPU_2M, va + at, n);
		ret = ret ?: snpu_cmp("there and back", host, host + SNPU_2M, n);
	}
	return ret;
}

TEST_F_TIMEOUT(dmabuf, own_device, SNPU_TEST_S)
{
	struct snpu_client other;
	struct snpu_queue q;
	struct snpu_buf a, back;
	struct drm_snpu_bo_info info, orig;
	uint32_t same, handle;
	uint64_t va;
	int fd;

	for (uint32_t flags = DRM_SNPU_BO_HBM; flags <= DRM_SNPU_BO_HOST; flags <<= 1) {
		ASSERT_EQ(0, snpu_buf_make(&self->c[0], &a, BYTES, flags));
		fd = snpu_prime_export(self->c[0].fd, a.handle);
		ASSERT_LE(0, fd);
		EXPECT_EQ(FD_CLOEXEC, fcntl(fd, F_GETFD));
		EXPECT_EQ((off_t)a.size, lseek(fd, 0, SEEK_END));
		/* to the file it came from: the same handle */
		ASSERT_EQ(0, snpu_prime_import(self->c[0].fd, fd, &same));
		EXPECT_EQ(a.handle, same);
		/* to another client: the same memory */
		ASSERT_EQ(0, snpu_client_open(&other, 0));
		ASSERT_EQ(0, snpu_queue_make(&other, &q, 4, SNPU_PRIO_NORMAL, false));
		ASSERT_EQ(0, snpu_buf_make(&other, &back, BYTES, DRM_SNPU_BO_HOST));
		va = import_at(&other, fd, a.size, SNPU_RW, &handle);
		ASSERT_NE(0, va);
		ASSERT_EQ(0, bo_info(&self->c[0], a.handle, &orig));
		ASSERT_EQ(0, bo_info(&other, handle, &info));
		EXPECT_EQ(orig.flags, info.flags);
		EXPECT_EQ(orig.size, info.size);
		EXPECT_EQ(orig.node_id, info.node_id);
		snpu_pattern(a.map, BYTES, 5);
		ASSERT_EQ(0, snpu_copy(&q, back.va, va, BYTES));
		EXPECT_EQ(0, snpu_cmp("read by the other client", a.map, back.map, BYTES));
		ASSERT_EQ(0, snpu_fill(&q, va, BYTES, 0x33));
		EXPECT_EQ(0, snpu_cmp_byte("written by the other client", 0x33, a.map, BYTES));
		snpu_queue_free(&q);
		snpu_buf_free(&back);
		snpu_client_close(&other);
		close(fd);
		snpu_buf_free(&a);
	}
}

TEST_F_TIMEOUT(dmabuf, peer, SNPU_TEST_S)
{
	for (int owner = 0; owner < 2; owner++) {
		int user = !owner;
		struct snpu_buf a, local;
		struct drm_snpu_bo_info info;
		uint32_t handle;
		uint64_t va;
		int fd;

		ASSERT_EQ(0, snpu_buf_make(&self->c[owner], &a, BYTES, DRM_SNPU_BO_HBM));
		ASSERT_EQ(0, snpu_buf_make(&self->c[user], &local, BYTES, DRM_SNPU_BO_HBM));
		fd = snpu_prime_export(self->c[owner].fd, a.handle);
		ASSERT_LE(0, fd);
		va = import_at(&self->c[user], fd, BYTES, SNPU_RW, &handle);
		ASSERT_NE(0, va);
		close(fd);
		ASSERT_EQ(0, bo_info(&self->c[user], handle, &info));
		EXPECT_NE(0, info.flags & DRM_SNPU_BO_PEER);
		EXPECT_NE(self->c[user].info.node_id, info.node_id);
		EXPECT_EQ(self->c[owner].info.node_id, info.node_id);
		EXPECT_LE(BYTES, info.size);

		/* the user writes, the owner sees it; by CPU and by its own device */
		snpu_pattern(local.map, BYTES, 10 + owner);
		ASSERT_EQ(0, snpu_copy(&self->q[user], va, local.va, BYTES));
		EXPECT_EQ(0, snpu_cmp("pushed over the fabric", local.map, a.map, BYTES));
		ASSERT_EQ(0, snpu_copy(&self->q[owner], self->host[owner].va, a.va, BYTES));
		EXPECT_EQ(0, snpu_cmp("the owner's device finds", local.map, self->host[owner].map,
				      BYTES));
		/* the owner writes, the user fetches */
		snpu_pattern(a.map, BYTES, 20 + owner);
		ASSERT_EQ(0, snpu_copy(&self->q[user], local.va, va, BYTES));
		EXPECT_EQ(0, snpu_cmp("fetched over the fabric", a.map, local.map, BYTES));
		EXPECT_EQ(0, round_trip(self, user, va, BYTES, 30));
		/* only what was exported is there */
		union snpu_pkt pkt = snpu_pkt_copy(local.va, va + info.size, 64);

		snpu_put(&self->q[user], &pkt);
		ASSERT_EQ(0, snpu_ring(&self->q[user]));
		EXPECT_EQ(0, snpu_want_fault(&self->q[user], SNPU_ERR_UNMAPPED, ~0ull,
					     va + info.size));
		snpu_queue_free(&self->q[user]);
		ASSERT_EQ(0, snpu_queue_make(&self->c[user], &self->q[user], 6, SNPU_PRIO_NORMAL,
					     false));
		EXPECT_EQ(0, snpu_unmap(self->c[user].fd, va, BYTES));
		EXPECT_EQ(0, snpu_bo_close(self->c[user].fd, handle));
		snpu_buf_free(&local);
		snpu_buf_free(&a);
	}
}

/* A piece from the middle of a peer's BO, at an odd place */
TEST_F_TIMEOUT(dmabuf, peer_partial, SNPU_TEST_S)
{
	struct snpu_buf a;
	uint32_t handle;
	uint64_t va = snpu_va_alloc(&self->c[1], SNPU_2M) + 3 * SNPU_4K;
	int fd;

	ASSERT_EQ(0, snpu_buf_make(&self->c[0], &a, 4 * SNPU_2M, DRM_SNPU_BO_HBM));
	snpu_pattern(a.map, a.size, 77);
	fd = snpu_prime_export(self->c[0].fd, a.handle);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, snpu_prime_import(self->c[1].fd, fd, &handle));
	close(fd);
	EXPECT_EQ(-EINVAL, snpu_map(self->c[1].fd, handle, 0, va, 5 * SNPU_2M, SNPU_RW));
	ASSERT_EQ(0, snpu_map(self->c[1].fd, handle, SNPU_2M - SNPU_4K, va, 7 * SNPU_4K,
			      DRM_SNPU_BIND_READ));
	ASSERT_EQ(0, snpu_copy(&self->q[1], self->host[1].va, va, 7 * SNPU_4K));
	EXPECT_EQ(0, snpu_cmp("pages across 2 MiB", a.map + SNPU_2M - SNPU_4K, self->host[1].map,
			      7 * SNPU_4K));
	/* the right to write is not in the mapping */
	union snpu_pkt pkt = snpu_pkt_fill(va, 64, 1);

	snpu_put(&self->q[1], &pkt);
	ASSERT_EQ(0, snpu_ring(&self->q[1]));
	EXPECT_EQ(0, snpu_want_fault(&self->q[1], SNPU_ERR_PERM, ~0ull, va));
	snpu_buf_free(&a);
}

/* A host BO of one NPU, used by another */
TEST_F_TIMEOUT(dmabuf, host_of_other, SNPU_TEST_S)
{
	struct drm_snpu_bo_info info;
	struct snpu_buf a;
	uint32_t handle;
	uint64_t va;
	int fd;

	ASSERT_EQ(0, snpu_buf_make(&self->c[0], &a, BYTES, DRM_SNPU_BO_HOST));
	fd = snpu_prime_export(self->c[0].fd, a.handle);
	ASSERT_LE(0, fd);
	va = import_at(&self->c[1], fd, BYTES, SNPU_RW, &handle);
	ASSERT_NE(0, va);
	close(fd);
	ASSERT_EQ(0, bo_info(&self->c[1], handle, &info));
	EXPECT_NE(0, info.flags & DRM_SNPU_BO_IMPORTED);
	EXPECT_EQ(~0u, info.node_id);
	EXPECT_EQ(0, round_trip(self, 1, va, BYTES, 3));
	snpu_pattern(a.map, SNPU_2M, 4);
	ASSERT_EQ(0, snpu_copy(&self->q[1], self->host[1].va, va, SNPU_2M));
	EXPECT_EQ(0, snpu_cmp("another NPU's host memory", a.map, self->host[1].map, SNPU_2M));
	snpu_buf_free(&a);
}

/* A semaphore in the HBM of another NPU: it releases a queue there, no host between */
TEST_F_TIMEOUT(dmabuf, peer_semaphore, SNPU_TEST_S)
{
	struct snpu_buf sem;
	union snpu_pkt pkt;
	uint32_t handle;
	uint64_t va;
	int fd;

	ASSERT_EQ(0, snpu_buf_make(&self->c[0], &sem, SNPU_4K, DRM_SNPU_BO_HBM));
	fd = snpu_prime_export(self->c[0].fd, sem.handle);
	ASSERT_LE(0, fd);
	va = import_at(&self->c[1], fd, SNPU_4K, SNPU_RW, &handle);
	ASSERT_NE(0, va);
	close(fd);
	for (uint64_t i = 1; i <= 20; i++) {
		pkt = snpu_pkt_sem_wait(sem.va, i, 0);
		snpu_put(&self->q[0], &pkt);
		ASSERT_EQ(0, snpu_ring(&self->q[0]));
		ASSERT_EQ(0, snpu_wait_state(&self->q[0], SNPU_QSTATE_BLOCKED));
		pkt = snpu_pkt_sem_signal(va, i);
		snpu_put(&self->q[1], &pkt);
		ASSERT_EQ(0, snpu_ring(&self->q[1]));
		ASSERT_EQ(0, snpu_wait(&self->q[0], i)) {
			TH_LOG("signal %llu", (unsigned long long)i);
		}
	}
	snpu_buf_free(&sem);
}

/* All NPUs of the machine at once, each into the next one's HBM */
TEST_F_TIMEOUT(dmabuf, ring_of_all, SNPU_TEST_S)
{
	enum { MAX = 16 };
	const uint64_t n = 256 << 10;
	unsigned int count = snpu_count() < MAX ? snpu_count() : MAX;
	struct snpu_client c[MAX];
	struct snpu_queue q[MAX];
	struct snpu_buf b[MAX];
	uint64_t next[MAX];

	for (unsigned int i = 0; i < count; i++) {
		ASSERT_EQ(0, snpu_client_open(&c[i], i));
		ASSERT_EQ(0, snpu_queue_make(&c[i], &q[i], 4, SNPU_PRIO_NORMAL, false));
		ASSERT_EQ(0, snpu_buf_make(&c[i], &b[i], 2 * n, DRM_SNPU_BO_HBM));
		snpu_pattern(b[i].map, n, 1000 + i);
	}
	for (unsigned int i = 0; i < count; i++) {
		unsigned int to = (i + 1) % count;
		uint32_t handle;
		int fd = snpu_prime_export(c[to].fd, b[to].handle);

		ASSERT_LE(0, fd);
		next[i] = import_at(&c[i], fd, 2 * n, SNPU_RW, &handle);
		ASSERT_NE(0, next[i]);
		close(fd);
	}
	for (unsigned int i = 0; i < count; i++) {
		union snpu_pkt pkt = snpu_pkt_copy(next[i] + n, b[i].va, n);

		snpu_put(&q[i], &pkt);
		ASSERT_EQ(0, snpu_ring(&q[i]));
	}
	for (unsigned int i = 0; i < count; i++)
		ASSERT_EQ(0, snpu_wait(&q[i], 1));
	for (unsigned int i = 0; i < count; i++) {
		EXPECT_EQ(0, snpu_cmp("from the one before", b[(i + count - 1) % count].map,
				      b[i].map + n, n)) {
			TH_LOG("at NPU %u of %u", i, count);
		}
	}
	for (unsigned int i = 0; i < count; i++) {
		snpu_queue_free(&q[i]);
		snpu_buf_free(&b[i]);
		snpu_client_close(&c[i]);
	}
}

static int use_foreign(FIXTURE_DATA(dmabuf) *self, int dmabuf, uint64_t bytes)
{
	struct drm_snpu_bo_info info;
	uint32_t handle;
	uint64_t va;
	uint8_t *map;
	int ret;

	for (int i = 0; i < 2; i++) {
		va = import_at(&self->c[i], dmabuf, bytes, SNPU_RW, &handle);
		if (!va)
			return -EPROTO;
		ret = bo_info(&self->c[i], handle, &info);
		if (ret)
			return ret;
		if (info.flags != DRM_SNPU_BO_IMPORTED || info.node_id != ~0u ||
		    info.size != bytes) {
			snpu_diag("BO_INFO: want flags %#x node ~0 size %#llx, got %#x %#x %#llx",
				  DRM_SNPU_BO_IMPORTED, (unsigned long long)bytes, info.flags,
				  info.node_id, (unsigned long long)info.size);
			return -EPROTO;
		}
		ret = round_trip(self, i, va, bytes, 50 + i);
		if (ret)
			return ret;
		map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, dmabuf, 0);
		if (map == MAP_FAILED)
			return -errno;
		snpu_pattern(map, bytes, 60 + i);
		ret = snpu_copy(&self->q[i], self->host[i].va, va, bytes);
		ret = ret ?: snpu_cmp("foreign memory", map, self->host[i].map, bytes);
		munmap(map, bytes);
		ret = ret ?: snpu_unmap(self->c[i].fd, va, bytes);
		ret = ret ?: snpu_bo_close(self->c[i].fd, handle);
		if (ret)
			return ret;
	}
	return 0;
}

TEST_F_TIMEOUT(dmabuf, udmabuf, SNPU_TEST_S)
{
	struct udmabuf_create a = { .size = 33 * SNPU_4K, .flags = UDMABUF_FLAGS_CLOEXEC };
	int dev = open("/dev/udmabuf", O_RDWR | O_CLOEXEC);
	int mem, fd;

	if (dev < 0 && errno == ENOENT)
		SKIP(return, "no /dev/udmabuf: needs CONFIG_UDMABUF");
	ASSERT_LE(0, dev);
	mem = memfd_create("snpu", MFD_ALLOW_SEALING | MFD_CLOEXEC);
	ASSERT_LE(0, mem);
	ASSERT_EQ(0, ftruncate(mem, 64 * SNPU_4K));
	ASSERT_EQ(0, fcntl(mem, F_ADD_SEALS, F_SEAL_SHRINK));
	a.memfd = mem;
	a.offset = 5 * SNPU_4K;
	fd = ioctl(dev, UDMABUF_CREATE, &a);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, use_foreign(self, fd, 33 * SNPU_4K));
	close(fd);
	close(mem);
	close(dev);
}

TEST_F_TIMEOUT(dmabuf, dma_heap, SNPU_TEST_S)
{
	struct dma_heap_allocation_data a = { .len = BYTES, .fd_flags = O_RDWR | O_CLOEXEC };
	int heap = open("/dev/dma_heap/system", O_RDWR | O_CLOEXEC);

	if (heap < 0 && errno == ENOENT)
		SKIP(return, "no /dev/dma_heap/system: needs CONFIG_DMABUF_HEAPS_SYSTEM");
	ASSERT_LE(0, heap);
	ASSERT_EQ(0, ioctl(heap, DMA_HEAP_IOCTL_ALLOC, &a));
	EXPECT_EQ(0, use_foreign(self, a.fd, BYTES));
	close(a.fd);
	close(heap);
}

TEST_F_TIMEOUT(dmabuf, wrong_fds, SNPU_TEST_S)
{
	uint32_t handle;
	int fds[2], fd;

	EXPECT_EQ(-EBADF, snpu_prime_import(self->c[0].fd, -1, &handle));
	EXPECT_EQ(-EBADF, snpu_prime_import(self->c[0].fd, 100000, &handle));
	fd = eventfd(0, EFD_CLOEXEC);
	EXPECT_EQ(-EINVAL, snpu_prime_import(self->c[0].fd, fd, &handle));
	close(fd);
	fd = memfd_create("snpu", MFD_CLOEXEC);
	EXPECT_EQ(-EINVAL, snpu_prime_import(self->c[0].fd, fd, &handle));
	close(fd);
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
	EXPECT_EQ(-EINVAL, snpu_prime_import(self->c[0].fd, fds[0], &handle));
	close(fds[0]);
	close(fds[1]);
	/* the device's own files, this one and that of a peer */
	EXPECT_EQ(-EINVAL, snpu_prime_import(self->c[0].fd, self->c[0].fd, &handle));
	EXPECT_EQ(-EINVAL, snpu_prime_import(self->c[0].fd, self->c[1].fd, &handle));
	/* nothing to export */
	EXPECT_EQ(-ENOENT, snpu_prime_export(self->c[0].fd, 0));
	EXPECT_EQ(-ENOENT, snpu_prime_export(self->c[0].fd, 0x7ffffff0));
	/* a dma-buf is no eventfd of a queue */
	fd = snpu_prime_export(self->c[0].fd, self->host[0].handle);
	ASSERT_LE(0, fd);
	struct drm_snpu_queue_create q = {
		.flags = DRM_SNPU_QUEUE_EVENTFD, .eventfd = fd, .ring_va = self->q[0].ring.va,
		.ring_log2 = 4,
	};

	EXPECT_EQ(-EINVAL, snpu_ioctl(self->c[0].fd, DRM_IOCTL_SNPU_QUEUE_CREATE, &q));
	close(fd);
}

/* mmap of the dma-buf itself */
TEST_F_TIMEOUT(dmabuf, mmap, SNPU_TEST_S)
{
	for (uint32_t flags = DRM_SNPU_BO_HBM; flags <= DRM_SNPU_BO_HOST; flags <<= 1) {
		struct dma_buf_sync sync = { .flags = DMA_BUF_SYNC_START | DMA_BUF_SYNC_RW };
		struct snpu_buf a;
		uint8_t *map, *part;
		int fd;

		ASSERT_EQ(0, snpu_buf_make(&self->c[0], &a, BYTES, flags));
		fd = snpu_prime_export(self->c[0].fd, a.handle);
		ASSERT_LE(0, fd);
		map = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		ASSERT_NE(MAP_FAILED, map);
		EXPECT_EQ(MAP_FAILED, mmap(NULL, a.size + SNPU_4K, PROT_READ, MAP_SHARED, fd, 0));
		EXPECT_EQ(0, snpu_ioctl(fd, DMA_BUF_IOCTL_SYNC, &sync));
		snpu_pattern(map, BYTES, 8);
		sync.flags = DMA_BUF_SYNC_END | DMA_BUF_SYNC_RW;
		EXPECT_EQ(0, snpu_ioctl(fd, DMA_BUF_IOCTL_SYNC, &sync));
		ASSERT_EQ(0, snpu_copy(&self->q[0], self->host[0].va, a.va, BYTES));
		EXPECT_EQ(0, snpu_cmp("written through it", map, self->host[0].map, BYTES));
		part = mmap(NULL, SNPU_4K, PROT_READ, MAP_SHARED, fd, SNPU_2M);
		ASSERT_NE(MAP_FAILED, part);
		EXPECT_EQ(0, snpu_cmp("page at 2 MiB", map + SNPU_2M, part, SNPU_4K));
		/* it lives on when everything else has gone */
		close(fd);
		snpu_buf_free(&a);
		EXPECT_EQ(0, snpu_cmp("after the handle went", self->host[0].map, map, BYTES));
		munmap(part, SNPU_4K);
		munmap(map, BYTES);
	}
}

/* The exporter goes, the importer stays: so does the memory */
TEST_F_TIMEOUT(dmabuf, exporter_gone, SNPU_TEST_S)
{
	struct drm_snpu_memory_info before, during, after;
	uint8_t *want = self->host[1].map + SNPU_2M;
	struct snpu_client c;
	struct snpu_buf a;
	uint32_t handle;
	uint64_t va;
	int fd;

	for (int round = 0; round < 3; round++) {
		/* the first round leaves tables and import slots behind that are kept */
		ASSERT_EQ(0, snpu_query(self->c[0].fd, DRM_SNPU_QUERY_MEMORY, &before,
					sizeof(before)));
		ASSERT_EQ(0, snpu_client_open(&c, 0));
		ASSERT_EQ(0, snpu_buf_make(&c, &a, SNPU_2M, DRM_SNPU_BO_HBM));
		snpu_pattern(want, SNPU_2M, round);
		memcpy(a.map, want, SNPU_2M);
		fd = snpu_prime_export(c.fd, a.handle);
		ASSERT_LE(0, fd);
		va = import_at(&self->c[1], fd, SNPU_2M, SNPU_RW, &handle);
		ASSERT_NE(0, va);
		close(fd);
		munmap(a.map, a.size);
		snpu_client_close(&c);
		ASSERT_EQ(0, snpu_query(self->c[0].fd, DRM_SNPU_QUERY_MEMORY, &during,
					sizeof(during)));
		EXPECT_LE(during.hbm_free, before.hbm_free - SNPU_2M);
		ASSERT_EQ(0, snpu_copy(&self->q[1], self->host[1].va, va, SNPU_2M));
		EXPECT_EQ(0, snpu_cmp("after the exporter went", want, self->host[1].map, SNPU_2M));
		EXPECT_EQ(0, snpu_unmap(self->c[1].fd, va, SNPU_2M));
		EXPECT_EQ(0, snpu_bo_close(self->c[1].fd, handle));
		ASSERT_EQ(0, snpu_query(self->c[0].fd, DRM_SNPU_QUERY_MEMORY, &after,
					sizeof(after)));
		if (round)
			EXPECT_EQ(before.hbm_free, after.hbm_free);
	}
}

/* The importer goes in the middle of a copy */
TEST_F_TIMEOUT(dmabuf, importer_gone, SNPU_TEST_S)
{
	struct snpu_buf a;
	int fd;

	ASSERT_EQ(0, snpu_buf_make(&self->c[0], &a, 16 * SNPU_2M, DRM_SNPU_BO_HBM));
	fd = snpu_prime_export(self->c[0].fd, a.handle);
	ASSERT_LE(0, fd);
	for (int i = 0; i < 5; i++) {
		struct snpu_client c;
		struct snpu_queue q;
		struct snpu_buf local;
		uint32_t handle;
		uint64_t va;

		ASSERT_EQ(0, snpu_client_open(&c, 1));
		ASSERT_EQ(0, snpu_queue_make(&c, &q, 6, SNPU_PRIO_NORMAL, false));
		ASSERT_EQ(0, snpu_buf_make(&c, &local, 16 * SNPU_2M, DRM_SNPU_BO_HBM));
		va = import_at(&c, fd, a.size, SNPU_RW, &handle);
		ASSERT_NE(0, va);
		for (int k = 0; k < 64; k++) {
			union snpu_pkt pkt = snpu_pkt_copy(k % 2 ? va : local.va,
							   k % 2 ? local.va : va, a.size);
			snpu_put(&q, &pkt);
		}
		ASSERT_EQ(0, snpu_ring(&q));
		ASSERT_EQ(0, snpu_wait(&q, 1));
		munmap((void *)q.db, SNPU_4K);
		munmap((void *)q.cpl, SNPU_4K);
		munmap(q.ring.map, q.ring.size);
		munmap(local.map, local.size);
		snpu_client_close(&c);
		EXPECT_EQ(0, round_trip(self, 0, a.va, SNPU_2M, i));
	}
	close(fd);
	snpu_buf_free(&a);
}

/* Fences of a queue, attached to a dma-buf */
TEST_F_TIMEOUT(dmabuf, implicit_fence, SNPU_TEST_S)
{
	struct dma_buf_import_sync_file in = { .flags = DMA_BUF_SYNC_WRITE };
	struct dma_buf_export_sync_file out = { .flags = DMA_BUF_SYNC_READ, .fd = -1 };
	volatile uint64_t *gate = self->host[0].map;
	union snpu_pkt pkt = snpu_pkt_sem_wait(self->host[0].va, 1, 0);
	uint32_t obj;
	int fd, file, status;

	*gate = 0;
	fd = snpu_prime_export(self->c[0].fd, self->host[0].handle);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, snpu_wait_readable(fd, 0));
	ASSERT_EQ(0, snpu_syncobj_create(self->c[0].fd, 0, &obj));
	snpu_put(&self->q[0], &pkt);
	ASSERT_EQ(0, snpu_ring(&self->q[0]));
	ASSERT_EQ(0, snpu_signal(&self->q[0], obj, 0, 0));
	file = snpu_syncobj_export(self->c[0].fd, obj, 0);
	ASSERT_LE(0, file);
	in.fd = file;
	ASSERT_EQ(0, snpu_ioctl(fd, DMA_BUF_IOCTL_IMPORT_SYNC_FILE, &in));
	close(file);
	EXPECT_EQ(-ETIME, snpu_wait_readable(fd, 0));
	ASSERT_EQ(0, snpu_ioctl(fd, DMA_BUF_IOCTL_EXPORT_SYNC_FILE, &out));
	ASSERT_EQ(0, snpu_sync_file_status(out.fd, &status));
	EXPECT_EQ(0, status);
	*gate = 1;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	ASSERT_EQ(0, snpu_ctrl(&self->q[0], DRM_SNPU_CTRL_WAKE));
	EXPECT_EQ(0, snpu_wait_readable(out.fd, SNPU_WAIT_MS));
	EXPECT_EQ(0, snpu_wait_readable(fd, SNPU_WAIT_MS));
	close(out.fd);
	close(fd);
}

TEST_HARNESS_MAIN
