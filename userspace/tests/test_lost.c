// SPDX-License-Identifier: MIT
/*
 * NPUs that are not there, and NPUs that go away: snpud is killed in the midst of everything.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tap.h"

static char dir[64];

static void not_there(void)
{
	struct snpu_open_params p = {
		.field_mask = SNPU_OPEN_TRANSPORT | SNPU_OPEN_SOCKET_DIR,
		.transport = "direct", .socket_dir = "/nonexistent/snpu",
	};
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	char tmp[] = "/tmp/snpu-test-XXXXXX", path[64];
	struct snpu_ctx *ctx;
	struct snpu *s = NULL;
	int fd;

	CHECK_EQ(snpu_open(&p, &s), -ENODEV);
	CHECK_TEXT(snpu_last_error(), "/nonexistent/snpu");
	NEED(mkdtemp(tmp));
	p.socket_dir = tmp;
	CHECK_EQ(snpu_open(&p, &s), -ENODEV);
	CHECK_TEXT(snpu_last_error(), tmp);
	/* a socket that nobody listens on any more */
	snprintf(path, sizeof(path), "%s/npu0.sock", tmp);
	strcpy(sa.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	NEED(fd >= 0 && !bind(fd, (struct sockaddr *)&sa, sizeof(sa)));
	NEED(!snpu_open(&p, &s));
	CHECK_EQ(snpu_count(s), 1);
	CHECK_EQ(snpu_ctx_create(s, 0, &ctx), -ENODEV);
	CHECK_TEXT(snpu_last_error(), path);
	CHECK_EQ(snpu_close(s), 0);
	close(fd);
	unlink(path);
	/* nor is a plain file an NPU */
	fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	close(fd);
	NEED(!snpu_open(&p, &s));
	CHECK_EQ(snpu_ctx_create(s, 0, &ctx), -ENODEV);
	CHECK_EQ(snpu_close(s), 0);
	unlink(path);
	rmdir(tmp);
}

/* ---- an snpud of our own ---- */

static pid_t start(void)
{
	const char *snpud = getenv("SNPU_TEST_SNPUD");
	char c, num[12];
	int fd[2];
	pid_t pid;

	if (!snpud || pipe(fd))
		return -1;
	pid = fork();
	if (!pid) {
		close(fd[0]);
		/* standard output is for TAP */
		if (dup2(2, 1) < 0)
			_exit(126);
		snprintf(num, sizeof(num), "%d", fd[1]);
		execl(snpud, snpud, "--socket-dir", dir, "--npus", "2", "--log", "/dev/null",
		      "--ready-fd", num, (char *)NULL);
		_exit(127);
	}
	close(fd[1]);
	if (pid > 0 && read(fd[0], &c, 1) != 1) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		pid = -1;
	}
	close(fd[0]);
	return pid;
}

static void stop(pid_t pid)
{
	int status;

	CHECK_EQ(kill(pid, SIGKILL), 0);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
}

static struct snpu *open_own(void)
{
	struct snpu_open_params p = { .field_mask = SNPU_OPEN_SOCKET_DIR, .socket_dir = dir };
	struct snpu *s = NULL;

	CHECK_EQ(snpu_open(&p, &s), 0);
	return s;
}

/* What is in use when snpud dies */
struct world {
	struct snpu *s;
	struct snpu_ctx *ctx[2];
	struct snpu_queue *q[2];
	struct snpu_mem *mem, *host, *shared;
	struct snpu_event *ev;
	struct snpu_fence *f;
	struct snpu_timeline *tl;
	struct snpu_cmdbuf *cb;
	uint64_t pos[2];
	pid_t snpud;
};

static int world_make(struct world *w)
{
	uint64_t va;
	int i, ret = 0;

	memset(w, 0, sizeof(*w));
	w->snpud = start();
	if (w->snpud < 0) {
		t_fail(__FILE__, __LINE__, "snpud (SNPU_TEST_SNPUD) does not start");
		return -1;
	}
	w->s = open_own();
	for (i = 0; i < 2 && !ret; i++) {
		ret = snpu_ctx_create(w->s, (unsigned int)i, &w->ctx[i]);
		ret = ret ? ret : snpu_queue_create(w->ctx[i], NULL, &w->q[i]);
	}
	ret = ret ? ret : snpu_mem_alloc(w->ctx[0], 1 << 20, SNPU_MEM_HBM, &w->mem);
	ret = ret ? ret : snpu_mem_alloc(w->ctx[0], 1 << 20, SNPU_MEM_HOST, &w->host);
	ret = ret ? ret : snpu_mem_share(w->ctx[1], w->mem, 0, &w->shared);
	ret = ret ? ret : snpu_event_create(w->ctx[0], &w->ev);
	ret = ret ? ret : snpu_cmdbuf_create(w->ctx[0], 16, &w->cb);
	ret = ret ? ret : snpu_timeline_create(w->s, &w->tl);
	for (i = 0; i < 2 && !ret; i++) {
		ret = snpu_event_va(w->ev, w->ctx[i], &va);
		if (!ret) {
			snpu_prep_nop(t_pkt(w->q[i]));
			snpu_prep_wait(t_pkt(w->q[i]), va, 1, SNPU_SEM_GE, 0);
			ret = snpu_queue_submit(w->q[i], &w->pos[i]);
		}
	}
	for (i = 0; i < 2; i++)
		ret = ret ? ret : snpu_queue_wait(w->q[i], 1, T_LONG);
	ret = ret ? ret : snpu_fence_create(w->q[0], w->pos[0], &w->f);
	ret = ret ? ret : snpu_timeline_attach(w->tl, 1, w->q[1], w->pos[1]);
	if (ret)
		t_fail(__FILE__, __LINE__, "%s", snpu_last_error());
	return ret;
}

