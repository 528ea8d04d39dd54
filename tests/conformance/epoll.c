/* SPDX-License-Identifier: BSD-2-Clause */
/* epoll.c - epoll: level, edge, one shot; several instances, descriptors, threads */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>
#include "conform.h"

#define IN	EPOLLIN
#define OUT	EPOLLOUT
#define RDH	EPOLLRDHUP
#define ET	(long)EPOLLET
#define ONE	(long)EPOLLONESHOT
#define EXCL	(long)EPOLLEXCLUSIVE
#define WAITMS	1000
#define NOTHING 20

static int by_data(const void *x, const void *y)
{
	const struct epoll_event *a = x, *b = y;

	return (a->data.u64 > b->data.u64) - (a->data.u64 < b->data.u64);
}

static void wait_and_rec(int ep, const char *what, int ms)
{
	struct epoll_event ev[8];
	char buf[80];
	int n = epoll_wait(ep, ev, 8, ms), i;

	rec_sys(what, n);
	if (n > 1)
		qsort(ev, (size_t)n, sizeof(ev[0]), by_data); /* any order is right */
	for (i = 0; i < n; i++)
		rec("  %llx %s", (unsigned long long)ev[i].data.u64,
		    events_text(ev[i].events, buf));
}

static void add(int ep, int fd, uint32_t events, uint64_t data)
{
	struct epoll_event ev = {.events = events, .data.u64 = data};

	rec_sys("add", epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev));
}

/* Other kinds of descriptors in the same instance are seen beside it. */
static void mixed(struct pair *p)
{
	int ep = epoll_create1(0), pipes[2], efd = eventfd(0, EFD_NONBLOCK);
	uint64_t one = 1;

	if (pipe(pipes))
		abort();
	add(ep, p->a.fd, IN, 1);
	add(ep, pipes[0], IN, 2);
	add(ep, efd, IN, 3);
	wait_and_rec(ep, "nothing", 0);
	if (write(pipes[1], "x", 1) != 1)
		abort();
	wait_and_rec(ep, "pipe", WAITMS);
	take(p, B, SEND, 10, 0, 0);
	take(p, A, UNREAD, 10, 0, 0);
	if (read(pipes[0], &one, 1) != 1)
		abort();
	wait_and_rec(ep, "socket", WAITMS);
	take(p, A, RECV, 10, 0, 0);
	one = 1;
	if (write(efd, &one, 8) != 8)
		abort();
	wait_and_rec(ep, "eventfd", WAITMS);
}

/* The data may be anything, and is given back as it was. */
static void data_word(struct pair *p)
{
	static const uint64_t words[] = {0, UINT64_MAX, 0x8000000000000000u, 1, 0xffffffff};
	struct epoll_event ev = {.events = IN};
	int ep = epoll_create1(0);
	size_t i;

	add(ep, p->a.fd, IN, 5);
	take(p, B, SEND, 1, 0, 0);
	wait_and_rec(ep, "first", WAITMS);
	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		ev.data.u64 = words[i];
		rec_sys("mod", epoll_ctl(ep, EPOLL_CTL_MOD, p->a.fd, &ev));
		wait_and_rec(ep, "wait", WAITMS);
	}
}

