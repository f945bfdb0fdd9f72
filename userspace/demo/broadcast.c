// SPDX-License-Identifier: MIT
/*
 * Part 1: a file goes to NPU 0 by DMA and round the ring by peer copies, each NPU takes its CRC,
 * and what comes back from each is compared by SHA-256.
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "demo.h"

#define CHUNK		(1024u * 1024)
#define MAX_FILE	(512ull << 20)

/* struct file - the file and where it goes */
struct file {
	char path[256];
	uint64_t bytes;
	uint64_t chunks;
	struct snpu_mem *host[DEMO_MAX_NPUS];	/* read back to; [0] is also where it comes from */
	struct snpu_mem *hbm[DEMO_MAX_NPUS];
	struct snpu_mem *right[DEMO_MAX_NPUS];	/* @hbm of the right neighbour */
	void *data;
	uint32_t crc;
	unsigned char digest[DEMO_SHA256_BYTES];
};

static bool usable(const char *path)
{
	struct stat st;

	return !stat(path, &st) && S_ISREG(st.st_mode) && st.st_size > 0 && !access(path, R_OK);
}

/* The kernel image if there is one to be had, else this program */
static void choose(char path[256])
{
	static const char *const pattern[] = {
		"/boot/vmlinuz", "/boot/vmlinuz*", "/usr/lib/modules/*/vmlinuz",
	};
	unsigned int i;
	ssize_t len;
	size_t j;
	glob_t g;

	for (i = 0; i < sizeof(pattern) / sizeof(*pattern); i++) {
		if (glob(pattern[i], 0, NULL, &g))
			continue;
		for (j = 0; j < g.gl_pathc; j++) {
			if (!usable(g.gl_pathv[j]) || strlen(g.gl_pathv[j]) > 255)
				continue;
			strcpy(path, g.gl_pathv[j]);
			globfree(&g);
			return;
		}
		globfree(&g);
	}
	len = readlink("/proc/self/exe", path, 255);
	path[len > 0 ? len : 0] = 0;
}

/* Where the CRC of an NPU goes: behind the file, in a cache line of its own */
static uint64_t crc_offset(const struct file *f)
{
	return (f->bytes + 127) / 64 * 64;
}

static int alloc_all(struct demo *d, struct file *f)
{
	unsigned int r;
	uint64_t ns;
	int ret = 0;

	for (r = 0; r < d->n && !ret; r++) {
		ret = demo_alloc(d, r, crc_offset(f) + 64, SNPU_MEM_HBM, &f->hbm[r]);
		if (!ret)
			ret = demo_alloc(d, r, f->bytes + 64, SNPU_MEM_HOST, &f->host[r]);
	}
	for (r = 0; r + 1 < d->n && !ret; r++)
		ret = demo_share(d, r, f->hbm[r + 1], &f->right[r]);
	if (ret)
		return ret;
	demo_begin(d);
	for (r = 0; r < d->n; r++) {
		demo_touch(d, r, snpu_mem_va(f->hbm[r]), snpu_mem_size(f->hbm[r]));
		demo_touch(d, r, snpu_mem_va(f->host[r]), snpu_mem_size(f->host[r]));
	}
	return demo_run(d, &ns);
}

static int read_all(int fd, const char *path, unsigned char *to, uint64_t bytes)
{
	ssize_t got;

	while (bytes) {
		got = read(fd, to, bytes);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0) {
			fprintf(stderr, "snpu-demo: %s: %s\n", path,
				got ? strerror(errno) : "became shorter while it was read");
			return got ? -errno : -EIO;
		}
		to += got;
		bytes -= (uint64_t)got;
	}
	return 0;
}

/* Opens the file, makes room for it everywhere and reads it */
static int load(struct demo *d, struct file *f)
{
	struct stat st;
	int fd, ret;

	if (d->opts.file) {
		if (strlen(d->opts.file) >= sizeof(f->path)) {
			fprintf(stderr, "snpu-demo: --file: a name has at most %zu bytes\n",
				sizeof(f->path) - 1);
			return -ENAMETOOLONG;
		}
		strcpy(f->path, d->opts.file);
	} else {
		choose(f->path);
	}
	fd = open(f->path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st)) {
		ret = -errno;
		fprintf(stderr, "snpu-demo: %s: %s\n", f->path, strerror(errno));
		if (fd >= 0)
			close(fd);
		return ret;
	}
	if (!S_ISREG(st.st_mode) || st.st_size <= 0 || (uint64_t)st.st_size > MAX_FILE) {
		fprintf(stderr, "snpu-demo: %s: not a file of 1 to %llu bytes\n", f->path,
			(unsigned long long)MAX_FILE);
		close(fd);
		return -EINVAL;
	}
	f->bytes = (uint64_t)st.st_size;
	f->chunks = (f->bytes + CHUNK - 1) / CHUNK;
	ret = alloc_all(d, f);
	if (!ret)
		ret = demo_map(f->host[0], &f->data);
	if (!ret)
		ret = read_all(fd, f->path, f->data, f->bytes);
	close(fd);
	if (ret)
		return ret;
	f->crc = demo_crc32c(f->data, f->bytes);
	demo_sha256(f->data, f->bytes, f->digest);
	return 0;
}

