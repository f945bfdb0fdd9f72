// SPDX-License-Identifier: MIT
/*
 * Access to the memory of the host an NPU is attached to. Callers are workers in a section, or hold
 * bus_lock: either keeps the mapping alive. None of this waits for the host: memory that only
 * messages reach is for aside.c; for the mailbox and the event ring it is as if nothing answered.
 */
#include <errno.h>
#include <string.h>

#include "npu_priv.h"

int snpu_bus_translate(struct snpu_npu *n, uint64_t iova, bool write, uint8_t **host,
		       uint64_t *run)
{
	const struct snpu_bus *bus = snpu_load_acq(&n->bus);
	void *p = NULL;
	int ret;

	*host = NULL;
	*run = 0;
	if (!bus)
		return -EFAULT;
	ret = bus->ops->translate(bus->priv, iova, write, &p, run);
	*host = p;
	return ret;
}

bool snpu_bus_lost(struct snpu_npu *n, const void *host, uint64_t len)
{
	const struct snpu_bus *bus = snpu_load_acq(&n->bus);

	return bus && bus->ops->lost && bus->ops->lost(bus->priv, host, len);
}

static int bus_copy(struct snpu_npu *n, uint64_t iova, void *buf, size_t len, bool write)
{
	uint8_t *b = buf;

	while (len) {
		uint64_t run;
		uint8_t *p;
		size_t k;
		int ret;

		ret = snpu_bus_translate(n, iova, write, &p, &run);
		if (ret)
			return ret;
		k = (size_t)snpu_min64(run, len);
		if (!k)
			return -EFAULT;
		if (write)
			memcpy(p, b, k);
		else
			memcpy(b, p, k);
		if (snpu_bus_lost(n, p, k))
			return -EFAULT;
		iova += k;
		b += k;
		len -= k;
	}
	return 0;
}

int snpu_bus_read(struct snpu_npu *n, uint64_t iova, void *buf, size_t len)
{
	return bus_copy(n, iova, buf, len, false);
}

int snpu_bus_write(struct snpu_npu *n, uint64_t iova, const void *buf, size_t len)
{
	return bus_copy(n, iova, (void *)buf, len, true);
}
