// SPDX-License-Identifier: MIT
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "vfu_mem.h"
#include "vfu_priv.h"

/* A part of a file that is too large to be mapped whole begins and ends at multiples of this */
#define PART	(2ull << 20)

/* What map_part() needs to know of a file */
struct file {
	int fd;
	dev_t dev;
	ino_t ino;
	uint64_t size;
	uint64_t page;
	bool huge;
	bool write;
};

static struct vfu_mem **bucket(struct snpu_vfu_dev *d, dev_t dev, ino_t ino)
{
	return &d->mems.bucket[(dev ^ ino ^ ino >> 8) % VFU_MEM_BUCKETS];
}

/*
 * A page fault in memory of a client must end, whatever the client does meanwhile. In tmpfs, which
 * memfds are of, and hugetlbfs it does; in a file system whose server does not answer, it never
 * may.
 */
static int check_file(struct snpu_vfu_dev *d, struct file *f, bool write)
{
	struct statfs fs;
	struct stat st;
	int mode;

	mode = fcntl(f->fd, F_GETFL);
	if (mode < 0 || fstat(f->fd, &st) || fstatfs(f->fd, &fs))
		return -errno;
	if (!S_ISREG(st.st_mode)) {
		vfu_complain(d, "DMA_MAP: the descriptor is not a file of memory (mode %#o)",
			     st.st_mode);
		return -EINVAL;
	}
	if (fs.f_type != TMPFS_MAGIC && fs.f_type != HUGETLBFS_MAGIC) {
		vfu_complain(d, "DMA_MAP: the file is on a file system of type %#lx, where a page "
			     "fault may never end; allowed: memfd, tmpfs (/dev/shm), hugetlbfs",
			     (unsigned long)fs.f_type);
		return -EOPNOTSUPP;
	}
	f->write = (mode & O_ACCMODE) == O_RDWR;
	if ((mode & O_ACCMODE) == O_WRONLY || (write && !f->write)) {
		vfu_complain(d, "DMA_MAP: the descriptor is open for %s only",
			     (mode & O_ACCMODE) == O_WRONLY ? "writing" : "reading");
		return -EACCES;
	}
	f->dev = st.st_dev;
	f->ino = st.st_ino;
	f->size = (uint64_t)st.st_size;
	f->huge = fs.f_type == HUGETLBFS_MAGIC;
	f->page = f->huge ? (uint64_t)fs.f_bsize : SNPU_VFU_PAGE;
	return 0;
}

static struct vfu_mem *find(struct snpu_vfu_dev *d, const struct file *f, uint64_t off,
			    uint64_t size, bool write)
{
	struct vfu_mem *m;

	for (m = *bucket(d, f->dev, f->ino); m; m = m->next)
		if (m->dev == f->dev && m->ino == f->ino && (m->write || !write) && off >= m->off &&
		    size <= m->size && off - m->off <= m->size - size &&
		    !snpu_vfu_sigbus_hit(m->guard))
			return m;
	return NULL;
}

static uint64_t round_up(uint64_t v, uint64_t to)
{
	return (v + to - 1) / to * to;
}

/*
 * What to map for [@off, @off + @size): with @try 0 the file with room to grow (behind its end no
 * region can be until it has grown), with 1 the file, with 2 just that part
 */
static void choose(const struct file *f, unsigned int try, uint64_t *off, uint64_t *size)
{
	uint64_t align = f->page > PART ? f->page : PART, all = round_up(f->size, f->page), end;

	if (try < 2) {
		*off = 0;
		*size = all;
		/* hugetlbfs makes a file as long as what is mapped of it */
		if (!try && !f->huge)
			for (*size = f->page; *size < all;)
				*size *= 2;
		return;
	}
	end = round_up(*off + *size, align);
	end = end < all ? end : all;
	*off -= *off % align;
	*size = end - *off;
}

/* Counts a mapping; each client has a number of them for sure, and the rest is whose it is first */
static bool take_one(struct snpu_vfu_dev *d, bool *pooled)
{
	struct snpu_vfu_server *s = d->srv;

	*pooled = d->mems.n >= s->cfg.dma_files;
	if (*pooled && __atomic_add_fetch(&s->pool, 1, __ATOMIC_RELAXED) > s->cfg.dma_file_pool) {
		__atomic_sub_fetch(&s->pool, 1, __ATOMIC_RELAXED);
		return false;
	}
	d->mems.n++;
	return true;
}

static void give_one(struct snpu_vfu_dev *d, bool pooled)
{
	d->mems.n--;
	if (pooled)
		__atomic_sub_fetch(&d->srv->pool, 1, __ATOMIC_RELAXED);
}