static void errors(struct pair *p)
{
	struct epoll_event ev = {.events = IN}, got[2];
	int ep = epoll_create1(0), other = epoll_create1(0), gone = dup(0);
	volatile int negative = -1;

	close(gone);
	rec_sys("mod before add", epoll_ctl(ep, EPOLL_CTL_MOD, p->a.fd, &ev));
	rec_sys("del before add", epoll_ctl(ep, EPOLL_CTL_DEL, p->a.fd, &ev));
	rec_sys("add", epoll_ctl(ep, EPOLL_CTL_ADD, p->a.fd, &ev));
	rec_sys("add again", epoll_ctl(ep, EPOLL_CTL_ADD, p->a.fd, &ev));
	rec_sys("unknown op", epoll_ctl(ep, 77, p->a.fd, &ev));
	rec_sys("add without event", epoll_ctl(other, EPOLL_CTL_ADD, p->a.fd, NULL));
	rec_sys("not an instance", epoll_ctl(p->a.fd, EPOLL_CTL_ADD, ep, &ev));
	rec_sys("wait on a socket", epoll_wait(p->a.fd, got, 2, 0));
	rec_sys("no room", epoll_wait(ep, got, 0, 0));
	rec_sys("negative room", epoll_wait(ep, got, negative, 0));
	rec_sys("closed instance", epoll_wait(gone, got, 1, 0));
	rec_sys("closed descriptor", epoll_ctl(ep, EPOLL_CTL_ADD, gone, &ev));
	rec_sys("itself", epoll_ctl(ep, EPOLL_CTL_ADD, ep, &ev));
	rec_sys("del without event", epoll_ctl(ep, EPOLL_CTL_DEL, p->a.fd, NULL));
	rec_sys("del again", epoll_ctl(ep, EPOLL_CTL_DEL, p->a.fd, NULL));
	ev.events = IN | EPOLLEXCLUSIVE;
	rec_sys("add exclusive", epoll_ctl(ep, EPOLL_CTL_ADD, p->a.fd, &ev));
	rec_sys("mod exclusive", epoll_ctl(ep, EPOLL_CTL_MOD, p->a.fd, &ev));
	ev.events = IN;
	rec_sys("mod away", epoll_ctl(ep, EPOLL_CTL_MOD, p->a.fd, &ev));
	take(p, B, SEND, 1, 0, 0);
	take(p, A, RECV, 1, 0, 0);
}

/* More ready than fit: all come up in turn. */
static void fairness(struct pair *p)
{
	int ep = epoll_create1(0), fd[3][2], i, seen[4] = {0};
	struct epoll_event ev;
	long until;
	char c;

	add(ep, p->a.fd, IN, 0);
	for (i = 0; i < 3; i++) {
		pair_fds(fd[i]);
		warm_fds(fd[i][0], fd[i][1]);
		add(ep, fd[i][0], IN, (uint64_t)i + 1);
		rec_sys("send", send(fd[i][1], "x", 1, 0));
		rec_sys("peek", recv(fd[i][0], &c, 1, MSG_PEEK));
	}
	take(p, B, SEND, 1, 0, 0);
	take(p, A, UNREAD, 1, 0, 0);
	until = now_ms() + WAITMS;
	while (now_ms() < until && !(seen[0] && seen[1] && seen[2] && seen[3]))
		if (epoll_wait(ep, &ev, 1, WAITMS) == 1 && ev.data.u64 < 4)
			seen[ev.data.u64] = 1;
	rec("seen %d %d %d %d", seen[0], seen[1], seen[2], seen[3]);
}

static void dup_registered(struct pair *p)
{
	int ep = epoll_create1(0), copy = dup(p->a.fd);

	add(ep, p->a.fd, IN, 1);
	add(ep, copy, IN, 2);
	take(p, B, SEND, 1, 0, 0);
	take(p, A, UNREAD, 1, 0, 0);
	wait_and_rec(ep, "both", WAITMS);
	rec_sys("del the copy", epoll_ctl(ep, EPOLL_CTL_DEL, copy, NULL));
	wait_and_rec(ep, "one", WAITMS);
	close(copy);
	wait_and_rec(ep, "one", WAITMS);
	take(p, A, RECV, 1, 0, 0);
	wait_and_rec(ep, "none", 0);
}

/* A registration lives as long as the file, not as the number. */
static void dup_outlives(struct pair *p)
{
	int ep = epoll_create1(0), copy = dup(p->a.fd);
	char c;

	add(ep, p->a.fd, IN, 1);
	rec_sys("close", close(p->a.fd));
	take(p, B, SEND, 1, 0, 0);
	wait_and_rec(ep, "still there", WAITMS);
	rec_sys("recv by the copy", recv(copy, &c, 1, 0));
	wait_and_rec(ep, "none", NOTHING);
	rec_sys("close", close(copy));
	wait_and_rec(ep, "gone", NOTHING);
	take(p, B, RECV, 1, 0, 0);
}

static void number_reused(struct pair *p)
{
	int ep = epoll_create1(0), number = p->a.fd, pipes[2], old;

	add(ep, number, IN, 1);
	take(p, B, SEND, 1, 0, 0);
	take(p, A, UNREAD, 1, 0, 0);
	rec_sys("close", close(number));
	if (pipe(pipes))
		abort();
	old = dup2(pipes[0], number);
	rec("same number %d", old == number);
	wait_and_rec(ep, "none", NOTHING);
	add(ep, number, IN, 2);
	if (write(pipes[1], "x", 1) != 1)
		abort();
	wait_and_rec(ep, "the pipe", WAITMS);
}

