// SPDX-License-Identifier: MIT
/* snpu-bench coll: collectives, with the columns of nccl-tests; options, table, JSON. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coll.h"

static const char help[] =
"usage: snpu-bench [-t NAME] [-d DIR] coll [OPTIONS]\n"
"\n"
"Runs collective operations on NPUs, one rank on each, and compares every result with a\n"
"reference bit for bit. Exits 1 when anything is wrong.\n"
"\n"
"  -o, --op NAME        all_reduce (default), reduce_scatter, all_gather, broadcast, reduce,\n"
"                       all_to_all, barrier, or several with commas, all\n"
"  -b, --min BYTES      smallest size, with K, M, G (default 1M)\n"
"  -e, --max BYTES      largest size (default: that of -b)\n"
"  -f, --factor F       from one size to the next (default 2)\n"
"  -n, --iters N        operations that are measured (default 5)\n"
"  -w, --warmup N       operations before (default 1)\n"
"  -c, --check 0|1      compare results (default 1)\n"
"  -T, --type NAME      f32 (default), f16, bf16, i8, i32, i64\n"
"  -r, --redop NAME     sum (default), prod, min, max, avg\n"
"  -R, --root RANK      of broadcast and reduce (default 0)\n"
"  -a, --algo NAME      auto (default), ring, hd, tree, hier, pairwise, switch\n"
"  -g, --ranks N        ranks (default: one for each NPU)\n"
"  -H, --hosts N        NPUs of the first N hosts only\n"
"  -S, --slot BYTES     largest piece\n"
"  -i, --in-place       results over operands\n"
"  -u, --register       others read buffers in place, where the algorithm can\n"
"  -t, --timing-only    timing-only queues: no data, virtual time only\n"
"  -s, --timeout S      longest wait for another rank (default 60)\n"
"  -j, --json FILE      also write results to FILE, a JSON object in each line\n"
"  -J, --json-lines     these lines on stdout instead of the table\n"
"\n"
"With ranks in other processes or guests, of which each runs this with the same sizes:\n"
"  -N, --uid-name NAME  they find each other by this name\n"
"  -B, --rank-base R    number of the first rank here\n"
"  -A, --ranks-total N  ranks in all\n"
"  -h, --help\n";

static int size(const char *opt, const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
	static const char units[] = "KMGT";
	const char *u;
	uint64_t v;
	char *end;

	errno = 0;
	v = strtoull(text, &end, 10);
	u = *end ? strchr(units, *end & ~0x20) : NULL;
	if (u && *u) {
		v <<= 10 * (u - units + 1);
		end++;
	}
	if (errno || end == text || *text == '-' || *end || v < min || v > max) {
		fprintf(stderr, "snpu-bench: coll: %s: '%s' is not a number from %llu to %llu\n",
			opt, text, (unsigned long long)min, (unsigned long long)max);
		return -EINVAL;
	}
	*out = v;
	return 0;
}

static int number(const char *opt, const char *text, unsigned int min, unsigned int max,
		  unsigned int *out)
{
	uint64_t v;
	int ret = size(opt, text, min, max, &v);

	if (!ret)
		*out = (unsigned int)v;
	return ret;
}

/* Which of the names a word is */
static int word(const char *opt, const char *text, const char *(*name)(unsigned int),
		unsigned int count, unsigned int *out)
{
	unsigned int i;

	for (i = 0; i < count; i++) {
		if (name(i) && !strcmp(name(i), text)) {
			*out = i;
			return 0;
		}
	}
	fprintf(stderr, "snpu-bench: coll: %s: '%s' is none of", opt, text);
	for (i = 0; i < count; i++) {
		if (name(i))
			fprintf(stderr, " %s", name(i));
	}
	fputc('\n', stderr);
	return -EINVAL;
}

/* Names with commas between them, as a mask */
static int operations(const char *text, unsigned int *ops)
{
	char buf[256], *save, *name;
	unsigned int op;
	int ret = 0;

	*ops = (1u << SNPU_COLL_OPS) - 1;
	if (!strcmp(text, "all"))
		return 0;
	*ops = 0;
	snprintf(buf, sizeof(buf), "%s", text);
	for (name = strtok_r(buf, ",", &save); name && !ret; name = strtok_r(NULL, ",", &save)) {
		ret = word("--op", name, snpu_coll_op_name, SNPU_COLL_OPS, &op);
		if (!ret)
			*ops |= 1u << op;
	}
	if (!ret && !*ops)
		ret = word("--op", text, snpu_coll_op_name, SNPU_COLL_OPS, &op);
	return ret;
}

