// SPDX-License-Identifier: MIT
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "snpuctl.h"

static const char *str(json_object *o, const char *key)
{
	json_object *v = NULL;

	return json_object_object_get_ex(o, key, &v) ? json_object_get_string(v) : "-";
}

static json_object *array(json_object *result, const char *key, size_t *n)
{
	json_object *a = NULL;

	*n = 0;
	if (json_object_object_get_ex(result, key, &a) && json_object_is_type(a, json_type_array))
		*n = json_object_array_length(a);
	return a;
}

void ctl_print_list(json_object *result)
{
	size_t i, n;
	json_object *a = array(result, "npus", &n);

	printf("%5s %5s %5s %5s  %-10s %s\n", "npu", "node", "host", "slot", "status", "attached");
	for (i = 0; i < n; i++) {
		json_object *o = json_object_array_get_idx(a, i);

		printf("%5s %5s %5s %5s  %-10s %s\n", str(o, "npu"), str(o, "node"),
		       str(o, "host"), str(o, "slot"), str(o, "status"),
		       strcmp(str(o, "attached"), "true") ? "no" : "yes");
	}
}

void ctl_print_pairs(json_object *result)
{
	json_object_object_foreach(result, key, val)
		printf("%-16s %s\n", key, json_object_get_string(val));
}

void ctl_print_queues(json_object *result)
{
	size_t i, n;
	json_object *a = array(result, "queues", &n);

	printf("%5s %4s %4s %6s  %-9s %12s %12s  %s\n", "queue", "ctx", "prio", "ring", "state",
	       "completed", "doorbell", "error");
	for (i = 0; i < n; i++) {
		json_object *o = json_object_array_get_idx(a, i);

		printf("%5s %4s %4s %6s  %-9s %12s %12s  %s\n", str(o, "queue"), str(o, "ctx"),
		       str(o, "prio"), str(o, "ring_entries"), str(o, "state"),
		       str(o, "completed"), str(o, "doorbell"), str(o, "error"));
	}
}

static void print_memory(json_object *result)
{
	json_object *o = NULL;
	uint64_t limit, used, refused;

	/* an older snpud has no budget */
	if (!json_object_object_get_ex(result, "memory_limit", &o))
		return;
	limit = json_object_get_uint64(o);
	used = json_object_get_uint64(json_object_object_get(result, "memory_hbm")) +
	       json_object_get_uint64(json_object_object_get(result, "memory_scratch"));
	refused = json_object_get_uint64(json_object_object_get(result, "memory_refused"));
	printf("memory: %" PRIu64 " of %" PRIu64 " MiB", used >> 20, limit >> 20);
	if (refused)
		printf(", refused %" PRIu64 " times", refused);
	printf("\n");
}

void ctl_print_machine(json_object *result)
{
	json_object *p = NULL, *figs = NULL;

	printf("snpud %s, %s NPUs, %s workers%s\n", str(result, "version"), str(result, "npus"),
	       str(result, "workers"), strcmp(str(result, "sleeping"), "true") ? ", awake" : "");
	print_memory(result);
	if (!json_object_object_get_ex(result, "profile", &p))
		return;
	printf("profile %s: %s\n", str(p, "name"), str(p, "title"));
	if (!json_object_object_get_ex(p, "figures", &figs))
		return;
	json_object_object_foreach(figs, key, f)
		printf("  %-30s %16s %-6s %-8s %s\n", key, str(f, "value"), str(f, "unit"),
		       str(f, "tag"), str(f, "source"));
}
