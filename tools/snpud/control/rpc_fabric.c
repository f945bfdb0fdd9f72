// SPDX-License-Identifier: MIT
/*
 * Methods that show the fabric.
 */
#include "control/rpc.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "fabric/fabric.h"
#include "snpu_hw.h"
#include "timing/plane.h"

#define MAX_LINKS	2048u	/* of one answer */
#define MAX_CELLS	16384u

static struct snpu_fabric *fabric(const struct rpc *r)
{
	return snpu_machine_fabric(r->opts->machine);
}

static json_object *add_list(json_object *o, const char *key)
{
	json_object *a = json_object_new_array();

	json_object_object_add(o, key, a);
	return a;
}

static void add_counters(json_object *o, const struct snpu_fabric_counters *c)
{
	rpc_add_u64(o, "bytes_in", c->in);
	rpc_add_u64(o, "bytes_out", c->out);
	rpc_add_u64(o, "dropped", c->dropped);
	rpc_add_u64(o, "downs", c->downs);
}

int rpc_fabric_show(struct rpc *r)
{
	struct snpu_fabric *f = fabric(r);
	const struct snpu_topo *t = snpu_fabric_topo(f);
	uint64_t states[SNPU_TOPO_MAX_PLANES][4] = { { 0 } };
	uint64_t bytes[SNPU_TOPO_MAX_PLANES] = { 0 }, dropped[SNPU_TOPO_MAX_PLANES] = { 0 };
	uint64_t downs[SNPU_TOPO_MAX_PLANES] = { 0 };
	double rate[SNPU_TOPO_MAX_PLANES] = { 0 };
	struct snpu_fabric_counters c;
	json_object *list, *o;
	uint32_t i, p;

	if (rpc_only(r, rpc_no_params, "no parameters"))
		return -1;
	for (i = 0; i < t->num_links; i++) {
		const struct snpu_topo_link *l = &t->links[i];

		if (l->plane == SNPU_TOPO_NONE)
			continue;
		snpu_fabric_link_counters(f, i, &c);
		states[l->plane][snpu_fabric_link_state(f, i)]++;
		dropped[l->plane] += c.dropped;
		downs[l->plane] += c.downs;
		if (l->from_kind != SNPU_TOPO_DIE && l->from_kind != SNPU_TOPO_CPU)
			continue;
		bytes[l->plane] += c.in;
		rate[l->plane] += snpu_fabric_link_rate(f, i);
	}
	rpc_add_str(r->result, "profile", t->profile->name);
	rpc_add_u64(r->result, "nodes", t->nodes);
	rpc_add_u64(r->result, "dies", t->dies);
	rpc_add_u64(r->result, "hosts", t->hosts);
	rpc_add_u64(r->result, "npus_per_host", t->npus_per_host);
	rpc_add_u64(r->result, "switches", t->num_switches);
	rpc_add_u64(r->result, "links", t->num_links);
	rpc_add_str(r->result, "routing", snpu_fig_u64(&t->profile->fabric.routing) ==
		    SNPU_ROUTING_ROUND_ROBIN ? "round_robin" : "hash");
	json_object_object_add(r->result, "bisection",
			       json_object_new_double(snpu_topo_bisection(t)));
	rpc_add_u64(r->result, "faults", snpu_fabric_faults(f, NULL, 0));
	list = add_list(r->result, "planes");
	for (p = 0; p < t->planes; p++) {
		o = json_object_new_object();
		rpc_add_u64(o, "plane", p);
		rpc_add_u64(o, "links", states[p][0] + states[p][1] + states[p][2] + states[p][3]);
		for (i = 0; i < 4; i++)
			rpc_add_u64(o, rpc_port_name(i), states[p][i]);
		rpc_add_u64(o, "bytes", bytes[p]);
		rpc_add_u64(o, "dropped", dropped[p]);
		rpc_add_u64(o, "downs", downs[p]);
		rpc_add_u64(o, "rate", (uint64_t)rate[p]);
		json_object_array_add(list, o);
	}
	return 0;
}

static bool link_of_node(const struct snpu_topo *t, const struct snpu_topo_link *l, uint64_t node)
{
	return (l->from_kind == SNPU_TOPO_DIE && l->from / t->dies == node) ||
	       (l->to_kind == SNPU_TOPO_DIE && l->to / t->dies == node);
}

