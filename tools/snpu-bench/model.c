// SPDX-License-Identifier: MIT
/* snpu-bench: an snpud of its own, with virtual time, and programs of packets for it. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "model.h"

#define RING		1024u
#define START_MS	60000
#define RUN_NS		(600ull * 1000000000u)

/* ---- the daemon ---- */

static int find_snpud(const struct model_opts *o, char *path, size_t len)
{
	static const char *const places[] = { "../snpud/snpud", "snpud", "../sbin/snpud" };
	char exe[4096];
	ssize_t n;
	size_t i;

	if (o->snpud) {
		snprintf(path, len, "%s", o->snpud);
		return 0;
	}
	n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	exe[n > 0 ? n : 0] = 0;
	*(strrchr(exe, '/') ? strrchr(exe, '/') + 1 : exe) = 0;
	for (i = 0; i < sizeof(places) / sizeof(*places); i++) {
		if ((size_t)snprintf(path, len, "%s%s", exe, places[i]) < len &&
		    !access(path, X_OK))
			return 0;
	}
	fprintf(stderr, "snpu-bench: snpud not found beside snpu-bench; name it with --snpud\n");
	return -ENOENT;
}

static void show_log(const char *dir)
{
	char path[96], line[512];
	FILE *f;

	snprintf(path, sizeof(path), "%s/log", dir);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		fputs(line, stderr);
	if (f)
		fclose(f);
}

/* Waits until snpud says that its sockets are there, or ends */
static int wait_ready(int fd, const char *dir)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char c;

	if (poll(&p, 1, START_MS) == 1 && read(fd, &c, 1) == 1)
		return 0;
	fprintf(stderr, "snpu-bench: snpud did not start:\n");
	show_log(dir);
	return -EIO;
}

