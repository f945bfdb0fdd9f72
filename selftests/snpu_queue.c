// SPDX-License-Identifier: GPL-2.0-only
/*
 * Queues: QUEUE_CREATE, DESTROY, QUERY, CTRL; rings, doorbells, completion pages.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <kselftest_harness.h>

#include "snpu_util.h"

FIXTURE(queue) {
	struct snpu_client c;
	struct snpu_queue q;
	struct snpu_buf host;
	struct snpu_buf hbm;
	int fd;
};

FIXTURE_SETUP(queue)
{
	ASSERT_EQ(0, snpu_client_open(&self->c, 0));
	self->fd = self->c.fd;
	ASSERT_EQ(0, snpu_queue_make(&self->c, &self->q, 6, SNPU_PRIO_NORMAL, true));
	ASSERT_EQ(0, snpu_buf_make(&self->c, &self->host, SNPU_2M, DRM_SNPU_BO_HOST));
	ASSERT_EQ(0, snpu_buf_make(&self->c, &self->hbm, SNPU_2M, DRM_SNPU_BO_HBM));
}

FIXTURE_TEARDOWN(queue)
{
	snpu_queue_free(&self->q);
	snpu_buf_free(&self->host);
	snpu_buf_free(&self->hbm);
	snpu_client_close(&self->c);
}

static int create(int fd, struct drm_snpu_queue_create *a)
{
	return snpu_ioctl(fd, DRM_IOCTL_SNPU_QUEUE_CREATE, a);
}

/* A good QUEUE_CREATE on the ring of a queue that is there already: rings may be shared */
static struct drm_snpu_queue_create good_args(FIXTURE_DATA(queue) *self)
{
	return (struct drm_snpu_queue_create){
		.prio = SNPU_PRIO_NORMAL, .ring_va = self->q.ring.va, .ring_log2 = 6,
	};
}

TEST_F_TIMEOUT(queue, bad_create, SNPU_TEST_S)
{
	uint64_t start = self->c.info.va_start, end = self->c.info.va_end;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct drm_snpu_queue_create a;

	ASSERT_LE(0, null);
#define BAD(want, ...) do {							\
	a = good_args(self);							\
	__VA_ARGS__;								\
	EXPECT_EQ(want, create(self->fd, &a)) {					\
		TH_LOG("with " #__VA_ARGS__);					\
	}									\
} while (0)
	BAD(-EINVAL, a.flags = 1u << 2);
	BAD(-EINVAL, a.flags = 1u << 31);
	BAD(-EINVAL, a.prio = SNPU_PRIO_MAX + 1);
	BAD(-EINVAL, a.prio = ~0u);
	BAD(-EINVAL, a.ring_log2 = SNPU_RING_LOG2_MIN - 1);
	BAD(-EINVAL, a.ring_log2 = SNPU_RING_LOG2_MAX + 1);
	BAD(-EINVAL, a.ring_log2 = 0);
	BAD(-EINVAL, a.ring_log2 = 64);
	BAD(-EINVAL, a.ring_log2 = ~0u);
	BAD(-EINVAL, a.ring_va += 8);
	BAD(-EINVAL, a.ring_va += 32);
	BAD(-EINVAL, a.ring_va = 0);
	BAD(-EINVAL, a.ring_va = start - 64);
	BAD(-EINVAL, a.ring_va = end);
	BAD(-EINVAL, a.ring_va = end - 64);
	BAD(-EINVAL, a.ring_va = ~63ull);
	BAD(-EINVAL, a.ring_va = 1ull << 63);
	BAD(-EINVAL, a.die = 257);
	BAD(-EINVAL, a.eventfd = self->q.eventfd);
	BAD(-EBADF, a.flags = DRM_SNPU_QUEUE_EVENTFD; a.eventfd = -1);
	BAD(-EBADF, a.flags = DRM_SNPU_QUEUE_EVENTFD; a.eventfd = 1000000);
	BAD(-EINVAL, a.flags = DRM_SNPU_QUEUE_EVENTFD; a.eventfd = null);
	BAD(-EINVAL, a.flags = DRM_SNPU_QUEUE_EVENTFD; a.eventfd = self->fd);
#undef BAD
	close(null);
	/* none of that harmed the queue there is */
	EXPECT_EQ(0, snpu_copy(&self->q, self->hbm.va, self->host.va, SNPU_4K));
}

