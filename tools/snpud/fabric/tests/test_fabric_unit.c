// SPDX-License-Identifier: MIT
/*
 * Topology and fabric manager, without a device: routes, names, striping, states, and that no byte
 * is lost from the books, whatever happens at the same time.
 */
#include "device/tests/harness.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "fabric/fabric.h"

static struct snpu_profile *profile;
static struct snpu_fabric *f;
static const struct snpu_topo *t;

static void start(const char *name)
{
	char err[512] = "";

	profile = snpu_profile_load(name, err, sizeof(err));
	f = profile ? snpu_fabric_new(profile, err, sizeof(err)) : NULL;
	if (!f) {
		printf("Bail out! %s: %s\n", name, err);
		exit(1);
	}
	t = snpu_fabric_topo(f);
}

static void end(void)
{
	snpu_fabric_free(f);
	snpu_profile_free(profile);
}

static int set(enum snpu_fabric_kind kind, uint32_t id, uint32_t state, double share)
{
	struct snpu_fabric_fault x = { .kind = kind, .id = id, .state = state, .share = share };

	return snpu_fabric_set(f, &x);
}

static int move(uint32_t src, uint32_t dst, uint64_t key, uint64_t bytes)
{
	struct snpu_flow_ends e = { .src = src, .dst = dst, .key = key };
	struct snpu_flow fl = { 0 };
	int ret = snpu_flow_move(f, &fl, &e, 0, bytes);

	return ret ? ret : snpu_flow_end(f, &fl);
}

/* Books of the whole machine: each link, each switch, and what ends brought in and took out */
static void check_books(uint64_t *sent, uint64_t *got, uint64_t *dropped)
{
	int64_t *sw = calloc(t->num_switches, sizeof(*sw));
	struct snpu_fabric_counters c;
	uint32_t i, bad = 0;

	*sent = *got = *dropped = 0;
	for (i = 0; i < t->num_links; i++) {
		const struct snpu_topo_link *l = &t->links[i];

		snpu_fabric_link_counters(f, i, &c);
		bad += c.in != c.out + c.dropped;
		*dropped += c.dropped;
		if (l->from_kind == SNPU_TOPO_DIE)
			*sent += c.in;
		else if (l->from_kind != SNPU_TOPO_CPU)
			sw[l->from] -= (int64_t)c.in;
		if (l->to_kind == SNPU_TOPO_DIE)
			*got += c.out;
		else if (l->to_kind != SNPU_TOPO_CPU)
			sw[l->to] += (int64_t)c.out;
	}
	CHECK_EQ(bad, 0);
	for (i = 0; i < t->num_switches; i++)
		bad += sw[i] != 0;
	CHECK(!bad, "%u switches gave out more or less than they took in", bad);
	CHECK_EQ(*sent, *got + *dropped);
	free(sw);
}

