// SPDX-License-Identifier: MIT
/*
 * Control socket: answers, errors, and clients that mean no good.
 */
#include "device/tests/harness.h"

#include <fcntl.h>
#include <json-c/json.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "control/control.h"
#include "fabric/topo.h"
#include "timing/plane.h"

static struct snpu_machine *m;
static struct snpu_control_opts opts;

/* Error code of the answer, 0: a result, 1: no answer, 2: not JSON-RPC */
static int ask_len(const char *msg, size_t len, json_object **res)
{
	json_object *o, *e = NULL, *v = NULL;
	struct snpu_rpc_io io = { .fd = -1, .may_block = true };
	char *rsp;
	int code = 2;

	rsp = snpu_rpc_handle(&opts, msg, len, &io);
	if (!rsp)
		return 1;
	CHECK(strlen(rsp) && rsp[strlen(rsp) - 1] == '\n' &&
	      strchr(rsp, '\n') == rsp + strlen(rsp) - 1, "not one line");
	o = json_tokener_parse(rsp);
	if (json_object_object_get_ex(o, "error", &e)) {
		json_object *data = NULL;

		code = json_object_object_get_ex(e, "code", &v) ? json_object_get_int(v) : 2;
		CHECK(json_object_object_get_ex(e, "data", &data) &&
		      json_object_object_get_ex(data, "what", &v) &&
		      json_object_get_string_len(v) > 0 &&
		      json_object_object_get_ex(data, "allowed", &v), "%s", rsp);
	} else if (json_object_object_get_ex(o, "result", &v)) {
		code = 0;
		if (res)
			*res = json_object_get(v);
	}
	json_object_put(o);
	free(rsp);
	return code;
}

static int ask(const char *msg)
{
	return ask_len(msg, strlen(msg), NULL);
}

#define RPC(method, params) \
	"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"" method "\",\"params\":" params "}"

static void start(void)
{
	m = t_machine(3, 1, NULL);
	opts = (struct snpu_control_opts) { .machine = m };
}

static void methods(void)
{
	json_object *r = NULL, *v = NULL;
	struct t_drv d;
	struct t_queue q;
	const char *s = RPC("npu.queues", "{\"npu\":1}");

	start();
	t_drv_init(&d, m, 1);
	t_queue(&d, &q, 4, 1, t_ctx(&d, 1), 6, 2);
	t_nop(&q);
	t_ring(&q);
	CHECK(t_drain(&q), "nop");
	CHECK_EQ(ask(RPC("machine.info", "{}")), 0);
	CHECK_EQ(ask("{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"method\":\"npu.list\"}"), 0);
	CHECK_EQ(ask(RPC("npu.info", "{\"npu\":2}")), 0);
	CHECK_EQ(ask(RPC("npu.counters", "{\"npu\":0}")), 0);
	CHECK_EQ(ask_len(s, strlen(s), &r), 0);
	CHECK(json_object_object_get_ex(r, "queues", &v) && json_object_array_length(v) == 1,
	      "queues");
	v = json_object_array_get_idx(v, 0);
	CHECK(strstr(json_object_to_json_string_ext(v, 0), "\"queue\":4,\"ctx\":1,\"prio\":2"),
	      "%s", json_object_to_json_string_ext(v, 0));
	json_object_put(r);
	CHECK_EQ(ask(RPC("npu.inject_error", "{\"npu\":1,\"type\":\"ecc_ce\",\"offset\":0}")), 0);
	CHECK_EQ(ask(RPC("npu.inject_error", "{\"npu\":1,\"type\":\"ecc_ue\",\"offset\":99}")), 0);
	CHECK_EQ(snpu_npu_reg_read(d.npu, SNPU_REG_RAS_UE, 8), 1);
	CHECK_EQ(ask(RPC("npu.inject_error",
			 "{\"npu\":1,\"type\":\"queue_fault\",\"queue\":4,\"code\":9}")), 0);
	CHECK(T_WAIT(snpu_load_acq(&q.cpl->state) == SNPU_QSTATE_FAULT), "not injected");
	CHECK_EQ(q.cpl->error, 9);
	CHECK_EQ(ask(RPC("npu.inject_error", "{\"npu\":1,\"type\":\"hang\",\"queue\":4}")), 0);
	CHECK_EQ(ask(RPC("npu.inject_error", "{\"npu\":1,\"type\":\"fatal\",\"reason\":3}")), 0);
	CHECK_EQ(snpu_npu_reg_read(d.npu, SNPU_REG_STATUS, 4), SNPU_STATUS_FATAL);
	CHECK_EQ(ask(RPC("npu.reset", "{\"npu\":1}")), 0);
	CHECK_EQ(snpu_npu_reg_read(d.npu, SNPU_REG_STATUS, 4), SNPU_STATUS_READY);
	CHECK_EQ(ask(RPC("daemon.ping", "{}")), 0);
	/* a notification is carried out and not answered */
	CHECK_EQ(ask("{\"jsonrpc\":\"2.0\",\"method\":\"daemon.ping\"}"), 1);
	t_drv_end(&d);
	t_machine_end(m);
}

