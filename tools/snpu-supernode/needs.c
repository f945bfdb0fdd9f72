// SPDX-License-Identifier: MIT
/* What a supernode takes, said beforehand; and what it took the last time, which says it better. */
#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "supernode.h"

/*
 * Measured with the default program, see Documentation/supernode.rst. QEMU keeps three bitmaps with
 * a bit for each page of each BAR, and sets them all: with eight windows of 128 GiB 96 MiB.
 */
#define QEMU_MIB	20.0		/* of a QEMU beside guest RAM, translated code, bitmaps */
#define GUEST_MIB	160.0		/* RAM that a guest touches */
#define NPU_MIB		1.0		/* of snpud for an NPU: rings, mailboxes, page tables */
#define MODEL_MIB	40.0		/* of snpud for itself, and the text of QEMU */
#define PACES		64u		/* lines that are remembered */

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

/* MiB of a process: its own, with guest RAM, and @file: what it shares with others of its kind */
static double memory_of(pid_t pid, double *file)
{
	char path[64], line[128];
	double own = 0;
	FILE *f;

	*file = 0;
	if (!pid)
		return 0;
	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f)) {
		if (!strncmp(line, "RssAnon:", 8) || !strncmp(line, "RssShmem:", 9))
			own += strtod(strchr(line, ':') + 1, NULL) / 1024;
		else if (!strncmp(line, "RssFile:", 8))
			*file = strtod(line + 8, NULL) / 1024;
	}
	if (f)
		fclose(f);
	return own;
}

double sn_memory(const struct sn_machine *m)
{
	double file, shared = 0, sum = memory_of(m->model.proc.pid, &file);
	unsigned int i;

	sum += file;
	for (i = 0; i < m->opts.hosts; i++) {
		sum += memory_of(m->guests[i].q.proc.pid, &file);
		shared = file > shared ? file : shared;
	}
	return sum + shared;
}

/* What times depend on */
struct key {
	unsigned int hosts, npus, cpus;
	char kernel[80];
	uint64_t program;
};

struct line {
	struct key key;
	struct sn_pace pace;
};

static void make_key(const struct sn_opts *opts, unsigned int npus, struct key *key)
{
	const char *end = strrchr(opts->kernel, '/'), *start = end;
	cpu_set_t set;
	char **w;

	*key = (struct key){ .hosts = opts->hosts, .npus = npus, .cpus = 1 };
	if (!sched_getaffinity(0, sizeof(set), &set))
		key->cpus = (unsigned int)CPU_COUNT(&set);
	/* .../image-7.3.4-amd64-0123abcd/vmlinux: the directory tells kernels apart */
	while (start && start > opts->kernel && start[-1] != '/')
		start--;
	snprintf(key->kernel, sizeof(key->kernel), "%.*s", start ? (int)(end - start) : 0,
		 start ? start : "");
	if (!key->kernel[0] || strpbrk(key->kernel, " \t\n"))
		strcpy(key->kernel, "-");
	for (w = opts->argv; *w; w++)
		sn_hash(&key->program, *w, strlen(*w));
	sn_hash(&key->program, &opts->timing, sizeof(opts->timing));
}

static bool parse(const char *text, struct line *l)
{
	return sscanf(text, "%u %u %u %79s %" SCNx64 " %lf %lf %lf", &l->key.hosts, &l->key.npus,
		      &l->key.cpus, l->key.kernel, &l->key.program, &l->pace.tpl, &l->pace.guest,
		      &l->pace.run) == 8 && l->pace.tpl >= 0 && l->pace.guest >= 0 &&
	       l->pace.run >= 0;
}

static unsigned int load(const struct sn_opts *opts, struct line *lines)
{
	char path[256], text[256];
	unsigned int n = 0;
	FILE *f;

	snprintf(path, sizeof(path), "%.200s/supernode.pace", opts->cache);
	f = fopen(path, "re");
	while (f && n < PACES && fgets(text, sizeof(text), f))
		n += parse(text, &lines[n]);
	if (f)
		fclose(f);
	return n;
}

static unsigned int apart(unsigned int a, unsigned int b)
{
	return a > b ? a - b : b - a;
}

/* The line of the same program, else of any, with the nearest number of guests; NULL: none */
static const struct line *nearest(const struct line *lines, unsigned int n, const struct key *key,
				  bool same_program)
{
	const struct line *best = NULL;
	unsigned int i;

	for (i = 0; i < n; i++) {
		const struct line *l = &lines[i];

		if (l->key.npus != key->npus || l->key.cpus != key->cpus ||
		    strcmp(l->key.kernel, key->kernel) ||
		    (same_program && l->key.program != key->program))
			continue;
		if (!best || apart(l->key.hosts, key->hosts) < apart(best->key.hosts, key->hosts))
			best = l;
	}
	return best;
}

