// SPDX-License-Identifier: MIT
/*
 * Part 2: ring all-reduce of 64 MiB, fp32 and bf16, against sums made by the CPU.
 *
 * The operands are cut from a table of PERIOD elements: element i of NPU r is table entry
 * i + r * SHIFT (mod PERIOD). Each NPU has other data, no two chunks of the ring line up with the
 * table, and the CPU needs to add only PERIOD sums. Every element of every result is compared.
 *
 * Bound for reals: n values are added with n - 1 roundings, each of relative error u at most, in
 * whatever order: |error| <= (n - 1) u / (1 - (n - 1) u) * sum |x| (Higham, 4.4), with u = 2^-24
 * for fp32 and 2^-8 for bf16. Integers are chosen such that every partial sum can be represented.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "demo.h"

#define BYTES	(64ull << 20)
#define PERIOD	1048573u	/* a prime, near 2^20 */
#define SHIFT	131071u

/* struct job - one all-reduce */
struct job {
	const char *name;
	unsigned int dtype;
	bool reals;
};

/* struct work - memory of part 2, used by all its jobs */
struct work {
	struct demo_ring ring;
	uint64_t table_va[DEMO_MAX_NPUS];
	uint64_t back_va[DEMO_MAX_NPUS][2];
	void *table;
	void *back[2];			/* results of NPU 0 and of another NPU */
	float x[PERIOD];		/* the table, as numbers */
	double sum[PERIOD];
	double limit[PERIOD];		/* largest error allowed */
};

