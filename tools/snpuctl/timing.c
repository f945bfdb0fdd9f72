// SPDX-License-Identifier: MIT
/* snpuctl timing: virtual time of a running snpud. */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "snpuctl.h"

static int usage(const char *what)
{
	fprintf(stderr, "snpuctl: timing: %s\nsnpuctl timing summary | links | trace FILE | reset\n",
		what);
	return CTL_USAGE;
}

static uint64_t get_u64(json_object *o, const char *key)
{
	json_object *v;

	return json_object_object_get_ex(o, key, &v) ? json_object_get_uint64(v) : 0;
}

static void print_links(json_object *result)
{
	json_object *list = NULL, *o, *name;
	size_t i, n;

	json_object_object_get_ex(result, "links", &list);
	n = list ? json_object_array_length(list) : 0;
	printf("%-28s %16s %14s %10s\n", "link", "bytes", "busy us", "GB/s");
	for (i = 0; i < n; i++) {
		uint64_t busy, bytes;

		o = json_object_array_get_idx(list, i);
		json_object_object_get_ex(o, "link", &name);
		busy = get_u64(o, "busy_ns");
		bytes = get_u64(o, "bytes");
		printf("%-28s %16" PRIu64 " %14.3f %10.2f\n", json_object_get_string(name), bytes,
		       (double)busy / 1e3, busy ? (double)bytes / (double)busy : 0);
	}
}

/* Where snpud is to write: it may run in another directory */
static json_object *trace_params(const char *file)
{
	json_object *p = json_object_new_object();
	char cwd[PATH_MAX], path[2 * PATH_MAX];

	if (*file != '/' && getcwd(cwd, sizeof(cwd))) {
		snprintf(path, sizeof(path), "%s/%s", cwd, file);
		file = path;
	}
	json_object_object_add(p, "path", json_object_new_string(file));
	return p;
}

int ctl_timing(const char *socket, int argc, char **argv, bool json)
{
	json_object *params = NULL, *result = NULL;
	char method[32];
	int ret;

	if (!argc)
		return usage("say what");
	if (!strcmp(argv[0], "trace")) {
		if (argc != 2)
			return usage("trace: a file");
		params = trace_params(argv[1]);
	} else if ((strcmp(argv[0], "summary") && strcmp(argv[0], "links") &&
		    strcmp(argv[0], "reset")) || argc != 1) {
		return usage("unknown command or too many arguments");
	}
	if (!socket) {
		json_object_put(params);
		fprintf(stderr, "snpuctl: no socket: give --dir or --socket, or set SNPU_CONTROL\n");
		return CTL_USAGE;
	}
	snprintf(method, sizeof(method), "timing.%s", argv[0]);
	ret = ctl_call(socket, method, params, &result);
	json_object_put(params);
	if (ret)
		return ret;
	if (json)
		printf("%s\n", json_object_to_json_string_ext(result, JSON_C_TO_STRING_PRETTY));
	else if (!strcmp(argv[0], "links"))
		print_links(result);
	else
		ctl_print_pairs(result);
	json_object_put(result);
	return fflush(stdout) ? CTL_FAILED : CTL_OK;
}
