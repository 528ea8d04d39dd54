/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench_count.c - what a process has done so far, seen from outside
 *
 * CPU time is the process's own CPU clock, in nanoseconds. A *sleep* is a voluntary context switch,
 * the kernel's own count: what must be woken again, over TCP as under scilan. Messages, bells and
 * lanes are the counters of the status page, which `scilan status` shows, too.
 *
 * System calls are the kernel's count of its event raw_syscalls:sys_enter (perf), which is for root
 * as a rule. Counting costs a little in every system call, so it is done in runs of their own,
 * whose times are not used.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include "bench.h"
#include "bench_trace.h"
#include "reason.h"
#include "statpage.h"

static double cpu_s(pid_t pid)
{
	struct timespec ts;
	clockid_t clock;

	if (clock_getcpuclockid(pid, &clock) || clock_gettime(clock, &ts))
		return 0;
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static uint64_t switches_of(const char *path)
{
	static const char key[] = "voluntary_ctxt_switches:";
	uint64_t v = 0;
	char line[256];
	FILE *f = fopen(path, "re");

	while (f && fgets(line, sizeof(line), f)) {
		if (!strncmp(line, key, sizeof(key) - 1))
			v = strtoull(line + sizeof(key) - 1, NULL, 10);
	}
	if (f)
		(void)fclose(f);
	return v;
}

static uint64_t sleeps(pid_t pid)
{
	char path[320];
	struct dirent *d;
	uint64_t sum = 0;
	DIR *dir;

	(void)snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	dir = opendir(path);
	while (dir && (d = readdir(dir))) {
		if (d->d_name[0] == '.')
			continue;
		(void)snprintf(path, sizeof(path), "/proc/%d/task/%s/status", (int)pid, d->d_name);
		sum += switches_of(path);
	}
	if (dir)
		(void)closedir(dir);
	return sum;
}

static int add(const struct sl_stat_conn_shm *e, void *arg)
{
	struct sl_bench_count *c = arg;

	if (e->peer.port) { /* not a listening socket */
		c->conns++;
		c->conns_memory += e->tx.lane == SL_STAT_MEMORY && e->rx.lane == SL_STAT_MEMORY;
	}
	c->bells += e->tx.bells;
	c->bytes_memory += e->tx.bytes_memory + e->rx.bytes_memory;
	c->bytes_tcp += e->tx.bytes_tcp + e->rx.bytes_tcp;
	if (e->reason != SL_WHY_NONE && (e->tx.messages || e->rx.messages))
		(void)snprintf(c->reason, sizeof(c->reason), "%s", sl_reason_text(e->reason));
	return 0;
}

void sl_bench_count(pid_t pid, bool scilan, struct sl_bench_count *c)
{
	struct sl_statpage pg;

	memset(c, 0, sizeof(*c));
	c->cpu_s = cpu_s(pid);
	c->sleeps = sleeps(pid);
	if (!scilan || sl_statpage_find(pid, &pg))
		return;
	(void)sl_statpage_each(&pg, add, c);
	(void)close(pg.fd);
}

static int event_open(long id, pid_t pid)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_TRACEPOINT,
		.size = sizeof(attr),
		.config = (uint64_t)id,
		.inherit = 1,
	};

	return (int)syscall(SYS_perf_event_open, &attr, pid, -1, -1, PERF_FLAG_FD_CLOEXEC);
}

void sl_bench_calls_look(struct sl_bench *b)
{
	static const char *const roots[] = {"/sys/kernel/tracing", "/sys/kernel/debug/tracing"};
	char path[128];
	size_t i;
	FILE *f;
	int fd;

	b->syscall_event = -1;
	for (i = 0; i < 2 && b->syscall_event < 0; i++) {
		(void)snprintf(path, sizeof(path), "%s/events/raw_syscalls/sys_enter/id", roots[i]);
		f = fopen(path, "re");
		if (!f)
			continue;
		if (fscanf(f, "%ld", &b->syscall_event) != 1)
			b->syscall_event = -1;
		(void)fclose(f);
	}
	if (b->syscall_event < 0)
		return;
	fd = event_open(b->syscall_event, 0);
	if (fd < 0)
		b->syscall_event = -1;
	else
		(void)close(fd);
}

const char *sl_bench_calls_how(const struct sl_bench *b)
{
	if (b->syscall_event >= 0)
		return "the kernel's count (perf event raw_syscalls:sys_enter)";
	return "counted by tracing, which slows both ends: an upper bound";
}

struct sl_bench_calls {
	int event; /* -1: traced */
	struct sl_bench_trace *trace;
};

struct sl_bench_calls *sl_bench_calls_begin(struct sl_bench *b, pid_t pid)
{
	struct sl_bench_calls *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->event = b->syscall_event < 0 ? -1 : event_open(b->syscall_event, pid);
	if (c->event < 0)
		c->trace = sl_bench_trace_begin(pid);
	if (c->event >= 0 || c->trace)
		return c;
	free(c);
	return NULL;
}

double sl_bench_calls_end(struct sl_bench_calls *c)
{
	uint64_t v = 0;

	if (!c)
		return NAN;
	if (c->trace)
		v = sl_bench_trace_end(c->trace);
	else if (read(c->event, &v, sizeof(v)) != (ssize_t)sizeof(v))
		v = 0;
	if (c->event >= 0)
		(void)close(c->event);
	free(c);
	return (double)v;
}
