/* SPDX-License-Identifier: BSD-2-Clause */
/* offer.c - pending offers: who stands for which end of which connection, and the proof */
#include <stdlib.h>
#include <string.h>
#include "brk.h"
#include "common.h"

uint64_t sl_brk_id_hash(const struct sl_brk_client *c, uint64_t id)
{
	uint64_t key[2] = {(uintptr_t)c, id};

	return sl_tab_hash(key, sizeof(key));
}

static struct sl_brk_offer *find_id(struct sl_brk *b, const struct sl_brk_client *c, uint64_t id)
{
	struct sl_tab_node *n = sl_tab_first(&b->offer_by_id, sl_brk_id_hash(c, id));
	struct sl_brk_offer *o;

	for (; n; n = sl_tab_next(n)) {
		o = sl_container_of(n, struct sl_brk_offer, by_id);
		if (o->client == c && o->id == id)
			return o;
	}
	return NULL;
}

static struct sl_brk_offer *find_cookie(struct sl_brk *b, uint64_t cookie)
{
	struct sl_tab_node *n;
	struct sl_brk_offer *o;

	n = sl_tab_first(&b->offer_by_cookie, sl_tab_hash(&cookie, sizeof(cookie)));
	for (; n; n = sl_tab_next(n)) {
		o = sl_container_of(n, struct sl_brk_offer, by_cookie);
		if (o->facts.cookie == cookie)
			return o;
	}
	return NULL;
}

static struct sl_brk_offer *find_tuple(struct sl_brk *b, const struct sl_tuple *t)
{
	struct sl_tab_node *n = sl_tab_first(&b->offer_by_tuple, sl_tab_hash(t, sizeof(*t)));
	struct sl_brk_offer *o;

	for (; n; n = sl_tab_next(n)) {
		o = sl_container_of(n, struct sl_brk_offer, by_tuple);
		if (!memcmp(&o->facts.tuple, t, sizeof(*t)))
			return o;
	}
	return NULL;
}

static void offer_free(struct sl_brk *b, struct sl_brk_offer *o)
{
	if (o->mate)
		o->mate->mate = NULL;
	sl_tab_del(&b->offer_by_id, &o->by_id);
	sl_tab_del(&b->offer_by_cookie, &o->by_cookie);
	sl_tab_del(&b->offer_by_tuple, &o->by_tuple);
	LIST_REMOVE(o, link);
	o->client->offer_count--;
	o->client->user->offers--;
	free(o);
}

static void offer_void(struct sl_brk *b, struct sl_brk_offer *o, enum sl_reason why)
{
	sl_brk_refuse(b, o->client, o->id, why);
	offer_free(b, o);
}

static struct sl_brk_offer *offer_new(struct sl_brk *b, struct sl_brk_client *c,
				      const struct sl_msg *m, const struct sl_facts *f)
{
	struct sl_brk_offer *o = calloc(1, sizeof(*o));

	if (!o)
		return NULL;
	o->client = c;
	o->facts = *f;
	o->id = m->id;
	o->ring_len = m->arg;
	sl_tab_add(&b->offer_by_id, &o->by_id, sl_brk_id_hash(c, m->id));
	sl_tab_add(&b->offer_by_cookie, &o->by_cookie, sl_tab_hash(&f->cookie, sizeof(f->cookie)));
	sl_tab_add(&b->offer_by_tuple, &o->by_tuple, sl_tab_hash(&f->tuple, sizeof(f->tuple)));
	LIST_INSERT_HEAD(&c->offers, o, link);
	c->offer_count++;
	c->user->offers++;
	return o;
}

/* @first has waited: it shows that it still holds its socket, unless it is being asked already. */
static void match(struct sl_brk *b, struct sl_brk_offer *first, struct sl_brk_offer *second)
{
	struct sl_msg m = {.type = SL_MSG_PROVE, .id = first->id};

	first->mate = second;
	second->mate = first;
	if (first->asked)
		return;
	first->asked = true;
	sl_brk_send(b, first->client, &m);
}

void sl_brk_offer(struct sl_brk *b, struct sl_brk_client *c, const struct sl_msg *m, int fd)
{
	struct sl_brk_offer *o, *old;
	struct sl_tuple mirror;
	struct sl_facts f;
	enum sl_reason why;

	if (m->id == 0 || find_id(b, c, m->id)) {
		sl_brk_kill(b, c, "used the number of a pending offer again");
		return;
	}
	why = sl_facts_read(fd, &f);
	if (why != SL_WHY_NONE) {
		sl_brk_refuse(b, c, m->id, why);
		return;
	}
	if (m->flags & SL_OFFER_TAKE)
		sl_brk_take(b, c, f.cookie, m->pair);
	why = m->flags & SL_OFFER_RECEIVED ? sl_brk_only_holder(b, c, f.cookie) : SL_WHY_NONE;
	if (why != SL_WHY_NONE) {
		sl_brk_refuse(b, c, m->id, why);
		return;
	}
	if (sl_brk_pair_again(b, c, m, f.cookie))
		return;
	/* The same socket, shown by another holder; or an older connection with these addresses. */
	old = find_cookie(b, f.cookie);
	if (old)
		offer_void(b, old, SL_WHY_SHARED);
	old = find_tuple(b, &f.tuple);
	if (old)
		offer_void(b, old, SL_WHY_FINISHED);
	if (c->offer_count >= SL_BRK_OFFERS_MAX || c->user->offers >= SL_BRK_USER_OFFERS) {
		sl_brk_refuse(b, c, m->id, SL_WHY_LIMIT_BROKER);
		return;
	}
	o = offer_new(b, c, m, &f);
	if (!o) {
		sl_brk_refuse(b, c, m->id, SL_WHY_LIMIT_MEMORY);
		return;
	}
	sl_tuple_mirror(&f.tuple, &mirror);
	old = find_tuple(b, &mirror);
	if (old)
		match(b, old, o);
}

void sl_brk_proof(struct sl_brk *b, struct sl_brk_client *c, const struct sl_msg *m, int fd)
{
	struct sl_brk_offer *o = find_id(b, c, m->id), *mate;
	struct sl_facts f;
	enum sl_reason why;

	if (!o || !o->asked) /* withdrawn or replaced meanwhile */
		return;
	o->asked = false;
	why = sl_facts_read(fd, &f);
	if (why == SL_WHY_NONE &&
	    (f.cookie != o->facts.cookie || memcmp(&f.tuple, &o->facts.tuple, sizeof(f.tuple))))
		why = SL_WHY_FINISHED; /* another socket: the one that was offered is gone */
	if (why != SL_WHY_NONE) {
		offer_void(b, o, why);
		return;
	}
	mate = o->mate;
	if (!mate)
		return; /* the other left meanwhile: wait for the next */
	sl_brk_pair(b, o, mate);
	offer_free(b, mate);
	offer_free(b, o);
}

void sl_brk_withdraw(struct sl_brk *b, struct sl_brk_client *c, const struct sl_msg *m)
{
	struct sl_brk_offer *o = find_id(b, c, m->id);

	if (o)
		offer_free(b, o);
	else
		sl_brk_pair_withdraw(b, c, m->id);
}

void sl_brk_offers_drop(struct sl_brk *b, struct sl_brk_client *c)
{
	struct sl_brk_offer *o;

	while ((o = LIST_FIRST(&c->offers)) != NULL)
		offer_free(b, o);
}
