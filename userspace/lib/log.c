// SPDX-License-Identifier: MIT
/*
 * Error messages, names and times.
 */
#include <stdarg.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "internal.h"

static __thread char last_error[768];
static atomic_uint log_level;

void snpu_log_set(unsigned int level)
{
	atomic_store_explicit(&log_level, level, memory_order_relaxed);
}

void snpu_log(unsigned int level, const char *fmt, ...)
{
	char text[768];
	va_list ap;

	if (atomic_load_explicit(&log_level, memory_order_relaxed) < level)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	/* one call, so that lines of several threads do not mix */
	fprintf(stderr, "libsnpu: %s\n", text);
}

static int fail(int err, const char *fmt, va_list ap)
{
	const char *why = strerrordesc_np(-err);
	size_t n;

	vsnprintf(last_error, sizeof(last_error), fmt, ap);
	n = strlen(last_error);
	snprintf(last_error + n, sizeof(last_error) - n, " (%s)", why ? why : "unknown error");
	return err;
}

int snpu_fail(int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fail(err, fmt, ap);
	va_end(ap);
	snpu_log(1, "%s", last_error);
	return err;
}

const char *snpu_fd_limit(int err)
{
	static __thread char text[80];
	struct rlimit r;

	if (err != -EMFILE || getrlimit(RLIMIT_NOFILE, &r))
		return "";
	snprintf(text, sizeof(text), ": this process may have %llu open files, see ulimit -n",
		 (unsigned long long)r.rlim_cur);
	return text;
}

int snpu_fail_quiet(int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fail(err, fmt, ap);
	va_end(ap);
	return err;
}

int snpu_fail_in(const char *call, int err)
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

/**
 * snpu_last_error() - why the last call of this thread failed
 *
 * Return: one line of text, valid until this thread's next failing call; empty if none failed.
 */
SNPU_EXPORT const char *snpu_last_error(void)
{
	return last_error;
}

/**
 * snpu_version() - version of the library
 *
 * Return: "major.minor.patch".
 */
SNPU_EXPORT const char *snpu_version(void)
{
	return SNPU_VERSION;
}

/**
 * snpu_error_name() - name of a device error
 * @code: SNPU_ERR_*
 *
 * Return: a static string without the prefix, "?" for an unknown code.
 */
SNPU_EXPORT const char *snpu_error_name(unsigned int code)
{
	static const char *const name[] = {
		"NONE", "OPCODE", "FIELD", "ALIGN", "UNMAPPED", "PERM", "PTE", "BUS", "FABRIC",
		"POISON", "TIMEOUT", "DOORBELL", "NESTING", "INDEX", "ABORTED", "INTERNAL",
		"NOMEM",
	};

	_Static_assert(sizeof(name) / sizeof(name[0]) == SNPU_ERR_MAX + 1, "a name for each error");
	return code < sizeof(name) / sizeof(name[0]) ? name[code] : "?";
}

/**
 * snpu_op_name() - name of a packet op
 * @op: SNPU_OP_*
 *
 * Return: a static string without the prefix, "?" for an unknown op.
 */
SNPU_EXPORT const char *snpu_op_name(unsigned int op)
{
	static const char *const name[] = {
#define SNPU_OP(name)	[SNPU_OP_##name] = #name,
#include "snpu_ops.h"
	};

	return op < sizeof(name) / sizeof(name[0]) && name[op] ? name[op] : "?";
}

/**
 * snpu_dtype_size() - bytes of one element
 * @dtype: SNPU_DT_*
 *
 * Return: bytes, 0 for NONE and unknown types.
 */
SNPU_EXPORT size_t snpu_dtype_size(unsigned int dtype)
{
	static const uint8_t size[] = { 0, 4, 2, 2, 1, 4, 8 };

	return dtype <= SNPU_DT_MAX ? size[dtype] : 0;
}

uint64_t snpu_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

uint64_t snpu_deadline(uint64_t timeout_ns)
{
	uint64_t now = snpu_now_ns();

	/* the kernel's absolute times are signed */
	return timeout_ns >= INT64_MAX - now ? INT64_MAX : now + timeout_ns;
}