TEST_F_TIMEOUT(queue, bad_ids, SNPU_TEST_S)
{
	struct drm_snpu_queue_query info;
	const uint32_t bad[] = { 0, self->q.id + 1, 0x7fffffff, 0x80000000, 0xffffffff };
	struct snpu_client other;

	EXPECT_NE(0, self->q.id);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct snpu_queue q = { .c = &self->c, .id = bad[i] };
		uint64_t va, value;

		EXPECT_EQ(-ENOENT, snpu_queue_destroy(&self->c, bad[i]));
		EXPECT_EQ(-ENOENT, snpu_queue_info(&q, &info));
		EXPECT_EQ(-ENOENT, snpu_ctrl(&q, DRM_SNPU_CTRL_WAKE));
		EXPECT_EQ(-ENOENT, snpu_signal(&q, 1, 0, 0));
		EXPECT_EQ(-ENOENT, snpu_wait_for(&q, 1, 0, &va, &value));
	}
	/* ids are the file's own */
	ASSERT_EQ(0, snpu_client_open(&other, 0));
	struct snpu_queue foreign = { .c = &other, .id = self->q.id };

	EXPECT_EQ(-ENOENT, snpu_queue_destroy(&other, self->q.id));
	EXPECT_EQ(-ENOENT, snpu_queue_info(&foreign, &info));
	EXPECT_EQ(-ENOENT, snpu_ctrl(&foreign, DRM_SNPU_CTRL_SUSPEND));
	snpu_client_close(&other);

	info = (struct drm_snpu_queue_query){ .queue_id = self->q.id, .pad = 1 };
	EXPECT_EQ(-EINVAL, snpu_ioctl(self->fd, DRM_IOCTL_SNPU_QUEUE_QUERY, &info));
	struct drm_snpu_queue_destroy d = { .queue_id = self->q.id, .pad = 1 };

	EXPECT_EQ(-EINVAL, snpu_ioctl(self->fd, DRM_IOCTL_SNPU_QUEUE_DESTROY, &d));
	EXPECT_EQ(-EINVAL, snpu_ctrl(&self->q, DRM_SNPU_CTRL_RESUME + 1));
	EXPECT_EQ(-EINVAL, snpu_ctrl(&self->q, ~0u));
	EXPECT_EQ(0, snpu_copy(&self->q, self->hbm.va, self->host.va, SNPU_4K));
	/* destroyed twice */
	EXPECT_EQ(0, snpu_queue_destroy(&self->c, self->q.id));
	EXPECT_EQ(-ENOENT, snpu_queue_destroy(&self->c, self->q.id));
	EXPECT_EQ(-ENOENT, snpu_queue_info(&self->q, &info));
}

TEST_F_TIMEOUT(queue, query, SNPU_TEST_S)
{
	struct drm_snpu_queue_query info;
	union snpu_pkt nop = snpu_pkt_nop();

	ASSERT_EQ(0, snpu_queue_info(&self->q, &info));
	EXPECT_EQ(SNPU_QSTATE_RUN, info.state);
	EXPECT_EQ(0, info.error);
	EXPECT_EQ(0, info.completed);
	EXPECT_EQ(0, info.flags);
	for (int i = 0; i < 5; i++)
		ASSERT_EQ(0, snpu_run(&self->q, &nop));
	ASSERT_EQ(0, snpu_queue_info(&self->q, &info));
	EXPECT_EQ(SNPU_QSTATE_RUN, info.state);
	EXPECT_EQ(5, info.completed);
}

TEST_F_TIMEOUT(queue, packets, SNPU_TEST_S)
{
	uint8_t *host = self->host.map;
	union snpu_pkt pkt;
	uint32_t crc;

	/* fill */
	ASSERT_EQ(0, snpu_fill(&self->q, self->hbm.va + 3, 100001, 0x5a));
	ASSERT_EQ(0, snpu_copy(&self->q, self->host.va, self->hbm.va, 100100));
	EXPECT_EQ(0, snpu_cmp_byte("before the fill", 0, host, 3));
	EXPECT_EQ(0, snpu_cmp_byte("fill", 0x5a, host + 3, 100001));
	EXPECT_EQ(0, snpu_cmp_byte("behind the fill", 0, host + 100004, 96));
	/* copy, unaligned */
	snpu_pattern(host, 65536, 99);
	ASSERT_EQ(0, snpu_copy(&self->q, self->hbm.va + 4093, self->host.va + 5, 33333));
	ASSERT_EQ(0, snpu_copy(&self->q, self->host.va + (1 << 20) + 1, self->hbm.va + 4093,
			       33333));
	EXPECT_EQ(0, snpu_cmp("unaligned copy", host + 5, host + (1 << 20) + 1, 33333));
	/* crc */
	pkt = snpu_pkt_crc(self->host.va + (1 << 20), self->host.va + 1, 50001);
	ASSERT_EQ(0, snpu_run(&self->q, &pkt));
	memcpy(&crc, host + (1 << 20), 4);
	EXPECT_EQ(snpu_crc32c(0, host + 1, 50001), crc);
	/* timestamps rise */
	uint64_t *stamp = (uint64_t *)(host + (1 << 20));

	for (int i = 0; i < 2; i++) {
		pkt = (union snpu_pkt){
			.misc = { .hdr.op = SNPU_OP_TIMESTAMP,
				  .addr = self->host.va + (1 << 20) + 8 * i },
		};
		ASSERT_EQ(0, snpu_run(&self->q, &pkt));
	}
	EXPECT_LT(0, stamp[0]);
	EXPECT_LE(stamp[0], stamp[1]);
	/* an indirect buffer counts as one packet */
	union snpu_pkt *ib = self->host.map;

	for (int i = 0; i < 100; i++)
		ib[i] = snpu_pkt_fill(self->hbm.va + 64 * i, 64, i + 1);
	pkt = snpu_pkt_indirect(self->host.va, 100);
	uint64_t before = self->q.cpl->completed;

	ASSERT_EQ(0, snpu_run(&self->q, &pkt));
	EXPECT_EQ(before + 1, self->q.cpl->completed);
	ASSERT_EQ(0, snpu_copy(&self->q, self->host.va + (1 << 20), self->hbm.va, 6400));
	for (int i = 0; i < 100; i++)
		ASSERT_EQ(0, snpu_cmp_byte("fill out of an indirect buffer", i + 1,
					   host + (1 << 20) + 64 * i, 64));
}

