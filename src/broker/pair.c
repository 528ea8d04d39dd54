/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pair.c - live pairs: the segment and the two side pages, kept for REATTACH, here or by a keeper
 *
 * Each end knows the clients that hold it. An end is finished when its last holder has said GONE,
 * or went away without a word and nobody has come back for SL_BRK_GRACE_MS (an exec is a disconnect
 * and a REATTACH). A pair is freed when both ends are finished; while one end lives the other may
 * still come back.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "brk.h"
#include "common.h"
#include "log.h"
#include "seg.h"

struct sl_brk_pair *sl_brk_pair_find(struct sl_brk *b, uint64_t id)
{
	struct sl_tab_node *n = sl_tab_first(&b->pair_by_id, sl_tab_hash(&id, sizeof(id)));
	struct sl_brk_pair *p;

	for (; n; n = sl_tab_next(n)) {
		p = sl_container_of(n, struct sl_brk_pair, by_id);
		if (p->id == id)
			return p;
	}
	return NULL;
}

static struct sl_brk_end *find_end(struct sl_brk *b, uint64_t cookie)
{
	struct sl_tab_node *n;
	struct sl_brk_end *e;

	n = sl_tab_first(&b->end_by_cookie, sl_tab_hash(&cookie, sizeof(cookie)));
	for (; n; n = sl_tab_next(n)) {
		e = sl_container_of(n, struct sl_brk_end, by_cookie);
		if (e->cookie == cookie)
			return e;
	}
	return NULL;
}

static struct sl_brk_hold *find_hold(const struct sl_brk_end *e, const struct sl_brk_client *c)
{
	struct sl_brk_hold *h;

	LIST_FOREACH(h, &e->holds, of_end)
	{
		if (h->client == c)
			return h;
	}
	return NULL;
}

static void grace_stop(struct sl_brk *b, struct sl_brk_end *e)
{
	if (!e->until_ms)
		return;
	TAILQ_REMOVE(&b->graces, e, grace);
	e->until_ms = 0;
}

static void hold_free(struct sl_brk *b, struct sl_brk_hold *h)
{
	if (h->id)
		sl_tab_del(&b->hold_by_id, &h->by_id);
	LIST_REMOVE(h, of_client);
	LIST_REMOVE(h, of_end);
	h->end->hold_count--;
	free(h);
}

static void hold_number(struct sl_brk *b, struct sl_brk_hold *h, uint64_t id)
{
	if (h->id)
		sl_tab_del(&b->hold_by_id, &h->by_id);
	h->id = id;
	if (id)
		sl_tab_add(&b->hold_by_id, &h->by_id, sl_brk_id_hash(h->client, id));
}

static int hold_add(struct sl_brk *b, struct sl_brk_end *e, struct sl_brk_client *c, uint64_t id)
{
	struct sl_brk_hold *h = find_hold(e, c);

	if (h) {
		hold_number(b, h, id);
		return 0;
	}
	if (e->hold_count >= SL_BRK_HOLDERS_MAX)
		return -ENOSPC;
	h = calloc(1, sizeof(*h));
	if (!h)
		return -ENOMEM;
	h->client = c;
	h->end = e;
	LIST_INSERT_HEAD(&c->holds, h, of_client);
	LIST_INSERT_HEAD(&e->holds, h, of_end);
	e->hold_count++;
	hold_number(b, h, id);
	grace_stop(b, e);
	return 0;
}

/* Makes room for one pair's descriptors, if there is a keeper to take another's. */
static void make_room(struct sl_brk *b)
{
	struct sl_brk_pair *p;

	while (b->own_count >= b->own_max && (p = TAILQ_FIRST(&b->own)) != NULL &&
	       sl_brk_keep(b, p)) {
		TAILQ_REMOVE(&b->own, p, link);
		TAILQ_INSERT_TAIL(&b->kept, p, link);
		b->own_count--;
	}
}

static void fds_are_here(struct sl_brk *b, struct sl_brk_pair *p)
{
	TAILQ_INSERT_TAIL(&b->own, p, link);
	b->own_count++;
}

bool sl_brk_pair_fds(struct sl_brk *b, struct sl_brk_pair *p, unsigned side, int fds[SL_MSG_FDS])
{
	if (p->keeper) {
		make_room(b);
		if (sl_brk_keep_back(p) == 0) {
			TAILQ_REMOVE(&b->kept, p, link);
			fds_are_here(b, p);
		}
	}
	fds[0] = p->seg_fd;
	fds[1] = p->end[side].side_fd;
	return p->seg_fd >= 0;
}

static void fds_drop(struct sl_brk *b, struct sl_brk_pair *p)
{
	if (p->seg_fd < 0) {
		if (p->keeper)
			sl_brk_keep_drop(p);
		TAILQ_REMOVE(&b->kept, p, link);
		return;
	}
	(void)close(p->seg_fd);
	(void)close(p->end[0].side_fd);
	(void)close(p->end[1].side_fd);
	TAILQ_REMOVE(&b->own, p, link);
	b->own_count--;
}

