/* SPDX-License-Identifier: MIT */
/* Messages and their descriptors over a UNIX stream socket; both sides use it. */
#ifndef SNPU_VFU_IO_H
#define SNPU_VFU_IO_H

#include <stddef.h>
#include <sys/uio.h>

#include "vfu_proto.h"

#define SNPU_VFU_MAX_IOV	4

/**
 * struct snpu_vfu_fds - descriptors that came with a message
 * @fd: the descriptors
 * @n: how many
 * @err: 0; -E2BIG: more than SNPU_VFU_MAX_FDS came, all of them are closed; -EMFILE: this process
 *	has no room for descriptors, all of them are closed
 */
struct snpu_vfu_fds {
	int fd[SNPU_VFU_MAX_FDS];
	unsigned int n;
	int err;
};

/** snpu_vfu_fds_close() - close what is left in @fds */
void snpu_vfu_fds_close(struct snpu_vfu_fds *fds);

/**
 * snpu_vfu_send() - send one message whole
 * @sock: socket
 * @iov: the message; is not changed
 * @n: entries, at most SNPU_VFU_MAX_IOV
 * @fds: descriptors to go with it
 * @nfds: how many, at most SNPU_VFU_MAX_FDS
 * @timeout_ms: for all of it
 *
 * Return: 0 or a negative errno; after an error the stream is of no more use. -ETIMEDOUT: the peer
 * does not read.
 */
int snpu_vfu_send(int sock, const struct iovec *iov, unsigned int n, const int *fds,
		  unsigned int nfds, unsigned int timeout_ms);

/**
 * struct snpu_vfu_limit - how long one message may take, from the first byte to the last
 * @end: snpu_vfu_now_ms() at which it must be there; 0: none yet, its first byte may take any time
 * @ms: @end is set to so much after its first byte, unless it is set
 */
struct snpu_vfu_limit {
	uint64_t end;
	unsigned int ms;
};

/**
 * snpu_vfu_recv_hdr() - receive a header and the descriptors that come with it
 * @sock: socket
 * @hdr: the header; not checked
 * @fds: the descriptors, owned by the caller; initialised whatever is returned
 * @lim: of the message, whatever pieces it comes in; NULL: only snpu_vfu_recv_timeout() counts
 *
 * Return: 1; 0 if the peer has closed between two messages; -EPROTO if it has closed within the
 * header; -ETIMEDOUT; another negative errno.
 */
int snpu_vfu_recv_hdr(int sock, struct snpu_vfu_hdr *hdr, struct snpu_vfu_fds *fds,
		      struct snpu_vfu_limit *lim);

/**
 * snpu_vfu_recv_all() - receive exactly @len bytes
 * @sock: socket
 * @buf: receives them
 * @len: bytes
 * @lim: as for the header they belong to
 *
 * Return: 0; -EPROTO if the peer closes before; -ETIMEDOUT; another negative errno.
 */
int snpu_vfu_recv_all(int sock, void *buf, size_t len, struct snpu_vfu_limit *lim);

/**
 * snpu_vfu_recv_timeout() - limit each wait for data, in ms, 0: none. Return: 0 or a negative
 * errno.
 */
int snpu_vfu_recv_timeout(int sock, unsigned int ms);

/** snpu_vfu_now_ms() - CLOCK_MONOTONIC */
uint64_t snpu_vfu_now_ms(void);

#endif
