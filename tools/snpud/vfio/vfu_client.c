// SPDX-License-Identifier: MIT
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "vfu_caps.h"
#include "vfu_client.h"
#include "vfu_io.h"

#define DEF_TIMEOUT_MS	5000u

/*
 * @call_lock: one call at a time, and all of what it leaves in @reply. @tx_lock: one message at a
 * time onto the socket. @rx_lock: @wait and @done, between who calls and the receiving thread, if
 * there is one; without one the caller receives by itself.
 */
struct snpu_vfuc {
	int sock;
	struct snpu_vfuc_cfg cfg;
	struct snpu_vfu_caps peer;
	pthread_mutex_t call_lock;
	pthread_mutex_t tx_lock;
	pthread_mutex_t rx_lock;
	pthread_cond_t rx_cond;
	pthread_t thread;
	bool threaded;
	bool forked;
	uint16_t next_id;
	bool wait, done;
	int dead;

	struct snpu_vfu_hdr reply;
	struct snpu_vfu_fds fds;
	uint8_t *data;		/* SNPU_VFU_MAX_MSG, of which only what is used costs memory */
};

struct call {
	uint16_t cmd;
	uint32_t flags;
	struct iovec iov[2];
	const int *fds;
	unsigned int nfds;
};

static int die(struct snpu_vfuc *c, int err)
{
	pthread_mutex_lock(&c->rx_lock);
	if (!c->dead)
		c->dead = err;
	shutdown(c->sock, SHUT_RDWR);
	pthread_cond_broadcast(&c->rx_cond);
	pthread_mutex_unlock(&c->rx_lock);
	return err;
}

static int send_msg(struct snpu_vfuc *c, const struct iovec *iov, unsigned int n, const int *fds,
		    unsigned int nfds)
{
	int ret;

	pthread_mutex_lock(&c->tx_lock);
	ret = snpu_vfu_send(c->sock, iov, n, fds, nfds, c->cfg.timeout_ms);
	pthread_mutex_unlock(&c->tx_lock);
	/* the kernel has refused the descriptors, and sent nothing */
	if (!ret || ret == -ETOOMANYREFS)
		return ret;
	return die(c, ret == -ETIMEDOUT ? ret : -ENOTCONN);
}

/* A command of the server, whose payload is in @in */
static int serve_request(struct snpu_vfuc *c, const struct snpu_vfu_hdr *cmd, const uint8_t *in,
			 size_t len)
{
	struct snpu_vfu_hdr h = {
		.id = cmd->id,
		.cmd = cmd->cmd,
		.size = sizeof(h),
		.flags = SNPU_VFU_F_REPLY,
	};
	struct iovec iov[3] = { { .iov_base = &h, .iov_len = sizeof(h) } };
	struct snpu_vfu_dma_rw a;
	uint8_t *buf = NULL;
	int ret = -ENOTSUP;

	if (len >= sizeof(a))
		memcpy(&a, in, sizeof(a));
	else
		a = (struct snpu_vfu_dma_rw){ 0 };
	if (cmd->cmd == SNPU_VFU_CMD_DMA_READ && c->cfg.dma_read) {
		ret = -EINVAL;
		if (len == sizeof(a) && a.count && a.count <= SNPU_VFU_MAX_XFER) {
			buf = malloc(a.count);
			ret = buf ? c->cfg.dma_read(c->cfg.ctx, a.iova, buf, a.count) : -ENOMEM;
		}
		iov[2] = (struct iovec){ .iov_base = buf, .iov_len = a.count };
	} else if (cmd->cmd == SNPU_VFU_CMD_DMA_WRITE && c->cfg.dma_write) {
		ret = -EINVAL;
		if (len > sizeof(a) && a.count == len - sizeof(a))
			ret = c->cfg.dma_write(c->cfg.ctx, a.iova, in + sizeof(a), a.count);
	}
	if (ret) {
		h.flags |= SNPU_VFU_F_ERROR;
		h.error = (uint32_t)-ret;
		iov[2].iov_len = 0;
	} else {
		iov[1] = (struct iovec){ .iov_base = &a, .iov_len = sizeof(a) };
		h.size += (uint32_t)(sizeof(a) + iov[2].iov_len);
	}
	ret = cmd->flags & SNPU_VFU_F_NO_REPLY ? 0 : send_msg(c, iov, 3, NULL, 0);
	free(buf);
	return ret;
}

