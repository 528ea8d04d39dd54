/* SPDX-License-Identifier: BSD-2-Clause */
/* prog.h - finding the program to run, and whether the library can work in it */
#ifndef SL_PROG_H
#define SL_PROG_H

#include <limits.h>
#include <stdbool.h>
#include "reason.h"

struct sl_prog {
	char binary[PATH_MAX]; /* what the kernel loads in the end: the program or its interpreter
				*/
	enum sl_reason why;    /* why the library cannot work in it, or SL_WHY_NONE */
	bool other_libc;       /* it must not be preloaded: made for another C library (musl) */
};

/**
 * sl_prog_find() - find a program along PATH, as execvp() does
 * @path: filled with what is to be executed
 *
 * Return: 0; -ENOENT; -EACCES found, but not executable; -ENAMETOOLONG.
 */
int sl_prog_find(const char *name, char path[PATH_MAX]);

/**
 * sl_prog_inspect() - look at a program: ELF, Go, static, set-id; for scripts at the interpreter
 *
 * What cannot be read counts as fine: the library tells itself whether it works.
 */
void sl_prog_inspect(const char *path, struct sl_prog *prog);

#endif
