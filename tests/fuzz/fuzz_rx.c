/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_rx.c - libFuzzer: a peer that writes the segment, and a victim that reads and writes
 *
 * The input is a program: one byte says which call the victim makes, or that the peer stores
 * something, and the bytes behind it are the arguments. A socket pair stands for TCP. The
 * sanitizers see what leaves the victim's memory; libFuzzer's -timeout sees what does not return.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "link.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct input {
	const uint8_t *p;
	size_t left;
};

static struct sl_seg seg;
static int fd[2];

static uint64_t take(struct input *in, size_t n)
{
	uint64_t v = 0;

	n = sl_min_size(n, in->left);
	memcpy(&v, in->p, n);
	in->p += n;
	in->left -= n;
	return v;
}

static void start_over(void)
{
	char junk[4096];
	int snd = seg.shm != NULL;

	if (!snd) {
		int mem = sl_seg_create(SL_RING_LEN_MIN);

		if (mem < 0 || sl_seg_attach(&seg, mem, 0) < 0 ||
		    socketpair(AF_UNIX, SOCK_STREAM, 0, fd) < 0)
			abort();
		(void)close(mem);
	}
	memset(seg.shm, 0, seg.map_len);
	while (recv(fd[0], junk, sizeof(junk), MSG_DONTWAIT) > 0)
		;
	while (recv(fd[1], junk, sizeof(junk), MSG_DONTWAIT) > 0)
		;
}

static void check(ssize_t n, size_t most)
{
	if (n > (ssize_t)most)
		abort();
	if (n < 0 && n != -EPROTO && n != -EAGAIN && n != -EPIPE && n != -ENOBUFS)
		abort();
}

static void recv_some(struct sl_link *l, size_t len, int flags)
{
	void *buf = malloc(len);
	struct iovec iov = {buf, len};
	struct sl_sink sink = {.iov = &iov, .iovcnt = 1, .fd = -1};
	bool ring = false;

	check(sl_rx_recv(l, fd[0], &sink, len, flags, &ring), len);
	if (ring)
		(void)sl_tx_bell(l, fd[0]);
	free(buf);
}

static void send_some(struct sl_link *l, size_t len)
{
	void *buf = calloc(1, len);
	struct iovec iov = {buf, len};
	struct sl_src src = {.iov = &iov, .iovcnt = 1, .fd = -1};

	check(sl_tx_send(l, fd[0], &src, len, 0), len);
	free(buf);
}

static void store(struct input *in)
{
	unsigned ring = (unsigned)take(in, 1) & 1, n;
	size_t off = (size_t)take(in, 2) % (SL_RING_LEN_MIN / 8) * 8;
	uint8_t *at = sl_seg_ring(&seg, ring) + off;

	n = 1 + (unsigned)take(in, 1) % 4; /* a few records, one behind the other */
	while (n-- && off + 16 <= SL_RING_LEN_MIN) {
		uint32_t word = (uint32_t)take(in, 4);

		memcpy(at, &word, sizeof(word));
		at += 8;
		off += 8;
	}
}

static void peer(struct input *in)
{
	struct sl_ring_ctl_shm *ctl = &seg.shm->ring[take(in, 1) & 1];

	switch (take(in, 1) % 5) {
	case 0:
		atomic_store(&ctl->credit, take(in, 8));
		break;
	case 1:
		atomic_store(&ctl->rung, take(in, 8));
		break;
	case 2:
		atomic_store(&seg.shm->side[1].attached, (uint32_t)take(in, 1));
		break;
	case 3:
		(void)send(fd[1], "bell", take(in, 1) % 5, MSG_DONTWAIT);
		break;
	default:
		store(in);
	}
}

static void call(struct sl_link *l, struct input *in, unsigned what)
{
	bool ring = false;

	switch (what) {
	case 0:
		recv_some(l, 1 + take(in, 2), 0);
		break;
	case 1:
		recv_some(l, 1 + take(in, 1), MSG_PEEK);
		break;
	case 2:
		check(sl_rx_avail(l, fd[0], take(in, 2)), SIZE_MAX / 2);
		break;
	case 3:
		check(sl_rx_arm(l, 0, &ring), 0);
		break;
	case 4:
		(void)sl_rx_kernel(l, fd[0], take(in, 1) & 1);
		break;
	case 5:
		send_some(l, 1 + take(in, 2));
		break;
	case 6:
		check(sl_link_leave(l, fd[0]), 0);
		break;
	case 7:
		check(sl_rx_close(l, &ring), 0);
		break;
	case 8:
		check(sl_tx_fin(l, fd[0]), 0);
		break;
	case 9:
		(void)sl_ring_want(&l->out, &l->side->tx.ring, take(in, 2));
		break;
	case 10:
		check(sl_ring_scan(&l->in, &l->side->rx.ring), 0);
		break;
	default:
		store(in);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct sl_stat_conn_shm stat;
	struct sl_side_shm side = {.holders = 1};
	struct input in = {data, len};
	struct sl_link link;
	unsigned what;

	start_over();
	memset(&link, 0, sizeof(link));
	atomic_store(&seg.shm->side[1].attached, 1);
	sl_link_init(&link, &seg, &side, &stat);
	side.tx.state = (uint32_t)take(&in, 1) % 3;
	side.rx.state = (uint32_t)take(&in, 1) % 4;
	while (in.left) {
		what = (unsigned)take(&in, 1) % 24;
		if (what < 12)
			call(&link, &in, what);
		else
			peer(&in);
	}
	return 0;
}
