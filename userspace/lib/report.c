// SPDX-License-Identifier: MIT
/*
 * Texts for messages. Memory is read through the kernel here: a device that is gone takes its
 * mappings with it, and a message must not end the program.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "report.h"

#define LEFT_MAX	4	/* things that are left and named; the rest is counted */
#define NEAR		65536u	/* an access so far behind a buffer may be meant for it */

/* Copies @n bytes, at most 4,096, if they can be read */
static bool peek(const volatile void *from, void *to, size_t n)
{
	bool ok = false;
	int fd[2];

	if (pipe2(fd, O_CLOEXEC | O_NONBLOCK))
		return false;
	ok = write(fd[1], (const void *)from, n) == (ssize_t)n && read(fd[0], to, n) == (ssize_t)n;
	close(fd[0]);
	close(fd[1]);
	return ok;
}

/* ---- memory of a context ---- */

/**
 * struct look - a look into memory of a context
 * @va: address
 * @bytes: how much
 * @to: where it goes
 * @ok: it went there
 * @name: name of the memory there, "": there is none
 */
struct look {
	uint64_t va;
	size_t bytes;
	void *to;
	bool ok;
	char name[112];
};

static void look_in(struct snpu_mem *mem, void *arg)
{
	struct look *l = arg;
	uint64_t off = l->va - mem->va;
	void *ptr = NULL;

	snpu_obj_name(&mem->obj, l->name, sizeof(l->name));
	if (l->bytes > mem->bytes - off)
		return;
	/* what cannot be mapped is not shown, which is no error of the call that reports */
	pthread_mutex_lock(&mem->ctx->lock);
	if (!mem->ptr && !mem->ctx->snpu->t->mem_map(mem, &ptr))
		mem->ptr = ptr;
	ptr = mem->ptr;
	pthread_mutex_unlock(&mem->ctx->lock);
	l->ok = ptr && peek((uint8_t *)ptr + off, l->to, l->bytes);
}

static bool look(struct snpu_ctx *ctx, uint64_t va, void *to, size_t bytes, struct look *l)
{
	*l = (struct look){ .va = va, .bytes = bytes, .to = to };
	snpu_obj_mem_at(ctx, va, look_in, l);
	return l->ok;
}

/* ---- the packet that waits ---- */

static bool wait_met(const struct snpu_pkt_sem *s, uint64_t v)
{
	return s->hdr.arg == SNPU_SEM_EQ ? v == s->value : v >= s->value;
}

/* Entry of the ring at @index, if it was submitted and not written over since */
static bool ring_entry(const struct snpu_queue *q, uint64_t index, union snpu_pkt *p)
{
	return index < q->submitted && q->head - index <= q->mask + 1 &&
	       peek(&q->ring[index & q->mask], p, sizeof(*p));
}

/*
 * The packet of a command buffer that its queue is at: the device does not say which, but a wait
 * that is not met is one that it does not pass. 1 + its index, with the packet in @p, or 0.
 */
static uint32_t cmdbuf_wait(struct snpu_queue *q, union snpu_pkt *p)
{
	uint32_t i, count = p->misc.count;
	uint64_t va = p->misc.addr, v;
	union snpu_pkt ib;
	struct look l;

	for (i = 0; i < count && i < SNPU_MAX_IB_PKTS; i++) {
		if (!look(q->ctx, va + (uint64_t)i * SNPU_PKT_BYTES, &ib, sizeof(ib), &l))
			return 0;
		if (ib.hdr.op != SNPU_OP_SEM_WAIT ||
		    (look(q->ctx, ib.sem.addr, &v, sizeof(v), &l) && wait_met(&ib.sem, v)))
			continue;
		*p = ib;
		return i + 1;
	}
	return 0;
}

/* "waits for at least 5, there is 3 (event: 4096 bytes of HBM at 0x200000, NPU 0)" */
static void wait_print(struct snpu_queue *q, const struct snpu_pkt_sem *s, char *buf, size_t len)
{
	char there[160] = "", what[24];
	uint64_t v;
	struct look l;

	if (look(q->ctx, s->addr, &v, sizeof(v), &l))
		snprintf(what, sizeof(what), "%" PRIu64, v);
	else
		snprintf(what, sizeof(what), "unknown");
	if (q->ctx->snpu->t->wait_name)
		q->ctx->snpu->t->wait_name(q->ctx, s->addr, there, sizeof(there));
	snprintf(buf, len, "waits for %s%" PRIu64 ", there is %s (%s)",
		 s->hdr.arg == SNPU_SEM_EQ ? "" : "at least ", (uint64_t)s->value, what,
		 there[0] ? there : l.name[0] ? l.name : "no memory of this context");
}

