/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * heirs.c - see heirs.h
 *
 * posix_spawn's file actions are opaque. Their layout is glibc's (posix/spawn_int.h, the same since 2.0; later
 * versions have only added kinds of actions at the end). tests/unit/test_heirs.c compares it with
 * the libc that is there.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/types.h>
#include "heirs.h"
#include "sock.h"
#include "sys.h"

enum action_kind { DO_CLOSE, DO_DUP2, DO_OPEN, DO_CHDIR, DO_FCHDIR, DO_CLOSEFROM, DO_TCSETPGRP };

struct action {
	enum action_kind kind;
	union {
		int fd; /* close, fchdir, closefrom, tcsetpgrp, and the first of open */
		char *path; /* chdir */
		struct {
			int fd, newfd;
		} dup2;
		struct {
			int fd;
			char *path;
			int oflag;
			mode_t mode;
		} open;
	} u;
};

static const struct action *action_at(const posix_spawn_file_actions_t *a, int i)
{
	return (const struct action *)(const void *)a->__actions + i;
}

unsigned sl_heirs_max(const posix_spawn_file_actions_t *actions)
{
	unsigned n = 0;
	int fd = -1;

	while ((fd = sl_fdtab_next(fd + 1)) >= 0)
		n++;
	return n && actions && actions->__used > 0 ? n + (unsigned)actions->__used : n;
}

/* Which of them are closed by exec is found out at the end: actions come before. */
static unsigned tracked(struct sl_heir *h)
{
	unsigned n = 0;
	int fd = -1;

	while ((fd = sl_fdtab_next(fd + 1)) >= 0) {
		h[n].s = sl_sock_get(fd);
		h[n].fd = fd;
		if (h[n].s)
			n++;
	}
	return n;
}

static void put(struct sl_heir *h, unsigned *n, unsigned i)
{
	sl_sock_put(h[i].s);
	h[i] = h[--*n];
}

/* Those whose number was not made by an action stay only if they are not close-on-exec. */
static unsigned open_ones(struct sl_heir *h, unsigned n)
{
	unsigned i;
	int fl;

	for (i = 0; i < n;) {
		if (h[i].fd < 0) {
			h[i].fd = ~h[i].fd;
			i++;
			continue;
		}
		fl = sl_sys_fcntl(h[i].fd, F_GETFD, 0);
		if (fl < 0 || (fl & FD_CLOEXEC))
			put(h, &n, i);
		else
			i++;
	}
	return n;
}

unsigned sl_heirs_exec(struct sl_heir *h)
{
	return open_ones(h, tracked(h));
}

static int number(const struct sl_heir *h)
{
	return h->fd < 0 ? ~h->fd : h->fd;
}

static void close_from(struct sl_heir *h, unsigned *n, int first, int last)
{
	unsigned i;

	for (i = 0; i < *n;) {
		if (number(&h[i]) >= first && number(&h[i]) <= last)
			put(h, n, i);
		else
			i++;
	}
}

/* A number that an action has made is kept as ~number: it is not close-on-exec. */
static void duplicate(struct sl_heir *h, unsigned *n, int fd, int newfd)
{
	struct sl_sock *s = NULL;
	unsigned i;

	for (i = 0; i < *n; i++)
		if (number(&h[i]) == fd)
			s = h[i].s;
	if (fd == newfd) {
		for (i = 0; i < *n; i++)
			if (h[i].fd == fd)
				h[i].fd = ~fd;
		return;
	}
	if (s)
		atomic_fetch_add(&s->refs, 1);
	close_from(h, n, newfd, newfd);
	if (s) {
		h[*n].s = s;
		h[(*n)++].fd = ~newfd;
	}
}

unsigned sl_heirs_spawn(struct sl_heir *h, const posix_spawn_file_actions_t *actions, bool *high)
{
	unsigned n = tracked(h);
	const struct action *a;
	int i;

	*high = true;
	for (i = 0; actions && i < actions->__used; i++) {
		a = action_at(actions, i);
		switch (a->kind) {
		case DO_CLOSE:
		case DO_OPEN:
			close_from(h, &n, a->u.fd, a->u.fd);
			break;
		case DO_DUP2:
			duplicate(h, &n, a->u.dup2.fd, a->u.dup2.newfd);
			break;
		case DO_CLOSEFROM:
			close_from(h, &n, a->u.fd, INT32_MAX);
			*high = false;
			break;
		case DO_CHDIR:
		case DO_FCHDIR:
		case DO_TCSETPGRP:
			break;
		}
	}
	return open_ones(h, n);
}

static int copy_action(posix_spawn_file_actions_t *to, const struct action *a)
{
	switch (a->kind) {
	case DO_CLOSE:
		return posix_spawn_file_actions_addclose(to, a->u.fd);
	case DO_DUP2:
		return posix_spawn_file_actions_adddup2(to, a->u.dup2.fd, a->u.dup2.newfd);
	case DO_OPEN:
		return posix_spawn_file_actions_addopen(to, a->u.open.fd, a->u.open.path,
							a->u.open.oflag, a->u.open.mode);
	case DO_CHDIR:
		return posix_spawn_file_actions_addchdir_np(to, a->u.path);
	case DO_FCHDIR:
		return posix_spawn_file_actions_addfchdir_np(to, a->u.fd);
	case DO_CLOSEFROM:
		return posix_spawn_file_actions_addclosefrom_np(to, a->u.fd);
	case DO_TCSETPGRP:
		return posix_spawn_file_actions_addtcsetpgrp_np(to, a->u.fd);
	}
	return EINVAL;
}

int sl_heirs_copy(posix_spawn_file_actions_t *to, const posix_spawn_file_actions_t *from)
{
	int i, rc = posix_spawn_file_actions_init(to);

	for (i = 0; rc == 0 && from && i < from->__used; i++) {
		rc = copy_action(to, action_at(from, i));
		if (rc)
			(void)posix_spawn_file_actions_destroy(to);
	}
	return rc;
}
