// SPDX-License-Identifier: GPL-2.0-only
/*
 * QUEUE_SIGNAL and QUEUE_WAIT: positions of queues as fences, fences as semaphores.
 */
#include <errno.h>
#include <linux/sync_file.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <kselftest_harness.h>

#include "snpu_util.h"

#define HANG_PARAM	"/sys/module/snpu/parameters/hang_ms"

FIXTURE(sync) {
	struct snpu_client c;
	struct snpu_queue q;	/* waits for gate */
	struct snpu_queue r;
	struct snpu_buf host;
	struct snpu_buf hbm;
	volatile uint64_t *gate;
	char hang_ms[16];
	int fd;
};

FIXTURE_SETUP(sync)
{
	ASSERT_LT(0, snpu_read_file(HANG_PARAM, self->hang_ms, sizeof(self->hang_ms)));
	ASSERT_EQ(0, snpu_client_open(&self->c, 0));
	self->fd = self->c.fd;
	ASSERT_EQ(0, snpu_queue_make(&self->c, &self->q, 8, SNPU_PRIO_NORMAL, true));
	ASSERT_EQ(0, snpu_queue_make(&self->c, &self->r, 8, SNPU_PRIO_NORMAL, true));
	ASSERT_EQ(0, snpu_buf_make(&self->c, &self->host, SNPU_2M, DRM_SNPU_BO_HOST));
	ASSERT_EQ(0, snpu_buf_make(&self->c, &self->hbm, SNPU_2M, DRM_SNPU_BO_HBM));
	self->gate = self->host.map + SNPU_2M - 64;
}

FIXTURE_TEARDOWN(sync)
{
	if (self->hang_ms[0])
		snpu_write_file(HANG_PARAM, self->hang_ms);
	snpu_queue_free(&self->q);
	snpu_queue_free(&self->r);
	snpu_buf_free(&self->host);
	snpu_buf_free(&self->hbm);
	snpu_client_close(&self->c);
}

/* Puts a packet into @q that waits until open_gate() */
static int close_gate(FIXTURE_DATA(sync) *self, struct snpu_queue *q)
{
	union snpu_pkt pkt;

	*self->gate = 0;
	pkt = snpu_pkt_sem_wait(self->host.va + SNPU_2M - 64, 1, 0);
	snpu_put(q, &pkt);
	return snpu_ring(q);
}

static int open_gate(FIXTURE_DATA(sync) *self, struct snpu_queue *q)
{
	*self->gate = 1;
	snpu_mb_wake();
	if (q->cpl->need_wake)
		return snpu_ctrl(q, DRM_SNPU_CTRL_WAKE);
	return 0;
}

TEST_F_TIMEOUT(sync, binary, SNPU_TEST_S)
{
	uint32_t obj;
	int status;

	ASSERT_EQ(0, snpu_syncobj_create(self->fd, 0, &obj));
	for (int i = 0; i < 10; i++) {
		ASSERT_EQ(0, close_gate(self, &self->q));
		ASSERT_EQ(0, snpu_signal(&self->q, obj, 0, 0));
		EXPECT_EQ(-ETIME, snpu_syncobj_wait(self->fd, obj, 0, 0, 0));
		ASSERT_EQ(0, open_gate(self, &self->q));
		ASSERT_EQ(0, snpu_syncobj_wait(self->fd, obj, 0, 0, SNPU_WAIT_MS)) {
			TH_LOG("round %d: completed %llu of %llu, irq_at %llu", i,
			       (unsigned long long)self->q.cpl->completed,
			       (unsigned long long)self->q.wr,
			       (unsigned long long)self->q.cpl->irq_at);
		}
		EXPECT_EQ(self->q.wr, self->q.cpl->completed);
		ASSERT_EQ(0, snpu_fence_status(self->fd, obj, 0, &status));
		EXPECT_EQ(1, status);
	}
	EXPECT_EQ(0, snpu_syncobj_destroy(self->fd, obj));
}

