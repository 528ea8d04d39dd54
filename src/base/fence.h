/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fence.h - a fence that one process executes for all: membarrier(2)
 *
 * Who stores much and is looked at seldom need not fence its own stores, if whoever looks fences for both. The kernel
 * interrupts the CPUs on which processes run that have asked to take part; what does not run has been through
 * a context switch, which is a fence. It takes 1 µs where nobody runs, and 3 to 30 µs where the other one does.
 */
#ifndef SL_FENCE_H
#define SL_FENCE_H

#include "common.h"

/** sl_fence_able - this process takes part: the kernel fences it for others, and it may fence others */
extern bool sl_fence_able;

/** sl_fence_init() - take part; cheap while the process has one thread. Holds after fork, not after exec */
void sl_fence_init(void);

/**
 * sl_fence_all() - a full fence in this thread, and in every thread of a process that takes part
 * Return: false: it was none (a filter of system calls came later).
 */
bool sl_fence_all(void);

#endif
