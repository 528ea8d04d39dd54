/* SPDX-License-Identifier: BSD-2-Clause */
/* threads.c - threads, signals, cancellation */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>
#include "conform.h"

static int handler_fd = -1;

/* --- interrupted calls --- */

struct poke {
	struct pair *p;
	pthread_t whom;
	enum op then; /* what B does after the signal */
	long len;
	long later_ms;
};

static void *pokes(void *arg)
{
	struct poke *k = arg;

	pause_ms(40 + k->later_ms);
	pthread_kill(k->whom, SIGUSR1);
	if (k->then != END) {
		pause_ms(40);
		do_step(k->p, B, k->then, k->len, 0, 0);
	}
	return NULL;
}

/* Take a step during which a signal comes; some time after it B does something. */
static void poked(struct pair *p, int flags, enum op op, long x, long y, enum op then, long len)
{
	struct poke k = {p, pthread_self(), then, len, 0};
	pthread_t t;

	caught = 0;
	on(SIGUSR1, on_signal, flags);
	pthread_create(&t, NULL, pokes, &k);
	take(p, A, op, x, y, 0);
	pthread_join(t, NULL);
	rec("signals %d", (int)caught);
}

static void eintr_recv(struct pair *p)
{
	poked(p, 0, RECV, 10, 0, END, 0);
	poked(p, 0, READ, 10, 0, END, 0);
	poked(p, 0, READV, 10, 2, END, 0);
	poked(p, 0, RECVMSG, 10, 0, END, 0);
	poked(p, 0, RECVFROM, 10, 0, END, 0);
	poked(p, 0, RECV, 10, MSG_PEEK, END, 0);
	poked(p, 0, RECV, 10, MSG_WAITALL, END, 0);
	take(p, B, SEND, 5, 0, 0);
	take(p, A, RECV, 10, 0, 0);
}

static void eintr_partial(struct pair *p)
{
	take(p, B, SEND, 5, 0, 0);
	poked(p, 0, RECV, 10, MSG_WAITALL, END, 0);
	take(p, B, SEND, 5, 0, 0);
	take(p, A, RECV, 10, 0, 0);
}

static void restart_recv(struct pair *p)
{
	poked(p, SA_RESTART, RECV, 10, 0, SEND, 5);
	poked(p, SA_RESTART, READ, 10, 0, SEND, 5);
	poked(p, SA_RESTART, RECVMSG, 10, 0, SEND, 5);
	poked(p, SA_RESTART, READV, 10, 3, SEND, 5);
	poked(p, SA_RESTART, RECV, 5, MSG_WAITALL, SEND, 5);
}

static void timeout_recv(struct pair *p)
{
	take(p, A, RCVTIMEO, 2000, 0, 0);
	poked(p, SA_RESTART, RECV, 10, 0, END, 0);
	poked(p, 0, RECV, 10, 0, END, 0);
	take(p, B, SEND, 5, 0, 0);
	take(p, A, RECV, 10, 0, 0);
}

/* A send that no buffers hold: nothing or a part of it goes through. */
static void eintr_send(struct pair *p)
{
	static const enum op ops[] = {SEND, WRITE, SENDMSG};
	struct poke k = {p, pthread_self(), END, 0, 100};
	struct result r;
	pthread_t t;
	size_t i;

	on(SIGUSR1, on_signal, 0);
	for (i = 0; i < 3; i++) {
		take(p, A, FILL, 0, 0, 0);
		caught = 0;
		pthread_create(&t, NULL, pokes, &k);
		r = do_step(p, A, ops[i], 4 << 20, 0, 0);
		pthread_join(t, NULL);
		rec("interrupted %d, signals %d", r.ret == -EINTR || (r.ret > 0 && r.ret < 4 << 20),
		    (int)caught);
	}
	take(p, B, DRAIN, 0, 0, 0);
	pause_ms(20);
	take(p, B, DRAIN, 0, 0, 0);
	take(p, A, SEND, 5, 0, 0);
	take(p, B, RECV, 10, 0, 0);
}

