/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the snpu selftests share. Every function that can fail prints what it did, what it expected
 * and what it got, and returns 0 or a negative errno, so that a test needs to say only which.
 */
#ifndef SNPU_UTIL_H
#define SNPU_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <drm/snpu_accel.h>
#include <snpu_hw.h>

/* Deadline of a single wait, and of a test: a guest without KVM is 20 to 50 times slower */
#define SNPU_WAIT_MS	30000
#define SNPU_TEST_S	100

#define SNPU_RW		(DRM_SNPU_BIND_READ | DRM_SNPU_BIND_WRITE)
#define SNPU_4K		4096ull
#define SNPU_2M		(2ull << 20)
#define SNPU_1G		(1ull << 30)

/**
 * SNPU_NEED_NPUS() - skip a test that this machine has too few NPUs for
 * @n: NPUs
 *
 * The text names the number, by which a runner tells this skip from one that it does not expect. No
 * NPU at all is a failure: the next call finds it.
 */
#define SNPU_NEED_NPUS(n)								\
do {											\
	unsigned int have_ = snpu_count();						\
											\
	if (have_ && have_ < (n))							\
		SKIP(return, "needs %u NPUs, found %u", (unsigned int)(n), have_);	\
} while (0)

/* An address that no test ever maps, nor anything near it */
#define SNPU_NOWHERE	0x00005a5a00000000ull

/**
 * struct snpu_client - an open file
 * @fd: file
 * @index: which NPU
 * @info: what DEV_QUERY says
 * @next_va: where the next buffer goes
 */
struct snpu_client {
	int fd;
	unsigned int index;
	struct drm_snpu_device_info info;
	uint64_t next_va;
};

/**
 * struct snpu_buf - a BO, bound and mapped
 * @c: client
 * @handle: GEM handle
 * @flags: DRM_SNPU_BO_*
 * @size: bytes
 * @offset: mmap offset
 * @va: address for the NPU
 * @map: address for the CPU
 */
struct snpu_buf {
	struct snpu_client *c;
	uint32_t handle;
	uint32_t flags;
	uint64_t size;
	uint64_t offset;
	uint64_t va;
	void *map;
};

/**
 * struct snpu_queue - a queue with its ring
 * @c: client
 * @ring: ring
 * @log2: log2 of its entries
 * @id: id; 0: not created
 * @wr: packets put
 * @eventfd: -1: none
 * @flags: DRM_SNPU_QUEUE_*, for snpu_queue_attach()
 * @db_offset: mmap offset of the doorbell
 * @cpl_offset: mmap offset of the completion page
 * @db: doorbell
 * @cpl: completion record
 */
struct snpu_queue {
	struct snpu_client *c;
	struct snpu_buf ring;
	uint32_t log2;
	uint32_t id;
	uint64_t wr;
	int eventfd;
	uint32_t flags;
	uint64_t db_offset;
	uint64_t cpl_offset;
	volatile uint64_t *db;
	const volatile struct snpu_cpl *cpl;
};

/**
 * struct snpu_proc - a child process that talks to its parent
 * @pid: child
 * @in: what the other side says
 * @out: to the other side
 */
struct snpu_proc {
	pid_t pid;
	int in;
	int out;
};

/* ---- messages, time, memory ----------------------------------------------------------------- */

