// SPDX-License-Identifier: GPL-2.0-only
/*
 * snpu interrupts: vector 0 for events, the others for completions, shared by the queues.
 */
#include <linux/interrupt.h>

#include "snpu_drv.h"
#include "snpu_trace.h"

static irqreturn_t snpu_irq_events(int irq, void *arg)
{
	struct snpu_device *sdev = arg;

	trace_snpu_irq(sdev, 0);
	snpu_events_handle(sdev);
	return IRQ_HANDLED;
}

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
		spin_unlock(&queue->lock);
	}
	spin_unlock(&sdev->queue_lock);
	snpu_fences_signal(&done, 0);
	return IRQ_HANDLED;
}

/**
 * snpu_irq_init() - allocate and request the vectors
 * @sdev: device
 *
 * One vector for events and at least one for completions are needed; with fewer than the device
 * has, more queues share one.
 *
 * Return: 0 or a negative errno.
 */
int snpu_irq_init(struct snpu_device *sdev)
{
	struct pci_dev *pdev = sdev->pdev;
	int i, ret;

	ret = pci_alloc_irq_vectors(pdev, 2, SNPU_MSIX_VECTORS, PCI_IRQ_MSIX);
	if (ret < 0) {
		drm_err(&sdev->drm, "no MSI-X vectors: %pe\n", ERR_PTR(ret));
		return ret;
	}
	sdev->nvec = ret;
	sdev->event_irq = pci_irq_vector(pdev, 0);
	ret = request_threaded_irq(sdev->event_irq, NULL, snpu_irq_events, IRQF_ONESHOT,
				   "snpu-events", sdev);
	if (ret)
		goto err_vectors;
	for (i = 1; i < sdev->nvec; i++) {
		struct snpu_vector *vec = &sdev->vec[i];

		vec->sdev = sdev;
		INIT_LIST_HEAD(&vec->queues);
		snprintf(vec->name, sizeof(vec->name), "snpu-queues-%d", i);
		ret = request_irq(pci_irq_vector(pdev, i), snpu_irq_completion, 0, vec->name, vec);
		if (ret)
			goto err_irqs;
	}
	return 0;

err_irqs:
	while (--i > 0)
		free_irq(pci_irq_vector(pdev, i), &sdev->vec[i]);
	free_irq(sdev->event_irq, sdev);
err_vectors:
	pci_free_irq_vectors(pdev);
	sdev->nvec = 0;
	drm_err(&sdev->drm, "cannot request interrupts: %pe\n", ERR_PTR(ret));
	return ret;
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