void sn_pace_load(const struct sn_opts *opts, unsigned int npus, struct sn_pace *pace)
{
	static struct line lines[PACES];
	unsigned int n = load(opts, lines), i;
	const struct line *l;
	struct key key;

	*pace = (struct sn_pace){ .guessed = true, .tpl = 15, .guest = 5, .run = 1 };
	make_key(opts, npus, &key);
	l = nearest(lines, n, &key, false);
	if (l)
		pace->guest = l->pace.guest;
	/* a template is that of a kernel, whoever makes it */
	for (i = 0; i < n && pace->guessed; i++) {
		if (lines[i].key.cpus != key.cpus || strcmp(lines[i].key.kernel, key.kernel) ||
		    !(lines[i].pace.tpl > 0))
			continue;
		pace->tpl = lines[i].pace.tpl;
		pace->guessed = false;
	}
	l = nearest(lines, n, &key, true);
	if (l) {
		pace->run = l->pace.run;
		if (l->key.hosts == opts->hosts)
			pace->guest = l->pace.guest;
	}
}

static bool same_key(const struct key *a, const struct key *b)
{
	return a->hosts == b->hosts && a->npus == b->npus && a->cpus == b->cpus &&
	       a->program == b->program && !strcmp(a->kernel, b->kernel);
}

static void put_line(FILE *f, const struct line *l)
{
	fprintf(f, "%u %u %u %s %" PRIx64 " %.3f %.3f %.3f\n", l->key.hosts, l->key.npus,
		l->key.cpus, l->key.kernel, l->key.program, l->pace.tpl, l->pace.guest,
		l->pace.run);
}

void sn_pace_save(const struct sn_opts *opts, unsigned int npus, const struct sn_pace *pace)
{
	static struct line lines[PACES];
	unsigned int n = load(opts, lines), i;
	struct line now = { .pace = *pace };
	char path[256], part[280];
	FILE *f;

	make_key(opts, npus, &now.key);
	if (pace->guessed)
		now.pace.tpl = 0;
	snprintf(path, sizeof(path), "%.200s/supernode.pace", opts->cache);
	snprintf(part, sizeof(part), "%s.%d", path, (int)getpid());
	f = fopen(part, "we");
	if (!f)
		return;		/* only the next estimate is worse for it */
	/* the newest first: it is found first, and the oldest are forgotten */
	put_line(f, &now);
	for (i = 0; i < n && i < PACES - 1; i++)
		if (!same_key(&lines[i].key, &now.key))
			put_line(f, &lines[i]);
	if (fclose(f) || rename(part, path))
		unlink(part);
}

double sn_needs_mib(const struct sn_opts *o, unsigned int npus, uint64_t hbm)
{
	double touched = o->mem_mib < GUEST_MIB ? o->mem_mib : GUEST_MIB;
	double bitmaps = npus * (double)sn_qemu_bar(hbm) / 4096 / 8 * 3 / (1 << 20);

	return MODEL_MIB + o->hosts * (touched + QEMU_MIB + o->tb_mib + bitmaps + npus * NPU_MIB);
}

int sn_needs_check(struct sn_machine *m, const struct sn_pace *pace)
{
	const struct sn_opts *o = &m->opts;
	double need = sn_needs_mib(o, m->model.npus, m->model.hbm);
	double have = meminfo_mib("MemAvailable:"), secs;
	struct statvfs vfs;

	secs = pace->tpl + o->hosts * (pace->guest + pace->run);
	fprintf(stderr, "%s: %u guests x %u NPUs of %s: about %.1f GiB of memory (%.1f available), about %.0f s\n",
		SN_NAME, o->hosts, m->model.npus, m->model.title,
		need / 1024, have / 1024, secs);
	if (have > 0 && need > have) {
		unsigned int fit = (unsigned int)(o->hosts * have / need);

		sn_msg("error: not enough memory: %.1f GiB are needed, %.1f are available", need / 1024,
		       have / 1024);
		if (fit)
			sn_msg("take fewer guests: --hosts %u", fit);
		return -ENOMEM;
	}
	if (!statvfs(o->cache, &vfs) &&
	    (double)vfs.f_bavail * (double)vfs.f_frsize < 512.0 * (1 << 20)) {
		sn_msg("error: %s: the template needs 512 MiB of disk", o->cache);
		return -ENOSPC;
	}
	return 0;
}
