/* SPDX-License-Identifier: BSD-2-Clause */
/* client.c - one connected client: its life, and the dispatch of what it says */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include "brk.h"
#include "log.h"

#define MAIL_LEN 4096

static struct sl_brk_user *user_get(struct sl_brk *b, uid_t uid)
{
	struct sl_brk_user *u;

	LIST_FOREACH(u, &b->users, link)
	{
		if (u->uid == uid)
			goto found;
	}
	u = calloc(1, sizeof(*u));
	if (!u)
		return NULL;
	u->uid = uid;
	LIST_INSERT_HEAD(&b->users, u, link);
found:
	u->clients++;
	return u;
}

/* Users without clients stay while something still points to them, or counts against them. */
void sl_brk_users_sweep(struct sl_brk *b)
{
	struct sl_brk_user *u, *next;

	for (u = LIST_FIRST(&b->users); u; u = next) {
		next = LIST_NEXT(u, link);
		if (u->clients || u->ends || u->banned ||
		    atomic_load_explicit(&u->stuck, memory_order_acquire))
			continue;
		LIST_REMOVE(u, link);
		free(u);
	}
}

void sl_brk_client_new(struct sl_brk *b, int fd)
{
	struct epoll_event ev = {.events = EPOLLIN};
	struct sl_brk_client *c;
	struct ucred cred;
	socklen_t len = sizeof(cred);
	int sndbuf = SL_BRK_SNDBUF;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len))
		goto close_fd;
	if (!b->system && cred.uid != b->uid)
		goto close_fd;
	c = calloc(1, sizeof(*c));
	if (!c)
		goto close_fd;
	c->user = user_get(b, cred.uid);
	if (!c->user)
		goto free_client;
	if (c->user->banned || b->client_count >= b->client_max ||
	    sl_brk_user_over(b, c->user, c->user->clients - 1, b->client_max))
		goto put_user;
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &sndbuf, sizeof(sndbuf));
	ev.data.ptr = c;
	if (epoll_ctl(b->ep, EPOLL_CTL_ADD, fd, &ev))
		goto put_user;
	c->fd = fd;
	c->pid = cred.pid;
	c->watched = ev.events;
	LIST_INSERT_HEAD(&b->clients, c, link);
	b->client_count++;
	return;

put_user:
	c->user->clients--;
free_client:
	free(c);
close_fd:
	(void)close(fd);
}

void sl_brk_client_watch(struct sl_brk *b, struct sl_brk_client *c)
{
	struct epoll_event ev = {.data.ptr = c};

	if (c->dead)
		return;
	if (c->out_count < SL_BRK_OUT_HIGH)
		ev.events |= EPOLLIN;
	if (c->out_count)
		ev.events |= EPOLLOUT;
	if (ev.events == c->watched)
		return;
	c->watched = ev.events;
	if (epoll_ctl(b->ep, EPOLL_CTL_MOD, c->fd, &ev))
		sl_brk_kill(b, c, "cannot be watched");
}

void sl_brk_kill(struct sl_brk *b, struct sl_brk_client *c, const char *why)
{
	if (c->dead)
		return;
	if (why && b->verbose)
		sl_log("broker: client %d (uid %u) dropped: %s", (int)c->pid,
		       (unsigned)c->user->uid, why);
	c->dead = true;
	c->thrown_out = why != NULL;
	LIST_REMOVE(c, link);
	LIST_INSERT_HEAD(&b->dying, c, link);
}

void sl_brk_reap(struct sl_brk *b)
{
	struct sl_brk_client *c;

	if (LIST_EMPTY(&b->dying))
		return;
	while ((c = LIST_FIRST(&b->dying)) != NULL) {
		LIST_REMOVE(c, link);
		sl_brk_offers_drop(b, c);
		sl_brk_holds_drop(b, c);
		sl_brk_claims_drop(b, c);
		sl_brk_bells_drop(b, c);
		(void)close(c->fd); /* leaves the epoll instance with it */
		if (c->mail)
			(void)munmap(c->mail, MAIL_LEN);
		c->user->clients--;
		free(c->out);
		free(c);
		b->client_count--;
	}
	sl_brk_users_sweep(b);
	if (b->paused)
		sl_brk_pause(b, false); /* a descriptor came free */
	if (!b->client_count)
		b->idle_from_ms = b->now_ms;
}

