// SPDX-License-Identifier: GPL-2.0-only
/*
 * snpu ports: links of the NPU to the planes of the fabric, and what is heard of them.
 */
#include "snpu_drv.h"

/* More than any NPU has; the registers that say how many are not trusted */
#define SNPU_MAX_PORTS	1024

static const char * const snpu_port_states[] = {
	[SNPU_PORT_UP] = "up",
	[SNPU_PORT_DEGRADED] = "degraded",
	[SNPU_PORT_FLAPPING] = "flapping",
	[SNPU_PORT_DOWN] = "down",
};

/*
 * One event for any number of changes, which are in the port query: a flapping link must not keep
 * udev busy. In a worker, since the thread that takes the device's events must not wait for memory.
 */
static void snpu_port_work(struct work_struct *work)
{
	struct snpu_device *sdev = container_of(work, struct snpu_device, port_work);
	char *env[2] = { "FABRIC=changed" };
	int idx;

	if (!drm_dev_enter(&sdev->drm, &idx))
		return;
	if (sdev->drm.registered)
		kobject_uevent_env(&sdev->drm.accel->kdev->kobj, KOBJ_CHANGE, env);
	drm_dev_exit(idx);
}

/** snpu_ports_init() - prepare a new device */
void snpu_ports_init(struct snpu_device *sdev)
{
	INIT_WORK(&sdev->port_work, snpu_port_work);
}

/**
 * snpu_port_event() - a port has changed
 * @sdev: device
 * @ev: event of type SNPU_EVT_FABRIC
 *
 * Context: the thread of vector 0.
 */
void snpu_port_event(struct snpu_device *sdev, const struct snpu_event_entry *ev)
{
	u64 state = ev->data & 0xff, die = ev->data >> 8;

	if (ev->code >= sdev->facts.planes || die >= max(sdev->facts.dies, 1u) ||
	    state >= ARRAY_SIZE(snpu_port_states)) {
		atomic64_inc(&sdev->events_bad);
		drm_err_ratelimited(&sdev->drm, "event of plane %u, data %#llx ignored\n", ev->code,
				    ev->data);
		return;
	}
	atomic64_inc(&sdev->port_events);
	dev_info_ratelimited(sdev->drm.dev, "fabric port of die %llu on plane %u is %s\n", die,
			     ev->code, snpu_port_states[state]);
	schedule_work(&sdev->port_work);
}

static int snpu_port_ask(struct snpu_device *sdev, u32 die, u32 plane, struct drm_snpu_port *port)
{
	struct snpu_admin_mbox cmd = {
		.op = SNPU_ADM_FABRIC_PORT, .port = { .plane = plane, .die = die },
	};
	u64 answer[7];
	int ret;

	ret = snpu_admin_exec(sdev, &cmd, answer);
	if (ret)
		return ret;
	if (answer[0] >= ARRAY_SIZE(snpu_port_states))
		return -EIO;
	port->die = die;
	port->plane = plane;
	port->state = answer[0];
	port->tx_bytes = answer[1];
	port->rx_bytes = answer[2];
	port->dropped = answer[3];
	port->rate = answer[4];
	port->tx_busy_ns = answer[5];
	port->rx_busy_ns = answer[6];
	return 0;
}

/**
 * snpu_query_ports() - DRM_SNPU_QUERY_PORTS
 * @sdev: device
 * @args: query
 *
 * Return: 0; -EFAULT, -ENOMEM, -EOPNOTSUPP (the device keeps no ports), -EIO, -ENODEV.
 */
int snpu_query_ports(struct snpu_device *sdev, struct drm_snpu_dev_query *args)
{
	u32 dies = max(sdev->facts.dies, 1u), planes = sdev->facts.planes;
	struct drm_snpu_port *ports = NULL;
	u32 i, n, asked;
	int ret = 0;

	if (check_mul_overflow(dies, planes, &n) || n > SNPU_MAX_PORTS) {
		drm_err_ratelimited(&sdev->drm, "%u dies with %u planes: at most %u ports\n", dies,
				    planes, SNPU_MAX_PORTS);
		return -EIO;
	}
	/* each costs a command: only those that there is room for */
	asked = args->pointer ? min_t(u32, n, DIV_ROUND_UP(args->size, sizeof(*ports))) : 0;
	if (n) {
		ports = kvzalloc_objs(*ports, n);
		if (!ports)
			return -ENOMEM;
	}
	for (i = 0; i < asked && !ret; i++)
		ret = snpu_port_ask(sdev, i / planes, i % planes, &ports[i]);
	ret = ret ?: snpu_query_give(args, ports, n * sizeof(*ports));
	kvfree(ports);
	return ret;
}