/* Every method of the fabric, and each way to get its parameters wrong */
static void fabric(void)
{
	static const struct {
		const char *msg;
		int code;
	} cases[] = {
		{ RPC("fabric.show", "{}"), 0 },
		{ RPC("fabric.links", "{}"), 0 },
		{ RPC("fabric.links", "{\"node\":2}"), 0 },
		{ RPC("fabric.links", "{\"all\":true,\"first\":100}"), 0 },
		{ RPC("fabric.links", "{\"all\":1}"), SNPU_RPC_PARAMS },
		{ RPC("fabric.links", "{\"node\":32}"), SNPU_RPC_PARAMS },
		{ RPC("fabric.links", "{\"npu\":0}"), SNPU_RPC_PARAMS },
		{ RPC("fabric.switches", "{}"), 0 },
		{ RPC("fabric.ports", "{\"node\":31}"), 0 },
		{ RPC("fabric.ports", "{}"), SNPU_RPC_PARAMS },
		{ RPC("fabric.routes", "{\"from\":0,\"to\":31}"), 0 },
		{ RPC("fabric.routes", "{\"from\":0,\"to\":0}"), SNPU_RPC_PARAMS },
		{ RPC("fabric.routes", "{\"from\":0,\"to\":-1}"), SNPU_RPC_PARAMS },
		{ RPC("fabric.matrix", "{}"), 0 },
		{ RPC("fabric.matrix", "{\"first\":33}"), SNPU_RPC_PARAMS },
		{ RPC("machine.top", "{}"), 0 },
		{ RPC("machine.top", "{\"npu\":0}"), SNPU_RPC_PARAMS },
		{ RPC("fabric.fault", "{\"kind\":\"plane\",\"name\":\"3\",\"state\":\"down\"}"), 0 },
		{ RPC("fabric.fault", "{\"kind\":\"switch\",\"name\":\"l1.2\",\"state\":\"flapping\"}"),
		  0 },
		{ RPC("fabric.fault", "{\"kind\":\"link\",\"name\":\"npu1.0-l1.5\",\"state\":"
				      "\"degraded\",\"percent\":25}"), 0 },
		{ RPC("fabric.fault", "{\"kind\":\"link\",\"name\":\"npu1.1>l1.5\",\"state\":"
				      "\"degraded\",\"rate\":1e9}"), 0 },
		{ RPC("fabric.fault", "{\"kind\":\"link\",\"name\":\"npu1.1>l1.5\",\"state\":"
				      "\"degraded\",\"rate\":1e12}"), SNPU_RPC_PARAMS },
		{ RPC("fabric.fault", "{\"kind\":\"link\",\"name\":\"npu1.1>l1.5\",\"state\":"
				      "\"degraded\"}"), SNPU_RPC_PARAMS },
		{ RPC("fabric.fault", "{\"kind\":\"plane\",\"name\":\"1\",\"state\":\"degraded\","
				      "\"rate\":1e9}"), SNPU_RPC_PARAMS },
		{ RPC("fabric.fault", "{\"kind\":\"plane\",\"name\":\"1\",\"state\":\"down\","
				      "\"percent\":5}"), SNPU_RPC_PARAMS },
		{ RPC("fabric.fault", "{\"kind\":\"plane\",\"name\":\"7\",\"state\":\"down\"}"),
		  SNPU_RPC_NOENT },
		{ RPC("fabric.fault", "{\"kind\":\"plane\",\"name\":\"1x\",\"state\":\"down\"}"),
		  SNPU_RPC_NOENT },
		{ RPC("fabric.fault", "{\"kind\":\"link\",\"name\":\"npu0.0>l1.9\",\"state\":\"down\"}"),
		  SNPU_RPC_NOENT },
		{ RPC("fabric.fault", "{\"kind\":\"switch\",\"name\":\"l2.0.0\",\"state\":\"down\"}"),
		  SNPU_RPC_NOENT },
		{ RPC("fabric.fault", "{\"kind\":\"rack\",\"name\":\"0\",\"state\":\"down\"}"),
		  SNPU_RPC_PARAMS },
		{ RPC("fabric.fault", "{\"kind\":\"plane\",\"name\":\"0\",\"state\":\"gone\"}"),
		  SNPU_RPC_PARAMS },
		{ RPC("fabric.fault", "{\"kind\":\"plane\",\"name\":0,\"state\":\"down\"}"),
		  SNPU_RPC_PARAMS },
		{ RPC("fabric.fault", "{}"), SNPU_RPC_PARAMS },
	};
	static const char faults[] = RPC("fabric.faults", "{}"), clear[] = RPC("fabric.clear", "{}");
	json_object *r = NULL, *v = NULL;
	size_t i;

	start();
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		CHECK(ask(cases[i].msg) == cases[i].code, "%s", cases[i].msg);
	CHECK_EQ(ask_len(faults, strlen(faults), &r), 0);
	/* plane, switch, a link both ways, one of them only */
	CHECK(json_object_object_get_ex(r, "count", &v) && json_object_get_int(v) == 5, "%s",
	      json_object_to_json_string_ext(r, 0));
	json_object_put(r);
	CHECK_EQ(ask_len(clear, strlen(clear), &r), 0);
	CHECK(json_object_object_get_ex(r, "cleared", &v) && json_object_get_int(v) == 5, "%s",
	      json_object_to_json_string_ext(r, 0));
	json_object_put(r);
	t_machine_end(m);
}

