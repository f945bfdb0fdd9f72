// SPDX-License-Identifier: MIT
/*
 * Collectives of ranks in several processes, which meet through the fabric's directory: meeting,
 * splitting, a process killed in the middle, and going on without it.
 */
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <snpu/coll.h>

#include "tap.h"

#define PROCS	3
#define EACH	2	/* ranks of a process */
#define RANKS	(PROCS * EACH)
#define COUNT	5000

/* struct team - the ranks of this process */
struct team {
	unsigned int base;
	struct t_dev dev[EACH];
	struct snpu_coll *comm[EACH];
	uint64_t pos[EACH];
};

static struct snpu_coll_uid uid;

static bool team_open(struct team *t, unsigned int proc, uint64_t timeout_ns)
{
	struct snpu_coll_params p = { .field_mask = SNPU_COLL_PARAM_TIMEOUT,
				      .timeout_ns = timeout_ns };
	unsigned int i;

	memset(t, 0, sizeof(*t));
	t->base = proc * EACH;
	for (i = 0; i < EACH; i++) {
		if (t_dev_open(&t->dev[i], (t->base + i) % snpu_count(t_snpu()), 1 << 16,
			       SNPU_MEM_HBM))
			return false;
	}
	CHECK_EQ(snpu_coll_group_start(), 0);
	for (i = 0; i < EACH; i++)
		CHECK_EQ(snpu_coll_init_rank(&t->comm[i], t->dev[i].ctx, RANKS, &uid, t->base + i,
					     &p), 0);
	if (!snpu_coll_group_end())
		return true;
	t_fail(__FILE__, __LINE__, "process %u: %s", proc, snpu_coll_last_error());
	return false;
}

static void team_close(struct team *t)
{
	unsigned int i;

	for (i = 0; i < EACH; i++)
		CHECK_EQ(snpu_coll_destroy(t->comm[i]), 0);
	for (i = 0; i < EACH; i++)
		t_dev_close(&t->dev[i]);
}

/* An all-reduce of rank + index on the communicators @comm; what is wrong, or -1 */
static long add_up(struct team *t, struct snpu_coll **comm)
{
	long bad = 0;
	unsigned int i, n, k;
	int64_t sum;

	for (i = 0; i < EACH; i++) {
		int32_t *v = (int32_t *)t->dev[i].p;

		for (k = 0; k < COUNT; k++)
			v[k] = (int32_t)(snpu_coll_rank(comm[i]) * 1000 + k);
		if (snpu_coll_all_reduce(comm[i], t->dev[i].q, t->dev[i].va, t->dev[i].va, COUNT,
					 SNPU_DT_I32, SNPU_COLL_SUM) ||
		    snpu_queue_submit(t->dev[i].q, &t->pos[i]))
			return -1;
	}
	for (i = 0; i < EACH; i++) {
		const int32_t *v = (const int32_t *)t->dev[i].p;

		if (snpu_queue_wait(t->dev[i].q, t->pos[i], T_LONG))
			return -1;
		n = snpu_coll_count(comm[i]);
		for (k = 0; k < COUNT; k++) {
			sum = (int64_t)n * (n - 1) / 2 * 1000 + (int64_t)n * k;
			bad += v[k] != sum;
		}
	}
	return bad;
}

/* Runs @fn in each of PROCS processes; statuses that are not 0, but for process @killed */
static void processes(void (*fn)(unsigned int proc), unsigned int killed)
{
	pid_t pid[PROCS];
	unsigned int i;
	int status;

	fflush(stdout);
	CHECK_EQ(snpu_coll_get_uid(&uid), 0);
	for (i = 0; i < PROCS; i++) {
		pid[i] = fork();
		if (!pid[i]) {
			alarm(60);
			fn(i);
			fflush(stdout);
			_exit(t_failures() ? 1 : 0);
		}
		NEED(pid[i] > 0);
	}
	for (i = 0; i < PROCS; i++) {
		NEED(waitpid(pid[i], &status, 0) == pid[i]);
		if (i == killed)
			CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		else
			CHECK_EQ(status, 0);
	}
}

