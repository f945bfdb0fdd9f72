// SPDX-License-Identifier: MIT
/*
 * Schedules of collectives, without any NPU: every algorithm, rank counts up to 64, sizes around
 * the pieces. None waits for ever, and integer results are those of plain loops.
 */
#include <snpu/coll.h>

#include "tap.h"

#define SEED	0x9e3779b97f4a7c15ull

/* Input of a rank: small numbers of no pattern */
static int32_t value(unsigned int rank, uint64_t i)
{
	uint64_t x = (i + 1) * SEED + rank * 0xbf58476d1ce4e5b9ull;

	x ^= x >> 31;
	x *= 0x94d049bb133111ebull;
	return (int32_t)(x >> 40) % 1000;
}

/* struct job - an operation and its buffers, int32 */
struct job {
	struct snpu_coll_ref ref;
	uint64_t in, out;	/* elements of the buffers of a rank */
	int32_t *send[64];
	int32_t *recv[64];
};

static int32_t fold(unsigned int redop, int32_t a, int32_t b)
{
	switch (redop) {
	case SNPU_COLL_PROD:
		return (int32_t)((uint32_t)a * (uint32_t)b);
	case SNPU_COLL_MIN:
		return a < b ? a : b;
	case SNPU_COLL_MAX:
		return a > b ? a : b;
	default:
		return a + b;
	}
}

/* The reduction of element @i of all ranks */
static int32_t folded(const struct job *j, uint64_t i)
{
	int32_t v = j->send[0][i];
	unsigned int r;

	for (r = 1; r < j->ref.nranks; r++)
		v = fold(j->ref.redop, v, j->send[r][i]);
	return j->ref.redop == SNPU_COLL_AVG ? v / (int32_t)j->ref.nranks : v;
}

/* What element @i of the result of @rank has to be; false: it does not count */
static bool expected(const struct job *j, unsigned int rank, uint64_t i, int32_t *v)
{
	const uint64_t count = j->ref.count;

	switch (j->ref.op) {
	case SNPU_COLL_ALL_REDUCE:
		*v = folded(j, i);
		return true;
	case SNPU_COLL_REDUCE:
		*v = folded(j, i);
		return rank == j->ref.root;
	case SNPU_COLL_REDUCE_SCATTER:
		*v = folded(j, rank * count + i);
		return true;
	case SNPU_COLL_ALL_GATHER:
		*v = j->send[i / count][i % count];
		return true;
	case SNPU_COLL_BROADCAST:
		*v = j->send[j->ref.root][i];
		return true;
	default:
		*v = j->send[i / count][rank * count + i % count];
		return true;
	}
}

static void sizes(struct job *j)
{
	const uint64_t n = j->ref.nranks, count = j->ref.count;

	j->in = count * (j->ref.op == SNPU_COLL_REDUCE_SCATTER ||
			 j->ref.op == SNPU_COLL_ALL_TO_ALL ? n : 1);
	j->out = count * (j->ref.op == SNPU_COLL_ALL_GATHER ||
			  j->ref.op == SNPU_COLL_ALL_TO_ALL ? n : 1);
}

/* Wrong elements, or -1 when it did not run */
static long wrong(struct job *j)
{
	unsigned int r, n = j->ref.nranks;
	long bad = 0;
	int32_t v;
	uint64_t i;
	int ret;

	sizes(j);
	for (r = 0; r < n; r++) {
		j->send[r] = malloc((j->in + 1) * 4);
		j->recv[r] = malloc((j->out + 1) * 4);
		if (!j->send[r] || !j->recv[r])
			abort();
		for (i = 0; i < j->in; i++)
			j->send[r][i] = value(r, i);
		memset(j->recv[r], 0x55, (j->out + 1) * 4);
	}
	j->ref.dtype = SNPU_DT_I32;
	j->ref.send = (const void *const *)j->send;
	j->ref.recv = (void *const *)j->recv;
	ret = snpu_coll_reference(&j->ref);
	for (r = 0; r < n; r++) {
		for (i = 0; i < j->out && !ret; i++)
			bad += expected(j, r, i, &v) && v != j->recv[r][i];
		bad += j->recv[r][j->out] != 0x55555555;
	}
	for (r = 0; r < n; r++) {
		free(j->send[r]);
		free(j->recv[r]);
	}
	return ret ? -1 : bad;
}

