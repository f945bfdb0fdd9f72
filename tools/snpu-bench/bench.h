/* SPDX-License-Identifier: MIT */
/* snpu-bench: what its parts share. */
#ifndef SNPU_BENCH_H
#define SNPU_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <snpu/snpu.h>

#define BENCH_COPY_BYTES	(64ull << 20)
#define BENCH_BATCH		64

/**
 * struct bench - options and the NPUs
 * @snpu: the NPUs, open
 * @guest: the transport is kmd
 * @limit: copy limit measured elsewhere, GB/s; 0: measure it here
 * @threads: threads for direct calls of oneDNN
 * @seconds: about how long a measurement goes on
 */
struct bench {
	struct snpu *snpu;
	bool guest;
	double limit;
	unsigned int threads;
	double seconds;
};

/* main.c */
uint64_t bench_now(void);
double bench_median(double *v, size_t n);
double bench_best(const double *v, size_t n);
int bench_fail(int ret, const char *what);

/* rows.c */
int bench_rows_open(const char *json_path, bool header);
int bench_rows_close(void);
int bench_row(const char *name, double value, double reference, bool proven, const char *note);
int bench_row_missing(const char *name, const char *why);
void bench_rows_list(void);
const char *bench_why(int ret);

/* limits.c: what this computer can do without any NPU */
int bench_limit_hop(double *us);
int bench_limit_ring(double *mpps);
int bench_limit_sockets(unsigned int count, double *seconds);

struct bench_copier;
int bench_copier_create(struct bench_copier **out);
void bench_copier_destroy(struct bench_copier *c);
void bench_copier_round(struct bench_copier *c);
double bench_copier_best(struct bench_copier *c);

/* wakes.c: system calls made while measuring */
struct bench_wakes;
int bench_wakes_start(struct bench_wakes **out);
uint64_t bench_wakes_count(struct bench_wakes *w);
void bench_wakes_stop(struct bench_wakes *w);

/* the rows */
int bench_nop(struct bench *b);
int bench_throughput(struct bench *b);
int bench_peer_copy(struct bench *b);
int bench_dma(struct bench *b);
int bench_matmul(struct bench *b);

/* coll.c: a command with options of its own; -EBADMSG: results are wrong */
int bench_coll(const struct snpu_open_params *open, int argc, char **argv);

#endif /* SNPU_BENCH_H */
