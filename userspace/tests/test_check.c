// SPDX-License-Identifier: MIT
/*
 * SNPU_CHECK: each error of a program that it finds, and that it says which object it was. Findings
 * are in snpu_last_error(), and on standard error, which the tests read back.
 */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tap.h"

static struct snpu *s;
static struct t_dev d;

static void open_checked(void)
{
	struct snpu_open_params p = { .field_mask = SNPU_OPEN_CHECK, .check = 2 };

	CHECK_EQ(snpu_open(&p, &s), -EINVAL);
	CHECK_TEXT(snpu_last_error(), "snpu_open: check 2");
	/* the helpers open by the environment */
	setenv("SNPU_CHECK", "1", 1);
	s = t_snpu();
	NEED(!t_dev_open(&d, 0, 65536, SNPU_MEM_HBM));
}

/* ---- what goes to standard error ---- */

static char said[4096];

/* Runs @fn with standard error in @said */
static void listen_to(void (*fn)(void))
{
	int old = dup(STDERR_FILENO), fd[2];
	ssize_t n;

	said[0] = '\0';
	NEED(old >= 0 && !pipe(fd));
	fflush(stderr);
	dup2(fd[1], STDERR_FILENO);
	close(fd[1]);
	fn();
	fflush(stderr);
	dup2(old, STDERR_FILENO);
	close(old);
	n = read(fd[0], said, sizeof(said) - 1);
	said[n > 0 ? n : 0] = '\0';
	close(fd[0]);
}

/* ---- use after free ---- */

static void fault_in_freed(void)
{
	struct snpu_queue *q;
	struct snpu_mem *m;
	uint64_t va, pos;

	NEED(!snpu_queue_create(d.ctx, NULL, &q));
	NEED(!snpu_mem_alloc(d.ctx, 3 * 4096, SNPU_MEM_HBM, &m));
	va = snpu_mem_va(m);
	CHECK_EQ(snpu_mem_free(m), 0);
	snpu_prep_copy(t_pkt(q), d.va, va + 4096, 64);
	NEED(!snpu_queue_submit(q, &pos));
	CHECK_EQ(snpu_queue_wait(q, pos, T_LONG), -EIO);
	CHECK_TEXT(snpu_last_error(), "snpu_queue_wait: ");
	CHECK_TEXT(snpu_last_error(), "packet 0 (COPY): UNMAPPED");
	CHECK_TEXT(snpu_last_error(), "use after free, 4096 bytes into 12288 bytes of HBM at");
	CHECK_TEXT(snpu_last_error(), "allocated at snpu-test-check+0x");
	CHECK_TEXT(snpu_last_error(), "freed at snpu-test-check+0x");
	/* once in the log, in each answer */
	CHECK_EQ(snpu_queue_submit(q, &pos), -EIO);
	CHECK_TEXT(snpu_last_error(), "use after free");
	CHECK_EQ(snpu_queue_destroy(q), 0);
}

static void packet(void)
{
	const char *first;

	NEED(d.ctx);
	listen_to(fault_in_freed);
	CHECK_TEXT(said, "libsnpu: SNPU_CHECK: snpu_queue_wait: ");
	first = strstr(said, "use after free");
	CHECK(first && !strstr(first + 1, "use after free"));
}

/* Addresses of freed memory are not given out again at once */
static void not_again(void)
{
	struct snpu_mem *m;
	uint64_t va[64];
	unsigned int i, k;

	NEED(d.ctx);
	for (i = 0; i < 64; i++) {
		NEED(!snpu_mem_alloc(d.ctx, 65536, i & 1 ? SNPU_MEM_HBM : SNPU_MEM_HOST, &m));
		va[i] = snpu_mem_va(m);
		for (k = 0; k < i; k++)
			CHECK(va[k] != va[i]);
		CHECK_EQ(snpu_mem_free(m), 0);
	}
}

/* More than is kept: what falls out may be used again, and nothing is lost */
static void many(void)
{
	struct snpu_counters a, b;
	struct snpu_mem *m;
	unsigned int i;

	NEED(d.ctx);
	CHECK_EQ(snpu_get_counters(s, 0, &a, sizeof(a)), 0);
	for (i = 0; i < 5000; i++) {
		NEED(!snpu_mem_alloc(d.ctx, 4096, SNPU_MEM_HBM, &m));
		NEED(!snpu_mem_free(m));
	}
	CHECK_EQ(snpu_get_counters(s, 0, &b, sizeof(b)), 0);
	/* page tables may stay; memory does not */
	CHECK(b.hbm_used < a.hbm_used + (8u << 20));
}

