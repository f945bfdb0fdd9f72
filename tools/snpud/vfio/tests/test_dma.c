// SPDX-License-Identifier: MIT
/*
 * Memory of the client: by messages, and under a device that works on it; and the client library,
 * which does most of the talking here.
 */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "tap.h"
#include "toy.h"
#include "vfu_client.h"

#define RW		(VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE)
#define TIMEOUT_MS	300
#define MEM		(4u << 20)

static struct snpu_vfu_server *srv;
static struct toy toy;

/* memory that the client gives no descriptor for */
static uint8_t mem[MEM];
static unsigned int asked;

static int mem_read(void *ctx, uint64_t iova, void *buf, size_t len)
{
	(void)ctx;
	asked++;
	if (iova < 0x100000 || iova - 0x100000 > MEM || len > MEM - (iova - 0x100000))
		return -ENXIO;
	memcpy(buf, mem + (iova - 0x100000), len);
	return 0;
}

static int mem_write(void *ctx, uint64_t iova, const void *buf, size_t len)
{
	(void)ctx;
	asked++;
	if (iova < 0x100000 || iova - 0x100000 > MEM || len > MEM - (iova - 0x100000))
		return -ENXIO;
	memcpy(mem + (iova - 0x100000), buf, len);
	return 0;
}

static long now_ms(void)
{
	return (long)snpu_vfu_now_ms();
}

static struct snpu_vfuc *client(bool with_memory)
{
	struct snpu_vfuc_cfg cfg = { .timeout_ms = 5000 };
	struct snpu_vfuc *c = NULL;

	if (with_memory) {
		cfg.dma_read = mem_read;
		cfg.dma_write = mem_write;
	}
	NEED(!snpu_vfuc_connect(toy.path, &cfg, &c));
	return c;
}

