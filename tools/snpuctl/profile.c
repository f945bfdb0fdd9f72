// SPDX-License-Identifier: MIT
/*
 * snpuctl profile: machine profiles, without a snpud.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fabric/topo.h"
#include "profiles/profile.h"
#include "snpuctl.h"

/* What follows from the figures */
struct derived {
	const char *name;
	const char *unit;
	double value;
};

#define MAX_DERIVED	16u

static size_t derive(const struct snpu_topo *t, struct derived *d)
{
	uint32_t sw[3] = { 0 }, die_l1 = 0, cpu_l1 = 0, l1_l2 = 0, die_die = 0, i;
	const struct snpu_profile *p = t->profile;
	size_t n = 0;

	for (i = 0; i < t->num_switches; i++)
		sw[t->switches[i].level == 1 ? 1 : 2]++;
	for (i = 0; i < t->num_links; i += 2) {
		const struct snpu_topo_link *l = &t->links[i];

		if (l->from_kind == SNPU_TOPO_L1)
			l1_l2++;
		else if (l->from_kind == SNPU_TOPO_CPU)
			cpu_l1++;
		else if (l->to_kind == SNPU_TOPO_DIE)
			die_die++;
		else
			die_l1++;
	}
	d[n++] = (struct derived){ "npus", "", t->nodes };
	d[n++] = (struct derived){ "dies", "", (double)t->nodes * t->dies };
	d[n++] = (struct derived){ "l1_switches", "", sw[1] };
	d[n++] = (struct derived){ "l2_switches", "", sw[2] };
	d[n++] = (struct derived){ "links_npu_l1", "", die_l1 };
	d[n++] = (struct derived){ "links_l1_l2", "", l1_l2 };
	d[n++] = (struct derived){ "links_cpu_l1", "", cpu_l1 };
	d[n++] = (struct derived){ "links_die_die", "", die_die };
	d[n++] = (struct derived){ "bisection", "B/s", snpu_topo_bisection(t) };
	d[n++] = (struct derived){ "injection", "B/s", t->nodes * p->fabric.npu_bandwidth.value };
	d[n++] = (struct derived){ "hbm_bytes", "B", t->nodes * p->npu.hbm_bytes.value };
	d[n++] = (struct derived){ "flops_bf16", "flop/s", t->nodes * p->npu.flops_bf16.value };
	d[n++] = (struct derived){ "ops_int8", "op/s", t->nodes * p->npu.ops_int8.value };
	return n;
}

static struct snpu_profile *load(const char *name, struct snpu_topo **t)
{
	struct snpu_profile *p;
	char err[1024];

	p = snpu_profile_load(name, err, sizeof(err));
	*t = p ? snpu_topo_new(p, err, sizeof(err)) : NULL;
	if (*t)
		return p;
	fprintf(stderr, "snpuctl: %s\n", err);
	snpu_profile_free(p);
	return NULL;
}

static void drop(struct snpu_profile *p, struct snpu_topo *t)
{
	snpu_topo_free(t);
	snpu_profile_free(p);
}

static void add_value(json_object *o, double v)
{
	/* whole numbers are written whole */
	json_object_object_add(o, "value", v == (double)(uint64_t)v && v < 9e15 ?
			       json_object_new_uint64((uint64_t)v) : json_object_new_double(v));
}