static void topo_cm384(void)
{
	uint32_t i, per[2][4] = { { 0 } }, links[SNPU_TOPO_MAX_HOPS], n, k, a, b;
	uint64_t seed = 77;
	char name[64];

	start("cm384");
	CHECK_EQ(t->nodes, 384);
	CHECK_EQ(t->dies, 2);
	CHECK_EQ(t->planes, 7);
	CHECK_EQ(t->num_switches, 48 * 7 + 7 * 16);
	for (i = 0; i < t->num_links; i++) {
		const struct snpu_topo_link *l = &t->links[i];

		per[0][l->from_kind]++;
		per[1][l->to_kind]++;
		CHECK_EQ(t->links[l->reverse].reverse, i);
		if (snpu_topo_link_find(t, snpu_topo_link_name(t, i, name, sizeof(name))) != i)
			CHECK(0, "link %u: %s is another one", i, name);
	}
	/* 7 of each die, and to the die beside it */
	CHECK_EQ(per[0][SNPU_TOPO_DIE], 768 * 7 + 768);
	CHECK_EQ(per[1][SNPU_TOPO_DIE], 768 * 7 + 768);
	CHECK_EQ(per[0][SNPU_TOPO_CPU], t->cpus * 7);
	CHECK_EQ(per[0][SNPU_TOPO_L2], 48 * 7 * 16);
	CHECK_EQ(per[0][SNPU_TOPO_L1], 768 * 7 + t->cpus * 7 + 48 * 7 * 16);
	for (i = 0; i < t->num_switches; i++)
		CHECK_EQ(snpu_topo_switch_find(t, snpu_topo_switch_name(t, i, name, sizeof(name))),
			 i);
	/* 28 GB/s a plane and die */
	CHECK_EQ(t->links[t->ep_up[0]].rate, 28000000000ull);
	for (i = 0; i < 20000; i++) {
		a = (uint32_t)(t_rand(&seed) % (t->nodes * t->dies));
		b = (uint32_t)(t_rand(&seed) % (t->nodes * t->dies));
		n = snpu_topo_route(t, a, b, i % 7, (uint32_t)t_rand(&seed), links);
		CHECK_EQ(n, a == b ? 0 : snpu_topo_ep_host(t, a) == snpu_topo_ep_host(t, b) ? 2 : 4);
		if (!n)
			continue;
		/* it hangs together, and stays in its plane */
		CHECK_EQ(t->links[links[0]].from, a);
		CHECK_EQ(t->links[links[n - 1]].to, b);
		for (k = 0; k < n; k++) {
			CHECK_EQ(t->links[links[k]].plane, i % 7);
			if (!k)
				continue;
			CHECK_EQ(t->links[links[k]].from, t->links[links[k - 1]].to);
			CHECK_EQ(t->links[links[k]].from_kind, t->links[links[k - 1]].to_kind);
		}
	}
	static const char *const wrong[] = {
		"", "npu0.0", "npu0.0>", "npu0.2>l1.0.0", "npu384.0>l1.0.0", "npu0.0>l1.1.0",
		"npu0.0>l1.0.7", "npu00.0>l1.0.0", "l1.0.0>l2.1.0", "l1.0.0>l2.0.16",
		"npu0.0>l2.0.0", "npu0.0>l1.0.0 ", "npu0.0=l1.0.0", "npu-1.0>l1.0.0",
	};
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		CHECK(snpu_topo_link_find(t, wrong[i]) == SNPU_TOPO_NONE, "\"%s\"", wrong[i]);
	end();
}

static void striping(void)
{
	uint32_t i, used, planes;
	uint64_t sent, got, dropped;
	struct snpu_fabric_counters c;

	start("cm384");
	/* a small one takes one lane, a large one all, equally */
	CHECK_EQ(move(0, 300, 0, 4096), 0);
	for (i = used = 0; i < 14; i++) {
		snpu_fabric_link_counters(f, t->ep_up[i], &c);
		used += c.in != 0;
		CHECK(!c.in || c.in == 4096, "%llu", (unsigned long long)c.in);
	}
	CHECK_EQ(used, 1);
	CHECK_EQ(move(8, 300, 0, 14 << 20), 0);
	for (i = 0; i < 14; i++) {
		snpu_fabric_link_counters(f, t->ep_up[8 * 14 + i], &c);
		CHECK_EQ(c.in, 1 << 20);
	}
	/* not more pieces than of 4 KiB; no byte is rounded away */
	CHECK_EQ(move(16, 17, 0, 8193), 0);
	for (i = used = 0; i < 14; i++) {
		snpu_fabric_link_counters(f, t->ep_up[16 * 14 + i], &c);
		used += c.in != 0;
	}
	CHECK_EQ(used, 3);
	CHECK_EQ(snpu_fabric_bytes(f, 0, 300), 4096);
	CHECK_EQ(snpu_fabric_bytes(f, 8, 300), 14 << 20);
	CHECK_EQ(snpu_fabric_bytes(f, 16, 17), 8193);
	CHECK_EQ(snpu_fabric_bytes(f, 17, 16), 0);
	check_books(&sent, &got, &dropped);
	CHECK_EQ(sent, 4096 + (14 << 20) + 8193);
	CHECK_EQ(dropped, 0);
	/* small ones of many pairs are spread over all planes */
	for (i = 1; i < 384; i++)
		CHECK_EQ(move(i, (i * 7 + 1) % 384 == i ? 0 : (i * 7 + 1) % 384, 0, 64), 0);
	for (planes = i = 0; i < 7; i++) {
		uint64_t sum = 0;
		uint32_t ep;

		for (ep = 0; ep < 768; ep++) {
			snpu_fabric_link_counters(f, t->ep_up[ep * 7 + i], &c);
			sum += c.in % 4096 == 64;
		}
		planes += sum > 20;
	}
	CHECK_EQ(planes, 7);
	end();
}

