/* SPDX-License-Identifier: MIT */
/*
 * A small PCI device behind the server, and a client that can say anything.
 *
 * BAR0 (2 MiB): trapped but for the memory at TOY_DB; BAR2 (16 MiB): memory; BAR4: MSI-X.
 */
#ifndef SNPU_VFU_TOY_H
#define SNPU_VFU_TOY_H

#include <pthread.h>
#include <stdbool.h>

#include "vfu_io.h"
#include "vfu_server.h"

#define TOY_BAR0	0x200000u
#define TOY_DB		0x100000u
#define TOY_DB_SIZE	0x10000u
#define TOY_BAR2	0x1000000u
#define TOY_VECTORS	17u

#define TOY_SCRATCH	0x00u		/* keeps what is written */
#define TOY_ID		0x08u		/* reads as TOY_ID_VALUE */
#define TOY_IRQ		0x10u		/* a write raises that vector */
#define TOY_EPERM	0x18u		/* fails */
#define TOY_ID_VALUE	0x59544f59u

struct toy {
	struct snpu_vfu_dev *dev;
	char path[96];
	int db, mem;
	uint8_t cfg[4096];
	uint8_t msix[4096];
	uint64_t scratch;
	/* held for reading while memory of the client is used: what ->dma_unmap waits for */
	pthread_rwlock_t use;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	unsigned int connects, disconnects, maps, unmaps, resets;
	unsigned int losses;		/* atomic: ->dma_lost */
	int refuse;			/* what ->connect returns */
};

/* what the server has logged */
struct toy_log {
	pthread_mutex_t lock;
	unsigned int lines;
	char last[256];
};

extern struct toy_log toy_log;

/** toy_server() - a server that logs into toy_log */
struct snpu_vfu_server *toy_server(unsigned int timeout_ms, unsigned int max_maps);

/** toy_server_cfg() - likewise, with these limits */
struct snpu_vfu_server *toy_server_cfg(struct snpu_vfu_server_cfg cfg);

/** toy_lines() - how many lines the server has logged */
unsigned int toy_lines(void);

/** toy_said() - whether the last line has @what in it */
bool toy_said(const char *what);

/** toy_count() - a counter of a toy, as it is now */
unsigned int toy_count(struct toy *t, const unsigned int *counter);

/** toy_dir() - a directory of this process for sockets; removed at exit if empty */
const char *toy_dir(void);

/** toy_add() - serve a toy at NAME in toy_dir(); 0 or a negative errno */
int toy_add(struct snpu_vfu_server *s, struct toy *t, const char *name);

/** toy_free() - after its device is destroyed */
void toy_free(struct toy *t);

/** toy_wait() - wait until *@counter is at least @n, at most 10 s; whether it is */
bool toy_wait(struct toy *t, const unsigned int *counter, unsigned int n);

/** toy_fds() - descriptors that this process has open */
unsigned int toy_fds(void);

/** toy_mappings() - mappings that this process has */
unsigned int toy_mappings(void);
/* Mappings that malloc(), threads and sanitizers may add meanwhile; a leak here is larger */
#define TOY_MAPPINGS_SLACK	50u

/** toy_memfd() - a file of memory; it can be sealed */
int toy_memfd(uint64_t size);

/* ---- a client without scruples ---- */

#define RAW_CLOSED	(-1000)	/* the server has hung up */
#define RAW_SILENT	(-1001)	/* no answer in time */

int raw_connect(const char *path);

/** raw_send() - a message whose header says what @size says; 0: what is true */
int raw_send(int fd, uint16_t id, uint16_t cmd, uint32_t flags, uint32_t size, const void *data,
	     size_t len, const int *fds, unsigned int nfds);

/** raw_recv() - a message; length of its payload, at most @max kept, RAW_CLOSED, RAW_SILENT */
int raw_recv(int fd, struct snpu_vfu_hdr *h, void *data, size_t max, int *got_fd);

/**
 * raw_call() - command and reply; 0 or more: payload of the reply; else RAW_* or the error given
 */
int raw_call(int fd, uint16_t cmd, const void *data, size_t len, const int *fds,
	     unsigned int nfds, void *out, size_t max, int *got_fd);

/** raw_hello() - connect and agree on the version */
int raw_hello(const char *path);

/** raw_gone() - whether the server has closed or closes within 10 s */
bool raw_gone(int fd);

#endif
