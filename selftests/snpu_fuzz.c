// SPDX-License-Identifier: GPL-2.0-only
/*
 * Random ioctls and random packets. The seed decides all of it: SNPU_FUZZ_SEED=N repeats a run,
 * SNPU_FUZZ_ROUNDS=N makes it longer.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <kselftest_harness.h>

#include "snpu_util.h"

#define POOL	24

FIXTURE(fuzz) {
	struct snpu_client c;
	struct snpu_client bystander;
	struct snpu_queue q;
	struct snpu_buf buf;
	uint64_t seed;
	uint64_t rounds;
};

static uint64_t env_number(const char *name, uint64_t other)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 0) : other;
}

FIXTURE_SETUP(fuzz)
{
	self->seed = env_number("SNPU_FUZZ_SEED", 20260601);
	self->rounds = env_number("SNPU_FUZZ_ROUNDS", 1);
	snpu_diag("SNPU_FUZZ_SEED=%llu", (unsigned long long)self->seed);
	ASSERT_EQ(0, snpu_client_open(&self->c, 0));
	/* somebody else on the same NPU, who must not notice */
	ASSERT_EQ(0, snpu_client_open(&self->bystander, 0));
	ASSERT_EQ(0, snpu_queue_make(&self->bystander, &self->q, 4, SNPU_PRIO_NORMAL, false));
	ASSERT_EQ(0, snpu_buf_make(&self->bystander, &self->buf, SNPU_2M, DRM_SNPU_BO_HBM));
	snpu_pattern(self->buf.map, SNPU_2M / 2, 7);
}

FIXTURE_TEARDOWN(fuzz)
{
	snpu_queue_free(&self->q);
	snpu_buf_free(&self->buf);
	snpu_client_close(&self->bystander);
	snpu_client_close(&self->c);
}

static int bystander_is_fine(FIXTURE_DATA(fuzz) *self)
{
	uint64_t half = SNPU_2M / 2;
	int ret = snpu_copy(&self->q, self->buf.va + half, self->buf.va, half);

	return ret ?: snpu_cmp("the bystander's copy", self->buf.map, self->buf.map + half, half);
}

/* Values that tend to matter, and some that do not */
static uint64_t pick(uint64_t *seed)
{
	static const uint64_t edge[] = {
		0, 1, 2, 3, 7, 8, 63, 64, 4095, 4096, 4097, 65536, 0x1fffff, 0x200000, 0x200001,
		0x7fffffff, 0x80000000, 0xffffffff, 0x100000000, 1ull << 40, (1ull << 47) - 4096,
		1ull << 47, 1ull << 48, 1ull << 62, 1ull << 63, ~0ull, ~0ull - 4095, ~0ull - 1,
	};
	uint64_t r = snpu_random(seed);

	switch (r % 4) {
	case 0:
		return edge[(r >> 8) % ARRAY_SIZE(edge)];
	case 1:
		return (r >> 8) % 64;
	case 2:
		return ((r >> 8) % 4096) << 12;
	default:
		return r >> (r >> 58);
	}
}

/* Things that exist, so that the fuzzer gets beyond the first check */
struct pool {
	uint32_t bo[POOL];
	uint32_t queue[POOL];
	uint32_t obj[POOL];
	struct drm_snpu_seg_export seg[POOL];
	int event;
};

static uint32_t from(const uint32_t *list, uint64_t *seed)
{
	uint64_t r = snpu_random(seed);

	return r % 8 ? list[(r >> 8) % POOL] : (uint32_t)pick(seed);
}

static void note(uint32_t *list, uint64_t *seed, uint32_t value)
{
	list[snpu_random(seed) % POOL] = value;
}

/* Host memory is the machine's: no more than a little of it, or what nobody has */
static uint64_t bo_size(uint64_t *seed, uint32_t flags)
{
	uint64_t size = pick(seed);

	if (flags & DRM_SNPU_BO_HOST && size > (256 << 10) && size < 1ull << 42)
		size %= 256 << 10;
	return size;
}

static uint64_t va(uint64_t *seed)
{
	if (snpu_random(seed) % 4)
		return (1ull << 32) + (snpu_random(seed) % 2048) * 4096;
	return pick(seed);
}

/* What an ioctl may answer to nonsense */
static bool known_errno(int ret)
{
	switch (ret) {
	case 0:
	case -EINVAL:
	case -ENOENT:
	case -EFAULT:
	case -ENOMEM:
	case -ENOSPC:
	case -EBADF:
	case -EBUSY:
	case -EIO:
	case -ETIME:
	case -ECANCELED:
	case -E2BIG:
	case -EEXIST:
	case -EACCES:
	case -EOPNOTSUPP:
	case -EHOSTUNREACH:
	case -ESTALE:
		return true;
	default:
		return false;
	}
}

