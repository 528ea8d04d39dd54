/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * word.h - the one-word protocol: publish, arm, close are one atomic instruction on one word
 *
 * A ring (ring.h) is a sequence of records, each headed by a 32-bit word. The word at the position
 * that the writer will fill next is the only thing that both ends look at:
 *
 *	EMPTY	      nothing here yet
 *	ARMED(b)      nothing here yet, and the reader sleeps: ring bell b
 *	RECORD(t, n)  a record of type t, n payload bytes behind the header
 *	CLOSED	      the reader takes nothing more on this lane
 *
 *	writer					reader
 *	  write payload and terminator		  (a) CAS EMPTY -> ARMED, acquire
 *	  (b) CAS EMPTY|ARMED -> RECORD,	      failed: there is a record, do not sleep
 *	      release				  (c) load word, acquire: RECORD
 *	      was ARMED: ring the bell		  read payload
 *
 * W1: (b) is a release and pairs with the acquire in (a) and (c): who sees RECORD sees the payload
 *     and the terminator, the next word, which is EMPTY.
 * W2: (a) and (b) are read-modify-writes of one word, so one of them sees the other. There is no
 *     order in which the reader sleeps and the writer rings nobody: the store-load race of flags
 *     cannot be written down.
 *
 * Model: model/word.pml.
 */
#ifndef SL_WORD_H
#define SL_WORD_H

#include <errno.h>
#include <stdatomic.h>
#include "common.h"

#define SL_EMPTY      0u
#define SL_ARMED      1u
#define SL_RECORD     2u
#define SL_CLOSED     3u
#define SL_STATE_MASK 3u

#define SL_TYPE_SHIFT 2
#define SL_TYPE_MASK  7u
#define SL_LEN_SHIFT  5
#define SL_REC_MAX    (1u << 20) /* payload bytes of one record at most */

#define SL_RING 1 /* sl_word_publish(): published, and a bell is to be rung */

enum sl_rec_type {
	SL_DATA = 0,
	SL_PAD,	  /* skip to the start of the ring */
	SL_START, /* payload: struct sl_start_shm */
	SL_END,	  /* the writer goes on over TCP, for good as far as this segment goes */
	SL_FIN,	  /* the writer has shut its direction down */
};

/* Header of a record, 8-byte aligned. */
struct sl_word_shm {
	_Atomic uint32_t word; /* writer and reader, by CAS only, until RECORD; then the writer's */
	uint32_t spare;
};

static inline uint32_t sl_word_record(enum sl_rec_type type, uint32_t len)
{
	return SL_RECORD | ((uint32_t)type << SL_TYPE_SHIFT) | (len << SL_LEN_SHIFT);
}

static inline uint32_t sl_word_armed(uint32_t bell)
{
	return SL_ARMED | (bell << SL_TYPE_SHIFT);
}

static inline uint32_t sl_word_len(uint32_t w)
{
	return w >> SL_LEN_SHIFT;
}

static inline enum sl_rec_type sl_word_type(uint32_t w)
{
	return (enum sl_rec_type)((w >> SL_TYPE_SHIFT) & SL_TYPE_MASK);
}

static inline bool sl_word_is_record(uint32_t w)
{
	return (w & SL_STATE_MASK) == SL_RECORD;
}

/** sl_word_look() - what stands at the reader's position; W1 acquire */
static inline uint32_t sl_word_look(const struct sl_word_shm *w)
{
	return atomic_load_explicit(&w->word, memory_order_acquire);
}

/**
 * sl_word_publish() - make one record visible, and learn whether to wake the reader
 * @w:	  word at the writer's position; only the reader also changes it
 * @rec:  sl_word_record() of a payload that is already in place
 * @bell: set to the bell to ring when the return value is SL_RING
 *
 * Return: 0 published; SL_RING published, ring @bell; -EPIPE the reader closed the lane, nothing was
 *	   published; -EPROTO the peer stored nonsense (drop the connection).
 */
static inline int sl_word_publish(struct sl_word_shm *w, uint32_t rec, uint32_t *bell)
{
	uint32_t seen = SL_EMPTY;

	while (!atomic_compare_exchange_weak_explicit(&w->word, &seen, rec, memory_order_acq_rel,
						      memory_order_acquire)) {
		if (seen == SL_CLOSED)
			return -EPIPE;
		if (seen != SL_EMPTY && (seen & SL_STATE_MASK) != SL_ARMED)
			return -EPROTO;
	}
	*bell = seen >> SL_TYPE_SHIFT;
	return seen == SL_EMPTY ? 0 : SL_RING;
}

/**
 * sl_word_arm() - say that the reader is about to sleep; W2
 * @w:	  word at the end of what the reader has seen
 * @bell: bell to ring; a second sleeper of the same side turns any bell into 0, which wakes everyone
 *
 * Return: 0 armed; -EAGAIN there is a record by now (or the lane is closed): do not sleep.
 */
static inline int sl_word_arm(struct sl_word_shm *w, uint32_t bell)
{
	uint32_t seen = SL_EMPTY, want = sl_word_armed(bell);

	while (!atomic_compare_exchange_weak_explicit(&w->word, &seen, want, memory_order_acq_rel,
						      memory_order_acquire)) {
		if ((seen & SL_STATE_MASK) != SL_EMPTY && (seen & SL_STATE_MASK) != SL_ARMED)
			return -EAGAIN;
		if (seen == want)
			return 0;
		if ((seen & SL_STATE_MASK) == SL_ARMED)
			want = sl_word_armed(0);
	}
	return 0;
}

/**
 * sl_word_close() - the reader takes nothing more from this word on
 *
 * Return: 0 closed (or was); -EAGAIN there is a record by now.
 */
static inline int sl_word_close(struct sl_word_shm *w)
{
	uint32_t seen = SL_EMPTY;

	/* seq_cst: the closer then looks for WANT, the writer sets WANT and looks here (link.h, L4). */
	while (!atomic_compare_exchange_weak_explicit(&w->word, &seen, SL_CLOSED,
						      memory_order_seq_cst, memory_order_acquire)) {
		if (seen == SL_CLOSED)
			return 0;
		if ((seen & SL_STATE_MASK) == SL_RECORD)
			return -EAGAIN;
	}
	return 0;
}

#endif