static int option(struct coll_opts *o, int c, const char *arg)
{
	unsigned int v = 0;
	uint64_t f;
	int ret;

	switch (c) {
	case 'o':
		return operations(arg, &o->ops);
	case 'b':
		return size("--min", arg, 0, 1ull << 36, &o->min);
	case 'e':
		return size("--max", arg, 0, 1ull << 36, &o->max);
	case 'f':
		ret = size("--factor", arg, 2, 1024, &f);
		o->factor = (double)f;
		return ret;
	case 'n':
		return number("--iters", arg, 1, 100000, &o->iters);
	case 'w':
		return number("--warmup", arg, 0, 100000, &o->warmup);
	case 'c':
		ret = number("--check", arg, 0, 1, &v);
		o->check = v;
		return ret;
	case 'T':
		return word("--type", arg, snpu_coll_dtype_name, SNPU_DT_MAX + 1, &o->dtype);
	case 'r':
		return word("--redop", arg, snpu_coll_redop_name, SNPU_COLL_REDOPS, &o->redop);
	case 'R':
		return number("--root", arg, 0, SNPU_COLL_MAX_RANKS - 1, &o->root);
	case 'a':
		return word("--algo", arg, snpu_coll_algo_name, SNPU_COLL_ALGOS, &o->algo);
	case 'g':
		return number("--ranks", arg, 1, SNPU_COLL_MAX_RANKS, &o->ranks);
	case 'H':
		return number("--hosts", arg, 1, 65536, &o->hosts);
	case 'S':
		return size("--slot", arg, 1024, 4 << 20, &o->slot);
	case 's':
		return number("--timeout", arg, 1, 86400, &o->timeout_s);
	case 'B':
		return number("--rank-base", arg, 0, SNPU_COLL_MAX_RANKS - 1, &o->base);
	case 'A':
		return number("--ranks-total", arg, 1, SNPU_COLL_MAX_RANKS, &o->total);
	case 'i':
		o->in_place = true;
		return 0;
	case 'u':
		o->reg = true;
		return 0;
	case 't':
		o->timing = true;
		return 0;
	case 'j':
		o->json = arg;
		return 0;
	case 'J':
		o->lines = true;
		return 0;
	case 'N':
		o->name = arg;
		return 0;
	default:
		return -EINVAL;
	}
}

