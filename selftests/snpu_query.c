// SPDX-License-Identifier: GPL-2.0-only
/*
 * DEV_QUERY, and the rules that hold for every ioctl: sizes, pointers, numbers.
 */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <kselftest_harness.h>

#include "snpu_util.h"

FIXTURE(query) {
	struct snpu_client c;
};

FIXTURE_SETUP(query)
{
	ASSERT_EQ(0, snpu_client_open(&self->c, 0));
}

FIXTURE_TEARDOWN(query)
{
	snpu_client_close(&self->c);
}

static int query(int fd, uint32_t type, uint64_t pointer, uint32_t *size)
{
	struct drm_snpu_dev_query q = { .type = type, .size = *size, .pointer = pointer };
	int ret = snpu_ioctl(fd, DRM_IOCTL_SNPU_DEV_QUERY, &q);

	*size = q.size;
	return ret;
}

TEST_F_TIMEOUT(query, device, SNPU_TEST_S)
{
	struct drm_snpu_device_info *i = &self->c.info;

	EXPECT_EQ(SNPU_ABI_MAJOR, i->hw_version >> 16);
	EXPECT_NE(0, i->hbm_bytes);
	EXPECT_EQ(0, i->hbm_bytes % SNPU_4K);
	EXPECT_LT(0, i->num_queues);
	EXPECT_GE(SNPU_MAX_QUEUES, i->num_queues);
	EXPECT_LT(0, i->max_queues_client);
	EXPECT_EQ(SNPU_RING_LOG2_MIN, i->ring_log2_min);
	EXPECT_EQ(SNPU_RING_LOG2_MAX, i->ring_log2_max);
	EXPECT_LT(i->va_start, i->va_end);
	EXPECT_LT(0, i->va_start);
	EXPECT_GE(1ull << SNPU_VA_BITS, i->va_end);
	EXPECT_EQ(0, (i->va_start | i->va_end) % SNPU_4K);
	EXPECT_LE(-1, i->numa_node);
	EXPECT_LT(0, i->hang_ms);
	EXPECT_LT(0, i->machine_npus);
	EXPECT_EQ('\0', i->profile[sizeof(i->profile) - 1]);
	EXPECT_NE('\0', i->profile[0]);
	EXPECT_LT(0, i->flops_bf16);
	EXPECT_LT(0, i->hbm_bw);
}

TEST_F_TIMEOUT(query, devices_differ, SNPU_TEST_S)
{
	struct snpu_client other;

	SNPU_NEED_NPUS(2);
	ASSERT_EQ(0, snpu_client_open(&other, 1));
	EXPECT_NE(self->c.info.serial, other.info.serial);
	EXPECT_NE(self->c.info.node_id, other.info.node_id);
	EXPECT_NE(self->c.info.host_slot, other.info.host_slot);
	snpu_client_close(&other);
}

TEST_F_TIMEOUT(query, sizes, SNPU_TEST_S)
{
	static const struct {
		uint32_t type;
		uint32_t size;
	} known[] = {
		{ DRM_SNPU_QUERY_DEVICE, sizeof(struct drm_snpu_device_info) },
		{ DRM_SNPU_QUERY_MEMORY, sizeof(struct drm_snpu_memory_info) },
		{ DRM_SNPU_QUERY_COUNTERS, sizeof(struct drm_snpu_counters) },
	};
	uint8_t buf[512];
	uint32_t size;

	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		uint32_t type = known[i].type, full = known[i].size;

		/* only the size is asked for, whatever the size given */
		size = 0;
		EXPECT_EQ(0, query(self->c.fd, type, 0, &size));
		EXPECT_EQ(full, size);
		size = ~0u;
		EXPECT_EQ(0, query(self->c.fd, type, 0, &size));
		EXPECT_EQ(full, size);

		/* a short buffer gets the first part and nothing behind it */
		for (uint32_t cut = 0; cut < full; cut += 7) {
			memset(buf, 0xa5, sizeof(buf));
			size = cut;
			EXPECT_EQ(0, query(self->c.fd, type, (uintptr_t)buf, &size));
			EXPECT_EQ(full, size);
			EXPECT_EQ(0, snpu_cmp_byte("behind the buffer", 0xa5, buf + cut,
						   sizeof(buf) - cut)) {
				TH_LOG("type %u, %u of %u bytes", type, cut, full);
			}
		}
		/* a long one is fine too */
		memset(buf, 0xa5, sizeof(buf));
		size = sizeof(buf);
		EXPECT_EQ(0, query(self->c.fd, type, (uintptr_t)buf, &size));
		EXPECT_EQ(full, size);
	}
}

