// SPDX-License-Identifier: MIT
/*
 * Virtual time: positions, fences, timestamps, CLOCK, dies, queues that only cost time.
 *
 * Needs a machine that keeps virtual time (snpud --timing) and two NPUs.
 */
#include <stdio.h>

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tap.h"

#define WAIT_NS	20000000000ull
#define BYTES	(1u << 20)

static struct snpu_info info;

struct end {
	struct snpu_ctx *ctx;
	struct snpu_queue *q;
	struct snpu_mem *mem;
	unsigned char *p;
};

static void end_open(struct end *e, unsigned int npu, const struct snpu_queue_params *params)
{
	void *p = NULL;

	CHECK_EQ(snpu_ctx_create(t_snpu(), npu, &e->ctx), 0);
	CHECK_EQ(snpu_queue_create(e->ctx, params, &e->q), 0);
	CHECK_EQ(snpu_mem_alloc(e->ctx, 4 * BYTES, SNPU_MEM_HBM, &e->mem), 0);
	CHECK_EQ(snpu_mem_map(e->mem, &p), 0);
	e->p = p;
}

static void end_close(struct end *e)
{
	CHECK_EQ(snpu_mem_free(e->mem), 0);
	CHECK_EQ(snpu_queue_destroy(e->q), 0);
	CHECK_EQ(snpu_ctx_destroy(e->ctx), 0);
}

static uint64_t submit(struct snpu_queue *q)
{
	uint64_t pos = 0;

	CHECK_EQ(snpu_queue_submit(q, &pos), 0);
	return pos;
}

/* What comes next has the machine for itself: queues begin at 0 otherwise, beside all others */
static void alone(void)
{
	static uint64_t now;

	now += 1000000000;
	CHECK_EQ(snpu_time_sync(t_snpu(), now), 0);
}

static struct snpu_vtime vtime(struct snpu_queue *q, uint64_t pos)
{
	struct snpu_vtime vt = { 0 };

	CHECK_EQ(snpu_queue_vtime(q, pos, WAIT_NS, &vt, sizeof(vt)), 0);
	return vt;
}

static void positions(void)
{
	struct snpu_vtime a, b, f;
	struct snpu_fence *fence;
	struct end e;
	uint64_t va, pos;

	end_open(&e, 0, NULL);
	va = snpu_mem_va(e.mem);
	snpu_prep_copy(t_pkt(e.q), va + BYTES, va, BYTES);
	snpu_prep_copy(t_pkt(e.q), va + 2 * BYTES, va, 2 * BYTES);
	pos = submit(e.q);
	a = vtime(e.q, pos - 1);
	b = vtime(e.q, pos);
	CHECK(a.end > a.begin && b.begin >= a.end && b.end > b.begin);
	CHECK(b.end - b.begin > a.end - a.begin);
	CHECK(b.busy <= b.end && b.busy >= a.busy);
	CHECK_EQ(snpu_fence_create(e.q, pos, &fence), 0);
	CHECK_EQ(snpu_fence_vtime(fence, WAIT_NS, &f, sizeof(f)), 0);
	CHECK_EQ(f.end, b.end);
	CHECK_EQ(snpu_fence_destroy(fence), 0);
	CHECK_EQ(snpu_queue_vtime(e.q, 0, WAIT_NS, &a, sizeof(a)), -EINVAL);
	end_close(&e);
}

static void clocks(void)
{
	struct snpu_vtime a, b;
	struct end e;

	end_open(&e, 0, NULL);
	snpu_prep_copy(t_pkt(e.q), snpu_mem_va(e.mem) + BYTES, snpu_mem_va(e.mem), BYTES);
	a = vtime(e.q, submit(e.q));
	CHECK_EQ(snpu_time_sync(t_snpu(), a.end + 1000000), 0);
	snpu_prep_copy(t_pkt(e.q), snpu_mem_va(e.mem) + BYTES, snpu_mem_va(e.mem), BYTES);
	b = vtime(e.q, submit(e.q));
	CHECK(b.begin >= a.end + 1000000);
	CHECK(b.busy < a.end + 1000000);
	end_close(&e);
}

