// SPDX-License-Identifier: MIT
/*
 * snpud: models the NPUs of an AI supernode.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/control.h"
#include "device/npu.h"
#include "device/sync.h"
#include "log/log.h"
#include "log/packet_log.h"
#include "profiles/profile.h"
#include "snpud.h"
#include "fabric/topo.h"
#include "timing/plane.h"
#include "vfio/vfu_proto.h"

struct snpud {
	struct snpud_opts opts;
	struct snpu_profile *profile;
	struct snpu_topo *topo;
	struct snpu_plane *plane;
	struct snpu_plog *plog;
	struct snpu_machine *machine;
	struct snpud_sockets *sockets;
	struct snpu_control *control;
	int lock_fd;
	int signal_fd;
	char lock_path[256];
	char control_path[256];
	char err[512];
};

/*
 * What an NPU takes: HBM, doorbells, copies of both, a socket; and what its client can make snpud
 * hold: a connection and one that waits, an eventfd for each vector and one more, what comes with a
 * message.
 */
#define FDS_NPU		(5u + 2 + SNPU_MSIX_VECTORS + 1 + SNPU_VFU_MAX_FDS)
#define FDS_OTHERS	(32u + 2 * SNPU_CONTROL_MAX_CLIENTS)

/* With enough for what all clients can hold, no client can keep another from connecting */
static void raise_fd_limit(unsigned int npus)
{
	uint64_t need = (uint64_t)npus * FDS_NPU + FDS_OTHERS;
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl))
		return;
	if (rl.rlim_cur != rl.rlim_max) {
		rl.rlim_cur = rl.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &rl))
			snpu_log(SNPU_LOG_ERR, "raising the limit of open files: %s",
				 strerror(errno));
	}
	if (rl.rlim_cur < need)
		snpu_log(SNPU_LOG_ERR, "open files: %llu are allowed, the clients of %u NPUs can "
			 "need %llu (ulimit -Hn): one may keep others from connecting",
			 (unsigned long long)rl.rlim_cur, npus, (unsigned long long)need);
}

/* The directory is ours as long as the lock on its lock file is: stale sockets may then go */
static int take_dir(struct snpud *s)
{
	const char *dir = s->opts.socket_dir;
	struct stat st;
	int ret;

	if (mkdir(dir, 0700) && errno != EEXIST) {
		fprintf(stderr, "snpud: %s: %s\n", dir, strerror(errno));
		return SNPUD_EXIT_FAILED;
	}
	if (stat(dir, &st) || !S_ISDIR(st.st_mode)) {
		fprintf(stderr, "snpud: %s: not a directory\n", dir);
		return SNPUD_EXIT_FAILED;
	}
	if (snprintf(s->lock_path, sizeof(s->lock_path), "%s/snpud.lock", dir) >=
	    (int)sizeof(s->lock_path) ||
	    snprintf(s->control_path, sizeof(s->control_path), "%s/control.sock", dir) >= 107) {
		fprintf(stderr, "snpud: %s: path too long for sockets (107 bytes)\n", dir);
		return SNPUD_EXIT_USAGE;
	}
	s->lock_fd = open(s->lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (s->lock_fd < 0) {
		fprintf(stderr, "snpud: %s: %s\n", s->lock_path, strerror(errno));
		return SNPUD_EXIT_FAILED;
	}
	if (flock(s->lock_fd, LOCK_EX | LOCK_NB)) {
		ret = errno == EWOULDBLOCK ? SNPUD_EXIT_RUNNING : SNPUD_EXIT_FAILED;
		fprintf(stderr, "snpud: %s: %s\n", dir, errno == EWOULDBLOCK ?
			"another snpud serves this directory" : strerror(errno));
		return ret;
	}
	/* whoever ended meanwhile took the file away: the lock is on nothing */
	if (fstat(s->lock_fd, &st) || !st.st_nlink) {
		fprintf(stderr, "snpud: %s: another snpud just ended there, try again\n", dir);
		return SNPUD_EXIT_RUNNING;
	}
	if (!lstat(s->control_path, &st) && S_ISSOCK(st.st_mode))
		unlink(s->control_path);
	return -1;
}

static int take_signals(struct snpud *s)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	/* blocked before any thread exists, so that no thread takes one */
	if (sigprocmask(SIG_BLOCK, &set, NULL))
		return -errno;
	s->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return s->signal_fd < 0 ? -errno : 0;
}

static void report(const char *msg)
{
	snpu_log(SNPU_LOG_ERR, "%s", msg);
}

static int load_profile(struct snpud *s)
{
	uint32_t total, per_host;

	s->profile = snpu_profile_load(s->opts.profile, s->err, sizeof(s->err));
	if (!s->profile) {
		fprintf(stderr, "snpud: %s\n", s->err);
		return SNPUD_EXIT_USAGE;
	}
	total = snpu_profile_npus(s->profile);
	per_host = (uint32_t)snpu_fig_u64(&s->profile->machine.npus_per_host);
	if (s->opts.hosts)
		s->opts.npus = s->opts.hosts * per_host;
	if (!s->opts.npus && s->opts.first_node < total)
		s->opts.npus = total - s->opts.first_node;
	if (s->opts.first_node >= total || s->opts.npus > total - s->opts.first_node) {
		fprintf(stderr,
			"snpud: %u NPUs from node %u on: profile %s has nodes 0 .. %u (%u hosts of "
			"%u)\n", s->opts.npus, s->opts.first_node, s->profile->name, total - 1,
			total / per_host, per_host);
		return SNPUD_EXIT_USAGE;
	}
	return -1;
}

