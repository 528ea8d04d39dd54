/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SL_ELF_LOOK_H
#define SL_ELF_LOOK_H

#include <stdbool.h>
#include "reason.h"

/**
 * sl_elf_look() - can a library be preloaded into this file, and will it see the calls?
 * @other_libc: set if the file is dynamic, but its loader is not glibc's
 *
 * Return: SL_WHY_NONE (also if the file cannot be read), SL_WHY_NOT_ELF, SL_WHY_RAW_GO or
 *	   SL_WHY_STATIC.
 */
enum sl_reason sl_elf_look(const char *path, bool *other_libc);

#endif
