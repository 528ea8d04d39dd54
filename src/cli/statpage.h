/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * statpage.h - one status page, as found in another process
 *
 * Pages are read, not mapped, so that one that shrinks cannot harm us, and nothing in them is
 * believed: numbers are checked, names are made printable.
 */
#ifndef SL_STATPAGE_H
#define SL_STATPAGE_H

#include <stdbool.h>
#include <sys/types.h>
#include "stat.h"

struct sl_statpage {
	struct sl_stat_hdr_shm hdr; /* a checked copy */
	pid_t pid;		    /* in whose /proc/PID/fd it was found */
	int fd;
	dev_t dev;
	ino_t ino;
	bool own;   /* made by that process, not inherited */
	bool named; /* hdr.program was a plain word */
};

/**
 * sl_statpage_find() - the page of a process
 * @pid: as the caller sees it
 *
 * Its own page: the header has its pid, in its own pid namespace. If it has none, the highest that
 * it inherited: a child holds its parent's between fork and its own first page, and what
 * `scilan run` left for a program without the library is held by that program's children.
 *
 * Return: 0, @pg has an open descriptor; -ENOENT it has none; -EPROTO only one that is damaged or
 * of another version; -EACCES we may not look; -errno.
 */
int sl_statpage_find(pid_t pid, struct sl_statpage *pg);

/**
 * sl_statpage_each() - call a function for each entry in use, with a checked copy
 *
 * Return: 0, or the first non-zero that @fn returned.
 */
int sl_statpage_each(const struct sl_statpage *pg,
		     int (*fn)(const struct sl_stat_conn_shm *entry, void *arg), void *arg);

/**
 * sl_statpage_clean() - make a name from another process end within @len bytes, and printable
 *
 * Return: whether nothing had to be changed.
 */
bool sl_statpage_clean(char *name, size_t len);

#endif
