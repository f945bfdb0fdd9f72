// SPDX-License-Identifier: MIT
/* snpuctl fabric and snpuctl fault: links, switches, planes; who talked to whom; breaking them. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "map.h"
#include "snpuctl.h"

static int fabric_usage(const char *what)
{
	fprintf(stderr, "snpuctl: fabric: %s\nsnpuctl fabric show | links [all | NODE] | ports NODE | "
		"switches | routes FROM TO | map --svg FILE\n", what);
	return CTL_USAGE;
}

static int fault_usage(const char *what)
{
	fprintf(stderr, "snpuctl: fault: %s\nsnpuctl fault link|switch|plane NAME up|down|flapping\n"
		"snpuctl fault link|switch|plane NAME degraded RATE|PERCENT%%\n"
		"snpuctl fault list | clear\n", what);
	return CTL_USAGE;
}

static int no_socket(void)
{
	fprintf(stderr, "snpuctl: %s\n", CTL_NO_SOCKET);
	return CTL_USAGE;
}

static const char *str(json_object *o, const char *key)
{
	json_object *v = NULL;

	return json_object_object_get_ex(o, key, &v) ? json_object_get_string(v) : "-";
}

static uint64_t num(json_object *o, const char *key)
{
	json_object *v = NULL;

	return json_object_object_get_ex(o, key, &v) ? json_object_get_uint64(v) : 0;
}

static json_object *list(json_object *o, const char *key, size_t *n)
{
	json_object *a = NULL;

	*n = 0;
	if (json_object_object_get_ex(o, key, &a) && json_object_is_type(a, json_type_array))
		*n = json_object_array_length(a);
	return a;
}

static double giga(json_object *o, const char *key)
{
	json_object *v = NULL;

	return json_object_object_get_ex(o, key, &v) ? json_object_get_double(v) / 1e9 : 0;
}

/* ---- printing ---- */

static void print_show(json_object *r)
{
	size_t i, n;
	json_object *a = list(r, "planes", &n), *o;

	printf("%s: %s NPUs of %s dies in %s hosts, %s switches, %s links, routing by %s\n",
	       str(r, "profile"), str(r, "nodes"), str(r, "dies"), str(r, "hosts"),
	       str(r, "switches"), str(r, "links"), str(r, "routing"));
	printf("bisection %.1f GB/s, %s faults set\n", giga(r, "bisection"), str(r, "faults"));
	printf("%5s %6s %6s %8s %8s %6s %12s %18s %14s %8s\n", "plane", "links", "up", "degraded",
	       "flapping", "down", "GB/s", "bytes", "dropped", "downs");
	for (i = 0; i < n; i++) {
		o = json_object_array_get_idx(a, i);
		printf("%5s %6s %6s %8s %8s %6s %12.1f %18s %14s %8s\n", str(o, "plane"),
		       str(o, "links"), str(o, "up"), str(o, "degraded"), str(o, "flapping"),
		       str(o, "down"), giga(o, "rate"), str(o, "bytes"), str(o, "dropped"),
		       str(o, "downs"));
	}
}

static void print_links(json_object *r)
{
	size_t i, n;
	json_object *a = list(r, "links", &n), *o;

	printf("%-24s %-9s %8s %16s %16s %12s %8s\n", "link", "state", "GB/s", "bytes in",
	       "bytes out", "dropped", "downs");
	for (i = 0; i < n; i++) {
		o = json_object_array_get_idx(a, i);
		printf("%-24s %-9s %8.2f %16s %16s %12s %8s\n", str(o, "name"), str(o, "state"),
		       giga(o, "rate"), str(o, "bytes_in"), str(o, "bytes_out"), str(o, "dropped"),
		       str(o, "downs"));
	}
}

static void print_switches(json_object *r)
{
	size_t i, n;
	json_object *a = list(r, "switches", &n), *o;

	printf("%-12s %18s %14s %8s %6s %7s\n", "switch", "bytes", "dropped", "downs", "links",
	       "not up");
	for (i = 0; i < n; i++) {
		o = json_object_array_get_idx(a, i);
		printf("%-12s %18s %14s %8s %6s %7s\n", str(o, "name"), str(o, "bytes"),
		       str(o, "dropped"), str(o, "downs"), str(o, "links"), str(o, "links_not_up"));
	}
}

static void print_ports(json_object *r)
{
	size_t i, n;
	json_object *a = list(r, "ports", &n), *o;

	printf("%3s %5s %-9s %8s %16s %16s %12s %8s\n", "die", "plane", "state", "GB/s", "sent",
	       "received", "dropped", "downs");
	for (i = 0; i < n; i++) {
		o = json_object_array_get_idx(a, i);
		printf("%3s %5s %-9s %8.2f %16s %16s %12s %8s\n", str(o, "die"), str(o, "plane"),
		       str(o, "state"), giga(o, "rate"), str(o, "tx_bytes"), str(o, "rx_bytes"),
		       str(o, "dropped"), str(o, "downs"));
	}
}

