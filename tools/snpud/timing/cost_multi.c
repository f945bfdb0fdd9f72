// SPDX-License-Identifier: MIT
/*
 * REDUCE_PULL and MULTICAST: one end here, many in the list.
 *
 * Where the switches add up and copy, a byte of the result takes the way of a byte from each NPU of
 * the list to the switch, or from there to each, and the issuer's link once. Otherwise the issuer's
 * links carry it all. Work is counted in bytes of one operand. A list with several addresses of one
 * NPU is spread evenly over the NPUs that it names.
 */
#include <math.h>
#include <string.h>

#include "snpu_hw.h"
#include "timing/cost_priv.h"

struct multi {
	const struct snpu_cost *c;
	const struct snpu_plog_rec *r;
	struct snpu_activity *a;
	bool pull;
	double each;		/* operands of a node, for those that come into question */
	double dies;
	struct snpu_uses *many;	/* what is not the issuer's; NULL: not wanted */
};

static void put(const struct multi *x, uint32_t res, double weight)
{
	x->many->use[x->many->num++] = (struct snpu_mm_use){ res, weight };
}

bool snpu_cost_is_multi(const struct snpu_plog_rec *r)
{
	return r->op == SNPU_OP_REDUCE_PULL || r->op == SNPU_OP_MULTICAST;
}

static bool named(const struct snpu_plog_rec *r, uint32_t node)
{
	return r->set[node / 64] >> node % 64 & 1;
}

/* Nodes of the list; 0: none, or one that there is not */
static uint32_t count(const struct snpu_cost *c, const struct snpu_plog_rec *r)
{
	uint32_t i, n = 0;

	for (i = 0; i < SNPU_PLOG_SET_NODES; i++) {
		if (named(r, i) && i >= c->t->nodes)
			return 0;
		n += named(r, i);
	}
	return n;
}

bool snpu_cost_multi_ok(const struct snpu_cost *c, const struct snpu_plog_rec *r)
{
	return r->arg && r->arg <= SNPU_MAX_LIST && count(c, r);
}

/* Of a node of the list. Different nodes have different resources: no need to look for them */
static void use_new(const struct multi *x, uint32_t node, uint32_t kind, double weight)
{
	uint32_t d;

	if (node == x->r->node) {
		snpu_cost_use_node(x->c, x->a, node, kind == HBM ? x->r->die : 0, kind, weight);
		return;
	}
	for (d = 0; x->many && d < x->c->t->dies; d++)
		put(x, ep_res(x->c, snpu_topo_die(x->c->t, node, d), kind),
		    weight / x->c->t->dies);
}

/* Link resources of hosts, for what crosses L2 switches; @far: nodes of other hosts */
static void host_uses(const struct multi *x, double w, uint32_t far)
{
	const struct snpu_topo *t = x->c->t;
	uint32_t own = x->r->node / t->npus_per_host, host, node, n;

	if (!t->l2_per_plane || !far)
		return;
	snpu_cost_use(x->a, host_res(x->c, own, x->pull ? HOST_DOWN : HOST_UP),
		      w * x->each * far);
	for (host = 0; x->many && host < t->hosts; host++) {
		for (n = 0, node = host * t->npus_per_host; host != own &&
		     node < (host + 1) * t->npus_per_host && node < SNPU_PLOG_SET_NODES; node++)
			n += named(x->r, node);
		if (n)
			put(x, host_res(x->c, host, x->pull ? HOST_UP : HOST_DOWN),
			    w * x->each * n);
	}
}

/* The switches do it */
static void in_switch(const struct multi *x, double w)
{
	const struct snpu_cost_params *p = &x->c->p;
	double sw = 1 / (p->link_eff[x->pull ? SNPU_PATH_READ : SNPU_PATH_WRITE] * p->switch_eff);
	uint32_t node, self = x->r->node;

	snpu_cost_use_node(x->c, x->a, self, x->r->die, DMA, 1);
	snpu_cost_use_node(x->c, x->a, self, x->r->die, x->pull ? DOWN : UP, w);
	for (node = 0; node < x->c->t->nodes; node++) {
		if (!named(x->r, node))
			continue;
		use_new(x, node, x->pull ? UP : DOWN, sw * x->each);
		use_new(x, node, HBM, x->each);
	}
	x->a->limit = fmin(x->a->limit, p->die_rate * x->dies / w);
	x->a->bytes = (uint64_t)x->a->work * x->r->arg;
}

