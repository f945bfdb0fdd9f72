// SPDX-License-Identifier: GPL-2.0-only
/*
 * Buffer objects: BO_CREATE, BO_INFO, GEM_CLOSE, mmap.
 */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <kselftest_harness.h>

#include "snpu_util.h"

FIXTURE(bo) {
	struct snpu_client c;
	int fd;
};

FIXTURE_SETUP(bo)
{
	ASSERT_EQ(0, snpu_client_open(&self->c, 0));
	self->fd = self->c.fd;
}

FIXTURE_TEARDOWN(bo)
{
	snpu_client_close(&self->c);
}

static int bo_info(int fd, uint32_t handle, struct drm_snpu_bo_info *info)
{
	*info = (struct drm_snpu_bo_info){ .handle = handle };
	return snpu_ioctl(fd, DRM_IOCTL_SNPU_BO_INFO, info);
}

static void *map_at(int fd, uint64_t offset, uint64_t size, int prot)
{
	return mmap(NULL, size, prot, MAP_SHARED, fd, (off_t)offset);
}

/* 0 if it can be mapped, else the errno, negative */
static int try_map(int fd, uint64_t offset, uint64_t size, int prot, int flags)
{
	void *p = mmap(NULL, size, prot, flags, fd, (off_t)offset);

	if (p == MAP_FAILED)
		return -errno;
	munmap(p, size);
	return 0;
}

TEST_F_TIMEOUT(bo, sizes, SNPU_TEST_S)
{
	static const struct {
		uint64_t size;
		uint32_t flags;
		uint64_t rounded;
	} want[] = {
		{ 1, DRM_SNPU_BO_HBM, SNPU_4K },
		{ SNPU_4K, DRM_SNPU_BO_HBM, SNPU_4K },
		{ SNPU_4K + 1, DRM_SNPU_BO_HBM, 2 * SNPU_4K },
		{ SNPU_2M - 1, DRM_SNPU_BO_HBM, SNPU_2M },
		{ SNPU_2M, DRM_SNPU_BO_HBM, SNPU_2M },
		{ SNPU_2M + 1, DRM_SNPU_BO_HBM, 2 * SNPU_2M },
		{ 3 * SNPU_2M + SNPU_4K, DRM_SNPU_BO_HBM, 4 * SNPU_2M },
		{ 1, DRM_SNPU_BO_HOST, SNPU_4K },
		{ SNPU_4K + 1, DRM_SNPU_BO_HOST, 2 * SNPU_4K },
		{ SNPU_2M + 1, DRM_SNPU_BO_HOST, SNPU_2M + SNPU_4K },
		{ SNPU_2M + 1, DRM_SNPU_BO_HBM | DRM_SNPU_BO_CONTIG, 2 * SNPU_2M },
	};

	for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
		struct drm_snpu_bo_create a = { .size = want[i].size, .flags = want[i].flags };
		struct drm_snpu_bo_info info;

		ASSERT_EQ(0, snpu_ioctl(self->fd, DRM_IOCTL_SNPU_BO_CREATE, &a));
		EXPECT_EQ(want[i].rounded, a.size) {
			TH_LOG("size %#llx flags %#x", (unsigned long long)want[i].size,
			       want[i].flags);
		}
		EXPECT_NE(0, a.handle);
		EXPECT_EQ(0, a.mmap_offset % SNPU_4K);
		ASSERT_EQ(0, bo_info(self->fd, a.handle, &info));
		EXPECT_EQ(a.size, info.size);
		EXPECT_EQ(want[i].flags, info.flags);
		EXPECT_EQ(a.mmap_offset, info.mmap_offset);
		EXPECT_EQ(want[i].flags & DRM_SNPU_BO_HBM ? self->c.info.node_id : ~0u,
			  info.node_id);
		EXPECT_EQ(0, info.pad);
		EXPECT_EQ(0, snpu_bo_close(self->fd, a.handle));
	}
}

