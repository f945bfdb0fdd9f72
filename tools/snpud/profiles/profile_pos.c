// SPDX-License-Identifier: MIT
/*
 * Walks over a JSON text once and notes where keys are. It decides nothing about the text: what it
 * does not know it steps over, one byte at least, and it never steps over the final NUL.
 */
#include "profiles/profile_pos.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_DEPTH	8u
#define MAX_KEYS	1024u
#define MAX_KEY_LEN	64u
#define ROOT		0u	/* entry of the text itself */

struct entry {
	uint32_t parent;
	uint32_t len;
	size_t off;		/* of the quote before the key */
};

struct snpu_pos {
	const char *text;
	size_t n;
	struct entry e[MAX_KEYS];
};

struct walk {
	struct snpu_pos *p;
	size_t at;
	char *why;
	size_t why_len;
};

static int refuse(struct walk *w, size_t off, const char *why)
{
	snprintf(w->why, w->why_len, "%s", why);
	w->at = off;
	return -1;
}

static char peek(struct walk *w)
{
	const char *t = w->p->text;

	while (t[w->at] == ' ' || t[w->at] == '\t' || t[w->at] == '\n' || t[w->at] == '\r')
		w->at++;
	return t[w->at];
}

/* Behind a string; its text is [*from, *from + *len) */
static void skip_string(struct walk *w, size_t *from, size_t *len)
{
	const char *t = w->p->text;

	*from = ++w->at;
	while (t[w->at] && t[w->at] != '"')
		w->at += t[w->at] == '\\' && t[w->at + 1] ? 2 : 1;
	*len = w->at - *from;
	if (t[w->at])
		w->at++;
}

static int add_key(struct walk *w, uint32_t parent, size_t from, size_t len)
{
	struct snpu_pos *p = w->p;
	size_t i;

	for (i = 0; i < len; i++)
		if (p->text[from + i] == '\\' || (unsigned char)p->text[from + i] < 0x20)
			return refuse(w, from - 1, "a key with an escape or control character: "
				      "write it plainly");
	if (len > MAX_KEY_LEN)
		return refuse(w, from - 1, "a key longer than 64 bytes: no key of a profile is");
	for (i = 1; i < p->n; i++)
		if (p->e[i].parent == parent && p->e[i].len == len &&
		    !memcmp(p->text + p->e[i].off + 1, p->text + from, len)) {
			snprintf(w->why, w->why_len, "%.*s: given twice in one object: leave one",
				 (int)len, p->text + from);
			w->at = from - 1;
			return -1;
		}
	if (p->n == MAX_KEYS)
		return refuse(w, from - 1, "more than 1023 keys: no profile has so many");
	p->e[p->n++] = (struct entry){ .parent = parent, .len = (uint32_t)len, .off = from - 1 };
	return 0;
}

static int walk_value(struct walk *w, uint32_t self, unsigned int depth);

static int walk_object(struct walk *w, uint32_t self, unsigned int depth)
{
	size_t from, len;
	char c;
	int ret;

	w->at++;
	while ((c = peek(w)) && c != '}') {
		if (c != '"') {
			w->at++;
			continue;
		}
		skip_string(w, &from, &len);
		ret = add_key(w, self, from, len);
		if (ret)
			return ret;
		if (peek(w) == ':')
			w->at++;
		ret = walk_value(w, (uint32_t)w->p->n - 1, depth + 1);
		if (ret)
			return ret;
	}
	if (c)
		w->at++;
	return 0;
}

/* Behind an array, or an object too deep to matter: a profile has none of either */
static void skip_brackets(struct walk *w)
{
	const char *t = w->p->text;
	size_t from, len, level = 0;

	do {
		if (t[w->at] == '"') {
			skip_string(w, &from, &len);
			continue;
		}
		if (t[w->at] == '[' || t[w->at] == '{')
			level++;
		else if (t[w->at] == ']' || t[w->at] == '}')
			level--;
		w->at++;
	} while (level && t[w->at]);
}

static int walk_value(struct walk *w, uint32_t self, unsigned int depth)
{
	const char *t = w->p->text;
	size_t from, len;
	char c = peek(w);

	if (c == '{' && depth < MAX_DEPTH)
		return walk_object(w, self, depth);
	if (c == '{' || c == '[')
		skip_brackets(w);
	else if (c == '"')
		skip_string(w, &from, &len);
	else
		while (t[w->at] && !strchr(",}] \t\r\n", t[w->at]))
			w->at++;
	return 0;
}

struct snpu_pos *snpu_pos_new(const char *text, char *why, size_t why_len, size_t *off)
{
	struct snpu_pos *p = calloc(1, sizeof(*p));
	struct walk w = { p, 0, why, why_len };

	*off = 0;
	if (!p) {
		snprintf(why, why_len, "out of memory");
		return NULL;
	}
	p->text = text;
	p->n = 1;
	if (walk_value(&w, ROOT, 0)) {
		*off = w.at;
		free(p);
		return NULL;
	}
	return p;
}

void snpu_pos_free(struct snpu_pos *p)
{
	free(p);
}

size_t snpu_pos_find(const struct snpu_pos *p, const char *sec, const char *key,
		     const char *member)
{
	const char *const path[] = { sec, key, member };
	uint32_t at = ROOT;
	size_t k, i;

	for (k = 0; k < sizeof(path) / sizeof(path[0]) && path[k]; k++) {
		for (i = 1; i < p->n; i++)
			if (p->e[i].parent == at && p->e[i].len == strlen(path[k]) &&
			    !memcmp(p->text + p->e[i].off + 1, path[k], p->e[i].len))
				break;
		if (i == p->n)
			break;
		at = (uint32_t)i;
	}
	return p->e[at].off;
}

void snpu_pos_line(const char *text, size_t off, uint32_t *line, uint32_t *col)
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
