// SPDX-License-Identifier: MIT
/*
 * snpuctl top: NPUs, queues and fabric planes as they work, twice a second; or one sample as text or
 * JSON. Rates are differences of two machine.top answers.
 */
#include <errno.h>
#include <inttypes.h>
#include <locale.h>
#include <ncurses.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "snpuctl.h"
#include "top.h"

#define REFRESH_MS	500

enum view { VIEW_NPUS, VIEW_PLANES };
enum order { BY_NPU, BY_BUSY, BY_BYTES, BY_FLOPS, ORDERS };

static const char *const order_names[] = { "number", "busy", "bytes", "arithmetic" };

struct screen {
	enum view view;
	enum order order;
	unsigned int first;	/* line of the list that is at the top */
};

static uint64_t num(json_object *o, const char *key)
{
	json_object *v = NULL;

	return json_object_object_get_ex(o, key, &v) ? json_object_get_uint64(v) : 0;
}

static void text(json_object *o, const char *key, char *buf, size_t len)
{
	json_object *v = NULL;

	snprintf(buf, len, "%s", json_object_object_get_ex(o, key, &v) ? json_object_get_string(v) :
		 "-");
}

static json_object *list(json_object *o, const char *key, size_t *n)
{
	json_object *a = NULL;

	*n = 0;
	if (json_object_object_get_ex(o, key, &a) && json_object_is_type(a, json_type_array))
		*n = json_object_array_length(a);
	return a;
}

static void sample_free(struct top_sample *s)
{
	free(s->npu);
	free(s->plane);
	memset(s, 0, sizeof(*s));
}

static int sample_parse(json_object *o, struct top_sample *s)
{
	json_object *npus, *planes;
	size_t i;

	memset(s, 0, sizeof(*s));
	npus = list(o, "npus", &s->npus);
	planes = list(o, "planes", &s->planes);
	s->npu = calloc(s->npus + 1, sizeof(*s->npu));
	s->plane = calloc(s->planes + 1, sizeof(*s->plane));
	if (!s->npu || !s->plane) {
		sample_free(s);
		fprintf(stderr, "snpuctl: out of memory\n");
		return CTL_FAILED;
	}
	s->time_ns = num(o, "time_ns");
	text(o, "profile", s->profile, sizeof(s->profile));
	for (i = 0; i < s->npus; i++) {
		json_object *e = json_object_array_get_idx(npus, i);
		struct top_npu *n = &s->npu[i];

		n->npu = num(e, "npu");
		n->node = num(e, "node");
		n->host = num(e, "host");
		text(e, "status", n->status, sizeof(n->status));
		n->packets = num(e, "packets");
		n->bytes = num(e, "bytes_read") + num(e, "bytes_written");
		n->flops = num(e, "flops");
		n->busy_ns = num(e, "busy_ns");
		n->faults = num(e, "faults");
		n->queues = num(e, "queues");
		n->running = num(e, "running");
		n->blocked = num(e, "blocked");
		n->faulted = num(e, "faulted");
	}
	for (i = 0; i < s->planes; i++) {
		json_object *e = json_object_array_get_idx(planes, i);
		struct top_plane *p = &s->plane[i];

		p->plane = num(e, "plane");
		p->links = num(e, "links");
		p->up = num(e, "up");
		p->degraded = num(e, "degraded");
		p->flapping = num(e, "flapping");
		p->down = num(e, "down");
		p->bytes = num(e, "bytes");
		p->dropped = num(e, "dropped");
	}
	return CTL_OK;
}

static int sample_get(const char *socket, struct top_sample *s)
{
	json_object *result = NULL;
	int ret = ctl_call(socket, "machine.top", NULL, &result);

	if (!ret)
		ret = sample_parse(result, s);
	json_object_put(result);
	return ret;
}

/* "12.3G" in at most 6 columns */
static const char *human(char *buf, size_t len, double v)
{
	static const char unit[] = " kMGTPE";
	unsigned int u = 0;

	while (v >= 999.5 && u < 6) {
		v /= 1000;
		u++;
	}
	if (u)
		snprintf(buf, len, v < 99.95 ? "%.1f%c" : "%.0f%c", v, unit[u]);
	else
		snprintf(buf, len, "%.0f", v);
	return buf;
}

static enum order sort_by;

static int compare(const void *pa, const void *pb)
{
	const struct top_row *a = pa, *b = pb;
	double x = 0, y = 0;

	switch (sort_by) {
	case BY_BUSY:
		x = a->busy;
		y = b->busy;
		break;
	case BY_BYTES:
		x = a->bytes;
		y = b->bytes;
		break;
	case BY_FLOPS:
		x = a->flops;
		y = b->flops;
		break;
	default:
		break;
	}
	if (x != y)
		return x < y ? 1 : -1;
	return a->npu->npu < b->npu->npu ? -1 : a->npu->npu > b->npu->npu;
}

