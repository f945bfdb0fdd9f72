// SPDX-License-Identifier: MIT
/*
 * Shared memory: contexts, NPUs, processes.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tap.h"

#define BYTES	(3ull << 20)

static uint64_t wrong(const uint8_t *p, uint8_t v, uint64_t bytes)
{
	uint64_t n = 0, i;

	for (i = 0; i < bytes; i++)
		n += p[i] != v;
	return n;
}

/* @b reads and writes memory of @a */
static void both_ways(struct t_dev *a, struct t_dev *b)
{
	struct snpu_mem *m;
	uint64_t va;

	NEED(!snpu_mem_share(b->ctx, a->mem, 0, &m));
	CHECK(snpu_mem_ctx(m) == b->ctx);
	CHECK_EQ(snpu_mem_size(m), snpu_mem_size(a->mem));
	va = snpu_mem_va(m);
	memset(b->p, 0, BYTES);
	snpu_prep_fill(t_pkt(a->q), a->va, BYTES, 0x31, 1);
	CHECK_EQ(t_run(a->q), 0);
	snpu_prep_copy(t_pkt(b->q), b->va, va, BYTES);
	CHECK_EQ(t_run(b->q), 0);
	CHECK_EQ(wrong(b->p, 0x31, BYTES), 0);
	snpu_prep_fill(t_pkt(b->q), va + 100, BYTES - 200, 0x32, 1);
	snpu_prep_eltwise(t_pkt(b->q), SNPU_ELT_ADD, SNPU_DT_I32, va + 4096, va + 4096,
			  va + 8192, 1);
	CHECK_EQ(t_run(b->q), 0);
	CHECK_EQ(wrong(a->p, 0x31, 100), 0);
	CHECK_EQ(wrong(a->p + 100, 0x32, 3996), 0);
	CHECK_EQ(wrong(a->p + 4096, 0x64, 4), 0);
	CHECK_EQ(wrong(a->p + 4100, 0x32, BYTES - 4200), 0);
	CHECK_EQ(wrong(a->p + BYTES - 100, 0x31, 100), 0);
	CHECK_EQ(snpu_mem_free(m), 0);
}

static void share(void)
{
	static const unsigned int where[] = { SNPU_MEM_HBM, SNPU_MEM_HOST };
	struct t_dev a, same, peer;
	unsigned int i;

	for (i = 0; i < 2; i++) {
		NEED(!t_dev_open(&a, 0, BYTES, where[i]));
		NEED(!t_dev_open(&same, 0, BYTES, SNPU_MEM_HOST));
		NEED(!t_dev_open(&peer, 1, BYTES, SNPU_MEM_HBM));
		both_ways(&a, &a);
		both_ways(&a, &same);
		both_ways(&a, &peer);
		both_ways(&peer, &a);
		t_dev_close(&peer);
		t_dev_close(&same);
		t_dev_close(&a);
	}
}

static void read_only(void)
{
	struct snpu_error err;
	struct snpu_mem *m;
	struct t_dev a, b;

	NEED(!t_dev_open(&a, 0, 8192, SNPU_MEM_HBM) && !t_dev_open(&b, 1, 4096, SNPU_MEM_HBM));
	CHECK_EQ(snpu_mem_share(b.ctx, a.mem, SNPU_MEM_HBM, &m), -EINVAL);
	NEED(!snpu_mem_share(b.ctx, a.mem, SNPU_MEM_READ_ONLY, &m));
	a.p[4096] = 7;
	snpu_prep_copy(t_pkt(b.q), b.va, snpu_mem_va(m) + 4096, 1);
	CHECK_EQ(t_run(b.q), 0);
	CHECK_EQ(b.p[0], 7);
	snpu_prep_copy(t_pkt(b.q), snpu_mem_va(m) + 4096, b.va + 1, 1);
	CHECK_EQ(t_run(b.q), -EIO);
	CHECK_EQ(snpu_queue_error(b.q, &err, sizeof(err)), 0);
	CHECK_EQ(err.code, SNPU_ERR_PERM);
	CHECK_EQ(err.va, snpu_mem_va(m) + 4096);
	CHECK_EQ(err.npu, 1);
	CHECK_EQ(a.p[4096], 7);
	CHECK_EQ(snpu_mem_free(m), 0);
	t_dev_close(&b);
	t_dev_close(&a);
}

