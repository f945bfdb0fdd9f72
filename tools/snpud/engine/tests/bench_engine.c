// SPDX-License-Identifier: MIT
/*
 * What the engine costs by itself, on memory in one piece and one thread, next to what it could
 * cost: memcpy and a non-temporal copy, oneDNN called directly. Fewest nanoseconds of several runs.
 * usage: bench_engine [NAME...]; prints name, value, unit, reference, ratio.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <sys/mman.h>
#include <dnnl.h>
#include <omp.h>

#include "kernels.h"
#include "range.h"

#define BYTES	(64ull << 20)
#define BASE	(1ull << 32)
#define ROUNDS	5

static uint8_t *mem;		/* three operands of 64 MiB at BASE */
static struct snpu_engine *eng;
static int num_only;
static char **only;

static int resolve(void *ctx, uint64_t va, uint64_t len, unsigned int access, void **host,
		   uint64_t *run)
{
	(void)ctx;
	(void)access;
	*host = mem + (va - BASE);
	*run = len;
	return SNPU_ERR_NONE;
}

static int slow_read(void *ctx, uint64_t va, void *buf, uint64_t len)
{
	(void)ctx;
	memcpy(buf, mem + (va - BASE), len);
	return SNPU_ERR_NONE;
}

static int slow_write(void *ctx, uint64_t va, const void *buf, uint64_t len)
{
	(void)ctx;
	memcpy(mem + (va - BASE), buf, len);
	return SNPU_ERR_NONE;
}

static int checkpoint(void *ctx)
{
	(void)ctx;
	return SNPU_ERR_NONE;
}

static const struct snpu_mem_ops ops = { resolve, slow_read, slow_write, checkpoint };

/* Time of this thread alone: the machine may have other things to do */
static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void run_pkt(const void *arg)
{
	struct snpu_fault fault;
	struct snpu_work work;
	unsigned int err = snpu_pkt_check(arg);

	if (err || snpu_engine_exec(eng, arg, &ops, NULL, &fault, &work)) {
		fprintf(stderr, "packet of op 0x%02x fails: %u\n", *(const uint8_t *)arg,
			err ? err : fault.error);
		exit(1);
	}
}

/* Fewest ns of one call, over about a tenth of a second */
static double best(void (*fn)(const void *arg), const void *arg)
{
	double min = 1e18, end;

	fn(arg);
	fn(arg);
	for (end = now() + 1e8; now() < end;) {
		unsigned int i, n = min < 1e5 ? 100 : 1;
		double t = now();

		for (i = 0; i < n; i++)
			fn(arg);
		t = (now() - t) / n;
		min = t < min ? t : min;
	}
	return min;
}

static double least(double a, double b)
{
	return a < b ? a : b;
}

static int wanted(const char *name)
{
	int i;

	for (i = 0; i < num_only; i++)
		if (!strncmp(name, only[i], strlen(only[i])))
			return 1;
	return !num_only;
}

static void line(const char *name, double value, const char *unit, const char *ref_name, double ref)
{
	printf("%-22s %9.2f %-9s", name, value, unit);
	if (ref > 0)
		printf(" %-9s %9.2f  ratio %.2f", ref_name, ref, value / ref);
	printf("\n");
	fflush(stdout);
}

static void do_memcpy(const void *arg)
{
	memcpy(mem + BYTES, mem, *(const uint64_t *)arg);
}

static void do_copy_nt(const void *arg)
{
	snpu_kernels()->copy_nt(mem + BYTES, mem, *(const uint64_t *)arg);
	__builtin_ia32_sfence();
}

