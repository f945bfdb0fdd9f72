/* SPDX-License-Identifier: MIT */
/*
 * Control socket: JSON-RPC 2.0, one message a line.
 */
#ifndef SNPU_CONTROL_H
#define SNPU_CONTROL_H

#include <stdbool.h>
#include <stddef.h>

struct snpu_machine;
struct snpu_plane;
struct snpu_plog;
struct snpu_topo;
struct snpu_control;

#define SNPU_CONTROL_MAX_MSG	65536u		/* bytes of a request with its newline */
#define SNPU_CONTROL_MAX_CLIENTS 64u

/* Error codes besides those of JSON-RPC itself */
#define SNPU_RPC_PARSE		(-32700)
#define SNPU_RPC_REQUEST	(-32600)
#define SNPU_RPC_METHOD		(-32601)
#define SNPU_RPC_PARAMS		(-32602)
#define SNPU_RPC_INTERNAL	(-32603)
#define SNPU_RPC_NOENT		(-32001)	/* no such NPU, queue */
#define SNPU_RPC_LIMIT		(-32002)	/* a table is full */
#define SNPU_RPC_STATE		(-32003)	/* not in this state, or not in time */
#define SNPU_RPC_UNSUPPORTED	(-32004)	/* this snpud was started without it */

/**
 * struct snpu_control_opts - what the control socket serves
 * @path: of the socket; created with mode 0600, must not exist
 * @machine: must outlive the control
 * @plog: packet log or NULL
 * @plane: virtual time or NULL
 * @topo: of @plane
 * @message_ms: a request is whole so long after its first byte, or its connection is closed;
 *	0: 5000
 * @unread_ms: an answer is read so long after it was ready, likewise; 0: 10000
 * @idle_ms: when all connections are taken, a new one gets the place of one that has said nothing
 *	for so long; 0: 1000
 */
struct snpu_control_opts {
	const char *path;
	struct snpu_machine *machine;
	const struct snpu_plog *plog;
	struct snpu_plane *plane;
	const struct snpu_topo *topo;
	unsigned int message_ms, unread_ms, idle_ms;
};

struct snpu_control *snpu_control_open(const struct snpu_control_opts *opts, char *err,
				       size_t err_len);

/**
 * snpu_control_run() - serve until told to stop
 * @c: control
 * @stop_fd: becomes readable when the caller wants it to end
 *
 * Return: 0 after daemon.quit or @stop_fd, a negative errno.
 */
int snpu_control_run(struct snpu_control *c, int stop_fd);

/** snpu_control_close() - close all connections, remove the socket */
void snpu_control_close(struct snpu_control *c);

/**
 * struct snpu_rpc_io - a request's way in and out
 * @fd: descriptor that came with it, -1: none; stays the caller's
 * @may_block: the thread may be kept waiting
 * @slow: set when the method may block and @may_block is not set: nothing was done, call again
 * @quit: set when the request was daemon.quit
 */
struct snpu_rpc_io {
	int fd;
	bool may_block;
	bool slow;
	bool quit;
};

/**
 * snpu_rpc_handle() - one request
 * @opts: what it is about
 * @msg: text, NUL-terminated
 * @len: its length; a NUL inside is an error
 * @io: see there
 *
 * Return: response with newline, to be freed; NULL for notifications, with @io->slow, or when
 * memory ran out. Any thread.
 */
char *snpu_rpc_handle(const struct snpu_control_opts *opts, const char *msg, size_t len,
		      struct snpu_rpc_io *io);

#endif
