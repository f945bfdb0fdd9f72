// SPDX-License-Identifier: MIT
/*
 * snpu-supernode: many guests with NPUs of one machine, one program in all of them. Started by
 * tools/vm/supernode, which knows the kernel, the image and where things are.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "supernode.h"

#define STOP_S	5.0	/* for a program to end after SIGTERM */

static struct sn_machine m;
static struct sn_pace pace;

/* Often called: what ends everything */
static int tick(void)
{
	sn_progress(&m, &pace);
	if (m.model.dead) {
		char text[64];

		sn_reap(&m.model.proc, text, sizeof(text));
		sn_msg("error: snpud died: %s", text);
		sn_tail(m.model.log, 20);
		return -ESRCH;
	}
	return 0;
}

static unsigned int in_state(enum sn_state from, enum sn_state to)
{
	unsigned int i, n = 0;

	for (i = 0; i < m.opts.hosts; i++)
		n += m.guests[i].state >= from && m.guests[i].state <= to;
	return n;
}

static int wait_some(void)
{
	int ret = sn_loop_once(200);
	static double looked;
	unsigned int i;

	if (ret)
		return ret;
	for (i = 0; i < m.opts.hosts; i++)
		sn_qemu_tick(&m.guests[i].q);
	if (sn_now() - looked > 0.5) {
		double memory = sn_memory(&m);

		m.memory = memory > m.memory ? memory : m.memory;
		looked = sn_now();
	}
	return tick();
}

/* One that a guest could not be made of is not kept for the next time */
static void check_template(void)
{
	unsigned int i;

	for (i = 0; i < m.opts.hosts; i++) {
		const struct sn_guest *g = &m.guests[i];

		if (g->state != SN_FAILED || g->at[SN_PLUGS] > 0 || !(g->at[SN_RESTORES] > 0))
			continue;
		sn_msg("the template is removed; the next run makes it anew");
		sn_template_discard(&m.tpl);
		return;
	}
}

/* From the template to guests that have their NPUs */
static int bring_up(void)
{
	unsigned int next = 0;
	int ret = 0;

	m.guests = sn_alloc(m.opts.hosts * sizeof(*m.guests));
	for (next = 0; next < m.opts.hosts; next++) {
		m.guests[next].m = &m;
		m.guests[next].host = next;
		m.guests[next].q.proc.pidfd = -1;
		m.guests[next].q.monitor.fd = -1;
		m.guests[next].q.port.fd = -1;
		m.guests[next].q.exit.fd = -1;
		snprintf(m.guests[next].name, sizeof(m.guests[next].name), "h%02u", next);
	}
	next = 0;
	while (!ret && in_state(SN_READY, SN_READY) < m.opts.hosts) {
		if (in_state(SN_FAILED, SN_FAILED)) {
			check_template();
			return -EIO;
		}
		while (next < m.opts.hosts && in_state(SN_RESTORES, SN_PROBES) < m.opts.parallel)
			sn_guest_start(&m, &m.guests[next++]);
		ret = wait_some();
		if (!ret && sn_now() - m.tpl_done > 60 + m.opts.hosts * 30.0) {
			sn_msg("error: only %u of %u guests came up", in_state(SN_READY, SN_READY),
			       m.opts.hosts);
			ret = -ETIMEDOUT;
		}
	}
	return ret;
}

/* What they say of it tells where they were */
static void stop_programs(void)
{
	double limit = sn_now() + STOP_S;
	unsigned int i;

	for (i = 0; i < m.opts.hosts; i++)
		sn_guest_stop(&m.guests[i]);
	while (in_state(SN_RUNS, SN_RUNS) && sn_now() < limit && !wait_some())
		;
}

/* The program in all of them. After a failure the others have their time to notice it */
static int run(void)
{
	unsigned int i;
	int ret = 0;

	for (i = 0; i < m.opts.hosts; i++)
		sn_guest_run(&m.guests[i]);
	m.limit = sn_now() + m.opts.timeout;
	while (!ret && in_state(SN_RUNS, SN_RUNS)) {
		ret = wait_some();
		if (!ret && m.opts.kill_guest >= 0 && m.rows) {
			struct sn_guest *g = &m.guests[m.opts.kill_guest];

			sn_msg("killing %s, as asked", g->name);
			kill(g->q.proc.pid, SIGKILL);
			m.opts.kill_guest = -1;
		}
		if (!ret && m.settle && sn_now() > m.settle) {
			sn_msg("error: %u guests did not notice within %d s that another one failed",
			       in_state(SN_RUNS, SN_RUNS), SN_SETTLE_S);
			ret = -ETIMEDOUT;
		}
		if (!ret && sn_now() > m.limit) {
			sn_msg("error: %u guests are not done within %u s", in_state(SN_RUNS, SN_RUNS),
			       m.opts.timeout);
			ret = -ETIME;
		}
	}
	if (ret == -ETIMEDOUT || ret == -ETIME)
		stop_programs();
	return ret;
}

