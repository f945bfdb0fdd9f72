// SPDX-License-Identifier: MIT
/*
 * Who may connect, how clients come and go, and the sockets themselves.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "tap.h"
#include "toy.h"

static struct snpu_vfu_server *srv;
static struct toy toy;

static int id_of(int fd, uint32_t *id)
{
	struct snpu_vfu_region_rw a = { .offset = TOY_ID, .count = 4 };
	uint8_t buf[20];
	int k = raw_call(fd, SNPU_VFU_CMD_REGION_READ, &a, sizeof(a), NULL, 0, buf, sizeof(buf),
			 NULL);

	memcpy(id, buf + 16, 4);
	return k == (int)sizeof(buf) ? 0 : -1;
}

static void still_serves(void)
{
	uint32_t id = 0;
	int fd = raw_hello(toy.path);

	CHECK(fd >= 0);
	CHECK_EQ(id_of(fd, &id), 0);
	CHECK_EQ(id, TOY_ID_VALUE);
	close(fd);
}

static void second_client(void)
{
	int a = raw_hello(toy.path), b;
	uint32_t id = 0;

	b = raw_connect(toy.path);
	CHECK(b >= 0);
	CHECK(raw_gone(b));
	close(b);
	CHECK(toy_said("refused"));
	/* the first has not noticed */
	CHECK_EQ(id_of(a, &id), 0);
	CHECK(snpu_vfu_dev_connected(toy.dev));
	close(a);
}

static void come_and_go(void)
{
	struct snpu_vfu_hdr h = { .cmd = SNPU_VFU_CMD_GET_INFO, .size = 32 };
	unsigned int i, n = toy_count(&toy, &toy.connects), off, fds;
	int fd;

	CHECK(toy_wait(&toy, &toy.disconnects, n));
	off = toy_count(&toy, &toy.disconnects);
	fds = toy_fds();
	/* the next one comes before the server has seen the last one go */
	for (i = 0; i < 200; i++) {
		fd = raw_hello(toy.path);
		CHECK(fd >= 0);
		close(fd);
	}
	CHECK(toy_wait(&toy, &toy.disconnects, off + 200));
	CHECK_EQ(toy_count(&toy, &toy.connects), n + 200);
	/* in the middle of a header, and of a message */
	for (i = 1; i < 32; i++) {
		uint8_t part[32] = { 0 };

		memcpy(part, &h, sizeof(h));
		fd = raw_hello(toy.path);
		CHECK_EQ(send(fd, part, i, MSG_NOSIGNAL), i);
		close(fd);
	}
	CHECK(toy_wait(&toy, &toy.disconnects, off + 231));
	/* one that comes, says nothing and goes does not reach the device */
	fd = raw_connect(toy.path);
	close(fd);
	/* a message in single bytes is one all the same */
	fd = raw_hello(toy.path);
	{
		uint8_t part[32] = { 0 };

		memcpy(part, &h, sizeof(h));
		part[16] = 16;
		for (i = 0; i < sizeof(part); i++)
			CHECK_EQ(send(fd, part + i, 1, MSG_NOSIGNAL), 1);
	}
	CHECK_EQ(raw_recv(fd, &h, NULL, 0, NULL), 16);
	/* sent away by the device */
	snpu_vfu_dev_drop(toy.dev);
	CHECK(raw_gone(fd));
	close(fd);
	CHECK(toy_wait(&toy, &toy.disconnects, off + 232));
	CHECK_EQ(toy_count(&toy, &toy.connects), n + 232);
	still_serves();
	CHECK(toy_wait(&toy, &toy.disconnects, off + 233));
	/* the thread of the last one may not have closed yet; it has at the next hello */
	fd = raw_hello(toy.path);
	CHECK(toy_fds() <= fds + 2);
	close(fd);
}

