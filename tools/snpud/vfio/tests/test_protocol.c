// SPDX-License-Identifier: MIT
/*
 * Conversations with the server, good and bad: what the protocol says of version, regions, mappings
 * and interrupts.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tap.h"
#include "toy.h"

#define RD	VFIO_DMA_MAP_FLAG_READ
#define WR	VFIO_DMA_MAP_FLAG_WRITE
#define RW	(RD | WR)

static struct snpu_vfu_server *srv;
static struct toy toy;

/* A command without descriptors; the reply does not matter, or goes to @out */
static int ask(int fd, uint16_t c, const void *data, size_t len, void *out, size_t max)
{
	return raw_call(fd, c, data, len, NULL, 0, out, max, NULL);
}

static int cmd(int fd, uint16_t c, const void *data, size_t len)
{
	return ask(fd, c, data, len, NULL, 0);
}

static int version(int fd, unsigned int major, unsigned int minor, const char *json, size_t len,
		   char *out, size_t max)
{
	uint8_t msg[8192];
	uint16_t v[2] = { (uint16_t)major, (uint16_t)minor };

	memcpy(msg, v, 4);
	memcpy(msg + 4, json, len);
	return raw_call(fd, SNPU_VFU_CMD_VERSION, msg, 4 + len, NULL, 0, out, max, NULL);
}

/* The server takes the next client, and a conversation works */
static void still_serves(void)
{
	struct snpu_vfu_info in = { .argsz = sizeof(in) }, out;
	int fd = raw_hello(toy.path);

	CHECK(fd >= 0);
	CHECK_EQ(ask(fd, SNPU_VFU_CMD_GET_INFO, &in, sizeof(in), &out, sizeof(out)), sizeof(out));
	CHECK_EQ(out.num_regions, VFIO_PCI_NUM_REGIONS);
	close(fd);
}

static void version_like_qemu(void)
{
	static const char qemu[] =
		"{\"capabilities\": {\"migration\": {\"pgsize\": 4096,"
		" \"max_bitmap_size\": 268435456},"
		" \"max_msg_fds\": 16, \"max_data_xfer_size\": 1048576, \"pgsizes\": 4096,"
		" \"max_dma_maps\": 65535, \"write_multiple\": true}}";
	char out[4096] = "";
	int fd, k;

	fd = raw_connect(toy.path);
	k = version(fd, 0, 0, qemu, sizeof(qemu), out, sizeof(out));
	/* it has room for no more than it sent */
	CHECK(k > 4 && k <= (int)sizeof(qemu) + 4);
	CHECK(!memcmp(out, "\0\0\0\0", 4));
	CHECK(!out[k - 1] && strlen(out + 4) == (size_t)k - 5);
	CHECK(strstr(out + 4, "\"max_msg_fds\":8"));
	CHECK(strstr(out + 4, "\"max_data_xfer_size\":1048576"));
	CHECK(strstr(out + 4, "\"write_multiple\":true"));
	CHECK(!strstr(out + 4, "migration"));
	close(fd);

	/* only what the client names, and no newer minor version than it has */
	fd = raw_connect(toy.path);
	k = version(fd, 0, 7, "{\"capabilities\":{\"max_msg_fds\":1}}", 35, out, sizeof(out));
	CHECK(k > 4);
	CHECK_EQ(out[2], SNPU_VFU_MINOR);
	CHECK(!strcmp(out + 4, "{\"capabilities\":{\"max_msg_fds\":8}}"));
	close(fd);
	fd = raw_connect(toy.path);
	CHECK(version(fd, 0, 1, "", 0, out, sizeof(out)) > 0);
	close(fd);
	fd = raw_connect(toy.path);
	CHECK(version(fd, 0, 1, "{\"other\":[1,2]}", 16, out, sizeof(out)) > 0);
	close(fd);
}

