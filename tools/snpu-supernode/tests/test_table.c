// SPDX-License-Identifier: MIT
/* Every rank of every guest has to give what is right, once: whatever else comes is told of. */
#include <errno.h>
#include <stdarg.h>

#include "test.h"

#define HOSTS	3u
#define NPUS	4u

static struct sn_table *table;
static char said[16384];

static int row(unsigned int host, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static int row(unsigned int host, const char *fmt, ...)
{
	char text[4096];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return sn_table_line(table, host, text, strlen(text));
}

#define HEAD	"{\"op\": \"all_reduce\", \"algo\": \"tree\", \"ranks\": 12, \"size\": 4096, " \
		"\"count\": 1024, \"type\": \"f32\", \"redop\": \"sum\", \"root\": 0, \"wall_us\": 10.5, "

static int good(unsigned int host)
{
	return row(host, HEAD "\"rank_base\": %u, \"wrong\": 0, \"errors\": [0, 0, 0, 0]}", host * NPUS);
}

static void begin(void)
{
	table = sn_table_create(HOSTS, NPUS);
}

/* Lines that sn_table_say() has, their text in @said */
static unsigned int end(unsigned int want)
{
	FILE *f = fmemopen(said, sizeof(said), "w");
	unsigned int n = sn_table_say(table, f, want);

	fclose(f);
	sn_table_free(table);
	table = NULL;
	return n;
}

static void test_right(void)
{
	unsigned int h;

	begin();
	for (h = HOSTS; h--; )
		CHECK(good(h) == 1);
	CHECK(end(1) == 0);
}

static void test_none(void)
{
	begin();
	CHECK(row(0, "hello") == 0);
	CHECK(row(0, "{ a shell may say this }") == 0);
	CHECK(row(0, "{\"other\": 1}") == 0);
	CHECK(row(0, "%s", "") == 0);
	CHECK(end(0) == 0);
	begin();
	CHECK(end(2) == 1);
	CHECK_TEXT(said, "0 results came, not 2");
}

static void test_missing(void)
{
	begin();
	good(0);
	good(2);
	CHECK(end(1) == 1);
	CHECK_TEXT(said, "all_reduce of 4096 B, 12 ranks: h01 (ranks 4-7) gave no result");
	begin();
	good(0);
	CHECK(end(1) == 1);
	CHECK_TEXT(said, "h01 to h02 (ranks 4-11) gave no result");
	begin();
	good(0);
	good(1);
	CHECK(row(2, HEAD "\"rank_base\": 9, \"wrong\": 0, \"errors\": [0, 0]}") == 1);
	CHECK(end(1) == 1);
	CHECK_TEXT(said, "h02 (ranks 8, 11) gave no result");
}

/* Three rows came, of two guests */
static void test_twice(void)
{
	begin();
	good(0);
	good(0);
	good(2);
	CHECK(end(1) == 2);
	CHECK_TEXT(said, "12 ranks: h01 (ranks 4-7) gave no result");
	CHECK_TEXT(said, "12 ranks, given 2 times: h01 to h02 (ranks 4-11) gave no result");
	begin();
	good(0);
	good(1);
	good(2);
	good(1);
	CHECK(end(1) == 1);
	CHECK_TEXT(said, "given 2 times: h00 (ranks 0-3), h02 (ranks 8-11) gave no result");
}

/* The same collective once more is a row of its own, if all ranks did it */
static void test_again(void)
{
	unsigned int i;

	begin();
	for (i = 0; i < 2 * HOSTS; i++)
		good(i / 2);
	CHECK(end(2) == 0);
}

/* Several programs in a guest, a rank each */
static void test_parts(void)
{
	unsigned int i;

	begin();
	for (i = 0; i < HOSTS * NPUS; i++)
		CHECK(row(i / NPUS, HEAD "\"rank_base\": %u, \"wrong\": 0, \"errors\": [0]}", i) == 1);
	CHECK(end(1) == 0);
}

static void test_others(void)
{
	begin();
	good(0);
	good(1);
	good(2);
	CHECK(row(2, HEAD "\"rank_base\": 4, \"wrong\": 0, \"errors\": [0, 0, 0, 0]}") == -EINVAL);
	CHECK(end(1) == 1);
	CHECK_TEXT(said, "h02: not a row to count: it tells of ranks 4 to 7, and has ranks 8 to 11");
	/* beyond the end, and across it */
	begin();
	CHECK(row(2, HEAD "\"rank_base\": 12, \"wrong\": 0, \"errors\": [0]}") == -EINVAL);
	CHECK(row(2, HEAD "\"rank_base\": 10, \"wrong\": 0, \"errors\": [0, 0, 0, 0]}") == -EINVAL);
	CHECK(row(2, HEAD "\"rank_base\": 4294967295, \"wrong\": 0, \"errors\": [0]}") == -EINVAL);
	end(0);
}

static void test_wrong(void)
{
	begin();
	good(0);
	CHECK(row(1, HEAD "\"rank_base\": 4, \"wrong\": 9, \"errors\": [0, 2, 7, 0]}") == 1);
	good(2);
	CHECK(end(1) == 1);
	CHECK_TEXT(said, "h01 (ranks 5-6) have wrong elements");
}

static void test_unchecked(void)
{
	begin();
	good(0);
	CHECK(row(1, HEAD "\"rank_base\": 4, \"wrong\": null}") == 1);
	good(2);
	CHECK(end(1) == 1);
	CHECK_TEXT(said, "h01 (ranks 4-7) compared nothing");
	begin();
	good(0);
	CHECK(row(1, HEAD "\"rank_base\": 4}") == -EINVAL);
	good(2);
	CHECK(end(1) == 2);
	CHECK_TEXT(said, "\"wrong\" is missing");
}

static void test_sum(void)
{
	begin();
	CHECK(row(0, HEAD "\"rank_base\": 0, \"wrong\": 0, \"errors\": [0, 0, 1, 0]}") == -EINVAL);
	CHECK(row(0, HEAD "\"rank_base\": 0, \"wrong\": 1, \"errors\": [0, 0, 0, 0]}") == -EINVAL);
	CHECK(row(0, HEAD "\"rank_base\": 0, \"rank_count\": 4, \"wrong\": 0, \"errors\": [0]}") == -EINVAL);
	CHECK(end(0) == 3);
}

static void test_types(void)
{
	static const char *const bad[] = {
		"{\"op\": 7}",
		"{\"op\": null}",
		"{\"op\": \"\"}",
		"{\"op\": \"all_reduce\"}",
		"{\"op\": \"\\u001b[2J\", \"ranks\": 12}",
		"{\"op\": \"a\\u0000b\", \"ranks\": 12}",
		"{\"op\": \"an operation with far too long a name\", \"ranks\": 12}",
		HEAD "\"rank_base\": 0, \"wrong\": 0, \"errors\": 0}",
		HEAD "\"rank_base\": 0, \"wrong\": 0, \"errors\": []}",
		HEAD "\"rank_base\": 0, \"wrong\": 0, \"errors\": [\"0\", 0, 0, 0]}",
		HEAD "\"rank_base\": 0, \"wrong\": 0, \"errors\": [null, 0, 0, 0]}",
		HEAD "\"rank_base\": 0, \"wrong\": 0, \"errors\": [[0], 0, 0, 0]}",
		HEAD "\"rank_base\": 0, \"wrong\": 0, \"errors\": [0.0, 0, 0, 0]}",
		HEAD "\"rank_base\": 0, \"wrong\": 0, \"errors\": [-1, 1, 0, 0]}",
		HEAD "\"rank_base\": 0, \"wrong\": \"0\", \"errors\": [0, 0, 0, 0]}",
		HEAD "\"rank_base\": 0, \"wrong\": false, \"errors\": [0, 0, 0, 0]}",
		HEAD "\"rank_base\": -1, \"wrong\": 0, \"errors\": [0, 0, 0, 0]}",
		HEAD "\"rank_base\": \"0\", \"wrong\": 0, \"errors\": [0, 0, 0, 0]}",
		HEAD "\"rank_base\": 0, \"rank_count\": {}, \"wrong\": null}",
		HEAD "\"wrong\": 0, \"errors\": [0, 0, 0, 0]}",
		HEAD "\"rank_base\": 0, \"ranks\": 0, \"wrong\": null}",
		HEAD "\"rank_base\": 0, \"ranks\": 99999, \"wrong\": null}",
		HEAD "\"rank_base\": 0, \"wall_us\": \"fast\", \"wrong\": null}",
		HEAD "\"rank_base\": 0, \"wall_us\": 1e999, \"wrong\": null}",
		HEAD "\"rank_base\": 0, \"wall_us\": -1, \"wrong\": null}",
		HEAD "\"rank_base\": 0, \"virtual_us\": [], \"wrong\": null}",
		HEAD "\"rank_base\": 0, \"size\": 18446744073709551615, \"wrong\": null}",
	};
	size_t i;

	begin();
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		int ret = row(0, "%s", bad[i]);

		if (ret != -EINVAL)
			printf("# %s: %d\n", bad[i], ret);
		CHECK(ret == -EINVAL);
	}
	CHECK(end(0) == sizeof(bad) / sizeof(bad[0]));
	CHECK_TEXT(said, "and 11 more of that kind");
	CHECK(!strchr(said, 27));
}

