// SPDX-License-Identifier: MIT
/*
 * Links, switches and planes that fail under traffic: what is concerned, what is not, and what is
 * told.
 */
#include "harness.h"

#include <sched.h>
#include <string.h>

#include "fabric/fabric.h"

#define SRC	0x40000000ull
#define DST	0x80000000ull
#define SEM	0xc0000000ull
#define BYTES	(2ull << 20)
#define TOKEN	0x1122334455667788ull

static struct snpu_machine *m;
static struct snpu_fabric *f;
static const struct snpu_topo *t;
static struct t_drv d[3];
static uint64_t root[3], mem[3];

/* Node i maps its own memory at SRC, and that of node i + 1 (of 3) at DST */
static void start(void)
{
	unsigned int i;

	m = t_machine(3, 2, NULL);
	f = snpu_machine_fabric(m);
	t = snpu_fabric_topo(f);
	for (i = 0; i < 3; i++) {
		t_drv_init(&d[i], m, i);
		root[i] = t_ctx(&d[i], 1);
		mem[i] = t_hbm_alloc(&d[i], 2 * BYTES, SNPU_HUGE_SIZE);
		memset(d[i].hbm + mem[i], (int)(i + 1), BYTES);
		memset(d[i].hbm + mem[i] + BYTES, 0, BYTES);
		d[i].mb->seg_export.access = SNPU_SEG_READ | SNPU_SEG_WRITE;
		d[i].mb->seg_export.offset = mem[i] + BYTES;
		d[i].mb->seg_export.bytes = BYTES;
		d[i].mb->seg_export.token = TOKEN + i;
		CHECK_EQ(t_admin(&d[i], SNPU_ADM_SEG_EXPORT), SNPU_ADM_S_OK);
	}
	for (i = 0; i < 3; i++) {
		d[i].mb->import.node = (i + 1) % 3;
		d[i].mb->import.token = TOKEN + (i + 1) % 3;
		CHECK_EQ(t_admin(&d[i], SNPU_ADM_SEG_IMPORT), SNPU_ADM_S_OK);
		t_map(&d[i], root[i], SRC, 2 * BYTES, T_LEAF_HBM(mem[i]));
		t_map(&d[i], root[i], DST, BYTES, T_LEAF_FABRIC(0, 0));
	}
}

static void end(void)
{
	unsigned int i;

	for (i = 0; i < 3; i++)
		t_drv_end(&d[i]);
	t_machine_end(m);
}

static void set(enum snpu_fabric_kind kind, uint32_t id, uint32_t state, double share)
{
	struct snpu_fabric_fault x = { .kind = kind, .id = id, .state = state, .share = share };

	CHECK_EQ(snpu_fabric_set(f, &x), 0);
}

/* All that leaves node @node; its own ports, so only it is concerned */
static void cut(unsigned int node, uint32_t state)
{
	uint32_t i;

	for (i = 0; i < 14; i++) {
		set(SNPU_FABRIC_LINK, t->ep_up[node * 14 + i], state, 0);
		set(SNPU_FABRIC_LINK, t->links[t->ep_up[node * 14 + i]].reverse, state, 0);
	}
}

static void check_books(void)
{
	struct snpu_fabric_counters c;
	uint64_t sent = 0, got = 0, dropped = 0;
	uint32_t i, bad = 0;

	for (i = 0; i < t->num_links; i++) {
		snpu_fabric_link_counters(f, i, &c);
		bad += c.in != c.out + c.dropped;
		dropped += c.dropped;
		if (t->links[i].from_kind == SNPU_TOPO_DIE)
			sent += c.in;
		if (t->links[i].to_kind == SNPU_TOPO_DIE)
			got += c.out;
	}
	CHECK_EQ(bad, 0);
	CHECK_EQ(sent, got + dropped);
}

/* One packet by a fresh queue of @node; its error */
static unsigned int one(unsigned int node, unsigned int op)
{
	union snpu_pkt *p;
	struct t_queue q;
	unsigned int err;

	CHECK_EQ(t_queue(&d[node], &q, 7, 1, root[node], 4, 1), SNPU_ADM_S_OK);
	switch (op) {
	case SNPU_OP_COPY:
		t_copy(&q, SRC, DST, BYTES);
		break;
	case SNPU_OP_CRC32C:		/* a read by something that is no copy */
		p = t_put(&q, op);
		p->crc32c.src = DST;
		p->crc32c.dst = SRC;
		p->crc32c.bytes = BYTES;
		break;
	case SNPU_OP_REDUCE_ADD:
		p = t_put(&q, op);
		p->hdr.dtype = SNPU_DT_I32;
		p->reduce.dst = DST;
		p->reduce.src = SRC;
		p->reduce.count = 1024;
		break;
	case SNPU_OP_ATOMIC:
		p = t_put(&q, op);
		p->hdr.arg = SNPU_ATOMIC_ADD;
		p->atomic.addr = DST;
		p->atomic.operand = 1;
		break;
	case SNPU_OP_SEM_SIGNAL:
		t_signal(&q, DST, SNPU_SEM_ADD, 1);
		break;
	default:
		t_await(&q, DST, SNPU_SEM_GE, 0, 0);
	}
	t_ring(&q);
	err = t_drain(&q) ? 0 : q.cpl->error;
	if (err) {
		CHECK_EQ(q.cpl->completed, 0);
		CHECK(q.cpl->fault_va >= DST && q.cpl->fault_va < DST + BYTES, "at 0x%llx",
		      (unsigned long long)q.cpl->fault_va);
	}
	CHECK_EQ(t_queue_op(&q, SNPU_ADM_QUEUE_DESTROY), SNPU_ADM_S_OK);
	return err;
}