/* Threads of one process, through the directory as well */
static void one_process(void)
{
	static struct team t[PROCS];
	struct snpu_coll *all[RANKS];
	unsigned int p, i;
	uint64_t k;

	CHECK_EQ(snpu_coll_get_uid(&uid), 0);
	CHECK_EQ(snpu_coll_group_start(), 0);
	for (p = 0; p < PROCS; p++) {
		/* groups nest: all of them meet at the end of the outer one */
		team_open(&t[p], p, T_LONG);
	}
	CHECK_EQ(snpu_coll_group_end(), 0);
	for (p = 0; p < PROCS; p++) {
		for (i = 0; i < EACH; i++) {
			all[p * EACH + i] = t[p].comm[i];
			NEED(t[p].comm[i]);
			CHECK_EQ(snpu_coll_rank(t[p].comm[i]), p * EACH + i);
			for (k = 0; k < 64; k++)
				t[p].dev[i].p[k] = (uint8_t)(p * EACH + i);
			CHECK_EQ(snpu_coll_all_gather(t[p].comm[i], t[p].dev[i].q, t[p].dev[i].va,
						      t[p].dev[i].va + 4096, 64, SNPU_DT_I8), 0);
			CHECK_EQ(snpu_queue_submit(t[p].dev[i].q, &t[p].pos[i]), 0);
		}
	}
	for (p = 0; p < PROCS; p++) {
		for (i = 0; i < EACH; i++) {
			CHECK_EQ(snpu_queue_wait(t[p].dev[i].q, t[p].pos[i], T_LONG), 0);
			for (k = 0; k < RANKS * 64; k++)
				CHECK(t[p].dev[i].p[4096 + k] == k / 64);
		}
	}
	CHECK(all[0] != all[1]);
	for (p = 0; p < PROCS; p++)
		team_close(&t[p]);
}

static void meet_and_split(unsigned int proc)
{
	struct snpu_coll *half[EACH] = { NULL }, *none[EACH] = { NULL };
	static struct team t;
	unsigned int i;

	/* rank 0's process comes last */
	if (!proc)
		t_sleep_ms(300);
	NEED(team_open(&t, proc, 30 * T_SEC));
	CHECK_EQ(add_up(&t, t.comm), 0);
	CHECK_EQ(add_up(&t, t.comm), 0);
	/* even and odd ranks, the other way round */
	snpu_coll_group_start();
	for (i = 0; i < EACH; i++)
		CHECK_EQ(snpu_coll_split(t.comm[i], (int)(t.base + i) % 2, -(int)(t.base + i),
					 &half[i], NULL), 0);
	CHECK_EQ(snpu_coll_group_end(), 0);
	for (i = 0; i < EACH; i++) {
		NEED(half[i]);
		CHECK_EQ(snpu_coll_count(half[i]), PROCS);
		CHECK_EQ(snpu_coll_rank(half[i]), PROCS - 1 - proc);
	}
	CHECK_EQ(add_up(&t, half), 0);
	CHECK_EQ(add_up(&t, t.comm), 0);
	/* nobody but process 1 */
	snpu_coll_group_start();
	for (i = 0; i < EACH; i++)
		CHECK_EQ(snpu_coll_split(t.comm[i], proc == 1 ? 7 : -1, 0, &none[i], NULL), 0);
	CHECK_EQ(snpu_coll_group_end(), 0);
	for (i = 0; i < EACH; i++)
		CHECK_EQ(snpu_coll_count(none[i]), proc == 1 ? EACH : 0);
	if (proc == 1)
		CHECK_EQ(add_up(&t, none), 0);
	for (i = 0; i < EACH; i++) {
		CHECK_EQ(snpu_coll_destroy(half[i]), 0);
		CHECK_EQ(snpu_coll_destroy(none[i]), 0);
	}
	team_close(&t);
	t_close();
}

static void split(void)
{
	processes(meet_and_split, PROCS);
}

