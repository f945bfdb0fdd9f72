// SPDX-License-Identifier: MIT
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <dnnl.h>

#include "fake.h"

unsigned int fake_failures;

uint64_t fake_rand(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

double fake_uniform(uint64_t *state)
{
	return (double)(int64_t)fake_rand(state) / 9223372036854775808.0;
}

static uint8_t *map(int fd, uint64_t bytes, int prot)
{
	/* a page that nobody may touch on either side */
	uint8_t *m = mmap(NULL, bytes + 2 * FAKE_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			  0);

	if (m == MAP_FAILED ||
	    mmap(m + FAKE_PAGE, bytes, prot, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED) {
		perror("mmap");
		exit(99);
	}
	return m + FAKE_PAGE;
}

void fake_init(struct fake *f, bool scatter, uint64_t seed)
{
	uint64_t bytes = (uint64_t)FAKE_PAGES * FAKE_PAGE;
	int fd = memfd_create("fake", 0);
	uint32_t i;

	if (fd < 0 || ftruncate(fd, (off_t)bytes)) {
		perror("memfd");
		exit(99);
	}
	memset(f, 0, sizeof(*f));
	f->mem = map(fd, bytes, PROT_READ | PROT_WRITE);
	f->view[0] = map(fd, bytes, PROT_READ | PROT_WRITE);
	f->view[1] = map(fd, bytes, PROT_NONE);
	close(fd);
	for (i = 0; i < FAKE_PAGES; i++) {
		f->page[i] = i;
		f->kind[i] = FAKE_RW;
	}
	for (i = FAKE_PAGES - 1; scatter && i; i--) {
		uint32_t j = (uint32_t)(fake_rand(&seed) % (i + 1)), t = f->page[i];

		f->page[i] = f->page[j];
		f->page[j] = t;
		if (fake_rand(&seed) % 8 == 0)
			f->kind[i] = FAKE_SLOW;
	}
}

void fake_free(struct fake *f)
{
	uint64_t bytes = (uint64_t)(FAKE_PAGES + 2) * FAKE_PAGE;

	munmap(f->mem - FAKE_PAGE, bytes);
	munmap(f->view[0] - FAKE_PAGE, bytes);
	munmap(f->view[1] - FAKE_PAGE, bytes);
}

static void copy(struct fake *f, uint64_t va, uint8_t *buf, uint64_t len, bool write)
{
	while (len) {
		uint64_t off = va - FAKE_BASE, in = off % FAKE_PAGE, n = FAKE_PAGE - in;
		uint8_t *host = f->mem + (uint64_t)f->page[off / FAKE_PAGE] * FAKE_PAGE + in;

		n = n < len ? n : len;
		memcpy(write ? host : buf, write ? buf : host, n);
		va += n;
		buf += n;
		len -= n;
	}
}

void fake_write(struct fake *f, uint64_t va, const void *buf, uint64_t len)
{
	copy(f, va, (uint8_t *)buf, len, true);
}

void fake_read(struct fake *f, uint64_t va, void *buf, uint64_t len)
{
	copy(f, va, buf, len, false);
}

static int access_error(struct fake *f, uint64_t va, bool write)
{
	uint64_t i = (va - FAKE_BASE) / FAKE_PAGE;

	if (va < FAKE_BASE || i >= FAKE_PAGES || f->kind[i] == FAKE_NONE)
		return SNPU_ERR_UNMAPPED;
	return write && f->kind[i] == FAKE_RO ? SNPU_ERR_PERM : 0;
}

static int resolve(void *ctx, uint64_t va, uint64_t len, unsigned int access, void **host,
		   uint64_t *run)
{
	struct fake *f = ctx;
	uint64_t i = (va - FAKE_BASE) / FAKE_PAGE, in = va % FAKE_PAGE;
	int err = access_error(f, va, access & SNPU_MEM_WRITE);

	if (err)
		return err;
	*run = FAKE_PAGE - in;
	if (f->kind[i] == FAKE_SLOW || f->kind[i] == FAKE_BUS) {
		*host = NULL;
		/* what the slow path reaches is one piece, broken pages and all */
		while (*run < len && ++i < FAKE_PAGES &&
		       (f->kind[i] == FAKE_SLOW || f->kind[i] == FAKE_BUS))
			*run += FAKE_PAGE;
	} else {
		*host = f->view[f->now] + (uint64_t)f->page[i] * FAKE_PAGE + in;
		while (*run < len && ++i < FAKE_PAGES && f->kind[i] == f->kind[i - 1] &&
		       f->page[i] == f->page[i - 1] + 1)
			*run += FAKE_PAGE;
	}
	*run = *run < len ? *run : len;
	return SNPU_ERR_NONE;
}

static int slow(struct fake *f, uint64_t va, uint8_t *buf, uint64_t len, bool write)
{
	uint64_t a;

	for (a = va & ~(FAKE_PAGE - 1ull); a < va + len; a += FAKE_PAGE) {
		int err = access_error(f, a, write);

		if (!err && f->kind[(a - FAKE_BASE) / FAKE_PAGE] == FAKE_BUS)
			err = SNPU_ERR_BUS;
		if (err)
			return err;
	}
	copy(f, va, buf, len, write);
	return 0;
}

static int slow_read(void *ctx, uint64_t va, void *buf, uint64_t len)
{
	return slow(ctx, va, buf, len, false);
}

static int slow_write(void *ctx, uint64_t va, const void *buf, uint64_t len)
{
	return slow(ctx, va, (uint8_t *)buf, len, true);
}

static int checkpoint(void *ctx)
{
	struct fake *f = ctx;

	uint64_t bytes = (uint64_t)FAKE_PAGES * FAKE_PAGE;

	/* whoever still uses a pointer from before is found out */
	if (mprotect(f->view[f->now], bytes, PROT_NONE) ||
	    mprotect(f->view[!f->now], bytes, PROT_READ | PROT_WRITE)) {
		perror("mprotect");
		exit(99);
	}
	f->now = !f->now;
	f->checkpoints++;
	return f->abort_after && f->checkpoints >= f->abort_after ? SNPU_ERR_ABORTED : 0;
}

int fake_exec(struct fake *f, struct snpu_engine *e, const union snpu_pkt *p,
	      struct snpu_fault *fault)
{
	static const struct snpu_mem_ops ops = {
		.resolve = resolve, .slow_read = slow_read, .slow_write = slow_write,
		.checkpoint = checkpoint,
	};
	struct snpu_work work;
	unsigned int err = snpu_pkt_check(p);

	f->checkpoints = 0;
	*fault = (struct snpu_fault){ .error = err };
	return err ? (int)err : snpu_engine_exec(e, p, &ops, f, fault, &work);
}

/*
 * Whether oneDNN works at the level that ONEDNN_MAX_CPU_ISA names, if it names one. A level above
 * the CPU would test the CPU's own a second time.
 */
static bool has_isa(const char *name)
{
	static const struct {
		const char *name;
		dnnl_cpu_isa_t isa;
	} level[] = {
		{ "SSE41", dnnl_cpu_isa_sse41 },
		{ "AVX", dnnl_cpu_isa_avx },
		{ "AVX2", dnnl_cpu_isa_avx2 },
		{ "AVX2_VNNI", dnnl_cpu_isa_avx2_vnni },
		{ "AVX2_VNNI_2", dnnl_cpu_isa_avx2_vnni_2 },
		{ "AVX512_CORE", dnnl_cpu_isa_avx512_core },
		{ "AVX512_CORE_VNNI", dnnl_cpu_isa_avx512_core_vnni },
		{ "AVX512_CORE_BF16", dnnl_cpu_isa_avx512_core_bf16 },
		{ "AVX512_CORE_FP16", dnnl_cpu_isa_avx512_core_fp16 },
		{ "AVX512_CORE_AMX", dnnl_cpu_isa_avx512_core_amx },
		{ "AVX512_CORE_AMX_FP16", dnnl_cpu_isa_avx512_core_amx_fp16 },
	};
	unsigned int i;

	for (i = 0; i < sizeof(level) / sizeof(level[0]); i++)
		if (!strcmp(name, level[i].name))
			return dnnl_get_effective_cpu_isa() == level[i].isa;
	printf("Bail out! unknown level %s\n", name);
	exit(1);
}

int fake_main(int argc, char **argv, const struct fake_case *cases, unsigned int n)
{
	const char *isa = getenv("ONEDNN_MAX_CPU_ISA");
	unsigned int i, bad = 0;

	if (isa && !has_isa(isa)) {
		printf("TAP version 13\n1..0 # SKIP this CPU lacks %s\n", isa);
		return 0;
	}
	printf("TAP version 13\n1..%u\n", n);
	for (i = 0; i < n; i++) {
		fake_failures = 0;
		if (argc < 2 || !strcmp(argv[1], cases[i].name))
			cases[i].run();
		bad += fake_failures != 0;
		printf("%sok %u - %s\n", fake_failures ? "not " : "", i + 1, cases[i].name);
		fflush(stdout);
	}
	return bad ? 1 : 0;
}
