/* SPDX-License-Identifier: BSD-2-Clause */
/* What the tests of shm/ and lane/ share: random numbers, byte streams, segments, TCP connections.
 */
#ifndef TEST_CORE_UTIL_H
#define TEST_CORE_UTIL_H

#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include "clock.h"
#include "fence.h"
#include "ring.h"
#include "seg.h"

#define HELPER static __attribute__((unused))

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

/* In a thread that is not the test's own cmocka cannot unwind. */
#define must(x)                                                                                    \
	do {                                                                                       \
		if (!(x)) {                                                                        \
			(void)fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #x);      \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

/* --- random numbers: the same for the same seed, everywhere --- */

HELPER uint32_t rnd(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(*state >> 33);
}

/* 0 .. n - 1 */
HELPER size_t below(uint64_t *state, size_t n)
{
	return rnd(state) % n;
}

/* How long a test that repeats itself goes on: SCILAN_TEST_MS, or the given time. */
HELPER uint64_t until_ns(unsigned ms)
{
	const char *s = getenv("SCILAN_TEST_MS");

	return sl_now_ns() + (s ? strtoull(s, NULL, 10) : ms) * 1000000u;
}

/* --- a stream whose every byte tells its position --- */

HELPER uint8_t stream_byte(uint64_t pos)
{
	return (uint8_t)((pos * 0x9e3779b97f4a7c15u) >> 56);
}

HELPER void stream_fill(void *buf, uint64_t pos, size_t len)
{
	uint8_t *p = buf;
	size_t i;

	for (i = 0; i < len; i++)
		p[i] = stream_byte(pos + i);
}

HELPER bool stream_is(const void *buf, uint64_t pos, size_t len)
{
	const uint8_t *p = buf;
	size_t i;

	for (i = 0; i < len; i++)
		if (p[i] != stream_byte(pos + i))
			return false;
	return true;
}

/* --- segments: two handles on one mapping, as the thread sanitizer wants it --- */

HELPER void seg_open(struct sl_seg seg[2], size_t ring_len)
{
	int fd = sl_seg_create(ring_len);

	assert_true(fd >= 0);
	assert_int_equal(sl_seg_attach(&seg[0], fd, 0), 0);
	seg[1] = seg[0];
	seg[1].side = 1;
	(void)close(fd);
}

HELPER void seg_close(struct sl_seg seg[2])
{
	sl_seg_detach(&seg[0]);
}

/* A ring with its two private ends. */
struct lone_ring {
	struct sl_seg seg[2];
	struct sl_ring r;
	struct sl_ring_tx tx;
	struct sl_ring_rx rx;
};

HELPER void lone_open(struct lone_ring *l, size_t ring_len)
{
	memset(l, 0, sizeof(*l));
	seg_open(l->seg, ring_len);
	sl_ring_init(&l->r, &l->seg[0], 0);
}

HELPER void lone_close(struct lone_ring *l)
{
	seg_close(l->seg);
}

/* --- TCP on loopback --- */

HELPER void tcp_pair(int fd[2], int sndbuf, int rcvbuf)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	int lfd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), i, one = 1;
	socklen_t len = sizeof(sa);

	assert_true(lfd >= 0);
	if (rcvbuf)
		(void)setsockopt(lfd, SOL_SOCKET, SO_RCVBUF, &rcvbuf, sizeof(rcvbuf));
	assert_int_equal(bind(lfd, (void *)&sa, len), 0);
	assert_int_equal(listen(lfd, 1), 0);
	assert_int_equal(getsockname(lfd, (void *)&sa, &len), 0);
	fd[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (rcvbuf)
		(void)setsockopt(fd[0], SOL_SOCKET, SO_RCVBUF, &rcvbuf, sizeof(rcvbuf));
	assert_int_equal(connect(fd[0], (void *)&sa, len), 0);
	fd[1] = accept4(lfd, NULL, NULL, SOCK_CLOEXEC);
	assert_true(fd[1] >= 0);
	(void)close(lfd);
	for (i = 0; i < 2; i++) {
		(void)setsockopt(fd[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		if (sndbuf)
			(void)setsockopt(fd[i], SOL_SOCKET, SO_SNDBUF, &sndbuf, sizeof(sndbuf));
	}
}

/* Within a second the kernel has something to read there. */
HELPER bool readable(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, 1000) == 1;
}

#endif
