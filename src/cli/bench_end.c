/* SPDX-License-Identifier: BSD-2-Clause */
/* bench_end.c - one running program: started, listened to, ended */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include "bench.h"
#include "preload.h"

void sl_bench_arg(struct sl_bench_args *a, const char *fmt, ...)
{
	char *to = a->text + a->used;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(to, sizeof(a->text) - a->used, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(a->text) - a->used ||
	    a->argc + 1 >= (int)(sizeof(a->argv) / sizeof(a->argv[0])))
		abort(); /* our own command lines are short */
	a->argv[a->argc++] = to;
	a->argv[a->argc] = NULL;
	a->used += (size_t)n + 1;
}

static void set_environment(const struct sl_bench *b, const struct sl_bench_variant *v)
{
	(void)sl_preload_unset();
	(void)setenv("LC_ALL", "C", 1);
	if (!v || !v->scilan || b->control)
		return;
	if (v->promote)
		(void)setenv("SCILAN_PROMOTE", v->promote, 1);
	(void)sl_preload_set(b->lib);
}

/* In the child, between fork and exec. */
static void become(struct sl_bench *b, const struct sl_bench_end *e, const int fds[2],
		   const struct sl_bench_variant *v, int net, const struct sl_bench_args *a)
{
	union {
		const char *const *from;
		char *const *to;
	} argv = {a->argv};
	sigset_t none;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)setpgid(0, 0); /* an interrupt from the terminal is ours, not a failure of theirs */
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	if (net >= 0 && setns(net, CLONE_NEWNET))
		_exit(126);
	set_environment(b, v);
	if (b->as_uid &&
	    (setgroups(0, NULL) || setresgid(b->as_gid, b->as_gid, b->as_gid) ||
	     setresuid(b->as_uid, b->as_uid, b->as_uid) || prctl(PR_SET_PDEATHSIG, SIGKILL)))
		_exit(126);
	if (chdir(b->tmp))
		_exit(126);
	if (dup2(fds[0], 0) < 0 || dup2(fds[1], 1) < 0 || dup2(e->err, 2) < 0)
		_exit(126);
	(void)execvp(argv.to[0], argv.to);
	(void)dprintf(2, "%s: %s\n", a->argv[0], strerror(errno));
	_exit(127);
}

int sl_bench_spawn(struct sl_bench *b, struct sl_bench_end *e, const struct sl_bench_variant *v,
		   int net, const struct sl_bench_args *a)
{
	int to[2], from[2], fds[2], rc = -1;

	memset(e, 0, sizeof(*e));
	if (pipe2(to, O_CLOEXEC))
		goto failed;
	if (pipe2(from, O_CLOEXEC))
		goto close_to;
	e->err = memfd_create("errors", MFD_CLOEXEC);
	if (e->err < 0)
		goto close_from;
	fds[0] = to[0];
	fds[1] = from[1];
	e->pid = fork();
	if (e->pid == 0)
		become(b, e, fds, v, net, a);
	if (e->pid < 0)
		goto close_err;
	(void)close(to[0]);
	(void)close(from[1]);
	e->in = to[1];
	e->out = from[0];
	return 0;
close_err:
	rc = -errno;
	(void)close(e->err);
close_from:
	(void)close(from[0]);
	(void)close(from[1]);
close_to:
	(void)close(to[0]);
	(void)close(to[1]);
failed:
	rc = rc == -1 ? -errno : rc;
	e->pid = 0;
	(void)snprintf(b->why, sizeof(b->why), "%s", strerror(-rc));
	return rc;
}

/* The last line that it wrote to standard error. */
static void last_words(struct sl_bench *b, struct sl_bench_end *e)
{
	char text[1024], *line;
	off_t end = lseek(e->err, 0, SEEK_END);
	ssize_t n =
		end <= 0 ? 0
			 : pread(e->err, text, sizeof(text) - 1,
				 end > (off_t)sizeof(text) - 1 ? end - (off_t)sizeof(text) + 1 : 0);

	text[n > 0 ? n : 0] = '\0';
	while (n > 0 && text[n - 1] == '\n')
		text[--n] = '\0';
	line = strrchr(text, '\n');
	(void)snprintf(b->why, sizeof(b->why), "%s",
		       *text ? (line ? line + 1 : text) : "it ended without a word");
}

