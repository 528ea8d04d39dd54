/* SPDX-License-Identifier: BSD-2-Clause */
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include "clock.h"
#include "common.h"
#include "cpus.h"
#include "sys.h"

#define CPUS_LOOK_NS  100000000u
#define QUOTA_LOOK_NS 5000000000u
#define TEXT_LEN      1024
#define DEPTH_MAX     16  /* cgroups in each other */
#define MASK_LONGS    128 /* of affinity: 8192 CPUs, as many as Linux can have */

__thread uint32_t sl_cpus_only __attribute__((tls_model("initial-exec")));
static __thread uint64_t next_look __attribute__((tls_model("initial-exec")));
_Atomic uint32_t sl_cpus_percent = SL_CPUS_ALL;
static _Atomic uint64_t next_quota;

static bool read_text(const char *dir, const char *name, char *text, size_t len)
{
	char path[TEXT_LEN];
	long fd, n;

	if (snprintf(path, sizeof(path), "%s/%s", dir, name) >= (int)sizeof(path))
		return false;
	fd = sl_sys(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = sl_sys(SYS_read, fd, text, len - 1);
	sl_sys_close((int)fd);
	text[n > 0 ? n : 0] = '\0';
	return n > 0;
}

/* "max" and "-1" are none. Return: what is left of @s; @v is UINT64_MAX if there is no number. */
static const char *number(const char *s, uint64_t *v)
{
	uint64_t n = 0;

	*v = UINT64_MAX;
	if (*s < '0' || *s > '9')
		return s;
	for (; *s >= '0' && *s <= '9' && n < UINT32_MAX; s++)
		n = n * 10 + (uint64_t)(*s - '0');
	*v = n;
	return s;
}

static uint32_t percent_of(uint64_t quota, uint64_t period)
{
	uint64_t p;

	if (quota >= UINT32_MAX || period >= UINT32_MAX || !period)
		return SL_CPUS_ALL;
	p = quota * 100 / period;
	return p < 1 ? 1 : p > SL_CPUS_ALL ? SL_CPUS_ALL : (uint32_t)p;
}

/* Of one cgroup. Version 2 has both numbers in one file. */
static uint32_t quota_at(const char *dir, bool v2)
{
	uint64_t quota = UINT64_MAX, period = UINT64_MAX;
	char text[64];
	const char *s;

	if (!read_text(dir, v2 ? "cpu.max" : "cpu.cfs_quota_us", text, sizeof(text)))
		return SL_CPUS_ALL;
	s = number(text, &quota);
	if (v2) {
		(void)number(*s == ' ' ? s + 1 : s, &period);
		return percent_of(quota, period);
	}
	if (quota != UINT64_MAX && read_text(dir, "cpu.cfs_period_us", text, sizeof(text)))
		(void)number(text, &period);
	return percent_of(quota, period);
}

/*
 * From the cgroup at @path up to the one at @top: each limits those within it. In a container the
 * path may be that of the host, of which only the end is to be seen, at @top: what is not there has
 * no quota.
 */
static uint32_t quota_up(const char *top, const char *path, size_t len, bool v2)
{
	uint32_t least = SL_CPUS_ALL, q;
	char dir[TEXT_LEN];
	unsigned i;

	for (i = 0; i < DEPTH_MAX; i++) {
		while (len && path[len - 1] == '/')
			len--;
		snprintf(dir, sizeof(dir), "%s%.*s", top, (int)len, path);
		q = quota_at(dir, v2);
		least = q < least ? q : least;
		if (!len)
			break;
		while (len && path[len - 1] != '/')
			len--;
	}
	return least;
}

/* Is "cpu" one of "cpu,cpuacct"? */
static bool has_cpu(const char *list, size_t len)
{
	size_t n;

	for (; len; list += n, len -= n) {
		for (n = 0; n < len && list[n] != ','; n++)
			;
		if (n == 3 && !memcmp(list, "cpu", 3))
			return true;
		n += n < len;
	}
	return false;
}

/* Lines are "number:controllers:path"; version 2 is "0::path". */
uint32_t sl_cpus_quota(const char *cgroup, const char *root)
{
	const char *line, *end, *list, *path;
	uint32_t least = SL_CPUS_ALL, q;
	char top[256];

	for (line = cgroup; *line; line = *end ? end + 1 : end) {
		end = line + strcspn(line, "\n");
		list = memchr(line, ':', (size_t)(end - line));
		path = list ? memchr(list + 1, ':', (size_t)(end - list - 1)) : NULL;
		if (!path)
			continue;
		list++;
		if (path == list)
			snprintf(top, sizeof(top), "%s", root);
		else if (has_cpu(list, (size_t)(path - list)))
			snprintf(top, sizeof(top), "%s/%.*s", root, (int)(path - list), list);
		else
			continue;
		q = quota_up(top, path + 1, (size_t)(end - path - 1), path == list);
		least = q < least ? q : least;
	}
	return least;
}

/* 1 + the only CPU; 0: several, or the kernel has more of them than fit. */
static uint32_t only_cpu(void)
{
	uint64_t mask[MASK_LONGS] = {0};
	long n = sl_sys(SYS_sched_getaffinity, 0, sizeof(mask), mask), i;
	uint32_t only = 0;

	for (i = 0; i < n / (long)sizeof(mask[0]); i++) {
		if (!mask[i])
			continue;
		if (only || (mask[i] & (mask[i] - 1)))
			return 0;
		only = (uint32_t)(i * 64 + __builtin_ctzll(mask[i])) + 1;
	}
	return only;
}

static void look_quota(void)
{
	char text[TEXT_LEN];

	if (read_text("/proc/self", "cgroup", text, sizeof(text)))
		atomic_store(&sl_cpus_percent, sl_cpus_quota(text, "/sys/fs/cgroup"));
}

void sl_cpus_look_now(void)
{
	sl_cpus_only = only_cpu();
	look_quota();
}

void sl_cpus_look(uint64_t now)
{
	if (sl_likely(now < next_look))
		return;
	next_look = now + sl_ticks_of_ns(CPUS_LOOK_NS);
	sl_cpus_only = only_cpu();
	if (now < atomic_load_explicit(&next_quota, memory_order_relaxed))
		return;
	atomic_store_explicit(&next_quota, now + sl_ticks_of_ns(QUOTA_LOOK_NS),
			      memory_order_relaxed);
	look_quota();
}
