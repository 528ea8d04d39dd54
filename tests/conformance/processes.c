/* SPDX-License-Identifier: BSD-2-Clause */
/* processes.c - fork, exec, spawn, and descriptors that are passed on */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "conform.h"

extern char **environ;

static void ended(const char *what, int pid)
{
	int st = -1;

	waitpid(pid, &st, 0);
	rec("%s: status %x", what, st);
}

/* Take steps in a child; @wait: until it has ended. Return: its pid. */
static int child_takes(struct pair *p, const struct step *s, bool wait)
{
	int pid = fork();

	if (pid < 0)
		abort();
	if (!pid) {
		for (; s->op != END; s++)
			take_step(p, s);
		_exit(7);
	}
	if (wait)
		ended("child", pid);
	return pid;
}

#define CHILD(...) child_takes(p, STEPS(__VA_ARGS__), true)
#define GOES_ON                                                                                    \
	do {                                                                                       \
		take(p, A, SEND, 10, 0, 0);                                                        \
		take(p, B, RECV, 100, 0, 0);                                                       \
		take(p, B, SEND, 10, 0, 0);                                                        \
		take(p, A, RECV, 100, 0, 0);                                                       \
	} while (0)

static void child_uses(struct pair *p)
{
	CHILD({A, SEND, 10}, {B, RECV, 100}, {B, SEND, 20}, {A, RECV, 100});
	GOES_ON;
}

static void child_uses_twice(struct pair *p)
{
	int i;

	for (i = 0; i < 3; i++) {
		CHILD({A, SEND, 10}, {B, RECV, 100}, {B, SEND, 20}, {A, RECV, 100});
		GOES_ON;
	}
}

static void both_use(struct pair *p)
{
	take(p, B, SEND, 30, 0, 0);
	take(p, A, UNREAD, 30, 0, 0);
	take(p, A, RECV, 10, 0, 0);
	CHILD({A, UNREAD, 20}, {A, RECV, 10}, {A, SEND, 5});
	take(p, A, UNREAD, 10, 0, 0);
	take(p, A, RECV, 100, 0, 0);
	take(p, A, SEND, 5, 0, 0);
	take(p, B, UNREAD, 10, 0, 0);
	take(p, B, RECV, 100, 0, 0);
}

static void child_closes(struct pair *p)
{
	CHILD({A, CLOSE});
	p->a.fd = p->a.fd < 0 ? p->a.ep[3] : p->a.fd;
	GOES_ON;
}

/* CLOSE in the child forgets the number in the shared state, too. */
static void child_closes_(struct pair *p)
{
	p->a.ep[3] = p->a.fd;
	child_closes(p);
}

static void parent_closes(struct pair *p)
{
	int fd = p->a.fd, sync[2], pid;
	char c;

	if (pipe(sync))
		abort();
	pid = fork();
	if (!pid) {
		close(sync[1]);
		if (read(sync[0], &c, 1) != 0)
			_exit(1);
		p->a.fd = fd;
		GOES_ON;
		_exit(7);
	}
	take(p, A, CLOSE, 0, 0, 0);
	close(sync[0]);
	close(sync[1]);
	ended("child", pid);
	take(p, B, RECV, 1, 0, 0);
}

static void child_exits(struct pair *p)
{
	int pid = fork();

	if (!pid)
		exit(3);
	ended("child", pid);
	GOES_ON;
}

static void child_killed(struct pair *p)
{
	int pid = fork();

	if (!pid) {
		char c;

		for (;;)
			(void)!recv(p->a.fd, &c, 1, 0);
	}
	pause_ms(40);
	kill(pid, SIGKILL);
	ended("child", pid);
	GOES_ON;
}

static void child_waits(struct pair *p)
{
	int pid = child_takes(p, STEPS({A, RECV, 100}, {A, SEND, 3}), false);

	pause_ms(40);
	do_step(p, B, SEND, 10, 0, 0);
	ended("child", pid);
	take(p, B, RECV, 100, 0, 0);
	GOES_ON;
}

static void child_polls(struct pair *p)
{
	int pid = child_takes(p, STEPS({A, POLL, POLLIN, 2000}, {A, RECV, 100}), false);

	pause_ms(40);
	do_step(p, B, SEND, 10, 0, 0);
	ended("child", pid);
	GOES_ON;
}

static void child_epoll(struct pair *p)
{
	int pid = child_takes(
		p, STEPS({A, EPADD, EPOLLIN}, {A, EPWAIT, 2000}, {A, RECV, 100}, {A, EPWAIT, 20}),
		false);

	pause_ms(40);
	do_step(p, B, SEND, 10, 0, 0);
	ended("child", pid);
	p->a.ep[0] = -1;
	GOES_ON;
}