/* "packet 4 (SEM_WAIT)"; the packet in @p is that of a command buffer if it waits there */
static bool packet_print(struct snpu_queue *q, uint64_t index, union snpu_pkt *p, char *buf,
			 size_t len)
{
	uint32_t ib = 0;

	if (!ring_entry(q, index, p))
		return false;
	if (p->hdr.op == SNPU_OP_INDIRECT)
		ib = cmdbuf_wait(q, p);
	if (ib)
		snprintf(buf, len, "packet %" PRIu64 " (SEM_WAIT, packet %u of its command buffer)",
			 index, ib - 1);
	else
		snprintf(buf, len, "packet %" PRIu64 " (%s)", index, snpu_op_name(p->hdr.op));
	return true;
}

/* What the queue does at @index; true when it waits for a semaphore */
static bool standing(struct snpu_queue *q, uint64_t index, union snpu_pkt *p, char *buf, size_t len)
{
	uint32_t state = q->cpl->state;
	char name[80], wait[280];

	if (!packet_print(q, index, p, name, sizeof(name))) {
		snprintf(buf, len, "no packet in it");
		return false;
	}
	if (p->hdr.op == SNPU_OP_SEM_WAIT) {
		wait_print(q, &p->sem, wait, sizeof(wait));
		snprintf(buf, len, "%s is %s at 0x%" PRIx64 ": %s", name,
			 state == SNPU_QSTATE_SUSPENDED ? "suspended" : "BLOCKED",
			 (uint64_t)p->sem.addr, wait);
		return true;
	}
	snprintf(buf, len, "%s is %s", name, state == SNPU_QSTATE_SUSPENDED ? "suspended" :
		 state == SNPU_QSTATE_BLOCKED ? "BLOCKED" : "running");
	return false;
}

void snpu_report_wait(struct snpu_queue *q, char *buf, size_t len)
{
	uint64_t done = snpu_cpl_completed(q);
	union snpu_pkt p;
	char at[420];

	standing(q, done, &p, at, sizeof(at));
	snprintf(buf, len, "queue %u, NPU %u: %" PRIu64 " of %" PRIu64 " retired; %s", q->number,
		 q->ctx->npu->index, done, q->submitted, at);
}

void snpu_report_packet(struct snpu_queue *q, struct snpu_error *err)
{
	union snpu_pkt p;
	uint32_t ib;

	if (!ring_entry(q, err->index, &p)) {
		err->op = UINT32_MAX;
		return;
	}
	ib = p.hdr.op == SNPU_OP_INDIRECT ? cmdbuf_wait(q, &p) : 0;
	err->op = p.hdr.op;
	err->ib_index = ib ? ib - 1 : 0;
	if (p.hdr.op == SNPU_OP_SEM_WAIT)
		err->va = p.sem.addr;
}

/* ---- what lies at an address ---- */

/**
 * struct close - a search for the memory closest to an address where none is
 * @ctx: context
 * @va: address
 * @gap: bytes between
 * @before: the address is before it
 * @name: the memory, "": none is near
 */
struct close {
	const struct snpu_ctx *ctx;
	uint64_t va;
	uint64_t gap;
	bool before;
	char name[112];
};

static bool is_close(struct snpu_obj *o, void *arg)
{
	struct snpu_mem *mem = (struct snpu_mem *)o;
	struct close *c = arg;
	bool before = c->va < mem->va;
	uint64_t gap = before ? mem->va - c->va : c->va - mem->va - mem->bytes;

	if (mem->ctx == c->ctx && gap < c->gap) {
		c->gap = gap;
		c->before = before;
		snpu_obj_name(o, c->name, sizeof(c->name));
	}
	return true;
}

/* ": 64 bytes behind the end of ..." */
static void where(const struct snpu_ctx *ctx, uint64_t va, char *buf, size_t len)
{
	struct close c = { .ctx = ctx, .va = va, .gap = NEAR };

	if (snpu_check_where(ctx, va, buf, len))
		return;
	snpu_obj_each(SNPU_KIND_MEM, is_close, &c);
	if (c.name[0])
		snprintf(buf, len, ": %" PRIu64 " bytes %s of %s", c.gap,
			 c.before ? "before the start" : "behind the end", c.name);
	else if (!ctx->obj.check)
		snprintf(buf, len, ": no memory is there; SNPU_CHECK=1 says whether some was freed");
}