TEST_F_TIMEOUT(sync, timeline, SNPU_TEST_S)
{
	union snpu_pkt nop = snpu_pkt_nop();
	uint32_t obj;

	ASSERT_EQ(0, snpu_syncobj_create(self->fd, 0, &obj));
	ASSERT_EQ(0, close_gate(self, &self->q));
	for (uint64_t point = 1; point <= 20; point++) {
		snpu_put(&self->q, &nop);
		ASSERT_EQ(0, snpu_ring(&self->q));
		ASSERT_EQ(0, snpu_signal(&self->q, obj, point * 10, 0));
	}
	EXPECT_EQ(-ETIME, snpu_syncobj_wait(self->fd, obj, 10, 0, 0));
	EXPECT_EQ(-ETIME, snpu_syncobj_wait(self->fd, obj, 200, 0, 0));
	/* there is no such point yet */
	EXPECT_EQ(-EINVAL, snpu_syncobj_wait(self->fd, obj, 201, 0, 0));
	ASSERT_EQ(0, open_gate(self, &self->q));
	EXPECT_EQ(0, snpu_syncobj_wait(self->fd, obj, 200, 0, SNPU_WAIT_MS));
	EXPECT_EQ(0, snpu_syncobj_wait(self->fd, obj, 10, 0, 0));
	EXPECT_EQ(0, snpu_syncobj_wait(self->fd, obj, 5, 0, 0));

	struct drm_syncobj_timeline_array a = { .count_handles = 1 };
	uint64_t value = 0;

	a.handles = (uintptr_t)&obj;
	a.points = (uintptr_t)&value;
	ASSERT_EQ(0, snpu_ioctl(self->fd, DRM_IOCTL_SYNCOBJ_QUERY, &a));
	EXPECT_EQ(200, value);
}

TEST_F_TIMEOUT(sync, positions, SNPU_TEST_S)
{
	union snpu_pkt nop = snpu_pkt_nop();
	uint32_t obj[3];

	for (int i = 0; i < 3; i++)
		ASSERT_EQ(0, snpu_syncobj_create(self->fd, 0, &obj[i]));
	/* nothing was submitted: 0 is reached, 1 is too far */
	ASSERT_EQ(0, snpu_signal(&self->q, obj[0], 0, 0));
	EXPECT_EQ(0, snpu_syncobj_wait(self->fd, obj[0], 0, 0, 0));
	EXPECT_EQ(-EINVAL, snpu_signal(&self->q, obj[0], 0, 1));
	EXPECT_EQ(-EINVAL, snpu_signal(&self->q, obj[0], 0, ~0ull));

	for (int i = 0; i < 4; i++)
		ASSERT_EQ(0, snpu_run(&self->q, &nop));
	ASSERT_EQ(0, close_gate(self, &self->q));
	snpu_put(&self->q, &nop);
	ASSERT_EQ(0, snpu_ring(&self->q));
	/* 4 are done, 6 submitted; the later one is asked for first */
	EXPECT_EQ(-EINVAL, snpu_signal(&self->q, obj[0], 0, 7));
	ASSERT_EQ(0, snpu_signal(&self->q, obj[2], 0, 6));
	ASSERT_EQ(0, snpu_signal(&self->q, obj[1], 0, 5));
	ASSERT_EQ(0, snpu_signal(&self->q, obj[0], 0, 4));
	EXPECT_EQ(0, snpu_syncobj_wait(self->fd, obj[0], 0, 0, 0));
	EXPECT_EQ(-ETIME, snpu_syncobj_wait(self->fd, obj[1], 0, 0, 0));
	EXPECT_EQ(-ETIME, snpu_syncobj_wait(self->fd, obj[2], 0, 0, 0));
	ASSERT_EQ(0, open_gate(self, &self->q));
	EXPECT_EQ(0, snpu_syncobj_wait(self->fd, obj[1], 0, 0, SNPU_WAIT_MS));
	EXPECT_EQ(0, snpu_syncobj_wait(self->fd, obj[2], 0, 0, SNPU_WAIT_MS));
}

TEST_F_TIMEOUT(sync, bad_args, SNPU_TEST_S)
{
	struct snpu_client other;
	uint64_t va, value;
	uint32_t obj;

	ASSERT_EQ(0, snpu_syncobj_create(self->fd, 0, &obj));
	EXPECT_EQ(-ENOENT, snpu_signal(&self->q, 0, 0, 0));
	EXPECT_EQ(-ENOENT, snpu_signal(&self->q, obj + 1, 0, 0));
	EXPECT_EQ(-ENOENT, snpu_signal(&self->q, ~0u, 5, 0));
	EXPECT_EQ(-ENOENT, snpu_wait_for(&self->q, 0, 0, &va, &value));
	EXPECT_EQ(-ENOENT, snpu_wait_for(&self->q, obj + 1, 0, &va, &value));
	/* there is no fence yet */
	EXPECT_EQ(-EINVAL, snpu_wait_for(&self->q, obj, 0, &va, &value));
	EXPECT_EQ(-EINVAL, snpu_wait_for(&self->q, obj, 7, &va, &value));
	/* of another file */
	ASSERT_EQ(0, snpu_client_open(&other, 0));
	struct snpu_queue foreign = { .c = &other, .id = self->q.id };

	EXPECT_EQ(-ENOENT, snpu_signal(&foreign, obj, 0, 0));
	snpu_client_close(&other);
}

