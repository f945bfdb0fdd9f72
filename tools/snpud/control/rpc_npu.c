// SPDX-License-Identifier: MIT
/*
 * Methods about the machine and its NPUs.
 */
#include "control/rpc.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "log/packet_log.h"
#include "profiles/profile.h"
#include "snpu_hw.h"

#ifndef SNPU_VERSION
#define SNPU_VERSION "0"
#endif

static const char *const npu_params[] = { "npu", NULL };

int rpc_machine_info(struct rpc *r)
{
	struct snpu_machine *m = r->opts->machine;
	const struct snpu_profile *p = snpu_machine_profile(m);
	struct snpu_machine_memory mem;
	json_object *prof, *figs;
	size_t i, n;
	const struct snpu_profile_key *keys = snpu_profile_keys(&n);

	if (rpc_only(r, rpc_no_params, "no parameters"))
		return -1;
	rpc_add_str(r->result, "version", SNPU_VERSION);
	rpc_add_u64(r->result, "npus", snpu_machine_npus(m));
	rpc_add_u64(r->result, "workers", snpu_machine_workers(m));
	json_object_object_add(r->result, "sleeping",
			       json_object_new_boolean(snpu_machine_sleeping(m)));
	json_object_object_add(r->result, "packet_log",
			       json_object_new_boolean(r->opts->plog != NULL));
	rpc_add_u64(r->result, "packet_log_lost", r->opts->plog ? snpu_plog_lost(r->opts->plog) : 0);
	snpu_machine_get_memory(m, &mem);
	rpc_add_u64(r->result, "memory_limit", mem.limit);
	rpc_add_u64(r->result, "memory_hbm", mem.hbm);
	rpc_add_u64(r->result, "memory_scratch", mem.scratch);
	rpc_add_u64(r->result, "memory_refused", mem.refused);
	prof = json_object_new_object();
	rpc_add_str(prof, "name", p->name);
	rpc_add_str(prof, "title", p->title);
	rpc_add_str(prof, "file", p->file);
	figs = json_object_new_object();
	for (i = 0; i < n; i++) {
		const struct snpu_fig *f = (const struct snpu_fig *)
					   ((const char *)p + keys[i].offset);
		json_object *o;
		char name[80];

		if (f->tag == SNPU_FIG_ABSENT)
			continue;
		o = json_object_new_object();
		if (snpu_fig_word(&keys[i], f))
			rpc_add_str(o, "value", snpu_fig_word(&keys[i], f));
		else if (keys[i].integer)
			rpc_add_u64(o, "value", snpu_fig_u64(f));
		else
			json_object_object_add(o, "value", json_object_new_double(f->value));
		rpc_add_str(o, "unit", keys[i].unit);
		rpc_add_str(o, "tag", snpu_fig_tag_name(f->tag));
		rpc_add_str(o, "source", f->source);
		snprintf(name, sizeof(name), "%s.%s", keys[i].section, keys[i].key);
		json_object_object_add(figs, name, o);
	}
	json_object_object_add(prof, "figures", figs);
	json_object_object_add(r->result, "profile", prof);
	return 0;
}

static void put_info(json_object *o, struct snpu_npu *n)
{
	struct snpu_npu_info i;

	snpu_npu_get_info(n, &i);
	rpc_add_u64(o, "npu", i.index);
	rpc_add_u64(o, "node", i.node);
	rpc_add_u64(o, "host", i.host);
	rpc_add_u64(o, "slot", i.slot);
	rpc_add_str(o, "status", i.status & SNPU_STATUS_FATAL ? "fatal" :
		i.status & SNPU_STATUS_READY ? "ready" : "resetting");
	json_object_object_add(o, "attached", json_object_new_boolean(i.attached));
}

int rpc_npu_list(struct rpc *r)
{
	struct snpu_machine *m = r->opts->machine;
	json_object *list = json_object_new_array();
	unsigned int i;

	json_object_object_add(r->result, "npus", list);
	if (rpc_only(r, rpc_no_params, "no parameters"))
		return -1;
	for (i = 0; i < snpu_machine_npus(m); i++) {
		json_object *o = json_object_new_object();

		put_info(o, snpu_machine_npu(m, i));
		json_object_array_add(list, o);
	}
	return 0;
}

int rpc_npu_info(struct rpc *r)
{
	struct snpu_npu_info i;
	struct snpu_npu *n;
	char serial[24];

	if (rpc_only(r, npu_params, "npu"))
		return -1;
	n = rpc_get_npu(r);
	if (!n)
		return -1;
	snpu_npu_get_info(n, &i);
	put_info(r->result, n);
	snprintf(serial, sizeof(serial), "%016" PRIx64, i.serial);
	rpc_add_str(r->result, "serial", serial);
	rpc_add_u64(r->result, "hbm_bytes", i.hbm_bytes);
	rpc_add_u64(r->result, "queues", i.queues);
	rpc_add_u64(r->result, "contexts", i.contexts);
	rpc_add_u64(r->result, "segments", i.segs);
	rpc_add_u64(r->result, "imports", i.imports);
	return 0;
}

