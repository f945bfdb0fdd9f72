// SPDX-License-Identifier: MIT
/*
 * Host memory and NPUs that come and go, seen from inside a guest. For tools/vm/guest-memory:
 *
 *	snpu-guest-memory udmabuf ROUNDS BYTES	NPU 0 writes into buffers of 4 KiB pages, one
 *						after the other; none may reach an earlier one
 *	snpu-guest-memory work NPU		copy and compare until SIGTERM
 *	snpu-guest-memory lost NPU		the same until the NPU is gone: ENODEV
 */
#include <fcntl.h>
#include <linux/udmabuf.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tap.h"

#define PAGE	4096u
#define ROUNDS	64u
#define BYTES	(256u << 10)
#define STEP	8u	/* rounds of work in a line of output */
#define LIMIT_S	280

static volatile sig_atomic_t stop;

static void on_term(int sig)
{
	(void)sig;
	stop = 1;
}

static unsigned char mark(unsigned int round)
{
	return (unsigned char)(0x80 + round);
}

/* Pages that do not begin and end with @value */
static size_t differ(const unsigned char *p, size_t bytes, unsigned char value)
{
	size_t i, n = 0;

	for (i = 0; i < bytes; i += PAGE)
		n += p[i] != value || p[i + PAGE - 1] != value;
	return n;
}

/* Return: the buffer as a dma-buf, or -1; *@p: the CPU's view of it */
static int buffer(int dev, size_t bytes, unsigned char **p)
{
	struct udmabuf_create arg = { .size = bytes };
	int fd;

	arg.memfd = (uint32_t)memfd_create("guest-memory", MFD_ALLOW_SEALING);
	if ((int)arg.memfd < 0 || ftruncate((int)arg.memfd, (off_t)bytes))
		return -1;
	*p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, (int)arg.memfd, 0);
	if (*p == MAP_FAILED || fcntl((int)arg.memfd, F_ADD_SEALS, F_SEAL_SHRINK))
		return -1;
	memset(*p, 0, bytes);
	fd = ioctl(dev, UDMABUF_CREATE, &arg);
	close((int)arg.memfd);
	return fd;
}

/* The pages of earlier rounds stay mapped by the CPU: what the NPU still writes there is seen */
static void udmabuf(unsigned int rounds, size_t bytes)
{
	unsigned char *seen[ROUNDS];
	unsigned int r, k;
	struct snpu_mem *m;
	struct t_dev d;
	int dev, fd;

	dev = open("/dev/udmabuf", O_RDWR | O_CLOEXEC);
	NEED(dev >= 0 && rounds <= ROUNDS && bytes && bytes % PAGE == 0);
	NEED(!t_dev_open(&d, 0, PAGE, SNPU_MEM_HBM));
	for (r = 0; r < rounds; r++) {
		fd = buffer(dev, bytes, &seen[r]);
		NEED(fd >= 0);
		NEED(!snpu_mem_import(d.ctx, fd, 0, &m));
		close(fd);
		snpu_prep_fill(t_pkt(d.q), snpu_mem_va(m), bytes, mark(r), 1);
		CHECK_EQ(t_run(d.q), 0);
		CHECK_EQ(snpu_mem_free(m), 0);
		for (k = 0; k <= r; k++)
			CHECK_EQ(differ(seen[k], bytes, mark(k)), 0);
	}
	for (r = 0; r < rounds; r++)
		munmap(seen[r], bytes);
	close(dev);
	t_dev_close(&d);
}

/* A round of work: host memory to HBM and back, compared. Return: 0 or a negative errno */
static int round_trip(struct t_dev *host, struct snpu_mem *hbm, unsigned int n)
{
	const uint64_t half = BYTES / 2;
	int ret;

	memset(host->p, (int)(n & 0xff), half);
	memset(host->p + half, ~(int)(n & 0xff), half);
	snpu_prep_copy(t_pkt(host->q), snpu_mem_va(hbm), host->va, half);
	snpu_prep_barrier(t_pkt(host->q));
	snpu_prep_copy(t_pkt(host->q), host->va + half, snpu_mem_va(hbm), half);
	ret = t_run(host->q);
	if (!ret)
		CHECK_EQ(memcmp(host->p, host->p + half, half), 0);
	return ret;
}

static void work(unsigned int npu, bool lost)
{
	struct snpu_mem *hbm;
	unsigned int n = 0;
	struct t_dev d;
	int ret = 0;

	NEED(!t_dev_open(&d, npu, BYTES, SNPU_MEM_HOST));
	NEED(!snpu_mem_alloc(d.ctx, BYTES / 2, SNPU_MEM_HBM, &hbm));
	while (!stop && !ret && !t_failures()) {
		ret = round_trip(&d, hbm, n);
		if (!ret && n++ % STEP == 0)
			printf("# NPU %u: step %u\n", npu, n / STEP);
	}
	printf("# NPU %u: %s after %u rounds\n", npu, ret ? strerror(-ret) : "stopped", n);
	CHECK_EQ(ret, lost ? -ENODEV : 0);
	if (lost)
		return;	/* there is nothing left to give back */
	CHECK_EQ(snpu_mem_free(hbm), 0);
	t_dev_close(&d);
	t_close();
}

int main(int argc, char **argv)
{
	struct sigaction sa = { .sa_handler = on_term };
	unsigned int n = argc > 2 ? (unsigned int)strtoul(argv[2], NULL, 0) : 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	sigaction(SIGTERM, &sa, NULL);
	alarm(LIMIT_S);
	if (argc == 4 && !strcmp(argv[1], "udmabuf")) {
		udmabuf(n, strtoul(argv[3], NULL, 0));
		t_close();
	} else if (argc == 3 && !strcmp(argv[1], "work")) {
		work(n, false);
	} else if (argc == 3 && !strcmp(argv[1], "lost")) {
		work(n, true);
	} else {
		fprintf(stderr, "usage: %s udmabuf ROUNDS BYTES | work NPU | lost NPU\n", argv[0]);
		return 2;
	}
	return t_failures() != 0;
}