static void sockets(void)
{
	char path[256];
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	struct toy t;
	struct stat st;
	int fd;

	CHECK(!stat(toy.path, &st));
	CHECK_EQ(st.st_mode & 07777, 0600);
	/* in use */
	CHECK_EQ(toy_add(srv, &t, "toy"), -EADDRINUSE);
	toy_free(&t);
	still_serves();
	/* a file */
	snprintf(path, sizeof(path), "%s/file", toy_dir());
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	CHECK_EQ(toy_add(srv, &t, "file"), -EEXIST);
	toy_free(&t);
	close(fd);
	CHECK(!unlink(path));
	/* left over by one that died */
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/stale", toy_dir());
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(!bind(fd, (struct sockaddr *)&sa, sizeof(sa)));
	close(fd);
	CHECK_EQ(toy_add(srv, &t, "stale"), 0);
	fd = raw_hello(t.path);
	CHECK(fd >= 0);
	/* goes away with its device, client and all */
	snpu_vfu_dev_destroy(t.dev);
	CHECK(raw_gone(fd));
	close(fd);
	CHECK_EQ(t.connects, 1);
	CHECK_EQ(t.disconnects, 1);
	CHECK(stat(t.path, &st));
	toy_free(&t);
	/* but not if it is somebody else's by then */
	CHECK_EQ(toy_add(srv, &t, "moved"), 0);
	CHECK(!unlink(t.path));
	snprintf(path, sizeof(path), "%s", t.path);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	snpu_vfu_dev_destroy(t.dev);
	toy_free(&t);
	CHECK(!stat(path, &st));
	close(fd);
	CHECK(!unlink(path));
}

static void bad_config(void)
{
	static const struct snpu_vfu_ops none;
	const struct snpu_vfu_area out = { 0x1000, 0x1000 }, odd = { 0x800, 0x1000 };
	const struct snpu_vfu_area twice[2] = { { 0, 0x2000 }, { 0x1000, 0x1000 } };
	struct snpu_vfu_dev_cfg cfg = { .path = "x", .ops = &none };
	int mem = toy_memfd(0x1000);
	char path[200];
	struct {
		struct snpu_vfu_region rg;
	} bad[] = {
		{ { .size = 0x1000, .flags = 7, .fd = -1 } },
		{ { .size = 0x2000, .flags = 7, .fd = mem } },
		{ { .size = 0x1000, .flags = 7, .fd = mem, .areas = &out, .nr_areas = 1 } },
		{ { .size = 0x2000, .flags = 7, .fd = mem, .areas = &odd, .nr_areas = 1 } },
		{ { .size = 0x2000, .flags = 7, .fd = mem, .areas = twice, .nr_areas = 2 } },
		{ { .size = 0x1000, .flags = 7, .fd = mem, .fd_offset = 8 } },
		{ { .size = 0x1000, .flags = 8, .fd = mem } },
	};
	struct snpu_vfu_dev *d;
	struct snpu_vfu_ops ops;
	struct toy t;
	unsigned int i;

	CHECK_EQ(snpu_vfu_dev_create(srv, &cfg, &d), -EINVAL);
	CHECK_EQ(toy_add(srv, &t, "ok"), 0);
	snpu_vfu_dev_destroy(t.dev);
	toy_free(&t);
	memset(&ops, 0, sizeof(ops));
	ops.region_read = (void *)toy_dir;
	ops.region_write = (void *)toy_dir;
	cfg.ops = &ops;
	snprintf(path, sizeof(path), "%s/never", toy_dir());
	cfg.path = path;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		cfg.regions[1] = bad[i].rg;
		CHECK_EQ(snpu_vfu_dev_create(srv, &cfg, &d), -EINVAL);
	}
	memset(cfg.regions, 0, sizeof(cfg.regions));
	memset(path, 'a', sizeof(path) - 1);
	path[108] = 0;
	CHECK_EQ(snpu_vfu_dev_create(srv, &cfg, &d), -ENAMETOOLONG);
	cfg.nr_vectors = 2049;
	CHECK_EQ(snpu_vfu_dev_create(srv, &cfg, &d), -EINVAL);
	close(mem);
}

static long rss_kb(void)
{
	long total, rss = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	NEED(f && fscanf(f, "%ld %ld", &total, &rss) == 2);
	fclose(f);
	return rss * (getpagesize() / 1024);
}

