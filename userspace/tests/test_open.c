// SPDX-License-Identifier: MIT
/*
 * Opening, facts, counters, settings, names, order of destruction.
 */
#include <ctype.h>

#include "tap.h"

static void names(void)
{
	unsigned int i;

	CHECK(isdigit((unsigned char)*snpu_version()));
	CHECK(!strcmp(snpu_error_name(SNPU_ERR_NONE), "NONE"));
	CHECK(!strcmp(snpu_error_name(SNPU_ERR_UNMAPPED), "UNMAPPED"));
	CHECK(!strcmp(snpu_error_name(SNPU_ERR_MAX), "NOMEM"));
	CHECK(!strcmp(snpu_error_name(SNPU_ERR_MAX + 1), "?"));
	CHECK(!strcmp(snpu_error_name(~0u), "?"));
	for (i = 0; i <= SNPU_ERR_MAX; i++)
		CHECK(strcmp(snpu_error_name(i), "?"));
	CHECK(!strcmp(snpu_op_name(SNPU_OP_NOP), "NOP"));
	CHECK(!strcmp(snpu_op_name(SNPU_OP_MATMUL), "MATMUL"));
	CHECK(!strcmp(snpu_op_name(SNPU_OP_INDIRECT), "INDIRECT"));
	CHECK(!strcmp(snpu_op_name(0x0f), "?"));
	CHECK(!strcmp(snpu_op_name(~0u), "?"));
	CHECK_EQ(snpu_dtype_size(SNPU_DT_NONE), 0);
	CHECK_EQ(snpu_dtype_size(SNPU_DT_F32), 4);
	CHECK_EQ(snpu_dtype_size(SNPU_DT_BF16), 2);
	CHECK_EQ(snpu_dtype_size(SNPU_DT_F16), 2);
	CHECK_EQ(snpu_dtype_size(SNPU_DT_I8), 1);
	CHECK_EQ(snpu_dtype_size(SNPU_DT_I32), 4);
	CHECK_EQ(snpu_dtype_size(SNPU_DT_MAX + 1), 0);
}

#define A10 "aaaaaaaaaa"

/* A value, and what the message about it must say beside the name */
static const struct {
	const char *name, *value, *says;
} bad[] = {
	{ "SNPU_TRANSPORT", "", "auto|kmd|direct" },
	{ "SNPU_TRANSPORT", "tcp", "auto|kmd|direct" },
	{ "SNPU_TRANSPORT", "kmd|direct", "auto|kmd|direct" },
	{ "SNPU_TRANSPORT", "direct ", "auto|kmd|direct" },
	{ "SNPU_TRANSPORT", "dire", "auto|kmd|direct" },
	{ "SNPU_SOCKET_DIR", "", "1 to 79" },
	{ "SNPU_SOCKET_DIR", "/" A10 A10 A10 A10 A10 A10 A10 "aaaaaaaaa",
	  "1 to 79" },
	{ "SNPU_SPIN_US", "", "0 to 1000000" },
	{ "SNPU_SPIN_US", "-1", "0 to 1000000" },
	{ "SNPU_SPIN_US", " -1", "0 to 1000000" },
	{ "SNPU_SPIN_US", " 5", "0 to 1000000" },
	{ "SNPU_SPIN_US", "5us", "0 to 1000000" },
	{ "SNPU_SPIN_US", "1000001", "0 to 1000000" },
	{ "SNPU_SPIN_US", "99999999999999999999999", "0 to 1000000" },
	{ "SNPU_RING_ENTRIES", "0", "16 to 65536" },
	{ "SNPU_RING_ENTRIES", "8", "16 to 65536" },
	{ "SNPU_RING_ENTRIES", "100", "power of two" },
	{ "SNPU_RING_ENTRIES", "131072", "16 to 65536" },
	{ "SNPU_RING_ENTRIES", "many", "16 to 65536" },
	{ "SNPU_NUMA", "2", "0 to 1" },
	{ "SNPU_NUMA", "yes", "0 to 1" },
	{ "SNPU_GUARD_PAGES", "513", "0 to 512" },
	{ "SNPU_GUARD_PAGES", "none", "0 to 512" },
	{ "SNPU_LOG_LEVEL", "3", "0 to 2" },
	{ "SNPU_LOG_LEVEL", "debug", "0 to 2" },
};

