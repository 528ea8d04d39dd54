/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * side.h - what one end of a connection knows, shared by all processes that hold this end
 *
 * Until promotion this is private memory of the process (or, after fork, a page that the family shares);
 * from attach on it is the side page, a memfd that the broker hands out with the segment. The peer
 * never sees it. No pointers: positions, byte counts, states and a process-shared robust lock.
 *
 * All fields of @tx are changed under the tx lock, of @rx under the rx lock (sock.h); once the end is
 * shared by fork, under @xlock as well.
 *
 * Kernel-lane positions count every byte of the TCP stream, data and bells, from the connection's birth.
 */
#ifndef SL_SIDE_H
#define SL_SIDE_H

#include <pthread.h>
#include "ring.h"

enum sl_tx_state {
	SL_TX_TCP,  /* kernel lane; START may be published */
	SL_TX_MEM,  /* memory lane */
	SL_TX_BACK, /* CLOSED met: what the reader gave back is being sent again by TCP */
	SL_TX_DONE, /* END published, or CLOSED met: kernel lane, for good as far as this segment goes */
};

enum sl_rx_state {
	SL_RX_TCP,     /* kernel lane, up to a START in the ring */
	SL_RX_MEM,     /* memory lane; kernel bytes are bells */
	SL_RX_CLOSING, /* we closed it: what is in the ring, then wait for the writer's END */
	SL_RX_DONE,    /* kernel lane; bytes before @skip are bells */
};

struct sl_tx_side {
	struct sl_ring_tx ring;
	struct sl_ring_rx back; /* SL_TX_BACK: how far that has come */
	uint64_t ksent;	  /* kernel-lane position: bytes sent */
	uint32_t state;	  /* enum sl_tx_state */
	uint32_t fin;	  /* shut down by us */
	uint32_t waiters; /* threads asleep for room */
	uint32_t stuck;	  /* the last bell did not get through, waiting for it was in vain */
	uint32_t taken;	  /* SL_TX_BACK: behind @back, so many bytes more lie in the ring, */
	uint32_t taken_off; /* from here on in the place of the record behind the last */
	uint64_t end;	  /* SL_TX_DONE: the ring's data stands before this position */
	uint64_t kend;	  /* and data was sent by TCP from this kernel-lane position on */
	uint64_t kstart;  /* START's: between the two all bytes were bells */
	uint32_t stayed;  /* START was published */
};

struct sl_rx_side {
	struct sl_ring_rx ring;
	uint64_t krcvd;	   /* kernel-lane position: bytes received */
	uint64_t start;	   /* START's position, valid when @started */
	uint64_t skip;	   /* SL_RX_DONE: bytes below this position are bells */
	uint32_t state;	   /* enum sl_rx_state */
	uint32_t started;  /* START seen; bytes below @start are still to be read from the kernel */
	uint32_t fin;	   /* FIN record seen */
	uint32_t sleepers; /* threads asleep in the kernel that count on a bell */
	uint32_t given;	   /* what was unread was given back: it comes by TCP; no more credit */
	uint64_t bells;	   /* kernel bytes below @skip that were no data, of all stays that are over */
	uint64_t rings;	   /* what their rings have added to sl_rx_arrived() */
};

#define SL_SIDE_WHO 16

struct sl_side_shm {
	_Atomic uint32_t holders; /* processes that hold this end */
	uint32_t shared;	  /* was ever held by two: take xlock */
	uint32_t kfin;		  /* the kernel reported the peer's FIN */
	int32_t err;		  /* errno the kernel reported and we have to hand out, once */
	uint32_t dead;		  /* the kernel reported an error or hang-up: ask it about readiness */
	uint32_t left;		  /* the peer has published END */
	uint32_t rdshut;	  /* the program has shut its receiving direction down, or was told an error */
	uint32_t masked;	  /* the kernel's reset is shown as FIN: it was for unread bells only */
	uint32_t reset;		  /* the kernel's FIN is shown as a reset: our bytes lay unread */
	uint32_t foreign;	  /* a program without this library holds the socket, too: TCP for good */
	uint64_t cookie;	  /* SO_COOKIE of the socket, */
	uint64_t seg_ino;	  /* and the segment: what a new program's inheritance must agree with */
	struct sl_tx_side tx;
	struct sl_rx_side rx;
	pthread_mutex_t xlock; /* robust, process-shared; initialized when first shared */
	/* holders that were forked off, by process id; 0: free. Who reaps one that was killed counts it off */
	_Atomic uint32_t who[SL_SIDE_WHO];
};

_Static_assert(sizeof(struct sl_side_shm) <= SL_SIDE_LEN, "fits the side page");

#endif
