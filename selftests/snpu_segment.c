// SPDX-License-Identifier: GPL-2.0-only
/*
 * Segments: memory of one NPU that another reaches by number and token, or by name; who may, who may
 * not, and what remains when one end goes. Both ends are in this guest, but know nothing of each
 * other but the token: so it is between guests.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <kselftest_harness.h>

#include "snpu_util.h"

#define RW		(DRM_SNPU_SEG_READ | DRM_SNPU_SEG_WRITE)
#define CONTIG		(DRM_SNPU_BO_HBM | DRM_SNPU_BO_CONTIG)
#define MAX_SEGS	65536	/* more than any device has */

FIXTURE(seg) {
	struct snpu_client a;	/* exports, on NPU 0 */
	struct snpu_client b;	/* imports, on NPU 1 */
	struct snpu_queue q;	/* of b */
	struct snpu_queue other; /* of b, must never notice anything */
	struct snpu_buf mem;	/* of a */
	struct snpu_buf buf;	/* of b */
};

FIXTURE_SETUP(seg)
{
	SNPU_NEED_NPUS(2);
	ASSERT_EQ(0, snpu_client_open(&self->a, 0));
	ASSERT_EQ(0, snpu_client_open(&self->b, 1));
	ASSERT_EQ(0, snpu_buf_make(&self->a, &self->mem, SNPU_2M, CONTIG));
	ASSERT_EQ(0, snpu_buf_make(&self->b, &self->buf, SNPU_2M, DRM_SNPU_BO_HOST));
	ASSERT_EQ(0, snpu_queue_make(&self->b, &self->q, 6, SNPU_PRIO_NORMAL, false));
	ASSERT_EQ(0, snpu_queue_make(&self->b, &self->other, 4, SNPU_PRIO_NORMAL, false));
}

FIXTURE_TEARDOWN(seg)
{
	EXPECT_EQ(0, snpu_fill(&self->other, self->buf.va, 64, 1));
	snpu_queue_free(&self->other);
	snpu_queue_free(&self->q);
	snpu_buf_free(&self->buf);
	snpu_buf_free(&self->mem);
	snpu_client_close(&self->b);
	snpu_client_close(&self->a);
	EXPECT_EQ(0, snpu_works(0));
	EXPECT_EQ(0, snpu_works(1));
}

static int seg_export(int fd, uint32_t handle, uint32_t access, const char *name,
		      struct drm_snpu_seg_export *e)
{
	*e = (struct drm_snpu_seg_export){ .handle = handle, .access = access };
	if (name)
		memcpy(e->name, name, strnlen(name, sizeof(e->name)));
	return snpu_ioctl(fd, DRM_IOCTL_SNPU_SEG_EXPORT, e);
}

static int seg_revoke(int fd, uint32_t seg)
{
	struct drm_snpu_seg_revoke a = { .seg = seg };

	return snpu_ioctl(fd, DRM_IOCTL_SNPU_SEG_REVOKE, &a);
}

static int seg_lookup(int fd, const char *name, struct drm_snpu_seg_lookup *l)
{
	*l = (struct drm_snpu_seg_lookup){ 0 };
	memcpy(l->name, name, strnlen(name, sizeof(l->name)));
	return snpu_ioctl(fd, DRM_IOCTL_SNPU_SEG_LOOKUP, l);
}

static int seg_import(int fd, const struct drm_snpu_seg_export *e, struct drm_snpu_seg_import *i)
{
	*i = (struct drm_snpu_seg_import){ .node = e->node, .seg = e->seg, .token = e->token };
	return snpu_ioctl(fd, DRM_IOCTL_SNPU_SEG_IMPORT, i);
}

/* Imports and maps; the address, or 0 */
static uint64_t reach(struct snpu_client *c, const struct drm_snpu_seg_export *e, uint32_t access,
		      struct drm_snpu_seg_import *i)
{
	uint64_t va = snpu_va_alloc(c, SNPU_2M);
	int ret = seg_import(c->fd, e, i);

	if (ret) {
		snpu_diag("SEG_IMPORT of segment %u of node %u: expected 0, got %d", e->seg,
			  e->node, ret);
		return 0;
	}
	ret = snpu_map(c->fd, i->handle, 0, va, i->size, access);
	return ret ? 0 : va;
}

/* Bytes that the ports of a client's NPU have sent and received */
static int port_bytes(struct snpu_client *c, uint64_t *tx, uint64_t *rx)
{
	struct drm_snpu_port port[64];
	uint32_t n = (c->info.dies ?: 1) * c->info.planes;
	int ret;

	*tx = 0;
	*rx = 0;
	if (n > ARRAY_SIZE(port))
		return -E2BIG;
	ret = snpu_query(c->fd, DRM_SNPU_QUERY_PORTS, port, n * sizeof(*port));
	for (uint32_t i = 0; !ret && i < n; i++) {
		*tx += port[i].tx_bytes;
		*rx += port[i].rx_bytes;
	}
	return ret;
}

