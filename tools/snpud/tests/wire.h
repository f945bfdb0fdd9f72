/* SPDX-License-Identifier: MIT */
/*
 * Tests of the program snpud: the process, and a driver of its NPUs on vfio-user.
 */
#ifndef SNPUD_TEST_WIRE_H
#define SNPUD_TEST_WIRE_H

#include <sys/types.h>

#include "device/tests/harness.h"
#include "vfio/vfu_client.h"

#define IOVA		0x100000000ull	/* of the driver's own memory */
#define HOST_BYTES	(8u << 20)
#define VA		0x40000000ull

/* The program, and the directory of its sockets, which main() makes with mkdtemp() */
extern const char *wire_snpud;
extern char wire_dir[];

/** wire_spawn() - start snpud with its output in a pipe */
pid_t wire_spawn(int *out, const char *const *args);

/** wire_read_until() - read until @want shows up, or the end of the output, at most 20 s */
bool wire_read_until(int fd, char *buf, size_t len, const char *want);

/** wire_end_of() - wait for the end: exit code, or 1000 + signal */
int wire_end_of(pid_t pid);

/** wire_run() - run to the end; its exit code */
int wire_run(const char *const *args, char *buf, size_t len);

/** wire_serve() - start with as many NPUs, and wait until it is ready */
pid_t wire_serve(int *out, const char *npus);

/** wire_finish() - end it, which must go well */
void wire_finish(pid_t pid, int out);

/**
 * struct wire - one NPU
 * @c: connection
 * @hbm: 64 MiB of its HBM
 * @doorbells: of queues 0 to 15
 * @host: memory that it can reach at IOVA
 * @host_fd: the file behind
 * @mb: mailbox, at the beginning of @host
 * @tables: where the next page table goes in HBM
 * @root: page tables of address space 1
 * @seq: of commands
 */
struct wire {
	struct snpu_vfuc *c;
	uint8_t *hbm;
	uint64_t *doorbells;
	uint8_t *host;
	int host_fd;
	struct snpu_admin_mbox *mb;
	uint64_t tables;
	__u64 root;
	uint32_t seq;
};

uint64_t wire_reg_read(struct wire *w, uint64_t off, size_t len);
void wire_reg_write(struct wire *w, uint64_t off, uint64_t v, size_t len);

/** wire_admin() - run the command in the mailbox; SNPU_ADM_S_*, ~0: no answer */
uint32_t wire_admin(struct wire *w, unsigned int op);

/* What wire_dial() connects with, NULL: the defaults */
extern const struct snpu_vfuc_cfg *wire_client;

/** wire_dial() - connect; whether it worked */
bool wire_dial(struct wire *w, unsigned int npu);

void wire_hang_up(struct wire *w);

/**
 * wire_queue() - address space 1, and queue 0 with a ring of 256 packets
 *
 * 2 MiB of HBM are at VA, 2 MiB of @host from 2 MiB on at VA + 4 MiB, the ring, 1 MiB into @host,
 * at VA + 8 MiB. The completion record is 4 KiB into @host.
 */
volatile struct snpu_cpl *wire_queue(struct wire *w);

/** wire_ring() - ring queue 0, and wake the device if it asks for that */
void wire_ring(struct wire *w, volatile struct snpu_cpl *cpl, uint64_t head);

/** wire_map() - map @leaf into address space 1 */
void wire_map(struct wire *w, uint64_t va, uint64_t bytes, uint64_t leaf);

#endif