/* fabric.routing round_robin: one lane after the other, by the packet's number */
static void turns(void)
{
	struct snpu_fabric_counters c;
	char err[512] = "";
	uint32_t i, k;

	start("cm384");
	snpu_fabric_free(f);
	profile->fabric.routing.value = SNPU_ROUTING_ROUND_ROBIN;
	f = snpu_fabric_new(profile, err, sizeof(err));
	CHECK(f, "%s", err);
	if (!f)
		return;
	t = snpu_fabric_topo(f);
	for (i = 0; i < 28; i++)
		CHECK_EQ(move(0, 1, i, 64), 0);
	for (k = 0; k < 14; k++) {
		snpu_fabric_link_counters(f, t->ep_up[k], &c);
		CHECK_EQ(c.out, 128);
	}
	end();
}

static void states(void)
{
	uint32_t up, sw, other;
	struct snpu_fabric_fault faults[4];

	start("cm384");
	up = t->ep_up[0];
	sw = t->links[up].to;
	other = t->ep_up[7];		/* the other die, same plane and switch */
	CHECK_EQ(set(SNPU_FABRIC_LINK, up, SNPU_PORT_DEGRADED, 0.5), 0);
	CHECK_EQ(snpu_fabric_link_state(f, up), SNPU_PORT_DEGRADED);
	CHECK_EQ(snpu_fabric_link_rate(f, up), 14000000000ull);
	CHECK_EQ(snpu_fabric_link_state(f, t->links[up].reverse), SNPU_PORT_UP);
	CHECK_EQ(set(SNPU_FABRIC_SWITCH, sw, SNPU_PORT_FLAPPING, 0), 0);
	CHECK_EQ(snpu_fabric_link_state(f, up), SNPU_PORT_FLAPPING);
	CHECK_EQ(snpu_fabric_link_rate(f, up), 7000000000ull);
	CHECK_EQ(snpu_fabric_link_rate(f, other), 14000000000ull);
	CHECK_EQ(set(SNPU_FABRIC_PLANE, 0, SNPU_PORT_DOWN, 0), 0);
	CHECK_EQ(snpu_fabric_link_state(f, up), SNPU_PORT_DOWN);
	CHECK_EQ(snpu_fabric_link_rate(f, up), 0);
	/* who only counts changes nothing */
	CHECK_EQ(snpu_fabric_faults(f, NULL, 0), 3);
	CHECK_EQ(snpu_fabric_faults(f, faults, 1), 3);
	CHECK_EQ(snpu_fabric_faults(f, faults, 4), 3);
	CHECK_EQ(faults[0].kind, SNPU_FABRIC_LINK);
	CHECK_EQ(faults[2].kind, SNPU_FABRIC_PLANE);
	CHECK_EQ(set(SNPU_FABRIC_PLANE, 0, SNPU_PORT_UP, 0), 0);
	CHECK_EQ(snpu_fabric_link_state(f, up), SNPU_PORT_FLAPPING);
	CHECK_EQ(snpu_fabric_clear(f), 2);
	CHECK_EQ(snpu_fabric_link_state(f, up), SNPU_PORT_UP);
	CHECK_EQ(snpu_fabric_link_rate(f, up), 28000000000ull);
	CHECK_EQ(snpu_fabric_clear(f), 0);
	CHECK_EQ(set(SNPU_FABRIC_LINK, t->num_links, SNPU_PORT_DOWN, 0), -EINVAL);
	CHECK_EQ(set(SNPU_FABRIC_LINK, t->die_link[0], SNPU_PORT_DOWN, 0), -EINVAL);
	CHECK_EQ(set(SNPU_FABRIC_SWITCH, t->num_switches, SNPU_PORT_DOWN, 0), -EINVAL);
	CHECK_EQ(set(SNPU_FABRIC_PLANE, 7, SNPU_PORT_DOWN, 0), -EINVAL);
	CHECK_EQ(set(SNPU_FABRIC_PLANE, 0, 4, 0), -EINVAL);
	CHECK_EQ(set(SNPU_FABRIC_PLANE, 0, SNPU_PORT_DEGRADED, 0), -EINVAL);
	CHECK_EQ(set(SNPU_FABRIC_PLANE, 0, SNPU_PORT_DEGRADED, 1), -EINVAL);
	CHECK_EQ(set(SNPU_FABRIC_PLANE, 0, SNPU_PORT_DEGRADED, 0.0 / 0.0), -EINVAL);
	end();
}

