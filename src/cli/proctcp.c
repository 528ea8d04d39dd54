/* SPDX-License-Identifier: BSD-2-Clause */
#include <arpa/inet.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "proctcp.h"

#define TCP_STATE_CLOSE	 7
#define TCP_STATE_LISTEN 10

struct entry {
	unsigned long inode;
	struct sl_stat_addr_shm local, peer;
};

struct entries {
	struct entry *list;
	size_t count, room;
};

static int by_inode(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	return x->inode < y->inode ? -1 : x->inode > y->inode;
}

/* "0100007F:1F90": words of the address as the kernel holds them, then the port */
static bool parse_addr(const char *s, struct sl_stat_addr_shm *a)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	size_t digits = strcspn(s, ":"), i;
	unsigned word, port;

	memset(a, 0, sizeof(*a));
	if ((digits != 8 && digits != 32) || sscanf(s + digits, ":%4x", &port) != 1)
		return false;
	for (i = 0; i < digits / 8; i++) {
		if (sscanf(s + 8 * i, "%8x", &word) != 1)
			return false;
		memcpy(a->addr + 4 * i, &word, sizeof(word));
	}
	a->family = digits == 8 ? AF_INET : AF_INET6;
	a->port = (uint16_t)port;
	if (digits == 32 && !memcmp(a->addr, mapped, sizeof(mapped))) {
		a->family = AF_INET;
		memmove(a->addr, a->addr + 12, 4);
		memset(a->addr + 4, 0, 12);
	}
	return true;
}

static void parse_line(const char *line, struct entries *es)
{
	char local[40], peer[40];
	struct entry e, *bigger;
	unsigned state;

	if (sscanf(line, " %*u: %39s %39s %x %*s %*s %*s %*u %*u %lu", local, peer, &state,
		   &e.inode) != 4)
		return;
	if (state == TCP_STATE_LISTEN || state == TCP_STATE_CLOSE || !e.inode)
		return;
	if (!parse_addr(local, &e.local) || !parse_addr(peer, &e.peer))
		return;
	if (es->count == es->room) {
		es->room = es->room ? es->room * 2 : 256;
		bigger = reallocarray(es->list, es->room, sizeof(e));
		if (!bigger) {
			es->room = es->count;
			return;
		}
		es->list = bigger;
	}
	es->list[es->count++] = e;
}

static void read_net(pid_t pid, const char *name, struct entries *es)
{
	char path[64], line[512];
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%d/net/%s", (int)pid, name);
	f = fopen(path, "re");
	if (!f)
		return;
	while (fgets(line, sizeof(line), f))
		parse_line(line, es);
	(void)fclose(f);
}

static struct sl_view_conn *find_conn(struct sl_view_prog *p, int fd)
{
	size_t i;

	for (i = 0; i < p->conn_count; i++) {
		if (p->conns[i].fd == fd)
			return &p->conns[i];
	}
	return NULL;
}

static void one_fd(struct sl_view_prog *p, const struct entries *es, int fd, unsigned long inode)
{
	const struct entry key = {.inode = inode};
	const struct entry *e;
	struct sl_view_conn *c = find_conn(p, fd);

	if (c ? c->local.family != 0 : p->reason == 0)
		return;
	e = bsearch(&key, es->list, es->count, sizeof(key), by_inode);
	if (!e)
		return;
	if (!c) {
		c = sl_view_add_conn(p);
		if (!c)
			return;
		c->fd = fd;
		c->reason = p->reason;
	}
	c->local = e->local;
	c->peer = e->peer;
}

static void each_socket(struct sl_view_prog *p, const struct entries *es)
{
	char path[300];
	struct dirent *d;
	struct stat st;
	DIR *dir;

	(void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)p->pid);
	dir = opendir(path);
	if (!dir)
		return;
	while ((d = readdir(dir)) != NULL) {
		if (d->d_name[0] < '0' || d->d_name[0] > '9')
			continue;
		if (fstatat(dirfd(dir), d->d_name, &st, 0) == 0 && S_ISSOCK(st.st_mode))
			one_fd(p, es, atoi(d->d_name), st.st_ino);
	}
	(void)closedir(dir);
}

static bool has_work(const struct sl_view_prog *p)
{
	size_t i;

	for (i = 0; i < p->conn_count; i++) {
		if (p->conns[i].local.family == 0 && p->conns[i].fd >= 0)
			return true;
	}
	return p->reason != 0;
}

void sl_proctcp_fill(struct sl_view_prog *p)
{
	struct entries es = {0};

	if (!has_work(p))
		return;
	read_net(p->pid, "tcp", &es);
	read_net(p->pid, "tcp6", &es);
	if (es.count) {
		qsort(es.list, es.count, sizeof(*es.list), by_inode);
		each_socket(p, &es);
	}
	free(es.list);
}
