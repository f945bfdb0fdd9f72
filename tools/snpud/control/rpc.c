// SPDX-License-Identifier: MIT
/*
 * The methods of the control socket. What is wrong with a request is said in error.data:
 * {"what": ..., "allowed": ...}.
 */
#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control.h"
#include "device/npu.h"
#include "log/packet_log.h"
#include "profiles/profile.h"
#include "fabric/topo.h"
#include "timing/plane.h"

#ifndef SNPU_VERSION
#define SNPU_VERSION "0"
#endif

struct rpc {
	const struct snpu_control_opts *opts;
	json_object *params;
	json_object *result;
	bool quit;
	int code;
	char what[160];
	char allowed[160];
};

__attribute__((format(printf, 4, 5)))
static int fail(struct rpc *r, int code, const char *allowed, const char *fmt, ...)
{
	va_list ap;

	r->code = code;
	snprintf(r->allowed, sizeof(r->allowed), "%s", allowed);
	va_start(ap, fmt);
	vsnprintf(r->what, sizeof(r->what), fmt, ap);
	va_end(ap);
	return -1;
}

static void add_u64(json_object *o, const char *key, uint64_t v)
{
	json_object_object_add(o, key, json_object_new_uint64(v));
}

static void add_str(json_object *o, const char *key, const char *s)
{
	json_object_object_add(o, key, json_object_new_string(s));
}

/* ---- parameters ---- */

/* Refuses parameters that the method does not know */
static int only(struct rpc *r, const char *const *known, const char *list)
{
	unsigned int i;

	if (!r->params)
		return 0;
	json_object_object_foreach(r->params, key, val) {
		(void)val;
		for (i = 0; known[i] && strcmp(known[i], key); i++)
			;
		if (!known[i])
			return fail(r, SNPU_RPC_PARAMS, list, "unknown parameter \"%.40s\"", key);
	}
	return 0;
}

/* 1: given, 0: not given, -1: wrong */
static int get_u64(struct rpc *r, const char *key, uint64_t max, bool required, uint64_t *v)
{
	json_object *o = NULL;
	char allowed[64];
	int64_t s;

	snprintf(allowed, sizeof(allowed), "0 .. %" PRIu64, max);
	if (!r->params || !json_object_object_get_ex(r->params, key, &o)) {
		if (required)
			return fail(r, SNPU_RPC_PARAMS, allowed, "%s: missing", key);
		return 0;
	}
	if (!json_object_is_type(o, json_type_int))
		return fail(r, SNPU_RPC_PARAMS, allowed, "%s: must be a whole number", key);
	s = json_object_get_int64(o);
	*v = json_object_get_uint64(o);
	if (s < 0 || *v > max)
		return fail(r, SNPU_RPC_PARAMS, allowed, "%s: %.40s", key,
			    json_object_get_string(o));
	return 1;
}

static struct snpu_npu *get_npu(struct rpc *r)
{
	struct snpu_machine *m = r->opts->machine;
	uint64_t i = 0;

	if (get_u64(r, "npu", snpu_machine_npus(m) - 1, true, &i) < 0)
		return NULL;
	return snpu_machine_npu(m, (unsigned int)i);
}

static const char *const no_params[] = { NULL };
static const char *const npu_params[] = { "npu", NULL };

/* ---- methods ---- */