static void version_refused(void)
{
	static const char *const bad[] = {
		"{", "[]", "5",
		"{\"capabilities\":5}",
		"{\"capabilities\":{\"max_msg_fds\":\"1\"}}",
		"{\"capabilities\":{\"max_msg_fds\":-1}}",
		"{\"capabilities\":{\"max_msg_fds\":1.5}}",
		"{\"capabilities\":{\"max_data_xfer_size\":0}}",
		"{\"capabilities\":{\"max_data_xfer_size\":99999999999999999999}}",
		"{\"capabilities\":{\"pgsizes\":2048}}", "{\"capabilities\":{\"pgsizes\":4097}}",
		"{\"capabilities\":{\"write_multiple\":1}}",
		"{\"a\":[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]}",
	};
	char long_json[SNPU_VFU_MAX_JSON + 2];
	struct snpu_vfu_hdr h;
	unsigned int i;
	int fd;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		unsigned int lines = toy_lines();

		fd = raw_connect(toy.path);
		CHECK_EQ(version(fd, 0, 0, bad[i], strlen(bad[i]) + 1, NULL, 0), RAW_CLOSED);
		CHECK_EQ(toy_lines(), lines + 1);
		close(fd);
	}
	/* not terminated; terminated too early; too long; another major */
	fd = raw_connect(toy.path);
	CHECK_EQ(version(fd, 0, 0, "{}", 2, NULL, 0), RAW_CLOSED);
	close(fd);
	fd = raw_connect(toy.path);
	CHECK_EQ(version(fd, 0, 0, "{}\0{}", 6, NULL, 0), RAW_CLOSED);
	close(fd);
	memset(long_json, ' ', sizeof(long_json));
	long_json[sizeof(long_json) - 1] = 0;
	fd = raw_connect(toy.path);
	CHECK_EQ(version(fd, 0, 0, long_json, sizeof(long_json), NULL, 0), RAW_CLOSED);
	close(fd);
	fd = raw_connect(toy.path);
	CHECK_EQ(version(fd, 1, 0, "", 0, NULL, 0), RAW_CLOSED);
	close(fd);
	/* anything else first, also without wanting a reply; a reply first; twice */
	fd = raw_connect(toy.path);
	CHECK_EQ(cmd(fd, SNPU_VFU_CMD_RESET, NULL, 0), RAW_CLOSED);
	close(fd);
	fd = raw_connect(toy.path);
	raw_send(fd, 1, SNPU_VFU_CMD_VERSION, SNPU_VFU_F_NO_REPLY, 0, "\0\0\0\0", 4, NULL, 0);
	CHECK(raw_gone(fd));
	close(fd);
	fd = raw_connect(toy.path);
	raw_send(fd, 1, SNPU_VFU_CMD_VERSION, SNPU_VFU_F_REPLY, 0, "\0\0\0\0", 4, NULL, 0);
	CHECK(raw_gone(fd));
	close(fd);
	fd = raw_hello(toy.path);
	CHECK_EQ(version(fd, 0, 0, "", 0, NULL, 0), RAW_CLOSED);
	close(fd);
	/* by the device */
	__atomic_store_n(&toy.refuse, -EBUSY, __ATOMIC_RELAXED);
	fd = raw_connect(toy.path);
	CHECK_EQ(version(fd, 0, 0, "", 0, NULL, 0), RAW_CLOSED);
	__atomic_store_n(&toy.refuse, 0, __ATOMIC_RELAXED);
	close(fd);
	/* too short for its own fields */
	fd = raw_connect(toy.path);
	raw_send(fd, 1, SNPU_VFU_CMD_VERSION, 0, 0, "\0\0", 2, NULL, 0);
	CHECK_EQ(raw_recv(fd, &h, NULL, 0, NULL), RAW_CLOSED);
	close(fd);
	still_serves();
}

static void bad_headers(void)
{
	static const struct {
		uint16_t cmd;
		uint32_t flags, size;
	} bad[] = {
		{ SNPU_VFU_CMD_RESET, 0, 1 }, { SNPU_VFU_CMD_RESET, 0, 15 },
		{ SNPU_VFU_CMD_RESET, 0, SNPU_VFU_MAX_MSG + 1 },
		{ SNPU_VFU_CMD_RESET, 0, UINT32_MAX },
		{ SNPU_VFU_CMD_RESET, 2, 0 }, { SNPU_VFU_CMD_RESET, 0xf, 0 },
		{ SNPU_VFU_CMD_RESET, SNPU_VFU_F_ERROR, 0 }, { SNPU_VFU_CMD_RESET, 0x40, 0 },
		{ SNPU_VFU_CMD_RESET, 0x80000000, 0 },
		{ SNPU_VFU_CMD_DMA_READ, SNPU_VFU_F_REPLY, 0 },
	};
	uint8_t data[64] = { 0 };
	unsigned int i;
	int fd;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		unsigned int lines = toy_lines();

		fd = raw_hello(toy.path);
		raw_send(fd, 1, bad[i].cmd, bad[i].flags, bad[i].size, NULL, 0, NULL, 0);
		CHECK(raw_gone(fd));
		CHECK_EQ(toy_lines(), lines + 1);
		CHECK(toy_said("closed"));
		close(fd);
	}

	/* these are understood, so the client keeps its connection */
	fd = raw_hello(toy.path);
	CHECK_EQ(cmd(fd, 0, NULL, 0), -ENOTSUP);
	CHECK_EQ(cmd(fd, 14, NULL, 0), -ENOTSUP);
	CHECK_EQ(cmd(fd, 65535, NULL, 0), -ENOTSUP);
	CHECK_EQ(cmd(fd, SNPU_VFU_CMD_DMA_READ, data, 16), -ENOTSUP);
	CHECK_EQ(cmd(fd, SNPU_VFU_CMD_DEVICE_FEATURE, data, 8), -ENOTSUP);
	CHECK_EQ(cmd(fd, SNPU_VFU_CMD_GET_REGION_IO_FDS, data, 16), -ENOTSUP);
	CHECK_EQ(cmd(fd, SNPU_VFU_CMD_RESET, data, 4), -EINVAL);
	CHECK_EQ(cmd(fd, SNPU_VFU_CMD_GET_INFO, data, 15), -EINVAL);
	CHECK_EQ(cmd(fd, SNPU_VFU_CMD_GET_INFO, data, 17), -EINVAL);
	CHECK_EQ(cmd(fd, SNPU_VFU_CMD_DMA_MAP, data, 31), -EINVAL);
	CHECK_EQ(cmd(fd, SNPU_VFU_CMD_REGION_READ, data, 8), -EINVAL);
	CHECK_EQ(cmd(fd, SNPU_VFU_CMD_REGION_WRITE, data, 15), -EINVAL);
	CHECK_EQ(cmd(fd, SNPU_VFU_CMD_RESET, NULL, 0), 0);
	close(fd);
	still_serves();
}

