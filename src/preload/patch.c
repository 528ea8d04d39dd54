/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * patch.c - libc's own calls come to us as well (patch/entry.h)
 *
 * Patched is what moves bytes, waits for them, or makes, copies or closes a descriptor. Not patched
 * is what ends in one of these (dprintf, fclose, daemon, closefrom, the _chk functions), and what is safe without:
 * fork (seen by its handlers), exec and _exit (libc calls them itself only in the child of posix_spawn,
 * which must not touch our tables), setuid.
 *
 * That child runs patched functions, too: close and dup2, on its own descriptors but in our memory. sl_foreign()
 * knows it by its process id, and they go on to libc.
 */
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <unistd.h>
#include "entry.h"
#include "env.h"
#include "log.h"
#include "preload.h"

bool sl_patched;

static ssize_t (*real_read_nocancel)(int, void *, size_t);
static ssize_t (*real_write_nocancel)(int, const void *, size_t);
static int (*real_close_nocancel)(int);

static ssize_t read_nocancel(int fd, void *buf, size_t len)
{
	return sl_tracked(fd) ? read(fd, buf, len) : real_read_nocancel(fd, buf, len);
}

static ssize_t write_nocancel(int fd, const void *buf, size_t len)
{
	return sl_tracked(fd) ? write(fd, buf, len) : real_write_nocancel(fd, buf, len);
}

static int close_nocancel(int fd)
{
	int rc = sl_fd_closing(fd);

	return rc ? (int)sl_ret(rc) : real_close_nocancel(fd);
}

#define PATCH(name)                                                                                \
	{                                                                                          \
		#name, (void *)(name), (void **)&sl_real.name                                      \
	}

void sl_patch_libc(void)
{
	struct sl_entry list[] = {
		PATCH(connect),	   PATCH(accept),	PATCH(accept4),	     PATCH(shutdown),
		PATCH(read),	   PATCH(write),	PATCH(readv),	     PATCH(writev),
		PATCH(preadv2),	   PATCH(pwritev2),	PATCH(recv),	     PATCH(recvfrom),
		PATCH(recvmsg),	   PATCH(recvmmsg),	PATCH(send),	     PATCH(sendto),
		PATCH(sendmsg),	   PATCH(sendmmsg),	PATCH(sendfile),     PATCH(splice),
		PATCH(close),	   PATCH(close_range),	PATCH(dup),	     PATCH(dup2),
		PATCH(dup3),	   PATCH(fcntl),	PATCH(ioctl),	     PATCH(getsockopt),
		PATCH(setsockopt), PATCH(poll),		PATCH(ppoll),	     PATCH(select),
		PATCH(pselect),	   PATCH(epoll_create), PATCH(epoll_create1), PATCH(epoll_ctl),
		PATCH(epoll_wait), PATCH(epoll_pwait),	PATCH(epoll_pwait2), PATCH(syscall),
		{"__read_nocancel", (void *)read_nocancel, (void **)&real_read_nocancel},
		{"__write_nocancel", (void *)write_nocancel, (void **)&real_write_nocancel},
		{"__close_nocancel", (void *)close_nocancel, (void **)&real_close_nocancel},
	};
	const char *why;

	if (!sl_env.patch)
		why = "SCILAN_PATCH=0";
	else if (sl_env.promote_calls == SL_PROMOTE_OFF)
		return;
	else
		why = sl_entry_patch(list, sizeof(list) / sizeof(list[0]));
	sl_patched = !why;
	if (sl_patched)
		why = sl_entry_watch_loader(sl_conn_loaded);
	if (why && sl_env.verbose)
		sl_log("%s: %s", sl_patched ? "loading of libraries is not watched" :
					      "stdio on connections stays on TCP", why);
}