static int work(void)
{
	double tpl;
	int ret;

	ret = sn_model_start(&m.model, &m.opts);
	if (ret)
		return ret;
	sn_pace_load(&m.opts, m.model.npus, &pace);
	m.table = sn_table_create(m.opts.hosts, m.model.npus);
	tpl = pace.tpl;
	if (sn_template_there(&m.opts, m.model.hbm))
		pace.tpl = 0;
	ret = sn_needs_check(&m, &pace);
	if (!ret)
		ret = sn_template_get(&m.tpl, &m.opts, m.model.hbm, tick);
	if (ret)
		return ret;
	pace.tpl = m.tpl.cached ? tpl : m.tpl.seconds;
	pace.guessed &= m.tpl.cached;
	m.tpl_done = sn_now();
	ret = bring_up();
	if (ret)
		return ret;
	m.up = sn_now();
	pace.guest = (m.up - m.tpl_done) / m.opts.hosts;
	ret = run();
	m.run_done = sn_now();
	if (ret)
		return ret;
	pace.run = (m.run_done - m.up) / m.opts.hosts;
	if (m.opts.timing && !in_state(SN_FAILED, SN_FAILED)) {
		ret = sn_model_timing(&m.model, &m.vtime);
		if (ret)
			return ret;
	}
	if (!in_state(SN_FAILED, SN_FAILED))
		sn_pace_save(&m.opts, m.model.npus, &pace);
	m.keeps = m.opts.keep;
	while (m.keeps && !ret) {
		/* whoever dies meanwhile is told of, as during the run */
		sn_progress_clear();
		ret = sn_loop_once(1000);
		if (!ret && m.model.dead)
			ret = tick();
		if (!ret && in_state(SN_FAILED, SN_FAILED))
			ret = -EIO;
	}
	return ret < 0 ? ret : 0;
}

/* A descriptor or three for each guest, and memory files of others */
static void raise_fd_limit(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl))
		return;
	rl.rlim_cur = rl.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &rl);
}

static void end_all(void)
{
	struct sn_proc *procs[SN_MAX_HOSTS + 1];
	unsigned int i, n = 0;

	/* guests first: an NPU that goes away under a guest is an error there */
	for (i = 0; m.guests && i < m.opts.hosts; i++)
		procs[n++] = &m.guests[i].q.proc;
	sn_end(procs, n);
	procs[0] = &m.model.proc;
	sn_end(procs, 1);
	for (i = 0; m.guests && i < m.opts.hosts; i++)
		sn_guest_close(&m.guests[i]);
	free(m.guests);
	sn_table_free(m.table);
	sn_template_close(&m.tpl);
}

int main(int argc, char **argv)
{
	regex_t faults;
	int ret, code = 0;

	/* before all else: signals wait from here on until they are looked at */
	ret = sn_loop_init();
	if (ret) {
		sn_msg("error: %s", strerror(-ret));
		return SN_EXIT_MACHINE;
	}
	/* tools/vm/supernode; without it nobody would remove the files */
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	ret = sn_options(&m.opts, argc, argv);
	if (ret < 0)
		return SN_EXIT_USAGE;
	if (sn_name_take(m.opts.name) < 0)
		return SN_EXIT_MACHINE;
	if (ret)
		return 0;
	if (m.opts.verbose)
		sn_msg("this is process %d", (int)getpid());
	m.start = sn_now();
	m.tpl.lock = -1;
	if (m.opts.faults) {
		if (regcomp(&faults, m.opts.faults, REG_EXTENDED | REG_NOSUB)) {
			sn_msg("--faults: not a regular expression");
			return SN_EXIT_USAGE;
		}
		m.faults = &faults;
	}
	raise_fd_limit();
	ret = work();
	if (ret > 0) {
		sn_msg("%s: ending all guests", strsignal(ret));
		code = 128 + ret;
	} else if (ret == -ETIME) {
		code = SN_EXIT_TIME;
	} else if (ret == -EINVAL) {
		code = SN_EXIT_USAGE;
	} else if (ret) {
		code = SN_EXIT_MACHINE;
	}
	if (ret <= 0)
		code = sn_report(&m, code);
	end_all();
	if (m.faults)
		regfree(m.faults);
	return code;
}
