// SPDX-License-Identifier: MIT
/*
 * Control socket: connections, lines, buffers. One thread, nothing blocks: who sends half a line or
 * reads no answers costs its own connection only, and that not for long. What takes a lock that a
 * guest's command may hold runs in a thread of its own (jobs.c).
 */
#include "control.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "jobs.h"
#include "log/log.h"

/* Answers that a client has not read yet; timing.links of a whole machine takes 2 MB */
#define MAX_OUT	(4u * 1024 * 1024)

/* Defaults of struct snpu_control_opts */
#define MESSAGE_MS	5000u
#define UNREAD_MS	10000u
#define IDLE_MS		1000u
#define REFUSED_LOG_MS	1000u

struct client {
	int fd;
	int passed_fd;		/* came with a message, -1: none */
	uint64_t id;		/* never used again */
	bool busy;		/* a job of it is under way */
	bool closing;		/* close when everything is written */
	size_t in_len;
	size_t out_len;
	size_t out_at;
	uint64_t in_end;	/* when the request in hand must be whole, 0: none is in hand */
	uint64_t out_end;	/* when the answers must have been read, 0: there are none */
	uint64_t used;		/* when something last came or went */
	char *out;
	char in[SNPU_CONTROL_MAX_MSG + 1];
};

struct snpu_control {
	struct snpu_control_opts opts;
	char *path;
	int fd;
	int spare_fd;		/* given up to refuse a connection when fds have run out */
	unsigned int refused;	/* connections since the last line about that */
	uint64_t refused_ms;	/* when that line was written */
	bool quit;
	uint64_t next_id;
	struct snpu_jobs *jobs;
	struct client *client[SNPU_CONTROL_MAX_CLIENTS];
};

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

struct snpu_control *snpu_control_open(const struct snpu_control_opts *opts, char *err,
				       size_t err_len)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	struct snpu_control *c;
	mode_t old;
	int ret;

	if (strlen(opts->path) >= sizeof(sa.sun_path)) {
		snprintf(err, err_len, "%s: path longer than %zu bytes", opts->path,
			 sizeof(sa.sun_path) - 1);
		return NULL;
	}
	strcpy(sa.sun_path, opts->path);
	c = calloc(1, sizeof(*c));
	if (!c) {
		snprintf(err, err_len, "out of memory");
		return NULL;
	}
	c->opts = *opts;
	if (!c->opts.message_ms)
		c->opts.message_ms = MESSAGE_MS;
	if (!c->opts.unread_ms)
		c->opts.unread_ms = UNREAD_MS;
	if (!c->opts.idle_ms)
		c->opts.idle_ms = IDLE_MS;
	c->jobs = snpu_jobs_new(&c->opts);
	c->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* never visible with other rights, not even for a moment */
	old = umask(0177);
	ret = c->fd < 0 ? -1 : bind(c->fd, (struct sockaddr *)&sa, sizeof(sa));
	umask(old);
	if (!ret)
		c->path = strdup(opts->path);
	if (!ret)
		ret = listen(c->fd, 16);
	if (ret || !c->path || !c->jobs) {
		snprintf(err, err_len, "%s: %s", opts->path, strerror(errno));
		snpu_control_close(c);
		return NULL;
	}
	return c;
}

static void client_close(struct snpu_control *c, unsigned int i)
{
	close(c->client[i]->fd);
	if (c->client[i]->passed_fd >= 0)
		close(c->client[i]->passed_fd);
	free(c->client[i]->out);
	free(c->client[i]);
	c->client[i] = NULL;
}

void snpu_control_close(struct snpu_control *c)
{
	unsigned int i;

	if (!c)
		return;
	snpu_jobs_free(c->jobs);
	for (i = 0; i < SNPU_CONTROL_MAX_CLIENTS; i++)
		if (c->client[i])
			client_close(c, i);
	if (c->fd >= 0)
		close(c->fd);
	if (c->spare_fd >= 0)
		close(c->spare_fd);
	if (c->path)
		unlink(c->path);
	free(c->path);
	free(c);
}

