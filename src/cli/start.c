/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "msg.h"
#include "start.h"

#define WAIT_STEPS   200
#define WAIT_STEP_NS 10000000L
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
	(void)close_range(3, ~0u, 0);
}

/* In the child: a grandchild in a session of its own becomes `scilan broker`. */
static void become_daemon(void)
{
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
	(void)execl("/proc/self/exe", "scilan", "broker", (char *)NULL);
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

/* Does it speak as a broker does? Closes fd. */
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
	if (rc == -ETIMEDOUT)
		return rc;
	if (rc != 1 || m.type != SL_MSG_WELCOME)
		return -EPROTOTYPE;
	return m.arg == SL_MSG_VERSION ? 0 : -EPROTONOSUPPORT;
}

int sl_start_broker(struct sl_addr *used)
{
	const struct timespec step = {.tv_nsec = WAIT_STEP_NS};
	int i, rc, fd = sl_addr_connect_any(used);

	if (fd == -ENOENT) {
		rc = spawn();
		if (rc)
			return rc;
		for (i = 0; i < WAIT_STEPS && fd == -ENOENT; i++) {
			fd = sl_addr_connect_any(used);
			if (fd == -ENOENT)
				(void)nanosleep(&step, NULL);
		}
	}
	if (fd >= 0)
		return greet(fd);
	return fd == -ENOENT ? -ETIMEDOUT : fd;
}