TEST_F_TIMEOUT(bo, bad_create, SNPU_TEST_S)
{
	struct drm_snpu_memory_info m;

	ASSERT_EQ(0, snpu_query(self->fd, DRM_SNPU_QUERY_MEMORY, &m, sizeof(m)));
	const struct {
		uint64_t size;
		uint32_t flags;
		int want;
	} bad[] = {
		{ 0, DRM_SNPU_BO_HBM, -EINVAL },
		{ 0, DRM_SNPU_BO_HOST, -EINVAL },
		{ SNPU_4K, 0, -EINVAL },
		{ SNPU_4K, DRM_SNPU_BO_CONTIG, -EINVAL },
		{ SNPU_4K, DRM_SNPU_BO_HBM | DRM_SNPU_BO_HOST, -EINVAL },
		{ SNPU_4K, DRM_SNPU_BO_HOST | DRM_SNPU_BO_CONTIG, -EINVAL },
		{ SNPU_4K, DRM_SNPU_BO_HBM | 1u << 3, -EINVAL },
		{ SNPU_4K, DRM_SNPU_BO_HBM | DRM_SNPU_BO_IMPORTED, -EINVAL },
		{ SNPU_4K, DRM_SNPU_BO_HBM | DRM_SNPU_BO_PEER, -EINVAL },
		{ SNPU_4K, DRM_SNPU_BO_HBM | 1u << 31, -EINVAL },
		{ ~0ull, DRM_SNPU_BO_HBM, -EINVAL },
		{ ~0ull - SNPU_2M, DRM_SNPU_BO_HBM, -EINVAL },
		{ 1ull << 63, DRM_SNPU_BO_HOST, -EINVAL },
		{ ~0ull - 10, DRM_SNPU_BO_HOST, -EINVAL },
		{ m.hbm_total + SNPU_2M, DRM_SNPU_BO_HBM, -ENOSPC },
		{ m.hbm_total + SNPU_2M, DRM_SNPU_BO_HBM | DRM_SNPU_BO_CONTIG, -ENOSPC },
		{ 1ull << 40, DRM_SNPU_BO_HBM, -ENOSPC },
		{ 1ull << 40, DRM_SNPU_BO_HOST, -ENOMEM },
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		uint32_t handle;

		EXPECT_EQ(bad[i].want, snpu_bo_create(self->fd, bad[i].size, bad[i].flags, &handle,
						      NULL)) {
			TH_LOG("size %#llx flags %#x", (unsigned long long)bad[i].size,
			       bad[i].flags);
		}
	}
	/* nothing stayed behind */
	ASSERT_EQ(0, snpu_query(self->fd, DRM_SNPU_QUERY_MEMORY, &m, sizeof(m)));
	EXPECT_EQ(0, m.client_hbm);
	EXPECT_EQ(0, m.client_host);
}

TEST_F_TIMEOUT(bo, bad_info, SNPU_TEST_S)
{
	static const uint32_t bad[] = { 0, 0x7fffffff, 0xffffffff };
	struct drm_snpu_bo_info info;
	uint32_t handle;

	ASSERT_EQ(0, snpu_bo_create(self->fd, SNPU_4K, DRM_SNPU_BO_HOST, &handle, NULL));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_EQ(-ENOENT, bo_info(self->fd, bad[i], &info)) {
			TH_LOG("handle %#x", bad[i]);
		}
		EXPECT_EQ(-EINVAL, snpu_bo_close(self->fd, bad[i])) {
			TH_LOG("GEM_CLOSE of handle %#x", bad[i]);
		}
	}
	EXPECT_EQ(-ENOENT, bo_info(self->fd, handle + 1, &info));
	info = (struct drm_snpu_bo_info){ .handle = handle, .pad = 1 };
	EXPECT_EQ(-EINVAL, snpu_ioctl(self->fd, DRM_IOCTL_SNPU_BO_INFO, &info));

	/* handles are the file's own */
	int other = snpu_open(0);

	ASSERT_LE(0, other);
	EXPECT_EQ(-ENOENT, bo_info(other, handle, &info));
	EXPECT_EQ(-EINVAL, snpu_bo_close(other, handle));
	close(other);
	EXPECT_EQ(0, bo_info(self->fd, handle, &info));

	/* closed twice */
	EXPECT_EQ(0, snpu_bo_close(self->fd, handle));
	EXPECT_EQ(-EINVAL, snpu_bo_close(self->fd, handle));
	EXPECT_EQ(-ENOENT, bo_info(self->fd, handle, &info));
}

FIXTURE(kind) {
	struct snpu_client c;
};

FIXTURE_VARIANT(kind) {
	uint32_t flags;
	uint64_t size;
};

FIXTURE_VARIANT_ADD(kind, hbm_4k) { .flags = DRM_SNPU_BO_HBM, .size = SNPU_4K };
FIXTURE_VARIANT_ADD(kind, hbm_small) { .flags = DRM_SNPU_BO_HBM, .size = 37 * SNPU_4K };
FIXTURE_VARIANT_ADD(kind, hbm_huge) { .flags = DRM_SNPU_BO_HBM, .size = 3 * SNPU_2M };
FIXTURE_VARIANT_ADD(kind, hbm_contig) {
	.flags = DRM_SNPU_BO_HBM | DRM_SNPU_BO_CONTIG, .size = 3 * SNPU_2M
};
FIXTURE_VARIANT_ADD(kind, host_4k) { .flags = DRM_SNPU_BO_HOST, .size = SNPU_4K };
FIXTURE_VARIANT_ADD(kind, host) { .flags = DRM_SNPU_BO_HOST, .size = SNPU_2M + 5 * SNPU_4K };

