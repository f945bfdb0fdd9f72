// SPDX-License-Identifier: MIT
/*
 * Mutated profiles: each is accepted or refused with a message that says where, and what is
 * accepted makes a topology. usage: fuzz_profile SEED COUNT; the same seed gives the same texts.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fabric/topo.h"
#include "profiles/profile_priv.h"

#define MAX_TEXT	(32u * 1024)

static uint64_t rnd(uint64_t *s)
{
	*s += 0x9e3779b97f4a7c15ull;
	uint64_t z = *s;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

/* What a profile is made of, and what it must not be made of */
static const char *const bits[] = {
	"null", "{", "}", "[", "]", ",", ":", "\"", "\\", "\\u0000", "\\u006f", "0", "1", "-1", "2",
	"7", "1e400", "1e-400", "NaN", "Infinity", "1e18", "\"hash\"", "\"round_robin\"",
	"\"base\": \"cm384\",", "\"base\": \"pair\",", "\"base\": \"../profiles/cm384.json\",",
	"\"value\": 1,", "\"dies\"", "\"planes\"", "/*", "\n", "\t", "\x7f", "\x1b", "\xff", "''",
	"true", "16777216", "[[[[[[[[[[[[", "{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{",
};

/* Puts @with in the place of @cut bytes at @at */
static void splice(char *text, size_t at, size_t cut, const char *with)
{
	size_t len = strlen(text), w = strlen(with);

	if (at > len)
		at = len;
	if (cut > len - at)
		cut = len - at;
	if (len - cut + w >= MAX_TEXT)
		return;
	memmove(text + at + w, text + at + cut, len - at - cut + 1);
	memcpy(text + at, with, w);
}

static void mutate(char *text, uint64_t *s)
{
	size_t len = strlen(text), at = len ? rnd(s) % len : 0;
	char piece[256], *p;

	switch (rnd(s) % 6) {
	case 0:	/* one byte */
		if (len)
			text[at] = (char)(1 + rnd(s) % 255);
		break;
	case 1:	/* cut */
		splice(text, at, 1 + rnd(s) % 40, "");
		break;
	case 2:	/* insert, or replace what follows */
		splice(text, at, rnd(s) % 2 ? 0 : rnd(s) % 12,
		       bits[rnd(s) % (sizeof(bits) / sizeof(bits[0]))]);
		break;
	case 3:	/* another number where one stands */
		p = strstr(text + at, "\"value\": ");
		if (p) {
			at = (size_t)(p - text) + 9;
			snprintf(piece, sizeof(piece), "%g", (double)(rnd(s) % 2000) *
				 (rnd(s) % 4 ? 1 : 1e9));
			splice(text, at, strcspn(text + at, ","), piece);
		}
		break;
	case 4:	/* a piece of it, somewhere else */
		snprintf(piece, sizeof(piece), "%.*s", (int)(1 + rnd(s) % 200), text + at);
		splice(text, len ? rnd(s) % len : 0, 0, piece);
		break;
	default:
		if (rnd(s) % 16 == 0)
			text[at] = 0;
	}
}

static int one(const char *text, const char *file)
{
	char err[512] = "", *colon;
	struct snpu_profile *p;
	struct snpu_topo *t;

	p = snpu_profile_parse(text, file, err, sizeof(err));
	if (!p) {
		colon = strstr(err, ".json:");
		if (strncmp(err, "profile ", 8) || !colon || colon[6] < '1' || colon[6] > '9') {
			fprintf(stderr, "message without a place: %s\n", err);
			return -1;
		}
		return 0;
	}
	t = snpu_topo_new(p, err, sizeof(err));
	if (!t)
		fprintf(stderr, "accepted, but: %s\n", err);
	snpu_topo_free(t);
	snpu_profile_free(p);
	return t ? 1 : -1;
}

int main(int argc, char **argv)
{
	uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 1, s;
	uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 0) : 1000, i, good = 0;
	char err[512], *base, *text, **names;
	unsigned int k;
	size_t n;
	int ret;

	text = malloc(MAX_TEXT);
	if (!text || snpu_profile_names(&names, &n) || !n) {
		fprintf(stderr, "fuzz_profile: no profiles\n");
		return 1;
	}
	for (i = 0; i < count; i++) {
		struct snpu_profile *p;

		s = seed * 1000003 + i;
		p = snpu_profile_load(names[rnd(&s) % n], err, sizeof(err));
		base = p ? snpu_profile_read(p->file, err, sizeof(err)) : NULL;
		snpu_profile_free(p);
		if (!base || strlen(base) >= MAX_TEXT) {
			fprintf(stderr, "fuzz_profile: %s\n", base ? "profile too long" : err);
			return 1;
		}
		strcpy(text, base);
		free(base);
		for (k = (unsigned int)(rnd(&s) % 6); k; k--)
			mutate(text, &s);
		ret = one(text, "fuzz.json");
		if (ret < 0) {
			fprintf(stderr, "fuzz_profile: seed %llu input %llu:\n%s\n",
				(unsigned long long)seed, (unsigned long long)i, text);
			return 1;
		}
		good += (uint64_t)ret;
	}
	free(text);
	snpu_profile_names_free(names, n);
	printf("%llu texts, %llu accepted\n", (unsigned long long)count,
	       (unsigned long long)good);
	/* inputs that never or always pass would test one half only */
	return good && good < count ? 0 : 1;
}
