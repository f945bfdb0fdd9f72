// SPDX-License-Identifier: MIT
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "supernode.h"

#define MAX_LINE	(1u << 20)
#define MAX_ARGS	64
#define LOST_S		1.0		/* from the end of a stream to that of its process */

uint64_t sn_qemu_bar(uint64_t hbm)
{
	uint64_t size = 1 << 20;

	while (size < hbm)
		size <<= 1;
	return size;
}

/*
 * What the guest sees, the same for the template and its clones. The root port's windows are set
 * up at boot, before any NPU is there: one more share than NPUs, because their BARs have to be
 * aligned to their size. Hot-plug is the port's own, which needs no ACPI code in the guest.
 */
static const char *machine_text(const struct sn_opts *o, uint64_t hbm)
{
	static char text[1024];

	snprintf(text, sizeof(text),
		 "-nodefaults|-no-user-config|-display|none|-no-reboot|"
		 "-machine|q35,usb=off,smm=off,hpet=off,graphics=off,memory-backend=mem0|"
		 "-global|ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off|"
		 "-smp|1|-m|%u|-object|memory-backend-memfd,id=mem0,size=%uM,share=on|"
		 "-accel|tcg,thread=single,tb-size=%u|-cpu|max,la57=off,phys-bits=46|"
		 "-device|virtio-serial-pci,id=vser|"
		 "-device|pcie-root-port,id=port0,bus=pcie.0,chassis=1,slot=0,addr=8.0,io-reserve=0,"
		 "mem-reserve=32M,pref64-reserve=%lluM",
		 o->mem_mib, o->mem_mib, o->tb_mib,
		 (unsigned long long)((SN_MAX_NPUS + 1) * sn_qemu_bar(hbm) >> 20));
	return text;
}

/*
 * THP and two of the kernel's housekeepers are off because 48 idle guests share few cores; the
 * rest is as tools/vm/snpu-vm has it.
 */
static const char kernel_line[] =
	"console=ttyS0 panic=-1 oops=panic tsc=reliable no_timer_check random.trust_cpu=on rdinit=/init "
	"mitigations=off audit=0 apparmor=0 selinux=0 nokaslr rcupdate.rcu_expedited=1 loglevel=5 "
	"damon_stat.enabled=0 nowatchdog transparent_hugepage=never "
	"guest.mode=supernode guest.npus=0 guest.module=1 guest.loglevel=5 "
	/* a queue that waits for the slowest of 384 ranks on few CPUs is not hung */
	"snpu.hang_ms=60000";

void sn_qemu_shape(const struct sn_opts *opts, uint64_t hbm, char *text, size_t size)
{
	snprintf(text, size, "%s|%s", machine_text(opts, hbm), kernel_line);
}

static void shut(struct sn_watch *w)
{
	int fd = w->fd;

	if (!w->func || fd < 0)
		return;
	sn_unwatch(w);
	close(fd);
}

static void broken(struct sn_qemu *q, struct sn_watch *w, const char *what, ssize_t n)
{
	char why[128];

	shut(w);
	/* the end of the process says more than the end of its streams, and is about to come */
	if (!n || n == -ECONNRESET) {
		if (!q->lost)
			q->lost_at = sn_now();
		q->lost = what;
		return;
	}
	snprintf(why, sizeof(why), "%s: %s", what, strerror((int)-n));
	q->ops->failed(q, why);
}

void sn_qemu_tick(struct sn_qemu *q)
{
	char why[128];

	if (!q->lost || !q->proc.pid || sn_now() - q->lost_at < LOST_S)
		return;
	snprintf(why, sizeof(why), "%s: closed", q->lost);
	q->lost = NULL;
	q->ops->failed(q, why);
}

static void on_line(struct sn_qemu *q, const char *line)
{
	struct json_object *o = json_tokener_parse(line), *v, *data = NULL;

	if (json_object_object_get_ex(o, "event", &v)) {
		json_object_object_get_ex(o, "data", &data);
		q->ops->event(q, json_object_get_string(v), data);
	} else if (json_object_object_get_ex(o, "error", &v)) {
		json_object_object_get_ex(v, "desc", &data);
		q->ops->failed(q, data ? json_object_get_string(data) : line);
	} else if (json_object_object_get_ex(o, "return", &v)) {
		if (json_object_object_get_ex(o, "id", &v))
			q->ops->answer(q, (unsigned int)json_object_get_int(v));
	}
	json_object_put(o);
}

