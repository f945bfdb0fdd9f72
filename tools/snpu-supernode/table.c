// SPDX-License-Identifier: MIT
/* Rows that guests print, made one table: the same collective from every guest is one row. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "supernode.h"

#define MAX_ROWS	1024u
#define MAX_OWN_RANKS	64u		/* of a communicator that each guest has for itself */
#define MAX_NOTES	16u
#define MAX_SAID	32u

/* What is known of a rank */
enum {
	RANK_MISSING,
	RANK_RIGHT,
	RANK_UNCHECKED,
	RANK_WRONG,
};

/*
 * @own: each guest has a communicator of its own, and what is one row here is as many of them;
 * @nth: times that the same collective came before; @state: of each rank, with @own of each guest's
 */
struct row {
	struct sn_row is;
	bool own, mixed;
	unsigned int nth, from;
	double fastest;
	unsigned int ranks;
	uint8_t *state;
	uint8_t gave[SN_MAX_HOSTS];
};

struct sn_table {
	unsigned int hosts, npus;
	unsigned int num;
	struct row *row[MAX_ROWS];
	unsigned int refused;			/* more than notes */
	char note[MAX_NOTES][400];
};

struct sn_table *sn_table_create(unsigned int hosts, unsigned int npus)
{
	struct sn_table *t = sn_alloc(sizeof(*t));

	t->hosts = hosts;
	t->npus = npus;
	return t;
}

void sn_table_free(struct sn_table *t)
{
	unsigned int i;

	for (i = 0; t && i < t->num; i++) {
		free(t->row[i]->state);
		free(t->row[i]);
	}
	free(t);
}

void sn_table_refuse(struct sn_table *t, unsigned int host, const char *why, const char *text)
{
	char safe[160];

	sn_escape(safe, sizeof(safe), text, strlen(text));
	if (t->refused < MAX_NOTES)
		snprintf(t->note[t->refused], sizeof(t->note[0]), "h%02u: not a row to count: %.200s: %s",
			 host, why, safe);
	t->refused++;
}

static bool same(const struct row *a, const struct sn_row *b, bool own)
{
	return !strcmp(a->is.op, b->op) && !strcmp(a->is.type, b->type) &&
	       !strcmp(a->is.redop, b->redop) && a->is.root == b->root && a->is.size == b->size &&
	       a->is.count == b->count && a->is.ranks == b->ranks && a->own == own;
}

/* Ranks that each guest has to give; 0: any guest may give any rank */
static unsigned int share(const struct sn_table *t, const struct row *r)
{
	if (r->own)
		return r->is.ranks;
	return r->is.ranks == t->hosts * t->npus ? t->npus : 0;
}

static struct row *find_row(struct sn_table *t, const struct sn_row *r, bool own, unsigned int at)
{
	unsigned int i, k, nth = 0;
	struct row *to;

	for (i = 0; i < t->num; i++) {
		to = t->row[i];
		if (!same(to, r, own))
			continue;
		for (k = 0; k < r->num && to->state[at + k] == RANK_MISSING; k++)
			;
		if (k == r->num)
			return to;
		/* these ranks gave it before: it was done again */
		nth++;
	}
	if (t->num == MAX_ROWS)
		return NULL;
	to = sn_alloc(sizeof(*to));
	to->is = *r;
	to->is.errors = NULL;
	to->is.wrong = 0;
	to->own = own;
	to->nth = nth;
	to->fastest = r->wall_us;
	to->ranks = own ? t->hosts * r->ranks : r->ranks;
	to->state = sn_alloc(to->ranks);
	t->row[t->num++] = to;
	return to;
}

static int add(struct sn_table *t, unsigned int host, struct sn_row *r, char *why, size_t size)
{
	unsigned int at, k, first = host * t->npus;
	struct row *to;
	bool own;

	/* what was not compared needs no list, and is of all ranks that the guest may have */
	if (!r->num)
		r->num = r->ranks - r->base < t->npus ? r->ranks - r->base : t->npus;
	own = t->hosts > 1 && !r->base && r->num == r->ranks;
	if (own && r->ranks > MAX_OWN_RANKS) {
		snprintf(why, size, "%u ranks in one guest", r->ranks);
		return -EINVAL;
	}
	if (!own && r->ranks == t->hosts * t->npus &&
	    (r->base < first || r->base + r->num > first + t->npus)) {
		snprintf(why, size, "it tells of ranks %u to %u, and has ranks %u to %u", r->base,
			 r->base + r->num - 1, first, first + t->npus - 1);
		return -EINVAL;
	}
	at = own ? host * r->ranks : r->base;
	to = find_row(t, r, own, at);
	if (!to) {
		snprintf(why, size, "more than %u different rows", MAX_ROWS);
		return -EINVAL;
	}
	for (k = 0; k < r->num; k++) {
		uint8_t state = RANK_UNCHECKED;

		if (!r->unchecked)
			state = json_object_get_int64(json_object_array_get_idx(r->errors, k)) ?
				RANK_WRONG : RANK_RIGHT;
		to->state[at + k] = state;
	}
	to->from += !to->gave[host];
	to->gave[host] = 1;
	to->mixed |= strcmp(to->is.algo, r->algo) != 0;
	to->is.unchecked |= r->unchecked;
	to->is.wrong = r->wrong > UINT64_MAX - to->is.wrong ? UINT64_MAX : to->is.wrong + r->wrong;
	if (r->wall_us > to->is.wall_us)
		to->is.wall_us = r->wall_us;
	if (r->wall_us < to->fastest)
		to->fastest = r->wall_us;
	if (r->virtual_us > to->is.virtual_us)
		to->is.virtual_us = r->virtual_us;
	return 1;
}

