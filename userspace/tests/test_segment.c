// SPDX-License-Identifier: MIT
/*
 * Segments: by handle and by name, and everything that can be wrong with either.
 */
#include "tap.h"

#define BYTES	(1ull << 20)

static struct t_dev a, b;
static struct snpu_mem *mem;
static uint8_t *p;

static void start(void)
{
	NEED(!t_dev_open(&a, 0, BYTES, SNPU_MEM_HBM));
	NEED(!t_dev_open(&b, 1, BYTES, SNPU_MEM_HBM));
	NEED(!snpu_mem_alloc(a.ctx, BYTES, SNPU_MEM_HBM | SNPU_MEM_CONTIG, &mem));
	NEED(!snpu_mem_map(mem, (void **)&p));
}

static void end(void)
{
	CHECK_EQ(snpu_mem_free(mem), 0);
	t_dev_close(&a);
	t_dev_close(&b);
}

/* @b writes and reads what @a exported */
static void reach(void)
{
	const unsigned int rw = SNPU_SEG_READ | SNPU_SEG_WRITE;
	struct snpu_seg_handle h, found;
	struct snpu_mem *m, *n;
	uint64_t i, bad = 0;
	void *ptr;

	start();
	CHECK_EQ(snpu_seg_export(mem, rw, "t-segment", &h), 0);
	CHECK_EQ(snpu_seg_export(mem, rw, NULL, &h), -EEXIST);
	CHECK_EQ(snpu_seg_lookup(b.ctx, "t-segment", &found), 0);
	CHECK_EQ(memcmp(&h, &found, sizeof(h)), 0);
	NEED(!snpu_seg_import(b.ctx, &h, 0, &m));
	CHECK_EQ(snpu_mem_size(m), BYTES);
	CHECK_EQ(snpu_mem_map(m, &ptr), -EOPNOTSUPP);
	NEED(!snpu_seg_import_name(b.ctx, "t-segment", SNPU_MEM_READ_ONLY, &n));
	snpu_prep_fill(t_pkt(b.q), b.va, BYTES, 0x51, 1);
	snpu_prep_copy_signal(t_pkt(b.q), snpu_mem_va(m), b.va, BYTES - 8,
			      snpu_mem_va(m) + BYTES - 8, 7, SNPU_SEM_SET);
	snpu_prep_atomic(t_pkt(b.q), SNPU_ATOMIC_ADD, snpu_mem_va(m) + BYTES - 8, 3, 0, b.va);
	CHECK_EQ(t_run(b.q), 0);
	for (i = 0; i < BYTES - 8; i++)
		bad += p[i] != 0x51;
	CHECK_EQ(bad, 0);
	CHECK_EQ(*(uint64_t *)(p + BYTES - 8), 10);
	CHECK_EQ(*(uint64_t *)b.p, 7);
	/* the read-only mapping of the same segment reads, and does not write */
	snpu_prep_copy(t_pkt(b.q), b.va, snpu_mem_va(n), 4096);
	CHECK_EQ(t_run(b.q), 0);
	CHECK_EQ(b.p[0], 0x51);
	snpu_prep_copy(t_pkt(b.q), snpu_mem_va(n), b.va, 4096);
	CHECK_EQ(t_run(b.q), -EIO);
	CHECK_EQ(snpu_mem_free(n), 0);
	CHECK_EQ(snpu_mem_free(m), 0);
	end();
	if (!t_dev_open(&b, 1, BYTES, SNPU_MEM_HBM)) {
		/* the name went with its memory */
		CHECK_EQ(snpu_seg_lookup(b.ctx, "t-segment", &found), -ENOENT);
		t_dev_close(&b);
	}
}

