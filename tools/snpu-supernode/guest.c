// SPDX-License-Identifier: MIT
/* A guest from its template to the end of its program, by events. */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "supernode.h"

static struct sn_guest *guest_of(struct sn_qemu *q)
{
	return (struct sn_guest *)((char *)q - offsetof(struct sn_guest, q));
}

static void enter(struct sn_guest *g, enum sn_state state)
{
	static const char *const what[] = {
		[SN_RESTORES] = "loads the template", [SN_PLUGS] = "gets its NPUs",
		[SN_PROBES] = "runs, the driver takes the NPUs", [SN_READY] = "is ready",
		[SN_RUNS] = "runs the program", [SN_DONE] = "is done",
	};

	g->state = state;
	g->at[state] = sn_now();
	if (g->m->opts.verbose && state != SN_FAILED)
		sn_msg("%s: %s, %.1f s", g->name, what[state], g->at[state] - g->m->start);
}

void sn_guest_fail(struct sn_guest *g, const char *fmt, ...)
{
	char text[sizeof(g->why)];
	va_list ap;

	/* whose program has ended is not needed any more, unless the machine is to stay */
	if (g->state == SN_FAILED || (g->state == SN_DONE && !g->m->keeps))
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	sn_escape(g->why, sizeof(g->why), text, strlen(text));
	enter(g, SN_FAILED);
	sn_msg("%s: %s", g->name, g->why);
	/* what it still does counts no more; the others notice an end */
	if (g->q.proc.pid)
		kill(g->q.proc.pid, SIGTERM);
	if (!g->m->settle)
		g->m->settle = sn_now() + SN_SETTLE_S;
}

