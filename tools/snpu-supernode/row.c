// SPDX-License-Identifier: MIT
/* One row of a guest, which is believed nothing: each field has its type and its limits. */
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <string.h>

#include "supernode.h"

#define WORDS	"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.+-"

/* What is wrong first */
struct bad {
	char *why;
	size_t size;
	bool is;
};

static void __attribute__((format(printf, 2, 3))) say(struct bad *bad, const char *fmt, ...)
{
	va_list ap;

	if (bad->is)
		return;
	bad->is = true;
	va_start(ap, fmt);
	vsnprintf(bad->why, bad->size, fmt, ap);
	va_end(ap);
}

static void get_word(struct json_object *o, const char *key, char *out, size_t size, struct bad *bad)
{
	struct json_object *v;
	const char *s;
	size_t n;

	out[0] = 0;
	if (!json_object_object_get_ex(o, key, &v))
		return;
	if (!json_object_is_type(v, json_type_string)) {
		say(bad, "\"%s\" is no string", key);
		return;
	}
	s = json_object_get_string(v);
	n = (size_t)json_object_get_string_len(v);
	if (n >= size || strspn(s, WORDS) != n) {
		say(bad, "\"%s\" is no word of at most %zu letters", key, size - 1);
		return;
	}
	memcpy(out, s, n + 1);
}

static bool is_number(struct json_object *v, uint64_t max, uint64_t *out)
{
	if (!json_object_is_type(v, json_type_int) || json_object_get_int64(v) < 0)
		return false;
	*out = json_object_get_uint64(v);
	return *out <= max;
}

static uint64_t get_number(struct json_object *o, const char *key, bool needed, uint64_t max,
			   struct bad *bad)
{
	struct json_object *v;
	uint64_t n = 0;

	if (!json_object_object_get_ex(o, key, &v)) {
		if (needed)
			say(bad, "\"%s\" is missing", key);
	} else if (!is_number(v, max, &n)) {
		say(bad, "\"%s\" is no number from 0 to %llu", key, (unsigned long long)max);
		n = 0;
	}
	return n;
}

static double get_time(struct json_object *o, const char *key, bool needed, struct bad *bad)
{
	struct json_object *v;
	double us = 0;

	if (!json_object_object_get_ex(o, key, &v)) {
		if (needed)
			say(bad, "\"%s\" is missing", key);
		return 0;
	}
	if (json_object_is_type(v, json_type_double) || json_object_is_type(v, json_type_int))
		us = json_object_get_double(v);
	else
		us = NAN;
	if (!isfinite(us) || us < 0) {
		say(bad, "\"%s\" is no time", key);
		us = 0;
	}
	return us;
}

/* The sum and its parts */
static void get_errors(struct sn_row *r, struct json_object *o, struct bad *bad)
{
	struct json_object *v;
	uint64_t sum = 0, n;
	unsigned int i;

	if (!json_object_object_get_ex(o, "wrong", &v)) {
		say(bad, "\"wrong\" is missing");
		return;
	}
	if (!v) {
		r->unchecked = true;
		return;
	}
	if (!is_number(v, INT64_MAX, &r->wrong)) {
		say(bad, "\"wrong\" is neither a number nor null");
		return;
	}
	if (!json_object_object_get_ex(o, "errors", &v) || !json_object_is_type(v, json_type_array)) {
		say(bad, "\"errors\" is no list");
		return;
	}
	n = json_object_array_length(v);
	if (!n || n > SN_MAX_RANKS || (r->num && r->num != n)) {
		say(bad, "\"errors\" tells of %llu ranks", (unsigned long long)n);
		return;
	}
	r->num = (unsigned int)n;
	r->errors = v;
	for (i = 0; i < r->num; i++) {
		if (!is_number(json_object_array_get_idx(v, i), INT64_MAX / SN_MAX_RANKS, &n)) {
			say(bad, "\"errors\" of rank %u is no number", r->base + i);
			return;
		}
		sum += n;
	}
	if (sum != r->wrong)
		say(bad, "\"wrong\" is %llu, and \"errors\" of all ranks are %llu",
		    (unsigned long long)r->wrong, (unsigned long long)sum);
}

int sn_row_parse(struct sn_row *r, struct json_object *o, char *why, size_t size)
{
	struct bad bad = { .why = why, .size = size };
	struct json_object *v;

	*r = (struct sn_row){};
	if (!json_object_is_type(o, json_type_object) || !json_object_object_get_ex(o, "op", &v))
		return 0;
	get_word(o, "op", r->op, sizeof(r->op), &bad);
	if (!r->op[0])
		say(&bad, "\"op\" is empty");
	get_word(o, "algo", r->algo, sizeof(r->algo), &bad);
	get_word(o, "type", r->type, sizeof(r->type), &bad);
	get_word(o, "redop", r->redop, sizeof(r->redop), &bad);
	r->ranks = (unsigned int)get_number(o, "ranks", true, SN_MAX_RANKS, &bad);
	if (!r->ranks)
		say(&bad, "\"ranks\" is 0");
	r->root = (unsigned int)get_number(o, "root", false, SN_MAX_RANKS - 1, &bad);
	r->size = get_number(o, "size", true, INT64_MAX, &bad);
	r->count = get_number(o, "count", false, INT64_MAX, &bad);
	r->base = (unsigned int)get_number(o, "rank_base", true, SN_MAX_RANKS - 1, &bad);
	r->num = (unsigned int)get_number(o, "rank_count", false, SN_MAX_RANKS, &bad);
	r->wall_us = get_time(o, "wall_us", true, &bad);
	r->virtual_us = get_time(o, "virtual_us", false, &bad);
	get_errors(r, o, &bad);
	if (r->base >= r->ranks || r->num > r->ranks - r->base)
		say(&bad, "it tells of ranks %u to %u of %u", r->base,
		    r->base + (r->num ? r->num : 1) - 1, r->ranks);
	return bad.is ? -EINVAL : 1;
}
