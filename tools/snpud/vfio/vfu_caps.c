// SPDX-License-Identifier: MIT
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <json-c/json.h>

#include "vfu_caps.h"
#include "vfu_proto.h"

#define JSON_DEPTH	8

static const struct {
	const char *name;
	unsigned int bit;
	size_t field;
	uint64_t min, max;
} nums[] = {
	{ "max_msg_fds", SNPU_VFU_CAP_FDS, offsetof(struct snpu_vfu_caps, max_fds), 0, 1u << 16 },
	{ "max_data_xfer_size", SNPU_VFU_CAP_XFER, offsetof(struct snpu_vfu_caps, max_xfer), 1,
	  1u << 30 },
	{ "pgsizes", SNPU_VFU_CAP_PGSIZES, offsetof(struct snpu_vfu_caps, pgsizes),
	  SNPU_VFU_PAGE, INT64_MAX },
	{ "max_dma_maps", SNPU_VFU_CAP_MAPS, offsetof(struct snpu_vfu_caps, max_maps), 1,
	  UINT32_MAX },
};

#define NUMS	(sizeof(nums) / sizeof(nums[0]))

static int parse_caps(struct json_object *obj, struct snpu_vfu_caps *caps, char *err,
		      size_t err_len)
{
	struct json_object *v;
	size_t i;

	for (i = 0; i < NUMS; i++) {
		int64_t x;

		if (!json_object_object_get_ex(obj, nums[i].name, &v))
			continue;
		x = json_object_is_type(v, json_type_int) ? json_object_get_int64(v) : -1;
		if (x < 0 || (uint64_t)x < nums[i].min || (uint64_t)x > nums[i].max) {
			snprintf(err, err_len,
				 "capability %s is not a number of %" PRIu64 "..%" PRIu64,
				 nums[i].name, nums[i].min, nums[i].max);
			return -EINVAL;
		}
		*(uint64_t *)((char *)caps + nums[i].field) = (uint64_t)x;
		caps->named |= nums[i].bit;
	}
	if (caps->pgsizes % SNPU_VFU_PAGE) {
		snprintf(err, err_len, "capability pgsizes has sizes below %u", SNPU_VFU_PAGE);
		return -EINVAL;
	}
	if (json_object_object_get_ex(obj, "write_multiple", &v)) {
		if (!json_object_is_type(v, json_type_boolean)) {
			snprintf(err, err_len, "capability write_multiple is not true or false");
			return -EINVAL;
		}
		caps->multi = json_object_get_boolean(v);
		caps->named |= SNPU_VFU_CAP_MULTI;
	}
	return 0;
}

int snpu_vfu_caps_parse(const char *json, size_t len, struct snpu_vfu_caps *caps, char *err,
			size_t err_len)
{
	struct json_tokener *tok;
	struct json_object *top, *obj;
	int ret = 0;
	size_t n;

	*caps = (struct snpu_vfu_caps){
		.max_fds = SNPU_VFU_DEF_FDS,
		.max_xfer = SNPU_VFU_MAX_XFER,
		.pgsizes = SNPU_VFU_PAGE,
		.max_maps = 65535,
	};
	if (!len)
		return 0;
	if (len > SNPU_VFU_MAX_JSON) {
		snprintf(err, err_len, "version data has %zu bytes, at most %u allowed", len,
			 SNPU_VFU_MAX_JSON);
		return -EINVAL;
	}
	n = strnlen(json, len);
	if (n + 1 != len) {
		snprintf(err, err_len, "version data is not one string that ends in a NUL");
		return -EINVAL;
	}
	if (!n)
		return 0;

	tok = json_tokener_new_ex(JSON_DEPTH);
	if (!tok)
		return -ENOMEM;
	/* with its NUL, so that a number or a word at the very end is complete */
	top = json_tokener_parse_ex(tok, json, (int)len);
	if (!top || !json_object_is_type(top, json_type_object)) {
		snprintf(err, err_len, "version data is not a JSON object (depth at most %d): %s",
			 JSON_DEPTH, json_tokener_error_desc(json_tokener_get_error(tok)));
		ret = -EINVAL;
	} else if (json_object_object_get_ex(top, "capabilities", &obj)) {
		if (json_object_is_type(obj, json_type_object)) {
			ret = parse_caps(obj, caps, err, err_len);
		} else {
			snprintf(err, err_len, "capabilities is not a JSON object");
			ret = -EINVAL;
		}
	}
	json_object_put(top);
	json_tokener_free(tok);
	return ret;
}

int snpu_vfu_caps_print(const struct snpu_vfu_caps *caps, char *buf, size_t len)
{
	const char *sep = "";
	size_t i, at;
	int k;

	/* By hand: a client may have room for no more than it sent, so not one blank too many */
	k = snprintf(buf, len, "{\"capabilities\":{");
	if (k < 0 || (size_t)k >= len)
		return -E2BIG;
	at = (size_t)k;
	for (i = 0; i < NUMS; i++) {
		if (!(caps->named & nums[i].bit))
			continue;
		k = snprintf(buf + at, len - at, "%s\"%s\":%" PRIu64, sep, nums[i].name,
			     *(const uint64_t *)((const char *)caps + nums[i].field));
		if (k < 0 || (size_t)k >= len - at)
			return -E2BIG;
		at += (size_t)k;
		sep = ",";
	}
	k = snprintf(buf + at, len - at, "%s%s}}",
		     caps->named & SNPU_VFU_CAP_MULTI ? sep : "",
		     !(caps->named & SNPU_VFU_CAP_MULTI) ? "" :
		     caps->multi ? "\"write_multiple\":true" : "\"write_multiple\":false");
	if (k < 0 || (size_t)k >= len - at)
		return -E2BIG;
	return (int)(at + (size_t)k + 1);
}
