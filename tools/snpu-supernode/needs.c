// SPDX-License-Identifier: MIT
/* What a supernode takes, said beforehand; and what it took the last time, which says it better. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "supernode.h"

#define QEMU_MIB	70.0		/* of a QEMU beside guest RAM and translated code */
#define GUEST_MIB	150.0		/* RAM that a guest touches */
#define NPU_MIB		1.0		/* of snpud for an NPU: rings, mailboxes, page tables */

static double meminfo_mib(const char *key)
{
	FILE *f = fopen("/proc/meminfo", "re");
	char line[128];
	uint64_t kib = 0;

	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, key, strlen(key)))
			kib = strtoull(line + strlen(key), NULL, 10);
	if (f)
		fclose(f);
	return (double)kib / 1024;
}

static double rss_of(pid_t pid)
{
	unsigned long size, rss = 0;
	char path[64];
	FILE *f;

	if (!pid)
		return 0;
	snprintf(path, sizeof(path), "/proc/%d/statm", pid);
	f = fopen(path, "re");
	if (f && fscanf(f, "%lu %lu", &size, &rss) != 2)
		rss = 0;
	if (f)
		fclose(f);
	return (double)rss * (double)sysconf(_SC_PAGESIZE) / (1 << 20);
}

double sn_rss(const struct sn_machine *m)
{
	double sum = rss_of(m->model.proc.pid);
	unsigned int i;

	for (i = 0; i < m->opts.hosts; i++)
		sum += rss_of(m->guests[i].q.proc.pid);
	return sum;
}

static void pace_path(const struct sn_opts *opts, char *path, size_t size)
{
	snprintf(path, size, "%.200s/supernode.pace", opts->cache);
}

void sn_pace_load(const struct sn_opts *opts, struct sn_pace *pace)
{
	char path[256];
	FILE *f;

	*pace = (struct sn_pace){ .tpl = 15, .guest = 5, .run = 1 };
	pace_path(opts, path, sizeof(path));
	f = fopen(path, "re");
	if (f && fscanf(f, "%lf %lf %lf", &pace->tpl, &pace->guest, &pace->run) != 3)
		*pace = (struct sn_pace){ .tpl = 15, .guest = 5, .run = 1 };
	if (f)
		fclose(f);
}

void sn_pace_save(const struct sn_opts *opts, const struct sn_pace *pace)
{
	char path[256];
	FILE *f;

	pace_path(opts, path, sizeof(path));
	f = fopen(path, "we");
	if (!f)
		return;		/* only the next estimate is worse for it */
	fprintf(f, "%.3f %.3f %.3f\n", pace->tpl, pace->guest, pace->run);
	fclose(f);
}

int sn_needs_check(struct sn_machine *m, const struct sn_pace *pace)
{
	const struct sn_opts *o = &m->opts;
	double touched = o->mem_mib < GUEST_MIB ? o->mem_mib : GUEST_MIB;
	double need = o->hosts * (touched + QEMU_MIB + o->tb_mib / 2.0) +
		      o->hosts * m->model.npus * NPU_MIB;
	double have = meminfo_mib("MemAvailable:"), secs;
	struct statvfs vfs;

	secs = pace->tpl + o->hosts * (pace->guest + pace->run);
	fprintf(stderr, "%s: %u guests x %u NPUs of %s: about %.1f GiB of memory (%.1f available), about %.0f s\n",
		SN_NAME, o->hosts, m->model.npus, m->model.title,
		need / 1024, have / 1024, secs);
	if (have > 0 && need > have) {
		sn_msg("error: not enough memory: %.1f GiB are needed, %.1f are available; take fewer guests: --hosts %u",
		       need / 1024, have / 1024, (unsigned int)(o->hosts * have / need));
		return -ENOMEM;
	}
	if (!statvfs(o->cache, &vfs) &&
	    (double)vfs.f_bavail * (double)vfs.f_frsize < 512.0 * (1 << 20)) {
		sn_msg("error: %s: the template needs 512 MiB of disk", o->cache);
		return -ENOSPC;
	}
	return 0;
}
