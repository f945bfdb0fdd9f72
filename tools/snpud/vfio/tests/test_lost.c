// SPDX-License-Identifier: MIT
/*
 * Memory that a client takes away while the device uses it, and files that are no memory. The
 * server lives, the access fails, and other clients do not notice.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/memfd.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "tap.h"
#include "toy.h"
#include "vfu_client.h"

#define RD	VFIO_DMA_MAP_FLAG_READ
#define RW	(VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE)
#define PAGE	0x1000ull

static struct snpu_vfu_server *srv;
static struct toy toy, other;

/* The victim: its client and device work all the time, and each step must find that they have */
static struct snpu_vfuc *bystander;
static unsigned long steps;
static bool stop, enough;

static void *bystander_main(void *arg)
{
	uint64_t i, v;

	(void)arg;
	for (i = 1; !__atomic_load_n(&stop, __ATOMIC_RELAXED); i++) {
		if (snpu_vfuc_write(bystander, 0, TOY_SCRATCH, &i, 8) ||
		    snpu_vfuc_read(bystander, 0, TOY_SCRATCH, &v, 8) || v != i ||
		    snpu_vfu_dma_write(other.dev, 0x10000, &i, 8) ||
		    snpu_vfu_dma_read(other.dev, 0x10000, &v, 8) || v != i)
			break;
		__atomic_store_n(&steps, i, __ATOMIC_RELEASE);
	}
	return NULL;
}

/* The bystander gets on: two of its steps from now on end */
static bool gets_on(void)
{
	unsigned long from = __atomic_load_n(&steps, __ATOMIC_ACQUIRE), i;

	for (i = 0; i < 10000; i++) {
		if (__atomic_load_n(&steps, __ATOMIC_ACQUIRE) >= from + 2)
			return true;
		usleep(1000);
	}
	return false;
}

static struct snpu_vfuc *client(void)
{
	struct snpu_vfuc *c = NULL;

	NEED(!snpu_vfuc_connect(toy.path, NULL, &c));
	return c;
}

static void shrunk_file(void)
{
	struct snpu_vfuc *c = client();
	unsigned int lines = toy_lines(), lost = toy.losses, i;
	int fd = toy_memfd(0x100000);
	uint8_t buf[0x8000];
	uint64_t run, v;
	void *host;

	CHECK_EQ(snpu_vfuc_dma_map(c, 0x100000, 0x100000, RW, fd, 0), 0);
	memset(buf, 0xee, sizeof(buf));
	CHECK_EQ(snpu_vfu_dma_write(toy.dev, 0x100000, buf, sizeof(buf)), 0);
	CHECK_EQ(ftruncate(fd, 0x4000), 0);
	CHECK_EQ(snpu_vfu_dma_read(toy.dev, 0x100000, buf, sizeof(buf)), -EFAULT);
	CHECK_EQ(toy.losses, lost + 1);
	CHECK(toy_lines() == lines + 1 && toy_said("toy: the client has shrunk a file"));
	/* what is left is there, and what is gone is known: no more faults, no more lines */
	memset(buf, 0, sizeof(buf));
	CHECK_EQ(snpu_vfu_dma_read(toy.dev, 0x100000, buf, 0x4000), 0);
	for (i = 0; i < 0x4000 && buf[i] == 0xee; i++)
		;
	CHECK_EQ(i, 0x4000);
	CHECK_EQ(snpu_vfu_dma_translate(toy.dev, 0x103000, true, &host, &run), 0);
	CHECK_EQ(run, 0x1000);
	CHECK_EQ(snpu_vfu_dma_translate(toy.dev, 0x104000, true, &host, &run), -EFAULT);
	CHECK_EQ(snpu_vfu_dma_write(toy.dev, 0x1ff000, buf, 8), -EFAULT);
	CHECK_EQ(toy.losses, lost + 1);
	CHECK_EQ(toy_lines(), lines + 1);
	/* shrunk once more */
	CHECK_EQ(ftruncate(fd, 0), 0);
	CHECK_EQ(snpu_vfu_dma_write(toy.dev, 0x102000, buf, 8), -EFAULT);
	CHECK_EQ(snpu_vfu_dma_read(toy.dev, 0x100000, buf, 8), -EFAULT);
	CHECK_EQ(toy.losses, lost + 2);
	CHECK_EQ(toy_lines(), lines + 1);
	/* a file that grows again does not come back by itself; another map of it does */
	CHECK_EQ(ftruncate(fd, 0x100000), 0);
	CHECK_EQ(snpu_vfu_dma_read(toy.dev, 0x100000, buf, 8), -EFAULT);
	CHECK_EQ(snpu_vfuc_dma_map(c, 0x200000, 0x100000, RW, fd, 0), 0);
	v = 4711;
	CHECK_EQ(snpu_vfu_dma_write(toy.dev, 0x204000, &v, 8), 0);
	CHECK(pread(fd, &v, 8, 0x4000) == 8 && v == 4711);
	CHECK_EQ(snpu_vfuc_dma_unmap(c, 0x100000, 0x100000), 0);
	CHECK_EQ(snpu_vfuc_dma_map(c, 0x100000, 0x100000, RW, fd, 0), 0);
	CHECK(!snpu_vfu_dma_read(toy.dev, 0x104000, &v, 8) && v == 4711);
	/* the client itself is served on, and so is the other one */
	CHECK_EQ(snpu_vfuc_reset(c), 0);
	CHECK(gets_on());
	snpu_vfuc_close(c);
	close(fd);
}