/* Many times around a small ring, always full */
TEST_F_TIMEOUT(queue, wrap_around, SNPU_TEST_S)
{
	const uint64_t total = 5000;
	uint64_t *host = self->host.map;
	struct snpu_queue q;

	ASSERT_EQ(0, snpu_queue_make(&self->c, &q, 4, SNPU_PRIO_NORMAL, false));
	while (q.wr < total) {
		union snpu_pkt pkt = snpu_pkt_sem_signal(self->host.va + q.wr * 8, q.wr + 1);

		if (q.wr >= 16)
			ASSERT_EQ(0, snpu_wait(&q, q.wr - 15));
		snpu_put(&q, &pkt);
		ASSERT_EQ(0, snpu_ring(&q));
	}
	ASSERT_EQ(0, snpu_wait(&q, total));
	for (uint64_t i = 0; i < total; i++)
		ASSERT_EQ(i + 1, host[i]);
	EXPECT_EQ(SNPU_QSTATE_RUN, q.cpl->state);
	snpu_queue_free(&q);
}

TEST_F_TIMEOUT(queue, ring_sizes, SNPU_TEST_S)
{
	union snpu_pkt nop = snpu_pkt_nop();

	for (uint32_t log2 = SNPU_RING_LOG2_MIN; log2 <= SNPU_RING_LOG2_MAX; log2++) {
		struct snpu_queue q;

		ASSERT_EQ(0, snpu_queue_make(&self->c, &q, log2, SNPU_PRIO_LOW, false));
		/* as full as it can be, in one ring of the doorbell */
		for (uint64_t i = 0; i < 1ull << log2; i++)
			snpu_put(&q, &nop);
		ASSERT_EQ(0, snpu_ring(&q));
		EXPECT_EQ(0, snpu_wait(&q, 1ull << log2)) {
			TH_LOG("ring of 2^%u", log2);
		}
		snpu_queue_free(&q);
	}
}

/* A ring may also stand in HBM, and at any multiple of 64 */
TEST_F_TIMEOUT(queue, ring_in_hbm, SNPU_TEST_S)
{
	struct snpu_queue q = { .c = &self->c, .log2 = 5, .eventfd = -1 };
	union snpu_pkt nop = snpu_pkt_nop();

	ASSERT_EQ(0, snpu_queue_attach(&q, self->hbm.va + 64, SNPU_PRIO_NORMAL));
	q.ring.map = self->hbm.map + 64;
	for (int i = 0; i < 200; i++)
		ASSERT_EQ(0, snpu_run(&q, &nop));
	/* the ring is another's memory */
	q.ring.map = NULL;
	snpu_queue_free(&q);
}

static int other_is_fine(FIXTURE_DATA(queue) *self)
{
	return snpu_copy(&self->q, self->hbm.va, self->host.va, SNPU_4K);
}

