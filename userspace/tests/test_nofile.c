// SPDX-License-Identifier: MIT
/*
 * File descriptors that run out: -EMFILE in every call that wants one, and the limit in the message.
 */
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tap.h"

enum { HOLD = 64, ALL = 42, LEAK = 43 };

/* @ret of a call: true when it succeeded. Its only other right answer is -EMFILE */
static bool had_room(int ret, const char *call)
{
	if (!ret)
		return true;
	if (ret != -EMFILE)
		t_fail(__FILE__, __LINE__, "%s: %d is not -EMFILE (%s)", call, ret,
		       snpu_last_error());
	CHECK_TEXT(snpu_last_error(), "Too many open files");
	CHECK_TEXT(snpu_last_error(), "ulimit -n");
	return false;
}

#define ROOM(call)	had_room((call), #call)

static bool fences(struct snpu_queue *q)
{
	struct snpu_fence *f;
	uint64_t pos;
	int fd = -1, ret;
	bool all;

	snpu_prep_nop(t_pkt(q));
	CHECK_EQ(snpu_queue_submit(q, &pos), 0);
	CHECK_EQ(snpu_queue_wait(q, pos, T_LONG), 0);
	if (!ROOM(snpu_fence_create(q, pos, &f)))
		return false;
	all = ROOM(snpu_fence_wait(f, T_LONG));
	ret = snpu_fence_export(f, &fd);
	all &= t_direct() ? ret == -EOPNOTSUPP : ROOM(ret);
	if (fd >= 0)
		close(fd);
	CHECK_EQ(snpu_fence_destroy(f), 0);
	return all;
}

/* Everything that takes a descriptor, as far as they go. All of it worked? */
static bool use(struct snpu_ctx *ctx)
{
	struct snpu_mem *hbm, *host, *again = NULL;
	struct snpu_queue *q;
	int fd = -1, host_fd = -1;
	bool all = false;

	CHECK_EQ(snpu_mem_alloc(ctx, 4096, SNPU_MEM_HBM, &hbm), 0);
	if (!ROOM(snpu_queue_create(ctx, NULL, &q)))
		goto out_hbm;
	all = fences(q);
	if (ROOM(snpu_mem_alloc(ctx, 65536, SNPU_MEM_HOST, &host))) {
		all &= ROOM(snpu_mem_export(hbm, &fd));
		all &= ROOM(snpu_mem_export(host, &host_fd));
		if (host_fd >= 0 && ROOM(snpu_mem_import(ctx, host_fd, 0, &again)))
			CHECK_EQ(snpu_mem_free(again), 0);
		all &= !!again;
		if (fd >= 0)
			close(fd);
		if (host_fd >= 0)
			close(host_fd);
		CHECK_EQ(snpu_mem_free(host), 0);
	} else {
		all = false;
	}
	CHECK_EQ(snpu_queue_destroy(q), 0);
out_hbm:
	CHECK_EQ(snpu_mem_free(hbm), 0);
	return all;
}

static int lowest_free(void)
{
	int fd = 0;

	while (fcntl(fd, F_GETFD) >= 0)
		fd++;
	return fd;
}

/* In a process that may open @more descriptors: exit code */
static int poor(unsigned int more, const char *transport)
{
	struct rlimit r = { .rlim_cur = (rlim_t)lowest_free() + more };
	struct snpu_open_params p = {
		.field_mask = SNPU_OPEN_TRANSPORT, .transport = transport,
	};
	int first = lowest_free();
	struct snpu_ctx *ctx[2];
	struct snpu *s;
	unsigned int n;
	bool all = true;

	r.rlim_max = r.rlim_cur;
	if (setrlimit(RLIMIT_NOFILE, &r))
		return 1;
	if (ROOM(snpu_open(&p, &s))) {
		for (n = 0; n < 2 && ROOM(snpu_ctx_create(s, n, &ctx[n])); n++)
			all &= use(ctx[n]);
		all &= n == 2;
		while (n)
			CHECK_EQ(snpu_ctx_destroy(ctx[--n]), 0);
		CHECK_EQ(snpu_close(s), 0);
	} else {
		all = false;
	}
	return t_failures() ? 1 : lowest_free() != first ? LEAK : all ? ALL : 0;
}

static void run_out(const char *transport)
{
	unsigned int more;
	int status = 0;
	pid_t pid;

	/* until one has enough */
	for (more = 0; more < HOLD; more++) {
		pid = fork();
		NEED(pid >= 0);
		if (!pid)
			_exit(poor(more, transport));
		CHECK_EQ(waitpid(pid, &status, 0), pid);
		if (status) {
			CHECK(WIFEXITED(status));
			break;
		}
	}
	if (status != ALL << 8)
		t_fail(__FILE__, __LINE__, "with %u descriptors: status 0x%x", more, status);
	CHECK(more > 3 && more < HOLD);
}

static void descriptors(void)
{
	run_out(t_direct() ? "direct" : "kmd");
}

/* With descriptors it finds device nodes; without, it must not take them for missing */
static void automatic(void)
{
	run_out("auto");
}

static void not_a_directory(void)
{
	struct snpu_open_params p = {
		.field_mask = SNPU_OPEN_TRANSPORT | SNPU_OPEN_SOCKET_DIR,
		.transport = "direct", .socket_dir = "/dev/null",
	};
	struct snpu *s = NULL;

	CHECK_EQ(snpu_open(&p, &s), -ENOTDIR);
	CHECK_TEXT(snpu_last_error(), "/dev/null");
	p.socket_dir = "/dev/nothing";
	CHECK_EQ(snpu_open(&p, &s), -ENODEV);
	CHECK_TEXT(snpu_last_error(), "start snpud");
}

static const struct t_case cases[] = {
	{ "calls that find no descriptor say so", descriptors, T_BOTH },
	{ "so does the search for a transport", automatic, T_BOTH },
	{ "a socket directory that is none", not_a_directory, T_BOTH },
};

int main(void)
{
	return t_main(cases, sizeof(cases) / sizeof(cases[0]));
}