static int start_timing(struct snpud *s)
{
	struct snpu_plane_opts o = {
		.ideal = s->opts.ideal, .max_records = s->opts.timing_records, .report = report,
	};

	s->topo = snpu_topo_new(s->profile, s->err, sizeof(s->err));
	if (!s->topo)
		return -1;
	o.topo = s->topo;
	s->plane = snpu_plane_new(&o, s->err, sizeof(s->err));
	return s->plane ? 0 : -1;
}

static int start(struct snpud *s)
{
	struct snpu_machine_opts mo = {
		.profile = s->profile,
		.npus = s->opts.npus,
		.first_node = s->opts.first_node,
		.workers = s->opts.workers,
		.delays = s->opts.delays,
		.memory = s->opts.memory,
	};
	struct snpu_control_opts co = { .path = s->control_path };

	/* by default what is there, however much others take of it later */
	if (!mo.memory) {
		mo.memory = snpud_memory_left() + 1;
		mo.memory_left = snpud_memory_left;
	}
	if (s->opts.timing && start_timing(s))
		return -1;
	mo.plane = s->plane;
	if (s->opts.packet_log || s->plane) {
		s->plog = snpu_plog_new(s->opts.packet_log, s->profile->name,
					s->plane ? snpu_plane_sink : NULL, s->plane, report,
					s->err, sizeof(s->err));
		if (!s->plog)
			return -1;
	}
	mo.plog = s->plog;
	s->machine = snpu_machine_create(&mo, s->err, sizeof(s->err));
	if (!s->machine)
		return -1;
	s->sockets = snpud_sockets_create(s->opts.socket_dir, s->machine, s->err, sizeof(s->err));
	if (!s->sockets)
		return -1;
	co.machine = s->machine;
	co.plog = s->opts.packet_log ? s->plog : NULL;
	co.plane = s->plane;
	co.topo = s->topo;
	s->control = snpu_control_open(&co, s->err, sizeof(s->err));
	return s->control ? 0 : -1;
}

static void tell_ready(struct snpud *s, uint64_t t0)
{
	char line[512];
	int n;

	n = snprintf(line, sizeof(line), "snpud: ready: %u NPUs (%s) in %s, %.2f s\n",
		     s->opts.npus, s->profile->name, s->opts.socket_dir,
		     (double)(snpu_clock_ns() - t0) / 1e9);
	fputs(line, stdout);
	fflush(stdout);
	snpu_log(SNPU_LOG_DEBUG, "%u workers, hardware ABI %d.%d",
		 snpu_machine_workers(s->machine), SNPU_ABI_MAJOR, SNPU_ABI_MINOR);
	if (s->opts.ready_fd < 0)
		return;
	if (write(s->opts.ready_fd, line, (size_t)n) != n)
		snpu_log(SNPU_LOG_ERR, "--ready-fd %d: %s", s->opts.ready_fd, strerror(errno));
	close(s->opts.ready_fd);
}

static void stop(struct snpud *s)
{
	uint64_t lost;

	/* calls of the control socket that wait for virtual time end */
	snpu_plane_stop(s->plane);
	snpu_control_close(s->control);
	snpud_sockets_destroy(s->sockets);
	snpu_machine_destroy(s->machine);
	lost = snpu_plog_close(s->plog);
	if (lost)
		snpu_log(SNPU_LOG_ERR, "packet log: %llu records were lost",
			 (unsigned long long)lost);
	snpu_plane_free(s->plane);
	snpu_topo_free(s->topo);
	snpu_profile_free(s->profile);
	if (s->lock_fd >= 0) {
		unlink(s->lock_path);
		close(s->lock_fd);
	}
	if (s->signal_fd >= 0)
		close(s->signal_fd);
}

int main(int argc, char **argv)
{
	struct snpud s = { .lock_fd = -1, .signal_fd = -1 };
	uint64_t t0 = snpu_clock_ns();
	int ret;

	ret = snpud_options(argc, argv, &s.opts);
	if (ret >= 0)
		return ret;
	ret = snpu_log_open(s.opts.log, s.opts.verbose);
	if (ret) {
		fprintf(stderr, "snpud: --log %s: %s\n", s.opts.log, strerror(-ret));
		return SNPUD_EXIT_USAGE;
	}
	ret = load_profile(&s);
	if (ret >= 0)
		goto out;
	ret = take_dir(&s);
	if (ret >= 0) {
		/* the lock file belongs to the one who holds the lock */
		if (s.lock_fd >= 0)
			close(s.lock_fd);
		s.lock_fd = -1;
		goto out;
	}
	raise_fd_limit(s.opts.npus);
	if (take_signals(&s)) {
		fprintf(stderr, "snpud: signals: %s\n", strerror(errno));
		ret = SNPUD_EXIT_FAILED;
		goto out;
	}
	if (start(&s)) {
		fprintf(stderr, "snpud: %s\n", s.err);
		ret = SNPUD_EXIT_FAILED;
		goto out;
	}
	tell_ready(&s, t0);
	ret = snpu_control_run(s.control, s.signal_fd);
	if (ret)
		snpu_log(SNPU_LOG_ERR, "control: %s", strerror(-ret));
	ret = ret ? SNPUD_EXIT_FAILED : SNPUD_EXIT_OK;
out:
	stop(&s);
	return ret;
}