static void refused(void)
{
	static const char *const names[] = {
		"", "a b", "\t", "\xc3\xa4",
		"12345678901234567890123456789012345678901234567890123456",
	};
	struct snpu_seg_handle h, x;
	struct snpu_mem *m, *other;
	unsigned int i;

	start();
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		CHECK_EQ(snpu_seg_export(mem, SNPU_SEG_READ, names[i], &h), -EINVAL);
		CHECK_EQ(snpu_seg_lookup(b.ctx, names[i], &h), -EINVAL);
	}
	CHECK_EQ(snpu_seg_export(mem, 0, NULL, &h), -EINVAL);
	CHECK_EQ(snpu_seg_export(mem, 4, NULL, &h), -EINVAL);
	CHECK_EQ(snpu_seg_export(mem, SNPU_SEG_READ, NULL, NULL), -EINVAL);
	CHECK_EQ(snpu_seg_export(NULL, SNPU_SEG_READ, NULL, &h), -EINVAL);
	CHECK_EQ(snpu_seg_export(a.mem, SNPU_SEG_READ, NULL, &h), -EINVAL); /* not CONTIG */
	CHECK_EQ(snpu_seg_revoke(mem), -ENOENT);
	NEED(!snpu_seg_export(mem, SNPU_SEG_READ | SNPU_SEG_WRITE, "t-taken", &h));
	NEED(!snpu_mem_alloc(b.ctx, BYTES, SNPU_MEM_HBM | SNPU_MEM_CONTIG, &other));
	CHECK_EQ(snpu_seg_export(other, SNPU_SEG_READ, "t-taken", NULL), -EEXIST);
	CHECK_TEXT(snpu_last_error(), "t-taken");
	CHECK_EQ(snpu_mem_free(other), 0);
	x = h;
	x.token ^= 1;
	CHECK_EQ(snpu_seg_import(b.ctx, &x, 0, &m), -EACCES);
	x = h;
	x.seg++;
	CHECK_EQ(snpu_seg_import(b.ctx, &x, 0, &m), -ENOENT);
	x = h;
	x.node = 1000;
	CHECK_EQ(snpu_seg_import(b.ctx, &x, 0, &m), -EHOSTUNREACH);
	x = h;
	x.version = 2;
	CHECK_EQ(snpu_seg_import(b.ctx, &x, 0, &m), -EINVAL);
	CHECK_EQ(snpu_seg_import(b.ctx, &h, SNPU_MEM_HBM, &m), -EINVAL);
	CHECK_EQ(snpu_seg_import_name(b.ctx, "t-nobody", 0, &m), -ENOENT);
	end();
}

/* A mapping that outlives the export: its packets fault, nobody else's do */
static void revoked(void)
{
	struct snpu_seg_handle h;
	struct snpu_mem *m;
	struct snpu_error err;

	start();
	NEED(!snpu_seg_export(mem, SNPU_SEG_READ | SNPU_SEG_WRITE, NULL, &h));
	NEED(!snpu_seg_import(b.ctx, &h, 0, &m));
	snpu_prep_copy(t_pkt(b.q), snpu_mem_va(m), b.va, 4096);
	CHECK_EQ(t_run(b.q), 0);
	CHECK_EQ(snpu_seg_revoke(mem), 0);
	CHECK_EQ(snpu_seg_revoke(mem), -ENOENT);
	snpu_prep_copy(t_pkt(b.q), snpu_mem_va(m) + 64, b.va, 4096);
	CHECK_EQ(t_run(b.q), -EIO);
	CHECK_EQ(snpu_queue_error(b.q, &err, sizeof(err)), 0);
	CHECK_EQ(err.code, SNPU_ERR_FABRIC);
	CHECK_EQ(err.va, snpu_mem_va(m) + 64);
	snpu_prep_fill(t_pkt(a.q), a.va, BYTES, 1, 1);
	CHECK_EQ(t_run(a.q), 0);
	CHECK_EQ(snpu_mem_free(m), 0);
	CHECK_EQ(snpu_seg_import(a.ctx, &h, 0, &m), -ENOENT);
	end();
}

