/* SPDX-License-Identifier: BSD-2-Clause */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include "statpage.h"

#define LINK_TEXT "/memfd:" SL_STAT_MEMFD " (deleted)"
#define READ_MAX  64u	     /* entries at once */
#define ENTRY_MAX (1u << 20) /* more connections than a process has */

bool sl_statpage_clean(char *name, size_t len)
{
	bool clean = memchr(name, '\0', len) && *name;
	size_t i;

	name[len - 1] = '\0';
	for (i = 0; name[i]; i++) {
		if (isascii(name[i]) && isgraph((unsigned char)name[i]))
			continue;
		name[i] = '?';
		clean = false;
	}
	return clean;
}

/* The pid by which a process knows itself: the last one in the line NSpid. */
static uint32_t own_pid(pid_t pid)
{
	char path[64], line[256], *last;
	uint32_t own = (uint32_t)pid;
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	f = fopen(path, "re");
	if (!f)
		return own;
	while (fgets(line, sizeof(line), f)) {
		if (strncmp(line, "NSpid:", 6) != 0)
			continue;
		last = strrchr(line, '\t');
		if (last)
			own = (uint32_t)strtoul(last + 1, NULL, 10);
		break;
	}
	(void)fclose(f);
	return own;
}

static int check(struct sl_statpage *pg)
{
	struct stat st;

	if (fstat(pg->fd, &st))
		return -errno;
	if (!S_ISREG(st.st_mode) ||
	    pread(pg->fd, &pg->hdr, sizeof(pg->hdr), 0) != (ssize_t)sizeof(pg->hdr))
		return -EPROTO;
	if (pg->hdr.magic != SL_STAT_MAGIC || pg->hdr.version != SL_STAT_VERSION ||
	    pg->hdr.entry_len != sizeof(struct sl_stat_conn_shm))
		return -EPROTO;
	pg->dev = st.st_dev;
	pg->ino = st.st_ino;
	pg->named = sl_statpage_clean(pg->hdr.program, sizeof(pg->hdr.program));
	return 0;
}

static int open_page(int dir, const char *name, struct sl_statpage *pg)
{
	char text[sizeof(LINK_TEXT) + 1];
	ssize_t n = readlinkat(dir, name, text, sizeof(text));
	int rc;

	if (n != (ssize_t)strlen(LINK_TEXT) || memcmp(text, LINK_TEXT, (size_t)n) != 0)
		return -ENOENT;
	/* The link may lead elsewhere by now: whatever it is, do not wait for it. */
	pg->fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (pg->fd < 0)
		return -errno;
	rc = check(pg);
	if (rc)
		(void)close(pg->fd);
	return rc;
}

static int best_page(int dir, struct dirent **names, int n, struct sl_statpage *best)
{
	struct sl_statpage pg = {.pid = best->pid};
	int i, rc, found = -ENOENT;

	for (i = 0; i < n; i++) {
		rc = open_page(dir, names[i]->d_name, &pg);
		if (rc) {
			found = rc == -EPROTO && found ? -EPROTO : found;
			continue;
		}
		pg.own = pg.hdr.pid == own_pid(pg.pid);
		if (found == 0 && !pg.own) {
			(void)close(pg.fd);
			continue;
		}
		if (found == 0)
			(void)close(best->fd);
		*best = pg;
		found = 0;
		if (pg.own)
			break;
	}
	return found;
}

static int high_first(const struct dirent **a, const struct dirent **b)
{
	return atoi((*b)->d_name) - atoi((*a)->d_name);
}

static int is_number(const struct dirent *d)
{
	return d->d_name[0] >= '0' && d->d_name[0] <= '9';
}

int sl_statpage_find(pid_t pid, struct sl_statpage *pg)
{
	struct dirent **names;
	char path[64];
	int dir, n, rc;

	memset(pg, 0, sizeof(*pg));
	pg->pid = pid;
	(void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return -errno;
	n = scandirat(dir, ".", &names, is_number, high_first);
	if (n < 0) {
		rc = -errno;
		goto close_dir;
	}
	rc = best_page(dir, names, n, pg);
	while (n > 0)
		free(names[--n]);
	free(names);
close_dir:
	(void)close(dir);
	return rc;
}

static bool lane_ok(const struct sl_stat_dir_shm *d)
{
	return d->lane == SL_STAT_TCP || d->lane == SL_STAT_MEMORY;
}

static bool addr_ok(const struct sl_stat_addr_shm *a)
{
	return a->family == 0 || a->family == AF_INET || a->family == AF_INET6;
}

static bool entry_ok(const struct sl_stat_conn_shm *e)
{
	return e->used && lane_ok(&e->tx) && lane_ok(&e->rx) && addr_ok(&e->local) &&
	       addr_ok(&e->peer);
}

/* As an entry of one that is grown up, which has never been anything but TCP. */
static struct sl_stat_conn_shm of_young(const struct sl_stat_young_shm *y, uint32_t index)
{
	return (struct sl_stat_conn_shm){
		.used = 1,
		.fd = (int32_t)index,
		.reason = y->reason,
		.tx = {.bytes_tcp = y->tx_bytes, .messages = y->tx_messages},
		.rx = {.bytes_tcp = y->rx_bytes, .messages = y->rx_messages},
	};
}

static int each_young(const struct sl_statpage *pg,
		      int (*fn)(const struct sl_stat_conn_shm *entry, void *arg), void *arg)
{
	struct sl_stat_young_shm y[READ_MAX];
	struct sl_stat_conn_shm e;
	uint32_t end = pg->hdr.young_high, i, k, want;
	ssize_t n;
	int rc = 0;

	if (end > pg->hdr.young_max)
		end = pg->hdr.young_max;
	if (end > ENTRY_MAX || pg->hdr.young_at > INT32_MAX)
		return 0;
	for (i = 0; i < end && !rc; i += want) {
		want = end - i < READ_MAX ? end - i : READ_MAX;
		n = pread(pg->fd, y, want * sizeof(y[0]),
			  (off_t)(pg->hdr.young_at + (size_t)i * sizeof(y[0])));
		if (n < (ssize_t)(want * sizeof(y[0])))
			end = 0;
		for (k = 0; n > 0 && k < (size_t)n / sizeof(y[0]) && !rc; k++) {
			if (!y[k].used)
				continue;
			e = of_young(&y[k], i + k);
			rc = fn(&e, arg);
		}
	}
	return rc;
}

int sl_statpage_each(const struct sl_statpage *pg,
		     int (*fn)(const struct sl_stat_conn_shm *entry, void *arg), void *arg)
{
	struct sl_stat_conn_shm e[READ_MAX];
	uint32_t end = pg->hdr.entry_high, i, k, want;
	ssize_t n;
	int rc = 0;

	if (end > pg->hdr.entry_max)
		end = pg->hdr.entry_max;
	if (end > ENTRY_MAX)
		end = ENTRY_MAX;
	for (i = 0; i < end && !rc; i += want) {
		want = end - i < READ_MAX ? end - i : READ_MAX;
		n = pread(pg->fd, e, want * sizeof(e[0]),
			  (off_t)(sizeof(pg->hdr) + (size_t)i * sizeof(e[0])));
		if (n < (ssize_t)(want * sizeof(e[0])))
			end = 0; /* shorter than it says: what there is, and no more */
		for (k = 0; n > 0 && k < (size_t)n / sizeof(e[0]) && !rc; k++) {
			if (entry_ok(&e[k]))
				rc = fn(&e[k], arg);
		}
	}
	return rc ? rc : each_young(pg, fn, arg);
}
