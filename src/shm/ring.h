/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ring.h - one direction of a segment: records in shared memory, one writer, one reader
 *
 * How it works. Positions grow without end; position & (len - 1) is the offset in the ring. A record
 * is an 8-byte header (word.h) and its payload, padded to 8 bytes, never wrapped: where it does not fit
 * before the ring's end, a PAD record sends the reader to the front. Before a record is published the
 * word behind it is set to EMPTY (the terminator), so the reader always finds a word to look at.
 *
 * Credit. The writer may not overrun the reader, so the reader publishes its position now and then in one
 * 64-bit word: after 1/8 of the ring (SL_RING_STEP at most), before it arms, and where a waiting writer set SL_WANT.
 *
 *	writer					reader
 *	  no room by the cached credit		  consumed a record
 *	  (a) fetch_or(credit, WANT)		  (b) exchange(credit, position)
 *	      returned position gives room: go	      the old value had WANT: ring the writer
 *	      else sleep
 *
 * C1: (a) and (b) are read-modify-writes of one word: either (a) returns the new position or (b) sees
 *     WANT. Model: model/credit.pml. C2: (b) is a release and (a) an acquire, so the writer's stores into
 *     the space come after the reader's loads from it.
 *
 * Small footprint. A writer past the first quarter of the ring that finds everything consumed goes back to the
 * front by PAD, so a request/response exchange stays in the second-level cache. It looks at `consumed` for that, now
 * and then: the reader stores there at each receive, with the order of credit (C2). Until the reader has seen the PAD the writer can
 * use only what lies before it; that is why it does not go back sooner: a quarter of the ring (64 KiB by
 * default) can always be sent to a reader that does not look, as programs expect of a socket.
 *
 * Giving back. A reader that leaves with records unread closes the lane at the end all the same, but says before where it
 * has come to (G1): what lies from there on is still in the ring, as no credit was given for it, and the writer
 * sends it again by TCP. Model: model/back.pml.
 *
 * Plain stores. A read-modify-write waits until all earlier stores of its CPU are visible, each of them to a line that the
 * other CPU has. So a writer of small messages does little else than wait. While the reader comes back again and
 * again without sleeping it allows the writer to publish by a plain store (`plain`), and takes that back before it arms or
 * closes:
 *
 *	writer					reader
 *	  window = 1				  plain = 0
 *	  plain? word = RECORD			  (b) fence, for the writer as well
 *	  window = 0				  (c) window = 0: arm, close; else look again
 *	  (a) it was not: as in word.h
 *
 * P: at (b) the writer is before its look at `plain`, and finds 0, or its `window` is visible. At (c) it is out, and what it
 *    has stored is visible. So no plain store falls on ARMED or CLOSED. Model: model/plain.pml. A writer that is
 *    stopped inside its window keeps the reader from arming: then that looks again by itself. The
 *    fence costs the reader microseconds, so it allows again after the more messages the sooner it slept.
 *
 * SL_RING_RESERVE bytes are never given to data, so that START, END and FIN can always be published.
 *
 * Bound. A program that has set SO_SNDBUF counts on a send that finds no room when about that much, and what the peer's
 * SO_RCVBUF holds, is under way. So its writer uses less than the ring (sl_ring_tx.bound). It is counted from the hint
 * `consumed`, not from the credit, which may be SL_RING_STEP behind; the bound is never less than two such steps, so
 * that a reader which has taken all there was has given room by credit alone (C1). What a PAD has skipped is not
 * counted. All this stands in one position (`floor`), so that sends with room by the last known credit know nothing of it.
 *
 * What it does not do: it knows nothing of lanes, sleeping or errors of sockets (lane/), and it takes no
 * locks: one thread a side at a time. The positions (struct sl_ring_tx, sl_ring_rx) live where all
 * processes of one side can share them; the peer never sees them. Whatever the peer stores, accesses stay
 * inside the ring: offsets come from our own positions and lengths are checked against the ring.
 */
#ifndef SL_RING_H
#define SL_RING_H

#include "seg.h"
#include "word.h"

#define SL_WANT		1ull
#define SL_BACK		1ull
#define SL_RING_RESERVE 256u
#define SL_OWED(bell)	((int)(bell) + 1) /* what @ring of the writer's functions says; 0: none */
#define SL_RING_CHUNK	(16u << 10) /* a larger send is cut, so that both sides copy at once */
#define SL_RING_STEP	(32u << 10) /* credit is given that often at least */
#define SL_RING_LOOK	4096u /* bytes between two looks whether the front can be gone back to */
#define SL_RING_CALM	1024u /* receives without arming, from then on plain stores are allowed */
#define SL_RING_FICKLE	6     /* doubled that often at most */
#define SL_RING_BOUND	(72u << 10) /* a writer's bound is no less: 64 KiB of data, as TCP takes on loopback */
#define SL_RING_HOLD	(128u << 10) /* the reader's part of it, where the program has set none: Linux's own SO_RCVBUF */

