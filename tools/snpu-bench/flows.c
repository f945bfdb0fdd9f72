// SPDX-License-Identifier: MIT
/*
 * snpu-flows: an all-to-all of one queue for each NPU through the timing plane: flows simulated a
 * second. It writes the traffic as text, too, for a peer: see flows.sh.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "snpu_hw.h"
#include "timing/cost.h"
#include "timing/timing.h"

enum order { ROTATED, SAME, RANDOM };

/* The targets of NPU @me, in order */
static void targets(uint32_t *to, uint32_t me, uint32_t n, enum order order, uint64_t *seed)
{
	uint32_t k, with, tmp;

	for (k = 0; k < n - 1; k++)
		to[k] = order == SAME ? (k < me ? k : k + 1) : (me + k + 1) % n;
	for (k = n - 1; order == RANDOM && k > 1; k--) {
		*seed = *seed * 6364136223846793005ull + 1442695040888963407ull;
		with = (uint32_t)(*seed >> 33) % k;
		tmp = to[k - 1];
		to[k - 1] = to[with];
		to[with] = tmp;
	}
}

static struct snpu_plog_rec copy(uint32_t me, uint32_t to, uint64_t seq, uint64_t bytes)
{
	return (struct snpu_plog_rec){
		.node = me, .op = SNPU_OP_COPY, .seq = seq, .sub = SNPU_PLOG_RING,
		.read_node = SNPU_PLOG_NO_NODE, .write_node = to, .sem_node = SNPU_PLOG_NO_NODE,
		.groups = 1, .bytes_read = bytes, .bytes_written = bytes,
	};
}

/* Sum of the rates of links that leave a node, or a host for switches of other hosts */
static double rate_out(const struct snpu_topo *t, uint8_t kind)
{
	double sum = 0;
	uint32_t i;

	for (i = 0; i < t->num_links; i++) {
		const struct snpu_topo_link *l = &t->links[i];

		if (l->from_kind != kind || l->plane == SNPU_TOPO_NONE)
			continue;
		if (kind == SNPU_TOPO_DIE ? l->from < t->dies :
		    l->to_kind == SNPU_TOPO_L2 && !t->switches[l->from].host)
			sum += l->rate;
	}
	return sum;
}

static int write_traffic(const char *path, const struct snpu_topo *t, const struct snpu_cost *c,
			 const uint32_t *to, uint64_t bytes)
{
	double host = rate_out(t, SNPU_TOPO_L1), latency[2];
	struct snpu_activity a;
	struct snpu_plog_rec r;
	uint32_t i, k, n = t->nodes;
	FILE *f = fopen(path, "we");
	int bad;

	if (!f)
		return -errno;
	/* what a transfer takes beside its bytes: to a neighbour, and to another host */
	for (i = 0; i < 2; i++) {
		r = copy(0, i ? n - 1 : 1, 0, bytes);
		if (snpu_cost_packet(c, &r, &a)) {
			fclose(f);
			return -EINVAL;
		}
		latency[i] = (double)(a.before + a.after) * 1e-12;
	}
	fprintf(f, "machine %u %u %.17g %.17g %.17g %.17g %u\n", n, t->npus_per_host,
		rate_out(t, SNPU_TOPO_DIE), host > 0 ? host : 1e18, latency[0],
		latency[1] - latency[0], snpu_cost_depth(c));
	for (i = 0; i < n; i++) {
		fprintf(f, "%" PRIu64, bytes);
		for (k = 0; k < n - 1; k++)
			fprintf(f, " %u", to[(size_t)i * (n - 1) + k]);
		fputc('\n', f);
	}
	bad = ferror(f);
	bad |= fclose(f);
	return bad ? -EIO : 0;
}

