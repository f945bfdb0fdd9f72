// SPDX-License-Identifier: MIT
/*
 * direct transport: finding sockets, bringing an NPU up, registers and admin commands. An NPU is
 * connected when it is first used, so that a set of 384 costs nothing.
 */
#include <dirent.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

#include "direct.h"
#include "snpu_admin.h"

#define IOVA_START	0x100000000ull
#define IOVA_END	(1ull << 47)
#define NPU_FDS		8u	/* an NPU in use: socket, eventfds, memory; with some buffers */

_Static_assert(sizeof(struct snpu_event_ring) +
	       (sizeof(struct snpu_event_entry) << DIRECT_EVENTS_LOG2) <= SNPU_PAGE_SIZE,
	       "event ring");

int direct_error(struct dnpu *n, int ret)
{
	unsigned int i;

	if (ret != -ENOTCONN && ret != -ETIMEDOUT && ret != -EPROTO)
		return ret;
	pthread_mutex_lock(&n->lock);
	n->lost = true;
	/* nobody else writes the records any more: let those who only look at them see it */
	for (i = 0; n->cpl && i < n->num_queues; i++)
		if (n->queues[i] && n->cpl[i].state != SNPU_QSTATE_FAULT) {
			((volatile struct snpu_cpl *)n->cpl)[i].state = SNPU_QSTATE_STOPPED;
			/* a store into a semaphore then finds out, too */
			((volatile struct snpu_cpl *)n->cpl)[i].need_wake = 1;
		}
	pthread_cond_broadcast(&n->cond);
	pthread_mutex_unlock(&n->lock);
	return -ENODEV;
}

static int reg_read(struct dnpu *n, uint32_t off, void *v, size_t len)
{
	return direct_error(n, snpu_vfuc_read(n->c, SNPU_BAR_REGS, off, v, len));
}

int direct_reg32(struct dnpu *n, uint32_t off, uint32_t *v)
{
	return reg_read(n, off, v, sizeof(*v));
}

static int reg_write(struct dnpu *n, uint32_t off, uint64_t v, size_t len)
{
	return direct_error(n, snpu_vfuc_write(n->c, SNPU_BAR_REGS, off, &v, len));
}

int direct_admin(struct dnpu *n, const struct snpu_admin_mbox *cmd, uint64_t *data)
{
	uint32_t seq;
	int ret;

	pthread_mutex_lock(&n->admin);
	*n->mbox = *cmd;
	n->mbox->seq = seq = ++n->seq;
	n->mbox->rsp_seq = 0;
	/* the command before the doorbell register */
	atomic_thread_fence(memory_order_seq_cst);
	ret = reg_write(n, SNPU_REG_ADMIN_DB, 1, 4);
	atomic_thread_fence(memory_order_seq_cst);
	if (!ret && *(volatile uint32_t *)&n->mbox->rsp_seq != seq)
		ret = -EIO;
	if (!ret)
		ret = snpu_admin_errno(n->mbox->rsp_status);
	if (!ret && data)
		memcpy(data, (const void *)n->mbox->rsp_data, sizeof(n->mbox->rsp_data));
	pthread_mutex_unlock(&n->admin);
	return ret;
}

/* ---- bringing up ---- */

static int map_bars(struct dnpu *n)
{
	struct snpu_vfuc_region rg;
	void *p;
	int ret = snpu_vfuc_region_get(n->c, SNPU_BAR_REGS, &rg);

	if (ret)
		return ret;
	ret = snpu_vfuc_region_mmap(&rg, SNPU_DB_OFFSET, (size_t)n->num_queues * SNPU_DB_STRIDE,
				    &p);
	snpu_vfuc_region_put(&rg);
	if (ret)
		return ret;
	n->db = p;
	ret = snpu_vfuc_region_get(n->c, SNPU_BAR_HBM, &rg);
	if (ret)
		return ret;
	n->hbm_map = n->hbm_bytes;
	ret = n->hbm_bytes > rg.size ? -EPROTO :
	      snpu_vfuc_region_mmap(&rg, 0, (size_t)n->hbm_map, &p);
	snpu_vfuc_region_put(&rg);
	if (!ret)
		n->hbm = p;
	return ret;
}

