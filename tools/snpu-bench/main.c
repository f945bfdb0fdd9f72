// SPDX-License-Identifier: MIT
/* snpu-bench: figures against their bars. */
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench.h"
#include "model.h"

static const char help[] =
"usage: snpu-bench [OPTIONS] COMMAND...\n"
"\n"
"Measures NPUs and prints a line for each figure: name, value, unit, limit or peer measured in\n"
"the same run, ratio, bar, ok or short. Exits 0 even when a figure falls short.\n"
"\n"
"  nop            latency of one empty packet\n"
"  throughput     empty packets a second in batches of 64 (direct)\n"
"  peer-copy      64 MiB from NPU to NPU (direct)\n"
"  dma            64 MiB from host memory to HBM and back\n"
"  matmul         bf16 and int8, 2048^3, against oneDNN (direct)\n"
"  all            all that the transport allows\n"
"  copy-limit     print the best copy rate of this computer, GB/s\n"
"  socket-limit N print the seconds that N sockets and memory files take\n"
"  row NAME VALUE REFERENCE [NOTE]   print a row measured by someone else; '-': not measured\n"
"  rows           list the names of the rows\n"
"  coll OPTIONS   collective operations, see 'snpu-bench coll --help'\n"
"  gemm, p2p, ep, decode OPTIONS   modelled figures against published ones, in virtual time,\n"
"                 with an snpud of their own; see 'snpu-bench gemm --help' and so on\n"
"\n"
"  -t, --transport NAME    kmd, direct or auto\n"
"  -d, --socket-dir DIR    where the sockets of snpud are\n"
"  -j, --json FILE         write the rows to FILE, as an array of objects\n"
"  -l, --limit GB/S        copy rate to compare dma with, when measured elsewhere\n"
"  -T, --threads N         threads of oneDNN, 1 to 64 (default 1); start snpud with as many\n"
"  -s, --seconds S         length of nop and throughput, 0.1 to 60 (default 2)\n"
"  -H, --no-header         no line with the names of the columns\n"
"  -h, --help              print this and leave\n";

static const struct {
	const char *name;
	int (*run)(struct bench *b);
	bool guest;	/* of use in a guest */
	bool direct;
} figures[] = {
	{ "nop", bench_nop, true, true },
	{ "throughput", bench_throughput, false, true },
	{ "peer-copy", bench_peer_copy, false, true },
	{ "dma", bench_dma, true, false },
	{ "matmul", bench_matmul, false, true },
};

#define NUM_FIGURES	(sizeof(figures) / sizeof(*figures))

/* struct cli - the command line */
struct cli {
	struct snpu_open_params open;
	const char *json;
	bool header;
	struct bench b;
};

/**
 * bench_now - time that never goes back
 *
 * Return: ns
 */
