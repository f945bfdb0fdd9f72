// SPDX-License-Identifier: GPL-2.0-only
/*
 * VM_BIND: every field good and bad; what it made is seen through the device.
 */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <kselftest_harness.h>

#include "snpu_util.h"

#define BYTES	(4 * SNPU_2M)

FIXTURE(bind) {
	struct snpu_client c;
	struct snpu_queue q;
	struct snpu_buf host;	/* where copies go to be looked at */
	uint32_t handle;	/* HBM, BYTES, not bound */
	uint64_t *map;		/* its words hold their own index */
	uint64_t va;		/* room for BYTES, and as much behind it */
	int fd;
};

FIXTURE_SETUP(bind)
{
	uint64_t offset;

	ASSERT_EQ(0, snpu_client_open(&self->c, 0));
	self->fd = self->c.fd;
	ASSERT_EQ(0, snpu_queue_make(&self->c, &self->q, 6, SNPU_PRIO_NORMAL, false));
	ASSERT_EQ(0, snpu_buf_make(&self->c, &self->host, BYTES, DRM_SNPU_BO_HOST));
	ASSERT_EQ(0, snpu_bo_create(self->fd, BYTES, DRM_SNPU_BO_HBM, &self->handle, &offset));
	self->map = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, self->fd, (off_t)offset);
	ASSERT_NE(MAP_FAILED, self->map);
	for (uint64_t i = 0; i < BYTES / 8; i += 64)
		self->map[i] = i;
	self->va = snpu_va_alloc(&self->c, 2 * BYTES);
}

FIXTURE_TEARDOWN(bind)
{
	if (self->map)
		munmap(self->map, BYTES);
	snpu_queue_free(&self->q);
	snpu_buf_free(&self->host);
	snpu_client_close(&self->c);
}

/* Does the device find offset @off of the BO at @va? */
static int shows(FIXTURE_DATA(bind) *self, uint64_t va, uint64_t off, uint64_t bytes)
{
	uint64_t *got = self->host.map;
	int ret;

	memset(got, 0xff, bytes);
	ret = snpu_copy(&self->q, self->host.va, va, bytes);
	if (ret)
		return ret;
	for (uint64_t i = 0; i < bytes / 8; i += 64) {
		if (got[i] == off / 8 + i)
			continue;
		snpu_diag("va %#llx: expected offset %#llx of the BO, got that of %#llx",
			  (unsigned long long)(va + i * 8), (unsigned long long)(off + i * 8),
			  (unsigned long long)(got[i] * 8));
		return -EILSEQ;
	}
	return 0;
}

/* Does the device find nothing at @va? That costs the queue, so a new one takes its place. */
static int nothing_at(FIXTURE_DATA(bind) *self, uint64_t va)
{
	union snpu_pkt pkt = snpu_pkt_copy(self->host.va, va, 64);
	struct snpu_queue q;
	int ret;

	ret = snpu_queue_make(&self->c, &q, 4, SNPU_PRIO_NORMAL, false);
	if (ret)
		return ret;
	snpu_put(&q, &pkt);
	ret = snpu_ring(&q);
	ret = ret ?: snpu_want_fault(&q, SNPU_ERR_UNMAPPED, 0, va);
	if (ret)
		snpu_diag("expected nothing at va %#llx", (unsigned long long)va);
	snpu_queue_free(&q);
	return ret;
}

static struct drm_snpu_bind_op map_op(FIXTURE_DATA(bind) *self, uint64_t va, uint64_t off,
				      uint64_t size)
{
	return (struct drm_snpu_bind_op){
		.op = DRM_SNPU_BIND_MAP, .flags = SNPU_RW, .handle = self->handle, .va = va,
		.offset = off, .size = size,
	};
}

static struct drm_snpu_bind_op unmap_op(uint64_t va, uint64_t size)
{
	return (struct drm_snpu_bind_op){ .op = DRM_SNPU_BIND_UNMAP, .va = va, .size = size };
}

