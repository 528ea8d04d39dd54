/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * seg.h - the segment: what the two ends of a promoted connection share
 *
 *   0     struct sl_seg_shm
 *   1152  ring 0: bytes from side 0 to side 1
 *   1152 + ring_len   ring 1: bytes from side 1 to side 0
 *
 * Each ring begins in the middle of a page, the first one behind the header: a connection that moves little
 * touches two pages of it.
 *
 * The broker makes it (sl_seg_create), both ends attach it (sl_seg_attach). The peer is not
 * trusted: sizes are checked against the file and copied into struct sl_seg at attach, and are never
 * read from the segment again. The file is sealed against shrinking and growing, so that no access
 * inside the checked size can fault.
 */
#ifndef SL_SEG_H
#define SL_SEG_H

#include <stdatomic.h>
#include "common.h"

#define SL_SEG_MAGIC	0x534c534du /* "SLSM" */
#define SL_SEG_VERSION	5u
#define SL_SEG_HDR_LEN	1152u
#define SL_RING_LEN_MIN (16u << 10)
#define SL_RING_LEN_MAX (64u << 20)
#define SL_RING_LEN_DEF (256u << 10)
#define SL_SIDE_LEN	4096u

/*
 * Per ring. The credit word is the only one with two writers: the reader exchanges positions into
 * it, the writer sets SL_WANT with fetch_or (ring.h). The rest has one writer each.
 */
struct sl_ring_ctl_shm {
	_Alignas(SL_BLOCK) _Atomic uint64_t credit; /* reader's position | SL_WANT */
	_Atomic uint32_t plain; /* reader: the writer may publish by plain stores (ring.h, P) */
	_Alignas(SL_BLOCK) _Atomic uint64_t consumed; /* reader: its position at its last receive */
	_Atomic uint64_t back;	   /* reader: record to be sent again by TCP | SL_BACK, before CLOSED */
	_Atomic uint32_t back_off; /* reader: and the first byte of its payload that is */
	_Atomic uint32_t hold;	   /* reader: the program's SO_RCVBUF, as the kernel has it; 0: not set */
	_Atomic uint32_t quiet;	   /* reader: END was read, and no bell is left in its kernel's queue */
	_Atomic uint64_t kread;	   /* reader: kernel-lane position that it has read up to, before START */
	_Alignas(SL_BLOCK) _Atomic uint64_t rung; /* writer: kernel-lane position behind its last bell */
	_Atomic uint32_t window; /* writer: it may be publishing by a plain store just now */
	_Atomic uint32_t able;	 /* writer: it knows how to, and takes part in the fence (fence.h) */
};

/* In this order; back to nobody where attaching was not possible after all. */
enum sl_attached {
	SL_NOBODY,
	SL_ATTACHED, /* this end has mapped the segment, and reads its ring */
	SL_CLAIMED,  /* it is about to: nobody else may */
};

/* Written by the end that the block belongs to, read by the other. */
struct sl_seg_side_shm {
	_Alignas(SL_BLOCK) _Atomic uint32_t attached; /* enum sl_attached */
	_Atomic uint32_t cpu;	 /* 1 + the CPU on which this end last ran; 0 unknown */
	_Atomic uint32_t reason; /* enum sl_reason: why this end does not use the memory lane */
	uint32_t pid;		 /* for `status` */
	char program[16];	 /* for `status`; may lack its NUL */
	_Atomic uint32_t ended;	 /* enum sl_ended, before the kernel says so */
	_Atomic uint32_t deaf;	 /* it closes its socket: no bells any more (link.h, L6) */
};

/* How an end has ended its sending: the kernel's FIN and RST do not tell a crash from a wish. */
enum sl_ended {
	SL_ENDED_NOT, /* or it crashed */
	SL_ENDED_FIN, /* close, shutdown */
	SL_ENDED_RST, /* close with unread data, or SO_LINGER of 0 seconds */
	SL_ENDED_TCP, /* it has given the segment up, with nothing unread: from now on the kernel says it */
};

struct sl_seg_shm {
	uint32_t magic; /* broker, before anybody else sees the page */
	uint32_t version;
	uint64_t ring_len; /* bytes of each ring, a power of two */
	struct sl_seg_side_shm side[2];
	struct sl_ring_ctl_shm ring[2]; /* ring[i]: from side i to side 1 - i */
};

/* The handle: private to the process. */
struct sl_seg {
	struct sl_seg_shm *shm;
	unsigned side; /* which end we are: 0 or 1 */
	size_t ring_len;
	size_t map_len;
};

/**
 * sl_seg_create() - make a sealed segment with two empty rings
 * @ring_len: bytes, a power of two, SL_RING_LEN_MIN .. SL_RING_LEN_MAX
 *
 * As created both readers count as asleep: word 0 of each ring is ARMED(0).
 *
 * Return: a memfd (CLOEXEC), or -errno (-EINVAL for a bad size).
 */
int sl_seg_create(size_t ring_len);

/**
 * sl_seg_attach() - check a segment and map it
 * @seg:  filled on success
 * @fd:	  the memfd; not closed, not needed afterwards
 * @side: 0 or 1
 *
 * Return: 0; -EPROTO not a segment of this version (size, seals, magic, ring size); -errno.
 */
int sl_seg_attach(struct sl_seg *seg, int fd, unsigned side);
void sl_seg_detach(struct sl_seg *seg);

/**
 * sl_seg_claim() - take this end of the segment: there is one attachment of it only
 *
 * Return: false: somebody has it, or had it.
 */
bool sl_seg_claim(struct sl_seg *seg);
void sl_seg_unclaim(struct sl_seg *seg); /* it was not used after all */

/** sl_seg_attached() - has anybody claimed or attached that end of the segment in memfd @fd? The peer may lie. */
bool sl_seg_attached(int fd, unsigned side);

static inline uint8_t *sl_seg_ring(const struct sl_seg *seg, unsigned from)
{
	return (uint8_t *)seg->shm + SL_SEG_HDR_LEN + (from ? seg->ring_len : 0);
}

/**
 * sl_map_shared() - map @len bytes of @fd (or of shared anonymous memory where @fd < 0)
 * sl_map_retire() - give them up: zeroes take their place and the range is kept for the next mapping of
 *		     this length, so that a late look without a lock never faults
 */
void *sl_map_shared(int fd, size_t len);
void sl_map_retire(void *addr, size_t len);

/**
 * sl_side_create() - make the sealed memfd of a side page (SL_SIDE_LEN zero bytes)
 *
 * Return: a memfd (CLOEXEC), or -errno.
 */
int sl_side_create(void);

#endif
