// SPDX-License-Identifier: MIT
/*
 * machine.top: all that changes, in one answer.
 */
#include "control/rpc.h"

#include <string.h>

#include "device/sync.h"
#include "fabric/fabric.h"
#include "snpu_hw.h"

static void add_npu(json_object *list, struct snpu_npu *n)
{
	struct snpu_queue_info q[SNPU_MAX_QUEUES];
	unsigned int i, k, running = 0, blocked = 0, faulted = 0;
	json_object *o = json_object_new_object();
	struct snpu_npu_counters c;
	struct snpu_npu_info info;

	snpu_npu_get_info(n, &info);
	snpu_npu_get_counters(n, &c);
	k = snpu_npu_get_queues(n, q, SNPU_MAX_QUEUES);
	for (i = 0; i < k; i++) {
		running += q[i].state == SNPU_QSTATE_RUN && q[i].doorbell != q[i].completed;
		blocked += q[i].state == SNPU_QSTATE_BLOCKED;
		faulted += q[i].state == SNPU_QSTATE_FAULT;
	}
	rpc_add_u64(o, "npu", info.index);
	rpc_add_u64(o, "node", info.node);
	rpc_add_u64(o, "host", info.host);
	rpc_add_str(o, "status", info.status & SNPU_STATUS_FATAL ? "fatal" :
		    info.status & SNPU_STATUS_READY ? "ready" : "resetting");
	rpc_add_u64(o, "packets", c.packets);
	rpc_add_u64(o, "bytes_read", c.bytes_read);
	rpc_add_u64(o, "bytes_written", c.bytes_written);
	rpc_add_u64(o, "flops", c.flops);
	rpc_add_u64(o, "busy_ns", c.busy_ns);
	rpc_add_u64(o, "faults", c.faults);
	rpc_add_u64(o, "queues", k);
	rpc_add_u64(o, "running", running);
	rpc_add_u64(o, "blocked", blocked);
	rpc_add_u64(o, "faulted", faulted);
	json_object_array_add(list, o);
}

int rpc_machine_top(struct rpc *r)
{
	struct snpu_machine *m = r->opts->machine;
	json_object *list = json_object_new_array();
	unsigned int i;

	json_object_object_add(r->result, "npus", list);
	/* planes, and the profile's name */
	if (rpc_fabric_show(r))
		return -1;
	rpc_add_u64(r->result, "time_ns", snpu_clock_ns());
	for (i = 0; i < snpu_machine_npus(m); i++)
		add_npu(list, snpu_machine_npu(m, i));
	return 0;
}
