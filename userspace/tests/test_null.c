// SPDX-License-Identifier: MIT
/*
 * NULL where an object or a place for the answer belongs: an error, never a crash.
 */
#include "tap.h"

/* The message must be this call's own, so that of another one stands there before */
#define IS_EINVAL(call) do { \
	const char *name_ = #call; \
	if (strncmp(name_, "snpu_time_sync", 14)) \
		snpu_time_sync(NULL, 1); \
	CHECK_EQ(call, -EINVAL); \
	if (strncmp(snpu_last_error(), name_, strcspn(name_, "("))) \
		t_fail(__FILE__, __LINE__, "%s: '%s'", name_, snpu_last_error()); \
} while (0)

static void no_object(void)
{
	struct snpu_seg_handle h = { 0 };
	struct snpu_counters c;
	struct snpu_timeline *tl;
	struct snpu_cmdbuf *cb;
	struct snpu_fence *f;
	struct snpu_event *ev;
	struct snpu_queue *q;
	struct snpu_vtime vt;
	struct snpu_error err;
	struct snpu_info info;
	struct snpu_ctx *ctx;
	struct snpu_mem *mem;
	uint64_t v;
	void *p;
	int fd;

	IS_EINVAL(snpu_get_info(NULL, 0, &info, sizeof(info)));
	IS_EINVAL(snpu_get_counters(NULL, 0, &c, sizeof(c)));
	IS_EINVAL(snpu_ctx_create(NULL, 0, &ctx));
	IS_EINVAL(snpu_mem_alloc(NULL, 1, SNPU_MEM_HBM, &mem));
	IS_EINVAL(snpu_mem_map(NULL, &p));
	IS_EINVAL(snpu_mem_export(NULL, &fd));
	IS_EINVAL(snpu_mem_import(NULL, 0, 0, &mem));
	IS_EINVAL(snpu_mem_share(NULL, NULL, 0, &mem));
	IS_EINVAL(snpu_queue_create(NULL, NULL, &q));
	IS_EINVAL(snpu_queue_submit(NULL, &v));
	IS_EINVAL(snpu_queue_poll(NULL, 1));
	IS_EINVAL(snpu_queue_wait(NULL, 1, 0));
	IS_EINVAL(snpu_queue_vtime(NULL, 1, 0, &vt, sizeof(vt)));
	IS_EINVAL(snpu_fence_vtime(NULL, 0, &vt, sizeof(vt)));
	IS_EINVAL(snpu_time_sync(NULL, 1));
	IS_EINVAL(snpu_queue_suspend(NULL));
	IS_EINVAL(snpu_queue_resume(NULL));
	IS_EINVAL(snpu_queue_error(NULL, &err, sizeof(err)));
	IS_EINVAL(snpu_error_format(NULL, NULL, 0));
	IS_EINVAL(snpu_cmdbuf_create(NULL, 1, &cb));
	IS_EINVAL(snpu_queue_put_cmdbuf(NULL, NULL));
	IS_EINVAL(snpu_fence_create(NULL, 1, &f));
	IS_EINVAL(snpu_fence_poll(NULL));
	IS_EINVAL(snpu_fence_wait(NULL, 0));
	IS_EINVAL(snpu_fence_export(NULL, &fd));
	IS_EINVAL(snpu_fence_import(NULL, 0, &f));
	IS_EINVAL(snpu_queue_put_fence(NULL, NULL));
	IS_EINVAL(snpu_timeline_create(NULL, &tl));
	IS_EINVAL(snpu_timeline_attach(NULL, 1, NULL, 1));
	IS_EINVAL(snpu_timeline_signal(NULL, 1));
	IS_EINVAL(snpu_timeline_query(NULL, &v));
	IS_EINVAL(snpu_timeline_wait(NULL, 1, 0));
	IS_EINVAL(snpu_queue_put_timeline(NULL, NULL, 1));
	IS_EINVAL(snpu_event_create(NULL, &ev));
	IS_EINVAL(snpu_event_va(NULL, NULL, &v));
	IS_EINVAL(snpu_get_ports(NULL, 0, NULL, 0, 0));
	IS_EINVAL(snpu_seg_export(NULL, SNPU_SEG_READ, "a", NULL));
	IS_EINVAL(snpu_seg_revoke(NULL));
	IS_EINVAL(snpu_seg_lookup(NULL, "a", &h));
	IS_EINVAL(snpu_seg_import(NULL, &h, 0, &mem));
	IS_EINVAL(snpu_seg_import_name(NULL, "a", 0, &mem));
	IS_EINVAL(snpu_event_set(NULL, 1));
	IS_EINVAL(snpu_event_wait(NULL, 1, 0));
}

static void getters(void)
{
	CHECK_EQ(snpu_count(NULL), 0);
	CHECK(!strcmp(snpu_transport(NULL), ""));
	CHECK_EQ(snpu_ctx_index(NULL), ~0u);
	CHECK(!snpu_ctx_snpu(NULL));
	CHECK_EQ(snpu_mem_va(NULL), 0);
	CHECK_EQ(snpu_mem_size(NULL), 0);
	CHECK(!snpu_mem_ctx(NULL));
	CHECK(!snpu_queue_ctx(NULL));
	CHECK(!snpu_queue_get(NULL));
	CHECK_EQ(snpu_queue_completed(NULL), 0);
	CHECK(!snpu_cmdbuf_get(NULL));
	snpu_cmdbuf_reset(NULL);
	CHECK_EQ(snpu_event_read(NULL), 0);
	snpu_config_print(NULL);
	/* nothing to free is no error */
	CHECK_EQ(snpu_close(NULL), 0);
	CHECK_EQ(snpu_ctx_destroy(NULL), 0);
	CHECK_EQ(snpu_mem_free(NULL), 0);
	CHECK_EQ(snpu_queue_destroy(NULL), 0);
	CHECK_EQ(snpu_cmdbuf_destroy(NULL), 0);
	CHECK_EQ(snpu_fence_destroy(NULL), 0);
	CHECK_EQ(snpu_timeline_destroy(NULL), 0);
	CHECK_EQ(snpu_event_destroy(NULL), 0);
}