static void client_library(void)
{
	struct snpu_vfuc *c = client(false);
	struct snpu_vfuc_region rg;
	struct snpu_vfu_info info;
	uint64_t v = 0x1234567890, w = 0;
	int e[TOY_VECTORS], fd, i;
	unsigned int n, resets = toy_count(&toy, &toy.resets);
	uint8_t cfg[4096];
	void *p;

	CHECK_EQ(snpu_vfuc_info(c, &info), 0);
	CHECK_EQ(info.num_regions, VFIO_PCI_NUM_REGIONS);
	CHECK_EQ(snpu_vfuc_region_get(c, 0, &rg), 0);
	CHECK_EQ(rg.size, TOY_BAR0);
	CHECK_EQ(rg.nr_areas, 1);
	CHECK_EQ(rg.areas[0].offset, TOY_DB);
	CHECK_EQ(snpu_vfuc_region_mmap(&rg, TOY_DB + 0x1000, 0x1000, &p), 0);
	snpu_vfuc_region_put(&rg);
	*(uint64_t *)p = v;
	CHECK_EQ(pread(toy.db, &w, 8, 0x1000), 8);
	CHECK(v == w);
	munmap(p, 0x1000);
	CHECK_EQ(snpu_vfuc_region_get(c, 0, &rg), 0);
	CHECK_EQ(snpu_vfuc_region_mmap(&rg, 0, 0x1000, &p), -EINVAL);
	CHECK_EQ(snpu_vfuc_region_mmap(&rg, TOY_DB, TOY_DB_SIZE + 0x1000, &p), -EINVAL);
	snpu_vfuc_region_put(&rg);
	CHECK_EQ(snpu_vfuc_region_get(c, 2, &rg), 0);
	CHECK_EQ(snpu_vfuc_region_mmap(&rg, 0, TOY_BAR2, &p), 0);
	munmap(p, TOY_BAR2);
	snpu_vfuc_region_put(&rg);
	CHECK_EQ(snpu_vfuc_region_get(c, 4, &rg), 0);
	CHECK_EQ(rg.fd, -1);
	CHECK_EQ(snpu_vfuc_region_mmap(&rg, 0, 0x1000, &p), -EINVAL);
	CHECK_EQ(snpu_vfuc_region_get(c, 77, &rg), -EINVAL);

	CHECK_EQ(snpu_vfuc_write(c, 0, TOY_SCRATCH, &v, 8), 0);
	CHECK_EQ(snpu_vfuc_read(c, 0, TOY_SCRATCH, &w, 8), 0);
	CHECK(v == w);
	v++;
	CHECK_EQ(snpu_vfuc_write_posted(c, 0, TOY_SCRATCH, &v, 8), 0);
	CHECK_EQ(snpu_vfuc_read(c, 0, TOY_SCRATCH, &w, 8), 0);
	CHECK(v == w);
	CHECK_EQ(snpu_vfuc_read(c, 7, 0, cfg, sizeof(cfg)), 0);
	CHECK(!memcmp(cfg, toy.cfg, sizeof(cfg)));
	CHECK_EQ(snpu_vfuc_read(c, 0, TOY_EPERM, &w, 4), -EPERM);
	CHECK_EQ(snpu_vfuc_read(c, 0, 0, cfg, 0), -EINVAL);

	/* more vectors than go into one message */
	CHECK_EQ(snpu_vfuc_irq_count(c, VFIO_PCI_MSIX_IRQ_INDEX, &n), 0);
	CHECK_EQ(n, TOY_VECTORS);
	for (i = 0; i < (int)TOY_VECTORS; i++)
		e[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	CHECK_EQ(snpu_vfuc_irq_set(c, VFIO_PCI_MSIX_IRQ_INDEX, 0, TOY_VECTORS, e), 0);
	for (i = 0; i < (int)TOY_VECTORS; i++) {
		CHECK_EQ(snpu_vfu_irq_trigger(toy.dev, (unsigned int)i), 0);
		CHECK_EQ(read(e[i], &w, 8), 8);
		CHECK_EQ(w, 1);
	}
	CHECK_EQ(snpu_vfuc_irq_fire(c, VFIO_PCI_MSIX_IRQ_INDEX, 16, 1), 0);
	CHECK_EQ(read(e[16], &w, 8), 8);
	CHECK_EQ(snpu_vfuc_irq_set(c, VFIO_PCI_MSIX_IRQ_INDEX, 0, 17, NULL), 0);
	CHECK_EQ(snpu_vfu_irq_trigger(toy.dev, 0), 1);
	CHECK_EQ(snpu_vfuc_irq_disable(c, VFIO_PCI_MSIX_IRQ_INDEX), 0);
	CHECK_EQ(snpu_vfuc_irq_set(c, VFIO_PCI_MSIX_IRQ_INDEX, 17, 1, e), -EINVAL);
	for (i = 0; i < (int)TOY_VECTORS; i++)
		close(e[i]);

	CHECK_EQ(snpu_vfuc_reset(c), 0);
	CHECK_EQ(toy_count(&toy, &toy.resets), resets + 1);
	fd = toy_memfd(0x10000);
	CHECK_EQ(snpu_vfuc_dma_map(c, 0x5000, 0x3000, RW, fd, 0x1000), 0);
	CHECK_EQ(snpu_vfuc_dma_map(c, 0x6000, 0x1000, RW, fd, 0), -EEXIST);
	CHECK_EQ(snpu_vfu_dma_write(toy.dev, 0x5ffc, "12345678", 8), 0);
	CHECK_EQ(pread(fd, &w, 8, 0x1ffc), 8);
	CHECK(!memcmp(&w, "12345678", 8));
	CHECK_EQ(snpu_vfuc_dma_unmap(c, 0x5000, 0x3000), 0);
	CHECK_EQ(snpu_vfu_dma_write(toy.dev, 0x5ffc, "12345678", 8), -EFAULT);
	CHECK_EQ(snpu_vfuc_dma_map(c, 0x5000, 0x3000, RW, fd, 0x1000), 0);
	CHECK_EQ(snpu_vfuc_dma_unmap_all(c), 0);
	close(fd);
	/* nobody would answer */
	CHECK_EQ(snpu_vfuc_dma_map(c, 0x5000, 0x3000, RW, -1, 0), -EINVAL);
	CHECK_EQ(snpu_vfuc_alive(c), 0);
	snpu_vfu_dev_drop(toy.dev);
	CHECK_EQ(snpu_vfuc_reset(c), -ENOTCONN);
	CHECK_EQ(snpu_vfuc_reset(c), -ENOTCONN);
	CHECK(snpu_vfuc_alive(c) < 0);
	snpu_vfuc_close(c);
	CHECK_EQ(snpu_vfuc_connect("/nonexistent/socket", NULL, &c), -ENOENT);
}

static void by_messages(void)
{
	struct snpu_vfuc *c = client(true);
	uint8_t *buf = malloc(3u << 20);
	uint64_t run, v;
	unsigned int i;
	void *host;

	for (i = 0; i < MEM; i++)
		mem[i] = (uint8_t)(i * 31 + (i >> 12));
	CHECK_EQ(snpu_vfuc_dma_map(c, 0x100000, MEM, RW, -1, 0), 0);
	CHECK_EQ(snpu_vfu_dma_translate(toy.dev, 0x101000, false, &host, &run), -EOPNOTSUPP);
	CHECK_EQ(run, MEM - 0x1000);
	CHECK(!host);
	/* longer than a message may be */
	asked = 0;
	CHECK_EQ(snpu_vfu_dma_read(toy.dev, 0x100123, buf, 3u << 20), 0);
	CHECK(!memcmp(buf, mem + 0x123, 3u << 20));
	CHECK_EQ(asked, 3);
	memset(buf, 0x5a, 2u << 20);
	CHECK_EQ(snpu_vfu_dma_write(toy.dev, 0x180001, buf, 2u << 20), 0);
	CHECK(!memcmp(buf, mem + 0x80001, 2u << 20));
	CHECK_EQ(mem[0x80000], (uint8_t)(0x80000 * 31 + 0x80));
	/* beyond the region; and what the client itself does not like */
	CHECK_EQ(snpu_vfu_dma_read(toy.dev, 0x100000 + MEM - 4, buf, 8), -EFAULT);
	CHECK_EQ(snpu_vfuc_dma_map(c, 0x80000000, 0x1000, RW, -1, 0), 0);
	CHECK_EQ(snpu_vfu_dma_read(toy.dev, 0x80000000, buf, 8), -ENXIO);
	CHECK_EQ(snpu_vfu_dma_write(toy.dev, 0x80000000, buf, 8), -ENXIO);
	/* calls of the client in between */
	for (i = 0; i < 100; i++) {
		CHECK_EQ(snpu_vfuc_write_posted(c, 0, TOY_SCRATCH, &(uint64_t){ i }, 8), 0);
		CHECK_EQ(snpu_vfu_dma_read(toy.dev, 0x100000 + i * 8, &v, 8), 0);
		CHECK(!memcmp(&v, mem + i * 8, 8));
	}
	CHECK_EQ(snpu_vfuc_read(c, 0, TOY_SCRATCH, &v, 8), 0);
	CHECK_EQ(v, 99);
	snpu_vfuc_close(c);
	free(buf);
}

static int raw_map(int fd, uint64_t iova, uint64_t size, int memfd)
{
	struct snpu_vfu_dma_map a = { .argsz = 32, .flags = RW, .iova = iova, .size = size };

	return raw_call(fd, SNPU_VFU_CMD_DMA_MAP, &a, sizeof(a), &memfd, memfd >= 0, NULL, 0, NULL);
}

static int raw_unmap(int fd, uint64_t iova, uint64_t size)
{
	struct snpu_vfu_dma_unmap a = { .argsz = 24, .iova = iova, .size = size };
	int k = raw_call(fd, SNPU_VFU_CMD_DMA_UNMAP, &a, sizeof(a), NULL, 0, NULL, 0, NULL);

	return k == (int)sizeof(a) ? 0 : k;
}

/* a read or write of the device in a thread of its own */
struct job {
	pthread_t thread;
	uint64_t iova;
	uint8_t buf[64];
	bool write;
	int ret;
	long ms;
};

static void *job_main(void *arg)
{
	struct job *j = arg;

	j->ms = now_ms();
	pthread_rwlock_rdlock(&toy.use);
	j->ret = j->write ? snpu_vfu_dma_write(toy.dev, j->iova, j->buf, sizeof(j->buf)) :
		 snpu_vfu_dma_read(toy.dev, j->iova, j->buf, sizeof(j->buf));
	pthread_rwlock_unlock(&toy.use);
	j->ms = now_ms() - j->ms;
	return NULL;
}

static void start(struct job *j, uint64_t iova, bool write)
{
	memset(j, 0, sizeof(*j));
	j->iova = iova;
	j->write = write;
	NEED(!pthread_create(&j->thread, NULL, job_main, j));
}

static int end(struct job *j)
{
	pthread_join(j->thread, NULL);
	return j->ret;
}

struct dma_reply {
	struct snpu_vfu_dma_rw a;
	uint8_t data[64];
};

/* Receives the command of the device and checks it */
static uint16_t expect(int fd, uint16_t cmd, uint64_t iova)
{
	struct dma_reply m = { 0 };
	struct snpu_vfu_hdr h = { 0 };
	int k = raw_recv(fd, &h, &m, sizeof(m), NULL);

	CHECK_EQ(k, cmd == SNPU_VFU_CMD_DMA_READ ? sizeof(m.a) : sizeof(m));
	CHECK_EQ(h.cmd, cmd);
	CHECK_EQ(h.flags, 0);
	CHECK_EQ(m.a.iova, iova);
	CHECK_EQ(m.a.count, 64);
	return h.id;
}

static void replies_of_all_kinds(void)
{
	struct dma_reply m = { .a = { .iova = 0x1000, .count = 64 }, .data = "from the client" };
	const uint16_t R = SNPU_VFU_CMD_DMA_READ, W = SNPU_VFU_CMD_DMA_WRITE;
	const uint32_t rep = SNPU_VFU_F_REPLY;
	struct job a, b;
	uint16_t ia, ib;
	unsigned int i;
	int fd;

	fd = raw_hello(toy.path);
	CHECK_EQ(raw_map(fd, 0x1000, 0x2000, -1), 0);
	/* two at a time, answered the other way round */
	start(&a, 0x1000, false);
	ia = expect(fd, R, 0x1000);
	start(&b, 0x2000, false);
	ib = expect(fd, R, 0x2000);
	CHECK(ia != ib);
	m.a.iova = 0x2000;
	raw_send(fd, ib, R, rep, 0, &m, sizeof(m), NULL, 0);
	CHECK_EQ(end(&b), 0);
	CHECK(!strcmp((char *)b.buf, "from the client"));
	m.a.iova = 0x1000;
	raw_send(fd, ia, R, rep, 0, &m, sizeof(m), NULL, 0);
	CHECK_EQ(end(&a), 0);
	/* a write, answered as QEMU does, and as the specification says */
	start(&a, 0x1000, true);
	raw_send(fd, expect(fd, W, 0x1000), W, rep, 0, NULL, 0, NULL, 0);
	CHECK_EQ(end(&a), 0);
	start(&a, 0x1000, true);
	raw_send(fd, expect(fd, W, 0x1000), W, rep, 0, &m, 12, NULL, 0);
	CHECK_EQ(end(&a), 0);
	/* an error; one without a number */
	{
		struct snpu_vfu_hdr h = { .cmd = R, .size = 16, .flags = rep | SNPU_VFU_F_ERROR };

		start(&a, 0x1000, false);
		h.id = expect(fd, R, 0x1000);
		h.error = EPERM;
		CHECK_EQ(send(fd, &h, sizeof(h), 0), 16);
		CHECK_EQ(end(&a), -EPERM);
		start(&a, 0x1000, false);
		h.id = expect(fd, R, 0x1000);
		h.error = 0;
		CHECK_EQ(send(fd, &h, sizeof(h), 0), 16);
		CHECK_EQ(end(&a), -EIO);
		start(&a, 0x1000, false);
		h.id = expect(fd, R, 0x1000);
		h.error = 0x80000000;
		CHECK_EQ(send(fd, &h, sizeof(h), 0), 16);
		CHECK_EQ(end(&a), -EIO);
	}
	/* none at all, then late: the connection goes on */
	start(&a, 0x1000, false);
	ia = expect(fd, R, 0x1000);
	CHECK_EQ(end(&a), -ETIMEDOUT);
	CHECK(a.ms >= TIMEOUT_MS && a.ms < TIMEOUT_MS + 3000);
	raw_send(fd, ia, R, rep, 0, &m, sizeof(m), NULL, 0);
	CHECK_EQ(raw_call(fd, SNPU_VFU_CMD_RESET, NULL, 0, NULL, 0, NULL, 0, NULL), 0);
	close(fd);

	/* replies that do not fit what was asked: the client is sent away, the device told */
	for (i = 0; i < 6; i++) {
		struct dma_reply x = m;
		uint32_t size = 0;
		size_t len = sizeof(x);
		uint16_t cmd = R, id;

		fd = raw_hello(toy.path);
		CHECK_EQ(raw_map(fd, 0x1000, 0x2000, -1), 0);
		start(&a, 0x1000, false);
		id = expect(fd, R, 0x1000);
		switch (i) {
		case 0:
			id++;
			break;
		case 1:
			cmd = W;
			break;
		case 2:
			x.a.iova++;
			break;
		case 3:
			x.a.count = 65;
			break;
		case 4:
			len--;
			break;
		case 5:
			len = 8;
			break;
		}
		raw_send(fd, id, cmd, rep, size, &x, len, NULL, 0);
		CHECK(raw_gone(fd));
		CHECK(end(&a) < 0);
		CHECK(a.ms < TIMEOUT_MS + 3000);
		close(fd);
	}
}

static void gone_while_asked(void)
{
	struct job a;
	int fd = raw_hello(toy.path);

	CHECK_EQ(raw_map(fd, 0x1000, 0x2000, -1), 0);
	start(&a, 0x1000, false);
	expect(fd, SNPU_VFU_CMD_DMA_READ, 0x1000);
	close(fd);
	CHECK_EQ(end(&a), -EAGAIN);
	CHECK(a.ms < TIMEOUT_MS);
}

/* As with QEMU, which answers nothing until its own request is answered */
static void unmap_while_asked(void)
{
	struct dma_reply m = { .a = { .iova = 0x1000, .count = 64 } };
	struct job a;
	uint16_t id;
	long t;
	int fd = raw_hello(toy.path);

	CHECK_EQ(raw_map(fd, 0x1000, 0x1000, -1), 0);
	CHECK_EQ(raw_map(fd, 0x8000, 0x1000, -1), 0);
	start(&a, 0x1000, false);
	id = expect(fd, SNPU_VFU_CMD_DMA_READ, 0x1000);
	t = now_ms();
	CHECK_EQ(raw_unmap(fd, 0x8000, 0x1000), 0);
	CHECK(now_ms() - t < TIMEOUT_MS);
	CHECK_EQ(end(&a), -EAGAIN);
	raw_send(fd, id, SNPU_VFU_CMD_DMA_READ, SNPU_VFU_F_REPLY, 0, &m, sizeof(m), NULL, 0);
	/* and a reset likewise */
	start(&a, 0x1000, true);
	expect(fd, SNPU_VFU_CMD_DMA_WRITE, 0x1000);
	CHECK_EQ(raw_call(fd, SNPU_VFU_CMD_RESET, NULL, 0, NULL, 0, NULL, 0, NULL), 0);
	CHECK_EQ(end(&a), -EAGAIN);
	/* afterwards all is as before */
	start(&a, 0x1000, false);
	id = expect(fd, SNPU_VFU_CMD_DMA_READ, 0x1000);
	raw_send(fd, id, SNPU_VFU_CMD_DMA_READ, SNPU_VFU_F_REPLY, 0, &m, sizeof(m), NULL, 0);
	CHECK_EQ(end(&a), 0);
	close(fd);
}

static bool stop;

/* What a worker does all day; a pointer that is used past ->dma_unmap ends the test */
static void *worker(void *arg)
{
	unsigned long *hits = arg;

	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		uint64_t run;
		void *p;

		pthread_rwlock_rdlock(&toy.use);
		if (!snpu_vfu_dma_translate(toy.dev, 0x40008, true, &p, &run)) {
			unsigned int i;

			for (i = 0; i < 64; i++)
				((volatile uint8_t *)p)[i * 64]++;
			if (run != 0x3ff8)
				abort();
			__atomic_add_fetch(hits, 1, __ATOMIC_RELAXED);
		}
		pthread_rwlock_unlock(&toy.use);
		sched_yield();
	}
	return NULL;
}