static int one_ioctl(int fd, struct pool *p, uint64_t *seed, char *said, size_t size)
{
	uint64_t r = snpu_random(seed);
	static uint8_t answer[4096];
	int ret;

	/* a field that should be zero is not, now and then */
#define JUNK(of) (snpu_random(seed) % (of) ? 0 : (uint32_t)pick(seed))
	switch (r % 15) {
	case 0: {
		struct drm_snpu_dev_query a = {
			.type = (r >> 8) % 5 + JUNK(8), .size = (r >> 16) % sizeof(answer),
			.pointer = r >> 40 & 7 ? (uintptr_t)answer : pick(seed),
		};

		/* never behind the buffer, never where the program lives */
		if (a.pointer != (uintptr_t)answer && a.pointer < 1ull << 63)
			a.pointer = 0;
		snprintf(said, size, "DEV_QUERY type %u size %u", a.type, a.size);
		return snpu_ioctl(fd, DRM_IOCTL_SNPU_DEV_QUERY, &a);
	}
	case 1:
	case 2: {
		struct drm_snpu_bo_create a = { .flags = (r >> 8 & 1 ? 1 : 2) | JUNK(4) };

		if (a.flags == DRM_SNPU_BO_HBM && r >> 9 & 1)
			a.flags |= DRM_SNPU_BO_CONTIG;

		a.size = bo_size(seed, a.flags);
		snprintf(said, size, "BO_CREATE size %#llx flags %#x", (unsigned long long)a.size,
			 a.flags);
		ret = snpu_ioctl(fd, DRM_IOCTL_SNPU_BO_CREATE, &a);
		if (!ret)
			note(p->bo, seed, a.handle);
		return ret;
	}
	case 3: {
		struct drm_snpu_bo_info a = { .handle = from(p->bo, seed), .pad = JUNK(8) };

		snprintf(said, size, "BO_INFO handle %u", a.handle);
		return snpu_ioctl(fd, DRM_IOCTL_SNPU_BO_INFO, &a);
	}
	case 4: {
		uint32_t handle = from(p->bo, seed);

		snprintf(said, size, "GEM_CLOSE handle %u", handle);
		return snpu_bo_close(fd, handle);
	}
	case 5:
	case 6: {
		struct drm_snpu_bind_op op[16];
		struct drm_snpu_vm_bind a = { .flags = JUNK(16) };
		uint32_t n = snpu_random(seed) % 16;

		for (uint32_t i = 0; i < n; i++) {
			bool map = snpu_random(seed) % 3;

			op[i] = (struct drm_snpu_bind_op){
				.op = (map ? DRM_SNPU_BIND_MAP : DRM_SNPU_BIND_UNMAP) | JUNK(64),
				.flags = map ? 1 + snpu_random(seed) % 3 : JUNK(32),
				.handle = map ? from(p->bo, seed) : JUNK(32), .pad = JUNK(64),
				.offset = map && snpu_random(seed) % 2 ? pick(seed) : 0,
				.va = va(seed),
				.size = (1 + snpu_random(seed) % 1024) * 4096,
			};
			if (!(snpu_random(seed) % 8))
				op[i].size = pick(seed);
		}
		a.ops = (struct drm_snpu_obj_array){
			.stride = snpu_random(seed) % 16 ? sizeof(op[0]) : (uint32_t)pick(seed),
			.count = snpu_random(seed) % 16 ? n : (uint32_t)pick(seed),
			.array = snpu_random(seed) % 16 ? (uintptr_t)op : pick(seed),
		};
		snprintf(said, size, "VM_BIND count %u stride %u flags %#x", a.ops.count,
			 a.ops.stride, a.flags);
		return snpu_ioctl(fd, DRM_IOCTL_SNPU_VM_BIND, &a);
	}
	case 7: {
		struct drm_snpu_queue_create a = {
			.flags = (uint32_t)(r >> 8 & 3) | JUNK(16),
			.prio = (r >> 10) % 3 + JUNK(16), .ring_va = va(seed),
			.ring_log2 = 4 + (r >> 16) % 13 + JUNK(16), .die = (r >> 24) % 3 + JUNK(32),
		};

		a.eventfd = a.flags & 1 ? p->event : (int)JUNK(8);
		snprintf(said, size, "QUEUE_CREATE ring %#llx log2 %u prio %u flags %#x",
			 (unsigned long long)a.ring_va, a.ring_log2, a.prio, a.flags);
		ret = snpu_ioctl(fd, DRM_IOCTL_SNPU_QUEUE_CREATE, &a);
		if (ret)
			return ret;
		note(p->queue, seed, a.queue_id);
		/* and off it goes, on whatever the ring holds */
		uint64_t *db = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
				    (off_t)a.doorbell_offset);

		if (db == MAP_FAILED)
			return -EPROTO;
		*db = snpu_random(seed) % 3 ? 1 : pick(seed);
		munmap(db, 4096);
		struct drm_snpu_queue_ctrl wake = { .queue_id = a.queue_id };

		return snpu_ioctl(fd, DRM_IOCTL_SNPU_QUEUE_CTRL, &wake);
	}
	case 8: {
		struct drm_snpu_queue_destroy a = { .queue_id = from(p->queue, seed),
						    .pad = JUNK(32) };

		snprintf(said, size, "QUEUE_DESTROY id %u", a.queue_id);
		return snpu_ioctl(fd, DRM_IOCTL_SNPU_QUEUE_DESTROY, &a);
	}
	case 9: {
		struct drm_snpu_queue_query a = { .queue_id = from(p->queue, seed) };
		struct drm_snpu_queue_ctrl b = { .queue_id = from(p->queue, seed),
						 .op = snpu_random(seed) % 3 + JUNK(8) };

		snprintf(said, size, "QUEUE_QUERY id %u, QUEUE_CTRL id %u op %u", a.queue_id,
			 b.queue_id, b.op);
		ret = snpu_ioctl(fd, DRM_IOCTL_SNPU_QUEUE_QUERY, &a);
		return snpu_ioctl(fd, DRM_IOCTL_SNPU_QUEUE_CTRL, &b) ?: ret;
	}
	case 10: {
		struct drm_snpu_queue_signal a = {
			.queue_id = from(p->queue, seed), .syncobj = from(p->obj, seed),
			.point = snpu_random(seed) % 2 ? 0 : pick(seed),
			.position = snpu_random(seed) % 2 ? 0 : pick(seed),
		};

		snprintf(said, size, "QUEUE_SIGNAL id %u syncobj %u point %llu position %llu",
			 a.queue_id, a.syncobj, (unsigned long long)a.point,
			 (unsigned long long)a.position);
		return snpu_ioctl(fd, DRM_IOCTL_SNPU_QUEUE_SIGNAL, &a);
	}
	case 11: {
		struct drm_snpu_seg_export a = {
			.handle = from(p->bo, seed), .access = 1 + r % 3 + JUNK(16),
		};

		/* few names, so that they collide; now and then one that is none */
		if (r >> 8 & 1)
			a.name[0] = 'A' + (r >> 9) % 4;
		if (!(snpu_random(seed) % 16))
			a.name[snpu_random(seed) % sizeof(a.name)] = (char)snpu_random(seed);
		snprintf(said, size, "SEG_EXPORT handle %u access %#x name %.55s", a.handle,
			 a.access, a.name);
		ret = snpu_ioctl(fd, DRM_IOCTL_SNPU_SEG_EXPORT, &a);
		if (!ret)
			p->seg[snpu_random(seed) % POOL] = a;
		return ret;
	}
	case 12: {
		const struct drm_snpu_seg_export *e = &p->seg[snpu_random(seed) % POOL];
		struct drm_snpu_seg_import a = {
			.node = e->node + JUNK(16), .seg = e->seg + JUNK(16),
			.token = e->token + JUNK(16),
		};

		snprintf(said, size, "SEG_IMPORT node %u seg %u", a.node, a.seg);
		ret = snpu_ioctl(fd, DRM_IOCTL_SNPU_SEG_IMPORT, &a);
		if (!ret)
			note(p->bo, seed, a.handle);
		return ret;
	}
	case 13: {
		struct drm_snpu_seg_lookup a = { .name[0] = 'A' + r % 4, .pad = JUNK(16) };
		struct drm_snpu_seg_revoke b = {
			.seg = p->seg[snpu_random(seed) % POOL].seg + JUNK(16), .pad = JUNK(32),
		};
		struct drm_snpu_queue_vtime c = {
			.queue_id = from(p->queue, seed), .position = 1 + r % 4 + JUNK(16),
			.pad = JUNK(32),
		};

		snprintf(said, size, "SEG_LOOKUP %c, SEG_REVOKE seg %u, QUEUE_VTIME id %u",
			 a.name[0], b.seg, c.queue_id);
		ret = snpu_ioctl(fd, DRM_IOCTL_SNPU_SEG_LOOKUP, &a);
		if (!known_errno(ret))
			return ret;
		ret = snpu_ioctl(fd, DRM_IOCTL_SNPU_SEG_REVOKE, &b);
		if (!known_errno(ret))
			return ret;
		return snpu_ioctl(fd, DRM_IOCTL_SNPU_QUEUE_VTIME, &c);
	}
	default: {
		struct drm_snpu_queue_wait a = {
			.queue_id = from(p->queue, seed), .syncobj = from(p->obj, seed),
			.point = snpu_random(seed) % 2 ? 0 : pick(seed),
		};

		snprintf(said, size, "QUEUE_WAIT id %u syncobj %u point %llu", a.queue_id,
			 a.syncobj, (unsigned long long)a.point);
		return snpu_ioctl(fd, DRM_IOCTL_SNPU_QUEUE_WAIT, &a);
	}
	}
