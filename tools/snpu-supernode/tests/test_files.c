// SPDX-License-Identifier: MIT
/* What is kept in the cache, and who has it: locks, templates, paces; and a supernode's name. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "test.h"

static char dir[32];

static const char *at(const char *name)
{
	static char path[2][128];
	static unsigned int i;

	i = !i;
	snprintf(path[i], sizeof(path[0]), "%s/%s", dir, name);
	return path[i];
}

static void begin(void)
{
	strcpy(dir, "/tmp/sn-test.XXXXXX");
	CHECK(mkdtemp(dir));
}

static void end(void)
{
	char cmd[64];

	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	CHECK(!system(cmd));
}

static void make(const char *name)
{
	FILE *f = fopen(at(name), "w");

	CHECK(f);
	fputs("x", f);
	fclose(f);
}

/* As if last used so long ago */
static void age(const char *name, time_t seconds)
{
	struct timespec ts[2] = { { .tv_sec = time(NULL) - seconds }, { .tv_sec = time(NULL) - seconds } };

	CHECK(!utimensat(AT_FDCWD, at(name), ts, 0));
}

static bool there(const char *name)
{
	return !access(at(name), F_OK);
}

static int waits;

static int wait_three(void *arg)
{
	(void)arg;
	return ++waits < 3 ? 0 : *(int *)arg;
}

static void test_lock(void)
{
	int a, b, c, how = SIGTERM;

	begin();
	a = sn_lock(at("l"), false, NULL, NULL);
	b = sn_lock(at("l"), false, NULL, NULL);
	CHECK(a >= 0 && b >= 0);
	CHECK(sn_lock(at("l"), true, NULL, NULL) == -EBUSY);
	/* whoever waits can be told to stop */
	waits = 0;
	CHECK(sn_lock(at("l"), true, wait_three, &how) == -EINTR && waits == 3);
	how = -ESRCH;
	CHECK(sn_lock(at("l"), true, wait_three, &how) == -ESRCH);
	close(a);
	close(b);
	c = sn_lock(at("l"), true, NULL, NULL);
	CHECK(c >= 0);
	CHECK(sn_lock(at("l"), false, NULL, NULL) == -EBUSY);
	close(c);
	CHECK(sn_lock(at("none/l"), true, NULL, NULL) == -ENOENT);
	end();
}

static int removed_fd;

/* The holder removes the file while another one waits for it */
static int remove_it(void *arg)
{
	(void)arg;
	unlink(at("l"));
	close(removed_fd);
	return 0;
}

static void test_removed(void)
{
	int fd;

	begin();
	removed_fd = sn_lock(at("l"), true, NULL, NULL);
	fd = sn_lock(at("l"), true, remove_it, NULL);
	CHECK(fd >= 0);
	/* it is the file that is there, so the next one finds it locked */
	CHECK(sn_lock(at("l"), true, NULL, NULL) == -EBUSY);
	close(fd);
	end();
}

#define KEY	"supernode-0123456789abcdef"
#define OTHER	"supernode-fedcba9876543210"

static void test_clean(void)
{
	struct sn_template t = {};
	int lock;

	begin();
	mkdir(at(KEY), 0755);
	make(KEY "/ram");
	make(KEY "/ram.part");
	make(KEY "/sum");
	make(KEY ".lock");
	mkdir(at(OTHER), 0755);
	make(OTHER "/ram");
	make("supernode.pace");
	make("supernode-not-ours");
	age("supernode-not-ours", 1000);
	age("supernode.pace", 1000);
	/* made long ago, and used lately */
	age(KEY, 1000);
	sn_template_clean(dir, 500);
	CHECK(there(KEY "/ram") && there(OTHER "/ram"));
	/* unused, but for one who has it now */
	age(KEY ".lock", 1000);
	lock = sn_lock(at(KEY ".lock"), false, NULL, NULL);
	sn_template_clean(dir, 500);
	CHECK(there(KEY "/ram") && there(KEY ".lock"));
	close(lock);
	sn_template_clean(dir, 500);
	CHECK(!there(KEY) && !there(KEY ".lock"));
	/* without a lock file, and a lock file alone */
	age(OTHER, 1000);
	make(KEY ".lock");
	age(KEY ".lock", 1000);
	sn_template_clean(dir, 500);
	CHECK(!there(OTHER) && !there(OTHER ".lock") && !there(KEY ".lock"));
	CHECK(there("supernode.pace") && there("supernode-not-ours"));
	sn_template_clean(at("none"), 500);
	/* what is discarded is no template: its sum is gone */
	mkdir(at(KEY), 0755);
	make(KEY "/sum");
	make(KEY "/ram");
	snprintf(t.dir, sizeof(t.dir), "%s", at(KEY));
	sn_template_discard(&t);
	CHECK(!there(KEY "/sum") && there(KEY "/ram"));
	end();
}