int rpc_npu_counters(struct rpc *r)
{
	struct snpu_npu_counters c;
	struct snpu_npu *n;

	if (rpc_only(r, npu_params, "npu"))
		return -1;
	n = rpc_get_npu(r);
	if (!n)
		return -1;
	snpu_npu_get_counters(n, &c);
	rpc_add_u64(r->result, "packets", c.packets);
	rpc_add_u64(r->result, "bytes_read", c.bytes_read);
	rpc_add_u64(r->result, "bytes_written", c.bytes_written);
	rpc_add_u64(r->result, "flops", c.flops);
	rpc_add_u64(r->result, "faults", c.faults);
	rpc_add_u64(r->result, "busy_ns", c.busy_ns);
	rpc_add_u64(r->result, "events", c.events);
	rpc_add_u64(r->result, "events_lost", c.events_lost);
	rpc_add_u64(r->result, "events_merged", c.events_merged);
	rpc_add_u64(r->result, "irqs", c.irqs);
	rpc_add_u64(r->result, "ras_ce", c.ras_ce);
	rpc_add_u64(r->result, "ras_ue", c.ras_ue);
	rpc_add_u64(r->result, "resets", c.resets);
	rpc_add_u64(r->result, "admin_cmds", c.admin_cmds);
	rpc_add_u64(r->result, "admin_errors", c.admin_errors);
	rpc_add_u64(r->result, "hbm_resident", c.hbm_resident);
	return 0;
}

int rpc_npu_queues(struct rpc *r)
{
	struct snpu_queue_info info[SNPU_MAX_QUEUES];
	json_object *list = json_object_new_array();
	struct snpu_npu *n;
	unsigned int i, k;

	json_object_object_add(r->result, "queues", list);
	if (rpc_only(r, npu_params, "npu"))
		return -1;
	n = rpc_get_npu(r);
	if (!n)
		return -1;
	k = snpu_npu_get_queues(n, info, SNPU_MAX_QUEUES);
	for (i = 0; i < k; i++) {
		json_object *o = json_object_new_object();

		rpc_add_u64(o, "queue", info[i].queue);
		rpc_add_u64(o, "ctx", info[i].ctx);
		rpc_add_u64(o, "prio", info[i].prio);
		rpc_add_u64(o, "vector", info[i].vector);
		rpc_add_u64(o, "ring_entries", info[i].ring_entries);
		rpc_add_str(o, "state", snpu_qstate_name(info[i].state));
		rpc_add_u64(o, "completed", info[i].completed);
		rpc_add_u64(o, "doorbell", info[i].doorbell);
		rpc_add_u64(o, "packets", info[i].packets);
		rpc_add_str(o, "error", snpu_err_name(info[i].error));
		if (info[i].error) {
			rpc_add_u64(o, "error_aux", info[i].error_aux);
			rpc_add_u64(o, "fault_index", info[i].fault_index);
			rpc_add_u64(o, "fault_va", info[i].fault_va);
		}
		json_object_array_add(list, o);
	}
	return 0;
}

static int inject_result(struct rpc *r, int ret, uint64_t queue)
{
	switch (ret) {
	case 0:
		return 0;
	case -ENOENT:
		return rpc_fail(r, SNPU_RPC_NOENT, "a queue that npu.queues lists",
			    "queue %" PRIu64 " does not exist", queue);
	case -ENOSPC:
		return rpc_fail(r, SNPU_RPC_LIMIT, "reset the table with ADM_SCRUB",
			    "too many poisoned pages");
	default:
		return rpc_fail(r, SNPU_RPC_INTERNAL, "", "%s", strerror(-ret));
	}
}

int rpc_npu_inject(struct rpc *r)
{
	static const char *const known[] = {
		"npu", "type", "offset", "queue", "code", "reason", NULL,
	};
	static const char types[] = "ecc_ce, ecc_ue, queue_fault, fatal, hang";
	uint64_t offset = 0, queue = 0, code = SNPU_ERR_INTERNAL, reason = 0;
	json_object *type = NULL;
	struct snpu_npu *n;
	const char *t;
	int ret;

	if (rpc_only(r, known, "npu, type, offset, queue, code, reason"))
		return -1;
	n = rpc_get_npu(r);
	if (!n)
		return -1;
	if (!json_object_object_get_ex(r->params, "type", &type) ||
	    !json_object_is_type(type, json_type_string))
		return rpc_fail(r, SNPU_RPC_PARAMS, types, "type: must be a string");
	t = json_object_get_string(type);
	if (!strcmp(t, "ecc_ce") || !strcmp(t, "ecc_ue")) {
		if (rpc_get_u64(r, "offset", snpu_npu_hbm_size(n) - 1, true, &offset) < 0)
			return -1;
		ret = t[4] == 'c' ? snpu_npu_inject_ce(n, offset) :
				    snpu_npu_inject_ue(n, offset);
		return inject_result(r, ret, 0);
	}
	if (!strcmp(t, "queue_fault")) {
		if (rpc_get_u64(r, "queue", SNPU_MAX_QUEUES - 1, true, &queue) < 0 ||
		    rpc_get_u64(r, "code", SNPU_ERR_MAX, false, &code) < 0)
			return -1;
		if (!code)
			return rpc_fail(r, SNPU_RPC_PARAMS, "1 .. 16", "code: 0");
		ret = snpu_npu_inject_fault(n, (unsigned int)queue, (unsigned int)code);
		return inject_result(r, ret, queue);
	}
	if (!strcmp(t, "hang")) {
		if (rpc_get_u64(r, "queue", SNPU_MAX_QUEUES - 1, true, &queue) < 0)
			return -1;
		return inject_result(r, snpu_npu_inject_hang(n, (unsigned int)queue), queue);
	}
	if (!strcmp(t, "fatal")) {
		if (rpc_get_u64(r, "reason", UINT32_MAX, false, &reason) < 0)
			return -1;
		snpu_npu_inject_fatal(n, (unsigned int)reason);
		return 0;
	}
	return rpc_fail(r, SNPU_RPC_PARAMS, types, "type: \"%.40s\"", t);
}

int rpc_npu_reset(struct rpc *r)
{
	struct snpu_npu *n;

	if (rpc_only(r, npu_params, "npu"))
		return -1;
	n = rpc_get_npu(r);
	if (!n)
		return -1;
	snpu_npu_reset(n);
	return 0;
}
