// SPDX-License-Identifier: MIT
/*
 * An exported function for each inline one, under the same name, for languages that cannot include
 * a C header. The header stays the only definition.
 */
#define SNPU_INLINE
#pragma GCC diagnostic ignored "-Wmissing-prototypes"
#pragma GCC visibility push(default)
#include <snpu/snpu_prep.h>
#pragma GCC visibility pop