static volatile uint8_t *stale;

/* A child touches @stale: its signal, with what it wrote in @said */
static void touch(void)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		signal(SIGALRM, SIG_DFL);
		*stale = 1;
		_exit(0);
	}
	NEED(pid > 0 && waitpid(pid, &status, 0) == pid);
	CHECK(WIFSIGNALED(status));
	CHECK_EQ(WTERMSIG(status), SIGSEGV);
}

static void by_cpu(unsigned int flags, const char *what)
{
	struct snpu_mem *m;
	void *p;

	NEED(!snpu_mem_alloc(d.ctx, 2 * 4096, flags, &m));
	NEED(!snpu_mem_map(m, &p));
	stale = (uint8_t *)p + 5000;
	*stale = 7;
	CHECK_EQ(snpu_mem_free(m), 0);
	listen_to(touch);
	CHECK_TEXT(said, "use after free by the CPU");
	CHECK_TEXT(said, "5000 bytes into 8192 bytes of");
	CHECK_TEXT(said, what);
	CHECK_TEXT(said, "freed at snpu-test-check+0x");
}

static void cpu(void)
{
	NEED(d.ctx);
	by_cpu(SNPU_MEM_HBM, "of HBM at");
	by_cpu(SNPU_MEM_HOST, "of host memory at");
}

/* A program's own handler has its turn, and an access elsewhere is not explained */
static sigjmp_buf back;
static struct sigaction ours;

static void jump(int sig)
{
	(void)sig;
	siglongjmp(back, 1);
}

static void nowhere(void)
{
	struct sigaction sa = { .sa_handler = jump };

	sigaction(SIGSEGV, &sa, &ours);
	if (!sigsetjmp(back, 1)) {
		*stale = 1;
		t_fail(__FILE__, __LINE__, "the access did not fault");
	}
	sigaction(SIGSEGV, &ours, NULL);
}

static void own_handler(void)
{
	NEED(d.ctx && stale);
	listen_to(nowhere);
	CHECK_EQ(said[0], 0);
}

/* ---- objects ---- */

#define IS_DEAD(call, name) do { \
	CHECK_EQ(call, -EINVAL); \
	CHECK_TEXT(snpu_last_error(), name ": use after free of "); \
	CHECK_TEXT(snpu_last_error(), "freed at snpu-test-check+0x"); \
} while (0)

#define IS_TWICE(call, name) do { \
	CHECK_EQ(call, -EINVAL); \
	CHECK_TEXT(snpu_last_error(), name ": double free of "); \
	CHECK_TEXT(snpu_last_error(), "freed at snpu-test-check+0x"); \
} while (0)