static void bench_copy(void)
{
	static const uint64_t sizes[] = { 4096, 1 << 20, 8 << 20, 64 << 20 };
	unsigned int i, r;
	char name[32];

	for (i = 0; i < 4; i++) {
		union snpu_pkt p = { .copy = { .hdr.op = SNPU_OP_COPY, .src = BASE,
					       .dst = BASE + BYTES, .bytes = sizes[i] } };
		double a, b, c;

		snprintf(name, sizeof(name), "copy_%lluk", (unsigned long long)sizes[i] >> 10);
		if (!wanted(name))
			continue;
		a = b = c = 1e18;
		for (r = 0; r < ROUNDS; r++) {
			a = least(a, best(do_memcpy, &sizes[i]));
			b = least(b, best(do_copy_nt, &sizes[i]));
			c = least(c, best(run_pkt, &p));
		}
		a = (double)sizes[i] / a;
		b = (double)sizes[i] / b;
		c = (double)sizes[i] / c;
		line(name, c, "GB/s", a > b ? "memcpy" : "nt", a > b ? a : b);
	}
}

struct direct {
	dnnl_primitive_t prim;
	dnnl_stream_t stream;
	dnnl_exec_arg_t args[3];
};

static void do_direct(const void *arg)
{
	const struct direct *d = arg;

	if (dnnl_primitive_execute(d->prim, d->stream, 3, d->args) || dnnl_stream_wait(d->stream))
		abort();
}

static double direct_ns(dnnl_data_type_t dt, dnnl_data_type_t dc, int64_t n, char *impl, size_t len)
{
	static const int id[3] = { DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST };
	dnnl_dims_t dims = { n, n }, strides = { n, 1 };
	dnnl_memory_desc_t md[3];
	dnnl_primitive_desc_t pd;
	dnnl_engine_t engine;
	const char *info = "?";
	struct direct d;
	double ns;
	int i;

	if (dnnl_engine_create(&engine, dnnl_cpu, 0) || dnnl_stream_create(&d.stream, engine, 1))
		abort();
	for (i = 0; i < 3; i++)
		if (dnnl_memory_desc_create_with_strides(&md[i], 2, dims, i < 2 ? dt : dc, strides))
			abort();
	if (dnnl_matmul_primitive_desc_create(&pd, engine, md[0], md[1], NULL, md[2], NULL)) {
		snprintf(impl, len, "none");
		return 0;
	}
	dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, &info);
	snprintf(impl, len, "%s", info);
	if (dnnl_primitive_create(&d.prim, pd))
		abort();
	for (i = 0; i < 3; i++) {
		d.args[i].arg = id[i];
		if (dnnl_memory_create(&d.args[i].memory, md[i], engine, mem + (uint64_t)i * BYTES))
			abort();
	}
	ns = strstr(impl, "ref") ? 0 : best(do_direct, &d);
	for (i = 0; i < 3; i++) {
		dnnl_memory_destroy(d.args[i].memory);
		dnnl_memory_desc_destroy(md[i]);
	}
	dnnl_primitive_destroy(d.prim);
	dnnl_primitive_desc_destroy(pd);
	dnnl_stream_destroy(d.stream);
	dnnl_engine_destroy(engine);
	return ns;
}

static void bench_matmul(void)
{
	static const struct {
		const char *name;
		uint8_t dt, dc;
		dnnl_data_type_t dnn, dnc;
	} type[] = {
		{ "f32", SNPU_DT_F32, SNPU_DT_F32, dnnl_f32, dnnl_f32 },
		{ "bf16", SNPU_DT_BF16, SNPU_DT_BF16, dnnl_bf16, dnnl_bf16 },
		{ "bf16_f32", SNPU_DT_BF16, SNPU_DT_F32, dnnl_bf16, dnnl_f32 },
		{ "f16", SNPU_DT_F16, SNPU_DT_F16, dnnl_f16, dnnl_f16 },
		{ "i8", SNPU_DT_I8, SNPU_DT_I32, dnnl_s8, dnnl_s32 },
	};
	static const uint32_t dims[] = { 8, 64, 512, 2048 };
	char name[40], impl[64];
	unsigned int t, s, r;

	for (t = 0; t < sizeof(type) / sizeof(type[0]); t++)
		for (s = 0; s < 4; s++) {
			uint32_t n = dims[s];
			double flops = 2.0 * n * n * n, ref, got;
			union snpu_pkt p = { .matmul = {
				.hdr = { SNPU_OP_MATMUL, 0, type[t].dt, type[t].dc, 0 }, .a = BASE,
				.b = BASE + BYTES, .c = BASE + 2 * BYTES, .m = n, .n = n, .k = n,
				.lda = n, .ldb = n, .ldc = n } };

			snprintf(name, sizeof(name), "matmul_%s_%u", type[t].name, n);
			if (!wanted(name))
				continue;
			memset(mem, 0, 3 * BYTES);
			ref = got = 1e18;
			/* in turn, so that what else the machine does hits both alike */
			for (r = 0; r < ROUNDS; r++) {
				ref = least(ref, direct_ns(type[t].dnn, type[t].dnc, n, impl,
							   sizeof(impl)));
				got = least(got, best(run_pkt, &p));
			}
			line(name, flops / got, "Gop/s", impl, ref > 0 ? flops / ref : 0);
		}
}