static void info_and_regions(void)
{
	struct {
		struct snpu_vfu_region_info i;
		struct snpu_vfu_sparse_hdr h;
		struct snpu_vfu_area a[2];
	} r;
	struct snpu_vfu_info in = { .argsz = sizeof(in) }, out;
	struct snpu_vfu_region_info q = { .argsz = sizeof(q) };
	int got, fd = raw_hello(toy.path);
	uint64_t *p;

	CHECK_EQ(ask(fd, SNPU_VFU_CMD_GET_INFO, &in, sizeof(in), &out, sizeof(out)), sizeof(out));
	CHECK_EQ(out.flags, VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET);
	CHECK_EQ(out.num_irqs, VFIO_PCI_NUM_IRQS);
	in.argsz = 12;
	CHECK_EQ(cmd(fd, SNPU_VFU_CMD_GET_INFO, &in, sizeof(in)), -EINVAL);

	/* sparse: first told how much room it takes, then all */
	CHECK_EQ(raw_call(fd, SNPU_VFU_CMD_GET_REGION_INFO, &q, sizeof(q), NULL, 0, &r, sizeof(r),
			  &got), sizeof(q));
	CHECK_EQ(r.i.argsz, sizeof(q) + sizeof(r.h) + sizeof(r.a[0]));
	CHECK_EQ(r.i.cap_offset, sizeof(q));
	CHECK(got >= 0);
	close(got);
	q.argsz = r.i.argsz;
	CHECK_EQ(raw_call(fd, SNPU_VFU_CMD_GET_REGION_INFO, &q, sizeof(q), NULL, 0, &r, sizeof(r),
			  &got), q.argsz);
	CHECK_EQ(r.i.size, TOY_BAR0);
	CHECK_EQ(r.i.flags, 0xf);
	CHECK_EQ(r.h.id, VFIO_REGION_INFO_CAP_SPARSE_MMAP);
	CHECK_EQ(r.h.nr_areas, 1);
	CHECK_EQ(r.a[0].offset, TOY_DB);
	CHECK_EQ(r.a[0].size, TOY_DB_SIZE);
	p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, got,
		 (off_t)(r.i.offset + r.a[0].offset));
	CHECK(p != MAP_FAILED);
	if (p != MAP_FAILED) {
		uint64_t v = 0;

		p[3] = 0x1122334455667788;
		CHECK_EQ(pread(toy.db, &v, 8, 24), 8);
		CHECK(v == 0x1122334455667788);
		munmap(p, 4096);
	}
	close(got);

	/* whole: no capability */
	q = (struct snpu_vfu_region_info){ .argsz = sizeof(q), .index = 2 };
	CHECK_EQ(raw_call(fd, SNPU_VFU_CMD_GET_REGION_INFO, &q, sizeof(q), NULL, 0, &r, sizeof(r),
			  &got), sizeof(q));
	CHECK_EQ(r.i.flags, 7);
	CHECK_EQ(r.i.offset, 0);
	CHECK(got >= 0);
	close(got);
	/* none there */
	q.index = 1;
	CHECK_EQ(raw_call(fd, SNPU_VFU_CMD_GET_REGION_INFO, &q, sizeof(q), NULL, 0, &r, sizeof(r),
			  &got), sizeof(q));
	CHECK(!r.i.size && !r.i.flags && got < 0);
	/* no such index; no room for the fixed part */
	q.index = VFIO_PCI_NUM_REGIONS;
	CHECK_EQ(cmd(fd, SNPU_VFU_CMD_GET_REGION_INFO, &q, sizeof(q)), -EINVAL);
	q.index = UINT32_MAX;
	CHECK_EQ(cmd(fd, SNPU_VFU_CMD_GET_REGION_INFO, &q, sizeof(q)), -EINVAL);
	q.index = 0;
	q.argsz = 31;
	CHECK_EQ(cmd(fd, SNPU_VFU_CMD_GET_REGION_INFO, &q, sizeof(q)), -EINVAL);
	close(fd);
}

static int rd(int fd, unsigned int region, uint64_t off, unsigned int count, void *out)
{
	struct snpu_vfu_region_rw a = { .offset = off, .region = region, .count = count };
	uint8_t buf[8192];
	int k = raw_call(fd, SNPU_VFU_CMD_REGION_READ, &a, sizeof(a), NULL, 0, buf, sizeof(buf),
			 NULL);

	if (k < 0)
		return k;
	if (k != (int)(sizeof(a) + count))
		return RAW_SILENT;
	memcpy(out, buf + sizeof(a), count < 4096 ? count : 4096);
	return 0;
}

static int wr(int fd, unsigned int region, uint64_t off, unsigned int count, const void *data,
	      unsigned int bytes)
{
	struct snpu_vfu_region_rw a = { .offset = off, .region = region, .count = count };
	uint8_t buf[8192];
	int k;

	memcpy(buf, &a, sizeof(a));
	memcpy(buf + sizeof(a), data, bytes);
	k = raw_call(fd, SNPU_VFU_CMD_REGION_WRITE, buf, sizeof(a) + bytes, NULL, 0, buf,
		     sizeof(buf), NULL);
	return k == (int)sizeof(a) ? 0 : k < 0 ? k : RAW_SILENT;
}