/* Receives one message, whichever it is */
static int recv_one(struct snpu_vfuc *c, struct snpu_vfu_limit *lim)
{
	struct snpu_vfu_fds fds;
	struct snpu_vfu_hdr h;
	size_t len;
	bool mine;
	int ret;

	ret = snpu_vfu_recv_hdr(c->sock, &h, &fds, lim);
	if (ret <= 0)
		return die(c, ret == -ETIMEDOUT || ret == -EPROTO ? ret : -ENOTCONN);
	if (h.size < sizeof(h) || h.size > SNPU_VFU_MAX_MSG || fds.err == -E2BIG ||
	    (h.flags & SNPU_VFU_F_TYPE) > SNPU_VFU_F_REPLY) {
		snpu_vfu_fds_close(&fds);
		return die(c, -EPROTO);
	}
	/* what the server sent is lost, for want of room here */
	if (fds.err)
		return die(c, fds.err);
	len = h.size - sizeof(h);

	if ((h.flags & SNPU_VFU_F_TYPE) == SNPU_VFU_F_COMMAND) {
		uint8_t *in = malloc(len + 1);

		snpu_vfu_fds_close(&fds);
		ret = in ? snpu_vfu_recv_all(c->sock, in, len, lim) : -ENOMEM;
		ret = ret ? die(c, ret) : serve_request(c, &h, in, len);
		free(in);
		return ret;
	}

	/* @data belongs to the caller once @done is set, so it has to be one that waits */
	pthread_mutex_lock(&c->rx_lock);
	mine = c->wait && !c->done && h.id == c->next_id;
	pthread_mutex_unlock(&c->rx_lock);
	ret = mine ? snpu_vfu_recv_all(c->sock, c->data, len, lim) : -EPROTO;
	if (ret) {
		snpu_vfu_fds_close(&fds);
		return die(c, ret);
	}
	pthread_mutex_lock(&c->rx_lock);
	c->reply = h;
	c->fds = fds;
	c->done = true;
	pthread_cond_broadcast(&c->rx_cond);
	pthread_mutex_unlock(&c->rx_lock);
	return 0;
}

static void *rx_main(void *arg)
{
	struct snpu_vfuc *c = arg;
	struct snpu_vfu_limit lim;

	do
		lim = (struct snpu_vfu_limit){ .ms = c->cfg.timeout_ms };
	while (!recv_one(c, &lim));
	return NULL;
}

static int wait_reply(struct snpu_vfuc *c)
{
	struct timespec end;
	int ret = 0;

	if (!c->threaded) {
		struct snpu_vfu_limit lim = { .end = snpu_vfu_now_ms() + c->cfg.timeout_ms };

		while (!c->done && !ret)
			ret = recv_one(c, &lim);
		return ret;
	}
	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += c->cfg.timeout_ms / 1000;
	end.tv_nsec += (long)(c->cfg.timeout_ms % 1000) * 1000000;
	if (end.tv_nsec >= 1000000000) {
		end.tv_nsec -= 1000000000;
		end.tv_sec++;
	}
	pthread_mutex_lock(&c->rx_lock);
	while (!c->done && !c->dead && !ret)
		ret = -pthread_cond_timedwait(&c->rx_cond, &c->rx_lock, &end);
	if (c->done)
		ret = 0;
	else if (c->dead)
		ret = c->dead;
	pthread_mutex_unlock(&c->rx_lock);
	return ret ? die(c, ret) : 0;
}

/*
 * Sends a command and waits for its reply, of which @min..@max bytes must be there. @call_lock
 * held; the reply is in @c->data, @c->reply and @c->fds until call_end().
 */
