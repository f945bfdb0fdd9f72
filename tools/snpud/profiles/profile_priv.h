/* SPDX-License-Identifier: MIT */
/*
 * Between the files that read profiles.
 */
#ifndef SNPU_PROFILE_PRIV_H
#define SNPU_PROFILE_PRIV_H

#include "profiles/profile.h"

#define SNPU_PROFILE_MAX_BYTES	(256u * 1024)
#define SNPU_PROFILE_VERSION	1

/**
 * snpu_profile_read() - text of a file, NUL-terminated, to be freed
 *
 * Return: the text, or NULL with @err set, which names the file.
 */
char *snpu_profile_read(const char *path, char *err, size_t err_len);

/**
 * snpu_profile_base_path() - file of the base that a profile names
 * @base: as written
 * @file: file it is written in
 * @path: receives its path
 * @len: size of @path
 *
 * Return: 0 or -ENOENT.
 */
int snpu_profile_base_path(const char *base, const char *file, char *path, size_t len);

#endif
