// SPDX-License-Identifier: MIT
/*
 * How much memory the computer has for HBM: option --memory, and what is left now.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "device/sync.h"
#include "snpud.h"

#define RESERVE_MIN	(64ull << 20)
#define RESERVE_SHARE	32		/* of the whole, for everything else that runs here */

/* The value of "@key: N" or "@key N" in @text, or 0 */
static uint64_t field(const char *text, const char *key)
{
	size_t len = strlen(key);

	for (; text; text = strchr(text, '\n')) {
		text += *text == '\n';
		if (!strncmp(text, key, len) && (text[len] == ':' || text[len] == ' '))
			return strtoull(text + len + 1, NULL, 10);
		if (!*text)
			break;
	}
	return 0;
}

static bool slurp(const char *path, char *buf, size_t size)
{
	FILE *f = fopen(path, "re");
	size_t n;

	if (!f)
		return false;
	n = fread(buf, 1, size - 1, f);
	fclose(f);
	buf[n] = 0;
	return n > 0;
}

/* A number in a file of its own; "max", or no file, is no limit */
static uint64_t number_in(const char *dir, const char *name)
{
	char path[512], buf[64];

	if (snprintf(path, sizeof(path), "%s/%s", dir, name) >= (int)sizeof(path) ||
	    !slurp(path, buf, sizeof(buf)) || *buf < '0' || *buf > '9')
		return UINT64_MAX;
	return strtoull(buf, NULL, 10);
}

/* What a cgroup lets its members take more: its file pages can be dropped */
static uint64_t group_left(const char *dir, bool v2)
{
	uint64_t max = number_in(dir, v2 ? "memory.max" : "memory.limit_in_bytes");
	uint64_t now = number_in(dir, v2 ? "memory.current" : "memory.usage_in_bytes");
	char path[512], buf[8192];
	uint64_t cached = 0;

	if (max == UINT64_MAX || now == UINT64_MAX)
		return UINT64_MAX;
	if (snprintf(path, sizeof(path), "%s/memory.stat", dir) < (int)sizeof(path) &&
	    slurp(path, buf, sizeof(buf)))
		cached = field(buf, v2 ? "inactive_file" : "total_inactive_file");
	now -= cached < now ? cached : now;
	return max > now ? max - now : 0;
}

/* The tightest of the cgroups that this process is in, from its own one up to the root */
static uint64_t groups_left(void)
{
	char text[4096], dir[512], *line, *save = NULL;
	uint64_t left = UINT64_MAX;

	if (!slurp("/proc/self/cgroup", text, sizeof(text)))
		return left;
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		bool v2 = !strncmp(line, "0::", 3);
		const char *root = v2 ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory";
		char *path = strstr(line, v2 ? "::" : ":memory:");
		size_t keep = strlen(root);

		if (!path ||
		    snprintf(dir, sizeof(dir), "%s%s", root, path + (v2 ? 2 : 8)) >=
		    (int)sizeof(dir))
			continue;
		for (;;) {
			uint64_t l = group_left(dir, v2);
			char *slash = strrchr(dir, '/');

			left = l < left ? l : left;
			if (strlen(dir) <= keep || !slash || slash < dir + keep)
				break;
			*slash = 0;
		}
	}
	return left;
}

static uint64_t total(void)
{
	return (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t available(void)
{
	char buf[4096];
	uint64_t left = groups_left(), mem;

	if (!slurp("/proc/meminfo", buf, sizeof(buf)))
		return left;
	mem = (field(buf, "MemAvailable") + field(buf, "SwapFree")) << 10;
	return mem < left ? mem : left;
}

uint64_t snpud_memory_left(void)
{
	uint64_t left = available(), reserve = total() / RESERVE_SHARE;

	if (reserve < RESERVE_MIN)
		reserve = RESERVE_MIN;
	/* a small cgroup has a small reserve */
	if (reserve > left / 4)
		reserve = left / 4;
	return left - reserve;
}

int snpud_memory_parse(const char *text, uint64_t *bytes)
{
	static const char units[] = "KMGT%";
	const char *unit;
	char *end;
	uint64_t v;

	errno = 0;
	v = strtoull(text, &end, 10);
	if (errno || *text < '0' || *text > '9' || !v)
		return -EINVAL;
	unit = *end ? strchr(units, *end) : NULL;
	if (*end && (!unit || end[1]))
		return -EINVAL;
	if (unit && *unit == '%') {
		if (v > 100)
			return -EINVAL;
		v = total() / 100 * v;
	} else if (unit) {
		if (__builtin_mul_overflow(v, 1ull << 10 * (unit - units + 1), &v))
			return -EINVAL;
	}
	if (v < SNPUD_MEMORY_MIN || v > INT64_MAX)
		return -EINVAL;
	*bytes = v;
	return 0;
}
