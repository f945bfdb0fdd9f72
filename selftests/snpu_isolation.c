// SPDX-License-Identifier: GPL-2.0-only
/*
 * Isolation: what one process cannot do to another, and one queue to the next.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <kselftest_harness.h>

#include "snpu_util.h"

#define SECRET	0x5ec2e75ec2e75ec2ull

FIXTURE(isolation) {
	struct snpu_client c;
	struct snpu_queue good;		/* must go on whatever happens */
	struct snpu_buf buf;
	struct snpu_buf host;
};

FIXTURE_SETUP(isolation)
{
	ASSERT_EQ(0, snpu_client_open(&self->c, 0));
	ASSERT_EQ(0, snpu_queue_make(&self->c, &self->good, 6, SNPU_PRIO_NORMAL, false));
	ASSERT_EQ(0, snpu_buf_make(&self->c, &self->buf, 2 * SNPU_2M, DRM_SNPU_BO_HBM));
	ASSERT_EQ(0, snpu_buf_make(&self->c, &self->host, 2 * SNPU_2M, DRM_SNPU_BO_HOST));
}

FIXTURE_TEARDOWN(isolation)
{
	snpu_queue_free(&self->good);
	snpu_buf_free(&self->buf);
	snpu_buf_free(&self->host);
	snpu_client_close(&self->c);
}

static int good_goes_on(FIXTURE_DATA(isolation) *self)
{
	int ret = snpu_copy(&self->good, self->host.va, self->buf.va, SNPU_4K);

	if (ret)
		snpu_diag("another queue of the device was harmed: %d", ret);
	return ret;
}

/* What a process tells about itself; the other one uses it against it */
struct victim {
	uint64_t va;
	uint64_t size;
	uint64_t bo_offset;
	uint64_t db_offset;
	uint64_t cpl_offset;
	uint64_t ring_va;
	uint64_t ring_offset;
	uint32_t handle;
	uint32_t queue;
};

/* Fills its HBM with a secret, copies in a loop until told to stop, checks what it copied */
static int victim(struct snpu_proc *p, void *arg)
{
	struct victim *v = arg;
	struct snpu_client c;
	struct snpu_queue q;
	struct snpu_buf a;
	uint64_t word, *secret;
	int ret;

	ret = snpu_client_open(&c, 0);
	if (ret)
		return 1;
	/* where the attacker has nothing mapped */
	c.next_va = 1ull << 40;
	ret = snpu_buf_make(&c, &a, 2 * SNPU_2M, DRM_SNPU_BO_HBM);
	ret = ret ?: snpu_queue_make(&c, &q, 6, SNPU_PRIO_NORMAL, false);
	if (ret)
		return 2;
	secret = a.map;
	for (uint64_t i = 0; i < SNPU_2M / 8; i++)
		secret[i] = SECRET;
	*v = (struct victim){
		.va = a.va, .size = a.size, .bo_offset = a.offset, .db_offset = q.db_offset,
		.cpl_offset = q.cpl_offset, .ring_va = q.ring.va, .ring_offset = q.ring.offset,
		.handle = a.handle, .queue = q.id,
	};
	if (snpu_say(p, 1))
		return 3;
	while (snpu_wait_readable(p->in, 0) == -ETIME) {
		ret = snpu_copy(&q, a.va + SNPU_2M, a.va, SNPU_2M);
		if (ret)
			return 4;
	}
	if (snpu_hear(p, &word))
		return 5;
	if (snpu_cmp("the victim's memory", a.map, a.map + SNPU_2M, SNPU_2M) ||
	    secret[0] != SECRET || q.cpl->state != SNPU_QSTATE_RUN ||
	    q.cpl->completed != q.wr) {
		snpu_diag("victim: state %u completed %llu of %llu, word 0 is %#llx", q.cpl->state,
			  (unsigned long long)q.cpl->completed, (unsigned long long)q.wr,
			  (unsigned long long)secret[0]);
		return 6;
	}
	return 0;
}