TEST_F_TIMEOUT(queue, doorbell_garbage, SNPU_TEST_S)
{
	static const struct {
		const char *what;
		int64_t ring;
	} bad[] = {
		{ "back by one", -1 },
		{ "back to 0", -5 },
		{ "one more than the ring", 17 },
		{ "far ahead", 1ll << 40 },
		{ "sign bit", INT64_MIN },
		{ "all ones", -6 },
	};
	union snpu_pkt nop = snpu_pkt_nop();

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct drm_snpu_queue_query info;
		struct snpu_queue q;
		uint64_t one;

		ASSERT_EQ(0, snpu_queue_make(&self->c, &q, 4, SNPU_PRIO_NORMAL, true));
		for (int k = 0; k < 5; k++)
			ASSERT_EQ(0, snpu_run(&q, &nop));
		q.wr = 5 + (uint64_t)bad[i].ring;
		ASSERT_EQ(0, snpu_ring(&q));
		EXPECT_EQ(0, snpu_want_fault(&q, SNPU_ERR_DOORBELL, ~0ull, ~0ull)) {
			TH_LOG("doorbell %s", bad[i].what);
		}
		EXPECT_EQ(0, snpu_queue_info(&q, &info));
		EXPECT_EQ(5, info.completed);
		/* the eventfd tells of it */
		EXPECT_EQ(0, snpu_wait_readable(q.eventfd, SNPU_WAIT_MS));
		EXPECT_EQ(8, read(q.eventfd, &one, 8));
		EXPECT_EQ(0, other_is_fine(self));
		snpu_queue_free(&q);
	}
}

TEST_F_TIMEOUT(queue, ring_not_mapped, SNPU_TEST_S)
{
	struct snpu_queue q = { .c = &self->c, .log2 = 4, .eventfd = -1 };
	int ret;

	/* at creation, or when the device looks */
	ret = snpu_queue_attach(&q, SNPU_NOWHERE, SNPU_PRIO_NORMAL);
	if (!ret) {
		q.wr = 1;
		ASSERT_EQ(0, snpu_ring(&q));
		EXPECT_EQ(0, snpu_want_fault(&q, SNPU_ERR_UNMAPPED, 0, SNPU_NOWHERE));
		snpu_queue_free(&q);
	} else {
		EXPECT_EQ(-EINVAL, ret);
	}
	EXPECT_EQ(0, other_is_fine(self));

	/* taken away while the queue idles */
	union snpu_pkt nop = snpu_pkt_nop();

	ASSERT_EQ(0, snpu_queue_make(&self->c, &q, 4, SNPU_PRIO_NORMAL, false));
	ASSERT_EQ(0, snpu_run(&q, &nop));
	ASSERT_EQ(0, snpu_unmap(self->fd, q.ring.va, q.ring.size));
	snpu_put(&q, &nop);
	ASSERT_EQ(0, snpu_ring(&q));
	EXPECT_EQ(0, snpu_want_fault(&q, SNPU_ERR_UNMAPPED, 1, q.ring.va + 64));
	snpu_queue_free(&q);
	EXPECT_EQ(0, other_is_fine(self));
}

TEST_F_TIMEOUT(queue, bad_packets, SNPU_TEST_S)
{
	union snpu_pkt copy = snpu_pkt_copy(self->hbm.va, self->host.va, 64);
	struct {
		const char *what;
		union snpu_pkt pkt;
		uint32_t error;
	} bad[] = {
		{ "unknown op", snpu_pkt_nop(), SNPU_ERR_OPCODE },
		{ "op 0xff", snpu_pkt_nop(), SNPU_ERR_OPCODE },
		{ "flags of nop", snpu_pkt_nop(), SNPU_ERR_FIELD },
		{ "rsvd of copy", copy, SNPU_ERR_FIELD },
		{ "copy of 0 bytes", copy, SNPU_ERR_FIELD },
		{ "copy of 2^63 bytes", copy, SNPU_ERR_FIELD },
		{ "copy onto itself", snpu_pkt_copy(self->hbm.va, self->hbm.va, 64),
		  SNPU_ERR_FIELD },
		{ "copy beyond 48 bits", snpu_pkt_copy(1ull << 48, self->host.va, 64),
		  SNPU_ERR_FIELD },
		{ "semaphore by 4", snpu_pkt_sem_signal(self->host.va + 4, 1), SNPU_ERR_ALIGN },
		{ "wait that runs out", snpu_pkt_sem_wait(self->host.va, 1, 1000000),
		  SNPU_ERR_TIMEOUT },
		{ "indirect of 0", snpu_pkt_indirect(self->host.va, 0), SNPU_ERR_FIELD },
	};

	bad[0].pkt.hdr.op = 0x0f;
	bad[1].pkt.hdr.op = 0xff;
	bad[2].pkt.hdr.flags = 1;
	bad[3].pkt.copy.rsvd[1] = 1;
	bad[4].pkt.copy.bytes = 0;
	bad[5].pkt.copy.bytes = 1ull << 63;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		union snpu_pkt nop = snpu_pkt_nop();
		struct snpu_queue q;

		ASSERT_EQ(0, snpu_queue_make(&self->c, &q, 4, SNPU_PRIO_NORMAL, false));
		snpu_put(&q, &nop);
		snpu_put(&q, &bad[i].pkt);
		snpu_put(&q, &nop);
		ASSERT_EQ(0, snpu_ring(&q));
		EXPECT_EQ(0, snpu_want_fault(&q, bad[i].error, 1, ~0ull)) {
			TH_LOG("%s", bad[i].what);
		}
		/* what stands behind the bad packet never runs */
		EXPECT_EQ(1, q.cpl->completed);
		snpu_queue_free(&q);
		EXPECT_EQ(0, other_is_fine(self));
	}
}

