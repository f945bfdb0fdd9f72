// SPDX-License-Identifier: GPL-2.0-only
/*
 * Processes that fork, exec, die in the middle of a copy, share an NPU, use up its memory.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <kselftest_harness.h>

#include "snpu_util.h"

FIXTURE(life) {
	struct snpu_client c;
	struct snpu_queue q;
	struct snpu_buf host;
	struct snpu_buf hbm;
};

FIXTURE_SETUP(life)
{
	ASSERT_EQ(0, snpu_client_open(&self->c, 0));
	ASSERT_EQ(0, snpu_queue_make(&self->c, &self->q, 6, SNPU_PRIO_NORMAL, false));
	ASSERT_EQ(0, snpu_buf_make(&self->c, &self->host, SNPU_2M, DRM_SNPU_BO_HOST));
	ASSERT_EQ(0, snpu_buf_make(&self->c, &self->hbm, SNPU_2M, DRM_SNPU_BO_HBM));
}

FIXTURE_TEARDOWN(life)
{
	snpu_queue_free(&self->q);
	snpu_buf_free(&self->host);
	snpu_buf_free(&self->hbm);
	snpu_client_close(&self->c);
}

static int hbm_free(uint64_t *bytes)
{
	struct drm_snpu_memory_info m;
	int fd = snpu_open(0), ret;

	if (fd < 0)
		return fd;
	ret = snpu_query(fd, DRM_SNPU_QUERY_MEMORY, &m, sizeof(m));
	*bytes = m.hbm_free;
	close(fd);
	return ret;
}

/* ---- fork ------------------------------------------------------------------------------------ */

/* The child sees the parent's buffers, uses the file, and brings a queue of its own on it */
static int child_of_fork(struct snpu_proc *p, void *arg)
{
	FIXTURE_DATA(life) *self = arg;
	struct drm_snpu_memory_info m;
	struct snpu_queue q;
	uint64_t word;
	int ret;

	ret = snpu_hear(p, &word);
	if (ret)
		return 1;
	if (*(uint64_t *)self->host.map != 0x1111 || *(uint64_t *)self->hbm.map != 0x2222) {
		snpu_diag("child: expected 0x1111 and 0x2222, found %#llx and %#llx",
			  (unsigned long long)*(uint64_t *)self->host.map,
			  (unsigned long long)*(uint64_t *)self->hbm.map);
		return 2;
	}
	*(uint64_t *)self->host.map = 0x3333;
	*(uint64_t *)self->hbm.map = 0x4444;
	if (snpu_query(self->c.fd, DRM_SNPU_QUERY_MEMORY, &m, sizeof(m)) || !m.client_hbm)
		return 3;
	/* addresses that the parent does not hand out */
	self->c.next_va = 1ull << 44;
	if (snpu_queue_make(&self->c, &q, 4, SNPU_PRIO_NORMAL, false))
		return 4;
	if (snpu_say(p, 1) || snpu_hear(p, &word))
		return 5;
	/* the parent has closed its file; this one is still open */
	if (snpu_copy(&q, self->host.va + SNPU_4K, self->hbm.va, SNPU_4K))
		return 6;
	if (snpu_cmp("copied by the child", self->hbm.map, self->host.map + SNPU_4K, SNPU_4K))
		return 7;
	return 0;
}

TEST_F_TIMEOUT(life, fork, SNPU_TEST_S)
{
	volatile uint64_t *host = self->host.map, *hbm = self->hbm.map;
	struct snpu_proc p;
	uint64_t word;

	ASSERT_EQ(0, snpu_proc_start(&p, child_of_fork, self));
	*host = 0x1111;
	*hbm = 0x2222;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	ASSERT_EQ(0, snpu_say(&p, 1));
	ASSERT_EQ(0, snpu_hear(&p, &word));
	EXPECT_EQ(0x3333, *host);
	EXPECT_EQ(0x4444, *hbm);
	EXPECT_EQ(0, snpu_copy(&self->q, self->host.va, self->hbm.va, SNPU_4K));
	snpu_queue_free(&self->q);
	munmap(self->host.map, self->host.size);
	munmap(self->hbm.map, self->hbm.size);
	self->host.c = NULL;
	self->hbm.c = NULL;
	snpu_client_close(&self->c);
	ASSERT_EQ(0, snpu_say(&p, 2));
	EXPECT_EQ(0, snpu_proc_end(&p));
}

