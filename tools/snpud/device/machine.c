// SPDX-License-Identifier: MIT
/*
 * The machine: all NPUs of the process, device time, and the list of queues that workers scan.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fabric/fabric.h"
#include "profiles/profile.h"
#include "npu_priv.h"
#include "timing/plane.h"

uint64_t snpu_machine_time(const struct snpu_machine *m)
{
	/* from 1 on: 0 means "not yet" in completion records and timestamps */
	return snpu_clock_ns() - m->t0 + 1;
}

struct snpu_npu *snpu_machine_node(struct snpu_machine *m, uint32_t node)
{
	if (node < m->first_node || node - m->first_node >= m->npus)
		return NULL;
	return m->npu[node - m->first_node];
}

/* Length of a span of snpu_ticks() in ns, by the mean rate since start */
uint64_t snpu_machine_ticks_ns(const struct snpu_machine *m, uint64_t ticks)
{
	double span = (double)(snpu_ticks() - m->ticks0);

	if (span < 1)
		return 0;
	return (uint64_t)((double)ticks * (double)(snpu_clock_ns() - m->t0) / span);
}

unsigned int snpu_machine_npus(const struct snpu_machine *m)
{
	return m->npus;
}

unsigned int snpu_machine_workers(const struct snpu_machine *m)
{
	return m->workers;
}

const struct snpu_profile *snpu_machine_profile(const struct snpu_machine *m)
{
	return m->profile;
}

struct snpu_fabric *snpu_machine_fabric(const struct snpu_machine *m)
{
	return m->fabric;
}

struct snpu_npu *snpu_machine_npu(struct snpu_machine *m, unsigned int i)
{
	return i < m->npus ? m->npu[i] : NULL;
}

bool snpu_machine_sleeping(const struct snpu_machine *m)
{
	return snpu_load(&m->sleeping);
}

void snpu_machine_wake(struct snpu_machine *m)
{
	snpu_sched_kick(m);
}

/* Publishes a changed copy of the scan list; the old one is freed once no worker looks at it */
static int list_replace(struct snpu_machine *m, struct snpu_queue *add, struct snpu_queue *del)
{
	struct snpu_scan_list *old, *list;
	unsigned int i, n = 0;

	pthread_mutex_lock(&m->list_lock);
	old = m->list;
	list = malloc(sizeof(*list) + (old->n + 1) * sizeof(list->q[0]));
	if (!list && add) {
		pthread_mutex_unlock(&m->list_lock);
		return -ENOMEM;
	}
	if (!list) {
		/* taking one away must not fail: close the gap in place, under the workers' feet
		 * only in so far as they may miss one look at another queue; the kick makes up
		 */
		for (i = 0; i < old->n && old->q[i] != del; i++)
			;
		for (; i + 1 < old->n; i++)
			snpu_store(&old->q[i], old->q[i + 1]);
		snpu_store_rel(&old->n, old->n - 1);
		pthread_mutex_unlock(&m->list_lock);
		snpu_quiesce(m);
		snpu_sched_kick(m);
		return 0;
	}
	for (i = 0; i < old->n; i++)
		if (old->q[i] != del)
			list->q[n++] = old->q[i];
	if (add)
		list->q[n++] = add;
	list->n = n;
	snpu_store_rel(&m->list, list);
	pthread_mutex_unlock(&m->list_lock);
	snpu_quiesce(m);
	free(old);
	/* a sleeping leader has not armed need_wake of a queue it does not know */
	if (add)
		snpu_sched_kick(m);
	return 0;
}

int snpu_list_add(struct snpu_machine *m, struct snpu_queue *q)
{
	return list_replace(m, q, NULL);
}

void snpu_list_del(struct snpu_machine *m, struct snpu_queue *q)
{
	(void)list_replace(m, NULL, q);
}

static void plane_kick(void *ctx)
{
	snpu_sched_kick(ctx);
}

/* A host that was told BUSY asks again when its queue's vector is raised */
static void plane_answered(void *ctx, uint32_t node, uint32_t queue)
{
	struct snpu_npu *n = snpu_machine_node(ctx, node);
	struct snpu_queue *q;

	if (!n || queue >= n->num_queues)
		return;
	/* not n->lock: a long command of its guest must not hold up virtual time */
	pthread_mutex_lock(&n->bus_lock);
	q = snpu_load_acq(&n->queues[queue]);
	if (q)
		snpu_npu_irq(n, q->vector);
	pthread_mutex_unlock(&n->bus_lock);
}

/* A link is another one now: the timing plane, the NPU at its end, and who waits behind it look */
static void link_changed(void *ctx, uint32_t link, uint32_t state, double rate)
{
	struct snpu_machine *m = ctx;
	const struct snpu_topo *t = snpu_fabric_topo(m->fabric);
	const struct snpu_topo_link *l = &t->links[link];
	struct snpu_npu *n;
	uint32_t out, back;

	if (m->plane)
		snpu_plane_link(m->plane, link, rate);
	snpu_sched_kick(m);
	out = l->from_kind == SNPU_TOPO_DIE ? link : l->reverse;
	l = &t->links[out];
	if (l->from_kind != SNPU_TOPO_DIE || l->plane == SNPU_TOPO_NONE)
		return;
	/* a port has two directions, and is as bad as the worse of them */
	back = snpu_fabric_link_state(m->fabric, out == link ? l->reverse : out);
	state = state > back ? state : back;
	n = snpu_machine_node(m, l->from / t->dies);
	if (!n || m->port_state[out] == state)
		return;
	m->port_state[out] = (uint8_t)state;
	snpu_event_emit_ext(n, SNPU_EVT_FABRIC, l->plane, state | l->from % t->dies << 8);
}