TEST_F_TIMEOUT(query, short_is_prefix, SNPU_TEST_S)
{
	uint8_t whole[sizeof(struct drm_snpu_device_info)], part[sizeof(whole)];
	uint32_t size = sizeof(whole);

	ASSERT_EQ(0, query(self->c.fd, DRM_SNPU_QUERY_DEVICE, (uintptr_t)whole, &size));
	size = 50;
	ASSERT_EQ(0, query(self->c.fd, DRM_SNPU_QUERY_DEVICE, (uintptr_t)part, &size));
	EXPECT_EQ(0, snpu_cmp("first 50 bytes", whole, part, 50));
}

TEST_F_TIMEOUT(query, bad_type, SNPU_TEST_S)
{
	static const uint32_t bad[] = { 5, 6, 0x80000000, 0xffffffff };
	uint8_t buf[512];

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		uint32_t size = sizeof(buf);

		EXPECT_EQ(-EINVAL, query(self->c.fd, bad[i], (uintptr_t)buf, &size)) {
			TH_LOG("type %#x", bad[i]);
		}
		size = 0;
		EXPECT_EQ(-EINVAL, query(self->c.fd, bad[i], 0, &size)) {
			TH_LOG("type %#x, pointer 0", bad[i]);
		}
	}
}

TEST_F_TIMEOUT(query, bad_pointer, SNPU_TEST_S)
{
	static const uint64_t bad[] = { 8, ~0ull, ~0ull - 4095, 0xffff800000000000ull };
	void *page;

	page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, page);
	ASSERT_EQ(0, mprotect(page + 4096, 4096, PROT_NONE));
	for (uint32_t type = DRM_SNPU_QUERY_DEVICE; type <= DRM_SNPU_QUERY_PEERS; type++) {
		uint32_t size;

		/* the empty list of an NPU that is alone touches no pointer */
		if (type == DRM_SNPU_QUERY_PEERS && snpu_count() == 1)
			continue;
		for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
			size = 32;
			EXPECT_EQ(-EFAULT, query(self->c.fd, type, bad[i], &size)) {
				TH_LOG("type %u, pointer %#llx", type, (unsigned long long)bad[i]);
			}
		}
		/* the last bytes do not fit */
		size = 32;
		EXPECT_EQ(-EFAULT, query(self->c.fd, type, (uintptr_t)page + 4096 - 8, &size)) {
			TH_LOG("type %u, 8 bytes before the end", type);
		}
	}
	/* read-only */
	ASSERT_EQ(0, mprotect(page, 4096, PROT_READ));
	uint32_t size = 32;

	EXPECT_EQ(-EFAULT, query(self->c.fd, DRM_SNPU_QUERY_MEMORY, (uintptr_t)page, &size));
	/* the argument itself */
	EXPECT_EQ(-EFAULT, snpu_ioctl(self->c.fd, DRM_IOCTL_SNPU_DEV_QUERY, (void *)8));
	EXPECT_EQ(-EFAULT, snpu_ioctl(self->c.fd, DRM_IOCTL_SNPU_BO_CREATE, NULL));
	EXPECT_EQ(-EFAULT, snpu_ioctl(self->c.fd, DRM_IOCTL_SNPU_VM_BIND, page + 4096));
	munmap(page, 8192);
}

