// SPDX-License-Identifier: MIT
/* What only one may have at a time: files in the cache that are made, and a supernode's name. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "supernode.h"

/* Who removes a lock file holds it; who waited for it meanwhile has a lock on nothing */
static bool still_there(int fd, const char *path)
{
	struct stat a, b;

	return !fstat(fd, &a) && !stat(path, &b) && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

int sn_lock(const char *path, bool alone, int (*wait)(void *arg), void *arg)
{
	const int op = (alone ? LOCK_EX : LOCK_SH) | LOCK_NB;

	for (;;) {
		int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644), ret = 0;

		if (fd < 0)
			return -errno;
		while (flock(fd, op)) {
			ret = -errno;
			if (ret == -EWOULDBLOCK || ret == -EINTR)
				ret = wait ? wait(arg) : -EBUSY;
			if (ret) {
				close(fd);
				return ret < 0 ? ret : -EINTR;
			}
		}
		if (still_there(fd, path))
			return fd;
		close(fd);
	}
}

int sn_name_take(const char *name)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	struct ucred peer = {};
	socklen_t len = sizeof(peer);
	int fd, n, ret;

	/* no file: it is free again however its owner ends */
	n = snprintf(sa.sun_path + 1, sizeof(sa.sun_path) - 1, "snpu-supernode/%u/%s",
		     (unsigned int)geteuid(), name);
	len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (!bind(fd, (struct sockaddr *)&sa, len) && !listen(fd, 1))
		return fd;
	ret = -errno;
	if (ret != -EADDRINUSE) {
		sn_msg("error: --name %s: %s", name, strerror(-ret));
		close(fd);
		return ret;
	}
	if (!connect(fd, (struct sockaddr *)&sa, len)) {
		len = sizeof(peer);
		if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len))
			peer.pid = 0;
	}
	close(fd);
	if (peer.pid > 0)
		sn_msg("error: a supernode named '%s' runs already, process %d; give this one another name: --name",
		       name, (int)peer.pid);
	else
		sn_msg("error: a supernode named '%s' runs already; give this one another name: --name",
		       name);
	return -EBUSY;
}
