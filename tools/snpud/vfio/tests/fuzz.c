// SPDX-License-Identifier: MIT
/*
 * Mutated conversations with the server: fuzz [SEED [ROUNDS]]. The same seed says the same things.
 * Whatever it hears, and whatever becomes of the files of memory meanwhile, the server must go on
 * to serve a client that behaves, with nothing left over.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tap.h"
#include "toy.h"
#include "vfu_client.h"

#define MAX_LEN		512
#define MSGS		24

static uint64_t state;

static uint64_t rnd(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state * 0x2545f4914f6cdd1du;
}

static unsigned int below(unsigned int n)
{
	return (unsigned int)((rnd() >> 33) % n);
}

#define PAGES		8u		/* of a file of memory */
#define FILES		4u

static struct toy toy, other;
static int files[FILES], rofd, sealed, efd, pipefd[2];
static bool stop;

struct msg {
	uint16_t cmd;
	uint32_t flags;
	size_t len;
	uint8_t data[MAX_LEN];
	unsigned int nfds;
	int fds[16];
};

static void put(struct msg *m, const void *p, size_t len)
{
	memcpy(m->data + m->len, p, len);
	m->len += len;
}

/* A message that is good, or would be at another time */
static void good(struct msg *m)
{
	static const char json[] = "\0\0\1\0{\"capabilities\":{\"max_msg_fds\":16,\"pgsizes\":4096,"
				   "\"max_data_xfer_size\":65536,\"write_multiple\":true}}";
	struct snpu_vfu_dma_map map = { 32, 1 + below(3), below(4) * 4096, below(16) * 0x4000,
					(1 + below(4)) * 4096 };
	/* of one mapping, of a part of one, of many, of none */
	struct snpu_vfu_dma_unmap unmap = { 24, !below(8) * 2, map.iova + below(4) % 3 * 4096,
					    (1 + below(below(2) ? 4 : 64)) * 4096 };
	struct snpu_vfu_info info = { .argsz = 16 };
	struct snpu_vfu_region_info rinfo = { .argsz = 32 + 32 * below(2), .index = below(9) };
	struct snpu_vfu_irq_info irq = { .argsz = 16, .index = below(5) };
	struct snpu_vfu_irq_set set = { 20, 0x20 | 1u << below(3), 2, below(17), 1 };
	struct snpu_vfu_region_rw rw = { (uint64_t)below(8) * 8, below(5) * 2, 8 };
	struct snpu_vfu_write_one one = { 0, 0, 4, { 1 } };
	struct snpu_vfu_dma_rw dma = { map.iova, 64 };
	uint64_t n = 1 + below(4), i;

	memset(m, 0, sizeof(*m));
	do {
		m->cmd = (uint16_t)(1 + below(16));
		/* what ends most conversations comes less often */
	} while ((m->cmd == SNPU_VFU_CMD_VERSION || m->cmd == SNPU_VFU_CMD_DMA_READ ||
		  m->cmd == SNPU_VFU_CMD_DMA_WRITE) && below(16));
	switch (m->cmd) {
	case SNPU_VFU_CMD_VERSION:
		put(m, json, sizeof(json));
		break;
	case SNPU_VFU_CMD_DMA_MAP:
		put(m, &map, sizeof(map));
		m->nfds = below(4) != 0;
		m->fds[0] = below(8) ? files[below(FILES)] : below(2) ? rofd : sealed;
		break;
	case SNPU_VFU_CMD_DMA_UNMAP:
		put(m, &unmap, sizeof(unmap));
		break;
	case SNPU_VFU_CMD_GET_INFO:
		put(m, &info, sizeof(info));
		break;
	case SNPU_VFU_CMD_GET_REGION_INFO:
		put(m, &rinfo, sizeof(rinfo));
		break;
	case SNPU_VFU_CMD_GET_IRQ_INFO:
		put(m, &irq, sizeof(irq));
		break;
	case SNPU_VFU_CMD_SET_IRQS:
		put(m, &set, sizeof(set));
		if (set.flags & VFIO_IRQ_SET_DATA_BOOL) {
			put(m, "\1", 1);
			m->data[0]++;
		} else if (set.flags & VFIO_IRQ_SET_DATA_EVENTFD) {
			m->nfds = 1;
			m->fds[0] = efd;
		}
		break;
	case SNPU_VFU_CMD_REGION_READ:
		put(m, &rw, sizeof(rw));
		break;
	case SNPU_VFU_CMD_REGION_WRITE:
		put(m, &rw, sizeof(rw));
		put(m, &n, 8);
		break;
	case SNPU_VFU_CMD_REGION_WRITE_MULTI:
		put(m, &n, 8);
		for (i = 0; i < n; i++)
			put(m, &one, sizeof(one));
		break;
	case SNPU_VFU_CMD_DMA_READ:
	case SNPU_VFU_CMD_DMA_WRITE:
		/* as if the device had asked */
		m->flags = SNPU_VFU_F_REPLY;
		put(m, &dma, sizeof(dma));
		if (m->cmd == SNPU_VFU_CMD_DMA_READ)
			m->len += 64;
		break;
	}
	if (m->flags != SNPU_VFU_F_REPLY && !below(8))
		m->flags = SNPU_VFU_F_NO_REPLY;
}