static const unsigned int ops[] = {
	SNPU_OP_COPY, SNPU_OP_CRC32C, SNPU_OP_REDUCE_ADD, SNPU_OP_ATOMIC, SNPU_OP_SEM_SIGNAL,
	SNPU_OP_SEM_WAIT,
};

/* No plane is up between two: every kind of access says so, others go on, and it ends by itself */
static void unreachable(void)
{
	uint64_t before;
	unsigned int i;

	start();
	for (i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
		CHECK_EQ(one(0, ops[i]), 0);
	cut(0, SNPU_PORT_DOWN);
	memset(d[1].hbm + mem[1] + BYTES, 0xee, BYTES);
	for (i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
		CHECK_EQ(one(0, ops[i]), SNPU_ERR_FABRIC);
		CHECK_EQ(one(1, ops[i]), 0);
		CHECK_EQ(one(2, ops[i]), SNPU_ERR_FABRIC);	/* its target is 0 */
	}
	for (before = 0; before < BYTES && d[1].hbm[mem[1] + BYTES + before] == 0xee; before++)
		;
	CHECK(before == BYTES, "byte %llu was written", (unsigned long long)before);
	/* who would import is told, too */
	d[2].mb->import.node = 0;
	d[2].mb->import.token = TOKEN;
	CHECK_EQ(t_admin(&d[2], SNPU_ADM_SEG_QUERY), SNPU_ADM_S_UNREACH);
	CHECK_EQ(snpu_fabric_clear(f), 28);
	for (i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
		CHECK_EQ(one(0, ops[i]), 0);
	check_books();
	end();
}

/* A wait for memory that can no longer be reached must not wait for ever */
static void waiter(void)
{
	struct t_queue q;

	start();
	CHECK_EQ(t_queue(&d[0], &q, 3, 1, root[0], 4, 1), SNPU_ADM_S_OK);
	t_await(&q, DST + 64, SNPU_SEM_GE, 5, 0);
	t_ring(&q);
	CHECK(T_WAIT(snpu_load_acq(&q.cpl->state) == SNPU_QSTATE_BLOCKED), "state %u",
	      q.cpl->state);
	cut(1, SNPU_PORT_DOWN);
	CHECK(!t_drain(&q), "it waits no more");
	CHECK_EQ(q.cpl->error, SNPU_ERR_FABRIC);
	end();
}

/* Planes go down and come back under traffic: nothing fails, every byte arrives */
static void planes_under_traffic(void)
{
	struct t_queue q[3];
	unsigned int round, i, k;
	uint64_t seed = 5, n;

	start();
	for (i = 0; i < 3; i++)
		CHECK_EQ(t_queue(&d[i], &q[i], 2, 1, root[i], 8, 1), SNPU_ADM_S_OK);
	for (round = 0; round < 10; round++) {
		for (i = 0; i < 3; i++) {
			for (k = 0; k < 20; k++)
				t_copy(&q[i], SRC, DST, BYTES - 8 * k);
			t_ring(&q[i]);
		}
		for (k = 0; k < 200; k++)
			set(SNPU_FABRIC_PLANE, (uint32_t)(t_rand(&seed) % 6),
			    (uint32_t)(t_rand(&seed) % 4), 0.25);
		for (i = 0; i < 3; i++)
			CHECK(t_drain(&q[i]), "queue of %u: error %u", i, q[i].cpl->error);
	}
	for (i = 0; i < 3; i++) {
		const uint8_t *p = d[(i + 1) % 3].hbm + mem[(i + 1) % 3] + BYTES;

		for (n = 0; n < BYTES && p[n] == i + 1; n++)
			;
		CHECK_EQ(n, BYTES);
	}
	check_books();
	end();
}

/* The one plane left goes in the middle of a copy: that copy fails, and is not half reported */
static void last_plane(void)
{
	unsigned int tries, failed = 0, i;
	struct t_queue q;

	start();
	for (tries = 0; tries < 20; tries++) {
		CHECK_EQ(t_queue(&d[0], &q, 2, 1, root[0], 8, 1), SNPU_ADM_S_OK);
		for (i = 0; i < 100; i++)
			t_copy(&q, SRC, DST, BYTES);
		t_ring(&q);
		CHECK(T_WAIT(snpu_load_acq(&q.cpl->completed) >= 1), "no progress");
		cut(0, SNPU_PORT_DOWN);
		if (!t_drain(&q)) {
			CHECK_EQ(q.cpl->error, SNPU_ERR_FABRIC);
			CHECK(q.cpl->completed < 100, "%llu",
			      (unsigned long long)q.cpl->completed);
			failed++;
		}
		CHECK_EQ(t_queue_op(&q, SNPU_ADM_QUEUE_DESTROY), SNPU_ADM_S_OK);
		CHECK_EQ(snpu_fabric_clear(f), 28);
	}
	CHECK(failed > 0, "no copy was under way in any of %u rounds", tries);
	check_books();
	end();
}

static uint32_t port(struct t_drv *drv, uint32_t die, uint32_t plane)
{
	drv->mb->port.die = die;
	drv->mb->port.plane = plane;
	CHECK_EQ(t_admin(drv, SNPU_ADM_FABRIC_PORT), SNPU_ADM_S_OK);
	return (uint32_t)drv->data[0];
}

static void ports_and_events(void)
{
	const struct snpu_event_entry *e;
	uint64_t sum = 0, rx = 0;
	unsigned int i;

	start();
	CHECK_EQ(one(0, SNPU_OP_COPY), 0);
	for (i = 0; i < 14; i++) {
		CHECK_EQ(port(&d[0], i / 7, i % 7), SNPU_PORT_UP);
		sum += d[0].data[1];
		CHECK_EQ(d[0].data[4], 100000000000ull / 14);
		port(&d[1], i / 7, i % 7);
		rx += d[1].data[2];
	}
	CHECK_EQ(sum, BYTES);
	CHECK_EQ(rx, BYTES);
	while (t_event(&d[0]))
		;
	/* one direction of one port of node 0: its event, nobody else's */
	set(SNPU_FABRIC_LINK, t->links[t->ep_up[9]].reverse, SNPU_PORT_DEGRADED, 0.5);
	e = t_event(&d[0]);
	CHECK(e && e->type == SNPU_EVT_FABRIC && e->code == 2 &&
	      e->data == (SNPU_PORT_DEGRADED | 1 << 8), "type %u code %u data 0x%llx",
	      e ? e->type : 0, e ? e->code : 0, e ? (unsigned long long)e->data : 0);
	CHECK(!t_event(&d[0]) && !t_event(&d[1]), "more events");
	CHECK_EQ(port(&d[0], 1, 2), SNPU_PORT_DEGRADED);
	CHECK_EQ(d[0].data[4], 50000000000ull / 14);
	/* a plane: one event for each die of all */
	set(SNPU_FABRIC_PLANE, 2, SNPU_PORT_DOWN, 0);
	for (i = 0; i < 2; i++) {
		e = t_event(&d[0]);
		CHECK(e && e->type == SNPU_EVT_FABRIC && e->code == 2 &&
		      e->data == (SNPU_PORT_DOWN | i << 8), "die %u", i);
	}
	CHECK(!t_event(&d[0]), "more events");
	CHECK_EQ(port(&d[1], 0, 2), SNPU_PORT_DOWN);
	CHECK_EQ(d[1].data[4], 0);
	CHECK_EQ(snpu_fabric_clear(f), 2);
	for (i = 0; i < 2; i++) {
		e = t_event(&d[0]);
		CHECK(e && e->data == (SNPU_PORT_UP | i << 8), "recovery of die %u", i);
	}
	CHECK(!t_event(&d[0]), "more events");
	end();
}

/* Packets of a queue over a flapping plane: the same counters in every run, with 1 or 3 queues beside */
static uint64_t flap_run(unsigned int others)
{
	struct snpu_fabric_counters c;
	struct t_queue q[3];
	uint64_t sum = 0;
	unsigned int i, k;

	start();
	set(SNPU_FABRIC_PLANE, 1, SNPU_PORT_FLAPPING, 0);
	set(SNPU_FABRIC_PLANE, 5, SNPU_PORT_FLAPPING, 0);
	for (i = 0; i <= others; i++) {
		CHECK_EQ(t_queue(&d[i], &q[i], 2, 1, root[i], 8, 1), SNPU_ADM_S_OK);
		for (k = 0; k < 100; k++)
			t_copy(&q[i], SRC, DST, 1000 * k + 8);
	}
	for (i = 0; i <= others; i++)
		t_ring(&q[i]);
	for (i = 0; i <= others; i++)
		CHECK(t_drain(&q[i]), "error %u", q[i].cpl->error);
	for (i = 0; i < 14; i++) {
		snpu_fabric_link_counters(f, t->ep_up[i], &c);
		CHECK(!(i % 7 == 1 || i % 7 == 5) || c.dropped, "plane %u lost nothing", i % 7);
		sum = sum * 1000003 + c.in * 31 + c.dropped;
	}
	check_books();
	end();
	return sum;
}

static void flapping(void)
{
	uint64_t a = flap_run(0);

	CHECK_EQ(flap_run(0), a);
	CHECK_EQ(flap_run(2), a);
}

int main(int argc, char **argv)
{
	static const struct t_case cases[] = {
		{ "unreachable", unreachable },
		{ "waiter", waiter },
		{ "planes_under_traffic", planes_under_traffic },
		{ "last_plane", last_plane },
		{ "ports_and_events", ports_and_events },
		{ "flapping", flapping },
	};

	return t_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
}
