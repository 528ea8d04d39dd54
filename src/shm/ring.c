/* SPDX-License-Identifier: BSD-2-Clause */
/* ring.c - see ring.h; the orderings W1, W2 are in word.h, C1, C2 in ring.h */
#include <errno.h>
#include <string.h>
#include <sys/types.h>
#include "fence.h"
#include "ring.h"
#include "sys.h"

#define HDR   sizeof(struct sl_word_shm)
#define SPINS 64 /* looks at a window, */
#define LOOKS 68 /* and some that let others run, until it counts as a stopped writer's */

static inline size_t pad8(size_t n)
{
	return (n + 7) & ~(size_t)7;
}

void sl_ring_init(struct sl_ring *r, const struct sl_seg *seg, unsigned from)
{
	r->base = sl_seg_ring(seg, from);
	r->len = seg->ring_len;
	r->step = sl_min_size(r->len / 8, SL_RING_STEP);
	r->ctl = &seg->shm->ring[from];
}

/* --- writer --- */

/* Bytes, headers included, that may be written behind @used ones with @keep left over. */
static size_t space(const struct sl_ring *r, uint64_t used, size_t keep)
{
	used += HDR + keep;
	return used >= r->len ? 0 : (size_t)(r->len - used);
}

/* What the reader has not taken. It may say anything between the last credit and our position. */
static uint64_t under_way(const struct sl_ring *r, const struct sl_ring_tx *tx)
{
	uint64_t taken = atomic_load_explicit(&r->ctl->consumed, memory_order_relaxed);
	uint64_t used = tx->pos - tx->credit;

	if (tx->pos - taken < used)
		used = tx->pos - taken;
	return used >= tx->pos - tx->pad_end + tx->pad_len ? used - tx->pad_len : used;
}

/* A bounded writer's room: as if the credit stood where it leaves just that. */
static void lower_floor(const struct sl_ring *r, struct sl_ring_tx *tx)
{
	uint64_t may = tx->bound, used = under_way(r, tx), left;
	uint32_t hold = atomic_load_explicit(&r->ctl->hold, memory_order_relaxed);

	may += hold ? hold : SL_RING_HOLD;
	if (may < SL_RING_BOUND)
		may = SL_RING_BOUND;
	left = used < may ? may - used : 0;
	if (left < space(r, tx->pos - tx->credit, SL_RING_RESERVE))
		tx->floor = tx->pos + HDR + SL_RING_RESERVE + left - r->len;
}

static void set_floor(const struct sl_ring *r, struct sl_ring_tx *tx)
{
	tx->floor = tx->credit;
	if (sl_unlikely(tx->bound))
		lower_floor(r, tx);
}

/* The peer writes the credit word: only a position between the last one and ours is believed. */
static void reload_credit(const struct sl_ring *r, struct sl_ring_tx *tx, uint64_t v)
{
	v &= ~SL_WANT;
	if (v - tx->credit <= tx->pos - tx->credit && !(v & 7))
		tx->credit = v;
	set_floor(r, tx);
}

size_t sl_ring_room(const struct sl_ring *r, struct sl_ring_tx *tx, bool reload)
{
	size_t n;

	if (reload)
		reload_credit(r, tx, atomic_load_explicit(&r->ctl->credit, memory_order_acquire));
	n = space(r, tx->pos - tx->floor, SL_RING_RESERVE);
	return n <= HDR ? 0 : n - HDR;
}

/* P. Return: false: not allowed, nothing was stored. */
static bool publish_plain(const struct sl_ring *r, struct sl_word_shm *w, uint32_t rec)
{
	struct sl_ring_ctl_shm *ctl = r->ctl;
	bool may;

	if (!atomic_load_explicit(&ctl->plain, memory_order_relaxed) || !sl_fence_able)
		return false;
	atomic_store_explicit(&ctl->window, 1, memory_order_relaxed);
	atomic_signal_fence(memory_order_seq_cst); /* the reader's fence does the rest */
	may = atomic_load_explicit(&ctl->plain, memory_order_acquire);
	if (may)
		atomic_store_explicit(&w->word, rec, memory_order_release);
	atomic_store_explicit(&ctl->window, 0, memory_order_release);
	return may;
}

