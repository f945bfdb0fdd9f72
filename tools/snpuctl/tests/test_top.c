// SPDX-License-Identifier: MIT
/*
 * snpu-test-top SNPUCTL SNPUD: snpuctl top on a terminal whose size changes. TAP.
 *
 * A terminal may wrap or cut its lines when it is resized, so that nothing that stood there can be
 * relied upon: top has to clear the screen and to paint all of it again.
 */
#include <errno.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define LIMIT_MS	30000
#define HEAD		"NODE  HOST  STATUS"
#define CLEAR		"\033[2J"

static char screen[1 << 18];	/* what came since the last look */
static size_t used;
static int bad, n;

static void ok(bool good, const char *what)
{
	printf("%sok %d - %s\n", good ? "" : "not ", ++n, what);
	bad |= !good;
}

/* Reads until @text has come after @from, or false when nothing comes any more */
static bool until(int fd, const char *from, const char *text)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	for (;;) {
		const char *at = from ? strstr(screen, from) : screen;
		ssize_t k;

		if (at && strstr(at, text))
			return true;
		if (used >= sizeof(screen) - 1 || poll(&p, 1, LIMIT_MS) != 1)
			return false;
		k = read(fd, screen + used, sizeof(screen) - 1 - used);
		if (k <= 0)
			return false;
		used += (size_t)k;
		screen[used] = '\0';
	}
}

static void forget(void)
{
	used = 0;
	screen[0] = '\0';
}

static void resize(int fd, unsigned short rows, unsigned short cols)
{
	struct winsize w = { .ws_row = rows, .ws_col = cols };

	forget();
	/* the kernel sends SIGWINCH */
	ioctl(fd, TIOCSWINSZ, &w);
}

/* snpud with 8 NPUs in @dir, ready; its number, or -1 */
static pid_t start_snpud(const char *path, const char *dir)
{
	char line[16] = "";
	int fd[2];
	pid_t pid;

	if (pipe(fd))
		return -1;
	pid = fork();
	if (!pid) {
		/* what it says there is no TAP */
		dup2(fd[1], 3);
		dup2(STDERR_FILENO, STDOUT_FILENO);
		execl(path, path, "--socket-dir", dir, "--npus", "8", "--ready-fd", "3", NULL);
		_exit(127);
	}
	close(fd[1]);
	if (read(fd[0], line, sizeof(line)) <= 0)
		pid = -1;
	close(fd[0]);
	return pid;
}

/* @deaf: no SIGWINCH comes, as to a process that is not in the terminal's foreground group */
static void try(const char *ctl, const char *dir, bool deaf)
{
	struct winsize size = { .ws_row = 24, .ws_col = 80 };
	int fd, status = -1;
	pid_t top;

	forget();
	top = forkpty(&fd, NULL, NULL, &size);
	if (!top) {
		sigset_t set;

		sigemptyset(&set);
		sigaddset(&set, SIGWINCH);
		sigprocmask(deaf ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL);
		execl(ctl, ctl, "--dir", dir, "top", NULL);
		_exit(127);
	}
	printf("# %s SIGWINCH\n", deaf ? "without" : "with");
	ok(top > 0 && until(fd, NULL, HEAD), "it paints");
	resize(fd, 12, 50);
	ok(until(fd, CLEAR, HEAD), "smaller: all is painted again");
	resize(fd, 40, 132);
	ok(until(fd, CLEAR, "FAULTS"), "larger: all is painted again, to the right edge");
	resize(fd, 2, 8);
	ok(until(fd, NULL, CLEAR), "hardly any room");
	resize(fd, 24, 80);
	ok(until(fd, CLEAR, HEAD), "back to the size that it was");
	forget();
	ok(write(fd, "q", 1) == 1 && waitpid(top, &status, 0) == top && !status, "q ends it");
	close(fd);
}

int main(int argc, char **argv)
{
	char base[] = "/tmp/snpu-top.XXXXXX", dir[64], cmd[96];
	pid_t snpud;

	if (argc != 3 || !mkdtemp(base))
		return 2;
	snprintf(dir, sizeof(dir), "%s/s", base);
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("TAP version 13\n");
	snpud = start_snpud(argv[2], dir);
	if (snpud < 0) {
		printf("Bail out! snpud does not start\n");
		return 1;
	}
	setenv("TERM", "xterm", 1);
	unsetenv("LINES");
	unsetenv("COLUMNS");
	try(argv[1], dir, false);
	try(argv[1], dir, true);
	kill(snpud, SIGTERM);
	waitpid(snpud, NULL, 0);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", base);
	if (system(cmd))
		bad = 1;
	printf("1..%d\n", n);
	return bad;
}