TEST_F_TIMEOUT(query, memory, SNPU_TEST_S)
{
	struct drm_snpu_memory_info before, with, after;
	uint32_t hbm, host;

	ASSERT_EQ(0, snpu_query(self->c.fd, DRM_SNPU_QUERY_MEMORY, &before, sizeof(before)));
	EXPECT_LT(0, before.hbm_total);
	EXPECT_GE(self->c.info.hbm_bytes, before.hbm_total);
	EXPECT_GE(before.hbm_total, before.hbm_free);
	EXPECT_EQ(0, before.client_hbm);
	EXPECT_EQ(0, before.client_host);

	ASSERT_EQ(0, snpu_bo_create(self->c.fd, 64ull << 20, DRM_SNPU_BO_HBM, &hbm, NULL));
	ASSERT_EQ(0, snpu_bo_create(self->c.fd, 12345, DRM_SNPU_BO_HOST, &host, NULL));
	ASSERT_EQ(0, snpu_query(self->c.fd, DRM_SNPU_QUERY_MEMORY, &with, sizeof(with)));
	EXPECT_EQ(before.hbm_total, with.hbm_total);
	EXPECT_EQ(before.hbm_free - (64ull << 20), with.hbm_free);
	EXPECT_EQ(64ull << 20, with.client_hbm);
	EXPECT_EQ(16384, with.client_host);

	EXPECT_EQ(0, snpu_bo_close(self->c.fd, hbm));
	EXPECT_EQ(0, snpu_bo_close(self->c.fd, host));
	ASSERT_EQ(0, snpu_query(self->c.fd, DRM_SNPU_QUERY_MEMORY, &after, sizeof(after)));
	EXPECT_EQ(before.hbm_free, after.hbm_free);
	EXPECT_EQ(0, after.client_hbm);
	EXPECT_EQ(0, after.client_host);
}

/* The counters are the NPU's, not the client's, and move by what a client does */
TEST_F_TIMEOUT(query, counters, SNPU_TEST_S)
{
	struct drm_snpu_counters before, after;
	struct snpu_buf buf;
	struct snpu_queue q;

	ASSERT_EQ(0, snpu_buf_make(&self->c, &buf, 2 << 20, DRM_SNPU_BO_HBM));
	ASSERT_EQ(0, snpu_queue_make(&self->c, &q, 4, SNPU_PRIO_NORMAL, false));
	ASSERT_EQ(0, snpu_query(self->c.fd, DRM_SNPU_QUERY_COUNTERS, &before, sizeof(before)));
	ASSERT_EQ(0, snpu_copy(&q, buf.va + (1 << 20), buf.va, 1 << 20));
	ASSERT_EQ(0, snpu_query(self->c.fd, DRM_SNPU_QUERY_COUNTERS, &after, sizeof(after)));
	EXPECT_EQ(before.packets + 1, after.packets);
	EXPECT_EQ(before.bytes_read + (1 << 20), after.bytes_read);
	EXPECT_EQ(before.bytes_written + (1 << 20), after.bytes_written);
	EXPECT_EQ(before.faults, after.faults);
	EXPECT_LE(before.busy_ns, after.busy_ns);
	EXPECT_LT(before.time_ns, after.time_ns);
	EXPECT_EQ(before.resets, after.resets);
	EXPECT_EQ(before.queue_resets, after.queue_resets);

	union snpu_pkt bad = snpu_pkt_copy(SNPU_NOWHERE, buf.va, 64);

	snpu_put(&q, &bad);
	ASSERT_EQ(0, snpu_ring(&q));
	ASSERT_EQ(0, snpu_want_fault(&q, SNPU_ERR_UNMAPPED, 1, SNPU_NOWHERE));
	ASSERT_EQ(0, snpu_query(self->c.fd, DRM_SNPU_QUERY_COUNTERS, &after, sizeof(after)));
	EXPECT_EQ(before.faults + 1, after.faults);
	snpu_queue_free(&q);
	snpu_buf_free(&buf);
}

