// SPDX-License-Identifier: MIT
/*
 * snpu-guest-agent: the last thing a supernode guest's /init becomes. It is process 1. It waits
 * for the host's word, for NPUs and for the program's output, and sleeps in between: the guests'
 * idle time is all other guests' time.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/random.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "frame.h"

#define ACCEL_DIR	"/dev/accel"
#define MAX_STRINGS	1024

struct agent {
	int port;
	int uevents;
	int signals;
	int out[2];		/* the program's standard output and error; -1: at their end */
	pid_t child;
	int status;		/* of the child, once it was reaped */
	bool reaped;
	uint32_t npus_wanted;	/* 0: nobody waits for NPUs */
	struct sn_parser rx;
};

/* The host reads all the time: a full port is a matter of moments */
static void send_frame(struct agent *a, enum sn_frame_type type, const void *data, size_t len)
{
	uint8_t buf[sizeof(struct sn_frame) + 16384];
	struct sn_frame f = { .type = type, .len = (uint32_t)len };
	size_t done = 0;

	memcpy(buf, &f, sizeof(f));
	memcpy(buf + sizeof(f), data, len);
	len += sizeof(f);
	while (done < len) {
		struct pollfd p = { .fd = a->port, .events = POLLOUT };
		ssize_t n = write(a->port, buf + done, len - done);

		if (n >= 0) {
			done += (size_t)n;
			continue;
		}
		if (errno != EAGAIN && errno != EINTR)
			exit(1);
		poll(&p, 1, -1);
	}
}

static void __attribute__((format(printf, 2, 3))) fail(struct agent *a, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	send_frame(a, SN_FAIL, text, strlen(text));
}

static uint32_t count_npus(void)
{
	DIR *d = opendir(ACCEL_DIR);
	struct dirent *e;
	uint32_t n = 0;

	while (d && (e = readdir(d)))
		n += !strncmp(e->d_name, "accel", 5);
	if (d)
		closedir(d);
	return n;
}

static void check_npus(struct agent *a)
{
	uint32_t n;

	if (!a->npus_wanted)
		return;
	n = count_npus();
	if (n < a->npus_wanted)
		return;
	a->npus_wanted = 0;
	send_frame(a, SN_NPUS, &n, sizeof(n));
}

/* A node of devtmpfs is there before its event is sent */
static void on_uevent(struct agent *a)
{
	char buf[8192];

	while (recv(a->uevents, buf, sizeof(buf), MSG_DONTWAIT) > 0)
		;
	check_npus(a);
}

static void on_hello(struct agent *a, const void *payload, size_t len)
{
	struct {
		struct rand_pool_info info;
		uint8_t bytes[32];
	} pool = { .info = { .entropy_count = 256, .buf_size = 32 } };
	struct sn_hello h;
	struct timespec ts;
	int fd;

	if (len != sizeof(h)) {
		fail(a, "hello: %zu bytes, not %zu: agent and host differ", len, sizeof(h));
		return;
	}
	memcpy(&h, payload, sizeof(h));
	h.name[sizeof(h.name) - 1] = 0;
	if (sethostname(h.name, strlen(h.name)))
		fail(a, "sethostname %s: %s", h.name, strerror(errno));
	ts.tv_sec = (time_t)(h.time_ns / 1000000000);
	ts.tv_nsec = (long)(h.time_ns % 1000000000);
	if (clock_settime(CLOCK_REALTIME, &ts))
		fail(a, "clock_settime: %s", strerror(errno));
	memcpy(pool.info.buf, h.entropy, sizeof(h.entropy));
	fd = open("/dev/urandom", O_WRONLY | O_CLOEXEC);
	if (fd < 0 || ioctl(fd, RNDADDENTROPY, &pool) || ioctl(fd, RNDRESEEDCRNG))
		fail(a, "/dev/urandom: %s", strerror(errno));
	if (fd >= 0)
		close(fd);
	a->npus_wanted = h.npus;
	check_npus(a);
}

static void exec_child(int out, int err, char **env, char **argv)
{
	sigset_t none;
	int null = open("/dev/null", O_RDONLY);

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setsid();
	if (null < 0 || dup2(null, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0)
		_exit(126);
	for (; *env; env++)
		putenv(*env);
	if (chdir("/root"))
		_exit(126);
	execvp(argv[0], argv);
	fprintf(stderr, "%s: %s\n", argv[0], strerror(errno));
	_exit(errno == ENOENT ? 127 : 126);
}

static void on_run(struct agent *a, char *s, size_t len)
{
	char *strings[MAX_STRINGS + 2], **argv = NULL, *end = s + len;
	size_t n = 0;
	int out[2], err[2];

	if (a->child) {
		fail(a, "run: a program runs already");
		return;
	}
	for (; s < end && n < MAX_STRINGS; s += strlen(s) + 1) {
		if (!*s && !argv) {
			strings[n++] = NULL;
			argv = &strings[n];
		} else {
			strings[n++] = s;
		}
	}
	strings[n] = NULL;
	if (!argv || !argv[0] || s < end) {
		fail(a, "run: no program, or more than %d words", MAX_STRINGS);
		return;
	}
	if (pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC)) {
		fail(a, "run: pipe: %s", strerror(errno));
		return;
	}
	a->reaped = false;
	a->child = fork();
	if (!a->child)
		exec_child(out[1], err[1], strings, argv);
	close(out[1]);
	close(err[1]);
	if (a->child < 0) {
		a->child = 0;
		close(out[0]);
		close(err[0]);
		fail(a, "run: fork: %s", strerror(errno));
		return;
	}
	a->out[0] = out[0];
	a->out[1] = err[0];
}