#undef JUNK
}

TEST_F_TIMEOUT(fuzz, ioctls, SNPU_TEST_S)
{
	uint64_t seed = self->seed, total = 0, good = 0;
	char said[160] = "";

	for (uint64_t round = 0; round < 8 * self->rounds; round++) {
		struct pool p = { .event = eventfd(0, EFD_CLOEXEC) };
		int fd = snpu_open(0);

		ASSERT_LE(0, fd);
		for (int i = 0; i < POOL; i++)
			ASSERT_EQ(0, snpu_syncobj_create(fd, i & 1, &p.obj[i]));
		for (int i = 0; i < 500; i++) {
			int ret = one_ioctl(fd, &p, &seed, said, sizeof(said));

			ASSERT_TRUE(known_errno(ret)) {
				TH_LOG("round %llu step %d: %s: got %d", (unsigned long long)round,
				       i, said, ret);
			}
			total++;
			good += !ret;
		}
		ASSERT_EQ(0, bystander_is_fine(self));
		/* with everything still in it */
		close(fd);
		close(p.event);
		ASSERT_EQ(0, bystander_is_fine(self));
	}
	snpu_diag("%llu of %llu ioctls succeeded", (unsigned long long)good,
		  (unsigned long long)total);
	/* a fuzzer that is refused everything tests nothing */
	EXPECT_LT(total / 10, good);
	EXPECT_EQ(0, snpu_works(0));
}

