/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * exec.c - another program takes over
 *
 * The image that follows inherits descriptors, but not lanes: sl_sock_exec() brings what it
 * inherits back to TCP first. posix_spawn is passed on: its child runs libc's internal calls on our
 * memory, and must not touch anything of ours.
 */
#include <alloca.h>
#include <stdarg.h>
#include <unistd.h>
#include "preload.h"

static void before_exec(void)
{
	if (sl_live)
		sl_sock_exec();
}

/* Only a failed exec comes back. */
static int failed(int rc)
{
	int err = errno;

	if (sl_live)
		sl_sock_exec_failed();
	errno = err;
	return rc;
}

SL_EXPORT int execve(const char *path, char *const argv[], char *const envp[])
{
	before_exec();
	return failed(REAL(execve)(path, argv, envp));
}

SL_EXPORT int execveat(int dir, const char *path, char *const argv[], char *const envp[], int flags)
{
	before_exec();
	return failed(REAL(execveat)(dir, path, argv, envp, flags));
}

SL_EXPORT int fexecve(int fd, char *const argv[], char *const envp[])
{
	before_exec();
	return failed(REAL(fexecve)(fd, argv, envp));
}

SL_EXPORT int execvpe(const char *file, char *const argv[], char *const envp[])
{
	before_exec();
	return failed(REAL(execvpe)(file, argv, envp));
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

SL_EXPORT int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
			  const posix_spawnattr_t *attr, char *const argv[], char *const envp[])
{
	return REAL(posix_spawn)(pid, path, actions, attr, argv, envp);
}

SL_EXPORT int posix_spawnp(pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions,
			   const posix_spawnattr_t *attr, char *const argv[], char *const envp[])
{
	return REAL(posix_spawnp)(pid, file, actions, attr, argv, envp);
}
