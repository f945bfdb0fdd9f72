// SPDX-License-Identifier: MIT
/*
 * JSON-RPC: requests in, answers out.
 */
#include "control/rpc.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef SNPU_VERSION
#define SNPU_VERSION "0"
#endif

int rpc_fail(struct rpc *r, int code, const char *allowed, const char *fmt, ...)
{
	va_list ap;

	r->code = code;
	snprintf(r->allowed, sizeof(r->allowed), "%s", allowed);
	va_start(ap, fmt);
	vsnprintf(r->what, sizeof(r->what), fmt, ap);
	va_end(ap);
	return -1;
}

void rpc_add_u64(json_object *o, const char *key, uint64_t v)
{
	json_object_object_add(o, key, json_object_new_uint64(v));
}

void rpc_add_str(json_object *o, const char *key, const char *s)
{
	json_object_object_add(o, key, json_object_new_string(s));
}

/* ---- parameters ---- */

/* Refuses parameters that the method does not know */
int rpc_only(struct rpc *r, const char *const *known, const char *list)
{
	unsigned int i;

	if (!r->params)
		return 0;
	json_object_object_foreach(r->params, key, val) {
		(void)val;
		for (i = 0; known[i] && strcmp(known[i], key); i++)
			;
		if (!known[i])
			return rpc_fail(r, SNPU_RPC_PARAMS, list, "unknown parameter \"%.40s\"", key);
	}
	return 0;
}

/* 1: given, 0: not given, -1: wrong */
int rpc_get_u64(struct rpc *r, const char *key, uint64_t max, bool required, uint64_t *v)
{
	json_object *o = NULL;
	char allowed[64];
	int64_t s;

	snprintf(allowed, sizeof(allowed), "0 .. %" PRIu64, max);
	if (!r->params || !json_object_object_get_ex(r->params, key, &o)) {
		if (required)
			return rpc_fail(r, SNPU_RPC_PARAMS, allowed, "%s: missing", key);
		return 0;
	}
	if (!json_object_is_type(o, json_type_int))
		return rpc_fail(r, SNPU_RPC_PARAMS, allowed, "%s: must be a whole number", key);
	s = json_object_get_int64(o);
	*v = json_object_get_uint64(o);
	if (s < 0 || *v > max)
		return rpc_fail(r, SNPU_RPC_PARAMS, allowed, "%s: %.40s", key,
			    json_object_get_string(o));
	return 1;
}

struct snpu_npu *rpc_get_npu(struct rpc *r)
{
	struct snpu_machine *m = r->opts->machine;
	uint64_t i = 0;

	if (rpc_get_u64(r, "npu", snpu_machine_npus(m) - 1, true, &i) < 0)
		return NULL;
	return snpu_machine_npu(m, (unsigned int)i);
}

const char *const rpc_no_params[] = { NULL };

/* ---- methods ---- */

static int daemon_quit(struct rpc *r)
{
	if (rpc_only(r, rpc_no_params, "no parameters"))
		return -1;
	r->quit = true;
	return 0;
}

static int daemon_ping(struct rpc *r)
{
	if (rpc_only(r, rpc_no_params, "no parameters"))
		return -1;
	rpc_add_str(r->result, "version", SNPU_VERSION);
	return 0;
}

/* A slow one waits for something: it gets a thread of its own, see jobs.c */
static const struct {
	const char *name;
	rpc_method_fn run;
	bool slow;
} methods[] = {
	{ "machine.info", rpc_machine_info },
	{ "machine.top", rpc_machine_top },
	{ "npu.list", rpc_npu_list },
	{ "npu.info", rpc_npu_info },
	{ "npu.counters", rpc_npu_counters },
	{ "npu.queues", rpc_npu_queues, true },
	{ "npu.inject_error", rpc_npu_inject, true },
	{ "npu.reset", rpc_npu_reset, true },
	{ "fabric.show", rpc_fabric_show },
	{ "fabric.links", rpc_fabric_links },
	{ "fabric.switches", rpc_fabric_switches },
	{ "fabric.ports", rpc_fabric_ports },
	{ "fabric.routes", rpc_fabric_routes },
	{ "fabric.matrix", rpc_fabric_matrix },
	{ "fabric.fault", rpc_fabric_fault },
	{ "fabric.faults", rpc_fabric_faults },
	{ "fabric.clear", rpc_fabric_clear },
	{ "timing.summary", rpc_timing_summary, true },
	{ "timing.trace", rpc_timing_trace, true },
	{ "timing.reset", rpc_timing_reset, true },
	{ "timing.links", rpc_timing_links, true },
	{ "daemon.ping", daemon_ping },
	{ "daemon.quit", daemon_quit },
};

#define METHODS	(sizeof(methods) / sizeof(methods[0]))

static const char method_list[] =
	"machine.{info,top}, npu.{list,info,counters,queues,inject_error,reset}, "
	"fabric.{show,links,switches,ports,routes,matrix,fault,faults,clear}, "
	"timing.{summary,trace,reset,links}, daemon.{ping,quit}";

/* ---- messages ---- */