static void dead_objects(void)
{
	struct snpu_timeline *tl;
	struct snpu_cmdbuf *cb;
	struct snpu_fence *f;
	struct snpu_event *ev;
	struct snpu_queue *q;
	struct snpu_ctx *ctx;
	struct snpu_mem *m;
	uint64_t pos, v = 5;
	void *p = NULL;

	NEED(!snpu_ctx_create(s, 0, &ctx) && !snpu_queue_create(ctx, NULL, &q));
	NEED(!snpu_mem_alloc(ctx, 4096, SNPU_MEM_HBM, &m) && !snpu_cmdbuf_create(ctx, 4, &cb));
	NEED(!snpu_event_create(ctx, &ev) && !snpu_timeline_create(s, &tl));
	snpu_prep_nop(t_pkt(q));
	NEED(!snpu_queue_submit(q, &pos) && !snpu_fence_create(q, pos, &f));
	CHECK_EQ(snpu_fence_wait(f, T_LONG), 0);

	CHECK_EQ(snpu_mem_free(m), 0);
	IS_TWICE(snpu_mem_free(m), "snpu_mem_free");
	CHECK_TEXT(snpu_last_error(), "4096 bytes of HBM at 0x");
	IS_DEAD(snpu_mem_map(m, &p), "snpu_mem_map");
	CHECK(!p);
	CHECK_EQ(snpu_mem_va(m), 0);
	CHECK_TEXT(snpu_last_error(), "snpu_mem_va: use after free");
	CHECK_EQ(snpu_cmdbuf_destroy(cb), 0);
	IS_TWICE(snpu_cmdbuf_destroy(cb), "snpu_cmdbuf_destroy");
	CHECK(!snpu_cmdbuf_get(cb));
	IS_DEAD(snpu_queue_put_cmdbuf(q, cb), "snpu_queue_put_cmdbuf");
	CHECK_EQ(snpu_event_destroy(ev), 0);
	IS_TWICE(snpu_event_destroy(ev), "snpu_event_destroy");
	IS_DEAD(snpu_event_set(ev, 1), "snpu_event_set");
	IS_DEAD(snpu_event_va(ev, ctx, &v), "snpu_event_va");
	CHECK_EQ(v, 5);
	CHECK_EQ(snpu_fence_destroy(f), 0);
	IS_TWICE(snpu_fence_destroy(f), "snpu_fence_destroy");
	CHECK_TEXT(snpu_last_error(), "fence of position 1 of queue 0, NPU 0");
	IS_DEAD(snpu_fence_wait(f, 1), "snpu_fence_wait");
	CHECK_EQ(snpu_timeline_destroy(tl), 0);
	IS_TWICE(snpu_timeline_destroy(tl), "snpu_timeline_destroy");
	IS_DEAD(snpu_timeline_signal(tl, 1), "snpu_timeline_signal");
	CHECK_EQ(snpu_queue_destroy(q), 0);
	IS_TWICE(snpu_queue_destroy(q), "snpu_queue_destroy");
	IS_DEAD(snpu_queue_submit(q, &v), "snpu_queue_submit");
	CHECK(!snpu_queue_get(q));
	CHECK_TEXT(snpu_last_error(), "snpu_queue_get: use after free of queue 0 of NPU 0");
	CHECK_EQ(v, 5);
	CHECK_EQ(snpu_ctx_destroy(ctx), 0);
	IS_TWICE(snpu_ctx_destroy(ctx), "snpu_ctx_destroy");
	IS_DEAD(snpu_mem_alloc(ctx, 1, SNPU_MEM_HBM, &m), "snpu_mem_alloc");
}

static void objects(void)
{
	NEED(d.ctx);
	listen_to(dead_objects);
	CHECK_TEXT(said, "SNPU_CHECK: snpu_mem_free: double free of 4096 bytes of HBM");
}

/* ---- two threads ---- */

static struct snpu_queue *shared_q;
static int got;

static void *other_thread(void *arg)
{
	uint64_t *pos = arg;

	got = !!snpu_queue_get(shared_q);
	CHECK_TEXT(snpu_last_error(), "two threads fill it");
	CHECK_TEXT(snpu_last_error(), "has 1 packets taken and not submitted");
	CHECK_EQ(snpu_queue_submit(shared_q, pos), -EBUSY);
	CHECK_TEXT(snpu_last_error(), "snpu_queue_submit: queue 0, NPU 0: two threads fill it");
	return NULL;
}

static void two_fill(void)
{
	uint64_t pos = 77, pos2 = 77;
	pthread_t t;

	snpu_prep_nop(t_pkt(shared_q));
	NEED(!pthread_create(&t, NULL, other_thread, &pos2));
	pthread_join(t, NULL);
	CHECK_EQ(got, 0);
	CHECK_EQ(pos2, 77);
	/* the first one goes on as if nothing was */
	CHECK_EQ(snpu_queue_submit(shared_q, &pos), 0);
	CHECK_EQ(snpu_queue_wait(shared_q, pos, T_LONG), 0);
}

static void *next_thread(void *arg)
{
	(void)arg;
	snpu_prep_nop(t_pkt(shared_q));
	CHECK_EQ(t_run(shared_q), 0);
	return NULL;
}

static void threads(void)
{
	struct snpu_ctx *ctx;
	pthread_t t;

	NEED(d.ctx && !snpu_ctx_create(s, 0, &ctx) && !snpu_queue_create(ctx, NULL, &shared_q));
	listen_to(two_fill);
	CHECK_TEXT(said, "SNPU_CHECK: snpu_queue_get: queue 0, NPU 0: two threads fill it");
	/* between two submits a queue may change hands */
	NEED(!pthread_create(&t, NULL, next_thread, NULL));
	pthread_join(t, NULL);
	next_thread(NULL);
	CHECK_EQ(snpu_queue_destroy(shared_q), 0);
	CHECK_EQ(snpu_ctx_destroy(ctx), 0);
}

