// SPDX-License-Identifier: MIT
/* snpu-demo: real data through NPUs, in three parts, each checked. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "demo.h"

static const char help[] =
"usage: snpu-demo [OPTIONS]\n"
"\n"
"Moves real data through NPUs, computes on it, and proves the result:\n"
"  1  a file goes to NPU 0, round the ring of NPUs, and back: CRC32C, SHA-256\n"
"  2  ring all-reduce of 64 MiB: compared with sums made by the CPU\n"
"  3  a transformer block, split over the NPUs: compared with one NPU and with fp64\n"
"\n"
"  -n, --npus N           NPUs to use, 1 to 64 (default: 8, or as many as there are)\n"
"  -f, --file PATH        file to broadcast (default: the kernel image, or this program)\n"
"  -r, --rows N           rows of part 3 to compute in fp64, 1 to 128\n"
"                         (default: all; 8 in a guest, whose CPU may be emulated)\n"
"  -t, --transport NAME   kmd (the kernel driver), direct (sockets of snpud) or auto\n"
"  -d, --socket-dir DIR   where the sockets are\n"
"  -j, --json             print JSON\n"
"  -c, --config           print the SNPU_* environment variables and leave\n"
"  -h, --help             print this and leave\n"
"\n"
"Exits 0 when every check held, 1 when one did not or a step could not be run, 2 when the\n"
"command line is wrong.\n";

static int number(const char *opt, const char *text, unsigned int max, unsigned int *out)
{
	unsigned long v;
	char *end;

	errno = 0;
	v = strtoul(text, &end, 10);
	if (errno || end == text || *end || *text == '-' || v < 1 || v > max) {
		fprintf(stderr, "snpu-demo: %s: '%s' is not a number from 1 to %u\n", opt, text,
			max);
		return -EINVAL;
	}
	*out = (unsigned int)v;
	return 0;
}

/* 0: go on; 1: done; negative: wrong */
static int parse(struct demo_opts *opts, int argc, char **argv)
{
	static const struct option longs[] = {
		{ "npus", required_argument, NULL, 'n' },
		{ "file", required_argument, NULL, 'f' },
		{ "rows", required_argument, NULL, 'r' },
		{ "transport", required_argument, NULL, 't' },
		{ "socket-dir", required_argument, NULL, 'd' },
		{ "json", no_argument, NULL, 'j' },
		{ "config", no_argument, NULL, 'c' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int c, ret = 0;

	while (!ret && (c = getopt_long(argc, argv, "n:f:r:t:d:jch", longs, NULL)) != -1) {
		switch (c) {
		case 'n':
			ret = number("--npus", optarg, DEMO_MAX_NPUS, &opts->npus);
			break;
		case 'f':
			opts->file = optarg;
			break;
		case 'r':
			ret = number("--rows", optarg, 128, &opts->rows);
			break;
		case 't':
			opts->transport = optarg;
			break;
		case 'd':
			opts->socket_dir = optarg;
			break;
		case 'j':
			opts->json = true;
			break;
		case 'c':
			snpu_config_print(stdout);
			return 1;
		case 'h':
			fputs(help, stdout);
			return 1;
		default:
			ret = -EINVAL;
		}
	}
	if (!ret && optind < argc) {
		fprintf(stderr, "snpu-demo: unexpected '%s'\n", argv[optind]);
		ret = -EINVAL;
	}
	if (ret)
		fprintf(stderr, "snpu-demo: try 'snpu-demo --help'\n");
	return ret;
}

int main(int argc, char **argv)
{
	static struct demo d;
	bool ok;
	int ret;

	ret = parse(&d.opts, argc, argv);
	if (ret)
		return ret < 0 ? 2 : 0;
	ret = demo_open(&d);
	if (!ret)
		ret = demo_report_start(&d);
	if (ret) {
		demo_close(&d);
		return 1;
	}
	ret = demo_broadcast(&d);
	if (!ret)
		ret = demo_allreduce(&d);
	if (!ret)
		ret = demo_block(&d);
	demo_close(&d);
	ok = demo_report_end(!ret);
	if (fflush(stdout) || ferror(stdout)) {
		fprintf(stderr, "snpu-demo: cannot write the report: %s\n", strerror(errno));
		return 1;
	}
	return ok ? 0 : 1;
}