TEST_F_TIMEOUT(bind, map_all, SNPU_TEST_S)
{
	ASSERT_EQ(0, snpu_map(self->fd, self->handle, 0, self->va, BYTES, SNPU_RW));
	EXPECT_EQ(0, shows(self, self->va, 0, BYTES));
	ASSERT_EQ(0, snpu_unmap(self->fd, self->va, BYTES));
	EXPECT_EQ(0, nothing_at(self, self->va));
	EXPECT_EQ(0, nothing_at(self, self->va + BYTES - 64));
}

/* Every combination of alignment to 2 MiB, so that huge and small entries both occur */
TEST_F_TIMEOUT(bind, page_mixes, SNPU_TEST_S)
{
	static const uint64_t skew[] = { 0, SNPU_4K, SNPU_2M - SNPU_4K, SNPU_2M, 5 * SNPU_4K };
	static const uint64_t len[] = { SNPU_4K, 3 * SNPU_4K, SNPU_2M - SNPU_4K, SNPU_2M,
					SNPU_2M + SNPU_4K, 2 * SNPU_2M };

	for (size_t v = 0; v < ARRAY_SIZE(skew); v++) {
		for (size_t o = 0; o < ARRAY_SIZE(skew); o++) {
			for (size_t l = 0; l < ARRAY_SIZE(len); l++) {
				uint64_t va = self->va + skew[v];

				ASSERT_EQ(0, snpu_map(self->fd, self->handle, skew[o], va, len[l],
						      SNPU_RW));
				ASSERT_EQ(0, shows(self, va, skew[o], len[l])) {
					TH_LOG("va +%#llx offset %#llx size %#llx",
					       (unsigned long long)skew[v],
					       (unsigned long long)skew[o],
					       (unsigned long long)len[l]);
				}
				ASSERT_EQ(0, snpu_unmap(self->fd, va, len[l]));
			}
		}
	}
	EXPECT_EQ(0, nothing_at(self, self->va + SNPU_2M));
}

TEST_F_TIMEOUT(bind, map_over, SNPU_TEST_S)
{
	ASSERT_EQ(0, snpu_map(self->fd, self->handle, 0, self->va, BYTES, SNPU_RW));
	ASSERT_EQ(0, shows(self, self->va, 0, BYTES));
	/* a page of the middle, then a huge page, then across both ends */
	ASSERT_EQ(0, snpu_map(self->fd, self->handle, 9 * SNPU_4K, self->va + SNPU_2M + 3 * SNPU_4K,
			      SNPU_4K, SNPU_RW));
	EXPECT_EQ(0, shows(self, self->va, 0, SNPU_2M + 3 * SNPU_4K));
	EXPECT_EQ(0, shows(self, self->va + SNPU_2M + 3 * SNPU_4K, 9 * SNPU_4K, SNPU_4K));
	EXPECT_EQ(0, shows(self, self->va + SNPU_2M + 4 * SNPU_4K, SNPU_2M + 4 * SNPU_4K,
			   BYTES - SNPU_2M - 4 * SNPU_4K));
	ASSERT_EQ(0, snpu_map(self->fd, self->handle, 0, self->va + 2 * SNPU_2M, SNPU_2M, SNPU_RW));
	EXPECT_EQ(0, shows(self, self->va + 2 * SNPU_2M, 0, SNPU_2M));
	EXPECT_EQ(0, shows(self, self->va + 3 * SNPU_2M, 3 * SNPU_2M, SNPU_2M));
	ASSERT_EQ(0, snpu_map(self->fd, self->handle, 0, self->va + SNPU_4K, BYTES, SNPU_RW));
	EXPECT_EQ(0, shows(self, self->va, 0, SNPU_4K));
	EXPECT_EQ(0, shows(self, self->va + SNPU_4K, 0, BYTES));
	/* the same once more changes nothing */
	ASSERT_EQ(0, snpu_map(self->fd, self->handle, 0, self->va + SNPU_4K, BYTES, SNPU_RW));
	EXPECT_EQ(0, shows(self, self->va + SNPU_4K, 0, BYTES));
}