/* Each of its beginnings is refused, or no row */
static void test_truncated(void)
{
	static const char text[] = HEAD "\"rank_base\": 0, \"wrong\": 0, \"errors\": [0, 0, 0, 0]}";
	size_t i;

	begin();
	for (i = 0; i < sizeof(text) - 1; i++)
		CHECK(sn_table_line(table, 0, strndupa(text, i), i) == (i < 2 ? 0 : -EINVAL));
	CHECK(sn_table_line(table, 0, text, i) == 1);
	CHECK(row(0, "%s, \"x\"", text) == -EINVAL);
	CHECK(row(1, HEAD "\"rank_base\": 4, \"wrong\": 0, \"errors\": [0, 0, 0, 0]} \t\r") == 1);
	CHECK(end(0) == sizeof(text) - 1 - 2 + 1 + 1);
	begin();
	CHECK(sn_table_line(table, 0, "{\"op\": \"a\0\"}", 13) == -EINVAL);
	end(0);
}

/* More rows than there is room for */
static void test_flood(void)
{
	unsigned int i;

	begin();
	for (i = 0; i < 5000; i++)
		row(0, "{\"op\": \"x\", \"ranks\": 2048, \"size\": %u, \"wall_us\": 1, \"rank_base\": 0, "
		    "\"wrong\": null}", i);
	CHECK(end(0) == 1024 * 2 + 5000 - 1024);
	CHECK_TEXT(said, "more than 1024 different rows");
}

