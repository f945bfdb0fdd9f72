// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the snpu selftests share: queues, fences, processes; see snpu_util.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/sync_file.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "snpu_util.h"

/* ---- queues --------------------------------------------------------------------------------- */

/** snpu_queue_attach() - create the queue on the ring at @ring_va and map its pages */
int snpu_queue_attach(struct snpu_queue *q, uint64_t ring_va, uint32_t prio)
{
	struct drm_snpu_queue_create a = {
		.prio = prio, .ring_va = ring_va, .ring_log2 = q->log2,
		.flags = q->flags | (q->eventfd >= 0 ? DRM_SNPU_QUEUE_EVENTFD : 0),
		.eventfd = q->eventfd >= 0 ? q->eventfd : 0,
	};
	void *p;
	int ret;

	ret = snpu_ioctl(q->c->fd, DRM_IOCTL_SNPU_QUEUE_CREATE, &a);
	if (ret)
		return ret;
	q->id = a.queue_id;
	q->wr = 0;
	q->db_offset = a.doorbell_offset;
	q->cpl_offset = a.cpl_offset;
	p = mmap(NULL, SNPU_4K, PROT_READ | PROT_WRITE, MAP_SHARED, q->c->fd,
		 (off_t)a.doorbell_offset);
	if (p == MAP_FAILED) {
		ret = -errno;
		snpu_diag("mmap of the doorbell: %s", strerror(errno));
		return ret;
	}
	q->db = p;
	p = mmap(NULL, SNPU_4K, PROT_READ, MAP_SHARED, q->c->fd, (off_t)a.cpl_offset);
	if (p == MAP_FAILED) {
		ret = -errno;
		snpu_diag("mmap of the completion page: %s", strerror(errno));
		return ret;
	}
	q->cpl = p;
	return 0;
}

/** snpu_queue_make() - create a queue with a ring in host memory */
int snpu_queue_make(struct snpu_client *c, struct snpu_queue *q, uint32_t log2, uint32_t prio,
		    bool want_eventfd)
{
	int ret;

	*q = (struct snpu_queue){ .c = c, .log2 = log2, .eventfd = -1 };
	ret = snpu_buf_make(c, &q->ring, (uint64_t)SNPU_PKT_BYTES << log2, DRM_SNPU_BO_HOST);
	if (ret)
		return ret;
	if (want_eventfd) {
		q->eventfd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		if (q->eventfd < 0)
			return -errno;
	}
	ret = snpu_queue_attach(q, q->ring.va, prio);
	if (ret)
		snpu_diag("QUEUE_CREATE log2 %u prio %u: expected 0, got %d", log2, prio, ret);
	return ret;
}

int snpu_queue_destroy(struct snpu_client *c, uint32_t id)
{
	struct drm_snpu_queue_destroy a = { .queue_id = id };

	return snpu_ioctl(c->fd, DRM_IOCTL_SNPU_QUEUE_DESTROY, &a);
}

/** snpu_queue_free() - destroy a queue in whatever state it is */
void snpu_queue_free(struct snpu_queue *q)
{
	if (!q->c)
		return;
	if (q->id)
		snpu_queue_destroy(q->c, q->id);
	if (q->db)
		munmap((void *)q->db, SNPU_4K);
	if (q->cpl)
		munmap((void *)q->cpl, SNPU_4K);
	if (q->eventfd >= 0)
		close(q->eventfd);
	snpu_buf_free(&q->ring);
	*q = (struct snpu_queue){ .eventfd = -1 };
}

int snpu_ctrl(struct snpu_queue *q, uint32_t op)
{
	struct drm_snpu_queue_ctrl a = { .queue_id = q->id, .op = op };

	return snpu_ioctl(q->c->fd, DRM_IOCTL_SNPU_QUEUE_CTRL, &a);
}

int snpu_queue_info(struct snpu_queue *q, struct drm_snpu_queue_query *info)
{
	*info = (struct drm_snpu_queue_query){ .queue_id = q->id };
	return snpu_ioctl(q->c->fd, DRM_IOCTL_SNPU_QUEUE_QUERY, info);
}

/** snpu_put() - put a packet into the ring; snpu_ring() submits it */
void snpu_put(struct snpu_queue *q, const union snpu_pkt *pkt)
{
	union snpu_pkt *ring = q->ring.map;

	ring[q->wr & ((1ull << q->log2) - 1)] = *pkt;
	q->wr++;
}