void snpu_diag(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
uint64_t snpu_now_ms(void);
uint64_t snpu_random(uint64_t *state);
void snpu_pattern(void *buf, size_t bytes, uint64_t seed);
int snpu_cmp(const char *what, const void *want, const void *got, size_t bytes);
int snpu_cmp_byte(const char *what, uint8_t want, const void *got, size_t bytes);
uint32_t snpu_crc32c(uint32_t crc, const void *buf, size_t bytes);
int snpu_touch(volatile void *p, bool write);

/* ---- files ---------------------------------------------------------------------------------- */

int snpu_ioctl(int fd, unsigned long req, void *arg);
unsigned int snpu_count(void);
int snpu_pci_name(unsigned int index, char *buf, size_t size);
int snpu_accel_name(unsigned int index, char *buf, size_t size);
int snpu_open(unsigned int index);
int snpu_client_open(struct snpu_client *c, unsigned int index);
int snpu_client_init(struct snpu_client *c, int fd, unsigned int index);
void snpu_client_close(struct snpu_client *c);
int snpu_query(int fd, uint32_t type, void *buf, uint32_t size);
int snpu_write_file(const char *path, const char *text);
int snpu_read_file(const char *path, char *buf, size_t size);
int snpu_wait_readable(int fd, int timeout_ms);

/* ---- memory of the NPU ---------------------------------------------------------------------- */

int snpu_bo_create(int fd, uint64_t size, uint32_t flags, uint32_t *handle, uint64_t *offset);
int snpu_bo_close(int fd, uint32_t handle);
int snpu_bind(int fd, struct drm_snpu_bind_op *ops, uint32_t count, uint32_t *done);
int snpu_map(int fd, uint32_t handle, uint64_t offset, uint64_t va, uint64_t size, uint32_t access);
int snpu_unmap(int fd, uint64_t va, uint64_t size);
uint64_t snpu_va_alloc(struct snpu_client *c, uint64_t size);
int snpu_buf_make(struct snpu_client *c, struct snpu_buf *b, uint64_t size, uint32_t flags);
void snpu_buf_free(struct snpu_buf *b);
int snpu_prime_export(int fd, uint32_t handle);
int snpu_prime_import(int fd, int dmabuf, uint32_t *handle);

/* ---- queues --------------------------------------------------------------------------------- */

int snpu_queue_make(struct snpu_client *c, struct snpu_queue *q, uint32_t log2, uint32_t prio,
		    bool want_eventfd);
int snpu_queue_attach(struct snpu_queue *q, uint64_t ring_va, uint32_t prio);
int snpu_queue_destroy(struct snpu_client *c, uint32_t id);
void snpu_queue_free(struct snpu_queue *q);
int snpu_ctrl(struct snpu_queue *q, uint32_t op);
int snpu_queue_info(struct snpu_queue *q, struct drm_snpu_queue_query *info);
void snpu_put(struct snpu_queue *q, const union snpu_pkt *pkt);
int snpu_ring(struct snpu_queue *q);
int snpu_wait(struct snpu_queue *q, uint64_t position);
int snpu_run(struct snpu_queue *q, const union snpu_pkt *pkt);
int snpu_copy(struct snpu_queue *q, uint64_t dst, uint64_t src, uint64_t bytes);
int snpu_fill(struct snpu_queue *q, uint64_t dst, uint64_t bytes, uint8_t byte);
int snpu_wait_state(struct snpu_queue *q, uint32_t state);
int snpu_want_fault(struct snpu_queue *q, uint32_t error, uint64_t index, uint64_t va);
int snpu_works(unsigned int index);

/*
 * Between a store that a sleeping device has to see and the look at need_wake. On x86 a fence of the
 * compiler is a locked instruction, which QEMU's TCG takes for a plain one in a guest of one CPU.
 */
static inline void snpu_mb_wake(void)
{
#ifdef __x86_64__
	__asm__ volatile("mfence" : : : "memory");
#else
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

static inline union snpu_pkt snpu_pkt_nop(void)
{
	return (union snpu_pkt){ .misc = { .hdr.op = SNPU_OP_NOP } };
}

static inline union snpu_pkt snpu_pkt_copy(uint64_t dst, uint64_t src, uint64_t bytes)
{
	return (union snpu_pkt){
		.copy = { .hdr.op = SNPU_OP_COPY, .src = src, .dst = dst, .bytes = bytes },
	};
}

static inline union snpu_pkt snpu_pkt_fill(uint64_t dst, uint64_t bytes, uint8_t byte)
{
	return (union snpu_pkt){
		.fill = { .hdr = { .op = SNPU_OP_FILL, .arg = 1 }, .dst = dst, .bytes = bytes,
			  .pattern = byte },
	};
}

static inline union snpu_pkt snpu_pkt_crc(uint64_t dst, uint64_t src, uint64_t bytes)
{
	return (union snpu_pkt){
		.crc32c = { .hdr.op = SNPU_OP_CRC32C, .src = src, .bytes = bytes, .dst = dst },
	};
}

static inline union snpu_pkt snpu_pkt_sem_wait(uint64_t addr, uint64_t value, uint64_t timeout_ns)
{
	return (union snpu_pkt){
		.sem = { .hdr = { .op = SNPU_OP_SEM_WAIT, .arg = SNPU_SEM_GE }, .addr = addr,
			 .value = value, .timeout_ns = timeout_ns },
	};
}

static inline union snpu_pkt snpu_pkt_sem_signal(uint64_t addr, uint64_t value)
{
	return (union snpu_pkt){
		.sem = { .hdr = { .op = SNPU_OP_SEM_SIGNAL, .arg = SNPU_SEM_SET }, .addr = addr,
			 .value = value },
	};
}

static inline union snpu_pkt snpu_pkt_interrupt(uint32_t cookie)
{
	return (union snpu_pkt){ .misc = { .hdr = { .op = SNPU_OP_INTERRUPT, .arg = cookie } } };
}

static inline union snpu_pkt snpu_pkt_indirect(uint64_t addr, uint32_t count)
{
	return (union snpu_pkt){
		.misc = { .hdr.op = SNPU_OP_INDIRECT, .addr = addr, .count = count },
	};
}

/* ---- good packets --------------------------------------------------------------------------- */

#define SNPU_NUM_OPS	18
#define SNPU_OP_RESULT	(128ull << 10)

/**
 * struct snpu_op_case - a packet that runs without a fault
 * @name: for messages
 * @pkt: packet
 * @addr: byte offsets of its addresses, 0: no more
 */
struct snpu_op_case {
	const char *name;
	union snpu_pkt pkt;
	unsigned int addr[4];
};

void snpu_op_cases(uint64_t base, struct snpu_op_case op[SNPU_NUM_OPS]);

/* ---- fences --------------------------------------------------------------------------------- */

int snpu_syncobj_create(int fd, uint32_t flags, uint32_t *handle);
int snpu_syncobj_destroy(int fd, uint32_t handle);
int snpu_syncobj_wait(int fd, uint32_t handle, uint64_t point, uint32_t flags, int timeout_ms);
int snpu_syncobj_export(int fd, uint32_t handle, uint64_t point);
int snpu_fence_status(int fd, uint32_t handle, uint64_t point, int *status);
int snpu_sync_file_status(int sync_file, int *status);
int snpu_signal(struct snpu_queue *q, uint32_t syncobj, uint64_t point, uint64_t position);
int snpu_wait_for(struct snpu_queue *q, uint32_t syncobj, uint64_t point, uint64_t *va,
		  uint64_t *value);

/* ---- processes ------------------------------------------------------------------------------ */

int snpu_proc_start(struct snpu_proc *p, int (*fn)(struct snpu_proc *p, void *arg), void *arg);
int snpu_say(struct snpu_proc *p, uint64_t word);
int snpu_hear(struct snpu_proc *p, uint64_t *word);
int snpu_proc_end(struct snpu_proc *p);
int snpu_proc_kill(struct snpu_proc *p);
int snpu_cap_drop(unsigned int cap);

#endif /* SNPU_UTIL_H */