/* Everything can be given back, in order, whatever it says */
static void world_drop(struct world *w)
{
	int i;

	snpu_fence_destroy(w->f);
	snpu_timeline_destroy(w->tl);
	snpu_cmdbuf_destroy(w->cb);
	snpu_event_destroy(w->ev);
	snpu_mem_free(w->shared);
	snpu_mem_free(w->host);
	snpu_mem_free(w->mem);
	for (i = 0; i < 2; i++) {
		snpu_queue_destroy(w->q[i]);
		CHECK_EQ(snpu_ctx_destroy(w->ctx[i]), 0);
	}
	CHECK_EQ(snpu_close(w->s), 0);
}

/* Every kind of call, when the NPUs are gone */
static void calls_fail(struct world *w)
{
	struct snpu_counters c;
	struct snpu_error err;
	struct snpu_queue *q = NULL;
	struct snpu_ctx *ctx = NULL;
	struct snpu_mem *m = NULL;
	char text[160];
	uint64_t pos;
	void *p;
	int i, fd = -1;

	for (i = 0; i < 2; i++) {
		CHECK_EQ(snpu_queue_wait(w->q[i], w->pos[i], T_LONG), -ENODEV);
		CHECK(*snpu_last_error());
		CHECK_EQ(snpu_queue_poll(w->q[i], w->pos[i]), -EIO);
		CHECK_EQ(snpu_queue_poll(w->q[i], 1), 1);
		CHECK_EQ(snpu_queue_error(w->q[i], &err, sizeof(err)), 0);
		CHECK(err.lost);
		CHECK(snpu_error_format(&err, text, sizeof(text)) > 0);
		CHECK_TEXT(text, "reset or removed");
		snpu_prep_nop(t_pkt(w->q[i]));
		CHECK_EQ(snpu_queue_submit(w->q[i], &pos), -ENODEV);
		CHECK_EQ(snpu_queue_suspend(w->q[i]), -ENODEV);
		CHECK_EQ(snpu_queue_resume(w->q[i]), -ENODEV);
		CHECK_EQ(snpu_get_counters(w->s, (unsigned int)i, &c, sizeof(c)), -ENODEV);
		CHECK_EQ(snpu_ctx_create(w->s, (unsigned int)i, &ctx), -ENODEV);
	}
	CHECK_EQ(snpu_queue_create(w->ctx[0], NULL, &q), -ENODEV);
	CHECK_EQ(snpu_mem_alloc(w->ctx[0], 4096, SNPU_MEM_HOST, &m), -ENODEV);
	CHECK_EQ(snpu_mem_alloc(w->ctx[0], 4096, SNPU_MEM_HBM, &m), -ENODEV);
	CHECK(!q && !ctx && !m);
	CHECK_EQ(snpu_fence_wait(w->f, T_LONG), -ENODEV);
	CHECK_EQ(snpu_fence_poll(w->f), -ENODEV);
	CHECK_EQ(snpu_timeline_wait(w->tl, 1, T_LONG), -ENODEV);
	CHECK_EQ(snpu_event_wait(w->ev, 1, T_LONG), -ENODEV);
	CHECK_EQ(snpu_event_set(w->ev, 1), -ENODEV);
	/* memory that is mapped stays: what the CPU reads there is no signal */
	CHECK_EQ(snpu_mem_map(w->mem, &p), 0);
	memset(p, 1, 4096);
	CHECK_EQ(snpu_mem_map(w->host, &p), 0);
	memset(p, 1, 4096);
	if (!snpu_mem_export(w->mem, &fd))
		close(fd);
}

static void idle_death(void)
{
	struct world w;

	NEED(!world_make(&w));
	stop(w.snpud);
	calls_fail(&w);
	world_drop(&w);
}

static void *waiter(void *arg)
{
	struct world *w = arg;

	CHECK_EQ(snpu_queue_wait(w->q[0], w->pos[0], SNPU_FOREVER), -ENODEV);
	return NULL;
}

static void *poller(void *arg)
{
	struct world *w = arg;
	int ret;

	while (!(ret = snpu_queue_poll(w->q[1], w->pos[1])))
		t_sleep_ms(1);
	CHECK_EQ(ret, -EIO);
	return NULL;
}

