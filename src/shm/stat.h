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
 * An entry is valid while @used is non-zero. Counters are plain 64-bit words, written by the thread
 * that holds the direction's lock, read at any time (no tearing on 64-bit machines).
 */
#ifndef SL_STAT_H
#define SL_STAT_H

#include <stdint.h>

#define SL_STAT_MEMFD   "scilan-status"
#define SL_STAT_MAGIC   0x534c5354u /* "SLST" */
#define SL_STAT_VERSION 1u

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
	uint8_t reserved[376];
};

#endif
