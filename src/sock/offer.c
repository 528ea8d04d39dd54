/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * offer.c - this process's connection to the broker
 *
 * How it works. The first offer connects (the system broker, else the user's). Offers go out without
 * waiting. Answers are picked up by sl_offer_pump(), called where native calls begin and where threads are
 * about to sleep; the mail page tells without a system call whether there is one. When the broker is gone its
 * offers are void: the sockets are offered again, at most one connection attempt in RETRY_NS.
 *
 * What the broker's queue does not take waits in ours (backlog), in order, and goes out with the next pump. The socket
 * that a message shows is looked up when it goes out: one that was closed meanwhile is not shown any more.
 *
 * An offer's id is its socket's index and a generation, so an answer for a socket that has been closed since
 * finds nobody.
 */
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/un.h>
#include <unistd.h>
#include "bell.h"
#include "clock.h"
#include "hidden.h"
#include "internal.h"
#include "log.h"
#include "msg.h"
#include "sys.h"

#define RETRY_NS 200000000ull
#define SETTLE_NS 20000000ull

static struct {
	struct sl_lock lock;
	_Atomic uint32_t out; /* offers waiting for an answer */
	struct sl_mail_shm *_Atomic mail;
	uint32_t mail_seen;
	uint32_t gen; /* connections so far */
	uint32_t ids;
	uint32_t tick;
	uint32_t serial; /* ours with this broker; 0: it knows no bells */
	bool welcome;
	uint64_t next_try;
	enum sl_reason why;
	struct sl_msg *backlog;
	size_t waiting, head, room; /* messages in it: @waiting, from @head on */
	uint64_t full;		    /* sl_coarse_ns() when the broker's queue took no more */
} br;

static int broker_fd(void)
{
	return sl_hidden_get(SL_HIDDEN_BROKER);
}

static int connect_to(const struct sockaddr_un *sun, socklen_t len)
{
	struct ucred cred;
	socklen_t clen = sizeof(cred);
	int fd = (int)sl_sys(SYS_socket, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	long rc;

	if (fd < 0)
		return fd;
	rc = sl_sys(SYS_connect, fd, sun, len);
	if (rc == 0)
		rc = sl_sys_getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &clen);
	if (rc == 0 && cred.uid != 0 && cred.uid != geteuid()) {
		br.why = SL_WHY_BROKER_FOREIGN;
		rc = -EPERM;
	}
	if (rc < 0) {
		sl_sys_close(fd);
		return (int)rc;
	}
	return fd;
}

static int connect_abstract(const char *name)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	size_t n = strlen(name);

	if (n > sizeof(sun.sun_path) - 2)
		n = sizeof(sun.sun_path) - 2;
	memcpy(sun.sun_path + 1, name, n);
	return connect_to(&sun, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + n));
}

static int connect_any(void)
{
	struct sockaddr_un sys = {.sun_family = AF_UNIX, .sun_path = SL_BROKER_SYSTEM};
	char user[32];
	int fd;

	if (sl_env.broker[0])
		return connect_abstract(sl_env.broker);
	fd = connect_to(&sys, sizeof(sys));
	if (fd >= 0)
		return fd;
	snprintf(user, sizeof(user), SL_BROKER_USER, geteuid());
	return connect_abstract(user);
}

/* Lock held. Return: 0 connected (now or before). */
static int connect_locked(void)
{
	struct sl_msg hello = {.type = SL_MSG_HELLO, .arg = SL_MSG_VERSION};
	uint64_t now;
	int fd;

	if (broker_fd() >= 0)
		return 0;
	now = sl_now_ns();
	if (now < br.next_try)
		return -EAGAIN;
	br.next_try = now + RETRY_NS;
	br.why = SL_WHY_NO_BROKER;
	fd = connect_any();
	if (fd < 0)
		return fd;
	fd = sl_hidden_add(SL_HIDDEN_BROKER, fd);
	if (fd < 0)
		return fd;
	br.gen++;
	br.serial = 0;
	br.welcome = false;
	br.mail_seen = 0;
	if (sl_msg_send(fd, &hello, NULL, 0) < 0) {
		sl_hidden_close(SL_HIDDEN_BROKER);
		return -EPIPE;
	}
	return 0;
}

