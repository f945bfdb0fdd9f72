// SPDX-License-Identifier: MIT
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "log/packet_log.h"
#include "snpu_hw.h"
#include "snpuctl.h"

/* In lower case, as the other words of a line; valid until the next call */
static const char *op_name(unsigned int op)
{
	static const char *const names[] = {
#define SNPU_OP(name)	[SNPU_OP_##name] = #name,
#include "snpu_ops.h"
	};
	static char word[16];
	size_t i;

	if (op >= sizeof(names) / sizeof(names[0]) || !names[op])
		return "?";
	for (i = 0; names[op][i] && i < sizeof(word) - 1; i++)
		word[i] = (char)tolower((unsigned char)names[op][i]);
	word[i] = '\0';
	return word;
}

static const char *dt_name(unsigned int dt)
{
	static const char *const names[] = { "-", "f32", "bf16", "f16", "i8", "i32", "i64" };

	return dt <= SNPU_DT_MAX ? names[dt] : "?";
}

static const char *sem_name(unsigned int kind)
{
	static const char *const names[] = { "", "set", "add", "ge", "eq" };

	return kind < sizeof(names) / sizeof(names[0]) ? names[kind] : "?";
}

/* -1 for "none" reads better than 2^32 - 1 */
static int64_t node(uint32_t n)
{
	return n == SNPU_PLOG_NO_NODE ? -1 : (int64_t)n;
}

static void print_json(const struct snpu_plog_rec *r)
{
	printf("{\"node\":%u,\"queue\":%u,\"epoch\":%u,\"seq\":%" PRIu64 ",\"sub\":%" PRId64
	       ",\"op\":\"%s\",\"flags\":%u,\"dtype\":\"%s\",\"dtype2\":\"%s\","
	       "\"bytes_read\":%" PRIu64 ",\"bytes_written\":%" PRIu64 ",\"flops\":%" PRIu64
	       ",\"read_node\":%" PRId64 ",\"write_node\":%" PRId64,
	       r->node, r->queue, r->epoch, r->seq, node(r->sub), op_name(r->op), r->flags,
	       dt_name(r->dtype), dt_name(r->dtype2), r->bytes_read, r->bytes_written, r->flops,
	       node(r->read_node), node(r->write_node));
	if (r->sem_kind)
		printf(",\"sem\":{\"kind\":\"%s\",\"node\":%" PRId64 ",\"host\":%s,\"addr\":%"
		       PRIu64 ",\"generation\":%u,\"value\":%" PRIu64 "}",
		       sem_name(r->sem_kind), node(r->sem_node), r->sem_host ? "true" : "false",
		       r->sem_addr, r->sem_gen, r->sem_value);
	if (r->timing_only)
		printf(",\"timing_only\":true");
	printf("}\n");
}

static void print_text(const struct snpu_plog_rec *r)
{
	printf("%4u.%-3u %3u %8" PRIu64, r->node, r->queue, r->epoch, r->seq);
	if (r->sub == SNPU_PLOG_RING)
		printf("%6s", "");
	else
		printf("+%-5u", r->sub);
	printf(" %-10s %-4s %-4s %12" PRIu64 " %12" PRIu64 " %14" PRIu64, op_name(r->op),
	       dt_name(r->dtype), dt_name(r->dtype2), r->bytes_read, r->bytes_written, r->flops);
	if (r->read_node != SNPU_PLOG_NO_NODE)
		printf(" from %u", r->read_node);
	if (r->write_node != SNPU_PLOG_NO_NODE)
		printf(" to %u", r->write_node);
	if (r->sem_kind)
		printf(" %s %s%" PRId64 ":0x%" PRIx64 " %" PRIu64, sem_name(r->sem_kind),
		       r->sem_host ? "host-of-" : "", node(r->sem_node), r->sem_addr,
		       r->sem_value);
	putchar('\n');
}

int ctl_log(const char *file, bool json)
{
	struct snpu_plog_rec *recs;
	struct snpu_plog_head head;
	char err[512];
	size_t i, n;
	int ret;

	ret = snpu_plog_read(file, &head, &recs, &n, err, sizeof(err));
	if (ret)
		fprintf(stderr, "snpuctl: %s\n", err);
	if (ret && ret != -ENODATA)
		return CTL_FAILED;
	if (json) {
		for (i = 0; i < n; i++)
			print_json(&recs[i]);
	} else {
		printf("# profile %s, %zu packets, hash %016" PRIx64 "\n", head.profile, n,
		       snpu_plog_hash(recs, n));
		printf("#npu.queue epoch    seq+sub op         type to          read        written"
		       "          flops\n");
		for (i = 0; i < n; i++)
			print_text(&recs[i]);
	}
	free(recs);
	return ret || fflush(stdout) ? CTL_FAILED : CTL_OK;
}