static int try_map(int fd, uint64_t offset, uint64_t size, int prot)
{
	void *p = mmap(NULL, size, prot, MAP_SHARED, fd, (off_t)offset);

	if (p == MAP_FAILED)
		return -errno;
	munmap(p, size);
	return 0;
}

TEST_F_TIMEOUT(isolation, two_processes, SNPU_TEST_S)
{
	struct drm_snpu_queue_query info;
	struct snpu_proc p;
	struct victim *v;
	uint64_t word;

	v = mmap(NULL, SNPU_4K, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, v);
	ASSERT_EQ(0, snpu_proc_start(&p, victim, v));
	ASSERT_EQ(0, snpu_hear(&p, &word));

	/* its addresses mean nothing here */
	const uint64_t va[] = { v->va, v->va + SNPU_2M + 8, v->va + v->size - 64, v->ring_va };

	for (size_t i = 0; i < ARRAY_SIZE(va); i++) {
		for (int write = 0; write < 2; write++) {
			union snpu_pkt pkt = write ? snpu_pkt_copy(va[i], self->host.va, 64) :
						     snpu_pkt_copy(self->host.va, va[i], 64);
			struct snpu_queue q;

			ASSERT_EQ(0, snpu_queue_make(&self->c, &q, 4, SNPU_PRIO_NORMAL, false));
			snpu_put(&q, &pkt);
			ASSERT_EQ(0, snpu_ring(&q));
			EXPECT_EQ(0, snpu_want_fault(&q, SNPU_ERR_UNMAPPED, 0, va[i])) {
				TH_LOG("%s the victim's %#llx", write ? "write to" : "read from",
				       (unsigned long long)va[i]);
			}
			EXPECT_EQ(0, good_goes_on(self));
			snpu_queue_free(&q);
		}
	}
	/* a ring there does not run here */
	struct snpu_queue q = { .c = &self->c, .log2 = 6, .eventfd = -1, .wr = 0 };

	if (!snpu_queue_attach(&q, v->ring_va, SNPU_PRIO_NORMAL)) {
		q.wr = 1;
		ASSERT_EQ(0, snpu_ring(&q));
		EXPECT_EQ(0, snpu_want_fault(&q, SNPU_ERR_UNMAPPED, 0, v->ring_va));
		snpu_queue_free(&q);
	}
	/* its offsets, by this file */
	const struct {
		const char *what;
		uint64_t offset;
		uint64_t size;
		int prot;
	} map[] = {
		{ "HBM", v->bo_offset, v->size, PROT_READ },
		{ "HBM, a page of it", v->bo_offset, SNPU_4K, PROT_READ | PROT_WRITE },
		{ "HBM, inside", v->bo_offset + SNPU_4K, SNPU_4K, PROT_READ },
		{ "ring", v->ring_offset, SNPU_4K, PROT_READ | PROT_WRITE },
		{ "doorbell", v->db_offset, SNPU_4K, PROT_READ | PROT_WRITE },
		{ "doorbell, read only", v->db_offset, SNPU_4K, PROT_READ },
		{ "completion page", v->cpl_offset, SNPU_4K, PROT_READ },
	};

	for (size_t i = 0; i < ARRAY_SIZE(map); i++) {
		int ret = try_map(self->c.fd, map[i].offset, map[i].size, map[i].prot);

		EXPECT_TRUE(ret == -EACCES || ret == -EINVAL) {
			TH_LOG("mmap of the victim's %s: expected -EACCES or -EINVAL, got %d",
			       map[i].what, ret);
		}
	}
	/* its ids and handles, by this file: they name something of ours, or nothing */
	struct drm_snpu_bo_info bo = { .handle = v->handle };

	if (!snpu_ioctl(self->c.fd, DRM_IOCTL_SNPU_BO_INFO, &bo))
		EXPECT_NE(v->bo_offset, bo.mmap_offset);
	struct snpu_queue theirs = { .c = &self->c, .id = v->queue };

	if (!snpu_queue_info(&theirs, &info))
		EXPECT_EQ(self->good.id, v->queue);

	ASSERT_EQ(0, snpu_say(&p, 1));
	EXPECT_EQ(0, snpu_proc_end(&p));
	munmap(v, SNPU_4K);
}

