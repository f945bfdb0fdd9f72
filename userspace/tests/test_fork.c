// SPDX-License-Identifier: MIT
/*
 * fork(): what a child does with handles of its parent is refused, and reaches neither the parent
 * nor its NPUs.
 */
#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <snpu/coll.h>

#include "tap.h"

#define BYTES	65536u

/* One of everything, on NPUs 0 and 1 */
struct world {
	struct snpu *s;
	struct t_dev d[2];
	struct snpu_mem *host, *shared, *contig;
	struct snpu_cmdbuf *cb;
	struct snpu_event *ev;
	struct snpu_fence *f;
	struct snpu_timeline *tl;
	struct snpu_coll *comm[2];
	uint64_t pos;
};

static int make(struct world *w)
{
	struct snpu_ctx *ctx[2];
	uint64_t va;
	void *p;

	memset(w, 0, sizeof(*w));
	w->s = t_snpu();
	if (t_dev_open(&w->d[0], 0, BYTES, SNPU_MEM_HBM) ||
	    t_dev_open(&w->d[1], 1, BYTES, SNPU_MEM_HBM))
		return -1;
	ctx[0] = w->d[0].ctx;
	ctx[1] = w->d[1].ctx;
	CHECK_EQ(snpu_mem_alloc(ctx[0], BYTES, SNPU_MEM_HOST, &w->host), 0);
	CHECK_EQ(snpu_mem_map(w->host, &p), 0);
	CHECK_EQ(snpu_mem_alloc(ctx[0], BYTES, SNPU_MEM_HBM | SNPU_MEM_CONTIG, &w->contig), 0);
	CHECK_EQ(snpu_mem_share(ctx[0], w->d[1].mem, 0, &w->shared), 0);
	CHECK_EQ(snpu_cmdbuf_create(ctx[0], 16, &w->cb), 0);
	CHECK_EQ(snpu_event_create(ctx[0], &w->ev), 0);
	CHECK_EQ(snpu_event_va(w->ev, ctx[1], &va), 0);
	snpu_prep_nop(t_pkt(w->d[0].q));
	CHECK_EQ(snpu_queue_submit(w->d[0].q, &w->pos), 0);
	CHECK_EQ(snpu_queue_wait(w->d[0].q, w->pos, T_LONG), 0);
	CHECK_EQ(snpu_fence_create(w->d[0].q, w->pos, &w->f), 0);
	/* a queue that waits for another maps its completion record */
	CHECK_EQ(snpu_queue_put_fence(w->d[1].q, w->f), 0);
	CHECK_EQ(t_run(w->d[1].q), 0);
	CHECK_EQ(snpu_timeline_create(w->s, &w->tl), 0);
	CHECK_EQ(snpu_timeline_attach(w->tl, 1, w->d[0].q, w->pos), 0);
	CHECK_EQ(snpu_coll_init_all(w->comm, ctx, 2, NULL), 0);
	CHECK_EQ(snpu_coll_register(w->comm[0], w->d[0].mem), 0);
	CHECK_EQ(snpu_coll_register(w->comm[1], w->d[1].mem), 0);
	return t_failures() ? -1 : 0;
}

/* In the parent, and in a child: there it frees the child's memory */
static void unmake(struct world *w)
{
	CHECK_EQ(snpu_coll_destroy(w->comm[0]), 0);
	CHECK_EQ(snpu_coll_destroy(w->comm[1]), 0);
	CHECK_EQ(snpu_timeline_destroy(w->tl), 0);
	CHECK_EQ(snpu_fence_destroy(w->f), 0);
	CHECK_EQ(snpu_event_destroy(w->ev), 0);
	CHECK_EQ(snpu_cmdbuf_destroy(w->cb), 0);
	CHECK_EQ(snpu_mem_free(w->shared), 0);
	CHECK_EQ(snpu_mem_free(w->contig), 0);
	CHECK_EQ(snpu_mem_free(w->host), 0);
	t_dev_close(&w->d[0]);
	t_dev_close(&w->d[1]);
	t_close();
}

