// SPDX-License-Identifier: MIT
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "supernode.h"

#define MODEL_UID	61384		/* as tools/vm/snpu-vm has it */
#define READY_MS	30000
#define ANSWER_MS	90000
#define MAX_ANSWER	(4u << 20)

static void on_end(void *arg)
{
	struct sn_model *m = arg;

	m->dead = true;
	sn_unwatch(&m->watch);
}

/*
 * Until @fd is readable. 0; -ETIMEDOUT; -ESRCH: snpud ended; -EINTR: a signal asks for the end, and
 * waits to be read
 */
static int wait_for(const struct sn_model *m, int fd, int ms)
{
	struct pollfd p[] = {
		{ .fd = fd, .events = POLLIN },
		{ .fd = sn_loop_signal_fd(), .events = POLLIN },
		{ .fd = m->proc.pidfd, .events = POLLIN },
	};
	int n;

	do {
		n = poll(p, 3, ms);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if (p[1].revents)
		return -EINTR;
	if (p[0].revents & POLLIN)
		return 0;
	return p[2].revents || p[0].revents ? -ESRCH : -ETIMEDOUT;
}

static int connect_control(const struct sn_model *m)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd;

	snprintf(sa.sun_path, sizeof(sa.sun_path), "%.90s/control.sock", m->sockets);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 ||
	    connect(fd, (struct sockaddr *)&sa, sizeof(sa))) {
		int ret = -errno;

		sn_msg("%s: %s", sa.sun_path, strerror(-ret));
		if (fd >= 0)
			close(fd);
		return ret;
	}
	return fd;
}

/* One request, one answer: its result, to be put */
static struct json_object *ask(const struct sn_model *m, int fd, const char *method,
			       const char *params)
{
	char *buf = sn_alloc(MAX_ANSWER), text[256];
	struct json_object *msg = NULL, *result = NULL;
	size_t len = 0;
	ssize_t n;

	n = snprintf(text, sizeof(text), "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"%s\",\"params\":%s}\n",
		     method, params);
	if (send(fd, text, (size_t)n, MSG_NOSIGNAL) != n)
		n = -1;
	while (n > 0 && len < MAX_ANSWER - 1 && !memchr(buf, '\n', len)) {
		n = wait_for(m, fd, ANSWER_MS);
		if (n)
			break;
		n = recv(fd, buf + len, MAX_ANSWER - 1 - len, 0);
		if (n > 0)
			len += (size_t)n;
	}
	buf[len] = 0;
	msg = json_tokener_parse(buf);
	if (msg && json_object_object_get_ex(msg, "result", &result))
		json_object_get(result);
	else if (n != -EINTR)
		sn_msg("snpud: %s: %.200s", method, len ? buf : "no answer");
	json_object_put(msg);
	free(buf);
	return result;
}

static int64_t get_int(struct json_object *o, const char *key)
{
	struct json_object *v;

	return json_object_object_get_ex(o, key, &v) ? json_object_get_int64(v) : -1;
}

/* Which NPU is in which slot of which host */
static int learn_npus(struct sn_model *m, const struct sn_opts *opts, struct json_object *list)
{
	struct json_object *npus = NULL;
	unsigned int seen[SN_MAX_HOSTS] = {}, h, want;
	size_t i, n;

	if (!json_object_object_get_ex(list, "npus", &npus)) {
		sn_msg("snpud: npu.list: no NPUs in the answer");
		return -EPROTO;
	}
	n = json_object_array_length(npus);
	for (i = 0; i < n; i++) {
		struct json_object *o = json_object_array_get_idx(npus, i);
		int64_t host = get_int(o, "host"), slot = get_int(o, "slot");

		if (host < 0 || slot < 0 || host >= SN_MAX_HOSTS) {
			sn_msg("snpud: npu.list: NPU %zu is in host %lld, slot %lld", i,
			       (long long)host, (long long)slot);
			return -EPROTO;
		}
		if (slot < SN_MAX_NPUS) {
			m->npu[host][slot] = (unsigned int)get_int(o, "npu");
			seen[host]++;
		}
		m->npus = slot + 1 > m->npus ? (unsigned int)slot + 1 : m->npus;
	}
	want = opts->npus ? opts->npus : m->npus;
	if (want > m->npus || want > SN_MAX_NPUS) {
		sn_msg("--npus-per-host: %u; a host of this profile has %u, a guest takes up to %u",
		       want, m->npus, SN_MAX_NPUS);
		return -EINVAL;
	}
	for (h = 0; h < opts->hosts; h++) {
		if (seen[h] < want) {
			sn_msg("snpud: host %u has %u NPUs, not %u", h, seen[h], want);
			return -EPROTO;
		}
	}
	m->npus = want;
	return 0;
}