/* An instance made before fork, used by the child. */
static void epoll_inherited(struct pair *p)
{
	take(p, A, EPADD, EPOLLIN, 0, 0);
	take(p, A, EPWAIT, 0, 0, 0);
	CHILD({B, SEND, 10}, {A, EPWAIT, 1000}, {A, RECV, 100}, {A, EPWAIT, 20});
	take(p, B, SEND, 10, 0, 0);
	take(p, A, EPWAIT, 1000, 0, 0);
	take(p, A, RECV, 100, 0, 0);
	take(p, A, EPWAIT, 20, 0, 0);
}

static void child_much(struct pair *p)
{
	int pid;

	take(p, B_BG, SENDALL, 1000000, 0, 0);
	pid = child_takes(p, STEPS({A, RECVALL, 1000000}), false);
	ended("child", pid);
	take(p, B, JOIN, 0, 0, 0);
	take(p, B_BG, RECVALL, 1000000, 0, 0);
	take(p, A, SENDALL, 1000000, 0, 0);
	take(p, B, JOIN, 0, 0, 0);
}

/* One reads, the other writes. */
static void split(struct pair *p)
{
	int pid = child_takes(p, STEPS({A, RECVALL, 500000}), false);

	(void)do_step(p, B, SENDALL, 500000, 0, 0);
	ended("child", pid);
	take(p, B_BG, RECVALL, 500000, 0, 0);
	take(p, A, SENDALL, 500000, 0, 0);
	take(p, B, JOIN, 0, 0, 0);
}

static void child_shuts(struct pair *p)
{
	CHILD({A, SHUT, SHUT_WR});
	take(p, A, SEND, 1, 0, 0);
	take(p, B, RECV, 1, 0, 0);
	take(p, B, SEND, 5, 0, 0);
	take(p, A, RECV, 5, 0, 0);
}

static void child_ends_it(struct pair *p)
{
	int pid = fork();

	if (!pid) {
		do_step(p, A, SHUT, SHUT_RDWR, 0, 0);
		_exit(7);
	}
	ended("child", pid);
	take(p, A, RECV, 1, 0, 0);
	take(p, A, SEND, 1, 0, 0);
	take(p, B, RECV, 1, 0, 0);
}

static void fork_before_warm(struct pair *p)
{
	CHILD({A, SEND, 10}, {B, RECV, 100}, {B, SEND, 20}, {A, RECV, 100});
	pair_warm(p);
	GOES_ON;
}

static void daemon_(struct pair *p)
{
	int pid = fork();

	if (!pid) {
		setsid();
		pid = fork();
		if (pid)
			_exit(0);
		pause_ms(40);
		GOES_ON;
		close(p->a.fd);
		_exit(0);
	}
	rec_sys("close", close(p->a.fd));
	ended("child", pid);
	pause_ms(300);
	take(p, B, RECV, 1, 0, 0);
}

/* A server with a process for each of its connections. */
static void forking_server(struct pair *p)
{
	int i, x, y, l, pid, st, good = 0;
	uint16_t port;
	char buf[8];

	(void)p;
	l = listen_on(&port);
	for (i = 0; i < 5; i++) {
		x = connect_to_port(port);
		y = accept(l, NULL, NULL);
		pid = fork();
		if (!pid) {
			int n;

			close(l);
			close(x);
			while ((n = (int)recv(y, buf, 8, 0)) > 0)
				send(y, buf, (size_t)n, 0);
			exit(n);
		}
		close(y);
		st = 0;
		while (st < 30) {
			if (send(x, "abcd", 4, 0) != 4 || recv(x, buf, 8, 0) != 4)
				break;
			st++;
		}
		good += st == 30;
		shutdown(x, SHUT_WR);
		good += recv(x, buf, 8, 0) == 0;
		close(x);
		waitpid(pid, &st, 0);
		good += st == 0;
	}
	rec("%d of 15", good);
}

/* Workers that share a listener. */
static void prefork(struct pair *p)
{
	int i, j, x, pids[3], l, good = 0;
	uint16_t port;
	char buf[8];

	(void)p;
	l = listen_on(&port);
	for (i = 0; i < 3; i++) {
		pids[i] = fork();
		if (!pids[i]) {
			for (;;) {
				int y = accept(l, NULL, NULL), n;

				while ((n = (int)read(y, buf, 8)) > 0)
					(void)!write(y, buf, (size_t)n);
				close(y);
			}
		}
	}
	for (i = 0; i < 6; i++) {
		x = connect_to_port(port);
		for (j = 0; j < 30; j++)
			good += send(x, "abcd", 4, 0) == 4 && recv(x, buf, 8, 0) == 4;
		close(x);
	}
	rec("%d of 180", good);
	for (i = 0; i < 3; i++) {
		kill(pids[i], SIGKILL);
		waitpid(pids[i], NULL, 0);
	}
}