/* Everything of the parent works */
static void works(struct world *w)
{
	uint32_t *a = (uint32_t *)w->d[0].p, *b = (uint32_t *)w->d[1].p;
	uint64_t pos[2], point;
	unsigned int i;
	void *p;

	CHECK_EQ(snpu_mem_map(w->host, &p), 0);
	memset(p, 0x5a, BYTES);
	snpu_prep_copy(t_pkt(w->d[0].q), w->d[0].va, snpu_mem_va(w->host), BYTES);
	CHECK_EQ(t_run(w->d[0].q), 0);
	CHECK_EQ(w->d[0].p[777], 0x5a);
	snpu_cmdbuf_reset(w->cb);
	snpu_prep_fill(snpu_cmdbuf_get(w->cb), snpu_mem_va(w->shared), BYTES, 3, 4);
	CHECK_EQ(snpu_queue_put_cmdbuf(w->d[0].q, w->cb), 0);
	CHECK_EQ(t_run(w->d[0].q), 0);
	CHECK_EQ(b[5], 3);
	CHECK_EQ(snpu_fence_wait(w->f, T_LONG), 0);
	CHECK_EQ(snpu_timeline_query(w->tl, &point), 0);
	CHECK_EQ(point, 1);
	CHECK_EQ(snpu_event_set(w->ev, 7), 0);
	CHECK_EQ(snpu_event_read(w->ev), 7);
	snpu_prep_fill(t_pkt(w->d[0].q), w->d[0].va, BYTES, 4, 4);
	CHECK_EQ(t_run(w->d[0].q), 0);
	for (i = 0; i < 2; i++) {
		CHECK_EQ(snpu_coll_all_reduce(w->comm[i], w->d[i].q, w->d[i].va, w->d[i].va, 100,
					      SNPU_DT_I32, SNPU_COLL_SUM), 0);
		CHECK_EQ(snpu_queue_submit(w->d[i].q, &pos[i]), 0);
	}
	for (i = 0; i < 2; i++)
		CHECK_EQ(snpu_queue_wait(w->d[i].q, pos[i], T_LONG), 0);
	CHECK_EQ(a[50], 7);
	CHECK_EQ(b[50], 7);
}

/* Runs @fn in a child; its failed checks are ours */
static void in_child(void (*fn)(void *arg), void *arg)
{
	int status = -1;
	pid_t pid = fork();

	NEED(pid >= 0);
	if (!pid) {
		alarm(60);
		fn(arg);
		_exit(t_failures() ? 1 : 0);
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	if (status)
		t_fail(__FILE__, __LINE__, "child ended with status 0x%x", status);
}

#define REFUSED(call) do { \
	CHECK_EQ(call, -ESTALE); \
	CHECK_TEXT(snpu_last_error(), "fork"); \
} while (0)

#define COLL_REFUSED(call) do { \
	CHECK_EQ(call, -ESTALE); \
	CHECK_TEXT(snpu_coll_last_error(), "fork"); \
} while (0)

static void refused_queue(struct world *w)
{
	struct snpu_queue *q = w->d[0].q, *new;
	struct snpu_error err;
	struct snpu_vtime vt;
	uint64_t pos;

	CHECK(!snpu_queue_get(q));
	CHECK_TEXT(snpu_last_error(), "fork");
	CHECK_TEXT(snpu_last_error(), "snpu_queue_get");
	REFUSED(snpu_queue_submit(q, &pos));
	REFUSED(snpu_queue_poll(q, w->pos));
	REFUSED(snpu_queue_wait(q, w->pos, T_LONG));
	REFUSED(snpu_queue_wait(q, 0, T_LONG));
	REFUSED(snpu_queue_suspend(q));
	REFUSED(snpu_queue_resume(q));
	REFUSED(snpu_queue_error(q, &err, sizeof(err)));
	REFUSED(snpu_queue_vtime(q, w->pos, 0, &vt, sizeof(vt)));
	REFUSED(snpu_queue_put_cmdbuf(q, w->cb));
	REFUSED(snpu_queue_put_fence(q, w->f));
	REFUSED(snpu_queue_put_timeline(q, w->tl, 1));
	REFUSED(snpu_queue_create(w->d[0].ctx, NULL, &new));
	CHECK(!snpu_cmdbuf_get(w->cb));
	CHECK_TEXT(snpu_last_error(), "fork");
	snpu_cmdbuf_reset(w->cb);
	CHECK(!snpu_cmdbuf_get(w->cb));
	CHECK(snpu_queue_ctx(q) == w->d[0].ctx);
}