static int publish(const struct sl_ring *r, struct sl_ring_tx *tx, enum sl_rec_type type,
		   uint32_t len, uint64_t next, int *ring)
{
	uint32_t bell, rec = sl_word_record(type, len);
	int rc;

	atomic_store_explicit(&sl_ring_word(r, next)->word, SL_EMPTY, memory_order_relaxed);
	if (publish_plain(r, sl_ring_word(r, tx->pos), rec)) {
		tx->pos = next;
		return 0;
	}
	/* Left open by a process that was killed in it: we are the only writer now, and what it stored is visible. */
	if (sl_unlikely(atomic_load_explicit(&r->ctl->window, memory_order_relaxed)))
		atomic_store_explicit(&r->ctl->window, 0, memory_order_release);
	rc = sl_word_publish(sl_ring_word(r, tx->pos), rec, &bell);
	if (rc < 0)
		return rc;
	if (sl_unlikely(rc))
		*ring = *ring && *ring != SL_OWED(bell) ? SL_OWED(0) : SL_OWED(bell);
	tx->pos = next;
	return 0;
}

/* Jump to the front. The caller has checked that the tail and a header fit. */
static int pad(const struct sl_ring *r, struct sl_ring_tx *tx, int *ring)
{
	uint64_t next = (tx->pos | (r->len - 1)) + 1, len = next - tx->pos;
	int rc = publish(r, tx, SL_PAD, 0, next, ring);

	if (rc < 0)
		return rc;
	tx->pad_end = next;
	tx->pad_len = (uint32_t)len;
	set_floor(r, tx);
	return 0;
}

static size_t tail(const struct sl_ring *r, const struct sl_ring_tx *tx)
{
	return r->len - (size_t)(tx->pos & (r->len - 1));
}

/*
 * Everything consumed and past the first pages: go on at the front, where the cache is warm. The reader's line is
 * looked at now and then only: it stores there all the time.
 */
static int go_front(const struct sl_ring *r, struct sl_ring_tx *tx, int *ring)
{
	tx->looked = tx->pos;
	reload_credit(r, tx, atomic_load_explicit(&r->ctl->consumed, memory_order_acquire)); /* C2 */
	if (tx->credit != tx->pos)
		return 0;
	return pad(r, tx, ring);
}

ssize_t sl_ring_reserve(const struct sl_ring *r, struct sl_ring_tx *tx, size_t want, void **data,
			int *ring)
{
	size_t room, need = sl_min_size(pad8(want), SL_RING_CHUNK), t;
	int rc;

	if ((tx->pos & (r->len - 1)) >= sl_ring_front(r) && need + HDR <= sl_ring_front(r) &&
	    tx->pos - tx->looked >= SL_RING_LOOK) {
		rc = go_front(r, tx, ring);
		if (rc < 0)
			return rc;
	}
	room = sl_ring_room(r, tx, false);
	if (room < need)
		room = sl_ring_room(r, tx, true);
	if (!room)
		return sl_ring_closed(r, tx) ? -EPIPE : 0;
	t = tail(r, tx) - HDR; /* payload before the ring's end; >= 0 as positions are 8-aligned */
	if (t < need && t < sl_min_size(room, SL_RING_CHUNK / 4)) {
		/* Too little is left before the end: PAD costs the tail. */
		if (room <= t + HDR) {
			if (!t)
				return 0;
			goto place;
		}
		rc = pad(r, tx, ring);
		if (rc < 0)
			return rc;
		room = sl_ring_room(r, tx, false);
		if (!room)
			return 0;
		t = r->len - HDR;
	}
place:
	*data = sl_ring_word(r, tx->pos) + 1;
	return (ssize_t)sl_min_size(sl_min_size(want, SL_RING_CHUNK), sl_min_size(room & ~7ul, t));
}

int sl_ring_commit(const struct sl_ring *r, struct sl_ring_tx *tx, enum sl_rec_type type,
		   uint32_t len, int *ring)
{
	return publish(r, tx, type, len, tx->pos + HDR + pad8(len), ring);
}