/* --- exec --- */

static void programs(struct pair *p)
{
	char *args[] = {"true", NULL};
	char line[20] = {0};
	FILE *f;
	int pid;

	rec_sys("system", system("true"));
	GOES_ON;
	f = popen("echo hello", "r");
	rec("popen %s", f && fgets(line, sizeof(line), f) ? line : "?");
	rec_sys("pclose", pclose(f));
	GOES_ON;
	rec_ret("posix_spawn", posix_spawnp(&pid, "true", NULL, NULL, args, environ));
	ended("spawned", pid);
	GOES_ON;
	pid = vfork();
	if (!pid) {
		execvp("true", args);
		_exit(127);
	}
	ended("vfork", pid);
	GOES_ON;
}

static void programs_inherit(struct pair *p)
{
	fcntl(p->a.fd, F_SETFD, 0);
	programs(p);
}

enum { UNDER, PLAIN };

/* A child that executes this program, which echoes on the connection at descriptor @at. */
static int exec_echo(struct pair *p, int at, int how)
{
	int pid = fork();
	char num[16];

	if (pid)
		return pid;
	if (at != p->a.fd)
		dup2(p->a.fd, at);
	fcntl(at, F_SETFD, 0);
	if (how == PLAIN)
		unsetenv("LD_PRELOAD");
	snprintf(num, sizeof(num), "%d", at);
	execl("/proc/self/exe", "conform", "--child", "echo", num, (char *)NULL);
	_exit(127);
}

/* What it echoes is the pattern of the other direction. */
static void talk(struct pair *p, long len)
{
	struct result r = do_step(p, B, SENDALL, len, 0, 0);

	r = do_step(p, B, RECV, len, MSG_WAITALL | MSG_TRUNC, 0);
	rec_ret("B has back", r.ret);
	p->a.got += (uint64_t)len;
	p->a.sent += (uint64_t)len;
}

static void exec_goes_on(struct pair *p, int at, int how)
{
	int pid = exec_echo(p, at, how);

	talk(p, 10);
	talk(p, 1000);
	talk(p, 10);
	rec_ret("B sends quit", do_step(p, B, SEND, 1, 0, 0).ret);
	p->a.got += 1;
	ended("program", pid);
	GOES_ON;
}

static void exec_under(struct pair *p)
{
	exec_goes_on(p, 60, UNDER);
}

static void exec_plain(struct pair *p)
{
	exec_goes_on(p, 60, PLAIN);
}

static void exec_stdin(struct pair *p)
{
	exec_goes_on(p, 0, UNDER);
}

static void exec_stdin_plain(struct pair *p)
{
	exec_goes_on(p, 0, PLAIN);
}

static void exec_unread(struct pair *p)
{
	int pid;

	take(p, B, SEND, 10, 0, 0);
	take(p, A, UNREAD, 10, 0, 0);
	pid = exec_echo(p, 60, UNDER);
	rec_ret("B has back", do_step(p, B, RECV, 10, MSG_WAITALL | MSG_TRUNC, 0).ret);
	p->a.got += 10;
	p->a.sent += 10;
	rec_ret("B sends quit", do_step(p, B, SEND, 1, 0, 0).ret);
	p->a.got += 1;
	ended("program", pid);
	GOES_ON;
}

/* inetd: a program of the system that knows nothing of sockets. */
static void inetd(struct pair *p)
{
	int fd = p->a.fd, pid = fork(); /* *p is shared: the parent closes it there */

	if (!pid) {
		dup2(fd, 0);
		dup2(fd, 1);
		close(fd);
		execlp("dd", "dd", "bs=64", "status=none", (char *)NULL);
		_exit(127);
	}
	take(p, A, CLOSE, 0, 0, 0);
	rec_ret("B", do_step(p, B, SEND, 100, 0, 0).ret);
	rec_ret("B", do_step(p, B, RECV, 100, MSG_WAITALL | MSG_TRUNC, 0).ret);
	rec_ret("B", do_step(p, B, SEND, 50, 0, 0).ret);
	rec_ret("B", do_step(p, B, RECV, 50, MSG_WAITALL | MSG_TRUNC, 0).ret);
	take(p, B, SHUT, SHUT_WR, 0, 0);
	take(p, B, RECV, 1, 0, 0);
	ended("dd", pid);
}