TEST_F_TIMEOUT(query, peers, SNPU_TEST_S)
{
	struct drm_snpu_peer peer[256];
	unsigned int n = snpu_count(), found = 0;
	uint32_t size = 0;

	SNPU_NEED_NPUS(2);
	ASSERT_LE(n, ARRAY_SIZE(peer));
	ASSERT_EQ(0, query(self->c.fd, DRM_SNPU_QUERY_PEERS, 0, &size));
	EXPECT_EQ((n - 1) * sizeof(peer[0]), size);
	memset(peer, 0xa5, sizeof(peer));
	size = sizeof(peer);
	ASSERT_EQ(0, query(self->c.fd, DRM_SNPU_QUERY_PEERS, (uintptr_t)peer, &size));
	ASSERT_EQ((n - 1) * sizeof(peer[0]), size);

	for (unsigned int i = 1; i < n; i++) {
		unsigned int domain, bus, dev, fn, minor, hits = 0;
		char pci[32], accel[32];
		struct snpu_client c;

		ASSERT_EQ(0, snpu_pci_name(i, pci, sizeof(pci)));
		ASSERT_EQ(0, snpu_accel_name(i, accel, sizeof(accel)));
		ASSERT_EQ(4, sscanf(pci, "%x:%x:%x.%x", &domain, &bus, &dev, &fn));
		ASSERT_EQ(1, sscanf(accel, "accel%u", &minor));
		ASSERT_EQ(0, snpu_client_open(&c, i));
		for (unsigned int k = 0; k < n - 1; k++) {
			if (peer[k].node_id != c.info.node_id)
				continue;
			hits++;
			EXPECT_EQ(minor, peer[k].minor);
			EXPECT_EQ(domain, peer[k].pci_domain);
			EXPECT_EQ(bus << 8 | dev << 3 | fn, peer[k].pci_bdf);
		}
		EXPECT_EQ(1, hits) {
			TH_LOG("NPU %u (%s), node %u", i, pci, c.info.node_id);
		}
		found += hits;
		snpu_client_close(&c);
	}
	EXPECT_EQ(n - 1, found);

	/* a short buffer gets the first elements, and a part of one */
	struct drm_snpu_peer part[2];

	memset(part, 0xa5, sizeof(part));
	size = sizeof(part[0]) + 4;
	ASSERT_EQ(0, query(self->c.fd, DRM_SNPU_QUERY_PEERS, (uintptr_t)part, &size));
	EXPECT_EQ((n - 1) * sizeof(peer[0]), size);
	EXPECT_EQ(0, snpu_cmp("first peer", &peer[0], &part[0], sizeof(part[0])));
	EXPECT_EQ(0, snpu_cmp_byte("behind the buffer", 0xa5, (uint8_t *)part + 20,
				   sizeof(part) - 20));
}

/*
 * Structs that grow. The number of an ioctl carries the size: a shorter struct is taken as if
 * zero-filled, a longer one only if what the kernel does not know is zero.
 */
#define RESIZED(req, bytes) _IOC(_IOC_READ | _IOC_WRITE, DRM_IOCTL_BASE, _IOC_NR(req), bytes)

/* What sysfs says of the PCI device is what the ioctl says */
TEST_F_TIMEOUT(query, sysfs, SNPU_TEST_S)
{
	static const char *const name[] = {
		"serial", "node_id", "profile", "hbm_bytes", "port_events",
	};
	char pci[32], path[128], text[64], want[64];

	ASSERT_EQ(0, snpu_pci_name(0, pci, sizeof(pci)));
	for (size_t i = 0; i < ARRAY_SIZE(name); i++) {
		snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/%s", pci, name[i]);
		ASSERT_LT(0, snpu_read_file(path, text, sizeof(text))) {
			TH_LOG("%s", path);
		}
		text[strcspn(text, "\n")] = '\0';
		switch (i) {
		case 0:
			snprintf(want, sizeof(want), "%016llx",
				 (unsigned long long)self->c.info.serial);
			break;
		case 1:
			snprintf(want, sizeof(want), "%u", self->c.info.node_id);
			break;
		case 2:
			snprintf(want, sizeof(want), "%.31s", self->c.info.profile);
			break;
		case 3:
			snprintf(want, sizeof(want), "%llu",
				 (unsigned long long)self->c.info.hbm_bytes);
			break;
		default:
			/* nobody breaks links here */
			snprintf(want, sizeof(want), "0");
			break;
		}
		EXPECT_STREQ(want, text);
	}
}