#define FULL	"{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32002,\"message\":" \
		"\"Limit reached\",\"data\":{\"what\":\"all connections are at work\"," \
		"\"allowed\":\"64 connections\"}}}\n"

/* Where a new client goes: it may take the place of one that says nothing */
static unsigned int free_place(struct snpu_control *c)
{
	unsigned int i, idle = SNPU_CONTROL_MAX_CLIENTS;
	uint64_t before = now_ms() - c->opts.idle_ms;

	for (i = 0; i < SNPU_CONTROL_MAX_CLIENTS; i++) {
		const struct client *cl = c->client[i];

		if (!cl)
			return i;
		if (cl->busy || cl->in_len || cl->out_len || cl->used > before)
			continue;
		if (idle == SNPU_CONTROL_MAX_CLIENTS || cl->used < c->client[idle]->used)
			idle = i;
	}
	if (idle < SNPU_CONTROL_MAX_CLIENTS)
		client_close(c, idle);
	return idle;
}

/* At most a line a second: a client can make connections without end */
static void log_refusal(struct snpu_control *c, const char *why)
{
	uint64_t now = now_ms();

	c->refused++;
	if (c->refused_ms && now - c->refused_ms < REFUSED_LOG_MS)
		return;
	snpu_log(SNPU_LOG_ERR, "control: connections refused: %u: %s", c->refused, why);
	c->refused = 0;
	c->refused_ms = now;
}

