/* SPDX-License-Identifier: BSD-2-Clause */
/* broker.h - run a broker in this process; what it does stands in brk.h, what it says in msg.h */
#ifndef SL_BROKER_H
#define SL_BROKER_H

#include <stdbool.h>

#define SL_BROKER_IDLE_S   30 /* the user's broker leaves after this long without clients */
#define SL_BROKER_IDLE_DEF (-1)

struct sl_broker_opts {
	bool system; /* serve everybody, at SL_BROKER_SYSTEM; otherwise only our own user */
	bool verbose;
	int idle_s; /* leave after so long without clients; 0: never; SL_BROKER_IDLE_DEF */
};

/**
 * sl_broker_run() - listen and serve until SIGTERM, SIGINT, or idle
 *
 * Owns the process while it runs: takes SIGTERM, SIGINT and SIGALRM, and raises the descriptor
 * limit. Both are put back on return. Errors that a person must see are logged in one line.
 *
 * Return: 0; -EADDRINUSE a broker runs there already; -errno.
 */
int sl_broker_run(const struct sl_broker_opts *opts);

#endif
