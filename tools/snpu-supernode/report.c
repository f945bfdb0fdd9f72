// SPDX-License-Identifier: MIT
/* What came out: the table, how long what took, and who failed. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "supernode.h"

#define SHOW_GUESTS	8u	/* that failed */
#define SHOW_LINES	8u	/* of what a program says on its standard error */

static void say_err(const struct sn_guest *g)
{
	uint64_t left;

	if (!g->err_len)
		return;
	left = g->err_len - sn_show(g->err, g->err_len, SHOW_LINES) + g->err_cut;
	if (left)
		fprintf(stderr, "  | ... and %llu bytes more, which --logs DIR keeps\n",
			(unsigned long long)left);
}

static int write_json(const struct sn_machine *m, int ret)
{
	struct json_object *o = json_object_new_object();
	int rc;

	json_object_object_add(o, "hosts", json_object_new_int((int)m->opts.hosts));
	json_object_object_add(o, "npus", json_object_new_int((int)(m->opts.hosts * m->model.npus)));
	json_object_object_add(o, "exit", json_object_new_int(ret));
	json_object_object_add(o, "template_cached", json_object_new_boolean(m->tpl.cached));
	json_object_object_add(o, "template_s", json_object_new_double(m->tpl.seconds));
	json_object_object_add(o, "up_s", json_object_new_double(m->up ? m->up - m->start : 0));
	json_object_object_add(o, "total_s", json_object_new_double(sn_now() - m->start));
	json_object_object_add(o, "memory_mib", json_object_new_double(m->memory));
	if (m->vtime.packets) {
		json_object_object_add(o, "virtual_ns", json_object_new_int64(m->vtime.now_ns));
		json_object_object_add(o, "hash", json_object_new_string(m->vtime.hash));
	}
	json_object_object_add(o, "rows", sn_table_json(m->table));
	rc = json_object_to_file_ext(m->opts.json, o, JSON_C_TO_STRING_PRETTY);
	json_object_put(o);
	if (rc)
		sn_msg("%s: %s", m->opts.json, json_util_get_last_err());
	return rc;
}

/* The kernel's words that mean a fault, in any guest's console */
static unsigned int look_at_kernels(struct sn_machine *m)
{
	unsigned int i, bad = 0;
	char *line = NULL;
	size_t cap = 0;

	for (i = 0; m->faults && i < m->opts.hosts; i++) {
		FILE *f = fopen(m->guests[i].q.console, "re");

		while (f && getline(&line, &cap, f) >= 0) {
			if (regexec(m->faults, line, 0, NULL, 0))
				continue;
			sn_msg("%s: its kernel says:", m->guests[i].name);
			sn_show(line, strcspn(line, "\r\n"), 1);
			bad++;
			break;
		}
		if (f)
			fclose(f);
	}
	free(line);
	return bad;
}

int sn_report(struct sn_machine *m, int ret)
{
	unsigned int i, shown = 0, failed = 0, bad, sick;

	sn_progress_clear();
	/* a guest that broke is why the programs of others failed */
	for (i = 0; m->guests && i < m->opts.hosts; i++)
		if (m->guests[i].state == SN_FAILED)
			ret = ret ? ret : SN_EXIT_MACHINE;
	for (i = 0; m->guests && i < m->opts.hosts; i++) {
		const struct sn_guest *g = &m->guests[i];

		if (g->state != SN_FAILED && (g->state != SN_DONE || !g->rc))
			continue;
		ret = ret ? ret : SN_EXIT_WRONG;
		failed++;
		if (shown == SHOW_GUESTS)
			sn_msg("... and others");
		if (shown++ >= SHOW_GUESTS)
			continue;
		sn_msg("%s: %s%.0d", g->name, g->state == SN_FAILED ? g->why :
		       "its program failed with exit code ", g->state == SN_FAILED ? 0 : g->rc);
		say_err(g);
	}
	if (m->guests) {
		sick = look_at_kernels(m);
		sn_table_print(m->table, stdout);
		fflush(stdout);
		bad = sn_table_say(m->table, stderr, m->up > 0 ? m->opts.rows : 0);
		if (sick)
			ret = ret ? ret : SN_EXIT_MACHINE;
		if (bad)
			ret = ret ? ret : SN_EXIT_WRONG;
	}
	if (m->vtime.packets)
		printf("%s: virtual time %.3f us, %lld packets, %lld transfers, trace hash %s\n",
		       SN_NAME, (double)m->vtime.now_ns / 1e3, (long long)m->vtime.packets,
		       (long long)m->vtime.transfers, m->vtime.hash);
	printf("%s: %u guests x %u NPUs: template %s %.1f s, up after %.1f s, done after %.1f s, "
	       "%.1f GiB of memory: %s\n", SN_NAME, m->opts.hosts, m->model.npus,
	       m->tpl.cached ? "from the cache" : "made in", m->tpl.seconds,
	       m->up ? m->up - m->start : 0, sn_now() - m->start, m->memory / 1024,
	       ret ? "FAILED" : m->rows ? "all results are right" :
	       "the program ended well in all of them, and gave no results");
	if (failed)
		printf("%s: %u guests failed or say that another one did\n", SN_NAME, failed);
	if (m->opts.json && write_json(m, ret))
		ret = ret ? ret : SN_EXIT_MACHINE;
	fflush(stdout);
	return ret;
}