/** snpu_ring() - submit what was put, wake the device if it sleeps */
int snpu_ring(struct snpu_queue *q)
{
	/* write-combined stores too */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	*q->db = q->wr;
	snpu_mb_wake();
	if (q->cpl->need_wake)
		return snpu_ctrl(q, DRM_SNPU_CTRL_WAKE);
	return 0;
}

static void queue_print(struct snpu_queue *q, const char *what)
{
	const volatile struct snpu_cpl *c = q->cpl;

	snpu_diag("queue %u, %s: submitted %llu completed %llu state %u need_wake %u", q->id, what,
		  (unsigned long long)q->wr, (unsigned long long)c->completed, c->state,
		  c->need_wake);
	snpu_diag("error %u aux %#x packet %llu va %#llx", c->error, c->error_aux,
		  (unsigned long long)c->fault_index, (unsigned long long)c->fault_va);
}

/**
 * snpu_wait() - wait until a queue has retired @position packets
 *
 * Return: 0; -EIO the queue has stopped; -ETIME.
 */
int snpu_wait(struct snpu_queue *q, uint64_t position)
{
	uint64_t end = snpu_now_ms() + SNPU_WAIT_MS;
	unsigned int i = 0;

	while (__atomic_load_n(&q->cpl->completed, __ATOMIC_ACQUIRE) < position) {
		uint32_t state = q->cpl->state;

		if (state == SNPU_QSTATE_FAULT || state == SNPU_QSTATE_STOPPED) {
			queue_print(q, "expected to go on");
			return -EIO;
		}
		if (!(++i % 64) && snpu_now_ms() > end) {
			queue_print(q, "no end in sight");
			return -ETIME;
		}
		sched_yield();
	}
	return 0;
}

/** snpu_run() - submit one packet and wait for it */
int snpu_run(struct snpu_queue *q, const union snpu_pkt *pkt)
{
	int ret;

	snpu_put(q, pkt);
	ret = snpu_ring(q);
	return ret ?: snpu_wait(q, q->wr);
}

int snpu_copy(struct snpu_queue *q, uint64_t dst, uint64_t src, uint64_t bytes)
{
	union snpu_pkt pkt = snpu_pkt_copy(dst, src, bytes);

	return snpu_run(q, &pkt);
}

int snpu_fill(struct snpu_queue *q, uint64_t dst, uint64_t bytes, uint8_t byte)
{
	union snpu_pkt pkt = snpu_pkt_fill(dst, bytes, byte);

	return snpu_run(q, &pkt);
}

/** snpu_wait_state() - wait until the completion record shows @state */
int snpu_wait_state(struct snpu_queue *q, uint32_t state)
{
	uint64_t end = snpu_now_ms() + SNPU_WAIT_MS;
	unsigned int i = 0;

	while (q->cpl->state != state) {
		if (!(++i % 64) && snpu_now_ms() > end) {
			snpu_diag("expected state %u", state);
			queue_print(q, "still not there");
			return -ETIME;
		}
		sched_yield();
	}
	return 0;
}

/**
 * snpu_want_fault() - wait until a queue faults; see that it did as expected
 * @q: queue
 * @error: SNPU_ERR_*
 * @index: packet, ~0: any
 * @va: address, ~0: any
 */
int snpu_want_fault(struct snpu_queue *q, uint32_t error, uint64_t index, uint64_t va)
{
	struct drm_snpu_queue_query info;
	int ret;

	ret = snpu_wait_state(q, SNPU_QSTATE_FAULT);
	if (ret)
		return ret;
	ret = snpu_queue_info(q, &info);
	if (ret) {
		snpu_diag("QUEUE_QUERY of the faulted queue: expected 0, got %d", ret);
		return ret;
	}
	if (info.state != SNPU_QSTATE_FAULT || info.error != error || info.flags ||
	    (index != ~0ull && info.fault_index != index) || (va != ~0ull && info.fault_va != va)) {
		snpu_diag("expected state %u error %u packet %lld va %#llx flags 0",
			  SNPU_QSTATE_FAULT, error, (long long)index, (unsigned long long)va);
		snpu_diag("got      state %u error %u packet %lld va %#llx flags %#x aux %#x",
			  info.state, info.error, (long long)info.fault_index,
			  (unsigned long long)info.fault_va, info.flags, info.error_aux);
		return -EPROTO;
	}
	return 0;
}

