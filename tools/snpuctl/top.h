/* SPDX-License-Identifier: MIT */
/*
 * snpuctl top: samples and rates.
 */
#ifndef SNPUCTL_TOP_H
#define SNPUCTL_TOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One NPU of machine.top: counters since power on, queues by state */
struct top_npu {
	uint64_t npu, node, host;
	char status[12];
	uint64_t packets, bytes, flops, busy_ns, faults;
	uint64_t queues, running, blocked, faulted;
};

/* One plane of the fabric: links by state, bytes that entered them, bytes lost */
struct top_plane {
	uint64_t plane, links, up, degraded, flapping, down, bytes, dropped;
};

struct top_sample {
	uint64_t time_ns;
	char profile[40];
	struct top_npu *npu;
	size_t npus;
	struct top_plane *plane;
	size_t planes;
};

/* An NPU between two samples: all per second; @busy: 1 is one worker all the time */
struct top_row {
	const struct top_npu *npu;
	double packets, bytes, flops, busy;
};

/** top_rows() - rates of all NPUs of @now, and their sum; to be freed, NULL: out of memory */
struct top_row *top_rows(const struct top_sample *now, const struct top_sample *then,
			 struct top_row *total);

/**
 * ctl_top() - show what goes on
 * @socket: control socket
 * @json: one machine.top answer as it is
 * @one: one sample as text
 *
 * Return: CTL_OK or CTL_FAILED.
 */
int ctl_top(const char *socket, bool json, bool one);

#endif