static void errors(void)
{
	static const struct {
		const char *msg;
		int code;
	} cases[] = {
		{ "", SNPU_RPC_PARSE },
		{ "{", SNPU_RPC_PARSE },
		{ "nonsense", SNPU_RPC_PARSE },
		{ "{} {}", SNPU_RPC_PARSE },
		{ "{'jsonrpc':'2.0'}", SNPU_RPC_PARSE },
		{ "{\"a\":\"\xff\xfe\"}", SNPU_RPC_PARSE },
		{ "[[[[[[[[[[[[[[[[[[[[[[[[[[", SNPU_RPC_PARSE },
		{ "[]", SNPU_RPC_REQUEST },
		{ "null", SNPU_RPC_REQUEST },
		{ "5", SNPU_RPC_REQUEST },
		{ "{}", SNPU_RPC_REQUEST },
		{ "{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"npu.list\"}", SNPU_RPC_REQUEST },
		{ "{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"npu.list\"}", SNPU_RPC_REQUEST },
		{ "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":7}", SNPU_RPC_REQUEST },
		{ "{\"jsonrpc\":\"2.0\",\"id\":1}", SNPU_RPC_REQUEST },
		{ RPC("npu.nothing", "{}"), SNPU_RPC_METHOD },
		{ RPC("npu.list", "[]"), SNPU_RPC_PARAMS },
		{ RPC("npu.list", "{\"npu\":1}"), SNPU_RPC_PARAMS },
		{ RPC("npu.info", "{}"), SNPU_RPC_PARAMS },
		{ RPC("npu.info", "{\"npu\":3}"), SNPU_RPC_PARAMS },
		{ RPC("npu.info", "{\"npu\":-1}"), SNPU_RPC_PARAMS },
		{ RPC("npu.info", "{\"npu\":1.5}"), SNPU_RPC_PARAMS },
		{ RPC("npu.info", "{\"npu\":\"1\"}"), SNPU_RPC_PARAMS },
		{ RPC("npu.info", "{\"npu\":1e30}"), SNPU_RPC_PARAMS },
		{ RPC("npu.info", "{\"npu\":0,\"x\":1}"), SNPU_RPC_PARAMS },
		{ RPC("npu.inject_error", "{\"npu\":0}"), SNPU_RPC_PARAMS },
		{ RPC("npu.inject_error", "{\"npu\":0,\"type\":\"smoke\"}"), SNPU_RPC_PARAMS },
		{ RPC("npu.inject_error", "{\"npu\":0,\"type\":\"ecc_ue\"}"), SNPU_RPC_PARAMS },
		{ RPC("npu.inject_error", "{\"npu\":0,\"type\":\"ecc_ue\",\"offset\":67108864}"),
		  SNPU_RPC_PARAMS },
		{ RPC("npu.inject_error", "{\"npu\":0,\"type\":\"hang\",\"queue\":1}"),
		  SNPU_RPC_NOENT },
		{ RPC("npu.inject_error", "{\"npu\":0,\"type\":\"queue_fault\",\"queue\":1,"
		      "\"code\":0}"), SNPU_RPC_PARAMS },
	};
	size_t i;

	start();
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int code = ask(cases[i].msg);

		CHECK(code == cases[i].code, "%s: code %d, expected %d", cases[i].msg, code,
		      cases[i].code);
	}
	CHECK_EQ((unsigned int)ask_len("{}\0{}", 5, NULL), (unsigned int)SNPU_RPC_PARSE);
	t_machine_end(m);
}

