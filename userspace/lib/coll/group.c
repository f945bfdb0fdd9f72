// SPDX-License-Identifier: MIT
/*
 * Groups: what a thread calls between group_start and group_end. Operations are recorded when they
 * are called; sends and receives are kept until the end, where those of one communicator and queue
 * become one program; calls that wait for other ranks get a thread each.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "coll.h"

#define STACK_BYTES	(256u << 10)

struct blocking {
	int (*fn)(void *arg);
	void *arg;
	int ret;
	char text[512];
	pthread_t thread;
	bool started;
};

static __thread unsigned int depth;
static __thread struct coll_p2p *list;
static __thread size_t num_list, max_list;
static __thread struct blocking *calls;
static __thread size_t num_calls, max_calls;

bool coll_grouped(void)
{
	return depth;
}

static int grow(void **array, size_t n, size_t *max, size_t size)
{
	size_t m = *max ? *max * 2 : 16;
	void *p;

	if (n < *max)
		return 0;
	p = realloc(*array, m * size);
	if (!p)
		return coll_fail(-ENOMEM, "group of %zu calls", n);
	*array = p;
	*max = m;
	return 0;
}

int coll_group_p2p(const struct coll_p2p *x)
{
	int ret = grow((void **)&list, num_list, &max_list, sizeof(*list));

	if (!ret)
		list[num_list++] = *x;
	return ret;
}

int coll_group_call(int (*fn)(void *arg), void *arg)
{
	int ret = grow((void **)&calls, num_calls, &max_calls, sizeof(*calls));

	if (ret)
		free(arg);
	else
		calls[num_calls++] = (struct blocking) { .fn = fn, .arg = arg };
	return ret;
}

static void *call(void *arg)
{
	struct blocking *b = arg;

	b->ret = b->fn(b->arg);
	if (b->ret)
		strcpy(b->text, snpu_coll_last_error());
	return NULL;
}

static int run_calls(void)
{
	pthread_attr_t attr;
	size_t i;
	int ret = 0;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	for (i = 0; i < num_calls; i++) {
		calls[i].ret = -pthread_create(&calls[i].thread, &attr, call, &calls[i]);
		calls[i].started = !calls[i].ret;
		if (calls[i].ret)
			strcpy(calls[i].text, "snpu_coll_group_end: no thread");
	}
	pthread_attr_destroy(&attr);
	for (i = 0; i < num_calls; i++) {
		if (calls[i].started)
			pthread_join(calls[i].thread, NULL);
		if (calls[i].ret && !ret)
			ret = coll_fail(calls[i].ret, "%s", calls[i].text);
		free(calls[i].arg);
	}
	num_calls = 0;
	return ret;
}

/* Takes those of the first one's communicator and queue out of the list, in order */
static int run_p2p(struct coll_p2p *same)
{
	const struct coll_p2p first = list[0];
	size_t i, k = 0, n = 0;

	for (i = 0; i < num_list; i++) {
		if (list[i].c == first.c && list[i].q == first.q)
			same[n++] = list[i];
		else
			list[k++] = list[i];
	}
	num_list = k;
	return coll_p2p_run(same, n);
}

/**
 * snpu_coll_group_start() - calls of this thread are collected
 *
 * Nests. Return: 0.
 */
COLL_EXPORT int snpu_coll_group_start(void)
{
	depth++;
	return 0;
}

/**
 * snpu_coll_group_end() - do what was collected
 *
 * Return: 0; the first error of what was collected; -EINVAL without snpu_coll_group_start().
 */
COLL_EXPORT int snpu_coll_group_end(void)
{
	struct coll_p2p *same;
	int ret, ret2;

	if (!depth)
		return coll_fail(-EINVAL, "snpu_coll_group_end: no group was started");
	if (--depth)
		return 0;
	ret = run_calls();
	if (num_list) {
		same = malloc(num_list * sizeof(*same));
		if (!same) {
			num_list = 0;
			return coll_fail(-ENOMEM, "snpu_coll_group_end");
		}
		while (num_list) {
			ret2 = run_p2p(same);
			ret = ret ? ret : ret2;
		}
		free(same);
	}
	free(list);
	free(calls);
	list = NULL;
	calls = NULL;
	max_list = max_calls = 0;
	return ret ? coll_fail_in("snpu_coll_group_end", ret) : 0;
}