static uint64_t odd_value(void)
{
	static const uint64_t v[] = { 0, 1, 15, 16, 4095, 4096, 0x7fffffff, 0xffffffff,
				      0x7fffffffffffffff, UINT64_MAX, UINT64_MAX - 4095 };

	return v[below(sizeof(v) / sizeof(v[0]))];
}

/* What it says its size is, 0: the truth */
static uint32_t mutate(struct msg *m)
{
	uint64_t v = odd_value();
	uint32_t size = 0;
	unsigned int i;

	switch (below(12)) {
	case 0:
	case 1:
	case 2:
		for (i = 1 + below(3); i && m->len; i--)
			m->data[below((unsigned int)m->len)] ^= (uint8_t)(1u << below(8));
		break;
	case 3:
	case 4:
		if (m->len >= 8)
			memcpy(m->data + (below((unsigned int)m->len - 7) & ~3u), &v,
			       below(2) ? 4 : 8);
		break;
	case 5:
		m->len = below((unsigned int)m->len + 1);
		break;
	case 6:
		m->len += below((unsigned int)(MAX_LEN - m->len));
		break;
	case 7:
		size = (uint32_t)v;
		break;
	case 8:
		m->flags = (uint32_t)rnd() & (below(2) ? 0x3f : UINT32_MAX);
		break;
	case 9:
		m->cmd = (uint16_t)rnd() & (below(2) ? 0x1f : 0xffff);
		break;
	case 10:
		m->nfds = below(13);
		for (i = 0; i < m->nfds; i++)
			m->fds[i] = (int[]){ files[0], efd, pipefd[0], pipefd[1] }[below(4)];
		break;
	}
	return size;
}

/* Reads what there is; the server is not to wait for it */
static void drain(int fd)
{
	char buf[65536];

	while (recv(fd, buf, sizeof(buf), MSG_DONTWAIT) > 0)
		;
}

/* The device works meanwhile. Its own random numbers: the conversation must not depend on it */
static void *device(void *arg)
{
	unsigned int seed = 1;
	uint8_t buf[256];

	(void)arg;
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		unsigned int i;

		pthread_rwlock_rdlock(&toy.use);
		for (i = 0; i < 24; i++) {
			uint64_t iova = (uint64_t)(rand_r(&seed) % 0x50) << 12;

			if (rand_r(&seed) & 1)
				(void)snpu_vfu_dma_read(toy.dev, iova, buf, sizeof(buf));
			else
				(void)snpu_vfu_dma_write(toy.dev, iova, buf, sizeof(buf));
		}
		pthread_rwlock_unlock(&toy.use);
		(void)snpu_vfu_irq_trigger(toy.dev, (unsigned int)rand_r(&seed) % 20);
		usleep(50);
	}
	return NULL;
}

/* A client takes memory away, or gives it back, while the device uses it */
static void resize(void)
{
	int fd = files[below(FILES)];

	if (below(4))
		NEED(!ftruncate(fd, (off_t)below(PAGES + 1) * 4096));
	else
		NEED(!fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				(off_t)below(PAGES) * 4096, 4096));
}

/* Many regions at once, some of which overlap; and a range of them goes */
static void burst(int fd)
{
	struct snpu_vfu_dma_unmap unmap = { 24, 0, below(64) * 4096, (1 + below(64)) * 4096 };
	unsigned int i, n = below(64);

	for (i = 0; i < n; i++) {
		struct snpu_vfu_dma_map map = { 32, 3, below(PAGES) * 4096, below(80) * 4096,
						4096 };

		if (raw_send(fd, (uint16_t)i, SNPU_VFU_CMD_DMA_MAP, 0, 0, &map, sizeof(map),
			     &files[below(FILES)], 1))
			return;
		if (!below(16))
			resize();
		drain(fd);
	}
	(void)raw_send(fd, 64, SNPU_VFU_CMD_DMA_UNMAP, 0, 0, &unmap, sizeof(unmap), NULL, 0);
}

/* Another client, whose memory and device are its own */
static void behave(struct snpu_vfuc *c)
{
	static uint64_t v;
	uint64_t w = 0;

	v++;
	CHECK_EQ(snpu_vfuc_write(c, 0, TOY_SCRATCH, &v, 8), 0);
	CHECK_EQ(snpu_vfuc_read(c, 0, TOY_SCRATCH, &w, 8), 0);
	CHECK(v == w);
	CHECK_EQ(snpu_vfu_dma_write(other.dev, 0x1000, &v, 8), 0);
	CHECK_EQ(snpu_vfu_dma_read(other.dev, 0x1000, &w, 8), 0);
	CHECK(v == w);
}