/* ---- through the socket ---- */

static void *server(void *arg)
{
	int *fds = arg;

	return (void *)(intptr_t)snpu_control_run(*(struct snpu_control **)(fds + 2), fds[0]);
}

static int dial(const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	struct timeval tv = { .tv_sec = 10 };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
	CHECK(!connect(fd, (struct sockaddr *)&sa, sizeof(sa)), "connect: %s", strerror(errno));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
	return fd;
}

static bool ping(int fd)
{
	static const char msg[] = RPC("daemon.ping", "{}") "\n";
	char buf[256];
	size_t n = 0;

	if (send(fd, msg, sizeof(msg) - 1, MSG_NOSIGNAL) != sizeof(msg) - 1)
		return false;
	while (n < sizeof(buf)) {
		ssize_t k = recv(fd, buf + n, sizeof(buf) - n, 0);

		if (k <= 0)
			return false;
		n += (size_t)k;
		if (buf[n - 1] == '\n')
			return memmem(buf, n, "\"result\"", 8);
	}
	return false;
}

static void hostile_clients(void)
{
	char path[] = "/tmp/snpu-control-XXXXXX", sock[64], big[4096], err[256];
	static char list[] = RPC("machine.info", "{}") "\n";
	struct {
		int fds[2];
		struct snpu_control *c;
	} s;
	int good, bad, many[80];
	struct stat st;
	unsigned int i;
	pthread_t t;
	ssize_t n;

	start();
	CHECK(mkdtemp(path), "mkdtemp");
	snprintf(sock, sizeof(sock), "%s/control.sock", path);
	opts.path = sock;
	s.fds[0] = eventfd(0, EFD_CLOEXEC);
	s.c = snpu_control_open(&opts, err, sizeof(err));
	CHECK(s.c, "%s", err);
	CHECK(!snpu_control_open(&opts, err, sizeof(err)), "opened twice");
	CHECK(!stat(sock, &st) && (st.st_mode & 0777) == 0600, "mode %o", st.st_mode & 0777);
	CHECK(!pthread_create(&t, NULL, server, &s), "thread");
	good = dial(sock);
	CHECK(ping(good), "ping");
	/* a message without end */
	bad = dial(sock);
	memset(big, 'x', sizeof(big));
	for (i = 0; i < 40; i++)
		if (send(bad, big, sizeof(big), MSG_NOSIGNAL) < 0)
			break;
	n = recv(bad, big, sizeof(big) - 1, 0);
	big[n > 0 ? n : 0] = 0;
	CHECK(strstr(big, "message too long"), "%s", big);
	close(bad);
	CHECK(ping(good), "after a message without end");
	/* one that never reads */
	bad = dial(sock);
	for (i = 0; i < 5000; i++)
		if (send(bad, list, sizeof(list) - 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 &&
		    errno != EAGAIN)
			break;
	CHECK(ping(good), "beside one that never reads");
	close(bad);
	/* half a message, one byte at a time, gone in the middle */
	bad = dial(sock);
	for (i = 0; i < 20; i++)
		CHECK(send(bad, list + i, 1, MSG_NOSIGNAL) == 1, "send");
	close(bad);
	/* more than are served */
	for (i = 0; i < 80; i++)
		many[i] = dial(sock);
	CHECK(ping(good), "with 80 others");
	for (i = 0; i < 80; i++)
		close(many[i]);
	/* two messages at once, an empty line between; then quit */
	CHECK(send(good, "\n\n", 2, MSG_NOSIGNAL) == 2 && ping(good), "empty lines");
	CHECK(send(good, RPC("daemon.quit", "{}") "\n", strlen(RPC("daemon.quit", "{}")) + 1,
		   MSG_NOSIGNAL) > 0, "send");
	pthread_join(t, NULL);
	snpu_control_close(s.c);
	CHECK(access(sock, F_OK), "socket left behind");
	close(good);
	close(s.fds[0]);
	rmdir(path);
	t_machine_end(m);
}

/* Whether the server has closed; does not wait */
static bool closed(int fd)
{
	char buf[65536];
	ssize_t n;

	while ((n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT)) > 0)
		;
	return !n || (errno != EAGAIN && errno != EWOULDBLOCK);
}