static const char *no_json(enum json_tokener_error error)
{
	switch (error) {
	case json_tokener_success:
		return "more follows";
	case json_tokener_continue:
		return "it is cut short";
	default:
		return json_tokener_error_desc(error);
	}
}

int sn_table_line(struct sn_table *t, unsigned int host, const char *line, size_t len)
{
	struct json_tokener *tok;
	struct json_object *o;
	char why[200];
	struct sn_row r;
	int ret;

	if (len && line[len - 1] == '\r')
		len--;
	if (!len || line[0] != '{')
		return 0;
	tok = json_tokener_new();
	if (!tok)
		sn_alloc(SIZE_MAX / 2);		/* says so and ends */
	json_tokener_set_flags(tok, JSON_TOKENER_STRICT);
	o = json_tokener_parse_ex(tok, line, (int)len);
	if (json_tokener_get_error(tok) != json_tokener_success ||
	    strspn(line + json_tokener_get_parse_end(tok), " \t") !=
	    len - json_tokener_get_parse_end(tok)) {
		/* a program may print what it likes, but not half a row */
		ret = len > 1 && line[1] == '"' ? -EINVAL : 0;
		snprintf(why, sizeof(why), "%s", no_json(json_tokener_get_error(tok)));
	} else {
		ret = sn_row_parse(&r, o, why, sizeof(why));
		if (ret > 0)
			ret = add(t, host, &r, why, sizeof(why));
	}
	if (ret < 0)
		sn_table_refuse(t, host, why, line);
	json_object_put(o);
	json_tokener_free(tok);
	return ret;
}

static unsigned int count(const struct row *r, uint8_t state)
{
	unsigned int i, n = 0;

	for (i = 0; i < r->ranks; i++)
		n += r->state[i] == state;
	return n;
}

static bool right(const struct row *r)
{
	return count(r, RANK_RIGHT) == r->ranks;
}

static double bus_factor(const struct sn_row *r)
{
	double n = (double)r->ranks;

	if (!strcmp(r->op, "all_reduce"))
		return 2 * (n - 1) / n;
	if (!strcmp(r->op, "all_to_all") || !strcmp(r->op, "all_gather") ||
	    !strcmp(r->op, "reduce_scatter"))
		return (n - 1) / n;
	return 1;
}

void sn_table_print(const struct sn_table *t, FILE *f)
{
	unsigned int i;
	bool virt = false;

	if (!t->num)
		return;
	for (i = 0; i < t->num; i++)
		virt |= t->row[i]->is.virtual_us > 0;
	fprintf(f, "  %-14s %-9s %6s %12s %5s %5s %12s%s %9s %9s %7s %s\n", "op", "algo", "ranks",
		"size B", "type", "redop", "wall us", virt ? "   virtual us" : "", "algbw", "busbw",
		"#wrong", "guests");
	for (i = 0; i < t->num; i++) {
		const struct row *r = t->row[i];
		const struct sn_row *is = &r->is;
		double bw = is->wall_us > 0 ? (double)is->size / is->wall_us / 1e3 : 0;
		char w[24] = "N/A", v[24] = "";

		if (!is->unchecked)
			snprintf(w, sizeof(w), "%" PRIu64, is->wrong);
		if (virt && is->virtual_us > 0)
			snprintf(v, sizeof(v), " %12.3f", is->virtual_us);
		else if (virt)
			snprintf(v, sizeof(v), " %12s", "N/A");
		fprintf(f, "  %-14s %-9s %6u %12" PRIu64 " %5s %5s %12.1f%s %9.4f %9.4f %7s %u of %u%s\n",
			is->op, r->mixed ? "mixed" : is->algo, is->ranks, is->size, is->type,
			is->redop, is->wall_us, v, bw, bw * bus_factor(is), w, r->from, t->hosts,
			right(r) ? "" : "  <-- not right");
	}
}

/* As printf() at the end of @text, which is never more than full */
static void __attribute__((format(printf, 3, 4))) append(char *text, size_t size, const char *fmt, ...)
{
	size_t n = strlen(text);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text + n, size - n, fmt, ap);
	va_end(ap);
	if (strlen(text) == size - 1)
		strcpy(text + size - 5, " ...");
}

/* "8-11, 13" of the ranks from @lo to before @hi, counted from @zero */
static void ranges(const struct row *r, uint8_t state, unsigned int lo, unsigned int hi,
		   unsigned int zero, char *text, size_t size)
{
	const char *comma = "";
	unsigned int i, end;

	for (i = lo; i < hi; i = end + 1) {
		end = i;
		if (r->state[i] != state)
			continue;
		while (end + 1 < hi && r->state[end + 1] == state)
			end++;
		append(text, size, end > i ? "%s%u-%u" : "%s%u", comma, i - zero, end - zero);
		comma = ", ";
	}
}

