// SPDX-License-Identifier: MIT
/* Error texts, names, settings, and what arguments may be. */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coll.h"

#define SLOT_MIN	1024ull
#define SLOT_MAX	(4ull << 20)
#define TIMEOUT_MS	"60000"
#define TIMEOUT_MS_MAX	86400000ull

static __thread char last_error[512];

static const char *const op_names[SNPU_COLL_OPS] = {
	"all_reduce", "reduce_scatter", "all_gather", "broadcast", "reduce", "all_to_all",
	"barrier",
};

static const char *const redop_names[SNPU_COLL_REDOPS] = { "sum", "prod", "min", "max", "avg" };

static const char *const algo_names[SNPU_COLL_ALGOS] = {
	"auto", "ring", "hd", "tree", "hier", "pairwise", "switch",
};

static const char *const dtype_names[SNPU_DT_MAX + 1] = {
	[SNPU_DT_F32] = "f32", [SNPU_DT_BF16] = "bf16", [SNPU_DT_F16] = "f16", [SNPU_DT_I8] = "i8",
	[SNPU_DT_I32] = "i32", [SNPU_DT_I64] = "i64",
};

/** snpu_coll_last_error() - why the latest failing call of this thread failed */
COLL_EXPORT const char *snpu_coll_last_error(void)
{
	return last_error;
}

int coll_fail(int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(last_error, sizeof(last_error), fmt, ap);
	va_end(ap);
	return err;
}

int coll_fail_snpu(int err, const char *fmt, ...)
{
	va_list ap;
	size_t n;

	va_start(ap, fmt);
	vsnprintf(last_error, sizeof(last_error), fmt, ap);
	va_end(ap);
	n = strlen(last_error);
	snprintf(last_error + n, sizeof(last_error) - n, ": %s", snpu_last_error());
	return err;
}

int coll_fail_in(const char *call, int err)
{
	size_t n = strlen(call), len = strlen(last_error);

	/* a step that carries the name of the call already */
	if (!strncmp(last_error, call, n))
		return err;
	len = len < sizeof(last_error) - n - 3 ? len : sizeof(last_error) - n - 3;
	memmove(last_error + n + 2, last_error, len);
	memcpy(last_error, call, n);
	memcpy(last_error + n, ": ", 2);
	last_error[n + 2 + len] = '\0';
	return err;
}

/** snpu_coll_op_name() - "all_reduce"; NULL when there is no such operation */
COLL_EXPORT const char *snpu_coll_op_name(unsigned int op)
{
	return op < SNPU_COLL_OPS ? op_names[op] : NULL;
}

/** snpu_coll_redop_name() - "sum"; NULL when there is no such reduction */
COLL_EXPORT const char *snpu_coll_redop_name(unsigned int redop)
{
	return redop < SNPU_COLL_REDOPS ? redop_names[redop] : NULL;
}

/** snpu_coll_algo_name() - "ring"; NULL when there is no such algorithm */
COLL_EXPORT const char *snpu_coll_algo_name(unsigned int algo)
{
	return algo < SNPU_COLL_ALGOS ? algo_names[algo] : NULL;
}

/** snpu_coll_dtype_name() - "bf16"; NULL when collectives do not take the type */
COLL_EXPORT const char *snpu_coll_dtype_name(unsigned int dtype)
{
	return dtype <= SNPU_DT_MAX ? dtype_names[dtype] : NULL;
}

/* A number of the environment; @def when it is not set */
static int number(const char *name, const char *def, uint64_t min, uint64_t max, bool power,
		  uint64_t *out)
{
	const char *text = getenv(name);
	char *end;

	text = text ? text : def;
	errno = 0;
	*out = strtoull(text, &end, 0);
	if (errno || !isdigit((unsigned char)*text) || *end ||
	    (*out && (*out < min || *out > max || (power && (*out & (*out - 1))))))
		return coll_fail(-EINVAL, "%s: '%.40s' is neither 0 nor a %s from %" PRIu64
				 " to %" PRIu64, name, text, power ? "power of two" : "number", min,
				 max);
	return 0;
}

static int algo(uint32_t *out)
{
	const char *text = getenv("SNPU_COLL_ALGO");

	for (*out = 0; text && *out < SNPU_COLL_ALGOS; (*out)++) {
		if (!strcmp(text, algo_names[*out]))
			return 0;
	}
	return text ? coll_fail(-EINVAL,
				"SNPU_COLL_ALGO: '%.40s' is not auto, ring, hd, tree, hier, "
				"pairwise, switch", text) : 0;
}

