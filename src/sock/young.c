/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include "internal.h"

struct sl_stat_young_shm *sl_youngs;
static struct sl_lock lock; /* who makes one grow up */

SL_SHORT bool sl_young_born(int fd, bool connecting)
{
	/* With fewer calls there is nothing to gain: the first or second makes it grow up. */
	if (!__libc_single_threaded || (unsigned)fd >= SL_YOUNG_MAX || sl_env.promote_calls < 2 ||
	    !sl_stat_make())
		return false;
	sl_youngs[fd] = (struct sl_stat_young_shm){
		.used = 1,
		.reason = sl_first_reason(connecting),
		.left = sl_env.promote_calls - 1,
		.flags = connecting ? SL_YOUNG_CONNECTING : 0,
	};
	if (sl_unlikely(sl_stat_page->young_high <= (unsigned)fd))
		sl_stat_page->young_high = (unsigned)fd + 1;
	return sl_fdtab_swap(fd, SL_FD_YOUNG) != UINTPTR_MAX;
}

SL_SHORT void sl_young_end(int fd)
{
	sl_youngs[fd].used = 0;
}

static void take_over(struct sl_sock *s, const struct sl_stat_young_shm *y)
{
	s->calls = sl_env.promote_calls - 1 - y->left;
	s->bytes = y->tx_bytes + y->rx_bytes;
	s->side->tx.ksent = s->stat->tx.bytes_tcp = y->tx_bytes;
	s->side->rx.krcvd = s->stat->rx.bytes_tcp = y->rx_bytes;
	s->stat->tx.messages = y->tx_messages;
	s->stat->rx.messages = y->rx_messages;
	s->tx_inflight = y->tx_inflight;
	s->rx_inflight = y->rx_inflight;
	s->side->kfin = !!(y->flags & SL_YOUNG_FIN);
	s->native_full = y->flags & SL_YOUNG_FULL;
	s->uncounted = y->flags & SL_YOUNG_UNCOUNTED;
	if (y->ep && sl_sock_hooks.grown)
		sl_sock_hooks.grown(s->fd, y->ep, y->events, y->data);
}

bool sl_young_grow(int fd)
{
	struct sl_sock *s;

	if (sl_lock(&lock))
		return false; /* a signal handler in the middle of it: this call is not counted */
	if (!sl_young_is(fd)) {
		sl_unlock(&lock);
		return true;
	}
	s = sl_sock_new(fd, sl_youngs[fd].flags & SL_YOUNG_CONNECTING);
	if (s)
		take_over(s, &sl_youngs[fd]);
	if (sl_fdtab_replace(fd, SL_FD_YOUNG, (uintptr_t)s))
		sl_young_end(fd);
	else if (s)
		sl_sock_put(s);
	sl_unlock(&lock);
	return s;
}

void sl_young_grow_all(void)
{
	int fd = -1;

	while ((fd = sl_fdtab_next(fd + 1)) >= 0)
		if (sl_young_is(fd))
			(void)sl_young_grow(fd);
}

/* A signal handler made it grow up, or closed it, while the call was under way. */
static void done_late(int fd, ssize_t n, bool tx)
{
	struct sl_sock *s = sl_sock_get(fd);

	if (!s)
		return;
	sl_sock_native_done(s, tx, n);
	sl_sock_put(s);
}

static inline bool enough(struct sl_stat_young_shm *y)
{
	return y->tx_bytes + y->rx_bytes >= sl_env.promote_bytes;
}

SL_SHORT ssize_t sl_young_in_done(int fd, ssize_t n, size_t len)
{
	struct sl_stat_young_shm *y = &sl_youngs[fd];
	int saved;

	if (sl_unlikely(!sl_young_is(fd) || !y->rx_inflight)) {
		saved = errno;
		done_late(fd, n, false);
		errno = saved;
		return n;
	}
	y->rx_inflight--;
	if (n > 0) {
		y->rx_bytes += (size_t)n;
		y->rx_messages++;
		if (sl_unlikely(enough(y)))
			y->left = 0;
	} else if (n == 0 && len) {
		y->flags |= SL_YOUNG_FIN;
	}
	return n;
}

SL_SHORT ssize_t sl_young_out_done(int fd, ssize_t n, size_t len)
{
	struct sl_stat_young_shm *y = &sl_youngs[fd];
	int saved;

	if (sl_unlikely(!sl_young_is(fd) || !y->tx_inflight)) {
		saved = errno;
		done_late(fd, n, true);
		errno = saved;
		return n;
	}
	y->tx_inflight--;
	if (n > 0) {
		y->tx_bytes += (size_t)n;
		y->tx_messages++;
		if (sl_unlikely(enough(y)))
			y->left = 0;
	}
	if (n > 0 ? (size_t)n < len : n < 0 && errno == EAGAIN)
		y->flags |= SL_YOUNG_FULL;
	else
		y->flags &= (uint16_t)~SL_YOUNG_FULL;
	return n;
}

void sl_young_abandoned(void)
{
	struct sl_stat_young_shm *y;
	struct sl_sock *s;
	unsigned i;
	int fd = -1;

	if (!__libc_single_threaded)
		return;
	while ((fd = sl_fdtab_next(fd + 1)) >= 0) {
		if (!sl_young_is(fd))
			continue;
		y = &sl_youngs[fd];
		if (y->rx_inflight | y->tx_inflight)
			y->flags |= SL_YOUNG_UNCOUNTED;
		y->rx_inflight = y->tx_inflight = 0;
	}
	/* Those that grew up in the handler. */
	for (i = 0; (s = sl_pool_at(i)); i++) {
		if (!sl_sock_used(s))
			continue;
		s->uncounted |= s->rx_inflight || s->tx_inflight;
		s->rx_inflight = s->tx_inflight = 0;
	}
}