/* CPU seconds of this process: other load on the computer does not count */
static double cpu(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static int run(const struct snpu_topo *t, enum order order, uint64_t bytes, const char *traffic)
{
	struct snpu_timing_opts o = { .ideal = true };
	uint32_t n = t->nodes, i, k;
	size_t num = (size_t)n * (n - 1), at;
	struct snpu_plog_rec *recs = calloc(num, sizeof(*recs));
	uint32_t *to = calloc(num, sizeof(*to));
	struct snpu_timing_stats s;
	struct snpu_timing *tm = NULL;
	struct snpu_cost *c = NULL;
	char err[256] = "out of memory";
	uint64_t seed = 384;
	double took;
	int rc = -ENOMEM;

	if (recs && to)
		tm = snpu_timing_new(t, &o, err, sizeof(err));
	if (tm)
		c = snpu_cost_new(t, true, err, sizeof(err));
	if (!c)
		goto out;
	for (i = 0, at = 0; i < n; i++) {
		targets(to + at, i, n, order, &seed);
		for (k = 0; k < n - 1; k++, at++)
			recs[at] = copy(i, to[at], k, bytes);
	}
	snprintf(err, sizeof(err), "%s", traffic ? traffic : "");
	rc = traffic ? write_traffic(traffic, t, c, to, bytes) : 0;
	if (rc)
		goto out;
	snprintf(err, sizeof(err), "replay");
	rc = snpu_timing_add(tm, recs, num);
	took = cpu();
	if (!rc)
		rc = snpu_timing_run(tm);
	took = cpu() - took;
	if (rc)
		goto out;
	snpu_timing_stats(tm, &s);
	printf("%.9g %.9g %" PRIu64 " %016" PRIx64 "\n", (double)s.now * 1e-12, took, s.flows,
	       s.hash);
out:
	if (rc)
		fprintf(stderr, "snpu-flows: %s: %s\n", err, strerror(-rc));
	snpu_cost_free(c);
	snpu_timing_free(tm);
	free(recs);
	free(to);
	return rc;
}

static void usage(FILE *f)
{
	fprintf(f, "usage: snpu-flows [--profile NAME] [--order rotated|same|random] [--bytes N]\n"
		"\t[--traffic FILE]\n"
		"prints: virtual seconds, CPU seconds, flows, hash; efficiencies are 1\n");
}

int main(int argc, char **argv)
{
	static const struct option opts[] = {
		{ "profile", required_argument, NULL, 'p' }, { "order", required_argument, NULL, 'o' },
		{ "bytes", required_argument, NULL, 'b' }, { "traffic", required_argument, NULL, 't' },
		{ "help", no_argument, NULL, 'h' }, { }
	};
	static const char *const orders[] = { "rotated", "same", "random" };
	const char *profile = "cm384", *traffic = NULL;
	struct snpu_profile *p;
	struct snpu_topo *t;
	uint64_t bytes = 65536;
	char err[512], *end;
	int order = ROTATED, c, rc;

	while ((c = getopt_long(argc, argv, "", opts, NULL)) != -1) {
		switch (c) {
		case 'p':
			profile = optarg;
			break;
		case 't':
			traffic = optarg;
			break;
		case 'o':
			for (order = 0; order < 3 && strcmp(orders[order], optarg); order++)
				;
			if (order < 3)
				break;
			fprintf(stderr, "snpu-flows: --order %s: rotated, same or random\n", optarg);
			return 2;
		case 'b':
			errno = 0;
			bytes = strtoull(optarg, &end, 0);
			if (!errno && *optarg != '-' && !*end && bytes && bytes <= 1ull << 40)
				break;
			fprintf(stderr, "snpu-flows: --bytes %s: 1..%llu\n", optarg, 1ull << 40);
			return 2;
		case 'h':
			usage(stdout);
			return 0;
		default:
			usage(stderr);
			return 2;
		}
	}
	if (optind < argc) {
		usage(stderr);
		return 2;
	}
	p = snpu_profile_load(profile, err, sizeof(err));
	t = p ? snpu_topo_new(p, err, sizeof(err)) : NULL;
	if (!t) {
		fprintf(stderr, "snpu-flows: %s\n", err);
		snpu_profile_free(p);
		return 1;
	}
	if (t->nodes < 2) {
		fprintf(stderr, "snpu-flows: %s: has one NPU\n", profile);
		rc = -EINVAL;
	} else {
		rc = run(t, (enum order)order, bytes, traffic);
	}
	snpu_topo_free(t);
	snpu_profile_free(p);
	return rc ? 1 : 0;
}
