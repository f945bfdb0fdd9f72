// SPDX-License-Identifier: MIT
/*
 * Profiles: the shipped ones, and every way to get one wrong.
 */
#include "harness.h"

#include <stdlib.h>
#include <string.h>

static void shipped(void)
{
	static const struct {
		const char *name;
		uint32_t npus;
		double bf16;
	} want[] = {
		{ "cm384", 384, 752e12 }, { "cm384-781", 384, 781e12 }, { "nvl72", 72, 2500e12 },
		{ "hgx-h100", 8, 989e12 }, { "hgx-h800", 8, 989e12 }, { "pair", 2, 1e14 },
	};
	struct snpu_profile *p;
	char err[512];
	size_t i;

	for (i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		p = snpu_profile_load(want[i].name, err, sizeof(err));
		CHECK(p, "%s", err);
		if (!p)
			continue;
		CHECK(!strcmp(p->name, want[i].name), "%s", p->name);
		CHECK_EQ(snpu_profile_npus(p), want[i].npus);
		CHECK(p->npu.flops_bf16.value == want[i].bf16, "%g", p->npu.flops_bf16.value);
		CHECK(p->npu.flops_bf16.source && p->npu.flops_bf16.tag != SNPU_FIG_ABSENT, "tag");
		snpu_profile_free(p);
	}
	p = snpu_profile_load("no-such-machine", err, sizeof(err));
	CHECK(!p && strstr(err, "cm384"), "%s", err);
	p = snpu_profile_load("h100", err, sizeof(err));
	CHECK(!p && strstr(err, "hgx-h100 now"), "%s", err);
	p = snpu_profile_load("/nonexistent/x.json", err, sizeof(err));
	CHECK(!p && strstr(err, "No such file"), "%s", err);
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
		{ "\"dies\": { \"value\": 1", "\"dies\": { \"value\": 1e400", "npu.dies" },
		{ "67108864", "67108863", "multiple of 2097152" },
		{ "67108864", "1e18", "npu.hbm_bytes.value" },
		{ "\"B/s\"", "\"GB/s\"", "npu.hbm_bandwidth.unit" },
		{ "\"tag\": \"assumed\"", "\"tag\": \"guessed\"", "allowed measured" },
		{ ", \"tag\": \"assumed\"", "", "tag" },
		{ ", \"source\": \"test\"", "", "source" },
		{ "\"source\": \"test\"", "\"source\": \"\"", "source" },
		{ "\"planes\"", "\"plane\"", "fabric.plane: unknown key" },
		{ ", \"imports\": { \"value\": 8, \"unit\": \"\", \"tag\": \"assumed\", "
		  "\"source\": \"test\" }", "", "device.imports: missing" },
		{ "}\n", "", "" },
		{ "\"fabric\":", "\"fabric\"", "line 4" },
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

int main(int argc, char **argv)
{
	static const struct t_case cases[] = {
		{ "shipped", shipped },
		{ "errors", errors },
	};

	return t_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
}
