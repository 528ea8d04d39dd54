/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bell.h - wake-ups that are cheaper than a byte of TCP
 *
 * How it works. A bell is an eventfd. Each thread that sleeps on connections in recv, poll or select has one of its own,
 * and each epoll instance. It is handed to the broker, which hands it on to a peer process that asks. Its number goes
 * into ARMED(b) (word.h). The writer that meets it there writes to that eventfd. If it does not have it, it rings bell 0,
 * a byte of TCP, and asks the broker for the next time.
 *
 * Guarantees. A sleeper always sleeps on the TCP socket as well. So bell 0, FIN, RST, a killed peer, and whoever
 * rings without knowing numbers wake it as ever. A bell is a short cut and nothing depends on it, but for one thing: who writes
 * to an eventfd for a number must write to the sleeper's. Numbers are the broker's: its client's serial, which it gives
 * once, and a slot, whose eventfd never changes. They hold for connections that this very broker has paired: both
 * ends look at the connection's generation (sl_sock.offer_gen) before they use one.
 *
 * Descriptors. At most SL_BELL_SLOTS of our own and SL_BELLS_OTHERS of peers, hidden (hidden.h). Those of our own are never
 * closed, but used again by the next thread or instance. A peer's makes room for another by dup3() to the same number, under
 * its lock, so that nobody writes to a descriptor that is the program's by now.
 */
#ifndef SL_BELL_H
#define SL_BELL_H

#include "sock.h"

#define SL_BELLS_OTHERS 256

/** sl_bell_take() - a bell for a thread or an instance. Return: its slot; -1 there is none. */
int sl_bell_take(void);
void sl_bell_give(int slot);

/** sl_bell_mine() - this thread's, taken when it is first asked for; given back when the thread ends */
int sl_bell_mine(void);

/** sl_bell_fd() - the eventfd; -1: none */
int sl_bell_fd(int slot);

/**
 * sl_bell_number() - what to arm @s with; 0: TCP. It may talk to the broker: no locks held.
 * sl_bell_still() - what @number is with the rx lock held: itself; 0, where @s was paired by another broker since, or forked
 */
uint32_t sl_bell_number(int slot, const struct sl_sock *s);
uint32_t sl_bell_still(int slot, const struct sl_sock *s, uint32_t number);

/** sl_bell_silence() - it was rung: read it, as poll() would tell of it for ever */
void sl_bell_silence(int slot);

/** sl_bell_ring_slot() - wake who sleeps by this one of our own */
void sl_bell_ring_slot(int slot);

/** sl_bell_ring_own() - wake all threads of this process that sleep by one: they look again */
void sl_bell_ring_own(void);

/** sl_bell_ring() - ring another's bell. Return: false: it is not known here, ring bell 0. */
bool sl_bell_ring(struct sl_link *l, uint32_t number);

/* --- offer.c: the talk with the broker --- */

/* Hand in an eventfd. Return: generation << 32 | number; 0: not now. */
uint64_t sl_offer_bell(unsigned slot, int fd);

/* The broker has told of @number; @fd is taken over, -1: it is not to be had. */
void sl_bell_learn(uint32_t gen, uint32_t number, int fd);

/* One that is to be asked for, if any. */
struct sl_bell_want {
	uint32_t gen, number, side;
	uint64_t pair;
};
bool sl_bell_wanted(void);
bool sl_bell_want_take(struct sl_bell_want *w);

void sl_bell_init(void);
void sl_bell_fork_child(void);

#endif
