// SPDX-License-Identifier: MIT
/*
 * Matrix products on the matrix cores.
 *
 * The result is cut into tiles; each core makes one at a time. A tile costs its rows x columns x
 * inner dimension, and filling and draining the pipeline, which takes as long as its two edges do: a
 * full tile's is worth @fill steps of the inner dimension. Cores work in waves: the last one may
 * be partly idle. The library picks the shape of tiles that is fastest.
 */
#include <math.h>

#include "snpu_hw.h"
#include "timing/cost_priv.h"

#define FRACTAL	16.0	/* cores multiply blocks of 16 x 16 */

double snpu_cost_peak(const struct snpu_cost *c, uint32_t dtype)
{
	const struct snpu_profile *p = c->t->profile;

	if (dtype == SNPU_DT_I8)
		return p->npu.ops_int8.value;
	if (dtype == SNPU_DT_F32 && p->npu.flops_fp32.value > 0)
		return p->npu.flops_fp32.value;
	return dtype == SNPU_DT_F32 ? p->npu.flops_bf16.value / 4 : p->npu.flops_bf16.value;
}

static double up(double v, double unit)
{
	return ceil(v / unit) * unit;
}

/* Seconds on all cores of @dies dies */
double snpu_cost_matmul(const struct snpu_cost *c, uint32_t dtype, double m, double n, double k,
			double groups, double dies)
{
	double peak = snpu_cost_peak(c, dtype) * dies / c->t->dies;
	double cores = c->t->profile->npu.matrix_cores.value * dies / c->t->dies;
	const struct snpu_cost_params *p = &c->p;
	double best = INFINITY, waves, tm, tn, s;
	int i, j;

	if (!cores || p->tile <= 0)
		return 2 * m * n * (k + p->fill) * groups / (peak * p->matmul_eff);
	for (i = 0; i < 4; i++)
		for (j = 0; j < 4; j++) {
			tm = fmin(up(p->tile / (1 << i), FRACTAL), up(m, FRACTAL));
			tn = fmin(up(p->tile / (1 << j), FRACTAL), up(n, FRACTAL));
			waves = ceil(ceil(m / tm) * ceil(n / tn) * groups / cores);
			s = waves * cores * 2 *
			    (tm * tn * k + p->fill * p->tile * (tm + tn) / 2);
			best = fmin(best, s);
		}
	return best / (peak * p->matmul_eff);
}