/* 0: go on; 1: done; negative: wrong */
static int parse(struct coll_opts *o, int argc, char **argv)
{
	static const struct option longs[] = {
		{ "op", required_argument, NULL, 'o' },
		{ "min", required_argument, NULL, 'b' },
		{ "max", required_argument, NULL, 'e' },
		{ "factor", required_argument, NULL, 'f' },
		{ "iters", required_argument, NULL, 'n' },
		{ "warmup", required_argument, NULL, 'w' },
		{ "check", required_argument, NULL, 'c' },
		{ "type", required_argument, NULL, 'T' },
		{ "redop", required_argument, NULL, 'r' },
		{ "root", required_argument, NULL, 'R' },
		{ "algo", required_argument, NULL, 'a' },
		{ "ranks", required_argument, NULL, 'g' },
		{ "hosts", required_argument, NULL, 'H' },
		{ "slot", required_argument, NULL, 'S' },
		{ "in-place", no_argument, NULL, 'i' },
		{ "register", no_argument, NULL, 'u' },
		{ "timing-only", no_argument, NULL, 't' },
		{ "timeout", required_argument, NULL, 's' },
		{ "json", required_argument, NULL, 'j' },
		{ "json-lines", no_argument, NULL, 'J' },
		{ "uid-name", required_argument, NULL, 'N' },
		{ "rank-base", required_argument, NULL, 'B' },
		{ "ranks-total", required_argument, NULL, 'A' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int c, ret = 0;

	optind = 0;	/* main() has used it */
	while (!ret && (c = getopt_long(argc, argv, "o:b:e:f:n:w:c:T:r:R:a:g:H:S:iuts:j:JN:B:A:h",
					longs, NULL)) != -1) {
		if (c == 'h') {
			fputs(help, stdout);
			return 1;
		}
		ret = option(o, c, optarg);
	}
	o->max = o->max < o->min ? o->min : o->max;
	if (!ret && optind < argc) {
		fprintf(stderr, "snpu-bench: coll: '%s' is too much\n", argv[optind]);
		ret = -EINVAL;
	}
	if (!ret && o->name && !o->total) {
		fprintf(stderr, "snpu-bench: coll: --uid-name needs --ranks-total\n");
		ret = -EINVAL;
	}
	if (!ret && o->in_place && (o->ops & (1u << SNPU_COLL_ALL_TO_ALL))) {
		fprintf(stderr, "snpu-bench: coll: all_to_all has no --in-place\n");
		ret = -EINVAL;
	}
	if (ret)
		fprintf(stderr, "snpu-bench: try 'snpu-bench coll --help'\n");
	return ret;
}

/* nccl-tests, PERFORMANCE.md: what a link carries, whatever the number of ranks */
static double bus_factor(unsigned int op, unsigned int n)
{
	switch (op) {
	case SNPU_COLL_ALL_REDUCE:
		return 2.0 * (n - 1) / n;
	case SNPU_COLL_REDUCE_SCATTER:
	case SNPU_COLL_ALL_GATHER:
	case SNPU_COLL_ALL_TO_ALL:
		return (double)(n - 1) / n;
	default:
		return 1;
	}
}

/* Does the machine keep virtual time? */
static bool keeps_time(const struct coll_world *w)
{
	struct snpu_info info;

	return !snpu_get_info(w->snpu, 0, &info, sizeof(info)) && info.caps & SNPU_CAP_TIMING;
}

static void header(const struct coll_world *w)
{
	printf("# %u ranks on %u hosts, %s, set up in %.2f s; %u iterations after %u%s\n", w->total,
	       snpu_coll_hosts(w->rank[0].comm), snpu_transport(w->snpu),
	       (double)w->setup_ns / 1e9, w->o->iters, w->o->warmup,
	       w->o->in_place ? ", in place" : "");
	if (w->o->reg)
		printf("# buffers are registered\n");
	printf("# %-14s %-8s %12s %12s %5s %5s %4s | %11s %8s %8s %7s", "op",
	       "algo", "size", "count", "type", "redop", "root", "wall", "algbw", "busbw", "#wrong");
	if (keeps_time(w))
		printf(" | %11s %8s %8s", "virtual", "algbw", "busbw");
	printf("\n# %-14s %-8s %12s %12s %5s %5s %4s | %11s %8s %8s %7s", "", "",
	       "B", "elements", "", "", "", "us", "GB/s", "GB/s", "");
	if (keeps_time(w))
		printf(" | %11s %8s %8s", "us", "GB/s", "GB/s");
	putchar('\n');
}

static void print(const struct coll_world *w, const struct coll_case *c)
{
	const double bus = bus_factor(c->op, w->total), bytes = (double)c->size;
	const int algo = snpu_coll_algo_of(w->rank[0].comm, c->op, c->size);
	bool reduces = c->op == SNPU_COLL_ALL_REDUCE || c->op == SNPU_COLL_REDUCE ||
		       c->op == SNPU_COLL_REDUCE_SCATTER;
	char root[16] = "-1", wrong[24] = "N/A";

	if (c->op == SNPU_COLL_BROADCAST || c->op == SNPU_COLL_REDUCE)
		snprintf(root, sizeof(root), "%u", w->o->root);
	if (c->wrong != UINT64_MAX)
		snprintf(wrong, sizeof(wrong), "%llu", (unsigned long long)c->wrong);
	printf("  %-14s %-8s %12llu %12llu %5s %5s %4s | %11.2f %8.2f %8.2f %7s",
	       snpu_coll_op_name(c->op), snpu_coll_algo_name((unsigned int)algo),
	       (unsigned long long)c->size, (unsigned long long)c->count,
	       snpu_coll_dtype_name(w->o->dtype),
	       reduces ? snpu_coll_redop_name(w->o->redop) : "none", root, c->wall_ns / 1e3,
	       bytes / c->wall_ns, bytes / c->wall_ns * bus, wrong);
	if (c->virt_ns > 0)
		printf(" | %11.2f %8.2f %8.2f", c->virt_ns / 1e3, bytes / c->virt_ns,
		       bytes / c->virt_ns * bus);
	putchar('\n');
	fflush(stdout);
}

static void print_json(FILE *f, const struct coll_world *w, const struct coll_case *c)
{
	const double bus = bus_factor(c->op, w->total), bytes = (double)c->size;
	const int algo = snpu_coll_algo_of(w->rank[0].comm, c->op, c->size);
	unsigned int i;

	fprintf(f, "{\"op\": \"%s\", \"algo\": \"%s\", \"ranks\": %u, \"hosts\": %u, "
		"\"size\": %llu, \"count\": %llu, \"type\": \"%s\", \"redop\": \"%s\", "
		"\"root\": %u, "
		"\"wall_us\": %.3f, \"algbw\": %.4f, \"busbw\": %.4f, ", snpu_coll_op_name(c->op),
		snpu_coll_algo_name((unsigned int)algo), w->total,
		snpu_coll_hosts(w->rank[0].comm), (unsigned long long)c->size,
		(unsigned long long)c->count, snpu_coll_dtype_name(w->o->dtype),
		snpu_coll_redop_name(w->o->redop), w->o->root, c->wall_ns / 1e3,
		bytes / c->wall_ns, bytes / c->wall_ns * bus);
	if (c->virt_ns > 0)
		fprintf(f, "\"virtual_us\": %.3f, \"virtual_algbw\": %.4f, "
			"\"virtual_busbw\": %.4f, ",
			c->virt_ns / 1e3, bytes / c->virt_ns, bytes / c->virt_ns * bus);
	fprintf(f, "\"rank_base\": %u, \"rank_count\": %u, \"wrong\": ", w->o->base, w->n);
	if (c->wrong == UINT64_MAX) {
		fprintf(f, "null}\n");
	} else {
		fprintf(f, "%llu, \"errors\": [", (unsigned long long)c->wrong);
		for (i = 0; i < w->n; i++)
			fprintf(f, "%s%llu", i ? ", " : "", (unsigned long long)w->rank[i].wrong);
		fprintf(f, "]}\n");
	}
	fflush(f);
}

/* All sizes of an operation; adds what is wrong */
static int sweep(struct coll_world *w, unsigned int op, FILE *json, uint64_t *wrong)
{
	const unsigned int esize = (unsigned int)snpu_dtype_size(w->o->dtype);
	const bool parts = op == SNPU_COLL_REDUCE_SCATTER || op == SNPU_COLL_ALL_GATHER ||
			   op == SNPU_COLL_ALL_TO_ALL;
	double bytes;
	int ret = 0;

	for (bytes = (double)w->o->min; bytes <= (double)w->o->max && !ret; bytes *= w->o->factor) {
		struct coll_case c = { .op = op };

		c.count = (uint64_t)bytes / esize / (parts ? w->total : 1);
		c.count = op == SNPU_COLL_BARRIER ? 0 : c.count;
		c.size = c.count * esize * (parts ? w->total : 1);
		ret = coll_run(w, &c);
		if (ret)
			break;
		if (c.wrong != UINT64_MAX)
			*wrong += c.wrong;
		if (json)
			print_json(json, w, &c);
		if (w->o->lines)
			print_json(stdout, w, &c);
		else
			print(w, &c);
		if (op == SNPU_COLL_BARRIER || !w->o->min)
			break;
	}
	return ret;
}

/**
 * bench_coll - the command coll
 * @open: how to find NPUs
 * @argc: of its own arguments, with the command's name
 * @argv: these
 *
 * Return: 0; a negative errno, said on stderr; -EBADMSG: results are wrong
 */
int bench_coll(const struct snpu_open_params *open, int argc, char **argv)
{
	struct coll_opts o = {
		.min = 1 << 20, .factor = 2, .iters = 5, .warmup = 1, .check = true,
		.ops = 1u << SNPU_COLL_ALL_REDUCE, .dtype = SNPU_DT_F32, .timeout_s = 60,
	};
	struct coll_world w = { .o = &o };
	uint64_t wrong = 0;
	FILE *json = NULL;
	unsigned int op;
	int ret;

	ret = parse(&o, argc, argv);
	if (ret)
		return ret < 0 ? ret : 0;
	if (o.json && !(json = fopen(o.json, "w"))) {
		fprintf(stderr, "snpu-bench: %s: %s\n", o.json, strerror(errno));
		return -EIO;
	}
	ret = snpu_open(open, &w.snpu);
	if (ret)
		bench_fail(ret, "cannot open NPUs");
	else
		ret = coll_world_open(&w);
	if (!ret && !o.lines)
		header(&w);
	for (op = 0; op < SNPU_COLL_OPS && !ret; op++) {
		if (o.ops & (1u << op))
			ret = sweep(&w, op, json, &wrong);
	}
	if (!ret && !o.lines)
		printf("# wrong elements: %llu\n", (unsigned long long)wrong);
	coll_world_close(&w);
	snpu_close(w.snpu);
	if (json && fclose(json)) {
		fprintf(stderr, "snpu-bench: %s: cannot write\n", o.json);
		ret = ret ? ret : -EIO;
	}
	return ret ? ret : wrong ? -EBADMSG : 0;
}