static const struct snpu_plane_ops plane_ops = {
	.kick = plane_kick,
	.answered = plane_answered,
};

static int machine_check(const struct snpu_machine_opts *o, char *err, size_t err_len)
{
	uint32_t total = snpu_profile_npus(o->profile);

	if (!o->npus || o->npus > total || o->first_node > total - o->npus) {
		snprintf(err, err_len,
			 "NPUs %u .. %llu: profile %s has 0 .. %u", o->first_node,
			 (unsigned long long)o->first_node + o->npus - 1, o->profile->name,
			 total - 1);
		return -EINVAL;
	}
	if (o->workers > SNPU_MAX_WORKERS) {
		snprintf(err, err_len, "workers: %u, allowed 1 .. %d", o->workers,
			 SNPU_MAX_WORKERS);
		return -EINVAL;
	}
	return 0;
}

struct snpu_machine *snpu_machine_create(const struct snpu_machine_opts *opts, char *err,
					 size_t err_len)
{
	unsigned int workers = opts->workers;
	struct snpu_machine *m;
	unsigned int i;

	if (machine_check(opts, err, err_len))
		return NULL;
	m = aligned_alloc(64, (sizeof(*m) + 63) & ~(size_t)63);
	if (!m) {
		snprintf(err, err_len, "out of memory");
		return NULL;
	}
	memset(m, 0, sizeof(*m));
	m->profile = opts->profile;
	m->in_switch = m->profile->fabric.in_switch.value;
	m->npus = opts->npus;
	m->first_node = opts->first_node;
	m->plog = opts->plog;
	m->plane = opts->plane;
	m->delays = opts->delays;
	m->memory = opts->memory;
	m->memory_left = opts->memory_left;
	m->t0 = snpu_clock_ns();
	m->ticks0 = snpu_ticks();
	pthread_mutex_init(&m->list_lock, NULL);
	pthread_mutex_init(&m->aside_lock, NULL);
	pthread_mutex_init(&m->mem_lock, NULL);
	m->npu = calloc(m->npus, sizeof(*m->npu));
	m->list = calloc(1, sizeof(*m->list));
	/* one for each segment is usual: a flood of names must not fill memory and buckets */
	m->dir = snpu_directory_new(m->npus, m->first_node,
				    (unsigned int)snpu_fig_u64(&m->profile->device.segments));
	if (!m->npu || !m->list || !m->dir) {
		snprintf(err, err_len, "out of memory");
		goto fail;
	}
	m->fabric = snpu_fabric_new(m->profile, err, err_len);
	if (!m->fabric)
		goto fail;
	m->port_state = calloc(snpu_fabric_topo(m->fabric)->num_links, sizeof(*m->port_state));
	if (!m->port_state) {
		snprintf(err, err_len, "out of memory");
		goto fail;
	}
	snpu_fabric_watch(m->fabric, link_changed, m);
	for (i = 0; i < m->npus; i++) {
		m->npu[i] = snpu_npu_create(m, i, err, err_len);
		if (!m->npu[i])
			goto fail;
	}
	if (!workers) {
		long cores = sysconf(_SC_NPROCESSORS_ONLN);

		workers = cores < 1 ? 1 : cores > 8 ? 8 : (unsigned int)cores;
	}
	if (snpu_sched_start(m, workers, err, err_len))
		goto fail;
	if (m->plane && snpu_plane_start(m->plane, &plane_ops, m)) {
		snprintf(err, err_len, "the thread that keeps virtual time did not start");
		snpu_sched_stop(m);
		goto fail;
	}
	return m;
fail:
	for (i = 0; m->npu && i < m->npus; i++)
		snpu_npu_destroy(m->npu[i]);
	free(m->npu);
	free(m->list);
	snpu_directory_free(m->dir);
	snpu_fabric_free(m->fabric);
	free(m->port_state);
	pthread_mutex_destroy(&m->list_lock);
	pthread_mutex_destroy(&m->aside_lock);
	pthread_mutex_destroy(&m->mem_lock);
	free(m);
	return NULL;
}

void snpu_machine_destroy(struct snpu_machine *m)
{
	unsigned int i;

	if (!m)
		return;
	/* it calls the NPUs, and queues that wait for it are told that it ended */
	snpu_plane_stop(m->plane);
	for (i = 0; i < m->npus; i++)
		snpu_npu_set_bus(m->npu[i], NULL);
	for (i = 0; i < m->npus; i++)
		snpu_aside_end(m->npu[i]);
	snpu_sched_stop(m);
	for (i = 0; i < m->npus; i++)
		snpu_npu_destroy(m->npu[i]);
	free(m->npu);
	free(m->list);
	snpu_directory_free(m->dir);
	snpu_fabric_free(m->fabric);
	free(m->port_state);
	pthread_mutex_destroy(&m->list_lock);
	pthread_mutex_destroy(&m->aside_lock);
	pthread_mutex_destroy(&m->mem_lock);
	free(m);
}
