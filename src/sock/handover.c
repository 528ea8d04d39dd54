/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * handover.c - a process without this library is about to get the socket
 *
 * How it works. The end leaves the memory lane where the program has read up to (link.h, L5): the peer sends again
 * over TCP what was not read. We wait for the peer's answer, END, and drop the bells: after that TCP carries data
 * only. The peer answers when it is next inside a call on this connection; one that sleeps in such a call
 * is woken. One that is busy elsewhere is waited for WAIT_MS only. Then it is likely that no bell is
 * under way, and the bytes come when the peer comes back.
 *
 * Sleepers of other processes that hold this end may need the bells that are in the queue. They are
 * given SLEEPERS_MS to wake up and take them.
 *
 * Not possible: where the peer has finished (FIN) or died with bytes unread in our ring, and where bytes of
 * before the switch lie unread in the kernel's queue, with bells behind them.
 */
#include <fcntl.h>
#include "bell.h"
#include "clock.h"
#include "internal.h"
#include "log.h"
#include "sys.h"

#define WAIT_MS	    2000 /* for an answer, if something was given back */
#define WAIT_IDLE_MS 200  /* if nothing was */
#define SLEEPERS_MS 50

static void pause_ns(long ns)
{
	struct timespec ts = {.tv_nsec = ns};

	(void)sl_sys(SYS_nanosleep, &ts, 0, 0);
}

/* Return: 0 the peer is to answer; 1 nothing to wait for; -EBUSY, -EPROTO, -EDEADLK. */
static int begin(struct sl_sock *s, int fd, bool *given)
{
	int how = sl_both_take(s), rc = 1;

	if (!how)
		return -EDEADLK;
	if (sl_sock_attached(s)) {
		(void)sl_rx_kernel(&s->link, fd, false);
		if (s->side->kfin && sl_rx_memory(&s->link) && sl_rx_avail(&s->link, fd, 1) > 0)
			rc = -EBUSY; /* nobody is left who could send it again */
		else
			rc = sl_link_give_back(&s->link, fd);
		*given = s->side->rx.given;
	}
	sl_both_release(s, how);
	return rc;
}

/* Return: 1 answered; 0 not yet; -errno. */
static int look(struct sl_sock *s, int fd, bool late)
{
	int how = sl_rx_take(s), rc = 1;

	if (!how)
		return -EDEADLK;
	if (sl_sock_attached(s)) {
		rc = sl_link_given(&s->link, fd, late || !s->side->rx.sleepers);
		if (rc == 0 && (s->side->kfin || s->side->err))
			rc = 1;
	}
	sl_rx_release(s, how);
	return rc;
}

static int wait_answer(struct sl_sock *s, int fd, bool given, uint64_t *wait_ns)
{
	uint64_t start = sl_now_ns(), took = 0;
	uint64_t max = sl_min_u64(*wait_ns, (given ? WAIT_MS : WAIT_IDLE_MS) * 1000000ull);
	long nap = 20000;
	int rc;

	for (;;) {
		rc = look(s, fd, took > SLEEPERS_MS * 1000000ull);
		took = sl_now_ns() - start;
		if (!rc && took > max)
			rc = -ETIMEDOUT;
		if (rc)
			break;
		pause_ns(nap);
		nap = nap < 1000000 ? 2 * nap : nap;
	}
	*wait_ns -= sl_min_u64(took, *wait_ns);
	return rc;
}

/*
 * Our own direction follows; a thread that waits for room was woken by the peer's answer. The peer may have done the
 * same at the same time: what it gives back goes out before the program does.
 */
static int leave(struct sl_sock *s, int fd, enum sl_reason why)
{
	int how = sl_both_take(s), rc = 0, ms;
	bool waits = false;

	if (!how)
		return -EDEADLK;
	if (sl_sock_attached(s)) {
		rc = sl_tx_end(&s->link, fd);
		for (ms = 0; ms < WAIT_MS && sl_tx_answer(&s->link, fd) == -EAGAIN; ms++)
			pause_ns(1000000);
		sl_give_delays(s, fd);
		sl_stat_reason(s, why);
		if (sl_sock_hooks.kick)
			sl_sock_hooks.kick(s);
		waits = s->waiters;
	}
	sl_both_release(s, how);
	if (waits)
		sl_bell_ring_own(); /* they go on by TCP, whether the peer has answered or not */
	return rc;
}

