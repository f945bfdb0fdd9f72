// SPDX-License-Identifier: MIT
/*
 * Choice of the inner loops, and CRC32C.
 */
#include <string.h>
#include <nmmintrin.h>

#include "kernels.h"

const struct snpu_kernels *snpu_kernels(void)
{
	static const struct snpu_kernels *chosen;
	const struct snpu_kernels *k = __atomic_load_n(&chosen, __ATOMIC_RELAXED);

	if (k)
		return k;
	if (__builtin_cpu_supports("x86-64-v4"))
		k = &snpu_kernels_v4;
	else if (__builtin_cpu_supports("x86-64-v3"))
		k = &snpu_kernels_v3;
	else
		k = &snpu_kernels_base;
	__atomic_store_n(&chosen, k, __ATOMIC_RELAXED);
	return k;
}

__attribute__((target("sse4.2")))
static uint32_t crc_hw(uint32_t crc, const uint8_t *p, size_t n)
{
	uint64_t c = crc, w;

	for (; n >= 8; n -= 8, p += 8) {
		memcpy(&w, p, 8);
		c = _mm_crc32_u64(c, w);
	}
	for (; n; n--)
		c = _mm_crc32_u8((uint32_t)c, *p++);
	return (uint32_t)c;
}

static uint32_t crc_sw(uint32_t crc, const uint8_t *p, size_t n)
{
	unsigned int i;

	while (n--) {
		crc ^= *p++;
		for (i = 0; i < 8; i++)
			crc = crc >> 1 ^ (0x82f63b78u & -(crc & 1));
	}
	return crc;
}

uint32_t snpu_crc32c(uint32_t crc, const void *buf, size_t bytes)
{
	crc = ~crc;
	return ~(__builtin_cpu_supports("sse4.2") ? crc_hw(crc, buf, bytes) :
						    crc_sw(crc, buf, bytes));
}
