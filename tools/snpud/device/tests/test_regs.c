// SPDX-License-Identifier: MIT
/*
 * Registers, config space, MSI-X table, arguments of the admin commands.
 */
#include "harness.h"

#include <linux/pci_regs.h>
#include <sched.h>
#include <stddef.h>
#include <string.h>

static struct snpu_machine *m;
static struct t_drv d;

static void start(void)
{
	m = t_machine(10, 1, NULL);
	t_drv_init(&d, m, 9);
}

static void end(void)
{
	t_drv_end(&d);
	t_machine_end(m);
}

static uint64_t r32(uint64_t off)
{
	return snpu_npu_reg_read(d.npu, off, 4);
}

static uint64_t r64(uint64_t off)
{
	return snpu_npu_reg_read(d.npu, off, 8);
}

static void identity(void)
{
	uint64_t name[4], t;
	unsigned int i;

	start();
	CHECK_EQ(r32(SNPU_REG_MAGIC), SNPU_MAGIC);
	CHECK_EQ(r32(SNPU_REG_VERSION), SNPU_ABI_MAJOR << 16 | SNPU_ABI_MINOR);
	CHECK_EQ(r32(SNPU_REG_NUM_QUEUES), 32);
	CHECK_EQ(r64(SNPU_REG_HBM_SIZE), 64u << 20);
	CHECK_EQ(r32(SNPU_REG_NODE_ID), 9);
	CHECK_EQ(r32(SNPU_REG_HOST_SLOT), 1 << 16 | 1);
	CHECK_EQ(r32(SNPU_REG_STATUS), SNPU_STATUS_READY);
	CHECK_EQ(r64(SNPU_REG_FLOPS_BF16), 100000000000000ull);
	CHECK_EQ(r64(SNPU_REG_FLOPS_FP32), 0);
	CHECK_EQ(r32(SNPU_REG_MACHINE_NPUS), 32);
	CHECK(r64(SNPU_REG_SERIAL) !=
	      snpu_npu_reg_read(snpu_machine_npu(m, 0), SNPU_REG_SERIAL, 8), "same serial");
	for (i = 0; i < 4; i++)
		name[i] = r64(SNPU_REG_PROFILE_NAME + i * 8);
	CHECK(!strcmp((char *)name, "test"), "%.32s", (char *)name);
	t = r64(SNPU_REG_TIME_NS);
	CHECK(t && r64(SNPU_REG_TIME_NS) >= t, "time goes back");
	/* wrong widths, unaligned, unlisted: zero, and no effect */
	CHECK_EQ(snpu_npu_reg_read(d.npu, SNPU_REG_MAGIC, 8), 0);
	CHECK_EQ(snpu_npu_reg_read(d.npu, SNPU_REG_MAGIC, 1), 0);
	CHECK_EQ(snpu_npu_reg_read(d.npu, SNPU_REG_HBM_SIZE, 4), 0);
	CHECK_EQ(snpu_npu_reg_read(d.npu, SNPU_REG_HBM_SIZE + 4, 8), 0);
	CHECK_EQ(snpu_npu_reg_read(d.npu, 0x800, 4), 0);
	CHECK_EQ(snpu_npu_reg_read(d.npu, SNPU_REG_RESET, 4), 0);
	t = r32(SNPU_REG_RESETS);
	snpu_npu_reg_write(d.npu, SNPU_REG_RESET, 4, 1);
	snpu_npu_reg_write(d.npu, SNPU_REG_RESET, 8, SNPU_RESET_MAGIC);
	snpu_npu_reg_write(d.npu, SNPU_REG_RESET, 2, SNPU_RESET_MAGIC);
	CHECK_EQ(r32(SNPU_REG_RESETS), t);
	snpu_npu_reg_write(d.npu, SNPU_REG_ADMIN_ADDR, 4, 64);
	CHECK(r64(SNPU_REG_ADMIN_ADDR) != 64, "32-bit write taken");
	end();
}

