/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * entry.h - libc's own functions jump to ours
 *
 * How it works. libc's stdio, aio, daemon() ... call read, write and close by internal names of the same code,
 * which symbols cannot catch. So the first bytes of each such function are replaced by a jump to ours. What
 * stood there is moved to a trampoline, which goes on behind the jump: that is the function as it was, for
 * our own use (sl_real).
 *
 * It is done while the process has one thread, from the constructor, or not at all. Before anything is changed
 * all functions are looked at: each must begin with whole instructions that mean the same elsewhere
 * (what is relative to its own address is adjusted), must make a system call, and must have no jump into the
 * bytes that go. SELinux, PR_SET_MDWE or a seccomp filter may forbid to write code and to run it again: the
 * trampolines show that before libc is touched, and under SELinux a private copy of a page of libc's file
 * does. Whatever is not as expected: nothing is changed, and the caller learns why.
 *
 * While the pages of libc cannot be run, nothing of libc is called: only own code, and raw system calls.
 */
#ifndef SL_ENTRY_H
#define SL_ENTRY_H

#include <stddef.h>

struct sl_entry {
	const char *name; /* as libc exports it; two names may have the same code */
	void *ours;	  /* jumped to */
	void **real;	  /* in: the address by other means, checked, or NULL; out: the trampoline */
};

/**
 * sl_entry_patch() - patch all of @list, or nothing
 *
 * A name that libc does not have is left out.
 * Return: NULL; else why not, in words, and nothing was changed.
 */
const char *sl_entry_patch(struct sl_entry *list, size_t n);

/**
 * sl_entry_watch_loader() - have @hook called when libraries have been loaded or taken away
 *
 * The loader calls an empty function then, for debuggers (r_brk of struct r_debug): it becomes a jump to @hook,
 * which runs before the constructors of what was loaded. After sl_entry_patch() has succeeded.
 * Return: NULL; else why not, and nothing was changed.
 */
const char *sl_entry_watch_loader(void (*hook)(void));

#endif
