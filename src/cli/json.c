/* SPDX-License-Identifier: BSD-2-Clause */
/* json.c - `scilan status --json`, for programs; the fields are documented in scilan-status(1) */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include "reason.h"
#include "view.h"

static json_t *number(uint64_t n)
{
	return json_integer((json_int_t)n);
}

static json_t *direction(const struct sl_stat_dir_shm *d)
{
	return json_pack("{s:s, s:o, s:o, s:o, s:o, s:o}", "lane",
			 d->lane == SL_STAT_MEMORY ? "memory" : "tcp", "bytes_memory",
			 number(d->bytes_memory), "bytes_tcp", number(d->bytes_tcp), "messages",
			 number(d->messages), "bells", number(d->bells), "sleeps",
			 number(d->sleeps));
}

static json_t *connection(const struct sl_view_prog *p, const struct sl_view_conn *c)
{
	char local[SL_ADDR_LEN], peer[SL_ADDR_LEN];

	return json_pack("{s:s, s:i, s:i, s:s, s:s, s:o, s:o, s:s, s:s}", "program", p->name, "pid",
			 (int)c->pid, "fd", c->fd, "local", sl_view_addr(&c->local, local), "peer",
			 sl_view_addr(&c->peer, peer), "tx", direction(&c->tx), "rx",
			 direction(&c->rx), "reason", sl_reason_text(c->reason), "peer_reason",
			 sl_reason_text(c->peer_reason));
}

static json_t *program(const struct sl_view_prog *p)
{
	return json_pack("{s:s, s:i, s:o, s:o, s:o, s:s}", "program", p->name, "pid",
			 (int)p->pid, "connections", number(p->conn_count), "wakeups",
			 number(p->wakeups), "vain_bells", number(p->vain_bells),
			 "reason", sl_reason_text(p->reason));
}

static json_t *build(const struct sl_view *v, pid_t pid)
{
	json_t *conns = json_array(), *progs = json_array();
	const struct sl_view_prog *p;
	size_t i, k;
	int rc = 0;

	for (i = 0; i < v->prog_count; i++) {
		p = &v->progs[i];
		if (pid && p->pid != pid)
			continue;
		rc |= json_array_append_new(progs, program(p));
		for (k = 0; k < p->conn_count; k++)
			rc |= json_array_append_new(conns, connection(p, &p->conns[k]));
	}
	if (rc) {
		json_decref(conns);
		json_decref(progs);
		return NULL;
	}
	return json_pack("{s:o, s:o}", "connections", conns, "programs", progs);
}

int sl_view_json(const struct sl_view *v, pid_t pid)
{
	json_t *all = build(v, pid);
	int rc;

	if (!all)
		return -ENOMEM;
	rc = json_dumpf(all, stdout, JSON_INDENT(2)) || putchar('\n') == EOF ? -EIO : 0;
	json_decref(all);
	return rc;
}