TEST_F_TIMEOUT(sync, sync_file, SNPU_TEST_S)
{
	struct drm_syncobj_handle in = {
		.flags = DRM_SYNCOBJ_FD_TO_HANDLE_FLAGS_IMPORT_SYNC_FILE,
	};
	struct sync_fence_info fence = { .status = 9 };
	struct sync_file_info info = {
		.num_fences = 1, .sync_fence_info = (uintptr_t)&fence,
	};
	uint32_t a, b;
	int file, status;

	ASSERT_EQ(0, snpu_syncobj_create(self->fd, 0, &a));
	ASSERT_EQ(0, snpu_syncobj_create(self->fd, 0, &b));
	/* nothing in it: nothing to export */
	EXPECT_EQ(-EINVAL, snpu_syncobj_export(self->fd, a, 0));
	ASSERT_EQ(0, close_gate(self, &self->q));
	ASSERT_EQ(0, snpu_signal(&self->q, a, 0, 0));
	file = snpu_syncobj_export(self->fd, a, 0);
	ASSERT_LE(0, file);
	ASSERT_EQ(0, snpu_sync_file_status(file, &status));
	EXPECT_EQ(0, status);
	EXPECT_EQ(-ETIME, snpu_wait_readable(file, 0));
	ASSERT_EQ(0, snpu_ioctl(file, SYNC_IOC_FILE_INFO, &info));
	EXPECT_EQ(1, info.num_fences);
	EXPECT_EQ(0, strncmp(fence.driver_name, "snpu", 4)) {
		TH_LOG("driver_name is '%.32s'", fence.driver_name);
	}
	/* back into another syncobj, which a queue then waits for */
	in.handle = b;
	in.fd = file;
	ASSERT_EQ(0, snpu_ioctl(self->fd, DRM_IOCTL_SYNCOBJ_FD_TO_HANDLE, &in));
	EXPECT_EQ(-ETIME, snpu_syncobj_wait(self->fd, b, 0, 0, 0));
	uint64_t va, value;

	ASSERT_EQ(0, snpu_wait_for(&self->r, b, 0, &va, &value));
	ASSERT_NE(0, value);
	union snpu_pkt pkt = snpu_pkt_sem_wait(va, value, 0);

	snpu_put(&self->r, &pkt);
	ASSERT_EQ(0, snpu_ring(&self->r));
	ASSERT_EQ(0, snpu_wait_state(&self->r, SNPU_QSTATE_BLOCKED));
	ASSERT_EQ(0, open_gate(self, &self->q));
	EXPECT_EQ(0, snpu_wait_readable(file, SNPU_WAIT_MS));
	ASSERT_EQ(0, snpu_sync_file_status(file, &status));
	EXPECT_EQ(1, status);
	EXPECT_EQ(0, snpu_syncobj_wait(self->fd, b, 0, 0, SNPU_WAIT_MS));
	EXPECT_EQ(0, snpu_wait(&self->r, self->r.wr));
	close(file);
}

TEST_F_TIMEOUT(sync, merge, SNPU_TEST_S)
{
	struct sync_merge_data merge = { .name = "two queues" };
	int file[2], status;
	uint32_t obj[2];

	for (int i = 0; i < 2; i++) {
		ASSERT_EQ(0, snpu_syncobj_create(self->fd, 0, &obj[i]));
		ASSERT_EQ(0, close_gate(self, i ? &self->r : &self->q));
		ASSERT_EQ(0, snpu_signal(i ? &self->r : &self->q, obj[i], 0, 0));
		file[i] = snpu_syncobj_export(self->fd, obj[i], 0);
		ASSERT_LE(0, file[i]);
	}
	merge.fd2 = file[1];
	ASSERT_EQ(0, snpu_ioctl(file[0], SYNC_IOC_MERGE, &merge));
	EXPECT_EQ(-ETIME, snpu_wait_readable(merge.fence, 0));
	/* the gate is one for both */
	ASSERT_EQ(0, open_gate(self, &self->q));
	ASSERT_EQ(0, open_gate(self, &self->r));
	EXPECT_EQ(0, snpu_wait_readable(merge.fence, SNPU_WAIT_MS));
	ASSERT_EQ(0, snpu_sync_file_status(merge.fence, &status));
	EXPECT_EQ(1, status);
	close(merge.fence);
	close(file[0]);
	close(file[1]);
}