static void accept_one(struct snpu_control *c)
{
	struct client *cl;
	unsigned int i;
	int fd;

	fd = accept4(c->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0 && (errno == EMFILE || errno == ENFILE)) {
		log_refusal(c, strerror(errno));
		close(c->spare_fd);
		fd = accept4(c->fd, NULL, NULL, SOCK_CLOEXEC);
		if (fd >= 0)
			close(fd);
		c->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
		return;
	}
	if (fd < 0) {
		if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
			snpu_log(SNPU_LOG_ERR, "control: accept: %s", strerror(errno));
		return;
	}
	i = free_place(c);
	cl = i < SNPU_CONTROL_MAX_CLIENTS ? malloc(sizeof(*cl)) : NULL;
	if (!cl) {
		log_refusal(c, "as many as there may be are open");
		/* a socket that is new has room for it */
		(void)!send(fd, FULL, sizeof(FULL) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
		close(fd);
		return;
	}
	cl->fd = fd;
	cl->passed_fd = -1;
	cl->id = ++c->next_id;
	cl->busy = false;
	cl->closing = false;
	cl->in_len = 0;
	cl->out_len = 0;
	cl->out_at = 0;
	cl->in_end = 0;
	cl->out_end = 0;
	cl->used = now_ms();
	cl->out = NULL;
	c->client[i] = cl;
}

/* 0, or negative: drop the client */
static int client_send(struct snpu_control *c, struct client *cl, const char *text)
{
	size_t len = strlen(text);
	char *out;

	if (cl->out_at) {
		memmove(cl->out, cl->out + cl->out_at, cl->out_len - cl->out_at);
		cl->out_len -= cl->out_at;
		cl->out_at = 0;
	}
	if (len > MAX_OUT - cl->out_len) {
		snpu_log(SNPU_LOG_ERR, "control: client does not read its answers");
		return -1;
	}
	out = realloc(cl->out, cl->out_len + len);
	if (!out)
		return -1;
	if (!cl->out_len)
		cl->out_end = now_ms() + c->opts.unread_ms;
	memcpy(out + cl->out_len, text, len);
	cl->out = out;
	cl->out_len += len;
	return 0;
}

/* An error that no method gives */
static int client_refuse(struct snpu_control *c, struct client *cl, const char *what,
			 const char *allowed)
{
	char msg[256];

	snprintf(msg, sizeof(msg),
		 "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":%d,\"message\":"
		 "\"Invalid Request\",\"data\":{\"what\":\"%s\",\"allowed\":\"%s\"}}}\n",
		 SNPU_RPC_REQUEST, what, allowed);
	return client_send(c, cl, msg);
}

static int client_flush(struct client *cl)
{
	while (cl->out_at < cl->out_len) {
		ssize_t n = send(cl->fd, cl->out + cl->out_at, cl->out_len - cl->out_at,
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? 0 : -1;
		cl->out_at += (size_t)n;
	}
	cl->out_at = 0;
	cl->out_len = 0;
	cl->out_end = 0;
	return cl->closing && !cl->busy ? -1 : 0;
}

static int client_line(struct snpu_control *c, struct client *cl, char *line, size_t len)
{
	struct snpu_rpc_io io = { .fd = cl->passed_fd };
	char *rsp;
	int ret = 0;

	line[len] = 0;
	if (!len)
		return 0;
	/* a descriptor belongs to the first message that is whole after it came */
	cl->passed_fd = -1;
	rsp = snpu_rpc_handle(&c->opts, line, len, &io);
	if (io.slow) {
		ret = snpu_jobs_start(c->jobs, cl->id, line, len, io.fd);
		cl->busy = !ret;
		return ret ? client_refuse(c, cl, "too many slow requests", "64 at a time") : 0;
	}
	if (io.fd >= 0)
		close(io.fd);
	if (rsp)
		ret = client_send(c, cl, rsp);
	free(rsp);
	if (io.quit) {
		snpu_log(SNPU_LOG_INFO, "told to quit through the control socket");
		c->quit = true;
	}
	return ret;
}

/* Whole lines that were read, until one takes a while. 0, or negative: drop the client */
static int client_lines(struct snpu_control *c, struct client *cl)
{
	size_t at = 0;
	char *nl;

	while (!cl->busy && (nl = memchr(cl->in + at, '\n', cl->in_len - at))) {
		if (client_line(c, cl, cl->in + at, (size_t)(nl - (cl->in + at))))
			return -1;
		at = (size_t)(nl - cl->in) + 1;
	}
	memmove(cl->in, cl->in + at, cl->in_len - at);
	cl->in_len -= at;
	/* what comes after a whole request is the next one; it counts from its own first byte */
	if (!cl->in_len || cl->busy)
		cl->in_end = 0;
	else if (at || !cl->in_end)
		cl->in_end = now_ms() + c->opts.message_ms;
	if (!cl->busy && cl->in_len == SNPU_CONTROL_MAX_MSG) {
		char allowed[40];

		/* where the next message begins is not known any more */
		cl->closing = true;
		cl->in_len = 0;
		snprintf(allowed, sizeof(allowed), "%u bytes with the newline",
			 SNPU_CONTROL_MAX_MSG);
		return client_refuse(c, cl, "message too long", allowed);
	}
	return 0;
}

/* Takes one descriptor of a message; others are closed */
static void take_fds(struct client *cl, struct msghdr *mh)
{
	struct cmsghdr *cm;
	size_t i, n;
	int fd;

	for (cm = CMSG_FIRSTHDR(mh); cm; cm = CMSG_NXTHDR(mh, cm)) {
		if (cm->cmsg_level != SOL_SOCKET || cm->cmsg_type != SCM_RIGHTS)
			continue;
		n = (cm->cmsg_len - CMSG_LEN(0)) / sizeof(fd);
		for (i = 0; i < n; i++) {
			memcpy(&fd, CMSG_DATA(cm) + i * sizeof(fd), sizeof(fd));
			if (cl->passed_fd >= 0)
				close(fd);
			else
				cl->passed_fd = fd;
		}
	}
}

/* 0, or negative: drop the client */
static int client_read(struct snpu_control *c, struct client *cl)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(4 * sizeof(int))];
	} ctl;
	struct iovec iov = { cl->in + cl->in_len, SNPU_CONTROL_MAX_MSG - cl->in_len };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = ctl.buf,
			     .msg_controllen = sizeof(ctl.buf) };
	ssize_t n = recvmsg(cl->fd, &mh, MSG_CMSG_CLOEXEC);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -1;
	take_fds(cl, &mh);
	if (!n) {
		/* it may still read: what was answered is sent first */
		cl->closing = true;
		return 0;
	}
	cl->in_len += (size_t)n;
	cl->used = now_ms();
	return client_lines(c, cl);
}

