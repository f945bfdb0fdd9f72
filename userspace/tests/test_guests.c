// SPDX-License-Identifier: MIT
/*
 * Two ends of a segment that share nothing but its name. By itself the program runs both, in two
 * processes; tools/vm/two-guests runs each in a guest of its own:
 *
 *	snpu-test-guests export NAME	export, tell when it was reached, stay until killed
 *	snpu-test-guests once NAME	export, end when it was reached
 *	snpu-test-guests reset NAME AGAIN	export, reset the NPU when reached, once AGAIN
 *	snpu-test-guests import NAME [AGAIN]	reach it until it goes, then reach AGAIN
 *	snpu-test-guests ports PLANE	tell when the plane goes down, and when it is up again
 *	snpu-test-guests lost HANG_MS	keep two NPUs at work until snpud is gone: an error in time
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

/* A packet that reads @va faults its queue, and says where */
static void check_gone(struct snpu_queue *q, uint64_t dst, uint64_t va)
{
	struct snpu_error err;

	snpu_prep_copy(t_pkt(q), dst, va, 4096);
	CHECK_EQ(t_run(q), -EIO);
	CHECK_EQ(snpu_queue_error(q, &err, sizeof(err)), 0);
	CHECK_EQ(err.code, SNPU_ERR_FABRIC);
	CHECK_EQ(err.va, va);
}

/* Memory that does not come from the exporter: local, and a segment of a neighbour */
struct others {
	struct t_dev far, here;
	struct snpu_mem *seg;
};

static bool others_open(struct others *o)
{
	struct snpu_seg_handle h;

	/* with the transport direct the exporter has NPU 0 of the same machine */
	if (t_dev_open(&o->far, snpu_count(t_snpu()) - 2, 0, 0) ||
	    t_dev_open(&o->here, snpu_count(t_snpu()) - 1, 4096, SNPU_MEM_HBM) ||
	    snpu_mem_alloc(o->far.ctx, 4096, SNPU_MEM_HBM | SNPU_MEM_CONTIG, &o->far.mem) ||
	    snpu_seg_export(o->far.mem, SNPU_SEG_READ | SNPU_SEG_WRITE, NULL, &h) ||
	    snpu_seg_import(o->here.ctx, &h, 0, &o->seg)) {
		t_fail(__FILE__, __LINE__, "%s", snpu_last_error());
		return false;
	}
	return true;
}

/* Both are reached, whatever has become of the exporter */
static void others_run(struct others *o, uint8_t byte)
{
	snpu_prep_fill(t_pkt(o->here.q), snpu_mem_va(o->seg), 4096, byte, 1);
	snpu_prep_copy(t_pkt(o->here.q), o->here.va, snpu_mem_va(o->seg), 4096);
	CHECK_EQ(t_run(o->here.q), 0);
	CHECK_EQ(o->here.p[4095], byte);
}

static void others_close(struct others *o)
{
	CHECK_EQ(snpu_mem_free(o->seg), 0);
	t_dev_close(&o->here);
	t_dev_close(&o->far);
}

/* The next export is reached; what stands for the old one does not reach it, not even by its name */
static void reach_again(struct t_dev *d, struct others *o, struct snpu_mem *stale, const char *again)
{
	struct snpu_seg_handle h;
	struct snpu_queue *q;
	struct snpu_mem *m = import(o->here.ctx, again, &h);

	NEED(m);
	NEED(!snpu_queue_create(d->ctx, NULL, &q));
	check_gone(q, d->va, snpu_mem_va(stale) + 8192);
	CHECK_EQ(snpu_queue_destroy(q), 0);
	put(&o->here, m);
	CHECK_EQ(snpu_mem_free(m), 0);
}