TEST_F_TIMEOUT(sync, eventfd, SNPU_TEST_S)
{
	struct drm_syncobj_eventfd a = { .point = 3 };
	uint32_t obj;
	int efd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	ASSERT_LE(0, efd);
	ASSERT_EQ(0, snpu_syncobj_create(self->fd, 0, &obj));
	a.handle = obj;
	a.fd = efd;
	/* before there is a fence for the point */
	ASSERT_EQ(0, snpu_ioctl(self->fd, DRM_IOCTL_SYNCOBJ_EVENTFD, &a));
	ASSERT_EQ(0, close_gate(self, &self->q));
	ASSERT_EQ(0, snpu_signal(&self->q, obj, 3, 0));
	EXPECT_EQ(-ETIME, snpu_wait_readable(efd, 0));
	ASSERT_EQ(0, open_gate(self, &self->q));
	EXPECT_EQ(0, snpu_wait_readable(efd, SNPU_WAIT_MS));
	close(efd);
}

TEST_F_TIMEOUT(sync, cross_queue, SNPU_TEST_S)
{
	uint8_t *host = self->host.map;
	uint64_t va, value;
	union snpu_pkt pkt;
	uint32_t obj;

	ASSERT_EQ(0, snpu_syncobj_create(self->fd, 0, &obj));
	for (uint64_t i = 1; i <= 20; i++) {
		snpu_pattern(host, 64 << 10, i);
		memset(host + (512 << 10), 0, 64 << 10);
		ASSERT_EQ(0, snpu_fill(&self->q, self->hbm.va, 64 << 10, 0xdd));
		/* q: gate, host -> HBM; r: after q, HBM -> host */
		ASSERT_EQ(0, close_gate(self, &self->q));
		pkt = snpu_pkt_copy(self->hbm.va, self->host.va, 64 << 10);
		snpu_put(&self->q, &pkt);
		ASSERT_EQ(0, snpu_ring(&self->q));
		ASSERT_EQ(0, snpu_signal(&self->q, obj, i, 0));
		ASSERT_EQ(0, snpu_wait_for(&self->r, obj, i, &va, &value));
		ASSERT_NE(0, value);
		pkt = snpu_pkt_sem_wait(va, value, 0);
		snpu_put(&self->r, &pkt);
		pkt = snpu_pkt_copy(self->host.va + (512 << 10), self->hbm.va, 64 << 10);
		snpu_put(&self->r, &pkt);
		ASSERT_EQ(0, snpu_ring(&self->r));
		ASSERT_EQ(0, snpu_wait_state(&self->r, SNPU_QSTATE_BLOCKED));
		ASSERT_EQ(0, open_gate(self, &self->q));
		ASSERT_EQ(0, snpu_wait(&self->r, self->r.wr));
		ASSERT_EQ(0, snpu_cmp("through two queues", host, host + (512 << 10), 64 << 10));
	}
	/* what has signalled needs no packet */
	ASSERT_EQ(0, snpu_wait_for(&self->r, obj, 5, &va, &value));
	EXPECT_EQ(0, value);
}

/* The same between two NPUs: a syncobj goes from file to file by fd */
TEST_F_TIMEOUT(sync, cross_device, SNPU_TEST_S)
{
	struct drm_syncobj_handle out = { .fd = -1 }, in = { 0 };
	struct snpu_client c1;
	struct snpu_queue q1;
	uint64_t va, value;
	union snpu_pkt pkt;
	uint32_t obj;

	SNPU_NEED_NPUS(2);
	ASSERT_EQ(0, snpu_client_open(&c1, 1));
	ASSERT_EQ(0, snpu_queue_make(&c1, &q1, 4, SNPU_PRIO_NORMAL, false));
	ASSERT_EQ(0, snpu_syncobj_create(self->fd, 0, &obj));
	out.handle = obj;
	ASSERT_EQ(0, snpu_ioctl(self->fd, DRM_IOCTL_SYNCOBJ_HANDLE_TO_FD, &out));
	in.fd = out.fd;
	ASSERT_EQ(0, snpu_ioctl(c1.fd, DRM_IOCTL_SYNCOBJ_FD_TO_HANDLE, &in));
	close(out.fd);
	for (uint64_t i = 1; i <= 10; i++) {
		ASSERT_EQ(0, close_gate(self, &self->q));
		ASSERT_EQ(0, snpu_signal(&self->q, obj, i, 0));
		ASSERT_EQ(0, snpu_wait_for(&q1, in.handle, i, &va, &value));
		ASSERT_NE(0, value);
		pkt = snpu_pkt_sem_wait(va, value, 0);
		snpu_put(&q1, &pkt);
		ASSERT_EQ(0, snpu_ring(&q1));
		ASSERT_EQ(0, snpu_wait_state(&q1, SNPU_QSTATE_BLOCKED));
		EXPECT_EQ(i - 1, q1.cpl->completed);
		ASSERT_EQ(0, open_gate(self, &self->q));
		ASSERT_EQ(0, snpu_wait(&q1, i));
	}
	snpu_queue_free(&q1);
	snpu_client_close(&c1);
}

