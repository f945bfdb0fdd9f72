// SPDX-License-Identifier: MIT
/*
 * Messages of snpud. A line is written with one call, so lines of several threads do not mix.
 */
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int log_fd = STDERR_FILENO;
static int log_verbose;

int snpu_log_open(const char *path, int verbose)
{
	int fd = STDERR_FILENO;

	if (path) {
		fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
		if (fd < 0)
			return -errno;
	}
	if (log_fd != STDERR_FILENO)
		close(log_fd);
	log_fd = fd;
	log_verbose = verbose;
	return 0;
}

void snpu_log(enum snpu_log_level level, const char *fmt, ...)
{
	static const char *const names[] = { "error", "info", "debug" };
	int saved = errno;
	char line[1024];
	struct timespec ts;
	struct tm tm;
	size_t n, i;
	va_list ap;
	int len;

	if (level == SNPU_LOG_DEBUG && !log_verbose)
		return;
	clock_gettime(CLOCK_REALTIME, &ts);
	gmtime_r(&ts.tv_sec, &tm);
	n = strftime(line, sizeof(line), "%Y-%m-%dT%H:%M:%S", &tm);
	n += (size_t)snprintf(line + n, sizeof(line) - n, ".%03ldZ snpud: %s: ",
			      ts.tv_nsec / 1000000, names[level]);
	i = n;
	va_start(ap, fmt);
	len = vsnprintf(line + n, sizeof(line) - n - 1, fmt, ap);
	va_end(ap);
	if (len > 0)
		n += (size_t)len;
	if (n > sizeof(line) - 2)
		n = sizeof(line) - 2;
	for (; i < n; i++)
		if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
			line[i] = '?';
	line[n++] = '\n';
	/* nobody to tell when even this fails */
	len = (int)write(log_fd, line, n);
	(void)len;
	errno = saved;
}