static void *fence_waiter(void *arg)
{
	struct world *w = arg;

	CHECK_EQ(snpu_fence_wait(w->f, SNPU_FOREVER), -ENODEV);
	return NULL;
}

static void *timeline_waiter(void *arg)
{
	struct world *w = arg;

	CHECK_EQ(snpu_timeline_wait(w->tl, 1, SNPU_FOREVER), -ENODEV);
	return NULL;
}

static void *event_waiter(void *arg)
{
	struct world *w = arg;

	CHECK_EQ(snpu_event_wait(w->ev, 1, SNPU_FOREVER), -ENODEV);
	return NULL;
}

/* Who sleeps, or polls, is told within seconds */
static void busy_death(void)
{
	void *(*fn[])(void *) = { waiter, poller, fence_waiter, timeline_waiter, event_waiter };
	enum { N = sizeof(fn) / sizeof(fn[0]) };
	pthread_t th[N];
	struct world w;
	uint64_t start_ns;
	unsigned int i;

	NEED(!world_make(&w));
	for (i = 0; i < N; i++)
		NEED(!pthread_create(&th[i], NULL, fn[i], &w));
	t_sleep_ms(100);
	stop(w.snpud);
	start_ns = t_now();
	for (i = 0; i < N; i++)
		pthread_join(th[i], NULL);
	CHECK(t_now() - start_ns < 10 * T_SEC);
	calls_fail(&w);
	world_drop(&w);
}

static void *submitter(void *arg)
{
	struct world *w = arg;
	struct snpu_queue *q;
	uint64_t pos;
	int ret = 0;

	if (snpu_queue_create(w->ctx[0], NULL, &q)) {
		t_fail(__FILE__, __LINE__, "%s", snpu_last_error());
		return NULL;
	}
	while (!ret) {
		union snpu_pkt *p = snpu_queue_get(q);

		if (p)
			snpu_prep_fill(p, snpu_mem_va(w->mem), 4096, 1, 1);
		ret = snpu_queue_submit(q, &pos);
		ret = ret ? ret : snpu_queue_wait(q, pos, T_LONG);
	}
	CHECK_EQ(ret, -ENODEV);
	snpu_queue_destroy(q);
	return NULL;
}

static void *allocator(void *arg)
{
	struct world *w = arg;
	struct snpu_mem *m;
	int ret = 0;

	while (!ret) {
		ret = snpu_mem_alloc(w->ctx[0], 8192, SNPU_MEM_HBM, &m);
		ret = ret ? ret : snpu_mem_free(m);
	}
	CHECK_EQ(ret, -ENODEV);
	return NULL;
}

/* Death in the middle of work; afterwards a new snpud serves the same sockets */
static void death_and_return(void)
{
	struct world w;
	struct snpu_ctx *ctx;
	struct snpu_mem *m;
	struct snpu *s;
	pthread_t th[2];
	pid_t pid;
	void *p;

	NEED(!world_make(&w));
	NEED(!pthread_create(&th[0], NULL, submitter, &w));
	NEED(!pthread_create(&th[1], NULL, allocator, &w));
	t_sleep_ms(200);
	stop(w.snpud);
	pthread_join(th[0], NULL);
	pthread_join(th[1], NULL);
	pid = start();
	NEED(pid > 0);
	/* the old set stays dead, a new one lives */
	CHECK_EQ(snpu_queue_wait(w.q[1], w.pos[1], T_LONG), -ENODEV);
	CHECK_EQ(snpu_ctx_create(w.s, 0, &ctx), -ENODEV);
	s = open_own();
	CHECK_EQ(snpu_ctx_create(s, 0, &ctx), 0);
	CHECK_EQ(snpu_mem_alloc(ctx, 4096, SNPU_MEM_HBM, &m), 0);
	CHECK_EQ(snpu_mem_map(m, &p), 0);
	CHECK_EQ(*(uint8_t *)p, 0);
	CHECK_EQ(snpu_mem_free(m), 0);
	CHECK_EQ(snpu_ctx_destroy(ctx), 0);
	CHECK_EQ(snpu_close(s), 0);
	world_drop(&w);
	stop(pid);
}

static void clean_up(void)
{
	char cmd[100];

	snprintf(cmd, sizeof(cmd), "rm -rf -- '%s'", dir);
	CHECK_EQ(system(cmd), 0);
}

static const struct t_case cases[] = {
	{ "no directory, no socket, nobody there", not_there, T_BOTH },
	{ "snpud dies: every call says so", idle_death, T_DIRECT },
	{ "snpud dies: who waits is told", busy_death, T_DIRECT },
	{ "snpud dies in the middle of work, and comes back", death_and_return, T_DIRECT },
	{ "nothing is left behind", clean_up, T_BOTH },
};

int main(void)
{
	strcpy(dir, "/tmp/snpu-lost-XXXXXX");
	if (!mkdtemp(dir)) {
		printf("Bail out! no directory\n");
		return 1;
	}
	return t_main(cases, sizeof(cases) / sizeof(cases[0]));
}
