// SPDX-License-Identifier: MIT
/* snpu-bench coll: ranks, their buffers and communicators. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coll.h"

/**
 * coll_fail_why - says on stderr why a collective call failed
 * @ret: negative errno
 * @what: what could not be done
 *
 * Return: @ret
 */
int coll_fail_why(int ret, const char *what)
{
	fprintf(stderr, "snpu-bench: coll: %s: %s\n", what, strerror(-ret));
	if (*snpu_coll_last_error())
		fprintf(stderr, "  %s\n", snpu_coll_last_error());
	return ret;
}

/* NPUs to use: all, or those of the first hosts */
static int pick(struct coll_world *w, unsigned int *npu, unsigned int *count)
{
	unsigned int i, found = snpu_count(w->snpu);
	struct snpu_info info;
	int ret;

	*count = 0;
	for (i = 0; i < found; i++) {
		if (w->o->hosts) {
			ret = snpu_get_info(w->snpu, i, &info, sizeof(info));
			if (ret)
				return bench_fail(ret, "coll: facts of an NPU");
			if (info.host >= w->o->hosts)
				continue;
		}
		npu[(*count)++] = i;
	}
	if (!*count) {
		fprintf(stderr, "snpu-bench: coll: no NPU found over %s\n",
			snpu_transport(w->snpu));
		return -ENODEV;
	}
	return 0;
}

static int rank_open(struct coll_world *w, struct coll_rank *r, unsigned int npu)
{
	struct snpu_queue_params params = {
		.field_mask = SNPU_QUEUE_ENTRIES | (w->o->timing ? SNPU_QUEUE_TIMING : 0),
		.entries = 256, .timing = 1,
	};
	unsigned int i;
	void *ptr;
	int ret;

	ret = snpu_ctx_create(w->snpu, npu, &r->ctx);
	if (!ret)
		ret = snpu_queue_create(r->ctx, &params, &r->q);
	for (i = 0; i < (w->o->in_place ? 1 : 2) && !ret; i++) {
		ret = snpu_mem_alloc(r->ctx, w->bytes, SNPU_MEM_HBM |
				     (w->o->reg ? SNPU_MEM_CONTIG : 0), &r->mem[i]);
		if (!ret)
			ret = snpu_mem_map(r->mem[i], &ptr);
		if (!ret)
			r->ptr[i] = ptr;
	}
	return ret ? bench_fail(ret, "coll: context, queue or buffer of a rank") : 0;
}

static int join(struct coll_world *w, const struct snpu_coll_params *p)
{
	struct snpu_coll **comms = calloc(w->n, sizeof(struct snpu_coll *));
	struct snpu_ctx **ctxs = calloc(w->n, sizeof(struct snpu_ctx *));
	struct snpu_coll_uid uid;
	unsigned int i;
	int ret = comms && ctxs ? 0 : -ENOMEM;

	for (i = 0; i < w->n && !ret; i++)
		ctxs[i] = w->rank[i].ctx;
	if (!ret && !w->o->name)
		ret = snpu_coll_init_all(comms, ctxs, w->n, p);
	if (!ret && w->o->name) {
		ret = snpu_coll_uid_of_name(w->o->name, &uid);
		if (!ret)
			ret = snpu_coll_group_start();
		for (i = 0; i < w->n && !ret; i++)
			ret = snpu_coll_init_rank(&comms[i], ctxs[i], w->total, &uid,
						  w->o->base + i, p);
		if (!ret)
			ret = snpu_coll_group_end();
	}
	for (i = 0; comms && i < w->n; i++)
		w->rank[i].comm = comms[i];
	free(comms);
	free(ctxs);
	return ret ? coll_fail_why(ret, "communicator") : 0;
}

static int make_windows(struct coll_world *w)
{
	unsigned int i, k;
	int ret = 0;

	for (k = 0; k < 2 && !ret; k++) {
		ret = snpu_coll_group_start();
		for (i = 0; i < w->n && w->rank[i].mem[k] && !ret; i++)
			ret = snpu_coll_register(w->rank[i].comm, w->rank[i].mem[k]);
		if (!ret)
			ret = snpu_coll_group_end();
	}
	return ret ? coll_fail_why(ret, "registration of a buffer") : 0;
}

/**
 * coll_world_open - contexts, queues, buffers and communicators of all ranks here
 * @w: options and NPUs; the rest is set
 *
 * Return: 0 or a negative errno, said on stderr
 */
int coll_world_open(struct coll_world *w)
{
	struct snpu_coll_params p = {
		.field_mask = SNPU_COLL_PARAM_TIMEOUT,
		.algo = w->o->algo, .slot_bytes = w->o->slot,
		.timeout_ns = w->o->timeout_s * 1000000000ull,
	};
	unsigned int *npu = calloc(snpu_count(w->snpu) + 1, sizeof(*npu)), count, i;
	uint64_t start = bench_now();
	int ret = npu ? pick(w, npu, &count) : -ENOMEM;

	if (ret) {
		free(npu);
		return ret;
	}
	w->n = w->o->ranks ? w->o->ranks : count;
	w->total = w->o->name ? w->o->total : w->n;
	if (w->o->base + w->n > w->total || w->total > SNPU_COLL_MAX_RANKS ||
	    w->o->root >= w->total) {
		fprintf(stderr, "snpu-bench: coll: ranks %u to %u, root %u, of %u: at most %u\n",
			w->o->base, w->o->base + w->n - 1, w->o->root, w->total,
			SNPU_COLL_MAX_RANKS);
		free(npu);
		return -EINVAL;
	}
	if (w->o->algo)
		p.field_mask |= SNPU_COLL_PARAM_ALGO;
	if (w->o->slot)
		p.field_mask |= SNPU_COLL_PARAM_SLOT;
	/* all-gather and others round up to whole elements for each rank */
	w->bytes = w->o->max + w->total * 8;
	w->rank = calloc(w->n, sizeof(*w->rank));
	if (!w->rank)
		ret = bench_fail(-ENOMEM, "coll");
	for (i = 0; i < w->n && !ret; i++)
		ret = rank_open(w, &w->rank[i], npu[i % count]);
	free(npu);
	if (!ret)
		ret = join(w, &p);
	if (!ret && w->o->reg)
		ret = make_windows(w);
	if (!ret && !w->o->timing)
		ret = coll_table_fill(w);
	w->setup_ns = bench_now() - start;
	return ret;
}

/**
 * coll_world_close - undoes coll_world_open(), however far it came
 * @w: world
 */
void coll_world_close(struct coll_world *w)
{
	unsigned int i;

	for (i = 0; w->rank && i < w->n; i++)
		snpu_coll_destroy(w->rank[i].comm);
	for (i = 0; w->rank && i < w->n; i++) {
		snpu_queue_destroy(w->rank[i].q);
		snpu_mem_free(w->rank[i].mem[0]);
		snpu_mem_free(w->rank[i].mem[1]);
		if (w->rank[i].ctx)
			snpu_ctx_destroy(w->rank[i].ctx);
	}
	free(w->rank);
	free(w->table);
}
