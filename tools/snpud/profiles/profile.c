// SPDX-License-Identifier: MIT
/*
 * Reads machine profiles. A profile is trusted with nothing: every key, unit, tag and range is
 * checked, so that a typing error is a message and not a machine that is subtly another one.
 */
#include "profile.h"

#include <errno.h>
#include <json-c/json.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef SNPU_PROFILE_DIR
#define SNPU_PROFILE_DIR "/usr/share/snpu/profiles"
#endif
#ifndef SNPU_PROFILE_SRC_DIR
#define SNPU_PROFILE_SRC_DIR SNPU_PROFILE_DIR
#endif

#define PROFILE_MAX_BYTES	(256 * 1024)
#define PROFILE_VERSION		1

#define KEY(sec, key, unit, min, max, integer, required) \
	{ #sec, #key, unit, min, max, integer, required, NULL, \
	  offsetof(struct snpu_profile, sec.key) }
#define PATH_KEYS(name, unit, min, max) \
	{ "fabric", #name "_read", unit, min, max, 0, 0, NULL, \
	  offsetof(struct snpu_profile, fabric.name[SNPU_PATH_READ]) }, \
	{ "fabric", #name "_write", unit, min, max, 0, 0, NULL, \
	  offsetof(struct snpu_profile, fabric.name[SNPU_PATH_WRITE]) }
