// SPDX-License-Identifier: MIT
/*
 * Machine profiles: their keys, and where they are found.
 */
#include "profiles/profile.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "profiles/profile_priv.h"

#ifndef SNPU_PROFILE_DIR
#define SNPU_PROFILE_DIR "/usr/share/snpu/profiles"
#endif
#ifndef SNPU_PROFILE_SRC_DIR
#define SNPU_PROFILE_SRC_DIR SNPU_PROFILE_DIR
#endif

#define PROFILE_DIRS	3

#define KEY(sec, key, unit, min, max, integer, required) \
	{ #sec, #key, unit, min, max, integer, required, NULL, \
	  offsetof(struct snpu_profile, sec.key) }
#define PATH_KEYS(name, unit, min, max) \
	{ "fabric", #name "_read", unit, min, max, 0, 0, NULL, \
	  offsetof(struct snpu_profile, fabric.name[SNPU_PATH_READ]) }, \
	{ "fabric", #name "_write", unit, min, max, 0, 0, NULL, \
	  offsetof(struct snpu_profile, fabric.name[SNPU_PATH_WRITE]) }
#define WORD_KEY(sec, key, words, n) \
	{ #sec, #key, "", 0, (n) - 1, 1, 0, words, offsetof(struct snpu_profile, sec.key) }
#define TIMING_KEY(key, unit, min, max) KEY(timing, key, unit, min, max, 0, 0),

static const char *const routing_names[] = {
	[SNPU_ROUTING_HASH] = "hash", [SNPU_ROUTING_ROUND_ROBIN] = "round_robin", NULL
};

#define GIB	(1024.0 * 1024 * 1024)

static const struct snpu_profile_key profile_keys[] = {
	KEY(machine, hosts, "", 1, SNPU_PROFILE_MAX_NPUS, 1, 1),
	KEY(machine, npus_per_host, "", 1, 64, 1, 1),
	KEY(machine, cpus_per_host, "", 1, 64, 1, 0),
	KEY(npu, dies, "", 1, 16, 1, 1),
	KEY(npu, hbm_bytes, "B", 16.0 * 1024 * 1024, 1024 * GIB, 1, 1),
	KEY(npu, hbm_bandwidth, "B/s", 1e9, 1e15, 0, 1),
	KEY(npu, flops_bf16, "flop/s", 1e9, 1e18, 0, 1),
	KEY(npu, ops_int8, "op/s", 1e9, 1e18, 0, 1),
	KEY(npu, flops_fp32, "flop/s", 1e9, 1e18, 0, 0),
	KEY(npu, matrix_cores, "", 1, 4096, 1, 0),
	KEY(npu, vector_cores, "", 1, 4096, 1, 0),
	KEY(npu, die_link_bandwidth, "B/s", 1e6, 1e15, 0, 0),
	KEY(npu, die_link_latency, "s", 1e-9, 1, 0, 0),
	KEY(fabric, planes, "", 1, 32, 1, 1),
	KEY(fabric, npu_bandwidth, "B/s", 1e6, 1e15, 0, 1),
	KEY(fabric, link_bandwidth, "B/s", 1e6, 1e15, 0, 0),
	KEY(fabric, links_per_die, "", 1, 256, 1, 0),
	KEY(fabric, l1_switches_per_host, "", 1, 256, 1, 0),
	KEY(fabric, l1_uplink_links, "", 1, 256, 1, 0),
	KEY(fabric, l2_switches_per_plane, "", 1, 256, 1, 0),
	KEY(fabric, l2_switch_ports, "", 1, 4096, 1, 0),
	WORD_KEY(fabric, routing, routing_names, 2),
	KEY(fabric, in_switch, "", 0, 1, 1, 0),
	KEY(fabric, cpu_bandwidth, "B/s", 1e6, 1e15, 0, 0),
	PATH_KEYS(intra_bandwidth, "B/s", 1e6, 1e15),
	PATH_KEYS(intra_latency, "s", 1e-9, 1),
	PATH_KEYS(inter_bandwidth, "B/s", 1e6, 1e15),
	PATH_KEYS(inter_latency, "s", 1e-9, 1),
	PATH_KEYS(cpu_intra_bandwidth, "B/s", 1e6, 1e15),
	PATH_KEYS(cpu_intra_latency, "s", 1e-9, 1),
	PATH_KEYS(cpu_inter_bandwidth, "B/s", 1e6, 1e15),
	PATH_KEYS(cpu_inter_latency, "s", 1e-9, 1),
	KEY(device, queues, "", 1, 256, 1, 1),
	KEY(device, contexts, "", 2, 1024, 1, 1),
	KEY(device, segments, "", 1, 4096, 1, 1),
	KEY(device, imports, "", 1, 16384, 1, 1),
	SNPU_PROFILE_TIMING(TIMING_KEY)
};

#define PROFILE_KEYS	(sizeof(profile_keys) / sizeof(profile_keys[0]))

const struct snpu_profile_key *snpu_profile_keys(size_t *n)
{
	*n = PROFILE_KEYS;
	return profile_keys;
}

const char *snpu_fig_tag_name(enum snpu_fig_tag tag)
{
	switch (tag) {
	case SNPU_FIG_MEASURED:
		return "measured";
	case SNPU_FIG_FITTED:
		return "fitted";
	case SNPU_FIG_ASSUMED:
		return "assumed";
	default:
		return "absent";
	}
}

/* A regular file only: nothing that could block, or never end */
char *snpu_profile_read(const char *path, char *err, size_t err_len)
{
	char *text = NULL;
	size_t len = 0;
	struct stat st;
	ssize_t n = 0;
	int fd;

	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 || fstat(fd, &st)) {
		snprintf(err, err_len, "profile %s: %s", path, strerror(errno));
		goto fail;
	}
	if (!S_ISREG(st.st_mode)) {
		snprintf(err, err_len, "profile %s: must be a regular file", path);
		goto fail;
	}
	text = malloc(SNPU_PROFILE_MAX_BYTES + 2);
	if (!text) {
		snprintf(err, err_len, "profile %s: out of memory", path);
		goto fail;
	}
	while (len <= SNPU_PROFILE_MAX_BYTES) {
		n = read(fd, text + len, SNPU_PROFILE_MAX_BYTES + 1 - len);
		if (n <= 0)
			break;
		len += (size_t)n;
	}
	if (n < 0)
		snprintf(err, err_len, "profile %s: %s", path, strerror(errno));
	else if (len > SNPU_PROFILE_MAX_BYTES)
		snprintf(err, err_len, "profile %s: longer than %u bytes", path,
			 SNPU_PROFILE_MAX_BYTES);
	else if (memchr(text, 0, len))
		snprintf(err, err_len, "profile %s: holds a NUL byte", path);
	else {
		text[len] = 0;
		close(fd);
		return text;
	}
fail:
	free(text);
	if (fd >= 0)
		close(fd);
	return NULL;
}