static void print_routes(json_object *r)
{
	size_t i, n, k, hops;
	json_object *a = list(r, "lanes", &n), *o, *links;

	printf("%zu lanes, %s up\n%5s %9s %-5s %8s  %s\n", n, str(r, "up"), "plane", "dies", "state",
	       "GB/s", "links");
	for (i = 0; i < n; i++) {
		o = json_object_array_get_idx(a, i);
		links = list(o, "links", &hops);
		printf("%5s %4s>%-4s %-5s %8.2f ", str(o, "plane"), str(o, "from_die"),
		       str(o, "to_die"), str(o, "state"), giga(o, "rate"));
		for (k = 0; k < hops; k++)
			printf(" %s",
			       json_object_get_string(json_object_array_get_idx(links, k)));
		printf("\n");
	}
}

static void print_faults(json_object *r)
{
	size_t i, n;
	json_object *a = list(r, "faults", &n), *o;

	printf("%-7s %-24s %-9s %8s\n", "kind", "name", "state", "percent");
	for (i = 0; i < n; i++) {
		o = json_object_array_get_idx(a, i);
		printf("%-7s %-24s %-9s %8s\n", str(o, "kind"), str(o, "name"), str(o, "state"),
		       str(o, "percent"));
	}
}

/* ---- calls ---- */

static int add_number(json_object *params, const char *key, const char *arg)
{
	unsigned long long v;
	char *end;

	errno = 0;
	v = strtoull(arg, &end, 0);
	if (errno || *end || *arg < '0' || *arg > '9')
		return -1;
	json_object_object_add(params, key, json_object_new_uint64(v));
	return 0;
}

/* One answer, or with @more lists that go on in further ones, joined */
static int get_all(const char *socket, const char *method, json_object *params, const char *more,
		   json_object **result)
{
	json_object *page = NULL, *a, *all, *next;
	size_t i, n;
	int ret = ctl_call(socket, method, params, result);

	while (!ret && more && json_object_object_get_ex(*result, "next", &next)) {
		json_object_object_add(params, "first", json_object_get(next));
		json_object_object_del(*result, "next");
		ret = ctl_call(socket, method, params, &page);
		if (ret)
			break;
		all = list(*result, more, &n);
		a = list(page, more, &n);
		for (i = 0; i < n; i++)
			json_object_array_add(all,
				json_object_get(json_object_array_get_idx(a, i)));
		if (json_object_object_get_ex(page, "next", &next))
			json_object_object_add(*result, "next", json_object_get(next));
		json_object_put(page);
	}
	if (ret) {
		json_object_put(*result);
		*result = NULL;
	}
	return ret;
}

/* Calls, prints, and puts @params */
static int call(const char *socket, const char *method, json_object *params, const char *more,
		bool json, void (*print)(json_object *r))
{
	json_object *result = NULL;
	int ret = get_all(socket, method, params, more, &result);

	json_object_put(params);
	if (ret)
		return ret;
	if (json)
		printf("%s\n", json_object_to_json_string_ext(result, JSON_C_TO_STRING_PRETTY));
	else
		print(result);
	json_object_put(result);
	return fflush(stdout) ? CTL_FAILED : CTL_OK;
}

/* ---- the picture ---- */

static int map_fill(struct map_data *d, json_object *show, json_object *cells, json_object *switches)
{
	size_t nc, np, ns, i;
	json_object *c = list(cells, "cells", &nc), *p = list(show, "planes", &np), *o;
	json_object *s = list(switches, "switches", &ns);
	struct map_cell *cell = calloc(nc + 1, sizeof(*cell));
	struct map_use *use = calloc(np + ns + 1, sizeof(*use));

	d->nodes = (uint32_t)num(show, "nodes");
	d->per_host = (uint32_t)num(show, "npus_per_host");
	d->cells = cell;
	d->uses = use;
	if (!cell || !use)
		return -1;
	for (i = 0; i < nc; i++) {
		o = json_object_array_get_idx(c, i);
		cell[i].src = (uint32_t)json_object_get_uint64(json_object_array_get_idx(o, 0));
		cell[i].dst = (uint32_t)json_object_get_uint64(json_object_array_get_idx(o, 1));
		cell[i].bytes = json_object_get_uint64(json_object_array_get_idx(o, 2));
	}
	d->num_cells = nc;
	for (i = 0; i < np + ns; i++) {
		o = i < np ? json_object_array_get_idx(p, i) :
			     json_object_array_get_idx(s, i - np);
		if (i < np)
			snprintf(use[i].name, sizeof(use[i].name), "plane %s", str(o, "plane"));
		else
			snprintf(use[i].name, sizeof(use[i].name), "%s", str(o, "name"));
		use[i].plane = (uint32_t)num(o, "plane");
		use[i].level = i < np ? 0 : (uint32_t)num(o, "level");
		use[i].index = i < np ? 0 : (uint32_t)num(o, "index");
		use[i].bytes = num(o, "bytes");
		use[i].dropped = num(o, "dropped");
	}
	d->num_uses = np + ns;
	return 0;
}

