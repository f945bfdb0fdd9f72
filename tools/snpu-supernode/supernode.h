/* SPDX-License-Identifier: MIT */
#ifndef SNPU_SUPERNODE_H
#define SNPU_SUPERNODE_H

#include <json.h>
#include <regex.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "frame.h"
#include "table.h"
#include "text.h"

#define SN_MAX_HOSTS	256u
#define SN_MAX_NPUS	8u		/* functions of a PCI slot */
#define SN_NAME		"snpu-supernode"
#define SN_SETTLE_S	90		/* for others to notice that a guest failed */

/* Exit codes, after those of tools/vm/snpu-vm */
#define SN_EXIT_WRONG	1		/* a guest's program failed or a result is wrong */
#define SN_EXIT_USAGE	2
#define SN_EXIT_TIME	124		/* the time limit is over */
#define SN_EXIT_MACHINE	125		/* the machine itself failed: guest, QEMU, snpud, memory */

/**
 * struct sn_opts - the command line
 * @hosts: guests
 * @npus: of each guest; 0: those that a host of the profile has
 * @mem_mib: memory of a guest
 * @tb_mib: its cache of translated code
 * @parallel: guests that are being brought up at a time
 * @timeout: seconds for the program
 * @name: {name} in the program's words
 * @profile: of snpud, or NULL
 * @json: file for the results, or NULL
 * @logs: directory that gets all output and logs, or NULL
 * @kill_guest: kill this one when the first result came, to see what happens; -1: none
 * @timing: snpud keeps virtual time
 * @keep: leave the machine up after the program, until a signal
 * @verbose: say more
 * @dir: directory for sockets and logs, made and removed by the caller
 * @cache: where the template is kept
 * @kernel: ELF kernel
 * @initrd: image of the guest
 * @snpud: the program
 * @qemu: version of QEMU
 * @rows: results that have to come out at least
 * @faults: regular expression of kernel words that mean a fault, or NULL
 * @env: variables NAME=VALUE for the program
 * @env_count: how many
 * @argv: the program
 */
struct sn_opts {
	unsigned int hosts;
	unsigned int npus;
	unsigned int mem_mib;
	unsigned int tb_mib;
	unsigned int parallel;
	unsigned int timeout;
	const char *name;
	const char *profile;
	const char *json;
	const char *logs;
	int kill_guest;
	bool timing;
	bool keep;
	bool verbose;
	const char *dir;
	const char *cache;
	const char *kernel;
	const char *initrd;
	const char *snpud;
	const char *qemu;
	unsigned int rows;
	const char *faults;
	const char *env[64];
	unsigned int env_count;
	char **argv;
};

/**
 * sn_options - parse the command line
 * @opts: filled in
 * @argc: of main()
 * @argv: of main()
 *
 * Return: 0; 1: all is said, leave; -EINVAL: a message was printed
 */
int sn_options(struct sn_opts *opts, int argc, char **argv);

/* --- proc.c: children, time, messages --- */

/**
 * struct sn_proc - a child
 * @pid: 0: none
 * @pidfd: readable once it ended
 * @name: for messages
 */
struct sn_proc {
	pid_t pid;
	int pidfd;
	char name[32];
};

/**
 * sn_spawn - start a program that does not outlive this one
 * @p: filled in
 * @argv: what
 * @fds: descriptors it gets as 3, 4, ...
 * @nfds: how many
 * @log: file for its standard output and error
 * @uid: user it runs as, if this is root; 0: no change
 *
 * Return: 0 or negative errno
 */
int sn_spawn(struct sn_proc *p, char *const argv[], const int *fds, unsigned int nfds,
	     const char *log, uid_t uid);

/**
 * sn_reap - how a child that ended has ended
 * @p: child
 * @text: gets "exit code 1" or "signal 9 (Killed)"
 * @size: of @text
 *
 * Return: 0 for exit code 0, 1 otherwise
 */
int sn_reap(struct sn_proc *p, char *text, size_t size);

/**
 * sn_end - end children: SIGTERM, and after five seconds SIGKILL
 * @procs: children; those with pid 0 are left out
 * @count: how many
 */
void sn_end(struct sn_proc **procs, unsigned int count);