static json_object *link_object(struct rpc *r, uint32_t id, const struct snpu_fabric_counters *c)
{
	const struct snpu_topo *t = snpu_fabric_topo(fabric(r));
	json_object *o = json_object_new_object();
	uint64_t busy, bytes;
	char name[64];

	rpc_add_str(o, "name", snpu_topo_link_name(t, id, name, sizeof(name)));
	if (t->links[id].plane != SNPU_TOPO_NONE)
		rpc_add_u64(o, "plane", t->links[id].plane);
	rpc_add_str(o, "state", rpc_port_name(snpu_fabric_link_state(fabric(r), id)));
	rpc_add_u64(o, "rate", (uint64_t)snpu_fabric_link_rate(fabric(r), id));
	add_counters(o, c);
	if (r->opts->plane) {
		snpu_plane_link_use(r->opts->plane, id, &busy, &bytes);
		rpc_add_u64(o, "busy_ns", busy);
	}
	return o;
}

/* Those of one node; or from @first on those that carried something, are not up or were down, or all */
int rpc_fabric_links(struct rpc *r)
{
	static const char *const known[] = { "node", "first", "all", NULL };
	const struct snpu_topo *t = snpu_fabric_topo(fabric(r));
	json_object *list = add_list(r->result, "links"), *o = NULL;
	struct snpu_fabric_counters c;
	uint64_t node = 0, i = 0, n = 0;
	bool all = false;
	int by_node;

	if (rpc_only(r, known, "node, first, all"))
		return -1;
	by_node = rpc_get_u64(r, "node", t->nodes - 1, false, &node);
	if (by_node < 0 || rpc_get_u64(r, "first", t->num_links, false, &i) < 0)
		return -1;
	if (r->params && json_object_object_get_ex(r->params, "all", &o)) {
		if (!json_object_is_type(o, json_type_boolean))
			return rpc_fail(r, SNPU_RPC_PARAMS, "true, false", "all: must be boolean");
		all = json_object_get_boolean(o);
	}
	for (; i < t->num_links && n < MAX_LINKS; i++) {
		if (by_node && !link_of_node(t, &t->links[i], node))
			continue;
		snpu_fabric_link_counters(fabric(r), (uint32_t)i, &c);
		if (!by_node && !all && !c.in && !c.downs &&
		    snpu_fabric_link_state(fabric(r), (uint32_t)i) == SNPU_PORT_UP)
			continue;
		json_object_array_add(list, link_object(r, (uint32_t)i, &c));
		n++;
	}
	/* where the next call goes on; there is no more when it is not there */
	if (i < t->num_links)
		rpc_add_u64(r->result, "next", i);
	return 0;
}

int rpc_fabric_switches(struct rpc *r)
{
	struct snpu_fabric *f = fabric(r);
	const struct snpu_topo *t = snpu_fabric_topo(f);
	json_object *list = add_list(r->result, "switches"), *o;
	struct use { uint64_t bytes, dropped, downs, links, bad; } *use;
	struct snpu_fabric_counters c;
	char name[32];
	uint32_t i;

	if (rpc_only(r, rpc_no_params, "no parameters"))
		return -1;
	use = calloc(t->num_switches, sizeof(*use));
	if (!use)
		return rpc_fail(r, SNPU_RPC_INTERNAL, "", "out of memory");
	/* bytes came in; losses are of the switch to be entered, or of the one left last */
	for (i = 0; i < t->num_links; i++) {
		const struct snpu_topo_link *l = &t->links[i];
		uint32_t sw = l->to_kind >= SNPU_TOPO_L1 ? l->to : l->from;

		if (l->plane == SNPU_TOPO_NONE)
			continue;
		snpu_fabric_link_counters(f, i, &c);
		use[sw].dropped += c.dropped;
		use[sw].downs += c.downs;
		use[sw].links++;
		use[sw].bad += snpu_fabric_link_state(f, i) != SNPU_PORT_UP;
		if (l->to_kind >= SNPU_TOPO_L1)
			use[sw].bytes += c.out;
	}
	for (i = 0; i < t->num_switches; i++) {
		const struct snpu_topo_switch *s = &t->switches[i];

		o = json_object_new_object();
		rpc_add_str(o, "name", snpu_topo_switch_name(t, i, name, sizeof(name)));
		rpc_add_u64(o, "level", s->level);
		rpc_add_u64(o, "plane", s->plane);
		rpc_add_u64(o, "index", s->level == 2 ? s->index :
			    s->host == SNPU_TOPO_NONE ? 0 : s->host);
		rpc_add_u64(o, "bytes", use[i].bytes);
		rpc_add_u64(o, "dropped", use[i].dropped);
		rpc_add_u64(o, "downs", use[i].downs);
		rpc_add_u64(o, "links", use[i].links);
		rpc_add_u64(o, "links_not_up", use[i].bad);
		json_object_array_add(list, o);
	}
	free(use);
	return 0;
}

