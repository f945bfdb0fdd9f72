// SPDX-License-Identifier: MIT
/*
 * PCI config space and the MSI-X table of one function.
 *
 * The client sizes the BARs by itself; what is written here is kept so that it reads back as from
 * hardware, and only writable bits change.
 *
 * Interrupts: a client may give eventfds for the vectors, as libsnpu does. QEMU 11.1 does that for
 * functions with MSI-X, too, but then it aborts when the function is unplugged: it takes down its
 * region of the pending bits after the BAR around it (vfio_user_pci_finalize()). It looks for
 * capabilities once, before it resets the function for the first time. Until that reset the
 * capability shows itself as a Null Capability, which any function may have; from then on it is
 * MSI-X, which the guest sees, and the function writes the messages itself, as hardware does.
 */
#include <string.h>

#include <linux/pci_regs.h>

#include "npu_priv.h"

#define CAP_PM		0x40
#define CAP_EXP		0x50
#define CAP_MSIX	0x90
#define EXT_DSN		0x100

#define EXP_BYTES	0x3c

/* Which bits of a 32-bit word software may change */
static uint32_t cfg_writable(const struct snpu_npu *n, uint32_t off)
{
	switch (off) {
	case PCI_COMMAND:
		return PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_PARITY |
		       PCI_COMMAND_SERR | PCI_COMMAND_INTX_DISABLE;
	case PCI_CACHE_LINE_SIZE:
		return 0x000000ff;
	case PCI_BASE_ADDRESS_0:
		return ~(SNPU_BAR_REGS_SIZE - 1);
	case PCI_BASE_ADDRESS_2:
		return (uint32_t)~(n->bar2_size - 1);
	case PCI_BASE_ADDRESS_3:
		return (uint32_t)(~(n->bar2_size - 1) >> 32);
	case PCI_BASE_ADDRESS_4:
		return ~(SNPU_BAR_MSIX_SIZE - 1);
	case PCI_INTERRUPT_LINE:
		return 0x000000ff;
	case CAP_PM + PCI_PM_CTRL:
		return PCI_PM_CTRL_STATE_MASK | PCI_PM_CTRL_PME_ENABLE;
	case CAP_EXP + PCI_EXP_DEVCTL:
		/* the FLR bit reads as zero: it is acted on, not kept */
		return 0x7fff;
	case CAP_EXP + PCI_EXP_LNKCTL:
		return PCI_EXP_LNKCTL_ASPMC | PCI_EXP_LNKCTL_RCB | PCI_EXP_LNKCTL_CCC |
		       PCI_EXP_LNKCTL_ES;
	case CAP_EXP + PCI_EXP_DEVCTL2:
		return PCI_EXP_DEVCTL2_COMP_TIMEOUT | PCI_EXP_DEVCTL2_COMP_TMOUT_DIS;
	case CAP_MSIX:
		return (uint32_t)(PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL) << 16;
	}
	return 0;
}

static void put16(uint8_t *c, uint32_t off, uint16_t v)
{
	memcpy(c + off, &v, 2);
}

static void put32(uint8_t *c, uint32_t off, uint32_t v)
{
	memcpy(c + off, &v, 4);
}

