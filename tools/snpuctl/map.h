/* SPDX-License-Identifier: MIT */
/*
 * snpuctl fabric map: a picture of who talked to whom, and of how much each plane and switch was used.
 */
#ifndef SNPUCTL_MAP_H
#define SNPUCTL_MAP_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/**
 * struct map_cell - bytes from one NPU to another
 * @src: node
 * @dst: node
 * @bytes: bytes
 */
struct map_cell {
	uint32_t src;
	uint32_t dst;
	uint64_t bytes;
};

/**
 * struct map_use - bytes through a switch, or a plane in all
 * @name: to be printed
 * @plane: its plane
 * @level: 0: a plane in all, 1: L1 switch, 2: L2 switch
 * @index: its place in the row of its plane and level
 * @bytes: bytes that entered it
 * @dropped: bytes lost there
 */
struct map_use {
	char name[24];
	uint32_t plane;
	uint32_t level;
	uint32_t index;
	uint64_t bytes;
	uint64_t dropped;
};

/**
 * struct map_data - what is drawn
 * @title: headline
 * @nodes: NPUs of the machine
 * @per_host: NPUs of a host, for the grid
 * @cells: pairs that talked
 * @num_cells: length of @cells
 * @uses: planes and switches
 * @num_uses: length of @uses
 */
struct map_data {
	const char *title;
	uint32_t nodes;
	uint32_t per_host;
	const struct map_cell *cells;
	size_t num_cells;
	const struct map_use *uses;
	size_t num_uses;
};

/** map_svg() - write the picture. 0, or -EIO when @out cannot take it */
int map_svg(FILE *out, const struct map_data *d);

#endif