void sl_brk_pair_free(struct sl_brk *b, struct sl_brk_pair *p)
{
	struct sl_brk_hold *h;
	unsigned i;

	for (i = 0; i < 2; i++) {
		while ((h = LIST_FIRST(&p->end[i].holds)) != NULL)
			hold_free(b, h);
		grace_stop(b, &p->end[i]);
		sl_tab_del(&b->end_by_cookie, &p->end[i].by_cookie);
		p->end[i].user->ends--;
	}
	sl_tab_del(&b->pair_by_id, &p->by_id);
	fds_drop(b, p);
	free(p);
	b->pair_count--;
}

static bool finished(const struct sl_brk_end *e)
{
	return !e->hold_count && !e->until_ms;
}

static void free_if_finished(struct sl_brk *b, struct sl_brk_pair *p)
{
	if (finished(&p->end[0]) && finished(&p->end[1]))
		sl_brk_pair_free(b, p);
}

static uint32_t choose_ring_len(uint32_t a, uint32_t b)
{
	uint32_t want = a > b ? a : b, len = SL_RING_LEN_MIN;

	if (!want)
		return SL_RING_LEN_DEF;
	while (len < want && len < SL_RING_LEN_MAX)
		len *= 2;
	return len;
}

static enum sl_reason why_not(int rc)
{
	return rc == -EMFILE || rc == -ENFILE ? SL_WHY_LIMIT_FILES : SL_WHY_LIMIT_MEMORY;
}

static enum sl_reason pair_new(struct sl_brk *b, const struct sl_brk_offer *const o[2],
			       struct sl_brk_pair **pair)
{
	struct sl_brk_pair *p = NULL;
	struct sl_brk_end *e;
	int rc = -EMFILE;
	unsigned i;

	make_room(b);
	if (b->own_count >= b->own_max)
		goto fail;
	rc = -ENOMEM;
	p = calloc(1, sizeof(*p));
	if (!p)
		goto fail;
	p->ring_len = choose_ring_len(o[0]->ring_len, o[1]->ring_len);
	rc = p->seg_fd = sl_seg_create(p->ring_len);
	if (rc < 0)
		goto free_pair;
	rc = p->end[0].side_fd = sl_side_create();
	if (rc < 0)
		goto close_seg;
	rc = p->end[1].side_fd = sl_side_create();
	if (rc < 0)
		goto close_side;
	p->id = b->next_pair++;
	sl_tab_add(&b->pair_by_id, &p->by_id, sl_tab_hash(&p->id, sizeof(p->id)));
	for (i = 0; i < 2; i++) {
		e = &p->end[i];
		e->pair = p;
		e->cookie = o[i]->facts.cookie;
		e->user = o[i]->client->user;
		e->user->ends++;
		sl_tab_add(&b->end_by_cookie, &e->by_cookie,
			   sl_tab_hash(&e->cookie, sizeof(e->cookie)));
	}
	fds_are_here(b, p);
	b->pair_count++;
	*pair = p;
	return SL_WHY_NONE;

close_side:
	(void)close(p->end[0].side_fd);
close_seg:
	(void)close(p->seg_fd);
free_pair:
	free(p);
fail:
	return why_not(rc);
}

static void send_paired(struct sl_brk *b, struct sl_brk_client *c, const struct sl_brk_pair *p,
			unsigned side, uint64_t id)
{
	struct sl_msg m = {
		.type = SL_MSG_PAIRED,
		.side = side,
		.id = id,
		.pair = p->id,
		.arg = p->ring_len,
	};

	sl_brk_send(b, c, &m);
}

static bool over_limit(const struct sl_brk *b, const struct sl_brk_offer *o)
{
	return sl_brk_user_over(b, o->client->user, o->client->user->ends, 2 * b->pair_max);
}

void sl_brk_pair(struct sl_brk *b, struct sl_brk_offer *first, struct sl_brk_offer *second)
{
	const struct sl_brk_offer *const o[2] = {first, second};
	enum sl_reason why = SL_WHY_LIMIT_BROKER;
	struct sl_brk_pair *p = NULL;
	struct sl_brk_end *old;
	unsigned i;

	/* Both have offered anew, so an earlier pair of either socket has ended. */
	for (i = 0; i < 2; i++) {
		old = find_end(b, o[i]->facts.cookie);
		if (old)
			sl_brk_pair_free(b, old->pair);
	}
	if (b->pair_count < b->pair_max && !over_limit(b, first) && !over_limit(b, second))
		why = pair_new(b, o, &p);
	if (p &&
	    (hold_add(b, &p->end[0], first->client, first->id) ||
	     hold_add(b, &p->end[1], second->client, second->id))) {
		sl_brk_pair_free(b, p);
		why = SL_WHY_LIMIT_MEMORY;
	}
	if (why == SL_WHY_NONE && b->verbose)
		sl_log("broker: paired clients %d and %d", (int)first->client->pid,
		       (int)second->client->pid);
	for (i = 0; i < 2; i++) {
		if (why == SL_WHY_NONE)
			send_paired(b, o[i]->client, p, i, o[i]->id);
		else
			sl_brk_refuse(b, o[i]->client, o[i]->id, why);
	}
}

