// SPDX-License-Identifier: MIT
/* What the demo prints: a table that grows while it runs, or JSON. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "demo.h"

static struct {
	bool json;
	bool utf8;
	unsigned int rows;
	unsigned int good;
	uint64_t start;
} report;

/* By the variables alone: a small guest has no locale files to ask */
static bool terminal_utf8(void)
{
	static const char *const names[] = { "LC_ALL", "LC_CTYPE", "LANG" };
	const char *value;
	unsigned int i;

	for (i = 0; i < sizeof(names) / sizeof(*names); i++) {
		value = getenv(names[i]);
		if (value && *value)
			return strcasestr(value, "utf-8") || strcasestr(value, "utf8");
	}
	return false;
}

static void size_text(char *buf, size_t len, double bytes)
{
	static const char *const unit[] = { "B", "KiB", "MiB", "GiB", "TiB" };
	unsigned int i = 0;

	while (bytes >= 1024 && i < 4) {
		bytes /= 1024;
		i++;
	}
	snprintf(buf, len, i && bytes < 100 ? "%.1f %s" : "%.0f %s", bytes, unit[i]);
}

static void time_text(char *buf, size_t len, uint64_t ns)
{
	if (ns < 1000000)
		snprintf(buf, len, "%.0f us", (double)ns / 1e3);
	else if (ns < 1000000000)
		snprintf(buf, len, ns < 10000000 ? "%.1f ms" : "%.0f ms", (double)ns / 1e6);
	else
		snprintf(buf, len, "%.2f s", (double)ns / 1e9);
}

/* A JSON string; the text may be a file name of any bytes */
static void json_string(const char *text)
{
	const unsigned char *p = (const unsigned char *)text;

	putchar('"');
	for (; *p; p++) {
		if (*p == '"' || *p == '\\')
			printf("\\%c", *p);
		else if (*p < 0x20 || *p >= 0x7f)
			printf("\\u%04x", *p);
		else
			putchar(*p);
	}
	putchar('"');
}

static void json_field(const char *name, const char *text)
{
	printf(" \"%s\": ", name);
	json_string(text);
	putchar(',');
}

static void rule(void)
{
	int i;

	putchar(' ');
	for (i = 0; i < 118; i++)
		fputs(report.utf8 ? "\u2500" : "-", stdout);
	putchar('\n');
}

static void npu_text(char *buf, size_t len, const struct snpu_info *info)
{
	char node[24] = "";

	if (info->numa_node >= 0)
		snprintf(node, sizeof(node), ", NUMA node %d", info->numa_node);
	snprintf(buf, len, "%s (%s%s%s)", info->path, info->pci[0] ? info->pci : "slot ",
		 info->pci[0] ? "" : (char[2]){ (char)('0' + info->slot % 10), 0 }, node);
}

static void head_table(struct demo *d, const struct snpu_info *first, const struct snpu_info *last)
{
	char hbm[32], text[192];

	size_text(hbm, sizeof(hbm), (double)first->hbm_bytes);
	printf("snpu-demo: %u NPU%s over %s\n\n", d->n, d->n > 1 ? "s" : "",
	       snpu_transport(d->snpu));
	printf("  machine   %s: %u NPUs in %u hosts\n", first->profile, first->machine_npus,
	       first->machine_hosts);
	printf("  an NPU    %.0f Tflop/s bf16, %.0f Top/s int8, %s HBM at %.2f TB/s, "
	       "fabric %.0f GB/s\n",
	       (double)first->flops_bf16 / 1e12, (double)first->ops_int8 / 1e12, hbm,
	       (double)first->hbm_bw / 1e12, (double)first->fabric_bw / 1e9);
	npu_text(text, sizeof(text), first);
	printf("  found     %s", text);
	npu_text(text, sizeof(text), last);
	printf(d->n > 1 ? " ... %s\n" : "\n", text);
	printf("  times and rates are those of this computer, not of the machine it models\n\n");
	printf("  %-24s %9s %4s %8s  %-22s %s\n", "step", "bytes", "NPUs", "time", "rate", "check");
	rule();
}

/**
 * demo_report_start - prints what the demo runs on
 * @d: state, NPUs open
 *
 * Return: 0 or a negative errno, said on stderr
 */
