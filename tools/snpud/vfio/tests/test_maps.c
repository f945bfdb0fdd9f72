// SPDX-License-Identifier: MIT
/*
 * The DMA table: unmaps of every extent, compared with a model of pages; many regions, and how many
 * mappings of the process they take.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tap.h"
#include "toy.h"
#include "vfu_client.h"

#define RD	VFIO_DMA_MAP_FLAG_READ
#define RW	(VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE)
#define PAGE	0x1000ull
#define PAGES	64u
#define LIMIT	64u

static struct snpu_vfu_server *srv;
static struct toy toy;

static struct snpu_vfuc *client(void)
{
	struct snpu_vfuc *c = NULL;

	NEED(!snpu_vfuc_connect(toy.path, NULL, &c));
	return c;
}

/* The page of the file that answers at @iova, from 1 on; 0: no page does */
static unsigned int page_at(uint64_t iova)
{
	uint32_t v = 0;

	if (snpu_vfu_dma_read(toy.dev, iova, &v, sizeof(v)))
		return 0;
	return v;
}

/* A file whose pages begin with their number, from 1 on */
static int numbered(unsigned int pages)
{
	int fd = toy_memfd(pages * PAGE);
	uint32_t i;

	for (i = 1; i <= pages; i++)
		NEED(pwrite(fd, &i, sizeof(i), (off_t)((i - 1) * PAGE)) == sizeof(i));
	return fd;
}

