/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bell.c - eventfds by which a client's sleeping threads are woken (sock/bell.h)
 *
 * A client hands in at most SL_BELL_SLOTS of them, and whoever holds the other end of a pair of its may ask for one. The
 * number is of the client's serial, which is never given twice, and of the slot: so it stands for one eventfd as long
 * as this broker lives.
 *
 * Who has the descriptor can also fill the counter and make others block in their next write. So a bell goes to the
 * same user only: that user's programs can stop each other anyway.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "brk.h"
#include "common.h"

#define SERIAL_MAX (1u << (30 - SL_BELL_SLOT_BITS)) /* the word has 30 bits for a bell */

void sl_brk_bell_client(struct sl_brk *b, struct sl_brk_client *c)
{
	if (b->next_serial >= SERIAL_MAX)
		return;
	c->serial = b->next_serial++;
	sl_tab_add(&b->client_by_serial, &c->by_serial,
		   sl_tab_hash(&c->serial, sizeof(c->serial)));
}

static struct sl_brk_client *owner(struct sl_brk *b, uint64_t number)
{
	uint64_t serial = number >> SL_BELL_SLOT_BITS;
	struct sl_tab_node *n =
		sl_tab_first(&b->client_by_serial, sl_tab_hash(&serial, sizeof(serial)));
	struct sl_brk_client *c;

	for (; n; n = sl_tab_next(n)) {
		c = sl_container_of(n, struct sl_brk_client, by_serial);
		if (c->serial == serial)
			return c->dead ? NULL : c;
	}
	return NULL;
}

/* Nothing else can have this name: a file's begins with a slash. */
static bool is_eventfd(int fd)
{
	char path[32], name[32] = "";
	int fl = fcntl(fd, F_GETFL);

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return readlink(path, name, sizeof(name) - 1) > 0 &&
	       !strcmp(name, "anon_inode:[eventfd]") && fl >= 0 && (fl & O_NONBLOCK);
}

void sl_brk_bell(struct sl_brk *b, struct sl_brk_client *c, const struct sl_msg *m, int *fd)
{
	unsigned i;

	if (!c->serial || m->arg >= SL_BELL_SLOTS || *fd < 0 || !is_eventfd(*fd))
		return;
	if (!c->bells) {
		c->bells = calloc(SL_BELL_SLOTS, sizeof(*c->bells));
		for (i = 0; c->bells && i < SL_BELL_SLOTS; i++)
			c->bells[i] = -1;
	}
	/* The number stands for what was handed in first. */
	if (!c->bells || c->bells[m->arg] >= 0 || b->bell_count >= b->bell_max ||
	    sl_brk_user_over(b, c->user, c->user->bells, b->bell_max))
		return;
	c->bells[m->arg] = *fd;
	*fd = -1;
	c->user->bells++;
	b->bell_count++;
}

int sl_brk_bell_fd(struct sl_brk *b, uint64_t number)
{
	struct sl_brk_client *c = owner(b, number);

	return c && c->bells ? c->bells[number & (SL_BELL_SLOTS - 1)] : -1;
}

void sl_brk_ask(struct sl_brk *b, struct sl_brk_client *c, const struct sl_msg *m)
{
	struct sl_msg answer = {.type = SL_MSG_BELL, .id = m->id};
	struct sl_brk_client *o = owner(b, m->id);

	answer.arg = o && o->user == c->user && sl_brk_pair_joins(b, m->pair, m->side & 1, c, o);
	sl_brk_send(b, c, &answer);
}

void sl_brk_bells_drop(struct sl_brk *b, struct sl_brk_client *c)
{
	unsigned i;

	if (c->serial)
		sl_tab_del(&b->client_by_serial, &c->by_serial);
	for (i = 0; c->bells && i < SL_BELL_SLOTS; i++) {
		if (c->bells[i] < 0)
			continue;
		(void)close(c->bells[i]);
		c->user->bells--;
		b->bell_count--;
	}
	free(c->bells);
}