/* The memory lives as long as somebody maps it, and is zero for the next */
static void exporter_first(void)
{
	struct snpu_mem *m, *m2, *next;
	struct t_dev a, b;
	void *p;

	NEED(!t_dev_open(&a, 0, 65536, SNPU_MEM_HBM) && !t_dev_open(&b, 1, 65536, SNPU_MEM_HBM));
	memset(a.p, 0x5c, 65536);
	NEED(!snpu_mem_share(b.ctx, a.mem, 0, &m) && !snpu_mem_share(a.ctx, a.mem, 0, &m2));
	CHECK_EQ(snpu_mem_free(a.mem), 0);
	a.mem = NULL;
	/* what is allocated now is other memory */
	NEED(!snpu_mem_alloc(a.ctx, 65536, SNPU_MEM_HBM, &next) && !snpu_mem_map(next, &p));
	CHECK_EQ(wrong(p, 0, 65536), 0);
	memset(p, 0xdd, 65536);
	snpu_prep_copy(t_pkt(b.q), b.va, snpu_mem_va(m), 65536);
	CHECK_EQ(t_run(b.q), 0);
	CHECK_EQ(wrong(b.p, 0x5c, 65536), 0);
	CHECK_EQ(snpu_mem_free(m), 0);
	CHECK_EQ(snpu_mem_map(m2, &p), 0);
	CHECK_EQ(wrong(p, 0x5c, 65536), 0);
	CHECK_EQ(snpu_mem_free(m2), 0);
	CHECK_EQ(snpu_mem_free(next), 0);
	NEED(!snpu_mem_alloc(a.ctx, 65536, SNPU_MEM_HBM, &next) && !snpu_mem_map(next, &p));
	CHECK_EQ(wrong(p, 0, 65536), 0);
	CHECK_EQ(snpu_mem_free(next), 0);
	t_dev_close(&b);
	t_dev_close(&a);
}

static void descriptors(void)
{
	struct snpu_mem *m, *m2, *none = NULL;
	int fd = -1, fd2 = -1, null;
	struct t_dev a;

	NEED(!t_dev_open(&a, 0, 8192, SNPU_MEM_HBM));
	CHECK_EQ(snpu_mem_export(a.mem, &fd), 0);
	CHECK(fd >= 0 && (fcntl(fd, F_GETFD) & FD_CLOEXEC));
	NEED(!snpu_mem_import(a.ctx, fd, 0, &m));
	/* imports are exported like the original */
	CHECK_EQ(snpu_mem_export(m, &fd2), 0);
	NEED(!snpu_mem_import(a.ctx, fd2, 0, &m2));
	CHECK(snpu_mem_va(m) != snpu_mem_va(m2));
	snpu_prep_fill(t_pkt(a.q), snpu_mem_va(m2), 8192, 0x17, 1);
	CHECK_EQ(t_run(a.q), 0);
	CHECK_EQ(wrong(a.p, 0x17, 8192), 0);
	CHECK_EQ(snpu_mem_free(m), 0);
	CHECK_EQ(snpu_mem_free(m2), 0);
	close(fd);
	close(fd2);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	CHECK(snpu_mem_import(a.ctx, null, 0, &none) < 0);
	CHECK(snpu_mem_import(a.ctx, fd, 0, &none) < 0);
	CHECK(!none);
	close(null);
	t_dev_close(&a);
}

/* A descriptor of memory that is freed names nothing, not what came after it */
static void stale_descriptor(void)
{
	struct snpu_mem *next, *m = NULL;
	struct t_dev a, b;
	int fd = -1;

	NEED(!t_dev_open(&a, 0, 8192, SNPU_MEM_HBM) && !t_dev_open(&b, 1, 0, 0));
	NEED(!snpu_mem_export(a.mem, &fd));
	CHECK_EQ(snpu_mem_free(a.mem), 0);
	a.mem = NULL;
	NEED(!snpu_mem_alloc(a.ctx, 8192, SNPU_MEM_HBM, &next));
	CHECK_EQ(snpu_mem_import(a.ctx, fd, 0, &m), -EINVAL);
	CHECK_EQ(snpu_mem_import(b.ctx, fd, 0, &m), -EINVAL);
	CHECK(!m);
	close(fd);
	CHECK_EQ(snpu_mem_free(next), 0);
	t_dev_close(&b);
	t_dev_close(&a);
}

