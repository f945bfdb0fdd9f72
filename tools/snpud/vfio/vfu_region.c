// SPDX-License-Identifier: MIT
/*
 * Regions: what there is, and accesses that come as messages.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vfu_priv.h"

const char *vfu_region_check(const struct snpu_vfu_region *rg)
{
	const uint32_t known = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE |
			       VFIO_REGION_INFO_FLAG_MMAP;
	struct snpu_vfu_area all = { .size = rg->size };
	const struct snpu_vfu_area *a = rg->areas ? rg->areas : &all;
	unsigned int i, n = rg->areas ? rg->nr_areas : 1;
	uint64_t end = 0;
	struct stat st;

	if (rg->flags & ~known)
		return "unknown flags";
	if (rg->size > INT64_MAX)
		return "too large";
	if (!(rg->flags & VFIO_REGION_INFO_FLAG_MMAP))
		return NULL;
	if (fstat(rg->fd, &st))
		return "to be mapped, but has no descriptor";
	if (!n || n > SNPU_VFU_MAX_AREAS)
		return "1..16 areas are allowed";
	for (i = 0; i < n; i++) {
		uint64_t at = rg->fd_offset + a[i].offset;

		if (!a[i].size || a[i].offset % SNPU_VFU_PAGE || a[i].size % SNPU_VFU_PAGE ||
		    at % SNPU_VFU_PAGE)
			return "an area is empty or not page aligned";
		if (a[i].offset < end || a[i].offset > rg->size ||
		    a[i].size > rg->size - a[i].offset)
			return "areas are not ascending, or not within the region";
		if (at > (uint64_t)st.st_size || a[i].size > (uint64_t)st.st_size - at)
			return "an area is not within the file";
		end = a[i].offset + a[i].size;
	}
	return NULL;
}

int vfu_cmd_region_info(struct snpu_vfu_dev *d, struct vfu_req *q, struct vfu_reply *r)
{
	struct snpu_vfu_region_info in, info;
	const struct snpu_vfu_region *rg;
	size_t len = sizeof(info), caps = 0;
	uint8_t *out;

	memcpy(&in, q->data, sizeof(in));
	if (in.argsz < sizeof(in) || in.index >= SNPU_VFU_REGIONS) {
		vfu_complain(d,
			     "GET_REGION_INFO: argsz %u, allowed from %zu; index %u, allowed 0..%d",
			     in.argsz, sizeof(in), in.index, SNPU_VFU_REGIONS - 1);
		return -EINVAL;
	}
	rg = &d->regions[in.index];
	info = (struct snpu_vfu_region_info){
		.index = in.index,
		.size = rg->size,
		.flags = rg->size ? rg->flags : 0,
	};
	if (info.flags & VFIO_REGION_INFO_FLAG_MMAP) {
		info.offset = rg->fd_offset;
		r->fd = rg->fd;
		if (rg->nr_areas > 1 || rg->areas[0].size != rg->size) {
			info.flags |= VFIO_REGION_INFO_FLAG_CAPS;
			/* set even if they do not fit: QEMU rejects the flag with no offset */
			info.cap_offset = sizeof(info);
			caps = sizeof(struct snpu_vfu_sparse_hdr) +
			       rg->nr_areas * sizeof(struct snpu_vfu_area);
		}
	}
	info.argsz = (uint32_t)(len + caps);
	/* too little room: the client sees in argsz how much it needs, and asks again */
	if (in.argsz >= info.argsz)
		len += caps;
	out = vfu_buf_get(&d->out, len);
	if (!out)
		return -ENOMEM;
	memcpy(out, &info, sizeof(info));
	if (len > sizeof(info)) {
		struct snpu_vfu_sparse_hdr sp = {
			.id = VFIO_REGION_INFO_CAP_SPARSE_MMAP,
			.version = 1,
			.nr_areas = rg->nr_areas,
		};

		memcpy(out + sizeof(info), &sp, sizeof(sp));
		memcpy(out + sizeof(info) + sizeof(sp), rg->areas,
		       rg->nr_areas * sizeof(*rg->areas));
	}
	r->iov[0] = (struct iovec){ .iov_base = out, .iov_len = len };
	r->n = 1;
	return 0;
}

/* Is all of it in memory that the client could map? Then where in the file */
static bool in_area(const struct snpu_vfu_region *rg, uint64_t off, size_t len, uint64_t *at)
{
	unsigned int i;

	if (!(rg->flags & VFIO_REGION_INFO_FLAG_MMAP))
		return false;
	for (i = 0; i < rg->nr_areas; i++) {
		const struct snpu_vfu_area *a = &rg->areas[i];

		if (off >= a->offset && off - a->offset <= a->size &&
		    len <= a->size - (off - a->offset)) {
			*at = rg->fd_offset + off;
			return true;
		}
	}
	return false;
}

static int file_rw(int fd, uint64_t at, void *buf, size_t len, bool write)
{
	uint8_t *b = buf;

	while (len) {
		ssize_t k = write ? pwrite(fd, b, len, (off_t)at) : pread(fd, b, len, (off_t)at);

		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return k ? -errno : -EIO;
		b += k;
		at += (uint64_t)k;
		len -= (size_t)k;
	}
	return 0;
}

