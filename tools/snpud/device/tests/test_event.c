// SPDX-License-Identifier: MIT
/*
 * Event ring: order, overflow, merging, hostile indices.
 */
#include "harness.h"

#include <sched.h>
#include <string.h>

static struct snpu_machine *m;
static struct t_drv d;
static uint64_t root;

static void start(unsigned int log2)
{
	m = t_machine(1, 2, NULL);
	t_drv_init(&d, m, 0);
	d.ev_log2 = log2;
	t_drv_setup(&d);
	root = t_ctx(&d, 1);
}

static void end(void)
{
	t_drv_end(&d);
	t_machine_end(m);
}

static void order(void)
{
	const struct snpu_event_entry *ev;
	uint64_t last = 0;
	unsigned int i;

	start(4);
	for (i = 0; i < 100; i++) {
		CHECK_EQ(snpu_npu_inject_ce(d.npu, i * 4096), 0);
		ev = t_event(&d);
		CHECK(ev && ev->type == SNPU_EVT_ECC_CE && ev->data == i * 4096, "event %u", i);
		CHECK(ev && ev->queue == SNPU_EVT_NO_QUEUE && ev->time_ns > last, "event %u", i);
		last = ev ? ev->time_ns : 0;
	}
	CHECK_EQ(d.ev->prod, 100);
	CHECK_EQ(d.ev->lost, 0);
	CHECK_EQ(snpu_load(&d.host.irqs[0]), 100);
	end();
}

static void overflow(void)
{
	const struct snpu_event_entry *ev;
	unsigned int i;

	start(4);
	for (i = 0; i < 20; i++)
		snpu_npu_inject_ce(d.npu, i * 4096);
	CHECK_EQ(d.ev->prod, 16);
	CHECK_EQ(d.ev->lost, 4);
	for (i = 0; i < 16; i++) {
		ev = t_event(&d);
		CHECK(ev && ev->data == i * 4096, "event %u", i);
	}
	CHECK(!t_event(&d), "more than the ring holds");
	snpu_npu_inject_ce(d.npu, 77 * 4096);
	ev = t_event(&d);
	CHECK(ev && ev->data == 77 * 4096, "after the overflow");
	end();
}

static void merge(void)
{
	const struct snpu_event_entry *ev;
	struct snpu_npu_counters c;
	struct t_queue q, r;
	unsigned int i;

	start(4);
	t_queue(&d, &q, 3, 1, root, 8, 1);
	t_queue(&d, &r, 4, 1, root, 8, 1);
	for (i = 0; i < 200; i++)
		t_put(&q, SNPU_OP_INTERRUPT)->hdr.arg = i;
	t_put(&r, SNPU_OP_INTERRUPT)->hdr.arg = 9;
	t_ring(&q);
	t_ring(&r);
	CHECK(t_drain(&q) && t_drain(&r), "drain");
	CHECK_EQ(d.ev->prod, 2);
	CHECK_EQ(d.ev->lost, 0);
	snpu_npu_get_counters(d.npu, &c);
	CHECK_EQ(c.events_merged, 199);
	/* the newest cookie and index are there */
	for (i = 0; i < 2; i++) {
		ev = t_event(&d);
		CHECK(ev && ev->type == SNPU_EVT_INTERRUPT, "event %u", i);
		if (ev && ev->queue == 3) {
			CHECK_EQ(ev->code, 199);
			CHECK_EQ(ev->data, 199);
		}
	}
	/* consumed: the next one is a new event */
	t_put(&q, SNPU_OP_INTERRUPT)->hdr.arg = 1000;
	t_ring(&q);
	CHECK(t_drain(&q), "drain");
	ev = t_event(&d);
	CHECK(ev && ev->code == 1000 && ev->data == 200, "after consumption");
	CHECK(snpu_load(&d.host.irqs[0]) >= 202, "%llu",
	      (unsigned long long)d.host.irqs[0]);
	end();
}

/* No interrupt is lost while the driver consumes at the same time, moving cons before it looks */
static void merge_race(void)
{
	struct t_queue q;
	unsigned int i, seen = 0;

	start(4);
	t_queue(&d, &q, 0, 1, root, 10, 1);
	for (i = 1; i <= 5000; i++) {
		const struct snpu_event_entry *ev;
		uint64_t end_ns = snpu_clock_ns() + 5000000000ull;

		t_put(&q, SNPU_OP_INTERRUPT)->hdr.arg = i;
		t_ring(&q);
		/* a driver that sleeps until an event says so */
		while (seen < i && snpu_clock_ns() < end_ns) {
			ev = t_event(&d);
			if (!ev)
				continue;
			snpu_mb();
			seen = (unsigned int)snpu_load_acq(&q.cpl->completed) + 1;
			if (snpu_load(&ev->code) > seen)
				seen = snpu_load(&ev->code);
		}
		if (seen < i) {
			CHECK(0, "interrupt %u was never seen, prod %llu", i,
			      (unsigned long long)d.ev->prod);
			break;
		}
	}
	end();
}

static void hostile_ring(void)
{
	static const uint64_t conses[] = { ~0ull, 1ull << 63, 1000, 17, 0 };
	struct t_queue q;
	unsigned int i, k;

	start(4);
	t_queue(&d, &q, 0, 1, root, 6, 1);
	for (i = 0; i < sizeof(conses) / sizeof(conses[0]); i++) {
		for (k = 0; k < 40; k++) {
			snpu_store(&d.ev->cons, conses[i]);
			/* the device does not read its own index back */
			snpu_store(&d.ev->prod, 0x123456789ull);
			snpu_npu_inject_ce(d.npu, 0);
			t_put(&q, SNPU_OP_INTERRUPT);
			t_ring(&q);
			CHECK(t_drain(&q), "drain");
		}
	}
	/* a ring that is not there */
	snpu_npu_reg_write(d.npu, SNPU_REG_EVENT_ADDR, 8, 0x5000);
	snpu_npu_inject_ce(d.npu, 0);
	/* sizes that are not allowed turn events off */
	snpu_npu_reg_write(d.npu, SNPU_REG_EVENT_SIZE, 4, 13);
	CHECK_EQ(snpu_npu_reg_read(d.npu, SNPU_REG_EVENT_SIZE, 4), 0);
	snpu_npu_reg_write(d.npu, SNPU_REG_EVENT_SIZE, 4, 3);
	CHECK_EQ(snpu_npu_reg_read(d.npu, SNPU_REG_EVENT_SIZE, 4), 0);
	t_drv_setup(&d);
	snpu_npu_inject_ce(d.npu, 4096);
	CHECK(t_event(&d), "a ring set up anew");
	end();
}

int main(int argc, char **argv)
{
	static const struct t_case cases[] = {
		{ "order", order },
		{ "overflow", overflow },
		{ "merge", merge },
		{ "merge_race", merge_race },
		{ "hostile_ring", hostile_ring },
	};

	return t_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
}