/* A process's view of a ring: private, from sl_ring_init(). */
struct sl_ring {
	uint8_t *base;
	size_t len;
	size_t step; /* credit is given after so many bytes */
	struct sl_ring_ctl_shm *ctl;
};

static inline size_t sl_ring_front(const struct sl_ring *r)
{
	return r->len / 4;
}

struct sl_ring_tx {
	uint64_t credit;  /* reader's position as last seen */
	uint64_t pos;	  /* next record goes here */
	uint64_t floor;	  /* room for data is counted from here: @credit, or what @bound makes of it */
	uint64_t pad_end; /* behind the last PAD, */
	uint32_t pad_len; /* which skipped so many bytes */
	uint32_t bound;	  /* the program's SO_SNDBUF, as the kernel has it; 0: not set */
	uint64_t looked;  /* position at the last look whether the reader has taken everything */
};

struct sl_ring_rx {
	uint64_t pos;	    /* record being read, or the next one */
	uint64_t end;	    /* >= pos: first word not yet seen as RECORD */
	uint64_t published; /* position last given as credit */
	uint32_t off;	    /* payload bytes of the record at @pos already taken */
	uint32_t fin;	    /* a FIN stands before @end */
	uint64_t armed;	    /* position of the word that was armed last */
	uint32_t calm;	    /* receives since then */
	uint32_t fickle;    /* SL_RING_CALM is doubled so often */
	uint32_t plain;	    /* enum sl_ring_plain */
};

enum sl_ring_plain {
	SL_PLAIN_NOT,
	SL_PLAIN_ALLOWED,
	SL_PLAIN_ENDING, /* taken back and fenced; the writer's window was open */
};

static inline struct sl_word_shm *sl_ring_word(const struct sl_ring *r, uint64_t pos)
{
	return (struct sl_word_shm *)(void *)(r->base + (pos & (r->len - 1)));
}

/** sl_ring_init() - view the ring of @seg that side @from writes */
void sl_ring_init(struct sl_ring *r, const struct sl_seg *seg, unsigned from);

/* --- writer --- */

/**
 * sl_ring_reserve() - find room for one record of at most @want payload bytes
 * @data: where the payload goes
 * @ring: SL_OWED(bell) when a bell is owed (a PAD record met a sleeper)
 *
 * Return: payload bytes available, 1 .. @want; 0 no room; -EPIPE the lane is closed; -EPROTO.
 */
ssize_t sl_ring_reserve(const struct sl_ring *r, struct sl_ring_tx *tx, size_t want, void **data,
			int *ring);

/**
 * sl_ring_commit() - publish @len bytes at the place sl_ring_reserve() gave
 * @ring: SL_OWED(bell) when a bell is owed; two different ones make it bell 0, which wakes all
 *
 * Return: 0, -EPIPE or -EPROTO (nothing was published).
 */
int sl_ring_commit(const struct sl_ring *r, struct sl_ring_tx *tx, enum sl_rec_type type,
		   uint32_t len, int *ring);

/**
 * sl_ring_control() - publish a START, END or FIN record with up to 32 bytes, in the reserve
 *
 * Return: as sl_ring_commit(); -ENOBUFS the reserve is used up (cannot happen with one of each).
 */
int sl_ring_control(const struct sl_ring *r, struct sl_ring_tx *tx, enum sl_rec_type type,
		    const void *data, uint32_t len, int *ring);

/** sl_ring_room() - payload bytes that data may use now; @reload: look at the credit word */
size_t sl_ring_room(const struct sl_ring *r, struct sl_ring_tx *tx, bool reload);

/** sl_ring_worth() - so much room is worth telling a program of, or waking it for */
static inline size_t sl_ring_worth(const struct sl_ring *r, const struct sl_ring_tx *tx)
{
	return tx->bound ? sl_min_size(r->len / 4, SL_RING_BOUND / 4) : r->len / 4;
}

/**
 * sl_ring_want() - ask to be rung when there is credit; C1
 * Return: true: there is room by now, or the lane is closed: do not sleep.
 */