static void region_access(void)
{
	uint8_t buf[4096], page[4096];
	uint64_t v = 0x0123456789abcdef, w = 0;
	int fd = raw_hello(toy.path);
	unsigned int i;

	CHECK_EQ(wr(fd, 0, TOY_SCRATCH, 8, &v, 8), 0);
	CHECK_EQ(rd(fd, 0, TOY_SCRATCH, 8, &w), 0);
	CHECK(w == v);
	w = 0;
	CHECK_EQ(rd(fd, 0, TOY_SCRATCH + 2, 2, &w), 0);
	CHECK_EQ(w, 0x89ab);
	CHECK_EQ(rd(fd, 0, TOY_ID, 4, &w), 0);
	CHECK_EQ((uint32_t)w, TOY_ID_VALUE);
	/* as QEMU reads it, and as it writes it */
	CHECK_EQ(rd(fd, 7, 0, 4096, buf), 0);
	CHECK(!memcmp(buf, toy.cfg, 4096));
	CHECK_EQ(rd(fd, 7, 0, 256, buf), 0);
	CHECK_EQ(rd(fd, 7, 0xfd, 3, buf), 0);
	CHECK_EQ(wr(fd, 7, 0x3c, 1, "\x0b", 1), 0);
	CHECK_EQ(toy.cfg[0x3c], 0x0b);
	/* memory, by message: any length, and no callback is asked */
	for (i = 0; i < sizeof(page); i++)
		page[i] = (uint8_t)(i * 7);
	CHECK_EQ(wr(fd, 2, TOY_BAR2 - 4093, 4093, page, 4093), 0);
	CHECK_EQ(rd(fd, 2, TOY_BAR2 - 4093, 4093, buf), 0);
	CHECK(!memcmp(buf, page, 4093));
	CHECK_EQ(wr(fd, 0, TOY_DB + 8, 8, &v, 8), 0);
	CHECK_EQ(pread(toy.db, &w, 8, 8), 8);
	CHECK(w == v);

	/* trapped: size and alignment */
	CHECK_EQ(rd(fd, 0, 0, 3, buf), -EINVAL);
	CHECK_EQ(rd(fd, 0, 0, 16, buf), -EINVAL);
	CHECK_EQ(rd(fd, 0, 2, 4, buf), -EINVAL);
	CHECK_EQ(rd(fd, 4, 12, 8, buf), -EINVAL);
	CHECK_EQ(rd(fd, 0, TOY_DB - 4, 8, buf), -EINVAL);
	/* bounds */
	CHECK_EQ(rd(fd, 0, 0, 0, buf), -EINVAL);
	CHECK_EQ(rd(fd, 0, TOY_BAR0, 4, buf), -EINVAL);
	CHECK_EQ(rd(fd, 0, UINT64_MAX - 3, 4, buf), -EINVAL);
	CHECK_EQ(rd(fd, 7, 4095, 2, buf), -EINVAL);
	CHECK_EQ(rd(fd, 2, 0, SNPU_VFU_MAX_XFER + 1, buf), -EINVAL);
	CHECK_EQ(rd(fd, 2, TOY_BAR2 - 8, 16, buf), -EINVAL);
	CHECK_EQ(rd(fd, 1, 0, 4, buf), -EINVAL);
	CHECK_EQ(rd(fd, 9, 0, 4, buf), -EINVAL);
	CHECK_EQ(rd(fd, UINT32_MAX, 0, 4, buf), -EINVAL);
	CHECK_EQ(rd(fd, 2, 0, SNPU_VFU_MAX_XFER, buf), 0);
	/* the header and the data disagree */
	CHECK_EQ(wr(fd, 0, 0, 8, &v, 4), -EINVAL);
	CHECK_EQ(wr(fd, 0, 0, 4, &v, 8), -EINVAL);
	CHECK_EQ(wr(fd, 0, 0, UINT32_MAX, &v, 8), -EINVAL);
	/* what the device says goes to the client */
	CHECK_EQ(wr(fd, 0, TOY_EPERM, 4, &v, 4), -EPERM);
	CHECK_EQ(rd(fd, 0, TOY_EPERM, 4, buf), -EPERM);
	close(fd);
}