static void rerouting(void)
{
	struct snpu_flow_ends e = { .src = 0, .dst = 380 };
	uint64_t sent, got, dropped, before;
	struct snpu_fabric_counters c;
	struct snpu_fabric_lane lane;
	struct snpu_flow fl = { 0 };
	uint32_t i, links[2][SNPU_TOPO_MAX_HOPS];

	start("cm384");
	/* a plane that is down is not used; the others carry its part */
	CHECK_EQ(set(SNPU_FABRIC_PLANE, 3, SNPU_PORT_DOWN, 0), 0);
	CHECK_EQ(move(0, 380, 0, 12 << 20), 0);
	for (i = 0; i < 14; i++) {
		snpu_fabric_link_counters(f, t->ep_up[i], &c);
		CHECK_EQ(c.in, i % 7 == 3 ? 0 : 1 << 20);
	}
	CHECK_EQ(snpu_fabric_clear(f), 1);
	/* an L2 switch that is down: the plane goes by another one */
	snpu_fabric_lane(f, 0, 380, 0, &lane);
	CHECK_EQ(lane.hops, 4);
	memcpy(links[0], lane.links, sizeof(links[0]));
	CHECK_EQ(set(SNPU_FABRIC_SWITCH, t->links[lane.links[1]].to, SNPU_PORT_DOWN, 0), 0);
	snpu_fabric_lane(f, 0, 380, 0, &lane);
	CHECK(!lane.down, "15 switches of the plane are up");
	memcpy(links[1], lane.links, sizeof(links[1]));
	CHECK_EQ(links[0][0], links[1][0]);
	CHECK(links[0][1] != links[1][1], "takes the switch that is down");
	CHECK_EQ(snpu_fabric_clear(f), 1);
	/* down in the middle: the piece on its way is lost in part, and resent */
	check_books(&sent, &got, &dropped);
	CHECK_EQ(sent, 12 << 20);
	CHECK_EQ(snpu_flow_move(f, &fl, &e, 0, 14 << 10), 0);
	CHECK_EQ(set(SNPU_FABRIC_LINK, t->ep_up[2], SNPU_PORT_DOWN, 0), 0);
	CHECK_EQ(snpu_flow_move(f, &fl, &e, 14 << 10, 14 << 10), 0);
	CHECK_EQ(snpu_flow_end(f, &fl), 0);
	check_books(&sent, &got, &dropped);
	CHECK_EQ(got, (12 << 20) + (28 << 10));
	snpu_fabric_link_counters(f, t->ep_up[2], &c);
	CHECK_EQ(c.dropped, dropped);
	CHECK_EQ(sent, got + dropped);
	CHECK_EQ(snpu_fabric_bytes(f, 0, 380), got);
	/* all down in the middle: this one fails, a new one does, too; another pair goes on */
	CHECK_EQ(snpu_flow_move(f, &fl, &e, 0, 1 << 20), 0);
	for (i = 0; i < 14; i++)
		CHECK_EQ(set(SNPU_FABRIC_LINK, t->ep_up[i], SNPU_PORT_DOWN, 0), 0);
	CHECK_EQ(snpu_flow_end(f, &fl), -EHOSTUNREACH);
	CHECK_EQ(move(0, 380, 0, 64), -EHOSTUNREACH);
	CHECK(!snpu_fabric_reachable(f, 0, 380), "cut off");
	/* that direction only */
	CHECK_EQ(move(380, 0, 0, 64), 0);
	CHECK_EQ(move(1, 380, 0, 64), 0);
	check_books(&sent, &got, &dropped);
	CHECK_EQ(snpu_fabric_clear(f), 14);
	CHECK_EQ(move(0, 380, 0, 64), 0);
	CHECK(snpu_fabric_reachable(f, 0, 380), "repaired");
	/* one that comes back in the middle loses nothing, and is used from then on */
	check_books(&sent, &got, &before);
	CHECK_EQ(set(SNPU_FABRIC_PLANE, 1, SNPU_PORT_DOWN, 0), 0);
	CHECK_EQ(snpu_flow_move(f, &fl, &e, 0, 12 << 20), 0);
	CHECK_EQ(snpu_fabric_clear(f), 1);
	CHECK_EQ(set(SNPU_FABRIC_PLANE, 2, SNPU_PORT_DEGRADED, 0.5), 0);
	CHECK_EQ(snpu_flow_move(f, &fl, &e, 12 << 20, 14 << 20), 0);
	CHECK_EQ(snpu_flow_end(f, &fl), 0);
	check_books(&sent, &got, &dropped);
	CHECK_EQ(dropped, before);
	end();
}

