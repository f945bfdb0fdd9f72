// SPDX-License-Identifier: MIT
/*
 * The directory and what rides on segments: names and their ends, SEG_QUERY, ATOMIC, REDUCE_ADD and
 * COPY with a signal on memory of another NPU, from several queues at once.
 */
#include "harness.h"

#include <string.h>

#define VA	0x40000000ull	/* b's segment, mapped by a */
#define LOCAL	0x50000000ull
#define TOKEN	0x1122334455667788ull

static struct snpu_machine *m;
static struct t_drv a, b;
static uint64_t root, mem, own;

static uint32_t seg_export(uint32_t seg, uint32_t access, uint64_t token)
{
	b.mb->seg_export.seg = seg;
	b.mb->seg_export.access = access;
	b.mb->seg_export.offset = mem;
	b.mb->seg_export.bytes = 1u << 20;
	b.mb->seg_export.token = token;
	return t_admin(&b, SNPU_ADM_SEG_EXPORT);
}

static void start(void)
{
	m = t_machine(3, 2, NULL);
	t_drv_init(&a, m, 0);
	t_drv_init(&b, m, 1);
	root = t_ctx(&a, 1);
	mem = t_hbm_alloc(&b, 1u << 20, SNPU_HUGE_SIZE);
	own = t_hbm_alloc(&a, 1u << 20, SNPU_HUGE_SIZE);
	CHECK_EQ(seg_export(3, SNPU_SEG_READ | SNPU_SEG_WRITE, TOKEN), SNPU_ADM_S_OK);
	a.mb->import.slot = 2;
	a.mb->import.node = 1;
	a.mb->import.seg = 3;
	a.mb->import.token = TOKEN;
	CHECK_EQ(t_admin(&a, SNPU_ADM_SEG_IMPORT), SNPU_ADM_S_OK);
	t_map(&a, root, VA, 1u << 20, T_LEAF_FABRIC(2, 0));
	t_map(&a, root, LOCAL, 1u << 20, T_LEAF_HBM(own));
}

static void end(void)
{
	t_drv_end(&a);
	t_drv_end(&b);
	t_machine_end(m);
}

static uint32_t dir(struct t_drv *d, unsigned int op, const char *name, uint32_t seg)
{
	memset(d->mb->raw, 0, sizeof(d->mb->raw));
	memcpy(d->mb->dir.name, name, strnlen(name, SNPU_DIR_NAME_MAX));
	d->mb->dir.seg = seg;
	return t_admin(d, op);
}

static uint32_t query(uint32_t node, uint32_t seg, uint64_t token)
{
	memset(a.mb->raw, 0, sizeof(a.mb->raw));
	a.mb->import.node = node;
	a.mb->import.seg = seg;
	a.mb->import.token = token;
	return t_admin(&a, SNPU_ADM_SEG_QUERY);
}