static bool whole(const struct row *r, uint8_t state, unsigned int per, unsigned int host)
{
	unsigned int i;

	for (i = 0; i < per && r->state[host * per + i] == state; i++)
		;
	return i == per;
}

/* "h01 to h03 (ranks 8-31), h05 (ranks 41, 43)" */
static void who(const struct sn_table *t, const struct row *r, uint8_t state, char *text, size_t size)
{
	unsigned int per = share(t, r), h, end, zero;
	char part[200];

	if (!per) {
		append(text, size, "ranks ");
		ranges(r, state, 0, r->ranks, 0, text, size);
		return;
	}
	for (h = 0; h < t->hosts; h = end + 1) {
		end = h;
		while (whole(r, state, per, h) && end + 1 < t->hosts && whole(r, state, per, end + 1))
			end++;
		/* ranks of a guest's own count from 0 in each */
		zero = r->own ? h * per : 0;
		part[0] = 0;
		ranges(r, state, h * per, (r->own ? h + 1 : end + 1) * per, zero, part, sizeof(part));
		if (!part[0])
			continue;
		append(text, size, text[0] ? ", h%02u" : "h%02u", h);
		if (end > h)
			append(text, size, " to h%02u", end);
		append(text, size, " (ranks %s)", part);
	}
}

unsigned int sn_table_say(const struct sn_table *t, FILE *f, unsigned int want)
{
	static const char *const what[] = {
		[RANK_MISSING] = "gave no result", [RANK_UNCHECKED] = "compared nothing",
		[RANK_WRONG] = "have wrong elements",
	};
	unsigned int i, said = 0;
	char text[400], nth[32];
	uint8_t state;

	for (i = 0; i < t->num; i++) {
		const struct row *r = t->row[i];

		nth[0] = 0;
		if (r->nth)
			snprintf(nth, sizeof(nth), ", given %u times", r->nth + 1);
		for (state = RANK_MISSING; state <= RANK_WRONG; state++) {
			if (state == RANK_RIGHT || !count(r, state))
				continue;
			if (said++ >= MAX_SAID)
				continue;
			text[0] = 0;
			who(t, r, state, text, sizeof(text));
			fprintf(f, "%s: %s of %" PRIu64 " B, %u ranks%s: %s %s\n", SN_NAME, r->is.op,
				r->is.size, r->is.ranks, nth, text, what[state]);
		}
	}
	if (said > MAX_SAID)
		fprintf(f, "%s: ... and %u more lines of that kind\n", SN_NAME, said - MAX_SAID);
	for (i = 0; i < t->refused && i < MAX_NOTES; i++)
		fprintf(f, "%s: %s\n", SN_NAME, t->note[i]);
	if (t->refused > MAX_NOTES)
		fprintf(f, "%s: ... and %u more of that kind\n", SN_NAME, t->refused - MAX_NOTES);
	said += t->refused;
	if (t->num < want) {
		fprintf(f, "%s: %u results came, not %u\n", SN_NAME, t->num, want);
		said++;
	}
	return said;
}

struct json_object *sn_table_json(const struct sn_table *t)
{
	struct json_object *list = json_object_new_array(), *o;
	unsigned int i;

	for (i = 0; t && i < t->num; i++) {
		const struct row *r = t->row[i];
		const struct sn_row *is = &r->is;

		o = json_object_new_object();
		json_object_object_add(o, "op", json_object_new_string(is->op));
		json_object_object_add(o, "algo",
				       json_object_new_string(r->mixed ? "mixed" : is->algo));
		json_object_object_add(o, "type", json_object_new_string(is->type));
		json_object_object_add(o, "redop", json_object_new_string(is->redop));
		json_object_object_add(o, "ranks", json_object_new_int((int)is->ranks));
		json_object_object_add(o, "size", json_object_new_uint64(is->size));
		json_object_object_add(o, "count", json_object_new_uint64(is->count));
		json_object_object_add(o, "wall_us", json_object_new_double(is->wall_us));
		json_object_object_add(o, "wall_us_fastest", json_object_new_double(r->fastest));
		if (is->virtual_us > 0)
			json_object_object_add(o, "virtual_us",
					       json_object_new_double(is->virtual_us));
		json_object_object_add(o, "wrong", is->unchecked ? NULL :
				       json_object_new_uint64(is->wrong));
		json_object_object_add(o, "guests", json_object_new_int((int)r->from));
		json_object_object_add(o, "right", json_object_new_boolean(right(r)));
		json_object_object_add(o, "ranks_missing",
				       json_object_new_int((int)count(r, RANK_MISSING)));
		json_object_object_add(o, "ranks_unchecked",
				       json_object_new_int((int)count(r, RANK_UNCHECKED)));
		json_object_object_add(o, "ranks_wrong",
				       json_object_new_int((int)count(r, RANK_WRONG)));
		json_object_array_add(list, o);
	}
	return list;
}
