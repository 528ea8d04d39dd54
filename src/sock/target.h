/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * target.h - will a program that is about to be executed have this library in it?
 *
 * Asked in the process that executes it, so there is no malloc and no lock here: it may be the child of a
 * threaded process. In doubt the answer is no: connections then go back to TCP, which is right for every program.
 */
#ifndef SL_TARGET_H
#define SL_TARGET_H

#include <stdbool.h>

/**
 * sl_target_under() - the program will run under scilan
 * @dir, @path, @flags: as for execveat(2)
 * @envp: the environment it will get
 *
 * No: LD_PRELOAD does not name the library, a static or set-id program, one of another libc or machine, Go, or a
 * file that cannot be looked at. A script is what its interpreter is.
 */
bool sl_target_under(int dir, const char *path, int flags, char *const envp[]);

#endif
