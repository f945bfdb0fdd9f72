// SPDX-License-Identifier: MIT
/*
 * Profiles: the shipped ones, and every way to get one wrong.
 */
#include "harness.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fabric/topo.h"

/* Switches and connections, as the topology counts them */
static void counts(const struct snpu_topo *t, uint32_t *l1, uint32_t *l2, uint32_t *npu_l1,
		   uint32_t *l1_l2, uint32_t *cpu_l1, uint32_t *die)
{
	uint32_t i;

	*l1 = *l2 = *npu_l1 = *l1_l2 = *cpu_l1 = *die = 0;
	for (i = 0; i < t->num_switches; i++)
		++*(t->switches[i].level == 1 ? l1 : l2);
	for (i = 0; i < t->num_links; i += 2) {
		const struct snpu_topo_link *l = &t->links[i];

		if (l->from_kind == SNPU_TOPO_L1)
			++*l1_l2;
		else if (l->from_kind == SNPU_TOPO_CPU)
			++*cpu_l1;
		else
			++*(l->to_kind == SNPU_TOPO_DIE ? die : npu_l1);
	}
}

static void shipped(void)
{
	static const struct {
		const char *name;
		uint32_t npus, dies;
		double bf16;
		uint32_t l1, l2, npu_l1, l1_l2, cpu_l1, die;
		double bisection;
	} want[] = {
		{ "cm384", 384, 2, 752e12, 336, 112, 5376, 5376, 336, 384, 75.264e12 },
		{ "cm384-781", 384, 2, 781e12, 336, 112, 5376, 5376, 336, 384, 75.264e12 },
		{ "cm384-stratacl", 384, 2, 752e12, 336, 112, 5376, 5376, 336, 384, 75.264e12 },
		{ "cm384-ubep", 384, 2, 752e12, 336, 112, 5376, 5376, 336, 384, 75.264e12 },
		{ "nvl72", 72, 1, 2500e12, 18, 0, 1296, 0, 0, 0, 32.4e12 },
		{ "nvl72-192gb", 72, 1, 2500e12, 18, 0, 1296, 0, 0, 0, 32.4e12 },
		{ "hgx-h100", 8, 1, 989e12, 4, 0, 32, 0, 0, 0, 1.8e12 },
		{ "hgx-h800", 8, 1, 989e12, 4, 0, 32, 0, 0, 0, 0.8e12 },
		{ "pair", 2, 1, 1e14, 1, 0, 2, 0, 0, 0, 1e11 },
		{ "host8", 8, 2, 752e12, 7, 0, 112, 0, 7, 8, 1.568e12 },
		{ "rack64", 64, 2, 752e12, 56, 112, 896, 896, 56, 64, 12.544e12 },
	};
	uint32_t l1, l2, npu_l1, l1_l2, cpu_l1, die;
	char err[512], **names;
	struct snpu_profile *p;
	struct snpu_topo *t;
	size_t i, k, n;

	for (i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		p = snpu_profile_load(want[i].name, err, sizeof(err));
		CHECK(p, "%s", err);
		if (!p)
			continue;
		CHECK(!strcmp(p->name, want[i].name), "%s", p->name);
		CHECK_EQ(snpu_profile_npus(p), want[i].npus);
		CHECK_EQ(snpu_fig_u64(&p->npu.dies), want[i].dies);
		CHECK(p->npu.flops_bf16.value == want[i].bf16, "%g", p->npu.flops_bf16.value);
		CHECK(p->npu.flops_bf16.source && p->npu.flops_bf16.tag != SNPU_FIG_ABSENT, "tag");
		t = snpu_topo_new(p, err, sizeof(err));
		CHECK(t, "%s", err);
		if (t) {
			counts(t, &l1, &l2, &npu_l1, &l1_l2, &cpu_l1, &die);
			CHECK_EQ(l1, want[i].l1);
			CHECK_EQ(l2, want[i].l2);
			CHECK_EQ(npu_l1, want[i].npu_l1);
			CHECK_EQ(l1_l2, want[i].l1_l2);
			CHECK_EQ(cpu_l1, want[i].cpu_l1);
			CHECK_EQ(die, want[i].die);
			CHECK(fabs(snpu_topo_bisection(t) / want[i].bisection - 1) < 1e-9,
			      "%s: bisection %g", p->name, snpu_topo_bisection(t));
		}
		snpu_topo_free(t);
		snpu_profile_free(p);
	}
	/* none is shipped that is not counted here, and each is found by its name */
	CHECK_EQ(snpu_profile_names(&names, &n), 0);
	for (i = 0; i < n; i++) {
		for (k = 0; k < sizeof(want) / sizeof(want[0]); k++)
			if (!strcmp(names[i], want[k].name))
				break;
		CHECK(k < sizeof(want) / sizeof(want[0]), "%s is not in this test", names[i]);
	}
	CHECK(n >= sizeof(want) / sizeof(want[0]), "%zu names", n);
	snpu_profile_names_free(names, n);
	p = snpu_profile_load("no-such-machine", err, sizeof(err));
	CHECK(!p && strstr(err, "cm384"), "%s", err);
	p = snpu_profile_load("h100", err, sizeof(err));
	CHECK(!p && strstr(err, "hgx-h100 now"), "%s", err);
	p = snpu_profile_load("/nonexistent/x.json", err, sizeof(err));
	CHECK(!p && strstr(err, "No such file"), "%s", err);
	p = snpu_profile_load("/dev/null/", err, sizeof(err));
	CHECK(!p && strstr(err, "/dev/null/"), "%s", err);
	p = snpu_profile_load("/tmp/", err, sizeof(err));
	CHECK(!p && strstr(err, "regular file"), "%s", err);
}