static int map_write(const char *file, json_object *show, json_object *cells, json_object *switches)
{
	bool to_stdout = !strcmp(file, "-");
	struct map_data d = { 0 };
	char title[128];
	FILE *out;
	int ret = -ENOMEM;

	out = to_stdout ? stdout : fopen(file, "w");
	if (!out) {
		fprintf(stderr, "snpuctl: %s: %s\n", file, strerror(errno));
		return CTL_FAILED;
	}
	snprintf(title, sizeof(title), "Fabric of %s", str(show, "profile"));
	d.title = title;
	if (!map_fill(&d, show, cells, switches))
		ret = map_svg(out, &d);
	if (!to_stdout && fclose(out) && !ret)
		ret = -errno;
	if (ret)
		fprintf(stderr, "snpuctl: %s: %s\n", file, strerror(-ret));
	free((void *)d.cells);
	free((void *)d.uses);
	return ret ? CTL_FAILED : CTL_OK;
}

static int map(const char *socket, const char *file)
{
	json_object *show = NULL, *cells = NULL, *switches = NULL, *params = json_object_new_object();
	int ret;

	ret = ctl_call(socket, "fabric.show", NULL, &show);
	if (!ret)
		ret = get_all(socket, "fabric.matrix", params, "cells", &cells);
	if (!ret)
		ret = ctl_call(socket, "fabric.switches", NULL, &switches);
	if (!ret)
		ret = map_write(file, show, cells, switches);
	json_object_put(params);
	json_object_put(show);
	json_object_put(cells);
	json_object_put(switches);
	return ret;
}

/* ---- commands ---- */

int ctl_fabric(const char *socket, int argc, char **argv, const char *svg, bool json)
{
	json_object *params;

	if (!argc)
		return fabric_usage("say what");
	if (!strcmp(argv[0], "map")) {
		if (argc != 1 || !svg)
			return fabric_usage("map: needs --svg FILE");
		return socket ? map(socket, svg) : no_socket();
	}
	params = json_object_new_object();
	if (!strcmp(argv[0], "links") && argc <= 2) {
		if (argc == 2 && !strcmp(argv[1], "all"))
			json_object_object_add(params, "all", json_object_new_boolean(true));
		else if (argc == 2 && add_number(params, "node", argv[1]))
			goto number;
		if (socket)
			return call(socket, "fabric.links", params, "links", json, print_links);
	} else if (!strcmp(argv[0], "ports") && argc == 2) {
		if (add_number(params, "node", argv[1]))
			goto number;
		if (socket)
			return call(socket, "fabric.ports", params, NULL, json, print_ports);
	} else if (!strcmp(argv[0], "routes") && argc == 3) {
		if (add_number(params, "from", argv[1]) || add_number(params, "to", argv[2]))
			goto number;
		if (socket)
			return call(socket, "fabric.routes", params, NULL, json, print_routes);
	} else if (!strcmp(argv[0], "show") && argc == 1) {
		if (socket)
			return call(socket, "fabric.show", params, NULL, json, print_show);
	} else if (!strcmp(argv[0], "switches") && argc == 1) {
		if (socket)
			return call(socket, "fabric.switches", params, NULL, json, print_switches);
	} else {
		json_object_put(params);
		return fabric_usage("unknown command, or wrong number of arguments");
	}
	json_object_put(params);
	return no_socket();
number:
	json_object_put(params);
	return fabric_usage("a node is a number");
}

/* "14e9": bytes/s, "50%": of what it has */
static int add_rate(json_object *params, const char *arg)
{
	char *end;
	double v = strtod(arg, &end);

	if (end == arg || (*end && strcmp(end, "%")))
		return -1;
	json_object_object_add(params, *end ? "percent" : "rate", json_object_new_double(v));
	return 0;
}

static void print_none(json_object *r)
{
	(void)r;
}

int ctl_fault(const char *socket, int argc, char **argv, bool json)
{
	json_object *params;

	if (argc == 1 && !strcmp(argv[0], "list"))
		return socket ? call(socket, "fabric.faults", NULL, NULL, json, print_faults) :
				no_socket();
	if (argc == 1 && !strcmp(argv[0], "clear"))
		return socket ? call(socket, "fabric.clear", NULL, NULL, json, ctl_print_pairs) :
				no_socket();
	if (argc < 3 || argc > 4 || (argc == 4) != !strcmp(argv[2], "degraded"))
		return fault_usage("unknown command, or wrong number of arguments");
	params = json_object_new_object();
	json_object_object_add(params, "kind", json_object_new_string(argv[0]));
	json_object_object_add(params, "name", json_object_new_string(argv[1]));
	json_object_object_add(params, "state", json_object_new_string(argv[2]));
	if (argc == 4 && add_rate(params, argv[3])) {
		json_object_put(params);
		return fault_usage("RATE is a number of bytes/s, or a number and %");
	}
	if (!socket) {
		json_object_put(params);
		return no_socket();
	}
	return call(socket, "fabric.fault", params, NULL, json, print_none);
}