static uint16_t bf16_of(float f)
{
	uint32_t u = snpu_f32_bits(f);

	return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

static float bf16_value(uint16_t h)
{
	uint32_t u = (uint32_t)h << 16;
	float f;

	memcpy(&f, &u, sizeof(f));
	return f;
}

/* Memory of all NPUs: vector and inbox in HBM, table and results on the host for all of them */
static int setup(struct demo *d, struct work *w)
{
	uint64_t inbox = demo_ring_inbox(d->n, SNPU_DT_F32, BYTES / 4), other, ns;
	struct snpu_mem *hbm[DEMO_MAX_NPUS], *host[3], *mem;
	unsigned int r, i;
	int ret = 0;

	other = demo_ring_inbox(d->n, SNPU_DT_BF16, BYTES / 2);
	inbox = other > inbox ? other : inbox;
	for (r = 0; r < d->n && !ret; r++)
		ret = demo_alloc(d, r, BYTES + inbox, SNPU_MEM_HBM, &hbm[r]);
	for (i = 0; i < 3 && !ret; i++)
		ret = demo_alloc(d, 0, i ? BYTES : PERIOD * 4, SNPU_MEM_HOST, &host[i]);
	if (!ret)
		ret = demo_map(host[0], &w->table);
	for (i = 0; i < 2 && !ret; i++)
		ret = demo_map(host[i + 1], &w->back[i]);
	w->ring.n = d->n;
	for (r = 0; r < d->n && !ret; r++) {
		w->ring.buf[r] = snpu_mem_va(hbm[r]);
		w->ring.inbox[r] = w->ring.buf[r] + BYTES;
		ret = demo_share(d, r, hbm[(r + 1) % d->n], &mem);
		if (ret)
			break;
		w->ring.right_buf[r] = snpu_mem_va(mem);
		w->ring.right_inbox[r] = w->ring.right_buf[r] + BYTES;
		ret = demo_signal_va(d, r, (r + 1) % d->n, &w->ring.right_signal[r]);
		for (i = 0; i < 3 && !ret; i++) {
			ret = demo_share(d, r, host[i], &mem);
			if (ret)
				break;
			if (i)
				w->back_va[r][i - 1] = snpu_mem_va(mem);
			else
				w->table_va[r] = snpu_mem_va(mem);
		}
	}
	if (ret)
		return ret;
	demo_begin(d);
	for (r = 0; r < d->n; r++)
		demo_touch(d, r, w->ring.buf[r], BYTES + inbox);
	return demo_run(d, &ns);
}

/* Fills the table and adds up what the CPU must find */
static void fill(struct work *w, const struct job *job, unsigned int n)
{
	const int most = (job->dtype == SNPU_DT_F32 ? 1 << 24 : 256) / (int)n;
	const double u = job->dtype == SNPU_DT_F32 ? 0x1p-24 : 0x1p-8;
	const double gamma = (n - 1) * u / (1 - (n - 1) * u);
	uint64_t seed = 0x9e3779b97f4a7c15ull + job->dtype;
	uint16_t *t16 = w->table;
	float *t32 = w->table;
	unsigned int i, r, at;
	float v;

	for (i = 0; i < PERIOD; i++) {
		seed ^= seed << 13;
		seed ^= seed >> 7;
		seed ^= seed << 17;
		if (job->reals)
			v = (float)(int32_t)(seed >> 32) * 0x1p-31f;
		else
			v = (float)((int)((seed >> 32) % (2 * (unsigned int)most + 1)) - most);
		if (job->dtype == SNPU_DT_F32) {
			t32[i] = v;
		} else {
			t16[i] = bf16_of(v);
			v = bf16_value(t16[i]);
		}
		w->x[i] = v;
		w->sum[i] = 0;
		w->limit[i] = 0;
	}
	for (r = 0; r < n; r++) {
		at = (unsigned int)((uint64_t)r * SHIFT % PERIOD);
		for (i = 0; i < PERIOD; i++) {
			w->sum[i] += w->x[at];
			w->limit[i] += fabs(w->x[at]);
			if (++at == PERIOD)
				at = 0;
		}
	}
	for (i = 0; i < PERIOD; i++)
		w->limit[i] = job->reals ? w->limit[i] * gamma : 0;
}

/* Each NPU fetches its vector from the table: its part up to the end, then whole periods */
static int upload(struct demo *d, struct work *w, const struct job *job)
{
	const uint64_t esize = snpu_dtype_size(job->dtype);
	uint64_t at, from, len, ns;
	unsigned int r;

	demo_begin(d);
	for (r = 0; r < d->n; r++) {
		from = (uint64_t)r * SHIFT % PERIOD * esize;
		for (at = 0; at < BYTES; at += len) {
			len = PERIOD * esize - from;
			len = len < BYTES - at ? len : BYTES - at;
			snpu_prep_copy(demo_pkt(d, r), w->ring.buf[r] + at, w->table_va[r] + from,
				       len);
			from = 0;
		}
	}
	return demo_run(d, &ns);
}

static int download(struct demo *d, struct work *w, unsigned int r)
{
	uint64_t ns;

	demo_begin(d);
	snpu_prep_copy(demo_pkt(d, r), w->back_va[r][r > 0], w->ring.buf[r], BYTES);
	return demo_run(d, &ns);
}

/*
 * Compares the result of NPU 0 with sums that are exact, byte for byte. They replace the table,
 * which all NPUs have read by now.
 */
static bool exact(struct work *w, const struct job *job)
{
	const uint64_t period = PERIOD * snpu_dtype_size(job->dtype);
	uint16_t *t16 = w->table;
	float *t32 = w->table;
	unsigned int i;
	uint64_t at;

	for (i = 0; i < PERIOD; i++) {
		if (job->dtype == SNPU_DT_F32)
			t32[i] = (float)w->sum[i];
		else
			t16[i] = bf16_of((float)w->sum[i]);
	}
	for (at = 0; at < BYTES; at += period) {
		if (memcmp((char *)w->back[0] + at, w->table,
			   BYTES - at < period ? BYTES - at : period))
			return false;
	}
	return true;
}

/* Compares the result of NPU 0 with the sums: the worst error as a part of the bound */
static void compare(struct work *w, const struct job *job, double *worst, uint64_t *wrong)
{
	uint64_t count = BYTES / snpu_dtype_size(job->dtype), i;
	const uint16_t *y16 = w->back[0];
	const float *y32 = w->back[0];
	unsigned int at = 0;
	double err;

	*worst = 0;
	*wrong = 0;
	if (!job->reals && exact(w, job))
		return;
	for (i = 0; i < count; i++) {
		err = fabs((job->dtype == SNPU_DT_F32 ? y32[i] : bf16_value(y16[i])) - w->sum[at]);
		if (!(err <= w->limit[at]))	/* a NaN is wrong too */
			(*wrong)++;
		else if (err > *worst * w->limit[at])
			*worst = err / w->limit[at];
		if (++at == PERIOD)
			at = 0;
	}
}

static int run(struct demo *d, struct work *w, const struct job *job)
{
	uint64_t count = BYTES / snpu_dtype_size(job->dtype), wrong;
	struct demo_row row = {
		.step = job->name,
		.bytes = BYTES,
		.npus = d->n,
		.unit = "GB/s",
		.name2 = "bus",
	};
	unsigned int r, same = 1;
	double worst;
	int ret;

	fill(w, job, d->n);
	ret = upload(d, w, job);
	if (ret)
		return ret;
	demo_begin(d);
	demo_ring_allreduce(d, &w->ring, job->dtype, count);
	ret = demo_run(d, &row.ns);
	for (r = 0; r < d->n && !ret; r++) {
		ret = download(d, w, r);
		if (r && !ret)
			same += !memcmp(w->back[0], w->back[1], BYTES);
	}
	if (ret)
		return ret;
	compare(w, job, &worst, &wrong);
	row.rate = demo_rate(BYTES, row.ns);
	row.rate2 = row.rate * 2 * (d->n - 1) / d->n;
	row.ok = !wrong && same == d->n;
	if (wrong)
		snprintf(row.check, sizeof(row.check), "%llu of %llu sums are wrong",
			 (unsigned long long)wrong, (unsigned long long)count);
	else if (same < d->n)
		snprintf(row.check, sizeof(row.check), "%u of %u NPUs differ from NPU 0",
			 d->n - same, d->n);
	else if (job->reals)
		snprintf(row.check, sizeof(row.check), "error at most %.2g of the bound", worst);
	else
		snprintf(row.check, sizeof(row.check), "every sum exact");
	demo_report_row(&row);
	return 0;
}

/**
 * demo_allreduce - part 2
 * @d: state
 *
 * Return: 0 when it was run, whatever the checks said; or a negative errno, said on stderr
 */
int demo_allreduce(struct demo *d)
{
	static const struct job jobs[] = {
		{ "fp32 integers", SNPU_DT_F32, false },
		{ "fp32 reals", SNPU_DT_F32, true },
		{ "bf16 integers", SNPU_DT_BF16, false },
		{ "bf16 reals", SNPU_DT_BF16, true },
	};
	unsigned int i, mark = d->num_mems;
	static struct work w;
	int ret;

	if (d->n < 2) {
		demo_report_part("2 ring all-reduce: left out, needs two NPUs");
		return 0;
	}
	demo_report_part("2 ring all-reduce");
	ret = setup(d, &w);
	for (i = 0; i < sizeof(jobs) / sizeof(*jobs) && !ret; i++)
		ret = run(d, &w, &jobs[i]);
	demo_release(d, mark);
	return ret;
}
