/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * exec.c - another program takes over, or is started
 *
 * The real call is made between the begin and the end of sock/'s inherit.h, with the environment that it gives.
 * posix_spawn's child runs libc's internal calls on our memory and touches nothing of ours: all is
 * done in the parent, before. system() is libc's steps made of our posix_spawn(); popen() is
 * libc's, which executes with `environ`: that is ours for the time of the call.
 */
#include <alloca.h>
#include <fcntl.h>
#include <limits.h>
#include <paths.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <wordexp.h>
#include "inherit.h"
#include "preload.h"

__thread unsigned sl_spawning;

/* Only a failed exec comes back. */
static int failed(struct sl_exec *e, int rc)
{
	int err = errno;

	if (!e->fails)
		sl_exec_failed(e);
	errno = err;
	return rc;
}

static void begin(struct sl_exec *e)
{
	int err = errno;

	/* A child of clone(CLONE_VM) that executes: all that we could change is the parent's. */
	e->fails = !sl_live || sl_foreign();
	if (!e->fails)
		sl_exec_begin(e);
	errno = err;
}

SL_EXPORT int execve(const char *path, char *const argv[], char *const envp[])
{
	struct sl_exec e = {.dir = AT_FDCWD, .path = path, .envp = envp};

	begin(&e);
	return failed(&e, REAL(execve)(path, argv, e.envp));
}

SL_EXPORT int execveat(int dir, const char *path, char *const argv[], char *const envp[], int flags)
{
	struct sl_exec e = {.dir = dir, .path = path, .flags = flags, .envp = envp};

	begin(&e);
	return failed(&e, REAL(execveat)(dir, path, argv, e.envp, flags));
}

SL_EXPORT int fexecve(int fd, char *const argv[], char *const envp[])
{
	struct sl_exec e = {.dir = fd, .path = "", .flags = AT_EMPTY_PATH, .envp = envp};

	begin(&e);
	return failed(&e, REAL(fexecve)(fd, argv, e.envp));
}

/* As execvp() searches: the first that can be executed. What is neither ELF nor a script is the shell's. */
static const char *search(const char *file, char buf[PATH_MAX])
{
	const char *dirs = getenv("PATH"), *dir;
	struct stat st;
	size_t len;
	int n;

	if (!file || strchr(file, '/'))
		return file;
	for (dir = dirs ? dirs : "/bin:/usr/bin";; dir += len + 1) {
		len = strcspn(dir, ":");
		n = snprintf(buf, PATH_MAX, "%.*s%s%s", (int)len, dir, len ? "/" : "", file);
		if (n > 0 && n < PATH_MAX && !stat(buf, &st) && S_ISREG(st.st_mode) &&
		    !access(buf, X_OK))
			return buf;
		if (!dir[len])
			return NULL;
	}
}

SL_EXPORT int execvpe(const char *file, char *const argv[], char *const envp[])
{
	struct sl_exec e = {.dir = AT_FDCWD, .envp = envp};
	char buf[PATH_MAX];
	int err = errno;

	e.path = search(file, buf);
	errno = err;
	begin(&e);
	return failed(&e, REAL(execvpe)(file, argv, e.envp));
}

SL_EXPORT int execv(const char *path, char *const argv[])
{
	return execve(path, argv, environ);
}

SL_EXPORT int execvp(const char *file, char *const argv[])
{
	return execvpe(file, argv, environ);
}

/* How many arguments follow, with the NULL. */
static size_t count_args(va_list ap)
{
	size_t n = 1;

	while (va_arg(ap, char *))
		n++;
	return n;
}

/*
 * The argument list as an array on the stack (no malloc: we may be in a child of a threaded
 * process). Leaves @ap behind the NULL, where execle has its environment.
 */
#define ARGV(argv, ap, arg)                                                                        \
	do {                                                                                       \
		size_t n_, i_;                                                                     \
                                                                                                   \
		va_start(ap, arg);                                                                 \
		n_ = count_args(ap);                                                               \
		va_end(ap);                                                                        \
		argv = alloca((n_ + 1) * sizeof(char *));                                          \
		argv[0] = (char *)(uintptr_t)(arg);                                                \
		va_start(ap, arg);                                                                 \
		for (i_ = 1; i_ <= n_; i_++)                                                       \
			argv[i_] = va_arg(ap, char *);                                             \
	} while (0)

SL_EXPORT int execl(const char *path, const char *arg, ...)
{
	char **argv;
	va_list ap;

	ARGV(argv, ap, arg);
	va_end(ap);
	return execve(path, argv, environ);
}

SL_EXPORT int execlp(const char *file, const char *arg, ...)
{
	char **argv;
	va_list ap;

	ARGV(argv, ap, arg);
	va_end(ap);
	return execvpe(file, argv, environ);
}

SL_EXPORT int execle(const char *path, const char *arg, ...)
{
	char **argv, *const *envp;
	va_list ap;

	ARGV(argv, ap, arg);
	envp = va_arg(ap, char *const *);
	va_end(ap);
	return execve(path, argv, envp);
}

static void spawning(struct sl_exec *e)
{
	int err = errno;

	if (sl_live)
		sl_spawn_begin(e);
	errno = err;
}

static void spawned(struct sl_exec *e, bool lost)
{
	int err = errno;

	if (sl_live)
		sl_spawn_end(e, lost);
	errno = err;
}