/* Answers that took a while */
static void jobs_done(struct snpu_control *c)
{
	unsigned int i;
	uint64_t id;
	char *rsp;

	while (snpu_jobs_next(c->jobs, &id, &rsp)) {
		for (i = 0; i < SNPU_CONTROL_MAX_CLIENTS; i++)
			if (c->client[i] && c->client[i]->id == id)
				break;
		if (i < SNPU_CONTROL_MAX_CLIENTS) {
			struct client *cl = c->client[i];

			cl->busy = false;
			cl->used = now_ms();
			if ((rsp && client_send(c, cl, rsp)) || client_lines(c, cl) ||
			    client_flush(cl))
				client_close(c, i);
		}
		free(rsp);
	}
}

static int client_serve(struct snpu_control *c, struct client *cl, short ev)
{
	/* gone altogether: nobody waits for the job's answer */
	if (cl->busy && (ev & (POLLHUP | POLLERR)))
		return -1;
	if ((ev & (POLLIN | POLLHUP | POLLERR)) && !cl->closing && !cl->busy &&
	    client_read(c, cl))
		return -1;
	return client_flush(cl);
}

/* Closes connections whose time is over. Returns ms until the next is, -1: there is none */
static int expire(struct snpu_control *c)
{
	uint64_t now = now_ms(), next = UINT64_MAX;
	unsigned int i;

	for (i = 0; i < SNPU_CONTROL_MAX_CLIENTS; i++) {
		struct client *cl = c->client[i];
		uint64_t end;

		if (!cl)
			continue;
		end = cl->in_end && (!cl->out_end || cl->in_end < cl->out_end) ? cl->in_end :
		      cl->out_end;
		if (end && end <= now) {
			snpu_log(SNPU_LOG_ERR, "control: connection closed: %s in time",
				 end == cl->in_end ? "a request is not complete" :
				 "an answer is not read");
			client_close(c, i);
		} else if (end && end < next) {
			next = end;
		}
	}
	return next == UINT64_MAX ? -1 : (int)(next - now);
}

int snpu_control_run(struct snpu_control *c, int stop_fd)
{
	struct pollfd pfd[SNPU_CONTROL_MAX_CLIENTS + 3];
	unsigned int who[SNPU_CONTROL_MAX_CLIENTS];
	unsigned int i, n;

	while (!c->quit) {
		int wait = expire(c);

		pfd[0] = (struct pollfd) { .fd = stop_fd, .events = POLLIN };
		pfd[1] = (struct pollfd) { .fd = c->fd, .events = POLLIN };
		pfd[2] = (struct pollfd) { .fd = snpu_jobs_fd(c->jobs), .events = POLLIN };
		for (i = 0, n = 0; i < SNPU_CONTROL_MAX_CLIENTS; i++) {
			struct client *cl = c->client[i];

			if (!cl)
				continue;
			pfd[3 + n].fd = cl->fd;
			pfd[3 + n].events = (short)((cl->closing || cl->busy ? 0 : POLLIN) |
						    (cl->out_len ? POLLOUT : 0));
			who[n++] = i;
		}
		if (poll(pfd, n + 3, wait) < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		if (pfd[0].revents)
			break;
		for (i = 0; i < n; i++)
			if (pfd[3 + i].revents &&
			    client_serve(c, c->client[who[i]], pfd[3 + i].revents))
				client_close(c, who[i]);
		if (pfd[2].revents)
			jobs_done(c);
		if (pfd[1].revents)
			accept_one(c);
	}
	return 0;
}