static void many_devices(void)
{
	static struct toy t[384];
	struct timeval a, b;
	unsigned int i;
	long before = rss_kb(), grew, ms;
	char name[16];
	int fd;

	gettimeofday(&a, NULL);
	for (i = 0; i < 384; i++) {
		snprintf(name, sizeof(name), "npu%u", i);
		CHECK_EQ(toy_add(srv, &t[i], name), 0);
	}
	gettimeofday(&b, NULL);
	ms = (b.tv_sec - a.tv_sec) * 1000 + (b.tv_usec - a.tv_usec) / 1000;
	grew = rss_kb() - before;
	printf("# 384 devices: %ld ms, %ld KiB\n", ms, grew);
	CHECK(ms < 1000);
	/* of which 8.6 KiB each are the toy itself */
	CHECK(grew < 32768);
	fd = raw_hello(t[383].path);
	CHECK(fd >= 0);
	close(fd);
	for (i = 0; i < 384; i++) {
		snpu_vfu_dev_destroy(t[i].dev);
		toy_free(&t[i]);
	}
}

/* Whether the server closes while @len bytes of a message are sent one by one */
static bool closed_within(int fd, const void *msg, size_t len)
{
	const uint8_t *b = msg;
	size_t i;

	for (i = 0; i < len; i++) {
		struct pollfd p = { .fd = fd, .events = POLLIN | POLLRDHUP };

		if (send(fd, b + i, 1, MSG_NOSIGNAL) != 1)
			return true;
		if (poll(&p, 1, 60) > 0)
			return p.revents & (POLLHUP | POLLRDHUP);
		/* others are served meanwhile */
		still_serves();
	}
	return false;
}

/* A message has one deadline, in however many pieces it comes: with one for each piece these would
 * have 40 and more of them
 */
static void one_byte_now_and_then(void)
{
	const struct snpu_vfu_server_cfg cfg = { .message_timeout_ms = 600 };
	struct {
		struct snpu_vfu_hdr h;
		uint8_t data[32];
	} m = { .h = { .cmd = SNPU_VFU_CMD_VERSION, .size = sizeof(m) } };
	struct snpu_vfu_info info = { .argsz = sizeof(info) };
	struct snpu_vfu_server *s;
	struct toy t;
	int fd;

	NEED(!snpu_vfu_server_create(&cfg, &s) && !toy_add(s, &t, "slow"));
	fd = raw_connect(t.path);
	CHECK(closed_within(fd, &m, sizeof(m)));
	close(fd);
	fd = raw_hello(t.path);
	m.h.cmd = SNPU_VFU_CMD_REGION_WRITE;
	CHECK(closed_within(fd, &m, sizeof(m)));
	close(fd);
	/* no limit on how long a client says nothing */
	fd = raw_hello(t.path);
	CHECK_EQ(poll(&(struct pollfd){ .fd = fd, .events = POLLIN | POLLRDHUP }, 1, 900), 0);
	CHECK_EQ(raw_call(fd, SNPU_VFU_CMD_GET_INFO, &info, sizeof(info), NULL, 0, NULL, 0, NULL),
		 sizeof(info));
	close(fd);
	snpu_vfu_server_destroy(s);
	toy_free(&t);
}

int main(void)
{
	unsigned int fds;

	setvbuf(stdout, NULL, _IOLBF, 0);
	alarm(120);
	toy_dir();
	fds = toy_fds();
	srv = toy_server(500, 64);
	NEED(srv && !toy_add(srv, &toy, "toy"));
	RUN(second_client);
	RUN(come_and_go);
	RUN(one_byte_now_and_then);
	RUN(sockets);
	RUN(bad_config);
	RUN(many_devices);
	snpu_vfu_server_destroy(srv);
	tap_bad = 0;
	CHECK_EQ(toy_count(&toy, &toy.connects), toy_count(&toy, &toy.disconnects));
	toy_free(&toy);
	CHECK_EQ(toy_fds(), fds);
	tap_failed += !!tap_bad;
	printf("%sok %d - nothing left\n", tap_bad ? "not " : "", ++tap_run);
	return tap_end();
}