static const char good[] =
	"{ \"version\": 1, \"name\": \"x\", \"title\": \"t\",\n"
	"\"machine\": { \"hosts\": @1,\"\"@, \"npus_per_host\": @8,\"\"@ },\n"
	"\"npu\": { \"dies\": @1,\"\"@, \"hbm_bytes\": @67108864,\"B\"@,"
	" \"hbm_bandwidth\": @1e12,\"B/s\"@, \"flops_bf16\": @1e14,\"flop/s\"@,"
	" \"ops_int8\": @1e14,\"op/s\"@ },\n"
	"\"fabric\": { \"planes\": @1,\"\"@, \"npu_bandwidth\": @1e11,\"B/s\"@ },\n"
	"\"device\": { \"queues\": @8,\"\"@, \"contexts\": @8,\"\"@, \"segments\": @8,\"\"@,"
	" \"imports\": @8,\"\"@ } }\n";

/* @value,unit@ becomes a figure; then the first @from is replaced by @to */
static char *make(const char *from, const char *to)
{
	char *out = malloc(16384), *o = out, *res, *hit;
	const char *s;
	int open = 0;

	for (s = good; *s; s++) {
		if (*s == '@' && !open) {
			o += sprintf(o, "{ \"value\": ");
			open = 1;
		} else if (*s == ',' && open) {
			o += sprintf(o, ", \"unit\": ");
		} else if (*s == '@') {
			o += sprintf(o, ", \"tag\": \"assumed\", \"source\": \"test\" }");
			open = 0;
		} else {
			*o++ = *s;
		}
	}
	*o = 0;
	if (!from)
		return out;
	hit = strstr(out, from);
	if (!hit) {
		printf("Bail out! \"%s\" is not in the template\n", from);
		exit(1);
	}
	res = malloc(16384);
	snprintf(res, 16384, "%.*s%s%s", (int)(hit - out), out, to, hit + strlen(from));
	free(out);
	return res;
}

