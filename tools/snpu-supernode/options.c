// SPDX-License-Identifier: MIT
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "supernode.h"

enum {
	OPT_HOSTS = 256, OPT_NPUS, OPT_PROFILE, OPT_MEM, OPT_TB, OPT_PARALLEL,
	OPT_TIMEOUT, OPT_NAME, OPT_ENV, OPT_JSON, OPT_LOGS, OPT_KEEP, OPT_VERBOSE,
	OPT_DIR, OPT_CACHE, OPT_KERNEL, OPT_INITRD, OPT_SNPUD, OPT_QEMU, OPT_FAULTS, OPT_CHECK,
	OPT_KILL, OPT_TIMING, OPT_ROWS,
};

static const struct option longs[] = {
	{ "hosts", required_argument, NULL, OPT_HOSTS },
	{ "npus-per-host", required_argument, NULL, OPT_NPUS },
	{ "profile", required_argument, NULL, OPT_PROFILE },
	{ "mem", required_argument, NULL, OPT_MEM },
	{ "tb-size", required_argument, NULL, OPT_TB },
	{ "parallel", required_argument, NULL, OPT_PARALLEL },
	{ "timeout", required_argument, NULL, OPT_TIMEOUT },
	{ "name", required_argument, NULL, OPT_NAME },
	{ "env", required_argument, NULL, OPT_ENV },
	{ "json", required_argument, NULL, OPT_JSON },
	{ "logs", required_argument, NULL, OPT_LOGS },
	{ "keep", no_argument, NULL, OPT_KEEP },
	{ "kill-guest", required_argument, NULL, OPT_KILL },
	{ "timing", no_argument, NULL, OPT_TIMING },
	{ "verbose", no_argument, NULL, OPT_VERBOSE },
	/* from tools/vm/supernode */
	{ "dir", required_argument, NULL, OPT_DIR },
	{ "cache", required_argument, NULL, OPT_CACHE },
	{ "kernel", required_argument, NULL, OPT_KERNEL },
	{ "initrd", required_argument, NULL, OPT_INITRD },
	{ "snpud", required_argument, NULL, OPT_SNPUD },
	{ "qemu", required_argument, NULL, OPT_QEMU },
	{ "faults", required_argument, NULL, OPT_FAULTS },
	{ "rows", required_argument, NULL, OPT_ROWS },
	{ "check", no_argument, NULL, OPT_CHECK },
	{ NULL, 0, NULL, 0 },
};

static int number(const char *opt, const char *text, unsigned int min, unsigned int max,
		  unsigned int *out)
{
	unsigned long v;
	char *end;

	errno = 0;
	v = strtoul(text, &end, 10);
	if (errno || !isdigit((unsigned char)*text) || *end || v < min || v > max) {
		sn_msg("%s: '%s' is not a number from %u to %u", opt, text, min, max);
		return -EINVAL;
	}
	*out = (unsigned int)v;
	return 0;
}

static bool is_variable(const char *s, const char *end)
{
	const char *p = s;

	if (s == end || isdigit((unsigned char)*s))
		return false;
	while (p < end && (isalnum((unsigned char)*p) || *p == '_'))
		p++;
	return p == end;
}

static int add_env(struct sn_opts *opts, const char *text)
{
	const char *eq = strchr(text, '=');

	if (!eq || !is_variable(text, eq)) {
		sn_msg("--env: '%s' is not NAME=VALUE", text);
		return -EINVAL;
	}
	if (opts->env_count == sizeof(opts->env) / sizeof(opts->env[0])) {
		sn_msg("--env: more than %u variables", opts->env_count);
		return -EINVAL;
	}
	opts->env[opts->env_count++] = text;
	return 0;
}

/* A name of the fabric's directory, and part of a path */
static int check_name(const char *name)
{
	size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");

	if (n && n <= 32 && !name[n])
		return 0;
	sn_msg("--name: '%s' is not 1 to 32 letters, digits, '.', '_' or '-'", name);
	return -EINVAL;
}

