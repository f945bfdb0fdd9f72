// SPDX-License-Identifier: MIT
/* snpuctl timing: virtual time of a running snpud. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "snpuctl.h"

static int usage(const char *what)
{
	fprintf(stderr, "snpuctl: timing: %s\nsnpuctl timing summary | links | "
		"trace FILE [counters] | reset [MS]\n", what);
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

/* The file is the caller's, opened with his rights; snpud gets the descriptor */
static int open_trace(const char *file)
{
	int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);

	if (fd < 0)
		fprintf(stderr, "snpuctl: %s: %s\n", file, strerror(errno));
	return fd;
}

int ctl_timing(const char *socket, int argc, char **argv, bool json)
{
	static const char *const verbs[] = { "summary", "trace", "links", "reset", NULL };
	unsigned long ms = 10000;
	json_object *params, *result = NULL;
	const char *file = NULL;
	bool counters = false;
	char method[32], *end;
	int i, at = 1, fd = -1, ret;

	for (i = 0; argc && verbs[i] && strcmp(verbs[i], argv[0]); i++)
		;
	if (!argc || !verbs[i])
		return usage("one of summary, trace, links, reset");
	if (!strcmp(argv[0], "trace")) {
		if (argc < 2)
			return usage("trace needs a FILE");
		file = argv[at++];
		counters = argc > at && !strcmp(argv[at], "counters");
		at += counters;
	}
	if (argc > at) {
		errno = 0;
		ms = strtoul(argv[at], &end, 10);
		if (errno || *end || *argv[at] < '0' || *argv[at] > '9' || ms > 600000)
			return usage("milliseconds: 0 .. 600000");
		at++;
	}
	if (argc > at)
		return usage("too many arguments");
	if (!socket)
		return usage(CTL_NO_SOCKET);
	if (file) {
		fd = open_trace(file);
		if (fd < 0)
			return CTL_FAILED;
	}
	snprintf(method, sizeof(method), "timing.%s", argv[0]);
	params = json_object_new_object();
	json_object_object_add(params, "timeout_ms", json_object_new_uint64(ms));
	if (counters)
		json_object_object_add(params, "counters", json_object_new_boolean(true));
	/* replaying and writing come on top of the wait */
	ret = ctl_call_fd(socket, method, params, fd, (unsigned int)(ms / 1000 + 120), &result);
	json_object_put(params);
	if (fd >= 0 && close(fd) && !ret) {
		fprintf(stderr, "snpuctl: %s: %s\n", file, strerror(errno));
		ret = CTL_FAILED;
	}
	if (ret) {
		json_object_put(result);
		return ret;
	}
	if (json)
		printf("%s\n", json_object_to_json_string_ext(result, JSON_C_TO_STRING_PRETTY));
	else if (!strcmp(argv[0], "links"))
		print_links(result);
	else
		ctl_print_pairs(result);
	json_object_put(result);
	return fflush(stdout) ? CTL_FAILED : CTL_OK;
}