static void refused_memory(struct world *w)
{
	struct snpu_seg_handle h = { .version = SNPU_SEG_HANDLE_VERSION, .token = 1 };
	struct snpu_ctx *ctx = w->d[0].ctx;
	struct snpu_cmdbuf *cb;
	struct snpu_event *ev;
	struct snpu_mem *m;
	uint64_t va;
	void *p;
	int fd;

	REFUSED(snpu_mem_alloc(ctx, 4096, SNPU_MEM_HBM, &m));
	REFUSED(snpu_mem_alloc(ctx, 4096, SNPU_MEM_HOST, &m));
	REFUSED(snpu_mem_map(w->host, &p));
	REFUSED(snpu_mem_export(w->d[0].mem, &fd));
	REFUSED(snpu_mem_import(ctx, 0, 0, &m));
	REFUSED(snpu_mem_share(ctx, w->d[1].mem, 0, &m));
	REFUSED(snpu_seg_export(w->contig, SNPU_SEG_READ, NULL, &h));
	REFUSED(snpu_seg_revoke(w->contig));
	REFUSED(snpu_seg_lookup(ctx, "name", &h));
	h.version = SNPU_SEG_HANDLE_VERSION;
	h.token = 1;
	REFUSED(snpu_seg_import(ctx, &h, 0, &m));
	REFUSED(snpu_seg_import_name(ctx, "name", 0, &m));
	REFUSED(snpu_cmdbuf_create(ctx, 1, &cb));
	REFUSED(snpu_event_create(ctx, &ev));
	REFUSED(snpu_event_va(w->ev, w->d[1].ctx, &va));
	REFUSED(snpu_event_set(w->ev, 9));
	REFUSED(snpu_event_wait(w->ev, 0, 0));
	CHECK_EQ(snpu_mem_va(w->d[0].mem), w->d[0].va);
	CHECK_EQ(snpu_mem_size(w->d[0].mem), BYTES);
}

static void refused_rest(struct world *w)
{
	struct snpu_counters counters;
	struct snpu_timeline *tl;
	struct snpu_port port;
	struct snpu_info info;
	struct snpu_fence *f;
	struct snpu_vtime vt;
	struct snpu_ctx *ctx;
	uint64_t point;
	int fd;

	REFUSED(snpu_get_info(w->s, 0, &info, sizeof(info)));
	REFUSED(snpu_get_counters(w->s, 0, &counters, sizeof(counters)));
	REFUSED(snpu_get_ports(w->s, 0, &port, sizeof(port), 1));
	REFUSED(snpu_ctx_create(w->s, 2, &ctx));
	REFUSED(snpu_time_sync(w->s, 1));
	REFUSED(snpu_fence_create(w->d[0].q, w->pos, &f));
	REFUSED(snpu_fence_poll(w->f));
	REFUSED(snpu_fence_wait(w->f, T_LONG));
	REFUSED(snpu_fence_export(w->f, &fd));
	REFUSED(snpu_fence_import(w->s, 0, &f));
	REFUSED(snpu_fence_vtime(w->f, 0, &vt, sizeof(vt)));
	REFUSED(snpu_timeline_create(w->s, &tl));
	REFUSED(snpu_timeline_attach(w->tl, 2, w->d[0].q, w->pos));
	REFUSED(snpu_timeline_signal(w->tl, 2));
	REFUSED(snpu_timeline_query(w->tl, &point));
	REFUSED(snpu_timeline_wait(w->tl, 1, T_LONG));
	CHECK(snpu_count(w->s) >= 2);
	CHECK_EQ(snpu_ctx_index(w->d[1].ctx), 1);
}