static void config_space(void)
{
	uint8_t c[SNPU_CFG_BYTES], ff[SNPU_CFG_BYTES], at;
	unsigned int i, seen = 0, n;
	uint32_t v;

	start();
	snpu_npu_show_msix(d.npu, true);
	snpu_npu_cfg_read(d.npu, 0, c, sizeof(c));
	CHECK_EQ(c[0] | c[1] << 8, SNPU_PCI_VENDOR_ID);
	CHECK_EQ(c[2] | c[3] << 8, SNPU_PCI_DEVICE_ID);
	CHECK_EQ(c[9] | c[10] << 8 | c[11] << 16, SNPU_PCI_CLASS);
	for (at = c[PCI_CAPABILITY_LIST], n = 0; at && n < 48; at = c[at + 1], n++) {
		if (c[at] == PCI_CAP_ID_MSIX) {
			seen |= 1;
			CHECK_EQ(c[at + 2] | c[at + 3] << 8, SNPU_MSIX_VECTORS - 1);
			memcpy(&v, c + at + 4, 4);
			CHECK_EQ(v, SNPU_BAR_MSIX);
		} else if (c[at] == PCI_CAP_ID_EXP) {
			seen |= 2;
			memcpy(&v, c + at + PCI_EXP_DEVCAP, 4);
			CHECK(v & PCI_EXP_DEVCAP_FLR, "no FLR");
		} else if (c[at] == PCI_CAP_ID_PM) {
			seen |= 4;
		}
	}
	CHECK_EQ(seen, 7);
	CHECK_EQ(n, 3);
	/* the register leaves config space alone, FLR does not */
	v = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	snpu_npu_cfg_write(d.npu, PCI_COMMAND, &v, 2);
	snpu_npu_reg_write(d.npu, SNPU_REG_RESET, 4, SNPU_RESET_MAGIC);
	v = 0;
	snpu_npu_cfg_read(d.npu, PCI_COMMAND, &v, 2);
	CHECK_EQ(v, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	v = PCI_EXP_DEVCTL_BCR_FLR;
	snpu_npu_cfg_write(d.npu, 0x50 + PCI_EXP_DEVCTL, &v, 2);
	v = 0xffff;
	snpu_npu_cfg_read(d.npu, PCI_COMMAND, &v, 2);
	CHECK_EQ(v & 0xffff, 0);
	snpu_npu_cfg_read(d.npu, 0x50 + PCI_EXP_DEVCTL, &v, 2);
	CHECK_EQ(v & PCI_EXP_DEVCTL_BCR_FLR, 0);
	/* all ones everywhere: identity and capabilities stay, BARs give their size */
	memset(ff, 0xff, sizeof(ff));
	snpu_npu_cfg_write(d.npu, 0x10, ff, 24);
	snpu_npu_cfg_read(d.npu, PCI_BASE_ADDRESS_0, &v, 4);
	CHECK_EQ(v, (uint32_t)-SNPU_BAR_REGS_SIZE);
	snpu_npu_cfg_read(d.npu, PCI_BASE_ADDRESS_2, &v, 4);
	CHECK_EQ(v, (uint32_t)-(64 << 20) | 0xc);
	snpu_npu_cfg_write(d.npu, 0, ff, sizeof(ff));
	snpu_npu_cfg_read(d.npu, 0, ff, 4);
	CHECK(!memcmp(ff, c, 4), "identity changed");
	/* beyond the end */
	snpu_npu_cfg_write(d.npu, SNPU_CFG_BYTES - 1, c, 4);
	snpu_npu_cfg_write(d.npu, ~0ull, c, 4);
	snpu_npu_cfg_read(d.npu, SNPU_CFG_BYTES - 1, ff, 4);
	CHECK_EQ(ff[1], 0xff);
	for (i = 0; i < SNPU_MSIX_VECTORS; i++) {
		v = 0;
		snpu_npu_msix_read(d.npu, i * 16 + 12, &v, 4);
		CHECK_EQ(v, 1);
	}
	v = 0x12345678;
	snpu_npu_msix_write(d.npu, 16, &v, 4);
	snpu_npu_msix_write(d.npu, SNPU_MSIX_PBA_OFFSET, &v, 4);
	snpu_npu_msix_write(d.npu, ~0ull, &v, 4);
	snpu_npu_msix_read(d.npu, 16, &v, 4);
	CHECK_EQ(v, 0x12345678);
	snpu_npu_msix_read(d.npu, SNPU_MSIX_PBA_OFFSET, &v, 4);
	CHECK_EQ(v, 0);
	end();
}

static uint8_t msix_cap(void)
{
	uint8_t c[256], at;

	snpu_npu_cfg_read(d.npu, 0, c, sizeof(c));
	for (at = c[PCI_CAPABILITY_LIST]; at && c[at] != PCI_CAP_ID_MSIX; at = c[at + 1])
		;
	return at;
}

static void table_write(unsigned int vector, unsigned int off, uint32_t v)
{
	snpu_npu_msix_write(d.npu, vector * PCI_MSIX_ENTRY_SIZE + off, &v, 4);
}

static uint32_t pending_bits(void)
{
	uint32_t v = 0;

	snpu_npu_msix_read(d.npu, SNPU_MSIX_PBA_OFFSET, &v, 4);
	return v;
}

/* What hardware does by itself: messages by the table, pending while masked in one of four ways */
static void msix(void)
{
	const uint16_t master = PCI_COMMAND_MASTER, none = 0;
	uint16_t on = PCI_MSIX_FLAGS_ENABLE, all = PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL;
	struct snpu_msi m = { 0 };
	uint8_t at;

	start();
	CHECK_EQ(msix_cap(), 0);
	snpu_npu_show_msix(d.npu, true);
	at = msix_cap();
	CHECK(at, "no MSI-X after it was shown");
	snpu_npu_reset(d.npu);
	CHECK_EQ(msix_cap(), at);

	table_write(16, PCI_MSIX_ENTRY_LOWER_ADDR, 0xfee01004);
	table_write(16, PCI_MSIX_ENTRY_UPPER_ADDR, 0x12);
	table_write(16, PCI_MSIX_ENTRY_DATA, 0x4321);
	CHECK(!snpu_npu_msix_raise(d.npu, 16, &m), "sent with MSI-X off");
	CHECK_EQ(pending_bits(), 1u << 16);
	snpu_npu_cfg_write(d.npu, at + PCI_MSIX_FLAGS, &all, 2);
	CHECK_EQ(snpu_npu_msix_pending(d.npu, &m), -1);
	snpu_npu_cfg_write(d.npu, at + PCI_MSIX_FLAGS, &on, 2);
	CHECK_EQ(snpu_npu_msix_pending(d.npu, &m), -1);
	table_write(16, PCI_MSIX_ENTRY_VECTOR_CTRL, 0);
	CHECK_EQ(snpu_npu_msix_pending(d.npu, &m), -1);
	snpu_npu_cfg_write(d.npu, PCI_COMMAND, &master, 2);
	CHECK_EQ(snpu_npu_msix_pending(d.npu, &m), 16);
	CHECK_EQ(m.addr, 0x12fee01004);
	CHECK_EQ(m.data, 0x4321);
	CHECK_EQ(pending_bits(), 0);
	CHECK_EQ(snpu_npu_msix_pending(d.npu, &m), -1);
	m.data = 0;
	CHECK(snpu_npu_msix_raise(d.npu, 16, &m), "not sent");
	CHECK_EQ(m.data, 0x4321);
	CHECK_EQ(pending_bits(), 0);
	snpu_npu_cfg_write(d.npu, PCI_COMMAND, &none, 2);
	CHECK(!snpu_npu_msix_raise(d.npu, 16, &m), "sent by a function that is no bus master");
	/* a reset forgets */
	snpu_npu_reset(d.npu);
	CHECK_EQ(pending_bits(), 0);
	end();
}

static uint32_t create(const struct snpu_queue_desc *q)
{
	d.mb->queue = *q;
	return t_admin(&d, SNPU_ADM_QUEUE_CREATE);
}

#define BAD_FIELD(f, val) do { \
	struct snpu_queue_desc q_ = good; \
	q_.f = (val); \
	CHECK_EQ(create(&q_), SNPU_ADM_S_BAD_ARG); \
	CHECK_EQ(d.data[0], 16 + offsetof(struct snpu_queue_desc, f)); \
} while (0)