static void role_import(const char *name, const char *again)
{
	uint64_t end = t_now() + LIMIT_S * T_SEC;
	struct snpu_seg_handle h;
	struct snpu_error err;
	struct snpu_mem *m;
	struct others o;
	struct t_dev d;
	uint64_t n = 0;
	int ret;

	NEED(!t_dev_open(&d, snpu_count(t_snpu()) - 1, 4096, SNPU_MEM_HBM));
	NEED(others_open(&o));
	m = import(d.ctx, name, &h);
	NEED(m);
	put(&d, m);
	printf("# reaching\n");
	do {
		snpu_prep_copy(t_pkt(d.q), d.va, snpu_mem_va(m) + 8192, 4096);
		ret = t_run(d.q);
		n++;
		others_run(&o, (uint8_t)n);
	} while (!ret && t_now() < end);
	CHECK_EQ(ret, -EIO);
	CHECK_EQ(snpu_queue_error(d.q, &err, sizeof(err)), 0);
	CHECK_EQ(err.code, SNPU_ERR_FABRIC);
	CHECK_EQ(err.va, snpu_mem_va(m) + 8192);
	printf("# told after %llu copies\n", (unsigned long long)n);
	ret = snpu_seg_lookup(d.ctx, name, &h);
	CHECK(ret == -ENOENT || ret == -EHOSTUNREACH);
	if (again)
		reach_again(&d, &o, m, again);
	/* nobody else was told anything */
	others_run(&o, 3);
	CHECK_EQ(snpu_mem_free(m), 0);
	others_close(&o);
	t_dev_close(&d);
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

/* ---- the end of snpud ------------------------------------------------------------------------ */

/*
 * What a waiter may take to learn of it: a queue that stands still is looked at four times in the
 * hang time. Before that QEMU may stop the whole guest for its x-msg-timeout (30 s in snpu-vm), if
 * an access was under way.
 */
#define LOST_NS(hang_ms)	((hang_ms) * T_MS * 5 / 4 + 35 * T_SEC)

/* Copies without end, until that is no longer possible; writes a byte when at work */
static int work(unsigned int npu, uint64_t hang_ms, int fd)
{
	uint64_t last, now, rounds = 0;
	struct snpu_queue *q;
	struct t_dev d;
	int ret, k;

	if (t_dev_open(&d, npu, 2 * BYTES, SNPU_MEM_HBM))
		return 1;
	do {
		last = t_now();
		for (k = 0; k < 16; k++)
			snpu_prep_copy(t_pkt(d.q), d.va + BYTES, d.va, BYTES);
		ret = t_run(d.q);
		if (rounds++ == 2 && write(fd, "", 1) != 1)
			return 1;
	} while (!ret);
	now = t_now();
	printf("# NPU %u: told after %llu rounds and %llu ms: %s\n", npu,
	       (unsigned long long)rounds, (unsigned long long)((now - last) / T_MS),
	       snpu_last_error());
	CHECK(ret == -EIO || ret == -ENODEV || ret == -ETIME);
	CHECK(now - last < LOST_NS(hang_ms));
	/* from now on all that needs the device fails at once, and what it had can be given back */
	CHECK(snpu_queue_submit(d.q, NULL) < 0);
	ret = snpu_queue_create(d.ctx, NULL, &q);
	CHECK(ret == -EIO || ret == -ENODEV);
	t_dev_close(&d);
	CHECK(t_now() - now < 10 * T_SEC);
	return t_failures() ? 1 : 0;
}

static void role_lost(const char *ms)
{
	uint64_t hang_ms = strtoull(ms, NULL, 10);
	int fd[2], status, k, param;
	pid_t pid[2];
	char c;

	/* the driver's own time is 10 s */
	param = open("/sys/module/snpu/parameters/hang_ms", O_WRONLY | O_CLOEXEC);
	NEED(param >= 0 && write(param, ms, strlen(ms)) == (ssize_t)strlen(ms));
	close(param);
	NEED(!pipe(fd));
	fflush(stdout);
	for (k = 0; k < 2; k++) {
		pid[k] = fork();
		NEED(pid[k] >= 0);
		if (!pid[k]) {
			status = work((unsigned int)k, hang_ms, fd[1]);
			fflush(stdout);
			_exit(status);
		}
	}
	for (k = 0; k < 2; k++)
		NEED(read(fd[0], &c, 1) == 1);
	printf("# working\n");
	for (k = 0; k < 2; k++) {
		NEED(waitpid(pid[k], &status, 0) == pid[k]);
		CHECK_EQ(status, 0);
	}
	printf("# %s\n", t_failures() ? "failed" : "both were told");
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
	else if (argc == 3 && !strcmp(argv[1], "lost"))
		role_lost(argv[2]);
	else if (argc == 4 && !strcmp(argv[1], "reset"))
		role_reset(argv[2], argv[3]);
	else if (argc >= 3 && argc <= 4 && !strcmp(argv[1], "import"))
		role_import(argv[2], argv[3]);
	else
		return 2;
	t_close();
	return t_failures() ? 1 : 0;
}
