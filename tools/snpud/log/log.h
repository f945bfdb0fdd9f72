/* SPDX-License-Identifier: MIT */
/*
 * Messages of snpud.
 */
#ifndef SNPU_LOG_H
#define SNPU_LOG_H

enum snpu_log_level {
	SNPU_LOG_ERR,
	SNPU_LOG_INFO,
	SNPU_LOG_DEBUG,
};

/**
 * snpu_log_open() - where messages go from now on
 * @path: file to append to, NULL: standard error
 * @verbose: also SNPU_LOG_DEBUG
 *
 * Return: 0 or a negative errno.
 */
int snpu_log_open(const char *path, int verbose);

/** snpu_log() - one message, one line; control characters become '?'. Any thread */
__attribute__((format(printf, 2, 3)))
void snpu_log(enum snpu_log_level level, const char *fmt, ...);

#endif
