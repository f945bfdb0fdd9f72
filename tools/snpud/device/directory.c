// SPDX-License-Identifier: MIT
/*
 * The machine's directory: names of exported segments, for guests that have no other way to tell each
 * other. A name ends with its segment. The lock is a leaf: it is taken under an NPU's lock, and nothing
 * else is taken under it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "npu_priv.h"

#define BUCKETS	1024u

struct entry {
	struct entry *next;
	char name[SNPU_DIR_NAME_MAX];
	uint32_t node;
	uint32_t seg;
};

struct snpu_directory {
	unsigned int max_names;	/* of one NPU */
	pthread_mutex_t lock;	/* everything below */
	unsigned int *names;	/* [npus] how many each has */
	uint32_t first_node;
	struct entry *bucket[BUCKETS];
};

struct snpu_directory *snpu_directory_new(unsigned int npus, uint32_t first_node,
					  unsigned int max_names)
{
	struct snpu_directory *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->names = calloc(npus, sizeof(*d->names));
	if (!d->names) {
		free(d);
		return NULL;
	}
	d->first_node = first_node;
	d->max_names = max_names;
	pthread_mutex_init(&d->lock, NULL);
	return d;
}

/* How many names the NPU has */
static unsigned int *count(struct snpu_directory *d, uint32_t node)
{
	return &d->names[node - d->first_node];
}

void snpu_directory_free(struct snpu_directory *d)
{
	unsigned int i;

	if (!d)
		return;
	for (i = 0; i < BUCKETS; i++)
		while (d->bucket[i]) {
			struct entry *e = d->bucket[i];

			d->bucket[i] = e->next;
			free(e);
		}
	pthread_mutex_destroy(&d->lock);
	free(d->names);
	free(d);
}

bool snpu_directory_name_ok(const char *name)
{
	unsigned int i, len = 0;

	for (i = 0; i < SNPU_DIR_NAME_MAX; i++) {
		unsigned char c = (unsigned char)name[i];

		if (c && (len < i || c <= ' ' || c > '~'))
			return false;
		len += c != 0;
	}
	return len && len < SNPU_DIR_NAME_MAX;
}

/* Where the pointer to the entry of that name is, or where it would be */
static struct entry **find(struct snpu_directory *d, const char *name)
{
	uint32_t h = 2166136261u;
	struct entry **e;
	const char *c;

	for (c = name; *c; c++)
		h = (h ^ (unsigned char)*c) * 16777619u;
	for (e = &d->bucket[h % BUCKETS]; *e && strcmp((*e)->name, name); e = &(*e)->next)
		;
	return e;
}

int snpu_directory_publish(struct snpu_directory *d, const char *name, uint32_t node, uint32_t seg)
{
	struct entry *e = calloc(1, sizeof(*e)), **at;
	int ret = 0;

	if (!e)
		return -ENOMEM;
	memcpy(e->name, name, SNPU_DIR_NAME_MAX);
	e->node = node;
	e->seg = seg;
	pthread_mutex_lock(&d->lock);
	at = find(d, name);
	if (*at) {
		ret = -EEXIST;
	} else if (*count(d, node) >= d->max_names) {
		ret = -ENOSPC;
	} else {
		*at = e;
		++*count(d, node);
		e = NULL;
	}
	pthread_mutex_unlock(&d->lock);
	free(e);
	return ret;
}

int snpu_directory_lookup(struct snpu_directory *d, const char *name, uint32_t *node, uint32_t *seg)
{
	struct entry *e;

	pthread_mutex_lock(&d->lock);
	e = *find(d, name);
	if (e) {
		*node = e->node;
		*seg = e->seg;
	}
	pthread_mutex_unlock(&d->lock);
	return e ? 0 : -ENOENT;
}

int snpu_directory_remove(struct snpu_directory *d, const char *name, uint32_t node)
{
	struct entry **at, *e;
	int ret = 0;

	pthread_mutex_lock(&d->lock);
	at = find(d, name);
	e = *at;
	if (!e)
		ret = -ENOENT;
	else if (e->node != node)
		ret = -EACCES;
	if (!ret) {
		*at = e->next;
		--*count(d, node);
	}
	pthread_mutex_unlock(&d->lock);
	if (!ret)
		free(e);
	return ret;
}

void snpu_directory_drop(struct snpu_directory *d, uint32_t node, uint32_t seg)
{
	unsigned int i;

	pthread_mutex_lock(&d->lock);
	for (i = 0; i < BUCKETS; i++) {
		struct entry **at = &d->bucket[i];

		while (*at) {
			struct entry *e = *at;

			if (e->node != node || (seg != SNPU_DIR_ALL && e->seg != seg)) {
				at = &e->next;
				continue;
			}
			*at = e->next;
			--*count(d, node);
			free(e);
		}
	}
	pthread_mutex_unlock(&d->lock);
}
