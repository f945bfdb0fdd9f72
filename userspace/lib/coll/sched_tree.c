// SPDX-License-Identifier: MIT
/*
 * Double binary tree: half of the vector goes through each of two trees, of which one has as inner
 * nodes what are leaves in the other.
 *
 * Positions 1 .. m of a tree are those of a binary search tree whose odd positions are the leaves;
 * the second tree has everyone one position further. All-reduce: both trees hold all ranks.
 * Broadcast and reduce: they hold all but the root, which stands above both.
 *
 * All-reduce is a pipeline: in step i piece i goes up; at depth d piece i - 2 d comes down, just
 * when it can be back, and piece i - 2 d - 2 is passed on. So two ranks that meet in both trees do
 * what concerns both in the same step, and in the same order: mailboxes know no trees.
 *
 * A partial sum is (own + first child's) + second child's.
 */
#include "schedule.h"

#define NONE	UINT32_MAX

/* A rank's place in one tree */
struct node {
	unsigned int parent;
	unsigned int child[2];
	unsigned int depth;
	uint64_t off, count;	/* its part of the vector */
};

struct tree {
	struct coll_prog *p;
	const struct coll_job *j;
	unsigned int m;		/* positions */
	unsigned int shift;
	bool above;		/* the root of the operation stands above */
};

static unsigned int rank_at(const struct tree *t, unsigned int pos)
{
	unsigned int i = (pos - 1 + t->m - t->shift) % t->m;

	return t->above ? (t->j->root + 1 + i) % t->j->topo->n : i;
}

/* The position from @lo + 1 to @hi that most twos divide; 0: there is none */
static unsigned int top(unsigned int lo, unsigned int hi)
{
	unsigned int step = 1;

	if (lo >= hi)
		return 0;
	while ((hi & ~(step * 2 - 1)) > lo)
		step *= 2;
	return hi & ~(step - 1);
}

static void place(const struct tree *t, struct node *node)
{
	unsigned int n = t->j->topo->n, r = t->j->rank, i, pos, at, lo = 0, hi = t->m;

	node->parent = node->child[0] = node->child[1] = NONE;
	node->depth = 0;
	if (t->above && r == t->j->root) {
		if (t->m)
			node->child[0] = rank_at(t, top(0, t->m));
		return;
	}
	i = t->above ? (r + n - t->j->root - 1) % n : r;
	pos = (i + t->shift) % t->m + 1;
	if (t->above) {
		node->parent = t->j->root;
		node->depth = 1;
	}
	for (at = top(lo, hi); at != pos; at = top(lo, hi)) {
		node->parent = rank_at(t, at);
		node->depth++;
		if (pos < at)
			hi = at - 1;
		else
			lo = at;
	}
	if (top(lo, pos - 1))
		node->child[0] = rank_at(t, top(lo, pos - 1));
	if (top(pos, hi))
		node->child[1] = rank_at(t, top(pos, hi));
}

static void up(const struct tree *t, const struct node *node, uint64_t off, uint64_t len,
	       unsigned int number)
{
	bool keep = t->j->op == SNPU_COLL_ALL_REDUCE || node->parent == NONE;
	unsigned int acc = keep ? COLL_RECV : COLL_TMP, src = COLL_SEND, i;
	uint64_t at = keep ? off : number * t->j->piece, from = off;

	if (!keep)
		t->p->tmp = 2 * t->j->piece;
	for (i = 0; i < 2; i++) {
		if (node->child[i] == NONE)
			continue;
		coll_next(t->p);
		coll_put_reduce(t->p, node->child[i], acc, at, src, from, len);
		src = acc;
		from = at;
	}
	coll_next(t->p);
	if (node->parent != NONE)
		coll_put_send(t->p, node->parent, src, from, len);
	else
		coll_put_avg(t->p, t->j, COLL_RECV, off, len);
}

static void take(const struct tree *t, const struct node *node, uint64_t off, uint64_t len)
{
	coll_next(t->p);
	if (node->parent != NONE)
		coll_put_recv(t->p, node->parent, COLL_RECV, off, len);
}

static void pass(const struct tree *t, const struct node *node, uint64_t off, uint64_t len)
{
	bool source = node->parent == NONE && t->j->op == SNPU_COLL_BROADCAST;
	unsigned int i;

	coll_next(t->p);
	for (i = 0; i < 2; i++) {
		if (node->child[i] != NONE)
			coll_put_send(t->p, node->child[i], source ? COLL_SEND : COLL_RECV, off,
				      len);
	}
}

/* Piece @i - @lag of the node's part; 0: there is none */
static uint64_t piece(const struct node *node, uint64_t size, uint64_t i, uint64_t lag,
		      uint64_t *off)
{
	if (i < lag || i - lag >= (node->count + size - 1) / size)
		return 0;
	i -= lag;
	*off = node->off + i * size;
	return node->count - i * size < size ? node->count - i * size : size;
}

static void step(const struct tree *t, const struct node *node, uint64_t i, unsigned int number)
{
	const bool all = t->j->op == SNPU_COLL_ALL_REDUCE;
	const uint64_t size = t->j->piece, lag = all ? 2 * node->depth : 0;
	uint64_t off, len;

	if (t->j->op != SNPU_COLL_BROADCAST) {
		len = piece(node, size, i, 0, &off);
		if (len)
			up(t, node, off, len, number);
	}
	if (t->j->op == SNPU_COLL_REDUCE)
		return;
	len = piece(node, size, i, lag, &off);
	if (len)
		take(t, node, off, len);
	len = piece(node, size, i, all ? lag + 2 : 0, &off);
	if (len)
		pass(t, node, off, len);
}

void coll_tree(struct coll_prog *p, const struct coll_job *j)
{
	const bool all = j->op == SNPU_COLL_ALL_REDUCE;
	uint64_t i, steps, half = (j->count + 1) / 2;
	unsigned int k, depth;
	struct node node[2];
	struct tree t[2];

	for (k = 0; k < 2; k++) {
		t[k] = (struct tree) { p, j, all ? j->topo->n : j->topo->n - 1, k, !all };
		place(&t[k], &node[k]);
		node[k].off = k ? half : 0;
		node[k].count = k ? j->count - half : half;
	}
	if (j->op == SNPU_COLL_BROADCAST && j->rank == j->root && !j->in_place)
		coll_put_copy(p, COLL_RECV, 0, COLL_SEND, 0, j->count);
	depth = node[0].depth > node[1].depth ? node[0].depth : node[1].depth;
	steps = (half + j->piece - 1) / j->piece + (all ? 2 * depth + 2 : 0);
	for (i = 0; i < steps; i++) {
		for (k = 0; k < 2; k++)
			step(&t[k], &node[k], i, k);
	}
}