static void restart_send(struct pair *p)
{
	take(p, A, FILL, 0, 0, 0);
	poked(p, SA_RESTART, SEND, 100, 0, DRAIN, 0);
	pause_ms(10);
	(void)do_step(p, B, DRAIN, 0, 0, 0);
	take(p, A, SEND, 5, 0, 0);
	take(p, B, RECV, 10, 0, 0);
}

static void eintr_partial_send(struct pair *p)
{
	struct poke k = {p, pthread_self(), END, 0, 400};
	struct result r;
	pthread_t t;

	on(SIGUSR1, on_signal, 0);
	pthread_create(&t, NULL, pokes, &k);
	r = do_step(p, A, SEND, 16 << 20, 0, 0);
	pthread_join(t, NULL);
	rec("part %d", r.ret > 0 && r.ret < 16 << 20);
	rec("all %d", do_step(p, B, RECVALL, r.ret, 0, 0).ret == r.ret);
}

static void eintr_wait(struct pair *p)
{
	int i;

	/* These are never restarted. */
	for (i = 0; i < 2; i++) {
		int flags = i ? SA_RESTART : 0;

		poked(p, flags, POLL, POLLIN, 1000, END, 0);
		poked(p, flags, PPOLL, POLLIN, 1000, END, 0);
		poked(p, flags, SELECT, POLLIN, 1000, END, 0);
		poked(p, flags, PSELECT, POLLIN, 1000, END, 0);
		take(p, A, EPADD, EPOLLIN, 0, 0);
		poked(p, flags, EPWAIT, 1000, 0, END, 0);
		take(p, A, EPDEL, 0, 0, 0);
	}
}

static void ignored_signal(struct pair *p)
{
	/* SIGCHLD and SIGWINCH are ignored by default: nothing is interrupted. */
	struct poke k = {p, pthread_self(), SEND, 5, 0};
	pthread_t t;

	signal(SIGUSR1, SIG_IGN);
	pthread_create(&t, NULL, pokes, &k);
	take(p, A, RECV, 10, 0, 0);
	pthread_join(t, NULL);
	pthread_create(&t, NULL, pokes, &k);
	take(p, A, POLL, POLLIN, 1000, 0);
	pthread_join(t, NULL);
}

/* A signal that is blocked, and let in by the waiting call itself. */
static void masks(struct pair *p)
{
	struct pollfd f = {.fd = p->a.fd, .events = POLLIN};
	struct timespec ts = {1, 0};
	sigset_t usr1, none;
	struct epoll_event ev = {.events = EPOLLIN};
	int ep = epoll_create1(0);
	fd_set in;

	on(SIGUSR1, on_signal, 0);
	sigemptyset(&none);
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	sigprocmask(SIG_BLOCK, &usr1, NULL);
	caught = 0;
	raise(SIGUSR1);
	rec_sys("poll, blocked", poll(&f, 1, 20));
	rec_sys("ppoll, let in", ppoll(&f, 1, &ts, &none));
	rec("signals %d", (int)caught);
	raise(SIGUSR1);
	FD_ZERO(&in);
	FD_SET(p->a.fd, &in);
	rec_sys("pselect, let in", pselect(p->a.fd + 1, &in, NULL, NULL, &ts, &none));
	rec("signals %d", (int)caught);
	raise(SIGUSR1);
	epoll_ctl(ep, EPOLL_CTL_ADD, p->a.fd, &ev);
	rec_sys("epoll_pwait, let in", epoll_pwait(ep, &ev, 1, 1000, &none));
	rec("signals %d", (int)caught);
	raise(SIGUSR1);
	take(p, B, SEND, 5, 0, 0);
	take(p, A, UNREAD, 5, 0, 0);
	rec_sys("poll", poll(&f, 1, 1000));
	rec("signals %d", (int)caught);
	take(p, A, RECV, 10, 0, 0);
}

