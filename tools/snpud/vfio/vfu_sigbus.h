/* SPDX-License-Identifier: MIT */
/*
 * A client can shrink the file behind memory that is mapped here, and every later access to it then
 * raises SIGBUS. This keeps a list of such memory for the whole process: what is on it is replaced
 * by zero pages at the first fault, and its client is sent away. Any other SIGBUS goes to whoever
 * had the signal before.
 */
#ifndef SNPU_VFU_SIGBUS_H
#define SNPU_VFU_SIGBUS_H

#include <stddef.h>

/**
 * snpu_vfu_sigbus_install() - take the signal; once for the process. Return: 0 or a negative errno.
 */
int snpu_vfu_sigbus_install(void);

/**
 * snpu_vfu_sigbus_add() - guard a mapping
 * @addr: of the mapping
 * @len: its bytes
 * @page: granule of the file: a part can be replaced at multiples of it only
 * @sock: socket to shut down at a fault; must stay open until snpu_vfu_sigbus_del()
 *
 * Return: a handle, or -ENOMEM.
 */
int snpu_vfu_sigbus_add(void *addr, size_t len, size_t page, int sock);

/**
 * snpu_vfu_sigbus_del() - no longer guard it
 * @handle: of snpu_vfu_sigbus_add()
 *
 * Before munmap(), and when nothing touches the memory any more. Return: whether it had a fault.
 */
int snpu_vfu_sigbus_del(int handle);

#endif
