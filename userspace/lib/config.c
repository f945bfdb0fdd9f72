// SPDX-License-Identifier: MIT
/*
 * The environment: one table gives names, types, ranges, defaults and help.
 */
#include <ctype.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

enum type { TYPE_NUMBER, TYPE_POWER, TYPE_TEXT, TYPE_CHOICE };

/**
 * struct option - one variable
 * @name: of the variable
 * @type: how it is read
 * @def: default, as text
 * @min: lowest number
 * @max: highest number; TEXT, CHOICE: room in the field
 * @choices: CHOICE: allowed words, separated by |
 * @offset: of the field in struct snpu_config
 * @help: one line
 */
struct option {
	const char *name;
	enum type type;
	const char *def;
	uint64_t min, max;
	const char *choices;
	size_t offset;
	const char *help;
};

#define NUMBER(name, field, type, def, min, max, help) \
	{ name, type, def, min, max, NULL, offsetof(struct snpu_config, field), help }
#define TEXT(name, field, type, def, choices, help) \
	{ name, type, def, 0, sizeof(((struct snpu_config *)0)->field), choices, \
	  offsetof(struct snpu_config, field), help }

static const struct option options[] = {
	TEXT("SNPU_TRANSPORT", transport, TYPE_CHOICE, "auto", "auto|kmd|direct",
	     "how NPUs are reached; auto: kmd if there is a device node, else direct"),
	TEXT("SNPU_SOCKET_DIR", socket_dir, TYPE_TEXT, "/run/snpu", NULL,
	     "direct: directory with the sockets of snpud"),
	NUMBER("SNPU_SPIN_US", spin_us, TYPE_NUMBER, "50", 0, 1000000,
	       "microseconds that a wait spins before it sleeps"),
	NUMBER("SNPU_RING_ENTRIES", ring_entries, TYPE_POWER, "1024", 16, 65536,
	       "packets in the ring of a queue, a power of two"),
	NUMBER("SNPU_NUMA", numa, TYPE_NUMBER, "1", 0, 1,
	       "1: host memory comes from the NUMA node of its NPU"),
	NUMBER("SNPU_GUARD_PAGES", guard_pages, TYPE_NUMBER, "1", 0, 512,
	       "unmapped pages of 4 KiB between two buffers of a context"),
	NUMBER("SNPU_LOG_LEVEL", log_level, TYPE_NUMBER, "0", 0, 2,
	       "what goes to standard error: 0 nothing, 1 failures, 2 also openings"),
	NUMBER("SNPU_CHECK", check, TYPE_NUMBER, "0", 0, 1,
	       "1: find use after free, threads that share a queue, lost signals"),
};

static bool in_choices(const char *choices, const char *word)
{
	size_t n = strlen(word);

	/* several at once are none of them */
	if (strchr(word, '|'))
		return false;
	while (n && choices) {
		if (!strncmp(choices, word, n) && (choices[n] == '|' || !choices[n]))
			return true;
		choices = strchr(choices, '|');
		choices += choices ? 1 : 0;
	}
	return false;
}

static int option_read(const struct option *o, const char *text, struct snpu_config *cfg)
{
	void *field = (char *)cfg + o->offset;
	char *end;
	uint64_t v;

	if (o->type == TYPE_TEXT || o->type == TYPE_CHOICE) {
		if (o->type == TYPE_CHOICE && !in_choices(o->choices, text))
			return snpu_fail(-EINVAL, "%s: '%.40s' is not one of %s", o->name, text,
					 o->choices);
		if (!*text || strlen(text) >= o->max)
			return snpu_fail(-EINVAL, "%s: must be 1 to %" PRIu64 " characters long",
					 o->name, o->max - 1);
		strcpy(field, text);
		return 0;
	}
	errno = 0;
	v = strtoull(text, &end, 0);
	/* strtoull() also takes blanks and signs */
	if (errno || !isdigit((unsigned char)*text) || *end || v < o->min || v > o->max ||
	    (o->type == TYPE_POWER && (v & (v - 1))))
		return snpu_fail(-EINVAL, "%s: '%.40s' is not a %s from %" PRIu64 " to %" PRIu64,
				 o->name, text, o->type == TYPE_POWER ? "power of two" : "number",
				 o->min, o->max);
	*(uint64_t *)field = v;
	return 0;
}

int snpu_config_load(struct snpu_config *cfg)
{
	size_t i;

	memset(cfg, 0, sizeof(*cfg));
	for (i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		const char *text = getenv(options[i].name);
		int ret = option_read(&options[i], text ? text : options[i].def, cfg);

		if (ret)
			return ret;
	}
	snpu_log_set((unsigned int)cfg->log_level);
	return 0;
}

/**
 * snpu_config_print() - print every SNPU_* variable with its value, default, range and meaning
 * @out: where to
 */
SNPU_EXPORT void snpu_config_print(FILE *out)
{
	size_t i;

	for (i = 0; out && i < sizeof(options) / sizeof(options[0]); i++) {
		const struct option *o = &options[i];
		const char *text = getenv(o->name);

		fprintf(out, "%s=%s\n    %s\n", o->name, text ? text : o->def, o->help);
		if (o->choices)
			fprintf(out, "    %s; default %s\n", o->choices, o->def);
		else if (o->type == TYPE_TEXT)
			fprintf(out, "    default %s\n", o->def);
		else
			fprintf(out, "    %" PRIu64 " to %" PRIu64 "; default %s\n", o->min, o->max,
				o->def);
	}
}