int demo_report_start(struct demo *d)
{
	struct snpu_info first, last;
	int ret;

	ret = snpu_get_info(d->snpu, 0, &first, sizeof(first));
	if (!ret)
		ret = snpu_get_info(d->snpu, d->n - 1, &last, sizeof(last));
	if (ret)
		return demo_fail(ret, "cannot ask the NPUs who they are");
	report.json = d->opts.json;
	report.utf8 = terminal_utf8();
	report.start = demo_now();
	if (report.json) {
		putchar('{');
		json_field("profile", first.profile);
		json_field("transport", snpu_transport(d->snpu));
		printf(" \"npus\": %u, \"rows\": [", d->n);
	} else {
		head_table(d, &first, &last);
	}
	fflush(stdout);
	return 0;
}

/**
 * demo_report_part - prints the title of a part of the table
 * @title: the title
 */
void demo_report_part(const char *title)
{
	if (!report.json)
		printf(" %s\n", title);
	fflush(stdout);
}

/**
 * demo_report_row - prints and counts a line of the table
 * @row: the line
 */
void demo_report_row(const struct demo_row *row)
{
	char size[32], time[32], rate[64];

	report.rows++;
	report.good += row->ok;
	if (report.json) {
		printf("%s\n {", report.rows > 1 ? "," : "");
		json_field("step", row->step);
		printf(" \"bytes\": %llu, \"npus\": %u, \"ns\": %llu, \"rate\": %.6g,",
		       (unsigned long long)row->bytes, row->npus, (unsigned long long)row->ns,
		       row->rate);
		json_field("unit", row->unit);
		if (row->name2)
			printf(" \"%s\": %.6g,", row->name2, row->rate2);
		json_field("check", row->check);
		printf(" \"ok\": %s }", row->ok ? "true" : "false");
		fflush(stdout);
		return;
	}
	size_text(size, sizeof(size), (double)row->bytes);
	time_text(time, sizeof(time), row->ns);
	snprintf(rate, sizeof(rate), row->name2 ? "%.2f %s, %s %.2f" : "%.2f %s", row->rate,
		 row->unit, row->name2, row->rate2);
	printf("  %-24s %9s %4u %8s  %-22s %s %s\n", row->step, size, row->npus, time, rate,
	       row->ok ? (report.utf8 ? "\u2713" : "ok ") : (report.utf8 ? "\u2717" : "BAD"),
	       row->check);
	fflush(stdout);
}

/**
 * demo_report_file - prints the digest of the file that was broadcast
 * @path: its name
 * @bytes: its size
 * @digest: SHA-256, hexadecimal
 */
void demo_report_file(const char *path, uint64_t bytes, const char *digest)
{
	if (report.json) {
		/* rows are an array: the file is a row of its own kind */
		printf("%s\n {", report.rows ? "," : "");
		json_field("file", path);
		printf(" \"bytes\": %llu, \"sha256\": \"%s\" }", (unsigned long long)bytes, digest);
		return;
	}
	printf("    %s\n    sha256 %s\n", path, digest);
	fflush(stdout);
}

/**
 * demo_report_end - prints the verdict
 * @complete: all steps were run
 *
 * Return: whether everything held
 */
bool demo_report_end(bool complete)
{
	bool ok = complete && report.rows && report.good == report.rows;
	double seconds = (double)(demo_now() - report.start) / 1e9;

	if (report.json) {
		printf("\n ], \"checks\": %u, \"passed\": %u, \"seconds\": %.3f, \"ok\": %s }\n",
		       report.rows, report.good, seconds, ok ? "true" : "false");
	} else {
		rule();
		printf("  %s: %u of %u checks passed%s, %.1f s in all\n", ok ? "PASS" : "FAIL",
		       report.good, report.rows, complete ? "" : ", then a step could not be run",
		       seconds);
	}
	return ok;
}

/**
 * demo_rate - bytes in a time, in GB/s (10^9)
 * @bytes: how many
 * @ns: the time
 *
 * Return: the rate
 */
double demo_rate(uint64_t bytes, uint64_t ns)
{
	return (double)bytes / (double)ns;
}
