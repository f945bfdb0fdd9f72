// SPDX-License-Identifier: MIT
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "wire.h"

const char *wire_snpud;
char wire_dir[] = "/tmp/snpud-test-XXXXXX";

/* ---- processes ---- */

pid_t wire_spawn(int *out, const char *const *args)
{
	const char *argv[16] = { wire_snpud };
	int fds[2], i;
	pid_t pid;

	for (i = 0; args[i]; i++)
		argv[i + 1] = args[i];
	if (pipe(fds))
		return -1;
	pid = fork();
	if (!pid) {
		dup2(fds[1], 1);
		dup2(fds[1], 2);
		close(fds[0]);
		close(fds[1]);
		execv(wire_snpud, (char **)argv);
		_exit(127);
	}
	close(fds[1]);
	*out = fds[0];
	return pid;
}

bool wire_read_until(int fd, char *buf, size_t len, const char *want)
{
	size_t n = 0;

	buf[0] = 0;
	while (n < len - 1) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		ssize_t k;

		if (poll(&p, 1, 20000) <= 0)
			return false;
		k = read(fd, buf + n, len - 1 - n);
		if (k <= 0)
			return false;
		n += (size_t)k;
		buf[n] = 0;
		if (want && strstr(buf, want))
			return true;
	}
	return false;
}

int wire_end_of(pid_t pid)
{
	int st;

	if (waitpid(pid, &st, 0) != pid)
		return -1;
	return WIFEXITED(st) ? WEXITSTATUS(st) : 1000 + WTERMSIG(st);
}

int wire_run(const char *const *args, char *buf, size_t len)
{
	pid_t pid;
	int out, ret;

	pid = wire_spawn(&out, args);
	wire_read_until(out, buf, len, NULL);
	ret = wire_end_of(pid);
	close(out);
	return ret;
}

pid_t wire_serve(int *out, const char *npus)
{
	const char *const args[] = { "--socket-dir", wire_dir, "--npus", npus, NULL };
	char buf[1024];
	pid_t pid;

	pid = wire_spawn(out, args);
	CHECK(wire_read_until(*out, buf, sizeof(buf), "ready"), "%s", buf);
	return pid;
}

void wire_finish(pid_t pid, int out)
{
	kill(pid, SIGTERM);
	CHECK_EQ(wire_end_of(pid), 0);
	close(out);
}

/* ---- a driver on vfio-user ---- */

const struct snpu_vfuc_cfg *wire_client;

uint64_t wire_reg_read(struct wire *w, uint64_t off, size_t len)
{
	uint64_t v = 0;

	CHECK(!snpu_vfuc_read(w->c, 0, off, &v, len), "register 0x%llx", (unsigned long long)off);
	return v;
}

void wire_reg_write(struct wire *w, uint64_t off, uint64_t v, size_t len)
{
	CHECK(!snpu_vfuc_write(w->c, 0, off, &v, len), "register 0x%llx", (unsigned long long)off);
}

uint32_t wire_admin(struct wire *w, unsigned int op)
{
	uint32_t status;

	w->mb->op = (uint16_t)op;
	w->mb->seq = ++w->seq;
	wire_reg_write(w, SNPU_REG_ADMIN_DB, 1, 4);
	status = w->mb->rsp_seq == w->seq ? w->mb->rsp_status : ~0u;
	memset(w->mb, 0, sizeof(*w->mb));
	return status;
}

static __u64 w_read(void *priv, __u64 table, unsigned int idx)
{
	return ((uint64_t *)(((struct wire *)priv)->hbm + table))[idx];
}

static void w_write(void *priv, __u64 table, unsigned int idx, __u64 pte)
{
	snpu_store_rel(&((uint64_t *)(((struct wire *)priv)->hbm + table))[idx], pte);
}

static int w_alloc(void *priv, __u64 *table)
{
	struct wire *w = priv;

	*table = w->tables;
	w->tables += SNPU_PT_BYTES;
	memset(w->hbm + *table, 0, SNPU_PT_BYTES);
	return 0;
}

static void w_free(void *priv, __u64 table)
{
	(void)priv;
	(void)table;
}

static const struct snpu_pt_ops w_ops = { w_read, w_write, w_alloc, w_free };

