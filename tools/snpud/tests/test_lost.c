// SPDX-License-Identifier: MIT
/*
 * A client shrinks the file behind memory that its NPU uses: the queue whose packet touched it
 * faults with BUS. Its other queues go on, and so does the NPU of another client, of which each
 * step is awaited.
 *
 * argv[1] is the snpud to test.
 */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "wire.h"

#define LOST_IOVA	0x200000000ull
#define LOST_BYTES	(8u << 20)
#define LOST_VA		(VA + (16u << 20))
#define GONE		(LOST_VA + (1u << 20))
#define HERE		VA			/* HBM */
#define THERE		(VA + (1u << 20))	/* HBM */
#define RW		(VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE)

static int out;
static pid_t pid;

/* ---- the NPU of another client ---- */

static uint64_t steps;
static uint32_t stop;

static void *victim_main(void *arg)
{
	volatile struct snpu_cpl *cpl;
	struct wire w;
	uint64_t i;

	(void)arg;
	if (!wire_dial(&w, 1))
		return NULL;
	cpl = wire_queue(&w);
	/* the ring is all NOP */
	for (i = 1; !snpu_load(&stop); i++) {
		wire_ring(&w, cpl, i);
		if (!T_WAIT(snpu_load_acq(&cpl->completed) == i))
			break;
		snpu_store_rel(&steps, i);
	}
	wire_hang_up(&w);
	return NULL;
}

/* Two packets that the victim submits from now on retire */
static void gets_on(const char *what)
{
	uint64_t from = snpu_load_acq(&steps);

	CHECK(T_WAIT(snpu_load_acq(&steps) >= from + 2), "%s: the other client's NPU has stopped",
	      what);
}

/* ---- the client whose memory goes ---- */

/* Queue @id with its ring at @ring_va, its record at @cpl in @w's memory; SNPU_ADM_S_* */
static uint32_t create(struct wire *w, unsigned int id, uint64_t ring_va, uint64_t cpl)
{
	w->mb->queue = (struct snpu_queue_desc) {
		.queue = id, .ctx = 1, .ring_va = ring_va, .cpl_addr = cpl, .ring_log2 = 8,
		.prio = 1,
	};
	return wire_admin(w, SNPU_ADM_QUEUE_CREATE);
}

static uint32_t destroy(struct wire *w, unsigned int id)
{
	w->mb->qid = id;
	return wire_admin(w, SNPU_ADM_QUEUE_DESTROY);
}

static void ring_queue(struct wire *w, unsigned int id, uint64_t head)
{
	snpu_store_rel(&w->doorbells[id * (SNPU_DB_STRIDE / 8)], head);
	wire_reg_write(w, SNPU_REG_WAKE, 1, 4);
}

/* A file of memory at LOST_IOVA, in the place of what was there; closed by the caller */
static int lend(struct wire *w)
{
	int fd = memfd_create("lost", MFD_CLOEXEC);

	CHECK(fd >= 0 && !ftruncate(fd, LOST_BYTES), "memfd");
	CHECK(!snpu_vfuc_dma_unmap(w->c, LOST_IOVA, LOST_BYTES), "unmap");
	CHECK(!snpu_vfuc_dma_map(w->c, LOST_IOVA, LOST_BYTES, RW, fd, 0), "map");
	return fd;
}

#define F32		SNPU_DT_F32
#define DIMS(x)		.m = x, .n = x, .k = x, .lda = x, .ldb = x, .ldc = x