void snpu_report_error(struct snpu_queue *q, const struct snpu_error *err, char *buf, size_t len)
{
	union snpu_pkt p;
	char wait[280];

	buf[0] = '\0';
	if (err->code == SNPU_ERR_UNMAPPED) {
		where(q->ctx, err->va, buf, len);
	} else if ((err->hung || err->code == SNPU_ERR_TIMEOUT) &&
		   ring_entry(q, err->index, &p)) {
		if (p.hdr.op == SNPU_OP_INDIRECT)
			cmdbuf_wait(q, &p);
		if (p.hdr.op != SNPU_OP_SEM_WAIT)
			return;
		wait_print(q, &p.sem, wait, sizeof(wait));
		snprintf(buf, len, ": it %s", wait);
	}
}

/* ---- packets that could signal ---- */

#define CHUNK	64u	/* packets that are looked at at once: a page */

/**
 * struct signal - a search for packets that signal a semaphore
 * @waits: queue that waits for it
 * @origin: allocation that it lies in
 * @off: where in there
 * @text: the first that was found
 * @found: one was
 */
struct signal {
	const struct snpu_queue *waits;
	uint64_t origin;
	uint64_t off;
	char text[96];
	bool found;
};

/* Which allocation is at an address, and where in it */
struct place {
	uint64_t va;
	uint64_t origin;
	uint64_t off;
};

static void place_of(struct snpu_mem *mem, void *arg)
{
	struct place *pl = arg;

	pl->origin = mem->origin;
	pl->off = pl->va - mem->va;
}

/* Address that a packet signals, or 0 */
static uint64_t signal_addr(const union snpu_pkt *p)
{
	switch (p->hdr.op) {
	case SNPU_OP_SEM_SIGNAL:
		return p->sem.addr;
	case SNPU_OP_ATOMIC:
		return p->atomic.addr;
	case SNPU_OP_COPY:
		return p->hdr.flags & SNPU_PF_SIGNAL ? p->copy.sem_addr : 0;
	case SNPU_OP_REDUCE_ADD:
		return p->hdr.flags & SNPU_PF_SIGNAL ? p->reduce.sem_addr : 0;
	default:
		return 0;
	}
}

static bool signals(struct signal *sg, struct snpu_ctx *ctx, const union snpu_pkt *p)
{
	struct place pl = { .va = signal_addr(p) };

	return pl.va && snpu_obj_mem_at(ctx, pl.va, place_of, &pl) && pl.origin == sg->origin &&
	       pl.off == sg->off;
}

static bool cmdbuf_signals(struct signal *sg, struct snpu_ctx *ctx, const union snpu_pkt *p)
{
	union snpu_pkt ib[CHUNK];
	struct look l;
	uint32_t i, k, n;

	for (i = 0; i < p->misc.count && i < SNPU_MAX_IB_PKTS; i += n) {
		n = p->misc.count - i < CHUNK ? p->misc.count - i : CHUNK;
		if (!look(ctx, p->misc.addr + (uint64_t)i * SNPU_PKT_BYTES, ib,
			  n * sizeof(*ib), &l))
			return false;
		for (k = 0; k < n; k++)
			if (signals(sg, ctx, &ib[k]))
				return true;
	}
	return false;
}

static bool queue_signals(struct snpu_obj *o, void *arg)
{
	struct snpu_queue *q = (struct snpu_queue *)o;
	struct signal *sg = arg;
	union snpu_pkt pkts[CHUNK];
	uint64_t i, k, n, at;

	/* what comes after the wait in the same queue does not run before it */
	if (q == sg->waits || q->ctx->snpu != sg->waits->ctx->snpu)
		return true;
	for (i = snpu_cpl_completed(q); i < q->submitted; i += n) {
		at = i & q->mask;
		n = q->submitted - i < CHUNK ? q->submitted - i : CHUNK;
		n = n < q->mask + 1 - at ? n : q->mask + 1 - at;
		if (!peek(&q->ring[at], pkts, n * sizeof(*pkts)))
			return true;
		for (k = 0; k < n && !sg->found; k++)
			sg->found = pkts[k].hdr.op == SNPU_OP_INDIRECT ?
				    cmdbuf_signals(sg, q->ctx, &pkts[k]) :
				    signals(sg, q->ctx, &pkts[k]);
		if (sg->found) {
			snprintf(sg->text, sizeof(sg->text),
				 "packet %" PRIu64 " of queue %u, NPU %u, would signal it", i + k - 1, q->number, q->ctx->npu->index);
			return false;
		}
	}
	return true;
}

