// SPDX-License-Identifier: GPL-2.0-only
/*
 * Virtual time of a queue, queues of one die, and timing-only queues. A device that keeps no virtual
 * time has to say so, which is tested then.
 */
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include <kselftest_harness.h>

#include "snpu_util.h"

FIXTURE(vtime) {
	struct snpu_client c;
	struct snpu_queue q;
	struct snpu_buf b;
	bool timing;	/* the device keeps virtual time */
};

FIXTURE_SETUP(vtime)
{
	ASSERT_EQ(0, snpu_client_open(&self->c, 0));
	ASSERT_EQ(0, snpu_queue_make(&self->c, &self->q, 6, SNPU_PRIO_NORMAL, false));
	ASSERT_EQ(0, snpu_buf_make(&self->c, &self->b, 2 * SNPU_2M, DRM_SNPU_BO_HBM));
	self->timing = self->c.info.caps & SNPU_CAP_TIMING;
	snpu_diag("virtual time: %s", self->timing ? "kept" : "not kept");
}

FIXTURE_TEARDOWN(vtime)
{
	snpu_queue_free(&self->q);
	snpu_buf_free(&self->b);
	snpu_client_close(&self->c);
}

static int vtime(int fd, uint32_t id, uint64_t position, struct drm_snpu_queue_vtime *v)
{
	*v = (struct drm_snpu_queue_vtime){ .queue_id = id, .position = position };
	return snpu_ioctl(fd, DRM_IOCTL_SNPU_QUEUE_VTIME, v);
}

/* Until it is known */
static int vtime_wait(struct snpu_queue *q, uint64_t position, struct drm_snpu_queue_vtime *v)
{
	uint64_t end = snpu_now_ms() + SNPU_WAIT_MS;
	int ret;

	while ((ret = vtime(q->c->fd, q->id, position, v)) == -EBUSY) {
		if (snpu_now_ms() > end) {
			snpu_diag("the time of packet %llu is not known",
				  (unsigned long long)position);
			return -ETIME;
		}
		sched_yield();
	}
	return ret;
}

TEST_F_TIMEOUT(vtime, arguments, SNPU_TEST_S)
{
	struct drm_snpu_queue_vtime v = { .queue_id = self->q.id, .position = 1, .pad = 1 };

	EXPECT_EQ(-EINVAL, snpu_ioctl(self->c.fd, DRM_IOCTL_SNPU_QUEUE_VTIME, &v));
	EXPECT_EQ(-EINVAL, vtime(self->c.fd, self->q.id, 0, &v));
	EXPECT_EQ(self->timing ? -ENOENT : -EOPNOTSUPP, vtime(self->c.fd, 12345, 1, &v));
	/* nothing has retired */
	EXPECT_EQ(self->timing ? -EBUSY : -EOPNOTSUPP, vtime(self->c.fd, self->q.id, 1, &v));
	EXPECT_EQ(self->timing ? -EBUSY : -EOPNOTSUPP, vtime(self->c.fd, self->q.id, ~0ull, &v));
}

TEST_F_TIMEOUT(vtime, order, SNPU_TEST_S)
{
	struct drm_snpu_queue_vtime v, last = { 0 };

	for (uint64_t k = 1; k <= 8; k++)
		ASSERT_EQ(0, snpu_copy(&self->q, self->b.va + SNPU_2M, self->b.va, SNPU_2M));
	if (!self->timing) {
		EXPECT_EQ(-EOPNOTSUPP, vtime(self->c.fd, self->q.id, 8, &v));
		return;
	}
	for (uint64_t k = 1; k <= 8; k++) {
		ASSERT_EQ(0, vtime_wait(&self->q, k, &v));
		EXPECT_LT(v.begin, v.end);
		EXPECT_LE(last.end, v.end);
		EXPECT_LE(last.begin, v.begin);
		EXPECT_LE(last.busy, v.busy);
		last = v;
	}
	/* asked again, it is the same */
	ASSERT_EQ(0, vtime_wait(&self->q, 8, &v));
	EXPECT_EQ(0, memcmp(&v, &last, sizeof(v)));
	EXPECT_EQ(-EBUSY, vtime(self->c.fd, self->q.id, 9, &v));
}

/* ---- waiting -------------------------------------------------------------------------------- */

