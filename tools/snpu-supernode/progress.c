// SPDX-License-Identifier: MIT
/* One line of progress: redrawn on a terminal, else one every 15 seconds. */
#include <string.h>
#include <unistd.h>

#include "supernode.h"

#define QUIET_S	15.0

static bool drawn;
static double last;

void sn_progress_clear(void)
{
	if (drawn)
		fprintf(stderr, "\r%-100s\r", "");
	drawn = false;
}

static unsigned int count(const struct sn_machine *m, enum sn_state from, enum sn_state to)
{
	unsigned int i, n = 0;

	for (i = 0; i < m->opts.hosts; i++)
		n += m->guests[i].state >= from && m->guests[i].state <= to;
	return n;
}

void sn_progress(const struct sn_machine *m, const struct sn_pace *pace)
{
	const bool tty = isatty(2);
	double now = sn_now(), t = now - m->start, total, left;
	unsigned int hosts = m->opts.hosts, up, done;
	char bar[31], text[160];
	unsigned int fill;

	if (now - last < (tty ? 0.25 : QUIET_S))
		return;
	last = now;
	if (!m->guests) {
		snprintf(text, sizeof(text), "making the template");
		total = pace->tpl;
		left = total > t ? total - t : 1;
		fill = (unsigned int)(5 * t / (total > t ? total : t + 1));
	} else {
		up = count(m, SN_READY, SN_DONE);
		done = count(m, SN_DONE, SN_DONE);
		/* what is left, at the pace of what was done */
		left = (hosts - up) * pace->guest + (hosts - done) * pace->run;
		if (up > 2 && !m->up)
			left = (hosts - up) * (now - m->tpl_done) / up + hosts * pace->run;
		fill = 5 + (unsigned int)(15.0 * up / hosts + 10.0 * done / hosts);
		if (m->up)
			snprintf(text, sizeof(text), "%u of %u guests have finished, %u rows", done,
				 hosts, m->rows);
		else
			snprintf(text, sizeof(text), "%u of %u guests are up", up, hosts);
	}
	fill = fill > 30 ? 30 : fill;
	memset(bar, '.', 30);
	memset(bar, '#', fill);
	bar[30] = 0;
	if (tty) {
		fprintf(stderr, "\r[%s] %s, %.0f s, about %.0f s left   ", bar, text, t, left);
		drawn = true;
	} else {
		fprintf(stderr, "%s: %s, %.0f s, about %.0f s left\n", SN_NAME, text, t, left);
	}
	fflush(stderr);
}