static void writes_in_handler(int sig)
{
	(void)sig;
	caught += send(handler_fd, "h", 1, MSG_DONTWAIT) == 1;
}

/* The handler of a signal that comes in a call on the connection writes to it. */
static void handler_writes(struct pair *p)
{
	struct poke k = {p, pthread_self(), SEND, 5, 0};
	pthread_t t;
	int i;

	handler_fd = p->a.fd;
	on(SIGUSR1, writes_in_handler, SA_RESTART);
	for (i = 0; i < 3; i++) {
		caught = 0;
		pthread_create(&t, NULL, pokes, &k);
		take(p, A, RECV, 10, 0, 0);
		pthread_join(t, NULL);
		rec("written %d", (int)caught);
		rec_ret("B", do_step(p, B, RECV, 10, MSG_TRUNC, 0).ret);
		p->a.sent++;
	}
}

static void reads_in_handler(int sig)
{
	char c;

	(void)sig;
	caught += recv(handler_fd, &c, 1, MSG_DONTWAIT) == 1;
}

static void handler_reads(struct pair *p)
{
	struct itimerval it = {{0, 2000}, {0, 2000}};
	long i, got = 0;
	char c;

	handler_fd = p->a.fd;
	caught = 0;
	on(SIGALRM, reads_in_handler, SA_RESTART);
	setitimer(ITIMER_REAL, &it, NULL);
	for (i = 0; i < 100; i++) {
		do_step(p, B, SEND, 20, 0, 0);
		while (got + caught < 20 * (i + 1))
			got += recv(p->a.fd, &c, 1, MSG_DONTWAIT) == 1;
	}
	memset(&it, 0, sizeof(it));
	setitimer(ITIMER_REAL, &it, NULL);
	rec("got %ld", got + caught);
}

