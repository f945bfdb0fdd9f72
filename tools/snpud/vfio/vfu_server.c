// SPDX-License-Identifier: MIT
/*
 * Servers and devices: sockets, who may connect, start and end.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "vfu_priv.h"
#include "vfu_sigbus.h"

#define EVENTS	32

static bool hung_up(int sock)
{
	struct pollfd p = { .fd = sock, .events = POLLRDHUP };

	return poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR));
}

/*
 * Does the last client still count, or is it gone, though its thread may not have seen it yet? Then
 * the next may wait; one that has waited and gone itself must not be in its way. @d->lock held.
 */
static bool room_to_wait(struct snpu_vfu_dev *d)
{
	if (!d->closing && !hung_up(d->sock))
		return false;
	if (d->waiting >= 0 && hung_up(d->waiting)) {
		close(d->waiting);
		d->waiting = -1;
	}
	return d->waiting < 0;
}

static void admit(struct snpu_vfu_dev *d, int fd)
{
	const char *why = NULL;
	int ret = 0;

	pthread_mutex_lock(&d->lock);
	if (d->stopping) {
		close(fd);
	} else if (d->sock < 0) {
		/* its last act under the lock was to say so: this does not wait */
		if (d->joinable)
			pthread_join(d->thread, NULL);
		d->joinable = false;
		d->closing = false;
		d->sock = fd;
		d->refused = 0;
		ret = vfu_conn_start(d);
		if (ret) {
			d->sock = -1;
			why = strerror(-ret);
		}
	} else if (room_to_wait(d)) {
		d->waiting = fd;
	} else {
		why = "it has one already";
	}
	pthread_mutex_unlock(&d->lock);

	if (why) {
		/* a loop of connect() must not fill the disk */
		if (d->refused <= VFU_LOG_LIMIT)
			vfu_log(d->srv, SNPU_VFU_LOG_WARN, "%s: client refused: %s%s", d->name, why,
				d->refused == VFU_LOG_LIMIT ? "; more of them are not logged" : "");
		d->refused++;
		close(fd);
	}
}

/*
 * With no descriptors left accept() fails and the listening socket stays readable: without the
 * spare one this thread would spin.
 */
static void refuse_one(struct snpu_vfu_dev *d)
{
	struct snpu_vfu_server *s = d->srv;
	int fd;

	vfu_log(s, SNPU_VFU_LOG_ERR, "%s: client refused: no file descriptors left", d->name);
	if (s->spare >= 0)
		close(s->spare);
	fd = accept4(d->listen, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0)
		close(fd);
	s->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void *accept_main(void *arg)
{
	struct snpu_vfu_server *s = arg;
	struct epoll_event ev[EVENTS];

	for (;;) {
		int i, n = epoll_wait(s->epoll, ev, EVENTS, -1);

		if (n < 0 && errno != EINTR) {
			vfu_log(s, SNPU_VFU_LOG_ERR, "no more clients are accepted: epoll_wait: %s",
				strerror(errno));
			return NULL;
		}
		pthread_mutex_lock(&s->lock);
		for (i = 0; i < n; i++) {
			struct snpu_vfu_dev *d;
			int fd;

			if (!ev[i].data.ptr) {
				pthread_mutex_unlock(&s->lock);
				return NULL;
			}
			/* it may have been destroyed since epoll_wait() saw it */
			for (d = s->devs; d && d != ev[i].data.ptr; d = d->next)
				;
			if (!d)
				continue;
			fd = accept4(d->listen, NULL, NULL, SOCK_CLOEXEC);
			if (fd >= 0)
				admit(d, fd);
			else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM ||
				 errno == ENOBUFS)
				refuse_one(d);
		}
		pthread_mutex_unlock(&s->lock);
	}
}