/* Bytes that are no struct at all, as any ioctl of the driver, in any size */
TEST_F_TIMEOUT(fuzz, raw, SNPU_TEST_S)
{
	uint64_t seed = self->seed + 1, word[40];

	for (uint64_t i = 0; i < 3000 * self->rounds; i++) {
		unsigned int nr = DRM_COMMAND_BASE + snpu_random(&seed) % 17;
		unsigned int size = snpu_random(&seed) % sizeof(word);
		unsigned int dir = snpu_random(&seed) % 4;
		int ret;

		for (size_t k = 0; k < ARRAY_SIZE(word); k++)
			word[k] = snpu_random(&seed) % 2 ? pick(&seed) : 0;
		/* no pointer into the program, and no host memory but a little */
		if (nr == DRM_COMMAND_BASE + DRM_SNPU_DEV_QUERY)
			word[1] |= 1ull << 63;
		if (nr == DRM_COMMAND_BASE + DRM_SNPU_BO_CREATE)
			word[0] %= 256 << 10;
		ret = snpu_ioctl(self->c.fd, _IOC(dir, DRM_IOCTL_BASE, nr, size), word);
		ASSERT_TRUE(known_errno(ret) || ret == -ENOTTY) {
			TH_LOG("step %llu: nr %#x size %u dir %u: got %d", (unsigned long long)i,
			       nr, size, dir, ret);
		}
	}
	EXPECT_EQ(0, bystander_is_fine(self));
}

/* A good packet, spoilt in one field or three, or not at all */
static void random_packet(union snpu_pkt *pkt, const struct snpu_buf *b, uint64_t *seed)
{
	static struct snpu_op_case op[SNPU_NUM_OPS];
	uint64_t r = snpu_random(seed);
	int spoil = r % 16 ? 0 : 1 + (r >> 8) % 3;

	snpu_op_cases(b->va, op);
	*pkt = op[(r >> 16) % SNPU_NUM_OPS].pkt;
	while (spoil--) {
		r = snpu_random(seed);
		switch (r % 4) {
		case 0:
			pkt->q[(r >> 8) % 8] ^= 1ull << (r >> 16) % 64;
			break;
		case 1:
			pkt->q[(r >> 8) % 8] = pick(seed);
			break;
		case 2:
			((uint32_t *)pkt)[(r >> 8) % 16] = (uint32_t)pick(seed);
			break;
		default:
			pkt->q[(r >> 8) % 8] = b->va + (r >> 16) % b->size;
			break;
		}
	}
	/* a wait without end would only cost time */
	if (pkt->hdr.op == SNPU_OP_SEM_WAIT)
		pkt->sem.timeout_ns = 1000;
}

