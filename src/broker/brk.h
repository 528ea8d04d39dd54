/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * brk.h - the inside of the broker
 *
 * How it works. One thread, one epoll instance: the listener, the signals, and one SOCK_SEQPACKET
 * socket a client. client.c receives and dispatches, out.c sends (a bounded queue a client, so a
 * slow one blocks nobody), offer.c matches offers, pair.c keeps live pairs, facts.c asks the kernel
 * about a socket, bell.c keeps clients' bells, passed.c counts who holds what went by SCM_RIGHTS, keep.c finds room for more descriptors than we may have, drop.c gets rid of
 * those that strangers passed.
 *
 * An offer is found by its (client, id), by its socket's cookie, and by its tuple. At most one
 * offer stands for a cookie and for a tuple: the newer one has just shown a connected socket, and a
 * tuple has one connection at a time, so the older one is void. Nobody can squat on addresses.
 *
 *	WAITING --(the mirror is offered: mate set, PROVE sent)--> asked --PROOF ok--> pair
 *
 * An offer whose PROVE is unanswered stays matched with its newest mate, and is not asked again: so
 * a client gets at most two messages for each offer that it made, however the other side behaves,
 * and a queue of twice the offers never overflows for a client that reads.
 *
 * Guarantees: a segment goes to two holders of the two ends of one connection, proven by the
 * kernel, and to nobody else; no client can make the broker block, spin, grow without bound or
 * refuse others of its own accord beyond its user's share. Not done here: hosts, rules, policy.
 *
 * Clients are freed at the end of a round of events only (sl_brk_kill() marks them), so a
 * pointer to one stays good while an event is handled.
 */
#ifndef SL_BRK_H
#define SL_BRK_H

#include <stdbool.h>
#include <signal.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>
#include "addr.h"
#include "broker.h"
#include "facts.h"
#include "msg.h"
#include "tab.h"

#define SL_BRK_OFFERS_MAX  16384u
#define SL_BRK_OUT_MAX	   (2 * SL_BRK_OFFERS_MAX + 64)
#define SL_BRK_BATCH	   64	  /* messages or connections taken from one source a round */
#define SL_BRK_GRACE_MS	   10000u /* a side without holders is kept so long, for exec */
#define SL_BRK_PAUSE_MS	   200u	  /* not accepting after descriptors have run out */
#define SL_BRK_HOLDERS_MAX 256u	  /* clients attached to one side of a pair */
#define SL_BRK_FILES_SPARE 64u	  /* descriptors for what is in hand */
#define SL_BRK_CLIENTS_MAX 16384u
#define SL_BRK_SNDBUF	   (64 << 10)
#define SL_BRK_USER_OFFERS 131072u /* pending offers of one user */
#define SL_BRK_OUT_HIGH	   256u	   /* not reading from a client with so many unsent */
#define SL_BRK_STUCK_MAX   32	   /* closes of one user's descriptors under way, */
#define SL_BRK_STUCK_MS	   50	   /* and none ends within this time: they hang */
#define SL_BRK_STALL_MS	   20	   /* a system call that a stranger can stall is interrupted */
#define SL_BRK_PASSED_IDLE 16384u  /* sockets passed on that nobody claims are remembered */
#define SL_BRK_KEEPERS	   4	   /* processes that hold what we have no room for */

struct sl_brk_client;
struct sl_brk_pair;
struct sl_brk_passed;
struct sl_brk_claim;

/* What one user holds; the system's broker gives each user but root half of everything at most. */
struct sl_brk_user {
	LIST_ENTRY(sl_brk_user) link;
	uid_t uid;
	unsigned clients, offers, ends; /* ends of live pairs */
	unsigned bells;
	unsigned claims; /* of sockets that were passed on */
	_Atomic unsigned stuck;		/* closes under way (drop.c) */
	_Atomic unsigned closing;	/* of these, inside close() */
	bool banned;
};

struct sl_brk_offer {
	struct sl_tab_node by_id, by_cookie, by_tuple;
	LIST_ENTRY(sl_brk_offer) link; /* of its client */
	struct sl_brk_client *client;
	struct sl_brk_offer *mate; /* the mirror image, also offered; mutual; or NULL */
	struct sl_facts facts;
	uint64_t id;
	uint32_t ring_len; /* wanted, 0: no wish */
	bool asked;	   /* PROVE sent, no PROOF yet */
};

/* One client that holds one side of a pair. */
struct sl_brk_hold {
	LIST_ENTRY(sl_brk_hold) of_client, of_end;
	struct sl_tab_node by_id;
	uint64_t id; /* the client's number of the offer that gave it this; 0: none */
	struct sl_brk_client *client;
	struct sl_brk_end *end;
};

struct sl_brk_end {
	struct sl_tab_node by_cookie;
	TAILQ_ENTRY(sl_brk_end) grace; /* while until_ms != 0 */
	LIST_HEAD(sl_brk_end_holds, sl_brk_hold) holds;
	struct sl_brk_pair *pair;
	struct sl_brk_user *user; /* charged */
	uint64_t cookie;
	uint64_t until_ms; /* nobody holds it since a client went away; 0: not so */
	unsigned hold_count;
	int side_fd;
};