TEST_F_TIMEOUT(seg, roundtrip, SNPU_TEST_S)
{
	uint64_t tx[2], rx[2], far_tx[2], far_rx[2];
	struct drm_snpu_seg_export e;
	struct drm_snpu_seg_lookup l;
	struct drm_snpu_seg_import i;
	struct drm_snpu_bo_info info;
	uint64_t va;

	ASSERT_EQ(0, seg_export(self->a.fd, self->mem.handle, RW, "kself-roundtrip", &e));
	EXPECT_EQ(self->a.info.node_id, e.node);
	EXPECT_LT(0, e.seg);
	EXPECT_NE(0, e.token);
	ASSERT_EQ(0, seg_lookup(self->b.fd, "kself-roundtrip", &l));
	EXPECT_EQ(e.node, l.node);
	EXPECT_EQ(e.seg, l.seg);
	EXPECT_EQ(e.token, l.token);
	EXPECT_EQ(SNPU_2M, l.size);
	EXPECT_EQ(RW, l.access);
	va = reach(&self->b, &e, SNPU_RW, &i);
	ASSERT_NE(0, va);
	EXPECT_EQ(SNPU_2M, i.size);
	EXPECT_EQ(RW, i.access);
	info = (struct drm_snpu_bo_info){ .handle = i.handle };
	ASSERT_EQ(0, snpu_ioctl(self->b.fd, DRM_IOCTL_SNPU_BO_INFO, &info));
	EXPECT_EQ(DRM_SNPU_BO_SEGMENT, info.flags);
	EXPECT_EQ(e.node, info.node_id);
	EXPECT_EQ(SNPU_2M, info.size);
	EXPECT_EQ(0, info.mmap_offset);
	EXPECT_EQ(-EOPNOTSUPP, snpu_prime_export(self->b.fd, i.handle));

	/* there: seen by the exporter's CPU; and back */
	ASSERT_EQ(0, port_bytes(&self->b, &tx[0], &rx[0]));
	ASSERT_EQ(0, port_bytes(&self->a, &far_tx[0], &far_rx[0]));
	snpu_pattern(self->buf.map, SNPU_2M, 41);
	ASSERT_EQ(0, snpu_copy(&self->q, va, self->buf.va, SNPU_2M));
	EXPECT_EQ(0, snpu_cmp("at the far end", self->buf.map, self->mem.map, SNPU_2M));
	snpu_pattern(self->mem.map, SNPU_2M, 42);
	ASSERT_EQ(0, snpu_copy(&self->q, self->buf.va, va, SNPU_2M));
	EXPECT_EQ(0, snpu_cmp("and back", self->mem.map, self->buf.map, SNPU_2M));
	/* and the ports have counted both */
	ASSERT_EQ(0, port_bytes(&self->b, &tx[1], &rx[1]));
	ASSERT_EQ(0, port_bytes(&self->a, &far_tx[1], &far_rx[1]));
	EXPECT_LE(tx[0] + SNPU_2M, tx[1]);
	EXPECT_LE(rx[0] + SNPU_2M, rx[1]);
	EXPECT_LE(far_tx[0] + SNPU_2M, far_tx[1]);
	EXPECT_LE(far_rx[0] + SNPU_2M, far_rx[1]);
	EXPECT_EQ(0, snpu_bo_close(self->b.fd, i.handle));
	/* the mapping keeps the import */
	EXPECT_EQ(0, snpu_copy(&self->q, self->buf.va, va, SNPU_4K));
	EXPECT_EQ(0, snpu_unmap(self->b.fd, va, SNPU_2M));
	EXPECT_EQ(0, seg_revoke(self->a.fd, e.seg));
	EXPECT_EQ(-ENOENT, seg_revoke(self->a.fd, e.seg));
	EXPECT_EQ(-ENOENT, seg_lookup(self->b.fd, "kself-roundtrip", &l));
	EXPECT_EQ(-ENOENT, seg_import(self->b.fd, &e, &i));
}