/* Packets of a shape that was never seen: oneDNN generates code for it */
static void bench_new_shapes(void)
{
	static const uint8_t dt[] = { SNPU_DT_F32, SNPU_DT_BF16, SNPU_DT_I8 };
	unsigned int t, i;
	char name[32];

	for (t = 0; t < 3; t++) {
		double start = now();

		snprintf(name, sizeof(name), "new_shape_%u", dt[t]);
		if (!wanted(name))
			continue;
		for (i = 0; i < 100; i++) {
			union snpu_pkt p = { .matmul = {
				.hdr = { SNPU_OP_MATMUL, 0, dt[t],
					 dt[t] == SNPU_DT_I8 ? SNPU_DT_I32 : SNPU_DT_F32, 0 },
				.a = BASE, .b = BASE + BYTES, .c = BASE + 2 * BYTES, .m = 5 + i,
				.n = 9 + i, .k = 16, .lda = 16, .ldb = 9 + i, .ldc = 9 + i } };

			run_pkt(&p);
		}
		line(name, (now() - start) / 1e5, "us", NULL, 0);
	}
}

static void bench_others(void)
{
	enum { N = 1 << 20, R = 1024, C = 1024 };
	static const struct {
		const char *name;
		union snpu_pkt p;
	} one[] = {
#define T(op, flags, dt, dt2, arg) { SNPU_OP_##op, flags, SNPU_DT_##dt, SNPU_DT_##dt2, arg }
#define VEC3(n, h) { n, { .eltwise = { .hdr = h, .a = BASE, .b = BASE + BYTES, \
				       .dst = BASE + 2 * BYTES, .count = N } } }
#define VEC2(n, h) \
	{ \
		n, \
		{ \
			.convert = {.hdr = h, .src = BASE, .dst = BASE + 2 * BYTES, .count = N } \
		} \
	}
