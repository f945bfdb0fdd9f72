// SPDX-License-Identifier: MIT
/*
 * The picture of snpuctl fabric map: a matrix of all pairs, a bar for each plane, a field of switches.
 * Colours are logarithmic: a small control message and a bulk transfer are both to be seen.
 */
#include <errno.h>
#include <inttypes.h>
#include <math.h>

#include "map.h"

#define MATRIX		768.0	/* side of the matrix, units of the picture */
#define LEFT		60.0
#define TOP		70.0
#define SIDE		(LEFT + MATRIX + 60.0)
#define BAR		420.0

/* From pale to dark, the same for everything: 0 .. 1 */
static void colour(double t, char *buf, size_t len)
{
	static const int stop[][3] = { { 235, 243, 250 }, { 158, 202, 225 }, { 49, 130, 189 },
				       { 8, 48, 107 }, { 90, 10, 60 } };
	int i = (int)(t * 4), c[3], k;
	double f;

	i = i < 0 ? 0 : i > 3 ? 3 : i;
	f = t * 4 - i;
	for (k = 0; k < 3; k++)
		c[k] = (int)(stop[i][k] + f * (stop[i + 1][k] - stop[i][k]));
	snprintf(buf, len, "#%02x%02x%02x", c[0], c[1], c[2]);
}

static double shade(uint64_t bytes, uint64_t max)
{
	double low = 3.0, high = log10((double)(max ? max : 1)), v;

	if (!bytes)
		return 0;
	high = high < low + 1 ? low + 1 : high;
	v = (log10((double)bytes) - low) / (high - low);
	return v < 0.08 ? 0.08 : v > 1 ? 1 : v;
}

static void human(uint64_t v, char *buf, size_t len)
{
	static const char *const unit[] = { "B", "kB", "MB", "GB", "TB", "PB", "EB" };
	double d = (double)v;
	unsigned int u = 0;

	while (d >= 999.5 && u < 6) {
		d /= 1000;
		u++;
	}
	snprintf(buf, len, u && d < 99.95 ? "%.1f %s" : "%.0f %s", d, unit[u]);
}

/* Text of an XML file */
static void escaped(FILE *f, const char *s)
{
	for (; *s; s++) {
		switch (*s) {
		case '<':
			fputs("&lt;", f);
			break;
		case '>':
			fputs("&gt;", f);
			break;
		case '&':
			fputs("&amp;", f);
			break;
		default:
			if ((unsigned char)*s >= ' ')
				fputc(*s, f);
		}
	}
}

static void label(FILE *f, double x, double y, const char *attr, const char *s)
{
	fprintf(f, "<text x=\"%.1f\" y=\"%.1f\" %s>", x, y, attr);
	escaped(f, s);
	fputs("</text>\n", f);
}

static void matrix(FILE *f, const struct map_data *d, uint64_t max)
{
	double cell = MATRIX / d->nodes;
	char c[8], h[16];
	uint32_t i;
	size_t k;

	fprintf(f, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"#fafafa\" "
		"stroke=\"#999\"/>\n", LEFT, TOP, MATRIX, MATRIX);
	for (k = 0; k < d->num_cells; k++) {
		const struct map_cell *m = &d->cells[k];

		if (m->src >= d->nodes || m->dst >= d->nodes || !m->bytes)
			continue;
		colour(shade(m->bytes, max), c, sizeof(c));
		fprintf(f, "<rect x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\" fill=\"%s\">",
			LEFT + m->dst * cell, TOP + m->src * cell, cell, cell, c);
		/* a pointer over a cell tells its figures, while files stay small enough */
		if (d->num_cells <= 20000) {
			human(m->bytes, h, sizeof(h));
			fprintf(f, "<title>NPU %u to %u: %s</title>", m->src, m->dst, h);
		}
		fputs("</rect>\n", f);
	}
	for (i = d->per_host; d->per_host && i < d->nodes; i += d->per_host)
		fprintf(f, "<path d=\"M%.2f %.1fv%.1fM%.1f %.2fh%.1f\" stroke=\"#bbb\" "
			"stroke-width=\"0.3\"/>\n", LEFT + i * cell, TOP, MATRIX, LEFT,
			TOP + i * cell, MATRIX);
	label(f, LEFT + MATRIX / 2, TOP + MATRIX + 30, "text-anchor=\"middle\"", "to NPU");
	fprintf(f, "<text transform=\"translate(%.1f %.1f) rotate(-90)\" text-anchor=\"middle\">from "
		"NPU</text>\n", LEFT - 30, TOP + MATRIX / 2);
	for (i = 0; i <= 4; i++) {
		double p = MATRIX * i / 4;

		snprintf(h, sizeof(h), "%u", i == 4 ? d->nodes - 1 : d->nodes * i / 4);
		label(f, LEFT + p, TOP + MATRIX + 14, "text-anchor=\"middle\" class=\"s\"", h);
		label(f, LEFT - 6, TOP + p + 4, "text-anchor=\"end\" class=\"s\"", h);
	}
}

