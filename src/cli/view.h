/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * view.h - what `scilan status` has found: programs, and their connections
 *
 * Filled by scan.c from the status pages in /proc (copies, checked: strings are printable and end,
 * numbers are in range), printed by show.c and json.c.
 */
#ifndef SL_VIEW_H
#define SL_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include "stat.h"

#define SL_NAME_LEN 64
#define SL_ADDR_LEN 64 /* of an address in text */

struct sl_view_conn {
	pid_t pid; /* as the caller sees it */
	int fd;	   /* -1: unknown */
	unsigned reason, peer_reason;
	struct sl_stat_addr_shm local, peer;
	struct sl_stat_dir_shm tx, rx;
};

struct sl_view_prog {
	char name[SL_NAME_LEN];
	pid_t pid;
	unsigned reason; /* of the whole program */
	uint64_t wakeups, vain_bells;
	struct sl_view_conn *conns;
	size_t conn_count, conn_room;
};

struct sl_view {
	struct sl_view_prog *progs; /* in order of pid */
	size_t prog_count, prog_room;
	unsigned denied;  /* processes that could not be looked at */
	unsigned strange; /* status pages of another version, or damaged */
};

/**
 * sl_view_scan() - look at all processes
 *
 * Return: 0, -errno (no /proc, no memory).
 */
int sl_view_scan(struct sl_view *v);
void sl_view_free(struct sl_view *v);

struct sl_view_conn *sl_view_add_conn(struct sl_view_prog *p);

/* "127.0.0.1:80", "[::1]:80", or "" when unknown */
const char *sl_view_addr(const struct sl_stat_addr_shm *a, char text[SL_ADDR_LEN]);

/* @pid: 0 for all */
void sl_view_show(const struct sl_view *v, pid_t pid);
int sl_view_json(const struct sl_view *v, pid_t pid);

#endif
