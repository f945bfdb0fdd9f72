// SPDX-License-Identifier: MIT
/*
 * Copies from and to the client's memory; where it gave no descriptor, by messages to it. Threads
 * of the device wait for the replies, which the connection thread receives among the commands.
 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "vfu_priv.h"

int vfu_dma_init(struct snpu_vfu_dev *d)
{
	pthread_condattr_t attr;

	pthread_mutex_init(&d->dma_lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&d->dma_cond, &attr);
	pthread_condattr_destroy(&attr);
	d->dma_gate = 1;
	return 0;
}

void vfu_dma_fini(struct snpu_vfu_dev *d)
{
	pthread_cond_destroy(&d->dma_cond);
	pthread_mutex_destroy(&d->dma_lock);
}

void vfu_dma_begin(struct snpu_vfu_dev *d, uint64_t xfer)
{
	pthread_mutex_lock(&d->dma_lock);
	d->dma_gate = 0;
	d->dma_late = 0;
	d->dma_xfer = xfer < SNPU_VFU_MAX_XFER ? (uint32_t)xfer : SNPU_VFU_MAX_XFER;
	pthread_mutex_unlock(&d->dma_lock);
}

void vfu_dma_gate(struct snpu_vfu_dev *d, bool shut)
{
	struct vfu_dma_req *w;

	pthread_mutex_lock(&d->dma_lock);
	if (!shut) {
		d->dma_gate--;
	} else {
		d->dma_gate++;
		for (w = d->dma_list; w; w = w->next) {
			w->status = -EAGAIN;
			w->done = true;
			d->dma_late++;
		}
		d->dma_list = NULL;
		pthread_cond_broadcast(&d->dma_cond);
	}
	pthread_mutex_unlock(&d->dma_lock);
}

static struct vfu_dma_req *take(struct snpu_vfu_dev *d, uint16_t id)
{
	struct vfu_dma_req **pp, *w;

	for (pp = &d->dma_list; *pp; pp = &(*pp)->next) {
		if ((*pp)->id != id)
			continue;
		w = *pp;
		*pp = w->next;
		return w;
	}
	return NULL;
}

static int check_reply(const struct vfu_dma_req *w, const struct vfu_req *q)
{
	struct snpu_vfu_dma_rw a;

	if (q->hdr.cmd != w->cmd)
		return -EPROTO;
	if (q->hdr.flags & SNPU_VFU_F_ERROR)
		return q->hdr.error && q->hdr.error < 4096 ? -(int)q->hdr.error : -EIO;
	if (w->cmd == SNPU_VFU_CMD_DMA_WRITE && !q->len)
		return 0;	/* QEMU sends just the header */
	/* the count in the reply to a write has 4 bytes by the specification's table, and the rest
	 * is not always there
	 */
	if (w->cmd == SNPU_VFU_CMD_DMA_WRITE)
		return q->len >= 12 && q->len <= sizeof(a) && !memcmp(q->data, &w->iova, 8) &&
		       !memcmp(q->data + 8, &w->count, 4) ? 0 : -EPROTO;
	if (q->len < sizeof(a))
		return -EPROTO;
	memcpy(&a, q->data, sizeof(a));
	if (a.iova != w->iova || a.count != w->count || q->len - sizeof(a) != w->count)
		return -EPROTO;
	return 0;
}

int vfu_dma_reply(struct snpu_vfu_dev *d, const struct vfu_req *q)
{
	struct vfu_dma_req *w;
	int ret = 0;

	pthread_mutex_lock(&d->dma_lock);
	w = take(d, q->hdr.id);
	if (!w) {
		if (d->dma_late)
			d->dma_late--;
		else
			ret = VFU_CLOSE;
	} else {
		w->status = check_reply(w, q);
		/* under the lock: who waits may give up, and @buf with it */
		if (!w->status && w->cmd == SNPU_VFU_CMD_DMA_READ)
			memcpy(w->buf, q->data + sizeof(struct snpu_vfu_dma_rw), w->count);
		if (w->status == -EPROTO)
			ret = VFU_CLOSE;
		w->done = true;
		pthread_cond_broadcast(&d->dma_cond);
	}
	pthread_mutex_unlock(&d->dma_lock);
	return ret;
}

/* @dma_lock held */
static uint16_t new_id(struct snpu_vfu_dev *d)
{
	struct vfu_dma_req *w;
	uint16_t id;

	do {
		id = d->dma_id++ % VFU_MSI_ID;
		for (w = d->dma_list; w && w->id != id; w = w->next)
			;
	} while (w);
	return id;
}

static void deadline(struct timespec *ts, unsigned int ms)
{
	clock_gettime(CLOCK_MONOTONIC, ts);
	ts->tv_sec += ms / 1000;
	ts->tv_nsec += (long)(ms % 1000) * 1000000;
	if (ts->tv_nsec >= 1000000000) {
		ts->tv_nsec -= 1000000000;
		ts->tv_sec++;
	}
}