/* The device is at it when the memory goes, again and again */
static void *eager(void *arg)
{
	unsigned long *gone = arg;

	while (!__atomic_load_n(&enough, __ATOMIC_RELAXED)) {
		uint64_t run;
		void *p;

		pthread_rwlock_rdlock(&toy.use);
		if (!snpu_vfu_dma_translate(toy.dev, 0x40000, true, &p, &run)) {
			volatile uint8_t *b = p;
			uint64_t i;

			for (i = 0; i < run; i += PAGE)
				b[i]++;
			if (snpu_vfu_dma_lost(toy.dev, p, run))
				__atomic_fetch_add(gone, 1, __ATOMIC_RELEASE);
		}
		pthread_rwlock_unlock(&toy.use);
		sched_yield();
	}
	return NULL;
}

static void taken_while_used(void)
{
	unsigned long gone = 0;
	struct snpu_vfuc *c = client();
	unsigned int round, i, before = 0;
	pthread_t t[2];

	for (i = 0; i < 2; i++)
		NEED(!pthread_create(&t[i], NULL, eager, &gone));
	for (round = 0; round < 150; round++) {
		unsigned long from = __atomic_load_n(&gone, __ATOMIC_ACQUIRE);
		int fd = toy_memfd(64 * PAGE);

		if (round == 20)
			before = toy_mappings();
		/* each connection has its own list */
		if (round % 50 == 49) {
			snpu_vfuc_close(c);
			c = client();
		}
		CHECK_EQ(snpu_vfuc_dma_map(c, 0x40000, 64 * PAGE, RW, fd, 0), 0);
		for (i = 0; i < round % 4; i++)
			sched_yield();
		CHECK(!ftruncate(fd, (off_t)(round * 7 % 64 * PAGE)));
		/* until a thread of the device has found it gone */
		for (i = 0; i < 100000 && __atomic_load_n(&gone, __ATOMIC_ACQUIRE) == from; i++)
			usleep(100);
		CHECK(i < 100000);
		CHECK_EQ(snpu_vfuc_dma_unmap(c, 0x40000, 64 * PAGE), 0);
		if (round % 50 == 0)
			CHECK(gets_on());
		close(fd);
	}
	CHECK(toy_mappings() <= before + TOY_MAPPINGS_SLACK);
	__atomic_store_n(&enough, true, __ATOMIC_RELAXED);
	for (i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	snpu_vfuc_close(c);
}

/* More losses than a client's list has room for: all of its memory counts as lost, no one else's */
static void lost_too_much(void)
{
	struct snpu_vfuc *c = client();
	unsigned int i, before = toy_mappings();
	int keep = toy_memfd(PAGE), fd[80];
	uint64_t v = 1;

	CHECK_EQ(snpu_vfuc_dma_map(c, 0, PAGE, RW, keep, 0), 0);
	for (i = 0; i < 80; i++) {
		fd[i] = toy_memfd(4 * PAGE);
		CHECK_EQ(snpu_vfuc_dma_map(c, (i + 1) << 20, 4 * PAGE, RW, fd[i], 0), 0);
	}
	for (i = 0; i < 80; i++) {
		CHECK_EQ(ftruncate(fd[i], PAGE), 0);
		CHECK_EQ(snpu_vfu_dma_write(toy.dev, ((i + 1) << 20) + 3 * PAGE, &v, 8), -EFAULT);
		CHECK_EQ(snpu_vfu_dma_write(toy.dev, ((i + 1) << 20) + PAGE, &v, 8), -EFAULT);
		CHECK_EQ(snpu_vfu_dma_write(toy.dev, 0, &v, 8), i < 64 ? 0 : -EFAULT);
	}
	CHECK(toy_said("more than 64 files"));
	/* a mapping becomes two at most */
	CHECK(toy_mappings() <= before + 2 * 81 + TOY_MAPPINGS_SLACK);
	snpu_vfuc_close(c);
	/* the next client begins with none */
	c = client();
	CHECK_EQ(snpu_vfuc_dma_map(c, 0, PAGE, RW, keep, 0), 0);
	CHECK_EQ(snpu_vfu_dma_write(toy.dev, 0, &v, 8), 0);
	CHECK(gets_on());
	snpu_vfuc_close(c);
	for (i = 0; i < 80; i++)
		close(fd[i]);
	close(keep);
}

static void holes(void)
{
	struct snpu_vfuc *c = client();
	int fd = toy_memfd(16 * PAGE);
	uint64_t v = 99;

	CHECK_EQ(snpu_vfuc_dma_map(c, 0, 16 * PAGE, RW, fd, 0), 0);
	CHECK_EQ(snpu_vfu_dma_write(toy.dev, 5 * PAGE, &v, 8), 0);
	CHECK_EQ(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 16 * PAGE), 0);
	CHECK_EQ(snpu_vfu_dma_read(toy.dev, 5 * PAGE, &v, 8), 0);
	CHECK_EQ(v, 0);
	v = 98;
	CHECK_EQ(snpu_vfu_dma_write(toy.dev, 5 * PAGE, &v, 8), 0);
	CHECK(pread(fd, &v, 8, 5 * PAGE) == 8 && v == 98);
	snpu_vfuc_close(c);
	close(fd);
}