static const struct packet {
	const char *name;
	union snpu_pkt p;
} packets[] = {
	{ "COPY from", { .copy = { { SNPU_OP_COPY }, GONE + 3, HERE, 4001 } } },
	{ "COPY to", { .copy = { { SNPU_OP_COPY }, HERE, GONE, 4096 } } },
	{ "COPY from, 1 MiB", { .copy = { { SNPU_OP_COPY }, LOST_VA, HERE, 1u << 20 } } },
	{ "COPY to, 2 MiB", { .copy = { { SNPU_OP_COPY }, HERE, LOST_VA, 2u << 20 } } },
	{ "COPY between", { .copy = { { SNPU_OP_COPY }, LOST_VA, GONE, 512 } } },
	{ "COPY, signal", { .copy = { { SNPU_OP_COPY, SNPU_PF_SIGNAL }, HERE, THERE, 64,
				      .sem_addr = GONE, .sem_value = 1 } } },
	{ "COPY2D", { .copy2d = { { SNPU_OP_COPY2D }, GONE, HERE, 4096, 256, 256, 64 } } },
	{ "FILL", { .fill = { { SNPU_OP_FILL, .arg = 8 }, GONE, 64, 1 } } },
	{ "FILL, 8 MiB", { .fill = { { SNPU_OP_FILL, .arg = 1 }, LOST_VA, LOST_BYTES, 0x5a } } },
	{ "ATOMIC", { .atomic = { { SNPU_OP_ATOMIC }, GONE, 1 } } },
	{ "ATOMIC result", { .atomic = { { SNPU_OP_ATOMIC }, HERE, 1, .result = GONE } } },
	{ "REDUCE_ADD", { .reduce = { { SNPU_OP_REDUCE_ADD, 0, F32 }, GONE, HERE, 1024 } } },
	{ "REDUCE_PULL list", { .multi = { { SNPU_OP_REDUCE_PULL, 0, F32 }, HERE, GONE, THERE,
					   64, 4 } } },
	{ "REDUCE_PULL to", { .multi = { { SNPU_OP_REDUCE_PULL, 0, F32 }, GONE, HERE, THERE,
					 64, 1 } } },
	{ "MULTICAST", { .multi = { { SNPU_OP_MULTICAST }, GONE, HERE, THERE, 64, 1 } } },
	{ "MATMUL A", { .matmul = { { SNPU_OP_MATMUL, 0, F32, F32 }, .a = GONE, .b = HERE,
				    .c = THERE, DIMS(64) } } },
	{ "MATMUL B", { .matmul = { { SNPU_OP_MATMUL, 0, SNPU_DT_BF16, F32 }, .a = HERE,
				    .b = GONE, .c = THERE, DIMS(256) } } },
	{ "MATMUL C", { .matmul = { { SNPU_OP_MATMUL, 0, SNPU_DT_I8, SNPU_DT_I32 }, .a = HERE,
				    .b = THERE, .c = GONE, DIMS(64) } } },
	{ "ELTWISE", { .eltwise = { { SNPU_OP_ELTWISE, 0, F32 }, HERE, GONE, THERE, 1000 } } },
	{ "CONVERT", { .convert = { { SNPU_OP_CONVERT, 0, F32, SNPU_DT_BF16 }, HERE, GONE,
				    1000 } } },
	{ "REDUCE_SUM", { .rows = { { SNPU_OP_REDUCE_SUM, 0, F32, F32 }, GONE, HERE, 0, 16, 64,
				    64 } } },
	{ "SOFTMAX", { .rows = { { SNPU_OP_SOFTMAX, 0, F32 }, HERE, GONE, 0, 16, 64, 64, 64 } } },
	{ "RMSNORM", { .rows = { { SNPU_OP_RMSNORM, 0, F32 }, HERE, THERE, GONE, 16, 64, 64,
				 64 } } },
	{ "ARGMAX", { .rows = { { SNPU_OP_ARGMAX, 0, F32 }, GONE, HERE, 0, 16, 64, 64 } } },
	{ "ACT", { .act = { { SNPU_OP_ACT, 0, F32 }, GONE, HERE, 1000 } } },
	{ "GATHER index", { .gather = { { SNPU_OP_GATHER, 0, F32 }, HERE, GONE, THERE, 16, 64, 16,
					64, 64 } } },
	{ "CRC32C", { .crc32c = { { SNPU_OP_CRC32C }, LOST_VA, 2u << 20, HERE } } },
	{ "CRC32C result", { .crc32c = { { SNPU_OP_CRC32C }, HERE, 4096, GONE } } },
	{ "ATTENTION", { .attention = { { SNPU_OP_ATTENTION, 0, F32 }, HERE, GONE, THERE, 1, 4, 16,
					32, 32 } } },
	{ "SEM_SIGNAL", { .sem = { { SNPU_OP_SEM_SIGNAL }, GONE, 1 } } },
	{ "SEM_WAIT", { .sem = { { SNPU_OP_SEM_WAIT }, GONE, 1 } } },
	{ "TIMESTAMP", { .misc = { { SNPU_OP_TIMESTAMP }, GONE } } },
	{ "INDIRECT", { .misc = { { SNPU_OP_INDIRECT }, GONE, 4 } } },
};