/* A mapping of its own NPU's segment works as well */
TEST_F_TIMEOUT(seg, own_npu, SNPU_TEST_S)
{
	struct drm_snpu_seg_export e;
	struct drm_snpu_seg_import i;
	struct snpu_buf mem;
	uint64_t va;

	ASSERT_EQ(0, snpu_buf_make(&self->b, &mem, SNPU_2M, CONTIG));
	ASSERT_EQ(0, seg_export(self->b.fd, mem.handle, RW, NULL, &e));
	va = reach(&self->b, &e, SNPU_RW, &i);
	ASSERT_NE(0, va);
	ASSERT_EQ(0, snpu_fill(&self->q, va, SNPU_2M, 0x37));
	EXPECT_EQ(0, snpu_cmp_byte("own segment", 0x37, mem.map, SNPU_2M));
	EXPECT_EQ(0, seg_revoke(self->b.fd, e.seg));
	snpu_buf_free(&mem);
}

TEST_F_TIMEOUT(seg, bad_arguments, SNPU_TEST_S)
{
	static const char *const names[] = {
		"a b", " a", "a ", "\t", "a\x7f", "\xc3\xa4",
		"12345678901234567890123456789012345678901234567890123456",
	};
	struct drm_snpu_seg_revoke r = { .pad = 1 };
	struct drm_snpu_seg_export e, x;
	struct drm_snpu_seg_lookup l;
	struct drm_snpu_seg_import i;
	struct snpu_buf scattered;

	ASSERT_EQ(0, snpu_buf_make(&self->a, &scattered, SNPU_2M, DRM_SNPU_BO_HBM));
	for (size_t k = 0; k < ARRAY_SIZE(names); k++) {
		EXPECT_EQ(-EINVAL, seg_export(self->a.fd, self->mem.handle, RW, names[k], &e)) {
			TH_LOG("name %zu", k);
		}
		EXPECT_EQ(-EINVAL, seg_lookup(self->b.fd, names[k], &l)) {
			TH_LOG("name %zu", k);
		}
	}
	/* something behind the end of the name */
	e = (struct drm_snpu_seg_export){ .handle = self->mem.handle, .access = RW };
	e.name[0] = 'x';
	e.name[40] = 'y';
	EXPECT_EQ(-EINVAL, snpu_ioctl(self->a.fd, DRM_IOCTL_SNPU_SEG_EXPORT, &e));
	EXPECT_EQ(-EINVAL, seg_lookup(self->b.fd, "", &l));
	EXPECT_EQ(-EINVAL, seg_export(self->a.fd, self->mem.handle, 0, NULL, &e));
	EXPECT_EQ(-EINVAL, seg_export(self->a.fd, self->mem.handle, 4, NULL, &e));
	EXPECT_EQ(-EINVAL, seg_export(self->a.fd, self->mem.handle, ~0u, NULL, &e));
	EXPECT_EQ(-ENOENT, seg_export(self->a.fd, 0, RW, NULL, &e));
	EXPECT_EQ(-ENOENT, seg_export(self->a.fd, 12345, RW, NULL, &e));
	EXPECT_EQ(-EINVAL, seg_export(self->a.fd, scattered.handle, RW, NULL, &e));
	EXPECT_EQ(-EINVAL, seg_export(self->b.fd, self->buf.handle, RW, NULL, &e));
	EXPECT_EQ(-EINVAL, snpu_ioctl(self->a.fd, DRM_IOCTL_SNPU_SEG_REVOKE, &r));
	/* the driver's own, and what nobody has */
	EXPECT_EQ(-ENOENT, seg_revoke(self->a.fd, 0));
	EXPECT_EQ(-ENOENT, seg_revoke(self->a.fd, ~0u));
	EXPECT_EQ(-ENOENT, seg_lookup(self->b.fd, "kself-nobody", &l));

	ASSERT_EQ(0, seg_export(self->a.fd, self->mem.handle, RW, "kself-taken", &e));
	EXPECT_EQ(-EEXIST, seg_export(self->a.fd, self->mem.handle, RW, "kself-taken", &x));
	/* another client's segment is not mine to revoke */
	EXPECT_EQ(-ENOENT, seg_revoke(self->b.fd, e.seg));
	x = e;
	x.token ^= 1;
	EXPECT_EQ(-EACCES, seg_import(self->b.fd, &x, &i));
	x.token = 0;
	EXPECT_EQ(-EINVAL, seg_import(self->b.fd, &x, &i));
	x = e;
	x.seg = MAX_SEGS;
	EXPECT_EQ(-ENOENT, seg_import(self->b.fd, &x, &i));
	/* the driver's own segment, by a token that is right for another */
	x.seg = 0;
	EXPECT_EQ(-EACCES, seg_import(self->b.fd, &x, &i));
	x = e;
	x.node = 100000;
	EXPECT_EQ(-EHOSTUNREACH, seg_import(self->b.fd, &x, &i));
	/* a BO of an import is nothing to export */
	ASSERT_EQ(0, seg_import(self->b.fd, &e, &i));
	EXPECT_EQ(-EINVAL, seg_export(self->b.fd, i.handle, RW, NULL, &x));
	EXPECT_EQ(0, snpu_bo_close(self->b.fd, i.handle));
	EXPECT_EQ(0, seg_revoke(self->a.fd, e.seg));
	snpu_buf_free(&scattered);
}