static void test_name(void)
{
	char name[32];
	int fd, pipes[2], status;
	pid_t pid;
	char c;

	snprintf(name, sizeof(name), "test-%d", (int)getpid());
	fd = sn_name_take(name);
	CHECK(fd >= 0);
	CHECK(sn_name_take(name) == -EBUSY);
	close(fd);
	/* one that is killed gives it back */
	CHECK(!pipe(pipes));
	pid = fork();
	if (!pid) {
		fd = sn_name_take(name);
		_exit(write(pipes[1], "x", 1) != 1 || pause());
	}
	CHECK(read(pipes[0], &c, 1) == 1);
	CHECK(sn_name_take(name) == -EBUSY);
	kill(pid, SIGKILL);
	CHECK(waitpid(pid, &status, 0) == pid);
	fd = sn_name_take(name);
	CHECK(fd >= 0);
	close(fd);
	close(pipes[0]);
	close(pipes[1]);
}

static bool near(double a, double b)
{
	return a > b - 0.01 && a < b + 0.01;
}

static void test_pace(void)
{
	char *prog[] = { (char *)"sh", (char *)"-c", (char *)"true", NULL };
	char *other[] = { (char *)"sh", (char *)"-c", (char *)"false", NULL };
	struct sn_opts o = { .hosts = 48, .kernel = "/c/image-7.3-a/vmlinux", .argv = prog };
	struct sn_pace p, big = { false, 4, 0.5, 0.7 }, small = { false, 5, 1.5, 0.1 };
	unsigned int i;

	begin();
	o.cache = dir;
	sn_pace_load(&o, 8, &p);
	CHECK(near(p.tpl, 15) && near(p.guest, 5) && near(p.run, 1));
	/* the form of earlier versions is passed over */
	make("supernode.pace");
	sn_pace_load(&o, 8, &p);
	CHECK(near(p.tpl, 15));
	p = big;
	p.guessed = true;
	sn_pace_save(&o, 8, &p);
	sn_pace_load(&o, 8, &p);
	CHECK(p.guessed && near(p.tpl, 15) && near(p.guest, 0.5));
	sn_pace_save(&o, 8, &big);
	o.hosts = 3;
	sn_pace_save(&o, 8, &small);
	sn_pace_load(&o, 8, &p);
	CHECK(near(p.tpl, 5) && near(p.guest, 1.5) && near(p.run, 0.1));
	o.hosts = 40;
	sn_pace_load(&o, 8, &p);
	CHECK(near(p.guest, 0.5) && near(p.run, 0.7));
	/* of another program only how long guests take */
	o.argv = other;
	sn_pace_load(&o, 8, &p);
	CHECK(near(p.guest, 0.5) && near(p.run, 1));
	o.argv = prog;
	sn_pace_load(&o, 4, &p);
	CHECK(near(p.guest, 5) && !p.guessed && near(p.tpl, 5));
	o.kernel = "/c/image-7.3-b/vmlinux";
	sn_pace_load(&o, 8, &p);
	CHECK(near(p.tpl, 15));
	/* the oldest are forgotten, the newest are not, and nothing else is left in the directory */
	for (i = 1; i < 200; i++) {
		o.hosts = i;
		sn_pace_save(&o, 8, &small);
	}
	sn_pace_save(&o, 8, &big);
	sn_pace_load(&o, 8, &p);
	CHECK(near(p.guest, 0.5));
	unlink(at("supernode.pace"));
	CHECK(!rmdir(dir));
}

/* What 48 guests took when it was measured, and what a GiB of BAR costs */
static void test_memory(void)
{
	struct sn_opts o = { .hosts = 48, .mem_mib = 256, .tb_mib = 32 };
	double cm384 = sn_needs_mib(&o, 8, 128ull << 30), small = sn_needs_mib(&o, 8, 64ull << 30);

	CHECK(cm384 > 13.6 * 1024 && cm384 < 16 * 1024);
	CHECK(near(cm384 - small, 48 * 48));
	o.hosts = 1;
	CHECK(sn_needs_mib(&o, 8, 128ull << 30) < 512);
}

static const struct t_case cases[] = {
	{ "locks, and waiting for them", test_lock },
	{ "a lock file removed while one waits", test_removed },
	{ "templates that nobody uses", test_clean },
	{ "a name is had once", test_name },
	{ "how long it took the last time", test_pace },
	{ "memory that is announced", test_memory },
};

T_MAIN(cases)