/* Is it an NPU that can be driven? -EPROTO comes with a message */
static int check_registers(struct dnpu *n)
{
	uint32_t magic = 0, version = 0;
	int ret = direct_reg32(n, SNPU_REG_MAGIC, &magic);

	if (!ret)
		ret = direct_reg32(n, SNPU_REG_VERSION, &version);
	if (ret)
		return ret;
	if (magic != SNPU_MAGIC)
		return snpu_fail(-EPROTO, "%s: magic 0x%x is not that of an snpu", n->path, magic);
	if (version >> 16 != SNPU_ABI_MAJOR)
		return snpu_fail(-EPROTO, "%s: the NPU's hardware ABI is %u.%u, this library knows "
				 "%u.x: %s is too old", n->path, version >> 16, version & 0xffff,
				 SNPU_ABI_MAJOR,
				 version >> 16 < SNPU_ABI_MAJOR ? "snpud" : "libsnpu");
	/* what a later minor version adds has a capability, or fails with OPNOTSUPP */
	if ((version & 0xffff) < SNPU_ABI_MINOR)
		snpu_log(1, "%s: the NPU's hardware ABI is %u.%u, older than the library's %u.%u",
			 n->path, version >> 16, version & 0xffff, SNPU_ABI_MAJOR, SNPU_ABI_MINOR);
	ret = direct_reg32(n, SNPU_REG_NUM_QUEUES, &n->num_queues);
	if (!ret)
		ret = direct_reg32(n, SNPU_REG_NUM_CTX, &n->num_ctx);
	if (!ret)
		ret = direct_reg32(n, SNPU_REG_NUM_SEGS, &n->num_segs);
	if (!ret)
		ret = direct_reg32(n, SNPU_REG_ALL_IMPORTS, &n->num_imports);
	/* before minor version 3 */
	if (!ret && !n->num_imports)
		ret = direct_reg32(n, SNPU_REG_NUM_IMPORTS, &n->num_imports);
	if (!ret)
		ret = direct_reg32(n, SNPU_REG_NODE_ID, &n->node);
	if (!ret)
		ret = reg_read(n, SNPU_REG_HBM_SIZE, &n->hbm_bytes, 8);
	if (!ret && (!n->num_queues || n->num_queues > SNPU_MAX_QUEUES || n->num_ctx < 2 ||
		     n->num_ctx > 65536 || !n->num_segs || n->num_segs > 65536 ||
		     n->num_imports > SNPU_MAX_IMPORTS || n->hbm_bytes < SNPU_HUGE_SIZE ||
		     n->hbm_bytes > 1ull << 46))
		ret = snpu_fail(-EPROTO, "%s: a size register is out of its range", n->path);
	return ret;
}