/* As far as a CLOCK goes, and one more: that queue alone, and nothing of others' times */
static void clock_limit(void)
{
	struct snpu_error err;
	struct snpu_vtime vt;
	struct end e, f;
	uint64_t va;

	end_open(&e, 0, NULL);
	end_open(&f, 1, NULL);
	va = snpu_mem_va(e.mem);
	snpu_prep_clock(t_pkt(e.q), SNPU_MAX_CLOCK);
	snpu_prep_copy(t_pkt(e.q), va + BYTES, va, BYTES);
	vt = vtime(e.q, submit(e.q));
	CHECK_EQ(vt.begin, SNPU_MAX_CLOCK);
	CHECK(vt.end > vt.begin && vt.end < SNPU_VTIME_END && vt.busy == vt.end - vt.begin);
	snpu_prep_clock(t_pkt(e.q), SNPU_MAX_CLOCK + 1);
	CHECK_EQ(snpu_queue_wait(e.q, submit(e.q), WAIT_NS), -EIO);
	CHECK_EQ(snpu_queue_error(e.q, &err, sizeof(err)), 0);
	CHECK_EQ(err.code, SNPU_ERR_FIELD);
	/* the library does not ask for what the device refuses */
	CHECK_EQ(snpu_time_sync(t_snpu(), SNPU_MAX_CLOCK + 1), -EINVAL);
	CHECK(strstr(snpu_last_error(), "9007199254740993 ns: 0 .. 9007199254740992"));
	CHECK_EQ(snpu_time_sync(t_snpu(), SNPU_VTIME_NEVER), -EINVAL);
	CHECK(strstr(snpu_last_error(), "never ends"));
	snpu_prep_copy(t_pkt(f.q), snpu_mem_va(f.mem) + BYTES, snpu_mem_va(f.mem), BYTES);
	vt = vtime(f.q, submit(f.q));
	CHECK(vt.begin < 1000000000000ull && vt.end < vt.begin + 1000000000);
	end_close(&f);
	end_close(&e);
}

/* Two queues stand at a timestamp; both get the time of what was before them */
static void stamps(void)
{
	uint64_t *t, pos, pos2;
	struct end e, f;

	end_open(&e, 0, NULL);
	end_open(&f, 1, NULL);
	snpu_prep_copy(t_pkt(e.q), snpu_mem_va(e.mem) + BYTES, snpu_mem_va(e.mem), BYTES);
	snpu_prep_vtimestamp(t_pkt(e.q), snpu_mem_va(e.mem));
	snpu_prep_copy(t_pkt(e.q), snpu_mem_va(e.mem) + BYTES, snpu_mem_va(e.mem), BYTES);
	snpu_prep_vtimestamp(t_pkt(e.q), snpu_mem_va(e.mem) + 8);
	snpu_prep_copy(t_pkt(f.q), snpu_mem_va(f.mem) + BYTES, snpu_mem_va(f.mem), 4096);
	snpu_prep_vtimestamp(t_pkt(f.q), snpu_mem_va(f.mem));
	pos = submit(e.q);
	pos2 = submit(f.q);
	CHECK_EQ(snpu_queue_wait(e.q, pos, WAIT_NS), 0);
	CHECK_EQ(snpu_queue_wait(f.q, pos2, WAIT_NS), 0);
	t = (uint64_t *)e.p;
	CHECK(t[0] && t[1] > t[0]);
	CHECK(*(uint64_t *)f.p && *(uint64_t *)f.p < t[0]);
	CHECK_EQ(vtime(e.q, pos - 3).end, t[0]);
	end_close(&f);
	end_close(&e);
}

