/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * scan.h - does the program, or a library of it, make system calls without libc?
 *
 * How it works. The bytes of the three system call instructions are searched for in executable
 * segments, sixteen at a time. Most finds are the middle of something else. What a find is, is decided
 * by decoding from the beginning of its function (.eh_frame_hdr knows where functions begin). If it is an
 * instruction, the number in eax is looked for: a constant that nothing changes and nobody jumps behind. Numbers
 * that cannot touch a socket are harmless: futex and getrandom are what libraries make themselves. All
 * else counts as touching, also a number that is not seen.
 *
 * It reads memory only: no system call, but for the cache (cache.h). Code that is made at run time is not
 * looked at.
 */
#ifndef SL_SCAN_H
#define SL_SCAN_H

#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "reason.h"

/* An object in memory, as the loader has it. */
struct sl_image {
	uintptr_t base; /* what is added to the addresses in the headers */
	const Elf64_Phdr *ph;
	size_t n;
};

struct sl_scan {
	enum sl_reason why; /* SL_WHY_NONE, SL_WHY_RAW_CODE or SL_WHY_IO_URING */
	uint64_t at;	    /* the first instruction that is why: address in the file */
	int nr;		    /* its number; -1 not known */
	unsigned calls;	    /* system call instructions, the harmless ones too */
	size_t bytes;	    /* of code */
};

/** sl_scan_image() - look at one object */
void sl_scan_image(const struct sl_image *im, struct sl_scan *out);

/** sl_scan_harmless() - system call @nr cannot reach a socket, whatever its arguments */
bool sl_scan_harmless(int nr);

/**
 * sl_scan_process() - look at what has been loaded since the last time
 *
 * libc, the loader, the vDSO and scilan itself are known and left out. Costs some hundred nanoseconds when
 * nothing new is there; the first time about a millisecond for each 4 MB of code.
 * Return: why this process cannot be helped, or SL_WHY_NONE.
 */
enum sl_reason sl_scan_process(void);

#endif