/*
 * Connections that hold what others need too: a request that never ends, answers that are not read,
 * places that are taken and not used. Beside each, one that behaves gets all of its answers.
 */
static void squatters(void)
{
	char path[] = "/tmp/snpu-control-XXXXXX", sock[64], err[256];
	static char list[] = RPC("machine.info", "{}") "\n";
	int good, bad, late, many[SNPU_CONTROL_MAX_CLIENTS];
	struct {
		int fds[2];
		struct snpu_control *c;
	} s;
	unsigned int i, sent;
	pthread_t t;

	start();
	CHECK(mkdtemp(path), "mkdtemp");
	snprintf(sock, sizeof(sock), "%s/control.sock", path);
	opts.path = sock;
	opts.message_ms = opts.unread_ms = opts.idle_ms = 300;
	s.fds[0] = eventfd(0, EFD_CLOEXEC);
	s.c = snpu_control_open(&opts, err, sizeof(err));
	CHECK(s.c, "%s", err);
	CHECK(!pthread_create(&t, NULL, server, &s), "thread");
	good = dial(sock);
	/* a byte now and then: the whole request has one deadline, not each byte */
	bad = dial(sock);
	for (i = 0, sent = 0; i < 400 && !closed(bad); i++, usleep(20000)) {
		sent += i < sizeof(list) - 2 && send(bad, list + i, 1, MSG_NOSIGNAL) == 1;
		if (!ping(good)) {
			CHECK(false, "step %u beside half a request", i);
			break;
		}
	}
	CHECK(i < 400 && sent < sizeof(list) - 2, "half a request is waited for, %u bytes", sent);
	close(bad);
	/* answers that are not read */
	bad = dial(sock);
	for (i = 0; i < 300; i++)
		if (send(bad, list, sizeof(list) - 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
			break;
	for (i = 0; i < 400 && send(bad, "\n", 1, MSG_NOSIGNAL | MSG_DONTWAIT) != -1; i++) {
		CHECK(ping(good), "step %u beside one that reads no answers", i);
		usleep(20000);
	}
	CHECK(i < 400 || errno == EPIPE, "unread answers are kept");
	close(bad);
	/* all places taken by connections that say nothing: the oldest makes room */
	for (i = 0; i < SNPU_CONTROL_MAX_CLIENTS; i++) {
		many[i] = dial(sock);
		CHECK(ping(good), "step %u beside idle ones", i);
	}
	for (i = 0, late = -1; i < 400; i++) {
		late = dial(sock);
		if (ping(late))
			break;
		close(late);
		late = -1;
		usleep(20000);
	}
	CHECK(late >= 0, "no room");
	CHECK(ping(good), "beside a late one");
	for (i = 0; i < SNPU_CONTROL_MAX_CLIENTS; i++)
		close(many[i]);
	close(late);
	CHECK(send(good, RPC("daemon.quit", "{}") "\n", strlen(RPC("daemon.quit", "{}")) + 1,
		   MSG_NOSIGNAL) > 0, "send");
	pthread_join(t, NULL);
	snpu_control_close(s.c);
	close(good);
	close(s.fds[0]);
	rmdir(path);
	t_machine_end(m);
}

static void plane_kick(void *ctx)
{
	(void)ctx;
}

static void plane_answered(void *ctx, uint32_t node, uint32_t queue)
{
	(void)ctx;
	(void)node;
	(void)queue;
}

/* One line of an answer; false: none within a minute */
static bool answer(int fd, char *buf, size_t len)
{
	struct timeval tv = { .tv_sec = 60 };
	size_t n = 0;

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	while (n + 1 < len && recv(fd, buf + n, 1, 0) == 1 && buf[n] != '\n')
		n++;
	buf[n] = 0;
	return n;
}

static void say(int fd, const char *line)
{
	CHECK(send(fd, line, strlen(line), MSG_NOSIGNAL) == (ssize_t)strlen(line), "send");
}

/* Sends descriptors along with a line */
static void say_fds(int fd, const char *line, int pass, unsigned int n)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(4 * sizeof(int))];
	} ctl = { 0 };
	struct iovec iov = { (void *)line, strlen(line) };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = ctl.buf,
			     .msg_controllen = CMSG_SPACE(n * sizeof(int)) };
	struct cmsghdr *cm = CMSG_FIRSTHDR(&mh);
	unsigned int i;

	cm->cmsg_level = SOL_SOCKET;
	cm->cmsg_type = SCM_RIGHTS;
	cm->cmsg_len = CMSG_LEN(n * sizeof(int));
	for (i = 0; i < n; i++)
		memcpy(CMSG_DATA(cm) + i * sizeof(int), &pass, sizeof(pass));
	CHECK(sendmsg(fd, &mh, MSG_NOSIGNAL) == (ssize_t)strlen(line), "sendmsg");
}

