// SPDX-License-Identifier: MIT
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "jobs.h"

struct job {
	struct snpu_jobs *jobs;
	struct job *next;
	pthread_t thread;
	uint64_t client;
	char *rsp;
	bool done;
	int fd;
	size_t len;
	char msg[];
};

/**
 * struct snpu_jobs - requests under way
 * @opts: what they are about
 * @event: counts those that end
 * @lock: the list, and @done of its members
 * @list: all
 * @count: their number
 */
struct snpu_jobs {
	const struct snpu_control_opts *opts;
	int event;
	pthread_mutex_t lock;
	struct job *list;
	unsigned int count;
};

struct snpu_jobs *snpu_jobs_new(const struct snpu_control_opts *opts)
{
	struct snpu_jobs *j = calloc(1, sizeof(*j));

	if (!j)
		return NULL;
	j->opts = opts;
	pthread_mutex_init(&j->lock, NULL);
	j->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (j->event < 0) {
		snpu_jobs_free(j);
		return NULL;
	}
	return j;
}

static void *job_main(void *arg)
{
	struct job *job = arg;
	struct snpu_jobs *j = job->jobs;
	struct snpu_rpc_io io = { .fd = job->fd, .may_block = true };
	uint64_t one = 1;
	ssize_t n;

	job->rsp = snpu_rpc_handle(j->opts, job->msg, job->len, &io);
	pthread_mutex_lock(&j->lock);
	job->done = true;
	pthread_mutex_unlock(&j->lock);
	/* a counter that is full is readable anyway */
	n = write(j->event, &one, sizeof(one));
	(void)n;
	return NULL;
}

static void job_free(struct job *job)
{
	pthread_join(job->thread, NULL);
	if (job->fd >= 0)
		close(job->fd);
	free(job->rsp);
	free(job);
}

void snpu_jobs_free(struct snpu_jobs *j)
{
	struct job *job;

	if (!j)
		return;
	while ((job = j->list)) {
		j->list = job->next;
		job_free(job);
	}
	if (j->event >= 0)
		close(j->event);
	pthread_mutex_destroy(&j->lock);
	free(j);
}

int snpu_jobs_fd(const struct snpu_jobs *j)
{
	return j->event;
}

int snpu_jobs_start(struct snpu_jobs *j, uint64_t client, const char *msg, size_t len, int fd)
{
	struct job *job = NULL;
	int ret = -EAGAIN;

	pthread_mutex_lock(&j->lock);
	if (j->count < SNPU_JOBS_MAX) {
		job = malloc(sizeof(*job) + len + 1);
		ret = job ? 0 : -ENOMEM;
	}
	if (job) {
		*job = (struct job){ .jobs = j, .client = client, .fd = fd, .len = len };
		memcpy(job->msg, msg, len);
		job->msg[len] = 0;
		ret = -pthread_create(&job->thread, NULL, job_main, job);
	}
	if (!ret) {
		job->next = j->list;
		j->list = job;
		j->count++;
	}
	pthread_mutex_unlock(&j->lock);
	if (ret) {
		free(job);
		if (fd >= 0)
			close(fd);
	}
	return ret;
}

bool snpu_jobs_next(struct snpu_jobs *j, uint64_t *client, char **rsp)
{
	struct job **at, *job;
	uint64_t count;
	ssize_t n;

	n = read(j->event, &count, sizeof(count));
	(void)n;
	pthread_mutex_lock(&j->lock);
	for (at = &j->list; *at && !(*at)->done; at = &(*at)->next)
		;
	job = *at;
	if (job) {
		*at = job->next;
		j->count--;
	}
	pthread_mutex_unlock(&j->lock);
	if (!job)
		return false;
	*client = job->client;
	*rsp = job->rsp;
	job->rsp = NULL;
	job_free(job);
	return true;
}
