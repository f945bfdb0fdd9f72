// SPDX-License-Identifier: MIT
/* Rows that guests print, made one table: the same operation and size from every guest is one row. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "supernode.h"

#define MAX_ROWS	4096u

struct row {
	char op[24], algo[16], type[8], redop[8];
	uint64_t ranks, size, count;
	double slowest, fastest;		/* us */
	uint64_t vtime;				/* ns, 0: none */
	uint64_t wrong;
	unsigned int from;			/* guests */
	bool unchecked;
};

struct sn_table {
	unsigned int hosts;
	unsigned int num;
	struct row row[MAX_ROWS];
};

struct sn_table *sn_table_create(unsigned int hosts)
{
	struct sn_table *t = sn_alloc(sizeof(*t));

	t->hosts = hosts;
	return t;
}

void sn_table_free(struct sn_table *t)
{
	free(t);
}

static void get_text(struct json_object *o, const char *key, char *out, size_t size)
{
	struct json_object *v;

	snprintf(out, size, "%s", json_object_object_get_ex(o, key, &v) ?
		 json_object_get_string(v) : "");
}

static uint64_t get_u64(struct json_object *o, const char *key)
{
	struct json_object *v;

	return json_object_object_get_ex(o, key, &v) ? json_object_get_uint64(v) : 0;
}

static bool same(const struct row *a, const struct row *b)
{
	return !strcmp(a->op, b->op) && !strcmp(a->type, b->type) && !strcmp(a->redop, b->redop) &&
	       a->size == b->size && a->ranks == b->ranks;
}

void sn_table_add(struct sn_table *t, unsigned int host, struct json_object *o)
{
	struct row r = { .from = 1 }, *to;
	struct json_object *v;
	unsigned int i;

	(void)host;
	get_text(o, "op", r.op, sizeof(r.op));
	if (!r.op[0])
		return;
	get_text(o, "algo", r.algo, sizeof(r.algo));
	get_text(o, "type", r.type, sizeof(r.type));
	get_text(o, "redop", r.redop, sizeof(r.redop));
	r.ranks = get_u64(o, "ranks");
	r.size = get_u64(o, "size");
	r.count = get_u64(o, "count");
	r.vtime = get_u64(o, "virtual_ns");
	if (json_object_object_get_ex(o, "wall_us", &v))
		r.slowest = json_object_get_double(v);
	r.fastest = r.slowest;
	r.unchecked = !json_object_object_get_ex(o, "wrong", &v) || !v;
	r.wrong = r.unchecked ? 0 : json_object_get_uint64(v);
	for (i = 0; i < t->num && !same(&t->row[i], &r); i++)
		;
	if (i == MAX_ROWS)
		return;
	to = &t->row[i];
	if (i == t->num) {
		t->row[t->num++] = r;
		return;
	}
	to->from++;
	to->wrong += r.wrong;
	to->unchecked |= r.unchecked;
	to->vtime = r.vtime > to->vtime ? r.vtime : to->vtime;
	to->slowest = r.slowest > to->slowest ? r.slowest : to->slowest;
	to->fastest = r.fastest < to->fastest ? r.fastest : to->fastest;
}

static double bus_factor(const struct row *r)
{
	double n = (double)r->ranks;

	if (!strcmp(r->op, "all_reduce"))
		return 2 * (n - 1) / n;
	if (!strcmp(r->op, "all_to_all") || !strcmp(r->op, "all_gather") ||
	    !strcmp(r->op, "reduce_scatter"))
		return (n - 1) / n;
	return 1;
}

unsigned int sn_table_print(const struct sn_table *t, FILE *f)
{
	unsigned int i, bad = 0;

	if (!t->num)
		return 0;
	fprintf(f, "  %-14s %-9s %6s %12s %5s %5s %12s %9s %9s %7s %s\n", "op", "algo", "ranks",
		"size B", "type", "redop", "wall us", "algbw", "busbw", "#wrong", "guests");
	for (i = 0; i < t->num; i++) {
		const struct row *r = &t->row[i];
		double bw = r->slowest > 0 ? (double)r->size / r->slowest / 1e3 : 0;
		bool wrong = r->wrong || r->from != t->hosts;
		char w[24] = "N/A";

		bad += wrong;
		if (!r->unchecked)
			snprintf(w, sizeof(w), "%" PRIu64, r->wrong);
		fprintf(f, "  %-14s %-9s %6" PRIu64 " %12" PRIu64
			" %5s %5s %12.1f %9.4f %9.4f %7s %u of %u%s\n", r->op, r->algo, r->ranks,
			r->size, r->type, r->redop, r->slowest, bw, bw * bus_factor(r), w, r->from,
			t->hosts, wrong ? "  <-- wrong" : "");
	}
	return bad;
}

struct json_object *sn_table_json(const struct sn_table *t)
{
	struct json_object *list = json_object_new_array(), *o;
	unsigned int i;

	for (i = 0; i < t->num; i++) {
		const struct row *r = &t->row[i];

		o = json_object_new_object();
		json_object_object_add(o, "op", json_object_new_string(r->op));
		json_object_object_add(o, "algo", json_object_new_string(r->algo));
		json_object_object_add(o, "type", json_object_new_string(r->type));
		json_object_object_add(o, "redop", json_object_new_string(r->redop));
		json_object_object_add(o, "ranks", json_object_new_uint64(r->ranks));
		json_object_object_add(o, "size", json_object_new_uint64(r->size));
		json_object_object_add(o, "count", json_object_new_uint64(r->count));
		json_object_object_add(o, "wall_us", json_object_new_double(r->slowest));
		json_object_object_add(o, "wall_us_fastest", json_object_new_double(r->fastest));
		json_object_object_add(o, "wrong", r->unchecked ? NULL :
				       json_object_new_uint64(r->wrong));
		json_object_object_add(o, "guests", json_object_new_int((int)r->from));
		json_object_array_add(list, o);
	}
	return list;
}