static void set_master(bool on)
{
	uint16_t v = PCI_COMMAND_MEMORY | (on ? PCI_COMMAND_MASTER : 0);

	snpu_npu_cfg_write(d.npu, PCI_COMMAND, &v, sizeof(v));
}

/* A function that may not master the bus touches no host memory; others do not notice */
static void bus_master(void)
{
	const uint64_t va = 0x40000000, bytes = 1u << 20;
	struct snpu_queue_info info[4];
	struct t_queue q, victim, fresh;
	struct t_drv other;
	uint64_t root, host;
	unsigned int i;
	uint16_t flr = PCI_EXP_DEVCTL_BCR_FLR;

	start();
	t_drv_init(&other, m, 3);
	root = t_ctx(&other, 1);
	CHECK_EQ(t_queue(&other, &victim, 0, 1, root, 4, 1), SNPU_ADM_S_OK);
	root = t_ctx(&d, 1);
	host = t_host_alloc(&d, bytes, 4096);
	t_map(&d, root, va, bytes, T_LEAF_HOST(host));
	CHECK_EQ(t_queue(&d, &q, 0, 1, root, 8, 1), SNPU_ADM_S_OK);
	set_master(true);
	for (i = 0; i < 200; i++)
		t_copy(&q, va, va + bytes / 2, bytes / 2);
	t_ring(&q);
	CHECK(T_WAIT(snpu_load(&q.cpl->completed) > 2), "does not run");
	set_master(false);
	/* whatever is written from now on shows */
	memset(d.host.mem, 0x5a, T_HOST_BYTES);
	CHECK_EQ(t_admin(&d, SNPU_ADM_NOP), ~0u);
	t_nop(&victim);
	t_ring(&victim);
	CHECK(t_drain(&victim), "the other NPU");
	CHECK(T_WAIT(snpu_npu_get_queues(d.npu, info, 4) == 1 &&
		     info[0].state == SNPU_QSTATE_FAULT), "the queue goes on");
	CHECK_EQ(info[0].error, SNPU_ERR_BUS);
	memset(d.mb, 0x5a, sizeof(*d.mb));
	for (i = 0; i < T_HOST_BYTES && d.host.mem[i] == 0x5a; i++)
		;
	CHECK_EQ(i, T_HOST_BYTES);
	CHECK_EQ(d.host.irqs[0], 0);
	/* on again: commands work, the queue stays what it is, a new one runs */
	set_master(true);
	t_drv_setup(&d);
	CHECK_EQ(t_queue_op(&q, SNPU_ADM_QUEUE_DESTROY), SNPU_ADM_S_OK);
	CHECK_EQ(t_queue(&d, &fresh, 1, 1, root, 4, 1), SNPU_ADM_S_OK);
	t_nop(&fresh);
	t_ring(&fresh);
	CHECK(t_drain(&fresh), "a new queue");
	/* a function-level reset turns it off */
	snpu_npu_cfg_write(d.npu, 0x50 + PCI_EXP_DEVCTL, &flr, 2);
	t_drv_setup(&d);
	CHECK_EQ(t_admin(&d, SNPU_ADM_NOP), ~0u);
	t_drv_end(&other);
	end();
}

