// SPDX-License-Identifier: MIT
/*
 * Two ends of a segment that share nothing but its name. By itself the program runs both, in two
 * processes; tools/vm/two-guests runs each in a guest of its own:
 *
 *	snpu-test-guests export NAME	export, tell when it was reached, stay until killed
 *	snpu-test-guests once NAME	export, end when it was reached
 *	snpu-test-guests reset NAME AGAIN	export, reset the NPU when reached, once AGAIN
 *	snpu-test-guests import NAME AGAIN	reach it until it goes, then reach AGAIN
 *	snpu-test-guests ports PLANE	tell when the plane goes down, and when it is up again
 */
#include <fcntl.h>
#include <linux/netlink.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <drm/snpu_accel.h>
#include <snpu_hw.h>

#include "tap.h"

#define BYTES	(1ull << 20)
#define LIMIT_S	240	/* of a role: the other guest boots meanwhile */

/* struct end - what the exporter has */
struct end {
	struct t_dev d;
	struct snpu_mem *mem;
	uint64_t *p;
};

static bool open_end(struct end *e, const char *name)
{
	void *p;

	if (t_dev_open(&e->d, 0, 4096, SNPU_MEM_HBM))
		return false;
	if (snpu_mem_alloc(e->d.ctx, BYTES, SNPU_MEM_HBM | SNPU_MEM_CONTIG, &e->mem) ||
	    snpu_mem_map(e->mem, &p) ||
	    snpu_seg_export(e->mem, SNPU_SEG_READ | SNPU_SEG_WRITE, name, NULL)) {
		t_fail(__FILE__, __LINE__, "%s", snpu_last_error());
		return false;
	}
	e->p = p;
	printf("# exported %s\n", name);
	return true;
}

/* The NPU itself waits for the word that the other end writes last */
static void until_reached(struct end *e)
{
	uint64_t i, bad = 0;

	snpu_prep_wait(t_pkt(e->d.q), snpu_mem_va(e->mem) + BYTES - 8, 1, SNPU_SEM_GE, 0);
	CHECK_EQ(t_run(e->d.q), 0);
	for (i = 0; i < BYTES / 8 - 1; i++)
		bad += e->p[i] != 0x5151515151515151ull;
	CHECK_EQ(bad, 0);
	printf("# reached\n");
}

static void close_end(struct end *e)
{
	CHECK_EQ(snpu_mem_free(e->mem), 0);
	t_dev_close(&e->d);
}

static void role_export(const char *name, bool stay)
{
	struct end e;

	NEED(open_end(&e, name));
	until_reached(&e);
	while (stay)
		pause();
	close_end(&e);
}

static void role_reset(const char *name, const char *again)
{
	struct snpu_info info;
	char path[80];
	struct end e;
	int fd;

	NEED(open_end(&e, name));
	until_reached(&e);
	NEED(!snpu_get_info(t_snpu(), 0, &info, sizeof(info)));
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/reset", info.pci);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	NEED(fd >= 0);
	NEED(write(fd, "1", 1) == 1);
	close(fd);
	printf("# reset\n");
	/* it is gone, which is what revoking is for */
	CHECK_EQ(snpu_seg_revoke(e.mem), 0);
	close_end(&e);
	role_export(again, false);
}

/* Until somebody has published it */
static struct snpu_mem *import(struct snpu_ctx *ctx, const char *name, struct snpu_seg_handle *h)
{
	uint64_t end = t_now() + LIMIT_S * T_SEC;
	struct snpu_mem *m = NULL;
	int ret;

	/* the directory tells nobody of new names: ask now and then */
	while ((ret = snpu_seg_lookup(ctx, name, h)) == -ENOENT || ret == -EHOSTUNREACH) {
		if (t_now() > end)
			break;
		t_sleep_ms(20);
	}
	if (ret || snpu_seg_import(ctx, h, 0, &m))
		t_fail(__FILE__, __LINE__, "%s: %s", name, snpu_last_error());
	return m;
}