/* The last process dies in the middle of the third operation */
static void one_dies(unsigned int proc)
{
	static const unsigned int dead[EACH] = { RANKS - 2, RANKS - 1 };
	struct snpu_coll *rest[EACH] = { NULL };
	static struct team t;
	uint64_t begin;
	unsigned int i;

	NEED(team_open(&t, proc, 30 * T_SEC));
	CHECK_EQ(add_up(&t, t.comm), 0);
	CHECK_EQ(add_up(&t, t.comm), 0);
	if (proc == PROCS - 1) {
		/* one of its ranks has begun */
		snpu_coll_all_reduce(t.comm[0], t.dev[0].q, t.dev[0].va, t.dev[0].va, COUNT,
				     SNPU_DT_I32, SNPU_COLL_SUM);
		snpu_queue_submit(t.dev[0].q, NULL);
		t_sleep_ms(100);
		kill(getpid(), SIGKILL);
	}
	begin = t_now();
	CHECK_EQ(add_up(&t, t.comm), -1);
	for (i = 0; i < EACH; i++) {
		while (!snpu_coll_async_error(t.comm[i]) && t_now() - begin < SNPU_COLL_NOTICE_NS)
			t_sleep_ms(5);
		CHECK(snpu_coll_async_error(t.comm[i]) < 0);
	}
	printf("# process %u knew after %llu ms: %s\n", proc,
	       (unsigned long long)((t_now() - begin) / T_MS),
	       strerror(-snpu_coll_async_error(t.comm[0])));
	/* all without it */
	snpu_coll_group_start();
	for (i = 0; i < EACH; i++)
		CHECK_EQ(snpu_coll_shrink(t.comm[i], dead, EACH, &rest[i], NULL), 0);
	CHECK_EQ(snpu_coll_group_end(), 0);
	for (i = 0; i < EACH; i++) {
		CHECK_EQ(snpu_queue_destroy(t.dev[i].q), 0);
		t.dev[i].q = NULL;
		NEED(!snpu_queue_create(t.dev[i].ctx, NULL, &t.dev[i].q));
		NEED(rest[i]);
		CHECK_EQ(snpu_coll_count(rest[i]), RANKS - EACH);
		CHECK_EQ(snpu_coll_rank(rest[i]), t.base + i);
	}
	CHECK_EQ(add_up(&t, rest), 0);
	for (i = 0; i < EACH; i++)
		CHECK_EQ(snpu_coll_destroy(rest[i]), 0);
	team_close(&t);
	t_close();
}

static void killed(void)
{
	processes(one_dies, PROCS - 1);
}

static int one_way(struct team *t, unsigned int i, bool send, unsigned int peer)
{
	return send ? snpu_coll_send(t->comm[i], t->dev[i].q, t->dev[i].va, COUNT, SNPU_DT_I32,
				     peer) :
		      snpu_coll_recv(t->comm[i], t->dev[i].q, t->dev[i].va, COUNT, SNPU_DT_I32,
				     peer);
}

/* Processes 1 and 2 leave but for rank 3, which waits for rank 0, then that breaks an all-reduce */
static void some_leave(unsigned int proc)
{
	static struct team t;
	unsigned int i, last = proc == 1 ? 1 : 0;

	NEED(team_open(&t, proc, 30 * T_SEC));
	CHECK_EQ(add_up(&t, t.comm), 0);
	if (proc == 1) {
		CHECK_EQ(one_way(&t, 1, false, 0), 0);
		CHECK_EQ(snpu_queue_submit(t.dev[1].q, &t.pos[1]), 0);
	}
	for (i = 0; i < EACH; i++) {
		if (proc && !(proc == 1 && i == last)) {
			CHECK_EQ(snpu_coll_destroy(t.comm[i]), 0);
			t.comm[i] = NULL;
		}
	}
	if (!proc) {
		t_sleep_ms(2500);
		CHECK_EQ(one_way(&t, 0, true, 3), 0);
		CHECK_EQ(snpu_queue_submit(t.dev[0].q, &t.pos[0]), 0);
	}
	if (proc < 2)
		CHECK_EQ(snpu_queue_wait(t.dev[last].q, t.pos[last], T_LONG), 0);
	/* a neighbour of those that left knows how much they have called */
	if (!proc)
		CHECK_EQ(add_up(&t, t.comm), -1);
	for (i = 0; i < EACH; i++)
		if (!proc)
			CHECK_EQ(snpu_coll_async_error(t.comm[i]), -ECONNRESET);
	team_close(&t);
	t_close();
}