static void posted_and_multi(void)
{
	struct {
		struct snpu_vfu_region_rw a;
		uint64_t v;
	} w = { .a = { .offset = TOY_SCRATCH, .region = 0, .count = 8 } };
	struct {
		uint64_t n;
		struct snpu_vfu_write_one w[3];
	} m = { .n = 3 };
	int fd = raw_hello(toy.path);
	uint64_t v = 0, n;
	unsigned int i;

	/* no replies to them, and the read that follows sees the last */
	for (i = 1; i <= 50; i++) {
		w.v = i;
		CHECK(!raw_send(fd, (uint16_t)i, SNPU_VFU_CMD_REGION_WRITE, SNPU_VFU_F_NO_REPLY, 0,
				&w, sizeof(w), NULL, 0));
	}
	/* nor to a bad one */
	w.a.offset = UINT64_MAX;
	raw_send(fd, 9, SNPU_VFU_CMD_REGION_WRITE, SNPU_VFU_F_NO_REPLY, 0, &w, sizeof(w), NULL, 0);
	CHECK_EQ(rd(fd, 0, TOY_SCRATCH, 8, &v), 0);
	CHECK_EQ(v, 50);

	for (i = 0; i < 3; i++) {
		m.w[i] = (struct snpu_vfu_write_one){ .offset = i, .region = 0, .count = 1 };
		m.w[i].data[0] = (uint8_t)(0x11 * (i + 1));
	}
	CHECK_EQ(ask(fd, SNPU_VFU_CMD_REGION_WRITE_MULTI, &m, sizeof(m), &n, sizeof(n)), sizeof(n));
	CHECK_EQ(n, 3);
	CHECK_EQ(rd(fd, 0, TOY_SCRATCH, 8, &v), 0);
	CHECK_EQ(v, 0x332211);
	m.w[1].count = 9;
	CHECK_EQ(cmd(fd, SNPU_VFU_CMD_REGION_WRITE_MULTI, &m, sizeof(m)), -EINVAL);
	m.w[1].count = 0;
	CHECK_EQ(cmd(fd, SNPU_VFU_CMD_REGION_WRITE_MULTI, &m, sizeof(m)), -EINVAL);
	m.n = 4;
	CHECK_EQ(cmd(fd, SNPU_VFU_CMD_REGION_WRITE_MULTI, &m, sizeof(m)), -EINVAL);
	m.n = UINT64_MAX;
	CHECK_EQ(cmd(fd, SNPU_VFU_CMD_REGION_WRITE_MULTI, &m, sizeof(m)), -EINVAL);
	CHECK_EQ(cmd(fd, SNPU_VFU_CMD_REGION_WRITE_MULTI, &m, 20), -EINVAL);
	close(fd);
}

static int map_raw(int fd, uint64_t iova, uint64_t size, uint32_t flags, uint64_t offset,
		   uint32_t argsz, const int *fds, unsigned int nfds)
{
	struct snpu_vfu_dma_map a = {
		.argsz = argsz, .flags = flags, .offset = offset, .iova = iova, .size = size,
	};

	return raw_call(fd, SNPU_VFU_CMD_DMA_MAP, &a, sizeof(a), fds, nfds, NULL, 0, NULL);
}

static int map_fd(int fd, uint64_t iova, uint64_t size, uint32_t flags, uint64_t offset, int mem)
{
	return map_raw(fd, iova, size, flags, offset, 32, &mem, mem >= 0);
}

static int unmap_raw(int fd, uint64_t iova, uint64_t size, uint32_t flags)
{
	struct snpu_vfu_dma_unmap a = { .argsz = 24, .flags = flags, .iova = iova, .size = size };
	struct snpu_vfu_dma_unmap r = { 0 };
	int k = ask(fd, SNPU_VFU_CMD_DMA_UNMAP, &a, sizeof(a), &r, sizeof(r));

	if (k == (int)sizeof(r) && !memcmp(&a, &r, sizeof(a)))
		return 0;
	return k < 0 ? k : RAW_SILENT;
}