/** snpu_works() - see that a new client of the NPU @index copies data through HBM */
int snpu_works(unsigned int index)
{
	struct snpu_buf host = { 0 }, hbm = { 0 };
	struct snpu_queue q = { .eventfd = -1 };
	struct snpu_client c = { .fd = -1 };
	const size_t n = 64 << 10;
	int ret;

	ret = snpu_client_open(&c, index);
	ret = ret ?: snpu_buf_make(&c, &host, 2 * n, DRM_SNPU_BO_HOST);
	ret = ret ?: snpu_buf_make(&c, &hbm, n, DRM_SNPU_BO_HBM);
	ret = ret ?: snpu_queue_make(&c, &q, 4, SNPU_PRIO_NORMAL, false);
	if (!ret) {
		snpu_pattern(host.map, n, 0x5eed + index);
		ret = snpu_copy(&q, hbm.va, host.va, n);
		ret = ret ?: snpu_copy(&q, host.va + n, hbm.va, n);
		ret = ret ?: snpu_cmp("host -> HBM -> host", host.map, host.map + n, n);
	}
	snpu_queue_free(&q);
	snpu_buf_free(&hbm);
	snpu_buf_free(&host);
	snpu_client_close(&c);
	if (ret)
		snpu_diag("NPU %u does not work", index);
	return ret;
}

/* ---- fences --------------------------------------------------------------------------------- */

int snpu_syncobj_create(int fd, uint32_t flags, uint32_t *handle)
{
	struct drm_syncobj_create a = { .flags = flags };
	int ret = snpu_ioctl(fd, DRM_IOCTL_SYNCOBJ_CREATE, &a);

	*handle = a.handle;
	return ret;
}

int snpu_syncobj_destroy(int fd, uint32_t handle)
{
	struct drm_syncobj_destroy a = { .handle = handle };

	return snpu_ioctl(fd, DRM_IOCTL_SYNCOBJ_DESTROY, &a);
}

static int64_t deadline_ns(int timeout_ms)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec + (int64_t)timeout_ms * 1000000;
}

/** snpu_syncobj_wait() - 0; -ETIME; -EINVAL there is no fence (unless @flags says wait for it) */
int snpu_syncobj_wait(int fd, uint32_t handle, uint64_t point, uint32_t flags, int timeout_ms)
{
	struct drm_syncobj_timeline_wait a = {
		.handles = (uintptr_t)&handle, .points = (uintptr_t)&point, .count_handles = 1,
		.timeout_nsec = deadline_ns(timeout_ms), .flags = flags,
	};

	return snpu_ioctl(fd, DRM_IOCTL_SYNCOBJ_TIMELINE_WAIT, &a);
}

/** snpu_syncobj_export() - sync_file of a point (0: binary), or a negative errno */
int snpu_syncobj_export(int fd, uint32_t handle, uint64_t point)
{
	struct drm_syncobj_transfer t = { .src_handle = handle, .src_point = point };
	struct drm_syncobj_handle a = {
		.handle = handle, .fd = -1,
		.flags = DRM_SYNCOBJ_HANDLE_TO_FD_FLAGS_EXPORT_SYNC_FILE,
	};
	int ret;

	if (point) {
		ret = snpu_syncobj_create(fd, 0, &t.dst_handle);
		if (ret)
			return ret;
		ret = snpu_ioctl(fd, DRM_IOCTL_SYNCOBJ_TRANSFER, &t);
		if (ret) {
			snpu_syncobj_destroy(fd, t.dst_handle);
			return ret;
		}
		a.handle = t.dst_handle;
	}
	ret = snpu_ioctl(fd, DRM_IOCTL_SYNCOBJ_HANDLE_TO_FD, &a);
	if (point)
		snpu_syncobj_destroy(fd, t.dst_handle);
	return ret ?: a.fd;
}

/**
 * snpu_sync_file_status() - state of a sync_file
 * @status: 1 signalled, 0 pending, negative: error of the fence
 *
 * The fences inside are asked for: a chain, as a timeline has it, does not hand their errors on.
 */
int snpu_sync_file_status(int sync_file, int *status)
{
	struct sync_fence_info fence[16];
	struct sync_file_info info = {
		.num_fences = 16, .sync_fence_info = (uintptr_t)fence,
	};
	int ret = snpu_ioctl(sync_file, SYNC_IOC_FILE_INFO, &info);

	*status = info.status;
	return ret;
}

