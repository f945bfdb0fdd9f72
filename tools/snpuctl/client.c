// SPDX-License-Identifier: MIT
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "snpuctl.h"

#define MAX_ANSWER	(4u << 20)
#define TIMEOUT_S	10

static int ctl_connect(const char *path, unsigned int timeout_s)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	struct timeval tv = { .tv_sec = timeout_s };
	int fd, ret = 0;

	if (strlen(path) >= sizeof(sa.sun_path)) {
		fprintf(stderr, "snpuctl: %s: path longer than %zu bytes\n", path,
			sizeof(sa.sun_path) - 1);
		return -1;
	}
	strcpy(sa.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	/* a signal, such as SIGWINCH, is no reason to give up */
	while (fd >= 0 && (ret = connect(fd, (struct sockaddr *)&sa, sizeof(sa))) && errno == EINTR)
		;
	if (fd < 0 || ret) {
		fprintf(stderr, "snpuctl: %s: %s%s\n", path, strerror(errno),
			errno == ENOENT || errno == ECONNREFUSED ? " (is snpud running?)" : "");
		if (fd >= 0)
			close(fd);
		return -1;
	}
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
	return fd;
}

static ssize_t send_fd(int fd, const char *text, size_t len, int pass)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} ctl = { 0 };
	struct iovec iov = { (void *)text, len };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = ctl.buf,
			     .msg_controllen = sizeof(ctl.buf) };
	struct cmsghdr *cm = CMSG_FIRSTHDR(&mh);

	cm->cmsg_level = SOL_SOCKET;
	cm->cmsg_type = SCM_RIGHTS;
	cm->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cm), &pass, sizeof(pass));
	return sendmsg(fd, &mh, MSG_NOSIGNAL);
}

static int send_all(int fd, const char *text, int pass)
{
	size_t len = strlen(text);

	while (len) {
		ssize_t n = pass < 0 ? send(fd, text, len, MSG_NOSIGNAL) :
				       send_fd(fd, text, len, pass);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		pass = -1;
		text += n;
		len -= (size_t)n;
	}
	return 0;
}

/* One line, to be freed; @path, @timeout_s: for the message */
static char *recv_line(int fd, const char *path, unsigned int timeout_s)
{
	size_t cap = 65536, len = 0;
	char *buf = malloc(cap);

	while (buf) {
		ssize_t n = recv(fd, buf + len, cap - len - 1, 0);
		char *grown;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			fprintf(stderr, "snpuctl: %s: no answer within %u s\n", path, timeout_s);
			break;
		}
		if (n <= 0) {
			fprintf(stderr, "snpuctl: %s: %s\n", path, n ? strerror(errno) :
				"snpud closed the connection");
			break;
		}
		len += (size_t)n;
		buf[len] = 0;
		if (buf[len - 1] == '\n')
			return buf;
		if (cap - len > 1)
			continue;
		if (cap >= MAX_ANSWER) {
			fprintf(stderr, "snpuctl: %s: answer longer than %u bytes\n", path,
				MAX_ANSWER);
			break;
		}
		cap *= 2;
		grown = realloc(buf, cap);
		if (!grown)
			break;
		buf = grown;
	}
	free(buf);
	return NULL;
}

static void print_error(const char *method, json_object *err)
{
	json_object *msg = NULL, *data = NULL, *what = NULL, *allowed = NULL;

	json_object_object_get_ex(err, "message", &msg);
	if (json_object_object_get_ex(err, "data", &data)) {
		json_object_object_get_ex(data, "what", &what);
		json_object_object_get_ex(data, "allowed", &allowed);
	}
	fprintf(stderr, "snpuctl: %s: %s", method, msg ? json_object_get_string(msg) : "error");
	if (what)
		fprintf(stderr, ": %s", json_object_get_string(what));
	if (allowed && json_object_get_string_len(allowed))
		fprintf(stderr, "; allowed: %s", json_object_get_string(allowed));
	fputc('\n', stderr);
}

int ctl_call(const char *path, const char *method, json_object *params, json_object **result)
{
	return ctl_call_fd(path, method, params, -1, TIMEOUT_S, result);
}

int ctl_call_fd(const char *path, const char *method, json_object *params, int pass,
		unsigned int timeout_s, json_object **result)
{
	json_object *req = json_object_new_object(), *rsp = NULL, *o = NULL;
	char *line = NULL, *text = NULL;
	int fd, ret = CTL_FAILED;

	json_object_object_add(req, "jsonrpc", json_object_new_string("2.0"));
	json_object_object_add(req, "id", json_object_new_int(1));
	json_object_object_add(req, "method", json_object_new_string(method));
	if (params)
		json_object_object_add(req, "params", json_object_get(params));
	fd = ctl_connect(path, timeout_s);
	if (fd < 0)
		goto out;
	if (asprintf(&text, "%s\n",
		     json_object_to_json_string_ext(req, JSON_C_TO_STRING_PLAIN)) < 0) {
		text = NULL;
		goto out;
	}
	if (send_all(fd, text, pass)) {
		fprintf(stderr, "snpuctl: %s: %s\n", path, strerror(errno));
		goto out;
	}
	line = recv_line(fd, path, timeout_s);
	if (!line)
		goto out;
	rsp = json_tokener_parse(line);
	if (!rsp || !json_object_is_type(rsp, json_type_object)) {
		fprintf(stderr, "snpuctl: %s: the answer is not JSON-RPC\n", path);
	} else if (json_object_object_get_ex(rsp, "error", &o)) {
		print_error(method, o);
	} else if (json_object_object_get_ex(rsp, "result", &o)) {
		*result = json_object_get(o);
		ret = CTL_OK;
	} else {
		fprintf(stderr, "snpuctl: %s: the answer has no result\n", path);
	}
out:
	if (fd >= 0)
		close(fd);
	json_object_put(rsp);
	json_object_put(req);
	free(line);
	free(text);
	return ret;
}