static void test_names(void)
{
	static const char *const wrong[] = {
		"", "a b", "tab\t", "\x7f", "\xc3\xa4",
		"12345678901234567890123456789012345678901234567890123456",
	};
	char gap[SNPU_DIR_NAME_MAX] = "a\0b";
	unsigned int i;

	start();
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		CHECK_EQ(dir(&b, SNPU_ADM_DIR_PUBLISH, wrong[i], 3), SNPU_ADM_S_BAD_ARG);
	memset(b.mb->raw, 0, sizeof(b.mb->raw));
	memcpy(b.mb->dir.name, gap, sizeof(gap));
	b.mb->dir.seg = 3;
	CHECK_EQ(t_admin(&b, SNPU_ADM_DIR_PUBLISH), SNPU_ADM_S_BAD_ARG);
	CHECK_EQ(dir(&b, SNPU_ADM_DIR_PUBLISH, "job", 100000), SNPU_ADM_S_BAD_ARG);
	CHECK_EQ(dir(&b, SNPU_ADM_DIR_PUBLISH, "job", 4), SNPU_ADM_S_NOENT);
	CHECK_EQ(dir(&a, SNPU_ADM_DIR_LOOKUP, "job", 0), SNPU_ADM_S_NOENT);
	CHECK_EQ(dir(&b, SNPU_ADM_DIR_PUBLISH, "job", 3), SNPU_ADM_S_OK);
	CHECK_EQ(dir(&b, SNPU_ADM_DIR_PUBLISH, "job", 3), SNPU_ADM_S_EXIST);
	CHECK_EQ(dir(&a, SNPU_ADM_DIR_LOOKUP, "job", 0), SNPU_ADM_S_OK);
	CHECK_EQ(a.data[0], 1);
	CHECK_EQ(a.data[1], 3);
	CHECK_EQ(a.data[2], TOKEN);
	CHECK_EQ(a.data[3], 1u << 20);
	CHECK_EQ(a.data[4], SNPU_SEG_READ | SNPU_SEG_WRITE);
	CHECK_EQ(dir(&a, SNPU_ADM_DIR_REMOVE, "job", 0), SNPU_ADM_S_PERM);
	CHECK_EQ(dir(&b, SNPU_ADM_DIR_REMOVE, "job", 0), SNPU_ADM_S_OK);
	CHECK_EQ(dir(&b, SNPU_ADM_DIR_REMOVE, "job", 0), SNPU_ADM_S_NOENT);
	/* a name ends with its segment */
	CHECK_EQ(dir(&b, SNPU_ADM_DIR_PUBLISH, "job", 3), SNPU_ADM_S_OK);
	memset(b.mb->raw, 0, sizeof(b.mb->raw));
	b.mb->seg_export.seg = 3;
	CHECK_EQ(t_admin(&b, SNPU_ADM_SEG_REVOKE), SNPU_ADM_S_OK);
	CHECK_EQ(dir(&a, SNPU_ADM_DIR_LOOKUP, "job", 0), SNPU_ADM_S_NOENT);
	CHECK_EQ(query(1, 3, TOKEN), SNPU_ADM_S_NOENT);
	memset(b.mb->raw, 0, sizeof(b.mb->raw));
	CHECK_EQ(seg_export(3, SNPU_SEG_READ, TOKEN + 1), SNPU_ADM_S_OK);
	CHECK_EQ(dir(&a, SNPU_ADM_DIR_LOOKUP, "job", 0), SNPU_ADM_S_NOENT);
	CHECK_EQ(query(1, 3, TOKEN), SNPU_ADM_S_PERM);
	CHECK_EQ(query(1, 3, TOKEN + 1), SNPU_ADM_S_OK);
	CHECK_EQ(a.data[1], SNPU_SEG_READ);
	CHECK_EQ(query(77, 3, TOKEN), SNPU_ADM_S_UNREACH);
	CHECK_EQ(query(1, 4, TOKEN), SNPU_ADM_S_NOENT);
	/* and with a reset of its NPU */
	CHECK_EQ(dir(&b, SNPU_ADM_DIR_PUBLISH, "job", 3), SNPU_ADM_S_OK);
	snpu_npu_reset(b.npu);
	CHECK_EQ(dir(&a, SNPU_ADM_DIR_LOOKUP, "job", 0), SNPU_ADM_S_NOENT);
	end();
}