static void converse(void)
{
	unsigned int i, n = 1 + below(MSGS);
	int fd = raw_connect(toy.path);
	struct msg m;

	NEED(fd >= 0);
	/*
	 * a message that claims to be longer than it is swallows the next, and nothing is answered
	 */
	snpu_vfu_recv_timeout(fd, 20);
	if (below(16)) {
		if (raw_call(fd, SNPU_VFU_CMD_VERSION, "\0\0\0\0", 4, NULL, 0, NULL, 0, NULL) < 0) {
			close(fd);
			return;
		}
	}
	for (i = 0; i < n; i++) {
		uint32_t size = 0;

		good(&m);
		if (!below(12))
			resize();
		if (!below(24))
			burst(fd);
		if (below(3))
			size = mutate(&m);
		if (raw_send(fd, (uint16_t)below(64), m.cmd, m.flags, size, m.data, m.len, m.fds,
			     m.nfds))
			break;
		drain(fd);
	}
	/* half of them leave no time to answer */
	if (below(2))
		(void)raw_call(fd, SNPU_VFU_CMD_RESET, NULL, 0, NULL, 0, NULL, 0, NULL);
	close(fd);
}

int main(int argc, char **argv)
{
	uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
	unsigned long i, rounds = argc > 2 ? strtoul(argv[2], NULL, 0) : 2000;
	struct snpu_vfu_server *srv;
	struct snpu_vfuc *c = NULL, *peer = NULL;
	uint64_t v = 0;
	unsigned int fds, mappings;
	char link[32];
	pthread_t t;

	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("# seed %llu, %lu conversations\n", (unsigned long long)seed, rounds);
	alarm(600);
	state = seed * 0x9e3779b97f4a7c15u | 1;
	toy_dir();
	for (i = 0; i < FILES; i++)
		files[i] = toy_memfd(PAGES * 4096);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", files[0]);
	rofd = open(link, O_RDONLY | O_CLOEXEC);
	sealed = toy_memfd(PAGES * 4096);
	NEED(rofd >= 0 && !fcntl(sealed, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK));
	efd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	NEED(!pipe(pipefd));
	fds = toy_fds();
	srv = toy_server(20, 32);
	NEED(srv && !toy_add(srv, &toy, "toy") && !toy_add(srv, &other, "other"));
	NEED(!snpu_vfuc_connect(other.path, NULL, &peer));
	NEED(!snpu_vfuc_dma_map(peer, 0x1000, 0x1000, 1, sealed, 0));
	NEED(!snpu_vfuc_dma_unmap(peer, 0, 0x2000));
	NEED(!snpu_vfuc_dma_map(peer, 0x1000, 0x1000, 3, toy.mem, 0));
	NEED(!pthread_create(&t, NULL, device, NULL));
	mappings = toy_mappings();
	for (i = 0; i < rounds; i++) {
		converse();
		if (!(i % 16))
			behave(peer);
	}
	printf("%sok 1 - another client has not noticed\n", tap_bad ? "not " : "");
	tap_failed += !!tap_bad;

	tap_bad = 0;
	CHECK_EQ(snpu_vfuc_connect(toy.path, NULL, &c), 0);
	if (c) {
		NEED(!ftruncate(files[0], PAGES * 4096));
		CHECK_EQ(snpu_vfuc_dma_map(c, 0x1000, 0x1000, 3, files[0], 0), 0);
		CHECK_EQ(snpu_vfu_dma_write(toy.dev, 0x1000, &v, 8), 0);
		CHECK_EQ(snpu_vfuc_read(c, 0, TOY_ID, &v, 4), 0);
		CHECK_EQ(v, TOY_ID_VALUE);
		snpu_vfuc_close(c);
	}
	CHECK(toy_mappings() <= mappings + TOY_MAPPINGS_SLACK);
	printf("%sok 2 - serves a client that behaves\n", tap_bad ? "not " : "");
	tap_failed += !!tap_bad;

	tap_bad = 0;
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	pthread_join(t, NULL);
	snpu_vfuc_close(peer);
	snpu_vfu_server_destroy(srv);
	toy_free(&toy);
	toy_free(&other);
	CHECK_EQ(toy.connects, toy.disconnects);
	CHECK(toy.connects > rounds / 2);
	CHECK_EQ(toy_fds(), fds);
	printf("# %u clients were let in, %u mappings made, %u accesses to memory that had gone\n",
	       toy.connects, toy.maps, toy.losses);
	printf("%sok 3 - nothing left\n", tap_bad ? "not " : "");
	tap_failed += !!tap_bad;
	tap_run = 3;
	return tap_end();
}
