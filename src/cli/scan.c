/* SPDX-License-Identifier: BSD-2-Clause */
/* scan.c - from the status pages in /proc to programs and their connections */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "proctcp.h"
#include "reason.h"
#include "statpage.h"
#include "view.h"

struct pages {
	struct sl_statpage *list;
	size_t count, room;
};

/* Room for one more element. Return: the list, which may have moved; NULL no memory. */
static void *one_more(void *list, size_t count, size_t *room, size_t size)
{
	size_t n = *room ? *room * 2 : 16;

	if (count < *room)
		return list;
	list = reallocarray(list, n, size);
	if (list)
		*room = n;
	return list;
}

struct sl_view_conn *sl_view_add_conn(struct sl_view_prog *p)
{
	struct sl_view_conn *list, *c;

	list = one_more(p->conns, p->conn_count, &p->conn_room, sizeof(*list));
	if (!list)
		return NULL;
	p->conns = list;
	c = &list[p->conn_count++];
	memset(c, 0, sizeof(*c));
	c->pid = p->pid;
	return c;
}

static struct sl_view_prog *add_prog(struct sl_view *v)
{
	struct sl_view_prog *list;

	list = one_more(v->progs, v->prog_count, &v->prog_room, sizeof(*list));
	if (!list)
		return NULL;
	v->progs = list;
	return memset(&list[v->prog_count++], 0, sizeof(*list));
}

static int collect_pages(struct sl_view *v, struct pages *pages)
{
	struct sl_statpage *list, pg;
	struct dirent *d;
	DIR *proc = opendir("/proc");
	int rc = 0;

	if (!proc)
		return -errno;
	while (!rc && (d = readdir(proc)) != NULL) {
		if (d->d_name[0] < '1' || d->d_name[0] > '9')
			continue;
		rc = sl_statpage_find(atoi(d->d_name), &pg);
		v->denied += rc == -EACCES || rc == -EPERM;
		v->strange += rc == -EPROTO;
		if (rc) {
			rc = 0;
			continue;
		}
		list = one_more(pages->list, pages->count, &pages->room, sizeof(pg));
		if (!list) {
			(void)close(pg.fd);
			rc = -ENOMEM;
			break;
		}
		pages->list = list;
		list[pages->count++] = pg;
	}
	(void)closedir(proc);
	return rc;
}

static void free_pages(struct pages *pages)
{
	size_t i;

	for (i = 0; i < pages->count; i++)
		(void)close(pages->list[i].fd);
	free(pages->list);
}

/* An inherited page tells of its owner, as long as that lives. */
static bool is_duplicate(const struct pages *pages, const struct sl_statpage *pg)
{
	const struct sl_statpage *other;
	size_t i;

	for (i = 0; !pg->own && i < pages->count; i++) {
		other = &pages->list[i];
		if (other->own && other->dev == pg->dev && other->ino == pg->ino)
			return true;
	}
	return false;
}

/* A program notes that its pair is attached with its next call on the connection; the lanes show it before. */
static enum sl_reason reason_of(const struct sl_stat_conn_shm *e)
{
	bool tx = e->tx.lane == SL_STAT_MEMORY, rx = e->rx.lane == SL_STAT_MEMORY;

	if (e->reason != SL_WHY_PAIRED || !(tx || rx))
		return (enum sl_reason)e->reason;
	return tx && rx ? SL_WHY_NONE : SL_WHY_ONE_WAY;
}

static int take_entry(const struct sl_stat_conn_shm *e, void *arg)
{
	struct sl_view_conn *c = sl_view_add_conn(arg);

	if (!c)
		return -ENOMEM;
	c->fd = e->fd < 0 ? -1 : e->fd;
	c->reason = reason_of(e);
	c->peer_reason = e->peer_reason;
	c->local = e->local;
	c->peer = e->peer;
	c->tx = e->tx;
	c->rx = e->rx;
	return 0;
}

/*
 * The name in an inherited page is its owner's, and what a process calls itself may be a
 * sentence, or a piece of one: then it is the kernel's name for it.
 */
static void name_prog(struct sl_view_prog *p, const struct sl_statpage *pg)
{
	char path[64];
	FILE *f = NULL;

	memcpy(p->name, pg->hdr.program, sizeof(p->name));
	if (pg->own && pg->named)
		return;
	(void)snprintf(path, sizeof(path), "/proc/%d/comm", (int)pg->pid);
	f = fopen(path, "re");
	if (!f)
		return;
	if (fgets(p->name, sizeof(p->name), f)) {
		p->name[strcspn(p->name, "\n")] = '\0';
		(void)sl_statpage_clean(p->name, sizeof(p->name));
	}
	(void)fclose(f);
}

static int by_fd(const void *a, const void *b)
{
	return ((const struct sl_view_conn *)a)->fd - ((const struct sl_view_conn *)b)->fd;
}

static int by_pid(const void *a, const void *b)
{
	return ((const struct sl_view_prog *)a)->pid - ((const struct sl_view_prog *)b)->pid;
}

static int take_page(struct sl_view *v, const struct sl_statpage *pg)
{
	struct sl_view_prog *p = add_prog(v);
	int rc;

	if (!p)
		return -ENOMEM;
	p->pid = pg->pid;
	p->reason = pg->hdr.reason;
	p->wakeups = pg->hdr.wakeups;
	p->vain_bells = pg->hdr.vain_bells;
	name_prog(p, pg);
	rc = sl_statpage_each(pg, take_entry, p);
	if (rc)
		return rc;
	sl_proctcp_fill(p);
	if (p->conn_count)
		qsort(p->conns, p->conn_count, sizeof(*p->conns), by_fd);
	return 0;
}

int sl_view_scan(struct sl_view *v)
{
	struct pages pages = {0};
	size_t i;
	int rc;

	memset(v, 0, sizeof(*v));
	rc = collect_pages(v, &pages);
	for (i = 0; !rc && i < pages.count; i++) {
		if (!is_duplicate(&pages, &pages.list[i]))
			rc = take_page(v, &pages.list[i]);
	}
	free_pages(&pages);
	if (v->prog_count)
		qsort(v->progs, v->prog_count, sizeof(*v->progs), by_pid);
	if (rc)
		sl_view_free(v);
	return rc;
}

void sl_view_free(struct sl_view *v)
{
	size_t i;

	for (i = 0; i < v->prog_count; i++)
		free(v->progs[i].conns);
	free(v->progs);
	memset(v, 0, sizeof(*v));
}