static void admin_arguments(void)
{
	struct snpu_queue_desc good = { .queue = 1, .ctx = 1, .ring_log2 = 4, .prio = 1,
					.vector = 1, .ring_va = 0x10000 };
	unsigned int op;

	start();
	t_ctx(&d, 1);
	good.cpl_addr = t_host_alloc(&d, 256, 128);
	d.mb->nonce = 0xfeedface;
	CHECK_EQ(t_admin(&d, SNPU_ADM_NOP), SNPU_ADM_S_OK);
	CHECK_EQ(d.data[0], 0xfeedface);
	CHECK_EQ(t_admin(&d, SNPU_ADM_OP_MAX + 1), SNPU_ADM_S_BAD_OP);
	CHECK_EQ(t_admin(&d, 0xffff), SNPU_ADM_S_BAD_OP);
	/* what needs SNPU_CAP_TIMING */
	CHECK_EQ(t_admin(&d, SNPU_ADM_VTIME), SNPU_ADM_S_BAD_OP);
	d.mb->port.plane = 7;
	CHECK_EQ(t_admin(&d, SNPU_ADM_FABRIC_PORT), SNPU_ADM_S_BAD_ARG);
	CHECK_EQ(d.data[0], 16);
	d.mb->port.die = 2;
	CHECK_EQ(t_admin(&d, SNPU_ADM_FABRIC_PORT), SNPU_ADM_S_BAD_ARG);
	CHECK_EQ(d.data[0], 20);
	d.mb->port.plane = 6;
	d.mb->port.die = 1;
	CHECK_EQ(t_admin(&d, SNPU_ADM_FABRIC_PORT), SNPU_ADM_S_OK);
	CHECK_EQ(d.data[0], SNPU_PORT_UP);
	CHECK_EQ(d.data[1] | d.data[2] | d.data[3], 0);
	CHECK_EQ(d.data[4], 100000000000ull / 14);
	for (op = 0; op < SNPU_ADM_VTIME; op++) {
		d.mb->flags = 1;
		CHECK_EQ(t_admin(&d, op), SNPU_ADM_S_BAD_ARG);
		CHECK_EQ(d.data[0], 2);
		d.mb->raw[13] = 1ull << 56;
		CHECK_EQ(t_admin(&d, op), SNPU_ADM_S_BAD_ARG);
		CHECK_EQ(d.data[0], 127);
		d.mb->rsvd = 1;
		CHECK_EQ(t_admin(&d, op), SNPU_ADM_S_BAD_ARG);
		CHECK_EQ(d.data[0], 8);
	}
	BAD_FIELD(queue, 32);
	BAD_FIELD(ctx, 0);
	BAD_FIELD(ctx, 16);
	BAD_FIELD(ring_va, 0x10020);
	BAD_FIELD(ring_va, (1ull << 48) - 64);
	BAD_FIELD(ring_va, 1ull << 63);
	BAD_FIELD(cpl_addr, good.cpl_addr + 64);
	BAD_FIELD(ring_log2, 3);
	BAD_FIELD(ring_log2, 17);
	BAD_FIELD(prio, 3);
	BAD_FIELD(vector, 17);
	BAD_FIELD(flags, 1);
	BAD_FIELD(rsvd[0], 1);
	BAD_FIELD(rsvd[3], 1ull << 63);
	good.ctx = 2;
	CHECK_EQ(create(&good), SNPU_ADM_S_NOENT);
	good.ctx = 1;
	good.cpl_addr = 0x80;
	CHECK_EQ(create(&good), SNPU_ADM_S_DMA);
	good.cpl_addr = T_HOST_IOVA + T_HOST_BYTES;
	CHECK_EQ(create(&good), SNPU_ADM_S_DMA);
	good.cpl_addr = t_host_alloc(&d, 256, 128);
	CHECK_EQ(create(&good), SNPU_ADM_S_OK);
	CHECK_EQ(create(&good), SNPU_ADM_S_EXIST);
	d.mb->ctx.ctx = 1;
	CHECK_EQ(t_admin(&d, SNPU_ADM_CTX_DESTROY), SNPU_ADM_S_BUSY);
	d.mb->ctx.ctx = 1;
	CHECK_EQ(t_admin(&d, SNPU_ADM_CTX_CREATE), SNPU_ADM_S_EXIST);
	d.mb->ctx.ctx = 2;
	d.mb->ctx.root = 4097;
	CHECK_EQ(t_admin(&d, SNPU_ADM_CTX_CREATE), SNPU_ADM_S_BAD_ARG);
	CHECK_EQ(d.data[0], 24);
	d.mb->ctx.ctx = 2;
	d.mb->ctx.root = 64u << 20;
	CHECK_EQ(t_admin(&d, SNPU_ADM_CTX_CREATE), SNPU_ADM_S_BAD_ARG);
	d.mb->qid = 2;
	CHECK_EQ(t_admin(&d, SNPU_ADM_QUEUE_SUSPEND), SNPU_ADM_S_NOENT);
	d.mb->qid = 32;
	CHECK_EQ(t_admin(&d, SNPU_ADM_QUEUE_RESUME), SNPU_ADM_S_BAD_ARG);
	/* a mailbox that nobody answers at */
	snpu_npu_reg_write(d.npu, SNPU_REG_ADMIN_ADDR, 8, 0x1000);
	CHECK_EQ(t_admin(&d, SNPU_ADM_NOP), ~0u);
	end();
}

