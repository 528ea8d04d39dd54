/* SPDX-License-Identifier: BSD-2-Clause */
/* fds.c - descriptors: copies, numbers that are used again, stdio, sendfile, splice */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>
#include "conform.h"

static void number_reused(struct pair *p)
{
	int number = p->a.fd, pipes[2], i, fd;
	char buf[8];

	rec_sys("close", close(number));
	if (pipe(pipes))
		abort();
	for (i = 0; i < 2; i++) {
		fd = fcntl(pipes[i], F_DUPFD, 60);
		close(pipes[i]);
		pipes[i] = fd;
	}
	fd = dup2(pipes[0], number);
	rec("same number %d", fd == number);
	if (write(pipes[1], "pipe", 4) != 4)
		abort();
	rec_sys("read", read(number, buf, 8));
	rec_sys("send", send(number, buf, 1, 0));
	take(p, B, RECV, 1, 0, 0);
	close(number);
	for (i = 0; i < 3; i++) {
		fd = memfd_create("x", 0);
		rec_sys("write to a file", write(fd, "abc", 3));
		rec_sys("read", pread(fd, buf, 8, 0));
		close(fd);
	}
}

/* One connection after another at the same numbers. */
static void numbers_in_turn(struct pair *p)
{
	int fd[2], i, good = 0;
	char buf[8];

	close(p->a.fd);
	for (i = 0; i < 20; i++) {
		pair_fds(fd);
		if (i % 3 == 0)
			warm_fds(fd[0], fd[1]);
		good += send(fd[0], "abc", 3, 0) == 3 && recv(fd[1], buf, 8, 0) == 3;
		good += send(fd[1], "ab", 2, 0) == 2 && recv(fd[0], buf, 8, 0) == 2;
		close(fd[0]);
		good += recv(fd[1], buf, 8, 0) == 0;
		close(fd[1]);
	}
	rec("%d of 60", good);
	take(p, B, RECV, 1, 0, 0);
}

static void dup2_over(struct pair *p)
{
	int fd[2];
	char c;

	/* A connection is closed by dup2 onto its number. */
	pair_fds(fd);
	warm_fds(fd[0], fd[1]);
	rec_sys("send", send(fd[0], "x", 1, 0));
	rec("dup2 %d", dup2(p->a.fd, fd[0]) == fd[0]);
	rec_sys("recv", recv(fd[1], &c, 1, 0));
	rec_sys("recv", recv(fd[1], &c, 1, 0));
	p->a.fd2 = p->a.fd;
	p->a.fd = fd[0];
	take(p, A, SEND, 10, 0, 0);
	take(p, B, RECV, 10, 0, 0);
	take(p, A, CLOSE2, 0, 0, 0);
	take(p, B, SEND, 10, 0, 0);
	take(p, A, RECV, 10, 0, 0);
	rec("dup2 to itself %d", dup2(p->a.fd, p->a.fd) == p->a.fd);
	rec_sys("dup3 to itself", dup3(p->a.fd, p->a.fd, 0));
	rec_sys("dup2 of nothing", dup2(fd[0] + 300, p->a.fd));
	take(p, A, SEND, 10, 0, 0);
	take(p, B, RECV, 10, 0, 0);
}

static void ranges(struct pair *p)
{
	int high = fcntl(p->a.fd, F_DUPFD, 200);

	rec("high %d", high >= 200);
	rec_sys("close_range", close_range(200, 300, 0));
	rec_sys("send to the copy", send(high, "x", 1, 0));
	take(p, A, SEND, 5, 0, 0);
	take(p, B, RECV, 10, 0, 0);
	high = fcntl(p->a.fd, F_DUPFD, 200);
	rec_sys("close_range, cloexec", close_range(200, 300, CLOSE_RANGE_CLOEXEC));
	rec_sys("F_GETFD", fcntl(high, F_GETFD));
	close(p->a.fd);
	p->a.fd = high;
	take(p, A, SEND, 5, 0, 0);
	take(p, B, RECV, 10, 0, 0);
	take(p, B, SEND, 5, 0, 0);
	take(p, A, RECV, 10, 0, 0);
}