static void say_hello(struct sn_guest *g)
{
	struct sn_hello h = { .host = g->host, .npus = g->m->model.npus };
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	h.time_ns = (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
	snprintf(h.name, sizeof(h.name), "%s", g->name);
	if (getrandom(h.entropy, sizeof(h.entropy), 0) != sizeof(h.entropy) ||
	    sn_qemu_send(&g->q, SN_HELLO, &h, sizeof(h)))
		sn_guest_fail(g, "cannot talk to the agent: %s", strerror(errno));
}

static void plug(struct sn_guest *g)
{
	unsigned int slot = g->m->model.npus;
	char path[200];

	enter(g, SN_PLUGS);
	/* slot 0 last: only then does the guest look at the others */
	while (slot--) {
		snprintf(path, sizeof(path), "%s/npu%u.sock", g->m->model.sockets,
			 g->m->model.npu[g->host][slot]);
		sn_qemu_plug(&g->q, slot, path);
	}
	g->cont = sn_qemu_command(&g->q, "cont", NULL);
}

static void on_answer(struct sn_qemu *q, unsigned int id)
{
	struct sn_guest *g = guest_of(q);

	if (g->state != SN_PLUGS || id != g->cont)
		return;
	enter(g, SN_PROBES);
	say_hello(g);
}

static void on_event(struct sn_qemu *q, const char *name, struct json_object *data)
{
	struct sn_guest *g = guest_of(q);
	struct json_object *v;
	const char *status;

	if (!strcmp(name, "GUEST_PANICKED")) {
		sn_guest_fail(g, "its kernel panicked");
		return;
	}
	if (strcmp(name, "MIGRATION") || !json_object_object_get_ex(data, "status", &v))
		return;
	status = json_object_get_string(v);
	if (!strcmp(status, "failed"))
		sn_guest_fail(g, "QEMU could not load the template");
	else if (!strcmp(status, "completed") && g->state == SN_RESTORES)
		plug(g);
}

/* Results are JSON objects, a line each; rows are counted only while they can be right */
static void on_line(void *arg, char *text, size_t len)
{
	struct sn_guest *g = arg;

	if (len == SN_LINE_MAX && text[0] == '{')
		sn_table_refuse(g->m->table, g->host, "it is too long", text);
	else if (sn_table_line(g->m->table, g->host, text, len) > 0)
		g->m->rows++;
}

static void take_err(struct sn_guest *g, const char *data, size_t n)
{
	size_t room = sizeof(g->err) - g->err_len, kept = n < room ? n : room;

	memcpy(g->err + g->err_len, data, kept);
	g->err_len += kept;
	g->err_cut += n - kept;
}

static void take_exit(struct sn_guest *g, const void *payload)
{
	int32_t rc;

	memcpy(&rc, payload, sizeof(rc));
	if (rc < 0 || rc > 255) {
		sn_guest_fail(g, "its agent: exit code %d", rc);
		return;
	}
	sn_lines_end(&g->out, on_line, g);
	g->rc = rc;
	enter(g, SN_DONE);
	if (rc && !g->m->settle)
		g->m->settle = sn_now() + SN_SETTLE_S;
}

static void take_npus(struct sn_guest *g, const void *payload)
{
	uint32_t n;

	memcpy(&n, payload, sizeof(n));
	if (n == g->m->model.npus)
		enter(g, SN_READY);
	else
		sn_guest_fail(g, "it has %u NPUs, not %u", n, g->m->model.npus);
}

void sn_guest_frame(struct sn_guest *g, const struct sn_frame *f, void *payload)
{
	/* when a frame may come, and its length; others have any */
	static const struct {
		enum sn_frame_type type;
		enum sn_state state;
		uint32_t len;
	} rules[] = {
		{ SN_NPUS, SN_PROBES, sizeof(uint32_t) },
		{ SN_OUT, SN_RUNS, 0 },
		{ SN_ERR, SN_RUNS, 0 },
		{ SN_EXIT, SN_RUNS, sizeof(int32_t) },
	};
	unsigned int i;

	if (g->state == SN_FAILED)
		return;
	if (f->type == SN_FAIL) {
		sn_guest_fail(g, "its agent: %s", (char *)payload);
		return;
	}
	for (i = 0; i < sizeof(rules) / sizeof(rules[0]) && rules[i].type != f->type; i++)
		;
	if (i == sizeof(rules) / sizeof(rules[0])) {
		sn_guest_fail(g, "its agent: unknown frame 0x%x", f->type);
		return;
	}
	if (rules[i].state != g->state) {
		sn_guest_fail(g, "its agent: frame '%c' at the wrong time", f->type);
		return;
	}
	if (rules[i].len && rules[i].len != f->len) {
		sn_guest_fail(g, "its agent: frame '%c' of %u bytes, not %u", f->type, f->len,
			      rules[i].len);
		return;
	}
	if ((f->type == SN_OUT || f->type == SN_ERR) && g->files[f->type == SN_ERR])
		fwrite(payload, 1, f->len, g->files[f->type == SN_ERR]);
	switch (f->type) {
	case SN_NPUS:
		take_npus(g, payload);
		break;
	case SN_OUT:
		sn_lines_add(&g->out, payload, f->len, on_line, g);
		break;
	case SN_ERR:
		take_err(g, payload, f->len);
		break;
	case SN_EXIT:
		take_exit(g, payload);
		break;
	}
}

static void on_frame(struct sn_qemu *q, const struct sn_frame *f)
{
	sn_guest_frame(guest_of(q), f, q->rx.payload);
}

static void on_failed(struct sn_qemu *q, const char *why)
{
	sn_guest_fail(guest_of(q), "%s", why);
}

static void on_ended(struct sn_qemu *q)
{
	struct sn_guest *g = guest_of(q);
	char text[64];

	sn_reap(&q->proc, text, sizeof(text));
	sn_guest_fail(g, "QEMU ended: %s", text);
}

static const struct sn_qemu_ops ops = {
	.answer = on_answer, .event = on_event, .frame = on_frame, .failed = on_failed,
	.ended = on_ended,
};

static FILE *open_log(const struct sn_guest *g, const char *what)
{
	char path[4200];
	FILE *f;

	if (!g->m->opts.logs)
		return NULL;
	snprintf(path, sizeof(path), "%s/%s.%s", g->m->opts.logs, g->name, what);
	f = fopen(path, "we");
	if (!f)
		sn_msg("%s: %s", path, strerror(errno));
	return f;
}

void sn_guest_start(struct sn_machine *m, struct sn_guest *g)
{
	int ret;

	g->m = m;
	g->q.ops = &ops;
	g->files[0] = open_log(g, "out");
	g->files[1] = open_log(g, "err");
	enter(g, SN_RESTORES);
	ret = sn_qemu_start(&g->q, &m->opts, g->name, m->model.hbm, true);
	if (ret) {
		sn_guest_fail(g, "cannot start QEMU: %s", strerror(-ret));
		return;
	}
	sn_qemu_command(&g->q, "qmp_capabilities", NULL);
	sn_qemu_migration(&g->q, true, m->tpl.ram);
}

/* {host}, {base}, {ranks}, {hosts} and {name} in the words of the program */
static size_t expand(const struct sn_guest *g, const char *word, char *out, size_t room)
{
	const unsigned int npus = g->m->model.npus, hosts = g->m->opts.hosts;
	const struct {
		const char *key;
		unsigned int value;
	} keys[] = {
		{ "{host}", g->host }, { "{base}", g->host * npus }, { "{ranks}", hosts * npus },
		{ "{hosts}", hosts },
	};
	size_t n = 0, i;

	while (*word && n + 40 < room) {
		for (i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
			if (!strncmp(word, keys[i].key, strlen(keys[i].key)))
				break;
		if (i < sizeof(keys) / sizeof(keys[0])) {
			n += (size_t)sprintf(out + n, "%u", keys[i].value);
			word += strlen(keys[i].key);
		} else if (!strncmp(word, "{name}", 6)) {
			n += (size_t)sprintf(out + n, "%s", g->m->opts.name);
			word += 6;
		} else {
			out[n++] = *word++;
		}
	}
	out[n] = 0;
	return n + 1;
}

void sn_guest_run(struct sn_guest *g)
{
	const struct sn_machine *m = g->m;
	static char buf[SN_FRAME_MAX];
	size_t n = 0;
	unsigned int i;
	char **w;
	int ret;

	for (i = 0; i < m->opts.env_count; i++)
		n += expand(g, m->opts.env[i], buf + n, sizeof(buf) / 2 - n);
	buf[n++] = 0;
	for (w = m->opts.argv; *w && n + strlen(*w) + 80 < sizeof(buf); w++)
		n += expand(g, *w, buf + n, sizeof(buf) - n);
	enter(g, SN_RUNS);
	ret = *w ? -E2BIG : sn_qemu_send(&g->q, SN_RUN, buf, n);
	if (ret)
		sn_guest_fail(g, "cannot start the program: %s", strerror(-ret));
}

void sn_guest_stop(struct sn_guest *g)
{
	if (g->state == SN_RUNS)
		sn_qemu_send(&g->q, SN_STOP, "", 0);
}

void sn_guest_close(struct sn_guest *g)
{
	sn_qemu_close(&g->q);
	if (g->files[0])
		fclose(g->files[0]);
	if (g->files[1])
		fclose(g->files[1]);
	free(g->out.buf);
}