/* In the order of search; NULL: there is none */
static const char *profile_dir(unsigned int i)
{
	switch (i) {
	case 0:
		return getenv("SNPU_PROFILE_PATH");
	case 1:
		return SNPU_PROFILE_DIR;
	default:
		return SNPU_PROFILE_SRC_DIR;
	}
}

static int is_file(const char *name)
{
	size_t len = strlen(name);

	return strchr(name, '/') || (len > 5 && !strcmp(name + len - 5, ".json"));
}

/* Path of a profile that is given by its name */
static int find_name(const char *name, char *path, size_t len)
{
	unsigned int i;

	for (i = 0; i < PROFILE_DIRS; i++) {
		const char *dir = profile_dir(i);

		if (dir && snprintf(path, len, "%s/%s.json", dir, name) < (int)len &&
		    !access(path, R_OK))
			return 0;
	}
	return -ENOENT;
}

int snpu_profile_base_path(const char *base, const char *file, char *path, size_t len)
{
	const char *slash = strrchr(file, '/');
	int n;

	if (!is_file(base))
		return find_name(base, path, len);
	if (*base == '/' || !slash)
		n = snprintf(path, len, "%s", base);
	else
		n = snprintf(path, len, "%.*s/%s", (int)(slash - file), file, base);
	return n < (int)len ? 0 : -ENOENT;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

void snpu_profile_names_free(char **names, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		free(names[i]);
	free(names);
}

static int add_name(char ***names, size_t *n, const char *file)
{
	size_t i, len = strlen(file) - 5;
	char **more, *s;

	for (i = 0; i < *n; i++)
		if (!strncmp((*names)[i], file, len) && !(*names)[i][len])
			return 0;
	more = realloc(*names, (*n + 1) * sizeof(**names));
	if (!more)
		return -ENOMEM;
	*names = more;
	s = strndup(file, len);
	if (!s)
		return -ENOMEM;
	more[(*n)++] = s;
	return 0;
}

int snpu_profile_names(char ***names, size_t *n)
{
	unsigned int i;
	int ret = 0;

	*names = NULL;
	*n = 0;
	for (i = 0; i < PROFILE_DIRS && !ret; i++) {
		const char *dir = profile_dir(i);
		DIR *d = dir ? opendir(dir) : NULL;
		struct dirent *e;

		while (d && !ret && (e = readdir(d)))
			if (is_file(e->d_name) && e->d_name[0] != '.')
				ret = add_name(names, n, e->d_name);
		if (d)
			closedir(d);
	}
	if (ret) {
		snpu_profile_names_free(*names, *n);
		*names = NULL;
		*n = 0;
	} else if (*n) {
		qsort(*names, *n, sizeof(**names), by_name);
	}
	return ret;
}

static void not_found(const char *name, char *err, size_t err_len)
{
	char **names;
	size_t n, i, at;
	int len;

	len = snprintf(err, err_len, "profile %.40s: not found%s; known: ", name,
		       strcmp(name, "h100") ? "" : ": its name is hgx-h100 now");
	at = len < 0 ? 0 : (size_t)len;
	if (snpu_profile_names(&names, &n))
		n = 0;
	for (i = 0; i < n && at < err_len; i++) {
		len = snprintf(err + at, err_len - at, "%s, ", names[i]);
		at += len < 0 ? 0 : (size_t)len;
	}
	if (at < err_len)
		snprintf(err + at, err_len - at, "or a .json file");
	snpu_profile_names_free(names, n);
}

struct snpu_profile *snpu_profile_load(const char *name, char *err, size_t err_len)
{
	struct snpu_profile *p;
	char path[4096], *text;

	if (!is_file(name)) {
		if (find_name(name, path, sizeof(path))) {
			not_found(name, err, err_len);
			return NULL;
		}
		name = path;
	}
	text = snpu_profile_read(name, err, err_len);
	if (!text)
		return NULL;
	p = snpu_profile_parse(text, name, err, err_len);
	free(text);
	return p;
}

void snpu_profile_free(struct snpu_profile *p)
{
	size_t i;

	if (!p)
		return;
	for (i = 0; i < PROFILE_KEYS; i++)
		free(snpu_profile_fig(p, &profile_keys[i])->source);
	for (i = 0; i < SNPU_PROFILE_MAX_BASES; i++)
		free(p->bases[i]);
	free(p->title);
	free(p->file);
	free(p);
}
