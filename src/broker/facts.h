/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * facts.h - what the kernel says about a TCP socket that a client has shown
 *
 * Nothing that the client declares is used: all of it is read from the descriptor. A connected
 * 4-tuple is unique within a network namespace and device binding at any moment, so both belong to
 * the key. v4-mapped IPv6 addresses are stored as IPv4, since one end may be an IPv6 socket and the
 * other not.
 */
#ifndef SL_FACTS_H
#define SL_FACTS_H

#include <stdint.h>
#include "reason.h"

/* No padding: hashed and compared as bytes. Index 0 is the local end, 1 the peer. */
struct sl_tuple {
	uint64_t netns;	  /* SO_NETNS_COOKIE */
	uint32_t family;  /* AF_INET or AF_INET6 */
	uint32_t ifindex; /* SO_BINDTOIFINDEX, 0: not bound */
	uint8_t addr[2][16];
	uint16_t port[2]; /* network byte order */
	uint32_t zero;
};

struct sl_facts {
	uint64_t cookie; /* SO_COOKIE: this very socket, never used again until the next boot */
	struct sl_tuple tuple;
};

/**
 * sl_facts_cookie() - the cookie of a TCP socket in any state
 *
 * Return: SL_WHY_NONE, or SL_WHY_NOT_TCP.
 */
enum sl_reason sl_facts_cookie(int fd, uint64_t *cookie);

/**
 * sl_facts_read() - all facts of an established TCP connection
 *
 * Return: SL_WHY_NONE, or why it cannot be paired.
 */
enum sl_reason sl_facts_read(int fd, struct sl_facts *f);

/* the key under which the other end of this connection offers */
void sl_tuple_mirror(const struct sl_tuple *t, struct sl_tuple *mirror);

#endif
