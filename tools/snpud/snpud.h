/* SPDX-License-Identifier: MIT */
/*
 * Parts of the program snpud.
 */
#ifndef SNPUD_H
#define SNPUD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Exit codes */
#define SNPUD_EXIT_OK		0
#define SNPUD_EXIT_FAILED	1	/* could not start, or stopped by an error */
#define SNPUD_EXIT_USAGE	2	/* wrong option or profile */
#define SNPUD_EXIT_RUNNING	3	/* another snpud serves this directory */

struct snpud_opts {
	const char *socket_dir;
	const char *profile;
	const char *packet_log;
	const char *log;
	unsigned int npus;		/* 0: all of @hosts, or of the machine */
	unsigned int hosts;		/* 0: not given */
	unsigned int first_node;
	unsigned int workers;		/* 0: default */
	unsigned int timing_records;	/* 0: default */
	uint64_t memory;		/* bytes, 0: what the computer has left */
	int ready_fd;			/* -1: none */
	unsigned int delays;		/* 0: none */
	bool timing;
	bool ideal;
	bool verbose;
};

/**
 * snpud_options() - parse the command line
 * @argc: as in main
 * @argv: as in main
 * @o: receives the options
 *
 * Return: -1 to go on, or an exit code (help was printed, or a message on stderr).
 */
int snpud_options(int argc, char **argv, struct snpud_opts *o);

/* Enough for page tables, rings and a few buffers of some NPUs */
#define SNPUD_MEMORY_MIN	(16ull << 20)

/**
 * snpud_memory_parse() - argument of --memory
 * @text: bytes, with K, M, G or T, or a share of the computer's memory with %
 * @bytes: receives the bytes
 *
 * Return: 0 or -EINVAL: no such number, or less than SNPUD_MEMORY_MIN.
 */
int snpud_memory_parse(const char *text, uint64_t *bytes);

/**
 * snpud_memory_left() - bytes that can be taken now without hurting others on the computer
 *
 * What the kernel calls available, or a cgroup of this process allows, whichever is less, and not
 * quite all of it.
 */
uint64_t snpud_memory_left(void);

struct snpu_machine;
struct snpud_sockets;

/**
 * snpud_sockets_create() - serve every NPU of a machine as DIR/npu<K>.sock
 * @dir: existing directory
 * @m: machine
 * @err: receives one line on failure
 * @err_len: size of @err
 */
struct snpud_sockets *snpud_sockets_create(const char *dir, struct snpu_machine *m, char *err,
					   size_t err_len);

/** snpud_sockets_destroy() - disconnect all clients and remove the sockets */
void snpud_sockets_destroy(struct snpud_sockets *s);

#endif
