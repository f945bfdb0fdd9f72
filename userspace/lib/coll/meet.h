/* SPDX-License-Identifier: MIT */
/*
 * Meeting of the ranks of a communicator, see meet.c.
 */
#ifndef SNPU_COLL_MEET_H
#define SNPU_COLL_MEET_H

#include "coll.h"

#define COLL_MEET_ROUNDS	2

/**
 * struct coll_meet - a rank at the meeting place
 * @c: its communicator
 * @q: queue for this
 * @place: the place, own or imported
 * @va: its address
 * @head: the CPU's view of it when it is the rank's own; NULL: it is rank 0's
 * @local: memory for what is read of the place, and for the own entry
 * @ptr: the CPU's view of that
 * @end: when patience ends, see coll_deadline()
 * @full: the place that was seen last belonged to ranks that have all come
 */
struct coll_meet {
	struct snpu_coll *c;
	struct snpu_queue *q;
	struct snpu_mem *place;
	uint64_t va;
	struct coll_place *head;
	struct snpu_mem *local;
	uint8_t *ptr;
	uint64_t end;
	bool full;
};

/* @m->c is set, everything else zero. Takes the rank's seat; coll_meet_close() also after an error */
int coll_meet_open(struct coll_meet *m);
/* Gives @mine, gets the entries of all ranks. Rounds come one after the other, from 0 */
int coll_meet_exchange(struct coll_meet *m, unsigned int round, const struct coll_entry *mine,
		       struct coll_entry *entries);
/* Rank 0 stays until the others need its place no more */
int coll_meet_leave(struct coll_meet *m);
void coll_meet_close(struct coll_meet *m);

/* bootstrap.c: 128 bits of FNV-1a from two starting points: names, not secrets */
void coll_digest(const void *data, size_t n, uint64_t out[2]);
/* An id that follows from another, or NULL, and some data */
void coll_uid_derive(struct snpu_coll_uid *out, const struct snpu_coll_uid *from, const void *data,
		     size_t n);

#endif /* SNPU_COLL_MEET_H */
