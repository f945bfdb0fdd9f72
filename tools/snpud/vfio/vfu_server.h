/* SPDX-License-Identifier: MIT */
/*
 * vfio-user server: serves PCI functions on UNIX sockets. Knows nothing of the device behind.
 *
 *	srv = snpu_vfu_server_create(&cfg)		one thread, accepts for all devices
 *	dev = snpu_vfu_dev_create(srv, &dev_cfg)	one socket, mode 0600
 *	...
 *	snpu_vfu_server_destroy(srv)			and all its devices
 *
 * A client that connects gets a thread of its own, in which all callbacks of its device run, one at
 * a time: connect, then any of the others, then disconnect; then the next client may come. A second
 * client of one device is refused. A device with no client costs a socket and no thread.
 *
 * What may be called from any thread (the workers of the device): snpu_vfu_dma_translate(),
 * snpu_vfu_dma_lost(), snpu_vfu_dma_read(), snpu_vfu_dma_write(), the snpu_vfu_msg_ ones,
 * snpu_vfu_irq_trigger(), snpu_vfu_msi_send(), snpu_vfu_req_trigger(), snpu_vfu_dev_drop(),
 * snpu_vfu_dev_connected(). They may be called with no client there.
 *
 * Memory of the client. A region that came with a descriptor is mapped here, and a pointer that
 * snpu_vfu_dma_translate() gave stays good until the next ->dma_unmap, ->disconnect or ->connect
 * callback returns: those callbacks come after the region is out of the table and before munmap(),
 * so the device must see in them that no thread uses an older translation.
 * A region without a descriptor is reached by messages to the client, which block. While
 * ->dma_unmap, ->reset and ->disconnect run, all such messages end at once with -EAGAIN, and so do
 * new ones: the usual client answers none before it has the reply to its own request, so a worker
 * that waited would hold up the device that waits for the worker.
 */
#ifndef SNPU_VFU_SERVER_H
#define SNPU_VFU_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vfu_proto.h"

struct snpu_vfu_server;
struct snpu_vfu_dev;

enum snpu_vfu_log_level {
	SNPU_VFU_LOG_ERR,
	SNPU_VFU_LOG_WARN,
	SNPU_VFU_LOG_INFO,
	SNPU_VFU_LOG_DEBUG,
};

