// SPDX-License-Identifier: MIT
/*
 * One client: its thread, the messages, the end.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vfu_priv.h"

/* Callbacks of the device run on it; only what is touched costs memory */
#define STACK_BYTES	(512u << 10)

/* A buffer beyond it is given back once the message is done */
#define BUF_KEEP	(64u << 10)

uint8_t *vfu_buf_get(struct vfu_buf *b, size_t size)
{
	uint8_t *p;

	if (size <= b->size)
		return b->p;
	if (size < 4096)
		size = 4096;
	p = malloc(size);
	if (!p)
		return NULL;
	free(b->p);
	b->p = p;
	b->size = size;
	return p;
}

static void buf_trim(struct vfu_buf *b)
{
	if (b->size <= BUF_KEEP)
		return;
	free(b->p);
	b->p = NULL;
	b->size = 0;
}

void vfu_complain(struct snpu_vfu_dev *d, const char *fmt, ...)
{
	char line[256];
	va_list ap;

	if (d->complaints > VFU_LOG_LIMIT)
		return;
	if (d->complaints++ == VFU_LOG_LIMIT) {
		vfu_log(d->srv, SNPU_VFU_LOG_WARN,
			"%s: further errors of this client are not logged", d->name);
		return;
	}
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	vfu_log(d->srv, SNPU_VFU_LOG_WARN, "%s: %s", d->name, line);
}