static int vtime_until(int fd, uint32_t id, uint64_t position, uint64_t ms,
		       struct drm_snpu_queue_vtime *v)
{
	*v = (struct drm_snpu_queue_vtime){
		.queue_id = id, .position = position,
		.deadline = (int64_t)(snpu_now_ms() + ms) * 1000000,
	};
	return snpu_ioctl(fd, DRM_IOCTL_SNPU_QUEUE_VTIME, v);
}

/* One call is enough, whether the packet has retired, or the machine rests, or not */
TEST_F_TIMEOUT(vtime, waits, SNPU_TEST_S)
{
	union snpu_pkt pkt = snpu_pkt_copy(self->b.va + SNPU_2M, self->b.va, SNPU_2M);
	struct drm_snpu_queue_vtime v;
	struct snpu_queue busy;

	if (!self->timing) {
		EXPECT_EQ(-EOPNOTSUPP, vtime_until(self->c.fd, self->q.id, 1, 1, &v));
		return;
	}
	ASSERT_EQ(0, snpu_queue_make(&self->c, &busy, 6, SNPU_PRIO_NORMAL, false));
	for (uint64_t k = 1; k <= 20; k++) {
		for (int i = 0; i < 8; i++)
			snpu_put(&busy, &pkt);
		snpu_put(&self->q, &pkt);
		ASSERT_EQ(0, snpu_ring(&busy));
		ASSERT_EQ(0, snpu_ring(&self->q));
		ASSERT_EQ(0, vtime_until(self->c.fd, self->q.id, k, SNPU_WAIT_MS, &v));
		EXPECT_LT(v.begin, v.end);
		ASSERT_EQ(0, snpu_wait(&busy, 8 * k));
	}
	snpu_queue_free(&busy);
}

TEST_F_TIMEOUT(vtime, deadline, SNPU_TEST_S)
{
	struct drm_snpu_queue_vtime v = { .queue_id = self->q.id, .position = 1, .deadline = -1 };
	uint64_t begin;

	if (!self->timing)
		return;
	EXPECT_EQ(-EBUSY, snpu_ioctl(self->c.fd, DRM_IOCTL_SNPU_QUEUE_VTIME, &v));
	v.deadline = 1;
	EXPECT_EQ(-EBUSY, snpu_ioctl(self->c.fd, DRM_IOCTL_SNPU_QUEUE_VTIME, &v));
	begin = snpu_now_ms();
	EXPECT_EQ(-EBUSY, vtime_until(self->c.fd, self->q.id, 1, 1200, &v));
	EXPECT_LE(1199, snpu_now_ms() - begin);
	EXPECT_GT(SNPU_WAIT_MS, snpu_now_ms() - begin);
	EXPECT_EQ(-EBUSY, vtime_until(self->c.fd, self->q.id, ~0ull, 10, &v));
}

static int waiter(struct snpu_proc *p, void *arg)
{
	struct snpu_queue *q = arg;
	struct drm_snpu_queue_vtime v;
	int ret;

	ret = snpu_say(p, 1);
	/* longer than any test may take */
	return ret ?: snpu_say(p, (uint64_t)-vtime_until(q->c->fd, q->id, 2, 3600000, &v));
}

/* It comes, or it never will: who waits is told at once, and never sleeps to the deadline */
TEST_F_TIMEOUT(vtime, told, SNPU_TEST_S)
{
	union snpu_pkt good = snpu_pkt_copy(self->b.va + SNPU_2M, self->b.va, 64);
	union snpu_pkt bad = snpu_pkt_copy(self->b.va, SNPU_2M / 2, 64);

	if (!self->timing)
		return;
	for (int fault = 0; fault < 2; fault++) {
		struct snpu_queue q;
		struct snpu_proc p;
		uint64_t word;

		ASSERT_EQ(0, snpu_queue_make(&self->c, &q, 4, SNPU_PRIO_NORMAL, false));
		ASSERT_EQ(0, snpu_proc_start(&p, waiter, &q));
		ASSERT_EQ(0, snpu_hear(&p, &word));
		snpu_put(&q, &good);
		ASSERT_EQ(0, snpu_ring(&q));
		ASSERT_EQ(0, snpu_wait(&q, 1));
		snpu_put(&q, fault ? &bad : &good);
		ASSERT_EQ(0, snpu_ring(&q));
		ASSERT_EQ(0, snpu_hear(&p, &word));
		EXPECT_EQ(fault ? EIO : 0, word);
		EXPECT_EQ(0, snpu_proc_end(&p));
		snpu_queue_free(&q);
	}
}

