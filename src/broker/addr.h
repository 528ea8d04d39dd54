/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * addr.h - where the broker listens, and how a client reaches it
 *
 * Two usual addresses: the system broker's socket file SL_BROKER_SYSTEM, and the user's own
 * abstract name SL_BROKER_USER. SCILAN_BROKER in the environment names one other abstract address
 * that is tried instead of both.
 *
 * Anybody may bind an abstract name first, so a client believes a broker only after SO_PEERCRED has
 * shown that it runs as the client's own effective user or as root. Usable inside an interposed
 * program: raw system calls only, nothing blocks, errno is left alone.
 */
#ifndef SL_ADDR_H
#define SL_ADDR_H

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>

#define SL_ADDR_MAX 2

struct sl_addr {
	struct sockaddr_un un;
	socklen_t len;
};

/**
 * sl_addr_own() - the address that a broker of this process would listen at
 * @system: the machine's broker, not the user's
 *
 * Return: 0, -ENAMETOOLONG.
 */
int sl_addr_own(struct sl_addr *a, bool system);

/**
 * sl_addr_list() - the addresses that a client tries, in order
 *
 * Return: how many (1 or 2), or -ENAMETOOLONG.
 */
int sl_addr_list(struct sl_addr a[SL_ADDR_MAX]);

/**
 * sl_addr_text() - an address for people: the path, or "@name"
 * @buf: at least sizeof(struct sockaddr_un) bytes
 */
const char *sl_addr_text(const struct sl_addr *a, char *buf, size_t len);

/**
 * sl_addr_connect() - connect to a broker and check who runs it
 *
 * Return: a SOCK_SEQPACKET descriptor (CLOEXEC, O_NONBLOCK); -ENOENT or -ECONNREFUSED nobody is
 *	   there; -EPERM it runs as another user and not as root; -EPROTOTYPE another kind of
 *	   socket; -EAGAIN its backlog is full; -errno.
 */
int sl_addr_connect(const struct sl_addr *a);

/**
 * sl_addr_connect_any() - the first broker that answers
 * @used: set to its address, or on failure to the address that the error is about; may be NULL
 *
 * Return: as sl_addr_connect(). -ENOENT only if there is nobody at any address.
 */
int sl_addr_connect_any(struct sl_addr *used);

#endif
