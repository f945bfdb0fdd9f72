// SPDX-License-Identifier: MIT
/* Text that guests give, who may be hostile: made harmless, and cut into lines. */
#include <stdlib.h>
#include <string.h>

#include "supernode.h"

size_t sn_escape(char *out, size_t size, const char *in, size_t len)
{
	size_t i, n = 0;

	for (i = 0; i < len; i++) {
		unsigned char c = (unsigned char)in[i];

		if (c == '\t')
			c = ' ';
		if (c >= ' ' && c < 0x7f) {
			if (n + 1 >= size)
				break;
			out[n++] = (char)c;
		} else {
			if (n + 4 >= size)
				break;
			n += (size_t)snprintf(out + n, 5, "\\x%02x", c);
		}
	}
	if (size)
		out[n] = 0;
	return i;
}

static void append(struct sn_lines *l, const char *data, size_t n)
{
	if (l->len + n > SN_LINE_MAX) {
		l->cut += !l->skips;
		l->skips = true;
		n = SN_LINE_MAX - l->len;
	}
	if (l->len + n + 1 > l->cap) {
		char *buf;

		l->cap = 2 * (l->len + n + 1);
		buf = realloc(l->buf, l->cap);
		if (!buf)
			sn_alloc(SIZE_MAX / 2);		/* says so and ends */
		l->buf = buf;
	}
	memcpy(l->buf + l->len, data, n);
	l->len += n;
	l->buf[l->len] = 0;
}

void sn_lines_add(struct sn_lines *l, const char *data, size_t n,
		  void (*line)(void *arg, char *text, size_t len), void *arg)
{
	while (n) {
		const char *end = memchr(data, '\n', n);
		size_t part = end ? (size_t)(end - data) : n;

		append(l, data, part);
		if (end) {
			line(arg, l->buf, l->len);
			l->len = 0;
			l->skips = false;
			part++;
		}
		data += part;
		n -= part;
	}
}

void sn_lines_end(struct sn_lines *l, void (*line)(void *arg, char *text, size_t len), void *arg)
{
	if (l->len)
		line(arg, l->buf, l->len);
	free(l->buf);
	*l = (struct sn_lines){ .cut = l->cut };
}