static void unmap_under_a_worker(void)
{
	struct snpu_vfuc *c = client(false);
	int fd = toy_memfd(0x10000);
	unsigned long hits = 0;
	unsigned int i;
	pthread_t t;

	stop = false;
	NEED(!pthread_create(&t, NULL, worker, &hits));
	for (i = 0; i < 500; i++) {
		CHECK_EQ(snpu_vfuc_dma_map(c, 0x40000, 0x4000, RW, fd, 0x1000), 0);
		/* the table moves under the reader, who must still find it */
		CHECK_EQ(snpu_vfuc_dma_map(c, 0x1000, 0x1000, RW, fd, 0), 0);
		CHECK_EQ(snpu_vfuc_dma_map(c, 0x90000, 0x1000, RW, fd, 0), 0);
		if (i % 3)
			CHECK_EQ(snpu_vfuc_dma_unmap(c, 0x40000, 0x4000), 0);
		CHECK_EQ(snpu_vfuc_dma_unmap_all(c), 0);
	}
	CHECK_EQ(snpu_vfuc_dma_map(c, 0x40000, 0x4000, RW, fd, 0x1000), 0);
	while (!__atomic_load_n(&hits, __ATOMIC_RELAXED))
		sched_yield();
	/* and the client goes with all of it mapped */
	snpu_vfuc_close(c);
	CHECK(toy_wait(&toy, &toy.disconnects, toy_count(&toy, &toy.connects)));
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	pthread_join(t, NULL);
	CHECK(hits > 0);
	close(fd);
}