int sl_ring_control(const struct sl_ring *r, struct sl_ring_tx *tx, enum sl_rec_type type,
		    const void *data, uint32_t len, int *ring)
{
	size_t need = HDR + pad8(len);
	int rc;

	reload_credit(r, tx, atomic_load_explicit(&r->ctl->credit, memory_order_acquire));
	if (tail(r, tx) < need) {
		if (space(r, tx->pos - tx->credit, 0) < tail(r, tx))
			return -ENOBUFS;
		rc = pad(r, tx, ring);
		if (rc < 0)
			return rc;
	}
	if (space(r, tx->pos - tx->credit, 0) < need)
		return -ENOBUFS;
	if (len)
		memcpy(sl_ring_word(r, tx->pos) + 1, data, len);
	return sl_ring_commit(r, tx, type, len, ring);
}

bool sl_ring_closed(const struct sl_ring *r, const struct sl_ring_tx *tx)
{
	return sl_word_look(sl_ring_word(r, tx->pos)) == SL_CLOSED;
}

int sl_ring_ack_closed(const struct sl_ring *r, struct sl_ring_tx *tx)
{
	uint32_t seen = SL_CLOSED;

	/* No terminator: nothing follows an END. The reader only looks at this word now (R2). */
	if (!atomic_compare_exchange_strong_explicit(&sl_ring_word(r, tx->pos)->word, &seen,
						     sl_word_record(SL_END, 0), memory_order_acq_rel,
						     memory_order_relaxed))
		return -EPROTO;
	return 0;
}

int sl_ring_back(const struct sl_ring *r, const struct sl_ring_tx *tx, struct sl_ring_rx *from)
{
	uint64_t back = atomic_load_explicit(&r->ctl->back, memory_order_acquire);

	memset(from, 0, sizeof(*from));
	if (!(back & SL_BACK))
		return 0;
	back &= ~SL_BACK;
	/* The reader's positions are not before the last credit, nor behind us. */
	if ((back & 7) || tx->pos - back > tx->pos - tx->credit)
		return -EPROTO;
	from->pos = from->end = back;
	from->off = atomic_load_explicit(&r->ctl->back_off, memory_order_relaxed);
	return 1;
}

bool sl_ring_want(const struct sl_ring *r, struct sl_ring_tx *tx, size_t need)
{
	/* Against a reader that closes and then looks for WANT (L4): both sides in one order. */
	uint64_t v = atomic_fetch_or_explicit(&r->ctl->credit, SL_WANT, memory_order_seq_cst);

	reload_credit(r, tx, v);
	if (sl_ring_room(r, tx, false) < need && !sl_ring_closed(r, tx))
		return false;
	/* One that stood there is another thread's, which sleeps until there is more room than this. */
	if (!(v & SL_WANT))
		atomic_fetch_and_explicit(&r->ctl->credit, ~SL_WANT, memory_order_acq_rel);
	return true;
}

/* --- reader --- */

/* A record's length, checked against the ring; -EPROTO where the peer wrote nonsense. */
static int check(const struct sl_ring *r, uint64_t pos, uint32_t w, uint32_t off)
{
	size_t t = r->len - (size_t)(pos & (r->len - 1)) - HDR;
	uint32_t len = sl_word_len(w);

	if (sl_word_type(w) > SL_FIN || len > SL_REC_MAX || len > t || off > len)
		return -EPROTO;
	if (sl_word_type(w) == SL_DATA && len == 0)
		return -EPROTO;
	/* No writer jumps to the front from the front; a peer that does would have us loop. */
	if (sl_word_type(w) == SL_PAD && !(pos & (r->len - 1)))
		return -EPROTO;
	return 0;
}

static uint64_t next_pos(const struct sl_ring *r, uint64_t pos, uint32_t w)
{
	if (sl_word_type(w) == SL_PAD)
		return (pos | (r->len - 1)) + 1;
	return pos + HDR + pad8(sl_word_len(w));
}

static void advance(const struct sl_ring *r, struct sl_ring_rx *rx, uint32_t w)
{
	rx->pos = next_pos(r, rx->pos, w);
	rx->off = 0;
	if (rx->end < rx->pos)
		rx->end = rx->pos;
}

