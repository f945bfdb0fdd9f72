// SPDX-License-Identifier: MIT
/*
 * Questions to virtual time: of the host about packets, of queues that stand at a TIMESTAMP, and of
 * the control socket.
 */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "plane_priv.h"

#define MAX_ASKS	64u	/* of one NPU */

static bool key_is(const struct key *k, uint32_t node, uint32_t queue, uint32_t epoch)
{
	return k->node == node && k->queue == queue && k->epoch == epoch;
}

void snpu_plane_ask_del(struct ask **at)
{
	struct ask *a = *at;

	*at = a->next;
	free(a);
}

/* Room for one more: those that nobody came back for go first. Caller holds the lock */
static bool ask_room(struct snpu_plane *p, uint32_t node)
{
	struct ask **at, **old = NULL;
	unsigned int n = 0;

	for (at = &p->asks; *at; at = &(*at)->next) {
		if ((*at)->k.node != node)
			continue;
		n++;
		if (!old && (*at)->done)
			old = at;
	}
	if (n >= MAX_ASKS && old) {
		snpu_plane_ask_del(old);
		n--;
	}
	return n < MAX_ASKS;
}

int snpu_plane_ask(struct snpu_plane *p, uint32_t node, uint32_t queue, uint32_t epoch,
		   uint64_t position, struct snpu_plane_span *out)
{
	struct ask **at, *a;
	bool noted = false;
	int ret = -EAGAIN;

	pthread_mutex_lock(&p->lock);
	for (at = &p->asks; *at && !(key_is(&(*at)->k, node, queue, epoch) &&
				     (*at)->position == position); at = &(*at)->next)
		;
	a = *at;
	if (p->stop || p->overflow) {
		ret = p->stop ? -ECANCELED : -ENOSPC;
		if (a)
			snpu_plane_ask_del(at);
	} else if (a && a->done) {
		ret = a->ret;
		*out = a->span;
		snpu_plane_ask_del(at);
	} else if (a) {
		/* asked again: whoever was to look for a rest may have missed it */
		noted = true;
	} else if (ask_room(p, node)) {
		/* the walk stopped at the end; making room may have moved it */
		for (at = &p->asks; *at; at = &(*at)->next)
			;
		a = calloc(1, sizeof(*a));
		if (a) {
			a->k = (struct key){ node, queue, epoch };
			a->position = position;
			a->after = p->looks;
			*at = a;
			snpu_plane_want_rest(p);
			noted = true;
		}
	}
	pthread_mutex_unlock(&p->lock);
	if (noted)
		snpu_plane_kick(p);
	return ret;
}

int snpu_plane_stamp(struct snpu_plane *p, uint32_t node, uint32_t queue, uint32_t epoch,
		     uint64_t seq, uint32_t sub, uint64_t *time)
{
	struct stamp **at, *s;
	int ret = -EAGAIN;

	pthread_mutex_lock(&p->lock);
	for (at = &p->stamps; *at && !key_is(&(*at)->k, node, queue, epoch); at = &(*at)->next)
		;
	s = *at;
	/* the queue stood at another one, and went on without a word */
	if (s && (s->seq != seq || s->sub != sub)) {
		*at = s->next;
		free(s);
		s = NULL;
	}
	if (p->stop || p->overflow) {
		ret = p->stop ? -ECANCELED : -ENOSPC;
	} else if (s && s->done) {
		ret = s->ret;
		*time = s->time;
	} else if (!s) {
		s = calloc(1, sizeof(*s));
		if (s) {
			s->k = (struct key){ node, queue, epoch };
			s->seq = seq;
			s->sub = sub;
			s->after = p->looks;
			s->next = p->stamps;
			p->stamps = s;
			snpu_plane_want_rest(p);
			s = NULL;
		} else {
			ret = -ENOMEM;
		}
	}
	if (s && ret != -EAGAIN) {
		for (at = &p->stamps; *at != s; at = &(*at)->next)
			;
		*at = s->next;
		free(s);
	}
	pthread_mutex_unlock(&p->lock);
	return ret;
}

