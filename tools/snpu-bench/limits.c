// SPDX-License-Identifier: MIT
/* Limits of this computer, for comparison: no NPU takes part. */
#include <errno.h>
#include <fcntl.h>
#include <immintrin.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "bench.h"

#define HOPS		200000u
#define RING		1024u
#define RING_PACKETS	6000000u
#define COPY_ROUNDS	64u

/* Two words that two threads hand to and fro, and a ring of packets; each on its own lines */
struct shared {
	_Alignas(128) atomic_uint_fast64_t there;
	_Alignas(128) atomic_uint_fast64_t back;
	_Alignas(128) union snpu_pkt ring[RING];
};

/* A spinning thread that shares its core with the other one is no limit of anything */
static void settle(unsigned int which)
{
	cpu_set_t have, want;
	int cpu, seen = 0;

	if (sched_getaffinity(0, sizeof(have), &have))
		return;
	for (cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (CPU_ISSET(cpu, &have) && seen++ == (int)which) {
			CPU_ZERO(&want);
			CPU_SET(cpu, &want);
			sched_setaffinity(0, sizeof(want), &want);
			return;
		}
	}
}

static void *answer(void *arg)
{
	struct shared *s = arg;
	uint64_t i;

	settle(1);
	for (i = 1; i <= HOPS; i++) {
		while (atomic_load_explicit(&s->there, memory_order_acquire) != i)
			;
		atomic_store_explicit(&s->back, i, memory_order_release);
	}
	return NULL;
}

static void *ask(void *arg)
{
	struct shared *s = arg;
	double *sample = malloc(HOPS * sizeof(*sample)), *median;
	uint64_t i, start;

	settle(0);
	for (i = 1; i <= HOPS; i++) {
		start = bench_now();
		atomic_store_explicit(&s->there, i, memory_order_release);
		while (atomic_load_explicit(&s->back, memory_order_acquire) != i)
			;
		if (sample)
			sample[i - 1] = (double)(bench_now() - start) / 2000;
	}
	if (!sample)
		return NULL;
	median = malloc(sizeof(*median));
	if (median)
		*median = bench_median(sample, HOPS);
	free(sample);
	return median;
}

static void *consume(void *arg)
{
	struct shared *s = arg;
	uint64_t seen = 0, head, sum = 0;
	double *result = malloc(sizeof(*result));

	settle(1);
	while (seen < RING_PACKETS) {
		head = atomic_load_explicit(&s->there, memory_order_acquire);
		for (; seen < head; seen++)
			sum += s->ring[seen % RING].hdr.arg;
		atomic_store_explicit(&s->back, seen, memory_order_release);
	}
	if (result)
		*result = (double)sum;	/* or the loads could be left out */
	return result;
}

static void *produce(void *arg)
{
	struct shared *s = arg;
	double *rate = malloc(sizeof(*rate));
	uint64_t put = 0, start;
	unsigned int i;

	settle(0);
	start = bench_now();
	while (put < RING_PACKETS) {
		while (put - atomic_load_explicit(&s->back, memory_order_acquire) >
		       RING - BENCH_BATCH)
			;
		for (i = 0; i < BENCH_BATCH; i++)
			snpu_prep_nop(&s->ring[put++ % RING]);
		atomic_store_explicit(&s->there, put, memory_order_release);
	}
	while (atomic_load_explicit(&s->back, memory_order_acquire) < RING_PACKETS)
		;
	if (rate)
		*rate = (double)RING_PACKETS * 1000 / (double)(bench_now() - start);
	return rate;
}

/* Runs two threads on two cores; the first returns the figure */
static int pair(void *(*first)(void *), void *(*second)(void *), double *figure)
{
	struct shared *s = aligned_alloc(128, sizeof(*s));
	void *got[2] = { NULL, NULL };
	pthread_t thread[2];
	int ret;

	if (!s)
		return -ENOMEM;
	memset(s, 0, sizeof(*s));
	ret = pthread_create(&thread[1], NULL, second, s);
	if (ret) {
		free(s);
		return -ret;
	}
	ret = pthread_create(&thread[0], NULL, first, s);
	if (ret) {
		fprintf(stderr, "snpu-bench: cannot start a thread: %s\n", strerror(ret));
		exit(1);	/* the other one would spin for ever */
	}
	pthread_join(thread[0], &got[0]);
	pthread_join(thread[1], &got[1]);
	free(s);
	if (got[0])
		*figure = *(double *)got[0];
	else
		ret = ENOMEM;
	free(got[0]);
	free(got[1]);
	return -ret;
}

/**
 * bench_limit_hop - time for a store of one core to be seen by another
 * @us: microseconds, half of the median round trip
 *
 * Return: 0 or a negative errno
 */
int bench_limit_hop(double *us)
{
	return pair(ask, answer, us);
}

/**
 * bench_limit_ring - packets that one thread can pass to another through a ring, in batches
 * @mpps: million packets a second
 *
 * Return: 0 or a negative errno
 */
int bench_limit_ring(double *mpps)
{
	return pair(produce, consume, mpps);
}

/**
 * bench_limit_sockets - time to make listening sockets and memory files, and nothing else
 * @count: how many of each
 * @seconds: the time
 *
 * Return: 0 or a negative errno
 */