FIXTURE_SETUP(kind)
{
	ASSERT_EQ(0, snpu_client_open(&self->c, 0));
}

FIXTURE_TEARDOWN(kind)
{
	snpu_client_close(&self->c);
}

/* What the CPU writes the device reads, and the other way round, at every page */
TEST_F_TIMEOUT(kind, read_write, SNPU_TEST_S)
{
	struct snpu_buf a, b;
	struct snpu_queue q;
	uint8_t *want;

	ASSERT_EQ(0, snpu_buf_make(&self->c, &a, variant->size, variant->flags));
	ASSERT_EQ(0, snpu_buf_make(&self->c, &b, variant->size, DRM_SNPU_BO_HOST));
	ASSERT_EQ(0, snpu_queue_make(&self->c, &q, 4, SNPU_PRIO_NORMAL, false));
	EXPECT_EQ(0, snpu_cmp_byte("fresh memory", 0, a.map, a.size));
	want = malloc(variant->size);
	ASSERT_NE(NULL, want);
	snpu_pattern(want, variant->size, 1);
	memcpy(a.map, want, variant->size);
	ASSERT_EQ(0, snpu_copy(&q, b.va, a.va, variant->size));
	EXPECT_EQ(0, snpu_cmp("CPU -> BO -> device", want, b.map, variant->size));
	snpu_pattern(want, variant->size, 2);
	memcpy(b.map, want, variant->size);
	ASSERT_EQ(0, snpu_copy(&q, a.va, b.va, variant->size));
	EXPECT_EQ(0, snpu_cmp("device -> BO -> CPU", want, a.map, variant->size));
	free(want);
	snpu_queue_free(&q);
	snpu_buf_free(&b);
	snpu_buf_free(&a);
}

TEST_F_TIMEOUT(kind, mmap, SNPU_TEST_S)
{
	uint64_t size = variant->size, offset;
	uint32_t handle;
	uint64_t *a, *b;
	int ret;

	ASSERT_EQ(0, snpu_bo_create(self->c.fd, size, variant->flags, &handle, &offset));
	EXPECT_EQ(-EINVAL, try_map(self->c.fd, offset, size + SNPU_4K, PROT_READ, MAP_SHARED));
	EXPECT_EQ(-EINVAL, try_map(self->c.fd, offset, SNPU_4K, PROT_READ, MAP_PRIVATE));
	EXPECT_EQ(0, try_map(self->c.fd, offset, size, PROT_READ, MAP_SHARED));
	/* two mappings show the same memory */
	a = map_at(self->c.fd, offset, size, PROT_READ | PROT_WRITE);
	b = map_at(self->c.fd, offset, size, PROT_READ);
	ASSERT_NE(MAP_FAILED, a);
	ASSERT_NE(MAP_FAILED, b);
	for (uint64_t at = 0; at < size / 8; at += 512) {
		a[at] = at + 1;
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		ASSERT_EQ(at + 1, b[at]);
	}
	EXPECT_EQ(SIGSEGV, snpu_touch(b, true));
	/* the mapping keeps the memory when the handle has gone */
	EXPECT_EQ(0, snpu_bo_close(self->c.fd, handle));
	ret = try_map(self->c.fd, offset, size, PROT_READ, MAP_SHARED);
	EXPECT_TRUE(ret == -EACCES || ret == -EINVAL) {
		TH_LOG("mmap after GEM_CLOSE: expected -EACCES or -EINVAL, got %d", ret);
	}
	EXPECT_EQ(0, snpu_touch(a, true));
	EXPECT_EQ(a[0], b[0]);
	munmap(a, size);
	munmap(b, size);
}