static int machine_info(struct rpc *r)
{
	struct snpu_machine *m = r->opts->machine;
	const struct snpu_profile *p = snpu_machine_profile(m);
	json_object *prof, *figs;
	size_t i, n;
	const struct snpu_profile_key *keys = snpu_profile_keys(&n);

	if (only(r, no_params, "no parameters"))
		return -1;
	add_str(r->result, "version", SNPU_VERSION);
	add_u64(r->result, "npus", snpu_machine_npus(m));
	add_u64(r->result, "workers", snpu_machine_workers(m));
	json_object_object_add(r->result, "sleeping",
			       json_object_new_boolean(snpu_machine_sleeping(m)));
	json_object_object_add(r->result, "packet_log",
			       json_object_new_boolean(r->opts->plog != NULL));
	add_u64(r->result, "packet_log_lost", r->opts->plog ? snpu_plog_lost(r->opts->plog) : 0);
	prof = json_object_new_object();
	add_str(prof, "name", p->name);
	add_str(prof, "title", p->title);
	add_str(prof, "file", p->file);
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
			add_str(o, "value", snpu_fig_word(&keys[i], f));
		else if (keys[i].integer)
			add_u64(o, "value", snpu_fig_u64(f));
		else
			json_object_object_add(o, "value", json_object_new_double(f->value));
		add_str(o, "unit", keys[i].unit);
		add_str(o, "tag", snpu_fig_tag_name(f->tag));
		add_str(o, "source", f->source);
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
	add_u64(o, "npu", i.index);
	add_u64(o, "node", i.node);
	add_u64(o, "host", i.host);
	add_u64(o, "slot", i.slot);
	add_str(o, "status", i.status & SNPU_STATUS_FATAL ? "fatal" :
		i.status & SNPU_STATUS_READY ? "ready" : "resetting");
	json_object_object_add(o, "attached", json_object_new_boolean(i.attached));
}

static int npu_list(struct rpc *r)
{
	struct snpu_machine *m = r->opts->machine;
	json_object *list = json_object_new_array();
	unsigned int i;

	json_object_object_add(r->result, "npus", list);
	if (only(r, no_params, "no parameters"))
		return -1;
	for (i = 0; i < snpu_machine_npus(m); i++) {
		json_object *o = json_object_new_object();

		put_info(o, snpu_machine_npu(m, i));
		json_object_array_add(list, o);
	}
	return 0;
}

static int npu_info(struct rpc *r)
{
	struct snpu_npu_info i;
	struct snpu_npu *n;
	char serial[24];

	if (only(r, npu_params, "npu"))
		return -1;
	n = get_npu(r);
	if (!n)
		return -1;
	snpu_npu_get_info(n, &i);
	put_info(r->result, n);
	snprintf(serial, sizeof(serial), "%016" PRIx64, i.serial);
	add_str(r->result, "serial", serial);
	add_u64(r->result, "hbm_bytes", i.hbm_bytes);
	add_u64(r->result, "queues", i.queues);
	add_u64(r->result, "contexts", i.contexts);
	add_u64(r->result, "segments", i.segs);
	add_u64(r->result, "imports", i.imports);
	return 0;
}

static int npu_counters(struct rpc *r)
{
	struct snpu_npu_counters c;
	struct snpu_npu *n;

	if (only(r, npu_params, "npu"))
		return -1;
	n = get_npu(r);
	if (!n)
		return -1;
	snpu_npu_get_counters(n, &c);
	add_u64(r->result, "packets", c.packets);
	add_u64(r->result, "bytes_read", c.bytes_read);
	add_u64(r->result, "bytes_written", c.bytes_written);
	add_u64(r->result, "flops", c.flops);
	add_u64(r->result, "faults", c.faults);
	add_u64(r->result, "busy_ns", c.busy_ns);
	add_u64(r->result, "events", c.events);
	add_u64(r->result, "events_lost", c.events_lost);
	add_u64(r->result, "events_merged", c.events_merged);
	add_u64(r->result, "irqs", c.irqs);
	add_u64(r->result, "ras_ce", c.ras_ce);
	add_u64(r->result, "ras_ue", c.ras_ue);
	add_u64(r->result, "resets", c.resets);
	add_u64(r->result, "admin_cmds", c.admin_cmds);
	add_u64(r->result, "admin_errors", c.admin_errors);
	add_u64(r->result, "hbm_resident", c.hbm_resident);
	return 0;
}