static uint64_t flapping_run(void)
{
	uint64_t sent, got, dropped, sum = 0, key;
	struct snpu_fabric_counters c;
	uint32_t i;

	start("cm384");
	CHECK_EQ(set(SNPU_FABRIC_LINK, t->ep_up[1], SNPU_PORT_FLAPPING, 0), 0);
	for (key = 0; key < 64; key++)
		CHECK_EQ(move(0, 9, key, 14 * 4096), 0);
	check_books(&sent, &got, &dropped);
	CHECK_EQ(got, 64 * 14 * 4096);
	snpu_fabric_link_counters(f, t->ep_up[1], &c);
	/* half of the packets took it, one at the begin of each of four phases was lost */
	CHECK_EQ(c.out, 32 * 4096);
	CHECK_EQ(c.dropped, 4 * 4096);
	CHECK_EQ(dropped, c.dropped);
	CHECK_EQ(c.downs, 4);
	snpu_fabric_link_counters(f, t->links[t->ep_up[1]].reverse, &c);
	CHECK_EQ(c.downs, 4);
	/* a fault counts once on top, ending it does not, and a worse plane changes nothing */
	CHECK_EQ(set(SNPU_FABRIC_LINK, t->ep_up[1], SNPU_PORT_DOWN, 0), 0);
	CHECK_EQ(set(SNPU_FABRIC_PLANE, 1, SNPU_PORT_DOWN, 0), 0);
	CHECK_EQ(snpu_fabric_clear(f), 2);
	snpu_fabric_link_counters(f, t->ep_up[1], &c);
	CHECK_EQ(c.downs, 5);
	/* its neighbour in the plane fell with that alone, one of another plane did not */
	snpu_fabric_link_counters(f, t->ep_up[t->planes + 1], &c);
	CHECK_EQ(c.downs, 1);
	snpu_fabric_link_counters(f, t->ep_up[2], &c);
	CHECK_EQ(c.downs, 0);
	/* every plane flaps: what finds one up goes, none hangs */
	for (i = 0; i < 7; i++)
		CHECK_EQ(set(SNPU_FABRIC_PLANE, i, SNPU_PORT_FLAPPING, 0), 0);
	for (key = 0; key < 64; key++)
		sum = sum * 31 + (uint64_t)-move(0, 300, key, 1 << 16);
	check_books(&sent, &got, &dropped);
	sum = sum * 31 + got * 7 + dropped;
	end();
	return sum;
}

