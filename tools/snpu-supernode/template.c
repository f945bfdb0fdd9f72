// SPDX-License-Identifier: MIT
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "supernode.h"

#define MAKE_SECONDS	180
#define UNUSED_S	86400.0		/* then the template of an earlier image goes */

enum step { BOOTS, SAVES, SAVED, BROKEN };

/* One at a time, and gone when sn_template_get() returns */
struct making {
	struct sn_qemu q;
	enum step step;
	char why[512];
	char part[272];
};

static struct making *making_of(struct sn_qemu *q)
{
	return (struct making *)q;
}

static void on_answer(struct sn_qemu *q, unsigned int id)
{
	(void)q;
	(void)id;
}

static void on_failed(struct sn_qemu *q, const char *why)
{
	struct making *k = making_of(q);

	if (k->step == SAVED || k->step == BROKEN)
		return;
	k->step = BROKEN;
	snprintf(k->why, sizeof(k->why), "%.500s", why);
}

static void on_event(struct sn_qemu *q, const char *name, struct json_object *data)
{
	struct json_object *v;
	const char *status;

	if (strcmp(name, "MIGRATION") || !json_object_object_get_ex(data, "status", &v))
		return;
	status = json_object_get_string(v);
	if (!strcmp(status, "completed"))
		making_of(q)->step = SAVED;
	else if (!strcmp(status, "failed"))
		on_failed(q, "QEMU could not save its state");
}

static void on_frame(struct sn_qemu *q, const struct sn_frame *f)
{
	struct making *k = making_of(q);

	if (f->type == SN_FAIL) {
		on_failed(q, (char *)q->rx.payload);
	} else if (f->type == SN_UP && k->step == BOOTS) {
		k->step = SAVES;
		sn_qemu_command(q, "stop", NULL);
		sn_qemu_migration(q, false, k->part);
	}
}

static void on_ended(struct sn_qemu *q)
{
	char text[64], why[128];

	sn_reap(&q->proc, text, sizeof(text));
	snprintf(why, sizeof(why), "QEMU ended: %s", text);
	on_failed(q, why);
}

static const struct sn_qemu_ops ops = {
	.answer = on_answer, .event = on_event, .frame = on_frame, .failed = on_failed,
	.ended = on_ended,
};

static int make_ram(struct sn_template *t, const struct sn_opts *opts, uint64_t hbm,
		    int (*tick)(void))
{
	struct making *k = sn_alloc(sizeof(*k));
	struct sn_proc *procs[] = { &k->q.proc };
	double start = sn_now();
	int ret;

	k->q.ops = &ops;
	snprintf(k->part, sizeof(k->part), "%s.part", t->ram);
	unlink(k->part);
	ret = sn_qemu_start(&k->q, opts, "template", hbm, false);
	if (!ret)
		sn_qemu_command(&k->q, "qmp_capabilities", NULL);
	while (!ret && k->step < SAVED) {
		ret = sn_loop_once(200);
		sn_qemu_tick(&k->q);
		if (!ret)
			ret = tick();
		if (!ret && sn_now() - start > MAKE_SECONDS)
			on_failed(&k->q, "not done in time");
	}
	sn_end(procs, 1);
	sn_qemu_close(&k->q);
	if (!ret && k->step == BROKEN) {
		sn_msg("error: the template: %s", k->why);
		sn_tail(k->q.errors, 10);
		sn_tail(k->q.console, 30);
		ret = -EIO;
	} else if (!ret && rename(k->part, t->ram)) {
		ret = -errno;
		sn_msg("error: %s: %s", t->ram, strerror(-ret));
	} else if (ret < 0 && k->step == BOOTS) {
		sn_msg("error: cannot start QEMU: %s", strerror(-ret));
	}
	unlink(k->part);
	unlink(k->q.console);
	free(k);
	return ret;
}

static bool sum_holds(const struct sn_template *t)
{
	char path[256], text[32] = "", want[32];
	uint64_t hash = 0;
	FILE *f;

	snprintf(path, sizeof(path), "%s/sum", t->dir);
	f = fopen(path, "r");
	if (!f)
		return false;
	if (!fgets(text, sizeof(text), f))
		text[0] = 0;
	fclose(f);
	if (sn_hash_file(t->ram, &hash))
		return false;
	snprintf(want, sizeof(want), "%016llx\n", (unsigned long long)hash);
	return !strcmp(text, want);
}

/* Written last: without it there is no template */
static int write_sum(const struct sn_template *t)
{
	char path[256];
	uint64_t hash = 0;
	int ret = sn_hash_file(t->ram, &hash);
	FILE *f;

	if (ret)
		return ret;
	snprintf(path, sizeof(path), "%s/sum", t->dir);
	f = fopen(path, "w");
	if (!f)
		return -errno;
	fprintf(f, "%016llx\n", (unsigned long long)hash);
	return fclose(f) ? -errno : 0;
}

static int remove_all(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	if (!d)
		return errno == ENOENT ? 0 : -errno;
	while ((e = readdir(d)))
		unlinkat(dirfd(d), e->d_name, 0);
	closedir(d);
	return rmdir(dir) ? -errno : 0;
}

/* supernode-0123456789abcdef, and that with .lock */
static bool is_ours(const char *name, char *key, size_t size)
{
	static const char prefix[] = "supernode-";
	const size_t len = sizeof(prefix) - 1 + 16;

	if (strncmp(name, prefix, sizeof(prefix) - 1) ||
	    strspn(name + sizeof(prefix) - 1, "0123456789abcdef") != 16 ||
	    (name[len] && strcmp(name + len, ".lock")))
		return false;
	snprintf(key, size, "%.*s", (int)len, name);
	return true;
}

