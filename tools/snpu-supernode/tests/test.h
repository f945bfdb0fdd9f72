/* SPDX-License-Identifier: MIT */
/* What the tests of snpu-supernode share: TAP output and checks. */
#ifndef SNPU_SN_TEST_H
#define SNPU_SN_TEST_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../supernode.h"

struct t_case {
	const char *name;
	void (*fn)(void);
};

static unsigned int t_bad;

#define CHECK(cond) do { \
	if (!(cond)) { \
		t_bad++; \
		printf("# %s:%d: %s\n", __FILE__, __LINE__, #cond); \
	} \
} while (0)

#define CHECK_TEXT(text, part) do { \
	const char *text_ = (text); \
	if (!strstr(text_, part)) { \
		t_bad++; \
		printf("# %s:%d: '%s' is missing\n", __FILE__, __LINE__, part); \
		fprintf(stderr, "%s:%d: it is not in '%s'\n", __FILE__, __LINE__, text_); \
	} \
} while (0)

static inline int t_main(const struct t_case *cases, size_t count)
{
	unsigned int failed = 0;
	size_t i;

	printf("1..%zu\n", count);
	for (i = 0; i < count; i++) {
		t_bad = 0;
		cases[i].fn();
		failed += t_bad > 0;
		printf("%sok %zu - %s\n", t_bad ? "not " : "", i + 1, cases[i].name);
		fflush(stdout);
	}
	return failed > 0;
}

#define T_MAIN(cases) \
	int main(void) \
	{ \
		return t_main(cases, sizeof(cases) / sizeof(cases[0])); \
	}

#endif