static void *reads(void *arg)
{
	struct pair *p = arg;

	pause_ms(40);
	do_step(p, B, SEND, 10, 0, 0);
	return NULL;
}

static void thread_wakes(struct pair *p)
{
	int ep = epoll_create1(0);
	pthread_t t;

	add(ep, p->a.fd, IN, 1);
	pthread_create(&t, NULL, reads, p);
	wait_and_rec(ep, "woken", WAITMS);
	pthread_join(t, NULL);
	take(p, A, RECV, 10, 0, 0);
}

struct adder {
	int ep, fd;
};

static void *adds(void *arg)
{
	struct adder *a = arg;
	struct epoll_event ev = {.events = IN, .data.u64 = 7};

	pause_ms(40);
	epoll_ctl(a->ep, EPOLL_CTL_ADD, a->fd, &ev);
	return NULL;
}

/* Another thread adds a socket that is ready already, while this one waits. */
static void added_while_waiting(struct pair *p)
{
	struct adder a = {epoll_create1(0), p->a.fd};
	pthread_t t;

	take(p, B, SEND, 10, 0, 0);
	take(p, A, UNREAD, 10, 0, 0);
	pthread_create(&t, NULL, adds, &a);
	wait_and_rec(a.ep, "woken", WAITMS);
	pthread_join(t, NULL);
	take(p, A, RECV, 10, 0, 0);
}

static void in_poll(struct pair *p)
{
	int ep = epoll_create1(0);
	struct pollfd f = {.fd = ep, .events = POLLIN};

	add(ep, p->a.fd, IN, 1);
	rec_sys("poll, nothing", poll(&f, 1, NOTHING));
	take(p, B, SEND, 10, 0, 0);
	rec_sys("poll, data", poll(&f, 1, WAITMS));
	rec("revents %x", (unsigned)f.revents);
	rec_sys("poll, still", poll(&f, 1, 0));
	take(p, A, RECV, 10, 0, 0);
	rec_sys("poll, nothing", poll(&f, 1, NOTHING));
	take(p, B, SEND, 10, 0, 0);
	rec_sys("poll, data", poll(&f, 1, WAITMS));
	wait_and_rec(ep, "wait", 0);
}

static void timeouts(struct pair *p)
{
	int ep = epoll_create1(0);
	struct timespec ts = {0, 50000000};
	struct epoll_event ev;
	long t;

	add(ep, p->a.fd, IN, 1);
	t = now_ms();
	rec_sys("wait 50 ms", epoll_wait(ep, &ev, 1, 50));
	t = now_ms() - t;
	rec("as long %d", t >= 49 && t < 500);
	t = now_ms();
	rec_sys("pwait 50 ms", epoll_pwait(ep, &ev, 1, 50, NULL));
	t = now_ms() - t;
	rec("as long %d", t >= 49 && t < 500);
	t = now_ms();
	rec_sys("pwait2 50 ms", epoll_pwait2(ep, &ev, 1, &ts, NULL));
	t = now_ms() - t;
	rec("as long %d", t >= 49 && t < 500);
}

