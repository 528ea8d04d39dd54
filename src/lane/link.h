/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * link.h - the two directions of a promoted connection, each over two lanes
 *
 * How it works. Each direction is one byte stream. It starts on the kernel lane (TCP). In one segment it
 * makes at most one stay on the memory lane:
 *
 *	sender:	  TCP --START(k)--> MEM --END, or CLOSED met--> DONE
 *					\--CLOSED met, given back--> BACK --sent again--> DONE
 *	receiver: TCP --k bytes read, START--> MEM --END--> DONE
 *					       \--we close--> CLOSING --END--> DONE
 *
 * START carries k, the kernel-lane position at which the data left TCP. The receiver reads exactly up to
 * k from the kernel, then the ring. From k on every byte on TCP is a bell, until END. When both
 * directions are done the segment is given up, and the connection may be promoted again with a new one.
 *
 * L1 (bells and data). Before a bell byte is sent, the sender stores the position behind it in the ring's
 *     `rung` word (release). A receiver on the memory lane drops kernel bytes below `rung` only, so
 *     it can never drop data that follows an END which it has not read yet. END is published after the
 *     last bell, so a receiver that has read END (acquire) sees the last value of `rung`.
 * L2 (before START). A byte that was seen in the kernel's queue is data only if, looked at after it was
 *     seen, the ring shows no START, or one behind it: START is published before the first bell is sent.
 *     So the kernel is peeked at, then the ring, and only then are bytes taken.
 * L3 (closing). The receiver closes by CAS at the end of the ring (CLOSED). The sender's next publish fails
 *     there; it replaces CLOSED by END, then sends on TCP. Until END stands there kernel bytes are
 *     bells. END wakes nobody: the first byte of data on TCP does.
 * L4 (who may ring). Bell 0 is a byte in the ringer's own sending direction, so it may be rung on the
 *     memory lane only. An end that leaves the memory lane with its sending direction first closes its
 *     receiving direction, and rings a writer that waits there, so that nobody waits for a bell from it.
 *     Other bells (ARMED(b), sock/bell.h) can be rung always. They only come with a record.
 * L5 (giving back). An end whose socket goes to a program without this library leaves in the middle of what it
 *     has received (sl_link_give_back). It stores its position, closes its receiving direction, and rings the peer,
 *     which may be asleep for an answer that only the other program will give. The peer, at its next
 *     send or look, finds CLOSED, puts END in its place and sends what was given back again over TCP, from the
 *     ring's memory, before anything else. END comes first, as the kernel may not take all of it at once.
 *     When we have seen END and dropped the bells below `rung`, TCP holds data only. Then our own END follows.
 *     Not possible where the peer has sent FIN, or where bytes from before START lie unread before bells.
 * L6 (closing the socket). A bell that meets a closed socket is answered by RST, and with it goes what the closing end's
 *     kernel has not got rid of yet: all that was sent by TCP behind END, which may be megabytes. So before an end
 *     closes it says that it is deaf, then waits for the bells that `rung` tells of (sl_link_deafen). Who rings
 *     stores `rung` (L1), then looks whether the peer is deaf: then the bell is not sent, and `rung` taken back. Sequentially
 *     consistent, all four: one of the two sees the other.
 *
 * Model: model/lanes.pml, model/half.pml, model/back.pml, model/close.pml (L6).
 *
 * All functions want the lock of the direction held (both for those on both), and leave errno alone. They never block,
 * but for milliseconds where a bell has to get through (sl_tx_bell), what was given back goes before FIN (sl_tx_fin), or bells
 * are under way (sl_link_deafen). -EPROTO means that the peer wrote nonsense; the caller resets the connection.
 */
#ifndef SL_LINK_H
#define SL_LINK_H

#include "copy.h"
#include "seg.h"
#include "side.h"
#include "stat.h"

struct sl_start_shm {
	uint64_t kpos; /* kernel-lane position of the switch */
};

/* Its record's place in the ring, where it is the first one. */
#define SL_LINK_START (sizeof(struct sl_word_shm) + sizeof(struct sl_start_shm))

struct sl_link {
	struct sl_seg seg;
	struct sl_ring out, in;
	struct sl_side_shm *side;
	struct sl_stat_conn_shm *stat;
	/*
	 * A word to look at without a lock: a record stands there only if there may be something to
	 * read. Always valid memory; stale values cost a needless look under the lock.
	 */
	const struct sl_word_shm *_Atomic hint;
	const struct sl_word_shm *_Atomic hint_new; /* the same behind what was counted (sl_sock_edge()) */
	struct {
		uint32_t gen;  /* of the broker that paired: which bells' numbers hold (sock/bell.h) */
		uint32_t asked;
		uint64_t pair; /* the broker's number of it */
		uint64_t next_ns;
	} bell;
	bool chaos;
	uint32_t rng;
};

/* Ring a bell other than 0. Return: false: it is not known here. NULL: none is. Set once, by sock/. */
extern bool (*sl_link_ring_other)(struct sl_link *l, uint32_t bell);

