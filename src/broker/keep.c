/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * keep.c - keepers: processes that hold the descriptors of pairs which this one has no room for
 *
 * A pair is three descriptors that are needed again only if somebody re-attaches: after an exec, or when the socket is
 * passed on. A process may have as many descriptors as its limit says, and raising that is root's. So the broker moves the pairs
 * that were made longest ago to a child that does nothing but hold them, and gets them back when they are asked for.
 * A keeper is started when there are more pairs than the broker's own share, and ends when the broker does.
 *
 * It is a process and not a thread with a table of its own: sandboxes forbid unshare(), but not fork().
 *
 * Protocol, over a SOCK_SEQPACKET pair; the broker numbers the slots:
 *
 *	PUT slot (+ 3 descriptors)  into a free slot
 *	TAKE slot                   answered by TAKE slot (+ 3 descriptors); the slot is free
 *	DROP slot                   close them; the slot is free
 *
 * The broker waits for a keeper's answer, and for room in its queue: unlike a client it is ours, and does nothing that takes
 * time. One that does not answer within KEEP_MS is killed. What it held is lost: these connections go on, but
 * nobody re-attaches to them.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "brk.h"
#include "log.h"

#define KEEP_MS	  2000
#define KEEP_FDS  3u
#define KEEP_SELF 1u /* a keeper's own descriptors: the socket */

enum keep_type { KEEP_READY = 1, KEEP_PUT, KEEP_TAKE, KEEP_DROP };

struct keep_msg {
	uint32_t type, slot;
};

union keep_ctl {
	struct cmsghdr align;
	char buf[CMSG_SPACE(KEEP_FDS * sizeof(int))];
};

static int send_msg(int sock, uint32_t type, uint32_t slot, const int *fds, int flags)
{
	struct keep_msg m = {.type = type, .slot = slot};
	struct iovec iov = {.iov_base = &m, .iov_len = sizeof(m)};
	struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};
	union keep_ctl ctl;
	struct cmsghdr *c;

	if (fds) {
		memset(&ctl, 0, sizeof(ctl));
		mh.msg_control = ctl.buf;
		mh.msg_controllen = sizeof(ctl.buf);
		c = CMSG_FIRSTHDR(&mh);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(KEEP_FDS * sizeof(int));
		memcpy(CMSG_DATA(c), fds, KEEP_FDS * sizeof(int));
	}
	return sendmsg(sock, &mh, flags | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* Return: 0, -EPIPE the other end is gone, -errno; @fds are -1 if none came. */
static int recv_msg(int sock, struct keep_msg *m, int fds[KEEP_FDS], int flags)
{
	struct iovec iov = {.iov_base = m, .iov_len = sizeof(*m)};
	union keep_ctl ctl;
	struct msghdr mh = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = ctl.buf,
		.msg_controllen = sizeof(ctl.buf),
	};
	struct cmsghdr *c;
	ssize_t rc;

	memset(fds, -1, KEEP_FDS * sizeof(int));
	rc = recvmsg(sock, &mh, flags | MSG_CMSG_CLOEXEC);
	if (rc < 0)
		return -errno;
	if (rc != (ssize_t)sizeof(*m))
		return -EPIPE;
	c = CMSG_FIRSTHDR(&mh);
	if (c && c->cmsg_type == SCM_RIGHTS && c->cmsg_len <= CMSG_LEN(KEEP_FDS * sizeof(int)))
		memcpy(fds, CMSG_DATA(c), c->cmsg_len - CMSG_LEN(0));
	return 0;
}

static void close_all(int fds[KEEP_FDS])
{
	unsigned i;

	for (i = 0; i < KEEP_FDS; i++) {
		if (fds[i] >= 0)
			(void)close(fds[i]);
		fds[i] = -1;
	}
}

/* --- the keeper --- */

/* Everything but @sock, which becomes 0. */
static void close_others(int sock, unsigned files)
{
	unsigned fd;

	if (dup2(sock, 0) < 0)
		_exit(1);
#ifdef SYS_close_range
	if (syscall(SYS_close_range, 1u, ~0u, 0u) == 0)
		return;
#endif
	for (fd = 1; fd < files; fd++)
		(void)close((int)fd);
}

static void keep(uint32_t slots)
{
	size_t len = slots * KEEP_FDS * sizeof(int);
	int (*held)[KEEP_FDS] = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
				     -1, 0);
	struct keep_msg m = {.type = KEEP_READY};
	int fds[KEEP_FDS], rc;

	if (held == MAP_FAILED)
		return;
	memset(held, -1, len);
	rc = send_msg(0, KEEP_READY, 0, NULL, 0);
	while (!rc || rc == -EINTR) {
		rc = recv_msg(0, &m, fds, 0);
		if (rc)
			continue;
		if (m.slot >= slots)
			return;
		if (m.type == KEEP_TAKE)
			rc = send_msg(0, KEEP_TAKE, m.slot, held[m.slot], 0);
		if (rc == -ETOOMANYREFS) /* more in flight than this user may have */
			rc = send_msg(0, KEEP_TAKE, m.slot, NULL, 0);
		close_all(held[m.slot]);
		if (m.type == KEEP_PUT)
			memcpy(held[m.slot], fds, sizeof(fds));
	}
}

static void run(int sock, unsigned files, uint32_t slots)
{
	sigset_t all;

	/* It ends with the broker, however that ends: then its socket is closed. */
	(void)sigfillset(&all);
	(void)sigprocmask(SIG_BLOCK, &all, NULL);
	(void)prctl(PR_SET_NAME, "scilan-keeper");
	close_others(sock, files);
	keep(slots);
	_exit(0);
}

/* --- the broker's side --- */