static int check_params(const struct snpu_coll_params *p)
{
	if (p->algo >= SNPU_COLL_ALGOS)
		return coll_fail(-EINVAL, "snpu_coll_params: algo %u is not 0 to %u", p->algo,
				 SNPU_COLL_ALGOS - 1);
	if (p->slots != 2 && p->slots != 4 && p->slots != 8)
		return coll_fail(-EINVAL, "snpu_coll_params: %u slots: must be 2, 4 or 8",
				 p->slots);
	if (p->slot_bytes && (p->slot_bytes < SLOT_MIN || p->slot_bytes > SLOT_MAX ||
			      (p->slot_bytes & (p->slot_bytes - 1))))
		return coll_fail(-EINVAL, "snpu_coll_params: slots of %" PRIu64
				 " bytes: a power of two from %llu to %llu", p->slot_bytes,
				 SLOT_MIN, SLOT_MAX);
	return 0;
}

int coll_params(struct snpu_coll_params *out, const struct snpu_coll_params *p)
{
	const uint64_t known = SNPU_COLL_PARAM_ALGO | SNPU_COLL_PARAM_TIMEOUT |
			       SNPU_COLL_PARAM_SLOT | SNPU_COLL_PARAM_SLOTS;
	uint64_t ms, slots;
	int ret;

	*out = (struct snpu_coll_params) { .field_mask = known };
	ret = algo(&out->algo);
	if (!ret)
		ret = number("SNPU_COLL_TIMEOUT_MS", TIMEOUT_MS, 1, TIMEOUT_MS_MAX, false, &ms);
	if (!ret)
		ret = number("SNPU_COLL_SLOT", "0", SLOT_MIN, SLOT_MAX, true, &out->slot_bytes);
	if (!ret)
		ret = number("SNPU_COLL_SLOTS", "4", 2, 8, true, &slots);
	if (ret)
		return ret;
	out->timeout_ns = ms * 1000000;
	out->slots = slots ? (uint32_t)slots : 4;
	if (!p)
		return 0;
	if (p->field_mask & ~known)
		return coll_fail(-EINVAL, "snpu_coll_params: field_mask has unknown bits 0x%llx",
				 (unsigned long long)(p->field_mask & ~known));
	if (p->field_mask & SNPU_COLL_PARAM_ALGO)
		out->algo = p->algo;
	/* any value: one that is too long for a deadline never ends */
	if (p->field_mask & SNPU_COLL_PARAM_TIMEOUT)
		out->timeout_ns = p->timeout_ns == SNPU_FOREVER ? 0 : p->timeout_ns;
	if (p->field_mask & SNPU_COLL_PARAM_SLOT)
		out->slot_bytes = p->slot_bytes;
	if (p->field_mask & SNPU_COLL_PARAM_SLOTS)
		out->slots = p->slots;
	return check_params(out);
}

uint64_t coll_bytes(unsigned int op, unsigned int n, uint64_t count, unsigned int esize)
{
	bool all = op == SNPU_COLL_REDUCE_SCATTER || op == SNPU_COLL_ALL_GATHER ||
		   op == SNPU_COLL_ALL_TO_ALL;

	return count * esize * (all ? n : 1);
}

int coll_check(unsigned int op, unsigned int dtype, unsigned int redop, unsigned int n,
	       unsigned int root, uint64_t count)
{
	bool reduces = op == SNPU_COLL_ALL_REDUCE || op == SNPU_COLL_REDUCE_SCATTER ||
		       op == SNPU_COLL_REDUCE;
	uint64_t most = SNPU_MAX_ELEMS;

	if (op >= SNPU_COLL_OPS)
		return coll_fail(-EINVAL, "operation %u is not 0 to %u", op, SNPU_COLL_OPS - 1);
	if (!n || n > SNPU_COLL_MAX_RANKS)
		return coll_fail(-EINVAL, "%u ranks: 1 to %u", n, SNPU_COLL_MAX_RANKS);
	if (op == SNPU_COLL_BARRIER)
		return 0;
	if (!snpu_coll_dtype_name(dtype))
		return coll_fail(-EINVAL, "type %u is not F32, F16, BF16, I8, I32, I64", dtype);
	if (reduces && redop >= SNPU_COLL_REDOPS)
		return coll_fail(-EINVAL, "reduction %u is not 0 to %u", redop,
				 SNPU_COLL_REDOPS - 1);
	if (root >= n)
		return coll_fail(-EINVAL, "root %u is not 0 to %u", root, n - 1);
	/* a buffer of these has a part for each rank */
	if (op == SNPU_COLL_REDUCE_SCATTER || op == SNPU_COLL_ALL_GATHER ||
	    op == SNPU_COLL_ALL_TO_ALL)
		most /= n;
	if (count > most)
		return coll_fail(-EINVAL, "%llu elements on each of %u ranks: at most %llu",
				 (unsigned long long)count, n, (unsigned long long)most);
	return 0;
}
