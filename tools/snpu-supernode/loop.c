// SPDX-License-Identifier: MIT
#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "supernode.h"

static int epfd = -1, sigfd = -1;

int sn_loop_init(void)
{
	struct epoll_event ev = { .events = EPOLLIN };
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	sigfd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	epfd = epoll_create1(EPOLL_CLOEXEC);
	if (sigfd < 0 || epfd < 0 || epoll_ctl(epfd, EPOLL_CTL_ADD, sigfd, &ev))
		return -errno;
	return 0;
}

int sn_watch(struct sn_watch *w, int fd, void (*func)(void *arg), void *arg)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = w };

	*w = (struct sn_watch){ .fd = fd, .func = func, .arg = arg };
	if (epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &ev)) {
		w->fd = -1;
		return -errno;
	}
	return 0;
}

void sn_unwatch(struct sn_watch *w)
{
	if (w->fd >= 0 && w->func)
		epoll_ctl(epfd, EPOLL_CTL_DEL, w->fd, NULL);
	w->fd = -1;
}

int sn_loop_signal_fd(void)
{
	return sigfd;
}

int sn_loop_signal(void)
{
	struct signalfd_siginfo si;

	return read(sigfd, &si, sizeof(si)) == sizeof(si) ? (int)si.ssi_signo : 0;
}

/* One event at a time: handling one may unwatch what another would be for */
int sn_loop_once(int ms)
{
	struct epoll_event ev;
	struct sn_watch *w;

	if (epoll_wait(epfd, &ev, 1, ms) <= 0)
		return 0;
	w = ev.data.ptr;
	if (w) {
		w->func(w->arg);
		return 0;
	}
	return sn_loop_signal();
}
