/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fault.h - copying to and from the program's buffers, which may be bad
 *
 * How it works. The kernel says EFAULT for a bad buffer; a copy in user space faults. To ask before each copy costs
 * a system call, to remember answers is wrong after the next munmap(). So the copy is made, by one function, and
 * a handler for SIGSEGV and SIGBUS lets that function return an error. It knows the function by the return address:
 * libc's memcpy() is a leaf that keeps nothing on the stack, so where it faults the stack's top is the
 * address behind the one call. Nothing has to be noted before a copy, which costs nothing then.
 *
 * The handler is put in place with the first promoted connection, and only where the program has none: its own
 * handler, then or later, has the signal for itself. A fault of any other origin goes its default way, with the same
 * registers, core dump and exit status.
 *
 * What it does not do. Other processors than x86-64 have no such function: a bad buffer faults there.
 */
#ifndef SL_FAULT_H
#define SL_FAULT_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/** sl_fault_init() - handle faults of sl_copy(), where nobody handles faults; cheap when called again */
void sl_fault_init(void);

/** sl_copy() - memcpy(); Return: 0, or -EFAULT: some of it may have been copied */
#ifdef __x86_64__
int sl_copy(void *dst, const void *src, size_t len);
#else
static inline int sl_copy(void *dst, const void *src, size_t len)
{
	memcpy(dst, src, len);
	return 0;
}
#endif

/** sl_bad_address() - cannot be one of the program's: the first page, or beyond user space */
static inline bool sl_bad_address(const void *p)
{
	return (uintptr_t)p - 4096 >= (1ull << 56) - 8192;
}

#endif