uint64_t bench_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static int order(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/**
 * bench_median - median; sorts the values
 * @v: values
 * @n: how many
 *
 * Return: the median, NAN of none
 */
double bench_median(double *v, size_t n)
{
	if (!n)
		return NAN;
	qsort(v, n, sizeof(*v), order);
	return v[n / 2];
}

/**
 * bench_best - largest value: what the machine can do when nothing disturbs it
 * @v: values
 * @n: how many
 *
 * Return: the largest, NAN of none
 */
double bench_best(const double *v, size_t n)
{
	double best = NAN;

	while (n--)
		best = v[n] <= best ? best : v[n];
	return best;
}

/**
 * bench_fail - says on stderr why a call of the library failed
 * @ret: negative errno
 * @what: what could not be done
 *
 * Return: @ret
 */
int bench_fail(int ret, const char *what)
{
	fprintf(stderr, "snpu-bench: %s: %s\n", what, strerror(-ret));
	if (*snpu_last_error())
		fprintf(stderr, "  %s\n", snpu_last_error());
	return ret;
}

static int number(const char *opt, const char *text, double min, double max, double *out)
{
	char *end;

	errno = 0;
	*out = strtod(text, &end);
	if (errno || end == text || *end || !(*out >= min && *out <= max)) {
		fprintf(stderr, "snpu-bench: %s: '%s' is not a number from %g to %g\n", opt, text,
			min, max);
		return -EINVAL;
	}
	return 0;
}

/* 0: go on; 1: done; negative: wrong */
static int parse(struct cli *cli, int argc, char **argv)
{
	static const struct option longs[] = {
		{ "transport", required_argument, NULL, 't' },
		{ "socket-dir", required_argument, NULL, 'd' },
		{ "json", required_argument, NULL, 'j' },
		{ "limit", required_argument, NULL, 'l' },
		{ "threads", required_argument, NULL, 'T' },
		{ "seconds", required_argument, NULL, 's' },
		{ "no-header", no_argument, NULL, 'H' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	double v = 0;
	int c, ret = 0;

	while (!ret && (c = getopt_long(argc, argv, "+t:d:j:l:T:s:Hh", longs, NULL)) != -1) {
		switch (c) {
		case 't':
			cli->open.transport = optarg;
			cli->open.field_mask |= SNPU_OPEN_TRANSPORT;
			break;
		case 'd':
			cli->open.socket_dir = optarg;
			cli->open.field_mask |= SNPU_OPEN_SOCKET_DIR;
			break;
		case 'j':
			cli->json = optarg;
			break;
		case 'l':
			ret = number("--limit", optarg, 0.01, 100000, &cli->b.limit);
			break;
		case 'T':
			ret = number("--threads", optarg, 1, 64, &v);
			cli->b.threads = (unsigned int)v;
			break;
		case 's':
			ret = number("--seconds", optarg, 0.1, 60, &cli->b.seconds);
			break;
		case 'H':
			cli->header = false;
			break;
		case 'h':
			fputs(help, stdout);
			return 1;
		default:
			ret = -EINVAL;
		}
	}
	if (!ret && optind == argc) {
		fprintf(stderr, "snpu-bench: say what to measure\n");
		ret = -EINVAL;
	}
	if (ret)
		fprintf(stderr, "snpu-bench: try 'snpu-bench --help'\n");
	return ret;
}

static int copy_limit(void)
{
	struct bench_copier *c;
	unsigned int i;
	int ret = bench_copier_create(&c);

	if (ret)
		return bench_fail(ret, "copy-limit");
	for (i = 0; i < 30; i++)
		bench_copier_round(c);
	printf("%.3f\n", bench_copier_best(c));
	bench_copier_destroy(c);
	return 0;
}

static int socket_limit(const char *text)
{
	double n, seconds;
	int ret = number("socket-limit", text, 1, 10000, &n);

	if (ret)
		return ret;
	ret = bench_limit_sockets((unsigned int)n, &seconds);
	if (ret)
		return bench_fail(ret, "socket-limit");
	printf("%.6f\n", seconds);
	return 0;
}

static int row(const struct cli *cli, int argc, char **argv)
{
	double v[2] = { NAN, NAN };
	int i, ret;

	if (argc < 3 || argc > 4) {
		fprintf(stderr, "snpu-bench: row: NAME VALUE REFERENCE [NOTE]\n");
		return -EINVAL;
	}
	for (i = 0; i < 2; i++) {
		if (strcmp(argv[i + 1], "-") && number("row", argv[i + 1], 0, 1e15, &v[i]))
			return -EINVAL;
	}
	ret = bench_rows_open(cli->json, cli->header);
	if (!ret) {
		ret = bench_row(argv[0], v[0], v[1], true, argc > 3 ? argv[3] : NULL);
		i = bench_rows_close();
		ret = ret ? ret : i;
	}
	return ret;
}

/* Index of a figure, NUM_FIGURES: all of them, -1: there is none */
static int find(const char *name)
{
	size_t i;

	for (i = 0; i < NUM_FIGURES; i++) {
		if (!strcmp(figures[i].name, name))
			return (int)i;
	}
	if (!strcmp(name, "all"))
		return NUM_FIGURES;
	fprintf(stderr, "snpu-bench: '%s' is no figure; try 'snpu-bench --help'\n", name);
	return -1;
}

static int measure(struct cli *cli, int argc, char **argv)
{
	size_t j;
	int i, f, ret;

	for (i = 0; i < argc; i++) {
		if (find(argv[i]) < 0)
			return -EINVAL;
	}
	ret = snpu_open(&cli->open, &cli->b.snpu);
	if (ret)
		return bench_fail(ret, "cannot open NPUs");
	if (!snpu_count(cli->b.snpu)) {
		fprintf(stderr, "snpu-bench: no NPU found over %s\n", snpu_transport(cli->b.snpu));
		snpu_close(cli->b.snpu);
		return -ENODEV;
	}
	cli->b.guest = !strcmp(snpu_transport(cli->b.snpu), "kmd");
	ret = bench_rows_open(cli->json, cli->header);
	for (i = 0; i < argc && !ret; i++) {
		f = find(argv[i]);
		for (j = 0; j < NUM_FIGURES && !ret; j++) {
			if (f == (int)j || (f == NUM_FIGURES && (cli->b.guest ? figures[j].guest :
								 figures[j].direct)))
				ret = figures[j].run(&cli->b);
		}
	}
	i = bench_rows_close();
	snpu_close(cli->b.snpu);
	return ret ? ret : i;
}

int main(int argc, char **argv)
{
	struct cli cli = { .header = true, .b = { .threads = 1, .seconds = 2 } };
	int ret = parse(&cli, argc, argv);

	if (ret)
		return ret < 0 ? 2 : 0;
	argc -= optind;
	argv += optind;
	if (!strcmp(argv[0], "rows")) {
		bench_rows_list();
		ret = 0;
	} else if (!strcmp(argv[0], "row")) {
		ret = row(&cli, argc - 1, argv + 1);
	} else if (!strcmp(argv[0], "copy-limit")) {
		ret = copy_limit();
	} else if (!strcmp(argv[0], "socket-limit")) {
		ret = socket_limit(argc > 1 ? argv[1] : "");
	} else if (!strcmp(argv[0], "coll")) {
		ret = bench_coll(&cli.open, argc, argv);
	} else if (!strcmp(argv[0], "gemm")) {
		ret = bench_gemm(argc, argv);
	} else if (!strcmp(argv[0], "p2p")) {
		ret = bench_p2p(argc, argv);
	} else if (!strcmp(argv[0], "ep")) {
		ret = bench_ep(argc, argv);
	} else if (!strcmp(argv[0], "decode")) {
		ret = bench_decode(argc, argv);
	} else {
		ret = measure(&cli, argc, argv);
	}
	if (fflush(stdout) || ferror(stdout)) {
		fprintf(stderr, "snpu-bench: cannot write: %s\n", strerror(errno));
		return 1;
	}
	return ret == -EINVAL ? 2 : ret ? 1 : 0;
}