static bool faulted(volatile struct snpu_cpl *cpl)
{
	return T_WAIT(snpu_load_acq(&cpl->state) == SNPU_QSTATE_FAULT);
}

/* Every packet that can touch memory, one after the other */
static void every_packet(void)
{
	volatile struct snpu_cpl *cpl, *next;
	union snpu_pkt *ring;
	uint64_t good = 0;
	struct wire w;
	size_t i;

	if (!wire_dial(&w, 0))
		return;
	cpl = wire_queue(&w);
	next = (volatile struct snpu_cpl *)(w.host + 8192);
	ring = (union snpu_pkt *)(w.host + (1u << 20));
	wire_map(&w, LOST_VA, LOST_BYTES, T_LEAF_HOST(LOST_IOVA));
	CHECK_EQ(create(&w, 1, VA + (8u << 20) + (512u << 10), IOVA + 8192), SNPU_ADM_S_OK);
	for (i = 0; i < sizeof(packets) / sizeof(packets[0]); i++) {
		const char *name = packets[i].name;
		int fd = lend(&w);

		memset(w.hbm, 0, 4096);
		if (i)
			CHECK_EQ(destroy(&w, 0), SNPU_ADM_S_OK);
		if (i)
			CHECK_EQ(create(&w, 0, VA + (8u << 20), IOVA + 4096), SNPU_ADM_S_OK);
		memset(ring, 0, sizeof(*ring));
		ring[1] = packets[i].p;
		CHECK(!ftruncate(fd, 4096), "truncate");
		wire_ring(&w, cpl, 2);
		CHECK(faulted(cpl), "%s: state %u, %llu packets", name, cpl->state,
		      (unsigned long long)cpl->completed);
		CHECK(cpl->error == SNPU_ERR_BUS, "%s: error %u, aux 0x%x, va 0x%llx", name,
		      cpl->error, cpl->error_aux, (unsigned long long)cpl->fault_va);
		CHECK(cpl->completed == 1 && cpl->fault_index == 1, "%s: at packet %llu", name,
		      (unsigned long long)cpl->fault_index);
		CHECK(cpl->fault_va >= LOST_VA && cpl->fault_va < LOST_VA + LOST_BYTES,
		      "%s: fault at 0x%llx", name, (unsigned long long)cpl->fault_va);
		/* another queue of the same client, and another client */
		ring_queue(&w, 1, ++good);
		CHECK(T_WAIT(snpu_load_acq(&next->completed) == good), "%s: queue 1: error %u",
		      name, next->error);
		gets_on(name);
		close(fd);
	}
	wire_hang_up(&w);
}

