/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hidden.h - scilan's own descriptors in somebody else's process
 *
 * Numbered high, close-on-exec, protected from the program's close, dup2 and close_range. Two have a role and are found
 * by it; others (bells) belong to whoever keeps them, and are moved by its hook.
 */
#ifndef SL_HIDDEN_H
#define SL_HIDDEN_H

#include <stdatomic.h>
#include "common.h"

enum sl_hidden_role {
	SL_HIDDEN_STATUS, /* the status page */
	SL_HIDDEN_BROKER, /* the connection to the broker */
	SL_HIDDEN_MAX
};

#define SL_KEPT_MAX 65536 /* descriptors beyond are not kept */

extern _Atomic int sl_hidden_fd[SL_HIDDEN_MAX]; /* fd + 1; 0: unused slot */
extern _Atomic uint64_t sl_kept[SL_KEPT_MAX / 64];
extern _Atomic int sl_kept_end; /* behind the highest that ever was; 0: none */
extern int (*sl_kept_move)(int fd); /* the owner's: give up this number. Return: 0, -errno */

static inline bool sl_kept_is(int fd)
{
	return fd >= 0 && fd < atomic_load_explicit(&sl_kept_end, memory_order_relaxed) &&
	       (atomic_load_explicit(&sl_kept[fd / 64], memory_order_relaxed) >> (fd % 64) & 1);
}

static inline bool sl_hidden_is(int fd)
{
	unsigned i;

	for (i = 0; i < SL_HIDDEN_MAX; i++)
		if (sl_unlikely(atomic_load_explicit(&sl_hidden_fd[i], memory_order_relaxed) == fd + 1))
			return fd >= 0;
	return sl_unlikely(sl_kept_is(fd));
}

/**
 * sl_kept_add() - take @fd over: move it to a high number and protect it
 * Return: its new number; -errno (@fd is closed), also where the high numbers are used up.
 *
 * sl_kept_drop() - close it
 */
int sl_kept_add(int fd);
void sl_kept_drop(int fd);

/**
 * sl_hidden_add() - take @fd over for @role: move it to a high number and protect it
 * Return: its new number, or -errno (@fd is closed).
 */
int sl_hidden_add(enum sl_hidden_role role, int fd);

/** sl_hidden_get() - the number it has now (the program may have pushed it elsewhere), or -1 */
static inline int sl_hidden_get(enum sl_hidden_role role)
{
	return atomic_load_explicit(&sl_hidden_fd[role], memory_order_relaxed) - 1;
}

/** sl_hidden_close() - close it */
void sl_hidden_close(enum sl_hidden_role role);

/** sl_hidden_move() - the program wants this number: move ours away. Return: 0 or -errno. */
int sl_hidden_move(int fd);

/** sl_hidden_next() - the lowest hidden descriptor >= @fd, or -1 */
int sl_hidden_next(int fd);

#endif