/** snpu_fence_status() - wait for a point and say how its fence ended */
int snpu_fence_status(int fd, uint32_t handle, uint64_t point, int *status)
{
	int ret, file;

	ret = snpu_syncobj_wait(fd, handle, point, 0, SNPU_WAIT_MS);
	if (ret) {
		snpu_diag("wait for syncobj %u point %llu: expected 0, got %d", handle,
			  (unsigned long long)point, ret);
		return ret;
	}
	file = snpu_syncobj_export(fd, handle, point);
	if (file < 0) {
		snpu_diag("sync_file of syncobj %u point %llu: got %d", handle,
			  (unsigned long long)point, file);
		return file;
	}
	ret = snpu_sync_file_status(file, status);
	close(file);
	return ret;
}

int snpu_signal(struct snpu_queue *q, uint32_t syncobj, uint64_t point, uint64_t position)
{
	struct drm_snpu_queue_signal a = {
		.queue_id = q->id, .syncobj = syncobj, .point = point, .position = position,
	};

	return snpu_ioctl(q->c->fd, DRM_IOCTL_SNPU_QUEUE_SIGNAL, &a);
}

int snpu_wait_for(struct snpu_queue *q, uint32_t syncobj, uint64_t point, uint64_t *va,
		  uint64_t *value)
{
	struct drm_snpu_queue_wait a = { .queue_id = q->id, .syncobj = syncobj, .point = point };
	int ret = snpu_ioctl(q->c->fd, DRM_IOCTL_SNPU_QUEUE_WAIT, &a);

	*va = a.sem_va;
	*value = a.sem_value;
	return ret;
}

/* ---- processes ------------------------------------------------------------------------------ */

/** snpu_proc_start() - run @fn in a child; what it returns, 0 to 255, is its exit code */
int snpu_proc_start(struct snpu_proc *p, int (*fn)(struct snpu_proc *p, void *arg), void *arg)
{
	int up[2], down[2];

	if (pipe2(up, O_CLOEXEC) || pipe2(down, O_CLOEXEC))
		return -errno;
	fflush(NULL);
	p->pid = fork();
	if (p->pid < 0)
		return -errno;
	if (!p->pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		p->pid = getppid();
		p->in = down[0];
		p->out = up[1];
		close(down[1]);
		close(up[0]);
		_exit(fn(p, arg));
	}
	p->in = up[0];
	p->out = down[1];
	close(up[1]);
	close(down[0]);
	return 0;
}

/** snpu_say() - send a word to the other side */
int snpu_say(struct snpu_proc *p, uint64_t word)
{
	if (write(p->out, &word, sizeof(word)) != sizeof(word))
		return -errno;
	return 0;
}

/** snpu_hear() - wait for a word; -EPIPE when the other side has ended */
int snpu_hear(struct snpu_proc *p, uint64_t *word)
{
	ssize_t n;
	int ret;

	ret = snpu_wait_readable(p->in, SNPU_WAIT_MS);
	if (ret) {
		snpu_diag("process %d said nothing for %u ms", p->pid, SNPU_WAIT_MS);
		return ret;
	}
	n = read(p->in, word, sizeof(*word));
	if (n == sizeof(*word))
		return 0;
	snpu_diag("process %d ended before it said what was expected", p->pid);
	return -EPIPE;
}

static int proc_reap(struct snpu_proc *p, int *status)
{
	pid_t pid = p->pid;

	close(p->in);
	close(p->out);
	p->pid = 0;
	if (waitpid(pid, status, 0) != pid)
		return -errno;
	return 0;
}

/** snpu_proc_end() - wait for a child: its exit code, or -ECHILD when a signal ended it */
int snpu_proc_end(struct snpu_proc *p)
{
	pid_t pid = p->pid;
	int status, ret;

	ret = proc_reap(p, &status);
	if (ret)
		return ret;
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	snpu_diag("process %d was ended by signal %d", pid, WTERMSIG(status));
	return -ECHILD;
}

/** snpu_proc_kill() - kill -9 a child and wait until all it had is released */
int snpu_proc_kill(struct snpu_proc *p)
{
	int status;

	kill(p->pid, SIGKILL);
	return proc_reap(p, &status);
}

/** snpu_cap_drop() - give up a capability of this thread */
int snpu_cap_drop(unsigned int cap)
{
	struct __user_cap_header_struct h = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct d[2] = { { 0 } };

	if (syscall(SYS_capget, &h, d))
		return -errno;
	d[cap / 32].effective &= ~(1u << (cap % 32));
	if (syscall(SYS_capset, &h, d))
		return -errno;
	return 0;
}