/* Return: 0; 1: it is memory, at *@at; -EINVAL */
static int check_access(struct snpu_vfu_dev *d, const struct snpu_vfu_region_rw *a, bool write,
			uint64_t *at)
{
	const char *op = write ? "write" : "read";
	const struct snpu_vfu_region *rg;
	uint32_t need = write ? VFIO_REGION_INFO_FLAG_WRITE : VFIO_REGION_INFO_FLAG_READ;

	if (a->region >= SNPU_VFU_REGIONS) {
		vfu_complain(d, "%s of region %u, allowed 0..%d", op, a->region,
			     SNPU_VFU_REGIONS - 1);
		return -EINVAL;
	}
	rg = &d->regions[a->region];
	if (!rg->size || !(rg->flags & need)) {
		vfu_complain(d, "%s of region %u, which allows none", op, a->region);
		return -EINVAL;
	}
	if (!a->count || a->count > SNPU_VFU_MAX_XFER || a->offset > rg->size ||
	    a->count > rg->size - a->offset) {
		vfu_complain(d, "%s of region %u: offset %#llx, %u bytes; "
			     "it has %#llx bytes, at most %u at a time",
			     op, a->region, (unsigned long long)a->offset, a->count,
			     (unsigned long long)rg->size, SNPU_VFU_MAX_XFER);
		return -EINVAL;
	}
	if (in_area(rg, a->offset, a->count, at))
		return 1;
	if (a->region == VFIO_PCI_CONFIG_REGION_INDEX)
		return 0;
	if (a->count > 8 || (a->count & (a->count - 1)) || a->offset % a->count) {
		vfu_complain(d, "%s of region %u: offset %#llx, %u bytes; "
			     "allowed 1, 2, 4 or 8, naturally aligned",
			     op, a->region, (unsigned long long)a->offset, a->count);
		return -EINVAL;
	}
	return 0;
}

static int do_write(struct snpu_vfu_dev *d, const struct snpu_vfu_region_rw *a, const void *data)
{
	uint64_t at;
	int ret = check_access(d, a, true, &at);

	if (ret < 0)
		return ret;
	if (ret)
		return file_rw(d->regions[a->region].fd, at, (void *)data, a->count, true);
	return d->ops->region_write(d->priv, a->region, a->offset, data, a->count);
}

int vfu_cmd_region_read(struct snpu_vfu_dev *d, struct vfu_req *q, struct vfu_reply *r)
{
	struct snpu_vfu_region_rw a;
	uint8_t *out;
	uint64_t at;
	int ret;

	memcpy(&a, q->data, sizeof(a));
	ret = check_access(d, &a, false, &at);
	if (ret < 0)
		return ret;
	out = vfu_buf_get(&d->out, sizeof(a) + a.count);
	if (!out)
		return -ENOMEM;
	if (ret) {
		ret = file_rw(d->regions[a.region].fd, at, out + sizeof(a), a.count, false);
	} else {
		/* nothing of an earlier message may show if the device fills in too little */
		memset(out + sizeof(a), 0, a.count);
		ret = d->ops->region_read(d->priv, a.region, a.offset, out + sizeof(a), a.count);
	}
	if (ret)
		return ret;
	memcpy(out, &a, sizeof(a));
	r->iov[0] = (struct iovec){ .iov_base = out, .iov_len = sizeof(a) + a.count };
	r->n = 1;
	return 0;
}

int vfu_cmd_region_write(struct snpu_vfu_dev *d, struct vfu_req *q, struct vfu_reply *r)
{
	struct snpu_vfu_region_rw a;
	int ret;

	memcpy(&a, q->data, sizeof(a));
	if (a.count != q->len - sizeof(a)) {
		vfu_complain(d, "REGION_WRITE: count %u, but %zu bytes of data", a.count,
			     q->len - sizeof(a));
		return -EINVAL;
	}
	ret = do_write(d, &a, q->data + sizeof(a));
	if (ret)
		return ret;
	r->iov[0] = (struct iovec){ .iov_base = (void *)q->data, .iov_len = sizeof(a) };
	r->n = 1;
	return 0;
}

int vfu_cmd_region_write_multi(struct snpu_vfu_dev *d, struct vfu_req *q, struct vfu_reply *r)
{
	const uint8_t *p = q->data + sizeof(uint64_t);
	uint64_t i, n;

	memcpy(&n, q->data, sizeof(n));
	if (n != (q->len - sizeof(n)) / sizeof(struct snpu_vfu_write_one) ||
	    (q->len - sizeof(n)) % sizeof(struct snpu_vfu_write_one)) {
		vfu_complain(d, "REGION_WRITE_MULTI: %llu writes, but %zu bytes of %zu each",
			     (unsigned long long)n, q->len - sizeof(n),
			     sizeof(struct snpu_vfu_write_one));
		return -EINVAL;
	}
	for (i = 0; i < n; i++) {
		struct snpu_vfu_region_rw a;
		struct snpu_vfu_write_one w;
		int ret;

		memcpy(&w, p + i * sizeof(w), sizeof(w));
		a = (struct snpu_vfu_region_rw){ w.offset, w.region, w.count };
		if (w.count > sizeof(w.data)) {
			vfu_complain(d, "REGION_WRITE_MULTI: write %llu of %u bytes, allowed 1..8",
				     (unsigned long long)i, w.count);
			return -EINVAL;
		}
		ret = do_write(d, &a, w.data);
		if (ret)
			return ret;
	}
	r->iov[0] = (struct iovec){ .iov_base = (void *)q->data, .iov_len = sizeof(n) };
	r->n = 1;
	return 0;
}
