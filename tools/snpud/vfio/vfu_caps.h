/* SPDX-License-Identifier: MIT */
/* Version data: the capabilities that either side names, as JSON. */
#ifndef SNPU_VFU_CAPS_H
#define SNPU_VFU_CAPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * struct snpu_vfu_caps - capabilities of one side
 * @max_fds: descriptors it takes in one message
 * @max_xfer: bytes of data in one message
 * @pgsizes: page sizes of DMA mappings
 * @max_maps: DMA mappings at a time
 * @multi: it knows REGION_WRITE_MULTI
 * @named: which of them it named, SNPU_VFU_CAP_*
 */
struct snpu_vfu_caps {
	uint64_t max_fds;
	uint64_t max_xfer;
	uint64_t pgsizes;
	uint64_t max_maps;
	bool multi;
	unsigned int named;
};

#define SNPU_VFU_CAP_FDS	0x1u
#define SNPU_VFU_CAP_XFER	0x2u
#define SNPU_VFU_CAP_PGSIZES	0x4u
#define SNPU_VFU_CAP_MAPS	0x8u
#define SNPU_VFU_CAP_MULTI	0x10u
#define SNPU_VFU_CAP_ALL	0x1fu

/**
 * snpu_vfu_caps_parse() - read what the peer sent
 * @json: the bytes, terminated by NUL within @len; hostile
 * @len: bytes, 0 for no version data
 * @caps: receives defaults where the peer names nothing
 * @err: receives what is wrong and what is allowed
 * @err_len: size of @err
 *
 * Names that are not known are skipped: a capability is an offer. Return: 0, -EINVAL or -ENOMEM.
 */
int snpu_vfu_caps_parse(const char *json, size_t len, struct snpu_vfu_caps *caps, char *err,
			size_t err_len);

/**
 * snpu_vfu_caps_print() - write @caps->named of @caps
 * @caps: what to offer
 * @buf: receives the JSON with its NUL
 * @len: size of @buf
 *
 * Return: bytes including the NUL, or -E2BIG.
 */
int snpu_vfu_caps_print(const struct snpu_vfu_caps *caps, char *buf, size_t len);

#endif