static void errors(void)
{
	static const struct {
		const char *from, *to, *expect;
	} cases[] = {
		{ "\"version\": 1", "\"version\": 2", "version" },
		{ "\"version\": 1,", "", "version: missing" },
		{ "\"name\": \"x\"", "\"name\": \"X y\"", "name" },
		{ "\"name\": \"x\",", "", "name: missing" },
		{ "\"title\": \"t\",", "", "title: missing" },
		{ "\"title\": \"t\"", "\"title\": 5", "title" },
		{ "\"machine\"", "\"machines\"", "machines: unknown key" },
		{ "\"hosts\"", "\"host\"", "machine.host: unknown key" },
		{ "\"dies\": { \"value\": 1", "\"dies\": { \"value\": 0", "npu.dies.value" },
		{ "\"dies\": { \"value\": 1", "\"dies\": { \"value\": 1.5", "whole number" },
		{ "\"dies\": { \"value\": 1", "\"dies\": { \"value\": \"1\"", "npu.dies.value" },
		{ "\"dies\": { \"value\": 1", "\"dies\": { \"val\": 1", "npu.dies.val: unknown" },
		{ "\"dies\": { \"value\": 1", "\"dies\": { \"value\": 17", "allowed 1 .. 16" },
		{ "\"dies\": { \"value\": 1", "\"dies\": { \"value\": NaN", "npu.dies" },
		{ "\"dies\": {", "\"dies\": null, \"x\": {", "must be an object" },
		{ "\"hosts\"", "\"npus_per_host\"", "npus_per_host: given twice" },
		{ "\"hosts\"", "\"h\\u006fsts\"", "escape" },
		{ "\"unit\": \"B\"", "\"unit\": \"B\\u0000\"", "npu.hbm_bytes.unit" },
		{ "\"tag\": \"assumed\"", "\"tag\": \"\\u001b[2J\"", "?[2J: allowed measured" },
		{ "\"version\": 1,", "\"version\": 1, \"base\": \"no-such\",", "base: no-such: not found" },
		{ "\"version\": 1,", "\"version\": 1, \"base\": 5,", "base: must be a string" },
		{ "\"dies\": { \"value\": 1", "\"dies\": { \"value\": 1e400", "npu.dies" },
		{ "67108864", "67108863", "multiple of 2097152" },
		{ "67108864", "1e18", "npu.hbm_bytes.value" },
		{ "\"B/s\"", "\"GB/s\"", "npu.hbm_bandwidth.unit" },
		{ "\"tag\": \"assumed\"", "\"tag\": \"guessed\"", "allowed measured" },
		{ ", \"tag\": \"assumed\"", "", "tag" },
		{ ", \"source\": \"test\"", "", "source" },
		{ "\"source\": \"test\"", "\"source\": \"\"", "source" },
		{ "\"planes\"", "\"plane\"", "f.json:4:13: fabric.plane: unknown key" },
		{ ", \"imports\": { \"value\": 8, \"unit\": \"\", \"tag\": \"assumed\", "
		  "\"source\": \"test\" }", "", "device.imports: missing" },
		{ "}\n", "", "" },
		{ "\"fabric\":", "\"fabric\"", "f.json:4:" },
		{ "{ \"version\"", "[ \"version\"", "" },
	};
	struct snpu_profile *p;
	char err[512], *text;
	size_t i;

	text = make(NULL, NULL);
	p = snpu_profile_parse(text, "f.json", err, sizeof(err));
	CHECK(p, "%s", err);
	snpu_profile_free(p);
	/* every prefix of it is an error, and none is a crash */
	for (i = strlen(text) - 2; i; i -= i > 40 ? 7 : 1) {
		text[i] = 0;
		p = snpu_profile_parse(text, "f.json", err, sizeof(err));
		CHECK(!p, "prefix of %zu bytes", i);
		snpu_profile_free(p);
	}
	free(text);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		err[0] = 0;
		text = make(cases[i].from, cases[i].to);
		p = snpu_profile_parse(text, "f.json", err, sizeof(err));
		CHECK(!p, "case %zu: accepted: %s", i, cases[i].to);
		CHECK(strstr(err, "f.json") && strstr(err, cases[i].expect),
		      "case %zu: \"%s\" does not say \"%s\"", i, err, cases[i].expect);
		snpu_profile_free(p);
		free(text);
	}
}

#define F(key, value, unit) \
	"\"" key "\": { \"value\": " value ", \"unit\": \"" unit "\", \"tag\": \"assumed\", " \
	"\"source\": \"edit\" }"