static void dma_map(void)
{
	int mem = toy_memfd(0x100000), fd = raw_hello(toy.path);
	int two[2], nine[9], ro, p[2];
	unsigned int i, before;
	uint64_t run, v = 0;
	char link[32];
	void *host;

	CHECK_EQ(map_fd(fd, 0x10000, 0x4000, RW, 0x1000, mem), 0);
	CHECK_EQ(snpu_vfu_dma_translate(toy.dev, 0x11008, true, &host, &run), 0);
	CHECK_EQ(run, 0x2ff8);
	*(uint64_t *)host = 77;
	CHECK_EQ(pread(mem, &v, 8, 0x2008), 8);
	CHECK_EQ(v, 77);
	CHECK_EQ(snpu_vfu_dma_translate(toy.dev, 0xffff, false, &host, &run), -EFAULT);
	CHECK_EQ(snpu_vfu_dma_translate(toy.dev, 0x14000, false, &host, &run), -EFAULT);
	/* across two regions, and across the end of the last */
	CHECK_EQ(map_fd(fd, 0x14000, 0x1000, RD, 0x10000, mem), 0);
	CHECK_EQ(pwrite(mem, "abcd", 4, 0x4ffc), 4);
	CHECK_EQ(pwrite(mem, "efgh", 4, 0x10000), 4);
	CHECK_EQ(snpu_vfu_dma_read(toy.dev, 0x13ffc, &v, 8), 0);
	CHECK(!memcmp(&v, "abcdefgh", 8));
	CHECK_EQ(snpu_vfu_dma_read(toy.dev, 0x14ffc, &v, 8), -EFAULT);
	/* what the client allows */
	CHECK_EQ(snpu_vfu_dma_write(toy.dev, 0x14000, &v, 8), -EFAULT);
	CHECK_EQ(snpu_vfu_dma_translate(toy.dev, 0x14000, true, &host, &run), -EFAULT);
	CHECK_EQ(map_fd(fd, 0x15000, 0x1000, WR, 0x10000, mem), 0);
	CHECK_EQ(snpu_vfu_dma_translate(toy.dev, 0x15000, false, &host, &run), -EFAULT);
	CHECK_EQ(snpu_vfu_dma_translate(toy.dev, 0x15000, true, &host, &run), 0);

	/* overlaps: same, inside, around, at each end; neighbours are none */
	CHECK_EQ(map_fd(fd, 0x10000, 0x4000, RW, 0, mem), -EEXIST);
	CHECK_EQ(map_fd(fd, 0x11000, 0x1000, RW, 0, mem), -EEXIST);
	CHECK_EQ(map_fd(fd, 0x0, 0x100000, RW, 0, mem), -EEXIST);
	CHECK_EQ(map_fd(fd, 0xf000, 0x2000, RW, 0, mem), -EEXIST);
	CHECK_EQ(map_fd(fd, 0x15000, 0x2000, RW, 0, mem), -EEXIST);
	CHECK_EQ(map_fd(fd, 0xf000, 0x1000, RW, 0, mem), 0);
	CHECK_EQ(map_fd(fd, 0x16000, 0x1000, RW, 0, mem), 0);
	/* the very end of the address space */
	CHECK_EQ(map_fd(fd, UINT64_MAX - 0xfff, 0x1000, RW, 0, mem), 0);
	CHECK_EQ(snpu_vfu_dma_translate(toy.dev, UINT64_MAX, true, &host, &run), 0);
	CHECK_EQ(run, 1);
	/* arguments */
	CHECK_EQ(map_fd(fd, UINT64_MAX - 0x1fff, 0x3000, RW, 0, mem), -EINVAL);
	CHECK_EQ(map_fd(fd, 0x100000, UINT64_MAX - 0xfff, RW, 0, mem), -EINVAL);
	CHECK_EQ(map_fd(fd, 0x100800, 0x1000, RW, 0, mem), -EINVAL);
	CHECK_EQ(map_fd(fd, 0x100000, 0x800, RW, 0, mem), -EINVAL);
	CHECK_EQ(map_fd(fd, 0x100000, 0, RW, 0, mem), -EINVAL);
	CHECK_EQ(map_fd(fd, 0x100000, 0x1000, RW, 0x10, mem), -EINVAL);
	CHECK_EQ(map_fd(fd, 0x100000, 0x1000, 0, 0, mem), -EINVAL);
	CHECK_EQ(map_fd(fd, 0x100000, 0x1000, 4 | RW, 0, mem), -EINVAL);
	CHECK_EQ(map_raw(fd, 0x100000, 0x1000, RW, 0, 28, &mem, 1), -EINVAL);
	/* the file: too short, offset behind it, offset that overflows, not a file, not writable */
	CHECK_EQ(map_fd(fd, 0x100000, 0x101000, RW, 0, mem), -EINVAL);
	CHECK_EQ(map_fd(fd, 0x100000, 0x1000, RW, 0x100000, mem), -EINVAL);
	CHECK_EQ(map_fd(fd, 0x100000, 0x1000, RW, 0x7ffffffffffff000, mem), -EINVAL);
	CHECK_EQ(map_fd(fd, 0x100000, 0x1000, RW, 0xfffffffffffff000, mem), -EINVAL);
	NEED(!pipe2(p, O_CLOEXEC));
	CHECK_EQ(map_fd(fd, 0x100000, 0x1000, RW, 0, p[0]), -EINVAL);
	close(p[0]);
	close(p[1]);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", mem);
	ro = open(link, O_RDONLY | O_CLOEXEC);
	NEED(ro >= 0);
	CHECK_EQ(map_fd(fd, 0x100000, 0x1000, RW, 0, ro), -EACCES);
	CHECK_EQ(map_fd(fd, 0x100000, 0x1000, RD, 0, ro), 0);
	close(ro);
	/* descriptors: two, nine, one with a message that takes none; none stays open */
	before = toy_fds();
	two[0] = two[1] = mem;
	CHECK_EQ(map_raw(fd, 0x200000, 0x1000, RW, 0, 32, two, 2), -EINVAL);
	for (i = 0; i < 9; i++)
		nine[i] = mem;
	CHECK_EQ(map_raw(fd, 0x200000, 0x1000, RW, 0, 32, nine, 9), -E2BIG);
	CHECK_EQ(raw_call(fd, SNPU_VFU_CMD_RESET, NULL, 0, &mem, 1, NULL, 0, NULL), -EINVAL);
	CHECK_EQ(map_fd(fd, 0x200000, 0x1000, RW, 0, mem), 0);
	CHECK_EQ(toy_fds(), before);

	/* unmap: the reply repeats the request; ranges of all kinds are test_maps.c's */
	CHECK_EQ(unmap_raw(fd, 0x300000, 0x1000, 0), 0);
	CHECK_EQ(unmap_raw(fd, 0x10000, 0x4000, 8), -EINVAL);
	i = toy_count(&toy, &toy.unmaps);
	CHECK_EQ(unmap_raw(fd, 0x10000, 0x4000, 0), 0);
	CHECK_EQ(toy_count(&toy, &toy.unmaps), i + 1);
	CHECK_EQ(snpu_vfu_dma_translate(toy.dev, 0x11008, true, &host, &run), -EFAULT);
	CHECK_EQ(snpu_vfu_dma_translate(toy.dev, 0x14000, false, &host, &run), 0);
	CHECK_EQ(unmap_raw(fd, 0x10000, 0x4000, 0), 0);
	CHECK_EQ(map_fd(fd, 0x10000, 0x4000, RW, 0, mem), 0);
	CHECK_EQ(unmap_raw(fd, 0, 0, VFIO_DMA_UNMAP_FLAG_ALL), 0);
	CHECK_EQ(snpu_vfu_dma_translate(toy.dev, 0x14000, false, &host, &run), -EFAULT);
	/* the limit of this server is 64 */
	for (i = 0; i < 64; i++)
		CHECK_EQ(map_fd(fd, (63 - i) * 0x2000, 0x1000, RW, i * 0x1000, mem), 0);
	CHECK_EQ(map_fd(fd, 0x1000000, 0x1000, RW, 0, mem), -ENOSPC);
	for (i = 0; i < 64; i++) {
		CHECK_EQ(snpu_vfu_dma_translate(toy.dev, i * 0x2000, true, &host, &run), 0);
		CHECK_EQ(snpu_vfu_dma_translate(toy.dev, i * 0x2000 + 0x1000, true, &host, &run),
			 -EFAULT);
	}
	i = toy_count(&toy, &toy.disconnects);
	close(fd);
	CHECK(toy_wait(&toy, &toy.disconnects, i + 1));
	CHECK_EQ(snpu_vfu_dma_translate(toy.dev, 0, true, &host, &run), -EFAULT);
	close(mem);
}