/* An NPU has as many names as segments, and keeps no other from having its own */
static void test_many_names(void)
{
	char name[SNPU_DIR_NAME_MAX];
	unsigned int i;

	start();
	for (i = 0; i < 16; i++) {
		snprintf(name, sizeof(name), "flood-%u", i);
		CHECK_EQ(dir(&b, SNPU_ADM_DIR_PUBLISH, name, 3), SNPU_ADM_S_OK);
	}
	CHECK_EQ(dir(&b, SNPU_ADM_DIR_PUBLISH, "one-more", 3), SNPU_ADM_S_NOMEM);
	CHECK_EQ(dir(&b, SNPU_ADM_DIR_PUBLISH, "flood-3", 3), SNPU_ADM_S_EXIST);
	/* the other NPU is not concerned */
	a.mb->export = (struct snpu_adm_export){
		.seg = 0, .access = SNPU_SEG_READ, .offset = own, .bytes = 4096, .token = TOKEN,
	};
	CHECK_EQ(t_admin(&a, SNPU_ADM_SEG_EXPORT), SNPU_ADM_S_OK);
	CHECK_EQ(dir(&a, SNPU_ADM_DIR_PUBLISH, "one-more", 0), SNPU_ADM_S_OK);
	/* a name that goes makes room, in each way in which it can go */
	CHECK_EQ(dir(&b, SNPU_ADM_DIR_REMOVE, "flood-3", 0), SNPU_ADM_S_OK);
	CHECK_EQ(dir(&b, SNPU_ADM_DIR_PUBLISH, "again", 3), SNPU_ADM_S_OK);
	CHECK_EQ(dir(&b, SNPU_ADM_DIR_PUBLISH, "too-many", 3), SNPU_ADM_S_NOMEM);
	b.mb->export.seg = 3;
	CHECK_EQ(t_admin(&b, SNPU_ADM_SEG_REVOKE), SNPU_ADM_S_OK);
	CHECK_EQ(seg_export(3, SNPU_SEG_READ, TOKEN), SNPU_ADM_S_OK);
	for (i = 0; i < 16; i++) {
		snprintf(name, sizeof(name), "second-%u", i);
		CHECK_EQ(dir(&b, SNPU_ADM_DIR_PUBLISH, name, 3), SNPU_ADM_S_OK);
	}
	snpu_npu_reset(b.npu);
	t_drv_setup(&b);
	CHECK_EQ(seg_export(3, SNPU_SEG_READ, TOKEN), SNPU_ADM_S_OK);
	CHECK_EQ(dir(&b, SNPU_ADM_DIR_PUBLISH, "second-0", 3), SNPU_ADM_S_OK);
	end();
}

static void put_atomic(struct t_queue *q, unsigned int how, uint64_t addr, uint64_t operand,
		       uint64_t compare, uint64_t result)
{
	union snpu_pkt *p = t_put(q, SNPU_OP_ATOMIC);

	p->hdr.arg = how;
	p->atomic.addr = addr;
	p->atomic.operand = operand;
	p->atomic.compare = compare;
	p->atomic.result = result;
}

static void test_atomic(void)
{
	uint64_t *word, *res;
	struct t_queue q;

	start();
	word = (uint64_t *)(b.hbm + mem);
	res = (uint64_t *)(a.hbm + own);
	CHECK_EQ(t_queue(&a, &q, 0, 1, root, 6, 1), SNPU_ADM_S_OK);
	put_atomic(&q, SNPU_ATOMIC_ADD, VA, 5, 0, LOCAL);
	put_atomic(&q, SNPU_ATOMIC_CAS, VA, 9, 5, LOCAL + 8);
	put_atomic(&q, SNPU_ATOMIC_CAS, VA, 1, 5, LOCAL + 16);
	put_atomic(&q, SNPU_ATOMIC_SWAP, VA, 77, 0, LOCAL + 24);
	put_atomic(&q, SNPU_ATOMIC_ADD, VA, (uint64_t)-7, 0, 0);
	t_ring(&q);
	CHECK(t_drain(&q), "error %u at 0x%llx", q.cpl->error,
	      (unsigned long long)q.cpl->fault_va);
	CHECK_EQ(res[0], 0);
	CHECK_EQ(res[1], 5);
	CHECK_EQ(res[2], 9);
	CHECK_EQ(res[3], 9);
	CHECK_EQ(*word, 70);
	/* a place for the result that cannot be written: the word keeps its value */
	put_atomic(&q, SNPU_ATOMIC_ADD, VA, 5, 0, 0x7000000000ull);
	t_ring(&q);
	CHECK(!t_drain(&q), "went through");
	CHECK_EQ(q.cpl->error, SNPU_ERR_UNMAPPED);
	CHECK_EQ(*word, 70);
	end();
}

#define QUEUES	4
#define ROUNDS	40
#define COUNT	3000u