static void put(struct t_dev *d, struct snpu_mem *m)
{
	snpu_prep_fill(t_pkt(d->q), snpu_mem_va(m), BYTES - 8, 0x51, 1);
	snpu_prep_copy(t_pkt(d->q), d->va, snpu_mem_va(m) + 4096, 4096);
	snpu_prep_signal(t_pkt(d->q), snpu_mem_va(m) + BYTES - 8, 1, SNPU_SEM_SET);
	CHECK_EQ(t_run(d->q), 0);
	CHECK_EQ(d->p[4095], 0x51);
}

static void role_import(const char *name, const char *again)
{
	uint64_t end = t_now() + LIMIT_S * T_SEC;
	struct snpu_seg_handle h;
	struct t_dev d, other;
	struct snpu_error err;
	struct snpu_mem *m;
	uint64_t n = 0;
	int ret;

	NEED(!t_dev_open(&d, snpu_count(t_snpu()) - 1, 4096, SNPU_MEM_HBM));
	NEED(!t_dev_open(&other, snpu_count(t_snpu()) - 1, 4096, SNPU_MEM_HBM));
	m = import(d.ctx, name, &h);
	NEED(m);
	put(&d, m);
	printf("# reaching\n");
	do {
		snpu_prep_copy(t_pkt(d.q), d.va, snpu_mem_va(m) + 8192, 4096);
		ret = t_run(d.q);
		n++;
	} while (!ret && t_now() < end);
	CHECK_EQ(ret, -EIO);
	CHECK_EQ(snpu_queue_error(d.q, &err, sizeof(err)), 0);
	CHECK_EQ(err.code, SNPU_ERR_FABRIC);
	CHECK_EQ(err.va, snpu_mem_va(m) + 8192);
	printf("# told after %llu copies\n", (unsigned long long)n);
	/* nobody else is */
	snpu_prep_fill(t_pkt(other.q), other.va, 4096, 3, 1);
	CHECK_EQ(t_run(other.q), 0);
	CHECK_EQ(other.p[77], 3);
	ret = snpu_seg_lookup(other.ctx, name, &h);
	CHECK(ret == -ENOENT || ret == -EHOSTUNREACH);
	CHECK_EQ(snpu_mem_free(m), 0);
	t_dev_close(&d);
	/* and the next comes */
	if (again) {
		m = import(other.ctx, again, &h);
		NEED(m);
		put(&other, m);
		CHECK_EQ(snpu_mem_free(m), 0);
	}
	t_dev_close(&other);
}

/* ---- ports, as seen by a driver's user ------------------------------------------------------- */

/* State of the port of die 0 on a plane; ~0: no answer */
static uint32_t port_state(int fd, uint32_t plane)
{
	struct drm_snpu_port port[64] = { 0 };
	struct drm_snpu_dev_query q = {
		.type = DRM_SNPU_QUERY_PORTS, .size = sizeof(port), .pointer = (uintptr_t)port,
	};

	if (plane >= 64 || ioctl(fd, DRM_IOCTL_SNPU_DEV_QUERY, &q))
		return ~0u;
	return q.size / sizeof(*port) > plane ? port[plane].state : ~0u;
}

/* A uevent of a device with FABRIC=changed */
static bool is_change(const char *buf, size_t len)
{
	const char *s;

	for (s = buf; s < buf + len; s += strlen(s) + 1) {
		if (!strcmp(s, "FABRIC=changed"))
			return true;
	}
	return false;
}

/* Until the port is in @state, and not before an event said so */
static void until_state(int nl, int fd, uint32_t plane, uint32_t state)
{
	char buf[4097];
	ssize_t len;

	do {
		do {
			len = recv(nl, buf, sizeof(buf) - 1, 0);
			NEED(len > 0);
			buf[len] = '\0';
		} while (!is_change(buf, (size_t)len));
		NEED(port_state(fd, plane) != ~0u);
	} while (port_state(fd, plane) != state);
}

