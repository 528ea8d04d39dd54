/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fork.c - one end of a connection, two processes
 *
 * Before fork every tracked connection's locks are taken, so that no thread is in the middle of a change, and
 * its side moves to memory that parent and child share: a promoted connection's side page is that already; for
 * the others one family page is made for this fork. The side counts its holders. A connection that two
 * processes hold is not promoted (one would not know of the other's switch); one that was promoted
 * before goes on in both, with the side's own lock (xlock). When a holder closes or exits, the count
 * goes down, and the last one is free again. exec: inherit.h.
 */
#include <string.h>
#include "hidden.h"
#include "internal.h"
#include "log.h"
#include "sys.h"

#define FILES_MAX 16

static struct sl_lock fork_lock;
__thread bool sl_fork_closes_all;

static void init_xlock(struct sl_side_shm *side)
{
	pthread_mutexattr_t a;

	pthread_mutexattr_init(&a);
	pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(&side->xlock, &a);
	pthread_mutexattr_destroy(&a);
}

/* Every tracked socket once, whatever the number of its descriptors. */
static struct sl_sock *each(unsigned *i)
{
	struct sl_sock *s;

	while ((s = sl_pool_at((*i)++)))
		if (sl_sock_used(s) && s->stat && s->fd >= 0)
			return s;
	return NULL;
}

/* --- killed holders --- */

static bool any_shared;

/* Full: one that is killed stays counted. */
void sl_side_join(struct sl_side_shm *side)
{
	uint32_t none, pid = (uint32_t)sl_sys(SYS_getpid, 0, 0, 0);
	unsigned i;

	for (i = 0; i < SL_SIDE_WHO; i++)
		if (atomic_load(&side->who[i]) == pid)
			return;
	for (i = 0; i < SL_SIDE_WHO; i++) {
		none = 0;
		if (atomic_compare_exchange_strong(&side->who[i], &none, pid))
			return;
	}
}

static bool forget_holder(struct sl_side_shm *side, uint32_t pid)
{
	uint32_t seen;
	unsigned i;

	for (i = 0; i < SL_SIDE_WHO; i++) {
		seen = pid;
		if (atomic_compare_exchange_strong(&side->who[i], &seen, 0))
			return true;
	}
	return false;
}

void sl_side_leave(struct sl_side_shm *side)
{
	if (side->shared)
		(void)forget_holder(side, (uint32_t)sl_sys(SYS_getpid, 0, 0, 0));
}

/* It has not counted itself off, nor its threads that slept. */
static void count_off(struct sl_sock *s, uint32_t pid)
{
	struct sl_side_shm *side;
	int how = sl_both_take(s);

	if (!how)
		return;
	side = s->side;
	if (side->shared && forget_holder(side, pid) && atomic_fetch_sub(&side->holders, 1) == 2) {
		side->rx.sleepers = s->sleepers;
		side->tx.waiters = s->waiters;
	}
	sl_both_release(s, how);
}

void sl_sock_reaped(pid_t pid)
{
	struct sl_sock *s;
	unsigned i = 0;

	if (!any_shared)
		return;
	while ((s = each(&i)))
		if (s->side->shared && atomic_load(&s->side->holders) > 1)
			count_off(s, (uint32_t)pid);
}

/* --- pages --- */

void sl_side_file_drop(struct sl_sock *s)
{
	if (sl_likely(s->side_fd < 0))
		return;
	sl_kept_drop(s->side_fd);
	s->side_fd = -1;
}

void sl_side_file_lost(int fd)
{
	struct sl_sock *s;
	unsigned i = 0;

	while ((s = each(&i)))
		if (s->side_fd == fd)
			sl_side_file_drop(s);
}

/* Without a number for the file the page is as good, but for an exec. */
static struct sl_side_shm *page_in_file(struct sl_sock *s)
{
	int fd = sl_side_create();
	struct sl_side_shm *page = fd < 0 ? NULL : sl_map_shared(fd, SL_SIDE_LEN);

	if (page)
		s->side_fd = sl_kept_add(fd);
	else if (fd >= 0)
		sl_sys_close(fd);
	return page;
}

/* We are the only holder. The mutex and the others' ids are of the page that is left. */
static void change_page(struct sl_sock *s, struct sl_side_shm *page)
{
	struct sl_side_shm *old = s->side;
	unsigned i;

	*page = *old;
	memset(&page->xlock, 0, sizeof(page->xlock));
	for (i = 0; i < SL_SIDE_WHO; i++)
		atomic_store(&page->who[i], 0);
	page->shared = 0;
	page->seg_ino = 0;
	atomic_store(&page->holders, 1);
	s->side = page;
	if (old != &s->own)
		sl_map_retire(old, SL_SIDE_LEN);
}

int sl_side_to_file(struct sl_sock *s)
{
	struct sl_side_shm *page;

	if (s->side_fd >= 0)
		return 0;
	if (sl_sock_attached(s) || atomic_load(&s->side->holders) > 1)
		return -EBUSY;
	page = page_in_file(s);
	if (!page)
		return -ENOMEM;
	change_page(s, page);
	return s->side_fd < 0 ? -EMFILE : 0;
}

int sl_side_share(struct sl_sock *s)
{
	struct sl_side_shm *page;

	if (s->side == &s->own) {
		page = sl_map_shared(-1, SL_SIDE_LEN);
		if (!page)
			return -ENOMEM;
		change_page(s, page);
	}
	if (!s->side->shared) {
		init_xlock(s->side);
		s->side->shared = 1;
	}
	atomic_fetch_add(&s->side->holders, 1);
	any_shared = true;
	return 0;
}

/*
 * The child may execute a program, with the parent waiting for that before it closes the connection (subprocess, CGI):
 * the page has to be one that the program can map. Not for ever so many.
 */
static bool for_an_exec(struct sl_sock *s, unsigned *files)
{
	if (sl_sock_attached(s) || s->side_fd >= 0 || atomic_load(&s->offer) == SL_OFFER_NEVER ||
	    s->side->foreign || atomic_load(&s->side->holders) > 1 || *files >= FILES_MAX)
		return false;
	++*files;
	return true;
}

void sl_sock_fork_prepare(void)
{
	unsigned i = 0, files = 0;
	struct sl_sock *s;

	sl_lock(&fork_lock);
	sl_young_grow_all();
	while ((s = each(&i))) {
		/* The answer to an offer would reach one of two holders only. */
		sl_offer_postpone(s);
		if (sl_unlikely(s->passed) && !sl_fork_closes_all) /* the child closes its copy without a word */
			sl_passed_copied(s, s->fd);
		if (sl_lock(&s->rx_lock))
			continue;
		if (sl_lock(&s->tx_lock)) {
			sl_unlock(&s->rx_lock);
			continue;
		}
		s->forking = true;
		if (for_an_exec(s, &files))
			s->side_new = sl_side_to_file(s) == 0;
		if (sl_side_share(s) < 0) {
			/* The two will not know of each other: no promotion, in neither. */
			atomic_store(&s->offer, SL_OFFER_NEVER);
			sl_stat_reason(s, SL_WHY_SHARED);
		}
	}
}

/* Child: the threads that were inside a call on it are not here. */
static void drop_orphan(struct sl_sock *s)
{
	if (!atomic_exchange(&s->orphan, SL_ORPHAN_NOT))
		return;
	sl_side_leave(s->side);
	atomic_fetch_sub(&s->side->holders, 1);
	sl_sys_close(s->fd);
	s->fd = -1;
}

static void release_all(bool child, bool failed)
{
	struct sl_sock *s;
	unsigned i = 0;

	while ((s = each(&i))) {
		if (!s->forking)
			continue;
		s->forking = false;
		if (failed && s->side->shared)
			atomic_fetch_sub(&s->side->holders, 1);
		if (s->side_new && !child)
			sl_side_file_drop(s);
		s->side_new = false;
		if (child) {
			s->claim = 0; /* the parent's */
			s->strays |= atomic_load(&s->refs) > sl_numbers(s);
			s->rx_inflight = s->tx_inflight = 0;
			s->sleepers = s->waiters = s->native_sleepers = 0;
			if (s->side->shared)
				sl_side_join(s->side);
			sl_lock_reset(&s->tx_lock);
			sl_lock_reset(&s->rx_lock);
			drop_orphan(s);
			sl_numbers_recount(s);
		} else {
			sl_unlock(&s->tx_lock);
			sl_unlock(&s->rx_lock);
		}
	}
	if (child)
		sl_lock_reset(&fork_lock);
	else
		sl_unlock(&fork_lock);
}

void sl_sock_fork_parent(bool failed)
{
	release_all(false, failed);
}

void sl_sock_fork_child(void)
{
	sl_tid_forget();
	sl_stat_fork_child();
	sl_offer_fork_child();
	release_all(true, false);
}
