/* SPDX-License-Identifier: BSD-2-Clause */
/* ends.c - how connections end: half-close, close, linger, reset, death */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "conform.h"

#define POLLALL (POLLIN | POLLOUT | POLLRDHUP | POLLPRI)

/* SIGPIPE with its default action ends a process. */
static void sigpipe_kills(struct pair *p)
{
	int pid, st;

	take(p, B, CLOSE, 0, 0, 0);
	pause_ms(20);
	take(p, A, SEND, 1, MSG_NOSIGNAL, 0);
	pause_ms(20);
	pid = fork();
	if (!pid) {
		signal(SIGPIPE, SIG_DFL);
		_exit(write(p->a.fd, "x", 1) == 1 ? 1 : 2);
	}
	waitpid(pid, &st, 0);
	rec("status %x", st);
}

static void sigpipe_ignored(struct pair *p)
{
	signal(SIGPIPE, SIG_IGN);
	take(p, B, CLOSE, 0, 0, 0);
	pause_ms(20);
	rec_sys("write", write(p->a.fd, "x", 1));
	pause_ms(20);
	rec_sys("write", write(p->a.fd, "x", 1));
	rec_sys("write", write(p->a.fd, "x", 1));
	rec_sys("send", send(p->a.fd, "x", 1, 0));
}

static void sigpipe_blocked(struct pair *p)
{
	sigset_t set, got;

	sigemptyset(&set);
	sigaddset(&set, SIGPIPE);
	sigprocmask(SIG_BLOCK, &set, NULL);
	take(p, A, SHUT, SHUT_WR, 0, 0);
	rec_sys("write", write(p->a.fd, "x", 1));
	sigpending(&got);
	rec("pending %d", sigismember(&got, SIGPIPE));
}