/* The op and the index inside the buffer are told */
TEST_F_TIMEOUT(queue, fault_in_indirect, SNPU_TEST_S)
{
	union snpu_pkt *ib = self->host.map, pkt;
	struct drm_snpu_queue_query info;

	for (int i = 0; i < 8; i++)
		ib[i] = snpu_pkt_nop();
	ib[5] = snpu_pkt_fill(SNPU_NOWHERE, 64, 1);
	pkt = snpu_pkt_indirect(self->host.va, 8);
	snpu_put(&self->q, &pkt);
	ASSERT_EQ(0, snpu_ring(&self->q));
	ASSERT_EQ(0, snpu_want_fault(&self->q, SNPU_ERR_UNMAPPED, 0, SNPU_NOWHERE));
	ASSERT_EQ(0, snpu_queue_info(&self->q, &info));
	EXPECT_EQ(SNPU_OP_FILL | 5 << 8, info.error_aux);
}

TEST_F_TIMEOUT(queue, nested_indirect, SNPU_TEST_S)
{
	union snpu_pkt *ib = self->host.map, pkt;

	ib[0] = snpu_pkt_indirect(self->host.va + 64, 1);
	ib[1] = snpu_pkt_nop();
	pkt = snpu_pkt_indirect(self->host.va, 1);
	snpu_put(&self->q, &pkt);
	ASSERT_EQ(0, snpu_ring(&self->q));
	EXPECT_EQ(0, snpu_want_fault(&self->q, SNPU_ERR_NESTING, 0, ~0ull));
}

TEST_F_TIMEOUT(queue, priority, SNPU_TEST_S)
{
	struct drm_snpu_queue_create a = good_args(self);

	for (uint32_t prio = 0; prio <= SNPU_PRIO_MAX; prio++) {
		struct snpu_queue q;
		union snpu_pkt nop = snpu_pkt_nop();

		ASSERT_EQ(0, snpu_queue_make(&self->c, &q, 4, prio, false));
		EXPECT_EQ(0, snpu_run(&q, &nop));
		snpu_queue_free(&q);
	}
	ASSERT_EQ(0, snpu_cap_drop(CAP_SYS_NICE));
	a.prio = SNPU_PRIO_HIGH;
	EXPECT_EQ(-EACCES, create(self->fd, &a));
	a.prio = SNPU_PRIO_LOW;
	EXPECT_EQ(0, create(self->fd, &a));
	a = good_args(self);
	EXPECT_EQ(0, create(self->fd, &a));
}

TEST_F_TIMEOUT(queue, completion_page, SNPU_TEST_S)
{
	uint64_t off = self->q.cpl_offset;
	void *p;

	EXPECT_EQ(MAP_FAILED, mmap(NULL, SNPU_4K, PROT_READ | PROT_WRITE, MAP_SHARED, self->fd,
				   (off_t)off));
	EXPECT_EQ(EACCES, errno);
	EXPECT_EQ(MAP_FAILED, mmap(NULL, SNPU_4K, PROT_WRITE, MAP_SHARED, self->fd, (off_t)off));
	EXPECT_EQ(EACCES, errno);
	EXPECT_EQ(MAP_FAILED, mmap(NULL, SNPU_4K, PROT_READ, MAP_PRIVATE, self->fd, (off_t)off));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, 2 * SNPU_4K, PROT_READ, MAP_SHARED, self->fd, (off_t)off));
	p = mmap(NULL, SNPU_4K, PROT_READ, MAP_SHARED, self->fd, (off_t)off);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(-1, mprotect(p, SNPU_4K, PROT_READ | PROT_WRITE));
	EXPECT_EQ(EACCES, errno);
	EXPECT_EQ(SIGSEGV, snpu_touch(p, true));
	EXPECT_EQ(0, snpu_touch(p, false));
	/* beyond the record there is nothing that says something of others */
	EXPECT_EQ(0, snpu_cmp_byte("rest of the completion page", 0, p + sizeof(struct snpu_cpl),
				   SNPU_4K - sizeof(struct snpu_cpl)));
	munmap(p, SNPU_4K);
}