static const char *code_message(int code)
{
	switch (code) {
	case SNPU_RPC_PARSE:
		return "Parse error";
	case SNPU_RPC_REQUEST:
		return "Invalid Request";
	case SNPU_RPC_METHOD:
		return "Method not found";
	case SNPU_RPC_PARAMS:
		return "Invalid params";
	case SNPU_RPC_NOENT:
		return "Not found";
	case SNPU_RPC_LIMIT:
		return "Limit reached";
	case SNPU_RPC_STATE:
		return "Not now";
	case SNPU_RPC_UNSUPPORTED:
		return "Not supported";
	default:
		return "Internal error";
	}
}

static char *respond(struct rpc *r, json_object *id)
{
	json_object *o = json_object_new_object();
	const char *text;
	char *out = NULL;

	rpc_add_str(o, "jsonrpc", "2.0");
	json_object_object_add(o, "id", json_object_get(id));
	if (r->code) {
		json_object *e = json_object_new_object(), *d = json_object_new_object();

		json_object_object_add(e, "code", json_object_new_int(r->code));
		rpc_add_str(e, "message", code_message(r->code));
		rpc_add_str(d, "what", r->what);
		rpc_add_str(d, "allowed", r->allowed);
		json_object_object_add(e, "data", d);
		json_object_object_add(o, "error", e);
	} else {
		json_object_object_add(o, "result", json_object_get(r->result));
	}
	text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN);
	if (text && asprintf(&out, "%s\n", text) < 0)
		out = NULL;
	json_object_put(o);
	return out;
}

static json_object *parse(struct rpc *r, const char *msg, size_t len)
{
	struct json_tokener *tok = json_tokener_new_ex(16);
	json_object *req = NULL;

	if (!tok) {
		rpc_fail(r, SNPU_RPC_INTERNAL, "", "out of memory");
		return NULL;
	}
	json_tokener_set_flags(tok, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	if (memchr(msg, 0, len)) {
		rpc_fail(r, SNPU_RPC_PARSE, "JSON text", "NUL byte");
	} else {
		req = json_tokener_parse_ex(tok, msg, (int)len + 1);
		if (json_tokener_get_error(tok) != json_tokener_success) {
			rpc_fail(r, SNPU_RPC_PARSE, "one JSON object in a line", "byte %zu: %s",
			     json_tokener_get_parse_end(tok),
			     json_tokener_get_error(tok) == json_tokener_continue ?
			     "text ends early" :
			     json_tokener_error_desc(json_tokener_get_error(tok)));
			json_object_put(req);
			req = NULL;
		}
	}
	json_tokener_free(tok);
	return req;
}

static void call(struct rpc *r, json_object *req, json_object **id, bool *has_id,
		 struct snpu_rpc_io *io)
{
	json_object *ver = NULL, *method = NULL;
	size_t i;

	if (!json_object_is_type(req, json_type_object)) {
		rpc_fail(r, SNPU_RPC_REQUEST, "an object; batches are not served", "not an object");
		return;
	}
	*has_id = json_object_object_get_ex(req, "id", id);
	if (*has_id && *id && !json_object_is_type(*id, json_type_string) &&
	    !json_object_is_type(*id, json_type_int)) {
		*id = NULL;
		rpc_fail(r, SNPU_RPC_REQUEST, "string, whole number or null", "id: wrong type");
		return;
	}
	if (!json_object_object_get_ex(req, "jsonrpc", &ver) ||
	    !json_object_is_type(ver, json_type_string) ||
	    strcmp(json_object_get_string(ver), "2.0")) {
		rpc_fail(r, SNPU_RPC_REQUEST, "\"2.0\"", "jsonrpc: missing or another version");
		return;
	}
	if (!json_object_object_get_ex(req, "method", &method) ||
	    !json_object_is_type(method, json_type_string)) {
		rpc_fail(r, SNPU_RPC_REQUEST, method_list, "method: must be a string");
		return;
	}
	if (json_object_object_get_ex(req, "params", &r->params) &&
	    !json_object_is_type(r->params, json_type_object)) {
		rpc_fail(r, SNPU_RPC_PARAMS, "an object", "params: not an object");
		return;
	}
	for (i = 0; i < METHODS; i++)
		if (!strcmp(json_object_get_string(method), methods[i].name))
			break;
	if (i == METHODS)
		rpc_fail(r, SNPU_RPC_METHOD, method_list, "method: \"%.40s\"",
		     json_object_get_string(method));
	else if (methods[i].slow && !io->may_block)
		io->slow = true;
	else
		(void)methods[i].run(r);
}

char *snpu_rpc_handle(const struct snpu_control_opts *opts, const char *msg, size_t len,
		      struct snpu_rpc_io *io)
{
	struct rpc r = { .opts = opts, .fd = io->fd };
	json_object *req, *id = NULL;
	/* what cannot be read as a request gets an answer, too */
	bool has_id = true;
	char *out = NULL;

	io->quit = false;
	io->slow = false;
	r.result = json_object_new_object();
	req = parse(&r, msg, len);
	if (!r.code)
		call(&r, req, &id, &has_id, io);
	if (!io->slow && (has_id || r.code == SNPU_RPC_REQUEST))
		out = respond(&r, id);
	io->quit = r.quit && !r.code;
	json_object_put(r.result);
	json_object_put(req);
	return out;
}