/* The object is there, the rest is not */
static void no_answer(void)
{
	struct snpu *s = t_snpu();
	struct snpu_error err = { 0 };
	struct snpu_timeline *tl;
	struct snpu_cmdbuf *cb;
	struct snpu_fence *f;
	struct snpu_event *ev;
	struct snpu_mem *mem;
	struct t_dev d;
	uint64_t pos, v;

	NEED(!t_dev_open(&d, 0, 4096, SNPU_MEM_HBM));
	NEED(!snpu_cmdbuf_create(d.ctx, 4, &cb));
	NEED(!snpu_event_create(d.ctx, &ev));
	NEED(!snpu_timeline_create(s, &tl));
	snpu_prep_nop(t_pkt(d.q));
	NEED(!snpu_queue_submit(d.q, NULL) && !snpu_queue_submit(d.q, &pos));
	NEED(!snpu_fence_create(d.q, pos, &f));

	IS_EINVAL(snpu_open(NULL, NULL));
	IS_EINVAL(snpu_get_info(s, 0, NULL, 8));
	IS_EINVAL(snpu_get_counters(s, 0, NULL, 8));
	IS_EINVAL(snpu_ctx_create(s, 0, NULL));
	IS_EINVAL(snpu_mem_alloc(d.ctx, 1, SNPU_MEM_HBM, NULL));
	IS_EINVAL(snpu_mem_map(d.mem, NULL));
	IS_EINVAL(snpu_mem_export(d.mem, NULL));
	IS_EINVAL(snpu_mem_import(d.ctx, 0, 0, NULL));
	IS_EINVAL(snpu_mem_share(d.ctx, d.mem, 0, NULL));
	IS_EINVAL(snpu_mem_share(d.ctx, NULL, 0, &mem));
	IS_EINVAL(snpu_mem_share(NULL, d.mem, 0, &mem));
	IS_EINVAL(snpu_get_ports(s, 0, NULL, 8, 1));
	IS_EINVAL(snpu_seg_export(d.mem, SNPU_SEG_READ, NULL, NULL));
	IS_EINVAL(snpu_seg_lookup(d.ctx, "a", NULL));
	IS_EINVAL(snpu_seg_import(d.ctx, NULL, 0, &mem));
	IS_EINVAL(snpu_seg_import_name(d.ctx, "a", 0, NULL));
	IS_EINVAL(snpu_queue_vtime(d.q, 1, 0, NULL, 8));
	IS_EINVAL(snpu_fence_vtime(f, 0, NULL, 8));
	IS_EINVAL(snpu_queue_create(d.ctx, NULL, NULL));
	IS_EINVAL(snpu_queue_error(d.q, NULL, 8));
	IS_EINVAL(snpu_error_format(&err, NULL, 8));
	IS_EINVAL(snpu_cmdbuf_create(d.ctx, 1, NULL));
	IS_EINVAL(snpu_queue_put_cmdbuf(d.q, NULL));
	IS_EINVAL(snpu_queue_put_cmdbuf(NULL, cb));
	IS_EINVAL(snpu_fence_create(d.q, pos, NULL));
	IS_EINVAL(snpu_fence_export(f, NULL));
	IS_EINVAL(snpu_fence_import(s, 0, NULL));
	IS_EINVAL(snpu_queue_put_fence(d.q, NULL));
	IS_EINVAL(snpu_queue_put_fence(NULL, f));
	IS_EINVAL(snpu_timeline_create(s, NULL));
	IS_EINVAL(snpu_timeline_attach(tl, 1, NULL, pos));
	IS_EINVAL(snpu_timeline_attach(NULL, 1, d.q, pos));
	IS_EINVAL(snpu_timeline_query(tl, NULL));
	IS_EINVAL(snpu_queue_put_timeline(d.q, NULL, 1));
	IS_EINVAL(snpu_queue_put_timeline(NULL, tl, 1));
	IS_EINVAL(snpu_event_create(d.ctx, NULL));
	IS_EINVAL(snpu_event_va(ev, d.ctx, NULL));
	IS_EINVAL(snpu_event_va(ev, NULL, &v));

	CHECK_EQ(snpu_fence_wait(f, T_LONG), 0);
	CHECK_EQ(snpu_fence_destroy(f), 0);
	CHECK_EQ(snpu_timeline_destroy(tl), 0);
	CHECK_EQ(snpu_event_destroy(ev), 0);
	CHECK_EQ(snpu_cmdbuf_destroy(cb), 0);
	t_dev_close(&d);
}

static const struct t_case cases[] = {
	{ "calls without their object", no_object, T_BOTH },
	{ "getters and destroyers without their object", getters, T_BOTH },
	{ "calls without a place for the answer", no_answer, T_BOTH },
};

int main(void)
{
	return t_main(cases, sizeof(cases) / sizeof(cases[0]));
}