bool sl_brk_pair_joins(struct sl_brk *b, uint64_t pair, unsigned side,
		       const struct sl_brk_client *c, const struct sl_brk_client *other)
{
	struct sl_brk_pair *p = sl_brk_pair_find(b, pair);

	return p && find_hold(&p->end[side], c) && find_hold(&p->end[1 - side], other);
}

void sl_brk_reattach(struct sl_brk *b, struct sl_brk_client *c, const struct sl_msg *m, int fd)
{
	struct sl_brk_end *e;
	enum sl_reason why;
	uint64_t cookie;

	why = sl_facts_cookie(fd, &cookie);
	if (why == SL_WHY_NONE) {
		e = find_end(b, cookie);
		if (!e)
			why = SL_WHY_EXECED;
		else if (hold_add(b, e, c, 0))
			why = SL_WHY_LIMIT_BROKER;
	}
	if (why != SL_WHY_NONE)
		sl_brk_refuse(b, c, m->id, why);
	else
		send_paired(b, c, e->pair, (unsigned)(e - e->pair->end), m->id);
}

/* A side page that nobody has: whoever got the last one may still write to it. Return: 0, -errno. */
static int fresh_side(struct sl_brk_end *e)
{
	int fd = sl_side_create();

	if (fd < 0)
		return fd;
	(void)close(e->side_fd);
	e->side_fd = fd;
	return 0;
}

static bool attached(const struct sl_brk_end *e)
{
	return sl_seg_attached(e->pair->seg_fd, (unsigned)(e - e->pair->end));
}

bool sl_brk_pair_again(struct sl_brk *b, struct sl_brk_client *c, const struct sl_msg *m,
		       uint64_t cookie)
{
	struct sl_brk_end *e = find_end(b, cookie), *other;
	unsigned side;

	if (!e)
		return false;
	side = (unsigned)(e - e->pair->end);
	other = &e->pair->end[1 - side];
	/* The other has attached and left: what is to come is another pair. */
	if (attached(e) || (finished(other) && attached(other)))
		return false;
	if (fresh_side(e) || hold_add(b, e, c, m->id))
		sl_brk_refuse(b, c, m->id, SL_WHY_LIMIT_BROKER);
	else
		send_paired(b, c, e->pair, side, m->id);
	return true;
}

static void hold_drop(struct sl_brk *b, struct sl_brk_hold *h)
{
	struct sl_brk_pair *p = h->end->pair;

	hold_free(b, h);
	free_if_finished(b, p);
}

void sl_brk_pair_withdraw(struct sl_brk *b, struct sl_brk_client *c, uint64_t id)
{
	struct sl_tab_node *n = sl_tab_first(&b->hold_by_id, sl_brk_id_hash(c, id));
	struct sl_brk_hold *h;

	for (; n; n = sl_tab_next(n)) {
		h = sl_container_of(n, struct sl_brk_hold, by_id);
		if (h->client == c && h->id == id) {
			hold_drop(b, h);
			return;
		}
	}
}

/*
 * Ignored: a pair that is unknown by now, or an end that this client does not hold (a child that says GONE for what
 * its parent attached; PAIRED that was withdrawn before it came).
 */
void sl_brk_gone(struct sl_brk *b, struct sl_brk_client *c, const struct sl_msg *m)
{
	struct sl_brk_pair *p = sl_brk_pair_find(b, m->pair);
	struct sl_brk_hold *h;

	if (!p)
		return;
	h = find_hold(&p->end[m->side & 1], c);
	if (h)
		hold_drop(b, h);
}

/* The client has disconnected: an exec, an exit, or a crash. */
void sl_brk_holds_drop(struct sl_brk *b, struct sl_brk_client *c)
{
	struct sl_brk_hold *h;
	struct sl_brk_end *e;

	while ((h = LIST_FIRST(&c->holds)) != NULL) {
		e = h->end;
		hold_free(b, h);
		if (e->hold_count)
			continue;
		e->until_ms = b->now_ms + SL_BRK_GRACE_MS;
		TAILQ_INSERT_TAIL(&b->graces, e, grace);
	}
}

void sl_brk_grace_run(struct sl_brk *b)
{
	struct sl_brk_end *e;

	while ((e = TAILQ_FIRST(&b->graces)) != NULL && e->until_ms <= b->now_ms) {
		grace_stop(b, e);
		free_if_finished(b, e->pair);
	}
}