int bench_limit_sockets(unsigned int count, double *seconds)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	char dir[] = "/tmp/snpu-bench.XXXXXX";
	int *fd = calloc(count, 2 * sizeof(*fd)), ret = 0;
	unsigned int i, made;
	uint64_t start;

	if (!fd)
		return -ENOMEM;
	if (!mkdtemp(dir)) {
		free(fd);
		return -errno;
	}
	start = bench_now();
	for (made = 0; made < count && !ret; made++) {
		fd[2 * made] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		fd[2 * made + 1] = memfd_create("snpu-bench", MFD_CLOEXEC);
		snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/%u", dir, made);
		if (fd[2 * made] < 0 || fd[2 * made + 1] < 0 ||
		    bind(fd[2 * made], (struct sockaddr *)&addr, sizeof(addr)) ||
		    listen(fd[2 * made], 1) || ftruncate(fd[2 * made + 1], 1ll << 36))
			ret = -errno;
	}
	*seconds = (double)(bench_now() - start) / 1e9;
	for (i = 0; i < made; i++) {
		snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/%u", dir, i);
		unlink(addr.sun_path);
		if (fd[2 * i] >= 0)
			close(fd[2 * i]);
		if (fd[2 * i + 1] >= 0)
			close(fd[2 * i + 1]);
	}
	rmdir(dir);
	free(fd);
	return ret;
}

/**
 * struct bench_copier - measures copies by the CPU, in turns with what is compared with them
 * @a: source
 * @b: destination
 * @rounds: measurements so far
 * @plain: GB/s of memcpy()
 * @stream: GB/s of a copy with non-temporal stores
 */
struct bench_copier {
	unsigned char *a;
	unsigned char *b;
	unsigned int rounds;
	double plain[COPY_ROUNDS];
	double stream[COPY_ROUNDS];
};

__attribute__((target("avx512f")))
static void stream_512(void *dst, const void *src, size_t bytes)
{
	const char *from = src;
	char *to = dst;

	for (; bytes >= 64; bytes -= 64, from += 64, to += 64) {
		_mm_prefetch(from + 1024, _MM_HINT_T0);
		_mm512_stream_si512((void *)to, _mm512_loadu_si512(from));
	}
	_mm_sfence();
}

__attribute__((target("avx2")))
static void stream_256(void *dst, const void *src, size_t bytes)
{
	const char *from = src;
	char *to = dst;

	for (; bytes >= 64; bytes -= 64, from += 64, to += 64) {
		_mm_prefetch(from + 1024, _MM_HINT_T0);
		_mm256_stream_si256((__m256i *)to, _mm256_loadu_si256((const __m256i *)from));
		_mm256_stream_si256((__m256i *)to + 1,
				    _mm256_loadu_si256((const __m256i *)from + 1));
	}
	_mm_sfence();
}

static void stream_128(void *dst, const void *src, size_t bytes)
{
	const char *from = src;
	char *to = dst;

	for (; bytes >= 16; bytes -= 16, from += 16, to += 16)
		_mm_stream_si128((void *)to, _mm_loadu_si128((const void *)from));
	_mm_sfence();
}

static void stream(void *dst, const void *src, size_t bytes)
{
	if (__builtin_cpu_supports("avx512f"))
		stream_512(dst, src, bytes);
	else if (__builtin_cpu_supports("avx2"))
		stream_256(dst, src, bytes);
	else
		stream_128(dst, src, bytes);
}

static double timed(void (*copy)(void *, const void *, size_t), struct bench_copier *c)
{
	uint64_t start = bench_now();

	copy(c->b, c->a, BENCH_COPY_BYTES);
	return (double)BENCH_COPY_BYTES / (double)(bench_now() - start);
}

static void plain(void *dst, const void *src, size_t bytes)
{
	memcpy(dst, src, bytes);
	__asm__ volatile("" : : "r"(dst) : "memory");
}

/**
 * bench_copier_create - two warm buffers
 * @out: the copier
 *
 * Return: 0 or -ENOMEM
 */
int bench_copier_create(struct bench_copier **out)
{
	struct bench_copier *c = calloc(1, sizeof(*c));

	if (c) {
		c->a = aligned_alloc(2u << 20, BENCH_COPY_BYTES);
		c->b = aligned_alloc(2u << 20, BENCH_COPY_BYTES);
	}
	if (!c || !c->a || !c->b) {
		bench_copier_destroy(c);
		return -ENOMEM;
	}
	memset(c->a, 0x5a, BENCH_COPY_BYTES);
	memset(c->b, 0xa5, BENCH_COPY_BYTES);
	*out = c;
	return 0;
}

/**
 * bench_copier_destroy - frees the buffers
 * @c: the copier, may be NULL
 */
void bench_copier_destroy(struct bench_copier *c)
{
	if (!c)
		return;
	free(c->a);
	free(c->b);
	free(c);
}

/**
 * bench_copier_round - measures each way to copy once
 * @c: the copier
 */
void bench_copier_round(struct bench_copier *c)
{
	if (c->rounds == COPY_ROUNDS)
		return;
	c->plain[c->rounds] = timed(plain, c);
	c->stream[c->rounds] = timed(stream, c);
	c->rounds++;
}

/**
 * bench_copier_best - the better of the two ways
 * @c: the copier
 *
 * Return: its best round, GB/s
 */
double bench_copier_best(struct bench_copier *c)
{
	double p = bench_best(c->plain, c->rounds), s = bench_best(c->stream, c->rounds);

	return p > s ? p : s;
}
