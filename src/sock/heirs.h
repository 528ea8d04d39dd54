/* SPDX-License-Identifier: BSD-2-Clause */
/* heirs.h - which descriptors of a new program stand for which of our connections */
#ifndef SL_HEIRS_H
#define SL_HEIRS_H

#include "inherit.h"

/** sl_heirs_max() - no more than this many can be found */
unsigned sl_heirs_max(const posix_spawn_file_actions_t *actions);

/** sl_heirs_exec() - fill @h with what an exec leaves open, each with a reference; returns how many */
unsigned sl_heirs_exec(struct sl_heir *h);

/**
 * sl_heirs_spawn() - the same for a child of posix_spawn() with these file actions
 * @high: set to whether the actions leave numbers alone that they do not name
 */
unsigned sl_heirs_spawn(struct sl_heir *h, const posix_spawn_file_actions_t *actions, bool *high);

/** sl_heirs_copy() - the same file actions once more, to add to; @from may be NULL. Return: 0 or an errno. */
int sl_heirs_copy(posix_spawn_file_actions_t *to, const posix_spawn_file_actions_t *from);

#endif
