// SPDX-License-Identifier: MIT
/*
 * Interrupts as messages: which arrive, which become one, and clients that answer wrongly or not.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "tap.h"
#include "toy.h"

#define ADDR	0xfee01000ull

struct msi {
	struct snpu_vfu_hdr h;
	struct snpu_vfu_dma_rw a;
	uint32_t data;
};

static struct snpu_vfu_server *srv;
static struct toy toy;

static bool next_msi(int fd, struct msi *m)
{
	uint8_t buf[sizeof(m->a) + sizeof(m->data)];

	if (raw_recv(fd, &m->h, buf, sizeof(buf), NULL) != sizeof(buf))
		return false;
	memcpy(&m->a, buf, sizeof(m->a));
	memcpy(&m->data, buf + sizeof(m->a), sizeof(m->data));
	return m->h.cmd == SNPU_VFU_CMD_DMA_WRITE && m->a.count == sizeof(m->data);
}

static int answer(int fd, const struct msi *m, uint32_t flags)
{
	return raw_send(fd, m->h.id, m->h.cmd, SNPU_VFU_F_REPLY | flags, 0, NULL, 0, NULL, 0);
}

/* The server has done all that came before when it answers this */
static void settle(int fd)
{
	struct snpu_vfu_info i = { .argsz = sizeof(i) };

	CHECK(raw_call(fd, SNPU_VFU_CMD_GET_INFO, &i, sizeof(i), NULL, 0, &i, sizeof(i), NULL) > 0);
}

static void arrives(void)
{
	struct msi m;
	int fd;

	/* no client: nothing is kept for the next one */
	snpu_vfu_msi_send(toy.dev, 1, ADDR, 1);
	snpu_vfu_msi_send(toy.dev, TOY_VECTORS, ADDR, 1);
	fd = raw_hello(toy.path);
	NEED(fd >= 0);
	settle(fd);
	snpu_vfu_msi_send(toy.dev, 3, ADDR, 0x4321);
	NEED(next_msi(fd, &m));
	CHECK_EQ(m.a.iova, ADDR);
	CHECK_EQ(m.data, 0x4321);
	CHECK_EQ(answer(fd, &m, 0), 0);
	settle(fd);
	close(fd);
	CHECK(toy_wait(&toy, &toy.disconnects, 1));
}

static void becomes_one(void)
{
	int fd = raw_hello(toy.path);
	struct msi m, other;
	unsigned int i;

	NEED(fd >= 0);
	for (i = 0; i < 100; i++)
		snpu_vfu_msi_send(toy.dev, 3, ADDR, i);
	snpu_vfu_msi_send(toy.dev, 4, ADDR, 0x44);
	/*
	 * Nothing was answered: one of each vector. The first is the one of the first call, or a
	 * later one if the connection thread had not let go of the socket yet.
	 */
	NEED(next_msi(fd, &m) && next_msi(fd, &other));
	CHECK(m.data < 100);
	CHECK_EQ(other.data, 0x44);
	settle(fd);
	/* the reply lets the last of the others go */
	if (m.data != 99) {
		CHECK_EQ(answer(fd, &m, 0), 0);
		NEED(next_msi(fd, &m));
		CHECK_EQ(m.data, 99);
	}
	CHECK_EQ(answer(fd, &m, 0), 0);
	settle(fd);
	/* what waits is forgotten by a reset; what is under way is not */
	snpu_vfu_msi_send(toy.dev, 4, ADDR, 0x55);
	CHECK_EQ(raw_call(fd, SNPU_VFU_CMD_RESET, NULL, 0, NULL, 0, NULL, 0, NULL), 0);
	CHECK_EQ(answer(fd, &other, 0), 0);
	settle(fd);
	snpu_vfu_msi_send(toy.dev, 4, ADDR, 0x66);
	NEED(next_msi(fd, &m));
	CHECK_EQ(m.data, 0x66);
	close(fd);
	CHECK(toy_wait(&toy, &toy.disconnects, 2));
}

/* Never read: the thread that raises them is not held up, and other messages find their place */
static void unread(void)
{
	int fd = raw_hello(toy.path);
	unsigned int i, v;
	struct msi m;

	NEED(fd >= 0);
	for (i = 0; i < 100000; i++)
		snpu_vfu_msi_send(toy.dev, i % TOY_VECTORS, ADDR + i % TOY_VECTORS, i);
	for (v = 0; v < TOY_VECTORS; v++) {
		NEED(next_msi(fd, &m));
		CHECK_EQ(m.a.iova, ADDR + v);
		CHECK_EQ(m.data % TOY_VECTORS, v);
	}
	settle(fd);
	close(fd);
	CHECK(toy_wait(&toy, &toy.disconnects, 3));
}

static void wrong_answers(void)
{
	int fd = raw_hello(toy.path);
	unsigned int lines;
	struct msi m;

	NEED(fd >= 0);
	lines = toy_lines();
	snpu_vfu_msi_send(toy.dev, 0, ADDR, 0);
	NEED(next_msi(fd, &m));
	CHECK_EQ(answer(fd, &m, SNPU_VFU_F_ERROR), 0);
	settle(fd);
	CHECK_EQ(toy_lines(), lines + 1);
	CHECK(toy_said("interrupt of vector 0"));
	snpu_vfu_msi_send(toy.dev, 0, ADDR, 1);
	NEED(next_msi(fd, &m));
	CHECK_EQ(answer(fd, &m, 0), 0);
	/* a second reply, and one of a vector that there is not */
	CHECK_EQ(answer(fd, &m, 0), 0);
	CHECK(raw_gone(fd));
	close(fd);
	CHECK(toy_wait(&toy, &toy.disconnects, 4));
	fd = raw_hello(toy.path);
	NEED(fd >= 0);
	m.h.id = 0xffff;
	CHECK_EQ(answer(fd, &m, 0), 0);
	CHECK(raw_gone(fd));
	close(fd);
	CHECK(toy_wait(&toy, &toy.disconnects, 5));
}

int main(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	alarm(110);
	srv = toy_server(0, 0);
	NEED(srv && !toy_add(srv, &toy, "toy"));
	RUN(arrives);
	RUN(becomes_one);
	RUN(unread);
	RUN(wrong_answers);
	snpu_vfu_server_destroy(srv);
	toy_free(&toy);
	return tap_end();
}