TEST_F_TIMEOUT(sync, wait_limit, SNPU_TEST_S)
{
	uint64_t va[DRM_SNPU_MAX_WAITS], value[DRM_SNPU_MAX_WAITS], v, n;
	uint32_t obj;

	ASSERT_EQ(0, snpu_syncobj_create(self->fd, 0, &obj));
	for (int round = 0; round < 3; round++) {
		ASSERT_EQ(0, close_gate(self, &self->q));
		ASSERT_EQ(0, snpu_signal(&self->q, obj, 0, 0));
		for (int i = 0; i < DRM_SNPU_MAX_WAITS; i++) {
			ASSERT_EQ(0, snpu_wait_for(&self->r, obj, 0, &va[i], &value[i])) {
				TH_LOG("wait %d", i);
			}
			ASSERT_NE(0, value[i]);
			EXPECT_EQ(0, va[i] % 8);
			for (int k = 0; k < i; k++)
				EXPECT_NE(va[k], va[i]);
		}
		EXPECT_EQ(-EBUSY, snpu_wait_for(&self->r, obj, 0, &v, &n));
		/* the limit is the queue's: the other one has its own */
		EXPECT_EQ(0, snpu_wait_for(&self->q, obj, 0, &v, &n));
		for (int i = 0; i < DRM_SNPU_MAX_WAITS; i++) {
			union snpu_pkt pkt = snpu_pkt_sem_wait(va[i], value[i], 0);

			snpu_put(&self->r, &pkt);
		}
		ASSERT_EQ(0, snpu_ring(&self->r));
		ASSERT_EQ(0, open_gate(self, &self->q));
		ASSERT_EQ(0, snpu_wait(&self->r, self->r.wr)) {
			TH_LOG("round %d", round);
		}
	}
}

/* The slots are the kernel's: the device must not write there, VM_BIND not reach them */
TEST_F_TIMEOUT(sync, slot_is_read_only, SNPU_TEST_S)
{
	uint64_t va, value;
	union snpu_pkt pkt;
	uint32_t obj;

	ASSERT_EQ(0, snpu_syncobj_create(self->fd, 0, &obj));
	ASSERT_EQ(0, close_gate(self, &self->q));
	ASSERT_EQ(0, snpu_signal(&self->q, obj, 0, 0));
	ASSERT_EQ(0, snpu_wait_for(&self->r, obj, 0, &va, &value));
	EXPECT_LE(self->c.info.va_end, va);
	EXPECT_EQ(-EINVAL, snpu_unmap(self->fd, va & ~(SNPU_4K - 1), SNPU_4K));
	EXPECT_EQ(-EINVAL, snpu_map(self->fd, self->host.handle, 0, va & ~(SNPU_4K - 1), SNPU_4K,
				    SNPU_RW));
	pkt = snpu_pkt_sem_signal(va, value);
	snpu_put(&self->r, &pkt);
	ASSERT_EQ(0, snpu_ring(&self->r));
	EXPECT_EQ(0, snpu_want_fault(&self->r, SNPU_ERR_PERM, 0, va));
	ASSERT_EQ(0, open_gate(self, &self->q));
	EXPECT_EQ(0, snpu_syncobj_wait(self->fd, obj, 0, 0, SNPU_WAIT_MS));
}

/* What the host signals has signalled when the queue asks */
TEST_F_TIMEOUT(sync, host_signalled, SNPU_TEST_S)
{
	struct drm_syncobj_timeline_array t = { .count_handles = 1 };
	struct drm_syncobj_array s = { .count_handles = 1 };
	uint64_t va, value, point = 9;
	uint32_t obj, line;

	ASSERT_EQ(0, snpu_syncobj_create(self->fd, 0, &obj));
	ASSERT_EQ(0, snpu_syncobj_create(self->fd, 0, &line));
	s.handles = (uintptr_t)&obj;
	ASSERT_EQ(0, snpu_ioctl(self->fd, DRM_IOCTL_SYNCOBJ_SIGNAL, &s));
	value = 1;
	EXPECT_EQ(0, snpu_wait_for(&self->q, obj, 0, &va, &value));
	EXPECT_EQ(0, value);
	t.handles = (uintptr_t)&line;
	t.points = (uintptr_t)&point;
	ASSERT_EQ(0, snpu_ioctl(self->fd, DRM_IOCTL_SYNCOBJ_TIMELINE_SIGNAL, &t));
	value = 1;
	EXPECT_EQ(0, snpu_wait_for(&self->q, line, 9, &va, &value));
	EXPECT_EQ(0, value);
	EXPECT_EQ(-EINVAL, snpu_wait_for(&self->q, line, 10, &va, &value));
	/* created signalled */
	ASSERT_EQ(0, snpu_syncobj_create(self->fd, DRM_SYNCOBJ_CREATE_SIGNALED, &obj));
	value = 1;
	EXPECT_EQ(0, snpu_wait_for(&self->q, obj, 0, &va, &value));
	EXPECT_EQ(0, value);
}