/* Chunk by chunk: it comes (by DMA, or from the left), it goes on to the right, and says so */
static int send(struct demo *d, struct file *f, struct demo_row *row)
{
	uint64_t i, at, len, here, signal = 0;
	unsigned int r, good = 0;
	int ret;

	demo_begin(d);
	for (r = 0; r < d->n; r++) {
		here = snpu_mem_va(f->hbm[r]);
		if (r + 1 < d->n) {
			ret = demo_signal_va(d, r, r + 1, &signal);
			if (ret)
				return ret;
		}
		for (i = 0; i < f->chunks; i++) {
			at = i * CHUNK;
			len = f->bytes - at < CHUNK ? f->bytes - at : CHUNK;
			if (!r)
				snpu_prep_copy(demo_pkt(d, r), here + at,
					       snpu_mem_va(f->host[0]) + at, len);
			else
				snpu_prep_wait(demo_pkt(d, r), d->npu[r].arrived_va,
					       d->npu[r].came + i + 1, SNPU_SEM_GE, 0);
			if (r + 1 == d->n)
				continue;
			snpu_prep_copy(demo_pkt(d, r), snpu_mem_va(f->right[r]) + at, here + at,
				       len);
			snpu_prep_signal(demo_pkt(d, r), signal, d->npu[r + 1].came + i + 1,
					 SNPU_SEM_SET);
		}
	}
	for (r = 1; r < d->n; r++)
		d->npu[r].came += f->chunks;
	ret = demo_run(d, &row->ns);
	if (ret)
		return ret;
	for (r = 1; r < d->n; r++)
		good += snpu_event_read(d->npu[r].arrived) == d->npu[r].came;
	row->ok = good == d->n - 1;
	snprintf(row->check, sizeof(row->check), "%" PRIu64 " chunk%s through %u hop%s",
		 f->chunks, f->chunks > 1 ? "s" : "", good, good == 1 ? "" : "s");
	return 0;
}

static int crc_all(struct demo *d, struct file *f, struct demo_row *row)
{
	unsigned int r, good = 0;
	uint32_t crc;
	void *ptr;
	int ret;

	demo_begin(d);
	for (r = 0; r < d->n; r++)
		snpu_prep_crc32c(demo_pkt(d, r), snpu_mem_va(f->hbm[r]) + crc_offset(f),
				 snpu_mem_va(f->hbm[r]), f->bytes, 0);
	ret = demo_run(d, &row->ns);
	for (r = 0; r < d->n && !ret; r++) {
		ret = demo_map(f->hbm[r], &ptr);
		if (ret)
			break;
		memcpy(&crc, (char *)ptr + crc_offset(f), sizeof(crc));
		good += crc == f->crc;
	}
	row->ok = good == d->n;
	snprintf(row->check, sizeof(row->check), "%08x on %u of %u", f->crc, good, d->n);
	return ret;
}

static int read_back(struct demo *d, struct file *f, struct demo_row *row)
{
	unsigned char digest[DEMO_SHA256_BYTES];
	unsigned int r, good = 0;
	void *ptr;
	int ret;

	memset(f->data, 0, f->bytes);	/* the original must not pass for what comes back */
	demo_begin(d);
	for (r = 0; r < d->n; r++)
		snpu_prep_copy(demo_pkt(d, r), snpu_mem_va(f->host[r]), snpu_mem_va(f->hbm[r]),
			       f->bytes);
	ret = demo_run(d, &row->ns);
	for (r = 0; r < d->n && !ret; r++) {
		ret = demo_map(f->host[r], &ptr);
		if (ret)
			break;
		demo_sha256(ptr, f->bytes, digest);
		good += !memcmp(digest, f->digest, sizeof(digest));
	}
	row->ok = good == d->n;
	snprintf(row->check, sizeof(row->check), "SHA-256 equal on %u of %u", good, d->n);
	return ret;
}

/**
 * demo_broadcast - part 1
 * @d: state
 *
 * Return: 0 when it was run, whatever the checks said; or a negative errno, said on stderr
 */
int demo_broadcast(struct demo *d)
{
	static const struct {
		const char *name;
		int (*run)(struct demo *d, struct file *f, struct demo_row *row);
	} step[] = {
		{ "DMA in, ring broadcast", send },
		{ "crc32c on every NPU", crc_all },
		{ "DMA back from every NPU", read_back },
	};
	char hex[2 * DEMO_SHA256_BYTES + 1];
	unsigned int i, mark = d->num_mems;
	struct file f = { 0 };
	int ret;

	demo_report_part("1 broadcast of a file");
	ret = load(d, &f);
	for (i = 0; i < sizeof(step) / sizeof(*step) && !ret; i++) {
		struct demo_row row = {
			.step = step[i].name,
			.bytes = f.bytes * d->n,
			.npus = d->n,
			.unit = "GB/s",
		};

		ret = step[i].run(d, &f, &row);
		if (ret)
			break;
		row.rate = demo_rate(row.bytes, row.ns);
		demo_report_row(&row);
	}
	if (!ret) {
		for (i = 0; i < DEMO_SHA256_BYTES; i++)
			snprintf(hex + 2 * i, 3, "%02x", f.digest[i]);
		demo_report_file(f.path, f.bytes, hex);
	}
	demo_release(d, mark);
	return ret;
}