static char *take_line(struct sl_bench_end *e, char line[sizeof(e->line)])
{
	char *nl = memchr(e->line, '\n', e->len);
	size_t n;

	if (!nl)
		return NULL;
	n = (size_t)(nl - e->line);
	memcpy(line, e->line, n);
	line[n] = '\0';
	e->len -= n + 1;
	memmove(e->line, nl + 1, e->len);
	return line;
}

json_t *sl_bench_read(struct sl_bench *b, struct sl_bench_end *e, double seconds)
{
	uint64_t end = sl_bench_now_ns() + (uint64_t)(seconds * 1e9), now;
	struct pollfd p = {.fd = e->out, .events = POLLIN};
	char line[sizeof(e->line)];
	json_t *v;
	ssize_t n;

	while (!take_line(e, line)) {
		now = sl_bench_now_ns();
		if (now >= end) {
			(void)snprintf(b->why, sizeof(b->why), "no answer within %.0f s", seconds);
			return NULL;
		}
		if (poll(&p, 1, (int)((end - now) / 1000000) + 1) <= 0)
			continue;
		n = read(e->out, e->line + e->len, sizeof(e->line) - e->len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			last_words(b, e);
			return NULL;
		}
		e->len += (size_t)n;
	}
	v = json_loads(line, 0, NULL);
	if (!v)
		(void)snprintf(b->why, sizeof(b->why), "it said '%.100s'", line);
	return v;
}

void sl_bench_go(struct sl_bench_end *e)
{
	if (write(e->in, "\n", 1) != 1)
		return; /* it has ended: the next read says so */
}

char *sl_bench_output(struct sl_bench *b, const struct sl_bench_variant *v,
		      const struct sl_bench_args *a, double seconds)
{
	uint64_t end = sl_bench_now_ns() + (uint64_t)(seconds * 1e9), now;
	struct sl_bench_end e;
	char *text = NULL, part[4096];
	size_t len = 0;
	ssize_t n = 1;
	int status = 0;
	FILE *all;

	if (sl_bench_spawn(b, &e, v, -1, a))
		return NULL;
	all = open_memstream(&text, &len);
	while (all && n && (now = sl_bench_now_ns()) < end) {
		struct pollfd p = {.fd = e.out, .events = POLLIN};

		if (poll(&p, 1, (int)((end - now) / 1000000) + 1) <= 0)
			continue;
		n = read(e.out, part, sizeof(part));
		if (n > 0)
			(void)fwrite(part, 1, (size_t)n, all);
	}
	if (all)
		(void)fclose(all);
	if (n)
		(void)kill(e.pid, SIGKILL);
	while (waitpid(e.pid, &status, 0) < 0 && errno == EINTR)
		;
	if (n)
		(void)snprintf(b->why, sizeof(b->why), "no end after %.0f s", seconds);
	else if (!WIFEXITED(status) || WEXITSTATUS(status))
		last_words(b, &e);
	if (n || !WIFEXITED(status) || WEXITSTATUS(status)) {
		free(text);
		text = NULL;
	}
	(void)close(e.in);
	(void)close(e.out);
	(void)close(e.err);
	return text;
}

/* Its end, within the time; false: it goes on. */
static bool wait_end(struct sl_bench_end *e, double seconds)
{
	uint64_t end = sl_bench_now_ns() + (uint64_t)(seconds * 1e9), now;
	struct pollfd p = {.fd = e->out, .events = POLLIN};
	char rest[512];

	/* Its output ends with it. */
	while ((now = sl_bench_now_ns()) < end) {
		if (poll(&p, 1, (int)((end - now) / 1000000) + 1) <= 0)
			continue;
		if (read(e->out, rest, sizeof(rest)) <= 0)
			return true;
	}
	return false;
}

void sl_bench_end(struct sl_bench_end *e, double seconds)
{
	if (e->pid <= 0)
		return;
	(void)close(e->in);
	if (seconds < 0)
		(void)kill(e->pid, SIGTERM);
	if (seconds == 0 || !wait_end(e, seconds < 0 ? 5 : seconds))
		(void)kill(e->pid, SIGKILL);
	while (waitpid(e->pid, NULL, 0) < 0 && errno == EINTR)
		;
	(void)close(e->out);
	(void)close(e->err);
	e->pid = 0;
}