static int call(struct snpu_vfuc *c, const struct call *k, size_t min, size_t max)
{
	struct snpu_vfu_hdr h = {
		.cmd = k->cmd,
		.flags = SNPU_VFU_F_COMMAND | k->flags,
		.size = (uint32_t)(sizeof(h) + k->iov[0].iov_len + k->iov[1].iov_len),
	};
	struct iovec iov[3] = { { .iov_base = &h, .iov_len = sizeof(h) }, k->iov[0], k->iov[1] };
	int ret;

	pthread_mutex_lock(&c->rx_lock);
	h.id = ++c->next_id;
	c->wait = !(k->flags & SNPU_VFU_F_NO_REPLY);
	c->done = false;
	c->fds.n = 0;
	ret = c->dead ? -ENOTCONN : 0;
	pthread_mutex_unlock(&c->rx_lock);
	if (!ret)
		ret = send_msg(c, iov, 3, k->fds, k->nfds);
	if (!ret && c->wait) {
		size_t len;

		ret = wait_reply(c);
		if (ret)
			return ret;
		len = c->reply.size - sizeof(c->reply);
		if (c->reply.cmd != k->cmd)
			return die(c, -EPROTO);
		if (c->reply.flags & SNPU_VFU_F_ERROR)
			return c->reply.error && c->reply.error < 4096 ?
			       -(int)c->reply.error : -EIO;
		if (len < min || len > max)
			return die(c, -EPROTO);
	}
	return ret;
}

static void call_end(struct snpu_vfuc *c)
{
	pthread_mutex_lock(&c->rx_lock);
	c->wait = false;
	if (c->done)
		snpu_vfu_fds_close(&c->fds);
	pthread_mutex_unlock(&c->rx_lock);
}

/* The common case: fixed sizes either way */
static int simple(struct snpu_vfuc *c, uint16_t cmd, const void *in, size_t in_len, const int *fds,
		  unsigned int nfds, void *out, size_t out_len)
{
	struct call k = {
		.cmd = cmd,
		.iov[0] = { .iov_base = (void *)in, .iov_len = in_len },
		.fds = fds,
		.nfds = nfds,
	};
	int ret;

	pthread_mutex_lock(&c->call_lock);
	ret = call(c, &k, out ? out_len : 0, out ? out_len : SNPU_VFU_MAX_MSG);
	if (!ret && out)
		memcpy(out, c->data, out_len);
	call_end(c);
	pthread_mutex_unlock(&c->call_lock);
	return ret;
}

static int negotiate(struct snpu_vfuc *c)
{
	const struct snpu_vfu_caps ours = {
		.max_fds = SNPU_VFU_MAX_FDS,
		.max_xfer = SNPU_VFU_MAX_XFER,
		.pgsizes = SNPU_VFU_PAGE,
		.max_maps = UINT32_MAX,	/* no limit here: the server names its own */
		.multi = true,
		.named = SNPU_VFU_CAP_ALL,
	};
	struct snpu_vfu_version v = { .major = SNPU_VFU_MAJOR, .minor = SNPU_VFU_MINOR };
	char json[SNPU_VFU_MAX_JSON], err[160];
	struct call k = {
		.cmd = SNPU_VFU_CMD_VERSION,
		.iov[0] = { .iov_base = &v, .iov_len = sizeof(v) },
	};
	int ret;

	ret = snpu_vfu_caps_print(&ours, json, sizeof(json));
	if (ret < 0)
		return ret;
	k.iov[1] = (struct iovec){ .iov_base = json, .iov_len = (size_t)ret };
	pthread_mutex_lock(&c->call_lock);
	ret = call(c, &k, sizeof(v), sizeof(v) + SNPU_VFU_MAX_JSON);
	if (!ret) {
		memcpy(&v, c->data, sizeof(v));
		if (v.major != SNPU_VFU_MAJOR || v.minor > SNPU_VFU_MINOR)
			ret = -EPROTO;
		else
			ret = snpu_vfu_caps_parse((char *)c->data + sizeof(v),
						  c->reply.size - sizeof(c->reply) - sizeof(v),
						  &c->peer, err, sizeof(err));
	}
	call_end(c);
	pthread_mutex_unlock(&c->call_lock);
	return ret;
}