/* ---- lost signals ---- */

static struct snpu_event *ev, *ev2;
static struct snpu_queue *q1;
static uint64_t wait_pos;

static void wait_long(void)
{
	CHECK_EQ(snpu_queue_wait(d.q, wait_pos, 3 * T_SEC), -ETIME);
}

static void lost_signal(void)
{
	uint64_t va, va2, pos;
	char text[160];

	NEED(d.ctx && !snpu_event_create(d.ctx, &ev) && !snpu_event_create(d.ctx, &ev2));
	NEED(!snpu_event_va(ev, d.ctx, &va) && !snpu_event_va(ev2, d.ctx, &va2));
	NEED(!snpu_queue_create(d.ctx, NULL, &q1));
	NEED(!snpu_event_set(ev, 3));
	snpu_prep_wait(t_pkt(d.q), va, 5, SNPU_SEM_GE, 0);
	NEED(!snpu_queue_submit(d.q, &wait_pos));
	listen_to(wait_long);
	snprintf(text, sizeof(text),
		 "(SEM_WAIT) is BLOCKED at 0x%llx: waits for at least 5, there is 3 (event:",
		 (unsigned long long)va);
	CHECK_TEXT(snpu_last_error(), "snpu_queue_wait: position ");
	CHECK_TEXT(snpu_last_error(), text);
	CHECK_TEXT(said, "SNPU_CHECK: snpu_queue_wait: a lost signal? queue ");
	CHECK_TEXT(said, text);
	CHECK_TEXT(said, "no packet submitted by this process signals it");

	/* a packet that would, but waits itself */
	snpu_prep_wait(t_pkt(q1), va2, 1, SNPU_SEM_GE, 0);
	snpu_prep_signal(t_pkt(q1), va, 5, SNPU_SEM_SET);
	NEED(!snpu_queue_submit(q1, &pos));
	listen_to(wait_long);
	CHECK_TEXT(said, "; packet 1 of queue ");
	CHECK_TEXT(said, "would signal it");

	CHECK_EQ(snpu_event_set(ev2, 1), 0);
	CHECK_EQ(snpu_queue_wait(d.q, wait_pos, T_LONG), 0);
	CHECK_EQ(snpu_queue_wait(q1, pos, T_LONG), 0);
}

static void wait_event(void)
{
	CHECK_EQ(snpu_event_wait(ev, 9, 5 * T_SEC / 2), -ETIME);
}

static void lost_to_cpu(void)
{
	NEED(ev);
	listen_to(wait_event);
	CHECK_TEXT(snpu_last_error(), "snpu_event_wait: not reached in 2.500 s: ");
	CHECK_TEXT(snpu_last_error(), "waits for at least 9, there is 5 (event at 0x");
	CHECK_TEXT(said, "SNPU_CHECK: snpu_event_wait: a lost signal?");
}

static void teardown(void)
{
	NEED(d.ctx);
	CHECK_EQ(snpu_event_destroy(ev), 0);
	CHECK_EQ(snpu_event_destroy(ev2), 0);
	CHECK_EQ(snpu_queue_destroy(q1), 0);
	t_dev_close(&d);
}

static const struct t_case cases[] = {
	{ "open parameters", open_checked, T_BOTH },
	{ "a packet that uses freed memory", packet, T_BOTH },
	{ "freed addresses are not used again", not_again, T_BOTH },
	{ "more freed memory than is kept", many, T_BOTH },
	{ "the CPU uses freed memory", cpu, T_BOTH },
	{ "a SIGSEGV handler of the program", own_handler, T_BOTH },
	{ "objects used after free, and freed twice", objects, T_BOTH },
	{ "two threads fill one queue", threads, T_BOTH },
	{ "a lost signal", lost_signal, T_BOTH },
	{ "a lost signal to the CPU", lost_to_cpu, T_BOTH },
	{ "all is given back", teardown, T_BOTH },
};

int main(void)
{
	/* sanitizers have a handler of their own, and another end */
	signal(SIGSEGV, SIG_DFL);
	return t_main(cases, sizeof(cases) / sizeof(cases[0]));
}
