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

#define KEEP_BYTES	(4u << 20)	/* of a program's output, each of both */

static struct sn_machine *machine;

static struct sn_guest *guest_of(struct sn_qemu *q)
{
	return (struct sn_guest *)((char *)q - offsetof(struct sn_guest, q));
}

static void enter(struct sn_guest *g, enum sn_state state)
{
	g->state = state;
	g->at[state] = sn_now();
}

void sn_guest_fail(struct sn_guest *g, const char *fmt, ...)
{
	va_list ap;

	if (g->state == SN_FAILED || g->state == SN_DONE)
		return;
	va_start(ap, fmt);
	vsnprintf(g->why, sizeof(g->why), fmt, ap);
	va_end(ap);
	enter(g, SN_FAILED);
	sn_msg("%s: %s", g->name, g->why);
	if (!machine->settle)
		machine->settle = sn_now() + SN_SETTLE_S;
}

static void say_hello(struct sn_guest *g)
{
	struct sn_hello h = { .host = g->host, .npus = machine->model.npus };
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
	unsigned int slot = machine->model.npus;
	char path[200];

	enter(g, SN_PLUGS);
	/* slot 0 last: only then does the guest look at the others */
	while (slot--) {
		snprintf(path, sizeof(path), "%s/npu%u.sock", machine->model.sockets,
			 machine->model.npu[g->host][slot]);
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

static void keep(struct sn_guest *g, char **buf, size_t *len, FILE *f, const void *data, size_t n)
{
	if (f)
		fwrite(data, 1, n, f);
	if (*len + n > KEEP_BYTES) {
		g->lost += n;
		return;
	}
	*buf = realloc(*buf, *len + n + 1);
	if (!*buf)
		sn_alloc(SIZE_MAX / 2);		/* says so and ends */
	memcpy(*buf + *len, data, n);
	*len += n;
	(*buf)[*len] = 0;
}

/* Lines that are whole: results are JSON objects */
static void take_rows(struct sn_guest *g)
{
	char *end;

	while ((end = memchr(g->out + g->parsed, '\n', g->out_len - g->parsed))) {
		char *line = g->out + g->parsed;

		*end = 0;
		g->parsed = (size_t)(end - g->out) + 1;
		if (*line == '{') {
			struct json_object *row = json_tokener_parse(line);

			if (row) {
				sn_table_add(machine->table, g->host, row);
				machine->rows++;
			}
			json_object_put(row);
		}
		*end = '\n';
	}
}

static void on_frame(struct sn_qemu *q, const struct sn_frame *f)
{
	struct sn_guest *g = guest_of(q);
	int32_t rc;

	switch (f->type) {
	case SN_NPUS:
		if (g->state == SN_PROBES)
			enter(g, SN_READY);
		break;
	case SN_OUT:
		keep(g, &g->out, &g->out_len, g->files[0], q->rx.payload, f->len);
		take_rows(g);
		break;
	case SN_ERR:
		keep(g, &g->err, &g->err_len, g->files[1], q->rx.payload, f->len);
		break;
	case SN_EXIT:
		if (f->len != sizeof(rc) || g->state != SN_RUNS)
			break;
		memcpy(&rc, q->rx.payload, sizeof(rc));
		g->rc = rc;
		enter(g, SN_DONE);
		if (rc && !machine->settle)
			machine->settle = sn_now() + SN_SETTLE_S;
		break;
	case SN_FAIL:
		sn_guest_fail(g, "its agent: %s", (char *)q->rx.payload);
		break;
	default:
		break;
	}
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

	if (!machine->opts.logs)
		return NULL;
	snprintf(path, sizeof(path), "%s/%s.%s", machine->opts.logs, g->name, what);
	f = fopen(path, "we");
	if (!f)
		sn_msg("%s: %s", path, strerror(errno));
	return f;
}

void sn_guest_start(struct sn_machine *m, struct sn_guest *g)
{
	int ret;

	machine = m;
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
	const unsigned int npus = machine->model.npus, hosts = machine->opts.hosts;
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
			n += (size_t)sprintf(out + n, "%s", machine->opts.name);
			word += 6;
		} else {
			out[n++] = *word++;
		}
	}
	out[n] = 0;
	return n + 1;
}

void sn_guest_run(struct sn_machine *m, struct sn_guest *g)
{
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

void sn_guest_close(struct sn_guest *g)
{
	sn_qemu_close(&g->q);
	if (g->files[0])
		fclose(g->files[0]);
	if (g->files[1])
		fclose(g->files[1]);
	free(g->out);
	free(g->err);
}