int snpu_vfuc_connect(const char *path, const struct snpu_vfuc_cfg *cfg, struct snpu_vfuc **out)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	pthread_condattr_t attr;
	struct snpu_vfuc *c;
	void *p;
	int ret;

	if (strlen(path) >= sizeof(sa.sun_path))
		return -ENAMETOOLONG;
	strcpy(sa.sun_path, path);
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	if (cfg)
		c->cfg = *cfg;
	if (!c->cfg.timeout_ms)
		c->cfg.timeout_ms = DEF_TIMEOUT_MS;
	pthread_mutex_init(&c->call_lock, NULL);
	pthread_mutex_init(&c->tx_lock, NULL);
	pthread_mutex_init(&c->rx_lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&c->rx_cond, &attr);
	pthread_condattr_destroy(&attr);
	p = mmap(NULL, SNPU_VFU_MAX_MSG, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	c->data = p == MAP_FAILED ? NULL : p;
	c->sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ret = !c->data || c->sock < 0 ? -errno : 0;
	if (!ret && connect(c->sock, (struct sockaddr *)&sa, sizeof(sa)))
		ret = -errno;
	if (!ret && (c->cfg.dma_read || c->cfg.dma_write)) {
		/* waits for ever for what the server may ask */
		ret = -pthread_create(&c->thread, NULL, rx_main, c);
		c->threaded = !ret;
	}
	if (!ret)
		ret = negotiate(c);
	if (ret) {
		snpu_vfuc_close(c);
		return ret;
	}
	*out = c;
	return 0;
}

void snpu_vfuc_forked(struct snpu_vfuc *c)
{
	if (!c)
		return;
	c->forked = true;
	close(c->sock);
	c->sock = -1;
}

void snpu_vfuc_close(struct snpu_vfuc *c)
{
	if (!c)
		return;
	/* thread and waiters are the parent's, and a lock may be held by a thread of it */
	if (c->forked) {
		munmap(c->data, SNPU_VFU_MAX_MSG);
		free(c);
		return;
	}
	if (c->sock >= 0)
		shutdown(c->sock, SHUT_RDWR);
	if (c->threaded)
		pthread_join(c->thread, NULL);
	if (c->sock >= 0)
		close(c->sock);
	if (c->data)
		munmap(c->data, SNPU_VFU_MAX_MSG);
	pthread_cond_destroy(&c->rx_cond);
	pthread_mutex_destroy(&c->rx_lock);
	pthread_mutex_destroy(&c->tx_lock);
	pthread_mutex_destroy(&c->call_lock);
	free(c);
}

int snpu_vfuc_alive(struct snpu_vfuc *c)
{
	int ret;

	pthread_mutex_lock(&c->rx_lock);
	ret = c->dead;
	pthread_mutex_unlock(&c->rx_lock);
	return ret;
}

int snpu_vfuc_info(struct snpu_vfuc *c, struct snpu_vfu_info *info)
{
	struct snpu_vfu_info in = { .argsz = sizeof(in) };

	return simple(c, SNPU_VFU_CMD_GET_INFO, &in, sizeof(in), NULL, 0, info, sizeof(*info));
}

/* Reads the areas out of the capabilities in @p; the server is not trusted with offsets */
static int parse_areas(const uint8_t *p, size_t len, uint32_t at, struct snpu_vfuc_region *rg)
{
	unsigned int hops, i;

	for (hops = 0; at && hops < 16; hops++) {
		struct snpu_vfu_sparse_hdr sp;

		if (at > len || len - at < sizeof(struct vfio_info_cap_header))
			return -EPROTO;
		memset(&sp, 0, sizeof(sp));
		memcpy(&sp, p + at, len - at < sizeof(sp) ? len - at : sizeof(sp));
		if (sp.id == VFIO_REGION_INFO_CAP_SPARSE_MMAP) {
			if (len - at < sizeof(sp) || sp.nr_areas > SNPU_VFUC_MAX_AREAS ||
			    len - at - sizeof(sp) < sp.nr_areas * sizeof(rg->areas[0]))
				return -EPROTO;
			memcpy(rg->areas, p + at + sizeof(sp), sp.nr_areas * sizeof(rg->areas[0]));
			rg->nr_areas = sp.nr_areas;
			for (i = 0; i < sp.nr_areas; i++)
				if (rg->areas[i].offset > rg->size ||
				    rg->areas[i].size > rg->size - rg->areas[i].offset)
					return -EPROTO;
			return 0;
		}
		if (sp.next && sp.next <= at)
			return -EPROTO;
		at = sp.next;
	}
	return at ? -EPROTO : 0;
}