static const struct {
	const char *name, *value;
} good[] = {
	{ "SNPU_SPIN_US", "0" }, { "SNPU_SPIN_US", "1000000" }, { "SNPU_RING_ENTRIES", "16" },
	{ "SNPU_RING_ENTRIES", "65536" }, { "SNPU_RING_ENTRIES", "0x40" }, { "SNPU_NUMA", "0" },
	{ "SNPU_NUMA", "1" }, { "SNPU_GUARD_PAGES", "0" }, { "SNPU_GUARD_PAGES", "512" },
	{ "SNPU_LOG_LEVEL", "0" },
};

static char *swap_env(const char *name, const char *value)
{
	char *old = getenv(name);

	old = old ? strdup(old) : NULL;
	setenv(name, value, 1);
	return old;
}

static void restore_env(const char *name, char *old)
{
	if (old)
		setenv(name, old, 1);
	else
		unsetenv(name);
	free(old);
}

static void bad_settings(void)
{
	struct snpu *s;
	char *old;
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		old = swap_env(bad[i].name, bad[i].value);
		s = NULL;
		if (snpu_open(NULL, &s) != -EINVAL || s)
			t_fail(__FILE__, __LINE__, "%s='%s' is taken", bad[i].name, bad[i].value);
		CHECK_TEXT(snpu_last_error(), bad[i].name);
		CHECK_TEXT(snpu_last_error(), bad[i].says);
		snpu_close(s);
		restore_env(bad[i].name, old);
	}
}

static void good_settings(void)
{
	struct snpu *s;
	char *old;
	size_t i;

	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		old = swap_env(good[i].name, good[i].value);
		s = NULL;
		if (snpu_open(NULL, &s))
			t_fail(__FILE__, __LINE__, "%s='%s': %s", good[i].name, good[i].value,
			       snpu_last_error());
		CHECK_EQ(snpu_close(s), 0);
		restore_env(good[i].name, old);
	}
}

static void settings_print(void)
{
	static const char *const name[] = {
		"SNPU_TRANSPORT", "SNPU_SOCKET_DIR", "SNPU_SPIN_US=1234\n", "SNPU_RING_ENTRIES",
		"SNPU_NUMA", "SNPU_GUARD_PAGES", "SNPU_LOG_LEVEL", "0 to 1000000",
		"auto|kmd|direct", "/run/snpu",
	};
	char *old = swap_env("SNPU_SPIN_US", "1234"), *text = NULL;
	size_t len, i;
	FILE *f = open_memstream(&text, &len);

	NEED(f);
	snpu_config_print(f);
	fclose(f);
	for (i = 0; i < sizeof(name) / sizeof(name[0]); i++)
		CHECK_TEXT(text, name[i]);
	free(text);
	restore_env("SNPU_SPIN_US", old);
}

static void open_params(void)
{
	static const char long_dir[] =
		"/bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
	struct snpu_open_params p = { .field_mask = 1u << 3 };
	struct snpu *s = NULL;

	CHECK_EQ(snpu_open(&p, &s), -EINVAL);
	CHECK_TEXT(snpu_last_error(), "0x8");
	p = (struct snpu_open_params){ .field_mask = SNPU_OPEN_TRANSPORT };
	CHECK_EQ(snpu_open(&p, &s), -EINVAL);
	p.transport = "";
	CHECK_EQ(snpu_open(&p, &s), -EINVAL);
	p.transport = "pci";
	CHECK_EQ(snpu_open(&p, &s), -EINVAL);
	CHECK_TEXT(snpu_last_error(), "auto, kmd, direct");
	p.transport = "a name that is far too long for one";
	CHECK_EQ(snpu_open(&p, &s), -EINVAL);
	p = (struct snpu_open_params){ .field_mask = SNPU_OPEN_SOCKET_DIR };
	CHECK_EQ(snpu_open(&p, &s), -EINVAL);
	p.socket_dir = "";
	CHECK_EQ(snpu_open(&p, &s), -EINVAL);
	CHECK_TEXT(snpu_last_error(), "1 to 79");
	p.socket_dir = long_dir;
	CHECK_EQ(snpu_open(&p, &s), -EINVAL);
	CHECK(!s);
	/* fields that are not announced are not looked at */
	p = (struct snpu_open_params){ .transport = "pci", .socket_dir = "" };
	CHECK_EQ(snpu_open(&p, &s), 0);
	CHECK(s && !strcmp(snpu_transport(s), t_direct() ? "direct" : "kmd"));
	CHECK_EQ(snpu_close(s), 0);
}

