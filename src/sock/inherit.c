/* SPDX-License-Identifier: BSD-2-Clause */
/* inherit.c - see inherit.h */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "heirs.h"
#include "hidden.h"
#include "internal.h"
#include "log.h"
#include "sys.h"
#include "target.h"

#define VERSION	   4
#define STDIO_MAX  2
#define WAIT_NS	   2000000000ull /* for all peers together */
#define RELAY_MS   100 /* for another process to close it, before a relay takes its place */
#define HIGH	   1000 /* where descriptors of ours go, if they can */
#define ENTRY_LEN  120	/* of the variable: seven numbers of a connection */
#define NUMBER_LEN 12	/* and each of its descriptors */

/* --- before: what stays promoted, what goes back --- */

static size_t count_env(char *const *envp)
{
	size_t n = 0;

	while (envp && envp[n])
		n++;
	return n;
}

/* One mapping for all: heirs, descriptors kept, the environment's array, the variable. */
static int make_room(struct sl_exec *e, unsigned max)
{
	size_t env = (count_env(e->envp) + 2) * sizeof(char *), heirs = max * sizeof(struct sl_heir);
	size_t kept = 2 * max * sizeof(int);
	char *p;

	e->mem_len = env + heirs + kept + max * (ENTRY_LEN + NUMBER_LEN) + 64;
	p = mmap(NULL, e->mem_len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return -ENOMEM;
	e->mem = p;
	e->heirs = (void *)(p + env);
	e->kept = (void *)(p + env + heirs);
	e->text = e->text_end = p + env + heirs + kept;
	return 0;
}

/* A number for it in the new program, out of the way. */
static int keep_open(struct sl_exec *e, int fd)
{
	int n = sl_sys_fcntl(fd, F_DUPFD, HIGH);

	if (n < 0)
		n = sl_sys_fcntl(fd, F_DUPFD, STDIO_MAX + 1);
	sl_sys_close(fd);
	if (n >= 0)
		e->kept[e->nkept++] = n;
	return n;
}

bool sl_inherit_stdio;

/* Will libc be patched in the new program, too? Where it then is not, attach() finds out. */
static bool stdio_past_us(const struct sl_exec *e)
{
	char *const *v;

	for (v = e->envp; v && *v; v++)
		if (!strcmp(*v, "SCILAN_PATCH=0") || !strcmp(*v, "SCILAN_PROMOTE=off"))
			return true;
	return !sl_inherit_stdio;
}

static bool uses_stdio(const struct sl_exec *e, const struct sl_sock *s)
{
	unsigned i;

	for (i = 0; i < e->n; i++)
		if (e->heirs[i].s == s && e->heirs[i].fd <= STDIO_MAX)
			return true;
	return false;
}

static void write_entry(struct sl_exec *e, const struct sl_sock *s, const struct sl_fetched *f,
			const int kept[2])
{
	const char *sep = "=";
	unsigned i;

	if (e->text_end == e->text)
		e->text_end += sprintf(e->text, "%s=%d", SL_INHERIT_VAR, VERSION);
	e->text_end += sprintf(e->text_end, ";%d:%d:%u:%llu:%d:%d:%d", kept[0], kept[1],
			       f->side, (unsigned long long)f->pair, s->nodelay, s->cork, s->lowat);
	for (i = 0; i < e->n; i++) {
		if (e->heirs[i].s != s)
			continue;
		e->text_end += sprintf(e->text_end, "%s%d", sep, e->heirs[i].fd);
		sep = ",";
	}
}

/* Keep a promoted connection so. Return: 0; < 0: the broker does not know it, or there is no room. */
static int keep(struct sl_exec *e, struct sl_sock *s, int conn)
{
	struct sl_fetched f;
	int kept[2], how, rc;

	rc = sl_offer_fetch(conn, s->fd, &f);
	if (rc < 0)
		return rc;
	kept[0] = keep_open(e, f.fd[0]);
	kept[1] = keep_open(e, f.fd[1]);
	if (kept[0] < 0 || kept[1] < 0)
		return -EMFILE;
	how = sl_both_take(s);
	if (!how)
		return -EDEADLK;
	/* It may have been detached meanwhile: then this is another segment, or none. */
	rc = sl_sock_attached(s) && f.pair == s->pair ? 0 : -ESTALE;
	if (rc == 0 && e->spawn)
		rc = sl_side_share(s);
	/* sl_side_share() may just have made the lock that @how tells of: release as taken. */
	sl_both_release(s, how);
	if (rc == 0)
		write_entry(e, s, &f, kept);
	return rc;
}

/* Whoever has forked us may be about to close it. */
static bool only_holder(const struct sl_sock *s, int ms)
{
	static const struct timespec step = {.tv_nsec = 1000000};

	for (; ms && atomic_load(&s->side->holders) > 1; ms--)
		(void)sl_sys(SYS_nanosleep, &step, 0, 0);
	return atomic_load(&s->side->holders) < 2;
}

/* Not promoted yet, and may be. */
static bool young(struct sl_sock *s)
{
	const struct sl_side_shm *side = s->side;

	return !sl_sock_attached(s) && atomic_load(&s->offer) != SL_OFFER_NEVER && !s->connecting &&
	       !s->oob && !s->received && !side->foreign && !side->kfin && !side->dead && !side->tx.fin;
}

/* Its side goes to the new program by a file: one more descriptor of that, or -errno. */
static int young_side(struct sl_exec *e, struct sl_sock *s)
{
	int how = sl_both_take(s), rc = -EAGAIN;
	socklen_t len = sizeof(s->side->cookie);

	if (!how)
		return -EDEADLK;
	if (young(s) && (how == 1 || s->side_fd >= 0))
		rc = sl_side_to_file(s);
	if (rc == 0)
		rc = sl_sys_getsockopt(s->fd, SOL_SOCKET, SO_COOKIE, &s->side->cookie, &len);
	if (rc == 0)
		rc = sl_sys_fcntl(s->side_fd, F_DUPFD, STDIO_MAX + 1);
	if (rc >= 0 && e->spawn)
		(void)sl_side_share(s);
	sl_both_release(s, how);
	return rc;
}

/* Keep a connection that is not promoted one that may be. */
static int keep_young(struct sl_exec *e, struct sl_sock *s)
{
	const struct sl_fetched none = {.side = 0};
	int kept[2] = {-1, -1}, fd;

	sl_offer_postpone(s);
	fd = young_side(e, s);
	if (fd < 0)
		return fd;
	kept[1] = keep_open(e, fd);
	if (kept[1] < 0)
		return kept[1]; /* a spawned child counts as a holder that never ends */
	write_entry(e, s, &none, kept);
	return 0;
}

/*
 * A relay takes the bytes from all who hold it. So above descriptor 2, which may just not have been closed,
 * there must be none.
 */
static bool may_relay(const struct sl_exec *e, const struct sl_sock *s)
{
	return uses_stdio(e, s) || (!e->spawn && only_holder(s, RELAY_MS));
}

/* The actions of a spawn, with one more: @fd of the child is @to. */
static int add_action(struct sl_exec *e, int to, int fd)
{
	if (!e->copied && sl_heirs_copy(&e->own, e->actions) == 0) {
		e->copied = true;
		e->actions = &e->own;
	}
	return e->copied ? posix_spawn_file_actions_adddup2(&e->own, to, fd) : -1;
}

/* A relay takes the place of @s on all its numbers. */
static bool replace(struct sl_exec *e, struct sl_sock *s)
{
	unsigned i;
	int to;

	if (!may_relay(e, s))
		return false;
	to = e->adds ? sl_sock_relay(s) : -1;
	if (to < 0)
		return false;
	for (i = 0; i < e->n;) {
		if (e->heirs[i].s != s) {
			i++;
			continue;
		}
		if (e->spawn) {
			(void)add_action(e, to, e->heirs[i].fd);
		} else {
			(void)sl_sock_close(e->heirs[i].fd);
			(void)sl_sys(SYS_dup3, to, e->heirs[i].fd, 0);
		}
		sl_sock_put(s);
		e->heirs[i] = e->heirs[--e->n];
	}
	e->kept[e->nkept++] = to;
	return true;
}

/* Return: false: it is no heir any more. */
static bool give_up(struct sl_exec *e, struct sl_heir *h)
{
	struct sl_sock *s = h->s;
	bool never = atomic_load(&s->offer) == SL_OFFER_NEVER;
	int how;

	sl_passed_copied(s, s->fd);
	if (sl_handover(s, s->fd, SL_WHY_EXECED, &e->wait_ns) == -EBUSY && replace(e, s))
		return false;
	how = sl_both_take(s);
	if (!how)
		return true;
	h->foreign = s->side->foreign;
	s->side->foreign = 1;
	if (!never) /* it may go on, if the exec fails */
		atomic_store(&s->offer, sl_sock_attached(s) ? SL_OFFER_TAKEN : SL_OFFER_NONE);
	if (!e->spawn) {
		sl_side_leave(s->side);
		atomic_fetch_sub(&s->side->holders, 1);
	}
	sl_both_release(s, how);
	return true;
}

static bool first_of(const struct sl_exec *e, unsigned i)
{
	unsigned j;

	for (j = 0; j < i; j++)
		if (e->heirs[j].s == e->heirs[i].s)
			return false;
	return true;
}

static bool any_attached(const struct sl_exec *e)
{
	unsigned i;

	for (i = 0; i < e->n; i++)
		if (sl_sock_attached(e->heirs[i].s))
			return true;
	return false;
}

static bool any_to_keep(const struct sl_exec *e)
{
	unsigned i;

	for (i = 0; i < e->n; i++)
		if (sl_sock_attached(e->heirs[i].s) || young(e->heirs[i].s))
			return true;
	return false;
}

/* Return: false: it is no heir any more. */
static bool prepare(struct sl_exec *e, struct sl_heir *h, bool under, int conn)
{
	struct sl_sock *s = h->s;
	bool kept = false;

	if (under && (!uses_stdio(e, s) || !stdio_past_us(e))) {
		if (sl_sock_attached(s))
			kept = conn >= 0 && keep(e, s, conn) == 0;
		else if (young(s))
			kept = keep_young(e, s) == 0;
	}
	s->heir = kept || give_up(e, h);
	return s->heir;
}

static void decide(struct sl_exec *e)
{
	bool under = e->adds && any_to_keep(e) &&
		     sl_target_under(e->dir, e->path, e->flags, e->envp);
	int conn = under && any_attached(e) ? sl_offer_fetch_open() : -1;
	unsigned i;

	e->wait_ns = WAIT_NS;
	for (i = 0; i < e->n;) {
		if (first_of(e, i) && !prepare(e, &e->heirs[i], under, conn))
			continue; /* others are at its place now */
		i++;
	}
	if (conn >= 0)
		sl_sys_close(conn);
}

/* The environment with the variable, and without one that is there already. */
static void set_variable(struct sl_exec *e)
{
	static const char name[] = SL_INHERIT_VAR "=";
	char **env = e->mem;
	size_t i, n = 0;

	if (e->text_end == e->text)
		return;
	for (i = 0; e->envp && e->envp[i]; i++)
		if (strncmp(e->envp[i], name, sizeof(name) - 1) != 0)
			env[n++] = e->envp[i];
	env[n++] = e->text;
	env[n] = NULL;
	e->envp = env;
}

static void forget(struct sl_exec *e)
{
	unsigned i;

	for (i = 0; i < e->nkept; i++)
		sl_sys_close(e->kept[i]);
	if (e->copied)
		(void)posix_spawn_file_actions_destroy(&e->own);
	e->copied = false;
	for (i = 0; i < e->n; i++) {
		e->heirs[i].s->heir = false;
		sl_sock_put(e->heirs[i].s);
	}
	e->n = e->nkept = 0;
	if (e->mem)
		(void)munmap(e->mem, e->mem_len);
	e->mem = NULL;
}

/* Connections that close on exec lose this holder; @up: they do not. */
static void closed_ones(int up)
{
	struct sl_sock *s;
	unsigned i;

	for (i = 0; (s = sl_pool_at(i)); i++) {
		if (!sl_sock_used(s) || !s->stat || s->fd < 0 || s->heir || !s->side->shared)
			continue;
		if (up) {
			atomic_fetch_add(&s->side->holders, 1);
			continue;
		}
		sl_side_leave(s->side);
		atomic_fetch_sub(&s->side->holders, 1);
	}
}

/*
 * Other threads end with the exec. None may be in the middle of a change then: the new program, or another process,
 * goes on with what it leaves. No section: a signal that was put off would be lost, with the others blocked.
 */
static void lock_all(void)
{
	struct sl_sock *s;
	unsigned i;

	for (i = 0; (s = sl_pool_at(i)); i++) {
		if (!sl_sock_used(s) || !s->stat || (!s->side->shared && !sl_sock_attached(s)))
			continue;
		if (sl_lock_keep(&s->rx_lock))
			continue;
		if (sl_lock_keep(&s->tx_lock))
			sl_unlock_kept(&s->rx_lock);
		else
			s->locked = true;
	}
}

static void unlock_all(void)
{
	struct sl_sock *s;
	unsigned i;

	for (i = 0; (s = sl_pool_at(i)); i++) {
		if (!s->locked)
			continue;
		s->locked = false;
		sl_unlock_kept(&s->tx_lock);
		sl_unlock_kept(&s->rx_lock);
	}
}

/* Programs search PATH by trying: what is sure to fail is to leave no trace. */
static bool no_program(const struct sl_exec *e)
{
	long rc = e->path ? sl_sys6(SYS_faccessat2, e->dir, (long)e->path, X_OK,
				    AT_EACCESS | (e->flags & AT_EMPTY_PATH), 0, 0) :
			    -ENOENT;

	return rc == -ENOENT || rc == -ENOTDIR || rc == -EACCES || rc == -ENAMETOOLONG ||
	       rc == -ELOOP || rc == -EFAULT;
}

void sl_exec_begin(struct sl_exec *e)
{
	unsigned max = sl_heirs_max(NULL);

	e->fails = max && no_program(e);
	if (e->fails)
		return;
	e->spawn = false;
	e->adds = true;
	e->n = e->nkept = 0;
	e->mem = NULL;
	if (max && make_room(e, max) == 0) {
		e->n = sl_heirs_exec(e->heirs);
		decide(e);
		set_variable(e);
	}
	closed_ones(0);
	if (!__libc_single_threaded)
		lock_all();
}

/* Those that were kept are as they were. Those given up are on TCP, and this process holds them again. */
void sl_exec_failed(struct sl_exec *e)
{
	struct sl_sock *s;
	unsigned i;

	unlock_all();
	closed_ones(1);
	for (i = 0; i < e->n; i++) {
		s = e->heirs[i].s;
		if (!first_of(e, i) || !s->side->foreign)
			continue;
		s->side->foreign = e->heirs[i].foreign;
		atomic_fetch_add(&s->side->holders, 1);
	}
	forget(e);
}

void sl_spawn_begin(struct sl_exec *e)
{
	unsigned max = sl_heirs_max(e->actions);

	e->spawn = true;
	e->n = e->nkept = 0;
	e->mem = NULL;
	if (!max || no_program(e) || make_room(e, max) < 0)
		return;
	e->n = sl_heirs_spawn(e->heirs, e->actions, &e->adds);
	decide(e);
	set_variable(e);
}

void sl_spawn_end(struct sl_exec *e, bool failed)
{
	struct sl_sock *s;
	unsigned i;

	for (i = 0; failed && i < e->n; i++) {
		s = e->heirs[i].s;
		if (!first_of(e, i))
			continue;
		if (s->side->foreign)
			s->side->foreign = e->heirs[i].foreign;
		else
			atomic_fetch_sub(&s->side->holders, 1);
	}
	forget(e);
}

/* --- after: in the new program --- */

struct entry {
	int seg_fd, side_fd, nodelay, cork, lowat;
	unsigned side;
	unsigned long long pair;
};

static bool inode_is(int fd, uint64_t ino, off_t len)
{
	struct stat st;

	return fstat(fd, &st) == 0 && (!ino || st.st_ino == ino) && (!len || st.st_size == len);
}

static bool cookie_is(int fd, uint64_t cookie)
{
	uint64_t mine = 0;
	socklen_t len = sizeof(mine);

	return sl_sys_getsockopt(fd, SOL_SOCKET, SO_COOKIE, &mine, &len) == 0 && mine == cookie;
}

static bool is_sealed(int fd)
{
	const int sealed = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
	int seals = sl_sys_fcntl(fd, F_GET_SEALS, 0);

	return seals >= 0 && (seals & sealed) == sealed;
}

/* The variable may be forged: what is none of ours stays open. */
static void close_ours(int fd)
{
	if (is_sealed(fd))
		sl_sys_close(fd);
}

static struct sl_side_shm *map_side(const struct entry *en)
{
	struct sl_side_shm *side;

	if (!is_sealed(en->side_fd) || !inode_is(en->side_fd, 0, SL_SIDE_LEN))
		return NULL;
	side = sl_map_shared(en->side_fd, SL_SIDE_LEN);
	if (side && en->seg_fd >= 0 && !inode_is(en->seg_fd, side->seg_ino, 0)) {
		sl_map_retire(side, SL_SIDE_LEN);
		side = NULL;
	}
	return side;
}

static struct sl_sock *adopt_young(const struct entry *en)
{
	struct sl_side_shm *side = map_side(en);
	struct sl_sock *s = side ? sl_pool_get() : NULL;

	if (s) {
		s->side = side;
		s->numbers = 0;
	} else if (side) {
		sl_map_retire(side, SL_SIDE_LEN);
	}
	return s;
}

static struct sl_sock *attach(const struct entry *en)
{
	struct sl_side_shm *side;
	struct sl_sock *s = NULL;
	struct sl_seg seg;

	if (en->seg_fd < 0)
		return adopt_young(en);
	side = map_side(en);
	if (!side)
		return NULL;
	if (sl_seg_attach(&seg, en->seg_fd, en->side) < 0)
		goto retire;
	s = sl_pool_get();
	if (!s)
		goto detach;
	s->side = side;
	s->pair = en->pair;
	s->pair_side = en->side;
	s->nodelay = en->nodelay;
	s->cork = en->cork;
	s->lowat = en->lowat;
	s->numbers = 0;
	sl_link_init(&s->link, &seg, side, s->stat);
	return s;
detach:
	sl_seg_detach(&seg);
retire:
	sl_map_retire(side, SL_SIDE_LEN);
	return NULL;
}

/* The threads that slept or waited on it are gone with the old program. */
static void take_over(struct sl_sock *s, int fd)
{
	struct sl_seg_side_shm *me;

	if (atomic_load(&s->side->holders) < 2)
		s->side->rx.sleepers = s->side->tx.waiters = 0;
	else
		sl_side_join(s->side);
	me = &s->link.seg.shm->side[s->pair_side];
	me->pid = (uint32_t)getpid();
	memcpy(me->program, sl_stat_program, sizeof(me->program));
	sl_sock_inherited(s, fd);
}

/* With other holders its side stays where it is; and the next program may want it, too. */
static void take_young(struct sl_sock *s, int fd, int side_fd)
{
	if (atomic_load(&s->side->holders) > 1) {
		sl_side_join(s->side);
		side_fd = sl_sys_fcntl(side_fd, F_DUPFD_CLOEXEC, STDIO_MAX + 1);
		s->side_fd = side_fd < 0 ? -1 : sl_kept_add(side_fd);
	}
	sl_sock_inherited_young(s, fd);
}

static void stdio_check(struct sl_sock *s, int fd, int lowest)
{
	if (lowest <= STDIO_MAX && !sl_inherit_stdio)
		sl_sock_bypass(s, fd, SL_WHY_STDIO);
}

/* "FD,FD...": return one that is this socket's, all are entered into the table. */
static int enter(struct sl_sock *s, char *list, int *lowest)
{
	int fd, first = -1;

	for (;;) {
		fd = (int)strtol(list, &list, 10);
		if (cookie_is(fd, s->side->cookie) && sl_sock_enter(s, fd)) {
			first = first < 0 ? fd : first;
			*lowest = fd < *lowest ? fd : *lowest;
		}
		if (*list++ != ',')
			return first;
	}
}

static void reset(int side_fd, const char *list)
{
	static const struct sockaddr none = {.sa_family = AF_UNSPEC};
	int fd = (int)strtol(list, NULL, 10);
	uint64_t cookie = 0;

	if (sl_sys6(SYS_pread64, side_fd, (long)&cookie, sizeof(cookie),
		    offsetof(struct sl_side_shm, cookie), 0, 0) != sizeof(cookie) ||
	    !cookie_is(fd, cookie))
		return;
	sl_log("an inherited connection is lost: its segment cannot be attached");
	(void)sl_sys(SYS_connect, fd, &none, sizeof(none));
}

static void adopt(char *text)
{
	struct entry en;
	struct sl_sock *s;
	char *list = strchr(text, '=');
	int fd, lowest = INT32_MAX;

	if (!list || sscanf(text, "%d:%d:%u:%llu:%d:%d:%d=", &en.seg_fd, &en.side_fd, &en.side,
			    &en.pair, &en.nodelay, &en.cork, &en.lowat) != 7 ||
	    en.side > 1)
		return;
	s = attach(&en);
	if (s) {
		fd = enter(s, list + 1, &lowest);
		if (fd >= 0 && en.seg_fd < 0)
			take_young(s, fd, en.side_fd);
		else if (fd >= 0)
			take_over(s, fd);
		else if (en.seg_fd >= 0)
			sl_seg_detach(&s->link.seg);
		if (fd >= 0)
			stdio_check(s, fd, lowest);
		sl_sock_put(s);
	} else if (en.seg_fd >= 0 && is_sealed(en.side_fd) && inode_is(en.side_fd, 0, SL_SIDE_LEN)) {
		reset(en.side_fd, list + 1);
	}
	if (en.seg_fd >= 0)
		close_ours(en.seg_fd);
	close_ours(en.side_fd);
}

/* Out of the array itself, which libc and the program will use. */
static char *take_variable(char **envp)
{
	static const char name[] = SL_INHERIT_VAR "=";
	char *found = NULL;
	size_t i, n = 0;

	for (i = 0; envp && envp[i]; i++) {
		if (strncmp(envp[i], name, sizeof(name) - 1) != 0)
			envp[n++] = envp[i];
		else
			found = envp[i] + sizeof(name) - 1;
	}
	if (found)
		envp[n] = NULL;
	return found;
}

void sl_inherit_adopt(char **envp)
{
	char *text = take_variable(envp), *next;

	if (!text || getauxval(AT_SECURE) || strtol(text, &text, 10) != VERSION || *text != ';')
		return;
	for (text++; text; text = next) {
		next = strchr(text, ';');
		if (next)
			*next++ = '\0';
		adopt(text);
	}
}
