/* SPDX-License-Identifier: BSD-2-Clause */
/* listen.c - the broker's address: binding it against others who want it, and accepting */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include "brk.h"
#include "log.h"

#define BACKLOG 256

static bool is_file(const struct sl_addr *a)
{
	return a->un.sun_path[0] != '\0';
}

/* The directory's lock is held as long as the broker runs, so that nobody replaces its socket. */
static int lock_dir(struct sl_brk *b)
{
	char path[sizeof(b->addr.un.sun_path)];
	const char *dir;
	int rc;

	memcpy(path, b->addr.un.sun_path, sizeof(path));
	dir = dirname(path);
	if (mkdir(dir, 0755) && errno != EEXIST)
		return -errno;
	b->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (b->dir_fd < 0)
		return -errno;
	if (flock(b->dir_fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	rc = errno == EWOULDBLOCK ? -EADDRINUSE : -errno;
	(void)close(b->dir_fd);
	b->dir_fd = -1;
	return rc;
}

/* Under the lock: a broker that answers all the same is left alone, a stale socket goes. */
static int replace_stale(const struct sl_addr *a)
{
	int fd = sl_addr_connect(a);
	struct stat st;

	if (fd >= 0) {
		(void)close(fd);
		return -EADDRINUSE;
	}
	if (fd == -ENOENT)
		return 0;
	if (fd != -ECONNREFUSED)
		return -EADDRINUSE;
	if (lstat(a->un.sun_path, &st) == 0 && !S_ISSOCK(st.st_mode))
		return -EEXIST;
	return unlink(a->un.sun_path) ? -errno : 0;
}

static int bind_file(struct sl_brk *b)
{
	const char *path = b->addr.un.sun_path;
	struct stat st;
	int rc;

	rc = lock_dir(b);
	if (!rc)
		rc = replace_stale(&b->addr);
	if (rc)
		return rc;
	if (bind(b->lfd, (const struct sockaddr *)&b->addr.un, b->addr.len))
		return -errno;
	/* Nobody can connect before listen(), so the mode is in place when it matters. */
	if (chmod(path, 0666) || stat(path, &st))
		return -errno;
	b->sock_dev = st.st_dev;
	b->sock_ino = st.st_ino;
	return 0;
}

int sl_brk_listen(struct sl_brk *b)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = &b->lfd};
	int rc;

	b->dir_fd = -1;
	rc = sl_addr_own(&b->addr, b->system);
	if (rc)
		return rc;
	b->lfd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (b->lfd < 0)
		return -errno;
	if (is_file(&b->addr))
		rc = bind_file(b);
	else if (bind(b->lfd, (const struct sockaddr *)&b->addr.un, b->addr.len))
		rc = -errno;
	if (!rc && (listen(b->lfd, BACKLOG) || epoll_ctl(b->ep, EPOLL_CTL_ADD, b->lfd, &ev)))
		rc = -errno;
	if (rc)
		sl_brk_unlisten(b);
	return rc;
}

void sl_brk_unlisten(struct sl_brk *b)
{
	struct stat st;

	if (b->sock_ino && stat(b->addr.un.sun_path, &st) == 0 && st.st_dev == b->sock_dev &&
	    st.st_ino == b->sock_ino)
		(void)unlink(b->addr.un.sun_path);
	(void)close(b->lfd);
	if (b->dir_fd >= 0)
		(void)close(b->dir_fd);
}

void sl_brk_pause(struct sl_brk *b, bool pause)
{
	struct epoll_event ev = {.events = pause ? 0 : EPOLLIN, .data.ptr = &b->lfd};

	(void)epoll_ctl(b->ep, EPOLL_CTL_MOD, b->lfd, &ev);
	b->paused = pause;
	b->paused_until_ms = b->now_ms + SL_BRK_PAUSE_MS;
}

void sl_brk_accept(struct sl_brk *b)
{
	unsigned n;
	int fd;

	for (n = 0; n < SL_BRK_BATCH; n++) {
		fd = accept4(b->lfd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd >= 0) {
			sl_brk_client_new(b, fd);
			continue;
		}
		if (errno == EAGAIN)
			return;
		if (errno == EINTR || errno == ECONNABORTED)
			continue;
		/* No descriptors or memory: the connection stays in the backlog, look again soon.
		 */
		sl_brk_pause(b, true);
		return;
	}
}