TEST_F_TIMEOUT(queue, doorbell_page, SNPU_TEST_S)
{
	uint64_t off = self->q.db_offset;
	int other = snpu_open(0);

	ASSERT_LE(0, other);
	EXPECT_EQ(MAP_FAILED, mmap(NULL, 2 * SNPU_4K, PROT_READ | PROT_WRITE, MAP_SHARED, self->fd,
				   (off_t)off));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, SNPU_4K, PROT_READ | PROT_WRITE, MAP_PRIVATE, self->fd,
				   (off_t)off));
	/* of another client */
	EXPECT_EQ(MAP_FAILED, mmap(NULL, SNPU_4K, PROT_READ | PROT_WRITE, MAP_SHARED, other,
				   (off_t)off));
	EXPECT_TRUE(errno == EACCES || errno == EINVAL) {
		TH_LOG("doorbell of another client: errno %d", errno);
	}
	EXPECT_EQ(MAP_FAILED, mmap(NULL, SNPU_4K, PROT_READ, MAP_SHARED, other,
				   (off_t)self->q.cpl_offset));
	EXPECT_TRUE(errno == EACCES || errno == EINVAL) {
		TH_LOG("completion page of another client: errno %d", errno);
	}
	close(other);
	EXPECT_EQ(0, other_is_fine(self));
}

/* The mappings outlive the queue; a store to the doorbell then does nothing, to nobody */
TEST_F_TIMEOUT(queue, store_after_destroy, SNPU_TEST_S)
{
	union snpu_pkt nop = snpu_pkt_nop();
	struct snpu_queue q, next;
	uint64_t completed;

	ASSERT_EQ(0, snpu_queue_make(&self->c, &q, 4, SNPU_PRIO_NORMAL, false));
	ASSERT_EQ(0, snpu_run(&q, &nop));
	ASSERT_EQ(0, snpu_queue_destroy(&self->c, q.id));
	EXPECT_EQ(SNPU_QSTATE_STOPPED, q.cpl->state);
	EXPECT_EQ(1, q.cpl->completed);
	EXPECT_EQ(0, q.cpl->need_wake);
	/* its number in the device goes to the next */
	ASSERT_EQ(0, snpu_queue_make(&self->c, &next, 4, SNPU_PRIO_NORMAL, false));
	ASSERT_EQ(0, snpu_run(&next, &nop));
	EXPECT_EQ(0, snpu_touch(q.db, true));
	EXPECT_EQ(0x0123456789abcdefull, *q.db);
	EXPECT_EQ(1, *next.db);
	ASSERT_EQ(0, snpu_run(&next, &nop));
	completed = next.cpl->completed;
	EXPECT_EQ(2, completed);
	EXPECT_EQ(SNPU_QSTATE_RUN, next.cpl->state);
	q.id = 0;
	snpu_queue_free(&q);
	snpu_queue_free(&next);
	EXPECT_EQ(0, other_is_fine(self));
}

TEST_F_TIMEOUT(queue, eventfd_interrupt, SNPU_TEST_S)
{
	union snpu_pkt pkt = snpu_pkt_interrupt(0xc00c1e);
	uint64_t count;

	for (int i = 0; i < 20; i++) {
		ASSERT_EQ(-ETIME, snpu_wait_readable(self->q.eventfd, 0));
		ASSERT_EQ(0, snpu_run(&self->q, &pkt));
		ASSERT_EQ(0, snpu_wait_readable(self->q.eventfd, SNPU_WAIT_MS)) {
			TH_LOG("round %d: no event", i);
		}
		ASSERT_EQ(8, read(self->q.eventfd, &count, 8));
		EXPECT_EQ(1, count);
	}
	/* a storm is merged; the last one is not lost */
	for (int i = 0; i < 500; i++) {
		if (self->q.wr >= 64)
			ASSERT_EQ(0, snpu_wait(&self->q, self->q.wr - 63));
		snpu_put(&self->q, &pkt);
		ASSERT_EQ(0, snpu_ring(&self->q));
	}
	ASSERT_EQ(0, snpu_wait(&self->q, self->q.wr));
	ASSERT_EQ(0, snpu_wait_readable(self->q.eventfd, SNPU_WAIT_MS));
	ASSERT_EQ(8, read(self->q.eventfd, &count, 8));
	EXPECT_LE(count, 500);
}

TEST_F_TIMEOUT(queue, eventfd_outlived, SNPU_TEST_S)
{
	union snpu_pkt pkt = snpu_pkt_interrupt(1);

	/* the queue holds it, whatever the process does with its own */
	close(self->q.eventfd);
	self->q.eventfd = -1;
	ASSERT_EQ(0, snpu_run(&self->q, &pkt));
	ASSERT_EQ(0, snpu_run(&self->q, &pkt));
	EXPECT_EQ(0, other_is_fine(self));
}

