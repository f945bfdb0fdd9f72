// SPDX-License-Identifier: MIT
/*
 * States of links.
 *
 * Faults are kept as they were set, of links, switches and planes; what follows for each link is
 * worked out when one changes and stored where workers read it. @gen counts changes: it is stored
 * after the states, so who saw a gen and then states knows at the next look whether they still
 * hold.
 */
#include "fabric/fabric.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fabric/fabric_priv.h"
#include "snpu_hw.h"

struct snpu_fabric *snpu_fabric_new(const struct snpu_profile *p, char *err, size_t err_len)
{
	struct snpu_fabric *f = calloc(1, sizeof(*f));
	uint32_t i;

	if (!f) {
		snprintf(err, err_len, "out of memory");
		return NULL;
	}
	pthread_mutex_init(&f->lock, NULL);
	f->topo = snpu_topo_new(p, err, err_len);
	if (!f->topo)
		goto fail;
	f->round_robin = snpu_fig_u64(&p->fabric.routing) == SNPU_ROUTING_ROUND_ROBIN;
	f->num_lanes = f->topo->planes * f->topo->dies;
	f->link = aligned_alloc(64, f->topo->num_links * sizeof(*f->link));
	f->own_link = calloc(f->topo->num_links, sizeof(*f->own_link));
	f->own_switch = calloc(f->topo->num_switches, sizeof(*f->own_switch));
	f->own_plane = calloc(f->topo->planes, sizeof(*f->own_plane));
	f->rows = calloc(f->topo->nodes, sizeof(*f->rows));
	if (!f->link || !f->own_link || !f->own_switch || !f->own_plane || !f->rows ||
	    f->num_lanes > SNPU_FABRIC_MAX_LANES) {
		snprintf(err, err_len, "profile %s: no memory for %u links", p->name,
			 f->topo->num_links);
		goto fail;
	}
	memset(f->link, 0, f->topo->num_links * sizeof(*f->link));
	for (i = 0; i < f->topo->num_links; i++)
		f->link[i].rate = f->topo->links[i].rate;
	return f;
fail:
	snpu_fabric_free(f);
	return NULL;
}

void snpu_fabric_free(struct snpu_fabric *f)
{
	uint32_t i;

	if (!f)
		return;
	for (i = 0; f->rows && i < f->topo->nodes; i++)
		free(f->rows[i]);
	free(f->rows);
	free(f->link);
	free(f->own_link);
	free(f->own_switch);
	free(f->own_plane);
	snpu_topo_free(f->topo);
	pthread_mutex_destroy(&f->lock);
	free(f);
}

const struct snpu_topo *snpu_fabric_topo(const struct snpu_fabric *f)
{
	return f->topo;
}

void snpu_fabric_watch(struct snpu_fabric *f, snpu_fabric_change_fn fn, void *ctx)
{
	f->change = fn;
	f->change_ctx = ctx;
}

/* ---- states ---- */

/* Makes the worse of both */
static void worsen(struct fab_own *sum, const struct fab_own *o)
{
	if (o->state == SNPU_PORT_DEGRADED)
		sum->share = sum->share < o->share ? sum->share : o->share;
	if (o->state > sum->state)
		sum->state = o->state;
}

static void link_sum(const struct snpu_fabric *f, uint32_t link, struct fab_own *sum)
{
	const struct snpu_topo_link *l = &f->topo->links[link];

	*sum = (struct fab_own){ .state = SNPU_PORT_UP, .share = 1 };
	worsen(sum, &f->own_link[link]);
	if (l->from_kind == SNPU_TOPO_L1 || l->from_kind == SNPU_TOPO_L2)
		worsen(sum, &f->own_switch[l->from]);
	if (l->to_kind == SNPU_TOPO_L1 || l->to_kind == SNPU_TOPO_L2)
		worsen(sum, &f->own_switch[l->to]);
	if (l->plane != SNPU_TOPO_NONE)
		worsen(sum, &f->own_plane[l->plane]);
	if (sum->state == SNPU_PORT_FLAPPING)
		sum->share /= 2;
	if (sum->state == SNPU_PORT_DOWN)
		sum->share = 0;
}