const struct conform_case end_cases[] = {
	{"close, then read", ALL, STEPS({B, CLOSE}, {A, RECV, 10}, {A, RECV, 10}, {A, READ, 10}),
	 0},
	{"data, close, then read", ALL,
	 STEPS({B, SEND, 100}, {B, CLOSE}, {A, RECV, 60}, {A, RECV, 60}, {A, RECV, 60},
	       {A, RECV, 60}),
	 0},
	{"much data, close, then read", ALL, STEPS({B, FILL}, {B, CLOSE}, {A, TOEND}), 0},
	{"close wakes a reader", ALL,
	 STEPS({A_BG, RECV, 10}, {A, SLEEP, 30}, {B, CLOSE}, {A, JOIN}, {A, RECV, 1}), 0},
	{"close, then write", ALL,
	 STEPS({B, CLOSE}, {A, SLEEP, 20}, {A, SEND, 10}, {A, SLEEP, 20}, {A, SEND, 10},
	       {A, SEND, 10}, {A, RECV, 10}),
	 0},
	{"close, write, read", ALL,
	 STEPS({B, CLOSE}, {A, SLEEP, 20}, {A, SEND, 10}, {A, SLEEP, 20}, {A, RECV, 10},
	       {A, RECV, 10}),
	 0},
	{"close, then write without signal", ALL,
	 STEPS({B, CLOSE}, {A, SLEEP, 20}, {A, SEND, 10, MSG_NOSIGNAL}, {A, SLEEP, 20},
	       {A, SEND, 10, MSG_NOSIGNAL}, {A, SENDMSG, 10, MSG_NOSIGNAL, 1},
	       {A, SENDMSG, 10, 0, 1}),
	 0},
	{"close, EOF seen, then write", ALL,
	 STEPS({B, CLOSE}, {A, RECV, 10}, {A, SEND, 10}, {A, SLEEP, 20}, {A, SEND, 10},
	       {A, RECV, 10}),
	 0},
	{"half-close", ALL,
	 STEPS({A, SEND, 10}, {A, SHUT, SHUT_WR}, {B, RECV, 100}, {B, RECV, 100}, {B, SEND, 20},
	       {A, RECV, 100}, {B, SEND, 30}, {A, RECV, 100}, {B, CLOSE}, {A, RECV, 100}),
	 0},
	{"half-close, much comes back", ALL,
	 STEPS({A, SHUT, SHUT_WR}, {B, RECV, 1}, {B_BG, SEND, 3000000}, {A, RECVALL, 3000000},
	       {B, JOIN}, {B, CLOSE}, {A, RECV, 1}),
	 0},
	{"half-close after much", ALL,
	 STEPS({A, FILL}, {A, SHUT, SHUT_WR}, {B, TOEND}, {B, SEND, 5}, {A, RECV, 5}), 0},
	{"half-close, both in turn", ALL,
	 STEPS({A, SHUT, SHUT_WR}, {B, RECV, 1}, {B, SHUT, SHUT_WR}, {A, RECV, 1}, {A, SEND, 1},
	       {B, SEND, 1}, {A, CLOSE}, {B, CLOSE}),
	 0},
	{"half-close, both at once", ALL,
	 STEPS({A, SEND, 5}, {B, SEND, 6}, {A, SHUT, SHUT_WR}, {B, SHUT, SHUT_WR}, {A, RECV, 10},
	       {A, RECV, 10}, {B, RECV, 10}, {B, RECV, 10}),
	 0},
	{"half-close by the far end", ALL,
	 STEPS({B, SHUT, SHUT_WR}, {A, RECV, 1}, {A, SEND, 50}, {B, RECV, 100}, {A, SEND, 50},
	       {B, RECV, 100}, {A, CLOSE}, {B, RECV, 1}),
	 0},
	{"half-close wakes a reader", ALL,
	 STEPS({B_BG, RECV, 10}, {A, SLEEP, 30}, {A, SHUT, SHUT_WR}, {B, JOIN}, {B, SEND, 4},
	       {A, RECV, 9}),
	 0},
	{"write after own half-close", ALL,
	 STEPS({A, SHUT, SHUT_WR}, {A, SEND, 1}, {A, WRITE, 1}, {A, SEND, 1, MSG_NOSIGNAL},
	       {A, SEND, 0}, {A, WRITE, 0}, {A, WRITEV, 10, 2}, {A, SENDMMSG, 1, 0, 2}),
	 0},
	{"half-close twice", ALL,
	 STEPS({A, SHUT, SHUT_WR}, {A, SHUT, SHUT_WR}, {B, RECV, 1}, {A, SHUT, SHUT_WR}), 0},
	{"shutdown of reading", ALL,
	 STEPS({A, SHUT, SHUT_RD}, {A, RECV, 10}, {A, RECV, 10, MSG_DONTWAIT}, {A, SEND, 10},
	       {B, RECV, 10}),
	 0},
	{"shutdown of reading with data there", ALL,
	 STEPS({B, SEND, 10}, {A, UNREAD, 10}, {A, SHUT, SHUT_RD}, {A, RECV, 4}, {A, RECV, 10},
	       {A, RECV, 10}),
	 0},
	{"data after shutdown of reading", ALL,
	 STEPS({A, SHUT, SHUT_RD}, {B, SEND, 10}, {A, SLEEP, 20}, {A, TOEND}, {B, SEND, 10},
	       {A, SEND, 3}, {B, RECV, 3}), /* kernels differ in whether the 10 bytes are there */
	 0},
	{"shutdown of reading wakes", ALL,
	 STEPS({A_BG, RECV, 10}, {A, SLEEP, 30}, {A, SHUT, SHUT_RD}, {A, JOIN}), 0},
	{"shutdown of both", ALL,
	 STEPS({A, SEND, 10}, {A, SHUT, SHUT_RDWR}, {A, RECV, 1}, {A, SEND, 1}, {B, RECV, 100},
	       {B, RECV, 1}, {B, SEND, 1}),
	 0},
	{"shutdown of both wakes a reader", ALL,
	 STEPS({A_BG, RECV, 10}, {A, SLEEP, 30}, {A, SHUT, SHUT_RDWR}, {A, JOIN}, {B, RECV, 1}), 0},
	{"shutdown, wrong way", ALL, STEPS({A, SHUT, 7}, {A, SHUT, -1}, {A, SEND, 1}, {B, RECV, 1}),
	 0},
	{"shutdown at the end", ALL,
	 STEPS({A, SHUT, SHUT_RDWR}, {B, SHUT, SHUT_RDWR}, {A, SLEEP, 20}, {A, SHUT, SHUT_RDWR},
	       {A, SHUT, SHUT_WR}),
	 0},
	{"close with unread data", ALL,
	 STEPS({A, SEND, 10}, {B, UNREAD, 10}, {B, CLOSE}, {A, SLEEP, 20}, {A, RECV, 10},
	       {A, RECV, 10}, {A, SEND, 1}),
	 0},
	{"close with unread data, data under way", ALL,
	 STEPS({A, SEND, 10}, {B, UNREAD, 10}, {B, SEND, 20}, {B, CLOSE}, {A, SLEEP, 20},
	       {A, RECV, 100}, {A, RECV, 100}, {A, RECV, 10}),
	 0},
	{"close with unread data, then write", ALL,
	 STEPS({A, SEND, 10}, {B, UNREAD, 10}, {B, CLOSE}, {A, SLEEP, 20}, {A, SEND, 1},
	       {A, SEND, 1}, {A, RECV, 1}),
	 0},
	{"close with unread data wakes a reader", ALL,
	 STEPS({A_BG, RECV, 10}, {A, SLEEP, 20}, {A, SEND, 10}, {B, UNREAD, 10}, {B, CLOSE},
	       {A, JOIN}, {A, RECV, 1}),
	 0},
	{"close wakes a blocked writer", ALL,
	 STEPS({A, FILL}, {A_BG, SEND, 100}, {A, SLEEP, 30}, {B, CLOSE},
	       {A, JOIN, 0, 0, 0, "100|ECONNRESET|EPIPE SIGPIPE"},
	       {A, SEND, 1, 0, 0, "EPIPE SIGPIPE|ECONNRESET"}),
	 0},
	{"half-close leaves a blocked writer", ALL,
	 STEPS({A, FILL}, {A_BG, SEND, 100}, {A, SLEEP, 30}, {B, SHUT, SHUT_WR}, {A, SLEEP, 30},
	       {B, TAKEFILL}, {A, JOIN}, {B, RECVALL, 100}),
	 0},
	{"reset by linger 0", ALL,
	 STEPS({B, LINGER, 0}, {B, CLOSE}, {A, SLEEP, 20}, {A, RECV, 1}, {A, RECV, 1},
	       {A, SEND, 1}),
	 0},
	{"reset by linger 0, then write", ALL,
	 STEPS({B, LINGER, 0}, {B, CLOSE}, {A, SLEEP, 20}, {A, SEND, 1}, {A, SEND, 1},
	       {A, RECV, 1}),
	 0},
	{"reset with data under way", ALL,
	 STEPS({B, SEND, 10}, {A, UNREAD, 10}, {B, LINGER, 0}, {B, CLOSE}, {A, SLEEP, 20},
	       {A, RECV, 100}, {A, RECV, 1}),
	 0},
	{"reset wakes a reader", ALL,
	 STEPS({A_BG, RECV, 1}, {A, SLEEP, 30}, {B, LINGER, 0}, {B, CLOSE}, {A, JOIN},
	       {A, RECV, 1}),
	 0},
	{"reset wakes a writer", ALL,
	 STEPS({A, FILL}, {A_BG, SEND, 100}, {A, SLEEP, 30}, {B, LINGER, 0}, {B, CLOSE},
	       {A, JOIN, 0, 0, 0, "100|ECONNRESET|EPIPE SIGPIPE"},
	       {A, SEND, 1, 0, 0, "EPIPE SIGPIPE|ECONNRESET"}),
	 0},
	{"reset and SO_ERROR", ALL,
	 STEPS({B, LINGER, 0}, {B, CLOSE}, {A, SLEEP, 20}, {A, SOERROR}, {A, SOERROR}, {A, RECV, 1},
	       {A, SEND, 1}),
	 0},
	{"reset and peek", ALL,
	 STEPS({B, LINGER, 0}, {B, CLOSE}, {A, SLEEP, 20}, {A, RECV, 1, MSG_PEEK},
	       {A, RECV, 1, MSG_PEEK}),
	 0},
	{"reset and getpeername", ALL,
	 STEPS({B, LINGER, 0}, {B, CLOSE}, {A, SLEEP, 20}, {A, SHUT, SHUT_RDWR}, {A, RECV, 1}), 0},
	{"linger 1", ALL,
	 STEPS({A, LINGER, 1}, {A, SEND, 100}, {A, CLOSE}, {B, RECV, 1000}, {B, RECV, 1}), 0},
	{"linger 1, much", ALL,
	 STEPS({A, LINGER, 1}, {A, SENDALL, 100000}, {A_BG, CLOSE}, {B, RECVALL, 100000}, {A, JOIN},
	       {B, RECV, 1}),
	 0},
	{"linger switched off", ALL,
	 STEPS({B, LINGER, 0}, {B, LINGER, -1}, {B, SEND, 5}, {B, CLOSE}, {A, RECV, 9},
	       {A, RECV, 9}),
	 0},
	{"exit", OTHER, STEPS({B, SEND, 10}, {B, EXIT}, {A, RECV, 100}, {A, RECV, 1}), 0},
	{"exit with unread data", OTHER,
	 STEPS({A, SEND, 10}, {B, UNREAD, 10}, {B, EXIT}, {A, SLEEP, 20}, {A, RECV, 100},
	       {A, RECV, 1}),
	 0},
	{"exit wakes a reader", OTHER, STEPS({A_BG, RECV, 1}, {A, SLEEP, 20}, {B, EXIT}, {A, JOIN}),
	 0},
	{"killed", OTHER,
	 STEPS({B, SEND, 10}, {B, KILL}, {A, SLEEP, 20}, {A, RECV, 100}, {A, RECV, 1},
	       {A, RECV, 1}),
	 0},
	{"killed, then write", OTHER,
	 STEPS({B, KILL}, {A, SLEEP, 20}, {A, SEND, 1}, {A, SLEEP, 20},
	       {A, SEND, 1, 0, 0, "EPIPE SIGPIPE|ECONNRESET"}, /* sent after or before it died? */
	       {A, RECV, 1}),
	 0},
	{"killed, read, write", OTHER,
	 STEPS({B, KILL}, {A, SLEEP, 20}, {A, RECV, 1}, {A, SEND, 1}, {A, SLEEP, 20}, {A, SEND, 1},
	       {A, RECV, 1}),
	 0},
	{"killed with unread data", OTHER,
	 STEPS({A, SEND, 10}, {B, UNREAD, 10}, {B, KILL}, {A, SLEEP, 20}, {A, RECV, 1},
	       {A, RECV, 1}, {A, SEND, 1}),
	 0},
	{"killed with unread data, then write", OTHER,
	 STEPS({A, SEND, 10}, {B, UNREAD, 10}, {B, KILL}, {A, SLEEP, 20}, {A, SEND, 1},
	       {A, SEND, 1}, {A, RECV, 1}),
	 0},
	{"killed with unread data, data under way", OTHER,
	 STEPS({A, SEND, 10}, {B, UNREAD, 10}, {B, SEND, 20}, {A, UNREAD, 20}, {B, KILL},
	       {A, SLEEP, 20}, {A, RECV, 100}, {A, RECV, 1}, {A, RECV, 1}),
	 0},
	{"killed wakes a reader", OTHER,
	 STEPS({A_BG, RECV, 1}, {A, SLEEP, 30}, {B, KILL}, {A, JOIN}, {A, RECV, 1}), 0},
	{"killed wakes a writer", OTHER,
	 STEPS({A, FILL}, {A_BG, SEND, 10}, {A, SLEEP, 30}, {B, KILL},
	       {A, JOIN, 0, 0, 0, "10|ECONNRESET|EPIPE SIGPIPE"},
	       {A, SEND, 1, 0, 0, "EPIPE SIGPIPE|ECONNRESET"}),
	 0},
	{"killed, half a message read", OTHER,
	 STEPS({A, SEND, 10}, {B, RECV, 5}, {B, KILL}, {A, SLEEP, 20}, {A, RECV, 1}, {A, RECV, 1}),
	 0},
	{"close of a connection without traffic", ALL, STEPS({A, CLOSE}, {B, RECV, 1}, {B, CLOSE}),
	 0},
	{"peek at the end", ALL,
	 STEPS({B, SEND, 3}, {B, CLOSE}, {A, UNREAD, 3}, {A, RECV, 9, MSG_PEEK}, {A, RECV, 9},
	       {A, RECV, 9, MSG_PEEK}, {A, RECV, 9}),
	 0},
	{"end without waiting", ALL,
	 STEPS({B, SEND, 3}, {B, CLOSE}, {A, POLL, POLLRDHUP, 1000}, {A, RECV, 9, MSG_DONTWAIT},
	       {A, RECV, 9, MSG_DONTWAIT}, {A, RECVMSG, 9, MSG_DONTWAIT, 1}),
	 0},
	{"SIGPIPE kills", ALL, NULL, sigpipe_kills},
	{"SIGPIPE ignored", ALL, NULL, sigpipe_ignored},
	{"SIGPIPE blocked", ALL, NULL, sigpipe_blocked},
	{0},
};