/* Guesses offsets: all there is near those of the victim, page by page */
TEST_F_TIMEOUT(isolation, guess_offsets, SNPU_TEST_S)
{
	unsigned int hits = 0;
	struct snpu_proc p;
	struct victim *v;
	uint64_t word;
	int fd;

	v = mmap(NULL, SNPU_4K, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, v);
	ASSERT_EQ(0, snpu_proc_start(&p, victim, v));
	ASSERT_EQ(0, snpu_hear(&p, &word));
	/* a file that owns nothing can map nothing */
	fd = snpu_open(0);
	ASSERT_LE(0, fd);
	const uint64_t base[] = { v->bo_offset, v->db_offset, v->cpl_offset, v->ring_offset };

	for (size_t b = 0; b < ARRAY_SIZE(base); b++) {
		for (int64_t page = -256; page < 1280; page++) {
			uint64_t offset = base[b] + (uint64_t)page * SNPU_4K;

			if (try_map(fd, offset, SNPU_4K, PROT_READ))
				continue;
			snpu_diag("offset %#llx could be mapped", (unsigned long long)offset);
			hits++;
		}
	}
	EXPECT_EQ(0, hits);
	close(fd);
	ASSERT_EQ(0, snpu_say(&p, 1));
	EXPECT_EQ(0, snpu_proc_end(&p));
	munmap(v, SNPU_4K);
}

/* ---- bad pointers in every op ---------------------------------------------------------------- */

/*
 * Each address of a good packet in turn is replaced by one that is not mapped, and exactly that one
 * has to be reported.
 */
static int fault_at(FIXTURE_DATA(isolation) *self, const struct snpu_op_case *op,
		    unsigned int which, uint64_t va, uint32_t error, uint64_t fault_va)
{
	union snpu_pkt pkt = op->pkt;
	struct snpu_queue q;
	int ret;

	memcpy((uint8_t *)&pkt + op->addr[which], &va, 8);
	ret = snpu_queue_make(&self->c, &q, 4, SNPU_PRIO_NORMAL, false);
	if (ret)
		return ret;
	snpu_put(&q, &pkt);
	ret = snpu_ring(&q);
	ret = ret ?: snpu_want_fault(&q, error, 0, fault_va);
	/* what cannot be fetched out of an indirect buffer has no op yet */
	if (!ret && op->pkt.hdr.op != SNPU_OP_INDIRECT &&
	    (q.cpl->error_aux & 0xff) != op->pkt.hdr.op) {
		snpu_diag("aux %#x does not name op %#x", q.cpl->error_aux, op->pkt.hdr.op);
		ret = -EPROTO;
	}
	snpu_queue_free(&q);
	ret = ret ?: good_goes_on(self);
	if (ret)
		snpu_diag("%s with its address %u at %#llx", op->name, which,
			  (unsigned long long)va);
	return ret;
}

/* First, that the packets are good */
TEST_F_TIMEOUT(isolation, every_op_runs, SNPU_TEST_S)
{
	static struct snpu_op_case op[SNPU_NUM_OPS];

	snpu_op_cases(self->buf.va, op);
	for (size_t i = 0; i < SNPU_NUM_OPS; i++) {
		ASSERT_EQ(0, snpu_run(&self->good, &op[i].pkt)) {
			TH_LOG("%s, which is as it should be", op[i].name);
		}
	}
}