/* A mapping that starts inside the BO shows what is there */
TEST_F_TIMEOUT(kind, mmap_inside, SNPU_TEST_S)
{
	uint64_t size = variant->size, offset;
	uint32_t handle;
	uint64_t *a, *b;

	ASSERT_EQ(0, snpu_bo_create(self->c.fd, size, variant->flags, &handle, &offset));
	a = map_at(self->c.fd, offset, size, PROT_READ | PROT_WRITE);
	ASSERT_NE(MAP_FAILED, a);
	for (uint64_t page = 0; page < size / SNPU_4K; page++)
		a[page * 512] = page + 1;
	for (uint64_t page = 0; page < size / SNPU_4K; page += 1 + page / 3) {
		int ret = try_map(self->c.fd, offset + page * SNPU_4K, size - page * SNPU_4K,
				  PROT_READ, MAP_SHARED);

		if (!page) {
			EXPECT_EQ(0, ret);
			continue;
		}
		/* DRM looks offsets up exactly: refused is right, another page would not be */
		if (ret) {
			EXPECT_TRUE(ret == -EINVAL || ret == -EACCES) {
				TH_LOG("page %llu: got %d", (unsigned long long)page, ret);
			}
			continue;
		}
		b = map_at(self->c.fd, offset + page * SNPU_4K, size - page * SNPU_4K, PROT_READ);
		ASSERT_NE(MAP_FAILED, b);
		EXPECT_EQ(page + 1, b[0]);
		munmap(b, size - page * SNPU_4K);
	}
	munmap(a, size);
}

/* Memory that one client gives back comes to the next one as zero */
TEST_F_TIMEOUT(kind, zeroed_after_reuse, SNPU_TEST_S)
{
	enum { ROUNDS = 4, BUFS = 8 };
	struct snpu_buf buf[BUFS];

	snpu_client_close(&self->c);
	for (int round = 0; round < ROUNDS; round++) {
		ASSERT_EQ(0, snpu_client_open(&self->c, 0));
		for (int i = 0; i < BUFS; i++) {
			ASSERT_EQ(0, snpu_buf_make(&self->c, &buf[i], variant->size,
						   variant->flags));
			EXPECT_EQ(0, snpu_cmp_byte("memory another client had", 0, buf[i].map,
						   buf[i].size)) {
				TH_LOG("round %d buffer %d", round, i);
			}
			memset(buf[i].map, 0xc0 + i, buf[i].size);
		}
		/* some given back one by one, some by the end of the file */
		for (int i = 0; i < BUFS; i++) {
			if (i % 2)
				snpu_buf_free(&buf[i]);
			else
				munmap(buf[i].map, buf[i].size);
		}
		snpu_client_close(&self->c);
	}
	ASSERT_EQ(0, snpu_client_open(&self->c, 0));
}

/* Memory that the device itself filled is zeroed too */
TEST_F_TIMEOUT(kind, zeroed_after_device_wrote, SNPU_TEST_S)
{
	for (int round = 0; round < 3; round++) {
		struct snpu_queue q;
		struct snpu_buf a, b;

		ASSERT_EQ(0, snpu_buf_make(&self->c, &a, variant->size, variant->flags));
		ASSERT_EQ(0, snpu_buf_make(&self->c, &b, variant->size, DRM_SNPU_BO_HOST));
		ASSERT_EQ(0, snpu_queue_make(&self->c, &q, 4, SNPU_PRIO_NORMAL, false));
		memset(b.map, 0xee, b.size);
		ASSERT_EQ(0, snpu_copy(&q, b.va, a.va, a.size));
		EXPECT_EQ(0, snpu_cmp_byte("what the device finds in fresh memory", 0, b.map,
					   a.size));
		ASSERT_EQ(0, snpu_fill(&q, a.va, a.size, 0x77));
		EXPECT_EQ(0, snpu_cmp_byte("what the device filled", 0x77, a.map, a.size));
		snpu_queue_free(&q);
		snpu_buf_free(&b);
		snpu_buf_free(&a);
	}
}

TEST_F_TIMEOUT(bo, foreign_offset, SNPU_TEST_S)
{
	uint64_t offset[2];
	uint32_t handle;
	int other[2];

	SNPU_NEED_NPUS(2);
	ASSERT_EQ(0, snpu_bo_create(self->fd, SNPU_2M, DRM_SNPU_BO_HBM, &handle, &offset[0]));
	ASSERT_EQ(0, snpu_bo_create(self->fd, SNPU_2M, DRM_SNPU_BO_HOST, &handle, &offset[1]));
	/* another client of this NPU, and one of the next */
	other[0] = snpu_open(0);
	other[1] = snpu_open(1);
	for (int i = 0; i < 2; i++) {
		ASSERT_LE(0, other[i]);
		for (int k = 0; k < 2; k++) {
			int ret = try_map(other[i], offset[k], SNPU_2M, PROT_READ | PROT_WRITE,
					  MAP_SHARED);

			EXPECT_TRUE(ret == -EACCES || ret == -EINVAL) {
				TH_LOG("client of NPU %d, %s BO: expected -EACCES, -EINVAL, got %d",
				       i, k ? "host" : "HBM", ret);
			}
		}
		close(other[i]);
	}
	for (int k = 0; k < 2; k++)
		EXPECT_EQ(0, try_map(self->fd, offset[k], SNPU_2M, PROT_READ, MAP_SHARED));
}