TEST_F_TIMEOUT(queue, suspend_resume, SNPU_TEST_S)
{
	struct drm_snpu_queue_query info;
	union snpu_pkt nop = snpu_pkt_nop();
	struct snpu_queue q;

	ASSERT_EQ(0, snpu_queue_make(&self->c, &q, 4, SNPU_PRIO_NORMAL, false));
	for (int i = 0; i < 5; i++) {
		uint64_t before = q.cpl->completed;

		ASSERT_EQ(0, snpu_ctrl(&q, DRM_SNPU_CTRL_SUSPEND));
		ASSERT_EQ(0, snpu_queue_info(&q, &info));
		EXPECT_EQ(SNPU_QSTATE_SUSPENDED, info.state);
		snpu_put(&q, &nop);
		ASSERT_EQ(0, snpu_ring(&q));
		/* whoever serves this queue has looked at that one, too */
		for (int k = 0; k < 10; k++)
			ASSERT_EQ(0, other_is_fine(self));
		EXPECT_EQ(before, q.cpl->completed);
		/* twice is as good as once */
		ASSERT_EQ(0, snpu_ctrl(&q, DRM_SNPU_CTRL_SUSPEND));
		ASSERT_EQ(0, snpu_ctrl(&q, DRM_SNPU_CTRL_RESUME));
		ASSERT_EQ(0, snpu_wait(&q, before + 1));
		ASSERT_EQ(0, snpu_ctrl(&q, DRM_SNPU_CTRL_RESUME));
		ASSERT_EQ(0, snpu_queue_info(&q, &info));
		EXPECT_EQ(SNPU_QSTATE_RUN, info.state);
	}
	/* between two packets: what the eleventh found done is not begun anew */
	uint64_t *sem = self->host.map;

	for (int i = 0; i < 16; i++) {
		union snpu_pkt add = snpu_pkt_sem_signal(self->host.va, 1);

		add.hdr.arg = SNPU_SEM_ADD;
		snpu_put(&q, &add);
	}
	ASSERT_EQ(0, snpu_ring(&q));
	for (int i = 0; i < 8; i++) {
		ASSERT_EQ(0, snpu_ctrl(&q, DRM_SNPU_CTRL_SUSPEND));
		ASSERT_EQ(0, snpu_ctrl(&q, DRM_SNPU_CTRL_RESUME));
	}
	ASSERT_EQ(0, snpu_wait(&q, q.wr));
	EXPECT_EQ(16, sem[0]);
	/* a suspended queue can be destroyed */
	ASSERT_EQ(0, snpu_ctrl(&q, DRM_SNPU_CTRL_SUSPEND));
	snpu_queue_free(&q);
	EXPECT_EQ(0, other_is_fine(self));
}

/* An idle device sleeps and says so; who rings then has to wake it */
TEST_F_TIMEOUT(queue, need_wake, SNPU_TEST_S)
{
	union snpu_pkt nop = snpu_pkt_nop();

	for (int i = 0; i < 10; i++) {
		uint64_t end = snpu_now_ms() + SNPU_WAIT_MS;

		while (!self->q.cpl->need_wake) {
			sched_yield();
			ASSERT_GT(end, snpu_now_ms()) {
				TH_LOG("round %d: an idle device does not go to sleep", i);
			}
		}
		snpu_put(&self->q, &nop);
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		*self->q.db = self->q.wr;
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		ASSERT_EQ(0, snpu_ctrl(&self->q, DRM_SNPU_CTRL_WAKE));
		ASSERT_EQ(0, snpu_wait(&self->q, self->q.wr));
	}
	/* waking one that is awake is harmless */
	for (int i = 0; i < 10; i++)
		ASSERT_EQ(0, snpu_ctrl(&self->q, DRM_SNPU_CTRL_WAKE));
}

/* A CPU store releases a queue that waits for it, even when the device has gone to sleep */
TEST_F_TIMEOUT(queue, semaphore_by_cpu, SNPU_TEST_S)
{
	volatile uint64_t *sem = self->host.map;

	for (uint64_t i = 1; i <= 5; i++) {
		union snpu_pkt pkt = snpu_pkt_sem_wait(self->host.va, i, 0);
		struct drm_snpu_queue_query info;

		snpu_put(&self->q, &pkt);
		ASSERT_EQ(0, snpu_ring(&self->q));
		ASSERT_EQ(0, snpu_wait_state(&self->q, SNPU_QSTATE_BLOCKED));
		ASSERT_EQ(0, snpu_queue_info(&self->q, &info));
		EXPECT_EQ(SNPU_QSTATE_BLOCKED, info.state);
		EXPECT_EQ(i - 1, info.completed);
		*sem = i;
		snpu_mb_wake();
		if (self->q.cpl->need_wake)
			ASSERT_EQ(0, snpu_ctrl(&self->q, DRM_SNPU_CTRL_WAKE));
		ASSERT_EQ(0, snpu_wait(&self->q, i));
	}
}

