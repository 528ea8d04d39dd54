/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cpus.h - how much of the machine a thread may use
 *
 * Two things limit it: the CPUs that it may run on (sched_setaffinity, taskset, cpusets), and its
 * cgroup's quota of CPU time. Both can change at any time, and asking costs system calls. So they
 * are asked for when a spin was in vain, which is about to cost a sleep anyway, and not more often
 * than every CPUS_LOOK_NS and QUOTA_LOOK_NS.
 */
#ifndef SL_CPUS_H
#define SL_CPUS_H

#include <stdatomic.h>
#include <stdint.h>

#define SL_CPUS_ALL 100u /* percent: a CPU or more */

/* Of this thread: 1 + the only CPU that it may run on; 0: there are several, or it was not asked
 * yet. */
extern __thread uint32_t sl_cpus_only __attribute__((tls_model("initial-exec")));

/* Of one CPU's time, what the process's cgroup may use: 1 to SL_CPUS_ALL. */
extern _Atomic uint32_t sl_cpus_percent;

/** sl_cpus_look() - ask again, if it is time to; @now is sl_ticks() */
void sl_cpus_look(uint64_t now);

/** sl_cpus_look_now() - ask, whatever the time */
void sl_cpus_look_now(void);

/**
 * sl_cpus_quota() - the least quota of a cgroup and those around it
 * @cgroup: the text of /proc/self/cgroup
 * @root:   where cgroups are mounted, /sys/fs/cgroup
 * Return: percent of one CPU, at least 1 and at most SL_CPUS_ALL, which stands for no quota, too.
 */
uint32_t sl_cpus_quota(const char *cgroup, const char *root);

#endif
