/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stat.h - the status page: what one process shows of its connections
 *
 * Each process under scilan owns one memfd named SL_STAT_MEMFD, kept open on a hidden
 * descriptor: a header and a table of entries, one a tracked socket. `scilan status` finds it as
 * /proc/PID/fd/N, so the kernel's own rule decides who may read it, and it works
 * without the broker. The process is the only writer; readers map it read-only and believe
 * nothing: every index and string is bounded by the reader.
 *
 * A second table holds the connections that are still young, one a descriptor.
 *
 * An entry is valid while @used is non-zero. Counters are plain 64-bit words, written by the thread
 * that holds the direction's lock, read at any time (no tearing on 64-bit machines).
 */
#ifndef SL_STAT_H
#define SL_STAT_H

#include <stdint.h>

#define SL_STAT_MEMFD   "scilan-status"
#define SL_STAT_MAGIC   0x534c5354u /* "SLST" */
#define SL_STAT_VERSION 2u

enum sl_stat_lane { SL_STAT_TCP = 0, SL_STAT_MEMORY = 1 };

/* One direction, as this process saw it. */
struct sl_stat_dir_shm {
	uint32_t lane; /* enum sl_stat_lane */
	uint32_t pad;
	uint64_t bytes_memory; /* payload bytes over the memory lane */
	uint64_t bytes_tcp;    /* payload bytes over the kernel lane; bells are not counted */
	uint64_t messages;     /* send or receive calls that moved bytes, both lanes */
	uint64_t bells;	       /* tx: bells rung; rx: bytes of bells drained */
	uint64_t sleeps;       /* times a thread went to sleep in the kernel for this direction */
	uint64_t spin_hits;    /* waits that ended while spinning */
	uint64_t spin_misses;  /* waits that spun in vain */
};

/* An address: family AF_INET or AF_INET6 (v4-mapped addresses are stored as AF_INET). */
struct sl_stat_addr_shm {
	uint16_t family;
	uint16_t port; /* host byte order */
	uint8_t addr[16];
};

struct sl_stat_conn_shm {
	uint32_t used;	 /* 0: free; else valid */
	int32_t fd;	 /* lowest descriptor known, -1 unknown */
	uint32_t reason; /* enum sl_reason; SL_WHY_NONE when both directions are on memory */
	uint32_t peer_reason; /* what the peer says, SL_WHY_NONE unknown */
	struct sl_stat_addr_shm local, peer; /* family 0: not looked up yet */
	struct sl_stat_dir_shm tx, rx;
	uint64_t spare[4];
};

/*
 * A connection that has made a few calls only (sock/young.h), at the index of its descriptor. What it will need when it
 * grows up stands beside the counters, so that a short connection touches one cache line.
 */
struct sl_stat_young_shm {
	uint32_t used;
	uint32_t reason;
	uint64_t tx_bytes, rx_bytes;
	uint32_t tx_messages, rx_messages;
	uint32_t left; /* calls that it stays young for */
	uint16_t tx_inflight, rx_inflight; /* kernel calls under way */
	uint16_t flags; /* enum sl_young_flag */
	uint16_t pad;
	uint32_t ep;	 /* the epoll instance that it is registered in, its serial number; 0: none */
	uint32_t events; /* and as what */
	uint32_t pad2;
	uint64_t data;
};

struct sl_stat_hdr_shm {
	uint32_t magic;
	uint32_t version;
	uint32_t pid;	 /* as the process sees itself */
	uint32_t reason; /* of the whole program (SL_WHY_STATIC, SL_WHY_RAW_GO ...), or NONE */
	uint32_t entry_len; /* bytes: sizeof(struct sl_stat_conn_shm) */
	uint32_t entry_max; /* entries that the file has room for */
	uint32_t entry_high; /* entries at and above this index were never used */
	uint32_t pad;
	char program[64]; /* NUL-terminated */
	uint64_t wakeups;  /* kernel sleeps of the whole process */
	uint64_t spare;
	uint64_t vain_bells; /* times that a thread was woken by its bell and found nothing */
	uint64_t young_at;   /* where the young entries are, bytes from the beginning */
	uint32_t young_max;  /* how many there is room for */
	uint32_t young_high; /* entries at and above this index were never used */
	uint8_t reserved[360];
};

#endif
