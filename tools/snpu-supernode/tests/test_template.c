// SPDX-License-Identifier: MIT
/*
 * The template: made, found, made anew when it is damaged, and given up at a signal, whoever has it.
 * A script stands for QEMU.
 */
#include <errno.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test.h"

/* It says that the agent is up, saves what it is told to, and does what $FAKE says */
static const char fake[] =
	"#!/bin/sh\n"
	"[ \"$FAKE\" = dies ] && exit 3\n"
	"[ \"$FAKE\" = silent ] || printf 'U\\0\\0\\0\\0\\0\\0\\0' >&4\n"
	"while read -r line <&3; do\n"
	"	case $line in\n"
	"	*'\"migrate\"'*)\n"
	"		file=$(echo \"${line#*file:}\" | sed 's/\".*//; s/\\\\//g')\n"
	"		echo \"state $$\" >\"$file\"\n"
	"		[ \"$FAKE\" = fails ] && how=failed || how=completed\n"
	"		echo '{\"event\":\"MIGRATION\",\"data\":{\"status\":\"'$how'\"}}' >&3\n"
	"	esac\n"
	"done\n";

static char dir[32];
static struct sn_opts o;
static struct sn_template t;
static int ticks;

static const char *at(const char *name)
{
	static char path[4][64];
	static unsigned int i;

	i = (i + 1) % 4;
	snprintf(path[i], sizeof(path[0]), "%s/%s", dir, name);
	return path[i];
}

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "a");

	CHECK(f);
	fputs(text, f);
	fclose(f);
}

static void begin(const char *how)
{
	char *path;

	strcpy(dir, "/tmp/sn-test.XXXXXX");
	CHECK(mkdtemp(dir));
	write_file(at("kernel"), "kernel");
	write_file(at("initrd"), "initrd");
	write_file(at("qemu-system-x86_64"), fake);
	CHECK(!chmod(at("qemu-system-x86_64"), 0755));
	CHECK(asprintf(&path, "%s:/usr/bin:/bin", dir) > 0);
	setenv("PATH", path, 1);
	setenv("FAKE", how, 1);
	free(path);
	o = (struct sn_opts){
		.mem_mib = 256, .tb_mib = 32, .dir = strdup(dir), .cache = strdup(dir),
		.kernel = strdup(at("kernel")), .initrd = strdup(at("initrd")), .qemu = "1",
	};
	t = (struct sn_template){ .lock = -1 };
	ticks = 0;
}

static void end(void)
{
	char cmd[64];

	sn_template_close(&t);
	/* no child is left */
	CHECK(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	CHECK(!system(cmd));
	free((char *)o.dir);
	free((char *)o.cache);
	free((char *)o.kernel);
	free((char *)o.initrd);
}

static int tick(void)
{
	ticks++;
	return 0;
}

static int get(void)
{
	return sn_template_get(&t, &o, 64 << 20, tick);
}

static bool has(const char *name)
{
	char path[300];

	snprintf(path, sizeof(path), "%s/%s", t.dir, name);
	return !access(path, F_OK);
}

static void test_made(void)
{
	begin("");
	CHECK(!sn_template_there(&o, 64 << 20));
	CHECK(get() == 0 && !t.cached && has("ram") && has("sum") && !has("ram.part"));
	CHECK(sn_template_there(&o, 64 << 20));
	/* who has it shares it */
	CHECK(get() == 0 && t.cached);
	/* another machine has another one */
	CHECK(!sn_template_there(&o, 256 << 20));
	o.mem_mib = 512;
	CHECK(!sn_template_there(&o, 64 << 20));
	end();
}

static void test_damaged(void)
{
	begin("");
	CHECK(get() == 0);
	write_file(t.ram, "x");
	CHECK(get() == 0 && !t.cached);
	CHECK(get() == 0 && t.cached);
	sn_template_discard(&t);
	CHECK(get() == 0 && !t.cached);
	end();
}

static void test_fails(void)
{
	static const char *const how[] = { "fails", "dies" };
	unsigned int i;

	for (i = 0; i < 2; i++) {
		begin(how[i]);
		CHECK(get() == -EIO && !has("sum") && !has("ram.part"));
		/* and the next one can */
		setenv("FAKE", "", 1);
		CHECK(get() == 0 && !t.cached);
		end();
	}
}

/* While it is made, and while another one has what is damaged */
static void test_signal(void)
{
	int lock, fds[2];
	double start;
	pid_t pid;
	char c;

	begin("silent");
	kill(getpid(), SIGTERM);
	CHECK(get() == SIGTERM && !has("sum") && !has("ram.part"));
	end();

	begin("");
	CHECK(get() == 0);
	sn_template_discard(&t);
	sn_template_close(&t);
	CHECK(!pipe(fds));
	pid = fork();
	if (!pid) {
		char path[300];

		snprintf(path, sizeof(path), "%s.lock", t.dir);
		lock = sn_lock(path, false, NULL, NULL);
		_exit(lock < 0 || write(fds[1], "x", 1) != 1 || pause());
	}
	CHECK(read(fds[0], &c, 1) == 1);
	start = sn_now();
	kill(getpid(), SIGINT);
	CHECK(get() == SIGINT && sn_now() - start < 2);
	kill(pid, SIGKILL);
	CHECK(waitpid(pid, NULL, 0) == pid);
	CHECK(get() == 0 && !t.cached);
	close(fds[0]);
	close(fds[1]);
	end();
}

static const struct t_case list[] = {
	{ "made, and found", test_made },
	{ "damaged, and discarded", test_damaged },
	{ "QEMU that fails", test_fails },
	{ "signals", test_signal },
};

int main(void)
{
	if (sn_loop_init())
		return 1;
	return t_main(list, sizeof(list) / sizeof(list[0]));
}
