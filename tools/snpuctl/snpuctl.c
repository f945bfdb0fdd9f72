// SPDX-License-Identifier: MIT
/*
 * snpuctl: command line of snpud's control socket.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "snpuctl.h"
#include "top.h"

#ifndef SNPU_VERSION
#define SNPU_VERSION "0"
#endif

static const char usage[] =
"Usage: snpuctl [OPTION]... COMMAND [ARGUMENT]...\n"
"\n"
"  list                        all NPUs of the snpud\n"
"  info [NPU]                  the machine and its profile, or one NPU\n"
"  counters NPU                what it has done\n"
"  queues NPU                  its queues and their states\n"
"  inject NPU ecc_ce OFFSET    corrected memory error at an offset in HBM\n"
"  inject NPU ecc_ue OFFSET    uncorrected: the 4 KiB page is poisoned until written or scrubbed\n"
"  inject NPU queue_fault QUEUE [CODE]   stop a queue with an error code, 1 .. 16\n"
"  inject NPU hang QUEUE       the queue's next packet never finishes\n"
"  inject NPU fatal [REASON]   the NPU stops until it is reset\n"
"  reset NPU                   function reset\n"
"  ping                        is it there?\n"
"  quit                        end snpud\n"
"  top [once]                  NPUs, queues and planes as they work\n"
"  fabric show                 planes: links by state, bytes, losses\n"
"  fabric links [all|NODE]     links that were used or are not up, or all, or an NPU's\n"
"  fabric ports NODE           ports of an NPU\n"
"  fabric switches             bytes through each switch\n"
"  fabric routes FROM TO       the lanes between two NPUs\n"
"  fabric map --svg FILE       picture of who talked to whom (-: standard output)\n"
"  fault link|switch|plane NAME up|flapping|down\n"
"  fault link|switch|plane NAME degraded RATE|PERCENT%   RATE: bytes/s, of a link\n"
"  fault list                  faults that were set; fault clear: end them all\n"
"  timing summary [MS]         virtual time: where it stands, hash of the trace (snpud --timing)\n"
"  timing links [MS]           busy time and bytes of links that carried something\n"
"  timing trace FILE [MS]      write a trace for ui.perfetto.dev\n"
"  timing reset [MS]           start again at 0; MS: how long to wait for the machine to rest\n"
"  profile list                machine profiles there are (these need no snpud)\n"
"  profile show NAME|FILE      every figure with tag and source, and what follows from them\n"
"  profile check NAME|FILE     does it add up? If not: file, line, column and why\n"
"  log FILE                    print a packet log in canonical order\n"
"\n"
"  --socket PATH   control socket; default: $SNPU_CONTROL, else as if\n"
"                  by --dir $SNPU_SOCKET_DIR\n"
"  --dir DIR       directory of the sockets: PATH is DIR/control.sock\n"
"  --json          print results as JSON\n"
"  --help, --version\n"
"\n"
"Numbers may be decimal or 0x hexadecimal.\n"
"Exit codes: 0 done, 1 failed (message on standard error), 2 wrong command line.\n";

static int bad(const char *what, const char *arg)
{
	fprintf(stderr, "snpuctl: %s%s%s\nTry snpuctl --help.\n", what, arg ? ": " : "",
		arg ? arg : "");
	return CTL_USAGE;
}

static int add_number(json_object *params, const char *key, const char *arg)
{
	unsigned long long v;
	char *end;

	errno = 0;
	v = strtoull(arg, &end, 0);
	if (errno || *end || *arg < '0' || *arg > '9') {
		fprintf(stderr, "snpuctl: %s: %s: must be a number\n", key, arg);
		return -1;
	}
	json_object_object_add(params, key, json_object_new_uint64(v));
	return 0;
}

static int inject_params(json_object *p, int argc, char **argv)
{
	const char *type = argv[1];

	json_object_object_add(p, "type", json_object_new_string(type));
	if (!strcmp(type, "ecc_ce") || !strcmp(type, "ecc_ue"))
		return argc == 3 ? add_number(p, "offset", argv[2]) : -1;
	if (!strcmp(type, "hang"))
		return argc == 3 ? add_number(p, "queue", argv[2]) : -1;
	if (!strcmp(type, "queue_fault")) {
		if (argc < 3 || argc > 4 || add_number(p, "queue", argv[2]))
			return -1;
		return argc == 4 ? add_number(p, "code", argv[3]) : 0;
	}
	if (!strcmp(type, "fatal") && argc <= 3)
		return argc == 3 ? add_number(p, "reason", argv[2]) : 0;
	return -1;
}

static const struct command {
	const char *name;
	const char *method;
	int min, max;			/* arguments, the first one is an NPU */
	void (*print)(json_object *result);
} commands[] = {
	{ "list", "npu.list", 0, 0, ctl_print_list },
	{ "info", "machine.info", 0, 0, ctl_print_machine },
	{ "info", "npu.info", 1, 1, ctl_print_pairs },
	{ "counters", "npu.counters", 1, 1, ctl_print_pairs },
	{ "queues", "npu.queues", 1, 1, ctl_print_queues },
	{ "inject", "npu.inject_error", 2, 4, ctl_print_pairs },
	{ "reset", "npu.reset", 1, 1, ctl_print_pairs },
	{ "ping", "daemon.ping", 0, 0, ctl_print_pairs },
	{ "quit", "daemon.quit", 0, 0, ctl_print_pairs },
};

