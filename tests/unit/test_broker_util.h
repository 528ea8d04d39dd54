/* SPDX-License-Identifier: BSD-2-Clause */
/* A real broker in a child, at an address of its own; clients that speak msg.h by hand. */
#ifndef TEST_BROKER_UTIL_H
#define TEST_BROKER_UTIL_H

#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "addr.h"
#include "broker.h"
#include "msg.h"
#include "reason.h"
#include "seg.h"

#define SYNC_ID	   UINT64_MAX
#define PATIENT_MS 5000

struct client {
	int fd;
	const struct sl_mail_shm *mail;
};

/* An established loopback connection: fd[0] connected to fd[1]. */
struct tcp {
	int fd[2];
};

static pid_t broker_pid;

static __attribute__((unused)) void broker_start(const struct sl_broker_opts *opts)
{
	char name[64];
	int i, fd;

	(void)snprintf(name, sizeof(name), "scilan-unit-%d", (int)getpid());
	assert_int_equal(setenv("SCILAN_BROKER", name, 1), 0);
	broker_pid = fork();
	assert_true(broker_pid >= 0);
	if (broker_pid == 0)
		_exit(sl_broker_run(opts) ? 1 : 0);
	for (i = 0; i < PATIENT_MS; i++) {
		fd = sl_addr_connect_any(NULL);
		if (fd >= 0)
			break;
		(void)usleep(1000);
	}
	assert_true(fd >= 0);
	(void)close(fd);
}

static __attribute__((unused)) int broker_wait(void)
{
	int status;

	assert_int_equal(waitpid(broker_pid, &status, 0), broker_pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static __attribute__((unused)) int start_default(void **state)
{
	const struct sl_broker_opts opts = {.idle_s = 0};

	(void)state;
	broker_start(&opts);
	return 0;
}

static __attribute__((unused)) int stop(void **state)
{
	(void)state;
	(void)kill(broker_pid, SIGTERM);
	return broker_wait();
}

static __attribute__((unused)) unsigned broker_files(void)
{
	char path[64];
	unsigned n = 0;
	DIR *dir;

	(void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)broker_pid);
	dir = opendir(path);
	assert_non_null(dir);
	while (readdir(dir))
		n++;
	(void)closedir(dir);
	return n;
}

static void say(const struct client *c, const struct sl_msg *m, int fd)
{
	struct pollfd p = {.fd = c->fd, .events = POLLOUT};
	int rc;

	do {
		rc = sl_msg_send(c->fd, m, &fd, fd >= 0 ? 1 : 0);
	} while (rc == -EAGAIN && poll(&p, 1, PATIENT_MS) == 1);
	assert_int_equal(rc, 0);
}

/* The next message, which must be of this type. Descriptors go to @fds, or are closed. */
static struct sl_msg expect(const struct client *c, uint32_t type, int *fds)
{
	struct pollfd p = {.fd = c->fd, .events = POLLIN};
	int got[SL_MSG_FDS], i;
	struct sl_msg m;

	assert_int_equal(poll(&p, 1, PATIENT_MS), 1);
	assert_int_equal(sl_msg_recv(c->fd, &m, got), 1);
	assert_int_equal(m.type, type);
	for (i = 0; i < SL_MSG_FDS; i++) {
		if (fds)
			fds[i] = got[i];
		else if (got[i] >= 0)
			(void)close(got[i]);
	}
	return m;
}

static void connect_client(struct client *c)
{
	c->mail = NULL;
	c->fd = sl_addr_connect_any(NULL);
	assert_true(c->fd >= 0);
}

static __attribute__((unused)) void hello(struct client *c)
{
	struct sl_msg m = {.type = SL_MSG_HELLO, .arg = SL_MSG_VERSION};
	int fds[SL_MSG_FDS];

	connect_client(c);
	say(c, &m, -1);
	m = expect(c, SL_MSG_WELCOME, fds);
	assert_int_equal(m.arg, SL_MSG_VERSION);
	assert_true(fds[0] >= 0);
	c->mail = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fds[0], 0);
	assert_ptr_not_equal(c->mail, MAP_FAILED);
	(void)close(fds[0]);
}

static __attribute__((unused)) void bye(struct client *c)
{
	(void)close(c->fd);
	if (c->mail)
		(void)munmap((void *)(uintptr_t)c->mail, 4096);
}