/* VM_BIND gives no more than the exporter does */
TEST_F_TIMEOUT(seg, access, SNPU_TEST_S)
{
	for (uint32_t access = 1; access <= RW; access++) {
		struct drm_snpu_seg_export e;
		struct drm_snpu_seg_import i;

		ASSERT_EQ(0, seg_export(self->a.fd, self->mem.handle, access, NULL, &e));
		ASSERT_EQ(0, seg_import(self->b.fd, &e, &i));
		EXPECT_EQ(access, i.access);
		for (uint32_t want = 1; want <= SNPU_RW; want++) {
			uint64_t va = snpu_va_alloc(&self->b, SNPU_2M);
			struct drm_snpu_bind_op op = {
				.flags = want, .handle = i.handle, .va = va, .size = SNPU_2M,
			};

			EXPECT_EQ(want & ~access ? -EACCES : 0,
				  snpu_bind(self->b.fd, &op, 1, NULL)) {
				TH_LOG("access %u of a segment with %u", want, access);
			}
		}
		EXPECT_EQ(0, snpu_bo_close(self->b.fd, i.handle));
		EXPECT_EQ(0, seg_revoke(self->a.fd, e.seg));
	}
}

/* Packets without end on one side, the end of the export on the other */
static int revoked_under_traffic(FIXTURE_DATA(seg) *self)
{
	struct drm_snpu_seg_export e;
	struct drm_snpu_seg_import i;
	struct snpu_queue q;
	union snpu_pkt pkt;
	uint64_t va;
	int ret;

	ret = seg_export(self->a.fd, self->mem.handle, RW, NULL, &e);
	if (ret)
		return ret;
	va = reach(&self->b, &e, SNPU_RW, &i);
	if (!va)
		return -EPROTO;
	ret = snpu_queue_make(&self->b, &q, 10, SNPU_PRIO_NORMAL, false);
	if (ret)
		return ret;
	pkt = snpu_pkt_fill(va, SNPU_2M, 0x99);
	for (int k = 0; k < 1000; k++)
		snpu_put(&q, &pkt);
	ret = snpu_ring(&q);
	ret = ret ?: snpu_wait(&q, 1);
	ret = ret ?: seg_revoke(self->a.fd, e.seg);
	/* from here on the memory is the exporter's alone */
	memset(self->mem.map, 0x11, SNPU_2M);
	if (q.cpl->completed < 1000)
		ret = ret ?: snpu_want_fault(&q, SNPU_ERR_FABRIC, ~0ull, ~0ull);
	ret = ret ?: snpu_cmp_byte("after the revocation", 0x11, self->mem.map, SNPU_2M);
	snpu_queue_free(&q);
	snpu_bo_close(self->b.fd, i.handle);
	snpu_unmap(self->b.fd, va, SNPU_2M);
	return ret;
}

TEST_F_TIMEOUT(seg, revoke_under_traffic, SNPU_TEST_S)
{
	for (int k = 0; k < 20; k++)
		ASSERT_EQ(0, revoked_under_traffic(self));
}

/* A token is good for one export only, and a number that is used again does not revive an import */
TEST_F_TIMEOUT(seg, stale_import, SNPU_TEST_S)
{
	struct drm_snpu_seg_export e, again;
	struct drm_snpu_seg_import i;
	union snpu_pkt pkt;
	uint64_t va;

	ASSERT_EQ(0, seg_export(self->a.fd, self->mem.handle, RW, NULL, &e));
	va = reach(&self->b, &e, SNPU_RW, &i);
	ASSERT_NE(0, va);
	ASSERT_EQ(0, seg_revoke(self->a.fd, e.seg));
	ASSERT_EQ(0, seg_export(self->a.fd, self->mem.handle, RW, NULL, &again));
	EXPECT_NE(e.token, again.token);
	memset(self->mem.map, 0x22, SNPU_2M);
	pkt = snpu_pkt_fill(va + 64, 64, 0x99);
	snpu_put(&self->q, &pkt);
	ASSERT_EQ(0, snpu_ring(&self->q));
	EXPECT_EQ(0, snpu_want_fault(&self->q, SNPU_ERR_FABRIC, 0, va + 64));
	EXPECT_EQ(0, snpu_cmp_byte("not written", 0x22, self->mem.map, SNPU_2M));
	EXPECT_EQ(0, seg_revoke(self->a.fd, again.seg));
}