/* A queue that waits for ever keeps nobody else from running, and can be destroyed */
TEST_F_TIMEOUT(queue, blocked_is_alone, SNPU_TEST_S)
{
	union snpu_pkt pkt = snpu_pkt_sem_wait(self->host.va, 1, 0);
	struct snpu_queue q[8];

	for (size_t i = 0; i < ARRAY_SIZE(q); i++) {
		ASSERT_EQ(0, snpu_queue_make(&self->c, &q[i], 4, SNPU_PRIO_HIGH, false));
		snpu_put(&q[i], &pkt);
		ASSERT_EQ(0, snpu_ring(&q[i]));
		ASSERT_EQ(0, snpu_wait_state(&q[i], SNPU_QSTATE_BLOCKED));
	}
	for (int i = 0; i < 50; i++)
		ASSERT_EQ(0, other_is_fine(self));
	for (size_t i = 0; i < ARRAY_SIZE(q); i++)
		snpu_queue_free(&q[i]);
	EXPECT_EQ(0, other_is_fine(self));
}

TEST_F_TIMEOUT(queue, max_queues, SNPU_TEST_S)
{
	struct drm_snpu_queue_create a;
	uint32_t id[SNPU_MAX_QUEUES], n = 0;
	int ret;

	for (int round = 0; round < 2; round++) {
		for (n = 0; n < ARRAY_SIZE(id); n++) {
			a = good_args(self);
			ret = create(self->fd, &a);
			if (ret)
				break;
			id[n] = a.queue_id;
		}
		EXPECT_EQ(-ENOSPC, ret);
		/* the fixture holds one */
		EXPECT_EQ(self->c.info.max_queues_client, n + 1);
		EXPECT_EQ(0, other_is_fine(self));
		while (n--)
			ASSERT_EQ(0, snpu_queue_destroy(&self->c, id[n]));
	}
	/* all queues of the device, by as many clients as that takes */
	struct snpu_client c[SNPU_MAX_QUEUES / 16 + 2];
	uint32_t clients, total = 1;

	for (clients = 0; clients < ARRAY_SIZE(c); clients++) {
		struct snpu_queue q;

		ASSERT_EQ(0, snpu_client_open(&c[clients], 0));
		ret = snpu_queue_make(&c[clients], &q, 4, SNPU_PRIO_LOW, false);
		if (ret)
			break;
		total++;
		for (n = 1; n < self->c.info.max_queues_client; n++) {
			a = (struct drm_snpu_queue_create){ .ring_va = q.ring.va, .ring_log2 = 4 };
			ret = create(c[clients].fd, &a);
			if (ret)
				break;
			total++;
		}
		munmap((void *)q.db, SNPU_4K);
		munmap((void *)q.cpl, SNPU_4K);
		munmap(q.ring.map, q.ring.size);
		if (ret)
			break;
	}
	EXPECT_EQ(-ENOSPC, ret);
	EXPECT_EQ(self->c.info.num_queues, total);
	EXPECT_EQ(0, other_is_fine(self));
	for (uint32_t i = 0; i <= clients && i < ARRAY_SIZE(c); i++)
		snpu_client_close(&c[i]);
	EXPECT_EQ(0, snpu_works(0));
}

/* Destroying a queue aborts what is in flight; on return the device touches nothing of it */
TEST_F_TIMEOUT(queue, destroy_in_flight, SNPU_TEST_S)
{
	struct snpu_buf big;

	ASSERT_EQ(0, snpu_buf_make(&self->c, &big, 64ull << 20, DRM_SNPU_BO_HBM));
	for (int i = 0; i < 10; i++) {
		struct snpu_queue q;
		uint64_t seen;

		ASSERT_EQ(0, snpu_queue_make(&self->c, &q, 6, SNPU_PRIO_NORMAL, false));
		for (int k = 0; k < 64; k++) {
			union snpu_pkt pkt = snpu_pkt_copy(big.va + (32 << 20), big.va, 32 << 20);

			snpu_put(&q, &pkt);
		}
		ASSERT_EQ(0, snpu_ring(&q));
		ASSERT_EQ(0, snpu_wait(&q, 1));
		ASSERT_EQ(0, snpu_queue_destroy(&self->c, q.id));
		seen = q.cpl->completed;
		EXPECT_EQ(SNPU_QSTATE_STOPPED, q.cpl->state);
		ASSERT_EQ(0, other_is_fine(self));
		EXPECT_EQ(seen, q.cpl->completed);
		q.id = 0;
		snpu_queue_free(&q);
	}
	snpu_buf_free(&big);
}

TEST_HARNESS_MAIN
