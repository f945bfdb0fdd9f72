// SPDX-License-Identifier: MIT
/* What an agent may say, and when: a guest that does not keep to it is given up, by name. */
#include <errno.h>
#include <stdarg.h>

#include "test.h"

static struct sn_machine m;
static struct sn_guest g;

static void begin(enum sn_state state)
{
	m = (struct sn_machine){ .opts.hosts = 2, .model.npus = 4 };
	m.table = sn_table_create(2, 4);
	memset(&g, 0, sizeof(g));
	g.m = &m;
	g.host = 1;
	g.state = state;
	strcpy(g.name, "h01");
}

static void end(void)
{
	free(g.out.buf);
	sn_table_free(m.table);
}

static void frame(uint32_t type, const void *data, size_t len)
{
	static uint8_t payload[SN_FRAME_MAX + 1];
	struct sn_frame f = { .type = type, .len = (uint32_t)len };

	memcpy(payload, data, len);
	payload[len] = 0;
	sn_guest_frame(&g, &f, payload);
}

static void out(const char *text)
{
	frame(SN_OUT, text, strlen(text));
}

static void leave(int32_t rc)
{
	frame(SN_EXIT, &rc, sizeof(rc));
}

#define ROW	"{\"op\": \"x\", \"ranks\": 8, \"size\": 4, \"wall_us\": 1, \"rank_base\": 4, " \
		"\"wrong\": 0, \"errors\": [0, 0, 0, 0]}"

static void test_life(void)
{
	uint32_t n = 4;

	begin(SN_PROBES);
	frame(SN_NPUS, &n, sizeof(n));
	CHECK(g.state == SN_READY);
	g.state = SN_RUNS;
	out("words\n" ROW);
	CHECK(m.rows == 0);
	out("\n{\"no\": \"row\"}\n");
	CHECK(m.rows == 1);
	frame(SN_ERR, "oh\n", 3);
	leave(3);
	CHECK(g.state == SN_DONE && g.rc == 3 && m.settle > 0);
	CHECK(g.err_len == 3 && !memcmp(g.err, "oh\n", 3) && !g.err_cut);
	end();
}

/* The last line needs no end, and half a row is noticed */
static void test_last_line(void)
{
	begin(SN_RUNS);
	out(ROW);
	leave(0);
	CHECK(g.state == SN_DONE && m.rows == 1);
	end();
	begin(SN_RUNS);
	out("{\"op\": \"x\", \"ra");
	leave(0);
	CHECK(m.rows == 0 && sn_table_say(m.table, stderr, 0) == 1);
	end();
}

static void test_times(void)
{
	static const enum sn_frame_type types[] = { SN_OUT, SN_ERR, SN_EXIT, SN_NPUS };
	uint32_t word = 4;
	unsigned int i;

	for (i = 0; i < 4; i++) {
		begin(SN_READY);
		frame(types[i], &word, sizeof(word));
		CHECK(g.state == SN_FAILED);
		CHECK_TEXT(g.why, "at the wrong time");
		end();
	}
	/* who is given up is not listened to */
	begin(SN_FAILED);
	out(ROW "\n");
	leave(0);
	CHECK(g.state == SN_FAILED && m.rows == 0);
	end();
}

static void test_lengths(void)
{
	char word[8] = {};
	size_t n;

	for (n = 0; n <= 8; n++) {
		begin(SN_RUNS);
		frame(SN_EXIT, word, n);
		CHECK(g.state == (n == 4 ? SN_DONE : SN_FAILED));
		if (n != 4)
			CHECK_TEXT(g.why, "bytes, not 4");
		end();
		begin(SN_PROBES);
		word[0] = 4;
		frame(SN_NPUS, word, n);
		CHECK(g.state == (n == 4 ? SN_READY : SN_FAILED));
		word[0] = 0;
		end();
	}
}

static void test_values(void)
{
	static const int32_t bad[] = { -1, 256, INT32_MIN, INT32_MAX };
	uint32_t n = 3;
	unsigned int i;

	for (i = 0; i < 4; i++) {
		begin(SN_RUNS);
		leave(bad[i]);
		CHECK(g.state == SN_FAILED);
		end();
	}
	begin(SN_PROBES);
	frame(SN_NPUS, &n, sizeof(n));
	CHECK(g.state == SN_FAILED);
	CHECK_TEXT(g.why, "3 NPUs, not 4");
	end();
	begin(SN_RUNS);
	frame(0x12345678, "", 0);
	CHECK_TEXT(g.why, "unknown frame 0x12345678");
	end();
	/* what only the host says */
	begin(SN_RUNS);
	frame(SN_RUN, "a", 1);
	CHECK(g.state == SN_FAILED);
	end();
}

static void test_words(void)
{
	begin(SN_RUNS);
	frame(SN_FAIL, "\033]0;title\a\n", 12);
	CHECK(g.state == SN_FAILED);
	CHECK_TEXT(g.why, "its agent: \\x1b]0;title\\x07\\x0a");
	end();
}

/* No more than a part is kept, and the rest is counted; rows come after any amount of words */
static void test_much(void)
{
	static char block[60000];
	unsigned int i;

	begin(SN_RUNS);
	memset(block, 'z', sizeof(block));
	block[sizeof(block) - 1] = '\n';
	for (i = 0; i < 200; i++) {
		frame(SN_ERR, block, sizeof(block));
		frame(SN_OUT, block, sizeof(block));
	}
	out(ROW "\n");
	leave(0);
	CHECK(m.rows == 1);
	CHECK(g.err_len + g.err_cut == 200 * sizeof(block) && g.err_len <= 65536);
	end();
	/* a row that is too long is none */
	begin(SN_RUNS);
	out("{\"op\": \"");
	for (i = 0; i < 10; i++)
		frame(SN_OUT, block, sizeof(block) - 1);
	out("\n");
	CHECK(sn_table_say(m.table, stderr, 0) == 1);
	end();
}

static const struct t_case cases[] = {
	{ "from the NPUs to the end", test_life },
	{ "the last line", test_last_line },
	{ "frames at the wrong time", test_times },
	{ "payloads of wrong lengths", test_lengths },
	{ "values that cannot be", test_values },
	{ "words for a terminal", test_words },
	{ "more output than is kept", test_much },
};

T_MAIN(cases)