static void on_monitor(void *arg)
{
	struct sn_qemu *q = arg;
	ssize_t n = read(q->monitor.fd, q->line + q->len, MAX_LINE - 1 - q->len);
	char *end;

	if (n <= 0 || q->len + (size_t)n >= MAX_LINE - 1) {
		broken(q, &q->monitor, "QEMU's monitor", n < 0 ? -errno : n ? -EMSGSIZE : 0);
		return;
	}
	q->len += (size_t)n;
	q->line[q->len] = 0;
	while (q->proc.pid && (end = memchr(q->line, '\n', q->len))) {
		size_t used = (size_t)(end - q->line) + 1;

		*end = 0;
		on_line(q, q->line);
		q->len -= used;
		memmove(q->line, q->line + used, q->len);
	}
}

static void on_port(void *arg)
{
	struct sn_qemu *q = arg;
	struct sn_frame f;
	ssize_t n = sn_parser_read(&q->rx, q->port.fd);
	int ret;

	if (n <= 0) {
		broken(q, &q->port, "the agent's channel", n);
		return;
	}
	while ((ret = sn_parser_next(&q->rx, &f)) > 0)
		q->ops->frame(q, &f);
	if (ret < 0)
		broken(q, &q->port, "the agent's channel", ret);
}

static void on_exit_event(void *arg)
{
	struct sn_qemu *q = arg;

	/* what was said before the end still counts */
	while (q->port.fd >= 0) {
		struct pollfd p = { .fd = q->port.fd, .events = POLLIN };

		if (poll(&p, 1, 0) <= 0 || !(p.revents & POLLIN))
			break;
		on_port(q);
	}
	sn_unwatch(&q->exit);
	q->ops->ended(q);
}

static unsigned int split(char *text, char **argv, unsigned int n)
{
	char *save, *word;

	for (word = strtok_r(text, "|", &save); word; word = strtok_r(NULL, "|", &save))
		argv[n++] = word;
	return n;
}

int sn_qemu_start(struct sn_qemu *q, const struct sn_opts *opts, const char *name, uint64_t hbm,
		  bool incoming)
{
	char *argv[MAX_ARGS] = { (char *)"qemu-system-x86_64" }, *shape, *rest, chardev[256];
	int mon[2] = { -1, -1 }, port[2] = { -1, -1 }, fds[2], ret;
	unsigned int n;

	snprintf(q->proc.name, sizeof(q->proc.name), "%s", name);
	snprintf(q->console, sizeof(q->console), "%s/%s.console", opts->dir, name);
	snprintf(q->errors, sizeof(q->errors), "%s/%s.qemu", opts->dir, name);
	snprintf(chardev, sizeof(chardev), "file,id=con,path=%s", q->console);
	shape = strdup(machine_text(opts, hbm));
	rest = strdup("-chardev|socket,id=mon,fd=3|-mon|chardev=mon,mode=control|"
		      "-chardev|socket,id=agent,fd=4|"
		      "-device|virtserialport,chardev=agent,name=" SN_PORT_NAME ",nr=1|-serial|chardev:con");
	if (!q->line)
		q->line = sn_alloc(MAX_LINE);
	if (!shape || !rest)
		return -ENOMEM;
	q->len = 0;
	q->rx.have = 0;
	q->lost = NULL;
	n = split(shape, argv, 1);
	argv[n++] = (char *)"-chardev";
	argv[n++] = chardev;
	n = split(rest, argv, n);
	if (incoming) {
		/* the loader that the template was started with is part of its state; the kernel is not */
		argv[n++] = (char *)"-option-rom";
		argv[n++] = (char *)"pvh.bin";
		argv[n++] = (char *)"-incoming";
		argv[n++] = (char *)"defer";
	} else {
		argv[n++] = (char *)"-kernel";
		argv[n++] = (char *)opts->kernel;
		argv[n++] = (char *)"-initrd";
		argv[n++] = (char *)opts->initrd;
		argv[n++] = (char *)"-append";
		argv[n++] = (char *)kernel_line;
	}
	argv[n] = NULL;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, mon) ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, port)) {
		ret = -errno;
	} else {
		fds[0] = mon[1];
		fds[1] = port[1];
		ret = sn_spawn(&q->proc, argv, fds, 2, q->errors, 0);
	}
	free(shape);
	free(rest);
	close(mon[1]);
	close(port[1]);
	if (ret) {
		close(mon[0]);
		close(port[0]);
		return ret;
	}
	ret = sn_watch(&q->monitor, mon[0], on_monitor, q);
	if (!ret)
		ret = sn_watch(&q->port, port[0], on_port, q);
	if (!ret)
		ret = sn_watch(&q->exit, q->proc.pidfd, on_exit_event, q);
	return ret;
}