static int mail_create(struct sl_brk_client *c)
{
	int fd = memfd_create("scilan-mail", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	void *map;

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, MAIL_LEN) ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		goto close_fd;
	map = mmap(NULL, MAIL_LEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		goto close_fd;
	c->mail = map;
	return fd;

close_fd:
	(void)close(fd);
	return -ENOMEM;
}

static void hello(struct sl_brk *b, struct sl_brk_client *c, const struct sl_msg *m)
{
	struct sl_msg welcome = {.type = SL_MSG_WELCOME, .arg = SL_MSG_VERSION};
	int fd;

	if (m->arg != SL_MSG_VERSION) {
		(void)sl_msg_send(c->fd, &welcome, NULL, 0);
		sl_brk_kill(b, c, "speaks another version");
		return;
	}
	fd = mail_create(c);
	if (fd < 0) {
		sl_brk_kill(b, c, "no memory for its mail page");
		return;
	}
	sl_brk_bell_client(b, c);
	welcome.id = c->serial;
	/* The first message into an empty socket: it has room. */
	if (sl_msg_send(c->fd, &welcome, &fd, 1))
		sl_brk_kill(b, c, "cannot be welcomed");
	else
		atomic_store_explicit(&c->mail->count, ++c->mailed, memory_order_release);
	(void)close(fd);
}

/* Its descriptor was lost because we have none left; otherwise the client sent none. */
static bool out_of_files(const struct sl_brk *b)
{
	int fd = fcntl(b->ep, F_DUPFD_CLOEXEC, 0);

	if (fd < 0)
		return true;
	(void)close(fd);
	return false;
}

static void take(struct sl_brk *b, struct sl_brk_client *c, const struct sl_msg *m, int fd)
{
	uint64_t cookie;

	if (sl_facts_cookie(fd, &cookie) == SL_WHY_NONE)
		sl_brk_take(b, c, cookie, m->pair);
}

static void with_fd(struct sl_brk *b, struct sl_brk_client *c, const struct sl_msg *m, int fd)
{
	if (fd < 0 && out_of_files(b)) {
		if (m->type == SL_MSG_OFFER)
			sl_brk_refuse(b, c, m->id, SL_WHY_LIMIT_FILES);
		return;
	}
	if (fd < 0)
		sl_brk_kill(b, c, "passed no descriptor");
	else if (m->type == SL_MSG_PROOF)
		sl_brk_proof(b, c, m, fd);
	else if (m->type == SL_MSG_TAKE)
		take(b, c, m, fd);
	else if (m->flags & SL_OFFER_REATTACH)
		sl_brk_reattach(b, c, m, fd);
	else
		sl_brk_offer(b, c, m, fd);
}

static void dispatch(struct sl_brk *b, struct sl_brk_client *c, const struct sl_msg *m, int *fd)
{
	if (!c->mail != (m->type == SL_MSG_HELLO)) {
		sl_brk_kill(b, c, c->mail ? "said HELLO twice" : "did not say HELLO");
		return;
	}
	switch (m->type) {
	case SL_MSG_HELLO:
		hello(b, c, m);
		break;
	case SL_MSG_OFFER:
	case SL_MSG_PROOF:
	case SL_MSG_TAKE:
		with_fd(b, c, m, *fd);
		break;
	case SL_MSG_WITHDRAW:
		sl_brk_withdraw(b, c, m);
		break;
	case SL_MSG_PASS:
		sl_brk_pass(b, c, m);
		break;
	case SL_MSG_UNPASS:
		sl_brk_unpass(b, c, m);
		break;
	case SL_MSG_DROP:
		sl_brk_drop(b, c, m);
		break;
	case SL_MSG_GONE:
		sl_brk_gone(b, c, m);
		break;
	case SL_MSG_BELL:
		sl_brk_bell(b, c, m, fd);
		break;
	case SL_MSG_ASK:
		sl_brk_ask(b, c, m);
		break;
	default:
		sl_brk_kill(b, c, "sent an unknown message");
	}
}

static void receive(struct sl_brk *b, struct sl_brk_client *c)
{
	int fds[SL_MSG_FDS], rc;
	unsigned i, n;
	struct sl_msg m;

	for (n = 0; n < SL_BRK_BATCH && !c->dead; n++) {
		rc = sl_msg_recv(c->fd, &m, fds);
		if (rc == -EAGAIN)
			return;
		if (rc != 1) {
			sl_brk_kill(b, c, rc == -EPROTO ? "sent a malformed packet" : NULL);
			return;
		}
		dispatch(b, c, &m, &fds[0]);
		for (i = 0; i < SL_MSG_FDS; i++)
			sl_brk_drop_fd(c->user, fds[i]);
		if (c->user->banned)
			sl_brk_kill(b, c, "its user is banned");
	}
}

void sl_brk_client_event(struct sl_brk *b, struct sl_brk_client *c, uint32_t events)
{
	if (c->dead)
		return;
	if (events & EPOLLOUT)
		sl_brk_flush(b, c);
	if (!c->dead && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		receive(b, c);
}
