/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * conform.c - run cases, each in a process of its own, and print their records
 *
 *	conform [-j JOBS] [PATTERN ...]	run the cases whose GROUP/NAME/KIND matches a pattern (all)
 *	conform --list			print them
 *
 * Output, for each case: "== GROUP/NAME/KIND", its lines, and how its process ended if not well.
 */
#include <errno.h>
#include <fnmatch.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include "conform.h"

#define CASE_MS	 20000
#define JOBS_MAX 16

static const struct group {
	const char *name;
	const struct conform_case *cases;
} groups[] = {
	{"data", data_cases},	{"ends", end_cases},	   {"poll", poll_cases},
	{"epoll", epoll_cases}, {"options", opt_cases},	   {"names", name_cases},
	{"fds", fd_cases},	{"processes", proc_cases}, {"threads", thread_cases},
	{"signals", signal_cases},
};

static const struct {
	enum kind kind;
	const char *name;
} kinds[] = {{SELF, "self"}, {FORK, "fork"}, {EXEC, "exec"}};

struct job {
	char name[100];
	int pid;
	int out; /* what it wrote */
	long since;
	int status;
	bool late;
};

static struct job *jobs;
static size_t jobs_len;

static bool wanted(const char *name, char **patterns)
{
	if (!*patterns)
		return true;
	for (; *patterns; patterns++)
		if (!fnmatch(*patterns, name, 0))
			return true;
	return false;
}

static void add(const char *name, char **patterns)
{
	struct job *j;

	if (!wanted(name, patterns))
		return;
	j = realloc(jobs, (jobs_len + 1) * sizeof(*jobs));
	if (!j)
		abort();
	jobs = j;
	j += jobs_len++;
	memset(j, 0, sizeof(*j));
	snprintf(j->name, sizeof(j->name), "%s", name);
}

static void add_all(char **patterns)
{
	const struct conform_case *c;
	char name[100];
	size_t g, k;

	for (g = 0; g < sizeof(groups) / sizeof(groups[0]); g++) {
		for (c = groups[g].cases; c->name; c++) {
			snprintf(name, sizeof(name), "%s/%s", groups[g].name, c->name);
			if (!c->kinds)
				add(name, patterns);
			for (k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
				if (!(c->kinds & kinds[k].kind))
					continue;
				snprintf(name, sizeof(name), "%s/%s/%s", groups[g].name, c->name,
					 kinds[k].name);
				add(name, patterns);
			}
		}
	}
}

/* --- one case --- */

static void run_case(const struct conform_case *c, enum kind kind)
{
	const struct step *s;
	bool warm = true;
	struct pair *p;

	if (!c->kinds) {
		sigpipe_catch();
		c->fn(NULL);
		return;
	}
	for (s = c->steps; s && s->op != END; s++)
		warm &= s->op != WARM;
	/* Children of the case go on where it stood, and it goes on where they ended. */
	p = mmap(NULL, sizeof(*p), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		abort();
	pair_open(p, kind);
	if (warm)
		pair_warm(p);
	for (s = c->steps; s && s->op != END; s++)
		take_step(p, s);
	if (c->fn)
		c->fn(p);
	pair_close(p);
}

static int run_one(const char *name)
{
	const struct conform_case *c;
	char full[100];
	size_t g, k;

	for (g = 0; g < sizeof(groups) / sizeof(groups[0]); g++) {
		for (c = groups[g].cases; c->name; c++) {
			snprintf(full, sizeof(full), "%s/%s", groups[g].name, c->name);
			if (!c->kinds && !strcmp(name, full)) {
				run_case(c, SELF);
				return 0;
			}
			for (k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
				snprintf(full, sizeof(full), "%s/%s/%s", groups[g].name, c->name,
					 kinds[k].name);
				if (c->kinds & kinds[k].kind && !strcmp(name, full)) {
					run_case(c, kinds[k].kind);
					return 0;
				}
			}
		}
	}
	fprintf(stderr, "conform: no case %s\n", name);
	return 2;
}

/* --- all of them --- */

static void start(struct job *j)
{
	j->out = memfd_create("record", MFD_CLOEXEC);
	if (j->out < 0)
		abort();
	j->since = now_ms();
	j->pid = fork();
	if (j->pid < 0)
		abort();
	if (j->pid)
		return;
	setpgid(0, 0);
	dup2(j->out, STDOUT_FILENO);
	execl("/proc/self/exe", "conform", "--one", j->name, (char *)NULL);
	_exit(127);
}

static bool ended(struct job *j)
{
	siginfo_t si = {0};

	/* Waited for without reaping: its process group is still ours to end. */
	if (waitid(P_PID, (id_t)j->pid, &si, WEXITED | WNOHANG | WNOWAIT) || si.si_pid != j->pid) {
		if (now_ms() - j->since < CASE_MS)
			return false;
		j->late = true;
	}
	kill(-j->pid, SIGKILL);
	waitpid(j->pid, &j->status, 0);
	j->pid = 0;
	return true;
}

static void print(struct job *j)
{
	char buf[4096];
	off_t at = 0;
	ssize_t n;

	printf("== %s\n", j->name);
	while ((n = pread(j->out, buf, sizeof(buf), at)) > 0) {
		fwrite(buf, 1, (size_t)n, stdout);
		at += n;
	}
	close(j->out);
	if (j->late)
		printf("! did not end\n");
	else if (WIFSIGNALED(j->status))
		printf("! ended by signal %d\n", WTERMSIG(j->status));
	else if (WEXITSTATUS(j->status))
		printf("! exit status %d\n", WEXITSTATUS(j->status));
	fflush(stdout);
}

static void run_all(size_t at_once)
{
	size_t next = 0, printed = 0, i, running;

	while (printed < jobs_len) {
		running = 0;
		for (i = printed; i < next; i++)
			running += jobs[i].pid && !ended(&jobs[i]);
		while (running < at_once && next < jobs_len) {
			start(&jobs[next++]);
			running++;
		}
		while (printed < next && !jobs[printed].pid)
			print(&jobs[printed++]);
		pause_ms(2);
	}
}

int main(int argc, char **argv)
{
	long at_once = 4;
	size_t i;

	if (argc == 4 && !strcmp(argv[1], "--agent"))
		return agent_main(atoi(argv[2]), (uint16_t)atoi(argv[3]));
	if (argc == 3 && !strcmp(argv[1], "--one"))
		return run_one(argv[2]);
	if (argc > 2 && !strcmp(argv[1], "--child"))
		return child_main(argv + 2);
	if (argc > 1 && !strcmp(argv[1], "--list")) {
		add_all(argv + 2);
		for (i = 0; i < jobs_len; i++)
			puts(jobs[i].name);
		return 0;
	}
	if (argc > 2 && !strcmp(argv[1], "-j")) {
		at_once = atol(argv[2]);
		argv += 2;
	}
	if (at_once < 1 || at_once > JOBS_MAX) {
		fprintf(stderr, "conform: 1 to %d jobs\n", JOBS_MAX);
		return 2;
	}
	add_all(argv + 1);
	run_all((size_t)at_once);
	return 0;
}
