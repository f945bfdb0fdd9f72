/* SPDX-License-Identifier: MIT */
/*
 * Requests that may take a while: each gets a thread, and its answer comes back to the socket's own.
 */
#ifndef SNPU_CONTROL_JOBS_H
#define SNPU_CONTROL_JOBS_H

#include <stdint.h>

#include "control.h"

#define SNPU_JOBS_MAX	64u

struct snpu_jobs;

struct snpu_jobs *snpu_jobs_new(const struct snpu_control_opts *opts);
/** snpu_jobs_free() - waits for all: what they wait for has been stopped */
void snpu_jobs_free(struct snpu_jobs *j);
/** snpu_jobs_fd() - readable when an answer is there */
int snpu_jobs_fd(const struct snpu_jobs *j);

/**
 * snpu_jobs_start() - run a request
 * @j: jobs
 * @client: whose it is, for snpu_jobs_next()
 * @msg: the request, copied
 * @len: its length
 * @fd: descriptor that came with it; the job closes it, also on failure
 *
 * Return: 0, -EAGAIN: SNPU_JOBS_MAX are under way, -ENOMEM.
 */
int snpu_jobs_start(struct snpu_jobs *j, uint64_t client, const char *msg, size_t len, int fd);

/** snpu_jobs_next() - a job that ended: its client and answer, to be freed (NULL: none). False: none */
bool snpu_jobs_next(struct snpu_jobs *j, uint64_t *client, char **rsp);

#endif