static int set_irqs(int fd, uint32_t flags, uint32_t index, uint32_t start, uint32_t count,
		    const void *data, size_t len, const int *fds, unsigned int nfds)
{
	struct {
		struct snpu_vfu_irq_set s;
		uint8_t data[64];
	} m = { .s = { (uint32_t)(sizeof(m.s) + len), flags, index, start, count } };

	if (len)
		memcpy(m.data, data, len);
	return raw_call(fd, SNPU_VFU_CMD_SET_IRQS, &m, sizeof(m.s) + len, fds, nfds, NULL, 0, NULL);
}

static uint64_t drain(int efd)
{
	uint64_t v;

	return read(efd, &v, sizeof(v)) == (ssize_t)sizeof(v) ? v : 0;
}

static void interrupts(void)
{
	const uint32_t none = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER;
	const uint32_t bools = VFIO_IRQ_SET_DATA_BOOL | VFIO_IRQ_SET_ACTION_TRIGGER;
	const uint32_t efds = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
	struct snpu_vfu_irq_info q = { .argsz = 16, .index = VFIO_PCI_MSIX_IRQ_INDEX }, r;
	int fd = raw_hello(toy.path), e[8], one, p[2];
	const unsigned int x = VFIO_PCI_MSIX_IRQ_INDEX;
	uint64_t v = 5;
	unsigned int i;

	CHECK_EQ(ask(fd, SNPU_VFU_CMD_GET_IRQ_INFO, &q, sizeof(q), &r, sizeof(r)), sizeof(r));
	CHECK_EQ(r.count, TOY_VECTORS);
	CHECK_EQ(r.flags, VFIO_IRQ_INFO_EVENTFD);
	q.index = VFIO_PCI_INTX_IRQ_INDEX;
	CHECK_EQ(ask(fd, SNPU_VFU_CMD_GET_IRQ_INFO, &q, sizeof(q), &r, sizeof(r)), sizeof(r));
	CHECK_EQ(r.count, 0);
	q.index = VFIO_PCI_ERR_IRQ_INDEX;
	CHECK_EQ(cmd(fd, SNPU_VFU_CMD_GET_IRQ_INFO, &q, sizeof(q)), -EINVAL);
	q.index = VFIO_PCI_NUM_IRQS;
	CHECK_EQ(cmd(fd, SNPU_VFU_CMD_GET_IRQ_INFO, &q, sizeof(q)), -EINVAL);

	for (i = 0; i < 8; i++)
		e[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	/* the whole message as QEMU sends it: no data, descriptors aside */
	CHECK_EQ(set_irqs(fd, efds, x, 0, 8, NULL, 0, e, 8), 0);
	CHECK_EQ(snpu_vfu_irq_trigger(toy.dev, 3), 0);
	CHECK_EQ(snpu_vfu_irq_trigger(toy.dev, 3), 0);
	CHECK_EQ(drain(e[3]), 2);
	CHECK_EQ(drain(e[2]), 0);
	/* from within a callback */
	CHECK_EQ(wr(fd, 0, TOY_IRQ, 8, &v, 8), 0);
	CHECK_EQ(drain(e[5]), 1);
	CHECK_EQ(snpu_vfu_irq_trigger(toy.dev, TOY_VECTORS), -EINVAL);
	/* by the client itself */
	CHECK_EQ(set_irqs(fd, none, x, 0, 2, NULL, 0, NULL, 0), 0);
	CHECK_EQ(drain(e[0]) + drain(e[1]), 2);
	CHECK_EQ(set_irqs(fd, bools, x, 0, 3, "\0\1\1", 3, NULL, 0), 0);
	CHECK_EQ(drain(e[0]), 0);
	CHECK_EQ(drain(e[1]) + drain(e[2]), 2);
	/* taken away; then it waits for the next */
	CHECK_EQ(set_irqs(fd, efds, x, 3, 1, NULL, 0, NULL, 0), 0);
	CHECK_EQ(snpu_vfu_irq_trigger(toy.dev, 3), 1);
	CHECK_EQ(drain(e[3]), 0);
	CHECK_EQ(set_irqs(fd, efds, x, 3, 1, NULL, 0, &e[3], 1), 0);
	CHECK_EQ(drain(e[3]), 1);
	/* all off: nothing waits any more */
	CHECK_EQ(snpu_vfu_irq_trigger(toy.dev, 9), 1);
	CHECK_EQ(set_irqs(fd, none, x, 0, 0, NULL, 0, NULL, 0), 0);
	CHECK_EQ(set_irqs(fd, efds, x, 9, 1, NULL, 0, &e[0], 1), 0);
	CHECK_EQ(drain(e[0]), 0);
	CHECK_EQ(set_irqs(fd, none, VFIO_PCI_INTX_IRQ_INDEX, 0, 0, NULL, 0, NULL, 0), 0);
	/* the request interrupt */
	CHECK_EQ(set_irqs(fd, efds, VFIO_PCI_REQ_IRQ_INDEX, 0, 1, NULL, 0, &e[7], 1), 0);
	CHECK_EQ(snpu_vfu_req_trigger(toy.dev), 0);
	CHECK_EQ(drain(e[7]), 1);
	/* one that would block is made not to */
	one = eventfd(0, EFD_CLOEXEC);
	v = UINT64_MAX - 1;
	NEED(write(one, &v, 8) == 8);
	CHECK_EQ(set_irqs(fd, efds, x, 0, 1, NULL, 0, &one, 1), 0);
	CHECK_EQ(snpu_vfu_irq_trigger(toy.dev, 0), 0);
	close(one);

	/* ranges */
	CHECK_EQ(set_irqs(fd, efds, x, TOY_VECTORS, 1, NULL, 0, e, 1), -EINVAL);
	CHECK_EQ(set_irqs(fd, efds, x, TOY_VECTORS - 1, 2, NULL, 0, e, 2), -EINVAL);
	CHECK_EQ(set_irqs(fd, efds, x, UINT32_MAX, 1, NULL, 0, e, 1), -EINVAL);
	CHECK_EQ(set_irqs(fd, none, x, 1, UINT32_MAX, NULL, 0, NULL, 0), -EINVAL);
	CHECK_EQ(set_irqs(fd, efds, VFIO_PCI_INTX_IRQ_INDEX, 0, 1, NULL, 0, e, 1), -EINVAL);
	CHECK_EQ(set_irqs(fd, none, VFIO_PCI_NUM_IRQS, 0, 0, NULL, 0, NULL, 0), -EINVAL);
	/* count and descriptors, count and data, flags */
	CHECK_EQ(set_irqs(fd, efds, x, 0, 2, NULL, 0, e, 1), -EINVAL);
	CHECK_EQ(set_irqs(fd, efds, x, 0, 1, NULL, 0, e, 2), -EINVAL);
	CHECK_EQ(set_irqs(fd, none, x, 0, 1, NULL, 0, e, 1), -EINVAL);
	CHECK_EQ(set_irqs(fd, bools, x, 0, 3, "\1", 1, NULL, 0), -EINVAL);
	CHECK_EQ(set_irqs(fd, none, x, 0, 1, "\1", 1, NULL, 0), -EINVAL);
	CHECK_EQ(set_irqs(fd, efds, x, 0, 0, NULL, 0, NULL, 0), -EINVAL);
	CHECK_EQ(set_irqs(fd, none, x, 1, 0, NULL, 0, NULL, 0), -EINVAL);
	CHECK_EQ(set_irqs(fd, 0, x, 0, 1, NULL, 0, NULL, 0), -EINVAL);
	CHECK_EQ(set_irqs(fd, efds | none, x, 0, 1, NULL, 0, NULL, 0), -EINVAL);
	CHECK_EQ(set_irqs(fd, none | 0x100, x, 0, 1, NULL, 0, NULL, 0), -EINVAL);
	CHECK_EQ(set_irqs(fd, VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_MASK, x, 0, 1, NULL, 0,
			  NULL, 0), -ENOTSUP);
	/* something that is no eventfd */
	NEED(!pipe2(p, O_CLOEXEC));
	CHECK_EQ(set_irqs(fd, efds, x, 0, 1, NULL, 0, &p[1], 1), -EINVAL);
	close(p[0]);
	close(p[1]);
	close(fd);
	for (i = 0; i < 8; i++)
		close(e[i]);
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
	RUN(version_like_qemu);
	RUN(version_refused);
	RUN(bad_headers);
	RUN(info_and_regions);
	RUN(region_access);
	RUN(posted_and_multi);
	RUN(dma_map);
	RUN(interrupts);
	snpu_vfu_server_destroy(srv);
	tap_bad = 0;
	CHECK_EQ(toy_count(&toy, &toy.connects), toy_count(&toy, &toy.disconnects));
	toy_free(&toy);
	CHECK_EQ(toy_fds(), fds);
	tap_failed += !!tap_bad;
	printf("%sok %d - nothing left\n", tap_bad ? "not " : "", ++tap_run);
	return tap_end();
}