/* Signals without end while much is sent and received. */
static void storm(struct pair *p, int flags)
{
	struct itimerval it = {{0, 500}, {0, 500}};
	static char buf[65536];
	long done = 0, all = 8 << 20, bad = 0;

	on(SIGALRM, on_signal, flags);
	take(p, B_BG, SENDALL, all, 0, 0);
	setitimer(ITIMER_REAL, &it, NULL);
	while (done < all) {
		ssize_t n = recv(p->a.fd, buf, sizeof(buf), 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		bad += !pattern_is(buf, (size_t)n, 1, p->a.got);
		p->a.got += (uint64_t)n;
		done += n;
	}
	rec("done %ld bad %ld", done, bad);
	take(p, B, JOIN, 0, 0, 0);
	take(p, B_BG, RECVALL, all, 0, 0);
	done = 0;
	while (done < all) {
		size_t len = all - done < 65536 ? (size_t)(all - done) : 65536;
		ssize_t n;

		pattern_fill(buf, len, 0, p->a.sent);
		n = send(p->a.fd, buf, len, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		p->a.sent += (uint64_t)n;
		done += n;
	}
	memset(&it, 0, sizeof(it));
	setitimer(ITIMER_REAL, &it, NULL);
	rec("done %ld", done);
	take(p, B, JOIN, 0, 0, 0);
}

static void storm_eintr(struct pair *p)
{
	storm(p, 0);
}

static void storm_restart(struct pair *p)
{
	storm(p, SA_RESTART);
}

static void stopped(struct pair *p)
{
	take(p, B_BG, RECV, 10, 0, 0);
	pause_ms(30);
	kill(p->b.pid, SIGSTOP);
	pause_ms(30);
	kill(p->b.pid, SIGCONT);
	pause_ms(30);
	take(p, A, SEND, 5, 0, 0);
	take(p, B, JOIN, 0, 0, 0);
	/* And while it is stopped. */
	kill(p->b.pid, SIGSTOP);
	take(p, A, SEND, 5, 0, 0);
	take(p, A, FILL, 0, 0, 0);
	kill(p->b.pid, SIGCONT);
	take(p, B, RECVALL, 5, 0, 0);
	take(p, B, TAKEFILL, 0, 0, 0);
}

static void sigio(struct pair *p)
{
	int i;

	caught = 0;
	on(SIGIO, on_signal, SA_RESTART);
	rec_sys("F_SETOWN", fcntl(p->a.fd, F_SETOWN, getpid()));
	rec_sys("F_SETFL", fcntl(p->a.fd, F_SETFL, O_ASYNC | O_NONBLOCK));
	caught = 0;
	take(p, B, SEND, 5, 0, 0);
	for (i = 0; i < 100 && !caught; i++)
		pause_ms(5);
	rec("signalled %d", caught > 0);
	take(p, A, RECV, 10, 0, 0);
	caught = 0;
	take(p, B, SEND, 5, 0, 0);
	for (i = 0; i < 100 && !caught; i++)
		pause_ms(5);
	rec("signalled %d", caught > 0);
	take(p, A, RECV, 10, 0, 0);
}

/* --- cancellation --- */

struct call {
	int fd, ep;
	int which;
};

static void *blocks(void *arg)
{
	static char much[16 << 20];
	struct call *c = arg;
	struct epoll_event ev;
	struct pollfd f = {.fd = c->fd, .events = POLLIN};
	char b;

	switch (c->which) {
	case 0:
		(void)recv(c->fd, &b, 1, 0);
		break;
	case 1:
		(void)!read(c->fd, &b, 1);
		break;
	case 2:
		(void)poll(&f, 1, -1);
		break;
	case 3:
		(void)epoll_wait(c->ep, &ev, 1, -1);
		break;
	default:
		(void)send(c->fd, much, sizeof(much), 0);
	}
	return NULL;
}

static void cancel(struct pair *p)
{
	struct epoll_event ev = {.events = EPOLLIN};
	struct call c = {p->a.fd, epoll_create1(0), 0};
	pthread_t t;
	void *ret;

	epoll_ctl(c.ep, EPOLL_CTL_ADD, p->a.fd, &ev);
	for (c.which = 0; c.which < 5; c.which++) {
		pthread_create(&t, NULL, blocks, &c);
		pause_ms(40);
		pthread_cancel(t);
		pthread_join(t, &ret);
		rec("cancelled %d", ret == PTHREAD_CANCELED);
		if (c.which == 4)
			break;
		take(p, B, SEND, 5, 0, 0);
		take(p, A, RECV, 10, 0, 0);
		take(p, A, SEND, 5, 0, 0);
		take(p, B, RECV, 10, 0, 0);
	}
	/* How much of the last send went through nobody knows. */
	(void)do_step(p, B, DRAIN, 0, 0, 0);
	take(p, B, SEND, 5, 0, 0);
	take(p, A, RECV, 10, 0, 0);
}

/* --- several threads --- */

struct taker {
	int fd;
	long got;
};

static void *takes_some(void *arg)
{
	struct taker *t = arg;
	char buf[100];
	ssize_t n;

	while ((n = recv(t->fd, buf, sizeof(buf), 0)) > 0)
		t->got += n;
	return NULL;
}

static void many_readers(struct pair *p)
{
	struct taker t[4];
	pthread_t th[4];
	long sum = 0;
	int i;

	for (i = 0; i < 4; i++) {
		t[i] = (struct taker){p->a.fd, 0};
		pthread_create(&th[i], NULL, takes_some, &t[i]);
	}
	for (i = 0; i < 50; i++)
		do_step(p, B, SEND, 1 + i * 13 % 300, 0, 0);
	pause_ms(20);
	do_step(p, B, SENDALL, 100000, 0, 0);
	take(p, B, SHUT, SHUT_WR, 0, 0);
	for (i = 0; i < 4; i++) {
		pthread_join(th[i], NULL);
		sum += t[i].got;
	}
	rec("sum %ld", sum);
}

static void *gives(void *arg)
{
	struct taker *t = arg;
	char buf[24];
	int i;

	for (i = 0; i < 300; i++) {
		memset(buf, 'a' + (int)t->got, sizeof(buf));
		if (send(t->fd, buf, sizeof(buf), 0) != sizeof(buf))
			t->got = -1000;
	}
	return NULL;
}

/* Messages of several writers are not mixed up with each other. */
static void many_writers(struct pair *p)
{
	static char in[4 * 300 * 24];
	struct taker t[4];
	pthread_t th[4];
	int i, fd[2], whole = 0;
	size_t done = 0;

	(void)p;
	pair_fds(fd);
	warm_fds(fd[0], fd[1]);
	for (i = 0; i < 4; i++) {
		t[i] = (struct taker){fd[0], i};
		pthread_create(&th[i], NULL, gives, &t[i]);
	}
	while (done < sizeof(in)) {
		ssize_t n = recv(fd[1], in + done, sizeof(in) - done, 0);

		if (n <= 0)
			break;
		done += (size_t)n;
	}
	for (i = 0; i < 4; i++)
		pthread_join(th[i], NULL);
	for (done = 0; done < sizeof(in); done += 24)
		whole += !memcmp(in + done, in + done + 1, 23);
	rec("whole %d", whole);
}

/* All four directions and ends at work at the same time. */
static void full_duplex(struct pair *p)
{
	static char in[65536];
	long all = 4 << 20, got[2] = {0, 0};
	int i, fd[2] = {p->a.fd, p->b.fd};

	take(p, A_BG, SENDALL, all, 0, 0);
	if (p->b.ctl >= 0) {
		take(p, B, RECVALL, all, 0, 0);
		take(p, A, JOIN, 0, 0, 0);
		return;
	}
	take(p, B_BG, SENDALL, all, 0, 0);
	while (got[0] < all || got[1] < all) {
		for (i = 0; i < 2; i++) {
			ssize_t n = recv(fd[i], in, sizeof(in), MSG_DONTWAIT);

			got[i] += n > 0 ? n : 0;
		}
	}
	rec("got %ld %ld", got[0], got[1]);
	take(p, A, JOIN, 0, 0, 0);
	take(p, B, JOIN, 0, 0, 0);
}

static void *waits_oneshot(void *arg)
{
	struct call *c = arg;
	struct epoll_event ev;

	c->which = epoll_wait(c->ep, &ev, 1, 300);
	return NULL;
}

static void one_of_two(struct pair *p)
{
	struct epoll_event ev = {.events = EPOLLIN | EPOLLONESHOT};
	struct call c[2];
	pthread_t t[2];
	int i, j, ep = epoll_create1(0);

	epoll_ctl(ep, EPOLL_CTL_ADD, p->a.fd, &ev);
	for (j = 0; j < 3; j++) {
		for (i = 0; i < 2; i++) {
			c[i] = (struct call){p->a.fd, ep, 0};
			pthread_create(&t[i], NULL, waits_oneshot, &c[i]);
		}
		pause_ms(30);
		do_step(p, B, SEND, 1, 0, 0);
		for (i = 0; i < 2; i++)
			pthread_join(t[i], NULL);
		rec("woken %d", c[0].which + c[1].which);
		take(p, A, RECV, 10, 0, 0);
		rec_sys("mod", epoll_ctl(ep, EPOLL_CTL_MOD, p->a.fd, &ev));
	}
}

/* Two threads wait in the same edge-triggered instance: one message wakes one of them. */
static void one_edge_of_two(struct pair *p)
{
	struct epoll_event ev = {.events = EPOLLIN | EPOLLET};
	struct call c[2];
	pthread_t t[2];
	int i, ep = epoll_create1(0);

	epoll_ctl(ep, EPOLL_CTL_ADD, p->a.fd, &ev);
	for (i = 0; i < 2; i++) {
		c[i] = (struct call){p->a.fd, ep, 0};
		pthread_create(&t[i], NULL, waits_oneshot, &c[i]);
	}
	pause_ms(30);
	do_step(p, B, SEND, 1, 0, 0);
	for (i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	rec("woken %d", c[0].which + c[1].which);
	take(p, A, RECV, 10, 0, 0);
}

/* Whoever is in recv stays there when another thread closes the number, until something comes. */
static void closed_by_another(struct pair *p)
{
	struct taker t = {p->a.fd, 0};
	pthread_t th;

	pthread_create(&th, NULL, takes_some, &t);
	pause_ms(40);
	take(p, A, CLOSE, 0, 0, 0);
	pause_ms(20);
	take(p, B, SEND, 5, 0, 0);
	pthread_join(th, NULL);
	rec("got %ld", t.got);
	take(p, B, RECV, 1, 0, 0);
}

/* The same while a copy of the number stands for the connection: nothing ends. Another file gets the number. */
static void closed_and_copied(struct pair *p)
{
	struct epoll_event ev = {.events = EPOLLIN};
	struct taker t = {p->a.fd, 0};
	int number = p->a.fd, copy = dup(number), ep = epoll_create1(0), null;
	pthread_t th;
	char buf[10];

	rec_sys("add", epoll_ctl(ep, EPOLL_CTL_ADD, number, &ev));
	pthread_create(&th, NULL, takes_some, &t);
	pause_ms(40);
	take(p, A, CLOSE, 0, 0, 0);
	null = open("/dev/null", O_RDWR);
	rec("the same number %d", null == number);
	pause_ms(20);
	take(p, B, SEND, 5, 0, 0);
	pthread_join(th, NULL);
	rec("got %ld", t.got);
	take(p, B, RECV, 1, MSG_DONTWAIT, 0);
	take(p, B, SEND, 3, 0, 0);
	rec("events %d", epoll_wait(ep, &ev, 1, 1000));
	rec_sys("recv", recv(copy, buf, sizeof(buf), 0));
	rec("events %d", epoll_wait(ep, &ev, 1, 20));
	close(null);
	close(copy);
	take(p, B, RECV, 1, 0, 0);
	close(ep);
}

/* The end comes when the thread is through, or gone. */
static void closed_then_cancelled(struct pair *p)
{
	struct taker t = {p->a.fd, 0};
	pthread_t th;

	pthread_create(&th, NULL, takes_some, &t);
	pause_ms(40);
	take(p, A, CLOSE, 0, 0, 0);
	take(p, B, POLL, POLLIN, 20, 0);
	pthread_cancel(th);
	pthread_join(th, NULL);
	take(p, B, RECV, 1, 0, 0);
}

static void polled_by_another(struct pair *p)
{
	take(p, A_BG, POLL, POLLIN, 1000, 0);
	pause_ms(30);
	take(p, B, SEND, 5, 0, 0);
	take(p, A, JOIN, 0, 0, 0);
	take(p, A_BG, RECV, 2, 0, 0);
	take(p, A, JOIN, 0, 0, 0);
	take(p, A, RECV, 10, 0, 0);
}

/* One thread waits in poll, another takes the data first. */
static void poll_and_recv(struct pair *p)
{
	struct taker t = {p->a.fd, 0};
	pthread_t th;
	int i;

	pthread_create(&th, NULL, takes_some, &t);
	for (i = 0; i < 20; i++) {
		(void)do_step(p, A, POLL, POLLIN, 3, 0);
		do_step(p, B, SEND, 10, 0, 0);
	}
	take(p, B, SHUT, SHUT_WR, 0, 0);
	pthread_join(th, NULL);
	rec("got %ld", t.got);
}

static void fork_with_threads(struct pair *p)
{
	struct taker t = {p->a.fd, 0};
	pthread_t th;
	int pid, st;

	pthread_create(&th, NULL, takes_some, &t);
	pause_ms(40);
	pid = fork();
	if (!pid) {
		_exit(send(p->a.fd, "child", 5, 0) == 5 ? 7 : 1);
	}
	waitpid(pid, &st, 0);
	rec("child %x", st);
	rec_ret("B", do_step(p, B, RECV, 10, MSG_TRUNC, 0).ret);
	take(p, B, SEND, 5, 0, 0);
	take(p, B, SHUT, SHUT_WR, 0, 0);
	pthread_join(th, NULL);
	rec("got %ld", t.got);
}

/* Threads that come and go, each with a message. */
static void *one_message(void *arg)
{
	struct taker *t = arg;
	char b[4];

	t->got += send(t->fd, "abcd", 4, 0) == 4 && recv(t->fd, b, 4, MSG_WAITALL) == 4;
	return NULL;
}

static void short_threads(struct pair *p)
{
	struct taker t = {p->a.fd, 0};
	pthread_t th;
	int i;

	for (i = 0; i < 50; i++) {
		do_step(p, B, SEND, 4, 0, 0);
		pthread_create(&th, NULL, one_message, &t);
		pthread_join(th, NULL);
		do_step(p, B, RECV, 4, MSG_WAITALL, 0);
	}
	rec("%ld of 50", t.got);
}

static void errno_kept(struct pair *p)
{
	char c;

	errno = 1234;
	(void)!send(p->a.fd, "abc", 3, 0);
	rec("errno after send %d", errno);
	do_step(p, B, SEND, 3, 0, 0);
	(void)!recv(p->a.fd, &c, 1, 0);
	rec("errno after recv %d", errno);
	(void)!read(p->a.fd, &c, 1);
	rec("errno after read %d", errno);
	(void)poll(&(struct pollfd){.fd = p->a.fd, .events = POLLIN}, 1, 0);
	rec("errno after poll %d", errno);
	(void)shutdown(p->a.fd, SHUT_WR);
	rec("errno after shutdown %d", errno);
	(void)close(p->a.fd);
	rec("errno after close %d", errno);
}

const struct conform_case thread_cases[] = {
	{"EINTR, receiving", ALL, NULL, eintr_recv},
	{"EINTR, part received", ALL, NULL, eintr_partial},
	{"EINTR, sending", ALL, NULL, eintr_send},
	{"EINTR, part sent", ALL, NULL, eintr_partial_send},
	{"EINTR, waiting", ALL, NULL, eintr_wait},
	{"SA_RESTART, receiving", ALL, NULL, restart_recv},
	{"SA_RESTART, sending", ALL, NULL, restart_send},
	{"SA_RESTART, with a timeout", ALL, NULL, timeout_recv},
	{"ignored signals", ALL, NULL, ignored_signal},
	{"masks", ALL, NULL, masks},
	{"a handler writes", ALL, NULL, handler_writes},
	{"a handler reads", ALL, NULL, handler_reads},
	{"storm", OTHER, NULL, storm_eintr},
	{"storm, SA_RESTART", OTHER, NULL, storm_restart},
	{"stopped and continued", OTHER, NULL, stopped},
	{"SIGIO", ALL, NULL, sigio},
	{"cancelled", ALL, NULL, cancel},
	{"many readers", ALL, NULL, many_readers},
	{"many writers", SELF, NULL, many_writers},
	{"full duplex", ALL, NULL, full_duplex},
	{"one of two waits", ALL, NULL, one_of_two},
	{"one edge, two wait", ALL, NULL, one_edge_of_two},
	{"closed by another thread", ALL, NULL, closed_by_another},
	{"closed by another thread, copied", ALL, NULL, closed_and_copied},
	{"closed by another thread, cancelled", ALL, NULL, closed_then_cancelled},
	{"polled by another thread", ALL, NULL, polled_by_another},
	{"poll and recv", ALL, NULL, poll_and_recv},
	{"fork with threads", ALL, NULL, fork_with_threads},
	{"short threads", ALL, NULL, short_threads},
	{"errno is left alone", ALL, NULL, errno_kept},
	{0},
};
