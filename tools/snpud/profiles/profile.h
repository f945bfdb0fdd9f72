/* SPDX-License-Identifier: MIT */
/*
 * Machine profiles: the only source of machine figures.
 */
#ifndef SNPU_PROFILE_H
#define SNPU_PROFILE_H

#include <stddef.h>
#include <stdint.h>

enum snpu_fig_tag {
	SNPU_FIG_ABSENT,
	SNPU_FIG_MEASURED,
	SNPU_FIG_FITTED,
	SNPU_FIG_ASSUMED,
};

/**
 * struct snpu_fig - one figure with its provenance
 * @value: in the unit of its key, see snpu_profile_keys()
 * @tag: how it came about; SNPU_FIG_ABSENT: the profile does not state it, @value is 0
 * @source: where it comes from
 * @file: profile file that states it; a figure may be the base's
 * @line: of its key there, from 1
 * @col: of its key there, from 1, in bytes
 */
struct snpu_fig {
	double value;
	enum snpu_fig_tag tag;
	char *source;
	const char *file;
	uint32_t line, col;
};

/* Paths that latency and bandwidth are given for */
enum snpu_path {
	SNPU_PATH_READ,
	SNPU_PATH_WRITE,
	SNPU_PATHS,
};

/* fabric.routing: which plane a transfer takes */
enum snpu_routing {
	SNPU_ROUTING_HASH,
	SNPU_ROUTING_ROUND_ROBIN,
};

/* What the model's tables are made for */
#define SNPU_PROFILE_MAX_NPUS	1024u
#define SNPU_PROFILE_MAX_LINKS	(1u << 20)	/* directions of connections */
#define SNPU_PROFILE_MAX_BASES	8u

/*
 * Section "timing": key, unit, lowest, highest value. All are optional; a line here makes both the
 * member of struct snpu_profile and the key of the file.
 */
#define SNPU_PROFILE_TIMING(X) \
	X(matmul_efficiency, "", 0.01, 1) \
	X(matmul_tile, "", 1, 65536) \
	X(matmul_fill, "", 0, 1e6) \
	X(attention_efficiency, "", 0.01, 1) \
	X(hbm_efficiency, "", 0.01, 1) \
	X(link_efficiency_read, "", 0.01, 1) \
	X(link_efficiency_write, "", 0.01, 1) \
	X(l2_efficiency, "", 0.01, 1) \
	X(switch_efficiency, "", 0.01, 1) \
	X(switch_latency, "s", 0, 1) \
	X(cpu_efficiency_read, "", 0.01, 1) \
	X(cpu_efficiency_write, "", 0.01, 1) \
	X(read_latency, "s", 0, 1) \
	X(write_latency, "s", 0, 1) \
	X(hop_latency, "s", 0, 1) \
	X(hbm_latency, "s", 0, 1) \
	X(packet_issue, "s", 0, 1) \
	X(kernel_launch, "s", 0, 1) \
	X(row_cost, "s", 0, 1) \
	X(queue_depth, "", 1, 1024)

#define SNPU_PROFILE_FIG(key, unit, min, max)	struct snpu_fig key;

struct snpu_profile {
	char name[32];
	char *title;
	char *file;
	char *bases[SNPU_PROFILE_MAX_BASES];	/* files it is based on, the next one first */
	struct {
		struct snpu_fig hosts, npus_per_host, cpus_per_host;
	} machine;
	struct {
		struct snpu_fig dies, hbm_bytes, hbm_bandwidth, flops_bf16, ops_int8, flops_fp32;
		struct snpu_fig matrix_cores, vector_cores, die_link_bandwidth, die_link_latency;
	} npu;
	struct {
		struct snpu_fig planes, npu_bandwidth, link_bandwidth, links_per_die;
		struct snpu_fig l1_switches_per_host, l1_uplink_links, l2_switches_per_plane;
		struct snpu_fig l2_switch_ports, cpu_bandwidth, routing, in_switch;
		struct snpu_fig intra_bandwidth[SNPU_PATHS], intra_latency[SNPU_PATHS];
		struct snpu_fig inter_bandwidth[SNPU_PATHS], inter_latency[SNPU_PATHS];
		struct snpu_fig cpu_intra_bandwidth[SNPU_PATHS], cpu_intra_latency[SNPU_PATHS];
		struct snpu_fig cpu_inter_bandwidth[SNPU_PATHS], cpu_inter_latency[SNPU_PATHS];
	} fabric;
	struct {
		struct snpu_fig queues, contexts, segments, imports;
	} device;
	struct {
		SNPU_PROFILE_TIMING(SNPU_PROFILE_FIG)
	} timing;
};

