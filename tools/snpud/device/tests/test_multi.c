// SPDX-License-Identifier: MIT
/*
 * REDUCE_PULL and MULTICAST on a machine: every address is translated and checked at its target, a
 * list that is wrong stops one queue, and links carry what they should, with and without switches
 * that add up and copy.
 */
#include "harness.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "fabric/fabric.h"
#include "log/packet_log.h"

#define NPUS	4u
#define VA	0x40000000ull
#define PEER(i)	(VA + ((uint64_t)(i) << 30))
#define BYTES	(2u << 20)
#define TOKEN	0x55aa55aa11ull
#define LIST	(VA + (1u << 20))	/* in own memory, behind the data */
#define COUNT	50000u			/* elements of 4 bytes */

static struct snpu_machine *m;
static struct snpu_profile *prof;
static struct t_drv d[NPUS];
static struct t_queue q;
static uint64_t mem[NPUS], root;

/* NPU 0 sees its own memory at VA, and that of NPU i at PEER(i) */
static void start(bool in_switch, struct snpu_plog *plog)
{
	struct snpu_machine_opts o = { .npus = NPUS, .workers = 2, .plog = plog };
	char err[256];
	unsigned int i, k;

	prof = t_profile();
	prof->fabric.in_switch.value = in_switch;
	o.profile = prof;
	m = snpu_machine_create(&o, err, sizeof(err));
	if (!m) {
		printf("Bail out! %s\n", err);
		exit(1);
	}
	for (i = 0; i < NPUS; i++) {
		t_drv_init(&d[i], m, i);
		mem[i] = t_hbm_alloc(&d[i], BYTES, SNPU_HUGE_SIZE);
		for (k = 0; k < COUNT; k++)
			((int32_t *)(d[i].hbm + mem[i]))[k] = (int32_t)(k * (i + 1));
		d[i].mb->seg_export = (struct snpu_adm_export){
			.access = SNPU_SEG_READ | SNPU_SEG_WRITE, .offset = mem[i], .bytes = BYTES,
			.token = TOKEN + i,
		};
		CHECK_EQ(t_admin(&d[i], SNPU_ADM_SEG_EXPORT), SNPU_ADM_S_OK);
	}
	root = t_ctx(&d[0], 1);
	t_map(&d[0], root, VA, BYTES, T_LEAF_HBM(mem[0]));
	for (i = 1; i < NPUS; i++) {
		d[0].mb->import = (struct snpu_adm_import){ .slot = i, .node = i,
							    .token = TOKEN + i };
		CHECK_EQ(t_admin(&d[0], SNPU_ADM_SEG_IMPORT), SNPU_ADM_S_OK);
		t_map(&d[0], root, PEER(i), BYTES, T_LEAF_FABRIC(i, 0));
	}
	CHECK_EQ(t_queue(&d[0], &q, 0, 1, root, 6, 1), SNPU_ADM_S_OK);
}

static void end(void)
{
	unsigned int i;

	for (i = 0; i < NPUS; i++)
		t_drv_end(&d[i]);
	snpu_machine_destroy(m);
	snpu_profile_free(prof);
}

static uint64_t *list(void)
{
	return (uint64_t *)(d[0].hbm + mem[0] + (LIST - VA));
}

static void put(uint8_t op, uint32_t num, uint64_t addr, uint64_t count)
{
	union snpu_pkt *p = t_put(&q, op);

	p->hdr.dtype = op == SNPU_OP_REDUCE_PULL ? SNPU_DT_I32 : 0;
	p->multi.addr = addr;
	p->multi.list = LIST;
	p->multi.count = count;
	p->multi.num = num;
	t_ring(&q);
}

static void all_ranks(void)
{
	unsigned int i;

	for (i = 0; i < NPUS; i++)
		list()[i] = i ? PEER(i) : VA;
}

/* Bytes on the links that leave, or enter, the dies of a node */
static uint64_t port_bytes(uint32_t node, bool up)
{
	const struct snpu_topo *t = snpu_fabric_topo(snpu_machine_fabric(m));
	struct snpu_fabric_counters c;
	uint64_t sum = 0;
	uint32_t i, die;

	for (die = 0; die < t->dies; die++)
		for (i = 0; i < t->planes; i++) {
			uint32_t l = t->ep_up[snpu_topo_die(t, node, die) * t->planes + i];

			snpu_fabric_link_counters(snpu_machine_fabric(m),
						  up ? l : t->links[l].reverse, &c);
			CHECK(c.in == c.out + c.dropped, "node %u: %llu in, %llu out", node,
			      (unsigned long long)c.in, (unsigned long long)c.out);
			sum += c.in;
		}
	return sum;
}