static int npu_queues(struct rpc *r)
{
	struct snpu_queue_info info[SNPU_MAX_QUEUES];
	json_object *list = json_object_new_array();
	struct snpu_npu *n;
	unsigned int i, k;

	json_object_object_add(r->result, "queues", list);
	if (only(r, npu_params, "npu"))
		return -1;
	n = get_npu(r);
	if (!n)
		return -1;
	k = snpu_npu_get_queues(n, info, SNPU_MAX_QUEUES);
	for (i = 0; i < k; i++) {
		json_object *o = json_object_new_object();

		add_u64(o, "queue", info[i].queue);
		add_u64(o, "ctx", info[i].ctx);
		add_u64(o, "prio", info[i].prio);
		add_u64(o, "vector", info[i].vector);
		add_u64(o, "ring_entries", info[i].ring_entries);
		add_str(o, "state", snpu_qstate_name(info[i].state));
		add_u64(o, "completed", info[i].completed);
		add_u64(o, "doorbell", info[i].doorbell);
		add_u64(o, "packets", info[i].packets);
		add_str(o, "error", snpu_err_name(info[i].error));
		if (info[i].error) {
			add_u64(o, "error_aux", info[i].error_aux);
			add_u64(o, "fault_index", info[i].fault_index);
			add_u64(o, "fault_va", info[i].fault_va);
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
		return fail(r, SNPU_RPC_NOENT, "a queue that npu.queues lists",
			    "queue %" PRIu64 " does not exist", queue);
	case -ENOSPC:
		return fail(r, SNPU_RPC_LIMIT, "reset the table with ADM_SCRUB",
			    "too many poisoned pages");
	default:
		return fail(r, SNPU_RPC_INTERNAL, "", "%s", strerror(-ret));
	}
}

static int npu_inject(struct rpc *r)
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

	if (only(r, known, "npu, type, offset, queue, code, reason"))
		return -1;
	n = get_npu(r);
	if (!n)
		return -1;
	if (!json_object_object_get_ex(r->params, "type", &type) ||
	    !json_object_is_type(type, json_type_string))
		return fail(r, SNPU_RPC_PARAMS, types, "type: must be a string");
	t = json_object_get_string(type);
	if (!strcmp(t, "ecc_ce") || !strcmp(t, "ecc_ue")) {
		if (get_u64(r, "offset", snpu_npu_hbm_size(n) - 1, true, &offset) < 0)
			return -1;
		ret = t[4] == 'c' ? snpu_npu_inject_ce(n, offset) :
				    snpu_npu_inject_ue(n, offset);
		return inject_result(r, ret, 0);
	}
	if (!strcmp(t, "queue_fault")) {
		if (get_u64(r, "queue", SNPU_MAX_QUEUES - 1, true, &queue) < 0 ||
		    get_u64(r, "code", SNPU_ERR_MAX, false, &code) < 0)
			return -1;
		if (!code)
			return fail(r, SNPU_RPC_PARAMS, "1 .. 15", "code: 0");
		ret = snpu_npu_inject_fault(n, (unsigned int)queue, (unsigned int)code);
		return inject_result(r, ret, queue);
	}
	if (!strcmp(t, "hang")) {
		if (get_u64(r, "queue", SNPU_MAX_QUEUES - 1, true, &queue) < 0)
			return -1;
		return inject_result(r, snpu_npu_inject_hang(n, (unsigned int)queue), queue);
	}
	if (!strcmp(t, "fatal")) {
		if (get_u64(r, "reason", UINT32_MAX, false, &reason) < 0)
			return -1;
		snpu_npu_inject_fatal(n, (unsigned int)reason);
		return 0;
	}
	return fail(r, SNPU_RPC_PARAMS, types, "type: \"%.40s\"", t);
}

static int npu_reset(struct rpc *r)
{
	struct snpu_npu *n;

	if (only(r, npu_params, "npu"))
		return -1;
	n = get_npu(r);
	if (!n)
		return -1;
	snpu_npu_reset(n);
	return 0;
}

/* ---- virtual time ---- */

#define TIMING_MS	10000u
#define TIMING_MAX_MS	600000u

static int timing_start(struct rpc *r, uint64_t *timeout_ns)
{
	uint64_t ms = TIMING_MS;

	if (!r->opts->plane)
		return fail(r, SNPU_RPC_NOENT, "snpud --timing", "no virtual time is kept");
	if (get_u64(r, "timeout_ms", TIMING_MAX_MS, false, &ms) < 0)
		return -1;
	*timeout_ns = ms * 1000000;
	return 0;
}