static void scrub(void)
{
	uint64_t at;

	start();
	at = t_hbm_alloc(&d, 3 * 4096, 4096);
	memset(d.hbm + at, 1, 3 * 4096);
	d.mb->scrub.offset = at + 4096;
	d.mb->scrub.bytes = 4096;
	CHECK_EQ(t_admin(&d, SNPU_ADM_SCRUB), SNPU_ADM_S_OK);
	CHECK_EQ(d.hbm[at + 4095], 1);
	CHECK_EQ(d.hbm[at + 4096], 0);
	CHECK_EQ(d.hbm[at + 8191], 0);
	CHECK_EQ(d.hbm[at + 8192], 1);
	d.mb->scrub.offset = at;
	CHECK_EQ(t_admin(&d, SNPU_ADM_SCRUB), SNPU_ADM_S_BAD_ARG);
	CHECK_EQ(d.data[0], 24);
	d.mb->scrub.offset = 4096;
	d.mb->scrub.bytes = 64u << 20;
	CHECK_EQ(t_admin(&d, SNPU_ADM_SCRUB), SNPU_ADM_S_BAD_ARG);
	d.mb->scrub.bytes = 64u << 20;
	CHECK_EQ(t_admin(&d, SNPU_ADM_SCRUB), SNPU_ADM_S_OK);
	CHECK_EQ(d.hbm[at], 0);
	end();
}