static void one(unsigned int op, unsigned int algo, unsigned int n, unsigned int root,
		uint64_t count, unsigned int redop, const unsigned int *hosts, unsigned int slots)
{
	struct job j = { .ref = { .op = op, .algo = algo, .nranks = n, .root = root,
				  .count = count, .redop = redop, .hosts = hosts,
				  .slot_bytes = 1024, .slots = slots } };
	long bad = wrong(&j);

	if (bad)
		t_fail(__FILE__, __LINE__, "%s, %s, %s, %u ranks, root %u, %llu elements, %u "
		       "slots: %ld wrong (%s)", snpu_coll_op_name(op), snpu_coll_algo_name(algo),
		       snpu_coll_redop_name(redop), n, root, (unsigned long long)count, slots, bad,
		       bad < 0 ? snpu_coll_last_error() : "");
}

static void algorithm(unsigned int algo, const unsigned int *hosts)
{
	static const unsigned int ranks[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 16, 24, 31, 64 };
	static const uint64_t counts[] = { 0, 1, 3, 17, 256, 257, 3000 };
	unsigned int op, i, k;

	for (op = 0; op < SNPU_COLL_BARRIER; op++) {
		for (i = 0; i < sizeof(ranks) / sizeof(*ranks); i++) {
			for (k = 0; k < sizeof(counts) / sizeof(*counts); k++) {
				/* 64 ranks with 3,000 elements for each other are too many */
				if (ranks[i] * counts[k] > 24 * 3000)
					continue;
				one(op, algo, ranks[i], ranks[i] / 2, counts[k],
				    (i + k) % SNPU_COLL_REDOPS, hosts, 2u << k % 3);
			}
		}
	}
}

static void ring(void)
{
	algorithm(SNPU_COLL_RING, NULL);
}

static void hd(void)
{
	algorithm(SNPU_COLL_HD, NULL);
}

static void tree(void)
{
	algorithm(SNPU_COLL_TREE, NULL);
}

static void pairwise(void)
{
	algorithm(SNPU_COLL_PAIRWISE, NULL);
}

/* Ranks in the order of hosts, dealt out to them, and unevenly: the last is not hierarchical */
static void hier(void)
{
	unsigned int hosts[3][64], i;

	for (i = 0; i < 64; i++) {
		hosts[0][i] = 100 + i / 4;
		hosts[1][i] = i % 4;
		hosts[2][i] = i * i % 7;
	}
	for (i = 0; i < 3; i++)
		algorithm(SNPU_COLL_HIER, hosts[i]);
}

/* Long pipelines with the smallest mailboxes, and every root */
static void pipelines(void)
{
	unsigned int algo, root;

	for (algo = 0; algo < SNPU_COLL_ALGOS; algo++) {
		one(SNPU_COLL_ALL_REDUCE, algo, 23, 0, 100000, SNPU_COLL_SUM, NULL, 2);
		for (root = 0; root < 11; root++) {
			one(SNPU_COLL_BROADCAST, algo, 11, root, 9000, SNPU_COLL_SUM, NULL, 2);
			one(SNPU_COLL_REDUCE, algo, 11, root, 9000, SNPU_COLL_SUM, NULL, 2);
		}
	}
}

static void barrier(void)
{
	struct snpu_coll_ref ref = { .op = SNPU_COLL_BARRIER };

	for (ref.nranks = 1; ref.nranks < 70; ref.nranks++)
		CHECK_EQ(snpu_coll_reference(&ref), 0);
}

