// SPDX-License-Identifier: MIT
/*
 * Fabric segments. The importer only names (node, segment, token); the target's export slot is what
 * decides, on every access.
 *
 * Slots are published with a release store of @valid and withdrawn by clearing it; snpu_quiesce()
 * then waits for accesses in flight. The tables of one NPU are changed under its lock.
 */
#include <errno.h>
#include <stdlib.h>

#include "fabric/fabric.h"
#include "npu_priv.h"

/**
 * snpu_fabric_resolve() - one access through an import slot
 * @n: importer
 * @slot: import slot, from a page-table entry
 * @off: offset in the segment
 * @write: kind of access
 * @target: receives the exporter
 * @hbm_off: receives the offset in its HBM
 * @run: bytes wanted; cut to the end of the segment
 *
 * Return: SNPU_ERR_*. Context: worker in a section.
 */
unsigned int snpu_fabric_resolve(struct snpu_npu *n, uint32_t slot, uint64_t off, bool write,
				 struct snpu_npu **target, uint64_t *hbm_off, uint64_t *run)
{
	const struct snpu_import *imports = snpu_load_acq(&n->imports);
	const struct snpu_export *exports, *e;
	const struct snpu_import *i;
	struct snpu_npu *t;

	if (!imports || slot >= n->num_imports)
		return SNPU_ERR_FABRIC;
	i = &imports[slot];
	if (!snpu_load_acq(&i->valid))
		return SNPU_ERR_FABRIC;
	t = snpu_machine_node(n->m, i->node);
	if (!t || !(snpu_load(&t->status) & SNPU_STATUS_READY))
		return SNPU_ERR_FABRIC;
	exports = snpu_load_acq(&t->exports);
	if (!exports || i->seg >= t->num_segs)
		return SNPU_ERR_FABRIC;
	e = &exports[i->seg];
	if (!snpu_load_acq(&e->valid) || e->token != i->token ||
	    !(e->access & (write ? SNPU_SEG_WRITE : SNPU_SEG_READ)) || off >= e->bytes)
		return SNPU_ERR_FABRIC;
	*target = t;
	*hbm_off = e->offset + off;
	*run = snpu_min64(*run, e->bytes - off);
	return SNPU_ERR_NONE;
}

int snpu_fabric_export(struct snpu_npu *n, const struct snpu_adm_export *a)
{
	struct snpu_export *e;

	if (!n->exports) {
		e = calloc(n->num_segs, sizeof(*e));
		if (!e)
			return -ENOMEM;
		snpu_store_rel(&n->exports, e);
	}
	e = &n->exports[a->seg];
	if (e->valid)
		return -EEXIST;
	e->access = a->access;
	e->offset = a->offset;
	e->bytes = a->bytes;
	e->token = a->token;
	snpu_store_rel(&e->valid, 1);
	return 0;
}

int snpu_fabric_query(struct snpu_npu *n, uint32_t node, uint32_t seg, const uint64_t *token,
		      struct snpu_export *out)
{
	const struct snpu_export *exports, *e;
	struct snpu_npu *t = snpu_machine_node(n->m, node);

	if (!t || !(snpu_load(&t->status) & SNPU_STATUS_READY))
		return -EHOSTUNREACH;
	if (!snpu_fabric_reachable(n->m->fabric, n->node, node))
		return -EHOSTUNREACH;
	exports = snpu_load_acq(&t->exports);
	if (!exports || seg >= t->num_segs)
		return -ENOENT;
	e = &exports[seg];
	if (!snpu_load_acq(&e->valid))
		return -ENOENT;
	out->access = snpu_load(&e->access);
	out->bytes = snpu_load(&e->bytes);
	out->token = snpu_load(&e->token);
	/* the exporter is not locked: what was read is of one export if that is still the same */
	snpu_mb();
	if (!snpu_load_acq(&e->valid) || snpu_load(&e->token) != out->token)
		return -ENOENT;
	return token && *token != out->token ? -EACCES : 0;
}

int snpu_fabric_revoke(struct snpu_npu *n, uint32_t seg)
{
	if (!n->exports || !n->exports[seg].valid)
		return -ENOENT;
	if (n->exports[seg].named)
		snpu_directory_drop(n->m->dir, n->node, seg);
	n->exports[seg].named = 0;
	snpu_store_rel(&n->exports[seg].valid, 0);
	snpu_quiesce(n->m);
	n->exports[seg].token = 0;
	/* queues that wait for a word in the segment have a fault now, and the leader may sleep */
	snpu_sched_kick(n->m);
	return 0;
}

int snpu_fabric_import(struct snpu_npu *n, const struct snpu_adm_import *a)
{
	struct snpu_import *i;

	if (!n->imports) {
		i = calloc(n->num_imports, sizeof(*i));
		if (!i)
			return -ENOMEM;
		snpu_store_rel(&n->imports, i);
	}
	i = &n->imports[a->slot];
	if (i->valid)
		return -EEXIST;
	i->node = a->node;
	i->seg = a->seg;
	i->token = a->token;
	snpu_store_rel(&i->valid, 1);
	return 0;
}

int snpu_fabric_unimport(struct snpu_npu *n, uint32_t slot)
{
	if (!n->imports || !n->imports[slot].valid)
		return -ENOENT;
	snpu_store_rel(&n->imports[slot].valid, 0);
	snpu_quiesce(n->m);
	n->imports[slot].token = 0;
	return 0;
}

void snpu_fabric_reset(struct snpu_npu *n)
{
	uint32_t i;

	if (n->exports)
		snpu_directory_drop(n->m->dir, n->node, SNPU_DIR_ALL);
	for (i = 0; n->exports && i < n->num_segs; i++) {
		n->exports[i].named = 0;
		snpu_store_rel(&n->exports[i].valid, 0);
	}
	/* pages of the table that nobody used stay untouched */
	for (i = 0; n->imports && i < n->num_imports; i++)
		if (n->imports[i].valid)
			snpu_store_rel(&n->imports[i].valid, 0);
	if (n->exports || n->imports) {
		snpu_quiesce(n->m);
		snpu_sched_kick(n->m);
	}
}