static void close_all(struct pair *p)
{
	int keep = p->b.ctl;
	char c;

	if (keep >= 0 && keep < 100)
		p->b.ctl = dup2(keep, 100);
	rec_sys("send", send(p->a.fd, "xyz", 3, 0));
	p->a.sent += 3;
	rec_sys("close_range", close_range(3, 99, 0));
	rec_sys("send", send(p->a.fd, "x", 1, 0));
	if (p->b.ctl >= 0) {
		rec_ret("B", do_step(p, B, RECV, 3, MSG_TRUNC, 0).ret);
		rec_ret("B", do_step(p, B, RECV, 3, 0, 0).ret);
	}
	rec_sys("recv", recv(p->a.fd, &c, 1, 0));
	closefrom(101);
	rec_sys("pipe works", pipe((int[2]){0, 0}));
}

static void stdio(struct pair *p)
{
	FILE *f = fdopen(dup(p->a.fd), "r+");
	char line[40];

	fprintf(f, "hello %d\n", 42);
	fflush(f);
	rec_ret("B", do_step(p, B, RECV, 9, MSG_TRUNC | MSG_WAITALL, 0).ret);
	rec("B more: %ld", do_step(p, B, RECV, 9, MSG_DONTWAIT, 0).ret);
	(void)do_step(p, B, SEND, 30, 0, 0);
	rec("fread %zu", fread(line, 1, 30, f));
	rec("bytes %d", pattern_is(line, 30, 1, p->a.got));
	p->a.got += 30;
	rec("fclose %d", fclose(f));
	(void)do_step(p, A, SEND, 5, 0, 0);
	rec_ret("B", do_step(p, B, RECV, 10, MSG_TRUNC, 0).ret);
	take(p, B, SHUT, SHUT_WR, 0, 0);
	take(p, A, RECV, 1, 0, 0);
}

/* Bytes that came before there was a FILE. */
static void stdio_late(struct pair *p)
{
	char line[40] = "";
	FILE *f;

	take(p, B, SEND, 40, 0, 0);
	take(p, A, UNREAD, 40, 0, 0);
	take(p, A, RECV, 10, 0, 0);
	take(p, B_BG, RECVALL, 10, 0, 0);
	pause_ms(20);
	f = fdopen(p->a.fd, "r");
	rec("fread %zu", fread(line, 1, 30, f));
	rec("bytes %d", pattern_is(line, 30, 1, p->a.got));
	p->a.got += 30;
	take(p, A, SEND, 10, 0, 0);
	take(p, B, JOIN, 0, 0, 0);
	rec("fclose %d", fclose(f));
}

static void stdio_two(struct pair *p)
{
	FILE *in = fdopen(p->a.fd, "r"), *out = fdopen(dup(p->a.fd), "w");
	char line[40];
	int i;

	for (i = 0; i < 20; i++) {
		fprintf(out, "line %04d\n", i);
		fflush(out);
		if (do_step(p, B, RECV, 10, MSG_TRUNC | MSG_WAITALL, 0).ret != 10)
			rec("%d went wrong", i);
		(void)do_step(p, B, SEND, 12, 0, 0);
		if (fread(line, 1, 12, in) != 12 || !pattern_is(line, 12, 1, p->a.got))
			rec("%d went wrong", i);
		p->a.got += 12;
	}
	rec("fclose %d %d", fclose(out), fclose(in));
	take(p, B, RECV, 1, 0, 0);
}

static void dprintf_(struct pair *p)
{
	rec("dprintf %d", dprintf(p->a.fd, "hello %d\n", 42));
	rec_ret("B", do_step(p, B, RECV, 9, MSG_TRUNC | MSG_WAITALL, 0).ret);
	rec_ret("B", do_step(p, B, RECV, 9, MSG_TRUNC | MSG_DONTWAIT, 0).ret);
	p->b.got = p->a.sent + 9;
	rec_ret("B", do_step(p, B, SEND, 9, 0, 0).ret);
	take(p, A, RECV, 9, 0, 0);
}

static int a_file(struct pair *p, size_t len)
{
	char *buf = malloc(len);
	int fd = memfd_create("file", MFD_CLOEXEC);

	pattern_fill(buf, len, 0, p->a.sent);
	if (write(fd, buf, len) != (ssize_t)len)
		abort();
	free(buf);
	return fd;
}

