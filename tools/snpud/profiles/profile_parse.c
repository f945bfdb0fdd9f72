// SPDX-License-Identifier: MIT
/*
 * Reads machine profiles. A profile is trusted with nothing: every key, unit, tag and range is
 * checked, so that a typing error is a message and not a machine that is subtly another one.
 */
#include <errno.h>
#include <json-c/json.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "profiles/profile.h"
#include "profiles/profile_pos.h"
#include "profiles/profile_priv.h"

static const char *const sections[] = { "machine", "npu", "fabric", "device", "timing" };

/* One text; that of a base is inside that of who names it */
struct ctx {
	const char *file;
	const char *text;
	struct snpu_pos *pos;
	unsigned int depth;
	char *err;
	size_t err_len;
};

__attribute__((format(printf, 4, 0)))
static int vfail_at(struct ctx *c, uint32_t line, uint32_t col, const char *fmt, va_list ap)
{
	size_t at;
	int n;

	n = snprintf(c->err, c->err_len, "profile %s:%u:%u: ", c->file, line, col);
	at = n < 0 ? 0 : (size_t)n;
	if (at < c->err_len)
		vsnprintf(c->err + at, c->err_len - at, fmt, ap);
	/* words of the file are quoted in messages: a terminal is to get letters only */
	for (at = 0; at < c->err_len && c->err[at]; at++)
		if ((unsigned char)c->err[at] < 0x20 || c->err[at] == 0x7f)
			c->err[at] = '?';
	return -EINVAL;
}

