/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SL_BENCH_TRACE_H
#define SL_BENCH_TRACE_H

#include <stdint.h>
#include <sys/types.h>

struct sl_bench_trace;

/**
 * sl_bench_trace_begin() - count the system calls of a child's one thread from now on
 *
 * Return: NULL if it cannot be traced.
 */
struct sl_bench_trace *sl_bench_trace_begin(pid_t pid);

/* Let it go on untraced. Return: the calls. */
uint64_t sl_bench_trace_end(struct sl_bench_trace *t);

#endif