/* One port for each die and plane */
TEST_F_TIMEOUT(query, ports, SNPU_TEST_S)
{
	uint32_t dies = self->c.info.dies ?: 1, n = dies * self->c.info.planes;
	struct drm_snpu_port *p = calloc(n + 2, sizeof(*p));
	uint32_t size = 0;
	int ret;

	ASSERT_NE(NULL, p);
	ASSERT_EQ(0, query(self->c.fd, DRM_SNPU_QUERY_PORTS, 0, &size));
	EXPECT_EQ(n * sizeof(*p), size);
	memset(p, 0xa5, (n + 2) * sizeof(*p));
	size = (n + 1) * sizeof(*p);
	ret = query(self->c.fd, DRM_SNPU_QUERY_PORTS, (uintptr_t)p, &size);
	ASSERT_EQ(0, ret);
	EXPECT_EQ(n * sizeof(*p), size);
	EXPECT_EQ(0, snpu_cmp_byte("behind the ports", 0xa5, p + n, 2 * sizeof(*p)));
	for (uint32_t i = 0; i < n; i++) {
		EXPECT_EQ(i / self->c.info.planes, p[i].die);
		EXPECT_EQ(i % self->c.info.planes, p[i].plane);
		EXPECT_EQ(SNPU_PORT_UP, p[i].state);
		EXPECT_LT(0, p[i].rate);
		EXPECT_EQ(0, p[i].pad);
	}
	/* a buffer for one and a half */
	memset(p, 0xa5, (n + 2) * sizeof(*p));
	size = sizeof(*p) * 3 / 2;
	ASSERT_EQ(0, query(self->c.fd, DRM_SNPU_QUERY_PORTS, (uintptr_t)p, &size));
	EXPECT_EQ(n * sizeof(*p), size);
	EXPECT_EQ(0, snpu_cmp_byte("behind one and a half", 0xa5, (uint8_t *)p + sizeof(*p) * 3 / 2,
				   sizeof(*p) / 2));
	free(p);
}

TEST_F_TIMEOUT(query, short_struct, SNPU_TEST_S)
{
	struct drm_snpu_dev_query q = { .type = DRM_SNPU_QUERY_MEMORY };
	struct {
		struct drm_snpu_bo_create a;
		uint64_t guard;
	} bo = { .a = { .size = 4096, .flags = DRM_SNPU_BO_HOST, .mmap_offset = 0xa5a5 } };

	/* without the pointer: only the size */
	EXPECT_EQ(0, snpu_ioctl(self->c.fd, RESIZED(DRM_IOCTL_SNPU_DEV_QUERY, 8), &q));
	EXPECT_EQ(sizeof(struct drm_snpu_memory_info), q.size);
	/* without the offset: it is not written */
	EXPECT_EQ(0, snpu_ioctl(self->c.fd, RESIZED(DRM_IOCTL_SNPU_BO_CREATE, 16), &bo.a));
	EXPECT_NE(0, bo.a.handle);
	EXPECT_EQ(0xa5a5, bo.a.mmap_offset);
	EXPECT_EQ(0, snpu_bo_close(self->c.fd, bo.a.handle));
	/* without the flags: they are 0, which is refused */
	EXPECT_EQ(-EINVAL, snpu_ioctl(self->c.fd, RESIZED(DRM_IOCTL_SNPU_BO_CREATE, 8), &bo.a));
}