/**
 * struct snpu_profile_key - one key of the file format
 * @section: object that holds it
 * @key: its name
 * @unit: the unit it must be given in
 * @min: lowest value
 * @max: highest value
 * @integer: fractions are refused
 * @required: a profile without it is refused
 * @names: NULL, or the words the file gives instead of numbers 0, 1, ..., ended by NULL
 * @offset: of the struct snpu_fig in struct snpu_profile
 */
struct snpu_profile_key {
	const char *section;
	const char *key;
	const char *unit;
	double min;
	double max;
	int integer;
	int required;
	const char *const *names;
	size_t offset;
};

/**
 * snpu_profile_load() - read a profile
 * @name: name of an installed profile, or path of a file (anything with a slash or ending in .json)
 * @err: receives one line: file, line, column, key, what is wrong with it, what is allowed
 * @err_len: size of @err
 *
 * Return: the profile, to be freed with snpu_profile_free(); NULL with @err set.
 */
struct snpu_profile *snpu_profile_load(const char *name, char *err, size_t err_len);

/**
 * snpu_profile_parse() - like snpu_profile_load(), from text
 * @text: JSON
 * @file: name for messages
 * @err: see snpu_profile_load()
 * @err_len: see snpu_profile_load()
 */
struct snpu_profile *snpu_profile_parse(const char *text, const char *file, char *err,
					size_t err_len);

void snpu_profile_free(struct snpu_profile *p);

/**
 * snpu_profile_check() - do the figures add up?
 * @p: figures that are each in range
 * @key: receives the key to blame, "section.key"
 * @err: receives what is wrong with it
 * @err_len: size of @err
 *
 * Loading does it; for who makes or changes a profile in memory.
 *
 * Return: 0 or -EINVAL with @key and @err set.
 */
int snpu_profile_check(const struct snpu_profile *p, const char **key, char *err, size_t err_len);

/**
 * snpu_profile_names() - names of the profiles that snpu_profile_load() finds, sorted
 * @names: receives an array, to be freed with snpu_profile_names_free(); NULL if there is none
 * @n: receives its length
 *
 * Return: 0 or -ENOMEM.
 */
int snpu_profile_names(char ***names, size_t *n);
void snpu_profile_names_free(char **names, size_t n);

/** snpu_profile_keys() - all keys of the format; *@n receives their number */
const struct snpu_profile_key *snpu_profile_keys(size_t *n);

/** snpu_fig_tag_name() - "measured", "fitted", "assumed", "absent" */
const char *snpu_fig_tag_name(enum snpu_fig_tag tag);

/** snpu_profile_fig() - the figure of a key */
static inline const struct snpu_fig *snpu_profile_fig(const struct snpu_profile *p,
						      const struct snpu_profile_key *k)
{
	return (const struct snpu_fig *)((const char *)p + k->offset);
}

/** snpu_fig_word() - the word of a figure whose key has names, NULL: it is a number */
static inline const char *snpu_fig_word(const struct snpu_profile_key *k, const struct snpu_fig *f)
{
	return k->names && f->tag != SNPU_FIG_ABSENT ? k->names[(size_t)f->value] : NULL;
}

static inline uint64_t snpu_fig_u64(const struct snpu_fig *f)
{
	return (uint64_t)f->value;
}

/** snpu_profile_npus() - NPUs of the whole machine */
static inline uint32_t snpu_profile_npus(const struct snpu_profile *p)
{
	return (uint32_t)(p->machine.hosts.value * p->machine.npus_per_host.value);
}

#endif