int snpu_vfu_server_create(const struct snpu_vfu_server_cfg *cfg, struct snpu_vfu_server **out)
{
	struct epoll_event ev = { .events = EPOLLIN };
	struct snpu_vfu_server *s;
	int ret;

	ret = snpu_vfu_sigbus_install();
	if (ret)
		return ret;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	if (cfg)
		s->cfg = *cfg;
	if (!s->cfg.dma_timeout_ms)
		s->cfg.dma_timeout_ms = VFU_DEF_TIMEOUT_MS;
	if (!s->cfg.message_timeout_ms)
		s->cfg.message_timeout_ms = VFU_DEF_MESSAGE_MS;
	if (!s->cfg.max_dma_maps)
		s->cfg.max_dma_maps = VFU_DEF_MAPS;
	if (!s->cfg.dma_files)
		s->cfg.dma_files = VFU_DEF_FILES;
	if (!s->cfg.max_dma_bytes)
		s->cfg.max_dma_bytes = VFU_DEF_BYTES;
	pthread_mutex_init(&s->lock, NULL);
	s->epoll = epoll_create1(EPOLL_CLOEXEC);
	s->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	s->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (s->epoll < 0 || s->stop < 0 || s->spare < 0 ||
	    epoll_ctl(s->epoll, EPOLL_CTL_ADD, s->stop, &ev)) {
		ret = -errno;
		goto fail;
	}
	ret = -pthread_create(&s->thread, NULL, accept_main, s);
	if (ret)
		goto fail;
	*out = s;
	return 0;
fail:
	if (s->epoll >= 0)
		close(s->epoll);
	if (s->stop >= 0)
		close(s->stop);
	if (s->spare >= 0)
		close(s->spare);
	pthread_mutex_destroy(&s->lock);
	free(s);
	return ret;
}

void snpu_vfu_server_destroy(struct snpu_vfu_server *s)
{
	uint64_t one = 1;

	if (!s)
		return;
	/* an eventfd at zero takes it */
	if (write(s->stop, &one, sizeof(one)) == (ssize_t)sizeof(one))
		pthread_join(s->thread, NULL);
	while (s->devs)
		snpu_vfu_dev_destroy(s->devs);
	close(s->epoll);
	close(s->stop);
	close(s->spare);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

/* Is somebody behind the socket? 0: no, it can go; else -EADDRINUSE, -EEXIST or another errno */
static int probe_stale(const struct sockaddr_un *sa)
{
	struct stat st;
	int fd, ret = 0;

	if (lstat(sa->sun_path, &st))
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	/* full or not: whoever has a backlog lives */
	if (!connect(fd, (const struct sockaddr *)sa, sizeof(*sa)) || errno == EAGAIN)
		ret = -EADDRINUSE;
	else if (errno != ECONNREFUSED)
		ret = -errno;
	close(fd);
	if (!ret && unlink(sa->sun_path) && errno != ENOENT)
		ret = -errno;
	return ret;
}

static int open_socket(struct snpu_vfu_dev *d)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	struct stat st;
	int ret;

	if (strlen(d->path) >= sizeof(sa.sun_path))
		return -ENAMETOOLONG;
	strcpy(sa.sun_path, d->path);
	d->listen = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (d->listen < 0)
		return -errno;
	/* before bind(): the name is created with it, so at no time can others connect */
	if (fchmod(d->listen, 0600))
		return -errno;
	if (bind(d->listen, (struct sockaddr *)&sa, sizeof(sa))) {
		if (errno != EADDRINUSE)
			return -errno;
		ret = probe_stale(&sa);
		if (ret)
			return ret;
		if (bind(d->listen, (struct sockaddr *)&sa, sizeof(sa)))
			return -errno;
	}
	if (stat(d->path, &st)) {
		ret = -errno;
		unlink(d->path);
		return ret;
	}
	d->sock_dev = st.st_dev;
	d->sock_ino = st.st_ino;
	if (chmod(d->path, 0600) || listen(d->listen, 4)) {
		ret = -errno;
		unlink(d->path);
		return ret;
	}
	return 0;
}

static void dev_free(struct snpu_vfu_dev *d)
{
	unsigned int i;

	for (i = 0; i < SNPU_VFU_REGIONS; i++)
		if (d->regions[i].fd >= 0)
			close(d->regions[i].fd);
	if (d->listen >= 0)
		close(d->listen);
	vfu_irq_fini(d);
	vfu_msi_fini(d);
	vfu_dma_fini(d);
	vfu_maps_free(d);
	pthread_mutex_destroy(&d->tx_lock);
	pthread_mutex_destroy(&d->lock);
	free(d->rx.p);
	free(d->out.p);
	free(d->name);
	free(d->path);
	free(d);
}

static int copy_regions(struct snpu_vfu_dev *d, const struct snpu_vfu_dev_cfg *cfg)
{
	unsigned int i;

	for (i = 0; i < SNPU_VFU_REGIONS; i++) {
		struct snpu_vfu_region *rg = &d->regions[i];
		const char *why;

		*rg = cfg->regions[i];
		rg->fd = -1;
		why = vfu_region_check(&cfg->regions[i]);
		if (why) {
			vfu_log(d->srv, SNPU_VFU_LOG_ERR, "%s: region %u: %s", d->name, i, why);
			return -EINVAL;
		}
		if (!(rg->flags & VFIO_REGION_INFO_FLAG_MMAP))
			continue;
		rg->fd = fcntl(cfg->regions[i].fd, F_DUPFD_CLOEXEC, 0);
		if (rg->fd < 0)
			return -errno;
		if (!rg->areas) {
			d->areas[i][0].size = rg->size;
			rg->nr_areas = 1;
		} else {
			memcpy(d->areas[i], rg->areas, rg->nr_areas * sizeof(*rg->areas));
		}
		rg->areas = d->areas[i];
	}
	return 0;
}