/* The doorbell is not inherited with the memory, or if it is, it does no harm */
static int child_rings(struct snpu_proc *p, void *arg)
{
	struct snpu_queue *q = arg;
	uint64_t word;
	int sig;

	if (snpu_hear(p, &word))
		return 1;
	sig = snpu_touch(q->db, true);
	if (sig && sig != SIGSEGV && sig != SIGBUS) {
		snpu_diag("child: store to the parent's doorbell raised %d", sig);
		return 2;
	}
	if (snpu_say(p, (uint64_t)sig))
		return 3;
	return 0;
}

TEST_F_TIMEOUT(life, fork_then_destroy, SNPU_TEST_S)
{
	union snpu_pkt nop = snpu_pkt_nop();
	struct snpu_queue q, next;
	struct snpu_proc p;
	uint64_t word;

	ASSERT_EQ(0, snpu_queue_make(&self->c, &q, 4, SNPU_PRIO_NORMAL, false));
	ASSERT_EQ(0, snpu_run(&q, &nop));
	ASSERT_EQ(0, snpu_proc_start(&p, child_rings, &q));
	snpu_queue_free(&q);
	ASSERT_EQ(0, snpu_queue_make(&self->c, &next, 4, SNPU_PRIO_NORMAL, false));
	ASSERT_EQ(0, snpu_run(&next, &nop));
	ASSERT_EQ(0, snpu_say(&p, 1));
	ASSERT_EQ(0, snpu_hear(&p, &word));
	EXPECT_EQ(0, snpu_proc_end(&p));
	EXPECT_EQ(1, *next.db);
	EXPECT_EQ(0, snpu_run(&next, &nop));
	EXPECT_EQ(SNPU_QSTATE_RUN, next.cpl->state);
	snpu_queue_free(&next);
}

/* ---- exec ------------------------------------------------------------------------------------ */

/* Runs as a program of its own: what files of the driver has it? */
static int after_exec(const char *arg)
{
	int want = atoi(arg), found = 0;
	char path[64], to[256];

	for (int fd = 0; fd < 256; fd++) {
		ssize_t n;

		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		n = readlink(path, to, sizeof(to) - 1);
		if (n < 0)
			continue;
		to[n] = '\0';
		if (!strstr(to, "/accel/") && !strstr(to, "dmabuf"))
			continue;
		found++;
		if (fd != want) {
			snpu_diag("after exec: fd %d is %s", fd, to);
			return 10;
		}
	}
	if (want < 0)
		return found ? 11 : 0;
	/* inherited on purpose: it works, and has what its file had */
	struct drm_snpu_memory_info m;
	struct snpu_client c;
	struct snpu_queue q;

	if (snpu_query(want, DRM_SNPU_QUERY_MEMORY, &m, sizeof(m)))
		return 12;
	if (m.client_hbm != SNPU_2M) {
		snpu_diag("after exec: expected %llu bytes of HBM, found %llu", SNPU_2M,
			  (unsigned long long)m.client_hbm);
		return 13;
	}
	if (snpu_client_init(&c, want, 0))
		return 14;
	c.next_va = 1ull << 42;
	if (snpu_queue_make(&c, &q, 4, SNPU_PRIO_NORMAL, false))
		return 15;
	union snpu_pkt nop = snpu_pkt_nop();

	return snpu_run(&q, &nop) ? 16 : 0;
}

static int exec_self(struct snpu_proc *p __attribute__((unused)), void *arg)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", *(int *)arg);
	execl("/proc/self/exe", "snpu_lifecycle", "--after-exec", text, NULL);
	snpu_diag("exec: %s", strerror(errno));
	return 20;
}

