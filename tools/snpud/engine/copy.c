// SPDX-License-Identifier: MIT
/*
 * COPY, COPY2D, FILL, GATHER: ops that move bytes.
 *
 * Everything goes in chunks of at most SNPU_CHUNK bytes, each of which resolves its own memory: a
 * checkpoint between two chunks may let a mapping change.
 */
#include <string.h>
#include <unistd.h>
#include <immintrin.h>

#include "kernels.h"
#include "range.h"

#define ROW_COST	256u	/* a short row costs about as much as so many bytes */
#define NT_ROW		4096u	/* shorter rows are not worth going around the cache */

/* Half of the last-level cache, or what a test says */
static uint64_t cache_share(void)
{
	uint64_t l = __atomic_load_n(&snpu_tune.copy_nt, __ATOMIC_RELAXED);

	if (!l) {
		long l3 = sysconf(_SC_LEVEL3_CACHE_SIZE);

		l = l3 > 0 ? (uint64_t)l3 / 2 : 8ull << 20;
		__atomic_store_n(&snpu_tune.copy_nt, l, __ATOMIC_RELAXED);
	}
	return l;
}

/* Copies that do not fit there go around it */
static bool past_cache(uint64_t bytes)
{
	return bytes > cache_share();
}

/*
 * So do those to memory that has long not been written to: when 384 NPUs copy half a MiB each, no
 * copy is large, but all together are, and a store into the cache would read the line first. Of
 * each block of memory the table holds when a copy wrote to it last, in bytes that all copies have
 * written since the start. It is a guess: nothing but speed depends on it, so entries may collide
 * and race.
 */
#define BLOCK_SHIFT	18u
#define BLOCKS		8192u
#define COLD_MIN	(128u << 10)

static bool cold(const void *dst, uint64_t bytes)
{
	static uint64_t written, last[BLOCKS];
	uintptr_t block = (uintptr_t)dst >> BLOCK_SHIFT;
	uint64_t now, *l = &last[(block ^ block >> 13) % BLOCKS], before;

	if (bytes < COLD_MIN)
		return false;
	now = __atomic_add_fetch(&written, bytes, __ATOMIC_RELAXED);
	before = __atomic_exchange_n(l, now, __ATOMIC_RELAXED);
	return before && now - before > cache_share();
}

/*
 * Stores that went around the cache have no order. They must have arrived before a checkpoint,
 * after which the memory may belong to someone else, and before the packet counts as done.
 */
static void drain(bool nt)
{
	if (nt)
		_mm_sfence();
}

static int resolve(struct snpu_exec *x, uint64_t va, uint64_t len, unsigned int access, void **host,
		   uint64_t *run)
{
	int err = x->ops->resolve(x->ctx, va, len, access, host, run);

	if (err)
		x->fault_va = va;
	return err;
}

/*
 * One piece of at most SNPU_CHUNK bytes; @n: in: bytes wanted, out: bytes copied; @nt: go around
 * the cache; set if that was done anyway
 */
static int copy_piece(struct snpu_exec *x, uint64_t dst, uint64_t src, uint64_t *n, bool *nt)
{
	uint64_t run_s = 0, run_d = 0, len = *n < SNPU_CHUNK ? *n : SNPU_CHUNK;
	void *s = NULL, *d = NULL, *tmp;
	int err;

	err = resolve(x, src, len, SNPU_MEM_READ, &s, &run_s);
	if (!err)
		err = resolve(x, dst, len, SNPU_MEM_WRITE, &d, &run_d);
	if (err)
		return err;
	len = run_s < run_d ? run_s : run_d;
	*n = len;
	if (s && d) {
		*nt = *nt || cold(d, len);
		if (*nt)
			snpu_kernels()->copy_nt(d, s, len);
		else
			memcpy(d, s, len);
		return SNPU_ERR_NONE;
	}
	tmp = s ? s : snpu_scratch(x->e, 0, len);
	if (!tmp)
		return SNPU_ERR_INTERNAL;
	if (!s)
		err = snpu_mem_in(x, src, tmp, len);
	if (!err)
		err = snpu_mem_out(x, dst, tmp, len);
	return err;
}

int snpu_op_copy(struct snpu_exec *x, const union snpu_pkt *p)
{
	uint64_t done = 0, since = 0, bytes = p->copy.bytes;
	bool nt = past_cache(bytes);
	int err = SNPU_ERR_NONE;

	while (!err && done < bytes) {
		uint64_t n = bytes - done;

		err = copy_piece(x, p->copy.dst + done, p->copy.src + done, &n, &nt);
		done += n;
		since += n;
		if (!err && since >= SNPU_CHUNK && done < bytes) {
			since = 0;
			drain(nt);
			err = snpu_checkpoint(x);
		}
	}
	drain(nt);
	return err;
}

