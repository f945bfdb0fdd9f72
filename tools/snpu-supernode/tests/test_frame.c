// SPDX-License-Identifier: MIT
/* Frames out of a byte stream, lines out of frames, and text for terminals: from whoever sends. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "test.h"

static struct sn_parser p;
static int fds[2];

static void begin(void)
{
	p.have = 0;
	CHECK(!pipe2(fds, O_NONBLOCK | O_CLOEXEC));
}

static void end(void)
{
	close(fds[0]);
	close(fds[1]);
}

static void put(const void *data, size_t n)
{
	CHECK(write(fds[1], data, n) == (ssize_t)n);
}

static void test_split(void)
{
	static const char data[] = "abc";
	struct sn_frame f = { .type = SN_OUT, .len = 3 }, got;
	char bytes[sizeof(f) + 3];
	size_t i;

	begin();
	memcpy(bytes, &f, sizeof(f));
	memcpy(bytes + sizeof(f), data, 3);
	for (i = 0; i < sizeof(bytes); i++) {
		CHECK(sn_parser_next(&p, &got) == 0);
		put(bytes + i, 1);
		CHECK(sn_parser_read(&p, fds[0]) == 1);
	}
	CHECK(sn_parser_next(&p, &got) == 1 && got.type == SN_OUT && got.len == 3);
	CHECK(!strcmp((char *)p.payload, "abc"));
	CHECK(sn_parser_next(&p, &got) == 0);
	CHECK(sn_parser_read(&p, fds[0]) == -EAGAIN);
	close(fds[1]);
	fds[1] = -1;
	CHECK(sn_parser_read(&p, fds[0]) == 0);
	end();
}

static void test_many(void)
{
	struct sn_frame f = { .type = SN_UP }, got;
	unsigned int i;

	begin();
	for (i = 0; i < 100; i++)
		put(&f, sizeof(f));
	CHECK(sn_parser_read(&p, fds[0]) == (ssize_t)(100 * sizeof(f)));
	for (i = 0; i < 100; i++)
		CHECK(sn_parser_next(&p, &got) == 1 && got.len == 0 && p.payload[0] == 0);
	CHECK(sn_parser_next(&p, &got) == 0);
	end();
}

static void test_length(void)
{
	static const uint32_t bad[] = { SN_FRAME_MAX + 1, 0x7fffffff, 0x80000000, 0xfffffff8, 0xffffffff };
	struct sn_frame f = { .type = SN_OUT }, got;
	static char data[SN_FRAME_MAX];
	size_t done = 0;
	unsigned int i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		begin();
		f.len = bad[i];
		put(&f, sizeof(f));
		CHECK(sn_parser_read(&p, fds[0]) == sizeof(f));
		CHECK(sn_parser_next(&p, &got) == -EBADMSG);
		end();
	}
	/* the longest that is allowed, and then no room is left */
	begin();
	f.len = SN_FRAME_MAX;
	put(&f, sizeof(f));
	memset(data, 'x', sizeof(data));
	while (done < sizeof(data)) {
		ssize_t n = write(fds[1], data + done, sizeof(data) - done);

		CHECK(n > 0 || errno == EAGAIN);
		done += n > 0 ? (size_t)n : 0;
		CHECK(sn_parser_next(&p, &got) == 0);
		CHECK(sn_parser_read(&p, fds[0]) > 0);
	}
	CHECK(sn_parser_next(&p, &got) == 1 && got.len == SN_FRAME_MAX && p.payload[got.len] == 0);
	end();
}

static char lines[8][64];
static size_t lens[8];
static unsigned int num;

static void on_line(void *arg, char *text, size_t len)
{
	CHECK(arg == lines && text[len] == 0);
	if (num < 8) {
		snprintf(lines[num], sizeof(lines[0]), "%.60s", text);
		lens[num] = len;
	}
	num++;
}

static void test_lines(void)
{
	static const char text[] = "one\n\ntwo\r\nthr\0e\nrest";
	struct sn_lines l = {};
	size_t i;

	num = 0;
	for (i = 0; i < sizeof(text) - 1; i++)
		sn_lines_add(&l, text + i, 1, on_line, lines);
	CHECK(num == 4 && !strcmp(lines[0], "one") && lens[1] == 0 && !strcmp(lines[2], "two\r"));
	CHECK(lens[3] == 5);
	sn_lines_end(&l, on_line, lines);
	CHECK(num == 5 && !strcmp(lines[4], "rest") && !l.buf);
	sn_lines_end(&l, on_line, lines);
	CHECK(num == 5);
}

/* A line without an end takes no more memory than a long one, and the next is whole */
static void test_endless(void)
{
	struct sn_lines l = {};
	static char block[65536];
	unsigned int i;

	num = 0;
	memset(block, 'y', sizeof(block));
	for (i = 0; i < 1000; i++)
		sn_lines_add(&l, block, sizeof(block), on_line, lines);
	CHECK(num == 0 && l.cap <= 4 * SN_LINE_MAX);
	sn_lines_add(&l, "\nnext\n", 6, on_line, lines);
	CHECK(num == 2 && lens[0] == SN_LINE_MAX && !strcmp(lines[1], "next") && l.cut == 1);
	sn_lines_end(&l, on_line, lines);
}

static void test_escape(void)
{
	static const char text[] = "a\tb\033[2J\a\r\n\x9b" "0m\xc2\x9b\x7f";
	char out[128], small[8];
	size_t i;

	CHECK(sn_escape(out, sizeof(out), text, sizeof(text) - 1) == sizeof(text) - 1);
	CHECK(!strcmp(out, "a b\\x1b[2J\\x07\\x0d\\x0a\\x9b0m\\xc2\\x9b\\x7f"));
	for (i = 0; i < 256; i++) {
		char c = (char)i;

		sn_escape(out, sizeof(out), &c, 1);
		CHECK(strlen(out) == (i == '\t' || (i >= ' ' && i < 0x7f) ? 1 : 4));
	}
	/* half an escape is none */
	CHECK(sn_escape(small, sizeof(small), "abcd\033x", 6) == 4 && !strcmp(small, "abcd"));
	CHECK(sn_escape(small, sizeof(small), "abc\033x", 5) == 4 && !strcmp(small, "abc\\x1b"));
	CHECK(sn_escape(small, 1, "abc", 3) == 0 && !small[0]);
}

static const struct t_case cases[] = {
	{ "a frame byte by byte", test_split },
	{ "many frames at once", test_many },
	{ "lengths that are not allowed", test_length },
	{ "lines", test_lines },
	{ "a line without an end", test_endless },
	{ "text for a terminal", test_escape },
};

T_MAIN(cases)
