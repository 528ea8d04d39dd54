/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SL_PAGE_H
#define SL_PAGE_H

#include "reason.h"

/**
 * sl_page_leave() - a status page for a program in which the library cannot make one
 * @program: its name
 * @why:     the reason that `scilan status` is to show
 *
 * The page stays open across exec on a high descriptor, which nobody uses.
 *
 * Return: 0, -errno.
 */
int sl_page_leave(const char *program, enum sl_reason why);

#endif