int snpu_op_copy2d(struct snpu_exec *x, const union snpu_pkt *p)
{
	const struct snpu_pkt_copy2d *c = &p->copy2d;
	bool nt = c->width >= NT_ROW && past_cache((uint64_t)c->width * c->rows);
	uint64_t since = 0, done;
	int err = SNPU_ERR_NONE;
	uint32_t row;

	for (row = 0; !err && row < c->rows; row++) {
		for (done = 0; !err && done < c->width;) {
			uint64_t n = c->width - done;

			err = copy_piece(x, c->dst + row * c->dst_pitch + done,
					 c->src + row * c->src_pitch + done, &n, &nt);
			done += n;
			since += n + ROW_COST;
			if (!err && since >= SNPU_CHUNK) {
				since = 0;
				drain(nt);
				err = snpu_checkpoint(x);
			}
		}
	}
	drain(nt);
	return err;
}

static void fill(uint8_t *dst, uint64_t bytes, uint64_t pattern, unsigned int phase)
{
	uint8_t pat[16];
	uint64_t w;

	memcpy(pat, &pattern, 8);
	memcpy(pat + 8, &pattern, 8);
	/* phase: bytes of the pattern that lie before dst */
	memcpy(&w, pat + phase, 8);
	for (; bytes >= 8; bytes -= 8, dst += 8)
		memcpy(dst, &w, 8);
	memcpy(dst, &w, bytes);
}

int snpu_op_fill(struct snpu_exec *x, const union snpu_pkt *p)
{
	uint64_t pattern = p->fill.pattern, done = 0, since = 0;
	unsigned int size;

	for (size = p->hdr.arg; size < 8; size *= 2)
		pattern |= pattern << (8 * size);
	while (done < p->fill.bytes) {
		uint64_t n = p->fill.bytes - done, run = 0;
		void *d = NULL;
		int err;

		n = n < SNPU_CHUNK ? n : SNPU_CHUNK;
		err = resolve(x, p->fill.dst + done, n, SNPU_MEM_WRITE, &d, &run);
		if (err)
			return err;
		if (d) {
			fill(d, run, pattern, done % 8);
		} else {
			uint8_t *tmp = snpu_scratch(x->e, 0, run);

			if (!tmp)
				return SNPU_ERR_INTERNAL;
			fill(tmp, run, pattern, done % 8);
			err = snpu_mem_out(x, p->fill.dst + done, tmp, run);
		}
		done += run;
		since += run;
		if (!err && since >= SNPU_CHUNK && done < p->fill.bytes) {
			since = 0;
			err = snpu_checkpoint(x);
		}
		if (err)
			return err;
	}
	return SNPU_ERR_NONE;
}

int snpu_op_crc32c(struct snpu_exec *x, const union snpu_pkt *p)
{
	uint64_t done = 0, since = 0;
	uint32_t crc = p->hdr.arg;
	int err;

	while (done < p->crc32c.bytes) {
		uint64_t n = p->crc32c.bytes - done, run = 0;
		void *s = NULL;

		n = n < SNPU_CHUNK ? n : SNPU_CHUNK;
		err = resolve(x, p->crc32c.src + done, n, SNPU_MEM_READ, &s, &run);
		if (err)
			return err;
		if (!s) {
			s = snpu_scratch(x->e, 0, run);
			if (!s)
				return SNPU_ERR_INTERNAL;
			err = snpu_mem_in(x, p->crc32c.src + done, s, run);
			if (err)
				return err;
		}
		crc = snpu_crc32c(crc, s, run);
		done += run;
		since += run;
		if (since >= SNPU_CHUNK && done < p->crc32c.bytes) {
			since = 0;
			err = snpu_checkpoint(x);
			if (err)
				return err;
		}
	}
	return snpu_mem_out(x, p->crc32c.dst, &crc, sizeof(crc));
}

int snpu_op_gather(struct snpu_exec *x, const union snpu_pkt *p)
{
	const struct snpu_pkt_gather *c = &p->gather;
	uint64_t size = snpu_dt_size(c->hdr.dtype), since = 0;
	bool nt = false;
	uint32_t i;

	for (i = 0; i < c->count; i++) {
		uint64_t done, row, bytes = c->cols * size;
		int32_t index = 0;
		int err = snpu_mem_in(x, c->index + i * 4ull, &index, sizeof(index));

		if (err)
			return err;
		if (index < 0 || (uint32_t)index >= c->table_rows) {
			x->fault_va = c->index + i * 4ull;
			return SNPU_ERR_INDEX;
		}
		row = c->table + (uint64_t)index * c->ld_table * size;
		for (done = 0; done < bytes;) {
			uint64_t n = bytes - done;

			err = copy_piece(x, c->dst + (uint64_t)i * c->ld_dst * size + done,
					 row + done, &n, &nt);
			if (err)
				return err;
			done += n;
			since += n + ROW_COST;
			if (since >= SNPU_CHUNK) {
				since = 0;
				drain(nt);
				err = snpu_checkpoint(x);
				if (err)
					return err;
			}
		}
	}
	drain(nt);
	return SNPU_ERR_NONE;
}