#define WORD_KEY(sec, key, words, n) \
	{ #sec, #key, "", 0, (n) - 1, 1, 0, words, offsetof(struct snpu_profile, sec.key) }
#define TIMING_KEY(key, unit, min, max) KEY(timing, key, unit, min, max, 0, 0),

static const char *const routing_names[] = {
	[SNPU_ROUTING_HASH] = "hash", [SNPU_ROUTING_ROUND_ROBIN] = "round_robin", NULL
};

#define GIB	(1024.0 * 1024 * 1024)

static const struct snpu_profile_key profile_keys[] = {
	KEY(machine, hosts, "", 1, SNPU_PROFILE_MAX_NPUS, 1, 1),
	KEY(machine, npus_per_host, "", 1, 64, 1, 1),
	KEY(machine, cpus_per_host, "", 1, 64, 1, 0),
	KEY(npu, dies, "", 1, 16, 1, 1),
	KEY(npu, hbm_bytes, "B", 16.0 * 1024 * 1024, 1024 * GIB, 1, 1),
	KEY(npu, hbm_bandwidth, "B/s", 1e9, 1e15, 0, 1),
	KEY(npu, flops_bf16, "flop/s", 1e9, 1e18, 0, 1),
	KEY(npu, ops_int8, "op/s", 1e9, 1e18, 0, 1),
	KEY(npu, flops_fp32, "flop/s", 1e9, 1e18, 0, 0),
	KEY(npu, matrix_cores, "", 1, 4096, 1, 0),
	KEY(npu, vector_cores, "", 1, 4096, 1, 0),
	KEY(npu, die_link_bandwidth, "B/s", 1e6, 1e15, 0, 0),
	KEY(npu, die_link_latency, "s", 1e-9, 1, 0, 0),
	KEY(fabric, planes, "", 1, 32, 1, 1),
	KEY(fabric, npu_bandwidth, "B/s", 1e6, 1e15, 0, 1),
	KEY(fabric, link_bandwidth, "B/s", 1e6, 1e15, 0, 0),
	KEY(fabric, links_per_die, "", 1, 256, 1, 0),
	KEY(fabric, l1_switches_per_host, "", 1, 256, 1, 0),
	KEY(fabric, l1_uplink_links, "", 1, 256, 1, 0),
	KEY(fabric, l2_switches_per_plane, "", 1, 256, 1, 0),
	KEY(fabric, l2_switch_ports, "", 1, 4096, 1, 0),
	WORD_KEY(fabric, routing, routing_names, 2),
	KEY(fabric, cpu_bandwidth, "B/s", 1e6, 1e15, 0, 0),
	PATH_KEYS(intra_bandwidth, "B/s", 1e6, 1e15),
	PATH_KEYS(intra_latency, "s", 1e-9, 1),
	PATH_KEYS(inter_bandwidth, "B/s", 1e6, 1e15),
	PATH_KEYS(inter_latency, "s", 1e-9, 1),
	PATH_KEYS(cpu_intra_bandwidth, "B/s", 1e6, 1e15),
	PATH_KEYS(cpu_intra_latency, "s", 1e-9, 1),
	PATH_KEYS(cpu_inter_bandwidth, "B/s", 1e6, 1e15),
	PATH_KEYS(cpu_inter_latency, "s", 1e-9, 1),
	KEY(device, queues, "", 1, 256, 1, 1),
	KEY(device, contexts, "", 2, 1024, 1, 1),
	KEY(device, segments, "", 1, 4096, 1, 1),
	KEY(device, imports, "", 1, 1024, 1, 1),
	SNPU_PROFILE_TIMING(TIMING_KEY)
};

#define PROFILE_KEYS	(sizeof(profile_keys) / sizeof(profile_keys[0]))

static const char *const sections[] = { "machine", "npu", "fabric", "device", "timing" };

const struct snpu_profile_key *snpu_profile_keys(size_t *n)
{
	*n = PROFILE_KEYS;
	return profile_keys;
}

const char *snpu_fig_tag_name(enum snpu_fig_tag tag)
{
	switch (tag) {
	case SNPU_FIG_MEASURED:
		return "measured";
	case SNPU_FIG_FITTED:
		return "fitted";
	case SNPU_FIG_ASSUMED:
		return "assumed";
	default:
		return "absent";
	}
}

static struct snpu_fig *profile_fig(struct snpu_profile *p, const struct snpu_profile_key *k)
{
	return (struct snpu_fig *)((char *)p + k->offset);
}

struct ctx {
	const char *file;
	char *err;
	size_t err_len;
};

__attribute__((format(printf, 2, 3)))
static int fail(struct ctx *c, const char *fmt, ...)
{
	va_list ap;
	int n;

	n = snprintf(c->err, c->err_len, "profile %s: ", c->file);
	if (n < 0 || (size_t)n >= c->err_len)
		return -EINVAL;
	va_start(ap, fmt);
	vsnprintf(c->err + n, c->err_len - (size_t)n, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

static int parse_string(struct ctx *c, const char *where, json_object *o, size_t max, char **out)
{
	size_t i, len;
	const char *s;

	if (!json_object_is_type(o, json_type_string))
		return fail(c, "%s: must be a string", where);
	s = json_object_get_string(o);
	len = (size_t)json_object_get_string_len(o);
	if (!len || len > max)
		return fail(c, "%s: length %zu, allowed 1 .. %zu", where, len, max);
	for (i = 0; i < len; i++)
		if ((unsigned char)s[i] < 0x20)
			return fail(c, "%s: control character at byte %zu", where, i);
	*out = strdup(s);
	return *out ? 0 : fail(c, "%s: out of memory", where);
}

static int parse_fig(struct ctx *c, struct snpu_profile *p, const struct snpu_profile_key *k,
		     json_object *o)
{
	json_object *value = NULL, *unit = NULL, *tag = NULL, *source = NULL;
	struct snpu_fig *f = profile_fig(p, k);
	char where[128];
	const char *t;
	double v;
	int ret;

	snprintf(where, sizeof(where), "%s.%s", k->section, k->key);
	if (!json_object_is_type(o, json_type_object))
		return fail(c, "%s: must be an object {value, unit, tag, source}", where);
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
			return fail(c, "%s.%.40s: unknown key, allowed value, unit, tag, source",
				    where, key);
	}
	if (!json_object_is_type(value, json_type_int) &&
	    !json_object_is_type(value, json_type_double))
		return fail(c, "%s.value: must be a number %g .. %g", where, k->min, k->max);
	v = json_object_get_double(value);
	if (!isfinite(v) || v < k->min || v > k->max)
		return fail(c, "%s.value: %g, allowed %g .. %g", where, v, k->min, k->max);
	if (k->integer && v != floor(v))
		return fail(c, "%s.value: %g, must be a whole number", where, v);
	if (!json_object_is_type(unit, json_type_string) ||
	    strcmp(json_object_get_string(unit), k->unit))
		return fail(c, "%s.unit: must be \"%s\"", where, k->unit);
	if (!json_object_is_type(tag, json_type_string))
		return fail(c, "%s.tag: must be measured, fitted or assumed", where);
	t = json_object_get_string(tag);
	if (!strcmp(t, "measured"))
		f->tag = SNPU_FIG_MEASURED;
	else if (!strcmp(t, "fitted"))
		f->tag = SNPU_FIG_FITTED;
	else if (!strcmp(t, "assumed"))
		f->tag = SNPU_FIG_ASSUMED;
	else
		return fail(c, "%s.tag: \"%.40s\", allowed measured, fitted, assumed", where, t);
	f->value = v;
	snprintf(where, sizeof(where), "%s.%s.source", k->section, k->key);
	ret = parse_string(c, where, source, 512, &f->source);
	return ret;
}

static int parse_section(struct ctx *c, struct snpu_profile *p, const char *sec, json_object *o)
{
	size_t i;
	int ret;

	if (!json_object_is_type(o, json_type_object))
		return fail(c, "%s: must be an object", sec);
	json_object_object_foreach(o, key, val) {
		for (i = 0; i < PROFILE_KEYS; i++)
			if (!strcmp(profile_keys[i].section, sec) &&
			    !strcmp(profile_keys[i].key, key))
				break;
		if (i == PROFILE_KEYS)
			return fail(c, "%s.%.40s: unknown key", sec, key);
		ret = parse_fig(c, p, &profile_keys[i], val);
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

	ret = parse_string(c, "name", o, sizeof(p->name) - 1, &s);
	if (ret)
		return ret;
	for (i = 0; s[i]; i++)
		if (!strchr("abcdefghijklmnopqrstuvwxyz0123456789-_.", s[i]))
			ret = fail(c, "name: \"%s\", allowed a-z 0-9 - _ .", s);
	if (!ret)
		strcpy(p->name, s);
	free(s);
	return ret;
}

static int check_whole(struct ctx *c, const struct snpu_profile *p)
{
	const char *key;
	char why[256];
	size_t i;

	for (i = 0; i < PROFILE_KEYS; i++) {
		const struct snpu_profile_key *k = &profile_keys[i];

		if (k->required && profile_fig((struct snpu_profile *)p, k)->tag == SNPU_FIG_ABSENT)
			return fail(c, "%s.%s: missing", k->section, k->key);
	}
	if (!p->name[0])
		return fail(c, "name: missing");
	if (!p->title)
		return fail(c, "title: missing");
	if (snpu_profile_check(p, &key, why, sizeof(why)))
		return fail(c, "%s: %s", key, why);
	return 0;
}

static int parse_root(struct ctx *c, struct snpu_profile *p, json_object *root)
{
	int version = 0, ret = 0;
	size_t i;

	if (!json_object_is_type(root, json_type_object))
		return fail(c, "must be a JSON object");
	json_object_object_foreach(root, key, val) {
		if (!strcmp(key, "version")) {
			if (!json_object_is_type(val, json_type_int) ||
			    json_object_get_int64(val) != PROFILE_VERSION)
				return fail(c, "version: must be %d", PROFILE_VERSION);
			version = 1;
			continue;
		}
		if (!strcmp(key, "name")) {
			ret = parse_name(c, p, val);
		} else if (!strcmp(key, "title")) {
			free(p->title);
			p->title = NULL;
			ret = parse_string(c, "title", val, 256, &p->title);
		} else {
			for (i = 0; i < sizeof(sections) / sizeof(sections[0]); i++)
				if (!strcmp(sections[i], key))
					break;
			if (i == sizeof(sections) / sizeof(sections[0]))
				return fail(c, "%.40s: unknown key, allowed version, name, title, "
					    "machine, npu, fabric, device, timing", key);
			ret = parse_section(c, p, sections[i], val);
		}
		if (ret)
			return ret;
	}
	if (!version)
		return fail(c, "version: missing");
	return check_whole(c, p);
}

/* Line and column of byte @off, for messages */
static void text_pos(const char *text, size_t off, unsigned int *line, unsigned int *col)
{
	size_t i;

	*line = 1;
	*col = 1;
	for (i = 0; i < off && text[i]; i++) {
		(*col)++;
		if (text[i] == '\n') {
			(*line)++;
			*col = 1;
		}
	}
}

struct snpu_profile *snpu_profile_parse(const char *text, const char *file, char *err,
					size_t err_len)
{
	struct ctx c = { file, err, err_len };
	enum json_tokener_error je;
	struct json_tokener *tok;
	struct snpu_profile *p;
	json_object *root;
	int ret = -EINVAL;

	p = calloc(1, sizeof(*p));
	tok = json_tokener_new_ex(8);
	if (!p || !tok) {
		fail(&c, "out of memory");
		free(p);
		if (tok)
			json_tokener_free(tok);
		return NULL;
	}
	json_tokener_set_flags(tok, JSON_TOKENER_STRICT);
	root = json_tokener_parse_ex(tok, text, (int)strlen(text) + 1);
	je = json_tokener_get_error(tok);
	if (je != json_tokener_success || !root) {
		unsigned int line, col;

		text_pos(text, json_tokener_get_parse_end(tok), &line, &col);
		fail(&c, "line %u column %u: %s", line, col,
		     je == json_tokener_continue ? "text ends early" : json_tokener_error_desc(je));
	} else {
		p->file = strdup(file);
		ret = p->file ? parse_root(&c, p, root) : fail(&c, "out of memory");
	}
	json_object_put(root);
	json_tokener_free(tok);
	if (ret) {
		snpu_profile_free(p);
		return NULL;
	}
	return p;
}

static struct snpu_profile *load_file(const char *path, char *err, size_t err_len)
{
	struct ctx c = { path, err, err_len };
	struct snpu_profile *p = NULL;
	char *text;
	size_t n;
	FILE *f;

	f = fopen(path, "re");
	if (!f) {
		fail(&c, "%s", strerror(errno));
		return NULL;
	}
	text = malloc(PROFILE_MAX_BYTES + 1);
	if (!text) {
		fail(&c, "out of memory");
		fclose(f);
		return NULL;
	}
	n = fread(text, 1, PROFILE_MAX_BYTES + 1, f);
	if (ferror(f))
		fail(&c, "%s", strerror(errno));
	else if (n > PROFILE_MAX_BYTES)
		fail(&c, "longer than %d bytes", PROFILE_MAX_BYTES);
	else if (memchr(text, 0, n))
		fail(&c, "holds a NUL byte");
	else {
		text[n] = 0;
		p = snpu_profile_parse(text, path, err, err_len);
	}
	free(text);
	fclose(f);
	return p;
}

struct snpu_profile *snpu_profile_load(const char *name, char *err, size_t err_len)
{
	const char *const dirs[] = {
		getenv("SNPU_PROFILE_PATH"), SNPU_PROFILE_DIR, SNPU_PROFILE_SRC_DIR,
	};
	size_t i, len = strlen(name);
	char path[4096];

	if (strchr(name, '/') || (len > 5 && !strcmp(name + len - 5, ".json")))
		return load_file(name, err, err_len);
	for (i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		if (!dirs[i] || snprintf(path, sizeof(path), "%s/%s.json", dirs[i], name) >=
		    (int)sizeof(path))
			continue;
		if (!access(path, R_OK))
			return load_file(path, err, err_len);
	}
	snprintf(err, err_len, "profile %.40s: not found%s; known: cm384, cm384-781, nvl72, "
		 "hgx-h100, hgx-h800, pair, or a .json file", name,
		 strcmp(name, "h100") ? "" : ": its name is hgx-h100 now");
	return NULL;
}

void snpu_profile_free(struct snpu_profile *p)
{
	size_t i;

	if (!p)
		return;
	for (i = 0; i < PROFILE_KEYS; i++)
		free(profile_fig(p, &profile_keys[i])->source);
	free(p->title);
	free(p->file);
	free(p);
}