#define ROWS(n, h, ld, w) { n, { .rows = { .hdr = h, .src = BASE, .dst = BASE + 2 * BYTES, \
					   .weight = w, .rows = R, .cols = C, .ld_src = C, \
					   .ld_dst = ld } } }
		VEC3("add_f32", T(ELTWISE, 0, F32, NONE, SNPU_ELT_ADD)),
		{ "add_f32_inplace", { .eltwise = { .hdr = T(ELTWISE, 0, F32, NONE, SNPU_ELT_ADD),
						    .a = BASE, .b = BASE + BYTES, .dst = BASE,
						    .count = N } } },
		VEC3("add_bf16", T(ELTWISE, 0, BF16, NONE, SNPU_ELT_ADD)),
		VEC3("max_f16", T(ELTWISE, 0, F16, NONE, SNPU_ELT_MAX)),
		VEC3("add_i32", T(ELTWISE, 0, I32, NONE, SNPU_ELT_ADD)),
		VEC2("f32_to_bf16", T(CONVERT, 0, F32, BF16, 0)),
		VEC2("bf16_to_f32", T(CONVERT, 0, BF16, F32, 0)),
		VEC2("f32_to_f16", T(CONVERT, 0, F32, F16, 0)),
		VEC2("f16_to_f32", T(CONVERT, 0, F16, F32, 0)),
		VEC2("f32_to_i8", T(CONVERT, 0, F32, I8, 0)),
		VEC2("f32_to_i32", T(CONVERT, 0, F32, I32, 0)),
		VEC2("silu_f32", T(ACT, 0, F32, NONE, SNPU_ACT_SILU)),
		VEC2("gelu_f32", T(ACT, 0, F32, NONE, SNPU_ACT_GELU)),
		VEC2("gelu_bf16", T(ACT, 0, BF16, NONE, SNPU_ACT_GELU)),
		ROWS("sum_rows_f32", T(REDUCE_SUM, 0, F32, F32, 0), 0, 0),
		ROWS("sum_rows_i8", T(REDUCE_SUM, 0, I8, I32, 0), 0, 0),
		ROWS("sum_columns_bf16", T(REDUCE_SUM, SNPU_PF_COLUMNS, BF16, F32, 0), 0, 0),
		ROWS("softmax_f32", T(SOFTMAX, 0, F32, NONE, 0), C, 0),
		ROWS("softmax_bf16", T(SOFTMAX, 0, BF16, NONE, 0), C, 0),
		ROWS("rmsnorm_bf16", T(RMSNORM, 0, BF16, NONE, 0), C, BASE + BYTES),
		ROWS("argmax_f32", T(ARGMAX, 0, F32, NONE, 0), 0, 0),
		ROWS("argmax_i32", T(ARGMAX, 0, I32, NONE, 0), 0, 0),
	};
	static const union snpu_pkt nop = { .hdr.op = SNPU_OP_NOP };
	union snpu_pkt fill = { .fill = { .hdr = { SNPU_OP_FILL, 0, 0, 0, 4 }, .dst = BASE,
					  .bytes = BYTES, .pattern = 5 } };
	union snpu_pkt crc = { .crc32c = { .hdr.op = SNPU_OP_CRC32C, .src = BASE, .bytes = 8 << 20,
					   .dst = BASE + 2 * BYTES } };
	union snpu_pkt gather = { .gather = { .hdr = T(GATHER, 0, F32, NONE, 0), .table = BASE,
					      .index = BASE + BYTES, .dst = BASE + 2 * BYTES,
					      .count = 4096, .cols = 16, .table_rows = 4096,
					      .ld_table = 16, .ld_dst = 16 } };
	unsigned int i, j;
	double t;

	memset(mem, 0, 3 * BYTES);
	for (i = 0; i < sizeof(one) / sizeof(one[0]); i++) {
		for (j = 0; j < N; j++) {
			float v = (float)((int)(j * 2654435761u >> 16) - 32768) / 4096;

			if (one[i].p.hdr.dtype == SNPU_DT_BF16)
				memcpy(mem + j * 2, (uint8_t *)&v + 2, 2);
			else
				memcpy(mem + j * 4, &v, 4);
		}
		if (wanted(one[i].name))
			line(one[i].name, best(run_pkt, &one[i].p) / N, "ns/elem", NULL, 0);
	}
	if (wanted("fill"))
		line("fill", (double)BYTES / best(run_pkt, &fill), "GB/s", NULL, 0);
	if (wanted("crc32c"))
		line("crc32c", (double)crc.crc32c.bytes / best(run_pkt, &crc), "GB/s", NULL, 0);
	if (wanted("gather"))
		line("gather_64B", best(run_pkt, &gather) / 4096, "ns/row", NULL, 0);
	if (!wanted("nop"))
		return;
	for (t = now(), i = 0, j = 0; i < 10000000; i++) {
		__asm__ volatile("" : : "r"(&nop) : "memory");
		j += snpu_pkt_check(&nop);
	}
	line("nop_check", (now() - t) / 1e7 + j, "ns", NULL, 0);
}

int main(int argc, char **argv)
{
	num_only = argc - 1;
	only = argv + 1;
	omp_set_num_threads(1);
	mem = mmap(NULL, 3 * BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	eng = snpu_engine_create();
	if (mem == MAP_FAILED || !eng) {
		fprintf(stderr, "no memory\n");
		return 1;
	}
	madvise(mem, 3 * BYTES, MADV_HUGEPAGE);
	memset(mem, 1, 3 * BYTES);
	bench_copy();
	bench_matmul();
	bench_new_shapes();
	bench_others();
	snpu_engine_destroy(eng);
	return 0;
}