static void spawn_stdin(struct pair *p)
{
	posix_spawn_file_actions_t fa;
	char *args[] = {"dd", "bs=64", "status=none", NULL};
	int pid;

	posix_spawn_file_actions_init(&fa);
	posix_spawn_file_actions_adddup2(&fa, p->a.fd, 0);
	posix_spawn_file_actions_adddup2(&fa, p->a.fd, 1);
	rec_ret("posix_spawn", posix_spawnp(&pid, "dd", &fa, NULL, args, environ));
	take(p, A, CLOSE, 0, 0, 0);
	rec_ret("B", do_step(p, B, SEND, 100, 0, 0).ret);
	rec_ret("B", do_step(p, B, RECV, 100, MSG_WAITALL | MSG_TRUNC, 0).ret);
	take(p, B, SHUT, SHUT_WR, 0, 0);
	take(p, B, RECV, 1, 0, 0);
	ended("dd", pid);
}

static void exec_fails(struct pair *p)
{
	char *args[] = {"none", NULL};

	fcntl(p->a.fd, F_SETFD, 0);
	rec_sys("execv", execv("/nonexistent/none", args));
	GOES_ON;
	pair_warm(p);
	GOES_ON;
}

/* --- what is unread goes to another program --- */

/* How a connection gets there, and what the other end does meanwhile. */
struct hand {
	int at;	      /* descriptor in the program; -1: passed by SCM_RIGHTS */
	int how;      /* UNDER, PLAIN */
	long unread;  /* bytes that B has sent, */
	long taken;   /* and how many of them A has taken: within a record */
	enum op wait; /* B: RECVALL, POLL, EPWAIT; END: it does nothing */
	bool alone;   /* A is closed in the process that has it now, before */
	long sndbuf;  /* of B, or 0 */
	int threads;  /* that look at A while the program is executed */
};

#define MORE 100
#define LAST 5

static void child_args(const struct pair *p, const struct hand *h, int fd, char *args[10], char buf[5][24])
{
	const long num[5] = {fd, h->unread - h->taken, (long)p->a.got, (long)p->a.sent, p->b.dir};
	int i;

	args[0] = (char *)(uintptr_t) "conform";
	args[1] = (char *)(uintptr_t) "--child";
	args[2] = (char *)(uintptr_t)(h->at < 0 ? "heir-passed" : "heir");
	for (i = 0; i < 5; i++) {
		snprintf(buf[i], 24, "%ld", num[i]);
		args[3 + i] = buf[i];
	}
	args[8] = NULL;
}

static void b_waits(struct pair *p, const struct hand *h)
{
	long n = h->unread - h->taken + MORE;

	if (h->wait == SLEEP)
		take(p, B_BG, SLEEP, 2500, 0, 0);
	else if (h->wait == RECVALL)
		take(p, B_BG, RECVALL, n, 0, 0);
	else if (h->wait == POLL)
		take(p, B_BG, POLL, POLLIN, 5000, 0);
	else if (h->wait == EPWAIT)
		take(p, B_BG, EPWAIT, 5000, 0, 0);
	if (h->wait != END)
		pause_ms(30);
}

static void pass(int unix_fd, int fd);

static void *look_on(void *arg)
{
	int fd = *(int *)arg;
	char buf[100];

	for (;;)
		if (recv(fd, buf, sizeof(buf), MSG_PEEK | MSG_DONTWAIT) == 0)
			return NULL;
}

static void start_threads(int n, int *fd)
{
	pthread_t t;

	while (n-- > 0)
		pthread_create(&t, NULL, look_on, fd);
	pause_ms(5);
}

/* The program takes the rest, sends as much and MORE, takes MORE, sends LAST. */
static void hand_on(struct pair *p, const struct hand *h)
{
	long rest = h->unread - h->taken;
	int sync[2], ux[2], pid, fd = p->a.fd;
	char buf[5][24], *args[10], c;

	if (pipe(sync) || socketpair(AF_UNIX, SOCK_STREAM, 0, ux))
		abort();
	if (h->sndbuf)
		take(p, B, SETOPT, SOL_SOCKET, SO_SNDBUF, h->sndbuf);
	if (h->wait == EPWAIT)
		take(p, B, EPADD, EPOLLIN, 0, 0);
	if (h->unread)
		take(p, B, SENDALL, h->unread, 0, 0);
	if (h->unread)
		take(p, A, UNREAD, h->unread, 0, 0);
	if (h->taken)
		take(p, A, RECV, h->taken, 0, 0);
	child_args(p, h, h->at < 0 ? ux[1] : h->at, args, buf);
	pid = fork();
	if (!pid) {
		close(sync[1]);
		if (read(sync[0], &c, 1) != 0)
			_exit(1);
		if (h->at < 0)
			close(fd);
		else if (h->at != fd)
			dup2(fd, h->at);
		if (h->alone && h->at != fd && h->at >= 0)
			close(fd);
		if (h->at >= 0)
			fcntl(h->at, F_SETFD, 0);
		if (h->how == PLAIN)
			unsetenv("LD_PRELOAD");
		start_threads(h->threads, &fd);
		execv("/proc/self/exe", args);
		_exit(127);
	}
	b_waits(p, h);
	if (h->alone && h->at >= 0)
		take(p, A, CLOSE, 0, 0, 0);
	close(sync[0]);
	close(sync[1]);
	if (h->at < 0) {
		pass(ux[0], fd);
		take(p, A, CLOSE, 0, 0, 0);
	}
	if (h->wait != END)
		take(p, B, JOIN, 0, 0, 0);
	if (h->wait != RECVALL)
		take(p, B, RECVALL, rest + MORE, 0, 0);
	take(p, B, SEND, MORE, 0, 0);
	take(p, B, RECV, LAST, MSG_WAITALL, 0);
	ended("program", pid);
	p->a.got += (uint64_t)rest + MORE;
	p->a.sent += (uint64_t)rest + MORE + LAST;
	if (h->alone || h->at < 0)
		take(p, B, RECV, 1, 0, 0);
	else
		GOES_ON;
	close(ux[0]);
	close(ux[1]);
}