static void amounts(bool in_switch)
{
	const uint64_t bytes = COUNT * 4;
	unsigned int i, k, bad = 0;
	int32_t *r;

	start(in_switch, NULL);
	all_ranks();
	CHECK_EQ(!!(snpu_npu_reg_read(d[0].npu, SNPU_REG_CAPS, 4) & SNPU_CAP_IN_SWITCH), in_switch);
	CHECK(snpu_npu_reg_read(d[0].npu, SNPU_REG_CAPS, 4) & SNPU_CAP_MULTI, "capability");
	put(SNPU_OP_REDUCE_PULL, NPUS, VA + (1u << 20) + 4096, COUNT);
	CHECK(t_drain(&q), "pull: error %u at 0x%llx", q.cpl->error,
	      (unsigned long long)q.cpl->fault_va);
	r = (int32_t *)(d[0].hbm + mem[0] + (1u << 20) + 4096);
	for (k = 0; k < COUNT; k++)
		bad += r[k] != (int32_t)(k * (1 + 2 + 3 + 4));
	CHECK(!bad, "%u elements wrong", bad);
	CHECK_EQ(port_bytes(0, true), in_switch ? bytes : 0);
	CHECK_EQ(port_bytes(0, false), in_switch ? bytes : 3 * bytes);
	for (i = 1; i < NPUS; i++) {
		CHECK_EQ(port_bytes(i, true), bytes);
		CHECK_EQ(port_bytes(i, false), 0);
		CHECK_EQ(snpu_fabric_bytes(snpu_machine_fabric(m), i, 0), bytes);
	}
	/* and out to the three others */
	for (i = 0; i < NPUS - 1; i++)
		list()[i] = PEER(i + 1) + (1u << 20);
	put(SNPU_OP_MULTICAST, NPUS - 1, VA + (1u << 20) + 4096, bytes);
	CHECK(t_drain(&q), "multicast: error %u at 0x%llx", q.cpl->error,
	      (unsigned long long)q.cpl->fault_va);
	for (i = 1; i < NPUS; i++) {
		CHECK(!memcmp(d[i].hbm + mem[i] + (1u << 20), r, bytes), "copy %u", i);
		CHECK_EQ(port_bytes(i, false), bytes);
		CHECK_EQ(port_bytes(i, true), bytes);
	}
	CHECK_EQ(port_bytes(0, true), in_switch ? 2 * bytes : 3 * bytes);
	end();
}

static void by_issuer(void)
{
	amounts(false);
}

static void by_switch(void)
{
	amounts(true);
}

/* One packet; its error, and where. The other queue goes on in any case */
static void fails(const char *what, uint8_t op, uint32_t num, unsigned int want, uint64_t where)
{
	struct t_queue other;

	put(op, num, VA + (1u << 20) + 4096, op == SNPU_OP_REDUCE_PULL ? 64 : 256);
	CHECK(!t_drain(&q), "%s: is no error", what);
	CHECK(q.cpl->error == want && q.cpl->fault_va == where,
	      "%s: error %u at 0x%llx, expected %u at 0x%llx", what, q.cpl->error,
	      (unsigned long long)q.cpl->fault_va, want, (unsigned long long)where);
	CHECK_EQ(q.cpl->completed, 0);
	CHECK_EQ(t_queue(&d[0], &other, 1, 1, root, 4, 1), SNPU_ADM_S_OK);
	t_nop(&other);
	t_ring(&other);
	CHECK(t_drain(&other), "%s: another queue stopped", what);
	CHECK_EQ(t_queue_op(&other, SNPU_ADM_QUEUE_DESTROY), SNPU_ADM_S_OK);
	CHECK_EQ(t_queue_op(&q, SNPU_ADM_QUEUE_DESTROY), SNPU_ADM_S_OK);
	CHECK_EQ(t_queue(&d[0], &q, 0, 1, root, 6, 1), SNPU_ADM_S_OK);
	all_ranks();
}