/* Known when it is too late otherwise: a run takes a minute */
static int check_json(const char *path)
{
	const bool was = !access(path, F_OK);
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

	if (fd < 0) {
		sn_msg("--json: cannot write '%s': %s", path, strerror(errno));
		return -EINVAL;
	}
	close(fd);
	if (!was)
		unlink(path);
	return 0;
}

static int option(struct sn_opts *o, int c, const char *arg)
{
	unsigned int v;

	switch (c) {
	case OPT_HOSTS:
		return number("--hosts", arg, 1, SN_MAX_HOSTS, &o->hosts);
	case OPT_NPUS:
		return number("--npus-per-host", arg, 1, SN_MAX_NPUS, &o->npus);
	case OPT_MEM:
		return number("--mem", arg, 160, 65536, &o->mem_mib);
	case OPT_TB:
		return number("--tb-size", arg, 8, 1024, &o->tb_mib);
	case OPT_PARALLEL:
		return number("--parallel", arg, 1, SN_MAX_HOSTS, &o->parallel);
	case OPT_TIMEOUT:
		return number("--timeout", arg, 1, 86400, &o->timeout);
	case OPT_NAME:
		o->name = arg;
		return check_name(arg);
	case OPT_ENV:
		return add_env(o, arg);
	case OPT_PROFILE:
		o->profile = arg;
		return 0;
	case OPT_JSON:
		o->json = arg;
		return check_json(arg);
	case OPT_LOGS:
		o->logs = arg;
		return 0;
	case OPT_KILL:
		if (number("--kill-guest", arg, 0, SN_MAX_HOSTS - 1, &v))
			return -EINVAL;
		o->kill_guest = (int)v;
		return 0;
	case OPT_ROWS:
		return number("--rows", arg, 0, 1000, &o->rows);
	case OPT_TIMING:
		o->timing = true;
		return 0;
	case OPT_KEEP:
		o->keep = true;
		return 0;
	case OPT_VERBOSE:
		o->verbose = true;
		return 0;
	case OPT_DIR:
		o->dir = arg;
		return 0;
	case OPT_CACHE:
		o->cache = arg;
		return 0;
	case OPT_KERNEL:
		o->kernel = arg;
		return 0;
	case OPT_INITRD:
		o->initrd = arg;
		return 0;
	case OPT_SNPUD:
		o->snpud = arg;
		return 0;
	case OPT_QEMU:
		o->qemu = arg;
		return 0;
	case OPT_FAULTS:
		o->faults = arg;
		return 0;
	}
	return -EINVAL;
}

int sn_options(struct sn_opts *o, int argc, char **argv)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	bool check = false;
	int c, ret = 0;

	*o = (struct sn_opts){
		.hosts = 48, .mem_mib = 256, .tb_mib = 32, .timeout = 600, .name = "supernode",
		.kill_guest = -1,
		/* one more than cores: while one waits for a timer, another works */
		.parallel = cores > 0 ? (unsigned int)cores + 1 : 2,
	};
	while (!ret && (c = getopt_long(argc, argv, "+", longs, NULL)) != -1) {
		if (c == OPT_CHECK)
			check = true;
		else
			ret = option(o, c, optarg);
	}
	o->argv = argv + optind;
	if (!ret && !*o->argv) {
		sn_msg("a program is missing");
		ret = -EINVAL;
	}
	if (!ret && !check && !(o->dir && o->cache && o->kernel && o->initrd && o->snpud && o->qemu)) {
		sn_msg("--dir, --cache, --kernel, --initrd, --snpud and --qemu are needed; tools/vm/supernode knows them");
		ret = -EINVAL;
	}
	if (!ret && o->kill_guest >= (int)o->hosts) {
		sn_msg("--kill-guest: %d; there are guests 0 to %u", o->kill_guest, o->hosts - 1);
		ret = -EINVAL;
	}
	if (!ret && o->dir && strlen(o->dir) > 64) {
		sn_msg("--dir: '%s' is too long for sockets in it", o->dir);
		ret = -EINVAL;
	}
	return ret ? -EINVAL : check;
}