static void unmap_ranges(void)
{
	struct snpu_vfuc *c = client();
	int fd = numbered(PAGES);
	uint64_t run;
	unsigned int i, n;
	void *host;

	/* none: no range, and a range with nothing in it; the device has nothing to wait for */
	n = toy_count(&toy, &toy.unmaps);
	CHECK_EQ(snpu_vfuc_dma_unmap(c, 0x300000, 0x1000), 0);
	CHECK_EQ(snpu_vfuc_dma_unmap(c, 0, 1ull << 63), 0);
	CHECK_EQ(snpu_vfuc_dma_unmap_all(c), 0);
	CHECK_EQ(snpu_vfuc_dma_map(c, 0x10000, 0x4000, RW, fd, 0), 0);
	CHECK_EQ(snpu_vfuc_dma_unmap(c, 0xf000, 0x1000), 0);
	CHECK_EQ(snpu_vfuc_dma_unmap(c, 0x14000, 0x1000), 0);
	CHECK_EQ(toy_count(&toy, &toy.unmaps), n);
	CHECK_EQ(page_at(0x13000), 4);
	/* larger than the mapping; and again */
	CHECK_EQ(snpu_vfuc_dma_unmap(c, 0, 0x200000), 0);
	CHECK_EQ(toy_count(&toy, &toy.unmaps), n + 1);
	CHECK_EQ(page_at(0x13000), 0);
	CHECK_EQ(snpu_vfuc_dma_unmap(c, 0, 0x200000), 0);
	CHECK_EQ(toy_count(&toy, &toy.unmaps), n + 1);
	/* many, with gaps and one without a descriptor in between: one wait for the device */
	for (i = 0; i < 32; i++)
		CHECK_EQ(snpu_vfuc_dma_map(c, 0x200000 + i * 2 * PAGE, PAGE, RW, fd, i * PAGE), 0);
	CHECK_EQ(snpu_vfuc_dma_unmap(c, 0x202000, 0x3c000), 0);
	CHECK_EQ(toy_count(&toy, &toy.unmaps), n + 2);
	for (i = 0; i < 32; i++)
		CHECK_EQ(page_at(0x200000 + i * 2 * PAGE), i == 0 || i == 31 ? i + 1 : 0);
	/* what was there can be mapped again */
	CHECK_EQ(snpu_vfuc_dma_map(c, 0x201000, 0x3d000, RW, fd, PAGE), 0);
	CHECK_EQ(page_at(0x201000), 2);
	CHECK_EQ(snpu_vfuc_dma_unmap_all(c), 0);

	/* cut at the front, at the end, in the middle, across three */
	CHECK_EQ(snpu_vfuc_dma_map(c, 0x10000, 0x10000, RW, fd, 0), 0);
	CHECK_EQ(snpu_vfuc_dma_map(c, 0x20000, 0x10000, RD, fd, 0x10000), 0);
	CHECK_EQ(snpu_vfuc_dma_map(c, 0x30000, 0x10000, RW, fd, 0x20000), 0);
	CHECK_EQ(snpu_vfuc_dma_unmap(c, 0xf000, 0x2000), 0);
	CHECK_EQ(page_at(0x10000), 0);
	CHECK_EQ(page_at(0x11000), 2);
	CHECK_EQ(snpu_vfuc_dma_unmap(c, 0x3f000, 0x2000), 0);
	CHECK_EQ(page_at(0x3f000), 0);
	CHECK_EQ(page_at(0x3e000), 47);
	CHECK_EQ(snpu_vfuc_dma_unmap(c, 0x24000, 0x4000), 0);
	CHECK_EQ(snpu_vfu_dma_translate(toy.dev, 0x20000, false, &host, &run), 0);
	CHECK_EQ(run, 0x4000);
	CHECK_EQ(page_at(0x23000), 20);
	CHECK_EQ(page_at(0x24000), 0);
	CHECK_EQ(page_at(0x27000), 0);
	CHECK_EQ(page_at(0x28000), 25);
	CHECK_EQ(snpu_vfu_dma_translate(toy.dev, 0x28000, true, &host, &run), -EFAULT);
	CHECK_EQ(snpu_vfuc_dma_unmap(c, 0x1f000, 0x12000), 0);
	CHECK_EQ(page_at(0x1e000), 15);
	CHECK_EQ(page_at(0x1f000), 0);
	CHECK_EQ(page_at(0x2f000), 0);
	CHECK_EQ(page_at(0x30000), 0);
	CHECK_EQ(page_at(0x31000), 34);
	/* arguments: a range that is none leaves everything as it is */
	CHECK_EQ(snpu_vfuc_dma_unmap(c, 0x11000, 0), -EINVAL);
	CHECK_EQ(snpu_vfuc_dma_unmap(c, 0x11800, 0x1000), -EINVAL);
	CHECK_EQ(snpu_vfuc_dma_unmap(c, 0x11000, 0x1800), -EINVAL);
	CHECK_EQ(snpu_vfuc_dma_unmap(c, 0x11000, UINT64_MAX - 0xfff), -EINVAL);
	CHECK_EQ(page_at(0x11000), 2);
	/* up to the very end */
	CHECK_EQ(snpu_vfuc_dma_map(c, UINT64_MAX - 0x1fff, 0x2000, RW, fd, 0), 0);
	CHECK_EQ(snpu_vfuc_dma_unmap(c, UINT64_MAX - 0xfff, 0x1000), 0);
	CHECK_EQ(page_at(UINT64_MAX - 0xfff), 0);
	CHECK_EQ(page_at(UINT64_MAX - 0x1fff), 1);
	CHECK_EQ(snpu_vfuc_dma_unmap(c, 0x1000, UINT64_MAX - 0x1fff), 0);
	CHECK_EQ(page_at(UINT64_MAX - 0x1fff), 0);
	CHECK_EQ(page_at(0x11000), 0);
	snpu_vfuc_close(c);
	close(fd);
}

