// SPDX-License-Identifier: MIT
/*
 * CRC32C. The instruction takes 3 cycles and a new one can start in each, so long ranges go in
 * three streams side by side, whose results are then joined: the CRC of a range followed by n zero
 * bytes is a linear function of the CRC, kept as a table for the two lengths of stream that are
 * used.
 */
#include <stdbool.h>
#include <string.h>
#include <nmmintrin.h>

#include "kernels.h"

#define POLY		0x82f63b78u	/* reflected; bit 31 is x^0 */
#define STREAM_LONG	8192u
#define STREAM_SHORT	256u

static uint32_t by_byte[8][256];	/* CRC of a byte that 0 .. 7 zero bytes follow */
static uint32_t skip_long[4][256];	/* CRC, a byte at a time, after STREAM_LONG zero bytes */
static uint32_t skip_short[4][256];

static uint32_t skip(uint32_t table[4][256], uint32_t crc)
{
	return table[0][crc & 255] ^ table[1][crc >> 8 & 255] ^ table[2][crc >> 16 & 255] ^
	       table[3][crc >> 24];
}

/* @len: power of two */
static void make_skip(uint32_t table[4][256], unsigned int len)
{
	uint32_t bit[32], next[32];
	unsigned int i, j, k;

	/* bit[i]: what one bit of a CRC becomes after one zero byte, then two, four ... */
	for (i = 0; i < 32; i++)
		bit[i] = by_byte[0][1u << i & 255] ^ (1u << i) >> 8;
	for (k = 1; k < len; k *= 2) {
		for (i = 0; i < 32; i++)
			for (next[i] = 0, j = 0; j < 32; j++)
				next[i] ^= bit[i] >> j & 1 ? bit[j] : 0;
		memcpy(bit, next, sizeof(bit));
	}
	for (k = 0; k < 4; k++)
		for (i = 0; i < 256; i++)
			for (table[k][i] = 0, j = 0; j < 8; j++)
				table[k][i] ^= i >> j & 1 ? bit[8 * k + j] : 0;
}

__attribute__((constructor))
static void make_tables(void)
{
	unsigned int i, k;

	for (i = 0; i < 256; i++) {
		uint32_t c = i;

		for (k = 0; k < 8; k++)
			c = c >> 1 ^ (POLY & -(c & 1));
		by_byte[0][i] = c;
	}
	for (k = 1; k < 8; k++)
		for (i = 0; i < 256; i++)
			by_byte[k][i] = by_byte[k - 1][i] >> 8 ^
					by_byte[0][by_byte[k - 1][i] & 255];
	make_skip(skip_long, STREAM_LONG);
	make_skip(skip_short, STREAM_SHORT);
}

static inline uint64_t word(const uint8_t *p)
{
	uint64_t w;

	memcpy(&w, p, 8);
	return w;
}

__attribute__((target("sse4.2")))
static uint32_t three(uint32_t crc, const uint8_t *p, size_t len, uint32_t table[4][256])
{
	uint64_t a = crc, b = 0, c = 0;
	const uint8_t *end = p + len;

	for (; p < end; p += 8) {
		a = _mm_crc32_u64(a, word(p));
		b = _mm_crc32_u64(b, word(p + len));
		c = _mm_crc32_u64(c, word(p + 2 * len));
	}
	b ^= skip(table, (uint32_t)a);
	return skip(table, (uint32_t)b) ^ (uint32_t)c;
}

__attribute__((target("sse4.2")))
static uint32_t crc_hw(uint32_t crc, const uint8_t *p, size_t n)
{
	uint64_t c;

	for (; n >= 3 * STREAM_LONG; n -= 3 * STREAM_LONG, p += 3 * STREAM_LONG)
		crc = three(crc, p, STREAM_LONG, skip_long);
	for (; n >= 3 * STREAM_SHORT; n -= 3 * STREAM_SHORT, p += 3 * STREAM_SHORT)
		crc = three(crc, p, STREAM_SHORT, skip_short);
	for (c = crc; n >= 8; n -= 8, p += 8)
		c = _mm_crc32_u64(c, word(p));
	for (; n; n--)
		c = _mm_crc32_u8((uint32_t)c, *p++);
	return (uint32_t)c;
}

uint32_t snpu_crc32c_table(uint32_t crc, const void *buf, size_t bytes)
{
	const uint8_t *p = buf;

	crc = ~crc;
	for (; bytes >= 8; bytes -= 8, p += 8) {
		uint64_t w = word(p) ^ crc;
		unsigned int k;

		for (crc = 0, k = 0; k < 8; k++)
			crc ^= by_byte[7 - k][w >> (8 * k) & 255];
	}
	for (; bytes; bytes--)
		crc = crc >> 8 ^ by_byte[0][(crc ^ *p++) & 255];
	return ~crc;
}

uint32_t snpu_crc32c(uint32_t crc, const void *buf, size_t bytes)
{
	if (!__builtin_cpu_supports("sse4.2"))
		return snpu_crc32c_table(crc, buf, bytes);
	return ~crc_hw(~crc, buf, bytes);
}