/* Write access that the exporter does not give is found out by the first packet that tries */
static void permission(void)
{
	struct snpu_seg_handle h;
	struct snpu_mem *m;

	start();
	NEED(!snpu_seg_export(mem, SNPU_SEG_READ, NULL, &h));
	NEED(!snpu_seg_import(b.ctx, &h, 0, &m));
	snpu_prep_copy(t_pkt(b.q), b.va, snpu_mem_va(m), 4096);
	CHECK_EQ(t_run(b.q), 0);
	snpu_prep_copy(t_pkt(b.q), snpu_mem_va(m), b.va, 4096);
	CHECK_EQ(t_run(b.q), -EIO);
	CHECK_EQ(snpu_mem_free(m), 0);
	end();
}

/*
 * As many segments as a rank of 384 has to do with when each registers four windows, mapped at once:
 * more than the ten bits of a slot that the first page tables had. Each is read, and has its own.
 */
#define MANY	(5u * 383u)
#define EACH	640u

static void many(void)
{
	static struct snpu_mem *own[MANY], *far[MANY];
	static struct snpu_seg_handle h[MANY];
	unsigned int exporters = snpu_count(t_snpu()) - 1, n, i, bad = 0;
	struct t_dev d[3];
	void *ptr;

	exporters = exporters < 3 ? exporters : 3;
	/* one rank of a guest that is emulated has time for what takes an eleventh bit */
	n = t_direct() ? MANY : 1100;
	n = n < EACH * exporters ? n : EACH * exporters;
	NEED(!t_dev_open(&a, 0, n * 8, SNPU_MEM_HBM));
	for (i = 0; i < exporters; i++)
		NEED(!t_dev_open(&d[i], i + 1, 0, 0));
	for (i = 0; i < n; i++) {
		NEED(!snpu_mem_alloc(d[i % exporters].ctx, 4096, SNPU_MEM_HBM | SNPU_MEM_CONTIG,
				     &own[i]));
		NEED(!snpu_mem_map(own[i], &ptr));
		*(uint64_t *)ptr = 0x1000000 + i;
		NEED(!snpu_seg_export(own[i], SNPU_SEG_READ, NULL, &h[i]));
		NEED(!snpu_seg_import(a.ctx, &h[i], SNPU_MEM_READ_ONLY, &far[i]));
	}
	for (i = 0; i < n; i++) {
		snpu_prep_copy(t_pkt(a.q), a.va + i * 8, snpu_mem_va(far[i]), 8);
		if (i % 256 == 255 || i == n - 1)
			CHECK_EQ(t_run(a.q), 0);
	}
	for (i = 0; i < n; i++)
		bad += ((uint64_t *)a.p)[i] != 0x1000000 + i;
	CHECK_EQ(bad, 0);
	/* the last ones go, and come again where they were */
	for (i = 0; i < n; i += 3)
		CHECK_EQ(snpu_mem_free(far[i]), 0);
	for (i = 0; i < n; i += 3)
		CHECK_EQ(snpu_seg_import(a.ctx, &h[i], SNPU_MEM_READ_ONLY, &far[i]), 0);
	snpu_prep_copy(t_pkt(a.q), a.va, snpu_mem_va(far[(n - 1) / 3 * 3]), 8);
	CHECK_EQ(t_run(a.q), 0);
	CHECK_EQ(*(uint64_t *)a.p, 0x1000000 + (n - 1) / 3 * 3);
	for (i = 0; i < n; i++) {
		CHECK_EQ(snpu_mem_free(far[i]), 0);
		CHECK_EQ(snpu_mem_free(own[i]), 0);
	}
	for (i = 0; i < exporters; i++)
		t_dev_close(&d[i]);
	t_dev_close(&a);
}

int main(void)
{
	static const struct t_case cases[] = {
		{ "reach", reach, T_BOTH },
		{ "refused", refused, T_BOTH },
		{ "revoked", revoked, T_BOTH },
		{ "permission", permission, T_BOTH },
		{ "more segments than ten bits name", many, T_BOTH },
	};

	return t_main(cases, sizeof(cases) / sizeof(cases[0]));
}