const struct conform_case epoll_cases[] = {
	{"level", ALL,
	 STEPS({A, EPADD, IN}, {A, EPWAIT, NOTHING}, {B, SEND, 10}, {A, EPWAIT, WAITMS},
	       {A, EPWAIT, 0}, {A, RECV, 4}, {A, EPWAIT, 0}, {A, RECV, 10}, {A, EPWAIT, NOTHING},
	       {B, SEND, 1}, {A, EPWAIT, WAITMS}),
	 0},
	{"level, registered before the warm-up", ALL,
	 STEPS({A, EPADD, IN}, {A, WARM}, {A, EPWAIT, NOTHING}, {B, SEND, 10}, {A, EPWAIT, WAITMS},
	       {A, EPWAIT, 0}, {A, RECV, 10}, {A, EPWAIT, NOTHING}, {B, SEND, 1},
	       {A, EPWAIT, WAITMS}),
	 0},
	{"level, woken", ALL,
	 STEPS({A, EPADD, IN}, {A_BG, EPWAIT, WAITMS}, {A, SLEEP, 30}, {B, SEND, 10}, {A, JOIN},
	       {A, RECV, 10}, {A_BG, EPWAIT, WAITMS}, {A, SLEEP, 30}, {B, SEND, 10}, {A, JOIN},
	       {A, RECV, 10}),
	 0},
	{"edge", ALL,
	 STEPS({A, EPADD, IN | ET}, {A, EPWAIT, NOTHING}, {B, SEND, 10}, {A, EPWAIT, WAITMS},
	       {A, EPWAIT, NOTHING}, {B, SEND, 10}, {A, EPWAIT, WAITMS}, {A, EPWAIT, NOTHING},
	       {A, RECV, 100}, {A, EPWAIT, NOTHING}, {B, SEND, 1}, {A, EPWAIT, WAITMS}),
	 0},
	{"edge, registered before the warm-up", ALL,
	 STEPS({A, EPADD, IN | ET}, {A, WARM}, {A, EPWAIT, NOTHING}, {A, EPWAIT, NOTHING},
	       {B, SEND, 10}, {A, EPWAIT, WAITMS}, {A, EPWAIT, NOTHING}, {A, RECV, 100},
	       {B, SEND, 1}, {A, EPWAIT, WAITMS}),
	 0},
	{"edge, data there before", ALL,
	 STEPS({B, SEND, 10}, {A, UNREAD, 10}, {A, EPADD, IN | ET}, {A, EPWAIT, WAITMS},
	       {A, EPWAIT, NOTHING}),
	 0},
	{"edge, partial read makes none", ALL,
	 STEPS({A, EPADD, IN | ET}, {B, SEND, 10}, {A, EPWAIT, WAITMS}, {A, RECV, 4},
	       {A, EPWAIT, NOTHING}, {A, RECV, 10}, {A, EPWAIT, NOTHING}),
	 0},
	{"edge, woken", ALL,
	 STEPS({A, EPADD, IN | ET}, {A_BG, EPWAIT, WAITMS}, {A, SLEEP, 30}, {B, SEND, 10},
	       {A, JOIN}, {A_BG, EPWAIT, WAITMS}, {A, SLEEP, 30}, {B, SEND, 10}, {A, JOIN},
	       {A, RECV, 100}),
	 0},
	{"edge, modified: told again", ALL,
	 STEPS({A, EPADD, IN | ET}, {B, SEND, 10}, {A, EPWAIT, WAITMS}, {A, EPWAIT, NOTHING},
	       {A, EPMOD, IN | ET}, {A, EPWAIT, WAITMS}, {A, EPWAIT, NOTHING}),
	 0},
	{"edge out", ALL,
	 STEPS({A, EPADD, OUT | ET}, {A, EPWAIT, WAITMS}, {A, EPWAIT, NOTHING}, {A, FILL},
	       {A, EPWAIT, NOTHING, .chaos = "1 OUT"}, {B, TAKEFILL},
	       {A, EPWAIT, WAITMS, .chaos = "0"}, {A, SEND, 1}),
	 0},
	{"edge out, woken", ALL,
	 STEPS({A, EPADD, OUT | ET}, {A, EPWAIT, WAITMS}, {A, FILL}, {A_BG, EPWAIT, WAITMS},
	       {A, SLEEP, 30}, {B, TAKEFILL}, {A, JOIN}, {A, FILL}),
	 0},
	{"edge in and out", ALL,
	 STEPS({A, EPADD, IN | OUT | ET}, {A, EPWAIT, WAITMS}, {A, EPWAIT, NOTHING}, {B, SEND, 10},
	       {A, UNREAD, 10}, {A, EPWAIT, WAITMS}, {A, EPWAIT, NOTHING}),
	 0},
	{"edge, half-close", ALL,
	 STEPS({A, EPADD, IN | RDH | ET}, {B, SHUT, SHUT_WR}, {A, EPWAIT, WAITMS},
	       {A, EPWAIT, NOTHING}, {A, RECV, 1}, {A, EPWAIT, NOTHING}),
	 0},
	{"edge, data then close", ALL,
	 STEPS({A, EPADD, IN | RDH | ET}, {B, SEND, 10}, {A, EPWAIT, WAITMS}, {B, CLOSE},
	       {A, SLEEP, 10}, {A, EPWAIT, WAITMS}, {A, EPWAIT, NOTHING}, {A, RECV, 100},
	       {A, RECV, 100}),
	 0},
	{"one shot", ALL,
	 STEPS({A, EPADD, IN | ONE}, {B, SEND, 10}, {A, EPWAIT, WAITMS}, {A, EPWAIT, NOTHING},
	       {B, SEND, 10}, {A, EPWAIT, NOTHING}, {A, EPMOD, IN | ONE}, {A, EPWAIT, WAITMS},
	       {A, RECV, 100}, {A, EPMOD, IN | ONE}, {A, EPWAIT, NOTHING}, {B, SEND, 1},
	       {A, EPWAIT, WAITMS}, {A, EPWAIT, NOTHING}),
	 0},
	{"one shot, woken", ALL,
	 STEPS({A, EPADD, IN | ONE}, {A_BG, EPWAIT, WAITMS}, {A, SLEEP, 30}, {B, SEND, 10},
	       {A, JOIN}, {A, EPWAIT, NOTHING}),
	 0},
	{"one shot edge", ALL,
	 STEPS({A, EPADD, IN | ONE | ET}, {B, SEND, 10}, {A, EPWAIT, WAITMS}, {B, SEND, 10},
	       {A, EPWAIT, NOTHING}, {A, EPMOD, IN | ONE | ET}, {A, EPWAIT, WAITMS}),
	 0},
	{"one shot out", ALL,
	 STEPS({A, EPADD, OUT | ONE}, {A, EPWAIT, WAITMS}, {A, EPWAIT, NOTHING},
	       {A, EPMOD, OUT | ONE}, {A, EPWAIT, WAITMS}),
	 0},
	{"one shot used up, peer closes", ALL,
	 STEPS({A, EPADD, IN | ONE}, {B, SEND, 1}, {A, EPWAIT, WAITMS}, {B, LINGER, 0}, {B, CLOSE},
	       {A, EPWAIT, NOTHING}),
	 0},
	{"exclusive", ALL,
	 STEPS({A, EPADD, IN | EXCL}, {A, EPWAIT, NOTHING}, {B, SEND, 10}, {A, EPWAIT, WAITMS},
	       {A, RECV, 10}, {A, EPWAIT, NOTHING}),
	 0},
	{"out", ALL,
	 STEPS({A, EPADD, OUT}, {A, EPWAIT, WAITMS}, {A, EPWAIT, WAITMS}, {A, EPMOD, IN},
	       {A, EPWAIT, NOTHING}),
	 0},
	{"out, full and drained", ALL,
	 STEPS({A, EPADD, OUT}, {A, FILL}, {A, EPWAIT, NOTHING, .chaos = "1 OUT"}, {B, TAKEFILL},
	       {A, EPWAIT, WAITMS}, {A, FILL}, {A, EPWAIT, NOTHING, 0, 0, "0|1 OUT"}, {B, TAKEFILL},
	       {A, EPWAIT, WAITMS}),
	 0},
	{"out, woken", ALL,
	 STEPS({A, EPADD, OUT}, {A, FILL}, {A_BG, EPWAIT, WAITMS}, {A, SLEEP, 30}, {B, TAKEFILL},
	       {A, JOIN}),
	 0},
	{"in and out", ALL,
	 STEPS({A, EPADD, IN | OUT}, {A, EPWAIT, WAITMS}, {B, SEND, 10}, {A, UNREAD, 10},
	       {A, EPWAIT, WAITMS}, {A, FILL}, {A, EPWAIT, WAITMS, .chaos = "1 IN|OUT"},
	       {A, RECV, 10}, {A, EPWAIT, NOTHING, .chaos = "1 OUT"}),
	 0},
	{"half-close", ALL,
	 STEPS({A, EPADD, IN | OUT | RDH}, {B, SHUT, SHUT_WR}, {A, POLL, POLLRDHUP, WAITMS},
	       {A, EPWAIT, WAITMS}, {A, RECV, 1}, {A, EPWAIT, WAITMS}),
	 0},
	{"half-close without RDHUP", ALL,
	 STEPS({A, EPADD, IN}, {B, SHUT, SHUT_WR}, {A, EPWAIT, WAITMS}, {A, EPWAIT, 0}), 0},
	{"RDHUP only", ALL,
	 STEPS({A, EPADD, RDH}, {B, SEND, 10}, {A, EPWAIT, NOTHING}, {B, SHUT, SHUT_WR},
	       {A, EPWAIT, WAITMS}, {A, RECV, 100}),
	 0},
	{"woken by half-close", ALL,
	 STEPS({A, EPADD, IN | RDH}, {A_BG, EPWAIT, WAITMS}, {A, SLEEP, 30}, {B, SHUT, SHUT_WR},
	       {A, JOIN}),
	 0},
	{"woken by close", ALL,
	 STEPS({A, EPADD, IN | RDH}, {A_BG, EPWAIT, WAITMS}, {A, SLEEP, 30}, {B, CLOSE}, {A, JOIN},
	       {A, RECV, 1}),
	 0},
	{"no events asked, reset", ALL,
	 STEPS({A, EPADD, 0}, {B, SEND, 1}, {A, EPWAIT, NOTHING}, {B, LINGER, 0}, {B, CLOSE},
	       {A, EPWAIT, WAITMS}),
	 0},
	{"reset", ALL,
	 STEPS({A, EPADD, IN | OUT | RDH}, {B, LINGER, 0}, {B, CLOSE}, {A, SLEEP, 20},
	       {A, EPWAIT, WAITMS}, {A, RECV, 1}, {A, EPWAIT, WAITMS}),
	 0},
	{"woken by reset", ALL,
	 STEPS({A, EPADD, IN}, {A_BG, EPWAIT, WAITMS}, {A, SLEEP, 30}, {B, LINGER, 0}, {B, CLOSE},
	       {A, JOIN}),
	 0},
	{"edge, reset", ALL,
	 STEPS({A, EPADD, IN | OUT | ET}, {A, EPWAIT, WAITMS}, {B, LINGER, 0}, {B, CLOSE},
	       {A, EPWAIT, WAITMS}, {A, EPWAIT, NOTHING}),
	 0},
	{"both half-closed", ALL,
	 STEPS({A, EPADD, IN | OUT | RDH}, {A, SHUT, SHUT_WR}, {B, SHUT, SHUT_WR},
	       {A, POLL, POLLRDHUP, WAITMS}, {A, SLEEP, 10}, {A, EPWAIT, WAITMS}),
	 0},
	{"own half-close", ALL,
	 STEPS({A, EPADD, IN | OUT | RDH}, {A, SHUT, SHUT_WR}, {A, EPWAIT, WAITMS}), 0},
	{"own shutdown of reading", ALL,
	 STEPS({A, EPADD, IN | RDH}, {A, SHUT, SHUT_RD}, {A, EPWAIT, WAITMS}), 0},
	{"killed", OTHER,
	 STEPS({A, EPADD, IN | RDH}, {A_BG, EPWAIT, WAITMS}, {A, SLEEP, 30}, {B, KILL}, {A, JOIN},
	       {A, RECV, 1}),
	 0},
	{"killed with unread data", OTHER,
	 STEPS({A, EPADD, IN | RDH}, {A, SEND, 5}, {B, UNREAD, 5}, {B, KILL}, {A, SLEEP, 20},
	       {A, EPWAIT, WAITMS}, {A, RECV, 1}),
	 0},
	{"modified from out to in", ALL,
	 STEPS({A, EPADD, OUT}, {A, EPWAIT, WAITMS}, {A, EPMOD, IN}, {A, EPWAIT, NOTHING},
	       {B, SEND, 1}, {A, EPWAIT, WAITMS}, {A, EPMOD, IN | OUT}, {A, EPWAIT, WAITMS},
	       {A, EPMOD, 0}, {A, EPWAIT, NOTHING}, {A, EPMOD, IN}, {A, EPWAIT, WAITMS}),
	 0},
	{"deleted", ALL,
	 STEPS({A, EPADD, IN}, {B, SEND, 1}, {A, EPWAIT, WAITMS}, {A, EPDEL, 0},
	       {A, EPWAIT, NOTHING}, {A, EPDEL, 0}, {A, EPADD, IN}, {A, EPWAIT, WAITMS}),
	 0},
	{"closed while registered", ALL,
	 STEPS({A, EPADD, IN}, {B, SEND, 1}, {A, EPWAIT, WAITMS}, {A, CLOSE}, {A, EPWAIT, NOTHING},
	       {B, RECV, 1}),
	 0},
	{"two instances", ALL,
	 STEPS({A, EPADD, IN, 0}, {A, EPADD, IN, 1}, {B, SEND, 1}, {A, EPWAIT, WAITMS, 0},
	       {A, EPWAIT, WAITMS, 1}, {A, RECV, 1}, {A, EPWAIT, NOTHING, 0},
	       {A, EPWAIT, NOTHING, 1}),
	 0},
	{"two instances, edge", ALL,
	 STEPS({A, EPADD, IN | ET, 0}, {A, EPADD, IN | ET, 1}, {B, SEND, 1}, {A, EPWAIT, WAITMS, 0},
	       {A, EPWAIT, WAITMS, 1}, {A, EPWAIT, NOTHING, 0}, {A, EPWAIT, NOTHING, 1},
	       {B, SEND, 1}, {A, EPWAIT, WAITMS, 1}, {A, EPWAIT, WAITMS, 0}),
	 0},
	{"two instances, one waits", ALL,
	 STEPS({A, EPADD, IN, 0}, {A, EPADD, IN, 1}, {A_BG, EPWAIT, WAITMS, 0}, {A, SLEEP, 20},
	       {A, EPWAIT, NOTHING, 1}, {B, SEND, 1}, {A, JOIN}, {A, EPWAIT, WAITMS, 1}),
	 0},
	{"two instances, level and edge", ALL,
	 STEPS({A, EPADD, IN, 0}, {A, EPADD, IN | ET, 1}, {B, SEND, 10}, {A, EPWAIT, WAITMS, 0},
	       {A, EPWAIT, WAITMS, 1}, {A, EPWAIT, 0, 0}, {A, EPWAIT, NOTHING, 1}, {A, RECV, 5},
	       {A, EPWAIT, 0, 0}, {A, EPWAIT, NOTHING, 1}),
	 0},
	{"instance closed", ALL,
	 STEPS({A, EPADD, IN, 0}, {A, EPADD, IN, 1}, {A, EPCLOSE, 0, 0}, {B, SEND, 1},
	       {A, EPWAIT, WAITMS, 1}, {A, EPADD, IN, 0}, {A, EPWAIT, WAITMS, 0}),
	 0},
	{"nested", ALL,
	 STEPS({A, EPADD, IN, 0}, {A, EPNEST, IN, 0}, {A, EPWAIT, NOTHING, 3}, {B, SEND, 1},
	       {A, EPWAIT, WAITMS, 3}, {A, EPWAIT, 0, 3}, {A, EPWAIT, 0, 0}, {A, RECV, 1},
	       {A, EPWAIT, NOTHING, 3}, {B, SEND, 1}, {A, EPWAIT, WAITMS, 3}),
	 0},
	{"nested, woken", ALL,
	 STEPS({A, EPADD, IN, 0}, {A, EPNEST, IN, 0}, {A_BG, EPWAIT, WAITMS, 3}, {A, SLEEP, 30},
	       {B, SEND, 1}, {A, JOIN}, {A, EPWAIT, 0, 0}),
	 0},
	{"nested, edge inside", ALL,
	 STEPS({A, EPADD, IN | ET, 0}, {A, EPNEST, IN, 0}, {B, SEND, 1}, {A, EPWAIT, WAITMS, 3},
	       {A, EPWAIT, WAITMS, 0}, {A, EPWAIT, NOTHING, 3}, {B, SEND, 1},
	       {A, EPWAIT, WAITMS, 3}),
	 0},
	{"nested, edge outside", ALL,
	 STEPS({A, EPADD, IN, 0}, {A, EPNEST, IN | ET, 0}, {B, SEND, 1}, {A, EPWAIT, WAITMS, 3},
	       {A, EPWAIT, NOTHING, 3}, {B, SEND, 1}, {A, EPWAIT, WAITMS, 3}),
	 0},
	{"inside poll", ALL, NULL, in_poll},
	{"beside others", ALL, NULL, mixed},
	{"data words", ALL, NULL, data_word},
	{"errors", ALL, NULL, errors},
	{"all come up in turn", ALL, NULL, fairness},
	{"a copy registered, too", ALL, NULL, dup_registered},
	{"a copy outlives the number", ALL, NULL, dup_outlives},
	{"the number is used again", ALL, NULL, number_reused},
	{"a thread waits", OTHER, NULL, thread_wakes},
	{"added while waiting", ALL, NULL, added_while_waiting},
	{"timeouts", ALL, NULL, timeouts},
	{0},
};
