// SPDX-License-Identifier: MIT
/*
 * The program snpud, from outside: command line, sockets, and NPUs driven through vfio-user.
 *
 * argv[1] is the snpud to test.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "wire.h"

static bool exists(const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", wire_dir, name);
	return !access(path, F_OK);
}

#define TEXT_OF(x)	#x
#define ABI_TEXT(major, minor)	"hardware ABI " TEXT_OF(major) "." TEXT_OF(minor)

static void command_line(void)
{
	static const struct {
		const char *args[7];
		int code;
		const char *expect;
	} cases[] = {
		{ { "--help" }, 0, "Exit codes" },
		{ { "--version" }, 0, ABI_TEXT(SNPU_ABI_MAJOR, SNPU_ABI_MINOR) },
		{ { NULL }, 2, "--socket-dir is missing" },
		{ { "--socket-dir", "/tmp/x", "--npus", "0" }, 2, "1 .. 65536" },
		{ { "--socket-dir", "/tmp/x", "--npus", "5x" }, 2, "must be a number" },
		{ { "--socket-dir", "/tmp/x", "--npus", "-1" }, 2, "must be a number" },
		{ { "--socket-dir", "/tmp/x", "--workers", "65" }, 2, "1 .. 64" },
		{ { "--socket-dir", "/tmp/x", "--npus", "385" }, 2, "0 .. 383" },
		{ { "--socket-dir", "/tmp/x", "--npus", "1", "--first-node", "384" }, 2, "383" },
		{ { "--socket-dir", "/tmp/x", "--npus", "8", "--hosts", "1" }, 2, "exclude" },
		{ { "--socket-dir", "/tmp/x", "--profile", "vax" }, 2, "cm384" },
		{ { "--socket-dir", "/tmp/x", "--bogus" }, 2, "snpud --help" },
		{ { "--socket-dir", "/tmp/x", "extra" }, 2, "extra" },
		{ { "--socket-dir", "/nonexistent/x", "--npus", "1" }, 1, "No such file" },
		{ { "--socket-dir", "/dev/null", "--npus", "1" }, 1, "not a directory" },
	};
	char buf[8192];
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int code = wire_run(cases[i].args, buf, sizeof(buf));

		CHECK(code == cases[i].code && strstr(buf, cases[i].expect),
		      "case %zu: exit code %d, expected %d; \"%s\" does not say \"%s\"", i, code,
		      cases[i].code, buf, cases[i].expect);
	}
}

static void instances(void)
{
	const char *const again[] = { "--socket-dir", wire_dir, "--npus", "1", NULL };
	char buf[1024], path[128];
	struct stat st;
	int out, out2, fd;
	pid_t pid;

	pid = wire_serve(&out, "3");
	snprintf(path, sizeof(path), "%s/npu2.sock", wire_dir);
	CHECK(!stat(path, &st) && S_ISSOCK(st.st_mode) && (st.st_mode & 0777) == 0600, "%s", path);
	CHECK(exists("control.sock") && !exists("npu3.sock"), "sockets");
	CHECK_EQ(wire_run(again, buf, sizeof(buf)), 3);
	CHECK(strstr(buf, "another snpud"), "%s", buf);
	CHECK(exists("npu2.sock") && exists("control.sock"), "sockets of the first are gone");
	/* killed: what it left is in nobody's way */
	kill(pid, SIGKILL);
	CHECK_EQ(wire_end_of(pid), 1000 + SIGKILL);
	close(out);
	CHECK(exists("npu2.sock"), "no stale socket to test with");
	pid = wire_serve(&out, "3");
	wire_finish(pid, out);
	CHECK(!exists("npu0.sock") && !exists("npu2.sock") && !exists("control.sock"),
	      "left behind");
	/* what is no socket is not taken away */
	snprintf(path, sizeof(path), "%s/npu0.sock", wire_dir);
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	close(fd);
	CHECK_EQ(wire_run(again, buf, sizeof(buf)), 1);
	CHECK(exists("npu0.sock"), "a file was removed");
	unlink(path);
	pid = wire_serve(&out2, "1");
	kill(pid, SIGINT);
	CHECK_EQ(wire_end_of(pid), 0);
	close(out2);
}