/* Who waits does not keep the driver from letting go of the device */
TEST_F_TIMEOUT(vtime, unbound, SNPU_TEST_S)
{
	uint64_t end = snpu_now_ms() + SNPU_WAIT_MS, word;
	unsigned int count = snpu_count();
	struct snpu_proc p;
	char pci[32];
	int fd;

	if (!self->timing)
		return;
	ASSERT_EQ(0, snpu_pci_name(0, pci, sizeof(pci)));
	ASSERT_EQ(0, snpu_proc_start(&p, waiter, &self->q));
	ASSERT_EQ(0, snpu_hear(&p, &word));
	ASSERT_EQ(0, snpu_write_file("/sys/bus/pci/drivers/snpu/unbind", pci));
	ASSERT_EQ(0, snpu_hear(&p, &word));
	EXPECT_TRUE(word == EIO || word == ENODEV) {
		TH_LOG("got %d", (int)word);
	}
	EXPECT_EQ(0, snpu_proc_end(&p));
	ASSERT_EQ(0, snpu_write_file("/sys/bus/pci/drivers/snpu/bind", pci));
	do {
		fd = snpu_count() == count ? snpu_open(0) : -ENODEV;
	} while (fd < 0 && !sched_yield() && snpu_now_ms() < end);
	ASSERT_LE(0, fd);
	close(fd);
}

static int create(FIXTURE_DATA(vtime) *self, uint32_t flags, uint32_t die, uint32_t *id)
{
	struct drm_snpu_queue_create a = {
		.flags = flags, .prio = SNPU_PRIO_NORMAL, .ring_va = self->q.ring.va,
		.ring_log2 = 4, .die = die,
	};
	int ret = snpu_ioctl(self->c.fd, DRM_IOCTL_SNPU_QUEUE_CREATE, &a);

	*id = a.queue_id;
	return ret;
}

TEST_F_TIMEOUT(vtime, dies, SNPU_TEST_S)
{
	uint32_t id;

	for (uint32_t die = 0; die <= self->c.info.dies; die++) {
		ASSERT_EQ(0, create(self, 0, die, &id)) {
			TH_LOG("die %u of %u", die, self->c.info.dies);
		}
		EXPECT_EQ(0, snpu_queue_destroy(&self->c, id));
	}
	EXPECT_EQ(-EINVAL, create(self, 0, self->c.info.dies + 1, &id));
	EXPECT_EQ(-EINVAL, create(self, 0, 256, &id));
	EXPECT_EQ(-EINVAL, create(self, 0, ~0u, &id));
}

/* Packets of a timing-only queue move nothing */
TEST_F_TIMEOUT(vtime, timing_only, SNPU_TEST_S)
{
	struct snpu_queue q = { .c = &self->c, .log2 = 6, .eventfd = -1,
				.flags = DRM_SNPU_QUEUE_TIMING };
	struct drm_snpu_queue_vtime v;
	union snpu_pkt pkt;
	uint32_t id;

	if (!self->timing) {
		EXPECT_EQ(-EOPNOTSUPP, create(self, DRM_SNPU_QUEUE_TIMING, 0, &id));
		return;
	}
	ASSERT_EQ(0, snpu_fill(&self->q, self->b.va, SNPU_2M, 0x44));
	ASSERT_EQ(0, snpu_buf_make(&self->c, &q.ring, SNPU_4K, DRM_SNPU_BO_HOST));
	ASSERT_EQ(0, snpu_queue_attach(&q, q.ring.va, SNPU_PRIO_NORMAL));
	pkt = snpu_pkt_fill(self->b.va, SNPU_2M, 0x55);
	ASSERT_EQ(0, snpu_run(&q, &pkt));
	ASSERT_EQ(0, vtime_wait(&q, 1, &v));
	EXPECT_LT(v.begin, v.end);
	EXPECT_EQ(0, snpu_cmp_byte("not written", 0x44, self->b.map, SNPU_2M));
	snpu_queue_free(&q);
}

TEST_HARNESS_MAIN