double sn_now(void);
void sn_msg(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void *sn_alloc(size_t size);

/**
 * sn_show - lines of a text that others wrote, each with a mark, escaped
 * @text: bytes
 * @len: how many
 * @lines: no more than these
 *
 * Return: bytes that were shown
 */
size_t sn_show(const char *text, size_t len, unsigned int lines);

/**
 * sn_tail - the end of a log, each line with a mark
 * @path: file; missing is no error
 * @lines: how many
 */
void sn_tail(const char *path, unsigned int lines);

/**
 * sn_hash_file - 64-bit hash of a file's data and size; holes are skipped
 * @path: file
 * @hash: in: start value; out: hash
 *
 * It tells contents apart and finds damage; it is no defence against malice.
 *
 * Return: 0 or negative errno
 */
int sn_hash_file(const char *path, uint64_t *hash);
void sn_hash(uint64_t *hash, const void *data, size_t len);

/* --- loop.c --- */

/**
 * struct sn_watch - a descriptor that the loop looks at
 * @fd: descriptor; -1: not watched
 * @func: called when it is readable or at its end
 * @arg: for @func
 */
struct sn_watch {
	int fd;
	void (*func)(void *arg);
	void *arg;
};

int sn_loop_init(void);
int sn_watch(struct sn_watch *w, int fd, void (*func)(void *arg), void *arg);
void sn_unwatch(struct sn_watch *w);

/**
 * sn_loop_once - wait for something, and let it be handled
 * @ms: longest wait
 *
 * Return: 0; the number of a signal that asks for the end
 */
int sn_loop_once(int ms);

/** sn_loop_signal - the number of a signal that asks for the end, if one came; else 0. Does not wait */
int sn_loop_signal(void);

/** sn_loop_signal_fd - readable when one came, for those who wait in another way */
int sn_loop_signal_fd(void);

/* --- lock.c --- */

/**
 * sn_lock - have a file to oneself, or together with others
 * @path: of the file, which is made, and which only its sole owner may remove
 * @alone: or together
 * @wait: called while others have it; a number other than 0 gives up. NULL: there is no waiting
 * @arg: for @wait
 *
 * Return: descriptor, to be closed; -EBUSY without @wait; -EINTR if @wait gave a number above 0,
 * or its negative one; or another negative errno
 */
int sn_lock(const char *path, bool alone, int (*wait)(void *arg), void *arg);

/**
 * sn_name_take - be the only supernode of this user with this name, until the end
 * @name: name
 *
 * Return: descriptor, or negative errno after a message
 */
int sn_name_take(const char *name);

/* --- model.c: snpud --- */

/**
 * struct sn_model - the running snpud
 * @proc: child
 * @watch: of its end
 * @dead: it ended by itself
 * @sockets: its directory
 * @log: its log
 * @npus: NPUs of a host, as the profile has it
 * @hbm: bytes of an NPU
 * @npu: number of the NPU in each host and slot
 * @title: of the profile
 */
struct sn_model {
	struct sn_proc proc;
	struct sn_watch watch;
	bool dead;
	char sockets[128];
	char log[160];
	unsigned int npus;
	uint64_t hbm;
	unsigned int npu[SN_MAX_HOSTS][SN_MAX_NPUS];
	char title[64];
};

/**
 * sn_model_start - start snpud and ask it what there is
 * @m: filled in
 * @opts: options
 *
 * Return: 0; the number of a signal that came meanwhile; negative errno after a message
 */
int sn_model_start(struct sn_model *m, const struct sn_opts *opts);

/**
 * struct sn_vtime - where virtual time stands
 * @now_ns: latest end of any packet
 * @packets: packets in the trace
 * @transfers: of them, transfers over the fabric
 * @hash: canonical hash of the trace
 */
struct sn_vtime {
	int64_t now_ns, packets, transfers;
	char hash[24];
};

/**
 * sn_model_timing - ask snpud, when all programs have ended
 * @m: snpud
 * @t: filled in
 *
 * Return: 0; the number of a signal that came meanwhile; negative errno after a message
 */
int sn_model_timing(const struct sn_model *m, struct sn_vtime *t);

/* --- qemu.c: one QEMU and its monitor --- */

struct sn_qemu;

/**
 * struct sn_qemu_ops - what its owner wants to know
 * @answer: a command was carried out
 * @event: something happened; @data may be NULL
 * @frame: the agent said something; the payload is in the parser
 * @failed: a command was refused, or a stream broke
 * @ended: the process is gone
 */
struct sn_qemu_ops {
	void (*answer)(struct sn_qemu *q, unsigned int id);
	void (*event)(struct sn_qemu *q, const char *name, struct json_object *data);
	void (*frame)(struct sn_qemu *q, const struct sn_frame *f);
	void (*failed)(struct sn_qemu *q, const char *why);
	void (*ended)(struct sn_qemu *q);
};

/**
 * struct sn_qemu - a QEMU
 * @proc: child
 * @ops: its owner's
 * @monitor: QMP, a socket pair
 * @port: agent, a socket pair
 * @exit: of the process
 * @line: QMP bytes that are no whole line yet
 * @len: how many
 * @asked: number of the last command
 * @rx: frames of the agent
 * @console: file with the kernel's console
 * @errors: file with QEMU's own words
 * @lost: what stream is at its end, though the process is not; NULL: none
 * @lost_at: since when
 */
struct sn_qemu {
	struct sn_proc proc;
	const struct sn_qemu_ops *ops;
	struct sn_watch monitor;
	struct sn_watch port;
	struct sn_watch exit;
	char *line;
	size_t len;
	unsigned int asked;
	struct sn_parser rx;
	char console[160];
	char errors[160];
	const char *lost;
	double lost_at;
};

/**
 * sn_qemu_start - start a machine
 * @q: filled in, but for @ops
 * @opts: options
 * @name: for messages and logs
 * @hbm: bytes of an NPU that is going to be plugged in
 * @incoming: wait for the state of a template instead of booting
 *
 * Return: 0 or negative errno
 */
int sn_qemu_start(struct sn_qemu *q, const struct sn_opts *opts, const char *name, uint64_t hbm,
		  bool incoming);

/**
 * sn_qemu_command - give a QMP command
 * @q: machine
 * @name: of the command
 * @args: taken; NULL: none
 *
 * Return: number of the command, for the owner's answer()
 */
unsigned int sn_qemu_command(struct sn_qemu *q, const char *name, struct json_object *args);

/**
 * sn_qemu_migration - the commands that save or load a state in the form of mapped-ram
 * @q: machine
 * @load: load, else save
 * @path: file
 */
void sn_qemu_migration(struct sn_qemu *q, bool load, const char *path);

/**
 * sn_qemu_plug - plug an NPU in
 * @q: machine
 * @slot: 0 .. SN_MAX_NPUS - 1; 0 comes last: only then does the guest look at the slot
 * @socket: of the NPU
 */
void sn_qemu_plug(struct sn_qemu *q, unsigned int slot, const char *socket);

/** sn_qemu_send - a frame to the agent; returns 0 or negative errno */
int sn_qemu_send(struct sn_qemu *q, enum sn_frame_type type, const void *data, size_t len);
void sn_qemu_close(struct sn_qemu *q);

/** sn_qemu_tick - to be called often: a stream that ended is a failure, if the process does not end too */
void sn_qemu_tick(struct sn_qemu *q);

/** sn_qemu_bar - bytes of the window on so much HBM */
uint64_t sn_qemu_bar(uint64_t hbm);

/**
 * sn_qemu_shape - what a template's state depends on besides kernel and image
 * @opts: options
 * @hbm: bytes of an NPU
 * @text: gets it
 * @size: of @text
 */
void sn_qemu_shape(const struct sn_opts *opts, uint64_t hbm, char *text, size_t size);

/* --- template.c --- */

/**
 * struct sn_template - the machine that all guests are copies of
 * @ram: its file
 * @dir: directory of @ram
 * @lock: descriptor, locked as long as the file is needed
 * @cached: it was there already
 * @seconds: what making it took
 */
struct sn_template {
	char ram[256];
	char dir[224];
	int lock;
	bool cached;
	double seconds;
};

/** sn_template_there - whether there is one to be found, as it seems */
bool sn_template_there(const struct sn_opts *opts, uint64_t hbm);

/**
 * sn_template_get - find the template or make it
 * @t: filled in
 * @opts: options
 * @hbm: bytes of an NPU
 * @tick: called often; a number other than 0 ends it
 *
 * Return: 0; a signal's number that @tick returned; negative errno after a message
 */
int sn_template_get(struct sn_template *t, const struct sn_opts *opts, uint64_t hbm,
		    int (*tick)(void));

/**
 * sn_template_clean - remove templates that nobody uses, and has not for some time
 * @cache: where they are
 * @seconds: for so long
 */
void sn_template_clean(const char *cache, double seconds);

/** sn_template_discard - remove a template that no guest could be made of */
void sn_template_discard(struct sn_template *t);
void sn_template_close(struct sn_template *t);

/* --- guest.c --- */

struct sn_machine;

/**
 * enum sn_state - how far a guest is
 */
enum sn_state {
	SN_WAITS,		/* not begun */
	SN_RESTORES,		/* QEMU loads the template */
	SN_PLUGS,		/* NPUs are plugged in */
	SN_PROBES,		/* it runs, the driver takes the NPUs */
	SN_READY,
	SN_RUNS,		/* the program runs */
	SN_DONE,		/* the program ended */
	SN_FAILED,		/* the guest did not do what it should; see why */
};

/**
 * struct sn_guest - a guest
 * @m: what it is part of
 * @host: number
 * @name: h07
 * @state: how far
 * @q: its machine
 * @why: of SN_FAILED
 * @rc: exit code of the program
 * @at: when each state was reached
 * @cont: number of the command that lets it run
 * @out: lines that the program prints; whole in the files of the logs
 * @err: the beginning of its standard error
 * @err_len: bytes of @err
 * @err_cut: bytes that came after that
 * @files: of the logs: standard output, error
 */
struct sn_guest {
	struct sn_machine *m;
	unsigned int host;
	char name[16];
	enum sn_state state;
	struct sn_qemu q;
	char why[512];
	int rc;
	double at[SN_FAILED + 1];
	unsigned int cont;
	struct sn_lines out;
	char err[16384];
	size_t err_len;
	uint64_t err_cut;
	FILE *files[2];
};

/**
 * struct sn_machine - all of it
 */
struct sn_machine {
	struct sn_opts opts;
	struct sn_table *table;
	regex_t *faults;	/* NULL: not looked for */
	unsigned int rows;	/* that came so far, of all guests */
	struct sn_model model;
	struct sn_template tpl;
	struct sn_guest *guests;
	double start;
	double tpl_done;
	double up;
	double run_done;
	double limit;		/* when the program's time is over */
	double settle;		/* when guests that still run after a failure are stopped; 0: none failed */
	struct sn_vtime vtime;	/* packets 0: not asked */
	bool keeps;		/* the program has ended, and the machine is to stay */
	double memory;		/* MiB that all processes had, at most as far as seen */
};

/** sn_guest_start - from SN_WAITS to SN_READY, by events from then on */
void sn_guest_start(struct sn_machine *m, struct sn_guest *g);

/** sn_guest_run - from SN_READY to SN_DONE */
void sn_guest_run(struct sn_guest *g);

/** sn_guest_stop - SIGTERM to the program, if it runs; its end comes as always */
void sn_guest_stop(struct sn_guest *g);

/**
 * sn_guest_frame - its agent said something
 * @g: guest
 * @f: head of the frame
 * @payload: of the frame, and a 0
 *
 * The guest is believed nothing: what is not as it should be fails it.
 */
void sn_guest_frame(struct sn_guest *g, const struct sn_frame *f, void *payload);

void sn_guest_close(struct sn_guest *g);

/** sn_guest_fail - it is given up; the first reason counts */
void sn_guest_fail(struct sn_guest *g, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* --- needs.c: what it takes, said beforehand --- */

/**
 * struct sn_pace - what this machine took the last time, kept in the cache
 * @tpl: seconds for the template
 * @guest: seconds for bringing a guest up, with all of them divided among the cores
 * @run: seconds of the same program, a guest
 * @guessed: @tpl was never seen
 */
struct sn_pace {
	bool guessed;
	double tpl;
	double guest;
	double run;
};

/**
 * sn_needs_check - say what it takes; refuse what does not fit
 * @m: machine, with options and model
 * @pace: estimates
 *
 * Return: 0 or -ENOMEM, -ENOSPC, -EMFILE after a message
 */
int sn_needs_check(struct sn_machine *m, const struct sn_pace *pace);

/**
 * sn_needs_mib - memory that a machine takes, with its programs
 * @o: options
 * @npus: of a guest
 * @hbm: bytes of an NPU
 */
double sn_needs_mib(const struct sn_opts *o, unsigned int npus, uint64_t hbm);

/**
 * sn_pace_load - what it took the last time
 * @opts: options: number of guests, kernel and program count, as does the number of CPUs here
 * @npus: of a guest
 * @pace: of the same machine and program, or what comes nearest, or a guess
 */
void sn_pace_load(const struct sn_opts *opts, unsigned int npus, struct sn_pace *pace);
void sn_pace_save(const struct sn_opts *opts, unsigned int npus, const struct sn_pace *pace);

/** sn_memory - MiB that the processes of this machine have now, what they share counted once */
double sn_memory(const struct sn_machine *m);

/* --- progress.c --- */

/** sn_progress - one line, redrawn on a terminal, now and then otherwise */
void sn_progress(const struct sn_machine *m, const struct sn_pace *pace);
void sn_progress_clear(void);

/* --- report.c --- */

/**
 * sn_report - print what came out, and write it to files
 * @m: machine
 * @ret: exit code so far
 *
 * Return: exit code
 */
int sn_report(struct sn_machine *m, int ret);

#endif
