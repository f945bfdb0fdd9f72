// SPDX-License-Identifier: MIT
/* The command line: what is taken, what is refused before anything is started. */
#include <errno.h>
#include <getopt.h>
#include <sys/stat.h>
#include <unistd.h>

#include "test.h"

static struct sn_opts o;

/* Words, separated by blanks */
static int parse(const char *line)
{
	static char text[4096];
	static char *argv[256];
	char *save, *w;
	int argc = 1;

	snprintf(text, sizeof(text), "%s", line);
	argv[0] = (char *)"x";
	for (w = strtok_r(text, " ", &save); w; w = strtok_r(NULL, " ", &save))
		argv[argc++] = w;
	argv[argc] = NULL;
	optind = 0;		/* getopt begins anew */
	return sn_options(&o, argc, argv);
}

static void test_defaults(void)
{
	CHECK(parse("--check -- prog --hosts 7") == 1);
	CHECK(o.hosts == 48 && o.npus == 0 && o.mem_mib == 256 && o.kill_guest == -1);
	CHECK(!strcmp(o.name, "supernode") && !o.verbose && !o.keep && o.rows == 0);
	CHECK(!strcmp(o.argv[0], "prog") && !strcmp(o.argv[2], "7") && !o.argv[3]);
	/* without --check it needs what tools/vm/supernode knows */
	CHECK(parse("-- prog") == -EINVAL);
	CHECK(parse("--dir /tmp --cache c --kernel k --initrd i --snpud s --qemu q -- prog") == 0);
	CHECK(parse("--check") == -EINVAL);
}

static void test_numbers(void)
{
	static const char *const bad[] = {
		"--hosts 0", "--hosts 257", "--hosts -1", "--hosts +1", "--hosts 3x", "--hosts 0x3",
		"--hosts 99999999999999999999", "--hosts", "--npus-per-host 9", "--npus-per-host 0",
		"--mem 100", "--tb-size 4", "--parallel 0", "--timeout 0", "--timeout 86401",
		"--kill-guest -1", "--kill-guest 48", "--hosts 2 --kill-guest 2", "--rows -1",
	};
	char line[256];
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(line, sizeof(line), "--check %s -- prog", bad[i]);
		if (parse(line) != -EINVAL)
			printf("# taken: %s\n", bad[i]);
		CHECK(parse(line) == -EINVAL);
	}
	CHECK(parse("--check --hosts 256 --npus-per-host 8 --kill-guest 255 --rows 2 -- p") == 1);
	CHECK(o.hosts == 256 && o.npus == 8 && o.kill_guest == 255 && o.rows == 2);
}

static void test_words(void)
{
	char line[4096] = "--check";
	unsigned int i;

	CHECK(parse("--check --name a/b -- p") == -EINVAL);
	CHECK(parse("--check --name 012345678901234567890123456789012 -- p") == -EINVAL);
	CHECK(parse("--check --name ok-1._ -- p") == 1);
	CHECK(parse("--check --env A=1 --env _b2= -- p") == 1);
	CHECK(o.env_count == 2 && !strcmp(o.env[1], "_b2="));
	CHECK(parse("--check --env =1 -- p") == -EINVAL);
	CHECK(parse("--check --env 1A=1 -- p") == -EINVAL);
	CHECK(parse("--check --env A -- p") == -EINVAL);
	for (i = 0; i < 65; i++)
		strcat(line, " --env A=1");
	strcat(line, " -- p");
	CHECK(parse(line) == -EINVAL);
	CHECK(parse("--check --verbose --keep --timing -- p") == 1);
	CHECK(o.verbose && o.keep && o.timing);
	CHECK(parse("--check --nonsense -- p") == -EINVAL);
}

/* Where the results cannot be written is known before anything starts, and nothing is left there */
static void test_json(void)
{
	char dir[] = "/tmp/sn-test.XXXXXX", line[256], path[64];
	struct stat st;
	FILE *f;

	CHECK(mkdtemp(dir));
	snprintf(line, sizeof(line), "--check --json %s/none/x.json -- p", dir);
	CHECK(parse(line) == -EINVAL);
	snprintf(line, sizeof(line), "--check --json %s -- p", dir);
	CHECK(parse(line) == -EINVAL);
	CHECK(parse("--check --json /proc/x.json -- p") == -EINVAL);
	snprintf(path, sizeof(path), "%s/x.json", dir);
	snprintf(line, sizeof(line), "--check --json %s -- p", path);
	CHECK(parse(line) == 1 && !strcmp(o.json, path));
	CHECK(access(path, F_OK));
	f = fopen(path, "w");
	fputs("old", f);
	fclose(f);
	CHECK(parse(line) == 1);
	CHECK(!stat(path, &st) && st.st_size == 3);
	unlink(path);
	CHECK(!rmdir(dir));
}

static const struct t_case cases[] = {
	{ "what is taken without options", test_defaults },
	{ "numbers", test_numbers },
	{ "names, variables, flags", test_words },
	{ "a file for results", test_json },
};

T_MAIN(cases)