void snpu_report_waiting(struct snpu_queue *q, const char *call)
{
	uint64_t done = snpu_cpl_completed(q);
	struct place pl = { 0 };
	struct signal sg = { .waits = q };
	union snpu_pkt p;
	char at[420];

	if (!standing(q, done, &p, at, sizeof(at)))
		return;
	pl.va = p.sem.addr;
	if (snpu_obj_mem_at(q->ctx, p.sem.addr, place_of, &pl) && pl.origin) {
		sg.origin = pl.origin;
		sg.off = pl.off;
		snpu_obj_each(SNPU_KIND_QUEUE, queue_signals, &sg);
		if (!sg.found)
			snprintf(sg.text, sizeof(sg.text),
				 "no packet submitted by this process signals it");
	}
	snpu_log(0, "SNPU_CHECK: %s: a lost signal? queue %u, NPU %u, %" PRIu64 " of %" PRIu64
		 " retired, for %.1f s: %s%s%s", call, q->number, q->ctx->npu->index, done,
		 q->submitted, SNPU_CHECK_PATIENCE_NS / 1e9, at, sg.text[0] ? "; " : "", sg.text);
}

/* ---- what is left ---- */

/**
 * struct left - a list of what is left
 * @snpu: of this set
 * @ctx: of this context, NULL: contexts, fences and timelines of the set
 * @buf: receives it
 * @len: room
 * @n: used
 * @count: how many were found
 */
struct left {
	const struct snpu *snpu;
	const struct snpu_ctx *ctx;
	char *buf;
	size_t len, n;
	unsigned int count;
};

static void left_add(struct left *l, const struct snpu_obj *o)
{
	if (l->count++ >= LEFT_MAX || l->n >= l->len)
		return;
	if (l->n)
		l->n += (size_t)snprintf(l->buf + l->n, l->len - l->n, "; ");
	if (l->n < l->len)
		l->n += (size_t)snpu_obj_name(o, l->buf + l->n, l->len - l->n);
}

static bool left_queue(struct snpu_obj *o, void *arg)
{
	struct left *l = arg;

	if (((struct snpu_queue *)o)->ctx == l->ctx)
		left_add(l, o);
	return true;
}

/* A ring goes with its queue */
static bool left_mem(struct snpu_obj *o, void *arg)
{
	struct snpu_mem *m = (struct snpu_mem *)o;
	struct left *l = arg;

	if (m->ctx == l->ctx && (!m->what || strncmp(m->what, "ring", 4)))
		left_add(l, o);
	return true;
}

static bool left_ctx(struct snpu_obj *o, void *arg)
{
	struct left *l = arg;

	if (((struct snpu_ctx *)o)->snpu == l->snpu)
		left_add(l, o);
	return true;
}

static bool left_fence(struct snpu_obj *o, void *arg)
{
	struct left *l = arg;

	if (((struct snpu_fence *)o)->snpu == l->snpu)
		left_add(l, o);
	return true;
}

static bool left_timeline(struct snpu_obj *o, void *arg)
{
	struct left *l = arg;

	if (((struct snpu_timeline *)o)->snpu == l->snpu)
		left_add(l, o);
	return true;
}

void snpu_report_left(const struct snpu *snpu, const struct snpu_ctx *ctx, char *buf, size_t len)
{
	struct left l = { .snpu = snpu, .ctx = ctx, .buf = buf, .len = len };

	buf[0] = '\0';
	if (ctx) {
		snpu_obj_each(SNPU_KIND_QUEUE, left_queue, &l);
		snpu_obj_each(SNPU_KIND_MEM, left_mem, &l);
	} else {
		snpu_obj_each(SNPU_KIND_CTX, left_ctx, &l);
		snpu_obj_each(SNPU_KIND_FENCE, left_fence, &l);
		snpu_obj_each(SNPU_KIND_TIMELINE, left_timeline, &l);
	}
	if (l.count > LEFT_MAX && l.n < len)
		snprintf(buf + l.n, len - l.n, "; and %u more", l.count - LEFT_MAX);
}