bool wire_dial(struct wire *w, unsigned int npu)
{
	struct snpu_vfuc_region rg;
	void *p = NULL;
	char path[128];
	int ret;

	memset(w, 0, sizeof(*w));
	snprintf(path, sizeof(path), "%s/npu%u.sock", wire_dir, npu);
	ret = snpu_vfuc_connect(path, wire_client, &w->c);
	CHECK(!ret, "%s: %s", path, strerror(-ret));
	if (ret)
		return false;
	w->host_fd = memfd_create("host", MFD_CLOEXEC);
	CHECK(!ftruncate(w->host_fd, HOST_BYTES), "ftruncate");
	w->host = mmap(NULL, HOST_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, w->host_fd, 0);
	CHECK(!snpu_vfuc_dma_map(w->c, IOVA, HOST_BYTES, VFIO_DMA_MAP_FLAG_READ |
				 VFIO_DMA_MAP_FLAG_WRITE, w->host_fd, 0), "dma_map");
	CHECK(!snpu_vfuc_region_get(w->c, 0, &rg), "BAR0");
	CHECK_EQ(rg.size, SNPU_BAR_REGS_SIZE);
	CHECK(!snpu_vfuc_region_mmap(&rg, SNPU_DB_OFFSET, 16 * SNPU_DB_STRIDE, &p), "doorbells");
	snpu_vfuc_region_put(&rg);
	w->doorbells = p;
	CHECK(!snpu_vfuc_region_get(w->c, 2, &rg), "BAR2");
	CHECK_EQ(rg.size, 128ull << 30);
	CHECK(!snpu_vfuc_region_mmap(&rg, 0, 64u << 20, &p), "HBM");
	snpu_vfuc_region_put(&rg);
	w->hbm = p;
	w->tables = 32u << 20;
	w->mb = (struct snpu_admin_mbox *)w->host;
	CHECK_EQ(wire_reg_read(w, SNPU_REG_MAGIC, 4), SNPU_MAGIC);
	wire_reg_write(w, SNPU_REG_ADMIN_ADDR, IOVA, 8);
	return true;
}

void wire_hang_up(struct wire *w)
{
	snpu_vfuc_close(w->c);
	munmap(w->host, HOST_BYTES);
	munmap(w->hbm, 64u << 20);
	munmap(w->doorbells, 16 * SNPU_DB_STRIDE);
	close(w->host_fd);
}

void wire_map(struct wire *w, uint64_t va, uint64_t bytes, uint64_t leaf)
{
	CHECK(!snpu_pt_map(&w_ops, w, w->root, va, bytes, leaf), "mapping 0x%llx",
	      (unsigned long long)va);
}

volatile struct snpu_cpl *wire_queue(struct wire *w)
{
	w_alloc(w, &w->root);
	wire_map(w, VA, 2u << 20, T_LEAF_HBM(0));
	wire_map(w, VA + (4u << 20), 2u << 20, T_LEAF_HOST(IOVA + (2u << 20)));
	wire_map(w, VA + (8u << 20), 1u << 20, T_LEAF_HOST(IOVA + (1u << 20)));
	w->mb->ctx.ctx = 1;
	w->mb->ctx.root = w->root;
	CHECK_EQ(wire_admin(w, SNPU_ADM_CTX_CREATE), SNPU_ADM_S_OK);
	w->mb->queue.queue = 0;
	w->mb->queue.ctx = 1;
	w->mb->queue.ring_va = VA + (8u << 20);
	w->mb->queue.cpl_addr = IOVA + 4096;
	w->mb->queue.ring_log2 = 8;
	w->mb->queue.prio = 1;
	w->mb->queue.vector = 2;
	CHECK_EQ(wire_admin(w, SNPU_ADM_QUEUE_CREATE), SNPU_ADM_S_OK);
	return (volatile struct snpu_cpl *)(w->host + 4096);
}

void wire_ring(struct wire *w, volatile struct snpu_cpl *cpl, uint64_t head)
{
	snpu_store_rel(&w->doorbells[0], head);
	snpu_mb();
	if (snpu_load(&cpl->need_wake))
		wire_reg_write(w, SNPU_REG_WAKE, 1, 4);
}