int sl_ring_peek(const struct sl_ring *r, struct sl_ring_rx *rx, enum sl_rec_type *type,
		 const uint8_t **data, size_t *len)
{
	uint32_t w;

	for (;;) {
		w = sl_word_look(sl_ring_word(r, rx->pos));
		if (!sl_word_is_record(w))
			return (w & SL_STATE_MASK) == SL_CLOSED ? -EPIPE : 0;
		if (check(r, rx->pos, w, rx->off) < 0)
			return -EPROTO;
		if (sl_word_type(w) != SL_PAD)
			break;
		advance(r, rx, w);
	}
	*type = sl_word_type(w);
	*data = (const uint8_t *)(sl_ring_word(r, rx->pos) + 1) + rx->off;
	*len = sl_word_len(w) - rx->off;
	return 1;
}

void sl_ring_take(const struct sl_ring *r, struct sl_ring_rx *rx, size_t len)
{
	/* Loaded again: the peer may have changed it, so it is checked again and only clamps. */
	uint32_t w = sl_word_look(sl_ring_word(r, rx->pos));
	size_t have;

	if (!sl_word_is_record(w) || check(r, rx->pos, w, rx->off) < 0)
		return;
	have = sl_word_len(w) - rx->off;
	if (len < have) {
		rx->off += (uint32_t)len;
		return;
	}
	advance(r, rx, w);
}

ssize_t sl_ring_avail(const struct sl_ring *r, struct sl_ring_rx *rx, size_t enough)
{
	uint64_t pos = rx->pos;
	uint32_t off = rx->off, w;
	size_t n = 0;

	while (n < enough) {
		w = sl_word_look(sl_ring_word(r, pos));
		if (!sl_word_is_record(w))
			break;
		if (check(r, pos, w, off) < 0)
			return -EPROTO;
		if (sl_word_type(w) == SL_DATA)
			n += sl_word_len(w) - off;
		else if (sl_word_type(w) != SL_PAD)
			break;
		pos = next_pos(r, pos, w);
		off = 0;
		if (pos - rx->pos > r->len)
			return -EPROTO;
	}
	return (ssize_t)n;
}

int sl_ring_scan(const struct sl_ring *r, struct sl_ring_rx *rx)
{
	uint32_t w;

	for (;;) {
		w = sl_word_look(sl_ring_word(r, rx->end));
		if (!sl_word_is_record(w))
			return 0;
		if (check(r, rx->end, w, 0) < 0)
			return -EPROTO;
		if (sl_word_type(w) == SL_END)
			return 0; /* nothing follows */
		if (sl_word_type(w) == SL_FIN)
			rx->fin = 1;
		rx->end = next_pos(r, rx->end, w);
		if (rx->end - rx->pos > r->len)
			return -EPROTO;
	}
}

bool sl_ring_credit(const struct sl_ring *r, struct sl_ring_rx *rx, bool force)
{
	uint64_t due = rx->pos - rx->published, old;

	atomic_store_explicit(&r->ctl->consumed, rx->pos, memory_order_release); /* C2 */
	if (!force && due < r->step) {
		old = atomic_load_explicit(&r->ctl->credit, memory_order_relaxed);
		/*
		 * Empty: a waiting writer gets all there is. Past the front it gets all at once, also one that is just about to
		 * wait; but not in a stream, where the writer looks at this line for each record.
		 */
		if (!(old & SL_WANT) &&
		    (rx->plain || (rx->pos & (r->len - 1)) < sl_ring_front(r)))
			return false;
		if (sl_word_is_record(sl_word_look(sl_ring_word(r, rx->pos))))
			return false;
	}
	if (!due && !(atomic_load_explicit(&r->ctl->credit, memory_order_relaxed) & SL_WANT))
		return false;
	old = atomic_exchange_explicit(&r->ctl->credit, rx->pos, memory_order_acq_rel);
	rx->published = rx->pos;
	return old & SL_WANT;
}

/* Its writer is gone from this lane, nothing more will come. */
bool sl_ring_ended(const struct sl_ring *r, const struct sl_ring_rx *rx)
{
	uint32_t w = sl_word_look(sl_ring_word(r, rx->end));

	return sl_word_is_record(w) && sl_word_type(w) == SL_END;
}

/* The peer may store CLOSED with nonsense in the other bits: it is its own lane. */
static bool closed(const struct sl_ring *r, uint64_t pos)
{
	return (sl_word_look(sl_ring_word(r, pos)) & SL_STATE_MASK) == SL_CLOSED;
}

bool sl_ring_left(const struct sl_ring *r, struct sl_ring_rx *rx)
{
	return sl_ring_scan(r, rx) == 0 && sl_ring_ended(r, rx);
}