static void sendfile_(struct pair *p)
{
	int fd = a_file(p, 10000), pipes[2];
	off_t at = 0;

	rec_sys("sendfile", sendfile(p->a.fd, fd, &at, 4000));
	rec("at %ld", (long)at);
	take(p, B, RECVALL, 4000, 0, 0);
	lseek(fd, 4000, SEEK_SET);
	rec_sys("sendfile, file position", sendfile(p->a.fd, fd, NULL, 3000));
	rec_sys("lseek", lseek(fd, 0, SEEK_CUR));
	take(p, B, RECVALL, 3000, 0, 0);
	at = 7000;
	rec_sys("sendfile past the end", sendfile(p->a.fd, fd, &at, 100000));
	rec("at %ld", (long)at);
	take(p, B, RECVALL, 3000, 0, 0);
	rec_sys("sendfile at the end", sendfile(p->a.fd, fd, &at, 100));
	rec_sys("sendfile of nothing", sendfile(p->a.fd, fd, &at, 0));
	rec_sys("sendfile from a socket", sendfile(fd, p->a.fd, NULL, 100));
	rec_sys("sendfile from nowhere", sendfile(p->a.fd, -1, NULL, 100));
	if (pipe(pipes))
		abort();
	if (write(pipes[1], "some", 4) != 4)
		abort();
	rec_sys("sendfile from a pipe", sendfile(p->a.fd, pipes[0], NULL, 4));
	rec_sys("sendfile from a pipe, with an offset", sendfile(p->a.fd, pipes[0], &at, 4));
	take(p, B, RECV, 1, MSG_DONTWAIT, 0);
}

static void sendfile_much(struct pair *p)
{
	int fd = a_file(p, 3000000);
	off_t at = 0;
	ssize_t n = 1;

	if (p->b.ctl >= 0) {
		take(p, B_BG, RECVALL, 3000000, 0, 0);
		while (at < 3000000 && n > 0)
			n = sendfile(p->a.fd, fd, &at, 3000000 - (size_t)at);
		rec("at %ld", (long)at);
		take(p, B, JOIN, 0, 0, 0);
		return;
	}
	take(p, A, NONBLOCK, 1, 0, 0);
	while (at < 3000000 && n >= 0) {
		n = sendfile(p->a.fd, fd, &at, 3000000 - (size_t)at);
		if (n < 0 && errno == EAGAIN)
			n = 0;
		(void)do_step(p, B, DRAIN, 0, 0, 0);
	}
	rec("at %ld", (long)at);
	p->a.sent += 3000000;
	pause_ms(20);
	(void)do_step(p, B, DRAIN, 0, 0, 0);
	rec("B has %lu more", (unsigned long)(p->a.sent - p->b.got));
}

static void sendfile_pipe_closed(struct pair *p)
{
	int fd = a_file(p, 10000);
	off_t at = 0;

	take(p, A, SHUT, SHUT_WR, 0, 0);
	rec_sys("sendfile", sendfile(p->a.fd, fd, &at, 4000));
	rec("SIGPIPE %d at %ld", sigpipe_count(), (long)at);
}

/* One SIGPIPE for each call that fails so, whoever finds out. */
static void sendfile_to_nobody(struct pair *p)
{
	int fd = a_file(p, 8000), pipes[2], i;
	off_t at = 0;
	struct pollfd dead = {.fd = p->a.fd};

	(void)!pipe(pipes);
	(void)!write(pipes[1], "some", 4);
	take(p, B, CLOSE, 0, 0, 0);
	pause_ms(20);
	rec_sys("write", write(p->a.fd, "x", 1));
	rec_sys("poll", poll(&dead, 1, 1000) == 1);
	for (i = 0; i < 3; i++) {
		rec_sys("sendfile", sendfile(p->a.fd, fd, &at, 4000));
		rec("SIGPIPE %d", sigpipe_count());
		rec_sys("splice", splice(pipes[0], NULL, p->a.fd, NULL, 4, 0));
		rec("SIGPIPE %d", sigpipe_count());
	}
	close(pipes[0]);
	close(pipes[1]);
	close(fd);
}

static void splice_in(struct pair *p)
{
	int pipes[2];
	char buf[3000];

	if (pipe(pipes))
		abort();
	pattern_fill(buf, sizeof(buf), 0, p->a.sent);
	if (write(pipes[1], buf, sizeof(buf)) != sizeof(buf))
		abort();
	rec_sys("splice", splice(pipes[0], NULL, p->a.fd, NULL, 1000, 0));
	take(p, B, RECVALL, 1000, 0, 0);
	rec_sys("splice, more than there is", splice(pipes[0], NULL, p->a.fd, NULL, 100000, 0));
	take(p, B, RECVALL, 2000, 0, 0);
	rec_sys("splice, empty", splice(pipes[0], NULL, p->a.fd, NULL, 100, SPLICE_F_NONBLOCK));
	close(pipes[1]);
	rec_sys("splice, ended", splice(pipes[0], NULL, p->a.fd, NULL, 100, 0));
	rec_sys("splice, no pipe", splice(p->a.fd, NULL, p->a.fd, NULL, 100, 0));
	rec_sys("splice, offset", splice(pipes[0], NULL, p->a.fd, &(loff_t){0}, 100, 0));
}

