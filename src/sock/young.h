/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * young.h - connections that have made a few calls only
 *
 * How it works. Most connections in the world are short: accepted, a request, a response, closed.
 * They are not promoted, so all that is ours is cost. A young connection has no struct sl_sock,
 * only an entry of one cache line on the status page, by descriptor: counters, and in which epoll
 * instance it was registered. Its calls are the kernel's, and counted. It *grows up* with the first
 * call that is more than that: the one that is to offer it, a dup, a poll, an option that concerns
 * the lanes, a fork. sl_sock_get() sees to it, so whoever knows nothing of the young finds a struct
 * sl_sock.
 *
 * Only where the process has one thread: a call under way in another would have to be seen by who
 * makes it grow up. There is no other lock for an entry than that. A signal handler may use the
 * connection that it interrupted a call on, and make it grow up; what is under way is counted
 * before the call, and whoever comes back finds that the entry is not young any more.
 */
#ifndef SL_YOUNG_H
#define SL_YOUNG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/single_threaded.h>
#include <sys/types.h>
#include "fdtab.h"
#include "stat.h"

#define SL_YOUNG_MAX 65536u /* descriptors from here on are never young */

#define SL_SEND_LONG (1u << 20) /* one send of so much is worth to be offered for: it grows up */

enum sl_young_flag {
	SL_YOUNG_CONNECTING = 1, /* connect() said EINPROGRESS */
	SL_YOUNG_FIN = 2,	 /* the kernel has reported the end */
	SL_YOUNG_FULL = 4,	 /* and in the last send that it was full */
	SL_YOUNG_UNCOUNTED = 8,	 /* a call was left in the middle: what it moved is not known */
};

extern struct sl_stat_young_shm
	*sl_youngs; /* on the status page; valid where the table says SL_FD_YOUNG */

static inline bool sl_young_is(int fd)
{
	return sl_fdtab_load(fd) == SL_FD_YOUNG;
}

/**
 * sl_young_born() - track @fd as a young connection
 * Return: false: nothing was done, it is to be tracked as one that is grown up.
 */
bool sl_young_born(int fd, bool connecting);

/** sl_young_grow() - it becomes a struct sl_sock. Return: false: it is not tracked any more; true:
 * look again. */
bool sl_young_grow(int fd);
void sl_young_grow_all(void);

/** sl_young_end() - its entry in the table is gone */
void sl_young_end(int fd);

/**
 * sl_young_in() / sl_young_out() - may the caller make the kernel's call itself? Then the function
 * with _done follows. @len: to be sent; 0 where it is not to be known, or never waits
 */
static inline __attribute__((always_inline)) bool sl_young_in(int fd)
{
	if (sl_likely(!sl_young_is(fd)) || !__libc_single_threaded || !sl_youngs[fd].left)
		return false;
	sl_youngs[fd].left--;
	sl_youngs[fd].rx_inflight++;
	atomic_signal_fence(memory_order_seq_cst);
	return true;
}

static inline __attribute__((always_inline)) bool sl_young_out(int fd, size_t len)
{
	if (sl_likely(!sl_young_is(fd)) || !__libc_single_threaded || !sl_youngs[fd].left ||
	    len >= SL_SEND_LONG)
		return false;
	sl_youngs[fd].left--;
	sl_youngs[fd].tx_inflight++;
	atomic_signal_fence(memory_order_seq_cst);
	return true;
}

/**
 * sl_young_in_done() / sl_young_out_done() - count what it returned
 * @n: what it returned, with errno as it left it
 * @len: what it asked for
 * Return: @n.
 */
ssize_t sl_young_in_done(int fd, ssize_t n, size_t len);
ssize_t sl_young_out_done(int fd, ssize_t n, size_t len);

/**
 * sl_young_abandoned() - this thread has left all signal handlers by a jump, and the frames below are gone
 *
 * Calls on young connections that are still counted will not come back: they have no frames.
 */
void sl_young_abandoned(void);

#endif