TEST_F_TIMEOUT(isolation, every_op_bad_pointer, SNPU_TEST_S)
{
	static struct snpu_op_case op[SNPU_NUM_OPS];
	uint64_t hole = SNPU_NOWHERE + 0x1240;

	snpu_op_cases(self->buf.va, op);
	for (size_t i = 0; i < SNPU_NUM_OPS; i++) {
		for (unsigned int k = 0; k < ARRAY_SIZE(op[i].addr) && op[i].addr[k]; k++)
			EXPECT_EQ(0, fault_at(self, &op[i], k, hole, SNPU_ERR_UNMAPPED, hole));
	}
}

/* The last bytes that are mapped, and the first that are not: that one is told */
TEST_F_TIMEOUT(isolation, every_op_across_the_end, SNPU_TEST_S)
{
	static struct snpu_op_case op[SNPU_NUM_OPS];
	uint64_t end = self->buf.va + self->buf.size;

	snpu_op_cases(self->buf.va, op);
	for (size_t i = 0; i < SNPU_NUM_OPS; i++) {
		for (unsigned int k = 0; k < ARRAY_SIZE(op[i].addr) && op[i].addr[k]; k++) {
			uint8_t n = op[i].pkt.hdr.op;

			/* 4 or 8 bytes, aligned: they never cross */
			if (n == SNPU_OP_SEM_SIGNAL || n == SNPU_OP_SEM_WAIT ||
			    n == SNPU_OP_TIMESTAMP || (n == SNPU_OP_CRC32C && k == 1))
				continue;
			/* runs the first packet, cannot read the second */
			if (n == SNPU_OP_INDIRECT) {
				uint64_t *word = self->buf.map + self->buf.size - 64;

				memset(word, 0, 64);
				EXPECT_EQ(0, fault_at(self, &op[i], k, end - 64, SNPU_ERR_UNMAPPED,
						      end));
				continue;
			}
			EXPECT_EQ(0, fault_at(self, &op[i], k, end - 8, SNPU_ERR_UNMAPPED, end));
		}
	}
}

/* Results must not go where only reading is allowed, nor operands come from write-only memory */
TEST_F_TIMEOUT(isolation, every_op_rights, SNPU_TEST_S)
{
	uint64_t ro = snpu_va_alloc(&self->c, SNPU_2M), wo = snpu_va_alloc(&self->c, SNPU_2M);
	static struct snpu_op_case op[SNPU_NUM_OPS];

	ASSERT_EQ(0, snpu_map(self->c.fd, self->buf.handle, SNPU_2M, ro, SNPU_2M,
			      DRM_SNPU_BIND_READ));
	ASSERT_EQ(0, snpu_map(self->c.fd, self->buf.handle, SNPU_2M, wo, SNPU_2M,
			      DRM_SNPU_BIND_WRITE));
	snpu_op_cases(self->buf.va, op);
	for (size_t i = 0; i < SNPU_NUM_OPS; i++) {
		uint64_t d = self->buf.va + SNPU_OP_RESULT;
		uint8_t n = op[i].pkt.hdr.op;

		for (unsigned int k = 0; k < ARRAY_SIZE(op[i].addr) && op[i].addr[k]; k++) {
			uint64_t addr;
			bool result;

			memcpy(&addr, (uint8_t *)&op[i].pkt + op[i].addr[k], 8);
			result = addr == d && n != SNPU_OP_SEM_WAIT;
			EXPECT_EQ(0, fault_at(self, &op[i], k, result ? ro + 256 : wo + 256,
					      SNPU_ERR_PERM, result ? ro + 256 : wo + 256));
		}
	}
	/* a ring that the device may not read */
	struct snpu_queue q = { .c = &self->c, .log2 = 4, .eventfd = -1 };

	ASSERT_EQ(0, snpu_queue_attach(&q, wo, SNPU_PRIO_NORMAL));
	q.wr = 1;
	ASSERT_EQ(0, snpu_ring(&q));
	EXPECT_EQ(0, snpu_want_fault(&q, SNPU_ERR_PERM, 0, wo));
	snpu_queue_free(&q);
}