static int shared_memory(struct dnpu *n)
{
	const uint64_t bytes = DIRECT_SHARED_BYTES;
	uint64_t iova;
	uint8_t *p;
	int ret;

	n->shared_fd = memfd_create("snpu-driver", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (n->shared_fd < 0 || ftruncate(n->shared_fd, (off_t)bytes) ||
	    fcntl(n->shared_fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW))
		return -errno;
	p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, n->shared_fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	n->mbox = (void *)p;
	n->ring = (void *)(p + DIRECT_EVENTS_OFF);
	n->cpl = (void *)(p + DIRECT_CPL_OFF);
	n->cpl_off = DIRECT_CPL_OFF;
	ret = snpu_va_alloc(&n->iova, bytes, SNPU_PAGE_SIZE, &iova);
	if (!ret)
		ret = snpu_vfuc_dma_map(n->c, iova, bytes,
					VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
					n->shared_fd, 0);
	if (!ret)
		ret = reg_write(n, SNPU_REG_ADMIN_ADDR, iova, 8);
	if (!ret)
		ret = reg_write(n, SNPU_REG_EVENT_ADDR, iova + DIRECT_EVENTS_OFF, 8);
	if (!ret)
		ret = reg_write(n, SNPU_REG_EVENT_SIZE, DIRECT_EVENTS_LOG2, 4);
	return ret;
}

static int interrupts(struct direct *d, struct dnpu *n)
{
	int fds[SNPU_MSIX_VECTORS], i, ret;

	for (i = 0; i < 2; i++) {
		struct epoll_event ev = { .events = EPOLLIN, .data.ptr = n };

		n->evfd[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (n->evfd[i] < 0 || epoll_ctl(d->epoll, EPOLL_CTL_ADD, n->evfd[i], &ev))
			return -errno;
	}
	for (i = 0; i < SNPU_MSIX_VECTORS; i++)
		fds[i] = n->evfd[i ? 1 : 0];
	ret = snpu_vfuc_irq_set(n->c, VFIO_PCI_MSIX_IRQ_INDEX, 0, SNPU_MSIX_VECTORS, fds);
	if (!ret && !d->running) {
		ret = -pthread_create(&d->thread, NULL, direct_irq_thread, d);
		d->running = !ret;
	}
	return ret;
}

int direct_token(uint64_t *token)
{
	for (*token = 0; !*token;)
		if (getrandom(token, sizeof(*token), 0) != sizeof(*token))
			return -errno;
	return 0;
}

/* The whole HBM is segment 0, for NPUs of this process; its token is not given away */
static int export_hbm(struct dnpu *n)
{
	struct snpu_admin_mbox cmd = { .op = SNPU_ADM_SEG_EXPORT, .seg_export = {
		.access = SNPU_SEG_READ | SNPU_SEG_WRITE, .bytes = n->hbm_bytes } };
	struct snpu_admin_mbox scrub = { .op = SNPU_ADM_SCRUB, .scrub.bytes = n->hbm_bytes };
	int ret = direct_admin(n, &scrub, NULL);

	if (ret)
		return ret;
	ret = direct_token(&n->token);
	if (ret)
		return ret;
	n->segs[0] = true;
	cmd.seg_export.token = n->token;
	return direct_admin(n, &cmd, NULL);
}

static void npu_down(struct direct *d, struct dnpu *n)
{
	struct snpu_vfuc *c;
	int i;

	/* forgotten first, closed then: a child made in between must not close what follows */
	for (i = 0; i < 2; i++)
		if (n->evfd[i] >= 0) {
			epoll_ctl(d->epoll, EPOLL_CTL_DEL, n->evfd[i], NULL);
			close(direct_take_fd(&n->evfd[i]));
		}
	c = __atomic_exchange_n(&n->c, NULL, __ATOMIC_SEQ_CST);
	snpu_vfuc_close(c);
	if (n->db)
		munmap(n->db, (size_t)n->num_queues * SNPU_DB_STRIDE);
	if (n->hbm)
		munmap(n->hbm, n->hbm_map);
	if (n->mbox)
		munmap(n->mbox, DIRECT_SHARED_BYTES);
	if (n->shared_fd >= 0)
		close(direct_take_fd(&n->shared_fd));
	n->db = n->hbm = NULL;
	n->mbox = NULL;
	n->cpl = NULL;
	direct_npu_free(n);
	n->up = false;
}

void direct_npu_free(struct dnpu *n)
{
	snpu_va_fini(&n->iova);
	snpu_va_fini(&n->hbm_va);
	free(n->ctx_used);
	free(n->segs);
	free(n->imports);
	n->ctx_used = NULL;
	n->segs = NULL;
	n->imports = NULL;
}

static int fail_connect(struct dnpu *n, int err)
{
	switch (err) {
	case -ENOENT:
	case -ECONNREFUSED:
		return snpu_fail(-ENODEV, "%s: no snpud answers there", n->path);
	case -ENOTCONN:
		return snpu_fail(-EBUSY, "%s: snpud refuses the connection: another program drives "
				 "this NPU, or see the log of snpud", n->path);
	case -ETIMEDOUT:
		return snpu_fail(err, "%s: snpud accepts the connection and does not answer",
				 n->path);
	default:
		return snpu_fail(err, "%s: connecting%s", n->path, snpu_fd_limit(err));
	}
}

static int npu_up(struct direct *d, struct dnpu *n)
{
	uint16_t command = 0x6;	/* memory space, bus master */
	uint32_t status = 0;
	bool said = false;
	int ret = snpu_vfuc_connect(n->path, NULL, &n->c);

	if (ret)
		return fail_connect(n, ret);
	ret = snpu_vfuc_reset(n->c);
	if (!ret) {
		ret = check_registers(n);
		said = ret == -EPROTO;
	}
	if (!ret)
		ret = direct_reg32(n, SNPU_REG_STATUS, &status);
	if (!ret && !(status & SNPU_STATUS_READY)) {
		ret = snpu_fail(-EIO, "%s: the NPU is not ready, status 0x%x", n->path, status);
		said = true;
	}
	if (!ret)
		ret = snpu_vfuc_write(n->c, VFIO_PCI_CONFIG_REGION_INDEX, 4, &command, 2);
	if (!ret)
		ret = map_bars(n);
	if (!ret)
		ret = snpu_va_init(&n->iova, IOVA_START, IOVA_END);
	/* offset 0 is kept free: it would pass for "no table" */
	if (!ret)
		ret = snpu_va_init(&n->hbm_va, SNPU_PAGE_SIZE, n->hbm_bytes);
	n->hbm_total = n->hbm_bytes - SNPU_PAGE_SIZE;
	n->ctx_used = calloc(n->num_ctx ? n->num_ctx : 1, sizeof(*n->ctx_used));
	n->segs = calloc(n->num_segs ? n->num_segs : 1, sizeof(*n->segs));
	n->imports = calloc(n->num_imports ? n->num_imports : 1, sizeof(*n->imports));
	if (!ret && (!n->ctx_used || !n->segs || !n->imports))
		ret = -ENOMEM;
	if (!ret)
		ret = shared_memory(n);
	if (!ret)
		ret = interrupts(d, n);
	if (!ret)
		ret = export_hbm(n);
	if (ret) {
		npu_down(d, n);
		return said ? ret : snpu_fail(ret, "%s: the NPU does not come up%s", n->path,
					      snpu_fd_limit(ret));
	}
	/* the interrupt thread looks at it */
	__atomic_store_n(&n->up, true, __ATOMIC_RELEASE);
	return 0;
}

static int read_info(struct dnpu *n, struct snpu_info *i)
{
	uint32_t host_slot = 0;
	int ret;

	i->node_id = n->node;
	i->numa_node = -1;
	i->hbm_bytes = n->hbm_bytes;
	i->num_queues = n->num_queues;
	memcpy(i->path, n->path, sizeof(i->path));
	ret = direct_reg32(n, SNPU_REG_HOST_SLOT, &host_slot);
	i->host = host_slot >> 16;
	i->slot = host_slot & 0xffff;
	ret = ret ? ret : reg_read(n, SNPU_REG_SERIAL, &i->serial, 8);
	for (unsigned int w = 0; w < 4; w++)
		ret = ret ? ret : reg_read(n, SNPU_REG_PROFILE_NAME + 8 * w, i->profile + 8 * w, 8);
	i->profile[31] = '\0';
	ret = ret ? ret : reg_read(n, SNPU_REG_FLOPS_BF16, &i->flops_bf16, 8);
	ret = ret ? ret : reg_read(n, SNPU_REG_OPS_INT8, &i->ops_int8, 8);
	ret = ret ? ret : reg_read(n, SNPU_REG_FLOPS_FP32, &i->flops_fp32, 8);
	ret = ret ? ret : reg_read(n, SNPU_REG_HBM_BW, &i->hbm_bw, 8);
	ret = ret ? ret : reg_read(n, SNPU_REG_FABRIC_BW, &i->fabric_bw, 8);
	ret = ret ? ret : direct_reg32(n, SNPU_REG_PLANES, &i->planes);
	ret = ret ? ret : direct_reg32(n, SNPU_REG_DIES, &i->dies);
	ret = ret ? ret : direct_reg32(n, SNPU_REG_MACHINE_NPUS, &i->machine_npus);
	ret = ret ? ret : direct_reg32(n, SNPU_REG_MACHINE_HOSTS, &i->machine_hosts);
	return ret ? ret : direct_reg32(n, SNPU_REG_CAPS, &i->caps);
}

static int direct_info(struct snpu_npu *npu)
{
	struct direct *d = npu->snpu->priv;
	struct dnpu *n = npu->priv;
	int ret = 0;

	pthread_mutex_lock(&d->lock);
	if (!n->up)
		ret = npu_up(d, n);
	pthread_mutex_unlock(&d->lock);
	if (!ret) {
		ret = read_info(n, &npu->info);
		if (ret)
			snpu_fail(ret, "%s: reading the registers", n->path);
	}
	return ret;
}

static int direct_counters(struct snpu_npu *npu, struct snpu_counters *c)
{
	struct snpu_admin_mbox cmd = { .op = SNPU_ADM_COUNTERS };
	struct dnpu *n = npu->priv;
	uint64_t data[7];
	int ret = direct_admin(n, &cmd, data);

	if (ret)
		return snpu_fail(ret, "%s: counters", n->path);
	c->packets = data[0];
	c->bytes_read = data[1];
	c->bytes_written = data[2];
	c->flops = data[3];
	c->faults = data[4];
	c->busy_ns = data[5];
	pthread_mutex_lock(&n->lock);
	c->hbm_total = n->hbm_total;
	c->hbm_used = n->hbm_total - snpu_va_free_bytes(&n->hbm_va);
	pthread_mutex_unlock(&n->lock);
	return 0;
}

static int direct_ports(struct snpu_npu *npu, struct snpu_port *ports, unsigned int n)
{
	struct snpu_admin_mbox cmd = { .op = SNPU_ADM_FABRIC_PORT };
	struct dnpu *d = npu->priv;
	uint64_t data[7];
	unsigned int i;
	int ret;

	for (i = 0; i < n; i++) {
		cmd.port.die = i / npu->info.planes;
		cmd.port.plane = i % npu->info.planes;
		ret = direct_admin(d, &cmd, data);
		if (ret)
			return snpu_fail(ret, "%s: port %u of die %u", d->path, cmd.port.plane,
					 cmd.port.die);
		ports[i] = (struct snpu_port){
			.die = cmd.port.die, .plane = cmd.port.plane, .state = (uint32_t)data[0],
			.tx_bytes = data[1], .rx_bytes = data[2], .dropped = data[3],
			.rate = data[4], .tx_busy_ns = data[5], .rx_busy_ns = data[6],
		};
	}
	return 0;
}

static int direct_alive(struct snpu_npu *npu)
{
	uint32_t status;

	return direct_reg32(npu->priv, SNPU_REG_STATUS, &status) == -ENODEV ? -ENODEV : 0;
}

/* ---- finding ---- */

static void npu_init(struct dnpu *n, struct snpu_npu *npu)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&n->cond, &attr);
	pthread_condattr_destroy(&attr);
	pthread_mutex_init(&n->lock, NULL);
	pthread_mutex_init(&n->admin, NULL);
	pthread_mutex_init(&n->share, NULL);
	n->npu = npu;
	n->shared_fd = n->evfd[0] = n->evfd[1] = -1;
}

