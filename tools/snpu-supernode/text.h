/* SPDX-License-Identifier: MIT */
#ifndef SNPU_SN_TEXT_H
#define SNPU_SN_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SN_LINE_MAX	(256u << 10)	/* a row of 2048 ranks takes a tenth of it */

/**
 * sn_escape - make text that a guest gave harmless for a terminal
 * @out: gets it, always with a 0 at its end
 * @size: of @out
 * @in: bytes, 0 among them too
 * @len: how many
 *
 * Control characters, escape sequences and what is no ASCII become \xNN; a tab becomes a blank.
 *
 * Return: bytes of @in that found room
 */
size_t sn_escape(char *out, size_t size, const char *in, size_t len);

/**
 * struct sn_lines - whole lines out of a byte stream of any length
 * @buf: the line that is not whole yet
 * @len: how many bytes of it
 * @cap: room for it
 * @cut: lines that were longer than SN_LINE_MAX, and were given cut
 * @skips: the rest of such a line is being passed over
 */
struct sn_lines {
	char *buf;
	size_t len;
	size_t cap;
	uint64_t cut;
	bool skips;
};

/**
 * sn_lines_add - bytes came
 * @l: lines
 * @data: bytes
 * @n: how many
 * @line: called for each whole line, without its end; @len does not count the 0 that follows
 * @arg: for @line
 */
void sn_lines_add(struct sn_lines *l, const char *data, size_t n,
		  void (*line)(void *arg, char *text, size_t len), void *arg);

/** sn_lines_end - the stream is at its end: what there is of a line is one */
void sn_lines_end(struct sn_lines *l, void (*line)(void *arg, char *text, size_t len), void *arg);

#endif
