// SPDX-License-Identifier: MIT
/*
 * Methods about virtual time.
 */
#include "control/rpc.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "fabric/topo.h"
#include "timing/plane.h"

/* ---- virtual time ---- */

#define TIMING_MS	10000u
#define TIMING_MAX_MS	600000u

static int timing_start(struct rpc *r, uint64_t *timeout_ns)
{
	uint64_t ms = TIMING_MS;

	if (!r->opts->plane)
		return rpc_fail(r, SNPU_RPC_UNSUPPORTED, "snpud --timing", "no virtual time is kept");
	if (rpc_get_u64(r, "timeout_ms", TIMING_MAX_MS, false, &ms) < 0)
		return -1;
	*timeout_ns = ms * 1000000;
	return 0;
}

static int timing_result(struct rpc *r, int ret, const char *why)
{
	switch (ret) {
	case 0:
		return 0;
	case -ETIMEDOUT:
		return rpc_fail(r, SNPU_RPC_STATE, "a longer timeout_ms, 0 .. 600000",
				"the machine did not come to rest in time: queues run on");
	case -ENOSPC:
		return rpc_fail(r, SNPU_RPC_LIMIT, "timing.reset starts anew; snpud --timing-records",
				"virtual time is lost: more packets ran than are kept");
	case -EIO:
		if (why && *why)
			return rpc_fail(r, SNPU_RPC_INTERNAL, "", "%s", why);
		return rpc_fail(r, SNPU_RPC_INTERNAL, "timing.reset starts anew; snpud's log says why",
				"virtual time is lost: the replay failed");
	case -ECANCELED:
		return rpc_fail(r, SNPU_RPC_STATE, "", "snpud ends");
	default:
		return rpc_fail(r, SNPU_RPC_INTERNAL, "", "%s", why && *why ? why : strerror(-ret));
	}
}

int rpc_timing_summary(struct rpc *r)
{
	static const char *const known[] = { "timeout_ms", NULL };
	struct snpu_plane_summary s;
	uint64_t timeout;
	char hash[24];

	if (rpc_only(r, known, "timeout_ms") || timing_start(r, &timeout))
		return -1;
	if (timing_result(r, snpu_plane_summary(r->opts->plane, timeout, &s), NULL))
		return -1;
	snprintf(hash, sizeof(hash), "%016" PRIx64, s.hash);
	rpc_add_u64(r->result, "now_ns", s.now);
	rpc_add_u64(r->result, "packets", s.records);
	rpc_add_u64(r->result, "transfers", s.flows);
	rpc_add_str(r->result, "hash", hash);
	rpc_add_u64(r->result, "freed_by_cpu", s.freed);
	rpc_add_u64(r->result, "stuck_queues", s.stuck);
	rpc_add_u64(r->result, "replay_ns", s.solve_ns);
	return 0;
}

/*
 * The trace goes to a descriptor that the client opened with its own rights: snpud opens no path
 * that somebody names. Only a file: nobody keeps the plane waiting for him to read.
 */
int rpc_timing_trace(struct rpc *r)
{
	static const char how[] = "a descriptor of a file, sent along (SCM_RIGHTS), open for writing";
	static const char *const known[] = { "timeout_ms", "counters", NULL };
	json_object *o = NULL;
	bool counters = false;
	char err[256] = "";
	uint64_t timeout;
	struct stat st;

	if (rpc_only(r, known, "timeout_ms, counters") || timing_start(r, &timeout))
		return -1;
	if (r->params && json_object_object_get_ex(r->params, "counters", &o)) {
		if (!json_object_is_type(o, json_type_boolean))
			return rpc_fail(r, SNPU_RPC_PARAMS, "true, false",
					"counters: must be boolean");
		counters = json_object_get_boolean(o);
	}
	if (r->fd < 0)
		return rpc_fail(r, SNPU_RPC_PARAMS, how, "no descriptor came with the request");
	if (fstat(r->fd, &st) || !S_ISREG(st.st_mode))
		return rpc_fail(r, SNPU_RPC_PARAMS, how, "the descriptor is not one of a file");
	return timing_result(r, snpu_plane_trace(r->opts->plane, r->fd, counters, timeout, err,
						 sizeof(err)), err);
}

int rpc_timing_reset(struct rpc *r)
{
	static const char *const known[] = { "timeout_ms", NULL };
	uint64_t timeout;

	if (rpc_only(r, known, "timeout_ms") || timing_start(r, &timeout))
		return -1;
	return timing_result(r, snpu_plane_reset(r->opts->plane, timeout), NULL);
}

/* Links that carried something */
int rpc_timing_links(struct rpc *r)
{
	static const char *const known[] = { "timeout_ms", NULL };
	const struct snpu_topo *t = r->opts->topo;
	json_object *list = json_object_new_array(), *o;
	uint64_t timeout, busy, bytes;
	char name[64];
	uint32_t i;

	json_object_object_add(r->result, "links", list);
	if (rpc_only(r, known, "timeout_ms") || timing_start(r, &timeout) ||
	    timing_result(r, snpu_plane_replay(r->opts->plane, timeout), NULL))
		return -1;
	for (i = 0; i < t->num_links; i++) {
		snpu_plane_link_use(r->opts->plane, i, &busy, &bytes);
		if (!bytes)
			continue;
		o = json_object_new_object();
		rpc_add_str(o, "link", snpu_topo_link_name(t, i, name, sizeof(name)));
		rpc_add_u64(o, "busy_ns", busy);
		rpc_add_u64(o, "bytes", bytes);
		json_object_array_add(list, o);
	}
	return 0;
}