static void refused_coll(struct world *w)
{
	const uint64_t counts[2] = { 0 };
	struct snpu_coll *c = w->comm[0], *new[2];
	struct snpu_queue *q = w->d[0].q;
	unsigned int other = 1;
	struct snpu_coll_uid uid;
	uint64_t va = w->d[0].va;

	COLL_REFUSED(snpu_coll_all_reduce(c, q, va, va, 1, SNPU_DT_F32, SNPU_COLL_SUM));
	COLL_REFUSED(snpu_coll_barrier(c, q));
	COLL_REFUSED(snpu_coll_all_to_allv(c, q, va, counts, counts, va, counts, counts,
					   SNPU_DT_F32));
	COLL_REFUSED(snpu_coll_send(c, q, va, 1, SNPU_DT_F32, 1));
	COLL_REFUSED(snpu_coll_recv(c, q, va, 1, SNPU_DT_F32, 1));
	COLL_REFUSED(snpu_coll_async_error(c));
	COLL_REFUSED(snpu_coll_abort(c));
	COLL_REFUSED(snpu_coll_register(c, w->contig));
	COLL_REFUSED(snpu_coll_unregister(c, w->d[0].mem));
	COLL_REFUSED(snpu_coll_split(c, 0, 0, new, NULL));
	COLL_REFUSED(snpu_coll_shrink(c, &other, 1, new, NULL));
	CHECK_EQ(snpu_coll_get_uid(&uid), 0);
	COLL_REFUSED(snpu_coll_init_rank(new, w->d[0].ctx, 1, &uid, 0, NULL));
	COLL_REFUSED(snpu_coll_init_all(new, &w->d[0].ctx, 1, NULL));
	CHECK_EQ(snpu_coll_count(c), 2);
}

static void use_and_free(void *arg)
{
	struct world *w = arg;

	refused_queue(w);
	refused_memory(w);
	refused_rest(w);
	refused_coll(w);
	/* children first holds here, too */
	CHECK_EQ(snpu_ctx_destroy(w->d[0].ctx), -EBUSY);
	CHECK_EQ(snpu_close(w->s), -EBUSY);
	unmake(w);
}

static void refused(void)
{
	struct world w;

	NEED(!make(&w));
	works(&w);
	in_child(use_and_free, &w);
	works(&w);
	in_child(use_and_free, &w);
	works(&w);
	unmake(&w);
}

static void again(void *arg)
{
	in_child(use_and_free, arg);
	use_and_free(arg);
}

static void grandchild(void)
{
	struct world w;

	NEED(!make(&w));
	in_child(again, &w);
	works(&w);
	unmake(&w);
}

static void leave_it(void *arg)
{
	(void)arg;
}

static void die(void *arg)
{
	(void)arg;
	exit(0);
}

/* A child that does nothing of all that */
static void careless(void)
{
	struct world w;

	NEED(!make(&w));
	in_child(leave_it, &w);
	in_child(die, &w);
	works(&w);
	unmake(&w);
}

struct stale {
	union snpu_pkt *ring, *cb;
};

static void scribble(void *arg)
{
	struct stale *s = arg;

	memset(s->ring, 0xff, sizeof(*s->ring));
	memset(s->cb, 0xff, sizeof(*s->cb));
	CHECK_EQ(s->ring->q[7], UINT64_MAX);
}