/*
 * Its three descriptors are ours, or a keeper's (then they are -1). If that was lost there is no keeper either, and
 * nobody can re-attach.
 */
struct sl_brk_pair {
	struct sl_tab_node by_id;
	TAILQ_ENTRY(sl_brk_pair) link;
	struct sl_brk_end end[2];
	struct sl_keeper *keeper;
	uint64_t id;
	uint32_t ring_len;
	uint32_t slot; /* in the keeper */
	int seg_fd;
};

struct sl_keeper {
	pid_t pid;
	int sock;	 /* -1: does not run */
	unsigned pairs;	 /* that point here */
	uint32_t *free;	 /* slots: a stack */
	uint32_t free_count;
};

struct sl_brk_client {
	LIST_ENTRY(sl_brk_client) link; /* brk.clients, or brk.dying */
	LIST_HEAD(sl_brk_offers, sl_brk_offer) offers;
	LIST_HEAD(sl_brk_client_holds, sl_brk_hold) holds;
	LIST_HEAD(, sl_brk_claim) claims;
	struct sl_brk_user *user;
	struct sl_mail_shm *mail; /* NULL before HELLO */
	uint32_t mailed;	  /* our own count: the page is only written */
	unsigned offer_count;
	struct sl_tab_node by_serial;
	uint64_t serial; /* 0: has none */
	int *bells;	 /* SL_BELL_SLOTS eventfds, -1: none; NULL: none at all */
	pid_t pid;
	int fd;
	bool dead;
	bool thrown_out; /* by us: the process lives on */
	uint32_t watched;   /* epoll events asked for */
	struct sl_msg *out; /* a ring of out_cap messages that the socket had no room for */
	unsigned out_head, out_count, out_cap;
};

struct sl_brk {
	int ep, lfd, sigfd;
	bool system, verbose, paused, stop;
	uid_t uid;
	uint64_t now_ms, idle_ms; /* idle_ms 0: never */
	uint64_t idle_from_ms, paused_until_ms;
	uint64_t next_pair;
	uint64_t next_serial;
	unsigned client_count, client_max, pair_count, pair_max, bell_count, bell_max;
	unsigned own_count, own_max; /* pairs whose descriptors are here */
	uint32_t keep_slots;	     /* in each keeper */
	struct sl_keeper keepers[SL_BRK_KEEPERS];
	struct sl_tab offer_by_id, offer_by_cookie, offer_by_tuple;
	struct sl_tab pair_by_id, end_by_cookie, client_by_serial, hold_by_id, passed_by_cookie;
	TAILQ_HEAD(sl_brk_passed_idle, sl_brk_passed) passed_idle;
	unsigned passed_idle_count;
	LIST_HEAD(sl_brk_clients, sl_brk_client) clients, dying;
	LIST_HEAD(sl_brk_users, sl_brk_user) users;
	TAILQ_HEAD(sl_brk_pairs, sl_brk_pair) own, kept; /* pairs; own: those longest here first */
	TAILQ_HEAD(sl_brk_grace, sl_brk_end) graces; /* in order of until_ms */
	struct sl_addr addr;
	int dir_fd; /* the system's broker: the locked directory, or -1 */
	dev_t sock_dev;
	ino_t sock_ino;
};

static inline bool sl_brk_user_over(const struct sl_brk *b, const struct sl_brk_user *u,
				    unsigned has, unsigned max)
{
	return has >= (b->system && u->uid != 0 ? max / 2 : max);
}

/* listen.c */

/**
 * sl_brk_listen() - bind and listen, at one of the addresses of addr.h
 *
 * Binding an abstract name is atomic, and so the lock against a second broker. For a socket file
 * the lock is flock() on its directory; a stale file is replaced once nobody answers there.
 *
 * Return: 0; -EADDRINUSE a broker runs there already; -errno.
 */
int sl_brk_listen(struct sl_brk *b);
void sl_brk_unlisten(struct sl_brk *b);
void sl_brk_accept(struct sl_brk *b);
void sl_brk_pause(struct sl_brk *b, bool pause);

/* client.c */

/**
 * sl_brk_client_new() - take a new connection
 * @fd: owned from now on, also on failure
 */
void sl_brk_client_new(struct sl_brk *b, int fd);
void sl_brk_client_watch(struct sl_brk *b, struct sl_brk_client *c);
void sl_brk_client_event(struct sl_brk *b, struct sl_brk_client *c, uint32_t events);
void sl_brk_kill(struct sl_brk *b, struct sl_brk_client *c, const char *why);
void sl_brk_reap(struct sl_brk *b);
void sl_brk_users_sweep(struct sl_brk *b);

/* out.c */
void sl_brk_send(struct sl_brk *b, struct sl_brk_client *c, const struct sl_msg *m);
void sl_brk_refuse(struct sl_brk *b, struct sl_brk_client *c, uint64_t id, enum sl_reason why);
void sl_brk_flush(struct sl_brk *b, struct sl_brk_client *c);

