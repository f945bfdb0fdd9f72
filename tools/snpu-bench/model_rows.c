// SPDX-License-Identifier: MIT
/* snpu-bench: options and output of the figures in virtual time. */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "model.h"

static struct {
	FILE *json;
	unsigned int count;
	bool outside;
	double worst;		/* error, as a share of nothing: in its unit */
	bool any;
} out;

int model_rows_open(const struct model_opts *o, const char *what)
{
	memset(&out, 0, sizeof(out));
	if (o->json && !o->summary) {
		out.json = fopen(o->json, "we");
		if (!out.json) {
			fprintf(stderr, "snpu-bench: %s: %s\n", o->json, strerror(errno));
			return -errno;
		}
		fputc('[', out.json);
	}
	if (!o->summary)
		printf("%s, profile %s, virtual time\n%-42s %10s %-10s %10s %9s  %s\n", what,
		       o->profile, "", "model", "", "published", "error", "source");
	return 0;
}

static void number(const char *key, double v)
{
	if (isfinite(v))
		fprintf(out.json, " \"%s\": %.6g,", key, v);
	else
		fprintf(out.json, " \"%s\": null,", key);
}

void model_row(const struct model_row *r)
{
	double err = r->points ? r->value - r->published : 100 * (r->value / r->published - 1);
	bool known = isfinite(r->published);
	bool ok = !known || !r->bar ||
		  (r->at_least ? r->value >= r->published : fabs(err) <= r->bar);
	char pub[32] = "-", text[32] = "-";

	if (known) {
		snprintf(pub, sizeof(pub), r->published < 1000 ? "%.4g" : "%.0f", r->published);
		snprintf(text, sizeof(text), "%+.1f %s", err, r->points ? "pt" : "%");
	}
	if (known && r->bar && !r->at_least && (fabs(err) > out.worst || !out.any)) {
		out.worst = fabs(err);
		out.any = true;
	}
	out.outside |= !ok;
	printf(r->value < 1000 ? "%-42s %10.4g %-10s %10s %9s  %s%s\n" :
	       "%-42s %10.0f %-10s %10s %9s  %s%s\n", r->name, r->value, r->unit, pub, text,
	       known ? r->source : "", ok ? "" : "  OUTSIDE");
	fflush(stdout);
	if (!out.json)
		return;
	fprintf(out.json, "%s\n{ \"name\": \"%s\",", out.count++ ? "," : "", r->name);
	number("model", r->value);
	fprintf(out.json, " \"unit\": \"%s\",", r->unit);
	number("published", r->published);
	number("error", known ? err : NAN);
	fprintf(out.json, " \"error_in\": \"%s\",", r->points ? "points" : "percent");
	number("bar", r->bar ? r->bar : NAN);
	fprintf(out.json, " \"source\": \"%s\", \"ok\": %s }", known ? r->source : "",
		ok ? "true" : "false");
}

int model_rows_close(const struct model_opts *o, const char *row)
{
	int bad = 0;

	if (out.json) {
		fputs("\n]\n", out.json);
		bad = ferror(out.json);
		bad |= fclose(out.json);
	}
	if (bad) {
		fprintf(stderr, "snpu-bench: %s: cannot be written\n", o->json);
		return -EIO;
	}
	if (o->summary && row) {
		bad = bench_rows_open(o->json, false);
		if (!bad)
			bad = out.any ? bench_row(row, out.worst, NAN, !out.outside,
						  "largest error") :
				bench_row_missing(row, "nothing was published for this");
		if (!bad)
			bad = bench_rows_close();
		return bad;
	}
	return o->check && out.outside ? 1 : 0;
}

int model_list(const char *opt, const char *text, double min, double max, double *list, int room)
{
	const char *p = text;
	char *end;
	int n = 0;

	do {
		errno = 0;
		list[n] = strtod(p, &end);
		if (errno || end == p || !(list[n] >= min && list[n] <= max) ||
		    (*end && *end != ',') || n + 1 == room) {
			fprintf(stderr, "snpu-bench: %s: '%s': numbers from %g to %g, at most %d, "
				"with commas between\n", opt, text, min, max, room - 1);
			return -EINVAL;
		}
		n++;
		p = end + 1;
	} while (*end);
	return n;
}

static const char common[] =
"  -p, --profile NAME|FILE  machine profile (default cm384)\n"
"      --snpud PROGRAM      snpud to start (default: the one beside this program)\n"
"  -j, --json FILE          write the figures to FILE\n"
"  -c, --check              exit with 1 if a figure is outside its bar\n"
"  -b, --row                then print one row as make bench has it: the largest error\n"
"  -h, --help               print this and leave\n";

int model_options(int argc, char **argv, const char *help, const struct option *own,
		  int (*take)(void *ctx, int c, const char *arg), void *ctx, struct model_opts *o)
{
	static const struct option base[] = {
		{ "profile", required_argument, NULL, 'p' },
		{ "snpud", required_argument, NULL, 'S' },
		{ "json", required_argument, NULL, 'j' },
		{ "check", no_argument, NULL, 'c' },
		{ "row", no_argument, NULL, 'b' },
		{ "help", no_argument, NULL, 'h' },
	};
	struct option longs[24] = { 0 };
	size_t n = sizeof(base) / sizeof(*base);
	char shorts[64] = "p:j:cbh";
	int c, ret = 0;

	memcpy(longs, base, sizeof(base));
	for (; own->name && n < 23; own++) {
		snprintf(shorts + strlen(shorts), 3, "%c%s", own->val, own->has_arg ? ":" : "");
		longs[n++] = *own;
	}
	o->profile = "cm384";
	optind = 0;
	while (!ret && (c = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
		switch (c) {
		case 'p':
			o->profile = optarg;
			break;
		case 'S':
			o->snpud = optarg;
			break;
		case 'j':
			o->json = optarg;
			break;
		case 'c':
			o->check = true;
			break;
		case 'b':
			o->summary = true;
			break;
		case 'h':
			printf("%s%s", help, common);
			return 1;
		case '?':
			ret = -EINVAL;
			break;
		default:
			ret = take(ctx, c, optarg);
		}
	}
	if (!ret && optind < argc) {
		fprintf(stderr, "snpu-bench: '%s': no argument is taken\n", argv[optind]);
		ret = -EINVAL;
	}
	if (ret)
		fprintf(stderr, "snpu-bench: try 'snpu-bench %s --help'\n", argv[0]);
	return ret;
}