/* Sparse memory: 384 NPUs of 128 GiB */
static void whole_machine(void)
{
	uint64_t t0 = snpu_clock_ns();
	struct snpu_machine_opts o = { .npus = 384 };
	struct snpu_profile *p;
	char err[256], line[128];
	long rss_kb = 0;
	FILE *f;

	p = snpu_profile_load("cm384", err, sizeof(err));
	CHECK(p, "%s", err);
	if (!p)
		return;
	o.profile = p;
	m = snpu_machine_create(&o, err, sizeof(err));
	CHECK(m, "%s", err);
	if (m) {
		f = fopen("/proc/self/status", "re");
		while (f && fgets(line, sizeof(line), f))
			sscanf(line, "VmRSS: %ld", &rss_kb);
		if (f)
			fclose(f);
		t0 = snpu_clock_ns() - t0;
		printf("# 384 NPUs in %.2f s, %ld MiB resident\n", (double)t0 / 1e9,
		       rss_kb / 1024);
		CHECK(t0 < 2000000000ull, "slow");
#if !defined(__SANITIZE_ADDRESS__)
		CHECK(rss_kb && rss_kb < 512 * 1024, "large");
#endif
		CHECK_EQ(snpu_npu_reg_read(snpu_machine_npu(m, 383), SNPU_REG_HOST_SLOT, 4),
			 47 << 16 | 7);
		snpu_machine_destroy(m);
	}
	snpu_profile_free(p);
}

int main(int argc, char **argv)
{
	static const struct t_case cases[] = {
		{ "identity", identity },
		{ "config_space", config_space },
		{ "bus_master", bus_master },
		{ "msix", msix },
		{ "admin_arguments", admin_arguments },
		{ "scrub", scrub },
		{ "whole_machine", whole_machine },
	};

	return t_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
}