/* The export keeps the memory, without handle and mapping; closing the file ends it */
TEST_F_TIMEOUT(seg, outlives_handle, SNPU_TEST_S)
{
	struct drm_snpu_memory_info before, kept, after;
	struct drm_snpu_seg_export e;
	struct drm_snpu_seg_import i;
	struct snpu_client c;
	union snpu_pkt pkt;
	uint32_t handle;
	uint64_t va;

	ASSERT_EQ(0, snpu_client_open(&c, 0));
	ASSERT_EQ(0, snpu_query(self->a.fd, DRM_SNPU_QUERY_MEMORY, &before, sizeof(before)));
	ASSERT_EQ(0, snpu_bo_create(c.fd, SNPU_2M, CONTIG, &handle, NULL));
	ASSERT_EQ(0, seg_export(c.fd, handle, RW, "kself-kept", &e));
	ASSERT_EQ(0, snpu_bo_close(c.fd, handle));
	ASSERT_EQ(0, snpu_query(self->a.fd, DRM_SNPU_QUERY_MEMORY, &kept, sizeof(kept)));
	EXPECT_LE(kept.hbm_free + SNPU_2M, before.hbm_free);
	va = reach(&self->b, &e, SNPU_RW, &i);
	ASSERT_NE(0, va);
	ASSERT_EQ(0, snpu_copy(&self->q, va, self->buf.va, SNPU_2M));
	snpu_client_close(&c);
	ASSERT_EQ(0, snpu_query(self->a.fd, DRM_SNPU_QUERY_MEMORY, &after, sizeof(after)));
	EXPECT_LE(before.hbm_free, after.hbm_free);
	pkt = snpu_pkt_copy(self->buf.va, va, SNPU_4K);
	snpu_put(&self->q, &pkt);
	ASSERT_EQ(0, snpu_ring(&self->q));
	EXPECT_EQ(0, snpu_want_fault(&self->q, SNPU_ERR_FABRIC, 1, va));
}

static int exporter(struct snpu_proc *p, void *arg)
{
	(void)arg;
	struct drm_snpu_seg_export e;
	struct snpu_client c;
	uint32_t handle, seg;
	uint64_t word;
	int ret;

	ret = snpu_client_open(&c, 0);
	ret = ret ?: snpu_bo_create(c.fd, SNPU_2M, CONTIG, &handle, NULL);
	ret = ret ?: seg_export(c.fd, handle, RW, "kself-killed", &e);
	seg = e.seg;
	ret = ret ?: snpu_say(p, seg);
	/* until it is killed */
	return ret ?: snpu_hear(p, &word);
}

/* The owner dies without a word: name and memory go, who still uses it is told */
TEST_F_TIMEOUT(seg, owner_killed, SNPU_TEST_S)
{
	struct drm_snpu_seg_export e = { 0 };
	struct drm_snpu_seg_lookup l;
	struct drm_snpu_seg_import i;
	struct snpu_proc p;
	union snpu_pkt pkt;
	uint64_t va, seg;

	ASSERT_EQ(0, snpu_proc_start(&p, exporter, NULL));
	ASSERT_EQ(0, snpu_hear(&p, &seg));
	ASSERT_EQ(0, seg_lookup(self->b.fd, "kself-killed", &l));
	EXPECT_EQ(seg, l.seg);
	e.node = l.node;
	e.seg = l.seg;
	e.token = l.token;
	va = reach(&self->b, &e, SNPU_RW, &i);
	ASSERT_NE(0, va);
	ASSERT_EQ(0, snpu_copy(&self->q, va, self->buf.va, SNPU_2M));
	ASSERT_EQ(0, snpu_proc_kill(&p));
	EXPECT_EQ(-ENOENT, seg_lookup(self->b.fd, "kself-killed", &l));
	EXPECT_EQ(-ENOENT, seg_import(self->b.fd, &e, &i));
	pkt = snpu_pkt_fill(va, SNPU_4K, 1);
	snpu_put(&self->q, &pkt);
	ASSERT_EQ(0, snpu_ring(&self->q));
	EXPECT_EQ(0, snpu_want_fault(&self->q, SNPU_ERR_FABRIC, 1, va));
}