#define HAND(name, ...)                                                                            \
	static void name(struct pair *p)                                                           \
	{                                                                                          \
		hand_on(p, &(const struct hand){__VA_ARGS__});                                     \
	}

HAND(hand_under, .at = 60, .how = UNDER, .unread = 30, .taken = 10)
HAND(hand_plain, .at = 60, .how = PLAIN, .unread = 30, .taken = 10)
HAND(hand_stdin, .at = 0, .how = UNDER, .unread = 30, .taken = 10)
HAND(hand_under_alone, .at = 60, .how = UNDER, .unread = 30, .taken = 10, .alone = true)
HAND(hand_plain_alone, .at = 60, .how = PLAIN, .unread = 30, .taken = 10, .alone = true)
HAND(hand_stdin_alone, .at = 0, .how = UNDER, .unread = 30, .taken = 10, .alone = true)
HAND(hand_none, .at = 60, .how = PLAIN, .wait = RECVALL)
HAND(hand_none_under, .at = 60, .how = UNDER, .wait = RECVALL)
HAND(hand_recv, .at = 60, .how = PLAIN, .unread = 30, .wait = RECVALL)
HAND(hand_recv_under, .at = 60, .how = UNDER, .unread = 30, .wait = RECVALL, .alone = true)
HAND(hand_poll, .at = 60, .how = PLAIN, .unread = 30, .wait = POLL)
HAND(hand_poll_alone, .at = 0, .how = PLAIN, .unread = 30, .wait = POLL, .alone = true)
HAND(hand_epoll, .at = 60, .how = PLAIN, .unread = 30, .taken = 29, .wait = EPWAIT)
HAND(hand_epoll_under, .at = 60, .how = UNDER, .unread = 30, .taken = 29, .wait = EPWAIT)
HAND(hand_threads, .at = 60, .how = UNDER, .unread = 3000, .taken = 29, .threads = 3)
HAND(hand_threads_plain, .at = 60, .how = PLAIN, .unread = 3000, .taken = 29, .threads = 3)
HAND(hand_busy, .at = 60, .how = PLAIN, .unread = 30, .taken = 29, .wait = SLEEP)
HAND(hand_busy_pass, .at = -1, .how = PLAIN, .unread = 30, .wait = SLEEP)
HAND(hand_much, .at = 60, .how = PLAIN, .unread = 60000, .taken = 20000, .wait = RECVALL)
HAND(hand_much_under, .at = 60, .how = UNDER, .unread = 60000, .taken = 20000, .wait = RECVALL)
HAND(hand_pieces, .at = 0, .how = PLAIN, .unread = 60000, .taken = 1000, .wait = RECVALL, .sndbuf = 4608)
HAND(hand_pieces_poll, .at = 60, .how = PLAIN, .unread = 60000, .wait = POLL, .sndbuf = 4608)
HAND(hand_pass, .at = -1, .how = UNDER, .unread = 30, .taken = 10, .wait = EPWAIT)
HAND(hand_pass_plain, .at = -1, .how = PLAIN, .unread = 60000, .taken = 10, .wait = RECVALL)
HAND(hand_pass_idle, .at = -1, .how = PLAIN, .unread = 30)

/* Another process that holds it goes on with its epoll instance, and with poll. */
static void hand_epoll_here(struct pair *p)
{
	take(p, A, EPADD, EPOLLIN, 0, 0);
	take(p, A, EPWAIT, 0, 0, 0);
	hand_on(p, &(const struct hand){.at = 60, .how = PLAIN, .unread = 30, .taken = 10});
	take(p, A, EPWAIT, 20, 0, 0);
	take(p, B, SEND, 10, 0, 0);
	take(p, A, EPWAIT, 1000, 0, 0);
	take(p, A, RECV, 100, 0, 0);
	take(p, A, EPWAIT, 20, 0, 0);
	take(p, A, POLL, POLLIN, 20, 0);
	take(p, B, SEND, 10, 0, 0);
	take(p, A, POLL, POLLIN, 1000, 0);
	take(p, A, RECV, 100, 0, 0);
}

