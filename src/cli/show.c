/* SPDX-License-Identifier: BSD-2-Clause */
/* show.c - the table of `scilan status`, for people */
#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "reason.h"
#include "view.h"

enum column {
	PROGRAM,
	PID,
	FD,
	LOCAL,
	PEER,
	TX,
	RX,
	TX_BYTES,
	RX_BYTES,
	MSGS,
	BELLS,
	SLEEPS,
	COLS
};

#define CELL 72

static const char *const heads[COLS] = {
	"PROGRAM", "PID",      "FD",	   "LOCAL", "PEER",  "TX",
	"RX",	   "TX-BYTES", "RX-BYTES", "MSGS",  "BELLS", "SLEEPS",
};

struct row {
	char cell[COLS][CELL];
	char reason[256];
};

struct table {
	struct row *rows;
	size_t count;
	size_t width[COLS];
};

const char *sl_view_addr(const struct sl_stat_addr_shm *a, char text[SL_ADDR_LEN])
{
	char ip[INET6_ADDRSTRLEN];

	text[0] = '\0';
	if (a->family && inet_ntop(a->family, a->addr, ip, sizeof(ip)))
		(void)snprintf(text, SL_ADDR_LEN, a->family == AF_INET6 ? "[%s]:%u" : "%s:%u", ip,
			       (unsigned)a->port);
	return text;
}

/* 999, 9.9K, 99K, 999K, 9.9M ...: at most four characters */
static const char *human(uint64_t n, char text[32])
{
	static const char units[] = "KMGTPE";
	double v = (double)n;
	int u = -1;

	while (v >= 999.5) {
		v /= 1024;
		u++;
	}
	if (u < 0)
		(void)snprintf(text, 32, "%" PRIu64, n);
	else
		(void)snprintf(text, 32, "%.*f%c", v < 9.95 ? 1 : 0, v, units[u]);
	return text;
}

static void two(char cell[CELL], uint64_t a, uint64_t b)
{
	char x[32], y[32];

	(void)snprintf(cell, CELL, "%s/%s", human(a, x), human(b, y));
}

static const char *lane(const struct sl_stat_dir_shm *d)
{
	return d->lane == SL_STAT_MEMORY ? "memory" : "tcp";
}

static void number(char cell[CELL], int n)
{
	if (n < 0)
		(void)snprintf(cell, CELL, "-");
	else
		(void)snprintf(cell, CELL, "%d", n);
}

static void addr_cell(char cell[CELL], const struct sl_stat_addr_shm *a)
{
	char text[SL_ADDR_LEN];

	(void)snprintf(cell, CELL, "%s", *sl_view_addr(a, text) ? text : "-");
}

static void conn_row(struct row *r, const struct sl_view_prog *p, const struct sl_view_conn *c)
{
	const char *why = sl_reason_text(c->reason), *peer = sl_reason_text(c->peer_reason);

	(void)snprintf(r->cell[PROGRAM], CELL, "%s", p->name);
	number(r->cell[PID], (int)c->pid);
	number(r->cell[FD], c->fd);
	addr_cell(r->cell[LOCAL], &c->local);
	addr_cell(r->cell[PEER], &c->peer);
	(void)snprintf(r->cell[TX], CELL, "%s", lane(&c->tx));
	(void)snprintf(r->cell[RX], CELL, "%s", lane(&c->rx));
	two(r->cell[TX_BYTES], c->tx.bytes_memory, c->tx.bytes_tcp);
	two(r->cell[RX_BYTES], c->rx.bytes_memory, c->rx.bytes_tcp);
	two(r->cell[MSGS], c->tx.messages, c->rx.messages);
	two(r->cell[BELLS], c->tx.bells, c->rx.bells);
	two(r->cell[SLEEPS], c->tx.sleeps, c->rx.sleeps);
	(void)snprintf(r->reason, sizeof(r->reason), "%s%s%s%s", why, *why && *peer ? "; " : "",
		       *peer ? "peer: " : "", peer);
}

static void idle_row(struct row *r, const struct sl_view_prog *p)
{
	enum column c;

	for (c = 0; c < COLS; c++)
		(void)snprintf(r->cell[c], CELL, "-");
	(void)snprintf(r->cell[PROGRAM], CELL, "%s", p->name);
	number(r->cell[PID], (int)p->pid);
	(void)snprintf(r->reason, sizeof(r->reason), "no connections%s%s", p->reason ? "; " : "",
		       sl_reason_text(p->reason));
}

static void fill(struct table *t, const struct sl_view *v, pid_t pid)
{
	const struct sl_view_prog *p;
	size_t i, k;

	for (i = 0; i < v->prog_count; i++) {
		p = &v->progs[i];
		if (pid && p->pid != pid)
			continue;
		if (!p->conn_count)
			idle_row(&t->rows[t->count++], p);
		for (k = 0; k < p->conn_count; k++)
			conn_row(&t->rows[t->count++], p, &p->conns[k]);
	}
}

static void print_row(const struct table *t, const char *const cells[COLS], const char *last)
{
	enum column c;

	for (c = 0; c < COLS; c++)
		printf("%-*s  ", (int)t->width[c], cells[c]);
	printf("%s\n", last);
}

static void print(struct table *t)
{
	const char *cells[COLS];
	enum column c;
	size_t i, len;

	for (c = 0; c < COLS; c++) {
		t->width[c] = strlen(heads[c]);
		for (i = 0; i < t->count; i++) {
			len = strlen(t->rows[i].cell[c]);
			if (len > t->width[c])
				t->width[c] = len;
		}
	}
	print_row(t, heads, "REASON");
	for (i = 0; i < t->count; i++) {
		for (c = 0; c < COLS; c++)
			cells[c] = t->rows[i].cell[c];
		print_row(t, cells, t->rows[i].reason);
	}
}

void sl_view_show(const struct sl_view *v, pid_t pid)
{
	struct table t = {0};
	size_t i, n = 0;

	for (i = 0; i < v->prog_count; i++)
		n += v->progs[i].conn_count + 1;
	t.rows = calloc(n + 1, sizeof(*t.rows));
	if (!t.rows)
		return;
	fill(&t, v, pid);
	if (t.count)
		print(&t);
	else if (pid)
		printf("process %d is not under scilan\n", (int)pid);
	else
		printf("no program runs under scilan\n");
	free(t.rows);
}