/* Works all links out again, tells of those that changed; lock held */
static void apply(struct snpu_fabric *f)
{
	uint32_t i, n = f->topo->num_links, bad = 0;
	uint32_t *changed = f->change ? calloc(n / 32 + 1, sizeof(*changed)) : NULL;
	struct fab_own sum;
	double rate;

	for (i = 0; i < n; i++) {
		link_sum(f, i, &sum);
		rate = f->topo->links[i].rate * sum.share;
		bad += sum.state != SNPU_PORT_UP;
		if (f->link[i].state == sum.state && f->link[i].rate == rate)
			continue;
		if (sum.state == SNPU_PORT_DOWN && f->link[i].state != SNPU_PORT_DOWN)
			fab_link_fell(f, i);
		__atomic_store(&f->link[i].rate, &rate, __ATOMIC_RELAXED);
		__atomic_store_n(&f->link[i].state, sum.state, __ATOMIC_RELAXED);
		if (changed)
			changed[i / 32] |= 1u << i % 32;
	}
	__atomic_store_n(&f->bad, bad, __ATOMIC_RELAXED);
	__atomic_store_n(&f->gen, f->gen + 1, __ATOMIC_RELEASE);
	/* without memory for who changed, all are told of */
	for (i = 0; i < n && f->change; i++)
		if (!changed || changed[i / 32] & 1u << i % 32)
			f->change(f->change_ctx, i, f->link[i].state, f->link[i].rate);
	free(changed);
}

static struct fab_own *own(struct snpu_fabric *f, enum snpu_fabric_kind kind, uint32_t id)
{
	switch (kind) {
	case SNPU_FABRIC_LINK:
		return id < f->topo->num_links && f->topo->links[id].plane != SNPU_TOPO_NONE ?
		       &f->own_link[id] : NULL;
	case SNPU_FABRIC_SWITCH:
		return id < f->topo->num_switches ? &f->own_switch[id] : NULL;
	case SNPU_FABRIC_PLANE:
		return id < f->topo->planes ? &f->own_plane[id] : NULL;
	}
	return NULL;
}

int snpu_fabric_set(struct snpu_fabric *f, const struct snpu_fabric_fault *fault)
{
	struct fab_own *o = own(f, fault->kind, fault->id);

	if (!o || fault->state > SNPU_PORT_DOWN ||
	    (fault->state == SNPU_PORT_DEGRADED && !(fault->share > 0 && fault->share < 1)))
		return -EINVAL;
	pthread_mutex_lock(&f->lock);
	o->state = fault->state;
	o->share = fault->state == SNPU_PORT_DEGRADED ? fault->share : 1;
	apply(f);
	pthread_mutex_unlock(&f->lock);
	return 0;
}

/* All faults in order: up to @max go to @faults; @end: they are ended. lock held */
static unsigned int each(struct snpu_fabric *f, struct snpu_fabric_fault *faults, unsigned int max,
			 bool end)
{
	const uint32_t ends[] = { f->topo->num_links, f->topo->num_switches, f->topo->planes };
	struct fab_own *const owns[] = { f->own_link, f->own_switch, f->own_plane };
	unsigned int kind, n = 0;
	uint32_t i;

	for (kind = SNPU_FABRIC_LINK; kind <= SNPU_FABRIC_PLANE; kind++) {
		for (i = 0; i < ends[kind]; i++) {
			struct fab_own *o = &owns[kind][i];

			if (o->state == SNPU_PORT_UP)
				continue;
			if (n < max)
				faults[n] = (struct snpu_fabric_fault){
					.kind = kind, .id = i, .state = o->state,
					.share = o->state == SNPU_PORT_DEGRADED ? o->share : 0,
				};
			if (end)
				o->state = SNPU_PORT_UP;
			n++;
		}
	}
	return n;
}

unsigned int snpu_fabric_clear(struct snpu_fabric *f)
{
	unsigned int n;

	pthread_mutex_lock(&f->lock);
	n = each(f, NULL, 0, true);
	if (n)
		apply(f);
	pthread_mutex_unlock(&f->lock);
	return n;
}

unsigned int snpu_fabric_faults(struct snpu_fabric *f, struct snpu_fabric_fault *faults,
				unsigned int max)
{
	unsigned int n;

	pthread_mutex_lock(&f->lock);
	n = each(f, faults, max, false);
	pthread_mutex_unlock(&f->lock);
	return n;
}

uint32_t snpu_fabric_link_state(const struct snpu_fabric *f, uint32_t link)
{
	return __atomic_load_n(&f->link[link].state, __ATOMIC_RELAXED);
}

double snpu_fabric_link_rate(const struct snpu_fabric *f, uint32_t link)
{
	double rate;

	__atomic_load(&f->link[link].rate, &rate, __ATOMIC_RELAXED);
	return rate;
}

void snpu_fabric_link_counters(struct snpu_fabric *f, uint32_t link,
			       struct snpu_fabric_counters *c)
{
	struct fab_link *l = &f->link[link];

	fab_link_lock(l);
	*c = l->c;
	fab_link_unlock(l);
}

uint64_t snpu_fabric_bytes(const struct snpu_fabric *f, uint32_t src, uint32_t dst)
{
	const uint64_t *row = __atomic_load_n(&f->rows[src], __ATOMIC_ACQUIRE);

	return row ? __atomic_load_n(&row[dst], __ATOMIC_RELAXED) : 0;
}