/* Entries that the parent is filling when it forks */
static void packets(void)
{
	struct stale s;
	struct world w;

	NEED(!make(&w));
	s.ring = t_pkt(w.d[0].q);
	snpu_prep_fill(s.ring, w.d[0].va, BYTES, 0x11, 1);
	s.cb = snpu_cmdbuf_get(w.cb);
	snpu_prep_fill(s.cb, w.d[0].va + 4096, 4096, 0x22, 1);
	in_child(scribble, &s);
	CHECK_EQ(snpu_queue_put_cmdbuf(w.d[0].q, w.cb), 0);
	CHECK_EQ(t_run(w.d[0].q), 0);
	CHECK_EQ(w.d[0].p[0], 0x11);
	CHECK_EQ(w.d[0].p[5000], 0x22);
	works(&w);
	unmake(&w);
}

/* The child uses NPUs 2 and 3, which the parent does not use */
static void own_set(void *arg)
{
	struct world *old = arg;
	struct snpu_coll *comm[2];
	struct snpu_ctx *ctx[2];
	struct t_dev d[2];
	uint64_t pos[2];
	unsigned int i;

	unmake(old);
	for (i = 0; i < 2; i++) {
		NEED(!t_dev_open(&d[i], 2 + i, BYTES, SNPU_MEM_HBM));
		ctx[i] = d[i].ctx;
		memset(d[i].p, 1, 16);
	}
	NEED(!snpu_coll_init_all(comm, ctx, 2, NULL));
	for (i = 0; i < 2; i++) {
		CHECK_EQ(snpu_coll_all_reduce(comm[i], d[i].q, d[i].va, d[i].va, 4, SNPU_DT_I32,
					      SNPU_COLL_SUM), 0);
		CHECK_EQ(snpu_queue_submit(d[i].q, &pos[i]), 0);
	}
	for (i = 0; i < 2; i++)
		CHECK_EQ(snpu_queue_wait(d[i].q, pos[i], T_LONG), 0);
	CHECK_EQ(d[0].p[3], 2);
	CHECK_EQ(d[1].p[15], 2);
	for (i = 0; i < 2; i++)
		CHECK_EQ(snpu_coll_destroy(comm[i]), 0);
	for (i = 0; i < 2; i++)
		t_dev_close(&d[i]);
	t_close();
}

static void opens_itself(void)
{
	struct world w;

	NEED(!make(&w));
	in_child(own_set, &w);
	works(&w);
	unmake(&w);
}

enum { SMALL = 60 };

struct buffers {
	struct snpu_ctx *ctx;
	struct snpu_mem *m[SMALL];
	uint8_t *p[SMALL];
};

static void free_buffers(void *arg)
{
	struct buffers *b = arg;
	unsigned int i;

	for (i = 0; i < SMALL; i++)
		CHECK_EQ(snpu_mem_free(b->m[i]), 0);
	CHECK_EQ(snpu_ctx_destroy(b->ctx), 0);
	t_close();
}

/* With few descriptors buffers share files: what the child frees there the parent still has */
static void share_files(void *arg)
{
	struct rlimit r = { .rlim_cur = 64, .rlim_max = 64 };
	struct buffers b;
	unsigned int i;
	void *p;

	(void)arg;
	NEED(!setrlimit(RLIMIT_NOFILE, &r));
	NEED(!snpu_ctx_create(t_snpu(), 0, &b.ctx));
	for (i = 0; i < SMALL; i++) {
		NEED(!snpu_mem_alloc(b.ctx, 4096, SNPU_MEM_HOST, &b.m[i]) &&
		     !snpu_mem_map(b.m[i], &p));
		b.p[i] = p;
		memset(p, (int)i + 1, 4096);
	}
	in_child(free_buffers, &b);
	for (i = 0; i < SMALL; i++)
		CHECK_EQ(b.p[i][4095], i + 1);
	free_buffers(&b);
}

static void shared_files(void)
{
	t_close();
	in_child(share_files, NULL);
}