static __attribute__((unused)) void expect_closed(struct client *c)
{
	struct pollfd p = {.fd = c->fd, .events = POLLIN};
	int fds[SL_MSG_FDS], rc;
	struct sl_msg m;

	assert_int_equal(poll(&p, 1, PATIENT_MS), 1);
	rc = sl_msg_recv(c->fd, &m, fds);
	assert_true(rc == 0 || rc == -ECONNRESET);
	bye(c);
}

static __attribute__((unused)) void offer(const struct client *c, uint64_t id, int fd)
{
	const struct sl_msg m = {.type = SL_MSG_OFFER, .id = id};

	say(c, &m, fd);
}

static __attribute__((unused)) void reattach(const struct client *c, uint64_t id, int fd)
{
	const struct sl_msg m = {.type = SL_MSG_OFFER, .id = id, .flags = SL_OFFER_REATTACH};

	say(c, &m, fd);
}

static __attribute__((unused)) void proof(const struct client *c, uint64_t id, int fd)
{
	const struct sl_msg m = {.type = SL_MSG_PROOF, .id = id};

	say(c, &m, fd);
}

static __attribute__((unused)) void withdraw(const struct client *c, uint64_t id)
{
	const struct sl_msg m = {.type = SL_MSG_WITHDRAW, .id = id};

	say(c, &m, -1);
}

static __attribute__((unused)) void gone(const struct client *c, const struct sl_msg *paired)
{
	const struct sl_msg m = {.type = SL_MSG_GONE, .pair = paired->pair, .side = paired->side};

	say(c, &m, -1);
}

static __attribute__((unused)) void expect_refused(const struct client *c, uint64_t id,
						   unsigned why)
{
	struct sl_msg m = expect(c, SL_MSG_REFUSED, NULL);

	assert_int_equal(m.id, id);
	assert_int_equal(m.arg, why);
}

static __attribute__((unused)) void expect_prove(const struct client *c, uint64_t id)
{
	assert_int_equal(expect(c, SL_MSG_PROVE, NULL).id, id);
}

/* All that the client has said is done, and nothing came of it but what was expected before. */
static __attribute__((unused)) void synced(const struct client *c)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	offer(c, SYNC_ID, fd); /* not connected: refused at once */
	expect_refused(c, SYNC_ID, SL_WHY_FINISHED);
	(void)close(fd);
}

static void tcp_open_at(struct tcp *t, int client_family, int server_family, in_port_t from)
{
	struct sockaddr_in6 a6 = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t len = server_family == AF_INET6 ? sizeof(a6) : sizeof(a);
	struct sockaddr *sa = server_family == AF_INET6 ? (void *)&a6 : (void *)&a;
	int lfd = socket(server_family, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	if (client_family != server_family)
		a6.sin6_addr = in6addr_any; /* takes v4-mapped peers */
	assert_int_equal(bind(lfd, sa, len), 0);
	assert_int_equal(listen(lfd, 1), 0);
	assert_int_equal(getsockname(lfd, sa, &len), 0);
	t->fd[0] = socket(client_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (client_family != server_family) {
		a.sin_port = a6.sin6_port;
		sa = (void *)&a;
		len = sizeof(a);
	}
	if (from) {
		struct sockaddr_in src = a;

		src.sin_port = from;
		(void)setsockopt(t->fd[0], SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		assert_int_equal(bind(t->fd[0], (void *)&src, sizeof(src)), 0);
	}
	assert_int_equal(connect(t->fd[0], sa, len), 0);
	t->fd[1] = accept4(lfd, NULL, NULL, SOCK_CLOEXEC);
	assert_true(t->fd[1] >= 0);
	(void)close(lfd);
}

static __attribute__((unused)) void tcp_open(struct tcp *t)
{
	tcp_open_at(t, AF_INET, AF_INET, 0);
}

static __attribute__((unused)) void tcp_close(struct tcp *t)
{
	(void)close(t->fd[0]);
	(void)close(t->fd[1]);
}

/* Pair the two ends, offered as 10 by a (fd[0], first) and 20 by b. */
static __attribute__((unused)) void pair_up(const struct client *a, const struct client *b,
					    const struct tcp *t, struct sl_msg got[2],
					    int fds[2][SL_MSG_FDS])
{
	offer(a, 10, t->fd[0]);
	synced(a);
	offer(b, 20, t->fd[1]);
	expect_prove(a, 10);
	proof(a, 10, t->fd[0]);
	got[0] = expect(a, SL_MSG_PAIRED, fds ? fds[0] : NULL);
	got[1] = expect(b, SL_MSG_PAIRED, fds ? fds[1] : NULL);
}

#endif