static void enumerate(void)
{
	struct snpu *s = t_snpu();
	unsigned int n = snpu_count(s), i, k;
	struct snpu_info info[64];

	CHECK(!strcmp(snpu_transport(s), t_direct() ? "direct" : "kmd"));
	NEED(n >= 2 && n <= 64);
	for (i = 0; i < n; i++) {
		CHECK_EQ(snpu_get_info(s, i, &info[i], sizeof(info[i])), 0);
		CHECK(*info[i].path && *info[i].profile);
		CHECK(info[i].hbm_bytes >= 1ull << 30 && !(info[i].hbm_bytes & 4095));
		CHECK(info[i].num_queues && info[i].num_queues <= SNPU_MAX_QUEUES);
		CHECK(info[i].machine_npus >= n && info[i].machine_hosts);
		CHECK(info[i].flops_bf16 && info[i].hbm_bw && info[i].fabric_bw && info[i].planes);
		CHECK(!*info[i].pci == t_direct());
		for (k = 0; k < i; k++) {
			CHECK(info[k].node_id != info[i].node_id);
			CHECK(info[k].serial != info[i].serial);
			CHECK(strcmp(info[k].path, info[i].path));
			CHECK(info[k].host != info[i].host || info[k].slot != info[i].slot);
		}
	}
	CHECK_EQ(snpu_get_info(s, n, &info[0], sizeof(info[0])), -EINVAL);
	CHECK_TEXT(snpu_last_error(), "snpu_get_info");
	CHECK_EQ(snpu_get_info(s, ~0u, &info[0], sizeof(info[0])), -EINVAL);
}

static void info_sizes(void)
{
	struct {
		struct snpu_info info;
		uint8_t more[64];
	} big;
	struct snpu_info info, small;
	struct snpu *s = t_snpu();
	unsigned int i, sum = 0;

	NEED(!snpu_get_info(s, 0, &info, sizeof(info)));
	memset(&small, 0xee, sizeof(small));
	CHECK_EQ(snpu_get_info(s, 0, &small, 8), 0);
	CHECK(!memcmp(&small, &info, 8));
	for (i = 8; i < sizeof(small); i++)
		sum += ((uint8_t *)&small)[i] != 0xee;
	CHECK_EQ(sum, 0);
	memset(&big, 0xee, sizeof(big));
	CHECK_EQ(snpu_get_info(s, 0, &big.info, sizeof(big)), 0);
	CHECK(!memcmp(&big.info, &info, sizeof(info)));
	for (i = 0; i < sizeof(big.more); i++)
		sum += big.more[i];
	CHECK_EQ(sum, 0);
	CHECK_EQ(snpu_get_info(s, 0, &info, 0), -EINVAL);
}

static void counters(void)
{
	uint64_t end = t_now() + T_LONG;
	struct snpu_counters a, b;
	struct t_dev d;

	NEED(!t_dev_open(&d, 0, 65536, SNPU_MEM_HBM));
	CHECK_EQ(snpu_get_counters(t_snpu(), 0, &a, sizeof(a)), 0);
	snpu_prep_copy(t_pkt(d.q), d.va + 32768, d.va, 20000);
	snpu_prep_fill(t_pkt(d.q), d.va, 1000, 7, 1);
	CHECK_EQ(t_run(d.q), 0);
	/* they are counted by the batch, which ends after its packets retired */
	do {
		CHECK_EQ(snpu_get_counters(t_snpu(), 0, &b, sizeof(b)), 0);
	} while (b.packets - a.packets < 2 && t_now() < end);
	CHECK_EQ(b.packets - a.packets, 2);
	CHECK_EQ(b.bytes_read - a.bytes_read, 20000);
	CHECK_EQ(b.bytes_written - a.bytes_written, 21000);
	CHECK_EQ(b.faults - a.faults, 0);
	CHECK(b.busy_ns >= a.busy_ns);
	CHECK(b.hbm_total && b.hbm_used >= 65536 && b.hbm_used <= b.hbm_total);
	memset(&b, 0xee, sizeof(b));
	CHECK_EQ(snpu_get_counters(t_snpu(), 0, &b, 8), 0);
	CHECK_EQ(b.bytes_read, 0xeeeeeeeeeeeeeeeell);
	CHECK_EQ(snpu_get_counters(t_snpu(), 0, &b, 0), -EINVAL);
	CHECK_EQ(snpu_get_counters(t_snpu(), 1000, &b, sizeof(b)), -EINVAL);
	t_dev_close(&d);
}