TEST_F_TIMEOUT(life, exec, SNPU_TEST_S)
{
	struct snpu_proc p;
	int want = -1, fd;

	fd = snpu_prime_export(self->c.fd, self->hbm.handle);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, snpu_proc_start(&p, exec_self, &want));
	EXPECT_EQ(0, snpu_proc_end(&p));
	close(fd);
	want = self->c.fd;
	ASSERT_EQ(0, fcntl(want, F_SETFD, 0));
	ASSERT_EQ(0, snpu_proc_start(&p, exec_self, &want));
	EXPECT_EQ(0, snpu_proc_end(&p));
	EXPECT_EQ(0, snpu_copy(&self->q, self->host.va, self->hbm.va, SNPU_2M));
}

/* ---- kill -9 --------------------------------------------------------------------------------- */

/* Copies 32 MiB at a time, with fences and waits pending, until it is killed */
static int copy_for_ever(struct snpu_proc *p, void *arg)
{
	struct snpu_client c;
	struct snpu_queue q[3];
	struct snpu_buf a, b;
	uint64_t va, value, round = 0;
	uint32_t obj;

	if (snpu_client_open(&c, 0) || snpu_buf_make(&c, &a, 32 * SNPU_2M, DRM_SNPU_BO_HBM) ||
	    snpu_buf_make(&c, &b, 8 * SNPU_2M, DRM_SNPU_BO_HOST) ||
	    snpu_syncobj_create(c.fd, 0, &obj))
		return 1;
	for (int i = 0; i < 3; i++) {
		if (snpu_queue_make(&c, &q[i], 6, SNPU_PRIO_NORMAL, true))
			return 2;
	}
	for (;;) {
		for (int i = 0; i < 3; i++) {
			union snpu_pkt pkt;

			if (q[i].wr > q[i].cpl->completed + 32)
				continue;
			pkt = i == 0 ? snpu_pkt_copy(a.va + 16 * SNPU_2M, a.va, 16 * SNPU_2M) :
			      i == 1 ? snpu_pkt_copy(b.va, a.va, 8 * SNPU_2M) :
				       snpu_pkt_sem_wait(b.va + 8 * SNPU_2M - 64, 1, 0);
			snpu_put(&q[i], &pkt);
			if (snpu_ring(&q[i]))
				return 3;
			if (snpu_signal(&q[i], obj, 0, 0) ||
			    snpu_wait_for(&q[!i], obj, 0, &va, &value) == -EINVAL)
				return 4;
		}
		if (q[0].cpl->completed && q[1].cpl->completed && !round++)
			snpu_say(p, *(int *)arg);
	}
}

TEST_F_TIMEOUT(life, kill_mid_dma, SNPU_TEST_S)
{
	uint64_t first = 0, free, word;

	for (int i = 0; i < 8; i++) {
		struct snpu_proc p;

		ASSERT_EQ(0, snpu_proc_start(&p, copy_for_ever, &i));
		ASSERT_EQ(0, snpu_hear(&p, &word));
		ASSERT_EQ(0, snpu_proc_kill(&p));
		/* a new process finds the NPU as it should be, at once */
		ASSERT_EQ(0, snpu_works(0));
		ASSERT_EQ(0, hbm_free(&free));
		if (!i)
			first = free;
		EXPECT_EQ(first, free) {
			TH_LOG("HBM lost by kill number %d", i + 1);
		}
	}
	/* who was there all the time noticed nothing */
	EXPECT_EQ(0, snpu_copy(&self->q, self->host.va, self->hbm.va, SNPU_2M));
}

/* Killed while it makes and unmakes things: any point of any ioctl */
static int churn(struct snpu_proc *p, void *arg)
{
	uint64_t seed = *(int *)arg;

	snpu_say(p, 1);
	for (;;) {
		struct snpu_client c;
		struct snpu_queue q;
		struct snpu_buf b[4];
		union snpu_pkt nop = snpu_pkt_nop();

		if (snpu_client_open(&c, snpu_random(&seed) % 2))
			return 1;
		for (int i = 0; i < 4; i++) {
			if (snpu_buf_make(&c, &b[i], 1 + snpu_random(&seed) % (8 << 20),
					  i % 2 ? DRM_SNPU_BO_HBM : DRM_SNPU_BO_HOST))
				return 2;
		}
		if (snpu_queue_make(&c, &q, 4, SNPU_PRIO_NORMAL, true) || snpu_run(&q, &nop))
			return 3;
		snpu_queue_free(&q);
		for (int i = 0; i < 4; i++)
			snpu_buf_free(&b[i]);
		snpu_client_close(&c);
	}
}