static void direct_close(struct snpu *s)
{
	struct direct *d = s->priv;
	uint64_t one = 1;
	unsigned int i;

	if (d->running && write(d->quit, &one, sizeof(one)) == sizeof(one))
		pthread_join(d->thread, NULL);
	for (i = 0; i < s->count; i++) {
		struct dnpu *n = s->npus[i].priv;

		if (!n)
			continue;
		if (n->up)
			npu_down(d, n);
		pthread_cond_destroy(&n->cond);
		pthread_mutex_destroy(&n->lock);
		pthread_mutex_destroy(&n->admin);
		pthread_mutex_destroy(&n->share);
		free(n);
	}
	if (d->epoll >= 0)
		close(d->epoll);
	if (d->quit >= 0)
		close(d->quit);
	direct_host_end(d);
	pthread_mutex_destroy(&d->host_lock);
	pthread_mutex_destroy(&d->lock);
	free(d);
}

static int by_number(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

static int find_sockets(const char *dir, int *numbers, unsigned int *count)
{
	struct dirent *e;
	DIR *dp = opendir(dir);
	char tail;
	int k;

	*count = 0;
	if (!dp && errno == ENOENT)
		return snpu_fail(-ENODEV, "%s does not exist: start snpud --socket-dir %s, or set "
				 "SNPU_SOCKET_DIR", dir, dir);
	if (!dp)
		return snpu_fail(-errno, "%s cannot be read%s", dir, snpu_fd_limit(-errno));
	while (*count < SNPU_MAX_NPUS && (e = readdir(dp)))
		if (sscanf(e->d_name, "npu%d.soc%c", &k, &tail) == 2 && tail == 'k' && k >= 0)
			numbers[(*count)++] = k;
	closedir(dp);
	if (!*count)
		return snpu_fail(-ENODEV, "%s has no npu<K>.sock: is snpud running there?", dir);
	qsort(numbers, *count, sizeof(*numbers), by_number);
	return 0;
}

/*
 * The usual limit of 1,024 descriptors is too low for a whole machine. What is beyond the hard
 * limit shows later, as -EMFILE of the NPU that is one too many.
 */
static void allow_descriptors(unsigned int npus)
{
	struct rlimit r;
	rlim_t want = 256 + (rlim_t)npus * NPU_FDS;

	if (getrlimit(RLIMIT_NOFILE, &r) || r.rlim_cur >= want)
		return;
	r.rlim_cur = want < r.rlim_max ? want : r.rlim_max;
	if (!setrlimit(RLIMIT_NOFILE, &r))
		snpu_log(2, "limit of open files raised to %llu", (unsigned long long)r.rlim_cur);
}

static int direct_open(struct snpu *s)
{
	struct epoll_event ev = { .events = EPOLLIN };
	int numbers[SNPU_MAX_NPUS], ret;
	unsigned int i, count;
	struct direct *d;

	ret = find_sockets(s->cfg.socket_dir, numbers, &count);
	if (ret)
		return ret;
	allow_descriptors(count);
	d = calloc(1, sizeof(*d));
	s->npus = calloc(count, sizeof(*s->npus));
	if (!d || !s->npus) {
		free(d);
		return snpu_fail(-ENOMEM, "snpu_open");
	}
	s->priv = d;
	d->snpu = s;
	pthread_mutex_init(&d->lock, NULL);
	pthread_mutex_init(&d->host_lock, NULL);
	d->epoll = epoll_create1(EPOLL_CLOEXEC);
	d->quit = eventfd(0, EFD_CLOEXEC);
	if (d->epoll < 0 || d->quit < 0 || epoll_ctl(d->epoll, EPOLL_CTL_ADD, d->quit, &ev)) {
		ret = snpu_fail(-errno, "snpu_open%s", snpu_fd_limit(-errno));
		direct_close(s);
		return ret;
	}
	for (i = 0; i < count; i++) {
		struct dnpu *n = calloc(1, sizeof(*n));

		if (!n) {
			direct_close(s);
			return snpu_fail(-ENOMEM, "snpu_open");
		}
		s->npus[i] = (struct snpu_npu){ .snpu = s, .index = i, .priv = n };
		s->count = i + 1;
		npu_init(n, &s->npus[i]);
		snprintf(n->path, sizeof(n->path), "%s/npu%d.sock", s->cfg.socket_dir, numbers[i]);
	}
	return 0;
}

const struct snpu_transport snpu_transport_direct = {
	.size = sizeof(struct snpu_transport),
	.name = "direct",
	.open = direct_open,
	.close = direct_close,
	.info = direct_info,
	.counters = direct_counters,
	.ports = direct_ports,
	.alive = direct_alive,
	.ctx_create = direct_ctx_create,
	.ctx_destroy = direct_ctx_destroy,
	.mem_alloc = direct_mem_alloc,
	.mem_bind = direct_mem_bind,
	.mem_free = direct_mem_free,
	.mem_map = direct_mem_map,
	.mem_export = direct_mem_export,
	.mem_import = direct_mem_import,
	.mem_share = direct_mem_share,
	.seg_export = direct_seg_export,
	.seg_revoke = direct_seg_revoke,
	.seg_lookup = direct_seg_lookup,
	.seg_import = direct_seg_import,
	.queue_fields = SNPU_QUEUE_DIE | SNPU_QUEUE_TIMING,
	.queue_create = direct_queue_create,
	.queue_destroy = direct_queue_destroy,
	.queue_wake = direct_queue_wake,
	.queue_pause = direct_queue_pause,
	.queue_error = direct_queue_error,
	.queue_sleep = direct_queue_sleep,
	.queue_vtime = direct_queue_vtime,
	.fence_create = direct_fence_create,
	.fence_destroy = direct_fence_destroy,
	.fence_wait = direct_fence_wait,
	.fence_export = direct_fence_export,
	.fence_import = direct_fence_import,
	.fence_put = direct_fence_put,
	.timeline_create = direct_timeline_create,
	.timeline_destroy = direct_timeline_destroy,
	.timeline_attach = direct_timeline_attach,
	.timeline_signal = direct_timeline_signal,
	.timeline_query = direct_timeline_query,
	.timeline_wait = direct_timeline_wait,
	.timeline_put = direct_timeline_put,
	.wait_name = direct_wait_name,
	.forked = direct_forked,
	.drop = direct_drop,
	.drop_ctx = direct_drop_ctx,
	.drop_mem = direct_drop_mem,
	.drop_queue = direct_drop_queue,
	.drop_fence = direct_drop_fence,
	.drop_timeline = direct_drop_timeline,
};
