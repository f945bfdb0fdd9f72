// SPDX-License-Identifier: MIT
/*
 * fork(): communicators stay with the process that made them. libsnpu refuses the child's calls on
 * queues and memory; what is here keeps the child from waiting for ranks, and from locks and a
 * thread that only its parent has.
 */
#include <errno.h>
#include <unistd.h>

#include "coll.h"

static pthread_once_t once = PTHREAD_ONCE_INIT;
static unsigned int forks;
static int registered;

static void child(void)
{
	forks++;
	coll_comm_forked();
	coll_watch_forked();
	coll_windows_forked();
}

static void init(void)
{
	registered = -pthread_atfork(NULL, NULL, child);
}

int coll_fork_add(struct snpu_coll *c)
{
	pthread_once(&once, init);
	if (registered)
		return coll_fail(registered, "communicator: pthread_atfork()");
	c->forks = forks;
	c->pid = getpid();
	return 0;
}

bool coll_forked(const struct snpu_coll *c)
{
	return c->forks != forks;
}

int coll_own(const struct snpu_coll *c, const char *call)
{
	if (!coll_forked(c))
		return 0;
	return coll_fail(-ESTALE, "%s: the communicator belongs to process %d, which forked this "
			 "one: make another after fork()", call, (int)c->pid);
}