/* Return: 0 or VFU_CLOSE */
static int closing(struct snpu_vfu_dev *d, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static int closing(struct snpu_vfu_dev *d, const char *fmt, ...)
{
	char line[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	vfu_log(d->srv, SNPU_VFU_LOG_WARN, "%s: client closed: %s", d->name, line);
	return VFU_CLOSE;
}

static int send_reply(struct snpu_vfu_dev *d, const struct snpu_vfu_hdr *cmd, int err,
		      const struct vfu_reply *r)
{
	struct snpu_vfu_hdr h = {
		.id = cmd->id,
		.cmd = cmd->cmd,
		.size = sizeof(h),
		.flags = SNPU_VFU_F_REPLY,
	};
	struct iovec iov[3] = { { .iov_base = &h, .iov_len = sizeof(h) } };
	unsigned int i, n = 1;
	int ret;

	if (err) {
		h.flags |= SNPU_VFU_F_ERROR;
		h.error = (uint32_t)-err;
	} else {
		for (i = 0; i < r->n; i++) {
			iov[n++] = r->iov[i];
			h.size += (uint32_t)r->iov[i].iov_len;
		}
	}
	pthread_mutex_lock(&d->tx_lock);
	ret = snpu_vfu_send(d->sock, iov, n, &r->fd, !err && r->fd >= 0,
			    d->srv->cfg.dma_timeout_ms);
	pthread_mutex_unlock(&d->tx_lock);
	if (ret == -ETIMEDOUT)
		return closing(d, "it reads no replies for %u ms", d->srv->cfg.dma_timeout_ms);
	/* it is gone, which reading will tell too */
	return ret ? VFU_CLOSE : 0;
}

static int check_hdr(struct snpu_vfu_dev *d, const struct snpu_vfu_hdr *h)
{
	unsigned int type = h->flags & SNPU_VFU_F_TYPE;

	if (h->size < sizeof(*h) || h->size > SNPU_VFU_MAX_MSG)
		return closing(d, "message %u (%s): size %u, allowed %zu..%u", h->id,
			       vfu_cmd_name(h->cmd), h->size, sizeof(*h), SNPU_VFU_MAX_MSG);
	if ((h->flags & ~SNPU_VFU_F_ALL) || type > SNPU_VFU_F_REPLY)
		return closing(d, "message %u (%s): flags %#x, allowed bits 0x31 and type 0..1",
			       h->id, vfu_cmd_name(h->cmd), h->flags);
	if (type == SNPU_VFU_F_COMMAND && (h->flags & SNPU_VFU_F_ERROR))
		return closing(d, "message %u (%s): flags %#x: a command cannot be an error",
			       h->id, vfu_cmd_name(h->cmd), h->flags);
	if (!d->versioned &&
	    (h->cmd != SNPU_VFU_CMD_VERSION || h->flags != SNPU_VFU_F_COMMAND))
		return closing(d, "message %u (%s, flags %#x) comes before VERSION", h->id,
			       vfu_cmd_name(h->cmd), h->flags);
	return 0;
}

static int one_message(struct snpu_vfu_dev *d)
{
	struct vfu_reply r = { .fd = -1 };
	struct snpu_vfu_limit lim = {
		.end = d->versioned ? 0 : d->version_end,
		.ms = d->srv->cfg.message_timeout_ms,
	};
	struct vfu_req q;
	uint8_t *data;
	int ret;

	ret = snpu_vfu_recv_hdr(d->sock, &q.hdr, &q.fds, &lim);
	if (!ret || ret == -ECONNRESET)
		return VFU_CLOSE;
	if (ret < 0) {
		if (ret == -ETIMEDOUT && !d->versioned)
			return closing(d, "no VERSION within %u ms", lim.ms);
		if (ret == -ETIMEDOUT)
			return closing(d, "a message is not complete after %u ms", lim.ms);
		return closing(d, "receiving a header: %s", strerror(-ret));
	}
	ret = check_hdr(d, &q.hdr);
	if (ret)
		goto out;
	q.len = q.hdr.size - sizeof(q.hdr);
	data = vfu_buf_get(&d->rx, q.len);
	if (q.len && !data) {
		ret = closing(d, "no memory for a message of %u bytes", q.hdr.size);
		goto out;
	}
	q.data = data;
	ret = snpu_vfu_recv_all(d->sock, data, q.len, &lim);
	if (ret) {
		ret = closing(d, "message %u (%s): the last of its %u bytes do not come: %s",
			      q.hdr.id, vfu_cmd_name(q.hdr.cmd), q.hdr.size, strerror(-ret));
		goto out;
	}

	if ((q.hdr.flags & SNPU_VFU_F_TYPE) == SNPU_VFU_F_REPLY) {
		ret = q.hdr.id >= VFU_MSI_ID ? vfu_msi_reply(d, &q) : vfu_dma_reply(d, &q);
		if (ret)
			closing(d, "reply %u (%s) is to nothing that was asked", q.hdr.id,
				vfu_cmd_name(q.hdr.cmd));
		goto out;
	}

	if (q.fds.err) {
		ret = q.fds.err;
		vfu_complain(d, "message %u (%s): %s", q.hdr.id, vfu_cmd_name(q.hdr.cmd),
			     ret == -E2BIG ? "more than 8 file descriptors" :
			     "no file descriptors left here");
	} else {
		ret = vfu_cmd_run(d, &q, &r);
	}
	/* gone by the time the client hears of it */
	snpu_vfu_fds_close(&q.fds);
	if (ret != VFU_CLOSE && !(q.hdr.flags & SNPU_VFU_F_NO_REPLY))
		ret = send_reply(d, &q.hdr, ret, &r);
	if (ret < 0)
		ret = 0;
out:
	vfu_msi_flush(d);
	snpu_vfu_fds_close(&q.fds);
	buf_trim(&d->rx);
	buf_trim(&d->out);
	return ret;
}

static void quiesce_all(struct snpu_vfu_dev *d)
{
	bool was;

	pthread_mutex_lock(&d->lock);
	was = d->connected;
	d->connected = false;
	pthread_mutex_unlock(&d->lock);
	if (was && d->ops->disconnect)
		d->ops->disconnect(d->priv);
}

static void serve(struct snpu_vfu_dev *d)
{
	d->versioned = false;
	d->complaints = 0;
	vfu_lost_reset(&d->lost);
	vfu_log(d->srv, SNPU_VFU_LOG_DEBUG, "%s: client connected", d->name);

	pthread_mutex_lock(&d->tx_lock);
	d->tx_open = true;
	pthread_mutex_unlock(&d->tx_lock);

	/* a client that says nothing, or a byte now and then, must not keep others out for ever */
	d->version_end = snpu_vfu_now_ms() + d->srv->cfg.message_timeout_ms;
	while (!one_message(d))
		;

	pthread_mutex_lock(&d->lock);
	d->closing = true;
	shutdown(d->sock, SHUT_RDWR);
	pthread_mutex_unlock(&d->lock);

	/* who sends now has failed already, because of the shutdown */
	pthread_mutex_lock(&d->tx_lock);
	d->tx_open = false;
	pthread_mutex_unlock(&d->tx_lock);
	vfu_dma_gate(d, true);
	vfu_maps_drop(d, quiesce_all);
	vfu_irq_clear(d, true);
	vfu_msi_clear(d, true);
	vfu_log(d->srv, SNPU_VFU_LOG_DEBUG, "%s: client gone", d->name);
}

static void *conn_main(void *arg)
{
	struct snpu_vfu_dev *d = arg;
	bool more;

	do {
		serve(d);
		pthread_mutex_lock(&d->lock);
		close(d->sock);
		d->sock = d->waiting;
		d->waiting = -1;
		d->closing = false;
		more = d->sock >= 0;
		if (more && d->stopping)
			shutdown(d->sock, SHUT_RDWR);
		pthread_mutex_unlock(&d->lock);
	} while (more);
	return NULL;
}

int vfu_conn_start(struct snpu_vfu_dev *d)
{
	pthread_attr_t attr;
	int ret;

	ret = pthread_attr_init(&attr);
	if (ret)
		return -ret;
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	ret = pthread_create(&d->thread, &attr, conn_main, d);
	pthread_attr_destroy(&attr);
	if (!ret)
		d->joinable = true;
	return -ret;
}
