/* SPDX-License-Identifier: BSD-2-Clause */
/* data.c - bytes: how much a call moves, and which */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>
#include "conform.h"

#define KIB 1024L
#define MIB (1024 * KIB)

static void bad_buffer_recv(struct pair *p)
{
	char *bad = mmap(NULL, 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	take(p, B, SEND, 100, 0, 0);
	take(p, A, UNREAD, 100, 0, 0);
	rec_sys("recv into nowhere", recv(p->a.fd, bad, 100, 0));
	take(p, A, RECV, 100, 0, 0);
}

static void bad_buffer_send(struct pair *p)
{
	char *bad = mmap(NULL, 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	rec_sys("send from nowhere", send(p->a.fd, bad, 100, 0));
	take(p, A, SEND, 100, 0, 0);
	take(p, B, RECV, 200, 0, 0);
}

/* The first half of the buffer can be written to. */
static void bad_buffer_half(struct pair *p)
{
	char *half = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ssize_t n;

	mprotect(half + 4096, 4096, PROT_NONE);
	take(p, B, SEND, 1000, 0, 0);
	take(p, A, UNREAD, 1000, 0, 0);
	n = rec_sys("recv into half", recv(p->a.fd, half + 4096 - 500, 1000, 0));
	if (n > 0)
		p->a.got += (uint64_t)n;
	take(p, A, RECV, 1000, 0, 0);
}

static void bad_iovec(struct pair *p)
{
	static char buf[64];
	static struct iovec iov[2000] = {{buf, 64}, {NULL, 64}};
	struct msghdr m = {.msg_iov = iov, .msg_iovlen = 2000};
	volatile int negative = -1;

	rec_sys("sendmsg, 2000 pieces", sendmsg(p->a.fd, &m, 0));
	rec_sys("recvmsg, 2000 pieces", recvmsg(p->a.fd, &m, MSG_DONTWAIT));
	rec_sys("writev, -1 pieces", writev(p->a.fd, iov, negative));
	rec_sys("writev, 2000 pieces", writev(p->a.fd, iov, 2000));
	rec_sys("readv, 2000 pieces", readv(p->a.fd, iov, 2000));
	rec_sys("writev, 0 pieces", writev(p->a.fd, iov, 0));
	iov[1].iov_len = (size_t)-1;
	rec_sys("writev, negative length", writev(p->a.fd, iov, 2));
	m.msg_iovlen = 2;
	rec_sys("sendmsg, negative length", sendmsg(p->a.fd, &m, 0));
	m.msg_iov = NULL;
	m.msg_iovlen = 1;
	rec_sys("sendmsg, no iovec", sendmsg(p->a.fd, &m, 0));
	rec_sys("recvmsg, no iovec", recvmsg(p->a.fd, &m, MSG_DONTWAIT));
	m.msg_iov = (struct iovec *)-64l;
	rec_sys("sendmsg, wild iovec", sendmsg(p->a.fd, &m, 0));
	rec_sys("recvmsg, wild iovec", recvmsg(p->a.fd, &m, MSG_DONTWAIT));
	rec_sys("writev, wild iovec", writev(p->a.fd, m.msg_iov, 2));
	take(p, A, SEND, 3, 0, 0);
	take(p, B, RECV, 10, 0, 0);
}

static void many_pieces(struct pair *p)
{
	static char out[1024 * 7], in[1024 * 7];
	struct iovec iov[1024];
	size_t i;

	pattern_fill(out, sizeof(out), 0, p->a.sent);
	for (i = 0; i < 1024; i++)
		iov[i] = (struct iovec){out + 7 * i, 7};
	rec_sys("writev, 1024 pieces", writev(p->a.fd, iov, 1024));
	p->a.sent += sizeof(out);
	take(p, B, RECVALL, sizeof(out), 0, 0);
	take(p, B, SEND, sizeof(in), 0, 0);
	take(p, A, UNREAD, sizeof(in), 0, 0);
	for (i = 0; i < 1024; i++)
		iov[i] = (struct iovec){in + 7 * i, 7};
	rec_sys("readv, 1024 pieces", readv(p->a.fd, iov, 1024));
	rec("the bytes are %s", pattern_is(in, sizeof(in), 1, p->a.got) ? "right" : "wrong");
}

/* Both sides send more than all buffers hold, and then receive. */
static void both_at_once(struct pair *p)
{
	take(p, A_BG, SENDALL, 4 * MIB, 0, 0);
	if (p->b.ctl < 0)
		take(p, B_BG, SENDALL, 4 * MIB, 0, 0);
	take(p, A, POLL, POLLIN, p->b.ctl < 0 ? 2000 : 0, 0);
	if (p->b.ctl >= 0) {
		take(p, B, RECVALL, 4 * MIB, 0, 0);
		take(p, A, JOIN, 0, 0, 0);
		take(p, B_BG, SENDALL, 4 * MIB, 0, 0);
		take(p, A, RECVALL, 4 * MIB, 0, 0);
		take(p, B, JOIN, 0, 0, 0);
		return;
	}
	{
		static char buf[65536];
		uint64_t left[2] = {4 * MIB, 4 * MIB};

		while (left[0] || left[1]) {
			ssize_t n = left[0] ? recv(p->a.fd, buf, sizeof(buf), MSG_DONTWAIT) : 0;

			left[0] -= n > 0 ? (uint64_t)n : 0;
			n = left[1] ? recv(p->b.fd, buf, sizeof(buf), MSG_DONTWAIT) : 0;
			left[1] -= n > 0 ? (uint64_t)n : 0;
			if ((n < 0 && errno != EAGAIN) || (n == 0 && left[1]))
				break;
		}
		rec("left %d %d", (int)left[0], (int)left[1]);
		take(p, A, JOIN, 0, 0, 0);
		take(p, B, JOIN, 0, 0, 0);
	}
}

static void lengths(struct pair *p)
{
	static const long lens[] = {1,	   2,	  3,	 7,	8,     9,     15,    16,   17,
				    63,	   64,	  65,	 127,	500,   1000,  4095,  4096, 4097,
				    16384, 32767, 32768, 32769, 65535, 65536, 100000};
	size_t i;

	for (i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		take(p, A_BG, SENDALL, lens[i], 0, 0);
		take(p, B, RECVALL, lens[i], 0, 0);
		take(p, A, JOIN, 0, 0, 0);
	}
}

/* Many laps of the ring, in pieces that never fit evenly. */
static void laps(struct pair *p)
{
	long bad = 0, i;

	for (i = 0; i < 300; i++) {
		struct result r = do_step(p, A, SENDALL, 1 + i * 37 % 5000, 0, 0);

		bad += r.ret != 1 + i * 37 % 5000;
		r = do_step(p, B, RECVALL, 1 + i * 37 % 5000, 0, 0);
		bad += r.ret != 1 + i * 37 % 5000 || r.note[0];
	}
	rec("%ld of 300 went wrong", bad);
}

/* Small sends pile up, and are received in one go. */
static void pile(struct pair *p)
{
	long i;

	for (i = 0; i < 200; i++)
		do_step(p, A, SEND, 1 + i % 20, 0, 0);
	take(p, B, UNREAD, 200 * 21 / 2, 0, 0);
	take(p, B, RECV, 10000, 0, 0);
	take(p, B, RECV, 10000, MSG_DONTWAIT, 0);
}

static void preadv_(struct pair *p)
{
	char buf[32];
	struct iovec iov = {buf, 10};

	take(p, B, SEND, 20, 0, 0);
	take(p, A, UNREAD, 20, 0, 0);
	rec_sys("preadv2 at -1", preadv2(p->a.fd, &iov, 1, -1, 0));
	rec_sys("preadv2 at -1 nowait", preadv2(p->a.fd, &iov, 1, -1, RWF_NOWAIT));
	rec_sys("preadv2 at -1 nowait", preadv2(p->a.fd, &iov, 1, -1, RWF_NOWAIT));
	rec_sys("preadv2 at 5", preadv2(p->a.fd, &iov, 1, 5, 0));
	rec_sys("pread", pread(p->a.fd, buf, 10, 0));
	rec_sys("pwrite", pwrite(p->a.fd, buf, 10, 0));
	rec_sys("pwritev2 at -1", pwritev2(p->a.fd, &iov, 1, -1, 0));
	rec_sys("lseek", lseek(p->a.fd, 0, SEEK_SET));
	do_step(p, B, UNREAD, 10, 0, 0);
	rec_ret("B has", do_step(p, B, UNREAD, 10, 0, 0).ret);
}

const struct conform_case data_cases[] = {
	{"one message", ALL, STEPS({A, SEND, 100}, {B, RECV, 100}, {B, SEND, 7}, {A, RECV, 100}),
	 0},
	{"read and write", ALL, STEPS({A, WRITE, 33}, {B, READ, 100}, {B, WRITE, 1}, {A, READ, 1}),
	 0},
	{"readv and writev", ALL,
	 STEPS({A, WRITEV, 1000, 7}, {B, READV, 999, 5}, {B, READV, 999, 5}), 0},
	{"sendto and recvfrom", ALL,
	 STEPS({A, SENDTO, 50, 0}, {B, RECVFROM, 100, 0}, {B, SENDTO, 5, 0}, {A, RECVFROM, 5, 0}),
	 0},
	{"sendmsg and recvmsg", ALL,
	 STEPS({A, SENDMSG, 500, 0, 4}, {B, RECVMSG, 300, 0, 3}, {B, RECVMSG, 300, 0, 3}), 0},
	{"sendmmsg", ALL, STEPS({A, SENDMMSG, 100, 0, 5}, {B, UNREAD, 500}, {B, RECV, 1000}), 0},
	{"recvmmsg", ALL,
	 STEPS({A, SEND, 250}, {B, UNREAD, 250}, {B, RECVMMSG, 100, MSG_DONTWAIT, 5},
	       {B, RECVMMSG, 100, MSG_DONTWAIT, 5}),
	 0},
	{"recvmmsg waits for one", ALL,
	 STEPS({A, SEND, 250}, {B, UNREAD, 250}, {B, RECVMMSG, 100, MSG_WAITFORONE, 5}), 0},
	{"recvmmsg peeks", ALL,
	 STEPS({A, SEND, 50}, {B, UNREAD, 50}, {B, RECVMMSG, 20, MSG_DONTWAIT | MSG_PEEK, 1},
	       {B, RECV, 100}),
	 0},
	{"partial reads", ALL,
	 STEPS({A, SEND, 10}, {B, UNREAD, 10}, {B, RECV, 4}, {B, RECV, 1}, {B, RECV, 100}), 0},
	{"messages run together", ALL,
	 STEPS({A, SEND, 10}, {A, SEND, 20}, {A, SEND, 30}, {B, UNREAD, 60}, {B, RECV, 100}), 0},
	{"partial read across messages", ALL,
	 STEPS({A, SEND, 10}, {A, SEND, 20}, {A, SEND, 30}, {B, UNREAD, 60}, {B, RECV, 15},
	       {B, RECV, 15}, {B, RECV, 100}),
	 0},
	{"zero bytes", ALL,
	 STEPS({A, SEND, 0}, {A, WRITE, 0}, {B, RECV, 10, MSG_DONTWAIT}, {A, SEND, 1}, {B, READ, 0},
	       {B, UNREAD, 1}, {B, RECV, 0}, {B, RECV, 10}),
	 0},
	{"zero bytes, empty queue", ALL,
	 STEPS({A, READ, 0}, {A, RECV, 0, MSG_DONTWAIT}, {A, READV, 0, 3}), 0},
	{"zero bytes by sendmsg", ALL,
	 STEPS({A, SENDMSG, 0, 0, 3}, {A, WRITEV, 0, 3}, {A, SENDMSG, 10, 0, 1},
	       {B, RECVMSG, 0, 0, 2}, {B, RECV, 10}),
	 0},
	{"peek", ALL,
	 STEPS({A, SEND, 30}, {B, UNREAD, 30}, {B, RECV, 10, MSG_PEEK}, {B, RECV, 100, MSG_PEEK},
	       {B, RECV, 10}, {B, RECV, 100, MSG_PEEK}, {B, RECV, 100},
	       {B, RECV, 1, MSG_PEEK | MSG_DONTWAIT}),
	 0},
	{"peek across messages", ALL,
	 STEPS({A, SEND, 10}, {A, SEND, 20}, {A, SEND, 30}, {B, UNREAD, 60},
	       {B, RECV, 100, MSG_PEEK}, {B, RECV, 25, MSG_PEEK}, {B, RECV, 5},
	       {B, RECV, 30, MSG_PEEK}, {B, RECVMSG, 100, MSG_PEEK, 4}, {B, RECV, 100}),
	 0},
	{"peek waits for all", ALL,
	 STEPS({B_BG, RECV, 20, MSG_PEEK | MSG_WAITALL}, {A, SEND, 10}, {A, SLEEP, 30},
	       {A, SEND, 10}, {B, JOIN}, {B, RECV, 100}),
	 0},
	{"peek blocks", ALL,
	 STEPS({B_BG, RECV, 20, MSG_PEEK}, {A, SLEEP, 30}, {A, SEND, 10}, {B, JOIN}, {B, RECV, 20}),
	 0},
	{"peek much", ALL,
	 STEPS({A, SEND, 60000}, {B, UNREAD, 60000}, {B, RECV, 60000, MSG_PEEK},
	       {B, RECV, 100000, MSG_PEEK}, {B, RECVALL, 60000}),
	 0},
	{"waitall", ALL,
	 STEPS({B_BG, RECV, 100, MSG_WAITALL}, {A, SEND, 30}, {A, SLEEP, 30}, {A, SEND, 30},
	       {A, SLEEP, 30}, {A, SEND, 50}, {B, JOIN}, {B, RECV, 100}),
	 0},
	{"waitall, much", ALL,
	 STEPS({B_BG, RECV, 3 * MIB, MSG_WAITALL}, {A, SENDALL, 3 * MIB}, {B, JOIN}), 0},
	{"waitall ended by FIN", ALL,
	 STEPS({B_BG, RECV, 100, MSG_WAITALL}, {A, SEND, 30}, {A, SLEEP, 30}, {A, SHUT, SHUT_WR},
	       {B, JOIN}, {B, RECV, 1}),
	 0},
	{"waitall ended by time", ALL,
	 STEPS({B, RCVTIMEO, 100}, {A, SEND, 30}, {B, RECV, 100, MSG_WAITALL},
	       {B, RECV, 100, MSG_WAITALL}),
	 0},
	{"waitall does not wait", ALL,
	 STEPS({A, SEND, 30}, {B, UNREAD, 30}, {B, RECV, 100, MSG_WAITALL | MSG_DONTWAIT},
	       {B, RECV, 100, MSG_WAITALL | MSG_DONTWAIT}),
	 0},
	{"waitall by recvmsg", ALL,
	 STEPS({B_BG, RECVMSG, 100, MSG_WAITALL, 5}, {A, SEND, 60}, {A, SLEEP, 20}, {A, SEND, 40},
	       {B, JOIN}),
	 0},
	{"dontwait", ALL,
	 STEPS({B, RECV, 10, MSG_DONTWAIT}, {A, SEND, 1}, {B, UNREAD, 1},
	       {B, RECV, 10, MSG_DONTWAIT}, {B, RECV, 10, MSG_DONTWAIT}),
	 0},
	{"nonblocking", ALL,
	 STEPS({B, NONBLOCK, 1}, {B, RECV, 10}, {B, READ, 10}, {A, SEND, 1}, {B, UNREAD, 1},
	       {B, READ, 10}, {B, READ, 10}),
	 0},
	{"trunc", ALL,
	 STEPS({A, SEND, 100}, {B, UNREAD, 100}, {B, RECV, 40, MSG_TRUNC}, {B, RECV, 10},
	       {B, RECV, 40, MSG_TRUNC | MSG_PEEK}, {B, RECV, 100}),
	 0},
	{"trunc by recvmsg", ALL,
	 STEPS({A, SEND, 100}, {B, UNREAD, 100}, {B, RECVMSG, 40, MSG_TRUNC, 3}, {B, RECV, 100}),
	 0},
	{"more", ALL,
	 STEPS({A, SEND, 10, MSG_MORE}, {A, SEND, 10, MSG_MORE}, {A, SEND, 10}, {B, UNREAD, 30},
	       {B, RECV, 100}),
	 0},
	{"more, and nothing follows", ALL, STEPS({A, SEND, 10, MSG_MORE}, {B, RECV, 100}), 0},
	{"eor and confirm", ALL,
	 STEPS({A, SEND, 10, MSG_EOR | MSG_CONFIRM}, {B, RECVMSG, 100, 0, 1},
	       {A, SEND, 10, MSG_DONTROUTE}, {B, RECV, 100}),
	 0},
	{"errqueue is empty", ALL,
	 STEPS({B, RECV, 10, MSG_ERRQUEUE}, {A, SEND, 10}, {B, UNREAD, 10},
	       {B, RECV, 10, MSG_ERRQUEUE}, {B, RECV, 10}),
	 0},
	{"cmsg_cloexec is nothing", ALL,
	 STEPS({A, SEND, 10}, {B, RECVMSG, 10, MSG_CMSG_CLOEXEC, 1}), 0},
	{"waits for the first byte", ALL,
	 STEPS({B_BG, RECV, 100}, {A, SLEEP, 50}, {A, SEND, 10}, {B, JOIN}), 0},
	{"read waits", ALL, STEPS({A_BG, READ, 100}, {A, SLEEP, 50}, {B, WRITE, 10}, {A, JOIN}), 0},
	{"recvmmsg waits for all", ALL,
	 STEPS({B_BG, RECVMMSG, 10, 0, 3}, {A, SEND, 10}, {A, SLEEP, 20}, {A, SEND, 10},
	       {A, SLEEP, 20}, {A, SEND, 10}, {B, JOIN}),
	 0},
	{"sends larger than all buffers", ALL,
	 STEPS({A_BG, SEND, 16 * MIB}, {B, RECVALL, 16 * MIB}, {A, JOIN}), 0},
	{"the other way", ALL, STEPS({B_BG, SEND, 16 * MIB}, {A, RECVALL, 16 * MIB}, {B, JOIN}), 0},
	{"writev larger than all buffers", ALL,
	 STEPS({A_BG, WRITEV, 12 * MIB, 9}, {B, RECVALL, 12 * MIB}, {A, JOIN}), 0},
	{"sendmmsg larger than all buffers", ALL,
	 STEPS({A_BG, SENDMMSG, 2 * MIB, 0, 4}, {B, RECVALL, 8 * MIB}, {A, JOIN}), 0},
	{"a megabyte that nobody reads yet", ALL,
	 STEPS({A, SEND, 1 * MIB}, {B, RECVALL, 1 * MIB}, {B, SEND, 100}, {A, RECV, 100}), 0},
	{"both send two megabytes before they read", ALL,
	 STEPS({A_BG, SENDMMSG, 256 * 1024, 0, 8}, {B, SENDMMSG, 256 * 1024, 0, 8}, {A, JOIN}, {B, RECVALL, 2 * MIB},
	       {A, RECVALL, 2 * MIB}, {A, SEND, 100}, {B, RECV, 100}),
	 0},
	{"full is full", ALL,
	 STEPS({A, FILL}, {A, SLEEP, 300}, {A, FILL}, {A, POLL, POLLOUT, 200}, {B, TAKEFILL}, {A, SEND, 1},
	       {B, RECV, 100}),
	 0},
	{"full, then drained", ALL,
	 STEPS({A, FILL}, {A, FILL}, {B, TAKEFILL}, {A, POLL, POLLOUT, 1000}, {A, SEND, 1},
	       {B, RECV, 100}),
	 0},
	{"full both ways", ALL,
	 STEPS({A, FILL}, {B, FILL}, {B, TAKEFILL}, {A, TAKEFILL}, {A, SEND, 1}, {B, RECV, 100},
	       {B, SEND, 1}, {A, RECV, 100}),
	 0},
	{"full three times", ALL,
	 STEPS({A, FILL}, {B, TAKEFILL}, {A, FILL}, {B, TAKEFILL}, {A, FILL}, {B, TAKEFILL}), 0},
	{"a blocked send goes on", ALL,
	 STEPS({A, FILL}, {A_BG, SEND, 100}, {A, SLEEP, 50}, {B, TAKEFILL}, {A, JOIN},
	       {B, RECVALL, 100}),
	 0},
	{"all lengths", ALL, NULL, lengths},
	{"laps", ALL, NULL, laps},
	{"pile", ALL, NULL, pile},
	{"many pieces", ALL, NULL, many_pieces},
	{"both at once", ALL, NULL, both_at_once},
	{"preadv2 and relatives", ALL, NULL, preadv_},
	{"bad iovec", ALL, NULL, bad_iovec},
	{"bad buffer, receiving", ALL, NULL, bad_buffer_recv},
	{"bad buffer, sending", ALL, NULL, bad_buffer_send},
	{"half a bad buffer, receiving", ALL, NULL, bad_buffer_half},
	{0},
};