static int send_req(struct snpu_vfu_dev *d, const struct vfu_dma_req *w)
{
	const bool write = w->cmd == SNPU_VFU_CMD_DMA_WRITE;
	struct snpu_vfu_dma_rw a = { .iova = w->iova, .count = w->count };
	struct snpu_vfu_hdr h = {
		.id = w->id,
		.cmd = w->cmd,
		.size = (uint32_t)(sizeof(h) + sizeof(a)) + (write ? w->count : 0),
	};
	struct iovec iov[3] = {
		{ .iov_base = &h, .iov_len = sizeof(h) },
		{ .iov_base = &a, .iov_len = sizeof(a) },
		{ .iov_base = w->buf, .iov_len = w->count },
	};
	int ret = -ENOTCONN;

	pthread_mutex_lock(&d->tx_lock);
	if (d->tx_open)
		ret = snpu_vfu_send(d->sock, iov, write ? 3 : 2, NULL, 0,
				    d->srv->cfg.dma_timeout_ms);
	pthread_mutex_unlock(&d->tx_lock);
	vfu_msi_flush(d);
	if (ret && ret != -ENOTCONN) {
		/* part of it may be out: what follows would not be understood */
		vfu_log(d->srv, SNPU_VFU_LOG_WARN, "%s: client closed: it reads no messages: %s",
			d->name, strerror(-ret));
		snpu_vfu_dev_drop(d);
	}
	return ret;
}

static int message(struct snpu_vfu_dev *d, uint16_t cmd, uint64_t iova, void *buf, uint32_t len)
{
	struct vfu_dma_req w = { .iova = iova, .buf = buf, .count = len, .cmd = cmd };
	struct timespec end;
	int ret;

	pthread_mutex_lock(&d->dma_lock);
	if (d->dma_gate) {
		pthread_mutex_unlock(&d->dma_lock);
		return -EAGAIN;
	}
	w.id = new_id(d);
	w.next = d->dma_list;
	d->dma_list = &w;
	pthread_mutex_unlock(&d->dma_lock);

	ret = send_req(d, &w);

	deadline(&end, d->srv->cfg.dma_timeout_ms);
	pthread_mutex_lock(&d->dma_lock);
	while (!ret && !w.done)
		ret = -pthread_cond_timedwait(&d->dma_cond, &d->dma_lock, &end);
	if (w.done) {
		ret = w.status;
	} else {
		take(d, w.id);
		d->dma_late++;
	}
	pthread_mutex_unlock(&d->dma_lock);
	return ret;
}

/* @msg: memory that only messages reach; -EAGAIN: it is not any more, the caller looks again */
static int copy(struct snpu_vfu_dev *d, uint64_t iova, void *buf, size_t len, bool write, bool msg)
{
	uint8_t *b = buf;

	while (len) {
		void *host;
		uint64_t run;
		uint32_t xfer;
		size_t k;
		int ret;

		ret = snpu_vfu_dma_translate(d, iova, write, &host, &run);
		if (ret && ret != -EOPNOTSUPP)
			return ret;
		if (!ret && msg)
			return -EAGAIN;
		k = run < len ? (size_t)run : len;
		if (ret) {
			pthread_mutex_lock(&d->dma_lock);
			xfer = d->dma_xfer;
			pthread_mutex_unlock(&d->dma_lock);
			k = k < xfer ? k : xfer;
			ret = message(d, write ? SNPU_VFU_CMD_DMA_WRITE : SNPU_VFU_CMD_DMA_READ,
				      iova, b, (uint32_t)k);
			if (ret)
				return ret;
		} else if (write) {
			memcpy(host, b, k);
		} else {
			memcpy(b, host, k);
		}
		if (host && snpu_vfu_dma_lost(d, host, k))
			return -EFAULT;
		iova += k;
		b += k;
		len -= k;
	}
	return 0;
}

int snpu_vfu_dma_read(struct snpu_vfu_dev *d, uint64_t iova, void *buf, size_t len)
{
	return copy(d, iova, buf, len, false, false);
}

int snpu_vfu_dma_write(struct snpu_vfu_dev *d, uint64_t iova, const void *buf, size_t len)
{
	return copy(d, iova, (void *)buf, len, true, false);
}

int snpu_vfu_msg_read(struct snpu_vfu_dev *d, uint64_t iova, void *buf, size_t len)
{
	return copy(d, iova, buf, len, false, true);
}

int snpu_vfu_msg_write(struct snpu_vfu_dev *d, uint64_t iova, const void *buf, size_t len)
{
	return copy(d, iova, (void *)buf, len, true, true);
}

void snpu_vfu_msg_cancel(struct snpu_vfu_dev *d)
{
	vfu_dma_gate(d, true);
	vfu_dma_gate(d, false);
}