/** sl_link_init() - take an attached segment and this end's side page into use */
void sl_link_init(struct sl_link *l, const struct sl_seg *seg, struct sl_side_shm *side,
		  struct sl_stat_conn_shm *stat);

/* --- sending; tx lock --- */

/**
 * sl_tx_start() - switch to the memory lane if that can be done now
 * Return: 1 it is on the memory lane; 0 not now; -EPROTO.
 */
int sl_tx_start(struct sl_link *l, int fd);

/**
 * sl_tx_send() - send from @src, at most @len bytes, on whichever lane
 * @flags: MSG_* for the kernel lane
 *
 * Return: bytes, > 0; 0 the source is at its end; -EAGAIN no room on the lane; -errno of the kernel or
 *	   of the source; -EPROTO.
 */
ssize_t sl_tx_send(struct sl_link *l, int fd, struct sl_src *src, size_t len, int flags);

/** sl_tx_bell() - ring the peer, which sleeps or waits for room: bell 0 */
int sl_tx_bell(struct sl_link *l, int fd);

/** sl_tx_end() - leave the memory lane with this direction, for good */
int sl_tx_end(struct sl_link *l, int fd);

/**
 * sl_tx_answer() - the reader may have closed the lane: end it, and send again what it gave back (L5)
 * Return: 0; -EAGAIN the kernel's queue is full, there is more; -errno; -EPROTO.
 */
int sl_tx_answer(struct sl_link *l, int fd);

/* Looks without a lock: the reader has closed the lane; sl_tx_answer() has something to do. */
static inline bool sl_tx_closed(const struct sl_link *l)
{
	return l->side->tx.state == SL_TX_MEM && sl_ring_closed(&l->out, &l->side->tx.ring);
}

static inline bool sl_tx_hint(const struct sl_link *l)
{
	return sl_tx_closed(l) || l->side->tx.state == SL_TX_BACK;
}

/** sl_tx_fin() - publish FIN: nothing follows in this direction */
int sl_tx_fin(struct sl_link *l, int fd);

/** sl_tx_roomy() - there is room on the memory lane that is worth telling of (sl_ring_worth()) */
bool sl_tx_roomy(struct sl_link *l);

/** sl_tx_bound() - the program has set SO_SNDBUF: no more than that is to be under way (ring.h); 0: it has not */
void sl_tx_bound(struct sl_link *l, uint32_t bound);

/* --- receiving; rx lock --- */

/**
 * sl_rx_recv() - receive into @sink, at most @len bytes, from whichever lane
 * @flags: MSG_PEEK, SL_RX_DROP
 * @ring:  set when the peer's writer is to be rung (with the tx lock, after this one is released)
 *
 * Return: bytes; 0 end of file; -EAGAIN nothing now; -errno; -EPROTO; -EBUSY: bells lie before the data, and threads that
 *	   sleep on them have not woken yet: let them, and try again. With SL_RX_DROP they are dropped all the same.
 */
#define SL_RX_DROP 0x20000000
ssize_t sl_rx_recv(struct sl_link *l, int fd, struct sl_sink *sink, size_t len, int flags,
		   bool *ring);

/** sl_rx_hold() - the same for SO_RCVBUF, to be told to the peer */
static inline void sl_rx_hold(struct sl_link *l, uint32_t hold)
{
	atomic_store_explicit(&l->in.ctl->hold, hold, memory_order_relaxed);
}

/** sl_rx_avail() - bytes that can be received now, up to @enough; -EPROTO */
ssize_t sl_rx_avail(struct sl_link *l, int fd, size_t enough);

/**
 * sl_rx_kernel() - look at the kernel: drop bells, learn of FIN and errors
 * @drain: drop bells; wrong while another thread sleeps and counts on one
 *
 * Return: 0 the queue holds nothing that would wake a sleeper; 1 it does (bytes that may not be dropped, FIN,
 *	   an error).
 */
int sl_rx_kernel(struct sl_link *l, int fd, bool drain);

/**
 * sl_rx_arrived() - grows when data arrive, on whichever lane, and when nothing else does
 *
 * Not by bells, nor by a change of lane: two that are equal mean that nothing has come in between. @l: NULL: not attached
 */
uint64_t sl_rx_arrived(struct sl_link *l, struct sl_rx_side *rx, int fd);

/** sl_rx_bells() - bells that lie in the kernel's queue, or are about to */
uint64_t sl_rx_bells(const struct sl_link *l);

/**
 * sl_rx_hush() - before a sleep that FIN and errors end by themselves: drop bells
 *
 * On the memory lane the kernel's queue holds bells only: once they are dropped there is no need to look at it.
 * Return: 0 no byte that is known would end the sleep; 1 as sl_rx_kernel().
 */
int sl_rx_hush(struct sl_link *l, int fd, bool drain);

/**
 * sl_rx_arm() - before sleeping: ask to be rung for the next record
 * @bell: by which bell, on the memory lane
 * @ring: set when the peer's writer is to be rung
 *
 * Look again for data after arming: what was published before is not rung for.
 * Return: 0 armed, or nothing to arm (the kernel wakes us); -EPROTO.
 */