/* What people do to a machine: accepted as a whole, or refused with the figures that disagree */
static void edits(void)
{
	static const struct {
		const char *what, *fabric, *npu;
		const char *expect;	/* NULL: accepted */
	} cases[] = {
		{ "nothing", NULL, NULL, NULL },
		{ "half the link rate, alone", F("link_bandwidth", "1.4e10", "B/s"), NULL,
		  "edit.json:3:13: fabric.link_bandwidth: 1.4e+10 B/s: 2 dies x 7 links make "
		  "1.96e+11 B/s, but fabric.npu_bandwidth says 3.92e+11" },
		{ "half the link rate, paths forgotten", F("link_bandwidth", "1.4e10", "B/s") ", "
		  F("npu_bandwidth", "1.96e11", "B/s"), NULL,
		  "cm384.json:" },
		{ "half the link rate", F("link_bandwidth", "1.4e10", "B/s") ", "
		  F("npu_bandwidth", "1.96e11", "B/s") ", \"intra_bandwidth_read\": null, "
		  "\"intra_bandwidth_write\": null, \"inter_bandwidth_read\": null, "
		  "\"inter_bandwidth_write\": null, \"cpu_intra_bandwidth_read\": null, "
		  "\"cpu_intra_bandwidth_write\": null, \"cpu_inter_bandwidth_read\": null, "
		  "\"cpu_inter_bandwidth_write\": null", NULL, NULL },
		{ "one plane less, alone", F("planes", "6", ""), NULL, "fabric.links_per_die: 7: "
		  "must be a multiple of fabric.planes 6" },
		{ "one plane less", F("planes", "6", "") ", " F("links_per_die", "6", "") ", "
		  F("l1_switches_per_host", "6", "") ", " F("npu_bandwidth", "3.36e11", "B/s"),
		  NULL, NULL },
		{ "another NPU", NULL, F("flops_bf16", "1.5e15", "flop/s") ", "
		  F("hbm_bandwidth", "6.4e12", "B/s") ", " F("hbm_bytes", "206158430208", "B"),
		  NULL },
		{ "an NPU of one die, alone", NULL, F("dies", "1", ""), "npu.die_link_bandwidth" },
		{ "an NPU of slow memory", NULL, F("hbm_bandwidth", "2e11", "B/s"),
		  "fabric.intra_bandwidth_read: 1.67e+11 B/s: the memory of a die gives 1e+11" },
		{ "routing by turns", F("routing", "\"round_robin\"", ""), NULL, NULL },
		{ "routing by number", F("routing", "1", ""), NULL, "edit.json:3:26: fabric.routing."
		  "value: not a string: must be one of the strings hash, round_robin" },
		{ "unknown routing", F("routing", "\"best\"", ""), NULL, "hash, round_robin" },
		{ "fewer ports than hosts", F("l2_switch_ports", "47", ""), NULL,
		  "fabric.l2_switch_ports: 47: 48 hosts" },
		{ "switches of two levels that add up", F("in_switch", "1", ""), NULL,
		  "fabric.in_switch: 1: what switches add up" },
		{ "switches that are told not to", F("in_switch", "0", ""), NULL, NULL },
		{ "no uplinks", "\"l1_uplink_links\": null", NULL, "fabric.l1_uplink_links too" },
		{ "a required one taken away", "\"planes\": null", NULL, "fabric.planes: missing" },
	};
	char text[4096], err[512];
	struct snpu_profile *p;
	struct snpu_topo *t;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(text, sizeof(text), "{ \"version\": 1, \"name\": \"edit\", \"title\": "
			 "\"e\",\n\"base\": \"cm384\",\n\"fabric\": { %s },\n\"npu\": { %s } }\n",
			 cases[i].fabric ? cases[i].fabric : "", cases[i].npu ? cases[i].npu : "");
		err[0] = 0;
		p = snpu_profile_parse(text, "edit.json", err, sizeof(err));
		CHECK(!p == !!cases[i].expect, "%s: %s", cases[i].what, p ? "accepted" : err);
		if (cases[i].expect)
			CHECK(strstr(err, cases[i].expect), "%s: \"%s\" does not say \"%s\"",
			      cases[i].what, err, cases[i].expect);
		t = p ? snpu_topo_new(p, err, sizeof(err)) : NULL;
		CHECK(!p || t, "%s: %s", cases[i].what, err);
		if (p)
			CHECK(p->bases[0] && strstr(p->bases[0], "cm384.json"), "base");
		if (p && !strcmp(cases[i].what, "routing by turns"))
			CHECK_EQ(snpu_fig_u64(&p->fabric.routing), SNPU_ROUTING_ROUND_ROBIN);
		if (p && !strcmp(cases[i].what, "another NPU"))
			CHECK(p->npu.flops_bf16.value == 1.5e15 &&
			      p->fabric.link_bandwidth.value == 2.8e10, "base and edit");
		snpu_topo_free(t);
		snpu_profile_free(p);
	}
}

/* Files that name each other, and one that names itself */
static void loops(void)
{
	char dir[] = "/tmp/snpu-profile-XXXXXX", path[64], err[512];
	struct snpu_profile *p;
	FILE *f;
	int i;

	CHECK(mkdtemp(dir), "mkdtemp");
	for (i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/%c.json", dir, "ab"[i]);
		f = fopen(path, "we");
		CHECK(f, "%s", path);
		if (!f)
			return;
		fprintf(f, "{ \"version\": 1, \"name\": \"x\", \"title\": \"t\", \"base\": "
			"\"%c.json\" }\n", "ba"[i]);
		fclose(f);
	}
	p = snpu_profile_load(path, err, sizeof(err));
	CHECK(!p && strstr(err, "does one lead back here") && strstr(err, ":1:44:"), "%s", err);
	for (i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/%c.json", dir, "ab"[i]);
		unlink(path);
	}
	rmdir(dir);
}

int main(int argc, char **argv)
{
	static const struct t_case cases[] = {
		{ "shipped", shipped },
		{ "errors", errors },
		{ "edits", edits },
		{ "loops", loops },
	};

	return t_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
}