/* Methods that wait hold up their own client only. This machine never comes to rest */
static void slow_methods(void)
{
	static const struct snpu_plane_ops ops = { plane_kick, plane_answered };
	char path[] = "/tmp/snpu-control-XXXXXX", sock[64], file[64], buf[1024], err[256] = "";
	struct snpu_plane_opts po = { 0 };
	struct snpu_profile *prof;
	struct {
		int fds[2];
		struct snpu_control *c;
	} s;
	int slow, other, gone, fd, pipes[2];
	struct snpu_topo *topo;
	unsigned int i;
	pthread_t t;

	start();
	CHECK_EQ(ask(RPC("timing.summary", "{}")), SNPU_RPC_UNSUPPORTED);
	prof = t_profile();
	topo = snpu_topo_new(prof, err, sizeof(err));
	po.topo = topo;
	opts.topo = topo;
	opts.plane = snpu_plane_new(&po, err, sizeof(err));
	CHECK(opts.plane && !snpu_plane_start(opts.plane, &ops, NULL), "%s", err);
	CHECK_EQ(ask(RPC("timing.summary", "{\"timeout_ms\":1}")), SNPU_RPC_STATE);
	CHECK_EQ(ask(RPC("timing.links", "{\"timeout_ms\":1}")), SNPU_RPC_STATE);
	CHECK_EQ(ask(RPC("timing.reset", "{\"timeout_ms\":1}")), SNPU_RPC_STATE);
	CHECK_EQ(ask(RPC("timing.reset", "{\"timeout_ms\":600001}")), SNPU_RPC_PARAMS);
	CHECK_EQ(ask(RPC("timing.trace", "{\"timeout_ms\":1}")), SNPU_RPC_PARAMS);
	CHECK_EQ(ask(RPC("timing.trace", "{\"path\":\"/tmp/x\"}")), SNPU_RPC_PARAMS);
	CHECK_EQ(ask(RPC("timing.trace", "{\"counters\":1}")), SNPU_RPC_PARAMS);

	CHECK(mkdtemp(path), "mkdtemp");
	snprintf(sock, sizeof(sock), "%s/control.sock", path);
	snprintf(file, sizeof(file), "%s/trace", path);
	opts.path = sock;
	s.fds[0] = eventfd(0, EFD_CLOEXEC);
	s.c = snpu_control_open(&opts, err, sizeof(err));
	CHECK(s.c && !pthread_create(&t, NULL, server, &s), "%s", err);
	slow = dial(sock);
	other = dial(sock);
	/* waits; what the same client says meanwhile has its turn afterwards, others go on */
	say(slow, RPC("timing.summary", "{\"timeout_ms\":600000}") "\n"
		  RPC("daemon.ping", "{}") "\n");
	for (i = 0; i < 10; i++)
		CHECK(ping(other), "beside a slow one");
	CHECK(recv(slow, buf, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN, "answered already");
	/* gone while it waits */
	gone = dial(sock);
	say(gone, RPC("timing.reset", "{\"timeout_ms\":600000}") "\n");
	close(gone);
	CHECK(ping(other), "after one that is gone");
	/* descriptors: of no file; several; for a method that wants none; for a trace */
	CHECK(!pipe(pipes), "pipe");
	say_fds(other, RPC("timing.trace", "{\"timeout_ms\":1}") "\n", pipes[1], 1);
	CHECK(answer(other, buf, sizeof(buf)) && strstr(buf, "not one of a file"), "%s", buf);
	say_fds(other, RPC("daemon.ping", "{}") "\n", pipes[1], 4);
	CHECK(answer(other, buf, sizeof(buf)) && strstr(buf, "version"), "%s", buf);
	fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	say_fds(other, RPC("timing.trace", "{\"timeout_ms\":1,\"counters\":true}") "\n", fd, 1);
	CHECK(answer(other, buf, sizeof(buf)) && strstr(buf, "did not come to rest"), "%s", buf);
	close(pipes[1]);
	/* all of ours were closed there */
	CHECK_EQ(read(pipes[0], buf, 1), 0);
	snpu_plane_stop(opts.plane);
	CHECK(answer(slow, buf, sizeof(buf)) && strstr(buf, "snpud ends"), "%s", buf);
	CHECK(answer(slow, buf, sizeof(buf)) && strstr(buf, "version"), "%s", buf);
	say(other, RPC("daemon.quit", "{}") "\n");
	pthread_join(t, NULL);
	snpu_control_close(s.c);
	snpu_plane_free(opts.plane);
	snpu_topo_free(topo);
	snpu_profile_free(prof);
	close(slow);
	close(other);
	close(fd);
	close(pipes[0]);
	close(s.fds[0]);
	unlink(file);
	rmdir(path);
	t_machine_end(m);
}

int main(int argc, char **argv)
{
	static const struct t_case cases[] = {
		{ "methods", methods },
		{ "fabric", fabric },
		{ "errors", errors },
		{ "hostile_clients", hostile_clients },
		{ "squatters", squatters },
		{ "slow_methods", slow_methods },
	};

	return t_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
}