/* ---- threads: locks may be held, and lists half changed, when one of them forks ---- */

static atomic_bool stop;

static void *busy(void *arg)
{
	struct snpu_fence *f;
	struct snpu_cmdbuf *cb;
	struct snpu_event *ev;
	struct snpu_queue *q;
	struct snpu_ctx *ctx;
	struct snpu_mem *m;
	uint64_t pos;
	void *p;

	(void)arg;
	while (!atomic_load(&stop) && !t_failures()) {
		CHECK_EQ(snpu_ctx_create(t_snpu(), 0, &ctx), 0);
		CHECK_EQ(snpu_queue_create(ctx, NULL, &q), 0);
		CHECK_EQ(snpu_mem_alloc(ctx, 3 << 20, SNPU_MEM_HBM, &m), 0);
		CHECK_EQ(snpu_mem_map(m, &p), 0);
		CHECK_EQ(snpu_cmdbuf_create(ctx, 16, &cb), 0);
		CHECK_EQ(snpu_event_create(ctx, &ev), 0);
		snpu_prep_nop(t_pkt(q));
		CHECK_EQ(snpu_queue_submit(q, &pos), 0);
		CHECK_EQ(snpu_fence_create(q, pos, &f), 0);
		CHECK_EQ(snpu_fence_wait(f, T_LONG), 0);
		CHECK_EQ(snpu_fence_destroy(f), 0);
		CHECK_EQ(snpu_event_destroy(ev), 0);
		CHECK_EQ(snpu_cmdbuf_destroy(cb), 0);
		CHECK_EQ(snpu_mem_free(m), 0);
		CHECK_EQ(snpu_queue_destroy(q), 0);
		CHECK_EQ(snpu_ctx_destroy(ctx), 0);
	}
	return NULL;
}

static void among_threads(void *arg)
{
	struct t_dev *d = arg;
	struct snpu_mem *m;

	REFUSED(snpu_mem_alloc(d->ctx, 4096, SNPU_MEM_HBM, &m));
	CHECK(!snpu_queue_get(d->q));
	t_dev_close(d);
	/* contexts of threads that are not here may be left */
	if (snpu_close(t_snpu()))
		CHECK_TEXT(snpu_last_error(), "left");
}

static void threads(void)
{
	enum { N = 3, FORKS = 30 };
	pthread_t thread[N];
	struct t_dev d;
	unsigned int i;

	NEED(!t_dev_open(&d, 0, BYTES, SNPU_MEM_HOST));
	atomic_store(&stop, false);
	for (i = 0; i < N; i++)
		NEED(!pthread_create(&thread[i], NULL, busy, NULL));
	for (i = 0; i < FORKS && !t_failures(); i++) {
		in_child(among_threads, &d);
		snpu_prep_nop(t_pkt(d.q));
		CHECK_EQ(t_run(d.q), 0);
	}
	atomic_store(&stop, true);
	for (i = 0; i < N; i++)
		pthread_join(thread[i], NULL);
	t_dev_close(&d);
}

/* ---- descriptors ---- */

/* Descriptors from 3 on whose names hold one of those; all, if @kinds is NULL */
static unsigned int descriptors(const char *const *kinds)
{
	char path[300], name[128];
	unsigned int n = 0, i;
	struct dirent *e;
	DIR *dir = opendir("/proc/self/fd");
	ssize_t len;

	while (dir && (e = readdir(dir))) {
		if (atoi(e->d_name) < 3 || atoi(e->d_name) == dirfd(dir))
			continue;
		n += !kinds;
		snprintf(path, sizeof(path), "/proc/self/fd/%s", e->d_name);
		len = readlink(path, name, sizeof(name) - 1);
		name[len > 0 ? len : 0] = '\0';
		for (i = 0; kinds && kinds[i]; i++)
			n += !!strstr(name, kinds[i]);
	}
	if (dir)
		closedir(dir);
	return n;
}