/* Lock held: the broker is gone, and with it what it had of us. */
static void disconnect_locked(void)
{
	/* The page stays mapped: another thread may be looking at it. */
	atomic_store(&br.mail, NULL);
	sl_hidden_close(SL_HIDDEN_BROKER);
	atomic_store(&br.out, 0);
	br.waiting = 0;
	br.serial = 0;
	br.gen++;
}

/* The socket that an answer is for, with a reference, if it still waits for it. */
static struct sl_sock *waiting(uint64_t id)
{
	struct sl_sock *s = sl_pool_at((unsigned)(id & UINT32_MAX) - 1), *got;

	if (!id || !s || s->offer_id != id || s->fd < 0)
		return NULL;
	got = sl_sock_get(s->fd);
	if (got == s && s->offer_id == id && atomic_load(&s->offer) == SL_OFFER_OUT)
		return s;
	if (got)
		sl_sock_put(got);
	return NULL;
}

/* Lock held. Return: 0 the broker has it, or nobody needs it any more; -errno. */
static int put(const struct sl_msg *m)
{
	struct sl_sock *s;
	int fd, rc;

	if (m->type != SL_MSG_OFFER && m->type != SL_MSG_PROOF)
		return sl_msg_send(broker_fd(), m, NULL, 0);
	s = waiting(m->id);
	if (!s)
		return 0;
	fd = s->fd;
	rc = fd < 0 ? 0 : sl_msg_send(broker_fd(), m, &fd, 1);
	sl_sock_put(s);
	return rc;
}