/* With the table full, a cut takes the rest above with it and says so */
static void cut_without_room(void)
{
	struct snpu_vfuc *c = client();
	int fd = numbered(PAGES);
	unsigned int i;

	CHECK_EQ(snpu_vfuc_dma_map(c, 0x100000, 0x10000, RW, fd, 0), 0);
	for (i = 1; i < LIMIT; i++)
		CHECK_EQ(snpu_vfuc_dma_map(c, 0x200000 + i * 2 * PAGE, PAGE, RW, fd, i * PAGE), 0);
	CHECK_EQ(snpu_vfuc_dma_unmap(c, 0x104000, 0x4000), -ENOSPC);
	CHECK(toy_said("0x104000..0x107fff cuts a region"));
	CHECK_EQ(page_at(0x103000), 4);
	CHECK_EQ(page_at(0x104000), 0);
	CHECK_EQ(page_at(0x108000), 0);
	/* a cut that needs no room works */
	CHECK_EQ(snpu_vfuc_dma_unmap(c, 0x102000, 0x2000), 0);
	CHECK_EQ(page_at(0x101000), 2);
	CHECK_EQ(page_at(0x102000), 0);
	snpu_vfuc_close(c);
	close(fd);
}

/* Maps and unmaps of all kinds; the table answers as an array of pages would */
static void model(void)
{
	unsigned int want[PAGES] = { 0 }, round, i, mapped = 0, refused = 0;
	uint64_t rnd = 1;
	struct snpu_vfuc *c = client();
	int fd = numbered(PAGES), ret;

	for (round = 0; round < 4000; round++) {
		unsigned int at, n, from;
		bool taken = false;

		rnd = rnd * 6364136223846793005ull + 1442695040888963407ull;
		at = (unsigned int)(rnd >> 33) % PAGES;
		n = 1 + (unsigned int)(rnd >> 40) % (rnd >> 60 ? 8 : PAGES - at);
		n = n > PAGES - at ? PAGES - at : n;
		from = (unsigned int)(rnd >> 50) % (PAGES - n + 1);
		for (i = at; i < at + n; i++)
			taken |= want[i];
		if (rnd >> 62) {
			ret = snpu_vfuc_dma_map(c, at * PAGE, n * PAGE, RW, fd, from * PAGE);
			CHECK_EQ(ret, taken ? -EEXIST : 0);
			for (i = 0; !taken && i < n; i++)
				want[at + i] = from + i + 1;
			mapped += !taken;
			refused += taken;
		} else {
			CHECK_EQ(snpu_vfuc_dma_unmap(c, at * PAGE, n * PAGE), 0);
			memset(want + at, 0, n * sizeof(*want));
		}
		for (i = 0; i < PAGES; i++)
			if (page_at(i * PAGE) != want[i])
				break;
		CHECK_EQ(i, PAGES);
	}
	CHECK(mapped > 500 && refused > 500);
	snpu_vfuc_close(c);
	close(fd);
}

/* A function reset leaves the mappings, as in VFIO; a client that leaves takes all of them along */
static void reset_and_disconnect(void)
{
	struct snpu_vfuc *c = client();
	int fd = numbered(PAGES);
	unsigned int n;

	CHECK_EQ(snpu_vfuc_dma_map(c, 0x10000, 0x4000, RW, fd, 0), 0);
	CHECK_EQ(snpu_vfuc_dma_unmap(c, 0x11000, 0x1000), 0);
	CHECK_EQ(snpu_vfuc_reset(c), 0);
	CHECK_EQ(page_at(0x10000), 1);
	CHECK_EQ(page_at(0x11000), 0);
	CHECK_EQ(page_at(0x12000), 3);
	n = toy_count(&toy, &toy.disconnects);
	snpu_vfuc_close(c);
	CHECK(toy_wait(&toy, &toy.disconnects, n + 1));
	CHECK_EQ(page_at(0x10000), 0);
	c = client();
	CHECK_EQ(page_at(0x12000), 0);
	CHECK_EQ(snpu_vfuc_dma_map(c, 0x10000, 0x4000, RW, fd, 0x4000), 0);
	CHECK_EQ(page_at(0x10000), 5);
	snpu_vfuc_close(c);
	close(fd);
}

/* More regions than the kernel gives a process mappings, in no order */
#define MANY	70001u

static unsigned int scramble(unsigned int i, unsigned int step)
{
	return (unsigned int)((uint64_t)i * step % MANY);
}

#define STAYS		(1ull << 45)	/* mapped all the time, to the first page */