static int learn(struct sn_model *m, const struct sn_opts *opts)
{
	struct json_object *info = NULL, *list = NULL, *npu = NULL, *p, *title;
	int fd = connect_control(m), ret = -EPROTO;

	if (fd < 0)
		return fd;
	info = ask(m, fd, "machine.info", "{}");
	list = info ? ask(m, fd, "npu.list", "{}") : NULL;
	npu = list ? ask(m, fd, "npu.info", "{\"npu\":0}") : NULL;
	close(fd);
	if (info && list && npu) {
		if (json_object_object_get_ex(info, "profile", &p) &&
		    json_object_object_get_ex(p, "title", &title))
			snprintf(m->title, sizeof(m->title), "%s", json_object_get_string(title));
		m->hbm = (uint64_t)get_int(npu, "hbm_bytes");
		ret = learn_npus(m, opts, list);
		if (!ret && (m->hbm < 1 << 20 || m->hbm > 1ull << 42)) {
			sn_msg("snpud: npu.info: hbm_bytes is %llu", (unsigned long long)m->hbm);
			ret = -EPROTO;
		}
	}
	json_object_put(info);
	json_object_put(list);
	json_object_put(npu);
	return ret;
}

int sn_model_timing(const struct sn_model *m, struct sn_vtime *t)
{
	struct json_object *o, *v;
	int fd = connect_control(m);

	if (fd < 0)
		return fd;
	o = ask(m, fd, "timing.summary", "{\"timeout_ms\":60000}");
	close(fd);
	if (!o) {
		int sig = sn_loop_signal();

		return sig ? sig : -EPROTO;
	}
	t->now_ns = get_int(o, "now_ns");
	t->packets = get_int(o, "packets");
	t->transfers = get_int(o, "transfers");
	snprintf(t->hash, sizeof(t->hash), "%s", json_object_object_get_ex(o, "hash", &v) ?
		 json_object_get_string(v) : "?");
	json_object_put(o);
	return 0;
}

/* As wait_for() */
static int wait_ready(struct sn_model *m, int fd)
{
	int ret = wait_for(m, fd, READY_MS);
	char c;

	if (ret)
		return ret;
	return read(fd, &c, 1) == 1 ? 0 : -ESRCH;
}

int sn_model_start(struct sn_model *m, const struct sn_opts *opts)
{
	char hosts[16], out[160], text[64];
	char *argv[16] = {
		(char *)opts->snpud, (char *)"--socket-dir", m->sockets, (char *)"--hosts", hosts,
		(char *)"--log", m->log, (char *)"--foreground", (char *)"--ready-fd", (char *)"3",
	};
	unsigned int n = 10;
	int ready[2], ret;

	if (opts->timing)
		argv[n++] = (char *)"--timing";
	if (opts->profile) {
		argv[n++] = (char *)"--profile";
		argv[n++] = (char *)opts->profile;
	}
	snprintf(m->sockets, sizeof(m->sockets), "%s/npu", opts->dir);
	snprintf(m->log, sizeof(m->log), "%s/snpud.log", m->sockets);
	snprintf(out, sizeof(out), "%s/snpud.out", opts->dir);
	snprintf(hosts, sizeof(hosts), "%u", opts->hosts);
	snprintf(m->proc.name, sizeof(m->proc.name), "snpud");
	if (mkdir(m->sockets, 0700) || pipe2(ready, O_CLOEXEC)) {
		ret = -errno;
		sn_msg("%s: %s", m->sockets, strerror(-ret));
		return ret;
	}
	if (!geteuid() && chown(m->sockets, MODEL_UID, MODEL_UID))
		sn_msg("%s: chown: %s", m->sockets, strerror(errno));
	ret = sn_spawn(&m->proc, argv, &ready[1], 1, out, MODEL_UID);
	close(ready[1]);
	if (ret) {
		sn_msg("cannot start snpud: %s", strerror(-ret));
		close(ready[0]);
		return ret;
	}
	if (opts->verbose)
		sn_msg("snpud is process %d", (int)m->proc.pid);
	ret = wait_ready(m, ready[0]);
	close(ready[0]);
	if (ret == -EINTR)
		return sn_loop_signal();
	if (ret) {
		struct pollfd p = { .fd = m->proc.pidfd, .events = POLLIN };

		if (poll(&p, 1, 200) > 0) {
			sn_reap(&m->proc, text, sizeof(text));
			sn_msg("snpud did not start: %s", text);
		} else {
			sn_msg("snpud was not ready within %d s", READY_MS / 1000);
		}
		sn_tail(out, 20);
		sn_tail(m->log, 20);
		return -ESRCH;
	}
	ret = learn(m, opts);
	/* no answer, because a signal came */
	if (ret == -EPROTO) {
		int sig = sn_loop_signal();

		ret = sig ? sig : ret;
	}
	return ret ? ret : sn_watch(&m->watch, m->proc.pidfd, on_end, m);
}
