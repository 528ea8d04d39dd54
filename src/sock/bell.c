/* SPDX-License-Identifier: BSD-2-Clause */
#include <fcntl.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include "bell.h"
#include "clock.h"
#include "hidden.h"
#include "internal.h"
#include "msg.h"
#include "sys.h"

#define WAYS	  4
#define ASK_MIN	  4000000ull /* ns to wait before one that was asked for in vain is asked for again, */
#define ASK_DOUBLE 8	     /* doubled so many times */

/* --- our own --- */

static struct sl_lock own_lock;
static struct {
	_Atomic int fd1;      /* fd + 1; 0: none yet */
	_Atomic uint64_t key; /* generation << 32 | number; 0: the broker does not have it */
	bool used;
} own[SL_BELL_SLOTS];

static pthread_key_t at_exit_key;
static bool have_key;
static uint32_t forks; /* a child's threads have none of their parent's */

static __thread struct {
	int slot1; /* slot + 1; -1: there was none to be had */
	uint32_t forks;
} mine __attribute__((tls_model("initial-exec")));

static void thread_ends(void *arg)
{
	(void)arg;
	if (mine.slot1 > 0 && mine.forks == forks)
		sl_bell_give(mine.slot1 - 1);
	mine.slot1 = 0;
}

static int new_eventfd(void)
{
	int fd = (int)sl_sys(SYS_eventfd2, 0, EFD_CLOEXEC | EFD_NONBLOCK, 0);

	return fd < 0 ? fd : sl_kept_add(fd);
}

/* own_lock held. */
static void hand_in(unsigned slot)
{
	uint64_t key = sl_offer_bell(slot, atomic_load(&own[slot].fd1) - 1);

	if (key)
		atomic_store(&own[slot].key, key);
}

int sl_bell_take(void)
{
	int fd, slot = -1;
	unsigned i;

	if (!sl_env.bells || sl_lock(&own_lock))
		return -1;
	for (i = 0; i < SL_BELL_SLOTS && slot < 0; i++)
		if (!own[i].used)
			slot = (int)i;
	if (slot >= 0 && !atomic_load(&own[slot].fd1)) {
		fd = new_eventfd();
		if (fd >= 0)
			atomic_store(&own[slot].fd1, fd + 1);
		else
			slot = -1;
	}
	if (slot >= 0)
		own[slot].used = true;
	sl_unlock(&own_lock);
	return slot;
}

void sl_bell_give(int slot)
{
	if (slot < 0 || sl_lock(&own_lock))
		return;
	own[slot].used = false;
	sl_unlock(&own_lock);
}

int sl_bell_mine(void)
{
	if (sl_likely(mine.slot1 && mine.forks == forks))
		return mine.slot1 > 0 ? mine.slot1 - 1 : -1;
	mine.forks = forks;
	mine.slot1 = sl_bell_take() + 1;
	if (mine.slot1 && have_key)
		(void)pthread_setspecific(at_exit_key, &mine);
	if (!mine.slot1)
		mine.slot1 = -1;
	return mine.slot1 - (mine.slot1 > 0);
}

int sl_bell_fd(int slot)
{
	return slot < 0 ? -1 : atomic_load_explicit(&own[slot].fd1, memory_order_relaxed) - 1;
}

/* Held by several processes: any of them may be the one to wake. */
static bool several(const struct sl_sock *s)
{
	return atomic_load_explicit(&s->side->holders, memory_order_relaxed) > 1;
}

uint32_t sl_bell_number(int slot, const struct sl_sock *s)
{
	uint64_t key;

	if (slot < 0 || !s->offer_gen || several(s))
		return 0;
	key = atomic_load_explicit(&own[slot].key, memory_order_relaxed);
	if (sl_unlikely(key >> 32 != s->offer_gen)) {
		/* Not handed in yet; or paired by a broker that is gone, and this was handed to its successor. */
		if (s->offer_gen != sl_offer_generation() || sl_lock(&own_lock))
			return 0;
		hand_in((unsigned)slot);
		sl_unlock(&own_lock);
		key = atomic_load(&own[slot].key);
	}
	return key >> 32 == s->offer_gen ? (uint32_t)key : 0;
}

uint32_t sl_bell_still(int slot, const struct sl_sock *s, uint32_t number)
{
	uint64_t key = (uint64_t)s->link.bell.gen << 32 | number;

	if (!number || several(s))
		return 0;
	return atomic_load_explicit(&own[slot].key, memory_order_relaxed) == key ? number : 0;
}

void sl_bell_silence(int slot)
{
	uint64_t n;

	if (slot >= 0)
		(void)sl_sys(SYS_read, sl_bell_fd(slot), &n, sizeof(n));
}

/* --- others' --- */

static struct {
	struct sl_lock lock;
	_Atomic uint64_t key; /* generation << 32 | number; 0: free */
	int fd;		      /* valid where key was ever set; else 0 */
} others[SL_BELLS_OTHERS / WAYS][WAYS];

static struct sl_lock learn_lock;
static unsigned victim;

static _Atomic uint32_t want_state; /* 0 none; 1 being written; 2 to be sent */
static struct sl_bell_want want;

static unsigned set_of(uint64_t key)
{
	return (unsigned)((key * 0x9e3779b97f4a7c15u) >> 32) % (SL_BELLS_OTHERS / WAYS);
}

/* Known to be an eventfd, by the broker's word. */
static bool ring_fd(int fd)
{
	static const uint64_t one = 1;

	return sl_sys(SYS_write, fd, &one, sizeof(one)) == sizeof(one);
}

void sl_bell_ring_slot(int slot)
{
	int fd = sl_bell_fd(slot);

	if (fd >= 0)
		(void)ring_fd(fd);
}