struct reader {
	struct toy *t;
	unsigned long found;
	unsigned int bad;
	bool stop;
};

/* Looks regions up while the table changes: what it finds is right, and what stays is found */
static void *reader_main(void *arg)
{
	struct reader *r = arg;
	unsigned int seed = 1;

	while (!__atomic_load_n(&r->stop, __ATOMIC_RELAXED)) {
		uint64_t k = (unsigned int)rand_r(&seed) % MANY;
		uint32_t v = 0;

		pthread_rwlock_rdlock(&r->t->use);
		if (!snpu_vfu_dma_read(r->t->dev, (k + k / 3) * PAGE, &v, 4)) {
			r->bad += v != k + 1;
			r->found++;
		}
		r->bad += snpu_vfu_dma_read(r->t->dev, STAYS, &v, 4) || v != 1;
		pthread_rwlock_unlock(&r->t->use);
	}
	return NULL;
}

static void many_regions(void)
{
	struct snpu_vfu_server *s = toy_server(0, 0);
	struct snpu_vfuc *c = NULL;
	unsigned int i, before, bad = 0;
	struct reader r = { 0 };
	int fd = numbered(MANY);
	pthread_t thread;
	struct toy t;

	NEED(s && !toy_add(s, &t, "many"));
	NEED(!snpu_vfuc_connect(t.path, NULL, &c));
	before = toy_mappings();
	CHECK_EQ(snpu_vfuc_dma_map(c, STAYS, PAGE, RW, fd, 0), 0);
	r.t = &t;
	NEED(!pthread_create(&thread, NULL, reader_main, &r));
	/* a gap after every third one */
	for (i = 0; i < MANY; i++) {
		uint64_t k = scramble(i, 40009);

		bad += snpu_vfuc_dma_map(c, (k + k / 3) * PAGE, PAGE, RW, fd, k * PAGE) != 0;
	}
	CHECK_EQ(bad, 0);
	CHECK(toy_mappings() <= before + TOY_MAPPINGS_SLACK);
	for (i = 0; i < MANY; i++) {
		uint32_t v = 0;

		bad += snpu_vfu_dma_read(t.dev, (i + i / 3) * PAGE, &v, 4) || v != i + 1;
		if (i % 3 == 2)
			bad += snpu_vfu_dma_read(t.dev, (i + i / 3 + 1) * PAGE, &v, 4) != -EFAULT;
	}
	CHECK_EQ(bad, 0);
	/* nine of ten go one by one, in another order, the rest at once */
	for (i = 0; i < MANY; i++) {
		uint64_t k = scramble(i, 30011);

		if (k % 10)
			bad += snpu_vfuc_dma_unmap(c, (k + k / 3) * PAGE, PAGE) != 0;
	}
	for (i = 0; i < MANY; i++) {
		uint32_t v = 0;
		int ret = snpu_vfu_dma_read(t.dev, (i + i / 3) * PAGE, &v, 4);

		bad += i % 10 ? ret != -EFAULT : ret || v != i + 1;
	}
	CHECK_EQ(bad, 0);
	CHECK_EQ(snpu_vfuc_dma_unmap(c, 0, 1ull << 40), 0);
	CHECK_EQ(snpu_vfu_dma_read(t.dev, 0, &i, 4), -EFAULT);
	__atomic_store_n(&r.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	CHECK_EQ(r.bad, 0);
	CHECK(r.found > 0);
	CHECK(toy_mappings() <= before + TOY_MAPPINGS_SLACK);
	snpu_vfuc_close(c);
	snpu_vfu_server_destroy(s);
	toy_free(&t);
	close(fd);
}

/* Regions of a file that grows, of one that is larger than what may be mapped, of many files */
static void files(void)
{
	struct snpu_vfu_server *s = toy_server_cfg((struct snpu_vfu_server_cfg){
		.max_dma_bytes = 1u << 30, .dma_files = 20 });
	struct snpu_vfuc *c = NULL;
	unsigned int i, before, bad = 0;
	struct toy t;
	uint64_t v;
	int fd;

	NEED(s && !toy_add(s, &t, "files"));
	NEED(!snpu_vfuc_connect(t.path, NULL, &c));
	fd = toy_memfd(0);
	before = toy_mappings();
	for (i = 0; i < 1000; i++) {
		CHECK(!ftruncate(fd, (off_t)((i + 1) * PAGE)));
		bad += snpu_vfuc_dma_map(c, i * 2 * PAGE, PAGE, RW, fd, i * PAGE) != 0;
		v = i + 7;
		bad += snpu_vfu_dma_write(t.dev, i * 2 * PAGE, &v, 8) != 0;
	}
	CHECK_EQ(bad, 0);
	CHECK(toy_mappings() <= before + TOY_MAPPINGS_SLACK);
	for (i = 0; i < 1000; i++)
		bad += pread(fd, &v, 8, (off_t)(i * PAGE)) != 8 || v != i + 7;
	CHECK_EQ(bad, 0);
	CHECK_EQ(snpu_vfuc_dma_unmap_all(c), 0);
	CHECK(toy_mappings() <= before + TOY_MAPPINGS_SLACK);
	close(fd);

	/* 1 TiB, of which parts are mapped where they are used */
	fd = toy_memfd(1ull << 40);
	for (i = 0; i < 8; i++) {
		CHECK_EQ(snpu_vfuc_dma_map(c, (uint64_t)i << 36, 0x3000, RW, fd,
					   ((uint64_t)i << 37) + 0x1ff000), 0);
		v = i + 100;
		CHECK_EQ(snpu_vfu_dma_write(t.dev, ((uint64_t)i << 36) + 0x1000, &v, 8), 0);
		CHECK_EQ(pread(fd, &v, 8, (off_t)(((uint64_t)i << 37) + 0x200000)), 8);
		CHECK_EQ(v, i + 100);
	}
	CHECK_EQ(snpu_vfuc_dma_map(c, 1ull << 41, 1ull << 30, RW, fd, 0), -ENOSPC);
	CHECK(toy_said("limit of 0x40000000"));
	CHECK_EQ(snpu_vfuc_dma_unmap_all(c), 0);
	CHECK_EQ(snpu_vfuc_dma_map(c, 1ull << 41, 1ull << 30, RW, fd, 0), 0);
	CHECK_EQ(snpu_vfuc_dma_unmap_all(c), 0);
	CHECK(toy_mappings() <= before + TOY_MAPPINGS_SLACK);
	close(fd);

	/* a file that is mapped for reading only first, and then for writing too */
	fd = numbered(4);
	CHECK_EQ(snpu_vfuc_dma_map(c, 0, PAGE, RD, fd, 0), 0);
	CHECK_EQ(snpu_vfuc_dma_map(c, PAGE, PAGE, RW, fd, PAGE), 0);
	CHECK_EQ(snpu_vfu_dma_write(t.dev, 0, &v, 8), -EFAULT);
	CHECK_EQ(snpu_vfu_dma_write(t.dev, PAGE, &v, 8), 0);
	close(fd);
	snpu_vfuc_close(c);
	snpu_vfu_server_destroy(s);
	toy_free(&t);
}

/* The limit that VERSION tells is never above the client's own: QEMU refuses a larger one */
static void limit_told(void)
{
	static const char ask[] = "\0\0\1\0{\"capabilities\":{\"max_dma_maps\":65535}}";
	struct snpu_vfu_server *s = toy_server(0, 0);
	char reply[512] = { 0 };
	struct toy t;
	int fd;

	NEED(s && !toy_add(s, &t, "limits"));
	fd = raw_connect(t.path);
	CHECK(raw_call(fd, SNPU_VFU_CMD_VERSION, ask, sizeof(ask), NULL, 0, reply,
		       sizeof(reply) - 1, NULL) > 4);
	CHECK(strstr(reply + 4, "\"max_dma_maps\":65535}"));
	close(fd);
	fd = raw_connect(toy.path);
	CHECK(raw_call(fd, SNPU_VFU_CMD_VERSION, ask, sizeof(ask), NULL, 0, reply,
		       sizeof(reply) - 1, NULL) > 4);
	CHECK(strstr(reply + 4, "\"max_dma_maps\":64}"));
	close(fd);
	snpu_vfu_server_destroy(s);
	toy_free(&t);
}

/* A client that takes all the mappings it gets leaves the others theirs */
static void shares(void)
{
	struct snpu_vfu_server *s = toy_server_cfg((struct snpu_vfu_server_cfg){
		.dma_files = 4, .dma_file_pool = 3 });
	struct snpu_vfuc *a = NULL, *b = NULL;
	int fd[16], i, n;
	struct toy ta, tb;

	NEED(s && !toy_add(s, &ta, "greedy") && !toy_add(s, &tb, "modest"));
	NEED(!snpu_vfuc_connect(ta.path, NULL, &a) && !snpu_vfuc_connect(tb.path, NULL, &b));
	for (i = 0; i < 16; i++)
		fd[i] = numbered(1);
	for (n = 0; n < 16; n++)
		if (snpu_vfuc_dma_map(a, (unsigned int)n * PAGE, PAGE, RW, fd[n], 0))
			break;
	CHECK_EQ(n, 7);
	CHECK(toy_said("7 files are mapped"));
	for (n = 0; n < 16; n++)
		if (snpu_vfuc_dma_map(b, (unsigned int)n * PAGE, PAGE, RW, fd[n], 0))
			break;
	CHECK_EQ(n, 4);
	/* what a client gives back to the pool, or leaves behind, others can have */
	CHECK_EQ(snpu_vfuc_dma_unmap(a, 6 * PAGE, PAGE), 0);
	CHECK_EQ(snpu_vfuc_dma_map(b, 4 * PAGE, PAGE, RW, fd[4], 0), 0);
	CHECK_EQ(snpu_vfuc_dma_map(b, 5 * PAGE, PAGE, RW, fd[5], 0), -ENOSPC);
	snpu_vfuc_close(a);
	CHECK(toy_wait(&ta, &ta.disconnects, 1));
	/* it counts itself out before the next client is served */
	NEED(!snpu_vfuc_connect(ta.path, NULL, &a));
	CHECK_EQ(snpu_vfuc_dma_map(b, 5 * PAGE, PAGE, RW, fd[5], 0), 0);
	CHECK_EQ(snpu_vfuc_dma_map(b, 6 * PAGE, PAGE, RW, fd[6], 0), 0);
	CHECK_EQ(snpu_vfuc_dma_map(b, 7 * PAGE, PAGE, RW, fd[7], 0), -ENOSPC);
	snpu_vfuc_close(a);
	snpu_vfuc_close(b);
	snpu_vfu_server_destroy(s);
	toy_free(&ta);
	toy_free(&tb);
	for (i = 0; i < 16; i++)
		close(fd[i]);
}

int main(void)
{
	unsigned int fds;

	setvbuf(stdout, NULL, _IOLBF, 0);
	alarm(120);
	toy_dir();
	fds = toy_fds();
	srv = toy_server(500, LIMIT);
	NEED(srv && !toy_add(srv, &toy, "toy"));
	RUN(unmap_ranges);
	RUN(cut_without_room);
	RUN(model);
	RUN(reset_and_disconnect);
	RUN(many_regions);
	RUN(files);
	RUN(shares);
	RUN(limit_told);
	snpu_vfu_server_destroy(srv);
	tap_bad = 0;
	CHECK_EQ(toy_count(&toy, &toy.connects), toy_count(&toy, &toy.disconnects));
	toy_free(&toy);
	CHECK_EQ(toy_fds(), fds);
	tap_failed += !!tap_bad;
	printf("%sok %d - nothing left\n", tap_bad ? "not " : "", ++tap_run);
	return tap_end();
}
