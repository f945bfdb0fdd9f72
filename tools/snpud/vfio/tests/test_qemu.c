// SPDX-License-Identifier: MIT
/*
 * The client that matters: stock QEMU, driven over its qtest socket, so with no guest and no
 * kernel. It maps BARs and guest memory, traps, raises MSI-X, resets and goes away, as with a
 * guest.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/pci_regs.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tap.h"
#include "toy.h"

#define QEMU	"qemu-system-x86_64"
#define SLOT	0x10u
#define PORT	0x11u		/* slot of a root port, behind it: */
#define PORT_BUS	1u
#define BAR0	0xe0000000u
#define BAR4	0xe0800000u
#define BAR2	0x800000000ull
#define BAR2_NEW	0x900000000ull

static struct snpu_vfu_server *srv;
static struct toy toy;
/* One whose MSI-X QEMU does not know of, behind a port that can be switched off */
static struct toy plain;
static char qt_path[96], qmp_path[96];
static int qt = -1;
static pid_t pid = -1;

static int listen_qtest(void)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(qt_path, sizeof(qt_path), "%s/qtest", toy_dir());
	strcpy(sa.sun_path, qt_path);
	NEED(!bind(fd, (struct sockaddr *)&sa, sizeof(sa)) && !listen(fd, 1));
	return fd;
}

/* Starts QEMU and takes its qtest connection. Return: whether there is a QEMU to start */
static bool start_qemu(void)
{
	char qtest[128], dev[256], port[64], behind[256], qmp[128];
	struct pollfd p = { .events = POLLIN };
	int err[2], l = listen_qtest(), e = 0;

	snprintf(qtest, sizeof(qtest), "unix:%s", qt_path);
	snprintf(dev, sizeof(dev),
		 "{\"driver\":\"vfio-user-pci\",\"id\":\"toy\",\"bus\":\"pcie.0\","
		 "\"addr\":\"0x%x\","
		 "\"socket\":{\"type\":\"unix\",\"path\":\"%s\"}}", SLOT, toy.path);
	snprintf(port, sizeof(port), "pcie-root-port,id=rp,bus=pcie.0,chassis=1,addr=0x%x", PORT);
	snprintf(behind, sizeof(behind),
		 "{\"driver\":\"vfio-user-pci\",\"id\":\"plain\",\"bus\":\"rp\","
		 "\"socket\":{\"type\":\"unix\",\"path\":\"%s\"}}", plain.path);
	snprintf(qmp_path, sizeof(qmp_path), "%s/qmp", toy_dir());
	snprintf(qmp, sizeof(qmp), "unix:%s,server=on,wait=off", qmp_path);
	NEED(!pipe2(err, O_CLOEXEC));
	pid = fork();
	NEED(pid >= 0);
	if (!pid) {
		execlp(QEMU, QEMU, "-nodefaults", "-display", "none", "-accel", "qtest",
		       "-machine", "q35,memory-backend=ram", "-m", "64M",
		       "-object", "memory-backend-memfd,id=ram,size=64M,share=on",
		       "-qtest", qtest, "-qtest-log", "/dev/null", "-device", dev,
		       "-device", port, "-device", behind, "-qmp", qmp,
		       /* the port's own registers switch it off, not ACPI */
		       "-global", "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off", (char *)NULL);
		e = errno;
		_exit(write(err[1], &e, sizeof(e)) == (ssize_t)sizeof(e) ? 127 : 126);
	}
	close(err[1]);
	if (read(err[0], &e, sizeof(e)) == (ssize_t)sizeof(e)) {
		close(err[0]);
		close(l);
		waitpid(pid, NULL, 0);
		NEED(e == ENOENT);
		return false;
	}
	close(err[0]);
	p.fd = l;
	NEED(poll(&p, 1, 20000) == 1);
	qt = accept4(l, NULL, NULL, SOCK_CLOEXEC);
	close(l);
	NEED(qt >= 0);
	snpu_vfu_recv_timeout(qt, 20000);
	return true;
}

/* One command; what stands after OK, as a number */
static uint64_t qtest(const char *fmt, ...)
	__attribute__((format(printf, 1, 2)));

static char answer[8300];

static uint64_t qtest(const char *fmt, ...)
{
	char line[8300];
	size_t n = 0;
	va_list ap;
	int k;

	va_start(ap, fmt);
	k = vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	NEED(send(qt, line, (size_t)k, MSG_NOSIGNAL) == k);
	for (;;) {
		NEED(n < sizeof(answer) - 1 && recv(qt, answer + n, 1, 0) == 1);
		if (answer[n++] != '\n')
			continue;
		answer[n] = 0;
		n = 0;
		if (strncmp(answer, "IRQ", 3))
			break;
	}
	if (strncmp(answer, "OK", 2)) {
		printf("# %s# %s", line, answer);
		tap_bad++;
		return 0;
	}
	return answer[2] == ' ' ? strtoull(answer + 3, NULL, 0) : 0;
}