int snpu_vfu_dev_create(struct snpu_vfu_server *s, const struct snpu_vfu_dev_cfg *cfg,
			struct snpu_vfu_dev **out)
{
	struct epoll_event ev = { .events = EPOLLIN };
	struct snpu_vfu_dev *d;
	unsigned int i;
	int ret;

	if (!cfg->path || !cfg->ops || !cfg->ops->region_read || !cfg->ops->region_write ||
	    cfg->nr_vectors > SNPU_VFU_MAX_VECTORS) {
		vfu_log(s, SNPU_VFU_LOG_ERR,
			"device: path or region callbacks missing, or %u vectors, allowed 0..%u",
			cfg->nr_vectors, SNPU_VFU_MAX_VECTORS);
		return -EINVAL;
	}
	d = calloc(1, sizeof(*d));
	if (!d)
		return -ENOMEM;
	d->srv = s;
	d->ops = cfg->ops;
	d->priv = cfg->priv;
	d->nr_vectors = cfg->nr_vectors;
	d->req_irq = cfg->req_irq;
	d->listen = -1;
	d->sock = -1;
	d->waiting = -1;
	for (i = 0; i < SNPU_VFU_REGIONS; i++)
		d->regions[i].fd = -1;
	pthread_mutex_init(&d->lock, NULL);
	pthread_mutex_init(&d->tx_lock, NULL);
	d->name = strdup(cfg->name ? cfg->name : cfg->path);
	d->path = strdup(cfg->path);
	ret = d->name && d->path ? 0 : -ENOMEM;
	/* these set up what dev_free() takes apart, so none is skipped */
	if (vfu_maps_init(d) | vfu_dma_init(d) | vfu_irq_init(d) | vfu_msi_init(d))
		ret = -ENOMEM;
	if (!ret)
		ret = copy_regions(d, cfg);
	if (!ret)
		ret = open_socket(d);
	if (ret) {
		dev_free(d);
		return ret;
	}

	*out = d;
	ev.data.ptr = d;
	pthread_mutex_lock(&s->lock);
	if (epoll_ctl(s->epoll, EPOLL_CTL_ADD, d->listen, &ev)) {
		ret = -errno;
	} else {
		d->next = s->devs;
		s->devs = d;
	}
	pthread_mutex_unlock(&s->lock);
	if (ret) {
		*out = NULL;
		unlink(d->path);
		dev_free(d);
	}
	return ret;
}

void snpu_vfu_dev_destroy(struct snpu_vfu_dev *d)
{
	struct snpu_vfu_server *s = d->srv;
	struct snpu_vfu_dev **pp;
	bool joinable;
	struct stat st;

	pthread_mutex_lock(&s->lock);
	for (pp = &s->devs; *pp && *pp != d; pp = &(*pp)->next)
		;
	if (*pp)
		*pp = d->next;
	epoll_ctl(s->epoll, EPOLL_CTL_DEL, d->listen, NULL);
	pthread_mutex_unlock(&s->lock);

	pthread_mutex_lock(&d->lock);
	d->stopping = true;
	joinable = d->joinable;
	if (d->sock >= 0)
		shutdown(d->sock, SHUT_RDWR);
	if (d->waiting >= 0)
		close(d->waiting);
	d->waiting = -1;
	pthread_mutex_unlock(&d->lock);
	if (joinable)
		pthread_join(d->thread, NULL);

	/* only if it is still ours: somebody may have moved it away and serve there now */
	if (!lstat(d->path, &st) && st.st_dev == d->sock_dev && st.st_ino == d->sock_ino)
		unlink(d->path);
	dev_free(d);
}

void snpu_vfu_dev_drop(struct snpu_vfu_dev *d)
{
	pthread_mutex_lock(&d->lock);
	if (d->sock >= 0)
		shutdown(d->sock, SHUT_RDWR);
	pthread_mutex_unlock(&d->lock);
}

bool snpu_vfu_dev_connected(struct snpu_vfu_dev *d)
{
	bool ret;

	pthread_mutex_lock(&d->lock);
	ret = d->connected;
	pthread_mutex_unlock(&d->lock);
	return ret;
}
