/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * out.c - messages to clients
 *
 * A message goes straight into the socket; only when that is full it waits in the client's queue
 * for EPOLLOUT. The queue holds messages without descriptors: those of a PAIRED or BELL are looked up when
 * it is sent, and a pair that has ended by then becomes a REFUSED.
 */
#include <errno.h>
#include <stdlib.h>
#include "brk.h"

static int put(struct sl_brk *b, struct sl_brk_client *c, const struct sl_msg *m)
{
	struct sl_msg refused = {.type = SL_MSG_REFUSED, .id = m->id, .arg = SL_WHY_FINISHED};
	struct sl_msg none = {.type = SL_MSG_BELL, .id = m->id};
	struct sl_brk_pair *p;
	int fds[SL_MSG_FDS];
	unsigned nfds = 0;
	int rc;

	if (m->type == SL_MSG_PAIRED) {
		p = sl_brk_pair_find(b, m->pair);
		if (p && sl_brk_pair_fds(b, p, m->side, fds)) {
			nfds = SL_MSG_FDS;
		} else {
			refused.arg = p ? SL_WHY_LIMIT_FILES : SL_WHY_FINISHED;
			m = &refused;
		}
	}
	if (m->type == SL_MSG_BELL && m->arg) {
		fds[0] = sl_brk_bell_fd(b, m->id);
		if (fds[0] >= 0)
			nfds++;
		else
			m = &none;
	}
	rc = sl_msg_send(c->fd, m, fds, nfds);
	if (rc == -ETOOMANYREFS && m->type == SL_MSG_BELL) {
		rc = sl_msg_send(c->fd, &none, NULL, 0);
	} else if (rc == -ETOOMANYREFS) { /* more descriptors in flight than this user may have */
		struct sl_msg gone = {.type = SL_MSG_GONE, .pair = m->pair, .side = m->side};

		refused.arg = SL_WHY_LIMIT_FILES;
		rc = sl_msg_send(c->fd, &refused, NULL, 0);
		if (!rc)
			sl_brk_gone(b, c, &gone);
	}
	if (!rc && c->mail)
		atomic_store_explicit(&c->mail->count, ++c->mailed, memory_order_release);
	return rc;
}

static int queue(struct sl_brk_client *c, const struct sl_msg *m)
{
	struct sl_msg *bigger;
	unsigned i, cap;

	if (c->out_count == SL_BRK_OUT_MAX)
		return -ENOBUFS;
	if (c->out_count == c->out_cap) {
		cap = c->out_cap ? c->out_cap * 2 : 64;
		bigger = calloc(cap, sizeof(*bigger));
		if (!bigger)
			return -ENOMEM;
		for (i = 0; i < c->out_count; i++)
			bigger[i] = c->out[(c->out_head + i) & (c->out_cap - 1)];
		free(c->out);
		c->out = bigger;
		c->out_head = 0;
		c->out_cap = cap;
	}
	c->out[(c->out_head + c->out_count++) & (c->out_cap - 1)] = *m;
	return 0;
}

void sl_brk_send(struct sl_brk *b, struct sl_brk_client *c, const struct sl_msg *m)
{
	int rc = -EAGAIN;

	if (c->dead)
		return;
	if (!c->out_count)
		rc = put(b, c, m);
	if (rc == -EAGAIN) {
		rc = queue(c, m);
		if (!rc)
			sl_brk_client_watch(b, c);
	}
	if (rc)
		sl_brk_kill(b, c, rc == -ENOBUFS ? "does not read its messages" : "cannot send");
}

void sl_brk_refuse(struct sl_brk *b, struct sl_brk_client *c, uint64_t id, enum sl_reason why)
{
	struct sl_msg m = {.type = SL_MSG_REFUSED, .id = id, .arg = why};

	sl_brk_send(b, c, &m);
}

void sl_brk_flush(struct sl_brk *b, struct sl_brk_client *c)
{
	int rc;

	while (c->out_count && !c->dead) {
		rc = put(b, c, &c->out[c->out_head]);
		if (rc == -EAGAIN)
			break;
		if (rc) {
			sl_brk_kill(b, c, "cannot send");
			return;
		}
		c->out_head = (c->out_head + 1) & (c->out_cap - 1);
		c->out_count--;
	}
	sl_brk_client_watch(b, c);
}