TEST_F_TIMEOUT(life, kill_anywhere, SNPU_TEST_S)
{
	uint64_t word, seed = 4711, end;

	SNPU_NEED_NPUS(2);
	for (int i = 0; i < 20; i++) {
		struct snpu_proc p;

		ASSERT_EQ(0, snpu_proc_start(&p, churn, &i));
		ASSERT_EQ(0, snpu_hear(&p, &word));
		/* the point in time is the test: up to 60 ms into the loop */
		end = snpu_now_ms() + snpu_random(&seed) % 60;
		while (snpu_now_ms() < end)
			sched_yield();
		ASSERT_EQ(0, snpu_proc_kill(&p));
	}
	EXPECT_EQ(0, snpu_works(0));
	EXPECT_EQ(0, snpu_works(1));
}

/* ---- closed file ----------------------------------------------------------------------------- */

/* A mapping keeps the file: what was set up goes on; and when it goes all is freed */
TEST_F_TIMEOUT(life, close_with_mappings, SNPU_TEST_S)
{
	uint64_t before, during, after;

	for (int i = 0; i < 3; i++) {
		union snpu_pkt nop = snpu_pkt_nop();
		struct snpu_client c;
		struct snpu_queue q;
		struct snpu_buf b;

		ASSERT_EQ(0, hbm_free(&before));
		ASSERT_EQ(0, snpu_client_open(&c, 0));
		ASSERT_EQ(0, snpu_queue_make(&c, &q, 4, SNPU_PRIO_NORMAL, false));
		ASSERT_EQ(0, snpu_buf_make(&c, &b, 8 * SNPU_2M, DRM_SNPU_BO_HBM));
		close(c.fd);
		snpu_put(&q, &nop);
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		*q.db = q.wr;
		memset(b.map, 1, b.size);
		ASSERT_EQ(0, hbm_free(&during));
		EXPECT_LE(during, before - 8 * SNPU_2M);
		munmap((void *)q.db, SNPU_4K);
		munmap((void *)q.cpl, SNPU_4K);
		munmap(q.ring.map, q.ring.size);
		munmap(b.map, b.size);
		ASSERT_EQ(0, hbm_free(&after));
		if (i)
			EXPECT_EQ(before, after);
	}
}

TEST_F_TIMEOUT(life, open_close, SNPU_TEST_S)
{
	static const uint64_t size[] = { SNPU_4K, SNPU_2M, 5 * SNPU_4K, 3 * SNPU_2M, 64 * SNPU_2M };
	uint64_t before = 0, after;

	for (int i = 0; i < 200; i++) {
		struct snpu_client c;

		ASSERT_EQ(0, snpu_client_open(&c, i % 2 ? 0 : snpu_count() - 1));
		/* left for the end of the file to free */
		ASSERT_EQ(0, snpu_bo_create(c.fd, size[i % 5], DRM_SNPU_BO_HBM, NULL, NULL));
		snpu_client_close(&c);
		if (i == 20)
			ASSERT_EQ(0, hbm_free(&before));
	}
	ASSERT_EQ(0, hbm_free(&after));
	EXPECT_EQ(before, after);
}

/* ---- two on one NPU -------------------------------------------------------------------------- */

static int worker(struct snpu_proc *p __attribute__((unused)), void *arg)
{
	const size_t n = 256 << 10;
	int me = *(int *)arg;
	struct snpu_buf host, hbm;
	struct snpu_client c;
	struct snpu_queue q;

	if (snpu_client_open(&c, 0) || snpu_queue_make(&c, &q, 6, SNPU_PRIO_NORMAL, false) ||
	    snpu_buf_make(&c, &host, 2 * n, DRM_SNPU_BO_HOST) ||
	    snpu_buf_make(&c, &hbm, 2 * n, DRM_SNPU_BO_HBM))
		return 1;
	for (int i = 0; i < 50; i++) {
		snpu_pattern(host.map, n, me * 1000 + i);
		if (snpu_copy(&q, hbm.va, host.va, n) || snpu_copy(&q, hbm.va + n, hbm.va, n) ||
		    snpu_copy(&q, host.va + n, hbm.va + n, n))
			return 2;
		if (snpu_cmp("worker's own data", host.map, host.map + n, n)) {
			snpu_diag("worker %d round %d", me, i);
			return 3;
		}
	}
	return 0;
}

