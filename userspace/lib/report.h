/* SPDX-License-Identifier: MIT */
/*
 * What messages say beyond an error code: which packet a queue stands at, what it waits for and
 * what is there, what lies at an address, what is left of a context. For paths that fail or time out.
 */
#ifndef SNPU_REPORT_H
#define SNPU_REPORT_H

#include "internal.h"

/* "queue 1, NPU 0: 4 of 9 retired; packet 4 (SEM_WAIT) is BLOCKED at ..., there is 0" */
void snpu_report_wait(struct snpu_queue *q, char *buf, size_t len);
/* SNPU_CHECK: the same as a line in the log, with which packets could signal, when @q is BLOCKED */
void snpu_report_waiting(struct snpu_queue *q, const char *call);
/* The packet at which a queue was when it was reset: op, and the address of a wait */
void snpu_report_packet(struct snpu_queue *q, struct snpu_error *err);
/* What follows the text of an error: the values of a wait, or what lies at the address; or empty */
void snpu_report_error(struct snpu_queue *q, const struct snpu_error *err, char *buf, size_t len);
/* What is left of a context, or with @ctx NULL of a set: "queue 0; 4096 bytes of HBM at 0x200000" */
void snpu_report_left(const struct snpu *snpu, const struct snpu_ctx *ctx, char *buf, size_t len);

#endif
