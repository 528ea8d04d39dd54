/* SPDX-License-Identifier: BSD-2-Clause */
/* preload.h - where libscilan.so lies, and putting it into LD_PRELOAD */
#ifndef SL_PRELOAD_H
#define SL_PRELOAD_H

#include <limits.h>

#define SL_LIB_NAME "libscilan.so"

/**
 * sl_preload_find() - find the library
 * @path: filled with an absolute path
 *
 * SCILAN_LIB in the environment; else beside this executable, as in a build directory; else
 * where an installation puts it.
 *
 * Return: 0; -ENOENT; -EINVAL its path has a space or colon, which LD_PRELOAD cannot express.
 */
int sl_preload_find(char path[PATH_MAX]);

/**
 * sl_preload_set() - put the library in front of LD_PRELOAD, unless it is there already
 *
 * Return: 0, -ENOMEM.
 */
int sl_preload_set(const char *path);

/* take the library out of LD_PRELOAD, and leave the rest */
int sl_preload_unset(void);

#endif
