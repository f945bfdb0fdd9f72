// SPDX-License-Identifier: MIT
/*
 * Readers take no lock: @seq is odd while the table changes, and a reader that finds that it moved
 * looks again. Chunks and directory lie in address space that stays for the life of the table, and
 * every field is read and written whole, so a reader that loses the race sees nonsense, but never
 * anything outside: a place in the directory is below @max_dir, a chunk's number too, and a count
 * of regions is at most REGIONS.
 */
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>

#include "vfu_table.h"

#define TRIES		64
#define REGIONS		200u			/* in a chunk */
#define FEW		(REGIONS / 4)		/* a chunk with fewer joins a neighbour ... */
#define JOINED		(REGIONS / 4 * 3)	/* ... unless more than these come together */

#define get(p)		__atomic_load_n(&(p), __ATOMIC_RELAXED)
#define put(p, v)	__atomic_store_n(&(p), v, __ATOMIC_RELAXED)

/* Whole pages: an empty one is given back */
struct vfu_chunk {
	unsigned int n;
	struct vfu_map m[REGIONS];
} __attribute__((aligned(4096)));

static void *reserve(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

int vfu_table_init(struct vfu_table *t, unsigned int max)
{
	memset(t, 0, sizeof(*t));
	pthread_mutex_init(&t->lock, NULL);
	t->max = max;
	/* two neighbours have at least 2 * FEW regions together, see chunk_tidy() */
	t->max_dir = max / FEW + 2;
	t->dir = reserve(t->max_dir * sizeof(*t->dir));
	t->chunks = reserve(t->max_dir * sizeof(*t->chunks));
	t->spare = reserve(t->max_dir * sizeof(*t->spare));
	return t->dir && t->chunks && t->spare ? 0 : -ENOMEM;
}

void vfu_table_fini(struct vfu_table *t)
{
	if (t->dir)
		munmap(t->dir, t->max_dir * sizeof(*t->dir));
	if (t->chunks)
		munmap(t->chunks, t->max_dir * sizeof(*t->chunks));
	if (t->spare)
		munmap(t->spare, t->max_dir * sizeof(*t->spare));
	pthread_mutex_destroy(&t->lock);
}

/* Number of chunks that begin at or before @iova */
static unsigned int upper_dir(struct vfu_table *t, uint64_t iova)
{
	unsigned int lo = 0, hi = get(t->nr_dir);

	while (lo < hi) {
		unsigned int mid = lo + (hi - lo) / 2;

		if (get(t->dir[mid].first) <= iova)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* Number of regions in @c that begin at or before @iova */
static unsigned int upper(struct vfu_chunk *c, uint64_t iova)
{
	unsigned int lo = 0, hi = get(c->n);

	while (lo < hi) {
		unsigned int mid = lo + (hi - lo) / 2;

		if (get(c->m[mid].iova) <= iova)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static struct vfu_chunk *chunk_at(struct vfu_table *t, unsigned int d)
{
	return &t->chunks[get(t->dir[d].chunk)];
}

static bool lookup(struct vfu_table *t, uint64_t iova, struct vfu_map *out)
{
	unsigned int d = upper_dir(t, iova), i;
	struct vfu_chunk *c;
	struct vfu_map *m;

	if (!d)
		return false;
	c = chunk_at(t, d - 1);
	i = upper(c, iova);
	if (!i)
		return false;
	m = &c->m[i - 1];
	out->iova = get(m->iova);
	out->size = get(m->size);
	out->host = get(m->host);
	out->mem = get(m->mem);
	out->prot = get(m->prot);
	return iova - out->iova < out->size;
}

bool vfu_table_find(struct vfu_table *t, uint64_t iova, struct vfu_map *out)
{
	bool ret;
	int i;

	for (i = 0; i < TRIES; i++) {
		unsigned int seq = __atomic_load_n(&t->seq, __ATOMIC_ACQUIRE);

		if (seq & 1) {
			sched_yield();
			continue;
		}
		ret = lookup(t, iova, out);
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (get(t->seq) == seq)
			return ret;
	}
	/* the writer may be off the CPU in the middle of it */
	pthread_mutex_lock(&t->lock);
	ret = lookup(t, iova, out);
	pthread_mutex_unlock(&t->lock);
	return ret;
}

static void change_begin(struct vfu_table *t)
{
	pthread_mutex_lock(&t->lock);
	put(t->seq, t->seq + 1);
	__atomic_thread_fence(__ATOMIC_RELEASE);
}

static void change_end(struct vfu_table *t)
{
	__atomic_store_n(&t->seq, t->seq + 1, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&t->lock);
}

static void put_map(struct vfu_map *to, const struct vfu_map *m)
{
	put(to->iova, m->iova);
	put(to->size, m->size);
	put(to->host, m->host);
	put(to->mem, m->mem);
	put(to->prot, m->prot);
}

/* Moves @n regions; the places may overlap */
static void move_maps(struct vfu_map *to, const struct vfu_map *from, unsigned int n)
{
	unsigned int i;

	if (to < from)
		for (i = 0; i < n; i++)
			put_map(&to[i], &from[i]);
	else
		for (i = n; i > 0; i--)
			put_map(&to[i - 1], &from[i - 1]);
}

static uint64_t last_of(const struct vfu_map *m)
{
	return m->iova + (m->size - 1);
}

/* ---- chunks: between change_begin() and change_end() ---- */

static void dir_put(struct vfu_table *t, unsigned int d, uint64_t first, uint32_t chunk)
{
	put(t->dir[d].first, first);
	put(t->dir[d].chunk, chunk);
}

/* A chunk at place @d of the directory */
static struct vfu_chunk *chunk_new(struct vfu_table *t, unsigned int d, uint64_t first)
{
	uint32_t c = t->nr_spare ? t->spare[--t->nr_spare] : t->top++;
	unsigned int i;

	for (i = t->nr_dir; i > d; i--)
		dir_put(t, i, t->dir[i - 1].first, t->dir[i - 1].chunk);
	dir_put(t, d, first, c);
	put(t->nr_dir, t->nr_dir + 1);
	return &t->chunks[c];
}

static void chunk_drop(struct vfu_table *t, unsigned int d)
{
	uint32_t c = t->dir[d].chunk;
	unsigned int i;

	t->spare[t->nr_spare++] = c;
	for (i = d; i + 1 < t->nr_dir; i++)
		dir_put(t, i, t->dir[i + 1].first, t->dir[i + 1].chunk);
	put(t->nr_dir, t->nr_dir - 1);
	put(t->chunks[c].n, 0);
	/* its memory, which reads as zero from now on; nothing depends on it */
	(void)madvise(&t->chunks[c], sizeof(t->chunks[c]), MADV_DONTNEED);
}

/* The upper half of a full chunk becomes one of its own */
static void chunk_split(struct vfu_table *t, unsigned int d)
{
	struct vfu_chunk *c = chunk_at(t, d), *new;

	new = chunk_new(t, d + 1, c->m[REGIONS / 2].iova);
	move_maps(new->m, &c->m[REGIONS / 2], REGIONS - REGIONS / 2);
	put(new->n, REGIONS - REGIONS / 2);
	put(c->n, REGIONS / 2);
}

static void chunk_join(struct vfu_table *t, unsigned int d)
{
	struct vfu_chunk *a, *b;

	if (d + 1 >= t->nr_dir)
		return;
	a = chunk_at(t, d);
	b = chunk_at(t, d + 1);
	if ((a->n >= FEW && b->n >= FEW) || a->n + b->n > JOINED)
		return;
	move_maps(&a->m[a->n], b->m, b->n);
	put(a->n, a->n + b->n);
	chunk_drop(t, d + 1);
}

/* After regions left the chunk at @d */
static void chunk_tidy(struct vfu_table *t, unsigned int d)
{
	struct vfu_chunk *c = chunk_at(t, d);

	if (c->n) {
		put(t->dir[d].first, c->m[0].iova);
		chunk_join(t, d);
	} else {
		chunk_drop(t, d);
	}
	if (d)
		chunk_join(t, d - 1);
}

static void add(struct vfu_table *t, const struct vfu_map *m)
{
	unsigned int d = upper_dir(t, m->iova), i;
	struct vfu_chunk *c;

	if (!t->nr_dir) {
		c = chunk_new(t, 0, m->iova);
	} else {
		d -= d > 0;
		if (chunk_at(t, d)->n == REGIONS) {
			chunk_split(t, d);
			d += t->dir[d + 1].first <= m->iova;
		}
		c = chunk_at(t, d);
	}
	i = upper(c, m->iova);
	move_maps(&c->m[i + 1], &c->m[i], c->n - i);
	put_map(&c->m[i], m);
	put(c->n, c->n + 1);
	if (!i)
		put(t->dir[d].first, m->iova);
	put(t->nr, t->nr + 1);
}

/* ---- what the writer calls ---- */

/* Place of the first region that ends at or after @iova. Return: whether there is one */
static bool seek(struct vfu_table *t, uint64_t iova, unsigned int *d, unsigned int *i)
{
	struct vfu_chunk *c;

	*d = upper_dir(t, iova);
	*d -= *d > 0;
	if (*d == t->nr_dir)
		return false;
	c = chunk_at(t, *d);
	*i = upper(c, iova);
	if (*i && last_of(&c->m[*i - 1]) >= iova)
		--*i;
	if (*i == c->n) {
		++*d;
		*i = 0;
	}
	return *d < t->nr_dir;
}

bool vfu_table_first(struct vfu_table *t, uint64_t iova, uint64_t last, struct vfu_map *out)
{
	unsigned int d, i;

	if (!seek(t, iova, &d, &i))
		return false;
	*out = chunk_at(t, d)->m[i];
	return out->iova <= last;
}

int vfu_table_add(struct vfu_table *t, const struct vfu_map *m)
{
	if (t->nr >= t->max)
		return -ENOSPC;
	change_begin(t);
	add(t, m);
	change_end(t);
	return 0;
}

/* What is left of @m above @last */
static void rest_above(struct vfu_map *m, uint64_t last)
{
	uint64_t skip = last + 1 - m->iova;
	struct vfu_map rest = *m;

	rest.iova += skip;
	rest.size -= skip;
	if (rest.host)
		rest.host += skip;
	put_map(m, &rest);
}

int vfu_table_cut(struct vfu_table *t, uint64_t iova, uint64_t last,
		  void (*gone)(void *ctx, const struct vfu_map *m, bool more), void *ctx,
		  bool *cut)
{
	unsigned int d, i, end, k;
	int ret = 0;

	*cut = false;
	while (seek(t, iova, &d, &i)) {
		struct vfu_chunk *c = chunk_at(t, d);
		struct vfu_map *m = &c->m[i];

		if (m->iova > last)
			break;
		*cut = true;
		change_begin(t);
		if (m->iova < iova) {
			struct vfu_map above = *m;

			put(m->size, iova - m->iova);
			if (last_of(&above) <= last) {
				change_end(t);
				continue;
			}
			rest_above(&above, last);
			if (t->nr < t->max) {
				gone(ctx, &above, true);
				add(t, &above);
			} else {
				ret = -ENOSPC;
			}
			change_end(t);
			break;
		}
		end = upper(c, last);
		if (last_of(&c->m[end - 1]) > last)
			rest_above(&c->m[--end], last);
		for (k = i; k < end; k++)
			gone(ctx, &c->m[k], false);
		move_maps(m, &c->m[end], c->n - end);
		put(c->n, c->n - (end - i));
		put(t->nr, t->nr - (end - i));
		chunk_tidy(t, d);
		change_end(t);
	}
	return ret;
}

void vfu_table_clear(struct vfu_table *t)
{
	change_begin(t);
	put(t->nr, 0);
	put(t->nr_dir, 0);
	change_end(t);
	(void)madvise(t->chunks, t->top * sizeof(*t->chunks), MADV_DONTNEED);
	t->top = 0;
	t->nr_spare = 0;
}