static void clean_one(const char *dir, double seconds)
{
	char path[300];
	struct stat st;
	bool had_lock;
	int lock;

	/* a lock file's time is that of the last use, and of a template without one its own */
	snprintf(path, sizeof(path), "%s.lock", dir);
	had_lock = !stat(path, &st);
	if ((!had_lock && stat(dir, &st)) || difftime(time(NULL), st.st_mtime) < seconds)
		return;
	lock = sn_lock(path, true, NULL, NULL);
	if (lock < 0)
		return;		/* in use */
	/* used since then? */
	if (!had_lock || (!fstat(lock, &st) && difftime(time(NULL), st.st_mtime) >= seconds)) {
		if (!remove_all(dir))
			unlink(path);
	}
	close(lock);
}

void sn_template_clean(const char *cache, double seconds)
{
	char key[64], path[256];
	DIR *d = opendir(cache);
	struct dirent *e;

	while (d && (e = readdir(d))) {
		if (!is_ours(e->d_name, key, sizeof(key)))
			continue;
		snprintf(path, sizeof(path), "%.180s/%s", cache, key);
		clean_one(path, seconds);
	}
	if (d)
		closedir(d);
}

void sn_template_discard(struct sn_template *t)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/sum", t->dir);
	unlink(path);
}

void sn_template_close(struct sn_template *t)
{
	if (t->lock >= 0)
		close(t->lock);
	t->lock = -1;
}

/* While another one makes the template, or still uses one that has to be made anew */
struct waiting {
	int (*tick)(void);
	int signal;
	double since;
	bool said;
};

static int wait_more(void *arg)
{
	struct waiting *w = arg;
	int ret = sn_loop_once(200);

	if (ret > 0)
		w->signal = ret;
	if (!w->since)
		w->since = sn_now();
	if (!w->said && sn_now() - w->since > 2) {
		sn_msg("waiting for another supernode that has the template");
		w->said = true;
	}
	return ret ? ret : w->tick();
}

/* What the lock was waited for in vain says more than that it was */
static int take(struct sn_template *t, bool alone, struct waiting *w)
{
	char path[256];

	snprintf(path, sizeof(path), "%s.lock", t->dir);
	sn_template_close(t);
	t->lock = sn_lock(path, alone, wait_more, w);
	if (t->lock >= 0)
		return 0;
	if (t->lock == -EINTR && w->signal)
		return w->signal;
	if (t->lock != -ESRCH)
		sn_msg("error: %s: %s", path, strerror(-t->lock));
	return t->lock;
}

static int name_it(struct sn_template *t, const struct sn_opts *opts, uint64_t hbm)
{
	char shape[2048];
	uint64_t key = 0;
	int ret;

	sn_qemu_shape(opts, hbm, shape, sizeof(shape));
	sn_hash(&key, shape, strlen(shape));
	sn_hash(&key, opts->qemu, strlen(opts->qemu));
	ret = sn_hash_file(opts->kernel, &key);
	if (!ret)
		ret = sn_hash_file(opts->initrd, &key);
	if (ret) {
		sn_msg("error: %s or %s: %s", opts->kernel, opts->initrd, strerror(-ret));
		return ret;
	}
	snprintf(t->dir, sizeof(t->dir), "%.150s/supernode-%016llx", opts->cache,
		 (unsigned long long)key);
	snprintf(t->ram, sizeof(t->ram), "%s/ram", t->dir);
	return 0;
}

bool sn_template_there(const struct sn_opts *opts, uint64_t hbm)
{
	struct sn_template t = { .lock = -1 };
	char path[256];

	if (name_it(&t, opts, hbm))
		return false;
	snprintf(path, sizeof(path), "%s/sum", t.dir);
	return !access(path, F_OK);
}

static int make(struct sn_template *t, const struct sn_opts *opts, uint64_t hbm, int (*tick)(void))
{
	double start = sn_now();
	int ret;

	if (!access(t->ram, F_OK))
		sn_msg("the template in the cache is damaged: making it anew");
	sn_template_discard(t);
	if (mkdir(t->dir, 0755) && errno != EEXIST) {
		ret = -errno;
		sn_msg("error: %s: %s", t->dir, strerror(-ret));
		return ret;
	}
	ret = make_ram(t, opts, hbm, tick);
	if (ret)
		return ret;
	ret = write_sum(t);
	if (ret)
		sn_msg("error: %s: %s", t->dir, strerror(-ret));
	t->cached = false;
	t->seconds = sn_now() - start;
	return ret;
}

int sn_template_get(struct sn_template *t, const struct sn_opts *opts, uint64_t hbm,
		    int (*tick)(void))
{
	struct waiting w = { .tick = tick };
	unsigned int tries;
	int ret;

	ret = name_it(t, opts, hbm);
	if (ret)
		return ret;
	t->cached = true;
	/* shared while it is used, alone while it is made; between the two others may do what they like */
	for (tries = 0; tries < 3; tries++) {
		ret = take(t, false, &w);
		if (ret)
			return ret;
		if (sum_holds(t)) {
			futimens(t->lock, NULL);
			sn_template_clean(opts->cache, UNUSED_S);
			return 0;
		}
		ret = take(t, true, &w);
		if (!ret && !sum_holds(t))
			ret = make(t, opts, hbm, tick);
		if (ret)
			return ret;
	}
	sn_msg("error: %s: the template was made, and is damaged", t->dir);
	return -EIO;
}