__attribute__((format(printf, 3, 4)))
static int fail_off(struct ctx *c, size_t off, const char *fmt, ...)
{
	uint32_t line, col;
	va_list ap;

	snpu_pos_line(c->text, off, &line, &col);
	va_start(ap, fmt);
	vfail_at(c, line, col, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

/* @sec, @key, @member: which one, as for snpu_pos_find() */
__attribute__((format(printf, 5, 6)))
static int fail(struct ctx *c, const char *sec, const char *key, const char *member,
		const char *fmt, ...)
{
	char full[512];
	va_list ap;
	int n = 0;

	if (sec)
		n = snprintf(full, sizeof(full), "%.64s%s%.64s%s%.64s: ", sec, key ? "." : "",
			     key ? key : "", member ? "." : "", member ? member : "");
	va_start(ap, fmt);
	vsnprintf(full + n, sizeof(full) - (size_t)n, fmt, ap);
	va_end(ap);
	return fail_off(c, c->pos ? snpu_pos_find(c->pos, sec, key, member) : 0, "%s", full);
}

static struct snpu_fig *profile_fig(struct snpu_profile *p, const struct snpu_profile_key *k)
{
	return (struct snpu_fig *)((char *)p + k->offset);
}

/* Is @o that string, all of it? */
static int string_is(json_object *o, const char *s)
{
	return json_object_is_type(o, json_type_string) &&
	       (size_t)json_object_get_string_len(o) == strlen(s) &&
	       !strcmp(json_object_get_string(o), s);
}

static int parse_string(struct ctx *c, const char *sec, const char *key, const char *member,
			json_object *o, size_t max, char **out)
{
	size_t i, len;
	const char *s;

	if (!json_object_is_type(o, json_type_string))
		return fail(c, sec, key, member, "must be a string of 1 .. %zu bytes", max);
	s = json_object_get_string(o);
	len = (size_t)json_object_get_string_len(o);
	if (!len || len > max)
		return fail(c, sec, key, member, "length %zu, allowed 1 .. %zu", len, max);
	for (i = 0; i < len; i++)
		if ((unsigned char)s[i] < 0x20 || s[i] == 0x7f)
			return fail(c, sec, key, member, "control character at byte %zu", i);
	*out = strdup(s);
	return *out ? 0 : fail(c, sec, key, member, "out of memory");
}

/* "a, b, c" */
static const char *join(const char *const *words, char *buf, size_t len)
{
	size_t at = 0, i;

	buf[0] = 0;
	for (i = 0; words[i] && at < len; i++)
		at += (size_t)snprintf(buf + at, len - at, "%s%s", i ? ", " : "", words[i]);
	return buf;
}

static int parse_value(struct ctx *c, const struct snpu_profile_key *k, json_object *o, double *v)
{
	const char *sec = k->section, *key = k->key;
	char words[128];
	size_t i;

	if (k->names) {
		for (i = 0; k->names[i]; i++) {
			if (!string_is(o, k->names[i]))
				continue;
			*v = (double)i;
			return 0;
		}
		return fail(c, sec, key, "value", "%.40s: must be one of the strings %s",
			    json_object_is_type(o, json_type_string) ? json_object_get_string(o) :
			    "not a string", join(k->names, words, sizeof(words)));
	}
	if (!json_object_is_type(o, json_type_int) && !json_object_is_type(o, json_type_double))
		return fail(c, sec, key, "value", "must be a number %.15g .. %.15g", k->min,
			    k->max);
	*v = json_object_get_double(o);
	if (!isfinite(*v) || *v < k->min || *v > k->max)
		return fail(c, sec, key, "value", "%.15g, allowed %.15g .. %.15g%s%s", *v, k->min,
			    k->max, *k->unit ? " " : "", k->unit);
	if (k->integer && *v != floor(*v))
		return fail(c, sec, key, "value", "%.15g, must be a whole number %.15g .. %.15g",
			    *v, k->min, k->max);
	return 0;
}

static int parse_tag(struct ctx *c, const struct snpu_profile_key *k, json_object *o,
		     enum snpu_fig_tag *tag)
{
	enum snpu_fig_tag t;

	for (t = SNPU_FIG_MEASURED; t <= SNPU_FIG_ASSUMED; t++) {
		if (!string_is(o, snpu_fig_tag_name(t)))
			continue;
		*tag = t;
		return 0;
	}
	return fail(c, k->section, k->key, "tag", "%.40s: allowed measured, fitted, assumed",
		    json_object_is_type(o, json_type_string) ? json_object_get_string(o) :
		    "not a string");
}

static void forget(struct snpu_fig *f)
{
	free(f->source);
	*f = (struct snpu_fig){ .tag = SNPU_FIG_ABSENT };
}

static int parse_fig(struct ctx *c, struct snpu_profile *p, const struct snpu_profile_key *k,
		     json_object *o)
{
	json_object *value = NULL, *unit = NULL, *tag = NULL, *source = NULL;
	struct snpu_fig f = { .file = c->file };
	const char *sec = k->section, *k_name = k->key;
	int ret;

	if (json_object_is_type(o, json_type_null) && p->bases[c->depth]) {
		forget(profile_fig(p, k));
		return 0;
	}
	if (!json_object_is_type(o, json_type_object))
		return fail(c, sec, k_name, NULL, "must be an object {value, unit, tag, source}%s",
			    p->bases[c->depth] ? ", or null to do without the base's" : "");
	json_object_object_foreach(o, key, val) {
		if (!strcmp(key, "value"))
			value = val;
		else if (!strcmp(key, "unit"))
			unit = val;
		else if (!strcmp(key, "tag"))
			tag = val;
		else if (!strcmp(key, "source"))
			source = val;
		else
			return fail(c, sec, k_name, key, "unknown key, allowed value, unit, tag, "
				    "source");
	}
	ret = parse_value(c, k, value, &f.value);
	if (ret)
		return ret;
	if (!string_is(unit, k->unit))
		return fail(c, sec, k_name, "unit", "must be \"%s\"", k->unit);
	ret = parse_tag(c, k, tag, &f.tag);
	if (ret)
		return ret;
	ret = parse_string(c, sec, k_name, "source", source, 512, &f.source);
	if (ret)
		return ret;
	snpu_pos_line(c->text, snpu_pos_find(c->pos, sec, k_name, NULL), &f.line, &f.col);
	forget(profile_fig(p, k));
	*profile_fig(p, k) = f;
	return 0;
}

static int unknown_key(struct ctx *c, const char *sec, const char *key)
{
	char known[400] = "";
	size_t i, n, at = 0;
	const struct snpu_profile_key *keys = snpu_profile_keys(&n);

	for (i = 0; i < n && at < sizeof(known); i++)
		if (!strcmp(keys[i].section, sec))
			at += (size_t)snprintf(known + at, sizeof(known) - at, "%s%s",
					       at ? ", " : "", keys[i].key);
	return fail(c, sec, key, NULL, "unknown key, allowed %s%s", known,
		    at >= sizeof(known) ? "..." : "");
}

static int parse_section(struct ctx *c, struct snpu_profile *p, const char *sec, json_object *o)
{
	size_t i, n;
	const struct snpu_profile_key *keys = snpu_profile_keys(&n);
	int ret;

	if (!json_object_is_type(o, json_type_object))
		return fail(c, sec, NULL, NULL, "must be an object");
	json_object_object_foreach(o, key, val) {
		for (i = 0; i < n; i++)
			if (!strcmp(keys[i].section, sec) && !strcmp(keys[i].key, key))
				break;
		if (i == n)
			return unknown_key(c, sec, key);
		ret = parse_fig(c, p, &keys[i], val);
		if (ret)
			return ret;
	}
	return 0;
}

static int parse_name(struct ctx *c, struct snpu_profile *p, json_object *o)
{
	char *s = NULL;
	size_t i;
	int ret;

	ret = parse_string(c, "name", NULL, NULL, o, sizeof(p->name) - 1, &s);
	if (ret)
		return ret;
	for (i = 0; s[i] && !ret; i++)
		if (!strchr("abcdefghijklmnopqrstuvwxyz0123456789-_.", s[i]))
			ret = fail(c, "name", NULL, NULL, "\"%s\", allowed a-z 0-9 - _ .", s);
	if (!ret)
		strcpy(p->name, s);
	free(s);
	return ret;
}

static int parse_title(struct ctx *c, struct snpu_profile *p, json_object *o)
{
	char *s = NULL;
	int ret;

	ret = parse_string(c, "title", NULL, NULL, o, 256, &s);
	if (ret)
		return ret;
	free(p->title);
	p->title = s;
	return 0;
}

static int check_whole(struct ctx *c, const struct snpu_profile *p)
{
	size_t i, n;
	const struct snpu_profile_key *keys = snpu_profile_keys(&n);
	const struct snpu_fig *f = NULL;
	const char *key;
	char why[256];
	size_t len;

	for (i = 0; i < n; i++)
		if (keys[i].required && snpu_profile_fig(p, &keys[i])->tag == SNPU_FIG_ABSENT)
			return fail(c, keys[i].section, keys[i].key, NULL,
				    "missing: every machine needs one, %.15g .. %.15g%s%s",
				    keys[i].min, keys[i].max, *keys[i].unit ? " " : "",
				    keys[i].unit);
	if (!snpu_profile_check(p, &key, why, sizeof(why)))
		return 0;
	for (i = 0; i < n; i++) {
		len = strlen(keys[i].section);
		if (!strncmp(keys[i].section, key, len) && key[len] == '.' &&
		    !strcmp(keys[i].key, key + len + 1))
			f = snpu_profile_fig(p, &keys[i]);
	}
	if (f && f->file)	/* it may be a base's */
		snprintf(c->err, c->err_len, "profile %s:%u:%u: %s: %s", f->file, f->line, f->col,
			 key, why);
	else
		fail_off(c, 0, "%s: %s", key, why);
	return -EINVAL;
}

static int parse_text(struct ctx *c, struct snpu_profile *p);

/* Figures of the base, which those of this file go over */
static int parse_base(struct ctx *c, struct snpu_profile *p, json_object *o)
{
	struct ctx b = { .depth = c->depth + 1, .err = c->err, .err_len = c->err_len };
	char path[4096], why[256], *name = NULL, *text;
	int ret;

	ret = parse_string(c, "base", NULL, NULL, o, 255, &name);
	if (ret)
		return ret;
	if (b.depth >= SNPU_PROFILE_MAX_BASES)
		ret = fail(c, "base", NULL, NULL, "%s: more than %u of them: does one lead back "
			   "here?", name, SNPU_PROFILE_MAX_BASES - 1);
	else if (snpu_profile_base_path(name, c->file, path, sizeof(path)))
		ret = fail(c, "base", NULL, NULL, "%s: not found, allowed the name of a profile "
			   "or a .json file beside this one", name);
	free(name);
	if (ret)
		return ret;
	text = snpu_profile_read(path, why, sizeof(why));
	if (!text)
		return fail(c, "base", NULL, NULL, "%s", why);
	p->bases[c->depth] = strdup(path);
	b.file = p->bases[c->depth];
	b.text = text;
	ret = b.file ? parse_text(&b, p) : fail(c, "base", NULL, NULL, "out of memory");
	free(text);
	return ret;
}

static int parse_root(struct ctx *c, struct snpu_profile *p, json_object *root)
{
	json_object *v = NULL;
	int ret = 0;
	size_t i;

	if (!json_object_is_type(root, json_type_object))
		return fail_off(c, 0, "must be a JSON object");
	if (!json_object_object_get_ex(root, "version", &v))
		return fail(c, "version", NULL, NULL, "missing, must be %d", SNPU_PROFILE_VERSION);
	if (!json_object_is_type(v, json_type_int) ||
	    json_object_get_int64(v) != SNPU_PROFILE_VERSION)
		return fail(c, "version", NULL, NULL, "must be %d", SNPU_PROFILE_VERSION);
	if (json_object_object_get_ex(root, "base", &v))
		ret = parse_base(c, p, v);
	if (ret)
		return ret;
	p->name[0] = 0;
	free(p->title);
	p->title = NULL;
	json_object_object_foreach(root, key, val) {
		if (!strcmp(key, "version") || !strcmp(key, "base"))
			continue;
		if (!strcmp(key, "name")) {
			ret = parse_name(c, p, val);
		} else if (!strcmp(key, "title")) {
			ret = parse_title(c, p, val);
		} else {
			for (i = 0; i < sizeof(sections) / sizeof(sections[0]); i++)
				if (!strcmp(sections[i], key))
					break;
			if (i == sizeof(sections) / sizeof(sections[0]))
				return fail(c, key, NULL, NULL, "unknown key, allowed version, "
					    "name, title, base, machine, npu, fabric, device, "
					    "timing");
			ret = parse_section(c, p, sections[i], val);
		}
		if (ret)
			return ret;
	}
	if (!p->name[0])
		return fail(c, "name", NULL, NULL, "missing, 1 .. %zu of a-z 0-9 - _ .",
			    sizeof(p->name) - 1);
	if (!p->title)
		return fail(c, "title", NULL, NULL, "missing, 1 .. 256 bytes");
	return c->depth ? 0 : check_whole(c, p);
}

static int parse_text(struct ctx *c, struct snpu_profile *p)
{
	struct json_tokener *tok = json_tokener_new_ex(8);
	json_object *root = NULL;
	enum json_tokener_error je;
	int ret = -EINVAL;
	char why[160];
	size_t off;

	if (!tok)
		return fail_off(c, 0, "out of memory");
	json_tokener_set_flags(tok, JSON_TOKENER_STRICT);
	root = json_tokener_parse_ex(tok, c->text, (int)strlen(c->text) + 1);
	je = json_tokener_get_error(tok);
	off = json_tokener_get_parse_end(tok);
	json_tokener_free(tok);
	if (je != json_tokener_success || !root) {
		fail_off(c, off, "%s", je == json_tokener_success ? "must be a JSON object" :
			 je == json_tokener_continue ? "text ends early" :
			 json_tokener_error_desc(je));
	} else {
		c->pos = snpu_pos_new(c->text, why, sizeof(why), &off);
		ret = c->pos ? parse_root(c, p, root) : fail_off(c, off, "%s", why);
	}
	snpu_pos_free(c->pos);
	c->pos = NULL;
	json_object_put(root);
	return ret;
}

struct snpu_profile *snpu_profile_parse(const char *text, const char *file, char *err,
					size_t err_len)
{
	struct ctx c = { .file = file, .text = text, .err = err, .err_len = err_len };
	struct snpu_profile *p;

	p = calloc(1, sizeof(*p));
	if (p)
		p->file = strdup(file);
	if (!p || !p->file) {
		snprintf(err, err_len, "profile %s: out of memory", file);
		free(p);
		return NULL;
	}
	c.file = p->file;	/* figures point to it */
	if (parse_text(&c, p)) {
		snpu_profile_free(p);
		return NULL;
	}
	return p;
}
