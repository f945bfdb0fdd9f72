// SPDX-License-Identifier: MIT
/*
 * Rows of the matrix engine: 2048^3 through a queue, and by oneDNN called here with the same
 * layouts and types. oneDNN is loaded only when it is wanted: 40 MB that a guest can do without.
 */
#include <dlfcn.h>
#include <errno.h>
#include <math.h>
#include <oneapi/dnnl/dnnl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

#define DIM		2048
#define ELEMS		((size_t)DIM * DIM)
#define ROUNDS		15
#define LIMIT_NS	(60ull * 1000 * 1000 * 1000)

/* The calls that are used, by name and type */
#define CALLS(_)							\
	_(dnnl_engine_create)						\
	_(dnnl_engine_destroy)						\
	_(dnnl_stream_create)						\
	_(dnnl_stream_wait)						\
	_(dnnl_stream_destroy)						\
	_(dnnl_memory_desc_create_with_tag)				\
	_(dnnl_memory_desc_destroy)					\
	_(dnnl_memory_create)						\
	_(dnnl_memory_destroy)						\
	_(dnnl_matmul_primitive_desc_create)				\
	_(dnnl_primitive_desc_destroy)					\
	_(dnnl_primitive_create)					\
	_(dnnl_primitive_destroy)					\
	_(dnnl_primitive_execute)

#define FIELD(name)	__typeof__(&name) name;

static struct {
	CALLS(FIELD)
} dnn;

/* struct type - a row: what is multiplied */
struct type {
	const char *row;
	unsigned int dtype;
	unsigned int dtype_c;
	dnnl_data_type_t dnnl;
	dnnl_data_type_t dnnl_c;
};

/* struct direct - a product made by oneDNN in this process */
struct direct {
	dnnl_engine_t engine;
	dnnl_stream_t stream;
	dnnl_memory_desc_t md[3];
	dnnl_memory_t mem[3];
	void *data[3];
	dnnl_primitive_desc_t pd;
	dnnl_primitive_t prim;
};

#define STR(x)		#x
#define XSTR(x)		STR(x)