static int timing_result(struct rpc *r, int ret, const char *why)
{
	switch (ret) {
	case 0:
		return 0;
	case -ETIMEDOUT:
		return fail(r, SNPU_RPC_LIMIT, "a machine that comes to rest within timeout_ms",
			    "queues run on");
	case -ENOSPC:
		return fail(r, SNPU_RPC_LIMIT, "timing.reset starts anew",
			    "virtual time is lost: more packets than are kept");
	default:
		return fail(r, SNPU_RPC_INTERNAL, "", "%s", why && *why ? why : strerror(-ret));
	}
}

static int timing_summary(struct rpc *r)
{
	static const char *const known[] = { "timeout_ms", NULL };
	struct snpu_plane_summary s;
	uint64_t timeout;
	char hash[24];

	if (only(r, known, "timeout_ms") || timing_start(r, &timeout))
		return -1;
	if (timing_result(r, snpu_plane_summary(r->opts->plane, timeout, &s), NULL))
		return -1;
	snprintf(hash, sizeof(hash), "%016" PRIx64, s.hash);
	add_u64(r->result, "now_ns", s.now);
	add_u64(r->result, "packets", s.records);
	add_u64(r->result, "transfers", s.flows);
	add_str(r->result, "hash", hash);
	add_u64(r->result, "freed_by_cpu", s.freed);
	add_u64(r->result, "replay_ns", s.solve_ns);
	return 0;
}

static int timing_trace(struct rpc *r)
{
	static const char *const known[] = { "timeout_ms", "path", NULL };
	json_object *path = NULL;
	char err[256] = "";
	uint64_t timeout;

	if (only(r, known, "timeout_ms, path") || timing_start(r, &timeout))
		return -1;
	if (!json_object_object_get_ex(r->params, "path", &path) ||
	    !json_object_is_type(path, json_type_string) ||
	    json_object_get_string(path)[0] != '/')
		return fail(r, SNPU_RPC_PARAMS, "an absolute path that snpud may write",
			    "path: missing or relative");
	return timing_result(r, snpu_plane_trace(r->opts->plane, json_object_get_string(path),
						 timeout, err, sizeof(err)), err);
}

static int timing_reset(struct rpc *r)
{
	static const char *const known[] = { "timeout_ms", NULL };
	uint64_t timeout;

	if (only(r, known, "timeout_ms") || timing_start(r, &timeout))
		return -1;
	return timing_result(r, snpu_plane_reset(r->opts->plane, timeout), NULL);
}

/* Links that carried something */
static int timing_links(struct rpc *r)
{
	static const char *const known[] = { "timeout_ms", NULL };
	const struct snpu_topo *t = r->opts->topo;
	json_object *list = json_object_new_array(), *o;
	uint64_t timeout, busy, bytes;
	char name[64];
	uint32_t i;

	json_object_object_add(r->result, "links", list);
	if (only(r, known, "timeout_ms") || timing_start(r, &timeout) ||
	    timing_result(r, snpu_plane_replay(r->opts->plane, timeout), NULL))
		return -1;
	for (i = 0; i < t->num_links; i++) {
		snpu_plane_link_use(r->opts->plane, i, &busy, &bytes);
		if (!bytes)
			continue;
		o = json_object_new_object();
		add_str(o, "link", snpu_topo_link_name(t, i, name, sizeof(name)));
		add_u64(o, "busy_ns", busy);
		add_u64(o, "bytes", bytes);
		json_object_array_add(list, o);
	}
	return 0;
}

static int daemon_quit(struct rpc *r)
{
	if (only(r, no_params, "no parameters"))
		return -1;
	r->quit = true;
	return 0;
}

static int daemon_ping(struct rpc *r)
{
	if (only(r, no_params, "no parameters"))
		return -1;
	add_str(r->result, "version", SNPU_VERSION);
	return 0;
}

static const struct {
	const char *name;
	int (*run)(struct rpc *r);
} methods[] = {
	{ "machine.info", machine_info },
	{ "npu.list", npu_list },
	{ "npu.info", npu_info },
	{ "npu.counters", npu_counters },
	{ "npu.queues", npu_queues },
	{ "npu.inject_error", npu_inject },
	{ "npu.reset", npu_reset },
	{ "timing.summary", timing_summary },
	{ "timing.trace", timing_trace },
	{ "timing.reset", timing_reset },
	{ "timing.links", timing_links },
	{ "daemon.ping", daemon_ping },
	{ "daemon.quit", daemon_quit },
};