/* Who waits for the submission too, wakes at the end of it */
static int submit_later(struct snpu_proc *p, void *arg)
{
	int fd = *(int *)arg, ret;
	struct drm_syncobj_handle in = { 0 };
	struct snpu_client c;
	struct snpu_queue q;
	union snpu_pkt nop = snpu_pkt_nop();
	uint64_t word;

	ret = snpu_client_open(&c, 0);
	ret = ret ?: snpu_queue_make(&c, &q, 4, SNPU_PRIO_NORMAL, false);
	in.fd = fd;
	ret = ret ?: snpu_ioctl(c.fd, DRM_IOCTL_SYNCOBJ_FD_TO_HANDLE, &in);
	ret = ret ?: snpu_hear(p, &word);
	ret = ret ?: snpu_run(&q, &nop);
	ret = ret ?: snpu_signal(&q, in.handle, 0, 0);
	ret = ret ?: snpu_say(p, 1);
	/* until the parent has seen the fence */
	ret = ret ?: snpu_hear(p, &word);
	if (ret)
		snpu_diag("child: got %d", ret);
	return ret ? 1 : 0;
}

TEST_F_TIMEOUT(sync, other_process, SNPU_TEST_S)
{
	struct drm_syncobj_handle out = { .fd = -1 };
	struct snpu_proc p;
	uint64_t word;
	uint32_t obj;

	ASSERT_EQ(0, snpu_syncobj_create(self->fd, 0, &obj));
	out.handle = obj;
	ASSERT_EQ(0, snpu_ioctl(self->fd, DRM_IOCTL_SYNCOBJ_HANDLE_TO_FD, &out));
	ASSERT_EQ(0, snpu_proc_start(&p, submit_later, &out.fd));
	ASSERT_EQ(0, snpu_say(&p, 1));
	EXPECT_EQ(0, snpu_syncobj_wait(self->fd, obj, 0, DRM_SYNCOBJ_WAIT_FLAGS_WAIT_FOR_SUBMIT,
				       SNPU_WAIT_MS));
	ASSERT_EQ(0, snpu_hear(&p, &word));
	ASSERT_EQ(0, snpu_say(&p, 2));
	EXPECT_EQ(0, snpu_proc_end(&p));
	close(out.fd);
}

static int expect_status(FIXTURE_DATA(sync) *self, uint32_t obj, uint64_t point, int want)
{
	int status, ret;

	ret = snpu_fence_status(self->fd, obj, point, &status);
	if (ret)
		return ret;
	if (status != want) {
		snpu_diag("fence at point %llu: expected status %d, got %d",
			  (unsigned long long)point, want, status);
		return -EPROTO;
	}
	return 0;
}

TEST_F_TIMEOUT(sync, pending_at_destroy, SNPU_TEST_S)
{
	uint32_t obj;

	ASSERT_EQ(0, snpu_syncobj_create(self->fd, 0, &obj));
	ASSERT_EQ(0, close_gate(self, &self->q));
	ASSERT_EQ(0, snpu_signal(&self->q, obj, 1, 0));
	ASSERT_EQ(0, snpu_queue_destroy(&self->c, self->q.id));
	EXPECT_EQ(0, expect_status(self, obj, 1, -ECANCELED));
}

/* Closing the file does the same; the fence lives on in another process' hands */
TEST_F_TIMEOUT(sync, pending_at_close, SNPU_TEST_S)
{
	union snpu_pkt pkt;
	struct snpu_client c;
	struct snpu_queue q;
	struct snpu_buf b;
	uint32_t obj;
	int file, status;

	ASSERT_EQ(0, snpu_client_open(&c, 0));
	ASSERT_EQ(0, snpu_queue_make(&c, &q, 4, SNPU_PRIO_NORMAL, false));
	ASSERT_EQ(0, snpu_buf_make(&c, &b, SNPU_4K, DRM_SNPU_BO_HOST));
	ASSERT_EQ(0, snpu_syncobj_create(c.fd, 0, &obj));
	pkt = snpu_pkt_sem_wait(b.va, 1, 0);
	snpu_put(&q, &pkt);
	ASSERT_EQ(0, snpu_ring(&q));
	ASSERT_EQ(0, snpu_signal(&q, obj, 0, 0));
	file = snpu_syncobj_export(c.fd, obj, 0);
	ASSERT_LE(0, file);
	munmap((void *)q.db, SNPU_4K);
	munmap((void *)q.cpl, SNPU_4K);
	munmap(q.ring.map, q.ring.size);
	munmap(b.map, b.size);
	snpu_client_close(&c);
	EXPECT_EQ(0, snpu_wait_readable(file, SNPU_WAIT_MS));
	ASSERT_EQ(0, snpu_sync_file_status(file, &status));
	EXPECT_EQ(-ECANCELED, status);
	close(file);
}

