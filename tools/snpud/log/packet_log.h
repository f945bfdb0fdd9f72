/* SPDX-License-Identifier: MIT */
/*
 * Packet log: what was executed, for the timing plane to replay.
 *
 * A file is one struct snpu_plog_head and then struct snpu_plog_rec, little-endian, in the order in
 * which workers happened to write them. Sorted by (node, queue, epoch, seq, sub) it is canonical: a
 * function of the programs that ran, not of threads or clocks. Only retired packets are in it.
 */
#ifndef SNPU_PACKET_LOG_H
#define SNPU_PACKET_LOG_H

#include <stddef.h>
#include <stdint.h>

#define SNPU_PLOG_MAGIC		0x474c504e53ull		/* "SNPLG" */
#define SNPU_PLOG_VERSION	4

/**
 * struct snpu_plog_head - start of the file
 * @magic: SNPU_PLOG_MAGIC
 * @version: SNPU_PLOG_VERSION
 * @rec_bytes: size of a record
 * @profile: name of the machine profile, NUL-padded
 * @rsvd: zero
 */
struct snpu_plog_head {
	uint64_t magic;
	uint32_t version;
	uint32_t rec_bytes;
	char profile[32];
	uint64_t rsvd[2];
};

#define SNPU_PLOG_NO_NODE	0xffffffffu
#define SNPU_PLOG_SET_WORDS	7u
#define SNPU_PLOG_SET_NODES	(SNPU_PLOG_SET_WORDS * 64u)	/* that a set has room for */
#define SNPU_PLOG_RING		0xffffffffu	/* @sub of a packet in the ring itself */

/* @sem_kind */
#define SNPU_PLOG_SEM_NONE	0
#define SNPU_PLOG_SEM_SET	1
#define SNPU_PLOG_SEM_ADD	2
#define SNPU_PLOG_SEM_GE	3
#define SNPU_PLOG_SEM_EQ	4

/* @host_mem: operands in memory of the NPU's host */
#define SNPU_PLOG_HOST_READ	1
#define SNPU_PLOG_HOST_WRITE	2

/**
 * struct snpu_plog_rec - one retired packet
 * @node: fabric address of the NPU
 * @queue: queue number
 * @op: SNPU_OP_*
 * @flags: flags of the packet
 * @epoch: how often the queue number was created before, since power on
 * @sub: index inside an indirect buffer, or SNPU_PLOG_RING. The INDIRECT packet itself is
 *	logged when it begins and sorted behind its buffer
 * @seq: packet index in the queue
 * @dtype: type of the source
 * @dtype2: type of the result
 * @sem_kind: SNPU_PLOG_SEM_*
 * @sem_host: 1: @sem_addr is a DMA address of the host of @sem_node
 * @read_node: other NPU that was read from, SNPU_PLOG_NO_NODE: none
 * @write_node: other NPU that was written to, SNPU_PLOG_NO_NODE: none
 * @sem_node: NPU whose memory the semaphore is in
 * @bytes_read: by the engine, without packet and page tables
 * @bytes_written: likewise
 * @flops: arithmetic operations
 * @sem_addr: HBM offset of the semaphore, or DMA address
 * @sem_value: operand of signal or wait; SET and ADD of ATOMIC and of PF_SIGNAL too. A CAS that
 *	failed has sem_kind NONE
 * @m: MATMUL m; ATTENTION rows; row operations rows; element-wise operations: elements, saturated
 * @n: MATMUL n; ATTENTION len; row operations columns
 * @k: MATMUL k; ATTENTION dk
 * @groups: MATMUL groups (1 and up); ATTENTION batch
 * @clock: CLOCK: the virtual time it gave
 * @aux: ATTENTION dv
 * @sem_gen: how often the memory of the semaphore was zeroed by the device before
 * @rsvd: zero
 * @set: REDUCE_PULL, MULTICAST: bit n: memory of node n is in the list; in the place of what these
 *	packets have not
 * @die: 0: the work was spread over all dies; n: die n - 1 did it
 * @timing_only: 1: no data was touched, see SNPU_QF_TIMING
 * @host_mem: SNPU_PLOG_HOST_*
 * @rsvd0: zero
 * @arg: argument of the packet's header; REDUCE_PULL, MULTICAST: addresses in the list
 */
