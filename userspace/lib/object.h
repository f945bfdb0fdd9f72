/* SPDX-License-Identifier: MIT */
/*
 * Objects that the library gives out: a register of those that live, so that one destroyed twice is
 * an error and not a crash, and so that messages can name what is left or what lies at an address.
 *
 * With SNPU_CHECK a destroyed object stays in memory for a while, and calls on it find that out
 * (check.c). Without it, a call other than destroying looks at no register.
 */
#ifndef SNPU_OBJECT_H
#define SNPU_OBJECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct snpu_mem;
struct snpu_ctx;
struct snpu_trail;

enum snpu_kind {
	SNPU_KIND_SET,
	SNPU_KIND_CTX,
	SNPU_KIND_MEM,
	SNPU_KIND_QUEUE,
	SNPU_KIND_CMDBUF,
	SNPU_KIND_FENCE,
	SNPU_KIND_TIMELINE,
	SNPU_KIND_EVENT,
};

/**
 * struct snpu_obj - first member of each object
 * @kind: what it is
 * @check: its set was opened with SNPU_CHECK
 * @gone: destroyed; only read if @check
 * @next: in the register, later among those kept
 * @trail: with @check: where it was made and destroyed
 */
struct snpu_obj {
	enum snpu_kind kind;
	bool check;
	bool gone;
	struct snpu_obj *next;
	struct snpu_trail *trail;
};

/* Enters a new object; @check: as that of its set */
void snpu_obj_add(struct snpu_obj *o, enum snpu_kind kind, bool check);
/*
 * Takes an object that is about to be destroyed out of the register: 0, or -EINVAL with a message
 * when it is not there, which no other call on it may find out.
 */
int snpu_obj_take(void *o, enum snpu_kind kind, const char *call);
/* Enters it again: it cannot be destroyed yet */
void snpu_obj_untake(struct snpu_obj *o);
/* Frees the memory of an object that was taken out, now or (SNPU_CHECK) later */
void snpu_obj_free(struct snpu_obj *o);
/* Calls @fn for all objects of a kind until it returns false; no call of the library in there */
void snpu_obj_each(enum snpu_kind kind, bool (*fn)(struct snpu_obj *o, void *arg), void *arg);
/* Calls @fn with the memory of @ctx at @va, which stays there meanwhile. False: nothing is there */
bool snpu_obj_mem_at(const struct snpu_ctx *ctx, uint64_t va,
		     void (*fn)(struct snpu_mem *mem, void *arg), void *arg);
/* "memory 0x7f00", "queue 3 of NPU 1"; what snprintf() returns */
int snpu_obj_name(const struct snpu_obj *o, char *buf, size_t len);

/**
 * snpu_obj_dead() - is a call made on an object that was destroyed?
 * @o: object
 * @call: name of the call
 *
 * Return: always false without SNPU_CHECK; true with a message.
 */
bool snpu_check_dead(const struct snpu_obj *o, const char *call);

static inline bool snpu_obj_dead(const struct snpu_obj *o, const char *call)
{
	return __builtin_expect(o->check, 0) && snpu_check_dead(o, call);
}

#endif
