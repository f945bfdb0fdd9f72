// SPDX-License-Identifier: MIT
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "supernode.h"

#define END_MS	5000

double sn_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

void sn_msg(const char *fmt, ...)
{
	va_list ap;

	sn_progress_clear();
	fprintf(stderr, "%s: ", SN_NAME);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

void *sn_alloc(size_t size)
{
	void *p = calloc(1, size);

	if (!p) {
		/* the children go when this process does */
		sn_msg("out of memory");
		exit(SN_EXIT_MACHINE);
	}
	return p;
}

static void become(uid_t uid)
{
	if (geteuid() || !uid)
		return;
	if (setgroups(0, NULL) || setresgid(uid, uid, uid) || setresuid(uid, uid, uid) ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) {
		perror("cannot give up root");
		_exit(127);
	}
}

/* In the child. Its own process group: the terminal's Ctrl-C is for the parent, who ends it */
static void run(char *const argv[], const int *fds, unsigned int nfds, const char *log, uid_t uid,
		pid_t parent)
{
	int moved[8], out, null;
	unsigned int i;
	sigset_t none;

	setpgid(0, 0);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	out = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (out < 0 || null < 0 || dup2(null, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0)
		_exit(127);
	/* first out of the way of 3, 4, ... */
	for (i = 0; i < nfds; i++)
		moved[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 64);
	for (i = 0; i < nfds; i++) {
		if (moved[i] < 0 || dup2(moved[i], 3 + (int)i) < 0)
			_exit(127);
	}
	become(uid);
	/* after the change of user, which clears it */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(127);
	execvp(argv[0], argv);
	dprintf(2, "%s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

int sn_spawn(struct sn_proc *p, char *const argv[], const int *fds, unsigned int nfds,
	     const char *log, uid_t uid)
{
	pid_t parent = getpid();

	fflush(NULL);
	p->pid = fork();
	if (!p->pid)
		run(argv, fds, nfds, log, uid, parent);
	if (p->pid < 0) {
		p->pid = 0;
		return -errno;
	}
	p->pidfd = (int)syscall(SYS_pidfd_open, p->pid, 0);
	if (p->pidfd < 0) {
		int ret = -errno;

		kill(p->pid, SIGKILL);
		waitpid(p->pid, NULL, 0);
		p->pid = 0;
		return ret;
	}
	return 0;
}

int sn_reap(struct sn_proc *p, char *text, size_t size)
{
	int status = 0;

	if (!p->pid)
		return 1;
	while (waitpid(p->pid, &status, 0) < 0 && errno == EINTR)
		;
	close(p->pidfd);
	p->pid = 0;
	if (WIFSIGNALED(status))
		snprintf(text, size, "signal %d (%s)", WTERMSIG(status),
			 strsignal(WTERMSIG(status)));
	else
		snprintf(text, size, "exit code %d", WEXITSTATUS(status));
	return !(WIFEXITED(status) && !WEXITSTATUS(status));
}

void sn_end(struct sn_proc **procs, unsigned int count)
{
	double limit = sn_now() + END_MS * 1e-3;
	unsigned int i;
	char text[64];

	for (i = 0; i < count; i++) {
		if (procs[i]->pid)
			kill(procs[i]->pid, SIGTERM);
	}
	for (i = 0; i < count; i++) {
		struct pollfd pfd = { .fd = procs[i]->pidfd, .events = POLLIN };
		double left;

		if (!procs[i]->pid)
			continue;
		while ((left = limit - sn_now()) > 0 && poll(&pfd, 1, (int)(left * 1e3) + 1) < 0)
			;
		if (!(pfd.revents & POLLIN))
			kill(procs[i]->pid, SIGKILL);
		sn_reap(procs[i], text, sizeof(text));
	}
}

size_t sn_show(const char *text, size_t len, unsigned int lines)
{
	const char *p = text, *last = text + len, *end;
	char safe[512];

	/* a line without an end, or an empty one, is a line too */
	do {
		size_t n, done;

		end = memchr(p, '\n', (size_t)(last - p));
		n = (size_t)((end ? end : last) - p);
		while (n && p[n - 1] == '\r')
			n--;
		done = sn_escape(safe, sizeof(safe), p, n);
		fprintf(stderr, "  | %s%s\n", safe, done < n ? " ..." : "");
		p = end ? end + 1 : last;
	} while (--lines && p < last);
	return (size_t)(p - text);
}

void sn_tail(const char *path, unsigned int lines)
{
	FILE *f = fopen(path, "r");
	unsigned int count = 0, skip = 0;
	char *line = NULL;
	size_t cap = 0;

	if (!f)
		return;
	while (getline(&line, &cap, f) >= 0)
		count++;
	skip = count > lines ? count - lines : 0;
	rewind(f);
	while (getline(&line, &cap, f) >= 0) {
		if (skip) {
			skip--;
			continue;
		}
		sn_show(line, strcspn(line, "\r\n"), 1);
	}
	free(line);
	fclose(f);
}

/* Eight bytes at a step; multiply and fold, as murmur-like hashes do */
void sn_hash(uint64_t *hash, const void *data, size_t len)
{
	const uint8_t *p = data;
	uint64_t h = *hash ^ len;

	while (len) {
		size_t n = len < 8 ? len : 8;
		uint64_t w = 0;

		memcpy(&w, p, n);
		h = (h ^ w) * 0x9e3779b97f4a7c15ull;
		h ^= h >> 29;
		p += n;
		len -= n;
	}
	*hash = h * 0xbf58476d1ce4e5b9ull;
}

int sn_hash_file(const char *path, uint64_t *hash)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), ret = 0;
	off_t data, hole = 0;
	struct stat st;
	void *map;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st)) {
		ret = -errno;
		close(fd);
		return ret;
	}
	while (!ret && (data = lseek(fd, hole, SEEK_DATA)) >= 0) {
		hole = lseek(fd, data, SEEK_HOLE);
		if (hole < 0) {
			ret = -errno;
			break;
		}
		map = mmap(NULL, (size_t)(hole - data), PROT_READ, MAP_PRIVATE, fd, data);
		if (map == MAP_FAILED) {
			ret = -errno;
			break;
		}
		sn_hash(hash, &data, sizeof(data));
		sn_hash(hash, map, (size_t)(hole - data));
		munmap(map, (size_t)(hole - data));
	}
	sn_hash(hash, &st.st_size, sizeof(st.st_size));
	close(fd);
	return ret;
}