/* All queues add to the same remote memory; the sum is exact, a signal comes after its bytes */
static void test_together(void)
{
	struct t_queue q[QUEUES];
	int32_t *src, *dst;
	unsigned int i, r;

	start();
	src = (int32_t *)(a.hbm + own);
	dst = (int32_t *)(b.hbm + mem);
	for (i = 0; i < COUNT; i++)
		src[i] = (int32_t)i - 100;
	for (i = 0; i < QUEUES; i++)
		CHECK_EQ(t_queue(&a, &q[i], i, 1, root, 8, 1), SNPU_ADM_S_OK);
	for (r = 0; r < ROUNDS; r++)
		for (i = 0; i < QUEUES; i++) {
			union snpu_pkt *p = t_put(&q[i], SNPU_OP_REDUCE_ADD);

			p->hdr.dtype = SNPU_DT_I32;
			p->hdr.flags = SNPU_PF_SIGNAL;
			p->hdr.arg = SNPU_SEM_ADD;
			p->reduce.src = LOCAL;
			p->reduce.dst = VA + 4096 - 400;
			p->reduce.count = COUNT;
			p->reduce.sem_addr = VA + 0x80000;
			p->reduce.sem_value = 1;
			put_atomic(&q[i], SNPU_ATOMIC_ADD, VA + 0x80008, 3, 0, 0);
			t_ring(&q[i]);
		}
	for (i = 0; i < QUEUES; i++)
		CHECK(t_drain(&q[i]), "queue %u: error %u", i, q[i].cpl->error);
	dst += (4096 - 400) / 4;
	for (i = 0; i < COUNT; i++)
		CHECK(dst[i] == src[i] * QUEUES * ROUNDS, "element %u: %d", i, dst[i]);
	CHECK_EQ(*(uint64_t *)(b.hbm + mem + 0x80000), QUEUES * ROUNDS);
	CHECK_EQ(*(uint64_t *)(b.hbm + mem + 0x80008), QUEUES * ROUNDS * 3);
	end();
}

/* Write-with-signal: who waits for the signal finds the bytes */
static void test_signal(void)
{
	struct t_queue w, r;
	unsigned int i;

	start();
	CHECK_EQ(t_queue(&a, &w, 0, 1, root, 8, 1), SNPU_ADM_S_OK);
	CHECK_EQ(t_queue(&a, &r, 1, 1, root, 8, 1), SNPU_ADM_S_OK);
	memset(a.hbm + own, 0x5a, 200000);
	for (i = 1; i <= 20; i++) {
		union snpu_pkt *p = t_put(&w, SNPU_OP_COPY);

		p->hdr.flags = SNPU_PF_SIGNAL;
		p->hdr.arg = SNPU_SEM_SET;
		p->copy.src = LOCAL;
		p->copy.dst = VA;
		p->copy.bytes = 200000;
		p->copy.sem_addr = VA + 0x80000;
		p->copy.sem_value = i;
		t_await(&r, VA + 0x80000, SNPU_SEM_GE, i, 0);
		t_copy(&r, VA, LOCAL + 0x80000, 200000);
		t_ring(&r);
		t_ring(&w);
		CHECK(t_drain(&r) && t_drain(&w), "round %u", i);
		CHECK(!memcmp(a.hbm + own + 0x80000, a.hbm + own, 200000), "round %u: other bytes",
		      i);
		memset(a.hbm + own, (int)i, 200000);
	}
	/* without the flag the fields are reserved */
	t_copy(&w, LOCAL, VA, 100);
	w.ring[(w.head - 1) & (w.entries - 1)].copy.sem_value = 1;
	t_ring(&w);
	CHECK(!t_drain(&w), "went through");
	CHECK_EQ(w.cpl->error, SNPU_ERR_FIELD);
	end();
}

int main(int argc, char **argv)
{
	static const struct t_case cases[] = {
		{ "names", test_names },
		{ "many_names", test_many_names },
		{ "atomic", test_atomic },
		{ "together", test_together },
		{ "signal", test_signal },
	};

	return t_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
}