/* offer.c: they borrow fd */
uint64_t sl_brk_id_hash(const struct sl_brk_client *c, uint64_t id);
void sl_brk_offer(struct sl_brk *b, struct sl_brk_client *c, const struct sl_msg *m, int fd);
void sl_brk_proof(struct sl_brk *b, struct sl_brk_client *c, const struct sl_msg *m, int fd);
void sl_brk_withdraw(struct sl_brk *b, struct sl_brk_client *c, const struct sl_msg *m);
void sl_brk_offers_drop(struct sl_brk *b, struct sl_brk_client *c);

/* pair.c */

/**
 * sl_brk_pair() - make segment and side pages for two proven offers, and send PAIRED
 * @first: becomes side 0
 *
 * On failure both are refused. The offers are to be freed by the caller in either case.
 */
void sl_brk_pair(struct sl_brk *b, struct sl_brk_offer *first, struct sl_brk_offer *second);

/**
 * sl_brk_pair_again() - a socket is offered that is an end of a live pair: is that to be had?
 *
 * It is, as long as nobody has attached this end: whoever it was given to has not used it, and never will if it is
 * honest (it has forked, or passed the socket on). The other end notices nothing.
 *
 * Return: true: PAIRED was sent; false: no such pair, go on.
 */
bool sl_brk_pair_again(struct sl_brk *b, struct sl_brk_client *c, const struct sl_msg *m,
		       uint64_t cookie);
/* @c withdraws an offer that has become this pair meanwhile: it will not attach */
void sl_brk_pair_withdraw(struct sl_brk *b, struct sl_brk_client *c, uint64_t id);
struct sl_brk_pair *sl_brk_pair_find(struct sl_brk *b, uint64_t id);
/* The segment and @side's page of it, ours to pass. Return: false: they are lost. */
bool sl_brk_pair_fds(struct sl_brk *b, struct sl_brk_pair *p, unsigned side, int fds[SL_MSG_FDS]);
void sl_brk_reattach(struct sl_brk *b, struct sl_brk_client *c, const struct sl_msg *m, int fd);
void sl_brk_gone(struct sl_brk *b, struct sl_brk_client *c, const struct sl_msg *m);
void sl_brk_holds_drop(struct sl_brk *b, struct sl_brk_client *c);
void sl_brk_pair_free(struct sl_brk *b, struct sl_brk_pair *p);
void sl_brk_grace_run(struct sl_brk *b);
/* @c holds end @side of the pair, and @other the other one */
bool sl_brk_pair_joins(struct sl_brk *b, uint64_t pair, unsigned side,
		       const struct sl_brk_client *c, const struct sl_brk_client *other);

/* bell.c */
void sl_brk_bell_client(struct sl_brk *b, struct sl_brk_client *c); /* gives a serial */
/* @fd is borrowed, or kept: then it is -1 afterwards */
void sl_brk_bell(struct sl_brk *b, struct sl_brk_client *c, const struct sl_msg *m, int *fd);
void sl_brk_ask(struct sl_brk *b, struct sl_brk_client *c, const struct sl_msg *m);
int sl_brk_bell_fd(struct sl_brk *b, uint64_t number); /* -1: there is none */
void sl_brk_bells_drop(struct sl_brk *b, struct sl_brk_client *c);

/* passed.c */
void sl_brk_pass(struct sl_brk *b, struct sl_brk_client *c, const struct sl_msg *m);
void sl_brk_unpass(struct sl_brk *b, struct sl_brk_client *c, const struct sl_msg *m);
/* one of the holders that no client has claimed is @c; @pid: who sent it the socket */
void sl_brk_take(struct sl_brk *b, struct sl_brk_client *c, uint64_t cookie, uint64_t pid);
void sl_brk_drop(struct sl_brk *b, struct sl_brk_client *c, const struct sl_msg *m);
/* Is @c the only holder? Return: SL_WHY_NONE: it is; SL_WHY_SHARED: not yet; SL_WHY_RECEIVED: nobody knows. */
enum sl_reason sl_brk_only_holder(struct sl_brk *b, struct sl_brk_client *c, uint64_t cookie);
void sl_brk_claims_drop(struct sl_brk *b, struct sl_brk_client *c);
void sl_brk_passed_fini(struct sl_brk *b);

/* keep.c */
void sl_brk_keep_init(struct sl_brk *b);
void sl_brk_keep_fini(struct sl_brk *b);
/* Moves a pair's descriptors to a keeper. Return: false: there is none that takes them; they are still here. */
bool sl_brk_keep(struct sl_brk *b, struct sl_brk_pair *p);
/* Gets them back. Return: 0, or -errno: they are lost. The pair is in no keeper any more in either case. */
int sl_brk_keep_back(struct sl_brk_pair *p);
void sl_brk_keep_drop(struct sl_brk_pair *p);

/* drop.c */

void sl_brk_drop_fd(struct sl_brk_user *u, int fd);
void sl_brk_stall_guard(bool on);
int sl_brk_stall_init(struct sigaction *old);

#endif