static int send_all(int fd, const void *data, size_t len)
{
	const char *p = data;

	while (len) {
		ssize_t n = send(fd, p, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

unsigned int sn_qemu_command(struct sn_qemu *q, const char *name, struct json_object *args)
{
	struct json_object *o = json_object_new_object();
	const char *text;

	json_object_object_add(o, "execute", json_object_new_string(name));
	json_object_object_add(o, "id", json_object_new_int((int)++q->asked));
	if (args)
		json_object_object_add(o, "arguments", args);
	text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN);
	/* a stream that broke is noticed where it is read */
	if (q->monitor.fd >= 0 && !send_all(q->monitor.fd, text, strlen(text)))
		send_all(q->monitor.fd, "\n", 1);
	json_object_put(o);
	return q->asked;
}

void sn_qemu_migration(struct sn_qemu *q, bool load, const char *path)
{
	static const char caps[] = "{\"capabilities\":[{\"capability\":\"mapped-ram\",\"state\":true},"
		"{\"capability\":\"events\",\"state\":true}]}";
	struct json_object *args = json_object_new_object();
	char uri[300];

	snprintf(uri, sizeof(uri), "file:%s", path);
	json_object_object_add(args, "uri", json_object_new_string(uri));
	sn_qemu_command(q, "migrate-set-capabilities", json_tokener_parse(caps));
	sn_qemu_command(q, load ? "migrate-incoming" : "migrate", args);
}

void sn_qemu_plug(struct sn_qemu *q, unsigned int slot, const char *socket)
{
	struct json_object *a = json_object_new_object(), *s = json_object_new_object();
	char text[32];

	json_object_object_add(s, "type", json_object_new_string("unix"));
	json_object_object_add(s, "path", json_object_new_string(socket));
	json_object_object_add(a, "driver", json_object_new_string("vfio-user-pci"));
	snprintf(text, sizeof(text), "npu%u", slot);
	json_object_object_add(a, "id", json_object_new_string(text));
	json_object_object_add(a, "bus", json_object_new_string("port0"));
	snprintf(text, sizeof(text), "0.%u", slot);
	json_object_object_add(a, "addr", json_object_new_string(text));
	json_object_object_add(a, "multifunction", json_object_new_boolean(true));
	/* a model that works on a long request must not be taken for dead */
	json_object_object_add(a, "x-msg-timeout", json_object_new_int(30000));
	json_object_object_add(a, "socket", s);
	sn_qemu_command(q, "device_add", a);
}

int sn_qemu_send(struct sn_qemu *q, enum sn_frame_type type, const void *data, size_t len)
{
	struct sn_frame f = { .type = type, .len = (uint32_t)len };
	int ret;

	if (q->port.fd < 0)
		return -EPIPE;
	ret = send_all(q->port.fd, &f, sizeof(f));
	return ret ? ret : send_all(q->port.fd, data, len);
}

void sn_qemu_close(struct sn_qemu *q)
{
	shut(&q->monitor);
	shut(&q->port);
	if (q->exit.func)
		sn_unwatch(&q->exit);
	free(q->line);
	q->line = NULL;
}