/* posix_spawn() cannot say that the daemon is to end with this process, however that ends */
static pid_t spawn(char *const argv[], int fd, int as)
{
	pid_t parent = getpid(), pid = fork();
	int null;

	if (pid)
		return pid;
	null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	if (null < 0 || dup2(null, STDOUT_FILENO) < 0 || dup2(fd, as) < 0 ||
	    prctl(PR_SET_PDEATHSIG, SIGTERM) || getppid() != parent)
		_exit(127);
	execv(argv[0], argv);
	dprintf(STDERR_FILENO, "snpu-bench: %s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

static int start(struct model *m, const struct model_opts *o, const struct model_cfg *cfg)
{
	char bin[4200], npus[16], log[80], ready[16];
	char *argv[] = { bin, "--socket-dir", m->dir, "--profile", (char *)o->profile, "--log",
			 log, "--ready-fd", ready, cfg->ideal ? "--ideal" : "--timing",
			 cfg->npus ? "--npus" : NULL, npus, NULL };
	int fds[2], as, ret;

	ret = find_snpud(o, bin, sizeof(bin));
	if (ret)
		return ret;
	strcpy(m->dir, "/tmp/snpu-model.XXXXXX");
	if (!mkdtemp(m->dir)) {
		*m->dir = 0;
		return -errno;
	}
	/* the daemon gets one end as descriptor 3 and up, without close-on-exec */
	if (pipe2(fds, O_CLOEXEC))
		return -errno;
	snprintf(npus, sizeof(npus), "%u", cfg->npus);
	snprintf(log, sizeof(log), "%s/log", m->dir);
	as = fds[1] == 200 ? 201 : 200;
	snprintf(ready, sizeof(ready), "%d", as);
	m->pid = spawn(argv, fds[1], as);
	ret = m->pid < 0 ? -errno : 0;
	close(fds[1]);
	if (ret) {
		m->pid = 0;
		fprintf(stderr, "snpu-bench: %s: %s\n", bin, strerror(-ret));
	} else {
		ret = wait_ready(fds[0], m->dir);
	}
	close(fds[0]);
	return ret;
}

static void stop(struct model *m)
{
	char cmd_log[96];

	if (m->pid > 0) {
		kill(m->pid, SIGTERM);
		waitpid(m->pid, NULL, 0);
	}
	if (!*m->dir)
		return;
	snprintf(cmd_log, sizeof(cmd_log), "%s/log", m->dir);
	unlink(cmd_log);
	/* snpud removes what it has made */
	rmdir(m->dir);
}

/* ---- NPUs ---- */

static int open_queue(struct model *m, const struct model_cfg *cfg, unsigned int node,
		      unsigned int die, unsigned int k)
{
	struct snpu_queue_params p = {
		.field_mask = SNPU_QUEUE_ENTRIES | SNPU_QUEUE_TIMING |
			      (cfg->by_die ? SNPU_QUEUE_DIE : 0),
		.entries = RING, .die = die, .timing = 1,
	};

	return snpu_queue_create(m->node[node].ctx, &p, &m->node[node].q[die * m->queues + k].q);
}

static int open_node(struct model *m, const struct model_cfg *cfg, unsigned int i)
{
	struct model_node *n = &m->node[i];
	unsigned int d, k;
	int ret;

	n->q = calloc((size_t)m->dies * m->queues, sizeof(*n->q));
	n->win = calloc(m->nodes, sizeof(struct snpu_mem *));
	if (!n->q || !n->win)
		return -ENOMEM;
	ret = snpu_ctx_create(m->snpu, i, &n->ctx);
	for (d = 0; d < m->dies && !ret; d++)
		for (k = 0; k < m->queues && !ret; k++)
			ret = open_queue(m, cfg, i, d, k);
	if (!ret && cfg->bytes)
		ret = snpu_mem_alloc(n->ctx, cfg->bytes, SNPU_MEM_HBM | SNPU_MEM_CONTIG, &n->mem);
	return ret;
}

static int share(struct model *m)
{
	unsigned int i, k;
	int ret = 0;

	for (i = 0; i < m->nodes && !ret; i++)
		for (k = 0; k < m->nodes && !ret; k++)
			if (k != i)
				ret = snpu_mem_share(m->node[i].ctx, m->node[k].mem, 0,
						     &m->node[i].win[k]);
	return ret;
}

static int open_all(struct model *m, const struct model_cfg *cfg)
{
	struct snpu_open_params p = {
		.field_mask = SNPU_OPEN_TRANSPORT | SNPU_OPEN_SOCKET_DIR,
		.transport = "direct", .socket_dir = m->dir,
	};
	unsigned int i;
	int ret;

	ret = snpu_open(&p, &m->snpu);
	if (!ret)
		ret = snpu_get_info(m->snpu, 0, &m->info, sizeof(m->info));
	if (ret)
		return ret;
	m->nodes = snpu_count(m->snpu);
	m->dies = cfg->by_die ? m->info.dies : 1;
	m->queues = cfg->queues;
	m->bytes = cfg->bytes;
	m->node = calloc(m->nodes, sizeof(*m->node));
	if (!m->node)
		return -ENOMEM;
	for (i = 0; i < m->nodes && !ret; i++)
		ret = open_node(m, cfg, i);
	if (!ret && cfg->bytes)
		ret = share(m);
	return ret;
}

int model_open(struct model **out, const struct model_opts *o, const struct model_cfg *cfg)
{
	struct model *m = calloc(1, sizeof(*m));
	int ret;

	if (!m)
		return bench_fail(-ENOMEM, "model");
	ret = start(m, o, cfg);
	if (!ret) {
		ret = open_all(m, cfg);
		if (ret)
			bench_fail(ret, "NPUs of the model");
	}
	if (ret) {
		model_close(m);
		return ret;
	}
	*out = m;
	return 0;
}

static void close_node(struct model *m, struct model_node *n)
{
	unsigned int i;

	for (i = 0; n->q && i < m->dies * m->queues; i++) {
		snpu_queue_destroy(n->q[i].q);
		free(n->q[i].prog);
	}
	for (i = 0; n->win && i < m->nodes; i++)
		snpu_mem_free(n->win[i]);
	free(n->q);
	free(n->win);
}

void model_close(struct model *m)
{
	unsigned int i;

	if (!m)
		return;
	for (i = 0; m->node && i < m->nodes; i++)
		close_node(m, &m->node[i]);
	for (i = 0; m->node && i < m->nodes; i++) {
		snpu_mem_free(m->node[i].mem);
		if (m->node[i].ctx)
			snpu_ctx_destroy(m->node[i].ctx);
	}
	free(m->node);
	if (m->snpu)
		snpu_close(m->snpu);
	stop(m);
	free(m);
}

int model_facts(const struct model_opts *o, struct snpu_info *info)
{
	struct model_cfg cfg = { .npus = 1, .queues = 1 };
	struct model *m;
	int ret;

	ret = model_open(&m, o, &cfg);
	if (ret)
		return ret;
	*info = m->info;
	model_close(m);
	return 0;
}

/* ---- programs ---- */

union snpu_pkt *model_pkt(struct model *m, unsigned int node, unsigned int die, unsigned int queue)
{
	struct model_queue *q = &m->node[node].q[die * m->queues + queue];
	static union snpu_pkt spare;

	if (q->n == q->room) {
		size_t room = q->room ? 2 * q->room : 256;
		void *p = realloc(q->prog, room * sizeof(*q->prog));

		if (!p) {
			m->failed = true;
			return &spare;
		}
		q->prog = p;
		q->room = room;
	}
	memset(&q->prog[q->n], 0, sizeof(*q->prog));
	return &q->prog[q->n++];
}

uint64_t model_va(const struct model *m, unsigned int node, unsigned int target, uint64_t off)
{
	const struct model_node *n = &m->node[node];

	return snpu_mem_va(target == node ? n->mem : n->win[target]) + off;
}

/* Puts what fits into the rings. @left: packets that did not; @stuck: a queue that is full */
static int feed(struct model *m, size_t *left, struct model_queue **stuck)
{
	unsigned int i, k;
	int ret = 0;

	*left = 0;
	for (i = 0; i < m->nodes && !ret; i++)
		for (k = 0; k < m->dies * m->queues && !ret; k++) {
			struct model_queue *q = &m->node[i].q[k];
			union snpu_pkt *p;
			size_t before = q->put;

			while (q->put < q->n && (p = snpu_queue_get(q->q)))
				*p = q->prog[q->put++];
			if (q->put != before)
				ret = snpu_queue_submit(q->q, &q->position);
			if (q->put < q->n)
				*stuck = q;
			*left += q->n - q->put;
		}
	return ret;
}

static int run_failed(struct model *m, int ret)
{
	struct snpu_error err;
	unsigned int i, k;
	char text[160];

	bench_fail(ret, "program of packets");
	for (i = 0; i < m->nodes; i++)
		for (k = 0; k < m->dies * m->queues; k++) {
			if (snpu_queue_error(m->node[i].q[k].q, &err, sizeof(err)) || !err.code)
				continue;
			snpu_error_format(&err, text, sizeof(text));
			fprintf(stderr, "  %s\n", text);
			return ret;
		}
	return ret;
}

int model_span(struct model *m, unsigned int node, unsigned int die, unsigned int queue,
	       struct snpu_vtime *vt)
{
	struct model_queue *q = &m->node[node].q[die * m->queues + queue];

	return snpu_queue_vtime(q->q, q->position, RUN_NS, vt, sizeof(*vt));
}

int model_run(struct model *m, uint64_t *end)
{
	struct model_queue *stuck = NULL;
	struct snpu_vtime vt;
	unsigned int i, d, k;
	size_t left, before = 0;
	uint64_t since = bench_now();
	int ret;

	if (m->failed)
		return bench_fail(-ENOMEM, "program of packets");
	do {
		ret = feed(m, &left, &stuck);
		/* until half its ring is free; others may need to be fed before that */
		if (!ret && left) {
			ret = snpu_queue_wait(stuck->q, stuck->position - RING / 2, 20000000);
			if (ret == -ETIME)
				ret = 0;
			/* queues that all wait for each other never take more */
			if (left != before)
				since = bench_now();
			else if (!ret && bench_now() - since > RUN_NS)
				ret = -EDEADLK;
			before = left;
		}
	} while (!ret && left);
	*end = 0;
	for (i = 0; i < m->nodes && !ret; i++)
		for (d = 0; d < m->dies && !ret; d++)
			for (k = 0; k < m->queues && !ret; k++) {
				if (!m->node[i].q[d * m->queues + k].n)
					continue;
				ret = model_span(m, i, d, k, &vt);
				*end = vt.end > *end ? vt.end : *end;
			}
	if (!ret && *end == SNPU_VTIME_NEVER)
		return bench_fail(-ERANGE, "the program never ends in virtual time");
	return ret ? run_failed(m, ret) : 0;
}
