// SPDX-License-Identifier: MIT
/*
 * simgrid-flows FILE: the peer of snpu-flows: replays its traffic in SimGrid, flow level, max-min,
 * and prints virtual and CPU seconds. The only C++ in the tree, as SimGrid's platforms can be made
 * in C++ only; built and run by tools/snpu-bench/flows.sh.
 *
 * Sizes, links, rates and depth are those of our replay, which runs with efficiencies of 1. Virtual
 * times differ by what is different by design: SimGrid pays the latency before the bytes and
 * favours flows of low latency, ours pays it behind them and shares by rate alone. Without
 * contention both give the same end.
 *
 * FILE: "machine NPUS PER_HOST NPU_RATE HOST_RATE LATENCY HOP DEPTH", then a line of each NPU:
 * bytes of each transfer and its targets in order. Rates in bytes/s of one direction, times in s.
 */
#include <cstdio>
#include <ctime>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include <simgrid/s4u.hpp>

namespace sg4 = simgrid::s4u;

static std::vector<sg4::Host *> hosts;
static std::vector<std::vector<unsigned>> targets;
static uint64_t bytes;
static unsigned depth;
static uint64_t flows;

/* One NPU: at most @depth transfers on their way, as its queue has them */
static void npu(unsigned me)
{
	sg4::ActivitySet on_way;

	for (unsigned to : targets[me]) {
		if (on_way.size() >= static_cast<int>(depth))
			on_way.wait_any();
		on_way.push(sg4::Comm::sendto_async(hosts[me], hosts[to], bytes));
		flows++;
	}
	on_way.wait_all();
}

int main(int argc, char **argv)
{
	sg4::Engine e(&argc, argv);
	unsigned npus, per_host, i, k, to;
	double npu_rate, host_rate, latency, hop;
	std::string line, word;

	if (argc != 2) {
		std::fprintf(stderr, "usage: simgrid-flows FILE\n");
		return 2;
	}
	std::ifstream in(argv[1]);
	std::getline(in, line);
	std::istringstream head(line);
	if (!(head >> word >> npus >> per_host >> npu_rate >> host_rate >> latency >> hop >> depth) ||
	    word != "machine" || !npus || !per_host || !depth) {
		std::fprintf(stderr, "simgrid-flows: %s: no traffic\n", argv[1]);
		return 1;
	}
	targets.resize(npus);
	for (i = 0; i < npus; i++) {
		std::getline(in, line);
		std::istringstream row(line);

		row >> bytes;
		while (row >> to) {
			if (to >= npus) {
				std::fprintf(stderr, "simgrid-flows: %s: NPU %u of %u\n", argv[1], to, npus);
				return 1;
			}
			targets[i].push_back(to);
		}
	}

	xbt_log_control_set("root.thres:warning");
	/* links as they are: what is left of TCP in the defaults is turned off */
	sg4::Engine::set_config("network/model:CM02");
	sg4::Engine::set_config("network/crosstraffic:0");
	sg4::Engine::set_config("network/TCP-gamma:0");
	sg4::Engine::set_config("network/latency-factor:1");
	sg4::Engine::set_config("network/bandwidth-factor:1");
	sg4::Engine::set_config("network/weight-S:0");

	auto *zone = e.get_netzone_root()->add_netzone_full("machine");
	std::vector<const sg4::Link *> up, down, out, into;

	for (i = 0; i < npus; i++) {
		std::string n = std::to_string(i);

		hosts.push_back(zone->add_host("npu" + n, 1e9));
		up.push_back(zone->add_link("up" + n, npu_rate)->set_latency(latency)->seal());
		down.push_back(zone->add_link("down" + n, npu_rate)->seal());
		if (i % per_host)
			continue;
		out.push_back(zone->add_link("out" + n, host_rate)->set_latency(hop)->seal());
		into.push_back(zone->add_link("into" + n, host_rate)->seal());
	}
	for (i = 0; i < npus; i++)
		for (k = 0; k < npus; k++) {
			if (i == k)
				continue;
			std::vector<sg4::LinkInRoute> route = { sg4::LinkInRoute(up[i]) };

			if (i / per_host != k / per_host) {
				route.emplace_back(out[i / per_host]);
				route.emplace_back(into[k / per_host]);
			}
			route.emplace_back(down[k]);
			zone->add_route(hosts[i], hosts[k], route, false);
		}
	zone->seal();
	for (i = 0; i < npus; i++)
		e.add_actor("npu" + std::to_string(i), hosts[i], npu, i);

	std::clock_t start = std::clock();
	e.run();
	double took = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
	std::printf("%.9g %.9g %llu\n", sg4::Engine::get_clock(), took,
		    static_cast<unsigned long long>(flows));
	return 0;
}