TEST_F_TIMEOUT(fuzz, packets, SNPU_TEST_S)
{
	uint64_t seed = self->seed + 2, done = 0, faults[SNPU_ERR_MAX + 1] = { 0 };
	struct snpu_buf b;

	ASSERT_EQ(0, snpu_buf_make(&self->c, &b, SNPU_2M, DRM_SNPU_BO_HBM));
	for (uint64_t round = 0; round < 400 * self->rounds; round++) {
		struct drm_snpu_queue_query info;
		uint64_t end, start = seed;
		struct snpu_queue q;

		ASSERT_EQ(0, snpu_queue_make(&self->c, &q, 4, SNPU_PRIO_NORMAL, false));
		for (int i = 0; i < 16; i++) {
			union snpu_pkt pkt;

			random_packet(&pkt, &b, &seed);
			snpu_put(&q, &pkt);
		}
		ASSERT_EQ(0, snpu_ring(&q));
		end = snpu_now_ms() + SNPU_WAIT_MS;
		while (q.cpl->completed < 16 && q.cpl->state != SNPU_QSTATE_FAULT) {
			ASSERT_GT(end, snpu_now_ms()) {
				TH_LOG("round %llu (state %#llx): packet %llu does not end",
				       (unsigned long long)round, (unsigned long long)start,
				       (unsigned long long)q.cpl->completed);
			}
			sched_yield();
		}
		ASSERT_EQ(0, snpu_queue_info(&q, &info));
		done += info.completed;
		if (info.state == SNPU_QSTATE_FAULT) {
			EXPECT_EQ(info.completed, info.fault_index);
			ASSERT_LT(0, info.error);
			ASSERT_GE(SNPU_ERR_MAX, info.error);
			EXPECT_NE(SNPU_ERR_INTERNAL, info.error) {
				TH_LOG("round %llu: packet %llu", (unsigned long long)round,
				       (unsigned long long)info.fault_index);
			}
			faults[info.error]++;
		}
		snpu_queue_free(&q);
		if (!(round % 32))
			ASSERT_EQ(0, bystander_is_fine(self));
	}
	snpu_diag("%llu packets retired; faults: opcode %llu field %llu align %llu unmapped %llu",
		  (unsigned long long)done, (unsigned long long)faults[SNPU_ERR_OPCODE],
		  (unsigned long long)faults[SNPU_ERR_FIELD],
		  (unsigned long long)faults[SNPU_ERR_ALIGN],
		  (unsigned long long)faults[SNPU_ERR_UNMAPPED]);
	EXPECT_LT(16 * 40 * self->rounds, done);
	EXPECT_LT(0, faults[SNPU_ERR_FIELD]);
	EXPECT_EQ(0, bystander_is_fine(self));
	snpu_buf_free(&b);
}

/* A ring that changes while the device reads it, and doorbells that jump about */
TEST_F_TIMEOUT(fuzz, changing_ring, SNPU_TEST_S)
{
	uint64_t seed = self->seed + 3;

	for (uint64_t round = 0; round < 40 * self->rounds; round++) {
		struct snpu_queue q;
		struct snpu_buf b;

		ASSERT_EQ(0, snpu_buf_make(&self->c, &b, SNPU_2M, DRM_SNPU_BO_HBM));
		ASSERT_EQ(0, snpu_queue_make(&self->c, &q, 6, SNPU_PRIO_NORMAL, false));
		for (int i = 0; i < 300; i++) {
			union snpu_pkt *ring = q.ring.map;

			random_packet(&ring[snpu_random(&seed) % 64], &b, &seed);
			if (!(i % 4)) {
				q.wr = q.cpl->completed + snpu_random(&seed) % 64;
				ASSERT_EQ(0, snpu_ring(&q));
			}
			ring[snpu_random(&seed) % 64].q[snpu_random(&seed) % 8] = pick(&seed);
		}
		snpu_queue_free(&q);
		snpu_buf_free(&b);
	}
	EXPECT_EQ(0, bystander_is_fine(self));
	EXPECT_EQ(0, snpu_works(0));
}

TEST_HARNESS_MAIN