/* Parents do not go before their children */
static void destroy_order(void)
{
	struct snpu *s = t_snpu();
	struct snpu_timeline *tl;
	struct snpu_cmdbuf *cb;
	struct snpu_event *ev;
	struct snpu_queue *q;
	struct snpu_ctx *ctx;
	struct snpu_mem *mem;

	NEED(!snpu_ctx_create(s, 0, &ctx));
	CHECK_EQ(snpu_ctx_index(ctx), 0);
	CHECK(snpu_ctx_snpu(ctx) == s);
	CHECK_EQ(snpu_close(s), -EBUSY);
	CHECK_TEXT(snpu_last_error(), "snpu_close");
	NEED(!snpu_mem_alloc(ctx, 1, SNPU_MEM_HBM, &mem));
	CHECK(snpu_mem_ctx(mem) == ctx);
	CHECK_EQ(snpu_ctx_destroy(ctx), -EBUSY);
	CHECK_TEXT(snpu_last_error(), "snpu_ctx_destroy");
	CHECK_EQ(snpu_mem_free(mem), 0);
	NEED(!snpu_queue_create(ctx, NULL, &q));
	CHECK(snpu_queue_ctx(q) == ctx);
	CHECK_EQ(snpu_ctx_destroy(ctx), -EBUSY);
	CHECK_EQ(snpu_queue_destroy(q), 0);
	NEED(!snpu_event_create(ctx, &ev));
	CHECK_EQ(snpu_ctx_destroy(ctx), -EBUSY);
	CHECK_EQ(snpu_event_destroy(ev), 0);
	NEED(!snpu_cmdbuf_create(ctx, 1, &cb));
	CHECK_EQ(snpu_ctx_destroy(ctx), -EBUSY);
	CHECK_EQ(snpu_cmdbuf_destroy(cb), 0);
	CHECK_EQ(snpu_ctx_destroy(ctx), 0);
	NEED(!snpu_timeline_create(s, &tl));
	CHECK_EQ(snpu_close(s), -EBUSY);
	CHECK_EQ(snpu_timeline_destroy(tl), 0);
	t_close();
	/* and it opens again */
	NEED(!snpu_ctx_create(t_snpu(), 1, &ctx));
	CHECK_EQ(snpu_ctx_index(ctx), 1);
	CHECK_EQ(snpu_ctx_destroy(ctx), 0);
}

static void bad_npu(void)
{
	struct snpu_ctx *ctx = NULL;
	struct snpu *s = t_snpu();

	CHECK_EQ(snpu_ctx_create(s, snpu_count(s), &ctx), -EINVAL);
	CHECK_TEXT(snpu_last_error(), "snpu_ctx_create");
	CHECK(!ctx);
}

/* Contexts until there are no more; then it all works again */
static void many_contexts(void)
{
	enum { MAX = 200 };
	static struct snpu_ctx *ctx[MAX];
	struct snpu *s = t_snpu();
	unsigned int i, n;
	int ret = 0;

	for (n = 0; n < MAX && !ret; n += !ret)
		ret = snpu_ctx_create(s, 0, &ctx[n]);
	CHECK(n >= 16);
	CHECK(!ret || ret == -ENOSPC);
	for (i = 0; i < n; i++)
		CHECK_EQ(snpu_ctx_destroy(ctx[i]), 0);
	NEED(!snpu_ctx_create(s, 0, &ctx[0]));
	CHECK_EQ(snpu_ctx_destroy(ctx[0]), 0);
}

static const struct t_case cases[] = {
	{ "names and sizes", names, T_BOTH },
	{ "every bad setting is refused with its name and range", bad_settings, T_BOTH },
	{ "settings at the ends of their ranges are taken", good_settings, T_BOTH },
	{ "snpu_config_print shows all settings", settings_print, T_BOTH },
	{ "open parameters", open_params, T_BOTH },
	{ "every NPU is there once, with its facts", enumerate, T_BOTH },
	{ "facts for shorter and longer structs", info_sizes, T_BOTH },
	{ "counters", counters, T_BOTH },
	{ "children go first", destroy_order, T_BOTH },
	{ "an NPU that is not there", bad_npu, T_BOTH },
	{ "contexts up to the limit", many_contexts, T_BOTH },
};

int main(void)
{
	return t_main(cases, sizeof(cases) / sizeof(cases[0]));
}