static void cfg_fill(struct snpu_npu *n)
{
	uint8_t *c = n->cfg;

	memset(c, 0, SNPU_CFG_BYTES);
	put16(c, PCI_VENDOR_ID, SNPU_PCI_VENDOR_ID);
	put16(c, PCI_DEVICE_ID, SNPU_PCI_DEVICE_ID);
	put16(c, PCI_STATUS, PCI_STATUS_CAP_LIST);
	put32(c, PCI_CLASS_REVISION, SNPU_PCI_CLASS << 8 | SNPU_ABI_MAJOR);
	put32(c, PCI_BASE_ADDRESS_0, PCI_BASE_ADDRESS_MEM_TYPE_32);
	put32(c, PCI_BASE_ADDRESS_2,
	      PCI_BASE_ADDRESS_MEM_TYPE_64 | PCI_BASE_ADDRESS_MEM_PREFETCH);
	put32(c, PCI_BASE_ADDRESS_4, PCI_BASE_ADDRESS_MEM_TYPE_32);
	put16(c, PCI_SUBSYSTEM_VENDOR_ID, SNPU_PCI_VENDOR_ID);
	put16(c, PCI_SUBSYSTEM_ID, 1);
	c[PCI_CAPABILITY_LIST] = CAP_PM;

	c[CAP_PM] = PCI_CAP_ID_PM;
	c[CAP_PM + 1] = CAP_EXP;
	put16(c, CAP_PM + PCI_PM_PMC, 3);
	put16(c, CAP_PM + PCI_PM_CTRL, PCI_PM_CTRL_NO_SOFT_RESET);

	c[CAP_EXP] = PCI_CAP_ID_EXP;
	c[CAP_EXP + 1] = CAP_MSIX;
	put16(c, CAP_EXP + PCI_EXP_FLAGS, 2 | PCI_EXP_TYPE_ENDPOINT << 4);
	put32(c, CAP_EXP + PCI_EXP_DEVCAP,
	      1 | PCI_EXP_DEVCAP_EXT_TAG | PCI_EXP_DEVCAP_RBER | PCI_EXP_DEVCAP_FLR);
	put16(c, CAP_EXP + PCI_EXP_DEVCTL, PCI_EXP_DEVCTL_RELAX_EN | PCI_EXP_DEVCTL_NOSNOOP_EN);
	put32(c, CAP_EXP + PCI_EXP_LNKCAP, PCI_EXP_LNKCAP_SLS_32_0GB | 16 << 4);
	put16(c, CAP_EXP + PCI_EXP_LNKSTA, PCI_EXP_LNKSTA_CLS_32_0GB | 16 << 4);
	put32(c, CAP_EXP + PCI_EXP_DEVCAP2, PCI_EXP_DEVCAP2_COMP_TMOUT_DIS);
	put32(c, CAP_EXP + PCI_EXP_LNKCAP2,
	      PCI_EXP_LNKCAP2_SLS_2_5GB | PCI_EXP_LNKCAP2_SLS_5_0GB | PCI_EXP_LNKCAP2_SLS_8_0GB |
	      PCI_EXP_LNKCAP2_SLS_16_0GB | PCI_EXP_LNKCAP2_SLS_32_0GB);
	put16(c, CAP_EXP + PCI_EXP_LNKCTL2, PCI_EXP_LNKCTL2_TLS_32_0GT);

	c[CAP_MSIX] = n->msix_shown ? PCI_CAP_ID_MSIX : 0;
	c[CAP_MSIX + 1] = 0;
	put16(c, CAP_MSIX + PCI_MSIX_FLAGS, SNPU_MSIX_VECTORS - 1);
	put32(c, CAP_MSIX + PCI_MSIX_TABLE, SNPU_BAR_MSIX);
	put32(c, CAP_MSIX + PCI_MSIX_PBA, SNPU_MSIX_PBA_OFFSET | SNPU_BAR_MSIX);

	put32(c, EXT_DSN, PCI_EXT_CAP_ID_DSN | 1 << 16);
	put32(c, EXT_DSN + 4, n->node + 1);
	put32(c, EXT_DSN + 8, SNPU_PCI_DEVICE_ID << 16);
}

void snpu_pci_init(struct snpu_npu *n)
{
	_Static_assert(CAP_EXP + EXP_BYTES <= CAP_MSIX, "capabilities overlap");
	snpu_pci_reset(n);
}

/* All vectors masked, as after a reset */
static void msix_fill(struct snpu_npu *n)
{
	unsigned int i;

	memset(n->msix, 0, SNPU_BAR_MSIX_SIZE);
	for (i = 0; i < SNPU_MSIX_VECTORS; i++)
		n->msix[i * PCI_MSIX_ENTRY_SIZE + PCI_MSIX_ENTRY_VECTOR_CTRL] =
			PCI_MSIX_ENTRY_CTRL_MASKBIT;
}

void snpu_npu_show_msix(struct snpu_npu *n, bool shown)
{
	pthread_mutex_lock(&n->cfg_lock);
	n->msix_shown = shown;
	n->cfg[CAP_MSIX] = shown ? PCI_CAP_ID_MSIX : 0;
	pthread_mutex_unlock(&n->cfg_lock);
}

static uint32_t msix_word(const struct snpu_npu *n, unsigned int vector, unsigned int off)
{
	uint32_t v;

	memcpy(&v, n->msix + vector * PCI_MSIX_ENTRY_SIZE + off, sizeof(v));
	return v;
}

/* @cfg_lock held. Whether a message of @vector may leave now; then *@msg is the message */
static bool msix_ready(const struct snpu_npu *n, unsigned int vector, struct snpu_msi *msg)
{
	const uint8_t flags = n->cfg[CAP_MSIX + PCI_MSIX_FLAGS + 1];

	if (!(flags & (PCI_MSIX_FLAGS_ENABLE >> 8)) || (flags & (PCI_MSIX_FLAGS_MASKALL >> 8)) ||
	    !(n->cfg[PCI_COMMAND] & PCI_COMMAND_MASTER) ||
	    (msix_word(n, vector, PCI_MSIX_ENTRY_VECTOR_CTRL) & PCI_MSIX_ENTRY_CTRL_MASKBIT))
		return false;
	msg->addr = msix_word(n, vector, PCI_MSIX_ENTRY_LOWER_ADDR) |
		    (uint64_t)msix_word(n, vector, PCI_MSIX_ENTRY_UPPER_ADDR) << 32;
	msg->data = msix_word(n, vector, PCI_MSIX_ENTRY_DATA);
	return true;
}

