// SPDX-License-Identifier: MIT
/*
 * For a guest with swiotlb=force, where devices see copies of host memory: everything that needs
 * such memory says so, and so does the kernel log, once. Prints nothing but TAP.
 */
#include <sys/klog.h>

#include "tap.h"

#define SYSLOG_READ_ALL	3

static void refused(void)
{
	struct snpu_mem *m;
	struct snpu_queue *q;
	struct snpu_ctx *ctx;

	NEED(!snpu_ctx_create(t_snpu(), 0, &ctx));
	CHECK_EQ(snpu_mem_alloc(ctx, 4096, SNPU_MEM_HOST, &m), -EOPNOTSUPP);
	CHECK_TEXT(snpu_last_error(), "bounce buffers");
	/* more than one bounce buffer could hold */
	CHECK_EQ(snpu_mem_alloc(ctx, 8 << 20, SNPU_MEM_HOST, &m), -EOPNOTSUPP);
	CHECK_TEXT(snpu_last_error(), "bounce buffers");
	/* its ring */
	CHECK_EQ(snpu_queue_create(ctx, NULL, &q), -EOPNOTSUPP);
	CHECK_TEXT(snpu_last_error(), "bounce buffers");
	/* what the NPU has itself is not concerned */
	CHECK_EQ(snpu_mem_alloc(ctx, 8 << 20, SNPU_MEM_HBM, &m), 0);
	CHECK_EQ(snpu_mem_free(m), 0);
	CHECK_EQ(snpu_ctx_destroy(ctx), 0);
}

static void logged(void)
{
	static char text[1 << 20];
	const char *p = text;
	unsigned int n = 0;

	NEED(klogctl(SYSLOG_READ_ALL, text, sizeof(text) - 1) > 0);
	while ((p = strstr(p, "goes through bounce buffers"))) {
		n++;
		p++;
	}
	CHECK_EQ(n, 1);
}

static const struct t_case cases[] = {
	{ "host memory is refused, with the reason", refused, T_KMD },
	{ "the kernel log has it once", logged, T_KMD },
};

int main(void)
{
	return t_main(cases, sizeof(cases) / sizeof(cases[0]));
}
