/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * storm.c - bytes in both directions among signals without end
 *
 *	storm PORT BYTES	connect, echo's server side is `storm -s PORT BYTES`
 *
 * A timer signals the process each 100 us, and a second thread signals the one that works, as fast as it can. One handler has
 * SA_RESTART, the other has not. The client sends pseudo-random words; the server sends the same back changed; both
 * check each word. Prints "running" first, and "ok N signals" at the end.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define WORDS 16384

static _Atomic long signals;
static _Atomic int stop;

static void on_signal(int sig)
{
	(void)sig;
	atomic_fetch_add(&signals, 1);
}

static void *pokes(void *arg)
{
	static const struct timespec step = {.tv_nsec = 50000};

	while (!atomic_load(&stop)) {
		pthread_kill(*(pthread_t *)arg, SIGUSR1);
		nanosleep(&step, NULL);
	}
	return NULL;
}

static uint64_t next(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

static void fail(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(1);
}

static void send_all(int fd, const char *p, size_t len)
{
	ssize_t n;

	for (; len; p += n, len -= (size_t)n) {
		n = send(fd, p, len, 0);
		if (n < 0 && errno == EINTR)
			n = 0;
		else if (n <= 0)
			fail("send");
	}
}

struct way {
	int fd;
	uint64_t bytes, seed;
};

static void *receives(void *arg)
{
	static uint64_t buf[WORDS];
	struct way *w = arg;
	uint64_t x = w->seed, left = w->bytes;
	size_t have = 0, i;
	ssize_t n;

	while (left) {
		n = recv(w->fd, (char *)buf + have, sizeof(buf) - have, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			fail("recv");
		have += (size_t)n;
		left -= (uint64_t)n;
		for (i = 0; i < have / 8; i++)
			if (buf[i] != next(&x)) {
				errno = 0;
				fail("wrong bytes");
			}
		memmove(buf, buf + i, have %= 8);
	}
	return NULL;
}

static void both_ways(int fd, uint64_t bytes, bool server)
{
	static uint64_t buf[WORDS];
	struct way in = {fd, bytes, server ? 1 : 2};
	uint64_t x = server ? 2 : 1, done;
	pthread_t t;
	size_t i;

	if (pthread_create(&t, NULL, receives, &in))
		fail("thread");
	for (done = 0; done < bytes; done += sizeof(buf)) {
		for (i = 0; i < WORDS; i++)
			buf[i] = next(&x);
		send_all(fd, (const char *)buf, sizeof(buf));
	}
	pthread_join(t, NULL);
}

int main(int argc, char **argv)
{
	struct sigaction alrm = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	struct sigaction usr1 = {.sa_handler = on_signal};
	struct itimerval it = {{0, 100}, {0, 100}};
	bool server = argc == 4;
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	uint64_t bytes = strtoull(argv[argc - 1], NULL, 10);
	pthread_t self = pthread_self(), t;
	int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;

	a.sin_port = htons((uint16_t)atoi(argv[argc - 2]));
	if (server) {
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		if (bind(fd, (struct sockaddr *)&a, sizeof(a)) || listen(fd, 1))
			fail("listen");
		fd = accept(fd, NULL, NULL);
		if (fd < 0)
			fail("accept");
	} else if (connect(fd, (struct sockaddr *)&a, sizeof(a))) {
		fail("connect");
	}
	sigaction(SIGALRM, &alrm, NULL);
	sigaction(SIGUSR1, &usr1, NULL);
	setitimer(ITIMER_REAL, &it, NULL);
	pthread_create(&t, NULL, pokes, &self);
	puts("running");
	fflush(stdout);
	both_ways(fd, bytes, server);
	memset(&it, 0, sizeof(it));
	setitimer(ITIMER_REAL, &it, NULL);
	atomic_store(&stop, 1);
	pthread_join(t, NULL);
	printf("ok %ld\n", atomic_load(&signals));
	return 0;
}