static void splice_out(struct pair *p)
{
	int pipes[2];
	char buf[4000];
	ssize_t n;

	if (pipe(pipes))
		abort();
	take(p, A, NONBLOCK, 1, 0, 0);
	rec_sys("splice, empty", splice(p->a.fd, NULL, pipes[1], NULL, 100, 0));
	take(p, A, NONBLOCK, 0, 0, 0);
	take(p, B, SEND, 3000, 0, 0);
	take(p, A, UNREAD, 3000, 0, 0);
	rec_sys("splice", splice(p->a.fd, NULL, pipes[1], NULL, 1000, 0));
	rec_sys("read", n = read(pipes[0], buf, sizeof(buf)));
	rec("bytes %d", n > 0 && pattern_is(buf, (size_t)n, 1, p->a.got));
	p->a.got += n > 0 ? (uint64_t)n : 0;
	rec_sys("splice", splice(p->a.fd, NULL, pipes[1], NULL, 100000, 0));
	rec_sys("read", n = read(pipes[0], buf, sizeof(buf)));
	rec("bytes %d", n > 0 && pattern_is(buf, (size_t)n, 1, p->a.got));
	p->a.got += n > 0 ? (uint64_t)n : 0;
	take(p, B, SHUT, SHUT_WR, 0, 0);
	rec_sys("splice at the end", splice(p->a.fd, NULL, pipes[1], NULL, 100, 0));
	rec_sys("splice of nothing", splice(p->a.fd, NULL, pipes[1], NULL, 0, 0));
}

/* The flag is about the pipe: an empty socket is waited for. */
static void splice_waits(struct pair *p)
{
	int pipes[2];
	long t = now_ms();

	if (pipe(pipes))
		abort();
	take(p, A, RCVTIMEO, 100, 0, 0);
	rec_sys("splice", splice(p->a.fd, NULL, pipes[1], NULL, 100, SPLICE_F_NONBLOCK));
	rec("waited %d", now_ms() - t >= 90);
}

/* A proxy: from one connection through a pipe into another. */
static void splice_through(struct pair *p)
{
	static char in[200000];
	int fd[2], pipes[2];
	size_t done = 0;
	ssize_t n, m;

	if (pipe(pipes))
		abort();
	pair_fds(fd);
	warm_fds(fd[0], fd[1]);
	take(p, B_BG, SENDALL, sizeof(in), 0, 0);
	while (done < sizeof(in)) {
		n = splice(p->a.fd, NULL, pipes[1], NULL, 65536, 0);
		if (n <= 0)
			break;
		while (n > 0) {
			m = splice(pipes[0], NULL, fd[0], NULL, (size_t)n, 0);
			if (m <= 0)
				break;
			n -= m;
			m = recv(fd[1], in + done, (size_t)m, MSG_WAITALL);
			done += m > 0 ? (size_t)m : 0;
		}
	}
	rec("%zu bytes, right %d", done, pattern_is(in, done, 1, p->a.got));
	take(p, B, JOIN, 0, 0, 0);
}

static void refused_calls(struct pair *p)
{
	rec_sys("lseek", lseek(p->a.fd, 0, SEEK_CUR));
	rec_sys("ftruncate", ftruncate(p->a.fd, 10));
	rec("mmap %d", mmap(NULL, 4096, PROT_READ, MAP_SHARED, p->a.fd, 0) == MAP_FAILED);
	rec_sys("fsync", fsync(p->a.fd));
	rec_sys("copy_file_range", copy_file_range(p->a.fd, NULL, p->a.fd, NULL, 10, 0));
	rec_sys("close nothing", close(-1));
	rec_sys("recv nothing", recv(-1, NULL, 0, 0));
	rec_sys("send to nothing", send(12345678, "x", 1, 0));
	rec_sys("read of a closed one", read(777, NULL, 0));
	take(p, A, SEND, 5, 0, 0);
	take(p, B, RECV, 5, 0, 0);
}

