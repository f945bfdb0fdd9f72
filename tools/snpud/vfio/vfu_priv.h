/* SPDX-License-Identifier: MIT */
/*
 * Inside of the vfio-user server.
 *
 * Locks of a device, none taken within another except where said: @lock (who is connected; the
 * server's lock may be held), the DMA table's (its writer), @irq_lock, @tx_lock (one
 * message at a time onto the socket; held while it is sent, which is limited in time), @dma_lock
 * (messages to the client that wait for a reply). No callback runs under any of them.
 */
#ifndef SNPU_VFU_PRIV_H
#define SNPU_VFU_PRIV_H

#include <pthread.h>
#include <sys/types.h>

#include "vfu_caps.h"
#include "vfu_io.h"
#include "vfu_mem.h"
#include "vfu_server.h"
#include "vfu_sigbus.h"
#include "vfu_table.h"

#define VFU_DEF_TIMEOUT_MS	2000u
#define VFU_DEF_MESSAGE_MS	5000u
#define VFU_DEF_MAPS		(1u << 20)
#define VFU_DEF_FILES		64u
#define VFU_DEF_BYTES		(1ull << 44)
#define VFU_LOG_LIMIT		16u

/* What a command handler returns to have the connection closed; it has logged why */
#define VFU_CLOSE		1

/**
 * struct vfu_msi - interrupt message of one vector, under @msi_lock
 * @addr: DMA address that @data is written to
 * @due: to be sent
 * @sent: under way; the client has not replied yet
 */
struct vfu_msi {
	uint64_t addr;
	uint32_t data;
	bool due;
	bool sent;
};

/* Message ids of interrupts, by vector; other messages to the client have lower ones */
#define VFU_MSI_ID		(0x10000u - SNPU_VFU_MAX_VECTORS)

/* A message to the client that waits for its reply, on the stack of who waits */
struct vfu_dma_req {
	struct vfu_dma_req *next;
	uint64_t iova;
	void *buf;
	uint32_t count;
	uint16_t id;
	uint16_t cmd;
	bool done;
	int status;
};

struct vfu_buf {
	uint8_t *p;
	size_t size;
};

struct snpu_vfu_dev {
	struct snpu_vfu_dev *next;
	struct snpu_vfu_server *srv;
	char *name;
	char *path;
	const struct snpu_vfu_ops *ops;
	void *priv;
	struct snpu_vfu_region regions[SNPU_VFU_REGIONS];
	struct snpu_vfu_area areas[SNPU_VFU_REGIONS][SNPU_VFU_MAX_AREAS];
	unsigned int nr_vectors;
	bool req_irq;

	int listen;
	unsigned int refused;	/* clients since the last one that was not; accepting thread only */
	dev_t sock_dev;
	ino_t sock_ino;

	/* @lock */
	pthread_mutex_t lock;
	pthread_t thread;
	bool joinable;
	bool stopping;
	bool closing;		/* the connection is being taken down */
	bool connected;		/* between ->connect and ->disconnect */
	int sock;		/* changes under @tx_lock too */
	int waiting;		/* a client that came while the last one was taken down */

	/* connection thread only */
	struct vfu_buf rx, out;
	struct snpu_vfu_caps peer;
	bool versioned;
	uint64_t version_end;	/* snpu_vfu_now_ms() until which VERSION must be there */
	unsigned int complaints;

	struct vfu_table table;
	struct vfu_mems mems;	/* connection thread only */
	struct vfu_lost lost;

	/* one for each vector, then the request interrupt; @irq_lock */
	pthread_mutex_t irq_lock;
	int *irq_fd;
	bool *irq_pending;

	/* one for each vector; @msi_lock, which may be taken within @tx_lock */
	pthread_mutex_t msi_lock;
	struct vfu_msi *msi;
	bool msi_due;		/* some are due and not under way; read without the lock */

	pthread_mutex_t tx_lock;
	bool tx_open;

	/* @dma_lock */
	pthread_mutex_t dma_lock;
	pthread_cond_t dma_cond;
	struct vfu_dma_req *dma_list;
	unsigned int dma_gate;
	unsigned int dma_late;	/* replies that may still come though nobody waits */
	uint32_t dma_xfer;
	uint16_t dma_id;
};

struct snpu_vfu_server {
	struct snpu_vfu_server_cfg cfg;
	int epoll;
	int stop;
	int spare;		/* given up to refuse a client when no descriptors are left */
	pthread_t thread;
	pthread_mutex_t lock;	/* the list */
	struct snpu_vfu_dev *devs;
	unsigned int pool;	/* mappings that clients have of the pool; atomic */
};

struct vfu_req {
	struct snpu_vfu_hdr hdr;
	const uint8_t *data;
	size_t len;
	struct snpu_vfu_fds fds;
};