int snpu_vfuc_region_get(struct snpu_vfuc *c, unsigned int index, struct snpu_vfuc_region *rg)
{
	const size_t room = sizeof(struct snpu_vfu_region_info) +
			    sizeof(struct snpu_vfu_sparse_hdr) +
			    SNPU_VFUC_MAX_AREAS * sizeof(struct snpu_vfu_area);
	struct snpu_vfu_region_info in = { .argsz = (uint32_t)room, .index = index }, info;
	struct call k = {
		.cmd = SNPU_VFU_CMD_GET_REGION_INFO,
		.iov[0] = { .iov_base = &in, .iov_len = sizeof(in) },
	};
	int ret;

	*rg = (struct snpu_vfuc_region){ .fd = -1 };
	pthread_mutex_lock(&c->call_lock);
	ret = call(c, &k, sizeof(info), room);
	if (!ret) {
		memcpy(&info, c->data, sizeof(info));
		rg->size = info.size;
		rg->flags = info.flags & ~VFIO_REGION_INFO_FLAG_CAPS;
		rg->fd_offset = info.offset;
		if (info.flags & VFIO_REGION_INFO_FLAG_MMAP) {
			rg->nr_areas = 1;
			rg->areas[0].size = info.size;
			if (c->fds.n != 1)
				ret = -EPROTO;
		}
		if (!ret && (info.flags & VFIO_REGION_INFO_FLAG_CAPS))
			ret = parse_areas(c->data, c->reply.size - sizeof(c->reply),
					  info.cap_offset, rg);
		if (!ret && (info.flags & VFIO_REGION_INFO_FLAG_MMAP)) {
			rg->fd = c->fds.fd[0];
			c->fds.fd[0] = -1;
		}
	}
	call_end(c);
	pthread_mutex_unlock(&c->call_lock);
	return ret;
}

void snpu_vfuc_region_put(struct snpu_vfuc_region *rg)
{
	if (rg->fd >= 0)
		close(rg->fd);
	rg->fd = -1;
}

int snpu_vfuc_region_mmap(const struct snpu_vfuc_region *rg, uint64_t off, size_t len, void **out)
{
	int prot = (rg->flags & VFIO_REGION_INFO_FLAG_READ ? PROT_READ : 0) |
		   (rg->flags & VFIO_REGION_INFO_FLAG_WRITE ? PROT_WRITE : 0);
	unsigned int i;
	void *p;

	for (i = 0; i < rg->nr_areas; i++) {
		const struct snpu_vfu_area *a = &rg->areas[i];

		if (off < a->offset || off - a->offset > a->size ||
		    len > a->size - (off - a->offset))
			continue;
		p = mmap(NULL, len, prot, MAP_SHARED, rg->fd, (off_t)(rg->fd_offset + off));
		if (p == MAP_FAILED)
			return -errno;
		*out = p;
		return 0;
	}
	return -EINVAL;
}

int snpu_vfuc_read(struct snpu_vfuc *c, unsigned int region, uint64_t off, void *buf, size_t len)
{
	struct snpu_vfu_region_rw a = { .offset = off, .region = region, .count = (uint32_t)len };
	struct call k = {
		.cmd = SNPU_VFU_CMD_REGION_READ,
		.iov[0] = { .iov_base = &a, .iov_len = sizeof(a) },
	};
	int ret;

	if (!len || len > SNPU_VFU_MAX_XFER)
		return -EINVAL;
	pthread_mutex_lock(&c->call_lock);
	ret = call(c, &k, sizeof(a) + len, sizeof(a) + len);
	if (!ret)
		memcpy(buf, c->data + sizeof(a), len);
	call_end(c);
	pthread_mutex_unlock(&c->call_lock);
	return ret;
}

static int do_write(struct snpu_vfuc *c, unsigned int region, uint64_t off, const void *buf,
		    size_t len, uint32_t flags)
{
	struct snpu_vfu_region_rw a = { .offset = off, .region = region, .count = (uint32_t)len };
	struct call k = {
		.cmd = SNPU_VFU_CMD_REGION_WRITE,
		.flags = flags,
		.iov = {
			{ .iov_base = &a, .iov_len = sizeof(a) },
			{ .iov_base = (void *)buf, .iov_len = len },
		},
	};
	int ret;

	if (!len || len > SNPU_VFU_MAX_XFER)
		return -EINVAL;
	pthread_mutex_lock(&c->call_lock);
	ret = call(c, &k, sizeof(a), sizeof(a));
	call_end(c);
	pthread_mutex_unlock(&c->call_lock);
	return ret;
}

