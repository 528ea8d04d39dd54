/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * passed.c - sockets that go from process to process by SCM_RIGHTS
 *
 * How it works. Nobody but the broker can count the holders of such a socket (broker/passed.c). A sender announces
 * each copy, and says when its own is closed. A receiver tracks what it was given like a socket of its own, but
 * that its offers say from whom it comes; the first one makes the broker count it. So a connection of few calls costs
 * its receiver no message. What was moved before is not known here: the kernel tells at attaching (uncounted).
 *
 * Whatever makes copies that nobody announces is announced here in their place, once and for all: a fork after
 * it was passed on, an exec that inherits it, a descriptor of a message that was only looked at (MSG_PEEK).
 */
#include "internal.h"
#include "sys.h"

bool sl_passes_on;

static uint64_t cookie_of(int fd)
{
	uint64_t cookie = 0;
	socklen_t len = sizeof(cookie);

	(void)sl_sys_getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len);
	return cookie;
}

void sl_passed_claimed(struct sl_sock *s, int fd, uint32_t gen)
{
	s->claim = cookie_of(fd);
	s->claim_gen = gen;
}

bool sl_passed_is_claimed(const struct sl_sock *s)
{
	return s->claim && s->claim_gen == sl_offer_generation();
}

/* Not to be promoted by whoever gets it: by what was done with it here, or who else has it. */
static bool unfit(const struct sl_sock *s, uint32_t offer)
{
	return offer == SL_OFFER_NEVER || s->side->foreign || s->oob || s->connecting ||
	       s->side->kfin || s->side->tx.fin || s->side->rdshut || s->side->dead;
}

void sl_passed_look(struct sl_sock *s)
{
	sl_passes_on = true;
	if (!s->passed)
		s->unfit = unfit(s, atomic_load(&s->offer));
	s->passed = true;
}

void sl_passed_on(struct sl_sock *s, int fd)
{
	uint32_t holders = atomic_load(&s->side->holders);

	/* Those since fork close it without a word. */
	sl_offer_pass(s, fd, 1 + s->unfit + (holders > 1 ? holders - 1 : 0));
}

void sl_passed_copied(struct sl_sock *s, int fd)
{
	if (sl_unlikely(s->claim))
		sl_offer_pass(s, fd, 1);
}

void sl_sock_received(int fd, pid_t sender)
{
	struct sl_sock *s = sl_sock_get(fd);

	if (!s)
		return;
	s->received = sender > 0;
	s->sender = (uint32_t)sender;
	s->uncounted = true;
	if (!s->received) { /* one more than were announced, perhaps */
		sl_offer_pass(s, fd, 1);
		sl_sock_refuse(s, fd, SL_WHY_RECEIVED);
	}
	sl_sock_put(s);
}
