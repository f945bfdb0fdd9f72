// SPDX-License-Identifier: MIT
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "frame.h"

ssize_t sn_parser_read(struct sn_parser *p, int fd)
{
	ssize_t n;

	do {
		n = read(fd, p->buf + p->have, sizeof(p->buf) - p->have);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	p->have += (size_t)n;
	return n;
}

int sn_parser_next(struct sn_parser *p, struct sn_frame *frame)
{
	if (p->have < sizeof(*frame))
		return 0;
	memcpy(frame, p->buf, sizeof(*frame));
	if (frame->len > SN_FRAME_MAX)
		return -EBADMSG;
	if (p->have < sizeof(*frame) + frame->len)
		return 0;
	memcpy(p->payload, p->buf + sizeof(*frame), frame->len);
	p->payload[frame->len] = 0;
	p->have -= sizeof(*frame) + frame->len;
	memmove(p->buf, p->buf + sizeof(*frame) + frame->len, p->have);
	return 1;
}