/* B has finished, or is gone, when the program gets what B has sent. */
static void hand_ended(struct pair *p, int at, enum op end)
{
	const struct hand h = {.at = at, .how = PLAIN, .unread = 3000, .taken = 10, .alone = true};
	int sync[2], pid, fd = p->a.fd;
	char buf[5][24], *args[10], c;

	if (pipe(sync))
		abort();
	take(p, B, SENDALL, h.unread, 0, 0);
	take(p, B, end, end == SHUT ? SHUT_WR : 0, 0, 0);
	take(p, A, RECV, h.taken, 0, 0);
	child_args(p, &h, at, args, buf);
	args[2] = (char *)(uintptr_t)(end == SHUT ? "heir-half" : "heir-end");
	pid = fork();
	if (!pid) {
		close(sync[1]);
		if (read(sync[0], &c, 1) != 0)
			_exit(1);
		if (dup2(fd, at) != at)
			_exit(1);
		close(fd);
		unsetenv("LD_PRELOAD");
		execv("/proc/self/exe", args);
		_exit(127);
	}
	take(p, A, CLOSE, 0, 0, 0);
	close(sync[0]);
	close(sync[1]);
	if (end == SHUT) {
		take(p, B, RECVALL, LAST, 0, 0);
		take(p, B, RECV, 1, 0, 0);
	}
	ended("program", pid);
}

static void hand_half(struct pair *p)
{
	hand_ended(p, 60, SHUT);
}

static void hand_half_stdin(struct pair *p)
{
	hand_ended(p, 0, SHUT);
}

static void hand_gone(struct pair *p)
{
	hand_ended(p, 60, CLOSE);
}

static void hand_killed(struct pair *p)
{
	hand_ended(p, 60, KILL);
}

/* Programs that libc starts: they take 10 of the unread bytes each. */
static void libc_starts(struct pair *p)
{
	posix_spawn_file_actions_t fa;
	char *args[] = {"sh", "-c", "head -c 10 <&9 >&9", NULL};
	char line[20] = {0};
	FILE *f;
	int pid;

	take(p, B, SEND, 40, 0, 0);
	take(p, A, UNREAD, 40, 0, 0);
	if (dup2(p->a.fd, 8) != 8)
		abort();
	take(p, B_BG, RECVALL, 20, 0, 0);
	rec_sys("system", system("head -c 10 <&8 >&8"));
	f = popen("head -c 10 <&8 | wc -c", "r");
	rec("popen %s", f && fgets(line, sizeof(line), f) ? line : "?");
	rec_sys("pclose", pclose(f));
	posix_spawn_file_actions_init(&fa);
	posix_spawn_file_actions_adddup2(&fa, 8, 9);
	posix_spawn_file_actions_addclose(&fa, 8);
	rec_ret("posix_spawn", posix_spawnp(&pid, "sh", &fa, NULL, args, environ));
	ended("spawned", pid);
	p->a.got += 30;
	p->a.sent += 20;
	close(8);
	rec_ret("B has back", do_step(p, B, JOIN, 0, 0, 0).ret);
	take(p, A, RECV, 10, MSG_WAITALL, 0);
	GOES_ON;
}

/* --- passed on --- */

static void pass(int unix_fd, int fd)
{
	char control[CMSG_SPACE(sizeof(int))] = {0}, c = 'x';
	struct iovec iov = {&c, 1};
	struct msghdr m = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);

	if (!h)
		abort();
	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_RIGHTS;
	h->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(h), &fd, sizeof(fd));
	rec_sys("pass", sendmsg(unix_fd, &m, 0));
}

static int passed(int unix_fd)
{
	char control[CMSG_SPACE(sizeof(int))], c;
	struct iovec iov = {&c, 1};
	struct msghdr m = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *h;
	int fd = -1;

	if (recvmsg(unix_fd, &m, 0) == 1 && (h = CMSG_FIRSTHDR(&m)))
		memcpy(&fd, CMSG_DATA(h), sizeof(fd));
	return fd;
}