static void legend(FILE *f, uint64_t max)
{
	char c[8], h[16];
	double y = TOP + MATRIX + 48;
	int i;

	for (i = 0; i < 64; i++) {
		colour(i / 63.0, c, sizeof(c));
		fprintf(f, "<rect x=\"%.1f\" y=\"%.1f\" width=\"4.2\" height=\"10\" fill=\"%s\"/>\n",
			LEFT + i * 4, y, c);
	}
	label(f, LEFT, y + 24, "class=\"s\"", "1 kB and less");
	human(max, h, sizeof(h));
	label(f, LEFT + 256, y + 24, "text-anchor=\"end\" class=\"s\"", h);
}

static double planes(FILE *f, const struct map_data *d)
{
	uint64_t max = 0;
	double y = TOP + 24;
	char text[64], h[16], lost[16];
	size_t k;

	for (k = 0; k < d->num_uses; k++)
		if (!d->uses[k].level && d->uses[k].bytes > max)
			max = d->uses[k].bytes;
	label(f, SIDE, TOP + 8, "", "planes: bytes that entered their links");
	for (k = 0; k < d->num_uses; k++) {
		const struct map_use *u = &d->uses[k];

		if (u->level)
			continue;
		human(u->bytes, h, sizeof(h));
		human(u->dropped, lost, sizeof(lost));
		snprintf(text, sizeof(text), u->dropped ? "%s, %s lost" : "%s", h, lost);
		label(f, SIDE, y + 11, "class=\"s\"", u->name);
		fprintf(f, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"13\" fill=\"%s\"/>\n",
			SIDE + 60, y, max ? BAR * 0.6 * (double)u->bytes / (double)max : 0,
			u->dropped ? "#c0392b" : "#3182bd");
		label(f, SIDE + 66 + BAR * 0.6, y + 11, "class=\"s\"", text);
		y += 17;
	}
	return y + 24;
}

static double switches(FILE *f, const struct map_data *d, uint32_t level, double y)
{
	uint32_t rows = 0, cols = 0;
	uint64_t max = 0;
	double w, h = 11;
	char c[8], b[16];
	size_t k;

	for (k = 0; k < d->num_uses; k++) {
		const struct map_use *u = &d->uses[k];

		if (u->level != level)
			continue;
		rows = u->plane + 1 > rows ? u->plane + 1 : rows;
		cols = u->index + 1 > cols ? u->index + 1 : cols;
		max = u->bytes > max ? u->bytes : max;
	}
	if (!rows)
		return y;
	label(f, SIDE, y, "", level == 1 ? "L1 switches: a row for each plane, a column for each host" :
					   "L2 switches: a row for each plane");
	w = BAR / cols;
	w = w > 40 ? 40 : w;
	y += 10;
	for (k = 0; k < d->num_uses; k++) {
		const struct map_use *u = &d->uses[k];

		if (u->level != level)
			continue;
		colour(shade(u->bytes, max), c, sizeof(c));
		human(u->bytes, b, sizeof(b));
		fprintf(f, "<rect x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\" fill=\"%s\" "
			"stroke=\"%s\" stroke-width=\"%s\"><title>", SIDE + u->index * w,
			y + u->plane * h, w - 0.6, h - 1, c, u->dropped ? "#c0392b" : "#ccc",
			u->dropped ? "1.2" : "0.3");
		escaped(f, u->name);
		fprintf(f, ": %s</title></rect>\n", b);
	}
	return y + rows * h + 28;
}

int map_svg(FILE *out, const struct map_data *d)
{
	uint64_t max = 0, sum = 0;
	char line[160], h[16];
	double y, height;
	size_t k;

	for (k = 0; k < d->num_cells; k++) {
		sum += d->cells[k].bytes;
		max = d->cells[k].bytes > max ? d->cells[k].bytes : max;
	}
	height = TOP + MATRIX + 90;
	fprintf(out, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %.0f\" "
		"font-family=\"sans-serif\" font-size=\"13\">\n"
		"<style>.s{font-size:11px;fill:#444}</style>\n"
		"<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n",
		SIDE + BAR + 80, height);
	label(out, LEFT, 28, "font-size=\"18\"", d->title);
	human(sum, h, sizeof(h));
	snprintf(line, sizeof(line), "%zu pairs of %u NPUs talked; %s over the fabric", d->num_cells,
		 d->nodes, h);
	label(out, LEFT, 50, "class=\"s\"", line);
	if (d->nodes)
		matrix(out, d, max);
	legend(out, max);
	y = planes(out, d);
	y = switches(out, d, 1, y);
	switches(out, d, 2, y);
	fputs("</svg>\n", out);
	return fflush(out) || ferror(out) ? -EIO : 0;
}
