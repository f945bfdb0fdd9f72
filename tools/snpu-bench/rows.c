// SPDX-License-Identifier: MIT
/* The rows there are, their bars, and how they are printed. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "bench.h"

/**
 * struct row - a figure to reach
 * @name: of the row
 * @unit: of value and reference
 * @peer: what the reference is
 * @bar: number to reach
 * @on_ratio: the bar is for value / reference, else for the value
 * @lower: lower is better
 * @within: the ratio may be off 1 by the bar at most
 */
struct row {
	const char *name;
	const char *unit;
	const char *peer;
	double bar;
	bool on_ratio;
	bool lower;
	bool within;
};

static const struct row rows[] = {
	{ "nop-latency-direct", "us", "shared-memory hop", 1.0, false, true },
	{ "nop-throughput-direct", "Mpackets/s", "ring between two threads", 3.0, false, false },
	{ "nop-latency-guest", "us", "shared-memory hop in the guest", 15, false, true },
	{ "peer-copy-direct", "GB/s", "best CPU copy", 0.8, true, false },
	{ "host-to-hbm-guest", "GB/s", "best CPU copy on the host", 0.7, true, false },
	{ "hbm-to-host-guest", "GB/s", "best CPU copy on the host", 0.7, true, false },
	{ "matmul-bf16", "Gflop/s", "oneDNN called directly", 0.9, true, false },
	{ "matmul-int8", "Gop/s", "oneDNN called directly", 0.9, true, false },
	{ "snpud-384-start", "s", "384 sockets and files, bare", 2, false, true },
	{ "snpud-384-rss", "MiB", "snpud with one NPU", 512, false, true },
	{ "snpud-idle-guest", "% of a core", "QEMU, idle too", 1, false, true },
	{ "guest-start", "s", "guest without NPUs", 12, false, true },
	{ "gemm-int8", "points", "published", 2, false, true },
	{ "gemm-bf16-cm384-781", "%", "published", 1, false, true },
	{ "gemm-bf16-nvl72", "%", "published", 1, false, true },
	{ "p2p-cm384", "%", "published", 5, false, true },
	{ "ep-cm384", "%", "published", 10, false, true },
	{ "decode-cm384", "%", "published", 10, false, true },
	{ "flows-rotated", "flows/s", "SimGrid, same traffic", 3, true, false },
	{ "flows-same", "flows/s", "SimGrid, same traffic", 3, true, false },
	{ "supernode-48", "s", "", 300, false, true },
	{ "demo-cached", "s", "the demo, direct", 90, false, true },
	{ "snpud-384-used", "MiB", "the same with 48 NPUs", 1024, false, true },
	{ "all-reduce-384", "operations/s", "Open MPI, 384 ranks", 5, true, false },
	{ "busbw-h100-8", "GB/s", "published, ring", 0.15, true, true, true },
	{ "busbw-h100-8-switch", "GB/s", "published, in switches", 0.15, true, true, true },
	{ "busbw-nvl72-8g", "GB/s", "published, in switches", 0.15, true, true, true },
	{ "busbw-nvl72-512m", "GB/s", "published, in switches", 0.15, true, true, true },
};

static struct {
	FILE *json;
	const char *path;
	unsigned int count;
} out;

static const struct row *find(const char *name)
{
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		if (!strcmp(rows[i].name, name))
			return &rows[i];
	}
	return NULL;
}

/**
 * bench_rows_list - prints the names of all rows
 */
void bench_rows_list(void)
{
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		printf("%s\n", rows[i].name);
}

/**
 * bench_rows_open - starts the output
 * @json_path: file for an array of objects, NULL: none
 * @header: print the names of the columns
 *
 * Return: 0 or a negative errno, said on stderr
 */
int bench_rows_open(const char *json_path, bool header)
{
	if (json_path) {
		out.path = json_path;
		out.json = fopen(json_path, "we");
		if (!out.json) {
			fprintf(stderr, "snpu-bench: %s: %s\n", json_path, strerror(errno));
			return -errno;
		}
		fputc('[', out.json);
	}
	if (header)
		printf("%-22s %10s %-12s %10s %-31s %9s %-8s %s\n", "name", "value", "unit",
		       "reference", "", "ratio", "bar", "");
	return 0;
}

/**
 * bench_rows_close - ends the output
 *
 * Return: 0 or -EIO, said on stderr
 */
