// SPDX-License-Identifier: MIT
/*
 * Guard pages: a packet that leaves its buffer faults, and the neighbours keep their bytes.
 */
#include <unistd.h>

#include "tap.h"

#define MIB	(1ull << 20)
#define OLD	0x3c	/* in every buffer before the packet that goes too far */
#define NEW	0x55

/* Is every byte OLD? */
static bool untouched(const uint8_t *p, uint64_t bytes)
{
	return *p == OLD && !memcmp(p, p + 1, bytes - 1);
}

static void *fresh(struct snpu_ctx *ctx, uint64_t bytes, unsigned int flags, struct snpu_mem **mem)
{
	void *p = NULL;

	CHECK_EQ(snpu_mem_alloc(ctx, bytes, flags, mem), 0);
	CHECK_EQ(snpu_mem_map(*mem, &p), 0);
	if (p)
		memset(p, OLD, snpu_mem_size(*mem));
	return p;
}

/* A FILL of [va, va + bytes) in a queue of its own faults as UNMAPPED at @at */
static void must_fault(struct snpu_ctx *ctx, uint64_t va, uint64_t bytes, uint64_t at)
{
	struct snpu_error err = { 0 };
	struct snpu_queue *q;

	NEED(!snpu_queue_create(ctx, NULL, &q));
	snpu_prep_fill(t_pkt(q), va, bytes, NEW, 1);
	CHECK_EQ(t_run(q), -EIO);
	CHECK_EQ(snpu_queue_error(q, &err, sizeof(err)), 0);
	CHECK_EQ(err.code, SNPU_ERR_UNMAPPED);
	CHECK_EQ(err.va, at);
	CHECK_EQ(snpu_queue_destroy(q), 0);
}

/* Three buffers one after the other; the second is left on either side */
static void overrun(uint64_t bytes, unsigned int flags)
{
	struct snpu_mem *mem[3];
	struct snpu_ctx *ctx;
	uint64_t va, size;
	uint8_t *p[3];
	unsigned int i;

	NEED(!snpu_ctx_create(t_snpu(), 0, &ctx));
	for (i = 0; i < 3; i++) {
		p[i] = fresh(ctx, bytes, flags, &mem[i]);
		NEED(p[i]);
	}
	va = snpu_mem_va(mem[1]);
	size = snpu_mem_size(mem[1]);
	must_fault(ctx, va, size + 64, va + size);
	must_fault(ctx, va + size - 1, 2, va + size);
	must_fault(ctx, va + size, 1, va + size);
	must_fault(ctx, va - 64, 128, va - 64);
	must_fault(ctx, va - 1, 1, va - 1);
	CHECK(untouched(p[0], snpu_mem_size(mem[0])));
	CHECK(untouched(p[2], snpu_mem_size(mem[2])));
	for (i = 0; i < 3; i++)
		CHECK_EQ(snpu_mem_free(mem[i]), 0);
	CHECK_EQ(snpu_ctx_destroy(ctx), 0);
}

static void overruns(void)
{
	static const uint64_t size[] = { 1, 4096, 4 * 4096, 2 * MIB, 5 * MIB };
	unsigned int i;

	for (i = 0; i < sizeof(size) / sizeof(size[0]); i++) {
		overrun(size[i], SNPU_MEM_HBM);
		overrun(size[i], SNPU_MEM_HOST);
	}
	overrun(3 * 4096, SNPU_MEM_HBM | SNPU_MEM_CONTIG);
}

static bool apart(const struct snpu_mem *a, const struct snpu_mem *b, uint64_t gap)
{
	return snpu_mem_va(a) + snpu_mem_size(a) + gap <= snpu_mem_va(b) ||
	       snpu_mem_va(b) + snpu_mem_size(b) + gap <= snpu_mem_va(a);
}

/* Buffers of all kinds come and go; a gap is left between any two at any time */
static void always_apart(void)
{
	enum { N = 48, ROUNDS = 400 };
	struct snpu_mem *mem[N] = { NULL }, *peer;
	struct snpu_ctx *ctx, *other;
	unsigned int i, k, round, x = 12345;
	int fd, ret = 0;

	NEED(!snpu_ctx_create(t_snpu(), 0, &ctx) && !snpu_ctx_create(t_snpu(), 1, &other));
	NEED(!snpu_mem_alloc(other, 3 * 4096, SNPU_MEM_HBM, &peer));
	NEED(!snpu_mem_export(peer, &fd));
	for (round = 0; round < ROUNDS && !ret; round++) {
		x = x * 1103515245 + 12345;
		i = (x >> 8) % N;
		CHECK_EQ(snpu_mem_free(mem[i]), 0);
		mem[i] = NULL;
		switch ((x >> 16) % 8) {
		case 0:
			ret = snpu_mem_share(ctx, peer, 0, &mem[i]);
			break;
		case 1:
			ret = snpu_mem_import(ctx, fd, SNPU_MEM_READ_ONLY, &mem[i]);
			break;
		case 2:
			ret = snpu_mem_alloc(ctx, 2 * MIB + (x >> 19) % 3 * MIB, SNPU_MEM_HBM,
					     &mem[i]);
			break;
		case 3:
			break;
		default:
			ret = snpu_mem_alloc(ctx, 1 + (x >> 19) % 20000,
					     x & 1024 ? SNPU_MEM_HOST : SNPU_MEM_HBM, &mem[i]);
		}
		CHECK_EQ(ret, 0);
		for (k = 0; mem[i] && k < N; k++)
			CHECK(k == i || !mem[k] || apart(mem[i], mem[k], 4096));
	}
	for (i = 0; i < N; i++)
		CHECK_EQ(snpu_mem_free(mem[i]), 0);
	close(fd);
	CHECK_EQ(snpu_mem_free(peer), 0);
	CHECK_EQ(snpu_ctx_destroy(other), 0);
	CHECK_EQ(snpu_ctx_destroy(ctx), 0);
}

