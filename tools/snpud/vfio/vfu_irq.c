// SPDX-License-Identifier: MIT
/*
 * Interrupts: MSI-X vectors and the request interrupt, each an eventfd of the client.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vfu_priv.h"

int vfu_irq_init(struct snpu_vfu_dev *d)
{
	unsigned int i, n = d->nr_vectors + 1;

	pthread_mutex_init(&d->irq_lock, NULL);
	d->irq_fd = malloc(n * sizeof(*d->irq_fd));
	d->irq_pending = calloc(n, sizeof(*d->irq_pending));
	if (!d->irq_fd)
		return -ENOMEM;
	for (i = 0; i < n; i++)
		d->irq_fd[i] = -1;
	return d->irq_pending ? 0 : -ENOMEM;
}

static void set_fd(struct snpu_vfu_dev *d, unsigned int i, int fd)
{
	if (d->irq_fd[i] >= 0)
		close(d->irq_fd[i]);
	d->irq_fd[i] = fd;
}

void vfu_irq_fini(struct snpu_vfu_dev *d)
{
	unsigned int i;

	for (i = 0; d->irq_fd && i <= d->nr_vectors; i++)
		set_fd(d, i, -1);
	free(d->irq_fd);
	free(d->irq_pending);
	pthread_mutex_destroy(&d->irq_lock);
}

void vfu_irq_clear(struct snpu_vfu_dev *d, bool fds)
{
	unsigned int i;

	pthread_mutex_lock(&d->irq_lock);
	for (i = 0; i <= d->nr_vectors; i++) {
		if (fds)
			set_fd(d, i, -1);
		d->irq_pending[i] = false;
	}
	pthread_mutex_unlock(&d->irq_lock);
}

/* @irq_lock held. Return: 0, 1 if it stays pending */
static int signal_one(struct snpu_vfu_dev *d, unsigned int i)
{
	uint64_t one = 1;

	d->irq_pending[i] = d->irq_fd[i] < 0;
	if (d->irq_pending[i])
		return 1;
	/* EAGAIN: the counter is full, so whoever reads it is told already */
	if (write(d->irq_fd[i], &one, sizeof(one)) < 0 && errno != EAGAIN)
		vfu_log(d->srv, SNPU_VFU_LOG_ERR, "%s: vector %u: write to its eventfd: %s",
			d->name, i, strerror(errno));
	return 0;
}

static int trigger(struct snpu_vfu_dev *d, unsigned int i)
{
	int ret;

	pthread_mutex_lock(&d->irq_lock);
	ret = signal_one(d, i);
	pthread_mutex_unlock(&d->irq_lock);
	return ret;
}

int snpu_vfu_irq_trigger(struct snpu_vfu_dev *d, unsigned int vector)
{
	return vector < d->nr_vectors ? trigger(d, vector) : -EINVAL;
}

int snpu_vfu_req_trigger(struct snpu_vfu_dev *d)
{
	return d->req_irq ? trigger(d, d->nr_vectors) : -EINVAL;
}

static unsigned int irq_count(const struct snpu_vfu_dev *d, unsigned int index)
{
	switch (index) {
	case VFIO_PCI_MSIX_IRQ_INDEX:
		return d->nr_vectors;
	case VFIO_PCI_REQ_IRQ_INDEX:
		return d->req_irq;
	}
	return 0;
}

int vfu_cmd_irq_info(struct snpu_vfu_dev *d, struct vfu_req *q, struct vfu_reply *r)
{
	struct snpu_vfu_irq_info in, *out;

	memcpy(&in, q->data, sizeof(in));
	if (in.argsz < sizeof(in) || in.index >= SNPU_VFU_IRQS) {
		vfu_complain(d, "GET_IRQ_INFO: argsz %u, allowed from %zu; index %u, allowed 0..%d",
			     in.argsz, sizeof(in), in.index, SNPU_VFU_IRQS - 1);
		return -EINVAL;
	}
	/* there is none, as the kernel says it: to a count of 0 QEMU objects with a warning */
	if (in.index == VFIO_PCI_ERR_IRQ_INDEX)
		return -EINVAL;
	out = (struct snpu_vfu_irq_info *)vfu_buf_get(&d->out, sizeof(*out));
	if (!out)
		return -ENOMEM;
	*out = (struct snpu_vfu_irq_info){
		.argsz = sizeof(*out),
		.index = in.index,
		.count = irq_count(d, in.index),
	};
	/* no VFIO_IRQ_INFO_NORESIZE: vectors come and go one by one */
	if (out->count)
		out->flags = VFIO_IRQ_INFO_EVENTFD;
	r->iov[0] = (struct iovec){ .iov_base = out, .iov_len = sizeof(*out) };
	r->n = 1;
	return 0;
}

/*
 * A descriptor of another kind could make a write block, or do something else altogether. The flag
 * is one of the open file, so the client's own descriptor does not block from then on either.
 */
