// SPDX-License-Identifier: MIT
/*
 * The DMA table: unmaps of every extent, compared with a model of pages.
 */
#include <errno.h>
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
	snpu_vfu_server_destroy(srv);
	tap_bad = 0;
	CHECK_EQ(toy_count(&toy, &toy.connects), toy_count(&toy, &toy.disconnects));
	toy_free(&toy);
	CHECK_EQ(toy_fds(), fds);
	tap_failed += !!tap_bad;
	printf("%sok %d - nothing left\n", tap_bad ? "not " : "", ++tap_run);
	return tap_end();
}
