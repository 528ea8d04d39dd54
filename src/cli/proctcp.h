/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SL_PROCTCP_H
#define SL_PROCTCP_H

#include "view.h"

/**
 * sl_proctcp_fill() - the kernel's knowledge of a process's TCP sockets
 * @p: its connections that lack addresses get them; if the program has a reason of its own
 *     (it has no library that could tell), all its connections are added
 *
 * From the socket inodes of /proc/PID/fd, and /proc/PID/net/tcp and tcp6.
 */
void sl_proctcp_fill(struct sl_view_prog *p);

#endif
