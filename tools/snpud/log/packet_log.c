// SPDX-License-Identifier: MIT
/*
 * Packet log: buffers of the workers, one file.
 */
#include "packet_log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "snpu_hw.h"

#define BUF_RECS	1024u

struct snpu_plog {
	int fd;			/* -1: no file */
	char *path;
	snpu_plog_sink_fn sink;
	void *sink_ctx;
	pthread_mutex_t lock;	/* the file */
	int off;		/* writing failed: nothing is written any more */
	uint64_t lost;
	void (*report)(const char *msg);
};

struct snpu_plog_buf {
	struct snpu_plog *log;
	unsigned int n;
	struct snpu_plog_rec rec[BUF_RECS];
};

static int write_all(int fd, const void *buf, size_t len)
{
	const char *p = buf;

	while (len) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

struct snpu_plog *snpu_plog_open(const char *path, const char *profile,
				 void (*report)(const char *msg), char *err, size_t err_len)
{
	return snpu_plog_new(path, profile, NULL, NULL, report, err, err_len);
}

struct snpu_plog *snpu_plog_new(const char *path, const char *profile, snpu_plog_sink_fn sink,
				void *sink_ctx, void (*report)(const char *msg), char *err,
				size_t err_len)
{
	struct snpu_plog_head head = {
		.magic = SNPU_PLOG_MAGIC,
		.version = SNPU_PLOG_VERSION,
		.rec_bytes = sizeof(struct snpu_plog_rec),
	};
	struct snpu_plog *l;
	int ret;

	l = calloc(1, sizeof(*l));
	if (!l) {
		snprintf(err, err_len, "packet log: out of memory");
		return NULL;
	}
	l->report = report;
	l->sink = sink;
	l->sink_ctx = sink_ctx;
	l->fd = -1;
	pthread_mutex_init(&l->lock, NULL);
	if (!path)
		return l;
	l->path = strdup(path);
	snprintf(head.profile, sizeof(head.profile), "%s", profile);
	l->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	ret = l->fd < 0 ? -errno : write_all(l->fd, &head, sizeof(head));
	if (!ret && l->path)
		return l;
	snprintf(err, err_len, "packet log %s: %s", path, strerror(ret ? -ret : ENOMEM));
	snpu_plog_close(l);
	return NULL;
}

uint64_t snpu_plog_close(struct snpu_plog *l)
{
	uint64_t lost;

	if (!l)
		return 0;
	lost = l->lost;
	if (l->fd >= 0)
		close(l->fd);
	pthread_mutex_destroy(&l->lock);
	free(l->path);
	free(l);
	return lost;
}

uint64_t snpu_plog_lost(const struct snpu_plog *l)
{
	return __atomic_load_n(&l->lost, __ATOMIC_RELAXED);
}

struct snpu_plog_buf *snpu_plog_buf_new(struct snpu_plog *l)
{
	struct snpu_plog_buf *b = malloc(sizeof(*b));

	if (b) {
		b->log = l;
		b->n = 0;
	}
	return b;
}

void snpu_plog_buf_free(struct snpu_plog_buf *b)
{
	snpu_plog_flush(b);
	free(b);
}

void snpu_plog_flush(struct snpu_plog_buf *b)
{
	struct snpu_plog *l = b->log;
	char msg[512];
	int ret = 0;

	if (!b->n)
		return;
	if (l->sink)
		l->sink(l->sink_ctx, b->rec, b->n);
	if (!l->path) {
		b->n = 0;
		return;
	}
	pthread_mutex_lock(&l->lock);
	if (!l->off)
		ret = write_all(l->fd, b->rec, b->n * sizeof(b->rec[0]));
	if (ret) {
		l->off = 1;
		snprintf(msg, sizeof(msg), "packet log %s: %s; the log is off from here on",
			 l->path, strerror(-ret));
	}
	if (l->off)
		__atomic_fetch_add(&l->lost, b->n, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&l->lock);
	b->n = 0;
	if (ret && l->report)
		l->report(msg);
}

struct snpu_plog_rec *snpu_plog_add(struct snpu_plog_buf *b)
{
	struct snpu_plog_rec *r;

	if (b->n == BUF_RECS)
		snpu_plog_flush(b);
	r = &b->rec[b->n++];
	memset(r, 0, sizeof(*r));
	return r;
}

static int rec_cmp(const void *pa, const void *pb)
{
	const struct snpu_plog_rec *a = pa, *b = pb;

	if (a->node != b->node)
		return a->node < b->node ? -1 : 1;
	if (a->queue != b->queue)
		return a->queue < b->queue ? -1 : 1;
	if (a->epoch != b->epoch)
		return a->epoch < b->epoch ? -1 : 1;
	if (a->seq != b->seq)
		return a->seq < b->seq ? -1 : 1;
	if (a->sub != b->sub)
		return a->sub < b->sub ? -1 : 1;
	return 0;
}

void snpu_plog_sort(struct snpu_plog_rec *recs, size_t n)
{
	size_t i;

	/* one queue at a time comes in order */
	for (i = 1; i < n && rec_cmp(&recs[i - 1], &recs[i]) <= 0; i++)
		;
	if (i < n)
		qsort(recs, n, sizeof(*recs), rec_cmp);
}

void snpu_plog_sort_more(struct snpu_plog_rec *recs, size_t sorted, size_t n)
{
	struct snpu_plog_rec *more;
	size_t k = n - sorted;

	snpu_plog_sort(recs + sorted, k);
	if (!sorted || !k || rec_cmp(&recs[sorted - 1], &recs[sorted]) <= 0)
		return;
	more = malloc(k * sizeof(*more));
	if (!more) {
		snpu_plog_sort(recs, n);
		return;
	}
	memcpy(more, recs + sorted, k * sizeof(*more));
	/* from the back: a record of the first part moves once, at most, and none before the first new */
	while (k)
		if (sorted && rec_cmp(&recs[sorted - 1], &more[k - 1]) > 0)
			recs[--n] = recs[--sorted];
		else
			recs[--n] = more[--k];
	free(more);
}

uint64_t snpu_plog_hash(const struct snpu_plog_rec *recs, size_t n)
{
	const unsigned char *p = (const unsigned char *)recs;
	uint64_t h = 0xcbf29ce484222325ull;
	size_t i;

	for (i = 0; i < n * sizeof(*recs); i++)
		h = (h ^ p[i]) * 0x100000001b3ull;
	return h;
}

static int read_all(int fd, void *buf, size_t len, size_t *got)
{
	char *p = buf;

	*got = 0;
	while (*got < len) {
		ssize_t n = read(fd, p + *got, len - *got);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		*got += (size_t)n;
	}
	return 0;
}

int snpu_plog_read(const char *path, struct snpu_plog_head *head, struct snpu_plog_rec **recs,
		   size_t *n, char *err, size_t err_len)
{
	const char *what = NULL;
	struct stat st;
	size_t got, len, i;
	char text[96];
	int fd, ret = 0;

	*recs = NULL;
	*n = 0;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st)) {
		ret = -errno;
		what = strerror(errno);
		goto out;
	}
	if (!S_ISREG(st.st_mode)) {
		ret = -EINVAL;
		what = "must be a regular file";
		goto out;
	}
	ret = read_all(fd, head, sizeof(*head), &got);
	if (ret) {
		what = strerror(-ret);
		goto out;
	}
	ret = -EINVAL;
	if (got != sizeof(*head) || head->magic != SNPU_PLOG_MAGIC) {
		what = "not a packet log";
		goto out;
	}
	if (head->version != SNPU_PLOG_VERSION || head->rec_bytes != sizeof(**recs)) {
		what = "packet log of another version";
		goto out;
	}
	head->profile[sizeof(head->profile) - 1] = 0;
	len = (size_t)st.st_size - sizeof(*head);
	*recs = malloc(len ? len : 1);
	if (!*recs) {
		ret = -ENOMEM;
		what = "out of memory";
		goto out;
	}
	ret = read_all(fd, *recs, len, &got);
	if (ret) {
		what = strerror(-ret);
		goto out;
	}
	*n = got / sizeof(**recs);
	for (i = 0; i < *n; i++) {
		if ((*recs)[i].op != SNPU_OP_CLOCK || (*recs)[i].clock <= SNPU_MAX_CLOCK)
			continue;
		snprintf(text, sizeof(text), "record %zu: CLOCK of %llu ns: 0 .. %llu", i,
			 (unsigned long long)(*recs)[i].clock, SNPU_MAX_CLOCK);
		what = text;
		ret = -EINVAL;
		goto out;
	}
	snpu_plog_sort(*recs, *n);
	if (got % sizeof(**recs)) {
		ret = -ENODATA;
		what = "ends inside a record";
	}
out:
	if (fd >= 0)
		close(fd);
	if (what)
		snprintf(err, err_len, "%s: %s", path, what);
	if (ret && ret != -ENODATA) {
		free(*recs);
		*recs = NULL;
	}
	return ret;
}