void sl_bell_ring_own(void)
{
	unsigned i;

	for (i = 0; i < SL_BELL_SLOTS; i++)
		if (own[i].used)
			sl_bell_ring_slot((int)i);
}

static void ask_for(struct sl_link *l, uint32_t number)
{
	uint64_t now = sl_coarse_ns();
	uint32_t none = 0;

	if (now < l->bell.next_ns || l->bell.gen != sl_offer_generation())
		return;
	if (!atomic_compare_exchange_strong(&want_state, &none, 1))
		return;
	l->bell.next_ns = now + (ASK_MIN << l->bell.asked);
	if (l->bell.asked < ASK_DOUBLE)
		l->bell.asked++;
	want.gen = l->bell.gen;
	want.number = number;
	want.pair = l->bell.pair;
	want.side = l->seg.side;
	atomic_store_explicit(&want_state, 2, memory_order_release);
}

bool sl_bell_ring(struct sl_link *l, uint32_t number)
{
	uint64_t key = (uint64_t)l->bell.gen << 32 | number;
	unsigned set = set_of(key), w;
	bool rung = false;

	for (w = 0; w < WAYS; w++) {
		if (atomic_load_explicit(&others[set][w].key, memory_order_relaxed) != key ||
		    sl_lock(&others[set][w].lock))
			continue;
		if (sl_likely(atomic_load(&others[set][w].key) == key))
			rung = ring_fd(others[set][w].fd);
		sl_unlock(&others[set][w].lock);
		return rung;
	}
	if (l->bell.gen && number)
		ask_for(l, number);
	return false;
}

bool sl_bell_wanted(void)
{
	return sl_unlikely(atomic_load_explicit(&want_state, memory_order_relaxed) == 2);
}

bool sl_bell_want_take(struct sl_bell_want *w)
{
	if (atomic_load_explicit(&want_state, memory_order_acquire) != 2)
		return false;
	*w = want;
	atomic_store(&want_state, 0);
	return true;
}

/* learn_lock held. Return: a way of @set to put it; the one that it is in already, a free one, or one in use. */
static unsigned way_for(unsigned set, uint64_t key)
{
	unsigned w, unused = WAYS;

	for (w = 0; w < WAYS; w++) {
		if (atomic_load(&others[set][w].key) == key)
			return w;
		if (!others[set][w].fd && unused == WAYS)
			unused = w;
	}
	return unused < WAYS ? unused : victim++ % WAYS;
}

void sl_bell_learn(uint32_t gen, uint32_t number, int fd)
{
	uint64_t key = (uint64_t)gen << 32 | number;
	unsigned set = set_of(key), w;

	if (fd < 0 || sl_lock(&learn_lock)) {
		if (fd >= 0)
			sl_sys_close(fd);
		return;
	}
	w = way_for(set, key);
	if (sl_lock(&others[set][w].lock) == 0) {
		atomic_store(&others[set][w].key, 0);
		if (!others[set][w].fd) {
			fd = sl_kept_add(fd);
			others[set][w].fd = fd > 0 ? fd : 0;
		} else if (sl_sys(SYS_dup3, fd, others[set][w].fd, O_CLOEXEC) < 0) {
			sl_sys_close(fd);
			fd = -1;
		} else {
			sl_sys_close(fd);
		}
		if (fd > 0)
			atomic_store(&others[set][w].key, key);
		sl_unlock(&others[set][w].lock);
	} else {
		sl_sys_close(fd);
	}
	sl_unlock(&learn_lock);
}

/* --- descriptors --- */

static int move_to(int fd)
{
	return sl_kept_add((int)sl_sys_fcntl(fd, F_DUPFD_CLOEXEC, fd + 1));
}

/* The program wants the number @fd. */
static int moved(int fd)
{
	unsigned i;
	int n;

	for (i = 0; i < SL_BELL_SLOTS; i++)
		if (atomic_load(&own[i].fd1) == fd + 1) {
			n = move_to(fd);
			if (n < 0)
				return n;
			atomic_store(&own[i].fd1, n + 1);
			sl_kept_drop(fd);
			return 0;
		}
	for (i = 0; i < SL_BELLS_OTHERS; i++) {
		if (others[i / WAYS][i % WAYS].fd != fd || sl_lock(&others[i / WAYS][i % WAYS].lock))
			continue;
		n = move_to(fd);
		if (n >= 0) {
			others[i / WAYS][i % WAYS].fd = n;
			sl_kept_drop(fd);
		}
		sl_unlock(&others[i / WAYS][i % WAYS].lock);
		return n < 0 ? n : 0;
	}
	sl_side_file_lost(fd);
	return 0;
}

void sl_bell_init(void)
{
	sl_kept_move = moved;
	sl_link_ring_other = sl_bell_ring;
	have_key = pthread_key_create(&at_exit_key, thread_ends) == 0;
}

/* Our parent's own are for its threads. Those of its peers ring as before. */
void sl_bell_fork_child(void)
{
	unsigned i;
	int fd;

	sl_lock_reset(&own_lock);
	sl_lock_reset(&learn_lock);
	for (i = 0; i < SL_BELL_SLOTS; i++) {
		fd = atomic_exchange(&own[i].fd1, 0) - 1;
		own[i].used = false;
		atomic_store(&own[i].key, 0);
		if (fd >= 0)
			sl_kept_drop(fd);
	}
	for (i = 0; i < SL_BELLS_OTHERS; i++)
		sl_lock_reset(&others[i / WAYS][i % WAYS].lock);
	atomic_store(&want_state, 0);
	forks++;
}