/* It maps, but the target sees that the token is wrong */
static void is_refused(struct snpu_ctx *ctx, struct snpu_mem *m)
{
	struct snpu_error err = { 0 };
	struct snpu_queue *q;

	NEED(!snpu_queue_create(ctx, NULL, &q));
	snpu_prep_fill(t_pkt(q), snpu_mem_va(m), 8, 1, 1);
	CHECK_EQ(t_run(q), -EIO);
	CHECK_EQ(snpu_queue_error(q, &err, sizeof(err)), 0);
	CHECK_EQ(err.code, SNPU_ERR_FABRIC);
	CHECK_EQ(snpu_queue_destroy(q), 0);
	CHECK_EQ(snpu_mem_free(m), 0);
}

/* Descriptors that somebody made up */
static void forged_descriptor(void)
{
	static const unsigned int len[] = { 0, 1, 8, 47, 48, 56, 4096 };
	struct snpu_mem *m = NULL;
	uint8_t bytes[4096];
	struct t_dev a;
	int fd, real = -1;
	unsigned int i, k, good = 0;

	NEED(!t_dev_open(&a, 0, 8192, SNPU_MEM_HBM));
	NEED(!snpu_mem_export(a.mem, &real));
	memset(bytes, 0xff, sizeof(bytes));
	NEED(pread(real, bytes, sizeof(bytes), 0) > 0);
	for (i = 0; i < sizeof(len) / sizeof(len[0]); i++)
		/* each word of a real one spoilt in turn */
		for (k = 0; k < 6; k++) {
			uint8_t bad[4096];

			memcpy(bad, bytes, sizeof(bad));
			memset(bad + 8 * k, 0x41, 8);
			fd = memfd_create("forged", MFD_CLOEXEC | MFD_ALLOW_SEALING);
			NEED(fd >= 0 && write(fd, bad, len[i]) == (ssize_t)len[i]);
			fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
			good += !snpu_mem_import(a.ctx, fd, 0, &m);
			if (m)
				is_refused(a.ctx, m);
			m = NULL;
			close(fd);
		}
	/* only one that names an NPU of somebody else can be taken at its word */
	CHECK(good <= 1);
	close(real);
	t_dev_close(&a);
}

/* ---- another process ---- */

static int send_fd(int sock, int fd)
{
	union {
		struct cmsghdr h;
		char buf[CMSG_SPACE(sizeof(int))];
	} u = { .buf = { 0 } };
	struct iovec v = { "f", 1 };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = u.buf,
			    .msg_controllen = sizeof(u.buf) };

	u.h.cmsg_level = SOL_SOCKET;
	u.h.cmsg_type = SCM_RIGHTS;
	u.h.cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(&u.h), &fd, sizeof(fd));
	return sendmsg(sock, &m, 0) == 1 ? 0 : -1;
}

static int recv_fd(int sock)
{
	union {
		struct cmsghdr h;
		char buf[CMSG_SPACE(sizeof(int))];
	} u;
	char c;
	struct iovec v = { &c, 1 };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = u.buf,
			    .msg_controllen = sizeof(u.buf) };
	int fd = -1;

	if (recvmsg(sock, &m, MSG_CMSG_CLOEXEC) == 1 && m.msg_controllen >= CMSG_LEN(sizeof(int)) &&
	    u.h.cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(&u.h), sizeof(fd));
	return fd;
}

/* Says how far it came; the other side waits for it */
static int tell(int sock, char c)
{
	return write(sock, &c, 1) == 1 ? 0 : -1;
}

static int await(int sock, char want)
{
	char c = 0;

	return read(sock, &c, 1) == 1 && c == want ? 0 : -1;
}

/* The other process: owns NPU 0, exports memory of it; its exit code says what went wrong */
static int owner(int sock)
{
	struct t_dev d;
	int fd;

	if (t_dev_open(&d, 0, 65536, SNPU_MEM_HBM))
		return 10;
	snpu_prep_fill(t_pkt(d.q), d.va, 65536, 0x77, 1);
	if (t_run(d.q))
		return 11;
	if (snpu_mem_export(d.mem, &fd) || send_fd(sock, fd))
		return 12;
	close(fd);
	if (await(sock, 'w'))
		return 13;
	if (wrong(d.p, 0x78, 4096) || wrong(d.p + 4096, 0x77, 61440))
		return 14;
	if (tell(sock, 'c'))
		return 15;
	/* ends without freeing anything, when told */
	return await(sock, 'q') ? 16 : 0;
}

