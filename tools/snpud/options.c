// SPDX-License-Identifier: MIT
/*
 * Command line of snpud.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "snpu_hw.h"
#include "snpud.h"

#ifndef SNPU_VERSION
#define SNPU_VERSION "0"
#endif

static const char usage[] =
"Usage: snpud --socket-dir DIR [OPTION]...\n"
"Models the NPUs of an AI supernode. Each is served on a vfio-user socket, DIR/npu<K>.sock,\n"
"to which QEMU (-device vfio-user-pci) or libsnpu connects; DIR/control.sock is for snpuctl.\n"
"\n"
"  --socket-dir DIR    directory of the sockets, created if missing (mode 0700)\n"
"  --npus N            how many NPUs; default: all of the profile, or of --hosts\n"
"  --hosts N           as many NPUs as N hosts of the profile have; excludes --npus\n"
"  --first-node N      fabric address of the first NPU, default 0\n"
"  --profile NAME|FILE machine profile: cm384 (default), cm384-781, nvl72, hgx-h100, ... or a JSON file\n"
"  --workers N         threads that execute packets, 1 .. 64; default: cores, at most 8\n"
"  --memory SIZE       what HBM may take of the computer: bytes, K, M, G, T or % of all;\n"
"                      default: what the computer, or the cgroup, has left\n"
"  --timing            keep virtual time: timestamps, timing-only queues, snpuctl timing\n"
"  --ideal             --timing with all efficiencies 1: engines and links at their peaks\n"
"  --timing-records N  packets that virtual time keeps, 1 .. 16777216; default 4194304\n"
"  --packet-log FILE   record every packet for replay; read it with snpuctl log FILE\n"
"  --test-delays SEED  workers pause at random, to show that results do not depend on it\n"
"  --log FILE          append messages to FILE instead of standard error\n"
"  --ready-fd N        write a line to this descriptor when all sockets are ready, and close it\n"
"  --foreground        stay in the foreground (the default, and all there is)\n"
"  --verbose           more messages\n"
"  --help, --version\n"
"\n"
"Runs without privileges. SIGTERM, SIGINT and snpuctl quit end it cleanly.\n"
"Exit codes: 0 ended as told, 1 failed, 2 wrong option or profile, 3 another snpud serves DIR.\n";

enum {
	OPT_SOCKET_DIR = 256, OPT_NPUS, OPT_HOSTS, OPT_FIRST_NODE, OPT_PROFILE, OPT_WORKERS,
	OPT_MEMORY, OPT_PACKET_LOG, OPT_TIMING, OPT_IDEAL, OPT_TIMING_RECORDS, OPT_DELAYS, OPT_LOG,
	OPT_READY_FD, OPT_FOREGROUND, OPT_VERBOSE, OPT_HELP, OPT_VERSION,
};

static const struct option options[] = {
	{ "socket-dir", required_argument, NULL, OPT_SOCKET_DIR },
	{ "npus", required_argument, NULL, OPT_NPUS },
	{ "hosts", required_argument, NULL, OPT_HOSTS },
	{ "first-node", required_argument, NULL, OPT_FIRST_NODE },
	{ "profile", required_argument, NULL, OPT_PROFILE },
	{ "workers", required_argument, NULL, OPT_WORKERS },
	{ "memory", required_argument, NULL, OPT_MEMORY },
	{ "test-delays", required_argument, NULL, OPT_DELAYS },
	{ "timing", no_argument, NULL, OPT_TIMING },
	{ "ideal", no_argument, NULL, OPT_IDEAL },
	{ "timing-records", required_argument, NULL, OPT_TIMING_RECORDS },
	{ "packet-log", required_argument, NULL, OPT_PACKET_LOG },
	{ "log", required_argument, NULL, OPT_LOG },
	{ "ready-fd", required_argument, NULL, OPT_READY_FD },
	{ "foreground", no_argument, NULL, OPT_FOREGROUND },
	{ "verbose", no_argument, NULL, OPT_VERBOSE },
	{ "help", no_argument, NULL, OPT_HELP },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ NULL, 0, NULL, 0 },
};

static int number(const char *opt, const char *s, unsigned long min, unsigned long max,
		  unsigned int *out)
{
	unsigned long v;
	char *end;

	errno = 0;
	v = strtoul(s, &end, 10);
	if (errno || *end || *s < '0' || *s > '9' || v < min || v > max) {
		fprintf(stderr, "snpud: --%s %s: must be a number %lu .. %lu\n", opt, s, min, max);
		return -1;
	}
	*out = (unsigned int)v;
	return 0;
}

int snpud_options(int argc, char **argv, struct snpud_opts *o)
{
	unsigned int fd;
	int c, bad = 0;

	*o = (struct snpud_opts) { .profile = "cm384", .ready_fd = -1 };
	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (c) {
		case OPT_SOCKET_DIR:
			o->socket_dir = optarg;
			break;
		case OPT_NPUS:
			bad |= number("npus", optarg, 1, 1u << 16, &o->npus);
			break;
		case OPT_HOSTS:
			bad |= number("hosts", optarg, 1, 1u << 12, &o->hosts);
			break;
		case OPT_FIRST_NODE:
			bad |= number("first-node", optarg, 0, 1u << 16, &o->first_node);
			break;
		case OPT_PROFILE:
			o->profile = optarg;
			break;
		case OPT_WORKERS:
			bad |= number("workers", optarg, 1, 64, &o->workers);
			break;
		case OPT_MEMORY:
			if (snpud_memory_parse(optarg, &o->memory)) {
				fprintf(stderr, "snpud: --memory %s: must be bytes, K, M, G or T from "
					"%lluM on, or 1%% .. 100%% of the computer's memory\n",
					optarg, SNPUD_MEMORY_MIN >> 20);
				bad = 1;
			}
			break;
		case OPT_PACKET_LOG:
			o->packet_log = optarg;
			break;
		case OPT_DELAYS:
			bad |= number("test-delays", optarg, 1, 1u << 30, &o->delays);
			break;
		case OPT_TIMING:
			o->timing = true;
			break;
		case OPT_IDEAL:
			o->timing = true;
			o->ideal = true;
			break;
		case OPT_TIMING_RECORDS:
			o->timing = true;
			bad |= number("timing-records", optarg, 1, 16u << 20, &o->timing_records);
			break;
		case OPT_LOG:
			o->log = optarg;
			break;
		case OPT_READY_FD:
			bad |= number("ready-fd", optarg, 0, 1u << 20, &fd);
			o->ready_fd = (int)fd;
			break;
		case OPT_FOREGROUND:
			break;
		case OPT_VERBOSE:
			o->verbose = true;
			break;
		case 'h':
		case OPT_HELP:
			fputs(usage, stdout);
			return SNPUD_EXIT_OK;
		case OPT_VERSION:
			printf("snpud %s (hardware ABI %d.%d)\n", SNPU_VERSION, SNPU_ABI_MAJOR,
			       SNPU_ABI_MINOR);
			return SNPUD_EXIT_OK;
		default:
			bad = 1;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "snpud: %s: takes no arguments but options\n", argv[optind]);
		bad = 1;
	}
	if (!o->socket_dir && !bad) {
		fprintf(stderr, "snpud: --socket-dir is missing\n");
		bad = 1;
	}
	if (o->npus && o->hosts) {
		fprintf(stderr, "snpud: --npus and --hosts exclude each other\n");
		bad = 1;
	}
	if (bad) {
		fprintf(stderr, "Try snpud --help.\n");
		return SNPUD_EXIT_USAGE;
	}
	return -1;
}
