// SPDX-License-Identifier: MIT
/* SHA-256 (FIPS 180-4) and CRC32C (Castagnoli) on the CPU. */
#include <string.h>

#include "demo.h"

static const uint32_t k256[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5,
	0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
	0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3,
	0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
	0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc,
	0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7,
	0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
	0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13,
	0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
	0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
	0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5,
	0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
	0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t ror(uint32_t x, int n)
{
	return x >> n | x << (32 - n);
}

/* One round; what would move down a variable is renamed instead */
#define ROUND(a, b, c, d, e, f, g, h, i) do {							\
	t = h + (ror(e, 6) ^ ror(e, 11) ^ ror(e, 25)) + (g ^ (e & (f ^ g))) + k256[i] + w[i];	\
	d += t;											\
	h = t + (ror(a, 2) ^ ror(a, 13) ^ ror(a, 22)) + ((a & b) | (c & (a | b)));		\
} while (0)

static void sha256_block(uint32_t s[8], const unsigned char *p)
{
	uint32_t a = s[0], b = s[1], c = s[2], d = s[3], e = s[4], f = s[5], g = s[6], h = s[7];
	uint32_t w[64], t;
	int i;

	for (i = 0; i < 16; i++, p += 4)
		w[i] = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
	for (; i < 64; i++)
		w[i] = w[i - 16] + w[i - 7] +
		       (ror(w[i - 15], 7) ^ ror(w[i - 15], 18) ^ w[i - 15] >> 3) +
		       (ror(w[i - 2], 17) ^ ror(w[i - 2], 19) ^ w[i - 2] >> 10);
	for (i = 0; i < 64; i += 8) {
		ROUND(a, b, c, d, e, f, g, h, i);
		ROUND(h, a, b, c, d, e, f, g, i + 1);
		ROUND(g, h, a, b, c, d, e, f, i + 2);
		ROUND(f, g, h, a, b, c, d, e, i + 3);
		ROUND(e, f, g, h, a, b, c, d, i + 4);
		ROUND(d, e, f, g, h, a, b, c, i + 5);
		ROUND(c, d, e, f, g, h, a, b, i + 6);
		ROUND(b, c, d, e, f, g, h, a, i + 7);
	}
	s[0] += a;
	s[1] += b;
	s[2] += c;
	s[3] += d;
	s[4] += e;
	s[5] += f;
	s[6] += g;
	s[7] += h;
}

/**
 * demo_sha256 - SHA-256 of a buffer
 * @data: the bytes
 * @len: how many
 * @digest: the result
 */
void demo_sha256(const void *data, size_t len, unsigned char digest[DEMO_SHA256_BYTES])
{
	uint32_t h[8] = {
		0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
		0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
	};
	const unsigned char *p = data;
	unsigned char tail[128] = { 0 };
	size_t left = len, tail_len;
	int i;

	for (; left >= 64; left -= 64, p += 64)
		sha256_block(h, p);
	if (left)
		memcpy(tail, p, left);
	tail[left] = 0x80;
	tail_len = left < 56 ? 64 : 128;
	for (i = 0; i < 8; i++)
		tail[tail_len - 1 - (size_t)i] = (unsigned char)((uint64_t)len * 8 >> (8 * i));
	sha256_block(h, tail);
	if (tail_len == 128)
		sha256_block(h, tail + 64);
	for (i = 0; i < DEMO_SHA256_BYTES; i++)
		digest[i] = (unsigned char)(h[i / 4] >> (24 - i % 4 * 8));
}

/**
 * demo_crc32c - CRC32C of a buffer
 * @data: the bytes
 * @len: how many
 *
 * Return: what the CRC32C packet computes
 */
uint32_t demo_crc32c(const void *data, size_t len)
{
	static uint32_t table[8][256];
	const unsigned char *p = data;
	uint32_t crc, i, j;
	uint64_t word;

	if (!table[0][1]) {
		for (i = 0; i < 256; i++) {
			for (crc = i, j = 0; j < 8; j++)
				crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
			table[0][i] = crc;
		}
		for (i = 0; i < 256; i++) {
			for (j = 1, crc = table[0][i]; j < 8; j++) {
				crc = crc >> 8 ^ table[0][crc & 255];
				table[j][i] = crc;
			}
		}
	}
	for (crc = ~0u; len >= 8; len -= 8, p += 8) {
		memcpy(&word, p, sizeof(word));
		word ^= crc;
		for (crc = 0, j = 0; j < 8; j++)
			crc ^= table[7 - j][word >> (8 * j) & 255];
	}
	while (len--)
		crc = crc >> 8 ^ table[0][(crc ^ *p++) & 255];
	return ~crc;
}
