/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * inherit.h - connections that a program which is executed or spawned gets
 *
 * How it works. Before the program is there, its heirs are found: the descriptor numbers in it that will stand for
 * connections of ours. A promoted one then goes one of two ways.
 *
 *   It stays promoted, if the program will run under scilan (target.h). Where libc is not patched, it must have it
 *   on other numbers than 0 to 2: those are stdio's, which reads and writes past us then. The broker gives the segment and the side page
 *   again to a holder of the socket (SL_OFFER_REATTACH), here, where a refusal can still be answered by the other
 *   way. Their descriptors stay open across the exec, and an environment variable names them. The
 *   library's constructor in the new program takes the variable away, maps both and closes them
 *   (sl_inherit_adopt). What they must agree in is checked: sealed memfds of the right size, and the socket's
 *   cookie and the segment's inode as the side page has them.
 *
 *   Or it goes back to TCP at the byte that this end has read up to (handover.c), and is not promoted again: a
 *   process that we know nothing of holds it (side->foreign).
 *
 *   Where that is not possible a relay takes its place (preload/relay.c), unless another process holds it
 *   and the program may just not have closed it: descriptors above 2 of an exec.
 *
 * A connection that is not promoted is on TCP already; it is only marked as foreign.
 *
 * No malloc: this may be the child of a threaded process.
 */
#ifndef SL_INHERIT_H
#define SL_INHERIT_H

#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>

#define SL_INHERIT_VAR "SCILAN_INHERIT"

extern bool sl_inherit_stdio; /* libc's own calls come to us: stdio's descriptors are as good as others */

struct sl_sock;

/* Descriptor @fd of the new program stands for @s. */
struct sl_heir {
	int fd;
	bool foreign; /* was so before (the first of its socket) */
	struct sl_sock *s;
};

struct sl_exec {
	int dir; /* dir, path, flags: as for execveat(2) */
	const char *path;
	int flags;
	char *const *envp; /* in: the program's environment; out: with the variable if there is one */
	const posix_spawn_file_actions_t *actions; /* for a spawn, in and out */
	/* private */
	bool fails;	  /* set by sl_exec_begin(): there is no such program, nothing was done */
	bool spawn, adds; /* adds: actions leave descriptors of ours alone */
	bool copied;	  /* @own takes the place of the program's actions */
	posix_spawn_file_actions_t own;
	struct sl_heir *heirs;
	unsigned n;
	uint64_t wait_ns; /* that may still be spent on peers */
	int *kept; /* descriptors kept open for it */
	unsigned nkept;
	char *text; /* the variable */
	char *text_end;
	void *mem;
	size_t mem_len;
};

/**
 * sl_exec_begin() - this process is about to execute a program
 * sl_exec_failed() - it is still here
 */
void sl_exec_begin(struct sl_exec *e);
void sl_exec_failed(struct sl_exec *e);

/**
 * sl_spawn_begin() - this process is about to spawn a program
 * sl_spawn_end() - it has, or it failed
 */
void sl_spawn_begin(struct sl_exec *e);
void sl_spawn_end(struct sl_exec *e, bool failed);

/** sl_inherit_adopt() - in the constructor: take over what an exec has left us, and the variable out of @envp */
void sl_inherit_adopt(char **envp);

#endif