/* All that one client gets, twice: the second time shows that all came back */
TEST_F_TIMEOUT(seg, slots_used_up, SNPU_TEST_S)
{
	struct drm_snpu_seg_export e, *all;
	unsigned int n, first = 0;
	struct snpu_client c;
	uint32_t handle;
	int ret = 0;

	all = calloc(MAX_SEGS, sizeof(*all));
	ASSERT_NE(NULL, all);
	for (int round = 0; round < 2; round++) {
		struct drm_snpu_seg_import i;
		uint32_t *imported;

		ASSERT_EQ(0, snpu_client_open(&c, 0));
		ASSERT_EQ(0, snpu_bo_create(c.fd, SNPU_4K, CONTIG, &handle, NULL));
		for (n = 0; n < MAX_SEGS; n++) {
			ret = seg_export(c.fd, handle, RW, NULL, &all[n]);
			if (ret)
				break;
		}
		EXPECT_EQ(-EMFILE, ret);
		EXPECT_LT(8, n);
		if (!round)
			first = n;
		EXPECT_EQ(first, n);
		/* one back, one more */
		EXPECT_EQ(0, seg_revoke(c.fd, all[0].seg));
		EXPECT_EQ(0, seg_export(c.fd, handle, RW, NULL, &all[0]));
		EXPECT_EQ(-EMFILE, seg_export(c.fd, handle, RW, NULL, &e));
		/* each wants an import slot of its own; the same one twice does not */
		imported = calloc(n, sizeof(*imported));
		ASSERT_NE(NULL, imported);
		for (unsigned int k = 0; k < n; k++) {
			ret = seg_import(self->b.fd, &all[k], &i);
			if (ret)
				break;
			imported[k] = i.handle;
			EXPECT_EQ(0, seg_import(self->b.fd, &all[k], &i));
			EXPECT_EQ(0, snpu_bo_close(self->b.fd, i.handle));
		}
		EXPECT_TRUE(!ret || ret == -EMFILE) {
			TH_LOG("SEG_IMPORT: got %d", ret);
		}
		for (unsigned int k = 0; k < n && imported[k]; k++)
			EXPECT_EQ(0, snpu_bo_close(self->b.fd, imported[k]));
		free(imported);
		snpu_client_close(&c);
	}
	snpu_diag("%u segments", first);
	free(all);
}

/* Exports, or imports what @from names, until there is no more for it; how many, and why no more */
static unsigned int take(struct snpu_client *c, uint32_t handle, struct drm_snpu_seg_export *to,
			 const struct drm_snpu_seg_export *from, unsigned int max, int *why)
{
	struct drm_snpu_seg_import i;
	unsigned int n;

	for (n = 0; n < max; n++) {
		*why = from ? seg_import(c->fd, &from[n], &i) :
			      seg_export(c->fd, handle, RW, NULL, &to[n]);
		if (*why)
			break;
	}
	return n;
}

/* Who takes all that is there for one leaves an eighth, of exports and of imports, to others */
TEST_F_TIMEOUT(seg, share, SNPU_TEST_S)
{
	struct drm_snpu_seg_export *all, e;
	struct drm_snpu_seg_import i;
	unsigned int n, late, total, m = 0, nx = 0;
	struct snpu_client c[4], x[16];
	uint32_t handle[4], h;
	int why = 0;

	all = calloc(MAX_SEGS, sizeof(*all));
	ASSERT_NE(NULL, all);
	for (size_t k = 0; k < ARRAY_SIZE(c); k++) {
		ASSERT_EQ(0, snpu_client_open(&c[k], k < 2 ? 0 : 1));
		ASSERT_EQ(0, snpu_bo_create(c[k].fd, SNPU_4K, CONTIG, &handle[k], NULL));
	}
	n = take(&c[0], handle[0], all, NULL, MAX_SEGS, &why);
	EXPECT_EQ(-EMFILE, why);
	late = take(&c[1], handle[1], all + n, NULL, MAX_SEGS - n, &why);
	EXPECT_EQ(-ENOSPC, why);
	snpu_diag("%u segments for the first client, %u for one that comes late", n, late);
	EXPECT_LT(0, late);
	EXPECT_LE(n, 8 * late);
	EXPECT_GE(n, 6 * late);
	EXPECT_EQ(-ENOSPC, seg_export(c[0].fd, handle[0], RW, NULL, &e));

	/* the same for import slots; those that the first has cost the other nothing */
	for (total = n + late, why = 0; ; nx++) {
		m += take(&c[2], 0, NULL, all + m, total - m, &why);
		if (why)
			break;
		/* an NPU has more of these than another has segments: a third one helps */
		ASSERT_GT(ARRAY_SIZE(x), nx);
		SNPU_NEED_NPUS(nx + 3);
		ASSERT_EQ(0, snpu_client_open(&x[nx], nx + 2));
		ASSERT_EQ(0, snpu_bo_create(x[nx].fd, SNPU_4K, CONTIG, &h, NULL));
		total += take(&x[nx], h, all + total, NULL, MAX_SEGS - total, &why);
		EXPECT_EQ(-EMFILE, why);
		why = 0;
	}
	snpu_diag("%u import slots for a client", m);
	EXPECT_EQ(-EMFILE, why);
	ASSERT_LE(m + 2, total);
	EXPECT_EQ(0, seg_import(c[3].fd, &all[0], &i));
	EXPECT_EQ(0, seg_import(c[3].fd, &all[total - 1], &i));
	/* what it has already it may have again */
	EXPECT_EQ(0, seg_import(c[2].fd, &all[0], &i));
	EXPECT_EQ(-EMFILE, seg_import(c[2].fd, &all[total - 2], &i));
	/* a slot counts as long as somebody uses it: this gives none back */
	snpu_client_close(&c[3]);
	EXPECT_EQ(0, seg_import(c[2].fd, &all[1], &i));
	snpu_client_close(&c[2]);
	EXPECT_EQ(0, seg_import(self->b.fd, &all[total - 2], &i));
	EXPECT_EQ(0, snpu_bo_close(self->b.fd, i.handle));
	while (nx)
		snpu_client_close(&x[--nx]);

	/* room that the late one gives back is not for the first */
	snpu_client_close(&c[1]);
	EXPECT_EQ(-EMFILE, seg_export(c[0].fd, handle[0], RW, NULL, &e));
	ASSERT_EQ(0, seg_revoke(c[0].fd, all[n - 1].seg));
	EXPECT_EQ(0, seg_export(c[0].fd, handle[0], RW, NULL, &e));
	snpu_client_close(&c[0]);
	free(all);
}