TEST_F_TIMEOUT(life, four_processes, SNPU_TEST_S)
{
	struct snpu_proc p[4];

	for (int i = 0; i < 4; i++)
		ASSERT_EQ(0, snpu_proc_start(&p[i], worker, &i));
	for (int i = 0; i < 4; i++)
		EXPECT_EQ(0, snpu_proc_end(&p[i]));
}

struct thread {
	pthread_t id;
	struct snpu_client *c;
	int number;
	int ret;
};

static void *thread_fn(void *arg)
{
	struct thread *t = arg;
	/* one file for all: each takes addresses of its own */
	struct snpu_client c = *t->c;
	struct snpu_buf host, hbm;
	struct snpu_queue q;

	c.next_va = (uint64_t)(t->number + 1) << 41;
	for (int i = 0; i < 25 && !t->ret; i++) {
		t->ret = snpu_queue_make(&c, &q, 4, SNPU_PRIO_NORMAL, false);
		t->ret = t->ret ?: snpu_buf_make(&c, &host, 128 << 10, DRM_SNPU_BO_HOST);
		t->ret = t->ret ?: snpu_buf_make(&c, &hbm, 64 << 10, DRM_SNPU_BO_HBM);
		if (t->ret)
			break;
		snpu_pattern(host.map, 64 << 10, t->number * 100 + i);
		t->ret = snpu_copy(&q, hbm.va, host.va, 64 << 10);
		t->ret = t->ret ?: snpu_copy(&q, host.va + (64 << 10), hbm.va, 64 << 10);
		t->ret = t->ret ?: snpu_cmp("thread's own data", host.map, host.map + (64 << 10),
					    64 << 10);
		snpu_queue_free(&q);
		snpu_buf_free(&hbm);
		snpu_buf_free(&host);
	}
	return NULL;
}

TEST_F_TIMEOUT(life, threads, SNPU_TEST_S)
{
	struct thread t[6];

	for (int i = 0; i < 6; i++) {
		t[i] = (struct thread){ .c = &self->c, .number = i };
		ASSERT_EQ(0, pthread_create(&t[i].id, NULL, thread_fn, &t[i]));
	}
	for (int i = 0; i < 6; i++) {
		ASSERT_EQ(0, pthread_join(t[i].id, NULL));
		EXPECT_EQ(0, t[i].ret) {
			TH_LOG("thread %d", i);
		}
	}
}

/* Two threads destroy the same things at once: one of them wins each time */
static void *destroyer(void *arg)
{
	struct thread *t = arg;

	for (uint32_t id = 1; id < 64; id++)
		t->ret += !snpu_queue_destroy(t->c, id);
	return NULL;
}

TEST_F_TIMEOUT(life, destroy_race, SNPU_TEST_S)
{
	for (int round = 0; round < 5; round++) {
		struct snpu_client c;
		struct thread t[2];
		struct snpu_queue q;

		ASSERT_EQ(0, snpu_client_open(&c, 0));
		ASSERT_EQ(0, snpu_queue_make(&c, &q, 4, SNPU_PRIO_NORMAL, false));
		for (int i = 1; i < 32; i++) {
			struct drm_snpu_queue_create a = { .ring_va = q.ring.va, .ring_log2 = 4 };

			ASSERT_EQ(0, snpu_ioctl(c.fd, DRM_IOCTL_SNPU_QUEUE_CREATE, &a));
		}
		for (int i = 0; i < 2; i++) {
			t[i] = (struct thread){ .c = &c };
			ASSERT_EQ(0, pthread_create(&t[i].id, NULL, destroyer, &t[i]));
		}
		for (int i = 0; i < 2; i++)
			ASSERT_EQ(0, pthread_join(t[i].id, NULL));
		EXPECT_EQ(32, t[0].ret + t[1].ret);
		q.id = 0;
		snpu_queue_free(&q);
		snpu_client_close(&c);
	}
}