static void flapping(void)
{
	uint64_t a = flapping_run();

	CHECK_EQ(flapping_run(), a);
}

#define THREADS	4
#define ROUNDS	20000

static uint64_t moved[THREADS];
static uint32_t done;

static void *mover(void *arg)
{
	unsigned int me = (unsigned int)(uintptr_t)arg;
	uint64_t seed = 1000 + me, i;

	for (i = 0; i < ROUNDS; i++) {
		uint64_t bytes = t_rand(&seed) % (i % 4 ? 5000 : 200000) + 1;
		uint32_t src = (uint32_t)(t_rand(&seed) % 64), dst = (uint32_t)(t_rand(&seed) % 64);

		if (src != dst && !move(src, dst, i, bytes))
			moved[me] += bytes;
	}
	(void)snpu_add(&done, 1);
	return NULL;
}

/* Transfers and faults at the same time: the books are right at every look */
static void conservation(void)
{
	uint64_t sent, got, dropped, seed = 3, total = 0, looks = 0;
	struct snpu_fabric_counters c;
	pthread_t th[THREADS];
	uint32_t i, s, d, bad = 0;

	start("cm384");
	done = 0;
	memset(moved, 0, sizeof(moved));
	for (i = 0; i < THREADS; i++)
		if (pthread_create(&th[i], NULL, mover, (void *)(uintptr_t)i))
			abort();
	while (snpu_load_acq(&done) < THREADS) {
		uint32_t r = (uint32_t)t_rand(&seed);

		if (r % 8 == 0)
			snpu_fabric_clear(f);
		else if (r % 8 < 4)
			set(SNPU_FABRIC_PLANE, r / 8 % 7, r / 64 % 4, 0.5);
		else if (r % 8 < 6)
			set(SNPU_FABRIC_SWITCH, r / 8 % t->num_switches, SNPU_PORT_DOWN, 0);
		else
			set(SNPU_FABRIC_LINK, t->ep_up[r / 8 % (64 * 14)], r / 4096 % 4, 0.1);
		for (i = 0; i < 64 * 14; i++, looks++) {
			snpu_fabric_link_counters(f, t->ep_up[i], &c);
			bad += c.in != c.out + c.dropped;
		}
	}
	for (i = 0; i < THREADS; i++)
		pthread_join(th[i], NULL);
	CHECK(!bad, "%u of %llu looks", bad, (unsigned long long)looks);
	check_books(&sent, &got, &dropped);
	for (s = 0; s < 64; s++)
		for (d = 0; d < 64; d++)
			total += snpu_fabric_bytes(f, s, d);
	for (i = 0; i < THREADS; i++)
		got -= moved[i] <= got ? moved[i] : 0;
	/* what a transfer had brought over before it failed counts as brought over */
	CHECK(total >= moved[0] + moved[1] + moved[2] + moved[3], "%llu",
	      (unsigned long long)total);
	CHECK(got < 200000 * 64, "%llu bytes more came than were sent", (unsigned long long)got);
	end();
}

int main(int argc, char **argv)
{
	static const struct t_case cases[] = {
		{ "topo_cm384", topo_cm384 },
		{ "striping", striping },
		{ "turns", turns },
		{ "states", states },
		{ "rerouting", rerouting },
		{ "flapping", flapping },
		{ "conservation", conservation },
	};

	return t_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
}