static void deaf_client(void)
{
	struct snpu_vfu_region_rw a = { .offset = 0, .region = 2, .count = 65536 };
	int fd = raw_hello(toy.path), i;

	/* asks and asks, and never reads */
	for (i = 0; i < 64; i++)
		if (raw_send(fd, 1, SNPU_VFU_CMD_REGION_READ, 0, 0, &a, sizeof(a), NULL, 0))
			break;
	CHECK(toy_wait(&toy, &toy.disconnects, toy_count(&toy, &toy.connects)));
	CHECK(toy_said("reads no replies"));
	close(fd);
}

/* A server that does not keep to the protocol, for the client */
struct liar {
	char path[96];
	int listen;
	unsigned int how;
};

static void *liar_main(void *arg)
{
	static const char version[] = "\0\0\0\0{\"capabilities\":{\"max_msg_fds\":8}}";
	struct liar *l = arg;
	struct snpu_vfu_hdr h;
	uint8_t buf[4096];
	int fd = accept4(l->listen, NULL, NULL, SOCK_CLOEXEC);
	const uint32_t rep = SNPU_VFU_F_REPLY;
	struct snpu_vfu_region_info big = {
		.argsz = 4096, .flags = 0xf, .size = 0x2000, .cap_offset = 32,
	};
	int zero = toy_memfd(0x2000);

	if (raw_recv(fd, &h, buf, sizeof(buf), NULL) < 0)
		goto out;
	if (l->how == 0) {
		raw_send(fd, h.id, h.cmd, rep, 0, "\5\0\0\0", 4, NULL, 0);
		goto wait;
	}
	if (l->how == 1) {
		raw_send(fd, h.id, h.cmd, rep, 0, "\0\0\0\0{\"capab", 12, NULL, 0);
		goto wait;
	}
	raw_send(fd, h.id, h.cmd, rep, 0, version, sizeof(version), NULL, 0);
	if (raw_recv(fd, &h, buf, sizeof(buf), NULL) < 0)
		goto out;
	switch (l->how) {
	case 2:		/* another id */
		raw_send(fd, (uint16_t)(h.id + 1), h.cmd, rep, 0, &big, sizeof(big), &zero, 1);
		break;
	case 3:		/* another command */
		raw_send(fd, h.id, SNPU_VFU_CMD_RESET, rep, 0, &big, sizeof(big), &zero, 1);
		break;
	case 4:		/* a size that is none */
		raw_send(fd, h.id, h.cmd, rep, 3, NULL, 0, NULL, 0);
		break;
	case 5:		/* larger than any message */
		raw_send(fd, h.id, h.cmd, rep, 0x7fffffff, NULL, 0, NULL, 0);
		break;
	case 6:		/* capabilities behind the end */
		raw_send(fd, h.id, h.cmd, rep, 0, &big, sizeof(big), &zero, 1);
		break;
	case 7:		/* capabilities in a circle */
		memcpy(buf, &big, sizeof(big));
		memset(buf + 32, 0, 64);
		buf[32] = 9;
		buf[36] = 32;
		raw_send(fd, h.id, h.cmd, rep, 0, buf, 96, &zero, 1);
		break;
	case 8:		/* an area beyond the region */
		memcpy(buf, &big, sizeof(big));
		memset(buf + 32, 0, 64);
		buf[32] = VFIO_REGION_INFO_CAP_SPARSE_MMAP;
		buf[40] = 1;
		buf[48 + 1] = 0x40;
		buf[56 + 1] = 0x10;
		raw_send(fd, h.id, h.cmd, rep, 0, buf, 96, &zero, 1);
		break;
	case 9:		/* to be mapped, but no descriptor */
		big.flags = 7;
		raw_send(fd, h.id, h.cmd, rep, 0, &big, sizeof(big), NULL, 0);
		break;
	case 10:	/* dies in the middle */
		raw_send(fd, h.id, h.cmd, rep, 48, &big, 8, NULL, 0);
		goto out;
	case 11:	/* nothing */
		break;
	}
wait:
	raw_gone(fd);
out:
	close(zero);
	close(fd);
	return NULL;
}