TEST_F_TIMEOUT(bind, unmap_middle, SNPU_TEST_S)
{
	static const struct {
		uint64_t at;
		uint64_t size;
	} hole[] = {
		{ SNPU_2M, SNPU_2M },
		{ 3 * SNPU_4K, SNPU_4K },
		{ 2 * SNPU_2M + SNPU_4K, SNPU_2M - 2 * SNPU_4K },
		{ 3 * SNPU_2M + SNPU_2M - SNPU_4K, SNPU_4K },
	};
	uint64_t at = 0;

	ASSERT_EQ(0, snpu_map(self->fd, self->handle, 0, self->va, BYTES, SNPU_RW));
	for (size_t i = 0; i < ARRAY_SIZE(hole); i++)
		ASSERT_EQ(0, snpu_unmap(self->fd, self->va + hole[i].at, hole[i].size));
	for (size_t i = 0; i < ARRAY_SIZE(hole); i++) {
		EXPECT_EQ(0, nothing_at(self, self->va + hole[i].at));
		EXPECT_EQ(0, nothing_at(self, self->va + hole[i].at + hole[i].size - 64));
	}
	/* everything else is as it was */
	while (at < BYTES) {
		bool is_hole = false;

		for (size_t i = 0; i < ARRAY_SIZE(hole); i++)
			is_hole |= at >= hole[i].at && at < hole[i].at + hole[i].size;
		if (!is_hole)
			ASSERT_EQ(0, shows(self, self->va + at, at, SNPU_4K));
		at += at % SNPU_2M < 8 * SNPU_4K || at % SNPU_2M > SNPU_2M - 8 * SNPU_4K ?
		      SNPU_4K : 4 * SNPU_4K;
	}
	/* what is unmapped can be unmapped again, with what is left */
	ASSERT_EQ(0, snpu_unmap(self->fd, self->va - SNPU_4K, BYTES + 2 * SNPU_4K));
	EXPECT_EQ(0, nothing_at(self, self->va));
	ASSERT_EQ(0, snpu_unmap(self->fd, self->va, BYTES));
}

TEST_F_TIMEOUT(bind, many_small, SNPU_TEST_S)
{
	static struct drm_snpu_bind_op op[DRM_SNPU_MAX_BIND_OPS];
	uint32_t done;

	/* every page from another place, last to first, in one call */
	for (unsigned int i = 0; i < ARRAY_SIZE(op); i++)
		op[i] = map_op(self, self->va + i * SNPU_4K, (ARRAY_SIZE(op) - 1 - i) * SNPU_4K,
			       SNPU_4K);
	ASSERT_EQ(0, snpu_bind(self->fd, op, ARRAY_SIZE(op), &done));
	EXPECT_EQ(ARRAY_SIZE(op), done);
	for (unsigned int i = 0; i < ARRAY_SIZE(op); i += 17)
		ASSERT_EQ(0, shows(self, op[i].va, op[i].offset, SNPU_4K));
	/* every second one goes */
	for (unsigned int i = 0; i < ARRAY_SIZE(op); i += 2)
		op[i / 2] = unmap_op(self->va + i * SNPU_4K, SNPU_4K);
	ASSERT_EQ(0, snpu_bind(self->fd, op, ARRAY_SIZE(op) / 2, &done));
	EXPECT_EQ(ARRAY_SIZE(op) / 2, done);
	EXPECT_EQ(0, nothing_at(self, self->va));
	EXPECT_EQ(0, nothing_at(self, self->va + 510 * SNPU_4K));
	EXPECT_EQ(0, shows(self, self->va + SNPU_4K, (ARRAY_SIZE(op) - 2) * SNPU_4K, SNPU_4K));
	/* all at once over what is left */
	ASSERT_EQ(0, snpu_map(self->fd, self->handle, 0, self->va, BYTES, SNPU_RW));
	EXPECT_EQ(0, shows(self, self->va, 0, BYTES));
}