static uint64_t now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* Return: false: not within the time. */
static bool wait_for(int sock, short events, uint64_t until_ms)
{
	struct pollfd p = {.fd = sock, .events = events};
	uint64_t now;
	int rc;

	do {
		now = now_ms();
		if (now >= until_ms)
			return false;
		rc = poll(&p, 1, (int)(until_ms - now));
	} while (rc < 0 && errno == EINTR); /* the stall guard's alarm */
	return rc > 0;
}

static void lost(struct sl_keeper *k)
{
	int status;

	(void)kill(k->pid, SIGKILL);
	(void)waitpid(k->pid, &status, 0);
	(void)close(k->sock);
	k->sock = -1;
}

static int ask(struct sl_keeper *k, uint32_t type, uint32_t slot, const int *fds)
{
	uint64_t until = now_ms() + KEEP_MS;
	int rc;

	do {
		rc = send_msg(k->sock, type, slot, fds, MSG_DONTWAIT);
	} while (rc == -EINTR || (rc == -EAGAIN && wait_for(k->sock, POLLOUT, until)));
	return rc;
}

static int answered(struct sl_keeper *k, uint32_t type, int fds[KEEP_FDS])
{
	uint64_t until = now_ms() + KEEP_MS;
	struct keep_msg m;
	int rc;

	do {
		rc = recv_msg(k->sock, &m, fds, MSG_DONTWAIT);
	} while (rc == -EINTR || (rc == -EAGAIN && wait_for(k->sock, POLLIN, until)));
	return rc ? rc : m.type == type ? 0 : -EPROTO;
}

/*
 * The child has copies of all our descriptors until it has closed them, and a client's that we close in
 * that time would stay in our epoll instance: so this waits for its first word.
 */
static int start(struct sl_brk *b, struct sl_keeper *k)
{
	int sock[2], fds[KEEP_FDS], rc;
	uint32_t i;

	if (!k->free)
		k->free = calloc(b->keep_slots, sizeof(*k->free));
	if (!k->free)
		return -ENOMEM;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sock))
		return -errno;
	k->pid = fork();
	if (k->pid == 0)
		run(sock[1], b->keep_slots * KEEP_FDS + KEEP_SELF, b->keep_slots);
	(void)close(sock[1]);
	if (k->pid < 0) {
		(void)close(sock[0]);
		return -EAGAIN;
	}
	k->sock = sock[0];
	rc = answered(k, KEEP_READY, fds);
	if (rc) {
		lost(k);
		return rc;
	}
	for (i = 0; i < b->keep_slots; i++)
		k->free[i] = b->keep_slots - 1 - i;
	k->free_count = b->keep_slots;
	if (b->verbose)
		sl_log("broker: keeper %d holds older pairs", (int)k->pid);
	return 0;
}

/* One with room; one that was lost is replaced once nothing points to it any more. */
static struct sl_keeper *with_room(struct sl_brk *b)
{
	struct sl_keeper *k;

	for (k = b->keepers; k < b->keepers + SL_BRK_KEEPERS; k++) {
		if (k->sock >= 0 ? k->free_count > 0 : !k->pairs && start(b, k) == 0)
			return k;
	}
	return NULL;
}

bool sl_brk_keep(struct sl_brk *b, struct sl_brk_pair *p)
{
	int fds[KEEP_FDS] = {p->seg_fd, p->end[0].side_fd, p->end[1].side_fd};
	struct sl_keeper *k = with_room(b);
	int rc;

	if (!k)
		return false;
	rc = ask(k, KEEP_PUT, k->free[k->free_count - 1], fds);
	if (rc) {
		if (rc != -ETOOMANYREFS) /* more in flight than this user may have: try again later */
			lost(k);
		return false;
	}
	p->slot = k->free[--k->free_count];
	p->keeper = k;
	k->pairs++;
	close_all(fds);
	p->seg_fd = p->end[0].side_fd = p->end[1].side_fd = -1;
	return true;
}

static void forget(struct sl_brk_pair *p)
{
	struct sl_keeper *k = p->keeper;

	p->keeper = NULL;
	k->pairs--;
	if (k->sock >= 0)
		k->free[k->free_count++] = p->slot;
}

int sl_brk_keep_back(struct sl_brk_pair *p)
{
	struct sl_keeper *k = p->keeper;
	int fds[KEEP_FDS] = {-1, -1, -1}, rc = -EPIPE;

	if (k->sock >= 0) {
		rc = ask(k, KEEP_TAKE, p->slot, NULL);
		if (!rc)
			rc = answered(k, KEEP_TAKE, fds);
		if (rc)
			lost(k);
	}
	forget(p);
	if (!rc && (fds[0] < 0 || fds[1] < 0 || fds[2] < 0)) {
		close_all(fds);
		rc = -EMFILE; /* and the kernel has dropped those that did not fit */
	}
	if (!rc) {
		p->seg_fd = fds[0];
		p->end[0].side_fd = fds[1];
		p->end[1].side_fd = fds[2];
	}
	return rc;
}

void sl_brk_keep_drop(struct sl_brk_pair *p)
{
	struct sl_keeper *k = p->keeper;

	if (k->sock >= 0 && ask(k, KEEP_DROP, p->slot, NULL))
		lost(k);
	forget(p);
}

void sl_brk_keep_init(struct sl_brk *b)
{
	unsigned i;

	for (i = 0; i < SL_BRK_KEEPERS; i++)
		b->keepers[i].sock = -1;
}

void sl_brk_keep_fini(struct sl_brk *b)
{
	struct sl_keeper *k;

	for (k = b->keepers; k < b->keepers + SL_BRK_KEEPERS; k++) {
		if (k->sock >= 0)
			lost(k);
		free(k->free);
		k->free = NULL;
	}
}