TEST_F_TIMEOUT(sync, fault, SNPU_TEST_S)
{
	union snpu_pkt pkt = snpu_pkt_nop();
	uint32_t obj;

	ASSERT_EQ(0, snpu_syncobj_create(self->fd, 0, &obj));
	snpu_put(&self->q, &pkt);
	ASSERT_EQ(0, close_gate(self, &self->q));
	ASSERT_EQ(0, snpu_signal(&self->q, obj, 1, 1));
	ASSERT_EQ(0, snpu_signal(&self->q, obj, 2, 2));
	pkt = snpu_pkt_fill(SNPU_NOWHERE, 8, 0);
	snpu_put(&self->q, &pkt);
	ASSERT_EQ(0, snpu_ring(&self->q));
	ASSERT_EQ(0, snpu_signal(&self->q, obj, 3, 0));
	ASSERT_EQ(0, open_gate(self, &self->q));
	/* what was reached is no failure */
	EXPECT_EQ(0, expect_status(self, obj, 3, -EIO));
	ASSERT_EQ(0, snpu_want_fault(&self->q, SNPU_ERR_UNMAPPED, 2, SNPU_NOWHERE));
	/* made after the fault */
	uint32_t late;

	ASSERT_EQ(0, snpu_syncobj_create(self->fd, 0, &late));
	ASSERT_EQ(0, snpu_signal(&self->q, late, 0, 3));
	EXPECT_EQ(0, expect_status(self, late, 0, -EIO));
	ASSERT_EQ(0, snpu_signal(&self->q, late, 0, 2));
	EXPECT_EQ(0, expect_status(self, late, 0, 1));
	EXPECT_EQ(0, snpu_copy(&self->r, self->hbm.va, self->host.va, SNPU_4K));
}

/* A failed fence releases who waits for it: a wait is never longer than what it waits for */
TEST_F_TIMEOUT(sync, wait_for_failed, SNPU_TEST_S)
{
	uint64_t va, value;
	union snpu_pkt pkt;
	uint32_t obj;

	ASSERT_EQ(0, snpu_syncobj_create(self->fd, 0, &obj));
	ASSERT_EQ(0, close_gate(self, &self->q));
	ASSERT_EQ(0, snpu_signal(&self->q, obj, 0, 0));
	ASSERT_EQ(0, snpu_wait_for(&self->r, obj, 0, &va, &value));
	ASSERT_NE(0, value);
	pkt = snpu_pkt_sem_wait(va, value, 0);
	snpu_put(&self->r, &pkt);
	ASSERT_EQ(0, snpu_ring(&self->r));
	ASSERT_EQ(0, snpu_wait_state(&self->r, SNPU_QSTATE_BLOCKED));
	ASSERT_EQ(0, snpu_queue_destroy(&self->c, self->q.id));
	EXPECT_EQ(0, snpu_wait(&self->r, 1));
}

TEST_F_TIMEOUT(sync, hang, SNPU_TEST_S)
{
	struct drm_snpu_queue_query info;
	struct drm_snpu_counters before, after;
	uint64_t count;
	uint32_t obj;

	ASSERT_EQ(0, snpu_query(self->fd, DRM_SNPU_QUERY_COUNTERS, &before, sizeof(before)));
	ASSERT_EQ(0, snpu_write_file(HANG_PARAM, "500"));
	struct drm_snpu_device_info dev;

	ASSERT_EQ(0, snpu_query(self->fd, DRM_SNPU_QUERY_DEVICE, &dev, sizeof(dev)));
	EXPECT_EQ(500, dev.hang_ms);
	ASSERT_EQ(0, snpu_syncobj_create(self->fd, 0, &obj));
	ASSERT_EQ(0, close_gate(self, &self->q));
	ASSERT_EQ(0, snpu_signal(&self->q, obj, 0, 0));
	EXPECT_EQ(0, expect_status(self, obj, 0, -ETIME));
	ASSERT_EQ(0, snpu_queue_info(&self->q, &info));
	EXPECT_EQ(DRM_SNPU_QUEUE_HUNG, info.flags);
	EXPECT_EQ(SNPU_QSTATE_STOPPED, info.state);
	EXPECT_EQ(0, info.completed);
	EXPECT_EQ(0, snpu_wait_readable(self->q.eventfd, SNPU_WAIT_MS));
	EXPECT_EQ(8, read(self->q.eventfd, &count, 8));
	/* only that queue */
	EXPECT_EQ(0, snpu_copy(&self->r, self->hbm.va, self->host.va, SNPU_4K));
	ASSERT_EQ(0, snpu_query(self->fd, DRM_SNPU_QUERY_COUNTERS, &after, sizeof(after)));
	EXPECT_EQ(before.queue_resets + 1, after.queue_resets);
	EXPECT_EQ(before.resets, after.resets);
	/* a new one takes its place */
	snpu_queue_free(&self->q);
	ASSERT_EQ(0, snpu_queue_make(&self->c, &self->q, 8, SNPU_PRIO_NORMAL, true));
	EXPECT_EQ(0, snpu_copy(&self->q, self->hbm.va, self->host.va, SNPU_4K));
}