/* ---- the exporter's NPU goes ----------------------------------------------------------------- */

static int reset(unsigned int index)
{
	char pci[32], path[160];
	int ret = snpu_pci_name(index, pci, sizeof(pci));

	if (ret)
		return ret;
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/reset", pci);
	return snpu_write_file(path, "1");
}

TEST_F_TIMEOUT(seg, exporter_reset, SNPU_TEST_S)
{
	struct drm_snpu_seg_export e, again;
	struct drm_snpu_seg_lookup l;
	struct drm_snpu_seg_import i;
	union snpu_pkt pkt;
	uint64_t va;

	ASSERT_EQ(0, seg_export(self->a.fd, self->mem.handle, RW, "kself-reset", &e));
	va = reach(&self->b, &e, SNPU_RW, &i);
	ASSERT_NE(0, va);
	ASSERT_EQ(0, snpu_copy(&self->q, va, self->buf.va, SNPU_4K));
	ASSERT_EQ(0, reset(0));
	/* the segment went with the reset: exactly the queue that uses it is told */
	pkt = snpu_pkt_fill(va + SNPU_4K, 64, 1);
	snpu_put(&self->q, &pkt);
	ASSERT_EQ(0, snpu_ring(&self->q));
	EXPECT_EQ(0, snpu_want_fault(&self->q, SNPU_ERR_FABRIC, 1, va + SNPU_4K));
	EXPECT_EQ(0, snpu_fill(&self->other, self->buf.va, 64, 7));
	EXPECT_EQ(-ENOENT, seg_lookup(self->b.fd, "kself-reset", &l));
	EXPECT_EQ(-ENOENT, seg_import(self->b.fd, &e, &i));
	/* the number still is the owner's, who learns it now, once */
	EXPECT_EQ(-ESTALE, seg_revoke(self->a.fd, e.seg));
	EXPECT_EQ(-ENOENT, seg_revoke(self->a.fd, e.seg));
	/* the file, the BO and the name are good for another */
	ASSERT_EQ(0, seg_export(self->a.fd, self->mem.handle, RW, "kself-reset", &again));
	snpu_queue_free(&self->q);
	ASSERT_EQ(0, snpu_queue_make(&self->b, &self->q, 6, SNPU_PRIO_NORMAL, false));
	va = reach(&self->b, &again, SNPU_RW, &i);
	ASSERT_NE(0, va);
	ASSERT_EQ(0, snpu_copy(&self->q, va, self->buf.va, SNPU_4K));
	EXPECT_EQ(0, snpu_cmp("the new segment", self->buf.map, self->mem.map, SNPU_4K));
	EXPECT_EQ(0, seg_revoke(self->a.fd, again.seg));
}

