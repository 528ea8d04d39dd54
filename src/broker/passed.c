/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * passed.c - who holds a socket that has gone from process to process by SCM_RIGHTS
 *
 * No process can learn from the kernel who else holds its socket, and two that do not know of each other must not be
 * on the memory lane. Here they are counted. A sender says PASS before the message goes: it is a holder itself, and
 * there are so many more of whom nothing is known yet. A receiver is one of these: TAKE. A holder that closes says
 * DROP. A receiver may offer when it is the only holder that is left.
 *
 * The number of holders is never too low, which would be a connection that loses bytes, as long as senders say PASS.
 * A TAKE that nobody has announced (the sender is not under scilan, or spoke to a broker before us) makes the number
 * unknown, for good. So does one whose sender has not said PASS: a program without scilan in between may keep a
 * copy. (One that has the very UNIX socket from a program under scilan is not noticed.) A client that we throw out may go on holding its sockets: they stay counted. What we lack memory for is
 * not known either.
 *
 * PASS and DROP name the socket by its cookie and show nothing, so that no copy of it in our queue delays its end. A
 * liar can count up what it does not hold, and down only what it has counted up: it harms no more than itself.
 */
#include <stdlib.h>
#include "brk.h"
#include "common.h"

#define MOST_AT_ONCE 65536u /* holders in one PASS */
#define SENDERS	     4

struct sl_brk_passed {
	struct sl_tab_node by_cookie;
	TAILQ_ENTRY(sl_brk_passed) idle; /* while claimed is 0: on the way, or forgotten */
	LIST_HEAD(, sl_brk_claim) claims;
	uint64_t cookie;
	uint64_t unknown; /* holders that no client has claimed */
	uint64_t claimed; /* by clients, all together */
	uint64_t senders[SENDERS]; /* process ids: the last that have announced it */
	unsigned sender;
	bool more;	  /* there are, or were, holders that nobody has announced */
};

struct sl_brk_claim {
	LIST_ENTRY(sl_brk_claim) of_client, of_passed;
	struct sl_brk_client *client;
	struct sl_brk_passed *passed;
	uint32_t count;
	uint64_t announced; /* holders, by PASS */
};

static struct sl_brk_passed *find(struct sl_brk *b, uint64_t cookie)
{
	struct sl_tab_node *n;
	struct sl_brk_passed *p;

	n = sl_tab_first(&b->passed_by_cookie, sl_tab_hash(&cookie, sizeof(cookie)));
	for (; n; n = sl_tab_next(n)) {
		p = sl_container_of(n, struct sl_brk_passed, by_cookie);
		if (p->cookie == cookie)
			return p;
	}
	return NULL;
}

static void idle_add(struct sl_brk *b, struct sl_brk_passed *p)
{
	TAILQ_INSERT_TAIL(&b->passed_idle, p, idle);
	b->passed_idle_count++;
}

static void idle_del(struct sl_brk *b, struct sl_brk_passed *p)
{
	TAILQ_REMOVE(&b->passed_idle, p, idle);
	b->passed_idle_count--;
}

static void forget(struct sl_brk *b, struct sl_brk_passed *p)
{
	idle_del(b, p);
	sl_tab_del(&b->passed_by_cookie, &p->by_cookie);
	free(p);
}

static void forget_oldest(struct sl_brk *b)
{
	if (b->passed_idle_count > SL_BRK_PASSED_IDLE)
		forget(b, TAILQ_FIRST(&b->passed_idle));
}

/* Nobody claims it: as long as copies are on the way it is kept, in order of age, up to a limit. */
static void now_idle(struct sl_brk *b, struct sl_brk_passed *p)
{
	idle_add(b, p);
	if (!p->unknown)
		forget(b, p);
	else
		forget_oldest(b);
}

static struct sl_brk_passed *find_or_make(struct sl_brk *b, uint64_t cookie)
{
	struct sl_brk_passed *p = find(b, cookie);

	if (p)
		return p;
	p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	p->cookie = cookie;
	sl_tab_add(&b->passed_by_cookie, &p->by_cookie, sl_tab_hash(&cookie, sizeof(cookie)));
	idle_add(b, p);
	return p;
}

static struct sl_brk_claim *claim_of(const struct sl_brk_passed *p, const struct sl_brk_client *c)
{
	struct sl_brk_claim *cl;

	LIST_FOREACH(cl, &p->claims, of_passed)
	{
		if (cl->client == c)
			return cl;
	}
	return NULL;
}

