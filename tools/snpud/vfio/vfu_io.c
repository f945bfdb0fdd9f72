// SPDX-License-Identifier: MIT
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "vfu_io.h"

/* The most that the kernel passes in one message (SCM_MAX_FD); with less room than the peer has
 * sent, "too many" could not be told from "this process has no room".
 */
#define CTL_FDS		253

uint64_t snpu_vfu_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

void snpu_vfu_fds_close(struct snpu_vfu_fds *fds)
{
	unsigned int i;

	for (i = 0; i < fds->n; i++)
		if (fds->fd[i] >= 0)
			close(fds->fd[i]);
	fds->n = 0;
}

int snpu_vfu_send(int sock, const struct iovec *iov, unsigned int n, const int *fds,
		  unsigned int nfds, unsigned int timeout_ms)
{
	union {
		char buf[CMSG_SPACE(sizeof(int) * SNPU_VFU_MAX_FDS)];
		struct cmsghdr align;
	} ctl;
	struct iovec v[SNPU_VFU_MAX_IOV];
	struct msghdr m = { .msg_iov = v, .msg_iovlen = n };
	uint64_t end = 0;

	if (n > SNPU_VFU_MAX_IOV || nfds > SNPU_VFU_MAX_FDS)
		return -EINVAL;
	memcpy(v, iov, n * sizeof(*v));
	if (nfds) {
		struct cmsghdr *c;

		memset(&ctl, 0, sizeof(ctl));
		m.msg_control = ctl.buf;
		m.msg_controllen = CMSG_SPACE(sizeof(int) * nfds);
		c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * nfds);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * nfds);
	}

	for (;;) {
		ssize_t k;

		while (m.msg_iovlen && !m.msg_iov->iov_len) {
			m.msg_iov++;
			m.msg_iovlen--;
		}
		if (!m.msg_iovlen)
			return 0;
		k = sendmsg(sock, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0 && errno == EAGAIN) {
			/* SO_SNDTIMEO counts anew for each piece that a slow reader takes */
			uint64_t now = snpu_vfu_now_ms();
			struct pollfd p = { .fd = sock, .events = POLLOUT };

			if (!end)
				end = now + timeout_ms;
			if (now >= end)
				return -ETIMEDOUT;
			if (poll(&p, 1, (int)(end - now)) < 0 && errno != EINTR)
				return -errno;
			continue;
		}
		if (k < 0)
			return -errno;
		/* they went with the first byte */
		m.msg_control = NULL;
		m.msg_controllen = 0;
		while (k) {
			size_t c = (size_t)k < m.msg_iov->iov_len ? (size_t)k : m.msg_iov->iov_len;

			m.msg_iov->iov_base = (char *)m.msg_iov->iov_base + c;
			m.msg_iov->iov_len -= c;
			k -= (ssize_t)c;
			if (!m.msg_iov->iov_len && m.msg_iovlen > 1) {
				m.msg_iov++;
				m.msg_iovlen--;
			}
		}
	}
}

static void take_fds(struct msghdr *m, struct snpu_vfu_fds *fds)
{
	struct cmsghdr *c;

	for (c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		size_t i, n;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (fds->n < SNPU_VFU_MAX_FDS && !fds->err) {
				fds->fd[fds->n++] = fd;
				continue;
			}
			close(fd);
			if (!fds->err)
				fds->err = -E2BIG;
		}
	}
	if (m->msg_flags & MSG_CTRUNC)
		fds->err = -EMFILE;
	if (fds->err)
		snpu_vfu_fds_close(fds);
}

/*
 * recvmsg() within the limit of a message of which @begun says whether a byte has come. SO_RCVTIMEO
 * would start again with each piece, and a peer that sends a byte now and then would hold the
 * connection for hours.
 */
static ssize_t recv_within(int sock, struct msghdr *m, struct snpu_vfu_limit *lim, bool begun)
{
	for (;;) {
		struct pollfd p = { .fd = sock, .events = POLLIN };
		uint64_t now;
		ssize_t k;

		if (lim && !lim->end && begun)
			lim->end = snpu_vfu_now_ms() + lim->ms;
		k = recvmsg(sock, m, MSG_CMSG_CLOEXEC | (lim && lim->end ? MSG_DONTWAIT : 0));
		if (k < 0 && errno == EINTR)
			continue;
		if (k >= 0 || errno != EAGAIN || !lim || !lim->end)
			return k;
		now = snpu_vfu_now_ms();
		if (now >= lim->end) {
			errno = EAGAIN;
			return -1;
		}
		if (poll(&p, 1, (int)(lim->end - now)) < 0 && errno != EINTR)
			return -1;
	}
}

int snpu_vfu_recv_hdr(int sock, struct snpu_vfu_hdr *hdr, struct snpu_vfu_fds *fds,
		      struct snpu_vfu_limit *lim)
{
	union {
		char buf[CMSG_SPACE(sizeof(int) * CTL_FDS)];
		struct cmsghdr align;
	} ctl;
	size_t got = 0;

	memset(hdr, 0, sizeof(*hdr));
	fds->n = 0;
	fds->err = 0;
	while (got < sizeof(*hdr)) {
		struct iovec v = {
			.iov_base = (char *)hdr + got,
			.iov_len = sizeof(*hdr) - got,
		};
		struct msghdr m = {
			.msg_iov = &v,
			.msg_iovlen = 1,
			.msg_control = ctl.buf,
			.msg_controllen = sizeof(ctl.buf),
		};
		ssize_t k = recv_within(sock, &m, lim, got);

		if (k <= 0) {
			int ret = -errno;

			if (!k)
				ret = got ? -EPROTO : 0;
			else if (ret == -EAGAIN)
				ret = -ETIMEDOUT;
			snpu_vfu_fds_close(fds);
			return ret;
		}
		take_fds(&m, fds);
		got += (size_t)k;
	}
	return 1;
}

int snpu_vfu_recv_all(int sock, void *buf, size_t len, struct snpu_vfu_limit *lim)
{
	char *b = buf;

	while (len) {
		struct iovec v = { .iov_base = b, .iov_len = len };
		struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1 };
		ssize_t k = recv_within(sock, &m, lim, true);

		if (k < 0)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
		if (!k)
			return -EPROTO;
		b += k;
		len -= (size_t)k;
	}
	return 0;
}

int snpu_vfu_recv_timeout(int sock, unsigned int ms)
{
	struct timeval tv = { .tv_sec = ms / 1000, .tv_usec = (ms % 1000) * 1000 };

	return setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)) ? -errno : 0;
}