static void lying_server(void)
{
	static const int want[] = {
		-EPROTO, -EINVAL, -EPROTO, -EPROTO, -EPROTO, -EPROTO, -EPROTO, -EPROTO, -EPROTO,
		-EPROTO, -EPROTO, -ETIMEDOUT,
	};
	const struct snpu_vfuc_cfg cfgs[2] = {
		{ .timeout_ms = 200 },
		{ .timeout_ms = 200, .dma_read = mem_read },
	};
	struct liar l = { 0 };
	unsigned int fds = toy_fds(), k;

	snprintf(l.path, sizeof(l.path), "%s/liar", toy_dir());
	for (k = 0; k < 2; k++) {
		for (l.how = 0; l.how < sizeof(want) / sizeof(want[0]); l.how++) {
			struct sockaddr_un sa = { .sun_family = AF_UNIX };
			struct snpu_vfuc_region rg = { .fd = -1 };
			struct snpu_vfuc *c = NULL;
			pthread_t t;
			int ret;

			l.listen = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
			strcpy(sa.sun_path, l.path);
			NEED(!bind(l.listen, (struct sockaddr *)&sa, sizeof(sa)));
			NEED(!listen(l.listen, 1));
			NEED(!pthread_create(&t, NULL, liar_main, &l));
			ret = snpu_vfuc_connect(l.path, &cfgs[k], &c);
			if (!ret)
				ret = snpu_vfuc_region_get(c, 0, &rg);
			if (ret != want[l.how])
				printf("# lie %u\n", l.how);
			CHECK_EQ(ret, want[l.how]);
			snpu_vfuc_region_put(&rg);
			snpu_vfuc_close(c);
			pthread_join(t, NULL);
			close(l.listen);
			unlink(l.path);
		}
	}
	CHECK_EQ(toy_fds(), fds);
}

int main(void)
{
	unsigned int fds;

	setvbuf(stdout, NULL, _IOLBF, 0);
	alarm(120);
	toy_dir();
	fds = toy_fds();
	srv = toy_server(TIMEOUT_MS, 0);
	NEED(srv && !toy_add(srv, &toy, "toy"));
	RUN(client_library);
	RUN(by_messages);
	RUN(replies_of_all_kinds);
	RUN(gone_while_asked);
	RUN(unmap_while_asked);
	RUN(unmap_under_a_worker);
	RUN(deaf_client);
	RUN(lying_server);
	snpu_vfu_server_destroy(srv);
	tap_bad = 0;
	CHECK_EQ(toy_count(&toy, &toy.connects), toy_count(&toy, &toy.disconnects));
	toy_free(&toy);
	CHECK_EQ(toy_fds(), fds);
	tap_failed += !!tap_bad;
	printf("%sok %d - nothing left\n", tap_bad ? "not " : "", ++tap_run);
	return tap_end();
}