/* Pages of 2 MiB: there may be none, and then using one fails as if it had been taken away */
static void huge_pages(void)
{
	struct snpu_vfuc *c = client();
	int fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB | MFD_HUGE_2MB), ret;
	uint64_t v = 0;

	if (fd < 0 || ftruncate(fd, 8 << 20)) {
		printf("# no hugetlbfs here: %s\n", strerror(errno));
		goto out;
	}
	/* regions of small pages in large ones, as QEMU makes around the holes of a PC */
	CHECK_EQ(snpu_vfuc_dma_map(c, 0, 0xa0000, RW, fd, 0), 0);
	CHECK_EQ(snpu_vfuc_dma_map(c, 0xc0000, 0x140000, RW, fd, 0xc0000), 0);
	CHECK_EQ(snpu_vfuc_dma_map(c, 0x400000, 0x400000, RW, fd, 0x400000), 0);
	v = 5;
	ret = snpu_vfu_dma_write(toy.dev, 0x1ff000, &v, 8);
	CHECK(!ret || ret == -EFAULT);
	printf("# a huge page: %s\n", ret ? "none" : "there");
	if (!ret) {
		CHECK(!snpu_vfu_dma_read(toy.dev, 0x1ff000, &v, 8) && v == 5);
		CHECK_EQ(ftruncate(fd, 0), 0);
		CHECK_EQ(snpu_vfu_dma_read(toy.dev, 0x1ff000, &v, 8), -EFAULT);
		CHECK_EQ(snpu_vfu_dma_read(toy.dev, 0x9f000, &v, 8), -EFAULT);
	}
	CHECK(gets_on());
out:
	snpu_vfuc_close(c);
	if (fd >= 0)
		close(fd);
}