static int load(unsigned int threads)
{
	static const char *const names[] = {
		"libdnnl.so." XSTR(DNNL_VERSION_MAJOR) "." XSTR(DNNL_VERSION_MINOR),
		"libdnnl.so." XSTR(DNNL_VERSION_MAJOR),
		"libdnnl.so",
	};
	void *lib = NULL;
	char text[16];
	unsigned int i;

	/* read when the library starts its threads */
	snprintf(text, sizeof(text), "%u", threads);
	setenv("OMP_NUM_THREADS", text, 1);
	for (i = 0; i < sizeof(names) / sizeof(*names) && !lib; i++)
		lib = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
	if (!lib) {
		fprintf(stderr, "snpu-bench: %s\n", dlerror());
		return -ELIBACC;
	}
#define RESOLVE(name)							\
	dnn.name = (__typeof__(&name))dlsym(lib, #name);		\
	if (!dnn.name)							\
		return -ELIBBAD;
	CALLS(RESOLVE)
	return 0;
}

static void direct_close(struct direct *d)
{
	unsigned int i;

	if (d->prim)
		dnn.dnnl_primitive_destroy(d->prim);
	if (d->pd)
		dnn.dnnl_primitive_desc_destroy(d->pd);
	for (i = 0; i < 3; i++) {
		if (d->mem[i])
			dnn.dnnl_memory_destroy(d->mem[i]);
		if (d->md[i])
			dnn.dnnl_memory_desc_destroy(d->md[i]);
		free(d->data[i]);
	}
	if (d->stream)
		dnn.dnnl_stream_destroy(d->stream);
	if (d->engine)
		dnn.dnnl_engine_destroy(d->engine);
}

static int direct_open(struct direct *d, const struct type *t)
{
	const dnnl_dims_t dims = { DIM, DIM };
	unsigned int i;
	bool bad;

	bad = dnn.dnnl_engine_create(&d->engine, dnnl_cpu, 0) ||
	      dnn.dnnl_stream_create(&d->stream, d->engine, dnnl_stream_default_flags);
	for (i = 0; i < 3 && !bad; i++) {
		d->data[i] = aligned_alloc(2u << 20, ELEMS * 4);
		if (!d->data[i])
			return -ENOMEM;
		memset(d->data[i], 0, ELEMS * 4);
		bad = dnn.dnnl_memory_desc_create_with_tag(&d->md[i], 2, dims,
							   i < 2 ? t->dnnl : t->dnnl_c, dnnl_ab) ||
		      dnn.dnnl_memory_create(&d->mem[i], d->md[i], d->engine, d->data[i]);
	}
	bad = bad || dnn.dnnl_matmul_primitive_desc_create(&d->pd, d->engine, d->md[0], d->md[1],
							   NULL, d->md[2], NULL) ||
	      dnn.dnnl_primitive_create(&d->prim, d->pd);
	return bad ? -EOPNOTSUPP : 0;
}

static int direct_run(struct direct *d, double *gops)
{
	dnnl_exec_arg_t args[] = {
		{ DNNL_ARG_SRC, d->mem[0] },
		{ DNNL_ARG_WEIGHTS, d->mem[1] },
		{ DNNL_ARG_DST, d->mem[2] },
	};
	uint64_t start = bench_now();

	if (dnn.dnnl_primitive_execute(d->prim, d->stream, 3, args) ||
	    dnn.dnnl_stream_wait(d->stream))
		return -EIO;
	*gops = 2.0 * DIM * DIM * DIM / (double)(bench_now() - start);
	return 0;
}

/* The same numbers for both: small whole ones, so that every way to add them gives the same */
static void fill(void *to, unsigned int dtype, unsigned int salt)
{
	uint16_t *h = to;
	int8_t *b = to;
	size_t i;
	int v;

	for (i = 0; i < ELEMS; i++) {
		v = (int)((i * 2654435761u + salt) >> 13 & 7) - 4;
		if (dtype == SNPU_DT_I8)
			b[i] = (int8_t)v;
		else
			h[i] = (uint16_t)(snpu_f32_bits((float)v) >> 16);
	}
}

static int queue_run(struct snpu_queue *q, const struct type *t, uint64_t base, double *gops)
{
	union snpu_pkt *p = snpu_queue_get(q);
	uint64_t position, start;
	int ret;

	if (!p)
		return -EAGAIN;
	snpu_prep_matmul(p, 0, t->dtype, t->dtype_c, base + 2 * ELEMS * 4, base,
			 base + ELEMS * 4, 0, DIM, DIM, DIM);
	start = bench_now();
	ret = snpu_queue_submit(q, &position);
	if (!ret)
		ret = snpu_queue_wait(q, position, LIMIT_NS);
	*gops = 2.0 * DIM * DIM * DIM / (double)(bench_now() - start);
	return ret;
}

static int compare(struct snpu_queue *q, const struct type *t, struct snpu_mem *mem,
		   struct direct *d, double gops[2])
{
	double sample[2][ROUNDS];
	unsigned int i;
	void *ptr;
	int ret;

	ret = snpu_mem_map(mem, &ptr);
	if (ret)
		return ret;
	for (i = 0; i < 2; i++) {
		fill(d->data[i], t->dtype, i * 77);
		fill((char *)ptr + i * ELEMS * 4, t->dtype, i * 77);
	}
	/* the first of each makes code for the shape; the others take turns */
	ret = queue_run(q, t, snpu_mem_va(mem), &sample[0][0]);
	if (!ret)
		ret = direct_run(d, &sample[1][0]);
	for (i = 0; i < ROUNDS && !ret; i++) {
		ret = queue_run(q, t, snpu_mem_va(mem), &sample[0][i]);
		if (!ret)
			ret = direct_run(d, &sample[1][i]);
	}
	if (ret)
		return ret;
	if (memcmp((char *)ptr + 2 * ELEMS * 4, d->data[2], ELEMS * 4))
		return -EBADMSG;
	gops[0] = bench_best(sample[0], ROUNDS);
	gops[1] = bench_best(sample[1], ROUNDS);
	return 0;
}

static int one(struct bench *b, const struct type *t, double gops[2])
{
	struct snpu_queue *q = NULL;
	struct snpu_mem *mem = NULL;
	struct direct d = { 0 };
	struct snpu_ctx *ctx;
	int ret;

	ret = snpu_ctx_create(b->snpu, 0, &ctx);
	if (ret)
		return ret;
	ret = snpu_queue_create(ctx, NULL, &q);
	if (!ret)
		ret = snpu_mem_alloc(ctx, 3 * ELEMS * 4, SNPU_MEM_HBM, &mem);
	if (!ret)
		ret = direct_open(&d, t);
	if (!ret)
		ret = compare(q, t, mem, &d, gops);
	direct_close(&d);
	if (mem)
		snpu_mem_free(mem);
	if (q)
		snpu_queue_destroy(q);
	snpu_ctx_destroy(ctx);
	return ret;
}

/**
 * bench_matmul - products of 2048 x 2048 matrices
 * @b: NPUs and options
 *
 * Return: 0 or a negative errno
 */
int bench_matmul(struct bench *b)
{
	static const struct type types[] = {
		{ "matmul-bf16", SNPU_DT_BF16, SNPU_DT_F32, dnnl_bf16, dnnl_f32 },
		{ "matmul-int8", SNPU_DT_I8, SNPU_DT_I32, dnnl_s8, dnnl_s32 },
	};
	double gops[2];
	char note[64];
	unsigned int i;
	int ret, row = 0;

	ret = load(b->threads);
	for (i = 0; i < sizeof(types) / sizeof(*types) && !row; i++) {
		if (!ret) {
			gops[0] = NAN;
			gops[1] = NAN;
			ret = one(b, &types[i], gops);
		}
		if (ret == -EBADMSG) {
			row = bench_row(types[i].row, gops[0], gops[1], false,
					"results differ from oneDNN's");
			ret = 0;
			continue;
		}
		if (ret) {
			row = bench_row_missing(types[i].row, bench_why(ret));
			continue;
		}
		snprintf(note, sizeof(note), "2048^3, best of 15, %u thread%s", b->threads,
			 b->threads > 1 ? "s" : "");
		row = bench_row(types[i].row, gops[0], gops[1], true, note);
	}
	return row;
}