/* fp16 and bf16: each addition rounds once, in the order that the schedule says */
static void rounding(void)
{
	static const uint16_t in[3] = { 0x3f80, 0x3b80, 0x3b80 };	/* 1, 2^-8, 2^-8 in bf16 */
	static const uint16_t in16[3] = { 0x3c00, 0x1000, 0x1000 };	/* 1, 2^-11 twice in fp16 */
	uint16_t out[3] = { 0 };
	const void *send[3] = { &in[0], &in[1], &in[2] };
	void *recv[3] = { &out[0], &out[1], &out[2] };
	struct snpu_coll_ref ref = { .op = SNPU_COLL_ALL_REDUCE, .algo = SNPU_COLL_PAIRWISE,
				     .dtype = SNPU_DT_BF16, .nranks = 3, .count = 1, .send = send,
				     .recv = recv };
	unsigned int i;

	/* chunk 2 alone has an element: (x2 + x1) + x0 = 2^-7 + 1 */
	CHECK_EQ(snpu_coll_reference(&ref), 0);
	for (i = 0; i < 3; i++)
		CHECK_EQ(out[i], 0x3f81);
	/* ring: (x0 + x1) + x2: both are lost, halves to even */
	ref.algo = SNPU_COLL_RING;
	CHECK_EQ(snpu_coll_reference(&ref), 0);
	for (i = 0; i < 3; i++)
		CHECK_EQ(out[i], 0x3f80);
	for (i = 0; i < 3; i++)
		send[i] = &in16[i];
	ref.dtype = SNPU_DT_F16;
	CHECK_EQ(snpu_coll_reference(&ref), 0);
	CHECK_EQ(out[1], 0x3c00);
	ref.algo = SNPU_COLL_PAIRWISE;
	CHECK_EQ(snpu_coll_reference(&ref), 0);
	CHECK_EQ(out[1], 0x3c01);
}

static void arguments(void)
{
	struct snpu_coll_ref ref = { .op = SNPU_COLL_OPS, .nranks = 2, .dtype = SNPU_DT_F32 };

	CHECK_EQ(snpu_coll_reference(NULL), -EINVAL);
	CHECK_EQ(snpu_coll_reference(&ref), -EINVAL);
	CHECK_TEXT(snpu_coll_last_error(), "0 to 6");
	ref.op = SNPU_COLL_REDUCE;
	ref.redop = SNPU_COLL_REDOPS;
	CHECK_EQ(snpu_coll_reference(&ref), -EINVAL);
	ref.redop = 0;
	ref.root = 2;
	CHECK_EQ(snpu_coll_reference(&ref), -EINVAL);
	CHECK_TEXT(snpu_coll_last_error(), "root 2");
	ref.root = 0;
	ref.dtype = SNPU_DT_NONE;
	CHECK_EQ(snpu_coll_reference(&ref), -EINVAL);
	ref.dtype = SNPU_DT_I8;
	ref.nranks = SNPU_COLL_MAX_RANKS + 1;
	CHECK_EQ(snpu_coll_reference(&ref), -EINVAL);
	CHECK(!snpu_coll_op_name(99) && !snpu_coll_algo_name(99) && !snpu_coll_redop_name(99) &&
	      !snpu_coll_dtype_name(99));
}

int main(void)
{
	static const struct t_case cases[] = {
		{ "ring: all operations", ring, T_BOTH },
		{ "halving and doubling: all operations", hd, T_BOTH },
		{ "double binary tree: all operations", tree, T_BOTH },
		{ "pairwise: all operations", pairwise, T_BOTH },
		{ "hierarchical: all operations", hier, T_BOTH },
		{ "pipelines through small mailboxes", pipelines, T_BOTH },
		{ "barrier", barrier, T_BOTH },
		{ "16-bit floats round after each addition", rounding, T_BOTH },
		{ "bad arguments", arguments, T_BOTH },
	};

	return t_main(cases, sizeof(cases) / sizeof(*cases));
}