int bench_rows_close(void)
{
	int bad = 0;

	if (out.json) {
		fputs("\n]\n", out.json);
		bad = ferror(out.json);
		bad |= fclose(out.json);
		out.json = NULL;
	}
	if (bad) {
		fprintf(stderr, "snpu-bench: %s: cannot be written\n", out.path);
		return -EIO;
	}
	return 0;
}

static void json_number(const char *name, double v)
{
	if (isfinite(v))
		fprintf(out.json, " \"%s\": %.6g,", name, v);
	else
		fprintf(out.json, " \"%s\": null,", name);
}

/* Notes are ours, but may quote an error message */
static void json_note(const char *note)
{
	fputs(" \"note\": \"", out.json);
	for (; *note; note++) {
		if (*note == '"' || *note == '\\')
			fputc('\\', out.json);
		if ((unsigned char)*note >= 0x20)
			fputc(*note, out.json);
	}
	fputs("\",", out.json);
}

static void print(const struct row *r, double value, double reference, bool ok, const char *note)
{
	double ratio = value / reference;
	char num[3][32], bar[32];

	snprintf(num[0], 32, isfinite(value) ? "%.3g" : "-", value);
	snprintf(num[1], 32, isfinite(reference) ? "%.3g" : "-", reference);
	snprintf(num[2], 32, isfinite(ratio) ? "%.2f x" : "-", ratio);
	if (value >= 1000)
		snprintf(num[0], 32, "%.0f", value);
	if (reference >= 1000)
		snprintf(num[1], 32, "%.0f", reference);
	if (r->within)
		snprintf(bar, sizeof(bar), "+- %g%%", r->bar * 100);
	else
		snprintf(bar, sizeof(bar), "%s %g%s", r->lower ? "<=" : ">=", r->bar,
			 r->on_ratio ? " x" : "");
	printf("%-22s %10s %-12s %10s %-31s %9s %-8s %s%s%s\n", r->name, num[0], r->unit, num[1],
	       r->peer, num[2], bar, ok ? "ok" : "short", note ? ": " : "", note ? note : "");
	fflush(stdout);
	if (!out.json)
		return;
	fprintf(out.json, "%s\n{ \"name\": \"%s\",", out.count++ ? "," : "", r->name);
	json_number("value", value);
	fprintf(out.json, " \"unit\": \"%s\",", r->unit);
	json_number("reference", reference);
	fprintf(out.json, " \"reference_is\": \"%s\",", r->peer);
	json_number("ratio", ratio);
	fprintf(out.json, " \"bar\": %g, \"bar_for\": \"%s\", \"better\": \"%s\",", r->bar,
		r->within ? "error" : r->on_ratio ? "ratio" : "value", r->lower ? "lower" : "higher");
	if (note)
		json_note(note);
	fprintf(out.json, " \"ok\": %s }", ok ? "true" : "false");
}

/**
 * bench_row - prints a row
 * @name: of the row
 * @value: measured
 * @reference: limit or peer, measured in the same run; NAN: none
 * @proven: what else the row asks for holds
 * @note: to print at the end, or NULL
 *
 * Return: 0, or -EINVAL for a name that is not in the table, said on stderr
 */
int bench_row(const char *name, double value, double reference, bool proven, const char *note)
{
	const struct row *r = find(name);
	double judged;

	if (!r) {
		fprintf(stderr, "snpu-bench: no row '%s'; 'snpu-bench rows' lists them\n", name);
		return -EINVAL;
	}
	judged = r->on_ratio ? value / reference : value;
	if (r->within)
		judged = fabs(judged - 1);
	print(r, value, reference,
	      proven && isfinite(judged) && (r->lower ? judged <= r->bar : judged >= r->bar), note);
	return 0;
}

/**
 * bench_row_missing - prints a row that could not be measured
 * @name: of the row
 * @why: reason
 *
 * Return: as bench_row()
 */
int bench_row_missing(const char *name, const char *why)
{
	return bench_row(name, NAN, NAN, false, why);
}

/**
 * bench_why - reason for a failed measurement, as a note
 * @ret: negative errno
 *
 * Return: text, valid until the next call
 */
const char *bench_why(int ret)
{
	static char text[256];

	snprintf(text, sizeof(text), "not measured: %s%s%s", strerror(-ret),
		 *snpu_last_error() ? "; " : "", snpu_last_error());
	return text;
}
