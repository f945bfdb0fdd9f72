// SPDX-License-Identifier: GPL-2.0-only
/*
 * snpu interrupts: vector 0 for events, the others for completions, shared by the queues. Where
 * there is just one it serves all.
 */
#include <linux/interrupt.h>

#include "snpu_drv.h"
#include "snpu_trace.h"

static irqreturn_t snpu_irq_completion(int irq, void *arg)
{
	struct snpu_vector *vec = arg;
	struct snpu_device *sdev = vec->sdev;
	struct snpu_queue *queue;
	LIST_HEAD(done);

	trace_snpu_irq(sdev, vec - sdev->vec);
	spin_lock(&sdev->queue_lock);
	list_for_each_entry(queue, &vec->queues, vec_link) {
		spin_lock(&queue->lock);
		snpu_queue_advance(queue, &done);
		WRITE_ONCE(queue->news, queue->news + 1);
		spin_unlock(&queue->lock);
	}
	spin_unlock(&sdev->queue_lock);
	snpu_fences_signal(&done, 0);
	snpu_vtime_wake(sdev);
	return IRQ_HANDLED;
}

/* Hard half of vector 0 */
static irqreturn_t snpu_irq_first(int irq, void *arg)
{
	struct snpu_device *sdev = arg;

	if (sdev->nvec == 1) {
		snpu_irq_completion(irq, &sdev->vec[0]);
		/*
		 * What is not consumed here raises the vector again, or the thread still runs and
		 * is woken for it: only it writes these two, after it has seen what they stand for.
		 */
		if (READ_ONCE(sdev->ring->prod) == READ_ONCE(sdev->ring_cons) &&
		    READ_ONCE(sdev->ring->lost) == READ_ONCE(sdev->ring_lost))
			return IRQ_HANDLED;
	}
	return IRQ_WAKE_THREAD;
}

static irqreturn_t snpu_irq_events(int irq, void *arg)
{
	struct snpu_device *sdev = arg;

	trace_snpu_irq(sdev, 0);
	snpu_events_handle(sdev);
	return IRQ_HANDLED;
}

static int snpu_irq_request(struct snpu_device *sdev)
{
	struct pci_dev *pdev = sdev->pdev;
	int i, ret;

	sdev->event_irq = pci_irq_vector(pdev, 0);
	ret = request_threaded_irq(sdev->event_irq, snpu_irq_first, snpu_irq_events, 0,
				   "snpu-events", sdev);
	if (ret)
		return ret;
	for (i = 1; i < sdev->nvec; i++) {
		struct snpu_vector *vec = &sdev->vec[i];

		snprintf(vec->name, sizeof(vec->name), "snpu-queues-%d", i);
		ret = request_irq(pci_irq_vector(pdev, i), snpu_irq_completion, 0, vec->name, vec);
		if (ret)
			goto err;
	}
	return 0;
err:
	while (--i > 0)
		free_irq(pci_irq_vector(pdev, i), &sdev->vec[i]);
	free_irq(sdev->event_irq, sdev);
	return ret;
}

/* More completion vectors than CPUs to take them spread nothing, and CPUs have about 200 each */
static int snpu_irq_wanted(void)
{
	unsigned int max = READ_ONCE(snpu_max_vectors);

	return max ?: min_t(unsigned int, num_online_cpus() + 1, SNPU_MSIX_VECTORS);
}

/**
 * snpu_irq_init() - allocate and request the vectors
 * @sdev: device
 *
 * With fewer than the device has, more queues share one; with one, the events do, too.
 *
 * Return: 0 or a negative errno.
 */
int snpu_irq_init(struct snpu_device *sdev)
{
	/* an older device has no completions on vector 0 */
	int least = (sdev->facts.version & 0xffff) < SNPU_ABI_VECTOR_0 ? 2 : 1;
	int i, ret, want = max(snpu_irq_wanted(), least);

	for (i = 0; i < SNPU_MSIX_VECTORS; i++) {
		sdev->vec[i].sdev = sdev;
		INIT_LIST_HEAD(&sdev->vec[i].queues);
	}
	for (;;) {
		ret = pci_alloc_irq_vectors(sdev->pdev, least, want, PCI_IRQ_MSIX);
		if (ret < 0) {
			drm_err(&sdev->drm, "no MSI-X vectors: %pe\n", ERR_PTR(ret));
			return ret;
		}
		sdev->nvec = ret;
		ret = snpu_irq_request(sdev);
		if (!ret)
			return 0;
		pci_free_irq_vectors(sdev->pdev);
		want = sdev->nvec / 2;
		sdev->nvec = 0;
		/* x86 promises more than it has, and finds out only when they are requested */
		if (ret != -ENOSPC || want < least)
			break;
	}
	drm_err(&sdev->drm, "cannot request interrupts: %pe\n", ERR_PTR(ret));
	return ret;
}

/**
 * snpu_irq_vector() - choose the vector for completions of a queue
 * @sdev: device
 * @queue: its number
 *
 * Return: the vector.
 */
u32 snpu_irq_vector(const struct snpu_device *sdev, u32 queue)
{
	return sdev->nvec > 1 ? 1 + queue % (sdev->nvec - 1) : 0;
}

/** snpu_irq_fini() - undo snpu_irq_init(); no handler runs afterwards */
void snpu_irq_fini(struct snpu_device *sdev)
{
	int i;

	for (i = 1; i < sdev->nvec; i++)
		free_irq(pci_irq_vector(sdev->pdev, i), &sdev->vec[i]);
	if (sdev->nvec)
		free_irq(sdev->event_irq, sdev);
	pci_free_irq_vectors(sdev->pdev);
	sdev->nvec = 0;
}