static void pass_on(struct pair *p, int how, bool unread)
{
	int ux[2], pid, fd = p->a.fd;
	char num[16];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, ux))
		abort();
	pid = fork();
	if (!pid) {
		if (how == PLAIN)
			unsetenv("LD_PRELOAD");
		close(fd);
		snprintf(num, sizeof(num), "%d", ux[1]);
		execl("/proc/self/exe", "conform", "--child", "passed", num, (char *)NULL);
		_exit(127);
	}
	close(ux[1]);
	if (unread) {
		take(p, B, SEND, 10, 0, 0);
		take(p, A, UNREAD, 10, 0, 0);
	}
	pass(ux[0], p->a.fd);
	take(p, A, CLOSE, 0, 0, 0);
	if (unread)
		rec_ret("B has back", do_step(p, B, RECV, 10, MSG_WAITALL | MSG_TRUNC, 0).ret);
	talk(p, 10);
	talk(p, 500);
	rec_ret("B sends quit", do_step(p, B, SEND, 1, 0, 0).ret);
	ended("program", pid);
	take(p, B, RECV, 1, 0, 0);
}

static void pass_under(struct pair *p)
{
	pass_on(p, UNDER, false);
}

static void pass_plain(struct pair *p)
{
	pass_on(p, PLAIN, false);
}

static void pass_unread(struct pair *p)
{
	pass_on(p, UNDER, true);
}

static void pass_unread_plain(struct pair *p)
{
	pass_on(p, PLAIN, true);
}

/* Passed to oneself: one more number for the same connection. */
static void pass_self(struct pair *p)
{
	int ux[2], fd;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, ux))
		abort();
	pass(ux[0], p->a.fd);
	fd = passed(ux[1]);
	GOES_ON;
	p->a.fd2 = p->a.fd;
	p->a.fd = fd;
	GOES_ON;
	take(p, A, CLOSE2, 0, 0, 0);
	GOES_ON;
	take(p, A, CLOSE, 0, 0, 0);
	take(p, B, RECV, 1, 0, 0);
}

/* --- the program that is executed --- */

static int echo(int fd)
{
	static char buf[65536];
	ssize_t n;

	/* A single byte means: leave, and leave the connection as it is. */
	while ((n = read(fd, buf, sizeof(buf))) > 1)
		if (write(fd, buf, (size_t)n) != n)
			return 5;
	return n == 1 ? 0 : 6;
}

static int heir_take(int fd, long len, long pos, int dir)
{
	static char buf[65536];
	ssize_t n;

	for (; len > 0; len -= n, pos += n) {
		n = read(fd, buf, len < (long)sizeof(buf) ? (size_t)len : sizeof(buf));
		if (n <= 0)
			return 11;
		if (!pattern_is(buf, (size_t)n, dir, (uint64_t)pos))
			return 12;
	}
	return 0;
}

static int heir_give(int fd, long len, long pos, int dir)
{
	static char buf[65536];
	ssize_t n;

	for (; len > 0; len -= n, pos += n) {
		n = len < (long)sizeof(buf) ? len : (long)sizeof(buf);
		pattern_fill(buf, (size_t)n, dir, (uint64_t)pos);
		n = write(fd, buf, (size_t)n);
		if (n <= 0)
			return 13;
	}
	return 0;
}

/* What hand_on() expects of the program: FD REST GOT SENT DIR. */
static int heir(int fd, char **argv)
{
	long rest = atol(argv[0]), got = atol(argv[1]), sent = atol(argv[2]);
	int dir = atoi(argv[3]), rc;

	rc = heir_take(fd, rest, got, dir);
	if (!rc)
		rc = heir_give(fd, rest + MORE, sent, 1 - dir);
	if (!rc)
		rc = heir_take(fd, MORE, got + rest, dir);
	if (!rc)
		rc = heir_give(fd, LAST, sent + rest + MORE, 1 - dir);
	return rc;
}

/* The same where no more comes: FD REST GOT SENT DIR. */
static int heir_ended(int fd, char **argv, bool answer)
{
	long rest = atol(argv[0]), got = atol(argv[1]), sent = atol(argv[2]);
	int dir = atoi(argv[3]), rc;
	char c;

	rc = heir_take(fd, rest, got, dir);
	if (!rc && read(fd, &c, 1) != 0)
		rc = 14;
	if (!rc && answer)
		rc = heir_give(fd, LAST, sent, 1 - dir);
	return rc;
}

int child_main(char **argv)
{
	if (!argv[0] || !argv[1])
		return 2;
	if (!strcmp(argv[0], "echo"))
		return echo(atoi(argv[1]));
	if (!strcmp(argv[0], "passed"))
		return echo(passed(atoi(argv[1])));
	if (!strcmp(argv[0], "heir"))
		return heir(atoi(argv[1]), argv + 2);
	if (!strcmp(argv[0], "heir-half") || !strcmp(argv[0], "heir-end"))
		return heir_ended(atoi(argv[1]), argv + 2, !strcmp(argv[0], "heir-half"));
	if (!strcmp(argv[0], "heir-passed"))
		return heir(passed(atoi(argv[1])), argv + 2);
	return 2;
}