static int run(const char *socket, bool json, int argc, char **argv)
{
	const struct command *c = NULL;
	json_object *params = NULL, *result = NULL;
	int known = 0, ret;
	size_t i;

	for (i = 0; i < sizeof(commands) / sizeof(commands[0]) && !c; i++) {
		if (strcmp(commands[i].name, argv[0]))
			continue;
		known = 1;
		if (argc - 1 >= commands[i].min && argc - 1 <= commands[i].max)
			c = &commands[i];
	}
	if (!c)
		return bad(known ? "wrong number of arguments" : "unknown command", argv[0]);
	if (!socket)
		return bad(CTL_NO_SOCKET, NULL);
	if (argc > 1) {
		params = json_object_new_object();
		if (add_number(params, "npu", argv[1])) {
			json_object_put(params);
			return CTL_USAGE;
		}
		if (!strcmp(c->name, "inject") && inject_params(params, argc - 1, argv + 1)) {
			json_object_put(params);
			return bad("inject: ecc_ce OFFSET, ecc_ue OFFSET, queue_fault QUEUE [CODE], "
				   "hang QUEUE or fatal [REASON], not", argv[2]);
		}
	}
	ret = ctl_call(socket, c->method, params, &result);
	json_object_put(params);
	if (ret)
		return ret;
	if (json)
		printf("%s\n", json_object_to_json_string_ext(result, JSON_C_TO_STRING_PRETTY));
	else
		c->print(result);
	json_object_put(result);
	return fflush(stdout) ? CTL_FAILED : CTL_OK;
}

/* in_dir - the control socket of an snpud whose sockets are in @dir; -1 if @path is too small */
static int in_dir(char *path, size_t size, const char *dir)
{
	return snprintf(path, size, "%s/control.sock", dir) < (int)size ? 0 : -1;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "socket", required_argument, NULL, 's' },
		{ "dir", required_argument, NULL, 'd' },
		{ "json", no_argument, NULL, 'j' },
		{ "svg", required_argument, NULL, 'g' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'v' },
		{ NULL, 0, NULL, 0 },
	};
	const char *socket = getenv("SNPU_CONTROL"), *dir = getenv("SNPU_SOCKET_DIR"), *svg = NULL;
	bool json = false;
	char path[256];
	int c;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (c) {
		case 's':
			socket = optarg;
			break;
		case 'd':
			if (in_dir(path, sizeof(path), optarg))
				return bad("path too long", optarg);
			socket = path;
			break;
		case 'g':
			svg = optarg;
			break;
		case 'j':
			json = true;
			break;
		case 'h':
			fputs(usage, stdout);
			return CTL_OK;
		case 'v':
			printf("snpuctl %s\n", SNPU_VERSION);
			return CTL_OK;
		default:
			return bad("wrong option", NULL);
		}
	}
	if (optind == argc)
		return bad("no command", NULL);
	/* libsnpu reads it too, so snpuctl reaches the snpud that a program beside it uses */
	if (!socket && dir) {
		if (in_dir(path, sizeof(path), dir))
			return bad("SNPU_SOCKET_DIR: path too long", dir);
		socket = path;
	}
	argc -= optind;
	argv += optind;
	if (!strcmp(argv[0], "log"))
		return argc == 2 ? ctl_log(argv[1], json) : bad("wrong number of arguments", "log");
	if (!strcmp(argv[0], "fabric"))
		return ctl_fabric(socket, argc - 1, argv + 1, svg, json);
	if (!strcmp(argv[0], "fault"))
		return ctl_fault(socket, argc - 1, argv + 1, json);
	if (!strcmp(argv[0], "top")) {
		if (argc > 2 || (argc == 2 && strcmp(argv[1], "once")))
			return bad("top: only \"once\" may follow", NULL);
		return socket ? ctl_top(socket, json, argc == 2) :
		       bad(CTL_NO_SOCKET, NULL);
	}
	if (!strcmp(argv[0], "timing"))
		return ctl_timing(socket, argc - 1, argv + 1, json);
	if (!strcmp(argv[0], "profile"))
		return ctl_profile(argc - 1, argv + 1, json);
	return run(socket, json, argc, argv);
}