static void other_process(void)
{
	struct snpu_ctx *same = NULL;
	struct snpu_mem *m, *m0;
	struct snpu_error err;
	struct t_dev b;
	int sock[2], fd, status = -1, ret;
	pid_t pid;

	/* the child must not inherit a set in use */
	t_close();
	NEED(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sock));
	fflush(stdout);
	pid = fork();
	NEED(pid >= 0);
	if (!pid) {
		close(sock[0]);
		_exit(owner(sock[1]));
	}
	close(sock[1]);
	fd = recv_fd(sock[0]);
	CHECK(fd >= 0);
	NEED(!t_dev_open(&b, 1, 65536, SNPU_MEM_HBM));
	CHECK_EQ(snpu_mem_import(b.ctx, fd, 0, &m), 0);
	snpu_prep_copy(t_pkt(b.q), b.va, snpu_mem_va(m), 65536);
	CHECK_EQ(t_run(b.q), 0);
	CHECK_EQ(wrong(b.p, 0x77, 65536), 0);
	snpu_prep_fill(t_pkt(b.q), snpu_mem_va(m), 4096, 0x78, 1);
	CHECK_EQ(t_run(b.q), 0);
	CHECK_EQ(tell(sock[0], 'w'), 0);
	CHECK_EQ(await(sock[0], 'c'), 0);
	if (t_direct()) {
		/* an NPU has one driver; who is not it reaches its memory from another NPU */
		ret = snpu_ctx_create(t_snpu(), 0, &same);
		CHECK(ret == -EBUSY || ret == -ENODEV);
		CHECK_TEXT(snpu_last_error(), "another program");
	} else {
		NEED(!snpu_ctx_create(t_snpu(), 0, &same));
		CHECK_EQ(snpu_mem_import(same, fd, 0, &m0), 0);
		CHECK_EQ(snpu_mem_free(m0), 0);
		CHECK_EQ(snpu_ctx_destroy(same), 0);
	}
	CHECK_EQ(tell(sock[0], 'q'), 0);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK(WIFEXITED(status));
	CHECK_EQ(WEXITSTATUS(status), 0);
	/* the owner is gone: a dma-buf stays, a direct export is revoked */
	if (t_direct()) {
		t_sleep_ms(200);
		snpu_prep_copy(t_pkt(b.q), b.va, snpu_mem_va(m), 4096);
		CHECK_EQ(t_run(b.q), -EIO);
		CHECK_EQ(snpu_queue_error(b.q, &err, sizeof(err)), 0);
		CHECK_EQ(err.code, SNPU_ERR_FABRIC);
		CHECK_EQ(err.va, snpu_mem_va(m));
	} else {
		memset(b.p, 0, 65536);
		snpu_prep_copy(t_pkt(b.q), b.va, snpu_mem_va(m), 65536);
		CHECK_EQ(t_run(b.q), 0);
		CHECK_EQ(wrong(b.p, 0x78, 4096), 0);
		CHECK_EQ(wrong(b.p + 4096, 0x77, 61440), 0);
	}
	CHECK_EQ(snpu_mem_free(m), 0);
	close(fd);
	close(sock[0]);
	t_dev_close(&b);
	/* and its NPU can be had again */
	NEED(!t_dev_open(&b, 0, 65536, SNPU_MEM_HBM));
	CHECK_EQ(wrong(b.p, 0, 65536), 0);
	t_dev_close(&b);
}

static const struct t_case cases[] = {
	{ "memory of context, NPU and peer, both ways", share, T_BOTH },
	{ "a read-only share", read_only, T_BOTH },
	{ "the exporter frees first", exporter_first, T_BOTH },
	{ "descriptors, and what is none", descriptors, T_BOTH },
	{ "a descriptor of freed memory", stale_descriptor, T_DIRECT },
	{ "forged descriptors", forged_descriptor, T_DIRECT },
	{ "memory of another process, which then ends", other_process, T_BOTH },
};

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	return t_main(cases, sizeof(cases) / sizeof(cases[0]));
}