/* A communicator in each guest */
static void test_own(void)
{
	static const char text[] = "{\"op\": \"broadcast\", \"ranks\": 4, \"size\": 64, \"wall_us\": 1, "
		"\"rank_base\": 0, \"wrong\": %u, \"errors\": [0, 0, 0, %u]}";
	char line[256];
	unsigned int h;

	begin();
	for (h = 0; h < HOSTS; h++) {
		snprintf(line, sizeof(line), text, h == 1, h == 1);
		CHECK(row(h, "%s", line) == 1);
	}
	CHECK(end(1) == 1);
	CHECK_TEXT(said, "broadcast of 64 B, 4 ranks: h01 (ranks 3) have wrong elements");
	begin();
	snprintf(line, sizeof(line), text, 0, 0);
	row(2, "%s", line);
	CHECK(end(1) == 1);
	CHECK_TEXT(said, "h00 to h01 (ranks 0-3) gave no result");
}

/* Virtual time has a column where there is any */
static void test_virtual(void)
{
	char text[4096] = "";
	struct json_object *o, *v;
	FILE *f;

	begin();
	good(0);
	f = fmemopen(text, sizeof(text), "w");
	sn_table_print(table, f);
	fclose(f);
	CHECK(!strstr(text, "virtual"));
	CHECK_TEXT(text, "1 of 3  <-- not right");
	row(1, HEAD "\"virtual_us\": 84.511, \"rank_base\": 4, \"wrong\": 0, \"errors\": [0, 0, 0, 0]}");
	row(2, HEAD "\"virtual_us\": 83, \"rank_base\": 8, \"wrong\": 0, \"errors\": [0, 0, 0, 0]}");
	f = fmemopen(text, sizeof(text), "w");
	sn_table_print(table, f);
	fclose(f);
	CHECK_TEXT(text, "   virtual us ");
	CHECK_TEXT(text, " 84.511 ");
	CHECK(!strstr(text, "not right"));
	o = sn_table_json(table);
	CHECK(json_object_object_get_ex(json_object_array_get_idx(o, 0), "virtual_us", &v) &&
	      json_object_get_double(v) == 84.511);
	json_object_put(o);
	CHECK(end(1) == 0);
}

static const struct t_case cases[] = {
	{ "every rank of every guest, right", test_right },
	{ "lines that are no rows", test_none },
	{ "guests and ranks that are missing", test_missing },
	{ "a row given twice is not two guests", test_twice },
	{ "a collective done again", test_again },
	{ "several programs in a guest", test_parts },
	{ "ranks of others", test_others },
	{ "ranks that are wrong", test_wrong },
	{ "what was not compared is not right", test_unchecked },
	{ "errors that do not sum up", test_sum },
	{ "fields of wrong types", test_types },
	{ "rows cut short, or followed by more", test_truncated },
	{ "a flood of rows", test_flood },
	{ "a communicator in each guest", test_own },
	{ "virtual time", test_virtual },
};

T_MAIN(cases)
