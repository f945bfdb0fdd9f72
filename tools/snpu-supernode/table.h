/* SPDX-License-Identifier: MIT */
#ifndef SNPU_SN_TABLE_H
#define SNPU_SN_TABLE_H

#include <json.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define SN_MAX_RANKS	2048u		/* of a communicator; twice what libsnpu_coll has */

/**
 * struct sn_row - what one program said of one collective; the fields of snpu-bench coll --json-lines
 * @op: operation
 * @algo: algorithm
 * @type: of elements
 * @redop: reduction
 * @root: rank
 * @ranks: of the communicator
 * @size: bytes
 * @count: elements
 * @base: first rank that the program had
 * @num: ranks that it had; 0: it does not say
 * @wrong: elements of all its ranks that are wrong
 * @unchecked: nothing was compared
 * @wall_us: time on this computer
 * @virtual_us: time on the machine modelled; 0: none
 * @errors: wrong elements of each rank, @num of them; NULL with @unchecked
 */
struct sn_row {
	char op[24], algo[16], type[8], redop[8];
	unsigned int root, ranks;
	uint64_t size, count;
	unsigned int base, num;
	uint64_t wrong;
	bool unchecked;
	double wall_us, virtual_us;
	struct json_object *errors;
};

/**
 * sn_row_parse - check and take over a JSON object
 * @r: filled in; holds no reference, @o has to live as long
 * @o: object
 * @why: gets what is wrong with it
 * @size: of @why
 *
 * Return: 1: a row; 0: none, it has no "op"; -EINVAL: it has, and makes no sense
 */
int sn_row_parse(struct sn_row *r, struct json_object *o, char *why, size_t size);

/* Rows that guests print, made one table in which every rank has its place */
struct sn_table;

struct sn_table *sn_table_create(unsigned int hosts, unsigned int npus);
void sn_table_free(struct sn_table *t);

/**
 * sn_table_line - a line that a guest printed
 * @t: table
 * @host: guest
 * @line: text, with a 0 at its end
 * @len: bytes before that
 *
 * Rows of the same collective from all guests are one row of the table, in which each rank may be
 * given once. The same collective once more is the next row. Where there are as many ranks as NPUs,
 * a guest can only tell of its own.
 *
 * Return: 1: a row was taken; 0: no row; -EINVAL: a row that makes no sense, which is noted
 */
int sn_table_line(struct sn_table *t, unsigned int host, const char *line, size_t len);

/** sn_table_refuse - note that something a guest gave could not be looked at */
void sn_table_refuse(struct sn_table *t, unsigned int host, const char *why, const char *text);

/** sn_table_print - print it; nothing if there are no rows */
void sn_table_print(const struct sn_table *t, FILE *f);

/**
 * sn_table_say - which ranks of which guests are missing, wrong or not compared, a line each
 * @t: table
 * @f: where
 * @want: rows that have to be there at least
 *
 * Return: lines, 0 when every rank of every guest gave what is right
 */
unsigned int sn_table_say(const struct sn_table *t, FILE *f, unsigned int want);

/** sn_table_json - the merged rows; to be put */
struct json_object *sn_table_json(const struct sn_table *t);

#endif