static int check_eventfd(struct snpu_vfu_dev *d, int fd)
{
	char link[32], what[64];
	ssize_t k;
	int fl;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	k = readlink(link, what, sizeof(what) - 1);
	what[k > 0 ? k : 0] = 0;
	if (strcmp(what, "anon_inode:[eventfd]")) {
		vfu_complain(d, "SET_IRQS: the descriptor is %s, allowed is an eventfd", what);
		return -EINVAL;
	}
	fl = fcntl(fd, F_GETFL);
	if (fl < 0 || (!(fl & O_NONBLOCK) && fcntl(fd, F_SETFL, fl | O_NONBLOCK)))
		return -errno;
	return 0;
}

static int check_set(struct snpu_vfu_dev *d, const struct vfu_req *q,
		     const struct snpu_vfu_irq_set *s)
{
	const uint32_t data = s->flags & VFIO_IRQ_SET_DATA_TYPE_MASK;
	const uint32_t act = s->flags & VFIO_IRQ_SET_ACTION_TYPE_MASK;
	const size_t extra = q->len - sizeof(*s);
	unsigned int have;

	if (s->index >= SNPU_VFU_IRQS) {
		vfu_complain(d, "SET_IRQS: index %u, allowed 0..%d", s->index, SNPU_VFU_IRQS - 1);
		return -EINVAL;
	}
	if ((s->flags & ~(VFIO_IRQ_SET_DATA_TYPE_MASK | VFIO_IRQ_SET_ACTION_TYPE_MASK)) ||
	    __builtin_popcount(data) != 1 || __builtin_popcount(act) != 1) {
		vfu_complain(d, "SET_IRQS: flags %#x, allowed one of 0x7 and one of 0x38",
			     s->flags);
		return -EINVAL;
	}
	have = irq_count(d, s->index);
	if ((uint64_t)s->start + s->count > have) {
		vfu_complain(d, "SET_IRQS: index %u, %u from %u on; it has %u", s->index, s->count,
			     s->start, have);
		return -EINVAL;
	}
	if (!s->count && (data != VFIO_IRQ_SET_DATA_NONE || act != VFIO_IRQ_SET_ACTION_TRIGGER ||
			  s->start)) {
		vfu_complain(d, "SET_IRQS: count 0 is for disabling all, by flags 0x21, start 0");
		return -EINVAL;
	}
	/* clients differ in whether descriptors count as data */
	if (s->argsz < sizeof(*s) || s->argsz > sizeof(*s) + 4ull * s->count ||
	    (data == VFIO_IRQ_SET_DATA_NONE && extra) ||
	    (data == VFIO_IRQ_SET_DATA_BOOL && extra != s->count) ||
	    (data == VFIO_IRQ_SET_DATA_EVENTFD && extra > 4ull * s->count)) {
		vfu_complain(d,
			     "SET_IRQS: argsz %u, %zu bytes of data: not for flags %#x, count %u",
			     s->argsz, extra, s->flags, s->count);
		return -EINVAL;
	}
	if (q->fds.n && (data != VFIO_IRQ_SET_DATA_EVENTFD || q->fds.n != s->count)) {
		vfu_complain(d, "SET_IRQS: %u file descriptors, flags %#x, count %u", q->fds.n,
			     s->flags, s->count);
		return -EINVAL;
	}
	if (act != VFIO_IRQ_SET_ACTION_TRIGGER)
		return -ENOTSUP;	/* as GET_IRQ_INFO says: not maskable */
	return 0;
}

int vfu_cmd_set_irqs(struct snpu_vfu_dev *d, struct vfu_req *q, struct vfu_reply *r)
{
	const uint8_t *bools = q->data + sizeof(struct snpu_vfu_irq_set);
	struct snpu_vfu_irq_set s;
	unsigned int i, base;
	int ret;

	(void)r;
	memcpy(&s, q->data, sizeof(s));
	ret = check_set(d, q, &s);
	for (i = 0; !ret && i < q->fds.n; i++)
		ret = check_eventfd(d, q->fds.fd[i]);
	if (ret)
		return ret;

	base = s.index == VFIO_PCI_REQ_IRQ_INDEX ? d->nr_vectors : 0;
	pthread_mutex_lock(&d->irq_lock);
	if (!s.count) {
		for (i = 0; i < irq_count(d, s.index); i++) {
			set_fd(d, base + i, -1);
			d->irq_pending[base + i] = false;
		}
	}
	for (i = 0; i < s.count; i++) {
		unsigned int at = base + s.start + i;

		if (!(s.flags & VFIO_IRQ_SET_DATA_EVENTFD)) {
			if ((s.flags & VFIO_IRQ_SET_DATA_NONE) || bools[i])
				signal_one(d, at);
			continue;
		}
		set_fd(d, at, q->fds.n ? q->fds.fd[i] : -1);
		if (!q->fds.n)
			continue;
		q->fds.fd[i] = -1;
		if (d->irq_pending[at])
			signal_one(d, at);
	}
	pthread_mutex_unlock(&d->irq_lock);
	return 0;
}