/* Operations of one call follow each other */
TEST_F_TIMEOUT(bind, in_order, SNPU_TEST_S)
{
	struct drm_snpu_bind_op op[] = {
		map_op(self, self->va, 0, SNPU_2M),
		unmap_op(self->va, SNPU_4K),
		map_op(self, self->va, 7 * SNPU_4K, SNPU_4K),
		map_op(self, self->va + SNPU_4K, SNPU_2M, SNPU_4K),
		unmap_op(self->va + 2 * SNPU_4K, SNPU_4K),
	};
	uint32_t done;

	ASSERT_EQ(0, snpu_bind(self->fd, op, ARRAY_SIZE(op), &done));
	EXPECT_EQ(ARRAY_SIZE(op), done);
	EXPECT_EQ(0, shows(self, self->va, 7 * SNPU_4K, SNPU_4K));
	EXPECT_EQ(0, shows(self, self->va + SNPU_4K, SNPU_2M, SNPU_4K));
	EXPECT_EQ(0, nothing_at(self, self->va + 2 * SNPU_4K));
	EXPECT_EQ(0, shows(self, self->va + 3 * SNPU_4K, 3 * SNPU_4K, SNPU_4K));
}

/* One wrong operation: nothing at all is done, since all are checked first */
TEST_F_TIMEOUT(bind, bad_ops, SNPU_TEST_S)
{
	uint64_t start = self->c.info.va_start, end = self->c.info.va_end;
	struct drm_snpu_bind_op good = map_op(self, self->va, 0, SNPU_4K);
	struct {
		const char *what;
		struct drm_snpu_bind_op op;
		int want;
	} bad[] = {
		{ "va unaligned", map_op(self, self->va + 1, 0, SNPU_4K), -EINVAL },
		{ "va by 64", map_op(self, self->va + 64, 0, SNPU_4K), -EINVAL },
		{ "offset unaligned", map_op(self, self->va, 512, SNPU_4K), -EINVAL },
		{ "size unaligned", map_op(self, self->va, 0, SNPU_4K + 1), -EINVAL },
		{ "size 0", map_op(self, self->va, 0, 0), -EINVAL },
		{ "below va_start", map_op(self, start - SNPU_4K, 0, SNPU_4K), -EINVAL },
		{ "va 0", map_op(self, 0, 0, SNPU_4K), -EINVAL },
		{ "across va_start", map_op(self, start - SNPU_4K, 0, 2 * SNPU_4K), -EINVAL },
		{ "at va_end", map_op(self, end, 0, SNPU_4K), -EINVAL },
		{ "across va_end", map_op(self, end - SNPU_4K, 0, 2 * SNPU_4K), -EINVAL },
		{ "va + size wraps", map_op(self, ~0xfffull, 0, 2 * SNPU_4K), -EINVAL },
		{ "size wraps", map_op(self, self->va, 0, ~0xfffull), -EINVAL },
		{ "offset + size wraps", map_op(self, self->va, ~0xfffull, 2 * SNPU_4K), -EINVAL },
		{ "offset behind the BO", map_op(self, self->va, BYTES, SNPU_4K), -EINVAL },
		{ "end behind the BO", map_op(self, self->va, BYTES - SNPU_4K, 2 * SNPU_4K),
		  -EINVAL },
		{ "larger than the BO", map_op(self, self->va, 0, BYTES + SNPU_4K), -EINVAL },
		{ "no access", map_op(self, self->va, 0, SNPU_4K), -EINVAL },
		{ "unknown flag", map_op(self, self->va, 0, SNPU_4K), -EINVAL },
		{ "last flag", map_op(self, self->va, 0, SNPU_4K), -EINVAL },
		{ "pad", map_op(self, self->va, 0, SNPU_4K), -EINVAL },
		{ "unknown op", map_op(self, self->va, 0, SNPU_4K), -EINVAL },
		{ "op ~0", map_op(self, self->va, 0, SNPU_4K), -EINVAL },
		{ "handle 0", map_op(self, self->va, 0, SNPU_4K), -ENOENT },
		{ "no such handle", map_op(self, self->va, 0, SNPU_4K), -ENOENT },
		{ "unmap with a handle", unmap_op(self->va, SNPU_4K), -EINVAL },
		{ "unmap with an offset", unmap_op(self->va, SNPU_4K), -EINVAL },
		{ "unmap with flags", unmap_op(self->va, SNPU_4K), -EINVAL },
		{ "unmap with pad", unmap_op(self->va, SNPU_4K), -EINVAL },
		{ "unmap unaligned", unmap_op(self->va + 8, SNPU_4K), -EINVAL },
		{ "unmap size unaligned", unmap_op(self->va, 4097), -EINVAL },
		{ "unmap size 0", unmap_op(self->va, 0), -EINVAL },
		{ "unmap below va_start", unmap_op(0, SNPU_4K), -EINVAL },
		{ "unmap across va_end", unmap_op(end - SNPU_4K, 2 * SNPU_4K), -EINVAL },
		{ "unmap wraps", unmap_op(~0xfffull, 2 * SNPU_4K), -EINVAL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct drm_snpu_bind_op *op = &bad[i].op;
		struct drm_snpu_bind_op two[3];
		const char *w = bad[i].what;
		uint32_t done = 77;

		if (!strcmp(w, "no access"))
			op->flags = 0;
		else if (!strcmp(w, "unknown flag"))
			op->flags |= 1u << 2;
		else if (!strcmp(w, "last flag"))
			op->flags |= 1u << 31;
		else if (!strcmp(w, "pad") || !strcmp(w, "unmap with pad"))
			op->pad = 1;
		else if (!strcmp(w, "unknown op"))
			op->op = 2;
		else if (!strcmp(w, "op ~0"))
			op->op = ~0u;
		else if (!strcmp(w, "handle 0"))
			op->handle = 0;
		else if (!strcmp(w, "no such handle"))
			op->handle = 0x7ffffff0;
		else if (!strcmp(w, "unmap with a handle"))
			op->handle = self->handle;
		else if (!strcmp(w, "unmap with an offset"))
			op->offset = SNPU_4K;
		else if (!strcmp(w, "unmap with flags"))
			op->flags = DRM_SNPU_BIND_READ;

		EXPECT_EQ(bad[i].want, snpu_bind(self->fd, op, 1, &done)) {
			TH_LOG("%s", w);
		}
		EXPECT_EQ(0, done) {
			TH_LOG("%s: done", w);
		}
		/* between two good ones */
		two[0] = good;
		two[1] = *op;
		two[2] = map_op(self, self->va + SNPU_4K, 0, SNPU_4K);
		done = 77;
		EXPECT_EQ(bad[i].want, snpu_bind(self->fd, two, 3, &done)) {
			TH_LOG("%s, second of three", w);
		}
		EXPECT_EQ(0, done) {
			TH_LOG("%s, second of three: done", w);
		}
	}
	EXPECT_EQ(0, nothing_at(self, self->va));
	EXPECT_EQ(0, nothing_at(self, self->va + SNPU_4K));
}

TEST_F_TIMEOUT(bind, bad_args, SNPU_TEST_S)
{
	struct drm_snpu_bind_op op = map_op(self, self->va, 0, SNPU_4K);
	static const struct {
		const char *what;
		uint32_t flags;
		uint32_t stride;
		uint32_t count;
		uint64_t array;	/* 0: the good one */
		int want;
	} bad[] = {
		{ "flags 1", 1, 40, 1, 0, -EINVAL },
		{ "flags 1 << 31", 1u << 31, 40, 1, 0, -EINVAL },
		{ "stride 0", 0, 0, 1, 0, -EINVAL },
		{ "stride 39", 0, 39, 1, 0, -EINVAL },
		{ "stride ~0", 0, ~0u, 2, 0, -EINVAL },
		{ "too many", 0, 40, DRM_SNPU_MAX_BIND_OPS + 1, 0, -EINVAL },
		{ "far too many", 0, 40, ~0u, 0, -EINVAL },
		{ "pointer 8", 0, 40, 1, 8, -EFAULT },
		{ "pointer ~0", 0, 40, 1, ~0ull, -EFAULT },
		{ "kernel pointer", 0, 40, 1, 0xffff888000000000ull, -EFAULT },
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct drm_snpu_vm_bind a = {
			.flags = bad[i].flags, .done = 55,
			.ops = { .stride = bad[i].stride, .count = bad[i].count,
				 .array = bad[i].array ?: (uintptr_t)&op },
		};
		int ret = snpu_ioctl(self->fd, DRM_IOCTL_SNPU_VM_BIND, &a);

		/* a stride that leads out of memory may be told as such */
		EXPECT_TRUE(ret == bad[i].want || (bad[i].stride == ~0u && ret == -EFAULT) ||
			    (bad[i].stride == ~0u && ret == -E2BIG)) {
			TH_LOG("%s: expected %d, got %d", bad[i].what, bad[i].want, ret);
		}
	}
	EXPECT_EQ(0, nothing_at(self, self->va));
}

/* Elements of a newer program: larger, and its new part must be zero */
TEST_F_TIMEOUT(bind, longer_elements, SNPU_TEST_S)
{
	struct {
		struct drm_snpu_bind_op op;
		uint64_t more[2];
	} big[2] = {
		{ .op = map_op(self, self->va, 0, SNPU_4K) },
		{ .op = map_op(self, self->va + SNPU_4K, 3 * SNPU_4K, SNPU_4K) },
	};
	struct drm_snpu_vm_bind a = {
		.ops = { .stride = sizeof(big[0]), .count = 2, .array = (uintptr_t)big },
	};

	big[1].more[1] = 1;
	EXPECT_EQ(-E2BIG, snpu_ioctl(self->fd, DRM_IOCTL_SNPU_VM_BIND, &a));
	EXPECT_EQ(0, nothing_at(self, self->va));
	big[1].more[1] = 0;
	ASSERT_EQ(0, snpu_ioctl(self->fd, DRM_IOCTL_SNPU_VM_BIND, &a));
	EXPECT_EQ(2, a.done);
	EXPECT_EQ(0, shows(self, self->va, 0, SNPU_4K));
	EXPECT_EQ(0, shows(self, self->va + SNPU_4K, 3 * SNPU_4K, SNPU_4K));
}

TEST_F_TIMEOUT(bind, nothing_to_do, SNPU_TEST_S)
{
	struct drm_snpu_bind_op op = unmap_op(self->va, BYTES);
	uint32_t done = 3;

	/* none is as many as any other number */
	EXPECT_EQ(0, snpu_bind(self->fd, &op, 0, &done));
	EXPECT_EQ(0, done);
	EXPECT_EQ(0, snpu_bind(self->fd, &op, 1, &done));
	EXPECT_EQ(1, done);
	/* the whole range */
	op = unmap_op(self->va + BYTES, self->c.info.va_end - self->va - BYTES);
	EXPECT_EQ(0, snpu_bind(self->fd, &op, 1, &done));
}

/* The ends of the address space that is the client's */
TEST_F_TIMEOUT(bind, ends_of_va, SNPU_TEST_S)
{
	uint64_t start = self->c.info.va_start, end = self->c.info.va_end;

	ASSERT_EQ(0, snpu_map(self->fd, self->handle, SNPU_4K, start, SNPU_4K, SNPU_RW));
	ASSERT_EQ(0, snpu_map(self->fd, self->handle, 5 * SNPU_4K, end - SNPU_4K, SNPU_4K,
			      SNPU_RW));
	EXPECT_EQ(0, shows(self, start, SNPU_4K, SNPU_4K));
	EXPECT_EQ(0, shows(self, end - SNPU_4K, 5 * SNPU_4K, SNPU_4K));
}

/* One BO at many addresses */
TEST_F_TIMEOUT(bind, aliases, SNPU_TEST_S)
{
	for (uint64_t i = 0; i < 8; i++)
		ASSERT_EQ(0, snpu_map(self->fd, self->handle, 0, self->va + i * (1ull << 40), BYTES,
				      SNPU_RW));
	for (uint64_t i = 0; i < 8; i++)
		EXPECT_EQ(0, shows(self, self->va + i * (1ull << 40), 0, SNPU_2M));
	ASSERT_EQ(0, snpu_unmap(self->fd, self->va, BYTES));
	EXPECT_EQ(0, shows(self, self->va + (1ull << 40), 0, SNPU_2M));
	EXPECT_EQ(0, nothing_at(self, self->va));
}

TEST_F_TIMEOUT(bind, access_rights, SNPU_TEST_S)
{
	uint64_t ro = self->va, wo = self->va + SNPU_2M;
	union snpu_pkt pkt;
	struct snpu_queue q;

	ASSERT_EQ(0, snpu_map(self->fd, self->handle, 0, ro, SNPU_2M, DRM_SNPU_BIND_READ));
	ASSERT_EQ(0, snpu_map(self->fd, self->handle, SNPU_2M, wo, SNPU_2M, DRM_SNPU_BIND_WRITE));
	EXPECT_EQ(0, shows(self, ro, 0, SNPU_2M));
	EXPECT_EQ(0, snpu_fill(&self->q, wo, SNPU_4K, 1));

	ASSERT_EQ(0, snpu_queue_make(&self->c, &q, 4, SNPU_PRIO_NORMAL, false));
	pkt = snpu_pkt_fill(ro + SNPU_4K, 64, 1);
	snpu_put(&q, &pkt);
	ASSERT_EQ(0, snpu_ring(&q));
	EXPECT_EQ(0, snpu_want_fault(&q, SNPU_ERR_PERM, 0, ro + SNPU_4K));
	snpu_queue_free(&q);

	ASSERT_EQ(0, snpu_queue_make(&self->c, &q, 4, SNPU_PRIO_NORMAL, false));
	pkt = snpu_pkt_copy(self->host.va, wo + SNPU_4K, 64);
	snpu_put(&q, &pkt);
	ASSERT_EQ(0, snpu_ring(&q));
	EXPECT_EQ(0, snpu_want_fault(&q, SNPU_ERR_PERM, 0, wo + SNPU_4K));
	snpu_queue_free(&q);

	/* the rights can be changed, and the device knows at once */
	ASSERT_EQ(0, snpu_map(self->fd, self->handle, 0, ro, SNPU_2M, SNPU_RW));
	EXPECT_EQ(0, snpu_fill(&self->q, ro, SNPU_4K, 1));
}

/* On return the device uses the new state: it must not go on with what it has cached */
TEST_F_TIMEOUT(bind, no_stale_entries, SNPU_TEST_S)
{
	for (int i = 0; i < 50; i++) {
		uint64_t off = (uint64_t)(i % 4) * SNPU_2M + (i % 3 ? SNPU_4K : 0);
		uint64_t size = i % 3 ? 5 * SNPU_4K : SNPU_2M;

		ASSERT_EQ(0, snpu_map(self->fd, self->handle, off, self->va, size, SNPU_RW));
		ASSERT_EQ(0, shows(self, self->va, off, size)) {
			TH_LOG("round %d", i);
		}
	}
	ASSERT_EQ(0, snpu_unmap(self->fd, self->va, BYTES));
	EXPECT_EQ(0, nothing_at(self, self->va));
}

/* Unmapping under a running copy: it ends or faults, and the memory is safe to give away */
TEST_F_TIMEOUT(bind, unmap_under_copy, SNPU_TEST_S)
{
	for (int i = 0; i < 10; i++) {
		struct snpu_queue q;
		struct snpu_buf src;
		union snpu_pkt pkt;

		ASSERT_EQ(0, snpu_buf_make(&self->c, &src, 16 * SNPU_2M, DRM_SNPU_BO_HBM));
		ASSERT_EQ(0, snpu_queue_make(&self->c, &q, 8, SNPU_PRIO_NORMAL, false));
		for (int k = 0; k < 200; k++) {
			pkt = snpu_pkt_copy(self->host.va, src.va + (k % 4) * BYTES / 2, BYTES);
			snpu_put(&q, &pkt);
		}
		ASSERT_EQ(0, snpu_ring(&q));
		ASSERT_EQ(0, snpu_wait(&q, 1));
		ASSERT_EQ(0, snpu_unmap(self->fd, src.va, src.size));
		snpu_buf_free(&src);
		/* that is fewer than 200 copies after one of them ended, or none is left */
		uint64_t end = snpu_now_ms() + SNPU_WAIT_MS;

		while (q.cpl->completed < 200 && q.cpl->state != SNPU_QSTATE_FAULT) {
			sched_yield();
			ASSERT_GT(end, snpu_now_ms());
		}
		if (q.cpl->state == SNPU_QSTATE_FAULT)
			EXPECT_EQ(0, snpu_want_fault(&q, SNPU_ERR_UNMAPPED, ~0ull, ~0ull));
		snpu_queue_free(&q);
		EXPECT_EQ(0, snpu_copy(&self->q, self->host.va + SNPU_2M, self->host.va, SNPU_4K));
	}
}

TEST_HARNESS_MAIN
