// SPDX-License-Identifier: MIT
/*
 * Choice of the inner loops.
 */
#include "kernels.h"

const struct snpu_kernels *snpu_kernels_all(unsigned int i)
{
	const struct snpu_kernels *can[4] = { NULL };
	unsigned int n = 0;

	if (__builtin_cpu_supports("x86-64-v4"))
		can[n++] = &snpu_kernels_v4;
	if (__builtin_cpu_supports("x86-64-v3"))
		can[n++] = &snpu_kernels_v3;
	can[n] = &snpu_kernels_base;
	return i <= n ? can[i] : NULL;
}

const struct snpu_kernels *snpu_kernels(void)
{
	static const struct snpu_kernels *chosen;
	const struct snpu_kernels *k = __atomic_load_n(&chosen, __ATOMIC_RELAXED);

	if (!k) {
		k = snpu_kernels_all(0);
		__atomic_store_n(&chosen, k, __ATOMIC_RELAXED);
	}
	return k;
}