static void timing_only(void)
{
	const struct snpu_queue_params p = { .field_mask = SNPU_QUEUE_TIMING, .timing = 1 };
	struct snpu_vtime a, b;
	struct end e, f;
	uint64_t va;

	end_open(&e, 0, &p);
	end_open(&f, 0, NULL);
	memset(e.p, 0x5a, 4 * BYTES);
	va = snpu_mem_va(e.mem);
	snpu_prep_fill(t_pkt(e.q), va, BYTES, 0, 4);
	/* nothing is mapped there, and more than any NPU has */
	snpu_prep_copy(t_pkt(e.q), 0x700000000000ull, 0x600000000000ull, 1ull << 38);
	a = vtime(e.q, submit(e.q));
	CHECK(a.end - a.begin > 1000000);
	CHECK(e.p[0] == 0x5a && e.p[BYTES - 1] == 0x5a);
	/* what packets cost does not depend on whether they move anything */
	alone();
	snpu_prep_copy(t_pkt(e.q), va + BYTES, va, BYTES);
	a = vtime(e.q, submit(e.q));
	alone();
	snpu_prep_copy(t_pkt(f.q), snpu_mem_va(f.mem) + BYTES, snpu_mem_va(f.mem), BYTES);
	b = vtime(f.q, submit(f.q));
	CHECK_EQ(a.end - a.begin, b.end - b.begin);
	/* semaphores are real */
	snpu_prep_signal(t_pkt(e.q), va, 77, SNPU_SEM_SET);
	CHECK_EQ(snpu_queue_wait(e.q, submit(e.q), WAIT_NS), 0);
	CHECK_EQ(*(uint64_t *)e.p, 77);
	end_close(&f);
	end_close(&e);
}

/* One die does the work of two in about twice the time */
static void dies(void)
{
	const struct snpu_queue_params p = { .field_mask = SNPU_QUEUE_DIE, .die = 0 };
	struct snpu_queue_params wrong = { .field_mask = SNPU_QUEUE_DIE, .die = info.dies };
	struct snpu_vtime a, b;
	struct snpu_queue *q;
	struct end e, f;

	end_open(&e, 0, &p);
	end_open(&f, 0, NULL);
	alone();
	snpu_prep_copy(t_pkt(e.q), snpu_mem_va(e.mem) + 2 * BYTES, snpu_mem_va(e.mem),
		       2 * BYTES);
	a = vtime(e.q, submit(e.q));
	alone();
	snpu_prep_copy(t_pkt(f.q), snpu_mem_va(f.mem) + 2 * BYTES, snpu_mem_va(f.mem),
		       2 * BYTES);
	b = vtime(f.q, submit(f.q));
	if (info.dies > 1)
		CHECK(a.end - a.begin > b.end - b.begin);
	CHECK_EQ(snpu_queue_create(e.ctx, &wrong, &q), -EINVAL);
	end_close(&f);
	end_close(&e);
}

/* A queue that stands at a timestamp behind a wait that nobody ends can be destroyed */
static void destroyed(void)
{
	struct end e, f;

	end_open(&e, 0, NULL);
	end_open(&f, 1, NULL);
	snpu_prep_wait(t_pkt(e.q), snpu_mem_va(e.mem), 1, SNPU_SEM_GE, 0);
	snpu_prep_vtimestamp(t_pkt(e.q), snpu_mem_va(e.mem) + 8);
	(void)submit(e.q);
	snpu_prep_vtimestamp(t_pkt(f.q), snpu_mem_va(f.mem));
	CHECK_EQ(snpu_queue_wait(f.q, submit(f.q), WAIT_NS), 0);
	end_close(&e);
	end_close(&f);
}

static int fault(const char *plane, const char *rest)
{
	char params[160];

	snprintf(params, sizeof(params), "{\"kind\":\"plane\",\"name\":\"%s\",%s}", plane, rest);
	return t_control("fabric.fault", params);
}

