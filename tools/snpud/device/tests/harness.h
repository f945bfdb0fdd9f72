/* SPDX-License-Identifier: MIT */
/*
 * Tests of the device core: checks, and a driver that lives in the process.
 */
#ifndef SNPU_TEST_HARNESS_H
#define SNPU_TEST_HARNESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "device/npu.h"
#include "device/sync.h"
#include "profiles/profile.h"
#include "snpu_pt.h"

/* ---- checks ---- */

extern int t_failures;
extern const char *t_name;

#define CHECK(cond, ...) do { \
	if (!(cond)) { \
		t_failures++; \
		printf("# %s:%d: %s: %s: ", __FILE__, __LINE__, t_name, #cond); \
		printf(__VA_ARGS__); \
		printf("\n"); \
	} \
} while (0)

#define CHECK_EQ(a, b) do { \
	unsigned long long a_ = (unsigned long long)(a), b_ = (unsigned long long)(b); \
	CHECK(a_ == b_, "%llu (0x%llx), expected %llu (0x%llx)", a_, a_, b_, b_); \
} while (0)

struct t_case {
	const char *name;
	void (*run)(void);
};

/* Runs all cases (or the one named by argv[1]); TAP on stdout; exit status for main */
int t_main(int argc, char **argv, const struct t_case *cases, size_t n);

/* Repeatable random numbers */
uint64_t t_rand(uint64_t *state);

/* Waits until @cond holds, at most 10 s of real time; evaluates to its last value */
#define T_WAIT(cond) ({ \
	uint64_t end_ = snpu_clock_ns() + 10000000000ull; \
	bool ok_; \
	while (!(ok_ = (cond)) && snpu_clock_ns() < end_) \
		sched_yield(); \
	ok_; \
})

/* ---- host memory of one NPU ---- */

#define T_HOST_BYTES	(16u << 20)
#define T_HOST_IOVA	0x100000000ull

struct t_host {
	uint8_t *mem;
	uint32_t mapped;		/* atomic */
	uint32_t slow_from;		/* offsets from here on are reached by messages only */
	/* atomic; the client behind those messages */
	uint32_t silent;		/* no answer: a message waits for one, or for cancel */
	uint32_t waiting;		/* messages that wait now */
	uint32_t cancels;
	uint32_t asked;			/* messages ever sent */
	uint64_t irqs[SNPU_MSIX_VECTORS];
	uint64_t next;
};

/* ---- driver of one NPU ---- */

struct t_drv {
	struct snpu_machine *m;
	struct snpu_npu *npu;
	struct t_host host;
	struct snpu_admin_mbox *mb;
	struct snpu_event_ring *ev;
	unsigned int ev_log2;
	uint64_t ev_cons;
	uint8_t *hbm;
	uint64_t hbm_next;
	uint64_t *doorbells;
	uint32_t seq;
	uint64_t data[7];
	uint64_t ring_va;		/* where the next ring goes */
};

struct t_queue {
	struct t_drv *d;
	uint32_t id;
	uint32_t entries;
	union snpu_pkt *ring;
	volatile struct snpu_cpl *cpl;
	uint64_t *db;
	uint64_t ring_va;
	uint64_t cpl_addr;
	uint64_t head;
};

/* Profile of small NPUs (64 MiB of HBM), to be freed */
struct snpu_profile *t_profile(void);
/* Machine of these */
struct snpu_machine *t_machine(unsigned int npus, unsigned int workers, struct snpu_plog *plog);
/* Its workers pause at random; 0: they do not */
struct snpu_machine *t_machine_delays(unsigned int npus, unsigned int workers, unsigned int seed);
void t_machine_end(struct snpu_machine *m);

void t_drv_init(struct t_drv *d, struct snpu_machine *m, unsigned int npu);
void t_drv_end(struct t_drv *d);
/* Sets mailbox and event ring up again after a reset */
void t_drv_setup(struct t_drv *d);

/* The client behind messages answers from now on */
void t_answer(struct t_drv *d);

/* Sends the command in d->mb; SNPU_ADM_S_*, results in d->data */
uint32_t t_admin(struct t_drv *d, unsigned int op);

uint64_t t_hbm_alloc(struct t_drv *d, uint64_t bytes, uint64_t align);
uint64_t t_host_alloc(struct t_drv *d, uint64_t bytes, uint64_t align);
void *t_host_ptr(struct t_drv *d, uint64_t iova);

/* Address space 1 and others; returns the root */
uint64_t t_ctx(struct t_drv *d, uint32_t ctx);
void t_map(struct t_drv *d, uint64_t root, uint64_t va, uint64_t bytes, uint64_t leaf);
uint32_t t_inval(struct t_drv *d, uint32_t ctx, uint64_t va, uint64_t bytes);

/* Queue with its ring in host memory; SNPU_ADM_S_* */
uint32_t t_queue(struct t_drv *d, struct t_queue *q, uint32_t id, uint32_t ctx, uint64_t root,
		 unsigned int log2, unsigned int prio);
uint32_t t_queue_op(struct t_queue *q, unsigned int op);

union snpu_pkt *t_put(struct t_queue *q, unsigned int op);
void t_nop(struct t_queue *q);
void t_signal(struct t_queue *q, uint64_t addr, unsigned int how, uint64_t value);
void t_await(struct t_queue *q, uint64_t addr, unsigned int how, uint64_t value,
	     uint64_t timeout_ns);
void t_copy(struct t_queue *q, uint64_t src, uint64_t dst, uint64_t bytes);
void t_ring(struct t_queue *q);
/* Waits until all packets are retired, or the queue is not running any more */
bool t_drain(struct t_queue *q);
/* Next event, or NULL */
const struct snpu_event_entry *t_event(struct t_drv *d);

#define T_LEAF_HBM(off) \
	snpu_pte_leaf(SNPU_APERTURE_HBM, off, 0, SNPU_PTE_READ | SNPU_PTE_WRITE)
#define T_LEAF_HOST(iova) \
	snpu_pte_leaf(SNPU_APERTURE_HOST, iova, 0, SNPU_PTE_READ | SNPU_PTE_WRITE)
#define T_LEAF_FABRIC(slot, off) \
	snpu_pte_leaf(SNPU_APERTURE_FABRIC, off, slot, SNPU_PTE_READ | SNPU_PTE_WRITE)

#endif