/* What an NPU did between two samples; the snpud may have been another one before */
static uint64_t diff(uint64_t now, uint64_t then)
{
	return now >= then ? now - then : now;
}

struct top_row *top_rows(const struct top_sample *now, const struct top_sample *then,
			 struct top_row *total)
{
	struct top_row *rows = calloc(now->npus + 1, sizeof(*rows));
	double s = (double)diff(now->time_ns, then->time_ns) / 1e9;
	size_t i;

	memset(total, 0, sizeof(*total));
	if (!rows)
		return NULL;
	if (s <= 0)
		s = 1;
	for (i = 0; i < now->npus; i++) {
		const struct top_npu *n = &now->npu[i], zero = { 0 };
		const struct top_npu *o = i < then->npus ? &then->npu[i] : &zero;
		struct top_row *r = &rows[i];

		r->npu = n;
		r->packets = (double)diff(n->packets, o->packets) / s;
		r->bytes = (double)diff(n->bytes, o->bytes) / s;
		r->flops = (double)diff(n->flops, o->flops) / s;
		r->busy = (double)diff(n->busy_ns, o->busy_ns) / 1e9 / s;
		total->packets += r->packets;
		total->bytes += r->bytes;
		total->flops += r->flops;
		total->busy += r->busy;
	}
	return rows;
}

static void npu_line(const struct top_row *r, char *buf, size_t len)
{
	const struct top_npu *n = r->npu;
	char p[16], b[16], f[16];

	snprintf(buf, len, "%5" PRIu64 " %5" PRIu64 " %5" PRIu64 "  %-9s %5.1f %8s %8s %8s %5" PRIu64
		 " %5" PRIu64 " %5" PRIu64 " %5" PRIu64 " %6" PRIu64, n->npu, n->node, n->host,
		 n->status, r->busy * 100, human(p, sizeof(p), r->packets),
		 human(b, sizeof(b), r->bytes), human(f, sizeof(f), r->flops), n->queues, n->running,
		 n->blocked, n->faulted, n->faults);
}

#define NPU_HEAD "  NPU  NODE  HOST  STATUS    BUSY%    PKT/S      B/S   FLOP/S  QUE   RUN BLOCK FAULT FAULTS"
#define PLANE_HEAD "PLANE  LINKS     UP  DEGRADED  FLAPPING   DOWN      B/S    DROPPED"

static void plane_line(const struct top_plane *p, const struct top_sample *then, size_t i, double s,
		       char *buf, size_t len)
{
	uint64_t before = i < then->planes ? then->plane[i].bytes : 0;
	char b[16], d[16];

	snprintf(buf, len, "%5" PRIu64 " %6" PRIu64 " %6" PRIu64 " %9" PRIu64 " %9" PRIu64 " %6" PRIu64
		 " %8s %10s", p->plane, p->links, p->up, p->degraded, p->flapping, p->down,
		 human(b, sizeof(b), (double)diff(p->bytes, before) / s),
		 human(d, sizeof(d), (double)p->dropped));
}

static void head_line(const struct top_sample *s, const struct top_row *t, char *buf, size_t len)
{
	char p[16], b[16], f[16];

	snprintf(buf, len, "snpud: %s, %zu NPUs   %s packets/s   %s B/s   %s flop/s   busy %.1f NPUs",
		 s->profile, s->npus, human(p, sizeof(p), t->packets),
		 human(b, sizeof(b), t->bytes), human(f, sizeof(f), t->flops), t->busy);
}

static void draw(const struct screen *sc, const struct top_sample *now,
		 const struct top_sample *then)
{
	double s = (double)diff(now->time_ns, then->time_ns) / 1e9;
	struct top_row total, *rows = top_rows(now, then, &total);
	size_t n = sc->view == VIEW_NPUS ? now->npus : now->planes, i;
	char line[200];
	int y;

	if (!rows)
		return;
	sort_by = sc->order;
	qsort(rows, now->npus, sizeof(*rows), compare);
	erase();
	head_line(now, &total, line, sizeof(line));
	mvaddnstr(0, 0, line, COLS);
	snprintf(line, sizeof(line),
		 "q quit   l %s   s sort (by %s)   arrows, page keys scroll   host time; figures are the model's work",
		 sc->view == VIEW_NPUS ? "fabric planes" : "NPUs", order_names[sc->order]);
	attron(A_DIM);
	mvaddnstr(1, 0, line, COLS);
	attroff(A_DIM);
	attron(A_REVERSE);
	mvhline(2, 0, ' ', COLS);
	mvaddnstr(2, 0, sc->view == VIEW_NPUS ? NPU_HEAD : PLANE_HEAD, COLS);
	attroff(A_REVERSE);
	for (i = sc->first, y = 3; i < n && y < LINES; i++, y++) {
		if (sc->view == VIEW_NPUS)
			npu_line(&rows[i], line, sizeof(line));
		else
			plane_line(&now->plane[i], then, i, s > 0 ? s : 1, line, sizeof(line));
		mvaddnstr(y, 0, line, COLS);
	}
	refresh();
	free(rows);
}