/* How long a large copy to the other NPU takes now */
static double far_copy(struct end *e, uint64_t va)
{
	struct snpu_vtime vt;
	unsigned int i;
	uint64_t pos;

	alone();
	for (i = 0; i < 16; i++)
		snpu_prep_copy(t_pkt(e->q), va, snpu_mem_va(e->mem), 4 * BYTES);
	pos = submit(e->q);
	vt = vtime(e->q, pos);
	return (double)(vt.end - vtime(e->q, pos - 15).begin);
}

/* What a fault does to a transfer, it does to its virtual time */
static void faults(void)
{
	double full, one, half, again;
	struct snpu_seg_handle h;
	struct snpu_mem *mem, *far;
	char plane[12];
	struct end e, f;
	unsigned int i;
	uint64_t va;

	end_open(&e, 0, NULL);
	end_open(&f, 1, NULL);
	CHECK_EQ(snpu_mem_alloc(f.ctx, 4 * BYTES, SNPU_MEM_HBM | SNPU_MEM_CONTIG, &mem), 0);
	CHECK_EQ(snpu_seg_export(mem, SNPU_SEG_READ | SNPU_SEG_WRITE, NULL, &h), 0);
	CHECK_EQ(snpu_seg_import(e.ctx, &h, 0, &far), 0);
	va = snpu_mem_va(far);
	full = far_copy(&e, va);
	CHECK_EQ(fault("2", "\"state\":\"down\""), 0);
	one = far_copy(&e, va);
	CHECK_EQ(t_control("fabric.clear", "{}"), 0);
	for (i = 0; i < info.planes; i++) {
		snprintf(plane, sizeof(plane), "%u", i);
		CHECK_EQ(fault(plane, "\"state\":\"degraded\",\"percent\":50"), 0);
	}
	half = far_copy(&e, va);
	CHECK_EQ(t_control("fabric.clear", "{}"), 0);
	again = far_copy(&e, va);
	printf("# %.0f ns, %.0f without one of %u planes, %.0f with all at half rate, %.0f again\n",
	       full, one, info.planes, half, again);
	CHECK(again == full);
	/* latencies do not change, so less than the ratio of rates */
	CHECK(one > full * 1.1 && one < full * 7 / 6 + 1);
	CHECK(half > full * 1.8 && half < full * 2 + 1);
	CHECK_EQ(snpu_mem_free(far), 0);
	CHECK_EQ(snpu_mem_free(mem), 0);
	end_close(&f);
	end_close(&e);
}

/* Asks and stands at timestamps for ever; writes a byte when it has begun */
static void ask_on(int fd)
{
	struct snpu_vtime vt;
	struct snpu *s;
	struct snpu_ctx *ctx;
	struct snpu_queue *q;
	struct snpu_mem *mem;
	unsigned int last, i;
	uint64_t pos;

	if (snpu_open(NULL, &s))
		_exit(1);
	last = snpu_count(s) - 1;
	if (snpu_ctx_create(s, last, &ctx) || snpu_queue_create(ctx, NULL, &q) ||
	    snpu_mem_alloc(ctx, BYTES, SNPU_MEM_HBM, &mem))
		_exit(1);
	for (i = 0; ; i++) {
		snpu_prep_fill(t_pkt(q), snpu_mem_va(mem) + 4096, BYTES - 4096, i, 4);
		snpu_prep_vtimestamp(t_pkt(q), snpu_mem_va(mem));
		if (snpu_queue_submit(q, &pos) ||
		    snpu_queue_vtime(q, pos, WAIT_NS, &vt, sizeof(vt)))
			_exit(1);
		if (i == 20 && write(fd, "", 1) != 1)
			_exit(1);
	}
}

