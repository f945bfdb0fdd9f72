/* SPDX-License-Identifier: MIT */
#ifndef SNPU_SN_FRAME_H
#define SNPU_SN_FRAME_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * The channel between snpu-supernode and the agent in each guest: a byte stream (a virtio-serial
 * port called SN_PORT_NAME) of frames. Numbers are little-endian, as both ends are.
 */
#define SN_PORT_NAME	"snpu.agent"
#define SN_FRAME_MAX	65536u		/* bytes of a payload */

/**
 * enum sn_frame_type - what a frame says
 * @SN_UP: guest: the agent listens. No payload
 * @SN_HELLO: host: who this guest is, and the NPUs to wait for; struct sn_hello
 * @SN_NPUS: guest: the NPUs came up; uint32_t
 * @SN_RUN: host: run a program; strings that end with 0: variables NAME=VALUE, an empty string, argv
 * @SN_STOP: host: SIGTERM to the program. No payload
 * @SN_OUT: guest: bytes of the program's standard output
 * @SN_ERR: guest: bytes of its standard error
 * @SN_EXIT: guest: it ended, and all its output was sent; int32_t, 128 + signal as shells say it
 * @SN_FAIL: guest: what the agent could not do, as text
 */
enum sn_frame_type {
	SN_UP = 'U',
	SN_HELLO = 'H',
	SN_NPUS = 'N',
	SN_RUN = 'R',
	SN_STOP = 'S',
	SN_OUT = 'o',
	SN_ERR = 'e',
	SN_EXIT = 'x',
	SN_FAIL = 'f',
};

struct sn_frame {
	uint32_t type;
	uint32_t len;
};

/**
 * struct sn_hello - what a clone cannot know by itself
 * @host: its number
 * @npus: NPUs it is going to have
 * @time_ns: CLOCK_REALTIME; a clone's stands where the template's stood
 * @entropy: every clone wakes up with the template's random state
 * @name: host name, with a 0 at its end
 */
struct sn_hello {
	uint32_t host;
	uint32_t npus;
	uint64_t time_ns;
	uint8_t entropy[32];
	char name[64];
};

/**
 * struct sn_parser - frames out of a byte stream
 * @buf: bytes that came and were not taken
 * @have: how many
 * @payload: of the frame that was taken last, and a 0
 */
struct sn_parser {
	uint8_t buf[sizeof(struct sn_frame) + SN_FRAME_MAX];
	size_t have;
	uint8_t payload[SN_FRAME_MAX + 1];
};

/**
 * sn_parser_read - read from @fd what there is and fits
 * @p: parser
 * @fd: descriptor, blocking or not
 *
 * Return: bytes; 0 at the end of the stream; negative errno
 */
ssize_t sn_parser_read(struct sn_parser *p, int fd);

/**
 * sn_parser_next - take a whole frame
 * @p: parser
 * @frame: its head; the payload is in @p, valid until the next call
 *
 * Return: 1: a frame; 0: none yet; -EBADMSG: its length is not allowed, the stream is lost
 */
int sn_parser_next(struct sn_parser *p, struct sn_frame *frame);

#endif