/* false: quit */
static bool key(struct screen *sc, int c, size_t lines)
{
	unsigned int page = LINES > 4 ? (unsigned int)LINES - 4 : 1;

	switch (c) {
	case 'q':
	case 27:
		return false;
	case 'l':
		sc->view = sc->view == VIEW_NPUS ? VIEW_PLANES : VIEW_NPUS;
		sc->first = 0;
		break;
	case 's':
		sc->order = (sc->order + 1) % ORDERS;
		break;
	case KEY_UP:
		sc->first -= sc->first > 0;
		break;
	case KEY_DOWN:
		sc->first++;
		break;
	case KEY_PPAGE:
		sc->first -= sc->first < page ? sc->first : page;
		break;
	case KEY_NPAGE:
		sc->first += page;
		break;
	}
	if (sc->first + 1 > lines)
		sc->first = lines ? (unsigned int)lines - 1 : 0;
	return true;
}

/*
 * Takes the terminal's size as it is now. SIGWINCH does not always come: not to another process
 * group, and not over a serial line. A terminal may move or cut what stands on it when it is
 * resized, so everything is painted again.
 */
static void fit(bool changed)
{
	struct winsize w;

	if (!ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) && w.ws_row && w.ws_col &&
	    (w.ws_row != LINES || w.ws_col != COLS))
		changed = resizeterm(w.ws_row, w.ws_col) == OK || changed;
	if (changed)
		clearok(curscr, TRUE);
}

static int interactive(const char *socket)
{
	struct top_sample now = { 0 }, then = { 0 };
	struct screen sc = { .order = BY_BUSY };
	int ret, c;

	ret = sample_get(socket, &then);
	if (ret)
		return ret;
	setlocale(LC_ALL, "");
	if (!initscr()) {
		fprintf(stderr, "snpuctl: top: this terminal cannot be used; try snpuctl top --once\n");
		sample_free(&then);
		return CTL_FAILED;
	}
	cbreak();
	noecho();
	keypad(stdscr, TRUE);
	curs_set(0);
	timeout(REFRESH_MS);
	for (;;) {
		/* getch() is what waits: keys come at once, samples every REFRESH_MS */
		c = getch();
		fit(c == KEY_RESIZE);
		if (c != ERR && !key(&sc, c, sc.view == VIEW_NPUS ? now.npus : now.planes))
			break;
		if (c == ERR || !now.npus) {
			struct top_sample next;

			ret = sample_get(socket, &next);
			if (ret)
				break;
			if (now.npus) {
				sample_free(&then);
				then = now;
			}
			now = next;
		}
		draw(&sc, &now, &then);
	}
	endwin();
	if (ret)
		fprintf(stderr, "snpuctl: top: snpud is gone\n");
	sample_free(&now);
	sample_free(&then);
	return ret;
}

static int once(const char *socket)
{
	struct timespec pause = { .tv_nsec = REFRESH_MS * 1000000L };
	struct top_sample now, then;
	struct top_row total, *rows;
	char line[200];
	double s;
	size_t i;
	int ret;

	ret = sample_get(socket, &then);
	if (ret)
		return ret;
	/* a rate needs two looks */
	nanosleep(&pause, NULL);
	ret = sample_get(socket, &now);
	if (ret) {
		sample_free(&then);
		return ret;
	}
	s = (double)diff(now.time_ns, then.time_ns) / 1e9;
	rows = top_rows(&now, &then, &total);
	if (rows) {
		head_line(&now, &total, line, sizeof(line));
		printf("%s\n%s\n", line, NPU_HEAD);
		for (i = 0; i < now.npus; i++) {
			npu_line(&rows[i], line, sizeof(line));
			printf("%s\n", line);
		}
		printf("%s\n", PLANE_HEAD);
		for (i = 0; i < now.planes; i++) {
			plane_line(&now.plane[i], &then, i, s > 0 ? s : 1, line, sizeof(line));
			printf("%s\n", line);
		}
	}
	free(rows);
	sample_free(&now);
	sample_free(&then);
	return rows ? CTL_OK : CTL_FAILED;
}

int ctl_top(const char *socket, bool json, bool one)
{
	json_object *result = NULL;
	int ret;

	if (json) {
		ret = ctl_call(socket, "machine.top", NULL, &result);
		if (!ret)
			printf("%s\n", json_object_to_json_string_ext(result,
								      JSON_C_TO_STRING_PRETTY));
		json_object_put(result);
		return ret;
	}
	return one || !isatty(STDOUT_FILENO) ? once(socket) : interactive(socket);
}
