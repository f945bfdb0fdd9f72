/* SPDX-License-Identifier: MIT */
/*
 * snpu-demo: what its parts share.
 *
 * A step records packets into the queues of all NPUs, behind a wait for the "go" semaphore, then
 * demo_run() hands all of them over, sets the semaphore and measures until the last queue is done:
 * from then on the host takes no part.
 */
#ifndef SNPU_DEMO_H
#define SNPU_DEMO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <snpu/snpu.h>

#define DEMO_MAX_NPUS	64
#define DEMO_MAX_MEMS	512

/**
 * struct demo_opts - the command line
 * @npus: NPUs to use, 0: as many as there are, at most 8
 * @rows: rows of the transformer block to compute in fp64, 0: what the transport allows
 * @file: file to broadcast, NULL: the first of a list that can be read
 * @transport: for snpu_open(), or NULL
 * @socket_dir: for snpu_open(), or NULL
 * @json: print JSON instead of the table
 */
struct demo_opts {
	unsigned int npus;
	unsigned int rows;
	const char *file;
	const char *transport;
	const char *socket_dir;
	bool json;
};

/**
 * struct demo_npu - one NPU in use
 * @ctx: its address space
 * @q: its queue
 * @arrived: semaphore in its HBM that the left neighbour of the ring counts up
 * @arrived_va: address of @arrived in @ctx
 * @go_va: address in @ctx of the go semaphore
 * @came: value that @arrived will have after all the packets recorded so far
 */
struct demo_npu {
	struct snpu_ctx *ctx;
	struct snpu_queue *q;
	struct snpu_event *arrived;
	uint64_t arrived_va;
	uint64_t go_va;
	uint64_t came;
};

/**
 * struct demo - all state
 * @opts: the command line
 * @snpu: the NPUs
 * @n: how many are in use
 * @npu: those
 * @go: semaphore that starts what was submitted
 * @go_value: its value
 * @mems: all memory, freed last in first out
 * @num_mems: used entries of @mems
 * @ring_full: a ring was too small for a step
 * @spare: where packets go then
 */
struct demo {
	struct demo_opts opts;
	struct snpu *snpu;
	unsigned int n;
	struct demo_npu npu[DEMO_MAX_NPUS];
	struct snpu_event *go;
	uint64_t go_value;
	struct snpu_mem *mems[DEMO_MAX_MEMS];
	unsigned int num_mems;
	bool ring_full;
	union snpu_pkt spare;
};

/* machine.c */
int demo_open(struct demo *d);
void demo_close(struct demo *d);
int demo_alloc(struct demo *d, unsigned int npu, uint64_t bytes, unsigned int flags,
	       struct snpu_mem **mem);
int demo_share(struct demo *d, unsigned int npu, struct snpu_mem *mem, struct snpu_mem **out);
int demo_signal_va(struct demo *d, unsigned int from, unsigned int to, uint64_t *va);
int demo_map(struct snpu_mem *mem, void **ptr);
void demo_release(struct demo *d, unsigned int mark);
void demo_begin(struct demo *d);
union snpu_pkt *demo_pkt(struct demo *d, unsigned int npu);
void demo_touch(struct demo *d, unsigned int npu, uint64_t va, uint64_t bytes);
int demo_run(struct demo *d, uint64_t *ns);
uint64_t demo_now(void);
int demo_fail(int ret, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* ring.c */

/**
 * struct demo_ring - buffers of a ring all-reduce; addresses are those of each NPU's own context
 * @n: members, NPU 0 .. @n - 1
 * @buf: vector of each NPU: operand and result
 * @inbox: room for demo_ring_inbox() bytes of each NPU
 * @right_buf: @buf of the right neighbour
 * @right_inbox: @inbox of the right neighbour
 * @right_signal: semaphore of the right neighbour, see demo_signal_va()
 */
struct demo_ring {
	unsigned int n;
	uint64_t buf[DEMO_MAX_NPUS];
	uint64_t inbox[DEMO_MAX_NPUS];
	uint64_t right_buf[DEMO_MAX_NPUS];
	uint64_t right_inbox[DEMO_MAX_NPUS];
	uint64_t right_signal[DEMO_MAX_NPUS];
};

uint64_t demo_ring_inbox(unsigned int n, unsigned int dtype, uint64_t count);
void demo_ring_allreduce(struct demo *d, const struct demo_ring *ring, unsigned int dtype,
			 uint64_t count);

/* hash.c */
#define DEMO_SHA256_BYTES	32

void demo_sha256(const void *data, size_t len, unsigned char digest[DEMO_SHA256_BYTES]);
uint32_t demo_crc32c(const void *data, size_t len);

/* report.c */

/**
 * struct demo_row - a line of the table
 * @step: what was done
 * @bytes: bytes moved or read
 * @npus: NPUs that took part
 * @ns: time
 * @rate: value in @unit
 * @rate2: second value, 0: none
 * @unit: of the rate
 * @name2: what the second value is
 * @ok: the check held
 * @check: what was checked, and how it came out
 */
struct demo_row {
	const char *step;
	uint64_t bytes;
	unsigned int npus;
	uint64_t ns;
	double rate;
	double rate2;
	const char *unit;
	const char *name2;
	bool ok;
	char check[96];
};

int demo_report_start(struct demo *d);
void demo_report_part(const char *title);
void demo_report_row(const struct demo_row *row);
void demo_report_file(const char *path, uint64_t bytes, const char *digest);
bool demo_report_end(bool complete);
double demo_rate(uint64_t bytes, uint64_t ns);

/* the three parts */
int demo_broadcast(struct demo *d);
int demo_allreduce(struct demo *d);
int demo_block(struct demo *d);

#endif /* SNPU_DEMO_H */