bool sl_ring_want(const struct sl_ring *r, struct sl_ring_tx *tx, size_t need);

/** sl_ring_closed() - the reader has closed the word that the writer would fill next */
bool sl_ring_closed(const struct sl_ring *r, const struct sl_ring_tx *tx);

/**
 * sl_ring_ack_closed() - replace CLOSED by an END record: "noticed, all later bytes go over TCP"
 * Return: 0, or -EPROTO when the word was not CLOSED.
 */
int sl_ring_ack_closed(const struct sl_ring *r, struct sl_ring_tx *tx);

/**
 * sl_ring_back() - what the reader that closed the lane gave back (G1); after CLOSED was seen
 * @from: set to where it begins; it reaches up to @tx's position
 *
 * Return: 1; 0 nothing; -EPROTO.
 */
int sl_ring_back(const struct sl_ring *r, const struct sl_ring_tx *tx, struct sl_ring_rx *from);

/* --- reader --- */

/**
 * sl_ring_peek() - the record at the reader's position, PAD skipped
 * @type, @data, @len: set on 1; what is left of the record
 *
 * Return: 1 a record; 0 none; -EPIPE we closed the lane at this word; -EPROTO.
 */
int sl_ring_peek(const struct sl_ring *r, struct sl_ring_rx *rx, enum sl_rec_type *type,
		 const uint8_t **data, size_t *len);

/** sl_ring_take() - consume @len bytes of the record at the reader's position */
void sl_ring_take(const struct sl_ring *r, struct sl_ring_rx *rx, size_t len);

/**
 * sl_ring_avail() - data bytes from the reader's position to the end, stopping at @enough
 *
 * Moves rx->end forward over the records seen. Return: bytes, or -EPROTO.
 */
ssize_t sl_ring_avail(const struct sl_ring *r, struct sl_ring_rx *rx, size_t enough);

/**
 * sl_ring_scan() - move rx->end to the first word that is not a record
 * Return: 0, or -EPROTO.
 */
int sl_ring_scan(const struct sl_ring *r, struct sl_ring_rx *rx);

/** sl_ring_left() - the writer has left: END stands behind all that is there */
bool sl_ring_left(const struct sl_ring *r, struct sl_ring_rx *rx);

/**
 * sl_ring_credit() - give credit if it is due (or @force)
 * Return: true: the writer waits for it, ring it.
 */
bool sl_ring_credit(const struct sl_ring *r, struct sl_ring_rx *rx, bool force);

/**
 * sl_ring_arm() / sl_ring_close() - at the end of what was published
 *
 * Arming gives credit first (@ring set when the writer is to be rung). It asks for a bell for the next record;
 * records that are there already are the caller's to look for, after arming.
 * Return: 0; -EPROTO; -EAGAIN from arming: the writer is stopped while it publishes by a plain store, and will not ring.
 * What was closed meanwhile may be open again: close it again before sleeping.
 */
int sl_ring_arm(const struct sl_ring *r, struct sl_ring_rx *rx, uint32_t bell, bool *ring);
int sl_ring_close(const struct sl_ring *r, struct sl_ring_rx *rx);

/**
 * sl_ring_calm() - something was received, and the reader has not slept: plain stores may be allowed
 * sl_ring_stern() - take that back, if it was (P)
 *
 * Return: false: the writer is stopped in its window.
 */
void sl_ring_allow_plain(const struct sl_ring *r, struct sl_ring_rx *rx);
bool sl_ring_stern(const struct sl_ring *r, struct sl_ring_rx *rx);

static inline void sl_ring_calm(const struct sl_ring *r, struct sl_ring_rx *rx)
{
	if (sl_unlikely(++rx->calm >= SL_RING_CALM << rx->fickle) && !rx->plain)
		sl_ring_allow_plain(r, rx);
}

/**
 * sl_ring_give_back() - close, and have the writer send again what we have not taken
 *
 * Not to be followed by credit: the writer's next record must not fall on what is given back.
 * Return: 0; -EPIPE too late, the writer has ended or finished: closed, and nothing is given back; -EPROTO.
 */
int sl_ring_give_back(const struct sl_ring *r, struct sl_ring_rx *rx);

/** sl_ring_shut() - we have closed the lane at the end of what was published, and the writer has not noticed */
bool sl_ring_shut(const struct sl_ring *r, const struct sl_ring_rx *rx);

/** sl_ring_ended() - END stands at the end of what was published */
bool sl_ring_ended(const struct sl_ring *r, const struct sl_ring_rx *rx);

#endif