static void faults(void)
{
	static const uint8_t ops[] = { SNPU_OP_REDUCE_PULL, SNPU_OP_MULTICAST };
	struct snpu_fabric_fault plane = { SNPU_FABRIC_PLANE, 0, SNPU_PORT_DOWN, 0 };
	unsigned int i, sw;

	for (sw = 0; sw < 2; sw++)
		for (i = 0; i < 2; i++) {
			start(sw, NULL);
			all_ranks();
			list()[2] = 0x600000000000ull;
			fails("not mapped", ops[i], NPUS, SNPU_ERR_UNMAPPED, 0x600000000000ull);
			list()[3] = ~0ull;
			fails("no address", ops[i], NPUS, SNPU_ERR_FIELD, LIST + 24);
			list()[1] = PEER(1) + BYTES - 64;
			fails("beyond what is mapped", ops[i], NPUS, SNPU_ERR_UNMAPPED,
			      PEER(1) + BYTES);
			end();
		}
	/* each target has the last word */
	for (i = 0; i < 2; i++) {
		start(true, NULL);
		all_ranks();
		d[2].mb->seg_export.seg = 0;
		CHECK_EQ(t_admin(&d[2], SNPU_ADM_SEG_REVOKE), SNPU_ADM_S_OK);
		fails("revoked", ops[i], NPUS, SNPU_ERR_FABRIC, PEER(2));
		d[2].mb->seg_export = (struct snpu_adm_export){
			.access = SNPU_SEG_READ | SNPU_SEG_WRITE, .offset = mem[2], .bytes = BYTES,
			.token = TOKEN + 99 };
		CHECK_EQ(t_admin(&d[2], SNPU_ADM_SEG_EXPORT), SNPU_ADM_S_OK);
		fails("another token", ops[i], NPUS, SNPU_ERR_FABRIC, PEER(2));
		d[2].mb->seg_export.seg = 0;
		CHECK_EQ(t_admin(&d[2], SNPU_ADM_SEG_REVOKE), SNPU_ADM_S_OK);
		d[2].mb->seg_export = (struct snpu_adm_export){
			.access = i ? SNPU_SEG_READ : SNPU_SEG_WRITE, .offset = mem[2],
			.bytes = BYTES, .token = TOKEN + 2 };
		CHECK_EQ(t_admin(&d[2], SNPU_ADM_SEG_EXPORT), SNPU_ADM_S_OK);
		fails("no right", ops[i], NPUS, SNPU_ERR_FABRIC, PEER(2));
		end();
	}
	/* no plane is left: what would go over one fails */
	start(true, NULL);
	all_ranks();
	for (i = 0; i < snpu_fabric_topo(snpu_machine_fabric(m))->planes; i++) {
		plane.id = i;
		CHECK_EQ(snpu_fabric_set(snpu_machine_fabric(m), &plane), 0);
	}
	fails("no way", SNPU_OP_MULTICAST, NPUS, SNPU_ERR_FABRIC, VA);
	end();
}

/* A list that changes while it is used: what was read first counts, and nobody crashes */
static void racing_list(void)
{
	unsigned int i;

	start(true, NULL);
	for (i = 0; i < 30; i++) {
		struct t_queue r;

		all_ranks();
		CHECK_EQ(t_queue(&d[0], &r, 2, 1, root, 4, 1), SNPU_ADM_S_OK);
		q = r;
		put(SNPU_OP_REDUCE_PULL, NPUS, VA + (1u << 20) + 4096, COUNT);
		while (!snpu_load(&r.cpl->completed) && r.cpl->state != SNPU_QSTATE_FAULT) {
			((volatile uint64_t *)list())[1] = ~0ull;
			((volatile uint64_t *)list())[2] = 8;
			((volatile uint64_t *)list())[1] = PEER(1);
			((volatile uint64_t *)list())[2] = PEER(2);
		}
		CHECK(r.cpl->completed || r.cpl->error == SNPU_ERR_FIELD ||
		      r.cpl->error == SNPU_ERR_UNMAPPED, "error %u", r.cpl->error);
		CHECK_EQ(t_queue_op(&r, SNPU_ADM_QUEUE_DESTROY), SNPU_ADM_S_OK);
	}
	end();
}

static void report(const char *msg)
{
	printf("# %s\n", msg);
}

/* The log says which NPUs took part */
static void logged(void)
{
	char path[] = "/tmp/snpu-multi-XXXXXX", err[256];
	struct snpu_plog_rec *recs;
	struct snpu_plog_head head;
	struct snpu_plog *l;
	size_t n;
	int fd = mkstemp(path);

	CHECK(fd >= 0, "mkstemp");
	close(fd);
	l = snpu_plog_open(path, "test", report, err, sizeof(err));
	CHECK(l, "%s", err);
	start(true, l);
	all_ranks();
	put(SNPU_OP_REDUCE_PULL, 3, VA + (1u << 20) + 4096, COUNT);
	put(SNPU_OP_MULTICAST, 4, VA + (1u << 20) + 4096, 100);
	CHECK(t_drain(&q), "error %u", q.cpl->error);
	end();
	CHECK_EQ(snpu_plog_close(l), 0);
	CHECK_EQ(snpu_plog_read(path, &head, &recs, &n, err, sizeof(err)), 0);
	CHECK_EQ(n, 2);
	CHECK_EQ(recs[0].set[0], 7);
	CHECK_EQ(recs[0].arg, 3);
	CHECK_EQ(recs[0].bytes_read, COUNT * 12);
	CHECK_EQ(recs[0].bytes_written, COUNT * 4);
	CHECK_EQ(recs[1].set[0], 15);
	CHECK_EQ(recs[1].bytes_written, 400);
	CHECK_EQ(recs[1].sem_kind, SNPU_PLOG_SEM_NONE);
	free(recs);
	unlink(path);
}

int main(int argc, char **argv)
{
	static const struct t_case cases[] = {
		{ "by_issuer", by_issuer },
		{ "by_switch", by_switch },
		{ "faults", faults },
		{ "racing_list", racing_list },
		{ "logged", logged },
	};

	return t_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
}