struct snpu_plog_rec {
	uint32_t node;
	uint16_t queue;
	uint8_t op;
	uint8_t flags;
	uint32_t epoch;
	uint32_t sub;
	uint64_t seq;
	uint8_t dtype;
	uint8_t dtype2;
	uint8_t sem_kind;
	uint8_t sem_host;
	uint32_t read_node;
	uint32_t write_node;
	uint32_t sem_node;
	uint64_t bytes_read;
	uint64_t bytes_written;
	uint64_t flops;
	union {
		struct {
			uint64_t sem_addr;
			uint64_t sem_value;
			uint32_t m;
			uint32_t n;
			uint32_t k;
			uint32_t groups;
			uint64_t clock;
			uint32_t aux;
			uint32_t sem_gen;
			uint64_t rsvd;
		};
		uint64_t set[SNPU_PLOG_SET_WORDS];
	};
	uint8_t die;
	uint8_t timing_only;
	uint8_t host_mem;
	uint8_t rsvd0;
	uint32_t arg;
};

_Static_assert(sizeof(struct snpu_plog_head) == 64, "log head");
_Static_assert(sizeof(struct snpu_plog_rec) == 128, "log record");

struct snpu_plog;
struct snpu_plog_buf;

/**
 * typedef snpu_plog_sink_fn - takes records as they are flushed
 * @ctx: as registered
 * @recs: records, of one thread in the order it retired them
 * @n: their number
 *
 * Called by the thread that flushes; it may hold the queue whose packets these are, so the sink
 * takes only locks of its own and never waits for a queue.
 */
typedef void (*snpu_plog_sink_fn)(void *ctx, const struct snpu_plog_rec *recs, size_t n);

/**
 * snpu_plog_open() - create a log file; an old one is replaced
 * @path: file
 * @profile: name of the machine profile
 * @report: told once, with a message, when writing fails; the log is off from then on
 * @err: receives one line on failure
 * @err_len: size of @err
 *
 * Return: the log or NULL.
 */
struct snpu_plog *snpu_plog_open(const char *path, const char *profile,
				 void (*report)(const char *msg), char *err, size_t err_len);

/**
 * snpu_plog_new() - a log without a file, or with one
 * @path: file as for snpu_plog_open(), or NULL
 * @profile: name of the machine profile
 * @sink: takes the records, or NULL
 * @sink_ctx: for @sink
 * @report: as for snpu_plog_open()
 * @err: receives one line on failure
 * @err_len: size of @err
 *
 * Return: the log or NULL.
 */
struct snpu_plog *snpu_plog_new(const char *path, const char *profile, snpu_plog_sink_fn sink,
				void *sink_ctx, void (*report)(const char *msg), char *err,
				size_t err_len);

/** snpu_plog_close() - all buffers are freed already. Return: records lost, 0: the log is whole */
uint64_t snpu_plog_close(struct snpu_plog *l);

/** snpu_plog_lost() - records that could not be written so far */
uint64_t snpu_plog_lost(const struct snpu_plog *l);

/** snpu_plog_buf_new() - buffer of one thread */
struct snpu_plog_buf *snpu_plog_buf_new(struct snpu_plog *l);
void snpu_plog_buf_free(struct snpu_plog_buf *b);

/** snpu_plog_add() - room for one record, zeroed; the caller fills it before the next call */
struct snpu_plog_rec *snpu_plog_add(struct snpu_plog_buf *b);

/** snpu_plog_flush() - write what is in the buffer */
void snpu_plog_flush(struct snpu_plog_buf *b);

/**
 * snpu_plog_read() - read and sort a log
 * @path: file
 * @head: receives the head
 * @recs: receives the records in canonical order, to be freed
 * @n: receives their number
 * @err: receives one line on failure
 * @err_len: size of @err
 *
 * A file with a CLOCK record above SNPU_MAX_CLOCK is refused: no device logs one.
 *
 * A file that ends inside a record (the daemon was killed) is an error only after its whole records
 * were read: they are returned, with -ENODATA.
 *
 * Return: 0 or a negative errno.
 */
int snpu_plog_read(const char *path, struct snpu_plog_head *head, struct snpu_plog_rec **recs,
		   size_t *n, char *err, size_t err_len);

/** snpu_plog_sort() - bring records into canonical order */
void snpu_plog_sort(struct snpu_plog_rec *recs, size_t n);
/** snpu_plog_sort_more() - likewise, the first @sorted of them being in order: takes linear time */
void snpu_plog_sort_more(struct snpu_plog_rec *recs, size_t sorted, size_t n);

/** snpu_plog_hash() - 64-bit FNV-1a of sorted records */
uint64_t snpu_plog_hash(const struct snpu_plog_rec *recs, size_t n);

#endif
