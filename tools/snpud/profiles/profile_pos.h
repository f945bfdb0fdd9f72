/* SPDX-License-Identifier: MIT */
/*
 * Where the keys of a JSON text are, for messages: the parser proper does not tell.
 */
#ifndef SNPU_PROFILE_POS_H
#define SNPU_PROFILE_POS_H

#include <stddef.h>
#include <stdint.h>

struct snpu_pos;

/**
 * snpu_pos_new() - find the keys of objects in objects
 * @text: JSON that a parser has accepted; anything else is safe, but may give nonsense
 * @why: receives what is wrong: a key given twice in an object, one with an escape or control
 *	character, a long one, or more of them than a profile can have
 * @why_len: size of @why
 * @off: receives the place of that
 *
 * Return: the index, or NULL.
 */
struct snpu_pos *snpu_pos_new(const char *text, char *why, size_t why_len, size_t *off);
void snpu_pos_free(struct snpu_pos *p);

/**
 * snpu_pos_find() - place of a key
 * @p: index
 * @sec: key of the outermost object, or NULL: the text itself
 * @key: key in @sec, or NULL
 * @member: key in @key, or NULL
 *
 * Return: place of the key, or of the innermost one around it that is there.
 */
size_t snpu_pos_find(const struct snpu_pos *p, const char *sec, const char *key,
		     const char *member);

/** snpu_pos_line() - line and column, from 1 and in bytes, of a place in a text */
void snpu_pos_line(const char *text, size_t off, uint32_t *line, uint32_t *col);

#endif
