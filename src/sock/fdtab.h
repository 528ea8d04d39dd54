/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fdtab.h - which descriptors are ours
 *
 * A table from descriptor number to what we track behind it: a socket (struct sl_sock) or an epoll
 * instance (an opaque pointer of ready/). Looking up is lock-free: load the entry, take a reference, check
 * that the entry is still the same. That is safe because both kinds are type-stable: their memory is
 * reused, never freed. Descriptors at or above SL_FD_MAX are never tracked.
 */
#ifndef SL_FDTAB_H
#define SL_FDTAB_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/single_threaded.h>
#include "common.h"

#define SL_FD_CHUNK 1024u
#define SL_FD_MAX   (1024u * SL_FD_CHUNK)

struct sl_sock;

/* An entry: 0, a struct sl_sock *, an epoll instance with bit 0 set, or SL_FD_YOUNG. */
typedef _Atomic(uintptr_t) sl_fd_entry;

#define SL_FD_YOUNG ((uintptr_t)2) /* a young connection (young.h) */

extern sl_fd_entry *sl_fdtab[SL_FD_MAX / SL_FD_CHUNK];

static inline __attribute__((always_inline)) uintptr_t sl_fdtab_load(int fd)
{
	if (sl_unlikely((unsigned)fd >= SL_FD_MAX))
		return 0;
	return atomic_load_explicit(&sl_fdtab[(unsigned)fd / SL_FD_CHUNK]
					     [(unsigned)fd % SL_FD_CHUNK],
				    memory_order_acquire);
}

/** sl_fdtab_init() - before anything else */
void sl_fdtab_init(void);

/** sl_fdtab_swap() - set an entry, return the old one; returns UINTPTR_MAX when out of memory or range */
uintptr_t sl_fdtab_swap(int fd, uintptr_t entry);

/** sl_fdtab_replace() - set an entry if it is still @was */
bool sl_fdtab_replace(int fd, uintptr_t was, uintptr_t entry);

/** sl_fdtab_next() - the lowest tracked descriptor >= @fd, or -1 */
int sl_fdtab_next(int fd);

#endif