int rpc_fabric_ports(struct rpc *r)
{
	static const char *const known[] = { "node", NULL };
	struct snpu_fabric *f = fabric(r);
	const struct snpu_topo *t = snpu_fabric_topo(f);
	json_object *list = add_list(r->result, "ports"), *o;
	struct snpu_fabric_counters tx, rx;
	uint64_t node = 0;
	uint32_t d, p;

	if (rpc_only(r, known, "node") || rpc_get_u64(r, "node", t->nodes - 1, true, &node) < 0)
		return -1;
	for (d = 0; d < t->dies; d++) {
		for (p = 0; p < t->planes; p++) {
			uint32_t die = snpu_topo_die(t, (uint32_t)node, d);
			uint32_t out = t->ep_up[die * t->planes + p];
			uint32_t in = t->links[out].reverse;
			uint32_t so = snpu_fabric_link_state(f, out);
			uint32_t si = snpu_fabric_link_state(f, in);
			double ro = snpu_fabric_link_rate(f, out);
			double ri = snpu_fabric_link_rate(f, in);

			snpu_fabric_link_counters(f, out, &tx);
			snpu_fabric_link_counters(f, in, &rx);
			o = json_object_new_object();
			rpc_add_u64(o, "die", d);
			rpc_add_u64(o, "plane", p);
			rpc_add_str(o, "state", rpc_port_name(so > si ? so : si));
			rpc_add_u64(o, "rate", (uint64_t)(ro < ri ? ro : ri));
			rpc_add_u64(o, "tx_bytes", tx.in);
			rpc_add_u64(o, "rx_bytes", rx.out);
			rpc_add_u64(o, "dropped", tx.dropped + rx.dropped);
			/* most go down both ways at once */
			rpc_add_u64(o, "downs", tx.downs > rx.downs ? tx.downs : rx.downs);
			json_object_array_add(list, o);
		}
	}
	return 0;
}

int rpc_fabric_routes(struct rpc *r)
{
	static const char *const known[] = { "from", "to", NULL };
	struct snpu_fabric *f = fabric(r);
	const struct snpu_topo *t = snpu_fabric_topo(f);
	json_object *list = add_list(r->result, "lanes"), *o, *links;
	struct snpu_fabric_lane lane;
	uint64_t from = 0, to = 0;
	unsigned int i, k, up = 0;
	char name[64];
	double rate;

	if (rpc_only(r, known, "from, to") ||
	    rpc_get_u64(r, "from", t->nodes - 1, true, &from) < 0 ||
	    rpc_get_u64(r, "to", t->nodes - 1, true, &to) < 0)
		return -1;
	if (from == to)
		return rpc_fail(r, SNPU_RPC_PARAMS, "two different nodes", "to: the same as from");
	for (i = 0; i < snpu_fabric_lanes(f); i++) {
		snpu_fabric_lane(f, (uint32_t)from, (uint32_t)to, i, &lane);
		o = json_object_new_object();
		rpc_add_u64(o, "plane", lane.plane);
		rpc_add_u64(o, "from_die", lane.src % t->dies);
		rpc_add_u64(o, "to_die", lane.dst % t->dies);
		rpc_add_str(o, "state", lane.down ? "down" : "up");
		links = add_list(o, "links");
		rate = 0;
		for (k = 0; k < lane.hops; k++) {
			double v = snpu_fabric_link_rate(f, lane.links[k]);

			rate = !k || v < rate ? v : rate;
			snpu_topo_link_name(t, lane.links[k], name, sizeof(name));
			json_object_array_add(links, json_object_new_string(name));
		}
		rpc_add_u64(o, "rate", (uint64_t)rate);
		json_object_array_add(list, o);
		up += !lane.down;
	}
	rpc_add_u64(r->result, "up", up);
	return 0;
}

/* Pairs that talked, from row @first on, as [src, dst, bytes] */
int rpc_fabric_matrix(struct rpc *r)
{
	static const char *const known[] = { "first", NULL };
	struct snpu_fabric *f = fabric(r);
	const struct snpu_topo *t = snpu_fabric_topo(f);
	json_object *list = add_list(r->result, "cells"), *cell;
	uint64_t first = 0, bytes;
	uint32_t s, d, n = 0;

	if (rpc_only(r, known, "first") || rpc_get_u64(r, "first", t->nodes, false, &first) < 0)
		return -1;
	for (s = (uint32_t)first; s < t->nodes && (!n || n + t->nodes <= MAX_CELLS); s++) {
		for (d = 0; d < t->nodes; d++) {
			bytes = snpu_fabric_bytes(f, s, d);
			if (!bytes)
				continue;
			cell = json_object_new_array();
			json_object_array_add(cell, json_object_new_int64(s));
			json_object_array_add(cell, json_object_new_int64(d));
			json_object_array_add(cell, json_object_new_uint64(bytes));
			json_object_array_add(list, cell);
			n++;
		}
	}
	if (s < t->nodes)
		rpc_add_u64(r->result, "next", s);
	return 0;
}