TEST_F_TIMEOUT(query, long_struct, SNPU_TEST_S)
{
	struct {
		union {
			struct drm_snpu_dev_query query;
			struct drm_snpu_bo_create create;
			struct drm_snpu_bo_info info;
			struct drm_snpu_vm_bind bind;
			struct drm_snpu_queue_create qcreate;
			struct drm_snpu_queue_destroy qdestroy;
			struct drm_snpu_queue_query qquery;
			struct drm_snpu_queue_ctrl qctrl;
			struct drm_snpu_queue_signal qsignal;
			struct drm_snpu_queue_wait qwait;
			struct drm_snpu_seg_export sexport;
			struct drm_snpu_seg_revoke srevoke;
			struct drm_snpu_seg_lookup slookup;
			struct drm_snpu_seg_import simport;
			struct drm_snpu_queue_vtime qvtime;
			uint8_t raw[128];
		};
	} a;
	static const struct {
		unsigned long req;
		const char *name;
		int plain;	/* what an all-zero struct gives */
	} req[] = {
		{ DRM_IOCTL_SNPU_DEV_QUERY, "DEV_QUERY", 0 },
		{ DRM_IOCTL_SNPU_BO_CREATE, "BO_CREATE", -EINVAL },
		{ DRM_IOCTL_SNPU_BO_INFO, "BO_INFO", -ENOENT },
		{ DRM_IOCTL_SNPU_QUEUE_CREATE, "QUEUE_CREATE", -EINVAL },
		{ DRM_IOCTL_SNPU_QUEUE_DESTROY, "QUEUE_DESTROY", -ENOENT },
		{ DRM_IOCTL_SNPU_QUEUE_QUERY, "QUEUE_QUERY", -ENOENT },
		{ DRM_IOCTL_SNPU_QUEUE_CTRL, "QUEUE_CTRL", -ENOENT },
		{ DRM_IOCTL_SNPU_QUEUE_SIGNAL, "QUEUE_SIGNAL", -ENOENT },
		{ DRM_IOCTL_SNPU_QUEUE_WAIT, "QUEUE_WAIT", -ENOENT },
		{ DRM_IOCTL_SNPU_SEG_EXPORT, "SEG_EXPORT", -EINVAL },
		{ DRM_IOCTL_SNPU_SEG_REVOKE, "SEG_REVOKE", -ENOENT },
		{ DRM_IOCTL_SNPU_SEG_LOOKUP, "SEG_LOOKUP", -EINVAL },
		{ DRM_IOCTL_SNPU_SEG_IMPORT, "SEG_IMPORT", -EINVAL },
		{ DRM_IOCTL_SNPU_QUEUE_VTIME, "QUEUE_VTIME", -EINVAL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(req); i++) {
		size_t known = _IOC_SIZE(req[i].req);

		memset(&a, 0, sizeof(a));
		EXPECT_EQ(req[i].plain, snpu_ioctl(self->c.fd, RESIZED(req[i].req, 128), &a)) {
			TH_LOG("%s of 128 bytes, all zero", req[i].name);
		}
		for (size_t at = known; at < sizeof(a.raw); at += 19) {
			memset(&a, 0, sizeof(a));
			a.raw[at] = 1;
			EXPECT_EQ(-E2BIG, snpu_ioctl(self->c.fd, RESIZED(req[i].req, 128), &a)) {
				TH_LOG("%s of 128 bytes, byte %zu not zero", req[i].name, at);
			}
		}
		memset(&a, 0, sizeof(a));
		a.raw[127] = 0x80;
		EXPECT_EQ(-E2BIG, snpu_ioctl(self->c.fd, RESIZED(req[i].req, 128), &a)) {
			TH_LOG("%s of 128 bytes, last byte not zero", req[i].name);
		}
	}
}

TEST_F_TIMEOUT(query, unknown_ioctl, SNPU_TEST_S)
{
	uint64_t a[16] = { 0 };

	for (unsigned int nr = DRM_SNPU_QUEUE_VTIME + 1; nr < 0x60; nr++) {
		int ret = snpu_ioctl(self->c.fd, _IOC(_IOC_READ | _IOC_WRITE, DRM_IOCTL_BASE,
						      DRM_COMMAND_BASE + nr, 64), a);

		EXPECT_TRUE(ret == -EINVAL || ret == -ENOTTY) {
			TH_LOG("ioctl %#x: expected -EINVAL or -ENOTTY, got %d", nr, ret);
		}
	}
}

TEST_F_TIMEOUT(query, closed_file, SNPU_TEST_S)
{
	struct drm_snpu_memory_info m;
	struct drm_snpu_dev_query q = {
		.type = DRM_SNPU_QUERY_MEMORY, .size = sizeof(m), .pointer = (uintptr_t)&m,
	};
	int fd = dup(self->c.fd);

	ASSERT_LE(0, fd);
	EXPECT_EQ(0, snpu_ioctl(fd, DRM_IOCTL_SNPU_DEV_QUERY, &q));
	close(fd);
	EXPECT_EQ(-EBADF, snpu_ioctl(fd, DRM_IOCTL_SNPU_DEV_QUERY, &q));
}

TEST_HARNESS_MAIN
