// SPDX-License-Identifier: MIT
/*
 * file_broadcast [FILE]: a file goes to NPU 0 and from there along the ring to every NPU.
 *
 * It travels in chunks. NPU r waits until a chunk is in its memory, stores it into the memory of
 * NPU r + 1 and signals there that it has come. The host submits everything, then only waits: no
 * hop needs it. At the end every NPU takes a CRC, which must be that of the file.
 */
#include "example.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static uint32_t crc32c(const unsigned char *p, size_t len)
{
	uint32_t crc = ~0u;
	int bit;

	while (len--) {
		crc ^= *p++;
		for (bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
	}
	return ~crc;
}

/* Reads at most @max bytes of @path to @to: how many */
static size_t load(const char *path, unsigned char *to, size_t max)
{
	int fd = open(path, O_RDONLY);
	size_t have = 0;
	ssize_t n = 1;

	while (fd >= 0 && have < max && (n = read(fd, to + have, max - have)) > 0)
		have += (size_t)n;
	if (fd < 0 || n < 0 || !have) {
		perror(path);
		exit(1);
	}
	close(fd);
	return have;
}

int main(int argc, char **argv)
{
	const char *path = argc > 1 ? argv[1] : "/proc/self/exe";
	struct snpu_mem *file, *hbm[MAX_NPUS], *peer[MAX_NPUS], *result;
	uint64_t pos[MAX_NPUS], here, there, from, off, len, bytes, chunk, n_chunk;
	struct snpu_event *arrived[MAX_NPUS];
	struct snpu_queue *q[MAX_NPUS];
	struct snpu_ctx *ctx[MAX_NPUS];
	unsigned int n, r, wrong = 0;
	struct snpu *snpu;
	struct stat st;
	uint32_t want, got;
	void *ptr;

	if (stat(path, &st) || !st.st_size) {
		fprintf(stderr, "%s: not a file with anything in it\n", path);
		return 1;
	}
	OK(snpu_open(NULL, &snpu));
	n = some_npus(snpu);
	for (r = 0; r < n; r++) {
		OK(snpu_ctx_create(snpu, r, &ctx[r]));
		OK(snpu_queue_create(ctx[r], NULL, &q[r]));
		OK(snpu_event_create(ctx[r], &arrived[r]));
		/* 64 bytes more: a place for the CRC */
		OK(snpu_mem_alloc(ctx[r], (uint64_t)st.st_size + 64, SNPU_MEM_HBM, &hbm[r]));
	}
	for (r = 0; r + 1 < n; r++)	/* the memory of r + 1, as NPU r sees it */
		OK(snpu_mem_share(ctx[r], hbm[r + 1], 0, &peer[r]));

	OK(snpu_mem_alloc(ctx[0], (uint64_t)st.st_size, SNPU_MEM_HOST, &file));
	OK(snpu_mem_map(file, &ptr));
	bytes = load(path, ptr, (size_t)st.st_size);
	chunk = bytes / 64 + 1;
	want = crc32c(ptr, bytes);

	for (r = 0; r < n; r++) {
		here = snpu_mem_va(hbm[r]);
		n_chunk = 0;
		for (off = 0; off < bytes; off += len) {
			len = bytes - off < chunk ? bytes - off : chunk;
			n_chunk++;
			if (!r) {
				snpu_prep_copy(next(q[0]), here + off, snpu_mem_va(file) + off,
					       len);
			} else {
				OK(snpu_event_va(arrived[r], ctx[r], &from));
				snpu_prep_wait(next(q[r]), from, n_chunk, SNPU_SEM_GE, 0);
			}
			if (r + 1 < n) {
				OK(snpu_event_va(arrived[r + 1], ctx[r], &there));
				snpu_prep_copy(next(q[r]), snpu_mem_va(peer[r]) + off, here + off,
					       len);
				snpu_prep_signal(next(q[r]), there, n_chunk, SNPU_SEM_SET);
			}
		}
		off = snpu_mem_size(hbm[r]) - 64;
		snpu_prep_crc32c(next(q[r]), here + off, here, bytes, 0);
		OK(snpu_queue_submit(q[r], &pos[r]));
	}

	for (r = 0; r < n; r++) {
		finish(q[r], pos[r]);
		result = hbm[r];
		OK(snpu_mem_map(result, &ptr));
		memcpy(&got, (char *)ptr + snpu_mem_size(result) - 64, sizeof(got));
		if (got != want) {
			fprintf(stderr, "NPU %u: crc32c %08x, not %08x\n", r, got, want);
			wrong++;
		}
	}
	for (r = 0; r + 1 < n; r++)
		OK(snpu_mem_free(peer[r]));
	OK(snpu_mem_free(file));
	for (r = 0; r < n; r++) {
		OK(snpu_queue_destroy(q[r]));
		OK(snpu_event_destroy(arrived[r]));
		OK(snpu_mem_free(hbm[r]));
	}
	for (r = 0; r < n; r++)
		OK(snpu_ctx_destroy(ctx[r]));
	OK(snpu_close(snpu));
	printf("file_broadcast: %llu bytes, crc32c %08x on %u of %u NPUs\n",
	       (unsigned long long)bytes, want, n - wrong, n);
	return wrong ? 1 : 0;
}