static void leaving(void)
{
	processes(some_leave, PROCS);
}

/* All ranks leave at once, and the processes go, some times */
static void all_leave(unsigned int proc)
{
	static struct team t;
	unsigned int i, k;

	for (k = 0; k < 5; k++) {
		NEED(team_open(&t, proc, 30 * T_SEC));
		CHECK_EQ(add_up(&t, t.comm), 0);
		for (i = 0; i < EACH; i++)
			CHECK_EQ(snpu_coll_async_error(t.comm[i]), 0);
		/* and meet again with the same id, while others may still be leaving */
		team_close(&t);
	}
	t_close();
}

static void together(void)
{
	uint64_t begin = t_now();

	processes(all_leave, PROCS);
	printf("# five times of meeting and leaving: %llu ms\n",
	       (unsigned long long)((t_now() - begin) / T_MS));
}

/* Nobody else comes; and an id in use */
static void alone(void)
{
	struct snpu_coll_params p = { .field_mask = SNPU_COLL_PARAM_TIMEOUT,
				      .timeout_ns = 100 * T_MS };
	struct snpu_coll *c;
	struct t_dev d;

	NEED(!t_dev_open(&d, 0, 4096, SNPU_MEM_HBM));
	CHECK_EQ(snpu_coll_uid_of_name("a name", &uid), 0);
	CHECK_EQ(snpu_coll_init_rank(&c, d.ctx, 3, &uid, 1, &p), -ETIMEDOUT);
	CHECK_TEXT(snpu_coll_last_error(), "rank 0 did not come");
	CHECK_EQ(snpu_coll_init_rank(&c, d.ctx, 3, &uid, 0, &p), -ETIMEDOUT);
	CHECK_TEXT(snpu_coll_last_error(), "1 of 3 ranks came; missing: 1, 2");
	CHECK_EQ(snpu_coll_init_rank(&c, d.ctx, 0, &uid, 0, &p), -EINVAL);
	CHECK_EQ(snpu_coll_init_rank(&c, d.ctx, 2, &uid, 2, &p), -EINVAL);
	CHECK_EQ(snpu_coll_init_rank(&c, d.ctx, 2, NULL, 0, &p), -EINVAL);
	CHECK_EQ(snpu_coll_init_rank(&c, NULL, 2, &uid, 0, &p), -EINVAL);
	CHECK_EQ(snpu_coll_uid_of_name("", &uid), -EINVAL);
	CHECK_EQ(snpu_coll_get_uid(NULL), -EINVAL);
	/* one rank needs nobody */
	NEED(!snpu_coll_init_rank(&c, d.ctx, 1, &uid, 0, &p));
	CHECK_EQ(snpu_coll_shrink(c, (unsigned int[]){ 0 }, 1, &c, NULL), -EINVAL);
	CHECK_EQ(snpu_coll_destroy(c), 0);
	t_dev_close(&d);
	/* the others fork with no set open */
	t_close();
}

int main(void)
{
	static const struct t_case cases[] = {
		{ "nobody else comes", alone, T_BOTH },
		{ "several processes meet, and split", split, T_BOTH },
		{ "processes leave, others go on", leaving, T_BOTH },
		{ "all processes leave at once", together, T_BOTH },
		{ "a process is killed, the others go on without it", killed, T_BOTH },
		{ "ranks of one process meet through the directory", one_process, T_BOTH },
	};

	return t_main(cases, sizeof(cases) / sizeof(*cases));
}