SL_EXPORT int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
			  const posix_spawnattr_t *attr, char *const argv[], char *const envp[])
{
	struct sl_exec e = {.dir = AT_FDCWD, .path = path, .envp = envp, .actions = actions};
	int rc;

	spawning(&e);
	sl_spawning++;
	rc = REAL(posix_spawn)(pid, path, e.actions, attr, argv, e.envp);
	sl_spawning--;
	spawned(&e, rc != 0);
	return rc;
}

SL_EXPORT int posix_spawnp(pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions,
			   const posix_spawnattr_t *attr, char *const argv[], char *const envp[])
{
	struct sl_exec e = {.dir = AT_FDCWD, .envp = envp, .actions = actions};
	char buf[PATH_MAX];
	int rc, err = errno;

	e.path = search(file, buf);
	errno = err;
	spawning(&e);
	sl_spawning++;
	rc = REAL(posix_spawnp)(pid, file, e.actions, attr, argv, e.envp);
	sl_spawning--;
	spawned(&e, rc != 0);
	return rc;
}

/* --- system and popen --- */

/* SIGINT and SIGQUIT are ignored while any thread is inside system(). */
static struct {
	pthread_mutex_t lock;
	unsigned users;
	struct sigaction intr, quit;
} sys = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void ignore_signals(void)
{
	struct sigaction ign = {.sa_handler = SIG_IGN};

	pthread_mutex_lock(&sys.lock);
	if (!sys.users++) {
		sigaction(SIGINT, &ign, &sys.intr);
		sigaction(SIGQUIT, &ign, &sys.quit);
	}
	pthread_mutex_unlock(&sys.lock);
}

static void heed_signals(void)
{
	pthread_mutex_lock(&sys.lock);
	if (!--sys.users) {
		sigaction(SIGINT, &sys.intr, NULL);
		sigaction(SIGQUIT, &sys.quit, NULL);
	}
	pthread_mutex_unlock(&sys.lock);
}

static void kill_shell(void *arg)
{
	pid_t pid = *(pid_t *)arg;

	kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	heed_signals();
}

static int wait_shell(pid_t pid)
{
	int status = -1, rc;

	pthread_cleanup_push(kill_shell, &pid);
	do {
		rc = waitpid(pid, &status, 0);
	} while (rc < 0 && errno == EINTR);
	pthread_cleanup_pop(0);
	return rc == pid ? status : -1;
}

static int run_shell(const char *command)
{
	char *argv[] = {(char *)(uintptr_t) "sh", (char *)(uintptr_t) "-c",
			(char *)(uintptr_t)command, NULL};
	sigset_t block, old, reset;
	posix_spawnattr_t attr;
	int rc, status = 127 << 8;
	pid_t pid;

	ignore_signals();
	sigemptyset(&block);
	sigaddset(&block, SIGCHLD);
	pthread_sigmask(SIG_BLOCK, &block, &old);
	sigemptyset(&reset);
	if (sys.intr.sa_handler != SIG_IGN)
		sigaddset(&reset, SIGINT);
	if (sys.quit.sa_handler != SIG_IGN)
		sigaddset(&reset, SIGQUIT);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setsigmask(&attr, &old);
	posix_spawnattr_setsigdefault(&attr, &reset);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
	rc = posix_spawn(&pid, _PATH_BSHELL, NULL, &attr, argv, environ);
	posix_spawnattr_destroy(&attr);
	if (rc == 0)
		status = wait_shell(pid);
	heed_signals();
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (rc)
		errno = rc;
	return status;
}

/* As libc: no command asks whether there is a shell. */
SL_EXPORT int system(const char *command)
{
	if (!sl_live || sl_fdtab_next(0) < 0)
		return REAL(system)(command);
	return command ? run_shell(command) : run_shell("exit 0") == 0;
}

/* libc starts a shell with `environ`: that is ours for the time of the call. */
static char **shell_begin(struct sl_exec *e)
{
	char **before = environ;

	spawning(e);
	if (e->envp != before)
		environ = (char **)(uintptr_t)e->envp;
	sl_spawning++;
	return before;
}

static void shell_end(struct sl_exec *e, char **before, bool lost)
{
	sl_spawning--;
	if (environ == e->envp)
		environ = before;
	else if (e->envp != before)
		unsetenv(SL_INHERIT_VAR); /* another thread has copied it meanwhile */
	spawned(e, lost);
}

SL_EXPORT FILE *popen(const char *command, const char *mode)
{
	struct sl_exec e = {.dir = AT_FDCWD, .path = _PATH_BSHELL, .envp = environ};
	char **before = shell_begin(&e);
	FILE *f = REAL(popen)(command, mode);

	shell_end(&e, before, !f);
	return f;
}

/* A command in the words is a shell's. */
SL_EXPORT int wordexp(const char *words, wordexp_t *out, int flags)
{
	struct sl_exec e = {.dir = AT_FDCWD, .path = _PATH_BSHELL, .envp = environ};
	char **before;
	int rc;

	if ((flags & WRDE_NOCMD) || !words || !strpbrk(words, "`$"))
		return REAL(wordexp)(words, out, flags);
	before = shell_begin(&e);
	rc = REAL(wordexp)(words, out, flags);
	shell_end(&e, before, false);
	return rc;
}