static void by_syscall(struct pair *p)
{
	char buf[20];
	ssize_t n;

	pattern_fill(buf, 10, 0, p->a.sent);
	rec_sys("SYS_write", syscall(1, p->a.fd, buf, 10));
	p->a.sent += 10;
	take(p, B, RECV, 20, 0, 0);
	take(p, B, SEND, 10, 0, 0);
	rec_sys("SYS_read", n = syscall(0, p->a.fd, buf, 20));
	rec("bytes %d", n == 10 && pattern_is(buf, 10, 1, p->a.got));
	rec_sys("SYS_close", syscall(3, p->a.fd));
	take(p, B, RECV, 1, 0, 0);
}

const struct conform_case fd_cases[] = {
	{"dup", ALL,
	 STEPS({A, DUP}, {A, SEND, 5}, {A, SWAP}, {A, SEND, 6}, {B, UNREAD, 11}, {B, RECV, 20},
	       {B, SEND, 10}, {A, RECV, 5}, {A, SWAP}, {A, RECV, 5}, {A, CLOSE}, {A, SWAP},
	       {A, SEND, 7}, {B, RECV, 10}, {B, RECV, 10, MSG_DONTWAIT}, {A, CLOSE}, {B, RECV, 1}),
	 0},
	{"F_DUPFD_CLOEXEC", ALL,
	 STEPS({A, DUPC}, {A, CLOSE}, {A, SWAP}, {A, SEND, 7}, {B, RECV, 10}, {B, SEND, 3},
	       {A, RECV, 3}, {A, CLOSE}, {B, RECV, 1}),
	 0},
	{"dup3", ALL,
	 STEPS({A, DUP3}, {A, CLOSE}, {A, SWAP}, {A, SEND, 7}, {B, RECV, 10}, {B, SEND, 3},
	       {A, RECV, 3}, {A, CLOSE}, {B, RECV, 1}),
	 0},
	{"dup before the warm-up", ALL,
	 STEPS({A, DUP}, {A, WARM}, {A, SWAP}, {A, SEND, 7}, {B, RECV, 10}, {B, SEND, 3},
	       {A, RECV, 3}, {A, CLOSE}, {A, SWAP}, {A, SEND, 2}, {B, RECV, 9}, {A, CLOSE},
	       {B, RECV, 1}),
	 0},
	{"dup and shutdown", ALL,
	 STEPS({A, DUP}, {A, SHUT, SHUT_WR}, {A, SWAP}, {A, SEND, 1}, {B, RECV, 1}, {B, SEND, 3},
	       {A, RECV, 3}),
	 0},
	{"dup and flags", ALL, STEPS({A, DUP}, {A, NONBLOCK, 1}, {A, SWAP}, {A, RECV, 1}), 0},
	{"a copy is read by another thread", ALL,
	 STEPS({A, DUP}, {A_BG, RECV, 10}, {A, SLEEP, 30}, {A, CLOSE2}, {B, SEND, 4}, {A, JOIN}),
	 0},
	{"closed", ALL,
	 STEPS({A, CLOSE}, {A, SEND, 1}, {A, RECV, 1}, {A, POLL, POLLIN, 0}, {A, SHUT, SHUT_WR},
	       {A, SOERROR}, {B, RECV, 1}),
	 0},
	{"number used by a pipe", ALL, NULL, number_reused},
	{"numbers in turn", ALL, NULL, numbers_in_turn},
	{"dup2 over a connection", ALL, NULL, dup2_over},
	{"close_range", ALL, NULL, ranges},
	{"all closed", ALL, NULL, close_all},
	{"stdio on a copy", OTHER, NULL, stdio},
	{"stdio with unread data", OTHER, NULL, stdio_late},
	{"stdio, in and out", OTHER, NULL, stdio_two},
	{"dprintf", OTHER, NULL, dprintf_},
	{"sendfile", ALL, NULL, sendfile_},
	{"sendfile, much", ALL, NULL, sendfile_much},
	{"sendfile after the end", ALL, NULL, sendfile_pipe_closed},
	{"sendfile to nobody", ALL, NULL, sendfile_to_nobody},
	{"splice from a pipe", ALL, NULL, splice_in},
	{"splice to a pipe", ALL, NULL, splice_out},
	{"splice waits", ALL, NULL, splice_waits},
	{"splice through", ALL, NULL, splice_through},
	{"what sockets refuse", ALL, NULL, refused_calls},
	{"by syscall()", ALL, NULL, by_syscall},
	{0},
};