/* What the device itself keeps in memory of the host: ring, record, mailbox, event ring */
static void own_structures(void)
{
	volatile struct snpu_cpl *cpl, *next;
	struct wire w;
	int fd;

	if (!wire_dial(&w, 0))
		return;
	cpl = wire_queue(&w);
	next = (volatile struct snpu_cpl *)(w.host + 8192);
	wire_map(&w, LOST_VA, LOST_BYTES, T_LEAF_HOST(LOST_IOVA));

	/* the ring: a page of zeros is no page of NOP */
	fd = lend(&w);
	CHECK_EQ(create(&w, 1, GONE, IOVA + 8192), SNPU_ADM_S_OK);
	ring_queue(&w, 1, 1);
	CHECK(T_WAIT(snpu_load_acq(&next->completed) == 1), "ring: error %u", next->error);
	CHECK(!ftruncate(fd, 0), "truncate");
	ring_queue(&w, 1, 2);
	CHECK(faulted(next) && next->error == SNPU_ERR_BUS && next->completed == 1 &&
	      next->fault_va == GONE + 64, "ring: state %u, error %u, %llu packets, va 0x%llx",
	      next->state, next->error, (unsigned long long)next->completed,
	      (unsigned long long)next->fault_va);
	CHECK_EQ(destroy(&w, 1), SNPU_ADM_S_OK);
	close(fd);

	/* the completion record: the queue stops, which only the device knows */
	fd = lend(&w);
	CHECK_EQ(create(&w, 1, VA + (8u << 20) + (512u << 10), LOST_IOVA + 4096), SNPU_ADM_S_OK);
	CHECK(!ftruncate(fd, 0), "truncate");
	ring_queue(&w, 1, 1);
	wire_ring(&w, cpl, 1);
	CHECK(T_WAIT(snpu_load_acq(&cpl->completed) == 1), "queue 0: error %u", cpl->error);
	gets_on("record");
	CHECK_EQ(destroy(&w, 1), SNPU_ADM_S_OK);
	/* and none is made there */
	CHECK_EQ(create(&w, 1, VA + (8u << 20) + (512u << 10), LOST_IOVA + 4096), SNPU_ADM_S_DMA);
	close(fd);

	/* the mailbox: a command that cannot be read is none */
	fd = lend(&w);
	wire_reg_write(&w, SNPU_REG_ADMIN_ADDR, LOST_IOVA + (2u << 20), 8);
	CHECK(!ftruncate(fd, 4096), "truncate");
	wire_reg_write(&w, SNPU_REG_ADMIN_DB, 1, 4);
	CHECK_EQ(wire_reg_read(&w, SNPU_REG_MAGIC, 4), SNPU_MAGIC);
	wire_reg_write(&w, SNPU_REG_ADMIN_ADDR, IOVA, 8);
	CHECK_EQ(wire_admin(&w, SNPU_ADM_NOP), SNPU_ADM_S_OK);
	gets_on("mailbox");
	close(fd);

	/* the event ring: events are lost */
	fd = lend(&w);
	wire_reg_write(&w, SNPU_REG_EVENT_ADDR, LOST_IOVA + (2u << 20), 8);
	wire_reg_write(&w, SNPU_REG_EVENT_SIZE, 4, 4);
	((union snpu_pkt *)(w.host + (1u << 20)))[1].misc = (struct snpu_pkt_misc) {
		.hdr.op = SNPU_OP_INTERRUPT };
	CHECK(!ftruncate(fd, 4096), "truncate");
	wire_ring(&w, cpl, 2);
	CHECK(T_WAIT(snpu_load_acq(&cpl->completed) == 2), "events: error %u", cpl->error);
	gets_on("events");
	close(fd);
	wire_hang_up(&w);
}

/* A queue that waits for a semaphore when the memory goes: the device sleeps meanwhile */
static void waiting(void)
{
	volatile struct snpu_cpl *cpl;
	struct wire w;
	int fd;

	if (!wire_dial(&w, 0))
		return;
	cpl = wire_queue(&w);
	wire_map(&w, LOST_VA, LOST_BYTES, T_LEAF_HOST(LOST_IOVA));
	fd = lend(&w);
	((union snpu_pkt *)(w.host + (1u << 20)))[0].sem = (struct snpu_pkt_sem) {
		.hdr.op = SNPU_OP_SEM_WAIT, .addr = GONE, .value = 1 };
	wire_ring(&w, cpl, 1);
	CHECK(T_WAIT(snpu_load_acq(&cpl->state) == SNPU_QSTATE_BLOCKED), "state %u", cpl->state);
	CHECK(!ftruncate(fd, 0), "truncate");
	wire_reg_write(&w, SNPU_REG_WAKE, 1, 4);
	CHECK(faulted(cpl) && cpl->error == SNPU_ERR_BUS, "state %u, error %u", cpl->state,
	      cpl->error);
	gets_on("waiting");
	close(fd);
	wire_hang_up(&w);
}