/* ---- no memory left -------------------------------------------------------------------------- */

TEST_F_TIMEOUT(life, hbm_exhausted, SNPU_TEST_S)
{
	enum { MAX = 4096 };
	static uint32_t handle[MAX];
	struct drm_snpu_memory_info m;
	uint64_t before, after;

	for (int round = 0; round < 2; round++) {
		unsigned int n = 0;
		int ret = 0;

		ASSERT_EQ(0, hbm_free(&before));
		/* big pieces first, smaller ones into what is left */
		for (uint64_t size = 8 * SNPU_1G; size >= SNPU_2M; size /= 4) {
			while (n < MAX && !(ret = snpu_bo_create(self->c.fd, size, DRM_SNPU_BO_HBM,
								 &handle[n], NULL)))
				n++;
			ASSERT_EQ(-ENOSPC, ret) {
				TH_LOG("size %#llx, after %u BOs", (unsigned long long)size, n);
			}
		}
		ASSERT_EQ(0, snpu_query(self->c.fd, DRM_SNPU_QUERY_MEMORY, &m, sizeof(m)));
		EXPECT_GT(2 * SNPU_2M, m.hbm_free) {
			TH_LOG("%u BOs, %llu of %llu bytes free", n,
			       (unsigned long long)m.hbm_free, (unsigned long long)m.hbm_total);
		}
		/* who has memory goes on; host memory is another matter */
		EXPECT_EQ(0, snpu_copy(&self->q, self->host.va, self->hbm.va, SNPU_2M));
		EXPECT_EQ(-ENOSPC, snpu_bo_create(self->c.fd, 4 * SNPU_2M, DRM_SNPU_BO_HBM,
						  &handle[MAX - 1], NULL));
		while (n--)
			ASSERT_EQ(0, snpu_bo_close(self->c.fd, handle[n]));
		ASSERT_EQ(0, hbm_free(&after));
		if (round)
			EXPECT_EQ(before, after);
		ASSERT_EQ(0, snpu_works(0));
	}
}

/* Pieces of all sizes, every second one freed: CONTIG says so, others make do */
TEST_F_TIMEOUT(life, fragmented, SNPU_TEST_S)
{
	enum { N = 256 };
	static uint32_t handle[N];
	uint32_t big;

	for (int i = 0; i < N; i++)
		ASSERT_EQ(0, snpu_bo_create(self->c.fd, (1 + i % 5) * SNPU_4K, DRM_SNPU_BO_HBM,
					    &handle[i], NULL));
	for (int i = 0; i < N; i += 2)
		ASSERT_EQ(0, snpu_bo_close(self->c.fd, handle[i]));
	ASSERT_EQ(0, snpu_bo_create(self->c.fd, 64 * SNPU_2M, DRM_SNPU_BO_HBM | DRM_SNPU_BO_CONTIG,
				    &big, NULL));
	EXPECT_EQ(0, snpu_bo_close(self->c.fd, big));
	for (int i = 1; i < N; i += 2)
		ASSERT_EQ(0, snpu_bo_close(self->c.fd, handle[i]));
}

/* No file descriptor left: an export or open fails cleanly */
TEST_F_TIMEOUT(life, no_fd_left, SNPU_TEST_S)
{
	struct rlimit lim = { .rlim_cur = 32, .rlim_max = 32 };
	int fd[40], n = 0;

	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &lim));
	while (n < 40 && (fd[n] = dup(self->c.fd)) >= 0)
		n++;
	ASSERT_GT(40, n);
	EXPECT_EQ(-EMFILE, snpu_prime_export(self->c.fd, self->hbm.handle));
	while (n--)
		close(fd[n]);
	fd[0] = snpu_prime_export(self->c.fd, self->hbm.handle);
	EXPECT_LE(0, fd[0]);
	close(fd[0]);
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "--after-exec"))
		return after_exec(argv[2]);
	return test_harness_run(argc, argv);
}
