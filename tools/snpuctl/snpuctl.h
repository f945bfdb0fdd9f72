/* SPDX-License-Identifier: MIT */
/*
 * snpuctl: talks to the control socket of snpud, and prints packet logs.
 */
#ifndef SNPUCTL_H
#define SNPUCTL_H

#include <json-c/json.h>
#include <stdbool.h>

/* Exit codes */
#define CTL_OK		0
#define CTL_FAILED	1	/* no connection, or snpud refused */
#define CTL_USAGE	2

#define CTL_NO_SOCKET	"no socket: give --dir or --socket, or set SNPU_CONTROL or SNPU_SOCKET_DIR"

/**
 * ctl_call() - one request
 * @path: control socket
 * @method: its name
 * @params: object or NULL; not consumed
 * @result: receives the result, to be put
 *
 * Return: CTL_OK or CTL_FAILED, with a message on stderr.
 */
int ctl_call(const char *path, const char *method, json_object *params, json_object **result);

/**
 * ctl_call_fd() - one request, with a descriptor
 * @path: control socket
 * @method: its name
 * @params: object or NULL; not consumed
 * @pass: descriptor to send along, -1: none
 * @timeout_s: longest wait for the answer
 * @result: receives the result, to be put
 */
int ctl_call_fd(const char *path, const char *method, json_object *params, int pass,
		unsigned int timeout_s, json_object **result);

/** ctl_log() - print a packet log in canonical order. CTL_OK or CTL_FAILED */
int ctl_log(const char *file, bool json);

/** ctl_profile() - list, show or check profiles. CTL_OK, CTL_FAILED or CTL_USAGE */
int ctl_profile(int argc, char **argv, bool json);

/* People's view of results */
void ctl_print_list(json_object *result);
void ctl_print_pairs(json_object *result);
void ctl_print_queues(json_object *result);
void ctl_print_machine(json_object *result);

/* snpuctl fabric ..., snpuctl fault ...; @argv: what follows; @svg: of --svg, or NULL */
int ctl_fabric(const char *socket, int argc, char **argv, const char *svg, bool json);
int ctl_fault(const char *socket, int argc, char **argv, bool json);

/* snpuctl timing ...; @argv: what follows */
int ctl_timing(const char *socket, int argc, char **argv, bool json);

#endif
