/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "msg.h"
#include "start.h"
#include "sys.h"

#define WAIT_STEPS   1000
#define WAIT_STEP_NS 2000000L
#define WELCOME_MS   1000

static void default_signals(void)
{
	struct sigaction sa = {.sa_handler = SIG_DFL};
	sigset_t none;
	int sig;

	for (sig = 1; sig < NSIG; sig++)
		(void)sigaction(sig, &sa, NULL);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static void null_stdio(void)
{
	int fd = open("/dev/null", O_RDWR);

	if (fd < 0)
		_exit(1);
	(void)dup2(fd, 0);
	(void)dup2(fd, 1);
	(void)dup2(fd, 2);
	(void)sl_sys(SYS_close_range, 3, ~0u, 0);
}

/*
 * In the child: a grandchild in a session of its own becomes `scilan broker`. By raw system calls,
 * for when we run under scilan ourselves: the library would keep its descriptors, and itself.
 */
static void become_daemon(void)
{
	char name[] = "scilan", cmd[] = "broker";
	char *const argv[] = {name, cmd, NULL};
	pid_t pid;

	if (setsid() < 0)
		_exit(1);
	pid = fork();
	if (pid)
		_exit(pid < 0);
	default_signals();
	null_stdio();
	if (chdir("/"))
		_exit(1);
	(void)unsetenv("LD_PRELOAD");
	(void)sl_sys(SYS_execve, "/proc/self/exe", argv, environ);
	_exit(1);
}

static int spawn(void)
{
	pid_t pid = fork();
	int status;

	if (pid < 0)
		return -errno;
	if (pid == 0)
		become_daemon();
	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -ECHILD;
}

/* Does it speak as a broker does? Closes fd. -ECONNRESET: it hung up without a word. */
static int greet(int fd)
{
	struct sl_msg m = {.type = SL_MSG_HELLO, .arg = SL_MSG_VERSION};
	struct pollfd p = {.fd = fd, .events = POLLIN};
	int fds[SL_MSG_FDS] = {-1, -1}, rc;
	unsigned i;

	rc = sl_msg_send(fd, &m, NULL, 0);
	if (rc == 0 && poll(&p, 1, WELCOME_MS) == 0)
		rc = -ETIMEDOUT;
	if (rc == 0)
		rc = sl_msg_recv(fd, &m, fds);
	for (i = 0; i < SL_MSG_FDS; i++) {
		if (fds[i] >= 0)
			(void)close(fds[i]);
	}
	(void)close(fd);
	if (rc == 0 || rc == -EPIPE)
		return -ECONNRESET;
	if (rc == -ETIMEDOUT || rc == -ECONNRESET)
		return rc;
	if (rc != 1 || m.type != SL_MSG_WELCOME)
		return -EPROTOTYPE;
	return m.arg == SL_MSG_VERSION ? 0 : -EPROTONOSUPPORT;
}

/* Connect, starting a broker if there is none, and waiting while it starts or is crowded. */
static int reach(struct sl_addr *used)
{
	const struct timespec step = {.tv_nsec = WAIT_STEP_NS};
	bool spawned = false;
	int i, rc, fd = -ENOENT;

	for (i = 0; i < WAIT_STEPS; i++) {
		fd = sl_addr_connect_any(used);
		if (fd != -ENOENT && fd != -EAGAIN)
			return fd;
		if (fd == -ENOENT && !spawned) {
			rc = spawn();
			if (rc)
				return rc;
			spawned = true;
		}
		(void)nanosleep(&step, NULL);
	}
	return -ETIMEDOUT;
}

int sl_start_broker(struct sl_addr *used)
{
	int i, fd, rc = -ECONNRESET;

	/* A broker may leave, being idle, just when we come: then there is none, and we start one.
	 */
	for (i = 0; i < 2 && rc == -ECONNRESET; i++) {
		fd = reach(used);
		rc = fd < 0 ? fd : greet(fd);
	}
	return rc == -ECONNRESET ? -EPROTOTYPE : rc;
}