static void on_port(struct agent *a)
{
	struct sn_frame f;
	ssize_t n = sn_parser_read(&a->rx, a->port);
	int ret;

	/* nobody at the other end: poll() says so again and again, until the next one comes */
	if (n == 0) {
		usleep(100000);
		return;
	}
	while ((ret = sn_parser_next(&a->rx, &f)) > 0) {
		switch (f.type) {
		case SN_HELLO:
			on_hello(a, a->rx.payload, f.len);
			break;
		case SN_RUN:
			on_run(a, (char *)a->rx.payload, f.len);
			break;
		case SN_STOP:
			/* the group is there once the child got as far as setsid() */
			if (a->child && kill(-a->child, SIGTERM))
				kill(a->child, SIGTERM);
			break;
		default:
			fail(a, "unknown frame %u", f.type);
		}
	}
	if (ret < 0)
		exit(1);
}

static void on_output(struct agent *a, unsigned int which)
{
	char buf[16384];
	ssize_t n = read(a->out[which], buf, sizeof(buf));

	if (n > 0) {
		send_frame(a, which ? SN_ERR : SN_OUT, buf, (size_t)n);
		return;
	}
	if (n < 0 && errno == EINTR)
		return;
	close(a->out[which]);
	a->out[which] = -1;
}

/* As process 1 it also inherits what others leave behind */
static void on_signal(struct agent *a)
{
	struct signalfd_siginfo si;
	int status;
	pid_t pid;

	if (read(a->signals, &si, sizeof(si)) < 0)
		return;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid != a->child)
			continue;
		a->status = status;
		a->reaped = true;
	}
}

/* The program's own end counts, not that of a daemon it left: what comes later is not waited for */
static void check_exit(struct agent *a)
{
	unsigned int i;
	int32_t rc;

	if (!a->child || !a->reaped)
		return;
	for (i = 0; i < 2; i++) {
		struct pollfd p = { .fd = a->out[i], .events = POLLIN };

		while (a->out[i] >= 0 && poll(&p, 1, 0) > 0)
			on_output(a, i);
		if (a->out[i] >= 0)
			close(a->out[i]);
		a->out[i] = -1;
	}
	rc = WIFSIGNALED(a->status) ? 128 + WTERMSIG(a->status) : WEXITSTATUS(a->status);
	a->child = 0;
	send_frame(a, SN_EXIT, &rc, sizeof(rc));
}

static int open_port(const char *path)
{
	int fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		fprintf(stderr, "snpu-guest-agent: %s: %s\n", path, strerror(errno));
	return fd;
}

int main(int argc, char **argv)
{
	static struct agent a = { .out = { -1, -1 } };
	struct sockaddr_nl nl = { .nl_family = AF_NETLINK, .nl_groups = 1 };
	sigset_t chld;

	if (argc != 2) {
		fprintf(stderr, "usage: snpu-guest-agent PORT\n");
		return 2;
	}
	a.port = open_port(argv[1]);
	a.uevents = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_KOBJECT_UEVENT);
	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	sigprocmask(SIG_BLOCK, &chld, NULL);
	a.signals = signalfd(-1, &chld, SFD_CLOEXEC | SFD_NONBLOCK);
	if (a.port < 0 || a.signals < 0 || a.uevents < 0 ||
	    bind(a.uevents, (struct sockaddr *)&nl, sizeof(nl))) {
		fprintf(stderr, "snpu-guest-agent: cannot listen: %s\n", strerror(errno));
		return 1;
	}
	send_frame(&a, SN_UP, "", 0);

	for (;;) {
		struct pollfd p[] = {
			{ .fd = a.port, .events = POLLIN },
			{ .fd = a.uevents, .events = POLLIN },
			{ .fd = a.signals, .events = POLLIN },
			{ .fd = a.out[0], .events = POLLIN },
			{ .fd = a.out[1], .events = POLLIN },
		};

		if (poll(p, 5, -1) < 0 && errno != EINTR)
			return 1;
		if (p[0].revents)
			on_port(&a);
		if (p[1].revents)
			on_uevent(&a);
		if (p[2].revents)
			on_signal(&a);
		if (p[3].revents)
			on_output(&a, 0);
		if (p[4].revents)
			on_output(&a, 1);
		check_exit(&a);
	}
}