/* Only files whose page faults end are memory */
static void no_memory(void)
{
	struct snpu_vfuc *c = client();
	char path[] = "snpu-disk-XXXXXX", link[32];
	int fd = toy_memfd(4 * PAGE), x, disk;
	struct statfs fs;

	disk = mkstemp(path);
	NEED(disk >= 0 && !unlink(path) && !fstatfs(disk, &fs) && !ftruncate(disk, 4 * PAGE));
	if (fs.f_type == TMPFS_MAGIC) {
		printf("# the current directory is memory: nothing to refuse\n");
	} else {
		CHECK_EQ(snpu_vfuc_dma_map(c, 0, PAGE, RW, disk, 0), -EOPNOTSUPP);
		CHECK(toy_said("allowed: memfd, tmpfs (/dev/shm), hugetlbfs"));
	}
	close(disk);
	x = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	CHECK_EQ(snpu_vfuc_dma_map(c, 0, PAGE, RD, x, 0), -EOPNOTSUPP);
	close(x);
	x = open("/dev/zero", O_RDWR | O_CLOEXEC);
	CHECK_EQ(snpu_vfuc_dma_map(c, 0, PAGE, RW, x, 0), -EINVAL);
	close(x);
	x = open("/dev/shm", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK_EQ(snpu_vfuc_dma_map(c, 0, PAGE, RD, x, 0), -EINVAL);
	close(x);
	x = open("/dev/shm", O_PATH | O_CLOEXEC);
	CHECK(snpu_vfuc_dma_map(c, 0, PAGE, RD, x, 0) < 0);
	close(x);
	/* descriptors that do not allow what is asked for */
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	x = open(link, O_RDONLY | O_CLOEXEC);
	CHECK_EQ(snpu_vfuc_dma_map(c, 0, PAGE, RW, x, 0), -EACCES);
	CHECK(toy_said("open for reading only"));
	CHECK_EQ(snpu_vfuc_dma_map(c, 0, PAGE, RD, x, 0), 0);
	close(x);
	x = open(link, O_WRONLY | O_CLOEXEC);
	CHECK_EQ(snpu_vfuc_dma_map(c, PAGE, PAGE, RW, x, 0), -EACCES);
	CHECK(toy_said("open for writing only"));
	close(x);
	CHECK_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE), 0);
	CHECK_EQ(snpu_vfuc_dma_map(c, PAGE, PAGE, RW, fd, 0), -EPERM);
	CHECK_EQ(snpu_vfuc_dma_map(c, PAGE, PAGE, RD, fd, 0), 0);
	/* behind the end */
	CHECK_EQ(snpu_vfuc_dma_map(c, 2 * PAGE, PAGE, RD, fd, 4 * PAGE), -EINVAL);
	CHECK_EQ(snpu_vfuc_dma_map(c, 2 * PAGE, 2 * PAGE, RD, fd, 3 * PAGE), -EINVAL);
	CHECK_EQ(snpu_vfuc_dma_map(c, 2 * PAGE, PAGE, RD, fd, 1ull << 62), -EINVAL);
	CHECK_EQ(snpu_vfuc_dma_map(c, 2 * PAGE, PAGE, RD, fd, 3 * PAGE), 0);
	snpu_vfuc_close(c);
	CHECK(gets_on());
	close(fd);
}

int main(void)
{
	int mem = toy_memfd(PAGE);
	unsigned int fds;
	pthread_t t;

	setvbuf(stdout, NULL, _IOLBF, 0);
	alarm(120);
	toy_dir();
	fds = toy_fds();
	srv = toy_server(500, 0);
	NEED(srv && !toy_add(srv, &toy, "toy") && !toy_add(srv, &other, "other"));
	NEED(!snpu_vfuc_connect(other.path, NULL, &bystander));
	NEED(!snpu_vfuc_dma_map(bystander, 0x10000, PAGE, RW, mem, 0));
	NEED(!pthread_create(&t, NULL, bystander_main, NULL));
	RUN(shrunk_file);
	RUN(taken_while_used);
	RUN(lost_too_much);
	RUN(holes);
	RUN(huge_pages);
	RUN(no_memory);
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	pthread_join(t, NULL);
	snpu_vfuc_close(bystander);
	snpu_vfu_server_destroy(srv);
	tap_bad = 0;
	CHECK_EQ(toy_count(&toy, &toy.connects), toy_count(&toy, &toy.disconnects));
	toy_free(&toy);
	toy_free(&other);
	CHECK_EQ(toy_fds(), fds);
	tap_failed += !!tap_bad;
	printf("%sok %d - nothing left\n", tap_bad ? "not " : "", ++tap_run);
	close(mem);
	return tap_end();
}