static const char *const live[] = { "socket:", "accel", "eventfd", "eventpoll", NULL };
static unsigned int before;
static char self[300], all[16];

static void look_at_descriptors(void *arg)
{
	(void)arg;
	CHECK_EQ(descriptors(live), before);
}

static void exec_self(void *arg)
{
	(void)arg;
	execl(self, self, "descriptors", all, NULL);
	t_fail(__FILE__, __LINE__, "%s: %s", self, strerror(errno));
}

static void closed(void)
{
	struct world w;
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	NEED(n > 0);
	t_close();
	before = descriptors(live);
	snprintf(all, sizeof(all), "%u", descriptors(NULL));
	NEED(!make(&w));
	CHECK(descriptors(live) > before);
	in_child(look_at_descriptors, NULL);
	in_child(exec_self, NULL);
	works(&w);
	unmake(&w);
}

/* Dies, and leaves a child behind that waits for the end of @hold */
static void parent_dies(int hold)
{
	struct world w;
	int gone[2];
	char byte;

	if (make(&w) || pipe(gone))
		_exit(1);
	if (!fork()) {
		/* on kmd the CPU's view of memory keeps it, and what it belongs to */
		if (!t_direct())
			unmake(&w);
		close(gone[0]);
		close(gone[1]);
		_exit(read(hold, &byte, 1) != 0);
	}
	close(gone[1]);
	_exit(read(gone[0], &byte, 1) != 0);
}

/* Then its NPUs are free */
static void orphan(void)
{
	struct snpu_counters c = { 0 };
	uint64_t used, end;
	int hold[2], status;
	struct world w;
	pid_t pid;

	CHECK_EQ(snpu_get_counters(t_snpu(), 0, &c, sizeof(c)), 0);
	used = c.hbm_used;
	t_close();
	NEED(!pipe(hold));
	pid = fork();
	NEED(pid >= 0);
	if (!pid) {
		close(hold[1]);
		parent_dies(hold[0]);
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
	/* the kernel takes back what the process had after it can be waited for */
	for (end = t_now() + T_LONG; !t_direct() && t_now() < end; t_sleep_ms(10)) {
		CHECK_EQ(snpu_get_counters(t_snpu(), 0, &c, sizeof(c)), 0);
		if (c.hbm_used <= used)
			break;
	}
	CHECK(t_direct() || c.hbm_used <= used);
	if (!make(&w)) {
		works(&w);
		unmake(&w);
	}
	close(hold[1]);
	close(hold[0]);
}

/* Programs started from one that uses NPUs */
static void programs(void)
{
	char line[16] = "";
	struct world w;
	FILE *f;

	NEED(!make(&w));
	f = popen("echo here", "r");
	NEED(f);
	CHECK(fgets(line, sizeof(line), f));
	CHECK(!strcmp(line, "here\n"));
	CHECK_EQ(pclose(f), 0);
	CHECK_EQ(system("exit 3"), 3 << 8);
	works(&w);
	unmake(&w);
}

static const struct t_case cases[] = {
	{ "every call is refused, destroying frees", refused, T_BOTH },
	{ "so it is in a grandchild", grandchild, T_BOTH },
	{ "a child that only ends", careless, T_BOTH },
	{ "packets being filled are private", packets, T_BOTH },
	{ "a child opens NPUs for itself", opens_itself, T_BOTH },
	{ "buffers that share files", shared_files, T_DIRECT },
	{ "threads are busy when the process forks", threads, T_BOTH },
	{ "descriptors are not inherited", closed, T_BOTH },
	{ "NPUs are free when the parent has died", orphan, T_BOTH },
	{ "popen() and system()", programs, T_BOTH },
};

int main(int argc, char **argv)
{
	if (argc > 2 && !strcmp(argv[1], "descriptors"))
		return descriptors(NULL) != (unsigned int)atoi(argv[2]);
	return t_main(cases, sizeof(cases) / sizeof(cases[0]));
}