int sl_rx_arm(struct sl_link *l, uint32_t bell, bool *ring);

/** sl_rx_close() - take nothing more from the memory lane than what is there; L3, L4 */
int sl_rx_close(struct sl_link *l, bool *ring);

/** sl_rx_give_back() - the receiving half of sl_link_give_back() */
int sl_rx_give_back(struct sl_link *l);

/** sl_rx_memory() - true while the ring, and not the kernel, tells whether there is data */
static inline bool sl_rx_memory(const struct sl_link *l)
{
	return l->side->rx.state == SL_RX_MEM || l->side->rx.state == SL_RX_CLOSING;
}

/** sl_rx_set_hint() - after the reader's position or end has moved: set the words to look at */
void sl_rx_set_hint(struct sl_link *l);

/**
 * sl_rx_fetch() - what a hint has promised is on its way: have its second cache line come from the peer's core meanwhile
 */
static inline void sl_rx_fetch(struct sl_link *l)
{
	__builtin_prefetch((const char *)atomic_load_explicit(&l->hint, memory_order_relaxed) + 64);
}

/* A look without a lock: the word at the reader's position. */
static inline uint32_t sl_rx_hint_word(struct sl_link *l)
{
	const struct sl_word_shm *w = atomic_load_explicit(&l->hint, memory_order_relaxed);

	return w ? sl_word_look(w) : SL_EMPTY;
}

/* There may be something in the ring. */
static inline bool sl_rx_hint(struct sl_link *l)
{
	return sl_word_is_record(sl_rx_hint_word(l));
}

/**
 * sl_link_error() - the kernel reported an error of the connection: it is to be told, once (side.err)
 *
 * A reset that the peer's unread bells alone have caused is an end of file, as TCP would have sent FIN (side.masked).
 */
void sl_link_error(struct sl_link *l, int err);

/**
 * sl_link_ended() - the kernel's FIN is known: was it an end of the stream?
 *
 * A peer that died with our bytes unread in the ring would have sent RST, had they been in its kernel's queue: that is
 * noted as such an error.
 */
void sl_link_ended(struct sl_link *l);

/** sl_link_ends() - tell the peer that what the kernel is about to tell it is meant */
void sl_link_ends(struct sl_link *l, enum sl_ended how);

/* There may be something in the ring that no scan has seen yet. */
static inline bool sl_rx_hint_new(struct sl_link *l)
{
	const struct sl_word_shm *w = atomic_load_explicit(&l->hint_new, memory_order_relaxed);

	return w && sl_word_is_record(sl_word_look(w));
}

/* The reader's end is armed with @bell, or with the one that wakes all. */
static inline bool sl_rx_armed(struct sl_link *l, uint32_t bell)
{
	const struct sl_word_shm *w = atomic_load_explicit(&l->hint_new, memory_order_relaxed);
	uint32_t word = w ? sl_word_look(w) : SL_EMPTY;

	return word == sl_word_armed(0) || word == sl_word_armed(bell);
}

/* --- both; rx and tx lock --- */

/**
 * sl_link_leave() - back to TCP with both directions, at this byte
 * Return: 0 (also when under way already); -EAGAIN a thread of ours waits for room; -EPROTO.
 */
int sl_link_leave(struct sl_link *l, int fd);

/**
 * sl_link_give_back() - leave in the middle: what was not read comes again by TCP (L5)
 *
 * Then sl_link_given() until it says so.
 * Return: 0; -EBUSY not possible, nothing was changed; -EPROTO.
 */
int sl_link_give_back(struct sl_link *l, int fd);

/**
 * sl_link_given() - has the peer answered, and are all bells gone?
 * @drain: drop bells; not while another thread sleeps and counts on one
 * Return: 1 yes: what the kernel has and will get is data; 0 not yet; -EPROTO.
 */
int sl_link_given(struct sl_link *l, int fd, bool drain);

/**
 * sl_link_deafen() - before the kernel is told that nothing more is received: no bell may come from now on (L6)
 * @closes: the socket is closed next, and not only shut down
 *
 * Nobody may sleep who counts on one. Waits for one that is under way, 100 ms at most: who was killed at it has sent none.
 * A peer can say so of one that it never sends. So all waits in vain of a process are bounded together; and who closes
 * with nothing in the kernel that a reset would drop does not wait for long.
 */
void sl_link_deafen(struct sl_link *l, int fd, bool closes);

/** sl_link_finished() - both directions are done: the segment may be given up */
bool sl_link_finished(const struct sl_link *l);

/**
 * sl_link_quiet() - the peer has read all that we sent by memory, and no bell of ours lies unread in its kernel's queue
 *
 * Not before that may the segment be forgotten: the kernel of a peer that is killed sends RST for a bell as for data, and
 * FIN where data lie unread in the ring. Without it nobody knows which it was (sl_link_error(), sl_link_ended()).
 */
bool sl_link_quiet(const struct sl_link *l);

/** sl_link_unread() - true when the dead peer had not taken everything we sent */
bool sl_link_unread(const struct sl_link *l);

#endif