void snpu_plane_unstamp(struct snpu_plane *p, uint32_t node, uint32_t queue, uint32_t epoch)
{
	struct stamp **at, *s = NULL;

	pthread_mutex_lock(&p->lock);
	for (at = &p->stamps; *at && !key_is(&(*at)->k, node, queue, epoch); at = &(*at)->next)
		;
	if (*at) {
		s = *at;
		*at = s->next;
	}
	pthread_mutex_unlock(&p->lock);
	free(s);
}

void snpu_plane_queue_gone(struct snpu_plane *p, uint32_t node, uint32_t queue, uint32_t epoch)
{
	struct ask **at;

	snpu_plane_unstamp(p, node, queue, epoch);
	pthread_mutex_lock(&p->lock);
	for (at = &p->asks; *at;) {
		if (key_is(&(*at)->k, node, queue, epoch))
			snpu_plane_ask_del(at);
		else
			at = &(*at)->next;
	}
	pthread_mutex_unlock(&p->lock);
}

static struct timespec deadline(uint64_t timeout_ns)
{
	struct timespec ts;
	uint64_t ns;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	ns = (uint64_t)ts.tv_nsec + timeout_ns % 1000000000u;
	ts.tv_sec += (time_t)(timeout_ns / 1000000000u + ns / 1000000000u);
	ts.tv_nsec = (long)(ns % 1000000000u);
	return ts;
}

/* Waits until the thread has done @j */
static int job_wait(struct snpu_plane *p, struct job *j, uint64_t timeout_ns)
{
	struct timespec ts = deadline(timeout_ns);
	struct job **at;
	int ret = 0;

	pthread_mutex_lock(&p->lock);
	j->after = p->looks;
	j->next = p->jobs;
	p->jobs = j;
	snpu_plane_want_rest(p);
	pthread_mutex_unlock(&p->lock);
	snpu_plane_kick(p);
	pthread_mutex_lock(&p->lock);
	/* one that the thread is at now ends soon */
	while (!j->done && (j->running || (!ret && !p->stop)))
		if (j->running)
			pthread_cond_wait(&p->done, &p->lock);
		else
			ret = -pthread_cond_timedwait(&p->done, &p->lock, &ts);
	for (at = &p->jobs; *at != j; at = &(*at)->next)
		;
	*at = j->next;
	ret = j->done ? j->ret : p->stop ? -ECANCELED : -ETIMEDOUT;
	pthread_mutex_unlock(&p->lock);
	return ret;
}

int snpu_plane_summary(struct snpu_plane *p, uint64_t timeout_ns, struct snpu_plane_summary *out)
{
	struct job j = { .kind = JOB_SUMMARY };
	int ret = job_wait(p, &j, timeout_ns);

	if (!ret)
		*out = j.sum;
	return ret;
}

int snpu_plane_replay(struct snpu_plane *p, uint64_t timeout_ns)
{
	struct snpu_plane_summary sum;

	return snpu_plane_summary(p, timeout_ns, &sum);
}

int snpu_plane_trace(struct snpu_plane *p, int fd, bool counters, uint64_t timeout_ns, char *err,
		     size_t err_len)
{
	struct job j = { .kind = JOB_TRACE, .fd = fd, .counters = counters, .err = err,
			 .err_len = err_len };

	if (err_len)
		*err = 0;
	return job_wait(p, &j, timeout_ns);
}

int snpu_plane_reset(struct snpu_plane *p, uint64_t timeout_ns)
{
	struct job j = { .kind = JOB_RESET };

	return job_wait(p, &j, timeout_ns);
}

void snpu_plane_link_use(struct snpu_plane *p, uint32_t link, uint64_t *busy_ns, uint64_t *bytes)
{
	*busy_ns = 0;
	*bytes = 0;
	if (link >= p->opts.topo->num_links)
		return;
	pthread_mutex_lock(&p->lock);
	*busy_ns = p->use[2 * link];
	*bytes = p->use[2 * link + 1];
	pthread_mutex_unlock(&p->lock);
}