/* What the library allocates lies between buffers, too: rings, command buffers, events */
static void library_memory(void)
{
	struct snpu_mem *mem[4];
	struct snpu_cmdbuf *cb;
	struct snpu_event *ev;
	struct snpu_queue *q;
	struct snpu_ctx *ctx;
	uint64_t va, size, ev_va;
	unsigned int i;

	NEED(!snpu_ctx_create(t_snpu(), 0, &ctx));
	NEED(fresh(ctx, 4096, SNPU_MEM_HBM, &mem[0]));
	NEED(!snpu_queue_create(ctx, NULL, &q));
	NEED(fresh(ctx, 4096, SNPU_MEM_HBM, &mem[1]));
	NEED(!snpu_cmdbuf_create(ctx, 64, &cb));
	NEED(fresh(ctx, 4096, SNPU_MEM_HBM, &mem[2]));
	NEED(!snpu_event_create(ctx, &ev));
	NEED(fresh(ctx, 4096, SNPU_MEM_HBM, &mem[3]));
	for (i = 0; i < 4; i++) {
		va = snpu_mem_va(mem[i]);
		size = snpu_mem_size(mem[i]);
		must_fault(ctx, va, size + 8, va + size);
		must_fault(ctx, va - 8, 16, va - 8);
	}
	NEED(!snpu_event_va(ev, ctx, &ev_va));
	must_fault(ctx, ev_va - 8, 8, ev_va - 8);
	must_fault(ctx, ev_va + 4096, 8, ev_va + 4096);
	CHECK_EQ(snpu_event_read(ev), 0);
	/* the queue never noticed */
	snpu_prep_nop(t_pkt(q));
	CHECK_EQ(t_run(q), 0);
	CHECK_EQ(snpu_event_destroy(ev), 0);
	CHECK_EQ(snpu_cmdbuf_destroy(cb), 0);
	CHECK_EQ(snpu_queue_destroy(q), 0);
	for (i = 0; i < 4; i++)
		CHECK_EQ(snpu_mem_free(mem[i]), 0);
	CHECK_EQ(snpu_ctx_destroy(ctx), 0);
}

/* Gap between two buffers of one page when the variable has that value */
static uint64_t gap(const char *pages)
{
	struct snpu_mem *a, *b;
	struct snpu_ctx *ctx;
	uint64_t n = 0;

	t_close();
	setenv("SNPU_GUARD_PAGES", pages, 1);
	if (!snpu_ctx_create(t_snpu(), 0, &ctx) && !snpu_mem_alloc(ctx, 4096, SNPU_MEM_HBM, &a) &&
	    !snpu_mem_alloc(ctx, 4096, SNPU_MEM_HBM, &b)) {
		n = snpu_mem_va(b) - snpu_mem_va(a) - snpu_mem_size(a);
		CHECK_EQ(snpu_mem_free(b), 0);
		CHECK_EQ(snpu_mem_free(a), 0);
		CHECK_EQ(snpu_ctx_destroy(ctx), 0);
	} else {
		t_fail(__FILE__, __LINE__, "%s", snpu_last_error());
	}
	t_close();
	unsetenv("SNPU_GUARD_PAGES");
	return n;
}

static void setting(void)
{
	t_snpu();
	CHECK_EQ(gap("0"), 0);
	t_snpu();
	CHECK_EQ(gap("3"), 3 * 4096);
	t_snpu();
	CHECK_EQ(gap("512"), 2 * MIB);
	t_snpu();
}

static const struct t_case cases[] = {
	{ "a packet that leaves its buffer faults", overruns, T_BOTH },
	{ "buffers that come and go stay apart", always_apart, T_BOTH },
	{ "rings, command buffers and events are kept apart", library_memory, T_BOTH },
	{ "SNPU_GUARD_PAGES", setting, T_BOTH },
};

int main(void)
{
	return t_main(cases, sizeof(cases) / sizeof(cases[0]));
}
