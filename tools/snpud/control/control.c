// SPDX-License-Identifier: MIT
/*
 * Control socket: connections, lines, buffers. One thread, nothing blocks: who sends half a line or
 * reads no answers costs its own connection only.
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
#include <unistd.h>

#include "log/log.h"

/* Answers that a client has not read yet; npu.list of a whole machine takes 50 KB */
#define MAX_OUT	(1024u * 1024)

struct client {
	int fd;
	bool closing;		/* close when everything is written */
	size_t in_len;
	size_t out_len;
	size_t out_at;
	char *out;
	char in[SNPU_CONTROL_MAX_MSG + 1];
};

struct snpu_control {
	struct snpu_control_opts opts;
	char *path;
	int fd;
	int spare_fd;		/* given up to refuse a connection when fds have run out */
	bool quit;
	struct client *client[SNPU_CONTROL_MAX_CLIENTS];
};

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
	if (ret || !c->path) {
		snprintf(err, err_len, "%s: %s", opts->path, strerror(errno));
		snpu_control_close(c);
		return NULL;
	}
	return c;
}

static void client_close(struct snpu_control *c, unsigned int i)
{
	close(c->client[i]->fd);
	free(c->client[i]->out);
	free(c->client[i]);
	c->client[i] = NULL;
}

void snpu_control_close(struct snpu_control *c)
{
	unsigned int i;

	if (!c)
		return;
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

static void accept_one(struct snpu_control *c)
{
	struct client *cl;
	unsigned int i;
	int fd;

	fd = accept4(c->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0 && (errno == EMFILE || errno == ENFILE)) {
		snpu_log(SNPU_LOG_ERR, "control: connection refused: %s", strerror(errno));
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
	for (i = 0; i < SNPU_CONTROL_MAX_CLIENTS && c->client[i]; i++)
		;
	cl = i < SNPU_CONTROL_MAX_CLIENTS ? malloc(sizeof(*cl)) : NULL;
	if (!cl) {
		snpu_log(SNPU_LOG_ERR, "control: connection refused: %u are open",
			 SNPU_CONTROL_MAX_CLIENTS);
		close(fd);
		return;
	}
	cl->fd = fd;
	cl->closing = false;
	cl->in_len = 0;
	cl->out_len = 0;
	cl->out_at = 0;
	cl->out = NULL;
	c->client[i] = cl;
}

/* 0, or negative: drop the client */
static int client_send(struct client *cl, const char *text)
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
	memcpy(out + cl->out_len, text, len);
	cl->out = out;
	cl->out_len += len;
	return 0;
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
	return cl->closing ? -1 : 0;
}

static int client_line(struct snpu_control *c, struct client *cl, char *line, size_t len)
{
	bool quit;
	char *rsp;
	int ret = 0;

	line[len] = 0;
	if (!len)
		return 0;
	rsp = snpu_rpc_handle(&c->opts, line, len, &quit);
	if (rsp)
		ret = client_send(cl, rsp);
	free(rsp);
	if (quit) {
		snpu_log(SNPU_LOG_INFO, "told to quit through the control socket");
		c->quit = true;
	}
	return ret;
}

/* 0, or negative: drop the client */
static int client_read(struct snpu_control *c, struct client *cl)
{
	ssize_t n = recv(cl->fd, cl->in + cl->in_len, SNPU_CONTROL_MAX_MSG - cl->in_len, 0);
	size_t at = 0, i;

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -1;
	if (!n) {
		/* it may still read: what was answered is sent first */
		cl->closing = true;
		return 0;
	}
	i = cl->in_len;
	cl->in_len += (size_t)n;
	for (; i < cl->in_len; i++) {
		if (cl->in[i] != '\n')
			continue;
		if (client_line(c, cl, cl->in + at, i - at))
			return -1;
		at = i + 1;
	}
	memmove(cl->in, cl->in + at, cl->in_len - at);
	cl->in_len -= at;
	if (cl->in_len == SNPU_CONTROL_MAX_MSG) {
		char msg[256];

		/* where the next message begins is not known any more */
		snprintf(msg, sizeof(msg),
			 "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":%d,\"message\":"
			 "\"Invalid Request\",\"data\":{\"what\":\"message too long\","
			 "\"allowed\":\"%u bytes with the newline\"}}}\n", SNPU_RPC_REQUEST,
			 SNPU_CONTROL_MAX_MSG);
		cl->closing = true;
		cl->in_len = 0;
		return client_send(cl, msg);
	}
	return 0;
}

static int client_serve(struct snpu_control *c, struct client *cl, short ev)
{
	if ((ev & (POLLIN | POLLHUP | POLLERR)) && !cl->closing && client_read(c, cl))
		return -1;
	return client_flush(cl);
}

int snpu_control_run(struct snpu_control *c, int stop_fd)
{
	struct pollfd pfd[SNPU_CONTROL_MAX_CLIENTS + 2];
	unsigned int who[SNPU_CONTROL_MAX_CLIENTS];
	unsigned int i, n;

	while (!c->quit) {
		pfd[0] = (struct pollfd) { .fd = stop_fd, .events = POLLIN };
		pfd[1] = (struct pollfd) { .fd = c->fd, .events = POLLIN };
		for (i = 0, n = 0; i < SNPU_CONTROL_MAX_CLIENTS; i++) {
			struct client *cl = c->client[i];

			if (!cl)
				continue;
			pfd[2 + n].fd = cl->fd;
			pfd[2 + n].events = (short)((cl->closing ? 0 : POLLIN) |
						    (cl->out_len ? POLLOUT : 0));
			who[n++] = i;
		}
		if (poll(pfd, n + 2, -1) < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		if (pfd[0].revents)
			break;
		for (i = 0; i < n; i++)
			if (pfd[2 + i].revents &&
			    client_serve(c, c->client[who[i]], pfd[2 + i].revents))
				client_close(c, who[i]);
		if (pfd[1].revents)
			accept_one(c);
	}
	return 0;
}