static void role_ports(const char *number)
{
	struct sockaddr_nl addr = { .nl_family = AF_NETLINK, .nl_groups = 1 };
	uint32_t plane = (uint32_t)strtoul(number, NULL, 10);
	int nl = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_KOBJECT_UEVENT), fd;
	struct snpu_seg_handle h;
	struct snpu_info info;
	struct snpu_mem *m;
	struct t_dev d;
	struct end e;

	NEED(nl >= 0 && !bind(nl, (struct sockaddr *)&addr, sizeof(addr)));
	NEED(open_end(&e, "t-guests-ports"));
	NEED(!t_dev_open(&d, 1, 4096, SNPU_MEM_HBM));
	m = import(d.ctx, "t-guests-ports", &h);
	NEED(m);
	NEED(!snpu_get_info(t_snpu(), 0, &info, sizeof(info)));
	fd = open(info.path, O_RDWR | O_CLOEXEC);
	NEED(fd >= 0);
	CHECK_EQ(port_state(fd, plane), SNPU_PORT_UP);
	printf("# listening\n");
	until_state(nl, fd, plane, SNPU_PORT_DOWN);
	/* the other planes carry what it did */
	put(&d, m);
	CHECK_EQ(port_state(fd, (plane + 1) % info.planes), SNPU_PORT_UP);
	printf("# plane %u is down\n", plane);
	until_state(nl, fd, plane, SNPU_PORT_UP);
	put(&d, m);
	CHECK_EQ(snpu_mem_free(m), 0);
	t_dev_close(&d);
	close_end(&e);
	close(fd);
	close(nl);
}

/* ---- both in this machine -------------------------------------------------------------------- */

static pid_t start(const char *role, const char *name, const char *again)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid)
		return pid;
	alarm(100);
	if (!strcmp(role, "import"))
		role_import(name, again);
	else
		role_export(name, !strcmp(role, "export"));
	t_close();
	fflush(stdout);
	_exit(t_failures() ? 1 : 0);
}

static void killed(void)
{
	pid_t a, b, c;
	int status;
	struct snpu_seg_handle h;
	struct t_dev d;

	a = start("export", "t-guests-one", NULL);
	b = start("import", "t-guests-one", "t-guests-two");
	NEED(a > 0 && b > 0);
	/* reached: its last word is there */
	NEED(!t_dev_open(&d, 1, 4096, SNPU_MEM_HBM));
	{
		struct snpu_mem *m = import(d.ctx, "t-guests-one", &h);

		NEED(m);
		snpu_prep_wait(t_pkt(d.q), snpu_mem_va(m) + BYTES - 8, 1, SNPU_SEM_GE, 0);
		CHECK_EQ(t_run(d.q), 0);
		CHECK_EQ(snpu_mem_free(m), 0);
	}
	t_dev_close(&d);
	t_close();
	CHECK_EQ(kill(a, SIGKILL), 0);
	NEED(waitpid(a, &status, 0) == a);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	c = start("once", "t-guests-two", NULL);
	NEED(waitpid(b, &status, 0) == b);
	CHECK_EQ(status, 0);
	NEED(waitpid(c, &status, 0) == c);
	CHECK_EQ(status, 0);
}

int main(int argc, char **argv)
{
	static const struct t_case cases[] = {
		{ "an exporter is killed: who reaches it is told, and goes on", killed, T_BOTH },
	};

	if (argc == 1)
		return t_main(cases, sizeof(cases) / sizeof(*cases));
	setvbuf(stdout, NULL, _IOLBF, 0);
	alarm(2 * LIMIT_S);
	if (argc == 3 && !strcmp(argv[1], "export"))
		role_export(argv[2], true);
	else if (argc == 3 && !strcmp(argv[1], "once"))
		role_export(argv[2], false);
	else if (argc == 3 && !strcmp(argv[1], "ports"))
		role_ports(argv[2]);
	else if (argc == 4 && !strcmp(argv[1], "reset"))
		role_reset(argv[2], argv[3]);
	else if (argc == 4 && !strcmp(argv[1], "import"))
		role_import(argv[2], argv[3]);
	else
		return 2;
	t_close();
	return t_failures() ? 1 : 0;
}