int snpu_vfuc_write(struct snpu_vfuc *c, unsigned int region, uint64_t off, const void *buf,
		    size_t len)
{
	return do_write(c, region, off, buf, len, 0);
}

int snpu_vfuc_write_posted(struct snpu_vfuc *c, unsigned int region, uint64_t off,
			   const void *buf, size_t len)
{
	return do_write(c, region, off, buf, len, SNPU_VFU_F_NO_REPLY);
}

int snpu_vfuc_dma_map(struct snpu_vfuc *c, uint64_t iova, uint64_t size, uint32_t flags, int fd,
		      uint64_t offset)
{
	struct snpu_vfu_dma_map a = {
		.argsz = sizeof(a),
		.flags = flags,
		.offset = offset,
		.iova = iova,
		.size = size,
	};

	if (fd < 0 && !c->threaded)
		return -EINVAL;	/* nobody would answer the device */
	return simple(c, SNPU_VFU_CMD_DMA_MAP, &a, sizeof(a), &fd, fd >= 0, NULL, 0);
}

static int unmap(struct snpu_vfuc *c, uint64_t iova, uint64_t size, uint32_t flags)
{
	struct snpu_vfu_dma_unmap a = {
		.argsz = sizeof(a),
		.flags = flags,
		.iova = iova,
		.size = size,
	};

	return simple(c, SNPU_VFU_CMD_DMA_UNMAP, &a, sizeof(a), NULL, 0, NULL, 0);
}

int snpu_vfuc_dma_unmap(struct snpu_vfuc *c, uint64_t iova, uint64_t size)
{
	return unmap(c, iova, size, 0);
}

int snpu_vfuc_dma_unmap_all(struct snpu_vfuc *c)
{
	return unmap(c, 0, 0, VFIO_DMA_UNMAP_FLAG_ALL);
}

int snpu_vfuc_irq_count(struct snpu_vfuc *c, unsigned int index, unsigned int *count)
{
	struct snpu_vfu_irq_info a = { .argsz = sizeof(a), .index = index };
	int ret;

	ret = simple(c, SNPU_VFU_CMD_GET_IRQ_INFO, &a, sizeof(a), NULL, 0, &a, sizeof(a));
	if (!ret)
		*count = a.count;
	return ret;
}

static int set_irqs(struct snpu_vfuc *c, uint32_t flags, unsigned int index, unsigned int start,
		    unsigned int count, const int *fds)
{
	struct snpu_vfu_irq_set a = {
		.argsz = sizeof(a),
		.flags = flags | VFIO_IRQ_SET_ACTION_TRIGGER,
		.index = index,
		.start = start,
		.count = count,
	};

	return simple(c, SNPU_VFU_CMD_SET_IRQS, &a, sizeof(a), fds, fds ? count : 0, NULL, 0);
}

int snpu_vfuc_irq_set(struct snpu_vfuc *c, unsigned int index, unsigned int start,
		      unsigned int count, const int *fds)
{
	unsigned int max = c->peer.max_fds < SNPU_VFU_MAX_FDS ? (unsigned int)c->peer.max_fds :
			   SNPU_VFU_MAX_FDS;
	unsigned int at, k;
	int ret = count ? 0 : -EINVAL;

	if (!fds && ret)
		return ret;
	if (!fds)
		return set_irqs(c, VFIO_IRQ_SET_DATA_EVENTFD, index, start, count, NULL);
	if (!max)
		return -ENOTSUP;
	for (at = 0; at < count && !ret; at += k) {
		k = count - at < max ? count - at : max;
		ret = set_irqs(c, VFIO_IRQ_SET_DATA_EVENTFD, index, start + at, k, fds + at);
	}
	return ret;
}

int snpu_vfuc_irq_disable(struct snpu_vfuc *c, unsigned int index)
{
	return set_irqs(c, VFIO_IRQ_SET_DATA_NONE, index, 0, 0, NULL);
}

int snpu_vfuc_irq_fire(struct snpu_vfuc *c, unsigned int index, unsigned int start,
		       unsigned int count)
{
	return count ? set_irqs(c, VFIO_IRQ_SET_DATA_NONE, index, start, count, NULL) : -EINVAL;
}

int snpu_vfuc_reset(struct snpu_vfuc *c)
{
	return simple(c, SNPU_VFU_CMD_RESET, NULL, 0, NULL, 0, NULL, 0);
}