/* Without a fence a queue may wait for longer than that; with one, from then on */
TEST_F_TIMEOUT(sync, no_fence_no_hang, SNPU_TEST_S)
{
	struct drm_snpu_queue_query info;
	uint64_t end;

	ASSERT_EQ(0, snpu_write_file(HANG_PARAM, "200"));
	ASSERT_EQ(0, close_gate(self, &self->q));
	ASSERT_EQ(0, snpu_wait_state(&self->q, SNPU_QSTATE_BLOCKED));
	/* time has to pass here: what must not happen is an event */
	end = snpu_now_ms() + 1000;
	while (snpu_now_ms() < end)
		ASSERT_EQ(0, snpu_copy(&self->r, self->hbm.va, self->host.va, SNPU_4K));
	ASSERT_EQ(0, snpu_queue_info(&self->q, &info));
	EXPECT_EQ(0, info.flags);
	EXPECT_EQ(SNPU_QSTATE_BLOCKED, info.state);
	ASSERT_EQ(0, open_gate(self, &self->q));
	EXPECT_EQ(0, snpu_wait(&self->q, 1));
}

/* Long is not hung: one packet that works for several times hang_ms */
TEST_F_TIMEOUT(sync, long_is_not_hung, SNPU_TEST_S)
{
	union snpu_pkt *ib = self->host.map, pkt;
	uint64_t start, took = 0;
	struct snpu_buf big;
	uint32_t obj;

	ASSERT_EQ(0, snpu_buf_make(&self->c, &big, 64ull << 20, DRM_SNPU_BO_HBM));
	ASSERT_EQ(0, snpu_write_file(HANG_PARAM, "1000"));
	ASSERT_EQ(0, snpu_syncobj_create(self->fd, 0, &obj));
	for (uint32_t n = 32; n <= 16384 && took < 2500; n *= 2) {
		for (uint32_t i = 0; i < n; i++)
			ib[i] = snpu_pkt_copy(big.va + (32 << 20), big.va, 32 << 20);
		pkt = snpu_pkt_indirect(self->host.va, n);
		start = snpu_now_ms();
		snpu_put(&self->q, &pkt);
		ASSERT_EQ(0, snpu_ring(&self->q));
		ASSERT_EQ(0, snpu_signal(&self->q, obj, 0, 0));
		ASSERT_EQ(0, expect_status(self, obj, 0, 1)) {
			TH_LOG("%u copies of 32 MiB", n);
		}
		took = snpu_now_ms() - start;
	}
	EXPECT_LE(2500, took);
	snpu_buf_free(&big);
}

/* Fences beyond number: none is lost, all come in order */
TEST_F_TIMEOUT(sync, many_fences, SNPU_TEST_S)
{
	union snpu_pkt nop = snpu_pkt_nop();
	uint32_t obj;

	ASSERT_EQ(0, snpu_syncobj_create(self->fd, 0, &obj));
	for (uint64_t point = 1; point <= 1000; point++) {
		if (self->q.wr >= 256)
			ASSERT_EQ(0, snpu_wait(&self->q, self->q.wr - 255));
		snpu_put(&self->q, &nop);
		ASSERT_EQ(0, snpu_ring(&self->q));
		ASSERT_EQ(0, snpu_signal(&self->q, obj, point, 0));
	}
	for (uint64_t point = 1; point <= 1000; point += 37) {
		ASSERT_EQ(0, snpu_syncobj_wait(self->fd, obj, point, 0, SNPU_WAIT_MS)) {
			TH_LOG("point %llu", (unsigned long long)point);
		}
	}
	ASSERT_EQ(0, snpu_syncobj_wait(self->fd, obj, 1000, 0, SNPU_WAIT_MS));
}

TEST_HARNESS_MAIN