/** snpu_vfu_log_fn - one line, without newline; called from any thread */
typedef void (*snpu_vfu_log_fn)(void *ctx, int level, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/**
 * struct snpu_vfu_ops - the device, as the transport sees it
 * @connect: a client is there and the version is agreed. 0, or a negative errno to send it away
 * @region_read: read of a part that cannot be mapped. The region is readable, @off and @len are
 *	within it; in a BAR @len is 1, 2, 4 or 8 and @off a multiple of it; in config space
 *	anything. 0 or a negative errno, which the client gets
 * @region_write: likewise
 * @dma_map: optional. [@iova, @iova + @size) can be used from now on
 * @dma_unmap: the range is out of the table, with all regions and parts of regions in it; no thread
 *	may use a translation of it on return. @iova and @size 0: all there was
 * @dma_lost: optional. A thread has touched memory that the client has taken away, see
 *	snpu_vfu_dma_lost(). Called in that thread and as part of a signal handler: atomic
 *	operations only
 * @reset: function reset
 * @disconnect: the client is gone and the table empty; as @dma_unmap for everything. Comes once for
 *	each @connect that returned 0
 */
struct snpu_vfu_ops {
	int (*connect)(void *priv);
	int (*region_read)(void *priv, unsigned int region, uint64_t off, void *buf, size_t len);
	int (*region_write)(void *priv, unsigned int region, uint64_t off, const void *buf,
			    size_t len);
	void (*dma_map)(void *priv, uint64_t iova, uint64_t size);
	void (*dma_unmap)(void *priv, uint64_t iova, uint64_t size);
	void (*dma_lost)(void *priv);
	int (*reset)(void *priv);
	void (*disconnect)(void *priv);
};

#define SNPU_VFU_REGIONS	VFIO_PCI_NUM_REGIONS	/* BAR0..5, ROM, config space, VGA */
#define SNPU_VFU_IRQS		VFIO_PCI_NUM_IRQS
#define SNPU_VFU_MAX_AREAS	16u
#define SNPU_VFU_MAX_VECTORS	2048u

/**
 * struct snpu_vfu_region - one region of the device
 * @size: bytes, 0 for one that is not there
 * @flags: VFIO_REGION_INFO_FLAG_READ, _WRITE, _MMAP
 * @fd: with _MMAP: memory that the client maps; a copy is kept, so it may be closed after create.
 *	Accesses to it that come as messages are done on the descriptor, without a callback
 * @fd_offset: where byte 0 of the region would be in @fd, modulo 2^64: with one area at offset A
 *	that lies at 0 in @fd, it is -A
 * @areas: the parts that can be mapped, page aligned, ascending; NULL: all of it
 * @nr_areas: how many, at most SNPU_VFU_MAX_AREAS
 */
struct snpu_vfu_region {
	uint64_t size;
	uint32_t flags;
	int fd;
	uint64_t fd_offset;
	const struct snpu_vfu_area *areas;
	unsigned int nr_areas;
};

/**
 * struct snpu_vfu_server_cfg - limits, for all devices
 * @log: receives lines, or NULL
 * @log_ctx: its first argument
 * @dma_timeout_ms: longest wait for a reply of the client, 0: 2000. Stay well below the 5000 ms
 *	after which QEMU gives up on a server
 * @message_timeout_ms: a message of the client must be complete so long after its first byte, and
 *	VERSION so long after it connected, 0: 5000
 * @max_dma_maps: DMA regions of one client at a time, 0: 1048576. A client that names its own limit
 *	gets that one if it is lower
 * @dma_files: mappings of files that each client can have, 0: 64. Regions of one file have one in
 *	common, or a few; each can take two of the process's mappings, of which the kernel allows
 *	vm.max_map_count
 * @dma_file_pool: how many more all clients together can have
 * @max_dma_bytes: bytes of files that one client can have mapped, 0: 16 TiB
 */
struct snpu_vfu_server_cfg {
	snpu_vfu_log_fn log;
	void *log_ctx;
	unsigned int dma_timeout_ms;
	unsigned int message_timeout_ms;
	unsigned int max_dma_maps;
	unsigned int dma_files;
	unsigned int dma_file_pool;
	uint64_t max_dma_bytes;
};

/**
 * struct snpu_vfu_dev_cfg - one device
 * @path: of its socket
 * @name: for the log
 * @ops: callbacks; must outlive the device
 * @priv: their first argument
 * @regions: by VFIO_PCI_*_REGION_INDEX
 * @nr_vectors: MSI-X vectors
 * @req_irq: offer VFIO_PCI_REQ_IRQ_INDEX, by which the device asks to be let go
 */
struct snpu_vfu_dev_cfg {
	const char *path;
	const char *name;
	const struct snpu_vfu_ops *ops;
	void *priv;
	struct snpu_vfu_region regions[SNPU_VFU_REGIONS];
	unsigned int nr_vectors;
	bool req_irq;
};

/**
 * snpu_vfu_server_create() - start a server without devices
 * @cfg: copied
 * @out: the server
 *
 * Return: 0 or a negative errno.
 */
int snpu_vfu_server_create(const struct snpu_vfu_server_cfg *cfg, struct snpu_vfu_server **out);

/**
 * snpu_vfu_server_destroy() - disconnect all clients, remove all sockets, free
 * @s: server or NULL
 *
 * Not from a callback. The ->disconnect callbacks run before it returns.
 */
void snpu_vfu_server_destroy(struct snpu_vfu_server *s);

/**
 * snpu_vfu_dev_create() - begin to serve a device
 * @s: server
 * @cfg: copied, with what its pointers lead to, @ops and @priv excepted
 * @out: the device; set before the first callback
 *
 * A socket that nobody listens on is replaced; anything else at the path is left alone.
 *
 * Return: 0; -ENAMETOOLONG: path of more than 107 bytes; -EADDRINUSE: somebody serves there;
 * -EEXIST: what is there is no socket; -EINVAL: the configuration makes no sense (logged); another
 * negative errno.
 */
int snpu_vfu_dev_create(struct snpu_vfu_server *s, const struct snpu_vfu_dev_cfg *cfg,
			struct snpu_vfu_dev **out);

/**
 * snpu_vfu_dev_destroy() - disconnect its client, remove its socket, free
 * @d: device
 *
 * No thread may be in, or come to, a function on @d after the ->disconnect callback. Not from a
 * callback.
 */
void snpu_vfu_dev_destroy(struct snpu_vfu_dev *d);

/** snpu_vfu_dev_drop() - send the client away, as if it had gone; does not wait */
void snpu_vfu_dev_drop(struct snpu_vfu_dev *d);

/** snpu_vfu_dev_connected() - a client is there and the version agreed */
bool snpu_vfu_dev_connected(struct snpu_vfu_dev *d);

/**
 * snpu_vfu_dma_translate() - find memory of the client
 * @d: device
 * @iova: DMA address
 * @write: for writing
 * @host: where it is mapped here
 * @run: bytes from there on that are contiguous
 *
 * Takes no lock. Context: any, does not block.
 *
 * Return: 0; -EOPNOTSUPP: only snpu_vfu_dma_read() and snpu_vfu_dma_write() reach it, *@run bytes
 * of it; -EFAULT: nothing there, or not with this access.
 */
int snpu_vfu_dma_translate(struct snpu_vfu_dev *d, uint64_t iova, bool write, void **host,
			   uint64_t *run);

/**
 * snpu_vfu_dma_lost() - has the client taken away memory that was used?
 * @d: device
 * @host: from snpu_vfu_dma_translate()
 * @len: bytes
 *
 * A client can shrink the file behind its memory at any time. An access to what is gone ends, but
 * reads zero, or writes nothing; snpu_vfu_dma_translate() does not find the memory from then on. A
 * thread that asks after its access knows whether the access counts. ->dma_lost tells when it is
 * worth asking.
 *
 * Takes no lock. Context: any, does not block.
 */
bool snpu_vfu_dma_lost(struct snpu_vfu_dev *d, const void *host, uint64_t len);

/**
 * snpu_vfu_dma_read() - copy from memory of the client
 * @d: device
 * @iova: DMA address
 * @buf: receives the data
 * @len: bytes; may span regions
 *
 * Context: a thread that the ->dma_unmap callback waits for. Blocks where the memory has no
 * descriptor.
 *
 * Return: 0; -EFAULT: nothing there, or the client has taken it away; -EAGAIN: the device is being
 * reset, unmapped or disconnected; -ETIMEDOUT: the client did not answer; -ENOTCONN; the error that
 * the client gave. Part of it may be copied.
 */
int snpu_vfu_dma_read(struct snpu_vfu_dev *d, uint64_t iova, void *buf, size_t len);

/** snpu_vfu_dma_write() - copy to memory of the client; see snpu_vfu_dma_read() */
int snpu_vfu_dma_write(struct snpu_vfu_dev *d, uint64_t iova, const void *buf, size_t len);

/**
 * snpu_vfu_msg_read() - copy from memory of the client that has no descriptor
 * @d: device
 * @iova: DMA address
 * @buf: receives the data
 * @len: bytes; may span regions
 *
 * As snpu_vfu_dma_read(), but touches no mapping: the ->dma_unmap callback need not wait for it.
 *
 * Return: as snpu_vfu_dma_read(); -EAGAIN also where there is a descriptor now, and after
 * snpu_vfu_msg_cancel().
 */
int snpu_vfu_msg_read(struct snpu_vfu_dev *d, uint64_t iova, void *buf, size_t len);

/** snpu_vfu_msg_write() - copy to memory that has no descriptor; see snpu_vfu_msg_read() */
int snpu_vfu_msg_write(struct snpu_vfu_dev *d, uint64_t iova, const void *buf, size_t len);

/** snpu_vfu_msg_cancel() - end the messages under way with -EAGAIN; does not wait */
void snpu_vfu_msg_cancel(struct snpu_vfu_dev *d);

/**
 * snpu_vfu_irq_trigger() - raise an MSI-X vector
 * @d: device
 * @vector: its number
 *
 * A vector that the client has given no eventfd for yet is kept pending and raised when it does; a
 * reset, or the client disabling MSI-X, forgets it. Context: any, does not block.
 *
 * Return: 0; 1 if it is pending; -EINVAL: no such vector.
 */
int snpu_vfu_irq_trigger(struct snpu_vfu_dev *d, unsigned int vector);

/**
 * snpu_vfu_msi_send() - have the client carry out an MSI, as a write to its memory
 * @d: device
 * @vector: its number, less than the device has
 * @addr: DMA address that the message goes to
 * @data: the message
 *
 * For a client that gives no eventfds. While a message of a vector is under way, further ones of it
 * become one. A reset forgets what was not sent. Context: any, does not block.
 */
void snpu_vfu_msi_send(struct snpu_vfu_dev *d, unsigned int vector, uint64_t addr, uint32_t data);

/** snpu_vfu_req_trigger() - ask the client to let go of the device. As snpu_vfu_irq_trigger() */
int snpu_vfu_req_trigger(struct snpu_vfu_dev *d);

#endif
