/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench_trace.c - counting system calls by tracing, for those who may not use perf
 *
 * A thread of ours traces the process and counts where it enters the kernel. Everything that is
 * traced is slowed, at each call, so a program that spins before it sleeps will sleep more often:
 * what is counted for scilan is an upper bound. Tracing is a relation of threads: the one that
 * seized the process must let it go, so the end is told to it by a signal.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include "bench.h"
#include "bench_trace.h"

struct sl_bench_trace {
	pid_t pid;
	pthread_t thread;
	_Atomic int seized; /* 0: not yet; 1; -errno */
	_Atomic bool stop;
	uint64_t stops; /* one at the entry of a call, one at its end */
};

static void nothing(int sig)
{
	(void)sig;
}

static void follow(struct sl_bench_trace *t)
{
	int status, sig;

	while (!atomic_load(&t->stop)) {
		if (waitpid(t->pid, &status, __WALL) < 0) {
			if (errno == EINTR)
				continue;
			return;
		}
		if (!WIFSTOPPED(status))
			return;
		sig = WSTOPSIG(status);
		if (sig == (SIGTRAP | 0x80)) {
			t->stops++;
			sig = 0;
		} else if (status >> 16) {
			sig = 0; /* a stop of ptrace's own */
		}
		if (ptrace(PTRACE_SYSCALL, t->pid, NULL, (void *)(uintptr_t)sig))
			return;
	}
}

static void let_go(struct sl_bench_trace *t)
{
	int status;

	(void)ptrace(PTRACE_INTERRUPT, t->pid, NULL, NULL);
	while (waitpid(t->pid, &status, __WALL) < 0)
		if (errno != EINTR)
			return;
	if (WIFSTOPPED(status))
		(void)ptrace(PTRACE_DETACH, t->pid, NULL, NULL);
}

static void *tracer(void *arg)
{
	struct sl_bench_trace *t = arg;

	if (ptrace(PTRACE_SEIZE, t->pid, NULL, (void *)(uintptr_t)PTRACE_O_TRACESYSGOOD)) {
		atomic_store(&t->seized, -errno);
		return NULL;
	}
	(void)ptrace(PTRACE_INTERRUPT, t->pid, NULL, NULL); /* the first stop, to go on from */
	atomic_store(&t->seized, 1);
	follow(t);
	let_go(t);
	return NULL;
}

struct sl_bench_trace *sl_bench_trace_begin(pid_t pid)
{
	struct sigaction sa = {.sa_handler = nothing};
	struct sl_bench_trace *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->pid = pid;
	(void)sigaction(SIGUSR1, &sa, NULL); /* no SA_RESTART: it ends a waitpid() */
	if (pthread_create(&t->thread, NULL, tracer, t)) {
		free(t);
		return NULL;
	}
	while (!atomic_load(&t->seized))
		(void)sched_yield();
	if (atomic_load(&t->seized) > 0)
		return t;
	(void)pthread_join(t->thread, NULL);
	free(t);
	return NULL;
}

uint64_t sl_bench_trace_end(struct sl_bench_trace *t)
{
	uint64_t calls;

	if (!t)
		return 0;
	atomic_store(&t->stop, true);
	/* It may be about to wait when the signal comes: again, until it has seen it. */
	while (pthread_tryjoin_np(t->thread, NULL) == EBUSY) {
		(void)pthread_kill(t->thread, SIGUSR1);
		(void)sched_yield();
	}
	calls = (t->stops + 1) / 2;
	free(t);
	return calls;
}