/* Lock held. */
static int keep_for_later(const struct sl_msg *m)
{
	size_t room = br.room ? 2 * br.room : 1024;
	struct sl_msg *more;

	if (br.head + br.waiting == br.room && br.head) {
		memmove(br.backlog, br.backlog + br.head, br.waiting * sizeof(*m));
		br.head = 0;
	}
	if (br.waiting == br.room) {
		more = mmap(NULL, room * sizeof(*m), PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (more == MAP_FAILED)
			return -ENOMEM;
		if (br.backlog) {
			memcpy(more, br.backlog, br.waiting * sizeof(*m));
			munmap(br.backlog, br.room * sizeof(*m));
		}
		br.backlog = more;
		br.room = room;
	}
	br.backlog[br.head + br.waiting++] = *m;
	return 0;
}

/* Lock held. Once a timer tick is enough to find out that the broker takes nothing. */
static void flush(void)
{
	uint64_t now;
	int rc;

	if (!br.waiting || (now = sl_coarse_ns()) == br.full)
		return;
	while (br.waiting) {
		rc = put(&br.backlog[br.head]);
		if (rc < 0) { /* full; or gone: the next receive notices, and ends the connection */
			br.full = now;
			return;
		}
		br.head++;
		br.waiting--;
	}
	br.head = 0;
}

/* Lock held. To the broker, now or later. Return: 0, or -errno: it is gone. */
static int post(const struct sl_msg *m)
{
	int rc = br.waiting ? -EAGAIN : put(m);

	return rc == -EAGAIN || rc == -ETOOMANYREFS ? keep_for_later(m) : rc;
}

void sl_offer_connect(void)
{
	int fd;

	if (sl_env.promote_calls == SL_PROMOTE_OFF || sl_lock(&br.lock))
		return;
	(void)connect_locked();
	fd = broker_fd();
	sl_unlock(&br.lock);
	if (fd >= 0 && sl_sock_hooks.broker)
		sl_sock_hooks.broker(fd);
}

static void answered(void)
{
	uint32_t n = atomic_load(&br.out);

	while (n && !atomic_compare_exchange_weak(&br.out, &n, n - 1))
		;
}

/*
 * Whoever changes the state decides: another thread may take the offer back at any moment, and then no answer counts any
 * more. Offers begin under our lock, so two threads do not make one each.
 */
static bool change(struct sl_sock *s, uint32_t from, uint32_t to)
{
	return atomic_compare_exchange_strong(&s->offer, &from, to);
}

/* Lock held. Return: 0; -EALREADY it is not to be offered any more; -errno. */
static int offer_locked(struct sl_sock *s, int fd)
{
	struct sl_msg m = {
		.type = SL_MSG_OFFER,
		.pair = s->sender,
		.arg = (uint32_t)sl_env.ring_len,
	};
	int rc;

	if (atomic_load(&s->offer) != SL_OFFER_NONE)
		return -EALREADY;
	m.id = ((uint64_t)++br.ids << 32) | (s->index + 1);
	s->offer_id = m.id;
	s->offer_gen = br.gen;
	if (!change(s, SL_OFFER_NONE, SL_OFFER_OUT))
		return -EALREADY;
	atomic_fetch_add(&br.out, 1);
	if (sl_unlikely(s->received))
		m.flags = SL_OFFER_RECEIVED | (sl_passed_is_claimed(s) ? 0 : SL_OFFER_TAKE);
	rc = post(&m);
	if (rc == 0) {
		if (sl_unlikely(s->received))
			sl_passed_claimed(s, fd, br.gen);
		return 0;
	}
	if (!change(s, SL_OFFER_OUT, SL_OFFER_NONE))
		return -EALREADY;
	answered();
	s->offer_id = 0;
	return rc;
}

void sl_offer_out(struct sl_sock *s, int fd)
{
	int before = broker_fd(), rc, tries;
	enum sl_reason why = sl_sock_hooks.unfit ? sl_sock_hooks.unfit() : SL_WHY_NONE;

	if (why != SL_WHY_NONE) {
		sl_sock_refuse(s, fd, why);
		return;
	}
	if (sl_lock(&br.lock))
		return;
	/* Twice: a broker that went away is noticed here, and its successor may be there already. */
	for (tries = 0; tries < 2; tries++) {
		rc = connect_locked();
		if (rc < 0)
			break;
		rc = offer_locked(s, fd);
		if (rc != -EPIPE && rc != -ECONNRESET && rc != -ENOTCONN)
			break;
		disconnect_locked();
		br.next_try = 0;
		before = -1;
	}
	if (rc == 0) {
		sl_stat_reason(s, SL_WHY_OFFERED);
	} else if (rc != -EALREADY) {
		s->call_next = s->calls + 16;
		sl_stat_reason(s, br.why ? br.why : SL_WHY_NO_BROKER);
	}
	rc = broker_fd();
	sl_unlock(&br.lock);
	if (before < 0 && rc >= 0 && sl_sock_hooks.broker)
		sl_sock_hooks.broker(rc);
}

static void send_note(const struct sl_msg *m)
{
	if (sl_lock(&br.lock))
		return;
	if (broker_fd() >= 0)
		(void)post(m);
	sl_unlock(&br.lock);
}

void sl_offer_pass(struct sl_sock *s, int fd, uint32_t more)
{
	struct sl_msg m = {.type = SL_MSG_PASS, .arg = more};
	struct sl_msg take = {.type = SL_MSG_TAKE, .pair = s->sender};

	if (sl_env.promote_calls == SL_PROMOTE_OFF || sl_lock(&br.lock))
		return;
	if (connect_locked() == 0) {
		if (!sl_passed_is_claimed(s)) {
			/* Ours is one of those that somebody has announced. If that cannot be said there is one more. */
			if (s->received ? br.waiting || sl_msg_send(broker_fd(), &take, &fd, 1) : s->claim != 0)
				m.arg++; /* likewise if another broker knew them */
			sl_passed_claimed(s, fd, br.gen);
		}
		m.id = s->claim;
		if (m.id && post(&m) < 0)
			disconnect_locked();
	}
	sl_unlock(&br.lock);
}

void sl_sock_not_passed(struct sl_sock *s)
{
	const struct sl_msg m = {.type = SL_MSG_UNPASS, .id = s->claim, .arg = 1};

	if (sl_passed_is_claimed(s))
		send_note(&m);
}

void sl_offer_drop(struct sl_sock *s)
{
	const struct sl_msg m = {.type = SL_MSG_DROP, .id = s->claim};

	if (sl_passed_is_claimed(s))
		send_note(&m);
	s->claim = 0;
}

static void drop_pair(struct sl_sock *s)
{
	unsigned i;

	for (i = 0; i < 2; i++) {
		if (s->pair_fd[i] >= 0)
			sl_sys_close(s->pair_fd[i]);
		s->pair_fd[i] = -1;
	}
}

/*
 * Takes back an offer that is under way; @to is its state then. What names it is looked up before: afterwards another
 * thread may make the next one. Return: what the state was.
 */
static uint32_t take_back(struct sl_sock *s, uint32_t to)
{
	int how = sl_both_take(s);
	uint32_t was = atomic_load(&s->offer), gen, side;
	uint64_t id, pair;

	do {
		id = s->offer_id;
		gen = s->offer_gen;
		pair = s->pair;
		side = s->pair_side;
		if (to == SL_OFFER_NONE && was != SL_OFFER_OUT && was != SL_OFFER_PAIRED)
			break;
	} while (!atomic_compare_exchange_strong(&s->offer, &was, to));
	/* Under the locks: another thread may be attaching it. */
	if (was == SL_OFFER_PAIRED)
		drop_pair(s);
	if (how)
		sl_both_release(s, how);
	if (was == SL_OFFER_OUT && gen == br.gen) {
		const struct sl_msg m = {.type = SL_MSG_WITHDRAW, .id = id};

		answered();
		send_note(&m);
	} else if (was == SL_OFFER_PAIRED) {
		sl_offer_gone(pair, side);
	}
	return was;
}

bool sl_offer_withdraw(struct sl_sock *s)
{
	uint32_t was = take_back(s, SL_OFFER_NEVER);

	s->offer_id = 0;
	return was == SL_OFFER_OUT;
}

void sl_offer_postpone(struct sl_sock *s)
{
	(void)take_back(s, SL_OFFER_NONE);
}

void sl_offer_gone(uint64_t pair, uint32_t side)
{
	const struct sl_msg m = {.type = SL_MSG_GONE, .pair = pair, .side = side};

	send_note(&m);
}

/* After how many calls to ask again; 0: never. */
static uint32_t ask_again(uint32_t why)
{
	switch (why) {
	case SL_WHY_CONNECTING: /* asked too early: the handshake was not over */
		return 1;
	case SL_WHY_SHARED: /* the offer of another holder, who has forked us perhaps, was looked at behind ours */
		return 8;
	case SL_WHY_LIMIT_BROKER:
	case SL_WHY_LIMIT_FILES:
		return 64;
	default:
		return 0;
	}
}

static void refused(struct sl_sock *s, uint32_t why)
{
	uint32_t again = ask_again(why);

	/* Until its other holders have closed it, which may be never: seldom, after a while. */
	if (sl_unlikely(s->received) && (why == SL_WHY_SHARED || why == SL_WHY_RECEIVED))
		again = 8 + s->calls;
	s->call_next = s->calls + again;
	if (!change(s, SL_OFFER_OUT, again ? SL_OFFER_NONE : SL_OFFER_NEVER))
		return; /* taken back meanwhile */
	answered();
	sl_stat_reason(s, why < SL_WHY_COUNT ? why : SL_WHY_PEER_REFUSED);
}

static void gone(uint64_t pair, uint32_t side)
{
	struct sl_msg m = {.type = SL_MSG_GONE, .pair = pair, .side = side};

	(void)post(&m);
}

/* Return: true: it is to be attached; false: it was taken back meanwhile. */
static bool paired(struct sl_sock *s, const struct sl_msg *m, int fds[SL_MSG_FDS])
{
	unsigned i;

	s->pair = m->pair;
	s->pair_side = m->side;
	for (i = 0; i < 2; i++)
		s->pair_fd[i] = fds[i];
	if (!change(s, SL_OFFER_OUT, SL_OFFER_PAIRED)) {
		s->pair_fd[0] = s->pair_fd[1] = -1; /* nobody looks at them before that */
		gone(m->pair, m->side);
		return false;
	}
	fds[0] = fds[1] = -1;
	answered();
	sl_stat_reason(s, SL_WHY_PAIRED);
	return true;
}

/* Return true when the socket is to be attached. Lock held. */
static bool answer(struct sl_sock *s, const struct sl_msg *m, int fds[SL_MSG_FDS])
{
	struct sl_msg proof = {.type = SL_MSG_PROOF, .id = m->id};

	switch (m->type) {
	case SL_MSG_PROVE:
		(void)post(&proof);
		return false;
	case SL_MSG_PAIRED:
		return paired(s, m, fds);
	case SL_MSG_REFUSED:
		refused(s, m->arg);
		return false;
	default:
		return false;
	}
}

static void welcome(const struct sl_msg *m, int fds[SL_MSG_FDS])
{
	void *p;

	br.welcome = true;
	if (m->arg != SL_MSG_VERSION) {
		br.why = SL_WHY_BROKER_VERSION;
		br.next_try = sl_now_ns() + 10 * RETRY_NS;
		disconnect_locked();
		return;
	}
	br.serial = m->id < UINT32_MAX >> SL_BELL_SLOT_BITS ? (uint32_t)m->id : 0;
	p = fds[0] >= 0 ? mmap(NULL, 4096, PROT_READ, MAP_SHARED, fds[0], 0) : MAP_FAILED;
	if (p != MAP_FAILED)
		atomic_store(&br.mail, p);
}

uint64_t sl_offer_bell(unsigned slot, int fd)
{
	struct sl_msg m = {.type = SL_MSG_BELL, .arg = slot};
	uint64_t key = 0;

	if (sl_lock(&br.lock))
		return 0;
	if (broker_fd() >= 0 && br.serial && fd >= 0 && !sl_msg_send(broker_fd(), &m, &fd, 1))
		key = (uint64_t)br.gen << 32 | br.serial << SL_BELL_SLOT_BITS | slot;
	sl_unlock(&br.lock);
	return key;
}

/* Lock held. */
static void ask_for_bell(void)
{
	struct sl_msg m = {.type = SL_MSG_ASK};
	struct sl_bell_want w;

	if (!sl_bell_want_take(&w))
		return;
	m.id = w.number;
	m.pair = w.pair;
	m.side = w.side;
	if (w.gen == br.gen && broker_fd() >= 0 && br.serial &&
	    !sl_msg_send(broker_fd(), &m, NULL, 0))
		atomic_fetch_add(&br.out, 1);
}

/* One message. Return: 1 handled, *s to be attached if not NULL; 0 no more. Lock held. */
static int pump_one(struct sl_sock **attach)
{
	int fds[SL_MSG_FDS] = {-1, -1}, rc;
	struct sl_sock *s;
	struct sl_msg m;
	unsigned i;

	*attach = NULL;
	ask_for_bell();
	if (broker_fd() < 0)
		return 0;
	rc = sl_msg_recv(broker_fd(), &m, fds);
	if (rc == -EAGAIN || rc == -EINTR)
		return 0;
	if (rc <= 0) {
		disconnect_locked();
		return 0;
	}
	if (br.mail)
		br.mail_seen++;
	if (m.type == SL_MSG_WELCOME) {
		welcome(&m, fds);
		br.mail_seen = 1;
	} else if (m.type == SL_MSG_BELL) {
		answered();
		sl_bell_learn(br.gen, (uint32_t)m.id, m.arg ? fds[0] : -1);
		if (m.arg)
			fds[0] = -1;
	} else {
		s = waiting(m.id);
		if (s) {
			if (answer(s, &m, fds))
				*attach = s;
			else
				sl_sock_put(s);
		} else if (m.type == SL_MSG_PAIRED) {
			gone(m.pair, m.side);
		}
	}
	for (i = 0; i < SL_MSG_FDS; i++)
		if (fds[i] >= 0)
			sl_sys_close(fds[i]);
	return 1;
}

void sl_offer_pump(void)
{
	struct sl_sock *s;
	int more;

	do {
		if (sl_lock(&br.lock))
			return;
		flush();
		more = pump_one(&s);
		sl_unlock(&br.lock);
		if (s) {
			sl_attach_try(s, s->fd);
			sl_sock_put(s);
		}
	} while (more);
}

/*
 * Most connections of test suites are over before the broker has answered. With this they meet the memory lane: a peer
 * that runs under scilan has 20 ms to offer its end, three times.
 */
void sl_offer_settle(struct sl_sock *s)
{
	uint64_t until = sl_now_ns() + SETTLE_NS;

	if (s->settled >= 3)
		return;
	s->settled++;
	while (atomic_load(&s->offer) == SL_OFFER_OUT && sl_now_ns() < until) {
		if (sl_offer_due())
			sl_offer_pump();
		else
			(void)sl_sys(SYS_sched_yield, 0, 0, 0);
	}
}

uint32_t sl_offer_generation(void)
{
	return br.gen;
}

bool sl_offer_waiting(void)
{
	return atomic_load_explicit(&br.out, memory_order_relaxed) != 0;
}

bool sl_offer_stale(const struct sl_sock *s)
{
	return s->offer_gen != br.gen;
}

bool sl_offer_due(void)
{
	struct sl_mail_shm *mail;

	if (sl_bell_wanted())
		return true;
	if (sl_likely(!atomic_load_explicit(&br.out, memory_order_relaxed)))
		return sl_unlikely(br.waiting); /* a look without the lock: late is good enough */
	mail = atomic_load_explicit(&br.mail, memory_order_acquire);
	if (!mail || (++br.tick & 63) == 0)
		return true;
	return atomic_load_explicit(&mail->count, memory_order_acquire) != br.mail_seen;
}

/* The parent's connection is not ours: its answers are for the parent. */
void sl_offer_fork_child(void)
{
	sl_lock_reset(&br.lock);
	disconnect_locked();
	br.next_try = 0;
	sl_bell_fork_child();
}

void sl_sock_alone(void)
{
	struct sl_sock *s;
	unsigned i;

	sl_stat_private = true;
	for (i = 0; (s = sl_pool_at(i)); i++)
		if (sl_sock_used(s))
			sl_passed_copied(s, s->fd);
	if (sl_lock(&br.lock))
		return;
	disconnect_locked();
	sl_unlock(&br.lock);
}

void sl_sock_credentials(void)
{
	sl_offer_connect();
}

/* --- asking for a live pair again, on a connection of its own --- */

#define FETCH_MS 1000

int sl_offer_fetch_open(void)
{
	struct sl_msg hello = {.type = SL_MSG_HELLO, .arg = SL_MSG_VERSION};
	int conn = connect_any(), rc;

	if (conn < 0)
		return conn;
	rc = sl_msg_send(conn, &hello, NULL, 0);
	if (rc == 0)
		return conn;
	sl_sys_close(conn);
	return rc;
}

/* Return: 1 a message; 0 none in time; -errno. */
static int next_message(int conn, struct sl_msg *m, int fds[SL_MSG_FDS], uint64_t until_ns)
{
	struct pollfd p = {.fd = conn, .events = POLLIN};
	uint64_t now;
	int rc;

	for (;;) {
		rc = sl_msg_recv(conn, m, fds);
		if (rc != -EAGAIN)
			return rc;
		now = sl_now_ns();
		if (now >= until_ns)
			return 0;
		(void)sl_sys(SYS_poll, &p, 1, (until_ns - now) / 1000000 + 1);
	}
}

int sl_offer_fetch(int conn, int fd, struct sl_fetched *f)
{
	struct sl_msg m = {.type = SL_MSG_OFFER, .flags = SL_OFFER_REATTACH, .id = 1};
	uint64_t until = sl_now_ns() + FETCH_MS * 1000000ull;
	unsigned i;
	int rc;

	rc = sl_msg_send(conn, &m, &fd, 1);
	if (rc < 0)
		return rc;
	while ((rc = next_message(conn, &m, f->fd, until)) > 0) {
		if (m.type == SL_MSG_PAIRED && f->fd[0] >= 0 && f->fd[1] >= 0) {
			f->pair = m.pair;
			f->side = m.side & 1;
			return 0;
		}
		for (i = 0; i < SL_MSG_FDS; i++)
			if (f->fd[i] >= 0)
				sl_sys_close(f->fd[i]);
		if (m.type == SL_MSG_REFUSED || (m.type == SL_MSG_WELCOME && m.arg != SL_MSG_VERSION))
			return -EPERM;
	}
	return rc < 0 ? rc : -ETIMEDOUT;
}