/* Return: NULL: not counted, the client has too many or memory lacks. */
static struct sl_brk_claim *claim(struct sl_brk *b, struct sl_brk_passed *p, struct sl_brk_client *c)
{
	struct sl_brk_claim *cl = claim_of(p, c);

	if (!cl) {
		if (c->user->claims >= SL_BRK_USER_OFFERS)
			return NULL;
		cl = calloc(1, sizeof(*cl));
		if (!cl)
			return NULL;
		cl->client = c;
		cl->passed = p;
		c->user->claims++;
		LIST_INSERT_HEAD(&c->claims, cl, of_client);
		LIST_INSERT_HEAD(&p->claims, cl, of_passed);
	}
	if (!p->claimed)
		idle_del(b, p);
	cl->count++;
	p->claimed++;
	return cl;
}

/* @n fewer of this claim. @lost: they go on holding it, and nobody will say so. */
static void unclaim(struct sl_brk *b, struct sl_brk_claim *cl, uint32_t n, bool lost)
{
	struct sl_brk_passed *p = cl->passed;

	cl->count -= n;
	p->claimed -= n;
	if (lost)
		p->unknown += n;
	if (!cl->count) {
		LIST_REMOVE(cl, of_client);
		LIST_REMOVE(cl, of_passed);
		cl->client->user->claims--;
		free(cl);
	}
	if (!p->claimed)
		now_idle(b, p);
}

void sl_brk_pass(struct sl_brk *b, struct sl_brk_client *c, const struct sl_msg *m)
{
	struct sl_brk_passed *p;
	struct sl_brk_claim *cl;

	if (!m->id || !m->arg || m->arg > MOST_AT_ONCE) {
		sl_brk_kill(b, c, "passed nothing");
		return;
	}
	p = find_or_make(b, m->id);
	if (!p)
		return;
	p->unknown += m->arg;
	p->senders[p->sender++ % SENDERS] = (uint64_t)c->pid;
	cl = claim_of(p, c);
	if (!cl)
		cl = claim(b, p, c);
	if (cl)
		cl->announced += m->arg;
	else
		p->unknown++; /* the sender itself */
	if (!p->claimed)
		forget_oldest(b);
}

void sl_brk_unpass(struct sl_brk *b, struct sl_brk_client *c, const struct sl_msg *m)
{
	struct sl_brk_passed *p = find(b, m->id);
	struct sl_brk_claim *cl = p ? claim_of(p, c) : NULL;

	if (!cl || m->arg > cl->announced || m->arg > p->unknown)
		return;
	cl->announced -= m->arg;
	p->unknown -= m->arg;
}

static bool sent_by(const struct sl_brk_passed *p, uint64_t pid)
{
	unsigned i;

	for (i = 0; i < SENDERS; i++)
		if (p->senders[i] == pid)
			return pid != 0;
	return false;
}

void sl_brk_take(struct sl_brk *b, struct sl_brk_client *c, uint64_t cookie, uint64_t pid)
{
	struct sl_brk_passed *p = find_or_make(b, cookie);

	if (!p)
		return;
	if (!claim(b, p, c)) {
		if (!p->claimed && !p->unknown)
			forget(b, p);
	} else if (p->unknown && sent_by(p, pid)) {
		p->unknown--;
	} else {
		p->more = true;
	}
}

void sl_brk_drop(struct sl_brk *b, struct sl_brk_client *c, const struct sl_msg *m)
{
	struct sl_brk_passed *p = find(b, m->id);
	struct sl_brk_claim *cl = p ? claim_of(p, c) : NULL;

	if (cl)
		unclaim(b, cl, 1, false);
}

enum sl_reason sl_brk_only_holder(struct sl_brk *b, struct sl_brk_client *c, uint64_t cookie)
{
	struct sl_brk_passed *p = find(b, cookie);

	if (!p || p->more || !claim_of(p, c))
		return SL_WHY_RECEIVED;
	return p->unknown + p->claimed == 1 ? SL_WHY_NONE : SL_WHY_SHARED;
}

void sl_brk_claims_drop(struct sl_brk *b, struct sl_brk_client *c)
{
	struct sl_brk_claim *cl;

	while ((cl = LIST_FIRST(&c->claims)) != NULL)
		unclaim(b, cl, cl->count, c->thrown_out);
}

void sl_brk_passed_fini(struct sl_brk *b)
{
	while (!TAILQ_EMPTY(&b->passed_idle))
		forget(b, TAILQ_FIRST(&b->passed_idle));
}
