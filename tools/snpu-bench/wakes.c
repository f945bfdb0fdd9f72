// SPDX-License-Identifier: MIT
/*
 * Counts the ioctls that the calling thread makes.
 *
 * In a guest a program reaches a trapped register in one way only: it asks the driver to wake the
 * device, by ioctl; doorbells and completion records are plain memory that no access leaves the
 * guest for. A seccomp filter reports every ioctl of this thread to another one, which counts it
 * and lets it go on. So "none counted" is a proof, not a guess from the time taken.
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench.h"

/**
 * struct bench_wakes - the counter
 * @fd: where the filter reports
 * @thread: the one that counts
 * @armed: @fd is there, or will not be
 * @count: ioctls so far
 */
struct bench_wakes {
	int fd;
	pthread_t thread;
	sem_t armed;
	atomic_uint_fast64_t count;
};

static void *counter(void *arg)
{
	struct bench_wakes *w = arg;
	struct seccomp_notif_resp resp;
	struct seccomp_notif req;
	struct pollfd p;

	while (sem_wait(&w->armed) && errno == EINTR)
		;
	p = (struct pollfd){ .fd = w->fd, .events = POLLIN };
	while (w->fd >= 0) {
		if (poll(&p, 1, -1) < 0 && errno == EINTR)
			continue;
		if (!(p.revents & POLLIN))
			break;		/* no thread with the filter is left */
		req = (struct seccomp_notif){ 0 };
		if (ioctl(w->fd, SECCOMP_IOCTL_NOTIF_RECV, &req))
			continue;
		atomic_fetch_add(&w->count, 1);
		resp = (struct seccomp_notif_resp){
			.id = req.id,
			.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE,
		};
		if (ioctl(w->fd, SECCOMP_IOCTL_NOTIF_SEND, &resp) && errno != ENOENT)
			break;
	}
	return NULL;
}

/**
 * bench_wakes_start - counts the ioctls of the calling thread from now to its end
 * @out: the counter
 *
 * Return: 0 or a negative errno
 */
int bench_wakes_start(struct bench_wakes **out)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 0, 2),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
	};
	struct sock_fprog prog = { .len = sizeof(code) / sizeof(*code), .filter = code };
	struct bench_wakes *w = calloc(1, sizeof(*w));
	int ret;

	if (!w)
		return -ENOMEM;
	w->fd = -1;
	sem_init(&w->armed, 0, 0);
	/* the thread that counts is there before the filter, and so without it */
	ret = -pthread_create(&w->thread, NULL, counter, w);
	if (ret) {
		free(w);
		return ret;
	}
	if (!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		w->fd = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
				     SECCOMP_FILTER_FLAG_NEW_LISTENER, &prog);
	ret = w->fd < 0 ? -errno : 0;
	sem_post(&w->armed);
	if (ret) {
		bench_wakes_stop(w);
		return ret;
	}
	*out = w;
	return 0;
}

/**
 * bench_wakes_count - ioctls counted so far
 * @w: the counter
 *
 * Return: how many
 */
uint64_t bench_wakes_count(struct bench_wakes *w)
{
	return atomic_load(&w->count);
}

/**
 * bench_wakes_stop - frees a counter
 * @w: the counter; the thread that is counted has ended
 */
void bench_wakes_stop(struct bench_wakes *w)
{
	pthread_join(w->thread, NULL);
	if (w->fd >= 0)
		close(w->fd);
	sem_destroy(&w->armed);
	free(w);
}