TEST_F_TIMEOUT(bo, bad_offset, SNPU_TEST_S)
{
	static const uint64_t bad[] = {
		0, SNPU_4K, 1ull << 20, 1ull << 40, (1ull << 62) + SNPU_4K,
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		int ret = try_map(self->fd, bad[i], SNPU_4K, PROT_READ, MAP_SHARED);

		EXPECT_TRUE(ret == -EINVAL || ret == -EACCES || ret == -EOVERFLOW) {
			TH_LOG("offset %#llx: expected -EINVAL or -EACCES, got %d",
			       (unsigned long long)bad[i], ret);
		}
	}
}

/* Many BOs at once: none shares memory with another */
TEST_F_TIMEOUT(bo, many, SNPU_TEST_S)
{
	enum { N = 512 };
	static uint32_t handle[N];
	static uint64_t *map[N];
	struct drm_snpu_memory_info before, after;

	ASSERT_EQ(0, snpu_query(self->fd, DRM_SNPU_QUERY_MEMORY, &before, sizeof(before)));
	for (int i = 0; i < N; i++) {
		uint64_t offset;

		ASSERT_EQ(0, snpu_bo_create(self->fd, SNPU_4K, i % 2 ? DRM_SNPU_BO_HOST :
					    DRM_SNPU_BO_HBM, &handle[i], &offset));
		map[i] = map_at(self->fd, offset, SNPU_4K, PROT_READ | PROT_WRITE);
		ASSERT_NE(MAP_FAILED, map[i]);
		map[i][0] = i + 1;
		map[i][511] = ~(uint64_t)i;
	}
	for (int i = 0; i < N; i++) {
		EXPECT_EQ((uint64_t)i + 1, map[i][0]);
		EXPECT_EQ(~(uint64_t)i, map[i][511]);
		munmap(map[i], SNPU_4K);
		EXPECT_EQ(0, snpu_bo_close(self->fd, handle[i]));
	}
	ASSERT_EQ(0, snpu_query(self->fd, DRM_SNPU_QUERY_MEMORY, &after, sizeof(after)));
	EXPECT_EQ(before.hbm_free, after.hbm_free);
	EXPECT_EQ(0, after.client_hbm);
	EXPECT_EQ(0, after.client_host);
}

/* A closed handle does not take the memory from under a mapping of the device */
TEST_F_TIMEOUT(bo, close_while_bound, SNPU_TEST_S)
{
	struct snpu_buf host, hbm;
	struct snpu_queue q;

	ASSERT_EQ(0, snpu_buf_make(&self->c, &host, SNPU_2M, DRM_SNPU_BO_HOST));
	ASSERT_EQ(0, snpu_buf_make(&self->c, &hbm, SNPU_2M, DRM_SNPU_BO_HBM));
	ASSERT_EQ(0, snpu_queue_make(&self->c, &q, 4, SNPU_PRIO_NORMAL, false));
	munmap(hbm.map, hbm.size);
	hbm.map = NULL;
	EXPECT_EQ(0, snpu_bo_close(self->fd, hbm.handle));
	/* still bound: either that holds it, or the device is told that nothing is there */
	union snpu_pkt pkt = snpu_pkt_fill(hbm.va, hbm.size, 0x42);

	snpu_put(&q, &pkt);
	ASSERT_EQ(0, snpu_ring(&q));
	uint64_t end = snpu_now_ms() + SNPU_WAIT_MS;

	while (!q.cpl->completed && q.cpl->state != SNPU_QSTATE_FAULT && snpu_now_ms() < end)
		sched_yield();
	if (q.cpl->state == SNPU_QSTATE_FAULT) {
		EXPECT_EQ(0, snpu_want_fault(&q, SNPU_ERR_UNMAPPED, 0, hbm.va));
	} else {
		ASSERT_EQ(1, q.cpl->completed);
		ASSERT_EQ(0, snpu_copy(&q, host.va, hbm.va, hbm.size));
		EXPECT_EQ(0, snpu_cmp_byte("through the mapping", 0x42, host.map, host.size));
		EXPECT_EQ(0, snpu_unmap(self->fd, hbm.va, hbm.size));
	}
	snpu_queue_free(&q);
	snpu_buf_free(&host);
	/* and afterwards the memory is free, and clean for the next */
	struct drm_snpu_memory_info m;

	ASSERT_EQ(0, snpu_query(self->fd, DRM_SNPU_QUERY_MEMORY, &m, sizeof(m)));
	EXPECT_EQ(0, m.client_hbm);
}

TEST_HARNESS_MAIN