bool sl_ring_shut(const struct sl_ring *r, const struct sl_ring_rx *rx)
{
	return closed(r, rx->end);
}

void sl_ring_allow_plain(const struct sl_ring *r, struct sl_ring_rx *rx)
{
	rx->calm = 0;
	/* Not while the word is armed that would be stored to. */
	if (rx->pos <= rx->armed || !sl_fence_able ||
	    !atomic_load_explicit(&r->ctl->able, memory_order_relaxed))
		return;
	rx->plain = SL_PLAIN_ALLOWED;
	atomic_store_explicit(&r->ctl->plain, 1, memory_order_relaxed);
}

/* The window is a few instructions: it is open for long only where the writer does not run. */
static bool window_shut(const struct sl_ring *r, int looks)
{
	int i;

	for (i = 0; i < looks; i++) {
		if (!atomic_load_explicit(&r->ctl->window, memory_order_acquire))
			return true;
		if (i < SPINS)
			__builtin_ia32_pause();
		else
			(void)sl_sys(SYS_sched_yield, 0, 0, 0);
	}
	return false;
}

bool sl_ring_stern(const struct sl_ring *r, struct sl_ring_rx *rx)
{
	int looks = 1; /* it was waited for: a peer may leave it open for ever, and we hold a lock */

	if (rx->plain == SL_PLAIN_ALLOWED) {
		looks = LOOKS;
		atomic_store_explicit(&r->ctl->plain, 0, memory_order_seq_cst);
		if (!sl_fence_all())
			return false;
		rx->plain = SL_PLAIN_ENDING;
		if (rx->calm >= SL_RING_CALM << rx->fickle)
			rx->fickle -= rx->fickle > 0;
		else
			rx->fickle += rx->fickle < SL_RING_FICKLE;
	}
	rx->calm = 0;
	if (rx->plain && window_shut(r, looks))
		rx->plain = SL_PLAIN_NOT;
	return !rx->plain;
}

int sl_ring_arm(const struct sl_ring *r, struct sl_ring_rx *rx, uint32_t bell, bool *ring)
{
	bool sure;
	int rc;

	*ring |= sl_ring_credit(r, rx, true);
	sure = sl_ring_stern(r, rx);
	for (;;) {
		rc = sl_ring_scan(r, rx);
		if (rc < 0)
			return rc;
		if (!sure)
			return -EAGAIN;
		rx->armed = rx->end;
		if (sl_ring_ended(r, rx) || closed(r, rx->end))
			return 0;
		if (sl_word_arm(sl_ring_word(r, rx->end), bell) == 0)
			return 0;
	}
}

int sl_ring_close(const struct sl_ring *r, struct sl_ring_rx *rx)
{
	int rc;

	(void)sl_ring_stern(r, rx);
	do {
		rc = sl_ring_scan(r, rx);
		if (rc < 0)
			return rc;
		if (sl_ring_ended(r, rx))
			return 0;
	} while (sl_word_close(sl_ring_word(r, rx->end)) == -EAGAIN);
	return 0;
}

/* The writer has shut its direction down, behind what it has sent. */
static bool finished(const struct sl_ring *r, const struct sl_ring_rx *rx)
{
	uint64_t pos = rx->pos;
	uint32_t w;

	while (pos < rx->end) {
		w = sl_word_look(sl_ring_word(r, pos));
		if (!sl_word_is_record(w) || check(r, pos, w, 0) < 0)
			return true; /* changed under us: nonsense, told later */
		if (sl_word_type(w) == SL_FIN)
			return true;
		pos = next_pos(r, pos, w);
	}
	return false;
}

int sl_ring_give_back(const struct sl_ring *r, struct sl_ring_rx *rx)
{
	int rc;

	/* G1: before CLOSED, which sl_word_close() stores with seq_cst. */
	atomic_store_explicit(&r->ctl->back_off, rx->off, memory_order_relaxed);
	atomic_store_explicit(&r->ctl->back, rx->pos | SL_BACK, memory_order_release);
	rc = sl_ring_close(r, rx);
	if (rc < 0)
		return rc;
	return sl_ring_ended(r, rx) || finished(r, rx) ? -EPIPE : 0;
}