/* An index out of a table must not fetch what stands behind it */
TEST_F_TIMEOUT(isolation, gather_index, SNPU_TEST_S)
{
	int32_t *index = self->buf.map + (64 << 10);
	static struct snpu_op_case op[SNPU_NUM_OPS];
	static const int32_t bad[] = { 16, -1, 0x7fffffff, INT32_MIN };
	struct snpu_op_case *gather = NULL;

	snpu_op_cases(self->buf.va, op);
	for (size_t i = 0; i < SNPU_NUM_OPS; i++) {
		if (!strcmp(op[i].name, "GATHER"))
			gather = &op[i];
	}
	ASSERT_NE(NULL, gather);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct snpu_queue q;

		index[0] = 3;
		index[1] = 15;
		index[2] = bad[i];
		index[3] = 0;
		ASSERT_EQ(0, snpu_queue_make(&self->c, &q, 4, SNPU_PRIO_NORMAL, false));
		snpu_put(&q, &gather->pkt);
		ASSERT_EQ(0, snpu_ring(&q));
		EXPECT_EQ(0, snpu_want_fault(&q, SNPU_ERR_INDEX, 0, ~0ull)) {
			TH_LOG("index %d of a table of 16 rows", bad[i]);
		}
		snpu_queue_free(&q);
		EXPECT_EQ(0, good_goes_on(self));
	}
}

/* Addresses that the kernel keeps for itself, and those that do not exist */
TEST_F_TIMEOUT(isolation, reserved_addresses, SNPU_TEST_S)
{
	const uint64_t va[] = {
		0, 8, self->c.info.va_start - 64, self->c.info.va_end,
		self->c.info.va_end + SNPU_4K * SNPU_MAX_QUEUES, (1ull << 48) - 64,
	};

	for (size_t i = 0; i < ARRAY_SIZE(va); i++) {
		union snpu_pkt pkt = snpu_pkt_fill(va[i], 64, 1);
		struct snpu_queue q;

		ASSERT_EQ(0, snpu_queue_make(&self->c, &q, 4, SNPU_PRIO_NORMAL, false));
		snpu_put(&q, &pkt);
		ASSERT_EQ(0, snpu_ring(&q));
		EXPECT_EQ(0, snpu_want_fault(&q, SNPU_ERR_UNMAPPED, 0, va[i]));
		snpu_queue_free(&q);
	}
	EXPECT_EQ(0, good_goes_on(self));
}

/* The queues of one client are no more to each other than those of two */
TEST_F_TIMEOUT(isolation, faults_beside_work, SNPU_TEST_S)
{
	struct snpu_buf big;

	ASSERT_EQ(0, snpu_buf_make(&self->c, &big, 32 * SNPU_2M, DRM_SNPU_BO_HBM));
	for (int i = 0; i < 30; i++) {
		union snpu_pkt bad = snpu_pkt_fill(SNPU_NOWHERE + i * SNPU_4K, 64, 1), pkt;
		struct snpu_queue q;

		for (int k = 0; k < 8; k++) {
			pkt = snpu_pkt_copy(big.va + 16 * SNPU_2M, big.va, 16 * SNPU_2M);
			snpu_put(&self->good, &pkt);
		}
		ASSERT_EQ(0, snpu_ring(&self->good));
		ASSERT_EQ(0, snpu_queue_make(&self->c, &q, 4, SNPU_PRIO_NORMAL, false));
		snpu_put(&q, &bad);
		ASSERT_EQ(0, snpu_ring(&q));
		EXPECT_EQ(0, snpu_want_fault(&q, SNPU_ERR_UNMAPPED, 0, SNPU_NOWHERE + i * SNPU_4K));
		snpu_queue_free(&q);
		ASSERT_EQ(0, snpu_wait(&self->good, self->good.wr));
	}
	snpu_buf_free(&big);
}

TEST_HARNESS_MAIN