/* Long copies on two queues, and the memory goes somewhere in the middle */
static void while_busy(void)
{
	volatile struct snpu_cpl *cpl, *next;
	union snpu_pkt *ring;
	struct wire w;
	unsigned int round, i;

	if (!wire_dial(&w, 0))
		return;
	cpl = wire_queue(&w);
	next = (volatile struct snpu_cpl *)(w.host + 8192);
	ring = (union snpu_pkt *)(w.host + (1u << 20));
	wire_map(&w, LOST_VA, LOST_BYTES, T_LEAF_HOST(LOST_IOVA));
	for (i = 0; i < 256; i++)
		ring[i].copy = ring[i + 8192].copy = (struct snpu_pkt_copy) {
			.hdr.op = SNPU_OP_COPY, .src = i % 2 ? LOST_VA : VA,
			.dst = i % 2 ? VA : LOST_VA + (4u << 20), .bytes = 2u << 20 };
	for (round = 0; round < 12; round++) {
		int fd = lend(&w);

		if (round)
			CHECK(!destroy(&w, 0) && !destroy(&w, 1) &&
			      !create(&w, 0, VA + (8u << 20), IOVA + 4096), "queue");
		CHECK_EQ(create(&w, 1, VA + (8u << 20) + (512u << 10), IOVA + 8192), SNPU_ADM_S_OK);
		wire_ring(&w, cpl, 256);
		ring_queue(&w, 1, 256);
		CHECK(T_WAIT(snpu_load_acq(&cpl->completed) > round ||
			     snpu_load_acq(&cpl->state) == SNPU_QSTATE_FAULT), "no progress");
		CHECK(!ftruncate(fd, (off_t)(round % 3) << 20), "truncate");
		CHECK(faulted(cpl) && cpl->error == SNPU_ERR_BUS, "round %u: state %u, error %u",
		      round, cpl->state, cpl->error);
		CHECK(faulted(next) && next->error == SNPU_ERR_BUS, "round %u: state %u, error %u",
		      round, next->state, next->error);
		gets_on("busy");
		close(fd);
	}
	wire_hang_up(&w);
}

/* None of this has ended the program */
static void ends_well(void)
{
	CHECK(!kill(pid, 0), "snpud has died");
	snpu_store(&stop, 1);
}

int main(int argc, char **argv)
{
	static const struct t_case cases[] = {
		{ "every_packet", every_packet },
		{ "own_structures", own_structures },
		{ "waiting", waiting },
		{ "while_busy", while_busy },
		{ "ends_well", ends_well },
	};
	char path[128];
	pthread_t t;
	int ret;

	if (argc < 2) {
		printf("Bail out! usage: test_lost SNPUD [CASE]\n");
		return 2;
	}
	wire_snpud = argv[1];
	if (!mkdtemp(wire_dir))
		return 2;
	pid = wire_serve(&out, "2");
	if (pthread_create(&t, NULL, victim_main, NULL))
		return 2;
	ret = t_main(argc - 1, argv + 1, cases, sizeof(cases) / sizeof(cases[0]));
	snpu_store(&stop, 1);
	pthread_join(t, NULL);
	wire_finish(pid, out);
	ret |= t_failures != 0;
	snprintf(path, sizeof(path), "%s/snpud.lock", wire_dir);
	unlink(path);
	rmdir(wire_dir);
	return ret;
}