static int cmp64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void over_the_wire(void)
{
	static uint64_t lat[20000];
	volatile struct snpu_cpl *cpl;
	int out, efd[4];
	union snpu_pkt *pkt;
	uint64_t head = 0, t0, irqs = 0;
	struct pollfd pfd;
	unsigned int i;
	struct wire w;
	pid_t pid;

	pid = wire_serve(&out, "2");
	if (!wire_dial(&w, 1))
		goto out;
	CHECK_EQ(wire_reg_read(&w, SNPU_REG_NODE_ID, 4), 1);
	cpl = wire_queue(&w);
	pkt = (union snpu_pkt *)(w.host + (1u << 20));
	/* bytes through both apertures */
	for (i = 0; i < 2u << 20; i++)
		w.host[(2u << 20) + i] = (uint8_t)(i * 7);
	pkt[head].copy = (struct snpu_pkt_copy) { .hdr.op = SNPU_OP_COPY, .src = VA + (4u << 20),
						  .dst = VA, .bytes = 2u << 20 };
	wire_ring(&w, cpl, ++head);
	CHECK(T_WAIT(snpu_load_acq(&cpl->completed) == head), "copy: state %u error %u", cpl->state,
	      cpl->error);
	CHECK(!memcmp(w.hbm, w.host + (2u << 20), 2u << 20), "bytes differ");
	/* latency and rate, awake */
	memset(pkt, 0, 256 * 64);
	for (i = 0; i < 20000; i++) {
		t0 = snpu_clock_ns();
		wire_ring(&w, cpl, ++head);
		while (snpu_load_acq(&cpl->completed) != head &&
		       snpu_clock_ns() - t0 < 5000000000ull)
			snpu_pause();
		lat[i] = snpu_clock_ns() - t0;
	}
	CHECK_EQ(cpl->completed, head);
	qsort(lat, 20000, sizeof(lat[0]), cmp64);
	t0 = snpu_clock_ns();
	for (i = 0; i < 20000; i++) {
		head += 64;
		wire_ring(&w, cpl, head);
		if (!T_WAIT(snpu_load_acq(&cpl->completed) + 128 >= head))
			break;
	}
	CHECK(T_WAIT(snpu_load_acq(&cpl->completed) == head), "batches");
	t0 = snpu_clock_ns() - t0;
	printf("# nop: median %llu ns, 99 %% below %llu ns; batches of 64: %.1f M/s\n",
	       (unsigned long long)lat[10000], (unsigned long long)lat[19800],
	       20000 * 64 * 1e3 / (double)t0);
	/* completion interrupt */
	for (i = 0; i < 4; i++)
		efd[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	CHECK(!snpu_vfuc_irq_set(w.c, VFIO_PCI_MSIX_IRQ_INDEX, 0, 4, efd), "eventfds");
	snpu_store_rel(&((struct snpu_cpl *)cpl)->irq_at, head + 1);
	snpu_mb();
	wire_ring(&w, cpl, ++head);
	pfd = (struct pollfd) { .fd = efd[2], .events = POLLIN };
	CHECK(poll(&pfd, 1, 10000) == 1 && read(efd[2], &irqs, 8) == 8 && irqs == 1,
	      "no interrupt");
	/* gone in the middle of work; the next client finds a clean device */
	for (i = 0; i < 100; i++) {
		pkt[(head + i) & 255].copy = (struct snpu_pkt_copy) {
			.hdr.op = SNPU_OP_COPY, .src = VA + (4u << 20), .dst = VA,
			.bytes = 2u << 20 };
	}
	head += 100;
	wire_ring(&w, cpl, head);
	wire_hang_up(&w);
	for (i = 0; i < 4; i++)
		close(efd[i]);
	for (i = 0; i < 20 && !wire_dial(&w, 1); i++)
		;
	cpl = wire_queue(&w);
	wire_ring(&w, cpl, 1);
	CHECK(T_WAIT(snpu_load_acq(&cpl->completed) == 1), "after reconnection: error %u",
	      cpl->error);
	/* memory taken away under load: the call returns, and nobody writes there any more */
	pkt = (union snpu_pkt *)(w.host + (1u << 20));
	for (i = 1; i < 100; i++)
		pkt[i].copy = (struct snpu_pkt_copy) { .hdr.op = SNPU_OP_COPY, .src = VA,
						       .dst = VA + (4u << 20), .bytes = 2u << 20 };
	wire_ring(&w, cpl, 100);
	CHECK(T_WAIT(snpu_load_acq(&cpl->completed) > 1), "no progress");
	CHECK(!snpu_vfuc_dma_unmap(w.c, IOVA, HOST_BYTES), "unmap");
	memset(w.host, 0, HOST_BYTES);
	for (i = 0; i < 1000; i++)
		sched_yield();
	for (i = 0; i < HOST_BYTES && !w.host[i]; i++)
		;
	CHECK(i == HOST_BYTES, "byte %u written after unmap", i);
	CHECK(!snpu_vfuc_reset(w.c), "reset");
	CHECK_EQ(wire_reg_read(&w, SNPU_REG_STATUS, 4), SNPU_STATUS_READY);
	wire_hang_up(&w);
out:
	wire_finish(pid, out);
}

static unsigned long cpu_ticks(pid_t pid)
{
	unsigned long u = 0, s = 0;
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	f = fopen(path, "re");
	if (f) {
		if (fscanf(f, "%*d %*s %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &u,
			   &s) != 2)
			u = 0;
		fclose(f);
	}
	return u + s;
}

/* Eight NPUs with clients and queues that have nothing to do use no CPU */
static void idle(void)
{
	struct timespec second = { .tv_sec = 1 };
	volatile struct snpu_cpl *cpl[8];
	unsigned long before, used;
	struct wire w[8];
	unsigned int i;
	pid_t pid;
	int out;

	pid = wire_serve(&out, "8");
	for (i = 0; i < 8; i++) {
		if (!wire_dial(&w[i], i))
			goto out;
		cpl[i] = wire_queue(&w[i]);
		wire_ring(&w[i], cpl[i], 1);
		CHECK(T_WAIT(snpu_load_acq(&cpl[i]->completed) == 1), "NPU %u", i);
	}
	CHECK(T_WAIT(snpu_load(&cpl[0]->need_wake)), "does not go to sleep");
	before = cpu_ticks(pid);
	nanosleep(&second, NULL);
	used = cpu_ticks(pid) - before;
	CHECK(used <= 1, "%lu ticks of %ld a second", used, sysconf(_SC_CLK_TCK));
	for (i = 0; i < 8; i++) {
		wire_ring(&w[i], cpl[i], 2);
		CHECK(T_WAIT(snpu_load_acq(&cpl[i]->completed) == 2), "NPU %u asleep", i);
		wire_hang_up(&w[i]);
	}
out:
	wire_finish(pid, out);
}

int main(int argc, char **argv)
{
	static const struct t_case cases[] = {
		{ "command_line", command_line },
		{ "instances", instances },
		{ "over_the_wire", over_the_wire },
		{ "idle", idle },
	};
	char path[128];
	int ret;

	if (argc < 2) {
		printf("Bail out! usage: test_snpud SNPUD [CASE]\n");
		return 2;
	}
	wire_snpud = argv[1];
	if (!mkdtemp(wire_dir))
		return 2;
	ret = t_main(argc - 1, argv + 1, cases, sizeof(cases) / sizeof(cases[0]));
	snprintf(path, sizeof(path), "%s/snpud.lock", wire_dir);
	unlink(path);
	rmdir(wire_dir);
	return ret;
}