const struct conform_case proc_cases[] = {
	{"a child uses it", ALL, NULL, child_uses},
	{"children use it", ALL, NULL, child_uses_twice},
	{"parent and child use it", ALL, NULL, both_use},
	{"a child closes it", ALL, NULL, child_closes_},
	{"the parent closes it", ALL, NULL, parent_closes},
	{"a child exits", ALL, NULL, child_exits},
	{"a child is killed", ALL, NULL, child_killed},
	{"a child waits for data", ALL, NULL, child_waits},
	{"a child polls", ALL, NULL, child_polls},
	{"a child waits by epoll", ALL, NULL, child_epoll},
	{"epoll made before fork", ALL, NULL, epoll_inherited},
	{"a child takes much", ALL, NULL, child_much},
	{"one reads, one writes", OTHER, NULL, split},
	{"a child half-closes", ALL, NULL, child_shuts},
	{"a child ends it", ALL, NULL, child_ends_it},
	{"fork and then more", ALL, NULL, fork_before_warm},
	{"daemon", ALL, NULL, daemon_},
	{"forking server", 0, NULL, forking_server},
	{"workers", 0, NULL, prefork},
	{"programs are run", ALL, NULL, programs},
	{"programs are run, and inherit", ALL, NULL, programs_inherit},
	{"exec", ALL, NULL, exec_under},
	{"exec of one without scilan", ALL, NULL, exec_plain},
	{"exec, as stdin", ALL, NULL, exec_stdin},
	{"exec of one without scilan, as stdin", ALL, NULL, exec_stdin_plain},
	{"exec with unread data", ALL, NULL, exec_unread},
	{"exec that fails", ALL, NULL, exec_fails},
	{"inetd", OTHER, NULL, inetd},
	{"posix_spawn, as stdin", OTHER, NULL, spawn_stdin},
	{"unread goes on", ALL, NULL, hand_under},
	{"unread goes on to one without scilan", ALL, NULL, hand_plain},
	{"unread goes on, as stdin", ALL, NULL, hand_stdin},
	{"unread goes on, no other holder", OTHER, NULL, hand_under_alone},
	{"unread goes on to one without scilan, no other holder", OTHER, NULL, hand_plain_alone},
	{"unread goes on, as stdin, no other holder", OTHER, NULL, hand_stdin_alone},
	{"goes on, peer in recv", OTHER, NULL, hand_none_under},
	{"goes on to one without scilan, peer in recv", OTHER, NULL, hand_none},
	{"unread goes on, peer in recv", OTHER, NULL, hand_recv_under},
	{"unread goes on to one without scilan, peer in recv", OTHER, NULL, hand_recv},
	{"unread goes on to one without scilan, peer in poll", OTHER, NULL, hand_poll},
	{"unread goes on, as stdin, peer in poll", OTHER, NULL, hand_poll_alone},
	{"unread goes on, peer in epoll", OTHER, NULL, hand_epoll_under},
	{"unread goes on to one without scilan, peer in epoll", OTHER, NULL, hand_epoll},
	{"unread goes on to one without scilan, peer is busy", OTHER, NULL, hand_busy},
	{"unread is passed on, peer is busy", OTHER, NULL, hand_busy_pass},
	{"unread goes on from among threads", OTHER, NULL, hand_threads},
	{"unread goes on from among threads to one without scilan", OTHER, NULL, hand_threads_plain},
	{"the other holder's epoll", OTHER, NULL, hand_epoll_here},
	{"much goes on", OTHER, NULL, hand_much_under},
	{"much goes on to one without scilan", OTHER, NULL, hand_much},
	{"much goes on through small buffers", OTHER, NULL, hand_pieces},
	{"much goes on through small buffers, peer in poll", OTHER, NULL, hand_pieces_poll},
	{"unread goes on, peer has half-closed", OTHER, NULL, hand_half},
	{"unread goes on as stdin, peer has half-closed", OTHER, NULL, hand_half_stdin},
	{"unread goes on, peer has closed", OTHER, NULL, hand_gone},
	{"unread goes on, peer was killed", OTHER, NULL, hand_killed},
	{"libc starts programs", OTHER, NULL, libc_starts},
	{"unread is passed on, peer in epoll", OTHER, NULL, hand_pass},
	{"much is passed on to one without scilan", OTHER, NULL, hand_pass_plain},
	{"unread is passed on to one without scilan", OTHER, NULL, hand_pass_idle},
	{"passed on", OTHER, NULL, pass_under},
	{"passed on to one without scilan", OTHER, NULL, pass_plain},
	{"passed on with unread data", OTHER, NULL, pass_unread},
	{"passed on with unread data to one without scilan", OTHER, NULL, pass_unread_plain},
	{"passed to oneself", ALL, NULL, pass_self},
	{0},
};