static void *map_file(const struct file *f, uint64_t off, uint64_t size, bool need_write,
		      bool *write)
{
	int prot = PROT_READ | (f->write ? PROT_WRITE : 0);
	void *p = mmap(NULL, size, prot, MAP_SHARED | MAP_NORESERVE, f->fd, (off_t)off);

	*write = f->write;
	/* sealed against writing */
	if (p == MAP_FAILED && (errno == EPERM || errno == EACCES) && f->write && !need_write) {
		*write = false;
		p = mmap(NULL, size, PROT_READ, MAP_SHARED | MAP_NORESERVE, f->fd, (off_t)off);
	}
	return p;
}

static int map_part(struct snpu_vfu_dev *d, const struct file *f, uint64_t off, uint64_t size,
		    bool need_write, struct vfu_mem *m)
{
	uint64_t room = d->srv->cfg.max_dma_bytes - d->mems.bytes;
	unsigned int try;
	int err = ENOSPC;
	void *p;

	for (try = 0; try < 3; try++) {
		m->off = off;
		m->size = size;
		choose(f, try, &m->off, &m->size);
		if (m->size > room)
			continue;
		p = map_file(f, m->off, m->size, need_write, &m->write);
		if (p != MAP_FAILED) {
			m->host = p;
			return 0;
		}
		err = errno;
		if (err != ENOMEM)
			break;
	}
	if (err == ENOSPC)
		vfu_complain(d, "DMA_MAP: %#" PRIx64 " bytes of files are mapped, and %#" PRIx64
			     " bytes would exceed the limit of %#" PRIx64,
			     d->mems.bytes, m->size, d->srv->cfg.max_dma_bytes);
	else
		vfu_complain(d, "DMA_MAP: mapping %#" PRIx64 " bytes: %s", m->size, strerror(err));
	return -err;
}

static int map_new(struct snpu_vfu_dev *d, const struct file *f, uint64_t off, uint64_t size,
		   bool write, struct vfu_mem **out)
{
	struct vfu_mem *m, **b = bucket(d, f->dev, f->ino);
	bool pooled;
	int ret;

	if (!take_one(d, &pooled)) {
		vfu_complain(d, "DMA_MAP: %u files are mapped, and the %u of this server that "
			     "clients share are in use", d->mems.n, d->srv->cfg.dma_file_pool);
		return -ENOSPC;
	}
	m = malloc(sizeof(*m));
	ret = m ? map_part(d, f, off, size, write, m) : -ENOMEM;
	if (ret)
		goto fail;
	m->guard = snpu_vfu_sigbus_add(m->host, m->size, f->page, &d->lost);
	if (m->guard < 0) {
		munmap(m->host, m->size);
		ret = -ENOMEM;
		goto fail;
	}
	m->dev = f->dev;
	m->ino = f->ino;
	m->refs = 0;
	m->pooled = pooled;
	m->next = *b;
	*b = m;
	d->mems.bytes += m->size;
	*out = m;
	return 0;
fail:
	free(m);
	give_one(d, pooled);
	return ret;
}

int vfu_mem_get(struct snpu_vfu_dev *d, int fd, uint64_t off, uint64_t size, bool write,
		struct vfu_mem **out)
{
	struct file f = { .fd = fd };
	int ret = check_file(d, &f, write);

	if (ret)
		return ret;
	if (off > f.size || size > f.size - off) {
		vfu_complain(d, "DMA_MAP: offset %#" PRIx64 ", size %#" PRIx64
			     ", but the file has %#" PRIx64 " bytes", off, size, f.size);
		return -EINVAL;
	}
	*out = find(d, &f, off, size, write);
	if (!*out)
		ret = map_new(d, &f, off, size, write, out);
	if (!ret)
		(*out)->refs++;
	return ret;
}

/* Moves a mapping without regions from its bucket to those that are idle */
static void retire(struct snpu_vfu_dev *d, struct vfu_mem **at)
{
	struct vfu_mem *m = *at;

	*at = m->next;
	m->next = d->mems.idle;
	d->mems.idle = m;
}

void vfu_mem_put(struct snpu_vfu_dev *d, struct vfu_mem *m)
{
	struct vfu_mem **pp;

	if (--m->refs)
		return;
	for (pp = bucket(d, m->dev, m->ino); *pp != m; pp = &(*pp)->next)
		;
	retire(d, pp);
}

void vfu_mem_put_all(struct snpu_vfu_dev *d)
{
	unsigned int i;

	for (i = 0; i < VFU_MEM_BUCKETS; i++)
		while (d->mems.bucket[i])
			retire(d, &d->mems.bucket[i]);
}

void vfu_mem_reap(struct snpu_vfu_dev *d)
{
	struct vfu_mem *m;

	while ((m = d->mems.idle)) {
		d->mems.idle = m->next;
		snpu_vfu_sigbus_del(m->guard);
		munmap(m->host, m->size);
		d->mems.bytes -= m->size;
		give_one(d, m->pooled);
		free(m);
	}
}