static void show_json(const struct snpu_profile *p, const struct snpu_topo *t)
{
	json_object *root = json_object_new_object(), *figs = json_object_new_object();
	json_object *der = json_object_new_object(), *files = json_object_new_array(), *o;
	struct derived d[MAX_DERIVED];
	size_t i, n;
	const struct snpu_profile_key *k = snpu_profile_keys(&n);
	char name[80];

	for (i = 0; i < n; i++) {
		const struct snpu_fig *f = snpu_profile_fig(p, &k[i]);

		if (f->tag == SNPU_FIG_ABSENT)
			continue;
		o = json_object_new_object();
		if (snpu_fig_word(&k[i], f))
			json_object_object_add(o, "value",
					       json_object_new_string(snpu_fig_word(&k[i], f)));
		else
			add_value(o, f->value);
		json_object_object_add(o, "unit", json_object_new_string(k[i].unit));
		json_object_object_add(o, "tag", json_object_new_string(snpu_fig_tag_name(f->tag)));
		json_object_object_add(o, "source", json_object_new_string(f->source));
		json_object_object_add(o, "file", json_object_new_string(f->file));
		json_object_object_add(o, "line", json_object_new_uint64(f->line));
		snprintf(name, sizeof(name), "%s.%s", k[i].section, k[i].key);
		json_object_object_add(figs, name, o);
	}
	n = derive(t, d);
	for (i = 0; i < n; i++) {
		o = json_object_new_object();
		add_value(o, d[i].value);
		json_object_object_add(o, "unit", json_object_new_string(d[i].unit));
		json_object_object_add(der, d[i].name, o);
	}
	json_object_array_add(files, json_object_new_string(p->file));
	for (i = 0; i < SNPU_PROFILE_MAX_BASES && p->bases[i]; i++)
		json_object_array_add(files, json_object_new_string(p->bases[i]));
	json_object_object_add(root, "name", json_object_new_string(p->name));
	json_object_object_add(root, "title", json_object_new_string(p->title));
	json_object_object_add(root, "files", files);
	json_object_object_add(root, "figures", figs);
	json_object_object_add(root, "derived", der);
	printf("%s\n", json_object_to_json_string_ext(root, JSON_C_TO_STRING_PRETTY |
						      JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(root);
}

static void show_text(const struct snpu_profile *p, const struct snpu_topo *t)
{
	struct derived d[MAX_DERIVED];
	size_t i, n;
	const struct snpu_profile_key *k = snpu_profile_keys(&n);
	char name[80], value[32];

	printf("profile %s: %s\nfile %s\n", p->name, p->title, p->file);
	for (i = 0; i < SNPU_PROFILE_MAX_BASES && p->bases[i]; i++)
		printf("based on %s\n", p->bases[i]);
	printf("\n%-34s %14s %-7s %-8s  %s\n", "figure", "value", "unit", "tag", "source");
	for (i = 0; i < n; i++) {
		const struct snpu_fig *f = snpu_profile_fig(p, &k[i]);
		const char *word = snpu_fig_word(&k[i], f);

		if (f->tag == SNPU_FIG_ABSENT)
			continue;
		snprintf(name, sizeof(name), "%s.%s", k[i].section, k[i].key);
		snprintf(value, sizeof(value), k[i].integer ? "%.15g" : "%.6g", f->value);
		printf("%-34s %14s %-7s %-8s  %s\n", name, word ? word : value, k[i].unit,
		       snpu_fig_tag_name(f->tag), f->source);
	}
	printf("\n%-34s %14s %s\n", "follows from them", "value", "unit");
	n = derive(t, d);
	for (i = 0; i < n; i++)
		printf("%-34s %14.6g %s\n", d[i].name, d[i].value, d[i].unit);
}

static int show(const char *name, bool json)
{
	struct snpu_topo *t;
	struct snpu_profile *p = load(name, &t);

	if (!p)
		return CTL_FAILED;
	if (json)
		show_json(p, t);
	else
		show_text(p, t);
	drop(p, t);
	return fflush(stdout) ? CTL_FAILED : CTL_OK;
}

static int check(const char *file, bool json)
{
	size_t i, n, stated = 0, tags[SNPU_FIG_ASSUMED + 1] = { 0 };
	const struct snpu_profile_key *k = snpu_profile_keys(&n);
	struct snpu_topo *t;
	struct snpu_profile *p = load(file, &t);

	if (!p)
		return CTL_FAILED;
	for (i = 0; i < n; i++) {
		enum snpu_fig_tag tag = snpu_profile_fig(p, &k[i])->tag;

		tags[tag]++;
		stated += tag != SNPU_FIG_ABSENT;
	}
	printf(json ? "{ \"name\": \"%s\", \"figures\": %zu, \"measured\": %zu, \"fitted\": %zu, "
	       "\"assumed\": %zu, \"npus\": %u, \"switches\": %u, \"links\": %u }\n" :
	       "profile %s adds up: %zu figures, %zu measured, %zu fitted, %zu assumed; %u NPUs, "
	       "%u switches, %u links\n", p->name, stated, tags[SNPU_FIG_MEASURED],
	       tags[SNPU_FIG_FITTED], tags[SNPU_FIG_ASSUMED], t->nodes, t->num_switches,
	       t->num_links / 2);
	drop(p, t);
	return fflush(stdout) ? CTL_FAILED : CTL_OK;
}

static int list(bool json)
{
	json_object *a = json_object_new_array(), *o;
	struct snpu_profile *p;
	struct snpu_topo *t;
	char **names;
	int ret = CTL_OK;
	size_t i, n;

	if (snpu_profile_names(&names, &n)) {
		fprintf(stderr, "snpuctl: out of memory\n");
		json_object_put(a);
		return CTL_FAILED;
	}
	if (!json)
		printf("%-16s %5s %6s %5s %8s  %s\n", "name", "hosts", "npus", "dies", "switches",
		       "title");
	for (i = 0; i < n; i++) {
		p = load(names[i], &t);
		if (!p) {
			ret = CTL_FAILED;
			continue;
		}
		if (json) {
			o = json_object_new_object();
			json_object_object_add(o, "name", json_object_new_string(names[i]));
			json_object_object_add(o, "title", json_object_new_string(p->title));
			json_object_object_add(o, "file", json_object_new_string(p->file));
			json_object_object_add(o, "hosts", json_object_new_uint64(t->hosts));
			json_object_object_add(o, "npus", json_object_new_uint64(t->nodes));
			json_object_object_add(o, "dies", json_object_new_uint64(t->dies));
			json_object_object_add(o, "switches",
					       json_object_new_uint64(t->num_switches));
			json_object_array_add(a, o);
		} else {
			printf("%-16s %5u %6u %5u %8u  %s\n", names[i], t->hosts, t->nodes,
			       t->dies, t->num_switches, p->title);
		}
		drop(p, t);
	}
	if (json)
		printf("%s\n", json_object_to_json_string_ext(a, JSON_C_TO_STRING_PRETTY |
							      JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(a);
	snpu_profile_names_free(names, n);
	return fflush(stdout) ? CTL_FAILED : ret;
}

int ctl_profile(int argc, char **argv, bool json)
{
	if (argc == 1 && !strcmp(argv[0], "list"))
		return list(json);
	if (argc == 2 && !strcmp(argv[0], "show"))
		return show(argv[1], json);
	if (argc == 2 && !strcmp(argv[0], "check"))
		return check(argv[1], json);
	fprintf(stderr, "snpuctl: profile: list, show NAME|FILE or check NAME|FILE\n"
		"Try snpuctl --help.\n");
	return CTL_USAGE;
}
