// SPDX-License-Identifier: MIT
/*
 * Methods that break links, switches and planes, and repair them.
 */
#include "control/rpc.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fabric/fabric.h"
#include "snpu_hw.h"

static const char *const state_names[] = { "up", "degraded", "flapping", "down" };
static const char *const kind_names[] = { "link", "switch", "plane" };

const char *rpc_port_name(uint32_t state)
{
	return state <= SNPU_PORT_DOWN ? state_names[state] : "?";
}

static int get_word(struct rpc *r, const char *key, const char *const *words, unsigned int n,
		    const char *list, unsigned int *out)
{
	json_object *o = NULL;
	const char *s;

	if (!r->params || !json_object_object_get_ex(r->params, key, &o) ||
	    !json_object_is_type(o, json_type_string))
		return rpc_fail(r, SNPU_RPC_PARAMS, list, "%s: must be a string", key);
	s = json_object_get_string(o);
	for (*out = 0; *out < n; (*out)++)
		if (!strcmp(s, words[*out]))
			return 0;
	return rpc_fail(r, SNPU_RPC_PARAMS, list, "%s: \"%.40s\"", key, s);
}

static int find(struct rpc *r, const struct snpu_topo *t, unsigned int kind, const char *name,
		uint32_t *id)
{
	char allowed[100], end;
	unsigned int plane;

	switch (kind) {
	case SNPU_FABRIC_LINK:
		*id = snpu_topo_link_find(t, name);
		if (*id != SNPU_TOPO_NONE && t->links[*id].plane != SNPU_TOPO_NONE)
			return 0;
		return rpc_fail(r, SNPU_RPC_NOENT, "\"npu12.1>l1.1.3\", or with \"-\" both ways; "
				"fabric.links lists them", "name: no link \"%.60s\"", name);
	case SNPU_FABRIC_SWITCH:
		*id = snpu_topo_switch_find(t, name);
		if (*id != SNPU_TOPO_NONE)
			return 0;
		return rpc_fail(r, SNPU_RPC_NOENT, "fabric.switches lists them",
				"name: no switch \"%.60s\"", name);
	default:
		snprintf(allowed, sizeof(allowed), "0 .. %u", t->planes - 1);
		if (*name < '0' || *name > '9' || sscanf(name, "%3u%c", &plane, &end) != 1 ||
		    plane >= t->planes)
			return rpc_fail(r, SNPU_RPC_NOENT, allowed, "name: no plane \"%.60s\"",
					name);
		*id = plane;
		return 0;
	}
}

/* "rate": bytes/s of a link, or of all of a plane or switch; "percent": of what they have */
static int get_share(struct rpc *r, const struct snpu_topo *t, struct snpu_fabric_fault *fault)
{
	static const char allowed[] = "degraded: rate (bytes/s, above 0, below the link's) or "
				      "percent (above 0, below 100)";
	json_object *rate = NULL, *percent = NULL, *o;
	double full = 100, v;

	json_object_object_get_ex(r->params, "rate", &rate);
	json_object_object_get_ex(r->params, "percent", &percent);
	if (fault->state != SNPU_PORT_DEGRADED) {
		if (rate || percent)
			return rpc_fail(r, SNPU_RPC_PARAMS, allowed, "rate or percent of a state "
					"that has none");
		return 0;
	}
	o = rate ? rate : percent;
	if (!rate == !percent || !(json_object_is_type(o, json_type_int) ||
				   json_object_is_type(o, json_type_double)))
		return rpc_fail(r, SNPU_RPC_PARAMS, allowed, "one of rate and percent must be given");
	v = json_object_get_double(o);
	if (rate && fault->kind != SNPU_FABRIC_LINK)
		return rpc_fail(r, SNPU_RPC_PARAMS, "percent, above 0, below 100",
				"rate: links of a %s differ", kind_names[fault->kind]);
	if (rate)
		full = t->links[fault->id].rate;
	fault->share = v / full;
	if (!(fault->share > 0 && fault->share < 1))
		return rpc_fail(r, SNPU_RPC_PARAMS, allowed, "%s: %.40s", rate ? "rate" : "percent",
				json_object_get_string(o));
	return 0;
}

static void add_fault(json_object *list, const struct snpu_topo *t,
		      const struct snpu_fabric_fault *x)
{
	json_object *o = json_object_new_object();
	char name[64];

	rpc_add_str(o, "kind", kind_names[x->kind]);
	if (x->kind == SNPU_FABRIC_LINK)
		snpu_topo_link_name(t, x->id, name, sizeof(name));
	else if (x->kind == SNPU_FABRIC_SWITCH)
		snpu_topo_switch_name(t, x->id, name, sizeof(name));
	else
		snprintf(name, sizeof(name), "%u", x->id);
	rpc_add_str(o, "name", name);
	rpc_add_str(o, "state", rpc_port_name(x->state));
	if (x->state == SNPU_PORT_DEGRADED)
		json_object_object_add(o, "percent", json_object_new_double(x->share * 100));
	json_object_array_add(list, o);
}

int rpc_fabric_fault(struct rpc *r)
{
	static const char *const known[] = { "kind", "name", "state", "rate", "percent", NULL };
	struct snpu_fabric *f = snpu_machine_fabric(r->opts->machine);
	const struct snpu_topo *t = snpu_fabric_topo(f);
	struct snpu_fabric_fault fault = { 0 };
	unsigned int kind, state;
	json_object *o = NULL;
	const char *name;
	int ret;

	if (rpc_only(r, known, "kind, name, state, rate, percent") ||
	    get_word(r, "kind", kind_names, 3, "link, switch, plane", &kind) ||
	    get_word(r, "state", state_names, 4, "up, degraded, flapping, down", &state))
		return -1;
	if (!json_object_object_get_ex(r->params, "name", &o) ||
	    !json_object_is_type(o, json_type_string))
		return rpc_fail(r, SNPU_RPC_PARAMS, "name of a link or switch, number of a plane",
				"name: must be a string");
	name = json_object_get_string(o);
	fault.kind = kind;
	fault.state = state;
	if (find(r, t, kind, name, &fault.id) || get_share(r, t, &fault))
		return -1;
	ret = snpu_fabric_set(f, &fault);
	if (!ret && kind == SNPU_FABRIC_LINK && strchr(name, '-')) {
		fault.id = t->links[fault.id].reverse;
		ret = snpu_fabric_set(f, &fault);
	}
	return ret ? rpc_fail(r, SNPU_RPC_INTERNAL, "", "%s", strerror(-ret)) : 0;
}

int rpc_fabric_faults(struct rpc *r)
{
	struct snpu_fabric *f = snpu_machine_fabric(r->opts->machine);
	json_object *list = json_object_new_array();
	struct snpu_fabric_fault *faults;
	unsigned int n, i, max = 4096;

	json_object_object_add(r->result, "faults", list);
	if (rpc_only(r, rpc_no_params, "no parameters"))
		return -1;
	faults = calloc(max, sizeof(*faults));
	if (!faults)
		return rpc_fail(r, SNPU_RPC_INTERNAL, "", "out of memory");
	n = snpu_fabric_faults(f, faults, max);
	for (i = 0; i < n && i < max; i++)
		add_fault(list, snpu_fabric_topo(f), &faults[i]);
	rpc_add_u64(r->result, "count", n);
	free(faults);
	return 0;
}

int rpc_fabric_clear(struct rpc *r)
{
	if (rpc_only(r, rpc_no_params, "no parameters"))
		return -1;
	rpc_add_u64(r->result, "cleared",
		    snpu_fabric_clear(snpu_machine_fabric(r->opts->machine)));
	return 0;
}
