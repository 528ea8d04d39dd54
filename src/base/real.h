/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * real.h - the real libc functions behind the interposed names
 *
 * Nothing below preload/ calls an interposed name: it calls sl_real.NAME (which blocks, is a
 * cancellation point and sets errno as libc does) or, where nothing may block and errno must stay as it is, a raw
 * system call (sys.h).
 */
#ifndef SL_REAL_H
#define SL_REAL_H

#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <wordexp.h>
#include "calls.h"

struct sl_real_calls {
#define X(ret, name, args) ret(*name) args;
	SL_CALLS(X)
#undef X
};

extern struct sl_real_calls sl_real;

/**
 * sl_real_init() - look up all real functions, the next definition after ours
 *
 * Safe to call at any time, more than once, from any thread. A name that this libc lacks stays NULL.
 */
void sl_real_init(void);

#endif