/* Imports are the driver's to restore */
TEST_F_TIMEOUT(seg, importer_reset, SNPU_TEST_S)
{
	struct drm_snpu_seg_export e;
	struct drm_snpu_seg_import i;
	uint64_t va;

	ASSERT_EQ(0, seg_export(self->a.fd, self->mem.handle, RW, NULL, &e));
	va = reach(&self->b, &e, SNPU_RW, &i);
	ASSERT_NE(0, va);
	ASSERT_EQ(0, snpu_copy(&self->q, va, self->buf.va, SNPU_4K));
	ASSERT_EQ(0, reset(1));
	snpu_queue_free(&self->q);
	snpu_queue_free(&self->other);
	ASSERT_EQ(0, snpu_queue_make(&self->b, &self->q, 6, SNPU_PRIO_NORMAL, false));
	ASSERT_EQ(0, snpu_queue_make(&self->b, &self->other, 4, SNPU_PRIO_NORMAL, false));
	snpu_pattern(self->buf.map, SNPU_2M, 43);
	ASSERT_EQ(0, snpu_copy(&self->q, va, self->buf.va, SNPU_2M));
	EXPECT_EQ(0, snpu_cmp("by the import of before", self->buf.map, self->mem.map, SNPU_2M));
	EXPECT_EQ(0, seg_revoke(self->a.fd, e.seg));
}

TEST_F_TIMEOUT(seg, exporter_unbound, SNPU_TEST_S)
{
	uint64_t end = snpu_now_ms() + SNPU_WAIT_MS;
	struct drm_snpu_seg_export e;
	struct drm_snpu_seg_import i;
	union snpu_pkt pkt;
	unsigned int count;
	char pci[32];
	uint64_t va;
	int fd, ret;

	/* who is bound has a number; the others move up meanwhile */
	count = snpu_count();
	ASSERT_EQ(0, snpu_pci_name(0, pci, sizeof(pci)));
	ASSERT_EQ(0, seg_export(self->a.fd, self->mem.handle, RW, NULL, &e));
	va = reach(&self->b, &e, SNPU_RW, &i);
	ASSERT_NE(0, va);
	ASSERT_EQ(0, snpu_copy(&self->q, va, self->buf.va, SNPU_4K));
	ASSERT_EQ(0, snpu_write_file("/sys/bus/pci/drivers/snpu/unbind", pci));
	pkt = snpu_pkt_fill(va, 64, 1);
	snpu_put(&self->q, &pkt);
	ASSERT_EQ(0, snpu_ring(&self->q));
	EXPECT_EQ(0, snpu_want_fault(&self->q, SNPU_ERR_FABRIC, 1, va));
	EXPECT_EQ(-ENODEV, seg_revoke(self->a.fd, e.seg));
	ret = seg_import(self->b.fd, &e, &i);
	EXPECT_TRUE(ret == -ENOENT || ret == -EHOSTUNREACH) {
		TH_LOG("SEG_IMPORT from an NPU without driver: got %d", ret);
	}
	ASSERT_EQ(0, snpu_write_file("/sys/bus/pci/drivers/snpu/bind", pci));
	do {
		fd = snpu_count() == count ? snpu_open(0) : -ENODEV;
	} while (fd < 0 && !sched_yield() && snpu_now_ms() < end);
	ASSERT_LE(0, fd);
	close(fd);
}

/* ---- threads of one file --------------------------------------------------------------------- */

/* Processes that share the file race for the same few numbers: nothing is lost or given twice */
static int racer(struct snpu_proc *p, void *arg)
{
	struct snpu_buf *b = arg;
	struct drm_snpu_seg_export e;
	int ret = 0;

	(void)p;
	for (int k = 0; k < 200 && !ret; k++) {
		ret = seg_export(b->c->fd, b->handle, RW, k % 2 ? "kself-race" : NULL, &e);
		if (ret == -EEXIST && k % 2) {
			ret = 0;
			continue;
		}
		/* somebody else may have hit it, guessing */
		ret = ret ?: seg_revoke(b->c->fd, e.seg);
		if (ret == -ENOENT)
			ret = 0;
		seg_revoke(b->c->fd, 1 + k % 8);
	}
	return ret;
}

TEST_F_TIMEOUT(seg, race, SNPU_TEST_S)
{
	struct drm_snpu_seg_lookup l;
	struct snpu_proc p[4];

	for (size_t k = 0; k < ARRAY_SIZE(p); k++)
		ASSERT_EQ(0, snpu_proc_start(&p[k], racer, &self->mem));
	for (size_t k = 0; k < ARRAY_SIZE(p); k++)
		EXPECT_EQ(0, snpu_proc_end(&p[k]));
	EXPECT_EQ(-ENOENT, seg_lookup(self->b.fd, "kself-race", &l));
}

TEST_HARNESS_MAIN