struct vfu_reply {
	struct iovec iov[2];
	unsigned int n;
	int fd;
};

#define vfu_log(srv, level, ...)						\
	do {									\
		if ((srv)->cfg.log)						\
			(srv)->cfg.log((srv)->cfg.log_ctx, level, __VA_ARGS__);	\
	} while (0)

/* vfu_conn.c */

/** vfu_conn_start() - thread of a client; @d->lock held, @d->sock set. Return: 0 or -errno */
int vfu_conn_start(struct snpu_vfu_dev *d);

/** vfu_complain() - log what a client did wrong, at most VFU_LOG_LIMIT times a connection */
void vfu_complain(struct snpu_vfu_dev *d, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/** vfu_buf_get() - room for @size bytes; its content is lost. Return: the memory or NULL */
uint8_t *vfu_buf_get(struct vfu_buf *b, size_t size);

/* vfu_cmd.c */

/**
 * vfu_cmd_run() - one command
 * @d: device
 * @q: the command; its descriptors are the caller's to close, those taken over are set to -1
 * @r: the payload of the reply and a descriptor to go with it, of which nothing has to be freed
 *
 * Return: 0, a negative errno for the client, VFU_CLOSE.
 */
int vfu_cmd_run(struct snpu_vfu_dev *d, struct vfu_req *q, struct vfu_reply *r);

const char *vfu_cmd_name(unsigned int cmd);

/* vfu_region.c */

int vfu_cmd_region_info(struct snpu_vfu_dev *d, struct vfu_req *q, struct vfu_reply *r);
int vfu_cmd_region_read(struct snpu_vfu_dev *d, struct vfu_req *q, struct vfu_reply *r);
int vfu_cmd_region_write(struct snpu_vfu_dev *d, struct vfu_req *q, struct vfu_reply *r);
int vfu_cmd_region_write_multi(struct snpu_vfu_dev *d, struct vfu_req *q, struct vfu_reply *r);

/**
 * vfu_region_check() - is @rg a region that can be served. Return: NULL or what is wrong with it
 */
const char *vfu_region_check(const struct snpu_vfu_region *rg);

/* vfu_map.c */

int vfu_maps_init(struct snpu_vfu_dev *d);
void vfu_maps_free(struct snpu_vfu_dev *d);

int vfu_cmd_dma_map(struct snpu_vfu_dev *d, struct vfu_req *q, struct vfu_reply *r);
int vfu_cmd_dma_unmap(struct snpu_vfu_dev *d, struct vfu_req *q, struct vfu_reply *r);

/**
 * vfu_maps_drop() - take all regions out of the table
 * @d: device
 * @quiesce: called between the table and munmap(); receives @d->priv
 */
void vfu_maps_drop(struct snpu_vfu_dev *d, void (*quiesce)(struct snpu_vfu_dev *d));

/* vfu_dma.c */

int vfu_dma_init(struct snpu_vfu_dev *d);
void vfu_dma_fini(struct snpu_vfu_dev *d);

/** vfu_dma_gate() - @shut: end all messages to the client, let none start; else: let them again */
void vfu_dma_gate(struct snpu_vfu_dev *d, bool shut);

/** vfu_dma_begin() - a new client, that takes @xfer bytes in a message */
void vfu_dma_begin(struct snpu_vfu_dev *d, uint64_t xfer);

/** vfu_dma_reply() - a reply came in. Return: 0 or VFU_CLOSE */
int vfu_dma_reply(struct snpu_vfu_dev *d, const struct vfu_req *q);

/* vfu_irq.c */

int vfu_irq_init(struct snpu_vfu_dev *d);
void vfu_irq_fini(struct snpu_vfu_dev *d);
/** vfu_irq_clear() - forget what is pending, and with @fds the eventfds too */
void vfu_irq_clear(struct snpu_vfu_dev *d, bool fds);
int vfu_cmd_irq_info(struct snpu_vfu_dev *d, struct vfu_req *q, struct vfu_reply *r);
int vfu_cmd_set_irqs(struct snpu_vfu_dev *d, struct vfu_req *q, struct vfu_reply *r);

/* vfu_msi.c */

int vfu_msi_init(struct snpu_vfu_dev *d);
void vfu_msi_fini(struct snpu_vfu_dev *d);

/** vfu_msi_clear() - forget what is due; @gone: and what is under way, as the client is gone */
void vfu_msi_clear(struct snpu_vfu_dev *d, bool gone);

/** vfu_msi_flush() - send what is due, if no other thread has the socket. Does not block */
void vfu_msi_flush(struct snpu_vfu_dev *d);

/** vfu_msi_reply() - a reply with an id of VFU_MSI_ID or more came in. Return: 0 or VFU_CLOSE */
int vfu_msi_reply(struct snpu_vfu_dev *d, const struct vfu_req *q);

#endif