/* Whoever is killed while he asks is in nobody's way */
static void killed(void)
{
	struct end e;
	int fd[2], status;
	uint64_t pos;
	pid_t pid;
	char c;

	NEED(!pipe(fd));
	fflush(NULL);
	pid = fork();
	if (!pid)
		ask_on(fd[1]);
	close(fd[1]);
	CHECK_EQ(read(fd[0], &c, 1), 1);
	CHECK_EQ(kill(pid, SIGKILL), 0);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK(WIFSIGNALED(status));
	close(fd[0]);
	end_open(&e, 0, NULL);
	snpu_prep_copy(t_pkt(e.q), snpu_mem_va(e.mem) + BYTES, snpu_mem_va(e.mem), BYTES);
	snpu_prep_vtimestamp(t_pkt(e.q), snpu_mem_va(e.mem));
	pos = submit(e.q);
	CHECK_EQ(snpu_queue_wait(e.q, pos, WAIT_NS), 0);
	CHECK(vtime(e.q, pos).end >= *(uint64_t *)e.p);
	end_close(&e);
}

/* Housekeeping moves data, but is nowhere in virtual time */
static void untimed(void)
{
	struct snpu_vtime a, b, vt;
	union snpu_pkt *p;
	struct end e;
	uint64_t va, pos;

	end_open(&e, 0, NULL);
	va = snpu_mem_va(e.mem);
	e.p[0] = 0x5a;
	alone();
	snpu_prep_copy(t_pkt(e.q), va + 2 * BYTES, va, BYTES);
	a = vtime(e.q, submit(e.q));
	p = t_pkt(e.q);
	snpu_prep_copy(p, va + BYTES, va, BYTES);
	p->hdr.flags |= SNPU_PF_UNTIMED;
	p = t_pkt(e.q);
	snpu_prep_signal(p, va + 2 * BYTES, 77, SNPU_SEM_SET);
	p->hdr.flags |= SNPU_PF_UNTIMED;
	pos = submit(e.q);
	NEED(info.caps & SNPU_CAP_UNTIMED_ATOMIC);
	p = t_pkt(e.q);
	snpu_prep_atomic(p, SNPU_ATOMIC_CAS, va + 2 * BYTES, 77, 77, va + 2 * BYTES + 8);
	p->hdr.flags |= SNPU_PF_UNTIMED;
	pos = submit(e.q);
	snpu_prep_copy(t_pkt(e.q), va + 3 * BYTES, va, BYTES);
	b = vtime(e.q, submit(e.q));
	CHECK_EQ(b.begin, a.end);
	CHECK_EQ(b.busy - a.busy, b.end - b.begin);
	CHECK_EQ(e.p[BYTES], 0x5a);
	CHECK_EQ(*(uint64_t *)(e.p + 2 * BYTES), 77);
	CHECK_EQ(*(uint64_t *)(e.p + 2 * BYTES + 8), 77);
	CHECK_EQ(snpu_queue_vtime(e.q, pos, WAIT_NS, &vt, sizeof(vt)), -ENOENT);
	/* a wait cannot be so: what is behind it depends on it */
	p = t_pkt(e.q);
	snpu_prep_wait(p, va + 2 * BYTES, 77, SNPU_SEM_GE, 0);
	p->hdr.flags |= SNPU_PF_UNTIMED;
	CHECK_EQ(snpu_queue_wait(e.q, submit(e.q), WAIT_NS), -EIO);
	end_close(&e);
}

int main(void)
{
	static const struct t_case cases[] = {
		{ "positions", positions, T_BOTH },
		{ "clocks", clocks, T_BOTH },
		{ "stamps", stamps, T_BOTH },
		{ "timing_only", timing_only, T_BOTH },
		{ "dies", dies, T_BOTH },
		{ "untimed", untimed, T_BOTH },
		{ "destroyed", destroyed, T_BOTH },
		{ "killed", killed, T_BOTH },
		{ "faults", faults, T_DIRECT },
		/* links change at the latest end of all packets: last, as this one ends late */
		{ "clock_limit", clock_limit, T_BOTH },
	};

	if (snpu_get_info(t_snpu(), 0, &info, sizeof(info)) || !(info.caps & SNPU_CAP_TIMING)) {
		printf("Bail out! the machine keeps no virtual time: snpud --timing\n");
		return 1;
	}
	return t_main(cases, sizeof(cases) / sizeof(cases[0]));
}