int sl_handover(struct sl_sock *s, int fd, enum sl_reason why, uint64_t *wait_ns)
{
	bool given = false;
	int rc;

	sl_offer_withdraw(s); /* first: from here on no other thread attaches it */
	if (!sl_sock_attached(s))
		return 0;
	rc = begin(s, fd, &given);
	if (rc == -EBUSY) {
		if (sl_env.verbose)
			sl_log("not handed over whole: bytes are in memory that nobody can send again");
		return rc;
	}
	if (rc == 0)
		rc = wait_answer(s, fd, given, wait_ns);
	if (rc != -EPROTO)
		(void)leave(s, fd, why);
	else
		sl_sock_reset(s, fd, SL_WHY_BAD_PEER);
	if (rc == -ETIMEDOUT && sl_env.verbose)
		sl_log("the peer does not answer: it will send again when it is back");
	return 0;
}

int sl_sock_relay(struct sl_sock *s)
{
	int fl = sl_sys_fcntl(s->fd, F_GETFL, 0);
	int to = sl_sock_hooks.relay ? sl_sock_hooks.relay(s->fd) : -1;

	if (to >= 0 && fl >= 0 && (fl & O_NONBLOCK))
		(void)sl_sys_fcntl(to, F_SETFL, O_RDWR | O_NONBLOCK);
	return to;
}

int sl_sock_pass(struct sl_sock *s, int fd)
{
	uint64_t wait_ns = WAIT_MS * 1000000ull;
	int how;

	sl_passed_look(s);
	if (sl_handover(s, fd, SL_WHY_PASSED, &wait_ns) == -EBUSY)
		return sl_sock_relay(s);
	how = sl_both_take(s); /* another thread may be detaching it */
	s->side->foreign = 1;
	if (how)
		sl_both_release(s, how);
	sl_passed_on(s, fd);
	sl_stat_reason(s, SL_WHY_PASSED);
	sl_detach_try(s, fd);
	return -1;
}

/* Bytes are unread in memory, or a thread waits for room: sl_sock_refuse() would leave them there, and not leave. */
static bool in_use(struct sl_sock *s, int fd)
{
	int how = sl_both_take(s);
	bool found;

	if (!how)
		return false;
	found = sl_sock_attached(s) &&
		((sl_rx_avail(&s->link, fd, 1) > 0 && sl_rx_memory(&s->link)) || s->side->tx.waiters);
	sl_both_release(s, how);
	return found;
}

void sl_sock_bypass_within(struct sl_sock *s, int fd, enum sl_reason why, uint64_t *wait_ns)
{
	sl_offer_withdraw(s); /* before the look, for the same reason as in sl_handover() */
	if (in_use(s, fd))
		(void)sl_handover(s, fd, why, wait_ns);
	sl_sock_refuse(s, fd, why);
}

void sl_sock_bypass(struct sl_sock *s, int fd, enum sl_reason why)
{
	uint64_t wait_ns = SL_BYPASS_NS;

	sl_sock_bypass_within(s, fd, why, &wait_ns);
}

void sl_sock_bypass_all(enum sl_reason why)
{
	uint64_t wait_ns = SL_BYPASS_NS;
	struct sl_sock *s;
	int fd;

	for (fd = sl_fdtab_next(0); fd >= 0; fd = sl_fdtab_next(fd + 1)) {
		s = sl_sock_get(fd);
		if (!s)
			continue;
		(void)sl_handover(s, fd, why, &wait_ns);
		sl_sock_refuse(s, fd, why);
		sl_let_go(s, fd);
		sl_sock_put(s);
	}
}
