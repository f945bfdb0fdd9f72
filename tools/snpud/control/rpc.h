/* SPDX-License-Identifier: MIT */
/*
 * Inside of the control socket's methods: rpc.c reads requests and writes answers, rpc_<topic>.c
 * has the methods.
 */
#ifndef SNPU_CONTROL_RPC_H
#define SNPU_CONTROL_RPC_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

#include "control/control.h"
#include "device/npu.h"

/**
 * struct rpc - one request
 * @opts: what is served
 * @params: object or NULL
 * @result: object that the method fills
 * @fd: descriptor that came with it, -1: none
 * @quit: end snpud afterwards
 * @code: SNPU_RPC_* when it failed, else 0
 * @what: what is wrong
 * @allowed: what would be right
 */
struct rpc {
	const struct snpu_control_opts *opts;
	json_object *params;
	json_object *result;
	int fd;
	bool quit;
	int code;
	char what[160];
	char allowed[320];
};

/* A method: 0, or what rpc_fail() returned */
typedef int (*rpc_method_fn)(struct rpc *r);

/** rpc_fail() - the request fails with a code and a message. Return: -1 */
__attribute__((format(printf, 4, 5)))
int rpc_fail(struct rpc *r, int code, const char *allowed, const char *fmt, ...);

/** rpc_only() - refuse parameters not in @known, a NULL-ended list that @list says in words */
int rpc_only(struct rpc *r, const char *const *known, const char *list);
extern const char *const rpc_no_params[];

/** rpc_get_u64() - a number up to @max. 1: given, 0: not given, -1: wrong */
int rpc_get_u64(struct rpc *r, const char *key, uint64_t max, bool required, uint64_t *v);
/** rpc_get_npu() - the NPU that parameter "npu" names, or NULL after rpc_fail() */
struct snpu_npu *rpc_get_npu(struct rpc *r);

void rpc_add_u64(json_object *o, const char *key, uint64_t v);
void rpc_add_str(json_object *o, const char *key, const char *s);

/* rpc_npu.c */
int rpc_machine_info(struct rpc *r);
int rpc_npu_list(struct rpc *r);
int rpc_npu_info(struct rpc *r);
int rpc_npu_counters(struct rpc *r);
int rpc_npu_queues(struct rpc *r);
int rpc_npu_inject(struct rpc *r);
int rpc_npu_reset(struct rpc *r);

/* rpc_fabric.c */
int rpc_fabric_show(struct rpc *r);
int rpc_fabric_links(struct rpc *r);
int rpc_fabric_switches(struct rpc *r);
int rpc_fabric_ports(struct rpc *r);
int rpc_fabric_routes(struct rpc *r);
int rpc_fabric_matrix(struct rpc *r);

/* rpc_fault.c */
int rpc_fabric_fault(struct rpc *r);
int rpc_fabric_faults(struct rpc *r);
int rpc_fabric_clear(struct rpc *r);
/** rpc_port_name() - "up", "degraded", "flapping", "down" */
const char *rpc_port_name(uint32_t state);

/* rpc_timing.c */
int rpc_timing_summary(struct rpc *r);
int rpc_timing_trace(struct rpc *r);
int rpc_timing_reset(struct rpc *r);
int rpc_timing_links(struct rpc *r);

/* rpc_top.c */
int rpc_machine_top(struct rpc *r);

#endif