/* The issuer does: what is its own does not travel */
static void by_issuer(const struct multi *x, double w, uint32_t nodes)
{
	const struct snpu_cost_params *p = &x->c->p;
	uint32_t node, self = x->r->node, far = 0, remote = nodes - named(x->r, self);
	uint32_t path = x->pull ? SNPU_PATH_READ : SNPU_PATH_WRITE;
	double w2 = w / p->l2_eff[path], all;

	for (node = 0; node < x->c->t->nodes; node++)
		far += named(x->r, node) &&
		       node / x->c->t->npus_per_host != self / x->c->t->npus_per_host;
	all = x->each * (w * (remote - far) + w2 * far);
	snpu_cost_use_node(x->c, x->a, self, x->r->die, DMA, x->r->arg);
	if (remote)
		snpu_cost_use_node(x->c, x->a, self, x->r->die, x->pull ? DOWN : UP, all);
	if (named(x->r, self))
		snpu_cost_use_node(x->c, x->a, self, x->r->die, HBM, x->each);
	for (node = 0; node < x->c->t->nodes; node++) {
		bool inter = node / x->c->t->npus_per_host != self / x->c->t->npus_per_host;

		if (!named(x->r, node) || node == self)
			continue;
		use_new(x, node, x->pull ? UP : DOWN, (inter ? w2 : w) * x->each);
		use_new(x, node, HBM, x->each);
	}
	host_uses(x, w2, far);
	if (remote)
		x->a->limit = fmin(x->a->limit, p->die_rate * x->dies / all);
	x->a->bytes = (uint64_t)(x->a->work * x->each * remote);
}

/*
 * A record that snpu_cost_multi_ok() let pass. @a: issue and limit are set; receives what the issuer
 * uses. @many: receives what others do, unless NULL
 */
void snpu_cost_multi(const struct snpu_cost *c, const struct snpu_plog_rec *r,
		     struct snpu_activity *a, struct snpu_uses *many)
{
	const struct snpu_cost_params *p = &c->p;
	const bool pull = r->op == SNPU_OP_REDUCE_PULL, sw = c->t->profile->fabric.in_switch.value;
	uint32_t path = pull ? SNPU_PATH_READ : SNPU_PATH_WRITE, n = count(c, r), node;
	uint64_t bytes = pull ? r->bytes_written : r->bytes_read, after;
	double latency = 0;
	struct multi x = { .c = c, .r = r, .a = a, .pull = pull, .each = (double)r->arg / n,
			   .dies = r->die ? 1 : c->t->dies, .many = many };

	/* like a kernel: it holds up what follows, but begins beside writes that are on their way */
	a->async = !pull;
	a->before = snpu_cost_ps(p->issue);
	a->work = (double)bytes;
	if (!bytes)
		return;
	/* the farthest of them sets the pace */
	for (node = 0; node < c->t->nodes; node++) {
		if (named(r, node) && (node != r->node || sw))
			latency = fmax(latency, snpu_cost_latency(c, r->node, node, path, false));
	}
	after = snpu_cost_ps(sw ? latency + p->switch_lat : latency);
	if (pull)
		a->before += after;
	else
		a->after += after;
	snpu_cost_use_node(c, a, r->node, r->die, HBM, 1);
	if (sw)
		in_switch(&x, 1 / p->link_eff[path]);
	else
		by_issuer(&x, 1 / p->link_eff[path], n);
}

uint32_t snpu_cost_uses(const struct snpu_cost *c, const struct snpu_plog_rec *r,
			const struct snpu_activity *a, const struct snpu_mm_use **uses)
{
	struct snpu_activity own;

	*uses = a->uses;
	if (!snpu_cost_is_multi(r) || a->work <= 0)
		return a->num_uses;
	own.num_uses = 0;
	own.limit = INFINITY;
	own.before = 0;
	own.after = 0;
	c->many->num = 0;
	snpu_cost_multi(c, r, &own, c->many);
	memcpy(c->many->use + c->many->num, own.uses, own.num_uses * sizeof(*own.uses));
	*uses = c->many->use;
	return c->many->num + own.num_uses;
}
