/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * msg.h - what clients and the broker say to each other
 *
 * SOCK_SEQPACKET, one struct sl_msg a packet, native byte order (both ends run on one machine).
 * Descriptors travel with SCM_RIGHTS in the order named here.
 *
 *   client -> broker
 *     HELLO     arg = SL_MSG_VERSION. First message.
 *     OFFER     id = the client's number for this offer (unique on this connection, never 0),
 *               arg = wanted ring bytes (0: default), flags, fd: the TCP socket. The broker
 *               reads the addresses from the socket itself (nothing declared is believed) and
 *               drops it.
 *     PROOF     id; fd: the TCP socket once more. An answer to PROVE.
 *     WITHDRAW  id: the offer is void (closed, demoted, forked). Where PAIRED is under way already, that pair is
 *               not attached.
 *     GONE      pair, side: this end has detached from the segment of that pair.
 *     PASS      id = a socket's cookie, arg: this client holds it, and about to hold it are so many more.
 *     UNPASS    id, arg: so many of those whom this client has announced will not hold it after all.
 *     TAKE      fd: a TCP socket; one of these is this client; pair: the process id of the sender, as SO_PEERCRED tells
 *               it of the UNIX socket that it came over.
 *     DROP      id = a cookie: this client holds it no longer, or one time less often.
 *     BELL      arg = slot, below SL_BELL_SLOTS; fd: an eventfd, non-blocking. From now on the bell
 *               (serial << SL_BELL_SLOT_BITS | slot), until this client goes away.
 *     ASK       id = a bell; pair, side: an end that this client holds, of a pair whose other
 *               end is held by the bell's owner.
 *   broker -> client
 *     WELCOME   arg = SL_MSG_VERSION, fd: the mail page; id = the client's serial, 0: this broker
 *               knows nothing of bells.
 *     PROVE     id: show that you still hold it.
 *     PAIRED    id, pair, side, arg = ring bytes; fds: segment, side page.
 *     REFUSED   id, arg = enum sl_reason. The offer is void.
 *     BELL      id; arg = 1, fd: the eventfd; arg = 0: not to be had. The answer to ASK.
 *
 * Pairing: the end that offers second has just shown its socket; the end that offered first is
 * asked to PROVE, and its PROOF must show the socket with the same SO_COOKIE, connected, its
 * addresses the mirror image of the second's in the same network namespace (SO_NETNS_COOKIE). The
 * second's socket has been open since its offer (an honest client withdraws before it closes), and
 * a 4-tuple has at most one connection at a time: so the two are the two ends of one connection.
 *
 * Pairing again: where an OFFER shows the socket of an end of a live pair, and nobody has attached that end
 * (sl_seg_attached()), it is answered by PAIRED at once: the same segment and side, and a fresh side page. So a
 * child gets what its parent was given and did not use before the fork.
 *
 * With SL_OFFER_REATTACH an OFFER asks for a live pair of which this socket (by SO_COOKIE) is an
 * end: PAIRED with the same segment, side and side page, or REFUSED.
 *
 * An OFFER with SL_OFFER_RECEIVED is of a socket that came by SCM_RIGHTS: it is refused as long as the client is not
 * its only holder, by what PASS, TAKE and DROP have said (passed.c). With SL_OFFER_TAKE it is a TAKE as well.
 *
 * The mail page (one page, made and sealed by the broker, written by the broker only) holds one
 * counter that grows with each message sent to this client, so that a client sees without a system
 * call that there is something to receive.
 */
#ifndef SL_MSG_H
#define SL_MSG_H

#include <stdatomic.h>
#include <stdint.h>

#define SL_MSG_VERSION	  3u
#define SL_BROKER_SYSTEM  "/run/scilan/broker.sock"
#define SL_BROKER_USER	  "scilan-broker-%u" /* abstract, the user's effective uid */
#define SL_OFFER_REATTACH 1u
#define SL_OFFER_RECEIVED 2u
#define SL_OFFER_TAKE	  4u
#define SL_MSG_FDS	  2
#define SL_BELL_SLOT_BITS 6
#define SL_BELL_SLOTS	  (1u << SL_BELL_SLOT_BITS)

enum sl_msg_type {
	SL_MSG_HELLO = 1,
	SL_MSG_WELCOME,
	SL_MSG_OFFER,
	SL_MSG_PROVE,
	SL_MSG_PROOF,
	SL_MSG_PAIRED,
	SL_MSG_REFUSED,
	SL_MSG_WITHDRAW,
	SL_MSG_GONE,
	SL_MSG_BELL,
	SL_MSG_ASK,
	SL_MSG_PASS,
	SL_MSG_UNPASS,
	SL_MSG_TAKE,
	SL_MSG_DROP,
};

struct sl_msg {
	uint32_t type; /* enum sl_msg_type */
	uint32_t side; /* PAIRED, GONE: 0 or 1 */
	uint64_t id;
	uint64_t pair; /* broker's number for a pair, never 0 */
	uint32_t arg;
	uint32_t flags;
};

struct sl_mail_shm {
	_Atomic uint32_t count; /* writer: the broker */
};

/**
 * sl_msg_send() - send one message with descriptors, never blocking
 * @fd:	  a SOCK_SEQPACKET socket
 * @m:	  the message
 * @fds:  descriptors to pass (not closed)
 * @nfds: 0 .. SL_MSG_FDS
 *
 * Return: 0, or -errno (-EAGAIN: the queue is full; -EPIPE: the other end is gone).
 */
int sl_msg_send(int fd, const struct sl_msg *m, const int *fds, unsigned nfds);

/**
 * sl_msg_recv() - receive one message, never blocking
 * @fds:  filled with the descriptors received (CLOEXEC), the rest set to -1
 *
 * Descriptors beyond SL_MSG_FDS are closed.
 *
 * Return: 1 a message; 0 the other end is gone; -EAGAIN none; -EPROTO a packet of the wrong size
 * (its descriptors are closed); -errno.
 */
int sl_msg_recv(int fd, struct sl_msg *m, int fds[SL_MSG_FDS]);

#endif