#define METHODS	(sizeof(methods) / sizeof(methods[0]))

static const char method_list[] =
	"machine.info, npu.list, npu.info, npu.counters, npu.queues, npu.inject_error, "
	"npu.reset, timing.summary, timing.trace, timing.reset, timing.links, daemon.ping, "
	"daemon.quit";

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
	default:
		return "Internal error";
	}
}

static char *respond(struct rpc *r, json_object *id)
{
	json_object *o = json_object_new_object();
	const char *text;
	char *out = NULL;

	add_str(o, "jsonrpc", "2.0");
	json_object_object_add(o, "id", json_object_get(id));
	if (r->code) {
		json_object *e = json_object_new_object(), *d = json_object_new_object();

		json_object_object_add(e, "code", json_object_new_int(r->code));
		add_str(e, "message", code_message(r->code));
		add_str(d, "what", r->what);
		add_str(d, "allowed", r->allowed);
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
		fail(r, SNPU_RPC_INTERNAL, "", "out of memory");
		return NULL;
	}
	json_tokener_set_flags(tok, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	if (memchr(msg, 0, len)) {
		fail(r, SNPU_RPC_PARSE, "JSON text", "NUL byte");
	} else {
		req = json_tokener_parse_ex(tok, msg, (int)len + 1);
		if (json_tokener_get_error(tok) != json_tokener_success) {
			fail(r, SNPU_RPC_PARSE, "one JSON object in a line", "byte %zu: %s",
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

static void call(struct rpc *r, json_object *req, json_object **id, bool *has_id)
{
	json_object *ver = NULL, *method = NULL;
	size_t i;

	if (!json_object_is_type(req, json_type_object)) {
		fail(r, SNPU_RPC_REQUEST, "an object; batches are not served", "not an object");
		return;
	}
	*has_id = json_object_object_get_ex(req, "id", id);
	if (*has_id && *id && !json_object_is_type(*id, json_type_string) &&
	    !json_object_is_type(*id, json_type_int)) {
		*id = NULL;
		fail(r, SNPU_RPC_REQUEST, "string, whole number or null", "id: wrong type");
		return;
	}
	if (!json_object_object_get_ex(req, "jsonrpc", &ver) ||
	    !json_object_is_type(ver, json_type_string) ||
	    strcmp(json_object_get_string(ver), "2.0")) {
		fail(r, SNPU_RPC_REQUEST, "\"2.0\"", "jsonrpc: missing or another version");
		return;
	}
	if (!json_object_object_get_ex(req, "method", &method) ||
	    !json_object_is_type(method, json_type_string)) {
		fail(r, SNPU_RPC_REQUEST, method_list, "method: must be a string");
		return;
	}
	if (json_object_object_get_ex(req, "params", &r->params) &&
	    !json_object_is_type(r->params, json_type_object)) {
		fail(r, SNPU_RPC_PARAMS, "an object", "params: not an object");
		return;
	}
	for (i = 0; i < METHODS; i++)
		if (!strcmp(json_object_get_string(method), methods[i].name))
			break;
	if (i == METHODS)
		fail(r, SNPU_RPC_METHOD, method_list, "method: \"%.40s\"",
		     json_object_get_string(method));
	else
		(void)methods[i].run(r);
}

char *snpu_rpc_handle(const struct snpu_control_opts *opts, const char *msg, size_t len,
		      bool *quit)
{
	struct rpc r = { .opts = opts };
	json_object *req, *id = NULL;
	/* what cannot be read as a request gets an answer, too */
	bool has_id = true;
	char *out = NULL;

	*quit = false;
	r.result = json_object_new_object();
	req = parse(&r, msg, len);
	if (!r.code)
		call(&r, req, &id, &has_id);
	if (has_id || r.code == SNPU_RPC_REQUEST)
		out = respond(&r, id);
	*quit = r.quit && !r.code;
	json_object_put(r.result);
	json_object_put(req);
	return out;
}