bool snpu_npu_msix_raise(struct snpu_npu *n, unsigned int vector, struct snpu_msi *msg)
{
	bool ready;

	pthread_mutex_lock(&n->cfg_lock);
	ready = msix_ready(n, vector, msg);
	if (!ready)
		n->msix[SNPU_MSIX_PBA_OFFSET + vector / 8] |= (uint8_t)(1u << vector % 8);
	pthread_mutex_unlock(&n->cfg_lock);
	return ready;
}

int snpu_npu_msix_pending(struct snpu_npu *n, struct snpu_msi *msg)
{
	int vector = -1;
	unsigned int i;

	pthread_mutex_lock(&n->cfg_lock);
	for (i = 0; i < SNPU_MSIX_VECTORS && vector < 0; i++) {
		uint8_t *pba = n->msix + SNPU_MSIX_PBA_OFFSET + i / 8;

		if (!(*pba >> i % 8 & 1) || !msix_ready(n, i, msg))
			continue;
		*pba &= (uint8_t)~(1u << i % 8);
		vector = (int)i;
	}
	pthread_mutex_unlock(&n->cfg_lock);
	return vector;
}

void snpu_pci_reset(struct snpu_npu *n)
{
	pthread_mutex_lock(&n->cfg_lock);
	cfg_fill(n);
	msix_fill(n);
	pthread_mutex_unlock(&n->cfg_lock);
}

void snpu_pci_mask(struct snpu_npu *n)
{
	pthread_mutex_lock(&n->cfg_lock);
	msix_fill(n);
	pthread_mutex_unlock(&n->cfg_lock);
}

void snpu_pci_connect(struct snpu_npu *n)
{
	pthread_mutex_lock(&n->cfg_lock);
	n->cmd_written = false;
	pthread_mutex_unlock(&n->cfg_lock);
}

/*
 * Some clients know no config space and never write the command register. Any client that does is
 * held to it from then on, resets included.
 */
bool snpu_pci_masters(struct snpu_npu *n)
{
	bool ret;

	pthread_mutex_lock(&n->cfg_lock);
	ret = !n->cmd_written || (n->cfg[PCI_COMMAND] & PCI_COMMAND_MASTER);
	pthread_mutex_unlock(&n->cfg_lock);
	return ret;
}

void snpu_npu_cfg_read(struct snpu_npu *n, uint64_t off, void *buf, size_t len)
{
	memset(buf, 0xff, len);
	if (off >= SNPU_CFG_BYTES)
		return;
	pthread_mutex_lock(&n->cfg_lock);
	memcpy(buf, n->cfg + off, (size_t)snpu_min64(len, SNPU_CFG_BYTES - off));
	pthread_mutex_unlock(&n->cfg_lock);
}

void snpu_npu_cfg_write(struct snpu_npu *n, uint64_t off, const void *buf, size_t len)
{
	const uint8_t *b = buf;
	bool flr = false, command = false;
	size_t i;

	pthread_mutex_lock(&n->cfg_lock);
	for (i = 0; i < len && off + i < SNPU_CFG_BYTES; i++) {
		uint32_t at = (uint32_t)(off + i);
		uint8_t mask = (uint8_t)(cfg_writable(n, at & ~3u) >> (at & 3) * 8);

		n->cfg[at] = (uint8_t)((n->cfg[at] & ~mask) | (b[i] & mask));
		command |= at == PCI_COMMAND;
		if (at == CAP_EXP + PCI_EXP_DEVCTL + 1 && (b[i] & (PCI_EXP_DEVCTL_BCR_FLR >> 8)))
			flr = true;
	}
	n->cmd_written |= command;
	pthread_mutex_unlock(&n->cfg_lock);
	if (command)
		snpu_npu_master_changed(n);
	if (flr)
		snpu_npu_reset(n);
}

void snpu_npu_msix_read(struct snpu_npu *n, uint64_t off, void *buf, size_t len)
{
	memset(buf, 0, len);
	if (off >= SNPU_BAR_MSIX_SIZE)
		return;
	pthread_mutex_lock(&n->cfg_lock);
	memcpy(buf, n->msix + off, (size_t)snpu_min64(len, SNPU_BAR_MSIX_SIZE - off));
	pthread_mutex_unlock(&n->cfg_lock);
}

void snpu_npu_msix_write(struct snpu_npu *n, uint64_t off, const void *buf, size_t len)
{
	const uint64_t end = (uint64_t)SNPU_MSIX_VECTORS * PCI_MSIX_ENTRY_SIZE;

	if (off >= end)
		return;
	pthread_mutex_lock(&n->cfg_lock);
	memcpy(n->msix + off, buf, (size_t)snpu_min64(len, end - off));
	pthread_mutex_unlock(&n->cfg_lock);
}
