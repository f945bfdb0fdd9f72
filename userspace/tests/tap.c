// SPDX-License-Identifier: MIT
/*
 * TAP, the time limit, and helpers.
 */
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "tap.h"

#define LIMIT_S	120	/* of one case; a guest may be emulated */

static atomic_int failures;
static const char *current = "";
static struct snpu *set;

void t_fail(const char *file, int line, const char *fmt, ...)
{
	const char *base = strrchr(file, '/');
	char text[700];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	atomic_fetch_add(&failures, 1);
	printf("# %s:%d: %s\n", base ? base + 1 : file, line, text);
}

unsigned int t_failures(void)
{
	return (unsigned int)atomic_load(&failures);
}

static void bail(int sig)
{
	static const char a[] = "Bail out! time limit in: ";

	(void)sig;
	if (write(1, a, sizeof(a) - 1) < 0 || write(1, current, strlen(current)) < 0 ||
	    write(1, "\n", 1) < 0)
		_exit(2);
	_exit(1);
}

bool t_direct(void)
{
	const char *t = getenv("SNPU_TRANSPORT");

	return t && !strcmp(t, "direct");
}

int t_main(const struct t_case *cases, size_t count)
{
	unsigned int here = t_direct() ? T_DIRECT : T_KMD, n = 0, bad = 0;
	size_t i;

	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGALRM, bail);
	for (i = 0; i < count; i++)
		n += !!(cases[i].on & here);
	printf("TAP version 13\n1..%u\n", n);
	n = 0;
	for (i = 0; i < count; i++) {
		if (!(cases[i].on & here))
			continue;
		current = cases[i].name;
		atomic_store(&failures, 0);
		alarm(LIMIT_S);
		cases[i].fn();
		alarm(0);
		bad += !!atomic_load(&failures);
		printf("%sok %u - %s\n", atomic_load(&failures) ? "not " : "", ++n, current);
	}
	if (set && snpu_close(set)) {
		printf("# the set does not close: %s\n", snpu_last_error());
		bad++;
	}
	return bad ? 1 : 0;
}

struct snpu *t_snpu(void)
{
	if (!set && snpu_open(NULL, &set)) {
		printf("Bail out! %s\n", snpu_last_error());
		_exit(1);
	}
	return set;
}

void t_close(void)
{
	if (snpu_close(set))
		t_fail(__FILE__, __LINE__, "snpu_close: %s", snpu_last_error());
	set = NULL;
}

static uint64_t clock_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * T_SEC + (uint64_t)ts.tv_nsec;
}

uint64_t t_now(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

uint64_t t_cpu(void)
{
	return clock_ns(CLOCK_PROCESS_CPUTIME_ID);
}

void t_sleep_ms(unsigned int ms)
{
	struct timespec ts = { ms / 1000, (long)(ms % 1000) * 1000000 };

	while (nanosleep(&ts, &ts) && errno == EINTR)
		;
}

int t_dev_open(struct t_dev *d, unsigned int npu, uint64_t bytes, unsigned int flags)
{
	struct snpu *s = t_snpu();
	void *p = NULL;
	int ret;

	*d = (struct t_dev){ 0 };
	ret = snpu_ctx_create(s, npu, &d->ctx);
	if (!ret)
		ret = snpu_queue_create(d->ctx, NULL, &d->q);
	if (!ret && bytes) {
		ret = snpu_mem_alloc(d->ctx, bytes, flags, &d->mem);
		if (!ret)
			ret = snpu_mem_map(d->mem, &p);
		if (!ret)
			d->va = snpu_mem_va(d->mem);
	}
	d->p = p;
	if (ret) {
		t_fail(__FILE__, __LINE__, "NPU %u: %s", npu, snpu_last_error());
		t_dev_close(d);
		return -1;
	}
	return 0;
}

void t_dev_close(struct t_dev *d)
{
	CHECK_EQ(snpu_queue_destroy(d->q), 0);
	CHECK_EQ(snpu_mem_free(d->mem), 0);
	CHECK_EQ(snpu_ctx_destroy(d->ctx), 0);
	*d = (struct t_dev){ 0 };
}

int t_run(struct snpu_queue *q)
{
	uint64_t pos;
	int ret = snpu_queue_submit(q, &pos);

	return ret ? ret : snpu_queue_wait(q, pos, T_LONG);
}

union snpu_pkt *t_pkt(struct snpu_queue *q)
{
	union snpu_pkt *p = snpu_queue_get(q);

	if (!p) {
		printf("Bail out! the ring is full\n");
		_exit(1);
	}
	return p;
}

int t_control(const char *method, const char *params)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), n, ret = -1;
	char msg[512], answer[4096];
	size_t len = 0;

	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/control.sock", getenv("SNPU_SOCKET_DIR"));
	n = snprintf(msg, sizeof(msg), "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"%s\","
		     "\"params\":%s}\n", method, params);
	if (fd < 0 || connect(fd, (struct sockaddr *)&sa, sizeof(sa)) ||
	    write(fd, msg, (size_t)n) != n)
		goto out;
	while (len < sizeof(answer) - 1) {
		ssize_t k = read(fd, answer + len, sizeof(answer) - 1 - len);

		if (k <= 0)
			break;
		len += (size_t)k;
		if (answer[len - 1] == '\n')
			break;
	}
	answer[len] = 0;
	ret = strstr(answer, "\"result\"") ? 0 : -1;
	if (ret)
		printf("# %s# %s\n", msg, answer);
out:
	if (fd >= 0)
		close(fd);
	return ret;
}
