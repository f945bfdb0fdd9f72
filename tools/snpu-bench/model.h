/* SPDX-License-Identifier: MIT */
/*
 * snpu-bench: figures in virtual time, against what was published.
 *
 * Each run has an snpud of its own, with virtual time, and timing-only queues on all NPUs concerned:
 * programs of packets, executed and timed, with real semaphores between NPUs.
 */
#ifndef SNPU_BENCH_MODEL_H
#define SNPU_BENCH_MODEL_H

#include <math.h>
#include <stdbool.h>
#include <stdio.h>

#include <snpu/snpu.h>

#define MODEL_MAX_QUEUES	4	/* of a die */

/* An address of local memory that nothing is behind; @i: so that operands do not overlap */
#define MODEL_LOCAL(i)		((1ull << 46) + ((uint64_t)(i) << 38))

/* Shared by all runs of a command */
struct model_opts {
	const char *profile;
	const char *json;
	const char *snpud;
	bool check, verbose, summary;
};

struct model_queue {
	struct snpu_queue *q;
	union snpu_pkt *prog;
	size_t n, room, put;
	uint64_t position;
};

struct model_node {
	struct snpu_ctx *ctx;
	struct snpu_mem *mem, **win;
	struct model_queue *q;		/* [die * queues + i]; dies as given to model_open() */
};

struct model {
	struct snpu *snpu;
	struct snpu_info info;
	unsigned int nodes, dies, queues;
	uint64_t bytes;
	struct model_node *node;
	int pid;
	char dir[64];
	bool failed;			/* no memory for a program */
};

/**
 * struct model_cfg - a machine to run on
 * @npus: how many of the machine's NPUs, 0: all
 * @by_die: queues of each die; else their work is spread over all dies
 * @queues: of each die
 * @bytes: of the window that each NPU opens to the others; 0: no windows
 * @ideal: efficiencies are 1
 */
struct model_cfg {
	unsigned int npus;
	bool by_die;
	unsigned int queues;
	uint64_t bytes;
	bool ideal;
};

int model_open(struct model **out, const struct model_opts *o, const struct model_cfg *cfg);
void model_close(struct model *m);
/* Machine facts of a profile, without running it; 0 or negative, said */
int model_facts(const struct model_opts *o, struct snpu_info *info);

/* Next packet of a program, zeroed; never NULL (model_run() fails when memory ran out) */
union snpu_pkt *model_pkt(struct model *m, unsigned int node, unsigned int die, unsigned int queue);
/* Address, for packets of @node, of @off in the window of @target */
uint64_t model_va(const struct model *m, unsigned int node, unsigned int target, uint64_t off);
/* Executes all programs. @end: virtual ns of the last end; a machine's time begins with 0 */
int model_run(struct model *m, uint64_t *end);
/* Virtual time of the last packet of a queue */
int model_span(struct model *m, unsigned int node, unsigned int die, unsigned int queue,
	       struct snpu_vtime *vt);

/* ---- rows ---- */

/**
 * struct model_row - a figure
 * @name: of it
 * @unit: of value and published
 * @value: of the model
 * @published: NAN: none
 * @bar: largest error: percent, or with @points in the unit itself; 0: none. With @at_least the
 *	value has to be that or more
 * @source: of the published figure
 */
struct model_row {
	char name[96];
	const char *unit;
	double value, published, bar;
	bool points, at_least;
	const char *source;
};

int model_rows_open(const struct model_opts *o, const char *what);
void model_row(const struct model_row *r);
/* @row: name in rows.c of the largest error; NULL: none. Return: 0, 1: outside a bar (with --check) */
int model_rows_close(const struct model_opts *o, const char *row);

/* ---- options ---- */

/**
 * model_options() - parse those that all commands have, and pass on others
 * @own: one letter of each other option with an argument, as @longs has them
 *
 * Return: 0; 1: help was printed; negative: wrong
 */
struct option;
int model_options(int argc, char **argv, const char *help, const struct option *own,
		  int (*take)(void *ctx, int c, const char *arg), void *ctx, struct model_opts *o);
/* "8,32,128": numbers from @min to @max. Return: how many, or -EINVAL, said */
int model_list(const char *opt, const char *text, double min, double max, double *out, int room);

int bench_gemm(int argc, char **argv);
int bench_p2p(int argc, char **argv);
int bench_ep(int argc, char **argv);
int bench_decode(int argc, char **argv);

#endif
