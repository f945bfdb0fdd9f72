// SPDX-License-Identifier: MIT
/*
 * Interrupts of a client that gave no eventfds: MSI messages, which are writes to its memory.
 *
 * Threads of the device raise interrupts and must not wait for a client, so a message goes out only
 * if the socket is free and has room. Otherwise it stays due, and the thread that has the socket
 * sends it when it lets go. At most one message a vector is under way: the next one goes when the
 * client has replied to the last, so a client that does not answer holds no more than that.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "vfu_priv.h"

int vfu_msi_init(struct snpu_vfu_dev *d)
{
	pthread_mutex_init(&d->msi_lock, NULL);
	d->msi = calloc(d->nr_vectors + 1, sizeof(*d->msi));
	return d->msi ? 0 : -ENOMEM;
}

void vfu_msi_fini(struct snpu_vfu_dev *d)
{
	free(d->msi);
	pthread_mutex_destroy(&d->msi_lock);
}

void vfu_msi_clear(struct snpu_vfu_dev *d, bool gone)
{
	unsigned int i;

	pthread_mutex_lock(&d->msi_lock);
	for (i = 0; i < d->nr_vectors; i++) {
		d->msi[i].due = false;
		if (gone)
			d->msi[i].sent = false;
	}
	__atomic_store_n(&d->msi_due, false, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&d->msi_lock);
}

/* @tx_lock and @msi_lock held. Return: 0 or -errno; so small a message goes whole or not at all */
static int send_one(struct snpu_vfu_dev *d, unsigned int vector)
{
	const struct vfu_msi *m = &d->msi[vector];
	struct {
		struct snpu_vfu_hdr h;
		struct snpu_vfu_dma_rw a;
		uint32_t data;
	} __attribute__((packed)) msg = {
		.h = {
			.id = (uint16_t)(VFU_MSI_ID + vector),
			.cmd = SNPU_VFU_CMD_DMA_WRITE,
			.size = sizeof(msg),
		},
		.a = { .iova = m->addr, .count = sizeof(m->data) },
		.data = m->data,
	};

	return send(d->sock, &msg, sizeof(msg), MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/*
 * @tx_lock held. Return: false if the socket is full. Then it holds messages that the client will
 * answer, and the connection thread flushes after each message that comes in.
 */
static bool send_due(struct snpu_vfu_dev *d)
{
	bool full = false;
	unsigned int i;

	pthread_mutex_lock(&d->msi_lock);
	for (i = 0; i < d->nr_vectors && !full; i++) {
		struct vfu_msi *m = &d->msi[i];

		/* no client: the next one must not get it */
		m->due = m->due && d->tx_open;
		if (!m->due || m->sent)
			continue;
		full = send_one(d, i) == -EAGAIN;
		m->due = full;
		m->sent = !full;
	}
	__atomic_store_n(&d->msi_due, full, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&d->msi_lock);
	return !full;
}

void vfu_msi_flush(struct snpu_vfu_dev *d)
{
	bool more = true;

	while (more) {
		/*
		 * A thread sets msi_due, then tries the lock; the holder releases the lock, then
		 * reads msi_due. With a full barrier between in both, one of them sends.
		 */
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		if (!__atomic_load_n(&d->msi_due, __ATOMIC_RELAXED) ||
		    pthread_mutex_trylock(&d->tx_lock))
			return;
		more = send_due(d);
		pthread_mutex_unlock(&d->tx_lock);
	}
}

void snpu_vfu_msi_send(struct snpu_vfu_dev *d, unsigned int vector, uint64_t addr, uint32_t data)
{
	struct vfu_msi *m;

	if (vector >= d->nr_vectors)
		return;
	pthread_mutex_lock(&d->msi_lock);
	m = &d->msi[vector];
	m->addr = addr;
	m->data = data;
	m->due = true;
	if (!m->sent)
		__atomic_store_n(&d->msi_due, true, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&d->msi_lock);
	vfu_msi_flush(d);
}

int vfu_msi_reply(struct snpu_vfu_dev *d, const struct vfu_req *q)
{
	const unsigned int vector = q->hdr.id - VFU_MSI_ID;
	uint64_t addr = 0;
	bool known = false;

	pthread_mutex_lock(&d->msi_lock);
	if (vector < d->nr_vectors && d->msi[vector].sent && q->hdr.cmd == SNPU_VFU_CMD_DMA_WRITE) {
		known = true;
		addr = d->msi[vector].addr;
		d->msi[vector].sent = false;
		if (d->msi[vector].due)
			__atomic_store_n(&d->msi_due, true, __ATOMIC_RELAXED);
	}
	pthread_mutex_unlock(&d->msi_lock);
	if (!known)
		return VFU_CLOSE;
	if (q->hdr.flags & SNPU_VFU_F_ERROR)
		vfu_complain(d, "interrupt of vector %u: the client refuses the write to %#llx: %s",
			     vector, (unsigned long long)addr, strerror((int)q->hdr.error));
	vfu_msi_flush(d);
	return 0;
}
