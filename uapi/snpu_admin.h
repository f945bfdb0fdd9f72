/* SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR MIT */
/*
 * snpu admin commands: what a response means, for the driver and the direct transport alike.
 */
#ifndef _SNPU_ADMIN_H_
#define _SNPU_ADMIN_H_

#include "snpu_hw.h"

#ifdef __KERNEL__
#include <linux/errno.h>
#else
#include <errno.h>
#endif

/**
 * snpu_admin_errno() - status of a response as an error
 * @status: SNPU_ADM_S_*
 *
 * Return: 0 or a negative errno; -EPROTO for a status that does not exist.
 */
static inline int snpu_admin_errno(__u32 status)
{
	switch (status) {
	case SNPU_ADM_S_OK:
		return 0;
	case SNPU_ADM_S_BAD_OP:
		return -EOPNOTSUPP;
	case SNPU_ADM_S_BAD_ARG:
		return -EINVAL;
	case SNPU_ADM_S_BUSY:
		return -EBUSY;
	case SNPU_ADM_S_NOENT:
		return -ENOENT;
	case SNPU_ADM_S_EXIST:
		return -EEXIST;
	case SNPU_ADM_S_DMA:
		return -EFAULT;
	case SNPU_ADM_S_NOMEM:
		return -ENOSPC;
	case SNPU_ADM_S_PERM:
		return -EACCES;
	case SNPU_ADM_S_UNREACH:
		return -EHOSTUNREACH;
	default:
		return -EPROTO;
	}
}

#endif /* _SNPU_ADMIN_H_ */