static uint32_t cfg_read_of(unsigned int bus, unsigned int slot, unsigned int off)
{
	qtest("outl 0xcf8 0x%x\n", 0x80000000 | bus << 16 | slot << 11 | (off & 0xfc));
	return (uint32_t)qtest("inl 0xcfc\n") >> (off & 3) * 8;
}

static void cfg_write_of(unsigned int bus, unsigned int slot, unsigned int off, uint32_t v)
{
	qtest("outl 0xcf8 0x%x\n", 0x80000000 | bus << 16 | slot << 11 | off);
	qtest("outl 0xcfc 0x%x\n", v);
}

static uint32_t cfg_read(unsigned int off)
{
	return cfg_read_of(0, SLOT, off);
}

static void cfg_write(unsigned int off, uint32_t v)
{
	cfg_write_of(0, SLOT, off, v);
}

static void realize(void)
{
	CHECK(toy_wait(&toy, &toy.connects, 1));
	CHECK_EQ(cfg_read(PCI_VENDOR_ID), 0x00011234);
	CHECK_EQ(cfg_read(PCI_CLASS_REVISION), 0x12000001);
	CHECK_EQ(cfg_read(PCI_CAPABILITY_LIST) & 0xff, 0x40);
	/* what size the BARs are */
	cfg_write(PCI_BASE_ADDRESS_0, ~0u);
	CHECK_EQ(cfg_read(PCI_BASE_ADDRESS_0), ~(TOY_BAR0 - 1));
	cfg_write(PCI_BASE_ADDRESS_2, ~0u);
	CHECK_EQ(cfg_read(PCI_BASE_ADDRESS_2), ~(TOY_BAR2 - 1) | 0xc);
	cfg_write(PCI_BASE_ADDRESS_0, BAR0);
	cfg_write(PCI_BASE_ADDRESS_2, (uint32_t)BAR2);
	cfg_write(PCI_BASE_ADDRESS_3, (uint32_t)(BAR2 >> 32));
	cfg_write(PCI_BASE_ADDRESS_4, BAR4);
	cfg_write(PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
}

static void trapped(void)
{
	CHECK_EQ(qtest("readl 0x%x\n", BAR0 + TOY_ID), TOY_ID_VALUE);
	qtest("writeq 0x%x 0x1122334455667788\n", BAR0);
	CHECK(qtest("readq 0x%x\n", BAR0) == 0x1122334455667788);
	CHECK(toy.scratch == 0x1122334455667788);
	qtest("writeb 0x%x 0xab\n", BAR0 + 7);
	CHECK_EQ(qtest("readw 0x%x\n", BAR0 + 6), 0xab22);
}

/* Seen in the memory itself, so no message was needed */
static void mapped(void)
{
	uint64_t v = 0;

	qtest("writeq 0x%x 0x123456789\n", BAR0 + TOY_DB + 0x1008);
	CHECK_EQ(pread(toy.db, &v, 8, 0x1008), 8);
	CHECK(v == 0x123456789);
	qtest("writeq 0x%" PRIx64 " 0xfeedface\n", (uint64_t)BAR2 + TOY_BAR2 - 8);
	CHECK_EQ(pread(toy.mem, &v, 8, TOY_BAR2 - 8), 8);
	CHECK(v == 0xfeedface);
	v = 0xabcdef;
	CHECK_EQ(pwrite(toy.mem, &v, 8, 0x10000), 8);
	CHECK_EQ(qtest("readq 0x%" PRIx64 "\n", (uint64_t)BAR2 + 0x10000), 0xabcdef);
}

static void guest_memory(void)
{
	uint64_t run, v = 0;
	void *host;

	qtest("writeq 0x123450 0x5566778899aabbcc\n");
	CHECK_EQ(snpu_vfu_dma_translate(toy.dev, 0x123450, true, &host, &run), 0);
	CHECK_EQ(snpu_vfu_dma_read(toy.dev, 0x123450, &v, 8), 0);
	CHECK(v == 0x5566778899aabbcc);
	v = 0x1020304050607080;
	CHECK_EQ(snpu_vfu_dma_write(toy.dev, 0x3fffff8, &v, 8), 0);
	CHECK(qtest("readq 0x3fffff8\n") == v);
	CHECK_EQ(snpu_vfu_dma_read(toy.dev, 0x4000000, &v, 8), -EFAULT);
}

/* The firmware is memory without a descriptor: QEMU is asked for it, and lets nobody write to it */
static void firmware(void)
{
	uint8_t got[4096];
	uint64_t run;
	void *host;

	CHECK_EQ(snpu_vfu_dma_translate(toy.dev, 0xfffff000, false, &host, &run), -EOPNOTSUPP);
	CHECK_EQ(snpu_vfu_dma_read(toy.dev, 0xfffff000, got, sizeof(got)), 0);
	qtest("read 0xfffff000 0x1000\n");
	if (strlen(answer) > 5 + 2 * sizeof(got)) {
		unsigned int i, x;

		for (i = 0; i < sizeof(got); i++)
			if (sscanf(answer + 5 + 2 * i, "%2x", &x) != 1 || x != got[i])
				break;
		CHECK_EQ(i, sizeof(got));
	} else {
		CHECK(strlen(answer) > 5 + 2 * sizeof(got));
	}
	CHECK_EQ(snpu_vfu_dma_write(toy.dev, 0xfffff000, got, 8), -EFAULT);
}

/* An MSI is a write to memory, so here it is one to RAM that can be looked at */
static void msix(void)
{
	unsigned int i, v;

	cfg_write(0x40, PCI_CAP_ID_MSIX | (uint32_t)PCI_MSIX_FLAGS_ENABLE << 16);
	for (v = 0; v < TOY_VECTORS; v++) {
		uint32_t at = BAR4 + v * PCI_MSIX_ENTRY_SIZE;

		qtest("writel 0x%x 0x%x\n", at + PCI_MSIX_ENTRY_LOWER_ADDR, 0x200000 + v * 4);
		qtest("writel 0x%x 0\n", at + PCI_MSIX_ENTRY_UPPER_ADDR);
		qtest("writel 0x%x 0x%x\n", at + PCI_MSIX_ENTRY_DATA, 0x1000 + v);
		qtest("writel 0x%x 0\n", at + PCI_MSIX_ENTRY_VECTOR_CTRL);
	}
	for (v = 0; v < TOY_VECTORS; v++) {
		CHECK_EQ(snpu_vfu_irq_trigger(toy.dev, v), 0);
		/* its main loop takes the eventfd; each command is a turn of it */
		for (i = 0; i < 1000 && qtest("readl 0x%x\n", 0x200000 + v * 4) != 0x1000 + v; i++)
			usleep(1000);
		CHECK(i < 1000);
	}
	cfg_write(0x40, PCI_CAP_ID_MSIX);
	CHECK_EQ(snpu_vfu_irq_trigger(toy.dev, 0), 1);
}

static void bar_moves(void)
{
	uint64_t run, v = 0;
	void *host;

	/* QEMU lets the device reach BARs as well, by messages, and tells when they move */
	CHECK_EQ(snpu_vfu_dma_translate(toy.dev, BAR2, false, &host, &run), -EOPNOTSUPP);
	CHECK_EQ(snpu_vfu_dma_read(toy.dev, BAR2 + 0x10000, &v, 8), 0);
	CHECK_EQ(v, 0xabcdef);
	CHECK_EQ(snpu_vfu_dma_translate(toy.dev, BAR2_NEW, false, &host, &run), -EFAULT);
	cfg_write(PCI_COMMAND, 0);
	cfg_write(PCI_BASE_ADDRESS_3, (uint32_t)(BAR2_NEW >> 32));
	cfg_write(PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	CHECK_EQ(snpu_vfu_dma_translate(toy.dev, BAR2, false, &host, &run), -EFAULT);
	CHECK_EQ(snpu_vfu_dma_translate(toy.dev, BAR2_NEW, false, &host, &run), -EOPNOTSUPP);
	CHECK_EQ(qtest("readq 0x%llx\n", BAR2_NEW + 0x10000), 0xabcdef);
	CHECK_EQ(qtest("readl 0x%x\n", BAR0 + TOY_ID), TOY_ID_VALUE);
}

/* Value of the word at @at, which the main loop writes; each command is a turn of it */
static bool becomes(uint32_t at, uint32_t v)
{
	unsigned int i;

	for (i = 0; i < 1000 && qtest("readl 0x%x\n", at) != v; i++)
		usleep(1000);
	return i < 1000;
}

/* A message of the function itself, as hardware sends it; refused while it is no bus master */
static void message(void)
{
	cfg_write_of(0, PORT, PCI_PRIMARY_BUS, PORT_BUS << 8 | PORT_BUS << 16);
	cfg_write_of(0, PORT, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	CHECK_EQ(cfg_read_of(PORT_BUS, 0, PCI_VENDOR_ID), 0x00011234);
	CHECK_EQ(cfg_read_of(PORT_BUS, 0, 0x40) & 0xff, 0);
	cfg_write_of(PORT_BUS, 0, PCI_COMMAND, PCI_COMMAND_MASTER);
	snpu_vfu_msi_send(plain.dev, 0, 0x300000, 0x1234);
	CHECK(becomes(0x300000, 0x1234));
	snpu_vfu_msi_send(plain.dev, 0, 0x300000, 0x5678);
	CHECK(becomes(0x300000, 0x5678));
}

static void qmp_send(int fd, const char *command)
{
	NEED(send(fd, command, strlen(command), MSG_NOSIGNAL) == (ssize_t)strlen(command));
}

/* QEMU 11.1 aborts here if it knows that the function has MSI-X */
static void unplug(void)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	unsigned int n = toy_count(&plain, &plain.disconnects);
	uint32_t cap, ctl;

	strcpy(sa.sun_path, qmp_path);
	NEED(fd >= 0 && !connect(fd, (struct sockaddr *)&sa, sizeof(sa)));
	qmp_send(fd, "{\"execute\":\"qmp_capabilities\"}\n"
		 "{\"execute\":\"device_del\",\"arguments\":{\"id\":\"plain\"}}\n");
	/* what the guest does when it is asked to let go: power and its indicator off */
	for (cap = cfg_read_of(0, PORT, PCI_CAPABILITY_LIST) & 0xff;
	     cap && (cfg_read_of(0, PORT, cap) & 0xff) != PCI_CAP_ID_EXP;
	     cap = cfg_read_of(0, PORT, cap + PCI_CAP_LIST_NEXT) & 0xff)
		;
	NEED(cap);
	ctl = cfg_read_of(0, PORT, cap + PCI_EXP_SLTCTL) & 0xffff & ~(uint32_t)PCI_EXP_SLTCTL_PIC;
	cfg_write_of(0, PORT, cap + PCI_EXP_SLTCTL, ctl | PCI_EXP_SLTCTL_PWR_IND_ON);
	cfg_write_of(0, PORT, cap + PCI_EXP_SLTCTL,
		     ctl | PCI_EXP_SLTCTL_PWR_IND_OFF | PCI_EXP_SLTCTL_PCC);
	CHECK(toy_wait(&plain, &plain.disconnects, n + 1));
	CHECK_EQ(cfg_read_of(PORT_BUS, 0, PCI_VENDOR_ID), ~0u);
	/* the other function is still served */
	CHECK_EQ(cfg_read(PCI_VENDOR_ID), 0x00011234);
	CHECK_EQ(kill(pid, 0), 0);
	close(fd);
}

static void system_reset(void)
{
	unsigned int n = toy_count(&toy, &toy.resets);

	/* the reset port of the chipset; carried out in the main loop */
	qtest("outb 0xcf9 0x6\n");
	CHECK(toy_wait(&toy, &toy.resets, n + 1));
	CHECK_EQ(cfg_read(PCI_VENDOR_ID), 0x00011234);
}

static void goes_away(void)
{
	unsigned int n = toy_count(&toy, &toy.disconnects);
	int st;

	kill(pid, SIGTERM);
	CHECK_EQ(waitpid(pid, &st, 0), pid);
	pid = -1;
	CHECK(toy_wait(&toy, &toy.disconnects, n + 1));
	close(qt);
	unlink(qt_path);
	/* and the next one is served */
	CHECK(start_qemu());
	CHECK(toy_wait(&toy, &toy.connects, 2));
	CHECK_EQ(cfg_read(PCI_VENDOR_ID), 0x00011234);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	pid = -1;
	close(qt);
	CHECK(toy_wait(&toy, &toy.disconnects, n + 2));
}

static void quiet_log(void)
{
	if (toy_lines())
		printf("# %s\n", toy_log.last);
	CHECK_EQ(toy_lines(), 0);
}

static void clean_up(void)
{
	if (pid > 0)
		kill(pid, SIGKILL);
	if (qt_path[0])
		unlink(qt_path);
	if (qmp_path[0])
		unlink(qmp_path);
}

int main(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	alarm(110);
	toy_dir();
	atexit(clean_up);
	srv = toy_server(0, 0);
	NEED(srv && !toy_add(srv, &toy, "toy") && !toy_add(srv, &plain, "plain"));
	/* a Null Capability in place of MSI-X */
	plain.cfg[0x40] = 0;
	if (!start_qemu()) {
		unlink(qt_path);
		snpu_vfu_server_destroy(srv);
		printf("1..0 # SKIP no " QEMU " in PATH\n");
		return 0;
	}
	RUN(realize);
	RUN(trapped);
	RUN(mapped);
	RUN(guest_memory);
	RUN(firmware);
	RUN(msix);
	RUN(bar_moves);
	RUN(message);
	RUN(unplug);
	RUN(system_reset);
	RUN(goes_away);
	RUN(quiet_log);
	snpu_vfu_server_destroy(srv);
	toy_free(&toy);
	toy_free(&plain);
	return tap_end();
}
